//! Flows of files, one after the other.

use super::outlet::{Outcome, Outlet};
use super::pace::{Clock, Pace};
use crate::cmd::complain_of;
use filter::{Context, Filter};
use record::{Exporter, Field, Row, Selection};
use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use store::{BlockReader, FlowFile, ReadOptions};

/// Which flows.
pub(super) struct Wanted {
    /// What they have to pass.
    pub(super) filters: Vec<Filter>,
    /// How many at most.
    pub(super) limit: u64,
    /// What reading files needs.
    pub(super) read: ReadOptions,
}

/// What the time is for collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// Flows have their times, and what is sent that of the clock.
    Kept,
    /// Flows have their times, and what is sent the time of its flows: for versions whose times are
    /// relative to when they are sent.
    Recorded,
    /// Flows end when they are sent.
    Now,
}

/// Flows on their way.
pub(super) struct Replay<'a, C> {
    pub(super) name: &'a str,
    pub(super) wanted: &'a Wanted,
    pub(super) times: Times,
    pub(super) pace: Pace<C>,
    pub(super) out: Outlet,
    pub(super) stop: &'a AtomicBool,
    /// Flows that were given to `out`.
    pub(super) flows: u64,
    /// Rows that were read.
    read: u64,
    /// Whether all input could be read.
    pub(super) is_whole: bool,
    /// The clock of the system, now and then.
    wall_ms: u64,
    /// The latest end of a flow so far.
    latest_ms: u64,
    /// Datagrams that were told to the pace.
    datagrams: u64,
}

/// How often the clock is looked at, in flows.
const LOOK: u64 = 256;

/// Who waits so long sends first what it has.
const LONG: Duration = Duration::from_millis(20);

/// The longest nap: templates are due, and the user may want to stop.
const NAP: Duration = Duration::from_millis(100);

impl<'a, C: Clock> Replay<'a, C> {
    pub(super) fn new(
        name: &'a str,
        wanted: &'a Wanted,
        times: Times,
        pace: Pace<C>,
        out: Outlet,
        stop: &'a AtomicBool,
    ) -> Self {
        let wall_ms = sys::clock::now_ms();
        Self {
            name,
            wanted,
            times,
            pace,
            out,
            stop,
            flows: 0,
            read: 0,
            is_whole: true,
            wall_ms,
            latest_ms: 0,
            datagrams: 0,
        }
    }

    /// Sends the flows of these files.
    pub(super) fn files(&mut self, files: &[PathBuf]) {
        let mut reader = BlockReader::new();
        for path in files {
            if self.file(path, &mut reader).is_break() {
                break;
            }
        }
    }

    /// Sends everything.
    pub(super) fn finish(self) -> (Outcome, Option<io::Error>) {
        let now_ms = self.now_ms();
        self.out.finish(now_ms)
    }

    fn file(&mut self, path: &Path, reader: &mut BlockReader) -> ControlFlow<()> {
        let file = match FlowFile::open_with(path, &self.wanted.read) {
            Ok(file) => file,
            Err(e) => {
                self.damage(path, &e.to_string());
                return ControlFlow::Continue(());
            }
        };
        if let Some(what) = file.state().damage() {
            complain_of(self.name, path, &what);
            self.is_whole &= !file.state().is_loss();
        }
        let exporters: HashMap<u32, Exporter> = match self.out {
            Outlet::ByExporter(_) => {
                store::exporters(&file, 0).into_iter().map(|e| (e.sysid, e)).collect()
            }
            Outlet::Together(_) => HashMap::new(),
        };
        log::info!(
            "{}: {} blocks, {} exporters",
            path.display(),
            file.blocks().len(),
            exporters.len()
        );
        let wanted = self.wanted;
        let mut evaluators: Vec<_> = wanted.filters.iter().map(Filter::evaluator).collect();
        let mut passed = vec![Selection::default(); evaluators.len()];
        for n in 0..file.blocks().len() {
            let block = match reader.load(&file, n) {
                Ok(block) => block,
                Err(e) => {
                    self.damage(path, &e.to_string());
                    continue;
                }
            };
            if let Some(what) = block.damage() {
                self.damage(path, &what);
            }
            let context = Context { ident: file.ident(), first_count: self.read + 1 };
            for (evaluator, passed) in evaluators.iter_mut().zip(&mut passed) {
                evaluator.select(&block.rows, &context, passed);
            }
            self.read += block.rows.len() as u64;
            for (i, row) in block.rows.iter().enumerate() {
                if passed.iter().all(|p| p.contains(i)) {
                    let exporter = exporters.get(&(row.number(Field::ExporterId) as u32));
                    self.row(row, exporter)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn damage(&mut self, path: &Path, what: &str) {
        complain_of(self.name, path, what);
        self.is_whole = false;
    }

    #[inline]
    fn row(&mut self, row: Row<'_>, exporter: Option<&Exporter>) -> ControlFlow<()> {
        if self.flows.is_multiple_of(LOOK) {
            self.look()?;
        }
        if self.wanted.limit > 0 && self.flows >= self.wanted.limit {
            return ControlFlow::Break(());
        }
        let (first, last) = (row.number(Field::First), row.number(Field::Last));
        let last = if last == 0 { first } else { last };
        let wait = self.pace.before(last);
        self.wait(wait)?;
        self.latest_ms = self.latest_ms.max(last);
        let times_ns = (self.times == Times::Now && last > 0).then(|| {
            let end = self.wall_ms;
            let duration = if first == 0 { 0 } else { last.saturating_sub(first) };
            (end.saturating_sub(duration).saturating_mul(1_000_000), end.saturating_mul(1_000_000))
        });
        let now_ms = self.now_ms();
        self.out.flow(exporter, now_ms, row, times_ns);
        self.flows += 1;
        if self.pace.is_by_datagram() {
            let datagrams = self.out.datagrams();
            for _ in self.datagrams..datagrams {
                self.pace.after_datagram();
            }
            self.datagrams = datagrams;
        }
        ControlFlow::Continue(())
    }

    /// Waits, in naps.
    fn wait(&mut self, mut left: Duration) -> ControlFlow<()> {
        if left >= LONG {
            self.out.flush(self.now_ms());
        }
        while !left.is_zero() {
            self.pace.clock.sleep(left.min(NAP));
            left = left.saturating_sub(NAP);
            self.look()?;
        }
        ControlFlow::Continue(())
    }

    /// Looks at the clock, and does what is due.
    fn look(&mut self) -> ControlFlow<()> {
        self.wall_ms = sys::clock::now_ms();
        self.out.tick(self.now_ms());
        match self.stop.load(Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// The time that datagrams say.
    fn now_ms(&self) -> u64 {
        match self.times {
            Times::Recorded if self.latest_ms > 0 => self.latest_ms,
            _ => self.wall_ms,
        }
    }
}
