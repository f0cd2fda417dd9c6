//! The rules of the cache, one by one: levels, timeouts, directions, limits, and the flows that
//! conversations become.

mod traffic;

use capture::{Direction, Packet};
use probe::{
    Cache, CacheConfig, Dedup, Ended, InterfaceIndex, Level, Reason, Sampling, Timeouts, Way,
};
use record::{Addr, Field, Flow, Mac};
use std::net::IpAddr;
use std::time::Duration;
use traffic::{BASE, Pkt, SECOND, observe, pkt, run, tcp, udp};
use wire::packet::{Cause, Depth, frames};

fn config() -> CacheConfig {
    let timeouts = Timeouts { interval: 0, ..Timeouts::default() };
    CacheConfig { timeouts, ..CacheConfig::default() }
}

fn addr(text: &str) -> Addr {
    Addr::from(text.parse::<IpAddr>().unwrap())
}

/// Packets each way, in the order in which conversations began.
fn shape(all: &[Ended]) -> Vec<(u64, u64)> {
    let mut all: Vec<_> = all.iter().collect();
    all.sort_by_key(|e| e.id);
    all.iter().map(|e| (e.forward.packets, e.backward.packets)).collect()
}

#[test]
fn each_level_tells_apart_what_it_should() {
    let (a, b) = ("10.0.0.1", "10.0.0.2");
    let vlan = |id, p: Pkt| Pkt { vlan: Some(id), ..p };
    let macs = |macs, p: Pkt| Pkt { macs, ..p };
    let packets = [
        pkt(0.0, a, b, 6, (1000, 80)),
        pkt(0.1, b, a, 6, (80, 1000)),
        pkt(0.2, a, b, 6, (1001, 80)),
        pkt(0.3, a, b, 17, (1000, 80)),
        vlan(5, pkt(0.4, a, b, 17, (1000, 80))),
        vlan(5, pkt(0.5, b, a, 17, (80, 1000))),
        macs((7, 8), vlan(5, pkt(0.6, a, b, 17, (1000, 80)))),
        macs((8, 7), vlan(5, pkt(0.7, b, a, 17, (80, 1000)))),
        Pkt { tos: 0x28, ..pkt(0.8, a, b, 6, (1000, 80)) },
    ];
    for (level, want) in [
        (Level::Ip, vec![(6, 3)]),
        (Level::Proto, vec![(3, 1), (3, 2)]),
        (Level::Port, vec![(2, 1), (1, 0), (3, 2)]),
        (Level::Full, vec![(2, 1), (1, 0), (3, 2)]),
        (Level::Vlan, vec![(2, 1), (1, 0), (1, 0), (2, 2)]),
        (Level::Ether, vec![(1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 1), (1, 0)]),
    ] {
        let all = run(&CacheConfig { level, ..config() }, &packets);
        if level == Level::Ether {
            // Packets of a test have the same addresses in both directions unless told otherwise.
            assert!(shape(&all).contains(&(1, 1)), "{level:?}");
            assert_eq!(all.len(), 7, "{level:?} {want:?}");
            continue;
        }
        assert_eq!(shape(&all), want, "{level:?}");
        assert_eq!(Level::from_name(level.name()), Some(level));
    }
    assert_eq!(Level::from_name("none"), None);
}

/// When a conversation ends after these packets, in seconds, and why.
fn end(timeouts: Timeouts, packets: &[Pkt]) -> (f64, Reason) {
    let mut cache = Cache::new(CacheConfig { timeouts, ..config() });
    assert!(observe(&mut cache, packets, 64).is_empty());
    let due = cache.flows().next().unwrap();
    assert_eq!(cache.flows().count(), 1);
    let mut all = Vec::new();
    cache.expire(due.due_ns - SECOND / 8, &mut |e| all.push(*e));
    assert!(all.is_empty() && cache.next_due().unwrap() <= due.due_ns);
    cache.expire(due.due_ns, &mut |e| all.push(*e));
    assert_eq!((all.len(), all[0].reason, cache.next_due()), (1, due.flow.reason, None));
    ((due.due_ns - BASE) as f64 / 1e9, due.flow.reason)
}

#[test]
fn each_timeout_ends_what_it_is_for() {
    let t = Timeouts { interval: 0, ..Timeouts::default() };
    let one = |proto| pkt(10.0, "10.0.0.1", "10.0.0.2", proto, (8, 0));
    let v6 = |proto| pkt(10.0, "2001:db8::1", "2001:db8::2", proto, (128, 0));
    let fin = |time, up| tcp(time, up, 0x11);
    // A tick is an eighth of a second: the end is at the first one after the time is over.
    for (timeouts, packets, want) in [
        (t, vec![tcp(10.0, true, 2)], (3610.125, Reason::Tcp)),
        (t, vec![tcp(5.0, true, 2), tcp(10.0, false, 0x14)], (130.125, Reason::TcpRst)),
        (t, vec![fin(5.0, true), tcp(10.0, false, 0x10)], (3610.125, Reason::Tcp)),
        (t, vec![fin(5.0, true), fin(10.0, true)], (3610.125, Reason::Tcp)),
        (t, vec![fin(5.0, true), fin(10.0, false)], (310.125, Reason::TcpFin)),
        (t, vec![fin(5.0, true), fin(6.0, false), tcp(10.0, true, 4)], (130.125, Reason::TcpRst)),
        (t, vec![udp(1.0, true), udp(10.0, false)], (310.125, Reason::Udp)),
        (t, vec![one(1)], (310.125, Reason::Icmp)),
        (t, vec![v6(58)], (310.125, Reason::Icmp)),
        (t, vec![one(58)], (3610.125, Reason::General)),
        (t, vec![one(47)], (3610.125, Reason::General)),
        (
            Timeouts { tcp: 0, general: 60, ..t },
            vec![tcp(10.0, true, 2)],
            (70.125, Reason::General),
        ),
        (
            Timeouts { max_life: 20, ..t },
            vec![tcp(1.0, true, 2), tcp(10.0, true, 2)],
            (21.125, Reason::MaxLife),
        ),
        // softflowd's rounding: expiry moments are multiples of `expint`.
        (Timeouts { interval: 60, ..t }, vec![udp(10.0, true)], (360.0, Reason::Udp)),
        (Timeouts { interval: 1, ..t }, vec![udp(10.0, true)], (310.125, Reason::Udp)),
        (Timeouts { interval: 2, ..t }, vec![udp(10.5, true)], (312.0, Reason::Udp)),
    ] {
        assert_eq!(end(timeouts, &packets), want, "{timeouts:?} {packets:?}");
    }
}

#[test]
fn a_packet_after_the_end_begins_anew() {
    let mut cache = Cache::new(config());
    let all = observe(&mut cache, &[udp(0.0, true), udp(299.0, true), udp(600.0, false)], 64);
    assert_eq!(shape(&all), [(2, 0)]);
    assert_eq!((all[0].first_ns, all[0].last_ns), (BASE, BASE + 299 * SECOND));
    // Who sends first after that is the initiator.
    let last = cache.flows().next().unwrap().flow;
    assert_eq!((last.initiator, last.src_port, last.id), (addr("10.0.0.3"), 53, 2));
}

#[test]
fn the_active_timeout_reports_and_counts_anew() {
    let timeouts = Timeouts { active: 60, interval: 0, ..Timeouts::default() };
    let config = CacheConfig { timeouts, ..config() };
    let mut cache = Cache::new(config);
    let packets = [
        tcp(0.0, true, 2),
        tcp(1.0, false, 0x12),
        tcp(59.0, true, 0x11),
        tcp(100.0, true, 0x10),
        tcp(101.0, true, 0x18),
        tcp(170.0, false, 0x11),
        // Closed by both sides now: idle after 300 seconds, with a report before.
    ];
    let mut all = observe(&mut cache, &packets, 64);
    cache.expire(BASE + 10_000 * SECOND, &mut |e| all.push(*e));
    let seconds = |ns: u64| (ns - BASE) / SECOND;
    let got: Vec<_> = all
        .iter()
        .map(|e| {
            let (up, down) = (e.forward, e.backward);
            let flags = (up.tcp_flags, down.tcp_flags);
            (up.packets, down.packets, flags, seconds(e.first_ns), seconds(e.last_ns), e.reason)
        })
        .collect();
    assert_eq!(
        got,
        [
            (2, 1, (0x13, 0x12), 0, 59, Reason::Active),
            (2, 0, (0x18, 0), 100, 101, Reason::Active),
            (0, 1, (0, 0x11), 170, 170, Reason::Active),
        ]
    );
    assert!(all.iter().all(|e| e.id == 1 && e.reason.end_reason() == 2));
    let stats = cache.stats();
    assert_eq!((stats.active, stats.quiet, stats.begun), (0, 1, 1));
    assert_eq!(stats.by_reason(Reason::Active), 3);
}

#[test]
fn the_initiator_is_who_asked() {
    let (low, high) = ("10.0.0.1", "10.0.0.9");
    let icmp = |time, src, dst, kind, id| Pkt { echo_id: id, ..pkt(time, src, dst, 1, (kind, 0)) };
    for (name, packets, initiator, want) in [
        ("SYN from the higher", vec![tcp(0.0, true, 2), tcp(0.1, false, 0x12)], high, (1, 1)),
        ("SYN and ACK first", vec![tcp(0.0, false, 0x12), tcp(0.1, true, 0x10)], high, (1, 1)),
        ("in the middle", vec![tcp(0.0, false, 0x10), tcp(0.1, true, 0x10)], low, (1, 1)),
        (
            "echo",
            vec![
                icmp(0.0, high, low, 8, 1),
                icmp(0.1, low, high, 0, 1),
                icmp(1.0, high, low, 8, 1),
            ],
            high,
            (2, 1),
        ),
        ("reply first", vec![icmp(0.0, low, high, 0, 1), icmp(0.1, high, low, 8, 1)], high, (1, 1)),
        ("to itself", vec![icmp(0.0, low, low, 8, 1), icmp(0.1, low, low, 0, 1)], low, (1, 1)),
    ] {
        let all = run(&config(), &packets);
        assert_eq!(all.len(), 1, "{name}");
        assert_eq!(all[0].initiator, addr(initiator), "{name}");
        assert_eq!((all[0].forward.packets, all[0].backward.packets), want, "{name}");
        assert!(packets[0].proto != 1 || all[0].forward.icmp == Some((8, 0)), "{name}");
        assert!(packets[0].proto != 1 || all[0].backward.icmp == Some((0, 0)), "{name}");
    }
    // Two that ping the same host at once, and errors, which nobody answers.
    let packets = [
        icmp(0.0, high, low, 8, 1),
        icmp(0.1, high, low, 8, 2),
        icmp(0.2, low, high, 0, 2),
        icmp(0.3, low, high, 3, 0),
        icmp(0.4, high, low, 3, 0),
        icmp(0.5, low, high, 3, 0),
    ];
    assert_eq!(shape(&run(&config(), &packets)), [(1, 0), (1, 1), (2, 0), (1, 0)]);
    let all = run(&config(), &packets);
    assert!(all.iter().filter(|e| e.forward.icmp == Some((3, 0))).count() == 2);
}

#[test]
fn fragments_have_the_ports_of_the_first() {
    for (a, b) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
        let part = |time, id, offset, more| Pkt {
            fragment: Some((id, offset, more)),
            payload: 800,
            ..pkt(time, a, b, 17, (5000, 53))
        };
        let mut cache = Cache::new(config());
        let packets = [
            part(0.0, 1, 0, true),
            part(0.1, 1, 808, true),
            part(0.2, 1, 1608, false),
            // Out of order: the middle comes first, where no ports are known.
            part(0.3, 2, 808, true),
            part(0.4, 2, 0, true),
            part(0.5, 2, 1608, false),
            // Too late for the first one.
            part(40.0, 1, 2408, false),
            pkt(41.0, a, b, 17, (5000, 53)),
        ];
        observe(&mut cache, &packets, 64);
        let all: Vec<_> = cache.flows().map(|p| p.flow).collect();
        assert_eq!(shape(&all), [(6, 0), (2, 0)], "{a}");
        let ports = all.iter().map(|e| (e.src_port, e.dst_port));
        assert!(ports.eq([(0, 0), (5000, 53)]), "{a}: in order of their end");
        let octets: u64 = packets.iter().map(Pkt::octets).sum();
        assert_eq!(all.iter().map(|e| e.forward.octets).sum::<u64>(), octets, "{a}");
        let stats = cache.stats();
        assert_eq!((stats.fragments, stats.fragments_without_ports), (7, 2), "{a}");
        assert!(all.iter().all(|e| e.forward.fragment_flags == 0x20), "{a}");
    }
}

#[test]
fn packets_that_were_cut_count_with_their_length_and_at_any_octet() {
    let whole = Pkt { payload: 1000, vlan: Some(9), ..tcp(0.0, true, 0x18) };
    let frame = whole.frame();
    for len in 0..=frame.len().min(100) {
        let mut cache = Cache::new(config());
        let packet = Packet {
            time_ns: None,
            link: 1,
            wire_len: frame.len() as u32,
            interface: 0,
            direction: Direction::Unknown,
            bytes: &frame[..len],
        };
        cache.observe(&[packet, packet], &mut |_| {});
        let stats = cache.stats();
        assert_eq!((stats.processed, stats.counted() + stats.ignored()), (2, 2), "{len}");
        let flow = cache.flows().next().map(|p| p.flow);
        let header = 18 + 20;
        assert_eq!(flow.is_some(), len >= header, "{len}");
        assert_eq!(stats.too_short, if len < header { 2 } else { 0 }, "{len}");
        let Some(flow) = flow else { continue };
        assert_eq!((flow.forward.packets, flow.forward.octets), (2, 2 * whole.octets()), "{len}");
        assert_eq!(flow.src_port, if len >= header + 4 { 40000 } else { 0 }, "{len}");
        assert_eq!(flow.forward.tcp_flags, if len > header + 13 { 0x18 } else { 0 }, "{len}");
        assert_eq!(stats.stops[Cause::Truncated as usize], if len < header + 20 { 2 } else { 0 });
    }
}

#[test]
fn no_frame_panics_at_any_level_or_depth() {
    for level in Level::ALL {
        for depth in [Depth::Outer, Depth::Innermost] {
            let dedup = Some(Dedup::default());
            let mut cache = Cache::new(CacheConfig { level, depth, dedup, ..config() });
            let mut given = 0;
            for (_, link, frame) in frames::samples() {
                let link = (0..300).find(|n| wire::packet::LinkType::from_dlt(*n) == link);
                for len in 0..=frame.len() {
                    let packet = Packet {
                        time_ns: Some(BASE),
                        link: link.unwrap_or(0),
                        wire_len: frame.len() as u32,
                        interface: 3,
                        direction: Direction::Inbound,
                        bytes: &frame[..len],
                    };
                    cache.observe(&[packet], &mut |_| {});
                    given += 1;
                }
            }
            let stats = cache.stats();
            assert_eq!(stats.processed, given);
            assert!(stats.counted() > 100 && stats.duplicates > 0 && stats.ignored() > 100);
            let counted: u64 =
                cache.flows().map(|p| p.flow.forward.packets + p.flow.backward.packets).sum();
            assert_eq!(counted, stats.counted());
        }
    }
}

#[test]
fn tunnels_are_followed_on_request() {
    let inner = frames::inner_ipv4(17, &frames::udp(53, b"question"));
    let frame = frames::ethernet(0x800, &frames::ipv4(47, &frames::gre(0x800, &inner)));
    for (depth, proto) in [(Depth::Outer, 47), (Depth::Innermost, 17)] {
        let mut cache = Cache::new(CacheConfig { depth, ..config() });
        let packet = Packet {
            time_ns: Some(BASE),
            link: 1,
            wire_len: frame.len() as u32,
            interface: 0,
            direction: Direction::Unknown,
            bytes: &frame,
        };
        cache.observe(&[packet], &mut |_| {});
        let ended = cache.flows().next().unwrap().flow;
        assert_eq!(ended.proto, proto);
        let mut flow = Flow::new();
        for (way, src) in [(Way::Forward, "192.0.2.1"), (Way::Backward, "198.51.100.2")] {
            ended.fill(way, &mut flow);
            let want = (proto == 17).then(|| addr(src));
            assert_eq!(flow.as_row().addr(Field::TunSrcAddr), want);
            assert_eq!(flow.as_row().u64(Field::TunProto), want.map(|_| 47));
        }
    }
}

#[test]
fn copies_are_passed_over() {
    let packet = |time, ttl, payload| Pkt { ttl, payload, ..udp(time, true) };
    let other_link = |p: Pkt| Pkt { vlan: Some(4), macs: (5, 6), interface: 2, ..p };
    let config = CacheConfig {
        dedup: Some(Dedup { packets: 4, within: Duration::from_millis(50) }),
        ..config()
    };
    let mut cache = Cache::new(config);
    let packets = [
        packet(0.0, 64, 100),
        other_link(packet(0.001, 63, 100)), // routed: a copy
        packet(0.002, 64, 101),             // another length
        packet(0.003, 62, 100),             // still a copy
        packet(0.2, 64, 100),               // too late for one
        packet(0.21, 64, 1),
        packet(0.21, 64, 2),
        packet(0.21, 64, 3),
        packet(0.21, 64, 100), // four packets later: a copy
        packet(0.21, 64, 4),
        packet(0.21, 64, 100), // five: none any more
    ];
    observe(&mut cache, &packets[..9], 3);
    assert_eq!((cache.stats().processed, cache.stats().duplicates), (9, 3));
    observe(&mut cache, &packets[9..], 3);
    let stats = cache.stats();
    assert_eq!((stats.processed, stats.duplicates, stats.counted()), (11, 3, 8));
    assert_eq!(cache.flows().next().map(|p| p.flow.forward.packets), Some(8));
}

#[test]
fn sampled_packets_alone_are_counted() {
    let packets: Vec<_> = (0..1000).map(|n| udp(f64::from(n) / 1e3, true)).collect();
    for sampling in [Sampling::Systematic(10), Sampling::Random(10)] {
        let mut cache = Cache::new(CacheConfig { sampling, ..config() });
        observe(&mut cache, &packets, 7);
        let stats = cache.stats();
        assert_eq!((stats.processed, stats.non_sampled), (100, 900));
        assert_eq!(cache.flows().next().map(|p| p.flow.forward.packets), Some(100));
    }
}

#[test]
fn ipv6_may_be_left_out() {
    let packets = [pkt(0.0, "2001:db8::1", "::1", 17, (1, 2)), udp(0.0, true)];
    let mut cache = Cache::new(CacheConfig { ipv6: false, ..config() });
    observe(&mut cache, &packets, 2);
    assert_eq!((cache.stats().non_ip, cache.stats().active), (1, 1));
}

#[test]
fn counters_go_on_beyond_32_bits_or_end_where_they_must() {
    // An IPv6 header with a length of 0 stands for what was on the wire.
    let mut frame = pkt(0.0, "2001:db8::1", "2001:db8::2", 17, (1, 2)).frame();
    (frame[18], frame[19]) = (0, 0);
    let packet = |wire_len| Packet {
        time_ns: Some(BASE),
        link: 1,
        wire_len,
        interface: 0,
        direction: Direction::Unknown,
        bytes: &frame,
    };
    for sizes in
        [vec![1 << 30; 20], vec![u32::MAX, u32::MAX, 100, u32::MAX, 0x8000_000e, 0x8000_000d]]
    {
        let mut cache = Cache::new(config());
        sizes.iter().for_each(|len| cache.observe(&[packet(*len)], &mut |_| {}));
        let flow = cache.flows().next().unwrap().flow;
        let want: u64 = sizes.iter().map(|len| u64::from(*len) - 14).sum();
        assert_eq!((flow.forward.packets, flow.forward.octets), (sizes.len() as u64, want));

        let mut cache = Cache::new(CacheConfig { over_2_gib: true, ..config() });
        let mut all = Vec::new();
        sizes.iter().for_each(|len| cache.observe(&[packet(*len)], &mut |e| all.push(*e)));
        assert!(!all.is_empty());
        assert!(all.iter().all(|e| e.reason == Reason::Over2Gib && e.forward.octets >= 1 << 31));
        assert!(all.iter().all(|e| e.reason.end_reason() == 5));
        all.extend(cache.flows().map(|p| p.flow));
        assert_eq!(all.iter().map(|e| e.forward.octets).sum::<u64>(), want);
    }
}

/// Random addresses, and one conversation that goes on.
#[test]
fn a_flood_stays_within_its_memory_and_the_busy_survive() {
    let most = 1 << 20;
    let config = CacheConfig { max_memory: Some(most), ..config() };
    let mut cache = Cache::new(config);
    let mut lot = 7u32;
    let (mut ended, mut packets) = (0u64, 0u64);
    for round in 0..400 {
        let mut batch: Vec<_> = (0..100)
            .map(|_| {
                lot = lot.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let src = if lot & 0x300 == 0 {
                    format!("2001:db8::{:x}:{:x}", lot >> 16, lot & 0xffff)
                } else {
                    std::net::Ipv4Addr::from_bits(lot).to_string()
                };
                let dst = if src.contains(':') { "2001:db8::1" } else { "10.0.0.1" };
                pkt(f64::from(round), &src, dst, 6, (80, 80))
            })
            .collect();
        batch.push(udp(f64::from(round), true));
        packets += batch.len() as u64;
        ended += observe(&mut cache, &batch, 64).len() as u64;
        assert!(cache.stats().memory < most + (300 << 10), "{} octets", cache.stats().memory);
    }
    let stats = cache.stats();
    assert!(stats.active > 4000, "{} conversations", stats.active);
    assert_eq!((stats.forced, stats.by_reason(Reason::MaxFlows)), (ended, ended));
    assert_eq!(stats.begun, stats.forced + stats.active);
    let busy = cache.flows().find(|p| p.flow.src_port == 5000).unwrap();
    assert_eq!((busy.flow.id, busy.flow.forward.packets), (101, 400), "it was never let go");
    let all: u64 = cache.flows().map(|p| p.flow.forward.packets).sum();
    assert_eq!(all + ended, packets);
    assert_eq!(cache.delete_all(), cache.stats().deleted);
    assert_eq!((cache.stats().active, cache.next_due(), cache.flows().count()), (0, None, 0));
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut cache = Cache::new(config());
    let hour = 3600.0;
    let packets = [udp(2.0 * hour, true), udp(hour, true), udp(hour + 1.0, false)];
    assert!(observe(&mut cache, &packets, 64).is_empty());
    let flow = cache.flows().next().unwrap();
    assert_eq!((flow.flow.forward.packets, flow.flow.backward.packets), (2, 1));
    assert_eq!(flow.flow.first_ns, BASE + 7200 * SECOND, "it does not last an hour");
    assert_eq!((flow.due_ns - BASE) / SECOND, 3901, "by the clock as it is now");
    let all = observe(&mut cache, &[tcp(hour + 310.0, true, 2)], 64);
    assert_eq!((all.len(), cache.stats().clock_steps), (1, 1));
}

#[test]
fn flows_of_each_way() {
    let up =
        Pkt { tos: 0x28, ttl: 60, vlan: Some(7), payload: 100, interface: 3, ..tcp(1.0, true, 2) };
    let down = Pkt { tos: 0xb8, ttl: 50, macs: (9, 8), interface: 4, ..tcp(2.5, false, 0x12) };
    let config = CacheConfig { interfaces: InterfaceIndex::OfPacket, ..config() };
    let all = run(&config, &[up.clone(), down.clone()]);
    let number = |flow: &Flow, field| flow.as_row().u64(field);
    let mut flow = Flow::new();
    for (way, p, answer, vlan) in [(Way::Forward, &up, 0, Some(7)), (Way::Backward, &down, 1, None)]
    {
        all[0].fill(way, &mut flow);
        let row = flow.as_row();
        assert_eq!(row.addr(Field::SrcAddr), Some(Addr::from(p.src)));
        assert_eq!(row.addr(Field::DstAddr), Some(Addr::from(p.dst)));
        for (field, want) in [
            (Field::First, Some(BASE / 1_000_000 + 1000)),
            (Field::Last, Some(BASE / 1_000_000 + 2500)),
            (Field::SrcPort, Some(p.ports.0.into())),
            (Field::DstPort, Some(p.ports.1.into())),
            (Field::Proto, Some(6)),
            (Field::Packets, Some(1)),
            (Field::Bytes, Some(p.octets())),
            (Field::TcpFlags, Some(p.flags.into())),
            (Field::SrcTos, Some(p.tos.into())),
            (Field::MinTtl, Some(p.ttl.into())),
            (Field::MaxTtl, Some(p.ttl.into())),
            (Field::InSrcMac, Some(p.macs.0)),
            (Field::InDstMac, Some(p.macs.1)),
            (Field::OutDstMac, Some(p.macs.1)),
            (Field::SrcVlan, vlan),
            (Field::Input, Some(3 + answer)),
            (Field::Output, Some(4 - answer)),
            (Field::EndReason, Some(4)),
            (Field::FragmentFlags, Some(0)),
            (Field::OutBytes, None),
            (Field::BiflowDir, None),
            (Field::DstTos, None),
            (Field::Direction, None),
            (Field::Mpls1, None),
        ] {
            assert_eq!(row.u64(field), want, "{way:?} {field:?}");
        }
        assert!(all[0].has(way));
    }
    all[0].fill(Way::Both, &mut flow);
    for (field, want) in [
        (Field::Packets, 1),
        (Field::Bytes, up.octets()),
        (Field::OutPackets, 1),
        (Field::OutBytes, down.octets()),
        (Field::TcpFlags, 2),
        (Field::SrcTos, 0x28),
        (Field::DstTos, 0xb8),
        (Field::BiflowDir, 1),
        (Field::SrcPort, 40000),
    ] {
        assert_eq!(number(&flow, field), Some(want), "both: {field:?}");
    }
    assert_eq!(all[0].forward.src_mac, Some(Mac(0x02_00_00_00_00_01)));
}

#[test]
fn icmp_and_protocols_without_ports_as_flows() {
    let mut flow = Flow::new();
    for (proto, ports, way, want) in [
        (1, (8, 0), Way::Forward, Some((0, 8 << 8))),
        (1, (8, 0), Way::Backward, Some((0, 0))),
        (1, (3, 1), Way::Forward, Some((0, 3 << 8 | 1))),
        (47, (3, 1), Way::Forward, None),
        (132, (3, 1), Way::Forward, Some((3, 1))),
        (132, (3, 1), Way::Backward, Some((1, 3))),
    ] {
        let all = run(&config(), &[pkt(0.0, "10.0.0.9", "10.0.0.1", proto, ports)]);
        all[0].fill(way, &mut flow);
        let row = flow.as_row();
        let got = row.u64(Field::SrcPort).zip(row.u64(Field::DstPort));
        assert_eq!(got, want, "{proto} {ports:?} {way:?}");
        assert!(!row.has(Field::TcpFlags) && !all[0].has(Way::Backward) && all[0].has(Way::Both));
    }
}

#[test]
fn labels_and_stacked_tags_are_kept_for_each_direction() {
    let packet = frames::ipv4(17, &frames::udp(53, b"q"));
    let labelled = frames::ethernet(0x8847, &frames::mpls(&[17, 18], &packet));
    let tagged = frames::vlan(0x6064, 0x8100, &frames::vlan(200, 0x800, &packet));
    let stacked = frames::ethernet(0x88a8, &tagged);
    for (frame, fields) in [
        (&labelled, vec![(Field::Mpls1, 17 << 4), (Field::Mpls2, 18 << 4 | 1)]),
        (&stacked, vec![(Field::SrcVlan, 100), (Field::VlanId, 100), (Field::CustomerVlanId, 200)]),
    ] {
        let mut cache = Cache::new(config());
        let packet = Packet {
            time_ns: Some(BASE),
            link: 1,
            wire_len: frame.len() as u32,
            interface: 0,
            direction: Direction::Outbound,
            bytes: frame,
        };
        cache.observe(&[packet], &mut |_| {});
        let mut flow = Flow::new();
        cache.flows().next().unwrap().flow.fill(Way::Forward, &mut flow);
        for (field, want) in fields {
            assert_eq!(flow.as_row().u64(field), Some(want), "{field:?}");
        }
        assert_eq!(flow.as_row().u64(Field::Direction), Some(1), "egress");
        assert_eq!(flow.as_row().u64(Field::Bytes), Some(29));
    }
}

#[test]
fn statistics_are_those_of_what_was_handed_over() {
    let mut cache = Cache::new(config());
    let packets = [udp(0.0, true), udp(2.0, false), tcp(0.0, true, 2), tcp(1.0, true, 0x10)];
    let packets = packets.map(|p| Pkt { payload: 72, ..p });
    let mut all = observe(&mut cache, &packets, 64);
    assert_eq!(cache.expire_all(Reason::Flushed, &mut |e| all.push(*e)), 2);
    let stats = cache.stats();
    assert_eq!((stats.expired, stats.begun, stats.most_active, stats.active), (2, 2, 2, 0));
    assert_eq!((stats.flow_octets.min, stats.flow_octets.max), (200, 224));
    assert_eq!(stats.flow_octets.average(), 212.0);
    assert_eq!((stats.flow_packets.min, stats.flow_packets.max), (2, 2));
    assert_eq!(
        (stats.flow_ms.min, stats.flow_ms.max, stats.flow_ms.average()),
        (1000, 2000, 1500.0)
    );
    let udp = stats.protocols[17];
    assert_eq!((udp.octets, udp.packets, udp.life_ms.count, udp.life_ms.max), (200, 2, 1, 2000));
    assert_eq!(stats.octets, 424);
    let mut twice = stats.clone();
    twice.join(stats);
    assert_eq!((twice.expired, twice.octets, twice.protocols[6].packets), (4, 848, 4));
    assert_eq!((twice.flow_octets.min, twice.flow_octets.count), (200, 4));
    assert_eq!(twice.reasons[Reason::Flushed as usize], 4);
}
