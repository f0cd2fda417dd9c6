//! What changes, checks and describes files, and what real nfdump says of the result.

mod common;

use common::answers::json;
use common::capd::{Capd, DAY};
use common::exports::v9;
use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, flow_files, has, run, stdout_of};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, UNIX_EPOCH};

fn file_of(flows: u64) -> (Scene, String) {
    let scene = Scene::new();
    let path = scene.path("flows");
    FlowFile { flows, rare_fields: false, ..FlowFile::default() }.write(&path);
    let path = path.to_str().unwrap().to_owned();
    (scene, path)
}

/// What a program, ours or nfdump, lists of a file.
fn list(program: &str, file: &str) -> String {
    stdout_of(program, ["-q", "-N", "-6", "-r", file, "-o", "fmt:%tsr %pr %sap %dap %pkt %byt"])
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What lies beside the flow files of a directory.
fn side_files(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).expect("directory").flatten();
    let ours = all.filter(|e| e.file_name().to_string_lossy().starts_with(store::side::PREFIX));
    ours.map(|e| e.path()).collect()
}

#[test]
fn files_are_compressed_again_in_place() {
    let (_scene, file) = file_of(500);
    let path = Path::new(&file);
    let before = stdout_of(FLOWDUMP, ["-r", &file, "-o", "json"]);
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    // Only root can give a file away.
    let is_given = std::os::unix::fs::chown(path, Some(4242), Some(4243)).is_ok();
    let written = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
    let has_nfdump = has("nfdump");
    let mut written = written;
    for method in ["lz4", "bz2", "lzo", "zstd", "none", "1", "2", "3", "4", "0", "zstd:9", "lz4:9"]
    {
        let told = stdout_of(FLOWDUMP, ["-r", &file, "-J", method]);
        assert!(told.contains(&file) && told.contains("compression changed"), "{method}: {told}");
        let meta = fs::metadata(path).unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o640, "{method}");
        // Another state of the file, for an index.
        written += Duration::from_nanos(1);
        assert_eq!(meta.modified().unwrap(), written, "{method}");
        assert!(!is_given || (meta.uid(), meta.gid()) == (4242, 4243), "{method}");
        assert!(stdout_of(FLOWDUMP, ["-r", &file, "-o", "json"]) == before, "{method}");
        // nfdump 1.7.1 knows no zstd.
        if has_nfdump && !["4", "zstd", "zstd:9"].contains(&method) {
            assert!(list("nfdump", &file) == list(FLOWDUMP, &file), "{method}");
        }
        let again = stdout_of(FLOWDUMP, ["-r", &file, "-J", method]);
        assert!(again.contains("already same compression"), "{method}: {again}");
    }
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(entries, 1, "nothing is left beside it");
}

#[test]
fn idents_become_shorter_and_longer() {
    let (_scene, file) = file_of(100);
    let before = list(FLOWDUMP, &file);
    for ident in ["a-much-longer-ident-than-before", "x", "lab"] {
        let told = stdout_of(FLOWDUMP, ["-r", &file, "-i", ident]);
        assert!(told.trim_end().ends_with(&format!("-> {ident}")), "{told}");
        let mut programs = vec![FLOWDUMP];
        programs.extend(has("nfdump").then_some("nfdump"));
        for program in programs {
            let info = stdout_of(program, ["-I", "-r", &file]);
            assert_eq!(info.lines().next(), Some(&*format!("Ident: {ident}")), "{program}");
            assert!(info.contains("Flows: 100\n"), "{info}");
            assert!(list(program, &file) == before, "{program}");
        }
    }
    for wrong in ["a b", "", "a\u{7}"] {
        let output = run(FLOWDUMP, ["-r", &file, "-i", wrong]);
        assert_eq!((output.status.code(), said(&output).lines().count()), (Some(1), 1), "{wrong}");
    }
}

#[test]
fn damaged_files_are_repaired_and_kept() {
    let (scene, file) = file_of(3000);
    let path = Path::new(&file);
    let whole = fs::read(path).unwrap();
    let cut = &whole[..whole.len() * 2 / 3];
    fs::write(path, cut).unwrap();
    let damaged = run(FLOWDUMP, ["-q", "-r", &file, "-o", "ndjson"]);
    assert_eq!(damaged.status.code(), Some(1));
    let readable = damaged.stdout.iter().filter(|b| **b == b'\n').count();
    let told = stdout_of(FLOWDUMP, ["--repair", "-r", &file]);
    assert!(told.contains(&format!("{readable} flows saved")), "{told}");
    assert_eq!(run(FLOWDUMP, ["-v", &file]).status.code(), Some(0));
    let sound = run(FLOWDUMP, ["-q", "-r", &file, "-o", "ndjson"]);
    assert_eq!((sound.status.code(), said(&sound).as_str()), (Some(0), ""));
    assert!(sound.stdout == damaged.stdout);
    let kept = side_files(&scene.path(""));
    assert_eq!(kept.len(), 1);
    assert!(fs::read(&kept[0]).unwrap() == cut, "the original is not touched");
    if has("nfdump") {
        assert!(list("nfdump", &file) == list(FLOWDUMP, &file));
        let dir = scene.path("");
        let all = stdout_of("nfdump", ["-q", "-R", dir.to_str().unwrap(), "-o", "fmt:%sa"]);
        assert_eq!(all.lines().count(), readable, "what is kept is no input");
    }
    let again = stdout_of(FLOWDUMP, ["--repair", "-r", &file]);
    assert!(again.contains("is sound"), "{again}");
}

#[test]
fn exporters_are_those_that_nfdump_prints() {
    if !has("nfdump") {
        return;
    }
    let (_scene, file) = file_of(100);
    let lines = |program: &str| -> Vec<String> {
        let words = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = stdout_of(program, ["-E", &file]).replace("netflow v", "");
        text.lines().filter(|l| !l.trim().is_empty()).map(words).collect()
    };
    assert_eq!(lines(FLOWDUMP), lines("nfdump"));
    assert_eq!(lines(FLOWDUMP).len(), 2);
}

const ENCRYPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/layout3/encrypted");

#[test]
fn encrypted_files_open_with_their_passphrase() {
    let scene = Scene::new();
    let key = scene.path("key");
    fs::write(&key, "secret\nnot this\n").unwrap();
    let from_file = format!("-K=@{}", key.display());
    let bytes = |key: &str| run(FLOWDUMP, ["-q", "-r", ENCRYPTED, "-o", "csv:%byt,%pkt", key]);
    for key in [from_file.as_str(), "-K=secret"] {
        let output = bytes(key);
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3, "{key}");
        // The fixture has no seal, and that is told.
        assert!(said(&output).contains("sealed"), "{}", said(&output));
    }
    let verified = run(FLOWDUMP, ["-v", ENCRYPTED, &from_file]);
    let verified = String::from_utf8_lossy(&verified.stdout).into_owned();
    for line in ["Version    : 3 - not compressed", "encryption : yes", "Flows         : 2"] {
        assert!(verified.contains(line), "no {line} in\n{verified}");
    }
    for (key, want) in [("-K=wrong", "another passphrase"), ("--", "-K")] {
        let output = bytes(key);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1, "names alone");
        assert!(said(&output).contains(want), "{key}: {}", said(&output));
        assert!(!said(&output).contains("wrong"), "passphrases do not show");
    }
}

/// Who asks for two things and gets one of them believes that both are done.
#[test]
fn files_are_changed_in_one_way_at_a_time() {
    let (scene, file) = file_of(50);
    let before = fs::read(&file).unwrap();
    let new = scene.path("new");
    let (method, ident, write) = (["-J", "lz4"], ["-i", "x"], ["-w", new.to_str().unwrap()]);
    for (one, other) in [
        (&method[..], &write[..]),
        (&method, &ident),
        (&ident, &write),
        (&["--repair"], &method),
        (&["--repair"], &ident),
        (&["--repair"], &write),
    ] {
        let output = run(FLOWDUMP, [&["-r", &file], one, other].concat());
        assert_eq!(output.status.code(), Some(1), "{one:?} {other:?}");
        assert!(said(&output).contains("cannot be used with"), "{}", said(&output));
        assert!(fs::read(&file).unwrap() == before && !new.exists(), "{one:?} {other:?}");
    }
}

#[test]
fn files_are_verified() {
    let (_scene, file) = file_of(500);
    let told = stdout_of(FLOWDUMP, ["-v", &file]);
    for line in ["Version    : 2 - not compressed", "Flows         : 500", "Result        : sound"]
    {
        assert!(told.contains(line), "no {line} in\n{told}");
    }
    let mut octets = fs::read(&file).unwrap();
    octets.truncate(octets.len() - 100);
    fs::write(&file, octets).unwrap();
    let output = run(FLOWDUMP, ["-v", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Result        : damaged"));
}

/// Work is done although nobody can be told, and that is no crash.
#[test]
fn a_full_disk_behind_the_standard_output_is_told() {
    let (scene, file) = file_of(50);
    let other = scene.path("other");
    fs::copy(&file, &other).unwrap();
    let dir = scene.path("");
    for args in [
        &["-R", dir.to_str().unwrap(), "-J", "lz4"][..],
        &["-R", dir.to_str().unwrap(), "--repair"],
        &["-r", &file, "-i", "new"],
        &["-r", &file],
        &["-r", &file, "-I"],
        &["-r", &file, "-g"],
        &["-r", &file, "--where-lost"],
        &["-v", &file],
        &["-E", &file],
        &["-r", &file, "-s", "srcip/distinct:dstip"],
        &["-r", &file, "--bin", "1m", "--plot"],
    ] {
        let output = std::process::Command::new(FLOWDUMP)
            .args(args)
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        assert!(said.contains("No space left"), "{args:?}: {said}");
    }
    for file in [&file, other.to_str().unwrap()] {
        assert!(stdout_of(FLOWDUMP, ["-v", file]).contains("lz4 compressed"), "{file} is done");
    }
}

/// What a collector lost is beside its files, and nobody else takes it for flows.
#[test]
fn losses_are_told_and_do_not_get_in_the_way_of_nfdump() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "-I", "lab"]);
    let dir = capd.dir.clone();
    capd.send([v9(7, 1, 0..10, true), v9(7, 5, 10..20, false), b"garbage".to_vec()]);
    capd.wait_for_flows(20);
    let account = capd.stop();
    assert_eq!((account.get("Sequence Errors"), account.get("Bad Packets")), (1, 1));
    let at = dir.to_str().unwrap();
    let lost = json(&["--where-lost", "-R", at]);
    let counts: Vec<(&str, u64)> =
        lost.iter().map(|l| (l["unit"].as_str().unwrap(), l["lost"].as_u64().unwrap())).collect();
    assert!(counts.contains(&("datagrams", 3)), "2, 3 and 4 are missing: {lost:?}");
    assert!(counts.contains(&("datagrams", 1)), "garbage: {lost:?}");
    let text = stdout_of(FLOWDUMP, ["--where-lost", "-R", at]);
    assert!(text.contains("Files with a statement of their collector: 1\n"), "{text}");
    let side = side_files(&dir).len();
    assert!(side > 0);
    let stat = run(FLOWDUMP, ["-q", "-R", at, "-o", "ndjson"]);
    assert_eq!((stat.stdout.iter().filter(|b| **b == b'\n').count(), said(&stat)), (20, "".into()));
    if has("nfdump") {
        let output = run("nfdump", ["-q", "-R", at, "-o", "fmt:%sa"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 20);
        assert_eq!(said(&output), "");
    }
    if has("nfexpire") {
        for option in ["-r", "-l", "-u", "-e"] {
            let output = run("nfexpire", [option, at, "-t", "52w"]);
            let all = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
            assert!(output.status.success(), "nfexpire {option}: {all}");
            assert!(!all.contains("flowsuite") && !all.contains("loss."), "{option}: {all}");
        }
        assert_eq!(flow_files(&dir).len(), 1);
        assert_eq!(side_files(&dir).len(), side);
    }
}
