//! What takes the place of an address, and of which.

use crate::cache::Cache;
use crate::{CryptoPan, PrefixSet};
use record::Addr;
use std::sync::Arc;

/// How many bits of addresses stay; those behind them become 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Of IPv4 addresses: 0 to 32.
    pub v4: u8,
    /// Of IPv6 addresses: 0 to 128. Where an IPv4 address is within the address of a translation or
    /// a tunnel, no more bits of that are left than `v4` says.
    pub v6: u8,
}

/// 6to4 (RFC 3056, section 2): an IPv4 address behind these 16 bits.
const SIX_TO_FOUR: u128 = 0x2002 << 112;
/// NAT64 (RFC 6052, section 2.1): an IPv4 address behind these 96 bits.
const NAT64: u128 = 0x0064_FF9B << 96;
/// An IPv4 address in a field for IPv6 (RFC 4291, section 2.5.5.2).
const MAPPED: u128 = 0xFFFF << 32;

impl Truncation {
    const fn v4(self, addr: u32) -> u32 {
        match Addr::V4(addr).masked(self.v4) {
            Addr::V4(n) => n,
            Addr::V6(_) => 0,
        }
    }

    fn v6(self, addr: u128, original: u128) -> u128 {
        let within = |prefix: u128, len: u32| {
            let is_of = (original ^ prefix).leading_zeros() >= len;
            if is_of { (len as u8).saturating_add(self.v4) } else { u8::MAX }
        };
        let len = self.v6.min(within(SIX_TO_FOUR, 16)).min(within(NAT64, 96));
        match Addr::V6(addr).masked(len) {
            Addr::V6(n) => n,
            Addr::V4(_) => 0,
        }
    }
}

/// Which addresses are replaced, and by what: the same for all fields of all files. Shared by
/// threads.
#[derive(Debug, Default)]
pub struct Rule {
    /// The mapping; without one addresses are only truncated.
    pub crypt: Option<CryptoPan>,
    /// How much of what comes out stays.
    pub truncation: Option<Truncation>,
    /// Addresses that are replaced; if there are none in it, all are.
    pub only: PrefixSet,
    /// Addresses that are not, even if they are in `only`.
    pub except: PrefixSet,
}

impl Rule {
    fn takes_v4(&self, addr: u32) -> bool {
        (self.only.is_empty() || self.only.has_v4(addr)) && !self.except.has_v4(addr)
    }

    fn takes_v6(&self, addr: u128) -> bool {
        (self.only.is_empty() || self.only.has_v6(addr)) && !self.except.has_v6(addr)
    }
}

/// A rule with a cache: one for each thread.
pub struct Replacer {
    rule: Arc<Rule>,
    v4: Cache<u32, u32>,
    v6: Cache<u128, u128>,
    /// What the first halves of IPv6 addresses are changed by: networks repeat where hosts do not.
    networks: Cache<u64, u64>,
    macs: Cache<u64, u64>,
}

impl Replacer {
    /// With an empty cache. Takes less than 2 MiB.
    pub fn new(rule: Arc<Rule>) -> Self {
        let (v4, v6) = (Cache::new(15), Cache::new(13));
        Self { rule, v4, v6, networks: Cache::new(12), macs: Cache::new(10) }
    }

    /// What takes the place of an address; of one that is not to be replaced, itself. An IPv4
    /// address in the form of IPv6 (`::ffff:0:0/96`) becomes what it does otherwise, in that form.
    pub fn addr(&mut self, addr: Addr) -> Addr {
        match addr {
            Addr::V4(n) => Addr::V4(self.v4(n)),
            Addr::V6(n) => Addr::V6(self.v6(n)),
        }
    }

    /// As [`addr`](Self::addr), of an IPv4 address.
    #[inline]
    pub fn v4(&mut self, addr: u32) -> u32 {
        let Self { rule, v4, .. } = self;
        v4.get(addr, u64::from(addr), || {
            if !rule.takes_v4(addr) {
                return addr;
            }
            let crypted = rule.crypt.as_ref().map_or(addr, |c| c.v4(addr));
            rule.truncation.map_or(crypted, |t| t.v4(crypted))
        })
    }

    /// As [`addr`](Self::addr), of an IPv6 address.
    #[inline]
    pub fn v6(&mut self, addr: u128) -> u128 {
        if addr >> 32 == MAPPED >> 32 {
            return MAPPED | u128::from(self.v4(addr as u32));
        }
        let Self { rule, v6, networks, .. } = self;
        let network = (addr >> 64) as u64;
        v6.get(addr, network.rotate_left(32) ^ addr as u64, || {
            if !rule.takes_v6(addr) {
                return addr;
            }
            let crypted = rule.crypt.as_ref().map_or(addr, |c| {
                let first = networks.get(network, network, || (c.v6_flips(addr, 0) >> 64) as u64);
                addr ^ u128::from(first) << 64 ^ c.v6_flips(addr, 64)
            });
            rule.truncation.map_or(crypted, |t| t.v6(crypted, addr))
        })
    }

    /// What takes the place of a MAC address: 0 if there is no key. None (0) and all stations stay.
    #[inline]
    pub fn mac(&mut self, mac: u64) -> u64 {
        const ALL: u64 = (1 << 48) - 1;
        let mac = mac & ALL;
        if mac == 0 || mac == ALL {
            return mac;
        }
        let Self { rule, macs, .. } = self;
        macs.get(mac, mac, || rule.crypt.as_ref().map_or(0, |c| c.mac(mac)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;
    use std::net::IpAddr;

    fn rule(crypt: bool, truncation: Option<(u8, u8)>, only: &str, except: &str) -> Replacer {
        Replacer::new(Arc::new(Rule {
            crypt: crypt.then(|| CryptoPan::new(&Key::new([9; 32]))),
            truncation: truncation.map(|(v4, v6)| Truncation { v4, v6 }),
            only: PrefixSet::parse(only).unwrap(),
            except: PrefixSet::parse(except).unwrap(),
        }))
    }

    fn of(replacer: &mut Replacer, addr: &str) -> String {
        replacer.addr(addr.parse::<IpAddr>().unwrap().into()).to_string()
    }

    #[test]
    fn the_cache_changes_nothing() {
        let crypt = CryptoPan::new(&Key::new([9; 32]));
        let mut replacer = rule(true, None, "", "");
        for round in 0..2u64 {
            for n in 0..50_000u64 {
                let v4 = (n as u32).wrapping_mul(2_654_435_761);
                assert_eq!(replacer.v4(v4), crypt.v4(v4), "{round}");
            }
            for n in 0..3000u128 {
                let v6 = (0x2001_0DB8 << 96 | (n % 50) << 64) + n;
                assert_eq!(replacer.v6(v6), crypt.v6(v6), "{round}");
                assert_eq!(replacer.mac(n as u64 + 5), crypt.mac(n as u64 + 5), "{round}");
            }
        }
    }

    #[test]
    fn truncation_keeps_the_first_bits() {
        let mut cut = rule(false, Some((24, 48)), "", "");
        for (from, to) in [
            ("192.0.2.77", "192.0.2.0"),
            ("255.255.255.255", "255.255.255.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
            // 192.0.2.77 is c000:24d.
            ("2002:c000:24d:1::1", "2002:c000:200::"),
            ("64:ff9b::192.0.2.77", "64:ff9b::"),
        ] {
            assert_eq!(of(&mut cut, from), to);
        }
        assert_eq!(
            of(&mut rule(false, Some((8, 128)), "", ""), "64:ff9b::192.0.2.77"),
            "64:ff9b::c000:0"
        );
        assert_eq!(of(&mut rule(false, Some((32, 128)), "", ""), "2001:db8::7"), "2001:db8::7");
        assert_eq!(of(&mut rule(false, Some((0, 0)), "", ""), "2001:db8::7"), "::");
        // Together with a key: the network of what comes out.
        let (mut both, mut crypt) = (rule(true, Some((16, 32)), "", ""), rule(true, None, "", ""));
        for addr in ["192.0.2.77", "2001:db8:1:2:3:4:5:6"] {
            let addr = Addr::from(addr.parse::<IpAddr>().unwrap());
            let len = if addr.width() == 4 { 16 } else { 32 };
            assert_eq!(both.addr(addr), crypt.addr(addr).masked(len));
        }
        assert_eq!(cut.mac(0x0211_2233_4455), 0, "nothing of it stays without a key");
    }

    #[test]
    fn ipv4_addresses_are_the_same_in_either_form() {
        let mut crypt = rule(true, None, "", "198.51.100.0/24");
        for addr in ["192.0.2.77", "198.51.100.1"] {
            let plain = of(&mut crypt, addr);
            assert_eq!(of(&mut crypt, &format!("::ffff:{addr}")), format!("::ffff:{plain}"));
        }
    }

    #[test]
    fn lists_say_which_addresses_are_replaced() {
        let mut all = rule(true, None, "", "");
        for (only, except, kept, replaced) in [
            (
                "10.0.0.0/8,2001:db8::/32",
                "",
                ["192.0.2.1", "2001:db9::1"],
                ["10.1.1.1", "2001:db8::1"],
            ),
            (
                "",
                "192.0.2.0/24,2001:db9::/32",
                ["192.0.2.1", "2001:db9::1"],
                ["10.1.1.1", "2001:db8::1"],
            ),
            ("10.0.0.0/8", "10.2.0.0/16", ["10.2.1.1", "2001:db8::1"], ["10.1.1.1", "10.3.0.1"]),
        ] {
            let mut some = rule(true, None, only, except);
            for addr in kept {
                assert_eq!(of(&mut some, addr), addr, "{only} {except}");
            }
            for addr in replaced {
                assert_eq!(of(&mut some, addr), of(&mut all, addr), "{only} {except}");
                assert_ne!(of(&mut some, addr), addr);
            }
        }
    }

    #[test]
    fn nobody_and_everybody_keep_their_mac_address() {
        let mut crypt = rule(true, None, "", "");
        for mac in [0, (1 << 48) - 1] {
            assert_eq!(crypt.mac(mac), mac);
        }
        assert_ne!(crypt.mac(0x0211_2233_4455), 0x0211_2233_4455);
        assert_eq!(crypt.mac(7 << 48 | 0x0211_2233_4455), crypt.mac(0x0211_2233_4455));
    }
}
