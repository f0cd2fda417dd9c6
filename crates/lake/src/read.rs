//! Files of the dataset as rows: what `flowdump` reads of Parquet.
//!
//! [`Lake`] opens files for a [`query::Query`]. A file knows its metadata (`about`), which row
//! groups a filter can pass (statistics and bloom filters), and makes rows of columns,
//! of the fields that are asked for alone.
//!
//! Files are untrusted input. What does not fit together is an error that names the file; should
//! the Parquet library panic over one, one place makes an error of it.

mod chunk;
mod columns;
mod digest;
mod files;
mod rows;
mod sizes;

pub use files::{list, may_hold};

use crate::schema::metadata::About;
use crate::schema::{COLUMNS, Column, Type};
use chunk::{Chunks, Octets};
use columns::Decoder;
use filter::Filter;
use parquet::basic::Type as Physical;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use query::{Buffers, Foreign, Opener, Wanted};
use record::{Field, Totals};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use store::MetaRecord;

/// Rows of a block at most: larger row groups are several blocks.
const BLOCK_ROWS: usize = 1 << 16;

/// Rows of a row group at most; flowlake writes 262 144.
const GROUP_ROWS: usize = 1 << 26;

/// Opens Parquet files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lake;

impl Opener for Lake {
    fn open(&self, path: &Path) -> Option<Result<Arc<dyn Foreign>, String>> {
        if !query::is_parquet(path) {
            return None;
        }
        Some(LakeFile::open(path).map(|file| Arc::new(file) as Arc<dyn Foreign>))
    }
}

/// An open file of the dataset.
pub struct LakeFile {
    /// Tells it from all others that were opened.
    id: u64,
    path: PathBuf,
    octets: Arc<Octets>,
    about: About,
    totals: Totals,
    meta: Vec<MetaRecord>,
    parquet: ParquetMetaData,
    leaves: Leaves,
    parts: Vec<Part>,
    /// Columns that some thread is reading.
    chunks: Chunks,
}

/// Rows of a row group that are one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    group: usize,
    /// Of the row group.
    from: usize,
    rows: usize,
}

/// Where the columns of a file are, by their place in [`COLUMNS`].
#[derive(Debug)]
struct Leaves(Vec<Option<usize>>);

impl Leaves {
    /// The column of a field that has this type.
    fn of(&self, field: Field, kind: Type) -> Option<usize> {
        let place = COLUMNS.iter().position(|c| c.field == Some(field) && c.kind == kind)?;
        self.0.get(place).copied().flatten()
    }
}

impl fmt::Debug for LakeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl LakeFile {
    /// Opens a file and reads what it says of itself.
    ///
    /// # Errors
    /// One line that names the file: it cannot be read, is cut short or damaged, was written by
    /// another tool, or has columns of a later version.
    pub fn open(path: &Path) -> Result<Self, String> {
        let say = |what: String| format!("{}: {what}", path.display());
        let octets = Octets::open(path).map_err(|e| say(e.to_string()))?;
        let octets = Arc::new(octets);
        let read = guarded(|| {
            sizes::check_footer(&octets)?;
            ParquetMetaDataReader::new().parse_and_finish(&*octets)
        });
        let parquet = match read {
            Ok(Ok(parquet)) => parquet,
            Ok(Err(e)) => return Err(say(format!("cut short or damaged Parquet file: {e}"))),
            Err(e) => return Err(say(e)),
        };
        guarded(|| Self::of(path, octets, parquet)).and_then(|file| file).map_err(say)
    }

    fn of(path: &Path, octets: Arc<Octets>, parquet: ParquetMetaData) -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let pairs = parquet.file_metadata().key_value_metadata();
        let pairs = pairs.into_iter().flatten();
        let about = About::from_pairs(
            pairs.map(|pair| (pair.key.as_str(), pair.value.as_deref().unwrap_or(""))),
        )
        .map_err(|e| e.to_string())?;
        let leaves = leaves(&parquet)?;
        let parts = parts(&parquet)?;
        Ok(Self {
            id: NEXT.fetch_add(1, Relaxed),
            path: path.to_owned(),
            totals: about.totals.into(),
            meta: meta(&about),
            octets,
            about,
            parquet,
            leaves,
            parts,
            chunks: Chunks::default(),
        })
    }

    /// What the file says of itself.
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// Rows in all blocks.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows as u64).sum()
    }
}

/// Calls into the Parquet library, which may panic over damaged files.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| "damaged Parquet file: the reader gave it up".to_owned())
}

/// What the file says about exporters and names, as flow files say it.
fn meta(about: &About) -> Vec<MetaRecord> {
    let mut meta = Vec::new();
    for exporter in &about.exporters {
        meta.push(MetaRecord::Exporter(exporter.exporter()));
        meta.extend(exporter.samplers().map(MetaRecord::Sampler));
    }
    meta.extend(about.names.records());
    meta
}

/// Finds the columns, and checks that they are what they should be.
fn leaves(parquet: &ParquetMetaData) -> Result<Leaves, String> {
    let schema = parquet.file_metadata().schema_descr();
    let place = |column: &Column| {
        let found = schema
            .columns()
            .iter()
            .enumerate()
            .find(|(_, leaf)| matches!(leaf.path().parts(), [name] if name == column.name));
        let Some((leaf, descr)) = found else {
            return match column.kind {
                // Text is for engines; ident is in the metadata, too.
                Type::AddrText => Ok(None),
                _ if column.field.is_none() => Ok(None),
                _ => Err(format!("has no column {}: write it anew with flowlake", column.name)),
            };
        };
        let (physical, length) = physical(column.kind);
        let fits = descr.physical_type() == physical
            && (length == 0 || descr.type_length() == length)
            && descr.max_rep_level() == 0
            && descr.max_def_level() == 1;
        match fits {
            true => Ok(Some(leaf)),
            false => Err(format!("column {} has another type: not of flowlake", column.name)),
        }
    };
    COLUMNS.iter().map(place).collect::<Result<_, _>>().map(Leaves)
}

/// How Parquet stores a type, and the length of fixed octets.
const fn physical(kind: Type) -> (Physical, i32) {
    match kind {
        Type::Int32 => (Physical::INT32, 0),
        Type::Int64 | Type::Timestamp | Type::Addr4 => (Physical::INT64, 0),
        Type::Addr16 => (Physical::FIXED_LEN_BYTE_ARRAY, 16),
        Type::Mac => (Physical::FIXED_LEN_BYTE_ARRAY, 6),
        Type::Acl => (Physical::FIXED_LEN_BYTE_ARRAY, 12),
        Type::AddrText | Type::Text | Type::Bytes => (Physical::BYTE_ARRAY, 0),
    }
}

/// The blocks.
fn parts(parquet: &ParquetMetaData) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    for (group, of) in parquet.row_groups().iter().enumerate() {
        let rows = usize::try_from(of.num_rows()).map_err(|_| "damaged: rows below 0")?;
        if rows > GROUP_ROWS {
            return Err(format!("damaged: {rows} rows in row group {group}"));
        }
        let count = rows.div_ceil(BLOCK_ROWS).max(1);
        let step = rows.div_ceil(count).max(1);
        parts.extend((0..rows).step_by(step).map(|from| Part {
            group,
            from,
            rows: step.min(rows - from),
        }));
    }
    Ok(parts)
}

impl Foreign for LakeFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn ident(&self) -> &str {
        &self.about.ident
    }

    fn totals(&self) -> Option<&Totals> {
        Some(&self.totals)
    }

    fn blocks(&self) -> usize {
        self.parts.len()
    }

    fn meta(&self) -> &[MetaRecord] {
        &self.meta
    }

    fn wanted(&self, filters: &[Filter], with_first: bool) -> Wanted {
        guarded(|| digest::wanted(self, filters, with_first)).unwrap_or(Wanted::All)
    }

    fn load(&self, block: usize, fields: u128, buffers: &mut Buffers) -> Result<(), String> {
        let part = self.parts.get(block).copied();
        let part = part.ok_or_else(|| format!("has no block {block}"))?;
        let loaded = guarded(|| {
            let kept = buffers.kept.take().and_then(|kept| kept.downcast().ok());
            let mut decoder: Box<Decoder> = kept.unwrap_or_default();
            decoder.begin(self.id, block, part);
            let done = rows::load(self, &mut decoder, fields, buffers);
            // Not after an error: nobody knows how far it came.
            if done.is_ok() {
                buffers.kept = Some(decoder);
            }
            done
        });
        loaded.and_then(|done| done).map_err(|what| {
            format!("block {block} (row group {}, {} rows): {what}", part.group, part.rows)
        })
    }
}

#[cfg(test)]
mod tests;
