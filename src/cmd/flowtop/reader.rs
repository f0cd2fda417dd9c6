//! Reading what is new, and answering.

use super::Setup;
use filter::Filter;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use store::StoreError;
use store::loss::Statements;
use top::model::Ask;
use top::{Answer, Counter, Follower, Length, Look, Lost, Question};

/// A question, ready to be counted.
pub(super) struct Prepared {
    pub(super) question: Question,
    filter: Filter,
}

impl Prepared {
    pub(super) fn new(setup: &Setup, ask: &Ask, rows: usize) -> Result<Self, String> {
        let question = Question {
            by: ask.by(&setup.grouping)?,
            measure: ask.order.measure(),
            ascending: ask.ascending,
            rows,
            length: Length::of_secs(ask.window_secs),
            max_keys: setup.max_keys,
            end: setup.end,
        };
        Ok(Self { question, filter: setup.filter(&ask.filter)? })
    }
}

/// Counts what is in the files, for one question.
pub(super) struct Session<'s> {
    setup: &'s Setup,
    follower: Follower,
    counter: Counter<'s>,
    /// Where files are read from, milliseconds since 1970; goes back while it is searched for where
    /// the last flow is.
    from_ms: u64,
    step_ms: u64,
    losses: Losses,
}

impl<'s> Session<'s> {
    pub(super) fn new(setup: &'s Setup, prepared: &'s Prepared, now_ms: u64) -> Self {
        let (question, filter) = (&prepared.question, &prepared.filter);
        let length = question.length;
        let window_ms = length.bin_ms() * length.bins() as u64;
        Self {
            setup,
            follower: Follower::new(setup.roots.clone(), setup.read.clone()),
            counter: Counter::new(question, filter, setup.book.as_deref(), now_ms),
            from_ms: now_ms.saturating_sub(window_ms),
            step_ms: window_ms,
            losses: Losses::default(),
        }
    }

    /// Counts what is new, as long as `go_on` says so after each block.
    pub(super) fn look(
        &mut self,
        now_ms: u64,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Look, StoreError> {
        self.counter.advance(now_ms);
        loop {
            if self.setup.end == top::End::Now {
                self.from_ms = self.counter.from_ms();
            }
            let counter = &mut self.counter;
            let look = self.follower.look(now_ms, self.from_ms, |rows, file| {
                counter.take(rows, file.ident());
                go_on()
            })?;
            if look != Look::Done || !self.goes_back() {
                return Ok(look);
            }
        }
    }

    /// Whether older files have to be read, too: the window ends with the last flow, and that lies
    /// further back.
    fn goes_back(&mut self) -> bool {
        if self.setup.end == top::End::Now || self.from_ms == 0 {
            return false;
        }
        // As long as there is no flow at all, the window begins nowhere.
        match self.counter.from_ms() {
            0 => {
                self.from_ms = self.from_ms.saturating_sub(self.step_ms);
                self.step_ms = self.step_ms.saturating_mul(2);
                true
            }
            from if from < self.from_ms => {
                self.from_ms = from;
                true
            }
            _ => false,
        }
    }

    /// The answer now.
    pub(super) fn answer(
        &mut self,
        ask: &Ask,
        rows: usize,
        now_ms: u64,
        is_complete: bool,
    ) -> Answer {
        let answer = self.counter.answer(ask.order.measure(), ask.ascending, rows, now_ms);
        let lost = self.losses.of(&self.follower);
        Answer { question: ask.number, is_complete, files: self.follower.read(), lost, ..answer }
    }
}

/// What collectors say is lost of finished files; asked when there are others.
#[derive(Debug, Default)]
struct Losses {
    files: Vec<PathBuf>,
    lost: Vec<Lost>,
}

impl Losses {
    fn of(&mut self, follower: &Follower) -> Vec<Lost> {
        let files = follower.finished();
        if !files.iter().eq(self.files.iter()) {
            self.files = files.into_iter().map(PathBuf::from).collect();
            self.lost = lost(&self.files);
        }
        self.lost.clone()
    }
}

/// What is lost of these files, by place and unit.
fn lost(files: &[PathBuf]) -> Vec<Lost> {
    let mut statements = Statements::new();
    let (mut sums, mut shared) = (BTreeMap::new(), HashSet::new());
    for file in files {
        // Statements that cannot be read say nothing; flowdump --where-lost says why.
        for statement in statements.of(file).into_iter().flatten() {
            for loss in &statement.losses {
                let place = loss.place.name();
                let whose = (statement.collector, statement.from, place, loss.what.clone());
                // Each source of a collector has what was counted for all of them.
                if !loss.shared || shared.insert(whose) {
                    *sums.entry((place, loss.unit.clone())).or_insert(0u64) += loss.count;
                }
            }
        }
    }
    let lost = |((place, unit), count)| Lost { place, unit, count };
    sums.into_iter().map(lost).filter(|l| l.count > 0).collect()
}
