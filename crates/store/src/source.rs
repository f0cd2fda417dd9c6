//! Where the octets of a file come from: a mapping if it is closed and not compressed, system calls
//! if blocks are to be unpacked anyway or someone may still be writing. Both answer alike.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use sys::map::Map;

/// An opened file.
#[derive(Debug)]
pub(crate) enum Source {
    /// Closed and not compressed: octets are borrowed from the page cache.
    Mapped(Map),
    /// Compressed, open, crashed or odd: octets are copied. A file that is cut short meanwhile gives an
    /// error here, where a mapping would end the process.
    Read(File),
}

impl Source {
    /// `len` octets at `offset`, in `buffer` if they have to be copied. Shorter at the end of the
    /// file.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn read<'a>(
        &'a self,
        offset: u64,
        len: usize,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        match self {
            Self::Mapped(map) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(map.len());
                let all = map.get(from..).unwrap_or_default();
                Ok(all.get(..len).unwrap_or(all))
            }
            Self::Read(file) => {
                if buffer.len() < len {
                    buffer.resize(len, 0);
                }
                let room = buffer.get_mut(..len).unwrap_or_default();
                let n = read_at(file, room, offset)?;
                Ok(room.get(..n).unwrap_or_default())
            }
        }
    }
}

/// Fills `room` from `offset`; less at the end of the file.
pub(crate) fn read_at(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(left) = room.get_mut(done..).filter(|r| !r.is_empty()) {
        match file.read_at(left, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn mapped_and_read_are_the_same() {
        let mut file = tempfile::tempfile().unwrap();
        let all: Vec<u8> = (0..10_000u32).map(|n| (n * 31) as u8).collect();
        file.write_all(&all).unwrap();
        let map = Source::Mapped(Map::open(&file).unwrap());
        let read = Source::Read(file);
        let (mut a, mut b) = (Vec::new(), vec![9; 20]);
        for (offset, len) in
            [(0, 10), (0, 10_000), (9_990, 10), (9_990, 11), (10_000, 5), (1 << 60, 5)]
        {
            let want = map.read(offset, len, &mut a).unwrap();
            assert_eq!(read.read(offset, len, &mut b).unwrap(), want, "{offset} {len}");
            let end = all.len().min(offset as usize + len);
            assert_eq!(want, all.get(offset as usize..end).unwrap_or_default());
        }
    }
}
