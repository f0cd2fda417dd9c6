//! Flows of files, stored or just finished, as a stream: to Kafka, to ClickHouse, to a receiver of
//! OpenTelemetry, as lines.
//!
//! ```text
//! files ─ blocks ─ filter ─ Encode ─▶ Batch ─▶ Sink ─▶ acknowledged ─▶ Journal
//!            (one thread)          (two at most)    (another thread)
//! ```
//!
//! A batch is a [`Stretch`]: blocks of one file that follow one another, as many as have the wanted
//! number of flows between them. Blocks are never rewritten, so a stretch has the same flows whenever
//! it is read. The [`Journal`](journal::Journal) knows which stretch is on its way before anything of it is sent, and
//! that it arrived after the other side has said so. After a crash one batch at most is in doubt: it
//! is read again, and the [`Sink`] finds out whether it had arrived.
//!
//! Memory: two batches and what a sink keeps, whatever is streamed. A sink that is slow holds up the
//! reading; nothing is dropped unless that is asked for, and then it is counted.

pub mod clickhouse;
pub mod exporters;
pub mod goflow;
pub mod journal;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod ndjson;
pub mod otlp;
mod pass;
pub mod row_binary;

pub use pass::Stream;

use exporters::Exporters;
use filter::Filter;
use journal::{JournalError, Stretch};
use record::Row;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use store::{ReadOptions, StoreError};

/// Flows of a batch, unless others are asked for.
pub const BATCH_ROWS: u64 = 100_000;

/// Flows in the form of the other side.
#[derive(Debug, Default)]
pub struct Encoded {
    /// One behind the other.
    pub octets: Vec<u8>,
    /// Where each ends and which key it has, for sinks that send each by itself.
    pub messages: Vec<Message>,
    /// How many.
    pub rows: u64,
    /// The earliest and the latest start of a flow, nanoseconds since 1970.
    pub starts: Option<(i64, i64)>,
    /// Hours in which they start, in their order: each as long as no other one comes.
    pub hours: Vec<Hour>,
}

/// Flows of [`Encoded`] that follow each other and start in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hour {
    /// Hours since 1970.
    pub hour: i64,
    /// Where the last of them ends.
    pub end: usize,
    /// How many.
    pub rows: u64,
}

/// One message of [`Encoded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it ends.
    pub end: usize,
    /// Flows of the same key go the same way, in their order; `None`: anywhere.
    pub key: Option<u64>,
}

impl Encoded {
    fn clear(&mut self) {
        self.octets.clear();
        self.messages.clear();
        self.hours.clear();
        (self.rows, self.starts) = (0, None);
    }
}

/// What makes the form of the other side.
pub trait Encode: Send {
    /// Appends a flow.
    fn row(&mut self, row: Row<'_>, of: &Origin<'_>, out: &mut Encoded);
}

/// Where a flow comes from.
#[derive(Debug)]
pub struct Origin<'a> {
    /// Who exported the flows of the file.
    pub exporters: &'a Exporters,
    /// Ident of the file.
    pub ident: &'a str,
    /// The batch.
    pub batch: u64,
    /// Running number of the flow in this run, from 1.
    pub count: u64,
}

/// What is delivered at once.
#[derive(Debug)]
pub struct Batch {
    /// Which flows these are.
    pub stretch: Stretch,
    /// The same for the same flows of the same stream, whenever they are read; hardly ever the same
    /// for others.
    pub id: u64,
    /// The flows.
    pub encoded: Encoded,
}

/// How a batch was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// It had arrived before.
    pub was_there: bool,
    /// Flows of it that were dropped, because they were not to be waited for.
    pub dropped: u64,
    /// What the sink has reached, for [`Journal::sink_reached`](journal::Journal::sink_reached).
    pub reached: u64,
}

/// Why a sink cannot go on. What it was given is in doubt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The run was told to stop while it waited.
    #[error("stopped before the last batch was acknowledged")]
    Stopped,
    /// The other side cannot be reached, or not for long enough.
    #[error("{target}: {reason}; {tries} tries")]
    Unreachable {
        /// Whom was asked.
        target: String,
        /// What it or the system said last.
        reason: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The other side does not want it, and will not want it later.
    #[error("{target}: {reason}")]
    Refused {
        /// Whom was asked.
        target: String,
        /// What it said.
        reason: String,
    },
    /// What is there of a batch is neither none nor all of it.
    #[error(
        "{target}: {there} of the {rows} flows of batch {batch} are there, and could not be \
         removed: {reason}"
    )]
    Partial {
        /// Whom was asked.
        target: String,
        /// The batch.
        batch: u64,
        /// Flows that are there.
        there: u64,
        /// Flows it has.
        rows: u64,
        /// Why they stay.
        reason: String,
    },
    /// A file or a pipe cannot be written.
    #[error("{target}: {source}")]
    Io {
        /// Which.
        target: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Where batches go.
pub trait Sink: Send {
    /// Delivers a batch, and returns when it has arrived. `in_doubt`: it may have arrived before, in
    /// an earlier run.
    ///
    /// # Errors
    /// If it did not, as far as is known.
    fn deliver(&mut self, batch: &Batch, in_doubt: bool) -> Result<Delivered, SinkError>;
}

/// Why a stream ends early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The other side.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The state.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is to be read.
    #[error(transparent)]
    Input(#[from] StoreError),
}

/// What happened to flows and files. Every flow that was read is in one of `filtered`, `delivered`,
/// `was_there` and `dropped`, or was not sent because the run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Flows read.
    pub read: u64,
    /// Flows that the filter kept out.
    pub filtered: u64,
    /// Flows that the other side acknowledged.
    pub delivered: u64,
    /// Flows of batches that had arrived before.
    pub was_there: u64,
    /// Flows that were dropped because the other side was too slow.
    pub dropped: u64,
    /// Batches delivered.
    pub batches: u64,
    /// Octets delivered, in the form of the other side.
    pub octets: u64,
    /// Files that ended.
    pub files: u64,
    /// Files that were streamed before and are others now: they are not streamed again.
    pub changed_files: u64,
    /// Files that could not be read.
    pub unreadable_files: u64,
    /// Blocks that could not be read in full.
    pub damaged_blocks: u64,
}

impl Counts {
    /// Whether anything could not be read.
    pub const fn is_complete(&self) -> bool {
        self.unreadable_files == 0 && self.damaged_blocks == 0 && self.changed_files == 0
    }
}

/// Which flows, and how many at once.
#[derive(Debug)]
pub struct Options {
    /// What is streamed where, in one line: part of what makes batches different.
    pub name: String,
    /// Which flows.
    pub filter: Filter,
    /// Flows of a batch at least, as far as a file has them.
    pub batch_rows: u64,
    /// What reading needs.
    pub read: ReadOptions,
}

impl Encoded {
    fn note(&mut self, row: Row<'_>) {
        let start = row_binary::nanos(row.number(record::Field::First));
        let (first, last) = self.starts.unwrap_or((start, start));
        self.starts = Some((first.min(start), last.max(start)));
        self.rows += 1;
        let (hour, end) = (start.div_euclid(Hour::NANOS), self.octets.len());
        match self.hours.last_mut() {
            Some(last) if last.hour == hour => (last.end, last.rows) = (end, last.rows + 1),
            _ => self.hours.push(Hour { hour, end, rows: 1 }),
        }
    }

    /// The octets without those of hours that are `there`, with so many flows. `None` if one of
    /// these has not as many as here.
    fn without(&self, there: &HashMap<i64, u64>) -> Option<Vec<u8>> {
        let mut all = HashMap::<i64, u64>::new();
        self.hours.iter().for_each(|h| *all.entry(h.hour).or_default() += h.rows);
        if there.iter().any(|(hour, rows)| all.get(hour) != Some(rows)) {
            return None;
        }
        let (mut rest, mut begin) = (Vec::new(), 0);
        for Hour { hour, end, .. } in &self.hours {
            if !there.contains_key(hour) {
                rest.extend_from_slice(self.octets.get(begin..*end)?);
            }
            begin = *end;
        }
        Some(rest)
    }
}

impl Hour {
    /// Nanoseconds of one.
    const NANOS: i64 = 3_600_000_000_000;
}

/// Waits between tries: a tenth of a second at first, twice as long each time, ten seconds at most.
#[derive(Debug)]
struct Patience<'o> {
    stop: &'o AtomicBool,
    /// How long in all; `None`: for ever.
    limit: Option<Duration>,
    waited: Duration,
    next: Duration,
    tries: u32,
}

impl<'o> Patience<'o> {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);

    const fn new(stop: &'o AtomicBool, limit: Option<Duration>) -> Self {
        Self { stop, limit, waited: Duration::ZERO, next: Self::FIRST, tries: 1 }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// If the run was told to stop, or has waited long enough.
    fn wait(&mut self, target: &str, reason: &str) -> Result<(), SinkError> {
        if self.limit.is_some_and(|limit| self.waited >= limit) {
            return Err(SinkError::Unreachable {
                target: target.to_owned(),
                reason: reason.to_owned(),
                tries: self.tries,
            });
        }
        let mut left = self.next;
        while !left.is_zero() {
            if self.stop.load(Relaxed) {
                return Err(SinkError::Stopped);
            }
            let step = left.min(Self::FIRST);
            std::thread::sleep(step);
            left -= step;
        }
        self.waited += self.next;
        self.next = (self.next * 2).min(Self::LONGEST);
        self.tries += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
