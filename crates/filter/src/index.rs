//! An index over sorted ranges, so that a look-up in 100 000 of them takes a few loads.
//!
//! A node cuts the span of its ranges into slots, up to eight for each range. Two bits say whether
//! all numbers of a slot are in a range, none, or some; the first two answers end the look-up. The
//! slots in between are counted, and their entry is the first range that touches the slot or, where
//! more than a few do, a node of its own for the slot. A node has no more slots than its ranges
//! spread over, so those that crowd together, as IPv6 allocations do, cost a small node each time
//! their common leading bits end, and not a bisection.
//!
//! Slots are counted in 64 bits. Of numbers with more, nodes look at the leading 64 first; only
//! where ranges crowd within one such prefix do nodes look at the 64 bits that follow.
//!
//! Nodes take at least six bits of the number each, so there are at most 22 levels. A level takes
//! at most 24 octets a range, and only ranges that crowd together have more than one. Lists as they
//! are take about nine octets a range.

use crate::select::each_bit;
use crate::sets::Number;

/// The index of a set. Empty where there are too few ranges to need one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    nodes: Vec<Node>,
    /// The slots of all nodes.
    words: Vec<Word>,
    /// For each slot that is in part in ranges the number of a range, or of a node with [`NODE`].
    entries: Vec<u32>,
}

/// The slots of a span of numbers, of which 64 bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// Where the first slot begins.
    base: u64,
    /// Its first word, and how many there are before an empty one that ends them.
    word: u32,
    words: u32,
    /// A slot has `1 << shift` numbers.
    shift: u32,
    /// Look at the last 64 bits, not at the leading ones.
    is_low: bool,
}

/// 64 slots, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Word {
    /// All numbers are in a range.
    inside: u64,
    /// Some are; there is an entry.
    mixed: u64,
    /// Entries of the words before.
    before: u32,
}

/// The ranges from `from` to before `to`, so far as they lie in a slot.
struct Job {
    from: usize,
    to: usize,
    /// The leading 64 bits that all numbers share, if those that follow are looked at.
    high: Option<u64>,
    /// First and last number, of 64 bits.
    base: u64,
    last: u64,
    /// The entry that leads here.
    entry: Option<usize>,
}

/// An entry is the number of a node.
const NODE: u32 = 1 << 31;
/// Sets of more ranges have no index: their slots could not be counted in 32 bits.
const MOST: usize = 1 << 25;
/// So many ranges may touch a slot without a node of its own.
const FEW: usize = 4;
/// Slots of a node, as powers of two.
const SLOTS: std::ops::RangeInclusive<u32> = 6..=22;
/// Slots there may be for each one that is in part in ranges.
const SPREAD: u64 = 16;

impl Index {
    pub(crate) const fn empty() -> Self {
        Self { nodes: Vec::new(), words: Vec::new(), entries: Vec::new() }
    }

    /// `ranges` are sorted and do not touch.
    pub(crate) fn new<T: Number>(ranges: &[(T, T)]) -> Self {
        let mut index = Self::empty();
        if ranges.len() > MOST {
            return index;
        }
        let whole =
            Job { from: 0, to: ranges.len(), high: None, base: 0, last: u64::MAX, entry: None };
        let mut jobs = vec![whole];
        while let Some(job) = jobs.pop() {
            index.add(ranges, &job, &mut jobs);
        }
        index
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// [`find`](Self::find) for the `active` ones of many: which are in a range, which may be, and
    /// for those the places of the ranges. Goes down level by level, so that no answer decides what
    /// is done next: loads that take long are waited for together.
    #[inline]
    pub(crate) fn find_all<T: Number>(
        &self,
        values: &[T; 64],
        active: u64,
    ) -> (u64, u64, [u32; 64]) {
        let mut at = [0; 64];
        let (mut inside, mut mixed) = (0, 0);
        // All are in the first node: no need to look for their bits.
        let Some(root) = self.nodes.first() else { return (0, 0, at) };
        let words = self.words.get(..=root.words as usize).unwrap_or(&[]);
        mixed |= each_bit(active, |i| {
            let slot = root.slot(root.half(values[i % 64]));
            at[i % 64] = slot;
            let word = words.get(slot as usize / 64).copied().unwrap_or_default();
            inside |= (word.inside >> (slot % 64) & 1) << i;
            word.mixed >> (slot % 64) & 1 == 1
        });
        let mut near = 0;
        while mixed != 0 {
            let mut deeper = 0;
            near |= each_bit(mixed, |i| {
                let entry = self.entry(at[i % 64]);
                let Some(node) = self.child(entry) else {
                    at[i % 64] = entry;
                    return true;
                };
                let slot = node.word * 64 + node.slot(node.half(values[i % 64]));
                at[i % 64] = slot;
                let word = self.word(slot);
                inside |= (word.inside >> (slot % 64) & 1) << i;
                deeper |= (word.mixed >> (slot % 64) & 1) << i;
                false
            });
            mixed = deeper;
        }
        (inside, near, at)
    }

    /// Whether `value` is in a range, or the place of the first that may hold it, which is one of
    /// the next few if any does.
    #[inline]
    pub(crate) fn find<T: Number>(&self, value: T) -> Result<bool, usize> {
        let mut next = self.nodes.first();
        let mut entry = 0;
        while let Some(node) = next {
            let slot = node.word * 64 + node.slot(node.half(value));
            let word = self.word(slot);
            if word.mixed >> (slot % 64) & 1 == 0 {
                return Ok(word.inside >> (slot % 64) & 1 == 1);
            }
            entry = self.entry(slot);
            next = self.child(entry);
        }
        Err(entry as usize)
    }

    #[inline]
    fn word(&self, slot: u32) -> Word {
        self.words.get(slot as usize / 64).copied().unwrap_or_default()
    }

    /// The entry of a slot that is in part in ranges.
    #[inline]
    fn entry(&self, slot: u32) -> u32 {
        let word = self.word(slot);
        let before = word.mixed & !(u64::MAX << (slot % 64));
        self.entries.get((word.before + before.count_ones()) as usize).copied().unwrap_or(0)
    }

    /// The node that an entry leads to.
    #[inline]
    fn child(&self, entry: u32) -> Option<&Node> {
        if entry & NODE == 0 { None } else { self.nodes.get((entry & !NODE) as usize) }
    }

    /// Makes a node. What is crowded in it becomes a job.
    fn add<T: Number>(&mut self, ranges: &[(T, T)], job: &Job, jobs: &mut Vec<Job>) {
        let own = ranges.get(job.from..job.to).unwrap_or(&[]);
        let (Some(first), Some(last)) = (own.first(), own.last()) else { return };
        if T::IS_WIDE && job.high.is_none() && job.base == job.last {
            // Whatever comes here has these leading bits.
            return jobs.push(Job { high: Some(job.base), base: 0, last: u64::MAX, ..*job });
        }
        let (base, last) = (job.clip(*first).0, job.clip(*last).1);
        let shift = job.shift(own, base, last);
        // Numbers before the base must wrap to behind the last slot. If slots reach all the way
        // round, all numbers have one.
        let reach = (((last - base) >> shift) / 64 + 1) * 64;
        let base = if u64::MAX >> shift < reach { 0 } else { base };
        if let Some(entry) = job.entry.and_then(|e| self.entries.get_mut(e)) {
            *entry = NODE | self.nodes.len() as u32;
        }
        let word = self.words.len();
        let words = ((last - base) >> shift) as usize / 64 + 1;
        let is_low = job.high.is_some();
        let node = Node { base, word: word as u32, words: words as u32, shift, is_low };
        self.nodes.push(node);
        self.words.resize(word + words + 1, Word::default());

        // The newest slot that has an entry, and the first range that touches it.
        let mut newest = None;
        for (i, range) in own.iter().enumerate().map(|(i, r)| (job.from + i, *r)) {
            let (first, last) = job.clip(range);
            let (from, to) = ((first - base) >> shift, (last - base) >> shift);
            let is_part = |slot| !job.covers(range, base + (slot << shift), shift);
            let (part_from, part_to) = (is_part(from), is_part(to));
            self.fill(word, from + u64::from(part_from), to + u64::from(!part_to));
            for slot in [part_from.then_some(from), part_to.then_some(to)].into_iter().flatten() {
                if newest.is_none_or(|(n, _)| n != slot) {
                    // The slot before may be the first of this range as well.
                    let end = i + usize::from(newest.is_some_and(|(n, _)| n == from));
                    jobs.extend(self.crowd(job, &node, newest, end));
                    self.start(word, slot, i);
                    newest = Some((slot, i));
                }
            }
        }
        jobs.extend(self.crowd(job, &node, newest, job.to));
        self.count(word);
    }

    /// Marks the slots from `from` to before `to` as inside.
    fn fill(&mut self, word: usize, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let (first, last) = (from as usize / 64, (to - 1) as usize / 64);
        let Some(words) = self.words.get_mut(word + first..=word + last) else { return };
        for (i, word) in (first..).zip(words) {
            let low = if i == first { from % 64 } else { 0 };
            let high = if i == last { (to - 1) % 64 } else { 63 };
            word.inside |= u64::MAX >> (63 - high) & u64::MAX << low;
        }
    }

    /// The entry of this slot is range `i`.
    fn start(&mut self, word: usize, slot: u64, i: usize) {
        if let Some(word) = self.words.get_mut(word + slot as usize / 64) {
            word.mixed |= 1 << (slot % 64);
            self.entries.push(i as u32);
        }
    }

    /// If the ranges from that of the newest entry to before `to`, which touch its slot, are many:
    /// the job of making a node for it.
    fn crowd(
        &self,
        job: &Job,
        node: &Node,
        newest: Option<(u64, usize)>,
        to: usize,
    ) -> Option<Job> {
        let (slot, from) = newest.filter(|(_, from)| to - from > FEW)?;
        let first = node.base + (slot << node.shift);
        let (base, last) = (first.max(job.base), end(first, node.shift).min(job.last));
        Some(Job { from, to, base, last, high: job.high, entry: Some(self.entries.len() - 1) })
    }

    /// Counts the entries before each word of the newest node.
    fn count(&mut self, word: usize) {
        let words = self.words.get_mut(word..).unwrap_or(&mut []);
        let own: usize = words.iter().map(|w| w.mixed.count_ones() as usize).sum();
        let mut before = (self.entries.len() - own) as u32;
        for word in words {
            word.before = before;
            before += word.mixed.count_ones();
        }
    }
}

impl Node {
    /// The 64 bits of a number that count here.
    #[inline]
    fn half<T: Number>(&self, value: T) -> u64 {
        if self.is_low { value.low() } else { value.high() }
    }

    /// The slot of a number, or one behind the last where there is none.
    #[inline]
    fn slot(&self, half: u64) -> u32 {
        // Numbers before the base wrap, and are behind as well.
        let slot = half.wrapping_sub(self.base) >> self.shift;
        slot.min(u64::from(self.words) * 64) as u32
    }
}

impl Job {
    /// First and last number of a range, so far as they lie in the span.
    fn clip<T: Number>(&self, range: (T, T)) -> (u64, u64) {
        let (first, last) = match self.high {
            None => (range.0.high(), range.1.high()),
            Some(high) => (
                if range.0.high() < high { 0 } else { range.0.low() },
                if range.1.high() > high { u64::MAX } else { range.1.low() },
            ),
        };
        (first.max(self.base), last.min(self.last))
    }

    /// Whether all numbers of the slot that begins with `first` are in the range.
    fn covers<T: Number>(&self, range: (T, T), first: u64, shift: u32) -> bool {
        let last = end(first, shift);
        let (first, last) = match self.high {
            None => (T::new(first, 0), T::new(last.min(T::MAX.high()), u64::MAX)),
            Some(high) => (T::new(high, first), T::new(high, last)),
        };
        range.0 <= first && last <= range.1
    }

    /// The size of the slots for ranges from `base` to `last`: as many as pay, but not more than
    /// the ranges spread over.
    fn shift<T: Number>(&self, own: &[(T, T)], base: u64, last: u64) -> u32 {
        let bits = u64::BITS - (last - base).leading_zeros();
        let most = (8 * own.len()).next_power_of_two().ilog2();
        let mut shift = bits.saturating_sub(most.clamp(*SLOTS.start(), *SLOTS.end()));
        while bits > shift + SLOTS.start() {
            let mut newest = None;
            let mut in_use = 0;
            for range in own {
                let (first, last) = self.clip(*range);
                for slot in [(first - base) >> shift, (last - base) >> shift] {
                    in_use += u64::from(newest != Some(slot));
                    newest = Some(slot);
                }
            }
            if (last - base) >> shift < SPREAD * in_use {
                break;
            }
            shift += 1;
        }
        shift
    }
}

#[cfg(test)]
impl Index {
    pub(crate) fn octets(&self) -> usize {
        size_of_val(self.nodes.as_slice())
            + size_of_val(self.words.as_slice())
            + size_of_val(self.entries.as_slice())
    }
}

/// The last number of the slot that begins with `first`.
const fn end(first: u64, shift: u32) -> u64 {
    first.saturating_add((1 << shift) - 1)
}
