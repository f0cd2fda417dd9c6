//! Packets for tests: what they are, as a test says it, and the frames they become.
#![allow(dead_code, reason = "each test uses some of it")]

use capture::{Direction, Packet};
use probe::{Cache, CacheConfig, Ended};
use std::net::IpAddr;

pub(crate) const SECOND: u64 = 1_000_000_000;
/// When tests begin, in nanoseconds: a multiple of an hour.
pub(crate) const BASE: u64 = 1_700_002_800 * SECOND;

/// One packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pkt {
    pub(crate) time_ns: u64,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) proto: u8,
    /// ICMP: type and code.
    pub(crate) ports: (u16, u16),
    /// Of an echo.
    pub(crate) echo_id: u16,
    pub(crate) flags: u8,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) vlan: Option<u16>,
    pub(crate) macs: (u64, u64),
    pub(crate) payload: usize,
    /// Identification, offset in octets, whether more follow.
    pub(crate) fragment: Option<(u16, u16, bool)>,
    pub(crate) interface: u32,
    pub(crate) direction: Direction,
}

pub(crate) fn pkt(time: f64, src: &str, dst: &str, proto: u8, ports: (u16, u16)) -> Pkt {
    Pkt {
        time_ns: BASE + (time * 1e9) as u64,
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        proto,
        ports,
        echo_id: 7,
        flags: 0,
        tos: 0,
        ttl: 64,
        vlan: None,
        macs: (0x02_00_00_00_00_01, 0x02_00_00_00_00_02),
        payload: 0,
        fragment: None,
        interface: 0,
        direction: Direction::Unknown,
    }
}

/// TCP between two hosts: from the client if `up`.
pub(crate) fn tcp(time: f64, up: bool, flags: u8) -> Pkt {
    let (c, s) = ("10.0.0.9", "10.0.0.1");
    let one = if up { pkt(time, c, s, 6, (40000, 80)) } else { pkt(time, s, c, 6, (80, 40000)) };
    Pkt { flags, ..one }
}

pub(crate) fn udp(time: f64, up: bool) -> Pkt {
    let (c, s) = ("10.0.0.2", "10.0.0.3");
    if up { pkt(time, c, s, 17, (5000, 53)) } else { pkt(time, s, c, 17, (53, 5000)) }
}

impl Pkt {
    fn transport(&self) -> Vec<u8> {
        let (src, dst) = (self.ports.0.to_be_bytes(), self.ports.1.to_be_bytes());
        let mut out = [src, dst].concat();
        match self.proto {
            6 => {
                out.extend([0; 8]);
                out.extend([0x50, self.flags, 0, 0, 0, 0, 0, 0]);
            }
            1 | 58 => {
                out = vec![self.ports.0 as u8, self.ports.1 as u8, 0, 0];
                out.extend(self.echo_id.to_be_bytes());
                out.extend([0, 1]);
            }
            17 => out.extend([0; 4]),
            132 => out.extend([0; 8]),
            _ => out.clear(),
        }
        if self.fragment.is_some_and(|(_, offset, _)| offset > 0) {
            out.clear();
        }
        out.extend(vec![0; self.payload]);
        out
    }

    /// Octets of the IP packet.
    pub(crate) fn octets(&self) -> u64 {
        let head = match self.src {
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) if self.fragment.is_some() => 48,
            IpAddr::V6(_) => 40,
        };
        head + self.transport().len() as u64
    }

    fn ip(&self) -> Vec<u8> {
        let body = self.transport();
        let (id, offset, more) = self.fragment.unwrap_or((0, 0, false));
        let place = offset / 8;
        let mut out = Vec::new();
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let len = (20 + body.len()) as u16;
                out.extend([0x45, self.tos]);
                out.extend(len.to_be_bytes());
                out.extend(id.to_be_bytes());
                out.extend((place | if more { 0x2000 } else { 0 }).to_be_bytes());
                out.extend([self.ttl, self.proto, 0, 0]);
                out.extend(src.octets());
                out.extend(dst.octets());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let head = if self.fragment.is_some() { 8 } else { 0 };
                let class = u32::from(self.tos) << 20;
                out.extend((0x6000_0000 | class | 0xabcde).to_be_bytes());
                out.extend(((head + body.len()) as u16).to_be_bytes());
                out.extend([if head > 0 { 44 } else { self.proto }, self.ttl]);
                out.extend(src.octets());
                out.extend(dst.octets());
                if head > 0 {
                    out.extend([self.proto, 0]);
                    out.extend((place << 3 | u16::from(more)).to_be_bytes());
                    out.extend(u32::from(id).to_be_bytes());
                }
            }
            _ => panic!("addresses of two families"),
        }
        out.extend(body);
        out
    }

    /// The Ethernet frame, padded.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut out = self.macs.1.to_be_bytes()[2..].to_vec();
        out.extend(&self.macs.0.to_be_bytes()[2..]);
        if let Some(vlan) = self.vlan {
            out.extend([0x81, 0]);
            out.extend(vlan.to_be_bytes());
        }
        out.extend(if self.src.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
        out.extend(self.ip());
        out.resize(out.len().max(60), 0);
        out
    }
}

/// Hands packets to a cache, this many at once.
pub(crate) fn observe(cache: &mut Cache, packets: &[Pkt], batch: usize) -> Vec<Ended> {
    let mut all = Vec::new();
    for packets in packets.chunks(batch) {
        let frames: Vec<Vec<u8>> = packets.iter().map(Pkt::frame).collect();
        let packets: Vec<Packet<'_>> = packets
            .iter()
            .zip(&frames)
            .map(|(p, frame)| Packet {
                time_ns: Some(p.time_ns),
                link: 1,
                wire_len: frame.len() as u32,
                interface: p.interface,
                direction: p.direction,
                bytes: frame,
            })
            .collect();
        cache.observe(&packets, &mut |ended| all.push(*ended));
    }
    all
}

/// What a cache hands over of these packets, in all.
pub(crate) fn run(config: &CacheConfig, packets: &[Pkt]) -> Vec<Ended> {
    let mut cache = Cache::new(config.clone());
    let mut all = observe(&mut cache, packets, 64);
    cache.expire_all(probe::Reason::Flushed, &mut |ended| all.push(*ended));
    all
}
