//! Where outcomes go: encoders and destinations, files, lines of text. Each takes the kinds of
//! records it wants, and none holds up another.

use crate::copies::{Copies, CopyCounts};
use crate::outcome::Outcome;
use crate::records::{Made, RecordConfig, RecordCounts, RecordKind, Records};
use export::{DestinationCounts, Dispatch, Files, FilesCounts};
use record::Flow;
use std::time::Duration;
use wire::export::{ExportCounts, Version};

/// Everything that outcomes are given to.
#[derive(Default)]
pub struct Outlet {
    exports: Vec<(Records, Dispatch)>,
    files: Option<(Records, Files)>,
    copies: Vec<(&'static str, Copies)>,
    /// What files add to a record, they add here.
    flow: Flow,
    counts: OutcomeCounts,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// Outcomes that came, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// Connections that began.
    pub begins: u64,
    /// Interim records.
    pub interims: u64,
    /// Connections that ended.
    pub ends: u64,
    /// Times of loss.
    pub gaps: u64,
    /// Seconds of all times of loss together, in nanoseconds.
    pub gap_ns: u64,
}

/// What became of outcomes.
#[derive(Clone, Debug, Default)]
pub struct OutletCounts {
    /// Outcomes.
    pub outcomes: OutcomeCounts,
    /// Exports, in order.
    pub exports: Vec<Exported>,
    /// Records made for files, and what became of them.
    pub files: Option<(RecordCounts, FilesCounts)>,
    /// Lines, by what they are.
    pub copies: Vec<(&'static str, CopyCounts)>,
}

/// What one export did.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Records made.
    pub made: RecordCounts,
    /// What the encoder did with them.
    pub encoder: ExportCounts,
    /// What became of the datagrams, by destination.
    pub destinations: Vec<(String, DestinationCounts)>,
}

impl Outlet {
    /// Takes outcomes and gives them to nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends records to destinations.
    #[must_use]
    pub fn with_export(mut self, config: RecordConfig, dispatch: Dispatch) -> Self {
        self.exports.push((Records::new(config), dispatch));
        self
    }

    /// Writes records to files.
    #[must_use]
    pub fn with_files(mut self, config: RecordConfig, files: Files) -> Self {
        self.files = Some((Records::new(config), files));
        self
    }

    /// Writes lines; `name` is for their counts.
    #[must_use]
    pub fn with_copies(mut self, name: &'static str, copies: Copies) -> Self {
        self.copies.push((name, copies));
        self
    }

    /// Gives an outcome to everybody. `now_ns` is when, nanoseconds since 1970.
    pub fn outcome(&mut self, now_ns: u64, outcome: &Outcome) {
        let now_ms = now_ns / 1_000_000;
        self.count(outcome);
        for (records, dispatch) in &mut self.exports {
            let is_fixed = !dispatch.version().has_templates();
            records.outcome(outcome, &mut |made: Made<'_>| {
                // NetFlow v5 has no record that says so.
                if !(is_fixed && made.kind == RecordKind::Gap) {
                    dispatch.flow(now_ms, made.flow.as_row(), Some(made.times_ns));
                }
            });
        }
        if let Some((records, files)) = &mut self.files {
            let flow = &mut self.flow;
            records.outcome(outcome, &mut |made: Made<'_>| {
                flow.assign(made.flow.as_row());
                files.flow(now_ms, flow);
            });
        }
        for (_, copies) in &mut self.copies {
            copies.outcome(now_ns, outcome);
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        let counts = &mut self.counts;
        match outcome {
            Outcome::Begin(_) => counts.begins += 1,
            Outcome::Interim(_) => counts.interims += 1,
            Outcome::End(_) => counts.ends += 1,
            Outcome::Degraded(gap) => {
                counts.gaps += 1;
                counts.gap_ns += gap.to_ns.saturating_sub(gap.from_ns);
            }
        }
    }

    /// To be called some times a second: sends and writes what is due.
    pub fn tick(&mut self, now_ms: u64) {
        self.exports.iter_mut().for_each(|(_, dispatch)| dispatch.tick(now_ms));
        if let Some((_, files)) = &mut self.files {
            files.tick(now_ms);
        }
        self.copies.iter_mut().for_each(|(_, copies)| copies.flush());
    }

    /// Tells templates again, and opens files of lines anew.
    pub fn reload(&mut self, now_ms: u64) {
        self.exports.iter_mut().for_each(|(_, dispatch)| dispatch.send_templates(now_ms));
        self.copies.iter_mut().for_each(|(_, copies)| copies.reopen());
    }

    /// Sends and writes everything, and ends. Who has not taken it after `patience` loses it, and it
    /// is counted.
    pub fn finish(&mut self, now_ms: u64, patience: Duration) {
        self.exports.iter_mut().for_each(|(_, dispatch)| dispatch.finish(now_ms, patience));
        if let Some((_, files)) = &mut self.files {
            files.finish();
        }
        for (name, copies) in &mut self.copies {
            if !copies.finish(patience) {
                log::error!("{name}: not all lines were taken in time");
            }
        }
    }

    /// What became of everything so far.
    pub fn counts(&self) -> OutletCounts {
        let of_export = |(records, dispatch): &(Records, Dispatch)| Exported {
            made: *records.counts(),
            encoder: dispatch.counts(),
            destinations: dispatch.destinations(),
        };
        OutletCounts {
            outcomes: self.counts,
            exports: self.exports.iter().map(of_export).collect(),
            files: self.files.as_ref().map(|(records, files)| (*records.counts(), files.counts())),
            copies: self.copies.iter().map(|(name, copies)| (*name, copies.counts())).collect(),
        }
    }

    /// Protocols of the exports, in order.
    pub fn versions(&self) -> impl Iterator<Item = Version> + '_ {
        self.exports.iter().map(|(_, dispatch)| dispatch.version())
    }
}

impl OutletCounts {
    /// Records and lines that were made and did not arrive, as far as it is known.
    pub fn lost(&self) -> u64 {
        let sent = self.exports.iter().flat_map(|e| &e.destinations).map(|(_, c)| c.failures());
        let files = self.files.iter().map(|(_, files)| files.lost);
        let lines = self.copies.iter().map(|(_, lines)| lines.lost);
        sent.chain(files).chain(lines).fold(0, u64::saturating_add)
    }
}
