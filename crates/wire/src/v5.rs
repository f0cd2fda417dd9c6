//! NetFlow v5: a header of 24 octets and up to 30 records of 48 octets, all big-endian.

use crate::cursor::{self, Parsed};
use crate::fixed::{self, Format, Head};
use crate::{Datagram, DecodeError, Decoder, Protocol};
use nom::Parser;
use nom::number::complete::{be_u16, be_u32};
use record::{Flow, FlowSink};

/// Octets of the header.
pub const HEADER_LEN: usize = 24;

/// Octets of a record.
pub const RECORD_LEN: usize = 48;

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
    /// Type of the flow switching engine.
    pub engine_type: u8,
    /// Slot number of the engine.
    pub engine_id: u8,
    /// Two bits of mode, 14 bits of interval: one packet of so many.
    pub sampling: u16,
}

impl Header {
    /// Reads the 24 octets of a header.
    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, (_version, count, uptime_ms, unix_secs)) =
            (be_u16, be_u16, be_u32, be_u32).parse(input)?;
        let (input, (unix_nsecs, sequence, engine, sampling)) =
            (be_u32, be_u32, be_u16, be_u16).parse(input)?;
        let [engine_type, engine_id] = engine.to_be_bytes();
        let header = Self {
            count,
            uptime_ms,
            unix_secs,
            unix_nsecs,
            sequence,
            engine_type,
            engine_id,
            sampling,
        };
        Ok((input, header))
    }

    /// Export time in milliseconds since 1970.
    pub const fn export_ms(&self) -> u64 {
        fixed::export_ms(self.unix_secs, self.unix_nsecs)
    }

    const fn head(&self, at: usize) -> Head {
        Head {
            protocol: Protocol::V5,
            starts_at: at,
            records_at: at + HEADER_LEN,
            count: self.count,
            uptime_ms: self.uptime_ms,
            export_ms: self.export_ms(),
            sequence: Some(self.sequence),
            engine: (self.engine_type, self.engine_id),
            sampling: Some(self.sampling),
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
        let header = cursor::take(datagram.bytes, at, ("v5 header", HEADER_LEN), Header::parse)
            .inspect_err(|_| decoder.counters.truncated_headers += 1)?;
        fixed::records::<V5, RECORD_LEN, S>(decoder, datagram, &header.head(at), sink)
    })
}

/// Records of v5.
struct V5;

impl Format<RECORD_LEN> for V5 {
    const RECORDS: &'static str = "v5 records";
    const IS_V5: bool = true;

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
    use crate::testing::{Collect, Record, V5Builder};
    use crate::{Config, DefaultSampling};
    use record::code::record_flags;
    use record::{Addr, Field};

    const NOW_MS: u64 = 1_795_000_000_123;
    const PEER: Addr = Addr::V4(0xc000_0201);

    const HEADER: Header = Header {
        count: 0,
        uptime_ms: 100_000,
        unix_secs: 1_794_999_999,
        unix_nsecs: 500_000_000,
        sequence: 1000,
        engine_type: 1,
        engine_id: 2,
        sampling: 0,
    };

    /// A record with a value of its own in each field.
    fn record(proto: u8, src_port: u16, dst_port: u16) -> [u8; RECORD_LEN] {
        let record = Record::new()
            .addr(Addr::V4(0x0a00_0001))
            .addr(Addr::V4(0x0a00_0002))
            .addr(Addr::V4(0x0a00_0003))
            .number(4, 2)
            .number(5, 2)
            .number(6, 4)
            .number(7, 4)
            .number(90_000, 4)
            .number(99_000, 4)
            .number(src_port.into(), 2)
            .number(dst_port.into(), 2)
            .number(0, 1)
            .number(0x1b, 1)
            .number(proto.into(), 1)
            .number(8, 1)
            .number(9, 2)
            .number(10, 2)
            .number(24, 1)
            .number(16, 1)
            .number(0, 2);
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
    fn every_field_arrives() {
        let datagram = V5Builder::new(HEADER).record(record(6, 443, 50_000)).build();
        let (decoder, sink) = decode_with(Config::default(), &[datagram]);
        let flow = sink.flows[0].as_row();
        let export_ms = 1_794_999_999_500;
        for (field, want) in [
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
            (Field::EngineType, 1),
            (Field::EngineId, 2),
            (Field::ExporterId, 1),
            (Field::RecordFlags, 0),
            (Field::Source, 5),
        ] {
            assert_eq!(flow.u64(field), Some(want), "{field:?}");
        }
        for (field, want) in [
            (Field::SrcAddr, 0x0a00_0001),
            (Field::DstAddr, 0x0a00_0002),
            (Field::NextHop, 0x0a00_0003),
            (Field::Router, 0xc000_0201),
        ] {
            assert_eq!(flow.addr(field), Some(Addr::V4(want)), "{field:?}");
        }
        assert_eq!(sink.exporters[0].id, 0x0102);
        assert_eq!(decoder.counters().flows, 1);
    }

    #[test]
    fn cut_at_each_octet_delivers_whole_records() {
        let full = (0..3).fold(V5Builder::new(HEADER), |b, _| b.record(record(17, 1, 2))).build();
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
    fn octets_after_the_records_are_counted() {
        let mut datagram = V5Builder::new(HEADER).record(record(17, 1, 2)).build();
        datagram.extend([0; 6]);
        let (decoder, sink) = decode_with(Config::default(), &[datagram]);
        assert_eq!(sink.flows.len(), 1);
        assert_eq!(decoder.counters().trailing_bytes, 6);
        assert_eq!(decoder.counters().bad_datagrams, 0);
    }

    #[test]
    fn sampling_follows_each_header() {
        let datagram = |sampling| {
            V5Builder::new(Header { sampling, ..HEADER }).record(record(17, 1, 2)).build()
        };
        let all: Vec<_> = [0, 0x4002, 0x4064, 1, 0].map(datagram).into();
        let (_, sink) = decode_with(Config::default(), &all);
        let seen: Vec<_> = sink
            .flows
            .iter()
            .map(|f| {
                (f.number(Field::Packets), f.number(Field::Bytes), f.number(Field::RecordFlags))
            })
            .collect();
        let sampled = u64::from(record_flags::SAMPLED);
        assert_eq!(
            seen,
            [(6, 7, 0), (12, 14, sampled), (600, 700, sampled), (6, 7, 0), (6, 7, 0),]
        );
        let told: Vec<_> = sink.samplers.iter().map(|s| (s.algorithm, s.space_interval)).collect();
        assert_eq!(told, [(1, 1), (1, 99), (1, 0)]);
    }

    #[test]
    fn the_operator_may_give_a_rate() {
        let datagrams = [0, 100].map(|sampling| {
            V5Builder::new(Header { sampling, ..HEADER }).record(record(17, 1, 2)).build()
        });
        for (given, want) in [
            (None, [6, 600]),
            (Some(DefaultSampling::Otherwise(10)), [60, 600]),
            (Some(DefaultSampling::Override(10)), [60, 60]),
        ] {
            let config = Config { default_sampling: given, ..Config::default() };
            let (_, sink) = decode_with(config, &datagrams);
            let packets: Vec<_> = sink.flows.iter().map(|f| f.number(Field::Packets)).collect();
            assert_eq!(packets, want, "{given:?}");
        }
    }

    #[test]
    fn icmp_type_and_code() {
        for (name, src, dst, want) in [
            ("in the destination port", 0, 0x0301, 0x0301),
            ("in the source port, code first", 0x0103, 0, 0x0301),
            ("echo reply", 0, 0, 0),
        ] {
            let datagram = V5Builder::new(HEADER).record(record(1, src, dst)).build();
            let (_, sink) = decode_with(Config::default(), &[datagram]);
            assert_eq!(sink.flows[0].number(Field::DstPort), want, "{name}");
            assert_eq!(sink.flows[0].number(Field::SrcPort), 0, "{name}");
        }
    }

    #[test]
    fn lost_flows_are_counted_by_the_flow_sequence() {
        let datagram = |sequence| {
            V5Builder::new(Header { sequence, ..HEADER }).record(record(17, 1, 2)).build()
        };
        let (mut decoder, _) =
            decode_with(Config::default(), &[1000, 1001, 1031, 1032].map(datagram));
        assert_eq!(decoder.counters().lost_records, 29);
        let stats = decoder.take_stats();
        assert_eq!((stats[0].sequence_failures, stats[0].packets, stats[0].flows), (1, 4, 4));
        assert_eq!(decoder.take_stats()[0].packets, 0);
        assert_eq!(decoder.exporters().next().unwrap().totals.datagrams, 4);
    }

    #[test]
    fn uptimes_of_another_clock_are_dated_by_the_export() {
        let header = Header { uptime_ms: 1000, ..HEADER };
        let mut late = record(17, 1, 2);
        late[24..28].copy_from_slice(&600_000_000u32.to_be_bytes());
        late[28..32].copy_from_slice(&600_005_000u32.to_be_bytes());
        let (decoder, sink) =
            decode_with(Config::default(), &[V5Builder::new(header).record(late).build()]);
        assert_eq!(sink.flows[0].number(Field::Last), header.export_ms());
        assert_eq!(sink.flows[0].number(Field::First), header.export_ms() - 5000);
        assert_eq!(decoder.counters().odd_uptimes, 1);
    }

    #[test]
    fn a_count_that_lies_costs_no_whole_record() {
        let build = |count, records: usize, tail: &[u8]| {
            let b = (0..records).fold(V5Builder::new(HEADER), |b, _| b.record(record(17, 1, 2)));
            [&b.claim(count).build()[..], tail].concat()
        };
        for (name, datagram, flows, is_bad, trailing) in [
            ("one too many", build(3, 2, &[]), 2, true, 0),
            ("as many as can be", build(u16::MAX, 2, &[]), 2, true, 0),
            ("none, and none there", build(0, 0, &[]), 0, false, 0),
            ("none, and two there", build(0, 2, &[]), 0, false, 96),
            ("one too few", build(1, 2, &[]), 1, false, 48),
            ("padded with zeros", build(2, 2, &[0; 100]), 2, false, 100),
            ("part of a record behind", build(2, 2, &[1; 47]), 2, false, 47),
        ] {
            let (decoder, sink) = decode_with(Config::default(), &[datagram]);
            let c = decoder.counters();
            assert_eq!(sink.flows.len(), flows, "{name}");
            assert_eq!((c.bad_datagrams == 1, c.trailing_bytes), (is_bad, trailing), "{name}");
        }
    }

    #[test]
    fn several_messages_in_a_datagram_are_all_read() {
        let message = |sequence, count| {
            let b = V5Builder::new(Header { sequence, ..HEADER });
            (0..count).fold(b, |b, _| b.record(record(17, 1, 2))).build()
        };
        let both = [message(1000, 2), message(1002, 1)].concat();
        let (decoder, sink) = decode_with(Config::default(), std::slice::from_ref(&both));
        let c = decoder.counters();
        assert_eq!((sink.flows.len(), c.bad_datagrams, c.sequence_gaps), (3, 0, 0));
        // Cut within the second one.
        for len in message(1000, 2).len() + 4..both.len() {
            let (decoder, sink) = decode_with(Config::default(), &[both[..len].to_vec()]);
            assert_eq!((sink.flows.len(), decoder.counters().bad_datagrams), (2, 1), "{len}");
        }
    }

    #[test]
    fn a_device_without_a_clock_is_dated_by_the_arrival() {
        for unix_secs in [0, 1_000] {
            let header = Header { unix_secs, ..HEADER };
            let datagram = V5Builder::new(header).record(record(17, 1, 2)).build();
            let (decoder, sink) = decode_with(Config::default(), &[datagram]);
            assert_eq!(sink.flows[0].number(Field::First), NOW_MS - 10_000, "{unix_secs}");
            assert_eq!(sink.flows[0].number(Field::Last), NOW_MS - 1_000, "{unix_secs}");
            assert_eq!(decoder.counters().undated, 1, "{unix_secs}");
        }
    }

    #[test]
    fn uptimes_wrap_between_flow_and_export() {
        let export_ms = HEADER.export_ms();
        for (name, uptime_ms, first, last, want) in [
            ("no wrap", 100_000, 90_000, 99_000, (10_000, 1_000)),
            ("between flow and export", 500, u32::MAX - 1499, u32::MAX - 499, (2_000, 1_000)),
            ("within the flow", 2_000, u32::MAX - 999, 1_000, (3_000, 1_000)),
            ("uptime 0 throughout", 0, 0, 0, (0, 0)),
        ] {
            let mut octets = record(17, 1, 2);
            octets[24..28].copy_from_slice(&u32::to_be_bytes(first));
            octets[28..32].copy_from_slice(&u32::to_be_bytes(last));
            let header = Header { uptime_ms, ..HEADER };
            let datagram = V5Builder::new(header).record(octets).build();
            let (_, sink) = decode_with(Config::default(), &[datagram]);
            let times = [Field::First, Field::Last].map(|f| sink.flows[0].number(f));
            assert_eq!(times, [export_ms - want.0, export_ms - want.1], "{name}");
        }
    }

    #[test]
    fn sampling_modes_do_not_change_the_interval() {
        for mode in 0..4u16 {
            let header = Header { sampling: mode << 14 | 0x3fff, ..HEADER };
            let datagram = V5Builder::new(header).record(record(17, 1, 2)).build();
            let (_, sink) = decode_with(Config::default(), &[datagram]);
            assert_eq!(sink.flows[0].number(Field::Packets), 6 * 0x3fff, "mode {mode}");
            assert_eq!(sink.samplers[0].algorithm, mode);
        }
    }
}
