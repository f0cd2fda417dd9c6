//! The command line of `flowdump`: inputs, filters, limits, orders, messages, exit statuses, and
//! what it prints, letter by letter.

mod common;

use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, run, stdout_of};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A scene with one file of `flows` flows.
fn file_of(flows: u64) -> (Scene, String) {
    let scene = Scene::new();
    let path = scene.path("flows");
    FlowFile { flows, ..FlowFile::default() }.write(&path);
    let path = path.to_str().unwrap().to_owned();
    (scene, path)
}

fn flowdump(args: &[&str]) -> Output {
    run(FLOWDUMP, args)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// How many records a run lists.
fn count(args: &[&str]) -> usize {
    stdout_of(FLOWDUMP, ["-q", "-o", "ndjson"].iter().chain(args)).lines().count()
}

/// Like [`run`], with something on the standard input.
fn run_with_input(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(FLOWDUMP)
        .args(args)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start flowdump");
    child.stdin.take().unwrap().write_all(input.as_bytes()).expect("write");
    child.wait_with_output().expect("wait")
}

/// Three slots of two exporters: `BASE/{r1,r2}/nfcapd.20261120100{0,5},1010`, 10, 20 and 30 flows.
fn spool(scene: &Scene) -> PathBuf {
    for (seed, router) in [(1, "r1"), (2, "r2")] {
        let dir = scene.dir(&format!("base/{router}"));
        for (n, slot) in ["202611201000", "202611201005", "202611201010"].iter().enumerate() {
            let flows = 10 * (n as u64 + 1);
            FlowFile { flows, seed, ident: router, ..FlowFile::default() }
                .write(&dir.join(format!("nfcapd.{slot}")));
        }
        fs::write(dir.join("nfcapd.current.123"), "being written").unwrap();
        fs::write(dir.join(".nfstat"), "not for us").unwrap();
    }
    scene.path("base")
}

#[test]
fn inputs() {
    let scene = Scene::new();
    let base = spool(&scene);
    let at = |rest: &str| format!("{}/{rest}", base.display());
    for (args, flows) in [
        (&["-r", &at("r1/nfcapd.202611201005")][..], 20),
        (&["-r", &at("r1")], 60),
        (&["-R", &at("r1")], 60),
        (&["-R", &at("")], 120),
        (&["-R", &at("r1/nfcapd.202611201005")], 50),
        (&["-R", &at("r1/nfcapd.202611201000:nfcapd.202611201005")], 30),
        (&["-R", &at("r1/nfcapd.202611201005:nfcapd.202611209999")], 50),
        (&["-M", &at("r1:r2"), "-R", "."], 120),
        (&["-M", &at("r1:r2"), "-r", "nfcapd.202611201000"], 20),
        (&["-M", &at("r1:r2"), "-R", "nfcapd.202611201005:nfcapd.202611201010"], 100),
        (&["-M", &at("@"), "-R", "."], 120),
    ] {
        assert_eq!(count(args), flows, "{args:?}");
    }
    let idents = stdout_of(FLOWDUMP, ["-q", "-R", &at(""), "-o", "fmt:%idt", "-c", "61"]);
    assert!(idents.lines().take(60).all(|l| l.trim() == "r1"), "files in order of their paths");
    assert!(idents.lines().nth(60).is_some_and(|l| l.trim() == "r2"));
    for (args, said) in [
        (&["-r", &at("none")][..], "none"),
        (&["-R", &at("none")], "none"),
        (&["-M", &at("r1:r3"), "-R", "."], "r3"),
        (&["-M", &at("r1:r2")], "-M"),
        (&["-r", &at("r1"), "-R", &at("r1")], "cannot be used with"),
    ] {
        let output = flowdump(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{args:?}: {}", text(&output.stderr));
    }
    let nothing = flowdump(&[]);
    assert_eq!(nothing.status.code(), Some(0));
    assert!(text(&nothing.stdout).contains("Usage:"));
}

#[test]
fn filters_come_from_arguments_files_and_standard_input() {
    let (scene, file) = file_of(300);
    let udp = count(&["-r", &file, "proto udp"]);
    assert!(0 < udp && udp < 300);
    assert_eq!(count(&["-r", &file, "proto", "udp"]), udp, "words are joined");
    assert_eq!(count(&["proto", "-r", &file, "udp"]), udp, "wherever they stand");
    assert_eq!(count(&["-r", &file]), 300);
    assert_eq!(count(&["-r", &file, ""]), 300);

    let filter = scene.path("filter");
    fs::write(&filter, "# what we look for\nproto udp\n").unwrap();
    let filter = filter.to_str().unwrap();
    assert_eq!(count(&["-r", &file, "-f", filter]), udp);
    assert_eq!(count(&["-r", &file, "-f", filter, "any"]), 300, "the command line comes first");
    let output = run_with_input(&["-q", "-r", &file, "-o", "ndjson", "-f", "-"], "proto udp");
    assert_eq!(text(&output.stdout).lines().count(), udp);
}

#[test]
fn flows_come_on_standard_input() {
    let (_scene, file) = file_of(300);
    let by_name = stdout_of(FLOWDUMP, ["-q", "-r", &file, "-o", "ndjson", "-O", "bytes"]);
    let mut child = Command::new(FLOWDUMP)
        .args(["-q", "-r", "-", "-o", "ndjson", "-O", "bytes"])
        .env("TZ", "UTC")
        .stdin(fs::File::open(&file).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start flowdump");
    let mut piped = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut piped).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(piped == by_name && by_name.lines().count() == 300);
    let both = flowdump(&["-r", "-", "-f", "-"]);
    assert_eq!(both.status.code(), Some(1));
    assert!(text(&both.stderr).contains("standard input"), "{}", text(&both.stderr));
}

#[test]
fn exit_statuses_and_messages() {
    let (scene, file) = file_of(20);
    let wrong = scene.path("wrong");
    fs::write(&wrong, "proto tcp and\nport foo\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    let missing = scene.path("missing");
    let missing = missing.to_str().unwrap();
    for (args, status, said) in [
        (&["-r", &file][..], 0, ""),
        (&["-r", &file, "port 1 and port 2"], 0, ""),
        (&["-Z", "port 80"], 0, ""),
        (&["-Z", "port 80 and"], 254, "line 1, column 12"),
        (&["-r", &file, "sport 80"], 254, "did you mean `src port`?"),
        (&["-r", &file, "port 65536"], 254, "65536"),
        (&["-Z", "-f", wrong], 254, "wrong:2:6"),
        (&["-Z", "-f", missing], 255, "missing"),
        (&["-r", missing], 1, "missing"),
        (&["-r", &file, "-o", "zebra"], 1, "Unknown output mode 'zebra'"),
        (&["-r", &file, "-o", "fmt:%zebra"], 1, "Output format parse error at: %zebra"),
        (&["-r", &file, "-s", "zebra"], 1, "Unknown statistic: zebra"),
        (&["-r", &file, "-s", "srcip:x"], 1, "Unknown statistic option :x in srcip"),
        (&["-r", &file, "-s", "srcip/zebra"], 1, "Unknown order option /zebra"),
        (&["-r", &file, "-s", "srcip/bytes:x"], 1, "Invalid direction x."),
        (&["-r", &file, "-O", "zebra"], 1, "Unknown print order 'zebra'"),
        (&["-r", &file, "-A", "zebra"], 1, "Unknown aggregation field 'zebra'"),
        (&["-r", &file, "-A", "srcip/24"], 1, "Need src4/dst4 or src6/dst6"),
        (&["-r", &file, "-A", "srcip", "-A", "dstip"], 1, "Multiple aggregation masks"),
        (&["-r", &file, "-t", "2026-11-20"], 1, "YYYY/MM/dd.hh:mm:ss"),
        (&["-r", &file, "-c", "0"], 1, "'0'"),
        (&["-r", &file, "-n", "x", "-s", "ip"], 1, "'x'"),
        (&["-r", &file, "-w", "/nonexistent/x"], 1, "/nonexistent/x"),
        (&["-r", &file, "-w", missing, "-z=zebra"], 1, "zebra"),
        (&["-r", &file, "-w", missing, "-s", "ip"], 1, "-w"),
        (&["--zebra"], 1, "--zebra"),
    ] {
        let output = flowdump(args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        if said.is_empty() {
            assert_eq!(stderr, "", "{args:?}");
        } else {
            assert!(stderr.contains(said), "{args:?}: {stderr}");
            assert_eq!(output.stdout, b"", "{args:?}: stdout is for data");
        }
    }
    assert!(!Path::new(missing).exists(), "nothing is left of a file that was not written");
    let version = stdout_of(FLOWDUMP, ["-V"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn under_the_name_of_nfdump_filter_errors_are_where_scripts_look() {
    let scene = Scene::new();
    let nfdump = scene.path("nfdump");
    std::os::unix::fs::symlink(FLOWDUMP, &nfdump).expect("link");
    let output = run(&nfdump, ["-Z", "sport 80"]);
    assert_eq!(output.status.code(), Some(254));
    assert_eq!(text(&output.stdout), "Line 1: syntax error at 'sport'\n");
    assert!(text(&output.stderr).starts_with("nfdump: "), "{}", text(&output.stderr));
}

#[test]
fn limits_and_orders() {
    let (_scene, file) = file_of(300);
    let list = |args: &[&str]| -> Vec<String> {
        let all =
            ["-q", "-r", &file, "-o", "csv:%ibyt,%tsr"].into_iter().chain(args.iter().copied());
        stdout_of(FLOWDUMP, all).lines().skip(1).map(str::to_owned).collect()
    };
    let number = |l: &String, n: usize| l.split(',').nth(n).unwrap().parse::<f64>().unwrap();
    let all = list(&[]);
    assert_eq!(all.len(), 300);
    assert_eq!(list(&["-c", "7"]), all[..7]);
    assert_eq!(list(&["-n", "7"]), all, "-n is for sorted lists");
    for (order, column, is_ascending) in [
        ("ibytes", 0, false),
        ("ibytes:d", 0, false),
        ("ibytes:a", 0, true),
        ("tstart", 1, true),
        ("tstart:a", 1, true),
        ("tstart:d", 1, false),
    ] {
        let mut want = all.clone();
        want.sort_by(|a, b| number(a, column).total_cmp(&number(b, column)));
        if !is_ascending {
            want.reverse();
        }
        let want: Vec<f64> = want.iter().map(|l| number(l, column)).collect();
        let got = list(&["-O", order]);
        assert_eq!(got.iter().map(|l| number(l, column)).collect::<Vec<_>>(), want, "{order}");
        let top = list(&["-O", order, "-n", "10"]);
        assert_eq!(top, got[..10], "{order}");
    }
    assert_eq!(list(&["-m"]), list(&["-O", "tstart"]));
}

#[test]
fn time_windows() {
    let (_scene, file) = file_of(600);
    let window = "2026/11/20.10:00:10-2026/11/20.10:00:20";
    let filter = "first seen > 2026-11-20T10:00:10 and last seen < 2026-11-20T10:00:20";
    let found = count(&["-r", &file, "-t", window]);
    assert!(0 < found && found < 600, "{found}");
    assert_eq!(count(&["-r", &file, filter]), found);
    assert_eq!(count(&["-r", &file, "-t", "2026"]), 600);
    assert_eq!(count(&["-r", &file, "-t", "2027"]), 0);
}

#[test]
fn several_statistics_in_one_run() {
    let (_scene, file) = file_of(300);
    let alone = |s: &str| stdout_of(FLOWDUMP, ["-q", "-r", &file, "-n", "5", "-s", s]);
    let both = stdout_of(
        FLOWDUMP,
        [
            "-q",
            "-r",
            &file,
            "-n",
            "5",
            "-s",
            "srcip/bytes",
            "-s",
            "dstport:p",
            "-s",
            "record/packets",
        ],
    );
    let want = ["record/packets", "srcip/bytes", "dstport:p"].map(alone);
    let lines =
        |s: &str| s.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&both), lines(&want.concat()), "flows come first");
    let ordered = stdout_of(FLOWDUMP, ["-q", "-r", &file, "-n", "5", "-s", "srcip", "-O", "bytes"]);
    assert_eq!(ordered, alone("srcip/bytes"), "-O is the order where -s names none");
    let all = stdout_of(FLOWDUMP, ["-q", "-r", &file, "-n", "0", "-s", "dstport", "-o", "csv"]);
    let ten = stdout_of(FLOWDUMP, ["-q", "-r", &file, "-s", "dstport", "-o", "csv"]);
    assert_eq!(ten.lines().count(), 11, "ten lines if nothing else is said");
    assert_eq!(all.lines().take(11).collect::<Vec<_>>(), ten.lines().collect::<Vec<_>>());
}

#[test]
fn nothing_found_is_said_in_every_format() {
    let (_scene, file) = file_of(20);
    let none = "port 1 and port 2";
    for (args, want) in [
        (&["-o", "json"][..], "[\n]\n"),
        (&["-o", "ndjson"], ""),
        (&["-q", "-o", "line"], "No matching flows\n"),
        (
            &["-o", "csv"],
            "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows\n",
        ),
        (&["-o", "raw"], "No matching flows\n"),
        (&["-a", "-o", "json"], "[\n]\n"),
        (&["-O", "bytes", "-o", "json"], "[\n]\n"),
        (&["-s", "srcip", "-o", "json"], "[\n]\n"),
        (&["-s", "srcip", "-o", "ndjson"], ""),
        (&["-s", "record", "-o", "json"], "[\n]\n"),
        (
            &["-s", "srcip", "-o", "csv"],
            "ts,te,td,pr,val,fl,flP,ipkt,ipktP,ibyt,ibytP,ipps,ibps,ibpp\n",
        ),
    ] {
        let all: Vec<_> = ["-r", &file].iter().chain(args).chain([&none]).copied().collect();
        let output = flowdump(&all);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(text(&output.stdout), want, "{args:?}");
        assert_eq!(text(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (_scene, file) = file_of(20_000);
    for args in [&[][..], &["-o", "json"], &["-O", "bytes"], &["-a"], &["-s", "record", "-n", "0"]]
    {
        let mut child = Command::new(FLOWDUMP)
            .args(["-r", &file])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start flowdump");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "{args:?}");
        let output = child.wait_with_output().expect("wait");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(text(&output.stderr), "", "{args:?}");
    }
}

/// All but what took how long.
fn without_timing(text: &str) -> String {
    text.lines().filter(|l| !l.starts_with("Sys: ")).map(|l| format!("{l}\n")).collect()
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (scene, file) = file_of(8000);
    for args in [
        &["-o", "line"][..],
        &["-o", "long", "proto tcp"],
        &["-o", "csv"],
        &["-o", "json"],
        &["-o", "csv-fast", "-c", "3000"],
        &["-O", "bytes"],
        &["-O", "bytes:a", "-n", "100"],
        &["-O", "tstart", "-o", "json"],
        &["-a"],
        &["-a", "-O", "flows"],
        &["-a", "-o", "json"],
        &["-A", "srcip4/24,dstport"],
        &["-A", "proto,srcas", "-O", "packets", "-o", "csv"],
        &["-s", "srcip/bytes", "-n", "0"],
        &["-s", "port:p", "-s", "ip/packets", "-s", "record/bytes", "-n", "50"],
        &["-s", "srcip", "-o", "json"],
        &["count > 3000 and count < 5000"],
    ] {
        let with = |workers: &str| {
            let all = ["-r", &file, "-W", workers].into_iter().chain(args.iter().copied());
            without_timing(&stdout_of(FLOWDUMP, all))
        };
        let one = with("1");
        assert!(one.lines().count() > 10, "{args:?}");
        for workers in ["2", "4"] {
            assert!(with(workers) == one, "{args:?} with {workers} threads");
        }
    }
    let written = |workers: &str, mode: &[&str]| {
        let path = scene.path("written");
        let all = ["-r", &file, "-W", workers, "-w", path.to_str().unwrap()];
        stdout_of(FLOWDUMP, all.iter().chain(mode));
        let mut bytes = fs::read(path).unwrap();
        bytes[8..16].fill(0); // when it was made
        bytes
    };
    for mode in [&[][..], &["-a"], &["-O", "bytes"]] {
        assert!(written("1", mode) == written("4", mode), "-w {mode:?}");
    }
}

/// Compares with `fixtures/golden/NAME.txt`. With `FLOWSUITE_BLESS` set the file is written
/// anew: read the difference before it is kept.
fn golden(name: &str, printed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden").join(name);
    let path = path.with_extension("txt");
    if std::env::var_os("FLOWSUITE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).expect("create directory");
        fs::write(&path, printed).expect("write");
        return;
    }
    let want = fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; FLOWSUITE_BLESS=1 writes it", path.display()));
    assert!(
        printed == want,
        "{name} differs; FLOWSUITE_BLESS=1 writes it anew. Printed:\n{printed}\nwanted:\n{want}"
    );
}

#[test]
fn printed_text() {
    let (_scene, file) = file_of(40);
    for (name, args) in [
        ("line", &["-o", "line"][..]),
        ("line6", &["-o", "line6", "-c", "12"]),
        ("plain", &["-N", "-O", "bytes", "-n", "5"]),
        ("long", &["-o", "long"]),
        ("extended", &["-o", "extended", "-c", "12"]),
        ("biline", &["-o", "biline", "-c", "12"]),
        ("nsel", &["-o", "nsel", "-c", "12"]),
        ("nat", &["-o", "nat", "-c", "12"]),
        ("csv", &["-o", "csv"]),
        ("csv-fast", &["-o", "csv-fast"]),
        ("json", &["-o", "json", "-c", "10"]),
        ("ndjson", &["-o", "ndjson", "-c", "10"]),
        ("raw", &["-o", "raw", "-c", "10"]),
        ("null", &["-o", "null"]),
        ("none", &["port 1 and port 2"]),
        ("quiet", &["-q", "-c", "3"]),
        ("joined", &["-a", "-O", "bytes", "-n", "5"]),
        ("grouped", &["-A", "proto,srcas", "-O", "packets"]),
        ("grouped-csv", &["-A", "proto,srcas", "-O", "packets", "-o", "csv"]),
        ("stat-srcip", &["-s", "srcip/bytes/flows", "-n", "3"]),
        ("stat-port", &["-s", "dstport:p", "-s", "proto/packets", "-n", "4"]),
        ("stat-flags", &["-s", "flags", "-s", "insrcmac", "-s", "mpls1", "-n", "3"]),
        ("stat-csv", &["-s", "srcip/bytes", "-n", "3", "-o", "csv"]),
        ("stat-json", &["-s", "srcip/bytes", "-s", "proto", "-n", "3", "-o", "json"]),
        ("stat-record", &["-s", "record/bytes", "-n", "3", "-o", "long"]),
        ("info", &["-I"]),
    ] {
        let all = ["-r", &file].into_iter().chain(args.iter().copied());
        golden(name, &without_timing(&stdout_of(FLOWDUMP, all)));
    }
}

#[test]
fn a_table_of_no_flows_has_no_header() {
    let (_scene, file) = file_of(50);
    let args = ["-q", "-r", &file, "-s", "record/bytes", "-s", "record/packets", "bytes > 1t"];
    assert_eq!(stdout_of(FLOWDUMP, args), "No matching flows\n");
    let printed = stdout_of(FLOWDUMP, ["-r", &file, "-s", "record/bytes", "bytes > 1t"]);
    assert!(printed.starts_with("No matching flows\nSummary: total flows: 0"), "{printed}");
}
