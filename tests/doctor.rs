//! `flowcapd doctor` names the fault. Each test makes one, in a network namespace of its own: so ports
//! and the kernel's counts are the test's alone.

mod common;

use common::exports::{v5, v9};
use common::{Daemon, FLOWCAPD, Scene, has, run, stdout_of, wait_until};
use serde_json::Value;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Flows of a datagram.
const FLOWS: u32 = 5;
const PORT: u16 = 9995;
const HTTP: &str = "--http=127.0.0.1:9396";

/// A network namespace with a loopback, gone after the test, and a directory for flows.
struct Lab {
    name: String,
    scene: Scene,
    dir: PathBuf,
}

impl Lab {
    /// `None`, with a line that says so, where namespaces cannot be made.
    fn new(name: &str) -> Option<Self> {
        if !has("ip") {
            return None;
        }
        let scene = Scene::new();
        let dir = scene.dir("flows");
        let lab = Self { name: format!("doctor{}{name}", std::process::id()), scene, dir };
        let made = run("ip", ["netns", "add", &lab.name]);
        let up = run("ip", ["-n", &lab.name, "link", "set", "lo", "up"]);
        if !made.status.success() || !up.status.success() {
            eprintln!("skipped: {}", String::from_utf8_lossy(&made.stderr).trim());
            return None;
        }
        Some(lab)
    }

    fn dir(&self) -> &str {
        self.dir.to_str().expect("text")
    }

    /// Starts a collector.
    fn collector(&self, options: &[&str]) -> Daemon {
        let begin = ["netns", "exec", &self.name, FLOWCAPD, "-C", "none", "-w", self.dir()];
        let all = [&begin[..], options].concat();
        let daemon = Daemon::start("ip", all, self.scene.path("capd.log"));
        daemon.wait_for("Startup flowcapd.");
        daemon
    }

    /// A socket in the namespace.
    fn socket(&self, address: &str) -> UdpSocket {
        let (name, address) = (format!("/run/netns/{}", self.name), address.to_owned());
        let enter = move || {
            let namespace = std::fs::File::open(name).expect("namespace");
            // Of this thread alone, which ends at once; the socket stays where it was made.
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("enter");
            UdpSocket::bind(address).expect("bind")
        };
        std::thread::spawn(enter).join().expect("thread")
    }

    /// Sends a datagram each few milliseconds to a port until it is dropped.
    fn exporter(&self, port: u16, datagram: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Exporter {
        let (socket, is_over) = (self.socket("127.0.0.1:0"), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&is_over);
        let send = move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let _ = socket.send_to(&datagram(n), ("127.0.0.1", port));
                n += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        Exporter { is_over, thread: Some(std::thread::spawn(send)) }
    }

    fn doctor(&self, options: &[&str]) -> Said {
        self.doctor_by(&[], options)
    }

    /// Runs the doctor by way of another program.
    fn doctor_by(&self, by: &[&str], options: &[&str]) -> Said {
        let begin = ["netns", "exec", &self.name];
        let doctor = [FLOWCAPD, "doctor", "-C", "none", "-o", "json", "--wait", "3s"];
        let output = run("ip", [&begin[..], by, &doctor, options].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let document: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}:\n{text}{stderr}"));
        let said = Said { document, status: output.status.code() };
        let is_bad = said.document["verdict"] == "fail";
        assert_eq!(said.status, Some(i32::from(is_bad)), "{text}");
        said
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// Somebody who sends.
struct Exporter {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the doctor said.
struct Said {
    document: Value,
    status: Option<i32>,
}

impl Said {
    fn diagnosis(&self) -> &str {
        self.document["diagnosis"].as_str().expect("diagnosis")
    }

    /// The diagnosis begins so, has this in it, and something is wrong.
    fn assert(&self, begins: &str, contains: &str) {
        let diagnosis = self.diagnosis();
        let is_so = diagnosis.starts_with(begins) && diagnosis.contains(contains);
        assert!(is_so, "'{begins}' ... '{contains}' in:\n{:#}", self.document);
        assert_eq!(self.status, Some(1), "{:#}", self.document);
    }

    /// What was found at this step, with verdicts.
    fn step(&self, name: &str) -> Vec<(String, String)> {
        let steps = self.document["steps"].as_array().expect("steps");
        let text = |v: &Value| v.as_str().expect("text").to_owned();
        let of = steps.iter().filter(|s| s["step"] == name);
        of.map(|s| (text(&s["verdict"]), text(&s["found"]))).collect()
    }
}

fn datagram(n: u32) -> Vec<u8> {
    v9(1, n, n * FLOWS..(n + 1) * FLOWS, true)
}

fn without_template(n: u32) -> Vec<u8> {
    v9(1, n, n * FLOWS..(n + 1) * FLOWS, false)
}

#[test]
fn all_is_well() {
    let Some(lab) = Lab::new("w") else { return };
    let _collector = lab.collector(&[HTTP]);
    let _exporter = lab.exporter(PORT, datagram);
    let said = lab.doctor(&[]);
    // Whether a time service sets the clock is not the test's.
    assert_eq!(said.status, Some(0), "{:#}", said.document);
    let well = ["All is well", "Nothing is broken", "Nothing wrong was found"];
    assert!(well.iter().any(|w| said.diagnosis().starts_with(w)), "{:#}", said.document);
    for step in ["collector", "firewall", "exporters", "templates", "losses", "disk", "clock"] {
        let found = said.step(step);
        // The machine may be short of disk, and the kernel may grant little of a buffer.
        let is_well = !found.is_empty() && found.iter().all(|(v, _)| v == "ok" || step == "disk");
        assert!(is_well, "{step}: {found:?}");
    }
    let [(verdict, found)] = &said.step("packets")[..] else { panic!("{:#}", said.document) };
    assert_eq!(verdict, "ok");
    assert!(found.contains("127.0.0.1 (NetFlow v9, "), "{found}");
    // As text, the diagnosis is the first line.
    let exec = ["netns", "exec", &lab.name, FLOWCAPD, "doctor", "-C", "none", "--wait", "2"];
    let text = stdout_of("ip", exec);
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|l| well.iter().any(|w| l.starts_with(w))), "{text}");
    assert_eq!(lines.next(), Some(""));
    assert!(
        lines.all(|l| {
            ["ok    ", "warn  ", "?     ", "      next: "].iter().any(|w| l.starts_with(w))
        }),
        "{text}"
    );
}

#[test]
fn the_collector_does_not_run() {
    let Some(lab) = Lab::new("r") else { return };
    let _exporter = lab.exporter(PORT, datagram);
    let said = lab.doctor(&["-w", lab.dir()]);
    said.assert("No process listens on UDP 9995: start the collector", "systemctl start flowcapd");
    let packets = said.step("packets");
    assert_eq!(packets[0].0, "ok", "they arrive all the same: {packets:?}");
}

#[test]
fn the_port_is_taken_by_something_else() {
    let Some(lab) = Lab::new("t") else { return };
    let _taken = lab.socket("0.0.0.0:9995");
    lab.doctor(&["-w", lab.dir()]).assert("UDP 9995 is taken by doctor", "which is no collector");
}

#[test]
fn no_packets_come() {
    let Some(lab) = Lab::new("n") else { return };
    let _collector = lab.collector(&[HTTP]);
    let said = lab.doctor(&[]);
    said.assert("No packets reach this machine on UDP 9995 (watched for ", "firewalls and routes");
}

#[test]
fn packets_come_to_another_port() {
    let Some(lab) = Lab::new("p") else { return };
    let _collector = lab.collector(&[]);
    let _exporter = lab.exporter(2055, datagram);
    let said = lab.doctor(&[]);
    said.assert("NetFlow v9 of 127.0.0.1 arrive on UDP 2055, where nobody listens", "-p 2055");
    // Also of a port that nobody would think of, if what is in them is an export.
    drop(_exporter);
    let _exporter = lab.exporter(1234, |n| v5(n * FLOWS, n * FLOWS..(n + 1) * FLOWS));
    lab.doctor(&[]).assert("NetFlow v5 of 127.0.0.1 arrive on UDP 1234, where nobody", "-p 1234");
}

#[test]
fn the_collector_listens_on_another_address() {
    let Some(lab) = Lab::new("b") else { return };
    let _collector = lab.collector(&["-b", "127.0.0.2"]);
    let _exporter = lab.exporter(PORT, datagram);
    lab.doctor(&[]).assert(
        "Packets come to 127.0.0.1:9995, and the collector listens on 127.0.0.2:9995 alone",
        "leave out -b",
    );
}

#[test]
fn a_firewall_drops_them() {
    let Some(lab) = Lab::new("f") else { return };
    if !has("nft") {
        return;
    }
    let nft = |line: &str| {
        let words = ["netns", "exec", &lab.name, "nft"].into_iter().chain(line.split(' '));
        run("ip", words).status.success()
    };
    let chain = "add chain inet guard in { type filter hook input priority 0; }";
    let rule = "add rule inet guard in udp dport 9995 counter drop";
    if !(nft("add table inet guard") && nft(chain) && nft(rule)) {
        return eprintln!("skipped: nft does not work here");
    }
    let _exporter = lab.exporter(PORT, datagram);
    let begins = "Packets arrive on UDP 9995, but this machine drops them before the collector's \
                  socket: the rule with handle ";
    for options in [&[][..], &[HTTP]] {
        let collector = lab.collector(options);
        lab.doctor(&[]).assert(begins, "in chain in of table inet guard dropped ");
        collector.stop();
    }
    // A rule that does not count can only be suspected.
    assert!(nft("flush chain inet guard in"));
    assert!(nft("add rule inet guard in udp dport 9995 drop"));
    let _collector = lab.collector(&[]);
    let said = lab.doctor(&[]);
    said.assert("Packets arrive on UDP 9995, but this machine drops them", "nftables may drop");
}

#[test]
fn there_is_no_route_back_to_the_exporter() {
    let (Some(lab), Some(router)) = (Lab::new("q"), Lab::new("z")) else { return };
    let (here, there) = (lab.name.as_str(), router.name.as_str());
    let ip = |line: &str| run("ip", line.split(' ')).status.success();
    let filter = "echo 1 > /proc/sys/net/ipv4/conf/wire/rp_filter";
    // Who asks for a hardware address from an address without a route back gets no answer.
    let macs = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
    let wire = format!("link add wire address {} netns {here} type veth peer name wire", macs[0]);
    let is_made = ip(&format!("{wire} address {} netns {there}", macs[1]))
        && ip(&format!("-n {here} addr add 10.231.9.2/24 dev wire"))
        && ip(&format!("-n {there} addr add 10.231.9.1/24 dev wire"))
        && ip(&format!("-n {there} addr add 198.51.100.1/32 dev lo"))
        && ip(&format!("-n {here} link set wire up"))
        && ip(&format!("-n {there} link set wire up"))
        && ip(&format!("-n {there} neigh add 10.231.9.2 lladdr {} dev wire", macs[0]))
        && run("ip", ["netns", "exec", here, "sh", "-c", filter]).status.success();
    if !is_made {
        return eprintln!("skipped: no wire between namespaces");
    }
    let _collector = lab.collector(&[]);
    let socket = router.socket("198.51.100.1:0");
    // The port of the router's own loopback is nobody's: this is for its pace alone.
    let _exporter = router.exporter(1, move |n| {
        let _ = socket.send_to(&datagram(n), ("10.231.9.2", PORT));
        datagram(n)
    });
    lab.doctor(&[]).assert(
        "Packets arrive on UDP 9995, but this machine drops them before the collector's socket: ",
        "from addresses that are not reached by their interface: give the machine a route back",
    );
}

#[test]
fn data_come_without_a_template() {
    let Some(lab) = Lab::new("d") else { return };
    let _exporter = lab.exporter(PORT, without_template);
    for options in [&[][..], &[HTTP]] {
        let collector = lab.collector(options);
        let said = lab.doctor(&[]);
        said.assert("Data of 127.0.0.1", "without a template");
        collector.stop();
    }
    drop(_exporter);
    // Templates that the collector has kept are known to the doctor, too.
    let collector = lab.collector(&[]);
    let _with = lab.exporter(PORT, datagram);
    let state = lab.dir.join(".flowsuite-state.no-pcap");
    let is_kept = || std::fs::read_to_string(&state).is_ok_and(|s| s.contains("\"templates\":["));
    wait_until(is_kept, || "a state with a template".to_owned());
    drop(_with);
    let _without = lab.exporter(PORT, |n| without_template(n + 1_000_000));
    let said = lab.doctor(&[]);
    assert_eq!(said.status, Some(0), "{:#}", said.document);
    collector.stop();
}

#[test]
fn the_allow_list_refuses_them() {
    let Some(lab) = Lab::new("a") else { return };
    let _exporter = lab.exporter(PORT, datagram);
    for options in [&["--allow", "10.0.0.0/8"][..], &["--allow", "10.0.0.0/8", HTTP]] {
        let collector = lab.collector(options);
        lab.doctor(&[]).assert(
            "Exports of 127.0.0.1 are refused: the allow-list (--allow 10.0.0.0/8)",
            "add the address to --allow",
        );
        collector.stop();
    }
}

#[test]
fn the_filter_keeps_nothing() {
    let Some(lab) = Lab::new("k") else { return };
    let _exporter = lab.exporter(PORT, datagram);
    for options in [&["-F", "net 192.168.0.0/16"][..], &["-F", "net 192.168.0.0/16", HTTP]] {
        let collector = lab.collector(options);
        let said = lab.doctor(&[]);
        said.assert("The filter -F 'net 192.168.0.0/16' keeps none of ", "leave out -F");
        collector.stop();
    }
}

#[test]
fn the_buffer_is_too_small() {
    let Some(lab) = Lab::new("s") else { return };
    let _collector = lab.collector(&["-B", "1", "--receivers", "1"]);
    let socket = lab.socket("127.0.0.1:0");
    // One datagram finds room, so most of a burst does not.
    let _exporter = lab.exporter(PORT, move |n| {
        for k in 0..200 {
            let _ = socket.send_to(&datagram(200 * n + k), ("127.0.0.1", PORT));
        }
        datagram(200 * n)
    });
    let said = lab.doctor(&[]);
    said.assert(
        "The kernel dropped ",
        "because the receive buffer was full: raise net.core.rmem_max",
    );
}

#[test]
fn the_collector_hangs() {
    let Some(lab) = Lab::new("h") else { return };
    let collector = lab.collector(&[]);
    let _exporter = lab.exporter(PORT, datagram);
    collector.signal("STOP");
    let waits = || {
        let list = stdout_of("ip", ["netns", "exec", &lab.name, "cat", "/proc/net/udp6"]);
        list.lines().any(|l| l.contains(":270B") && !l.contains(":00000000 00:"))
    };
    wait_until(waits, || "datagrams that wait".to_owned());
    let said = lab.doctor(&[]);
    collector.signal("CONT");
    said.assert("The collector does not read its socket [::]:9995", "ps -o pid,stat");
}

#[test]
fn the_clock_of_the_exporter_is_an_hour_behind() {
    let Some(lab) = Lab::new("c") else { return };
    let _collector = lab.collector(&[]);
    let _exporter = lab.exporter(PORT, |n| {
        let mut bytes = datagram(n);
        let secs = u32::from_be_bytes(bytes[8..12].try_into().unwrap()) - 3600;
        bytes[8..12].copy_from_slice(&secs.to_be_bytes());
        bytes
    });
    let said = lab.doctor(&[]);
    said.assert("The clock of 127.0.0.1 is 60 minutes behind that of this machine", "NTP");
}

/// A file system of its own size, gone after the test.
struct SmallDisk<'a>(&'a Path);

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn the_disk_is_full() {
    let Some(lab) = Lab::new("v") else { return };
    let mounted = run("mount", ["-t", "tmpfs", "-o", "size=2m", "none", lab.dir()]);
    if !mounted.status.success() {
        return eprintln!("skipped: {}", String::from_utf8_lossy(&mounted.stderr).trim());
    }
    let _disk = SmallDisk(&lab.dir);
    let _collector = lab.collector(&[HTTP]);
    let _exporter = lab.exporter(PORT, datagram);
    std::fs::write(lab.dir.join("ballast"), vec![1; 1500 << 10]).expect("ballast");
    let said = lab.doctor(&[]);
    said.assert(&format!("The disk of {} is full: ", lab.dir()), "flowexpire");
}

#[test]
fn the_directory_may_not_be_written_to() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(lab) = Lab::new("u") else { return };
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
    };
    mode(lab.dir.parent().expect("scene"), 0o755);
    mode(&lab.dir, 0o777);
    let _collector = lab.collector(&["-u", "65534", "-g", "65534"]);
    let _exporter = lab.exporter(PORT, datagram);
    mode(&lab.dir, 0o755);
    let said = lab.doctor(&[]);
    said.assert(
        &format!("The collector may not write to {}: it belongs to user 0", lab.dir()),
        "works as user 65534",
    );
}

#[test]
fn a_file_is_damaged() {
    let Some(lab) = Lab::new("x") else { return };
    // The newest one, whatever the collector finishes meanwhile.
    std::fs::write(lab.dir.join("nfcapd.209911181105"), b"no flows").expect("file");
    let _collector = lab.collector(&[HTTP]);
    let _exporter = lab.exporter(PORT, datagram);
    let said = lab.doctor(&[]);
    said.assert(&format!("{}/nfcapd.209911181105 is damaged: ", lab.dir()), "--repair");
}

#[test]
fn without_privileges_the_kernels_counts_tell() {
    let Some(lab) = Lab::new("e") else { return };
    if !has("setpriv") {
        return;
    }
    let without =
        ["setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin"];
    let collector = lab.collector(&[]);
    let said = lab.doctor_by(&without, &[]);
    said.assert("No packets reach a socket of this machine, on UDP 9995 or elsewhere", "as root");
    let exporter = lab.exporter(2055, datagram);
    let said = lab.doctor_by(&without, &[]);
    let found = &said.step("packets")[0];
    assert!(found.0 == "cannot tell" && found.1.contains("could not be watched"), "{found:?}");
    assert!(
        said.diagnosis().contains(" came to ports that nobody listens on"),
        "{:#}",
        said.document
    );
    drop(exporter);
    let _exporter = lab.exporter(PORT, datagram);
    let said = lab.doctor_by(&without, &[]);
    assert_eq!(said.status, Some(0), "{:#}", said.document);
    // What another user may not see is not therefore broken.
    let other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let may_run =
        run("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", FLOWCAPD, "-V"]);
    if may_run.status.success() {
        let hidden = lab.scene.dir("hidden");
        let mode = |path: &Path, mode| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
        };
        mode(hidden.parent().expect("scene"), 0o755);
        mode(&hidden, 0o700);
        let said = lab.doctor_by(&other, &["-w", hidden.to_str().expect("text"), "-u", "0"]);
        let [(verdict, found)] = &said.step("disk")[..] else { panic!("{:#}", said.document) };
        assert!(verdict == "cannot tell" && found.contains("Permission denied"), "{found}");
    }
    collector.stop();
}

#[test]
fn names_of_a_running_collector_are_relative_to_where_it_was_started() {
    let Some(lab) = Lab::new("l") else { return };
    let home = lab.dir.parent().expect("scene");
    std::fs::write(
        home.join("conf"),
        "[[source]]\nident = 'core'\nfrom = ['127.0.0.1']\ndir = 'flows'\n",
    )
    .expect("configuration");
    let start = format!("cd {} && exec {FLOWCAPD} -C conf", home.display());
    let daemon = Daemon::start(
        "ip",
        ["netns", "exec", &lab.name, "sh", "-c", &start],
        lab.scene.path("capd.log"),
    );
    daemon.wait_for("Startup flowcapd.");
    let _exporter = lab.exporter(PORT, datagram);
    let said = lab.doctor(&[]);
    assert_eq!(said.status, Some(0), "{:#}", said.document);
    let [(_, found)] = &said.step("files")[..] else { panic!("{:#}", said.document) };
    assert!(found.starts_with(&format!("{}: ", lab.dir())), "{found}");
}

#[test]
fn without_the_kernels_lists_nobody_is_accused() {
    let Some(lab) = Lab::new("o") else { return };
    if !has("unshare") {
        return;
    }
    let _collector = lab.collector(&[]);
    let _exporter = lab.exporter(PORT, datagram);
    // As in a sandbox without /proc.
    let hidden = "mount -t tmpfs none /proc 2>/dev/null || exit 77; exec \"$@\"";
    let by = ["unshare", "--mount", "--propagation=private", "sh", "-c", hidden, "sh"];
    if run("ip", [&["netns", "exec", &lab.name][..], &by, &["true"]].concat()).status.code()
        == Some(77)
    {
        return eprintln!("skipped: no /proc of its own");
    }
    let said = lab.doctor_by(&by, &[]);
    let found = said.step("collector");
    let is_so = |(verdict, found): &(String, String)| {
        verdict == "cannot tell" && found.contains("who listens on UDP 9995 cannot be seen")
    };
    assert!(found.len() == 1 && found.iter().all(is_so), "{:#}", said.document);
    assert_eq!(said.status, Some(0), "{:#}", said.document);
}

#[test]
fn a_format_is_the_doctors_alone() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let output = run(FLOWCAPD, ["-C", "none", "-o", "json", "-w", dir.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("-o json is for flowcapd doctor"), "{said}");
}
