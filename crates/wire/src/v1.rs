//! NetFlow v1: a header of 16 octets and records of 48 or 52 octets, all big-endian.
//!
//! Cisco documents at most 24 records a datagram and softflowd sends 29; what is there is read.
//! There is no sequence number: what is lost on the way to the collector cannot be seen, and each
//! message counts as `sequence_unchecked`.
//!
//! Records have 12 octets behind the ports, of which 5 are used. Extreme Networks documents 16, and
//! tells nowhere in the datagram that it does so: a datagram of exactly that size is taken for one.

use crate::cursor::{self, Parsed};
use crate::fixed::{self, Format, Head};
use crate::{Datagram, DecodeError, Decoder, Protocol};
use nom::Parser;
use nom::number::complete::{be_u16, be_u32};
use record::{Field, Flow, FlowSink};

/// Octets of the header.
pub const HEADER_LEN: usize = 16;

/// Octets of a record.
pub const RECORD_LEN: usize = 48;

/// Octets of a record with four more octets of padding.
pub const LONG_RECORD_LEN: usize = 52;

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
}

impl Header {
    /// Reads the 16 octets of a header.
    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, (_version, count, uptime_ms, unix_secs, unix_nsecs)) =
            (be_u16, be_u16, be_u32, be_u32, be_u32).parse(input)?;
        Ok((input, Self { count, uptime_ms, unix_secs, unix_nsecs }))
    }

    fn head(&self, at: usize) -> Head {
        Head {
            protocol: Protocol::V1,
            starts_at: at,
            records_at: at + HEADER_LEN,
            count: self.count,
            uptime_ms: self.uptime_ms,
            export_ms: fixed::export_ms(self.unix_secs, self.unix_nsecs),
            sequence: None,
            engine: (0, 0),
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
        let header = cursor::take(datagram.bytes, at, ("v1 header", HEADER_LEN), Header::parse)
            .inspect_err(|_| decoder.counters.truncated_headers += 1)?;
        let head = header.head(at);
        let octets = datagram.bytes.len() - head.records_at;
        if octets > 0 && octets == usize::from(header.count) * LONG_RECORD_LEN {
            fixed::records::<V1, LONG_RECORD_LEN, S>(decoder, datagram, &head, sink)
        } else {
            fixed::records::<V1, RECORD_LEN, S>(decoder, datagram, &head, sink)
        }
    })
}

/// Records of v1.
struct V1;

impl<const LEN: usize> Format<LEN> for V1 {
    const RECORDS: &'static str = "v1 records";

    #[inline]
    fn read_rest(record: &[u8; LEN], flow: &mut Flow) {
        let Some([_, _, proto, tos, flags]) = record.get(fixed::COMMON_LEN..fixed::COMMON_LEN + 5)
        else {
            return;
        };
        flow.set(Field::Proto, u64::from(*proto));
        flow.set(Field::SrcTos, u64::from(*tos));
        flow.set(Field::TcpFlags, u64::from(*flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Collect, Record, V1Builder};
    use crate::{Config, DefaultSampling};
    use record::Addr;

    const NOW_MS: u64 = 1_795_000_000_123;
    const PEER: Addr = Addr::V4(0xc000_0201);

    const HEADER: Header =
        Header { count: 0, uptime_ms: 100_000, unix_secs: 1_794_999_999, unix_nsecs: 500_000_000 };

    /// A record with a value of its own in each field.
    fn record<const LEN: usize>(proto: u8, src_port: u16, dst_port: u16) -> [u8; LEN] {
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
            .number(0xffff, 2)
            .number(proto.into(), 1)
            .number(8, 1)
            .number(0x1b, 1)
            .octets(&vec![0xff; LEN - 41]);
        record.build().try_into().unwrap()
    }

    fn decode_with(config: Config, datagrams: &[Vec<u8>]) -> (Decoder, Collect) {
        let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
        for datagram in datagrams {
            decoder.decode(PEER, NOW_MS, datagram, &mut sink);
        }
        (decoder, sink)
    }

    #[test]
    fn every_field_arrives_from_short_and_long_records() {
        let short = V1Builder::new(HEADER).record(record::<48>(6, 443, 50_000));
        let short = short.record(record::<48>(17, 1, 2)).build();
        let long = V1Builder::new(HEADER).record(record::<52>(6, 443, 50_000));
        let long = long.record(record::<52>(17, 1, 2)).build();
        for datagram in [short, long] {
            let what = format!("{} octets", datagram.len());
            let (decoder, sink) = decode_with(Config::default(), &[datagram]);
            let export_ms = 1_794_999_999_500;
            let row = sink.flows[0].as_row();
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
                (Field::EngineType, 0),
                (Field::EngineId, 0),
                (Field::ExporterId, 1),
                (Field::RecordFlags, 0),
                (Field::Source, 1),
            ];
            for (field, want) in want {
                assert_eq!(row.u64(field), Some(want), "{what} {field:?}");
            }
            let addrs = [
                (Field::SrcAddr, 0x0a00_0001),
                (Field::DstAddr, 0x0a00_0002),
                (Field::NextHop, 0x0a00_0003),
                (Field::Router, 0xc000_0201),
            ];
            for (field, want) in addrs {
                assert_eq!(row.addr(field), Some(Addr::V4(want)), "{what} {field:?}");
            }
            let derived = [Field::IcmpType, Field::IcmpCode].len();
            let fields = row.shape().fields().count();
            assert_eq!(fields, want.len() + addrs.len() + derived, "{what}: and no others");
            assert_eq!(sink.flows[1].number(Field::Proto), 17, "{what}");
            assert_eq!((sink.exporters[0].version, sink.exporters[0].id), (1, 0));
            assert_eq!(decoder.counters().trailing_bytes, 0);
        }
    }

    #[test]
    fn more_records_than_cisco_sends_are_read() {
        for count in [24, 25, 29, 30, 1000] {
            let datagram = (0..count)
                .fold(V1Builder::new(HEADER), |b, n| b.record(record::<48>(17, n, 2)))
                .build();
            let (decoder, sink) = decode_with(Config::default(), &[datagram]);
            let ports: Vec<_> = sink.flows.iter().map(|f| f.number(Field::SrcPort)).collect();
            assert_eq!(ports, (0..u64::from(count)).collect::<Vec<_>>());
            assert_eq!(decoder.counters().bad_datagrams, 0);
        }
    }

    #[test]
    fn there_is_no_sequence_to_check() {
        let datagram = V1Builder::new(HEADER).record(record::<48>(17, 1, 2)).build();
        let (mut decoder, _) = decode_with(Config::default(), &vec![datagram; 3]);
        let c = *decoder.counters();
        assert_eq!((c.sequence_unchecked, c.sequence_gaps, c.duplicates), (3, 0, 0));
        let slot = decoder.take_slots()[0];
        assert_eq!((slot.counts.datagrams, slot.counts.flows, slot.counts.gaps), (3, 3, 0));
    }

    #[test]
    fn cut_at_each_octet_delivers_whole_records() {
        let full =
            (0..3).fold(V1Builder::new(HEADER), |b, _| b.record(record::<48>(17, 1, 2))).build();
        for len in 0..full.len() {
            let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
            let outcome = decoder.decode(PEER, NOW_MS, &full[..len], &mut sink);
            let whole = len.saturating_sub(HEADER_LEN) / RECORD_LEN;
            assert_eq!((outcome.flows, sink.flows.len()), (whole as u64, whole), "length {len}");
            assert!(outcome.is_bad(), "length {len}");
            let c = decoder.counters();
            let causes = [c.short_datagrams, c.truncated_headers, c.truncated_messages];
            assert_eq!(causes.iter().sum::<u64>(), 1, "length {len}");
        }
    }

    #[test]
    fn the_rate_is_the_operators() {
        let datagram = V1Builder::new(HEADER).record(record::<48>(17, 1, 2)).build();
        for given in [DefaultSampling::Otherwise(10), DefaultSampling::Override(10)] {
            let config = Config { default_sampling: Some(given), ..Config::default() };
            let (_, sink) = decode_with(config, std::slice::from_ref(&datagram));
            assert_eq!(sink.flows[0].number(Field::Packets), 60, "{given:?}");
        }
    }
}
