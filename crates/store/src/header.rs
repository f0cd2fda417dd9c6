//! File headers: 40 octets in layout 2, 276 in layout 1 (2.1, 15.1), 48 in layout 3.

use crate::appendix::Statistics;
use crate::layout::{MAGIC, MAGIC_SWAPPED, put, until_nul};
use crate::layout::{u16_at, u32_at, u64_at};
use crate::layout3::{self, Head3};
use crate::{Compression, StoreError};
use core::ops::Range;
use std::path::Path;

mod at {
    use super::Range;
    pub(super) const MAGIC: Range<usize> = 0..2;
    pub(super) const VERSION: Range<usize> = 2..4;
    pub(super) const NFDVERSION: Range<usize> = 4..8;
    pub(super) const CREATED: Range<usize> = 8..16;
    pub(super) const COMPRESSION: Range<usize> = 16..17;
    pub(super) const ENCRYPTION: Range<usize> = 17..18;
    pub(super) const APPENDIX_BLOCKS: Range<usize> = 18..20;
    pub(super) const CREATOR: Range<usize> = 20..24;
    pub(super) const APPENDIX: Range<usize> = 24..32;
    pub(super) const BLOCKS: Range<usize> = 36..40;
}

/// Offsets of layout 1.
mod at1 {
    use super::Range;
    pub(super) const FLAGS: usize = 4;
    pub(super) const BLOCKS: usize = 8;
    pub(super) const IDENT: Range<usize> = 12..140;
    pub(super) const STATISTICS: Range<usize> = 140..276;
}

/// Program that wrote a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Creator(pub u32);

impl Creator {
    /// NetFlow collector: what ours writes, too.
    pub const NFCAPD: Self = Self(1);
    /// sFlow collector.
    pub const SFCAPD: Self = Self(3);
    /// Query tool.
    pub const NFDUMP: Self = Self(4);
    /// Anonymiser.
    pub const NFANON: Self = Self(5);

    /// nfdump's name of the program, `None` where it knows none.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "unknown",
            1 => "nfcapd",
            2 => "nfpcapd",
            3 => "sfcapd",
            4 => "nfdump",
            5 => "nfanon",
            6 => "nfprofile",
            7 => "geolookup",
            8 => "ft2nfdump",
            9 => "torlookup",
            _ => return None,
        })
    }
}

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// 1, 2 or 3.
    pub layout: u16,
    /// Version of the program that wrote it; for information only. 0 in layout 1.
    pub nfdversion: u32,
    /// Seconds since 1970 when the file, or its temporary forerunner, was made. 0 in layout 1.
    pub created_secs: u64,
    /// How all blocks are compressed; in layout 3 each block says so itself, and this is what its
    /// writer was asked for.
    pub compression: Compression,
    /// Who wrote it.
    pub creator: Creator,
    /// Whether blocks are encrypted; only those of layout 3 can be.
    pub encrypted: bool,
    /// Data blocks; 0 while the file is open. In layout 3 the blocks of the directory without ident,
    /// statistics and what makes the key; 0 if there is no sound directory.
    pub blocks: u32,
    /// Appendix blocks; 0 while the file is open, and in layouts 1 and 3.
    pub appendix_blocks: u16,
    /// Offset of the appendix, in layout 3 of the directory; 0 while the file is open, and in
    /// layout 1.
    pub appendix: u64,
}

/// Layout 1 keeps ident and statistics behind the header instead of in an appendix.
pub(crate) struct Legacy {
    pub(crate) ident: Vec<u8>,
    pub(crate) statistics: Statistics,
}

/// What the header of a layout says beside [`FileHeader`].
pub(crate) enum More {
    Layout1(Legacy),
    Layout2,
    Layout3(Head3),
}

impl FileHeader {
    /// Octets of a header of layout 2; data blocks follow.
    pub const LEN: usize = 40;
    /// Octets of header and statistics of layout 1; data blocks follow.
    pub const LEGACY_LEN: usize = 276;
    /// Written where others put their version. No reader acts on it; 1.7.1 is the oldest one that
    /// reads every file of ours.
    const NFDVERSION: u32 = 0x0107_0100;

    /// The header of a file that is being written.
    pub(crate) const fn open(
        compression: Compression,
        creator: Creator,
        created_secs: u64,
    ) -> Self {
        Self {
            layout: 2,
            nfdversion: Self::NFDVERSION,
            created_secs,
            compression,
            creator,
            encrypted: false,
            blocks: 0,
            appendix_blocks: 0,
            appendix: 0,
        }
    }

    /// Offset of the first block.
    pub const fn data_start(&self) -> u64 {
        let len = match self.layout {
            1 => Self::LEGACY_LEN,
            3 => layout3::HEADER_LEN,
            _ => Self::LEN,
        };
        len as u64
    }

    /// Whether the file was closed by its writer: an open file counts no blocks of either kind, and
    /// has no offset of an appendix or a directory (2.2).
    pub const fn is_closed(&self) -> bool {
        self.blocks != 0 || self.appendix_blocks != 0 || self.appendix != 0
    }

    /// Reads the start of a file, `len` octets long as a whole.
    pub(crate) fn decode(head: &[u8], path: &Path, len: u64) -> Result<(Self, More), StoreError> {
        let too_short = || StoreError::TooShort { path: path.to_owned(), len };
        match u16_at(head, at::MAGIC.start).ok_or_else(too_short)? {
            MAGIC => {}
            MAGIC_SWAPPED => return Err(StoreError::BigEndian(path.to_owned())),
            magic => return Err(StoreError::BadMagic { path: path.to_owned(), magic }),
        }
        match u16_at(head, at::VERSION.start).ok_or_else(too_short)? {
            1 => {
                let head = head.first_chunk().ok_or_else(too_short)?;
                let (header, legacy) = Self::decode_1(head);
                Ok((header, More::Layout1(legacy)))
            }
            2 => {
                let head = head.first_chunk().ok_or_else(too_short)?;
                Ok((Self::decode_2(head, path)?, More::Layout2))
            }
            3 => {
                let head = Head3::new(head.first_chunk().ok_or_else(too_short)?);
                Ok((Self::decode_3(&head), More::Layout3(head)))
            }
            version => Err(StoreError::UnknownLayout { path: path.to_owned(), version }),
        }
    }

    fn decode_2(head: &[u8; Self::LEN], path: &Path) -> Result<Self, StoreError> {
        let number = |at: Range<usize>| u32_at(head, at.start).unwrap_or(0);
        let [method, encryption] = [head[at::COMPRESSION.start], head[at::ENCRYPTION.start]];
        if encryption != 0 {
            return Err(StoreError::Encrypted { path: path.to_owned(), method: encryption });
        }
        let unknown = || StoreError::UnknownCompression { path: path.to_owned(), method };
        Ok(Self {
            layout: 2,
            nfdversion: number(at::NFDVERSION),
            created_secs: u64_at(head, at::CREATED.start).unwrap_or(0),
            compression: Compression::from_number(method).ok_or_else(unknown)?,
            creator: Creator(number(at::CREATOR)),
            encrypted: false,
            blocks: number(at::BLOCKS),
            appendix_blocks: u16_at(head, at::APPENDIX_BLOCKS.start).unwrap_or(0),
            appendix: u64_at(head, at::APPENDIX.start).unwrap_or(0),
        })
    }

    fn decode_3(head: &Head3) -> Self {
        let b = &head.octets;
        let method = u16_at(b, 18).unwrap_or(0).saturating_sub(1);
        let method = u8::try_from(method).ok().and_then(Compression::from_number);
        Self {
            layout: 3,
            nfdversion: u32_at(b, 4).unwrap_or(0),
            created_secs: u64_at(b, 8).unwrap_or(0),
            compression: method.unwrap_or_default(),
            creator: Creator(u32::from(u16_at(b, 16).unwrap_or(0))),
            encrypted: head.is_encrypted(),
            blocks: 0,
            appendix_blocks: 0,
            appendix: head.directory.offset,
        }
    }

    fn decode_1(head: &[u8; Self::LEGACY_LEN]) -> (Self, Legacy) {
        let flags = u32_at(head, at1::FLAGS).unwrap_or(0);
        let compression = match flags {
            f if f & 0x1 != 0 => Compression::Lzo,
            f if f & 0x8 != 0 => Compression::Bz2,
            f if f & 0x10 != 0 => Compression::Lz4,
            _ => Compression::None,
        };
        let header = Self {
            layout: 1,
            nfdversion: 0,
            created_secs: 0,
            compression,
            creator: Creator(0),
            encrypted: false,
            blocks: u32_at(head, at1::BLOCKS).unwrap_or(0),
            appendix_blocks: 0,
            appendix: 0,
        };
        let legacy = Legacy {
            ident: until_nul(&head[at1::IDENT]).to_vec(),
            statistics: Statistics::decode_legacy(&head[at1::STATISTICS]),
        };
        (header, legacy)
    }

    /// The octets of a header of layout 2.
    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        put(&mut out, at::MAGIC, &MAGIC.to_le_bytes());
        put(&mut out, at::VERSION, &2u16.to_le_bytes());
        put(&mut out, at::NFDVERSION, &self.nfdversion.to_le_bytes());
        put(&mut out, at::CREATED, &self.created_secs.to_le_bytes());
        put(&mut out, at::COMPRESSION, &[self.compression as u8]);
        put(&mut out, at::APPENDIX_BLOCKS, &self.appendix_blocks.to_le_bytes());
        put(&mut out, at::CREATOR, &self.creator.0.to_le_bytes());
        put(&mut out, at::APPENDIX, &self.appendix.to_le_bytes());
        put(&mut out, at::BLOCKS, &self.blocks.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// File format, section 13: a complete empty file.
    const EMPTY: [u8; 40] = [
        0x0C, 0xA5, 0x02, 0x00, 0x00, 0x08, 0x07, 0xF1, 0x65, 0x42, 0x01, 0x6B, 0, 0, 0, 0, //
        0, 0, 1, 0, 1, 0, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, //
        0, 0, 0, 0, 0, 0, 0, 0,
    ];

    fn decode(head: &[u8]) -> Result<FileHeader, StoreError> {
        FileHeader::decode(head, Path::new("f"), head.len() as u64).map(|(h, _)| h)
    }

    #[test]
    fn real_header_round_trips() {
        let h = decode(&EMPTY).unwrap();
        assert_eq!(h.created_secs, 1_795_244_645);
        assert_eq!(h.creator, Creator::NFCAPD);
        assert_eq!((h.blocks, h.appendix_blocks, h.appendix), (0, 1, 40));
        assert!(h.is_closed());
        assert_eq!(h.encode(), EMPTY);
    }

    #[test]
    fn short_and_foreign_files_are_refused() {
        for len in 0..EMPTY.len() {
            assert!(matches!(decode(&EMPTY[..len]), Err(StoreError::TooShort { .. })), "{len}");
        }
        for (at, value, what) in [
            (0, 0x0D, "is not a flow file"),
            (2, 7, "layout 7"),
            (16, 5, "compression method 5"),
            (17, 1, "encrypted"),
        ] {
            let mut head = EMPTY;
            head[at] = value;
            let text = decode(&head).unwrap_err().to_string();
            assert!(text.contains(what), "{text}");
        }
        let mut head = EMPTY;
        head[..2].reverse();
        assert!(matches!(decode(&head), Err(StoreError::BigEndian(_))));
        head = EMPTY;
        head[2] = 1;
        assert!(matches!(decode(&head), Err(StoreError::TooShort { .. })), "layout 1 needs more");
    }
}
