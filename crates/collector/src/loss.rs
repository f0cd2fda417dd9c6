//! Accounts: where every datagram and every flow went.
//!
//! Two equations hold at any moment between two datagrams, and tests check them:
//!
//! ```text
//! received = decoded + bad + empty + unknown_sender + not_allowed + refused + panicked
//! flows decoded = flows stored + filtered + flows lost
//! ```
//!
//! What never got here is in `socket_drops`: datagrams that reached the host while the receive
//! buffer was full. So sent = received + socket drops, unless the network lost some, which the
//! exporters' sequence numbers tell.

use std::fmt;

use record::Totals;
use store::loss::{Loss, Place};
use wire::Counters;

/// Where datagrams and flows went: of one slot, or since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Datagrams that the kernel handed over.
    pub received: u64,
    /// Datagrams that a decoder read, to their end or to their first fault.
    pub decoded: u64,
    /// Datagrams that are no export datagrams: too short for a version, or of an unknown one.
    pub bad: u64,
    /// Datagrams without payload.
    pub empty: u64,
    /// Datagrams of senders that belong to no source.
    pub unknown_sender: u64,
    /// Datagrams of senders that are not on the list of those allowed.
    pub not_allowed: u64,
    /// Datagrams of new senders when there are as many sources as allowed.
    pub refused: u64,
    /// Datagrams on which the decoder panicked: a bug, reported in the log.
    pub panicked: u64,
    /// Datagrams the kernel dropped because the receive buffer was full.
    pub socket_drops: u64,
    /// Datagrams cut short for lack of room; they are among the received ones.
    pub truncated: u64,
    /// Flows that decoders delivered. A record counts as the flows it says it stands for (element
    /// 3), at least as one; [`record::Row::flows`] is the rule.
    pub flows: u64,
    /// Of those, flows that were not to be stored.
    pub filtered: u64,
    /// Of all, flows that could not be written.
    pub flows_lost: u64,
}

impl Account {
    /// Whether every received datagram is accounted for.
    pub const fn is_balanced(&self) -> bool {
        self.received
            == self.decoded
                + self.bad
                + self.empty
                + self.unknown_sender
                + self.not_allowed
                + self.refused
                + self.panicked
    }

    /// Adds what another one counted.
    pub(crate) fn add(&mut self, other: &Self) {
        *self = self.zip(other, u64::saturating_add);
    }

    /// What was counted since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }

    fn zip(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            received: f(self.received, other.received),
            decoded: f(self.decoded, other.decoded),
            bad: f(self.bad, other.bad),
            empty: f(self.empty, other.empty),
            unknown_sender: f(self.unknown_sender, other.unknown_sender),
            not_allowed: f(self.not_allowed, other.not_allowed),
            refused: f(self.refused, other.refused),
            panicked: f(self.panicked, other.panicked),
            socket_drops: f(self.socket_drops, other.socket_drops),
            truncated: f(self.truncated, other.truncated),
            flows: f(self.flows, other.flows),
            filtered: f(self.filtered, other.filtered),
            flows_lost: f(self.flows_lost, other.flows_lost),
        }
    }

    /// Datagrams that were left aside without being damaged: what nfcapd calls ignored packets.
    pub const fn ignored(&self) -> u64 {
        self.empty + self.unknown_sender + self.not_allowed + self.refused
    }
}

/// The line of one source after each slot: nfcapd's, then what it does not tell. `Flows` is what is
/// in the file, `Flows not written` what is missing there, both counted as [`Account::flows`] is.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceLine {
    pub(crate) ident: String,
    pub(crate) totals: Totals,
    pub(crate) blocks: u32,
    pub(crate) sequence_errors: u64,
    /// Where drops belong to the source because it is the only one.
    pub(crate) socket_drops: Option<u64>,
    /// What this source and its decoder counted during the slot.
    pub(crate) slot: Account,
    pub(crate) decoder: Counters,
    /// What was lost before a datagram reached its source.
    pub(crate) outside: Vec<Loss>,
    /// Samples of interface counters that could not be written.
    pub(crate) samples_lost: u64,
    /// Units by which sequence numbers went on while no collector ran.
    pub(crate) while_stopped: u64,
    /// Whether the file could not be closed or did not get its name: its flows are not stored.
    pub(crate) is_unfinished: bool,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ident, totals, blocks, sequence_errors, slot, .. } = self;
        write!(f, "Ident: '{ident}' Flows: {}, ", totals.all_flows())?;
        write!(f, "Packets: {}, Bytes: {}, ", totals.all_packets(), totals.all_bytes())?;
        write!(
            f,
            "Sequence Errors: {sequence_errors}, Bad Packets: {}, Blocks: {blocks}",
            slot.bad
        )?;
        if let Some(n) = self.socket_drops {
            write!(f, ", Socket drops: {n}")?;
        }
        for (what, n) in [
            ("Flows filtered out", slot.filtered),
            ("Flows not written", slot.flows_lost),
            ("Decoder bugs", slot.panicked),
            ("Counter samples not written", self.samples_lost),
            (WHILE_STOPPED, self.while_stopped),
        ] {
            if n > 0 {
                write!(f, ", {what}: {n}")?;
            }
        }
        let losses = LOSSES.iter().map(|c| (c.counter, c.label));
        for (name, what) in losses.chain(NOTES.iter().copied()) {
            match self.decoded(name) {
                0 => {}
                n => write!(f, ", {what}: {n}")?,
            }
        }
        Ok(())
    }
}

impl SourceLine {
    /// What a counter of the decoder has grown by. A late datagram may take back a loss that was
    /// counted in an earlier slot: then nothing.
    fn decoded(&self, counter: &str) -> u64 {
        let found = self.decoder.iter().find(|c| c.0 == counter).map_or(0, |c| c.2);
        if found.cast_signed() > 0 { found } else { 0 }
    }

    /// What is missing in the file, cause by cause.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        let drops = self.socket_drops.unwrap_or(0);
        let unfinished = if self.is_unfinished { self.totals.all_flows() } else { 0 };
        let own = [
            loss(Place::Kernel, "Socket drops", "datagrams", drops),
            loss(Place::Exporter, "Bad packets", "datagrams", self.slot.bad),
            loss(Place::Collector, "Decoder bugs", "datagrams", self.slot.panicked),
            loss(Place::Collector, WHILE_STOPPED, "datagrams or records", self.while_stopped),
            loss(Place::Disk, "Counter samples not written", "samples", self.samples_lost),
            loss(Place::Disk, "Flows not written", "flows", self.slot.flows_lost),
            loss(Place::Disk, "Flows in an unfinished file", "flows", unfinished),
        ];
        let decoder =
            LOSSES.iter().map(|c| loss(c.place, c.label, c.unit, self.decoded(c.counter)));
        let outside = self.outside.iter().cloned().map(Some);
        own.into_iter().chain(decoder).chain(outside).flatten().collect()
    }

    /// Flows that are in a file that has its name.
    pub(crate) fn stored(&self) -> u64 {
        if self.is_unfinished { 0 } else { self.totals.all_flows() }
    }
}

impl Account {
    /// What a collector with one source lost before it, beside the drops that the source's line
    /// has.
    pub(crate) fn outside_losses(&self) -> Vec<Loss> {
        self.cut_short().into_iter().collect()
    }

    fn cut_short(&self) -> Option<Loss> {
        loss(Place::Kernel, "Datagrams cut short", "datagrams", self.truncated)
    }

    /// What a collector with several sources lost before it knew the source.
    pub(crate) fn shared_losses(&self) -> Vec<Loss> {
        let all = [
            loss(Place::Kernel, "Socket drops", "datagrams", self.socket_drops),
            self.cut_short(),
            loss(Place::Collector, "Unknown senders", "datagrams", self.unknown_sender),
            loss(Place::Collector, "Senders not allowed", "datagrams", self.not_allowed),
            loss(Place::Collector, "Senders over the limit", "datagrams", self.refused),
        ];
        all.into_iter().flatten().map(|l| Loss { shared: true, ..l }).collect()
    }
}

/// The line of the whole collector after each slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TotalLine<'a> {
    pub(crate) slot: &'a Account,
    pub(crate) interval_secs: u32,
    /// Whether drops are told here, because no source alone has them.
    pub(crate) has_drops: bool,
}

impl fmt::Display for TotalLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slot, interval_secs, has_drops } = self;
        let average = slot.received as f64 / f64::from((*interval_secs).max(1));
        write!(f, "Total packets received: {} avg: {average:.2}/s ", slot.received)?;
        write!(f, "ignored packets: {}", slot.ignored())?;
        if *has_drops {
            write!(f, ", Socket drops: {}", slot.socket_drops)?;
        }
        if slot.truncated > 0 {
            write!(f, ", Truncated: {}", slot.truncated)?;
        }
        Ok(())
    }
}

/// Counters of a decoder that an operator wants to see when they move, because something that an
/// exporter sent is not in the file, or not as it was sent.
#[rustfmt::skip]
const LOSSES: &[Cause] = &[
    // counter, what the log calls it, where, what is counted
    cause("truncated_headers", "Truncated headers", Place::Exporter, "datagrams"),
    cause("bad_messages", "Bad messages", Place::Exporter, "datagrams"),
    cause("truncated_messages", "Truncated messages", Place::Exporter, "datagrams"),
    cause("truncated_sets", "Truncated sets", Place::Exporter, "sets"),
    cause("bad_sets", "Bad sets", Place::Exporter, "sets"),
    cause("truncated_records", "Truncated records", Place::Exporter, "records"),
    cause("bad_records", "Bad records", Place::Exporter, "records"),
    cause("sets_without_template", "Sets without template", Place::Exporter, "sets"),
    cause("templates_bad_id", "Templates with bad id", Place::Exporter, "templates"),
    cause("templates_truncated", "Templates cut short", Place::Exporter, "templates"),
    cause("templates_empty", "Templates without fields", Place::Exporter, "templates"),
    cause("templates_too_wide", "Templates too wide", Place::Exporter, "templates"),
    cause("templates_many_fields", "Templates with too many fields", Place::Collector, "templates"),
    cause("templates_over_limit", "Templates over limit", Place::Collector, "templates"),
    cause("templates_over_memory", "Templates over memory", Place::Collector, "templates"),
    cause("odd_lengths", "Fields of odd length", Place::Exporter, "fields"),
    cause("wide_values", "Values too wide", Place::Exporter, "values"),
    cause("exporters_refused", "Packets of refused exporters", Place::Collector, "datagrams"),
    cause("exporters_unnumbered", "Exporters without number", Place::Collector, "exporters"),
    cause("samplers_refused", "Samplers refused", Place::Collector, "samplers"),
    cause("names_refused", "Names refused", Place::Collector, "names"),
    cause("sflow_bad_records", "Bad sFlow records", Place::Exporter, "records"),
    cause("sflow_truncated_samples", "sFlow samples cut short", Place::Exporter, "samples"),
    cause("sflow_bad_packets", "sFlow samples of unreadable packets", Place::Exporter, "samples"),
    cause("sflow_drops", "Packets dropped by sFlow agents", Place::Exporter, "packets"),
    cause("sflow_lost_samples", "sFlow samples missing", Place::Network, "samples"),
    cause("lost_datagrams", "Packets missing", Place::Network, "datagrams"),
    cause("lost_records", "Records missing", Place::Network, "records"),
];

/// Counters that go into the log beside the losses: nothing is missing because of them.
const NOTES: &[(&str, &str)] = &[
    ("duplicates", "Packets received twice"),
    ("reordered", "Packets received late"),
    ("restarts", "Sequence restarts"),
];

/// What came while no collector ran: datagrams or records, as the protocol counts.
const WHILE_STOPPED: &str = "Missing while stopped";

/// A counter of a decoder that stands for something missing.
struct Cause {
    counter: &'static str,
    label: &'static str,
    place: Place,
    unit: &'static str,
}

const fn cause(
    counter: &'static str,
    label: &'static str,
    place: Place,
    unit: &'static str,
) -> Cause {
    Cause { counter, label, place, unit }
}

/// A line of a statement, unless there is nothing to say.
pub(crate) fn loss(place: Place, what: &str, unit: &str, count: u64) -> Option<Loss> {
    let (what, unit) = (what.to_owned(), unit.to_owned());
    (count > 0).then_some(Loss { place, what, unit, count, shared: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_lines_are_those_of_nfcapd_with_more_behind() {
        let mut totals = Totals::default();
        (totals.flows, totals.packets, totals.bytes) = ([4, 6, 0, 0], [3_093_610, 0, 0, 0], [7; 4]);
        let mut line = SourceLine {
            ident: "lab-v5".to_owned(),
            totals,
            blocks: 2,
            sequence_errors: 1,
            ..SourceLine::default()
        };
        let plain = "Ident: 'lab-v5' Flows: 10, Packets: 3093610, Bytes: 28, \
                     Sequence Errors: 1, Bad Packets: 0, Blocks: 2";
        assert_eq!(line.to_string(), plain);
        line.socket_drops = Some(0);
        assert_eq!(line.to_string(), format!("{plain}, Socket drops: 0"));
        line.slot = Account { bad: 3, flows_lost: 5, ..Account::default() };
        let back = 0u64.wrapping_sub(2);
        line.decoder =
            Counters { sets_without_template: 7, lost_datagrams: back, ..Counters::default() };
        let plain = plain.replace("Bad Packets: 0", "Bad Packets: 3");
        let more = ", Socket drops: 0, Flows not written: 5, Sets without template: 7";
        assert_eq!(line.to_string(), format!("{plain}{more}"));
    }

    #[test]
    fn statements_name_what_is_missing_and_where() {
        let line = SourceLine {
            socket_drops: Some(2),
            slot: Account { bad: 3, flows_lost: 5, received: 9, ..Account::default() },
            decoder: Counters {
                lost_records: 7,
                duplicates: 4,
                lost_datagrams: 0u64.wrapping_sub(2),
                ..Counters::default()
            },
            outside: Account { refused: 1, ..Account::default() }.shared_losses(),
            ..SourceLine::default()
        };
        let told: Vec<_> = line.losses().iter().map(|l| (l.place, l.count, l.shared)).collect();
        let want = [
            (Place::Kernel, 2, false),
            (Place::Exporter, 3, false),
            (Place::Disk, 5, false),
            (Place::Network, 7, false),
            (Place::Collector, 1, true),
        ];
        assert_eq!(told, want);
        assert!(SourceLine::default().losses().is_empty());
    }

    #[test]
    fn total_line_divides_by_the_interval() {
        let slot = Account { received: 75, empty: 1, unknown_sender: 2, ..Account::default() };
        let mut line = TotalLine { slot: &slot, interval_secs: 300, has_drops: false };
        let plain = "Total packets received: 75 avg: 0.25/s ignored packets: 3";
        assert_eq!(line.to_string(), plain);
        line.has_drops = true;
        assert_eq!(line.to_string(), format!("{plain}, Socket drops: 0"));
    }

    #[test]
    fn losses_name_counters_that_exist() {
        let losses = LOSSES.iter().map(|c| c.counter);
        for name in losses.chain(NOTES.iter().map(|n| n.0)) {
            assert!(Counters::default().iter().any(|c| c.0 == name), "{name}");
        }
    }

    #[test]
    fn accounts_add_and_subtract_field_by_field() {
        let one = Account { received: 5, decoded: 3, bad: 2, flows: 9, ..Account::default() };
        let mut two = one;
        two.add(&one);
        assert_eq!((two.received, two.flows), (10, 18));
        assert_eq!(two.since(&one), one);
        assert!(one.is_balanced());
        assert!(!Account { received: 6, ..one }.is_balanced());
    }
}
