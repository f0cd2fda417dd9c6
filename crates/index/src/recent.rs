//! Addresses that came lately in a stretch, as they are: whoever comes again costs no key.
//!
//! Tables are small enough to stay in the innermost cache beside the rows. An address that another
//! one has driven out gets its key once more, which does no harm.

use crate::key::{Key, Role};
use std::fmt::Debug;

/// What came lately.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// By the part that addresses play.
    v4: [Lately<u32, { 1 << 12 }>; ROLES],
    v6: [Lately<u128, { 1 << 10 }>; ROLES],
    /// Keys of addresses with ports.
    keys: Lately<u64, { 1 << 10 }>,
}

/// Parts that there are.
const ROLES: usize = 4;

/// What came lately of one kind.
#[derive(Debug)]
pub(crate) struct Lately<T, const N: usize> {
    /// Stretch that it is of.
    stamp: u32,
    slots: Box<[T; N]>,
}

/// What is remembered by its hash, of which there are as many as slots.
pub(crate) trait Hashed: Copy + Eq + Debug {
    /// Is put where it does not belong: that place is empty.
    const ZERO: Self;
    const ONE: Self;

    /// The upper bits are those that count.
    fn hash(self) -> u64;
}

impl Recent {
    /// Nothing came.
    pub(crate) fn clear(&mut self) {
        self.v4.iter_mut().for_each(|lately| lately.stamp = 0);
        self.v6.iter_mut().for_each(|lately| lately.stamp = 0);
        self.keys.stamp = 0;
    }

    /// Addresses of IPv4 that play this part, under this stamp, which is not 0.
    #[inline(always)]
    pub(crate) fn v4(&mut self, role: Role, stamp: u32) -> &mut Lately<u32, { 1 << 12 }> {
        self.v4[role as usize % ROLES].under(stamp)
    }

    /// The same of IPv6.
    #[inline(always)]
    pub(crate) fn v6(&mut self, role: Role, stamp: u32) -> &mut Lately<u128, { 1 << 10 }> {
        self.v6[role as usize % ROLES].under(stamp)
    }

    /// Whether a key did not come a moment ago.
    #[inline(always)]
    pub(crate) fn is_new_key(&mut self, key: Key, stamp: u32) -> bool {
        self.keys.under(stamp).swap(key.0)
    }
}

impl<T: Hashed, const N: usize> Lately<T, N> {
    /// Of another stamp, nothing came.
    #[inline(always)]
    fn under(&mut self, stamp: u32) -> &mut Self {
        if self.stamp != stamp {
            self.begin(stamp);
        }
        self
    }

    #[cold]
    fn begin(&mut self, stamp: u32) {
        self.stamp = stamp;
        self.slots.fill(T::ZERO);
        self.slots[Self::slot(T::ZERO)] = T::ONE;
    }

    #[inline(always)]
    fn slot(value: T) -> usize {
        (value.hash() >> (64 - N.trailing_zeros())) as usize % N
    }

    /// Takes a value; whether it was not there.
    #[inline(always)]
    pub(crate) fn swap(&mut self, value: T) -> bool {
        let last = &mut self.slots[Self::slot(value)];
        std::mem::replace(last, value) != value
    }

    /// Whether a value is there.
    #[inline(always)]
    pub(crate) fn has(&self, value: T) -> bool {
        self.slots[Self::slot(value)] == value
    }
}

impl<T: Hashed, const N: usize> Default for Lately<T, N> {
    fn default() -> Self {
        const { assert!(N.is_power_of_two() && N > 1) };
        // Not by way of the stack.
        let slots = vec![T::ZERO; N].try_into().unwrap_or_else(|_| Box::new([T::ZERO; N]));
        Self { stamp: 0, slots }
    }
}

/// An odd number with as many ones as zeros.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hashed for u32 {
    const ZERO: Self = 0;
    const ONE: Self = 1;

    #[inline(always)]
    fn hash(self) -> u64 {
        u64::from(self).wrapping_mul(SPREAD)
    }
}

impl Hashed for u64 {
    const ZERO: Self = 0;
    const ONE: Self = Self::MAX;

    #[inline(always)]
    fn hash(self) -> u64 {
        self // a key is one
    }
}

impl Hashed for u128 {
    const ZERO: Self = 0;
    const ONE: Self = 1;

    #[inline(always)]
    fn hash(self) -> u64 {
        let (high, low) = ((self >> 64) as u64, self as u64);
        (high.wrapping_mul(SPREAD).rotate_left(32) ^ low).wrapping_mul(SPREAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Addr;

    #[test]
    fn what_comes_again_is_told_by_part_and_stretch() {
        let mut recent = Recent::default();
        let address = 0x0a00_0001;
        for (what, role, stamp, addr, want) in [
            ("first", Role::End, 1, address, true),
            ("again", Role::End, 1, address, false),
            ("in another stretch", Role::End, 2, address, true),
            ("again there", Role::End, 2, address, false),
            ("in another part", Role::Hop, 2, address, true),
            ("zero", Role::End, 2, 0, true),
            ("zero again", Role::End, 2, 0, false),
            ("one", Role::End, 2, 1, true),
            ("all ones", Role::End, 2, u32::MAX, true),
            ("the last part", Role::Tunnel, 2, 0, true),
        ] {
            assert_eq!(!recent.v4(role, stamp).has(addr), want, "{what}");
            assert_eq!(recent.v4(role, stamp).swap(addr), want, "{what}");
            assert!(recent.v4(role, stamp).has(addr), "{what}");
            let wide = u128::from(addr) << 64;
            for addr in [wide, wide >> 64 | 1 << 127] {
                assert_eq!(recent.v6(role, stamp).swap(addr), want, "{what}");
            }
        }
        assert!(recent.v6(Role::End, 3).swap(0) && !recent.v6(Role::End, 3).swap(0));
        for key in [0, 1, u64::MAX, Role::End.host(Addr::V4(address)).0].map(Key) {
            assert!(recent.is_new_key(key, 1) && !recent.is_new_key(key, 1), "{key:?}");
        }
        recent.clear();
        assert!(recent.v4(Role::End, 2).swap(address) && recent.v6(Role::End, 2).swap(1 << 64));
        assert!(recent.is_new_key(Key(7), 1));
    }
}
