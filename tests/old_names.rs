//! `flowdump` under its own name and under that of nfdump: exit statuses, and what stands where
//! scripts look.

mod common;

use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, run, stdout_of};
use std::fs;
use std::path::PathBuf;

/// A scene with a file of flows, a file that is none, and a link named `nfdump`.
fn scene() -> (Scene, PathBuf, String, String) {
    let scene = Scene::new();
    let link = scene.path("nfdump");
    std::os::unix::fs::symlink(FLOWDUMP, &link).expect("link");
    let (file, garbage) = (scene.path("flows"), scene.path("garbage"));
    FlowFile { flows: 20, ..FlowFile::default() }.write(&file);
    fs::write(&garbage, "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let text = |p: &PathBuf| p.to_str().unwrap().to_owned();
    let (file, garbage) = (text(&file), text(&garbage));
    (scene, link, file, garbage)
}

#[test]
fn exit_statuses_are_ours_or_those_of_nfdump_1_7_8() {
    let (_scene, nfdump, file, garbage) = scene();
    let (f, g) = (file.as_str(), garbage.as_str());
    for (args, ours, theirs) in [
        (&[][..], 0, 0),
        (&["-h"], 0, 0),
        (&["-V"], 0, 0),
        (&["-r", f], 0, 0),
        (&["-r", f, "port 1 and port 2"], 0, 0),
        (&["-Y"], 1, 0),
        (&["--zebra"], 1, 0),
        (&["-I"], 0, 0),
        (&["-r", "/nonexistent"], 1, 1),
        (&["-r", g], 1, 0),
        (&["-I", "-r", g], 1, 250),
        (&["-v", g], 1, 1),
        (&["-v", "/nonexistent"], 1, 1),
        (&["-E", "/nonexistent"], 1, 1),
        (&["-r", f, "-w", "/nonexistent/flows"], 1, 0),
        (&["-r", f, "-R", f], 1, 1),
        (&["-r", f, "-s", "zebra"], 1, 1),
        (&["-r", f, "-o", "zebra"], 1, 1),
        (&["-r", f, "-O", "zebra"], 1, 1),
        (&["-r", f, "-A", "zebra"], 1, 1),
        (&["-r", f, "-t", "zebra"], 1, 1),
        (&["-r", f, "-c", "0"], 1, 1),
        (&["-r", f, "-n", "-1"], 1, 1),
        (&["-r", f, "-G", "/nonexistent"], 1, 1),
        (&["-r", f, "-C", "/nonexistent"], 1, 1),
        (&["-r", f, "-b", "-A", "srcip"], 1, 1),
        (&["-r", f, "-i", "a b"], 1, 1),
        (&["-r", f, "zebra"], 254, 254),
        (&["-r", f, "-P", "zebra", "-a"], 254, 254),
        (&["-Z", "port 65536"], 254, 254),
        (&["-r", f, "-f", "/nonexistent"], 255, 255),
        (&["-r", f, "@include /nonexistent"], 255, 255),
    ] {
        for (program, want) in [(FLOWDUMP.into(), ours), (nfdump.clone(), theirs)] {
            let output = run(&program, args);
            let (out, err) = (&output.stdout, &output.stderr);
            let said = String::from_utf8_lossy(err);
            assert_eq!(output.status.code(), Some(want), "{program:?} {args:?}: {said}");
            assert!(want == 0 || !err.is_empty(), "{program:?} {args:?} fails without a word");
            assert!(want < 2 || out.is_empty() || program == nfdump, "{args:?}: no data");
        }
    }
}

#[test]
fn under_the_old_name_a_wrong_filter_is_told_where_scripts_look() {
    let (_scene, nfdump, _, _) = scene();
    let output = run(&nfdump, ["-Z", "port 80 and zebra"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Line 1: syntax error at 'zebra'\n");
    let output = run(FLOWDUMP, ["-Z", "port 80 and zebra"]);
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}

#[test]
fn configuration_names_formats_and_is_checked() {
    let (scene, _, file, _) = scene();
    let config = scene.path("conf");
    fs::write(&config, "[nfdump]\nfmt.mine = \"%sp to %dp\"\n[nfcapd]\nmaxworkers = 2\n").unwrap();
    let config = config.to_str().unwrap();
    let args = ["-C", config, "-r", &file, "-q", "-c", "1"];
    let mine = stdout_of(FLOWDUMP, args.iter().chain(&["-o", "mine"]));
    assert_eq!(mine, stdout_of(FLOWDUMP, args.iter().chain(&["-o", "fmt:%sp to %dp"])));
    let output = run(FLOWDUMP, ["-r", &file, "-C", "none", "-o", "mine"]);
    assert_eq!(output.status.code(), Some(1), "the configuration is not read");
    fs::write(config, "[flowdump]\nfmts.mine = \"%sp\"\n").unwrap();
    let output = run(FLOWDUMP, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("fmts") && said.contains("line 2"), "{said}");
}

#[test]
fn times_are_in_the_zone_asked_for() {
    let (_scene, _, file, _) = scene();
    let first = |zone: &[&str]| {
        let args = ["-r", &file, "-q", "-c", "1", "-o", "fmt:%ts"];
        stdout_of(FLOWDUMP, args.iter().chain(zone)).trim().to_owned()
    };
    assert_eq!(first(&[]), "2026-11-20 09:59:47.094", "tests run in UTC");
    assert_eq!(first(&["--tz", "+02:00"]), "2026-11-20 11:59:47.094");
    assert_eq!(first(&["--tz", "-0330"]), "2026-11-20 06:29:47.094");
    assert_eq!(first(&["--tz", "utc"]), "2026-11-20 09:59:47.094");
    let count = |zone: &str, filter: &str| {
        let args = ["-r", &file, "-q", "-o", "ndjson", "--tz", zone, filter];
        stdout_of(FLOWDUMP, args).lines().count()
    };
    let (utc, east) = ("2026-11-20T09:59:55", "2026-11-20T11:59:55");
    let in_utc = count("UTC", &format!("first seen >= {utc}"));
    assert!((1..20).contains(&in_utc), "{in_utc} of 20");
    assert_eq!(count("+02:00", &format!("first seen >= {east}")), in_utc, "filters, too");
    let output = run(FLOWDUMP, ["-r", &file, "--tz", "Atlantis"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn files_are_described_in_a_line_each() {
    let scene = Scene::new();
    for (n, slot) in ["202611201000", "202611201005"].iter().enumerate() {
        let flows = 10 * (n as u64 + 1);
        let path = scene.path(format!("nfcapd.{slot}"));
        FlowFile { flows, seed: 3, ..FlowFile::default() }.write(&path);
    }
    let printed = stdout_of(FLOWDUMP, ["-g", "-R", scene.path("").to_str().unwrap()]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "# yyyy-mm-dd HH:MM:SS,flows,packets,bytes");
    assert!(lines[1].starts_with("2026-11-20 10:00:00,10,"), "{printed}");
    assert!(lines[2].starts_with("2026-11-20 10:05:00,20,"), "{printed}");
    assert_eq!(lines.len(), 3);
}

/// NfSen's installer reads the version so: `/Version:\s(\d)\.(\d+)/`, 1.6 at least.
#[test]
fn under_old_names_the_version_is_said_as_nfsen_reads_it() {
    let (_scene, nfdump, _, _) = scene();
    let said = stdout_of(&nfdump, ["-V"]);
    assert!(said.starts_with("nfdump: Version: 1.7.8 (flowsuite "), "{said}");
    assert!(!stdout_of(FLOWDUMP, ["-V"]).contains("1.7.8"), "under its own name it has its own");
}
