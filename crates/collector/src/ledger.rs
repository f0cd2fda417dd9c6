//! The ledger of a slot: what became of everything that each exporter sent.
//!
//! The decoder knows what came and what is missing, the writer which flows are in the file, the
//! source which were not wanted. Here it comes together as [`store::loss::ExporterStatement`].

use std::collections::HashMap;

use record::{Exporter, ExporterStats};
use store::loss::{Account, ExporterStatement, Place};
use wire::ExporterSlot;

/// What the exporters of a source did in a slot.
#[derive(Debug, Default)]
pub(crate) struct Exporters {
    /// What the decoder says of each.
    pub(crate) slots: Vec<ExporterSlot>,
    /// What it delivered of each.
    pub(crate) tally: Tally,
    /// Sets of each that still wait for their template.
    pub(crate) waiting: HashMap<Exporter, u64>,
}

/// Flows of a slot by number of their exporter, counted as [`record::Row::flows`] does, at the one
/// place that all of them pass.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<Delivered>);

#[derive(Clone, Copy, Debug, Default)]
struct Delivered {
    flows: u64,
    left_out: u64,
}

impl Tally {
    /// Counts one record.
    #[inline]
    pub(crate) fn count(&mut self, exporter: u16, flows: u64, is_kept: bool) {
        let at = usize::from(exporter);
        if self.0.len() <= at {
            self.0.resize(at + 1, Delivered::default());
        }
        if let Some(of) = self.0.get_mut(at) {
            of.flows = of.flows.saturating_add(flows);
            if !is_kept {
                of.left_out = of.left_out.saturating_add(flows);
            }
        }
    }

    fn of(&self, exporter: u16) -> Delivered {
        self.0.get(usize::from(exporter)).copied().unwrap_or_default()
    }
}

impl Exporters {
    /// What the file keeps of them.
    pub(crate) fn stats(&self) -> Vec<ExporterStats> {
        self.slots.iter().filter(|s| s.exporter.sysid != 0).map(ExporterSlot::stats).collect()
    }

    /// Says in the log who sent what cannot be read. Senders that lie in each datagram have a line a
    /// slot, and only the first of them.
    pub(crate) fn say_faults(&self, ident: &str) {
        const SAID: usize = 20;
        let faulty = self.slots.iter().filter_map(|slot| {
            let c = &slot.counts;
            let faults = [
                (c.sets_without_template, "sets without template"),
                (c.bad_sets, "bad sets"),
                (c.truncated_records, "records cut short"),
                (c.refused, "templates, samplers or names refused by a limit"),
            ];
            let said: Vec<_> = faults
                .iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, what)| format!("{what}: {n}"))
                .collect();
            (!said.is_empty()).then(|| (slot.exporter, said.join(", ")))
        });
        for (Exporter { addr, version, id, .. }, said) in faulty.take(SAID) {
            log::warn!("Ident: {ident}, exporter {addr}, version {version}, domain {id}: {said}");
        }
    }

    /// Their accounts, those that did nothing left out. Exporters without a number share one in the
    /// file, so there is no account of their flows.
    pub(crate) fn statements(&self, in_file: &InFile) -> Vec<ExporterStatement> {
        let is_silent = |s: &&ExporterSlot| s.counts == wire::ExporterCounts::default();
        self.slots
            .iter()
            .filter(|s| !is_silent(s))
            .map(|slot| self.statement(slot, in_file))
            .collect()
    }

    fn statement(&self, slot: &ExporterSlot, in_file: &InFile) -> ExporterStatement {
        let ExporterSlot { exporter, counts } = slot;
        let mut accounts = vec![datagrams(counts)];
        accounts.extend(sets(counts, self.waiting.get(exporter).copied().unwrap_or(0)));
        accounts.push(records(counts));
        if let Ok(number @ 1..) = u16::try_from(exporter.sysid) {
            accounts.push(flows(self.tally.of(number), in_file, number));
        }
        ExporterStatement {
            number: exporter.sysid,
            address: exporter.addr.into(),
            version: u16::try_from(exporter.version).unwrap_or(0),
            id: exporter.id,
            accounts,
        }
    }
}

/// What became of the flows that went to a file.
#[derive(Debug)]
pub(crate) enum InFile {
    /// There is no file, or it has no name: none is stored.
    Nothing,
    /// Those stored and those lost, by number of their exporter.
    Of { stored: Vec<(u16, u64)>, lost: Vec<(u16, u64)> },
}

fn datagrams(counts: &wire::ExporterCounts) -> Account {
    let missing = difference(counts.missing_datagrams, counts.recovered_datagrams);
    Account {
        received: counts.datagrams,
        missing,
        kept: counts.datagrams_whole(),
        ..Account::new(Account::DATAGRAMS)
    }
    .left(Place::Network, "duplicates", counts.duplicates_dropped)
    .lost(Place::Exporter, "with faults, read as far as they go", counts.bad_datagrams)
}

/// Sets that had to wait for their template: those that waited before the slot, and those that came.
fn sets(counts: &wire::ExporterCounts, waiting: u64) -> Option<Account> {
    let (parked, read, dropped) =
        (counts.sets_parked, counts.sets_unparked, counts.sets_without_template);
    if parked | read | dropped | waiting == 0 {
        return None;
    }
    let before = (waiting + read + dropped).saturating_sub(parked);
    let account = Account { received: before + parked, kept: read, ..Account::new(Account::SETS) };
    let account = account.lost(Place::Exporter, "without template", dropped);
    Some(account.left(Place::Exporter, "still waiting for their template", waiting))
}

fn records(counts: &wire::ExporterCounts) -> Account {
    let missing = difference(counts.missing_records, counts.recovered_records);
    let unreadable = counts.undecodable_records.saturating_sub(counts.undecodable_recovered);
    let unreadable = unreadable.max(counts.truncated_records);
    Account {
        received: counts.records() + unreadable,
        missing,
        kept: counts.flows.saturating_sub(counts.biflows),
        ..Account::new(Account::RECORDS)
    }
    .left(Place::Exporter, "options", counts.options)
    .lost(Place::Exporter, "cut short or unreadable", unreadable)
}

/// One record may stand for many flows, and the file counts those.
fn flows(delivered: Delivered, in_file: &InFile, number: u16) -> Account {
    let Delivered { flows: received, left_out } = delivered;
    let of = |all: &[(u16, u64)]| {
        all.iter().filter(|(n, _)| *n == number).fold(0u64, |sum, (_, n)| sum.saturating_add(*n))
    };
    let (kept, lost) = match in_file {
        InFile::Of { stored, lost } => (of(stored), of(lost)),
        InFile::Nothing => (0, received.saturating_sub(left_out)),
    };
    Account { received, kept, ..Account::new(Account::FLOWS) }
        .left(Place::Collector, "filtered out", left_out)
        .lost(Place::Disk, "not written", lost)
}

fn difference(more: u64, less: u64) -> i64 {
    i64::try_from(i128::from(more) - i128::from(less)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Addr;
    use wire::ExporterCounts;

    const EXPORTER: Exporter = Exporter { sysid: 7, version: 10, addr: Addr::V4(1), id: 3 };

    fn statement(
        counts: ExporterCounts,
        flows: &[(u64, bool)],
        file: &InFile,
    ) -> ExporterStatement {
        let mut tally = Tally::default();
        flows.iter().for_each(|(n, is_kept)| tally.count(7, *n, *is_kept));
        let slots = vec![ExporterSlot { exporter: EXPORTER, counts }];
        let waiting = [(EXPORTER, 2)].into();
        Exporters { slots, tally, waiting }.statements(file).remove(0)
    }

    #[test]
    fn every_account_adds_up() {
        let counts = ExporterCounts {
            datagrams: 9,
            bad_datagrams: 1,
            duplicates: 2,
            duplicates_dropped: 2,
            flows: 6,
            biflows: 2,
            options: 3,
            undecodable_records: 1,
            sets_parked: 4,
            sets_unparked: 5,
            sets_without_template: 1,
            ..ExporterCounts::default()
        };
        let file = InFile::Of { stored: vec![(7, 10)], lost: vec![(7, 3), (8, 1)] };
        let told = statement(counts, &[(10, true), (3, true), (4, false)], &file);
        assert!(told.is_balanced(), "{told:?}");
        let kept: Vec<_> = told.accounts.iter().map(|a| (&*a.unit, a.received, a.kept)).collect();
        let want = [("datagrams", 9, 6), ("sets", 8, 5), ("records", 8, 4), ("flows", 17, 10)];
        assert_eq!(kept, want);
    }

    #[test]
    fn a_loss_that_nobody_booked_is_seen() {
        let counts = ExporterCounts { datagrams: 1, flows: 2, ..ExporterCounts::default() };
        let file = InFile::Of { stored: vec![(7, 1)], lost: Vec::new() };
        let told = statement(counts, &[(1, true), (1, true)], &file);
        assert_eq!(told.balance().collect::<Vec<_>>(), [("flows", 1)]);
        let told = statement(counts, &[(1, true), (1, true)], &InFile::Nothing);
        assert!(told.is_balanced(), "what has no file is lost: {told:?}");
    }
}
