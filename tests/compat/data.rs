//! Flow files of the comparison, from tables of flows in text.

use crate::common::flows::{FlowFile, START_MS};
use record::{Addr, Exporter, ExporterStats, Field, Flow, FlowSink, Kind, Meta, Sampler};
use std::net::IpAddr;
use std::path::Path;
use store::{Writer, WriterOptions};

/// The tables of flows, by the name of the file they become.
const TABLES: &[(&str, &str)] = &[
    ("v5", include_str!("flows/v5.txt")),
    ("v9", include_str!("flows/v9.txt")),
    ("bi", include_str!("flows/bi.txt")),
    ("late", include_str!("flows/late.txt")),
    ("tun", include_str!("flows/tun.txt")),
    ("payload", include_str!("flows/payload.txt")),
    ("exp", include_str!("flows/exp.txt")),
    ("nat", include_str!("flows/nat.txt")),
    ("dst", include_str!("flows/dst.txt")),
];

/// Makes all files of the comparison below `dir`: those of [`TABLES`], `mixed` with generated
/// traffic, `empty`, `all` with copies of some, and three slots of two exporters in `flat` and,
/// with a directory for each day, in `tree`; and in `side` a file with what a collector says of it.
pub(crate) fn write(dir: &Path) {
    for (name, table) in TABLES {
        from_table(table, &dir.join(name));
    }
    let mixed = FlowFile { flows: 400, ..FlowFile::default() };
    mixed.write(&dir.join("mixed"));
    FlowFile { flows: 0, ..mixed }.write(&dir.join("empty"));
    std::fs::create_dir_all(dir.join("all")).expect("create directory");
    for name in ["v5", "v9", "bi"] {
        std::fs::copy(dir.join(name), dir.join("all").join(name)).expect("copy");
    }
    FlowFile { flows: 12, ..mixed }.write(&dir.join("all/gen"));
    for (seed, router) in [(2, "r1"), (3, "r2")] {
        for (n, slot) in ["1000", "1005", "1010"].iter().enumerate() {
            let flows = 3 + n as u64;
            let file = FlowFile { flows, seed, ident: router, ..FlowFile::default() };
            for at in ["flat", "tree/2026/11/20"] {
                let (root, below) = at.split_once('/').unwrap_or((at, ""));
                let to = dir.join(root).join(router).join(below);
                std::fs::create_dir_all(&to).expect("create directory");
                file.write(&to.join(format!("nfcapd.20261120{slot}")));
            }
        }
    }
    let side = dir.join("side");
    std::fs::create_dir_all(&side).expect("create directory");
    std::fs::copy(dir.join("v5"), dir.join("side/nfcapd.202611201000")).expect("copy");
    std::fs::write(side.join(".flowsuite-loss.20261120.no-pcap"), "{}").expect("write");
    let conf = "[nfdump]\nfmt.mine = \"%sa %da %byt\"\nfmt.wide = \"%sap %dap %tos\"\n\
                csv.pair = \"%sa,%da\"\ncsv.short = \"%ts,%sa,%byt\"\nmaxworkers = 1\n";
    let texts = [
        ("conf", conf),
        ("odd", "[nfdump]\nzebra = 1\n"),
        ("list", "192.0.2.53 10.1.0.0/24\n2001:db8::/64\n"),
        ("ports", "53\n443 # web\n"),
        ("outer", "proto tcp and\n@include filter\n"),
        ("loop", "@include loop\n"),
        ("filter", "proto udp # names\nand port 53\n"),
        ("wrong", "proto tcp and\nfoo\n"),
    ];
    for (name, text) in texts {
        std::fs::write(dir.join(name), text).expect("write");
    }
}

/// Writes a file of a table: a `file` line, `exporter` and `sampler` lines, a line of what all flows have, and
/// a line for each flow.
fn from_table(table: &str, path: &Path) {
    let mut lines = table.lines().filter(|l| !l.starts_with('#'));
    let ident = lines.next().and_then(|l| l.strip_prefix("file ident=")).expect("file line");
    let options = WriterOptions {
        ident: ident.into(),
        created_secs: START_MS / 1000,
        ..WriterOptions::default()
    };
    let mut writer = Writer::create(path, &options).expect("create flow file");
    let (mut common, mut stats) = (None, Vec::new());
    for line in lines {
        if let Some(line) = line.strip_prefix("exporter ") {
            let (exporter, flows) = exporter(line);
            writer.meta(Meta::Exporter(exporter));
            let sysid = exporter.sysid;
            stats.push(ExporterStats { sysid, sequence_failures: 0, packets: 10, flows });
            continue;
        }
        if let Some(line) = line.strip_prefix("sampler ") {
            writer.meta(Meta::Sampler(sampler(line)));
            continue;
        }
        let Some(common) = common else {
            common = Some(line);
            continue;
        };
        let mut flow = Flow::new();
        for word in common.split(' ').chain(line.split(' ')) {
            set(&mut flow, word);
        }
        writer.flow(&flow);
    }
    let closed = writer.close(&stats).expect("close flow file");
    assert_eq!(closed.dropped.all(), 0, "{table}");
}

/// An exporter, and the flows it sent: 5 unless it says.
fn exporter(line: &str) -> (Exporter, u64) {
    let mut of = values(line);
    let mut next = || of.next().expect("sysid, version, addr, id");
    let number = |s: &str| s.parse().expect("number");
    let exporter = Exporter {
        sysid: number(next()),
        version: number(next()),
        addr: addr(next()),
        id: number(next()),
    };
    (exporter, of.next().map_or(5, |s| s.parse().expect("flows")))
}

fn sampler(line: &str) -> Sampler {
    let mut of = values(line);
    let mut next = || of.next().and_then(|s| s.parse::<i64>().ok()).expect("sysid, id, ...");
    let small = |n: i64| u32::try_from(n).expect("number");
    Sampler {
        exporter: small(next()),
        id: next(),
        algorithm: small(next()) as u16,
        packet_interval: small(next()),
        space_interval: small(next()),
    }
}

/// What stands behind the `=` of all words.
fn values(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ').map(|w| w.split_once('=').expect("name=value").1)
}

/// Sets the field of a `Name=value`. Times are milliseconds behind [`START_MS`].
fn set(flow: &mut Flow, word: &str) {
    let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word}"));
    let field = Field::ALL.iter().copied().find(|f| format!("{f:?}") == name);
    let field = field.unwrap_or_else(|| panic!("no field {name}"));
    let number = || value.parse::<u64>().unwrap_or_else(|e| panic!("{word}: {e}"));
    let was_set = match field.kind() {
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Micros => flow.set(field, number()),
        Kind::Time => flow.set(field, START_MS + number()),
        Kind::Mac => flow.set(field, u64::from_str_radix(value, 16).expect("hexadecimal")),
        Kind::Addr => {
            flow.set_addr(field, addr(value));
            true
        }
        Kind::Acl => flow.set_bytes(field, &hex(&value.replace('/', ""))),
        Kind::Bytes => flow.set_bytes(field, &hex(value)),
        Kind::Text(_) => flow.set_bytes(field, value.as_bytes()),
    };
    assert!(was_set, "{word}");
}

fn addr(text: &str) -> Addr {
    match text.parse().unwrap_or_else(|e| panic!("{text}: {e}")) {
        IpAddr::V4(a) => Addr::V4(a.into()),
        IpAddr::V6(a) => Addr::V6(a.into()),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let octet = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(octet).collect()
}
