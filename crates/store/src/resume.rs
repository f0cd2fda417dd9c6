//! Ending a file whose writer did not: it died, or the disk was full.
//!
//! Nothing is copied. What is behind the last whole block is cut off, and appendix and header are
//! written as [`Writer::close`] does, so a crash on the way leaves a file that can be ended again.

use crate::appendix::Appendix;
use crate::error::StoreError;
use crate::meta::MetaRecord;
use crate::payload3::Buffers;
use crate::reader::{BlockReader, FileState, FlowFile};
use crate::tally::{self, Runs, Tally};
use crate::writer::{Closed, Dropped, Writer, WriterOptions};
use record::{Field, Totals};
use std::fs::OpenOptions;
use std::path::Path;

/// What became of a file that its writer left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The file. What is in it is known only if it was open.
    pub closed: Closed,
    /// Whether there was anything to be done: it had its end already otherwise.
    pub was_open: bool,
    /// Blocks of which all or a part cannot be read. They are left as they are.
    pub unreadable_blocks: u64,
    /// Octets that were cut off because they are no whole block.
    pub bytes_lost: u64,
}

/// Gives a file of layout 2 its end, if it has none. `ident` is the name of its source.
///
/// # Errors
/// If it cannot be read, has another layout, or its end cannot be written.
pub fn resume(path: &Path, ident: &str) -> Result<Resumed, StoreError> {
    let file = FlowFile::open(path)?;
    if *file.state() == FileState::Closed {
        return Ok(as_it_is(&file));
    }
    if file.layout() != 2 {
        return Err(StoreError::io("end", path)(std::io::ErrorKind::Unsupported.into()));
    }
    let (tally, unreadable_blocks) = take_stock(&file);
    let options = WriterOptions {
        compression: file.header().compression.into(),
        ident: ident.to_owned(),
        ..WriterOptions::default()
    };
    let header = *file.header();
    let bytes_lost = file.metadata().len().saturating_sub(tally.offset);
    drop(file); // nothing reads what is cut off
    let io = |e| StoreError::io("open", path)(e);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    let closed = Writer::go_on(path.to_owned(), file, header, &options, tally)?.close(&[])?;
    Ok(Resumed { closed, was_open: true, unreadable_blocks, bytes_lost })
}

fn as_it_is(file: &FlowFile) -> Resumed {
    let closed = Closed {
        path: file.path().to_owned(),
        totals: file.totals().copied().unwrap_or_default(),
        window: file.totals().and_then(Totals::window),
        blocks: file.blocks().len() as u32,
        bytes: file.metadata().len(),
        dropped: Dropped::default(),
        stored: Vec::new(),
        lost: Vec::new(),
    };
    Resumed { closed, was_open: false, unreadable_blocks: 0, bytes_lost: 0 }
}

/// Sums over the blocks, and how many of them cannot be read.
fn take_stock(file: &FlowFile) -> (Tally, u64) {
    let mut tally = Tally { offset: file.header().data_start(), ..Tally::default() };
    let (mut reader, mut runs, mut unreadable) = (BlockReader::new(), Runs::default(), 0);
    for (n, at) in file.blocks().iter().enumerate() {
        if n + 1 == file.blocks().len() && is_appendix(file) {
            break; // died before the header was written
        }
        tally.offset = at.end();
        tally.blocks += 1;
        let Ok(block) = reader.load(file, n) else {
            unreadable += 1;
            continue;
        };
        unreadable += u64::from(block.damage().is_some());
        for row in block.rows.iter() {
            tally.totals.add(row);
            runs.add(row.number(Field::ExporterId) as u16, row.flows());
        }
        for record in block.meta {
            let MetaRecord::Stats(all) = record else { continue };
            let failures = all.iter().map(|s| u64::from(s.sequence_failures));
            tally.totals.sequence_failures += failures.sum::<u64>();
        }
    }
    let mut stored = Vec::new();
    runs.take(&mut stored);
    stored.iter().for_each(|(exporter, flows)| tally::add(&mut tally.stored, *exporter, *flows));
    (tally, unreadable)
}

/// Whether the last block is an appendix that the header does not know of yet.
fn is_appendix(file: &FlowFile) -> bool {
    let mut buffers = Buffers::default();
    file.blocks()
        .last()
        .and_then(|last| file.payload(last, &mut buffers).ok())
        .is_some_and(|payload| !Appendix::decode(payload).is_empty())
}
