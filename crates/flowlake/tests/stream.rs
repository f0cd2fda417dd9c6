//! `flowlake stream` at work: killed, followed, refused; and with a real ClickHouse, where there is one.

use record::{Addr, Field, Flow, FlowSink as _};
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Writer, WriterOptions};

const FLOWLAKE: &str = env!("CARGO_BIN_EXE_flowlake");

/// A file of flows with these source ports, and all their numbers after them.
fn file(path: &Path, ports: std::ops::Range<u64>) {
    let options = WriterOptions { block_size: 1 << 14, ..WriterOptions::default() };
    let mut writer = Writer::create(path, &options).expect("file");
    for n in ports {
        let mut flow = Flow::new();
        // Two months, so that rows go to two partitions.
        flow.set(Field::First, 1_795_168_800_000 + (n % 2) * 30 * 86_400_000);
        flow.set(Field::Last, 1_795_168_900_000 + (n % 2) * 30 * 86_400_000);
        flow.set(Field::SrcPort, n % 60_000);
        flow.set(Field::Bytes, n);
        flow.set_addr(Field::SrcAddr, Addr::V4(n as u32));
        flow.set_addr(Field::DstAddr, Addr::V6(u128::from(n)));
        writer.flow(&flow);
    }
    writer.close(&[]).expect("file");
}

fn flowlake<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(FLOWLAKE);
    command.arg("stream").args(args).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("flowlake")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until something is so, or the program has ended; whether it still runs.
fn runs_until(child: &mut Child, mut is_so: impl FnMut() -> bool) -> bool {
    loop {
        if is_so() {
            return true;
        }
        if child.try_wait().expect("wait").is_some() {
            return false;
        }
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool, missing: &str) {
    for _ in 0..1200 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{missing}");
}

#[test]
fn lines_are_complete_wherever_it_was_killed() {
    let dir = tempfile::tempdir().expect("directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    std::fs::create_dir(path("flows")).expect("directory");
    file(Path::new(&path("flows/nfcapd.202611201000")), 0..30_000);
    file(Path::new(&path("flows/nfcapd.202611201005")), 30_000..60_000);
    let whole = run(&mut flowlake(["-R", &path("flows"), "--to", "ndjson:-"]));
    assert!(whole.status.success(), "{}", said(&whole));
    assert_eq!(whole.stdout.iter().filter(|c| **c == b'\n').count(), 60_000);

    let (target, out, state) = (format!("ndjson:{}", path("out")), path("out"), path("state"));
    let args = ["-R", &path("flows"), "--to", &target, "--state", &state, "--batch", "1"]
        .map(String::from);
    let len = || std::fs::metadata(&out).map_or(0, |m| m.len());
    let mut killed = 0;
    loop {
        let before = len();
        let mut child = flowlake(args.iter().map(String::as_str))
            .stderr(Stdio::null())
            .spawn()
            .expect("flowlake");
        // Some batches more, then the end of it.
        let goes_on = runs_until(&mut child, || len() > before + 1_000_000);
        child.kill().expect("kill");
        let status = child.wait().expect("wait");
        if !goes_on || status.success() {
            assert!(status.success());
            break;
        }
        killed += 1;
    }
    assert!(killed > 0, "it was never killed");
    // All but the running number, which begins anew with each run.
    let text = std::fs::read_to_string(&out).expect("lines");
    let whole = String::from_utf8(whole.stdout).expect("lines");
    let flows = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.split_once(',')?.1.to_owned())).collect()
    };
    assert!(flows(&text) == flows(&whole), "lines differ");
}

#[test]
fn files_are_followed_until_it_is_told_to_end() {
    let dir = tempfile::tempdir().expect("directory");
    let path = |name: &str| dir.path().join(name);
    let text = |name: &str| path(name).to_string_lossy().into_owned();
    std::fs::create_dir(path("flows")).expect("directory");
    file(&path("flows/nfcapd.202611201000"), 0..100);
    file(&path("flows/nfcapd.current.1"), 500..600);
    let args = [
        "--follow",
        &text("flows"),
        "--to",
        &format!("ndjson:{}", text("out")),
        "--interval",
        "1s",
        "src port < 150",
    ];
    let child = flowlake(args).stderr(Stdio::piped()).spawn().expect("flowlake");
    let lines = || std::fs::read_to_string(path("out")).unwrap_or_default().lines().count();
    wait_until(|| lines() == 100, "what was there");
    file(&path("flows/nfcapd.current.2"), 100..200);
    std::fs::rename(path("flows/nfcapd.current.2"), path("flows/nfcapd.202611201005"))
        .expect("rename");
    wait_until(|| lines() == 150, "what was finished since");
    let id = child.id().to_string();
    assert!(Command::new("kill").arg(&id).status().expect("kill").success());
    let output = child.wait_with_output().expect("wait");
    assert!(output.status.success(), "{}", said(&output));
    let summary = "200 flows read, 50 kept out by the filter, 150 delivered in 2 batches";
    assert!(said(&output).contains(summary), "{}", said(&output));
}

#[test]
fn what_cannot_be_done_is_said_in_a_line() {
    let dir = tempfile::tempdir().expect("directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    file(Path::new(&path("flows")), 0..10);
    let (flows, state, missing) = (path("flows"), path("state"), path("none"));
    let lines = format!("ndjson:{}", path("out"));
    let first = run(&mut flowlake(["-r", &flows, "--to", &lines, "--state", &state]));
    assert!(first.status.success(), "{}", said(&first));
    let kafka = "kafka:127.0.0.1:1/t";
    let table: &[(&[&str], i32, &str)] = &[
        (&["-r", &flows, "--to", "http://x"], 1, "--to http://x: kafka:BROKERS/TOPIC"),
        (&["-r", &flows, "--to", kafka], 1, "--state FILE is missing"),
        (&["-r", &flows, "--to", "kafka:h", "--no-state"], 1, "HOST:PORT"),
        (&["-r", &flows, "--to", "clickhouse:h", "--no-state"], 1, "HOST[:PORT]/"),
        (&["--to", &lines], 1, "nothing to read"),
        (&["-r", &missing, "--to", &lines], 1, "none"),
        (&["-r", &flows, "--to", &lines, "--columns", "bytes"], 1, "need --to clickhouse"),
        (&["-r", &flows, "--to", &lines, "--key", "src"], 1, "need --to kafka"),
        (&["-r", &flows, "--to", "ndjson:/", "proto"], 254, ""),
        (&["-r", &flows, "--to", &lines, "--state", &state, "proto 6"], 1, "of another stream"),
        (&["-r", &flows, "--to", &lines, "--state", &flows], 1, "not written by flowlake stream"),
        (&["-r", &flows, "--to", kafka, "--no-state", "--kafka-option", "no.such=1"], 1, "no.such"),
        (
            &["-r", &flows, "--to", "clickhouse:127.0.0.1:1/t", "--no-state", "--patience", "1s"],
            1,
            "tries",
        ),
        (&["--to", "clickhouse:h/t", "--columns", "bites", "--print-create", "new"], 1, "'bites'"),
        (&["-r", &flows, "--to", "otlp+http://h:x", "--no-state"], 1, "otlp+http://HOST"),
        (&["-r", &flows, "--to", "otlp+http://h"], 1, "--state FILE is missing"),
        (&["-r", &flows, "--to", &lines, "--header", "A: b"], 1, "--header needs"),
        (&["-r", &flows, "--to", "otlp+http://h", "--no-state", "--header", "x"], 1, "NAME:VALUE"),
        (&["-r", &flows, "--to", "otlp+https://h", "--no-state", "--ca", &flows], 1, "in PEM"),
        (
            &["-r", &flows, "--to", "clickhouse:https://h/t", "--no-state", "--ca", &missing],
            1,
            "none",
        ),
        (&["-r", &flows, "--to", kafka, "--no-state", "--kafka-option", "@none"], 1, "none"),
    ];
    for (args, status, what) in table {
        let output = run(&mut flowlake(args.iter().copied()));
        let said = said(&output);
        assert_eq!(output.status.code(), Some(*status), "{args:?}: {said}");
        assert!(said.contains(what), "{args:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}

/// What a receiver was sent: how many requests, and the octets of each flow.
type Sent = Arc<Mutex<(usize, Vec<u64>)>>;

/// A receiver of OTLP that takes everything.
fn receiver() -> (u16, Sent) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("port");
    let port = listener.local_addr().expect("port").port();
    let seen = Sent::default();
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            // One that is killed hangs up in the middle.
            while let Some(text) = request(&mut reader) {
                let key = r#""flow.io.bytes","value":{"intValue":""#;
                let flows = text
                    .split(key)
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next()?.parse::<u64>().ok());
                let mut seen = shared.lock().expect("lock");
                seen.1.extend(flows);
                seen.0 += 1;
                drop(seen);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                if (&stream).write_all(answer).is_err() {
                    break;
                }
            }
        }
    });
    (port, seen)
}

/// The body of a request.
fn request(reader: &mut impl BufRead) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

/// It is killed, and goes on with the batch that was on its way: nothing is missing.
#[test]
fn a_receiver_of_log_records_has_each_flow() {
    const FLOWS: u64 = 6000;
    let dir = tempfile::tempdir().expect("directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    file(Path::new(&path("flows")), 0..FLOWS);
    let (port, seen) = receiver();
    let target = format!("otlp+http://127.0.0.1:{port}");
    let (flows, state) = (path("flows"), path("state"));
    let args = ["-r", &flows, "--to", &target, "--state", &state, "--batch", "1"];
    let requests = || seen.lock().expect("lock").0;
    let mut child = flowlake(args).stderr(Stdio::null()).spawn().expect("flowlake");
    let runs = runs_until(&mut child, || requests() >= 3);
    child.kill().expect("kill");
    child.wait().expect("wait");
    let output = run(&mut flowlake(args));
    assert!(output.status.success(), "{}", said(&output));
    let mut got = seen.lock().expect("lock").1.clone();
    let all = got.len();
    got.sort_unstable();
    got.dedup();
    assert!(got.iter().copied().eq(0..FLOWS), "{} of {FLOWS} flows", got.len());
    // One batch may have been on its way.
    assert!(!runs || all < 2 * FLOWS as usize, "{all} of {FLOWS} flows");
}

/// A port that nobody gets by chance, also while the server is down: it lies below those that the
/// kernel gives to whoever asks for any.
fn free_port() -> u16 {
    let first = (std::process::id().wrapping_mul(2_654_435_761) >> 8) % 20_000;
    let ports = (0..20_000).map(|n| 10_000 + ((first + n) % 20_000) as u16);
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}

/// A server of its own: data, port, settings.
struct Server {
    program: &'static str,
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// `None` if there is no ClickHouse.
    fn start(dir: &Path) -> Option<Self> {
        // Not all have the second one in their path.
        let programs = ["clickhouse-server", "/usr/sbin/clickhouse-server"];
        let runs = |program: &&str| Command::new(program).arg("--help").output().is_ok();
        let Some(program) = programs.into_iter().find(runs) else {
            println!("skipped: no clickhouse-server");
            return None;
        };
        let mut server = Self { program, dir: dir.to_owned(), port: free_port(), child: None };
        let at = dir.display();
        let config = format!(
            "<yandex><logger><level>error</level><log>{at}/log</log><errorlog>{at}/err</errorlog>\
             </logger><http_port>{}</http_port><listen_host>127.0.0.1</listen_host>\
             <path>{at}/data/</path><tmp_path>{at}/tmp/</tmp_path>\
             <users_config>{at}/users.xml</users_config><default_profile>default</default_profile>\
             <default_database>default</default_database>\
             <mark_cache_size>10000000</mark_cache_size></yandex>",
            server.port
        );
        let users = "<yandex><profiles><default/></profiles><users><default><password></password>\
             <networks><ip>127.0.0.1</ip></networks><profile>default</profile>\
             <quota>default</quota></default></users><quotas><default/></quotas></yandex>";
        for name in ["data", "tmp"] {
            std::fs::create_dir(dir.join(name)).expect("directory");
        }
        std::fs::write(dir.join("config.xml"), config).expect("config");
        std::fs::write(dir.join("users.xml"), users).expect("users");
        server.go();
        Some(server)
    }

    fn go(&mut self) {
        let child = Command::new(self.program)
            .arg(format!("--config-file={}", self.dir.join("config.xml").display()))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("server"));
        wait_until(|| self.ask("SELECT 1").is_some(), "a server that answers");
    }

    fn ask(&self, sql: &str) -> Option<String> {
        let mut answer = ureq::post(format!("http://127.0.0.1:{}/", self.port)).send(sql).ok()?;
        answer.body_mut().read_to_string().ok().map(|text| text.trim().to_owned())
    }

    fn count(&self) -> u64 {
        let text = self.ask("SELECT count() FROM flows");
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// As a failure of the machine would end it.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Flowlake is killed, then the server under it, again and again: each flow is there once.
#[test]
fn clickhouse_has_each_flow_once_whoever_is_killed() {
    const FLOWS: u64 = 120_000;
    let dir = tempfile::tempdir().expect("directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    for name in ["server", "flows"] {
        std::fs::create_dir(path(name)).expect("directory");
    }
    let Some(mut server) = Server::start(&dir.path().join("server")) else { return };
    for n in 0..4 {
        let name = path(&format!("flows/nfcapd.20261120100{n}"));
        file(Path::new(&name), n * FLOWS / 4..(n + 1) * FLOWS / 4);
    }
    let target = format!("clickhouse:127.0.0.1:{}/flows", server.port);
    let (flows, state) = (path("flows"), path("state"));
    let args = ["-R", &flows, "--to", &target, "--create", "--state", &state, "--batch", "500"]
        .map(String::from);
    let start = || {
        let mut command = flowlake(args.iter().map(String::as_str));
        command.stderr(Stdio::piped()).spawn().expect("flowlake")
    };
    let (mut killed, mut turn) = (0, 0);
    let output = loop {
        let before = server.count();
        let mut child = start();
        if !runs_until(&mut child, || server.count() > before + 5_000) {
            break child.wait_with_output().expect("wait");
        }
        turn += 1;
        if turn % 2 == 1 {
            child.kill().expect("kill");
            child.wait().expect("wait");
        } else {
            // Flowlake goes on with the server that comes after it.
            server.kill();
            server.go();
            let output = child.wait_with_output().expect("wait");
            if turn >= 6 || !output.status.success() {
                break output;
            }
        }
        killed += 1;
    };
    let open = server.ask("SELECT command, parts_to_do FROM system.mutations WHERE is_done = 0");
    assert!(output.status.success(), "{}\n{open:?}", said(&output));
    assert!(killed > 0 || turn > 0, "nobody was killed");
    let answer = server.ask("SELECT count(), uniqExact(bytes), sum(bytes), max(bytes) FROM flows");
    let sum = FLOWS * (FLOWS - 1) / 2;
    assert_eq!(answer, Some(format!("{FLOWS}\t{FLOWS}\t{sum}\t{}", FLOWS - 1)));
    let answer = server.ask(
        "SELECT src_port, IPv6NumToString(src_addr), IPv6NumToString(dst_addr), flows, flow_start \
         FROM flows WHERE bytes = 66051",
    );
    assert_eq!(answer.as_deref(), Some("6051\t::ffff:0.1.2.3\t::0.1.2.3\t1\t1797760800000000000"));
}
