//! IPFIX (RFC 7011): a header of 16 octets, then sets of templates and data.
//!
//! What differs from v9: the message has a length, so several can share a datagram; elements have
//! enterprises; templates can be withdrawn; the sequence number counts data records.

use crate::cursor::{self, Parsed, SET_HEADER_LEN, set_header};
use crate::derive::{self, Clock, Origin};
use crate::exporter::State;
use crate::sequence::{Step, Unit, Unread};
use crate::set::{Message, SetIds};
use crate::template::{Definition, FieldSpec};
use crate::{Counters, Datagram, DecodeError, Decoder, Protocol};
use nom::Parser;
use nom::multi::count;
use nom::number::complete::{be_u16, be_u32};
use record::FlowSink;

pub use crate::frames::Frames;

/// Octets of the header.
pub const HEADER_LEN: usize = 16;
/// Set id of templates.
pub const TEMPLATES: u16 = 2;
/// Set id of options templates.
pub const OPTIONS_TEMPLATES: u16 = 3;

/// What the header of a message says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Octets of the message, header included.
    pub length: u16,
    /// Export time, seconds since 1970.
    pub export_secs: u32,
    /// Data records exported before this message.
    pub sequence: u32,
    /// Tells exporters behind one address apart.
    pub domain: u32,
}

impl Header {
    /// Reads the 16 octets of a header.
    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, (_version, length)) = (be_u16, be_u16).parse(input)?;
        let (input, (export_secs, sequence, domain)) = (be_u32, be_u32, be_u32).parse(input)?;
        Ok((input, Self { length, export_secs, sequence, domain }))
    }
}

/// Reads all messages of one datagram.
pub(crate) fn decode<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    datagram: &Datagram<'_>,
    sink: &mut S,
) -> Result<(), DecodeError> {
    let (mut at, mut fault) = (0, Ok(()));
    loop {
        let header = cursor::take(datagram.bytes, at, ("IPFIX header", HEADER_LEN), Header::parse)
            .inspect_err(|_| decoder.counters.truncated_headers += 1);
        let header = match header {
            Ok(header) => header,
            Err(e) => return fault.and(Err(e)),
        };
        let (len, have) = (usize::from(header.length), datagram.bytes.len() - at);
        if len < HEADER_LEN {
            decoder.counters.bad_messages += 1;
            return fault.and(Err(DecodeError::BadLength { what: "IPFIX message", at, len }));
        }
        if len > have {
            let what = "IPFIX message";
            fault = fault.and(Err(DecodeError::Truncated { what, at, need: len, have }));
        }
        let end = at + len.min(have);
        let outcome = message(decoder, datagram, &header, (at, end), sink);
        fault = fault.and(outcome);
        at = end;
        match datagram.bytes.get(at..) {
            Some([0, 10, ..]) => {}
            rest => {
                decoder.counters.trailing_bytes += rest.map_or(0, <[u8]>::len) as u64;
                return fault;
            }
        }
    }
}

/// Reads the message in `datagram[at..end]`.
fn message<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    datagram: &Datagram<'_>,
    header: &Header,
    (at, end): (usize, usize),
    sink: &mut S,
) -> Result<(), DecodeError> {
    let exporter = decoder.exporter(datagram, Protocol::Ipfix, header.domain, sink)?;
    let octets = datagram.bytes.get(at..end).unwrap_or_default();
    if decoder.is_dropped(exporter, header.sequence, octets, datagram.now_ms) {
        return Ok(());
    }
    let is_short = usize::from(header.length) > end - at;
    decoder.counters.truncated_messages += u64::from(is_short);
    let Some(state) = decoder.exporters.get_mut(exporter) else { return Ok(()) };
    let export_ms = u64::from(header.export_secs) * 1000;
    let origin = Origin {
        export_ms: derive::export_or_arrival(export_ms, datagram.now_ms, &mut decoder.counters),
        clock: Clock::Unknown,
        received_ms: datagram.now_ms,
        router: datagram.peer,
        sysid: state.exporter.sysid,
        source: Protocol::Ipfix.source(),
        engine: (0, 0),
        domain: header.domain,
    };
    let mut message = Message::new(exporter, origin);
    let bytes = datagram.bytes.get(..end).unwrap_or_default();
    if let Some(latest) = latest_uptime(decoder, exporter, bytes, at + HEADER_LEN) {
        decoder.guess_boot(&mut message, latest);
    }
    let cut_before = decoder.counters.truncated_records;
    let outcome = decoder.sets(&SETS, &mut message, bytes, at + HEADER_LEN, sink);
    decoder.read_deferred(&mut message, bytes, sink);
    let is_cut = decoder.counters.truncated_records != cut_before;
    let is_whole = outcome.is_ok() && !is_short && !is_cut;
    if let Some(state) = decoder.exporters.get_mut(exporter) {
        observe(state, header.sequence, &message, is_whole, &mut decoder.counters);
    }
    decoder.unpark(exporter, datagram.now_ms, sink);
    outcome
}

/// Judges the sequence number of a message that was read.
fn observe(
    state: &mut State,
    number: u32,
    message: &Message,
    is_whole: bool,
    counters: &mut Counters,
) {
    let Message { read, unknown, .. } = *message;
    if is_whole && unknown == 0 {
        let (units, flows) = (Some(read.records), Some(read.flows));
        let step = Step { number, units, flows, uptime: None };
        return state.observe(step, Unit::Records, counters);
    }
    let sets = state.parked.of_message(state.sequence.message());
    let unread = Unread { read, sets, is_spoiled: !is_whole || sets < unknown };
    state.observe_unread(number, unread, counters);
}

/// The latest uptime in the message, of those sets whose templates are known already: the whole
/// message is dated alike.
fn latest_uptime(decoder: &mut Decoder, exporter: usize, bytes: &[u8], from: usize) -> Option<u32> {
    let (mut rest, mut latest) = (bytes.get(from..)?, None);
    while let Ok((_, (id, len))) = set_header(rest) {
        let (set, after) = rest.split_at_checked(usize::from(len)).unwrap_or((rest, &[]));
        let Some(records) = set.get(SET_HEADER_LEN..) else { break };
        latest = latest.max(decoder.latest_uptime(exporter, id, records));
        rest = after;
    }
    latest
}

const SETS: SetIds = SetIds { templates: TEMPLATES, options: OPTIONS_TEMPLATES, definitions };

/// Takes in the templates and withdrawals of one set. What is left and too short for either is
/// padding.
fn definitions(decoder: &mut Decoder, message: &Message, set: u16, body: &[u8]) {
    let is_options = set == OPTIONS_TEMPLATES;
    let mut rest = body;
    while rest.len() > 3 {
        let Ok((left, definition)) = definition(rest, is_options) else {
            decoder.counters.templates_truncated += 1;
            return;
        };
        match definition.id {
            // Padding longer than it has to be.
            0 => {}
            // RFC 7011, 8.1: no field means withdrawn; the set's own id stands for all. Over UDP,
            // where templates may be overtaken and senders forged, it has no meaning (8.4).
            _ if definition.fields.is_empty() && decoder.session.is_none() => {
                decoder.counters.withdrawals_ignored += 1;
            }
            id if definition.fields.is_empty() && id == set => {
                decoder.withdraw_all(message, is_options);
            }
            id if definition.fields.is_empty() => decoder.withdraw(message, id),
            _ => decoder.learn(message, definition),
        }
        rest = left;
    }
}

/// A template record (RFC 7011, 3.4.1), an options template record (3.4.2.2) or a withdrawal of
/// either (8.1).
fn definition(input: &[u8], is_options: bool) -> Parsed<'_, Definition> {
    let (input, (id, fields)) = (be_u16, be_u16).parse(input)?;
    // The scope is a part of the fields, and a withdrawal has none.
    let (input, _scopes) = if is_options && fields > 0 { be_u16(input)? } else { (input, 0) };
    let (input, fields) = count(field, usize::from(fields)).parse(input)?;
    Ok((input, Definition { id, is_options, fields }))
}

/// A field specifier (RFC 7011, 3.2).
fn field(input: &[u8]) -> Parsed<'_, FieldSpec> {
    const ENTERPRISE: u16 = 0x8000;
    let (input, (id, len)) = (be_u16, be_u16).parse(input)?;
    let (input, pen) = if id & ENTERPRISE == 0 { (input, 0) } else { be_u32(input)? };
    Ok((input, FieldSpec { pen, id: id & !ENTERPRISE, len }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::element::PEN_REVERSE;
    use crate::template::VARIABLE;
    use crate::testing::{Collect, IpfixBuilder, Record};
    use record::{Addr, Field, Sampler};

    const NOW_MS: u64 = 1_795_000_000_123;
    const EXPORT_MS: u64 = 1_795_000_000_000;
    const PEER: Addr = Addr::V6(0x2001_0db8 << 96 | 9);
    const HEADER: Header =
        Header { length: 0, export_secs: 1_795_000_000, sequence: 0, domain: 33 };

    fn run(datagrams: &[Vec<u8>]) -> (Decoder, Collect) {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for datagram in datagrams {
            decoder.decode(PEER, NOW_MS, datagram, &mut sink);
        }
        (decoder, sink)
    }

    fn numbers(values: &[(u64, usize)]) -> Vec<u8> {
        values.iter().fold(Record::new(), |r, v| r.number(v.0, v.1)).build()
    }

    #[test]
    fn variable_length_moves_what_follows() {
        let fields = [
            (0, 1, 4),
            (0, 82, VARIABLE),
            (0, 2, 4),
            (9, 7, VARIABLE),
            (0, 95, VARIABLE),
            (0, 4, 1),
        ];
        let record = |name: &[u8], app: &[u8]| {
            let r = Record::new().number(1000, 4).variable(name).number(10, 4);
            r.variable(b"").variable(app).number(17, 1).build()
        };
        let datagram = IpfixBuilder::new(HEADER)
            .template(256, &fields)
            .data(256, &[record(b"", &[1, 2, 3]), record(&[b'x'; 300], &[]), record(b"y", &[9])]);
        let (decoder, sink) = run(&[datagram.build()]);
        assert_eq!(sink.flows.len(), 3);
        for (flow, app) in sink.flows.iter().zip([Some(&[1, 2, 3][..]), None, Some(&[9])]) {
            let got = [Field::Bytes, Field::Packets, Field::Proto].map(|f| flow.number(f));
            assert_eq!(got, [1000, 10, 17]);
            assert_eq!(flow.as_row().bytes(Field::AppId), app);
        }
        assert_eq!(decoder.counters().truncated_records, 0);
    }

    #[test]
    fn cut_at_each_octet_delivers_whole_records() {
        let record = Record::new().number(1000, 4).variable(b"name").build();
        let starts = 16 + 4 + 12 + 4;
        let full = IpfixBuilder::new(HEADER)
            .template(256, &[(0, 1, 4), (0, 82, VARIABLE)])
            .data(256, &vec![record.clone(); 3])
            .build();
        for len in 0..full.len() {
            let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
            let outcome = decoder.decode(PEER, NOW_MS, &full[..len], &mut sink);
            let whole = len.saturating_sub(starts) / record.len();
            assert_eq!(sink.flows.len(), whole, "length {len}");
            assert!(outcome.is_bad(), "length {len}");
        }
    }

    #[test]
    fn a_device_without_a_clock_is_dated_by_the_arrival() {
        let header = Header { export_secs: 0, ..HEADER };
        let datagram = IpfixBuilder::new(header)
            .template(256, &[(0, 1, 4)])
            .data(256, &[numbers(&[(11, 4)])])
            .template(257, &[(0, 22, 4), (0, 21, 4)])
            .data(257, &[numbers(&[(5_000, 4), (7_000, 4)])]);
        let (decoder, sink) = run(&[datagram.build()]);
        let times =
            sink.flows.iter().map(|flow| [Field::First, Field::Last].map(|f| flow.number(f)));
        assert_eq!(times.collect::<Vec<_>>(), [[NOW_MS; 2], [NOW_MS - 2_000, NOW_MS]]);
        assert_eq!(decoder.counters().undated, 1);
    }

    #[test]
    fn messages_back_to_back() {
        let message = |sequence, bytes| {
            IpfixBuilder::new(Header { sequence, ..HEADER })
                .template(256, &[(0, 1, 4)])
                .data(256, &[numbers(&[(bytes, 4)])])
                .build()
        };
        let mut datagram = [message(0, 11), message(1, 22)].concat();
        let (decoder, sink) = run(&[datagram.clone()]);
        let bytes: Vec<_> = sink.flows.iter().map(|f| f.number(Field::Bytes)).collect();
        assert_eq!(bytes, [11, 22]);
        assert_eq!(decoder.counters().sequence_gaps, 0);
        datagram.extend(b"\0\0tail");
        let (decoder, sink) = run(&[datagram]);
        assert_eq!(sink.flows.len(), 2);
        assert_eq!(decoder.counters().trailing_bytes, 6);
    }

    #[test]
    fn lying_lengths() {
        let base = || {
            IpfixBuilder::new(HEADER).template(256, &[(0, 1, 4)]).data(256, &[numbers(&[(5, 4)])])
        };
        for (name, length, flows, bad_messages, truncated) in
            [("too long", 999, 1, 0, 1), ("too short", 15, 0, 1, 0), ("zero", 0, 0, 1, 0)]
        {
            let (decoder, sink) = run(&[base().claim(length).build()]);
            let c = decoder.counters();
            let got = (sink.flows.len(), c.bad_messages, c.truncated_messages);
            assert_eq!(got, (flows, bad_messages, truncated), "{name}");
        }
    }

    #[test]
    fn biflows_are_two_flows() {
        let fields = [
            (0, 5, 1),
            (0, 6, 1),
            (0, 1, 4),
            (0, 2, 4),
            (PEN_REVERSE, 5, 1),
            (PEN_REVERSE, 6, 1),
            (PEN_REVERSE, 1, 4),
            (PEN_REVERSE, 2, 4),
        ];
        let record = numbers(&[(7, 1), (2, 1), (100, 4), (1, 4), (9, 1), (18, 1), (50, 4), (3, 4)]);
        let datagram = IpfixBuilder::new(HEADER).template(256, &fields).data(256, &[record]);
        let (_, sink) = run(&[datagram.build()]);
        let fields = [Field::SrcTos, Field::TcpFlags, Field::Bytes, Field::Packets];
        let got: Vec<_> = sink.flows.iter().map(|flow| fields.map(|f| flow.number(f))).collect();
        assert_eq!(got, [[7, 2, 100, 1], [9, 18, 50, 3]]);
        assert!(sink.flows.iter().all(|f| !f.has(Field::OutBytes) && !f.has(Field::OutPackets)));
    }

    #[test]
    fn withdrawals() {
        let set =
            |b: IpfixBuilder| b.data(256, &[numbers(&[(1, 4)])]).data(257, &[numbers(&[(1, 4)])]);
        let both = || {
            IpfixBuilder::new(HEADER)
                .template(256, &[(0, 1, 4)])
                .template(257, &[(0, 2, 4)])
                .options_template(300, 1, &[(0, 149, 4), (0, 160, 8)])
        };
        for (name, message, flows, withdrawn) in [
            ("one", set(both().withdraw(256)), 1, 1),
            ("all", set(both().withdraw(2)), 0, 2),
            ("all options", set(both().withdraw_options(3)), 2, 1),
            ("one that is not there", set(both().withdraw(999)), 2, 0),
            ("all of them twice", set(both().withdraw(2).withdraw_options(3).withdraw(2)), 0, 3),
            ("all, then one anew", set(both().withdraw(2).template(256, &[(0, 1, 4)])), 1, 2),
        ] {
            let message = message.build();
            let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
            decoder.decode_stream(1, PEER, NOW_MS, &message, &mut sink);
            assert_eq!(sink.flows.len(), flows, "{name}");
            let c = decoder.counters();
            assert_eq!((c.templates_withdrawn, c.withdrawals_ignored), (withdrawn, 0), "{name}");
            // Over UDP they mean nothing.
            let (decoder, sink) = run(&[message]);
            assert_eq!((sink.flows.len(), decoder.templates().count()), (2, 3), "{name}");
            let c = decoder.counters();
            assert_eq!(c.templates_withdrawn, 0, "{name}");
            assert!((1..=3).contains(&c.withdrawals_ignored), "{name}");
        }
    }

    /// As many withdrawals as a message can hold, while there are as many templates as can be.
    #[test]
    fn withdrawing_all_looks_at_no_template_of_the_other_kind() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for from in (256..4256).step_by(400) {
            let message = (from..from + 400)
                .fold(IpfixBuilder::new(HEADER), |b, id| b.template(id, &[(0, 1, 4)]));
            decoder.decode_stream(1, PEER, NOW_MS, &message.build(), &mut sink);
        }
        let before = crate::template::LOOKED_AT.get();
        let many = IpfixBuilder::new(HEADER).set(OPTIONS_TEMPLATES, &[0, 3, 0, 0].repeat(16_000));
        decoder.decode_stream(1, PEER, NOW_MS, &many.build(), &mut sink);
        assert_eq!(decoder.templates().count(), 4000);
        assert_eq!(crate::template::LOOKED_AT.get() - before, 0);
        decoder.decode_stream(
            1,
            PEER,
            NOW_MS,
            &IpfixBuilder::new(HEADER).withdraw(2).build(),
            &mut sink,
        );
        assert_eq!(decoder.counters().templates_withdrawn, 4000);
        assert_eq!(crate::template::LOOKED_AT.get() - before, 4000);
    }

    /// A record that says it is longer than its set: it came, and what it was cannot be read.
    #[test]
    fn a_record_cut_inside_its_set_is_not_lost_on_the_way() {
        let template = |b: IpfixBuilder| b.template(256, &[(0, 1, 4), (0, 82, VARIABLE)]);
        let whole = |n: u64| Record::new().number(n, 4).variable(b"name").build();
        let message = |sequence| IpfixBuilder::new(Header { sequence, ..HEADER });
        let cut = Record::new().number(3, 4).octets(&[200]).octets(b"name").build();
        let (decoder, sink) = run(&[
            template(message(0)).data(256, &[whole(0)]).build(),
            message(1).data(256, &[whole(1)]).build(),
            message(2).data(256, &[whole(2), cut]).build(),
            message(4).data(256, &[whole(4)]).build(),
            message(5).data(256, &[whole(5)]).build(),
        ]);
        assert_eq!(sink.flows.len(), 5);
        let c = decoder.counters();
        assert_eq!((c.truncated_records, c.sequence_gaps, c.lost_records), (1, 0, 0));
        let t = decoder.exporters().next().unwrap().totals;
        assert_eq!((t.missing_records, t.undecodable_records, t.sent_records()), (0, 1, 6));
        assert_eq!((t.bad_datagrams, t.datagrams_whole()), (1, 4));
    }

    /// The fault is that of the message it came in, which is read already.
    #[test]
    fn a_cut_record_that_waited_is_no_fault_of_the_message_that_brings_its_template() {
        let cut = Record::new().number(3, 4).octets(&[200]).octets(b"name").build();
        let (decoder, _) = run(&[
            IpfixBuilder::new(HEADER).data(256, &[cut]).build(),
            IpfixBuilder::new(Header { sequence: 1, ..HEADER })
                .template(256, &[(0, 1, 4), (0, 82, VARIABLE)])
                .build(),
        ]);
        let t = decoder.exporters().next().unwrap().totals;
        assert_eq!((t.truncated_records, t.sets_unparked, t.bad_datagrams), (1, 1, 0));
    }

    #[test]
    fn samplers_in_options_with_variable_length() {
        let name = |r: Record| r.variable(b"SAMPLER-MAP").build();
        for (name, fields, record, want) in [
            (
                "n out of N",
                &[
                    (0, 302, 8),
                    (0, 304, 2),
                    (0, 305, 4),
                    (0, 309, 4),
                    (0, 310, 4),
                    (0, 84, VARIABLE),
                ][..],
                name(
                    Record::new()
                        .number(4, 8)
                        .number(3, 2)
                        .number(1, 4)
                        .number(1, 4)
                        .number(256, 4),
                ),
                (4, 3, 1, 255),
            ),
            (
                "count based",
                &[(0, 302, 8), (0, 304, 2), (0, 305, 4), (0, 306, 4), (0, 84, VARIABLE)],
                name(Record::new().number(4, 8).number(1, 2).number(2, 4).number(8, 4)),
                (4, 1, 2, 8),
            ),
            (
                "probability",
                &[(0, 149, 4), (0, 311, 8), (0, 84, VARIABLE)],
                name(Record::new().number(33, 4).octets(&0.01f64.to_be_bytes())),
                (Sampler::GENERIC, 0, 1, 99),
            ),
        ] {
            let datagram = IpfixBuilder::new(HEADER)
                .options_template(300, 1, fields)
                .data(300, &[record])
                .template(256, &[(0, 1, 4), (0, 302, 8)])
                .data(256, &[numbers(&[(1000, 4), (4, 8)])]);
            let (_, sink) = run(&[datagram.build()]);
            let s = sink.samplers[0];
            let got = (s.id, s.algorithm, s.packet_interval, s.space_interval);
            assert_eq!(got, want, "{name}");
            assert_eq!(sink.flows[0].number(Field::Bytes), s.scale(1000), "{name}");
        }
    }

    #[test]
    fn uptimes_need_a_boot_time() {
        let flows = |b: IpfixBuilder| {
            b.template(256, &[(0, 22, 4), (0, 21, 4)]).data(
                256,
                &[numbers(&[(50_000, 4), (70_000, 4)]), numbers(&[(60_000, 4), (90_000, 4)])],
            )
        };
        let ends = |datagrams: &[Vec<u8>]| {
            let (_, sink) = run(datagrams);
            sink.flows.iter().map(|f| f.number(Field::Last)).collect::<Vec<_>>()
        };
        // Unknown: the latest flow ended at the export.
        let guessed = flows(IpfixBuilder::new(HEADER)).build();
        assert_eq!(ends(std::slice::from_ref(&guessed)), [EXPORT_MS - 20_000, EXPORT_MS]);
        // All sets of a message are dated alike, whichever has the latest flow.
        let two = IpfixBuilder::new(HEADER)
            .data(256, &[numbers(&[(1, 4), (70_000, 4)])])
            .data(256, &[numbers(&[(1, 4), (90_000, 4)])]);
        let template = IpfixBuilder::new(HEADER).template(256, &[(0, 22, 4), (0, 21, 4)]).build();
        assert_eq!(ends(&[template, two.build()]), [EXPORT_MS - 20_000, EXPORT_MS]);
        // A later message does not make it later.
        let later = Header { export_secs: HEADER.export_secs + 60, ..HEADER };
        let later = flows(IpfixBuilder::new(later)).build();
        assert_eq!(ends(&[guessed, later])[2..], [EXPORT_MS - 20_000, EXPORT_MS]);
        // Told in options data.
        let boot = EXPORT_MS - 95_000;
        let told = IpfixBuilder::new(HEADER)
            .options_template(300, 1, &[(0, 149, 4), (0, 160, 8)])
            .data(300, &[numbers(&[(33, 4), (boot, 8)])]);
        assert_eq!(ends(&[flows(told).build()]), [boot + 70_000, boot + 90_000]);
        // Told in the record.
        let own = IpfixBuilder::new(HEADER)
            .template(256, &[(0, 160, 8), (0, 22, 4), (0, 21, 4)])
            .data(256, &[numbers(&[(boot, 8), (0, 4), (1, 4)])]);
        assert_eq!(ends(&[own.build()]), [boot + 1]);
        // After 49.7 days the uptime has wrapped.
        let old_boot = EXPORT_MS - (1 << 32) - 95_000;
        let wrapped = IpfixBuilder::new(HEADER)
            .options_template(300, 1, &[(0, 149, 4), (0, 160, 8)])
            .data(300, &[numbers(&[(33, 4), (old_boot, 8)])]);
        assert_eq!(ends(&[flows(wrapped).build()]), [EXPORT_MS - 25_000, EXPORT_MS - 5_000]);
    }

    #[test]
    fn options_records_count_in_the_sequence() {
        let message = |sequence| {
            IpfixBuilder::new(Header { sequence, ..HEADER })
                .options_template(300, 1, &[(0, 149, 4), (0, 41, 8)])
                .template(256, &[(0, 1, 4)])
                .data(300, &[numbers(&[(33, 4), (5, 8)])])
                .data(256, &[numbers(&[(1, 4)]), numbers(&[(2, 4)])])
                .build()
        };
        let (mut decoder, _) = run(&[0, 3, 6, 12].map(message));
        assert_eq!((decoder.counters().sequence_gaps, decoder.counters().lost_records), (1, 3));
        assert_eq!(decoder.take_stats()[0].sequence_failures, 1);
        assert_eq!(decoder.exporters().next().unwrap().reported.messages, Some(5));
        assert_eq!(decoder.exporters().next().unwrap().totals.lost_records(), 3);
    }

    #[test]
    fn flow_ids_and_observation() {
        let datagram = IpfixBuilder::new(HEADER)
            .template(256, &[(0, 148, 8), (0, 138, 4)])
            .data(256, &[numbers(&[(1 << 40, 8), (5, 4)])])
            .template(257, &[(0, 149, 4)])
            .data(257, &[numbers(&[(44, 4)])])
            .template(258, &[(0, 1, 4)])
            .data(258, &[numbers(&[(1, 4)])]);
        let (_, sink) = run(&[datagram.build()]);
        assert_eq!(sink.flows[0].number(Field::FlowId), 1 << 40);
        assert_eq!(sink.flows[0].as_row().u64(Field::ObservationDomain), Some(33));
        assert_eq!(sink.flows[1].as_row().u64(Field::ObservationDomain), Some(44));
        assert!(!sink.flows[2].has(Field::ObservationDomain));
        assert_eq!(sink.flows[0].as_row().addr(Field::Router), Some(PEER));
        assert_eq!(sink.flows[0].number(Field::Source), 10);
    }

    #[test]
    fn endless_padding_and_empty_sets_end() {
        let padded = IpfixBuilder::new(HEADER)
            .set(TEMPLATES, &[0; 64])
            .set(OPTIONS_TEMPLATES, &[0; 63])
            .set(256, &[]);
        let (decoder, sink) = run(&[padded.build()]);
        assert_eq!((sink.flows.len(), decoder.counters().bad_datagrams), (0, 0));
    }
}
