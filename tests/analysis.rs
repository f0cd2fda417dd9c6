//! Time series, percentiles, distinct counts, tables and groups: every answer in every format, and
//! that the numbers of different answers about the same flows agree.

mod common;

use common::answers::{flowdump, json, ndjson, number, rows, sum, tables, text};
use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, run};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;

const NOTHING: &str = "port 1 and port 2";

fn file_of(flows: u64) -> (Scene, String) {
    let scene = Scene::new();
    let path = scene.path("flows");
    FlowFile { flows, ..FlowFile::default() }.write(&path);
    let path = path.to_str().unwrap().to_owned();
    (scene, path)
}

#[test]
fn every_answer_is_one_document_and_the_same_in_every_format() {
    let (_scene, file) = file_of(600);
    for args in [
        &["-c", "20"][..],
        &["-O", "bytes", "-n", "5"],
        &["-a"],
        &["-b"],
        &["-A", "srcip4/24,proto"],
        &["-A", "srcgeo,dstas"],
        &["-s", "record", "-n", "3"],
        &["-s", "srcip/bytes/flows"],
        &["-s", "proto:p"],
        &["-A", "proto", "-s", "record/bytes"],
        &["--bin", "1m"],
        &["--bin", "10s", "-s", "proto/packets", "-n", "2"],
        &["--bin", "1m", "-s", "record/bytes/flows", "-n", "2"],
        &["--bin", "1m", "-A", "proto,srcas", "-n", "2"],
        &["--bin", "1m", "-s", "proto", "-s", "srcport", "-n", "1"],
        &["--percentile", "95", "-s", "srcip"],
        &["--percentile", "99.9", "--bin", "1s", "-s", "proto:p", "-s", "dstport/pps"],
        &["--percentile", "50", "-A", "srcas,proto"],
        &["-s", "srcip/distinct:dstport"],
        &["-s", "any/distinct:srcip/distinct:dstip"],
        &["-s", "dstport:p/distinct:srcip/bytes:a", "-n", "0"],
        &["-s", "record/bytes", "-s", "dstport", "-s", "srcip/distinct:dstport", "-n", "2"],
    ] {
        for filter in ["any", NOTHING] {
            let args = [&["-r", &file], args, &[filter]].concat();
            let (objects, lines) = (json(&args), ndjson(&args));
            assert_eq!(objects.is_empty(), filter == NOTHING, "{args:?}");
            assert_eq!(objects, lines, "{args:?}");
            for format in ["csv", "csv-fast"] {
                let tables = tables(&flowdump(&[&args[..], &["-o", format]].concat()));
                assert!(!tables.is_empty(), "{args:?}: {format} has names without flows, too");
                let rows: usize = tables.iter().map(|t| t.len() - 1).sum();
                assert_eq!(rows, objects.len(), "{args:?} as {format}");
            }
        }
    }
}

/// Values that are in CSV and in JSON are equal.
#[test]
fn columns_have_the_names_and_values_of_keys() {
    let (_scene, file) = file_of(600);
    for args in [
        &["--bin", "1m", "-s", "proto"][..],
        &["--percentile", "95", "--bin", "1m", "-s", "srcip"],
        &["-s", "srcip/distinct:dstport"],
    ] {
        let args = [&["-r", &file], args].concat();
        let table = tables(&flowdump(&[&["-o", "csv"], &args[..]].concat())).remove(0);
        for (row, object) in table[1..].iter().zip(json(&args)) {
            assert_eq!(row.len(), object.as_object().unwrap().len());
            for (name, field) in table[0].iter().zip(row) {
                let value = match &object[name] {
                    Value::String(s) if name == "start" => s.replace('T', " ").replace(".000", ""),
                    Value::String(s) => s.clone(),
                    other => other.to_string(),
                };
                assert_eq!(&value, field, "{name} of {args:?}");
            }
        }
    }
}

#[test]
fn bins_add_up_to_the_totals() {
    let (_scene, file) = file_of(2000);
    let window = "2026/11/20.10:00:30-2026/11/20.10:02:00";
    for filter in [&["any"][..], &["proto udp"], &["-t", window]] {
        let args = [&["-r", &file], filter].concat();
        let all = json(&[&args[..], &["-s", "any/bytes"]].concat());
        for of in [
            &["--bin", "1s"][..],
            &["--bin", "1m"],
            &["--bin", "1d"],
            &["--bin", "1m", "-s", "proto", "-n", "1"],
            &["--bin", "1m", "-s", "srcip/flows", "-n", "3"],
            &["--bin", "1m", "-s", "record", "-n", "3"],
            &["--bin", "1m", "-s", "srcip", "-n", "0"],
            &["--bin", "1m", "-A", "dstas,proto", "-n", "4"],
        ] {
            let bins = json(&[&args[..], of].concat());
            assert!(!bins.is_empty());
            for key in ["flows", "packets", "bytes"] {
                assert_eq!(sum(&bins, key), sum(&all, key), "{key} of {filter:?} {of:?}");
            }
        }
    }
}

#[test]
fn bins_begin_at_multiples_of_their_width() {
    let (_scene, file) = file_of(2000);
    for (width, zone, first, second) in [
        ("1m", "UTC", "2026-11-20T09:59:00.000", "2026-11-20T10:00:00.000"),
        ("5m", "UTC", "2026-11-20T09:55:00.000", "2026-11-20T10:00:00.000"),
        ("1h", "UTC", "2026-11-20T09:00:00.000", "2026-11-20T10:00:00.000"),
        ("1h", "+05:30", "2026-11-20T15:00:00.000", "2026-11-20T16:00:00.000"),
    ] {
        let bins = json(&["-r", &file, "--bin", width, "--tz", zone]);
        let starts: Vec<&str> = bins.iter().map(|b| text(b, "start")).collect();
        assert_eq!(starts[..1], [first], "{width} {zone}");
        assert!(zone != "UTC" || starts[1] == second, "{width} {zone}: {starts:?}");
    }
    let days = json(&["-r", &file, "--bin", "1d", "--tz", "Pacific/Auckland"]);
    assert_eq!(text(&days[0], "start"), "2026-11-20T00:00:00.000", "local midnight");
}

/// Percentiles are those of the rates that a series prints: nearest rank.
#[test]
fn percentiles_are_those_of_the_series() {
    let (_scene, file) = file_of(2000);
    let mut rates: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in json(&["-r", &file, "--bin", "1m", "-s", "proto", "-n", "0"]) {
        rates.entry(text(&line, "value").to_owned()).or_default().push(number(&line, "bps"));
    }
    rates.remove("other");
    for (percentile, per_mille) in [("50", 500), ("95", 950), ("99.9", 999)] {
        let args = ["-r", &file, "--percentile", percentile, "--bin", "1m", "-s", "proto"];
        let got = json(&[&args[..], &["-n", "0"]].concat());
        assert_eq!(got.len(), rates.len());
        for line in got {
            let mut all = rates[text(&line, "value")].clone();
            all.sort_unstable();
            assert_eq!(number(&line, "bins"), all.len() as u64);
            let want = all[(all.len() * per_mille).div_ceil(1000) - 1];
            assert_eq!(number(&line, "bps_percentile"), want, "{percentile} {line}");
            assert_eq!(Some(number(&line, "bps_max")), all.last().copied());
        }
    }
}

#[test]
fn distinct_counts_are_those_of_the_list() {
    let (_scene, file) = file_of(2000);
    let filter = "proto tcp or proto udp";
    let mut sets: HashMap<String, HashSet<u64>> = HashMap::new();
    for flow in ndjson(&["-r", &file, filter]) {
        let addr = ["src4_addr", "src6_addr"].iter().find_map(|k| flow[k].as_str()).unwrap();
        sets.entry(addr.to_owned()).or_default().insert(number(&flow, "dst_port"));
    }
    let got = json(&["-r", &file, "-s", "srcip/distinct:dstport", "-n", "0", filter]);
    assert_eq!(got.len(), sets.len());
    let counts: Vec<u64> = got.iter().map(|l| number(l, "distinct_dstport")).collect();
    assert!(counts.is_sorted_by(|a, b| a >= b), "largest first");
    for line in &got {
        assert_eq!(number(line, "distinct_dstport"), sets[text(line, "value")].len() as u64);
        assert_eq!(line["distinct_dstport_is_exact"], Value::Bool(true));
    }
}

#[test]
fn the_number_of_threads_changes_no_series() {
    let (_scene, file) = file_of(6000);
    for args in [
        &["--bin", "1s"][..],
        &["--bin", "1m", "-s", "srcip", "-n", "7"],
        &["--bin", "1m", "-s", "record/flows", "-n", "3"],
        &["--percentile", "95", "--bin", "10s", "-s", "srcip", "-n", "0"],
        &["-s", "srcip/distinct:dstport", "-n", "0"],
        &["-s", "any/distinct:srcip", "-s", "record", "-s", "proto/distinct:dstip/bytes"],
    ] {
        let with = |n| flowdump(&[&["-r", &file, "-o", "csv", "-W", n], args].concat());
        let one = with("1");
        assert!(one.lines().count() > 5, "{args:?}");
        assert!(one == with("4"), "{args:?}");
    }
}

#[test]
fn plots_are_for_people() {
    let (_scene, file) = file_of(600);
    let plot = |locale: &str, of: &[&str]| {
        let output = Command::new(FLOWDUMP)
            .args(["-q", "-r", &file, "--bin", "1s", "--plot"])
            .args(of)
            .envs([("TZ", "UTC"), ("LC_ALL", locale)])
            .output()
            .expect("start flowdump");
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let drawn = plot("C.UTF-8", &[]);
    assert!(drawn.starts_with("all flows: peak "), "{drawn}");
    assert!(drawn.lines().all(|l| l.chars().count() <= 80), "{drawn}");
    assert!(!drawn.is_ascii() && plot("C", &[]).is_ascii());
    let two = plot("C", &["-s", "proto", "-n", "2"]);
    for title in ["TCP: peak ", "UDP: peak ", "other: peak "] {
        assert_eq!(two.matches(title).count(), 1, "{title} in\n{two}");
    }
    for args in [
        &["--bin", "1m", "--plot", "-o", "json"][..],
        &["--bin", "1m", "--plot", "-o", "csv"],
        &["--bin", "1m", "--plot", "--percentile", "95", "-s", "proto"],
    ] {
        let output = run(FLOWDUMP, [&["-r", &file], args].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert_eq!(output.stdout, b"", "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--plot "), "{args:?}");
    }
}

/// What is not part of the key is not known of a group, and 0 would be a value.
#[test]
fn groups_say_their_key_and_their_sums_alone() {
    let (_scene, file) = file_of(600);
    const SUMS: [&str; 9] = [
        "cnt",
        "type",
        "first",
        "last",
        "in_packets",
        "in_bytes",
        "out_packets",
        "out_bytes",
        "aggr_flows",
    ];
    for (fields, keys) in [
        ("proto", &["proto"][..]),
        ("srcas", &["src_as"]),
        ("proto,dstport", &["proto", "dst_port", "icmp_type", "icmp_code"]),
        ("srcip4/24", &["src4_addr", "src4_geo"]),
    ] {
        for of in [&["-A", fields][..], &["-A", fields, "-s", "record", "-n", "0"]] {
            for group in json(&[&["-r", &file], of].concat()) {
                for key in group.as_object().unwrap().keys().map(String::as_str) {
                    let is_known = SUMS.contains(&key) || keys.contains(&key);
                    assert!(is_known, "{key} of {of:?} is not known: {group}");
                }
            }
        }
    }
    let csv = flowdump(&["-r", &file, "-A", "srcas", "-o", "csv:%sas,%sa,%pr,%sp,%pkt"]);
    let table = rows(&csv);
    assert!(table.len() > 5);
    for row in &table[1..] {
        assert!(!row[0].is_empty() && row[1..4].iter().all(String::is_empty), "{row:?}");
        assert!(!row[4].is_empty(), "{row:?}");
    }
}
