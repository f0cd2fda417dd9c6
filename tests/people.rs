//! What people meet: help, explanations, colours, zones, messages, interruptions, full disks.

mod common;

use common::answers::{flowdump, json};
use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, run, stdout_of};
use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};

fn file_of(flows: u64) -> (Scene, String) {
    let scene = Scene::new();
    let path = scene.path("flows");
    FlowFile { flows, ..FlowFile::default() }.write(&path);
    let path = path.to_str().unwrap().to_owned();
    (scene, path)
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_has_groups_and_fits_100_columns() {
    for option in ["-h", "--help"] {
        let help = flowdump(&[option]);
        for group in [
            "Input:",
            "Filter:",
            "Statistics and groups:",
            "Output:",
            "Files:",
            "Configuration:",
            "Examples:",
        ] {
            assert!(help.lines().any(|l| l == group), "no {group} in {option}");
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{option}: {line}");
        }
        assert!(help.contains("--percentile <P>") && help.contains("Exit status:"));
    }
}

/// The examples of the help do what they say, on files of ours.
#[test]
fn examples_of_the_help_work() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    FlowFile { flows: 200, ..FlowFile::default() }.write(&dir.join("nfcapd.202604101200"));
    let help = flowdump(&["-h"]);
    let examples: Vec<&str> = help.lines().filter_map(|l| l.strip_prefix("  flowdump ")).collect();
    assert!(examples.len() >= 8, "{examples:?}");
    for example in examples {
        let command = example.split("   ").next().unwrap();
        let line = command.replace("/var/flows", "flows").replace("-r nfcapd", "-r flows/nfcapd");
        let output = Command::new("sh")
            .args(["-c", &format!("{FLOWDUMP} {line}")])
            .current_dir(scene.path(""))
            .output()
            .unwrap();
        assert_eq!(said(&output), "", "{command}");
        assert!(output.status.success(), "{command}");
    }
}

#[test]
fn filters_are_explained() {
    let told = flowdump(&["--explain", "src net 10/8 and port in [80 443]"]);
    assert!(told.contains("src net 10.0.0.0/8 and port in [80, 443]"), "{told}");
    assert!(told.contains("source address") && told.contains("source port"), "{told}");
    let wrong = run(FLOWDUMP, ["--explain", "prto tcp"]);
    assert_eq!(wrong.status.code(), Some(254));
    assert!(said(&wrong).contains("line 1, column 1") && wrong.stdout.is_empty());
}

#[test]
fn schemas_say_what_is_printed() {
    let (_scene, file) = file_of(50);
    let names = |schema: &Value| -> Vec<String> {
        let all = schema["columns"].as_array().expect("columns");
        all.iter().map(|c| c["name"].as_str().expect("name").to_owned()).collect()
    };
    for of in [&[][..], &["-s", "srcip/bytes"], &["-s", "srcip/ipkg"]] {
        let read = |format: &str| -> Value {
            let text = flowdump(&[&["--schema", format, "-o", "json"], of].concat());
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
        };
        for format in ["csv", "csv-fast"] {
            let printed = flowdump(&[&["-r", &file, "-o", format], of].concat());
            let header: Vec<&str> = printed.lines().next().unwrap().split(',').collect();
            assert_eq!(names(&read(format)), header, "{format} {of:?}");
            let text = flowdump(&[&["--schema", format], of].concat());
            assert!(text.starts_with("Schema ") && header.iter().all(|n| text.contains(n)));
        }
        for format in ["json", "ndjson"] {
            let schema = read(format);
            assert_eq!(schema["schema_version"], 1);
            let names = names(&schema);
            for object in json(&[&["-r", &file], of].concat()) {
                for key in object.as_object().unwrap().keys() {
                    // The key of the value is the name of the element.
                    let is_known = names.contains(key) || (!of.is_empty() && key == "srcip");
                    assert!(is_known, "{key} is not in the schema of {format} {of:?}");
                }
            }
        }
    }
    // Tables with columns of their own.
    for of in [
        &["--bin", "1m"][..],
        &["--bin", "1m", "-s", "srcip"],
        &["--bin", "1h", "-A", "srcip,dstport"],
        &["--percentile", "95", "-s", "srcip"],
        &["-s", "srcip/distinct:dstip/distinct:dstport"],
        &["-A", "srcip,proto"],
    ] {
        let schema = flowdump(&[&["--schema", "csv", "-o", "json"], of].concat());
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let printed = flowdump(&[&["-r", &file, "-o", "csv"], of].concat());
        let header: Vec<&str> = printed.lines().next().unwrap().split(',').collect();
        assert_eq!(names(&schema), header, "{of:?}");
        for column in schema["columns"].as_array().unwrap() {
            assert_ne!(column["meaning"], "", "{of:?}: {column}");
        }
    }
}

#[test]
fn colours_are_for_text_alone() {
    let (_scene, file) = file_of(100);
    for of in
        [&[][..], &["-s", "srcip/bytes"], &["--bin", "1m"], &["-a"], &["-s", "ip/distinct:dstip"]]
    {
        let print = |format: &str, color: &str| {
            let text = flowdump(&[&["-r", &file, "-o", format, "--color", color], of].concat());
            text.lines().filter(|l| !l.contains("Sys: ")).map(|l| format!("{l}\n")).collect()
        };
        for format in ["csv", "csv-fast", "json", "ndjson", "raw"] {
            let (plain, coloured): (String, String) =
                (print(format, "never"), print(format, "always"));
            assert!(plain == coloured, "{format} {of:?}");
        }
        let (plain, coloured): (String, String) = (print("line", "never"), print("line", "always"));
        assert!(!plain.contains('\x1b') && coloured.contains('\x1b'), "{of:?}");
        let mut without = String::new();
        for part in coloured.split_inclusive('m') {
            match part.rsplit_once("\x1b[") {
                Some((before, sgr)) => {
                    let digits = sgr.trim_end_matches('m');
                    assert!(digits.bytes().all(|b| b.is_ascii_digit() || b == b';'), "{sgr}");
                    without.push_str(before);
                }
                None => without.push_str(part),
            }
        }
        assert!(without == plain, "{of:?}: colours change nothing but colours");
        assert!(print("line", "auto") == plain, "a pipe is no terminal");
    }
}

#[test]
fn zones_hold_for_everything_read_and_printed() {
    let (_scene, file) = file_of(600);
    let count = |args: &[&str]| json(&[&["-r", &file], args].concat()).len();
    let utc = count(&["-t", "2026/11/20.10:00:10-2026/11/20.10:00:20"]);
    assert!((10..590).contains(&utc), "{utc}");
    for (zone, hour, offset) in [
        ("Europe/Zurich", 11, "2026-11-20T11:00:00"),
        ("-02:30", 7, "2026-11-20T07:30:00"),
        ("UTC", 10, "2026-11-20T10:00:00"),
    ] {
        let minute = if zone == "-02:30" { 30 } else { 0 };
        let at = |s| format!("{hour:02}:{minute:02}:{s}");
        let window = format!("2026/11/20.{}-2026/11/20.{}", at(10), at(20));
        assert_eq!(count(&["--tz", zone, "-t", &window]), utc, "-t {zone}");
        let filter =
            format!("first seen > 2026-11-20T{} and last seen < 2026-11-20T{}", at(10), at(20));
        assert_eq!(count(&["--tz", zone, &filter]), utc, "filter {zone}");
        let bins = json(&["-r", &file, "--tz", zone, "--bin", "1m"]);
        assert_eq!(bins[1]["start"], format!("{offset}.000"), "{zone}");
        let first = flowdump(&[
            "-q", "-r", &file, "--tz", zone, "-O", "tstart", "-o", "fmt:%ts", "-n", "1",
        ]);
        let hour = if zone == "UTC" {
            9
        } else if zone == "-02:30" {
            7
        } else {
            10
        };
        assert!(first.starts_with(&format!("2026-11-20 {hour:02}:")), "{zone}: {first}");
    }
}

#[test]
fn names_stand_for_numbers() {
    let (_scene, file) = file_of(100);
    let list = |options: &[&str]| flowdump(&[&["-q", "-r", &file], options].concat());
    let (named, plain) = (list(&["--names"]), list(&[]));
    assert!(named.contains(".https ") && !plain.contains("https"), "{named}");
    let csv = list(&["--names", "-o", "csv:%pr,%dp"]);
    assert!(csv.lines().any(|l| l == "TCP,https"), "{csv}");
    for flow in json(&["-r", &file, "--names"]) {
        assert!(flow["proto"].is_string(), "text in every record: {flow}");
    }
    assert_eq!(run(FLOWDUMP, ["-r", &file, "--names", "-N"]).status.code(), Some(1));
}

/// A list that waits for its reader is interrupted: what it has is printed, and it is whole.
#[test]
fn an_interrupted_run_prints_what_it_has() {
    let (_scene, file) = file_of(30_000);
    for (format, is_told_in_data) in [("json", false), ("line", true)] {
        let mut child = Command::new(FLOWDUMP)
            .args(["-r", &file, "-o", format, "-W", "2"])
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start flowdump");
        let (mut out, mut first) = (child.stdout.take().unwrap(), [0; 1000]);
        out.read_exact(&mut first).expect("the beginning");
        stdout_of("kill", ["-s", "INT", &child.id().to_string()]);
        let mut text = String::from_utf8(first.to_vec()).unwrap();
        out.read_to_string(&mut text).expect("text");
        let output = child.wait_with_output().expect("wait");
        assert_eq!(output.status.code(), Some(130), "{format}");
        assert!(said(&output).contains("interrupted"), "{}", said(&output));
        assert_eq!(said(&output).lines().count(), 1);
        if is_told_in_data {
            assert!(text.lines().count() < 30_000 && text.contains("Summary: "), "{format}");
        } else {
            let all: Vec<Value> = serde_json::from_str(&text).expect("one whole array");
            assert!((1..30_000).contains(&all.len()), "{} records", all.len());
        }
    }
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let (scene, file) = file_of(3000);
    let old = scene.path("old");
    fs::write(&old, "something older").unwrap();
    for more in [&[][..], &["-z"], &["-a"], &["-O", "bytes"], &["-c", "100"]] {
        // Files of at most 8 blocks of 512 octets, and an error rather than a signal.
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh", FLOWDUMP, "-r", &file])
            .args(["-w", old.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{more:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{more:?}: {said}");
        assert!(said.contains("old") && said.contains("make room"), "{more:?}: {said}");
        assert_eq!(fs::read(&old).unwrap(), b"something older", "{more:?}");
        let names = fs::read_dir(scene.path("")).unwrap().count();
        assert_eq!(names, 2, "{more:?}: nothing is left beside it");
    }
}

#[test]
fn directories_of_other_things_are_told_in_a_line() {
    let scene = Scene::new();
    let dir = scene.dir("mixed");
    FlowFile { flows: 30, ..FlowFile::default() }.write(&dir.join("nfcapd.202611201000"));
    for (name, what) in [("a.txt", "some text"), ("b.gz", "\u{1f}\u{8}"), ("c", "\n"), ("d", "")] {
        fs::write(dir.join(name), what).unwrap();
    }
    fs::create_dir(dir.join("empty")).unwrap();
    let output = run(FLOWDUMP, ["-q", "-R", dir.to_str().unwrap(), "-o", "ndjson"]);
    assert_eq!(output.stdout.iter().filter(|b| **b == b'\n').count(), 30);
    assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
    assert!(said(&output).contains("no flow files"), "{}", said(&output));
}

#[test]
fn a_directory_that_cannot_be_read_is_named() {
    let scene = Scene::new();
    let dir = scene.dir("closed");
    fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o000)).unwrap();
    let program = scene.path("flowdump");
    common::copy_program(FLOWDUMP, &program);
    let mut command = Command::new(&program);
    command.args(["-q", "-R", dir.to_str().unwrap()]);
    if fs::read_dir(&dir).is_ok() {
        // Root reads everything; somebody else does not.
        command.uid(65_534).gid(65_534);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
    assert!(said(&output).contains("closed"), "{}", said(&output));
}

#[test]
fn memory_that_does_not_suffice_is_told_and_top_n_needs_little() {
    let (_scene, file) = file_of(20_000);
    for args in [
        &["-s", "record/bytes"][..],
        &["-s", "srcip/packets"],
        &["-A", "srcip,srcport", "-O", "bytes"],
    ] {
        let print = |more: &[&str]| {
            let all = [&["-q", "-r", &file, "-o", "json"], args, more].concat();
            run(FLOWDUMP, all)
        };
        let (free, little) = (print(&["-n", "10"]), print(&["-n", "10", "--memory", "1M"]));
        assert!(little.status.success() && free.stdout == little.stdout, "{args:?}");
    }
    for args in [
        &["-s", "record/bytes", "-n", "0"][..],
        &["-a"],
        &["-s", "srcport/distinct:dstport"],
        &["--percentile", "95", "--bin", "1s", "-A", "srcip,srcport"],
    ] {
        let all = [&["-q", "-r", &file, "--memory", "300K", "-o", "json"], args].concat();
        let output = run(FLOWDUMP, all);
        let said = said(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{args:?}: {said}");
        assert!(said.contains("memory") && said.contains("--memory"), "{args:?}: {said}");
        assert_eq!(output.stdout, b"", "{args:?}: no half answer");
    }
}

#[test]
fn every_error_says_in_a_line_what_and_what_to_do() {
    let (_scene, file) = file_of(20);
    for (args, what, hint) in [
        (&["--bin", "5x"][..], "'5x'", "as in 5m"),
        (&["--bin", "0s"], "'0s'", "as in 5m"),
        (&["--bin", "1s", "-w", "x"], "-w", "use one of them"),
        (&["--percentile", "200", "-s", "ip"], "'200'", "from 1 to 99.9"),
        (&["--percentile", "95"], "--percentile", "-s"),
        (&["-s", "srcip/distinct:zebra"], "distinct:zebra", "srcip, dstport"),
        (&["-s", "zebra"], "zebra", "known are: record"),
        (&["--tz", "Atlantis"], "Atlantis", "Europe/Zurich"),
        (&["--tz", "+99:00"], "+99:00", "+02:00"),
        (&["--schema", "zebra"], "'zebra'", "csv, json"),
        (&["--schema", "csv", "--where-lost"], "--where-lost", "first line of CSV"),
        (&["-K=@/nonexistent"], "/nonexistent", "key"),
        (&["-K="], "passphrase", "1 to"),
        (&["--memory", "0"], "'0'", "500M"),
        (&["--memory", "many"], "'many'", "500M"),
        (&["-J", "zebra"], "`zebra`", "zstd"),
        (&["-i", "a b"], "`a b`", "write `_`"),
        (&["-G", "/nonexistent"], "/nonexistent", "cannot read"),
        (&["-H", "/nonexistent"], "/nonexistent", "cannot read"),
        (&["-C", "/nonexistent"], "/nonexistent", "configuration"),
        (&["-t", "2026/13"], "2026/13", "YYYY/MM/dd"),
        (&["-w", "x", "-z=zebra"], "`zebra`", "lz4"),
    ] {
        let output = run(FLOWDUMP, [&["-r", &file], args].concat());
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        assert!(said.starts_with("flowdump: "), "{args:?}: {said}");
        assert!(said.contains(what) && said.contains(hint), "{args:?}: {said}");
        assert!(said.len() < 1000 && output.stdout.is_empty(), "{args:?}: {said}");
    }
    // Nothing was written or changed.
    assert!(stdout_of(FLOWDUMP, ["-I", "-r", &file]).starts_with("Ident: lab\n"));
}
