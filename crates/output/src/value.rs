//! Values that several formats print alike, and what a list says where a record is silent.

use crate::RecordContext;
use crate::clock::{Clock, TimeZone};
use crate::digits::{
    AddrText, pad, push_left, push_left_text, push_right, push_right_text, push_u64,
};
use crate::draft::Paper;
use crate::escape::{HEX, push_json, push_text};
use crate::places::Places;
use record::code::{FwEvent, NatEvent, Proto, TcpFlags, record_flags};
use record::{Addr, Country, Field, Kind, Row};

/// What a printer keeps from one record to the next.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The zone of the user.
    pub(crate) local: Clock,
    /// Universal time.
    pub(crate) utc: Clock,
    /// What the address book said.
    pub(crate) places: Places,
    /// The ident of the records before, as JSON.
    pub(crate) ident: Ident,
    /// What records are drafted on, while it is not in use.
    pub(crate) paper: Option<Paper>,
}

/// The ident of a file, quoted once for all of its records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ident {
    of: String,
    json: Vec<u8>,
}

impl Ident {
    /// An ident as a JSON string.
    #[inline]
    pub(crate) fn quoted(&mut self, ident: &str) -> &[u8] {
        if self.of != ident || self.json.is_empty() {
            self.json.clear();
            push_json(&mut self.json, ident.as_bytes());
            ident.clone_into(&mut self.of);
        }
        &self.json
    }
}

impl State {
    pub(crate) fn new(zone: TimeZone) -> Self {
        let (local, utc) = (Clock::new(zone), Clock::new(TimeZone::Utc));
        Self { local, utc, places: Places::default(), ident: Ident::default(), paper: None }
    }

    /// The country that a record says by itself, or that of one of its addresses.
    pub(crate) fn country(
        &mut self,
        row: Row<'_>,
        context: &RecordContext<'_>,
        own: Field,
        addr: Field,
    ) -> Country {
        match (row.u64(own), row.addr(addr)) {
            (Some(n), _) => Country(n as u16),
            (None, Some(addr)) => self.places.country(context.book, addr),
            (None, None) => Country::default(),
        }
    }

    /// The autonomous system that a record says, or that of one of its addresses.
    pub(crate) fn system(
        &mut self,
        row: Row<'_>,
        context: &RecordContext<'_>,
        own: Field,
        addr: Field,
    ) -> u64 {
        match (row.number(own), row.addr(addr)) {
            (0, Some(addr)) => u64::from(self.places.asn(context.book, addr)),
            (n, _) => n,
        }
    }

    /// Who runs the autonomous system of an address, or that of the record.
    pub(crate) fn organisation<'a>(
        &mut self,
        row: Row<'_>,
        context: &RecordContext<'a>,
        own: Field,
        addr: Field,
    ) -> Option<&'a str> {
        let of_addr = row.addr(addr).map_or(0, |addr| self.places.asn(context.book, addr));
        let asn = if of_addr == 0 { row.number(own) as u32 } else { of_addr };
        if asn == 0 { None } else { context.book?.organisation(asn) }
    }
}

/// `EX` for an exit of Tor while the flow lasted, `ex` for one at another time, `..` for any other
/// address; nothing where no exits are known.
pub(crate) fn tor(row: Row<'_>, context: &RecordContext<'_>, addr: Field) -> &'static str {
    let Some(book) = context.book.filter(|b| !b.tor_exits().is_empty()) else { return "" };
    let Some(addr) = row.addr(addr) else { return ".." };
    if book.is_tor_exit(addr, row.number(Field::First), row.number(Field::Last)) {
        "EX"
    } else if book.is_tor_exit(addr, 0, u64::MAX) {
        "ex"
    } else {
        ".."
    }
}

/// A country in two letters, `..` if it is not known.
pub(crate) fn push_country(out: &mut Vec<u8>, country: Country) {
    out.extend_from_slice(&country.letters().unwrap_or(*b".."));
}

/// An address right-aligned in 16, long IPv6 ones condensed; or in 39 and in full.
pub(crate) fn push_address(out: &mut Vec<u8>, addr: Addr, wide: bool) {
    if wide {
        push_right_text(out, AddrText::new(addr).as_bytes(), 39);
    } else {
        push_right_text(out, AddrText::condensed(addr).as_bytes(), 16);
    }
}

/// What stands for no time.
pub(crate) const NO_TIME: &[u8] = b"0000-00-00 00:00:00.000";

/// A time with a blank between date and time, and zeros for none.
#[inline]
pub(crate) fn push_time(clock: &mut Clock, out: &mut Vec<u8>, ms: u64) {
    if ms == 0 {
        out.extend_from_slice(NO_TIME);
    } else {
        clock.push_millis(out, ms, b' ');
    }
}

/// A protocol's name or number, left-aligned in five.
pub(crate) fn push_proto(out: &mut Vec<u8>, proto: Proto, plain: bool) {
    match proto.name() {
        Some(name) if !plain => push_left_text(out, name.as_bytes(), 5),
        _ => push_left(out, u64::from(proto.0), 5),
    }
}

/// `label-EXP-bottom`, the label right-aligned in `width`.
pub(crate) fn push_mpls(out: &mut Vec<u8>, entry: u64, width: usize) {
    push_right(out, entry >> 4, width);
    out.extend_from_slice(&[b'-', b'0' + (entry >> 1 & 7) as u8, b'-', b'0' + (entry & 1) as u8]);
}

/// `type.code`.
pub(crate) fn push_icmp(out: &mut Vec<u8>, row: Row<'_>) {
    push_u64(out, row.number(Field::IcmpType));
    out.push(b'.');
    push_u64(out, row.number(Field::IcmpCode));
}

/// `DF` and `MF`, hyphens where a bit is off.
pub(crate) fn push_fragment(out: &mut Vec<u8>, row: Row<'_>) {
    let flags = row.number(Field::FragmentFlags);
    out.extend_from_slice(if flags & 0x40 != 0 { b"DF" } else { b"--" });
    out.extend_from_slice(if flags & 0x20 != 0 { b"MF" } else { b"--" });
}

/// Where a record came from, as the version octet of its header says (file format, section 6.1).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// A firewall or NAT event; the octet as it is.
    Event(u64),
    /// sFlow, with its version.
    SFlow(u64),
    /// Captured packets.
    Capture(u64),
    /// NetFlow or IPFIX.
    NetFlow(u64),
    /// Files of older versions do not say.
    Unknown,
}

impl Source {
    pub(crate) fn of(row: Row<'_>) -> Self {
        let octet = row.number(Field::Source);
        let version = octet & 0x0f;
        if row.number(Field::RecordFlags) as u8 & record_flags::EVENT != 0 {
            Self::Event(octet)
        } else if octet == 0 {
            Self::Unknown
        } else if octet & 0x80 != 0 {
            Self::SFlow(version)
        } else if octet & 0x40 != 0 {
            Self::Capture(version)
        } else {
            Self::NetFlow(version)
        }
    }

    pub(crate) const fn version(self) -> u64 {
        match self {
            Self::Event(n) | Self::SFlow(n) | Self::Capture(n) | Self::NetFlow(n) => n,
            Self::Unknown => 0,
        }
    }
}

/// Application id: engine, private enterprise number if the engine is 20, selector (RFC 6759, 4).
pub(crate) fn push_app_id(out: &mut Vec<u8>, id: Option<&[u8]>, padded: bool) {
    let Some((engine, rest)) = id.and_then(<[u8]>::split_first) else {
        return out.extend_from_slice(b"0..0..0");
    };
    push_right(out, u64::from(*engine), if padded { 2 } else { 0 });
    out.extend_from_slice(b"..");
    let mut selector = rest;
    if let (20, Some((pen, after))) = (*engine, rest.split_first_chunk::<4>()) {
        push_u64(out, u64::from(u32::from_be_bytes(*pen)));
        out.extend_from_slice(b"..");
        selector = after;
    }
    // Selectors are at most seven octets; of longer ones the last eight are shown.
    push_u64(out, selector.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
}

/// Payload as text if it is text, else in lines of sixteen octets; it ends with a line end.
pub(crate) fn push_payload(out: &mut Vec<u8>, payload: Option<&[u8]>) {
    let Some(payload) = payload else { return out.extend_from_slice(b"<no payload>") };
    let end = payload.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let is_text = |b: &u8| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    let text = &payload[..end];
    if text.iter().all(is_text) {
        for line in text.split_inclusive(|b| *b == b'\n') {
            push_text(out, line.trim_ascii_end());
            out.push(b'\n');
        }
        return;
    }
    for (i, line) in payload.chunks(16).enumerate() {
        let start = out.len();
        push_octets(out, &(i as u32 * 16).to_be_bytes());
        out.push(b' ');
        for half in line.chunks(8) {
            for b in half {
                push_octets(out, &[*b]);
                out.push(b' ');
            }
            out.push(b' ');
        }
        pad(out, (start + 59).saturating_sub(out.len()));
        out.extend_from_slice(b"|  ");
        out.extend(line.iter().map(|b| if matches!(b, b' '..=b'~') { *b } else { b'.' }));
        out.extend_from_slice(b" \n");
    }
}

/// Two upper-case hexadecimal digits for each octet.
fn push_octets(out: &mut Vec<u8>, octets: &[u8]) {
    for b in octets {
        out.extend([b >> 4, b & 15].map(|n| HEX[usize::from(n)].to_ascii_uppercase()));
    }
}

/// The three ids of an access list. They lie in network byte order (file format, ext 23).
pub(crate) fn acl_ids(row: Row<'_>, field: Field) -> [u64; 3] {
    let bytes = row.bytes(field).unwrap_or(&[]);
    std::array::from_fn(|i| {
        let id = bytes.get(4 * i..4 * i + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
        id.map_or(0, |b| u64::from(u32::from_be_bytes(b)))
    })
}

/// Milliseconds a list shows: none if a time is missing or they are out of order.
#[inline]
pub(crate) fn listed_duration(row: Row<'_>) -> u64 {
    let (first, last) = (row.number(Field::First), row.number(Field::Last));
    if first == 0 || last == 0 { 0 } else { last.saturating_sub(first) }
}

/// Flows a list shows: 1 where the record does not say. Files of old versions say 0, which sums
/// count as 1.
#[inline]
pub(crate) fn listed_flows(row: Row<'_>) -> u64 {
    row.u64(Field::Flows).unwrap_or(1)
}

/// Octets a packet.
#[inline]
pub(crate) fn packet_size(row: Row<'_>) -> u64 {
    row.number(Field::Bytes).checked_div(row.number(Field::Packets)).unwrap_or(0)
}

/// TCP flags; those of other protocols are not shown in columns.
#[inline]
pub(crate) fn listed_flags(row: Row<'_>) -> TcpFlags {
    let is_tcp = proto(row) == Proto::TCP;
    TcpFlags(if is_tcp { row.number(Field::TcpFlags) as u8 } else { 0 })
}

#[inline]
pub(crate) fn proto(row: Row<'_>) -> Proto {
    Proto(number_of(row, Field::Proto) as u8)
}

/// A number, 0 where the row lacks the field: as [`Row::number`] has it, but made for the width that
/// the field has almost everywhere. For fields that are known where this is called.
#[inline(always)]
pub(crate) fn number_of(row: Row<'_>, field: Field) -> u64 {
    let n = match field.kind() {
        Kind::U8 => row.array(field).map(|[n]| u64::from(n)),
        Kind::U16 => row.array(field).map(|b| u64::from(u16::from_le_bytes(b))),
        Kind::U32 => row.array(field).map(|b| u64::from(u32::from_le_bytes(b))),
        _ => row.array(field).map(u64::from_le_bytes),
    };
    n.unwrap_or_else(|| other_width(row, field))
}

#[inline(never)]
fn other_width(row: Row<'_>, field: Field) -> u64 {
    row.number(field)
}

#[inline]
pub(crate) fn is_icmp(row: Row<'_>) -> bool {
    proto(row).is_icmp()
}

/// Time of the firewall event, or of the NAT event where that has none.
pub(crate) fn event_time(row: Row<'_>) -> u64 {
    match row.number(Field::FwEventTime) {
        0 => row.number(Field::NatEventTime),
        ms => ms,
    }
}

pub(crate) fn events(row: Row<'_>) -> (Option<FwEvent>, Option<NatEvent>) {
    let octet = |field| row.u64(field).map(|n| n as u8);
    (octet(Field::FwEvent).map(FwEvent), octet(Field::NatEvent).map(NatEvent))
}

/// Number of the firewall event, or of the NAT event where that is 0.
pub(crate) fn event_number(row: Row<'_>) -> u64 {
    match row.number(Field::FwEvent) {
        0 => row.number(Field::NatEvent),
        n => n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_ids() {
        for (id, padded, plain) in [
            (None, "0..0..0", "0..0..0"),
            (Some([13].as_slice()), "13..0", "13..0"),
            (Some(&[3, 0, 0, 80]), " 3..80", "3..80"),
            (Some(&[20, 0, 0, 0, 9, 1, 0]), "20..9..256", "20..9..256"),
            (Some(&[20, 0, 9]), "20..9", "20..9"),
            (Some(&[1; 30]), " 1..72340172838076673", "1..72340172838076673"),
        ] {
            for (pad, want) in [(true, padded), (false, plain)] {
                let mut out = Vec::new();
                push_app_id(&mut out, id, pad);
                assert_eq!(String::from_utf8(out).unwrap(), want, "{id:?}");
            }
        }
    }
}
