//! What a collector keeps when it ends: in order, by a crash, or to hand over to the next.

mod common;

use common::capd::{Capd, DAY, assert_listed, flows_in, listed};
use common::exports::{ipfix, v9};
use common::{Daemon, FLOWCAPD, Scene, flow_files, wait_until};
use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::loss::{Account, Statements};

/// Flows of a datagram.
const FLOWS: u32 = 20;

fn datagram(n: u32, has_template: bool) -> Vec<u8> {
    v9(1, n, n * FLOWS..(n + 1) * FLOWS, has_template)
}

#[test]
fn templates_outlive_the_collector() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let to = dir.to_str().expect("text");
    let first = Capd::start_with(&scene, "first", dir.clone(), &["-w", to, DAY]);
    first.send([datagram(0, true), ipfix(2, 0, 0..1, true)]);
    first.wait_for_flows(FLOWS as usize + 1);
    first.stop();
    let second = Capd::start_with(&scene, "second", dir.clone(), &["-w", to, DAY]);
    second.send([datagram(1, false)]);
    let account = second.stop();
    assert_eq!(account.get("Flows"), u64::from(FLOWS), "{account:?}");
    assert_eq!(account.get("Sets without template"), 0, "{account:?}");
}

#[test]
fn what_came_while_nobody_listened_is_missing() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let to = dir.to_str().expect("text");
    let first = Capd::start_with(&scene, "first", dir.clone(), &["-w", to, DAY]);
    first.send([datagram(0, true)]);
    first.stop();
    let second = Capd::start_with(&scene, "second", dir.clone(), &["-w", to, DAY]);
    second.send([datagram(8, false), datagram(9, false)]);
    let account = second.stop();
    assert_eq!(account.get("Packets missing"), 0, "{account:?}");
    assert_eq!(account.get("Missing while stopped"), 7, "{account:?}");
    // After a crash nobody knows how much had been counted.
    let third = Capd::start_with(&scene, "third", dir.clone(), &["-w", to, DAY]);
    third.send([datagram(10, false)]);
    third.wait_for_flows(4 * FLOWS as usize);
    third.daemon.kill();
    let fourth = Capd::start_with(&scene, "fourth", dir.clone(), &["-w", to, DAY]);
    fourth.send([datagram(20, false)]);
    let account = fourth.stop();
    assert_eq!(account.get("Missing while stopped"), 0, "{account:?}");
    assert_eq!(account.get("Flows"), u64::from(FLOWS), "templates are there: {account:?}");
}

/// Sends a datagram each millisecond to a port until it is stopped.
struct Load {
    stop: std::sync::Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u32>,
}

impl Load {
    fn start(socket: UdpSocket, first: u32) -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let work = move || {
            let mut n = first;
            while !stopped.load(Ordering::SeqCst) {
                // Refused where nobody listens: then it is lost, as on any network.
                let _ = socket.send(&datagram(n, n == 0));
                n += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            n
        };
        Self { stop, thread: std::thread::spawn(work) }
    }

    /// Returns how many there were.
    fn stop(self) -> u32 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("thread")
    }
}

/// Numbers of the flows in finished files, in order.
fn numbers_in(dir: &Path) -> Vec<u32> {
    let number = |line: &String| {
        let src = line.split(' ').nth(1).expect("address");
        u32::from(src.parse::<std::net::Ipv4Addr>().expect("address")) & 0x00ff_ffff
    };
    let mut numbers: Vec<u32> = listed(dir).iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn killed_under_load_again_and_again() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let to = dir.to_str().expect("text").to_owned();
    let port = common::free_port();
    let load = UdpSocket::bind("127.0.0.1:0").expect("bind");
    load.connect(("127.0.0.1", port)).expect("connect");
    let start = |n: usize| {
        let args = ["-C", "none", "-w", &to, DAY, "-p", &port.to_string()].map(str::to_owned);
        let daemon = Daemon::start(FLOWCAPD, args, scene.path(format!("{n}.log")));
        daemon.wait_for("Startup flowcapd.");
        daemon
    };
    let mut daemon = start(0);
    let load = Load::start(load, 0);
    for n in 1..4 {
        // Some blocks of a second each are written.
        let before = flows_in(&dir);
        wait_until(|| flows_in(&dir) > before + 500, || daemon.log());
        daemon.kill();
        let readable = flows_in(&dir);
        daemon = start(n);
        // What could be read of the open file when it was killed is there under its name.
        assert!(daemon.log().contains("left by a crash"), "{}", daemon.log());
        assert!(flows_in(&dir) >= readable, "after kill {n}");
    }
    let before = flows_in(&dir);
    wait_until(|| flows_in(&dir) > before + 100, || daemon.log());
    let sent = load.stop();
    let log = daemon.stop();
    assert!(!log.contains("Sets without template"), "{log}");
    let stored = numbers_in(&dir);
    assert!(stored.is_sorted_by(|a, b| a < b), "none is there twice");
    assert!(stored.len() as u32 <= sent * FLOWS);
    assert_eq!(flow_files(&dir).len(), 1, "one slot, one file: {:?}", flow_files(&dir));
    // A second of load is lost with each kill at most, and what came until the next start: gaps
    // are few.
    let gaps = stored.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(gaps <= 3, "{gaps} gaps for three kills");
}

/// A collector that gets its socket as from a socket unit: descriptor 3.
fn activated(socket: &UdpSocket, to: &Path, log: &Path) -> std::process::Child {
    // The variables name the process that they are for, so a shell sets them and becomes it.
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    let port = socket.local_addr().expect("address").port().to_string();
    let log = File::create(log).expect("log");
    Command::new("sh")
        .args(["-c", script, "sh", FLOWCAPD, "-C", "none", "-4", "-p", &port, DAY, "-w"])
        .arg(to)
        .env("TZ", "UTC")
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().expect("socket"))))
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn()
        .expect("start")
}

#[test]
fn sockets_that_are_handed_over_lose_nothing() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    // What the service manager holds while services come and go.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    let port = socket.local_addr().expect("address").port();
    let from = UdpSocket::bind("127.0.0.1:0").expect("bind");
    from.connect(("127.0.0.1", port)).expect("connect");
    from.send(&datagram(0, true)).expect("send");
    let mut load = None;
    for round in 0..4 {
        let log = scene.path(format!("{round}.log"));
        let mut child = activated(&socket, &dir, &log);
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_until(|| said().contains("Startup flowcapd."), said);
        assert!(said().contains("handed over"), "{}", said());
        load.get_or_insert_with(|| Load::start(from.try_clone().expect("socket"), 1));
        let before = flows_in(&dir);
        wait_until(|| flows_in(&dir) > before + 1000, said);
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )
        .expect("signal");
        assert!(child.wait().expect("end").success(), "{}", said());
    }
    let sent = load.expect("load").stop();
    // The last one takes what waits.
    let log = scene.path("last.log");
    let mut child = activated(&socket, &dir, &log);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until(|| said().contains("Startup flowcapd."), said);
    wait_until(|| common::waiting(port) == 0, said);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id() as i32),
        nix::sys::signal::Signal::SIGTERM,
    )
    .expect("signal");
    assert!(child.wait().expect("end").success(), "{}", said());
    assert_listed(&dir, 0..sent * FLOWS, "all that was sent");
    let mut statements = Statements::new();
    for file in flow_files(&dir) {
        for statement in statements.of(&file).expect("statements") {
            for exporter in &statement.exporters {
                let datagrams = exporter.account(Account::DATAGRAMS).expect("account");
                assert_eq!(datagrams.missing, 0, "{exporter:?}");
            }
        }
    }
}
