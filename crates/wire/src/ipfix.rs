//! IPFIX (RFC 7011): a header of 16 octets, then sets of templates and data.
//!
//! What differs from v9: the message has a length, so several can share a datagram; elements have
//! enterprises; templates can be withdrawn; the sequence number counts data records.

use crate::cursor::{self, Parsed, SET_HEADER_LEN, set_header};
use crate::derive::{Clock, Origin};
use crate::sequence::{Step, Unit};
use crate::set::Message;
use crate::template::{Definition, FieldSpec};
use crate::{Datagram, DecodeError, Decoder, Protocol};
use nom::Parser;
use nom::multi::count;
use nom::number::complete::{be_u16, be_u32};
use record::FlowSink;

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
            decoder.counters.truncated_messages += 1;
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
    let Some(state) = decoder.exporters.get_mut(exporter) else { return Ok(()) };
    state.count_packet(datagram.now_ms);
    let origin = Origin {
        export_ms: u64::from(header.export_secs) * 1000,
        clock: Clock::Unknown,
        received_ms: datagram.now_ms,
        router: datagram.peer,
        sysid: state.exporter.sysid,
        source: Protocol::Ipfix.source(),
        engine: (0, 0),
        domain: header.domain,
    };
    let mut message = Message { exporter, origin, records: 0, flows: 0, has_unknown: false };
    let bytes = datagram.bytes.get(..end).unwrap_or_default();
    if let Some(latest) = latest_uptime(decoder, exporter, bytes, at + HEADER_LEN) {
        decoder.guess_boot(&mut message, latest);
    }
    let outcome = sets(decoder, &mut message, bytes, at + HEADER_LEN, sink);
    decoder.read_deferred(&mut message, bytes, sink);
    let is_whole = outcome.is_ok() && usize::from(header.length) == end - at;
    let units = (is_whole && !message.has_unknown).then_some(message.records);
    if let Some(state) = decoder.exporters.get_mut(exporter) {
        let flows = Some(message.flows);
        let step = Step { number: header.sequence, units, flows, uptime: None };
        state.observe(step, Unit::Records, &mut decoder.counters);
    }
    outcome
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

/// Walks the sets. A set that reaches beyond the message is read as far as it goes.
fn sets<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    message: &mut Message,
    bytes: &[u8],
    from: usize,
    sink: &mut S,
) -> Result<(), DecodeError> {
    let (mut at, mut fault) = (from, Ok(()));
    while bytes.len().saturating_sub(at) >= SET_HEADER_LEN {
        let (id, len) = cursor::take(bytes, at, ("set", SET_HEADER_LEN), set_header)?;
        let len = usize::from(len);
        if len < SET_HEADER_LEN {
            decoder.counters.bad_sets += 1;
            return fault.and(Err(DecodeError::BadLength { what: "set", at, len }));
        }
        let have = bytes.len() - at;
        if len > have {
            decoder.counters.truncated_sets += 1;
            fault = fault.and(Err(DecodeError::Truncated { what: "set", at, need: len, have }));
        }
        let (start, end) = (at + SET_HEADER_LEN, at + len.min(have));
        let body = bytes.get(start..end).unwrap_or_default();
        match id {
            TEMPLATES | OPTIONS_TEMPLATES => definitions(decoder, message, id, body),
            256.. => decoder.data_set(message, id, bytes, (start, end), sink),
            _ => {
                decoder.counters.bad_sets += 1;
                fault = fault.and(Err(DecodeError::ReservedSet { at, id }));
            }
        }
        at = end;
    }
    decoder.counters.trailing_bytes += bytes.len().saturating_sub(at) as u64;
    fault
}

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
            // RFC 7011, 8.1: no field means withdrawn; the set's own id stands for all.
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
