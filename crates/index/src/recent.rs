//! Addresses that came lately in a file, by a few of their bits: whoever comes again costs no key.

use crate::digest::Digest;
use crate::key::{Key, Role};

/// What came, and under which stamp it came last.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Address, part (bits 32 to 35), stamp (from bit 36).
    v4: Box<[u64; 1 << V4_BITS]>,
    /// Keys, with their stamp.
    keys: Box<[(Key, u32); 1 << KEY_BITS]>,
}

/// 256 KiB: more would not stay close to a core.
const V4_BITS: u32 = 15;
const KEY_BITS: u32 = 13;
/// Of no part and no stamp that there is.
const NOTHING: u64 = u64::MAX;

/// Addresses of one part.
pub(crate) struct RecentV4<'r> {
    table: &'r mut [u64; 1 << V4_BITS],
    /// Part and stamp, at their places.
    mark: u64,
}

impl Recent {
    /// Nothing came.
    pub(crate) fn clear(&mut self) {
        self.v4.fill(NOTHING);
        self.keys.fill((Key(0), 0));
    }

    /// Addresses of IPv4 that play this part, under this stamp.
    #[inline(always)]
    pub(crate) fn v4(&mut self, role: Role, stamp: u32) -> RecentV4<'_> {
        RecentV4 { table: &mut self.v4, mark: (role as u64) << 32 | u64::from(stamp) << 36 }
    }

    /// Adds a key to a digest, where it did not come a moment ago.
    #[inline(always)]
    pub(crate) fn key(&mut self, key: Key, stamp: u32, digest: &mut Digest) {
        let last = &mut self.keys[(key.0 >> (64 - KEY_BITS)) as usize];
        if *last == (key, stamp) {
            return;
        }
        digest.keys.push(key);
        if last.0 != key || last.1 == 0 {
            digest.of_file.push(key);
        }
        *last = (key, stamp);
    }
}

/// How an address differs from that which was in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Other(u64);

impl Other {
    /// The same one.
    pub(crate) const NONE: Self = Self(0);

    /// Whether the address is new under the stamp.
    #[inline(always)]
    pub(crate) const fn is_new(self) -> bool {
        self.0 != 0
    }

    /// Whether it is new in the file.
    #[inline(always)]
    pub(crate) const fn is_of_file(self) -> bool {
        self.0 << 28 != 0
    }
}

impl RecentV4<'_> {
    /// Takes an address.
    #[inline(always)]
    pub(crate) fn swap(&mut self, addr: u32) -> Other {
        let last = &mut self.table[(addr.wrapping_mul(0x9e37_79b1) >> (32 - V4_BITS)) as usize];
        let entry = u64::from(addr) | self.mark;
        Other(std::mem::replace(last, entry) ^ entry)
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self { v4: boxed(NOTHING), keys: boxed((Key(0), 0)) }
    }
}

/// Not by way of the stack.
fn boxed<T: Copy, const N: usize>(of: T) -> Box<[T; N]> {
    match vec![of; N].try_into() {
        Ok(room) => room,
        Err(_) => Box::new([of; N]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Addr;

    #[test]
    fn what_comes_again_is_told_by_stretch_and_file() {
        let mut recent = Recent::default();
        let address = 0x0a00_0001;
        for (what, role, stamp, addr, want) in [
            ("first", Role::End, 1, address, (true, true)),
            ("again", Role::End, 1, address, (false, false)),
            ("in another stretch", Role::End, 2, address, (true, false)),
            ("again there", Role::End, 2, address, (false, false)),
            ("in another part", Role::Hop, 2, address, (true, true)),
            ("zero", Role::End, 2, 0, (true, true)),
            ("zero again", Role::End, 2, 0, (false, false)),
        ] {
            let other = recent.v4(role, stamp).swap(addr);
            assert_eq!((other.is_new(), other.is_of_file()), want, "{what}");
            let (mut digest, mut keys) = (Digest::default(), Recent::default());
            keys.key(role.host(Addr::V4(addr)), stamp, &mut digest);
            keys.key(role.host(Addr::V4(addr)), stamp + 1, &mut digest);
            keys.key(role.host(Addr::V4(addr)), stamp + 1, &mut digest);
            assert_eq!((digest.keys.len(), digest.of_file.len()), (2, 1));
        }
        recent.clear();
        assert!(recent.v4(Role::End, 2).swap(address).is_of_file());
    }
}
