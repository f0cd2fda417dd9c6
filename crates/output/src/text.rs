//! Lists for people: columns of fixed width.

use crate::RecordContext;
use crate::clock::Clock;
use crate::column::{Cell, MPLS};
use crate::digits::{
    AddrText, pad, push_hex, push_left, push_left_text, push_mac, push_right, push_right_text,
    push_thousandths, push_u64,
};
use crate::escape::push_text;
use crate::format::{FormatOptions, Op};
use crate::human::{bits_per_second, per_second, push_duration, push_scaled_right};
use crate::names::{pf_action, pf_reason, xevent};
use record::code::{FwEvent, NatEvent, Proto, TcpFlags, record_flags};
use record::{Addr, Field, Mac, NameTable, Row};

/// Clocks that a printer keeps: the zone of the user, and universal time.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    pub(crate) local: Clock,
    pub(crate) utc: Clock,
}

/// One line, or several if the format says so.
pub(crate) fn record(
    ops: &[Op],
    options: &FormatOptions,
    clocks: &mut Clocks,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    let mut line = Line { options, clocks, row, context, out };
    for op in ops {
        match op {
            Op::Literal(text) => line.out.extend_from_slice(text),
            Op::Column(token) => line.cell(token.cell),
        }
    }
    out.push(b'\n');
}

struct Line<'a> {
    options: &'a FormatOptions,
    clocks: &'a mut Clocks,
    row: Row<'a>,
    context: &'a RecordContext<'a>,
    out: &'a mut Vec<u8>,
}

impl Line<'_> {
    #[inline]
    fn cell(&mut self, cell: Cell) {
        let row = self.row;
        match cell {
            Cell::Number(field, width) => {
                push_right(self.out, row.number(field), usize::from(width));
            }
            Cell::Scaled(field) => self.scaled(row.number(field)),
            Cell::Flows => push_right(self.out, row.flows(), 5),
            Cell::Time(field) => push_time(&mut self.clocks.local, self.out, row.number(field)),
            Cell::TimeUtc(field) => push_time(&mut self.clocks.utc, self.out, row.number(field)),
            Cell::Duration => self.duration(),
            Cell::Proto => self.proto(),
            Cell::Addr(field) => self.address(row.addr(field)),
            Cell::AddrPort(addr, port) => self.address_port(addr, port),
            Cell::Flags => self.flags(),
            Cell::DstPort if is_icmp(row) => self.icmp(6),
            Cell::DstPort => push_right(self.out, row.number(Field::DstPort), 6),
            Cell::BitRate => {
                self.scaled(bits_per_second(row.number(Field::Bytes), listed_duration(row)));
            }
            Cell::PacketRate => {
                self.scaled(per_second(row.number(Field::Packets), listed_duration(row)));
            }
            Cell::PacketSize => push_right(self.out, packet_size(row), 6),
            other => self.rare_cell(other),
        }
    }

    fn rare_cell(&mut self, cell: Cell) {
        let row = self.row;
        match cell {
            Cell::Version => push_version(self.out, row),
            Cell::Count => push_right(self.out, self.context.count, 5),
            Cell::Ident => {
                let ident = self.context.ident_or("<no ident>");
                let columns = push_text(self.out, ident.as_bytes());
                pad(self.out, 12usize.saturating_sub(columns));
            }
            Cell::Engine => {
                push_right(self.out, row.number(Field::EngineType), 3);
                self.out.push(b'/');
                push_left(self.out, row.number(Field::EngineId), 3);
            }
            Cell::AfterBlank(field) => {
                self.out.push(b' ');
                push_right(self.out, row.number(field), 6);
            }
            Cell::Seconds => push_thousandths(self.out, listed_duration(row), 16),
            Cell::TimeRaw(field) => push_thousandths(self.out, row.number(field), 14),
            Cell::EventTime => push_time(&mut self.clocks.local, self.out, event_time(row)),
            Cell::EventMillis => push_right(self.out, event_time(row), 13),
            Cell::Direction => {
                let letter = if row.number(Field::Direction) == 0 { b'I' } else { b'E' };
                self.out.extend_from_slice(&[b' ', b' ', letter]);
            }
            Cell::GeoAddr(field) => {
                self.address(row.addr(field));
                self.out.extend_from_slice(b"(..)");
            }
            Cell::GeoAddrPort(addr, port) => {
                let ip = row.addr(addr);
                self.address(ip);
                self.out.extend_from_slice(b"(..)");
                self.port_after(ip, port);
            }
            Cell::Net(addr, mask) => self.net(addr, mask),
            Cell::Name(table, field) => self.name(table, field),
            Cell::Mpls(field) => push_mpls(self.out, row.number(field), 8),
            Cell::MplsStack => {
                for field in MPLS {
                    push_mpls(self.out, row.number(field), 8);
                    self.out.push(b' ');
                }
            }
            Cell::Mac(field) => push_mac(self.out, row.mac(field).unwrap_or(Mac(0))),
            Cell::Latency(field) => push_thousandths(self.out, row.number(field), 9),
            other => self.rarest_cell(other),
        }
    }

    fn rarest_cell(&mut self, cell: Cell) {
        let row = self.row;
        match cell {
            Cell::Event => self.event(),
            Cell::XEvent => match row.u64(Field::FwXEvent).map(|code| (code, xevent(code))) {
                None => push_right_text(self.out, b"<no-evt>", 7),
                Some((code, None)) => push_right(self.out, code, 7),
                Some((_, Some(name))) => push_right_text(self.out, name.as_bytes(), 7),
            },
            Cell::IngressAcl => self.ingress_acl(),
            Cell::EgressAcl => {
                let [a, b, c] = acl_ids(row, Field::EgressAcl);
                push_right(self.out, a, 10);
                self.out.push(b' ');
                push_right(self.out, b, 10);
                self.out.push(b' ');
                push_right(self.out, c, 10);
            }
            Cell::Text(field, width, absent) => {
                let text = row.text(field).unwrap_or(absent.as_bytes());
                self.outside_text(text, usize::from(width));
            }
            Cell::AppId => push_app_id(self.out, row.bytes(Field::AppId), true),
            Cell::AppName => self.app_name(),
            Cell::Payload(field) => push_payload(self.out, row.bytes(field)),
            Cell::Observation(field, digits) => {
                self.out.extend_from_slice(b"0x");
                match row.u64(field) {
                    Some(n) => push_hex(self.out, n, usize::from(digits)),
                    None => self.out.extend_from_slice(b"00"),
                }
            }
            Cell::PfAction => self.pf(Field::PfAction, pf_action),
            Cell::PfReason => self.pf(Field::PfReason, pf_reason),
            Cell::PfDirection => match row.u64(Field::PfDir) {
                None => self.out.extend_from_slice(b"<no pfinfo>"),
                Some(0) => self.out.extend_from_slice(b"out"),
                Some(_) => self.out.extend_from_slice(b" in"),
            },
            Cell::FlowId => {
                self.out.extend_from_slice(b"0x");
                push_right(self.out, row.number(Field::FlowId), 13);
            }
            Cell::Ttl => {
                push_right(self.out, row.number(Field::MinTtl), 5);
                self.out.push(b' ');
                push_right(self.out, row.number(Field::MaxTtl), 5);
            }
            Cell::Fragment => push_fragment(self.out, row),
            Cell::EtherType => {
                self.out.extend_from_slice(b"0x");
                push_hex(self.out, row.number(Field::EtherType), 4);
            }
            Cell::Fixed(text, _) => self.out.extend_from_slice(text.as_bytes()),
            Cell::NewLine => self.out.push(b'\n'),
            // The rest is printed by the two functions above.
            _ => {}
        }
    }

    fn scaled(&mut self, n: u64) {
        push_scaled_right(self.out, n, self.options.plain_numbers);
    }

    fn duration(&mut self) {
        let ms = listed_duration(self.row);
        if self.options.plain_numbers {
            push_thousandths(self.out, ms, 16);
        } else {
            push_duration(self.out, ms);
        }
    }

    fn proto(&mut self) {
        push_proto(self.out, proto(self.row), self.options.plain_numbers);
    }

    fn flags(&mut self) {
        let flags = listed_flags(self.row);
        if self.options.plain_numbers {
            push_right(self.out, u64::from(flags.0), 8);
        } else {
            self.out.extend_from_slice(&flags.letters());
        }
    }

    fn address(&mut self, addr: Option<Addr>) {
        push_address(self.out, addr.unwrap_or(Addr::V4(0)), self.options.ipv6_wide);
    }

    fn address_port(&mut self, addr: Field, port: Field) {
        let ip = self.row.addr(addr);
        self.address(ip);
        self.port_after(ip, port);
    }

    fn port_after(&mut self, ip: Option<Addr>, port: Field) {
        self.out.push(if matches!(ip, Some(Addr::V6(_))) { b'.' } else { b':' });
        if port == Field::DstPort && is_icmp(self.row) {
            let start = self.out.len();
            self.icmp(0);
            pad(self.out, 5usize.saturating_sub(self.out.len() - start));
        } else {
            push_left(self.out, self.row.number(port), 5);
        }
    }

    /// Type and code of ICMP, right-aligned in `width`.
    fn icmp(&mut self, width: usize) {
        let start = self.out.len();
        push_icmp(self.out, self.row);
        let short = width.saturating_sub(self.out.len() - start);
        pad(self.out, short);
        self.out[start..].rotate_right(short);
    }

    fn net(&mut self, addr: Field, mask: Field) {
        let len = self.row.number(mask).min(255) as u8;
        self.address(self.row.addr(addr).map(|a| a.masked(len)));
        self.out.push(b'/');
        push_left(self.out, u64::from(len), 2);
    }

    fn name(&mut self, table: NameTable, field: Field) {
        if let Some(name) = self.context.name(self.row, table, field) {
            self.out.push(b' ');
            push_text(self.out, name);
        }
    }

    fn app_name(&mut self) {
        let Some(id) = self.row.bytes(Field::AppId) else {
            return self.out.extend_from_slice(b"<no nbar>");
        };
        let name = self.context.application(self.row, id);
        push_text(self.out, name.unwrap_or(b"<no info>"));
    }

    fn event(&mut self) {
        let (firewall, nat) = events(self.row);
        if self.options.plain_numbers {
            return push_u64(self.out, event_number(self.row));
        }
        match (firewall, nat) {
            (None, None) => push_right_text(self.out, b"<no-evt>", 8),
            // Some devices send both; the one that says something is shown.
            (None | Some(FwEvent(0)), Some(event)) => match event.name() {
                Some(name) => push_right_text(self.out, name.as_bytes(), 8),
                None => {
                    push_u64(self.out, u64::from(event.0));
                    self.out.extend_from_slice(b"-Unknown");
                }
            },
            (Some(event), _) => match event.name() {
                Some(name) => push_right_text(self.out, name.as_bytes(), 8),
                None => {
                    let mut text = Vec::new();
                    push_u64(&mut text, u64::from(event.0));
                    text.extend_from_slice(b"-Unknw");
                    push_right_text(self.out, &text, 8);
                }
            },
        }
    }

    fn ingress_acl(&mut self) {
        for (i, id) in acl_ids(self.row, Field::IngressAcl).into_iter().enumerate() {
            if i > 0 {
                self.out.push(b' ');
            }
            self.out.extend_from_slice(b"0x");
            let start = self.out.len();
            push_hex(self.out, id, 1);
            pad(self.out, 8usize.saturating_sub(self.out.len() - start));
        }
    }

    fn pf(&mut self, field: Field, name: fn(u64) -> &'static str) {
        match self.row.u64(field) {
            None => self.out.extend_from_slice(b"<no-pf>"),
            Some(code) => push_right_text(self.out, name(code).as_bytes(), 6),
        }
    }

    /// Text from outside, right-aligned in `width`.
    fn outside_text(&mut self, text: &[u8], width: usize) {
        let start = self.out.len();
        let columns = push_text(self.out, text);
        let short = width.saturating_sub(columns);
        if short > 0 {
            pad(self.out, short);
            self.out[start..].rotate_right(short);
        }
    }
}

/// An address right-aligned in 16, long IPv6 ones condensed; or in 39 and in full.
pub(crate) fn push_address(out: &mut Vec<u8>, addr: Addr, wide: bool) {
    if wide {
        push_right_text(out, AddrText::new(addr).as_bytes(), 39);
    } else {
        push_right_text(out, AddrText::condensed(addr).as_bytes(), 16);
    }
}

/// A time with a blank between date and time, and zeros for none.
#[inline]
pub(crate) fn push_time(clock: &mut Clock, out: &mut Vec<u8>, ms: u64) {
    if ms == 0 {
        out.extend_from_slice(b"0000-00-00 00:00:00.000");
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

fn push_version(out: &mut Vec<u8>, row: Row<'_>) {
    let source = Source::of(row);
    let name: &[u8] = match source {
        Source::Event(_) => b"EVT",
        Source::SFlow(_) => b"Sv",
        Source::Capture(_) => b"Pv",
        Source::NetFlow(_) => b"Nv",
        Source::Unknown => return out.extend_from_slice(b"FLO"),
    };
    out.extend_from_slice(name);
    push_u64(out, source.version());
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
        out.push(b'\n');
        push_hex(out, i as u64 * 16, 4);
        out.extend_from_slice(b"  ");
        for b in line {
            push_hex(out, u64::from(*b), 2);
            out.push(b' ');
        }
        pad(out, 3 * (16 - line.len()) + 1);
        out.extend(line.iter().map(|b| if matches!(b, b' '..=b'~') { *b } else { b'.' }));
    }
    out.push(b'\n');
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
    Proto(row.number(Field::Proto) as u8)
}

#[inline]
pub(crate) fn is_icmp(row: Row<'_>) -> bool {
    proto(row).is_icmp()
}

/// Time of the firewall event, or of the NAT event where there is none.
pub(crate) fn event_time(row: Row<'_>) -> u64 {
    row.u64(Field::FwEventTime).or_else(|| row.u64(Field::NatEventTime)).unwrap_or(0)
}

fn events(row: Row<'_>) -> (Option<FwEvent>, Option<NatEvent>) {
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
