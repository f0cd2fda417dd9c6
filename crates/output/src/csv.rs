//! Comma-separated values: the columns of a format without padding, scaling or brackets.

use crate::RecordContext;
use crate::column::{Cell, MPLS};
use crate::digits::{push_addr, push_hex, push_mac, push_thousandths, push_u64};
use crate::escape::push_csv;
use crate::format::{Format, Op};
use crate::human::per_second_float;
use crate::names::{pf_action, pf_direction, pf_reason, xevent};
use crate::tls;
use crate::value::{
    Source, State, acl_ids, event_number, event_time, is_icmp, listed_duration, listed_flags,
    listed_flows, packet_size, proto, push_app_id, push_country, push_fragment, push_icmp,
    push_mpls, push_time, tor,
};
use record::{Addr, Field, Mac, Row};

/// One line. What the record may not show is an empty field.
pub(crate) fn record(
    format: &Format,
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    let mut line = Line { format, state, row, context, out };
    let is_sum = context.is_sum();
    for (i, op) in format.ops.iter().enumerate() {
        if i > 0 {
            line.out.push(b',');
        }
        if let Op::Column(token) = op
            && (!is_sum || context.shows_any(token.cell.bits()))
        {
            line.cell(token.cell);
        }
    }
    out.push(b'\n');
}

/// Header line of the fixed columns.
pub(crate) const FAST_HEADER: &str = "cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,packets,bytes";

/// One line of the fixed columns: times in milliseconds, ICMP type and code as one number. What the
/// record may not show is an empty field.
pub(crate) fn fast_record(row: Row<'_>, context: &RecordContext<'_>, out: &mut Vec<u8>) {
    if context.is_sum() {
        fast_line::<true>(row, context, out);
    } else {
        fast_line::<false>(row, context, out);
    }
}

fn fast_line<const SUM: bool>(row: Row<'_>, context: &RecordContext<'_>, out: &mut Vec<u8>) {
    use Field as F;
    let number = |out: &mut Vec<u8>, field| {
        out.push(b',');
        if !SUM || context.shows(field) {
            push_u64(out, row.number(field));
        }
    };
    let addr = |out: &mut Vec<u8>, field| {
        out.push(b',');
        if !SUM || context.shows(field) {
            push_addr(out, row.addr(field).unwrap_or(Addr::V4(0)));
        }
    };
    push_u64(out, context.count);
    // Address families as Linux numbers them; 0 is a record without addresses.
    out.extend_from_slice(match row.addr(F::SrcAddr).or_else(|| row.addr(F::DstAddr)) {
        Some(Addr::V4(_)) => b",2",
        Some(Addr::V6(_)) => b",10",
        None => b",0",
    });
    for field in [F::First, F::Last, F::Proto] {
        number(out, field);
    }
    addr(out, F::SrcAddr);
    number(out, F::SrcPort);
    addr(out, F::DstAddr);
    number(out, F::DstPort);
    for field in [F::SrcAs, F::DstAs, F::Input, F::Output] {
        number(out, field);
    }
    out.push(b',');
    if !SUM || context.shows(F::TcpFlags) {
        out.extend_from_slice(&listed_flags(row).letters());
    }
    for field in [F::SrcTos, F::Packets, F::Bytes] {
        number(out, field);
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
    #[inline(always)] // the one call is in the loop over columns
    fn cell(&mut self, cell: Cell) {
        let row = self.row;
        match cell {
            Cell::Number(field, _) | Cell::AfterBlank(field) | Cell::Scaled(field) => {
                push_u64(self.out, row.number(field));
            }
            Cell::Flows => push_u64(self.out, listed_flows(row)),
            Cell::Time(field) => self.time(row.number(field)),
            Cell::TimeUtc(field) => {
                push_time(&mut self.state.utc, self.out, row.number(field));
            }
            Cell::Duration | Cell::Seconds => {
                push_thousandths(self.out, listed_duration(row), 0);
            }
            Cell::Proto => match proto(row).name().filter(|_| self.format.options.names) {
                Some(name) => self.out.extend_from_slice(name.as_bytes()),
                None => push_u64(self.out, row.number(Field::Proto)),
            },
            Cell::Addr(field) => push_addr(self.out, row.addr(field).unwrap_or(Addr::V4(0))),
            Cell::DstPort if is_icmp(row) => push_icmp(self.out, row),
            Cell::DstPort => self.port(Field::DstPort),
            Cell::Port(field) => self.port(field),
            Cell::Flags => self.out.extend_from_slice(&listed_flags(row).letters()),
            Cell::BitRate => {
                let bits = row.number(Field::Bytes).saturating_mul(8);
                push_u64(self.out, per_second_float(bits, listed_duration(row)));
            }
            Cell::PacketRate => {
                let packets = row.number(Field::Packets);
                push_u64(self.out, per_second_float(packets, listed_duration(row)));
            }
            Cell::PacketSize => push_u64(self.out, packet_size(row)),
            other => self.rare_cell(other),
        }
    }

    fn rare_cell(&mut self, cell: Cell) {
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
            other => self.rarest_cell(other),
        }
    }

    fn rarest_cell(&mut self, cell: Cell) {
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

    #[inline]
    fn port(&mut self, field: Field) {
        let port = self.row.number(field);
        match self.format.services().and_then(|s| s.name(proto(self.row), port as u16)) {
            Some(name) => push_csv(self.out, name.as_bytes()),
            None => push_u64(self.out, port),
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
