//! What records show with an address book, with names, and of sums: one record in every format.

use crate::sample::{Atlas, TEN, flow, four, random, rich};
use crate::{Format, FormatOptions, RecordContext, Services};
use record::{Field, Flow};

fn print_one(
    spec: &str,
    options: FormatOptions,
    flow: &Flow,
    context: &RecordContext<'_>,
) -> String {
    let options = FormatOptions { time_zone: crate::TimeZone::Utc, ..options };
    let format = Format::parse(spec, &options).unwrap();
    let format = format.with_services(Services::parse("http-alt 8080/tcp\ndomain 53/udp\n").into());
    let mut printer = format.printer();
    let mut out = Vec::new();
    printer.header(&mut out);
    printer.record(flow.as_row(), context, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_address_book_fills_in_countries_and_systems() {
    let atlas = Atlas::default();
    let context = RecordContext { book: Some(&atlas), ..RecordContext::new("x", 1) };
    let mut flow = rich();
    flow.unset(Field::DstAs);
    flow.set(Field::SrcAs, 0);
    for (spec, want) in [
        ("%sc%dc", "CH.."),
        ("%gsa|%gda", "        10.9.0.1(CH)|      192.0.2.99(..)"),
        ("%gsap|%gdap", "        10.9.0.1(CH):1234 |      192.0.2.99(..):8080 "),
        ("%gra", "       127.0.0.1(..)"),
        ("%sas|%das", " 64501|     0"),
        ("%sasn|%dasn", "                Example, \"Inc\"|                          none"),
        ("%sloc|%dloc", "Europe/CH/Zürich, long/lat: 8.5/47.4|<no location info>"),
        ("%stor|%dtor", "  ..|  EX"),
        ("csv:%sc,%dc,%sas,%das", "CH,..,64501,0"),
        ("csv:%sasn,%dasn,%stor,%dtor", "\"Example, \"\"Inc\"\"\",none,..,EX"),
        ("csv:%sloc,%dloc", "\"Europe/CH/Zürich, long/lat: 8.5/47.4\",no location info"),
    ] {
        let text = print_one(spec, FormatOptions::default(), &flow, &context);
        assert_eq!(text.lines().nth(1), Some(want), "{spec}");
    }
    // What the exporter says of a system goes before the book.
    let text = print_one("%sas", FormatOptions::default(), &rich(), &context);
    assert_eq!(text.lines().nth(1), Some(" 64500"));
    // An hour later the exit was none.
    flow.set(Field::First, TEN + 7_200_000);
    flow.set(Field::Last, TEN + 7_200_001);
    let text = print_one("%dtor", FormatOptions::default(), &flow, &context);
    assert_eq!(text.lines().nth(1), Some("  ex"));
    let json: serde_json::Value =
        serde_json::from_str(&print_one("ndjson", FormatOptions::default(), &flow, &context))
            .unwrap();
    assert_eq!((&json["src4_geo"], &json["dst4_geo"]), (&"CH".into(), &"".into()));
}

#[test]
fn names_of_ports_and_protocols_on_request() {
    let context = RecordContext::new("x", 1);
    let names = FormatOptions { names: true, ..FormatOptions::default() };
    for (spec, header, want) in [
        ("%sp|%dp", "         Src Pt          Dst Pt", "           1234|       http-alt"),
        (
            "%sap|%dap|",
            "     Src IP Addr:Port                 Dst IP Addr:Port            ",
            "        10.9.0.1:1234           |      192.0.2.99:http-alt       |",
        ),
        ("csv:%pr,%sp,%dp", "proto,srcPort,dstPort", "TCP,1234,http-alt"),
    ] {
        let text = print_one(spec, names, &rich(), &context);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines, [header, want], "{spec}");
        let plain = print_one(spec, FormatOptions::default(), &rich(), &context);
        assert!(!plain.contains("http") && !plain.contains("TCP"), "{plain}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&print_one("ndjson", names, &rich(), &context)).unwrap();
    assert_eq!(
        (&json["proto"], &json["src_port"], &json["dst_port"]),
        (&"TCP".into(), &"1234".into(), &"http-alt".into())
    );
    // Type and code of ICMP stay numbers.
    let text = print_one("%dp|%dap|", names, &four()[2], &context);
    assert_eq!(text.lines().nth(1), Some("            8.0|       192.0.2.1:8.0            |"));
}

#[test]
fn sums_show_their_key_and_nothing_else() {
    // What an aggregation by destination port makes of flows; the protocol is there so that
    // ports of ICMP can be told, but is no part of the key.
    let numbers = [
        (Field::Proto, 1),
        (Field::DstPort, 2048),
        (Field::First, TEN),
        (Field::Last, TEN + 1000),
        (Field::Packets, 5),
        (Field::Bytes, 420),
        (Field::Flows, 2),
    ];
    let sum = flow(&numbers, &[]);
    let shown = crate::shown_of_sums([Field::DstPort]);
    let context = RecordContext { shown, ..RecordContext::new("", 1) };
    for (spec, want) in [
        (
            "%dp %pkt %sp %pr|%flg|%sa|%fl",
            "   8.0        5             |        |                |    2",
        ),
        ("%dap|%sap|", "                :8.0  |                      |"),
        ("csv:%ts,%pr,%sa,%dp,%sas,%byt,%fl", "2026-11-20 10:00:00.000,,,8.0,,420,2"),
        ("csv-fast", "1,0,1795168800000,1795168801000,,,,,2048,,,,,,,5,420"),
    ] {
        let text = print_one(spec, FormatOptions::default(), &sum, &context);
        assert_eq!(text.lines().nth(1), Some(want), "{spec}");
    }
    let json = print_one("ndjson", FormatOptions::default(), &sum, &context);
    assert_eq!(
        json,
        "{\"cnt\":1,\"type\":\"FLOW\",\"first\":\"2026-11-20T10:00:00.000\",\"last\":\"2026-11-20T10:00:01.000\",\
         \"in_packets\":5,\"in_bytes\":420,\"dst_port\":2048,\"aggr_flows\":2}\n"
    );
    let raw = print_one("raw", FormatOptions::default(), &sum, &context);
    let labels: Vec<_> = raw.lines().filter_map(|l| l.get(2..14)).map(str::trim_end).collect();
    assert_eq!(
        labels,
        ["RecordCount", "first", "last", "dst port", "in packets", "in bytes", "aggr flows"]
    );
    for flow in random(500) {
        let shown = flow.as_row().shape().present() & 0x5555_5555_5555_5555_5555_5555_5555_5555;
        let context = RecordContext { shown, ..RecordContext::new("", 1) };
        let json = print_one("json", FormatOptions::default(), &flow, &context);
        serde_json::from_str::<serde_json::Value>(&(json + "]")).unwrap();
    }
}

#[test]
fn colours_only_around_the_header_of_text() {
    let context = RecordContext::new("x", 1);
    let colour = FormatOptions { colour: true, ..FormatOptions::default() };
    assert_eq!(
        print_one("%sp|", colour, &rich(), &context),
        "\u{1b}[1mSrc Pt \u{1b}[0m\n  1234|\n"
    );
    for spec in ["csv", "csv-fast", "json", "ndjson", "raw"] {
        assert!(!print_one(spec, colour, &rich(), &context).contains('\u{1b}'), "{spec}");
    }
}
