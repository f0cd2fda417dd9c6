//! CryptoPAn: addresses that share their first n bits share the first n bits afterwards, too (Xu,
//! Fan, Ammar, Moon: Prefix-preserving IP address anonymization, ICNP 2002).
//!
//! Bit `n` of an address is flipped or not according to the first bit of a block cipher's output.
//! What is enciphered are the `n` bits before it, filled up with a secret pad. So an address of
//! 32 bits takes 32 blocks, which are given to the cipher together: processors with AES instructions
//! work on several at once. What the first 16 bits come to is worked out for all addresses before.

use crate::Key;
use aes::Aes128;
use aes::cipher::{Block, BlockCipherEncrypt as _, KeyInit as _};

/// The mapping of one key. Shared by threads; a [`Replacer`](crate::Replacer) has a cache before it.
pub struct CryptoPan {
    cipher: Aes128,
    pad: u128,
    /// Of MAC addresses: that of IPv6 would tell what begins alike.
    mac_pad: u128,
    /// What the first 16 bits of an IPv4 address are changed by.
    top: Vec<u16>,
}

/// Blocks that the cipher is given at once.
const BATCH: usize = 32;
/// Bits of an IPv4 address that a table has.
const TOP: u32 = 16;

impl CryptoPan {
    /// The mapping of a key.
    pub fn new(key: &Key) -> Self {
        let cipher = Aes128::new(&key.cipher().into());
        let encipher = |octets: [u8; 16]| {
            let mut block: Block<Aes128> = octets.into();
            cipher.encrypt_block(&mut block);
            u128::from_be_bytes(block.into())
        };
        let pad = encipher(key.pad());
        let mac_pad = encipher((pad ^ 0x004D_4143).to_be_bytes());
        let mut all = Self { cipher, pad, mac_pad, top: Vec::new() };
        all.fill_top();
        all
    }

    fn fill_top(&mut self) {
        self.top = vec![0; 1 << TOP];
        let mut blocks = Vec::with_capacity(1 << TOP);
        for len in 0..TOP {
            blocks.clear();
            let prefixes = 0..1u128 << len;
            // A shift by all bits is none.
            let left = |prefix: u128| if len == 0 { 0 } else { prefix << (128 - len) };
            blocks.extend(prefixes.map(|p| self.block(left(p), len, self.pad)));
            self.cipher.encrypt_blocks(&mut blocks);
            for (value, flips) in self.top.iter_mut().enumerate() {
                let prefix = value >> (TOP - len);
                let bit = blocks.get(prefix).is_some_and(|b| b[0] >> 7 == 1);
                *flips |= u16::from(bit) << (TOP - 1 - len);
            }
        }
    }

    /// What takes the place of an IPv4 address.
    pub fn v4(&self, addr: u32) -> u32 {
        let top = self.top.get((addr >> TOP) as usize).copied().unwrap_or(0);
        let rest = self.flips(u128::from(addr) << 96, TOP..32, self.pad);
        addr ^ u32::from(top) << TOP ^ (rest >> 96) as u32
    }

    /// What takes the place of an IPv6 address.
    pub fn v6(&self, addr: u128) -> u128 {
        addr ^ self.v6_flips(addr, 0) ^ self.v6_flips(addr, 64)
    }

    /// What 64 bits of an IPv6 address from bit `from` on are changed by.
    pub(crate) fn v6_flips(&self, addr: u128, from: u32) -> u128 {
        self.flips(addr, from..from + 64, self.pad)
    }

    /// What takes the place of a MAC address: addresses of one vendor still have that in common.
    /// Whether it is one of a group stays.
    pub fn mac(&self, mac: u64) -> u64 {
        const GROUP: u64 = 1 << 40;
        let flips = self.flips(u128::from(mac) << 80, 0..48, self.mac_pad) >> 80;
        mac ^ flips as u64 & !GROUP
    }

    /// Bits that are to be flipped, of a value that begins at the highest bit.
    fn flips(&self, value: u128, bits: std::ops::Range<u32>, pad: u128) -> u128 {
        let mut blocks = [Block::<Aes128>::default(); BATCH];
        let (mut flips, mut at) = (0, bits.start);
        while at < bits.end {
            let n = (bits.end - at).min(BATCH as u32);
            let batch = blocks.get_mut(..n as usize).unwrap_or_default();
            for (len, block) in (at..).zip(&mut *batch) {
                *block = self.block(value, len, pad);
            }
            self.cipher.encrypt_blocks(batch);
            for (len, block) in (at..).zip(&*batch) {
                flips |= u128::from(block[0] >> 7) << (127 - len);
            }
            at += n;
        }
        flips
    }

    /// The first `len` bits, at most 127, filled up with the pad.
    fn block(&self, value: u128, len: u32, pad: u128) -> Block<Aes128> {
        let rest = u128::MAX >> len;
        (value & !rest | pad & rest).to_be_bytes().into()
    }
}

impl std::fmt::Debug for CryptoPan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CryptoPan(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// Key of the sample that the authors published with their program.
    const SAMPLE: [u8; 32] = [
        21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131,
        121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2,
    ];

    /// As the paper has it: one bit after the other, one block a bit.
    fn one_by_one(key: &[u8; 32], value: u128, width: u32) -> u128 {
        let (cipher, pad) = key.split_at(16);
        let cipher = Aes128::new(&<[u8; 16]>::try_from(cipher).unwrap().into());
        let encipher = |octets: [u8; 16]| {
            let mut block: Block<Aes128> = octets.into();
            cipher.encrypt_block(&mut block);
            <[u8; 16]>::from(block)
        };
        let pad = u128::from_be_bytes(encipher(pad.try_into().unwrap()));
        let bit = |n: u128, at: u32| n >> (127 - at) & 1;
        let mut out = 0;
        for at in 0..width {
            let input = (0..128)
                .fold(0, |input, i| input << 1 | if i < at { bit(value, i) } else { bit(pad, i) });
            let flip = u128::from(encipher(input.to_be_bytes())[0] >> 7);
            out |= (bit(value, at) ^ flip) << (127 - at);
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn batches_do_what_bits_one_by_one_do(key: [u8; 32], v4: u32, v6: u128) {
            let all = CryptoPan::new(&Key::new(key));
            prop_assert_eq!(all.v4(v4), (one_by_one(&key, u128::from(v4) << 96, 32) >> 96) as u32);
            prop_assert_eq!(all.v6(v6), one_by_one(&key, v6, 128));
        }

        #[test]
        fn as_many_bits_are_shared_as_before(key: [u8; 32], a: u128, common in 0..128u32) {
            let all = CryptoPan::new(&Key::new(key));
            let b = a ^ 1 << (127 - common);
            prop_assert_eq!((all.v6(a) ^ all.v6(b)).leading_zeros(), common);
            let (a, b) = ((a >> 96) as u32, (b >> 96) as u32);
            prop_assert_eq!((all.v4(a) ^ all.v4(b)).leading_zeros(), common.min(32));
            let (a, b) = (u64::from(a) << 16, u64::from(b) << 16);
            // The bit that tells groups stays as it is, and so do those that it has in common.
            prop_assert_eq!((all.mac(a) ^ all.mac(b)).leading_zeros(), (a ^ b).leading_zeros());
            prop_assert_eq!(all.mac(a) >> 40 & 1, a >> 40 & 1);
            prop_assert_eq!(all.mac(a) >> 48, 0);
        }
    }

    #[test]
    fn the_published_sample_comes_out_as_published() {
        let all = CryptoPan::new(&Key::new(SAMPLE));
        let pairs: Vec<(&str, &str)> =
            include_str!("sample.txt").lines().filter_map(|l| l.split_once(' ')).collect();
        assert_eq!(pairs.len(), 71);
        for (from, to) in pairs {
            let got = Ipv4Addr::from_bits(all.v4(from.parse::<Ipv4Addr>().unwrap().to_bits()));
            assert_eq!(got.to_string(), to, "{from}");
        }
    }

    /// As other programs have them that work on IPv6 addresses from their first bit to their last.
    #[test]
    fn ipv6_addresses_come_out_as_elsewhere() {
        let all = CryptoPan::new(&Key::new(SAMPLE));
        for (from, to) in [
            ("::1", "78ff:f001:9fc0:20df:8380:b1f1:704:ed"),
            ("::2", "78ff:f001:9fc0:20df:8380:b1f1:704:ef"),
            ("::ffff", "78ff:f001:9fc0:20df:8380:b1f1:704:f838"),
            ("2001:db8::1", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e"),
            ("2001:db8::2", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c"),
        ] {
            let got = Ipv6Addr::from_bits(all.v6(from.parse::<Ipv6Addr>().unwrap().to_bits()));
            assert_eq!(got.to_string(), to, "{from}");
        }
    }
}
