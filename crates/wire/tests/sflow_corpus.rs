//! sFlow of real agents, against what independent collectors made of it.
//!
//! Reads the collection named by `FLOWSUITE_CORPUS`. Every field of every flow has to agree with
//! what sfcapd stored, and every sample and interface with what sflowtool read, or to be one of the
//! differences that have a reason here.

mod common;

use common::{Collected, Datagram, Line, Rule, corpus, counts, datagrams, stored};
use record::{Field, Flow, InterfaceCounters, InterfaceSample, Mac, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use stored::Difference;
use wire::{Config, Decoder};

fn summary(corpus: &Path) -> Vec<Line> {
    let lines = common::summary(corpus, &["sflow/"]);
    assert!(lines.len() > 30, "{} sets only", lines.len());
    lines
}

/// The datagrams of sFlow among those of a set.
fn sflow(path: &Path) -> Vec<Datagram> {
    let mut all = datagrams(path);
    all.retain(|(_, _, payload)| payload.starts_with(&[0, 0]));
    all
}

fn decode(path: &Path) -> (Decoder, Collected) {
    common::decode(&sflow(path))
}

/// Sets of which we deliver other flows, octets or packets than sfcapd stored, and the reason.
const COUNTS: &[(&str, [u64; 3], &str)] = &[
    (
        "sflow/gopacket/gopacket_sflow_05",
        [1, 0, 256],
        "a sample length that is too short: sfcapd drops the sample",
    ),
    (
        "sflow/gopacket/gopacket_sflow_08",
        [1, 0, 256],
        "a sample length that is too short: sfcapd drops the sample",
    ),
    (
        "sflow/gopacket/gopacket_sflow_ethernet_frame",
        [7, 112_000, 7000],
        "an Ethernet record says how long the frame was: sfcapd stores 0 octets",
    ),
    (
        "sflow/vflow/vflow_sflow_padding",
        [5, 7_421_952, 5120],
        "octets behind the last record of a sample: sfcapd drops this sample and all that follow",
    ),
];

#[rustfmt::skip]
const DIFFERENCES: &[Rule] = &[
    Rule { sets: &[""], keys: &["first", "last"], when: |d| d.stored.is_empty(),
        why: "times of arrival: the expected files leave them out" },
    Rule { sets: &[""], keys: &["ip_minttl", "ip_maxttl", "ip_fragment", "in_dst_mac"],
        when: |d| d.stored.is_empty() || d.stored == "00:00:00:00:00:00",
        why: "in the header of the packet: sfcapd has no place for them" },
    Rule { sets: &[""], keys: &["next_as", "prev_as"], when: |d| d.stored.is_empty(),
        why: "in the gateway record: sfcapd has no place for them" },
    Rule { sets: &["ethernet_frame"], keys: &["ethertype"], when: |d| d.stored.is_empty(),
        why: "in the Ethernet record: sfcapd has no place for it" },
    Rule { sets: &["ethernet_frame"], keys: &["in_bytes"], when: |d| d.stored == "0",
        why: "an Ethernet record says how long the frame was: sfcapd stores 0 octets" },
    Rule { sets: &[""], keys: &["icmp_type", "icmp_code"], when: |d| d.flow.number(Field::Proto) == 1,
        why: "type and code go into the destination port: sfcapd has them in one port each" },
    Rule { sets: &[""], keys: &["output_snmp"], when: is_many,
        why: "a number of ports: sfcapd takes it for an interface" },
];

fn is_many(d: &Difference<'_>) -> bool {
    d.flow.number(Field::Output) == 1 << 31 | d.stored.parse::<u64>().unwrap()
}

/// Flows, octets and packets of each set.
#[test]
fn counts_agree() {
    let Some(corpus) = corpus() else { return };
    let mut report = String::new();
    for line in summary(&corpus) {
        let (decoder, collected) = decode(&line.path(&corpus));
        let ours = counts(&collected.flows);
        let stored = ["flows", "bytes", "packets"].map(|c| line.number(&format!("nfcapd178_{c}")));
        let explained = COUNTS.iter().find(|e| e.0 == line.set);
        let want = explained.map_or(stored, |e| e.1);
        if ours != want {
            let _ = writeln!(report, "{}: ours {ours:?}, want {want:?}", line.set);
        }
        let c = decoder.counters();
        assert_eq!((c.flows, c.sflow_flow_samples), (ours[0], ours[0]), "{}", line.set);
        assert_eq!(c.sflow_interfaces, collected.interfaces.len() as u64, "{}", line.set);
    }
    assert!(report.is_empty(), "\n{report}");
}

/// Each field of each flow.
#[test]
fn records_agree() {
    let Some(corpus) = corpus() else { return };
    let mut used = BTreeSet::new();
    let mut compared = 0;
    let mut report: BTreeMap<(String, String), (usize, String)> = BTreeMap::new();
    for line in summary(&corpus) {
        let json = corpus.join(format!("expected/{}.nfdump.json", line.set));
        let stored = stored::records(&std::fs::read_to_string(json).unwrap());
        let (_, collected) = decode(&line.path(&corpus));
        if !COUNTS.iter().any(|e| e.0 == line.set) {
            assert_eq!(stored.len(), collected.flows.len(), "{}", line.set);
        }
        for (stored, flow) in stored.iter().zip(&collected.flows) {
            compared += 1;
            for difference in stored::compare(stored, flow) {
                if let Some(rule) = common::explain(DIFFERENCES, &line.set, &difference) {
                    used.insert(rule);
                    continue;
                }
                let entry = report.entry((line.set.clone(), difference.key.clone())).or_default();
                entry.0 += 1;
                entry.1 = format!("stored {} ours {}", difference.stored, difference.ours);
            }
        }
    }
    let mut text = String::new();
    for ((set, key), (n, example)) in &report {
        let _ = writeln!(text, "{set} {key} in {n} records: {example}");
    }
    assert!(report.is_empty(), "\n{text}");
    for (i, rule) in DIFFERENCES.iter().enumerate() {
        assert!(used.contains(&i), "explains nothing: {}", rule.why);
    }
    assert!(compared > 300, "{compared} records only");
}

/// The lines of one kind that sflowtool printed for a set, split at commas.
fn sflowtool(corpus: &Path, set: &str, kind: &str) -> Vec<Vec<String>> {
    let path = corpus.join(format!("expected/{set}.sflowtool.csv"));
    let text = std::fs::read_to_string(path).unwrap();
    let split = |line: &str| line.split(',').skip(1).map(String::from).collect::<Vec<_>>();
    text.lines().filter(|l| l.starts_with(kind)).map(split).collect()
}

/// Sets of which sflowtool stops reading: those of `COUNTS` with flows that sfcapd lacks, for the
/// same reasons, and a counter sample that is longer than its datagram.
const UNREAD: &[&str] =
    &["gopacket_sflow_05", "gopacket_sflow_08", "vflow_sflow_padding", "gopacket_sflow_11"];

/// Samples of each kind, by another reader than sfcapd.
#[test]
fn samples_agree_with_sflowtool() {
    let Some(corpus) = corpus() else { return };
    let (mut flows, mut counters) = (0, 0);
    for line in summary(&corpus) {
        if UNREAD.iter().any(|s| line.set.ends_with(s)) {
            continue;
        }
        let (decoder, _) = decode(&line.path(&corpus));
        let lines = |kind| sflowtool(&corpus, &line.set, kind).len() as u64;
        let ours =
            (decoder.counters().sflow_flow_samples, decoder.counters().sflow_counter_samples);
        assert_eq!(ours, (lines("FLOW"), lines("CNTR")), "{}", line.set);
        flows += ours.0;
        counters += ours.1;
    }
    assert!(flows > 300 && counters > 200, "{flows} flow samples, {counters} counter samples");
}

/// What every agent sends, as sflowtool read it: interfaces, addresses, protocol, type of service,
/// ports, flags, octets and rate.
#[test]
fn flows_agree_with_sflowtool() {
    let Some(corpus) = corpus() else { return };
    let mut compared = 0;
    for line in summary(&corpus) {
        if UNREAD.iter().any(|s| line.set.ends_with(s)) {
            continue;
        }
        let (_, collected) = decode(&line.path(&corpus));
        for (theirs, flow) in sflowtool(&corpus, &line.set, "FLOW").iter().zip(&collected.flows) {
            // It does not look behind MPLS labels; sfcapd does, and agrees.
            if theirs[5] == "0x8847" {
                continue;
            }
            assert_eq!(as_sflowtool(flow, theirs), *theirs, "{}", line.set);
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared} flows only");
}

/// A flow as a line of sflowtool; what a flow has no field for is taken from `theirs`.
fn as_sflowtool(flow: &Flow, theirs: &[String]) -> Vec<String> {
    let row = flow.as_row();
    let number = |field| row.number(field);
    let mac = |field| row.mac(field).unwrap_or(Mac(0)).to_string().replace(':', "");
    let rate = number(Field::Packets);
    let (src, dst) = if number(Field::Proto) == 1 {
        (number(Field::IcmpType), number(Field::IcmpCode))
    } else {
        (number(Field::SrcPort), number(Field::DstPort))
    };
    let is_ethernet_record = theirs[5] == "0x0003";
    let octets = if is_ethernet_record { 0 } else { number(Field::Bytes) / rate };
    let mut line = theirs.to_vec();
    for (column, text) in [
        (1, (number(Field::Input) & !(1 << 31)).to_string()),
        (2, (number(Field::Output) & !(1 << 31)).to_string()),
        (3, mac(Field::InSrcMac)),
        (4, mac(Field::OutDstMac)),
        (6, number(Field::SrcVlan).to_string()),
        (7, number(Field::DstVlan).to_string()),
        (8, addr(row, Field::SrcAddr)),
        (9, addr(row, Field::DstAddr)),
        (10, number(Field::Proto).to_string()),
        (11, format!("0x{:02x}", number(Field::SrcTos))),
        (12, number(Field::MinTtl).to_string()),
        (13, src.to_string()),
        (14, dst.to_string()),
        (15, format!("0x{:02x}", number(Field::TcpFlags))),
        (16, octets.to_string()),
        (18, rate.to_string()),
    ] {
        line[column] = text;
    }
    line
}

/// IPv6 in eight full groups.
fn addr(row: Row<'_>, field: Field) -> String {
    match row.addr(field).map(IpAddr::from) {
        None => "-".into(),
        Some(IpAddr::V4(a)) => a.to_string(),
        Some(IpAddr::V6(a)) => a.segments().map(|s| format!("{s:04x}")).join(":"),
    }
}

/// Every counter of every interface.
#[test]
fn interfaces_agree_with_sflowtool() {
    let Some(corpus) = corpus() else { return };
    let mut compared = 0;
    for line in summary(&corpus) {
        let (_, collected) = decode(&line.path(&corpus));
        let theirs = sflowtool(&corpus, &line.set, "CNTR");
        // Counter samples without an interface have a line of zeros.
        let theirs: Vec<_> = theirs.iter().filter(|l| l[1..].iter().any(|n| n != "0")).collect();
        let ours: Vec<_> = collected.interfaces.iter().map(numbers).collect();
        let theirs: Vec<_> = theirs.iter().map(|l| their_numbers(l)).collect();
        assert_eq!(ours, theirs, "{}", line.set);
        compared += ours.len();
    }
    assert!(compared > 150, "{compared} interfaces only");
}

/// The last is 1 for a promiscuous interface, and anything else for others.
fn their_numbers(line: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = line[1..].iter().map(|n| n.parse().unwrap()).collect();
    if let Some(last) = numbers.last_mut() {
        *last = u64::from(*last == 1);
    }
    numbers
}

/// In the order of sflowtool.
fn numbers(s: &InterfaceSample) -> Vec<u64> {
    let counters = |c: &InterfaceCounters| {
        let packets = [c.unicast, c.multicast, c.broadcast, c.discards, c.errors];
        [c.octets].into_iter().chain(packets.map(u64::from))
    };
    let head = [s.index.into(), s.kind.into(), s.speed, s.direction.into(), s.status.into()];
    let input = counters(&s.input).chain([s.unknown_protos.into()]);
    let tail = counters(&s.output).chain([s.is_promiscuous.into()]);
    head.into_iter().chain(input).chain(tail).collect()
}

/// No sequence number of an unbroken export counts as lost, and no sample of it.
#[test]
fn unbroken_exports_have_no_gaps() {
    let Some(corpus) = corpus() else { return };
    for line in summary(&corpus).iter().filter(|l| l.set.contains("/generated/")) {
        let (decoder, _) = decode(&line.path(&corpus));
        let c = decoder.counters();
        let odd = [
            c.sequence_gaps,
            c.lost_datagrams,
            c.duplicates,
            c.restarts,
            c.bad_datagrams,
            c.sflow_lost_samples,
            c.sflow_drops,
            c.sflow_odd_lengths,
            c.sflow_bad_packets,
            c.sflow_cut_packets,
            c.trailing_bytes,
        ];
        assert_eq!(odd, [0; 11], "{}", line.set);
    }
}

/// Every field of a flow, for comparison.
fn fields(flow: &Flow) -> Vec<(Field, String)> {
    flow.as_row().shape().fields().map(|f| (f, stored::text(flow, f))).collect()
}

/// The first datagrams of each set, cut at every length and with octets changed, are survived.
/// Nothing that is cut goes without a fault, and samples before the cut are delivered as they are
/// without it.
#[test]
fn damaged_datagrams_are_survived() {
    let Some(corpus) = corpus() else { return };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for line in summary(&corpus) {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collected::default());
        for (peer, at_ms, payload) in sflow(&line.path(&corpus)).iter().take(40) {
            let before = decoder.counters().trailing_bytes;
            sink.flows.clear();
            decoder.decode(*peer, *at_ms, payload, &mut sink);
            let trailing = (decoder.counters().trailing_bytes - before) as usize;
            let full: Vec<_> = sink.flows.drain(..).map(|flow| fields(&flow)).collect();
            let mut most = 0;
            for len in 0..payload.len() - trailing {
                let outcome = decoder.decode(*peer, *at_ms, &payload[..len], &mut sink);
                assert!(outcome.is_bad(), "{} cut at {len}", line.set);
                // The last one may be of the sample that is cut.
                let got: Vec<_> = sink.flows.drain(..).map(|flow| fields(&flow)).collect();
                let before = got.len().saturating_sub(1);
                assert_eq!(got[..before], full[..before], "{} cut at {len}", line.set);
                assert!(most <= got.len(), "{} cut at {len}", line.set);
                most = got.len();
            }
            assert!(most + 1 >= full.len(), "{}", line.set);
            let mut damaged = payload.clone();
            for _ in 0..40 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = (random >> 8) as usize % damaged.len();
                damaged[at] = random as u8;
                decoder.decode(*peer, *at_ms, &damaged, &mut sink);
            }
            sink.flows.clear();
            sink.interfaces.clear();
        }
    }
}
