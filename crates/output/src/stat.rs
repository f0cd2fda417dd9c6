//! Tables of statistics: the values of one element, and what flowed with each.

mod columns;
mod formats;

pub(crate) use formats::{FAST_HEADER, csv_columns};

use crate::clock::Clock;
use crate::colour;
use crate::digits::{AddrText, pad, push_addr, push_hex, push_mac, push_thousandths, push_u64};
use crate::escape::push_text;
use crate::format::{Format, FormatOptions, Kind};
use crate::human::per_second_float;
use crate::order::{Counts, Order, Side};
use crate::summary::push_fmt;
use crate::value::{push_country, push_mpls};
use record::code::{FwEvent, NatEvent, TcpFlags};
use record::{Addr, AddressBook, Field, Mac};

/// One value of a statistic's element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatKey<'a> {
    /// Interfaces, masks and the like.
    Number(u64),
    /// A port: a number that may have a name.
    Port(u16),
    /// Numbers shown in hexadecimal: observation domain and point, access lists.
    Hex(u64),
    /// An address.
    Addr(Addr),
    /// A MAC address.
    Mac(Mac),
    /// An IP protocol, for the element `proto`.
    Proto(u8),
    /// TCP flags.
    TcpFlags(u8),
    /// An entry of the MPLS stack: label*16 + EXP*2 + bottom.
    Mpls(u32),
    /// A latency in microseconds, shown in milliseconds.
    Latency(u64),
    /// A firewall event.
    FwEvent(u8),
    /// A NAT event.
    NatEvent(u8),
    /// Anything else, from outside: application, country, organisation.
    Text(&'a [u8]),
}

impl StatKey<'_> {
    /// The value in full. Text from outside is made safe to print.
    pub fn text(self) -> String {
        let mut out = Vec::new();
        push_key(&mut out, self);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// One line of a table.
#[derive(Clone, Copy, Debug)]
pub struct StatRow<'a> {
    /// The value.
    pub key: StatKey<'a>,
    /// Protocol of these flows; `None` if the statistic does not tell protocols apart.
    pub proto: Option<u8>,
    /// What flowed.
    pub counts: Counts,
}

/// What 100 percent are: the sums of all flows that passed the filter.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatTotals {
    /// Flows.
    pub flows: u64,
    /// Packets of both directions.
    pub packets: u64,
    /// Octets of both directions.
    pub bytes: u64,
}

impl From<&record::Totals> for StatTotals {
    fn from(t: &record::Totals) -> Self {
        Self { flows: t.all_flows(), packets: t.all_packets(), bytes: t.all_bytes() }
    }
}

/// One table: the rows of an element in the order they are to be printed.
#[derive(Clone, Copy, Debug)]
pub struct StatTable<'a> {
    /// Title of the element, as in `Src IP Addr`.
    pub title: &'a str,
    /// Name of the element, as in `srcip`: the key in JSON.
    pub element: &'a str,
    /// Fields whose values are counted. Their tokens stand for the value where the user chooses the
    /// columns.
    pub fields: &'a [Field],
    /// What the rows are ordered by; it decides whose counters are shown.
    pub order: Order,
    /// Most rows asked for, 0 for all: for the title line only, `rows` is cut already.
    pub limit: u64,
    /// Whether the element is an address: `-6` widens its column.
    pub is_address: bool,
    /// The rows.
    pub rows: &'a [StatRow<'a>],
    /// What percentages refer to.
    pub totals: StatTotals,
    /// What is known about addresses: their countries are shown beside them.
    pub book: Option<&'a dyn AddressBook>,
}

impl StatTable<'_> {
    /// Appends the table. `more` says whether JSON objects were printed before in the same
    /// document; the caller opens and closes it, [`Kind::open`] and [`Kind::close`].
    ///
    /// Columns that the user chose must be those of a table: see [`Format::check_table`].
    pub fn print(&self, format: &Format, more: bool, out: &mut Vec<u8>) {
        self.header(format, out);
        self.print_rows(format, more, 0, out);
    }

    /// Appends rows that have `before` others above them: a long table need not be in memory as a
    /// whole. The first ones stand below the [`header`](Self::header).
    pub fn print_rows(&self, format: &Format, more: bool, before: usize, out: &mut Vec<u8>) {
        let mut clock = Clock::new(format.options.time_zone);
        let kind = format.kind;
        for (n, row) in self.rows.iter().enumerate() {
            let i = before + n;
            match kind {
                Kind::Text | Kind::Csv if format.is_spelt_out => {
                    self.chosen_columns(i, row, format, &mut clock, out);
                }
                Kind::Text => self.text_row(row, format, &mut clock, out),
                Kind::Csv | Kind::FlowTools(_) | Kind::Flowdumper => {
                    self.csv_row(row, format, &mut clock, out);
                }
                Kind::CsvFast => self.fast_row(row, format, out),
                Kind::Json => {
                    if more || n > 0 {
                        kind.separator(out);
                    }
                    out.push(b'\n');
                    self.json_object(row, format, &mut clock, out);
                }
                Kind::Ndjson => {
                    self.json_object(row, format, &mut clock, out);
                    out.push(b'\n');
                }
                Kind::Raw => self.raw_block(i, row, format, &mut clock, out),
                Kind::Null => {}
            }
        }
    }

    /// Appends what stands above the rows.
    pub fn header(&self, format: &Format, out: &mut Vec<u8>) {
        match format.kind {
            Kind::Text if format.options.quiet => {}
            Kind::Text => {
                let start = out.len();
                self.title_line(out);
                self.bold(format, start, out);
                out.push(b'\n');
                let start = out.len();
                if format.is_spelt_out {
                    crate::format::header(format, out);
                } else {
                    self.text_header(format, out);
                }
                self.bold(format, start, out);
                out.push(b'\n');
            }
            Kind::Csv if format.is_spelt_out => {
                crate::format::header(format, out);
                out.push(b'\n');
            }
            Kind::Csv | Kind::FlowTools(_) | Kind::Flowdumper => self.csv_header(out),
            Kind::CsvFast => {
                out.extend_from_slice(FAST_HEADER.as_bytes());
                out.push(b'\n');
            }
            Kind::Json | Kind::Ndjson | Kind::Raw | Kind::Null => {}
        }
    }

    fn title_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Top ");
        if self.limit != 0 {
            push_fmt(out, format_args!("{} ", self.limit));
        }
        let (title, order) = (self.title, self.order.statistic_name());
        push_fmt(out, format_args!("{title} ordered by {order}:"));
    }

    fn bold(&self, format: &Format, start: usize, out: &mut Vec<u8>) {
        if format.options.colour {
            colour::wrap(out, start, colour::BOLD);
        }
    }

    /// The book, if it knows countries.
    fn atlas(&self) -> Option<&dyn AddressBook> {
        self.book.filter(|b| b.has_countries())
    }

    /// A value as text shows it, with what is known about it, right-aligned in `width`.
    fn push_known_padded(
        &self,
        key: StatKey<'_>,
        format: &Format,
        width: usize,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        match (key, self.atlas()) {
            (StatKey::Addr(addr), Some(book)) => {
                push_padded_key(out, key, &format.options, 0);
                out.push(b'(');
                push_country(out, book.country(addr));
                out.push(b')');
            }
            (StatKey::Port(_), _) => self.push_known(key, format, out),
            _ => return push_padded_key(out, key, &format.options, width),
        }
        align_right(out, start, width);
    }

    /// A value in full, with what is known about it, without padding. Text from outside is made
    /// safe to print.
    fn push_known(&self, key: StatKey<'_>, format: &Format, out: &mut Vec<u8>) {
        match key {
            StatKey::Port(port) => match format.services().and_then(|s| s.any_name(port)) {
                Some(name) => {
                    push_text(out, name.as_bytes());
                }
                None => push_u64(out, u64::from(port)),
            },
            key => push_key(out, key),
        }
    }
}

/// A value as text shows it, right-aligned in `width`.
pub(crate) fn push_padded_key(
    out: &mut Vec<u8>,
    key: StatKey<'_>,
    options: &FormatOptions,
    width: usize,
) {
    let start = out.len();
    match key {
        StatKey::Addr(addr) if !options.ipv6_wide => {
            out.extend_from_slice(AddrText::condensed(addr).as_bytes());
        }
        StatKey::TcpFlags(flags) if options.plain_numbers => {
            out.extend_from_slice(b"0x");
            push_hex(out, u64::from(flags), 1);
        }
        key => push_key(out, key),
    }
    align_right(out, start, width);
}

/// A value in full, without padding. Text from outside is made safe to print.
pub(crate) fn push_key(out: &mut Vec<u8>, key: StatKey<'_>) {
    match key {
        StatKey::Number(n) => push_u64(out, n),
        StatKey::Port(n) => push_u64(out, u64::from(n)),
        StatKey::Proto(n) => push_u64(out, u64::from(n)),
        StatKey::Hex(n) => {
            out.extend_from_slice(b"0x");
            push_hex(out, n, 1);
        }
        StatKey::Addr(addr) => push_addr(out, addr),
        StatKey::Mac(mac) => push_mac(out, mac),
        StatKey::TcpFlags(flags) => out.extend_from_slice(&TcpFlags(flags).letters()),
        StatKey::Mpls(entry) => push_mpls(out, u64::from(entry), 0),
        StatKey::Latency(us) => push_thousandths(out, us, 0),
        StatKey::FwEvent(event) => {
            let name = match event {
                0 => "ignore",
                _ => FwEvent(event).name().unwrap_or("UNKNOWN"),
            };
            out.extend_from_slice(name.as_bytes());
        }
        StatKey::NatEvent(event) => {
            out.extend_from_slice(NatEvent(event).name().unwrap_or("UNKNOWN").as_bytes());
        }
        StatKey::Text(text) => {
            push_text(out, text);
        }
    }
}

/// Moves what stands in `out` from `start` on to the right end of `width` columns.
fn align_right(out: &mut Vec<u8>, start: usize, width: usize) {
    let is_column = |b: &&u8| **b & 0xc0 != 0x80; // the first octet of a character
    let columns = out[start..].iter().filter(is_column).count();
    let short = width.saturating_sub(columns);
    pad(out, short);
    out[start..].rotate_right(short);
}

impl StatRow<'_> {
    /// The one protocol of the flows, if they have one.
    fn one_proto(&self) -> Option<u8> {
        match self.key {
            StatKey::Proto(proto) => Some(self.proto.unwrap_or(proto)),
            _ => self.proto,
        }
    }
}

/// The counters of the side that a table shows.
struct Shown {
    packets: u64,
    bytes: u64,
    /// The span that rates refer to: none if a time is missing.
    rate_ms: u64,
    pps: u64,
    bps: u64,
    bpp: u64,
}

impl Shown {
    fn of(row: &StatRow<'_>, side: Side) -> Self {
        let counts = &row.counts;
        let (packets, bytes) = (counts.packets(side), counts.bytes(side));
        let known = counts.first_ms != 0 && counts.last_ms != 0;
        let rate_ms = if known { counts.duration_ms() } else { 0 };
        Self {
            packets,
            bytes,
            rate_ms,
            pps: per_second_float(packets, rate_ms),
            bps: per_second_float(bytes.saturating_mul(8), rate_ms),
            bpp: bytes.checked_div(packets).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimeZone;
    use crate::sample::{Atlas, TEN, addr};

    const TOTALS: StatTotals = StatTotals { flows: 10, packets: 3_093_610, bytes: 4_324_700_921 };

    fn row(key: StatKey<'_>, from: u64, ms: u64, n: (u64, u64, u64)) -> StatRow<'_> {
        let counts = Counts {
            first_ms: TEN + from,
            last_ms: TEN + from + ms,
            flows: n.0,
            in_packets: n.1,
            in_bytes: n.2,
            ..Counts::default()
        };
        StatRow { key, proto: None, counts }
    }

    fn sources() -> [StatRow<'static>; 3] {
        let key = |text| StatKey::Addr(addr(text));
        [
            row(key("10.1.0.5"), 0, 97_207_000, (3, 3_001_201, 4_201_500_071)),
            row(key("10.2.0.1"), 6000, 59_000, (1, 90_000, 120_000_000)),
            row(key("192.0.2.80"), 1000, 12_000, (1, 2400, 3_200_000)),
        ]
    }

    fn table<'a>(rows: &'a [StatRow<'a>], order: &str) -> StatTable<'a> {
        StatTable {
            title: "Src IP Addr",
            element: "srcip",
            fields: &[Field::SrcAddr],
            order: Order::from_statistic_name(order).unwrap(),
            limit: 3,
            is_address: true,
            rows,
            totals: TOTALS,
            book: None,
        }
    }

    fn options() -> FormatOptions {
        FormatOptions { time_zone: TimeZone::Utc, ..FormatOptions::default() }
    }

    fn print(table: &StatTable<'_>, spec: &str, options: FormatOptions) -> String {
        let format = Format::parse(spec, &options).unwrap();
        let mut out = Vec::new();
        table.print(&format, false, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text() {
        let rows = sources();
        assert_eq!(
            print(&table(&rows, "bytes"), "line", options()),
            "\
Top 3 Src IP Addr ordered by bytes:
Date first seen             Duration     Proto       Src IP Addr    Flows(%)     Packets(%)       Bytes(%)         pps      bps   bpp
2026-11-20 10:00:00.000  1d 03:00:07.000 any            10.1.0.5        3(30.0)    3.0 M(97.0)    4.2 G(97.2)       30   345777  1399
2026-11-20 10:00:06.000     00:00:59.000 any            10.2.0.1        1(10.0)    90000( 2.9)  120.0 M( 2.8)     1525   16.3 M  1333
2026-11-20 10:00:01.000     00:00:12.000 any          192.0.2.80        1(10.0)     2400( 0.1)    3.2 M( 0.1)      200    2.1 M  1333
"
        );
    }

    #[test]
    fn text_by_protocol_plain_wide_and_all() {
        let mut rows = [row(StatKey::Number(80), 7000, 97_200_000, (1, 3_000_000, 4_200_000_000))];
        rows[0].proto = Some(6);
        let ports =
            StatTable { limit: 0, title: "Dst Port", is_address: false, ..table(&rows, "flows") };
        assert_eq!(
            print(&ports, "line", options()),
            "\
Top Dst Port ordered by flows:
Date first seen             Duration     Proto          Dst Port    Flows(%)     Packets(%)       Bytes(%)         pps      bps   bpp
2026-11-20 10:00:07.000  1d 03:00:00.000 TCP                  80        1(10.0)    3.0 M(97.0)    4.2 G(97.1)       30   345679  1400
"
        );
        let plain = FormatOptions { plain_numbers: true, quiet: true, ..options() };
        assert_eq!(
            print(&ports, "line", plain),
            "2026-11-20 10:00:07.000        97200.000 6                    80        1(10.0)  3000000(97.0) 4200000000(97.1)       30   345679  1400\n"
        );
        let rows = [row(StatKey::Addr(addr("2001:db8:1:2:3:4:5:6")), 0, 0, (1, 1, 1))];
        let narrow = print(&table(&rows, "flows"), "line", options());
        assert!(narrow.contains(" any    2001:db..3:4:5:6        1(10.0)"), "{narrow}");
        let wide = FormatOptions { ipv6_wide: true, ..options() };
        let wide = print(&table(&rows, "flows"), "line", wide);
        let want = format!(" any   {:>43}        1(10.0)", "2001:db8:1:2:3:4:5:6");
        assert!(wide.contains(&want), "{wide}");
        assert!(wide.contains(&format!("Proto {:>43}    Flows(%)", "Src IP Addr")), "{wide}");
    }

    #[test]
    fn csv_has_three_headers() {
        let rows = sources();
        let mut out_rows = sources();
        out_rows[0].counts.out_packets = 7;
        out_rows[0].counts.out_bytes = 700;
        for (order, rows, header, line) in [
            (
                "flows",
                &rows,
                "ts,te,td,pr,val,fl,flP,ipkt,ipktP,ibyt,ibytP,ipps,ibps,ibpp",
                "3,30.0,3001201,97.0,4201500071,97.2,30,345777,1399",
            ),
            (
                "opkg",
                &out_rows,
                "ts,te,td,pr,val,fl,flP,opkt,opktP,obyt,obytP,opps,obps,obpp",
                "3,30.0,7,0.0,700,0.0,0,0,100",
            ),
            (
                "bpp",
                &out_rows,
                "ts,te,td,pr,val,fl,flP,pkt,pktP,byt,bytP,pps,bps,bpp",
                "3,30.0,3001208,97.0,4201500771,97.2,30,345777,1399",
            ),
        ] {
            let text = print(&table(rows, order), "csv", options());
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some(header));
            let want =
                format!("2026-11-20 10:00:00,2026-11-21 13:00:07,97207.000,any,10.1.0.5,{line}");
            assert_eq!(lines.next(), Some(want.as_str()));
        }
    }

    #[test]
    fn json_is_one_array_over_all_tables() {
        let rows = sources();
        let table = table(&rows, "flows");
        let json = Format::parse("json", &options()).unwrap();
        let mut out = Vec::new();
        Kind::Json.open(&mut out);
        table.print(&json, false, &mut out);
        table.print(&json, true, &mut out);
        StatTable { rows: &[], ..table }.print(&json, true, &mut out);
        Kind::Json.close(&mut out);
        let array: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
        assert_eq!(array.len(), 6);
        let lines = print(&table, "ndjson", options());
        assert_eq!(
            lines.lines().next().unwrap(),
            r#"{ "first" : "2026-11-20T10:00:00.000", "last" : "2026-11-21T13:00:07.000", "proto" : 0, "srcip" : "10.1.0.5", "flows" : 3, "packets" : 3001201, "bytes" : 4201500071, "pps" : 30, "bps" : 345777, "bpp" : 1399}"#
        );
        for (line, object) in lines.lines().zip(&array) {
            assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap(), *object);
        }
    }

    #[test]
    fn values() {
        for (key, text, other) in [
            (StatKey::Number(443), "              443", "443"),
            (StatKey::Hex(0xabc), "            0xabc", "0xabc"),
            (StatKey::Addr(addr("::1")), "              ::1", "::1"),
            (StatKey::Mac(Mac(0x0211)), "00:00:00:00:02:11", "00:00:00:00:02:11"),
            (StatKey::Proto(17), "               17", "17"),
            (StatKey::TcpFlags(0x12), "         ...A..S.", "...A..S."),
            (StatKey::Mpls(100 << 4 | 7), "          100-3-1", "100-3-1"),
            (StatKey::Latency(1500), "            1.500", "1.500"),
            (StatKey::FwEvent(0), "           ignore", "ignore"),
            (StatKey::FwEvent(2), "           DELETE", "DELETE"),
            (StatKey::FwEvent(9), "          UNKNOWN", "UNKNOWN"),
            (StatKey::NatEvent(4), "            ADD44", "ADD44"),
            (StatKey::NatEvent(200), "          UNKNOWN", "UNKNOWN"),
            (StatKey::Text(b"a\x1bb,"), "          a\\x1bb,", "\"a\\x1bb,\""),
        ] {
            let rows = [row(key, 0, 1000, (1, 1, 1))];
            let table = StatTable { is_address: false, ..table(&rows, "flows") };
            let line = print(&table, "line", FormatOptions { quiet: true, ..options() });
            assert_eq!(line.get(47..64), Some(text), "{key:?} in {line}");
            let csv = print(&table, "csv", options());
            assert!(csv.contains(&format!(",{other},1,10.0,")), "{key:?} in {csv}");
        }
        let rows = [row(StatKey::TcpFlags(0x12), 0, 0, (1, 1, 1))];
        let plain = FormatOptions { plain_numbers: true, ..options() };
        assert!(print(&table(&rows, "flows"), "line", plain).contains("             0x12 "));
    }

    #[test]
    fn the_element_proto_is_one_key() {
        let rows = [row(StatKey::Proto(6), 0, 0, (1, 1, 1))];
        let table = StatTable { element: "proto", is_address: false, ..table(&rows, "flows") };
        let text = print(&table, "ndjson", options());
        assert_eq!(text.matches("\"proto\"").count(), 1, "{text}");
        assert!(text.contains("\"proto\" : 6, \"flows\" : 1"), "{text}");
        assert!(print(&table, "line", options()).contains(" TCP                   6 "));
        assert!(print(&table, "csv", options()).contains(",TCP,6,1,"));
    }

    #[test]
    fn hostile_text_stays_a_string() {
        let rows = [row(StatKey::Text(b"\"}\xff\n"), 0, 0, (1, 1, 1))];
        let text = print(&table(&rows, "flows"), "ndjson", options());
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["srcip"], "\"}\u{fffd}\n");
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn every_format_prints_statistics() {
        let rows = sources();
        let table = StatTable { rows: &rows[..1], ..table(&rows, "bytes") };
        assert_eq!(
            print(&table, "csv-fast", options()),
            "firstSeen,lastSeen,proto,element,value,flows,packets,bytes,pps,bps,bpp\n\
             1795168800000,1795266007000,0,srcip,10.1.0.5,3,3001201,4201500071,30,345777,1399\n"
        );
        assert_eq!(
            print(&table, "raw", options()),
            "
Statistic Record: 
  RecordCount  =                  1
  element      =              srcip
  value        =           10.1.0.5
  first        =      1795168800000 [2026-11-20 10:00:00.000]
  last         =      1795266007000 [2026-11-21 13:00:07.000]
  flows        =                  3
  packets      =            3001201
  bytes        =         4201500071
  pps          =                 30
  bps          =             345777
  bpp          =               1399
"
        );
        assert_eq!(print(&table, "null", options()), "");
    }

    #[test]
    fn columns_of_the_users_choice() {
        let mut rows = sources();
        rows[0].proto = Some(6);
        rows[0].counts.out_packets = 7;
        let table = StatTable { rows: &rows[..1], ..table(&rows, "bytes") };
        for (spec, want) in [
            (
                "fmt:%sa <%pr> %td %fl %byt %pkt %ipkt %opkt %bpp",
                "Top 3 Src IP Addr ordered by bytes:
     Src IP Addr  Proto  Duration         Flows    Bytes  Packets   In Pkt  Out Pkt    Bpp
        10.1.0.5 <TCP  >  1d 03:00:07.000     3    4.2 G    3.0 M    3.0 M        7   1399
",
            ),
            (
                "csv:%sa,%pr,%ts,%te,%tds,%fl,%byt,%pkt,%opkt,%pps,%bps,%cnt,%tsr,%teg",
                "srcAddr,proto,firstSeen,lastSeen,duration,flows,bytes,packets,outPackets,pps,bps,count,firstSeen,lastSeen
10.1.0.5,6,2026-11-20 10:00:00.000,2026-11-21 13:00:07.000,97207.000,3,4201500071,3001208,7,30,345777,1,1795168800.000,2026-11-21 13:00:07.000
",
            ),
            ("%sa6", ""),
        ] {
            let Ok(format) = Format::parse(spec, &options()) else {
                assert_eq!(want, "", "{spec}");
                continue;
            };
            format.check_table("srcip", &[Field::SrcAddr]).unwrap();
            assert_eq!(print(&table, spec, options()), want, "{spec}");
        }
    }

    #[test]
    fn columns_without_a_meaning_are_refused() {
        let check = |spec: &str, element: &str, fields: &[Field]| {
            Format::parse(spec, &options()).unwrap().check_table(element, fields)
        };
        for (spec, element, fields, fits) in [
            ("fmt:%sa %byt", "srcip", [Field::SrcAddr].as_slice(), true),
            ("fmt:%da", "srcip", &[Field::SrcAddr], false),
            ("fmt:%sap", "srcip", &[Field::SrcAddr], false),
            ("fmt:%sa %da", "ip", &[Field::SrcAddr, Field::DstAddr], true),
            ("csv:%sc,%fl", "srcgeo", &[Field::SrcCountry], true),
            ("csv:%sas,%fl", "srcas", &[Field::SrcAs], true),
            ("csv:%sasn", "srcasn", &[Field::SrcAs], true),
            ("fmt:%evt", "nat", &[Field::NatEvent], true),
            ("fmt:%tr", "srcip", &[Field::SrcAddr], false),
            ("fmt:%idt", "srcip", &[Field::SrcAddr], false),
            ("fmt:%line", "srcip", &[Field::SrcAddr], false),
            ("fmt:%ja3", "ja3", &[Field::InPayload, Field::OutPayload], true),
            ("fmt:%ja4", "ja3", &[Field::InPayload, Field::OutPayload], false),
            ("fmt:%ipl", "ja3", &[Field::InPayload, Field::OutPayload], false),
            ("line", "srcip", &[Field::SrcAddr], true),
            ("json", "any", &[], true),
        ] {
            assert_eq!(check(spec, element, fields).is_ok(), fits, "{spec} {element}");
        }
        assert_eq!(
            check("fmt:%ts %flg", "dstport", &[Field::DstPort]).unwrap_err().to_string(),
            "%flg has no meaning in a table of dstport; its columns are %ts %te %td %tds %pr %fl %pkt %byt \
             %ipkt %ibyt %opkt %obyt %pps %bps %bpp %cnt %dp"
        );
        let error = check("fmt:%ipl", "ja3", &[Field::InPayload, Field::OutPayload]).unwrap_err();
        assert!(error.to_string().ends_with(" %cnt %ja3"), "{error}");
    }

    #[test]
    fn countries_beside_addresses() {
        let rows = sources();
        let atlas = Atlas::default();
        let table = StatTable { book: Some(&atlas), ..table(&rows, "flows") };
        let text = print(&table, "line", options());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1].get(40..74), Some(" Proto           Src IP Addr    Fl"));
        assert_eq!(lines[2].get(40..78), Some(" any            10.1.0.5(CH)        3("));
        assert_eq!(lines[4].get(40..78), Some(" any          192.0.2.80(..)        1("));
        let wide = print(&table, "line6", options());
        assert!(wide.contains(&format!(" any   {:>43}        3(", "10.1.0.5(CH)")), "{wide}");
        let object: serde_json::Value =
            serde_json::from_str(print(&table, "ndjson", options()).lines().next().unwrap())
                .unwrap();
        assert_eq!((&object["srcip"], &object["geo"]), (&"10.1.0.5".into(), &"CH".into()));
        assert!(print(&table, "csv", options()).contains(",any,10.1.0.5,3,"));
        assert!(print(&table, "raw", options()).contains("  country      =                 CH\n"));
        let blank = Atlas { is_blank: true };
        let blind = StatTable { book: Some(&blank), ..table };
        assert_eq!(
            print(&blind, "line", options()),
            print(&StatTable { book: None, ..blind }, "line", options())
        );
    }

    #[test]
    fn ports_and_protocols_by_name() {
        let mut rows = [
            row(StatKey::Port(443), 0, 1000, (1, 1, 1)),
            row(StatKey::Port(7), 0, 1000, (1, 1, 1)),
        ];
        rows[1].proto = Some(17);
        let table = StatTable { element: "dstport", ..table(&rows, "flows") };
        let named = |spec: &str| {
            let options = FormatOptions { names: true, quiet: true, ..options() };
            let format = Format::parse(spec, &options).unwrap();
            let format = format.with_services(crate::Services::parse("https 443/tcp").into());
            let mut out = Vec::new();
            table.print(&format, false, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert!(named("line").contains(" any               https        1("));
        assert!(named("csv").contains(",any,https,1,"));
        assert!(named("ndjson").contains("\"proto\" : \"any\", \"dstport\" : \"https\""));
        assert!(named("ndjson").contains("\"proto\" : \"UDP\", \"dstport\" : \"7\""));
        assert!(print(&table, "ndjson", options()).contains("\"proto\" : 17, \"dstport\" : \"7\""));
    }

    #[test]
    fn the_column_of_the_order_is_bold() {
        let rows = sources();
        let table = StatTable { rows: &rows[1..2], ..table(&rows, "bytes") };
        let colour = FormatOptions { colour: true, ..options() };
        let text = print(&table, "line", colour);
        assert!(text.contains(" \u{1b}[1m 120.0 M( 2.8)\u{1b}[0m     1525"), "{text:?}");
        let plain = text.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, print(&table, "line", options()));
        for spec in ["csv", "csv-fast", "json", "ndjson", "raw"] {
            assert!(!print(&table, spec, colour).contains('\u{1b}'), "{spec}");
        }
    }
}
