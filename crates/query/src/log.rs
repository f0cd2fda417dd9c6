//! One partition of the groups: records one behind the other, made groups of in place.

use crate::budget::{Account, HashRange};
use crate::counters::{NOTHING, join};
use crate::group::{Group, Hasher, Origin, Sums};
use crate::slots::Slots;
use output::Counts;
use sys::memory::prefetch;
use sys::piece::Piece;

/// One partition: groups side by side, of which several may have one key.
#[derive(Debug)]
pub(crate) struct Log<const W: usize> {
    pieces: Vec<Piece<Group<W>>>,
    /// Groups of a full piece.
    capacity: usize,
    len: usize,
    /// Groups, from the begin, that have keys of their own.
    joined: usize,
    /// With so many it is time to join again.
    limit: usize,
    /// Sums that do not fit into groups.
    wide: Vec<Counts>,
    /// What was dropped does not come in again.
    range: HashRange,
    /// What the wide sums take, and at the end all.
    account: Account,
}

impl<const W: usize> Log<W> {
    /// Groups that are not joined yet, at least, for it to be worth the while.
    const LEAST: usize = 2048;

    /// No groups; pieces have room for so many, a power of two.
    pub(crate) const fn new(capacity: usize, account: Account) -> Self {
        Self {
            pieces: Vec::new(),
            capacity,
            len: 0,
            joined: 0,
            limit: Self::LEAST,
            wide: Vec::new(),
            range: HashRange::ALL,
            account,
        }
    }

    /// How many groups, those of one key that were not joined yet counted each.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether it is time to join.
    pub(crate) const fn is_due(&self) -> bool {
        self.len >= self.limit
    }

    /// Whether joining before it is time may be worth the look at all groups.
    pub(crate) const fn is_worth_joining(&self) -> bool {
        self.len > self.joined + self.joined / 4
    }

    /// Appends groups of a worker that adds what lies in `range`. Their wide sums, if they have such,
    /// are in `wide`.
    pub(crate) fn append(
        &mut self,
        mut piece: Piece<Group<W>>,
        wide: Vec<Counts>,
        range: HashRange,
        hasher: Hasher,
    ) {
        if self.range != range {
            // Another worker has dropped already what this one has yet to.
            keep(&mut piece, |g| self.range.contains(hasher.hash(&g.key)));
        }
        self.push(piece, wide);
    }

    fn push(&mut self, mut piece: Piece<Group<W>>, wide: Vec<Counts>) {
        if !wide.is_empty() {
            let before = self.wide.capacity();
            let first = self.wide.len();
            piece.iter_mut().for_each(|g| g.sums = g.sums.behind(first));
            self.wide.extend(wide);
            self.account.charge((self.wide.capacity() - before) * size_of::<Counts>());
        }
        self.len += piece.len();
        self.pieces.push(piece);
    }

    /// Drops the groups outside of a range, and what comes in of such. Returns the pieces that are
    /// left over.
    pub(crate) fn narrow(&mut self, range: HashRange, hasher: Hasher) -> Vec<Piece<Group<W>>> {
        if self.range == range {
            return Vec::new();
        }
        self.range = range;
        self.retain(|g| range.contains(hasher.hash(&g.key)))
    }

    /// Leaves an empty log behind.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self::new(self.capacity, self.account.another());
        std::mem::replace(self, empty)
    }

    /// The last joining: each key has one group from now on.
    pub(crate) fn into_joined(mut self, hasher: Hasher, base: u64, index: &mut Slots) -> Joined<W> {
        drop(self.join(hasher, base, index));
        self.account.charge(self.pieces.len() * self.capacity * size_of::<Group<W>>());
        Joined { base, log: self }
    }

    #[inline]
    fn get(&self, position: usize) -> Option<&Group<W>> {
        self.pieces.get(position >> self.capacity.ilog2())?.get(position & (self.capacity - 1))
    }

    /// Writes group number `position`, which is the next one or one before.
    #[inline]
    fn set(&mut self, position: usize, group: Group<W>) {
        let (shift, mask) = (self.capacity.ilog2(), self.capacity - 1);
        let Some(piece) = self.pieces.get_mut(position >> shift) else { return };
        match piece.get_mut(position & mask) {
            Some(place) => *place = group,
            None => {
                piece.push(group);
            }
        }
    }

    /// Joins the groups of each key, in place. Returns the pieces that are left over.
    pub(crate) fn join(
        &mut self,
        hasher: Hasher,
        base: u64,
        index: &mut Slots,
    ) -> Vec<Piece<Group<W>>> {
        let before = (self.len, self.joined);
        index.clear(self.len);
        let mut joint = Joint { wide: std::mem::take(&mut self.wide), base, len: 0 };
        let mut batch = [Group::NONE; BATCH];
        let mut hashes = [0; BATCH];
        for number in 0..self.pieces.len() {
            let mut from = 0;
            while let Some(part) = self.pieces.get(number).and_then(|p| p.get(from..)) {
                let part = part.get(..BATCH).unwrap_or(part);
                if part.is_empty() {
                    break;
                }
                from += part.len();
                if let Some(next) = self.ahead(number, from) {
                    next.iter().for_each(prefetch);
                }
                // A copy, since what is read makes room for what is written.
                for ((to, hash), g) in batch.iter_mut().zip(&mut hashes).zip(part) {
                    (*to, *hash) = (*g, hasher.hash(&g.key));
                    index.prepare(*hash);
                }
                let count = part.len();
                for hash in hashes.iter().take(count) {
                    if let Some(group) = index.guess(*hash).and_then(|n| self.get(n)) {
                        prefetch(group);
                    }
                }
                for (group, hash) in batch.iter().zip(&hashes).take(count) {
                    self.add(group, *hash, index, &mut joint);
                }
            }
        }
        let left = self.cut(joint.len);
        self.shrink_wide(joint.wide.capacity());
        self.plan(before);
        left
    }

    /// The groups that are looked at after those before `from` of a piece.
    #[inline]
    fn ahead(&self, number: usize, from: usize) -> Option<&[Group<W>]> {
        let piece = self.pieces.get(number)?;
        match from < piece.len() {
            true => piece.get(from..(from + BATCH).min(piece.len())),
            false => self.pieces.get(number + 1)?.get(..BATCH),
        }
    }

    /// Adds a group to that of its key, or behind the last one.
    #[inline]
    fn add(&mut self, group: &Group<W>, hash: u64, index: &mut Slots, joint: &mut Joint) {
        let found =
            index.find(hash, joint.len, |n| self.get(n).is_some_and(|g| g.key == group.key));
        let Some(position) = found else {
            let sums = moved(group.sums, &joint.wide, &mut self.wide);
            self.set(joint.len, Group { sums, ..*group });
            joint.len += 1;
            return;
        };
        let (shift, mask) = (self.capacity.ilog2(), self.capacity - 1);
        let piece = self.pieces.get_mut(position >> shift);
        let Some(known) = piece.and_then(|p| p.get_mut(position & mask)) else { return };
        known.origin = known.origin.join(group.origin);
        match known.sums.joined(&group.sums) {
            Some(sums) => known.sums = sums,
            None => join_wide(known, group, &mut self.wide, joint),
        }
    }

    /// Keeps the groups for which `is_kept` says so. Returns the pieces that are left over.
    fn retain(&mut self, is_kept: impl Fn(&Group<W>) -> bool) -> Vec<Piece<Group<W>>> {
        let old = std::mem::take(&mut self.wide);
        let (mut len, mut joined, mut read) = (0, 0, 0);
        for number in 0..self.pieces.len() {
            let count = self.pieces.get(number).map_or(0, |p| p.len());
            for i in 0..count {
                let Some(group) = self.pieces.get(number).and_then(|p| p.get(i)).copied() else {
                    continue;
                };
                read += 1;
                if is_kept(&group) {
                    let sums = moved(group.sums, &old, &mut self.wide);
                    self.set(len, Group { sums, ..group });
                    len += 1;
                    joined += usize::from(read <= self.joined);
                }
            }
        }
        self.joined = joined;
        let left = self.cut(len);
        self.shrink_wide(old.capacity());
        left
    }

    /// Ends the log behind group `len`. Returns the pieces behind it.
    fn cut(&mut self, len: usize) -> Vec<Piece<Group<W>>> {
        self.len = len;
        let pieces = len.div_ceil(self.capacity);
        let mut left = self.pieces.split_off(pieces.min(self.pieces.len()));
        left.iter_mut().for_each(|piece| piece.truncate(0));
        if let Some(last) = self.pieces.last_mut() {
            last.truncate(len - (pieces - 1) * self.capacity);
        }
        left
    }

    /// Charges the wide sums that are left of a list of the capacity `before`.
    fn shrink_wide(&mut self, before: usize) {
        self.account.release(before * size_of::<Counts>());
        self.account.charge(self.wide.capacity() * size_of::<Counts>());
    }

    /// When to join again, after `len` groups, of which `joined` had keys of their own, became fewer.
    fn plan(&mut self, (len, joined): (usize, usize)) {
        let (came, stayed) = (len - joined, self.len - joined);
        // Where three quarters have keys of their own, looking for the others gains little.
        let is_worth_it = stayed < came - came / 4;
        self.joined = self.len;
        self.limit = Self::LEAST.max(if is_worth_it { self.len * 3 } else { len * 16 });
    }
}

/// Keeps the groups for which `is_kept` says so.
fn keep<const W: usize>(piece: &mut Piece<Group<W>>, is_kept: impl Fn(&Group<W>) -> bool) {
    let mut kept = 0;
    for i in 0..piece.len() {
        let Some(group) = piece.get(i).copied().filter(&is_kept) else { continue };
        if let Some(place) = piece.get_mut(kept) {
            *place = group;
            kept += 1;
        }
    }
    piece.truncate(kept);
}

/// Keeps sums beside the groups.
#[inline(never)]
pub(crate) fn widen(wide: &mut Vec<Counts>, counts: Counts) -> Sums {
    wide.push(counts);
    Sums::wide(wide.len() as u32 - 1)
}

/// The sums of a group whose wide ones, if it has such, move from one list to another.
#[inline]
fn moved(sums: Sums, from: &[Counts], to: &mut Vec<Counts>) -> Sums {
    match sums.place() {
        None => sums,
        Some(place) => widen(to, from.get(place).copied().unwrap_or(NOTHING)),
    }
}

/// Joins sums that are wide or become it.
#[inline(never)]
fn join_wide<const W: usize>(
    known: &mut Group<W>,
    group: &Group<W>,
    wide: &mut Vec<Counts>,
    joint: &Joint,
) {
    let place = match known.sums.place() {
        Some(place) => place,
        None => {
            known.sums = widen(wide, known.sums.counts(joint.base));
            wide.len() - 1
        }
    };
    if let Some(sum) = wide.get_mut(place) {
        join(sum, &group.sums.counts_in(joint.base, &joint.wide));
    }
}

/// What joining knows beside the groups.
struct Joint {
    /// The wide sums of groups that were not looked at yet.
    wide: Vec<Counts>,
    base: u64,
    /// Groups with keys of their own so far.
    len: usize,
}

/// Groups that are looked up together: the processor waits for memory once for all of them.
const BATCH: usize = 32;

/// The groups of one partition, or some of them: one for each key.
#[derive(Debug)]
pub(crate) struct Joined<const W: usize> {
    base: u64,
    log: Log<W>,
}

impl<const W: usize> Joined<W> {
    /// How many groups.
    pub(crate) const fn len(&self) -> usize {
        self.log.len
    }

    /// Key and first record of group `i`.
    #[inline]
    pub(crate) fn group(&self, i: usize) -> Option<(&[u64; W], Origin)> {
        self.log.get(i).map(|g| (&g.key, g.origin))
    }

    /// Sums of group `i`.
    #[inline]
    pub(crate) fn counts(&self, i: usize) -> Counts {
        self.log.get(i).map_or(NOTHING, |g| g.sums.counts_in(self.base, &self.log.wide))
    }

    #[cfg(test)]
    pub(crate) fn has_wide(&self) -> bool {
        !self.log.wide.is_empty()
    }

    /// The groups at `positions` alone.
    pub(crate) fn pick(&self, positions: &[u32]) -> Self {
        let log = Log::new(1, self.log.account.another());
        let mut picked = Self { base: self.base, log };
        picked.append(self, positions.iter().map(|p| *p as usize));
        picked
    }

    /// Appends all groups of another part, which has none of the groups here.
    pub(crate) fn append_all(&mut self, other: &Self) {
        self.append(other, 0..other.len());
    }

    /// Appends groups of another part.
    fn append(&mut self, other: &Self, positions: impl ExactSizeIterator<Item = usize>) {
        let pieces = Piece::cut(self.log.capacity, positions.len());
        self.log.account.charge(pieces.len() * self.log.capacity * size_of::<Group<W>>());
        for (position, mut piece) in positions.zip(pieces) {
            let Some(group) = other.log.get(position) else { continue };
            let counts = other.counts(position);
            let mut wide = Vec::new();
            let sums = Sums::new(&counts, self.base).unwrap_or_else(|| widen(&mut wide, counts));
            piece.push(Group { sums, ..*group });
            self.log.push(piece, wide);
        }
    }
}
