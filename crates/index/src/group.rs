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
//!          of each: u64 place  u32 octets of its head  u64 octets of its entry  u64 size and u64 time
//!          of the file  u64 first and u64 last time, or all ones and 0  u64 rows  u32 blocks
//!          u16 name  u16 ident (octets)  name  ident
//!          section of all files (entry.rs), without blocks
//!          u64 XXH3 (seed 0) of all before
//! data     ports and sets
//! tail     u64 octets of the group  8 octets `flowday` and a line end
//! ```

use crate::entry::{About, NEVER, Section};
use crate::input::Input;
use crate::keys::FileKeys;
use crate::known::Known;
use crate::pages::{Density, Shape};
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
/// Octets of a file without its names.
const MEMBER: usize = 68;
/// What addresses of a group take: a wrong yes costs a look at each of its files.
const OF_GROUP: Density = Density { bits: 16, net: 4, own: 5 };
/// Files of a group at most: a file each 20 seconds.
const FILES: usize = 4320;

/// A file, as a group has it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    keys: FileKeys,
}

impl Draft {
    /// Takes a file.
    pub(crate) fn add(&mut self, member: Member, known: &Known, keys: &FileKeys) {
        self.members.push(member);
        self.known.absorb(known);
        match keys.count() {
            Some(_) => self.keys.extend(keys.all()),
            None => self.keys.give_up(),
        }
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
        self.members.iter().try_for_each(|member| member.encode(&mut out))?;
        let shape = self.keys.count().map(|count| Shape::of(count, OF_GROUP)).unwrap_or_default();
        let mut data = Vec::new();
        let known = self.known.clone();
        Section::put(0..0, known, shape, &mut data, self.keys.all()).encode(&mut out);
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
    fn encode(&self, out: &mut Vec<u8>) -> Option<()> {
        let (first, last) = self.about.window.unwrap_or(NEVER);
        out.extend(self.at.to_le_bytes());
        out.extend(self.head_len.to_le_bytes());
        for n in [self.entry_len, self.about.size, self.about.modified_ns, first, last, self.rows] {
            out.extend(n.to_le_bytes());
        }
        out.extend(self.blocks.to_le_bytes());
        for text in [&self.about.name, &self.about.ident] {
            out.extend(u16::try_from(text.len()).ok()?.to_le_bytes());
        }
        out.extend(self.about.name.as_bytes());
        out.extend(self.about.ident.as_bytes());
        Some(())
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (at, head_len, entry_len) = (input.u64()?, input.u32()?, input.u64()?);
        let (size, modified_ns) = (input.u64()?, input.u64()?);
        let window = Some((input.u64()?, input.u64()?)).filter(|times| *times != NEVER);
        let (rows, blocks) = (input.u64()?, input.u32()?);
        let (name, ident) = (input.u16()?, input.u16()?);
        let mut text = |len: u16| {
            let octets = input.take(len.into())?;
            std::str::from_utf8(octets).ok().map(str::to_owned)
        };
        let about = About { name: text(name)?, size, modified_ns, ident: text(ident)?, window };
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
    let members = (0..count).map(|_| Member::decode(&mut input)).collect::<Option<Vec<_>>>()?;
    let section = Section::decode(&mut input, all - len as u64)?;
    input.0.is_empty().then_some(Group { from, members, section, len: len as u64 })
}
