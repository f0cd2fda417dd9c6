//! One round of real traffic, as four listeners saw it: netlink messages against what `conntrack`
//! printed of the same ones, field by field.

use nat::text::{Line, Replay};
use nat::{Cause, Entry, Kind, NatKind, Outcome, Status, Sure, Tracker, TrackerConfig};
use std::collections::BTreeMap;

const HEX: &str = include_str!("../../../fixtures/conntrack/events.hex");
const TEXT: &str = include_str!("../../../fixtures/conntrack/events.txt");
const EXTENDED: &str = include_str!("../../../fixtures/conntrack/extended.txt");
const LIST: &str = include_str!("../../../fixtures/conntrack/list.txt");

fn read(file: &str) -> Vec<(Kind, Option<u64>, Entry)> {
    let mut replay = Replay::new();
    let mut all = Vec::new();
    for line in file.lines() {
        match replay.read(line.as_bytes()).unwrap_or_else(|e| panic!("{e}: {line}")) {
            Line::Entry(kind, at) => all.push((kind, at, *replay.entry())),
            Line::Done | Line::Nothing => {}
        }
    }
    all
}

fn seconds(ns: u64) -> u64 {
    ns / 1_000_000_000
}

/// What `conntrack` prints of a connection.
fn printed(entry: &Entry) -> Entry {
    const PRINTED: u32 = Status::SEEN_REPLY.0 | Status::ASSURED.0;
    const NAT: u32 = Status::SRC_NAT.0 | Status::DST_NAT.0;
    Entry {
        status: Status(entry.status.0 & (PRINTED | NAT)),
        labels: 0,
        uses: 0,
        start_ns: None,
        stop_ns: None,
        event_ns: None,
        ..*entry
    }
}

#[test]
fn messages_say_what_conntrack_printed_of_them() {
    let events: Vec<_> = read(HEX).into_iter().filter(|(k, ..)| *k != Kind::Dump).collect();
    for text in [TEXT, EXTENDED] {
        let lines = read(text);
        assert_eq!(events.len(), lines.len());
        for ((kind, _, entry), (text_kind, at, text)) in events.iter().zip(&lines) {
            assert_eq!(kind, text_kind, "{entry:?}");
            assert_eq!(printed(entry), printed(text));
            let lag = at.unwrap().abs_diff(entry.event_ns.unwrap());
            assert!(lag < 1_000_000_000, "received {lag} ns from its event");
        }
    }
    for ((_, _, entry), (_, _, text)) in events.iter().zip(&read(EXTENDED)) {
        assert_eq!(entry.start_ns.map(seconds), text.start_ns.map(seconds));
        assert_eq!(entry.stop_ns.map(seconds), text.stop_ns.map(seconds));
    }
    let kinds = [Kind::New, Kind::Update, Kind::Destroy];
    let count = |kind| events.iter().filter(|(k, ..)| *k == kind).count();
    assert_eq!(kinds.map(count), [25, 56, 25]);
    let protocols: std::collections::BTreeSet<_> = events.iter().map(|e| e.2.orig.proto).collect();
    assert_eq!(protocols.into_iter().collect::<Vec<_>>(), [1, 6, 17, 33, 47, 50, 58, 132]);
}

#[test]
fn a_dump_is_what_conntrack_listed() {
    let by_id = |file| -> BTreeMap<u32, Entry> {
        let dump = read(file).into_iter().filter(|(k, ..)| *k == Kind::Dump);
        dump.map(|(_, _, e)| (e.id, e)).collect()
    };
    let (dump, list) = (by_id(HEX), by_id(LIST));
    assert_eq!(dump.len(), 24);
    assert!(dump.keys().eq(list.keys()));
    for (id, entry) in &dump {
        let text = list[id];
        // A second passed between the two.
        assert!(entry.timeout.unwrap().abs_diff(text.timeout.unwrap()) <= 2);
        let same = Entry { timeout: None, portid: 0, ..printed(entry) };
        assert_eq!(same, Entry { timeout: None, ..printed(&text) });
        assert_eq!(entry.start_ns.map(seconds), text.start_ns.map(seconds));
    }
}

/// All outcomes of a recording.
fn outcomes(file: &str) -> (Vec<Outcome>, nat::Counts) {
    let config = TrackerConfig { dump_every_ns: 0, ..TrackerConfig::default() };
    let (mut tracker, mut replay, mut all) = (Tracker::new(config), Replay::new(), Vec::new());
    for line in file.lines() {
        replay.line(line.as_bytes(), &mut tracker, &mut |o| all.push(*o)).unwrap();
    }
    replay.finish(&mut tracker, &mut |o| all.push(*o));
    assert!(tracker.is_empty());
    (all, *tracker.counts())
}

#[test]
fn every_connection_begins_and_ends_once_with_what_was_sent() {
    let (all, counts) = outcomes(HEX);
    assert_eq!((counts.begins, counts.ends, counts.duplicates), (25, 25, 0));
    assert_eq!((counts.resync_begins, counts.resync_ends, counts.undecodable), (0, 0, 0));
    let mut begun = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for outcome in &all {
        match outcome {
            Outcome::Begin(s) => {
                assert!(begun.insert(s.id, *s).is_none());
                *kinds.entry(s.translation.kind().name()).or_insert(0) += 1;
            }
            Outcome::End(s) => {
                let begin = begun.remove(&s.id).unwrap();
                assert_eq!((begin.translation, begin.start_ns), (s.translation, s.start_ns));
                assert_eq!(s.sure, Sure::Exact);
                assert!(s.start_ns <= s.until_ns && s.until_ns <= s.held_ns, "{s:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    let want = [("hairpin", 1), ("nat66", 4), ("none", 4), ("source", 14)];
    assert!(want.iter().all(|(k, n)| kinds.get(k) == Some(n)), "{kinds:?}");
    assert_eq!(kinds.values().sum::<i32>(), 25);
    // What the helper of the lab says it got: "tcp4 masquerade 300 kB" and its like.
    let bytes = |dport: u16, kind: NatKind| -> Vec<u64> {
        let ends = all.iter().filter_map(|o| match o {
            Outcome::End(s) => Some(s),
            _ => None,
        });
        let mut bytes: Vec<_> = ends
            .filter(|s| s.translation.dst.port == dport && s.translation.kind() == kind)
            .map(|s| s.counters[1].octets)
            .collect();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(bytes(8080, NatKind::Destination).len(), 1);
    let most = bytes(80, NatKind::Source).last().copied().unwrap();
    assert!((300_000..330_000).contains(&most), "{most}");
    // Two datagrams of 3000 octets and an answer to each, put together before counting.
    assert!(bytes(53, NatKind::Source).contains(&6056));
}

#[test]
fn causes_of_the_ends() {
    let (all, _) = outcomes(HEX);
    let ends: Vec<_> = all
        .iter()
        .filter_map(|o| match o {
            Outcome::End(s) => Some(s),
            _ => None,
        })
        .collect();
    let refused = ends.iter().find(|s| s.translation.dst.port == 81).unwrap();
    assert_eq!((refused.cause, refused.is_estimated), (Cause::Closed, false));
    // Flushed while its timeout still ran.
    let sctp = ends.iter().find(|s| s.proto == 132).unwrap();
    assert_eq!(sctp.cause, Cause::Deleted);
    assert_eq!(sctp.until_ns, sctp.held_ns);
    // Overdue when it was flushed.
    let echo = ends.iter().find(|s| s.proto == 1).unwrap();
    assert_eq!((echo.cause, echo.is_estimated), (Cause::Idle, true));
}

/// With the timeouts of the router, the worked out end is that of the last message about the
/// connection: the change to its last state, or its first answer.
#[test]
fn worked_out_ends_are_those_of_the_last_packets() {
    let mut config = TrackerConfig::default();
    for (name, seconds) in [
        ("nf_conntrack_udp_timeout", "3"),
        ("nf_conntrack_udp_timeout_stream", "5"),
        ("nf_conntrack_icmp_timeout", "3"),
        ("nf_conntrack_icmpv6_timeout", "3"),
        ("nf_conntrack_tcp_timeout_time_wait", "3"),
    ] {
        assert!(config.timeouts.set(name, seconds));
    }
    let (mut tracker, mut replay) = (Tracker::new(config), Replay::new());
    let (mut last, mut ends) = (BTreeMap::new(), Vec::new());
    for line in HEX.lines() {
        let is_event = matches!(replay.read(line.as_bytes()), Ok(Line::Entry(k, _)) if ![Kind::Dump, Kind::Destroy].contains(&k));
        if is_event {
            last.insert(replay.entry().id, replay.entry().event_ns.unwrap());
        }
        let mut end = |o: &Outcome| {
            if let Outcome::End(s) = o {
                ends.push(*s);
            }
        };
        replay.line(line.as_bytes(), &mut tracker, &mut end).unwrap();
    }
    let idle: Vec<_> = ends.iter().filter(|s| s.cause == Cause::Idle).collect();
    assert!(idle.len() >= 20, "{}", idle.len());
    for s in idle {
        // Timers of the kernel tick every 4 ms, and datagrams follow the first answer.
        let off = s.until_ns.abs_diff(last[&s.id]);
        assert!(off < 20_000_000, "{} {off} ns: {s:?}", s.proto);
        assert!(s.is_estimated && s.held_ns - s.until_ns >= 2_900_000_000);
    }
}

#[test]
fn text_gives_the_same_connections_as_messages() {
    let ends = |file| -> BTreeMap<u32, _> {
        let (all, _) = outcomes(file);
        let ends = all.into_iter().filter_map(|o| match o {
            Outcome::End(s) => Some((s.id, (s.translation, s.counters, s.zone, s.mark))),
            _ => None,
        });
        ends.collect()
    };
    let want = ends(HEX);
    assert_eq!(want.len(), 25);
    assert_eq!(ends(TEXT), want);
    assert_eq!(ends(EXTENDED), want);
}
