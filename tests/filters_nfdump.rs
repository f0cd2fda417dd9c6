//! The same filters in `flowdump` and the installed nfdump find the same number of flows: in a
//! generated file, and in example files of real exporters if `FLOWSUITE_CORPUS` names them.

mod common;

use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, corpus, has, run, stdout_of};
use std::path::{Path, PathBuf};

/// Filters both understand. What the installed nfdump rejects is passed over.
const FILTERS: &[&str] = &[
    "any",
    "not any",
    "ipv4",
    "ipv6",
    "not ipv4 and not ipv6",
    "proto tcp",
    "proto 17",
    "proto icmp6",
    "not proto tcp and not proto udp",
    "port 443",
    "not port 443",
    "src port 53 or dst port 53",
    "port > 1024",
    "src port < 1024",
    "dst port in [80 443 8080]",
    "port 80 and proto tcp or port 53 and proto udp",
    "not port 80 and proto tcp",
    "(port 80 or port 443) and not proto udp",
    "icmp-type 8",
    "icmp-type 128 or icmp-code 0",
    "dst port 2048",
    "flags S",
    "flags SA",
    "flags S and not flags A",
    "flags S and not flags AFRPU",
    "flags X",
    "tos 184",
    "src tos 40",
    "dst tos 0",
    "ip 10.7.121.177",
    "src ip 10.7.121.177 or dst ip 10.7.121.177",
    "src host 1.0.0.0",
    "net 10.0.0.0/8",
    "dst net 10.7.0.0/16",
    "net 10.0.0.0 255.0.0.0",
    "net 2001:db8::/32",
    "src net 2a00::/16",
    "not net 10.0.0.0/8",
    "ip in [10.7.121.177 1.0.0.0]",
    "dst ip in [10.0.0.0/8]",
    "next ip 192.0.2.4",
    "router ip 192.0.2.5",
    "packets > 10",
    "packets = 1",
    "bytes < 100",
    "bytes > 10k",
    "out packets > 2",
    "out bytes > 100",
    "pps > 10",
    "bps > 10k",
    "bpp < 100",
    "duration > 1000",
    "duration 0",
    "as 64500",
    "src as 64500",
    "dst as > 100000",
    "src as 0",
    "as in [64500 1]",
    "if 3",
    "in if 101",
    "out if > 100",
    "vlan 100",
    "src vlan 103",
    "mask 24",
    "src mask 16",
    "mac 02:11:22:33:44:00",
    "in src mac 02:00:00:00:00:03",
    "mpls eos 1",
    "flowdir 1",
    "engine-type 0",
    "exporter id 1",
    "fwdstat 64",
    "client latency > 1000",
    "nat ip 198.51.100.2",
    "src nat port > 2000",
    "nat event ADD44",
    "ingress vrf 30",
    "nat pblock start 1024",
    "asa event create",
    "asa event denied",
    "asa xevent > 1000",
    "first seen > 2026-11-20T10:00:10",
    "last seen < 2026-11-20T10:00:30.500",
];

/// Filters that count otherwise: filter, reason. Whoever changes this table changes
/// `docs/compatibility.md`.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "flags S and not flags AFRPU",
        "letters ask for all of the flags here and in 1.7.8, for any of them in 1.7.1",
    ),
    ("dst tos 0", "1.7.1 takes a record without the field for 0, later ones and we do not"),
    ("duration > 1000", "an end before the start counts as 584 million years there, as 0 here"),
    ("duration 0", "as above"),
    ("asa event create", "1.7.1 takes NAT events for firewall events"),
];

fn found(program: &str, file: &Path, filter: &str) -> Option<usize> {
    let args = ["-q", "-r", file.to_str().unwrap(), "-o", "fmt:%ts", filter];
    let output = run(program, args);
    let text = String::from_utf8_lossy(&output.stdout);
    let is_time = |l: &&str| l.starts_with("20") || l.starts_with("19") || l.starts_with("00");
    output.status.success().then(|| text.lines().filter(is_time).count())
}

fn files(scene: &Scene) -> Vec<PathBuf> {
    let generated = scene.path("generated");
    FlowFile { flows: 3000, ..FlowFile::default() }.write(&generated);
    let mut files = vec![generated];
    if let Some(corpus) = corpus() {
        for name in
            ["171-v5-none", "171-v9-none", "171-ipfix-none", "178-v9-none", "178-ipfix-none"]
        {
            files.push(corpus.join("nfcapd-files").join(name).with_extension("nfcapd"));
        }
    }
    files
}

#[test]
fn filters_find_as_many_flows_as_in_nfdump() {
    if !has("nfdump") {
        return;
    }
    let scene = Scene::new();
    let files = files(&scene);
    let (mut compared, mut wrong, mut explained) = (0, Vec::new(), Vec::new());
    for filter in FILTERS {
        for file in &files {
            let Some(theirs) = found("nfdump", file, filter) else { continue };
            let ours = found(FLOWDUMP, file, filter);
            compared += 1;
            if ours == Some(theirs) {
                continue;
            }
            if DIFFERENT.iter().any(|(f, _)| f == filter) {
                explained.push(*filter);
            } else {
                wrong.push(format!("{filter}: {ours:?} here, {theirs} there, {}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 60, "only {compared} comparisons");
    // The table is that of 1.7.1, and some of it takes the records of real exporters.
    let version = run("nfdump", ["-V"]);
    if files.len() > 1 && String::from_utf8_lossy(&version.stdout).contains("1.7.1") {
        for (filter, reason) in DIFFERENT {
            assert!(explained.contains(filter), "no longer different: {filter}: {reason}");
        }
    }
}

/// A filter that finds nothing, or everything, in all files would prove little.
#[test]
fn filters_find_some_flows() {
    let scene = Scene::new();
    let generated = files(&scene).swap_remove(0);
    let none: Vec<_> =
        FILTERS.iter().filter(|f| found(FLOWDUMP, &generated, f) == Some(0)).copied().collect();
    assert!(none.len() <= FILTERS.len() / 8, "{none:?}");
    let all = stdout_of(FLOWDUMP, ["-q", "-r", generated.to_str().unwrap(), "-o", "fmt:%ts"]);
    assert_eq!(all.lines().count(), 3000);
}
