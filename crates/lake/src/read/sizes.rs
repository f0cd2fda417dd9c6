//! What a file says about sizes, looked at before the Parquet library believes it: that allocates
//! what a list or a page is said to have, and memory that is not there ends the process.
//!
//! Footer and page headers are in the compact protocol of Thrift; nothing of it is kept here, and
//! what cannot be followed is refused.

use super::chunk::Octets;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader as _, Length as _};

/// Octets of an unpacked page at most. Those of flowlake have 1 MB, with long payloads some more.
const PAGE: u64 = 128 << 20;
/// Octets of the unpacked pages of a column in one row group at most.
const COLUMN: u64 = 1 << 30;
/// Octets of a footer, and elements of a list in it, at most.
const FOOTER: u64 = 256 << 20;
const LIST: u64 = 1 << 16;
/// Structures within structures.
const DEPTH: u8 = 16;
/// The encodings that flowlake writes: plain, dictionary (both numbers), RLE and differences.
const ENCODINGS: [u64; 5] = [0, 2, 3, 5, 8];

/// Looks at the lists of a footer: `FileMetaData`, in front of its length and `PAR1`.
pub(super) fn check_footer(file: &Octets) -> Result<()> {
    let len = file.len();
    let tail = file.get_bytes(len.saturating_sub(8), 8)?;
    let size = tail.first_chunk().map_or(0, |size| u64::from(u32::from_le_bytes(*size)));
    let start = len.checked_sub(8).and_then(|end| end.checked_sub(size));
    let Some(start) = start.filter(|_| size <= FOOTER) else {
        return Err(damaged(format!("a footer of {size} octets in a file of {len}")));
    };
    let footer = file.get_bytes(start, size as usize)?;
    Thrift(&footer).structure(0, &mut |_, _, _| ()).ok_or_else(|| damaged("its footer".to_owned()))
}

/// Looks at the pages of a column in a row group.
pub(super) fn check_pages(mut octets: &[u8], column: &ColumnChunkMetaData) -> Result<()> {
    let values = u64::try_from(column.num_values()).unwrap_or(0);
    let mut sum = 0;
    while !octets.is_empty() {
        let mut rest = Thrift(octets);
        let page = Page::read(&mut rest).ok_or_else(|| damaged("a page's header".to_owned()))?;
        sum = page.unpacked.saturating_add(sum);
        if page.unpacked.max(page.packed) > PAGE || sum > COLUMN {
            let what = format!("a page of {} octets, {sum} with those before", page.unpacked);
            return Err(ParquetError::General(format!("{what}: too many")));
        }
        if page.dictionary > values {
            let what = format!("{} different ones of {values} values", page.dictionary);
            return Err(damaged(what));
        }
        if !ENCODINGS.contains(&page.encoding) {
            let what = format!("encoding {}, which flowlake does not write", page.encoding);
            return Err(ParquetError::General(what));
        }
        let packed = usize::try_from(page.packed).ok();
        octets = packed
            .and_then(|packed| rest.0.get(packed..))
            .ok_or_else(|| damaged(format!("a page of {} octets", page.packed)))?;
    }
    Ok(())
}

fn damaged(what: String) -> ParquetError {
    ParquetError::General(format!("damaged: {what}"))
}

/// Of a page's header what matters.
#[derive(Debug, Default)]
struct Page {
    unpacked: u64,
    packed: u64,
    /// Values of a dictionary; 0 of another page.
    dictionary: u64,
    encoding: u64,
}

impl Page {
    /// `PageHeader`; `None` if it is none, or a size is below 0.
    fn read(octets: &mut Thrift<'_>) -> Option<Self> {
        let (mut page, mut fits) = (Self::default(), true);
        octets.structure(0, &mut |path, kind, value| {
            let place = match path {
                [2, 0] => &mut page.unpacked,
                [3, 0] => &mut page.packed,
                [7, 1] => &mut page.dictionary,
                // In the header of each sort of page.
                [5 | 7, 2] | [8, 4] => &mut page.encoding,
                // These headers.
                [5 | 7 | 8, 0] => {
                    fits &= kind == STRUCTURE;
                    return;
                }
                _ => return,
            };
            match u64::try_from(value) {
                Ok(value) if NUMBERS.contains(&kind) => *place = value,
                _ => fits = false,
            }
        })?;
        fits.then_some(page)
    }
}

/// Type of a structure, and those of numbers, in the compact protocol.
const STRUCTURE: u8 = 12;
const NUMBERS: std::ops::RangeInclusive<u8> = 4..=6;

/// What is left of a value in the compact protocol.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    /// Goes over a structure, and tells the type of each field in it and right below, and its value
    /// if it is a number: by field, and field within field (0 above).
    fn structure(&mut self, depth: u8, each: &mut dyn FnMut([i16; 2], u8, i64)) -> Option<()> {
        let mut field = 0i16;
        loop {
            let head = self.octet()?;
            if head == 0 {
                return Some(());
            }
            field = match head >> 4 {
                0 => i16::try_from(self.number()?).ok()?,
                step => field.checked_add(i16::from(step))?,
            };
            let kind = head & 15;
            if kind == STRUCTURE && depth == 0 {
                each([field, 0], kind, 0);
                let mut inner = |[inner, _]: [i16; 2], kind, value| {
                    each([field, inner], kind, value);
                };
                self.structure(1, &mut inner)?;
            } else {
                let value = self.value(kind, depth + 1)?;
                each([field, 0], kind, value);
            }
        }
    }

    /// Goes over a value; 0 if it is no number.
    fn value(&mut self, kind: u8, depth: u8) -> Option<i64> {
        if depth > DEPTH {
            return None;
        }
        match kind {
            // Of a field, the type is the value.
            1 | 2 => {}
            3 => drop(self.octet()?),
            4..=6 => return self.number(),
            7 => self.skip(8)?,
            8 => {
                let len = self.varint()?;
                self.skip(len)?;
            }
            9 | 10 => self.list(depth)?,
            STRUCTURE => self.structure(depth, &mut |_, _, _| ())?,
            _ => return None,
        }
        Some(0)
    }

    fn list(&mut self, depth: u8) -> Option<()> {
        let head = self.octet()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        if count > LIST {
            return None;
        }
        for _ in 0..count {
            match head & 15 {
                1 | 2 => drop(self.octet()?),
                kind => drop(self.value(kind, depth + 1)?),
            }
        }
        Some(())
    }

    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, octets: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(octets).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            number |= u64::from(octet & 0x7F) << shift;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A signed number.
    fn number(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::message;
    use parquet::schema::types::SchemaDescriptor;

    /// A page of nothing, packed to `packed` octets; a dictionary, or of values.
    fn page(
        is_dictionary: bool,
        unpacked: i64,
        packed: i64,
        values: i64,
        encoding: u64,
    ) -> Vec<u8> {
        let mut octets = Vec::new();
        for value in [i64::from(is_dictionary) * 2, unpacked, packed] {
            number(&mut octets, value);
        }
        octets.push(if is_dictionary { 0x4C } else { 0x2C });
        number(&mut octets, values);
        number(&mut octets, encoding.cast_signed());
        octets.extend([0, 0]);
        octets.resize(octets.len() + usize::try_from(packed).unwrap_or(0), 7);
        octets
    }

    /// The next field, a number of 32 bits.
    fn number(out: &mut Vec<u8>, value: i64) {
        out.push(0x15);
        let mut number = (value << 1 ^ value >> 63) as u64;
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    fn column() -> ColumnChunkMetaData {
        let schema = SchemaDescriptor::new(message().unwrap());
        ColumnChunkMetaData::builder(schema.column(0)).set_num_values(1000).build().unwrap()
    }

    #[test]
    fn pages_that_claim_too_much_are_refused() {
        let big = 128 << 20;
        for (name, pages, error) in [
            ("none", vec![], ""),
            ("two", vec![page(true, 4000, 9, 1000, 0), page(false, 500, 40, 1000, 8)], ""),
            ("largest", vec![page(false, big, 5, 10, 0)], ""),
            ("too large", vec![page(false, big + 1, 5, 10, 0)], "a page of 134217729 octets"),
            ("below 0", vec![page(false, -1, 5, 10, 0)], "damaged: a page's header"),
            ("packed below 0", vec![page(false, 5, -5, 10, 0)], "damaged: a page's header"),
            ("many large", vec![page(false, big, 5, 10, 0); 9], "with those before: too many"),
            ("words", vec![page(true, 4004, 9, 1001, 0)], "1001 different ones of 1000 values"),
            ("words below 0", vec![page(true, 4004, 9, -1, 0)], "damaged: a page's header"),
            ("encoding", vec![page(false, 5, 5, 10, 7)], "encoding 7"),
            ("no page", vec![vec![0xFF; 40]], "damaged: a page's header"),
        ] {
            let said = check_pages(&pages.concat(), &column()).err().map(|e| e.to_string());
            let said = said.unwrap_or_default();
            assert!(said.contains(error) && said.is_empty() == error.is_empty(), "{name}: {said}");
        }
    }

    #[test]
    fn pages_cut_short_are_refused() {
        let whole = page(false, 500, 40, 1000, 8);
        for len in 1..whole.len() {
            assert!(check_pages(&whole[..len], &column()).is_err(), "{len}");
        }
    }

    /// Of each kind of value; lists that claim more than there is, structures without an end.
    #[test]
    fn structures_are_followed_to_their_end() {
        let mut deep = vec![0x1C; 100];
        deep.extend([0; 101]);
        let many = [0x19, 0xF5, 0x80, 0x80, 0x80, 0x08];
        for (octets, left) in [
            (&[0][..], Some(0)),
            (&[0x11, 0x12, 0x13, 9, 0x16, 0x80, 1, 0x17, 1, 2, 3, 4, 5, 6, 7, 8, 0, 5], Some(1)),
            (
                &[0x18, 2, 1, 1, 0x19, 0x25, 1, 1, 0x19, 0x21, 1, 2, 0x19, 0x1C, 0x15, 2, 0, 0],
                Some(0),
            ),
            (&[0x05, 8, 2, 0], Some(0)),
            (&many, None),
            (&[0x18, 9, 1], None),
            (&[0x1D, 0], None),
            (&[0x16, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0], None),
            (&deep, None),
        ] {
            let mut thrift = Thrift(octets);
            let done = thrift.structure(0, &mut |_, _, _| ());
            assert_eq!(done.map(|()| thrift.0.len()), left, "{octets:?}");
        }
    }
}
