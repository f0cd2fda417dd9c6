//! Filter texts: each primitive of the language, its operators, and what is close to an error.

use crate::Seed;

pub(super) fn seeds() -> Vec<Seed> {
    let long = [
        (
            "list",
            format!(
                "port in [{}]",
                (1..200).map(|n| (n * 37).to_string()).collect::<Vec<_>>().join(" ")
            ),
        ),
        ("deep", format!("{}proto tcp{}", "(".repeat(40), ")".repeat(40))),
        ("nots", format!("{}any", "not ".repeat(40))),
        ("terms", vec!["src port 1 or dst port 2"; 40].join(" and ")),
    ];
    let long = long.into_iter().map(|(name, text)| (format!("long-{name}"), text.into_bytes()));
    let texts = TEXTS.iter().enumerate();
    texts.map(|(n, text)| (format!("text-{n:03}"), text.as_bytes().to_vec())).chain(long).collect()
}

const TEXTS: &[&str] = &[
    // Joining.
    "any",
    "",
    "not any",
    "! any",
    "proto tcp and port 80 or proto udp and port 53",
    "(proto tcp or proto udp) and not (port 80 || port 443) && any",
    "not not ipv4",
    "ANY AND Proto TCP",
    "# only a comment",
    "proto tcp # and a comment\nand port 80",
    "any and",
    "(any",
    "any)",
    "and any",
    "proto tcp port 80",
    // Protocol, ports, flags.
    "proto 6",
    "proto icmp6",
    "proto 256",
    "tun proto gre",
    "port 443",
    "src port > 1023",
    "dst port <= 1023",
    "port = 53",
    "port=80",
    "port ne 80",
    "port in [80 443, 8080]",
    "port in [80-90 0x1bb]",
    "port in nat pblock",
    "src port in [ ]",
    "icmp-type 8",
    "icmp type > 3 and icmp code 0",
    "flags S",
    "flags SA and not flags FRUP",
    "flags = S",
    "flags 0x12",
    "flags X",
    // Addresses.
    "ip 10.1.2.3",
    "host 2001:db8::1",
    "src host 10.1.2.3 or dst ip ::ffff:10.1.2.3",
    "ip in [10.0.0.1 10.0.0.0/8, 2001:db8::/32]",
    "src ip in [192.0.2.1, 192.0.2.2]",
    "net 10.0.0.0/8",
    "net 10/8",
    "src net 192.168.0.0 255.255.0.0",
    "net 10.0.0.0 255.0.255.0",
    "dst net 2001:db8::/129",
    "net ::/0",
    "nat ip 198.51.100.1",
    "src nat net 100.64.0.0/10",
    "src tun ip 192.0.2.9",
    "next ip 192.0.2.1",
    "bgp next ip 192.0.2.2",
    "router ip 192.0.2.3",
    "exporter net 192.0.2.0/24",
    "ipv4 and not ipv6",
    "ip 10.1.2",
    "ip 300.1.1.1",
    // Counters and rates.
    "packets > 10",
    "in packets < 5 and out packets >= 1",
    "bytes > 10k",
    "out bytes eq 1m",
    "bytes 18446744073709551615",
    "bytes > 18446744073709551616",
    "bytes > 99999999g",
    "flows > 1",
    "duration > 60000",
    "pps > 100",
    "bps > 1m and bpp < 100",
    "count < 100",
    // Times.
    "first seen > 2026-11-20T10:00:00",
    "last seen <= 2026-11-20T10:00:00.001",
    "first seen '2026/11/20 11:00'",
    "first seen < 1970",
    "first seen > 2026-13-01",
    // Exporter, interfaces, routing.
    "ident border",
    "ident 'a name'",
    "engine-type 1 and engine id 2",
    "exporter id 1",
    "observation domain id 11",
    "observation point id > 5",
    "if 3",
    "in if 1 and out if 2",
    "as 64500",
    "src as in [64500 64501]",
    "next as 1 or prev as 2",
    "vlan 100",
    "src vlan 1 or dst vlan 2",
    "mask 24",
    "src mask 16",
    "tos 8",
    "dst tos > 0x20",
    "ttl > 60",
    "min ttl equal",
    "fwdstat 64",
    "fwdstat forwarded",
    "flowdir ingress",
    "flowdir 1",
    "ethertype 0x86dd",
    "mac aa:bb:cc:dd:ee:ff",
    "in src mac 0:1:2:3:4:5",
    "mpls label1 > 100",
    "mpls label0 1",
    "mpls exp2 = 3",
    "mpls eos 17",
    "mpls any 17",
    "client latency > 100",
    "ingress vrf 9 or egress vrf 10",
    // Address translation and firewalls.
    "nat port 1024",
    "src nat port in [1 2 3]",
    "nat event add",
    "nat event != 2",
    "nat pblock start > 1000",
    "asa event create",
    "asa event denied ingress",
    "asa xevent 1001",
    "asa user alice",
    "ingress acl 0x05050505",
    // Not of this version, and no words at all.
    "payload content 'GET'",
    "geo CH",
    "pf action pass",
    "sport 80",
    "src src ip 1.2.3.4",
    "'unended",
    "\u{e9}\u{4e2d}",
    "port 80\u{0}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_differ() {
        for (n, text) in TEXTS.iter().enumerate() {
            assert!(!TEXTS[..n].contains(text), "{text:?} is there twice");
        }
    }
}
