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

/// What a key says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Host,
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

/// What a set keeps of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// That of the network that it is in.
    pub(crate) net: u64,
    /// Its own.
    pub(crate) own: u64,
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
    #[inline]
    pub(crate) fn host(self, addr: Addr) -> Key {
        Key { net: self.net(addr), own: key(self, What::Host, addr, 0) }
    }

    /// The key of the network that an address is in.
    #[inline]
    pub(crate) fn net(self, addr: Addr) -> u64 {
        key(self, What::Net, addr.masked(net_bits(addr)), 0)
    }

    /// The key of an address with its port, which is in no network.
    pub(crate) fn endpoint(self, addr: Addr, port: u16) -> Key {
        let net = key(self, What::Endpoint, addr, port);
        Key { net, own: net.rotate_left(32) }
    }
}

/// Two multiplications of 64 by 64 bits: keys need not resist anybody, a wrong yes costs time only.
#[inline]
fn key(role: Role, what: What, addr: Addr, port: u16) -> u64 {
    let (family, high, low) = match addr {
        Addr::V4(n) => (4, 0, u64::from(n)),
        Addr::V6(n) => (6, (n >> 64) as u64, n as u64),
    };
    let kind = (role as u64) << 40 | (what as u64) << 32 | family << 16 | u64::from(port);
    // Sets of keys have no 0.
    fold(fold(low ^ MULTIPLIERS[0], kind ^ MULTIPLIERS[1]) ^ high, MULTIPLIERS[2]).max(1)
}

/// Odd numbers with as many ones as zeros: digits of pi.
const MULTIPLIERS: [u64; 3] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1];

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
                    keys.extend([role.host(addr).own, role.net(addr), port.net]);
                    count += 3;
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
        let all =
            [Role::End.host(v4).own, Role::Hop.net(v6), Role::Translated.endpoint(v4, 80).net];
        assert_eq!(all, GOLDEN, "{all:#x?}");
    }

    const GOLDEN: [u64; 3] = [0x02dc_37a8_f370_af38, 0x136e_e5c4_f78f_286d, 0xb1ac_9fbe_52db_71a4];

    #[test]
    fn neighbours_spread_over_all_bits() {
        for bit in 0..64 {
            let keys = (0..4096_u32).map(|n| Role::End.host(Addr::V4(0x0a00_0000 + n)).own);
            let ones = keys.filter(|key| key >> bit & 1 == 1).count();
            assert!((1850..2250).contains(&ones), "bit {bit}: {ones}");
        }
    }
}
