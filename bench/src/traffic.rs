//! A model of the traffic of a border router: Zipf-distributed hosts, services on one side and
//! ephemeral ports on the other, heavy-tailed sizes, start times that rise with some disorder.

use crate::Rng;
use record::{Addr, Field, Flow};

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Hosts inside.
    pub inside: u64,
    /// Hosts outside.
    pub outside: u64,
    /// Share of IPv6 flows in percent.
    pub v6_percent: u64,
    /// The same seed makes the same flows.
    pub seed: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self { inside: 60_000, outside: 900_000, v6_percent: 15, seed: 1 }
    }
}

/// Makes flows, one after the other.
#[derive(Clone, Debug)]
pub struct Traffic {
    model: Model,
    rng: Rng,
}

/// Well-known ports with their weight, and whether UDP carries them.
const SERVICES: &[((u16, bool), u32)] = &[
    ((443, false), 290),
    ((443, true), 150),
    ((80, false), 170),
    ((53, true), 160),
    ((123, true), 40),
    ((22, false), 25),
    ((25, false), 20),
    ((993, false), 20),
    ((3389, false), 15),
    ((8080, false), 20),
    ((445, false), 15),
    ((1935, false), 10),
    ((5060, true), 10),
    ((179, false), 5),
    ((161, true), 10),
    ((514, true), 10),
    ((8443, false), 30),
];

const FLAGS: &[(u64, u32)] =
    &[(0x1b, 55), (0x02, 12), (0x12, 5), (0x13, 8), (0x18, 10), (0x1a, 5), (0x14, 3), (0x04, 2)];

const OWN_AS: u64 = 64_500;

impl Traffic {
    /// Traffic of this model.
    pub const fn new(model: Model) -> Self {
        Self { model, rng: Rng::new(model.seed) }
    }

    /// Fills `flow` with the next flow, which starts near `at_ms` (milliseconds since 1970).
    pub fn fill(&mut self, at_ms: u64, flow: &mut Flow) {
        flow.clear();
        let outbound = self.rng.chance(0.5);
        let host = self.rng.zipf(self.model.inside, 1.07);
        let peer = self.rng.zipf(self.model.outside, 1.07);
        self.addresses(flow, outbound, host, peer);
        self.protocol(flow, outbound);
        self.size(at_ms, flow);
        let rng = &mut self.rng;
        let edge = [1 + host % 24, 101 + peer % 4];
        let (from, to) = if outbound { (edge[0], edge[1]) } else { (edge[1], edge[0]) };
        let peer_as = 1 + peer.wrapping_mul(2_654_435_761) % 399_999;
        let (src_as, dst_as) = if outbound { (OWN_AS, peer_as) } else { (peer_as, OWN_AS) };
        for (field, value) in [
            (Field::Input, from),
            (Field::Output, to),
            (Field::SrcMask, if outbound { 24 } else { 16 }),
            (Field::DstMask, if outbound { 16 } else { 24 }),
            (Field::Direction, u64::from(!outbound)),
            (Field::SrcVlan, if outbound { 100 + host % 12 } else { 0 }),
            (Field::DstVlan, 0),
            (Field::SrcAs, src_as),
            (Field::DstAs, dst_as),
            (Field::SrcTos, rng.choose(&[(0, 3), (0x28, 1), (0xb8, 1), (0x20, 1)]).unwrap_or(0)),
            (Field::FwdStatus, 64),
            (Field::Source, 9),
            (Field::ExporterId, 1),
        ] {
            flow.set(field, value);
        }
        flow.set_addr(Field::Router, Addr::V4(0xc000_0201 + rng.below(8) as u32));
    }

    fn addresses(&mut self, flow: &mut Flow, outbound: bool, host: u64, peer: u64) {
        let v6 = self.rng.below(100) < self.model.v6_percent;
        // Multiplying by an odd number scatters ranks over the address space.
        let (inside, outside) = if v6 {
            let net = 0x2001_0db8_0000_0000 | host >> 8;
            let inside = u128::from(net) << 64 | u128::from((host + 1).wrapping_mul(2_654_435_761));
            let net = 0x2a00_0000_0000_0000 | (peer + 1) << 16;
            (Addr::V6(inside), Addr::V6(u128::from(net) << 64 | u128::from((peer + 1) * 40_503)))
        } else {
            let inside = 0x0a00_0000 | ((host + 1).wrapping_mul(0x9e37_79b1) & 0xf_ffff) as u32;
            let outside = (peer + 1).wrapping_mul(0x9e37_79b1) % 0xde00_0000;
            let outside = 0x0100_0000 + outside as u32;
            let hop = Addr::V4(0xc000_0201 + self.rng.below(8) as u32);
            flow.set_addr(Field::NextHop, hop);
            (Addr::V4(inside), Addr::V4(outside))
        };
        let (src, dst) = if outbound { (inside, outside) } else { (outside, inside) };
        flow.set_addr(Field::SrcAddr, src);
        flow.set_addr(Field::DstAddr, dst);
    }

    fn protocol(&mut self, flow: &mut Flow, outbound: bool) {
        let rng = &mut self.rng;
        let v6 = flow.slot(Field::SrcAddr).len == 16;
        let kind = rng.unit();
        let (proto, src, dst, flags) = if kind < 0.03 {
            (if v6 { 58 } else { 1 }, 0, if v6 { 128 * 256 } else { 8 * 256 }, 0)
        } else if kind < 0.04 {
            (if rng.chance(0.5) { 47 } else { 50 }, 0, 0, 0)
        } else {
            let (service, udp) = rng.choose(SERVICES).unwrap_or((443, false));
            let (service, client) = (u64::from(service), 1024 + rng.below(64_512));
            let (src, dst) = if outbound { (client, service) } else { (service, client) };
            let flags = if udp { 0 } else { rng.choose(FLAGS).unwrap_or(0x1b) };
            (if udp { 17 } else { 6 }, src, dst, flags)
        };
        for (field, value) in [
            (Field::Proto, proto),
            (Field::SrcPort, src),
            (Field::DstPort, dst),
            (Field::TcpFlags, flags),
        ] {
            flow.set(field, value);
        }
    }

    fn size(&mut self, at_ms: u64, flow: &mut Flow) {
        let rng = &mut self.rng;
        let single = rng.chance(0.35);
        let duration = if single { 0 } else { rng.log_normal(6.5, 2.2).min(1_800_000.0) as u64 };
        let packets = if single { 1 } else { rng.log_normal(1.3, 1.6).max(1.0) as u64 };
        let octets = rng.log_normal(5.6, 0.9).clamp(40.0, 1500.0) as u64;
        let first = at_ms.saturating_sub(rng.below(20_000));
        for (field, value) in [
            (Field::First, first),
            (Field::Last, first + duration),
            (Field::Received, first + duration + 1 + rng.below(15_000)),
            (Field::Packets, packets),
            (Field::Bytes, packets * octets),
        ] {
            flow.set(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_model() {
        let mut traffic = Traffic::new(Model { v6_percent: 20, ..Model::default() });
        let mut flow = Flow::new();
        let (mut v6, mut tcp, mut sorted) = (0, 0, 0);
        for n in 0..10_000 {
            traffic.fill(1_000_000_000 + n, &mut flow);
            v6 += u32::from(flow.slot(Field::SrcAddr).len == 16);
            tcp += u32::from(flow.number(Field::Proto) == 6);
            sorted += u32::from(flow.number(Field::Last) >= flow.number(Field::First));
            assert!(flow.number(Field::Bytes) >= flow.number(Field::Packets) * 40);
        }
        assert!((1_800..2_200).contains(&v6), "{v6}");
        assert!((5_000..7_500).contains(&tcp), "{tcp}");
        assert_eq!(sorted, 10_000);
    }
}
