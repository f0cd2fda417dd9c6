//! Records one after the other, from a file or a pipe.

use crate::error::Error;
use crate::header::Header;
use crate::layout::{self, Layout};
use crate::record::Record;
use flate2::bufread::ZlibDecoder;
use std::io::{BufReader, ErrorKind, Read};

/// The first two octets of a file.
pub const MAGIC: [u8; 2] = [0xcf, 0x10];

/// Reads the records of one file. Memory is bounded whatever the file says: a header of at most
/// 4 MiB, and two buffers.
///
/// A file that is not complete, because flow-capture still writes it or was killed, is read as far
/// as it goes: [`ending`](Self::ending) tells.
pub struct Reader<R> {
    input: Input<R>,
    header: Header,
    layout: &'static Layout,
    buffer: Box<[u8]>,
    /// Octets of the buffer that are to be read.
    from: usize,
    to: usize,
    records: u64,
    ending: Option<Ending>,
    /// After an error there is nothing more.
    has_failed: bool,
}

enum Input<R> {
    Plain(BufReader<R>),
    Packed(ZlibDecoder<BufReader<R>>),
}

/// How the records ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Records that were read.
    pub records: u64,
    /// Records that the header counts and that are not there.
    pub missing: u64,
    /// Octets of a record whose rest is not there.
    pub cut_octets: usize,
    /// The compressed stream breaks off.
    pub is_cut: bool,
    /// The writer never said that it was done: the header has no counts.
    pub is_open: bool,
    /// Something follows the compressed stream, and was not read.
    pub has_more: bool,
}

impl Ending {
    /// Whether everything is there that ever was.
    pub const fn is_whole(&self) -> bool {
        self.missing == 0 && self.cut_octets == 0 && !self.is_cut && !self.is_open && !self.has_more
    }
}

/// Octets that are unpacked at once.
const ROOM: usize = 1 << 16;

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If it is none, is cut, or has records that cannot be read.
    pub fn new(input: R) -> Result<Self, Error> {
        let mut input = BufReader::with_capacity(ROOM, input);
        let header = Header::read(&mut input)?;
        let layout = layout::of(&header)?;
        let input = match header.is_compressed() {
            true => Input::Packed(ZlibDecoder::new(input)),
            false => Input::Plain(input),
        };
        Ok(Self {
            input,
            header,
            layout,
            buffer: vec![0; ROOM].into(),
            from: 0,
            to: 0,
            records: 0,
            ending: None,
            has_failed: false,
        })
    }

    /// What stands before the records.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// How the records ended; `None` before they have.
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Records read so far.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Reads the next record into `record`. Returns whether there was one.
    ///
    /// # Errors
    /// If the input cannot be read, or compressed data is damaged. There is nothing more then.
    #[inline]
    pub fn read(&mut self, record: &mut Record) -> Result<bool, Error> {
        let len = self.layout.len;
        if self.to - self.from < len && !self.more()? {
            return Ok(false);
        }
        let Some(octets) = self.buffer.get(self.from..self.from + len) else { return Ok(false) };
        self.layout.decode(octets, self.header.byte_order, record);
        self.from += len;
        self.records += 1;
        Ok(true)
    }

    /// Brings a record's octets into the buffer. Returns whether they are there.
    fn more(&mut self) -> Result<bool, Error> {
        if self.ending.is_some() || self.has_failed {
            return Ok(false);
        }
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        while self.to < self.layout.len {
            let Some(room) = self.buffer.get_mut(self.to..) else { break };
            let read = match &mut self.input {
                Input::Plain(input) => input.read(room),
                Input::Packed(input) => input.read(room),
            };
            match read {
                Ok(0) => {
                    self.end(false);
                    return Ok(false);
                }
                Ok(n) => self.to += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof && self.is_packed() => {
                    self.end(true);
                    return Ok(false);
                }
                Err(source) => return self.fail(source),
            }
        }
        Ok(true)
    }

    fn fail(&mut self, source: std::io::Error) -> Result<bool, Error> {
        self.has_failed = true;
        let records = self.records;
        let is_data = matches!(source.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData);
        Err(match self.is_packed() && is_data {
            true => Error::Compressed { records, source },
            false => Error::Read { records, source },
        })
    }

    const fn is_packed(&self) -> bool {
        matches!(self.input, Input::Packed(_))
    }

    fn end(&mut self, is_cut: bool) {
        let header = &self.header;
        let has_more = match &mut self.input {
            Input::Packed(input) if !is_cut => {
                matches!(input.get_mut().read(&mut [0; 1]), Ok(1..))
            }
            _ => false,
        };
        let counted = header.flows.map_or(0, u64::from);
        self.ending = Some(Ending {
            records: self.records,
            missing: counted.saturating_sub(self.records),
            cut_octets: self.to - self.from,
            is_cut,
            // Streams never are done: nobody could write it into them.
            is_open: !header.is_done() && !header.is_streaming() && !header.is_preloaded(),
            has_more,
        });
    }
}

#[cfg(test)]
mod tests;
