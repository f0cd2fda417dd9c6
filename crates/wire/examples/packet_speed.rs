//! Nanoseconds for one captured packet on one core, by what it carries: read only, and read and
//! put into a flow.
//!
//! `cargo run --release -p flowsuite-wire --features testing --example packet_speed`

use record::{Field, Flow};
use std::hint::black_box;
use std::time::Instant;
use wire::packet::frames::{
    self, ethernet, inner_ipv4, ipv4, ipv6, mpls, plain_tcp, tcp, udp, vlan, vxlan,
};
use wire::packet::{Depth, LinkType, decode, fill};

fn main() {
    let inner = ethernet(0x0800, &inner_ipv4(6, &tcp(&[], &[])));
    let labels = mpls(&[100, 200], &ipv4(6, &tcp(&[], &[])));
    let extended = frames::extension(44, 0, &frames::ipv6_fragment(17, 1, &udp(53, &[0; 24])));
    println!("{:40} {:>8} {:>8}", "nanoseconds a packet", "read", "filled");
    for (name, frame, depth) in [
        ("Ethernet, IPv4, TCP", plain_tcp(), Depth::Outer),
        ("the same, tunnels looked for", plain_tcp(), Depth::Innermost),
        ("Ethernet, IPv6, UDP", ethernet(0x86dd, &ipv6(17, &udp(53, &[]))), Depth::Outer),
        (
            "two tags, IPv4, TCP",
            ethernet(0x88a8, &vlan(1, 0x8100, &vlan(2, 0x0800, &ipv4(6, &tcp(&[], &[]))))),
            Depth::Outer,
        ),
        ("two labels, IPv4, TCP", ethernet(0x8847, &labels), Depth::Outer),
        ("IPv6, options and fragment, UDP", ethernet(0x86dd, &ipv6(0, &extended)), Depth::Outer),
        (
            "VXLAN, IPv4, TCP",
            ethernet(0x0800, &ipv4(17, &udp(4789, &vxlan(&inner)))),
            Depth::Innermost,
        ),
        ("ARP", ethernet(0x0806, &[0; 28]), Depth::Outer),
    ] {
        let best = |is_filled| {
            let runs = (0..5).map(|_| nanoseconds(&frame, depth, is_filled));
            runs.fold(f64::MAX, f64::min)
        };
        println!("{name:40} {:8.1} {:8.1}", best(false), best(true));
    }
}

#[expect(clippy::disallowed_methods, reason = "measures time, decodes none")]
fn nanoseconds(frame: &[u8], depth: Depth, is_filled: bool) -> f64 {
    const PACKETS: u32 = 2_000_000;
    let wire = frame.len() as u32;
    let mut flow = Flow::new();
    let mut sum = 0u64;
    let start = Instant::now();
    for _ in 0..PACKETS {
        let packet = decode(LinkType::Ethernet, black_box(frame), wire, depth);
        if is_filled {
            flow.clear();
            fill(black_box(&packet), &mut flow);
            sum = sum.wrapping_add(flow.number(Field::Bytes));
        } else {
            let octets = black_box(&packet).ip.map_or(0, |ip| ip.octets);
            sum = sum.wrapping_add(u64::from(octets));
        }
    }
    black_box(sum);
    start.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS)
}
