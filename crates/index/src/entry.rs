//! What is known about one flow file, as octets: a head that is read whole, and behind it ports and
//! sets of addresses that are read where a question needs them.
//!
//! Numbers are little-endian.
//!
//! ```text
//! head     u32 magic  u32 octets of the head  u64 octets of the entry
//!          u64 size and u64 time of the flow file  u64 first and u64 last time of its flows, or all
//!          ones and 0
//!          u32 blocks  u32 sections  u32 blocks with meta records  u16 name  u16 ident (octets)
//!          name  ident  numbers of the blocks with meta records, u32 each
//!          section of the file  sections of its stretches, if there are several
//!          u64 XXH3 (seed 0) of all before
//! section  blocks  place and octets of the ports  place and octets of the pages, numbers as in
//!          input.rs  u8 and u8 bits of a network and of an address
//!          what is known (known.rs)
//! ```
//!
//! Places of ports and pages count from the end of the head.

use crate::input::{Input, put};
use crate::known::Known;
use crate::pages::Shape;
use crate::ports;
use std::ops::Range;
use twox_hash::XxHash3_64;

/// `FIDX`.
const MAGIC: u32 = 0x5844_4946;
/// Times of a file without statistics.
pub(crate) const NEVER: (u64, u64) = (u64::MAX, 0);
/// Octets of the head before its name.
pub(crate) const FIXED: usize = 64;
/// Octets of a head at most; the largest file has no more blocks.
pub(crate) const MOST: usize = 64 << 20;
/// Blocks of a file at most: readers look at no more.
const BLOCKS: u32 = 1 << 22;
/// Rows of a file at most, so that sums of them never overflow.
const ROWS: u64 = 1 << 40;

/// Whose entry it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// The file, relative to the directory of the index.
    pub(crate) name: String,
    /// Which state of the file: its octets, and when it was last written, nanoseconds since 1970.
    pub(crate) size: u64,
    /// See there.
    pub(crate) modified_ns: u64,
    /// The name of its source.
    pub(crate) ident: String,
    /// First and last time of its flows as its statistics have them, milliseconds since 1970.
    pub(crate) window: Option<(u64, u64)>,
}

/// What is known about a stretch of blocks, and where the rest of it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) blocks: Range<u32>,
    pub(crate) known: Known,
    pub(crate) ports: (u64, u32),
    pub(crate) pages_at: u64,
    pub(crate) pages: Shape,
}

impl Section {
    /// Appends ports and pages to `data`. The pages are put there by `set`, which returns what it
    /// takes to ask them.
    pub(crate) fn put(
        blocks: Range<u32>,
        known: Known,
        data: &mut Vec<u8>,
        set: impl FnOnce(&mut Vec<u8>) -> Shape,
    ) -> Self {
        let at = data.len();
        known.ports.encode(data);
        let ports = (at as u64, (data.len() - at) as u32);
        let pages_at = data.len() as u64;
        let pages = set(data);
        Self { blocks, known, ports, pages_at, pages }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put((self.blocks.end - self.blocks.start).into(), out);
        for n in [self.ports.0, self.ports.1.into(), self.pages_at, self.pages.len.into()] {
            put(n, out);
        }
        out.extend([self.pages.net, self.pages.own]);
        self.known.encode(out);
    }

    /// Reads a section whose first block has this number.
    pub(crate) fn decode(input: &mut Input<'_>, first: u32, data_len: u64) -> Option<Self> {
        let count = input.short()?;
        let ports = (input.number()?, input.short()?);
        let (pages_at, len) = (input.number()?, input.short()?);
        let pages = Shape { len, net: input.u8()?, own: input.u8()? };
        let fits =
            |at: u64, len: u32| at.checked_add(len.into()).is_some_and(|end| end <= data_len);
        let known = Known::decode(input)?;
        let is_sound = fits(ports.0, ports.1)
            && ports.1 <= ports::MOST
            && fits(pages_at, len)
            && pages.is_sound()
            && known.rows <= ROWS;
        let blocks = first..first.checked_add(count)?;
        is_sound.then_some(Self { blocks, known, ports, pages_at, pages })
    }
}

/// A head that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) about: About,
    /// Octets of the head, and of the whole entry.
    pub(crate) len: u64,
    pub(crate) entry_len: u64,
    pub(crate) blocks: u32,
    /// Blocks that say something about exporters, in order.
    pub(crate) meta: Vec<u32>,
    pub(crate) whole: Section,
    pub(crate) sections: Vec<Section>,
}

/// The octets of an entry. `None` if a name or the whole is too long.
pub(crate) fn encode(
    about: &About,
    meta: &[u32],
    whole: &Section,
    sections: &[Section],
    data: &[u8],
) -> Option<Vec<u8>> {
    let name = u16::try_from(about.name.len()).ok()?;
    let ident = u16::try_from(about.ident.len()).ok()?;
    let mut out = vec![0; 16];
    let (first, last) = about.window.unwrap_or(NEVER);
    for n in [about.size, about.modified_ns, first, last] {
        out.extend(n.to_le_bytes());
    }
    for n in
        [whole.blocks.end, u32::try_from(sections.len()).ok()?, u32::try_from(meta.len()).ok()?]
    {
        out.extend(n.to_le_bytes());
    }
    out.extend(name.to_le_bytes());
    out.extend(ident.to_le_bytes());
    out.extend(about.name.as_bytes());
    out.extend(about.ident.as_bytes());
    meta.iter().for_each(|n| out.extend(n.to_le_bytes()));
    whole.encode(&mut out);
    // What is said of the file is said of its one stretch.
    sections.iter().filter(|_| sections.len() > 1).for_each(|s| s.encode(&mut out));
    let len = out.len() + 8;
    let start = [&MAGIC.to_le_bytes()[..], &u32::try_from(len).ok()?.to_le_bytes()].concat();
    let entry_len = (len + data.len()) as u64;
    for (room, octet) in out.iter_mut().zip(start.into_iter().chain(entry_len.to_le_bytes())) {
        *room = octet;
    }
    let sum = XxHash3_64::oneshot(&out);
    out.extend(sum.to_le_bytes());
    out.extend(data);
    (len <= MOST && whole.blocks.end <= BLOCKS && whole.known.rows <= ROWS).then_some(out)
}

/// Octets of the head and of the entry that begin with these [`FIXED`] octets.
pub(crate) fn lengths(fixed: &[u8]) -> Option<(usize, u64)> {
    let mut input = Input(fixed);
    let (magic, len, entry_len) = (input.u32()?, input.u32()? as usize, input.u64()?);
    let is_sound = magic == MAGIC && (FIXED + 8..=MOST).contains(&len) && entry_len >= len as u64;
    is_sound.then_some((len, entry_len))
}

/// Reads a head.
pub(crate) fn decode(octets: &[u8]) -> Option<Head> {
    let (len, entry_len) = lengths(octets)?;
    let (body, sum) = octets.split_last_chunk::<8>()?;
    if octets.len() != len || XxHash3_64::oneshot(body).to_le_bytes() != *sum {
        return None;
    }
    let mut input = Input(body.get(16..)?);
    let (size, modified_ns) = (input.u64()?, input.u64()?);
    let window = Some((input.u64()?, input.u64()?)).filter(|times| *times != NEVER);
    let (blocks, sections, metas) = (input.u32()?, input.u32()?, input.u32()?);
    let (name, ident) = (input.u16()?, input.u16()?);
    let mut text = |len: u16| {
        let octets = input.take(len.into())?;
        std::str::from_utf8(octets).ok().map(str::to_owned)
    };
    let (name, ident) = (text(name)?, text(ident)?);
    // Lengths are those of what is there, whatever the counts say.
    let meta = (0..metas).map(|_| input.u32()).collect::<Option<Vec<_>>>()?;
    let data_len = entry_len - len as u64;
    let whole = Section::decode(&mut input, 0, data_len)?;
    let mut first = 0;
    let mut stretch = || {
        let section = Section::decode(&mut input, first, data_len)?;
        first = section.blocks.end;
        Some(section)
    };
    let sections: Vec<Section> = match sections {
        1 => vec![whole.clone()],
        _ => (0..sections).map(|_| stretch()).collect::<Option<_>>()?,
    };
    let is_sound = sections.last().map_or(0, |s| s.blocks.end) == blocks
        && whole.blocks == (0..blocks)
        && blocks <= BLOCKS
        && sections.iter().try_fold(0, |rows: u64, s| rows.checked_add(s.known.rows))
            == Some(whole.known.rows)
        && meta.is_sorted()
        && input.0.is_empty();
    let about = About { name, size, modified_ns, ident, window };
    is_sound.then_some(Head { about, len: len as u64, entry_len, blocks, meta, whole, sections })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(blocks: Range<u32>, rows: u64) -> Section {
        let mut known = Known::default();
        known.rows = rows;
        Section {
            blocks,
            known,
            ports: (0, 9),
            pages_at: 9,
            pages: Shape { len: 16, net: 3, own: 2 },
        }
    }

    fn head(whole: &Section, sections: &[Section]) -> Option<Head> {
        let (name, ident) = ("nfcapd.202611201000".to_owned(), "x".to_owned());
        let about = About { name, size: 1, modified_ns: 2, ident, window: Some((3, 4)) };
        let octets = encode(&about, &[1], whole, sections, &[0; 25])?;
        let head = decode(octets.get(..octets.len() - 25)?);
        assert!(head.as_ref().is_none_or(|head| head.about == about && head.meta == [1]));
        head
    }

    #[test]
    fn heads_come_back_and_those_that_cannot_be_do_not() {
        let (first, last, whole) = (section(0..2, 5), section(2..3, 6), section(0..3, 11));
        let two = [first.clone(), last.clone()];
        let read = head(&whole, &two).expect("head");
        assert_eq!((&read.whole, &read.sections[..]), (&whole, &two[..]));
        let one = head(&whole, std::slice::from_ref(&whole)).expect("head");
        assert_eq!(one.sections, std::slice::from_ref(&whole));
        let changed = |change: fn(&mut Section)| {
            let mut section = last.clone();
            change(&mut section);
            section
        };
        for (what, last) in [
            ("too many rows together", changed(|s| s.known.rows = 7)),
            ("too many rows", changed(|s| s.known.rows = ROWS + 1)),
            ("too many blocks", changed(|s| s.blocks.end = 4)),
            ("blocks that are missing", changed(|s| s.blocks.end = 2)),
            ("ports behind the end", changed(|s| s.ports = (17, 9))),
            ("more ports than there are", changed(|s| s.ports.1 = u32::MAX)),
            ("pages behind the end", changed(|s| s.pages_at = 10)),
            ("pages at no place", changed(|s| s.pages_at = u64::MAX)),
            ("pages of no length", changed(|s| s.pages.len = 15)),
            ("more bits than a half sets", changed(|s| s.pages.net = 9)),
        ] {
            assert_eq!(head(&whole, &[first.clone(), last.clone()]), None, "{what}");
        }
        assert_eq!(head(&whole, &[]), None);
    }
}
