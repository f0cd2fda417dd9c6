//! A run over files: one thread reads blocks and encodes flows, another delivers batches and writes
//! down what arrived.

use super::exporters::Exporters;
use super::journal::{Journal, Reached, Stretch};
use super::{Batch, Counts, Encode, Encoded, Options, Origin, Sink, StreamError};
use filter::{Context, Evaluator};
use record::Selection;
use std::collections::HashMap;
use std::hash::Hasher as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use store::{BlockReader, FlowFile, StoreError};
use twox_hash::XxHash3_64;

/// A stream at work: what it has read and delivered.
pub struct Stream<'o> {
    options: &'o Options,
    stop: &'o AtomicBool,
    reader: BlockReader,
    /// How far reading is; the journal says how far delivery is.
    read_until: HashMap<PathBuf, Reached>,
    counts: Counts,
    trouble: Vec<String>,
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What goes from the thread that reads to the one that delivers.
enum Work {
    Batch {
        batch: Batch,
        in_doubt: bool,
    },
    End {
        path: PathBuf,
        len: u64,
    },
    /// What was in doubt can no longer be read.
    Forget,
}

/// The deliverer is gone; why, it says itself.
struct Gone;

/// The reading side's end of the channels.
struct Outbox {
    work: SyncSender<Work>,
    spare: Receiver<Encoded>,
}

impl Outbox {
    fn send(&self, work: Work) -> Result<(), Gone> {
        self.work.send(work).map_err(|_| Gone)
    }

    fn buffer(&self) -> Encoded {
        self.spare.try_recv().unwrap_or_default()
    }
}

impl<'o> Stream<'o> {
    /// Nothing is read yet. Setting `stop` ends the run between blocks.
    pub fn new(options: &'o Options, stop: &'o AtomicBool) -> Self {
        Self {
            options,
            stop,
            reader: BlockReader::new(),
            read_until: HashMap::new(),
            counts: Counts::default(),
            trouble: Vec::new(),
        }
    }

    /// What happened so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What was wrong since the last call, a line each.
    pub fn take_trouble(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trouble)
    }

    /// Streams what is new in these files, in their order, and returns when all of it has arrived.
    /// Before that, what an earlier run has left in doubt is settled.
    ///
    /// # Errors
    /// If the other side or the state fails. What arrived is known; a later run goes on there.
    pub fn pass(
        &mut self,
        files: &[PathBuf],
        journal: &mut Journal,
        encode: &mut dyn Encode,
        sink: &mut dyn Sink,
    ) -> Result<(), StreamError> {
        let doubt = journal.doubt().cloned();
        let mut next = journal.last_number() + 1;
        for path in files {
            self.read_until.entry(path.clone()).or_insert_with(|| journal.reached(path));
        }
        let (work, inbox) = sync_channel(1);
        let (give_back, spare) = channel();
        let outbox = Outbox { work, spare };
        let (result, delivered) = std::thread::scope(|scope| {
            let deliver = scope.spawn(move || deliver(&inbox, &give_back, journal, sink));
            if let Some(stretch) = &doubt {
                let _ = self.settle(stretch, &outbox, encode); // the deliverer says why it is gone
            }
            for path in files {
                if self.stop.load(Relaxed) || self.file(path, &mut next, &outbox, encode).is_err() {
                    break;
                }
            }
            drop(outbox);
            deliver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        self.counts.delivered += delivered.delivered;
        self.counts.was_there += delivered.was_there;
        self.counts.dropped += delivered.dropped;
        self.counts.batches += delivered.batches;
        self.counts.octets += delivered.octets;
        self.counts.files += delivered.files;
        result
    }

    /// Reads a batch of an earlier run again, exactly as it was.
    fn settle(
        &mut self,
        stretch: &Stretch,
        outbox: &Outbox,
        encode: &mut dyn Encode,
    ) -> Result<(), Gone> {
        let opened = FlowFile::open_with(&stretch.path, &self.options.read);
        let Ok(file) = opened else {
            self.counts.unreadable_files += 1;
            self.complain(&stretch.path, "gone, and whether its last batch arrived is not known");
            return outbox.send(Work::Forget);
        };
        let mut part = Part::new(self.options, outbox.buffer(), stretch.number);
        part.from = stretch.from;
        part.id = id(&self.options.name, &file, stretch.from);
        for (n, block) in file.blocks().iter().enumerate() {
            if block.end() > stretch.until {
                break;
            }
            let is_wanted = block.offset >= stretch.from;
            self.block(&file, n, is_wanted, &mut part, encode);
        }
        part.until = stretch.until;
        if let Some(reached) = self.read_until.get_mut(&stretch.path) {
            reached.until = stretch.until;
        }
        outbox.send(Work::Batch { batch: part.into_batch(&stretch.path), in_doubt: true })
    }

    /// Streams what is new in a file.
    fn file(
        &mut self,
        path: &Path,
        next: &mut u64,
        outbox: &Outbox,
        encode: &mut dyn Encode,
    ) -> Result<(), Gone> {
        let known = self.read_until.get(path).copied().unwrap_or_default();
        if let Some(ended) = known.ended {
            self.look_again(path, ended);
            return Ok(());
        }
        let file = match FlowFile::open_with(path, &self.options.read) {
            Ok(file) => file,
            Err(e) => {
                self.unreadable(path, &e);
                return Ok(());
            }
        };
        let mut part = Part::new(self.options, outbox.buffer(), *next);
        (part.from, part.until) = (known.until, known.until);
        part.id = id(&self.options.name, &file, part.from);
        for (n, block) in file.blocks().iter().enumerate() {
            if self.stop.load(Relaxed) {
                return Ok(());
            }
            self.block(&file, n, block.offset >= known.until, &mut part, encode);
            part.until = part.until.max(block.end());
            if part.encoded.rows >= self.options.batch_rows {
                let rest = part.rest(self.options, &file, outbox.buffer());
                self.send(part, path, next, outbox)?;
                part = rest;
            }
        }
        if part.encoded.rows > 0 {
            self.send(part, path, next, outbox)?;
        }
        if file.header().is_closed() || file.blocks().is_empty() {
            let len = file.metadata().len();
            self.read_until.entry(path.to_owned()).or_default().ended = Some(len);
            outbox.send(Work::End { path: path.to_owned(), len })?;
        }
        Ok(())
    }

    fn send(
        &mut self,
        part: Part<'_>,
        path: &Path,
        next: &mut u64,
        outbox: &Outbox,
    ) -> Result<(), Gone> {
        let mut batch = part.into_batch(path);
        batch.stretch.number = *next;
        *next += 1;
        self.read_until.entry(path.to_owned()).or_default().until = batch.stretch.until;
        outbox.send(Work::Batch { batch, in_doubt: false })
    }

    /// Learns who exported from a block and, if it is wanted, encodes the flows that pass.
    fn block(
        &mut self,
        file: &FlowFile,
        n: usize,
        is_wanted: bool,
        part: &mut Part<'_>,
        encode: &mut dyn Encode,
    ) {
        let block = match self.reader.load(file, n) {
            Ok(block) => block,
            Err(e) => {
                if is_wanted {
                    self.counts.damaged_blocks += 1;
                    self.trouble.push(format!("{}: {e}", file.path().display()));
                }
                return;
            }
        };
        part.exporters.learn(block.meta);
        if !is_wanted {
            return;
        }
        if let Some(damage) = block.damage() {
            self.counts.damaged_blocks += 1;
            self.trouble.push(format!("{}: {damage}", file.path().display()));
        }
        let context = Context { ident: file.ident(), first_count: self.counts.read + 1 };
        part.evaluator.select(&block.rows, &context, &mut part.selected);
        let before = part.encoded.rows;
        for i in part.selected.iter() {
            let Some(row) = block.rows.row(i) else { break };
            let origin = Origin {
                exporters: &part.exporters,
                ident: file.ident(),
                batch: part.id,
                count: self.counts.read + 1 + i as u64,
            };
            encode.row(row, &origin, &mut part.encoded);
            part.encoded.note(row);
        }
        self.counts.read += block.rows.len() as u64;
        self.counts.filtered += block.rows.len() as u64 - (part.encoded.rows - before);
    }

    /// A file that was streamed: another one by now?
    fn look_again(&mut self, path: &Path, ended: u64) {
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if metadata.len() != ended {
            self.counts.changed_files += 1;
            self.complain(path, "was streamed before and is another file now: left out");
            // Told once.
            self.read_until.entry(path.to_owned()).or_default().ended = Some(metadata.len());
        }
    }

    fn unreadable(&mut self, path: &Path, e: &StoreError) {
        // Followed directories lose files to expiry.
        if path.exists() {
            self.counts.unreadable_files += 1;
            self.trouble.push(e.to_string());
            let len = path.metadata().map_or(0, |m| m.len());
            self.read_until.entry(path.to_owned()).or_default().ended = Some(len);
        }
    }

    fn complain(&mut self, path: &Path, what: &str) {
        self.trouble.push(format!("{}: {what}", path.display()));
    }
}

/// A batch in the making.
struct Part<'o> {
    evaluator: Evaluator<'o>,
    selected: Selection,
    exporters: Exporters,
    encoded: Encoded,
    number: u64,
    id: u64,
    from: u64,
    until: u64,
}

impl<'o> Part<'o> {
    fn new(options: &'o Options, mut encoded: Encoded, number: u64) -> Self {
        encoded.clear();
        Self {
            evaluator: options.filter.evaluator(),
            selected: Selection::default(),
            exporters: Exporters::default(),
            encoded,
            number,
            id: 0,
            from: 0,
            until: 0,
        }
    }

    /// The one behind it.
    fn rest(&self, options: &'o Options, file: &FlowFile, encoded: Encoded) -> Self {
        Self {
            exporters: self.exporters.clone(),
            id: id(&options.name, file, self.until),
            from: self.until,
            until: self.until,
            ..Self::new(options, encoded, self.number + 1)
        }
    }

    fn into_batch(self, path: &Path) -> Batch {
        let Self { number, id, from, until, encoded, .. } = self;
        Batch { stretch: Stretch { number, path: path.to_owned(), from, until }, id, encoded }
    }
}

/// Names a batch: by the stream, the file and where it begins.
fn id(stream: &str, file: &FlowFile, from: u64) -> u64 {
    let mut hasher = XxHash3_64::new();
    hasher.write(stream.as_bytes());
    hasher.write(&[0]);
    hasher.write(file.path().as_os_str().as_bytes());
    hasher.write(&[0]);
    hasher.write(file.ident().as_bytes());
    hasher.write(&file.header().created_secs.to_le_bytes());
    hasher.write(&from.to_le_bytes());
    hasher.finish()
}

/// Delivers what comes, in order, and writes down what arrived.
fn deliver(
    inbox: &Receiver<Work>,
    give_back: &Sender<Encoded>,
    journal: &mut Journal,
    sink: &mut dyn Sink,
) -> (Result<(), StreamError>, Counts) {
    let mut counts = Counts::default();
    for work in inbox {
        let result = match work {
            Work::Forget => {
                journal.forget_doubt();
                Ok(())
            }
            Work::End { path, len } => {
                counts.files += 1;
                journal.end(&path, len).map_err(StreamError::from)
            }
            Work::Batch { batch, in_doubt } => {
                let result = deliver_one(&batch, in_doubt, journal, sink, &mut counts);
                let _ = give_back.send(batch.encoded); // the reader may be done
                result
            }
        };
        if result.is_err() {
            return (result, counts);
        }
    }
    (Ok(()), counts)
}

fn deliver_one(
    batch: &Batch,
    in_doubt: bool,
    journal: &mut Journal,
    sink: &mut dyn Sink,
    counts: &mut Counts,
) -> Result<(), StreamError> {
    if !in_doubt {
        journal.begin(&batch.stretch)?;
    }
    let delivered = sink.deliver(batch, in_doubt)?;
    journal.done(&batch.stretch, delivered.reached)?;
    let rows = batch.encoded.rows;
    if delivered.was_there {
        counts.was_there += rows;
    } else {
        counts.delivered += rows.saturating_sub(delivered.dropped);
        counts.dropped += delivered.dropped;
        counts.batches += 1;
        counts.octets += batch.encoded.octets.len() as u64;
    }
    Ok(())
}
