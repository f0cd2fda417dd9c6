//! Faults made on purpose: what was injected is what the ledger says, to the last datagram.
//!
//! Loss is made by the kernel between two network namespaces of the test's own: a rule of nftables
//! drops one packet of a hundred at random and counts (`tc netem` would do it, too, but not all
//! kernels have it). Duplicates, reordering and late templates are made by the sender, a full disk by
//! a small file system.

mod common;

use common::capd::{Capd, DAY, assert_listed, flows_in, listed, open_files};
use common::exports::{ipfix, v5, v9};
use common::manager::Manager;
use common::{Daemon, FLOWCAPD, Running, Scene, flow_files, has, run, stdout_of, wait_until};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use store::loss::{Account, ExporterStatement, Statements};

/// Flows of a datagram.
const FLOWS: u32 = 20;

/// The accounts of all exporters in a directory, all slots together.
fn ledger(dir: &Path) -> Vec<ExporterStatement> {
    let mut all: Vec<ExporterStatement> = Vec::new();
    let mut statements = Statements::new();
    for file in flow_files(dir) {
        for statement in statements.of(&file).expect("statements") {
            for exporter in &statement.exporters {
                assert!(exporter.is_balanced(), "{exporter:?}");
                match all.iter_mut().find(|e| e.number == exporter.number) {
                    Some(sum) => sum.merge(exporter),
                    None => all.push(exporter.clone()),
                }
            }
        }
    }
    all
}

/// The account of this unit of the only exporter with this version.
fn account(ledger: &[ExporterStatement], version: u16, unit: &str) -> Account {
    let of: Vec<_> = ledger.iter().filter(|e| e.version == version).collect();
    let [exporter] = of[..] else { panic!("exporters of version {version}: {ledger:?}") };
    exporter.account(unit).unwrap_or_else(|| panic!("no {unit}: {exporter:?}")).clone()
}

/// How much there is of a cause.
fn cause(account: &Account, what: &str) -> u64 {
    account.causes.iter().filter(|c| c.what == what).map(|c| c.count).sum()
}

/// Two network namespaces and a wire between them, gone after the test.
struct Lab {
    names: [String; 2],
}

impl Lab {
    const SENDER: &str = "10.231.7.1";
    const COLLECTOR: &str = "10.231.7.2";

    /// `None`, with a line that says so, where namespaces cannot be made.
    fn new(name: &str) -> Option<Self> {
        if !(has("ip") && has("nft")) {
            return None;
        }
        let names = ["s", "c"].map(|end| format!("fs{end}{}{name}", std::process::id()));
        let lab = Self { names };
        let [sender, collector] = &lab.names;
        let can = |command: &str| {
            let made = run("ip", command.split(' '));
            if !made.status.success() {
                eprintln!("skipped: {}", String::from_utf8_lossy(&made.stderr).trim());
            }
            made.status.success()
        };
        let rule = "add rule inet faults out numgen random mod 100 0 counter drop";
        let chain = "add chain inet faults out { type filter hook output priority 0; }";
        let is_possible = can(&format!("netns add {sender}"))
            && can(&format!("netns add {collector}"))
            && can(&format!(
                "link add wire netns {sender} type veth peer name wire netns {collector}"
            ))
            && ["add table inet faults", chain, rule, "delete table inet faults"]
                .iter()
                .all(|nft| can(&format!("netns exec {sender} nft {nft}")));
        if !is_possible {
            return None;
        }
        for (end, addr) in [(sender, Self::SENDER), (collector, Self::COLLECTOR)] {
            stdout_of("ip", ["-n", end, "addr", "add", &format!("{addr}/24"), "dev", "wire"]);
            stdout_of("ip", ["-n", end, "link", "set", "wire", "up"]);
        }
        Some(lab)
    }

    fn capd(&self, scene: &Scene, dir: &Path) -> (Daemon, SocketAddr) {
        let log = scene.path("capd.log");
        let dir = dir.to_str().expect("text");
        let exec = ["netns", "exec", &self.names[1], FLOWCAPD, "-C", "none", "-w", dir, DAY];
        let daemon = Daemon::start("ip", exec.into_iter().chain(["-p", "9995"]), log);
        daemon.wait_for("Startup flowcapd.");
        (daemon, format!("{}:9995", Self::COLLECTOR).parse().expect("address"))
    }

    /// A socket on the sender's side.
    fn socket(&self) -> UdpSocket {
        let name = format!("/run/netns/{}", self.names[0]);
        let enter = move || {
            let namespace = std::fs::File::open(name).expect("namespace");
            // Of this thread alone, which ends at once; the socket stays where it was made.
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("enter");
            UdpSocket::bind("0.0.0.0:0").expect("bind")
        };
        std::thread::spawn(enter).join().expect("thread")
    }

    fn nft(&self, command: &str) -> String {
        stdout_of("ip", ["netns", "exec", &self.names[0], "nft", command])
    }

    /// From now on the wire loses one of a hundred.
    fn lose(&self) {
        self.nft("add table inet faults");
        self.nft("add chain inet faults out { type filter hook output priority 0; }");
        self.nft("add rule inet faults out udp dport 9995 numgen random mod 100 0 counter drop");
    }

    /// From now on it loses nothing. Returns how many packets it has lost.
    fn heal(&self) -> u64 {
        let said = self.nft("list table inet faults");
        self.nft("delete table inet faults");
        let n = said.split_once("counter packets ").and_then(|(_, rest)| rest.split_once(' '));
        n.and_then(|(n, _)| n.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

/// Sends at a pace that loses nothing by itself.
fn send(socket: &UdpSocket, to: SocketAddr, datagrams: impl IntoIterator<Item = Vec<u8>>) {
    for (n, datagram) in datagrams.into_iter().enumerate() {
        // What a rule drops on the way out is an error of the call.
        let _ = socket.send_to(&datagram, to);
        if n % 16 == 15 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

#[test]
fn a_wire_that_loses_one_of_a_hundred() {
    const DATAGRAMS: u32 = 3000;
    let Some(lab) = Lab::new("l") else { return };
    let scene = Scene::new();
    for version in [5u16, 9, 10] {
        let dir = scene.dir(&format!("v{version}"));
        let (daemon, to) = lab.capd(&scene, &dir);
        if daemon.log().contains("were asked for") {
            eprintln!("skipped: net.core.rmem_max is too small for a sender that does not wait");
            return;
        }
        let socket = lab.socket();
        let flows = |n: u32| n * FLOWS..(n + 1) * FLOWS;
        let datagram = |n: u32| match version {
            5 => v5(n * FLOWS, flows(n)),
            9 => v9(1, n, flows(n), true),
            _ => ipfix(1, n * FLOWS, flows(n), true),
        };
        send(&socket, to, [datagram(0)]);
        daemon.wait_for("exporter: SysID");
        lab.lose();
        send(&socket, to, (1..DATAGRAMS - 1).map(datagram));
        let lost = lab.heal();
        // One that arrives for sure shows what was lost before it.
        send(&socket, to, [datagram(DATAGRAMS - 1)]);
        let log = daemon.stop();
        assert!(log.contains("Socket drops: 0"), "{log}");
        assert!((1..200).contains(&lost), "{lost} of {DATAGRAMS}");
        let ledger = ledger(&dir);
        let datagrams = account(&ledger, version, Account::DATAGRAMS);
        assert_eq!(datagrams.received, u64::from(DATAGRAMS) - lost, "v{version}");
        let missing = match version {
            9 => datagrams.missing,
            _ => account(&ledger, version, Account::RECORDS).missing / i64::from(FLOWS),
        };
        assert_eq!(missing, lost as i64, "v{version}");
        let stored = account(&ledger, version, Account::FLOWS).kept;
        assert_eq!(stored, datagrams.received * u64::from(FLOWS), "v{version}");
        assert_eq!(listed(&dir).len() as u64, stored, "v{version}");
    }
}

#[test]
fn datagrams_that_come_twice_or_late() {
    const DATAGRAMS: u32 = 400;
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    let datagram = |n: u32| v9(1, n, n * FLOWS..(n + 1) * FLOWS, true);
    let (mut sent, mut twice, mut late) = (Vec::new(), 0, 0);
    for n in (0..DATAGRAMS).step_by(4) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| datagram(n + k));
        match n / 4 % 4 {
            // As it should be.
            0 => sent.extend([a, b, c, d]),
            // One comes twice.
            1 => {
                sent.extend([a, b.clone(), b, c, d]);
                twice += 1;
            }
            // One comes after those that follow it.
            2 => {
                sent.extend([a, c, d, b]);
                late += 1;
            }
            // Both, at some distance.
            _ => {
                sent.extend([a.clone(), c, b, d, a]);
                twice += 1;
                late += 1;
            }
        }
    }
    capd.send(&sent);
    let dir = capd.dir.clone();
    let log = capd.daemon.stop();
    let ledger = ledger(&dir);
    let datagrams = account(&ledger, 9, Account::DATAGRAMS);
    assert_eq!(datagrams.received, sent.len() as u64);
    assert_eq!(cause(&datagrams, "duplicates"), twice);
    assert_eq!(datagrams.kept, u64::from(DATAGRAMS));
    assert_eq!(datagrams.missing, 0);
    assert!(log.contains(&format!("Packets received twice: {twice}")), "{log}");
    assert!(log.contains(&format!("Packets received late: {late}")), "{log}");
    assert_listed(&dir, 0..DATAGRAMS * FLOWS, "each once");
}

#[test]
fn templates_that_come_late_or_never() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "--park=3600"]);
    let early = |n: u32| v9(1, n, n * FLOWS..(n + 1) * FLOWS, false);
    capd.send((0..50).map(early));
    // Of another exporter, whose template never comes.
    capd.send((0..30).map(|n| ipfix(2, n * FLOWS, n * FLOWS..(n + 1) * FLOWS, false)));
    capd.send([v9(1, 50, 50 * FLOWS..51 * FLOWS, true)]);
    let dir = capd.dir.clone();
    capd.daemon.stop();
    assert_listed(&dir, 0..51 * FLOWS, "those with a template");
    let ledger = ledger(&dir);
    let sets = account(&ledger, 9, Account::SETS);
    assert_eq!((sets.received, sets.kept), (50, 50), "{sets:?}");
    assert_eq!(account(&ledger, 9, Account::DATAGRAMS).missing, 0);
    let sets = account(&ledger, 10, Account::SETS);
    assert_eq!((sets.received, sets.kept), (30, 0), "{sets:?}");
    assert_eq!(cause(&sets, "without template") + cause(&sets, "still waiting"), 30, "{sets:?}");
}

/// A file system of its own size, gone after the test.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(dir: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mount = ["-t", "tmpfs", "-o", &options, "none", dir.to_str().expect("text")];
        let made = run("mount", mount);
        if !made.status.success() {
            eprintln!("skipped: {}", String::from_utf8_lossy(&made.stderr).trim());
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_disk_that_is_full_and_then_has_room_again() {
    const DATAGRAMS: u32 = 2000;
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let Some(_disk) = SmallDisk::mount(&dir, "16m") else { return };
    let ballast = dir.join("ballast");
    // Without it there is room for everything, also for what is under way when it goes.
    std::fs::write(&ballast, vec![1; (16 << 20) - (300 << 10)]).expect("ballast");
    let to = dir.to_str().expect("text");
    let capd = Capd::start_with(&scene, "capd", dir.clone(), &["-w", to, DAY]);
    let datagram = |n: u32| v9(1, n, n * FLOWS..(n + 1) * FLOWS, true);
    capd.send((0..DATAGRAMS).map(datagram));
    capd.daemon.wait_for("No space left on device");
    std::fs::remove_file(&ballast).expect("room");
    capd.send((DATAGRAMS..DATAGRAMS + 10).map(datagram));
    capd.daemon.stop();
    let ledger = ledger(&dir);
    let flows = account(&ledger, 9, Account::FLOWS);
    assert_eq!(flows.received, u64::from((DATAGRAMS + 10) * FLOWS), "{flows:?}");
    let lost = cause(&flows, "not written");
    assert!(lost > 0, "{flows:?}");
    let stored = listed(&dir);
    assert_eq!(stored.len() as u64, flows.kept, "{flows:?}");
    assert_eq!(flows.received, flows.kept + lost, "{flows:?}");
    let last = common::exports::line((DATAGRAMS + 10) * FLOWS - 1);
    assert!(stored.contains(&last), "what came when there was room again");
}

#[test]
fn a_buffer_that_is_too_small() {
    const DATAGRAMS: u32 = 3000;
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "-B", "200000"]);
    let datagram = |n: u32| v9(1, n, n * FLOWS..(n + 1) * FLOWS, true);
    capd.send([datagram(0)]);
    capd.daemon.wait_for("New v9 exporter");
    capd.daemon.signal("STOP");
    common::flood(capd.port, (1..DATAGRAMS).map(datagram));
    capd.daemon.signal("CONT");
    wait_until(|| common::waiting(capd.port) == 0, || "an empty buffer".to_owned());
    capd.send([datagram(DATAGRAMS)]);
    let dir = capd.dir.clone();
    let drops = capd.stop().get("Socket drops");
    let datagrams = account(&ledger(&dir), 9, Account::DATAGRAMS);
    assert!(drops > 0);
    assert_eq!(datagrams.received + drops, u64::from(DATAGRAMS) + 1);
    assert_eq!(datagrams.missing, drops as i64, "what the kernel dropped is what is missing");
}

#[test]
fn a_disk_that_hangs_is_no_reason_to_end_the_service() {
    let scene = Scene::new();
    let (dir, manager) = (scene.dir("flows"), Manager::start(&scene));
    // What reads this file waits, as for a disk, until somebody writes to it.
    let state = scene.dir("flows/127-0-0-1").join(".flowsuite-state.no-pcap");
    nix::unistd::mkfifo(&state, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let (port, http) = (common::free_port(), format!("127.0.0.1:{}", common::free_port()));
    let log = scene.path("log");
    let mut child = Running(
        Command::new(FLOWCAPD)
            .args(["-C", "none", DAY, "-p", &port.to_string(), &format!("--http={http}"), "-M"])
            .arg(&dir)
            .env("NOTIFY_SOCKET", &manager.path)
            .env("WATCHDOG_USEC", "2000000")
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("log"))
            .spawn()
            .expect("start"),
    );
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until(|| !manager.heard("READY=1").is_empty(), said);
    let is_waiting = || {
        let page = web::fetch(http.parse().expect("address"), "/status");
        page.is_ok_and(|page| String::from_utf8_lossy(&page).contains("\"waits_for_disk\":true"))
    };
    assert!(!is_waiting());
    common::send(port, [v9(1, 0, 0..FLOWS, true)]);
    wait_until(is_waiting, said);
    let before = manager.heard("WATCHDOG=1").len();
    wait_until(|| manager.heard("WATCHDOG=1").len() > before + 5, said);
    assert!(is_waiting(), "all the time");
    // Nothing is in it, so what there was is not known; and then all goes on.
    drop(std::fs::OpenOptions::new().write(true).open(&state).expect("the other end"));
    wait_until(|| !is_waiting(), said);
    common::send(port, [v9(1, 1, FLOWS..2 * FLOWS, true)]);
    assert!(child.terminate(), "{}", said());
    assert_listed(&dir, 0..2 * FLOWS, "all");
}

#[test]
fn a_log_that_takes_nothing_stops_nobody() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("open");
    // A pipe whose reader is gone.
    let gone = || std::os::fd::OwnedFd::from(std::io::pipe().expect("pipe").1);
    for (what, log) in [("full", Stdio::from(full())), ("gone", Stdio::from(gone()))] {
        let scene = Scene::new();
        let (dir, port) = (scene.dir("flows"), common::free_port());
        let mut child = Running(
            Command::new(FLOWCAPD)
                .args(["-C", "none", DAY, "-p", &port.to_string(), "-w"])
                .arg(&dir)
                .stdin(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("start"),
        );
        wait_until(|| open_files(&dir).len() == 1, || format!("{what}: an open file"));
        common::send(port, (0..10).map(|n| v9(1, n, n * FLOWS..(n + 1) * FLOWS, true)));
        wait_until(|| flows_in(&dir) == 10 * FLOWS as usize, || format!("{what}: flows"));
        assert!(child.terminate(), "{what}");
        assert_listed(&dir, 0..10 * FLOWS, what);
    }
}
