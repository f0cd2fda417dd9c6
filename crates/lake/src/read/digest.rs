//! What is known about a row group without reading it: statistics of its columns, and bloom filters
//! of addresses. Filters ask it as they ask an index.

use super::LakeFile;
use crate::schema::{Type, of};
use filter::{Digest, Filter};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use query::Wanted;
use record::{Addr, Field, Kind};
use std::cell::RefCell;
use std::collections::HashMap;

/// Rows of a row group that have a value in a column, if the file says.
pub(super) fn present(file: &LakeFile, group: usize, leaf: usize) -> Option<u64> {
    let group = file.parquet.row_groups().get(group)?;
    let nulls = group.columns().get(leaf)?.statistics()?.null_count_opt()?;
    u64::try_from(group.num_rows()).ok()?.checked_sub(nulls)
}

/// Whether an address may be IPv6 in a row of the row group.
pub(super) fn has_wide(file: &LakeFile, group: usize, field: Field) -> bool {
    let present = |kind| present(file, group, file.leaves.of(field, kind)?);
    match (present(Type::Addr4), present(Type::Addr16)) {
        (Some(narrow), Some(all)) => all > narrow,
        _ => true,
    }
}

/// What has to be read for rows that pass all filters.
pub(super) fn wanted(file: &LakeFile, filters: &[Filter], with_first: bool) -> Wanted {
    let groups = file.parquet.row_groups().len();
    let passes = |group| {
        let asked = Asked { file, group, blooms: RefCell::default() };
        filters.iter().all(|f| f.may_match(&asked))
    };
    let passes: Vec<bool> = (0..groups).map(passes).collect();
    let (mut blocks, mut rows_left_out) = (Vec::new(), 0);
    for (n, part) in file.parts.iter().enumerate() {
        match passes.get(part.group) == Some(&true) || (with_first && n == 0) {
            true => blocks.push(n as u32),
            false => rows_left_out += part.rows as u64,
        }
    }
    match blocks.len() == file.parts.len() {
        true => Wanted::All,
        false => Wanted::Some { blocks, rows_left_out },
    }
}

/// A row group that is asked, and the bloom filters that were read for it.
struct Asked<'f> {
    file: &'f LakeFile,
    group: usize,
    blooms: RefCell<HashMap<usize, Option<Sbbf>>>,
}

impl Asked<'_> {
    fn column(&self, leaf: usize) -> Option<&ColumnChunkMetaData> {
        self.file.parquet.row_groups().get(self.group)?.columns().get(leaf)
    }

    /// Smallest and largest value of a column of numbers.
    fn range(&self, leaf: usize) -> Option<(i64, i64)> {
        match self.column(leaf)?.statistics()? {
            Statistics::Int32(s) => Some((i64::from(*s.min_opt()?), i64::from(*s.max_opt()?))),
            Statistics::Int64(s) => Some((*s.min_opt()?, *s.max_opt()?)),
            _ => None,
        }
    }

    fn has_some(&self, field: Field, kind: Type) -> bool {
        let leaf = self.file.leaves.of(field, kind);
        leaf.is_none_or(|leaf| present(self.file, self.group, leaf) != Some(0))
    }

    /// Whether a bloom filter of a column may hold these octets; yes if there is none.
    fn may_hold(&self, leaf: usize, octets: &[u8]) -> bool {
        let mut blooms = self.blooms.borrow_mut();
        let bloom = blooms.entry(leaf).or_insert_with(|| {
            // One that cannot be read says nothing.
            let bloom = Sbbf::read_from_column_chunk(self.column(leaf)?, &*self.file.octets);
            bloom.ok().flatten().filter(|bloom| bloom.num_blocks() > 0)
        });
        bloom.as_ref().is_none_or(|bloom| bloom.check(octets))
    }
}

impl Digest for Asked<'_> {
    fn has(&self, field: Field) -> bool {
        match (field, of(field).next()) {
            (Field::IcmpType | Field::IcmpCode, _) => self.has(Field::DstPort),
            (_, Some(column)) => self.has_some(field, column.kind),
            // Looked up, not stored.
            (_, None) => true,
        }
    }

    fn has_number(&self, field: Field, from: u64, to: u64) -> bool {
        /// Nanoseconds of a millisecond.
        const NANOS: i64 = 1_000_000;
        if !self.has(field) {
            return false;
        }
        let leaf = of(field).next().and_then(|c| self.file.leaves.of(field, c.kind));
        let Some((mut min, mut max)) = leaf.and_then(|leaf| self.range(leaf)) else { return true };
        if field.kind() == Kind::Time {
            (min, max) = (min / NANOS, max / NANOS);
        }
        // Numbers of 64 bits read as negative from 2^63 on.
        let (Ok(min), Ok(max)) = (u64::try_from(min), u64::try_from(max)) else { return true };
        from <= max && to >= min
    }

    fn has_address(&self, field: Field, addr: Addr, bits: u8) -> bool {
        let leaf = |kind| self.file.leaves.of(field, kind);
        match addr {
            Addr::V4(n) => {
                if !self.has_some(field, Type::Addr4) {
                    return false;
                }
                let below = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
                let (from, to) = (i64::from(n & !below), i64::from(n | below));
                let range = leaf(Type::Addr4).and_then(|leaf| self.range(leaf));
                if range.is_some_and(|(min, max)| to < min || from > max) {
                    return false;
                }
                let mapped = (0xFFFF_u128 << 32 | u128::from(n)).to_be_bytes();
                let number = i64::from(n).to_le_bytes();
                bits < 32
                    || (leaf(Type::Addr4).is_none_or(|leaf| self.may_hold(leaf, &number))
                        && leaf(Type::Addr16).is_none_or(|leaf| self.may_hold(leaf, &mapped)))
            }
            Addr::V6(n) => {
                has_wide(self.file, self.group, field)
                    && self.has_some(field, Type::Addr16)
                    && (bits < 128
                        || leaf(Type::Addr16)
                            .is_none_or(|leaf| self.may_hold(leaf, &n.to_be_bytes())))
            }
        }
    }

    fn has_width(&self, field: Field, octets: u16) -> bool {
        match octets {
            4 => self.has_some(field, Type::Addr4),
            _ => has_wide(self.file, self.group, field) && self.has_some(field, Type::Addr16),
        }
    }

    fn has_endpoint(&self, _fields: (Field, Field), _addr: Addr, _port: u16) -> bool {
        true
    }
}
