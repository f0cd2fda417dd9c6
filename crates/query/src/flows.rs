//! Answers that are flows: joined (`-a`, `-A`, `-b`, `-s record`) or only sorted (`-O`).

use crate::aggregate::Groups;
use crate::budget::{Account, Budget};
use crate::direction::{Direction, comes_from_server, turn};
use crate::document::Document;
use crate::element::Grouping;
use crate::error::QueryError;
use crate::fetch::{Fetched, Memory};
use crate::group::Origin;
use crate::list::{Edit, Printing};
use crate::report::Report;
use crate::request::{By, Sorting};
use crate::scan::{Numbers, Place, Query, Scan};
use crate::top::{Merged, Top, first};
use output::{Counts, Format, Kind};
use record::{Field, Flow, Row};
use std::cmp::Ordering;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Joined flows, ready to be sorted and printed as often as there are tables.
#[derive(Debug)]
pub struct JoinedFlows<'q> {
    query: &'q Query,
    grouping: Grouping,
    groups: Groups,
    places: Arc<Vec<Place>>,
}

impl<'q> JoinedFlows<'q> {
    pub(crate) const fn new(
        query: &'q Query,
        grouping: Grouping,
        groups: Groups,
        places: Arc<Vec<Place>>,
    ) -> Self {
        Self { query, grouping, groups, places }
    }

    /// How many flows are left after joining.
    pub const fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether nothing passed the filter.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prints the first `n` flows (0: all) by `sorting`; without one in order of appearance. Both
    /// are what the flows were joined for: see [`Query::join_flows`].
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn print(
        &self,
        sorting: Option<Sorting>,
        n: usize,
        format: &Format,
        out: &mut (dyn Write + Send),
        report: &mut Report,
    ) -> Result<(), QueryError> {
        let mut document = Document::open(format.kind(), out);
        self.print_into(&mut document, sorting, n, format, report);
        Ok(document.close()?)
    }

    /// As [`print`](Self::print), as one table of a document.
    pub(crate) fn print_into(
        &self,
        document: &mut Document<'_>,
        sorting: Option<Sorting>,
        n: usize,
        format: &Format,
        report: &mut Report,
    ) {
        let ranked = self.groups.places(sorting, n, self.query.threads);
        let origin = |r: &_| self.groups.at(r).map_or(Origin::new(0, 0, 0), |t| t.group.origin);
        let edit = |r: &_, row: Row<'_>, flow: &mut Flow| match self.groups.at(r) {
            Some(top) => self.join(&top, row, flow),
            None => Edit::AsRead,
        };
        let joined = Joined { shown: self.shown() };
        let query = self.query;
        query.print_picks(
            ranked,
            origin,
            edit,
            Some(joined),
            &self.places,
            format,
            document,
            report,
        );
    }

    /// What is known of a flow: all of a record, or the fields of the user's choice and the sums.
    fn shown(&self) -> Option<u128> {
        let key = self.grouping.key.parts().iter().map(|part| part.field);
        self.grouping.is_custom.then(|| output::shown_of_sums(key))
    }

    /// The question that these flows answer.
    pub(crate) const fn query(&self) -> &Query {
        self.query
    }

    /// Hands the first `n` flows (0: all) to `take`, each with the file its first record is in.
    pub(crate) fn each(
        &self,
        sorting: Option<Sorting>,
        n: usize,
        report: &mut Report,
        mut take: impl FnMut(usize, &mut Flow) -> ControlFlow<()>,
    ) {
        let ranked = self.groups.ranked(sorting, n, self.query.threads);
        let origin = |t: &Top<'_>| t.group.origin;
        let is_proto_borrowed = self.grouping.is_custom && !self.grouping.has(Field::Proto);
        let mut flow = Flow::new();
        let (places, memory) = (&self.places, Memory::Shared);
        let take = |window: &[Top<'_>], fetched: &Fetched| {
            for (i, top) in window.iter().enumerate() {
                let Some(found) = fetched.row(i) else { continue };
                if self.join(top, found.row, &mut flow) == Edit::AsRead {
                    flow.assign(found.row);
                }
                if is_proto_borrowed {
                    flow.set(Field::Proto, 0);
                }
                take(found.file, &mut flow)?;
            }
            ControlFlow::Continue(())
        };
        self.query.windows(ranked, origin, places, memory, take, report);
    }

    /// The record of a group. Joined by `-a` it is the first record with the sums of all; joined
    /// by fields of the user's choice it says nothing but these fields and the sums.
    fn join(&self, top: &Top<'_>, row: Row<'_>, flow: &mut Flow) -> Edit {
        let joined = self.sum_up(top, row, flow);
        let is_turned = self.grouping.direction == Direction::Guessed
            && comes_from_server(if joined == Edit::AsRead { row } else { flow.as_row() });
        if !is_turned {
            return joined;
        }
        if joined == Edit::AsRead {
            flow.assign(row);
        }
        turn(flow);
        Edit::Changed
    }

    fn sum_up(&self, top: &Top<'_>, row: Row<'_>, flow: &mut Flow) -> Edit {
        let sums = top.group.counts;
        if self.grouping.is_custom {
            flow.clear();
            // The destination port of ICMP is shown as type and code: its printer has to know.
            flow.set(Field::Proto, row.number(Field::Proto));
        } else if sums.flows == row.flows() {
            return Edit::AsRead; // alone in its group
        } else {
            flow.assign(row);
        }
        // The key of a conversation may be that of the other direction.
        if !self.grouping.merges_directions() {
            self.grouping.key.unpack(top.class, top.group.key, flow);
        }
        write_sums(&sums, top.group.origin.flags(), flow);
        Edit::Changed
    }
}

impl Grouping {
    /// Whether a field is part of the key.
    fn has(&self, field: Field) -> bool {
        self.key.parts().iter().any(|part| part.field == field)
    }

    /// Whether both directions of a conversation are one flow.
    pub fn merges_directions(&self) -> bool {
        self.direction != Direction::Kept
    }
}

/// Extension 5 appears only where it says something: nfdump writes it by the same rule.
fn write_sums(sums: &Counts, flags: u8, flow: &mut Flow) {
    for (field, value) in [
        (Field::First, sums.first_ms),
        (Field::Last, sums.last_ms),
        (Field::Packets, sums.in_packets),
        (Field::Bytes, sums.in_bytes),
    ] {
        flow.set(field, value);
    }
    if flow.has(Field::TcpFlags) {
        flow.set(Field::TcpFlags, u64::from(flags));
    }
    if sums.flows != 1 || sums.out_packets != 0 || sums.out_bytes != 0 {
        flow.set(Field::Flows, sums.flows);
        flow.set(Field::OutPackets, sums.out_packets);
        flow.set(Field::OutBytes, sums.out_bytes);
    }
}

/// What is particular about flows that were joined.
#[derive(Clone, Copy, Debug)]
struct Joined {
    /// The fields they show, unless they show all.
    shown: Option<u128>,
}

/// A record and its place in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    /// What is compared, so that the smallest comes first.
    rank: u64,
    origin: Origin,
}

/// Where records are, in order.
pub(crate) struct Sorted {
    runs: Vec<Vec<SortKey>>,
    n: usize,
    pub(crate) places: Vec<Place>,
    pub(crate) report: Report,
}

impl Sorted {
    /// The records in order; equal ones keep the order of the input.
    pub(crate) fn take_origins(&mut self) -> impl Iterator<Item = Origin> + use<> {
        let compare: fn(&SortKey, &SortKey) -> Ordering = SortKey::cmp;
        let all = Merged::new(std::mem::take(&mut self.runs), compare).map(|key| key.origin);
        all.take(if self.n == 0 { usize::MAX } else { self.n })
    }
}

impl Query {
    /// Joins the records that pass by a key, for the first `n` (0: all) by `sorting`, or of
    /// those whose first record came first. Others need not be there, if memory is scarce.
    ///
    /// # Errors
    ///
    /// [`QueryError::Memory`] if the groups take more than [`Query::memory`]. With an `n` of a
    /// sensible size they do not: what does not fit is counted in a further pass.
    pub fn join_flows(
        &self,
        grouping: &Grouping,
        sorting: Option<Sorting>,
        n: usize,
    ) -> Result<(JoinedFlows<'_>, Report), QueryError> {
        let wanted = [By::Flows(grouping.clone()).wanted(vec![sorting])];
        let mut gathered = self.gather(&wanted, n)?;
        let groups = gathered.groups.pop().unwrap_or_default();
        let flows = JoinedFlows::new(self, grouping.clone(), groups, gathered.places);
        Ok((flows, gathered.report))
    }

    /// Prints the first `n` records (0: all) that pass, by `sorting`.
    ///
    /// # Errors
    ///
    /// What `out` returns, and [`QueryError::Memory`].
    pub fn sorted(
        &self,
        sorting: Sorting,
        n: usize,
        format: &Format,
        out: &mut (dyn Write + Send),
    ) -> Result<Report, QueryError> {
        let mut sorted = self.sort(sorting, n)?;
        let origins = sorted.take_origins();
        let mut document = Document::open(format.kind(), out);
        let as_read = |_: &Origin, _: Row<'_>, _: &mut Flow| Edit::AsRead;
        let Sorted { places, mut report, .. } = sorted;
        self.print_picks(
            origins,
            |o| *o,
            as_read,
            None,
            &places,
            format,
            &mut document,
            &mut report,
        );
        document.close()?;
        Ok(report)
    }

    /// Prints picks in their order, window by window.
    #[expect(
        clippy::too_many_arguments,
        reason = "what, how, and where to: two callers, both here"
    )]
    fn print_picks<T: Sync>(
        &self,
        picks: impl Iterator<Item = T>,
        origin: impl Fn(&T) -> Origin,
        edit: impl Fn(&T, Row<'_>, &mut Flow) -> Edit + Sync,
        joined: Option<Joined>,
        places: &[Place],
        format: &Format,
        document: &mut Document<'_>,
        report: &mut Report,
    ) {
        document.header(format);
        if format.kind() == Kind::Null {
            return; // nothing of any record is shown
        }
        let (is_joined, shown) = (joined.is_some(), joined.and_then(|j| j.shown));
        let names = self.names(format);
        let (printed, seen) = (AtomicU64::new(0), AtomicU64::new(0));
        let memory = if is_joined { Memory::Shared } else { Memory::Free };
        let take = |window: &[T], fetched: &Fetched| {
            let edit = |i: usize, row: Row<'_>, flow: &mut Flow| match window.get(i) {
                Some(pick) => edit(pick, row, flow),
                None => Edit::AsRead,
            };
            let (names, printed, seen) = (&names, &printed, &seen);
            let how = Printing { format, names, edit: &edit, shown, printed, seen };
            self.print_window(fetched, window.len(), &how, document)
        };
        self.windows(picks, origin, places, memory, take, report);
    }

    /// Finds the first `n` records (0: all) by `sorting`.
    pub(crate) fn sort(&self, sorting: Sorting, n: usize) -> Result<Sorted, QueryError> {
        let budget = Budget::new(self.memory);
        let scanned = self.scan(
            &Scan { numbers: Numbers::None, threads: self.threads, again: None },
            || (Vec::new(), Account::new(&budget)),
            |(found, account): &mut (Vec<SortKey>, Account), batch| {
                let keys = batch.selected.iter().filter_map(|i| {
                    let rank = sorting.rank(&Counts::of(batch.rows.row(i)?));
                    Some(SortKey { rank, origin: Origin::new(batch.block, i as u32, 0) })
                });
                let before = found.capacity();
                found.extend(keys);
                account.charge((found.capacity() - before) * size_of::<SortKey>());
                if n > 0 && found.len() > n.saturating_mul(8).max(1 << 16) {
                    *found = first(found.drain(..), n, SortKey::cmp);
                    *account = account.another();
                    account.charge(found.capacity() * size_of::<SortKey>());
                }
                match budget.is_exceeded() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
        );
        if budget.is_exceeded() {
            let count = scanned.states.iter().map(|(found, _)| found.len()).sum();
            return Err(QueryError::records(budget.limit(), count));
        }
        let runs = scanned.states.into_iter().map(|(found, _)| found).collect();
        let runs = crate::parallel::map(runs, self.threads, |mut run: Vec<SortKey>| {
            if n > 0 {
                run = first(run.into_iter(), n, SortKey::cmp);
            }
            run.sort_unstable();
            run
        });
        Ok(Sorted { runs, n, places: scanned.places, report: scanned.report })
    }
}
