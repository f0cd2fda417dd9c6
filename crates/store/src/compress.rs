//! Compression of block payloads: one function each way, with a limit on the output (3.2).

use crate::layout::MAX_PAYLOAD;
use crate::lz4_encode::Lz4Encoder;
use crate::lz4_rows::RowEncoder;
use crate::lzo_encode::LzoEncoder;
use std::fmt;
use std::io;
use std::str::FromStr;

/// How the blocks of a file are compressed. Discriminants are the numbers in file headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Compression {
    /// Not at all.
    #[default]
    None = 0,
    /// LZO1X. Kept for files of old: LZ4 is faster and packs as well.
    Lzo = 1,
    /// bzip2: small and slow.
    Bz2 = 2,
    /// LZ4 blocks: the fastest, and read by every nfdump 1.7.
    Lz4 = 3,
    /// zstd: small and fast, read by nfdump from 1.7.3 on.
    Zstd = 4,
}

impl Compression {
    /// The method of this number in a file header.
    pub const fn from_number(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::None),
            1 => Some(Self::Lzo),
            2 => Some(Self::Bz2),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name that options use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lzo => "lzo",
            Self::Bz2 => "bz2",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A compression method and how hard it tries: what `-z=zstd:3` says.
///
/// Levels of zstd are its own. LZ4 has two ways: level 1, which is meant where none is given, compares
/// rows with each other; from 2 on it looks for repetition anywhere, which takes twice as long and
/// comes out an eighth smaller. Its blocks are read alike whatever the level was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    /// The method.
    pub method: Compression,
    /// The level asked for.
    pub level: Option<u8>,
}

impl Packing {
    /// Whether payloads are packed by rows, which can begin before all of them is there.
    pub(crate) fn is_by_rows(self) -> bool {
        self.method == Compression::Lz4 && self.level.is_none_or(|level| level < 2)
    }
}

impl From<Compression> for Packing {
    fn from(method: Compression) -> Self {
        Self { method, level: None }
    }
}

/// Text that names no compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression `{0}`: use none, lzo, bz2, lz4[:LEVEL] or zstd[:LEVEL], or 0 to 4")]
pub struct UnknownPacking(String);

impl FromStr for Packing {
    type Err = UnknownPacking;

    fn from_str(text: &str) -> Result<Self, UnknownPacking> {
        let unknown = || UnknownPacking(text.to_owned());
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level.parse::<u8>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        let (method, max_level) = match name {
            "none" | "0" => (Compression::None, 0),
            "lzo" | "1" => (Compression::Lzo, 0),
            "bz2" | "bzip2" | "2" => (Compression::Bz2, 0),
            "lz4" | "3" => (Compression::Lz4, 12),
            "zstd" | "4" => (Compression::Zstd, 19),
            _ => return Err(unknown()),
        };
        match level {
            Some(n) if n == 0 || n > max_level => Err(unknown()),
            _ => Ok(Self { method, level }),
        }
    }
}

/// Unpacks payloads into a buffer that it keeps.
#[derive(Default)]
pub(crate) struct Unpacker {
    buffer: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Unpacker {
    /// Room to begin with: a block of usual size. Nothing says how large a payload will be, so one
    /// that does not fit is unpacked again with more room, up to the limit.
    const USUAL: usize = 5 << 18;

    /// Unpacks one payload. `None` if it is damaged or larger than a payload may be.
    pub(crate) fn unpack(&mut self, method: Compression, packed: &[u8]) -> Option<&[u8]> {
        // The buffer may be larger than a payload of this layout: others share it.
        let mut room = self.buffer.len().clamp(Self::USUAL, MAX_PAYLOAD);
        loop {
            if self.buffer.len() < room {
                // A new buffer: what is in the old one need not be copied.
                self.buffer = Vec::new();
                self.buffer = vec![0; room];
            }
            match self.try_unpack(method, packed, room) {
                Ok(len) => return self.buffer.get(..len),
                Err(Failed::NoRoom) if room < MAX_PAYLOAD => room = (2 * room).min(MAX_PAYLOAD),
                Err(_) => return None,
            }
        }
    }

    /// Unpacks a payload whose length is known; `None` if it is damaged or of another length.
    pub(crate) fn unpack_to(
        &mut self,
        method: Compression,
        packed: &[u8],
        len: usize,
    ) -> Option<&[u8]> {
        if self.buffer.len() < len {
            self.buffer = Vec::new();
            self.buffer = vec![0; len.max(Self::USUAL)];
        }
        let done = self.try_unpack(method, packed, self.buffer.len()).ok()?;
        self.buffer.get(..len).filter(|_| done == len)
    }

    /// Unpacks into the first `room` octets of the buffer and returns the length.
    fn try_unpack(
        &mut self,
        method: Compression,
        packed: &[u8],
        room: usize,
    ) -> Result<usize, Failed> {
        let out = self.buffer.get_mut(..room).ok_or(Failed::NoRoom)?;
        match method {
            Compression::None => {
                let room = out.get_mut(..packed.len()).ok_or(Failed::NoRoom)?;
                room.copy_from_slice(packed);
                Ok(packed.len())
            }
            Compression::Lzo => lzo::decompress_into(packed, out).map_err(|e| match e {
                lzo::Error::OutputOverrun => Failed::NoRoom,
                _ => Failed::Damaged,
            }),
            Compression::Bz2 => unpack_bz2(packed, out),
            Compression::Lz4 => {
                lz4_flex::block::decompress_into(packed, out).map_err(|e| match e {
                    lz4_flex::block::DecompressError::OutputTooSmall { .. } => Failed::NoRoom,
                    _ => Failed::Damaged,
                })
            }
            Compression::Zstd => unpack_zstd(&mut self.zstd, packed, out),
        }
    }
}

fn unpack_zstd(
    zstd: &mut Option<zstd::bulk::Decompressor<'static>>,
    packed: &[u8],
    out: &mut [u8],
) -> Result<usize, Failed> {
    if zstd.is_none() {
        *zstd = Some(zstd::bulk::Decompressor::new().map_err(|_| Failed::Damaged)?);
    }
    let zstd = zstd.as_mut().ok_or(Failed::Damaged)?;
    zstd.decompress_to_buffer(packed, out).map_err(|_| {
        // The error is text only, but most frames say how long their content is.
        match zstd::zstd_safe::get_frame_content_size(packed) {
            Ok(Some(len)) if len <= out.len() as u64 => Failed::Damaged,
            Ok(_) => Failed::NoRoom,
            Err(_) => Failed::Damaged,
        }
    })
}

/// Why a payload was not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    /// It is longer than the room for it, as far as one can tell.
    NoRoom,
    /// More room will not help.
    Damaged,
}

fn unpack_bz2(packed: &[u8], out: &mut [u8]) -> Result<usize, Failed> {
    let mut decoder = bzip2::Decompress::new(false);
    // The whole input and all room for output are there, so one call either ends the stream or
    // never will.
    match decoder.decompress(packed, out) {
        Ok(bzip2::Status::StreamEnd) => {
            usize::try_from(decoder.total_out()).map_err(|_| Failed::Damaged)
        }
        Ok(_) if decoder.total_out() == out.len() as u64 => Err(Failed::NoRoom),
        _ => Err(Failed::Damaged),
    }
}

/// Packs payloads into a buffer that it keeps.
pub(crate) struct Packer {
    packing: Packing,
    state: State,
    out: Vec<u8>,
    /// Whether a part of the payload that comes next is packed already.
    is_begun: bool,
}

/// What each method keeps from block to block.
enum State {
    None,
    Lzo(Box<LzoEncoder>),
    Bz2,
    /// The first one for payloads of rows, if that was asked for.
    Lz4(Option<Box<RowEncoder>>, Lz4Encoder),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    /// Level for zstd where none is asked for: flow data come out as small as with 3, faster.
    const ZSTD_LEVEL: u8 = 1;

    /// # Errors
    /// If zstd cannot get memory.
    pub(crate) fn new(packing: Packing) -> io::Result<Self> {
        let state = match packing.method {
            Compression::None => State::None,
            Compression::Lzo => State::Lzo(Box::default()),
            Compression::Bz2 => State::Bz2,
            Compression::Lz4 => {
                State::Lz4(packing.is_by_rows().then(Box::default), Lz4Encoder::default())
            }
            Compression::Zstd => {
                let level = packing.level.unwrap_or(Self::ZSTD_LEVEL);
                State::Zstd(zstd::bulk::Compressor::new(i32::from(level))?)
            }
        };
        Ok(Self { packing, state, out: Vec::new(), is_begun: false })
    }

    pub(crate) const fn packing(&self) -> Packing {
        self.packing
    }

    /// Octets that no packed payload of `len` octets exceeds, whatever the method.
    pub(crate) const fn bound(len: usize) -> usize {
        len + len / 8 + 1024
    }

    /// Begins a payload of so many octets at most that is packed while it grows, into `out`, whose
    /// length says nothing. `false` if this method cannot: `out` is lost then.
    pub(crate) fn begin(&mut self, most: usize, out: Vec<u8>) -> bool {
        let State::Lz4(Some(rows), _) = &mut self.state else { return false };
        self.out = out;
        room(&mut self.out, Lz4Encoder::bound(most));
        rows.begin();
        self.is_begun = true;
        true
    }

    /// Packs what has come so far of a payload that was [begun](Self::begin), all of which is given
    /// with each call.
    pub(crate) fn go_on(&mut self, payload: &[u8]) {
        if let (State::Lz4(Some(rows), _), true) = (&mut self.state, self.is_begun) {
            rows.go_on(payload, &mut self.out);
        }
    }

    /// Packs a payload, or the rest of one that was [begun](Self::begin), and gives the buffer away.
    /// Returns it, and how many of its octets count.
    ///
    /// # Errors
    /// As [`pack`](Self::pack).
    pub(crate) fn finish(&mut self, payload: &[u8]) -> io::Result<(Vec<u8>, usize)> {
        let len = self.pack(payload)?.len();
        Ok((std::mem::take(&mut self.out), len))
    }

    /// Packs one payload into the front of `out`, whose length says nothing then, and returns how
    /// many octets count.
    ///
    /// # Errors
    /// As [`pack`](Self::pack).
    pub(crate) fn pack_in(&mut self, payload: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        std::mem::swap(&mut self.out, out);
        let len = self.pack(payload).map(<[u8]>::len);
        std::mem::swap(&mut self.out, out);
        len
    }

    /// Packs one payload; with no compression, hands it back.
    ///
    /// # Errors
    /// If zstd runs out of memory.
    pub(crate) fn pack<'a>(&'a mut self, payload: &'a [u8]) -> io::Result<&'a [u8]> {
        let out = &mut self.out;
        let is_begun = std::mem::take(&mut self.is_begun);
        let len = match &mut self.state {
            State::None => return Ok(payload),
            State::Lzo(encoder) => {
                out.clear();
                encoder.encode(payload, out);
                out.len()
            }
            State::Bz2 => {
                // Incompressible input grows by 1 % and 600 octets at most.
                let out = room(out, payload.len() + payload.len() / 100 + 600);
                pack_bz2(payload, out)?
            }
            State::Lz4(rows, encoder) => {
                let out = room(out, Lz4Encoder::bound(payload.len()));
                let len = rows.as_mut().and_then(|rows| {
                    if !is_begun {
                        rows.begin();
                    }
                    rows.finish(payload, out)
                });
                let len = len.or_else(|| encoder.encode(payload, out));
                len.ok_or_else(|| io::Error::other("LZ4 output exceeds its bound"))?
            }
            State::Zstd(encoder) => {
                let out = room(out, payload.len() + payload.len() / 128 + 1024);
                encoder.compress_to_buffer(payload, out)?
            }
        };
        Ok(self.out.get(..len).unwrap_or_default())
    }
}

/// At least `len` octets to write to, kept from block to block.
fn room(out: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if out.len() < len {
        out.resize(len, 0);
    }
    out
}

fn pack_bz2(payload: &[u8], out: &mut [u8]) -> io::Result<usize> {
    let mut encoder = bzip2::Compress::new(bzip2::Compression::best(), 0);
    match encoder.compress(payload, out, bzip2::Action::Finish) {
        Ok(bzip2::Status::StreamEnd) => {
            usize::try_from(encoder.total_out()).map_err(io::Error::other)
        }
        Ok(_) => Err(io::Error::other("bzip2 output exceeds its bound")),
        Err(e) => Err(io::Error::other(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Lzo,
        Compression::Bz2,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// Octets that compress by about half, the same each time.
    fn sample(len: usize) -> Vec<u8> {
        let mut x = 12345u32;
        (0..len)
            .map(|i| {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if i / 16 % 2 == 0 { (x >> 24) as u8 } else { 7 }
            })
            .collect()
    }

    #[test]
    fn every_method_round_trips() {
        for method in ALL {
            let mut packer = Packer::new(method.into()).unwrap();
            let mut unpacker = Unpacker::default();
            for len in [1, 3, 4, 5, 19, 20, 273, 4096, 70_000, 1 << 20, 2 << 20] {
                let want = sample(len);
                let packed = packer.pack(&want).unwrap().to_vec();
                assert_eq!(unpacker.unpack(method, &packed), Some(&*want), "{method} {len}");
            }
        }
    }

    #[test]
    fn output_beyond_a_payload_is_refused() {
        let zeros = vec![0; MAX_PAYLOAD + 1];
        for method in ALL {
            let mut packer = Packer::new(method.into()).unwrap();
            let mut unpacker = Unpacker::default();
            let packed = packer.pack(&zeros[..MAX_PAYLOAD]).unwrap().to_vec();
            assert!(unpacker.unpack(method, &packed).is_some(), "{method}");
            let packed = packer.pack(&zeros).unwrap().to_vec();
            assert_eq!(unpacker.unpack(method, &packed), None, "{method}");
        }
    }

    #[test]
    fn the_limit_holds_whatever_was_unpacked_before() {
        let zeros = vec![0; MAX_PAYLOAD + 1];
        for method in ALL {
            let packed = Packer::new(method.into()).unwrap().pack(&zeros).unwrap().to_vec();
            let mut unpacker = Unpacker::default();
            assert!(unpacker.unpack_to(method, &packed, zeros.len()).is_some(), "{method}");
            assert_eq!(unpacker.unpack(method, &packed), None, "{method}");
        }
    }

    #[test]
    fn damage_takes_no_more_room() {
        let want = sample(600);
        for method in ALL.into_iter().skip(1) {
            let mut packed = Packer::new(method.into()).unwrap().pack(&want).unwrap().to_vec();
            let mut unpacker = Unpacker::default();
            // Octets from the middle on, where none of the methods keeps how long the content is.
            for at in packed.len() / 2..packed.len() {
                packed[at] ^= 0xff;
                unpacker.unpack(method, &packed);
                assert_eq!(unpacker.buffer.len(), Unpacker::USUAL, "{method} {at}");
                packed[at] ^= 0xff;
            }
        }
    }

    #[test]
    fn cut_payloads_are_refused() {
        let want = sample(600);
        for method in ALL.into_iter().skip(1) {
            let mut packer = Packer::new(method.into()).unwrap();
            let mut unpacker = Unpacker::default();
            let packed = packer.pack(&want).unwrap().to_vec();
            for len in 1..packed.len() {
                // An LZ4 block has no end mark: cut at a sequence it is a shorter block.
                let got = unpacker.unpack(method, &packed[..len]);
                let is_shorter = got.is_some_and(|g| g.len() < want.len());
                assert!(
                    got.is_none() || method == Compression::Lz4 && is_shorter,
                    "{method} {len}"
                );
            }
        }
    }

    #[test]
    fn options_name_methods_and_levels() {
        for (text, method, level) in [
            ("none", Compression::None, None),
            ("0", Compression::None, None),
            ("lzo", Compression::Lzo, None),
            ("2", Compression::Bz2, None),
            ("bz2", Compression::Bz2, None),
            ("lz4", Compression::Lz4, None),
            ("lz4:9", Compression::Lz4, Some(9)),
            ("3", Compression::Lz4, None),
            ("zstd:19", Compression::Zstd, Some(19)),
            ("4", Compression::Zstd, None),
        ] {
            assert_eq!(text.parse(), Ok(Packing { method, level }), "{text}");
        }
        for text in ["", "5", "gzip", "lzo:3", "lz4:", "lz4:x", "zstd:0", "zstd:99", "LZ4"] {
            assert!(text.parse::<Packing>().is_err(), "{text}");
        }
        for n in 0..=255 {
            assert_eq!(Compression::from_number(n).is_some_and(|c| c as u8 == n), n <= 4);
        }
    }
}
