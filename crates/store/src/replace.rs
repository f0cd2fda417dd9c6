//! Putting a new file in the place of another: whoever opens the name finds the old one or the new
//! one, whole, at any moment, also after a crash.

use crate::error::StoreError;
use crate::reader::{FileState, FlowFile, SalvageReason};
use crate::rotate::{lock, sync_directory};
use std::ffi::OsString;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const SECOND: Duration = Duration::from_secs(1);

/// A file that is going to take the place of another. Dropped before it has done so, it is gone.
pub(crate) struct Replacement {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
    /// Of the file that was read, when it was opened.
    old: Metadata,
    /// Whether that is the one that is replaced.
    is_in_place: bool,
    is_done: bool,
}

impl Replacement {
    /// Makes an empty file that is to replace the one that was opened; where that was opened by a
    /// link, the file behind it. Until the end nobody else can read what is written.
    pub(crate) fn of(old: &FlowFile) -> Result<Self, StoreError> {
        let path = old.path();
        let target = fs::canonicalize(path).map_err(StoreError::io("find", path))?;
        Self::to(target, old, true)
    }

    /// Makes an empty file that is to have the name `path`, in the place of the one that has it now
    /// if there is one, and what [`finish`](Self::finish) gives it of `old`.
    pub(crate) fn at(path: &Path, old: &FlowFile) -> Result<Self, StoreError> {
        let refused = |why| StoreError::Refused { path: path.to_owned(), why };
        let target = match fs::metadata(path) {
            Ok(meta) if meta.is_file() => {
                fs::canonicalize(path).map_err(StoreError::io("find", path))?
            }
            Ok(_) => return Err(refused("it is no file; name one")),
            Err(_) => path.to_owned(),
        };
        let source = fs::canonicalize(old.path()).map_err(StoreError::io("find", old.path()))?;
        let is_in_place = target == source;
        Self::to(target, old, is_in_place)
    }

    fn to(target: PathBuf, old: &FlowFile, is_in_place: bool) -> Result<Self, StoreError> {
        let (temporary, file) = create_beside(&target)?;
        let old = old.metadata().clone();
        Ok(Self { target, temporary, file, old, is_in_place, is_done: false })
    }

    /// Where the new file is.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// The new file, open for writing.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// When the file that is replaced was last written.
    pub(crate) fn modified_secs(&self) -> u64 {
        u64::try_from(self.old.mtime()).unwrap_or(0)
    }

    /// Gives the new file times, mode and, where allowed, owner and group of the old one, and its
    /// name.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        self.finish_after(|_| Ok(()))
    }

    /// As [`finish`](Self::finish). `last` is given the path of the old file right before it loses
    /// its name, while no collector can give it to another.
    pub(crate) fn finish_after<T>(
        mut self,
        last: impl FnOnce(&Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fail = |what| StoreError::io(what, &self.temporary);
        let modified = self.old.modified().map_err(fail("read the time of"))?;
        let times = FileTimes::new().set_modified(self.later(modified));
        self.file.set_times(times).map_err(fail("set the time of"))?;
        let mode = self.take_owner().map_err(fail("look at"))?;
        let mode = Permissions::from_mode(mode);
        self.file.set_permissions(mode).map_err(fail("set the mode of"))?;
        self.file.sync_all().map_err(fail("sync"))?;
        let directory = directory_of(&self.target);
        let _lock = lock(directory);
        if self.is_in_place {
            self.check_unchanged()?;
        }
        let done = last(&self.target)?;
        fs::rename(&self.temporary, &self.target).map_err(fail("rename"))?;
        self.is_done = true;
        sync_directory(directory).map_err(StoreError::io("sync", directory))?;
        Ok(done)
    }

    /// A nanosecond after the old file, and after what has its place by now: indexes know the state
    /// of a file by its octets and time, and as many octets may say something else.
    fn later(&self, old: SystemTime) -> SystemTime {
        let replaced = fs::metadata(&self.target).and_then(|m| m.modified());
        let is_near = |t: &SystemTime| t.duration_since(old).is_ok_and(|d| d < SECOND);
        replaced.ok().filter(is_near).unwrap_or(old) + Duration::from_nanos(1)
    }

    /// Owner and group of the old file, as far as allowed; returns the mode that goes with them.
    /// Whoever may not give files away keeps them, and mostly may choose the group. A group that
    /// could not read the old file must not read the new one.
    fn take_owner(&self) -> io::Result<u32> {
        let (uid, gid) = (self.old.uid(), self.old.gid());
        if fchown(&self.file, Some(uid), Some(gid)).is_err() {
            let _ = fchown(&self.file, None, Some(gid));
        }
        let mode = self.old.mode() & 0o7777;
        let now = self.file.metadata()?;
        let mode = if now.uid() == uid { mode } else { mode & 0o777 };
        let others = mode & 0o007;
        Ok(if now.gid() == gid { mode } else { mode & 0o707 | others << 3 })
    }

    /// A collector may have merged its file into this one since it was read, or somebody else put
    /// another in its place: what they wrote would be lost.
    fn check_unchanged(&self) -> Result<(), StoreError> {
        let now = fs::symlink_metadata(&self.target);
        let now = now.map_err(StoreError::io("look at", &self.target))?;
        let what =
            |m: &Metadata| (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec(), m.file_type());
        if what(&now) == what(&self.old) {
            return Ok(());
        }
        let why = "it has changed since it was read; try again";
        Err(StoreError::Refused { path: self.target.clone(), why })
    }
}

/// Where a file is.
fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(path) if path.as_os_str().is_empty() => Path::new("."),
        Some(path) => path,
        None => Path::new("/"),
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Names tried for a new file. They are random, so the first one is free.
const TRIES: usize = 16;

/// Makes a file beside another, under a name that nobody can have put a link to.
pub(crate) fn create_beside(target: &Path) -> Result<(PathBuf, File), StoreError> {
    let mut tries = 0;
    loop {
        // A dot in front: no reader of directories takes it for a file of flows.
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".new.{:016x}", RandomState::new().build_hasher().finish()));
        let path = target.with_file_name(name);
        match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
            Err(e) => return Err(StoreError::io("create", &path)(e)),
        }
    }
}

/// Refuses files that someone may be writing, and damaged ones: a change would lose what is there.
pub(crate) fn check_settled(file: &FlowFile) -> Result<(), StoreError> {
    check_not_current(file)?;
    let refused = |why| Err(StoreError::Refused { path: file.path().to_owned(), why });
    match file.state() {
        FileState::Closed => Ok(()),
        FileState::Salvaged { reason: SalvageReason::NotClosed, .. } => {
            refused("it is being written, or its writer died; repair it in the latter case")
        }
        FileState::Salvaged { .. } => refused("it is damaged; repair it first"),
    }
}

/// Refuses the file of a collector that is at work.
pub(crate) fn check_not_current(file: &FlowFile) -> Result<(), StoreError> {
    let path = file.path();
    let behind_links = fs::canonicalize(path).map_err(StoreError::io("find", path))?;
    if is_current(path) || is_current(&behind_links) {
        let why = "a collector is writing it; wait for its end";
        return Err(StoreError::Refused { path: path.to_owned(), why });
    }
    Ok(())
}

/// Whether a file is named as one that is being written, and its writer is not known to be gone.
fn is_current(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(rest) = name.strip_prefix("nfcapd.current") else { return false };
    let own = std::process::id().cast_signed();
    writer_of(rest).is_none_or(|pid| pid == own || sys::process::is_running(pid))
}

/// The process number in `.PID` or `.PID.SLOT.N`. Copies that a collector makes of the file of
/// another have more behind it, and do not say whose they are.
fn writer_of(rest: &str) -> Option<i32> {
    let mut parts = rest.strip_prefix('.')?.split('.');
    let pid = parts.next()?.parse().ok().filter(|n| *n > 0)?;
    parts.all(|p| p.parse::<u64>().is_ok()).then_some(pid)
}

/// An error of the kernel about the file at `path`.
pub(crate) fn read_error(path: &Path) -> impl Fn(io::Error) -> StoreError + '_ {
    move |e| StoreError::io("read", path)(e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Writer, WriterOptions};

    fn flow_file(path: &Path) -> FlowFile {
        Writer::create(path, &WriterOptions::default()).unwrap().close(&[]).unwrap();
        FlowFile::open(path).unwrap()
    }

    #[test]
    fn a_file_that_changed_since_it_was_read_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for longer in [true, false] {
            let file = flow_file(&path);
            let new = Replacement::of(&file).unwrap();
            let octets = fs::read(&path).unwrap();
            if longer {
                fs::write(&path, [&octets[..], b"x"].concat()).unwrap();
            } else {
                // Another file with the same octets.
                fs::write(dir.path().join("g"), &octets).unwrap();
                fs::rename(dir.path().join("g"), &path).unwrap();
            }
            let now = fs::read(&path).unwrap();
            assert!(matches!(new.finish(), Err(StoreError::Refused { .. })), "{longer}");
            assert_eq!(fs::read(&path).unwrap(), now);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
        }
    }

    #[test]
    fn collectors_wait_while_a_name_changes_hands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = flow_file(&path);
        let is_free = || File::open(dir.path()).unwrap().try_lock().is_ok();
        let new = Replacement::of(&file).unwrap();
        assert!(is_free());
        let during = new.finish_after(|target| {
            assert_eq!(target, path.canonicalize().unwrap());
            Ok(is_free())
        });
        assert!(!during.unwrap());
        assert!(is_free());
    }

    #[test]
    fn new_files_are_nobody_elses_and_end_with_the_mode_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for mode in [0o640, 0o444] {
            flow_file(&path);
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let file = FlowFile::open(&path).unwrap();
            let new = Replacement::of(&file).unwrap();
            assert_eq!(new.temporary().metadata().unwrap().mode() & 0o777, 0o600);
            let other = Replacement::of(&file).unwrap();
            assert_ne!(new.temporary(), other.temporary());
            new.finish().unwrap();
            assert_eq!(path.metadata().unwrap().mode() & 0o777, mode);
        }
    }

    #[test]
    fn current_files_are_told_by_name_and_process() {
        let own = std::process::id();
        for (name, want) in [
            ("nfcapd.202611181105".to_owned(), false),
            (format!("nfcapd.current.{own}"), true),
            (format!("nfcapd.current.{own}.1795000200.3"), true),
            ("nfcapd.current".to_owned(), true),
            ("nfcapd.current.A1B2C3".to_owned(), true),
            ("nfcapd.current.0".to_owned(), true),
            // No system has as many processes.
            ("nfcapd.current.2000000000".to_owned(), false),
            ("nfcapd.current.2000000000.1795000200.3".to_owned(), false),
            ("nfcapd.current.2000000000.1795000200.3.merged".to_owned(), true),
        ] {
            assert_eq!(is_current(Path::new(&name)), want, "{name}");
        }
    }
}
