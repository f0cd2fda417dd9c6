//! What lies in the directories of flows: how new, how large, whether it grows and can be read.

use super::observed::Directory;
use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use store::FlowFile;

/// As whom files are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Entries of directories that are looked at, at most: a look has to end.
const MOST: usize = 200_000;
/// Levels of sub directories: a directory for each exporter, and `%Y/%m/%d/%H`.
const LEVELS: usize = 6;

/// Looks at a directory for the first time.
pub(super) fn look(path: &Path, user: User, now_ms: u64) -> Directory {
    let mut seen = Directory { path: path.to_owned(), ..Directory::default() };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) => {
            seen.is_hidden = is_hidden(&e, user);
            seen.trouble = Some(e.to_string());
            return seen;
        }
    };
    seen.space = sys::disk::space(path).ok();
    seen.refusal = refusal(path, &metadata, user);
    let mut found = Found::default();
    found.walk(path, LEVELS);
    seen.is_hidden = found.trouble.as_ref().is_some_and(|(_, e)| is_hidden(e, user));
    seen.trouble = found.trouble.take().map(|(dir, e)| format!("{}: {e}", dir.display()));
    seen.is_cut_short = found.entries >= MOST;
    let age = |m: &Metadata| (now_ms / 1000).saturating_sub(u64::try_from(m.mtime()).unwrap_or(0));
    let newest = found.newest.and_then(|path| Some((fs::metadata(&path).ok()?, path)));
    seen.newest = newest.map(|(m, path)| (path, m.len(), age(&m)));
    for path in found.open {
        if let Ok(metadata) = fs::metadata(&path) {
            let records = records(&path).unwrap_or(0);
            seen.open.push((path, metadata.len(), records, age(&metadata)));
        }
    }
    if let Some((path, ..)) = &seen.newest {
        seen.readable = Some(read(path));
    }
    seen
}

/// Looks once more, and compares.
pub(super) fn look_again(before: Directory, user: User, now_ms: u64) -> Directory {
    let mut now = look(&before.path, user, now_ms);
    let size = |d: &Directory| d.open.iter().map(|o| (o.0.clone(), o.1)).collect::<BTreeSet<_>>();
    now.has_grown = size(&now) != size(&before)
        || now.newest.as_ref().map(|n| &n.0) != before.newest.as_ref().map(|n| &n.0);
    now
}

/// The directories of exporters in that of `-M`, some hundred at most.
pub(super) fn below(dir: &Path) -> Vec<PathBuf> {
    const MOST: usize = 256;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .take(MOST)
        .collect()
}

#[derive(Default)]
struct Found {
    entries: usize,
    newest: Option<PathBuf>,
    open: Vec<PathBuf>,
    trouble: Option<(PathBuf, io::Error)>,
}

impl Found {
    fn walk(&mut self, dir: &Path, levels: usize) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => {
                self.trouble.get_or_insert_with(|| (dir.to_owned(), e));
                return;
            }
        };
        let mut below = Vec::new();
        for entry in entries.flatten() {
            self.entries += 1;
            if self.entries >= MOST {
                return;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !name.starts_with('.') => below.push(entry.path()),
                Ok(kind) if kind.is_file() => self.file(&name, entry.path()),
                _ => {}
            }
        }
        // Directories by date: the latest are last.
        below.sort();
        below.reverse();
        let is_dated = |p: &PathBuf| {
            let name = p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            name.chars().all(|c| c.is_ascii_digit() || c == '-') && name.len() <= 10
        };
        /// Enough to find the latest file where a new directory is empty yet.
        const LATEST: usize = 2;
        let mut dated = 0;
        for path in below {
            let is_dated = is_dated(&path) && !path.to_string_lossy().contains("--");
            dated += usize::from(is_dated);
            if levels > 0 && (!is_dated || dated <= LATEST || is_address(&path)) {
                self.walk(&path, levels - 1);
            }
        }
    }

    fn file(&mut self, name: &str, path: PathBuf) {
        const MOST_OPEN: usize = 64;
        if name.starts_with("nfcapd.current") {
            if self.open.len() < MOST_OPEN {
                self.open.push(path);
            }
        } else if name.strip_prefix("nfcapd.").is_some_and(|rest| rest.starts_with('2')) {
            let stamp = |p: &Path| p.file_name().map(|n| n.to_owned());
            if self.newest.as_deref().is_none_or(|newest| stamp(newest) < stamp(&path)) {
                self.newest = Some(path);
            }
        }
    }
}

/// Whether a directory is named by an address, as those of `-M` are: `192-0-2-1`.
fn is_address(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.split('-').count() == 4
}

/// Records in a file that may still be written to: of flows, and of who exported them.
fn records(path: &Path) -> Result<u64, String> {
    let file = FlowFile::open(path).map_err(|e| e.to_string())?;
    Ok(file.blocks().iter().map(|block| u64::from(block.records)).sum())
}

/// Reads a finished file, whole unless it is very large.
fn read(path: &Path) -> Result<u64, String> {
    const LARGE: u64 = 64 << 20;
    let len = fs::metadata(path).map_err(|e| e.to_string())?.len();
    let file = FlowFile::open(path).map_err(|e| e.to_string())?;
    if file.header().encrypted {
        return Ok(0);
    }
    if let Some(damage) = file.state().damage() {
        return Err(damage);
    }
    if len > LARGE {
        return records(path);
    }
    let verified = store::verify::verify(path).map_err(|e| e.to_string())?;
    match verified.is_sound() {
        true => Ok(verified.flows),
        false => Err("some blocks are damaged".to_owned()),
    }
}

/// Whether something cannot be seen because we are not the collector's user.
fn is_hidden(e: &io::Error, user: User) -> bool {
    let ours = fs::metadata("/proc/self").map(|m| m.uid());
    e.kind() == io::ErrorKind::PermissionDenied && ours.is_ok_and(|ours| ours != user.uid)
}

/// Why a user may not make files in a directory, by its owner and mode; ACLs are not looked at.
fn refusal(path: &Path, metadata: &Metadata, user: User) -> Option<String> {
    const READ_ONLY: i32 = 30;
    if !metadata.is_dir() {
        return Some("it is no directory".to_owned());
    }
    let own = sys::disk::may_write(path).err();
    if own.as_ref().and_then(io::Error::raw_os_error) == Some(READ_ONLY) {
        return Some("its file system is mounted read-only".to_owned());
    }
    let shift = match (metadata.uid() == user.uid, metadata.gid() == user.gid) {
        (true, _) => 6,
        (_, true) => 3,
        _ => 0,
    };
    let may = user.uid == 0 || metadata.mode() >> shift & 0o3 == 0o3;
    (!may).then(|| {
        let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        format!("it belongs to user {uid} and group {gid} with mode {mode:o}, and the collector works as user {}", user.uid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: User = User { uid: 0, gid: 0 };

    #[test]
    fn the_newest_file_is_found_in_every_layout() {
        for (name, files, want) in [
            ("flat", &["nfcapd.202611181105", "nfcapd.202611181110"][..], "nfcapd.202611181110"),
            (
                "days",
                &["2026/11/17/nfcapd.202611172355", "2026/11/18/nfcapd.202611180000"],
                "nfcapd.202611180000",
            ),
            (
                "a new day without a file",
                &["2026-11-17/nfcapd.202611172355", "2026-11-18/x"],
                "nfcapd.202611172355",
            ),
            (
                "exporters",
                &[
                    "192-0-2-1/nfcapd.202611180000",
                    "192-0-2-2/nfcapd.202611180005",
                    "192-0-2-3/nfcapd.202611170000",
                    "2001-db8--1/2026/11/nfcapd.202611180001",
                ],
                "nfcapd.202611180005",
            ),
            ("hidden", &[".old/nfcapd.202711180000", "nfcapd.202611180000"], "nfcapd.202611180000"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let path = dir.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "x").unwrap();
            }
            let seen = look(dir.path(), ROOT, 0);
            let newest = seen.newest.expect(name).0;
            assert_eq!(newest.file_name().unwrap(), want, "{name}");
            assert!(matches!(seen.readable, Some(Err(_))), "{name}: no flow file");
        }
    }

    #[test]
    fn rights_are_those_of_the_collectors_user() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (uid, gid) = {
            let m = fs::metadata(dir.path()).unwrap();
            (m.uid(), m.gid())
        };
        let other = User { uid: uid + 4321, gid: gid + 4321 };
        for (mode, user, may) in [
            (0o700, User { uid, gid: other.gid }, true),
            (0o700, other, false),
            (0o770, User { gid, ..other }, true),
            (0o750, User { gid, ..other }, false),
            (0o757, other, true),
            (0o755, other, false),
            (0o000, ROOT, true),
        ] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            let metadata = fs::metadata(dir.path()).unwrap();
            assert_eq!(refusal(dir.path(), &metadata, user).is_none(), may, "{mode:o} {user:?}");
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn what_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(look(&dir.path().join("gone"), ROOT, 0).trouble.is_some());
        let before = look(dir.path(), ROOT, 0);
        assert!(before.newest.is_none() && before.open.is_empty());
        fs::write(dir.path().join("nfcapd.current.1"), "x").unwrap();
        let now = look_again(before, ROOT, 0);
        assert!(now.has_grown && now.open.len() == 1);
        assert!(!look_again(now, ROOT, 0).has_grown);
    }
}
