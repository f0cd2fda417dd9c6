//! Flows as NetFlow v9 datagrams of one exporter, as a router sends them.

use record::{Field, Flow, Row};
use wire::testing::{Record, V9Builder};

/// Flows of one datagram: what fits 1500 octets.
pub const FLOWS_PER_DATAGRAM: usize = 20;

/// Template of IPv4 flows.
const V4: u16 = 260;
/// Template of IPv6 flows.
const V6: u16 = 261;

/// (element, length, field) of the fields both families have.
const COMMON: &[(u16, u16, Field)] = &[
    (22, 4, Field::First),
    (21, 4, Field::Last),
    (2, 4, Field::Packets),
    (1, 4, Field::Bytes),
    (7, 2, Field::SrcPort),
    (11, 2, Field::DstPort),
    (4, 1, Field::Proto),
    (6, 1, Field::TcpFlags),
    (5, 1, Field::SrcTos),
    (61, 1, Field::Direction),
    (10, 4, Field::Input),
    (14, 4, Field::Output),
    (16, 4, Field::SrcAs),
    (17, 4, Field::DstAs),
    (9, 1, Field::SrcMask),
    (13, 1, Field::DstMask),
];

/// Makes the datagrams of one exporter.
#[derive(Clone, Debug)]
pub struct Exporter {
    source_id: u32,
    /// When its uptime was 0, milliseconds since 1970.
    booted_ms: u64,
    sequence: u32,
}

impl Exporter {
    /// An exporter that has been up since `booted_ms`.
    pub const fn new(source_id: u32, booted_ms: u64) -> Self {
        Self { source_id, booted_ms, sequence: 0 }
    }

    /// The next datagram, sent at `now_ms`, with these flows. `announce` puts the templates in
    /// front.
    pub fn datagram(&mut self, now_ms: u64, flows: &[Flow], announce: bool) -> Vec<u8> {
        // v9 counts whole seconds: uptime is told for the same second.
        let now_ms = now_ms - now_ms % 1000;
        let header = wire::v9::Header {
            uptime_ms: now_ms.wrapping_sub(self.booted_ms) as u32,
            unix_secs: (now_ms / 1000) as u32,
            sequence: self.sequence,
            source_id: self.source_id,
            ..wire::v9::Header::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = V9Builder::new(header);
        if announce {
            datagram =
                datagram.template(V4, &template(8, 12, 4)).template(V6, &template(27, 28, 16));
        }
        for (id, width) in [(V4, 4), (V6, 16)] {
            let of_family = flows.iter().filter(|f| f.slot(Field::SrcAddr).len == width);
            let records: Vec<_> = of_family.map(|f| self.record(f.as_row())).collect();
            if !records.is_empty() {
                datagram = datagram.data(id, &records);
            }
        }
        datagram.build()
    }

    fn record(&self, row: Row<'_>) -> Vec<u8> {
        let mut record = Record::new();
        for field in [Field::SrcAddr, Field::DstAddr] {
            if let Some(addr) = row.addr(field) {
                record = record.addr(addr);
            }
        }
        for (_, len, field) in COMMON {
            let value = match field {
                Field::First | Field::Last => row.number(*field).wrapping_sub(self.booted_ms),
                _ => row.number(*field),
            };
            record = record.number(value, usize::from(*len));
        }
        record.build()
    }
}

fn template(src: u16, dst: u16, width: u16) -> Vec<(u16, u16)> {
    let common = COMMON.iter().map(|(element, len, _)| (*element, *len));
    [(src, width), (dst, width)].into_iter().chain(common).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Model, Traffic};
    use record::{Addr, FlowSink, Meta};

    struct Kept(Vec<(u64, u64, Option<Addr>)>);

    impl FlowSink for Kept {
        fn flow(&mut self, flow: &Flow) {
            let row = flow.as_row();
            let addr = row.addr(Field::SrcAddr);
            self.0.push((row.number(Field::First), row.number(Field::Bytes), addr));
        }

        fn meta(&mut self, _: Meta<'_>) {}
    }

    #[test]
    fn what_is_exported_is_decoded() {
        let now = 1_795_000_000_000;
        let mut traffic = Traffic::new(Model { v6_percent: 50, ..Model::default() });
        let mut flows = vec![Flow::new(); FLOWS_PER_DATAGRAM];
        flows.iter_mut().for_each(|f| traffic.fill(now, f));
        let datagram = Exporter::new(7, now - 86_400_000).datagram(now, &flows, true);
        assert!(datagram.len() < 1472, "{} octets", datagram.len());
        let mut sink = Kept(Vec::new());
        wire::Decoder::new(wire::Config::default()).decode(Addr::V4(1), now, &datagram, &mut sink);
        let mut want: Vec<_> = flows
            .iter()
            .map(|f| {
                let row = f.as_row();
                (row.number(Field::First), row.number(Field::Bytes), row.addr(Field::SrcAddr))
            })
            .collect();
        want.sort_unstable();
        sink.0.sort_unstable();
        assert_eq!(sink.0, want);
    }
}
