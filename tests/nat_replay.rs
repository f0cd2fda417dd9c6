//! `flownatd --replay`: recorded events of a router to every kind of record, as collectors, ours and
//! others, read them. Needs no privileges.

mod common;

use bench::capture;
use common::capd::{Capd, DAY};
use common::{Daemon, FLOWDUMP, Scene, flow_files, free_port, has, run, stdout_of, wait_until};
use serde_json::Value;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

const FLOWNATD: &str = env!("CARGO_BIN_EXE_flownatd");

fn recording(name: &str) -> String {
    format!("{}/fixtures/conntrack/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Replays a recording with these options, and returns what it printed.
fn replay(name: &str, options: &[&str]) -> String {
    stdout_of(FLOWNATD, [&["-c", "none", "--replay", &recording(name)], options].concat())
}

/// What each connection of the recording is told as: by the lines of JSON.
fn sessions(kind: &str) -> Vec<Value> {
    let lines = replay("events.txt", &["--ndjson", "-"]);
    let all = lines.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON"));
    all.filter(|v| v["type"] == kind).collect()
}

/// Kinds of records, the version that carries them, and a filter for a record of each end.
const KINDS: [(&str, &str, &str); 5] = [
    ("triplet", "5", "proto tcp and src ip 192.168.77.10"),
    ("nel", "9", "nat event 2"),
    ("nsel", "9", "asa event 2"),
    ("events", "10", "nat event 5"),
    ("biflow", "10", "nat ip 203.0.113.1 or nat ip 192.168.77.10"),
];

#[test]
fn forms_of_a_recording_tell_the_same() {
    let hex = replay("events.hex", &["--ndjson", "-"]);
    let text = replay("events.txt", &["--ndjson", "-"]);
    let count = |lines: &str, what: &str| lines.matches(what).count();
    let (begin, end) = ("\"type\":\"begin\"", "\"type\":\"end\"");
    assert!(count(&text, begin) >= 20 && count(&text, begin) == count(&text, end), "{text}");
    assert_eq!(count(&hex, end), count(&text, end));
}

#[test]
fn lines_in_nfflowds_columns() {
    let csv = replay("events.txt", &["--csv", "-", "-e", "192.0.2.1", "--protocol", "tcp"]);
    let (header, lines) = csv.split_once('\n').expect("lines");
    assert!(header.starts_with("#:unix_secs,") && header.split(',').count() == 18, "{header}");
    assert!(lines.lines().all(|l| l.split(',').count() == 18 && l.contains(",192.0.2.1,")));
    let ends = sessions("end").into_iter().filter(|v| v["proto"] == 6);
    let want: usize = ends.map(|v| if v["nat"] == "none" { 2 } else { 3 }).sum();
    assert_eq!(lines.lines().count(), want);
}

#[test]
fn flowcapd_and_flowdump_read_each_kind() {
    let scene = Scene::new();
    for (kind, version, filter) in KINDS {
        let capd = Capd::start(&scene, kind, &[DAY]);
        let to = format!("127.0.0.1:{},version={version},records={kind}", capd.port);
        replay("events.txt", &["--output", &to]);
        // A collector makes two flows of a record with both directions.
        let answered = sessions("end").iter().filter(|v| v["out_packets"] != 0).count();
        let want = expected(kind) + if kind == "biflow" { answered } else { 0 };
        capd.wait_for_flows(want);
        let dir = capd.dir.clone();
        capd.stop();
        let dir = dir.to_str().expect("text");
        let all = stdout_of(FLOWDUMP, ["-q", "-R", dir, "-o", "ndjson"]);
        assert_eq!(all.lines().count(), want, "{kind}");
        let some = stdout_of(FLOWDUMP, ["-q", "-R", dir, "-o", "fmt:%sap %nsap %nda", filter]);
        assert!(some.contains("192.168.77.10"), "{kind}: {some}");
        if kind != "triplet" {
            assert!(some.contains("203.0.113.1:"), "{kind}: {some}");
        }
        ask(dir, kind);
    }
}

/// Records that the recording makes of a kind.
fn expected(kind: &str) -> usize {
    let (begins, ends) = (sessions("begin").len(), sessions("end"));
    match kind {
        "biflow" => ends.len(),
        "triplet" => {
            let v4 = ends.iter().filter(|v| !v["src"].to_string().contains(':'));
            v4.map(|v| if v["nat"] == "none" { 2 } else { 3 }).sum()
        }
        _ => begins + ends.len(),
    }
}

/// Each kind of record answers who had the port of a translated connection.
fn ask(dir: &str, kind: &str) {
    let ends = sessions("end");
    let is_one =
        |v: &&Value| v["proto"] == 6 && v["nat"] == "source" && v["src"] == "192.168.77.11";
    let one = ends.iter().find(is_one).expect("a connection with another port outside");
    let at = (one["start"].as_f64().unwrap() / 1000.0).to_string();
    let port = one["xlate_src_port"].to_string();
    let said = run(FLOWNATD, ["-c", "none", "who", "--json", "203.0.113.1", &port, &at, dir]);
    let v: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!(v["holders"][0]["inside"], "192.168.77.11", "{kind}: {v}");
    assert_eq!(v["holders"][0]["inside_port"], one["src_port"], "{kind}: {v}");
}

#[test]
fn nfcapd_and_nfdump_read_each_kind() {
    if !(has("nfcapd") && has("nfdump")) {
        return;
    }
    let scene = Scene::new();
    for (kind, version, _) in KINDS {
        let dir = scene.dir(kind);
        let path = dir.to_str().expect("text").to_owned();
        let port = free_port().to_string();
        let args = ["-w", &path, "-p", &port, "-b", "127.0.0.1"];
        let daemon = Daemon::start("nfcapd", args, scene.path(format!("{kind}.log")));
        daemon.wait_for("Startup");
        // It listens a moment later.
        let is_bound = || UdpSocket::bind(("127.0.0.1", port.parse().unwrap())).is_err();
        wait_until(is_bound, || daemon.log());
        let to = format!("127.0.0.1:{port},version={version},records={kind}");
        replay("events.txt", &["--output", &to]);
        wait_until(|| common::waiting(port.parse().unwrap()) == 0, || daemon.log());
        daemon.stop();
        let files = flow_files(&dir);
        let said: String = files.iter().map(|file| nfdump(file)).collect();
        assert_eq!(said.lines().count(), expected(kind), "{kind}\n{said}");
        let translated = ["203.0.113.1:", "192.168.77.10:"];
        assert!(translated.iter().all(|t| said.contains(t)), "{kind}\n{said}");
    }
}

fn nfdump(file: &Path) -> String {
    let columns = "fmt:%pr %sap %dap %nsap %ndap %ibyt %obyt";
    stdout_of("nfdump", ["-q", "-6", "-r", file.to_str().expect("text"), "-o", columns])
        .lines()
        .filter(|l| !l.trim().is_empty())
        .fold(String::new(), |all, l| all + l + "\n")
}

#[test]
fn tshark_decodes_each_datagram() {
    if !has("tshark") {
        return;
    }
    let scene = Scene::new();
    for (kind, version, _) in KINDS {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
        let port = socket.local_addr().expect("address").port();
        let to = format!("127.0.0.1:{port},version={version},records={kind}");
        replay("events.txt", &["--output", &to]);
        // All of it is there, for the program has ended.
        socket.set_nonblocking(true).expect("nonblocking");
        let path = scene.path(kind);
        let file = std::fs::File::create(&path).expect("file");
        let mut file = capture::Writer::new(file).expect("header");
        let (mut buffer, mut datagrams) = ([0; 9000], 0);
        while let Ok(len) = socket.recv(&mut buffer) {
            let from = ([192, 0, 2, 1].into(), 4000);
            file.write(1_700_000_000_000_000_000, from, 9995, &buffer[..len]).expect("write");
            datagrams += 1;
        }
        file.finish().expect("finish");
        let path = path.to_str().expect("text");
        let args = ["-r", path, "-d", "udp.port==9995,cflow", "-T", "fields"];
        let fields = ["-e", "cflow.version", "-e", "_ws.malformed", "-e", "_ws.expert.message"];
        let said = stdout_of("tshark", args.iter().chain(&fields));
        assert!(datagrams > 0 && said.lines().count() == datagrams, "{kind}: {said}");
        for line in said.lines() {
            assert_eq!(line.trim(), version, "{kind}: {said}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let scene = Scene::new();
    let path = scene.path("events");
    std::fs::write(&path, "# a comment\nnothing of the kind\n").expect("write");
    let said = run(FLOWNATD, ["-c", "none", "--csv", "-", "--replay", path.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("line 2: no line of conntrack"), "{text}");
    assert_eq!(said.status.code(), Some(1));
    let said = run(FLOWNATD, ["-c", "none", "--replay", &recording("events.txt")]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("nobody gets what is found"));
    assert_eq!(said.status.code(), Some(1));
}

/// Files that lie far from the moment are looked at only if those near it do not tell.
#[test]
fn who_looks_near_the_moment_first() {
    const DAY: u64 = 86_400;
    let scene = Scene::new();
    let (path, files) = (scene.path("events"), scene.dir("files"));
    let line = |at: u64, what: &str, port: u16| {
        format!(
            "[{at}.000000]\t[{what}] tcp 6 120 CLOSE src=10.0.0.{} dst=203.0.113.10 sport={port} \
             dport=80 src=203.0.113.10 dst=203.0.113.1 sport=80 dport={port} id={at}\n",
            1 + at / DAY % 200,
        )
    };
    let start = 1_700_000_000;
    let held = [0, 30, 60].map(|days| start + days * DAY);
    let mut text = line(start - 1, "NEW", 999);
    for at in held {
        text += &(line(at, "NEW", 2000) + &line(at, "DESTROY", 2000).replacen(".0", ".9", 1));
    }
    std::fs::write(&path, text).expect("write");
    let (path, dir) = (path.to_str().unwrap(), files.to_str().unwrap());
    let options = ["-c", "none", "--replay", path, "-w", dir, "--file-records", "events"];
    let said = run(FLOWNATD, options);
    assert!(said.status.success(), "{said:?}");
    assert!(flow_files(&files).len() >= 3);
    let ask = |port: &str, at: u64| {
        let at = at.to_string();
        let said = run(FLOWNATD, ["-c", "none", "who", "--json", "203.0.113.1", port, &at, dir]);
        serde_json::from_slice::<Value>(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
    };
    for at in held {
        let v = ask("2000", at);
        let inside = format!("10.0.0.{}", 1 + at / DAY % 200);
        assert_eq!(v["holders"][0]["inside"].as_str(), Some(inside.as_str()), "{v}");
        assert_eq!(v["records"], 2, "those of other months were left out: {v}");
    }
    // Open for a month.
    assert_eq!(ask("999", held[1])["holders"].as_array().map(Vec::len), Some(1));
}
