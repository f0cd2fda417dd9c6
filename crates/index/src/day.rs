//! The index of a day: a header and entries, one behind the other, and groups (group.rs) behind the
//! entries of their files. Of several entries for one file the last one counts.
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
use crate::group::{self, Draft, Group, Member, OpenGroup, TAIL};
use record::Field;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use store::side;
use twox_hash::XxHash3_64;

const MAGIC: &[u8; 8] = b"flowidx\n";
const VERSION: u16 = 3;
const HEADER: usize = 24;
/// Entries of a day at most: a file each second, and each of them again.
const ENTRIES: usize = 200_000;

/// The index of a day, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Day {
    pub(crate) file: Arc<File>,
    /// Entries by the name of their file.
    pub(crate) entries: HashMap<String, Arc<Listed>>,
}

/// An entry as it is listed: by its group, or by its own head.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) member: Member,
    pub(crate) group: Option<Arc<OpenGroup>>,
    head: OnceLock<Option<Head>>,
}

impl Listed {
    /// Its head, read where that has not been; `None` if it is damaged.
    pub(crate) fn head(&self, file: &File) -> Option<&Head> {
        let read = || {
            let len = (self.member.head_len as usize).min(entry::MOST);
            let mut octets = vec![0; len];
            file.read_exact_at(&mut octets, self.member.at).ok()?;
            entry::decode(&octets).filter(|head| head.about == self.member.about)
        };
        self.head.get_or_init(read).as_ref()
    }
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
        // Groups lead from the end to what has none; that is read entry by entry.
        let mut end = len;
        while let Some((at, group)) = read_group(&day.file, end) {
            end = group.from;
            day.list_group(at, group);
        }
        let mut at = HEADER as u64;
        while at < end
            && let Some((head, next)) = read_head(&day.file, at, end)
        {
            if let Some(head) = head {
                day.list(member_of(&head, at), None, OnceLock::from(Some(head)));
            }
            at = next;
        }
        Some(day)
    }

    fn list_group(&mut self, at: u64, mut group: Group) {
        let members = std::mem::take(&mut group.members);
        let group = Arc::new(OpenGroup::new(group, at));
        for member in members {
            self.list(member, Some(Arc::clone(&group)), OnceLock::new());
        }
    }

    fn list(
        &mut self,
        member: Member,
        group: Option<Arc<OpenGroup>>,
        head: OnceLock<Option<Head>>,
    ) {
        if self.entries.len() > ENTRIES {
            return;
        }
        let name = member.about.name.clone();
        // The last one counts.
        if self.entries.get(&name).is_none_or(|known| known.member.at < member.at) {
            self.entries.insert(name, Arc::new(Listed { member, group, head }));
        }
    }
}

fn member_of(head: &Head, at: u64) -> Member {
    Member {
        about: head.about.clone(),
        at,
        head_len: head.len as u32,
        entry_len: head.entry_len,
        rows: head.whole.known.rows,
        blocks: head.blocks,
    }
}

/// The group that ends there, and where it begins.
fn read_group(file: &File, end: u64) -> Option<(u64, Group)> {
    let mut tail = [0; TAIL];
    file.read_exact_at(&mut tail, end.checked_sub(TAIL as u64)?).ok()?;
    let all = group::of_tail(&tail)?;
    let at = end.checked_sub(all).filter(|at| *at >= HEADER as u64)?;
    let mut octets = vec![0; FIXED];
    file.read_exact_at(&mut octets, at).ok()?;
    let (len, again) = group::lengths(&octets)?;
    if again != all || len < FIXED {
        return None;
    }
    octets.resize(len, 0);
    file.read_exact_at(octets.get_mut(FIXED..)?, at + FIXED as u64).ok()?;
    // Each group takes the end closer to the beginning.
    let group = group::decode(&octets).filter(|g| (HEADER as u64..=at).contains(&g.from))?;
    Some((at, group))
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
    let (_, entry_len) = lengths(&octets)?;
    let next = at.checked_add(entry_len).filter(|next| *next <= len)?;
    let Some((head_len, _)) = entry::lengths(&octets) else { return Some((None, next)) };
    octets.resize(head_len, 0);
    file.read_exact_at(octets.get_mut(FIXED..)?, at + FIXED as u64).ok()?;
    Some((entry::decode(&octets), next))
}

/// Octets of the head and of the whole of an entry or a group.
fn lengths(fixed: &[u8]) -> Option<(usize, u64)> {
    entry::lengths(fixed).or_else(|| group::lengths(fixed))
}

/// Appends an entry to the index of a day, which is created if there is none, and made anew if
/// this version cannot read it. Returns its place.
///
/// # Errors
/// If it cannot be written. The index stays sound.
pub(crate) fn append(base: &Path, day: &str, entry: &[u8]) -> Result<u64, IndexError> {
    with_locked(base, day, |file| {
        let end = end_of(file, |_, _| {})?;
        put(file, end, entry)
    })
}

/// Appends a group behind the entries of its files. Those that are not there any more are left out
/// of it.
///
/// # Errors
/// If it cannot be written. The index stays sound.
pub(crate) fn append_group(base: &Path, day: &str, draft: &mut Draft) -> Result<(), IndexError> {
    with_locked(base, day, |file| {
        let len = file.metadata()?.len();
        draft.members.retain(|member| {
            let there = read_head(file, member.at, len).and_then(|(head, _)| head);
            there.is_some_and(|head| member_of(&head, member.at) == *member)
        });
        let places: HashSet<u64> = draft.members.iter().map(|member| member.at).collect();
        let mut from = HEADER as u64;
        let end = end_of(file, |at, next| {
            if !places.contains(&at) {
                from = next; // somebody else's, or a group
            }
        })?;
        draft.members.retain(|member| member.at >= from);
        match draft.encode(from) {
            // Also of one file: without a group at the end, nobody finds those before it.
            Some(group) if !draft.members.is_empty() => put(file, end, &group).map(|_| ()),
            _ => Ok(()),
        }
    })
}

fn with_locked<T>(
    base: &Path,
    day: &str,
    work: impl FnOnce(&File) -> io::Result<T>,
) -> Result<T, IndexError> {
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
            return work(&file).map_err(IndexError::io("write", &path));
        }
        // Readers of the other version may be at it: they keep what they have.
        std::fs::remove_file(&path).map_err(IndexError::io("remove", &path))?;
    }
    let source = io::Error::other("others keep removing it; try again");
    Err(IndexError::Io { what: "write", path, source })
}

/// How often an index may go while it is opened.
const ATTEMPTS: usize = 8;

/// Where the last whole entry ends, of an index whose header is right, or that is empty. Calls with
/// the beginning and end of each.
fn end_of(file: &File, mut each: impl FnMut(u64, u64)) -> io::Result<u64> {
    let mut len = file.metadata()?.len();
    if len == 0 {
        file.write_all_at(&header(), 0)?;
        len = HEADER as u64;
    }
    let mut end = HEADER as u64;
    let mut fixed = [0; FIXED];
    while file.read_exact_at(&mut fixed, end).is_ok() {
        let next = lengths(&fixed).and_then(|(_, n)| end.checked_add(n));
        let Some(next) = next.filter(|next| *next <= len) else { break };
        each(end, next);
        end = next;
    }
    Ok(end)
}

/// Puts an entry behind the last whole one, and returns its place.
fn put(file: &File, end: u64, entry: &[u8]) -> io::Result<u64> {
    if end < file.metadata()?.len() {
        file.set_len(end)?; // half an entry of somebody who crashed
    }
    file.write_all_at(entry, end).inspect_err(|_| {
        let _ = file.set_len(end);
    })?;
    Ok(end)
}
