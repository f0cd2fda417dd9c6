//! What is known about many files of a day together, so that one look spares all of them.
//!
//! A group stands in the index of its day behind the entries of its files, and says of each what its
//! head says, so that nobody reads these heads of files that are not wanted. It is an entry of its own
//! kind, and the last octets of it lead readers from the end of the index to its beginning.
//!
//! ```text
//! head     u32 magic  u32 octets of the head  u64 octets of the group
//!          u64 place in the index from which on all entries up to here are of its files
//!          u32 files
//!          of each, as numbers of input.rs: place  octets of its head, and of its entry  size of the
//!          file  when it was last written less that of the file before (modulo 2^64)  first time and
//!          last less first, or all ones and 1 (modulo 2^64)  rows  blocks
//!          octets of the name that are those of the file before  octets of the others, and these
//!          1 plus octets of the ident, and these, or 0 if it is that of the file before
//!          section of all files (entry.rs), without blocks
//!          u64 XXH3 (seed 0) of all before
//! data     ports and sets
//! tail     u64 octets of the group  8 octets `flowday` and a line end
//! ```

use crate::entry::{About, NEVER, Section};
use crate::input::{Input, put};
use crate::keys::{FileKeys, GroupKeys};
use crate::known::Known;
use crate::ports::Ports;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use twox_hash::XxHash3_64;

/// `FDAY`.
pub(crate) const MAGIC: u32 = 0x5941_4446;
/// Octets of the tail.
pub(crate) const TAIL: usize = 16;
const TAIL_MAGIC: &[u8; 8] = b"flowday\n";
/// Octets of a head at most.
const MOST: usize = 64 << 20;
/// Octets of a file at least.
const MEMBER: usize = 12;
/// Octets of a name that are taken from the one before at most, so that few octets make no long list.
const SAME: usize = 64;
/// Files of a group at most: a file each 20 seconds.
const FILES: usize = 4320;

/// A file, as a group has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) about: About,
    /// Where its entry is in the index, the octets of its head, and of the whole.
    pub(crate) at: u64,
    pub(crate) head_len: u32,
    pub(crate) entry_len: u64,
    pub(crate) rows: u64,
    pub(crate) blocks: u32,
}

/// A group on its way.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) members: Vec<Member>,
    known: Known,
    keys: GroupKeys,
}

impl Draft {
    /// Takes a file.
    pub(crate) fn add(&mut self, member: Member, known: &Known, keys: &FileKeys) {
        self.members.push(member);
        self.known.absorb(known);
        self.keys.extend(keys.count().map(|_| keys.all()));
    }

    /// Whether it should be written before it takes another file.
    pub(crate) fn is_full(&self) -> bool {
        const KEYS: usize = 1 << 20;
        self.members.len() >= FILES || self.keys.count().is_none_or(|count| count > KEYS)
    }

    /// Octets that it takes, about.
    pub(crate) const fn octets(&self) -> usize {
        self.keys.octets() + 256 * self.members.len()
    }

    /// Its octets; `from` is where its part of the index begins.
    pub(crate) fn encode(&self, from: u64) -> Option<Vec<u8>> {
        let mut out = vec![0; 16];
        out.extend(from.to_le_bytes());
        out.extend(u32::try_from(self.members.len()).ok()?.to_le_bytes());
        let mut last = &Member::default();
        for member in &self.members {
            member.encode(last, &mut out);
            last = member;
        }
        let mut data = Vec::new();
        Section::put(0..0, self.known.clone(), &mut data, |data| self.keys.encode(data))
            .encode(&mut out);
        let len = out.len() + 8;
        let all = (len + data.len() + TAIL) as u64;
        let start = [&MAGIC.to_le_bytes()[..], &u32::try_from(len).ok()?.to_le_bytes()].concat();
        for (room, octet) in out.iter_mut().zip(start.into_iter().chain(all.to_le_bytes())) {
            *room = octet;
        }
        out.extend(XxHash3_64::oneshot(&out).to_le_bytes());
        out.extend(data);
        out.extend(all.to_le_bytes());
        out.extend(TAIL_MAGIC);
        (len <= MOST).then_some(out)
    }
}

impl Member {
    /// Appends it. `last` is the file before it.
    fn encode(&self, last: &Self, out: &mut Vec<u8>) {
        let (first, until) = self.about.window.unwrap_or(NEVER);
        for n in [
            self.at,
            self.head_len.into(),
            self.entry_len,
            self.about.size,
            self.about.modified_ns.wrapping_sub(last.about.modified_ns),
            first,
            until.wrapping_sub(first),
            self.rows,
            self.blocks.into(),
        ] {
            put(n, out);
        }
        let (name, before) = (self.about.name.as_bytes(), last.about.name.as_bytes());
        let same = name.iter().zip(before).take_while(|(a, b)| a == b).take(SAME).count();
        let rest = name.get(same..).unwrap_or_default();
        put(same as u64, out);
        put(rest.len() as u64, out);
        out.extend(rest);
        match self.about.ident == last.about.ident {
            true => out.push(0),
            false => {
                put(self.about.ident.len() as u64 + 1, out);
                out.extend(self.about.ident.as_bytes());
            }
        }
    }

    fn decode(last: &Self, input: &mut Input<'_>) -> Option<Self> {
        let (at, head_len, entry_len) = (input.number()?, input.short()?, input.number()?);
        let size = input.number()?;
        let modified_ns = last.about.modified_ns.wrapping_add(input.number()?);
        let first = input.number()?;
        let window = Some((first, first.wrapping_add(input.number()?))).filter(|w| *w != NEVER);
        let (rows, blocks) = (input.number()?, input.short()?);
        let same = Some(input.short()? as usize).filter(|len| *len <= SAME)?;
        let same = last.about.name.as_bytes().get(..same)?;
        let len = input.short()? as usize;
        let name = String::from_utf8([same, input.take(len)?].concat()).ok()?;
        let ident = match input.short()?.checked_sub(1) {
            None => last.about.ident.clone(),
            Some(len) => str::from_utf8(input.take(len as usize)?).ok()?.to_owned(),
        };
        let about = About { name, size, modified_ns, ident, window };
        Some(Self { about, at, head_len, entry_len, rows, blocks })
    }
}

/// The head of a group that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) from: u64,
    pub(crate) members: Vec<Member>,
    pub(crate) section: Section,
    /// Octets of the head.
    pub(crate) len: u64,
}

/// A group in an index, and what was read of it lately: each of its files asks the same.
#[derive(Debug)]
pub(crate) struct OpenGroup {
    pub(crate) section: Section,
    /// Where its ports and sets are.
    pub(crate) data_at: u64,
    pub(crate) ports: OnceLock<Option<Ports>>,
    pages: Mutex<HashMap<u64, Option<Arc<[u8]>>>>,
}

impl OpenGroup {
    pub(crate) fn new(group: Group, at: u64) -> Self {
        let data_at = at.saturating_add(group.len);
        let (ports, pages) = (OnceLock::new(), Mutex::default());
        Self { section: group.section, data_at, ports, pages }
    }

    /// A page, read once as long as few are asked for.
    pub(crate) fn page(
        &self,
        at: u64,
        read: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Option<Arc<[u8]>> {
        const PAGES: usize = 64;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= PAGES && !pages.contains_key(&at) {
            pages.clear();
        }
        pages.entry(at).or_insert_with(|| read().map(Arc::from)).clone()
    }
}

/// Octets of the group that ends with this tail.
pub(crate) fn of_tail(tail: &[u8]) -> Option<u64> {
    let (len, magic) = tail.split_last_chunk::<8>()?;
    (magic == TAIL_MAGIC).then_some(u64::from_le_bytes(len.try_into().ok()?))
}

/// Octets of the head and of the group that begin with these octets.
pub(crate) fn lengths(fixed: &[u8]) -> Option<(usize, u64)> {
    let mut input = Input(fixed);
    let (magic, len, all) = (input.u32()?, input.u32()? as usize, input.u64()?);
    let is_sound = magic == MAGIC && len <= MOST && all >= (len + TAIL) as u64 && len >= 36;
    is_sound.then_some((len, all))
}

/// Reads a head.
pub(crate) fn decode(octets: &[u8]) -> Option<Group> {
    let (len, all) = lengths(octets)?;
    let (body, sum) = octets.split_last_chunk::<8>()?;
    if octets.len() != len || XxHash3_64::oneshot(body).to_le_bytes() != *sum {
        return None;
    }
    let mut input = Input(body.get(16..)?);
    let (from, count) = (input.u64()?, input.u32()? as usize);
    if count > body.len() / MEMBER {
        return None;
    }
    let mut members: Vec<Member> = Vec::with_capacity(count);
    for _ in 0..count {
        let first = Member::default();
        let member = Member::decode(members.last().unwrap_or(&first), &mut input)?;
        members.push(member);
    }
    let section = Section::decode(&mut input, 0, all - len as u64)?;
    input.0.is_empty().then_some(Group { from, members, section, len: len as u64 })
}
