//! Files beside the flows: nobody else trips over them, and our own reports of them.

mod common;

use common::answers::{json, number, text};
use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, has, run, stdout_of};
use record::{Addr, InterfaceCounters, InterfaceSample};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use store::counters::Recorder;
use store::loss::{Account, ExporterStatement, Loss, Place, Statement};

/// Slots of the tree: two sources, one of them with directories by day.
const SLOTS: [&str; 3] = ["202604101200", "202604101205", "202604111200"];

/// Moments of the samples: 2026-04-10 12:00:00 UTC and later.
const NOON_MS: u64 = 1_775_822_400_000;

fn flow_file(dir: &Path, slot: &str) -> String {
    let day = format!("{}-{}-{}", &slot[..4], &slot[4..6], &slot[6..8]);
    let name =
        if dir.ends_with("b") { format!("{day}/nfcapd.{slot}") } else { format!("nfcapd.{slot}") };
    fs::create_dir_all(dir.join(&name).parent().unwrap()).unwrap();
    FlowFile::default().write(&dir.join(&name));
    name
}

/// A tree of flow files, with all kinds of side files or without.
fn tree(scene: &Scene, name: &str, has_side_files: bool) -> PathBuf {
    let base = scene.dir(name);
    for source in ["a", "b"] {
        let dir = base.join(source);
        fs::create_dir(&dir).unwrap();
        for slot in SLOTS {
            let file = flow_file(&dir, slot);
            if has_side_files {
                statement(&file).append(&dir).unwrap();
                // In a directory by day nfexpire would find it when it removes the directory.
                if source == "a" {
                    let damaged = store::side::path(&dir.join(&file), "damaged");
                    fs::write(&damaged, "what was left of it").unwrap();
                }
            }
        }
        if has_side_files {
            record(&dir);
            fs::write(dir.join(".flowsuite-index.20260410.no-pcap"), "of versions to come")
                .unwrap();
        }
    }
    base
}

fn statement(file: &str) -> Statement {
    let loss = |place, what: &str, count| Loss {
        place,
        what: what.to_owned(),
        unit: "datagrams".to_owned(),
        count,
        shared: false,
    };
    let exporter = |address: &str, lost| {
        let datagrams =
            Account { received: 90, missing: 10, kept: 90, ..Account::new("datagrams") };
        let flows = Account { received: 1000, kept: 1000 - lost, ..Account::new("flows") };
        ExporterStatement {
            number: 1,
            address: address.parse().unwrap(),
            version: 9,
            id: 7,
            accounts: vec![datagrams, flows.lost(Place::Disk, "not written", lost)],
        }
    };
    Statement {
        file: file.to_owned(),
        ident: "lab".to_owned(),
        received: 180,
        stored: 2000,
        losses: vec![loss(Place::Kernel, "Socket drops", 20)],
        exporters: vec![exporter("192.0.2.1", 5), exporter("192.0.2.2", 500)],
        ..Statement::default()
    }
}

/// Samples of two interfaces every 20 seconds of a minute: 1 and 100 Mbit/s in, on 1 Gbit/s.
fn record(dir: &Path) {
    // The day is that of the zone of this process: noon is far from its ends.
    let mut recorder = Recorder::new(dir);
    for n in 0..4u64 {
        for (index, octets) in [(1, 2_500_000), (2, 250_000_000)] {
            recorder.add(&sample(NOON_MS + 20_000 * n, index, octets * n)).unwrap();
        }
    }
    // The device starts again, and its counters with it.
    recorder.add(&sample(NOON_MS + 80_000, 1, 500)).unwrap();
    recorder.flush().unwrap();
}

fn sample(time_ms: u64, index: u32, octets: u64) -> InterfaceSample {
    let input = InterfaceCounters {
        octets: (1 << 40) * u64::from(octets != 500) + octets,
        unicast: (octets / 1000) as u32,
        errors: (octets / 2_500_000) as u32,
        ..InterfaceCounters::default()
    };
    InterfaceSample {
        time_ms,
        exporter: 1,
        agent: Addr::V4(0xC000_0201),
        index,
        kind: 6,
        speed: 1_000_000_000,
        direction: 1,
        status: 3,
        input,
        output: InterfaceCounters { octets: 7, ..InterfaceCounters::default() },
        unknown_protos: 0,
        is_promiscuous: false,
    }
}

/// What a program said, with the name of its tree taken out.
fn said_of(tree: &Path, program: &str, args: &[String]) -> String {
    let output = run(program, args);
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8_lossy(&all).replace(tree.to_str().unwrap(), "TREE");
    // Times of the run are others each time.
    let is_kept = |l: &&str| !l.is_empty() && !l.starts_with("Sys:") && !l.starts_with("Wall:");
    let kept: Vec<&str> = all.lines().filter(is_kept).collect();
    format!("{:?}\n{}", output.status.code(), kept.join("\n"))
}

/// All flow files that are left in a tree.
fn left(tree: &Path) -> Vec<String> {
    let output =
        Command::new("find").arg(tree).args(["-name", "nfcapd.????????????"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut all: Vec<String> =
        text.lines().map(|l| l.trim_start_matches(tree.to_str().unwrap()).to_owned()).collect();
    all.sort();
    all
}

#[test]
fn nfdump_and_nfexpire_see_no_difference() {
    let scene = Scene::new();
    let (with, without) = (tree(&scene, "with", true), tree(&scene, "without", false));
    assert_eq!(left(&with).len(), 6);
    let is_same = |program: &str, args: &[&str]| {
        if !has(program) {
            return println!("skipped: no {program} here");
        }
        let [a, b] = [&with, &without].map(|tree| {
            let root = tree.to_str().unwrap();
            let args: Vec<String> = args.iter().map(|a| a.replace("TREE", root)).collect();
            (said_of(tree, program, &args), left(tree))
        });
        assert_eq!(a, b, "{program} {args:?}");
        assert!(!a.0.contains("flowsuite") && !a.0.contains("no-pcap"), "{a:?}");
    };
    for args in [
        &["-R", "TREE"][..],
        &["-R", "TREE/a"],
        &["-R", "TREE/b"],
        &["-r", "TREE/a"],
        &["-R", "TREE/a/nfcapd.202604101200:nfcapd.202604111200", "-s", "srcip"],
        &["-M", "TREE/a:b", "-R", ".", "-o", "csv"],
        &["-M", "TREE/a:b", "-r", "nfcapd.202604101205"],
        &["-R", "TREE", "-I"],
        &["-R", "TREE", "-q", "-o", "fmt:%sa", "-t", "2026/04/10"],
    ] {
        is_same("nfdump", args);
        is_same(FLOWDUMP, args);
    }
    for args in [
        &["-l", "TREE/a"][..],
        &["-r", "TREE/a"],
        &["-r", "TREE/b"],
        &["-u", "TREE/a", "-t", "52w"],
        &["-l", "TREE/a"],
        &["-e", "TREE/b", "-s", "200k"],
        &["-e", "TREE/a", "-s", "400k", "-w", "90"],
        &["-r", "TREE/a"],
        &["-R", "TREE/a"],
    ] {
        is_same("nfexpire", args);
    }
    if has("nfexpire") {
        assert_eq!(left(&with).len(), 3, "one file of b, with the directory of its day, two of a");
        assert!(!with.join("b/2026-04-10").exists());
    }
    for source in ["a", "b"] {
        let counters = with.join(source).join(".flowsuite-counters.20260410.no-pcap");
        assert!(counters.exists(), "they are our own to expire");
        let listed = Command::new("ls").arg(with.join(source)).output().unwrap();
        assert!(!String::from_utf8_lossy(&listed.stdout).contains("flowsuite"), "not listed");
    }
}

#[test]
fn exporters_that_lost_most_are_told_first() {
    let scene = Scene::new();
    let base = tree(&scene, "with", true);
    let at = base.to_str().unwrap();
    let people = stdout_of(FLOWDUMP, ["--where-lost", "-R", at]);
    assert!(people.contains("Lost in all: 120 datagrams, kernel: Socket drops"), "{people}");
    let (first, second) = (people.find("192.0.2.2"), people.find("192.0.2.1"));
    assert!(first.is_some() && first < second, "{people}");
    // For programs as before, one table.
    let files = json(&["--where-lost", "-R", at]);
    assert_eq!(files.len(), 6);
    assert!(files.iter().all(|l| l.get("exporter").is_none() && number(l, "lost") == 20));
    let exporters = json(&["--where-lost=exporters", "-R", at]);
    let told: Vec<_> = exporters
        .iter()
        .map(|l| (text(l, "exporter"), text(l, "place"), number(l, "lost"), number(l, "received")))
        .collect();
    let want = [
        ("192.0.2.2", "network", 60, 540),
        ("192.0.2.2", "disk", 3000, 6000),
        ("192.0.2.1", "network", 60, 540),
        ("192.0.2.1", "disk", 30, 6000),
    ];
    assert_eq!(told, want);
    assert_eq!(json(&["--where-lost=exporters", "-n", "1", "-R", at]).len(), 2);
}

fn counters(args: &[&str]) -> String {
    stdout_of(FLOWDUMP, args)
}

#[test]
fn sums_rates_and_samples_of_interfaces() {
    let scene = Scene::new();
    let base = tree(&scene, "with", true).join("a");
    let at = base.to_str().unwrap();
    let csv = counters(&["--counters", "-R", at, "-o", "csv"]);
    let want = "agent,if_index,interface,speed,samples,restarts,seconds,in_bytes,out_bytes,in_bps,\
                out_bps,in_peak_bps,out_peak_bps,in_pps,out_pps,in_util,out_util,in_errors,\
                out_errors,in_discards,out_discards\n\
                192.0.2.1,2,,1000000000,4,0,60,750000000,0,100000000,0,100000000,0,12500,0,10.0,\
                0.0,300,0,0,0\n\
                192.0.2.1,1,,1000000000,5,1,60,7500000,0,1000000,0,1000000,0,125,0,0.1,0.0,3,0,0,0\n";
    assert_eq!(csv, want);
    let rates = json(&["--counters=rates", "-R", at]);
    assert_eq!(rates.len(), 6, "three changes of each, none over the restart");
    assert!(rates.iter().all(|r| [1_000_000, 100_000_000].contains(&number(r, "in_bps"))));
    let samples = counters(&["--counters=samples", "-R", at, "-o", "ndjson", "-n", "3"]);
    assert_eq!(samples.lines().count(), 3);
    let line = r#"{ "time" : "2026-04-10T12:00:00.000", "agent" : "192.0.2.1", "if_index" : 1, "#;
    assert!(samples.starts_with(line), "{samples}");
    let bins = json(&["--counters", "--bin", "30s", "-R", at]);
    let of: Vec<_> = bins.iter().map(|b| (number(b, "if_index"), number(b, "samples"))).collect();
    assert_eq!(of, [(2, 2), (1, 2), (2, 1), (1, 1), (2, 1), (1, 2)]);
    assert_eq!(json(&["--counters", "-n", "1", "-R", at]).len(), 1);
}

#[test]
fn counters_are_those_of_the_files_and_of_the_window() {
    let scene = Scene::new();
    let base = tree(&scene, "with", true);
    let a = base.join("a");
    let file = |name: &str| a.join(name).to_str().unwrap().to_owned();
    let samples = |args: &[&str]| json(&[&["--counters=samples"][..], args].concat()).len();
    assert_eq!(samples(&["-r", &file("nfcapd.202604101200")]), 9);
    assert_eq!(samples(&["-r", &file("nfcapd.202604101205")]), 0, "of another slot");
    assert_eq!(samples(&["-R", &file("nfcapd.202604111200")]), 0, "of another day");
    assert_eq!(samples(&["-R", base.to_str().unwrap()]), 18, "of both sources");
    let both = format!("{}/a:b", base.to_str().unwrap());
    assert_eq!(samples(&["-M", &both, "-r", "nfcapd.202604101200"]), 9 * 2);
    let window = "2026/04/10.12:00:20-2026/04/10.12:01:00";
    assert_eq!(samples(&["-R", a.to_str().unwrap(), "-t", window]), 4);
    // Without flow files, those of the directory.
    for slot in SLOTS {
        fs::remove_file(a.join(format!("nfcapd.{slot}"))).unwrap();
    }
    assert_eq!(samples(&["-R", a.to_str().unwrap()]), 9);
    fs::remove_file(a.join(".flowsuite-counters.20260410.no-pcap")).unwrap();
    let none = stdout_of(FLOWDUMP, ["--counters", "-R", a.to_str().unwrap()]);
    assert!(none.contains("No counters of interfaces"), "{none}");
}

#[test]
fn damaged_counters_are_told() {
    let scene = Scene::new();
    let a = tree(&scene, "with", true).join("a");
    let path = a.join(".flowsuite-counters.20260410.no-pcap");
    let mut octets = fs::read(&path).unwrap();
    octets[60] ^= 1;
    fs::write(&path, octets).unwrap();
    let output = run(FLOWDUMP, ["--counters", "-R", a.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("1 blocks of counters are damaged"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
