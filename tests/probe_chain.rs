//! Packets on a wire between two network namespaces, `flowprobe` at the far end of it, and behind it
//! `flowcapd` and nfcapd: what they have collected is what was made.

mod common;

use bench::lab::{End, Injector, Lab, Tap, WIRE};
use common::capd::{DAY, flows_in};
use common::packets::{Frames, ICMP, ICMP6, Key, TCP, UDP};
use common::packets::{expected, same, sums, without_icmp6_types};
use common::{
    Daemon, FLOWCAPD, FLOWDUMP, Running, Scene, has, run, stdout_of, wait_until, waiting,
};
use record::{Addr, Field, Flow, FlowSink, Meta};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

const FLOWPROBE: &str = env!("CARGO_BIN_EXE_flowprobe");

/// A lab, or `None` with a line that says so where there can be none.
fn lab(name: &str) -> Option<Lab> {
    if !has("ip") {
        return None;
    }
    let made = Lab::new(name);
    if let Err(e) = &made {
        eprintln!("skipped: {e}");
    }
    made.ok()
}

/// Starts a program at the far end.
fn start(lab: &Lab, program: &str, args: &[&str], log: PathBuf) -> Daemon {
    let exec = ["netns", "exec", lab.name(End::Far), program];
    Daemon::start("ip", exec.iter().chain(args), log)
}

/// `flowprobe` at the far end of the wire.
struct Probe {
    daemon: Daemon,
    socket: PathBuf,
}

impl Probe {
    /// Starts it and waits until it answers.
    fn start(lab: &Lab, scene: &Scene, name: &str, options: &[&str]) -> Self {
        let socket = scene.path(format!("{name}.ctl"));
        let control = socket.to_str().expect("text").to_owned();
        let log = scene.path(format!("{name}.log"));
        let words = [&["-i", WIRE, "-d", "-c", &control][..], options].concat();
        let probe = Self { daemon: start(lab, FLOWPROBE, &words, log), socket };
        wait_until(|| probe.ask("statistics").is_some(), || probe.daemon.log());
        probe
    }

    /// What it answers at its control socket; `None` if it does not.
    fn ask(&self, command: &str) -> Option<String> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).ok()?;
        stream.shutdown(Shutdown::Write).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    }

    fn statistic(&self, name: &str) -> u64 {
        let said = self.ask("statistics").unwrap_or_default();
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no '{name}' in:\n{said}"))
    }

    fn wait_for_packets(&self, packets: usize) {
        let seen = || self.statistic("Packets processed:");
        wait_until(|| seen() >= packets as u64, || self.ask("statistics").unwrap_or_default());
        assert_eq!(seen(), packets as u64, "more than was sent");
    }
}

fn key(proto: u8, ends: [&str; 2], ports: [u16; 2]) -> Key {
    let [src, dst] = ends.map(|end| end.parse::<IpAddr>().expect("address"));
    Key { proto, src, dst, src_port: ports[0], dst_port: ports[1] }
}

const V4: [&str; 2] = ["192.0.2.1", "198.51.100.7"];
const V6: [&str; 2] = ["2001:db8::1", "2001:db8:1::7"];
const TAG: u16 = 0x8100;
const SERVICE_TAG: u16 = 0x88a8;

/// Conversations of every kind, mixed: TCP from SYN to FIN, UDP, echoes, tagged frames, fragments.
fn traffic() -> Frames {
    let mut made = Frames::default();
    for round in 0..40u16 {
        let payload = usize::from(round) * 31;
        for (ends, echo) in [(V4, key(ICMP, V4, [0, 8 << 8])), (V6, key(ICMP6, V6, [0, 128 << 8]))]
        {
            let web = key(TCP, ends, [40_000, 443]);
            let (there, back) = match round {
                0 => (2, 0x12),
                39 => (0x11, 0x11),
                _ => (0x10, 0x18),
            };
            made.push(web, &[], there, payload / 7);
            made.push(web.reverse(), &[], back, payload);
            let name = key(UDP, ends, [50_000 + round % 5, 53]);
            made.push(name, &[], 0, 30);
            made.push(name.reverse(), &[], 0, 200 + payload / 9);
            made.push(echo, &[], 0, 56);
            made.push(echo.reverse(), &[], 0, 56);
            made.push(key(UDP, ends, [5000, 5001]), &[(TAG, 100)], 0, payload);
            made.push(key(TCP, ends, [5002, 80]), &[(SERVICE_TAG, 7), (TAG, 200)], 0x18, payload);
            made.push_fragments(key(UDP, ends, [6000, 2049]), round, 3000 + payload);
        }
    }
    made
}

/// Puts all frames on the wire, and waits until all have arrived.
fn send(wire: &Injector, tap: &Tap, frames: &[Vec<u8>]) {
    // Few at once: a tap has the buffer of a common socket.
    for few in frames.chunks(16) {
        wire.send(few).expect("send");
        for _ in few {
            tap.next().expect("frame");
        }
    }
}

/// The same packets over this version of exports, at both collectors.
fn chain(lab: &Lab, version: &str, options: &[&str]) {
    let scene = Scene::new();
    let [ours, theirs] = ["ours", "theirs"].map(|name| scene.dir(name));
    let [to_ours, to_theirs] = [&ours, &theirs].map(|dir| dir.to_str().expect("text"));
    let flowcapd = ["-C", "none", "-w", to_ours, DAY, "-p", "9995", "-b", "127.0.0.1"];
    let flowcapd = start(lab, FLOWCAPD, &flowcapd, scene.path("flowcapd.log"));
    flowcapd.wait_for("Startup flowcapd.");
    let nfcapd = ["-w", to_theirs, "-t", "3600", "-p", "9996", "-b", "127.0.0.1"];
    let nfcapd = start(lab, "nfcapd", &nfcapd, scene.path("nfcapd.log"));
    nfcapd.wait_for("Startup nfcapd.");

    let (wire, tap) = (lab.injector(End::Near).expect("wire"), lab.tap(End::Far).expect("tap"));
    let to = ["-n", "127.0.0.1:9995,127.0.0.1:9996", "-v", version];
    let probe = Probe::start(lab, &scene, "probe", &[&to, options].concat());
    let made = traffic();
    send(&wire, &tap, &made.frames);
    probe.wait_for_packets(made.frames.len());
    assert_eq!(probe.statistic("Packets dropped by libpcap:"), 0);
    let said = probe.ask("expire-all").expect("answer");
    assert!(said.contains("Expired "), "{said}");
    wait_until(|| flows_in(&ours) >= made.truth.len(), || flowcapd.log());
    let left = || lab.enter(End::Far, || waiting(9996)).expect("namespace");
    wait_until(|| left() == 0, || nfcapd.log());
    let log = probe.daemon.stop();
    flowcapd.stop();
    nfcapd.stop();

    let all = expected(&made.truth);
    let what = format!("v{version} {options:?}\n{log}");
    same(&sums(FLOWDUMP, &ours), &all, &format!("flowcapd, {what}"));
    let theirs = sums("nfdump", &theirs);
    if version == "9" && theirs.iter().all(|line| !line.contains(" 128.0 ")) {
        same(&theirs, &without_icmp6_types(&all), &format!("nfcapd, {what}"));
    } else {
        same(&theirs, &all, &format!("nfcapd, {what}"));
    }
}

#[test]
fn what_was_made_is_what_two_collectors_have() {
    if !(has("nfcapd") && has("nfdump")) {
        return;
    }
    let Some(lab) = lab("pcc") else { return };
    chain(&lab, "9", &[]);
    chain(&lab, "10", &[]);
    chain(&lab, "10", &["--libpcap"]);
    chain(&lab, "9", &["--threads", "2", "-A", "uptime"]);
}

/// Flows that arrive at a socket.
#[derive(Default)]
struct Arrived(Vec<(u64, u64)>);

impl FlowSink for Arrived {
    fn flow(&mut self, flow: &Flow) {
        self.0.push((flow.number(Field::Packets), flow.number(Field::Bytes)));
    }

    fn meta(&mut self, _: Meta<'_>) {}
}

/// A collector of the test's own at the far end.
struct Socket {
    socket: UdpSocket,
    decoder: wire::Decoder,
    to: String,
    arrived: Arrived,
}

impl Socket {
    fn new(lab: &Lab) -> Self {
        let socket = lab.enter(End::Far, || UdpSocket::bind("127.0.0.1:0").expect("bind"));
        let socket = socket.expect("namespace");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
        let to = socket.local_addr().expect("address").to_string();
        let decoder = wire::Decoder::new(wire::Config::default());
        Self { socket, decoder, to, arrived: Arrived::default() }
    }

    /// Takes what is there; returns packets of all flows so far.
    fn packets(&mut self) -> u64 {
        let mut datagram = [0; 1 << 16];
        while let Ok(len) = self.socket.recv(&mut datagram) {
            let bytes = &datagram[..len];
            let now = sys::clock::now_ms();
            self.decoder.decode(Addr::V4(1), now, bytes, &mut self.arrived);
        }
        self.arrived.0.iter().map(|(packets, _)| packets).sum()
    }
}

#[test]
fn a_quiet_link_exports_when_it_is_time() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    // What has to wait for other packets waits until the test ends.
    const SLOW: Duration = Duration::from_secs(20);
    let Some(lab) = lab("pcq") else { return };
    let scene = Scene::new();
    let wire = lab.injector(End::Near).expect("wire");
    let mut collector = Socket::new(&lab);
    let to = collector.to.clone();
    let options = ["-n", &to, "-v", "9", "-t", "udp=2", "-t", "expint=1"];
    let probe = Probe::start(&lab, &scene, "probe", &options);
    let mut made = Frames::default();
    made.push(key(UDP, V4, [5000, 53]), &[], 0, 100);
    made.push(key(UDP, V4, [5000, 53]), &[], 0, 100);
    wire.send(&made.frames).expect("send");
    let sent = sys::clock::monotonic();
    wait_until(|| collector.packets() == 2, || probe.ask("statistics").unwrap_or_default());
    let late = sent.elapsed();
    assert!(late >= TIMEOUT && late < TIMEOUT + SLOW, "{late:?}");
    assert_eq!(collector.arrived.0, [(2, 256)]);
    probe.daemon.stop();
}

#[test]
fn the_last_packet_before_the_end_is_exported() {
    let Some(lab) = lab("pct") else { return };
    let wire = lab.injector(End::Near).expect("wire");
    for count in [1usize, 2, 63, 64, 65, 400, 1000] {
        let scene = Scene::new();
        let mut collector = Socket::new(&lab);
        let to = collector.to.clone();
        let probe = Probe::start(&lab, &scene, "probe", &["-n", &to, "-v", "10"]);
        let tap = lab.tap(End::Far).expect("tap");
        let mut made = Frames::default();
        for n in 0..count {
            made.push(key(UDP, V4, [5000 + (n % 7) as u16, 53]), &[], 0, n);
        }
        send(&wire, &tap, &made.frames);
        let log = probe.daemon.stop();
        wait_until(|| collector.packets() >= count as u64, || format!("{count} packets\n{log}"));
        let mut got = collector.arrived.0;
        got.sort_unstable();
        let mut want: Vec<_> = made.truth.values().copied().collect();
        want.sort_unstable();
        assert_eq!(got, want, "{count} packets");
    }
}

/// The far end, where `/run` is the test's own, so that programs may use the paths they use
/// everywhere. A daemon that names itself there ends with this.
struct House {
    holder: Running,
    run: PathBuf,
}

impl House {
    fn new(lab: &Lab) -> Self {
        // It lasts as long as its standard input does.
        let script = "mount -t tmpfs none \"$(readlink -f /var/run)\" && echo ready && exec cat";
        let mut holder = lab
            .command(End::Far, "sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut ready = [0; 6];
        let out = holder.stdout.as_mut().expect("pipe");
        out.read_exact(&mut ready).expect("a file system for /run");
        // A link on the way would lead to the /run of everybody else.
        let real = std::fs::canonicalize("/var/run").expect("a directory");
        let run = format!("/proc/{}/root{}", holder.id(), real.display()).into();
        Self { holder: Running(holder), run }
    }

    fn run(&self, program: &Path, args: &[&str]) -> String {
        let holder = self.holder.0.id().to_string();
        let program = program.to_str().expect("text");
        let inside = ["-t", &holder, "-m", "-n", program];
        stdout_of("nsenter", inside.iter().chain(args))
    }

    fn daemon(&self) -> Option<i32> {
        std::fs::read_to_string(self.run.join("softflowd.pid")).ok()?.trim().parse().ok()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(pid) = self.daemon() {
            let _ = run("kill", ["-s", "KILL", &pid.to_string()]);
        }
    }
}

#[test]
fn the_commands_of_an_operator_work_under_the_old_names() {
    if !has("nsenter") {
        return;
    }
    let Some(lab) = lab("pca") else { return };
    let scene = Scene::new();
    let [softflowd, softflowctl] = ["softflowd", "softflowctl"].map(|name| scene.path(name));
    symlink(FLOWPROBE, &softflowd).expect("link");
    symlink(env!("CARGO_BIN_EXE_flowprobectl"), &softflowctl).expect("link");
    let flows = scene.dir("flows");
    let dir = flows.to_str().expect("text");
    let flowcapd = ["-C", "none", "-w", dir, DAY, "-p", "9995", "-b", "127.0.0.1"];
    let flowcapd = start(&lab, FLOWCAPD, &flowcapd, scene.path("flowcapd.log"));
    flowcapd.wait_for("Startup flowcapd.");
    let house = House::new(&lab);
    let (wire, tap) = (lab.injector(End::Near).expect("wire"), lab.tap(End::Far).expect("tap"));

    house.run(&softflowd, &["-i", "any", "-n", "127.0.0.1:9995"]);
    let pid = house.daemon().expect("a pid file");
    let says = |command| house.run(&softflowctl, &[command]);
    let made = traffic();
    send(&wire, &tap, &made.frames);
    let processed = || {
        let said = says("statistics");
        let first = format!("softflowd[{pid}]: Accumulated statistics since ");
        assert!(said.starts_with(&first), "{said}");
        let line = said.lines().find_map(|l| l.strip_prefix("Packets processed: "));
        line.and_then(|n| n.parse::<u64>().ok()).unwrap_or_else(|| panic!("{said}"))
    };
    // NetFlow v5, as softflowd speaks unless it is told otherwise, knows no IPv6.
    let made_v4 = || made.truth.iter().filter(|(key, _)| key.src.is_ipv4());
    let packets: u64 = made_v4().map(|(_, (packets, _))| packets).sum();
    // Its own datagrams come by as well.
    wait_until(|| processed() >= packets, || says("statistics"));
    let said = says("expire-all");
    let count = said.strip_prefix(&format!("softflowd[{pid}]: Expired "));
    assert!(count.is_some_and(|n| n.trim().ends_with(" flows.")), "{said}");
    let want = expected(made_v4());
    wait_until(|| flows_in(&flows) >= want.len(), || flowcapd.log());
    assert_eq!(says("shutdown"), format!("softflowd[{pid}]: Shutting down gracefully...\n"));
    wait_until(|| house.daemon().is_none(), || "its pid file is still there".to_owned());
    flowcapd.stop();
    let mut got = sums(FLOWDUMP, &flows);
    got.retain(|line| !line.contains(" 127.0.0.1 "));
    same(&got, &want, "flowcapd");
}
