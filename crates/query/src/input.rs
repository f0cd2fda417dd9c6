//! What is read: flow files, and files of other forms, which somebody else opens.
//!
//! An [`Opener`] knows files that are no flow files; a [`Foreign`] file has blocks of rows as flow
//! files have, and everything behind the scan is the same. Such files may keep each field apart, so
//! a question says which fields it reads ([`Fields`]).

use crate::scan::Query;
use filter::Filter;
use index::Wanted;
use record::{Exporter, Field, RowRef, Rows, ShapeTable, Totals};
use std::any::Any;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirEntry, File, ReadDir};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use store::{BlockReader, FlowFile, MetaRecord, StoreError};

/// Whether a file is Parquet, by its first octets (`PAR1`); one that is cut short, by its name.
pub fn is_parquet(path: &Path) -> bool {
    // Asked before opening, because opening a pipe waits for its writer.
    if !path.is_file() {
        return false;
    }
    let mut head = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == *b"PAR1" || path.extension().is_some_and(|e| e == "parquet")
}

/// Whether a directory is a dataset of Parquet files: it is a partition (`date=`, `hour=`,
/// `exporter=`), or has such, or Parquet files.
pub fn is_dataset(path: &Path) -> bool {
    /// Entries of a directory that are looked at.
    const SOME: usize = 256;
    let is_part = |name: &OsStr| {
        let name = name.to_string_lossy();
        ["date=", "hour=", "exporter="].iter().any(|key| name.starts_with(key))
    };
    let of_dataset = |entry: DirEntry| {
        let path = entry.path();
        is_part(&entry.file_name()) && path.is_dir()
            || path.extension().is_some_and(|e| e == "parquet")
    };
    // Directories of flow files may be long: the first entries tell.
    let has_some = |all: ReadDir| all.take(SOME).any(|e| e.is_ok_and(of_dataset));
    path.is_dir() && (path.file_name().is_some_and(is_part) || path.read_dir().is_ok_and(has_some))
}

/// Opens files that are no flow files.
pub trait Opener: fmt::Debug + Send + Sync {
    /// Opens a file of its own form; `None` if it is of another, and then read as a flow file.
    ///
    /// # Errors
    /// One line on why a file of this form cannot be read, with its name.
    fn open(&self, path: &Path) -> Option<Result<Arc<dyn Foreign>, String>>;
}

/// A file of another form, shared by all threads that read it.
pub trait Foreign: fmt::Debug + Send + Sync {
    /// Where it was opened.
    fn path(&self) -> &Path;

    /// Name of the source.
    fn ident(&self) -> &str;

    /// Sums by protocol group, and times; `None` if it does not say.
    fn totals(&self) -> Option<&Totals>;

    /// How many blocks it has. Each is loaded on its own, by any thread.
    fn blocks(&self) -> usize;

    /// What it says about exporters, samplers and names.
    fn meta(&self) -> &[MetaRecord];

    /// What has to be read for rows that pass all these filters: [`Wanted::All`], or
    /// [`Wanted::Some`] blocks, none at all where nothing can pass. `with_first` wants the first
    /// block in any case.
    fn wanted(&self, filters: &[Filter], with_first: bool) -> Wanted;

    /// Loads a block into `buffers`. Rows have the fields of the mask (bit `field as usize`), as far
    /// as they are stored, and may have others.
    ///
    /// # Errors
    /// One line on why nothing of the block can be read; others are not affected.
    fn load(&self, block: usize, fields: u128, buffers: &mut Buffers) -> Result<(), String>;
}

/// What blocks of foreign files are loaded into: one for each thread.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Octets of the rows.
    pub bytes: Vec<u8>,
    /// The rows.
    pub index: Vec<RowRef>,
    /// Their shapes. Who loads may begin a new table with a block.
    pub table: ShapeTable,
    /// Octets read so far, as they lie on disk.
    pub bytes_read: u64,
    /// What who loads keeps from block to block.
    pub kept: Option<Box<dyn Any + Send>>,
}

/// The fields that a question reads, as bits (`field as usize`). Files that keep fields apart are
/// read for these alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// For counting, and for lists in the order of the files.
    pub scanned: u128,
    /// Of records that are read again to be shown.
    pub shown: u128,
}

impl Fields {
    /// All there are.
    pub const ALL: Self = Self { scanned: u128::MAX, shown: u128::MAX };

    /// What every question counts: flows, packets and octets of both directions, times.
    pub const COUNTED: u128 = 1 << Field::First as u32
        | 1 << Field::Last as u32
        | 1 << Field::Packets as u32
        | 1 << Field::Bytes as u32
        | 1 << Field::Flows as u32
        | 1 << Field::OutPackets as u32
        | 1 << Field::OutBytes as u32;
}

impl Default for Fields {
    fn default() -> Self {
        Self::ALL
    }
}

/// The bits of some fields.
pub(crate) fn bits(fields: impl IntoIterator<Item = Field>) -> u128 {
    fields.into_iter().fold(0, |bits, f| bits | 1 << f as u32)
}

/// An open file.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Flows(Arc<FlowFile>),
    Foreign(Arc<dyn Foreign>),
}

impl Query {
    /// Opens a file of any form.
    pub(crate) fn open_input(&self, path: &Path) -> Result<Input, InputError> {
        if let Some(opened) = self.opener.as_ref().and_then(|o| o.open(path)) {
            return opened.map(Input::Foreign).map_err(InputError::Foreign);
        }
        let file = FlowFile::open_with(path, &self.read).map_err(InputError::Flows)?;
        Ok(Input::Flows(Arc::new(file)))
    }

    /// The fields that a scan reads of every row, and of those that pass.
    pub(crate) fn scanned_fields(&self) -> (u128, u128) {
        let mut filtered = self.filters.iter().filter(|f| !f.is_any()).peekable();
        let has_filters = filtered.peek().is_some();
        let filtered = bits(filtered.flat_map(Filter::fields));
        let all = filtered | self.fields.scanned;
        (if has_filters { filtered } else { all }, all)
    }
}

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error(transparent)]
    Flows(StoreError),
    #[error("{0}")]
    Foreign(String),
}

impl Input {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Flows(file) => file.path(),
            Self::Foreign(file) => file.path(),
        }
    }

    pub(crate) fn ident(&self) -> &str {
        match self {
            Self::Flows(file) => file.ident(),
            Self::Foreign(file) => file.ident(),
        }
    }

    pub(crate) fn totals(&self) -> Option<&Totals> {
        match self {
            Self::Flows(file) => file.totals(),
            Self::Foreign(file) => file.totals(),
        }
    }

    pub(crate) fn blocks(&self) -> usize {
        match self {
            Self::Flows(file) => file.blocks().len(),
            Self::Foreign(file) => file.blocks(),
        }
    }

    /// What is wrong with the file as a whole, and whether anything is lost.
    pub(crate) fn damage(&self) -> Option<(String, bool)> {
        match self {
            Self::Flows(file) => Some((file.state().damage()?, file.state().is_loss())),
            Self::Foreign(_) => None,
        }
    }

    /// All exporters of the file.
    pub(crate) fn exporters(&self) -> Vec<Exporter> {
        match self {
            Self::Flows(file) => store::exporters(file, 0),
            Self::Foreign(file) => {
                let exporter = |m: &MetaRecord| match m {
                    MetaRecord::Exporter(e) => Some(*e),
                    _ => None,
                };
                file.meta().iter().filter_map(exporter).collect()
            }
        }
    }

    /// Hands over what the file says about exporters and names, block by block.
    pub(crate) fn each_meta(&self, reader: &mut InputReader, mut each: impl FnMut(&MetaRecord)) {
        match self {
            Self::Foreign(file) => file.meta().iter().for_each(each),
            Self::Flows(file) => {
                for n in 0..file.blocks().len() {
                    let Ok(block) = reader.blocks.load(file, n) else { continue };
                    block.meta.iter().for_each(&mut each);
                }
            }
        }
    }
}

/// Turns blocks of files of any form into rows: one for each thread.
#[derive(Default)]
pub(crate) struct InputReader {
    blocks: BlockReader,
    buffers: Buffers,
}

/// A loaded block.
pub(crate) struct Loaded<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) meta: &'a [MetaRecord],
    /// What is damaged in it.
    pub(crate) damage: Option<String>,
}

impl InputReader {
    /// Loads a block, of files that keep fields apart with these fields. Adds to `octets` what was
    /// read for it, as it lies on disk.
    pub(crate) fn load<'a>(
        &'a mut self,
        file: &'a Input,
        number: usize,
        fields: u128,
        octets: &mut u64,
    ) -> Result<Loaded<'a>, String> {
        match file {
            Input::Flows(file) => {
                *octets += file.blocks().get(number).map_or(0, |b| u64::from(b.size));
                let block = self.blocks.load(file, number).map_err(|e| e.to_string())?;
                let damage = block.damage();
                Ok(Loaded { rows: block.rows, meta: block.meta, damage })
            }
            Input::Foreign(file) => {
                self.buffers.bytes_read = 0;
                let result = file.load(number, fields, &mut self.buffers);
                *octets += self.buffers.bytes_read;
                result?;
                let Buffers { bytes, index, table, .. } = &self.buffers;
                Ok(Loaded { rows: Rows { bytes, index, table }, meta: &[], damage: None })
            }
        }
    }
}
