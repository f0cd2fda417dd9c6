//! Answers that are flows: joined (`-a`, `-A`, `-s record`) or only sorted (`-O`).

use crate::aggregate::{Aggregator, Groups};
use crate::element::Grouping;
use crate::list::Edit;
use crate::request::Sorting;
use crate::scan::{Damage, Place, Query, Report, Scan};
use crate::table::{Hasher, Origin};
use crate::top::{Top, first};
use output::{Counts, Format};
use record::{Field, Flow, Row};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

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
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether nothing passed the filter.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands out the first `n` flows (0: all) by `sorting`, or in order of appearance.
    fn pick(&self, sorting: Option<Sorting>, n: usize) -> Vec<Top<'_>> {
        match sorting {
            Some(sorting) => self.groups.top(sorting, n, self.query.threads),
            None => {
                let mut all = self.groups.in_order_of_appearance();
                if n > 0 {
                    all.truncate(n);
                }
                all
            }
        }
    }

    /// Prints the first `n` flows (0: all) by `sorting`; without one in order of appearance.
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
    ) -> io::Result<()> {
        let picked = self.pick(sorting, n);
        let origins: Vec<Origin> = picked.iter().map(|t| t.group.origin).collect();
        let fetched = self.query.fetch(&origins, &self.places);
        report.damage.extend(fetched.damage.iter().cloned());
        let edit = |i: usize, row: Row<'_>, flow: &mut Flow| match picked.get(i) {
            Some(top) => self.join(top, row, flow),
            None => Edit::AsRead,
        };
        self.query.print_fetched(&fetched, picked.len(), format, &edit, out)
    }

    /// Hands the first `n` flows (0: all) to `take`, each with the file its first record is in.
    /// Returns what could not be read again.
    pub(crate) fn each(
        &self,
        sorting: Option<Sorting>,
        n: usize,
        mut take: impl FnMut(usize, &mut Flow),
    ) -> Vec<Damage> {
        let picked = self.pick(sorting, n);
        let origins: Vec<Origin> = picked.iter().map(|t| t.group.origin).collect();
        let fetched = self.query.fetch(&origins, &self.places);
        let mut flow = Flow::new();
        for (i, top) in picked.iter().enumerate() {
            let Some((row, _)) = fetched.row(i) else { continue };
            if self.join(top, row, &mut flow) == Edit::AsRead {
                flow.assign(row);
            }
            let place = self.places.get(top.group.origin.block() as usize);
            take(place.map_or(0, |p| p.file as usize), &mut flow);
        }
        fetched.damage
    }

    /// The record of a group. Joined by `-a` it is the first record with the sums of all; joined
    /// by fields of the user's choice it says nothing but these fields and the sums.
    fn join(&self, top: &Top<'_>, row: Row<'_>, flow: &mut Flow) -> Edit {
        let sums = top.group.counts;
        if self.grouping.is_custom {
            flow.clear();
            // The destination port of ICMP is shown as type and code: its reader has to know.
            flow.set(Field::Proto, row.number(Field::Proto));
        } else if sums.flows == row.flows() {
            return Edit::AsRead; // alone in its group
        } else {
            flow.assign(row);
        }
        self.grouping.key.unpack(top.class, top.group.key, flow);
        write_sums(&sums, top.group.origin.flags(), flow);
        Edit::Changed
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

impl Query {
    /// Joins the records that pass by a key.
    pub fn join_flows(&self, grouping: &Grouping) -> (JoinedFlows<'_>, Report) {
        let keys = [grouping.key.clone()];
        let hasher = Hasher::new();
        let scanned = self.scan(
            &Scan { numbered: false, threads: self.threads },
            || Aggregator::new(&keys, hasher).with_book(self.book.as_deref()),
            |aggregator, batch| {
                let sums = aggregator.update(&batch.rows, batch.selected, batch.block);
                batch.sums = Some(sums);
                ControlFlow::Continue(())
            },
        );
        let groups = Groups::merge(scanned.states, self.threads);
        let places = Arc::new(scanned.places);
        (JoinedFlows::new(self, grouping.clone(), groups, places), scanned.report)
    }

    /// Prints the first `n` records (0: all) that pass, by `sorting`.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn sorted(
        &self,
        sorting: Sorting,
        n: usize,
        format: &Format,
        out: &mut (dyn Write + Send),
    ) -> io::Result<Report> {
        let (origins, places, mut report) = self.sort(sorting, n);
        let fetched = self.fetch(&origins, &places);
        report.damage.extend(fetched.damage.iter().cloned());
        let as_read = |_: usize, _: Row<'_>, _: &mut Flow| Edit::AsRead;
        self.print_fetched(&fetched, origins.len(), format, &as_read, out)?;
        Ok(report)
    }

    /// Where the first `n` records by `sorting` are. Equal ones keep the order of the input.
    pub(crate) fn sort(&self, sorting: Sorting, n: usize) -> (Vec<Origin>, Vec<Place>, Report) {
        let compare = |a: &(u64, Origin), b: &(u64, Origin)| {
            let by_value = a.0.cmp(&b.0);
            let by_value = if sorting.descending { by_value.reverse() } else { by_value };
            by_value.then_with(|| a.1.position().cmp(&b.1.position()))
        };
        let scanned = self.scan(
            &Scan { numbered: false, threads: self.threads },
            Vec::new,
            |found: &mut Vec<(u64, Origin)>, batch| {
                let values = batch.selected.iter().filter_map(|i| {
                    let row = batch.rows.row(i)?;
                    let value = sorting.order.value(&Counts::of(row));
                    Some((value, Origin::new(batch.block, i as u32, 0)))
                });
                found.extend(values);
                if n > 0 && found.len() > n.saturating_mul(8).max(1 << 16) {
                    *found = first(found.drain(..), n, compare);
                }
                ControlFlow::Continue(())
            },
        );
        let mut found = first(scanned.states.into_iter().flatten(), n, compare);
        found.sort_unstable_by(compare);
        (found.into_iter().map(|f| f.1).collect(), scanned.places, scanned.report)
    }
}
