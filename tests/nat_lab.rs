//! `flownatd` in a router of the test's own: what it tells is what was sent, once each, also when
//! the kernel drops events. `conntrack -E` runs beside it.
//!
//! Three network namespaces, a router with source NAT and a forwarded port between two hosts.
//! `FLOWSUITE_FULL=1` makes the burst 20 000 connections.

mod common;

use common::{Daemon, Scene, has, run, stdout_of, wait_until};
use nat::text::{Line, Replay};
use nat::{Kind, Translation};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const FLOWNATD: &str = env!("CARGO_BIN_EXE_flownatd");

/// Inside, router, outside; gone after the test.
struct Lab {
    names: [String; 3],
}

const RULES: &str = "
table ip lab {
    chain pre { type nat hook prerouting priority dstnat;
        ip daddr 198.18.9.1 tcp dport 8080 dnat to 10.232.9.2:80; }
    chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }
}";

impl Lab {
    const INSIDE: &str = "10.232.9.2";
    const PUBLIC: &str = "198.18.9.1";
    const OUTSIDE: &str = "198.18.9.2";

    /// `None`, with a line that says so, where namespaces or NAT cannot be made.
    fn new(name: &str) -> Option<Self> {
        if !(has("ip") && has("nft") && has("conntrack")) {
            return None;
        }
        let names = ["i", "r", "o"].map(|end| format!("fsn{end}{}{name}", std::process::id()));
        let lab = Self { names };
        let [inside, router, outside] = &lab.names;
        let steps = [
            format!("netns add {inside}"),
            format!("netns add {router}"),
            format!("netns add {outside}"),
            format!("link add eth netns {inside} type veth peer name lan netns {router}"),
            format!("link add eth netns {outside} type veth peer name wan netns {router}"),
            format!("-n {inside} addr add 10.232.9.2/24 dev eth"),
            format!("-n {router} addr add 10.232.9.1/24 dev lan"),
            format!("-n {router} addr add 198.18.9.1/24 dev wan"),
            format!("-n {outside} addr add 198.18.9.2/24 dev eth"),
            format!("-n {inside} link set eth up"),
            format!("-n {router} link set lan up"),
            format!("-n {router} link set wan up"),
            format!("-n {router} link set lo up"),
            format!("-n {outside} link set eth up"),
            format!("-n {inside} route add default via 10.232.9.1"),
            format!("netns exec {router} nft {RULES}"),
            format!(
                "netns exec {router} sysctl -q -w net.ipv4.ip_forward=1 \
                 net.netfilter.nf_conntrack_udp_timeout=600"
            ),
        ];
        for step in &steps {
            let made = match step.split_once(" nft ") {
                Some((before, rules)) => run("ip", before.split(' ').chain(["nft", rules])),
                None => run("ip", step.split_whitespace()),
            };
            if !made.status.success() {
                eprintln!("skipped: {}", String::from_utf8_lossy(&made.stderr).trim());
                return None;
            }
        }
        Some(lab)
    }

    /// Runs `f` on a thread inside of a namespace. Sockets stay where they were made.
    fn within<T: Send + 'static>(&self, n: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
        let name = format!("/run/netns/{}", self.names[n]);
        let enter = move || {
            let namespace = std::fs::File::open(name).expect("namespace");
            // Of this thread alone, which ends at once.
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("enter");
            f()
        };
        std::thread::spawn(enter).join().expect("thread")
    }

    fn router(&self, scene: &Scene, log: &str, command: &[&str]) -> Daemon {
        let exec = [&["netns", "exec", &self.names[1]], command].concat();
        Daemon::start("ip", exec, scene.path(log))
    }

    fn flownatd(&self, scene: &Scene, options: &[&str]) -> Daemon {
        let lines = scene.path("lines");
        let ours = [FLOWNATD, "-c", "none", "--set-sysctls", "--ndjson", lines.to_str().unwrap()];
        let daemon = self.router(scene, "natd.log", &[&ours[..], options].concat());
        daemon.wait_for("Startup flownatd");
        daemon
    }

    /// `conntrack -E`, once it hears.
    fn listener(&self, scene: &Scene, options: &[&str]) -> Daemon {
        let ours = ["conntrack", "-E", "-o", "timestamp,id,extended"];
        let daemon = self.router(scene, "events", &[&ours[..], options].concat());
        // It says nothing when it is ready: connections that go nowhere are made until it tells one.
        let is_there = || {
            self.within(0, || {
                let socket = UdpSocket::bind((Self::INSIDE, 9)).expect("bind");
                socket.send_to(b"x", (Self::OUTSIDE, 9)).expect("send");
            });
            stdout_of("ip", ["netns", "exec", &self.names[1], "conntrack", "-F"]);
            daemon.log().contains("[NEW]")
        };
        wait_until(is_there, || "an event".to_owned());
        daemon
    }

    fn flush(&self) {
        stdout_of("ip", ["netns", "exec", &self.names[1], "conntrack", "-F"]);
    }

    /// A TCP server in a namespace, which sends as many octets as it is told.
    fn serve(&self, n: usize, addr: &'static str) {
        let listener = self.within(n, move || TcpListener::bind((addr, 80)).expect("bind"));
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut asked = [0; 4];
                if stream.read_exact(&mut asked).is_ok() {
                    let _ = stream.write_all(&vec![b'x'; u32::from_be_bytes(asked) as usize]);
                }
            }
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            // A daemon in the background, if a test failed.
            let left = Command::new("ip").args(["netns", "pids", name]).output();
            let left = left.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
            for pid in left.unwrap_or_default().split_whitespace() {
                let _ = Command::new("kill").arg(pid).output();
            }
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

/// Asks for so many octets, and reads them.
fn fetch(to: (&str, u16), len: u32) {
    let mut stream = TcpStream::connect(to).expect("connect");
    stream.write_all(&len.to_be_bytes()).expect("send");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("read");
    assert_eq!(got.len(), len as usize);
}

/// What `flownatd` has told so far, whole lines only.
fn told(scene: &Scene) -> Vec<Value> {
    let text = std::fs::read_to_string(scene.path("lines")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn count(all: &[Value], kind: &str) -> usize {
    all.iter().filter(|v| v["type"] == kind).count()
}

/// Addresses and ports before and after, protocol, id.
fn key(v: &Value) -> String {
    let names = ["src", "src_port", "dst", "dst_port", "xlate_src", "xlate_src_port", "xlate_dst"];
    let names = names.iter().chain(&["xlate_dst_port", "proto", "id"]);
    names.map(|n| v[*n].to_string().replace('"', "")).collect::<Vec<_>>().join(" ")
}

/// What `conntrack -E` has told of one kind: octets of both directions by [`key`]. Without port 9,
/// which the listener was waited for with, as often as it took.
fn events(log: &str, wanted: Kind) -> BTreeMap<String, [u64; 2]> {
    let (mut replay, mut all) = (Replay::new(), BTreeMap::new());
    for line in log.lines().filter(|l| l.starts_with('[')) {
        let Ok(Line::Entry(kind, _)) = replay.read(line.as_bytes()) else { panic!("{line}") };
        if kind != wanted {
            continue;
        }
        let e = replay.entry();
        let t = Translation::of(e);
        if t.dst.port == 9 {
            continue;
        }
        let ends = [t.src, t.dst, t.xlate_src, t.xlate_dst];
        let ends: Vec<_> = ends.iter().map(|e| format!("{} {}", e.addr, e.port)).collect();
        let key = format!("{} {} {}", ends.join(" "), e.orig.proto, e.id);
        let octets = e.counters.map_or([0; 2], |c| c.map(|c| c.octets));
        assert!(all.insert(key, octets).is_none(), "twice: {line}");
    }
    all
}

#[test]
fn every_connection_is_told_once_as_conntrack_tells_it() {
    let Some(lab) = Lab::new("a") else { return };
    let scene = Scene::new();
    let files = scene.dir("files");
    let natd = lab.flownatd(&scene, &["-w", files.to_str().unwrap()]);
    let beside = lab.listener(&scene, &[]);
    lab.serve(2, Lab::OUTSIDE);
    lab.serve(0, Lab::INSIDE);
    lab.within(0, || {
        for n in 0..20 {
            fetch((Lab::OUTSIDE, 80), n * 500);
        }
        for n in 0..20u16 {
            let socket = UdpSocket::bind((Lab::INSIDE, 20_000 + n)).expect("bind");
            socket.send_to(&vec![0; usize::from(n) * 10], (Lab::OUTSIDE, 7)).expect("send");
        }
    });
    lab.within(2, || (1..=5).for_each(|n| fetch((Lab::PUBLIC, 8080), n * 1000)));
    lab.flush();
    // Those that the listener was waited for with have port 9.
    let is_ours = |v: &Value| v["dst_port"] != 9;
    let all = || told(&scene).into_iter().filter(is_ours).collect::<Vec<_>>();
    wait_until(|| count(&all(), "end") >= 45, || format!("{:?}", all()));
    let lost = || events(&beside.log(), Kind::Destroy).len();
    wait_until(|| lost() >= 45, || beside.log());
    let log = natd.stop();
    let (all, beside) = (all(), beside.log());
    for (kind, event) in [("begin", Kind::New), ("end", Kind::Destroy)] {
        let theirs = events(&beside, event);
        let of_kind = || all.iter().filter(|v| v["type"] == kind);
        let ours: BTreeMap<_, _> = of_kind()
            .map(|v| (key(v), ["bytes", "out_bytes"].map(|n| v[n].as_u64().unwrap_or(0))))
            .collect();
        assert_eq!(of_kind().count(), 45, "{kind}: {log}");
        assert_eq!(ours, theirs, "{kind}");
        assert!(of_kind().all(|v| v["sure"] == "exact"));
    }
    // Each datagram has 28 octets of headers; of TCP, what was asked for is in the answers.
    let end = |port: u64| all.iter().find(|v| v["type"] == "end" && v["src_port"] == port);
    for n in 0..20 {
        let v = end(20_000 + n).expect("a datagram's connection");
        assert_eq!((v["bytes"].as_u64(), v["nat"].as_str()), (Some(28 + n * 10), Some("source")));
    }
    let forwards = all.iter().filter(|v| v["type"] == "end" && v["nat"] == "destination");
    let mut octets: Vec<_> = forwards.map(|v| v["out_bytes"].as_u64().unwrap()).collect();
    octets.sort_unstable();
    assert!(octets.len() == 5 && (1000..1400).contains(&octets[0]), "{octets:?}");
    who(&files);
}

/// The files answer for each datagram's port.
fn who(files: &Path) {
    let dir = files.to_str().unwrap();
    let events = ["-q", "-R", dir, "-o", "fmt:%nsp %msec %sp", "nat event 4 and proto udp"];
    let lines = stdout_of(common::FLOWDUMP, events);
    let mut asked = 0;
    for line in lines.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [port, at, sport] = words[..] else { panic!("{line}") };
        if sport == "9" {
            continue;
        }
        asked += 1;
        let said = run(FLOWNATD, ["-c", "none", "who", "--json", Lab::PUBLIC, port, at, dir]);
        let v: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
        let holder = &v["holders"][0];
        assert_eq!(holder["inside"], Lab::INSIDE, "{v}");
        assert_eq!(holder["inside_port"].to_string(), sport, "{v}");
        assert_eq!((&v["sure"], said.status.code()), (&"exact".into(), Some(0)), "{v}");
        let of_flowdump = format!("{},{port},{at}", Lab::PUBLIC);
        let same = run(common::FLOWDUMP, ["-R", dir, "--nat-who", &of_flowdump, "-o", "json"]);
        assert_eq!(same.stdout, said.stdout);
    }
    assert_eq!(asked, 20, "{lines}");
    let none = run(FLOWNATD, ["-c", "none", "who", Lab::PUBLIC, "1", "1700000000", dir]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
}

#[test]
fn what_the_kernel_drops_is_made_up_for() {
    let Some(lab) = Lab::new("b") else { return };
    let scene = Scene::new();
    let is_full = std::env::var_os("FLOWSUITE_FULL").is_some();
    let connections: u32 = if is_full { 20_000 } else { 2000 };
    let small = ["--buffer", "64k", "--max-buffer", "64k"];
    let natd = lab.flownatd(&scene, &small);
    let beside = lab.listener(&scene, &["-b", "65536"]);
    // What reads too slowly does not read at all meanwhile: the queue is sure to be full.
    natd.signal("STOP");
    lab.within(0, move || {
        let to: SocketAddr = (Lab::OUTSIDE.parse::<std::net::IpAddr>().unwrap(), 7).into();
        for n in 0..connections {
            let socket = UdpSocket::bind((Lab::INSIDE, 10_000 + n as u16)).expect("bind");
            socket.send_to(b"burst", to).expect("send");
        }
    });
    natd.signal("CONT");
    let ours = || told(&scene).into_iter().filter(|v| v["dst_port"] != 9).collect::<Vec<_>>();
    let is_told = |kind: &'static str| {
        let all = ours();
        count(&all, kind) >= connections as usize && count(&all, "degraded") > 0
    };
    wait_until(
        || is_told("begin"),
        || format!("{} begins\n{}", count(&ours(), "begin"), natd.log()),
    );
    natd.signal("STOP");
    lab.flush();
    natd.signal("CONT");
    wait_until(|| is_told("end"), || format!("{} ends\n{}", count(&ours(), "end"), natd.log()));
    let log = natd.stop();
    let all = ours();
    for kind in ["begin", "end"] {
        let mut ports: Vec<_> = all
            .iter()
            .filter(|v| v["type"] == kind)
            .map(|v| v["src_port"].as_u64().expect("port"))
            .collect();
        ports.sort_unstable();
        let want: Vec<_> = (0..u64::from(connections)).map(|n| 10_000 + n).collect();
        assert_eq!(ports, want, "{kind}: once each\n{log}");
        assert!(all.iter().any(|v| v["type"] == kind && v["sure"] == "resync"), "{kind}\n{log}");
    }
    assert!(log.contains("the kernel dropped events"), "{log}");
    let beside = beside.log();
    let (new, ended) = (beside.matches("[NEW]").count(), beside.matches("[DESTROY]").count());
    println!(
        "{connections} connections: conntrack -E with 64 KiB told {new} begins and {ended} ends; \
         flownatd all of both, {} begins and {} ends by looking at the table, {} degraded times",
        all.iter().filter(|v| v["type"] == "begin" && v["sure"] == "resync").count(),
        all.iter().filter(|v| v["type"] == "end" && v["sure"] == "resync").count(),
        count(&all, "degraded"),
    );
}

#[test]
fn without_privileges_it_says_what_is_missing() {
    if !has("setpriv") || !nix::unistd::geteuid().is_root() {
        return;
    }
    let args = ["--reuid", "65534", "--clear-groups", "--bounding-set", "-all", FLOWNATD];
    let said = run("setpriv", args.iter().chain(&["-c", "none", "--csv", "-"]));
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("CAP_NET_ADMIN") && text.lines().count() == 1, "{text}");
    assert_eq!(said.status.code(), Some(1));
    let check = run("setpriv", args.iter().chain(&["-c", "none", "check", "--csv", "-"]));
    let text = String::from_utf8_lossy(&check.stdout);
    assert!(text.contains("FAIL  privileges: CAP_NET_ADMIN is missing"), "{text}");
    assert!(!text.contains("load nf_conntrack_netlink"), "no module would help: {text}");
    assert_eq!(check.status.code(), Some(1));
}

#[test]
fn words_of_a_daemon_in_the_background() {
    let Some(lab) = Lab::new("w") else { return };
    let scene = Scene::new();
    let (files, lines) = (scene.dir("files"), scene.dir("json").join("lines"));
    for dir in [&files, lines.parent().unwrap(), files.parent().unwrap()] {
        let to_all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(dir, to_all).expect("permissions");
    }
    let (pid, config) = (scene.path("pid"), scene.path("toml"));
    let text =
        format!("pid-file = {pid:?}\nwrite = {files:?}\nndjson = {lines:?}\nset-sysctls = true\n");
    let text = text + "user = \"nobody\"\nnat-only = true\n";
    std::fs::write(&config, text).expect("write");
    let word = |word: &str| {
        let exec = ["netns", "exec", &lab.names[1], FLOWNATD, "-c", config.to_str().unwrap(), word];
        let said = run("ip", exec);
        let text = [said.stdout, said.stderr].concat();
        (said.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let number = || std::fs::read_to_string(&pid).unwrap_or_default();
    assert_eq!(word("stop").0, Some(0), "nothing to stop");
    assert_eq!(word("reload").0, Some(1), "nobody to tell");
    let send = |port: u16| {
        lab.within(0, move || {
            let socket = UdpSocket::bind((Lab::INSIDE, port)).expect("bind");
            socket.send_to(b"x", (Lab::OUTSIDE, 7)).expect("send");
        });
    };
    send(5000);
    let said = word("start");
    assert_eq!(said.0, Some(0), "{}", said.1);
    let first = number();
    let said = word("start");
    assert!(said.0 == Some(1) && said.1.contains("is running"), "{said:?}");
    assert!(word("check").1.contains(&format!("daemon: process {}", first.trim())));
    assert_eq!(word("restart").0, Some(0));
    assert!(!number().is_empty() && number() != first);
    assert_eq!(word("reload").0, Some(0));
    // Found by a dump, as nobody with that one capability.
    let told = || std::fs::read_to_string(&lines).unwrap_or_default();
    wait_until(
        || told().contains("\"src_port\":5000,"),
        || format!("{} {}", told(), word("check").1),
    );
    send(5001);
    let ask = |port: &str| {
        let dir = files.to_str().unwrap();
        run(FLOWNATD, ["-c", "none", "who", "--json", Lab::PUBLIC, port, "2100000000", dir])
    };
    // Already from the file that is being written.
    wait_until(|| ask("5001").status.code() == Some(0), || format!("{:?}", ask("5001")));
    assert_eq!(ask("5001").stderr, b"", "nothing is wrong with it");
    assert_eq!(word("stop").0, Some(0));
    assert!(!pid.exists(), "it ended, and its file is gone");
    let said = ask("5000");
    let v: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!((&v["holders"][0]["inside"], &v["sure"]), (&Lab::INSIDE.into(), &"resync".into()));
}
