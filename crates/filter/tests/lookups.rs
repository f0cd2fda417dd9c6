//! What a filter gets from outside: a book of addresses, host names, files.

use filter::{Context, Error, Filter, ParseOptions};
use record::{
    Addr, AddressBook, Country, Field, Flow, Networks, RowRef, Rows, Selection, ShapeTable, TorExit,
};
use std::net::IpAddr;

#[derive(Debug)]
struct Book {
    countries: bool,
    systems: bool,
    exits: Vec<TorExit>,
}

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

/// 10.1/16 is Swiss and of 64500, 10.2/16 German and of 64501, 2001:db8::/32 German and of 64500.
impl AddressBook for Book {
    fn country(&self, _: Addr) -> Country {
        Country::default()
    }
    fn asn(&self, _: Addr) -> u32 {
        0
    }
    fn organisation(&self, _: u32) -> Option<&str> {
        None
    }
    fn location(&self, _: Addr) -> Option<String> {
        None
    }
    fn networks_of_countries(&self, wanted: &dyn Fn(Country) -> bool) -> Networks {
        let is = |text| Country::parse(text).is_some_and(wanted);
        networks(is("CH"), is("DE"), is("DE"))
    }
    fn networks_of_systems(&self, wanted: &dyn Fn(u32) -> bool) -> Networks {
        networks(wanted(64_500), wanted(64_501), wanted(64_500))
    }
    fn tor_exits(&self) -> &[TorExit] {
        &self.exits
    }
    fn has_countries(&self) -> bool {
        self.countries
    }
    fn has_systems(&self) -> bool {
        self.systems
    }
}

fn networks(one: bool, two: bool, six: bool) -> Networks {
    let mut all = Networks::default();
    let v4 = [(one, 0x0a01_0000, 0x0a01_ffff), (two, 0x0a02_0000, 0x0a02_ffff)];
    all.v4.extend(v4.into_iter().filter(|n| n.0).map(|n| (n.1, n.2)));
    if six {
        let (Addr::V6(first), Addr::V6(last)) =
            (addr("2001:db8::"), addr("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"))
        else {
            unreachable!()
        };
        all.v6.push((first, last));
    }
    all
}

fn book() -> Book {
    let exit = |text, since_ms, until_ms| TorExit { addr: addr(text), since_ms, until_ms };
    let exits = vec![exit("10.1.0.1", 5000, 6000), exit("10.1.0.1", 0, 100), exit("::1", 0, 9)];
    Book { countries: true, systems: true, exits }
}

fn flow(src: &str, dst: &str, fields: &[(Field, u64)]) -> Flow {
    let mut flow = Flow::new();
    flow.set(Field::First, 1000);
    flow.set(Field::Last, 2000);
    flow.set_addr(Field::SrcAddr, addr(src));
    flow.set_addr(Field::DstAddr, addr(dst));
    for (field, n) in fields {
        assert!(flow.set(*field, *n), "{field:?}");
    }
    flow
}

/// Whether a flow passes, asked of the row and of a batch.
fn passes(filter: &Filter, flow: &Flow) -> bool {
    let row = flow.as_row();
    let ctx = Context::default();
    let mut table = ShapeTable::new();
    let shape = table.push(row.shape().clone()).unwrap();
    let index = [RowRef { at: 0, len: row.as_bytes().len() as u16, shape }];
    let rows = Rows { bytes: row.as_bytes(), index: &index, table: &table };
    let mut out = Selection::default();
    filter.evaluator().select(&rows, &ctx, &mut out);
    assert_eq!(out.contains(0), filter.matches(row, &ctx), "{}", filter.tree());
    out.contains(0)
}

fn with_book<'b>(book: &'b Book) -> ParseOptions<'b> {
    ParseOptions { book: Some(book), ..ParseOptions::default() }
}

#[test]
fn countries_systems_and_exits_come_from_the_book() {
    let book = book();
    let as_numbers: &[_] = &[(Field::SrcAs, 64_999), (Field::DstAs, 0)];
    let flows = [
        flow("10.1.0.1", "10.2.0.1", &[]),
        flow("2001:db8::1", "2001:db9::1", &[(Field::First, 5500), (Field::Last, 9000)]),
        flow("10.1.0.1", "10.1.0.1", as_numbers),
        flow("192.0.2.1", "10.1.0.1", &[(Field::First, 1000), (Field::Last, 5000)]),
    ];
    for (text, want) in [
        ("geo CH", [true, false, true, true]),
        ("src geo 'ch'", [true, false, true, false]),
        ("dst geo DE or geo US", [true, false, false, false]),
        ("not geo DE", [false, false, true, true]),
        ("nat geo CH", [false, false, false, false]),
        // A number in the record wins over the book; nothing known is 0.
        ("src as 64500", [true, true, false, false]),
        ("src as 64999", [false, false, true, false]),
        ("dst as 64500", [false, false, true, true]),
        ("as 0", [false, true, false, true]),
        ("dst as 0", [false, true, false, false]),
        ("src as < 64501", [true, true, false, true]),
        ("src as > 0", [true, true, true, false]),
        ("src as in [0 64500]", [true, true, false, true]),
        ("as in [64501 64999]", [true, false, true, false]),
        ("prev as 0", [false, false, false, false]),
        // Exits count at the time of the flow only.
        ("ip tor", [false, false, false, true]),
        ("dst ip tor", [false, false, false, true]),
        ("not src ip tor", [true, true, true, true]),
    ] {
        let filter = Filter::parse_with(text, &with_book(&book)).unwrap_or_else(|e| panic!("{e}"));
        for (i, (flow, want)) in flows.iter().zip(want).enumerate() {
            assert_eq!(passes(&filter, flow), want, "{text}, flow {i}");
        }
        assert_eq!(filter.explain().never.len(), usize::from(text.contains("US")), "{text}");
    }
}

#[test]
fn without_a_book_only_the_record_counts() {
    let plain = flow("10.1.0.1", "10.2.0.1", &[]);
    let empty = Book { countries: false, systems: false, exits: Vec::new() };
    for options in [ParseOptions::default(), with_book(&empty)] {
        for (text, want) in [
            ("geo CH", false),
            ("not geo CH", true),
            ("ip tor", false),
            ("src as 64500", false),
            ("src as 0", true),
        ] {
            let filter = Filter::parse_with(text, &options).unwrap();
            assert_eq!(passes(&filter, &plain), want, "{text}");
            assert_eq!(filter.needs_countries(), text.contains("geo"), "{text}");
            assert_eq!(filter.needs_tor(), text.contains("tor"), "{text}");
        }
    }
    // Groups of flows carry the countries they were made by.
    let mut table = ShapeTable::new();
    let mut shape = record::Shape::default();
    shape.set(Field::SrcCountry, 0, 2);
    let shape = table.push(shape).unwrap();
    let bytes = Country::parse("CH").unwrap().0.to_le_bytes();
    let index = [RowRef { at: 0, len: 2, shape }];
    let rows = Rows { bytes: &bytes, index: &index, table: &table };
    for (text, want) in [("src geo CH", true), ("geo CH", true), ("dst geo CH", false)] {
        let filter = Filter::parse(text).unwrap();
        let mut out = Selection::default();
        filter.evaluator().select(&rows, &Context::default(), &mut out);
        assert_eq!(out.contains(0), want, "{text}");
        assert_eq!(filter.matches(rows.row(0).unwrap(), &Context::default()), want, "{text}");
    }
}

fn resolve(name: &str) -> Result<Vec<IpAddr>, String> {
    match name {
        "www.example" => {
            Ok(["10.1.0.1", "2001:db8::1", "10.1.0.1"].map(|a| a.parse().unwrap()).into())
        }
        "one.example" => Ok(vec!["10.2.0.1".parse().unwrap()]),
        "none.example" => Ok(Vec::new()),
        "many.example" => Ok((0..1025).map(|n: u32| IpAddr::from(n.to_be_bytes())).collect()),
        _ => Err("no such host".to_owned()),
    }
}

fn named(text: &str) -> Result<Filter, Error> {
    Filter::parse_with(text, &ParseOptions { resolve: Some(&resolve), ..Default::default() })
}

#[test]
fn host_names_are_all_their_addresses() {
    for (text, want) in [
        ("ip www.example", "ip in [10.1.0.1, 2001:db8::1]"),
        ("not src host one.example", "not src ip 10.2.0.1"),
        ("dst ip \"one.example\"", "dst ip 10.2.0.1"),
    ] {
        assert_eq!(named(text).unwrap().tree().to_string(), want, "{text}");
    }
    for (text, says) in [
        ("ip nowhere.example", "cannot look up nowhere.example: no such host"),
        ("ip none.example", "it has no address"),
        ("ip many.example", "1025 addresses, of which 1024"),
        ("nat ip www.example", "`nat ip` takes an address, no host name"),
        ("next ip www.example", "`next ip` takes an address"),
    ] {
        let error = named(text).unwrap_err();
        assert!(error.to_string().contains(says), "{text}: {error}");
        let name = text.rsplit(' ').next().unwrap();
        let line = format!("Line 1: Can not parse/lookup {name} to an IP address at '{name}'");
        assert_eq!(error.nfdump_line(), line);
    }
}

#[test]
fn payload_is_searched_octet_by_octet() {
    let mut flow = flow("10.1.0.1", "10.2.0.1", &[(Field::PfDir, 2), (Field::PfReason, 5)]);
    assert!(flow.set_bytes(Field::OutPayload, b"\xffGGET /\nHost: a\0"));
    for (text, want) in [
        ("payload content GET", true),
        ("in payload content 'GET /'", true),
        ("payload content get", false),
        ("payload regex 'ggET' i", true),
        ("payload regex '^Host'", false),
        ("payload regex '^Host' m", true),
        ("payload regex '/.Host' s", true),
        ("payload regex '/.Host'", false),
        ("payload regex '^.GGET'", true),
        ("payload regex GET and not payload content POST", true),
        ("pf dir out and not pf dir in", true),
        ("pf reason \"memory)\" and pf reason 5", true),
        ("pf action nat", false),
    ] {
        let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(passes(&filter, &flow), want, "{text}");
    }
    assert!(Filter::parse("payload regex '(a{1000}){1000}'").is_err());
}
