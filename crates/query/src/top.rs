//! The largest few of many groups, without sorting all of them; and all of them in order, without
//! a copy of them.

use crate::aggregate::{GroupRef, Groups};
use crate::key::Class;
use crate::request::Sorting;
use std::cmp::Ordering;

/// One group of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Top<'g> {
    pub(crate) class: Class,
    pub(crate) group: GroupRef<'g>,
}

/// A group and its place in the order, as small as it can be: there may be ten million.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranked {
    /// What is compared, so that the smallest comes first.
    rank: u64,
    position: u64,
    /// Which partition.
    pub(crate) part: u32,
    /// Position in the partition.
    pub(crate) index: u32,
}

/// As [`Ranked`], where nothing is compared but the input: a third less.
#[derive(Clone, Copy, Debug)]
struct Placed {
    position: u64,
    part: u32,
    index: u32,
}

/// Octets that [`Groups::places`] takes for each group of which it returns the place.
pub(crate) const RANKED_OCTETS: usize = size_of::<Ranked>();

impl Groups {
    /// The first `n` groups (0: all) by `sorting`; without one those whose first record came
    /// first.
    ///
    /// Larger values first if so sorted; equal ones in the order in which the input has them, then
    /// by key, so that the same files give the same answer on any number of threads.
    pub(crate) fn ranked(
        &self,
        sorting: Option<Sorting>,
        n: usize,
        threads: usize,
    ) -> impl Iterator<Item = Top<'_>> {
        self.places(sorting, n, threads).filter_map(|r| self.at(&r))
    }

    /// The places of the groups that [`ranked`](Self::ranked) returns.
    pub(crate) fn places(
        &self,
        sorting: Option<Sorting>,
        n: usize,
        threads: usize,
    ) -> Box<dyn Iterator<Item = Ranked> + '_> {
        match sorting {
            Some(sorting) => {
                let rank = move |g: &GroupRef<'_>, p: Placed| Ranked {
                    rank: sorting.rank(&g.counts),
                    position: p.position,
                    part: p.part,
                    index: p.index,
                };
                Box::new(self.merged(rank, |a, b| self.compare(a, b), n, threads))
            }
            None => {
                let ranked =
                    |Placed { position, part, index }| Ranked { rank: 0, position, part, index };
                let compare = move |a: &Placed, b: &Placed| self.compare(&ranked(*a), &ranked(*b));
                Box::new(self.merged(|_, p| p, compare, n, threads).map(ranked))
            }
        }
    }

    /// All partitions, each sorted, as one.
    fn merged<T: Copy + Send>(
        &self,
        make: impl Fn(&GroupRef<'_>, Placed) -> T + Sync,
        compare: impl Fn(&T, &T) -> Ordering + Sync,
        n: usize,
        threads: usize,
    ) -> impl Iterator<Item = T> {
        let jobs: Vec<u32> = (0..self.parts().len() as u32).collect();
        let sorted = |part| self.sorted_part(part, &make, &compare, n);
        let runs = crate::parallel::map(jobs, threads, sorted);
        Merged::new(runs, compare).take(if n == 0 { usize::MAX } else { n })
    }

    /// The first `n` groups of one partition, in order.
    fn sorted_part<T: Copy>(
        &self,
        part: u32,
        make: &impl Fn(&GroupRef<'_>, Placed) -> T,
        compare: &impl Fn(&T, &T) -> Ordering,
        n: usize,
    ) -> Vec<T> {
        let Some((_, groups)) = self.parts().get(part as usize) else { return Vec::new() };
        let all = (0..groups.len()).filter_map(|i| {
            let group = groups.group(i)?;
            let position = group.origin.position();
            Some(make(&group, Placed { position, part, index: i as u32 }))
        });
        let mut run = match n {
            // Room for exactly as many: growing would leave up to as much unused.
            0 => {
                let mut run = Vec::with_capacity(groups.len());
                run.extend(all);
                run
            }
            n => first(all, n, compare),
        };
        run.sort_unstable_by(compare);
        run
    }

    fn compare(&self, a: &Ranked, b: &Ranked) -> Ordering {
        let by_input = a.rank.cmp(&b.rank).then_with(|| a.position.cmp(&b.position));
        by_input.then_with(|| match (self.at(a), self.at(b)) {
            (Some(a), Some(b)) => (a.class, a.group.key).cmp(&(b.class, b.group.key)),
            _ => Ordering::Equal,
        })
    }

    /// The group at a place.
    pub(crate) fn at(&self, r: &Ranked) -> Option<Top<'_>> {
        let (class, part) = self.parts().get(r.part as usize)?;
        Some(Top { class: *class, group: part.group(r.index as usize)? })
    }
}

/// Sorted runs read as one, without a copy of them.
pub(crate) struct Merged<T, F> {
    runs: Vec<std::vec::IntoIter<T>>,
    /// The next item of each run that has one, as a heap whose root comes first.
    heads: Vec<(T, usize)>,
    compare: F,
}

impl<T: Copy, F: Fn(&T, &T) -> Ordering> Merged<T, F> {
    pub(crate) fn new(runs: Vec<Vec<T>>, compare: F) -> Self {
        let mut runs: Vec<_> = runs.into_iter().map(Vec::into_iter).collect();
        let heads = runs.iter_mut().enumerate().filter_map(|(i, r)| Some((r.next()?, i))).collect();
        let mut merged = Self { runs, heads, compare };
        for at in (0..merged.heads.len() / 2).rev() {
            merged.sift_down(at);
        }
        merged
    }

    /// Whether the head at `a` comes before the one at `b`.
    fn is_before(&self, a: usize, b: usize) -> bool {
        match (self.heads.get(a), self.heads.get(b)) {
            (Some(a), Some(b)) => (self.compare)(&a.0, &b.0).is_lt(),
            _ => false,
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if self.is_before(right, left) { right } else { left };
            if !self.is_before(child, at) {
                return;
            }
            self.heads.swap(at, child);
            at = child;
        }
    }
}

impl<T: Copy, F: Fn(&T, &T) -> Ordering> Iterator for Merged<T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let (item, run) = *self.heads.first()?;
        match self.runs.get_mut(run).and_then(Iterator::next) {
            Some(next) => {
                if let Some(head) = self.heads.first_mut() {
                    head.0 = next;
                }
            }
            None => {
                self.heads.swap_remove(0);
            }
        }
        self.sift_down(0);
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.heads.len() + self.runs.iter().map(ExactSizeIterator::len).sum::<usize>();
        (left, Some(left))
    }
}

/// The `n` first items by `compare`, in no order; all if `n` is 0. Memory for 2 `n` items.
pub(crate) fn first<T>(
    items: impl Iterator<Item = T>,
    n: usize,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    if n == 0 {
        return items.collect();
    }
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        kept.push(item);
        if kept.len() >= n.saturating_mul(2).max(64) {
            kept.select_nth_unstable_by(n - 1, &compare);
            kept.truncate(n);
        }
    }
    if kept.len() > n {
        kept.select_nth_unstable_by(n - 1, &compare);
        kept.truncate(n);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::{Merged, first};

    #[test]
    fn first_is_the_head_of_a_sort() {
        let mut x = 3u64;
        let items: Vec<u64> = (0..5000)
            .map(|_| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                x >> 52
            })
            .collect();
        let mut sorted = items.clone();
        sorted.sort_unstable();
        for n in [0, 1, 2, 10, 63, 64, 65, 4999, 5000, 9000] {
            let mut got = first(items.iter().copied(), n, u64::cmp);
            got.sort_unstable();
            let want = if n == 0 { 5000 } else { n.min(5000) };
            assert_eq!(got, sorted[..want], "n {n}");
        }
    }

    #[test]
    fn runs_are_merged_in_order() {
        let mut x = 9u64;
        for runs in [0usize, 1, 2, 3, 7, 33] {
            let mut all = Vec::<u64>::new();
            let mut sorted_runs = Vec::new();
            for n in 0..runs {
                let mut run: Vec<u64> = (0..n * 13 % 50)
                    .map(|_| {
                        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        x >> 55
                    })
                    .collect();
                run.sort_unstable();
                all.extend(&run);
                sorted_runs.push(run);
            }
            all.sort_unstable();
            let mut merged = Merged::new(sorted_runs, u64::cmp);
            let mut rest = all.iter();
            loop {
                assert_eq!(merged.size_hint(), rest.size_hint(), "{runs} runs");
                let item = merged.next();
                assert_eq!(item, rest.next().copied(), "{runs} runs");
                if item.is_none() {
                    break;
                }
            }
        }
    }
}
