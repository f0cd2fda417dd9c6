//! NAT and firewall events: what was sent is what tshark reads in the datagrams, and what nfdump and
//! flowdump read in the files that flowcapd makes of them.

mod common;

use bench::capture;
use common::capd::{Capd, DAY};
use common::{FLOWDUMP, Scene, flow_files, has, run, stdout_of};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::testing::nat::{self, Event};

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/nat.pcap");

fn payloads(file: &[u8]) -> Vec<&[u8]> {
    capture::datagrams(file).expect("a capture").into_iter().map(|d| d.payload).collect()
}

#[test]
fn the_fixture_is_what_its_command_makes() {
    let file = std::fs::read(CAPTURE).expect("fixture");
    let made: Vec<_> = nat::datagrams().into_iter().map(|d| d.2).collect();
    assert_eq!(payloads(&file), made, "make it anew: see fixtures/README.md");
}

/// How a value is written.
#[derive(Clone, Copy)]
enum As {
    Number,
    V4,
    V6,
    Text,
    Time,
    Acl,
}

fn written(value: &nat::Value, form: As) -> String {
    let octets = || value.octets.as_slice();
    match form {
        As::Number => value.number().to_string(),
        As::V4 => Ipv4Addr::from(<[u8; 4]>::try_from(octets()).expect("4 octets")).to_string(),
        As::V6 => Ipv6Addr::from(<[u8; 16]>::try_from(octets()).expect("16 octets")).to_string(),
        As::Text => String::from_utf8_lossy(octets()).trim_end_matches('\0').to_owned(),
        As::Time => {
            let at = chrono::DateTime::from_timestamp_millis(value.number() as i64).expect("time");
            at.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
        }
        As::Acl => {
            let id = |c: &[u8]| u32::from_be_bytes(c.try_into().expect("4 octets"));
            let ids = octets().chunks(4).map(|c| format!("0x{:x}", id(c)));
            ids.collect::<Vec<_>>().join("/")
        }
    }
}

/// Elements, tshark's names for them (empty: it has another form), keys in JSON (empty: none) and
/// the form of their values.
const ELEMENTS: &[(u32, u16, &str, &str, As)] = &[
    (0, 1, "cflow.octets", "in_bytes", As::Number),
    (0, 2, "cflow.packets", "in_packets", As::Number),
    (0, 4, "cflow.protocol", "proto", As::Number),
    (0, 7, "cflow.srcport", "src_port", As::Number),
    (0, 8, "cflow.srcaddr", "src4_addr", As::V4),
    (0, 10, "cflow.inputint", "input_snmp", As::Number),
    (0, 11, "cflow.dstport", "dst_port", As::Number),
    (0, 12, "cflow.dstaddr", "dst4_addr", As::V4),
    (0, 14, "cflow.outputint", "output_snmp", As::Number),
    (0, 27, "cflow.srcaddrv6", "src6_addr", As::V6),
    (0, 28, "cflow.dstaddrv6", "dst6_addr", As::V6),
    (0, 225, "cflow.post_natsource_ipv4_address", "src4_xlt_ip", As::V4),
    (0, 226, "cflow.post_natdestination_ipv4_address", "dst4_xlt_ip", As::V4),
    (0, 227, "cflow.post_naptsource_transport_port", "src_xlt_port", As::Number),
    (0, 228, "cflow.post_naptdestination_transport_port", "dst_xlt_port", As::Number),
    (0, 229, "cflow.nat_originating_address_realm", "", As::Number),
    (0, 230, "cflow.nat_event", "nat_event_id", As::Number),
    (0, 231, "cflow.initiator_octets", "in_bytes", As::Number),
    (0, 232, "cflow.responder_octets", "out_bytes", As::Number),
    (0, 233, "cflow.firewall_event", "event_id", As::Number),
    (0, 234, "cflow.ingress_vrfid", "ingress_vrf", As::Number),
    (0, 235, "cflow.egress_vrfid", "egress_vrf", As::Number),
    (0, 283, "cflow.nat_pool_id", "", As::Number),
    (0, 284, "cflow.nat_pool_name", "", As::Text),
    (0, 323, "", "t_event", As::Time),
    (0, 361, "cflow.port_range_start", "pblock_start", As::Number),
    (0, 362, "cflow.port_range_end", "pblock_end", As::Number),
    (0, 363, "cflow.port_range_step_size", "pblock_step", As::Number),
    (0, 364, "cflow.port_range_num_ports", "pblock_size", As::Number),
    (0, 463, "cflow.nat_instanceid", "", As::Number),
    (0, 466, "cflow.nat_quota_exceeded_event", "", As::Number),
    (0, 467, "cflow.nat_threshold_event", "", As::Number),
    (0, 471, "cflow.max_session_entries", "", As::Number),
    (0, 473, "cflow.max_entries_per_user", "", As::Number),
    (0, 33000, "", "ingress_acl", As::Acl),
    (0, 33001, "", "egress_acl", As::Acl),
    (0, 33002, "cflow.fw_ext_event", "xevent_id", As::Number),
    (0, 40000, "cflow.aaa_username", "user_name", As::Text),
    (0, 40001, "cflow.post_natsource_ipv4_address", "src4_xlt_ip", As::V4),
    (0, 40002, "cflow.post_natdestination_ipv4_address", "dst4_xlt_ip", As::V4),
    (0, 40003, "cflow.post_naptsource_transport_port", "src_xlt_port", As::Number),
    (0, 40004, "cflow.post_naptdestination_transport_port", "dst_xlt_port", As::Number),
    (0, 40005, "cflow.firewall_event", "event_id", As::Number),
    (0, 56702, "", "user_name", As::Text),
    (6876, 893, "", "src4_tun_ip", As::V4),
    (6876, 894, "", "dst4_tun_ip", As::V4),
];

/// Keys that only flowdump prints, or in a way of its own.
const OURS: &[(u32, u16, &str, As)] = &[
    (0, 283, "nat_pool_id", As::Number),
    (637, 91, "inServiceID", As::Number),
    (637, 92, "outServiceID", As::Number),
    (637, 93, "natString", As::Text),
    (6876, 895, "tun_proto", As::Number),
];

fn value(event: &Event, pen: u32, id: u16) -> Option<&nat::Value> {
    event.values.iter().find(|v| (v.pen, v.id) == (pen, id))
}

#[test]
fn tshark_reads_what_was_sent() {
    if !has("tshark") {
        return;
    }
    let elements: Vec<_> = ELEMENTS.iter().filter(|e| !e.2.is_empty()).collect();
    let mut args = vec!["-r", CAPTURE, "-d", "udp.port==9995,cflow", "-T", "fields"];
    args.extend(["-e", "_ws.malformed"]);
    let names: BTreeSet<_> = elements.iter().map(|e| e.2).collect();
    args.extend(names.iter().flat_map(|name| ["-e", name]));
    let text = stdout_of("tshark", &args);
    let events = nat::datagrams();
    assert_eq!(text.lines().count(), events.len());
    for (line, (event, version, _)) in text.lines().zip(&events) {
        let mut columns = line.split('\t');
        assert_eq!(columns.next(), Some(""), "{}: malformed", event.name);
        for (name, got) in names.iter().zip(columns) {
            let sent = elements.iter().filter(|e| e.2 == *name);
            let want = sent.filter_map(|e| value(event, e.0, e.1).map(|v| written(v, e.4))).next();
            assert_eq!(got, want.unwrap_or_default(), "{} over {version}: {name}", event.name);
        }
    }
}

/// Records of a JSON list.
fn records(json: &str) -> Vec<Map<String, Value>> {
    serde_json::from_str(json).expect("JSON")
}

/// A value as text: nfdump 1.7.1 quotes some numbers.
fn text(record: &Map<String, Value>, key: &str) -> String {
    match record.get(key) {
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// Everything sent is there; the event is one, and what was not sent is absent or 0.
fn assert_same(record: &Map<String, Value>, event: &Event, is_ours: bool, what: &str) {
    let of_both = ELEMENTS.iter().map(|e| (e.0, e.1, e.3, e.4));
    let of_ours = OURS.iter().copied().filter(|_| is_ours);
    let all: Vec<_> = of_both.chain(of_ours).filter(|e| !e.2.is_empty()).collect();
    for (_, _, key, _) in &all {
        let sent = all.iter().filter(|e| e.2 == *key);
        let want = sent.filter_map(|e| value(event, e.0, e.1).map(|v| written(v, e.3))).next();
        let got = text(record, key);
        match want {
            Some(want) => assert_eq!(got, want, "{what}: {key}"),
            None if *key == "t_event" => {}
            None => assert!(is_nothing(&got), "{what}: {key} is {got}, and was not sent"),
        }
    }
    let is_event = [230, 233, 40005].iter().any(|id| event.get(*id).is_some());
    assert_eq!(text(record, "type"), if is_event { "EVENT" } else { "FLOW" }, "{what}");
}

fn is_nothing(text: &str) -> bool {
    ["", "0", "0.0.0.0", "::", "<none>", "<empty>", "0x0/0x0/0x0"].contains(&text)
}

#[test]
fn nfdump_and_flowdump_read_what_was_sent() {
    if !has("nfdump") {
        return;
    }
    let scene = Scene::new();
    let file = std::fs::read(CAPTURE).expect("fixture");
    let capd = Capd::start(&scene, "nat", &[DAY]);
    capd.send(payloads(&file));
    let dir = capd.dir.clone();
    let events = nat::datagrams();
    assert_eq!(capd.stop().get("Flows"), events.len() as u64);
    let files = flow_files(&dir);
    let [file] = files.as_slice() else { panic!("{} files", files.len()) };
    let file = file.to_str().expect("text");
    // 1.7.1 says for which extensions it has no place, and shows all others.
    let theirs = run("nfdump", ["-r", file, "-o", "json"]);
    let theirs = records(&String::from_utf8_lossy(&theirs.stdout));
    let ours = records(&stdout_of(FLOWDUMP, ["-r", file, "-o", "json"]));
    assert_eq!((ours.len(), theirs.len()), (events.len(), events.len()));
    for ((ours, theirs), (event, version, _)) in ours.iter().zip(&theirs).zip(&events) {
        let name = format!("{} over {version}", event.name);
        assert_same(ours, event, true, &format!("flowdump, {name}"));
        assert_same(theirs, event, false, &format!("nfdump, {name}"));
        assert_eq!(text(ours, "nat_event"), text(theirs, "nat_event"), "{name}");
    }
    for format in [
        "fmt:%ts %te %pr %sap %dap %xsap %xdap %pkt %byt %opkt %obyt %ivrf %evrf",
        "fmt:%pbstart %pbend %pbstep %pbsize %in %out %uname",
    ] {
        let args = ["-q", "-N", "-6", "-r", file, "-o", format];
        let (ours, theirs) = (stdout_of(FLOWDUMP, args), stdout_of("nfdump", args));
        // nfdump has a line more for a tunnel, of which there is one, at the end.
        let events = &events[..events.len() - 1];
        for ((ours, theirs), (event, ..)) in ours.lines().zip(theirs.lines()).zip(events) {
            assert_eq!(ours, theirs, "{}", event.name);
        }
    }
    for (filter, id, want) in [
        ("nat event ADD44", 230, 4),
        ("nat event ADDPBLK", 230, 16),
        ("nat pblock start 1024", 361, 1024),
        ("nat event > 11", 230, u64::MAX),
    ] {
        let lines = stdout_of(FLOWDUMP, ["-q", "-r", file, "-o", "ndjson", filter]);
        let sent = events.iter().filter_map(|e| e.0.get(id)).map(nat::Value::number);
        let sent = sent.filter(|n| if want == u64::MAX { *n > 11 } else { *n == want });
        assert_eq!(lines.lines().count(), sent.count(), "{filter}");
    }
}
