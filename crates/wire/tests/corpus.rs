//! Exports of real devices, against what an independent collector made of them.
//!
//! Reads the collection named by `FLOWSUITE_CORPUS`: captures of export datagrams, and beside them
//! the counts and records that nfcapd stored. Every field of every record has to agree, or to be
//! one of the differences that [`explained`] gives a reason for.

mod common;
mod explained;

use common::{Collected, Line, corpus, counts, datagrams, stored};
use record::{Addr, Field, Flow};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use wire::{Config, Decoder};

fn decode(path: &Path) -> (Decoder, Collected) {
    common::decode(&datagrams(path))
}

/// Where the sets lie that a decoder of NetFlow and IPFIX reads.
const SETS: [&str; 4] = ["ipfix/", "netflow-v5/", "netflow-v9/", "nfd/"];

fn summary(corpus: &Path) -> Vec<Line> {
    let lines = common::summary(corpus, &SETS);
    assert!(lines.len() > 90, "{} sets only", lines.len());
    lines
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
        let explained = explained::COUNTS.iter().find(|e| e.0 == line.set);
        let want = explained.map_or(stored, |e| e.1);
        if ours != want {
            let _ = writeln!(report, "{}: ours {ours:?}, want {want:?}", line.set);
        }
        assert_eq!(decoder.counters().flows, ours[0]);
    }
    assert!(report.is_empty(), "\n{report}");
}

/// Every record and every data set on the wire is delivered, or counted by the cause that kept it
/// from being; only damaged sets count damage.
#[test]
fn nothing_is_skipped_without_a_counter() {
    let Some(corpus) = corpus() else { return };
    let mut report = String::new();
    for line in summary(&corpus) {
        let (decoder, _) = decode(&line.path(&corpus));
        let c = decoder.counters();
        let read = [c.flows - c.biflows, c.options_records];
        let dropped = c.sets_without_template + c.sets_parked - c.sets_unparked;
        let on_wire = ["wire_flow_records", "wire_options_records", "data_sets_without_template"]
            .map(|column| line.number(column));
        let (on_wire, damage) = match explained::READ.iter().find(|e| e.0 == line.set) {
            Some((_, want, damage, _)) => (want.unwrap_or(on_wire), *damage),
            None => (on_wire, &[][..]),
        };
        let counted: Vec<_> =
            c.iter().filter(|(name, _, n)| *n > 0 && DAMAGE.contains(name)).collect();
        let names: Vec<_> = counted.iter().map(|c| c.0).collect();
        if [read[0], read[1], dropped] != on_wire || names != damage {
            let _ = writeln!(
                report,
                "{}: read {read:?}, dropped {dropped} sets of {on_wire:?}; {counted:?}",
                line.set
            );
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// Counters of what was not read as it was sent.
const DAMAGE: &[&str] = &[
    "short_datagrams",
    "unknown_version",
    "truncated_headers",
    "bad_messages",
    "truncated_messages",
    "truncated_sets",
    "bad_sets",
    "truncated_records",
    "trailing_bytes",
    "templates_bad_id",
    "templates_truncated",
    "templates_empty",
    "templates_too_wide",
    "templates_many_fields",
    "templates_over_limit",
    "templates_over_memory",
    "odd_lengths",
    "wide_values",
    "exporters_refused",
    "samplers_refused",
    "names_refused",
];

/// Each field of each record.
#[test]
fn records_agree() {
    let Some(corpus) = corpus() else { return };
    let mut used = BTreeSet::new();
    let mut compared = 0;
    let mut report: BTreeMap<(String, String), (usize, String)> = BTreeMap::new();
    for line in summary(&corpus) {
        let json = corpus.join(format!("expected/{}.nfdump.json", line.set));
        let mut stored = stored::records(&std::fs::read_to_string(json).unwrap());
        if explained::BIFLOWS.contains(&&*line.set) {
            stored = stored.iter().flat_map(stored::split).collect();
            let counts = ["in_bytes", "in_packets"]
                .map(|key| stored.iter().filter_map(|r| r[key].as_u64()).sum());
            let explained = explained::COUNTS.iter().find(|e| e.0 == line.set).unwrap();
            assert_eq!([stored.len() as u64, counts[0], counts[1]], explained.1, "{}", line.set);
        }
        let (_, collected) = decode(&line.path(&corpus));
        if !explained::COUNTS.iter().any(|e| e.0 == line.set) {
            assert_eq!(stored.len(), collected.flows.len(), "{}", line.set);
        }
        let skipped = explained::NOT_STORED.iter().find(|e| e.0 == line.set).map_or(0, |e| e.1);
        for (stored, flow) in stored.iter().zip(&collected.flows[skipped..]) {
            compared += 1;
            for difference in stored::compare(stored, flow) {
                if let Some(rule) = common::explain(explained::DIFFERENCES, &line.set, &difference)
                {
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
    for (i, rule) in explained::DIFFERENCES.iter().enumerate() {
        assert!(used.contains(&i), "explains nothing: {}", rule.why);
    }
    assert!(compared > 4500, "{compared} records only");
}

/// One capture exported once with a flow for each direction, and once with biflows, has to give
/// the same flows.
#[test]
fn biflows_agree_with_flows_of_one_direction() {
    let Some(corpus) = corpus() else { return };
    let flows = |name: &str| {
        let path = corpus.join(format!("ipfix/generated/softflowd-v10-{name}_test.pcap"));
        let (decoder, collected) = decode(&path);
        let mut flows: Vec<_> = collected
            .flows
            .iter()
            .map(|f| {
                let addr = |field| f.as_row().addr(field);
                let key = [Field::SrcPort, Field::DstPort, Field::Proto, Field::TcpFlags];
                let counts = [Field::Bytes, Field::Packets, Field::SrcTos].map(|k| f.number(k));
                let times = [Field::First, Field::Last].map(|k| f.number(k));
                let ends = (addr(Field::SrcAddr), addr(Field::DstAddr));
                (ends, key.map(|k| f.number(k)), counts, times)
            })
            .collect();
        flows.sort_unstable();
        (flows, decoder.counters().biflows)
    };
    let (one_way, none) = flows("Amilli");
    let (both_ways, biflows) = flows("bidir");
    assert_eq!((none, biflows, one_way.len()), (0, 19, 45));
    for (a, b) in both_ways.iter().zip(&one_way) {
        // The exporter has no ICMP type for what went back: it says 0, which is right for echoes.
        let is_lost = a.1 == [0, 0, 1, 0] && b.1[2] == 1;
        assert!(a == b || is_lost && (a.0, a.2, a.3) == (b.0, b.2, b.3), "{a:?} {b:?}");
    }
    let same = both_ways.iter().filter(|flow| one_way.contains(flow)).count();
    assert_eq!(same, 44, "all but one ICMP error");
}

/// One capture exported once as flows and once as PSAMP packets has to give the same sums. Echoes
/// and IGMP are left out: the exporter of flows counts MPLS labels and padding as octets of IP.
#[test]
fn packet_sections_agree_with_flows() {
    let Some(corpus) = corpus() else { return };
    let sums = |name: &str| {
        let path = corpus.join(format!("ipfix/generated/softflowd-v{name}_test.pcap"));
        let (decoder, collected) = decode(&path);
        let mut sums: BTreeMap<_, [u64; 3]> = BTreeMap::new();
        for flow in collected.flows.iter().filter(|f| f.number(Field::Bytes) != 0) {
            let key = [Field::SrcAddr, Field::DstAddr].map(|f| flow.as_row().addr(f));
            let ports = [Field::Proto, Field::SrcPort, Field::DstPort].map(|f| flow.number(f));
            if [[1, 0, 0], [1, 0, 2048], [2, 0, 0]].contains(&ports) {
                continue;
            }
            let sum = sums.entry((key, ports)).or_default();
            sum[0] += flow.number(Field::Packets);
            sum[1] += flow.number(Field::Bytes);
            sum[2] |= flow.number(Field::TcpFlags);
        }
        (sums, *decoder.counters())
    };
    let (flows, _) = sums("10-Amilli");
    let (packets, counters) = sums("psamp");
    assert_eq!((counters.sections, counters.sections_unread), (176, 3));
    assert_eq!(packets.len(), 41 - 1);
    assert_eq!(packets, flows);
}

/// One capture exported in all time formats has to give the same times.
#[test]
fn time_formats_agree() {
    let Some(corpus) = corpus() else { return };
    let times = |format: &str| {
        let name = format!("ipfix/generated/softflowd-v10-A{format}_test.pcap");
        let (_, collected) = decode(&corpus.join(name));
        let mut times: Vec<_> = collected
            .flows
            .iter()
            .map(|f| {
                let key = [Field::Bytes, Field::SrcPort, Field::DstPort, Field::Packets];
                let src = f.as_row().addr(Field::SrcAddr);
                (src, key.map(|k| f.number(k)), [Field::First, Field::Last].map(|k| f.number(k)))
            })
            .collect();
        times.sort_unstable();
        times
    };
    let milli = times("milli");
    assert_eq!(milli.len(), 45);
    for (format, slack) in [("micro", 1), ("nano", 1), ("sec", 1000)] {
        for (a, b) in milli.iter().zip(times(format)) {
            assert_eq!((a.0, a.1), (b.0, b.1), "{format}");
            let off = a.2[0].abs_diff(b.2[0]).max(a.2[1].abs_diff(b.2[1]));
            assert!(off <= slack, "{format}: {a:?} {b:?}");
        }
    }
}

/// No sequence number of an unbroken export counts as lost.
#[test]
fn unbroken_exports_have_no_gaps() {
    let Some(corpus) = corpus() else { return };
    let mut seen = 0;
    for line in summary(&corpus).iter().filter(|l| l.set.contains("/generated/")) {
        let (decoder, _) = decode(&line.path(&corpus));
        let c = decoder.counters();
        let odd = [c.sequence_gaps, c.lost_records, c.lost_datagrams, c.duplicates, c.restarts];
        assert_eq!(odd, [0; 5], "{}", line.set);
        seen += 1;
    }
    assert!(seen > 20);
}

/// The first datagrams of each set, cut at every length: what is whole before the cut is delivered,
/// as it is without the cut.
#[test]
fn what_is_whole_before_a_cut_is_delivered() {
    let Some(corpus) = corpus() else { return };
    let (mut checked, mut counted) = (0, 0);
    for line in summary(&corpus) {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collected::default());
        for (peer, at_ms, payload) in datagrams(&line.path(&corpus)).iter().take(40) {
            // The first time for what it defines, and for what it wakes.
            decoder.decode(*peer, *at_ms, payload, &mut sink);
            sink.flows.clear();
            decoder.decode(*peer, *at_ms, payload, &mut sink);
            let full: Vec<_> = sink.flows.iter().map(key).collect();
            let lengths = Lengths::of(&decoder, *peer);
            for len in 0..payload.len() {
                sink.flows.clear();
                let biflows = decoder.counters().biflows;
                decoder.decode(*peer, *at_ms, &payload[..len], &mut sink);
                let biflows = decoder.counters().biflows - biflows;
                let got: Vec<_> = sink.flows.iter().map(key).collect();
                assert!(full.starts_with(&got), "{} cut at {len}", line.set);
                checked += 1;
                if let Some(whole) = lengths.records(&payload[..len]) {
                    let records = got.len() - biflows as usize;
                    assert_eq!(records, whole, "{} cut at {len}", line.set);
                    counted += 1;
                }
            }
            sink.flows.clear();
        }
    }
    assert!(counted > checked / 2, "{counted} of {checked}");
}

/// What tells flows apart. Times are left out: where an exporter does not say when it booted, they
/// depend on the latest flow of the message.
fn key(flow: &Flow) -> impl PartialEq + std::fmt::Debug + use<> {
    let fields = [Field::SrcPort, Field::DstPort, Field::Proto, Field::Bytes, Field::Packets];
    let addrs = [Field::SrcAddr, Field::DstAddr].map(|f| flow.as_row().addr(f));
    (addrs, fields.map(|f| flow.number(f)))
}

/// Octets of the records of each template of one sender, by version, domain and id: `None` if they
/// vary, 0 for options.
struct Lengths(BTreeMap<(u32, u32, u16), Option<usize>>);

impl Lengths {
    fn of(decoder: &Decoder, peer: Addr) -> Self {
        let exporters: BTreeMap<_, _> = decoder
            .exporters()
            .filter(|e| e.exporter.addr == peer)
            .map(|e| (e.exporter.sysid, (e.exporter.version, e.exporter.id)))
            .collect();
        let own = decoder.templates().filter_map(|t| {
            let (version, domain) = *exporters.get(&t.exporter)?;
            let is_fixed = t.fields.iter().all(|f| f.len != u16::MAX);
            let len = t.fields.iter().map(|f| usize::from(f.len)).sum();
            let len = if t.is_options { Some(0) } else { is_fixed.then_some(len) };
            Some(((version, domain, t.id), len))
        });
        Self(own.collect())
    }

    /// Whole flow records in a datagram of one message, counted without a decoder. `None` where
    /// that takes more than divisions.
    fn records(&self, datagram: &[u8]) -> Option<usize> {
        let u16_at = |at: usize| Some(u16::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
        let version = u16_at(0)?;
        let (domain_at, header) = match version {
            5 => return Some(datagram.len().saturating_sub(24) / 48),
            9 => (16, 20),
            10 => (12, 16),
            _ => return None,
        };
        let Some(domain) = datagram.get(domain_at..header) else { return Some(0) };
        let domain = u32::from_be_bytes(domain.try_into().unwrap());
        let end = if version == 10 { usize::from(u16_at(2)?) } else { usize::MAX };
        let (mut at, mut records) = (header, 0);
        while let (Some(id), Some(len)) = (u16_at(at), u16_at(at + 2)) {
            if at >= end || len < 4 {
                return None; // another message, or damage
            }
            let next = at + usize::from(len);
            if id >= 256 {
                let octets = next.min(datagram.len()) - (at + 4);
                let len = (*self.0.get(&(version.into(), domain, id))?)?;
                records += octets.checked_div(len).unwrap_or(0);
            }
            at = next;
        }
        Some(records)
    }
}

/// The first datagrams of each set with octets changed are survived.
#[test]
fn damaged_datagrams_are_survived() {
    let Some(corpus) = corpus() else { return };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for line in summary(&corpus) {
        let all = datagrams(&line.path(&corpus));
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collected::default());
        for (peer, at_ms, payload) in all.iter().take(40) {
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
        }
    }
}
