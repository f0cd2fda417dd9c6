//! `.nfstat`: what nfexpire keeps of a directory of flow files, limits and sums (file format, 12.6).
//!
//! The file is text, one `key=number` a line, and locked while somebody works on the directory. It
//! is shared with nfexpire: limits that one sets the other obeys, sums that one writes the other
//! shows.

use crate::error::StoreError;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Name of the file in the base directory of a source.
pub const NAME: &str = ".nfstat";

/// Watermark where none is set.
pub const DEFAULT_WATERMARK: u64 = 95;

/// What a file beyond this is, it is no `.nfstat`: nfexpire says so, too.
const MAX_LEN: u64 = 1 << 20;

/// Limits and sums of one directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NfStat {
    /// Start of the oldest slot, seconds since 1970.
    pub first: u64,
    /// Start of the newest slot, seconds since 1970.
    pub last: u64,
    /// Octets that the files take on disk: 512 for each of their blocks.
    pub size: u64,
    /// Octets that they may take, 0 for no limit.
    pub max_size: u64,
    /// How many files there are.
    pub files: u64,
    /// Seconds that the oldest may be old, 0 for no limit.
    pub max_life: u64,
    /// Percent of a limit to which a directory that exceeds it is reduced.
    pub watermark: u64,
    /// Whether the sums can be relied upon: 0 if so, 3 if they have to be made anew.
    pub status: u64,
}

/// [`NfStat::status`] of sums that hold.
pub const OK: u64 = 0;
/// [`NfStat::status`] of sums that have to be made anew.
pub const REBUILD: u64 = 3;

impl Default for NfStat {
    /// Nothing is known and nothing limited.
    fn default() -> Self {
        Self {
            first: 0,
            last: 0,
            size: 0,
            max_size: 0,
            files: 0,
            max_life: 0,
            watermark: DEFAULT_WATERMARK,
            status: REBUILD,
        }
    }
}

impl NfStat {
    /// Keys in the order of the file.
    const KEYS: [&str; 8] =
        ["first", "last", "size", "maxsize", "numfiles", "lifetime", "watermark", "status"];

    const fn values(&self) -> [u64; 8] {
        let Self { first, last, size, max_size, files, max_life, watermark, status } = *self;
        [first, last, size, max_size, files, max_life, watermark, status]
    }

    fn value_mut(&mut self, key: &str) -> Option<&mut u64> {
        let Self { first, last, size, max_size, files, max_life, watermark, status } = self;
        let values = [first, last, size, max_size, files, max_life, watermark, status];
        Self::KEYS.into_iter().zip(values).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Reads the text of a file. Lines that are not understood are passed over; sums that cannot be
    /// right are marked for a rebuild.
    pub fn parse(text: &str) -> Self {
        let mut stat = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.split_once('=') else { continue };
            if let (Some(place), Ok(value)) = (stat.value_mut(key.trim_end()), value.trim().parse())
            {
                *place = value;
            }
        }
        let is_odd = stat.first == 0
            || stat.first > stat.last
            || stat.status > REBUILD
            || stat.watermark > 100;
        if is_odd {
            stat.status = REBUILD;
        }
        stat
    }

    /// The text of a file.
    pub fn text(&self) -> String {
        let lines = Self::KEYS.iter().zip(self.values());
        lines.map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    /// The watermark that counts: 95 where none, or none that makes sense, is set.
    pub const fn effective_watermark(&self) -> u64 {
        match self.watermark {
            1..=100 => self.watermark,
            _ => DEFAULT_WATERMARK,
        }
    }

    /// Limits and sums of a directory as they are now, `None` if nobody keeps any.
    ///
    /// # Errors
    /// If there is a file that cannot be read.
    pub fn read(base: &Path) -> Result<Option<Self>, StoreError> {
        let path = base.join(NAME);
        match File::open(&path).and_then(|mut file| read(&mut file)) {
            Ok(stat) => Ok(Some(stat)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &path)(e)),
        }
    }
}

fn read(file: &mut File) -> io::Result<NfStat> {
    let mut octets = Vec::new();
    file.take(MAX_LEN + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX_LEN {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more than 1 MiB: remove it"));
    }
    Ok(NfStat::parse(&String::from_utf8_lossy(&octets)))
}

/// The `.nfstat` of a directory, locked until this is dropped: nfexpire waits as long.
#[derive(Debug)]
pub struct LockedStat {
    file: File,
    path: PathBuf,
    /// What it said when it was locked. Change it and [`write`](Self::write) it.
    pub stat: NfStat,
}

impl LockedStat {
    /// Opens and locks the file of a directory, waiting for whoever has it. It is made if there is
    /// none.
    ///
    /// # Errors
    /// If it cannot be opened, locked or read.
    pub fn open(base: &Path) -> Result<Self, StoreError> {
        let path = base.join(NAME);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let mut file = options.open(&path).map_err(StoreError::io("open", &path))?;
        sys::lock::lock_whole(&file).map_err(StoreError::io("lock", &path))?;
        let stat = read(&mut file).map_err(StoreError::io("read", &path))?;
        Ok(Self { file, path, stat })
    }

    /// Writes what [`stat`](Self::stat) says, in place: those who wait for the lock have the file
    /// open. Whoever dies in between leaves limits that can be read.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self) -> Result<(), StoreError> {
        let text = self.stat.text();
        let mut write = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(text.as_bytes())?;
            self.file.set_len(text.len() as u64)
        };
        write().map_err(StoreError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "first=1795168800\nlast=1795172400\nsize=16384\nmaxsize=102400\nnumfiles=4\n\
                        lifetime=86400\nwatermark=50\nstatus=0\n";

    const STAT: NfStat = NfStat {
        first: 1_795_168_800,
        last: 1_795_172_400,
        size: 16_384,
        max_size: 102_400,
        files: 4,
        max_life: 86_400,
        watermark: 50,
        status: OK,
    };

    #[test]
    fn text_and_numbers() {
        assert_eq!(NfStat::parse(TEXT), STAT);
        assert_eq!(STAT.text(), TEXT);
    }

    #[test]
    fn what_is_odd_is_passed_over_and_rebuilt() {
        let with = |from: &str, to: &str| NfStat::parse(&TEXT.replace(from, to));
        for (name, got, want) in [
            ("comment", with("\nsize", "\n# about\nsize"), STAT),
            ("unknown key", with("\nsize", "\ncolour=3\nsize"), STAT),
            ("no value", with("\nsize=", "\nsizes\nsize="), STAT),
            ("blanks", with("maxsize=", "maxsize = "), STAT),
            ("no number", with("maxsize=102400", "maxsize=x"), NfStat { max_size: 0, ..STAT }),
            (
                "no files yet",
                with("first=1795168800", "first=0"),
                NfStat { first: 0, status: 3, ..STAT },
            ),
            (
                "out of order",
                with("last=1795172400", "last=7"),
                NfStat { last: 7, status: 3, ..STAT },
            ),
            (
                "watermark",
                with("watermark=50", "watermark=101"),
                NfStat { watermark: 101, status: 3, ..STAT },
            ),
            ("status", with("status=0", "status=9"), NfStat { status: 3, ..STAT }),
            ("no status", with("status=0\n", ""), NfStat { status: 3, ..STAT }),
            ("nothing", NfStat::parse(""), NfStat::default()),
        ] {
            assert_eq!(got, want, "{name}");
        }
        for (watermark, want) in [(0, 95), (1, 1), (100, 100), (101, 95), (u64::MAX, 95)] {
            assert_eq!(NfStat { watermark, ..STAT }.effective_watermark(), want);
        }
    }

    #[test]
    fn cut_at_each_octet() {
        for len in 0..TEXT.len() {
            let stat = NfStat::parse(&TEXT[..len]);
            assert!(stat.max_size <= STAT.max_size && stat.max_life <= STAT.max_life, "{len}");
            let is_whole = len >= TEXT.len() - 1;
            assert_eq!(stat.status == OK, is_whole, "{len}");
        }
    }

    #[test]
    fn written_in_place_and_shorter_than_before() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(NfStat::read(dir.path()).unwrap(), None);
        let mut locked = LockedStat::open(dir.path()).unwrap();
        assert_eq!(locked.stat, NfStat::default());
        for stat in [STAT, NfStat { size: 1, ..STAT }] {
            locked.stat = stat;
            locked.write().unwrap();
            let text = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
            assert_eq!(text, stat.text());
        }
        std::fs::write(dir.path().join(NAME), vec![b'x'; MAX_LEN as usize + 1]).unwrap();
        assert!(NfStat::read(dir.path()).is_err());
    }
}
