//! Sequences of export datagrams, each behind its length in two octets, as the target reads them.

use crate::Seed;
use bench::{Model, Traffic, export};
use record::{Addr, Flow, InterfaceCounters, InterfaceSample};
use wire::packet::frames::plain_tcp;
use wire::testing::{
    IpfixBuilder, Record, SflowBuilder, SflowRecord, SflowSample, V5Builder, V9Builder,
    extended_gateway, extended_router, extended_switch, if_counters, sampled_header,
    sampled_header_v4,
};
use wire::{ipfix, sflow, v5, v9};

const NOW_SECS: u32 = 1_795_000_000;
/// Where an IPFIX record says how long a field is.
const VARIABLE: u16 = 65_535;

pub(super) fn seeds() -> Vec<Seed> {
    let all = [
        v5_seeds(),
        v9_seeds(),
        v9_option_seeds(),
        ipfix_seeds(),
        ipfix_option_seeds(),
        sflow_seeds(),
    ];
    let mut seeds: Vec<Seed> = all.concat();
    // What goes wrong on the way: a cut, a doubled datagram, two protocols from one sender.
    let find = |name: &str| seeds.iter().find(|s| s.0 == name).map(|s| s.1.clone());
    let (v9, ipfix) = (find("v9-both").unwrap_or_default(), find("ipfix-nat").unwrap_or_default());
    let cut = v9.len() * 2 / 3;
    seeds.push(("cut".into(), v9[..cut].to_vec()));
    seeds.push(("twice".into(), [&v9[..], &v9].concat()));
    seeds.push(("mixed".into(), [v9, ipfix].concat()));
    seeds.push(("unknown-version".into(), sequence(&[vec![0, 77, 0, 1, 0, 0, 0, 0]])));
    seeds.push(("empty".into(), sequence(&[vec![], vec![9], vec![0, 9]])));
    seeds
}

fn sequence(datagrams: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for d in datagrams {
        out.extend((d.len() as u16).to_be_bytes());
        out.extend(d);
    }
    out
}

fn seed(name: &str, datagrams: &[Vec<u8>]) -> Seed {
    (name.into(), sequence(datagrams))
}

fn v5_seeds() -> Vec<Seed> {
    let header = v5::Header {
        uptime_ms: 900_000,
        unix_secs: NOW_SECS,
        unix_nsecs: 5_000_000,
        engine_type: 1,
        engine_id: 2,
        ..v5::Header::default()
    };
    let mut record = [0; v5::RECORD_LEN];
    for (at, value) in [
        (0, 0x0a00_0001u32),
        (4, 0xc000_0207),
        (8, 0x0a00_00fe),
        (12, 0x0001_0002),
        (16, 12),
        (20, 3400),
        (24, 880_000),
        (28, 890_000),
        (32, 50_000 << 16 | 443),
        (36, 0x001b_0600),
        (40, 64_500 << 16 | 64_501),
        (44, 0x1810_0000),
    ] {
        record[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    let two = V5Builder::new(header).record(record).record(record);
    let sampled = v5::Header { sampling: 0x4000 | 100, sequence: 2, ..header };
    let wrapped = v5::Header { uptime_ms: 5000, sequence: u32::MAX, ..header };
    vec![
        seed("v5", &[two.build(), V5Builder::new(sampled).record(record).build()]),
        seed("v5-count", &[two.clone().claim(30).build(), two.claim(1).build()]),
        seed("v5-wrap", &[V5Builder::new(wrapped).record(record).build()]),
        seed("v5-none", &[V5Builder::new(header).build()]),
    ]
}

fn v9_header(sequence: u32) -> v9::Header {
    v9::Header {
        uptime_ms: 900_000,
        unix_secs: NOW_SECS,
        sequence,
        source_id: 7,
        ..v9::Header::default()
    }
}

fn v9_seeds() -> Vec<Seed> {
    let now_ms = u64::from(NOW_SECS) * 1000;
    let mut traffic = Traffic::new(Model { v6_percent: 40, ..Model::default() });
    let mut flows = vec![Flow::new(); 6];
    let mut exporter = export::Exporter::new(3, now_ms - 900_000);
    let both: Vec<_> = [true, false]
        .into_iter()
        .map(|announce| {
            flows.iter_mut().for_each(|f| traffic.fill(now_ms, f));
            exporter.datagram(now_ms, &flows, announce)
        })
        .collect();
    let late = V9Builder::new(v9_header(1)).data(300, &[vec![1; 8]]);
    let late = late.template(300, &[(8, 4), (1, 4)]).build();
    let widths = Record::new().number(7, 3).number(9, 8).number(1, 5).octets(&[0; 2]).build();
    let widths = V9Builder::new(v9_header(2))
        .template(301, &[(1, 3), (2, 8), (4, 5), (210, 2)])
        .data(301, &[widths.clone(), widths]);
    let icmp = Record::new().addr(Addr::V4(1)).addr(Addr::V4(2)).number(1, 1).number(0x0301, 2);
    let icmp = V9Builder::new(v9_header(3))
        .template(302, &[(8, 4), (12, 4), (4, 1), (32, 2)])
        .data(302, &[icmp.build()]);
    let mpls = Record::new().octets(&[0x12, 0x34, 0x51]).octets(&[0, 1, 0x11]).number(0, 6);
    let mpls = V9Builder::new(v9_header(4))
        .template(303, &[(70, 3), (71, 3), (56, 6), (243, 2)])
        .data(303, &[mpls.number(100, 2).build()]);
    vec![
        seed("v9-both", &both),
        seed("v9-data-first", &both[1..]),
        seed("v9-late-template", &[late]),
        seed("v9-widths", &[widths.build()]),
        seed("v9-icmp", &[icmp.build()]),
        seed("v9-mpls", &[mpls.build()]),
        seed("v9-nsel", &[nsel()]),
        seed(
            "v9-gap",
            &[V9Builder::new(v9_header(9)).build(), V9Builder::new(v9_header(40)).build()],
        ),
    ]
}

/// A firewall's event with a user name, access lists and an address translation.
fn nsel() -> Vec<u8> {
    let fields = [
        (148, 4),
        (8, 4),
        (12, 4),
        (7, 2),
        (11, 2),
        (4, 1),
        (225, 4),
        (227, 2),
        (233, 1),
        (33_002, 2),
        (323, 8),
        (231, 4),
        (232, 4),
        (33_000, 12),
        (40_000, 20),
    ];
    let record = Record::new()
        .number(77, 4)
        .addr(Addr::V4(0x0a00_0001))
        .addr(Addr::V4(0xc000_0207))
        .number(40_000, 2)
        .number(443, 2)
        .number(6, 1)
        .addr(Addr::V4(0xc633_6401))
        .number(1025, 2)
        .number(1, 1)
        .number(1001, 2)
        .number(u64::from(NOW_SECS) * 1000, 8)
        .number(1000, 4)
        .number(2000, 4)
        .octets(&[5; 12])
        .octets(b"alice\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    V9Builder::new(v9_header(5)).template(265, &fields).data(265, &[record.build()]).build()
}

fn v9_option_seeds() -> Vec<Seed> {
    let flow = Record::new().addr(Addr::V4(5)).number(10, 4).number(1000, 4).number(2, 1).build();
    let sampled = V9Builder::new(v9_header(1))
        .options_template(256, &[(1, 4)], &[(48, 1), (49, 1), (50, 4)])
        .data(256, &[Record::new().number(7, 4).number(2, 1).number(2, 1).number(100, 4).build()])
        .template(257, &[(8, 4), (2, 4), (1, 4), (48, 1)])
        .data(257, &[flow]);
    let names = V9Builder::new(v9_header(2))
        .options_template(258, &[(1, 4)], &[(10, 4), (82, 16), (83, 16)])
        .data(
            258,
            &[Record::new()
                .number(7, 4)
                .number(3, 4)
                .octets(b"ge-0/0/1.0\0\0\0\0\0\0")
                .octets(&[b'x'; 16])
                .build()],
        )
        .options_template(259, &[(1, 4)], &[(234, 4), (236, 16)])
        .data(
            259,
            &[Record::new()
                .number(7, 4)
                .number(9, 4)
                .octets(b"red\0\0\0\0\0\0\0\0\0\0\0\0\0")
                .build()],
        )
        .options_template(260, &[(1, 4)], &[(95, 4), (96, 24), (94, 55)])
        .data(
            260,
            &[Record::new()
                .number(7, 4)
                .number(0x0300_0050, 4)
                .octets(&[b'h'; 24])
                .octets(&[b'd'; 55])
                .build()],
        );
    let odd = V9Builder::new(v9_header(3))
        .options_template(261, &[], &[(34, 4), (35, 1)])
        .data(261, &[Record::new().number(1000, 4).number(1, 1).build()])
        .set(v9::OPTIONS_TEMPLATES, &[1, 5, 0, 255, 0, 255])
        .set(17, &[1, 2, 3, 4]);
    vec![
        seed("v9-sampling", &[sampled.build()]),
        seed("v9-names", &[names.build()]),
        seed("v9-odd-options", &[odd.build()]),
    ]
}

fn ipfix_header(sequence: u32) -> ipfix::Header {
    ipfix::Header { export_secs: NOW_SECS, sequence, domain: 11, ..ipfix::Header::default() }
}

fn ipfix_seeds() -> Vec<Seed> {
    let now_ms = u64::from(NOW_SECS) * 1000;
    let flow = [(0, 8, 4), (0, 12, 4), (0, 152, 8), (0, 153, 8), (0, 1, 8), (29_305, 1, 8)];
    let record = |n: u32| {
        Record::new()
            .addr(Addr::V4(n))
            .addr(Addr::V4(!n))
            .number(now_ms - 500, 8)
            .number(now_ms, 8)
            .number(1200, 8)
            .number(3400, 8)
            .build()
    };
    let biflow =
        IpfixBuilder::new(ipfix_header(0)).template(400, &flow).data(400, &[record(1), record(2)]);
    let nat = [
        (0, 323, 8),
        (0, 230, 1),
        (0, 8, 4),
        (0, 225, 4),
        (0, 361, 2),
        (0, 362, 2),
        (637, 93, VARIABLE),
    ];
    let nat_record = Record::new()
        .number(now_ms, 8)
        .number(1, 1)
        .addr(Addr::V4(0x6440_0001))
        .addr(Addr::V4(0xc633_6401))
        .number(1024, 2)
        .number(2047, 2)
        .variable(b"subscriber-1");
    let nat =
        IpfixBuilder::new(ipfix_header(2)).template(401, &nat).data(401, &[nat_record.build()]);
    let frames = [(0, 312, 2), (0, 315, VARIABLE), (0, 82, VARIABLE)];
    let short = Record::new().number(64, 2).variable(&[0x45; 60]).variable(b"eth0").build();
    let long = Record::new().number(300, 2).variable(&[0x60; 300]).variable(b"").build();
    let frames =
        IpfixBuilder::new(ipfix_header(3)).template(402, &frames).data(402, &[short, long]);
    let withdrawn = [
        biflow.build(),
        IpfixBuilder::new(ipfix_header(2)).withdraw(400).data(400, &[record(3)]).build(),
        IpfixBuilder::new(ipfix_header(2)).template(400, &[(0, 27, 16), (0, 86, 4)]).build(),
        IpfixBuilder::new(ipfix_header(2)).data(400, &[vec![7; 20]]).withdraw(2).build(),
        IpfixBuilder::new(ipfix_header(3)).withdraw_options(3).data(400, &[vec![7; 20]]).build(),
    ];
    let times = [(0, 154, 8), (0, 157, 8), (0, 161, 4), (0, 160, 8), (0, 22, 4), (0, 21, 4)];
    let times_record = Record::new()
        .number(0xdcba_9876 << 32 | 0x8000_0000, 8)
        .number(0xdcba_9877 << 32, 8)
        .number(700, 4)
        .number(now_ms - 900_000, 8)
        .number(880_000, 4)
        .number(890_000, 4);
    let times =
        IpfixBuilder::new(ipfix_header(4)).template(403, &times).data(403, &[times_record.build()]);
    let two_messages = [biflow.build(), nat.build()].concat();
    vec![
        seed("ipfix-biflow", &[biflow.build()]),
        seed("ipfix-nat", &[nat.build()]),
        seed("ipfix-frames", &[frames.build()]),
        seed("ipfix-withdrawal", &withdrawn),
        seed("ipfix-times", &[times.build()]),
        seed("ipfix-two-messages", &[two_messages]),
        seed("ipfix-length", &[biflow.clone().claim(9000).build(), biflow.claim(20).build()]),
    ]
}

fn ipfix_option_seeds() -> Vec<Seed> {
    let selector = [(0, 149, 4), (0, 302, 8), (0, 304, 2), (0, 305, 4), (0, 306, 4)];
    let selector_record =
        Record::new().number(11, 4).number(3, 8).number(1, 2).number(1, 4).number(999, 4);
    let flow = Record::new().addr(Addr::V6(1)).number(3, 8).number(5, 8).build();
    let sampled = IpfixBuilder::new(ipfix_header(0))
        .options_template(500, 2, &selector)
        .data(500, &[selector_record.build()])
        .template(501, &[(0, 27, 16), (0, 302, 8), (0, 2, 8)])
        .data(501, &[flow]);
    let names = IpfixBuilder::new(ipfix_header(2))
        .options_template(502, 1, &[(0, 10, 4), (0, 82, VARIABLE)])
        .data(502, &[Record::new().number(3, 4).variable(b"xe-1/0/0").build()])
        .options_template(503, 1, &[(0, 149, 4), (0, 160, 8)])
        .data(503, &[Record::new().number(11, 4).number(1_794_000_000_000, 8).build()]);
    let odd = IpfixBuilder::new(ipfix_header(3))
        .options_template(504, 9, &[(0, 149, 4)])
        .template(3, &[(0, 1, 4)])
        .template(505, &[])
        .template(506, &[(0, 1, 0)])
        .data(506, &[vec![0; 8]])
        .set(5, &[1]);
    vec![
        seed("ipfix-sampling", &[sampled.build()]),
        seed("ipfix-names", &[names.build()]),
        seed("ipfix-odd", &[odd.build()]),
    ]
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

fn sflow_header(version: u32, sequence: u32) -> sflow::Header {
    let agent = Some(Addr::V4(0x0a00_0009));
    sflow::Header { version, agent, sub_agent: 1, sequence, uptime_ms: 900_000, samples: 0 }
}

fn sflow_seeds() -> Vec<Seed> {
    let head = SflowSample { sequence: 7, rate: 1000, drops: 2, ..SflowSample::default() };
    let later = SflowSample { sequence: 12, drops: 5, output: (1, 258), ..head };
    let header = || sampled_header(1, 1518, 4, &plain_tcp());
    let new = |sequence| SflowBuilder::new(sflow_header(5, sequence));
    let addr = Some(Addr::V6(9));
    let known: [SflowRecord; 9] = [
        header(),
        extended_switch(10, 20),
        extended_router(addr, 48, 64),
        extended_gateway(Some(Addr::V4(1)), (64_496, 64_497), &[64_498, 64_499]),
        (1006, Record::new().sflow_addr(addr).octets(&words(&[1, 0x0001_0140, 0])).build()),
        (1007, Record::new().sflow_addr(addr).sflow_addr(addr).build()),
        (1020, words(&[1025, 80])),
        (1012, words(&[1, 0x8100_0005])),
        (1024, words(&[90, 47, 1, 2, 0, 0, 0, 0])),
    ];
    let told: [SflowRecord; 3] = [
        (2, words(&[64, 1, 2, 3, 4, 0x0806])),
        (3, words(&[600, 1, 1, 2, 3, 1, 0, 0])),
        (1030, words(&[5000])),
    ];
    let strange = [(4300 << 12 | 7, vec![1; 5]), (1004, words(&[0, 4, 0])), (1002, words(&[7]))];
    let restarted = sflow::Header { uptime_ms: 10, ..sflow_header(5, 0) };
    let mut seeds = vec![
        seed("sflow-known", &[new(1).flow(head, &known).build()]),
        seed("sflow-expanded", &[new(1).expanded_flow(later, &told).build()]),
        seed("sflow-strange", &[new(1).flow(head, &strange).sample(5, &[0; 40]).build()]),
        seed(
            "sflow-gap",
            &[
                new(1).flow(head, &[header()]).build(),
                new(9).flow(later, &[header()]).build(),
                new(9).flow(later, &[header()]).build(),
                SflowBuilder::new(restarted).flow(head, &[header()]).build(),
            ],
        ),
        seed("sflow-claim", &[new(1).flow(head, &[header()]).claim(u32::MAX).build()]),
        seed("sflow-padding", &[new(1).flow(head, &[header()]).raw(&[0; 8]).build()]),
    ];
    seeds.extend(sflow_counter_seeds());
    seeds
}

fn sflow_counter_seeds() -> Vec<Seed> {
    let counters = InterfaceCounters { octets: 1 << 40, unicast: 7, ..Default::default() };
    let interface = if_counters(&InterfaceSample {
        time_ms: 0,
        exporter: 0,
        agent: Addr::V4(0),
        index: 12,
        kind: 6,
        speed: 10_000_000_000,
        direction: 1,
        status: 3,
        input: counters,
        output: counters,
        unknown_protos: 0,
        is_promiscuous: false,
    });
    let name = (1005, Record::new().opaque(b"ge-0/0/1").build());
    let new = SflowBuilder::new(sflow_header(5, 3));
    let counted = new.counters(9, 12, &[interface.clone(), (2, vec![0; 52]), name]);
    let mut seeds = vec![seed("sflow-counters", &[counted.build()])];
    for (name, version) in [("sflow-v2", 2), ("sflow-v4", 4)] {
        let gateway = if version == 2 {
            words(&[1, 2, 3, 2, 4, 5])
        } else {
            words(&[1, 2, 3, 1, 2, 2, 4, 5, 1, 7, 100])
        };
        let user = Record::new().opaque(b"alice").opaque(b"").build();
        let url = Record::new().number(1, 4).opaque(b"http://example.org/").build();
        let extended = [(1, extended_switch(10, 20).1), (3, gateway), (4, user), (5, url)];
        let packet = sampled_header_v4(1, 1518, &plain_tcp());
        let told = (2, words(&[600, 17, 1, 2, 53, 1024, 0, 0]));
        let datagram = SflowBuilder::new(sflow_header(version, 1))
            .flow_v4(SflowSample::default(), packet, &extended)
            .counters_v4(1, 12, 2, &[&interface.1[..], &[0; 52]].concat())
            .counters_v4(2, 12, 7, &[0; 28])
            .flow_v4(SflowSample::default(), told, &[]);
        seeds.push(seed(name, &[datagram.build()]));
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::testing::Collect;

    #[test]
    fn seeds_reach_what_they_are_for() {
        let without_flows = [
            "v5-none",
            "v9-gap",
            "v9-data-first",
            "v9-names",
            "v9-odd-options",
            "ipfix-names",
            "sflow-counters",
        ];
        for (name, seed) in seeds() {
            let mut decoder = wire::Decoder::new(wire::Config::default());
            let mut sink = Collect::default();
            let mut rest = &seed[..];
            while let Some((len, tail)) = rest.split_first_chunk() {
                let (datagram, tail) =
                    tail.split_at(tail.len().min(usize::from(u16::from_be_bytes(*len))));
                let now_ms = u64::from(NOW_SECS) * 1000;
                decoder.decode(Addr::V4(1), now_ms, datagram, &mut sink);
                rest = tail;
            }
            let is_broken = matches!(&*name, "empty" | "unknown-version" | "ipfix-odd");
            let want = !is_broken && !without_flows.contains(&&*name);
            assert_eq!(!sink.flows.is_empty(), want, "{name}: {} flows", sink.flows.len());
            let samplers = usize::from(name.ends_with("-sampling"));
            assert!(sink.samplers.len() >= samplers, "{name}: no sampler");
            if name == "v9-names" {
                assert_eq!((sink.names.len(), sink.applications.len()), (2, 1), "{name}");
            }
        }
    }
}
