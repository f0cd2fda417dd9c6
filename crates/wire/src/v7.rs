//! NetFlow v7, of Catalyst switches: a header of 24 octets and records of 52 octets, all big-endian.
//!
//! A record is that of v5 with the address of the router whose work the switch does. Where a switch
//! keeps flows by destination only, or by both addresses, the other fields are 0 and two octets of
//! flags say so; a 0 says the same. There is no sampling.

use crate::cursor::{self, Parsed};
use crate::fixed::{self, Format, Head};
use crate::{Datagram, DecodeError, Decoder, Protocol};
use nom::Parser;
use nom::number::complete::{be_u16, be_u32};
use record::{Flow, FlowSink};

/// Octets of the header.
pub const HEADER_LEN: usize = 24;

/// Octets of a record.
pub const RECORD_LEN: usize = 52;

/// What the header of a datagram says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Records in the datagram.
    pub count: u16,
    /// Milliseconds since the device booted.
    pub uptime_ms: u32,
    /// Export time, seconds since 1970.
    pub unix_secs: u32,
    /// The rest of the second in nanoseconds.
    pub unix_nsecs: u32,
    /// Flows exported before this datagram.
    pub sequence: u32,
    /// Zero by Cisco's documents. nfcapd takes the first two octets for engine type and id, as they
    /// are in v5, and so does this collector.
    pub reserved: u32,
}

impl Header {
    /// Reads the 24 octets of a header.
    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, (_version, count, uptime_ms, unix_secs)) =
            (be_u16, be_u16, be_u32, be_u32).parse(input)?;
        let (input, (unix_nsecs, sequence, reserved)) = (be_u32, be_u32, be_u32).parse(input)?;
        Ok((input, Self { count, uptime_ms, unix_secs, unix_nsecs, sequence, reserved }))
    }

    fn head(&self, at: usize) -> Head {
        let [engine_type, engine_id, _, _] = self.reserved.to_be_bytes();
        Head {
            protocol: Protocol::V7,
            starts_at: at,
            records_at: at + HEADER_LEN,
            count: self.count,
            uptime_ms: self.uptime_ms,
            export_ms: fixed::export_ms(self.unix_secs, self.unix_nsecs),
            sequence: Some(self.sequence),
            engine: (engine_type, engine_id),
            sampling: None,
        }
    }
}

/// Reads one datagram.
pub(crate) fn decode<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    datagram: &Datagram<'_>,
    sink: &mut S,
) -> Result<(), DecodeError> {
    fixed::messages(datagram, decoder, |decoder, at| {
        let header = cursor::take(datagram.bytes, at, ("v7 header", HEADER_LEN), Header::parse)
            .inspect_err(|_| decoder.counters.truncated_headers += 1)?;
        fixed::records::<V7, RECORD_LEN, S>(decoder, datagram, &header.head(at), sink)
    })
}

/// Records of v7. The flags at octets 36 and 46 are not kept: they say which fields are 0 because
/// the switch does not know them. No flow field takes the bypassed router at octet 48: nfcapd drops
/// it, too, and the sender of the datagram is in every flow already.
struct V7;

impl Format<RECORD_LEN> for V7 {
    const RECORDS: &'static str = "v7 records";

    #[inline]
    fn read_rest(record: &[u8; RECORD_LEN], flow: &mut Flow) {
        if let Some(rest) = record.get(fixed::COMMON_LEN..).and_then(|r| r.first_chunk()) {
            fixed::read_routing(rest, flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::{Collect, Record, V7Builder};
    use record::{Addr, Field};

    const NOW_MS: u64 = 1_795_000_000_123;
    const PEER: Addr = Addr::V4(0xc000_0201);

    const HEADER: Header = Header {
        count: 0,
        uptime_ms: 100_000,
        unix_secs: 1_794_999_999,
        unix_nsecs: 500_000_000,
        sequence: 1000,
        reserved: 0,
    };

    /// A record with a value of its own in each field.
    fn record(proto: u8, src_port: u16, dst_port: u16) -> [u8; RECORD_LEN] {
        let record = Record::new()
            .number(0x0a00_0001, 4)
            .number(0x0a00_0002, 4)
            .number(0x0a00_0003, 4)
            .number(4, 2)
            .number(5, 2)
            .number(6, 4)
            .number(7, 4)
            .number(90_000, 4)
            .number(99_000, 4)
            .number(src_port.into(), 2)
            .number(dst_port.into(), 2)
            .number(0xff, 1)
            .number(0x1b, 1)
            .number(proto.into(), 1)
            .number(8, 1)
            .number(9, 2)
            .number(10, 2)
            .number(24, 1)
            .number(16, 1)
            .number(0xffff, 2)
            .number(0xc000_0263, 4);
        record.build().try_into().unwrap()
    }

    fn decode(datagrams: &[Vec<u8>]) -> (Decoder, Collect) {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for datagram in datagrams {
            decoder.decode(PEER, NOW_MS, datagram, &mut sink);
        }
        (decoder, sink)
    }

    #[test]
    fn every_field_arrives() {
        let datagram = V7Builder::new(HEADER).record(record(6, 443, 50_000));
        let datagram = datagram.record(record(1, 0x0103, 0)).build();
        let (decoder, sink) = decode(&[datagram]);
        let row = sink.flows[0].as_row();
        let export_ms = 1_794_999_999_500;
        let want = [
            (Field::First, export_ms - 10_000),
            (Field::Last, export_ms - 1_000),
            (Field::Received, NOW_MS),
            (Field::Packets, 6),
            (Field::Bytes, 7),
            (Field::SrcPort, 443),
            (Field::DstPort, 50_000),
            (Field::Proto, 6),
            (Field::TcpFlags, 0x1b),
            (Field::SrcTos, 8),
            (Field::Input, 4),
            (Field::Output, 5),
            (Field::SrcMask, 24),
            (Field::DstMask, 16),
            (Field::SrcAs, 9),
            (Field::DstAs, 10),
            (Field::EngineType, 0),
            (Field::EngineId, 0),
            (Field::ExporterId, 1),
            (Field::RecordFlags, 0),
            // Files say v5 for both.
            (Field::Source, 5),
        ];
        for (field, want) in want {
            assert_eq!(row.u64(field), Some(want), "{field:?}");
        }
        let addrs = [
            (Field::SrcAddr, 0x0a00_0001),
            (Field::DstAddr, 0x0a00_0002),
            (Field::NextHop, 0x0a00_0003),
            // Who sent the datagram, not whose work the switch does.
            (Field::Router, 0xc000_0201),
        ];
        for (field, want) in addrs {
            assert_eq!(row.addr(field), Some(Addr::V4(want)), "{field:?}");
        }
        assert_eq!(sink.flows[1].number(Field::DstPort), 0x0301);
        assert_eq!(sink.exporters[0].version, 7);
        assert_eq!(decoder.counters().trailing_bytes, 0);
    }

    #[test]
    fn reserved_octets_are_an_engine_and_no_sampling() {
        let header = Header { reserved: 0x0102_0064, ..HEADER };
        let (_, sink) = decode(&[V7Builder::new(header).record(record(17, 1, 2)).build()]);
        assert_eq!(sink.exporters[0].id, 0x0102);
        let flow = &sink.flows[0];
        assert_eq!((flow.number(Field::EngineType), flow.number(Field::EngineId)), (1, 2));
        assert_eq!((flow.number(Field::Packets), sink.samplers.len()), (6, 0));
    }

    #[test]
    fn lost_flows_are_counted_by_the_flow_sequence() {
        let datagram = |sequence| {
            V7Builder::new(Header { sequence, ..HEADER }).record(record(17, 1, 2)).build()
        };
        let (decoder, _) = decode(&[1000, 1001, 1031, 1032].map(datagram));
        assert_eq!(decoder.counters().lost_records, 29);
    }

    #[test]
    fn cut_at_each_octet_delivers_whole_records() {
        let full = (0..3).fold(V7Builder::new(HEADER), |b, _| b.record(record(17, 1, 2))).build();
        for len in 0..full.len() {
            let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
            let outcome = decoder.decode(PEER, NOW_MS, &full[..len], &mut sink);
            let whole = len.saturating_sub(HEADER_LEN) / RECORD_LEN;
            assert_eq!((outcome.flows, sink.flows.len()), (whole as u64, whole), "length {len}");
            assert!(outcome.is_bad(), "length {len}");
        }
    }
}
