//! Sums over a window of time that moves, by key.
//!
//! **When a flow counts.** Exporters report a flow when it ends, and one that lasts once in each of
//! their active timeouts. So a flow counts, as a whole, at the moment its report *arrived*: the
//! window then holds what files of the same time hold, and each flow that lasts is in a window of at
//! least the active timeout once, not more and not less. The line of a key over time
//! ([`Talker::history`]) is another thing: there the octets are spread over as long as the flow
//! lasted, back from when it arrived, because a download of an hour is no row of spikes.
//!
//! **Memory** is bounded: at most so many keys are kept. When there are more, the smaller half goes
//! into `other`, and so do flows of a key that comes while no room is made. A key that is among the
//! largest is not lost by that for long, but what it had before it came back is in `other`: its
//! sums are then too small, never too large.
//!
//! Time is cut into bins, and the window moves by whole bins.

use std::collections::{HashMap, VecDeque};

/// What flowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Flows.
    pub flows: u64,
    /// Packets, both directions.
    pub packets: u64,
    /// Octets, both directions.
    pub bytes: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.flows = self.flows.saturating_add(other.flows);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn subtract(&mut self, other: Self) {
        self.flows = self.flows.saturating_sub(other.flows);
        self.packets = self.packets.saturating_sub(other.packets);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// What keys are ordered by. Rates are sums over one and the same time, so they have the order of
/// the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Flows.
    Flows,
    /// Packets.
    Packets,
    /// Octets.
    #[default]
    Bytes,
}

impl Measure {
    /// Of these sums.
    pub const fn of(self, sums: &Sums) -> u64 {
        match self {
            Self::Flows => sums.flows,
            Self::Packets => sums.packets,
            Self::Bytes => sums.bytes,
        }
    }
}

/// One flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When its report arrived, milliseconds since 1970.
    pub at_ms: u64,
    /// How long it had lasted, milliseconds.
    pub lasted_ms: u64,
    /// What flowed.
    pub sums: Sums,
}

/// One key of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talker {
    /// The key.
    pub key: Box<[u64]>,
    /// What flowed.
    pub sums: Sums,
    /// Octets in each bin, the oldest first.
    pub history: Vec<u64>,
}

/// How long a window is, and how finely it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    bin_ms: u64,
    bins: usize,
}

impl Length {
    /// The shortest window, seconds.
    pub const MIN_SECS: u64 = 2;
    /// The longest window, seconds.
    pub const MAX_SECS: u64 = 86_400;
    /// Steps that a window is cut into, at most.
    const STEPS: u64 = 60;

    /// A window of so many seconds, at least [`MIN_SECS`](Self::MIN_SECS) and at most
    /// [`MAX_SECS`](Self::MAX_SECS). A bin has whole seconds, and one bin more than needed is kept,
    /// so that the window is never shorter.
    pub fn of_secs(secs: u64) -> Self {
        let secs = secs.clamp(Self::MIN_SECS, Self::MAX_SECS);
        let bin = secs.div_ceil(Self::STEPS);
        Self { bin_ms: bin * 1000, bins: secs.div_ceil(bin) as usize + 1 }
    }

    /// Milliseconds of a bin.
    pub const fn bin_ms(self) -> u64 {
        self.bin_ms
    }

    /// Bins.
    pub const fn bins(self) -> usize {
        self.bins
    }
}

/// What flowed in a window, by key.
#[derive(Debug)]
pub struct Window {
    length: Length,
    max_keys: usize,
    measure: Measure,
    /// Number of the newest bin since 1970.
    newest: u64,
    /// The oldest first, always [`Length::bins`] of them.
    bins: VecDeque<Bin>,
    ids: HashMap<Box<[u64]>, u32>,
    groups: Vec<Group>,
    free: Vec<u32>,
    total: Sums,
    other: Sums,
    too_old: u64,
}

#[derive(Debug, Default)]
struct Bin {
    cells: HashMap<u32, Cell>,
    total: Cell,
    other: Sums,
}

/// What one key has in one bin.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    sums: Sums,
    /// Octets that flowed in the time of the bin, as far as is known.
    spread: u64,
}

#[derive(Debug, Default)]
struct Group {
    key: Box<[u64]>,
    sums: Sums,
    /// Bins that have a cell of it.
    cells: u32,
}

impl Window {
    /// An empty window of at most `max_keys` keys (at least 2). `measure` says which of them stay
    /// when there are more.
    pub fn new(length: Length, max_keys: usize, measure: Measure) -> Self {
        Self {
            length,
            max_keys: max_keys.max(2),
            measure,
            newest: 0,
            bins: std::iter::repeat_with(Bin::default).take(length.bins).collect(),
            ids: HashMap::new(),
            groups: Vec::new(),
            free: Vec::new(),
            total: Sums::default(),
            other: Sums::default(),
            too_old: 0,
        }
    }

    /// Moves the end of the window to `now_ms`; it never goes back.
    pub fn advance(&mut self, now_ms: u64) {
        let to = now_ms / self.length.bin_ms;
        let steps = to.saturating_sub(self.newest);
        self.newest = self.newest.max(to);
        for _ in 0..steps.min(self.length.bins as u64) {
            if let Some(bin) = self.bins.pop_front() {
                self.forget(&bin);
            }
            self.bins.push_back(Bin::default());
        }
    }

    /// Counts a flow for all keys together. Returns whether it is in the window at all: only then
    /// its keys are to be counted. One from the future counts as now.
    pub fn add(&mut self, seen: &Seen) -> bool {
        let Some(at) = self.place(seen.at_ms) else {
            self.too_old = self.too_old.saturating_add(seen.sums.flows);
            return false;
        };
        self.total.add(seen.sums);
        if let Some(bin) = self.bins.get_mut(at) {
            bin.total.sums.add(seen.sums);
        }
        self.spread(seen, at, None);
        true
    }

    /// Counts a flow for one of its keys.
    pub fn count(&mut self, key: &[u64], seen: &Seen) {
        let Some(at) = self.place(seen.at_ms) else { return };
        let id = match self.ids.get(key) {
            Some(id) => *id,
            None => self.insert(key),
        };
        if let Some(group) = self.groups.get_mut(id as usize) {
            group.sums.add(seen.sums);
        }
        self.with_cell(at, id, |cell| cell.sums.add(seen.sums));
        self.spread(seen, at, Some(id));
    }

    /// The first `n` keys by a measure, the largest first or the smallest. Of equal ones the key
    /// decides.
    pub fn ranked(&self, by: Measure, ascending: bool, n: usize) -> Vec<Talker> {
        let rank = |group: &Group| {
            let value = by.of(&group.sums);
            if ascending { value } else { !value }
        };
        let mut all: Vec<(u64, &[u64], u32)> = self
            .ids
            .iter()
            .filter_map(|(key, id)| Some((rank(self.groups.get(*id as usize)?), &key[..], *id)))
            .collect();
        if n < all.len() {
            all.select_nth_unstable(n);
            all.truncate(n);
        }
        all.sort_unstable();
        let talker = |(_, key, id): (u64, &[u64], u32)| {
            let group = self.groups.get(id as usize)?;
            let of = |bin: &Bin| bin.cells.get(&id).map_or(0, |c| c.spread);
            let history = self.bins.iter().map(of).collect();
            Some(Talker { key: key.into(), sums: group.sums, history })
        };
        all.into_iter().filter_map(talker).collect()
    }

    /// All flows in the window.
    pub const fn total(&self) -> Sums {
        self.total
    }

    /// Octets of all flows in each bin, the oldest first.
    pub fn history(&self) -> Vec<u64> {
        self.bins.iter().map(|bin| bin.total.spread).collect()
    }

    /// What belongs to keys that there was no room for.
    pub const fn other(&self) -> Sums {
        self.other
    }

    /// Keys that are kept.
    pub fn keys(&self) -> usize {
        self.ids.len()
    }

    /// Flows that were added and arrived before the window began.
    pub const fn too_old(&self) -> u64 {
        self.too_old
    }

    /// Where the window begins, milliseconds since 1970.
    pub const fn from_ms(&self) -> u64 {
        let first = (self.newest + 1).saturating_sub(self.length.bins as u64);
        first.saturating_mul(self.length.bin_ms)
    }

    /// Milliseconds from its begin to `now_ms`, at least one bin: what rates refer to.
    pub fn span_ms(&self, now_ms: u64) -> u64 {
        let end = (self.newest + 1).saturating_mul(self.length.bin_ms);
        now_ms.min(end).saturating_sub(self.from_ms()).max(self.length.bin_ms)
    }

    /// How long it is.
    pub const fn length(&self) -> Length {
        self.length
    }

    /// Position of the bin of a moment.
    fn place(&self, at_ms: u64) -> Option<usize> {
        let age = self.newest.saturating_sub(at_ms / self.length.bin_ms);
        usize::try_from(age).ok().and_then(|age| (self.length.bins - 1).checked_sub(age))
    }

    /// Spreads the octets over the bins that the flow lasted in, back from the one at `at`. What
    /// lies before the window is left out.
    fn spread(&mut self, seen: &Seen, at: usize, id: Option<u32>) {
        for (at, bytes) in shares(seen, at, self.length.bin_ms) {
            match id {
                Some(id) => self.with_cell(at, id, |cell| cell.spread += bytes),
                None => {
                    if let Some(bin) = self.bins.get_mut(at) {
                        bin.total.spread = bin.total.spread.saturating_add(bytes);
                    }
                }
            }
        }
    }

    fn with_cell(&mut self, at: usize, id: u32, change: impl FnOnce(&mut Cell)) {
        let (Some(bin), Some(group)) = (self.bins.get_mut(at), self.groups.get_mut(id as usize))
        else {
            return;
        };
        let cell = bin.cells.entry(id).or_insert_with(|| {
            group.cells += 1;
            Cell::default()
        });
        change(cell);
    }

    fn insert(&mut self, key: &[u64]) -> u32 {
        if self.ids.len() >= self.max_keys {
            self.prune();
        }
        let group = Group { key: key.into(), ..Group::default() };
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.groups.push(Group::default());
                (self.groups.len() - 1) as u32
            }
        };
        if let Some(place) = self.groups.get_mut(id as usize) {
            *place = group;
        }
        self.ids.insert(key.into(), id);
        id
    }

    /// Moves the smaller half of the keys to `other`.
    fn prune(&mut self) {
        let kept = self.max_keys / 2;
        let measure = self.measure;
        let mut all: Vec<(u64, u32)> = self
            .ids
            .values()
            .filter_map(|id| Some((!measure.of(&self.groups.get(*id as usize)?.sums), *id)))
            .collect();
        if kept >= all.len() {
            return;
        }
        all.select_nth_unstable(kept);
        let gone: Vec<u32> = all.into_iter().skip(kept).map(|(_, id)| id).collect();
        for id in &gone {
            let Some(group) = self.groups.get_mut(*id as usize) else { continue };
            let group = std::mem::take(group);
            self.ids.remove(&group.key);
            self.other.add(group.sums);
            self.free.push(*id);
        }
        for bin in &mut self.bins {
            for id in &gone {
                if let Some(cell) = bin.cells.remove(id) {
                    bin.other.add(cell.sums);
                }
            }
        }
    }

    /// Takes out what was in a bin that has left the window.
    fn forget(&mut self, bin: &Bin) {
        self.total.subtract(bin.total.sums);
        self.other.subtract(bin.other);
        for (id, cell) in &bin.cells {
            let Some(group) = self.groups.get_mut(*id as usize) else { continue };
            group.sums.subtract(cell.sums);
            group.cells = group.cells.saturating_sub(1);
            if group.cells == 0 {
                let group = std::mem::take(group);
                self.ids.remove(&group.key);
                self.free.push(*id);
            }
        }
    }
}

/// The octets of a flow in each bin back from the one at `at`, in whole numbers that add up to all
/// of them, less what lies before the first bin.
fn shares(seen: &Seen, at: usize, bin_ms: u64) -> impl Iterator<Item = (usize, u64)> {
    let (bytes, lasted) = (u128::from(seen.sums.bytes), u128::from(seen.lasted_ms));
    // Octets that had flowed so many milliseconds before the report came.
    let before = move |ago: u64| match lasted {
        0 => 0,
        _ => bytes * (lasted - u128::from(ago).min(lasted)) / lasted,
    };
    let here = seen.at_ms % bin_ms;
    let (mut ago, mut at, lasted_ms) = (0, Some(at), seen.lasted_ms);
    let mut left = bytes;
    std::iter::from_fn(move || {
        let place = at?;
        let begins = here + (ago_bins(ago, here, bin_ms)) * bin_ms;
        let earlier = if begins >= lasted_ms { 0 } else { before(begins) };
        let share = left - earlier;
        left = earlier;
        ago = begins + 1;
        at = if earlier == 0 { None } else { place.checked_sub(1) };
        Some((place, share as u64))
    })
}

/// How many whole bins lie between the bin of the report and the moment `ago` before it.
const fn ago_bins(ago: u64, here: u64, bin_ms: u64) -> u64 {
    if ago <= here { 0 } else { (ago - here).div_ceil(bin_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Numbers that are the same in every run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }
    }

    const START: u64 = 1_800_000_000_000;

    /// The slow, obvious twin: keeps every flow.
    struct Oracle {
        length: Length,
        flows: Vec<(Vec<u64>, Seen)>,
    }

    impl Oracle {
        fn bin(&self, ms: u64) -> u64 {
            ms / self.length.bin_ms
        }

        /// Flows in the window that ends at `now`.
        fn inside(&self, now: u64) -> impl Iterator<Item = &(Vec<u64>, Seen)> {
            let last = self.bin(now);
            let bins = self.length.bins as u64;
            self.flows.iter().filter(move |(_, s)| self.bin(s.at_ms) + bins > last)
        }

        fn by_key(&self, now: u64) -> BTreeMap<Vec<u64>, Sums> {
            let mut out = BTreeMap::<Vec<u64>, Sums>::new();
            for (key, seen) in self.inside(now) {
                out.entry(key.clone()).or_default().add(seen.sums);
            }
            out
        }

        /// Octets of a key by bin, millisecond by millisecond.
        fn history(&self, now: u64, key: &[u64]) -> Vec<f64> {
            let first = self.bin(now) + 1 - self.length.bins as u64;
            let mut out = vec![0.0; self.length.bins];
            for (_, seen) in self.flows.iter().filter(|(k, _)| k == key) {
                let n = seen.lasted_ms.max(1);
                for ms in 0..n {
                    let bin = self.bin(seen.at_ms - ms).checked_sub(first);
                    if let Some(cell) = bin.and_then(|b| out.get_mut(b as usize)) {
                        *cell += seen.sums.bytes as f64 / n as f64;
                    }
                }
            }
            out
        }
    }

    #[test]
    fn sums_are_those_of_the_flows_that_arrived_within_the_window() {
        for (secs, max_lasted) in [(10, 1), (10, 4000), (90, 20_000), (600, 5)] {
            let length = Length::of_secs(secs);
            let mut dice = Dice(secs);
            let mut window = Window::new(length, 1000, Measure::Bytes);
            let mut oracle = Oracle { length, flows: Vec::new() };
            let mut now = START;
            window.advance(now);
            for step in 0..400 {
                now += dice.below(secs * 30);
                window.advance(now);
                for _ in 0..dice.below(5) {
                    let seen = Seen {
                        at_ms: now - dice.below(secs * 400),
                        lasted_ms: dice.below(max_lasted),
                        sums: Sums {
                            flows: 1,
                            packets: 1 + dice.below(9),
                            bytes: dice.below(100_000),
                        },
                    };
                    let key = vec![0, dice.below(12)];
                    assert!(window.add(&seen));
                    window.count(&key, &seen);
                    oracle.flows.push((key, seen));
                }
                let want = oracle.by_key(now);
                let got = window.ranked(Measure::Bytes, false, usize::MAX);
                assert!(got.windows(2).all(|w| w[0].sums.bytes >= w[1].sums.bytes));
                let got: BTreeMap<_, _> = got
                    .into_iter()
                    .filter(|t| t.sums.flows > 0)
                    .map(|t| (t.key.to_vec(), t.sums))
                    .collect();
                assert_eq!(got, want, "{secs} s, step {step}");
                let mut total = Sums::default();
                want.values().for_each(|s| total.add(*s));
                assert_eq!(window.total(), total);
                assert_eq!(window.other(), Sums::default());
            }
        }
    }

    #[test]
    fn octets_are_spread_over_as_long_as_flows_lasted() {
        let length = Length::of_secs(20);
        let mut dice = Dice(5);
        let mut window = Window::new(length, 100, Measure::Bytes);
        let mut oracle = Oracle { length, flows: Vec::new() };
        let mut now = START + 700;
        for _ in 0..60 {
            now += dice.below(900);
            window.advance(now);
            let sums = Sums { flows: 1, packets: 1, bytes: dice.below(1_000_000) };
            let lasted_ms = [0, 1, dice.below(1000), dice.below(30_000)][dice.below(4) as usize];
            let seen = Seen { at_ms: now, lasted_ms, sums };
            let key = vec![0, dice.below(3)];
            assert!(window.add(&seen));
            window.count(&key, &seen);
            oracle.flows.push((key, seen));
            for talker in window.ranked(Measure::Bytes, false, 10) {
                let want = oracle.history(now, &talker.key);
                for (n, (got, want)) in talker.history.iter().zip(&want).enumerate() {
                    // A millisecond more or less at each edge of each of the flows.
                    let room = 2.0 + 2.0 * 60.0 * 1_000_000.0 / 1000.0;
                    assert!((*got as f64 - want).abs() <= room, "bin {n}: {got} for {want}");
                }
            }
        }
    }

    #[test]
    fn spread_octets_add_up() {
        for (at_ms, lasted_ms, bytes, want) in [
            (5500, 0, 10, vec![(9, 10)]),
            (5500, 500, 10, vec![(9, 10)]),
            (5500, 1000, 10, vec![(9, 5), (8, 5)]),
            (5500, 2500, 10, vec![(9, 2), (8, 4), (7, 4)]),
            (5000, 2000, 10, vec![(9, 0), (8, 5), (7, 5)]),
            (5999, 100_000, 0, vec![(9, 0)]),
        ] {
            let seen = Seen { at_ms, lasted_ms, sums: Sums { flows: 1, packets: 1, bytes } };
            let got: Vec<_> = shares(&seen, 9, 1000).collect();
            assert_eq!(got, want, "{at_ms} {lasted_ms}");
        }
        // What lies before the window is left out, and nothing else.
        let seen = Seen {
            at_ms: 5000,
            lasted_ms: 20_000,
            sums: Sums { flows: 1, packets: 1, bytes: 200 },
        };
        assert_eq!(shares(&seen, 2, 1000).collect::<Vec<_>>(), [(2, 0), (1, 10), (0, 10)]);
        let longest =
            Seen { lasted_ms: u64::MAX, sums: Sums { bytes: u64::MAX, ..seen.sums }, ..seen };
        assert_eq!(shares(&longest, 60, 1000).count(), 61);
    }

    #[test]
    fn memory_is_bounded_and_the_largest_stay() {
        let mut window = Window::new(Length::of_secs(60), 100, Measure::Bytes);
        window.advance(START);
        let mut total = 0;
        for n in 0..10_000u64 {
            let is_large = n % 100 == 0;
            let bytes = if is_large { 50_000 } else { 100 };
            total += bytes;
            let seen =
                Seen { at_ms: START, lasted_ms: 0, sums: Sums { flows: 1, packets: 1, bytes } };
            assert!(window.add(&seen));
            // Ten large ones, and no small one comes twice.
            window.count(&[0, if is_large { n / 100 % 10 } else { 1000 + n }], &seen);
            assert!(window.keys() <= 100);
        }
        let first = window.ranked(Measure::Bytes, false, 10);
        assert!(first.iter().all(|t| t.sums.bytes == 500_000 && t.key[1] < 10), "{first:?}");
        let kept: u64 =
            window.ranked(Measure::Bytes, false, usize::MAX).iter().map(|t| t.sums.bytes).sum();
        assert_eq!(kept + window.other().bytes, total);
        assert_eq!(window.total().bytes, total);
        // All of it leaves, also what nobody has a key for.
        window.advance(START + 120_000);
        assert_eq!((window.keys(), window.total(), window.other()), Default::default());
        assert!(window.groups.len() <= 100);
    }

    #[test]
    fn time_outside_of_the_window() {
        let mut window = Window::new(Length::of_secs(10), 10, Measure::Bytes);
        window.advance(START);
        let at =
            |at_ms| Seen { at_ms, lasted_ms: 0, sums: Sums { flows: 1, packets: 1, bytes: 1 } };
        assert!(!window.add(&at(START - 11_000)));
        assert_eq!((window.too_old(), window.total().flows), (1, 0));
        assert!(window.add(&at(START - 10_000)));
        assert!(window.add(&at(START + 99_000)), "a clock that is ahead");
        assert_eq!(window.history()[10], 1, "counts as now");
        window.advance(START - 5000);
        assert_eq!(window.total().flows, 2, "time does not go back");
        assert_eq!(window.span_ms(START + 500), 10_500);
        window.advance(u64::MAX);
        assert_eq!(window.total(), Sums::default());
    }

    #[test]
    fn windows_are_never_shorter_than_asked_for() {
        for secs in [0, 2, 10, 59, 60, 61, 90, 300, 900, 3601, 86_400, u64::MAX] {
            let length = Length::of_secs(secs);
            let asked = secs.clamp(Length::MIN_SECS, Length::MAX_SECS) * 1000;
            let whole = length.bin_ms() * (length.bins() as u64 - 1);
            assert!(whole >= asked && whole < asked + length.bin_ms(), "{secs}");
            assert!(length.bins() <= 61);
        }
    }
}
