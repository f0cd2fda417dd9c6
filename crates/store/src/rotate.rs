//! Which file a moment belongs to, what it is called, and how it gets its name (12).

use crate::error::StoreError;
use crate::merge;
use chrono::{DateTime, Local, NaiveDateTime, TimeZone};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An interval of time that one file covers, aligned to multiples of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// First second, since 1970.
    pub start: u64,
    /// Seconds.
    pub len: u32,
}

/// The slot of `interval` seconds that `now_secs` lies in; an interval of 0 counts as 1.
pub const fn slot_of(now_secs: u64, interval: u32) -> Slot {
    let len = if interval == 0 { 1 } else { interval };
    Slot { start: now_secs - now_secs % len as u64, len }
}

impl Slot {
    /// First second after it.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len as u64)
    }

    /// Name of its file: `nfcapd.YYYYMMDDhhmm`, with seconds where slots are shorter than a
    /// minute, in local time. The repeated hour at the end of daylight saving time has the same
    /// names twice; [`publish`] then merges.
    pub fn file_name(&self) -> String {
        self.file_name_in(&Local)
    }

    /// As [`file_name`](Self::file_name), with the offset from UTC: `nfcapd.202611181105+0100`.
    /// Unambiguous, but nfexpire does not know such names.
    pub fn file_name_with_zone(&self) -> String {
        format!("{}{}", self.file_name(), local(self.start, &Local).format("%z"))
    }

    fn file_name_in<Tz: TimeZone>(&self, tz: &Tz) -> String
    where
        Tz::Offset: std::fmt::Display,
    {
        let pattern = if self.len < 60 { "nfcapd.%Y%m%d%H%M%S" } else { "nfcapd.%Y%m%d%H%M" };
        local(self.start, tz).format(pattern).to_string()
    }

    /// Directory of its file below the base directory.
    pub fn sub_directory(&self, layout: SubDirs) -> PathBuf {
        local(self.start, &Local).format(layout.pattern()).to_string().into()
    }
}

/// Times beyond the calendar, which no clock shows, count as 1970.
fn local<Tz: TimeZone>(secs: u64, tz: &Tz) -> DateTime<Tz> {
    let utc = i64::try_from(secs).ok().and_then(|s| DateTime::from_timestamp(s, 0));
    utc.unwrap_or_default().with_timezone(tz)
}

/// `YYYYMMDD` of a moment.
pub(crate) fn local_day(secs: u64) -> String {
    local(secs, &Local).format("%Y%m%d").to_string()
}

/// How files are spread over sub directories: the number of option `-S` (12.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubDirs(u8);

const PATTERNS: [&str; 9] =
    ["", "%Y/%m/%d", "%Y/%m/%d/%H", "%Y/%W/%u", "%Y/%W/%u/%H", "%Y/%j", "%Y/%j/%H", "%F", "%F/%H"];

impl SubDirs {
    /// All files in the base directory.
    pub const NONE: Self = Self(0);

    /// Layout 0 to 8; `None` for other numbers.
    pub fn new(number: u8) -> Option<Self> {
        (usize::from(number) < PATTERNS.len()).then_some(Self(number))
    }

    /// All layouts that have sub directories.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (1..PATTERNS.len() as u8).map(Self)
    }

    /// The pattern in the letters of strftime.
    pub fn pattern(self) -> &'static str {
        PATTERNS.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// Sub directory of a local time.
    pub(crate) fn of(self, time: NaiveDateTime) -> PathBuf {
        time.format(self.pattern()).to_string().into()
    }
}

/// Name of a file that is being written: `nfcapd.current.` and something that no other process
/// writing to the directory uses, such as a process number.
pub fn temporary_name(unique: impl std::fmt::Display) -> String {
    format!("nfcapd.current.{unique}")
}

/// Local time in a file's name, `None` if there is none: `nfcapd.` and 12 or 14 digits, and maybe
/// an offset from UTC, which is not looked at.
pub fn time_in_name(name: &str) -> Option<NaiveDateTime> {
    let digits = name.strip_prefix("nfcapd.")?;
    let end = digits.find(['+', '-']).unwrap_or(digits.len());
    let digits = digits.get(..end)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match digits.len() {
        12 => NaiveDateTime::parse_from_str(&format!("{digits}00"), "%Y%m%d%H%M%S").ok(),
        14 => NaiveDateTime::parse_from_str(digits, "%Y%m%d%H%M%S").ok(),
        _ => None,
    }
}

/// How a file got its final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Renamed to this.
    Renamed(PathBuf),
    /// Merged with the file that had the name already (12.4).
    Merged(PathBuf),
}

impl Published {
    /// The final path.
    pub fn path(&self) -> &Path {
        let (Self::Renamed(path) | Self::Merged(path)) = self;
        path
    }
}

/// Gives a finished file its final name: `base/sub/name`. Directories are created as needed; should
/// that fail, the file goes into `base` itself (12.2). A file that has the name already, from a
/// restart within the slot or from another collector, is merged with: at no moment is there less
/// under the name than before. The new name is on disk when this returns.
///
/// A crash at any moment stores nothing twice and loses nothing: whoever comes next calls
/// [`settle`], or this again.
///
/// # Errors
/// If the file can be neither renamed nor merged. It is then still where it was, unless only the
/// directory could not be put on disk; calling this again is right in any case.
pub fn publish(
    temporary: &Path,
    base: &Path,
    sub: &Path,
    name: &str,
) -> Result<Published, StoreError> {
    let (directory, _lock) = enter(base, sub);
    let target = directory.join(name);
    if settle(temporary)? == Settled::Done {
        sync(&directory)?;
        return Ok(Published::Merged(target));
    }
    let naming = match sys::disk::rename_new(temporary, &target) {
        Ok(()) => Naming::Renamed,
        Err(_) => take_name(temporary, &target, |from, to| fs::hard_link(from, to))?,
    };
    if naming == Naming::Taken {
        let merger = Merger::of(temporary);
        merger.prepare(&target)?;
        merger.commit()?;
        merger.replace(&target)?;
        sync(&directory)?;
        merger.end()?;
        return Ok(Published::Merged(target));
    }
    sync(&directory)?;
    if naming == Naming::Linked {
        fs::remove_file(temporary).map_err(StoreError::io("remove", temporary))?;
    }
    Ok(Published::Renamed(target))
}

fn sync(directory: &Path) -> Result<(), StoreError> {
    sync_directory(directory).map_err(StoreError::io("sync", directory))
}

/// Where the finished files of one source go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Directory of the source. Files on their way are in it.
    pub dir: PathBuf,
    /// How finished files are spread below it.
    pub sub_dirs: SubDirs,
    /// Whether names have the offset from UTC.
    pub has_zone: bool,
}

impl Place {
    /// Name of the file of a slot, without its directory.
    pub fn name(&self, slot: Slot) -> String {
        if self.has_zone { slot.file_name_with_zone() } else { slot.file_name() }
    }

    /// Where the file of a slot goes, if its directory can be made.
    pub fn path(&self, slot: Slot) -> PathBuf {
        self.dir.join(slot.sub_directory(self.sub_dirs)).join(self.name(slot))
    }

    /// The name of a file below the directory; what should be its name where it has none there.
    pub fn relative(&self, path: Option<&Path>, slot: Slot) -> String {
        let usual = self.path(slot);
        let below = |path: &'_ Path| path.strip_prefix(&self.dir).ok().map(Path::to_owned);
        let below = path.and_then(below).or_else(|| below(&usual));
        below.unwrap_or(usual).to_string_lossy().into_owned()
    }

    /// Gives a closed file its name.
    ///
    /// # Errors
    /// As those of [`publish`].
    pub fn publish(&self, temporary: &Path, slot: Slot) -> Result<Published, StoreError> {
        publish(temporary, &self.dir, &slot.sub_directory(self.sub_dirs), &self.name(slot))
    }
}

/// What has become of a file on its way to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is where it was; its flows are nowhere else.
    Open,
    /// It is gone: its flows are in the file that had the name.
    Done,
}

/// Ends what [`publish`] had begun when its process died. Nobody else may be publishing that file.
///
/// # Errors
/// If a name cannot be given or removed. Nothing is lost; it can be called again.
pub fn settle(temporary: &Path) -> Result<Settled, StoreError> {
    Merger::of(temporary).settle()
}

/// What names of copies and of files that are merged end with, behind that of the temporary file.
pub const STEPS: [&str; 2] = [Merger::TOGETHER, Merger::DONE];

/// Merging in steps: at each, the names that are there tell where the flows of the temporary file
/// are.
///
/// | temporary | `.merged` | `.done` | its flows are |
/// |---|---|---|---|
/// | there | maybe, maybe half | | in the temporary file only |
/// | | there | there | in `.done`; nobody reads `.merged` yet |
/// | | | there | in the file that has the name |
struct Merger<'a> {
    temporary: &'a Path,
    together: PathBuf,
    done: PathBuf,
}

impl<'a> Merger<'a> {
    const TOGETHER: &'static str = ".merged";
    const DONE: &'static str = ".done";

    fn of(temporary: &'a Path) -> Self {
        let together = with_suffix(temporary, Self::TOGETHER);
        Self { temporary, together, done: with_suffix(temporary, Self::DONE) }
    }

    fn prepare(&self, target: &Path) -> Result<(), StoreError> {
        merge::merge(target, self.temporary, &self.together)
    }

    /// From here on the merged file is whole, and the one with the name follows it or nothing does.
    fn commit(&self) -> Result<(), StoreError> {
        rename(self.temporary, &self.done)?;
        let base = self.temporary.parent().unwrap_or_else(|| Path::new("."));
        sync(base).inspect_err(|_| self.roll_back())
    }

    fn replace(&self, target: &Path) -> Result<(), StoreError> {
        rename(&self.together, target).inspect_err(|_| self.roll_back())
    }

    fn end(&self) -> Result<(), StoreError> {
        fs::remove_file(&self.done).map_err(StoreError::io("remove", &self.done))
    }

    /// What it leaves, if anything fails, [`settle`](Self::settle) finds.
    fn roll_back(&self) {
        let _ = self.settle();
    }

    fn settle(&self) -> Result<Settled, StoreError> {
        let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
        if is_there(&self.done) {
            if !is_there(&self.together) {
                return self.end().map(|()| Settled::Done);
            }
            // The file with the name may be another one by now: merged anew.
            rename(&self.done, self.temporary)?;
        }
        if is_there(&self.together) {
            fs::remove_file(&self.together).map_err(StoreError::io("remove", &self.together))?;
        }
        Ok(Settled::Open)
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io("rename", from))
}

/// Makes sure that there is a directory `base/sub`, and locks it. Should that fail, it is `base`.
fn enter(base: &Path, sub: &Path) -> (PathBuf, Option<File>) {
    // Nobody who expires files removes a directory between here and its own lock.
    let base_lock = lock(base);
    if sub.as_os_str().is_empty() || create_directories(base, sub).is_err() {
        return (base.to_owned(), base_lock);
    }
    let directory = base.join(sub);
    let own_lock = lock(&directory);
    (directory, own_lock)
}

/// Waits until no other collector gives names or merges in this directory; until the file is
/// dropped none does. Where directories cannot be locked, as on NFS, there is nothing to wait for:
/// there, two collectors should not write to one directory.
pub(crate) fn lock(directory: &Path) -> Option<File> {
    let file = File::open(directory).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// A directory in which somebody gives names or merges now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InUse;

/// As [`lock`], without waiting.
pub(crate) fn try_lock(directory: &Path) -> Result<Option<File>, InUse> {
    let Ok(file) = File::open(directory) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(InUse),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// What came of asking for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// The file has the name, and its old one, too.
    Linked,
    /// The file has the name only.
    Renamed,
    /// Another file has the name.
    Taken,
}

/// Gives a file a name that no other file has. A link, unlike renaming, never replaces a file of a
/// program that knows nothing of our locks.
fn take_name(
    temporary: &Path,
    target: &Path,
    link: impl Fn(&Path, &Path) -> io::Result<()>,
) -> Result<Naming, StoreError> {
    match link(temporary, target) {
        Ok(()) => Ok(Naming::Linked),
        // Died before the old name was removed: merging would store each flow twice.
        Err(_) if is_same_file(temporary, target) => Ok(Naming::Linked),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Naming::Taken),
        // File systems without links have many ways to say so.
        Err(_) if fs::symlink_metadata(target).is_ok() => Ok(Naming::Taken),
        Err(_) => fs::rename(temporary, target)
            .map(|()| Naming::Renamed)
            .map_err(StoreError::io("rename", temporary)),
    }
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path| fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()));
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Creates `base/sub` and puts each new name on disk.
fn create_directories(base: &Path, sub: &Path) -> io::Result<()> {
    let mut at = base.to_owned();
    for part in sub.components() {
        let parent = at.clone();
        at.push(part);
        match fs::create_dir(&at) {
            Ok(()) => sync_directory(&parent)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && at.is_dir() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;

    /// 2026-11-18 11:07:09 UTC, a Wednesday.
    const NOW: u64 = 1_795_000_029;

    #[test]
    fn slots_are_aligned_and_follow_each_other() {
        for interval in [1, 2, 5, 60, 300, 3600, 86_400] {
            let slot = slot_of(NOW, interval);
            assert!(slot.start <= NOW && NOW < slot.end());
            assert_eq!(slot.start % u64::from(interval), 0);
            assert_eq!(slot_of(slot.end() - 1, interval), slot);
            assert_eq!(slot_of(slot.end(), interval).start, slot.end());
        }
        assert_eq!(slot_of(7, 0), Slot { start: 7, len: 1 });
    }

    #[test]
    fn names_are_local_time_of_the_start() {
        let utc = FixedOffset::east_opt(0).unwrap();
        let india = FixedOffset::east_opt(19_800).unwrap();
        for (interval, tz, want) in [
            (300, utc, "nfcapd.202611181105"),
            (60, utc, "nfcapd.202611181107"),
            (2, utc, "nfcapd.20261118110708"),
            (300, india, "nfcapd.202611181635"),
        ] {
            assert_eq!(slot_of(NOW, interval).file_name_in(&tz), want);
            assert!(time_in_name(want).is_some());
        }
        assert_eq!(time_in_name("nfcapd.202611181105+0100"), time_in_name("nfcapd.202611181105"));
        for name in ["nfcapd.current.77", "nfcapd.2026", "nfcapd.202613181105", "x.202611181105"] {
            assert_eq!(time_in_name(name), None, "{name}");
        }
    }

    #[test]
    fn sub_directories_follow_the_patterns() {
        let time = time_in_name("nfcapd.202611181105").unwrap();
        for (n, want) in [
            (0, ""),
            (1, "2026/11/18"),
            (2, "2026/11/18/11"),
            (3, "2026/46/3"),
            (4, "2026/46/3/11"),
            (5, "2026/322"),
            (6, "2026/322/11"),
            (7, "2026-11-18"),
            (8, "2026-11-18/11"),
        ] {
            assert_eq!(SubDirs::new(n).unwrap().of(time), Path::new(want), "-S {n}");
        }
        assert_eq!(SubDirs::new(9), None);
    }

    #[test]
    fn publish_makes_directories_and_falls_back_to_the_base() {
        let dir = tempfile::tempdir().unwrap();
        let temporary = dir.path().join(temporary_name(1));
        let publish = |sub: &str| {
            fs::write(&temporary, b"x").unwrap();
            publish(&temporary, dir.path(), Path::new(sub), &format!("name{}", sub.len())).unwrap()
        };
        assert_eq!(publish("2026/11"), Published::Renamed(dir.path().join("2026/11/name7")));
        assert_eq!(publish(""), Published::Renamed(dir.path().join("name0")));
        fs::write(dir.path().join("file"), b"x").unwrap();
        assert_eq!(publish("file/a"), Published::Renamed(dir.path().join("name6")));
        assert!(!temporary.exists());
    }

    #[test]
    fn without_links_files_are_renamed_and_replace_none() {
        let dir = tempfile::tempdir().unwrap();
        let (temporary, target) = (dir.path().join("temporary"), dir.path().join("target"));
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported] {
            fs::write(&temporary, b"new").unwrap();
            let take = || take_name(&temporary, &target, |_, _| Err(kind.into())).unwrap();
            assert_eq!(take(), Naming::Renamed);
            fs::write(&temporary, b"newer").unwrap();
            assert_eq!(take(), Naming::Taken);
            assert_eq!(fs::read(&target).unwrap(), b"new");
            fs::remove_file(&target).unwrap();
        }
    }

    #[test]
    fn a_crash_at_any_step_of_merging_stores_nothing_twice() {
        type Step = fn(&Merger<'_>, &Path) -> Result<(), StoreError>;
        let steps: [Step; 4] = [
            |m, target| m.prepare(target),
            |m, _| m.commit(),
            |m, target| m.replace(target),
            |m, _| m.end(),
        ];
        for done in 0..=steps.len() {
            let dir = tempfile::tempdir().unwrap();
            let (temporary, target) = (dir.path().join(temporary_name(1)), dir.path().join("name"));
            for (path, flows) in [(&target, 3), (&temporary, 5)] {
                let mut writer = crate::Writer::create(path, &Default::default()).unwrap();
                (0..flows).for_each(|_| record::FlowSink::flow(&mut writer, &record::Flow::new()));
                writer.close(&[]).unwrap();
            }
            let merger = Merger::of(&temporary);
            steps.iter().take(done).for_each(|step| step(&merger, &target).unwrap());
            // The next process.
            let settled = if done < 4 { settle(&temporary).unwrap() } else { Settled::Done };
            let is_open = done < 3;
            assert_eq!(settled == Settled::Open, is_open, "after {done} steps");
            assert_eq!(temporary.exists(), is_open);
            if is_open {
                publish(&temporary, dir.path(), Path::new(""), "name").unwrap();
            }
            let file = crate::FlowFile::open(&target).unwrap();
            assert_eq!(file.totals().unwrap().all_flows(), 8, "after {done} steps");
            let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
            assert_eq!(left.len(), 1, "after {done} steps: {left:?}");
        }
    }
}
