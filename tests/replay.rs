//! Exports of real devices, played over UDP to `flowcapd`: the files have the flows, octets and
//! packets that nfcapd stored, or a reason why not.
//!
//! Needs the folder of example files in `FLOWSUITE_CORPUS`. What each record looks like is compared
//! beside the decoder; this is about what becomes of it on the way into a file.

mod common;

use bench::capture::Datagram;
use common::capd::{Capd, DAY, send_from};
use common::{FLOWDUMP, Scene, corpus, flow_files, stdout_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// Flows, octets and packets.
type Counts = [u64; 3];

/// Sets of which we store something else than nfcapd 1.7.8, and why.
const EXPLAINED: &[(&str, Counts, &str)] = &[
    ("ipfix/logstash-codec-netflow/ipfix", [12, 13279, 54], "three messages in one datagram"),
    (
        "ipfix/vflow/vflow_ipfix_multi",
        [4, 92800, 1600],
        "messages whose length is not the datagram's: what is there is read",
    ),
    (
        "ipfix/pmacct/104-IPFIXv10-IPv6-CISCO-sampling_option_traffic-00",
        [3, 2_721_792, 30976],
        "1 of 256, announced in options data with names of variable length",
    ),
    (
        "ipfix/generated/softflowd-v10-bidir_test",
        [45, 63620, 166],
        "biflows: a flow for each direction",
    ),
    (
        "ipfix/generated/softflowd-v10-bidir_v6",
        [8, 40670, 81],
        "biflows: a flow for each direction",
    ),
    (
        "ipfix/generated/softflowd-vpsamp_test",
        [179, 64677, 176],
        "packet sections: what the headers say",
    ),
    (
        "ipfix/logstash-codec-netflow/ipfix_test_yaf",
        [4, 596, 10],
        "biflows: a flow for each direction",
    ),
    (
        "netflow-v5/generated/softflowd-v1_test",
        [43, 62128, 156],
        "29 records of v1 in one datagram are read",
    ),
    (
        "netflow-v5/logstash-codec-netflow/netflow5_test_invalid01",
        [30, 3_685_383_960, 529_620],
        "a count beyond the datagram: the 30 records that are there are read",
    ),
    (
        "netflow-v5/logstash-codec-netflow/netflow5_test_invalid02",
        [30, 7_452_936_707, 8_336_652_083],
        "a count beyond the datagram: the 30 records that are there are read",
    ),
    (
        "netflow-v9/graylog-plugin-netflow/nprobe-netflow9-4",
        [15, 33915, 74],
        "data before its template, which comes in a later datagram",
    ),
    (
        "netflow-v9/python-netflow-v9-softflowd/bitkeks_v9_mixed",
        [8, 164_207, 208],
        "data before its template in the same datagram",
    ),
];

/// Sets and what nfcapd stored of them.
fn sets(corpus: &Path) -> Vec<(String, Counts)> {
    let text = std::fs::read_to_string(corpus.join("expected/SUMMARY.tsv")).expect("SUMMARY.tsv");
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().expect("header");
    let at = |name: &str| names.iter().position(|n| *n == name).expect("column");
    let columns = ["flows", "bytes", "packets"].map(|n| at(&format!("nfcapd178_{n}")));
    let counts = |cells: &[&str]| columns.map(|c| cells[c].parse().expect("number"));
    let all = lines.filter(|cells| {
        ["ipfix/", "netflow-v5/", "netflow-v9/", "nfd/"]
            .iter()
            .any(|folder| cells[0].starts_with(folder))
    });
    let sets: Vec<_> = all.map(|cells| (cells[0].to_owned(), counts(&cells))).collect();
    assert!(sets.len() > 90, "{} sets only", sets.len());
    sets
}

/// Payloads of a set that are exports, by sender in order of appearance. Captures hold other
/// traffic, too.
fn exports<'a>(datagrams: &'a [Datagram<'a>]) -> Vec<(IpAddr, &'a [u8])> {
    let is_export = |d: &&Datagram<'_>| matches!(d.payload, [0, 1 | 5 | 9 | 10 | 250, ..]);
    datagrams.iter().filter(is_export).map(|d| (d.from.ip(), d.payload)).collect()
}

/// What is in the files below a directory. The sums of the records and those that the files say of
/// themselves are the same.
fn stored(dir: &Path, set: &str) -> Counts {
    let mut counts = Counts::default();
    for file in flow_files(dir) {
        let file = file.to_str().expect("text");
        let list = stdout_of(FLOWDUMP, ["-q", "-r", file, "-o", "ndjson"]);
        let objects = list.lines().filter_map(|line| serde_json::from_str(line).ok());
        let mut sums = [Counts::default(); 2];
        objects.for_each(|object: Value| {
            let number = |key: &str| object.get(key).and_then(Value::as_u64).unwrap_or(0);
            for (sums, way) in sums.iter_mut().zip(["in", "out"]) {
                sums[0] += u64::from(way == "in");
                sums[1] += number(&format!("{way}_bytes"));
                sums[2] += number(&format!("{way}_packets"));
            }
        });
        let info = stdout_of(FLOWDUMP, ["-I", "-r", file]);
        let said = ["Flows", "Bytes", "Packets"].map(|name| {
            let line = info.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")));
            line.and_then(|n| n.parse::<u64>().ok()).expect("a sum")
        });
        // Files count both directions.
        assert_eq!(said, [0, 1, 2].map(|n| sums[0][n] + sums[1][n]), "{set}: {file}");
        counts = [0, 1, 2].map(|n| counts[n] + sums[0][n]);
    }
    counts
}

#[test]
fn real_exports_are_stored_as_nfcapd_stores_them() {
    let Some(corpus) = corpus() else { return };
    let scene = Scene::new();
    let dir = scene.dir("ipv4");
    // One collector with a source for each sender. 127/8 has room for all exporters of all sets;
    // of IPv6 there is but one address, so these sets get a collector each.
    let all = Capd::start_with(&scene, "ipv4", dir.clone(), &["-M", dir.to_str().unwrap(), DAY]);
    let mut results: BTreeMap<String, Counts> = BTreeMap::new();
    let (mut dirs, mut sent) = (BTreeMap::new(), 0);
    let sets = sets(&corpus);
    for (n, (set, _)) in sets.iter().enumerate() {
        let file = std::fs::read(corpus.join(format!("{set}.pcap"))).expect("capture");
        let datagrams = bench::capture::datagrams(&file).expect("a capture");
        let exports = exports(&datagrams);
        if exports.iter().any(|(from, _)| from.is_ipv6()) {
            let capd = Capd::start(&scene, &format!("ipv6 {n}"), &[DAY]);
            let payloads: Vec<_> = exports.iter().map(|(_, payload)| *payload).collect();
            assert!(exports.windows(2).all(|w| w[0].0 == w[1].0), "{set}: one exporter");
            send_from(Ipv6Addr::LOCALHOST.into(), capd.port, &payloads);
            let dir = capd.dir.clone();
            assert_eq!(capd.stop().get("Total packets received"), payloads.len() as u64, "{set}");
            results.insert(set.clone(), stored(&dir, set));
            continue;
        }
        let mut senders = Vec::new();
        for (from, payload) in &exports {
            let known = senders.iter().position(|s| s == from);
            let sender = known.unwrap_or_else(|| {
                senders.push(*from);
                senders.len() - 1
            });
            send_from([127, 1, n as u8, 1 + sender as u8].into(), all.port, &[payload]);
            sent += 1;
        }
        let names = (1..=senders.len()).map(|s| dir.join(format!("127-1-{n}-{s}")));
        dirs.insert(set, names.collect::<Vec<_>>());
    }
    let account = all.stop();
    assert_eq!(account.get("Total packets received"), sent);
    assert_eq!(account.get("Bad Packets"), 0);
    assert_eq!(account.get("ignored packets") + account.get("Socket drops"), 0);
    for (set, dirs) in dirs {
        let counts = dirs.iter().map(|dir| stored(dir, set));
        let sum = counts.fold(Counts::default(), |a, b| [0, 1, 2].map(|n| a[n] + b[n]));
        results.insert(set.clone(), sum);
    }

    let mut report = String::new();
    for (set, nfcapd) in &sets {
        let ours = results[set];
        let explained = EXPLAINED.iter().find(|e| e.0 == set);
        let want = explained.map_or(*nfcapd, |e| e.1);
        if ours != want {
            let _ = writeln!(report, "{set}: {ours:?} here, {want:?} expected");
        }
        if explained.is_some_and(|_| ours == *nfcapd) {
            let _ = writeln!(report, "{set}: no longer differs from nfcapd");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}
