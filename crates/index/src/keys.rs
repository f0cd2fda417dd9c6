//! Distinct keys, and about how many there are.

/// A set of keys by open addressing; keys are mixed already.
#[derive(Debug)]
pub(crate) struct KeySet {
    /// 0 is nothing; key 0 stands as 1.
    slots: Vec<u64>,
    len: usize,
}

const LEAST: usize = 1 << 10;

impl Default for KeySet {
    fn default() -> Self {
        Self { slots: vec![0; LEAST], len: 0 }
    }
}

impl KeySet {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether it was not in.
    #[inline]
    pub(crate) fn insert(&mut self, key: u64) -> bool {
        let key = key.max(1);
        let mask = self.slots.len() - 1;
        let mut at = key as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == key {
                return false;
            }
            if *slot == 0 {
                *slot = key;
                self.len += 1;
                if self.len * 2 > self.slots.len() {
                    self.grow();
                }
                return true;
            }
            at = (at + 1) & mask;
        }
        false
    }

    fn grow(&mut self) {
        let wider = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, wider);
        self.len = 0;
        old.into_iter().filter(|key| *key != 0).for_each(|key| {
            self.insert(key);
        });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.slots.iter().copied().filter(|key| *key != 0)
    }

    /// Empties it. What the usual number of keys takes is kept.
    pub(crate) fn clear(&mut self) {
        const KEPT: usize = 1 << 17;
        self.slots.truncate(KEPT);
        self.slots.fill(0);
        self.len = 0;
    }
}

/// About how many distinct keys there are, to a few in a hundred: by a sample where there are
/// many.
pub(crate) fn estimate(keys: &[u64]) -> usize {
    const ALL: usize = 1 << 16;
    const SHARE: u64 = 32;
    let share = if keys.len() <= ALL { 1 } else { SHARE };
    let mut sample = KeySet::default();
    // Bits that neither the page nor the place in it is chosen by alone.
    for key in keys.iter().filter(|key| (*key >> 16).is_multiple_of(share)) {
        sample.insert(*key);
    }
    sample.len() * share as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Role;
    use record::Addr;
    use std::collections::HashSet;

    #[test]
    fn holds_what_a_set_holds() {
        let (mut ours, mut theirs) = (KeySet::default(), HashSet::new());
        for round in 0..3_u64 {
            for n in 0..30_000_u32 {
                let key = Role::End.host(Addr::V4(n % 20_000)).wrapping_mul(round);
                assert_eq!(ours.insert(key), theirs.insert(key.max(1)));
            }
            assert_eq!(ours.len(), theirs.len());
            assert_eq!(ours.iter().collect::<HashSet<_>>(), theirs);
            ours.clear();
            theirs.clear();
            assert_eq!((ours.len(), ours.iter().count()), (0, 0));
        }
    }

    #[test]
    fn estimates_are_close() {
        for distinct in [0, 1, 100, 10_000, 100_000, 700_000_u32] {
            let keys: Vec<u64> =
                (0..distinct * 2).map(|n| Role::End.host(Addr::V4(n % distinct))).collect();
            let (got, want) = (estimate(&keys) as f64, f64::from(distinct));
            assert!((got - want).abs() <= want * 0.05, "{got} for {want}");
        }
    }
}
