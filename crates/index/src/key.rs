//! What filters of addresses are asked for: an address, or the network it is in, by the part it
//! plays in a flow, as numbers of 64 bits.

use record::{Addr, Field};

/// The part that an address plays. Source and destination are one: who sends is answered, so nearly
/// every address is both, and one set takes half the room of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Source or destination.
    End,
    /// Source or destination after translation.
    Translated,
    /// Next hop, BGP next hop, or router.
    Hop,
    /// End of a tunnel.
    Tunnel,
}

/// What a hash is about: a network with what is in it, or an address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Net,
    Endpoint,
}

/// Bits of the networks that are kept: /24 and /48.
pub(crate) const fn net_bits(addr: Addr) -> u8 {
    match addr {
        Addr::V4(_) => 24,
        Addr::V6(_) => 48,
    }
}

/// What a set keeps of an address: the upper half is that of the network that it is in, the lower
/// half its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    /// The half of the network.
    #[inline]
    pub(crate) const fn net(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The half of the address.
    #[inline]
    pub(crate) const fn own(self) -> u32 {
        self.0 as u32
    }
}

impl Role {
    /// The part that a field plays, if it is an address that is kept.
    pub(crate) const fn of(field: Field) -> Option<Self> {
        Some(match field {
            Field::SrcAddr | Field::DstAddr => Self::End,
            Field::XlateSrcAddr | Field::XlateDstAddr => Self::Translated,
            Field::NextHop | Field::BgpNextHop | Field::Router => Self::Hop,
            Field::TunSrcAddr | Field::TunDstAddr => Self::Tunnel,
            _ => return None,
        })
    }

    /// The key of an address.
    #[inline(always)]
    pub(crate) fn host(self, addr: Addr) -> Key {
        let net = self.hash_of_net(addr);
        let own = match addr {
            Addr::V4(n) => fold(net ^ u64::from(n & 0xff), MULTIPLIERS[2]),
            Addr::V6(n) => {
                let subnet = (n >> 64) as u64 & 0xffff;
                fold(net ^ n as u64, MULTIPLIERS[2] ^ subnet << 24)
            }
        };
        Key(net & 0xffff_ffff_0000_0000 | own & 0xffff_ffff)
    }

    /// The half of the key that stands for the network that an address is in.
    pub(crate) fn net(self, addr: Addr) -> u32 {
        (self.hash_of_net(addr) >> 32) as u32
    }

    /// Two multiplications make a key: keys need not resist anybody, a wrong yes costs time only.
    #[inline(always)]
    fn hash_of_net(self, addr: Addr) -> u64 {
        let (family, net) = match addr {
            Addr::V4(n) => (4, u64::from(n >> 8)),
            Addr::V6(n) => (6, (n >> 80) as u64),
        };
        fold(net ^ MULTIPLIERS[0], kind(self, What::Net, family, 0) ^ MULTIPLIERS[1])
    }

    /// The key of an address with its port, which is in no network.
    pub(crate) fn endpoint(self, addr: Addr, port: u16) -> Key {
        let (family, high, low) = match addr {
            Addr::V4(n) => (4, 0, u64::from(n)),
            Addr::V6(n) => (6, (n >> 64) as u64, n as u64),
        };
        let kind = kind(self, What::Endpoint, family, port);
        Key(fold(fold(low ^ MULTIPLIERS[0], kind ^ MULTIPLIERS[1]) ^ high, MULTIPLIERS[2]))
    }
}

#[inline(always)]
fn kind(role: Role, what: What, family: u64, port: u16) -> u64 {
    (role as u64) << 40 | (what as u64) << 32 | family << 16 | u64::from(port)
}

/// Odd numbers with as many ones as zeros: digits of pi.
const MULTIPLIERS: [u64; 3] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1];

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_differ_by_role_kind_family_address_and_port() {
        let mut keys = HashSet::new();
        let mut count = 0;
        for role in [Role::End, Role::Translated, Role::Hop, Role::Tunnel] {
            for n in 0..2000_u32 {
                let v4 = Addr::V4(n << 8);
                let v6 = Addr::V6(u128::from(n) << 80);
                for addr in [v4, v6] {
                    let port = role.endpoint(addr, n as u16);
                    keys.extend([role.host(addr), port]);
                    count += 2;
                }
            }
        }
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn keys_stay_what_they_are() {
        // They are in files.
        let v4 = Addr::V4(0xc000_0201);
        let v6 = Addr::V6(0x2001_0db8 << 96 | 1);
        assert_eq!(Role::End.net(v4), Role::End.net(Addr::V4(0xc000_02fe)));
        assert_ne!(Role::End.net(v4), Role::End.net(Addr::V4(0xc000_03fe)));
        assert_eq!(Role::End.host(v4).net(), Role::End.net(v4));
        let all = [Role::End.host(v4), Role::Hop.host(v6), Role::Translated.endpoint(v4, 80)];
        let all = all.map(|key| key.0);
        assert_eq!(all, GOLDEN, "{all:#x?}");
    }

    const GOLDEN: [u64; 3] = [0xd9e0_b695_396d_ef26, 0x801a_d54e_5ad1_c076, 0xa498_0668_a2d8_351e];

    #[test]
    fn neighbours_spread_over_all_bits() {
        for bit in 0..64 {
            let keys = (0..4096_u32).map(|n| Role::End.host(Addr::V4(0x0a00_0000 + (n << 6))).0);
            let ones = keys.filter(|key| key >> bit & 1 == 1).count();
            assert!((1850..2250).contains(&ones), "bit {bit}: {ones}");
        }
    }
}
