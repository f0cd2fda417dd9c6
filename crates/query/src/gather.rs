//! Counts groups within a budget of memory, in as many passes over the files as that takes.

use crate::aggregate::{Aggregator, Gathering, Groups, Keys};
use crate::budget::{Budget, HashRange, Pass, Relief};
use crate::error::QueryError;
use crate::group::Hasher;
use crate::report::Report;
use crate::request::Sorting;
use crate::scan::{Batch, Numbers, Place, Query, Scan, Scanned};
use crate::top::RANKED_OCTETS;
use std::ops::ControlFlow;
use std::sync::Arc;

/// One question for groups.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) keys: Keys,
    /// The orders of which the first groups are wanted; `None` is that of appearance.
    pub(crate) sortings: Vec<Option<Sorting>>,
}

/// Groups for each question, in the order asked.
pub(crate) struct Gathered {
    pub(crate) groups: Vec<Groups>,
    pub(crate) places: Arc<Vec<Place>>,
    pub(crate) report: Report,
}

/// One worker of a pass.
struct Gatherer<'w> {
    aggregators: Vec<Aggregator<'w>>,
    range: HashRange,
}

impl Gatherer<'_> {
    /// Adds a block, and drops what there is no room for.
    fn update(&mut self, batch: &mut Batch<'_>, pass: &Pass) -> ControlFlow<()> {
        for aggregator in &mut self.aggregators {
            let sums = aggregator.update(&batch.rows, batch.selected, batch.block);
            batch.sums = Some(sums);
        }
        if pass.is_short() {
            self.aggregators.iter_mut().for_each(Aggregator::join);
        }
        match pass.relief(self.range) {
            Relief::None => ControlFlow::Continue(()),
            Relief::Fail => ControlFlow::Break(()),
            Relief::Narrow(range) => {
                self.range = range;
                self.aggregators.iter_mut().for_each(|a| a.narrow(range));
                pass.has_narrowed();
                ControlFlow::Continue(())
            }
        }
    }
}

impl Query {
    /// Counts the groups of all questions together. Only the first `n` (0: all) by each of their
    /// sortings need to be kept.
    ///
    /// Where memory is not enough for all groups, each pass counts the groups of a part of the
    /// hash space, and keeps the first ones of them; the first of all are among these.
    pub(crate) fn gather(&self, wanted: &[Wanted], n: usize) -> Result<Gathered, QueryError> {
        let (budget, hasher) = (Budget::new(self.memory), Hasher::new());
        let mut first: Option<(Report, Vec<Place>)> = None;
        let mut kept: Vec<Groups> = wanted.iter().map(|_| Groups::default()).collect();
        let mut range = HashRange::ALL;
        loop {
            let pass = Pass::new(&budget, range, n > 0);
            let again = first.as_ref().map(|(_, places)| places.as_slice());
            let new = |_: &Wanted| Gathering::new(hasher, &budget, self.workers());
            let gatherings: Vec<Gathering> = wanted.iter().map(new).collect();
            let scanned = self.count(wanted, &gatherings, &pass, again);
            let report = match &mut first {
                None => &mut first.insert((scanned.report, scanned.places)).0,
                Some((report, places)) => {
                    let is_whole = scanned.places.len() == places.len();
                    // The sums are those of the first pass; the others saw the same.
                    report.tell_again(scanned.report);
                    if report.interrupted || !is_whole {
                        // Sums of a part of the blocks, beside sums of all of them: worth nothing.
                        report.is_partial = true;
                        break;
                    }
                    report
                }
            };
            let Some(counted) = pass.counted() else {
                let groups = gatherings.iter().map(Gathering::len).sum();
                return Err(QueryError::groups(budget.limit(), groups));
            };
            let merged = self.merge(scanned.states, counted, &gatherings);
            drop(gatherings);
            if counted == HashRange::ALL {
                kept = merged;
                break;
            }
            for ((kept, merged), w) in kept.iter_mut().zip(merged).zip(wanted) {
                self.keep_first(kept, &merged, &w.sortings, n);
            }
            match counted.next() {
                Some(_) if report.interrupted => {
                    report.is_partial = true;
                    break;
                }
                Some(next) if budget.has_room(0) => range = next,
                _ => break,
            }
        }
        // Whoever wants all groups wants them in some order.
        let listed: usize = kept.iter().map(Groups::kept).sum();
        let order = if n == 0 { listed * RANKED_OCTETS } else { 0 };
        if !budget.has_room(order) {
            return Err(QueryError::groups(budget.limit(), listed));
        }
        let (report, places) = first.unwrap_or_default();
        Ok(Gathered { groups: kept, places: Arc::new(places), report })
    }

    /// One pass over the files, or over the blocks that an earlier one found.
    fn count<'w>(
        &'w self,
        wanted: &'w [Wanted],
        gatherings: &'w [Gathering],
        pass: &Pass,
        again: Option<&[Place]>,
    ) -> Scanned<Gatherer<'w>> {
        let new = |(w, gathering): (&'w Wanted, &'w Gathering), range| {
            Aggregator::new(&w.keys, gathering, range).with_book(self.book.as_deref())
        };
        self.scan(
            &Scan { numbers: Numbers::None, threads: self.threads, again },
            || {
                let range = pass.join();
                let all = wanted.iter().zip(gatherings);
                Gatherer { aggregators: all.map(|of| new(of, range)).collect(), range }
            },
            |gatherer, batch| gatherer.update(batch, pass),
        )
    }

    /// The workers' groups in the part of the hash space that all of them counted.
    fn merge(
        &self,
        workers: Vec<Gatherer<'_>>,
        counted: HashRange,
        gatherings: &[Gathering],
    ) -> Vec<Groups> {
        for mut worker in workers {
            if worker.range != counted {
                worker.aggregators.iter_mut().for_each(|a| a.narrow(counted));
            }
            worker.aggregators.into_iter().for_each(Aggregator::finish);
        }
        gatherings.iter().map(|g| Groups::of(g, self.threads)).collect()
    }

    /// Adds the first `n` groups of one pass, by each order, to those of the passes before.
    fn keep_first(
        &self,
        kept: &mut Groups,
        merged: &Groups,
        sortings: &[Option<Sorting>],
        n: usize,
    ) {
        let mut places = Vec::new();
        for sorting in sortings {
            let first = merged.places(*sorting, n, self.threads);
            places.extend(first.map(|r| (r.part, r.index)));
        }
        kept.keep(merged, places);
    }
}
