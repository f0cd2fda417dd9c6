//! The largest few of many groups, without sorting all of them.

use crate::aggregate::{GroupRef, Groups, Part};
use crate::key::Class;
use crate::request::Sorting;
use std::cmp::Ordering;

/// One group of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Top<'g> {
    pub(crate) class: Class,
    pub(crate) group: GroupRef<'g>,
    value: u64,
}

impl Top<'_> {
    /// Larger values first; equal ones in the order in which the input has them, then by key, so
    /// that the same files give the same answer on any number of threads.
    fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let by_value = self.value.cmp(&other.value);
        let by_value = if descending { by_value.reverse() } else { by_value };
        by_value
            .then_with(|| self.group.origin.position().cmp(&other.group.origin.position()))
            .then_with(|| self.class.cmp(&other.class))
            .then_with(|| self.group.key.cmp(other.group.key))
    }
}

impl Groups {
    /// The first `n` groups by `sorting`, in order; all of them if `n` is 0.
    pub(crate) fn top(&self, sorting: Sorting, n: usize, threads: usize) -> Vec<Top<'_>> {
        let jobs: Vec<_> = self.parts().iter().collect();
        let parts = crate::parallel::map(jobs, threads, |part| best(part, sorting, n));
        let mut out =
            first(parts.into_iter().flatten(), n, |a, b| a.compare(b, sorting.descending));
        out.sort_unstable_by(|a, b| a.compare(b, sorting.descending));
        out
    }

    /// All groups, those whose first record came first in front.
    pub(crate) fn in_order_of_appearance(&self) -> Vec<Top<'_>> {
        let groups = self.parts().iter().flat_map(|(class, part)| {
            (0..part.len()).filter_map(|i| part.group(i)).map(|group| Top {
                class: *class,
                value: 0,
                group,
            })
        });
        let mut out: Vec<_> = groups.collect();
        out.sort_unstable_by(|a, b| a.compare(b, true));
        out
    }
}

/// The first `n` groups of one partition.
fn best((class, part): &(Class, Part), sorting: Sorting, n: usize) -> Vec<Top<'_>> {
    let all = (0..part.len()).filter_map(|i| part.group(i));
    let all =
        all.map(|group| Top { class: *class, value: sorting.order.value(&group.counts), group });
    first(all, n, |a, b| a.compare(b, sorting.descending))
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
    use super::first;

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
}
