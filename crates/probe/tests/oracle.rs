//! The cache against a slow and obvious one: a map, looked through at every packet.

mod traffic;

use capture::Direction;
use probe::{Cache, CacheConfig, Ended, Level, Reason, Timeouts, Way};
use record::Addr;
use std::collections::HashMap;
use std::net::IpAddr;
use traffic::{BASE, Pkt, SECOND, observe, pkt};

/// An eighth of a second.
const TICK: u64 = SECOND / 8;

/// What an endpoint is at a level.
type End = (IpAddr, u16, u64);
/// Endpoints in order, protocol, VLAN, and what keeps one-way ICMP apart.
type Key = ([End; 2], u8, u16, Option<(End, (u16, u16))>, Option<u16>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Half {
    packets: u64,
    octets: u64,
    flags: u8,
    tos: u8,
    ttl: Option<(u8, u8)>,
}

#[derive(Clone, Debug)]
struct Flow {
    id: u64,
    initiator: End,
    ends: [End; 2],
    proto: u8,
    is_v6: bool,
    /// By who sends.
    halves: HashMap<End, Half>,
    first: u64,
    last: u64,
    seen: u64,
    begun: u64,
    since: u64,
    reset: bool,
    fins: HashMap<End, bool>,
    paused: bool,
}

struct Oracle {
    config: CacheConfig,
    now: u64,
    flows: HashMap<Key, Flow>,
    begun: u64,
    quiet: u64,
    out: Vec<Said>,
}

/// What both say of a flow that is handed over.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
struct Said {
    id: u64,
    initiator: (IpAddr, u16),
    responder: (IpAddr, u16),
    proto: u8,
    forward: (u64, u64, u8, u8, Option<(u8, u8)>),
    backward: (u64, u64, u8, u8, Option<(u8, u8)>),
    first: u64,
    last: u64,
    reason: &'static str,
}

fn round(config: &CacheConfig, tick: u64) -> u64 {
    let step = u64::from(config.timeouts.interval.max(1)) * 8;
    if config.timeouts.interval > 1 { tick.div_ceil(step) * step } else { tick }
}

impl Oracle {
    fn new(config: CacheConfig) -> Self {
        Self { config, now: 0, flows: HashMap::new(), begun: 0, quiet: 0, out: Vec::new() }
    }

    fn ends(&self, p: &Pkt) -> [End; 2] {
        let is_icmp = matches!(p.proto, 1 | 58);
        let has_ports = self.config.level >= Level::Port && matches!(p.proto, 6 | 17 | 132);
        let (a, b) = if has_ports && !is_icmp { p.ports } else { (0, 0) };
        let (m, n) = if self.config.level >= Level::Ether { p.macs } else { (0, 0) };
        [(p.src, a, m), (p.dst, b, n)]
    }

    /// Who sends. Replies that somebody sends himself are told by what they are.
    fn sender(&self, p: &Pkt) -> End {
        let [src, dst] = self.ends(p);
        if src == dst && is_reply(p) { ANSWERS } else { src }
    }

    fn key(&self, p: &Pkt) -> Key {
        let mut ends = self.ends(p);
        let sender = ends[0];
        ends.sort();
        let level = self.config.level;
        let is_icmp = level >= Level::Port && matches!(p.proto, 1 | 58);
        let is_echo = is_icmp && is_echo(p);
        (
            ends,
            if level >= Level::Proto { p.proto } else { 0 },
            if level >= Level::Vlan { p.vlan.unwrap_or(0) } else { 0 },
            (is_icmp && !is_echo).then_some((sender, p.ports)),
            is_echo.then_some(p.echo_id),
        )
    }

    fn due(&self, flow: &Flow) -> (u64, Reason) {
        let t = &self.config.timeouts;
        let tcp = flow.proto == 6;
        let closed = flow.fins.len() == 2;
        let icmp = flow.proto == if flow.is_v6 { 58 } else { 1 };
        let (seconds, reason) = if tcp && flow.reset && t.tcp_rst > 0 {
            (t.tcp_rst, Reason::TcpRst)
        } else if tcp && closed && t.tcp_fin > 0 {
            (t.tcp_fin, Reason::TcpFin)
        } else if tcp && t.tcp > 0 {
            (t.tcp, Reason::Tcp)
        } else if flow.proto == 17 && t.udp > 0 {
            (t.udp, Reason::Udp)
        } else if icmp && t.icmp > 0 {
            (t.icmp, Reason::Icmp)
        } else {
            (t.general, Reason::General)
        };
        let after = |tick: u64, seconds: u32| tick + u64::from(seconds) * 8 + 1;
        let mut due = (round(&self.config, after(flow.seen, seconds)), reason);
        if t.max_life > 0 {
            let life = round(&self.config, after(flow.begun, t.max_life));
            if life < due.0 {
                due = (life, Reason::MaxLife);
            }
        }
        if t.active > 0 && !flow.paused && after(flow.since, t.active) < due.0 {
            due = (after(flow.since, t.active), Reason::Active);
        }
        due
    }

    fn hand_over(&mut self, flow: &Flow, reason: Reason) {
        if flow.paused {
            self.quiet += 1;
            return;
        }
        let is_same = flow.ends[0] == flow.ends[1];
        let responder = flow.ends.iter().find(|e| **e != flow.initiator).unwrap_or(&flow.ends[0]);
        let half = |end: &End| {
            let h = flow.halves.get(end).cloned().unwrap_or_default();
            (h.packets, h.octets, h.flags, h.tos, h.ttl)
        };
        self.out.push(Said {
            id: flow.id,
            initiator: (flow.initiator.0, flow.initiator.1),
            responder: (responder.0, responder.1),
            proto: flow.proto,
            forward: half(&flow.initiator),
            backward: half(if is_same { &ANSWERS } else { responder }),
            first: flow.first,
            last: flow.last,
            reason: reason.name(),
        });
    }

    fn advance(&mut self, to: u64) {
        self.now = self.now.max(to);
        loop {
            let due = |f: &Flow| self.due(f);
            let next =
                self.flows.iter().map(|(k, f)| (due(f).0, f.id, *k)).min_by_key(|n| (n.0, n.1));
            let Some((tick, _, key)) = next.filter(|n| n.0 <= self.now) else { return };
            let mut flow = self.flows.remove(&key).unwrap();
            let reason = self.due(&flow).1;
            self.hand_over(&flow, reason);
            if reason == Reason::Active {
                flow.paused = true;
                flow.halves.clear();
                self.flows.insert(key, flow);
            }
            assert!(tick > 0);
        }
    }

    fn packet(&mut self, p: &Pkt) {
        let tick = (p.time_ns / TICK).max(self.now);
        self.advance(tick);
        let key = self.key(p);
        let ends = self.ends(p);
        let sender = self.sender(p);
        if !self.flows.contains_key(&key) {
            self.begun += 1;
            let is_answer = p.proto == 6 && p.flags & 0x12 == 0x12 || is_reply(p);
            let flow = Flow {
                id: self.begun,
                initiator: ends[usize::from(is_answer)],
                ends,
                proto: key.1,
                is_v6: p.src.is_ipv6(),
                halves: HashMap::new(),
                first: p.time_ns,
                last: p.time_ns,
                seen: tick,
                begun: tick,
                since: tick,
                reset: false,
                fins: HashMap::new(),
                paused: false,
            };
            self.flows.insert(key, flow);
        }
        let flow = self.flows.get_mut(&key).unwrap();
        if flow.paused {
            (flow.paused, flow.since) = (false, tick);
            (flow.first, flow.last) = (p.time_ns, p.time_ns);
        }
        flow.seen = tick;
        flow.first = flow.first.min(p.time_ns);
        flow.last = flow.last.max(p.time_ns);
        let half = flow.halves.entry(sender).or_default();
        if half.packets == 0 {
            half.tos = p.tos;
        }
        half.packets += 1;
        half.octets += p.octets();
        let (least, most) = half.ttl.unwrap_or((p.ttl, p.ttl));
        half.ttl = Some((least.min(p.ttl), most.max(p.ttl)));
        if flow.proto == 6 {
            half.flags |= p.flags;
            flow.reset |= p.flags & 4 != 0;
            if p.flags & 1 != 0 {
                flow.fins.insert(sender, true);
            }
        }
    }

    fn finish(&mut self) {
        for (_, flow) in std::mem::take(&mut self.flows) {
            self.hand_over(&flow, Reason::Flushed);
        }
        self.out.sort_by(|a, b| a.partial_cmp(b).unwrap());
    }
}

fn is_echo(p: &Pkt) -> bool {
    p.proto == 1 && matches!(p.ports.0, 0 | 8) || p.proto == 58 && matches!(p.ports.0, 128 | 129)
}

fn is_reply(p: &Pkt) -> bool {
    is_echo(p) && matches!(p.ports.0, 0 | 129)
}

/// Stands for who answers himself.
const ANSWERS: End = (IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 1, u64::MAX);

fn said(ended: &Ended) -> Said {
    let ip = |addr: Addr| IpAddr::from(addr);
    let side = |s: &probe::Side| {
        let ttl = (s.packets > 0).then_some((s.min_ttl, s.max_ttl));
        (s.packets, s.octets, s.tcp_flags, s.tos, ttl)
    };
    Said {
        id: ended.id,
        initiator: (ip(ended.initiator), ended.src_port),
        responder: (ip(ended.responder), ended.dst_port),
        proto: ended.proto,
        forward: side(&ended.forward),
        backward: side(&ended.backward),
        first: ended.first_ns,
        last: ended.last_ns,
        reason: ended.reason.name(),
    }
}

/// Numbers that are the same in every run.
struct Lots(u64);

impl Lots {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

fn random_packet(lots: &mut Lots, time_ns: u64) -> Pkt {
    let hosts = if lots.below(4) == 0 {
        ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::1"]
    } else {
        ["10.0.0.1", "10.0.0.2", "192.0.2.9", "255.1.1.1"]
    };
    let (src, dst) = (lots.pick(&hosts), lots.pick(&hosts));
    let proto = lots.pick(&[6, 6, 6, 17, 17, 1, 58, 47, 132]);
    let port = [80, 443, 5000, 5001];
    let ports = match proto {
        1 => lots.pick(&[(8, 0), (0, 0), (3, 1), (3, 3), (11, 0)]),
        58 => lots.pick(&[(128, 0), (129, 0), (1, 4), (135, 0)]),
        _ => (lots.pick(&port), lots.pick(&port)),
    };
    Pkt {
        time_ns,
        echo_id: lots.below(2) as u16,
        flags: if proto == 6 { lots.pick(&[2, 0x12, 0x10, 0x18, 0x11, 0x11, 4, 0x14]) } else { 0 },
        tos: lots.pick(&[0, 0x28, 0xb8]),
        ttl: lots.pick(&[1, 64, 63, 255]),
        vlan: lots.pick(&[None, Some(5), Some(6)]),
        macs: lots.pick(&[(1, 2), (2, 1), (1, 3), (3, 1)]),
        payload: 1 + lots.below(1400) as usize,
        ..pkt(0.0, src, dst, proto, ports)
    }
}

fn random_traffic(lots: &mut Lots, packets: usize) -> Vec<Pkt> {
    let mut now = BASE + lots.below(60 * SECOND);
    let pace = lots.pick(&[SECOND / 100, SECOND, 20 * SECOND]);
    (0..packets)
        .map(|_| {
            now += lots.below(pace);
            if lots.below(200) == 0 {
                now += lots.below(4000) * SECOND;
            }
            // Some come late.
            let late = if lots.below(10) == 0 { lots.below(2 * SECOND) } else { 0 };
            random_packet(lots, now - late)
        })
        .collect()
}

fn random_config(lots: &mut Lots) -> CacheConfig {
    let some = [0, 1, 7, 60, 300, 3600];
    CacheConfig {
        level: lots.pick(&Level::ALL),
        timeouts: Timeouts {
            tcp: lots.pick(&some),
            tcp_rst: lots.pick(&some),
            tcp_fin: lots.pick(&some),
            udp: lots.pick(&some),
            icmp: lots.pick(&some),
            general: lots.pick(&some[1..]),
            max_life: lots.pick(&[0, 30, 900, 604_800]),
            interval: lots.pick(&[0, 1, 2, 60]),
            active: lots.pick(&[0, 0, 5, 60]),
        },
        seed: lots.below(1 << 20),
        ..CacheConfig::default()
    }
}

fn sorted(mut all: Vec<Said>) -> Vec<Said> {
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all
}

#[test]
fn random_traffic_ends_as_in_a_map() {
    let mut reasons = HashMap::new();
    for seed in 0..120 {
        let mut lots = Lots(seed);
        let config = random_config(&mut lots);
        let packets = random_traffic(&mut lots, 600);
        let mut oracle = Oracle::new(config.clone());
        packets.iter().for_each(|p| oracle.packet(p));
        let mut cache = Cache::new(config.clone());
        let batch = 1 + lots.below(80) as usize;
        let mut all = observe(&mut cache, &packets, batch);
        let end = packets.iter().map(|p| p.time_ns).max().unwrap() + lots.below(100) * SECOND;
        oracle.advance(end / TICK);
        cache.expire(end, &mut |ended| all.push(*ended));
        let pending: Vec<_> = cache.flows().collect();
        assert!(pending.is_sorted_by_key(|p| p.due_ns), "{config:?}");
        assert_eq!(pending.len(), oracle.flows.len(), "seed {seed}: {config:?}");
        for p in &pending {
            let flow = oracle.flows.values().find(|f| f.id == p.flow.id).unwrap();
            let (due, reason) = oracle.due(flow);
            assert_eq!((p.due_ns, p.flow.reason), (due * TICK, reason), "{flow:?}");
        }
        let due = pending.first().map(|p| p.due_ns);
        assert!(cache.next_due() <= due && cache.next_due().is_some() == due.is_some());
        let flushed = cache.expire_all(Reason::Flushed, &mut |ended| all.push(*ended));
        oracle.finish();
        let got = sorted(all.iter().map(said).collect());
        for (got, want) in got.iter().zip(&oracle.out) {
            assert_eq!(got, want, "seed {seed}: {config:?}");
        }
        assert_eq!(got.len(), oracle.out.len(), "seed {seed}: {config:?}");
        let stats = cache.stats();
        assert_eq!((stats.begun, stats.quiet), (oracle.begun, oracle.quiet));
        assert_eq!(stats.by_reason(Reason::Flushed), flushed);
        assert_eq!((stats.expired, stats.active), (all.len() as u64, 0));
        assert_eq!(stats.counted(), packets.len() as u64);
        all.iter().for_each(|e| *reasons.entry(e.reason).or_insert(0) += 1);
    }
    assert_eq!(reasons.len(), 9, "all but those of full tables: {reasons:?}");
}

#[test]
fn it_does_not_matter_how_many_packets_come_at_once() {
    for seed in 1000..1020 {
        let mut lots = Lots(seed);
        let mut config = random_config(&mut lots);
        config.max_flows = lots.pick(&[5, 50, 1000]);
        let packets = random_traffic(&mut lots, 1000);
        let runs: Vec<_> = [1, 3, 64, 1000]
            .into_iter()
            .map(|batch| {
                let mut cache = Cache::new(config.clone());
                let mut all = observe(&mut cache, &packets, batch);
                cache.expire_all(Reason::Flushed, &mut |ended| all.push(*ended));
                let mut stats = cache.stats().clone();
                stats.memory = 0;
                (all, stats)
            })
            .collect();
        assert!(runs.windows(2).all(|two| two[0] == two[1]), "{config:?}");
    }
}

#[test]
fn a_full_table_lets_the_most_idle_go() {
    for (seed, max_flows) in [(1, 1), (2, 2), (3, 7), (4, 16)] {
        let mut lots = Lots(seed);
        let timeouts = Timeouts { interval: 0, ..Timeouts::default() };
        let config = CacheConfig { max_flows, timeouts, ..CacheConfig::default() };
        // One conversation a port, one packet a second: what was seen last is a list.
        let packets: Vec<_> = (0..2000)
            .map(|n| {
                pkt(f64::from(n) / 2.0, "10.0.0.1", "10.0.0.2", 17, (lots.below(30) as u16, 9))
            })
            .collect();
        let mut cache = Cache::new(config);
        let mut list: Vec<u16> = Vec::new();
        for p in &packets {
            let gone = observe(&mut cache, std::slice::from_ref(p), 1);
            let known = list.iter().position(|port| *port == p.ports.0);
            let known = known.map(|at| list.remove(at)).is_some();
            let want = (!known && list.len() == max_flows).then(|| list.remove(0));
            list.push(p.ports.0);
            assert_eq!(gone.first().map(|e| e.src_port), want, "{max_flows}");
            assert!(gone.iter().all(|e| e.reason == Reason::MaxFlows) && gone.len() <= 1);
        }
        let stats = cache.stats();
        assert_eq!(stats.by_reason(Reason::MaxFlows), stats.forced);
        assert_eq!((stats.active, stats.forced + stats.active), (max_flows as u64, stats.begun));
    }
}

#[test]
fn plain_flows_are_those_that_fields_are_set_of() {
    use record::{Field, Flow};
    let (mut plain_ones, mut others) = (0, 0);
    for seed in 2000..2020 {
        let mut lots = Lots(seed);
        let mut cache = Cache::new(random_config(&mut lots));
        let mut all = observe(&mut cache, &random_traffic(&mut lots, 1000), 64);
        cache.expire_all(Reason::Flushed, &mut |ended| all.push(*ended));
        for mut ended in all {
            (ended.input, ended.output) = (lots.below(2) as u32, lots.below(3) as u32);
            ended.backward.direction =
                lots.pick(&[Direction::Unknown, Direction::Inbound, Direction::Outbound]);
            ended.forward.inner_vlan = lots.below(3) as u16 / 2;
            for way in [Way::Forward, Way::Backward].into_iter().filter(|way| ended.has(*way)) {
                let (mut got, mut want) = (Flow::new(), Flow::new());
                ended.fill(way, &mut want);
                let macs = [Field::InSrcMac, Field::InDstMac, Field::OutDstMac];
                macs.iter().for_each(|field| want.unset(*field));
                let Some(plain) = ended.plain(way) else {
                    assert!(want.has(Field::CustomerVlanId), "{ended:?}");
                    others += 1;
                    continue;
                };
                plain.fill(&mut got);
                let (got, want) = (got.as_row(), want.as_row());
                assert!(got.shape().fields().eq(want.shape().fields()), "{ended:?}");
                assert!(got.shape().fields().all(|f| got.bytes(f) == want.bytes(f)), "{ended:?}");
                assert_eq!((plain.first_ns, plain.last_ns), (ended.first_ns, ended.last_ns));
                plain_ones += 1;
            }
            assert!(ended.plain(Way::Both).is_none());
        }
    }
    assert!(plain_ones > 1000 && others > 1000, "{plain_ones} {others}");
}
