//! What we export, as others read it: nfcapd stores every flow as it was given, whatever the
//! protocol and the form of times, and tshark finds no fault in any datagram.

mod common;

use bench::{Rng, capture};
use common::{Daemon, Scene, flow_files, free_port, has, send, stdout_of, wait_until};
use record::code::{Proto, TcpFlags};
use record::{Addr, Field, Flow, Kind, Mac};
use serde_json::{Map, Value};
use wire::export::{
    Carries, DatagramSink, Encoder, ExportConfig, InterfaceName, Sampling, SamplingKind,
    TimeFormat, Version,
};

const NOW: u64 = 1_795_168_800_789;

/// A sink that keeps everything.
#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl DatagramSink for Sent {
    fn datagram(&mut self, bytes: &[u8], _: Carries) {
        self.0.push(bytes.to_vec());
    }
}

fn encode(config: ExportConfig, flows: &[Flow]) -> Vec<Vec<u8>> {
    let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
    for flow in flows {
        encoder.flow(NOW, flow.as_row(), None, &mut sent);
    }
    encoder.flush(NOW, &mut sent);
    assert_eq!(encoder.counts().rows_left_out(), 0);
    sent.0
}

/// Flow `n` of TCP, UDP and ICMP; every third over IPv6 if `is_rich`, and then some with VLANs, MAC
/// addresses, labels and translated addresses.
fn flow(n: u64, rng: &mut Rng, is_rich: bool) -> Flow {
    let mut flow = Flow::new();
    let is_v6 = is_rich && n % 3 == 2;
    let net = 0x2001_0db8 << 96;
    let addr = |v4: u32, v6: u128| if is_v6 { Addr::V6(net | v6) } else { Addr::V4(v4) };
    flow.set_addr(Field::SrcAddr, addr(0x0a00_0000 + n as u32, 0x1_0000 + u128::from(n)));
    flow.set_addr(Field::DstAddr, addr(0xc633_6401, 0x2_0000));
    let proto = match (n % 4, is_v6) {
        (0, false) => 1,
        (0, true) => 58,
        (1, _) => 17,
        _ => 6,
    };
    let is_icmp = [1, 58].contains(&proto);
    let first = NOW - 200_000 + n * 97;
    let mut set = |field, value| assert!(flow.set(field, value), "{field:?}");
    set(Field::First, first);
    set(Field::Last, first + rng.below(90_000));
    set(Field::Proto, proto);
    set(Field::Packets, 1 + rng.below(1 << 20));
    set(Field::Bytes, 1 + rng.below(1 << 31));
    set(Field::SrcPort, if is_icmp { 0 } else { 1024 + rng.below(60_000) });
    set(Field::DstPort, if is_icmp { 3 << 8 | 1 } else { 443 });
    set(Field::TcpFlags, if proto == 6 { 0x1b } else { 0 });
    set(Field::SrcTos, n % 256);
    set(Field::Input, 1 + n % 7);
    set(Field::Output, 1 + n % 5);
    if is_rich {
        enrich(&mut flow, n);
    }
    flow
}

fn enrich(flow: &mut Flow, n: u64) {
    let mut all: Vec<(Field, u64)> = Vec::new();
    if n.is_multiple_of(2) {
        all.extend([(Field::SrcVlan, 1 + n % 4000), (Field::DstVlan, 7)]);
    }
    if n.is_multiple_of(5) {
        all.extend([(Field::InSrcMac, 0x0200_0000_0000 + n), (Field::OutDstMac, 0x0211_2233_4455)]);
    }
    if n.is_multiple_of(7) {
        all.extend([(Field::SrcAs, 64_512 + n), (Field::DstAs, 4_200_000_000)]);
    }
    if n.is_multiple_of(11) {
        all.extend([(Field::XlateSrcPort, 1 + n), (Field::XlateDstPort, 443)]);
        if flow.as_row().addr(Field::SrcAddr).is_some_and(|a| a.width() == 4) {
            flow.set_addr(Field::XlateSrcAddr, Addr::V4(0xcb00_7101));
            flow.set_addr(Field::XlateDstAddr, Addr::V4(0xc633_6401));
        }
    }
    for (field, value) in all {
        assert!(flow.set(field, value), "{field:?}");
    }
}

fn flows(count: u64, is_rich: bool) -> Vec<Flow> {
    let mut rng = Rng::new(5);
    (0..count).map(|n| flow(n, &mut rng, is_rich)).collect()
}

/// Flows that nfdump lists of what nfcapd made of these datagrams.
fn collect(scene: &Scene, name: &str, datagrams: &[Vec<u8>]) -> Vec<Map<String, Value>> {
    let dir = scene.dir(name);
    let port = free_port();
    let to = port.to_string();
    let args = ["-w", dir.to_str().unwrap(), "-p", &to, "-b", "127.0.0.1", "-t", "86400"];
    let nfcapd = Daemon::start("nfcapd", args, scene.path(format!("{name}.log")));
    nfcapd.wait_for("Startup nfcapd.");
    send(port, datagrams);
    wait_until(|| common::waiting(port) == 0, || format!("{name}: nfcapd does not read"));
    let log = nfcapd.stop();
    assert!(log.contains("Sequence Errors: 0, Bad Packets: 0"), "{name}: {log}");
    assert!(!log.contains("Abort") && !log.contains("extra bytes"), "{name}: {log}");
    flow_files(&dir).iter().flat_map(|file| list(file.to_str().unwrap())).collect()
}

/// Flows of a file. nfdump before 1.7.2 lists objects without brackets around them.
fn list(file: &str) -> Vec<Map<String, Value>> {
    let text = stdout_of("nfdump", ["-q", "-r", file, "-o", "json"]);
    let objects = text.trim().trim_start_matches('[').trim_end_matches([']', ',', '\n']);
    serde_json::from_str(&format!("[{objects}]")).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A value as text: nfdump before 1.7.2 writes some numbers so.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A field as nfdump has it in JSON: key, and value as text.
fn json(flow: &Flow, field: Field) -> (String, String) {
    let (row, key) = (flow.as_row(), field.def().json);
    let number = row.number(field);
    match field.kind() {
        Kind::Time => {
            let at = chrono::DateTime::from_timestamp_millis(number as i64).expect("a time");
            (key.into(), at.format("%Y-%m-%dT%H:%M:%S%.3f").to_string())
        }
        Kind::Addr => {
            let addr = row.addr(field).expect("an address");
            let family = if addr.width() == 4 { "4" } else { "6" };
            (key.replace("{}", family), addr.to_string())
        }
        Kind::Mac => (key.into(), Mac(number).to_string()),
        _ if field == Field::TcpFlags => (key.into(), TcpFlags(number as u8).to_string()),
        _ => (key.into(), number.to_string()),
    }
}

/// Compares what nfdump lists with what was given, field by field; both are in order of export.
fn assert_stored(name: &str, got: &[Map<String, Value>], flows: &[Flow]) {
    assert_eq!(got.len(), flows.len(), "{name}");
    for (n, (got, flow)) in got.iter().zip(flows).enumerate() {
        let row = flow.as_row();
        let is_icmp = Proto(row.number(Field::Proto) as u8).is_icmp();
        for field in row.shape().fields() {
            let is_port = matches!(field, Field::SrcPort | Field::DstPort);
            let is_type = matches!(field, Field::IcmpType | Field::IcmpCode);
            let has_flags = field != Field::TcpFlags || row.number(Field::Proto) == 6;
            if is_icmp && is_port || !is_icmp && is_type || !has_flags {
                continue;
            }
            let (key, want) = json(flow, field);
            assert_eq!(got.get(&key).map(text), Some(want), "{name}: {key} of flow {n}: {got:?}");
        }
    }
}

#[test]
fn nfcapd_stores_what_was_given() {
    if !has("nfcapd") || !has("nfdump") {
        return;
    }
    let scene = Scene::new();
    let new = ExportConfig::new;
    let uptime = |version| ExportConfig { time: TimeFormat::UptimeMs, ..new(version) };
    for (name, config, is_rich) in [
        ("v1", new(Version::V1), false),
        ("v5", new(Version::V5), false),
        ("v9", new(Version::V9), true),
        ("v9-uptimes", uptime(Version::V9), true),
        ("ipfix", new(Version::Ipfix), true),
        ("ipfix-small", ExportConfig { mtu: 508, ..new(Version::Ipfix) }, true),
    ] {
        let flows = flows(500, is_rich);
        let datagrams = encode(config, &flows);
        assert_stored(name, &collect(&scene, name, &datagrams), &flows);
    }
}

#[test]
fn nfcapd_stores_both_directions_and_nat_events() {
    if !has("nfcapd") || !has("nfdump") {
        return;
    }
    let scene = Scene::new();
    let mut flows = flows(40, true);
    for (n, flow) in (0..).zip(&mut flows) {
        assert!(flow.set(Field::OutBytes, 9000 + n) && flow.set(Field::OutPackets, 90 + n));
    }
    for version in [Version::V9, Version::Ipfix] {
        let name = format!("both-{}", version.number());
        let datagrams = encode(ExportConfig::new(version), &flows);
        assert_stored(&name, &collect(&scene, &name, &datagrams), &flows);
    }
    for flow in &mut flows {
        flow.unset(Field::OutBytes);
        flow.unset(Field::OutPackets);
        flow.set(Field::NatEvent, 4);
        flow.set(Field::NatEventTime, flow.number(Field::Last));
        flow.set(Field::IngressVrf, 5);
    }
    for version in [Version::V9, Version::Ipfix] {
        let name = format!("events-{}", version.number());
        let got = collect(&scene, &name, &encode(ExportConfig::new(version), &flows));
        assert_eq!(got.len(), flows.len(), "{name}");
        for (got, flow) in got.iter().zip(&flows) {
            for field in [Field::NatEvent, Field::SrcAddr, Field::DstAddr, Field::IngressVrf] {
                let (key, want) = json(flow, field);
                assert_eq!(got.get(&key).map(text), Some(want), "{name}: {got:?}");
            }
        }
    }
}

#[test]
fn tshark_finds_no_fault() {
    if !has("tshark") {
        return;
    }
    let scene = Scene::new();
    let flows = flows(500, true);
    let mut plain = flows.clone();
    plain.retain(|f| f.as_row().addr(Field::SrcAddr).is_some_and(|a| a.width() == 4));
    let sampling = Some(Sampling { one_of: 10, kind: SamplingKind::Random, selector: None });
    let name = |index| InterfaceName { index, name: "eth0".into(), description: "core".into() };
    let interfaces = vec![name(1), name(2)];
    for version in [Version::V1, Version::V5, Version::V9, Version::Ipfix] {
        for time in [TimeFormat::UptimeMs, TimeFormat::Millis, TimeFormat::Nanos] {
            let given = if version.has_templates() { &flows } else { &plain };
            let mut config = ExportConfig { time, ..ExportConfig::new(version) };
            if version.has_templates() {
                config = ExportConfig { sampling, interfaces: interfaces.clone(), ..config };
            }
            let datagrams = encode(config, given);
            let path = scene.path(format!("{}-{time:?}.pcap", version.number()));
            let mut file = capture::Writer::new(std::fs::File::create(&path).unwrap()).unwrap();
            for datagram in &datagrams {
                file.write(NOW * 1000, ([192, 0, 2, 1].into(), 4000), 9995, datagram).unwrap();
            }
            file.finish().unwrap();
            let path = path.to_str().unwrap();
            let fields = ["cflow.octets", "_ws.expert.message", "_ws.malformed"];
            let mut args = vec!["-r", path, "-d", "udp.port==9995,cflow", "-T", "fields"];
            args.extend(fields.iter().flat_map(|f| ["-e", f]));
            let mut octets = Vec::new();
            for line in stdout_of("tshark", &args).lines() {
                let columns: Vec<_> = line.split('\t').collect();
                assert_eq!(columns[1..], ["", ""], "{version} {time:?}");
                octets.extend(columns[0].split(',').filter_map(|n| n.parse::<u64>().ok()));
            }
            let want: Vec<_> = given.iter().map(|f| f.number(Field::Bytes)).collect();
            assert_eq!(octets, want, "{version} {time:?}");
        }
    }
}
