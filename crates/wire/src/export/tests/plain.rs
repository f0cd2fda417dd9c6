//! Flows of probes by the short way, and by the way of all others.

use super::*;

/// Numbers by chance, the same each time.
struct Rng(u64);

impl Rng {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A flow of any class, as it comes.
fn random(rng: &mut Rng) -> PlainFlow {
    let is_v6 = rng.below(3) == 0;
    let addr = |n: u64| match is_v6 {
        false => Addr::V4(n as u32),
        true => Addr::V6(u128::from(n) << 64 | u128::from(n.rotate_left(17))),
    };
    let proto = [1, 6, 6, 6, 17, 17, 47, 58, 132, 0][rng.below(10) as usize];
    let some = |rng: &mut Rng, of: u64| if rng.below(4) == 0 { rng.next() % of } else { 0 };
    let counter = |rng: &mut Rng| rng.next() >> [0, 30, 32, 33, 50, 60][rng.below(6) as usize];
    let last_ms = NOW - rng.below(100_000);
    PlainFlow {
        src: addr(rng.next()),
        dst: addr(rng.next()),
        first_ns: (last_ms - rng.below(50_000)) * 1_000_000 + rng.below(1_000_000),
        last_ns: last_ms * 1_000_000 + rng.below(1_000_000),
        packets: counter(rng).max(1),
        bytes: counter(rng),
        input: some(rng, 1 << 32) as u32,
        output: some(rng, 1 << 32) as u32,
        ports: (rng.below(8) != 0 && proto != 47).then(|| (rng.next() as u16, rng.next() as u16)),
        vlan: some(rng, 4096) as u16,
        proto,
        tcp_flags: rng.next() as u8,
        tos: rng.next() as u8,
        min_ttl: rng.next() as u8,
        max_ttl: rng.next() as u8,
        fragment_flags: rng.next() as u8,
        end_reason: rng.below(6) as u8,
        direction: [None, Some(0), Some(1)][rng.below(3) as usize],
    }
}

/// What arrives of these flows, in an order of its own, by either way, and what was counted.
fn both(config: &ExportConfig, flows: &[PlainFlow]) -> [(Vec<String>, ExportCounts, Sent); 2] {
    [true, false].map(|is_short| {
        let (mut encoder, mut sent) = (Encoder::new(config.clone()), Sent::default());
        let mut general = Flow::new();
        for (n, flow) in flows.iter().enumerate() {
            let now = NOW + n as u64 / 8;
            if is_short {
                encoder.plain(now, flow, &mut sent);
            } else {
                flow.fill(&mut general);
                let times = Some((flow.first_ns, flow.last_ns));
                encoder.flow(now, general.as_row(), times, &mut sent);
            }
        }
        encoder.flush(NOW + flows.len() as u64, &mut sent);
        let (_, got) = sent.decode();
        let show = |flow: &Flow| {
            let row = flow.as_row();
            let of_flow = |f: &Field| !matches!(f, Field::Received | Field::ExporterId);
            let fields = row.shape().fields().filter(of_flow);
            fields.map(|f| format!("{f:?} {:?} ", row.bytes(f))).collect::<String>()
        };
        let mut shown: Vec<String> = got.flows.iter().map(show).collect();
        shown.sort_unstable();
        (shown, *encoder.counts(), sent)
    })
}

#[test]
fn both_ways_say_the_same() {
    let mut rng = Rng::new(7);
    let flows: Vec<PlainFlow> = (0..3000).map(|_| random(&mut rng)).collect();
    let formats =
        [TimeFormat::UptimeMs, TimeFormat::Seconds, TimeFormat::Millis, TimeFormat::Nanos];
    for version in [Version::V1, Version::V5, Version::V9, Version::Ipfix] {
        for (n, time) in formats.into_iter().enumerate() {
            let config = ExportConfig {
                time,
                mtu: [1400, 508, 9000, 1471][n],
                max_delay_ms: [1000, 10, 250, 0][n],
                max_templates: [128, 128, 40, 3][n],
                ..ExportConfig::new(version)
            };
            let [(short, c, sent), (long, d, _)] = both(&config, &flows);
            let name = format!("{version} {time:?}");
            assert_eq!(short.len(), long.len(), "{name}");
            assert!(short == long, "{name}");
            let seen = |c: ExportCounts| {
                (c.rows, c.records, c.rows_left_out(), c.fields_left_out, c.wide_values)
            };
            assert_eq!(seen(c), seen(d), "{name}");
            assert!(sent.0.iter().all(|(bytes, _)| bytes.len() <= config.mtu), "{name}");
            assert_eq!(c.datagrams, sent.0.len() as u64);
            assert_eq!(c.octets, sent.0.iter().map(|(bytes, _)| bytes.len() as u64).sum::<u64>());
        }
    }
}

#[test]
fn flows_without_a_place_are_counted_once() {
    let mut rng = Rng::new(3);
    let mut flow = random(&mut rng);
    flow.last_ns = (NOW - 40 * 24 * 60 * 60 * 1000) * 1_000_000;
    flow.first_ns = flow.last_ns;
    let config = ExportConfig { time: TimeFormat::UptimeMs, ..ExportConfig::new(Version::V9) };
    let [(short, c, _), (_, d, _)] = both(&config, &[flow; 5]);
    assert_eq!((short.len(), c.rows_undated, d.rows_undated), (0, 5, 5));
    let mixed = PlainFlow { src: SRC, dst: DST6, ..random(&mut rng) };
    let [(short, c, _), (long, ..)] = both(&ExportConfig::new(Version::V9), &[mixed; 5]);
    assert_eq!((short.len(), c.records), (5, 5));
    assert!(short == long);
}

#[test]
fn full_datagrams_of_a_form_have_one_length() {
    let mut rng = Rng::new(9);
    let base = random(&mut rng);
    let (v4, v6) = (
        PlainFlow { src: SRC, dst: DST, proto: 17, packets: 1, bytes: 50, ..base },
        PlainFlow { src: SRC6, dst: DST6, proto: 17, packets: 1, bytes: 50, ..base },
    );
    let config = ExportConfig { template_every_packets: 20, ..ExportConfig::new(Version::V9) };
    let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
    (0..40_000).for_each(|n| encoder.plain(NOW, if n % 7 == 0 { &v6 } else { &v4 }, &mut sent));
    encoder.flush(NOW, &mut sent);
    let (_, got) = sent.decode();
    assert_eq!(got.flows.len(), 40_000);
    let lens: Vec<usize> = sent.0.iter().map(|(bytes, _)| bytes.len()).collect();
    let changes = lens.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes * 4 < lens.len(), "{changes} of {}: {lens:?}", lens.len());
    // Templates come as often as they are asked for.
    let has: Vec<usize> = (0..sent.0.len()).filter(|n| sent.0[*n].1.has_templates()).collect();
    assert_eq!(has[0], 0);
    assert!(has.windows(2).all(|pair| pair[1] - pair[0] <= 21), "{has:?}");
}

#[test]
fn what_waits_goes_when_it_is_due() {
    let mut rng = Rng::new(5);
    let flows: Vec<PlainFlow> = (0..9).map(|_| random(&mut rng)).collect();
    let config = ExportConfig { max_delay_ms: 250, ..ExportConfig::new(Version::Ipfix) };
    let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
    flows.iter().for_each(|flow| encoder.plain(NOW, flow, &mut sent));
    assert_eq!(encoder.next_due(), Some(NOW + 250));
    encoder.tick(NOW + 249, &mut sent);
    let is_data = |sent: &Sent| sent.0.iter().map(|(_, what)| what.records).sum::<u32>();
    assert_eq!(is_data(&sent), 0);
    encoder.tick(NOW + 250, &mut sent);
    assert_eq!((is_data(&sent), sent.decode().1.flows.len()), (9, 9));
    // After a pause templates come with the first flow.
    let before = sent.0.len();
    encoder.plain(NOW + 20_000, &flows[0], &mut sent);
    encoder.flush(NOW + 20_000, &mut sent);
    assert!(sent.0.iter().skip(before).any(|(_, what)| what.has_templates()));
    assert_eq!(sent.decode().1.flows.len(), 10);
}
