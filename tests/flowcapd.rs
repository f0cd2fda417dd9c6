//! `flowcapd` over UDP on loopback: what is sent is in the files, what is lost is in the log.

mod common;

use common::capd::{Account, Capd, DAY, NOTHING, assert_listed, listed, open_files, send_from};
use common::exports::{BYTES, PACKETS, ipfix, v5, v9};
use common::{FLOWCAPD, FLOWDUMP, Scene, flow_files, free_port, has, run, stdout_of, wait_until};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

/// Names of the files of the slots from `since` on, seconds since 1970, to now.
fn names_since(since: u64, interval: u64) -> Vec<String> {
    let pattern = if interval < 60 { "nfcapd.%Y%m%d%H%M%S" } else { "nfcapd.%Y%m%d%H%M" };
    let first = since - since % interval;
    let slots = (first..=now_secs()).step_by(interval as usize);
    let at = |slot: u64| chrono::DateTime::from_timestamp(slot as i64, 0).expect("time");
    slots.map(|slot| at(slot).format(pattern).to_string()).collect()
}

fn now_secs() -> u64 {
    sys::clock::now_ms() / 1000
}

fn name(path: &Path) -> &str {
    path.file_name().expect("name").to_str().expect("text")
}

/// The numbers of `flows` flows in a log line, all of them received in `datagrams`.
fn sums(flows: u64, datagrams: u64) -> [(&'static str, u64); 4] {
    [
        ("Flows", flows),
        ("Packets", flows * PACKETS),
        ("Bytes", flows * BYTES),
        ("Total packets received", datagrams),
    ]
}

#[test]
fn all_protocols_arrive_on_one_socket() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    capd.send([
        v5(0, 0..30),
        v9(1, 0, 30..60, true),
        ipfix(2, 0, 60..90, true),
        v5(30, 90..120),
        v9(1, 1, 120..150, false),
        ipfix(2, 30, 150..180, false),
    ]);
    let dir = capd.dir.clone();
    capd.stop().is(&sums(180, 6));
    assert_listed(&dir, 0..180, "all");
}

#[test]
fn term_and_int_write_everything_out() {
    let scene = Scene::new();
    for signal in ["TERM", "INT"] {
        let mut capd = Capd::start(&scene, signal, &[DAY]);
        // The signal comes while the datagrams are still on their way through.
        capd.send((0..50).map(|n| v9(1, n, n * 20..n * 20 + 20, true)));
        capd.daemon.signal(signal);
        let status = capd.daemon.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {}", capd.daemon.log());
        assert!(capd.daemon.log().ends_with("Terminating flowcapd.\n"));
        Account::read(&capd.daemon.log()).is(&sums(1000, 50));
        assert_listed(&capd.dir, 0..1000, signal);
        assert_eq!(open_files(&capd.dir), [] as [PathBuf; 0], "{signal}");
    }
}

#[test]
fn hup_closes_the_slot_early_and_goes_on() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    let dir = capd.dir.clone();
    for (round, part) in [0..20, 20..40].into_iter().enumerate() {
        capd.send([v9(1, round as u32, part, true)]);
        capd.daemon.wait_for("New v9 exporter");
        // HUP does not wait for what is still in the socket.
        capd.wait_for_flows(20 * (round + 1));
        capd.daemon.signal("HUP");
        wait_until(|| listed(&dir).len() == 20 * (round + 1), || "a finished file".to_owned());
        assert_eq!(flow_files(&dir).len(), 1, "parts of a slot are merged");
    }
    capd.send([v9(1, 2, 40..60, false)]);
    capd.stop().is(&sums(60, 3));
    assert_eq!(flow_files(&dir).len(), 1);
    assert_listed(&dir, 0..60, "all");
    let info = stdout_of(FLOWDUMP, ["-I", "-r", flow_files(&dir)[0].to_str().unwrap()]);
    assert!(info.contains("Flows: 60\n"), "{info}");
}

#[test]
fn files_are_named_by_the_slot() {
    let scene = Scene::new();
    for (options, interval, sub) in [
        (&[][..], 300, ""),
        (&["-t", "3600"], 3600, ""),
        (&["-t", "30"], 30, ""),
        (&["-S", "1"], 300, "%Y/%m/%d"),
        (&["-S", "2", "-t", "60"], 60, "%Y/%m/%d/%H"),
        (&["-S", "7"], 300, "%F"),
    ] {
        let since = now_secs();
        let capd = Capd::start(&scene, &options.concat(), options);
        let dir = capd.dir.clone();
        capd.send([v5(0, 0..5)]);
        assert_eq!(capd.stop().get("Flows"), 5);
        let names = names_since(since, interval);
        let day = chrono::DateTime::from_timestamp(since as i64, 0).unwrap();
        for file in flow_files(&dir) {
            assert!(names.contains(&name(&file).to_owned()), "{options:?}: {file:?} of {names:?}");
            // Midnight and the full hour are left to other runs.
            if names.len() == 1 {
                assert_eq!(file.parent().unwrap(), dir.join(day.format(sub).to_string()));
            }
        }
        assert_listed(&dir, 0..5, &format!("{options:?}"));
    }
}

#[test]
fn each_slot_has_a_file_even_without_flows() {
    let scene = Scene::new();
    let since = now_secs();
    let capd = Capd::start(&scene, "flows", &["-t", "1", "-I", "idle"]);
    let dir = capd.dir.clone();
    wait_until(|| flow_files(&dir).len() >= 3, || "three finished files".to_owned());
    capd.stop().is(&[]);
    let files = flow_files(&dir);
    let names: Vec<_> = files.iter().map(|f| name(f).to_owned()).collect();
    let slots = names_since(since, 1);
    // A machine that stands still for a second has no file of it.
    assert!(names.iter().all(|name| slots.contains(name)), "{names:?} of {slots:?}");
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    for file in &files {
        let file = file.to_str().unwrap();
        let ours = stdout_of(FLOWDUMP, ["-I", "-r", file]);
        assert!(ours.starts_with("Ident: idle\nFlows: 0\n"), "{ours}");
        assert_eq!(stdout_of(FLOWDUMP, ["-q", "-r", file]).trim_end(), NOTHING);
        if has("nfdump") {
            let theirs = run("nfdump", ["-I", "-r", file]);
            assert_eq!(String::from_utf8_lossy(&theirs.stdout), ours);
            assert_eq!(String::from_utf8_lossy(&theirs.stderr), "");
            let list = run("nfdump", ["-q", "-r", file]);
            assert_eq!(String::from_utf8_lossy(&list.stdout).trim_end(), NOTHING);
            assert_eq!(String::from_utf8_lossy(&list.stderr), "");
        }
    }
}

#[test]
fn the_open_slot_can_be_read() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "-z"]);
    for n in 0..3 {
        capd.send([v9(1, n, n * 20..n * 20 + 20, n == 0)]);
        capd.wait_for_flows(20 * (n as usize + 1));
        assert_eq!(flow_files(&capd.dir), [] as [PathBuf; 0]);
        let open = open_files(&capd.dir);
        assert_eq!(open.len(), 1);
        // Whether its writer is alive cannot be seen, so this is said. Nothing of it is lost.
        let output = run(FLOWDUMP, ["-q", "-r", open[0].to_str().unwrap(), "-s", "proto"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("its writer is at work") && stderr.contains(" 0 octets lost"));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(output.status.success(), "{}", output.status);
        let info = stdout_of(FLOWDUMP, ["-I", "-r", open[0].to_str().unwrap()]);
        assert!(info.contains(&format!("\nFlows: {}\n", 20 * (n + 1))), "{info}");
    }
    assert_eq!(capd.stop().get("Flows"), 60);
}

#[test]
fn a_crash_loses_no_more_than_the_last_second() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "-I", "first"]);
    let dir = capd.dir.clone();
    capd.send((0..100).map(|n| v9(1, n, n * 20..n * 20 + 20, true)));
    capd.wait_for_flows(2000);
    capd.send([v9(1, 100, 2000..2020, true)]);
    capd.daemon.kill();
    let left = open_files(&dir);
    assert_eq!(left.len(), 1);

    // A start in the same slot takes them in, and the rest of the slot is added.
    let to = dir.to_str().unwrap();
    let again = Capd::start_with(&scene, "again", dir.clone(), &["-w", to, DAY]);
    again.daemon.wait_for("left by a crash");
    assert!(!left[0].exists());
    let survived = listed(&dir).len();
    assert!([2000, 2020].contains(&survived), "{survived} flows");
    assert_listed(&dir, 0..survived as u32, "all");
    again.send([v9(1, 101, 2020..2040, true)]);
    assert_eq!(again.stop().get("Flows"), 20);
    assert_eq!(flow_files(&dir).len(), 1);
    assert_eq!(listed(&dir).len(), survived + 20);
    if has("nfdump") {
        let theirs = run("nfdump", ["-I", "-r", flow_files(&dir)[0].to_str().unwrap()]);
        let theirs = String::from_utf8_lossy(&theirs.stdout).into_owned();
        assert!(theirs.contains(&format!("Flows: {}\n", survived + 20)), "{theirs}");
    }
}

#[test]
fn a_slot_that_crashed_keeps_its_name() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &["-t", "15"]);
    let dir = capd.dir.clone();
    // At the beginning of a slot, so that it does not end before the flows are on disk.
    let slots = flow_files(&dir).len();
    wait_until(|| flow_files(&dir).len() > slots, || "the next slot".to_owned());
    capd.send([v9(1, 0, 0..20, true)]);
    capd.wait_for_flows(20);
    capd.daemon.kill();
    let left = open_files(&dir);
    let slot: u64 = name(&left[0]).split('.').nth(3).unwrap().parse().unwrap();
    wait_until(|| now_secs() >= slot + 15, || "another slot".to_owned());

    let to = dir.to_str().unwrap();
    Capd::start_with(&scene, "again", dir.clone(), &["-w", to, "-t", "15"]).stop();
    let of_slot = dir.join(&names_since(slot, 15)[0]);
    assert!(of_slot.exists(), "{of_slot:?} of {:?}", flow_files(&dir));
    let info = stdout_of(FLOWDUMP, ["-I", "-r", of_slot.to_str().unwrap()]);
    assert!(info.contains("Flows: 20\n"), "{info}");
    assert_listed(&dir, 0..20, "all");
    assert_eq!(open_files(&dir), [] as [PathBuf; 0]);
}

#[test]
fn ident_and_compression_are_in_the_file() {
    use store::Compression::{Bz2, Lz4, Lzo, None, Zstd};
    let scene = Scene::new();
    for (options, compression) in [
        (&[][..], None),
        (&["-z"], Lz4),
        (&["-y"], Lz4),
        (&["-j"], Bz2),
        (&["-z=lzo"], Lzo),
        (&["-z=lz4:9"], Lz4),
        (&["-z=bz2"], Bz2),
        (&["-z=zstd"], Zstd),
        (&["-z=zstd:9"], Zstd),
    ] {
        let ident = "border-1.example.net";
        let capd = Capd::start(
            &scene,
            &format!("z{}", options.concat()),
            &[&[DAY, "-I", ident], options].concat(),
        );
        let dir = capd.dir.clone();
        capd.send((0..20).map(|n| v9(1, n, n * 20..n * 20 + 20, true)));
        capd.stop();
        let path = &flow_files(&dir)[0];
        let file = store::FlowFile::open(path).unwrap();
        assert_eq!(file.header().compression, compression, "{options:?}");
        assert_eq!(file.ident(), ident, "{options:?}");
        assert_listed(&dir, 0..400, &format!("{options:?}"));
    }
}

#[test]
fn a_pid_file_keeps_a_second_one_away() {
    let scene = Scene::new();
    let pid_file = scene.path("pid");
    let pid_path = pid_file.to_str().unwrap();
    let capd = Capd::start(&scene, "flows", &[DAY, "-P", pid_path]);
    let pid = capd.daemon.id();
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), format!("{pid}\n"));
    let dir = scene.dir("second");
    for more in [&[][..], &["-D"]] {
        let to = dir.to_str().unwrap();
        let args = [&["-C", "none", "-w", to, "-p", "0", "-P", pid_path], more].concat();
        let second = run(FLOWCAPD, &args);
        let stderr = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(1), "{more:?}: {stderr}");
        assert!(stderr.contains(&format!("process {pid} is running")), "{more:?}: {stderr}");
    }
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), format!("{pid}\n"));
    capd.stop();
    assert!(!pid_file.exists());
}

/// Ends a process that is no child of ours, should the test fail.
struct Ended(String);

impl Drop for Ended {
    fn drop(&mut self) {
        run("kill", ["-s", "KILL", &self.0]);
    }
}

#[test]
fn a_daemon_goes_to_the_background() {
    let scene = Scene::new();
    let (dir, pid_file) = (scene.dir("flows"), scene.path("pid"));
    let port = free_port();
    let (to, pid_path) = (dir.to_str().unwrap(), pid_file.to_str().unwrap());
    let args = ["-C", "none", "-D", "-w", to, "-P", pid_path, DAY];
    // Its output ends when the daemon has let go of it, or this hangs.
    let start = run(FLOWCAPD, args.iter().copied().chain(["-p", &port.to_string()]));
    let stderr = String::from_utf8_lossy(&start.stderr);
    assert_eq!(start.status.code(), Some(0), "{stderr}");
    let has_syslog =
        std::os::unix::net::UnixDatagram::unbound().and_then(|s| s.connect("/dev/log")).is_ok();
    assert_eq!(stderr.contains("no syslog"), !has_syslog, "{stderr}");
    let pid = std::fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    let _ended = Ended(pid.clone());
    wait_until(|| open_files(&dir).len() == 1, || "an open file".to_owned());
    let file = name(&open_files(&dir)[0]).to_owned();
    assert!(file.starts_with(&format!("nfcapd.current.{pid}.")), "{file}: not of process {pid}");
    common::send(port, [v9(1, 0, 0..20, true)]);
    assert!(run("kill", ["-s", "TERM", &pid]).status.success());
    wait_until(|| !pid_file.exists(), || "no pid file".to_owned());
    assert_listed(&dir, 0..20, "all");
}

#[test]
fn a_daemon_that_cannot_start_says_so_where_it_was_started() {
    let scene = Scene::new();
    let (dir, pid_file) = (scene.dir("flows"), scene.path("pid"));
    let source = |n: u8| format!("source{n},192.0.2.{n},{}", dir.display());
    let port = free_port().to_string();
    let (one, two, pid) = (source(1), source(2), pid_file.to_str().unwrap());
    let args = ["-C", "none", "-D", "-P", pid, "-p", &port, "-n", &one, "-n", &two];
    let start = run(FLOWCAPD, args);
    let stderr = String::from_utf8_lossy(&start.stderr);
    assert_eq!(start.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("two sources"), "{stderr}");
    assert!(!pid_file.exists());
}

/// Whether somebody listens: the second datagram reports what became of the first.
fn listens(to: SocketAddr) -> bool {
    let any: SocketAddr = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    (0..2).all(|_| socket.send(&[]).is_ok())
}

#[test]
fn addresses_and_families() {
    let scene = Scene::new();
    for (options, v4, v6, said) in [
        (&[][..], true, true, "Bound to IPv6 host: any,"),
        (&["-4"], true, false, "Bound to IPv4 host: any,"),
        (&["-6"], false, true, "Bound to IPv6 host: any,"),
        (&["-b", "127.0.0.1"], true, false, "Bound to IPv4 host: 127.0.0.1,"),
        (&["-b", "::1"], false, true, "Bound to IPv6 host: ::1,"),
        (&["-b", "localhost", "-4"], true, false, "Bound to IPv4 host: 127.0.0.1,"),
    ] {
        let name = format!("on{}", options.concat().replace(':', "-"));
        let capd = Capd::start(&scene, &name, &[&[DAY], options].concat());
        assert!(capd.daemon.log().contains(said), "{options:?}: {}", capd.daemon.log());
        let mut want = Vec::new();
        for (addr, is_open) in [(Ipv4Addr::LOCALHOST.into(), v4), (Ipv6Addr::LOCALHOST.into(), v6)]
        {
            assert_eq!(listens((addr, capd.port).into()), is_open, "{options:?} on {addr}");
            if is_open {
                send_from(addr, capd.port, &[v5(0, 0..1)]);
                // An IPv4 sender is one on a socket for both families, too.
                want.push(addr.to_string());
            }
        }
        let dir = capd.dir.clone();
        capd.stop();
        let file = flow_files(&dir)[0].to_str().unwrap().to_owned();
        let senders = stdout_of(FLOWDUMP, ["-q", "-N", "-6", "-r", &file, "-o", "fmt:%ra"]);
        let senders: Vec<_> = senders.lines().map(|l| l.trim().to_owned()).collect();
        assert_eq!(senders, want, "{options:?}");
    }
}

#[test]
fn sources_have_directories_of_their_own() {
    let scene = Scene::new();
    let (a, b) = (scene.dir("a"), scene.dir("b"));
    let senders = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 1, 2, 3], [127, 0, 0, 9]];
    let send_all = |port| {
        for (n, from) in senders.into_iter().enumerate() {
            let n = n as u32;
            send_from(from.into(), port, &[v9(1, 0, n * 10..n * 10 + 10, true)]);
        }
    };
    let source_a = format!("a,127.0.0.1;127.0.0.2,{}", a.display());
    let source_b = format!("b,127.1.0.0/16,{}", b.display());
    let capd = Capd::start_with(
        &scene,
        "listed",
        scene.path(""),
        &["-n", &source_a, "-n", &source_b, DAY],
    );
    send_all(capd.port);
    let account = capd.stop();
    account.is(&[&sums(30, 4)[..], &[("ignored packets", 1)]].concat());
    assert_listed(&a, 0..20, "a");
    assert_listed(&b, 20..30, "b");

    let all = scene.dir("all");
    let capd =
        Capd::start_with(&scene, "by sender", all.clone(), &["-M", all.to_str().unwrap(), DAY]);
    send_all(capd.port);
    capd.stop().is(&sums(40, 4));
    for (n, sender) in ["127-0-0-1", "127-0-0-2", "127-1-2-3", "127-0-0-9"].iter().enumerate() {
        let n = n as u32;
        assert_listed(&all.join(sender), n * 10..n * 10 + 10, sender);
    }
}

#[test]
fn a_command_runs_for_each_file() {
    let scene = Scene::new();
    let (dir, copies) = (scene.dir("flows"), scene.dir("copies"));
    let command = format!("cp %f {}/%i-%t-%u", copies.display());
    let args = ["-w", dir.to_str().unwrap(), DAY, "-I", "lab", "-x", &command];
    let capd = Capd::start_with(&scene, "command", dir.clone(), &args);
    capd.send([v5(0, 0..7)]);
    capd.stop();
    let file = &flow_files(&dir)[0];
    let time = name(file).trim_start_matches("nfcapd.");
    let slot = chrono::NaiveDateTime::parse_from_str(time, "%Y%m%d%H%M").unwrap().and_utc();
    let copy = copies.join(format!("lab-{time}-{}", slot.timestamp()));
    let is_copied = || std::fs::read(&copy).is_ok_and(|c| c == std::fs::read(file).unwrap());
    wait_until(is_copied, || "a whole copy".to_owned());
}

#[test]
fn sampling_without_and_against_the_exporter() {
    let scene = Scene::new();
    for (rate, announced, factor) in
        [("10", 0, 10), ("10", 4, 4), ("-10", 4, 10), ("-10", 0, 10), ("1", 4, 4)]
    {
        let capd = Capd::start(&scene, &format!("s{rate} {announced}"), &[DAY, "-s", rate]);
        let mut datagram = v5(0, 0..10);
        datagram[22..24].copy_from_slice(&[0x40, announced]);
        capd.send([datagram]);
        let account = capd.stop();
        let got = (account.get("Packets"), account.get("Bytes"));
        let want = (10 * PACKETS * factor, 10 * BYTES * factor);
        assert_eq!(got, want, "-s {rate}, {announced} announced");
    }
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    let (dir, taken) = (scene.dir("other"), capd.port.to_string());
    let (dir, missing) = (dir.to_str().unwrap(), scene.path("missing"));
    let missing = missing.to_str().unwrap();
    let file = scene.path("file");
    std::fs::write(&file, "").unwrap();
    let source = format!("a,127.0.0.1,{dir}");
    for (args, said) in [
        (&["-w", dir, "-p", &taken][..], taken.as_str()),
        (&["-w", missing, "-p", "0"], "create it first"),
        (&["-w", file.to_str().unwrap(), "-p", "0"], "not a directory"),
        (&["-M", missing, "-p", "0"], "create it first"),
        (&["-p", "0"], "-w"),
        (&["-w", dir, "-p", "70000"], "70000"),
        (&["-w", dir, "-p", "0", "-S", "9"], "--subdirs"),
        (&["-w", dir, "-p", "0", "-t", "0"], "--interval"),
        (&["-w", dir, "-p", "0", "-z=gzip"], "gzip"),
        (&["-w", dir, "-p", "0", "-z", "-j"], "-j"),
        (&["-w", dir, "-p", "0", "-I", "two words"], "two words"),
        (&["-w", dir, "-p", "0", "-4", "-6"], "--ipv6"),
        (&["-w", dir, "-p", "0", "-b", "127.0.0.1", "-6"], "127.0.0.1"),
        (&["-w", dir, "-p", "0", "-b", "192.0.2.77"], "192.0.2.77"),
        (&["-w", dir, "-p", "0", "-s", "0"], "sampling rate 0"),
        (&["-w", dir, "-p", "0", "-x", "post %q"], "%f, %d, %t"),
        (&["-w", dir, "-p", "0", "-u", "no-such-user"], "no-such-user"),
        (&["-w", dir, "-p", "0", "-P", "/no/such/dir/pid"], "/no/such/dir/pid"),
        (&["-D", "-w", dir, "-p", &taken], taken.as_str()),
        (&["-D", "-w", missing, "-p", "0"], "create it first"),
        (&["-D", "-w", dir, "-p", "0", "-u", "no-such-user"], "no-such-user"),
        (&["-D", "-w", dir, "-p", "0", "-P", "/no/such/dir/pid"], "/no/such/dir/pid"),
        (&["-w", dir, "-n", &source, "-p", "0"], "--source"),
        (&["-n", "a,127.0.0.1", "-p", "0"], "IDENT,IP,DIR"),
        (&["-n", &source.replace(".1", ".1/33"), "-p", "0"], "127.0.0.1/33"),
        (&["-n", &source, "-n", &source, "-p", "0"], "two sources"),
        (&["-w", dir, "--no-such-option"], "--no-such-option"),
        (&["-w", dir, "flows"], "flows"),
    ] {
        let output = run(FLOWCAPD, ["-C", "none"].iter().chain(args));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: no '{said}' in {stderr}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{args:?}");
    }
    assert_eq!(flow_files(Path::new(dir)), [] as [PathBuf; 0]);
    capd.send([v5(0, 0..3)]);
    assert_eq!(capd.stop().get("Flows"), 3, "the one that runs is not disturbed");
}

#[test]
fn help_and_version_go_to_stdout() {
    for (option, said) in [("-V", env!("CARGO_PKG_VERSION")), ("-h", "UDP port")] {
        let output = run(FLOWCAPD, [option]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(said), "{option}");
        assert_eq!(output.stderr, b"", "{option}");
    }
}

/// Each slot has a line of its own, in the words of nfcapd.
#[test]
fn the_log_has_a_line_a_slot() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY, "-I", "lab"]);
    let dir = capd.dir.clone();
    capd.send([v5(0, 0..30), v5(30, 30..50), b"garbage".to_vec()]);
    capd.wait_for_flows(50);
    capd.daemon.signal("HUP");
    wait_until(|| flow_files(&dir).len() == 1, || "a finished file".to_owned());
    let log = capd.daemon.stop();
    for line in [
        "Ident: 'lab' Flows: 50, Packets: 500, Bytes: 50000, Sequence Errors: 0, Bad Packets: 1, \
         Blocks: 2, Socket drops: 0\n",
        "Total packets received: 3 avg: 0.00/s ignored packets: 0\n",
        "Ident: 'lab' Flows: 0, Packets: 0, Bytes: 0, Sequence Errors: 0, Bad Packets: 0, \
         Blocks: 2, Socket drops: 0\n",
        "Total packets received: 0 avg: 0.00/s ignored packets: 0\n",
    ] {
        assert!(log.contains(line), "no {line} in\n{log}");
    }
}

#[test]
fn what_is_no_export_is_counted_as_bad() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    let foreign: [&[u8]; 5] = [b"GET / HTTP/1.1", &[9], &[0, 8, 0, 1], &[0xff; 1400], &[0, 0]];
    capd.send(foreign);
    // These have a version but no more.
    capd.send([&[0, 5][..], &[0, 9, 0, 1, 0], &[0, 10, 0, 16, 0, 0]]);
    capd.send([[]; 2]);
    capd.send([v5(0, 0..10)]);
    // Cut in the middle of a record: what is there counts.
    let mut cut = v5(10, 10..20);
    cut.truncate(24 + 48 * 4 + 20);
    capd.send([cut]);
    let dir = capd.dir.clone();
    let account = capd.stop();
    let more = [
        ("Bad Packets", 5),
        ("ignored packets", 2),
        ("Truncated headers", 3),
        ("Truncated messages", 1),
        ("Truncated records", 1),
    ];
    account.is(&[&sums(14, 12)[..], &more].concat());
    assert_listed(&dir, 0..14, "all");
}

#[test]
fn gaps_in_sequence_numbers_are_counted() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    capd.send([
        v5(0, 0..10),
        v5(40, 10..20),
        v9(1, 0, 20..30, true),
        v9(1, 3, 30..40, false),
        v9(1, 4, 40..50, false),
        ipfix(2, 0, 50..60, true),
        ipfix(2, 17, 60..70, false),
        ipfix(2, 27, 70..80, false),
    ]);
    let dir = capd.dir.clone();
    let more = [("Sequence Errors", 3), ("Packets missing", 2), ("Records missing", 30 + 7)];
    capd.stop().is(&[&sums(80, 8)[..], &more].concat());
    let info = stdout_of(FLOWDUMP, ["-I", "-r", flow_files(&dir)[0].to_str().unwrap()]);
    assert!(info.contains("Sequence failures: 3\n"), "{info}");
}

#[test]
fn data_without_template_is_counted() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    capd.send([
        v9(1, 0, 0..10, false),
        ipfix(2, 0, 0..10, false),
        v9(1, 1, 10..20, true),
        v9(1, 2, 20..30, false),
        // The template of one exporter is none of another's.
        v9(3, 0, 30..40, false),
    ]);
    let dir = capd.dir.clone();
    let account = capd.stop();
    // The first one's came later.
    account.is(&[&sums(30, 5)[..], &[("Sets without template", 2)]].concat());
    assert_listed(&dir, 0..30, "all");
}

/// Flows of a blast, few enough for a program that is not optimised.
fn blast_flows() -> u32 {
    if std::env::var_os("FLOWSUITE_FULL").is_some() { 1_000_000 } else { 200_000 }
}

/// Datagrams of `FLOWS` flows as fast as the system takes them. Each has the template, so that one
/// that arrives is one that is decoded.
fn blast(capd: &Capd, sequence: u32, datagrams: u32) {
    let sender = sys::udp::Sender::connect(([127, 0, 0, 1], capd.port).into()).expect("connect");
    let all: Vec<_> = (sequence..sequence + datagrams)
        .map(|n| v9(1, n, n * FLOWS..(n + 1) * FLOWS, true))
        .collect();
    let mut sent = 0;
    while sent < all.len() {
        sent += sender.send_batch(&all[sent..]).expect("send");
    }
}

const FLOWS: u32 = 25;

#[test]
fn a_blast_is_accounted_for_to_the_last_datagram() {
    let scene = Scene::new();
    let datagrams = blast_flows() / FLOWS;
    let room = (datagrams * 4096).to_string();
    for (buffer, is_stopped) in [("200000", true), (room.as_str(), false)] {
        let capd = Capd::start(&scene, buffer, &[DAY, "-B", buffer]);
        let has_room = !capd.daemon.log().contains("were asked for");
        // All from one exporter: its sequence numbers tell the loss a second time.
        let mut sent = 0;
        let mut send = |datagrams| {
            blast(&capd, sent, datagrams);
            sent += datagrams;
        };
        send(1);
        capd.daemon.wait_for("New v9 exporter");
        if is_stopped {
            // Nothing is received meanwhile, so the small buffer overflows for sure.
            capd.daemon.signal("STOP");
            send(datagrams / 5);
            capd.daemon.signal("CONT");
        }
        send(datagrams);
        // One that arrives for sure shows what was lost before it.
        wait_until(|| common::waiting(capd.port) == 0, || "an empty buffer".to_owned());
        send(1);
        let dir = capd.dir.clone();
        let account = capd.stop();
        let (received, drops) =
            (account.get("Total packets received"), account.get("Socket drops"));
        assert_eq!(received + drops, u64::from(sent), "-B {buffer}: {account:?}");
        assert_eq!(account.get("Flows"), received * u64::from(FLOWS), "-B {buffer}: {account:?}");
        assert_eq!(account.get("Packets missing"), drops, "-B {buffer}: {account:?}");
        assert_eq!(account.get("Bad Packets") + account.get("Flows not written"), 0);
        if is_stopped {
            assert!(drops > 0, "-B {buffer}: {account:?}");
        } else if has_room {
            assert_eq!(drops, 0, "-B {buffer}: {account:?}");
        }
        for file in flow_files(&dir) {
            let info = stdout_of(FLOWDUMP, ["-I", "-r", file.to_str().unwrap()]);
            assert!(info.contains(&format!("Flows: {}\n", account.get("Flows"))), "{info}");
        }
        // Not only the sums: no flow twice, none that was not sent.
        let list = listed(&dir);
        assert_eq!(list.len() as u64, account.get("Flows"));
        let mut distinct = list;
        distinct.dedup();
        assert_eq!(distinct.len() as u64, account.get("Flows"));
    }
}
