//! NetFlow v1 and v7 and nfdump's version 250, made from their documents: nfcapd stores the same
//! datagrams as `flowcapd` does, and tshark reads in them what our decoder reads.

mod common;

use bench::Rng;
use common::capd::{Capd, DAY};
use common::{Daemon, FLOWDUMP, Scene, free_port, has, send, stdout_of};
use record::{Addr, Field, Flow, FlowSink, Meta};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::testing::{NfdBuilder, Record, V1Builder, V3Record, V5Builder, V7Builder};

const UPTIME_MS: u32 = 3_600_000;
const SECS: u32 = 1_795_168_800;

/// The first 36 octets of flow `n`: what v1, v5 and v7 have in common. TCP, UDP and ICMP, with and
/// without next hop and interfaces.
fn common_part(n: u32, rng: &mut Rng) -> Record {
    let first = UPTIME_MS - 60_000 + n * 100;
    let ports = match n % 3 {
        0 => [0, 3 << 8 | 1], // ICMP
        _ => [1024 + rng.below(60_000), 443],
    };
    Record::new()
        .addr(Addr::V4(0x0a00_0000 + n))
        .addr(Addr::V4(0xc633_6400 + n % 250))
        .number([0, 0xc000_0201][n as usize % 2], 4)
        .number(u64::from(n % 5), 2)
        .number(u64::from(n % 4), 2)
        .number(1 + rng.below(1 << 31), 4)
        .number(1 + rng.below(1 << 32), 4)
        .number(first.into(), 4)
        .number((first + n * 7).into(), 4)
        .number(ports[0], 2)
        .number(ports[1], 2)
}

fn proto(n: u32) -> u64 {
    [1, 6, 17][n as usize % 3]
}

/// v1 datagrams of at most 24 records.
fn v1() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(1);
    let header = wire::v1::Header {
        uptime_ms: UPTIME_MS,
        unix_secs: SECS,
        unix_nsecs: 250_000_000,
        ..Default::default()
    };
    let mut record = |n: u32| -> [u8; 48] {
        let record = common_part(n, &mut rng).number(0, 2).number(proto(n), 1);
        let record = record.number((n % 256).into(), 1).number(0x1b, 1).number(0, 7);
        record.build().try_into().expect("48 octets")
    };
    let mut datagram = |of: std::ops::Range<u32>| {
        of.fold(V1Builder::new(header), |b, n| b.record(record(n))).build()
    };
    vec![datagram(0..24), datagram(24..47), datagram(47..48)]
}

/// What v5 and v7 have behind the common part, up to octet 48.
fn routing(record: Record, n: u32) -> Record {
    record
        .number(0, 1)
        .number(0x1b, 1)
        .number(proto(n), 1)
        .number((n % 256).into(), 1)
        .number([0, 64_500][n as usize % 2], 2)
        .number([0, 64_501][n as usize % 2], 2)
        .number(24, 1)
        .number(16, 1)
        .number(0, 2)
}

/// v7 datagrams of at most 28 records, each with the address of a bypassed router.
fn v7() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(7);
    let mut record = |n: u32| -> [u8; 52] {
        let record = routing(common_part(n, &mut rng), n).number(0xc000_0263, 4);
        record.build().try_into().expect("52 octets")
    };
    let mut datagram = |of: std::ops::Range<u32>| {
        let header = wire::v7::Header {
            uptime_ms: UPTIME_MS,
            unix_secs: SECS,
            unix_nsecs: 250_000_000,
            sequence: 500 + of.start,
            ..Default::default()
        };
        of.fold(V7Builder::new(header), |b, n| b.record(record(n))).build()
    };
    vec![datagram(0..28), datagram(28..50), datagram(50..51)]
}

/// v5 datagrams of two engines, one of which samples; and two messages in one datagram.
fn v5() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(5);
    let mut record = |n: u32| -> [u8; 48] {
        routing(common_part(n, &mut rng), n).build().try_into().expect("48 octets")
    };
    let mut datagram = |engine_id, sampling, of: std::ops::Range<u32>| {
        let header = wire::v5::Header {
            uptime_ms: UPTIME_MS,
            unix_secs: SECS,
            unix_nsecs: 250_000_000,
            sequence: of.start,
            engine_type: 3,
            engine_id,
            sampling,
            ..Default::default()
        };
        of.fold(V5Builder::new(header), |b, n| b.record(record(n))).build()
    };
    let two = [datagram(1, 0, 0..15), datagram(1, 0, 15..30)].concat();
    vec![two, datagram(2, 0x4064, 0..30), datagram(1, 0, 30..31)]
}

/// Datagrams of version 250 with IPv4 and IPv6 flows and some of what nfpcapd adds.
fn nfd() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(250);
    let mut record = |n: u64| {
        let first = u64::from(SECS) * 1000 + n * 50;
        let numbers = [first, first + n * 7, first + 60_000, 1 + n % 50, 40 + rng.below(100_000)];
        let mut generic: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        generic.extend([1024 + n as u16, 443].iter().flat_map(|p| p.to_le_bytes()));
        generic.extend([6, 0x1b, 0, 0]);
        let record = V3Record::new((0x11, 1), 0, 0, 0x41).element(1, &generic);
        let record = match n % 3 {
            0 => record.element(3, &[[n as u8; 16], [7; 16]].concat()),
            _ => record.element(2, &[n as u8, 1, 0, 10, 1, 2, 3, 4]),
        };
        // Microseconds of client, server and application: nfdump keeps them exactly up to 2^53.
        let latencies: Vec<u8> = [1_057, 20_500, n].iter().flat_map(|n| n.to_le_bytes()).collect();
        match n % 4 {
            1 => record.element(6, &[12, 0, 0, 0, 13, 0, 0, 0]).build(),
            2 => record.element(15, &[n as u8; 32]).build(),
            3 => record.element(17, &latencies).build(),
            _ => record.build(),
        }
    };
    let mut datagram = |sequence, of: std::ops::Range<u64>| {
        let header = wire::nfd::Header { sequence, ..Default::default() };
        of.fold(NfdBuilder::new(header), |b, n| b.record(&record(n))).build()
    };
    vec![datagram(0, 0..12), datagram(1, 12..24), datagram(2, 24..25)]
}

/// Directories with what `flowcapd` and nfcapd made of these datagrams; none of nfcapd if it does not
/// know their version.
fn collect(scene: &Scene, name: &str, datagrams: &[Vec<u8>]) -> (PathBuf, Option<PathBuf>) {
    let ours = Capd::start(scene, &format!("{name}-ours"), &[DAY]);
    ours.send(datagrams);
    let our_dir = ours.dir.clone();
    let account = ours.stop();
    assert_eq!(account.get("Total packets received"), datagrams.len() as u64, "{name}");
    assert_eq!(account.get("Sequence Errors") + account.get("Bad Packets"), 0, "{account:?}");

    let their_dir = scene.dir(&format!("{name}-theirs"));
    let port = free_port();
    let to = port.to_string();
    let args = ["-w", their_dir.to_str().unwrap(), "-p", &to, "-b", "127.0.0.1", "-t", "3600"];
    let theirs = Daemon::start("nfcapd", args, scene.path(format!("{name}-nfcapd.log")));
    theirs.wait_for("Startup nfcapd.");
    send(port, datagrams);
    for _ in 0..500 {
        if common::waiting(port) == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = theirs.stop();
    assert!(!log.contains("Abort") && !log.contains("error"), "{log}");
    let is_known = !log.contains("Unexpected netflow version");
    (our_dir, is_known.then_some(their_dir))
}

/// All flows of a directory, sorted. `options` is `-N`, or nothing where two programs are compared:
/// with it the nfdump of Debian 12 prints flags as letters, newer ones and ours as a number.
fn flows(reader: &str, options: &[&str], dir: &Path, columns: &str) -> Vec<String> {
    let format = format!("fmt:{columns}");
    let args = ["-q", "-6", "-R", dir.to_str().unwrap(), "-o", &format];
    let text = stdout_of(reader, [options, &args].concat());
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<_> = text.lines().map(words).collect();
    lines.sort();
    lines
}

#[test]
fn nfcapd_stores_the_same_flows() {
    if !has("nfcapd") || !has("nfdump") {
        return;
    }
    const FLOW: &str = "%ts %te %pr %sa %sp %da %dp %flg %tos %pkt %byt %in %out %ra";
    let scene = Scene::new();
    for (name, datagrams, count, more) in [
        ("v1", v1(), 48, "%nh %exp"),
        ("v5", v5(), 61, "%nh %sas %das %eng %exp"),
        ("v7", v7(), 51, "%nh %sas %das %eng %exp"),
        ("v250", nfd(), 25, "%svln %dvln %ismc %odmc %cl %sl %al %eng"),
    ] {
        let (our_dir, their_dir) = collect(&scene, name, &datagrams);
        let columns = format!("{FLOW} {more}");
        let ours = flows("nfdump", &["-N"], &our_dir, &columns);
        assert_eq!(ours.len(), count, "{name}");
        let Some(their_dir) = their_dir else {
            // 1.7.1 knows no version 250; what is stored can be read all the same.
            assert_eq!(name, "v250");
            let [ours, theirs] = [FLOWDUMP, "nfdump"].map(|r| flows(r, &[], &our_dir, &columns));
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(ours, theirs, "{name}");
            }
            assert_eq!([ours.len(), theirs.len()], [count; 2], "{name}");
            continue;
        };
        let theirs = flows("nfdump", &["-N"], &their_dir, &columns);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{name}");
        }
        assert_eq!(theirs.len(), count, "{name}");
    }
}

/// A capture: classic pcap of IPv4 packets without a link layer.
fn capture(datagrams: &[Vec<u8>]) -> Vec<u8> {
    const RAW_IP: u32 = 101;
    let words = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, RAW_IP];
    let mut out: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    for datagram in datagrams {
        let udp = Record::new().number(40_000, 2).number(9995, 2);
        let udp = udp.number(8 + datagram.len() as u64, 2).number(0, 2).octets(datagram).build();
        let ip = Record::new().number(0x4500, 2).number(20 + udp.len() as u64, 2).number(0, 4);
        let ip = ip.number(0x4011, 2).number(0, 2).number(0xc000_0201, 4).number(0xc000_0202, 4);
        let packet = ip.octets(&udp).build();
        let head = [SECS, 0, packet.len() as u32, packet.len() as u32];
        out.extend(head.into_iter().flat_map(u32::to_le_bytes));
        out.extend(packet);
    }
    out
}

/// Numbers of each flow: what [`FIELDS`] name.
#[derive(Default)]
struct Flows(Vec<[u64; 7]>);

const FIELDS: [(Field, &str); 7] = [
    (Field::Bytes, "cflow.octets"),
    (Field::Packets, "cflow.packets"),
    (Field::Proto, "cflow.protocol"),
    (Field::DstPort, "cflow.dstport"),
    (Field::Input, "cflow.inputint"),
    (Field::Output, "cflow.outputint"),
    (Field::SrcTos, "cflow.tos"),
];

impl FlowSink for Flows {
    fn flow(&mut self, flow: &Flow) {
        self.0.push(FIELDS.map(|(field, _)| flow.number(field)));
    }

    fn meta(&mut self, _: Meta<'_>) {}
}

#[test]
fn tshark_reads_the_same_numbers() {
    if !has("tshark") {
        return;
    }
    let scene = Scene::new();
    for (name, datagrams) in [("v1", v1()), ("v7", v7())] {
        let mut decoder = wire::Decoder::new(wire::Config::default());
        let mut ours = Flows::default();
        for datagram in &datagrams {
            decoder.decode(Addr::V4(0xc000_0201), u64::from(SECS) * 1000, datagram, &mut ours);
        }
        let path = scene.path(name);
        std::fs::write(&path, capture(&datagrams)).unwrap();
        let mut args =
            vec!["-r", path.to_str().unwrap(), "-d", "udp.port==9995,cflow", "-T", "fields"];
        args.extend(FIELDS.iter().flat_map(|(_, name)| ["-e", name]));
        let number = |n: &str| match n.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => n.parse(),
        };
        let mut theirs = Vec::new();
        for line in stdout_of("tshark", &args).lines() {
            let columns: Vec<Vec<u64>> = line
                .split('\t')
                .map(|c| c.split(',').map(|n| number(n).expect("a number")).collect())
                .collect();
            let records = columns[0].len();
            theirs.extend((0..records).map(|i| std::array::from_fn(|c| columns[c][i])));
        }
        assert_eq!(ours.0, theirs, "{name}");
        assert!(theirs.len() > 47, "{name}");
    }
}
