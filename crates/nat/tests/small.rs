//! The small parts: kinds of translation, filters, lines of text, settings of the kernel.

use nat::lines::{CSV_HEADER, CsvConfig, csv, json};
use nat::text::{Line, Replay, TextError};
use nat::{
    Change, DumpState, Entry, Filter, Gap, Kind, NatKind, Network, Outcome, Status, Timeouts,
    Tracker, TrackerConfig, Translation, Unwanted, sysctl,
};
use record::Addr;

/// A connection from a line of `conntrack`.
fn entry(line: &str) -> Entry {
    let mut replay = Replay::new();
    assert!(matches!(replay.read(line.as_bytes()), Ok(Line::Entry(..))), "{line}");
    *replay.entry()
}

fn tcp(orig: [&str; 4], reply: [&str; 4]) -> Entry {
    let tuple = |[a, b, c, d]: [&str; 4]| format!("src={a} dst={b} sport={c} dport={d}");
    entry(&format!("tcp 6 10 ESTABLISHED {} {} id=1", tuple(orig), tuple(reply)))
}

#[test]
fn kinds_of_translation() {
    use Change::{Address, None, Port};
    let (a, b, pub_, srv) = ("192.168.77.10", "192.168.77.11", "203.0.113.1", "203.0.113.10");
    let (a6, pub6, srv6) = ("fd77::10", "2001:db8:99::1", "2001:db8:99::10");
    for (orig, reply, source, destination, kind) in [
        ([a, srv, "7", "80"], [srv, a, "80", "7"], None, None, NatKind::None),
        ([a, srv, "7", "80"], [srv, pub_, "80", "7"], Address, None, NatKind::Source),
        ([a, srv, "7", "80"], [srv, pub_, "80", "9"], Address, None, NatKind::Source),
        ([a, srv, "7", "80"], [srv, a, "80", "9"], Port, None, NatKind::PortOnly),
        ([a, srv, "7", "80"], [srv, a, "81", "7"], None, Port, NatKind::PortOnly),
        ([srv, pub_, "7", "8080"], [a, srv, "80", "7"], None, Address, NatKind::Destination),
        ([srv, pub_, "7", "8080"], [a, pub_, "80", "7"], Address, Address, NatKind::Both),
        (
            [b, pub_, "7", "8080"],
            [a, "192.168.77.1", "80", "7"],
            Address,
            Address,
            NatKind::Hairpin,
        ),
        ([a6, srv6, "7", "80"], [srv6, pub6, "80", "7"], Address, None, NatKind::Nat66),
        ([srv6, pub6, "7", "80"], [a6, srv6, "80", "7"], None, Address, NatKind::Nat66),
        ([a6, "64:ff9b::1", "7", "80"], [srv, pub_, "80", "7"], Address, Address, NatKind::Nat64),
    ] {
        let translation = Translation::of(&tcp(orig, reply));
        assert_eq!((translation.source, translation.destination), (source, destination));
        assert_eq!(translation.kind(), kind, "{orig:?} {reply:?}");
        assert_eq!(translation.is_some(), kind != NatKind::None);
    }
    // An echo: its id may be another one outside; type and code are no translation.
    let echo = |id| {
        format!(
            "icmp 1 3 src=192.168.77.10 dst=203.0.113.10 type=8 code=0 id=5 \
             src=203.0.113.10 dst=192.168.77.10 type=0 code=0 id={id} id=99"
        )
    };
    assert_eq!(Translation::of(&entry(&echo(5))).kind(), NatKind::None);
    let other = Translation::of(&entry(&echo(6)));
    assert_eq!((other.kind(), other.source), (NatKind::PortOnly, Port));
    assert_eq!((other.src.port, other.xlate_src.port, other.dst.port), (5, 6, 0x800));
}

#[test]
fn filters() {
    let nat =
        tcp(["10.0.0.1", "203.0.113.10", "7", "80"], ["203.0.113.10", "203.0.113.1", "80", "7"]);
    let plain = tcp(["10.0.0.1", "10.0.1.1", "7", "80"], ["10.0.1.1", "10.0.0.1", "80", "7"]);
    let own =
        tcp(["203.0.113.1", "203.0.113.10", "7", "80"], ["203.0.113.10", "203.0.113.1", "80", "7"]);
    let lo = tcp(["127.0.0.1", "127.0.0.1", "7", "80"], ["127.0.0.1", "127.0.0.1", "80", "7"]);
    let marked = Entry { mark: 0x17, zone: 7, ..nat };
    let net = |text: &str| vec![text.parse::<Network>().unwrap()];
    let all = Filter::default;
    let own_addrs = Some(vec![Addr::V4(0xcb00_7101)]);
    for (filter, entry, want) in [
        (all(), plain, None),
        (Filter { nat_only: true, ..all() }, nat, None),
        (Filter { nat_only: true, ..all() }, plain, Some(Unwanted::NotTranslated)),
        (Filter { protocols: vec![17, 6], ..all() }, nat, None),
        (Filter { protocols: vec![17], ..all() }, nat, Some(Unwanted::Protocol)),
        (Filter { zones: vec![0], ..all() }, marked, Some(Unwanted::Zone)),
        (Filter { zones: vec![0, 7], ..all() }, marked, None),
        (Filter { marks: vec![(0x10, 0xf0)], ..all() }, marked, None),
        (Filter { marks: vec![(0x10, 0xf0)], ..all() }, nat, Some(Unwanted::Mark)),
        (Filter { networks: net("10.0.0.0/24"), ..all() }, nat, None),
        (Filter { networks: net("203.0.113.1"), ..all() }, nat, None),
        (Filter { networks: net("203.0.113.1"), ..all() }, plain, Some(Unwanted::Network)),
        (Filter { networks: net("::/0"), ..all() }, plain, Some(Unwanted::Network)),
        (Filter { own: own_addrs.clone(), ..all() }, nat, None),
        (Filter { own: own_addrs.clone(), ..all() }, own, Some(Unwanted::Local)),
        (Filter { own: own_addrs, ..all() }, lo, Some(Unwanted::Local)),
        (all(), lo, None),
    ] {
        assert_eq!(filter.rejects(&entry), want, "{filter:?}");
        // The tracker counts it by cause, and neither keeps nor tells it.
        let mut tracker = Tracker::new(TrackerConfig { filter, ..TrackerConfig::default() });
        let mut told = 0;
        tracker.event(1, Kind::New, &entry, &mut |_| told += 1);
        tracker.event(1, Kind::Destroy, &entry, &mut |_| told += 1);
        let c = tracker.counts();
        let unwanted = [
            c.not_translated,
            c.other_protocol,
            c.other_network,
            c.other_zone,
            c.other_mark,
            c.local,
        ];
        assert_eq!(
            (told, unwanted.iter().sum::<u64>()),
            if want.is_some() { (0, 2) } else { (2, 0) }
        );
    }
    assert!("10.0.0.0/33".parse::<Network>().is_err());
}

/// The outcomes of lines.
fn outcomes(lines: &[&str]) -> Vec<Outcome> {
    let (mut tracker, mut replay, mut all) =
        (Tracker::new(TrackerConfig::default()), Replay::new(), Vec::new());
    for line in lines {
        replay.line(line.as_bytes(), &mut tracker, &mut |o| all.push(*o)).unwrap();
    }
    all
}

const NEW: &str = "[1795245581.841154] [NEW] tcp 6 120 SYN_SENT src=192.168.77.10 dst=203.0.113.10 \
sport=39138 dport=81 [UNREPLIED] src=203.0.113.10 dst=203.0.113.1 sport=81 dport=62060 zone=7 id=9";
const DESTROY: &str = "[1795245583.341169] [DESTROY] tcp 6 120 CLOSE src=192.168.77.10 \
dst=203.0.113.10 sport=39138 dport=81 packets=1 bytes=60 [UNREPLIED] src=203.0.113.10 \
dst=203.0.113.1 sport=81 dport=62060 packets=2 bytes=40 mark=5 zone=7 delta-time=0 id=9";

#[test]
fn lines_of_nfflowd() {
    let config = CsvConfig {
        exporter: Addr::V4(0x7f00_0001),
        boot_ms: 1_795_245_580_000,
        zero_second: false,
    };
    let mut out = Vec::new();
    let counts: Vec<_> = outcomes(&[NEW, DESTROY])
        .iter()
        .map(|o| csv(o, 1_795_245_584_000_000_005, &config, &mut out))
        .collect();
    assert_eq!(counts, [0, 3]);
    let head = "1795245584,5,3341,127.0.0.1";
    let want = [
        format!("{head},1,60,1841,3341,192.168.77.10,203.0.113.10,0.0.0.0,0,0,39138,81,6,0,0\n"),
        format!("{head},1,60,1841,3341,203.0.113.1,203.0.113.10,0.0.0.0,0,0,62060,81,6,0,0\n"),
        format!("{head},2,40,1841,3341,203.0.113.10,203.0.113.1,0.0.0.0,0,0,81,62060,6,0,0\n"),
    ];
    assert_eq!(String::from_utf8(out).unwrap(), want.concat());
    assert!(want.iter().all(|l| l.split(',').count() == CSV_HEADER.split(',').count()));
    assert_eq!(CSV_HEADER.split(',').count(), 18);
    let mut out = Vec::new();
    csv(&outcomes(&[NEW, DESTROY])[1], 0, &CsvConfig { zero_second: true, ..config }, &mut out);
    let text = String::from_utf8(out).unwrap();
    let octets: Vec<_> = text.lines().map(|l| l.split(',').nth(5).unwrap()).collect();
    assert_eq!(octets, ["60", "0", "40"]);
}

#[test]
fn lines_of_json() {
    let mut all = outcomes(&[NEW, DESTROY]);
    all.push(Outcome::Degraded(Gap { from_ns: 1_000_500_000, to_ns: 2_000_000, overruns: 3 }));
    let mut out = Vec::new();
    all.iter().for_each(|o| json(o, &mut out));
    let ends = "\"proto\":6,\"src\":\"192.168.77.10\",\"src_port\":39138,\"dst\":\"203.0.113.10\",\
                \"dst_port\":81,\"xlate_src\":\"203.0.113.1\",\"xlate_src_port\":62060,\
                \"xlate_dst\":\"203.0.113.10\",\"xlate_dst_port\":81";
    let want = [
        format!(
            "{{\"type\":\"begin\",\"nat\":\"source\",\"sure\":\"exact\",\"cause\":\"begun\",\
             \"start\":1795245581841.154,{ends},\"id\":9,\"zone\":7,\"mark\":0,\"status\":24}}\n"
        ),
        format!(
            "{{\"type\":\"end\",\"nat\":\"source\",\"sure\":\"exact\",\"cause\":\"closed\",\
             \"start\":1795245581841.154,\"from\":1795245581841.154,\"last\":1795245583341.169,\
             \"held\":1795245583341.169,\"estimated\":false,{ends},\"packets\":1,\"bytes\":60,\
             \"out_packets\":2,\"out_bytes\":40,\"id\":9,\"zone\":7,\"mark\":5,\"status\":24}}\n"
        ),
        "{\"type\":\"degraded\",\"from\":1000.500,\"to\":2.000,\"overruns\":3}\n".to_owned(),
    ];
    assert_eq!(String::from_utf8(out).unwrap(), want.concat());
    let Outcome::End(mut session) = all[1] else { panic!() };
    session.status = Status::EXPECTED.or(Status::OFFLOAD);
    session.labels = 5;
    let mut out = Vec::new();
    json(&Outcome::End(session), &mut out);
    let want = ",\"status\":16385,\"expected\":true,\"offloaded\":true,\"labels\":\"0x5\"}\n";
    assert!(String::from_utf8(out).unwrap().ends_with(want));
}

#[test]
fn lines_that_are_none() {
    let mut replay = Replay::new();
    let mut read = |line: &str| replay.read(line.as_bytes());
    for line in ["", "  ", "# comment", "DONE", "NEW"] {
        assert_eq!(read(line), Ok(Line::Nothing), "{line}");
    }
    let broken = |from: &str, to: &str| DESTROY.replacen(from, to, 1);
    for (line, error) in [
        ("hello".to_owned(), TextError::Unknown),
        ("[NEW]".to_owned(), TextError::Unknown),
        ("[NEW] tcp six".to_owned(), TextError::Unknown),
        ("tcp 6 5".to_owned(), TextError::NoTuple),
        ("tcp 6 5 sport=4".to_owned(), TextError::NoTuple),
        ("tcp 6 5 bytes=4".to_owned(), TextError::NoTuple),
        ("tcp 6 5 src=1.2.3.4 dst=1.2.3.5".to_owned(), TextError::NoTuple),
        (broken("src=192.168.77.10", "src=192.168.77"), TextError::Value("src")),
        (broken("dst=203.0.113.10", "dst="), TextError::Value("dst")),
        (broken("bytes=60", "bytes=x"), TextError::Value("bytes")),
        (broken("dport=81", "dport=65536"), TextError::Value("dport")),
        (broken("zone=7", "zone=70000"), TextError::Value("zone")),
        ("NEW 0".to_owned(), TextError::Hex),
        ("NEW 0g".to_owned(), TextError::Hex),
    ] {
        assert_eq!(read(&line), Err(error), "{line}");
    }
    assert!(matches!(read("NEW 00"), Err(TextError::Decode(_))));
    assert_eq!(replay.read(b"tcp \xff"), Err(TextError::NotText));
}

/// No line of any kind, cut or damaged anywhere, is more than an error.
#[test]
fn damaged_lines_are_survived() {
    let mut replay = Replay::new();
    let file = include_str!("../../../fixtures/conntrack/extended.txt");
    let dates = "tcp 6 5 src=1.2.3.4 dst=1.2.3.5 src=::1 dst=::2 [start=Sat Nov 21 07:19:41 2026]";
    for line in file.lines().step_by(11).chain([dates, NEW]) {
        for at in 0..line.len() {
            let _ = replay.read(&line.as_bytes()[..at]);
            for value in *b"\0 0[]=9\xff" {
                let mut damaged = line.as_bytes().to_vec();
                damaged[at] = value;
                let _ = replay.read(&damaged);
            }
        }
    }
    assert_eq!(entry(dates).start_ns, Some(1_795_245_581_000_000_000));
    for date in ["Sat Nov 31 99:19:41 2026", "Sat Foo 21 07:19:41 2026", "Sat Nov 21 07:19:41 1969"]
    {
        assert_eq!(
            entry(&dates.replace("Sat Nov 21 07:19:41 2026", date)).start_ns,
            None,
            "{date}"
        );
    }
}

#[test]
fn settings_of_the_kernel() {
    let all = |values| sysctl::check(&values).map(|f| f.to_string()).collect::<Vec<_>>();
    assert_eq!(all([Some("1\n"), Some("1"), Some(" 1 ")]), [""; 0]);
    let found = all([Some("0\n"), Some("0\n"), Some("2\n")]);
    for (text, want) in found.iter().zip([
        "nf_conntrack_acct is 0",
        "nf_conntrack_timestamp is 0",
        "nf_conntrack_events is 2",
    ]) {
        assert!(text.starts_with(&format!("net.netfilter.{want}: ")), "{text}");
        assert!(text.ends_with("; set it to 1"), "{text}");
    }
    assert!(all([Some("1"), Some("1"), Some("0")])[0].contains("the kernel tells nothing"));
    assert!(all([None, Some("1"), Some("1")])[0].contains("cannot be read"));
}

#[test]
fn timeouts_by_state() {
    let mut timeouts = Timeouts::default();
    for (n, name) in Timeouts::NAMES.iter().enumerate() {
        assert!(timeouts.set(name, &format!("{}\n", 1000 + n)), "{name}");
    }
    assert!(!timeouts.set("nf_conntrack_max", "5"));
    assert!(!timeouts.set(Timeouts::NAMES[0], "five"));
    let mut seen = std::collections::BTreeSet::new();
    for proto in [1, 6, 17, 33, 47, 50, 58, 132] {
        for (state, status) in (0..10).flat_map(|s| [(s, Status(0)), (s, Status::ASSURED)]) {
            let mut entry = Entry { state, status, ..Entry::default() };
            entry.orig.proto = proto;
            seen.insert(timeouts.of(&entry));
        }
    }
    // Each of them is the timeout of some state.
    assert_eq!(seen.len(), Timeouts::NAMES.len());
    let default = Timeouts::default();
    let of = |line: &str| default.of(&entry(line));
    let tuples = "src=1.2.3.4 dst=1.2.3.5 src=1.2.3.5 dst=1.2.3.4";
    assert_eq!(of(&format!("tcp 6 1 TIME_WAIT {tuples} [ASSURED]")), 120);
    assert_eq!(of(&format!("tcp 6 1 ESTABLISHED {tuples} [ASSURED]")), 432_000);
    assert_eq!(of(&format!("udp 17 1 {tuples}")), 30);
    assert_eq!(of(&format!("udp 17 1 {tuples} [ASSURED]")), 120);
}

#[test]
fn refused_and_broken_dumps() {
    let message = |kind: u16, errno: i32| {
        let head = [20u32.to_ne_bytes(), [0; 4], [0; 4], [0; 4]].concat();
        let mut out = [head, errno.to_ne_bytes().to_vec()].concat();
        out[4..6].copy_from_slice(&kind.to_ne_bytes());
        out
    };
    for (kind, errno, want) in [
        (2, -1, DumpState::Failed(1)),
        (3, -4, DumpState::Failed(4)),
        (3, i32::MIN, DumpState::Failed(i32::MAX)),
        (3, 0, DumpState::Done),
    ] {
        let mut tracker = Tracker::new(TrackerConfig::default());
        assert!(tracker.wants_dump(0) && tracker.dumping_since_ns().is_none());
        tracker.dump_begin(5);
        assert_eq!((tracker.wants_dump(u64::MAX), tracker.dumping_since_ns()), (false, Some(5)));
        assert_eq!(tracker.dump(7, &message(kind, errno), &mut |_| ()), want);
        let has_failed = want != DumpState::Done;
        let c = tracker.counts();
        assert_eq!((c.dumps, c.dumps_failed), (1, u64::from(has_failed)));
        // At once after a failure, but for a pause; else when it is due.
        let due = if has_failed { 1_000_000_007 } else { 60_000_000_007 };
        assert_eq!(tracker.next_dump_ns(), Some(due));
        assert!(!tracker.wants_dump(due - 1) && tracker.wants_dump(due));
    }
}
