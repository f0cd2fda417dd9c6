//! What makes packets belong to one conversation.

use record::Addr;
use wire::packet::{Ip, Link, Packet, Transport, TunnelKind};

use crate::quick::Plain;
use crate::sampling::Lots;

/// How much of a packet tells conversations apart: softflowd's `-T`.
///
/// MPLS labels never do, unlike in softflowd: they differ by direction. Where tunnels are followed,
/// the network identifier of VXLAN and GENEVE does at every level: tenants may use the same addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Addresses.
    Ip,
    /// Addresses and protocol.
    Proto,
    /// Addresses, protocol and ports.
    Port,
    /// As `Port`. ToS never tells conversations apart, it is kept for each direction.
    #[default]
    Full,
    /// As `Full`, and the VLANs.
    Vlan,
    /// As `Vlan`, and the MAC addresses.
    Ether,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 6] =
        [Self::Ip, Self::Proto, Self::Port, Self::Full, Self::Vlan, Self::Ether];

    /// softflowd's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Proto => "proto",
            Self::Port => "port",
            Self::Full => "full",
            Self::Vlan => "vlan",
            Self::Ether => "ether",
        }
    }

    /// The level of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// The side with the lower endpoint, and the one with the higher.
pub(crate) const LOW: usize = 0;
pub(crate) const HIGH: usize = 1;

/// What follows an IP header, as far as it tells conversations apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ports {
    /// Nothing known.
    #[default]
    None,
    /// Source and destination port.
    Pair(u16, u16),
    /// ICMP type and code. Answers, if there are any, are other conversations.
    Icmp(u8, u8),
    /// Request or reply of an echo with this identifier.
    Echo { id: u16, is_reply: bool },
}

impl Ports {
    pub(crate) const fn new(proto: u8, transport: Transport) -> Self {
        match transport {
            Transport::Absent => Self::None,
            Transport::Tcp { src, dst, .. } | Transport::Ports { src, dst } => Self::Pair(src, dst),
            Transport::Icmp { kind, code, id } => match (proto, kind, id) {
                (1, 8, Some(id)) | (58, 128, Some(id)) => Self::Echo { id, is_reply: false },
                (1, 0, Some(id)) | (58, 129, Some(id)) => Self::Echo { id, is_reply: true },
                _ => Self::Icmp(kind, code),
            },
        }
    }
}

/// The key of a conversation, the same for both directions: what the hot part of an entry holds.
///
/// IPv6 addresses and MAC addresses are here as hashes; the cold part has them as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    /// IPv4: the lower address, then the higher. IPv6: their hash.
    addrs: u64,
    /// From bit 0: port of the lower endpoint, port of the higher, protocol, then flags.
    ports: u64,
    /// From bit 0: outer VLAN, inner VLAN (12 bits each), network identifier (24 bits), and 16 bits of
    /// a hash of the MAC addresses.
    realm: u64,
}

impl Key {
    /// The key of no packet.
    pub(crate) const NONE: Self = Self { addrs: 0, ports: u64::MAX, realm: 0 };
    const V6: u64 = 1 << 40;
    const ECHO: u64 = 1 << 41;
    /// ICMP that is no echo: the port of the higher endpoint is type and code.
    const ONE_WAY: u64 = 1 << 42;
    /// Of `ONE_WAY`: which side sends.
    const HIGH_SENDS: u64 = 1 << 43;

    #[inline]
    pub(crate) const fn is_v6(&self) -> bool {
        self.ports & Self::V6 != 0
    }

    #[inline]
    pub(crate) const fn proto(&self) -> u8 {
        (self.ports >> 32) as u8
    }

    /// IPv4 addresses, the lower first.
    pub(crate) const fn v4(&self) -> [u32; 2] {
        [(self.addrs >> 32) as u32, self.addrs as u32]
    }

    /// Ports of the lower and the higher endpoint; none for ICMP.
    pub(crate) const fn ports(&self) -> [u16; 2] {
        if self.ports & (Self::ECHO | Self::ONE_WAY) != 0 {
            return [0, 0];
        }
        [self.ports as u16, (self.ports >> 16) as u16]
    }

    /// ICMP type and code of what the initiator sends, and of what it gets.
    pub(crate) const fn icmp(&self) -> Option<[(u8, u8); 2]> {
        if self.ports & Self::ECHO != 0 {
            let is_v6 = self.is_v6();
            return Some(if is_v6 { [(128, 0), (129, 0)] } else { [(8, 0), (0, 0)] });
        }
        if self.ports & Self::ONE_WAY != 0 {
            let one = ((self.ports >> 24) as u8, (self.ports >> 16) as u8);
            return Some([one, one]);
        }
        None
    }
}

/// What is known of the endpoints of a packet, in the order of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// IPv6 addresses.
    pub(crate) wide: [u128; 2],
    /// MAC addresses, where the level asks for them.
    pub(crate) macs: [u64; 2],
}

/// A packet's key, with its place in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keyed {
    pub(crate) key: Key,
    pub(crate) ends: Ends,
    pub(crate) sides: Sides,
}

/// Makes keys.
#[derive(Clone, Debug)]
pub(crate) struct Keyer {
    level: Level,
    seeds: [u64; 8],
    /// Bits of ports and protocol that the level asks for, where the key has them.
    ports: u16,
    proto: u8,
}

/// What a packet says of the sides of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sides {
    /// The side that sent it.
    pub(crate) sender: u8,
    /// The side that began, if nothing is known but this packet.
    pub(crate) initiator: u8,
}

/// Multiplies and folds: a change of any bit changes about half of the bits.
#[inline]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl Keyer {
    pub(crate) fn new(level: Level, seed: u64) -> Self {
        let mut lots = Lots(seed);
        let seeds = std::array::from_fn(|_| lots.next());
        let ports = if level >= Level::Port { u16::MAX } else { 0 };
        let proto = if level >= Level::Proto { u8::MAX } else { 0 };
        Self { level, seeds, ports, proto }
    }

    /// Of TCP flags, those that are told: all, unless the level does not tell TCP.
    #[inline]
    pub(crate) const fn flags(&self, tcp_flags: u8) -> u8 {
        tcp_flags & self.proto
    }

    /// What [`key`](Self::key) says of a plain packet, below [`Level::Vlan`].
    #[inline]
    pub(crate) const fn plain_v4(&self, plain: &Plain<u32>) -> (Key, Sides) {
        let (src, dst) = (plain.ports.0 & self.ports, plain.ports.1 & self.ports);
        let from = (plain.src as u64) << 16 | src as u64;
        let to = (plain.dst as u64) << 16 | dst as u64;
        let (low, high) = if from <= to { (from, to) } else { (to, from) };
        let key = Key {
            addrs: low >> 16 << 32 | high >> 16,
            ports: self.plain_ports(low as u16, high as u16, plain.proto),
            realm: 0,
        };
        (key, sides(from <= to, from == to, plain.is_answer()))
    }

    /// As [`plain_v4`](Self::plain_v4), with the addresses in the order of the key.
    #[inline]
    pub(crate) fn plain_v6(&self, plain: &Plain<u128>) -> (Key, Sides, [u128; 2]) {
        let from = (plain.src, plain.ports.0 & self.ports);
        let to = (plain.dst, plain.ports.1 & self.ports);
        let (low, high) = if from <= to { (from, to) } else { (to, from) };
        let wide = [low.0, high.0];
        let key = Key {
            addrs: self.wide_hash(wide),
            ports: self.plain_ports(low.1, high.1, plain.proto) | Key::V6,
            realm: 0,
        };
        (key, sides(from <= to, from == to, plain.is_answer()), wide)
    }

    #[inline]
    const fn plain_ports(&self, low: u16, high: u16, proto: u8) -> u64 {
        low as u64 | (high as u64) << 16 | ((proto & self.proto) as u64) << 32
    }

    /// The hash of a key.
    #[inline]
    pub(crate) const fn hash(&self, key: &Key) -> u32 {
        let [a, b, c, d, ..] = self.seeds;
        let ends = fold(key.addrs ^ a, key.ports ^ b);
        (fold(ends ^ c, key.realm ^ d) >> 16) as u32
    }

    const fn wide_hash(&self, wide: [u128; 2]) -> u64 {
        let [.., a, b, c, d] = self.seeds;
        let [low, high] = wide;
        let low = fold(low as u64 ^ a, (low >> 64) as u64 ^ b);
        let high = fold(high as u64 ^ c, (high >> 64) as u64 ^ d);
        low ^ high.rotate_left(32)
    }

    /// The key of a packet with this IP header and these ports.
    #[inline]
    pub(crate) fn key(
        &self,
        around: &Around,
        ip: &Ip,
        transport: Transport,
        ports: Ports,
    ) -> Keyed {
        let macs = around.macs;
        let ([src, dst], flags) = self.ports(ports);
        let mut keyed = Keyed::default();
        match (ip.src, ip.dst) {
            (Addr::V4(from), Addr::V4(to)) => {
                let low_sends = ((from, src), macs[0]) <= ((to, dst), macs[1]);
                let (low, high) = if low_sends { (from, to) } else { (to, from) };
                keyed.key.addrs = u64::from(low) << 32 | u64::from(high);
                keyed.sides.sender = u8::from(!low_sends);
            }
            (from, to) => {
                let (from, to) = (wide(from), wide(to));
                let low_sends = ((from, src), macs[0]) <= ((to, dst), macs[1]);
                keyed.ends.wide = if low_sends { [from, to] } else { [to, from] };
                keyed.key.addrs = self.wide_hash(keyed.ends.wide);
                keyed.key.ports = Key::V6;
                keyed.sides.sender = u8::from(!low_sends);
            }
        }
        let low_sends = keyed.sides.sender == LOW as u8;
        keyed.ends.macs = if low_sends { macs } else { [macs[1], macs[0]] };
        // Type and code have their place whoever sends them.
        let is_one_way = flags & Key::ONE_WAY != 0;
        let (low, high) = if low_sends || is_one_way { (src, dst) } else { (dst, src) };
        let proto = if self.level == Level::Ip { 0 } else { ip.proto };
        keyed.key.ports |= u64::from(low) | u64::from(high) << 16 | u64::from(proto) << 32 | flags;
        if is_one_way && !low_sends {
            keyed.key.ports |= Key::HIGH_SENDS;
        }
        keyed.key.realm = around.realm;
        if self.level >= Level::Ether {
            let [low, high] = keyed.ends.macs;
            keyed.key.realm |= fold(low ^ self.seeds[6], high ^ self.seeds[7]) << 48;
        }
        let answers = is_answer(transport, ports);
        keyed.sides.initiator = keyed.sides.sender ^ u8::from(answers);
        if ip.src == ip.dst && src == dst && macs[0] == macs[1] {
            // Somebody talks to himself. Only an echo tells what is an answer.
            let is_reply = answers && matches!(ports, Ports::Echo { .. });
            keyed.sides = Sides { sender: u8::from(is_reply), initiator: LOW as u8 };
        }
        keyed
    }

    /// What stands for source and destination port, and flags.
    #[inline]
    const fn ports(&self, ports: Ports) -> ([u16; 2], u64) {
        if matches!(self.level, Level::Ip | Level::Proto) {
            return ([0; 2], 0);
        }
        match ports {
            Ports::None => ([0; 2], 0),
            Ports::Pair(src, dst) => ([src, dst], 0),
            Ports::Echo { id, .. } => ([id, id], Key::ECHO),
            Ports::Icmp(kind, code) => ([0, u16::from_be_bytes([kind, code])], Key::ONE_WAY),
        }
    }

    /// What there is around the IP header of a packet.
    pub(crate) fn around(&self, packet: &Packet<'_>) -> Around {
        let mut around = Around::default();
        if let Some(tunnel) = &packet.tunnel
            && matches!(tunnel.kind, TunnelKind::Vxlan | TunnelKind::Geneve)
        {
            around.realm |= u64::from(tunnel.id.unwrap_or(0) & 0xff_ffff) << 24;
        }
        if self.level >= Level::Vlan {
            let (outer, inner) = vlans(&packet.link);
            around.realm |= u64::from(outer) | u64::from(inner) << 12;
        }
        if self.level >= Level::Ether {
            let link = &packet.link;
            around.macs = [link.src_mac, link.dst_mac].map(|mac| mac.map_or(0, |mac| mac.0));
        }
        around
    }
}

/// Who sent a packet of TCP or UDP, and who began: the first of all is the low side where both ends
/// are the same.
#[inline]
const fn sides(low_sends: bool, are_same: bool, answers: bool) -> Sides {
    let sender = !low_sends as u8;
    Sides { sender, initiator: (sender ^ answers as u8) & !are_same as u8 }
}

/// What a level asks for beside the IP header: nothing below [`Level::Vlan`], but for tunnels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Around {
    /// Source and destination.
    macs: [u64; 2],
    realm: u64,
}

/// Identifiers of the outermost VLAN and of the one within it, 0 without.
pub(crate) fn vlans(link: &Link) -> (u16, u16) {
    match link.vlans() {
        [] => (0, 0),
        [one] => (one.id(), 0),
        [outer, inner, ..] => (outer.id(), inner.id()),
    }
}

const fn wide(addr: Addr) -> u128 {
    match addr {
        Addr::V4(n) => n as u128,
        Addr::V6(n) => n,
    }
}

/// Flags of a TCP packet that answers another one.
pub(crate) const SYN_ACK: u8 = 0x12;

/// Whether the other side must have sent something before: SYN with ACK, an echo reply.
#[inline]
const fn is_answer(transport: Transport, ports: Ports) -> bool {
    match (transport, ports) {
        (Transport::Tcp { flags: Some(flags), .. }, _) => flags & SYN_ACK == SYN_ACK,
        (_, Ports::Echo { is_reply, .. }) => is_reply,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_packets_have_the_keys_of_the_long_way() {
        let mut lots = Lots(7);
        let few = |n: u64| [0, 1, 2, 0xffff_ffff][n as usize % 4];
        for round in 0..40_000u32 {
            let level = [Level::Ip, Level::Proto, Level::Port, Level::Full][round as usize % 4];
            let keyer = Keyer::new(level, u64::from(round));
            // Few values, so that ends are often equal in part or in all.
            let n = lots.next();
            let ports = ((n & 1) as u16 * 443, (n >> 1 & 1) as u16 * 443);
            let proto = if n & 4 == 0 { 6 } else { 17 };
            let flags = if proto == 6 { [2, 0x12, 0x10, 0x14][(n >> 3) as usize % 4] } else { 0 };
            let transport = match proto {
                6 => Transport::Tcp { src: ports.0, dst: ports.1, flags: Some(flags) },
                _ => Transport::Ports { src: ports.0, dst: ports.1 },
            };
            let (src, dst) = (few(n >> 8), few(n >> 16));
            let plain = Plain { src, dst, ports, proto, tcp_flags: flags, ..Plain::default() };
            let ip = |src, dst| Ip { proto, ..quick_ip(src, dst) };
            let key = |ip: &Ip| {
                keyer.key(&Around::default(), ip, transport, Ports::new(proto, transport))
            };

            let want = key(&ip(Addr::V4(src), Addr::V4(dst)));
            assert_eq!(keyer.plain_v4(&plain), (want.key, want.sides), "{level:?} {plain:?}");
            let (src, dst) = (u128::from(src) << 64, u128::from(dst) << 64);
            let plain = Plain { src, dst, ports, proto, tcp_flags: flags, ..Plain::default() };
            let want = key(&ip(Addr::V6(src), Addr::V6(dst)));
            let got = keyer.plain_v6(&plain);
            assert_eq!(got, (want.key, want.sides, want.ends.wide), "{level:?} {plain:?}");
            let told = if want.key.proto() == 6 { flags } else { 0 };
            assert_eq!(keyer.flags(flags), told);
        }
    }

    fn quick_ip(src: Addr, dst: Addr) -> Ip {
        Ip {
            src,
            dst,
            proto: 0,
            tos: 0,
            ttl: 0,
            dont_fragment: false,
            flow_label: 0,
            octets: 0,
            at: 0,
            fragment: None,
        }
    }
}
