//! The ledger of a slot: what became of everything that each exporter sent.
//!
//! The decoder knows what came and what is missing, the writer which flows are in the file, the
//! source which were not wanted. Here it comes together as [`store::loss::ExporterStatement`].

use record::ExporterStats;
use store::loss::{Account, ExporterStatement, Place};
use wire::ExporterSlot;

/// What the exporters of a source did in a slot.
#[derive(Debug, Default)]
pub(crate) struct Exporters {
    /// What the decoder says of each.
    pub(crate) slots: Vec<ExporterSlot>,
    /// Flows that were not to be stored, by number of their exporter.
    pub(crate) left_out: Vec<u64>,
}

impl Exporters {
    /// What the file keeps of them.
    pub(crate) fn stats(&self) -> Vec<ExporterStats> {
        self.slots.iter().filter(|s| s.exporter.sysid != 0).map(ExporterSlot::stats).collect()
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
        accounts.extend(sets(counts));
        accounts.push(records(counts));
        if let Ok(number @ 1..) = u16::try_from(exporter.sysid) {
            let left_out = self.left_out.get(usize::from(number)).copied().unwrap_or(0);
            accounts.push(flows(counts.flows, left_out, in_file, number));
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
fn sets(counts: &wire::ExporterCounts) -> Option<Account> {
    let (parked, read, dropped) =
        (counts.sets_parked, counts.sets_unparked, counts.sets_without_template);
    if parked | read | dropped == 0 {
        return None;
    }
    // Of what left in this slot, some may have come before.
    let received = parked.max(read.saturating_add(dropped));
    let waiting = received - read.saturating_add(dropped);
    let account = Account { received, kept: read, ..Account::new(Account::SETS) };
    let account = account.lost(Place::Exporter, "without template", dropped);
    Some(account.left(Place::Exporter, "still waiting for their template", waiting))
}

fn records(counts: &wire::ExporterCounts) -> Account {
    let missing = difference(counts.missing_records, counts.recovered_records);
    let unreadable = counts.undecodable_records.max(counts.truncated_records);
    Account {
        received: counts.records() + unreadable,
        missing,
        kept: counts.flows,
        ..Account::new(Account::RECORDS)
    }
    .left(Place::Exporter, "options", counts.options)
    .lost(Place::Exporter, "cut short or unreadable", unreadable)
}

/// One record may stand for many flows, and the file counts those.
fn flows(decoded: u64, left_out: u64, in_file: &InFile, number: u16) -> Account {
    let of = |all: &[(u16, u64)]| {
        all.iter().filter(|(n, _)| *n == number).fold(0u64, |sum, (_, n)| sum.saturating_add(*n))
    };
    let (kept, lost) = match in_file {
        InFile::Of { stored, lost } => (of(stored), of(lost)),
        InFile::Nothing => (0, decoded.saturating_sub(left_out)),
    };
    let received = kept.saturating_add(lost).saturating_add(left_out);
    Account { received, kept, ..Account::new(Account::FLOWS) }
        .left(Place::Collector, "filtered out", left_out)
        .lost(Place::Disk, "not written", lost)
}

fn difference(more: u64, less: u64) -> i64 {
    i64::try_from(i128::from(more) - i128::from(less)).unwrap_or(i64::MAX)
}
