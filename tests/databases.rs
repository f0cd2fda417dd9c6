//! What databases know about addresses, in lists, tables, groups and filters; and what is said
//! where there is none.

mod common;

use common::answers::{flowdump, json, ndjson, number, rows, text};
use common::{FLOWDUMP, Scene, run};
use geo::testing::{Database, asn, city};
use record::{Addr, Field, Flow, FlowSink as _};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use store::{Writer, WriterOptions};

const START_MS: u64 = 1_795_168_800_000;

/// Addresses of flows: source, destination, system that the exporter named.
const FLOWS: [(&str, &str, u64); 5] = [
    ("192.0.2.1", "198.51.100.1", 0),
    ("192.0.2.2", "203.0.113.9", 65_000),
    ("198.51.100.1", "192.0.2.1", 0),
    ("2001:db8::1", "2001:db8:1::1", 0),
    ("203.0.113.9", "198.51.100.2", 0),
];

struct Databases {
    scene: Scene,
    flows: String,
    cities: String,
    systems: String,
    exits: String,
}

impl Databases {
    fn new() -> Self {
        let scene = Scene::new();
        let path = |name| scene.path(name).to_str().unwrap().to_owned();
        let [flows, cities, systems, exits] = ["flows", "city.mmdb", "asn.mmdb", "tor"].map(path);
        write_flows(Path::new(&flows));
        Database::new()
            .network("192.0.2.0/24", city("EU", "CH", "Bern", 46.9, 7.4))
            .network("2001:db8::/32", city("EU", "DE", "Berlin", 52.5, 13.4))
            .write(&cities)
            .unwrap();
        Database::new()
            .network("192.0.2.0/24", asn(64_500, "Zebra, \"Ltd\""))
            .network("203.0.113.0/24", asn(64_501, "Okapi"))
            .write(&systems)
            .unwrap();
        fs::write(&exits, "203.0.113.9\n").unwrap();
        Self { scene, flows, cities, systems, exits }
    }

    /// Options that read the flows with these databases and no configuration.
    fn with<'a>(&'a self, geo: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["-C", "none", "-q", "-r", &self.flows, "-G", geo], more].concat()
    }
}

fn write_flows(path: &Path) {
    let mut writer = Writer::create(path, &WriterOptions::default()).unwrap();
    for (n, (src, dst, system)) in (0..).zip(FLOWS) {
        let mut flow = Flow::new();
        let mut set = |field, value| assert!(flow.set(field, value));
        set(Field::First, START_MS + n * 1000);
        set(Field::Last, START_MS + n * 1000 + 500);
        set(Field::Proto, 6);
        set(Field::SrcPort, 1024 + n);
        set(Field::DstPort, 443);
        set(Field::Packets, 1 + n);
        set(Field::Bytes, 100 << n);
        set(Field::SrcAs, system);
        for (field, addr) in [(Field::SrcAddr, src), (Field::DstAddr, dst)] {
            flow.set_addr(field, Addr::from(addr.parse::<std::net::IpAddr>().unwrap()));
        }
        writer.flow(&flow);
    }
    writer.close(&[]).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn lists_show_countries_systems_places_and_exits() {
    let d = Databases::new();
    let both = format!("{},{}", d.cities, d.systems);
    let list = flowdump(&d.with(&d.cities, &["-c", "1"]));
    assert!(list.contains("192.0.2.1(CH):1024  ->     198.51.100.1(..):443"), "gline: {list}");
    let list = flowdump(&d.with("none", &["-c", "1"]));
    assert!(list.contains("192.0.2.1:1024  ->     198.51.100.1:443"), "line: {list}");
    let format = "csv:%sa,%sc,%dc,%sas,%sasn,%dasn,%sloc,%stor,%dtor";
    let got = rows(&flowdump(&d.with(&both, &["-H", &d.exits, "-o", format])));
    let want = [
        ["192.0.2.1", "CH", "..", "64500", "Zebra, \"Ltd\"", "none"],
        // The exporter may know a system of its own: the name is that of the address.
        ["192.0.2.2", "CH", "..", "65000", "Zebra, \"Ltd\"", "Okapi"],
        ["198.51.100.1", "..", "CH", "0", "none", "Zebra, \"Ltd\""],
        ["2001:db8::1", "DE", "DE", "0", "none", "none"],
        ["203.0.113.9", "..", "..", "64501", "Okapi", "none"],
    ];
    for (row, want) in got[1..].iter().zip(want) {
        assert_eq!(row[..6], want);
    }
    assert_eq!(got.len(), 6);
    let places: Vec<bool> = got[1..].iter().map(|r| r[6].starts_with("EU/")).collect();
    assert_eq!(places, [true, true, false, true, false], "{got:?}");
    let exits: Vec<[&str; 2]> = got[1..].iter().map(|r| [r[7].as_str(), &r[8]]).collect();
    assert_eq!(exits, [["..", ".."], ["..", "EX"], ["..", ".."], ["..", ".."], ["EX", ".."]]);
    let countries = |args: &[&str]| -> Vec<String> {
        let key = |o: &serde_json::Value| {
            let geo = ["src4_geo", "src6_geo"].iter().find_map(|k| o[k].as_str());
            geo.expect("a country").to_owned()
        };
        ndjson(args).iter().map(key).collect()
    };
    assert_eq!(countries(&d.with(&d.cities, &[])), ["CH", "CH", "", "DE", ""]);
    assert_eq!(countries(&d.with("none", &[])), [""; 5]);
}

#[test]
fn tables_and_groups_count_by_country_and_system() {
    let d = Databases::new();
    let both = format!("{},{}", d.cities, d.systems);
    let table = |args: &[&str], element: &str, count: &str| -> Vec<(String, u64)> {
        let args = d.with(&both, args);
        let mut all: Vec<_> =
            json(&args).iter().map(|o| (text(o, element).to_owned(), number(o, count))).collect();
        all.sort();
        all
    };
    let pairs = |all: &[(&str, u64)]| -> Vec<(String, u64)> {
        all.iter().map(|(value, n)| ((*value).to_owned(), *n)).collect()
    };
    let got = table(&["-s", "srcgeo"], "srcgeo", "flows");
    assert_eq!(got, pairs(&[("..", 2), ("CH", 2), ("DE", 1)]));
    let got = table(&["-s", "geo"], "geo", "flows");
    assert_eq!(got, pairs(&[("..", 5), ("CH", 3), ("DE", 2)]), "both sides, as -s ip");
    let got = table(&["-s", "dstasn"], "dstasn", "flows");
    let names: Vec<&str> = got.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().any(|n| n.contains("Okapi") && n.contains("64501")), "{names:?}");
    let got = table(&["-s", "srcas"], "srcas", "flows");
    assert_eq!(got, pairs(&[("0", 2), ("64500", 1), ("64501", 1), ("65000", 1)]));
    let got = table(&["-A", "srcgeo"], "src_geo", "in_packets");
    assert_eq!(got, pairs(&[("", 3 + 5), ("CH", 1 + 2), ("DE", 4)]));
    let csv = rows(&flowdump(&d.with(&both, &["-A", "srcgeo,dstgeo", "-o", "csv"])));
    assert_eq!(csv.len(), 1 + 4, "CH ..; .. CH; DE DE; .. ..: {csv:?}");
    let series = json(&d.with(&both, &["--bin", "1h", "-s", "srcgeo", "-n", "0"]));
    assert_eq!(series.iter().map(|l| number(l, "flows")).sum::<u64>(), 5);
    let distinct = json(&d.with(&both, &["-s", "srcgeo/distinct:srcip", "-n", "1"]));
    assert_eq!(number(&distinct[0], "distinct_srcip"), 2);
}

#[test]
fn filters_ask_databases() {
    let d = Databases::new();
    let both = format!("{},{}", d.cities, d.systems);
    for (filter, want) in [
        ("src geo CH", 2),
        ("geo CH", 3),
        ("not geo CH", 2),
        ("geo DE or dst geo CH", 2),
        ("geo FR", 0),
        ("src as 64500", 1),
        ("src as 65000", 1),
        ("dst as 64501", 1),
        ("as 64501", 2),
        ("ip tor", 2),
        ("src ip tor", 1),
        ("not ip tor and geo CH", 2),
    ] {
        let args = d.with(&both, &["-H", &d.exits, "-o", "ndjson", filter]);
        let output = run(FLOWDUMP, args);
        assert_eq!(said(&output), "", "{filter}: nothing is missing");
        let flows = output.stdout.iter().filter(|b| **b == b'\n').count();
        assert_eq!(flows, want, "{filter}");
    }
}

#[test]
fn databases_are_found_in_options_environment_and_configuration() {
    let d = Databases::new();
    let config = d.scene.path("config");
    fs::write(&config, format!("[flowdump]\ngeodb.path = \"{}\"\n", d.cities)).unwrap();
    let config = config.to_str().unwrap();
    let list = |variable: &str, options: &[&str]| {
        let output = Command::new(FLOWDUMP)
            .args(["-q", "-c", "1", "-r", &d.flows])
            .args(options)
            .env("NFGEODB", variable)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        (text.contains("(CH)"), said(&output), output.status.code())
    };
    let (found, not) = ((true, String::new(), Some(0)), (false, String::new(), Some(0)));
    assert_eq!(list(&d.cities, &["-C", "none"]), found, "environment");
    assert_eq!(list("", &["-C", config]), found, "configuration");
    assert_eq!(list("", &["-C", "none"]), not);
    assert_eq!(list(&d.cities, &["-C", config, "-G", "none"]), not, "an option comes first");
    assert_eq!(list("/nonexistent", &["-C", "none", "-G", &d.cities]), found);
    for wrong in ["/nonexistent", d.flows.as_str(), d.exits.as_str()] {
        let (found, said, status) = list(wrong, &["-C", "none"]);
        assert_eq!((found, status), (false, Some(0)), "the answer may not need it");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(wrong) && said.contains("going on without"), "{said}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_said_in_a_line() {
    let d = Databases::new();
    for (args, want) in [
        (&["src geo CH"][..], "use -G"),
        (&["ip tor"], "use -H"),
        (&["-s", "srcgeo"], "use -G"),
        (&["-A", "dstgeo"], "use -G"),
        (&["-s", "dstasn"], "use -G"),
        (&["--bin", "1m", "-s", "geo"], "use -G"),
    ] {
        let output = run(FLOWDUMP, d.with("none", args));
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        assert!(said.starts_with("flowdump: ") && said.contains(want), "{args:?}: {said}");
    }
    // A database of systems knows no countries.
    let output = run(FLOWDUMP, d.with(&d.systems, &["-s", "srcgeo"]));
    assert!(said(&output).contains("countries"), "{}", said(&output));
    for (option, file) in [
        ("-G", "/nonexistent"),
        ("-G", d.flows.as_str()),
        ("-G", &d.exits),
        ("-H", "/nonexistent"),
        ("-H", &d.cities),
        ("-H", "/etc/passwd"),
    ] {
        let output = run(FLOWDUMP, ["-C", "none", "-r", &d.flows, option, file]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{option} {file}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(file) && output.stdout.is_empty(), "{said}");
    }
}
