//! What lists and statistics are ordered by.

use crate::human::{bits_per_second, per_second};
use record::{Field, Row};

/// Sums of one flow, one aggregated flow or one value of a statistic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Smallest start, milliseconds since 1970.
    pub first_ms: u64,
    /// Largest end, milliseconds since 1970.
    pub last_ms: u64,
    /// Flows.
    pub flows: u64,
    /// Packets of the flow's direction.
    pub in_packets: u64,
    /// Octets of the flow's direction.
    pub in_bytes: u64,
    /// Packets of the other direction.
    pub out_packets: u64,
    /// Octets of the other direction.
    pub out_bytes: u64,
}

impl Counts {
    /// The counters of one flow.
    #[inline]
    pub fn of(row: Row<'_>) -> Self {
        Self {
            first_ms: row.number(Field::First),
            last_ms: row.number(Field::Last),
            flows: row.flows(),
            in_packets: row.number(Field::Packets),
            in_bytes: row.number(Field::Bytes),
            out_packets: row.number(Field::OutPackets),
            out_bytes: row.number(Field::OutBytes),
        }
    }

    /// Packets of one direction or both.
    #[inline]
    pub const fn packets(&self, side: Side) -> u64 {
        side.pick(self.in_packets, self.out_packets)
    }

    /// Octets of one direction or both.
    #[inline]
    pub const fn bytes(&self, side: Side) -> u64 {
        side.pick(self.in_bytes, self.out_bytes)
    }

    /// Milliseconds from first to last, 0 if they are out of order.
    #[inline]
    pub const fn duration_ms(&self) -> u64 {
        self.last_ms.saturating_sub(self.first_ms)
    }
}

/// Whose packets and octets count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those of the flow's direction.
    In,
    /// Those of the other direction.
    Out,
    /// Their sum.
    Both,
}

impl Side {
    const fn pick(self, a: u64, b: u64) -> u64 {
        match self {
            Self::In => a,
            Self::Out => b,
            Self::Both => a.saturating_add(b),
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Flows,
    Packets,
    Bytes,
    PacketRate,
    BitRate,
    PacketSize,
    First,
    Last,
    Duration,
}

/// One way to order flows or the values of a statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order(&'static Line);

/// One line of the table of orders.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// Name after `-s element/`, `""` if statistics do not have it.
    stat: &'static str,
    /// Name after `-O` and `-s record/`.
    flow: &'static str,
    side: Side,
    measure: Measure,
}

/// All orders in the sequence in which tables of several orders are printed.
#[rustfmt::skip]
static TABLE: [Line; 19] = {
    use Measure::*;
    use Side::*;
    const fn line(stat: &'static str, flow: &'static str, side: Side, measure: Measure) -> Line {
        Line { stat, flow, side, measure }
    }
    [
        line("flows", "flows", In, Flows),
        line("packets", "packets", Both, Packets), line("ipkg", "ipackets", In, Packets), line("opkg", "opackets", Out, Packets),
        line("bytes", "bytes", Both, Bytes), line("ibyte", "ibytes", In, Bytes), line("obyte", "obytes", Out, Bytes),
        line("pps", "pps", Both, PacketRate), line("ipps", "ipps", In, PacketRate), line("opps", "opps", Out, PacketRate),
        line("bps", "bps", Both, BitRate), line("ibps", "ibps", In, BitRate), line("obps", "obps", Out, BitRate),
        line("bpp", "bpp", Both, PacketSize), line("ibpp", "ibpp", In, PacketSize), line("obpp", "obpp", Out, PacketSize),
        line("", "tstart", In, First), line("", "tend", In, Last), line("", "duration", In, Duration),
    ]
};

impl Order {
    /// Which of the columns flows, packets, bytes, packet rate, bit rate and packet size it orders
    /// by, counted from 0; `None` for times.
    pub(crate) const fn column(self) -> Option<usize> {
        Some(match self.0.measure {
            Measure::Flows => 0,
            Measure::Packets => 1,
            Measure::Bytes => 2,
            Measure::PacketRate => 3,
            Measure::BitRate => 4,
            Measure::PacketSize => 5,
            Measure::First | Measure::Last | Measure::Duration => return None,
        })
    }

    /// Flows: what a statistic is ordered by if nothing is said.
    pub const FLOWS: Self = Self(&TABLE[0]);

    /// Orders that statistics know, in the sequence in which their tables are printed.
    pub fn of_statistics() -> impl Iterator<Item = Self> {
        TABLE.iter().filter(|l| !l.stat.is_empty()).map(Self)
    }

    /// Orders that lists of flows know, in the sequence in which their tables are printed.
    pub fn of_flows() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The order that statistics call `name`, upper and lower case alike.
    pub fn from_statistic_name(name: &str) -> Option<Self> {
        Self::of_statistics().find(|o| o.0.stat.eq_ignore_ascii_case(name))
    }

    /// The order that `-O` and `-s record` call `name`, upper and lower case alike.
    pub fn from_flow_name(name: &str) -> Option<Self> {
        Self::of_flows().find(|o| o.0.flow.eq_ignore_ascii_case(name))
    }

    /// Its name in statistics; `""` if they do not know it.
    pub const fn statistic_name(self) -> &'static str {
        self.0.stat
    }

    /// Its name in lists of flows.
    pub const fn flow_name(self) -> &'static str {
        self.0.flow
    }

    /// Whose counters a table of this order shows. Ordered by flows it shows those of the flow's
    /// own direction.
    pub const fn side(self) -> Side {
        self.0.side
    }

    /// Whether `-O` starts with the smallest unless told otherwise: the two times do. `-s record`
    /// always starts with the largest.
    pub fn ascends_by_default(self) -> bool {
        matches!(self.0.measure, Measure::First | Measure::Last)
    }

    /// The number that is compared.
    #[inline]
    pub fn value(self, counts: &Counts) -> u64 {
        let (packets, bytes) = (counts.packets(self.0.side), counts.bytes(self.0.side));
        match self.0.measure {
            Measure::Flows => counts.flows,
            Measure::Packets => packets,
            Measure::Bytes => bytes,
            Measure::PacketRate => per_second(packets, counts.duration_ms()),
            Measure::BitRate => bits_per_second(bytes, counts.duration_ms()),
            Measure::PacketSize => bytes.checked_div(packets).unwrap_or(0),
            Measure::First => counts.first_ms,
            Measure::Last => counts.last_ms,
            Measure::Duration => counts.duration_ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Flow;

    #[test]
    fn names_lead_to_their_order() {
        for order in Order::of_flows() {
            assert_eq!(Order::from_flow_name(&order.flow_name().to_uppercase()), Some(order));
        }
        for order in Order::of_statistics() {
            assert_eq!(Order::from_statistic_name(order.statistic_name()), Some(order));
        }
        assert_eq!(Order::from_statistic_name("tstart"), None);
        assert_eq!(Order::from_statistic_name(""), None);
        assert_eq!(Order::from_statistic_name("ipackets"), None);
        assert_eq!(Order::from_flow_name("ipkg"), None);
        assert_eq!(Order::of_statistics().count(), 16);
        assert_eq!(Order::of_flows().count(), 19);
        assert_eq!(Order::FLOWS.flow_name(), "flows");
    }

    #[test]
    fn values() {
        let mut flow = Flow::new();
        for (field, n) in [
            (Field::First, 10_000),
            (Field::Last, 14_000),
            (Field::Packets, 8),
            (Field::Bytes, 800),
            (Field::OutPackets, 4),
            (Field::OutBytes, 2000),
            (Field::Flows, 3),
        ] {
            flow.set(field, n);
        }
        let counts = Counts::of(flow.as_row());
        for (name, want) in [
            ("flows", 3),
            ("packets", 12),
            ("ipackets", 8),
            ("opackets", 4),
            ("bytes", 2800),
            ("ibytes", 800),
            ("obytes", 2000),
            ("pps", 3),
            ("ipps", 2),
            ("opps", 1),
            ("bps", 5600),
            ("ibps", 1600),
            ("obps", 4000),
            ("bpp", 233),
            ("ibpp", 100),
            ("obpp", 500),
            ("tstart", 10_000),
            ("tend", 14_000),
            ("duration", 4000),
        ] {
            let order = Order::from_flow_name(name).unwrap();
            assert_eq!(order.value(&counts), want, "{name}");
            assert_eq!(order.value(&Counts::default()), 0, "{name} of nothing");
            assert_eq!(order.ascends_by_default(), name.starts_with('t'), "{name}");
        }
        let absurd = Counts { in_bytes: u64::MAX, out_bytes: 1, last_ms: 1, ..Counts::default() };
        assert_eq!(Order::from_flow_name("bytes").unwrap().value(&absurd), u64::MAX);
        assert_eq!(Order::from_flow_name("bps").unwrap().value(&absurd), u64::MAX);
    }
}
