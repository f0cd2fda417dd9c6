//! Rows that wait, as one row group of a Parquet file: in order of their starts, column by column.

use super::address;
use super::columns::{Columns, Values};
use super::plan::Plan;
use crate::schema::{COLUMNS, Column, Type, text};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::ColumnPath;
use record::Field;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

/// Buffers that serve one column after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    order: Vec<u64>,
    /// Which rows have the field at hand, as Parquet says it.
    levels: Vec<i16>,
    /// All alike: absent, and present.
    uniform: [Vec<i16>; 2],
    numbers: Vec<i64>,
    small: Vec<i32>,
    octets: Vec<ByteArray>,
    fixed: Vec<FixedLenByteArray>,
    /// Texts that were no UTF-8.
    pub(super) odd_texts: u64,
}

/// Rows are numbered by so many bits beside their start.
const ROW_BITS: u32 = 20;
/// The most rows that a row group can have.
pub(super) const MAX_ROWS: usize = 1 << ROW_BITS;

/// How the rows of a row group have one field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    None,
    All,
    Some,
}

impl Encoder {
    /// Writes `rows` as a row group. `plans` by shape.
    pub(super) fn write<W: Write + Send>(
        &mut self,
        rows: &Columns,
        plans: &[Plan],
        (ident, has_text): (&str, bool),
        out: &mut SerializedFileWriter<W>,
    ) -> Result<(), ParquetError> {
        self.sort(&rows.starts);
        for (level, all) in self.uniform.iter_mut().enumerate() {
            all.resize(rows.len(), level as i16);
        }
        let counts = by_shape(rows, plans);
        let mut group = out.next_row_group()?;
        let mut known = None;
        for column in COLUMNS {
            let Some(mut writer) = group.next_column()? else { break };
            match column.field {
                _ if column.kind == Type::AddrText && !has_text => self.nulls(&mut writer)?,
                Some(field) => {
                    let is_v4 = column.kind == Type::Addr4;
                    let what = Some((field, is_v4));
                    let presence = presence(&counts, plans, field, is_v4);
                    if presence == Presence::Some && known != what {
                        self.find(rows, plans, field, is_v4);
                        known = what;
                    }
                    match presence {
                        Presence::None => self.nulls(&mut writer)?,
                        _ => {
                            let bit = 1 << field as usize;
                            let is_v4 = plans.iter().map(|p| p.is_v4 & bit != 0).collect();
                            let families = Families { shapes: &rows.shapes, is_v4 };
                            let values = (rows.values(field), families);
                            self.column(column, presence, values, &mut writer)?;
                        }
                    }
                }
                None => self.constant(ident, &mut writer)?,
            }
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Numbers of the rows in order of their starts, in the low bits.
    fn sort(&mut self, starts: &[u64]) {
        let least = starts.iter().min().copied().unwrap_or(0);
        let most = u64::MAX >> ROW_BITS;
        let key = |(i, start): (usize, &u64)| (start - least).min(most) << ROW_BITS | i as u64;
        self.order.clear();
        self.order.extend(starts.iter().enumerate().map(key));
        self.order.sort_unstable();
        let mask = MAX_ROWS as u64 - 1;
        self.order.iter_mut().for_each(|o| *o &= mask);
    }

    /// Which rows have a field.
    fn find(&mut self, rows: &Columns, plans: &[Plan], field: Field, is_v4: bool) {
        let bit = 1 << field as usize;
        let has = |plan: &Plan| (if is_v4 { plan.is_v4 } else { plan.has }) & bit != 0;
        let has: Vec<i16> = plans.iter().map(|p| i16::from(has(p))).collect();
        let level = |o: &u64| {
            let shape = rows.shapes.get(*o as usize).copied().unwrap_or(0);
            has.get(usize::from(shape)).copied().unwrap_or(0)
        };
        self.levels.clear();
        self.levels.extend(self.order.iter().map(level));
    }

    fn nulls(&self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        use parquet::column::writer::ColumnWriter;
        let levels = Some(&*self.uniform[0]);
        match writer.untyped() {
            ColumnWriter::Int32ColumnWriter(w) => w.write_batch(&[], levels, None)?,
            ColumnWriter::Int64ColumnWriter(w) => w.write_batch(&[], levels, None)?,
            ColumnWriter::ByteArrayColumnWriter(w) => w.write_batch(&[], levels, None)?,
            ColumnWriter::FixedLenByteArrayColumnWriter(w) => w.write_batch(&[], levels, None)?,
            _ => 0,
        };
        Ok(())
    }

    /// The same text in all rows.
    fn constant(
        &mut self,
        value: &str,
        writer: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        self.octets.clear();
        self.octets.resize(self.order.len(), ByteArray::from(value.as_bytes().to_vec()));
        put::<ByteArrayType>(writer, &self.octets, &self.uniform[1])
    }

    fn column(
        &mut self,
        column: &Column,
        presence: Presence,
        (values, families): (&Values, Families<'_>),
        writer: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        let Self { order, levels, uniform, numbers, small, octets, fixed, odd_texts } = self;
        let levels = if presence == Presence::All { &uniform[1] } else { &*levels };
        // All rows have a level; those that have a value, in their order.
        let rows = order.iter().zip(levels).filter(|(_, l)| **l != 0).map(|(o, _)| *o as usize);
        let number = |i: usize| values.numbers.get(i).copied().unwrap_or(0);
        let bits = |i: usize| values.fixed.get(i).copied().unwrap_or([0; 16]);
        match column.kind {
            Type::Int32 => {
                small.clear();
                small.extend(rows.map(|i| number(i) as i32));
                put::<Int32Type>(writer, small, levels)
            }
            Type::Int64 | Type::Timestamp => {
                numbers.clear();
                numbers.extend(rows.map(number));
                put::<Int64Type>(writer, numbers, levels)
            }
            Type::Addr4 => {
                numbers.clear();
                numbers.extend(rows.map(|i| i64::from(u128::from_be_bytes(bits(i)) as u32)));
                put::<Int64Type>(writer, numbers, levels)
            }
            Type::Addr16 | Type::Mac | Type::Acl => {
                let width = match column.kind {
                    Type::Addr16 => 16,
                    Type::Mac => 6,
                    _ => 12,
                };
                let mut all = Vec::with_capacity(order.len() * width);
                rows.for_each(|i| all.extend_from_slice(&bits(i)[..width]));
                let count = all.len() / width;
                let all = ByteArray::from(all);
                fixed.clear();
                fixed.extend((0..count).map(|n| all.slice(n * width, width).into()));
                put::<FixedLenByteArrayType>(writer, fixed, levels)
            }
            Type::AddrText => {
                let mut all = Vec::with_capacity(order.len() * 16);
                let mut ends = Vec::with_capacity(order.len());
                rows.for_each(|i| {
                    address::push(bits(i), families.is_v4(i), &mut all);
                    ends.push(all.len());
                });
                slices(all, &ends, octets);
                put::<ByteArrayType>(writer, octets, levels)
            }
            Type::Text | Type::Bytes => {
                let mut all = Vec::with_capacity(values.octets.len());
                let mut ends = Vec::with_capacity(order.len());
                rows.for_each(|i| {
                    let (at, len) = values.spans.get(i).copied().unwrap_or_default();
                    let value = values.octets.get(at as usize..(at + len) as usize);
                    let value = value.unwrap_or_default();
                    if column.kind == Type::Text
                        && let Cow::Owned(text) = text::encode(value)
                    {
                        *odd_texts += 1;
                        all.extend_from_slice(text.as_bytes());
                    } else {
                        all.extend_from_slice(value);
                    }
                    ends.push(all.len());
                });
                slices(all, &ends, octets);
                put::<ByteArrayType>(writer, octets, levels)
            }
        }
    }
}

/// Which rows have an address of IPv4: their octets do not say, IPv6 has some that look alike.
struct Families<'a> {
    shapes: &'a [u16],
    /// By shape.
    is_v4: Vec<bool>,
}

impl Families<'_> {
    fn is_v4(&self, row: usize) -> bool {
        let shape = self.shapes.get(row).copied().unwrap_or(0);
        self.is_v4.get(usize::from(shape)).copied().unwrap_or(false)
    }
}

/// Values that lie one behind the other.
fn slices(all: Vec<u8>, ends: &[usize], out: &mut Vec<ByteArray>) {
    let all = ByteArray::from(all);
    let mut start = 0;
    out.clear();
    out.extend(ends.iter().map(|end| {
        let value = all.slice(start, end - start);
        start = *end;
        value
    }));
}

fn put<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: &[T::T],
    levels: &[i16],
) -> Result<(), ParquetError> {
    writer.typed::<T>().write_batch(values, Some(levels), None).map(drop)
}

/// Rows of each shape.
fn by_shape(rows: &Columns, plans: &[Plan]) -> Vec<usize> {
    let mut counts = vec![0; plans.len()];
    for shape in &rows.shapes {
        if let Some(n) = counts.get_mut(usize::from(*shape)) {
            *n += 1;
        }
    }
    counts
}

fn presence(counts: &[usize], plans: &[Plan], field: Field, is_v4: bool) -> Presence {
    let bit = 1 << field as usize;
    let (mut some, mut all) = (false, true);
    for (_, plan) in counts.iter().zip(plans).filter(|(n, _)| **n > 0) {
        let has = (if is_v4 { plan.is_v4 } else { plan.has }) & bit != 0;
        some |= has;
        all &= has;
    }
    match (some, all) {
        (false, _) => Presence::None,
        (true, true) => Presence::All,
        (true, false) => Presence::Some,
    }
}

/// How the columns of a file are written, by what its first rows have.
pub(super) fn properties(
    rows: &Columns,
    plans: &[Plan],
    (writer, has_text): (&str, bool),
) -> Result<WriterPropertiesPtr, ParquetError> {
    let counts = by_shape(rows, plans);
    let starts = COLUMNS.iter().position(|c| c.field == Some(Field::First)).unwrap_or(0);
    let sorting = SortingColumn { column_idx: starts as i32, descending: false, nulls_first: true };
    let mut all = WriterProperties::builder()
        .set_created_by(writer.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_page_size_limit(DICTIONARY_OCTETS)
        .set_max_row_group_row_count(Some(MAX_ROWS))
        .set_sorting_columns(Some(vec![sorting]));
    for column in COLUMNS {
        let path = ColumnPath::from(column.name);
        let is_there = column.field.is_none_or(|f| {
            presence(&counts, plans, f, column.kind == Type::Addr4) != Presence::None
        });
        if !is_there || column.kind == Type::AddrText && !has_text {
            // Pages of nothing need no statistics of their own.
            all = all
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk)
                .set_column_dictionary_enabled(path, false);
            continue;
        }
        all = match column.kind {
            Type::Timestamp => all
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
            Type::Addr16 => all
                .set_column_bloom_filter_fpp(path.clone(), 0.01)
                .set_column_bloom_filter_max_ndv(path, rows.len().max(1) as u64),
            _ => all,
        };
    }
    Ok(Arc::new(all.build()))
}

/// Dictionaries grow up to this; addresses of a row group mostly fit.
const DICTIONARY_OCTETS: usize = 4 << 20;
