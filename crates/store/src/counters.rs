//! Counters of interfaces over time, beside the flow files.
//!
//! Samples of a day are in `BASE/.flowsuite-counters.YYYYMMDD.no-pcap`, where `BASE` is the
//! directory of the collector and the day is the local one. [`side`] says why it is
//! called so. A file is a header and blocks, all numbers little-endian:
//!
//! | Header of the file: 16 octets | | Header of a block: 40 octets | |
//! |---|---|---|---|
//! | 0 | `flowctr` and a line end | 0 | u32: 0x4b4c4243, `CBLK` |
//! | 8 | u16: version, 1 | 4 | u32: octets that follow this header |
//! | 10 | u16: octets of a sample, 112 or more | 8 | u32: samples |
//! | 12 | u32: 0 | 12 | u32: 0 |
//! | | | 16 | u64: smallest time of a sample, milliseconds since 1970 |
//! | | | 24 | u64: largest time |
//! | | | 32 | u64: XXH3 of the 32 octets before it and the payload |
//!
//! The payload is an LZ4 block of all samples; how a sample is laid out is in `docs/side-files.md`.
//! Blocks are appended, one for all samples of a second or so. What a crash leaves behind the last
//! whole block is cut off by the next one who writes, and passed over by readers.
//!
//! Deleting such a file takes nothing but its day of counters.

mod change;
mod read;
mod sample;

pub use change::{Change, Traffic};
pub use read::{Found, Span, beside, read, span_of, within};

use crate::error::StoreError;
use crate::side;
use record::InterfaceSample;
use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_64;

const FILE_MAGIC: &[u8; 8] = b"flowctr\n";
const FILE_HEADER: usize = 16;
const VERSION: u16 = 1;
const BLOCK_MAGIC: u32 = 0x4b4c_4243;
const BLOCK_HEADER: usize = 40;
/// Samples of a block at most: readers need no more memory than for these.
const BLOCK_SAMPLES: usize = 4096;
/// Octets of a sample at most, in files of versions to come.
const SAMPLE_MAX: usize = 1024;
/// Octets of a packed payload at most.
const PACKED_MAX: usize = 2 * BLOCK_SAMPLES * SAMPLE_MAX;

/// Appends samples to the files of their days.
///
/// What was handed over is on disk after the next [`flush`](Self::flush); collectors do so every
/// second. It holds 450 KiB at most. Several may write to one directory.
#[derive(Debug)]
pub struct Recorder {
    base: PathBuf,
    /// Samples that wait, all of this day.
    samples: Vec<u8>,
    times: (u64, u64),
    day: String,
    /// The quarter of an hour in which the day was looked up.
    quarter: u64,
    file: Option<Open>,
    block: Vec<u8>,
    counts: RecorderCounts,
}

/// What became of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderCounts {
    /// Samples written.
    pub stored: u64,
    /// Samples that could not be written.
    pub lost: u64,
}

/// A file of a day, and where its last whole block ends.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    day: String,
    file: File,
    end: u64,
}

impl Recorder {
    /// For the directory of a collector. Nothing is created before there is a sample.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self {
            base: base.into(),
            samples: Vec::new(),
            times: (u64::MAX, 0),
            day: String::new(),
            quarter: u64::MAX,
            file: None,
            block: Vec::new(),
            counts: RecorderCounts::default(),
        }
    }

    /// What became of the samples so far.
    pub const fn counts(&self) -> RecorderCounts {
        self.counts
    }

    /// Takes a sample. Those that wait are written if there are many, or of another day.
    ///
    /// # Errors
    /// If those cannot be written: they are lost and counted. The sample itself is taken.
    pub fn add(&mut self, sample: &InterfaceSample) -> Result<(), StoreError> {
        // Days begin at full quarters of an hour, whatever the zone.
        let quarter = sample.time_ms / 900_000;
        let mut written = Ok(());
        if quarter != self.quarter {
            let day = side::day_of(sample.time_ms / 1000);
            if day != self.day {
                written = self.flush();
                self.day = day;
            }
            self.quarter = quarter;
        }
        if self.samples.len() >= BLOCK_SAMPLES * sample::LEN {
            written = self.flush();
        }
        self.samples.extend_from_slice(&sample::encode(sample));
        self.times = (self.times.0.min(sample.time_ms), self.times.1.max(sample.time_ms));
        written
    }

    /// Writes all samples that wait, as one block.
    ///
    /// # Errors
    /// If they cannot be written: they are lost and counted, the file stays sound, and the next
    /// ones are tried again.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.samples.is_empty() {
            return Ok(());
        }
        let count = (self.samples.len() / sample::LEN) as u64;
        let written = self.write();
        match written {
            Ok(()) => self.counts.stored += count,
            Err(_) => {
                self.counts.lost += count;
                self.file = None;
            }
        }
        self.samples.clear();
        self.times = (u64::MAX, 0);
        written
    }

    fn write(&mut self) -> Result<(), StoreError> {
        encode_block(&self.samples, self.times, &mut self.block)?;
        if self.file.as_ref().is_none_or(|f| f.day != self.day) {
            self.file = Some(Open::new(&self.base, &self.day)?);
        }
        let Some(open) = &mut self.file else { return Ok(()) };
        open.append(&self.block).map_err(StoreError::io("write", &open.path))
    }
}

/// The file of a day.
pub(crate) fn path_of(base: &Path, day: &str) -> PathBuf {
    side::of_day(base, "counters", day)
}

impl Open {
    fn new(base: &Path, day: &str) -> Result<Self, StoreError> {
        let path = path_of(base, day);
        let open =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open().map_err(StoreError::io("create", &path))?;
        Ok(Self { path, day: day.to_owned(), file, end: 0 })
    }

    /// Appends a block behind the last whole one, whoever wrote it.
    fn append(&mut self, block: &[u8]) -> io::Result<()> {
        self.file.lock()?;
        let result = self.append_locked(block);
        let unlocked = self.file.unlock();
        result.and(unlocked)
    }

    fn append_locked(&mut self, block: &[u8]) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        if len < FILE_HEADER as u64 {
            self.file.write_all_at(&file_header(), 0)?;
            self.end = FILE_HEADER as u64;
        } else if self.end == 0 {
            read::check_header(&self.file)?;
            self.end = FILE_HEADER as u64;
        }
        if len != self.end {
            self.end = read::end_of_blocks(&self.file, self.end, len)?;
        }
        if len > self.end {
            self.file.set_len(self.end)?; // half a block of somebody who crashed
        }
        if let Err(e) = self.file.write_all_at(block, self.end) {
            let _ = self.file.set_len(self.end);
            return Err(e);
        }
        self.end += block.len() as u64;
        Ok(())
    }
}

fn file_header() -> [u8; FILE_HEADER] {
    let mut out = [0; FILE_HEADER];
    out[..8].copy_from_slice(FILE_MAGIC);
    out[8..10].copy_from_slice(&VERSION.to_le_bytes());
    out[10..12].copy_from_slice(&(sample::LEN as u16).to_le_bytes());
    out
}

/// Makes a block of encoded samples.
fn encode_block(samples: &[u8], times: (u64, u64), out: &mut Vec<u8>) -> Result<(), StoreError> {
    let room = lz4_flex::block::get_maximum_output_size(samples.len());
    out.clear();
    out.resize(BLOCK_HEADER + room, 0);
    let payload = out.get_mut(BLOCK_HEADER..).unwrap_or_default();
    // It fits, as there is as much room as it can ever need.
    let len = lz4_flex::block::compress_into(samples, payload)
        .map_err(|e| StoreError::io("pack", Path::new("counters"))(io::Error::other(e)))?;
    out.truncate(BLOCK_HEADER + len);
    let count = (samples.len() / sample::LEN) as u32;
    let numbers = [BLOCK_MAGIC, len as u32, count, 0].map(u32::to_le_bytes);
    let head: Vec<u8> = numbers
        .into_iter()
        .flatten()
        .chain(times.0.to_le_bytes())
        .chain(times.1.to_le_bytes())
        .collect();
    let sum = checksum(&head, out.get(BLOCK_HEADER..).unwrap_or_default());
    for (room, octet) in out.iter_mut().zip(head.iter().chain(&sum.to_le_bytes())) {
        *room = *octet;
    }
    Ok(())
}

fn checksum(head: &[u8], payload: &[u8]) -> u64 {
    let mut hasher = XxHash3_64::with_seed(0);
    hasher.write(head);
    hasher.write(payload);
    hasher.finish()
}

#[cfg(test)]
mod tests;
