//! NetFlow v9 (RFC 3954): a header of 20 octets, then sets (FlowSets) of templates and data.

use crate::cursor::{self, Parsed};
use crate::derive::{self, Clock, Origin};
use crate::sequence::{Step, Unit, Uptime};
use crate::set::{Message, SetIds};
use crate::template::{Definition, FieldSpec, PEN_V9_SCOPE};
use crate::{Datagram, DecodeError, Decoder, Protocol};
use nom::Parser;
use nom::multi::count;
use nom::number::complete::{be_u16, be_u32};
use record::FlowSink;

/// Octets of the header.
pub const HEADER_LEN: usize = 20;
/// Set id of templates.
pub const TEMPLATES: u16 = 0;
/// Set id of options templates.
pub const OPTIONS_TEMPLATES: u16 = 1;

/// What the header of a datagram says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Records of all kinds in the datagram; exporters disagree about what counts, so it is not
    /// relied upon.
    pub count: u16,
    /// Milliseconds since the device booted.
    pub uptime_ms: u32,
    /// Export time, seconds since 1970.
    pub unix_secs: u32,
    /// Datagrams exported before this one.
    pub sequence: u32,
    /// Tells exporters behind one address apart.
    pub source_id: u32,
}

impl Header {
    /// Reads the 20 octets of a header.
    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, (_version, count, uptime_ms)) = (be_u16, be_u16, be_u32).parse(input)?;
        let (input, (unix_secs, sequence, source_id)) = (be_u32, be_u32, be_u32).parse(input)?;
        Ok((input, Self { count, uptime_ms, unix_secs, sequence, source_id }))
    }
}

/// Reads one datagram.
pub(crate) fn decode<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    datagram: &Datagram<'_>,
    sink: &mut S,
) -> Result<(), DecodeError> {
    let header = cursor::take(datagram.bytes, 0, ("v9 header", HEADER_LEN), Header::parse)
        .inspect_err(|_| decoder.counters.truncated_headers += 1)?;
    let exporter = decoder.exporter(datagram, Protocol::V9, header.source_id, sink)?;
    if decoder.is_dropped(exporter, header.sequence, datagram.bytes, datagram.now_ms) {
        return Ok(());
    }
    let Some(state) = decoder.exporters.get_mut(exporter) else { return Ok(()) };
    let export_ms = u64::from(header.unix_secs) * 1000;
    let uptime = Some(Uptime { ms: header.uptime_ms, export_ms, arrival_ms: datagram.now_ms });
    let step = Step { number: header.sequence, units: Some(1), flows: None, uptime };
    state.observe(step, Unit::Datagrams, &mut decoder.counters);
    let [.., engine_type, engine_id] = header.source_id.to_be_bytes();
    let origin = Origin {
        export_ms: derive::export_or_arrival(export_ms, datagram.now_ms, &mut decoder.counters),
        clock: Clock::Uptime(header.uptime_ms),
        received_ms: datagram.now_ms,
        router: datagram.peer,
        sysid: state.exporter.sysid,
        source: Protocol::V9.source(),
        engine: (engine_type, engine_id),
        domain: header.source_id,
    };
    let mut message = Message::new(exporter, origin);
    let outcome = decoder.sets(&SETS, &mut message, datagram.bytes, HEADER_LEN, sink);
    decoder.read_deferred(&mut message, datagram.bytes, sink);
    decoder.unpark(exporter, datagram.now_ms, sink);
    outcome
}

const SETS: SetIds = SetIds { templates: TEMPLATES, options: OPTIONS_TEMPLATES, definitions };

/// Takes in the templates of one set. What is left and too short for one is padding.
fn definitions(decoder: &mut Decoder, message: &Message, set: u16, body: &[u8]) {
    let mut rest = body;
    while rest.len() > 3 {
        let parsed = if set == OPTIONS_TEMPLATES { options_template(rest) } else { template(rest) };
        let Ok((left, definition)) = parsed else {
            decoder.counters.templates_truncated += 1;
            return;
        };
        // An id of 0 is padding longer than it has to be.
        if definition.id != 0 || !definition.fields.is_empty() {
            decoder.learn(message, definition);
        }
        rest = left;
    }
}

/// A template record (RFC 3954, 5.2).
fn template(input: &[u8]) -> Parsed<'_, Definition> {
    let (input, (id, fields)) = (be_u16, be_u16).parse(input)?;
    let (input, fields) = count(field(0), usize::from(fields)).parse(input)?;
    Ok((input, Definition { id, is_options: false, fields }))
}

/// An options template record (RFC 3954, 6.1): lengths of the two parts are in octets.
fn options_template(input: &[u8]) -> Parsed<'_, Definition> {
    let (input, (id, scopes, options)) = (be_u16, be_u16, be_u16).parse(input)?;
    let (input, mut fields) = count(field(PEN_V9_SCOPE), usize::from(scopes) / 4).parse(input)?;
    let (input, options) = count(field(0), usize::from(options) / 4).parse(input)?;
    fields.extend(options);
    Ok((input, Definition { id, is_options: true, fields }))
}

fn field(pen: u32) -> impl Fn(&[u8]) -> Parsed<'_, FieldSpec> {
    move |input| (be_u16, be_u16).map(|(id, len)| FieldSpec { pen, id, len }).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Collect, Record, V9Builder};
    use crate::{Config, ExporterView, Limits};
    use record::code::record_flags;
    use record::{Addr, Field, NameTable};

    const NOW_MS: u64 = 1_795_000_000_123;
    const EXPORT_MS: u64 = 1_795_000_000_000;
    const PEER: Addr = Addr::V4(0xc000_0201);
    const HEADER: Header = Header {
        count: 0,
        uptime_ms: 1_000_000,
        unix_secs: 1_795_000_000,
        sequence: 5,
        source_id: 0x0001_0203,
    };

    fn run(datagrams: &[Vec<u8>]) -> (Decoder, Collect) {
        run_with(Config::default(), datagrams)
    }

    fn run_with(config: Config, datagrams: &[Vec<u8>]) -> (Decoder, Collect) {
        let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
        for datagram in datagrams {
            decoder.decode(PEER, NOW_MS, datagram, &mut sink);
        }
        (decoder, sink)
    }

    /// One record of (element, length, value) in a datagram with its template.
    fn one(fields: &[(u16, u16, u64)]) -> Vec<u8> {
        let template: Vec<_> = fields.iter().map(|f| (f.0, f.1)).collect();
        let record = fields.iter().fold(Record::new(), |r, f| r.number(f.2, f.1.into())).build();
        V9Builder::new(HEADER).template(256, &template).data(256, &[record]).build()
    }

    #[test]
    fn flows_carry_their_origin() {
        let (mut decoder, sink) =
            run(&[one(&[(1, 4, 700), (2, 4, 7), (22, 4, 990_000), (21, 4, 999_999)])]);
        let flow = &sink.flows[0];
        for (field, want) in [
            (Field::Bytes, 700),
            (Field::Packets, 7),
            (Field::First, EXPORT_MS - 10_000),
            (Field::Last, EXPORT_MS - 1),
            (Field::Received, NOW_MS),
            (Field::ExporterId, 1),
            (Field::EngineType, 2),
            (Field::EngineId, 3),
            (Field::Source, 9),
            (Field::RecordFlags, 0),
        ] {
            assert_eq!(flow.as_row().u64(field), Some(want), "{field:?}");
        }
        assert_eq!(flow.as_row().addr(Field::Router), Some(PEER));
        assert_eq!((sink.exporters[0].version, sink.exporters[0].id), (9, 0x0001_0203));
        assert_eq!(decoder.take_stats()[0].flows, 1);
        assert_eq!(decoder.templates().map(|t| (t.id, t.records)).collect::<Vec<_>>(), [(256, 1)]);
    }

    #[test]
    fn cut_at_each_octet_never_delivers_less_than_is_whole() {
        let header = HEADER;
        let records: Vec<_> =
            (0..4).map(|i| Record::new().number(i, 4).number(1, 4).build()).collect();
        let full =
            V9Builder::new(header).template(256, &[(1, 4), (2, 4)]).data(256, &records).build();
        let data_at = HEADER_LEN + 4 + 12 + 4;
        for len in 0..full.len() {
            let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
            let outcome = decoder.decode(PEER, NOW_MS, &full[..len], &mut sink);
            let whole = len.saturating_sub(data_at) / 8;
            assert_eq!(sink.flows.len(), whole, "length {len}");
            assert_eq!(outcome.flows, whole as u64, "length {len}");
            // Cut between two sets, nobody can tell.
            let is_clean = [HEADER_LEN, data_at - 4].contains(&len)
                || (data_at - 4..data_at).contains(&len)
                || (HEADER_LEN..HEADER_LEN + 4).contains(&len);
            assert_eq!(outcome.is_bad(), !is_clean, "length {len}: {:?}", outcome.error);
        }
    }

    #[test]
    fn bad_sets_do_not_harm_good_ones() {
        let good = Record::new().number(9, 4).build();
        let base = || V9Builder::new(HEADER).template(256, &[(1, 4)]);
        for (name, datagram, flows, bad_sets) in [
            (
                "reserved id",
                base().set(77, &[0; 8]).data(256, std::slice::from_ref(&good)).build(),
                1,
                1,
            ),
            (
                "length 0 after data",
                {
                    let mut d = base().data(256, std::slice::from_ref(&good)).build();
                    d.extend([1, 1, 0, 0]);
                    d
                },
                1,
                1,
            ),
            ("unknown template", base().set(999, &[0; 8]).data(256, &[good]).build(), 1, 0),
        ] {
            let (decoder, sink) = run(&[datagram]);
            assert_eq!(sink.flows.len(), flows, "{name}");
            assert_eq!(decoder.counters().bad_sets, bad_sets, "{name}");
        }
    }

    #[test]
    fn data_before_its_template_in_one_datagram_is_read() {
        let record = Record::new().number(9, 4).build();
        let swapped = V9Builder::new(HEADER)
            .data(256, std::slice::from_ref(&record))
            .template(256, &[(1, 4)]);
        let (decoder, sink) = run(&[swapped.build()]);
        assert_eq!(sink.flows.len(), 1);
        assert_eq!(decoder.counters().sets_deferred, 1);
        let (decoder, sink) = run(&[V9Builder::new(HEADER).data(256, &[record]).build()]);
        assert_eq!(sink.flows.len(), 0);
        assert_eq!(decoder.counters().sets_parked, 1);
        assert_eq!(decoder.counters().bad_datagrams, 0);
    }

    #[test]
    fn numbers_of_any_width() {
        for (name, id, len, value, field, want, wide) in [
            ("reduced", 1, 3, 0x01_0203, Field::Bytes, Some(0x01_0203), 0),
            ("wide interface", 10, 8, 77, Field::Input, Some(77), 0),
            ("too wide for an id", 10, 8, 1 << 40, Field::Input, None, 1),
            ("16 octets that fit", 1, 16, 5, Field::Bytes, Some(5), 0),
            ("status of 4 octets", 89, 4, 64, Field::FwdStatus, Some(64), 0),
            ("flags of 2 octets", 6, 2, 0x0112, Field::TcpFlags, Some(0x12), 0),
            ("label", 70, 3, 0x123451, Field::Mpls1, Some(0x123451), 0),
            ("VLAN", 58, 2, 12, Field::SrcVlan, Some(12), 0),
            ("VLAN on exit", 59, 2, 13, Field::DstVlan, Some(13), 0),
            ("802.1Q VLAN on exit", 254, 2, 14, Field::PostVlanId, Some(14), 0),
        ] {
            let (decoder, sink) = run(&[one(&[(id, len, value), (4, 1, 6)])]);
            assert_eq!(sink.flows[0].as_row().u64(field), want, "{name}");
            assert_eq!(decoder.counters().wide_values, wide, "{name}");
        }
        // A counter of more than 64 bits saturates.
        let record = Record::new().octets(&[1; 12]).build();
        let datagram = V9Builder::new(HEADER).template(256, &[(1, 12)]).data(256, &[record]);
        let (decoder, sink) = run(&[datagram.build()]);
        assert_eq!(sink.flows[0].number(Field::Bytes), u64::MAX);
        assert_eq!(decoder.counters().wide_values, 1);
    }

    #[test]
    fn layer_2_segments_are_numbers_without_their_type() {
        for (name, len, value, want) in [
            ("Open vSwitch: VXLAN", 8, 0x0100_0000_0000_1388, Some(5000)),
            ("NVGRE", 8, 0x0200_0000_00ff_ffff, Some(0xff_ffff)),
            ("without a type", 8, 5000, Some(5000)),
            ("reduced", 3, 5000, Some(5000)),
            ("no such number", 8, 0x0100_0000_0100_0000, None),
        ] {
            let (decoder, sink) = run(&[one(&[(351, len, value), (4, 1, 6)])]);
            assert_eq!(sink.flows[0].as_row().u64(Field::VxLan), want, "{name}");
            assert_eq!(decoder.counters().wide_values, u64::from(want.is_none()), "{name}");
        }
    }

    #[test]
    fn a_device_without_a_clock_is_dated_by_the_arrival() {
        // None at all, and one that counts from the boot of the device.
        for unix_secs in [0, 1_000] {
            let header = Header { unix_secs, ..HEADER };
            let record = Record::new().number(990_000, 4).number(999_000, 4).build();
            let uptimes = V9Builder::new(header).template(256, &[(22, 4), (21, 4)]);
            let none = V9Builder::new(header).template(257, &[(1, 4)]);
            let octets = Record::new().number(1, 4).build();
            let datagrams =
                [uptimes.data(256, &[record]).build(), none.data(257, &[octets]).build()];
            let (decoder, sink) = run(&datagrams);
            let times = |n: usize| [Field::First, Field::Last].map(|f| sink.flows[n].number(f));
            assert_eq!(times(0), [NOW_MS - 10_000, NOW_MS - 1_000], "{unix_secs}");
            assert_eq!(times(1), [NOW_MS; 2], "{unix_secs}");
            assert_eq!(decoder.counters().undated, 2, "{unix_secs}");
        }
    }

    #[test]
    fn the_best_counter_is_taken() {
        for (name, fields, want) in [
            ("delta before total", &[(85, 4, 900), (1, 4, 100)][..], 100),
            ("initiator before total", &[(85, 4, 900), (231, 4, 50)], 50),
            ("frame octets for want of better", &[(352, 4, 64)], 64),
            ("first of two", &[(1, 4, 10), (1, 4, 20)], 10),
        ] {
            let (_, sink) = run(&[one(fields)]);
            assert_eq!(sink.flows[0].number(Field::Bytes), want, "{name}");
        }
        let (_, sink) = run(&[one(&[(22, 4, 1_000_000), (8, 4, 0), (22, 4, 5), (8, 4, 7)])]);
        assert_eq!(sink.flows[0].number(Field::First), EXPORT_MS, "the first of two times");
        let src = sink.flows[0].as_row().addr(Field::SrcAddr);
        assert_eq!(src, Some(Addr::V4(0)), "the first of two addresses");
    }

    #[test]
    fn icmp_elements() {
        for (name, fields, want) in [
            ("type and code", &[(4, 1, 1), (32, 2, 0x0301)][..], Some((1, 0x0301))),
            ("lazy element 32", &[(4, 1, 1), (11, 2, 0x0800), (32, 2, 0)], Some((1, 0x0800))),
            ("no protocol", &[(32, 2, 0x0800)], Some((1, 0x0800))),
            ("no protocol, IPv6", &[(139, 2, 0x8000)], Some((58, 0x8000))),
            (
                "apart, both 0",
                &[(4, 1, 1), (7, 2, 5), (11, 2, 17549), (176, 1, 0), (177, 1, 0)],
                Some((1, 0)),
            ),
            ("apart, IPv6", &[(4, 1, 58), (178, 1, 128), (179, 1, 3)], Some((58, 0x8003))),
            (
                "source port, code first",
                &[(4, 1, 1), (7, 2, 0x0103), (11, 2, 0)],
                Some((1, 0x0301)),
            ),
            (
                "TCP is left alone",
                &[(4, 1, 6), (7, 2, 9), (11, 2, 80), (32, 2, 0x0301)],
                Some((6, 80)),
            ),
        ] {
            let (_, sink) = run(&[one(fields)]);
            let flow = sink.flows[0].as_row();
            assert_eq!(flow.u64(Field::Proto).zip(flow.u64(Field::DstPort)), want, "{name}");
        }
    }

    #[test]
    fn times_by_every_clock() {
        let ntp =
            |ms: u64| (ms / 1000 + 2_208_988_800) << 32 | (ms % 1000 * (1 << 32)).div_ceil(1000);
        let t = EXPORT_MS - 5_678;
        for (name, fields, want) in [
            (
                "uptime",
                &[(22, 4, 990_000), (21, 4, 1_000_000)][..],
                (EXPORT_MS - 10_000, EXPORT_MS),
            ),
            ("uptime 0", &[(22, 4, 0), (21, 4, 0)], (EXPORT_MS - 1_000_000, EXPORT_MS - 1_000_000)),
            (
                "after the header",
                &[(22, 4, 999_999), (21, 4, 1_000_001)],
                (EXPORT_MS - 1, EXPORT_MS + 1),
            ),
            (
                "seconds",
                &[(150, 4, t / 1000), (151, 4, t / 1000 + 2)],
                (t / 1000 * 1000, t / 1000 * 1000 + 2000),
            ),
            ("milliseconds", &[(152, 8, t), (153, 8, t + 5)], (t, t + 5)),
            ("microseconds", &[(154, 8, ntp(t)), (155, 8, ntp(t + 5))], (t, t + 5)),
            ("nanoseconds", &[(156, 8, ntp(t)), (157, 8, ntp(t + 5))], (t, t + 5)),
            (
                "before the export",
                &[(158, 4, 7_000_000), (159, 4, 1_000)],
                (EXPORT_MS - 7000, EXPORT_MS - 1),
            ),
            ("start and duration", &[(152, 8, t), (161, 4, 33)], (t, t + 33)),
            ("end and duration", &[(153, 8, t), (162, 4, 33_000)], (t - 33, t)),
            ("start alone", &[(152, 8, t)], (t, t)),
            (
                "milliseconds before seconds",
                &[(150, 4, 1), (152, 8, t), (151, 4, 1), (153, 8, t)],
                (t, t),
            ),
            ("0 is no time", &[(152, 8, 0), (153, 8, 0)], (EXPORT_MS, EXPORT_MS)),
            ("none", &[(1, 4, 1)], (EXPORT_MS, EXPORT_MS)),
            ("observed", &[(323, 8, t)], (t, t)),
            ("collected", &[(258, 8, t)], (t, t)),
        ] {
            let (_, sink) = run(&[one(fields)]);
            let flow = &sink.flows[0];
            assert_eq!((flow.number(Field::First), flow.number(Field::Last)), want, "{name}");
        }
    }

    #[test]
    fn firewall_and_nat_events() {
        let t = EXPORT_MS - 5_000;
        let (_, sink) = run(&[one(&[
            (148, 4, 8500),
            (152, 8, t),
            (323, 8, t + 40),
            (233, 1, 2),
            (33002, 2, 2025),
        ])]);
        let flow = &sink.flows[0];
        for (field, want) in [
            (Field::First, t),
            (Field::Last, t + 40),
            (Field::FwEventTime, t + 40),
            (Field::FwEvent, 2),
            (Field::FwXEvent, 2025),
            (Field::ConnId, 8500),
            (Field::RecordFlags, u64::from(record_flags::EVENT)),
        ] {
            assert_eq!(flow.as_row().u64(field), Some(want), "{field:?}");
        }
        assert!(!flow.has(Field::FlowId));
        let (_, sink) = run(&[one(&[
            (230, 1, 4),
            (323, 8, t),
            (283, 4, 3),
            (361, 2, 1024),
            (225, 4, 0x0102_0304),
        ])]);
        let flow = &sink.flows[0];
        assert_eq!(flow.as_row().u64(Field::NatEventTime), Some(t));
        assert_eq!(flow.number(Field::First), t);
        assert_eq!(flow.number(Field::RecordFlags), u64::from(record_flags::EVENT));
        assert_eq!(flow.as_row().addr(Field::XlateSrcAddr), Some(Addr::V4(0x0102_0304)));
        // A flow id makes no event.
        let (_, sink) = run(&[one(&[(148, 4, 77)])]);
        assert_eq!(sink.flows[0].number(Field::FlowId), 77);
        assert_eq!(sink.flows[0].number(Field::RecordFlags), 0);
    }

    #[test]
    fn records_with_both_families() {
        let v6 = Addr::V6(0x2001_0db8 << 96 | 1);
        let other = Addr::V6(0x2001_0db8 << 96 | 2);
        let (a, b) = (Addr::V4(0x0a00_0001), Addr::V4(0x0a00_0002));
        let (zero4, zero6) = (Addr::V4(0), Addr::V6(0));
        let v6_first = [(27, 16), (28, 16), (29, 1), (8, 4), (12, 4), (9, 1)];
        let v4_first = [(8, 4), (12, 4), (9, 1), (27, 16), (28, 16), (29, 1)];
        for (name, template, addrs, want, mask) in [
            ("outer IPv6, inner IPv4", v6_first, [v6, other, a, b], (v6, other), 60),
            ("lazy, IPv4 meant", v4_first, [a, b, zero6, zero6], (a, b), 24),
            ("lazy, IPv6 meant", v4_first, [zero4, zero4, v6, other], (v6, other), 60),
            ("lazy, from ::", v4_first, [zero4, zero4, zero6, other], (zero6, other), 60),
            ("lazy, from 0.0.0.0", v6_first, [zero6, zero6, zero4, b], (zero4, b), 24),
        ] {
            let [w, x, y, z] = addrs;
            let masks = if template[0].0 == 27 { [60, 24] } else { [24, 60] };
            let record = Record::new().addr(w).addr(x).number(masks[0], 1);
            let record = record.addr(y).addr(z).number(masks[1], 1).build();
            let datagram = V9Builder::new(HEADER).template(256, &template).data(256, &[record]);
            let (_, sink) = run(&[datagram.build()]);
            let flow = sink.flows[0].as_row();
            let got = (flow.addr(Field::SrcAddr).unwrap(), flow.addr(Field::DstAddr).unwrap());
            assert_eq!(got, want, "{name}");
            assert_eq!(flow.u64(Field::SrcMask), Some(mask), "{name}");
        }
    }

    #[test]
    fn samplers_by_id_generic_and_changed() {
        let sampler = |id, rate| Record::new().number(1, 4).number(id, 8).number(rate, 4).build();
        let flow = |id| Record::new().number(100, 4).number(10, 4).number(id, 8).build();
        let big = 0x1_0000_0005;
        let datagram = V9Builder::new(HEADER)
            .options_template(300, &[(1, 4)], &[(48, 8), (50, 4)])
            .options_template(301, &[(1, 4)], &[(34, 4)])
            .template(256, &[(1, 4), (2, 4), (48, 8)])
            .data(256, &[flow(5)])
            .data(300, &[sampler(5, 1000), sampler(big, 2), sampler(5, 1000)])
            .data(256, &[flow(5), flow(big), flow(6)])
            .data(301, &[Record::new().number(1, 4).number(20, 4).build()])
            .data(256, &[flow(6), flow(5)])
            .data(300, &[sampler(5, 1)])
            .data(256, &[flow(5)]);
        let (decoder, sink) = run(&[datagram.build()]);
        let seen: Vec<_> = sink
            .flows
            .iter()
            .map(|f| {
                (f.number(Field::Bytes), f.number(Field::Packets), f.number(Field::RecordFlags))
            })
            .collect();
        assert_eq!(
            seen,
            [
                (100, 10, 0),
                (100_000, 10_000, 2),
                (200, 20, 2),
                (100, 10, 0),
                (2000, 200, 2),
                (100_000, 10_000, 2),
                (100, 10, 2),
            ]
        );
        assert_eq!(sink.flows[1].number(Field::SelectorId), 5);
        assert_eq!(sink.samplers.len(), 4);
        assert_eq!(decoder.counters().options_records, 5);
        assert_eq!(decoder.exporters().next().unwrap().samplers().count(), 3);
    }

    #[test]
    fn names_are_told_once_and_announced() {
        let name = |id, name: &[u8; 8]| Record::new().number(id, 4).octets(name).build();
        let app =
            Record::new().octets(&[13, 0, 0, 9]).octets(b"https\0\0\0").octets(b"web\0").build();
        let vrf = Record::new().number(1, 4).number(7, 4).octets(b"red\0").build();
        let datagram = V9Builder::new(HEADER)
            .options_template(300, &[(2, 4)], &[(82, 8)])
            .options_template(301, &[(1, 0)], &[(95, 4), (96, 8), (94, 4)])
            .options_template(302, &[(1, 4)], &[(234, 4), (236, 4)])
            .data(300, &[name(3, b"Gi0/3\0\0\0"), name(4, b"Gi0/4\0\0\0")])
            .data(301, &[app])
            .data(302, &[vrf])
            .build();
        let (decoder, sink) = run(&[datagram.clone(), datagram]);
        let names: Vec<_> = sink.names.iter().map(|n| (n.1, n.2, n.3.as_str())).collect();
        let want = [
            (NameTable::Interface, 3, "Gi0/3"),
            (NameTable::Interface, 4, "Gi0/4"),
            (NameTable::Vrf, 7, "red"),
        ];
        assert_eq!(names, want);
        assert_eq!(sink.applications, [(1, vec![13, 0, 0, 9], "https".into(), "web".into())]);
        let mut later = Collect::default();
        decoder.announce(&mut later);
        assert_eq!(later.names, sink.names);
        assert_eq!(later.applications, sink.applications);
        assert_eq!(later.exporters, sink.exporters);
    }

    #[test]
    fn limits_hold_and_are_counted() {
        let limits = Limits {
            exporters: 1,
            templates_per_exporter: 2,
            fields_per_template: 3,
            samplers_per_exporter: 1,
            ..Limits::default()
        };
        let sampler = |id| Record::new().number(id, 4).number(10, 4).build();
        let datagram = V9Builder::new(HEADER)
            .template(100, &[(1, 4)])
            .template(256, &[])
            .template(256, &[(1, 0)])
            .template(256, &[(1, 60_000), (2, 60_000)])
            .template(256, &[(1, 4), (2, 4), (4, 1), (5, 1)])
            .template(257, &[(1, 4)])
            .options_template(258, &[(1, 0)], &[(48, 4), (50, 4)])
            .template(259, &[(1, 4)])
            .data(258, &[sampler(1), sampler(2)])
            .build();
        let other = V9Builder::new(Header { source_id: 9, ..HEADER }).build();
        let (decoder, _) = run_with(Config { limits, ..Config::default() }, &[datagram, other]);
        let c = decoder.counters();
        let got = [
            c.templates_bad_id,
            c.templates_empty,
            c.templates_too_wide,
            c.templates_many_fields,
            c.templates_over_limit,
            c.templates_learned,
            c.samplers_refused,
            c.exporters_refused,
        ];
        assert_eq!(got, [1, 2, 1, 1, 1, 2, 1, 1]);

        let tight = Limits { template_bytes: 600, name_bytes: 150, ..Limits::default() };
        let name = |id, name: &[u8; 8]| Record::new().number(id, 4).octets(name).build();
        let datagram = V9Builder::new(HEADER)
            .options_template(300, &[(2, 4)], &[(82, 8)])
            .data(300, &[name(3, b"Gi0/3\0\0\0"), name(4, b"Gi0/4\0\0\0")]);
        let datagram = (400..420).fold(datagram, |d, id| d.template(id, &[(1, 4)])).build();
        let (decoder, sink) = run_with(Config { limits: tight, ..Config::default() }, &[datagram]);
        assert_eq!(sink.names.len(), 1);
        assert_eq!(decoder.counters().names_refused, 1);
        let c = decoder.counters();
        assert_eq!(c.templates_learned + c.templates_over_memory, 21);
        assert!(c.templates_over_memory > 0);
    }

    #[test]
    fn exporters_share_the_memory_for_samplers() {
        let limits = Limits { sampler_bytes: 3 * 96 + 95, ..Limits::default() };
        let sampler = |id, rate| Record::new().number(id, 4).number(rate, 4).build();
        let datagram = |source_id, rate| {
            V9Builder::new(Header { source_id, ..HEADER })
                .options_template(258, &[(1, 0)], &[(48, 4), (50, 4)])
                .data(258, &[sampler(1, rate), sampler(2, rate)])
                .build()
        };
        // A changed rate takes nothing more.
        let datagrams = [datagram(1, 10), datagram(2, 10), datagram(1, 20), datagram(3, 10)];
        let (decoder, sink) = run_with(Config { limits, ..Config::default() }, &datagrams);
        let of = |e: ExporterView<'_>| e.samplers().count();
        assert_eq!(decoder.exporters().map(of).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(decoder.counters().samplers_refused, 3);
        assert_eq!(sink.samplers.len(), 5);
    }

    #[test]
    fn redefined_templates_give_their_memory_back() {
        let limits = Limits { template_bytes: 2000, ..Limits::default() };
        let datagram =
            (0..500).fold(V9Builder::new(HEADER), |d, i| d.template(256, &[(1 + i % 2, 4)]));
        let (decoder, _) = run_with(Config { limits, ..Config::default() }, &[datagram.build()]);
        assert_eq!(decoder.counters().templates_over_memory, 0);
        assert_eq!(decoder.counters().templates_changed, 499);
    }

    #[test]
    fn a_refused_definition_does_not_leave_the_old_one() {
        let limits = Limits { fields_per_template: 1, ..Limits::default() };
        let datagram = V9Builder::new(HEADER)
            .template(256, &[(1, 4)])
            .template(256, &[(2, 4), (1, 4)])
            .data(256, &[Record::new().number(1, 8).build()]);
        let (decoder, sink) = run_with(Config { limits, ..Config::default() }, &[datagram.build()]);
        assert_eq!(sink.flows.len(), 0);
        assert_eq!(decoder.counters().sets_parked, 1);
    }

    #[test]
    fn templates_are_refreshed_and_redefined() {
        let record = Record::new().number(9, 4).build();
        let datagram = V9Builder::new(HEADER)
            .template(256, &[(1, 4)])
            .template(256, &[(1, 4)])
            .template(256, &[(2, 4)])
            .data(256, &[record]);
        let (decoder, sink) = run(&[datagram.build()]);
        let c = decoder.counters();
        let got = (c.templates_learned, c.templates_refreshed, c.templates_changed);
        assert_eq!(got, (1, 1, 1));
        assert_eq!(sink.flows[0].number(Field::Packets), 9);
        assert!(!sink.flows[0].has(Field::Bytes));
    }

    #[test]
    fn unknown_elements_are_counted_and_listed() {
        let datagram = one(&[(1, 4, 1), (31, 4, 2), (54, 2, 3), (210, 3, 0)]);
        let changed = one(&[(2, 4, 1), (31, 4, 2)]);
        let (decoder, _) = run(&[datagram.clone(), datagram, changed]);
        assert_eq!(decoder.counters().unknown_elements, 3);
        let listed: Vec<_> = decoder.unknown_elements().map(|u| (u.id, u.templates)).collect();
        assert_eq!(listed, [(31, 2), (54, 1)]);
        let first = decoder.unknown_elements().next().unwrap();
        assert_eq!(
            (first.name, first.enterprise),
            (Some("flowLabelIPv6"), Some("IANA")),
            "what it is"
        );
        let seen = first.first;
        assert_eq!((seen.exporter.addr, seen.exporter.id), (PEER, HEADER.source_id));
        assert_eq!((seen.template, seen.len, seen.at_ms), (256, 4, NOW_MS));
    }

    #[test]
    fn the_same_id_from_another_source_is_another_template() {
        let first = V9Builder::new(HEADER).template(256, &[(1, 4)]).build();
        let header = Header { source_id: 99, ..HEADER };
        let data = Record::new().number(5, 4).build();
        let second = V9Builder::new(header).template(256, &[(2, 4)]).data(256, &[data]).build();
        let (_, sink) = run(&[first, second]);
        assert_eq!(sink.flows[0].number(Field::Packets), 5);
        assert_eq!(sink.flows[0].number(Field::ExporterId), 2);
        assert_eq!(sink.exporters.len(), 2);
    }

    #[test]
    fn mapped_peers_are_ipv4() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let datagram = one(&[(1, 4, 1)]);
        decoder.decode(Addr::V6(0xffff_c000_0201), NOW_MS, &datagram, &mut sink);
        decoder.decode(PEER, NOW_MS, &datagram, &mut sink);
        assert_eq!(sink.exporters.len(), 1);
        assert_eq!(sink.flows[0].as_row().addr(Field::Router), Some(PEER));
    }
}
