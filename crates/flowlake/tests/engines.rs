//! The same command lines by flowdump and by each engine that is installed: the same rows.
//!
//! tests/prepare installs the engines, as packages of a Python of their own. Each is started once
//! and answers all questions; Spark is a cluster of a master and two workers.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// Command lines, words between blanks. Orders have no ties where only the first rows are printed.
const LINES: &[&str] = &[
    "-s srcip/bytes -n 10",
    "-s dstip/packets -n 5 proto tcp",
    "-s ip/bytes -n 10",
    "-s port/bytes -n 20",
    "-s dstport:p/bytes -n 20",
    "-s proto/flows -n 0",
    "-s any/bytes",
    "-s srcas/bytes -n 5",
    "-s as/bytes -n 5 -o json",
    "-s inif/bytes/packets -n 0",
    "-s if/bytes:a -n 0",
    "-s tos/bytes -n 0",
    "-s flags/packets -n 0",
    "-s srcmask/bytes -n 0 -o csv",
    "-s record/bytes -n 5",
    "-s record/bytes/packets -n 0 -A srcip4/8,proto",
    "-s srcport/bytes -n 3 -o csv net 10.0.0.0/8",
    "-A srcip4/24,dstport -O bytes -n 20",
    "-A srcip4/13 -O bytes -n 10 -o csv",
    "-A proto,dstip -O bytes -n 10 -o json",
    "-A srcnet -O bytes -n 10",
    "-A srcip6/63,srcip4/8 -O bytes -n 0",
    "-a -O bytes -n 10",
    "-a -O bytes -n 10 -o long",
    "-O bytes -n 20",
    "-O bytes:a -n 0 -o csv:%ts,%td,%pr,%sa,%sp,%da,%dp,%pkt,%byt,%bps proto 1",
    "-q -o line bytes > 50000",
    "-O bytes -n 10 flags S and not flags R and dst port in [80 443]",
    "-O bytes -n 10 not (proto tcp or proto udp)",
    "-O bytes -n 10 bps > 1m and duration > 100",
    "-s dstip/bytes -t 2026/04/10.12:00-2026/04/10.12:10",
    "-s dstip/bytes first seen > 2026-04-10T12:00:01 and last seen < 2026-04-10T12:20:00",
    "-O bytes -n 10 icmp-type 8 or as in [64500 173568] and not src as 64500",
    "-s srcip/bytes -n 3 ip in [10.0.0.0/9 207.249.246.223] and bpp < 800",
    "-s srcip/bytes -n 3 host 1.1.1.1",
];

/// An engine at work.
struct Engine {
    name: &'static str,
    child: Child,
    url: String,
}

impl Engine {
    /// `None` where it is not installed.
    fn start(name: &'static str, python: &Path) -> Option<Self> {
        let package = match name {
            "spark" => "pyspark",
            "clickhouse" => "chdb",
            name => name,
        };
        let found = Command::new(python).args(["-c", &format!("import {package}")]).output();
        if !found.is_ok_and(|o| o.status.success()) {
            return None;
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(python)
            .args([
                here.join("tests/engines/serve.py"),
                name.into(),
                here.join("src/sql/engine.py"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "{name} ended: {}", child.wait().unwrap());
        Some(Self { name, child, url: format!("http://127.0.0.1:{}", port.trim()) })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // it ends itself and what it has started
        let _ = self.child.wait();
    }
}

/// The Python of the test set-up.
fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_flowlake")).parent()?.parent()?;
    let python = target.join("engines/bin/python");
    python.is_file().then_some(python)
}

fn beside(name: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_flowlake")).with_file_name(name);
    program.is_file().then_some(program)
}

fn run(program: &Path, words: &[&str]) -> Output {
    Command::new(program).args(words).env("TZ", "UTC").stdin(Stdio::null()).output().unwrap()
}

/// Lines without those that tell of time, files and memory.
fn rows(output: &Output) -> Vec<String> {
    let says_how = ["Time window", "Total records", "Total flows processed", "Sys:", "Wall:"];
    let text = String::from_utf8_lossy(&output.stdout);
    let kept = |l: &&str| !says_how.iter().any(|s| l.starts_with(s)) && !l.contains("\"ident\"");
    text.lines().filter(kept).map(str::to_owned).collect()
}

/// Flows of the comparison.
const FLOWS: &str = "20000";

/// Writes what flowdump prints of a file to a dataset.
fn make_dataset(python: &Path, flowdump: &Path, flows: &Path, dataset: &Path) {
    let key = |c: &lake::schema::Column| c.field.map_or("-", |f| f.def().json);
    let column = |c: &lake::schema::Column| format!("{}:{:?}:{}", c.name, c.kind, key(c));
    let columns: Vec<String> = lake::schema::COLUMNS.iter().map(column).collect();
    let mut printing = Command::new(flowdump)
        .args(["-r", flows.to_str().unwrap(), "-N", "-o", "ndjson"])
        .env("TZ", "UTC")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let made = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/dataset.py"))
        .args([dataset.to_str().unwrap(), &columns.join(",")])
        .stdin(printing.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(printing.wait().unwrap().success());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn engines_and_flowdump_print_the_same_rows() {
    let programs = (python(), beside("flowdump"), beside("genflows"));
    let (Some(python), Some(flowdump), Some(genflows)) = programs else {
        println!("skipped: no engines, or no flowdump and genflows beside: run tests/prepare");
        return;
    };
    let dir = TempDir::new().unwrap();
    let flows = dir.path().join("nfcapd.202604101200");
    let dataset = dir.path().join("dataset");
    let made = run(&genflows, &[dir.path().to_str().unwrap(), "--files", "1", "--flows", FLOWS]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    make_dataset(&python, &flowdump, &flows, &dataset);
    let flowlake = Path::new(env!("CARGO_BIN_EXE_flowlake"));
    let mut differ = Vec::new();
    for name in ["duckdb", "clickhouse", "spark"] {
        let Some(engine) = Engine::start(name, &python) else {
            println!("skipped: {name} is not installed: run tests/prepare");
            continue;
        };
        for line in LINES {
            let words: Vec<&str> = line.split(' ').collect();
            let of_files = [&["-r", flows.to_str().unwrap()][..], &words].concat();
            let from = ["sql", "--engine", engine.name, "--url", &engine.url];
            let of_engine = [&from[..], &["-R", dataset.to_str().unwrap()], &words].concat();
            let (want, found) = (run(&flowdump, &of_files), run(flowlake, &of_engine));
            let talk = String::from_utf8_lossy(&found.stderr).into_owned();
            let (mut want, mut found) = (rows(&want), rows(&found));
            let is_list = !line.contains("-n") && !line.contains("-s");
            if line.contains("-n 0") || is_list {
                // Equal ones keep the order of files, which tables do not have.
                want.sort();
                found.sort();
            }
            let (a, b): (HashSet<_>, HashSet<_>) = (want.iter().collect(), found.iter().collect());
            if want != found || want.is_empty() {
                let missing = a.difference(&b).next();
                let other = b.difference(&a).next();
                differ.push(format!("{name}: {line}: {talk}\n  {missing:?}\n  {other:?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn a_python_without_the_engine_is_told() {
    let Ok(found) = Command::new("python3").args(["-S", "-c", "pass"]).output() else { return };
    assert!(found.status.success());
    let dir = TempDir::new().unwrap();
    let python = dir.path().join("python");
    // An isolated Python finds no packages.
    std::fs::write(&python, "#!/bin/sh\nexec python3 -I -S \"$@\"\n").unwrap();
    std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let words = [
        "sql",
        "--engine",
        "spark",
        "--python",
        python.to_str().unwrap(),
        "-R",
        dir.path().to_str().unwrap(),
    ];
    let output = run(Path::new(env!("CARGO_BIN_EXE_flowlake")), &words);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(talk.contains("has no pyspark") && talk.contains("pip install pyspark"), "{talk}");
}
