//! Groups rows by key and sums their counters.
//!
//! Every worker has an [`Aggregator`] of its own. What they find goes into one [`Gathering`], where
//! groups are split by hash, so that workers hardly ever wait for each other, and what is left to
//! do at the end is done in parallel.

use crate::budget::{Budget, HashRange};
use crate::counters::{CounterSlots, NOTHING, join, u64_at};
use crate::direction::has_reverse;
use crate::group::{Hasher, Origin};
use crate::key::{BoundKey, Class, KeySpec};
use crate::log::Joined;
use crate::lookup::Lookups;
use crate::partition::{Feed, Partitions};
use crate::scan::lock;
use output::Counts;
use record::code::Proto;
use record::{AddressBook, Field, Row, Rows, Selection, Shape};
use std::sync::{Arc, Mutex};

impl<const W: usize> Feed<W> {
    #[inline]
    fn add_key(&mut self, to: To, key: [u64; W], counts: &Counts, origin: Origin) {
        let hash = to.hasher.hash(&key);
        if to.range.contains(hash) {
            self.add(hash, key, counts, origin);
        }
    }

    /// Adds rows of one plain shape, and their counters to `sums`.
    #[inline(never)]
    fn add_plain(&mut self, to: To, plain: &Plain<'_>, rows: &Rows<'_>, sums: &mut Counts) {
        let [first, last, packets, bytes] = plain.counters;
        let mut all = *sums;
        for i in plain.picked {
            let Some(r) = rows.index.get(*i as usize) else { break };
            let at = r.at as usize;
            let row = rows.bytes.get(at..at + usize::from(r.len)).unwrap_or(&[]);
            let counts = Counts {
                first_ms: u64_at(row, first),
                last_ms: u64_at(row, last),
                flows: 1,
                in_packets: u64_at(row, packets),
                in_bytes: u64_at(row, bytes),
                out_packets: 0,
                out_bytes: 0,
            };
            join(&mut all, &counts);
            let flags = plain.flags.and_then(|at| row.get(at)).copied().unwrap_or(0);
            let origin = Origin::new(plain.block, *i, flags);
            self.add_key(to, plain.key.pack_plain(row), &counts, origin);
        }
        *sums = all;
    }

    /// Adds a record to the group of its conversation: both directions have one key, that of the
    /// direction that compares less.
    #[inline]
    fn add_either(
        &mut self,
        to: To,
        [key, reverse]: [[u64; W]; 2],
        counts: &Counts,
        origin: Origin,
    ) {
        if reverse < key {
            self.add_key(to, reverse, &swapped(*counts), origin.reversed());
        } else {
            self.add_key(to, key, counts, origin);
        }
    }
}

/// Counters as the other direction sees them.
const fn swapped(c: Counts) -> Counts {
    Counts {
        in_packets: c.out_packets,
        in_bytes: c.out_bytes,
        out_packets: c.in_packets,
        out_bytes: c.in_bytes,
        ..c
    }
}

/// Rows of one shape of which each has one key that is nothing but some of its octets, and no
/// counters but those that all rows have.
#[derive(Clone, Copy, Debug)]
struct Plain<'a> {
    /// Numbers of the rows.
    picked: &'a [u32],
    key: &'a BoundKey,
    counters: [usize; 4],
    flags: Option<usize>,
    block: u32,
}

/// How keys are hashed, and which of them are counted.
#[derive(Clone, Copy, Debug)]
struct To {
    hasher: Hasher,
    range: HashRange,
}

macro_rules! widths {
    ($($name:ident $w:literal),*) => {
        /// The groups of one class of keys, as wide as the class needs.
        #[derive(Clone, Debug)]
        enum Shared { $($name(Arc<Partitions<$w>>)),* }

        impl Shared {
            fn new(words: usize, gathering: &Gathering) -> Self {
                let Gathering { hasher, budget, workers, .. } = gathering;
                $(if words <= $w {
                    return Self::$name(Arc::new(Partitions::new(*hasher, budget, *workers)));
                })*
                unreachable!("a key of {words} words: KeySpec takes 32 parts of at most 2 words")
            }

            fn len(&self) -> usize {
                match self { $(Self::$name(t) => t.len()),* }
            }

            fn take(&self, threads: usize) -> Vec<Part> {
                match self { $(Self::$name(t) => t.take(threads).into_iter().map(Part::$name).collect()),* }
            }
        }

        /// One worker's way into [`Shared`].
        #[derive(Debug)]
        enum Tables { $($name(Box<Feed<$w>>)),* }

        impl Tables {
            fn new(shared: Shared, range: HashRange) -> Self {
                match shared { $(Shared::$name(t) => Self::$name(Box::new(Feed::new(t, range)))),* }
            }

            #[inline]
            fn add(&mut self, to: To, key: &BoundKey, row: Row<'_>, lookups: &mut Lookups<'_>, counts: &Counts, origin: Origin) {
                match self {
                    $(Self::$name(t) => {
                        if let Some(key) = key.pack::<$w>(row, lookups) {
                            t.add_key(to, key, counts, origin);
                        }
                    }),*
                }
            }

            #[inline]
            fn add_either(&mut self, to: To, keys: [&BoundKey; 2], row: Row<'_>, lookups: &mut Lookups<'_>, counts: &Counts, origin: Origin) {
                match self {
                    $(Self::$name(t) => {
                        if let [Some(key), Some(reverse)] = keys.map(|k| k.pack::<$w>(row, lookups)) {
                            t.add_either(to, [key, reverse], counts, origin);
                        }
                    }),*
                }
            }

            fn add_plain(&mut self, to: To, plain: &Plain<'_>, rows: &Rows<'_>, sums: &mut Counts) {
                match self { $(Self::$name(t) => t.add_plain(to, plain, rows, sums)),* }
            }

            fn join(&mut self) {
                match self { $(Self::$name(t) => t.join()),* }
            }

            fn narrow(&mut self, range: HashRange) {
                match self { $(Self::$name(t) => t.narrow(range)),* }
            }

            fn flush(&mut self) {
                match self { $(Self::$name(t) => t.flush()),* }
            }
        }

        /// The groups of one class and one partition.
        #[derive(Debug)]
        pub(crate) enum Part { $($name(Joined<$w>)),* }

        impl Part {
            /// A part of some of the groups.
            fn pick(&self, positions: &[u32]) -> Self {
                match self { $(Self::$name(t) => Self::$name(t.pick(positions))),* }
            }

            /// Appends groups that are none of those here.
            fn append_all(&mut self, other: &Self) {
                match (self, other) {
                    $((Self::$name(a), Self::$name(b)) => a.append_all(b),)*
                    _ => unreachable!("a class has one width"),
                }
            }

            /// How many groups.
            pub(crate) fn len(&self) -> usize {
                match self { $(Self::$name(t) => t.len()),* }
            }

            /// Group `i`.
            pub(crate) fn group(&self, i: usize) -> Option<GroupRef<'_>> {
                match self {
                    $(Self::$name(t) => {
                        let (key, origin) = t.group(i)?;
                        let counts = t.counts(i);
                        let counts = if origin.is_reversed() { swapped(counts) } else { counts };
                        Some(GroupRef { key, counts, origin })
                    })*
                }
            }
        }
    };
}

widths!(W1 1, W2 2, W3 3, W5 5, W8 8, W16 16, W32 32, W64 64);

/// One group, whatever the width of its key. Counters are those of the direction of its first
/// record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupRef<'a> {
    pub(crate) key: &'a [u64],
    pub(crate) counts: Counts,
    pub(crate) origin: Origin,
}

/// What one worker's groups are groups of. Several keys may feed the same groups: `-s ip` counts a
/// flow once for its source and once for its destination.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) specs: Vec<KeySpec>,
    /// Whether both directions of a conversation make one group.
    pub(crate) both_directions: bool,
}

/// What all workers find for one question.
#[derive(Debug)]
pub(crate) struct Gathering {
    hasher: Hasher,
    budget: Arc<Budget>,
    workers: usize,
    classes: Mutex<Vec<(Class, Shared)>>,
}

impl Gathering {
    /// Nothing, for so many workers.
    pub(crate) fn new(hasher: Hasher, budget: &Arc<Budget>, workers: usize) -> Self {
        Self { hasher, budget: Arc::clone(budget), workers, classes: Mutex::default() }
    }

    /// How many groups there are so far, at most.
    pub(crate) fn len(&self) -> usize {
        lock(&self.classes).iter().map(|(_, shared)| shared.len()).sum()
    }

    /// The groups of a class, whose keys have so many words.
    fn class(&self, class: Class, words: usize) -> Shared {
        let mut classes = lock(&self.classes);
        if let Some((_, shared)) = classes.iter().find(|(c, _)| *c == class) {
            return shared.clone();
        }
        let shared = Shared::new(words, self);
        classes.push((class, shared.clone()));
        shared
    }
}

/// One worker's part in a gathering.
#[derive(Debug)]
pub(crate) struct Aggregator<'s> {
    keys: &'s Keys,
    to: To,
    gathering: &'s Gathering,
    /// Identity of the shape table that `bound` belongs to.
    bound_to: u64,
    bound: Vec<BoundShape>,
    classes: Vec<(Class, Tables)>,
    lookups: Lookups<'s>,
    /// Shapes with rows that were picked to be taken the short way.
    shapes_picked: Vec<u16>,
    /// Rows of the block at hand that go the long way.
    others: Vec<u32>,
}

/// All that is resolved against one shape.
#[derive(Debug)]
struct BoundShape {
    slots: CounterSlots,
    keys: Vec<BoundGroup>,
    /// Octets that a row needs to be taken the short way; `None` where there is none.
    plain: Option<usize>,
    /// Rows of the block at hand that are.
    picked: Vec<u32>,
}

impl BoundShape {
    fn new(slots: CounterSlots, keys: Vec<BoundGroup>) -> Self {
        let plain = match keys.as_slice() {
            [BoundGroup { key, reverse: None, .. }] if key.is_plain() => slots
                .plain()
                .map(|at| at.map(|at| at + 8).into_iter().fold(key.reach(), usize::max)),
            _ => None,
        };
        Self { slots, keys, plain, picked: Vec::new() }
    }
}

/// One key of a shape.
#[derive(Debug)]
struct BoundGroup {
    key: BoundKey,
    /// The key of the other direction, where it means something.
    reverse: Option<BoundKey>,
    /// Index of the class.
    class: usize,
}

impl<'s> Aggregator<'s> {
    /// A worker that adds what lies in `range`.
    pub(crate) const fn new(keys: &'s Keys, gathering: &'s Gathering, range: HashRange) -> Self {
        Self {
            keys,
            to: To { hasher: gathering.hasher, range },
            gathering,
            bound_to: 0,
            bound: Vec::new(),
            classes: Vec::new(),
            lookups: Lookups::new(None),
            shapes_picked: Vec::new(),
            others: Vec::new(),
        }
    }

    /// The same, looking up in `book` what keys ask for and rows do not say.
    pub(crate) fn with_book(self, book: Option<&'s dyn AddressBook>) -> Self {
        Self { lookups: Lookups::new(book), ..self }
    }

    /// Drops the groups outside of a range, those of all workers, and adds no such ones any more.
    #[cold]
    pub(crate) fn narrow(&mut self, range: HashRange) {
        self.to.range = range;
        self.classes.iter_mut().for_each(|(_, t)| t.narrow(range));
    }

    /// Makes room, if there are groups that can be joined.
    #[cold]
    pub(crate) fn join(&mut self) {
        self.classes.iter_mut().for_each(|(_, t)| t.join());
    }

    /// Gives what it still has to the others'.
    pub(crate) fn finish(mut self) {
        self.classes.iter_mut().for_each(|(_, t)| t.flush());
    }

    /// Adds the selected rows of block number `block`. Returns the sums over them.
    pub(crate) fn update(&mut self, rows: &Rows<'_>, selected: &Selection, block: u32) -> Counts {
        self.bind(rows);
        let mut sums = NOTHING;
        let Self { bound, shapes_picked, .. } = self;
        for i in selected.iter() {
            let Some(r) = rows.index.get(i) else { break };
            let Some(b) = bound.get_mut(usize::from(r.shape)) else { continue };
            if b.plain.is_some_and(|reach| reach <= usize::from(r.len)) {
                if b.picked.is_empty() {
                    shapes_picked.push(r.shape);
                }
                b.picked.push(i as u32);
            } else {
                self.others.push(i as u32);
            }
        }
        self.update_plain(rows, block, &mut sums);
        let mut others = std::mem::take(&mut self.others);
        for i in others.drain(..) {
            self.update_row(rows, i, block, &mut sums);
        }
        self.others = others;
        sums
    }

    /// Adds the rows that were picked to be taken the short way, shape by shape.
    fn update_plain(&mut self, rows: &Rows<'_>, block: u32, sums: &mut Counts) {
        for shape in self.shapes_picked.drain(..) {
            let Some(b) = self.bound.get_mut(usize::from(shape)) else { continue };
            let (Some(group), Some(counters)) = (b.keys.first(), b.slots.plain()) else { continue };
            if let Some((_, tables)) = self.classes.get_mut(group.class) {
                let flags = b.slots.flags_at();
                let plain = Plain { picked: &b.picked, key: &group.key, counters, flags, block };
                tables.add_plain(self.to, &plain, rows, sums);
            }
            b.picked.clear();
        }
    }

    /// Adds one row, whatever its shape.
    fn update_row(&mut self, rows: &Rows<'_>, i: u32, block: u32, sums: &mut Counts) {
        let Some(r) = rows.index.get(i as usize) else { return };
        let at = r.at as usize;
        let bytes = rows.bytes.get(at..at + usize::from(r.len)).unwrap_or(&[]);
        let n = usize::from(r.shape);
        let (Some(bound), Some(shape)) = (self.bound.get(n), rows.table.shapes().get(n)) else {
            return;
        };
        let row = Row::new(bytes, shape);
        let counts = bound.slots.read(row);
        join(sums, &counts);
        let origin = Origin::new(block, i, bound.slots.flags(row));
        let lookups = &mut self.lookups;
        for k in &bound.keys {
            let Some((_, tables)) = self.classes.get_mut(k.class) else { continue };
            match &k.reverse {
                Some(reverse) if has_reverse(Proto(row.number(Field::Proto) as u8)) => {
                    let keys = [&k.key, reverse];
                    tables.add_either(self.to, keys, row, lookups, &counts, origin);
                }
                _ => tables.add(self.to, &k.key, row, lookups, &counts, origin),
            }
        }
    }

    /// Resolves the keys against shapes that are new since the last batch.
    fn bind(&mut self, rows: &Rows<'_>) {
        if self.bound_to != rows.table.id() {
            self.bound_to = rows.table.id();
            self.bound.clear();
        }
        for shape in rows.table.shapes().iter().skip(self.bound.len()) {
            let keys: &Keys = self.keys;
            let bound = keys.specs.iter().filter_map(|k| self.bind_key(k, shape)).collect();
            self.bound.push(BoundShape::new(CounterSlots::new(shape), bound));
        }
    }

    fn bind_key(&mut self, spec: &KeySpec, shape: &Shape) -> Option<BoundGroup> {
        let has_systems = self.lookups.has_systems();
        let key = spec.bind(shape, has_systems)?;
        let class = self.class_index(key.class, key.words);
        let reverse =
            if self.keys.both_directions { spec.reversed().bind(shape, has_systems) } else { None };
        // An IPv4 and an IPv6 end have no common key.
        let reverse = reverse.filter(|r| r.class == key.class);
        Some(BoundGroup { key, reverse, class })
    }

    fn class_index(&mut self, class: Class, words: usize) -> usize {
        if let Some(i) = self.classes.iter().position(|(c, _)| *c == class) {
            return i;
        }
        self.classes.push((class, Tables::new(self.gathering.class(class, words), self.to.range)));
        self.classes.len() - 1
    }
}

/// The groups that all workers have found.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Ordered by class, so that results do not depend on what was met first.
    parts: Vec<(Class, Part)>,
    /// How many groups there were before the first ones were picked out.
    total: usize,
}

impl Groups {
    /// Takes what workers have gathered, after all of them have finished.
    pub(crate) fn of(gathering: &Gathering, threads: usize) -> Self {
        let mut parts = Vec::new();
        for (class, shared) in lock(&gathering.classes).drain(..) {
            let taken = shared.take(threads).into_iter().filter(|part| part.len() > 0);
            parts.extend(taken.map(|part| (class, part)));
        }
        parts.sort_by_key(|(class, _)| *class);
        let total = parts.iter().map(|(_, p)| p.len()).sum();
        Self { parts, total }
    }

    /// How many groups there are.
    pub(crate) const fn len(&self) -> usize {
        self.total
    }

    /// How many of them are kept here.
    pub(crate) fn kept(&self) -> usize {
        self.parts.iter().map(|(_, p)| p.len()).sum()
    }

    /// All partitions with their class.
    pub(crate) fn parts(&self) -> &[(Class, Part)] {
        &self.parts
    }

    /// Adds the groups at `places` (partition, position) of `other`, which has none of the groups
    /// here; the rest of them is counted only.
    pub(crate) fn keep(&mut self, other: &Self, mut places: Vec<(u32, u32)>) {
        places.sort_unstable();
        places.dedup();
        for run in places.chunk_by(|a, b| a.0 == b.0) {
            let Some((class, part)) = run.first().and_then(|p| other.parts.get(p.0 as usize))
            else {
                continue;
            };
            let positions: Vec<u32> = run.iter().map(|p| p.1).collect();
            let picked = part.pick(&positions);
            match self.parts.iter_mut().find(|(c, _)| c == class) {
                Some((_, known)) => known.append_all(&picked),
                None => self.parts.push((*class, picked)),
            }
        }
        self.parts.sort_by_key(|(class, _)| *class);
        self.total += other.total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::key::KeyPart;
    use record::{Addr, Flow, RowRef, ShapeTable};
    use std::collections::BTreeMap;

    /// Flows of several shapes: with and without counters of the other direction, of both
    /// families, and one whose octets end before its shape does.
    fn flows() -> Vec<Flow> {
        let mut x = 11u64;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
            x >> 33
        };
        let flow = |n: u64| {
            let mut f = Flow::new();
            let (a, b) = (next() % 40, next() % 40);
            let is_v6 = n.is_multiple_of(7);
            for (field, end) in [(Field::SrcAddr, a), (Field::DstAddr, b)] {
                let v6 = Addr::V6(1 << 64 | u128::from(end));
                f.set_addr(field, if is_v6 { v6 } else { Addr::V4(end as u32) });
            }
            f.set(Field::SrcPort, next() % 3);
            f.set(Field::DstPort, next() % 3);
            f.set(Field::Proto, [1, 6, 17][n as usize % 3]);
            f.set(Field::First, 1_000_000 + next() % 5000);
            f.set(Field::Last, 1_005_000 + next() % 5000);
            f.set(Field::Packets, next() >> (next() % 30));
            f.set(Field::Bytes, next());
            if !n.is_multiple_of(3) {
                f.set(Field::TcpFlags, next() & 0xff);
            }
            if n.is_multiple_of(11) {
                f.set(Field::OutBytes, next());
            }
            f
        };
        (0..5000).map(flow).collect()
    }

    type Found = BTreeMap<(Class, Vec<u64>), (Counts, Origin)>;

    /// The groups, and the sums over all rows.
    fn groups(keys: &Keys, flows: &[Flow], is_short: bool) -> (Found, Counts) {
        let (mut bytes, mut index, mut table) = (Vec::new(), Vec::new(), ShapeTable::new());
        for (n, flow) in flows.iter().enumerate() {
            let (row, at) = (flow.as_row(), bytes.len() as u32);
            let cut = if n % 97 == 0 { row.as_bytes().len() / 2 } else { row.as_bytes().len() };
            bytes.extend_from_slice(&row.as_bytes()[..cut]);
            let known = table.shapes().iter().position(|s| s == row.shape()).map(|s| s as u16);
            let shape = known.unwrap_or_else(|| table.push(row.shape().clone()).unwrap());
            index.push(RowRef { at, len: cut as u16, shape });
        }
        let rows = Rows { bytes: &bytes, index: &index, table: &table };
        let mut selected = Selection::default();
        selected.reset(rows.len(), true);
        (0..rows.len()).step_by(13).for_each(|i| selected.remove(i));
        let gathering = Gathering::new(Hasher::new(), &Budget::new(None), 1);
        let mut all = Aggregator::new(keys, &gathering, HashRange::ALL);
        all.bind(&rows);
        let plain = all.bound.iter_mut().filter(|b| b.plain.is_some());
        let plain: Vec<_> = if is_short { Vec::new() } else { plain.collect() };
        plain.into_iter().for_each(|b| b.plain = None);
        let sums = all.update(&rows, &selected, 3);
        if is_short && !keys.both_directions {
            assert!(all.bound.iter().any(|b| b.picked.capacity() > 0), "no row went the short way");
        }
        all.finish();
        let groups = Groups::of(&gathering, 1);
        let mut found = Found::new();
        for (class, part) in groups.parts() {
            for g in (0..part.len()).filter_map(|i| part.group(i)) {
                let before = found.insert((*class, g.key.to_vec()), (g.counts, g.origin));
                assert!(before.is_none(), "a group twice");
            }
        }
        (found, sums)
    }

    #[test]
    fn the_short_way_counts_as_the_long_one() {
        let flows = flows();
        for fields in [
            &[Field::DstAddr][..],
            &[Field::SrcAddr, Field::DstPort],
            &[Field::Proto, Field::SrcAddr, Field::DstAddr, Field::SrcPort, Field::DstPort],
            &[Field::Proto],
            &[],
        ] {
            let parts: Vec<_> = fields.iter().map(|f| KeyPart::whole(*f)).collect();
            let keys = Keys { specs: vec![KeySpec::new(parts)], both_directions: false };
            let [short, long] = [true, false].map(|is_short| groups(&keys, &flows, is_short));
            assert_eq!(short.1, long.1, "{fields:?}");
            assert_eq!(short.0, long.0, "{fields:?}");
        }
    }
}
