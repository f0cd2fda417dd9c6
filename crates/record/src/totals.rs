//! Flows, packets and bytes, summed by protocol group.

use crate::{Field, Row, code::Proto};

/// Protocol groups that file statistics tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Protocol 6.
    Tcp,
    /// Protocol 17.
    Udp,
    /// Protocols 1 and 58.
    Icmp,
    /// Everything else.
    Other,
}

impl Group {
    /// The group a protocol belongs to.
    #[inline]
    pub const fn of(proto: Proto) -> Self {
        // Looked up: from flow to flow nobody can foresee which branch would be taken.
        GROUPS[proto.0 as usize]
    }
}

const GROUPS: [Group; 256] = {
    let mut groups = [Group::Other; 256];
    groups[Proto::TCP.0 as usize] = Group::Tcp;
    groups[Proto::UDP.0 as usize] = Group::Udp;
    groups[Proto::ICMP.0 as usize] = Group::Icmp;
    groups[Proto::ICMP6.0 as usize] = Group::Icmp;
    groups
};

/// Sums over flows. Arrays are indexed by [`Group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Flows by group.
    pub flows: [u64; 4],
    /// Packets by group, both directions.
    pub packets: [u64; 4],
    /// Octets by group, both directions.
    pub bytes: [u64; 4],
    /// Smallest start, milliseconds since 1970; `u64::MAX` when nothing was counted.
    pub first_ms: u64,
    /// Largest end, milliseconds since 1970.
    pub last_ms: u64,
    /// Gaps in sequence numbers of export packets.
    pub sequence_failures: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            flows: [0; 4],
            packets: [0; 4],
            bytes: [0; 4],
            first_ms: u64::MAX,
            last_ms: 0,
            sequence_failures: 0,
        }
    }
}

impl Totals {
    /// Counts one flow with the counters of both directions.
    #[inline]
    pub fn add(&mut self, row: Row<'_>) {
        let group = Group::of(Proto(row.number(Field::Proto) as u8)) as usize;
        let sum = |a, b| row.number(a).saturating_add(row.number(b));
        let both = [
            (&mut self.flows, row.flows()),
            (&mut self.packets, sum(Field::Packets, Field::OutPackets)),
            (&mut self.bytes, sum(Field::Bytes, Field::OutBytes)),
        ];
        for (counters, n) in both {
            counters[group] = counters[group].saturating_add(n);
        }
        if let (Some(first), Some(last)) = (row.u64(Field::First), row.u64(Field::Last)) {
            self.first_ms = self.first_ms.min(first);
            self.last_ms = self.last_ms.max(last);
        }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.flows, &other.flows),
            (&mut self.packets, &other.packets),
            (&mut self.bytes, &other.bytes),
        ] {
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a = a.saturating_add(*b);
            }
        }
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.sequence_failures = self.sequence_failures.saturating_add(other.sequence_failures);
    }

    /// All flows.
    pub fn all_flows(&self) -> u64 {
        self.flows.iter().fold(0, |a, b| a.saturating_add(*b))
    }

    /// All packets.
    pub fn all_packets(&self) -> u64 {
        self.packets.iter().fold(0, |a, b| a.saturating_add(*b))
    }

    /// All octets.
    pub fn all_bytes(&self) -> u64 {
        self.bytes.iter().fold(0, |a, b| a.saturating_add(*b))
    }

    /// First and last time, `None` when nothing was counted.
    pub fn window(&self) -> Option<(u64, u64)> {
        (self.first_ms != u64::MAX).then_some((self.first_ms, self.last_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flow;

    #[test]
    fn each_protocol_has_its_group() {
        for n in 0..=u8::MAX {
            let want = match n {
                6 => Group::Tcp,
                17 => Group::Udp,
                1 | 58 => Group::Icmp,
                _ => Group::Other,
            };
            assert_eq!(Group::of(Proto(n)), want, "{n}");
        }
    }

    #[test]
    fn counts_by_group_and_both_directions() {
        let mut totals = Totals::default();
        let mut flow = Flow::new();
        for (proto, bytes) in [(6, 100), (17, 10), (1, 1), (58, 2), (47, 5)] {
            flow.clear();
            flow.set(Field::Proto, proto);
            flow.set(Field::Bytes, bytes);
            flow.set(Field::Packets, 1);
            flow.set(Field::OutPackets, 1);
            flow.set(Field::First, 1000 + proto);
            flow.set(Field::Last, 2000 + proto);
            totals.add(flow.as_row());
        }
        assert_eq!(totals.flows, [1, 1, 2, 1]);
        assert_eq!(totals.bytes, [100, 10, 3, 5]);
        assert_eq!(totals.all_packets(), 10);
        assert_eq!(totals.window(), Some((1001, 2058)));
        let mut twice = totals;
        twice.merge(&totals);
        assert_eq!(twice.all_flows(), 10);
        assert_eq!(Totals::default().window(), None);
    }
}
