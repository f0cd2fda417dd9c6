//! `flowdump` on files that real programs wrote, against what nfdump prints of them.
//!
//! Needs the folder of example files in `FLOWSUITE_CORPUS`.

mod common;

use common::{FLOWDUMP, corpus, run, stdout_of};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Object = Map<String, Value>;

/// Where nfdump's JSON is wrong: key, file name prefix, what makes the two equal, and the reason.
/// Whoever changes this table changes `docs/compatibility.md`. An entry that explains nothing
/// fails.
const DIFFERENCES: &[(&str, &str, Explains, &str)] = &[
    ("sampled", "1625-", |_, _, theirs| theirs == 0, "its conversion of layout 1 loses the flag"),
    ("type", "1625-v9", |_, o, t| o == "EVENT" && t == "FLOW", "its conversion loses the flag"),
    (
        "dst_port",
        "1625-v9",
        |r, _, theirs| theirs == 0 && r.contains_key("connect_id"),
        "its conversion of the firewall extension overwrites the port of TCP and UDP flows",
    ),
    ("icmp_type", "1625-v9", |_, _, t| t == 0, "as dst_port: the extension holds no ICMP type"),
    ("icmp_code", "1625-v9", |_, _, t| t == 0, "as dst_port"),
    ("t_event", "1625-v9", is_unpadded_time, "milliseconds without zeros; 0 for a second event"),
    ("t_event", "171-ipfix", is_unpadded_time, "milliseconds without zeros"),
    ("t_event", "178-ipfix", is_unpadded_time, "milliseconds without zeros"),
    ("t_event", "hand-", is_unpadded_time, "milliseconds without zeros"),
    ("ingress_acl", "17", has_swapped_ids, "octets in network order read as a number"),
    ("egress_acl", "17", has_swapped_ids, "octets in network order read as a number"),
    ("src_net", "178-nfanon", is_masked_net, "IPv6 networks are wrong for many masks"),
    ("src_net", "178-sflow", is_masked_net, "IPv6 networks are wrong for many masks"),
    ("dst_net", "178-sflow", is_masked_net, "IPv6 networks are wrong for many masks"),
];

/// Whether our record, our value and nfdump's value differ for the reason given.
type Explains = fn(&Object, &Value, &Value) -> bool;

fn is_unpadded_time(record: &Object, ours: &Value, theirs: &Value) -> bool {
    let (ours, theirs) = (ours.as_str().unwrap(), theirs.as_str().unwrap());
    if theirs == "<unknown>.0" {
        let has_both = record.contains_key("event_id") && record.contains_key("nat_event_id");
        return ours == "<unknown>" || has_both;
    }
    let (seconds, ms) = theirs.rsplit_once('.').unwrap();
    ours == format!("{seconds}.{:03}", ms.parse::<u32>().unwrap())
}

fn has_swapped_ids(_: &Object, ours: &Value, theirs: &Value) -> bool {
    let ids = |v: &Value| -> Vec<u32> {
        let id = |s: &str| u32::from_str_radix(s.trim_start_matches("0x"), 16).unwrap();
        v.as_str().unwrap().split('/').map(id).collect()
    };
    ids(ours) == ids(theirs).iter().map(|id| id.swap_bytes()).collect::<Vec<_>>()
}

fn is_masked_net(record: &Object, ours: &Value, _: &Value) -> bool {
    ["src", "dst"].iter().any(|side| {
        let of = |key: &str| record.get(&format!("{side}{key}"));
        let Some(addr) = of("6_addr").and_then(Value::as_str) else { return false };
        let addr: std::net::Ipv6Addr = addr.parse().unwrap();
        let mask = of("_mask").and_then(Value::as_u64).unwrap() as u32;
        let net = u128::from(addr) & u128::MAX.checked_shl(128 - mask).unwrap_or(0);
        of("_net") == Some(ours) && ours == &std::net::Ipv6Addr::from(net).to_string()
    })
}

/// The example files that have a companion of this extension, with its text.
fn files_with(extension: &str) -> Vec<(PathBuf, String)> {
    let Some(corpus) = corpus() else { return Vec::new() };
    let folder = std::fs::read_dir(corpus.join("nfcapd-files")).expect("nfcapd-files");
    let files = folder.map(|e| e.expect("entry").path());
    let mut all: Vec<(PathBuf, String)> = files
        .filter(|p| p.extension().is_some_and(|e| e == "nfcapd"))
        .filter_map(|p| {
            Some((p.clone(), std::fs::read_to_string(p.with_extension(extension)).ok()?))
        })
        .collect();
    all.sort();
    assert!(all.len() >= 20, "{} files with {extension}", all.len());
    all
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Reads a list of records. nfdump prints TLS versions without quotes.
fn records(text: &str) -> Vec<Object> {
    let text = text.replace(": TLS1.2", ": \"TLS1.2\"").replace(": TLS1.3", ": \"TLS1.3\"");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Brings a list into an order that does not depend on keys of the table.
fn sorted(mut records: Vec<Object>) -> Vec<Object> {
    let is_listed = |key: &String| DIFFERENCES.iter().any(|d| d.0 == key);
    records.sort_by_cached_key(|r| {
        let stable: BTreeMap<_, _> = r.iter().filter(|(k, _)| !is_listed(k)).collect();
        format!("{stable:?}")
    });
    records
}

#[test]
fn records_are_those_nfdump_prints() {
    let files = files_with("json");
    let mut used = BTreeSet::new();
    for (path, json) in &files {
        let ours =
            sorted(records(&stdout_of(FLOWDUMP, ["-r", path.to_str().unwrap(), "-o", "json"])));
        let theirs = sorted(records(json));
        assert_eq!(ours.len(), theirs.len(), "{}: records", name(path));
        for (o, t) in ours.iter().zip(&theirs) {
            let keys: BTreeSet<&String> = o.keys().chain(t.keys()).collect();
            for key in keys {
                let (Some(a), Some(b)) = (o.get(key), t.get(key)) else {
                    panic!("{}: key {key} in {o:?}\nand {t:?}", name(path));
                };
                if a == b {
                    continue;
                }
                let entry = DIFFERENCES.iter().position(|(k, file, explains, _)| {
                    k == key && name(path).starts_with(file) && explains(o, a, b)
                });
                let Some(entry) = entry else {
                    panic!("{}: {key} is {a} here and {b} there, in {o:?}", name(path));
                };
                used.insert(entry);
            }
        }
    }
    if files.is_empty() {
        return;
    }
    for (n, (key, file, _, reason)) in DIFFERENCES.iter().enumerate() {
        assert!(used.contains(&n), "no {file}* differs in {key} any more: {reason}");
    }
}

#[test]
fn lists_of_all_formats_have_all_records() {
    for (path, json) in files_with("json") {
        let count = records(&json).len();
        let file = path.to_str().unwrap();
        let ndjson = stdout_of(FLOWDUMP, ["-r", file, "-o", "ndjson"]);
        let objects: Vec<Object> =
            ndjson.lines().map(|l| serde_json::from_str(l).expect("one object a line")).collect();
        let array = records(&stdout_of(FLOWDUMP, ["-r", file, "-o", "json"]));
        assert_eq!(objects, array, "{}", name(&path));
        for (format, more) in [("line", 0), ("extended", 0), ("csv", 1), ("csv-fast", 1)] {
            let lines = stdout_of(FLOWDUMP, ["-r", file, "-q", "-o", format]).lines().count();
            assert_eq!(lines, count + more, "{} as {format}", name(&path));
        }
    }
}

#[test]
fn file_statistics_are_those_nfdump_prints() {
    for (path, text) in files_with("stat.txt") {
        assert_eq!(
            stdout_of(FLOWDUMP, ["-I", "-r", path.to_str().unwrap()]),
            text,
            "{}",
            name(&path)
        );
    }
}

/// Files whose writer was killed: nfdump reads none of them.
#[test]
fn complete_blocks_of_a_crashed_writer_are_read() {
    let Some(corpus) = corpus() else { return };
    for (file, flows, said) in [
        ("171-crashed-lz4", 50_250, "5 complete blocks, 0 octets lost"),
        ("178-crashed-zstd", 40_260, "2 complete blocks, 0 octets lost"),
        ("171-crashed-torn-lz4", 0, "860 octets lost"),
        ("178-crashed-torn-zstd", 0, "860 octets lost"),
    ] {
        let path = corpus.join("nfcapd-files").join(file).with_extension("nfcapd");
        let output = run(FLOWDUMP, ["-q", "-o", "ndjson", "-r", path.to_str().unwrap()]);
        let lines = output.stdout.iter().filter(|b| **b == b'\n').count();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(lines, flows, "{file}: {stderr}");
        // Not closed is worth a line; octets that make no block are a loss.
        let status = i32::from(!stderr.contains(" 0 octets lost"));
        assert_eq!(output.status.code(), Some(status), "{file}: {stderr}");
        assert!(stderr.contains(file) && stderr.contains(said), "{file}: {stderr}");
    }
}
