//! Every example file, compared with what real programs say of it: records as JSON, statistics,
//! exporters. Needs the directory of example data in `FLOWSUITE_CORPUS`.

use record::{Addr, ExporterStats, Field, Kind, Row, Sampler};
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

/// A record as sorted `key=value` texts: what both sides are brought to.
type Record = BTreeSet<String>;

/// What JSON has of a row, by the rules of nfdump's output (command line description, 2.8).
fn of_row(row: Row<'_>) -> Record {
    let mut out = Record::new();
    let is_icmp = matches!(row.number(Field::Proto), 1 | 58);
    for field in row.shape().fields() {
        let key = field.def().json;
        let is_skipped = match field {
            // Both extensions with an event time: the parser keeps the last of equal keys.
            Field::FwEventTime => row.has(Field::NatEventTime),
            Field::IcmpType | Field::IcmpCode => !is_icmp,
            Field::SrcPort | Field::DstPort | Field::TcpFlags | Field::FwdStatus => is_icmp,
            _ => NOT_IN_JSON.contains(&field),
        };
        if is_skipped || key.is_empty() {
            continue;
        }
        let n = row.number(field);
        let (key, value) = match field.kind() {
            Kind::Addr => {
                let addr = row.addr(field).unwrap();
                let family = if matches!(addr, Addr::V4(_)) { "4" } else { "6" };
                (key.replace("{}", family), addr.to_string())
            }
            Kind::Mac => (key.into(), row.mac(field).unwrap().to_string()),
            Kind::Time if key == "t_event" => (key.into(), unpadded_time(n)),
            Kind::Time => (key.into(), time(n)),
            Kind::Micros => (key.into(), format!("{:.6}", n as f64 / 1000.0)),
            Kind::Text(_) => {
                (key.into(), String::from_utf8(row.text(field).unwrap().to_vec()).unwrap())
            }
            Kind::Acl => {
                let id = |i: usize| {
                    let b = &row.bytes(field).unwrap()[4 * i..4 * i + 4];
                    format!("{:#x}", u32::from_le_bytes(b.try_into().unwrap()))
                };
                (key.into(), format!("{}/{}/{}", id(0), id(1), id(2)))
            }
            _ if key.starts_with("mpls_") => {
                (key.into(), format!("{}-{}-{}", n >> 4, n >> 1 & 7, n & 1))
            }
            // 1.7.8 prints 32 bits of it.
            _ if field == Field::ObservationPoint => (key.into(), (n as u32).to_string()),
            _ if field == Field::TcpFlags => {
                (key.into(), record::code::TcpFlags(n as u8).to_string())
            }
            _ => (key.into(), n.to_string()),
        };
        out.insert(format!("{key}={value}"));
    }
    let flags = row.number(Field::RecordFlags);
    out.insert(format!("type={}", if flags & 1 != 0 { "EVENT" } else { "FLOW" }));
    out.insert(format!("sampled={}", flags >> 1 & 1));
    out
}

/// Fields that JSON does not show: of the record header, of extensions 18, 27 to 30, 34, 35 and 37,
/// and single ones of extensions 4 and 38.
const NOT_IN_JSON: &[Field] = &[
    Field::EngineType,
    Field::EngineId,
    Field::RecordFlags,
    Field::Source,
    Field::BiflowDir,
    Field::EndReason,
    Field::SelectorId,
    Field::AppId,
    Field::InPayload,
    Field::OutPayload,
    Field::FrameSize,
    Field::LinkType,
    Field::Frame,
    Field::VxLan,
    Field::FragmentFlags,
];

/// What is printed of a record but derived from elsewhere: numbering, look-ups, texts for numbers.
const NOT_IN_ROW: &[&str] = &[
    "cnt",
    "ident",
    "src4_geo",
    "dst4_geo",
    "src6_geo",
    "dst6_geo",
    "src_net",
    "dst_net",
    "event",
    "nat_event",
    "ip_fragment",
    "in_tls",
    "in_sni",
    "in_ja3 hash",
    "in_ja4 hash",
];

fn of_json(object: &Map<String, Value>) -> Record {
    object
        .iter()
        .filter(|(k, _)| !NOT_IN_ROW.contains(&k.as_str()))
        .map(|(k, v)| match v {
            Value::String(s) => format!("{k}={s}"),
            // Latencies are numbers with six decimals.
            Value::Number(n) if k.ends_with("_latency") => {
                format!("{k}={:.6}", n.as_f64().unwrap())
            }
            v => format!("{k}={v}"),
        })
        .collect()
}

fn time(ms: u64) -> String {
    let t = chrono::DateTime::from_timestamp_millis(ms as i64).unwrap();
    t.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

/// nfdump prints the milliseconds of events without zeros in front.
fn unpadded_time(ms: u64) -> String {
    if ms == 0 {
        return "<unknown>.0".into();
    }
    let t = chrono::DateTime::from_timestamp_millis(ms as i64).unwrap();
    format!("{}.{}", t.format("%Y-%m-%dT%H:%M:%S"), ms % 1000)
}

/// Where we differ from the stored JSON on purpose: file name prefix, key, reason.
/// Listed keys are left out on both sides.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("1625-", "sampled", "15.3: nfdump's conversion loses the flag, ours keeps it"),
    ("1625-v9", "type", "15.3: nfdump's conversion loses the event flag, ours keeps it"),
    ("1625-v9", "dst_port", "15.3: extension 37 overwrites the port of TCP and UDP flows there"),
    ("1625-v9", "icmp_type", "15.3: an empty ICMP field in extension 37 overwrites type and code"),
    ("1625-v9", "icmp_code", "15.3: as icmp_type"),
    ("1625-v9", "ingress_acl", "numbers in layout 1, octets in layout 2: nfdump takes one for the other"),
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
        let t = &s.totals;
        let mut want = format!("Ident: {}\n", file.ident());
        for (what, all, groups) in [
            ("Flows", s.flows, t.flows),
            ("Packets", s.packets, t.packets),
            ("Bytes", s.bytes, t.bytes),
        ] {
            want += &format!("{what}: {all}\n");
            for (group, n) in ["tcp", "udp", "icmp", "other"].iter().zip(groups) {
                want += &format!("{what}_{group}: {n}\n");
            }
        }
        want += &format!(
            "First: {}\nLast: {}\nmsec_first: {}\nmsec_last: {}\nSequence failures: {}\n",
            t.first_ms / 1000,
            t.last_ms / 1000,
            t.first_ms % 1000,
            t.last_ms % 1000,
            t.sequence_failures
        );
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
                        if exporters.insert(e.sysid, *e).is_some_and(|old| old != *e) {
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
