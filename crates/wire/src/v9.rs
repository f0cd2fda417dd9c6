//! NetFlow v9 (RFC 3954): a header of 20 octets, then sets (FlowSets) of templates and data.

use crate::cursor::{self, Parsed, SET_HEADER_LEN, set_header};
use crate::derive::{Clock, Origin};
use crate::sequence::{Step, Unit};
use crate::set::Message;
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
    let Some(state) = decoder.exporters.get_mut(exporter) else { return Ok(()) };
    state.count_packet(datagram.now_ms);
    let uptime = Some(header.uptime_ms);
    let step = Step { number: header.sequence, units: Some(1), flows: None, uptime };
    state.observe(step, Unit::Datagrams, &mut decoder.counters);
    let [.., engine_type, engine_id] = header.source_id.to_be_bytes();
    let origin = Origin {
        export_ms: u64::from(header.unix_secs) * 1000,
        clock: Clock::Uptime(header.uptime_ms),
        received_ms: datagram.now_ms,
        router: datagram.peer,
        sysid: state.exporter.sysid,
        source: Protocol::V9.source(),
        engine: (engine_type, engine_id),
        domain: header.source_id,
    };
    let mut message = Message { exporter, origin, records: 0, flows: 0, has_unknown: false };
    let outcome = sets(decoder, &mut message, datagram.bytes, sink);
    decoder.read_deferred(&mut message, datagram.bytes, sink);
    outcome
}

/// Walks the sets. A set that reaches beyond the datagram is read as far as it goes.
fn sets<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    message: &mut Message,
    datagram: &[u8],
    sink: &mut S,
) -> Result<(), DecodeError> {
    let (mut at, mut fault) = (HEADER_LEN, Ok(()));
    while datagram.len() - at >= SET_HEADER_LEN {
        let (id, len) = cursor::take(datagram, at, ("set", SET_HEADER_LEN), set_header)?;
        let len = usize::from(len);
        if len < SET_HEADER_LEN {
            decoder.counters.bad_sets += 1;
            return fault.and(Err(DecodeError::BadLength { what: "set", at, len }));
        }
        let have = datagram.len() - at;
        if len > have {
            decoder.counters.truncated_sets += 1;
            fault = fault.and(Err(DecodeError::Truncated { what: "set", at, need: len, have }));
        }
        let (start, end) = (at + SET_HEADER_LEN, at + len.min(have));
        let body = datagram.get(start..end).unwrap_or_default();
        match id {
            TEMPLATES => definitions(decoder, message, body, template),
            OPTIONS_TEMPLATES => definitions(decoder, message, body, options_template),
            256.. => decoder.data_set(message, id, datagram, (start, end), sink),
            _ => {
                decoder.counters.bad_sets += 1;
                fault = fault.and(Err(DecodeError::ReservedSet { at, id }));
            }
        }
        at = end;
    }
    decoder.counters.trailing_bytes += (datagram.len() - at) as u64;
    fault
}

/// Takes in the templates of one set. What is left and too short for one is padding.
fn definitions(
    decoder: &mut Decoder,
    message: &Message,
    body: &[u8],
    parse: fn(&[u8]) -> Parsed<'_, Definition>,
) {
    let mut rest = body;
    while rest.len() > 3 {
        let Ok((left, definition)) = parse(rest) else {
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
