//! Tables from addresses to values: stretches that cover all addresses, bisected from a coarse
//! index.

use record::{Addr, Networks};

/// What is known of every address of both families; the default value where nothing is.
#[derive(Clone, Debug)]
pub(crate) struct Table<V> {
    v4: Ranges<u32, V>,
    v6: Ranges<u128, V>,
}

impl<V: Copy + Default + PartialEq> Table<V> {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self { v4: Ranges::new(), v6: Ranges::new() }
    }

    /// From `first` on the value is this. To be called in ascending order within a family.
    pub(crate) fn push(&mut self, first: Addr, value: V) {
        match first {
            Addr::V4(n) => self.v4.push(n, value),
            Addr::V6(n) => self.v6.push(n, value),
        }
    }

    /// Takes over what another table knows of addresses that this one does not know.
    #[must_use]
    pub(crate) fn filled_from(self, other: &Self) -> Self {
        Self { v4: self.v4.filled_from(&other.v4), v6: self.v6.filled_from(&other.v6) }
    }

    /// Makes look-ups quick; to be called once, after the last `push`.
    #[must_use]
    pub(crate) fn indexed(mut self) -> Self {
        self.v4.build_index();
        self.v6.build_index();
        self
    }

    #[inline]
    pub(crate) fn get(&self, addr: Addr) -> V {
        match addr {
            Addr::V4(n) => self.v4.get(n),
            Addr::V6(n) => self.v6.get(n),
        }
    }

    /// Stretches with a known value that `wanted` holds for.
    pub(crate) fn networks(&self, wanted: impl Fn(V) -> bool) -> Networks {
        let known = |value: V| value != V::default() && wanted(value);
        Networks { v4: self.v4.stretches(known), v6: self.v6.stretches(known) }
    }

    /// Octets of memory in use.
    pub(crate) fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }
}

/// Addresses of one family as numbers.
trait Key: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    fn before(self) -> Self;
    /// `self - base`, shifted right. `base` is not larger and the result fits.
    fn slot(self, base: Self, shift: u32) -> usize;
    /// Bits of `self - base` that are in use.
    fn bits_above(self, base: Self) -> u32;
}

macro_rules! keys {
    ($($t:ty),*) => {$(
        impl Key for $t {
            const MIN: Self = 0;
            const MAX: Self = <$t>::MAX;
            fn before(self) -> Self {
                self.wrapping_sub(1)
            }
            #[inline]
            fn slot(self, base: Self, shift: u32) -> usize {
                (self.wrapping_sub(base) >> shift) as usize
            }
            fn bits_above(self, base: Self) -> u32 {
                <$t>::BITS - self.wrapping_sub(base).leading_zeros()
            }
        }
    )*};
}

keys!(u32, u128);

/// Bits of the largest index: 1 MiB of it.
const MAX_INDEX_BITS: u32 = 18;

/// One family. Stretch `i` goes from `starts[i]` to just before `starts[i + 1]` or to the end;
/// the first starts at 0, and neighbours differ in value.
#[derive(Clone, Debug)]
struct Ranges<K, V> {
    starts: Vec<K>,
    values: Vec<V>,
    /// `index[s]` stretches start before slot `s`, counted from `base` in units of `1 << shift`.
    index: Vec<u32>,
    base: K,
    shift: u32,
}

impl<K: Key, V: Copy + Default + PartialEq> Ranges<K, V> {
    fn new() -> Self {
        let (starts, values) = (vec![K::MIN], vec![V::default()]);
        Self { starts, values, index: Vec::new(), base: K::MAX, shift: 0 }
    }

    fn push(&mut self, first: K, value: V) {
        if self.values.last() == Some(&value) {
            return;
        }
        if self.starts.last() == Some(&first) {
            self.starts.pop();
            self.values.pop();
            return self.push(first, value);
        }
        self.starts.push(first);
        self.values.push(value);
    }

    fn filled_from(&self, other: &Self) -> Self {
        let mut out = Self::new();
        let (mut mine, mut theirs) = (self.runs().peekable(), other.runs().peekable());
        let (mut value, mut spare) = (V::default(), V::default());
        loop {
            let first = match (mine.peek(), theirs.peek()) {
                (Some(a), Some(b)) => a.0.min(b.0),
                (Some(a), None) => a.0,
                (None, Some(b)) => b.0,
                (None, None) => return out,
            };
            if let Some(run) = mine.next_if(|run| run.0 == first) {
                value = run.1;
            }
            if let Some(run) = theirs.next_if(|run| run.0 == first) {
                spare = run.1;
            }
            out.push(first, if value == V::default() { spare } else { value });
        }
    }

    /// About as many slots as stretches, over the span where they start.
    fn build_index(&mut self) {
        self.starts.shrink_to_fit();
        self.values.shrink_to_fit();
        let (Some(&base), Some(&last)) = (self.starts.get(1), self.starts.last()) else { return };
        let bits = self.starts.len().next_power_of_two().trailing_zeros().min(MAX_INDEX_BITS);
        self.base = base;
        self.shift = last.bits_above(base).saturating_sub(bits);
        let slots = last.slot(base, self.shift) + 1;
        let mut index = vec![0u32; slots + 1];
        // The stretch at the very start has no slot; each counts for all slots behind its own.
        if let Some(first) = index.first_mut() {
            *first = 1;
        }
        for start in self.starts.iter().skip(1) {
            if let Some(count) = index.get_mut(start.slot(base, self.shift) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for count in &mut index {
            sum += *count;
            *count = sum;
        }
        self.index = index;
    }

    #[inline]
    fn get(&self, key: K) -> V {
        if key < self.base {
            // Before the second stretch, or not indexed: a table of one stretch.
            return self.values.first().copied().unwrap_or_default();
        }
        let slot = key.slot(self.base, self.shift);
        let [from, to] = match self.index.get(slot..).and_then(<[u32]>::first_chunk::<2>) {
            Some(pair) => pair.map(|n| n as usize),
            None => [self.starts.len(); 2],
        };
        let near = self.starts.get(from..to).unwrap_or(&[]);
        let at = from + near.partition_point(|start| *start <= key);
        self.values.get(at.wrapping_sub(1)).copied().unwrap_or_default()
    }

    fn stretches(&self, wanted: impl Fn(V) -> bool) -> Vec<(K, K)> {
        let ends = self.starts.iter().skip(1).map(|next| next.before()).chain([K::MAX]);
        let all = self.runs().zip(ends);
        all.filter(|((_, value), _)| wanted(*value)).map(|((first, _), end)| (first, end)).collect()
    }

    fn runs(&self) -> impl Iterator<Item = (K, V)> {
        self.starts.iter().copied().zip(self.values.iter().copied())
    }

    fn memory(&self) -> usize {
        self.starts.capacity() * size_of::<K>()
            + self.values.capacity() * size_of::<V>()
            + self.index.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Looks through all stretches.
    fn scan<V: Copy + Default + PartialEq>(pushed: &[(u32, V)], key: u32) -> V {
        pushed.iter().rev().find(|(first, _)| *first <= key).map_or_else(V::default, |p| p.1)
    }

    fn table(pushed: &[(u32, u8)]) -> Ranges<u32, u8> {
        let mut ranges = Ranges::new();
        for (first, value) in pushed {
            ranges.push(*first, *value);
        }
        ranges.build_index();
        ranges
    }

    /// Few values near each other, so that stretches touch, are empty, and repeat.
    fn stretches() -> impl Strategy<Value = Vec<(u32, u8)>> {
        let first = prop_oneof![0..40u32, any::<u32>(), u32::MAX - 9..=u32::MAX];
        proptest::collection::btree_map(first, 0..3u8, 0..60).prop_map(|m| m.into_iter().collect())
    }

    proptest! {
        #[test]
        fn bisecting_finds_what_scanning_finds(
            pushed in stretches(),
            keys in proptest::collection::vec(any::<u32>(), 20),
        ) {
            let ranges = table(&pushed);
            let near = pushed.iter().flat_map(|(f, _)| [f.wrapping_sub(1), *f, f.wrapping_add(1)]);
            for key in near.chain(keys) {
                prop_assert_eq!(ranges.get(key), scan(&pushed, key), "{}", key);
            }
        }

        #[test]
        fn the_first_table_wins(a in stretches(), b in stretches()) {
            let mut both = table(&a).filled_from(&table(&b));
            both.build_index();
            for key in a.iter().chain(&b).flat_map(|(f, _)| [f.wrapping_sub(1), *f]) {
                let want = Some(scan(&a, key)).filter(|v| *v != 0).unwrap_or_else(|| scan(&b, key));
                prop_assert_eq!(both.get(key), want, "{}", key);
            }
        }

        #[test]
        fn networks_hold_exactly_the_addresses_of_a_value(pushed in stretches()) {
            let ranges = table(&pushed);
            let found = ranges.stretches(|v| v == 2);
            for key in pushed.iter().flat_map(|(f, _)| [f.wrapping_sub(1), *f]) {
                let inside = found.iter().any(|(a, b)| (*a..=*b).contains(&key));
                prop_assert_eq!(inside, scan(&pushed, key) == 2, "{}", key);
            }
        }
    }

    #[test]
    fn stretches_with_one_value_become_one() {
        let ranges = table(&[(0, 0), (10, 1), (20, 1), (30, 0), (40, 0)]);
        assert_eq!(ranges.starts, [0, 10, 30]);
        assert_eq!(ranges.stretches(|v| v == 1), [(10, 29)]);
    }

    #[test]
    fn both_ends_of_ipv6_are_found() {
        let mut table = Table::new();
        for (first, value) in [(0, 1), (1, 0), (u128::MAX, 7u32)] {
            table.push(Addr::V6(first), value);
        }
        let table = table.indexed();
        for (n, want) in [(0, 1), (1, 0), (1 << 127, 0), (u128::MAX - 1, 0), (u128::MAX, 7)] {
            assert_eq!(table.get(Addr::V6(n)), want, "{n:#x}");
        }
        assert_eq!(table.get(Addr::V4(0)), 0);
    }
}
