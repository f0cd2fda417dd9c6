//! `flowlake write` as a program: killed, interrupted, out of room, watching; and what DuckDB reads.

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use record::{Addr, Exporter, Field, Flow, FlowSink as _, Meta};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use store::{Writer, WriterOptions};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowlake");
/// 2026-04-10 12:00 UTC.
const NOON: u64 = 1_775_822_400_000;
const FLOWS: u64 = 5000;

/// Flow file number `n`, of flows in two hours.
fn flow_file(directory: &Path, n: u64) -> PathBuf {
    let path = directory.join(format!("nfcapd.2026041012{n:02}"));
    let temporary = directory.join(format!(".{n}"));
    let mut writer = Writer::create(&temporary, &WriterOptions::default()).unwrap();
    let addr = Addr::V4(0xC000_0201);
    writer.meta(Meta::Exporter(Exporter { sysid: 1, version: 9, addr, id: 0 }));
    let mut flow = Flow::new();
    for i in 0..FLOWS {
        flow.set(Field::First, NOON - 60_000 + i * 37 % 120_000);
        flow.set(Field::Bytes, n * FLOWS + i);
        flow.set(Field::Proto, 6);
        let v6 = |n: u64| Addr::V6(0x2001_0db8 << 96 | u128::from(n));
        let (src, dst) = match i % 2 {
            0 => (Addr::V4(0x0A00_0000 + i as u32), Addr::V4(n as u32)),
            _ => (v6(1000 + i), v6(n)),
        };
        flow.set_addr(Field::SrcAddr, src);
        flow.set_addr(Field::DstAddr, dst);
        flow.set(Field::ExporterId, 1);
        writer.flow(&flow);
    }
    writer.close(&[]).unwrap();
    fs::rename(temporary, &path).unwrap();
    path
}

/// A tree of so many flow files, and where the dataset goes.
fn tree(files: u64) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (flows, lake) = (dir.path().join("flows"), dir.path().join("lake"));
    fs::create_dir(&flows).unwrap();
    (0..files).for_each(|n| drop(flow_file(&flows, n)));
    (dir, flows, lake)
}

fn command(flows: &Path, lake: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("write").arg("-R").arg(flows).arg("-w").arg(lake);
    command
}

fn run(flows: &Path, lake: &Path) -> Output {
    command(flows, lake).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn parquet_files(root: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        // Files may come and go meanwhile.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "parquet") {
                all.push(path);
            }
        }
    }
    all
}

fn rows(lake: &Path) -> i64 {
    let rows = |path: &PathBuf| {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        reader.metadata().file_metadata().num_rows()
    };
    parquet_files(lake).iter().map(rows).sum()
}

/// Waits until it is so, as long as the program runs.
fn wait_until(child: &mut Child, mut is_so: impl FnMut() -> bool) {
    while !is_so() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn killed_again_and_again_each_flow_is_there_once() {
    const FILES: u64 = 12;
    let (_dir, flows, lake) = tree(FILES);
    let mut kills = 0;
    for n in 1..FILES as usize {
        let mut child = command(&flows, &lake).stderr(Stdio::null()).spawn().unwrap();
        wait_until(&mut child, || parquet_files(&lake).len() >= 2 * n - 1);
        kills += u32::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(kills > 0, "it was always faster");
    let last = run(&flows, &lake);
    assert!(last.status.success(), "{}", said(&last));
    assert_eq!(rows(&lake), (FILES * FLOWS) as i64);
    assert_eq!(parquet_files(&lake).len() as u64, 2 * FILES);
    assert_eq!(fs::read_dir(lake.join("_flowlake/tmp")).unwrap().count(), 0);
    let again = run(&flows, &lake);
    assert!(said(&again).contains("0 files written (0 flows, 0 octets), 12 there already"));
}

#[test]
fn interrupted_it_ends_with_130() {
    let (_dir, flows, lake) = tree(1);
    let mut child = command(&flows, &lake).arg("--watch=3600").spawn().unwrap();
    wait_until(&mut child, || parquet_files(&lake).len() == 2);
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(rows(&lake), FLOWS as i64);
}

#[test]
fn a_tree_is_watched() {
    let (_dir, flows, lake) = tree(1);
    let mut child = command(&flows, &lake).args(["--watch=1", "-q"]).spawn().unwrap();
    wait_until(&mut child, || parquet_files(&lake).len() == 2);
    flow_file(&flows, 1);
    fs::write(flows.join("nfcapd.current.77"), "being written").unwrap();
    wait_until(&mut child, || parquet_files(&lake).len() == 4);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(rows(&lake), 2 * FLOWS as i64);
}

#[test]
fn without_room_it_says_so_and_goes_on_later() {
    let (_dir, flows, lake) = tree(2);
    // Files may have 8 KiB or so.
    let limited = format!(
        "ulimit -f 16; exec '{PROGRAM}' write -R '{}' -w '{}'",
        flows.display(),
        lake.display()
    );
    let full = Command::new("sh").args(["-c", &limited]).output().unwrap();
    assert_eq!(full.status.code(), Some(1), "{}", said(&full));
    assert!(said(&full).contains("File too large"), "{}", said(&full));
    assert_eq!(said(&full).lines().count(), 1, "{}", said(&full));
    assert!(parquet_files(&lake).is_empty());
    assert!(run(&flows, &lake).status.success());
    assert_eq!(rows(&lake), 2 * FLOWS as i64);
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let (dir, flows, lake) = tree(1);
    fs::write(flows.join("nfcapd.current"), "").unwrap();
    let current = flows.join("nfcapd.current");
    let of = |args: &[&str]| {
        let mut all = vec!["write"];
        all.extend(args);
        Command::new(PROGRAM).args(all).output().unwrap()
    };
    let (flows, lake) = (flows.to_str().unwrap(), lake.to_str().unwrap());
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("data.parquet"), "PAR1").unwrap();
    let below = dir.path().join("other/data.parquet/lake");
    for (args, want) in [
        (&["-r", current.to_str().unwrap(), "-w", lake][..], "is being written"),
        (&["-R", flows, "-w", other.to_str().unwrap()], "no dataset of flowlake"),
        (&["-R", flows, "-w", below.to_str().unwrap()], "Not a directory"),
        (&["-R", "/nowhere/at/all", "-w", lake], "/nowhere/at/all"),
        (&["-r", "-", "-w", lake], "name a file"),
        (&["-R", flows, "-w", lake, "--base", "/usr"], "not below /usr"),
        (&["-w", lake], "--range"),
    ] {
        let output = of(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(want), "{args:?}: {}", said(&output));
    }
    // A name of its own for the same tree.
    assert!(of(&["-q", "-R", flows, "-w", lake, "--base", flows]).status.success());
    let moved = dir.path().join("moved");
    fs::rename(flows, &moved).unwrap();
    let moved = moved.to_str().unwrap();
    let again = of(&["-R", moved, "-w", lake, "--base", moved]);
    assert!(said(&again).contains("1 there already"), "{}", said(&again));
}

/// Python with the package, as the environment or the path has it.
fn python_with(package: &str) -> Option<String> {
    // That of tests/prepare lies beside what is built.
    let engines = Path::new(PROGRAM).parent().and_then(Path::parent);
    let engines = engines.map(|target| target.join("engines/bin/python")).filter(|p| p.is_file());
    let usual = || engines.map_or_else(|| "python3".to_owned(), |p| p.display().to_string());
    let python = std::env::var("FLOWSUITE_PYTHON").unwrap_or_else(|_| usual());
    let has = Command::new(&python)
        .args(["-c", &format!("import {package}")])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !has {
        eprintln!("skipped: {python} has no package {package}; FLOWSUITE_PYTHON names another");
    }
    has.then_some(python)
}

#[test]
fn duckdb_reads_it_by_the_statements_of_schema() {
    let Some(python) = python_with("duckdb") else { return };
    let (_dir, flows, lake) = tree(3);
    for options in [&[][..], &["--no-text"]] {
        assert!(command(&flows, &lake).args(options).status().unwrap().success());
        let statements = Command::new(PROGRAM)
            .args(["schema", "--for", "duckdb", "--dataset"])
            .arg(&lake)
            .output()
            .unwrap();
        let script = "import duckdb, sys\n\
            db = duckdb.connect()\n\
            db.execute(sys.argv[1])\n\
            print(db.execute(\"\"\"select count(*), sum(bytes), count(distinct src_ip),\n\
            max(case when src_addr4 is not null then src_ip end),\n\
            max(dst_ip), min(exporter), cast(min(date) as varchar), min(hour), max(hour),\n\
            cast(min(epoch_ms(flow_start::timestamptz)) as varchar), sum(cast(src_addr_text is null as int)) from flows\"\"\").fetchone())";
        let output = Command::new(python.clone())
            .args(["-c", script])
            .arg(String::from_utf8(statements.stdout).unwrap())
            .output()
            .unwrap();
        let all = 3 * FLOWS;
        let v6 = match options {
            [] => "2001:db8::2",
            _ => "2001:0db8:0000:0000:0000:0000:0000:0002",
        };
        let want = format!(
            "({all}, {}, {FLOWS}, '10.0.9.98', '{v6}', '192.0.2.1', '2026-04-10', 11, 12, '{}', {})\n",
            all * (all - 1) / 2,
            NOON - 60_000,
            if options.is_empty() { 0 } else { all },
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), want, "{}", said(&output));
    }
}
