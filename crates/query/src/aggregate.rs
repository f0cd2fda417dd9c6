//! Groups rows by key and sums their counters.
//!
//! Every worker has an [`Aggregator`] of its own. Its groups are split by hash into
//! [`PARTITIONS`], so that workers' results merge partition by partition, in parallel.

use crate::counters::{CounterSlots, NOTHING, join};
use crate::key::{BoundKey, Class, KeySpec};
use crate::lookup::Lookups;
use crate::table::{Arrival, BATCH, Guess, Hasher, Origin, Table};
use output::Counts;
use record::{AddressBook, Row, Rows, Selection};

/// Parts that the groups of an aggregation are split into.
pub(crate) const PARTITIONS: usize = 16;

/// Which partition a hash belongs to: bits that neither choose a slot in a table of usual size
/// nor are kept in it.
#[inline]
const fn partition(hash: u64) -> usize {
    (hash >> 26) as usize % PARTITIONS
}

/// Tables of one class of keys, one a partition, and the arrivals of the batch at hand.
#[derive(Debug)]
struct TableSet<const W: usize> {
    tables: Vec<Table<W>>,
    batch: Vec<Arrival<W>>,
    slots: [u64; BATCH],
    guesses: [Guess; BATCH],
}

impl<const W: usize> TableSet<W> {
    fn new(hasher: Hasher) -> Self {
        Self {
            tables: (0..PARTITIONS).map(|_| Table::new(hasher)).collect(),
            batch: Vec::with_capacity(BATCH),
            slots: [0; BATCH],
            guesses: [Guess::Unknown; BATCH],
        }
    }

    #[inline]
    fn add(&mut self, hasher: Hasher, key: [u64; W], counts: &Counts, origin: Origin) {
        self.batch.push(Arrival { hash: hasher.hash(&key), key, counts: *counts, origin });
        if self.batch.len() == BATCH {
            self.flush();
        }
    }

    /// Adds the batch, step by step for all of it: see [`Table::home`].
    #[inline(never)]
    fn flush(&mut self) {
        let Self { tables, batch, slots, guesses } = self;
        for (slot, a) in slots.iter_mut().zip(batch.iter()) {
            *slot = tables.get(partition(a.hash)).map_or(0, |t| t.home(a.hash));
        }
        for ((guess, slot), a) in guesses.iter_mut().zip(slots.iter()).zip(batch.iter()) {
            let table = tables.get(partition(a.hash));
            *guess = table.map_or(Guess::Unknown, |t| t.guess(*slot, a));
        }
        for (guess, a) in guesses.iter().zip(batch.iter()) {
            if let Some(table) = tables.get_mut(partition(a.hash)) {
                table.add_guessed(*guess, a);
            }
        }
        batch.clear();
    }

    fn into_tables(mut self) -> Vec<Table<W>> {
        self.flush();
        self.tables
    }
}

macro_rules! widths {
    ($($name:ident $w:literal),*) => {
        /// Tables of one class of keys, as wide as the class needs.
        #[derive(Debug)]
        enum Tables { $($name(Box<TableSet<$w>>)),* }

        impl Tables {
            fn new(words: usize, hasher: Hasher) -> Self {
                $(if words <= $w {
                    return Self::$name(Box::new(TableSet::new(hasher)));
                })*
                unreachable!("a key of {words} words: KeySpec takes 32 parts of at most 2 words")
            }

            #[inline]
            fn add(&mut self, hasher: Hasher, key: &BoundKey, row: Row<'_>, lookups: &mut Lookups<'_>, counts: &Counts, origin: Origin) {
                match self {
                    $(Self::$name(t) => t.add(hasher, key.pack::<$w>(row, lookups), counts, origin)),*
                }
            }

            fn split(self) -> Vec<Part> {
                match self { $(Self::$name(t) => t.into_tables().into_iter().map(Part::$name).collect()),* }
            }
        }

        /// The groups of one class and one partition.
        #[derive(Debug)]
        pub(crate) enum Part { $($name(Table<$w>)),* }

        impl Part {
            fn absorb(&mut self, other: Self) {
                match (self, other) {
                    $((Self::$name(a), Self::$name(b)) => a.absorb(b),)*
                    _ => unreachable!("a class has one width"),
                }
            }

            fn drop_index(&mut self) {
                match self { $(Self::$name(t) => t.drop_index()),* }
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
                        Some(GroupRef { key, counts: t.counts(i), origin })
                    })*
                }
            }
        }
    };
}

widths!(W1 1, W2 2, W3 3, W5 5, W8 8, W16 16, W32 32, W64 64);

/// One group, whatever the width of its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupRef<'a> {
    pub(crate) key: &'a [u64],
    pub(crate) counts: Counts,
    pub(crate) origin: Origin,
}

/// One worker's groups. Several keys may feed the same groups: `-s ip` counts a flow once for its
/// source and once for its destination.
#[derive(Debug)]
pub(crate) struct Aggregator<'s> {
    keys: &'s [KeySpec],
    hasher: Hasher,
    /// Identity of the shape table that `bound` belongs to.
    bound_to: u64,
    bound: Vec<BoundShape>,
    classes: Vec<(Class, Tables)>,
    lookups: Lookups<'s>,
}

/// All that is resolved against one shape.
#[derive(Debug)]
struct BoundShape {
    slots: CounterSlots,
    /// For each key: the bound key and the index of its class.
    keys: Vec<(BoundKey, usize)>,
}

impl<'s> Aggregator<'s> {
    /// Workers whose results are to be merged share the hasher.
    pub(crate) const fn new(keys: &'s [KeySpec], hasher: Hasher) -> Self {
        let lookups = Lookups::new(None);
        Self { keys, hasher, bound_to: 0, bound: Vec::new(), classes: Vec::new(), lookups }
    }

    /// The same, looking up in `book` what keys ask for and rows do not say.
    pub(crate) fn with_book(self, book: Option<&'s dyn AddressBook>) -> Self {
        Self { lookups: Lookups::new(book), ..self }
    }

    /// Adds the selected rows of block number `block`. Returns the sums over them.
    pub(crate) fn update(&mut self, rows: &Rows<'_>, selected: &Selection, block: u32) -> Counts {
        self.bind(rows);
        let mut sums = NOTHING;
        let shapes = rows.table.shapes();
        for i in selected.iter() {
            let Some(r) = rows.index.get(i) else { break };
            let at = r.at as usize;
            let bytes = rows.bytes.get(at..at + usize::from(r.len)).unwrap_or(&[]);
            let shape = usize::from(r.shape);
            let (Some(bound), Some(shape)) = (self.bound.get(shape), shapes.get(shape)) else {
                continue;
            };
            let row = Row::new(bytes, shape);
            let counts = bound.slots.read(row);
            join(&mut sums, &counts);
            let origin = Origin::new(block, i as u32, bound.slots.flags(row));
            for (key, class) in &bound.keys {
                if let Some((_, tables)) = self.classes.get_mut(*class) {
                    tables.add(self.hasher, key, row, &mut self.lookups, &counts, origin);
                }
            }
        }
        sums
    }

    /// Resolves the keys against shapes that are new since the last batch.
    fn bind(&mut self, rows: &Rows<'_>) {
        if self.bound_to != rows.table.id() {
            self.bound_to = rows.table.id();
            self.bound.clear();
        }
        let has_systems = self.lookups.has_systems();
        for shape in rows.table.shapes().iter().skip(self.bound.len()) {
            let mut keys = Vec::new();
            for key in self.keys.iter().filter_map(|k| k.bind(shape, has_systems)) {
                let class = self.class_index(key.class, key.words);
                keys.push((key, class));
            }
            self.bound.push(BoundShape { slots: CounterSlots::new(shape), keys });
        }
    }

    fn class_index(&mut self, class: Class, words: usize) -> usize {
        if let Some(i) = self.classes.iter().position(|(c, _)| *c == class) {
            return i;
        }
        self.classes.push((class, Tables::new(words, self.hasher)));
        self.classes.len() - 1
    }

    fn into_parts(self) -> Vec<(Class, Vec<Part>)> {
        self.classes.into_iter().map(|(c, t)| (c, t.split())).collect()
    }
}

/// The groups of all workers, merged.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Ordered by class, so that results do not depend on what was met first.
    parts: Vec<(Class, Part)>,
}

impl Groups {
    /// Merges workers' groups on `threads` threads.
    pub(crate) fn merge(workers: Vec<Aggregator<'_>>, threads: usize) -> Self {
        let mut by_place: Vec<((Class, usize), Vec<Part>)> = Vec::new();
        let mut places = std::collections::BTreeMap::<(Class, usize), Vec<Part>>::new();
        for worker in workers {
            for (class, parts) in worker.into_parts() {
                for (n, part) in parts.into_iter().enumerate() {
                    places.entry((class, n)).or_default().push(part);
                }
            }
        }
        by_place.extend(places);
        let merged = crate::parallel::map(by_place, threads, |((class, _), parts)| {
            let mut parts = parts.into_iter();
            let mut whole = parts.next()?;
            parts.for_each(|p| whole.absorb(p));
            whole.drop_index();
            (whole.len() > 0).then_some((class, whole))
        });
        Self { parts: merged.into_iter().flatten().collect() }
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|(_, p)| p.len()).sum()
    }

    /// All partitions with their class.
    pub(crate) fn parts(&self) -> &[(Class, Part)] {
        &self.parts
    }
}
