//! Every example file, compared with what real programs say of it: records as JSON, statistics,
//! exporters. Needs the directory of example data in `FLOWSUITE_CORPUS`.

mod common;

use common::{Record, of_json, of_row};
use record::{ExporterStats, Sampler};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use store::{Block, BlockReader, FileState, FlowFile, MetaRecord, SalvageReason};

/// The example files, or nothing and a line that says so.
fn examples() -> Vec<PathBuf> {
    let Some(corpus) = std::env::var_os("FLOWSUITE_CORPUS") else {
        println!("skipped: FLOWSUITE_CORPUS not set");
        return Vec::new();
    };
    let mut all: Vec<PathBuf> = fs::read_dir(Path::new(&corpus).join("nfcapd-files"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "nfcapd"))
        .collect();
    all.sort();
    assert!(all.len() > 30, "{} example files", all.len());
    all
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Runs `each` on all blocks of a file, none of which may be damaged.
fn for_blocks(file: &FlowFile, mut each: impl FnMut(&Block<'_>)) {
    let mut reader = BlockReader::new();
    for n in 0..file.blocks().len() {
        let block = reader.load(file, n).unwrap();
        assert_eq!(block.damage(), None, "{} block {n}", file.path().display());
        each(&block);
    }
}

/// Where we differ from the stored JSON on purpose: file name prefix, key, reason.
/// Listed keys are left out on both sides.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("1625-", "sampled", "15.3: nfdump's conversion loses the flag, ours keeps it"),
    ("1625-v9", "type", "15.3: nfdump's conversion loses the event flag, ours keeps it"),
    ("1625-v9", "dst_port", "15.3: extension 37 overwrites the port of TCP and UDP flows there"),
    ("1625-v9", "icmp_type", "15.3: an empty ICMP field in extension 37 overwrites type and code"),
    ("1625-v9", "icmp_code", "15.3: as icmp_type"),
    (
        "1625-v9",
        "ingress_acl",
        "numbers in layout 1, octets in layout 2: nfdump takes one for the other",
    ),
    ("1625-v9", "egress_acl", "as ingress_acl"),
];

fn without<'a>(r: &'a Record, file: &str) -> BTreeSet<&'a str> {
    let listed = |kv: &str| {
        let key = kv.split('=').next().unwrap();
        DIFFERENCES.iter().any(|(f, k, _)| file.starts_with(f) && *k == key)
    };
    r.iter().map(String::as_str).filter(|kv| !listed(kv)).collect()
}

#[test]
fn records_are_those_of_the_json() {
    for path in examples() {
        let json = path.with_extension("json");
        let Ok(text) = fs::read_to_string(&json) else { continue };
        let file = FlowFile::open(&path).unwrap();
        assert_eq!(*file.state(), FileState::Closed);
        // `in_tls` comes without quotes.
        let text = text.replace(": TLS1.2", ": \"TLS1.2\"").replace(": TLS1.3", ": \"TLS1.3\"");
        let all: Vec<Map<String, Value>> = serde_json::from_str(&text).unwrap();
        let mut theirs: Vec<Record> = all.iter().map(of_json).collect();
        let mut ours = Vec::new();
        for_blocks(&file, |block| ours.extend(block.rows.iter().map(of_row)));
        assert!(all.iter().all(|r| r["ident"] == file.ident()), "{}", name(&path));
        theirs.sort();
        ours.sort();
        assert_eq!(ours.len(), theirs.len(), "{}: records", name(&path));
        let mut theirs: Vec<_> = theirs.iter().map(|r| without(r, name(&path))).collect();
        let mut ours: Vec<_> = ours.iter().map(|r| without(r, name(&path))).collect();
        theirs.sort();
        ours.sort();
        for (o, t) in ours.iter().zip(&theirs) {
            let only_ours: Vec<_> = o.difference(t).collect();
            let only_theirs: Vec<_> = t.difference(o).collect();
            assert!(
                only_ours.is_empty() && only_theirs.is_empty(),
                "{}: only ours {only_ours:?}, only theirs {only_theirs:?}",
                name(&path)
            );
        }
    }
}

#[test]
fn statistics_are_those_of_nfdump() {
    for path in examples() {
        let Ok(text) = fs::read_to_string(path.with_extension("stat.txt")) else { continue };
        let file = FlowFile::open(&path).unwrap();
        let s = file.statistics().unwrap();
        let want = common::statistics(file.ident(), s);
        assert_eq!(want, text, "{}", name(&path));
    }
}

/// What `-E` prints of a sampler.
fn sampler_text(s: &Sampler) -> String {
    let who = match s.id {
        Sampler::GENERIC => "Generic Sampler:".to_owned(),
        Sampler::DEFAULT => "Default Sampler:".to_owned(),
        Sampler::OVERRIDE => "Overwrite Sampler:".to_owned(),
        id => format!("Assigned Sampler: id: {id},"),
    };
    format!(
        "    Sampler: {who} algorithm: {}, packet interval: {}, packet space: {}",
        s.algorithm, s.packet_interval, s.space_interval
    )
}

#[test]
fn exporters_are_those_of_nfdump() {
    for path in examples() {
        let Ok(text) = fs::read_to_string(path.with_extension("exporters.txt")) else { continue };
        let file = FlowFile::open(&path).unwrap();
        // The last one of a number counts, and so does the last sampler of an id.
        let mut exporters = BTreeMap::new();
        let mut samplers: BTreeMap<(u32, i64), Sampler> = BTreeMap::new();
        let mut stats: BTreeMap<u32, ExporterStats> = BTreeMap::new();
        for_blocks(&file, |block| {
            for record in block.meta {
                match record {
                    MetaRecord::Exporter(e) => {
                        // In a file that two processes wrote to, the number changes hands.
                        let before = exporters.insert(e.sysid, *e);
                        if before.is_some_and(|old| old != *e) {
                            samplers.retain(|(sysid, _), _| *sysid != e.sysid);
                            stats.remove(&e.sysid);
                        }
                    }
                    MetaRecord::Sampler(s) => {
                        samplers.insert((s.exporter, s.id), *s);
                    }
                    MetaRecord::Stats(all) => {
                        for s in all {
                            let sum = stats.entry(s.sysid).or_default();
                            sum.packets += s.packets;
                            sum.flows += s.flows;
                            sum.sequence_failures += s.sequence_failures;
                        }
                    }
                    _ => {}
                }
            }
        });
        let mut want = BTreeSet::new();
        for e in exporters.values() {
            let version = match e.version {
                9999 => "sflow".to_owned(),
                10 => "ipfix v10".to_owned(),
                7 => "Unknown version".to_owned(), // what nfdump makes of v7
                n => format!("netflow v{n}"),
            };
            let s = stats.get(&e.sysid).copied().unwrap_or_default();
            let tail = match s.packets {
                0 => " - no flows sent".to_owned(),
                _ => format!(
                    ", Sequence failures: {}, packets: {}, flows: {}",
                    s.sequence_failures, s.packets, s.flows
                ),
            };
            want.insert(format!(
                "SysID: {}, IP: {}, version: {version}, ID: {}{tail}",
                e.sysid, e.addr, e.id
            ));
        }
        want.extend(samplers.values().map(sampler_text));
        let lines: BTreeSet<String> = text
            .lines()
            .filter(|l| *l != "No Exporter records found" && !l.is_empty())
            .map(|l| match l.starts_with("SysID") {
                true => l.split_whitespace().collect::<Vec<_>>().join(" "),
                false => l.to_owned(),
            })
            .collect();
        assert_eq!(want, lines, "{}", name(&path));
    }
}

#[test]
fn crashed_files_give_their_complete_blocks() {
    for path in examples() {
        let (flows, lost) = match name(&path) {
            "171-crashed-lz4" => (50_250, 0),
            "178-crashed-zstd" => (40_260, 0),
            n if n.contains("crashed-torn") => (0, 860),
            _ => continue,
        };
        let file = FlowFile::open(&path).unwrap();
        let FileState::Salvaged { complete_blocks, bytes_lost, reason } = *file.state() else {
            panic!("{}: closed", name(&path));
        };
        assert_eq!(reason, SalvageReason::NotClosed);
        assert_eq!(complete_blocks, file.blocks().len());
        assert_eq!(bytes_lost, lost, "{}", name(&path));
        assert_eq!(file.totals(), None);
        let mut n = 0;
        for_blocks(&file, |block| n += block.rows.len());
        assert_eq!(n, flows, "{}", name(&path));
    }
}

#[test]
fn verifying_finds_nothing_wrong_with_closed_files() {
    for path in examples() {
        let v = store::verify::verify(&path).unwrap();
        assert_eq!(v.is_sound(), !name(&path).contains("crashed"), "{}", name(&path));
        assert!(v.blocks.iter().all(|b| b.result.as_ref().unwrap().is_sound));
    }
}
