//! An index over sorted ranges, so that a look-up in 100 000 of them takes a few loads.
//!
//! A node cuts the span of its ranges into slots, about eight for each range. One bit a slot says
//! whether any range touches it, which decides most look-ups with one load. For the slots that are
//! touched a second bit map counts up to the slot's entry: the first range that touches it, or,
//! where more than a few do, a node of its own for the slot. Ranges that crowd together, as IPv6
//! allocations do, so cost a level each time their common leading bits end, not a bisection.
//!
//! Nodes take at least seven bits of the number each: there are at most 18 levels, and in the order
//! of 10 octets a range and level.

use crate::select::{each_bit, pack};
use crate::sets::Number;

/// The index of a set. Empty where there are too few ranges to need one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index<T> {
    nodes: Vec<Node<T>>,
    /// A bit a slot, 64 to a word: some range touches it. The words of all nodes.
    touched: Vec<u64>,
    /// For the same slots, a bit where the entry is another than that of the slot before, and the
    /// number of such bits in the words before.
    runs: Vec<(u64, u32)>,
    /// The number of a range, or of a node with [`NODE`].
    entries: Vec<u32>,
}

/// The slots of a span of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node<T> {
    /// First and last number.
    base: T,
    last: T,
    /// A slot has `1 << shift` numbers.
    shift: u32,
    /// Its first word.
    word: u32,
}

/// The ranges from `from` to before `to`, so far as they lie in a slot.
struct Job<T> {
    from: usize,
    to: usize,
    base: T,
    last: T,
    /// The entry that leads here.
    entry: Option<usize>,
}

/// An entry is the number of a node.
const NODE: u32 = 1 << 31;
/// So many ranges may touch a slot without a node of its own.
const FEW: usize = 4;
/// Slots of a node, as powers of two.
const SLOTS: std::ops::RangeInclusive<u32> = 7..=22;

impl<T: Number> Index<T> {
    pub(crate) const fn empty() -> Self {
        Self { nodes: Vec::new(), touched: Vec::new(), runs: Vec::new(), entries: Vec::new() }
    }

    /// `ranges` are sorted and do not touch.
    pub(crate) fn new(ranges: &[(T, T)]) -> Self {
        let mut index = Self::empty();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return index };
        let whole = Job { from: 0, to: ranges.len(), base: first.0, last: last.1, entry: None };
        let mut jobs = vec![whole];
        while let Some(job) = jobs.pop() {
            index.add(ranges, &job, &mut jobs);
        }
        index
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// [`find`](Self::find) for the `active` ones of many: which are touched, and the places of the
    /// ranges. Goes down level by level, so that no answer decides what is done next: numbers that
    /// come from memory slowly are waited for together.
    #[inline]
    pub(crate) fn find_all(&self, values: &[T; 64], active: u64) -> (u64, [u32; 64]) {
        let mut at = [0; 64];
        let mut found = 0;
        // All are in the first node: no need to look for their bits.
        let Some(root) = self.nodes.first() else { return (0, at) };
        let root = *root;
        let mut touched = active & pack(&values.map(|v| u8::from(self.touches(&root, v))));
        while touched != 0 {
            let inside = each_bit(touched, |i| {
                let node = self.nodes.get(at[i % 64] as usize);
                let entry = node.and_then(|node| self.entry(node, values[i % 64]));
                // A touched slot has an entry.
                at[i % 64] = entry.unwrap_or(0) & !NODE;
                entry.is_some_and(|e| e & NODE != 0)
            });
            found |= touched & !inside;
            touched = each_bit(inside, |i| {
                let node = self.nodes.get(at[i % 64] as usize);
                node.is_some_and(|node| self.touches(node, values[i % 64]))
            });
        }
        (found, at)
    }

    /// Whether some range touches the slot of `value`, without a way out in between.
    #[inline]
    fn touches(&self, node: &Node<T>, value: T) -> bool {
        let is_inside = (value >= node.base) & (value <= node.last);
        let slot = if is_inside { value.slot(node.base, node.shift) } else { 0 };
        let word = self.touched.get(node.word as usize + slot / 64).copied().unwrap_or(0);
        is_inside & (word >> (slot % 64) & 1 == 1)
    }

    /// The entry of a touched slot.
    #[inline]
    fn entry(&self, node: &Node<T>, value: T) -> Option<u32> {
        let slot = value.slot(node.base, node.shift);
        let (starts, before) = *self.runs.get(node.word as usize + slot / 64)?;
        // It has an entry of its own or shares that of the slot before.
        let upto = starts & u64::MAX >> (63 - slot % 64);
        let place = (before + upto.count_ones()).checked_sub(1)?;
        self.entries.get(place as usize).copied()
    }

    /// The first range that may hold `value` is at this place, one of the next few if any. `None`
    /// if no range does.
    #[inline]
    pub(crate) fn find(&self, value: T) -> Option<usize> {
        let mut node = self.nodes.first()?;
        loop {
            if !self.touches(node, value) {
                return None;
            }
            let entry = self.entry(node, value)?;
            if entry & NODE == 0 {
                return Some(entry as usize);
            }
            node = self.nodes.get((entry & !NODE) as usize)?;
        }
    }

    /// Makes a node. What is crowded in it becomes a job.
    fn add(&mut self, ranges: &[(T, T)], job: &Job<T>, jobs: &mut Vec<Job<T>>) {
        let own = ranges.get(job.from..job.to).unwrap_or(&[]);
        let (Some(first), Some(last)) = (own.first(), own.last()) else { return };
        let (base, last) = (job.base.max(first.0), job.last.min(last.1));
        let slots = (8 * own.len()).next_power_of_two().ilog2();
        let shift = last.bits(base).saturating_sub(slots.clamp(*SLOTS.start(), *SLOTS.end()));
        if let Some(entry) = job.entry.and_then(|e| self.entries.get_mut(e)) {
            *entry = NODE | self.nodes.len() as u32;
        }
        let word = self.touched.len();
        self.nodes.push(Node { base, last, shift, word: word as u32 });
        let words = last.slot(base, shift) / 64 + 1;
        self.touched.resize(word + words, 0);
        self.runs.resize(word + words, (0, 0));

        // The slot that has the newest entry, and the first range that touches it.
        let mut newest = (usize::MAX, job.from);
        for (i, range) in own.iter().enumerate().map(|(i, r)| (job.from + i, r)) {
            let from = range.0.max(base).slot(base, shift);
            let to = range.1.min(last).slot(base, shift);
            self.fill(word, from, to);
            // A slot that two ranges touch has the entry of the first.
            if newest.0 != from {
                self.close(job, newest, i, shift, base, jobs);
                newest = (from, i);
                self.start(word, from, i);
            }
            if to != from {
                if newest.1 != i {
                    // The slots behind the shared one are those of this range alone.
                    self.close(job, newest, i + 1, shift, base, jobs);
                    self.start(word, from + 1, i);
                }
                // The last of them may be shared with the next range.
                self.start(word, to, i);
                newest = (to, i);
            }
        }
        self.close(job, newest, job.to, shift, base, jobs);
        self.count(word);
    }

    /// Marks slots as touched.
    fn fill(&mut self, word: usize, from: usize, to: usize) {
        let Some(words) = self.touched.get_mut(word + from / 64..=word + to / 64) else { return };
        for (i, bits) in words.iter_mut().enumerate() {
            let low = if i == 0 { from % 64 } else { 0 };
            let high = if from / 64 + i == to / 64 { to % 64 } else { 63 };
            *bits |= u64::MAX >> (63 - high) & u64::MAX << low;
        }
    }

    /// From this slot on the entry is range `i`.
    fn start(&mut self, word: usize, slot: usize, i: usize) {
        if let Some((starts, _)) = self.runs.get_mut(word + slot / 64)
            && *starts >> (slot % 64) & 1 == 0
        {
            *starts |= 1 << (slot % 64);
            self.entries.push(i as u32);
        }
    }

    /// The slot of the newest entry is touched by the ranges up to `to`: if they are many, it
    /// becomes a node.
    fn close(
        &self,
        job: &Job<T>,
        newest: (usize, usize),
        to: usize,
        shift: u32,
        base: T,
        jobs: &mut Vec<Job<T>>,
    ) {
        let (slot, from) = newest;
        if slot == usize::MAX || to - from <= FEW {
            return;
        }
        let (base, last) = base.span(slot, shift);
        let (base, last) = (base.max(job.base), last.min(job.last));
        jobs.push(Job { from, to, base, last, entry: Some(self.entries.len() - 1) });
    }

    /// Counts the entries before each word of the newest node.
    fn count(&mut self, word: usize) {
        let words = self.runs.get_mut(word..).unwrap_or(&mut []);
        let own: usize = words.iter().map(|w| w.0.count_ones() as usize).sum();
        let mut before = (self.entries.len() - own) as u32;
        for (starts, n) in words {
            *n = before;
            before += starts.count_ones();
        }
    }
}
