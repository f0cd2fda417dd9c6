//! What was received, delivered and dropped, by cause.

/// A struct of counts that can be listed and compared: name, meaning, then the counts.
macro_rules! counters {
    ($Counts:ident, $doc:literal; $($name:ident: $about:literal;)*) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $Counts { $(#[doc = $about] pub $name: u64,)* }

        impl $Counts {
            /// Name, meaning and value of each counter, in declaration order: for log lines and
            /// metrics.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $about, self.$name)),*].into_iter()
            }

            /// What was counted since `earlier`.
            #[must_use]
            pub const fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.wrapping_sub(earlier.$name)),* }
            }
        }
    };
}
pub(crate) use counters;

counters! {
    Counters, "Counts since the decoder was made. Nothing is dropped without one of them moving.";
    datagrams: "datagrams received";
    bytes: "octets of those datagrams";
    flows: "flow records delivered";
    sections: "of those, flows made from the headers in a packet section";
    sections_unread: "of those, flows of packet sections without IP headers that could be read";
    biflows: "records with traffic of both directions, each delivered as two flows";
    lists: "lists of structured data in records, passed over but for MAC addresses and TCP flags";
    lists_damaged: "of those, lists whose inner lengths cannot be";
    options_records: "options records read";
    bad_datagrams: "datagrams with at least one fault";
    short_datagrams: "datagrams too short for a version number";
    unknown_version: "datagrams of a version that is not understood";
    truncated_headers: "message headers cut short";
    bad_messages: "messages whose length field cannot be";
    truncated_messages: "messages or record counts longer than their datagram";
    truncated_sets: "sets longer than their message";
    bad_sets: "sets with an impossible length or a reserved id";
    truncated_records: "records cut short";
    bad_records: "records of version 250 whose size or elements cannot be";
    foreign_records: "records of version 250 that are no flows";
    trailing_bytes: "octets after the last message";
    sets_without_template: "data sets dropped because their template never came";
    sets_parked_too_long: "of those, sets that waited longer than the limit";
    sets_parked_no_room: "of those, sets for which there was no room";
    sets_parked_replaced: "of those, sets whose template is gone or whose exporter began anew";
    sets_not_parked: "of those, sets that could not wait: of a transport session, too large, or waiting is off";
    sets_parked: "data sets put off until their template comes";
    sets_unparked: "data sets read after a template that came in a later datagram";
    sets_deferred: "data sets read after a template that followed them in the datagram";
    templates_learned: "templates seen for the first time";
    templates_refreshed: "templates repeated unchanged";
    templates_changed: "templates redefined";
    templates_withdrawn: "templates withdrawn";
    withdrawals_ignored: "template withdrawals ignored: over UDP they mean nothing (RFC 7011, 8.4)";
    templates_bad_id: "templates refused: id below 256";
    templates_truncated: "templates refused: cut short";
    templates_empty: "templates refused: no field, or records of no octets";
    templates_too_wide: "templates refused: records longer than a datagram";
    templates_many_fields: "templates refused: more fields than the limit";
    templates_over_limit: "templates refused: exporter has as many as the limit";
    templates_over_memory: "templates refused: their sender or all together take as much as the limit";
    unknown_elements: "template fields that no flow field takes";
    odd_lengths: "template fields of a length their element cannot have";
    wide_values: "values too wide for their field: counters saturated, others left out";
    exporters_refused: "datagrams dropped because the table of exporters is full, or their sender has too many";
    exporters_forgotten: "exporters forgotten to make room: silent for a day, and no record of them was ever read";
    exporters_unnumbered: "exporters without a number because 65535 are taken";
    samplers_refused: "samplers dropped: more than a limit, of the exporter or of all, or an id of 2^63 and above";
    boots_learned: "boot times that exporters told, new or changed";
    samplers_learned: "samplers that are new or changed";
    names_learned: "names that are new or changed";
    names_refused: "names dropped, with what they were to replace: more than a limit, of their sender or of all";
    odd_uptimes: "flows that would end an hour after their export: dated by it instead";
    sequence_gaps: "gaps in sequence numbers, less those that late datagrams closed";
    lost_datagrams: "datagrams missing by sequence number (v9, sFlow, version 250), less late ones";
    lost_records: "records missing by sequence number (v5, v7, IPFIX), less late ones";
    reordered: "datagrams that came late and closed a gap";
    duplicates: "datagrams with a sequence number already seen";
    duplicates_dropped: "of those, datagrams equal octet for octet to a recent one: not read again";
    restarts: "sequence numbers that began anew";
    sequence_unchecked: "messages without a sequence to check: v1, or data whose template is not known";
    undated: "messages whose header says 1970 or nothing (v1, v5, v7, v9, IPFIX): dated by their arrival";
    sflow_flow_samples: "sFlow flow samples read";
    sflow_counter_samples: "sFlow counter samples read";
    sflow_other_samples: "sFlow samples of other kinds: skipped";
    sflow_interfaces: "counters of interfaces delivered from sFlow";
    sflow_records_skipped: "sFlow records whose format is known and that no field takes";
    sflow_records_unknown: "sFlow records of a format that is not known";
    sflow_bad_records: "sFlow records that are malformed or shorter than their format: left out";
    sflow_truncated_samples: "sFlow samples cut short";
    sflow_odd_lengths: "sFlow samples whose length is not that of their records";
    sflow_without_packet: "sFlow flow samples without a packet: flows without addresses and octets";
    sflow_not_ip: "sFlow flow samples of packets other than IP: flows without IP addresses";
    sflow_cut_packets: "sFlow flow samples of packets cut before their last header: flows of what is known";
    sflow_bad_packets: "sFlow flow samples of packets that cannot be read: flows of what is known";
    sflow_lost_samples: "sFlow flow samples missing by the sequence numbers of their sources, less late ones";
    sflow_drops: "packets that sFlow agents chose and then dropped for lack of resources";
    sflow_sources_untracked: "sFlow flow samples of data sources beyond the limit: not checked for loss";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_counts_what_came_between() {
        let earlier = Counters { flows: 5, ..Counters::default() };
        let later = Counters { flows: 12, bytes: 3, ..Counters::default() };
        let between: Vec<_> =
            later.since(&earlier).iter().filter(|(_, _, n)| *n > 0).map(|c| (c.0, c.2)).collect();
        assert_eq!(between, [("bytes", 3), ("flows", 7)]);
    }
}
