//! `flowreplay`: flows of files go to collectors and become the same flows again; captured exports
//! come as they were.

mod common;

use bench::capture::Writer;
use common::capd::{Capd, DAY};
use common::exports::v9;
use common::flows::FlowFile;
use common::{
    Daemon, FLOWDUMP, Scene, flow_files, free_port, give_way, has, run, stdout_of, wait_until,
};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const FLOWREPLAY: &str = env!("CARGO_BIN_EXE_flowreplay");

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A file of flows.
fn file(scene: &Scene, flows: u64, rare_fields: bool) -> PathBuf {
    let path = scene.path("original");
    FlowFile { flows, rare_fields, ..FlowFile::default() }.write(&path);
    path
}

/// What a flow is to every version that carries it.
const PLAIN: &str = "fmt:%ts %te %pr %sap %dap %flg %tos %pkt %byt %in %out %sas %das %smk %dmk";

/// What v5 has room for in every flow; nfcapd does not keep its masks.
const NARROW: &str = "fmt:%ts %te %pr %sap %dap %flg %tos %pkt %byt %in %out";

/// What v9 and IPFIX carry besides.
const FULL: &str = "fmt:%ts %te %pr %sap %dap %flg %stos %dtos %ipkt %ibyt %opkt %obyt %in %out \
                    %sas %das %nas %pas %smk %dmk %nh %nhb %svln %dvln %ismc %odmc %idmc %osmc \
                    %mpls1 %mpls2 %cl %sl %al %evt %xsap %xdap %pbstart %pbend %ivrf %evrf %dir";

/// The flows of files as a program lists them, in an order of their own.
fn listed(program: &str, files: &[PathBuf], format: &str, filter: &str) -> Vec<String> {
    let list = |file: &PathBuf| {
        stdout_of(program, ["-q", "-N", "-6", "-r", text(file), "-o", format, filter])
    };
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut all: Vec<String> =
        files.iter().map(list).flat_map(|l| l.lines().map(words).collect::<Vec<_>>()).collect();
    all.retain(|line| line != common::capd::NOTHING);
    all.sort();
    all
}

/// The options of a test: to this port, slowly enough for any buffer.
fn replay(port: u16, args: &[&str]) -> std::process::Output {
    let port = port.to_string();
    run(FLOWREPLAY, [&["-p", &port, "--rate", "20k"], args].concat())
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_flowcapd_gets_is_what_the_file_had() {
    for (version, format, filter, flows) in [
        ("5", NARROW, "ipv4", 800),
        ("9", FULL, "any", 1000),
        ("10", FULL, "any", 1000),
        ("ipfix", FULL, "any", 1000),
    ] {
        let scene = Scene::new();
        // What v5 has no place for is told below.
        let original = file(&scene, flows, version != "5");
        let want = listed(FLOWDUMP, std::slice::from_ref(&original), format, filter);
        assert!(want.len() > 500);
        let capd = Capd::start(&scene, "flows", &[DAY]);
        let output = replay(capd.port, &["-v", version, "-r", text(&original), filter]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains(&format!("{} flows in ", want.len())), "{}", said(&output));
        capd.wait_for_flows(want.len());
        let dir = capd.dir.clone();
        let account = capd.stop();
        assert_eq!(account.get("Bad Packets"), 0);
        assert_eq!(account.get("Sequence Errors"), 0);
        let got = listed(FLOWDUMP, &flow_files(&dir), format, "any");
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want, "version {version}");
        }
        assert_eq!(got.len(), want.len(), "version {version}");
    }
}

#[test]
fn what_nfcapd_gets_is_what_the_file_had() {
    if !has("nfcapd") || !has("nfdump") {
        return;
    }
    for (version, filter, format) in
        [("5", "ipv4", NARROW), ("9", "any", PLAIN), ("10", "any", PLAIN)]
    {
        let scene = Scene::new();
        let original = file(&scene, 1000, false);
        let want = listed("nfdump", std::slice::from_ref(&original), format, filter);
        let dir = scene.dir("flows");
        let port = free_port();
        let to = port.to_string();
        let args = ["-w", text(&dir), "-p", &to, "-b", "127.0.0.1", "-t", "86400"];
        let nfcapd = Daemon::start("nfcapd", args, scene.path("nfcapd.log"));
        nfcapd.wait_for("Startup nfcapd.");
        let output = replay(port, &["-v", version, "-r", text(&original), filter]);
        assert!(output.status.success(), "{}", said(&output));
        give_way(port);
        wait_until(|| common::waiting(port) == 0, || "nfcapd does not read".to_owned());
        let log = nfcapd.stop();
        assert!(log.contains("Sequence Errors: 0, Bad Packets: 0"), "{log}");
        let got = listed("nfdump", &flow_files(&dir), format, "any");
        assert_eq!(got.len(), want.len(), "version {version}: {log}");
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want, "version {version}");
        }
    }
}

/// All that comes to a port until a program has ended.
fn received(socket: &UdpSocket, program: Command) -> (Vec<(SocketAddr, Vec<u8>)>, String, i32) {
    let mut program = program;
    let child = program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.env("TZ", "UTC").spawn().expect("start");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
    let (mut all, mut buffer, mut child) = (Vec::new(), vec![0; 65_536], Some(child));
    let mut ended = None;
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => all.push((from, buffer[..len].to_vec())),
            // Loopback delivers before sending returns.
            Err(_) if ended.is_some() => break,
            Err(_) => {
                if child.as_mut().is_some_and(|c| c.try_wait().expect("wait").is_some()) {
                    ended = child.take();
                }
            }
        }
    }
    let output = ended.expect("ended").wait_with_output().expect("output");
    (all, said(&output), output.status.code().unwrap_or(-1))
}

fn command(program: &str, socket: &UdpSocket, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    let port = socket.local_addr().expect("address").port().to_string();
    command.args(["-p", &port]).args(args);
    command
}

fn socket(address: &str) -> UdpSocket {
    UdpSocket::bind((address, 0)).expect("bind")
}

#[test]
fn command_lines_of_nfreplay_go_on_working() {
    let scene = Scene::new();
    let original = file(&scene, 200, false);
    let filter = scene.path("filter");
    std::fs::write(&filter, "proto udp").unwrap();
    let link = scene.path("nfreplay");
    symlink(FLOWREPLAY, &link).unwrap();
    let (f, flt) = (text(&original), text(&filter));
    let count = |filter: &str| {
        listed(FLOWDUMP, std::slice::from_ref(&original), PLAIN, filter).len() as u64
    };
    for (args, version, flows) in [
        (&["-r", f][..], 9, 200),
        (&["-r", f, "-H", "127.0.0.1", "-d", "10"], 9, 200),
        (&["-i", "127.0.0.1", "-r", f, "-4", "-b", "100000", "-z", "1000000"], 9, 200),
        (&["-r", f, "-H", "localhost", "-4", "-v", "9", "-E"], 9, 200),
        (&["-r", f, "-v", "5", "ipv4"], 5, count("ipv4")),
        (&["-r", f, "-S", "127.0.0.1", "-c", "7"], 9, 7),
        (&["-r", f, "-f", flt], 9, count("proto udp")),
        (&["-r", f, "-f", flt, "proto tcp"], 9, count("proto tcp")),
        (
            &["-r", f, "-t", "2026/11/20.10:00:05", "-d", "0"],
            9,
            count("first seen > 2026-11-20T10:00:05"),
        ),
        (&["-r", f, "-Y", "-c", "3"], 9, 3),
    ] {
        let socket = socket("127.0.0.1");
        let (got, told, status) = received(&socket, command(text(&link), &socket, args));
        assert_eq!((status, told.contains("left out")), (0, false), "{args:?}: {told}");
        let mut decoded = 0;
        for (_, datagram) in &got {
            assert_eq!(u16::from_be_bytes([datagram[0], datagram[1]]), version, "{args:?}");
            if version == 5 {
                decoded += u64::from(u16::from_be_bytes([datagram[2], datagram[3]]));
            }
        }
        if version == 9 {
            let scene = Scene::new();
            let capd = Capd::start(&scene, "again", &[DAY]);
            capd.send(got.iter().map(|(_, bytes)| bytes));
            capd.wait_for_flows(flows as usize);
            decoded = common::capd::flows_in(&capd.dir) as u64;
            capd.stop();
        }
        assert_eq!(decoded, flows, "{args:?}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_status() {
    let scene = Scene::new();
    let original = file(&scene, 50, true);
    let garbage = scene.path("garbage");
    std::fs::write(&garbage, "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let link = scene.path("nfreplay");
    symlink(FLOWREPLAY, &link).unwrap();
    let f = text(&original);
    for (args, ours, theirs, told) in [
        (&["-r", f, "zebra"][..], 254, 254, "zebra"),
        (&["-r", f, "-f", "/nonexistent"], 255, 255, "/nonexistent"),
        (&["-r", "/nonexistent"], 1, 1, "/nonexistent"),
        (&["-r", text(&garbage)], 1, 0, "garbage"),
        (&["-r", f, "-v", "7"], 1, 1, "Invalid netflow version: 7"),
        (&["-r", f, "-v", "250"], 1, 1, "use 10"),
        (&["-r", f, "-t", "zebra"], 1, 1, "zebra"),
        (&["-r", f, "-4", "-6"], 1, 1, "cannot be used with"),
        (&["-r", f, "-H", "::1", "-4"], 1, 1, "no address of that family"),
        (&["-r", f, "-j", "127.0.0.1"], 1, 1, "no multicast group"),
        (&["-r", f, "--tcp"], 1, 1, "-v 10"),
        (&["-r", f, "--capture", f], 1, 1, "cannot be used with"),
        (&["--capture", f], 1, 1, "original"),
    ] {
        for (program, status) in [(FLOWREPLAY, ours), (text(&link), theirs)] {
            let output = run(program, args);
            assert_eq!(output.status.code(), Some(status), "{args:?}: {}", said(&output));
            assert!(said(&output).contains(told), "{args:?}: {}", said(&output));
        }
    }
    let socket = socket("127.0.0.1");
    let (_, told, status) = received(&socket, command(FLOWREPLAY, &socket, &["-v5", "-r", f]));
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("flows left out: NetFlow v5 has no IPv6"), "{told}");
    assert!(told.contains("events left out"), "{told}");
}

#[test]
fn standard_input_directories_and_damage() {
    let scene = Scene::new();
    let dir = scene.dir("many");
    for (n, name) in ["nfcapd.202611201000", "nfcapd.202611201005"].iter().enumerate() {
        FlowFile { flows: 500, seed: n as u64, ..FlowFile::default() }.write(&dir.join(name));
    }
    let socket = socket("127.0.0.1");
    let (_, told, status) = received(&socket, command(FLOWREPLAY, &socket, &["-R", text(&dir)]));
    assert!(status == 0 && told.contains("1000 flows in "), "{told}");
    let first = dir.join("nfcapd.202611201000");
    let mut piped = command(FLOWREPLAY, &socket, &[]);
    let input = std::fs::File::open(&first).unwrap();
    let output = piped.stdin(input).output().unwrap();
    assert!(output.status.success() && said(&output).contains("500 flows in "));
    // Half of a file is half of its flows, and no success.
    let whole = std::fs::read(&first).unwrap();
    std::fs::write(&first, &whole[..whole.len() / 2]).unwrap();
    let (got, told, status) = received(&socket, command(FLOWREPLAY, &socket, &["-R", text(&dir)]));
    assert!(status == 1 && !got.is_empty() && !told.contains("1000 flows"), "{told}");
}

#[test]
fn ipv6_and_multicast() {
    let scene = Scene::new();
    let original = file(&scene, 100, false);
    let f = text(&original);
    let v6 = socket("::1");
    for args in [&["-r", f, "-6"][..], &["-r", f, "-H", "::1"]] {
        let (got, told, status) = received(&v6, command(FLOWREPLAY, &v6, args));
        assert!(status == 0 && !got.is_empty(), "{told}");
        assert!(got.iter().all(|(from, _)| from.is_ipv6()));
    }
    let group = socket("0.0.0.0");
    let joined = group.join_multicast_v4(&[239, 77, 3, 9].into(), &[127, 0, 0, 1].into());
    if joined.is_err() {
        return eprintln!("skipped: no multicast on loopback here");
    }
    let args = ["-r", f, "-j", "239.77.3.9", "-S", "127.0.0.1"];
    let (got, told, status) = received(&group, command(FLOWREPLAY, &group, &args));
    if told.contains("unreachable") {
        return eprintln!("skipped: no route to multicast groups here");
    }
    assert_eq!(status, 0, "{told}");
    assert!(got.iter().all(|(from, _)| from.ip().is_loopback()));
}

#[test]
fn size_and_domain_of_datagrams_are_as_asked_for() {
    let scene = Scene::new();
    let original = file(&scene, 300, false);
    let f = text(&original);
    let socket = socket("127.0.0.1");
    let largest = |args: &[&str]| {
        let args = [&["-r", f, "-v", "10", "-b", "200000"], args].concat();
        let (got, told, status) = received(&socket, command(FLOWREPLAY, &socket, &args));
        assert!(status == 0 && !got.is_empty(), "{told}");
        let domains = got.iter().map(|(_, d)| u32::from_be_bytes(d[12..16].try_into().unwrap()));
        let lengths = got.iter().map(|(_, d)| d.len());
        (lengths.max().unwrap(), domains.collect::<std::collections::BTreeSet<_>>())
    };
    assert!(matches!(largest(&["--mtu", "600", "--domain", "77"]),
        (500..=600, domains) if domains == [77].into()));
    assert!(matches!(largest(&[]), (601..=1400, domains) if domains == [0].into()));
    for (args, what) in [
        (&["--mtu", "100"][..], "--mtu"),
        (&["--tcp", "-v", "9"], "--tcp is for IPFIX"),
        (&["--spoof", "--domain", "1"], "--domain"),
        (&["-H", "127.0.0.1", "-j", "239.1.1.1"], "--group"),
    ] {
        let output = run(FLOWREPLAY, [&["-r", f], args].concat());
        assert!(!output.status.success() && said(&output).contains(what), "{}", said(&output));
    }
}

#[test]
fn over_tcp_everything_arrives_as_fast_as_it_can_be_taken() {
    let scene = Scene::new();
    let original = file(&scene, 20_000, true);
    let want = listed(FLOWDUMP, std::slice::from_ref(&original), FULL, "any");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port().to_string();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        let (mut stream, _) = listener.accept().expect("accept");
        std::io::Read::read_to_end(&mut stream, &mut all).expect("read");
        all
    });
    let args = ["-r", text(&original), "-p", &port, "-v", "10", "--tcp", "-d", "0"];
    let output = run(FLOWREPLAY, args);
    assert!(output.status.success(), "{}", said(&output));
    // Messages one behind the other; the sequence number is that of all records before.
    let (all, messages) = (reader.join().expect("reader"), scene.path("messages.ipfix"));
    std::fs::write(&messages, &all).expect("write");
    let got = scene.dir("got");
    let output = run(common::FLOWCAPD, ["-Y", text(&messages), "-w", text(&got)]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(listed(FLOWDUMP, &flow_files(&got), FULL, "any") == want);
}

#[test]
fn encrypted_files_and_several_directories_are_read() {
    let scene = Scene::new();
    let key = scene.path("key");
    std::fs::write(&key, "secret\n").expect("write");
    let from_file = format!("-K=@{}", text(&key));
    for name in ["one", "two"] {
        let encrypted = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/layout3/encrypted");
        std::fs::copy(encrypted, scene.dir(name).join("nfcapd.202611201000")).expect("copy");
    }
    let both = format!("{}:two", text(&scene.path("one")));
    let socket = socket("127.0.0.1");
    let args = ["-M", &both, "-r", "nfcapd.202611201000"];
    let (_, told, status) = received(&socket, command(FLOWREPLAY, &socket, &args));
    assert!(status == 1 && told.contains("-K"), "{told}");
    let args = [&args[..], &[&from_file]].concat();
    let (_, told, status) = received(&socket, command(FLOWREPLAY, &socket, &args));
    // The fixture has no seal, and that is told.
    assert!(status == 1 && told.contains("4 flows in "), "{told}");
}

#[test]
fn flows_end_now_if_that_is_asked_for() {
    let scene = Scene::new();
    let original = file(&scene, 300, false);
    let durations = |files: &[PathBuf]| listed(FLOWDUMP, files, "fmt:%pr %sap %dap %td", "any");
    for version in ["5", "9", "10"] {
        let capd = Capd::start(&scene, version, &[DAY]);
        let before = sys::clock::now_ms();
        let output = replay(capd.port, &["-v", version, "--now", "-r", text(&original), "ipv4"]);
        let after = sys::clock::now_ms();
        assert!(output.status.success(), "{}", said(&output));
        let want =
            listed(FLOWDUMP, std::slice::from_ref(&original), "fmt:%pr %sap %dap %td", "ipv4");
        capd.wait_for_flows(want.len());
        let dir = capd.dir.clone();
        capd.stop();
        assert_eq!(durations(&flow_files(&dir)), want, "version {version}");
        for file in flow_files(&dir) {
            let ends = stdout_of(FLOWDUMP, ["-q", "-r", text(&file), "-o", "fmt:%ter"]);
            for end in ends.lines().filter_map(|l| l.trim().parse::<f64>().ok()) {
                let end = (end * 1000.0).round() as u64;
                assert!((before..=after).contains(&end), "{before} {end} {after}");
            }
        }
    }
}

/// Two routers with a domain each, whose flows are told apart by `n`.
fn two_routers() -> [(SocketAddr, u32, std::ops::Range<u32>); 2] {
    [
        ("127.7.0.1:1001".parse().unwrap(), 11, 0..40),
        ("127.7.0.2:1002".parse().unwrap(), 22, 40..70),
    ]
}

#[test]
fn exporters_stay_who_they_were() {
    if sys::raw::Spoofer::open(false).is_err() {
        return eprintln!("skipped: no right to raw sockets");
    }
    let scene = Scene::new();
    let first = Capd::start(&scene, "first", &[DAY]);
    for (from, id, flows) in two_routers() {
        common::capd::send_from(from.ip(), first.port, &[v9(id, 0, flows, true)]);
    }
    first.wait_for_flows(70);
    let dir = first.dir.clone();
    first.stop();
    let file = flow_files(&dir).remove(0);
    for version in ["5", "9", "10"] {
        let again = Capd::start(&scene, version, &[DAY]);
        let output = replay(again.port, &["--spoof", "-v", version, "-r", text(&file)]);
        assert!(output.status.success(), "{}", said(&output));
        again.wait_for_flows(70);
        let dir = again.dir.clone();
        again.stop();
        common::capd::assert_listed(&dir, 0..70, version);
        let exporters = stdout_of(FLOWDUMP, ["-E", text(&flow_files(&dir)[0])]);
        for (from, id, flows) in two_routers() {
            let (ip, count) = (from.ip().to_string(), flows.len());
            let line = exporters.lines().find(|l| l.contains(&ip)).unwrap_or_default();
            assert!(line.contains(&format!("ID: {id},")), "{exporters}");
            assert!(line.contains(&format!("flows: {count}")), "{exporters}");
        }
    }
    // Nobody sends over IPv6 in the name of an IPv4 address.
    let six = socket("::1");
    let args = ["--spoof", "-6", "-r", text(&file)];
    let (got, told, status) = received(&six, command(FLOWREPLAY, &six, &args));
    assert!(got.is_empty() && status == 1 && told.contains("70 flows left out"), "{told}");
}

/// A capture of what two routers sent, with something to another port in between.
fn capture(path: &Path) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    let mut out = Writer::new(std::fs::File::create(path).unwrap()).unwrap();
    for step in 0..10u32 {
        let at_us = 250_000 * u64::from(step);
        for (from, id, flows) in two_routers() {
            let flows = flows.start..flows.start + 3;
            let datagram = v9(id, step * 3, flows, step == 0);
            let SocketAddr::V4(sender) = from else { unreachable!("IPv4") };
            out.write(at_us, (*sender.ip(), sender.port()), 2055, &datagram).unwrap();
            all.push((from, datagram));
        }
        out.write(at_us, ([127, 0, 0, 1].into(), 999), 53, b"something else").unwrap();
    }
    out.finish().unwrap();
    all
}

#[test]
fn captures_are_sent_as_they_were() {
    let scene = Scene::new();
    let path = scene.path("export.pcap");
    let want = capture(&path);
    let bytes = |all: &[(SocketAddr, Vec<u8>)]| all.iter().map(|d| d.1.clone()).collect::<Vec<_>>();
    let here = socket("127.0.0.1");
    let run = |args: &[&str]| {
        let args = [&["--capture", text(&path), "--captured-port", "2055"], args].concat();
        received(&here, command(FLOWREPLAY, &here, &args))
    };
    for args in [&["-d", "0"][..], &["--rate", "5000"], &["-z", "100"], &[], &["-d", "50"]] {
        let (got, told, status) = run(args);
        assert_eq!((status, bytes(&got)), (0, bytes(&want)), "{args:?}: {told}");
        assert!(told.contains("10 datagrams left out: to other ports"), "{told}");
    }
    let (got, ..) = run(&["-c", "3"]);
    assert_eq!(bytes(&got), bytes(&want[..3]));
    if sys::raw::Spoofer::open(false).is_ok() {
        let (got, told, status) = run(&["--spoof", "-d", "0"]);
        assert_eq!((status, &got), (0, &want), "{told}");
    }
    // A capture that is cut: what there is goes out, and the end is told.
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let (got, told, status) = run(&["-d", "0"]);
    assert_eq!((status, got.len()), (1, want.len()), "{told}");
}
