//! Lists for people: columns of fixed width.

use crate::RecordContext;
use crate::column::{Cell, MPLS};
use crate::digits::{
    pad, push_hex, push_left, push_mac, push_right, push_right_text, push_thousandths, push_u64,
};
use crate::escape::push_text;
use crate::format::{Format, Op};
use crate::human::{bits_per_second, per_second, push_duration, push_scaled_right};
use crate::names::{PORT_ROOM, pf_action, pf_direction, pf_reason, xevent};
use crate::tls;
use crate::value::{
    Source, State, acl_ids, event_number, event_time, events, is_icmp, listed_duration,
    listed_flags, listed_flows, packet_size, proto, push_address, push_app_id, push_country,
    push_fragment, push_icmp, push_mpls, push_payload, push_proto, push_time, tor,
};
use record::code::FwEvent;
use record::{Addr, Field, Mac, NameTable, Row};

/// One line, or several if the format says so.
pub(crate) fn record(
    format: &Format,
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    let mut line = Line { format, state, row, context, out };
    let is_sum = context.is_sum();
    for op in &*format.ops {
        match op {
            Op::Literal(text) => line.out.extend_from_slice(text),
            Op::Column(token) if is_sum && !context.shows_any(token.cell.bits()) => {
                line.blank(token.cell);
            }
            Op::Column(token) => line.cell(token.cell),
        }
    }
    out.push(b'\n');
}

struct Line<'a> {
    format: &'a Format,
    state: &'a mut State,
    row: Row<'a>,
    context: &'a RecordContext<'a>,
    out: &'a mut Vec<u8>,
}

impl Line<'_> {
    #[inline(always)] // one call in the loop over columns; the other, in `blank`, is rare
    fn cell(&mut self, cell: Cell) {
        let row = self.row;
        match cell {
            Cell::Number(field, width) => {
                push_right(self.out, row.number(field), usize::from(width));
            }
            Cell::Scaled(field) => self.scaled(row.number(field)),
            Cell::Flows => push_right(self.out, listed_flows(row), 5),
            Cell::Time(field) => push_time(&mut self.state.local, self.out, row.number(field)),
            Cell::TimeUtc(field) => push_time(&mut self.state.utc, self.out, row.number(field)),
            Cell::Duration => self.duration(),
            Cell::Proto => self.proto(),
            Cell::Addr(field) => self.address(row.addr(field)),
            Cell::AddrPort(addr, port) => self.address_port(addr, port),
            Cell::Flags => self.flags(),
            Cell::Port(field) => self.port(field),
            Cell::DstPort if is_icmp(row) => {
                self.icmp(if self.has_services() { PORT_ROOM } else { 6 })
            }
            Cell::DstPort => self.port(Field::DstPort),
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
            Cell::EventTime => push_time(&mut self.state.local, self.out, event_time(row)),
            Cell::EventMillis => push_right(self.out, event_time(row), 13),
            Cell::Direction => {
                let letter = if row.number(Field::Direction) == 0 { b'I' } else { b'E' };
                self.out.extend_from_slice(&[b' ', b' ', letter]);
            }
            Cell::GeoAddr(field) => {
                self.address(row.addr(field));
                self.country_behind(field);
            }
            Cell::GeoAddrPort(addr, port) => {
                let ip = row.addr(addr);
                self.address(ip);
                self.country_behind(addr);
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
            Cell::System(own, addr) => {
                push_right(self.out, self.state.system(row, self.context, own, addr), 6);
            }
            Cell::Country(own, addr) => {
                push_country(self.out, self.state.country(row, self.context, own, addr));
            }
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
                match row.u64(field).filter(|n| *n != 0 || !self.context.is_sum()) {
                    Some(n) => push_hex(self.out, n, usize::from(digits)),
                    None => self.out.extend_from_slice(b"00"),
                }
            }
            Cell::PfAction => self.pf(Field::PfAction, pf_action),
            Cell::PfReason => self.pf(Field::PfReason, pf_reason),
            Cell::PfDirection => match row.u64(Field::PfDir) {
                None => self.out.extend_from_slice(b"<no pfinfo>"),
                Some(code) => push_right_text(self.out, pf_direction(code).as_bytes(), 3),
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
            Cell::Location(field) => self.location(field),
            Cell::Organisation(own, addr) => {
                let name = self.state.organisation(row, self.context, own, addr);
                self.outside_text(name.unwrap_or("none").as_bytes(), 30);
            }
            Cell::Tor(field) => {
                push_right_text(self.out, tor(row, self.context, field).as_bytes(), 4)
            }
            Cell::Tls(part) => tls::push_column(self.out, row, part),
            Cell::NewLine => self.out.push(b'\n'),
            // The rest is printed by the two functions above.
            _ => {}
        }
    }

    /// Room of a column that the record says nothing about.
    #[cold]
    fn blank(&mut self, cell: Cell) {
        let start = self.out.len();
        self.cell(cell);
        let text = self.out.split_off(start);
        pad(self.out, String::from_utf8_lossy(&text).trim_end_matches('\n').chars().count());
    }

    fn scaled(&mut self, n: u64) {
        push_scaled_right(self.out, n, self.format.options.plain_numbers);
    }

    fn duration(&mut self) {
        let ms = listed_duration(self.row);
        if self.format.options.plain_numbers {
            push_thousandths(self.out, ms, 16);
        } else {
            push_duration(self.out, ms);
        }
    }

    fn proto(&mut self) {
        push_proto(self.out, proto(self.row), self.format.options.plain_numbers);
    }

    fn flags(&mut self) {
        let flags = listed_flags(self.row);
        if self.format.options.plain_numbers {
            push_right(self.out, u64::from(flags.0), 8);
        } else {
            self.out.extend_from_slice(&flags.letters());
        }
    }

    fn address(&mut self, addr: Option<Addr>) {
        push_address(self.out, addr.unwrap_or(Addr::V4(0)), self.format.options.ipv6_wide);
    }

    fn address_port(&mut self, addr: Field, port: Field) {
        let ip = self.row.addr(addr);
        if self.context.shows(addr) {
            self.address(ip);
        } else {
            pad(self.out, if self.format.options.ipv6_wide { 39 } else { 16 });
        }
        self.port_after(ip, port);
    }

    /// The country of an address in brackets.
    fn country_behind(&mut self, addr: Field) {
        let country = self.row.addr(addr).map(|a| self.state.places.country(self.context.book, a));
        self.out.push(b'(');
        push_country(self.out, country.unwrap_or_default());
        self.out.push(b')');
    }

    fn location(&mut self, addr: Field) {
        let book = self.context.book;
        match self.row.addr(addr).and_then(|addr| book?.location(addr)) {
            Some(text) => self.outside_text(text.as_bytes(), 0),
            None => self.out.extend_from_slice(b"<no location info>"),
        }
    }

    fn has_services(&self) -> bool {
        self.format.services().is_some()
    }

    /// A port right-aligned in six, or its name in as much as names take.
    #[inline]
    fn port(&mut self, field: Field) {
        let port = self.row.number(field);
        let Some(services) = self.format.services() else { return push_right(self.out, port, 6) };
        match services.name(proto(self.row), port as u16) {
            Some(name) => self.outside_text(name.as_bytes(), PORT_ROOM),
            None => push_right(self.out, port, PORT_ROOM),
        }
    }

    fn port_after(&mut self, ip: Option<Addr>, port: Field) {
        let room = if self.has_services() { PORT_ROOM } else { 5 };
        if !self.context.shows(port) {
            return pad(self.out, 1 + room);
        }
        self.out.push(if matches!(ip, Some(Addr::V6(_))) { b'.' } else { b':' });
        let start = self.out.len();
        let number = self.row.number(port);
        let name = self.format.services().and_then(|s| s.name(proto(self.row), number as u16));
        match name {
            _ if port == Field::DstPort && is_icmp(self.row) => push_icmp(self.out, self.row),
            Some(name) => {
                push_text(self.out, name.as_bytes());
            }
            None => return push_left(self.out, number, room),
        }
        pad(self.out, room.saturating_sub(self.out.len() - start));
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
        if self.format.options.plain_numbers {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FormatOptions;
    use crate::sample::{events, flow, four, printed, printed_with, random, rich, six};
    use record::Flow;

    /// What a list prints of the records, without its header.
    fn lines(spec: &str, flows: &[Flow], options: FormatOptions) -> Vec<String> {
        let options = FormatOptions { quiet: true, ..options };
        printed_with(spec, flows, options).lines().map(str::to_string).collect()
    }

    #[test]
    fn lists_of_ipv4() {
        let want = "\
Date first seen         Duration         Proto      Src IP Addr:Port          Dst IP Addr:Port   Packets    Bytes Flows
2026-11-20 10:00:00.000     00:00:12.345 TCP           10.1.0.5:51000 ->       192.0.2.80:443       1200    1.5 M     1
2026-11-20 10:00:02.000     00:00:00.030 UDP           10.1.0.5:40001 ->    198.51.100.53:53           1       71     1
2026-11-20 10:00:03.000     00:00:04.000 ICMP          10.1.0.7:0     ->        192.0.2.1:8.0          5      420     1
2026-11-20 10:00:07.000  1d 03:00:00.000 TCP           10.1.0.5:51001 ->       192.0.2.81:80       3.0 M    4.2 G     1
";
        let got = printed("line", &four());
        // The reference document ends the header without the blank of the port column.
        assert_eq!(got, want);
        for (spec, want) in [
            (
                "long",
                "2026-11-20 10:00:00.000     00:00:12.345 TCP           10.1.0.5:51000 ->       192.0.2.80:443   ...AP.SF    0     1200    1.5 M     1",
            ),
            (
                "extended",
                "2026-11-20 10:00:00.000     00:00:12.345 TCP           10.1.0.5:51000 ->       192.0.2.80:443   ...AP.SF    0     1200    1.5 M       97   972053   1250     1",
            ),
            (
                "biline",
                "2026-11-20 10:00:00.000     00:00:12.345 TCP           10.1.0.5:51000 <->       192.0.2.80:443          0     1200        0    1.5 M     1",
            ),
            (
                "bilong",
                "2026-11-20 10:00:00.000     00:00:12.345 TCP           10.1.0.5:51000 <->       192.0.2.80:443   ...AP.SF    0        0     1200        0    1.5 M     1",
            ),
        ] {
            assert_eq!(lines(spec, &four(), FormatOptions::default())[0], want, "{spec}");
        }
    }

    #[test]
    fn lists_of_ipv6() {
        let narrow = [
            "2026-11-20 10:00:02.000     00:00:00.500 UDP   2001:db..3:4:5:6.5353  ->     2001:db8::53.53           3      900     1",
            "2026-11-20 10:00:03.000     00:00:01.000 ICMP6      2001:db8::a.0     ->      2001:db8::b.135.0        2      144     1",
        ];
        let wide = "2026-11-20 10:00:02.000     00:00:00.500 UDP                      2001:db8:1:2:3:4:5:6.5353  ->                            2001:db8::53.53           3      900     1";
        assert_eq!(lines("line", &six(), FormatOptions::default()), narrow);
        assert_eq!(lines("line6", &six(), FormatOptions::default())[0], wide);
        let six_wide = FormatOptions { ipv6_wide: true, ..FormatOptions::default() };
        assert_eq!(lines("line", &six(), six_wide)[0], wide);
    }

    #[test]
    fn lists_of_events() {
        assert_eq!(
            lines("nsel", &events(), FormatOptions::default()),
            [
                "2026-11-20 10:00:05.123   CREATE   I-ACL TCP           10.9.0.7:3333  ->      203.0.113.5:443       198.51.100.7:60001 ->      203.0.113.5:443          0        0",
                "2026-11-20 10:00:06.007    ADD44 <no-evt> UDP           10.9.0.8:4444  ->      203.0.113.6:80        198.51.100.8:61000 ->      203.0.113.6:80           0        0",
            ]
        );
        assert_eq!(
            lines("nat", &events(), FormatOptions::default())[1],
            "2026-11-20 10:00:06.007    ADD44 UDP           10.9.0.8:4444  ->      203.0.113.6:80        198.51.100.8:61000 ->      203.0.113.6:80   "
        );
        let plain = FormatOptions { plain_numbers: true, ..FormatOptions::default() };
        assert_eq!(lines("fmt:%evt|%xevt", &events(), plain), ["1|  I-ACL", "4|<no-evt>"]);
        for (numbers, want) in [
            (vec![], "<no-evt>"),
            (vec![(Field::FwEvent, 0)], "  IGNORE"),
            (vec![(Field::FwEvent, 5)], "  UPDATE"),
            (vec![(Field::FwEvent, 77)], "77-Unknw"),
            (vec![(Field::NatEvent, 0)], " INVALID"),
            (vec![(Field::NatEvent, 77)], "77-Unknown"),
            (vec![(Field::FwEvent, 0), (Field::NatEvent, 4)], "   ADD44"),
            (vec![(Field::FwEvent, 2), (Field::NatEvent, 4)], "  DELETE"),
        ] {
            assert_eq!(lines("fmt:%evt", &[flow(&numbers, &[])], FormatOptions::default()), [want]);
        }
        assert_eq!(
            lines("fmt:%iacl|%eacl|%uname", &events()[..1], FormatOptions::default()),
            ["0xaaaa     0xbbbb     0xcccc    |         1          2          3|alice"]
        );
    }

    #[test]
    fn plain_numbers() {
        let plain = FormatOptions { plain_numbers: true, ..FormatOptions::default() };
        assert_eq!(
            lines("long", &four()[3..], plain),
            [
                "2026-11-20 10:00:07.000        97200.000 6             10.1.0.5:51001 ->       192.0.2.81:80          27    0  3000000 4200000000     1"
            ]
        );
    }

    #[test]
    fn a_record_without_fields() {
        assert_eq!(
            lines("extended", &[Flow::new()], FormatOptions::default()),
            [
                "0000-00-00 00:00:00.000     00:00:00.000 0              0.0.0.0:0     ->          0.0.0.0:0     ........    0        0        0        0        0      0     1"
            ]
        );
        // Neither a missing end nor one before the start makes a duration.
        for (first, last) in [(0, 5), (5, 0), (9, 5)] {
            let flow = flow(&[(Field::First, first), (Field::Last, last)], &[]);
            assert_eq!(
                lines("fmt:%td%tds", &[flow], FormatOptions::default()),
                ["    00:00:00.000           0.000"]
            );
        }
    }

    #[test]
    fn flags_belong_to_tcp_and_icmp_codes_to_icmp() {
        for (proto, want) in [
            (6, "...AP.SF  2048|   8   0|    0.0.0.0:2048 "),
            (17, "........  2048|   8   0|    0.0.0.0:2048 "),
            (1, "........   8.0|   8   0|    0.0.0.0:8.0  "),
            (58, "........   8.0|   8   0|    0.0.0.0:8.0  "),
        ] {
            let numbers = [(Field::Proto, proto), (Field::TcpFlags, 0x1b), (Field::DstPort, 2048)];
            let flow = flow(&numbers, &[]);
            let got = lines("fmt:%flg%dp|%it%ic|%dap", &[flow], FormatOptions::default());
            let squeezed = got[0]
                .replace("     8     0", "   8   0")
                .replace("         0.0.0.0", "    0.0.0.0");
            assert_eq!(squeezed, want, "proto {proto}");
        }
    }

    #[test]
    fn text_from_outside_cannot_reach_the_terminal() {
        let mut flow = rich();
        flow.set_bytes(Field::Username, b"a\x1b[2Jb\xff");
        flow.set_bytes(Field::NatString, b"x\ny");
        flow.set_bytes(Field::PfInterface, b"\x07");
        flow.set_bytes(Field::Label, "g\u{202e}h".as_bytes());
        assert_eq!(
            lines("fmt:%uname|%nats|%pfifn|%lbl", &[flow], FormatOptions::default()),
            ["a\\x1b[2Jb\\xff|x\\x0ay|     \\x07|      g\\u{202e}h"]
        );
        let all: String = crate::column::TOKENS
            .iter()
            .filter(|t| !matches!(t.cell, Cell::NewLine | Cell::Payload(_)))
            .map(|t| format!("%{} ", t.name))
            .collect();
        for (i, flow) in random(2000).iter().enumerate() {
            let text = printed(&format!("fmt:{all}"), std::slice::from_ref(flow));
            assert_eq!(text.matches('\n').count(), 2, "record {i}");
            assert!(!text.bytes().any(|b| b.is_ascii_control() && b != b'\n'), "record {i}");
        }
    }

    /// As filters have it: `pf dir out` is every direction but 1.
    #[test]
    fn pf_calls_in_one_and_out_two() {
        for (code, want) in [(0, "out"), (1, " in"), (2, "out"), (9, "out")] {
            let flow = [flow(&[(Field::PfDir, code)], &[])];
            assert_eq!(lines("fmt:%pfdir", &flow, FormatOptions::default()), [want], "{code}");
            let csv = printed("csv:%pfdir", &flow);
            assert_eq!(csv.lines().nth(1), Some(want.trim()), "{code}");
            let raw = printed("raw", &flow);
            assert!(raw.contains(&format!("{code} {}\n", want.trim())), "{raw}");
        }
    }

    #[test]
    fn payload_as_text_and_as_octets() {
        let mut flow = Flow::new();
        flow.set_bytes(Field::InPayload, b"GET / HTTP/1.1\r\nHost: a\r\n\0\0");
        flow.set_bytes(Field::OutPayload, b"\x16\x03\x01hello, this is binary");
        assert_eq!(
            lines("fmt:%ipl%opl", &[flow], FormatOptions::default()),
            [
                "GET / HTTP/1.1",
                "Host: a",
                "00000000 16 03 01 68 65 6C 6C 6F  2C 20 74 68 69 73 20 69  |  ...hello, this i ",
                "00000010 73 20 62 69 6E 61 72 79                           |  s binary ",
                "",
            ]
        );
    }

    #[test]
    fn names_of_interfaces_and_applications() {
        #[derive(Debug)]
        struct Known;
        impl crate::Names for Known {
            fn name(&self, exporter: u32, table: NameTable, id: u32) -> Option<&[u8]> {
                match (exporter, table, id) {
                    (1, NameTable::Interface, 11) => Some(b"eth\x1b0"),
                    (1, NameTable::Vrf, 3) => Some(b"customer-a"),
                    _ => None,
                }
            }
            fn application(&self, _: u32, id: &[u8]) -> Option<&[u8]> {
                (id == [3, 0, 80]).then_some(b"http".as_slice())
            }
        }
        let mut flow = rich();
        flow.set_bytes(Field::AppId, &[3, 0, 80]);
        let context = RecordContext { names: Some(&Known), ..RecordContext::new("x", 1) };
        for (spec, want) in [
            (
                "fmt:%inam|%onam|%ivrfnam|%evrfnam|%nbnam|%nbid\n",
                " eth\\x1b0|| customer-a||http| 3..80\n\n",
            ),
            ("csv:%inam,%onam,%ivrfnam,%nbnam,%nbid", "eth\\x1b0,,customer-a,http,3..80\n"),
        ] {
            let mut out = Vec::new();
            let format = Format::parse(spec, &FormatOptions::default()).unwrap();
            format.printer().record(flow.as_row(), &context, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn sources() {
        for (source, flags, text, csv) in [
            (9, 0, "Nv9", "netflowV9"),
            (10, 0, "Nv10", "netflowV10"),
            (0x85, 2, "Sv5", "sflowV5"),
            (0x41, 0, "Pv1", "pcapdV1"),
            (9, 1, "EVT9", "event9"),
            (0, 0, "FLO", "flow"),
        ] {
            let flow = [flow(&[(Field::Source, source), (Field::RecordFlags, flags)], &[])];
            assert_eq!(lines("fmt:%nfv", &flow, FormatOptions::default()), [text]);
            assert_eq!(printed("csv:%nfv", &flow), format!("version\n{csv}\n"));
        }
    }
}
