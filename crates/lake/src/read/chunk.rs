//! The octets of a file, for the Parquet library: by position, so that threads share one file, and
//! a column of a row group in one piece.

use super::sizes::check_pages;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// An open file.
#[derive(Debug)]
pub(super) struct Octets {
    file: File,
    len: u64,
}

impl Octets {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len);
        end.ok_or_else(|| {
            ParquetError::EOF(format!("{length} octets at {start} of {}", self.len))
        })?;
        let mut octets = vec![0; length];
        self.file.read_exact_at(&mut octets, start)?;
        Ok(octets)
    }
}

impl Length for Octets {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Octets {
    type T = io::Cursor<Vec<u8>>;

    /// Asked for what lies in a footer alone: columns are read by [`Chunk`].
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let length = usize::try_from(self.len.saturating_sub(start)).unwrap_or(usize::MAX);
        Ok(io::Cursor::new(self.read(start, length)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes> {
        Ok(self.read(start, length)?.into())
    }
}

/// A column of a row group, in memory as it lies on disk.
#[derive(Debug)]
pub(super) struct Chunk {
    start: u64,
    octets: bytes::Bytes,
}

impl Chunk {
    pub(super) fn read(file: &Octets, column: &ColumnChunkMetaData) -> Result<Self> {
        let (start, length) = range(column)?;
        let length = usize::try_from(length).map_err(|_| too_large())?;
        let octets = file.get_bytes(start, length)?;
        check_pages(&octets, column)?;
        Ok(Self { start, octets })
    }

    fn at(&self, start: u64) -> Option<usize> {
        usize::try_from(start.checked_sub(self.start)?).ok().filter(|at| *at <= self.octets.len())
    }
}

/// Where a column lies: offset and octets.
pub(super) fn range(column: &ColumnChunkMetaData) -> Result<(u64, u64)> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let damaged = || ParquetError::General("a column lies outside of the file".to_owned());
    let start = u64::try_from(start).map_err(|_| damaged())?;
    let length = u64::try_from(column.compressed_size()).map_err(|_| damaged())?;
    Ok((start, length))
}

fn too_large() -> ParquetError {
    ParquetError::General("a column is larger than memory".to_owned())
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.start + self.octets.len() as u64
    }
}

impl ChunkReader for Chunk {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let outside = || ParquetError::EOF(format!("a page at {start} is outside of its column"));
        let at = self.at(start).ok_or_else(outside)?;
        Ok(ChunkRead(self.octets.slice(at..)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes> {
        let end = |at: usize| at.checked_add(length).filter(|end| *end <= self.octets.len());
        match self.at(start).and_then(|at| Some((at, end(at)?))) {
            Some((at, end)) => Ok(self.octets.slice(at..end)),
            None => Err(ParquetError::EOF(format!("{length} octets at {start} of a column"))),
        }
    }
}

/// What is left of a column.
pub(super) struct ChunkRead(bytes::Bytes);

impl Read for ChunkRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(self.0.len());
        let head = self.0.split_to(n);
        if let Some(room) = out.get_mut(..n) {
            room.copy_from_slice(&head);
        }
        Ok(n)
    }
}

/// The columns of a file that are being read, by row group and column. Threads that are at the same
/// row group share them, and nothing is kept that none of them has.
#[derive(Debug, Default)]
pub(super) struct Chunks(Mutex<HashMap<(usize, usize), Weak<Chunk>>>);

impl Chunks {
    /// A column that some thread has, or else reads it. Adds to `octets` what was read.
    pub(super) fn get(
        &self,
        file: &Octets,
        place: (usize, usize),
        column: &ColumnChunkMetaData,
        octets: &mut u64,
    ) -> Result<Arc<Chunk>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunk) = lock().get(&place).and_then(Weak::upgrade) {
            return Ok(chunk);
        }
        // Should two come here at once, both read it: that costs less than all waiting for one.
        let chunk = Arc::new(Chunk::read(file, column)?);
        *octets += chunk.octets.len() as u64;
        let mut chunks = lock();
        chunks.retain(|_, chunk| chunk.strong_count() > 0);
        chunks.insert(place, Arc::downgrade(&chunk));
        Ok(chunk)
    }
}
