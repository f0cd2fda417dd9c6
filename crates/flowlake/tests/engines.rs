//! The same command lines by flowdump and by each engine that is installed: the same rows.
//!
//! tests/prepare installs the engines, as packages of a Python of their own. Each is started once
//! and answers all questions; Spark is a cluster of a master and two workers.

use parquet::file::writer::SerializedFileWriter;
use record::{Addr, Exporter, Field, Flow, FlowSink as _, Meta};
use std::collections::{HashSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use store::{Compression, Packing, Writer, WriterOptions};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowlake");

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
    "-s natsrcip/bytes -n 0",
    "-O bytes -n 10 -o json src nat ip 100.64.0.40",
    "-s dstip/bytes -n 5 ipv6 and not src port < 1024",
    "-b -O bytes -n 10",
    "-B -O packets -n 10 -o long proto tcp",
    "-b -s record/bytes -n 5 net 10.0.0.0/8",
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
    let target = Path::new(PROGRAM).parent()?.parent()?;
    let python = target.join("engines/bin/python");
    if !python.is_file() {
        println!("skipped: no engines: run tests/prepare");
    }
    python.is_file().then_some(python)
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

/// So many flows as a flow file and as a dataset.
fn write(dir: &Path, flows: u64, mut fill: impl FnMut(u64, &mut Flow)) -> (PathBuf, PathBuf) {
    let (file, dataset) = (dir.join("nfcapd.202604101200"), dir.join("dataset"));
    let options =
        WriterOptions { compression: Packing::from(Compression::Lz4), ..Default::default() };
    let mut writer = Writer::create(&file, &options).unwrap();
    let addr = Addr::V4(0xC000_0201);
    writer.meta(Meta::Exporter(Exporter { sysid: 1, version: 9, addr, id: 1 }));
    let mut flow = Flow::new();
    for n in 0..flows {
        fill(n, &mut flow);
        writer.flow(&flow);
    }
    assert_eq!(writer.close(&[]).unwrap().dropped.all(), 0);
    let words = ["write", "-q", "-r", file.to_str().unwrap(), "-w", dataset.to_str().unwrap()];
    let written = run(Path::new(PROGRAM), &words);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    (file, dataset)
}

/// Flows of the comparison: `FLOWSUITE_ENGINE_FLOWS`, or so many.
const FLOWS: u64 = 1_000_000;

/// Lines that are on their way to Spark at once: planning one takes longer than its rows.
const AT_ONCE: usize = 4;

/// When the first flow begins, milliseconds since 1970.
const START_MS: u64 = 1_775_822_400_000;

/// Makes a flow run against another one.
fn answer(question: &Flow, flow: &mut Flow) {
    let row = question.as_row();
    for (field, other) in [(Field::SrcAddr, Field::DstAddr), (Field::DstAddr, Field::SrcAddr)] {
        if let Some(addr) = row.addr(other) {
            flow.set_addr(field, addr);
        }
    }
    flow.set(Field::SrcPort, row.number(Field::DstPort));
    flow.set(Field::DstPort, row.number(Field::SrcPort));
    flow.set(Field::Proto, row.number(Field::Proto));
}

/// What flowdump prints of a line, and what an engine does.
#[derive(Clone, Copy)]
struct Asked<'a> {
    file: &'a Path,
    dataset: &'a Path,
    words: &'a [&'a str],
}

impl Asked<'_> {
    /// flowdump, which is the same program as `flowlake dump`.
    fn flowdump(&self) -> Output {
        let words = [&["dump", "-r", self.file.to_str().unwrap()][..], self.words].concat();
        run(Path::new(PROGRAM), &words)
    }

    fn engine(&self, engine: &Engine) -> Output {
        let from = ["sql", "--engine", engine.name, "--url", &engine.url];
        let dataset = ["-R", self.dataset.to_str().unwrap()];
        run(Path::new(PROGRAM), &[&from[..], &dataset, self.words].concat())
    }
}

/// What differs between rows of flowdump and those of an engine, if something does.
fn difference(line: &str, want: &Output, found: &Output) -> Option<String> {
    let talk = String::from_utf8_lossy(&found.stderr).into_owned();
    let (mut want, mut found) = (rows(want), rows(found));
    if line.contains("-n 0") || (!line.contains("-n") && !line.contains("-s")) {
        // Equal ones keep the order of files, which tables do not have.
        want.sort();
        found.sort();
    }
    if want == found && !want.is_empty() {
        return None;
    }
    let (a, b): (HashSet<_>, HashSet<_>) = (want.iter().collect(), found.iter().collect());
    let (missing, other) = (a.difference(&b).next(), b.difference(&a).next());
    Some(format!("{line}: {talk}\n  {missing:?}\n  {other:?}"))
}

/// The statements of `flowlake schema` are taken, and their view has all flows.
fn schema_serves(engine: &Engine, dataset: &Path, flows: u64) -> Result<(), String> {
    let words = ["schema", "--for", engine.name, "--dataset", dataset.to_str().unwrap()];
    let statements = run(Path::new(PROGRAM), &words).stdout;
    let statements = String::from_utf8(statements).unwrap();
    for statement in statements.split(";\n").filter(|s| !s.trim().is_empty()) {
        ureq::post(&engine.url).send(statement).map_err(|e| format!("{e}: {statement}"))?;
    }
    let url = ["sql", "--engine", engine.name, "--url", &engine.url, "--table", "flows"];
    let words = [&url[..], &["-s", "proto/flows", "-n", "1"]].concat();
    let found = run(Path::new(PROGRAM), &words);
    let (text, talk) =
        (String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&found.stderr));
    match text.contains(&format!("total flows: {flows},")) {
        true => Ok(()),
        false => Err(format!("{text}{talk}")),
    }
}

#[test]
fn engines_and_flowdump_print_the_same_rows() {
    let Some(python) = python() else { return };
    let flows = std::env::var("FLOWSUITE_ENGINE_FLOWS").ok().and_then(|n| n.parse().ok());
    let flows = flows.unwrap_or(FLOWS);
    // The one that takes long to start does so meanwhile.
    let path = python.clone();
    let mut spark = Some(std::thread::spawn(move || Engine::start("spark", &path)));
    let dir = TempDir::new().unwrap();
    let mut traffic = bench::Traffic::new(bench::Model { v6_percent: 15, ..Default::default() });
    let mut before = VecDeque::new();
    let (file, dataset) = write(dir.path(), flows, |n, flow| {
        traffic.fill(START_MS + n * 300_000 / flows, flow);
        // Every fourth is the answer to a flow that was there before.
        if n % 4 == 3
            && let Some(question) = before.pop_front()
        {
            answer(&question, flow);
        }
        if n % 4 == 0 {
            before.push_back(flow.clone());
        }
        // Tables have no order but this one.
        flow.set(Field::Received, START_MS + 600_000 + n);
        if n % 20 == 0 {
            flow.set_addr(Field::XlateSrcAddr, Addr::V4(0x6440_0000 | (n % 4096) as u32));
            flow.set(Field::XlateSrcPort, 1024 + n % 64_512);
            flow.set(Field::NatEvent, 1);
        }
    });
    let all: Vec<Vec<&str>> = LINES.iter().map(|line| line.split(' ').collect()).collect();
    let asked = |words| Asked { file: &file, dataset: &dataset, words };
    let wanted: Vec<Output> = all.iter().map(|words| asked(words).flowdump()).collect();
    let lines: Vec<_> = LINES.iter().zip(&all).zip(&wanted).collect();
    let mut differ = Vec::new();
    for name in ["duckdb", "clickhouse", "spark"] {
        let started = match spark.take_if(|_| name == "spark") {
            Some(starting) => starting.join().unwrap(),
            None => Engine::start(name, &python),
        };
        let Some(engine) = started else {
            println!("skipped: {name} is not installed: run tests/prepare");
            continue;
        };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut differ = Vec::new();
            while let Some(((line, words), want)) = lines.get(next.fetch_add(1, Relaxed)) {
                let found = asked(words).engine(&engine);
                differ.extend(difference(line, want, &found).map(|d| format!("{name}: {d}")));
            }
            differ
        };
        std::thread::scope(|scope| {
            let threads = if name == "spark" { AT_ONCE } else { 1 };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().for_each(|t| differ.extend(t.join().unwrap()));
        });
        let served = schema_serves(&engine, &dataset, flows);
        differ.extend(served.err().map(|e| format!("{name}: schema: {e}")));
        println!("{name}: {} lines, {flows} flows", lines.len());
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Numbers that look random, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// A filter of so many levels at most.
    fn filter(&mut self, levels: usize) -> String {
        match self.below(if levels == 0 { 1 } else { 5 }) {
            0 => self.term(),
            1 => format!("not ({})", self.filter(levels - 1)),
            2 => format!("not {}", self.term()),
            n => {
                let word = if n == 3 { "and" } else { "or" };
                format!("({} {word} {})", self.filter(levels - 1), self.filter(levels - 1))
            }
        }
    }

    fn term(&mut self) -> String {
        let side = self.of(&["", "src ", "dst "]);
        let cmp = self.of(&["", "= ", "> ", "< ", ">= ", "<= "]);
        let number =
            self.of(&["0", "1", "2", "6", "17", "53", "80", "443", "771", "1000", "64500"]);
        let small = self.of(&["0", "1", "2", "3", "8", "24"]);
        let host = self.of(&["10.0.0.1", "10.0.0.7", "10.0.1.3", "192.0.2.1", "2001:db8::1", "::"]);
        let net = self.of(&["10.0.0.0/30", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/126", "::/0"]);
        match self.below(22) {
            0 => format!("proto {}", self.of(&["tcp", "udp", "icmp", "47", "0"])),
            1 | 2 => format!("{side}port {cmp}{number}"),
            3 => format!("{side}port in [53 80 {number}]"),
            4 | 5 => format!("{side}ip {host}"),
            6 | 7 => format!("{side}net {net}"),
            8 => format!("{side}ip in [{net} {host}]"),
            9 => format!("{side}as {cmp}{number}"),
            10 => format!("{side}as in [{number} 64501]"),
            11 => format!("packets {cmp}{number}"),
            12 => format!("bytes {cmp}{number}"),
            13 => format!("flags {}", self.of(&["S", "SA", "=S", "F", "=0"])),
            14 => format!("{} {cmp}{number}", self.of(&["bps", "pps", "bpp", "duration"])),
            15 => format!("{}if {number}", self.of(&["", "in ", "out "])),
            16 => self.of(&["ipv4", "ipv6", "any"]).to_owned(),
            17 => format!("icmp-{} {cmp}{small}", self.of(&["type", "code"])),
            18 => format!("{side}tos {cmp}{small}"),
            19 => format!("{side}nat ip {host}"),
            20 => format!("{side}mask {small}"),
            _ => format!(
                "{} seen > 2026-04-10T12:00:0{}",
                self.of(&["first", "last"]),
                self.below(9)
            ),
        }
    }

    /// A flow that lacks some things.
    fn flow(&mut self, flow: &mut Flow) {
        flow.clear();
        let first = 1_775_822_400_000 + self.below(9000) as u64;
        flow.set(Field::First, first);
        flow.set(Field::Last, first + [0, 1, 999, 1000, 5000][self.below(5)]);
        flow.set(Field::Proto, [6, 6, 17, 1, 58, 47, 0][self.below(7)]);
        flow.set(Field::Packets, self.below(4) as u64);
        flow.set(Field::Bytes, [0, 1, 52, 80, 1000, 64_500][self.below(6)]);
        flow.set(Field::SrcPort, [0, 53, 80, 443, 2048][self.below(5)]);
        flow.set(Field::DstPort, [0, 53, 80, 443, 771, 2048][self.below(6)]);
        flow.set(Field::TcpFlags, [0, 2, 18, 1, 27][self.below(5)]);
        flow.set(Field::SrcTos, self.below(3) as u64);
        let host = |n: usize| 0x0A00_0000 | [0, 1, 2, 7, 0x103, 0x20_0001][n] as u32;
        match self.below(4) {
            0 => {} // without addresses
            1 => [Field::SrcAddr, Field::DstAddr].into_iter().for_each(|f| {
                flow.set_addr(f, Addr::V6(0x2001_0db8 << 96 | self.below(5) as u128));
            }),
            _ => [Field::SrcAddr, Field::DstAddr].into_iter().for_each(|f| {
                flow.set_addr(f, Addr::V4(host(self.below(6))));
            }),
        }
        if self.below(3) > 0 {
            flow.set(Field::SrcAs, [0, 1, 64_500, 64_501, 4_200_000_000][self.below(5)]);
            flow.set(Field::DstAs, [0, 2, 64_500][self.below(3)]);
        }
        if self.below(3) > 0 {
            flow.set(Field::Input, self.below(3) as u64);
            flow.set(Field::Output, [0, 80][self.below(2)]);
        }
        if self.below(3) == 0 {
            flow.set(Field::SrcMask, [0, 6, 17][self.below(3)]);
            flow.set(Field::DstMask, [0, 53][self.below(2)]);
            flow.set(Field::DstTos, self.below(3) as u64);
        }
        if self.below(4) == 0 {
            flow.set_addr(Field::XlateSrcAddr, Addr::V4(host(self.below(6))));
            flow.set_addr(Field::XlateDstAddr, Addr::V4(host(self.below(6))));
        }
    }
}

#[test]
fn random_filters_choose_the_same_rows() {
    let Some(python) = python() else { return };
    let Some(engine) = Engine::start("duckdb", &python) else {
        println!("skipped: duckdb is not installed: run tests/prepare");
        return;
    };
    let dir = TempDir::new().unwrap();
    let mut random = Random(9);
    let (file, dataset) = write(dir.path(), 3000, |_, flow| random.flow(flow));
    let (mut differ, mut compared) = (Vec::new(), 0);
    for _ in 0..300 {
        let filter = random.filter(3);
        let words = ["-q", "-o", "csv:%ts,%te,%pr,%sa,%sp,%da,%dp,%pkt,%byt,%sas,%in", &filter];
        let asked = Asked { file: &file, dataset: &dataset, words: &words };
        let (want, found) = (asked.flowdump(), asked.engine(&engine));
        assert!(want.status.success(), "{filter}: {}", String::from_utf8_lossy(&want.stderr));
        let (mut of_flowdump, mut of_engine) = (rows(&want), rows(&found));
        of_flowdump.sort();
        of_engine.sort();
        compared += usize::from(!of_flowdump.is_empty());
        if of_flowdump != of_engine {
            let talk = String::from_utf8_lossy(&found.stderr);
            let counts = (of_flowdump.len(), of_engine.len());
            differ.push(format!("{filter}: {counts:?} {talk}"));
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    assert!(compared > 100, "only {compared} filters choose a row");
}

/// Flows of few hosts and ports, so that many are answers to others, or to themselves.
#[test]
fn both_directions_are_the_same_conversations() {
    let Some(python) = python() else { return };
    let Some(engine) = Engine::start("duckdb", &python) else {
        println!("skipped: duckdb is not installed: run tests/prepare");
        return;
    };
    let dir = TempDir::new().unwrap();
    let mut random = Random(11);
    let (file, dataset) = write(dir.path(), 3000, |n, flow| {
        random.flow(flow);
        flow.set(Field::First, START_MS + n);
        flow.set(Field::Received, START_MS + 10_000 + n);
        if n % 5 == 0 {
            flow.set(Field::Flows, 1);
            flow.set(Field::OutPackets, n % 7);
            flow.set(Field::OutBytes, n);
        }
    });
    let csv = "csv:%ts,%te,%pr,%sa,%sp,%da,%dp,%ipkt,%opkt,%ibyt,%obyt,%flg,%fl,%in,%sas,%das";
    for line in ["-b -O bytes", "-B -O bytes", "-b -O opackets -n 0 proto tcp or proto 0"] {
        let words: Vec<&str> = line.split(' ').collect();
        // Behind -b, which has a format of its own.
        let words = [&words[..1], &["-q", "-o", csv], &words[1..]].concat();
        let asked = Asked { file: &file, dataset: &dataset, words: &words };
        let (want, found) = (asked.flowdump(), asked.engine(&engine));
        assert!(rows(&want).len() > 100, "{line}: {}", String::from_utf8_lossy(&want.stderr));
        assert_eq!(difference(line, &want, &found), None);
    }
}

/// A server that answers each question with these octets and hangs up.
fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // As much of the question as comes at once: the rest is cut off.
            let _ = stream.read(&mut [0; 1 << 16]);
            let _ = stream.write_all(answer);
        }
    });
    url
}

#[test]
fn an_answer_that_is_cut_is_an_error() {
    let ask = |words: &[&str]| {
        let all = [&["sql"][..], words, &["--table", "flows", "-q", "-o", "csv:%pkt"]].concat();
        run(Path::new(PROGRAM), &all)
    };
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nCode: 241",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\nCode: 241",
    ] {
        let url = server(answer);
        let output = ask(&["--engine", "clickhouse", "--url", &url]);
        let (text, talk) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{:?}: {talk}", String::from_utf8_lossy(answer));
        assert!(text.is_empty() && talk.lines().count() == 1, "{text}{talk}");
    }
    // A Python that ends, all is well, in the middle of it.
    let dir = TempDir::new().unwrap();
    let python = script(dir.path(), "#!/bin/sh\ncat >/dev/null\n");
    let output = ask(&["--engine", "spark", "--python", python.to_str().unwrap()]);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(talk.contains("the answer is cut"), "{talk}");
}

#[test]
fn what_cannot_be_asked_is_said_in_one_line() {
    let dir = TempDir::new().unwrap();
    let (empty, other) = (dir.path().join("empty"), dir.path().join("other"));
    for path in [&empty, &other] {
        std::fs::create_dir(path).unwrap();
    }
    std::fs::write(other.join("data.parquet"), "PAR1").unwrap();
    let message = "message other { required int64 bytes; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(message).unwrap());
    let table = dir.path().join("table.parquet");
    let file = std::fs::File::create(&table).unwrap();
    let options = Arc::default();
    SerializedFileWriter::new(file, schema, options).unwrap().close().unwrap();
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (empty, other, table) = (text(&empty), text(&other), text(&table));
    for (words, want) in [
        (&["-R", &empty][..], "no Parquet file"),
        (&["-R", &other], "data.parquet: cut short or damaged"),
        (&["-r", &table], "table.parquet: "),
        (&["-R", "/nowhere/at/all"], "/nowhere/at/all"),
        (&["--table", "flows; DROP TABLE x"], "letters, digits and _"),
        (&["--table", "flows", "-R", &empty], "name one of them"),
        (&[], "which flows?"),
        (&["--python", "/nowhere/python", "--engine", "spark", "--table", "x"], "is it installed?"),
        (&["--runner", "exit 3", "--table", "x"], "ended with exit status: 3"),
        (&["--url", "http://127.0.0.1:1", "--table", "x"], "does the engine listen there?"),
        (&["--table", "x", "ident lab"], "`ident \"lab\"`"),
    ] {
        let output = run(Path::new(PROGRAM), &[&["sql"], words].concat());
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {talk}");
        assert!(talk.contains(want) && talk.lines().count() == 1, "{words:?}: {talk}");
    }
}

/// A program of these lines.
fn script(dir: &Path, lines: &str) -> PathBuf {
    let path = dir.join("python");
    std::fs::write(&path, lines).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_python_without_the_engine_is_told() {
    let Ok(found) = Command::new("python3").args(["-S", "-c", "pass"]).output() else { return };
    assert!(found.status.success());
    let dir = TempDir::new().unwrap();
    // An isolated Python finds no packages.
    let python = script(dir.path(), "#!/bin/sh\nexec python3 -I -S \"$@\"\n");
    let words =
        ["sql", "--engine", "spark", "--python", python.to_str().unwrap(), "--table", "flows"];
    let output = run(Path::new(PROGRAM), &words);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(talk.contains("has no pyspark") && talk.contains("pip install pyspark"), "{talk}");
}
