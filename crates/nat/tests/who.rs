//! Who had an address and port: records of every kind, with what can be missing or odd about them.

use nat::who::{Answer, Evidence, Question, Search};
use nat::{Endpoint, Sure};
use record::{Addr, Field, Flow};
use wire::testing::{Collect, nat as sent};

const PUBLIC: Addr = Addr::V4(0xcb00_7101);
const SERVER: Addr = Addr::V4(0xc633_6450);
/// Times in the tests are milliseconds after this.
const T: u64 = 1_795_000_000_000;

const fn inside(n: u32) -> Addr {
    Addr::V4(0x0a00_0000 + n)
}

/// A connection of inside host `n`, port 5000, as port 2000 of the public address.
fn base(n: u32) -> Flow {
    let mut flow = Flow::new();
    flow.set_addr(Field::SrcAddr, inside(n));
    flow.set_addr(Field::DstAddr, SERVER);
    flow.set_addr(Field::XlateSrcAddr, PUBLIC);
    flow.set_addr(Field::XlateDstAddr, SERVER);
    let ports = [(Field::SrcPort, 5000), (Field::DstPort, 443), (Field::XlateSrcPort, 2000)];
    for (field, port) in ports.into_iter().chain([(Field::XlateDstPort, 443), (Field::Proto, 6)]) {
        flow.set(field, port);
    }
    flow
}

fn with(mut flow: Flow, values: &[(Field, u64)]) -> Flow {
    for (field, value) in values {
        assert!(flow.set(*field, *value));
    }
    flow
}

/// A NAT event at `at`, of a connection since `first`.
fn event(n: u32, event: u64, first: u64, at: u64) -> Flow {
    let times = [(Field::First, T + first), (Field::Last, T + at), (Field::NatEventTime, T + at)];
    with(with(base(n), &times), &[(Field::NatEvent, event)])
}

fn span(n: u32, first: u64, last: u64, octets: [u64; 2], reason: u64) -> Flow {
    let times = [(Field::First, T + first), (Field::Last, T + last)];
    let [a, b] = octets;
    let counted = [(Field::Bytes, a), (Field::OutBytes, b), (Field::EndReason, reason)];
    with(with(base(n), &times), &counted)
}

fn gap(from: u64, to: u64) -> Flow {
    let mut flow = Flow::new();
    let zeros = [(Field::Packets, 0), (Field::Bytes, 0), (Field::Proto, 0)];
    let values = [(Field::First, T + from), (Field::Last, T + to), (Field::EndReason, 5)];
    for (field, value) in values.into_iter().chain(zeros) {
        flow.set(field, value);
    }
    flow
}

fn ask_with(flows: &[Flow], question: Question) -> Answer {
    let mut search = Search::new(question);
    flows.iter().for_each(|f| search.row(f.as_row()));
    search.finish()
}

fn question(at: u64) -> Question {
    Question { addr: PUBLIC, port: Some(2000), proto: None, at_ms: T + at, slack_ms: 0 }
}

/// Who had it: the host, since when, until when, how sure.
fn ask(flows: &[Flow], at: u64) -> Vec<(u32, Option<u64>, Option<u64>, Sure)> {
    let holders = ask_with(flows, question(at)).holders;
    let host = |addr| if let Addr::V4(a) = addr { a - 0x0a00_0000 } else { 0 };
    let show = |h: &nat::who::Holder| {
        (host(h.inside.addr), h.from_ms.map(|t| t - T), h.to_ms.map(|t| t - T), h.sure)
    };
    holders.iter().map(show).collect()
}

use Sure::{Degraded, Exact, Resync};

#[test]
fn begin_and_end() {
    let flows = [event(1, 4, 1000, 1000), event(1, 5, 1000, 9000)];
    for (at, want) in [(999, false), (1000, true), (5000, true), (9000, true), (9001, false)] {
        let held = (1, Some(1000), Some(9000), Exact);
        assert_eq!(ask(&flows, at), if want { vec![held] } else { vec![] }, "at {at}");
    }
    // Rows of several files may come in any order.
    let flows = [event(1, 5, 1000, 9000), event(1, 4, 1000, 1000)];
    assert_eq!(ask(&flows, 5000), [(1, Some(1000), Some(9000), Exact)]);
}

#[test]
fn open_and_unfinished() {
    // No end: still open.
    assert_eq!(ask(&[event(1, 4, 1000, 1000)], 999_000), [(1, Some(1000), None, Exact)]);
    // No begin: the end tells it.
    let end = event(1, 5, 1000, 9000);
    assert_eq!(ask(&[end], 2000), [(1, Some(1000), Some(9000), Exact)]);
    // NEL: the end does not; somebody else may have had it before.
    let end = event(1, 2, 9000, 9000);
    assert_eq!(ask(&[end], 2000), [(1, None, Some(9000), Degraded)]);
}

#[test]
fn a_port_is_used_again() {
    let flows = [
        event(1, 4, 1000, 1000),
        event(1, 5, 1000, 2000),
        event(2, 4, 2000, 2000),
        event(2, 5, 2000, 3000),
        event(1, 4, 5000, 5000),
        event(1, 5, 5000, 6000),
    ];
    assert_eq!(ask(&flows, 1500), [(1, Some(1000), Some(2000), Exact)]);
    assert_eq!(ask(&flows, 2500), [(2, Some(2000), Some(3000), Exact)]);
    assert_eq!(ask(&flows, 4000), []);
    assert_eq!(ask(&flows, 5500), [(1, Some(5000), Some(6000), Exact)]);
    assert_eq!(ask(&flows, 2000).len(), 2);
    // The same without ends: each had it until the next one at the latest.
    let begins: Vec<_> = flows.iter().step_by(2).cloned().collect();
    assert_eq!(ask(&begins, 1500), [(1, Some(1000), Some(2000), Degraded)]);
    assert_eq!(ask(&begins, 4000), [(2, Some(2000), Some(5000), Degraded)]);
    assert_eq!(ask(&begins, 9000), [(1, Some(5000), None, Exact)]);
}

#[test]
fn connections_of_one_millisecond() {
    let flows = [event(1, 4, 1000, 1000), event(1, 5, 1000, 1000)];
    assert_eq!(ask(&flows, 1000), [(1, Some(1000), Some(1000), Exact)]);
    assert_eq!(ask(&flows, 1001), []);
}

#[test]
fn clocks_may_differ() {
    let flows = [event(1, 4, 5000, 5000), event(1, 5, 5000, 6000), event(2, 4, 6400, 6400)];
    let near = |at| {
        let answer = ask_with(&flows, Question { slack_ms: 1000, ..question(at) });
        answer.holders.iter().map(|h| (h.inside.addr, h.off_ms)).collect::<Vec<_>>()
    };
    assert_eq!(near(3999), []);
    assert_eq!(near(4000), [(inside(1), 1000)]);
    assert_eq!(near(5500), [(inside(1), 0), (inside(2), 900)]);
    // The nearer one first.
    assert_eq!(near(6300), [(inside(2), 100), (inside(1), 300)]);
}

#[test]
fn interim_records_are_one_connection() {
    let flows = [
        span(1, 1000, 300_000, [10, 100], 2),
        span(1, 300_000, 600_000, [20, 200], 2),
        span(1, 600_000, 700_000, [1, 2], 3),
        span(1, 900_000, 950_000, [7, 7], 3),
    ];
    assert_eq!(ask(&flows, 400_000), [(1, Some(1000), Some(700_000), Exact)]);
    assert_eq!(ask(&flows, 920_000), [(1, Some(900_000), Some(950_000), Exact)]);
    assert_eq!(ask(&flows[..2], 999_000), [(1, Some(1000), None, Exact)]);
    let answer = ask_with(&flows, question(2000));
    assert_eq!(answer.holders[0].octets, Some([31, 302]));
    assert_eq!((answer.matched, answer.dropped), (4, 0));
}

#[test]
fn events_and_flows_of_one_connection_are_one() {
    let flows = [
        event(1, 4, 1000, 1000),
        span(1, 1000, 5000, [10, 100], 2),
        span(1, 5000, 8000, [5, 50], 1),
        event(1, 5, 1000, 9000),
        // NEL of the same.
        event(1, 1, 1000, 1000),
        event(1, 2, 9000, 9000),
    ];
    let answer = ask_with(&flows, question(8500));
    let [holder] = answer.holders[..] else { panic!("{answer:?}") };
    assert_eq!((holder.from_ms, holder.to_ms), (Some(T + 1000), Some(T + 9000)));
    assert_eq!((holder.octets, holder.evidence), (Some([15, 150]), Evidence::Event));
}

#[test]
fn how_sure() {
    let sure = |flow: Flow, reason| with(flow, &[(Field::EndReason, reason)]);
    for (first, second, want) in [
        (0, 3, Exact),
        (0, 1, Exact),
        (5, 3, Degraded),
        (4, 3, Resync),
        (0, 4, Resync),
        (4, 5, Resync),
    ] {
        let flows = [sure(event(1, 4, 1000, 1000), first), sure(event(1, 5, 1000, 9000), second)];
        assert_eq!(ask(&flows, 2000), [(1, Some(1000), Some(9000), want)], "{first} {second}");
    }
    let flows =
        [event(1, 4, 1000, 1000), gap(4000, 5000), gap(4000, 5000), event(1, 5, 1000, 9000)];
    let answer = ask_with(&flows, question(4500));
    assert_eq!((answer.holders[0].sure, answer.sure()), (Exact, Degraded));
    assert_eq!(answer.gaps, [(T + 4000, T + 5000)]);
    assert_eq!(ask_with(&flows, question(3000)).sure(), Exact);
    // Nobody at all, but somebody may be missing.
    let answer = ask_with(&flows[1..2], question(4500));
    assert_eq!((answer.holders.len(), answer.sure()), (0, Degraded));
}

#[test]
fn what_was_not_asked() {
    let flows = [event(1, 4, 1000, 1000)];
    for other in [
        Question { addr: SERVER, ..question(2000) },
        Question { addr: inside(1), ..question(2000) },
        Question { port: Some(2001), ..question(2000) },
        Question { port: Some(5000), ..question(2000) },
        Question { proto: Some(17), ..question(2000) },
    ] {
        assert_eq!(ask_with(&flows, other), Answer::default(), "{other:?}");
    }
    let any = Question { port: None, proto: Some(6), ..question(2000) };
    assert_eq!(ask_with(&flows, any).holders.len(), 1);
}

#[test]
fn port_forwards() {
    // The server 10.0.0.1:80 behind 203.0.113.1:2000.
    let mut flow = Flow::new();
    flow.set_addr(Field::SrcAddr, SERVER);
    flow.set_addr(Field::DstAddr, PUBLIC);
    flow.set_addr(Field::XlateSrcAddr, SERVER);
    flow.set_addr(Field::XlateDstAddr, inside(1));
    let ports = [(Field::SrcPort, 7000), (Field::DstPort, 2000), (Field::XlateSrcPort, 7000)];
    let flow = with(with(flow, &ports), &[(Field::XlateDstPort, 80), (Field::Proto, 6)]);
    let flow = with(flow, &[(Field::First, T), (Field::Last, T + 5000), (Field::Bytes, 9)]);
    let answer = ask_with(&[flow], question(1000));
    let [holder] = answer.holders[..] else { panic!("{answer:?}") };
    assert!(holder.is_forward);
    assert_eq!(holder.inside, Endpoint::new(inside(1), 80));
    assert_eq!(holder.public, Endpoint::new(PUBLIC, 2000));
    assert_eq!(holder.peer, Some(Endpoint::new(SERVER, 7000)));
}

#[test]
fn flows_of_the_address_itself() {
    let mut flow = Flow::new();
    flow.set_addr(Field::SrcAddr, PUBLIC);
    flow.set_addr(Field::DstAddr, SERVER);
    let values = [(Field::SrcPort, 2000), (Field::DstPort, 53), (Field::Proto, 17)];
    let flow = with(with(flow, &values), &[(Field::First, T), (Field::Last, T + 5000)]);
    let answer = ask_with(&[flow], question(1000));
    let [holder] = answer.holders[..] else { panic!("{answer:?}") };
    assert_eq!((holder.evidence, holder.inside.addr), (Evidence::Direct, PUBLIC));
}

/// One of the records of vendors in the tests of the decoder.
fn vendor(name: &str, version: u16) -> Flow {
    let all = sent::datagrams();
    let (_, _, datagram) = all.iter().find(|d| d.0.name == name && d.1 == version).unwrap();
    let (mut decoder, mut sink) = (wire::Decoder::new(wire::Config::default()), Collect::default());
    let _ = decoder.decode(Addr::V4(1), sent::AT_MS, datagram, &mut sink);
    sink.flows.remove(0)
}

const OUTSIDE: Addr = Addr::V4(0xc633_6407);
const INSIDE: Addr = Addr::V4(0x6440_0102);

#[test]
fn records_of_other_translators() {
    let q = |port| Question {
        addr: OUTSIDE,
        port: Some(port),
        proto: None,
        at_ms: sent::AT_MS,
        slack_ms: 0,
    };
    for (name, version, port, evidence) in [
        ("NAT44 session create", 10, 1025, Evidence::Event),
        ("historic delete", 9, 1025, Evidence::Event),
        ("NAT44 BIB create", 10, 1025, Evidence::Event),
        ("NAT64 session create", 10, 1026, Evidence::Event),
        ("NEL create", 9, 1056, Evidence::Event),
        ("CGv6 create", 9, 1057, Evidence::Flow),
        ("NSEL create", 9, 2001, Evidence::Event),
        ("NSEL delete", 9, 2001, Evidence::Event),
        ("NSEL before 8.4(5)", 9, 2002, Evidence::Event),
        ("port block allocated", 10, 1024, Evidence::Block),
        ("port block allocated", 10, 2046, Evidence::Block),
        ("port block of NAT64 allocated", 9, 3071, Evidence::Block),
        ("address binding create", 10, 61_000, Evidence::Block),
        ("CGv6 block", 9, 4607, Evidence::Block),
        ("Nokia block", 10, 6500, Evidence::Block),
        ("F5 session", 10, 3001, Evidence::Event),
        ("FortiOS flow with NAT", 9, 3001, Evidence::Flow),
        ("PAN-OS with NAT", 9, 3001, Evidence::Event),
    ] {
        let mut question = q(port);
        let flow = vendor(name, version);
        // Flows of the past.
        question.slack_ms = 3_600_000;
        let answer = ask_with(std::slice::from_ref(&flow), question);
        let [holder] = answer.holders[..] else { panic!("{name}: {answer:?} {flow:?}") };
        let v6 = Addr::V6(0x2001_0db8_0001_0000_0000_0000_0000_0042);
        let want = if name.contains("64") { v6 } else { INSIDE };
        assert_eq!((holder.inside.addr, holder.evidence), (want, evidence), "{name}");
    }
    // Not in the block, or between its steps; denied; no translation at all.
    for (name, version, port) in [
        ("port block allocated", 10, 1023),
        ("port block allocated", 10, 1025),
        ("port block allocated", 10, 2048),
        ("CGv6 block", 9, 4608),
        ("NSEL denied", 9, 2001),
        ("addresses exhausted", 10, 1025),
    ] {
        let question = Question { slack_ms: 3_600_000, ..q(port) };
        assert_eq!(ask_with(&[vendor(name, version)], question).holders, [], "{name} {port}");
    }
}

#[test]
fn blocks_are_given_and_taken_back() {
    let block = |what: u64, at: u64| {
        let flow = event(1, what, at, at);
        with(flow, &[(Field::PblockStart, 1900), (Field::PblockEnd, 2100)])
    };
    let flows = [block(16, 1000), block(17, 5000), block(16, 9000)];
    assert_eq!(ask(&flows, 3000), [(1, Some(1000), Some(5000), Exact)]);
    assert_eq!(ask(&flows, 7000), []);
    assert_eq!(ask(&flows, 10_000), [(1, Some(9000), None, Exact)]);
}

/// Whatever speaks of an address passes the filter for it, but the inside half of triplets.
#[test]
fn the_filter_lets_through_what_is_needed() {
    let mut flows: Vec<_> = sent::datagrams().iter().map(|(e, v, _)| vendor(e.name, *v)).collect();
    flows.extend([event(1, 4, 1, 1), span(1, 1, 2, [1, 1], 2), gap(1, 2)]);
    let mut needed = 0;
    let all = [OUTSIDE, PUBLIC, SERVER, INSIDE, Addr::V6(0x2001_0db8 << 96 | 0x42), inside(1)];
    for addr in all {
        let question = Question { addr, port: None, slack_ms: u64::MAX, ..question(0) };
        let filter = filter::Filter::parse(&Search::filter(&question)).unwrap();
        for flow in &flows {
            let answer = ask_with(std::slice::from_ref(flow), question);
            let passes = filter.matches(flow.as_row(), &filter::Context::default());
            let is_needed = answer.matched > 0 || !answer.gaps.is_empty();
            assert!(passes || !is_needed, "{addr}: {flow:?}");
            needed += u32::from(is_needed);
        }
    }
    assert!(needed > 50, "{needed}");
    let filter = filter::Filter::parse(&Search::filter(&question(0))).unwrap();
    let other = flows.iter().filter(|f| !filter.matches(f.as_row(), &filter::Context::default()));
    assert!(other.count() > 20);
}

#[test]
fn any_row_is_survived() {
    let mut random = 7u64;
    for _ in 0..3000 {
        let mut flow = Flow::new();
        for field in Field::ALL {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let value = [0, 1, 2000, u64::MAX, T, random >> 40][(random >> 33) as usize % 6];
            if random >> 61 < 3 {
                flow.set(*field, value);
                flow.set_addr(*field, if value == 0 { PUBLIC } else { Addr::V6(random.into()) });
            }
        }
        let _ = ask_with(&[flow.clone(), flow], question(0));
    }
}

/// Two hosts that send to one server in the same millisecond are no translation of each other.
#[test]
fn connections_of_one_moment_are_no_triplet() {
    let flow = |src: Addr, port: u64, values: &[(Field, u64)]| {
        let mut flow = Flow::new();
        flow.set_addr(Field::SrcAddr, src);
        flow.set_addr(Field::DstAddr, SERVER);
        let times = [(Field::First, T), (Field::Last, T + 10)];
        let ports = [(Field::SrcPort, port), (Field::DstPort, 53), (Field::Proto, 17)];
        with(with(with(flow, &times), &ports), values)
    };
    let evidence = |flows: &[Flow]| {
        let holders = ask_with(flows, question(5)).holders;
        holders.iter().map(|h| (h.inside.addr, h.evidence)).collect::<Vec<_>>()
    };
    let a = |values| flow(inside(1), 5000, values);
    let b = |values| flow(PUBLIC, 2000, values);
    let [few, many, none] = [60, 1228, 0].map(|n| [(Field::Packets, n / 60), (Field::Bytes, n)]);
    assert_eq!(evidence(&[a(&few), b(&few)]), [(inside(1), Evidence::Triplet)]);
    assert_eq!(evidence(&[a(&few), b(&none)]), [(inside(1), Evidence::Triplet)]);
    assert_eq!(evidence(&[a(&few), b(&many)]), [(PUBLIC, Evidence::Direct)]);
    // Flows with both directions are parts of none.
    let both = [few[0], few[1], (Field::OutPackets, 1), (Field::OutBytes, 90)];
    assert_eq!(evidence(&[a(&both), b(&both)]), [(PUBLIC, Evidence::Direct)]);
}
