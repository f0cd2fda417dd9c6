//! Accounts: where every datagram and every flow went.
//!
//! Two equations hold at any moment between two datagrams, and tests check them:
//!
//! ```text
//! received = decoded + bad + empty + unknown_sender + refused + panicked
//! flows decoded = flows stored + flows lost
//! ```
//!
//! What never got here is in `socket_drops`: datagrams that reached the host while the receive
//! buffer was full. So sent = received + socket drops, unless the network lost some, which the
//! exporters' sequence numbers tell.

use std::fmt;

use record::Totals;
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
    /// Of those, flows that could not be written.
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
            refused: f(self.refused, other.refused),
            panicked: f(self.panicked, other.panicked),
            socket_drops: f(self.socket_drops, other.socket_drops),
            truncated: f(self.truncated, other.truncated),
            flows: f(self.flows, other.flows),
            flows_lost: f(self.flows_lost, other.flows_lost),
        }
    }

    /// Datagrams that were left aside without being damaged: what nfcapd calls ignored packets.
    pub const fn ignored(&self) -> u64 {
        self.empty + self.unknown_sender + self.refused
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
        for (what, n) in [("Flows not written", slot.flows_lost), ("Decoder bugs", slot.panicked)] {
            if n > 0 {
                write!(f, ", {what}: {n}")?;
            }
        }
        for (name, what) in LOSSES {
            // A late datagram may take back a loss counted in an earlier slot: below 0.
            match self.decoder.iter().find(|c| c.0 == *name) {
                Some((_, _, n)) if n.cast_signed() > 0 => write!(f, ", {what}: {n}")?,
                _ => {}
            }
        }
        Ok(())
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
const LOSSES: &[(&str, &str)] = &[
    ("truncated_headers", "Truncated headers"),
    ("bad_messages", "Bad messages"),
    ("truncated_messages", "Truncated messages"),
    ("truncated_sets", "Truncated sets"),
    ("bad_sets", "Bad sets"),
    ("truncated_records", "Truncated records"),
    ("sets_without_template", "Sets without template"),
    ("templates_bad_id", "Templates with bad id"),
    ("templates_truncated", "Templates cut short"),
    ("templates_empty", "Templates without fields"),
    ("templates_too_wide", "Templates too wide"),
    ("templates_many_fields", "Templates with too many fields"),
    ("templates_over_limit", "Templates over limit"),
    ("templates_over_memory", "Templates over memory"),
    ("odd_lengths", "Fields of odd length"),
    ("wide_values", "Values too wide"),
    ("exporters_refused", "Packets of refused exporters"),
    ("exporters_unnumbered", "Exporters without number"),
    ("samplers_refused", "Samplers refused"),
    ("names_refused", "Names refused"),
    ("lost_datagrams", "Packets missing"),
    ("lost_records", "Records missing"),
    ("duplicates", "Packets received twice"),
    ("restarts", "Sequence restarts"),
];

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
        for (name, _) in LOSSES {
            assert!(Counters::default().iter().any(|c| c.0 == *name), "{name}");
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
