//! Columns to rows: each field at one place in all rows of a block, and a shape for each pattern of
//! fields that are there.
//!
//! Rows are filled column by column, some hundred rows at a time, so that they stay in the cache.
//! A row says by its shape which places are in use. What has no fixed length (text, payloads) stands
//! behind the fixed places; rows with such are put together one by one.

use super::columns::{Decoded, Decoder, Values};
use super::{LakeFile, digest};
use crate::schema::{Type, of, text};
use parquet::data_type::{ByteArray, FixedLenByteArray};
use query::Buffers;
use record::{Addr, Field, Kind, RowRef, Shape, ShapeTable};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Rows that are filled at a time.
const TILE: usize = 512;
/// Octets before the first place. They are 0, which no record of a flow file begins with: a row is
/// never taken for one.
const HEAD: u16 = 2;
/// Octets that the rows of a block may have: few in a file may say much.
const MOST: u32 = 1 << 30;
/// With more shapes than this a block begins a new table.
const MANY_SHAPES: usize = 1 << 14;
/// Text ends with a zero and takes a multiple of so many octets, for the sake of fewer shapes.
const TEXT_STEP: usize = 8;

/// What was decoded of a field, and where it goes.
#[derive(Debug)]
struct Source {
    field: Field,
    column: Arc<Decoded>,
    /// Of an address: those that are IPv4, as numbers. `column` has all as octets then, or is the
    /// same if there is no IPv6.
    narrow: Option<Arc<Decoded>>,
    at: u16,
}

/// Something that some rows of a block have and others not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Varying {
    Has(Field),
    /// The address is IPv4.
    Narrow(Field),
}

/// Where fields are in the rows of a block: what shapes are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layout {
    /// Field, place, and width: that of IPv6 where an address may be either.
    places: Vec<(Field, u16, u16)>,
    varying: Vec<Varying>,
    variable: Vec<Field>,
    stride: u16,
}

/// What a row has: a bit for each that varies, and the lengths of what has no fixed one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Pattern {
    bits: u128,
    lengths: Vec<u16>,
}

/// The shapes that a thread has met under one layout.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    table: u64,
    layout: Layout,
    known: HashMap<Pattern, u16>,
}

/// Makes the rows of the block that `decoder` has turned to.
pub(super) fn load(
    file: &LakeFile,
    decoder: &mut Decoder,
    fields: u128,
    buffers: &mut Buffers,
) -> Result<(), String> {
    let (fixed, variable) = sources(file, decoder, fields, &mut buffers.bytes_read)?;
    let rows = decoder.part().map_or(0, |part| part.rows);
    let layout = Layout::new(&fixed, &variable)?;
    let bits = layout.bits(rows, &fixed, &variable);
    if buffers.table.shapes().len() > MANY_SHAPES {
        buffers.table = ShapeTable::new();
    }
    decoder.shapes.turn_to(&buffers.table, &layout);
    let stride = usize::from(layout.stride);
    let out = if variable.is_empty() { &mut buffers.bytes } else { &mut decoder.scratch };
    out.resize(rows * stride, 0);
    fill(out, stride, &fixed);
    buffers.index.clear();
    match variable.is_empty() {
        true => decoder.shapes.index(rows, stride, &bits, buffers),
        false => decoder.shapes.join(&decoder.scratch, rows, &bits, &variable, buffers),
    }
}

/// Decodes the columns of the fields that are asked for: those of a fixed length, and others.
fn sources(
    file: &LakeFile,
    decoder: &mut Decoder,
    fields: u128,
    octets: &mut u64,
) -> Result<(Vec<Source>, Vec<Source>), String> {
    let group = decoder.part().map_or(0, |part| part.group);
    let parts = 1 << Field::IcmpType as u32 | 1 << Field::IcmpCode as u32;
    let port = if fields & parts != 0 { 1 << Field::DstPort as u32 } else { 0 };
    let (mut fixed, mut variable) = (Vec::new(), Vec::new());
    let mut at = HEAD;
    for field in Field::ALL.iter().copied().filter(|f| (fields | port) >> *f as u32 & 1 == 1) {
        let Some(kind) = of(field).map(|column| column.kind).next() else { continue };
        let mut decode = |kind| -> Result<Option<Arc<Decoded>>, String> {
            let leaf = file.leaves.of(field, kind);
            let leaf = leaf.filter(|leaf| digest::present(file, group, *leaf) != Some(0));
            let Some(leaf) = leaf else { return Ok(None) };
            let column = decoder.column(file, leaf, octets);
            let column = column.map_err(|e| format!("column {field:?}: {e}"))?;
            Ok(Some(column).filter(|column| column.present > 0))
        };
        let mut narrow = None;
        let column = match kind {
            Type::Addr16 => {
                narrow = decode(Type::Addr4)?;
                let has_wide = digest::has_wide(file, group, field);
                match &narrow {
                    Some(n) if n.is_full() || !has_wide => narrow.clone(),
                    _ => decode(Type::Addr16)?,
                }
            }
            kind => decode(kind)?,
        };
        let Some(column) = column else { continue };
        let width = width(field, &column);
        let source = Source { field, column, narrow, at };
        match width {
            Some(width) => {
                at += width;
                fixed.push(source);
            }
            None => variable.push(source),
        }
    }
    Ok((fixed, variable))
}

/// Octets of a field in rows; `None` where they differ.
fn width(field: Field, column: &Decoded) -> Option<u16> {
    match (field.kind(), &column.values) {
        (Kind::Addr, Values::Int64(_)) => Some(4),
        (kind, _) => kind.width(),
    }
}

impl Source {
    /// Whether it is an address that may be of either family.
    fn is_mixed(&self) -> bool {
        let is_wide = matches!(self.column.values, Values::Fixed(_));
        self.field.kind() == Kind::Addr && is_wide && self.narrow.is_some()
    }

    /// What varies, with the levels that tell.
    fn varying(&self) -> impl Iterator<Item = (Varying, &[i16])> {
        let has =
            (!self.column.is_full()).then(|| (Varying::Has(self.field), &*self.column.levels));
        let narrow = self.narrow.as_ref().filter(|_| self.is_mixed());
        let narrow = narrow.map(|n| (Varying::Narrow(self.field), &*n.levels));
        has.into_iter().chain(narrow)
    }
}

impl Layout {
    fn new(fixed: &[Source], variable: &[Source]) -> Result<Self, String> {
        let width = |s: &Source| width(s.field, &s.column).unwrap_or(0);
        let places: Vec<_> = fixed.iter().map(|s| (s.field, s.at, width(s))).collect();
        let all = || fixed.iter().chain(variable);
        let varying: Vec<_> = all().flat_map(Source::varying).map(|(what, _)| what).collect();
        if varying.len() > 128 {
            return Err("its rows differ in more than 128 fields".to_owned());
        }
        Ok(Self {
            stride: places.last().map_or(HEAD, |(_, at, width)| at + width),
            places,
            varying,
            variable: variable.iter().map(|s| s.field).collect(),
        })
    }

    /// What each row has of what varies; nothing if nothing does.
    fn bits(&self, rows: usize, fixed: &[Source], variable: &[Source]) -> Vec<u128> {
        if self.varying.is_empty() {
            return Vec::new();
        }
        let mut bits = vec![0u128; rows];
        let varying = fixed.iter().chain(variable).flat_map(Source::varying);
        for (n, (_, levels)) in varying.enumerate() {
            for (bits, level) in bits.iter_mut().zip(levels) {
                *bits |= u128::from(*level > 0) << n;
            }
        }
        bits
    }

    fn shape(&self, pattern: &Pattern) -> Shape {
        let is = |what| match self.varying.iter().position(|v| *v == what) {
            Some(n) => pattern.bits >> n & 1 == 1,
            None => matches!(what, Varying::Has(_)),
        };
        let mut shape = Shape::default();
        for (field, at, width) in self.places.iter().copied() {
            if !is(Varying::Has(field)) {
                continue;
            }
            let width = if is(Varying::Narrow(field)) { 4 } else { width };
            shape.set(field, at, width);
            if field == Field::DstPort {
                shape.set(Field::IcmpCode, at, 1);
                shape.set(Field::IcmpType, at + 1, 1);
            }
        }
        let mut at = self.stride;
        for (field, length) in self.variable.iter().zip(&pattern.lengths) {
            shape.set(*field, at, *length);
            at += length;
        }
        shape
    }
}

impl Shapes {
    /// Keeps what is known if it is of this table and layout.
    fn turn_to(&mut self, table: &ShapeTable, layout: &Layout) {
        if self.table != table.id() || self.layout != *layout {
            *self = Self { table: table.id(), layout: layout.clone(), known: HashMap::new() };
        }
    }

    fn of(&mut self, pattern: &Pattern, table: &mut ShapeTable) -> Result<u16, String> {
        if let Some(shape) = self.known.get(pattern) {
            return Ok(*shape);
        }
        let shape = table.push(self.layout.shape(pattern));
        let shape = shape.ok_or_else(|| "its rows have too many shapes".to_owned())?;
        self.known.insert(pattern.clone(), shape);
        Ok(shape)
    }

    /// Rows of a fixed length.
    fn index(
        &mut self,
        rows: usize,
        stride: usize,
        bits: &[u128],
        buffers: &mut Buffers,
    ) -> Result<(), String> {
        let Buffers { index, table, .. } = buffers;
        let len = stride as u16;
        let mut last = Pattern { bits: bits.first().copied().unwrap_or(0), lengths: Vec::new() };
        let mut shape = self.of(&last, table)?;
        index.reserve(rows);
        if bits.is_empty() {
            index.extend((0..rows).map(|n| RowRef { at: (n * stride) as u32, len, shape }));
            return Ok(());
        }
        for (n, bits) in bits.iter().enumerate().take(rows) {
            if *bits != last.bits {
                last.bits = *bits;
                shape = self.of(&last, table)?;
            }
            index.push(RowRef { at: (n * stride) as u32, len, shape });
        }
        Ok(())
    }

    /// Rows with something of a length of its own behind what is fixed.
    fn join(
        &mut self,
        fixed: &[u8],
        rows: usize,
        bits: &[u128],
        variable: &[Source],
        buffers: &mut Buffers,
    ) -> Result<(), String> {
        let Buffers { bytes, index, table, .. } = buffers;
        let stride = usize::from(self.layout.stride);
        let mut next = vec![0; variable.len()];
        let mut pattern = Pattern { bits: 0, lengths: vec![0; variable.len()] };
        bytes.clear();
        for n in 0..rows {
            let at = u32::try_from(bytes.len()).ok().filter(|at| *at <= MOST);
            let at = at.ok_or_else(|| "its rows are too long".to_owned())?;
            bytes.extend_from_slice(fixed.get(n * stride..(n + 1) * stride).unwrap_or_default());
            let columns = variable.iter().zip(&mut next).zip(&mut pattern.lengths);
            for ((source, next), length) in columns {
                *length = source.append(n, next, bytes)?;
            }
            pattern.bits = bits.get(n).copied().unwrap_or(0);
            let shape = self.of(&pattern, table)?;
            let len = u16::try_from(bytes.len() - at as usize);
            let len = len.map_err(|_| format!("row {n} is too long"))?;
            index.push(RowRef { at, len, shape });
        }
        Ok(())
    }
}

impl Source {
    /// Appends the value that row `n` has, if any; `next` counts those that there were. Returns its
    /// length.
    fn append(&self, n: usize, next: &mut usize, out: &mut Vec<u8>) -> Result<u16, String> {
        let Values::Octets(values) = &self.column.values else { return Ok(0) };
        if self.column.levels.get(n).is_none_or(|level| *level == 0) {
            return Ok(0);
        }
        let value = values.get(*next).map(ByteArray::data).unwrap_or_default();
        *next += 1;
        let (value, len) = match self.field.kind() {
            Kind::Text(max) => {
                let value = match std::str::from_utf8(value) {
                    Ok(text) => text::decode(text),
                    Err(_) => Cow::Borrowed(value),
                };
                let room = (value.len() + 1).next_multiple_of(TEXT_STEP);
                let len = if max > 0 { room.min(usize::from(max)) } else { room };
                (value, len)
            }
            _ => (Cow::Borrowed(value), value.len()),
        };
        let len =
            u16::try_from(len).map_err(|_| format!("{:?} of row {n} is too long", self.field))?;
        let end = out.len() + usize::from(len);
        out.extend(value.iter().take(usize::from(len)));
        out.resize(end, 0);
        Ok(len)
    }
}

/// Puts all columns in their places.
fn fill(out: &mut [u8], stride: usize, fixed: &[Source]) {
    let mut next = vec![(0, 0); fixed.len()];
    for (n, tile) in out.chunks_mut(TILE * stride.max(1)).enumerate() {
        let rows = n * TILE..n * TILE + tile.len() / stride.max(1);
        for row in tile.chunks_exact_mut(stride.max(1)) {
            row.iter_mut().take(usize::from(HEAD)).for_each(|b| *b = 0);
        }
        for (source, (next, next_narrow)) in fixed.iter().zip(&mut next) {
            let mut to = Target { tile, stride, at: usize::from(source.at), rows: rows.clone() };
            column(&mut to, source.field.kind(), &source.column, next);
            if let Some(narrow) = source.narrow.as_ref().filter(|_| source.is_mixed()) {
                column(&mut to, Kind::Addr, narrow, next_narrow);
            }
        }
    }
}

/// A place in some rows.
struct Target<'t> {
    tile: &'t mut [u8],
    stride: usize,
    at: usize,
    rows: Range<usize>,
}

/// Fills one place of some rows; `next` counts the values of the rows before.
fn column(to: &mut Target<'_>, kind: Kind, column: &Decoded, next: &mut usize) {
    const NANOS: i64 = 1_000_000;
    match (&column.values, kind) {
        (Values::Int32(v), Kind::U8) => to.put(column, v, next, |n| [*n as u8]),
        (Values::Int32(v), _) => to.put(column, v, next, |n| (*n as u16).to_le_bytes()),
        (Values::Int64(v), Kind::U32 | Kind::Addr) => {
            to.put(column, v, next, |n| (*n as u32).to_le_bytes());
        }
        (Values::Int64(v), Kind::Time) => {
            to.put(column, v, next, |n| ((*n / NANOS) as u64).to_le_bytes());
        }
        (Values::Int64(v), _) => to.put(column, v, next, |n| n.to_le_bytes()),
        (Values::Fixed(v), Kind::Mac) => to.put(column, v, next, |n| {
            let mut octets = [0; 8];
            octets[2..].copy_from_slice(&fixed::<6>(n));
            u64::from_be_bytes(octets).to_le_bytes()
        }),
        (Values::Fixed(v), Kind::Acl) => to.put(column, v, next, fixed::<12>),
        (Values::Fixed(v), _) => {
            to.put(column, v, next, |n| Addr::V6(u128::from_be_bytes(fixed::<16>(n))).to_row())
        }
        (Values::Octets(_), _) => {}
    }
}

fn fixed<const N: usize>(value: &FixedLenByteArray) -> [u8; N] {
    value.data().try_into().unwrap_or([0; N])
}

impl Target<'_> {
    #[inline]
    fn put<const N: usize, T>(
        &mut self,
        column: &Decoded,
        values: &[T],
        next: &mut usize,
        octets: impl Fn(&T) -> [u8; N],
    ) {
        let values = values.get(*next..).unwrap_or_default();
        let rows = self.tile.chunks_exact_mut(self.stride);
        let put = |row: &mut [u8], value: &T| {
            if let Some(place) = row.get_mut(self.at..).and_then(|row| row.first_chunk_mut()) {
                *place = octets(value);
            }
        };
        if column.is_full() {
            *next += self.rows.len();
            rows.zip(values).for_each(|(row, value)| put(row, value));
            return;
        }
        let levels = column.levels.get(self.rows.clone()).unwrap_or_default();
        let mut values = values.iter();
        for (row, _) in rows.zip(levels).filter(|(_, level)| **level > 0) {
            let Some(value) = values.next() else { break };
            put(row, value);
            *next += 1;
        }
    }
}
