//! What operators do with `flowcapd` besides collecting: check, configure, look at, repeat, filter,
//! read from files, expire.

mod common;

use common::capd::{Account, Capd, DAY, assert_listed, flows_in, listed};
use common::exports::{ipfix, line, v5, v9};
use common::{FLOWCAPD, Scene, flow_files, run, stdout_of, wait_until};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// The number after `name` in the log, such as a port.
fn port_after(log: &str, name: &str) -> u16 {
    let (_, rest) = log.split_once(name).unwrap_or_else(|| panic!("no '{name}' in:\n{log}"));
    let rest = rest.lines().next().expect("a line");
    let digits = rest.rsplit(':').next().expect("port");
    digits.trim().parse().unwrap_or_else(|_| panic!("{rest}"))
}

#[test]
fn check_says_what_works_and_what_does_not() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let free = common::free_port().to_string();
    let check = |args: &[&str]| {
        let output = run(FLOWCAPD, ["check", "-C", "none"].iter().chain(args));
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, said) = check(&["-w", text(&dir), "-p", &free, "-x", "true %f"]);
    assert_eq!(code, Some(0), "{said}");
    for part in
        ["options: understood", "may be written to", "disk of", "port", "receive buffer", "clock"]
    {
        assert!(said.contains(part), "no '{part}' in\n{said}");
    }
    assert!(!said.contains("FAIL"), "{said}");
    let capd = Capd::start(&scene, "running", &[DAY]);
    let taken = capd.port.to_string();
    for (args, wrong) in [
        (&["-w", "/no/such/dir", "-p", &free][..], "options: directory /no/such/dir"),
        (&["-w", text(&dir), "-p", &taken], "port"),
        (&["-w", text(&dir), "-p", &free, "-x", "/no/such/program %f"], "-x"),
        (&["-w", text(&dir), "-p", &free, "-F", "src prot 80"], "-F"),
        (&["-w", text(&dir), "-p", &free, "-u", "no-such-user"], "user"),
        (&["-w", text(&dir), "-p", &free, "-R", "host/0"], "-R"),
        (&["-w", text(&dir), "-p", &free, "--http=nonsense"], "--http"),
        (&["-w", text(&dir), "-p", &free, "-m", "/no/such/dir/socket"], "-m"),
        (
            &["-w", text(&dir), "-p", &free, "--tls", "--tls-cert", "/no", "--tls-key", "/no"],
            "--tls",
        ),
    ] {
        let (code, said) = check(args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        let failed: Vec<_> = said.lines().filter(|l| l.starts_with("FAIL")).collect();
        assert!(failed.len() == 1 && failed[0].contains(wrong), "{args:?}: {said}");
    }
    assert_eq!(flow_files(&dir), [] as [PathBuf; 0], "nothing is created");
    capd.stop();
}

#[test]
fn options_come_from_a_file() {
    let scene = Scene::new();
    let (one, two) = (scene.dir("one"), scene.dir("two"));
    let conf = scene.path("flowcapd.toml");
    let sources = format!(
        "interval = 86400\nport = 0\nbind = \"127.0.0.1\"\n\
         [[source]]\nident = \"one\"\nfrom = \"127.0.0.2\"\ndir = \"{}\"\n\
         [[source]]\nident = \"two\"\nfrom = [\"127.0.0.3\", \"127.0.0.4/32\"]\ndir = \"{}\"\n\
         sampling = 10\n",
        one.display(),
        two.display()
    );
    std::fs::write(&conf, sources).expect("configuration");
    let daemon = common::Daemon::start(FLOWCAPD, ["-C", text(&conf)], scene.path("log"));
    daemon.wait_for("Startup flowcapd.");
    let port = port_after(&daemon.log(), "Bound to IPv4 host: 127.0.0.1, ");
    for (from, n) in [(2u8, 0), (3, 1), (4, 2), (5, 3)] {
        let datagrams = [v9(u32::from(from), 0, n..n + 1, true)];
        common::capd::send_from([127, 0, 0, from].into(), port, &datagrams);
    }
    daemon.wait_for("127.0.0.5: belongs to no source");
    daemon.stop();
    assert_listed(&one, [0], "as listed");
    // The second source says how its exporters sample, so packets and octets are ten times that.
    let want: Vec<_> = [1, 2].map(|n| line(n).replace(" 10 1000", " 100 10000")).into();
    assert_eq!(listed(&two), want);
}

#[test]
fn several_ports_and_senders_that_are_allowed() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let args = [
        "-C",
        "none",
        "-w",
        text(&dir),
        DAY,
        "-4",
        "-p",
        "0",
        "-p",
        "0",
        "--allow",
        "127.0.0.2/31",
    ];
    let daemon = common::Daemon::start(FLOWCAPD, args, scene.path("log"));
    daemon.wait_for("Startup flowcapd.");
    let log = daemon.log();
    let ports: Vec<u16> = log
        .lines()
        .filter(|l| l.starts_with("Bound to"))
        .map(|l| l.rsplit(' ').next().and_then(|p| p.parse().ok()).expect("port"))
        .collect();
    assert_eq!(ports.len(), 2, "{log}");
    for (n, port) in (0..).zip(ports) {
        for from in [1, 2, 3, 4u8] {
            let n = n * 4 + u32::from(from);
            common::capd::send_from([127, 0, 0, from].into(), port, &[v9(n, 0, n..n + 1, true)]);
        }
    }
    wait_until(|| flows_in(&dir) == 4, || daemon.log());
    let account = Account::read(&daemon.stop());
    assert_eq!(account.get("ignored packets"), 4, "{account:?}");
    assert_listed(&dir, [2, 3, 6, 7], "of those allowed");
}

#[test]
fn only_what_a_filter_wants_is_stored() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "-F", "dst port 443 and src net 10.0.0.0/27"]);
    capd.send([v9(1, 0, 0..40, true)]);
    let dir = capd.dir.clone();
    let account = capd.stop();
    assert_listed(&dir, (0..32).step_by(2), "what the filter keeps");
    assert_eq!(account.get("Flows filtered out"), 24, "{account:?}");
    let output = run(FLOWCAPD, ["-C", "none", "-w", text(&dir), "-p", "0", "-F", "count < 3"]);
    assert_eq!(output.status.code(), Some(1));
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    answer
}

#[test]
fn a_collector_shows_itself_over_http() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "--http=127.0.0.1:0"]);
    let port = port_after(&capd.daemon.log(), "HTTP: ");
    capd.send([v9(7, 0, 0..5, true), ipfix(8, 0, 5..9, true)]);
    let metric = "flowcapd_datagrams_received_total{source=\"none\"} 2";
    wait_until(|| get(port, "/metrics").contains(metric), || get(port, "/metrics"));
    assert!(get(port, "/healthz").starts_with("HTTP/1.1 200"), "{}", get(port, "/healthz"));
    let addr = format!("--templates=127.0.0.1:{port}");
    let templates = stdout_of(FLOWCAPD, ["-C", "none", &addr]);
    for part in ["sourceIPv4Address", "octetDeltaCount", "300"] {
        assert!(templates.contains(part), "no '{part}' in\n{templates}");
    }
    capd.stop();
    let gone = run(FLOWCAPD, ["-C", "none", &addr]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("--http"), "{gone:?}");
}

#[test]
fn datagrams_are_sent_on() {
    let scene = Scene::new();
    let target = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let other = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let [all, only] =
        [&target, &other].map(|s| format!("127.0.0.1/{}", s.local_addr().expect("address").port()));
    let options = [DAY, "-R", &all, "-R", &format!("{only},version=9")];
    let capd = Capd::start(&scene, "flows", &options);
    let sent = [v5(0, 0..3), v9(1, 0, 3..6, true), ipfix(1, 0, 6..9, true)];
    capd.send(&sent);
    let take = |socket: &UdpSocket, count: usize| {
        socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("timeout");
        let mut buffer = [0; 2000];
        let mut take_one = || {
            let len = socket.recv(&mut buffer).expect("a datagram");
            buffer[..len].to_vec()
        };
        (0..count).map(|_| take_one()).collect::<Vec<_>>()
    };
    assert_eq!(take(&target, 3), sent);
    assert_eq!(take(&other, 1), sent[1..2]);
    let dir = capd.dir.clone();
    capd.wait_for_flows(9);
    capd.stop();
    assert_listed(&dir, 0..9, "stored here, too");
}

#[test]
fn captures_are_read_in_place_of_the_network() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/demo.pcap");
    let output = run(FLOWCAPD, ["-C", "none", "-f", demo, "-w", text(&dir)]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(flows_in(&dir), 5000, "{stderr}");
    // Slots are those of the capture, not of now.
    let now = store::side::day_of(sys::clock::now_ms() / 1000);
    assert!(flow_files(&dir).iter().all(|f| !text(f).contains(&now)), "{:?}", flow_files(&dir));
    let missing = run(FLOWCAPD, ["-C", "none", "-f", "/no/such.pcap", "-w", text(&dir)]);
    assert_eq!(missing.status.code(), Some(1));
    let messages = scene.path("ipfix");
    let file = [ipfix(1, 0, 0..20, true), ipfix(1, 20, 20..40, false)].concat();
    std::fs::write(&messages, file).expect("file");
    let other = scene.dir("other");
    let output = run(FLOWCAPD, ["-C", "none", "-Y", text(&messages), "-w", text(&other), DAY]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_listed(&other, 0..40, "messages of a file");
}

#[test]
fn messages_come_over_tcp() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "-4", "--tcp=0"]);
    capd.daemon.wait_for("IPFIX over TCP: listening on");
    let port = port_after(&capd.daemon.log(), "IPFIX over TCP: listening on ");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let octets = [ipfix(1, 0, 0..20, true), ipfix(1, 20, 20..40, false)].concat();
    for piece in octets.chunks(77) {
        stream.write_all(piece).expect("send");
    }
    capd.wait_for_flows(40);
    drop(stream);
    // Templates end with their connection, so this has none.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.write_all(&ipfix(1, 40, 40..60, false)).expect("send");
    stream.write_all(&ipfix(1, 60, 60..80, true)).expect("send");
    capd.wait_for_flows(60);
    let dir = capd.dir.clone();
    let account = capd.stop();
    assert_listed(&dir, (0..40).chain(60..80), "over TCP");
    assert_eq!(account.get("Sets without template"), 1, "{account:?}");
}

#[test]
fn old_files_go_when_new_ones_come() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    for n in 10..20 {
        std::fs::write(dir.join(format!("nfcapd.2026010100{n}")), vec![0; 100_000]).expect("file");
    }
    if !common::has("nfexpire") {
        return;
    }
    stdout_of("nfexpire", ["-u", text(&dir), "-s", "500k", "-w", "50"]);
    let capd = Capd::start_with(&scene, "capd", dir.clone(), &["-w", text(&dir), DAY, "-e"]);
    capd.send([v9(1, 0, 0..5, true)]);
    let log = capd.daemon.stop();
    for part in [
        "Run expire on '",
        "Limits: Filesize 512000 = 500.0 KB, Lifetime <none>, Watermark: 50%",
        "expire completed",
        "   expired files: ",
    ] {
        assert!(log.contains(part), "no '{part}' in\n{log}");
    }
    let left = flow_files(&dir).len();
    assert!((1..=4).contains(&left), "{left} files: {log}");
}
