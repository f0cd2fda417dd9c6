//! softflowd measures packets, `flowcapd` and nfcapd collect what it exports, `flowdump` and nfdump
//! read the files of both: four times the same flows, and those that were in the packets.

mod common;

use bench::Rng;
use common::capd::{Capd, DAY};
use common::packets::{ICMP, ICMP6, Key, TCP, Truth, UDP};
use common::packets::{expected, same, sums, without_icmp6_types};
use common::{Daemon, FLOWDUMP, Scene, corpus, free_port, has, run};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// A capture: classic pcap of Ethernet frames, microseconds, and what is in it.
struct Capture {
    bytes: Vec<u8>,
    truth: Truth,
    at_us: u64,
}

impl Capture {
    fn new() -> Self {
        let words = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1];
        let bytes = words.into_iter().flat_map(u32::to_le_bytes).collect();
        Self { bytes, truth: Truth::new(), at_us: 1_795_168_800_000_000 }
    }

    fn push(&mut self, key: Key, flags: u8, payload: usize) {
        let packet = key.packet(flags, payload);
        let kind = if key.src.is_ipv4() { [8, 0] } else { [0x86, 0xdd] };
        // Without padding to 60 octets, which softflowd would count.
        let frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &kind[..], &packet].concat();
        let size = frame.len() as u32;
        let time = [(self.at_us / 1_000_000) as u32, (self.at_us % 1_000_000) as u32];
        let head = [time[0], time[1], size, size];
        self.bytes.extend(head.into_iter().flat_map(u32::to_le_bytes));
        self.bytes.extend(frame);
        self.at_us += 700;
        let sums = self.truth.entry(key).or_default();
        *sums = (sums.0 + 1, sums.1 + packet.len() as u64);
    }

    /// Conversations of all protocols over both families, interleaved.
    fn mixed(conversations: u64) -> Self {
        const SYN: u8 = 2;
        const ACK: u8 = 0x10;
        let mut rng = Rng::new(7);
        let mut capture = Self::new();
        let keys: Vec<Key> = (0..conversations).map(|n| key(n, &mut rng)).collect();
        for round in 0..6 {
            for (n, key) in keys.iter().enumerate() {
                if round > n % 6 {
                    continue;
                }
                let flags = if round == 0 { SYN } else { ACK };
                capture.push(*key, flags, rng.below(1200) as usize);
                if n % 3 > 0 {
                    capture.push(key.reverse(), flags | ACK, rng.below(1200) as usize);
                }
            }
        }
        capture
    }
}

/// The key of conversation `n`, no two alike.
fn key(n: u64, rng: &mut Rng) -> Key {
    let is_v6 = n % 3 == 2;
    let (inside, outside) = (n as u16, rng.below(50) as u16);
    let (src, dst): (IpAddr, IpAddr) = match is_v6 {
        true => (
            Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, inside).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, outside).into(),
        ),
        false => (
            Ipv4Addr::from(0x0a00_0000 + u32::from(inside)).into(),
            Ipv4Addr::from(0xc633_6400 + u32::from(outside)).into(),
        ),
    };
    let port = 1024 + rng.below(60_000) as u16;
    let (proto, src_port, dst_port) = match (n % 7, is_v6) {
        (0, false) => (ICMP, 0, 8 << 8), // echo request
        (0, true) => (ICMP6, 0, 128 << 8),
        (1 | 2, _) => (UDP, port, 53),
        _ => (TCP, port, 443),
    };
    Key { proto, src, dst, src_port, dst_port }
}

/// softflowd reads the capture and exports to this port.
fn export(capture: &Path, version: &str, port: u16, scene: &Scene) {
    let (to, pid) = (format!("127.0.0.1:{port}"), scene.path("softflowd.pid"));
    let pid = pid.to_str().unwrap();
    let capture = capture.to_str().unwrap();
    // With a control socket 1.1.0 waits for somebody to control it.
    let args = ["-r", capture, "-n", &to, "-v", version, "-c", "none", "-p", pid, "-d"];
    let output = run("softflowd", args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn wait_until_read(port: u16) {
    common::wait_until(|| common::waiting(port) == 0, || format!("an empty port {port}"));
}

/// Directories with the files of `flowcapd` and of nfcapd.
fn collect(scene: &Scene, name: &str, capture: &Path, version: &str) -> [PathBuf; 2] {
    let ours = Capd::start(scene, &format!("{name}-v{version}-ours"), &[DAY]);
    export(capture, version, ours.port, scene);
    let our_dir = ours.dir.clone();
    let account = ours.stop();
    assert_eq!(account.get("Sequence Errors") + account.get("Bad Packets"), 0, "{account:?}");

    let their_dir = scene.dir(&format!("{name}-v{version}-theirs"));
    let port = free_port();
    let to = port.to_string();
    let args = ["-w", their_dir.to_str().unwrap(), "-p", &to, "-b", "127.0.0.1", "-t", "3600"];
    let theirs = Daemon::start("nfcapd", args, scene.path("nfcapd.log"));
    theirs.wait_for("Startup nfcapd.");
    export(capture, version, port, scene);
    wait_until_read(port);
    theirs.stop();
    [our_dir, their_dir]
}

/// Collects an export of each version; both readers agree on both files, and the files are the
/// same. Returns the flows of each version.
fn agree(scene: &Scene, name: &str, capture: &Path) -> Vec<Vec<String>> {
    ["5", "9", "10"]
        .into_iter()
        .map(|version| {
            let what = format!("{name} v{version}");
            let [ours, theirs] = collect(scene, name, capture, version);
            let [of_ours, of_theirs] = [ours, theirs].map(|dir| {
                let sums = sums(FLOWDUMP, &dir);
                same(&sums, &self::sums("nfdump", &dir), &format!("{what}: {}", dir.display()));
                sums
            });
            let knows_types =
                of_theirs.iter().any(|l| l.contains(" 128.0 ") || l.contains(" 129.0 "));
            if version == "9" && !knows_types {
                same(&without_icmp6_types(&of_ours), &of_theirs, &what);
            } else {
                same(&of_ours, &of_theirs, &what);
            }
            of_ours
        })
        .collect()
}

fn has_all() -> bool {
    ["softflowd", "nfcapd", "nfdump"].into_iter().all(has)
}

#[test]
fn packets_of_ours() {
    if !has_all() {
        return;
    }
    let scene = Scene::new();
    let capture = Capture::mixed(300);
    let path = scene.path("capture");
    std::fs::write(&path, &capture.bytes).unwrap();
    let collected = agree(&scene, "mixed", &path);
    let all = expected(&capture.truth);
    assert!(all.len() > 450, "{} flows", all.len());
    // v5 knows no IPv6.
    let v4 = expected(capture.truth.iter().filter(|(key, _)| key.src.is_ipv4()));
    same(&collected[0], &v4, "v5 and the packets");
    same(&collected[1], &all, "v9 and the packets");
    same(&collected[2], &all, "IPFIX and the packets");
}

/// v1 knows no IPv6, and no more than 24 records a datagram; softflowd sends 29, which nfcapd
/// refuses.
#[test]
fn version_1_with_few_flows_and_with_many() {
    if !has_all() {
        return;
    }
    let scene = Scene::new();
    for (name, conversations) in [("few", 18), ("many", 300)] {
        let capture = Capture::mixed(conversations);
        let path = scene.path(name);
        std::fs::write(&path, &capture.bytes).unwrap();
        let [ours, theirs] = collect(&scene, name, &path, "1");
        let v4 = expected(capture.truth.iter().filter(|(key, _)| key.src.is_ipv4()));
        for reader in [FLOWDUMP, "nfdump"] {
            same(&sums(reader, &ours), &v4, &format!("{name} flows, {reader}"));
        }
        let theirs = sums("nfdump", &theirs);
        if v4.len() <= 24 {
            same(&theirs, &v4, "few flows at nfcapd");
        } else {
            assert!(theirs.len() < 24, "nfcapd reads more than 24 records now");
            assert!(theirs.iter().all(|line| v4.contains(line)), "{theirs:?}");
        }
    }
}

#[test]
fn packets_of_others() {
    let Some(corpus) = corpus() else { return };
    if !has_all() {
        return;
    }
    let scene = Scene::new();
    for (file, flows) in [
        ("tcpreplay/test.pcap", [43, 45, 45]),
        ("PcapPlusPlus/four_ipv6_http_streams.pcap", [0, 8, 8]),
    ] {
        let name = file.rsplit('/').next().unwrap();
        let collected = agree(&scene, name, &corpus.join("packets").join(file));
        let seen: Vec<_> = collected.iter().map(|lines| lines.len()).collect();
        assert_eq!(seen, flows, "{file}");
    }
}
