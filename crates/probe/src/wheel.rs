//! When entries are to be looked at: a hierarchical timing wheel.
//!
//! Four levels of 256 buckets. A bucket of the first is a tick, of the next ones 256 times as long each. An
//! entry lies where its tick differs first from now, and comes to a level below when that bucket is
//! reached. A packet does not move its entry, it only notes the time: whoever takes an entry
//! out of a due bucket works out when it is due by now and puts it back if that is later.
//!
//! Lists are linked through the entries, in the order they were added; both ends name their bucket, so
//! that an entry can be taken out without knowing where it was put.

/// Ticks of a second: how fine the wheel is.
pub(crate) const TICKS: u64 = 8;
/// Nanoseconds of a tick.
pub(crate) const TICK_NS: u64 = 1_000_000_000 / TICKS;
/// Entries are added at most this many ticks ahead: about 8 years.
pub(crate) const AHEAD: u64 = 1 << 31;

/// No entry.
pub(crate) const NIL: u32 = u32::MAX;
/// Marks the number of a bucket where an entry could be.
const BUCKET: u32 = 1 << 31;

const BITS: u32 = 8;
const BUCKETS: usize = 1 << BITS;
const LEVELS: usize = 4;

/// Neighbours in a bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    prev: u32,
    pub(crate) next: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { prev: NIL, next: NIL }
    }
}

/// Where the links of entries are.
pub(crate) trait Linked {
    fn links(&mut self, slot: u32) -> &mut Links;
}

impl Linked for crate::entry::Slab {
    #[inline]
    fn links(&mut self, slot: u32) -> &mut Links {
        &mut self.cold_mut(slot).links
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    head: u32,
    tail: u32,
}

const EMPTY: Bucket = Bucket { head: NIL, tail: NIL };

/// The wheel.
#[derive(Debug)]
pub(crate) struct Wheel {
    now: u64,
    buckets: Box<[[Bucket; BUCKETS]; LEVELS]>,
    /// Which buckets have entries.
    used: [[u64; BUCKETS / 64]; LEVELS],
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            buckets: Box::new([[EMPTY; BUCKETS]; LEVELS]),
            used: [[0; BUCKETS / 64]; LEVELS],
        }
    }

    /// Forgets all entries, which are not looked at. Now stays now.
    pub(crate) fn clear(&mut self) {
        *self = Self { now: self.now, ..Self::new() };
    }

    /// The tick up to which all that was due is done.
    #[inline]
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    /// A tick of which only the low bits are known; it lies at most `AHEAD` ticks before now.
    #[inline]
    pub(crate) const fn full(&self, low: u32) -> u64 {
        self.now.wrapping_sub((self.now as u32).wrapping_sub(low) as u64)
    }

    /// Adds an entry. What is due already comes at the next tick.
    pub(crate) fn insert(&mut self, entries: &mut impl Linked, slot: u32, due: u64) {
        let due = due.clamp(self.now.saturating_add(1), self.now.saturating_add(AHEAD));
        let differs = (due ^ self.now).checked_ilog2().unwrap_or(0) / BITS;
        let level = (differs as usize).min(LEVELS - 1);
        let at = (due >> (BITS * level as u32)) as usize % BUCKETS;
        let name = BUCKET | (level * BUCKETS + at) as u32;
        let bucket = &mut self.buckets[level][at];
        *entries.links(slot) = Links { prev: name, next: name };
        if bucket.tail == NIL {
            bucket.head = slot;
            self.used[level][at / 64] |= 1 << (at % 64);
        } else {
            entries.links(bucket.tail).next = slot;
            entries.links(slot).prev = bucket.tail;
        }
        bucket.tail = slot;
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, entries: &mut impl Linked, slot: u32) {
        let Links { prev, next } = std::mem::take(entries.links(slot));
        if prev == NIL {
            return;
        }
        let is_first = prev & BUCKET != 0;
        let is_last = next & BUCKET != 0;
        if !is_first {
            entries.links(prev).next = next;
        }
        if !is_last {
            entries.links(next).prev = prev;
        }
        if !is_first && !is_last {
            return;
        }
        let name = if is_first { prev } else { next };
        let name = (name & !BUCKET) as usize;
        let (level, at) = (name / BUCKETS % LEVELS, name % BUCKETS);
        let bucket = &mut self.buckets[level][at];
        if is_first {
            bucket.head = if is_last { NIL } else { next };
        }
        if is_last {
            bucket.tail = if is_first { NIL } else { prev };
        }
        if is_first && is_last {
            self.used[level][at / 64] &= !(1 << (at % 64));
        }
    }

    /// Goes on to the next bucket that is reached by tick `to`, and takes all entries out of it, the
    /// first of which is returned; the others follow by their links. `None` if there is none any
    /// more: `to` is now.
    pub(crate) fn advance(&mut self, to: u64) -> Option<u32> {
        let Some((tick, level, at)) = self.next().filter(|next| next.0 <= to) else {
            self.now = self.now.max(to);
            return None;
        };
        self.now = tick;
        let bucket = std::mem::replace(&mut self.buckets[level][at], EMPTY);
        self.used[level][at / 64] &= !(1 << (at % 64));
        Some(bucket.head)
    }

    /// The entry behind this one in a list that was taken out, which is on its own then.
    pub(crate) fn unchain(entries: &mut impl Linked, slot: u32) -> Option<u32> {
        let next = std::mem::take(entries.links(slot)).next;
        (next & BUCKET == 0).then_some(next)
    }

    /// The tick when the next bucket is reached. Its entries are due then or later.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        self.next().map(|next| next.0)
    }

    fn next(&self) -> Option<(u64, usize, usize)> {
        (0..LEVELS).find_map(|level| self.next_of(level))
    }

    /// The next bucket of a level, and when it is reached. On levels below the last, buckets behind
    /// the one of now are always empty.
    fn next_of(&self, level: usize) -> Option<(u64, usize, usize)> {
        let shift = BITS * level as u32;
        let here = (self.now >> shift) as usize % BUCKETS;
        let at = first_used(&self.used[level], here + 1, BUCKETS)
            .or_else(|| first_used(&self.used[level], 0, here + 1))?;
        let round = self.now >> shift >> BITS << BITS << shift;
        let turn = if at > here { 0 } else { 1 << shift << BITS };
        Some((round.saturating_add(turn).saturating_add((at as u64) << shift), level, at))
    }
}

/// The first bit that is set from `from` to before `to`.
fn first_used(words: &[u64; BUCKETS / 64], from: usize, to: usize) -> Option<usize> {
    let mut at = from;
    while at < to {
        let word = words[at / 64] >> (at % 64);
        if word != 0 {
            return Some(at + word.trailing_zeros() as usize).filter(|found| *found < to);
        }
        at = (at / 64 + 1) * 64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::Lots;

    struct Entries(Vec<Links>);

    impl Linked for Entries {
        fn links(&mut self, slot: u32) -> &mut Links {
            &mut self.0[slot as usize]
        }
    }

    /// All that is taken out until `to`, with the tick it was.
    fn taken(
        wheel: &mut Wheel,
        entries: &mut Entries,
        dues: &[Option<u64>],
        to: u64,
    ) -> Vec<(u64, u32)> {
        let mut all = Vec::new();
        while let Some(first) = wheel.advance(to) {
            let mut next = Some(first);
            while let Some(slot) = next {
                next = Wheel::unchain(entries, slot);
                let due = dues[slot as usize].unwrap();
                if due <= wheel.now() {
                    all.push((wheel.now(), slot));
                } else {
                    wheel.insert(entries, slot, due);
                }
            }
        }
        all
    }

    #[test]
    fn it_is_a_sorted_list() {
        const SLOTS: usize = 200;
        for seed in 0..60u64 {
            let mut lots = Lots(seed);
            let spans = [10, 300, 70_000, 20_000_000, AHEAD - 1];
            let mut wheel = Wheel::new();
            let mut entries = Entries(vec![Links::default(); SLOTS]);
            // Near the end of rounds of every level, too.
            let start = [0, 250, (1 << 16) - 3, (1 << 32) - 3, 5 << 32, (1 << 40) - 1];
            assert_eq!(wheel.advance(start[seed as usize % start.len()]), None);
            let mut dues: Vec<Option<u64>> = vec![None; SLOTS];
            for _ in 0..2000 {
                let slot = (lots.next() % SLOTS as u64) as u32;
                let span = spans[(lots.next() % 5) as usize];
                match (lots.next() % 4, dues[slot as usize]) {
                    (0, _) => {
                        let to = wheel.now() + lots.next() % span;
                        let got = taken(&mut wheel, &mut entries, &dues, to);
                        let mut want: Vec<(u64, u32)> = (0..)
                            .zip(&dues)
                            .filter_map(|(slot, due)| due.filter(|d| *d <= to).map(|d| (d, slot)))
                            .collect();
                        want.sort_unstable();
                        let mut sorted = got.clone();
                        sorted.sort_unstable();
                        assert_eq!(sorted, want, "seed {seed}: at their ticks");
                        assert!(got.is_sorted_by_key(|(tick, _)| *tick), "in their order");
                        got.iter().for_each(|(_, slot)| dues[*slot as usize] = None);
                        assert_eq!(wheel.now(), to);
                    }
                    (_, None) => {
                        let due = wheel.now() + 1 + lots.next() % span;
                        dues[slot as usize] = Some(due);
                        wheel.insert(&mut entries, slot, due);
                    }
                    (1, Some(_)) => {
                        wheel.remove(&mut entries, slot);
                        dues[slot as usize] = None;
                    }
                    _ => {}
                }
                let first = dues.iter().flatten().min();
                assert_eq!(wheel.next_tick().is_some(), first.is_some());
                assert!(
                    wheel.next_tick() <= first.copied() && wheel.next_tick() != Some(wheel.now())
                );
                let low = lots.next() % (1 << 31);
                let tick = wheel.now().saturating_sub(low);
                assert_eq!(wheel.full(tick as u32), tick);
            }
        }
    }

    #[test]
    fn entries_of_a_tick_come_in_the_order_they_were_added() {
        let mut wheel = Wheel::new();
        let mut entries = Entries(vec![Links::default(); 10]);
        (0..10).for_each(|slot| wheel.insert(&mut entries, slot, 40));
        [0, 5, 9].into_iter().for_each(|slot| wheel.remove(&mut entries, slot));
        wheel.remove(&mut entries, 5);
        let got = taken(&mut wheel, &mut entries, &[Some(40); 10], 40);
        assert!(got.into_iter().eq([1, 2, 3, 4, 6, 7, 8].map(|slot| (40, slot))));
    }
}
