//! Random filters over random rows: the batches must answer as the interpreter does, and what a
//! tree prints must read as the same tree. Filters come from the table of primitives, so a new
//! line of it is tested without a word here.

use crate::primitive::{Operand, Phrase, Phrases, Test};
use crate::{Context, Digest, Filter, ParseOptions, Zone, message};
use record::{
    Addr, AddressBook, Country, Field, Kind, Networks, Row, RowRef, Rows, Selection, Shape,
    ShapeTable, TorExit,
};
use std::net::IpAddr;
use std::sync::LazyLock;

const NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    5,
    6,
    7,
    16,
    17,
    18,
    19,
    58,
    63,
    80,
    255,
    443,
    1000,
    1001,
    2048,
    65_535,
    65_536,
    4_294_967_295,
    1_795_168_800_000,
    u64::MAX,
];
const ADDRS: [&str; 12] = [
    "0.0.0.0",
    "10.1.2.3",
    "10.1.2.4",
    "10.2.0.1",
    "10.255.0.1",
    "192.168.0.1",
    "255.255.255.255",
    "::",
    "::ffff:10.1.2.3",
    "2001:db8::1",
    "2001:db8:1::1",
    "fe80::1",
];
const TEXTS: [&str; 5] = ["alice", "bob", "a=b.c:d", "a 'b'", "x"];
const TIMES: [&str; 5] =
    ["1970", "2026-11-20T10", "2026-11-20T10:00:00.001", "'2026/11/20 11:00'", "2038"];
const MACS: [&str; 3] = ["0:0:0:0:0:1", "00:00:00:00:00:50", "aa:bb:cc:dd:ee:ff"];

const REGEXES: [&str; 6] = ["alice", "'^A.*E$' is", "'[a-c]o' i", "'b\"ob'", "'.' s", "'\\x00$'"];

const JA3S: [&str; 2] = ["3736761f91e3f9597a641ce4c92f256c", "00000000000000000000000000000000"];
const JA4S: [&str; 2] =
    ["t13d0306h2_5559582ccdc4_fb71836bce29", "t13d1516h2_8daaf6152771_e5627efa2ab1"];

/// What payloads begin with.
static MESSAGES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let (hello, dns) = (message::tests::hello(), message::tests::dns());
    let stream = [&(dns.len() as u16).to_be_bytes()[..], &dns].concat();
    [hello, dns, stream]
});

/// Knows a few of [`ADDRS`].
#[derive(Debug)]
struct Book;

/// First address, last address, country, system.
const NETWORKS: [(&str, &str, &str, u32); 7] = [
    ("10.1.0.0", "10.1.2.3", "CH", 58),
    ("10.1.2.4", "10.1.2.4", "DE", 80),
    ("10.2.0.0", "10.2.255.255", "CH", 443),
    ("10.255.0.0", "10.255.0.255", "", 1000),
    ("192.168.0.1", "192.168.0.1", "US", 0),
    ("2001:db8::", "2001:db8:0:ffff::", "DE", 58),
    ("2001:db8:1::", "2001:db8:1:ffff::", "CH", 65_535),
];

const EXITS: [TorExit; 3] = [
    TorExit { addr: Addr::V4(0x0a01_0204), since_ms: 1000, until_ms: u64::MAX - 1 },
    TorExit { addr: Addr::V4(0x0a01_0203), since_ms: 7, until_ms: 80 },
    TorExit { addr: Addr::V4(0x0a01_0203), since_ms: 0, until_ms: 3 },
];

fn networks(wanted: impl Fn(&str, u32) -> bool) -> Networks {
    let mut all = Networks::default();
    for (first, last, country, system) in NETWORKS {
        let ends = [first, last].map(|a| Addr::from(a.parse::<IpAddr>().unwrap()));
        match ends {
            _ if !wanted(country, system) => {}
            [Addr::V4(first), Addr::V4(last)] => all.v4.push((first, last)),
            [Addr::V6(first), Addr::V6(last)] => all.v6.push((first, last)),
            _ => unreachable!("ends of one family"),
        }
    }
    all
}

impl AddressBook for Book {
    fn country(&self, _: Addr) -> Country {
        unreachable!("filters ask for networks")
    }
    fn asn(&self, _: Addr) -> u32 {
        unreachable!("filters ask for networks")
    }
    fn organisation(&self, _: u32) -> Option<&str> {
        None
    }
    fn location(&self, _: Addr) -> Option<String> {
        None
    }
    fn networks_of_countries(&self, wanted: &dyn Fn(Country) -> bool) -> Networks {
        networks(|country, _| Country::parse(country).is_some_and(wanted))
    }
    fn networks_of_systems(&self, wanted: &dyn Fn(u32) -> bool) -> Networks {
        networks(|_, system| system != 0 && wanted(system))
    }
    fn tor_exits(&self) -> &[TorExit] {
        &EXITS
    }
    fn has_countries(&self) -> bool {
        true
    }
    fn has_systems(&self) -> bool {
        true
    }
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

// ---- filters

fn expr(r: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return term(r);
    }
    let join = match r.below(4) {
        0 => return term(r),
        1 => return format!("not ({})", expr(r, depth - 1)),
        2 => " and ",
        _ => " OR ",
    };
    let parts: Vec<_> = (0..2 + r.below(3))
        .map(|_| match expr(r, depth - 1) {
            part if r.once_in(2) => format!("({part})"),
            part => part,
        })
        .collect();
    parts.join(join)
}

fn term(r: &mut Random) -> String {
    let phrases: Vec<&Phrase> = Phrases::all()
        .iter()
        .filter(|p| !matches!(p.line().operand, Operand::Unsupported(_)))
        .collect();
    let phrase = r.of(&phrases);
    let mut words = phrase.text.to_owned();
    if r.once_in(4) {
        words = words.replace("ip", "host").replace("nat", "xlate").to_uppercase();
        // Some words only contain the letters.
        words = words.replace("HOSTV", "ipv");
    }
    let operand = operand(r, phrase);
    let not = r.of(&["", "", "", "not ", "! "]);
    format!("{not}{words} {operand}")
}

fn operand(r: &mut Random, phrase: &Phrase) -> String {
    let line = phrase.line();
    if line.list && r.once_in(3) {
        return list(r, line.operand);
    }
    let number = |r: &mut Random, max: u64| {
        let n = r.of(&NUMBERS).min(max);
        let n = if r.once_in(8) { format!("{n:#x}") } else { n.to_string() };
        if line.cmp { format!("{}{n}", r.of(&["", "=", "<", "> ", "<= ", ">=", "ge "])) } else { n }
    };
    match line.operand {
        Operand::Nothing => String::new(),
        Operand::Number(max) => number(r, max),
        Operand::Port => number(r, 65_535),
        Operand::Proto => {
            r.of(&["tcp", "udp", "6", "58", "icmp", "icmp6", "ipv6", "255"]).to_owned()
        }
        Operand::Flags if r.once_in(2) => number(r, 255),
        Operand::Flags => r.of(&["S", "=S", "SA", "AS", "=X", "X", "FSRPAUEC"]).to_owned(),
        Operand::Named(_) if r.once_in(2) => number(r, 5),
        Operand::Named(names) | Operand::Name(names) => format!("\"{}\"", r.of(&names.all())),
        Operand::FlowDir => r.of(&["ingress", "egress", "0", "1"]).to_owned(),
        Operand::Address => match phrase.text {
            "ip" | "src ip" | "dst ip" if r.once_in(4) => "tor".to_owned(),
            _ => r.of(&ADDRS).to_owned(),
        },
        Operand::Country => r.of(&["CH", "de", "'US'", "XX"]).to_owned(),
        Operand::Regex => r.of(&REGEXES).to_owned(),
        Operand::Net => net(r),
        Operand::Mac => r.of(&MACS).to_owned(),
        Operand::Text(..) if matches!(line.test, Test::Message(_)) => {
            r.of(&["example.org", "2.7", "db8", "alice"]).to_owned()
        }
        Operand::Text(..) => match r.of(&TEXTS) {
            word if word.contains(' ') => format!("\"{word}\""),
            word => word.to_owned(),
        },
        Operand::Time => format!("{} {}", r.of(&["", "<", ">="]), r.of(&TIMES)),
        Operand::Ja3 => r.of(&JA3S).to_owned(),
        Operand::Ja4 => r.of(&JA4S).to_owned(),
        Operand::Unsupported(_) => unreachable!("filtered out"),
    }
}

fn net(r: &mut Random) -> String {
    let addr = r.of(&ADDRS);
    match addr.contains(':') {
        true => format!("{addr}/{}", r.below(129)),
        false if r.once_in(3) => format!("{addr} {}", r.of(&["255.0.255.0", "255.255.0.0"])),
        false => format!("{addr}/{}", r.below(33)),
    }
}

fn list(r: &mut Random, operand: Operand) -> String {
    if operand == Operand::Port && r.once_in(4) {
        return "in nat pblock".to_owned();
    }
    let n = 1 + r.below(20);
    let items: Vec<_> = (0..n)
        .map(|_| match operand {
            Operand::Address if r.once_in(2) => r.of(&ADDRS).to_owned(),
            Operand::Address => loop {
                let net = net(r);
                if net.contains('/') {
                    break net;
                }
            },
            _ => r.of(&NUMBERS).min(if r.once_in(2) { 1000 } else { 65_535 }).to_string(),
        })
        .collect();
    format!("in [{}]", items.join(r.of(&[" ", ",", " , "])))
}

// ---- rows

/// A shape with some fields, most of them as long as they should be.
fn shape(r: &mut Random) -> Shape {
    let mut shape = Shape::default();
    let rare = 1 + r.below(3);
    let mut at = r.below(20) as u16;
    for field in Field::ALL.iter().copied() {
        if !r.once_in(rare) || matches!(field, Field::IcmpType | Field::IcmpCode) {
            continue;
        }
        let len = match field.kind() {
            _ if r.once_in(40) => 3,
            Kind::Addr => r.of(&[4, 16]),
            Kind::Bytes => r.of(&[8, 60, 140]),
            kind => kind.width().unwrap_or(8),
        };
        shape.set(field, at, len);
        if field == Field::DstPort && len == 2 {
            shape.set(Field::IcmpCode, at, 1);
            shape.set(Field::IcmpType, at + 1, 1);
        }
        at += len + r.below(2) as u16;
    }
    shape
}

fn value(r: &mut Random, field: Field, len: usize) -> Vec<u8> {
    let mut out = match field.kind() {
        Kind::Addr => {
            let addr = loop {
                let addr = Addr::from(r.of(&ADDRS).parse::<IpAddr>().unwrap());
                if addr.width() == len || len == 3 {
                    break addr;
                }
            };
            addr.to_row().to_vec()
        }
        _ if field == Field::Proto && r.once_in(2) => vec![r.of(&[6, 17])],
        Kind::Bytes if r.once_in(2) => MESSAGES[r.below(MESSAGES.len())].clone(),
        Kind::Text(_) | Kind::Bytes => r.of(&TEXTS).as_bytes().to_vec(),
        _ if matches!(field, Field::SrcCountry | Field::DstCountry) => {
            r.of(&[Country(0), Country(0x4348), Country(0x4445)]).0.to_le_bytes().to_vec()
        }
        Kind::Acl => (0..3).flat_map(|_| (r.of(&NUMBERS) as u32).to_be_bytes()).collect(),
        _ if r.once_in(6) => r.next().to_le_bytes().to_vec(),
        _ => r.of(&NUMBERS).to_le_bytes().to_vec(),
    };
    out.resize(len, 0);
    out
}

pub(crate) struct Data {
    table: ShapeTable,
    bytes: Vec<u8>,
    index: Vec<RowRef>,
}

impl Data {
    pub(crate) fn random(seed: u64) -> Self {
        Self::new(&mut Random(seed))
    }

    fn new(r: &mut Random) -> Self {
        let mut data = Self { table: ShapeTable::new(), bytes: Vec::new(), index: Vec::new() };
        data.add(r);
        data
    }

    /// More shapes, more rows; a few of them are cut short or lie elsewhere.
    fn add(&mut self, r: &mut Random) {
        for _ in 0..=r.below(5) {
            let shape = shape(r);
            self.table.push(shape);
        }
        let mixed = r.once_in(2);
        for _ in 0..r.below(200) {
            let shapes = if mixed { self.table.shapes().len() } else { 1 };
            let shape = r.below(shapes);
            let at = self.bytes.len();
            self.push(r, shape);
            let mut row =
                RowRef { at: at as u32, len: (self.bytes.len() - at) as u16, shape: shape as u16 };
            match r.below(300) {
                0 => row.len /= 2,
                1 => row.at = u32::MAX - 5,
                2 => row.shape = u16::MAX,
                _ => {}
            }
            self.index.push(row);
        }
    }

    fn push(&mut self, r: &mut Random, shape: usize) {
        let shape = &self.table.shapes()[shape];
        let mut row = vec![0; r.below(30)];
        for field in shape.fields().filter(|f| !matches!(f, Field::IcmpType | Field::IcmpCode)) {
            let slot = shape.slot(field);
            row.resize(usize::from(slot.at).max(row.len()), 0);
            row.truncate(usize::from(slot.at));
            row.extend(value(r, field, usize::from(slot.len)));
        }
        self.bytes.extend(row);
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { bytes: &self.bytes, index: &self.index, table: &self.table }
    }
}

// ---- tests

const OPTIONS: ParseOptions<'_> =
    ParseOptions { source: None, zone: Zone::Utc, book: Some(&Book), resolve: None, include: None };

pub(crate) fn agrees(
    filter: &Filter,
    data: &Data,
    evaluator: &mut crate::Evaluator<'_>,
    what: &str,
) -> usize {
    let rows = data.rows();
    let ctx = Context { ident: "alice", first_count: 3 };
    let mut out = Selection::default();
    evaluator.select(&rows, &ctx, &mut out);
    for i in 0..rows.len() {
        let ctx = Context { first_count: 3 + i as u64, ..ctx };
        let want = rows.row(i).is_some_and(|row: Row<'_>| filter.matches(row, &ctx));
        assert_eq!(out.contains(i), want, "row {i} of {} with {what}", rows.len());
    }
    assert_eq!(out.words().len(), rows.len().div_ceil(64));
    let may = filter.may_match(&Exact(rows));
    assert!(may || out.count() == 0, "rows pass of which a digest says that none can: {what}");
    out.count()
}

#[test]
fn batches_agree_with_the_interpreter() {
    let mut passed = 0;
    for seed in 0..500 {
        let r = &mut Random(seed);
        let text = expr(r, 3);
        let what = format!("seed {seed}: {text}");
        let filter = Filter::parse_with(&text, &OPTIONS).unwrap_or_else(|e| panic!("{what}: {e}"));
        let mut evaluator = filter.evaluator();
        for _ in 0..2 {
            let mut data = Data::new(r);
            passed += agrees(&filter, &data, &mut evaluator, &what);
            data.add(r);
            passed += agrees(&filter, &data, &mut evaluator, &what);
        }
    }
    assert!(passed > 5_000, "{passed} rows passed: the filters or the rows are too odd");
}

/// What is known of rows when everything is known.
struct Exact<'a>(Rows<'a>);

impl Exact<'_> {
    fn some(&self, test: impl Fn(Row<'_>) -> bool) -> bool {
        self.0.iter().any(test)
    }
}

impl Digest for Exact<'_> {
    fn has(&self, field: Field) -> bool {
        self.some(|row| row.has(field))
    }

    fn has_number(&self, field: Field, from: u64, to: u64) -> bool {
        self.some(|row| row.u64(field).is_some_and(|n| (from..=to).contains(&n)))
    }

    fn has_address(&self, field: Field, addr: Addr, bits: u8) -> bool {
        self.some(|row| row.addr(field).is_some_and(|a| a.masked(bits) == addr.masked(bits)))
    }

    fn has_width(&self, field: Field, octets: u16) -> bool {
        self.some(|row| row.addr(field).is_some_and(|a| a.width() == usize::from(octets)))
    }

    fn has_endpoint(&self, fields: (Field, Field), addr: Addr, port: u16) -> bool {
        let is_port = |row: Row<'_>| row.u64(fields.1) == Some(u64::from(port));
        self.some(|row| row.addr(fields.0) == Some(addr) && is_port(row))
    }
}

/// Knows nothing, but whether addresses and ports belong together.
struct Vague {
    together: bool,
}

impl Digest for Vague {
    fn has(&self, _: Field) -> bool {
        true
    }
    fn has_number(&self, _: Field, _: u64, _: u64) -> bool {
        true
    }
    fn has_address(&self, _: Field, _: Addr, _: u8) -> bool {
        true
    }
    fn has_width(&self, _: Field, _: u16) -> bool {
        true
    }
    fn has_endpoint(&self, _: (Field, Field), _: Addr, _: u16) -> bool {
        self.together
    }
}

/// A term that compares a field with a number or an address is decided by what is known.
#[test]
fn digests_say_no_where_no_row_can_pass() {
    let (mut nos, mut asked) = (0, 0);
    for seed in 0..2000 {
        let r = &mut Random(seed);
        let (text, data) = (expr(r, 1), Data::new(r));
        let filter = Filter::parse_with(&text, &OPTIONS).unwrap();
        let vague = filter.may_match(&Vague { together: true });
        assert!(vague || text.contains('<') || text.contains('>'), "seed {seed}: {text}");
        if agrees(&filter, &data, &mut filter.evaluator(), &text) == 0 {
            asked += 1;
            nos += usize::from(!filter.may_match(&Exact(data.rows())));
        }
    }
    assert!(nos * 2 > asked, "{nos} of {asked}");
    for (text, want) in [
        ("src ip 10.1.2.3 and src port 5", false),
        ("src ip 10.1.2.3 and dst port 5", true),
        ("src port 5", true),
        ("src ip 10.1.2.3 or src port 5", true),
        ("not not (src ip 10.1.2.3 and src port 5)", false),
        ("not (src ip 10.1.2.3 and src port 5)", true),
        ("src net 10.1.0.0/16 and src port 5", true),
        ("bytes > 18446744073709551615", false),
    ] {
        let filter = Filter::parse_with(text, &OPTIONS).unwrap();
        assert_eq!(filter.may_match(&Vague { together: false }), want, "{text}");
    }
}

/// One term at a time, so that no part of it is decided by others.
#[test]
fn every_primitive_agrees_and_some_rows_pass_it() {
    let mut passes = std::collections::HashMap::<&str, usize>::new();
    for (n, phrase) in Phrases::all().iter().enumerate() {
        if matches!(phrase.line().operand, Operand::Unsupported(_)) {
            continue;
        }
        for round in 0..8 {
            let seed = (n * 8 + round) as u64;
            let r = &mut Random(seed);
            let text = format!("{} {}", phrase.text, operand(r, phrase));
            let what = format!("seed {seed}: {text}");
            let filter =
                Filter::parse_with(&text, &OPTIONS).unwrap_or_else(|e| panic!("{what}: {e}"));
            let data = Data::new(r);
            let passed = agrees(&filter, &data, &mut filter.evaluator(), &what);
            *passes.entry(phrase.text).or_default() += passed;
        }
    }
    let silent: Vec<_> = passes.iter().filter(|(_, n)| **n == 0).map(|(text, _)| *text).collect();
    // Rows are random: a few wordings may meet no row that suits them.
    assert!(silent.len() < passes.len() / 10, "no row passed: {silent:?}");
}

#[test]
fn a_tree_prints_as_text_that_reads_the_same() {
    for seed in 0..3000 {
        let text = expr(&mut Random(seed), 4);
        let tree = Filter::parse_with(&text, &OPTIONS).unwrap().tree().clone();
        let printed = tree.to_string();
        let again = Filter::parse_with(&printed, &OPTIONS)
            .unwrap_or_else(|e| panic!("seed {seed}: {text}\n{printed}\n{e}"));
        assert_eq!(*again.tree(), tree, "seed {seed}: {text}\n{printed}");
        assert_eq!(again.tree().to_string(), printed, "seed {seed}");
    }
}

/// Broken filters: cut, doubled, and with pieces of others in them.
#[test]
fn no_text_makes_the_parser_panic() {
    const PIECES: [&str; 40] = [
        "any",
        "not",
        "(",
        ")",
        "and",
        "or",
        "port",
        "src",
        "in",
        "[",
        "]",
        ",",
        "/",
        "80",
        "=",
        "<",
        "ip",
        "10.1.2.3",
        "::",
        "'",
        "\"",
        "#",
        "\n",
        "ü",
        "\0",
        "0x",
        "1k",
        "flags",
        "=S",
        "net",
        "nat",
        "pblock",
        "mpls",
        "label1",
        "@include",
        "&&",
        "ident",
        "first seen",
        "geo CH",
        "99999999999999999999",
    ];
    for seed in 0..3_000 {
        let r = &mut Random(seed);
        let mut text = if r.once_in(2) { expr(r, 2) } else { String::new() };
        for _ in 0..r.below(8) {
            let at = r.below(text.len() + 1);
            if text.is_char_boundary(at) {
                match r.below(3) {
                    0 => text.insert_str(at, &format!(" {} ", r.of(&PIECES))),
                    1 => text.insert_str(at, r.of(&PIECES)),
                    _ => text.truncate(at),
                }
            }
        }
        match Filter::parse_with(&text, &OPTIONS) {
            Ok(filter) => {
                agrees(&filter, &Data::new(r), &mut filter.evaluator(), &text);
            }
            Err(e) => {
                assert!(e.to_string().contains('^') && !e.nfdump_line().contains('\n'), "{text:?}");
                assert!(e.span().end as usize <= text.len(), "{text:?}");
            }
        }
    }
}
