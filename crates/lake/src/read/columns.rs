//! Columns of a block, decoded. What was decoded stays as long as the block is the same, so that
//! a filter's columns are not read twice; readers stay as long as the row group is the same, so
//! that its next block goes on where this one ends.

use super::{LakeFile, Part};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::errors::{ParquetError, Result};
use parquet::file::serialized_reader::SerializedPageReader;
use std::collections::HashMap;
use std::sync::Arc;

/// The values of a column in a block that are there, one behind the other.
#[derive(Debug)]
pub(super) enum Values {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Fixed(Vec<FixedLenByteArray>),
    Octets(Vec<ByteArray>),
}

/// A column in a block.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) values: Values,
    /// For each row 1 if it has a value, else 0.
    pub(super) levels: Vec<i16>,
    /// Rows that have a value.
    pub(super) present: usize,
}

impl Decoded {
    /// Whether all rows have a value.
    pub(super) fn is_full(&self) -> bool {
        self.present == self.levels.len()
    }
}

/// What a thread keeps from block to block.
#[derive(Default)]
pub(super) struct Decoder {
    /// File and row group of the readers.
    group: (u64, usize),
    /// By column of the file: a reader and the row it has come to.
    readers: HashMap<usize, (ColumnReader, usize)>,
    /// File and block of what is decoded.
    block: (u64, usize),
    part: Option<Part>,
    columns: HashMap<usize, Arc<Decoded>>,
    pub(super) shapes: super::rows::Shapes,
    pub(super) scratch: Vec<u8>,
}

impl Decoder {
    /// Turns to a block of a file.
    pub(super) fn begin(&mut self, file: u64, block: usize, part: Part) {
        if self.group != (file, part.group) {
            self.group = (file, part.group);
            self.readers.clear();
        }
        if self.block != (file, block) {
            self.block = (file, block);
            self.columns.clear();
        }
        self.part = Some(part);
    }

    /// The block turned to.
    pub(super) fn part(&self) -> Option<Part> {
        self.part
    }

    /// A column of the block. Adds to `octets` what was read for it.
    pub(super) fn column(
        &mut self,
        file: &LakeFile,
        leaf: usize,
        octets: &mut u64,
    ) -> Result<Arc<Decoded>> {
        if let Some(column) = self.columns.get(&leaf) {
            return Ok(Arc::clone(column));
        }
        let part = self.part.ok_or_else(|| missing("block"))?;
        let known = self.readers.remove(&leaf).filter(|(_, at)| *at <= part.from);
        let (mut reader, at) = match known {
            Some(known) => known,
            None => (open(file, part, leaf, octets)?, 0),
        };
        let decoded = Arc::new(read(&mut reader, part.from - at, part.rows)?);
        self.readers.insert(leaf, (reader, part.from + part.rows));
        self.columns.insert(leaf, Arc::clone(&decoded));
        Ok(decoded)
    }
}

fn missing(what: &str) -> ParquetError {
    ParquetError::General(format!("there is no such {what}"))
}

/// A reader at the first row of a row group.
fn open(file: &LakeFile, part: Part, leaf: usize, octets: &mut u64) -> Result<ColumnReader> {
    let group = file.parquet.row_groups().get(part.group).ok_or_else(|| missing("row group"))?;
    let column = group.columns().get(leaf).ok_or_else(|| missing("column"))?;
    let chunk = file.chunks.get(&file.octets, (part.group, leaf), column, octets)?;
    let rows = usize::try_from(group.num_rows()).unwrap_or(0);
    let pages = SerializedPageReader::new(chunk, column, rows, None)?;
    Ok(get_column_reader(column.column_descr_ptr(), Box::new(pages)))
}

fn read(reader: &mut ColumnReader, skip: usize, rows: usize) -> Result<Decoded> {
    match reader {
        ColumnReader::Int32ColumnReader(r) => typed(r, skip, rows, Values::Int32),
        ColumnReader::Int64ColumnReader(r) => typed(r, skip, rows, Values::Int64),
        ColumnReader::FixedLenByteArrayColumnReader(r) => typed(r, skip, rows, Values::Fixed),
        ColumnReader::ByteArrayColumnReader(r) => typed(r, skip, rows, Values::Octets),
        _ => Err(missing("type")),
    }
}

fn typed<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    skip: usize,
    rows: usize,
    of: impl Fn(Vec<T::T>) -> Values,
) -> Result<Decoded> {
    let short = |at: usize| {
        ParquetError::General(format!("a column has {at} rows of {}", skip.saturating_add(rows)))
    };
    if skip > 0 {
        let skipped = reader.skip_records(skip)?;
        if skipped != skip {
            return Err(short(skipped));
        }
    }
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    // A damaged page may end early: what follows is in the next one.
    while levels.len() < rows {
        let left = rows - levels.len();
        let (read, ..) = reader.read_records(left, Some(&mut levels), None, &mut values)?;
        if read == 0 {
            return Err(short(skip + levels.len()));
        }
    }
    let present = levels.iter().filter(|level| **level > 0).count();
    if present != values.len() || levels.len() != rows {
        return Err(short(values.len()));
    }
    Ok(Decoded { values: of(values), levels, present })
}
