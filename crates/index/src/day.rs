//! The index of a day: a header and entries, one behind the other. Of several entries for one file
//! the last one counts.
//!
//! ```text
//! 8 octets `flowidx` and a line end  u16 version  u16 fields of the field table  u32 0
//! u64 XXH3 (seed 0) of the names of these fields  entries
//! ```
//!
//! What a crash has left behind the last whole entry is cut off by the next writer; readers pass
//! over it.

use crate::entry::{self, FIXED, Head};
use crate::error::IndexError;
use record::Field;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::side;
use twox_hash::XxHash3_64;

const MAGIC: &[u8; 8] = b"flowidx\n";
const VERSION: u16 = 2;
const HEADER: usize = 24;
/// Entries of a day at most: a file each second, and each of them again.
const ENTRIES: usize = 200_000;

/// The index of a day, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Day {
    pub(crate) file: Arc<File>,
    /// Heads by the name of their file, with their place.
    pub(crate) entries: HashMap<String, (u64, Arc<Head>)>,
}

/// Where the index of a day is.
pub(crate) fn path(base: &Path, day: &str) -> PathBuf {
    side::of_directory(base, &format!("index.{day}"))
}

impl Day {
    /// Opens an index; `None` if there is none that this version can read.
    pub(crate) fn open(base: &Path, day: &str) -> Option<Self> {
        let path = path(base, day);
        // A pipe would wait for a writer.
        path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let file = File::open(path).ok()?;
        let len = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        check(&file).ok()?.then_some(())?;
        let mut day = Self { file: Arc::new(file), entries: HashMap::new() };
        let mut at = HEADER as u64;
        while let Some((head, next)) = read_head(&day.file, at, len) {
            if let Some(head) = head {
                day.entries.insert(head.about.name.clone(), (at, Arc::new(head)));
                if day.entries.len() > ENTRIES {
                    break;
                }
            }
            at = next;
        }
        Some(day)
    }
}

/// Whether the header is ours and of this version.
fn check(file: &File) -> io::Result<bool> {
    let mut header = [0; HEADER];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(header == self::header()),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn header() -> [u8; HEADER] {
    let names: Vec<u8> =
        Field::ALL.iter().flat_map(|f| f.def().json.bytes().chain([b'\n'])).collect();
    let sum = XxHash3_64::oneshot(&names);
    let mut out = [0; HEADER];
    let parts = MAGIC.iter().copied();
    let numbers = [VERSION, Field::COUNT as u16, 0, 0].map(u16::to_le_bytes);
    let octets = parts.chain(numbers.into_iter().flatten()).chain(sum.to_le_bytes());
    out.iter_mut().zip(octets).for_each(|(room, octet)| *room = octet);
    out
}

/// The head at a place, `None` within if it is damaged, and where the next one is. `None` where
/// there is no whole entry.
fn read_head(file: &File, at: u64, len: u64) -> Option<(Option<Head>, u64)> {
    let mut octets = vec![0; FIXED];
    file.read_exact_at(&mut octets, at).ok()?;
    let (head_len, entry_len) = entry::lengths(&octets)?;
    let next = at.checked_add(entry_len).filter(|next| *next <= len)?;
    octets.resize(head_len, 0);
    file.read_exact_at(octets.get_mut(FIXED..)?, at + FIXED as u64).ok()?;
    Some((entry::decode(&octets), next))
}

/// Appends an entry to the index of a day, which is created if there is none, and made anew if
/// this version cannot read it.
///
/// # Errors
/// If it cannot be written. The index stays sound.
pub(crate) fn append(base: &Path, day: &str, entry: &[u8]) -> Result<(), IndexError> {
    let path = path(base, day);
    for _ in 0..ATTEMPTS {
        // Of a link or a pipe nobody knows where it leads.
        if path.symlink_metadata().is_ok_and(|m| !m.is_file()) {
            let source = io::Error::other("it is no file; remove it");
            return Err(IndexError::Io { what: "write", path, source });
        }
        let open =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open().map_err(IndexError::io("open", &path))?;
        // The lock goes with the file.
        file.lock().map_err(IndexError::io("lock", &path))?;
        let number = |m: std::fs::Metadata| (m.dev(), m.ino());
        let held = file.metadata().map_err(IndexError::io("read", &path))?;
        let is_new = held.len() == 0;
        if path.symlink_metadata().ok().map(number) != Some(number(held)) {
            continue; // somebody has removed it
        }
        if is_new || check(&file).map_err(IndexError::io("read", &path))? {
            return append_locked(&file, entry).map_err(IndexError::io("write", &path));
        }
        // Readers of the other version may be at it: they keep what they have.
        std::fs::remove_file(&path).map_err(IndexError::io("remove", &path))?;
    }
    let source = io::Error::other("others keep removing it; try again");
    Err(IndexError::Io { what: "write", path, source })
}

/// How often an index may go while it is opened.
const ATTEMPTS: usize = 8;

/// Behind the last whole entry of an index whose header is right, or that is empty.
fn append_locked(file: &File, entry: &[u8]) -> io::Result<()> {
    let mut len = file.metadata()?.len();
    if len == 0 {
        file.write_all_at(&header(), 0)?;
        len = HEADER as u64;
    }
    let mut end = HEADER as u64;
    let mut fixed = [0; FIXED];
    while file.read_exact_at(&mut fixed, end).is_ok() {
        let next = entry::lengths(&fixed).and_then(|(_, n)| end.checked_add(n));
        let Some(next) = next.filter(|next| *next <= len) else { break };
        end = next;
    }
    if end < len {
        file.set_len(end)?; // half an entry of somebody who crashed
    }
    file.write_all_at(entry, end).inspect_err(|_| {
        let _ = file.set_len(end);
    })
}
