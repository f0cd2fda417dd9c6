//! A window over a stream: as many octets at once as asked for, with their offset.
//!
//! Files are read, too, not mapped. Reading copies octets into memory that the processor has near, one
//! after the other; in a map each packet of a large file is a look into memory that is far, and
//! costs twice as much from there to the flow.

use std::io::{self, Read};

use crate::Error;

/// Octets asked for at once.
const CHUNK: usize = 256 << 10;

/// What of a stream is in memory. Grows to the longest piece that was asked for and found: a length
/// that lies costs no more than there is to read.
pub(crate) struct Window {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of `start` in the stream.
    offset: u64,
    ended: bool,
    cut: bool,
}

impl Window {
    pub(crate) fn new(input: Box<dyn Read + Send>) -> Self {
        let buffer = vec![0; CHUNK];
        Self { input, buffer, start: 0, end: 0, offset: 0, ended: false, cut: false }
    }

    /// Offset of the next octet.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether it came out of a compressed stream that ends before its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Octets that are there and not consumed.
    #[inline]
    pub(crate) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The next `len` octets, not consumed; `None` if the stream ends before.
    #[inline]
    pub(crate) fn peek(&mut self, len: usize) -> Result<Option<&[u8]>, Error> {
        if self.end - self.start < len && !self.fill(len)? {
            return Ok(None);
        }
        Ok(self.buffer.get(self.start..self.start + len))
    }

    /// Goes past octets that [`peek`](Self::peek) has shown.
    #[inline]
    pub(crate) fn consume(&mut self, len: usize) {
        let len = len.min(self.end - self.start);
        self.start += len;
        self.offset += len as u64;
    }

    /// Consumes `before`, `len` and `after` octets that [`peek`](Self::peek) has shown together, and
    /// gives those in the middle.
    #[inline]
    pub(crate) fn take(&mut self, before: usize, len: usize, after: usize) -> &[u8] {
        let at = self.start + before;
        self.consume(before + len + after);
        self.buffer.get(at..at + len).unwrap_or_default()
    }

    /// Goes past `len` octets, which need not fit into memory. How many were missing.
    pub(crate) fn skip(&mut self, mut len: u64) -> Result<u64, Error> {
        loop {
            let have = (self.end - self.start) as u64;
            if have >= len {
                self.consume(len as usize);
                return Ok(0);
            }
            self.consume(have as usize);
            len -= have;
            if !self.fill(1)? {
                return Ok(len);
            }
        }
    }

    /// Whether `len` octets could be had.
    #[cold]
    fn fill(&mut self, len: usize) -> Result<bool, Error> {
        let Self { input, buffer, .. } = self;
        buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < len && !self.ended {
            if self.end == buffer.len() {
                buffer.resize(2 * buffer.len(), 0);
            }
            let room = buffer.get_mut(self.end..).unwrap_or_default();
            match input.read(room) {
                Ok(0) => self.ended = true,
                Ok(n) => self.end += n.min(room.len()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // How a compressed stream that was cut ends: what is whole is still delivered.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    (self.ended, self.cut) = (true, true);
                }
                Err(source) => {
                    return Err(Error::Read { at: self.offset + self.end as u64, source });
                }
            }
        }
        Ok(self.end >= len)
    }
}

/// Octets of a header that are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Which end of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Big,
    Little,
}

impl Order {
    /// The number of two octets at `at`, 0 beyond the end.
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(array(bytes, at)),
            Self::Little => u16::from_le_bytes(array(bytes, at)),
        }
    }

    /// The number of four octets at `at`, 0 beyond the end.
    #[inline]
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(array(bytes, at)),
            Self::Little => u32::from_le_bytes(array(bytes, at)),
        }
    }

    pub(crate) fn i64(self, bytes: &[u8], at: usize) -> i64 {
        match self {
            Self::Big => i64::from_be_bytes(array(bytes, at)),
            Self::Little => i64::from_le_bytes(array(bytes, at)),
        }
    }
}
