//! Comma-separated values: the columns of a format without padding, scaling or brackets.

use crate::RecordContext;
use crate::column::{Cell, MPLS};
use crate::digits::{push_addr, push_hex, push_mac, push_thousandths, push_u64};
use crate::draft::{Draft, Ink, Word};
use crate::escape::push_csv;
use crate::format::{Format, Op};
use crate::human::per_second_float;
use crate::names::{pf_action, pf_direction, pf_reason, xevent};
use crate::tls;
use crate::value::{
    NO_TIME, Source, State, acl_ids, event_number, event_time, is_icmp, listed_duration,
    listed_flags, listed_flows, number_of, packet_size, proto, push_app_id, push_country,
    push_fragment, push_mpls, push_time, tor,
};
use record::{Addr, Field, Mac, Row};

static COMMA: Word = Word::new(",");
static DOT: Word = Word::new(".");
static LINE_END: Word = Word::new("\n");

/// One line. What the record may not show is an empty field.
pub(crate) fn record(
    format: &Format,
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    let mut paper = state.paper.take().unwrap_or_default();
    Line { format, state, row, context, ink: Draft::new(&mut paper, out) }.write().finish();
    state.paper = Some(paper);
}

/// Header line of the fixed columns.
pub(crate) const FAST_HEADER: &str = "cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,packets,bytes";

/// One line of the fixed columns: times in milliseconds, ICMP type and code as one number. What the
/// record may not show is an empty field.
pub(crate) fn fast_record(
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    let mut paper = state.paper.take().unwrap_or_default();
    let ink = Draft::new(&mut paper, out);
    match context.is_sum() {
        false => FastLine::<_, false> { row, context, ink }.write().finish(),
        true => FastLine::<_, true> { row, context, ink }.write().finish(),
    }
    state.paper = Some(paper);
}

struct FastLine<'a, I, const SUM: bool> {
    row: Row<'a>,
    context: &'a RecordContext<'a>,
    ink: I,
}

impl<I: Ink, const SUM: bool> FastLine<'_, I, SUM> {
    #[inline(always)]
    fn write(mut self) -> I {
        use Field as F;
        let row = self.row;
        self.ink.number(self.context.count);
        // Address families as Linux numbers them; 0 is a record without addresses.
        self.ink.put(match row.addr(F::SrcAddr).or_else(|| row.addr(F::DstAddr)) {
            Some(Addr::V4(_)) => b",2",
            Some(Addr::V6(_)) => b",10",
            None => b",0",
        });
        self.number(F::First);
        self.number(F::Last);
        self.number(F::Proto);
        self.address(F::SrcAddr);
        self.number(F::SrcPort);
        self.address(F::DstAddr);
        self.number(F::DstPort);
        self.number(F::SrcAs);
        self.number(F::DstAs);
        self.number(F::Input);
        self.number(F::Output);
        self.ink.word(&COMMA);
        if !SUM || self.context.shows(F::TcpFlags) {
            self.ink.flags(listed_flags(row));
        }
        self.number(F::SrcTos);
        self.number(F::Packets);
        self.number(F::Bytes);
        self.ink.word(&LINE_END);
        self.ink
    }

    #[inline(always)]
    fn number(&mut self, field: Field) {
        self.ink.word(&COMMA);
        if !SUM || self.context.shows(field) {
            self.ink.number(number_of(self.row, field));
        }
    }

    #[inline(always)]
    fn address(&mut self, field: Field) {
        self.ink.word(&COMMA);
        if !SUM || self.context.shows(field) {
            self.ink.address(self.row.addr(field).unwrap_or(Addr::V4(0)));
        }
    }
}

struct Line<'a, I> {
    format: &'a Format,
    state: &'a mut State,
    row: Row<'a>,
    context: &'a RecordContext<'a>,
    ink: I,
}

impl<I: Ink> Line<'_, I> {
    #[inline(always)]
    fn write(mut self) -> I {
        let is_sum = self.context.is_sum();
        for (i, op) in self.format.ops.iter().enumerate() {
            if i > 0 {
                self.ink.word(&COMMA);
            }
            if let Op::Column(token) = op
                && (!is_sum || self.context.shows_any(token.cell.bits()))
            {
                self.ink.make_room();
                self.cell(token.cell);
            }
        }
        self.ink.word(&LINE_END);
        self.ink
    }

    #[inline(always)] // the one call is in the loop over columns
    fn cell(&mut self, cell: Cell) {
        let row = self.row;
        match cell {
            Cell::Number(field, _) | Cell::AfterBlank(field) | Cell::Scaled(field) => {
                self.ink.number(row.number(field));
            }
            Cell::Flows => self.ink.number(listed_flows(row)),
            Cell::Time(field) => match row.number(field) {
                0 => self.ink.put(NO_TIME),
                ms => self.ink.time(&mut self.state.local, ms, b' '),
            },
            Cell::TimeUtc(field) => match row.number(field) {
                0 => self.ink.put(NO_TIME),
                ms => self.ink.time(&mut self.state.utc, ms, b' '),
            },
            Cell::Duration | Cell::Seconds => self.ink.thousandths(listed_duration(row)),
            Cell::Proto => match proto(row).name().filter(|_| self.format.options.names) {
                Some(name) => self.ink.put(name.as_bytes()),
                None => self.ink.number(row.number(Field::Proto)),
            },
            Cell::Addr(field) => self.ink.address(row.addr(field).unwrap_or(Addr::V4(0))),
            Cell::DstPort if is_icmp(row) => {
                self.ink.number(row.number(Field::IcmpType));
                self.ink.word(&DOT);
                self.ink.number(row.number(Field::IcmpCode));
            }
            Cell::DstPort => self.port(Field::DstPort),
            Cell::Port(field) => self.port(field),
            Cell::Flags => self.ink.flags(listed_flags(row)),
            Cell::BitRate => {
                let bits = row.number(Field::Bytes).saturating_mul(8);
                self.ink.number(per_second_float(bits, listed_duration(row)));
            }
            Cell::PacketRate => {
                let packets = row.number(Field::Packets);
                self.ink.number(per_second_float(packets, listed_duration(row)));
            }
            Cell::PacketSize => self.ink.number(packet_size(row)),
            other => {
                let (state, context) = (&mut *self.state, self.context);
                Rare { state, row, context, out: self.ink.long() }.cell(other);
            }
        }
    }

    #[inline(always)]
    fn port(&mut self, field: Field) {
        let port = self.row.number(field);
        match self.format.services().and_then(|s| s.name(proto(self.row), port as u16)) {
            Some(name) => push_csv(self.ink.long(), name.as_bytes()),
            None => self.ink.number(port),
        }
    }
}

/// Cells that few formats have.
struct Rare<'a> {
    state: &'a mut State,
    row: Row<'a>,
    context: &'a RecordContext<'a>,
    out: &'a mut Vec<u8>,
}

impl Rare<'_> {
    #[inline(never)]
    fn cell(&mut self, cell: Cell) {
        let row = self.row;
        match cell {
            Cell::Version => self.version(),
            Cell::Count => push_u64(self.out, self.context.count),
            Cell::Ident => push_csv(self.out, self.context.ident_or("<no ident>").as_bytes()),
            Cell::Engine => {
                push_u64(self.out, row.number(Field::EngineType));
                self.out.push(b'/');
                push_u64(self.out, row.number(Field::EngineId));
            }
            Cell::TimeRaw(field) => push_thousandths(self.out, row.number(field), 0),
            Cell::EventTime => self.time(event_time(row)),
            Cell::EventMillis => push_u64(self.out, event_time(row)),
            Cell::Direction => {
                self.out.push(if row.number(Field::Direction) == 0 { b'I' } else { b'E' });
            }
            Cell::Net(addr, mask) => {
                let len = row.number(mask).min(255) as u8;
                push_addr(self.out, row.addr(addr).unwrap_or(Addr::V4(0)).masked(len));
                self.out.push(b'/');
                push_u64(self.out, u64::from(len));
            }
            Cell::Name(table, field) => {
                push_csv(self.out, self.context.name(row, table, field).unwrap_or(b""));
            }
            Cell::Mpls(field) => push_mpls(self.out, row.number(field), 0),
            Cell::MplsStack => {
                for (i, field) in MPLS.into_iter().enumerate() {
                    if i > 0 {
                        self.out.push(b' ');
                    }
                    push_mpls(self.out, row.number(field), 0);
                }
            }
            Cell::Mac(field) => push_mac(self.out, row.mac(field).unwrap_or(Mac(0))),
            Cell::Latency(field) => push_thousandths(self.out, row.number(field), 0),
            Cell::System(own, addr) => {
                push_u64(self.out, self.state.system(row, self.context, own, addr));
            }
            Cell::Country(own, addr) => {
                push_country(self.out, self.state.country(row, self.context, own, addr));
            }
            Cell::Organisation(own, addr) => {
                let name = self.state.organisation(row, self.context, own, addr);
                push_csv(self.out, name.unwrap_or("none").as_bytes());
            }
            other => self.rarer_cell(other),
        }
    }

    fn rarer_cell(&mut self, cell: Cell) {
        let row = self.row;
        let out = &mut *self.out;
        match cell {
            Cell::Event => push_u64(out, event_number(row)),
            Cell::XEvent => match row.u64(Field::FwXEvent).map(|code| (code, xevent(code))) {
                None => out.extend_from_slice(b"no-evt"),
                Some((code, None)) => push_u64(out, code),
                Some((_, Some(name))) => out.extend_from_slice(name.as_bytes()),
            },
            Cell::IngressAcl => {
                for (i, id) in acl_ids(row, Field::IngressAcl).into_iter().enumerate() {
                    out.extend_from_slice(if i > 0 { b" 0x" } else { b"0x" });
                    push_hex(out, id, 1);
                }
            }
            Cell::EgressAcl => {
                for (i, id) in acl_ids(row, Field::EgressAcl).into_iter().enumerate() {
                    if i > 0 {
                        out.push(b' ');
                    }
                    push_u64(out, id);
                }
            }
            Cell::Text(field, _, absent) => {
                push_csv(out, row.text(field).unwrap_or(absent.as_bytes()));
            }
            Cell::AppId => push_app_id(out, row.bytes(Field::AppId), false),
            Cell::AppName => match row.bytes(Field::AppId) {
                None => out.extend_from_slice(b"no-nbar"),
                Some(id) => push_csv(out, self.context.application(row, id).unwrap_or(b"no-info")),
            },
            Cell::Observation(field, _) => {
                out.extend_from_slice(b"0x");
                let n = row.number(field);
                let is_known = row.has(field) && (n != 0 || !self.context.is_sum());
                push_hex(out, n, if is_known { 1 } else { 2 });
            }
            Cell::PfAction => push_pf(out, row.u64(Field::PfAction), pf_action),
            Cell::PfReason => push_pf(out, row.u64(Field::PfReason), pf_reason),
            Cell::PfDirection => {
                let direction = row.u64(Field::PfDir).map_or("no pfinfo", pf_direction);
                out.extend_from_slice(direction.as_bytes());
            }
            Cell::FlowId => {
                out.extend_from_slice(b"0x");
                push_u64(out, row.number(Field::FlowId));
            }
            Cell::Fragment => push_fragment(out, row),
            Cell::Location(field) => {
                let book = self.context.book;
                let text = row.addr(field).and_then(|addr| book?.location(addr));
                push_csv(out, text.as_deref().unwrap_or("no location info").as_bytes());
            }
            Cell::Tor(field) => out.extend_from_slice(tor(row, self.context, field).as_bytes()),
            Cell::Tls(part) => tls::push_field(out, row, part),
            // The rest is printed by the two functions above or not known to CSV.
            _ => {}
        }
    }

    fn version(&mut self) {
        let source = Source::of(self.row);
        let name: &[u8] = match source {
            Source::Event(_) => b"event",
            Source::SFlow(_) => b"sflowV",
            Source::Capture(_) => b"pcapdV",
            Source::NetFlow(_) => b"netflowV",
            Source::Unknown => return self.out.extend_from_slice(b"flow"),
        };
        self.out.extend_from_slice(name);
        push_u64(self.out, source.version());
    }

    fn time(&mut self, ms: u64) {
        push_time(&mut self.state.local, self.out, ms);
    }
}

fn push_pf(out: &mut Vec<u8>, code: Option<u64>, name: fn(u64) -> &'static str) {
    out.extend_from_slice(code.map_or("no-pf", name).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::TOKENS;
    use crate::sample::{four, printed, random, rich, six};
    use record::Flow;

    #[test]
    fn the_default_columns() {
        let flows: Vec<_> = [rich()].into_iter().chain(six()).chain(four().split_off(3)).collect();
        assert_eq!(
            printed("csv", &flows),
            "\
firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows
2026-11-20 10:00:01.000,60.000,6,10.9.0.1,1234,192.0.2.99,8080,100,123456,1
2026-11-20 10:00:02.000,0.500,17,2001:db8:1:2:3:4:5:6,5353,2001:db8::53,53,3,900,1
2026-11-20 10:00:03.000,1.000,58,2001:db8::a,0,2001:db8::b,135.0,2,144,1
2026-11-20 10:00:07.000,97200.000,6,10.1.0.5,51001,192.0.2.81,80,3000000,4200000000,1
"
        );
    }

    #[test]
    fn the_fixed_columns() {
        let flows: Vec<_> = [rich()].into_iter().chain(six()).chain([Flow::new()]).collect();
        assert_eq!(
            printed("csv-fast", &flows),
            "\
cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,packets,bytes
1,2,1795168801000,1795168861000,6,10.9.0.1,1234,192.0.2.99,8080,64500,4200000001,11,12,...AP.SF,16,100,123456
2,10,1795168802000,1795168802500,17,2001:db8:1:2:3:4:5:6,5353,2001:db8::53,53,0,0,0,0,........,0,3,900
3,10,1795168803000,1795168804000,58,2001:db8::a,0,2001:db8::b,34560,0,0,0,0,........,0,2,144
4,0,0,0,0,0.0.0.0,0,0.0.0.0,0,0,0,0,0,........,0,0,0
"
        );
    }

    /// A record written the obvious way.
    fn plain(format: &Format, state: &mut State, row: Row<'_>, c: &RecordContext<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let (context, ink) = (c, &mut out);
        match (format.kind(), c.is_sum()) {
            (crate::Kind::CsvFast, false) => {
                FastLine::<_, false> { row, context, ink }.write();
            }
            (crate::Kind::CsvFast, true) => {
                FastLine::<_, true> { row, context, ink }.write();
            }
            _ => {
                Line { format, state, row, context, ink }.write();
            }
        }
        out
    }

    #[test]
    fn drafts_are_what_the_obvious_way_writes() {
        let tokens: Vec<_> = TOKENS.iter().filter(|t| !t.csv.is_empty()).collect();
        let all: Vec<_> = tokens.iter().map(|t| format!("%{}", t.name)).collect();
        // Longer than any room that is not made anew.
        let many = format!("csv:{}{}", all.join(","), ",%da,%ts".repeat(900));
        let names = crate::FormatOptions { names: true, ..Default::default() };
        let services = crate::Services::parse("http-alt 8080/tcp\ndomain 53/udp\n");
        let sums = crate::shown_of_sums([Field::SrcAddr, Field::DstPort]);
        let flows: Vec<_> = random(300).into_iter().chain(six()).chain(four()).collect();
        for spec in ["csv", "csv-fast", "csv:%pps,%bps,%bpp,%flg,%dp,%pr,%ra", &many] {
            let format = Format::parse(spec, &crate::FormatOptions::default()).unwrap();
            let named = Format::parse(spec, &names).unwrap().with_services(services.clone().into());
            for format in [format, named] {
                let (mut printer, mut state) = (format.printer(), State::new(Default::default()));
                for (i, flow) in flows.iter().enumerate() {
                    let mut context = RecordContext::new("lab", (i as u64).pow(i as u32 % 5));
                    context.shown = if i % 5 == 0 { sums } else { u128::MAX };
                    let mut out = Vec::new();
                    printer.record(flow.as_row(), &context, &mut out);
                    let want = plain(&format, &mut state, flow.as_row(), &context);
                    let (out, want) = (out.escape_ascii(), want.escape_ascii());
                    assert_eq!(out.to_string(), want.to_string(), "flow {i}");
                }
            }
        }
    }

    #[test]
    fn the_header_stays_when_quiet() {
        let options = crate::FormatOptions { quiet: true, ..Default::default() };
        let text = crate::sample::printed_with("csv:%sp", &[rich()], options);
        assert_eq!(text, "srcPort\n1234\n");
    }

    /// Fields of one line as RFC 4180 has them.
    fn parse(line: &str) -> Vec<String> {
        let (mut fields, mut rest) = (Vec::new(), line);
        loop {
            let mut field = String::new();
            if let Some(quoted) = rest.strip_prefix('"') {
                rest = quoted;
                loop {
                    let end = rest.find('"').expect("a closing quote");
                    field.push_str(&rest[..end]);
                    rest = &rest[end + 1..];
                    match rest.strip_prefix('"') {
                        Some(after) => {
                            field.push('"');
                            rest = after;
                        }
                        None => break,
                    }
                }
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                assert!(!rest[..end].contains('"'), "a quote inside an unquoted field: {line}");
                field.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            fields.push(field);
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => {
                    assert!(rest.is_empty(), "{line}");
                    return fields;
                }
            }
        }
    }

    #[test]
    fn random_records_read_back() {
        let tokens: Vec<_> = TOKENS.iter().filter(|t| !t.csv.is_empty()).collect();
        let spec: Vec<_> = tokens.iter().map(|t| format!("%{}", t.name)).collect();
        let flows = random(3000);
        let text = printed(&format!("csv:{}", spec.join(",")), &flows);
        let mut lines = text.lines();
        let header = parse(lines.next().unwrap());
        assert_eq!(header, tokens.iter().map(|t| t.csv).collect::<Vec<_>>());
        let at = |name| tokens.iter().position(|t| t.name == name).unwrap();
        for (i, flow) in flows.iter().enumerate() {
            let fields = parse(lines.next().unwrap());
            assert_eq!(fields.len(), tokens.len(), "record {i}");
            let row = flow.as_row();
            assert_eq!(fields[at("byt")], row.number(Field::Bytes).to_string());
            if let Some(addr) = row.addr(Field::SrcAddr) {
                assert_eq!(fields[at("sa")], addr.to_string());
            }
            let mut user = Vec::new();
            crate::escape::push_text(&mut user, row.text(Field::Username).unwrap_or(b"<empty>"));
            assert_eq!(fields[at("uname")].as_bytes(), user, "record {i}");
        }
        assert_eq!(lines.next(), None);
    }
}
