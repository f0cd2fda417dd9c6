//! `flowexpire` on trees of files: beside nfexpire on copies of them, and where nfexpire does not go.

mod common;

use common::capd::DAY;
use common::{Scene, has, run, stdout_of, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const FLOWEXPIRE: &str = env!("CARGO_BIN_EXE_flowexpire");

/// The name of a file half an hour older than so many hours, so that a slow machine does not get
/// from one hour into the next.
fn name(hours_ago: i64) -> String {
    static NOW: OnceLock<i64> = OnceLock::new();
    let now = *NOW.get_or_init(|| i64::try_from(sys::clock::now_ms() / 1000).unwrap());
    let time = now - now % 60 - 1800 - hours_ago * 3600;
    let time = chrono::DateTime::from_timestamp(time, 0).unwrap();
    time.format("nfcapd.%Y%m%d%H%M").to_string()
}

/// Puts a file of some blocks into a directory; `by_day` into one for its day.
fn write(base: &Path, hours_ago: i64, by_day: bool, blocks: usize) -> PathBuf {
    let name = name(hours_ago);
    let digits = name.trim_start_matches("nfcapd.");
    let dir = match by_day {
        true => base.join(format!("{}/{}/{}", &digits[..4], &digits[4..6], &digits[6..8])),
        false => base.to_owned(),
    };
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(&name);
    fs::write(&path, vec![1; 4096 * blocks]).unwrap();
    path
}

/// Files of 1 to 3 blocks, one for each hour, the oldest first.
fn fill(base: &Path, hours: i64, by_day: bool) {
    for n in (0..hours).rev() {
        write(base, n, by_day, 1 + n as usize % 3);
    }
}

/// Everything below a directory, relative to it.
fn tree(base: &Path) -> BTreeSet<String> {
    let (mut all, mut open) = (BTreeSet::new(), vec![base.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let path = entry.path();
            all.insert(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            }
        }
    }
    all
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What was printed, without what cannot be equal: the base, the hour of no files at all, and the
/// watermark that nfexpire shows before it has set one.
fn said(stdout: &[u8], base: &Path) -> String {
    let said = String::from_utf8_lossy(stdout).replace(text(base), "TREE");
    let said = said.replace("Watermark: 0%", "Watermark: 95%");
    let is_empty = said.contains("Numfiles:  0\n");
    let depends = ["First:", "Last:", "Expired time range:"];
    let keep = |line: &&str| !is_empty || !depends.iter().any(|d| line.starts_with(d));
    let mut lines: Vec<&str> = said.lines().filter(keep).collect();
    // nfexpire goes through a profile in the order of the disk.
    let head = lines.iter().take_while(|l| l.contains("TREE")).count();
    lines[..head].sort_unstable();
    lines.join("\n")
}

/// Each `.nfstat` below a directory, the same way.
fn books(base: &Path) -> Vec<String> {
    let of = |name: &String| {
        let stat = fs::read_to_string(base.join(name)).unwrap();
        let stat = stat.replace("watermark=0\n", "watermark=95\n");
        // nfexpire leaves it without text where there is nothing to say.
        let is_nothing = stat.contains("numfiles=0\n") && stat.contains("lifetime=0\n");
        let stat = if is_nothing { String::new() } else { stat };
        let is_empty = stat.contains("numfiles=0\n");
        let keep = |l: &&str| !is_empty || !(l.starts_with("first") || l.starts_with("last"));
        format!("{name}: {}", stat.lines().filter(keep).collect::<Vec<_>>().join(" "))
    };
    tree(base).iter().filter(|name| name.ends_with(".nfstat")).map(of).collect()
}

#[test]
fn the_same_files_go_as_with_nfexpire() {
    if !has("nfexpire") {
        return;
    }
    // What is done one after the other with a tree; TREE/... are directories of 12 files.
    let runs: [&[&str]; 23] = [
        &["-l TREE/flat", "-l TREE/flat", "-r TREE/flat"],
        &["-e TREE/flat"],
        &["-e TREE/flat -s 40k", "-e TREE/flat -s 40k", "-l TREE/flat"],
        &["-e TREE/flat -s 40k -w 50"],
        &["-e TREE/flat -s 96k -w 100"],
        &["-e TREE/flat -s 1t"],
        &["-e TREE/flat -t 6H"],
        &["-e TREE/flat -t 6 -w 50"],
        &["-e TREE/flat -t 52w -s 60k"],
        &["-e TREE/flat -t 4H -s 60k -w 100"],
        &["-e TREE/flat -s 1b"],
        &["-e TREE/flat -t 10M -w 1", "-l TREE/flat"],
        &["-u TREE/flat -s 50k -t 2d -w 80", "-e TREE/flat", "-l TREE/flat", "-e TREE/flat -s 20k"],
        &["-u TREE/flat -w 0", "-r TREE/flat -w 7"],
        &["-e TREE/dated -t 20H -w 100"],
        &["-e TREE/dated -s 30k", "-r TREE/dated"],
        &["-e TREE/dated -s 1b"],
        &["-Y -l TREE/flat", "-Y -e TREE/flat -s 40k", "-Y -r TREE/flat"],
        &["-p -l TREE/profile"],
        &["-p -e TREE/profile -t 5H", "-p -l TREE/profile"],
        &["-p -e TREE/profile -t 30H -w 20", "-Y -p -r TREE/profile"],
        &["-l TREE/empty", "-u TREE/empty -t 3d"],
        &["-e TREE/odd -s 20k", "-r TREE/odd"],
    ];
    for commands in runs {
        let scene = Scene::new();
        let trees = ["theirs", "ours"].map(|name| scene.dir(name));
        for base in &trees {
            fill(&base.join("flat"), 12, false);
            (0..12).for_each(|n| drop(write(&base.join("dated"), 5 * n, true, 1)));
            for (n, channel) in ["a", "b", "c"].iter().enumerate() {
                // No two of the same age: which of them goes first is not said.
                let channel = base.join("profile").join(channel);
                (0..4).for_each(|hour| drop(write(&channel, 3 * hour + n as i64, true, 1)));
            }
            fs::create_dir(base.join("empty")).unwrap();
            fill(&base.join("odd"), 12, false);
            for foreign in ["nfcapd.current.77", "nfcapd.2026", "notes", "nfcapd.20260101000x"] {
                fs::write(base.join("odd").join(foreign), vec![1; 9000]).unwrap();
            }
            fs::create_dir_all(base.join("odd/other")).unwrap();
            fs::write(base.join("odd/other/nfcapd.202601010000"), "not by time").unwrap();
        }
        let link = scene.path("nfexpire");
        symlink(FLOWEXPIRE, &link).unwrap();
        for command in commands {
            let [theirs, ours] =
                [("nfexpire", &trees[0]), (text(&link), &trees[1])].map(|(program, base)| {
                    let args: Vec<_> =
                        command.split(' ').map(|a| a.replace("TREE", text(base))).collect();
                    let output = run(program, &args);
                    (output.status.code(), said(&output.stdout, base), tree(base), books(base))
                });
            assert_eq!(ours, theirs, "{command} of {commands:?}");
            assert_eq!(ours.0, Some(0), "{command}");
        }
    }
}

#[test]
fn what_nfexpire_refuses_is_refused_with_its_status() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    fill(&dir, 3, false);
    let before = tree(&dir);
    let link = scene.path("nfexpire");
    symlink(FLOWEXPIRE, &link).unwrap();
    let mut programs = vec![(text(&link).to_owned(), 250), (FLOWEXPIRE.to_owned(), 1)];
    if has("nfexpire") {
        programs.push(("nfexpire".to_owned(), 250));
    }
    let file = dir.join(name(0));
    for (program, status) in &programs {
        for args in [
            &[][..],
            &["-l", "/nonexistent"],
            &["-e", text(&file)],
            &["-e", text(&dir), "-s", "1x"],
            &["-e", text(&dir), "-s", "x"],
            &["-e", text(&dir), "-s", "-1"],
            &["-e", text(&dir), "-t", "1.5d"],
            &["-e", text(&dir), "-t", "1d1d"],
            &["-e", text(&dir), "-t", "5s"],
            &["-e", text(&dir), "-s", "1", "-w", "101"],
            &["-e", text(&dir), "-s", "1", "-T", "3601"],
            &["-e", text(&dir), "-s", "1", "-l", text(&dir)],
            &["-e", text(&dir), "-s", "1", "-Q"],
        ] {
            let output = run(program, args);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(*status), "{program} {args:?}: {told}");
            assert!(!told.is_empty(), "{program} {args:?}");
            assert_eq!(tree(&dir), before, "{program} {args:?}");
        }
        assert!(run(program, ["-h"]).status.success());
    }
}

/// A tree with everything that has to stay, and files of which all but the newest have to go.
fn busy_tree(scene: &Scene) -> (PathBuf, BTreeSet<String>) {
    let (base, outside) = (scene.dir("flows"), scene.dir("outside"));
    fill(&outside, 3, false);
    let newest = write(&base, 0, true, 1);
    symlink(&outside, base.join("2020")).unwrap();
    symlink(outside.join(name(1)), base.join("nfcapd.202001010000")).unwrap();
    for (foreign, what) in [
        ("nfcapd.current.77", "being written"),
        ("nfcapd.202001010000+0100", "with a zone"),
        ("nfcapd.202001010000.gz", "somebody's"),
        ("notes.txt", "notes"),
        (".flowsuite-state.no-pcap", "state"),
        ("2019/notes.txt", "notes"),
        ("archive/nfcapd.202001010000", "kept by hand"),
    ] {
        let path = base.join(foreign);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, what).unwrap();
    }
    fs::create_dir_all(base.join("nfcapd.202001010005")).unwrap();
    let beside = store::side::path(&newest, "damaged");
    fs::write(beside, "of the newest").unwrap();
    let stays = tree(&base);
    for hours in 1..60 {
        let path = write(&base, hours, true, 1);
        if hours % 5 == 0 {
            fs::write(store::side::path(&path, "damaged"), "of an old one").unwrap();
        }
    }
    fs::write(base.join(".flowsuite-loss.20200101.no-pcap"), "of a day").unwrap();
    write(&base.join("2019"), 8000, false, 1);
    (base, stays)
}

#[test]
fn links_foreign_files_and_what_is_beside() {
    let scene = Scene::new();
    let (base, mut stays) = busy_tree(&scene);
    let outside = tree(&scene.path("outside"));
    let out = stdout_of(FLOWEXPIRE, ["-e", text(&base), "--max-files", "1"]);
    assert!(out.contains("Expired files:      60\n"), "{out}");
    stays.insert(".nfstat".to_owned());
    assert_eq!(tree(&base), stays);
    assert_eq!(tree(&scene.path("outside")), outside);
}

#[test]
fn a_dry_run_says_what_the_run_does() {
    for args in [
        &["--max-files", "7"][..],
        &["-s", "100k"],
        &["-t", "1d", "-w", "50"],
        &["--min-free", "99%"],
        &["--min-free", "0"],
        &["-t", "52w"],
        &["-t", "20H", "-s", "90k", "--max-files", "30"],
    ] {
        let scene = Scene::new();
        let (base, _) = busy_tree(&scene);
        let before = tree(&base);
        let told = |option| {
            let args = [&["-e", text(&base), option], args].concat();
            let out = stdout_of(FLOWEXPIRE, args);
            let line = |l: &str| l.split_once("emove ").map(|(_, path)| path.to_owned());
            let paths: BTreeSet<String> = out.lines().filter_map(line).collect();
            let rest: Vec<&str> = out.lines().filter(|l| !l.contains("emove ")).collect();
            (paths, rest.join("\n"))
        };
        let (would, summary) = told("--dry-run");
        assert_eq!(tree(&base), before, "{args:?}");
        let (did, really) = told("--verbose");
        assert_eq!((&would, summary), (&did, really), "{args:?}");
        let after = tree(&base);
        let gone = before.difference(&after).map(|p| base.join(p));
        let gone: BTreeSet<String> =
            gone.filter(|p| p.extension().is_some()).map(|p| text(&p).to_owned()).collect();
        assert_eq!(gone, did, "{args:?}");
        assert_eq!(did.is_empty(), args.contains(&"0") || args.contains(&"52w"), "{args:?}");
    }
}

#[test]
fn each_directory_of_a_tree_by_itself() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    ["x/one", "x/two", "three"].iter().for_each(|sub| fill(&base.join(sub), 6, false));
    stdout_of(FLOWEXPIRE, ["-u", text(&base.join("three")), "-t", "3H", "-w", "100"]);
    let out = stdout_of(FLOWEXPIRE, ["-e", text(&base), "--tree", "--max-files", "4"]);
    assert_eq!(out.matches("Expired files:      2\n").count(), 2, "{out}");
    assert_eq!(out.matches("Expired files:      3\n").count(), 1, "{out}");
    let refused = run(FLOWEXPIRE, ["-e", text(&base), "--tree", "--min-free", "1%"]);
    assert_eq!(refused.status.code(), Some(1));
    let empty = run(FLOWEXPIRE, ["-l", text(&scene.dir("empty")), "--tree"]);
    assert!(empty.status.success() && empty.stdout.is_empty());
}

#[test]
fn two_at_once_beside_a_collector_that_writes() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    (0..400).for_each(|n| drop(write(&base, n, true, 1)));
    let capd = common::capd::Capd::start_with(
        &scene,
        "capd",
        base.clone(),
        &["-w", text(&base), DAY, "-S", "1"],
    );
    capd.send([common::exports::v9(1, 0, 0..20, true)]);
    capd.wait_for_flows(20);
    let start = || {
        Command::new(FLOWEXPIRE)
            .args(["-v", "-e", text(&base), "-s", "1b", "-w", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut told = BTreeSet::new();
    for one in [start(), start(), start()] {
        let output = one.wait_with_output().unwrap();
        assert!(output.status.success());
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some(path) = line.strip_prefix("Remove ") {
                assert!(told.insert(path.to_owned()), "{path} went twice");
            }
        }
    }
    assert_eq!(told.len(), 400);
    let dir = capd.dir.clone();
    capd.stop();
    common::capd::assert_listed(&dir, 0..20, "what the collector had open");
}

#[test]
fn what_may_not_be_read_or_removed_is_told() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    (0..3).for_each(|n| drop(write(&base, n, false, 1)));
    let closed = base.join("2019");
    fs::create_dir(&closed).unwrap();
    write(&closed, 9000, false, 1);
    let locked = base.join("2020");
    fs::create_dir(&locked).unwrap();
    write(&locked, 8000, false, 1);
    let all = scene.path("");
    let is_root = nix::unistd::geteuid().is_root();
    let program = scene.path("flowexpire");
    common::copy_program(FLOWEXPIRE, &program); // where anybody may run it
    for (path, mode) in [(&closed, 0o000), (&locked, 0o555), (&base, 0o777), (&all, 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).stdin(Stdio::null());
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        command.output().unwrap()
    };
    let output = as_nobody(&["-e", text(&base), "--max-files", "1"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for path in [&closed, &locked.join(name(8000))] {
        assert!(told.contains(&format!("{}: cannot be", path.display())), "{told}");
    }
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("Expired files:      3\n"), "the others make room: {out}");
    // Who may only read is told what there is.
    fs::remove_file(base.join(".nfstat")).unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o555)).unwrap();
    let listed = as_nobody(&["-l", text(&base)]);
    assert!(listed.status.success() && !base.join(".nfstat").exists());
    for path in [&closed, &locked, &base] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_crash_in_the_middle_costs_nothing_that_should_stay() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    (0..3000).for_each(|n| drop(write(&base, n, true, 1)));
    let mut child = Command::new(FLOWEXPIRE)
        .args(["-v", "-e", text(&base), "--max-files", "10"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped()) // full before all are told: it stands still in the middle
        .spawn()
        .unwrap();
    let oldest = tree(&base).into_iter().find(|p| p.ends_with(&name(2999)));
    wait_until(
        || oldest.as_ref().is_none_or(|p| !base.join(p).exists()),
        || "no file went".to_owned(),
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let is_left = |n| tree(&base).iter().any(|path| path.ends_with(&name(n)));
    assert!((0..10).all(is_left) && is_left(10), "it was to be in the middle");
    stdout_of(FLOWEXPIRE, ["-e", text(&base), "--max-files", "10"]);
    let files: Vec<String> = tree(&base).into_iter().filter(|p| p.contains("nfcapd.")).collect();
    assert_eq!(files.len(), 10);
    assert!((0..10).all(is_left));
}

/// Indexes lie in the directory that was named when they were made.
#[test]
fn indexes_of_days_that_are_gone_go_wherever_they_are() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    let (old, new) = (write(&base, 72, true, 1), write(&base, 1, true, 1));
    let index = |file: &Path, dir: &Path| {
        let name = file.file_name().unwrap().to_str().unwrap();
        let path = store::side::of_directory(dir, &format!("index.{}", &name[7..15]));
        fs::write(&path, "x").unwrap();
        path
    };
    let gone = [base.as_path(), old.parent().unwrap()].map(|dir| index(&old, dir));
    let kept = [base.as_path(), new.parent().unwrap()].map(|dir| index(&new, dir));
    stdout_of(FLOWEXPIRE, ["-e", text(&base), "--max-files", "1"]);
    assert!(!old.exists() && new.exists());
    assert!(gone.iter().all(|path| !path.exists()) && kept.iter().all(|path| path.exists()));
    assert!(!old.parent().unwrap().exists(), "nothing keeps its directory");
}

/// What articles do by cron, with the books of nfexpire beside it.
#[test]
fn find_goes_on_working() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    fill(&base, 12, true);
    stdout_of(FLOWEXPIRE, ["-u", text(&base), "-s", "1g"]);
    for n in 8..12 {
        let path = tree(&base).into_iter().find(|p| p.ends_with(&name(n))).unwrap();
        stdout_of("touch", ["-d", "40 days ago", text(&base.join(path))]);
    }
    stdout_of("find", [text(&base), "-name", "nfcapd.*", "-mtime", "+30", "-delete"]);
    let listed = stdout_of(FLOWEXPIRE, ["-l", text(&base)]);
    assert!(listed.contains("Numfiles:  8\n") && listed.contains("Status:    OK"), "{listed}");
    let out = stdout_of(FLOWEXPIRE, ["-e", text(&base), "--max-files", "5"]);
    assert!(out.contains("Expired files:      3\n") && out.contains("1.0 GB"), "{out}");
}

#[test]
fn limits_are_those_that_the_collector_obeys() {
    let scene = Scene::new();
    let base = scene.dir("flows");
    fill(&base, 12, false);
    stdout_of(FLOWEXPIRE, ["-u", text(&base), "-t", "4H", "-w", "100"]);
    let capd = common::capd::Capd::start_with(
        &scene,
        "capd",
        base.clone(),
        &["-w", text(&base), DAY, "-e"],
    );
    capd.send([common::exports::v9(1, 0, 0..5, true)]);
    let log = capd.daemon.stop();
    assert!(log.contains("Lifetime 14400 = 4.0 hours, Watermark: 100%"), "{log}");
    assert!(!base.join(name(11)).exists() && base.join(name(0)).exists());
}
