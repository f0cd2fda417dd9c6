//! What a collector keeps when it ends: in order, by a crash, or to hand over to the next.

mod common;

use common::capd::{Account as Lines, Capd, DAY, assert_listed, flows_in, listed, open_files};
use common::exports::{ipfix, v9};
use common::manager::Manager;
use common::{Daemon, FLOWCAPD, FLOWDUMP, Running, Scene, flow_files, wait_until};
use std::fs::File;
use std::net::UdpSocket;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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

/// Sends a datagram each millisecond to a port until it is stopped, or fewer where they are not
/// read so fast.
struct Load {
    sent: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u32>,
}

impl Load {
    fn start(socket: UdpSocket, first: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sent = Arc::new(AtomicU32::new(first));
        let counter = Arc::clone(&sent);
        let port = socket.peer_addr().expect("connected").port();
        let work = move || {
            let mut n = first;
            while !stopped.load(Ordering::SeqCst) {
                // Refused where nobody listens: then it is lost, as on any network.
                let _ = socket.send(&datagram(n, n == 0));
                n += 1;
                counter.store(n, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
                // Half of what the smallest buffer takes that hosts give.
                while common::waiting(port) > 100_000 && !stopped.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            n
        };
        Self { sent, stop, thread: std::thread::spawn(work) }
    }

    /// How many there were so far.
    fn sent(&self) -> u32 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Returns how many there were.
    fn stop(self) -> u32 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("thread")
    }
}

/// The number of a flow in its address.
fn number(address: &str) -> u32 {
    let address: std::net::Ipv4Addr = address.trim().parse().expect("address");
    u32::from(address) & 0x00ff_ffff
}

/// Numbers of the flows in finished files, in order.
fn numbers_in(dir: &Path) -> Vec<u32> {
    let of = |line: &String| number(line.split(' ').nth(1).expect("address"));
    let mut numbers: Vec<u32> = listed(dir).iter().map(of).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether a reader of the open files finds the flows up to this number already.
fn is_readable(dir: &Path, until: u32) -> bool {
    let has = |file: &PathBuf| {
        let file = file.to_str().expect("text");
        let list = common::run(FLOWDUMP, ["-q", "-N", "-r", file, "-o", "fmt:%sa"]);
        let text = String::from_utf8_lossy(&list.stdout).into_owned();
        text.lines().filter(|line| line.contains('.')).any(|line| number(line) >= until)
    };
    open_files(dir).iter().any(has)
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
    let mut kills = Vec::new();
    for n in 1..4 {
        // Some blocks of a second each are written.
        let before = flows_in(&dir);
        wait_until(|| flows_in(&dir) > before + 500, || daemon.log());
        // And what is sent by now, a second later, or as long as a busy machine takes.
        let safe = load.sent();
        wait_until(|| is_readable(&dir, safe * FLOWS), || daemon.log());
        daemon.kill();
        let readable = flows_in(&dir);
        daemon = start(n);
        kills.push(safe * FLOWS..load.sent() * FLOWS);
        // What could be read of the open file when it was killed is there under its name.
        daemon.wait_for("left by a crash");
        assert!(flows_in(&dir) >= readable, "after kill {n}");
    }
    let before = flows_in(&dir);
    wait_until(|| flows_in(&dir) > before + 100, || daemon.log());
    let sent = load.stop();
    let log = daemon.stop();
    assert!(!log.contains("Sets without template"), "{log}");
    // Each kill and each merge left an index that holds, or none.
    let check = common::run(FLOWDUMP, ["-R", &to, "--index", "check"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(
        said.starts_with("1 files with a right index, 0 without one, 0 with a wrong"),
        "{said}"
    );
    let stored = numbers_in(&dir);
    assert!(stored.is_sorted_by(|a, b| a < b), "none is there twice");
    assert!(stored.len() as u32 <= sent * FLOWS);
    assert_eq!(flow_files(&dir).len(), 1, "one slot, one file: {:?}", flow_files(&dir));
    // With each kill what had not been written is lost at most, and what came until the next start.
    let gaps: Vec<_> = stored.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(gaps.len() <= kills.len(), "{gaps:?} for kills at {kills:?}");
    for gap in gaps {
        let is_of = |kill: &Range<u32>| kill.start <= gap[0] + 1 && gap[1] <= kill.end + FLOWS;
        assert!(kills.iter().any(is_of), "{gap:?} is of none of {kills:?}");
    }
}

/// A collector that gets its socket from a socket unit, and once more from the store: descriptors
/// 3 and 4.
fn activated(socket: &UdpSocket, to: &Path, log: &Path, manager: &Path) -> Running {
    activated_with("-w", socket, to, log, manager)
}

/// The same, with the option for the directory.
fn activated_with(
    option: &str,
    socket: &UdpSocket,
    to: &Path,
    log: &Path,
    manager: &Path,
) -> Running {
    // The variables name the process that they are for, so a shell sets them and becomes it.
    let script = "exec 3<&0 4<&0 </dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$@\"";
    let port = socket.local_addr().expect("address").port().to_string();
    let log = File::create(log).expect("log");
    let child = Command::new("sh")
        .args(["-c", script, "sh", FLOWCAPD, "-C", "none", "-4", "-p", &port, DAY, option])
        .arg(to)
        .env("TZ", "UTC")
        .env("LISTEN_FDNAMES", format!("flowcapd:flowcapd-udp-{port}-V4"))
        .env("NOTIFY_SOCKET", manager)
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().expect("socket"))))
        .stdout(log.try_clone().expect("log"))
        .stderr(log)
        .spawn();
    Running(child.expect("start"))
}

/// Ends what is no [`Daemon`] with TERM.
fn stop(mut child: Running, said: impl Fn() -> String) {
    assert!(child.terminate(), "{}", said());
}

#[test]
fn a_socket_that_comes_twice_is_one() {
    let scene = Scene::new();
    let (dir, manager) = (scene.dir("flows"), Manager::start(&scene));
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &20_000)
        .expect("a small buffer");
    let port = socket.local_addr().expect("address").port();
    const SENT: u32 = 500;
    common::flood(port, (0..SENT).map(|n| datagram(n, true)));
    let log = scene.path("log");
    let child = activated(&socket, &dir, &log, &manager.path);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until(|| said().contains("Startup flowcapd."), said);
    assert!(said().contains("Go on with 1 sockets"), "{}", said());
    wait_until(|| common::waiting(port) == 0, said);
    stop(child, said);
    let account = Lines::read(&said());
    let drops = account.get("Socket drops");
    assert!(drops > 0, "{account:?}");
    assert_eq!(account.get("Total packets received") + drops, u64::from(SENT), "{account:?}");
    // It comes with the next start anyway.
    let forgets = [format!("FDSTOREREMOVE=1\nFDNAME=flowcapd-udp-{port}-V4")];
    assert_eq!(manager.heard("FDSTORE"), forgets);
}

#[test]
fn drops_that_were_told_before_a_crash_are_not_told_again() {
    for option in ["-w", "-M"] {
        let scene = Scene::new();
        let (dir, manager) = (scene.dir("flows"), Manager::start(&scene));
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &20_000)
            .expect("a small buffer");
        let port = socket.local_addr().expect("address").port();
        common::flood(port, (0..500).map(|n| datagram(n, true)));
        let start = |name: &str| {
            let log = scene.path(name);
            let child = activated_with(option, &socket, &dir, &log, &manager.path);
            let said = move || std::fs::read_to_string(&log).unwrap_or_default();
            wait_until(|| said().contains("Startup flowcapd."), &said);
            (child, said)
        };
        let (mut first, said) = start("first");
        wait_until(|| common::waiting(port) == 0, &said);
        // Ends the slot; the marks follow its statements. Drops are asked for once a second.
        let has_drops = |line: &str| {
            line.split_once("Socket drops: ").is_some_and(|(_, n)| !n.starts_with("0"))
        };
        let pid = first.0.id().to_string();
        let is_told = || {
            common::run("kill", ["-s", "HUP", &pid]).status.success()
                && said().lines().any(has_drops)
        };
        wait_until(is_told, &said);
        let marks = || std::fs::read_to_string(dir.join(".flowsuite-sockets.no-pcap"));
        wait_until(|| marks().is_ok_and(|text| !text.contains(",0]]")), &said);
        first.0.kill().expect("kill");
        first.0.wait().expect("end");
        let (second, said) = start("second");
        stop(second, &said);
        assert_eq!(Lines::read(&said()).get("Socket drops"), 0, "{option}: {}", said());
    }
}

#[test]
fn only_sockets_of_our_own_are_left_with_the_manager() {
    let scene = Scene::new();
    let (dir, manager) = (scene.dir("flows"), Manager::start(&scene));
    let port = common::free_port();
    let options = format!("-C none -p {port} -p 0 --receivers 2 {DAY} -w");
    let log = File::create(scene.path("log")).expect("log");
    let child = Running(
        Command::new(FLOWCAPD)
            .args(options.split(' '))
            .arg(&dir)
            .env("NOTIFY_SOCKET", &manager.path)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start"),
    );
    let said = || std::fs::read_to_string(scene.path("log")).unwrap_or_default();
    wait_until(|| !manager.heard("READY=1").is_empty(), said);
    stop(child, said);
    wait_until(|| !manager.heard("STOPPING=1").is_empty(), said);
    let stored = format!("FDSTORE=1\nFDNAME=flowcapd-udp-{port}-Dual\nFDPOLL=0");
    assert_eq!(manager.heard("FDSTORE"), [stored.clone(), stored]);
}

#[test]
fn sockets_that_nobody_wants_any_more_are_given_up() {
    let scene = Scene::new();
    let (dir, manager) = (scene.dir("flows"), Manager::start(&scene));
    // Bound to one address, and a collector of before wanted it so.
    // Not one of those that the kernel gives to others, at other addresses.
    let port = common::free_port();
    let socket = UdpSocket::bind(("127.0.0.1", port)).expect("bind");
    let log = scene.path("log");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    let child = Running(
        Command::new("sh")
            .args(["-c", script, "sh", FLOWCAPD, "-C", "none", "-p", &port.to_string(), DAY, "-w"])
            .arg(&dir)
            .env("LISTEN_FDNAMES", format!("flowcapd-udp-{port}-127.0.0.1"))
            .env("NOTIFY_SOCKET", &manager.path)
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stderr(File::create(&log).expect("log"))
            .spawn()
            .expect("start"),
    );
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until(|| said().contains("Startup flowcapd."), said);
    assert!(said().contains(&format!("host: any, port: {port}\n")), "{}", said());
    assert!(!said().contains("handed over"), "{}", said());
    stop(child, said);
    let forgets = format!("FDSTOREREMOVE=1\nFDNAME=flowcapd-udp-{port}-127.0.0.1");
    let stores = format!("FDSTORE=1\nFDNAME=flowcapd-udp-{port}-Dual\nFDPOLL=0");
    assert_eq!(manager.heard("FDSTORE"), [forgets, stores]);
}

#[test]
fn sockets_that_are_handed_over_lose_nothing() {
    let scene = Scene::new();
    let (dir, manager) = (scene.dir("flows"), Manager::start(&scene));
    // What the service manager holds while services come and go.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    let port = socket.local_addr().expect("address").port();
    let from = UdpSocket::bind("127.0.0.1:0").expect("bind");
    from.connect(("127.0.0.1", port)).expect("connect");
    from.send(&datagram(0, true)).expect("send");
    let mut load = None;
    for round in 0..4 {
        let log = scene.path(format!("{round}.log"));
        let child = activated(&socket, &dir, &log, &manager.path);
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_until(|| said().contains("Startup flowcapd."), said);
        assert!(said().contains("handed over"), "{}", said());
        load.get_or_insert_with(|| Load::start(from.try_clone().expect("socket"), 1));
        let before = flows_in(&dir);
        wait_until(|| flows_in(&dir) > before + 1000, said);
        stop(child, said);
    }
    let sent = load.expect("load").stop();
    // The last one takes what waits.
    let log = scene.path("last.log");
    let child = activated(&socket, &dir, &log, &manager.path);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until(|| said().contains("Startup flowcapd."), said);
    wait_until(|| common::waiting(port) == 0, said);
    stop(child, said);
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
