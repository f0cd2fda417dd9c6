//! Which blocks of a file a question has to read.

use crate::build::Finished;
use crate::day::{Day, Listed};
use crate::entry::{Head, Section};
use crate::group::OpenGroup;
use crate::key::{Role, net_bits};
use crate::pages;
use crate::ports::Ports;
use filter::{Digest, Filter};
use record::{Addr, Field};
use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::side;

/// Levels between a flow file and the directory of its collector.
pub(crate) const LEVELS: usize = 5;

/// Finds what is known about flow files.
#[derive(Debug, Default)]
pub struct Index {
    days: HashMap<(PathBuf, String), Option<Arc<Day>>>,
}

/// What is known about a flow file.
#[derive(Clone, Debug)]
pub struct Entry {
    file: Arc<File>,
    listed: Arc<Listed>,
}

/// What has to be read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: no row can pass.
    Nothing,
    /// Some blocks.
    Some {
        /// Which, in order.
        blocks: Vec<u32>,
        /// Rows of the others.
        rows_left_out: u64,
    },
    /// Everything.
    All,
}

impl Index {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known about a file as it is now: `None` if there is no index, or one of an earlier
    /// state of the file.
    pub fn of(&mut self, path: &Path) -> Option<Entry> {
        let day = side::day_in_name(path.file_name()?.to_str()?)?;
        let metadata = path.metadata().ok()?;
        let mut name = path.file_name()?.to_str()?.to_owned();
        let mut base = path.parent()?;
        for _ in 0..=LEVELS {
            if let Some(entry) = self.day(base, day).and_then(|d| of_name(&d, &name)) {
                return entry.is_about(&metadata).then_some(entry);
            }
            name = format!("{}/{name}", base.file_name()?.to_str()?);
            base = base.parent()?;
        }
        None
    }

    fn day(&mut self, base: &Path, day: &str) -> Option<Arc<Day>> {
        // An empty parent is the directory at hand.
        let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
        let key = (base.to_owned(), day.to_owned());
        self.days.entry(key).or_insert_with(|| Day::open(base, day).map(Arc::new)).clone()
    }
}

fn of_name(day: &Day, name: &str) -> Option<Entry> {
    let listed = Arc::clone(day.entries.get(name)?);
    Some(Entry { file: Arc::clone(&day.file), listed })
}

/// When a file was last written, nanoseconds since 1970.
pub(crate) fn modified_ns(metadata: &std::fs::Metadata) -> u64 {
    let (secs, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    (secs as u64).wrapping_mul(1_000_000_000).wrapping_add(nanos as u64)
}

impl Entry {
    /// Whether it is about the state of the file that has this metadata.
    pub fn is_about(&self, metadata: &std::fs::Metadata) -> bool {
        let about = &self.listed.member.about;
        about.size == metadata.len() && about.modified_ns == modified_ns(metadata)
    }

    /// Rows of the file.
    pub fn rows(&self) -> u64 {
        self.listed.member.rows
    }

    /// Blocks of the file.
    pub fn blocks(&self) -> u32 {
        self.listed.member.blocks
    }

    /// The name of the file's source.
    pub fn ident(&self) -> &str {
        &self.listed.member.about.ident
    }

    /// First and last time that the file's statistics tell, milliseconds since 1970.
    pub fn window(&self) -> Option<(u64, u64)> {
        self.listed.member.about.window
    }

    /// What has to be read for rows that pass all these filters. Stretches that say something about
    /// exporters are always among those of a file that has to be read at all.
    pub fn wanted(&self, filters: &[Filter]) -> Wanted {
        if !self.may_group_match(filters) {
            return Wanted::Nothing;
        }
        let Some(head) = self.listed.head(&self.file) else { return Wanted::All };
        match self.passing(head, filters) {
            Some(passes) => chosen(head, &passes),
            None => Wanted::Nothing,
        }
    }

    /// As [`wanted`](Self::wanted), with all that the file says about exporters, also where no row
    /// can pass: for who copies it.
    pub fn wanted_with_exporters(&self, filters: &[Filter]) -> Wanted {
        let Some(head) = self.listed.head(&self.file) else { return Wanted::All };
        match self.passing(head, filters) {
            Some(passes) => chosen(head, &passes),
            None if head.meta.is_empty() => Wanted::Nothing,
            None => chosen(head, &[]),
        }
    }

    /// Whether rows of the files of its group may pass.
    fn may_group_match(&self, filters: &[Filter]) -> bool {
        self.listed.group.as_deref().is_none_or(|group| {
            let asked = Asked::new(&self.file, &group.section, group.data_at, Some(group));
            asked.may_match(filters)
        })
    }

    /// Whether each section may have rows that pass; `None` if none of them has.
    fn passing(&self, head: &Head, filters: &[Filter]) -> Option<Vec<bool>> {
        let data_at = self.listed.member.at.saturating_add(head.len);
        let may = |section| Asked::new(&self.file, section, data_at, None).may_match(filters);
        may(&head.whole).then_some(())?;
        let passes: Vec<bool> = head.sections.iter().map(may).collect();
        passes.contains(&true).then_some(passes)
    }

    /// The directory of the index, of the file that it is about.
    pub(crate) fn base(&self, path: &Path) -> PathBuf {
        let levels = Path::new(&self.listed.member.about.name).components().count();
        path.ancestors().nth(levels).unwrap_or_else(|| Path::new("")).to_owned()
    }

    /// Whether these are its octets.
    pub(crate) fn has_octets(&self, wanted: &[u8]) -> bool {
        let member = &self.listed.member;
        if member.entry_len != wanted.len() as u64 {
            return false;
        }
        let mut octets = vec![0; wanted.len()];
        self.file.read_exact_at(&mut octets, member.at).is_ok() && octets == wanted
    }

    /// Whether its group, if it is in one, is whole and has all that the file has.
    pub(crate) fn is_in_its_group(&self, file: &Finished) -> bool {
        let Some(group) = self.listed.group.as_deref() else { return true };
        let (member, section) = (&self.listed.member, &group.section);
        if (member.head_len, member.blocks) != (file.head_len, file.blocks)
            || member.rows != file.known.rows
        {
            return false;
        }
        let asked = Asked::new(&self.file, section, group.data_at, Some(group));
        let Some(ports) = asked.ports() else { return false };
        let mut known = section.known.clone();
        known.ports = ports.clone();
        let mut both = known.clone();
        both.absorb(&file.known);
        // Rows are those of all its files.
        both.rows = known.rows;
        let is_known = both == known && known.rows >= file.known.rows;
        let pages = asked.read(section.pages_at, section.pages.len as usize);
        let is_kept = file.keys.count().is_some() || section.pages.net == 0;
        is_known
            && is_kept
            && pages.is_some_and(|p| pages::hold(&p, section.pages, file.keys.all()))
    }
}

/// The blocks of sections that may pass, and of those that say something about exporters.
fn chosen(head: &Head, passes: &[bool]) -> Wanted {
    let (mut blocks, mut rows_left_out) = (Vec::new(), 0);
    let passes = passes.iter().copied().chain(std::iter::repeat(false));
    for (section, passes) in head.sections.iter().zip(passes) {
        let meta = head.meta.partition_point(|n| *n < section.blocks.start);
        let says_who = head.meta.get(meta).is_some_and(|n| section.blocks.contains(n));
        match passes || says_who {
            true => blocks.extend(section.blocks.clone()),
            false => rows_left_out += section.known.rows,
        }
    }
    match blocks.len() == head.blocks as usize {
        true => Wanted::All,
        false => Wanted::Some { blocks, rows_left_out },
    }
}

/// A section, and what was read of it so far.
struct Asked<'e> {
    file: &'e File,
    section: &'e Section,
    /// Where places count from.
    data_at: u64,
    /// Keeps what was read for the next of its files.
    group: Option<&'e OpenGroup>,
    ports: OnceCell<Option<Ports>>,
    /// Its pages cannot be read.
    is_silent: Cell<bool>,
}

impl<'e> Asked<'e> {
    fn new(
        file: &'e File,
        section: &'e Section,
        data_at: u64,
        group: Option<&'e OpenGroup>,
    ) -> Self {
        let (ports, is_silent) = (OnceCell::new(), Cell::new(false));
        Self { file, section, data_at, group, ports, is_silent }
    }

    fn may_match(&self, filters: &[Filter]) -> bool {
        self.section.known.rows > 0 && filters.iter().all(|f| f.may_match(self))
    }

    fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut octets = vec![0; len];
        self.file.read_exact_at(&mut octets, self.data_at.checked_add(at)?).ok()?;
        Some(octets)
    }

    fn ports(&self) -> Option<&Ports> {
        let (at, len) = self.section.ports;
        let read = || Ports::decode(&self.read(at, len as usize)?);
        match self.group {
            Some(group) => group.ports.get_or_init(read).as_ref(),
            None => self.ports.get_or_init(read).as_ref(),
        }
    }

    /// Whether a network may be in the set, and an address in it if one is given.
    fn has_key(&self, net: u32, own: Option<u32>) -> bool {
        let shape = self.section.pages;
        if shape.net == 0 || self.is_silent.get() {
            return true;
        }
        let at = self.section.pages_at.saturating_add(shape.page_of(net) as u64);
        let read = || self.read(at, shape.page_len());
        let answer = match self.group {
            Some(group) => group.page(at, read).and_then(|p| pages::may_hold(&p, shape, net, own)),
            None => read().and_then(|p| pages::may_hold(&p, shape, net, own)),
        };
        self.is_silent.set(answer.is_none());
        answer.unwrap_or(true)
    }
}

impl Digest for Asked<'_> {
    fn has(&self, field: Field) -> bool {
        self.section.known.has(field)
    }

    fn has_number(&self, field: Field, from: u64, to: u64) -> bool {
        if !self.section.known.has_number(field, from, to) {
            return false;
        }
        if !matches!(field, Field::SrcPort | Field::DstPort) {
            return true;
        }
        let Ok(from) = u16::try_from(from) else { return false };
        let to = u16::try_from(to).unwrap_or(u16::MAX);
        self.ports().is_none_or(|ports| ports.has_any(from, to))
    }

    fn has_address(&self, field: Field, addr: Addr, bits: u8) -> bool {
        let known = &self.section.known;
        if !known.has(field) {
            return false;
        }
        let Some(role) = Role::of(field) else { return true };
        if !known.has_family(field, matches!(addr, Addr::V4(_))) {
            return false;
        }
        let width = 8 * addr.width();
        if usize::from(bits) == width {
            let key = role.host(addr);
            return self.has_key(key.net(), Some(key.own()));
        }
        bits < net_bits(addr) || self.has_key(role.net(addr), None)
    }

    fn has_width(&self, field: Field, octets: u16) -> bool {
        let known = &self.section.known;
        known.has(field) && (Role::of(field).is_none() || known.has_family(field, octets == 4))
    }

    fn has_endpoint(&self, fields: (Field, Field), addr: Addr, port: u16) -> bool {
        match Role::of(fields.0) {
            Some(role @ Role::Translated) => {
                let key = role.endpoint(addr, port);
                self.has_key(key.net(), Some(key.own()))
            }
            _ => true,
        }
    }
}
