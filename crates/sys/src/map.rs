//! Read-only mapping of finished files.
//!
//! A mapping shows the file as it is, not as it was: whoever maps a file relies on nobody changing
//! it meanwhile. Flow files are finished once and then replaced by renaming, never rewritten, so
//! `store` maps closed ones and reads growing ones through system calls.

use std::fs::File;
use std::io;
use std::ops::Deref;

/// The octets of a file, mapped for reading. Unmapped when dropped.
#[derive(Debug)]
pub struct Map(memmap2::Mmap);

impl Map {
    /// Maps all of `file`, which has to be finished: a regular file that no one writes to or cuts
    /// short while the mapping lives. Should someone do so all the same, octets may change between
    /// two looks, and touching pages beyond the new end ends the process with SIGBUS.
    ///
    /// # Errors
    /// The kernel's, for example for a directory or a pipe.
    pub fn open(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is private to this struct and read-only, so nothing in this process
        // writes to it. That no other process does is the contract above, which callers keep by
        // mapping only files whose header says they were closed. Readers of the octets take them
        // as untrusted input: every length in them is checked at each use.
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(map))
    }

    /// Tells the kernel that the octets will be read in order, so that it reads ahead. Where it
    /// does not care, nothing is lost.
    pub fn read_ahead(&self) {
        let _ = self.0.advise(memmap2::Advice::Sequential);
    }
}

impl Deref for Map {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn shows_what_the_file_holds() {
        for len in [0, 1, 4095, 4096, 4097, 100_000] {
            let want: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&want).unwrap();
            let map = Map::open(&file).unwrap();
            map.read_ahead();
            assert_eq!(&*map, want, "length {len}");
        }
    }

    #[test]
    fn outlives_the_file_handle_and_the_name() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"flows").unwrap();
        let map = Map::open(file.as_file()).unwrap();
        drop(file);
        assert_eq!(&*map, b"flows");
    }

    #[test]
    fn a_directory_cannot_be_mapped() {
        assert!(Map::open(&File::open("/").unwrap()).is_err());
    }
}
