//! NetFlow v5: a header of 24 octets and up to 30 records of 48 octets, all big-endian.

use crate::cursor::{self, Parsed};
use crate::derive::{self, Clock, Origin};
use crate::options::learn_sampler;
use crate::sequence::{Step, Unit};
use crate::{Datagram, DecodeError, Decoder, Protocol};
use nom::Parser;
use nom::number::complete::{be_u16, be_u32};
use record::time::from_uptime;
use record::{Addr, Field, Flow, FlowSink, Sampler};

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
        self.unix_secs as u64 * 1000 + (self.unix_nsecs / 1_000_000) as u64
    }

    /// The sampler it speaks of, none for an interval of 0 or 1.
    fn sampler(&self, exporter: u32) -> Option<Sampler> {
        let interval = u32::from(self.sampling & 0x3fff);
        (interval > 1).then(|| Sampler {
            exporter,
            algorithm: self.sampling >> 14,
            id: Sampler::GENERIC,
            packet_interval: 1,
            space_interval: interval - 1,
        })
    }
}

/// Reads one datagram.
pub(crate) fn decode<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    datagram: &Datagram<'_>,
    sink: &mut S,
) -> Result<(), DecodeError> {
    let bytes = datagram.bytes;
    let header = cursor::take(bytes, 0, ("v5 header", HEADER_LEN), Header::parse)
        .inspect_err(|_| decoder.counters.truncated_headers += 1)?;
    let id = u32::from(header.engine_type) << 8 | u32::from(header.engine_id);
    let at = decoder.exporter(datagram, Protocol::V5, id, sink)?;
    decoder.announce_flows(header.count.into());
    let Some(state) = decoder.exporters.get_mut(at) else { return Ok(()) };
    let units = Some(u32::from(header.count));
    let uptime = Some(header.uptime_ms);
    let step = Step { number: header.sequence, units, flows: None, uptime };
    state.observe(step, Unit::Records, &mut decoder.counters);

    let sysid = state.exporter.sysid;
    let origin = Origin {
        export_ms: header.export_ms(),
        clock: Clock::Uptime(header.uptime_ms),
        received_ms: datagram.now_ms,
        router: datagram.peer,
        sysid,
        source: Protocol::V5.source(),
        engine: (header.engine_type, header.engine_id),
        domain: id,
    };
    // A device that stops sampling says so by an interval of 0 or 1.
    let announced = header.sampler(sysid).or_else(|| {
        let old = state.samplers.get(Sampler::GENERIC)?;
        Some(Sampler { space_interval: 0, ..*old })
    });
    if let Some(sampler) = announced {
        learn_sampler(
            state,
            sampler,
            &decoder.config.limits,
            &mut decoder.sampler_budget,
            &mut decoder.counters,
            sink,
        );
    }
    let sampler =
        state.samplers.find(None).filter(|s| s.id != Sampler::GENERIC || s.space_interval > 0);

    let body = bytes.get(HEADER_LEN..).unwrap_or_default();
    let (records, rest) = body.as_chunks::<RECORD_LEN>();
    let wanted = usize::from(header.count);
    for record in records.iter().take(wanted) {
        let is_sane = read_record(record, &origin, &mut decoder.flow);
        decoder.counters.odd_uptimes += u64::from(!is_sane);
        if let Some(sampler) = &sampler {
            derive::scale(&mut decoder.flow, sampler);
        }
        sink.flow(&decoder.flow);
    }
    let read = wanted.min(records.len());
    decoder.counters.flows += read as u64;
    if read < wanted {
        decoder.counters.truncated_messages += 1;
        decoder.counters.truncated_records += u64::from(!rest.is_empty());
        let need = wanted * RECORD_LEN;
        return Err(DecodeError::Truncated {
            what: "v5 records",
            at: HEADER_LEN,
            need,
            have: body.len(),
        });
    }
    decoder.counters.trailing_bytes += (body.len() - read * RECORD_LEN) as u64;
    Ok(())
}

/// Offsets in a record, in wire order.
mod at {
    pub(super) const SRC_ADDR: usize = 0;
    pub(super) const DST_ADDR: usize = 4;
    pub(super) const NEXT_HOP: usize = 8;
    pub(super) const INPUT: usize = 12;
    pub(super) const OUTPUT: usize = 14;
    pub(super) const PACKETS: usize = 16;
    pub(super) const OCTETS: usize = 20;
    pub(super) const FIRST: usize = 24;
    pub(super) const LAST: usize = 28;
    pub(super) const SRC_PORT: usize = 32;
    pub(super) const DST_PORT: usize = 34;
    pub(super) const TCP_FLAGS: usize = 37;
    pub(super) const PROTO: usize = 38;
    pub(super) const TOS: usize = 39;
    pub(super) const SRC_AS: usize = 40;
    pub(super) const DST_AS: usize = 42;
    pub(super) const SRC_MASK: usize = 44;
    pub(super) const DST_MASK: usize = 45;
}

/// Fills the flow. Returns whether its uptimes were plausible.
#[expect(
    clippy::indexing_slicing,
    reason = "offsets of module `at` plus their widths lie within the 48 octets of the array"
)]
fn read_record(record: &[u8; RECORD_LEN], origin: &Origin, flow: &mut Flow) -> bool {
    let u8_at = |i: usize| u64::from(record[i]);
    let u16_at = |i: usize| u64::from(u16::from_be_bytes([record[i], record[i + 1]]));
    let u32_at =
        |i: usize| u32::from_be_bytes([record[i], record[i + 1], record[i + 2], record[i + 3]]);
    let uptime = if let Clock::Uptime(uptime) = origin.clock { uptime } else { 0 };
    let time_at = |i: usize| from_uptime(origin.export_ms, uptime, u32_at(i));

    let (first, last) = (time_at(at::FIRST), time_at(at::LAST));
    let (first, last, is_sane) = derive::not_in_future(first, last, origin.export_ms);
    flow.clear();
    flow.set(Field::First, first);
    flow.set(Field::Last, last);
    flow.set(Field::Packets, u64::from(u32_at(at::PACKETS)));
    flow.set(Field::Bytes, u64::from(u32_at(at::OCTETS)));
    flow.set(Field::SrcPort, u16_at(at::SRC_PORT));
    flow.set(Field::DstPort, u16_at(at::DST_PORT));
    flow.set(Field::Proto, u8_at(at::PROTO));
    flow.set(Field::TcpFlags, u8_at(at::TCP_FLAGS));
    flow.set(Field::SrcTos, u8_at(at::TOS));
    flow.set_addr(Field::SrcAddr, Addr::V4(u32_at(at::SRC_ADDR)));
    flow.set_addr(Field::DstAddr, Addr::V4(u32_at(at::DST_ADDR)));
    flow.set(Field::Input, u16_at(at::INPUT));
    flow.set(Field::Output, u16_at(at::OUTPUT));
    flow.set(Field::SrcMask, u8_at(at::SRC_MASK));
    flow.set(Field::DstMask, u8_at(at::DST_MASK));
    let (src_as, dst_as) = (u16_at(at::SRC_AS), u16_at(at::DST_AS));
    if src_as != 0 || dst_as != 0 {
        flow.set(Field::SrcAs, src_as);
        flow.set(Field::DstAs, dst_as);
    }
    let next_hop = u32_at(at::NEXT_HOP);
    if next_hop != 0 {
        flow.set_addr(Field::NextHop, Addr::V4(next_hop));
    }
    derive::icmp_ports(flow);
    derive::stamp(flow, origin, 0);
    is_sane
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Collect, Record, V5Builder};
    use crate::{Config, DefaultSampling};
    use record::code::record_flags;

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
        late[at::FIRST..at::FIRST + 4].copy_from_slice(&600_000_000u32.to_be_bytes());
        late[at::LAST..at::LAST + 4].copy_from_slice(&600_005_000u32.to_be_bytes());
        let (decoder, sink) =
            decode_with(Config::default(), &[V5Builder::new(header).record(late).build()]);
        assert_eq!(sink.flows[0].number(Field::Last), header.export_ms());
        assert_eq!(sink.flows[0].number(Field::First), header.export_ms() - 5000);
        assert_eq!(decoder.counters().odd_uptimes, 1);
    }
}
