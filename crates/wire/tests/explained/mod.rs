//! Where we and nfcapd 1.7.8 differ, and why we are right. `docs/decoding.md` tells operators.

use crate::common::Rule;
use crate::common::stored::Difference;
use record::{Addr, Field};

/// Sets of which we deliver other flows, octets or packets than nfcapd stored, and the reason.
pub(crate) const COUNTS: &[(&str, [u64; 3], &str)] = &[
    (
        "ipfix/logstash-codec-netflow/ipfix",
        [12, 13279, 54],
        "three messages in one datagram: nfcapd reads the first",
    ),
    (
        "ipfix/vflow/vflow_ipfix_multi",
        [4, 92800, 1600],
        "messages whose length differs from the datagram's: nfcapd drops them whole",
    ),
    (
        "ipfix/pmacct/104-IPFIXv10-IPv6-CISCO-sampling_option_traffic-00",
        [3, 2_721_792, 30976],
        "one of 256, announced in options data with names of variable length: nfcapd refuses those",
    ),
    (
        "ipfix/generated/softflowd-v10-bidir_test",
        [45, 63620, 166],
        "biflows: a flow for each direction that had traffic",
    ),
    (
        "ipfix/generated/softflowd-v10-bidir_v6",
        [8, 40670, 81],
        "biflows: a flow for each direction that had traffic",
    ),
    (
        "ipfix/logstash-codec-netflow/ipfix_test_yaf",
        [4, 596, 10],
        "biflows: a flow for each direction that had traffic",
    ),
    (
        "netflow-v5/generated/softflowd-v1_test",
        [43, 62128, 156],
        "29 records of v1 in one datagram: nfcapd refuses more than 24",
    ),
    (
        "ipfix/generated/softflowd-vpsamp_test",
        [179, 64677, 176],
        "packet sections: nfcapd stores records without packets and octets",
    ),
    (
        "netflow-v5/logstash-codec-netflow/netflow5_test_invalid01",
        [30, 3_685_383_960, 529_620],
        "a count beyond the datagram: nfcapd drops the 30 records that are there",
    ),
    (
        "netflow-v5/logstash-codec-netflow/netflow5_test_invalid02",
        [30, 7_452_936_707, 8_336_652_083],
        "a count beyond the datagram: nfcapd drops the 30 records that are there",
    ),
    (
        "netflow-v9/python-netflow-v9-softflowd/bitkeks_v9_mixed",
        [8, 164_207, 208],
        "data before its template in the same datagram: nfcapd drops it",
    ),
    (
        "netflow-v9/graylog-plugin-netflow/nprobe-netflow9-4",
        [15, 33915, 74],
        "data whose template comes in a later datagram: nfcapd drops it",
    ),
    (
        "nfd/generated/nfpcapd-H_test",
        [63, 16576, 121],
        "as nfcapd stored them: the count on the wire leaves version 250 out",
    ),
];

/// Sets with biflows (RFC 5103): nfcapd keeps both directions in one record.
pub(crate) const BIFLOWS: &[&str] = &[
    "ipfix/generated/softflowd-v10-bidir_test",
    "ipfix/generated/softflowd-v10-bidir_v6",
    "ipfix/logstash-codec-netflow/ipfix_test_yaf",
];

/// Flows at the start of a set that nfcapd did not store, where it stored those behind them.
pub(crate) const NOT_STORED: &[(&str, usize)] = &[
    ("netflow-v5/generated/softflowd-v1_test", 29),
    ("netflow-v9/graylog-plugin-netflow/nprobe-netflow9-4", 14),
];

/// A set, then records of flows and of options and data sets without a template where they are not
/// those of the reference count, then the counters of damage, and the reason.
type Read = (&'static str, Option<[u64; 3]>, &'static [&'static str], &'static str);

/// Sets of which other records were read than the reference count has, or that are damaged.
pub(crate) const READ: &[Read] = &[
    (
        "ipfix/logstash-codec-netflow/ipfix",
        Some([12, 1, 0]),
        &[],
        "three messages in one datagram: the reference count has the first",
    ),
    (
        "ipfix/vflow/vflow_ipfix_multi",
        None,
        &["truncated_messages", "truncated_sets", "trailing_bytes", "templates_truncated"],
        "lengths unlike the datagram's",
    ),
    (
        "netflow-v5/logstash-codec-netflow/netflow5_test_invalid01",
        None,
        &["truncated_messages"],
        "a count beyond the datagram",
    ),
    (
        "netflow-v5/logstash-codec-netflow/netflow5_test_invalid02",
        None,
        &["truncated_messages"],
        "a count beyond the datagram",
    ),
    ("netflow-v5/vflow/vflow_v5", None, &["trailing_bytes"], "six octets behind the last record"),
    (
        "netflow-v9/graylog-plugin-netflow/netflow-v9-1",
        None,
        &["truncated_sets", "bad_sets", "templates_truncated"],
        "a datagram cut short",
    ),
    (
        "netflow-v9/graylog-plugin-netflow/nprobe-netflow9-4",
        Some([15, 1, 0]),
        &[],
        "data before its template, which comes in the next datagram",
    ),
    (
        "netflow-v9/python-netflow-v9-softflowd/bitkeks_v9_mixed",
        Some([8, 0, 0]),
        &[],
        "data before its template in the same datagram",
    ),
    ("nfd/generated/nfpcapd-H_test", Some([63, 0, 0]), &[], "the reference count does not read it"),
];

const ADDRESSES: &[&str] = &[
    "src4_addr",
    "dst4_addr",
    "src6_addr",
    "dst6_addr",
    "src_port",
    "dst_port",
    "proto",
    "src_tos",
];
const TIMES: &[&str] = &["first", "last"];
const PACKETS: &[&str] = &[
    "first",
    "last",
    "frame",
    "frame_size",
    "in_packets",
    "in_bytes",
    "src_addr",
    "dst_addr",
    "src_port",
    "dst_port",
    "icmp_type",
    "icmp_code",
    "proto",
    "tcp_flags",
    "src_tos",
    "in_src_mac",
    "in_dst_mac",
    "out_dst_mac",
    "ip_version",
    "ethertype",
    "ip_ttl",
    "ip_minttl",
    "ip_maxttl",
    "ip_fragment",
    "src_vlan",
    "mpls_1",
    "mpls_2",
];
const EPOCH: &str = "1970-01-01T00:00:00.000";

#[rustfmt::skip]
pub(crate) const DIFFERENCES: &[Rule] = &[
    Rule { sets: &[""], keys: &["end_reason", "app_id"], when: |d| d.stored.is_empty(),
        why: "JSON leaves it out; the file has it" },
    Rule { sets: &[""], keys: &["fwd_status"],
        when: |d| d.stored.is_empty() && d.record.contains_key("icmp_type"),
        why: "JSON leaves it out for ICMP; the file has it" },
    Rule { sets: &[""], keys: &["aggr_flows"], when: |d| d.stored == "1" && d.ours.is_empty(),
        why: "JSON prints 1 where no number of flows was sent" },
    Rule { sets: &["asa_"], keys: &["ingress_acl", "egress_acl"], when: |d| swapped(&d.stored) == d.ours,
        why: "JSON prints each id byte-swapped" },
    Rule { sets: &["asa_2"], keys: &["t_event"], when: |d| d.ours == d.stored.replace('.', ".0"),
        why: "JSON prints milliseconds without leading zeros" },
    Rule { sets: &["vpsamp"], keys: PACKETS, when: |d| d.stored.is_empty(),
        why: "packet sections: nfcapd stores empty records, we what the headers say" },
    Rule { sets: &["Amicro", "netscaler"], keys: TIMES, when: |d| d.stored == EPOCH && d.ours > "2010".into(),
        why: "microsecond times (154, 155): nfcapd ignores them" },
    Rule { sets: &["softflowd-v10-s4_test", "softflowd-v10_test", "logstash-codec-netflow/ipfix", "nprobe-netflow9"],
        keys: TIMES, when: |d| d.stored == EPOCH && d.ours > "2010".into(),
        why: "uptime 0 (21, 22) is a time: nfcapd takes it for absent" },
    Rule { sets: &["sonicwall", "mikrotik", "ipfix_test_barracuda", "104-", "111-"],
        keys: TIMES, when: |d| d.stored == EPOCH && d.ours > "2010".into(),
        why: "uptimes without a boot time (160) are dated by the export: nfcapd stores 1970" },
    Rule { sets: &["1941K9", "macaddr", "barracuda_extended"],
        keys: TIMES, when: |d| d.stored == EPOCH && d.ours > "2010".into(),
        why: "no time in the record: the export time rather than 1970" },
    Rule { sets: &["nprobe_dpi"], keys: TIMES,
        when: |d| d.stored.starts_with("584556019") && d.ours.starts_with("1970-01-01T00:08"),
        why: "the exporter's clock shows 502 seconds: nfcapd's boot time is before 1970 and wraps" },
    Rule { sets: &["fortigate_521"], keys: TIMES,
        when: |d| d.stored.starts_with("2017-06-05") && d.ours.starts_with("2017-07-18T05:4"),
        why: "uptimes a week beyond the header's: dated by the export; nfcapd goes back 49.7 days" },
    Rule { sets: &["bitkeks_ipfix_ethernet"], keys: TIMES,
        when: |d| d.ours.starts_with("2020-04-06"),
        why: "exported 26 years after the boot: a wrapped clock, dated by the export" },
    Rule { sets: &["asa_"], keys: &["first"], when: |d| d.ours < d.stored,
        why: "the start of the flow (152) was sent: nfcapd overwrites it with the event time (323)" },
    Rule { sets: &["asa_1"], keys: &["icmp_type", "icmp_code"], when: |d| d.ours == "0",
        why: "elements 176 and 177 say 0: nfcapd reads type and code out of a port" },
    Rule { sets: &["Tvlan"], keys: &["src_vlan"], when: |d| d.stored == "0" && d.ours == "123",
        why: "nfcapd puts element 59 over the source VLAN" },
    Rule { sets: &["netflow-v5/", "nprobe-netflow9"], keys: &["src_mask", "dst_mask"],
        when: |d| d.stored == "0" && d.flow.number(Field::Source) == 5,
        why: "nfcapd drops the masks of v5" },
    Rule { sets: &["nfd/"], keys: &["export_sysid"], when: |d| d.stored == "0" && d.ours == "1",
        why: "nfcapd keeps the sender's number of the exporter, which means nothing in its own files" },
    Rule { sets: &["bidir", "yaf"], keys: &["src_tos", "tcp_flags"], when: |_| true,
        why: "reverse elements: nfcapd puts them over the forward ones" },
    Rule { sets: &["bidir"], keys: &["direction"], when: |d| d.stored == "0" && d.ours == "1",
        why: "the other direction of a biflow: ingress (61) becomes egress" },
    Rule { sets: &["yaf"], keys: &["first"], when: |d| d.ours == d.stored.replace(".818", ".819"),
        why: "the other direction began a millisecond later (6871/21)" },
    Rule { sets: &["106-", "400-", "403-", "500-", "502-"], keys: ADDRESSES, when: is_outer_header,
        why: "outer and inner header: we keep the outer, nfcapd mixes them" },
    Rule { sets: &["ipfix/"], keys: &["ethertype"], when: |d| d.stored == "0",
        why: "nfcapd ignores element 256 in IPFIX" },
    Rule { sets: &["104-", "112-", "400-", "401-", "403-", "500-", "501-", "502-"],
        keys: &["sampled"], when: |d| d.ours == "1",
        why: "a sampler announced in options data with names of variable length" },
    Rule { sets: &["104-"], keys: &["in_bytes", "in_packets"], when: |d| times(&d.stored, 256) == d.ours,
        why: "the sampler of those options data is 1 of 256" },
    Rule { sets: &["112-"], keys: &["bgp6_next_hop", "ip6_next_hop"], when: |d| d.stored == "::",
        why: "next hops of both families, all 0: a flow has one" },
    Rule { sets: &["barracuda"], keys: &["type", "event_id", "t_event"],
        when: |d| d.flow.has(Field::FwEvent),
        why: "firewall events (233) over IPFIX: nfcapd knows them over v9 only" },
    Rule { sets: &["bitkeks_ipfix"], keys: &["proto"], when: |d| d.stored == "0" && (d.ours == "1" || d.ours == "58"),
        why: "ICMP elements without a protocol: nfcapd stores protocol 0" },
];

/// IPv4 or IPv6 in IPv6: what IOS XR and Huawei send of segment routing.
fn is_outer_header(d: &Difference<'_>) -> bool {
    let src = d.flow.as_row().addr(Field::SrcAddr);
    [4, 41].contains(&d.flow.number(Field::Proto)) && matches!(src, Some(Addr::V6(_)))
}

fn times(number: &str, factor: u64) -> String {
    (number.parse::<u64>().unwrap() * factor).to_string()
}

/// Each of the ids with its octets reversed.
fn swapped(ids: &str) -> String {
    let swap = |id: &str| {
        let n = u32::from_str_radix(id.trim_start_matches("0x"), 16).unwrap();
        format!("0x{:x}", n.swap_bytes())
    };
    ids.split('/').map(swap).collect::<Vec<_>>().join("/")
}
