//! Keeps a directory of flow files within its limits: the oldest slots go first.
//!
//! Rules and bookkeeping are those of nfexpire (file format, 12.6): limits stand in
//! [`.nfstat`](crate::nfstat), sizes are what files take on disk, and a directory that exceeds a
//! limit is reduced to a percentage of it. What counts, and what may go, is a regular file called
//! `nfcapd.` and 12 or 14 digits, in the directory or below sub directories whose names begin with
//! a digit: never the target of a link, never a file that is being written.
//!
//! With a flow file goes what lies beside it, with the last one of a day what is kept by the day,
//! and a sub directory that becomes empty goes, too.
//!
//! Several directories can be kept within limits together, as nfexpire does with those of a profile
//! of NfSen ([`expire_profile`]): the oldest file of them all goes first.
//!
//! A collector may give names to files meanwhile: the locks of [`rotate`] keep a
//! directory from going away under it. Two of these runs, and nfexpire, wait for each other.

use crate::error::StoreError;
use crate::nfstat::{self, LockedStat, NfStat};
use crate::rotate;
use crate::side;
use chrono::{DateTime, Local, NaiveDateTime, TimeZone};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Limits to be kept from now on; those that are not given stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewLimits {
    /// Octets that the files may take on disk, 0 for no limit.
    pub max_size: Option<u64>,
    /// Seconds that the oldest file may be old, 0 for no limit.
    pub max_life: Option<u64>,
    /// Percent of a limit to which a directory that exceeds it is reduced: 1 to 100.
    pub watermark: Option<u64>,
}

/// Octets on a disk: those that shall be free, and those that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Octets that shall be free at least.
    pub wanted: u64,
    /// Octets that are free before the run. What goes counts as free then, whether or not something
    /// else takes it meanwhile, so that a disk that others fill costs no more files than it has to.
    pub free: u64,
}

/// Something that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Octets that it takes on disk; 0 for what lies beside flow files, which nobody counts.
    pub size: u64,
}

/// What a run did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The directory before: limits that applied, and what was there.
    pub before: NfStat,
    /// What is left.
    pub after: NfStat,
    /// Files that went.
    pub files: u64,
    /// Octets that they took on disk.
    pub size: u64,
    /// Files beside them, or of their days, that went with them.
    pub side_files: u64,
    /// Sub directories that became empty and went.
    pub directories: u64,
    /// What could not be removed, and why: the first few.
    pub failures: Vec<(PathBuf, io::ErrorKind)>,
    /// How many there were in all.
    pub failed: u64,
    /// Whether the run was stopped before both limits held.
    pub is_stopped: bool,
}

impl Expired {
    /// Seconds from the oldest slot before to the oldest one that is left: what nfexpire calls the
    /// time slot that expired.
    pub const fn time_secs(&self) -> u64 {
        if self.files == 0 { 0 } else { self.after.first.saturating_sub(self.before.first) }
    }
}

/// How a run goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireOptions {
    /// Limits to set before.
    pub limits: NewLimits,
    /// Flow files that may be there, for this run.
    pub max_files: Option<u64>,
    /// Room that shall be on the disk, for this run.
    pub room: Option<Room>,
    /// Nothing is removed or written; what would be is told.
    pub dry_run: bool,
}

/// Failures that are told one by one.
const MAX_FAILURES: usize = 16;

/// Levels of sub directories that are looked into: `%Y/%m/%d/%H`, and two to spare.
const MAX_LEVELS: usize = 6;

/// Removes the oldest flow files of a directory until its limits hold, and keeps the books.
///
/// `go_on` is asked before each file that goes, and told what goes with it; once it says no, the run
/// ends early with books that are right. What cannot be removed is told and passed over.
///
/// # Errors
/// If the directory or its `.nfstat` cannot be read, locked or written.
pub fn expire(
    base: &Path,
    now_secs: u64,
    options: &ExpireOptions,
    go_on: impl FnMut(&Going<'_>) -> bool,
) -> Result<Expired, StoreError> {
    let mut books = Books::open(base, options.dry_run)?;
    set_limits(&mut books.stat, options.limits);
    let stat = books.stat;
    together(vec![books], stat, now_secs, options, go_on)
}

/// As [`expire`], for several directories whose files are counted together: the oldest of them all
/// go first. The limits are those of `options`, and are not written down; sums are, for each.
///
/// # Errors
/// As [`expire`], for each of the directories.
pub fn expire_profile(
    bases: &[PathBuf],
    now_secs: u64,
    options: &ExpireOptions,
    go_on: impl FnMut(&Going<'_>) -> bool,
) -> Result<Expired, StoreError> {
    // In one order, so that two of these runs never wait for each other.
    let bases: BTreeSet<&PathBuf> = bases.iter().collect();
    let open = |base: &PathBuf| Books::open(base, options.dry_run);
    let books = bases.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut stat = NfStat::default();
    set_limits(&mut stat, options.limits);
    together(books, stat, now_secs, options, go_on)
}

/// Directories in `base` and below it that collectors write to, in order: those that have flow
/// files, in them or below sub directories by time, or an `.nfstat`. Links are not followed.
///
/// # Errors
/// If `base` cannot be read. What cannot be read below it is passed over.
pub fn directories(base: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let (mut all, mut open) = (Vec::new(), vec![(base.to_owned(), 0)]);
    while let Some((path, level)) = open.pop() {
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(_) if level > 0 => continue,
            Err(e) => return Err(StoreError::io("read", &path)(e)),
        };
        for entry in entries.flatten() {
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name();
            let is_by_time = name.to_str().is_some_and(|n| n.starts_with(is_digit));
            let is_hidden = name.as_encoded_bytes().starts_with(b".");
            if is_directory && !is_by_time && !is_hidden && level < MAX_LEVELS {
                open.push((entry.path(), level + 1));
            }
        }
        let is_counted = path.join(nfstat::NAME).symlink_metadata().is_ok_and(|m| m.is_file());
        if is_counted || Found::look(&[&path]).is_ok_and(|found| !found.files.is_empty()) {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// One run over the files of all `books`, within the limits of `stat`.
fn together(
    mut books: Vec<Books>,
    mut stat: NfStat,
    now_secs: u64,
    options: &ExpireOptions,
    mut go_on: impl FnMut(&Going<'_>) -> bool,
) -> Result<Expired, StoreError> {
    let bases: Vec<PathBuf> = books.iter().map(|b| b.base.clone()).collect();
    let bases: Vec<&Path> = bases.iter().map(PathBuf::as_path).collect();
    let mut found = Found::look(&bases)?;
    found.sum(&mut stat, None, now_secs);
    let mut run = Run::new(&bases, stat, options.dry_run);
    std::mem::take(&mut found.unread).into_iter().for_each(|(path, e)| run.fail(&path, e));
    let targets = Targets::of(&stat, now_secs, options);
    let emptied = run.remove_oldest(&mut found, targets, &mut go_on);
    found.sum(&mut stat, None, now_secs);
    for (n, books) in books.iter_mut().enumerate() {
        found.sum(&mut books.stat, Some(n), now_secs);
        if run.lost.contains(&n) {
            // Indexes may also lie beside the files.
            let emptied = emptied.iter().filter_map(|d| found.directories.get(*d));
            let below = emptied.filter(|(_, base)| *base == n).map(|(path, _)| path.as_path());
            let directories: BTreeSet<&Path> = below.chain([books.base.as_path()]).collect();
            run.remove_days(&directories, &found, n, now_secs, &mut go_on);
        }
    }
    run.remove_directories(emptied.iter().filter_map(|n| found.directories.get(*n)));
    run.done.after = stat;
    for books in &mut books {
        books.write()?;
    }
    Ok(run.done)
}

/// Counts the files of a directory anew and writes that down, with limits to be kept from now on.
/// Removes nothing.
///
/// # Errors
/// As [`expire`].
pub fn rescan(base: &Path, now_secs: u64, limits: NewLimits) -> Result<NfStat, StoreError> {
    let mut books = Books::open(base, false)?;
    set_limits(&mut books.stat, limits);
    Found::look(&[base])?.sum(&mut books.stat, None, now_secs);
    books.write()?;
    Ok(books.stat)
}

/// Limits of a directory, and sums of its files as they are now. Writes nothing and needs no lock.
///
/// # Errors
/// If the directory or its `.nfstat` cannot be read.
pub fn look(base: &Path, now_secs: u64) -> Result<NfStat, StoreError> {
    let mut stat = NfStat::read(base)?.unwrap_or_default();
    set_limits(&mut stat, NewLimits::default());
    Found::look(&[base])?.sum(&mut stat, None, now_secs);
    Ok(stat)
}

/// The books of a directory, locked unless nothing is to be written.
struct Books {
    base: PathBuf,
    locked: Option<LockedStat>,
    stat: NfStat,
}

impl Books {
    fn open(base: &Path, dry_run: bool) -> Result<Self, StoreError> {
        let locked = (!dry_run).then(|| LockedStat::open(base)).transpose()?;
        let stat = match &locked {
            Some(locked) => locked.stat,
            None => NfStat::read(base)?.unwrap_or_default(),
        };
        Ok(Self { base: base.to_owned(), locked, stat })
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let Some(locked) = &mut self.locked else { return Ok(()) };
        locked.stat = self.stat;
        locked.write()
    }
}

fn set_limits(stat: &mut NfStat, limits: NewLimits) {
    stat.max_size = limits.max_size.unwrap_or(stat.max_size);
    stat.max_life = limits.max_life.unwrap_or(stat.max_life);
    stat.watermark = limits.watermark.unwrap_or(stat.watermark);
    stat.watermark = stat.effective_watermark();
}

/// A finished flow file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FlowFile {
    /// The digits of its name, those of seconds included: its place in the order of names.
    digits: u64,
    /// Whether the name has seconds.
    has_seconds: bool,
    /// Index of its directory.
    directory: u32,
    /// Octets on disk.
    size: u64,
}

impl FlowFile {
    /// The file of this name, `None` if it is not one that may expire.
    fn of(name: &str, directory: u32, size: u64) -> Option<Self> {
        let digits = name.strip_prefix("nfcapd.")?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) || rotate::time_in_name(name).is_none() {
            return None;
        }
        let number: u64 = digits.parse().ok()?;
        let has_seconds = digits.len() == 14;
        let digits = if has_seconds { number } else { number * 100 };
        Some(Self { digits, has_seconds, directory, size })
    }

    fn name(&self) -> String {
        match self.has_seconds {
            true => format!("nfcapd.{:014}", self.digits),
            false => format!("nfcapd.{:012}", self.digits / 100),
        }
    }

    /// `YYYYMMDD`.
    fn day(&self) -> String {
        format!("{:08}", self.digits / 1_000_000)
    }

    /// Start of its slot, seconds since 1970. An hour that daylight saving time leaves out counts
    /// as the one after it, one that it repeats as the first of the two.
    fn start(&self) -> u64 {
        let time = rotate::time_in_name(&self.name()).unwrap_or_default();
        let local = |time: NaiveDateTime| Local.from_local_datetime(&time).earliest();
        let time = local(time).or_else(|| local(time + chrono::TimeDelta::hours(1)));
        time.and_then(|t| u64::try_from(t.timestamp()).ok()).unwrap_or(0)
    }
}

/// What is in directories and below them.
#[derive(Debug, Default)]
struct Found {
    /// The directories themselves, and those below them: each with the number of its base.
    directories: Vec<(PathBuf, usize)>,
    /// Flow files from the oldest to the newest.
    files: Vec<FlowFile>,
    /// Directories that are there and cannot be read.
    unread: Vec<(PathBuf, io::Error)>,
}

impl Found {
    /// Looks through directories.
    fn look(bases: &[&Path]) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for (number, base) in bases.iter().enumerate() {
            found.look_into(base, number)?;
        }
        found.files.sort_unstable();
        Ok(found)
    }

    fn look_into(&mut self, base: &Path, of: usize) -> Result<(), StoreError> {
        let mut levels = vec![(base.to_owned(), 0)];
        while let Some((path, level)) = levels.pop() {
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(e) if level == 0 => return Err(StoreError::io("read", &path)(e)),
                // Somebody else removed it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    self.unread.push((path, e));
                    continue;
                }
            };
            let number = u32::try_from(self.directories.len()).unwrap_or(u32::MAX);
            for entry in entries.flatten() {
                let (Ok(kind), name) = (entry.file_type(), entry.file_name()) else { continue };
                let Some(name) = name.to_str() else { continue };
                if kind.is_dir() && level < MAX_LEVELS && name.starts_with(is_digit) {
                    levels.push((entry.path(), level + 1));
                } else if kind.is_file()
                    && let Some(mut file) = FlowFile::of(name, number, 0)
                    && let Ok(metadata) = entry.metadata()
                {
                    file.size = metadata.blocks() * 512;
                    self.files.push(file);
                }
            }
            self.directories.push((path, of));
        }
        Ok(())
    }

    /// Brings sums up to date, of one base or of all. Of no files nfexpire says that they are of
    /// now, and that the sums are not to be relied upon.
    fn sum(&self, stat: &mut NfStat, of: Option<usize>, now_secs: u64) {
        (stat.files, stat.size) = (0, 0);
        let (mut first, mut last) = (None, None);
        for file in self.of(of) {
            stat.files += 1;
            stat.size += file.size;
            first.get_or_insert(file);
            last = Some(file);
        }
        (stat.first, stat.last, stat.status) = match (first, last) {
            (Some(first), Some(last)) => (first.start(), last.start(), nfstat::OK),
            _ => (now_secs, now_secs, nfstat::REBUILD),
        };
    }

    /// Files of one base, or of all, from the oldest to the newest.
    fn of(&self, base: Option<usize>) -> impl Iterator<Item = &FlowFile> {
        let is_of = move |f: &&FlowFile| base.is_none_or(|base| self.directory(f).1 == base);
        self.files.iter().filter(is_of)
    }

    /// Where a file is, and in which base.
    fn directory(&self, file: &FlowFile) -> (&Path, usize) {
        let found = self.directories.get(file.directory as usize);
        found.map_or_else(|| (Path::new(""), 0), |(path, base)| (path, *base))
    }
}

const fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// A run through directories.
struct Run<'a> {
    bases: &'a [&'a Path],
    dry_run: bool,
    /// Side files of the directories that lose files, in order.
    beside: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// Bases that lost files.
    lost: BTreeSet<usize>,
    done: Expired,
}

impl<'a> Run<'a> {
    fn new(bases: &'a [&'a Path], stat: NfStat, dry_run: bool) -> Self {
        let done = Expired {
            before: stat,
            after: stat,
            files: 0,
            size: 0,
            side_files: 0,
            directories: 0,
            failures: Vec::new(),
            failed: 0,
            is_stopped: false,
        };
        Self { bases, dry_run, beside: BTreeMap::new(), lost: BTreeSet::new(), done }
    }

    /// Removes flow files as long as a limit is exceeded, and takes them off `found`. Returns the
    /// directories that lost any.
    fn remove_oldest(
        &mut self,
        found: &mut Found,
        mut targets: Targets,
        go_on: &mut impl FnMut(&Going<'_>) -> bool,
    ) -> BTreeSet<usize> {
        let mut emptied = BTreeSet::new();
        let mut kept = Vec::new();
        let mut gone = 0;
        for file in &found.files {
            if !targets.exceeded(file.digits) {
                break;
            }
            let (directory, base) = found.directory(file);
            let path = directory.join(file.name());
            if !go_on(&Going { path: &path, size: file.size }) {
                self.done.is_stopped = true;
                break;
            }
            gone += 1;
            if self.remove_flow_file(directory, &file.name(), go_on) {
                targets.gone(file.size);
                self.done.files += 1;
                self.done.size += file.size;
                self.lost.insert(base);
                emptied.insert(file.directory as usize);
            } else {
                kept.push(*file);
            }
        }
        found.files.splice(..gone, kept);
        emptied
    }

    /// Removes a flow file and what lies beside it. Returns whether it is gone.
    fn remove_flow_file(
        &mut self,
        directory: &Path,
        name: &str,
        go_on: &mut impl FnMut(&Going<'_>) -> bool,
    ) -> bool {
        let path = directory.join(name);
        // Nobody merges into it meanwhile.
        let _lock = (!self.dry_run).then(|| rotate::lock(directory));
        if !self.remove(&path, |path| fs::remove_file(path)) {
            return false;
        }
        let beside = self.beside.entry(directory.to_owned()).or_insert_with_key(|d| side::list(d));
        let of_file = side::of_file(beside, directory, name).to_vec();
        for path in of_file {
            self.remove_side_file(&path, go_on);
        }
        true
    }

    /// Removes what is kept by the day in these directories of a base, of days before the oldest
    /// file that is left in the base.
    fn remove_days(
        &mut self,
        directories: &BTreeSet<&Path>,
        found: &Found,
        number: usize,
        now_secs: u64,
        go_on: &mut impl FnMut(&Going<'_>) -> bool,
    ) {
        let oldest = found.of(Some(number)).next();
        let first = oldest.map_or_else(|| side::day_of(now_secs), FlowFile::day);
        for directory in directories {
            let paths = side::of_days_before(directory, &first).unwrap_or_default();
            paths.iter().for_each(|path| self.remove_side_file(path, go_on));
        }
    }

    fn remove_side_file(&mut self, path: &Path, go_on: &mut impl FnMut(&Going<'_>) -> bool) {
        // What belongs to a file that is gone goes in any case.
        let _ = go_on(&Going { path, size: 0 });
        self.done.side_files += u64::from(self.remove(path, |path| fs::remove_file(path)));
    }

    /// Removes directories that are empty, and those above them that become so. The bases stay.
    fn remove_directories<'d>(&mut self, directories: impl Iterator<Item = &'d (PathBuf, usize)>) {
        if self.dry_run {
            return;
        }
        let mut locked = None;
        for (directory, base) in directories {
            let Some(path) = self.bases.get(*base) else { continue };
            // Collectors make directories under this lock.
            if locked.as_ref().is_none_or(|(n, _)| n != base) {
                locked = None; // of one base at a time
                locked.get_or_insert_with(|| (*base, rotate::lock(path)));
            }
            let below = |d: &&Path| d != path && d.starts_with(path);
            for directory in directory.ancestors().take_while(below) {
                // A collector that has the lock is about to put a file there.
                let Ok(_lock) = rotate::try_lock(directory) else { break };
                match fs::remove_dir(directory) {
                    Ok(()) => self.done.directories += 1,
                    Err(_) => break,
                }
            }
        }
    }

    /// Removes something, or would. Returns whether it is gone.
    fn remove(&mut self, path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> bool {
        match if self.dry_run { Ok(()) } else { remove(path) } {
            Ok(()) => true,
            // Somebody else removed it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => true,
            Err(e) => {
                self.fail(path, e);
                false
            }
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "errors are given away")]
    fn fail(&mut self, path: &Path, e: io::Error) {
        self.done.failed += 1;
        if self.done.failures.len() < MAX_FAILURES {
            self.done.failures.push((path.to_owned(), e.kind()));
        }
    }
}

/// What directories are reduced to, and how far they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Targets {
    /// Octets, if there are too many.
    size: Option<Counter>,
    /// Files, if there are too many.
    files: Option<Counter>,
    /// Octets that are to go, if too few are free.
    room: Option<u64>,
    /// Digits of the first name that may stay, if there are too old ones.
    digits: Option<u64>,
}

/// What is there, and what may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counter {
    now: u64,
    most: u64,
}

impl Targets {
    /// A limit of `stat` counts if it is reached; then the watermark counts. Those of this run are
    /// what they are.
    fn of(stat: &NfStat, now_secs: u64, options: &ExpireOptions) -> Self {
        let of_watermark =
            |limit: u64| (u128::from(limit) * u128::from(stat.watermark) / 100) as u64;
        let is_large = stat.max_size > 0 && stat.size >= stat.max_size;
        let age = now_secs.saturating_sub(stat.first);
        let is_old = stat.max_life > 0 && stat.files > 0 && age >= stat.max_life;
        let oldest = now_secs.saturating_sub(of_watermark(stat.max_life));
        Self {
            size: is_large.then(|| Counter { now: stat.size, most: of_watermark(stat.max_size) }),
            files: options.max_files.map(|most| Counter { now: stat.files, most }),
            room: options.room.map(|room| room.wanted.saturating_sub(room.free)),
            digits: is_old.then(|| digits_of(oldest)),
        }
    }

    /// Whether the oldest file that is left, called by these digits, has to go.
    fn exceeded(&self, digits: u64) -> bool {
        let is_over = |counter: Option<Counter>| counter.is_some_and(|c| c.now > c.most);
        is_over(self.size)
            || is_over(self.files)
            || self.room.is_some_and(|missing| missing > 0)
            || self.digits.is_some_and(|d| digits < d)
    }

    /// A file of this size has gone.
    fn gone(&mut self, size: u64) {
        for (counter, less) in [(&mut self.size, size), (&mut self.files, 1)] {
            if let Some(counter) = counter {
                counter.now = counter.now.saturating_sub(less);
            }
        }
        self.room = self.room.map(|missing| missing.saturating_sub(size));
    }
}

fn local(secs: u64) -> DateTime<Local> {
    let utc = i64::try_from(secs).ok().and_then(|s| DateTime::from_timestamp(s, 0));
    utc.unwrap_or_default().with_timezone(&Local)
}

/// `YYYYMMDDhhmm00` of a moment as a number: names are compared to the minute.
fn digits_of(secs: u64) -> u64 {
    local(secs).format("%Y%m%d%H%M00").to_string().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_finished_files_only() {
        for (name, want) in [
            ("nfcapd.202611201005", Some(20_261_120_100_500)),
            ("nfcapd.20261120100507", Some(20_261_120_100_507)),
            ("nfcapd.current.77", None),
            ("nfcapd.current.202611", None),
            ("nfcapd.202611201005+0100", None),
            ("nfcapd.202611201005.merged", None),
            ("nfcapd.2026112010", None),
            ("nfcapd.2026112010050", None),
            ("nfcapd.202613201005", None),
            ("nfcapd.+02611201005", None),
            ("nfpcapd.202611201005", None),
            (".nfstat", None),
        ] {
            let file = FlowFile::of(name, 0, 0);
            assert_eq!(file.map(|f| f.digits), want, "{name}");
            if let Some(file) = file {
                assert_eq!(file.name(), name);
                assert_eq!(file.day(), "20261120");
            }
        }
    }

    /// Slots of five minutes, oldest first, and the file sizes in them.
    fn found(now_secs: u64, sizes: &[u64]) -> Found {
        let count = sizes.len() as u64;
        let file = |(n, size): (u64, &u64)| {
            let slot = rotate::slot_of(now_secs - 300 * (count - n), 300);
            FlowFile::of(&slot.file_name(), 0, *size).unwrap()
        };
        Found {
            directories: vec![(PathBuf::new(), 0)],
            files: (0..).zip(sizes).map(file).collect(),
            unread: Vec::new(),
        }
    }

    /// The rules of nfexpire one after the other, first size, then age: files that stay.
    fn slow_twin(files: &[FlowFile], stat: &NfStat, now_secs: u64) -> usize {
        let (mut size, mut left) = (stat.size, files);
        if stat.max_size > 0 && size >= stat.max_size {
            while let [oldest, rest @ ..] = left
                && size > stat.max_size * stat.watermark / 100
            {
                size -= oldest.size;
                left = rest;
            }
        }
        if stat.max_life > 0 && now_secs - stat.first >= stat.max_life {
            let keep_from = now_secs - stat.max_life * stat.watermark / 100;
            while let [oldest, rest @ ..] = left
                && oldest.start() < keep_from - keep_from % 60
            {
                left = rest;
            }
        }
        left.len()
    }

    #[test]
    fn limits_and_watermark_say_what_stays() {
        let now = 1_795_000_000;
        let mut seen = BTreeSet::new();
        for max_size in [0, 1, 4096, 10_000, 40_960, 49_152, 49_153, 1 << 40, u64::MAX / 100] {
            for max_life in [0, 1, 300, 900, 1500, 3000, 3601, 1 << 30] {
                for watermark in [1, 50, 95, 100] {
                    let mut found =
                        found(now, &[4096, 8192, 0, 4096, 12_288, 4096, 4096, 8192, 4096]);
                    let mut stat = NfStat { max_size, max_life, watermark, ..NfStat::default() };
                    found.sum(&mut stat, None, now);
                    let want = slow_twin(&found.files, &stat, now);
                    let bases = [Path::new("")];
                    let mut run = Run::new(&bases, stat, true);
                    let targets = Targets::of(&stat, now, &ExpireOptions::default());
                    run.remove_oldest(&mut found, targets, &mut |_| true);
                    let what = format!("{max_size} octets, {max_life} s, {watermark} %");
                    assert_eq!(found.files.len(), want, "{what}");
                    assert_eq!(run.done.files as usize + want, 9, "{what}");
                    seen.insert(want);
                }
            }
        }
        assert!(seen.len() > 6, "{seen:?}");
    }
}
