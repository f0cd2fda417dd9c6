//! What was worked out lately. A place for each hash: newer ones push older ones out, so memory is
//! bounded whatever the addresses are.

/// Values by key.
pub(crate) struct Cache<K, V> {
    slots: Vec<Option<(K, V)>>,
    bits: u32,
}

impl<K: Copy + Eq, V: Copy> Cache<K, V> {
    /// Room for 2^`bits` values; `bits` is 1 to 32.
    pub(crate) fn new(bits: u32) -> Self {
        Self { slots: vec![None; 1 << bits], bits }
    }

    /// The value of `key`, made if it is not there. `mixed` has all of the key in 64 bits.
    #[inline]
    pub(crate) fn get(&mut self, key: K, mixed: u64, make: impl FnOnce() -> V) -> V {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let at = (mixed.wrapping_mul(GOLDEN) >> (64 - self.bits)) as usize;
        match self.slots.get_mut(at) {
            Some(Some((known, value))) if *known == key => *value,
            Some(slot) => {
                let value = make();
                *slot = Some((key, value));
                value
            }
            None => make(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_share_a_place_do_not_share_values() {
        let mut cache = Cache::new(3);
        for round in 0..3 {
            for key in 0..100u32 {
                assert_eq!(cache.get(key, u64::from(key), || key + 1), key + 1, "round {round}");
            }
        }
        cache.get(7u32, 7, || 8);
        assert_eq!(cache.get(7, 7, || unreachable!("it is there")), 8);
    }
}
