//! Records of the recorded round: over every protocol and back, in files, and who had what.

use nat::records::{RecordConfig, RecordKind, RecordKinds, Records};
use nat::text::Replay;
use nat::who::{Answer, Evidence, Question, Search};
use nat::{Gap, NatKind, Outcome, Session, Sure, Tracker, TrackerConfig};
use record::code::{NatEvent, Proto};
use record::{Addr, Field, Flow};
use wire::export::{Encoder, ExportConfig, Version};
use wire::testing::Collect;

const HEX: &str = include_str!("../../../fixtures/conntrack/events.hex");
const MS: u64 = 1_000_000;

fn outcomes() -> Vec<Outcome> {
    let config = TrackerConfig { dump_every_ns: 0, ..TrackerConfig::default() };
    let (mut tracker, mut replay, mut all) = (Tracker::new(config), Replay::new(), Vec::new());
    for line in HEX.lines() {
        replay.line(line.as_bytes(), &mut tracker, &mut |o| all.push(*o)).unwrap();
    }
    all
}

fn ends() -> Vec<Session> {
    let end = |o| if let Outcome::End(s) = o { Some(s) } else { None };
    outcomes().into_iter().filter_map(end).collect()
}

/// Records of one kind.
fn made(kind: RecordKind, outcomes: &[Outcome]) -> Vec<Flow> {
    let kinds = RecordKinds::NONE.with(kind);
    let mut records = Records::new(RecordConfig { kinds, ..RecordConfig::default() });
    let mut flows = Vec::new();
    for outcome in outcomes {
        records.outcome(outcome, &mut |made| {
            assert!(made.kind == kind || made.kind == RecordKind::Gap);
            flows.push(made.flow.clone());
        });
    }
    flows
}

/// What a collector makes of records sent over `version`.
fn received(version: Version, biflow: bool, flows: &[Flow]) -> Vec<Flow> {
    let now = flows.iter().map(|f| f.number(Field::Last)).max().unwrap() + 500;
    let boot_ms = now - 600_000;
    let mut encoder = Encoder::new(ExportConfig { boot_ms, biflow, ..ExportConfig::new(version) });
    let (mut decoder, mut sink) = (wire::Decoder::new(wire::Config::default()), Collect::default());
    let mut datagram = |octets: &[u8], _: wire::export::Carries| {
        let outcome = decoder.decode(Addr::V4(1), now, octets, &mut sink);
        assert_eq!(outcome.error, None);
    };
    for flow in flows {
        encoder.flow(now, flow.as_row(), None, &mut datagram);
    }
    encoder.flush(now, &mut datagram);
    assert_eq!(encoder.counts().records, flows.len() as u64);
    sink.flows
}

#[test]
fn every_kind_arrives_as_it_was_sent() {
    let mut all = outcomes();
    let gap = Gap { from_ns: 1_795_289_000_000 * MS, to_ns: 1_795_289_001_000 * MS, overruns: 2 };
    all.push(Outcome::Degraded(gap));
    // What a version has no place for, or says in another way.
    let nel = [Field::First, Field::Last, Field::EndReason];
    for (kind, version, count, lost) in [
        (RecordKind::Triplet, Version::V5, 51, &[][..]),
        (RecordKind::Nel, Version::V9, 51, &nel[..]),
        (RecordKind::Nsel, Version::V9, 51, &[Field::Last]),
        (RecordKind::Event, Version::Ipfix, 51, &[]),
        (RecordKind::Biflow, Version::Ipfix, 26, &[]),
    ] {
        let mut sent = made(kind, &all);
        if kind == RecordKind::Triplet {
            let gap = sent.pop().unwrap();
            assert!(!gap.has(Field::SrcAddr));
        }
        let got = received(version, false, &sent);
        assert_eq!((sent.len(), got.len()), (count, count), "{kind:?}");
        for (sent, got) in sent.iter().zip(&got) {
            let (sent, got) = (sent.as_row(), got.as_row());
            let is_told = |f: &Field| !lost.contains(f) || !sent.has(Field::SrcAddr);
            for field in sent.shape().fields().filter(is_told).filter(|f| *f != Field::Label) {
                assert_eq!(sent.bytes(field), got.bytes(field), "{kind:?} {field:?}");
            }
        }
    }
}

/// The triplet of a masqueraded connection, of an echo, of a hairpin, and the pair of one that is
/// not translated.
#[test]
fn triplets_are_those_of_nfflowd() {
    let ends = ends();
    let text = |proto: u8, kind: NatKind, port: u16| -> Vec<String> {
        let is_it = |s: &&Session| {
            let t = &s.translation;
            s.proto == proto && t.kind() == kind && t.dst.port == port
        };
        let end = ends.iter().find(is_it).unwrap();
        let flows = made(RecordKind::Triplet, &[Outcome::End(*end)]);
        let show = |f: &Flow| {
            let r = f.as_row();
            assert_eq!(r.number(Field::First), end.from_ns / MS);
            assert_eq!(r.number(Field::Last), end.until_ns / MS);
            assert_eq!(r.number(Field::Proto), u64::from(proto));
            let n = |f| r.number(f);
            let addr = |f| r.addr(f).unwrap();
            let (src, dst) = (addr(Field::SrcAddr), addr(Field::DstAddr));
            let (sport, dport) = (n(Field::SrcPort), n(Field::DstPort));
            let (packets, octets) = (n(Field::Packets), n(Field::Bytes));
            format!("{src}:{sport} {dst}:{dport} {packets} {octets}")
        };
        flows.iter().map(show).collect()
    };
    let port = |kind, port| {
        let end = ends.iter().find(|s| {
            let t = &s.translation;
            t.kind() == kind && t.dst.port == port
        });
        end.unwrap().translation.src.port
    };
    let p = port(NatKind::Source, 81);
    let refused = [
        format!("192.168.77.10:{p} 203.0.113.10:81 1 60"),
        format!("203.0.113.1:{p} 203.0.113.10:81 1 60"),
        format!("203.0.113.10:81 203.0.113.1:{p} 1 40"),
    ];
    assert_eq!(text(6, NatKind::Source, 81), refused);
    let echo = [
        "192.168.77.10:0 203.0.113.10:2048 3 252",
        "203.0.113.1:0 203.0.113.10:2048 3 252",
        "203.0.113.10:0 203.0.113.1:0 3 252",
    ];
    assert_eq!(text(1, NatKind::Source, 8 * 256), echo);
    let p = port(NatKind::Hairpin, 8080);
    let hairpin = [
        format!("192.168.77.11:{p} 203.0.113.1:8080 8 429"),
        format!("192.168.77.1:{p} 192.168.77.10:80 8 429"),
        format!("192.168.77.10:80 192.168.77.1:{p} 8 5424"),
    ];
    assert_eq!(text(6, NatKind::Hairpin, 8080), hairpin);
    // IPv6 has none.
    let v6 = ends.iter().filter(|s| s.translation.kind() == NatKind::None);
    assert!(v6.map(|s| made(RecordKind::Triplet, &[Outcome::End(*s)])).all(|f| f.is_empty()));
}

#[test]
fn the_second_flow_may_count_nothing() {
    let kinds = RecordKinds::NONE.with(RecordKind::Triplet);
    let mut records =
        Records::new(RecordConfig { kinds, zero_second: true, ..RecordConfig::default() });
    let mut octets = Vec::new();
    let end = ends().into_iter().find(|s| s.translation.dst.port == 81).unwrap();
    records.outcome(&Outcome::End(end), &mut |m| octets.push(m.flow.number(Field::Bytes)));
    assert_eq!(octets, [60, 0, 40]);
    assert_eq!(records.counts().triplet, 3);
}

#[test]
fn how_sure_is_in_the_record() {
    let end = ends().into_iter().find(|s| s.translation.dst.port == 81).unwrap();
    let begin = Session { cause: nat::Cause::Begun, ..end };
    for (session, is_end, reason, label) in [
        (begin, false, None, None),
        (end, true, Some(3), None),
        (Session { cause: nat::Cause::Idle, ..end }, true, Some(1), None),
        (Session { sure: Sure::Degraded, ..end }, true, Some(5), Some("degraded")),
        (Session { sure: Sure::Degraded, ..begin }, false, Some(5), Some("degraded")),
        (Session { sure: Sure::Resync, ..end }, true, Some(4), Some("resync")),
        (Session { sure: Sure::Resync, ..begin }, false, Some(4), Some("resync")),
    ] {
        let outcome = if is_end { Outcome::End(session) } else { Outcome::Begin(session) };
        let flows = made(RecordKind::Event, &[outcome]);
        let row = flows[0].as_row();
        assert_eq!(row.u64(Field::EndReason), reason);
        assert_eq!(row.text(Field::Label), label.map(str::as_bytes));
        let event = NatEvent(row.number(Field::NatEvent) as u8);
        assert_eq!(event.name(), Some(if is_end { "DEL44" } else { "ADD44" }));
    }
    let flows =
        made(RecordKind::Biflow, &[Outcome::Interim(Session { cause: nat::Cause::Active, ..end })]);
    assert_eq!(flows[0].number(Field::EndReason), 2);
}

/// The rows of the flows, written to a file and read back.
fn stored(flows: &[Flow], path: &std::path::Path) -> Vec<Flow> {
    use record::FlowSink;
    let mut writer = store::Writer::create(path, &store::WriterOptions::default()).unwrap();
    for flow in flows {
        writer.flow(flow);
    }
    assert_eq!(writer.dropped(), store::Dropped::default());
    writer.close(&[]).unwrap();
    let file = store::FlowFile::open(path).unwrap();
    let mut reader = store::BlockReader::new();
    let mut out = Vec::new();
    for n in 0..file.blocks().len() {
        let block = reader.load(&file, n).unwrap();
        for row in block.rows.iter() {
            let mut flow = Flow::new();
            flow.assign(row);
            out.push(flow);
        }
    }
    out
}

fn ask(flows: &[Flow], question: Question) -> Answer {
    let mut search = Search::new(question);
    for flow in flows {
        search.row(flow.as_row());
    }
    search.finish()
}

#[test]
fn every_translated_connection_is_found_by_its_public_side() {
    let dir = tempfile::tempdir().unwrap();
    let outcomes = outcomes();
    for (kind, evidence, is_sent) in [
        (RecordKind::Event, Evidence::Event, false),
        (RecordKind::Event, Evidence::Event, true),
        (RecordKind::Biflow, Evidence::Flow, false),
        (RecordKind::Biflow, Evidence::Flow, true),
        (RecordKind::Nel, Evidence::Event, false),
        (RecordKind::Nsel, Evidence::Event, false),
        (RecordKind::Triplet, Evidence::Triplet, false),
    ] {
        let mut flows = made(kind, &outcomes);
        if is_sent {
            // Over IPFIX a biflow becomes a flow for each direction with packets.
            flows = received(Version::Ipfix, true, &flows);
        }
        let flows = stored(&flows, &dir.path().join(format!("{kind:?}")));
        let mut asked = 0;
        for s in ends().iter().filter(|s| s.translation.is_some()) {
            let t = &s.translation;
            // ICMP has no ports and the sides of a hairpin are nobody's in flows without
            // translation; triplets are IPv4.
            let is_v6 = matches!(t.src.addr, Addr::V6(_));
            let is_odd = Proto(s.proto).is_icmp() || t.kind() == NatKind::Hairpin || is_v6;
            if kind == RecordKind::Triplet && is_odd {
                continue;
            }
            let is_forward = t.destination != nat::Change::None;
            let (public, inside) = match is_forward {
                true => (t.dst, t.xlate_dst),
                false => (t.xlate_src, t.src),
            };
            let at_ms = (s.start_ns + s.until_ns) / 2 / MS;
            let question = Question {
                addr: public.addr,
                port: Some(public.port),
                proto: Some(s.proto),
                at_ms,
                slack_ms: 0,
            };
            let answer = ask(&flows, question);
            let what = format!("{kind:?} {s:?}\n{answer:?}");
            // Nobody else had it towards the same peer; a forward has many peers.
            let peer = if is_forward { t.src } else { t.dst };
            let is_peer = |h: &&nat::who::Holder| {
                h.peer.is_some_and(|p| {
                    p.addr == peer.addr && (p.port == peer.port || Proto(s.proto).is_icmp())
                })
            };
            let [holder] = answer.holders.iter().filter(is_peer).collect::<Vec<_>>()[..] else {
                panic!("{what}")
            };
            assert_eq!(holder.inside.addr, inside.addr, "{what}");
            if !Proto(s.proto).is_icmp() {
                assert_eq!(holder.inside.port, inside.port, "{what}");
            }
            assert_eq!((holder.sure, holder.evidence), (Sure::Exact, evidence), "{what}");
            assert_eq!(holder.from_ms, Some(s.start_ns / MS), "{what}");
            let last = if evidence == Evidence::Event { s.held_ns } else { s.until_ns };
            let tolerance = if kind == RecordKind::Nsel { u64::MAX } else { 0 };
            assert!(holder.to_ms.unwrap().abs_diff(last / MS) <= tolerance, "{what}");
            let [sent, answered] = s.counters.map(|c| c.octets);
            if ![RecordKind::Event, RecordKind::Nel].contains(&kind) {
                assert_eq!(holder.octets, Some([sent, answered]), "{what}");
            }
            // Before and after, nobody had it.
            for at_ms in [s.start_ns / MS - 5, s.held_ns / MS + 5] {
                let answer = ask(&flows, Question { at_ms, ..question });
                assert!(!answer.holders.iter().any(|h| h.inside == inside && h.peer == Some(peer)));
            }
            asked += 1;
        }
        assert!(asked >= 12, "{kind:?}: {asked}");
    }
}

/// What Debian's nfdump prints of a file, `None` if it is not there.
fn nfdump(path: &std::path::Path, format: &str, filter: &str) -> Option<Vec<String>> {
    let mut command = std::process::Command::new("nfdump");
    command.arg("-r").arg(path).args(["-q", "-6", "-o", format, filter]);
    let out = command.output().ok()?;
    let text = String::from_utf8(out.stdout).unwrap();
    let words = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<_> = text.lines().map(words).filter(|l| l.contains("203.0.")).collect();
    lines.sort_unstable();
    Some(lines)
}

#[test]
fn real_nfdump_prints_the_translations() {
    let dir = tempfile::tempdir().unwrap();
    let all = outcomes();
    let is_v4 = |s: &&Session| matches!(s.translation.src.addr, Addr::V4(_));
    for (kind, filter, event, has_octets) in [
        (RecordKind::Event, "nat event 4", false, false),
        (RecordKind::Event, "nat event 5", false, false),
        (RecordKind::Nel, "nat event 1", true, false),
        (RecordKind::Biflow, "inet", false, true),
    ] {
        let mut flows = made(kind, &all);
        // Debian's nfdump does not know this extension.
        flows.iter_mut().for_each(|f| f.unset(Field::FlowId));
        let path = dir.path().join("nfcapd");
        stored(&flows, &path);
        let evt = if event { "%evt " } else { "" };
        let format = format!("fmt:{evt}%pr %sap %nsap %dap %ndap %ibyt %obyt");
        let Some(lines) = nfdump(&path, &format, filter) else {
            eprintln!("skipped: nfdump is not there");
            return;
        };
        let mut want: Vec<_> =
            ends().iter().filter(is_v4).map(|s| line(s, event, has_octets)).collect();
        want.sort_unstable();
        assert_eq!(lines, want, "{kind:?} {filter}");
    }
}

/// A connection as nfdump prints it.
fn line(s: &Session, has_event: bool, has_octets: bool) -> String {
    let t = &s.translation;
    let is_icmp = Proto(s.proto).is_icmp();
    let (sport, dport) = match is_icmp {
        true => ("0".into(), format!("{}.{}", t.dst.port >> 8, t.dst.port & 255)),
        false => (t.src.port.to_string(), t.dst.port.to_string()),
    };
    let [sent, answered] = if has_octets { s.counters.map(|c| c.octets) } else { [0, 0] };
    format!(
        "{}{} {}:{sport} {}:{} {}:{dport} {}:{} {sent} {answered}",
        if has_event { "ADD " } else { "" },
        Proto(s.proto),
        t.src.addr,
        t.xlate_src.addr,
        t.xlate_src.port,
        t.dst.addr,
        t.xlate_dst.addr,
        t.xlate_dst.port,
    )
}
