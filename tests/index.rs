//! Indexes of flow files: answers are the same with and without them, and what cannot match is not
//! read.

mod common;

use common::capd::{Capd, DAY};
use common::exports::{ipfix, v9};
use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, has, run, stdout_of};
use record::{Addr, Exporter, Field, Flow, FlowSink as _, Meta};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use store::{Writer, WriterOptions};

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Three files of two stretches each, in a directory of their day.
fn archive(scene: &Scene) -> PathBuf {
    let base = scene.dir("archive");
    let dir = scene.dir("archive/2026/04/10");
    for n in 0..3_u64 {
        let name = format!("nfcapd.20260410120{}", n * 5 % 10);
        let name = if n == 2 { "nfcapd.202604101210".to_owned() } else { name };
        let packing = ["none", "lz4", "zstd"][n as usize];
        FlowFile { flows: 40_000, seed: n, step_ms: 7, packing, ..FlowFile::default() }
            .write(&dir.join(name));
    }
    base
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn ask(dir: &Path, args: &[&str]) -> String {
    let output = run(FLOWDUMP, [&["-R", text(dir)], args].concat());
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// An answer less what it took.
fn answer(dir: &Path, args: &[&str]) -> String {
    let cut = |line: &str| match line.split_once(", Blocks skipped:") {
        Some((before, _)) => before.to_owned(),
        None => line.to_owned(),
    };
    let all = ask(dir, args);
    all.lines().filter(|l| !l.starts_with("Sys: ")).map(cut).collect::<Vec<_>>().join("\n")
}

/// Numbers behind a word of the summary.
fn number(summary: &str, word: &str) -> u64 {
    let (_, rest) = summary.split_once(word).unwrap_or_else(|| panic!("no {word} in {summary}"));
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("number")
}

#[test]
fn answers_are_the_same_with_an_index_and_without() {
    let scene = Scene::new();
    let dir = archive(&scene);
    // A host that is there, and what it translates to.
    let hosts = ask(&dir, &["-q", "-s", "srcip", "-n", "40", "-o", "csv:%sa"]);
    assert!(hosts.lines().count() > 30);
    let filters = [
        "any",
        "host 203.0.113.200",
        "host 2001:db8:ffff::1",
        "src nat ip 198.51.100.2 and src nat port 2000",
        "src nat ip 198.51.100.2 and src nat port 60000",
        "port 443 and proto tcp",
        "proto 99",
        "net 203.0.113.0/24",
        "bytes > 1000000000000",
        "not host 203.0.113.200",
        "src as 1 or dst as 2",
        "next ip 192.0.2.77",
        "in if 4000000000",
        "mpls label1 16001",
        "nat event add",
        "count < 30 and proto tcp",
    ];
    let questions = [
        &["-o", "csv"][..],
        &["-s", "record/bytes", "-s", "dstport/flows", "-n", "5"],
        &["-A", "srcip,proto", "-O", "bytes", "-n", "5"],
        &["-O", "tstart", "-c", "700", "-o", "line"],
        &["-t", "2026/11/20.10:00:00-2026/11/20.10:01:00", "-o", "json"],
        &["-o", "fmt:%nfc %ts %sap %ra %exp", "-c", "50"],
        &["--bin", "1m", "-o", "csv"],
    ];
    let before: Vec<String> =
        filters.iter().flat_map(|f| questions.map(|q| answer(&dir, &[q, &[f]].concat()))).collect();
    let built = ask(&dir, &["--index", "build"]);
    assert_eq!(built, "3 files indexed, 0 were before, 0 cannot be\n");
    let mut before = before.iter();
    for filter in filters {
        for question in questions {
            let args = [question, &[filter]].concat();
            let without = before.next().expect("answer");
            assert_eq!(&answer(&dir, &args), without, "{args:?}");
            let one = [&args[..], &["-W", "1"]].concat();
            assert_eq!(&answer(&dir, &one), without, "{one:?}");
        }
    }
}

#[test]
fn what_cannot_match_is_not_read() {
    let scene = Scene::new();
    let dir = archive(&scene);
    assert_eq!(ask(&dir, &["--index", "build"]), "3 files indexed, 0 were before, 0 cannot be\n");
    assert_eq!(ask(&dir, &["--index", "build"]), "0 files indexed, 3 were before, 0 cannot be\n");
    for (filter, is_read) in [
        ("host 203.0.113.200", false),
        ("proto 99", false),
        ("src nat ip 198.51.100.2 and src nat port 60000", false),
        ("net 203.0.114.0/24", false),
        ("bytes > 1000000000000000", false),
        ("next ip 192.0.2.77", false),
        ("proto tcp", true),
    ] {
        let summary = ask(&dir, &["-s", "srcip", filter]);
        let read = number(&summary, "Bytes read:");
        assert_eq!(read > 0, is_read, "{filter}: {summary}");
        let without = ask(&dir, &["--no-index", "-s", "srcip", filter]);
        assert!(number(&without, "Bytes read:") > 1_000_000, "{filter}");
        let explained = ask(&dir, &["--explain", filter]);
        let (left_out, blocks) = if is_read { ("0", "blocks") } else { ("3", "0 of their ") };
        let want = format!("3 of 3 files have one: {left_out} of these are not opened");
        assert!(explained.contains(&want) && explained.contains(blocks), "{explained}");
    }
    // By time, a part of a file.
    let early = ["-s", "srcip", "first seen < '2026-11-20T10:00:30'"];
    let summary = ask(&dir, &early);
    let without = ask(&dir, &[&early[..], &["--no-index"]].concat());
    let (some, all) = (number(&summary, "Bytes read:"), number(&without, "Bytes read:"));
    assert!(0 < some && some < all, "{some} of {all}");
}

#[test]
fn indexes_are_checked_dropped_and_made_anew() {
    let scene = Scene::new();
    let dir = archive(&scene);
    let file = dir.join("2026/04/10/nfcapd.202604101205");
    let index = dir.join(".flowsuite-index.20260410.no-pcap");
    let work = |what: &str| run(FLOWDUMP, ["-R", text(&dir), "--index", what]);
    assert_eq!(work("build").status.code(), Some(0));
    let check = work("check");
    let right = "3 files with a right index, 0 without one, 0 with a wrong one, 0 not readable\n";
    assert_eq!((said(&check).as_str(), check.status.code()), (right, Some(0)));
    // Compressed again: another state of the file.
    stdout_of(FLOWDUMP, ["-r", text(&file), "-J", "bz2"]);
    let check = work("check");
    assert!(said(&check).starts_with("2 files with a right index, 1 without one"), "{check:?}");
    assert_eq!(check.status.code(), Some(1));
    assert!(said(&work("build")).starts_with("1 files indexed, 2 were before"));
    // An octet of a set of addresses.
    let mut octets = fs::read(&index).expect("index");
    let at = octets.len() - 5000;
    octets[at] ^= 4;
    fs::write(&index, &octets).expect("index");
    let check = work("check");
    assert!(said(&check).contains("1 with a wrong one"), "{check:?}");
    assert!(said(&check).contains("drop it and build it again"), "{check:?}");
    assert!(said(&work("drop")).starts_with("1 indexes dropped"));
    assert!(!index.exists());
    assert!(said(&work("check")).starts_with("0 files with a right index, 3 without one"));
    // What is damaged, or has no day, is told and left out; the others are indexed.
    let whole = fs::read(&file).expect("file");
    fs::write(&file, &whole[..whole.len() / 2]).expect("file");
    let build = work("build");
    assert_eq!(build.status.code(), Some(1));
    assert!(said(&build).contains("2 files indexed, 0 were before, 1 cannot be"), "{build:?}");
    assert!(said(&build).contains("nfcapd.202604101205"), "{build:?}");
}

#[test]
fn archives_of_nfcapd_are_indexed_and_nobody_trips_over_it() {
    if !has("nfdump") {
        return;
    }
    let scene = Scene::new();
    let dir = archive(&scene);
    let theirs = scene.dir("theirs");
    for name in ["nfcapd.202604101200", "nfcapd.202604101205"] {
        let from = dir.join("2026/04/10").join(name);
        stdout_of("nfdump", ["-r", text(&from), "-w", text(&theirs.join(name)), "-z"]);
    }
    assert!(ask(&theirs, &["--index", "build"]).starts_with("2 files indexed"));
    let summary = ask(&theirs, &["-s", "srcip", "host 203.0.113.200"]);
    assert_eq!(number(&summary, "Bytes read:"), 0);
    let count = |program: &str| {
        let flows = stdout_of(program, ["-q", "-R", text(&theirs), "-o", "fmt:%sa"]);
        flows.lines().count()
    };
    assert_eq!((count("nfdump"), count(FLOWDUMP)), (80_000, 80_000));
}

/// As many octets, other addresses, and the time it had: what an index knew must not hold any more.
#[test]
fn an_index_never_outlives_what_a_file_said() {
    const ANON: &str = env!("CARGO_BIN_EXE_flowanon");
    const OTHER_KEY: &str = "654321zyxwvutsrqponmlkjihgfedcba";
    const KEY: &str = "abcdefghijklmnopqrstuvwxyz123456";
    let scene = Scene::new();
    let base = scene.dir("archive");
    let dir = scene.dir("archive/2026/11/20");
    let file = dir.join("nfcapd.202611201000");
    FlowFile { flows: 500, ident: "none", ..FlowFile::default() }.write(&file);
    let size = || file.metadata().expect("file").len();
    stdout_of(ANON, ["-K", OTHER_KEY, "-r", text(&file)]);
    let before = size();
    // Once from each directory: that of the collector, and that of the file.
    let build = || {
        ask(&base, &["--index", "build"]);
        ask(&dir, &["--index", "build"]);
    };
    build();
    let indexes = [&base, &dir].map(|d| d.join(".flowsuite-index.20261120.no-pcap"));
    let hosts = || ask(&dir, &["--no-index", "-q", "-s", "srcip", "-n", "0", "-o", "csv:%sa"]);
    let old = hosts();
    // An index that somebody has put back is there, and says nothing.
    let index = fs::read(&indexes[0]).expect("index");
    let args = ["-K", KEY, "-r", text(&file), "--again", "--keep", "side-files"];
    stdout_of(ANON, args);
    fs::write(&indexes[0], &index).expect("index");
    assert_eq!(size(), before, "the test wants files of the same size");
    let new: Vec<String> = hosts().lines().map(str::to_owned).collect();
    assert!(new.len() > 20 && new.iter().filter(|host| old.contains(*host)).count() < 10);
    for host in new.iter().skip(1).take(20) {
        let filter = format!("src ip {host}");
        let count = |args: &[&str]| ask(&base, &[args, &["-q", "-o", "csv:%sa", &filter]].concat());
        let found = count(&[]);
        assert!(found.contains(host.as_str()), "{host}");
        assert_eq!(found, count(&["--no-index"]));
    }
    assert!(indexes.iter().any(|index| index.exists()));
    // In place, it goes: of a file, and of a directory.
    for (n, read) in [&file, &base].into_iter().enumerate() {
        build();
        ask(&dir, &["--index", "build"]);
        assert!(indexes.iter().any(|index| index.exists()), "{n}");
        stdout_of(ANON, ["-K", KEY, "-r", text(read), "--again"]);
        assert!(!indexes.iter().any(|index| index.exists()), "{n}");
    }
}

/// A file of one flow whose exporter has number 1, as in all of them, and an address of its own.
fn of_exporter(path: &Path, n: u32) {
    let options = WriterOptions { created_secs: 1_795_168_800, ..WriterOptions::default() };
    let mut writer = Writer::create(path, &options).expect("create");
    let addr = Addr::V4(0xc000_0200 + n);
    writer.meta(Meta::Exporter(Exporter { sysid: 1, version: 9, addr, id: 7 }));
    let mut flow = Flow::new();
    for (field, n) in [(Field::First, 1), (Field::Last, 2), (Field::Packets, 1), (Field::Bytes, 40)]
    {
        flow.set(field, n);
    }
    flow.set(Field::ExporterId, 1);
    flow.set_addr(Field::SrcAddr, Addr::V4(0x0a00_0000 + n));
    flow.set_addr(Field::DstAddr, Addr::V4(0x0a00_0000));
    writer.flow(&flow);
    writer.close(&[]).expect("close");
}

#[test]
fn what_is_written_names_the_same_exporters_with_an_index_and_without() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    for n in 1..4 {
        of_exporter(&dir.join(format!("nfcapd.20261120100{n}")), n);
    }
    assert!(ask(&dir, &["--index", "build"]).starts_with("3 files indexed"));
    for (n, more) in [&[][..], &["-O", "bytes"], &["-A", "srcip"]].into_iter().enumerate() {
        let written = |name: &str, option: &[&str]| {
            let out = scene.path(format!("{name}{n}"));
            ask(&dir, &[&["-w", text(&out), "src ip 10.0.0.3"], more, option].concat());
            let flows = stdout_of(FLOWDUMP, ["-q", "-r", text(&out), "-o", "json"]);
            (flows, stdout_of(FLOWDUMP, ["-E", text(&out)]))
        };
        let with = written("with", &[]);
        assert!(with.0.contains("10.0.0.3") && with.1.contains("192.0.2.3"), "{with:?}");
        assert_eq!(with, written("without", &["--no-index"]), "{more:?}");
    }
}

/// Who had an address is the same with an index, and so is that nobody had it.
#[test]
fn who_had_an_address_is_found_by_it() {
    let scene = Scene::new();
    let dir = archive(&scene);
    let flownatd = env!("CARGO_BIN_EXE_flownatd");
    let ask = |addr: &str| {
        let at = "2026-11-20T10:01:00";
        let asked = format!("{addr},any,{at}");
        let who = ["-c", "none", "who", "--json", addr, "any", at, text(&dir)];
        [run(FLOWDUMP, ["-R", text(&dir), "--nat-who", &asked, "-o", "json"]), run(flownatd, who)]
            .map(|output| (said(&output), output.status.code()))
    };
    let addresses = ["198.51.100.2", "198.51.100.77", "203.0.113.1"];
    let before = addresses.map(ask);
    assert!(before[0][0].0.contains("\"holders\"") && before[0][0].1 == Some(0), "{before:?}");
    assert_eq!((before[1][0].1, before[1][1].1), (Some(1), Some(1)), "{before:?}");
    assert!(stdout_of(FLOWDUMP, ["-R", text(&dir), "--index", "build"]).starts_with("3 files"));
    assert_eq!(addresses.map(ask), before);
}

#[test]
fn collectors_index_what_they_write() {
    let scene = Scene::new();
    for (name, options, has_index) in [
        ("with", &[][..], true),
        ("packs-itself", &["-W", "1", "-S", "1"], true),
        ("without", &["--no-index"], false),
    ] {
        let dir = scene.dir(name);
        let to = dir.to_str().expect("text").to_owned();
        let capd =
            Capd::start_with(&scene, name, dir.clone(), &[&["-w", &to, DAY], options].concat());
        capd.send((0..20).map(|n| v9(1, n, n * 20..(n + 1) * 20, n == 0)));
        capd.send([ipfix(2, 0, 400..420, true)]);
        capd.wait_for_flows(420);
        capd.stop();
        let check = run(FLOWDUMP, ["-R", &to, "--index", "check"]);
        let (right, missing) = if has_index { (1, 0) } else { (0, 1) };
        let want = format!(
            "{right} files with a right index, {missing} without one, 0 with a wrong one, 0 not readable\n"
        );
        assert_eq!(String::from_utf8_lossy(&check.stdout), want, "{name}: {}", said(&check));
        for filter in ["host 203.0.113.200", "proto 99", "src ip 10.0.0.7", "port 443", "any"] {
            for question in [&["-o", "csv"][..], &["-s", "srcip/flows", "-n", "3"], &["-I"]] {
                let args = [question, &[filter]].concat();
                let without = [&["--no-index"], &args[..]].concat();
                assert_eq!(answer(&dir, &args), answer(&dir, &without), "{name}: {args:?}");
            }
        }
        let explained = ask(&dir, &["--explain", "host 203.0.113.200"]);
        let line = explained.lines().last().expect("line");
        let left_out =
            if has_index { "1 of 1 files have one: 1 of these" } else { "0 of 1 files have one" };
        assert!(line.contains(left_out), "{name}: {line}");
    }
}
