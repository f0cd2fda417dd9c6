//! Sets of values that are only counted: exact while they are small, estimated beyond.
//!
//! A [`Set`] keeps its values until there are more than [`EXACT_LIMIT`] of them; then it becomes a
//! HyperLogLog of 2^14 registers, whose estimate has a standard error of 1.04 / sqrt(2^14), 0.8 %.
//! What a set says depends only on which values were added: neither on their order nor on how the
//! work was spread and joined again. So values are hashed by a fixed function.
//!
//! Sources: Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation
//! algorithm" (2007), for the registers; Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (2017), section 3, for an estimate without bias over the whole range.

/// Different values that a set counts exactly.
pub(crate) const EXACT_LIMIT: usize = 4096;

/// A value: its octets in two words and the class of its key, 1 for IPv6. A class takes part, so
/// that 0.0.0.1 is not ::1.
pub(crate) type Value = ([u64; 2], bool);

/// A set of values. Most sets of a long table hold one value, which needs no memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Set {
    #[default]
    Empty,
    One(Value),
    Few(Box<Few>),
    Many(Box<Sketch>),
}

/// Values in ascending order: those of one word, and the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Few {
    narrow: Vec<u64>,
    wide: Vec<([u64; 2], bool)>,
}

/// How many different values there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) n: u64,
    pub(crate) is_exact: bool,
}

impl Set {
    /// Adds a value. Returns by how many octets the set has grown, as far as memory is concerned.
    pub(crate) fn insert(&mut self, value: Value) -> usize {
        match self {
            Self::Empty => {
                *self = Self::One(value);
                0
            }
            Self::One(other) if *other == value => 0,
            Self::One(other) => {
                let mut few = Few::default();
                few.insert(*other);
                few.insert(value);
                let grown = size_of::<Few>() + few.size();
                *self = Self::Few(Box::new(few));
                grown
            }
            Self::Few(few) => {
                let before = few.size();
                few.insert(value);
                if few.len() <= EXACT_LIMIT {
                    return few.size() - before;
                }
                *self = Self::Many(Box::new(few.sketch()));
                size_of::<Sketch>().saturating_sub(before)
            }
            Self::Many(sketch) => {
                sketch.insert(hash(value));
                0
            }
        }
    }

    /// Adds all values of another set.
    pub(crate) fn absorb(&mut self, other: Self) {
        match other {
            Self::Empty => {}
            Self::One(value) => {
                self.insert(value);
            }
            Self::Few(few) => {
                few.values().for_each(|v| {
                    self.insert(v);
                });
            }
            Self::Many(mut sketch) => {
                match std::mem::take(self) {
                    Self::Empty => {}
                    Self::One(value) => sketch.insert(hash(value)),
                    Self::Few(few) => few.values().for_each(|v| sketch.insert(hash(v))),
                    Self::Many(mine) => sketch.absorb(&mine),
                }
                *self = Self::Many(sketch);
            }
        }
    }

    /// How many different values were added.
    pub(crate) fn count(&self) -> Count {
        match self {
            Self::Empty => Count { n: 0, is_exact: true },
            Self::One(_) => Count { n: 1, is_exact: true },
            Self::Few(few) => Count { n: few.len() as u64, is_exact: true },
            Self::Many(sketch) => Count { n: sketch.estimate(), is_exact: false },
        }
    }
}

impl Few {
    fn insert(&mut self, value: Value) {
        match value {
            ([n, 0], false) => {
                if let Err(at) = self.narrow.binary_search(&n) {
                    self.narrow.insert(at, n);
                }
            }
            value => {
                if let Err(at) = self.wide.binary_search(&value) {
                    self.wide.insert(at, value);
                }
            }
        }
    }

    const fn len(&self) -> usize {
        self.narrow.len() + self.wide.len()
    }

    /// Octets on the heap.
    const fn size(&self) -> usize {
        self.narrow.capacity() * size_of::<u64>() + self.wide.capacity() * size_of::<Value>()
    }

    fn values(&self) -> impl Iterator<Item = Value> + '_ {
        self.narrow.iter().map(|n| ([*n, 0], false)).chain(self.wide.iter().copied())
    }

    fn sketch(&self) -> Sketch {
        let mut sketch = Sketch::default();
        self.values().for_each(|v| sketch.insert(hash(v)));
        sketch
    }
}

/// Bits of a hash that choose a register.
const P: u32 = 14;
const REGISTERS: usize = 1 << P;
/// Bits of a hash that are left for the rank.
const Q: usize = 64 - P as usize;

/// A HyperLogLog: for each register the largest rank met, 0 for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sketch([u8; REGISTERS]);

impl Default for Sketch {
    fn default() -> Self {
        Self([0; REGISTERS])
    }
}

impl Sketch {
    fn insert(&mut self, hash: u64) {
        let register = (hash >> (64 - P)) as usize;
        // The place of the first 1 among the other bits, from 1; one more than there are for none.
        let rank = ((hash << P).leading_zeros().min(Q as u32) + 1) as u8;
        if let Some(r) = self.0.get_mut(register) {
            *r = (*r).max(rank);
        }
    }

    fn absorb(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
    }

    fn estimate(&self) -> u64 {
        let mut histogram = [0u32; Q + 2];
        for rank in self.0 {
            if let Some(n) = histogram.get_mut(usize::from(rank)) {
                *n += 1;
            }
        }
        let m = REGISTERS as f64;
        let share = |k: usize| f64::from(histogram.get(k).copied().unwrap_or(0)) / m;
        let mut z = m * tau(1.0 - share(Q + 1));
        for k in (1..=Q).rev() {
            z = 0.5 * (z + share(k) * m);
        }
        z += m * sigma(share(0));
        let alpha = 0.5 / std::f64::consts::LN_2;
        (alpha * m * m / z).round() as u64
    }
}

/// What registers that are still 0 add (Ertl, formula 14): x + sum of x^(2^k) * 2^(k-1).
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    // x < 1 is squared each time: it vanishes long before this many rounds.
    for _ in 0..64 {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            break;
        }
    }
    z
}

/// What registers that are full add (Ertl, formula 16).
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    for _ in 0..64 {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            break;
        }
    }
    z / 3.0
}

/// The fixed hash of a value: the mixing steps of SplitMix64 over its words.
const fn hash((words, is_v6): Value) -> u64 {
    let mixed = mix(words[0] ^ if is_v6 { 0x6a09_e667_f3bc_c908 } else { 0 });
    mix(mixed ^ words[1])
}

const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn values(n: u64, salt: u64) -> impl Iterator<Item = Value> {
        (0..n).map(move |i| match i % 3 {
            0 => ([i, salt], true),
            1 => ([i, 0], true),
            _ => ([i, 0], false),
        })
    }

    #[test]
    fn sets_are_exact_up_to_the_limit_and_estimates_beyond() {
        for n in [0u64, 1, 2, 3, 100, 4095, 4096, 4097, 5000, 20_000, 40_000, 80_000, 1_000_000] {
            let mut set = Set::default();
            for v in values(n, 7).chain(values(n, 7)) {
                set.insert(v);
            }
            let count = set.count();
            assert_eq!(count.is_exact, n <= EXACT_LIMIT as u64, "{n}");
            let error = (count.n as f64 - n as f64).abs() / (n as f64).max(1.0);
            assert!(error <= if count.is_exact { 0.0 } else { 0.03 }, "{n}: {}", count.n);
        }
    }

    /// The mean over many sets lies closer to the truth than one set does: no bias.
    #[test]
    fn estimates_have_no_bias() {
        for n in [5000u64, 30_000, 45_000, 70_000] {
            let sum: f64 = (1..=20)
                .map(|salt| {
                    let mut set = Set::default();
                    (0..n).for_each(|i| {
                        set.insert(([i, salt], true));
                    });
                    set.count().n as f64
                })
                .sum();
            let error = (sum / 20.0 / n as f64 - 1.0).abs();
            assert!(error < 0.006, "{n}: {error}");
        }
    }

    /// However values are spread over sets that are joined in any order, the set is the same.
    #[test]
    fn joined_sets_are_those_of_all_values() {
        let mut x = 5u64;
        for n in [1u64, 2, 9, 4000, 4096, 4097, 9000] {
            for parts in [1usize, 2, 5] {
                let mut whole = Set::default();
                let mut split = vec![Set::default(); parts];
                let mut oracle = HashSet::new();
                for v in values(n, 1) {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    whole.insert(v);
                    split[(x >> 40) as usize % parts].insert(v);
                    split[(x >> 50) as usize % parts].insert(v);
                    oracle.insert(v);
                }
                split.rotate_left((x >> 60) as usize % parts);
                let mut joined = Set::default();
                split.into_iter().for_each(|s| joined.absorb(s));
                assert_eq!(joined.count(), whole.count(), "{n} in {parts}");
                if let (Set::Many(a), Set::Many(b)) = (&joined, &whole) {
                    assert_eq!(a, b);
                } else {
                    assert_eq!(joined.count().n, oracle.len() as u64);
                }
            }
        }
    }

    #[test]
    fn growth_is_told() {
        let mut set = Set::default();
        let grown: usize = values(4096, 3).map(|v| set.insert(v)).sum();
        let Set::Few(few) = &set else { panic!("still exact") };
        assert_eq!(grown, size_of::<Few>() + few.size());
        assert!(size_of::<Set>() <= 32, "many sets of one value are small");
    }
}
