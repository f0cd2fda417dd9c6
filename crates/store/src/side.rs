//! Where what belongs to flow files lies beside them: damaged originals, statements of loss,
//! counters of interfaces.
//!
//! Side files of `DIR/NAME` are `DIR/.flowsuite-NAME.SUFFIX.no-pcap`. nfdump reads every file, also
//! one whose name begins with a dot, and one that is none of flows ends its run; only names with
//! `pcap` in them and those of temporary files are left out. A directory of their own would be
//! tidier, but nfexpire tries to remove every directory that begins with a dot, and complains.
//!
//! What belongs to a day rather than to a file is in `BASE/.flowsuite-KIND.YYYYMMDD.no-pcap`, where
//! `BASE` is the directory of the collector, so that directories by day or hour can be emptied and
//! removed. [`expire_days`] removes those of days that are gone.

use crate::error::StoreError;
use crate::rotate::local_day;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What all names of side files begin with.
pub const PREFIX: &str = ".flowsuite-";
/// What all names of side files end with: for nfdump, which looks for `pcap` in names.
pub(crate) const MARK: &str = ".no-pcap";

/// Levels between a flow file and the directory of its collector: `%Y/%m/%d/%H`, and one to spare.
pub(crate) const MAX_LEVELS: usize = 5;

/// `YYYYMMDD` of a moment, in local time as in the names of flow files.
pub fn day_of(secs: u64) -> String {
    local_day(secs)
}

/// `YYYYMMDD` of `nfcapd.YYYYMMDDhhmm`.
pub fn day_in_name(name: &str) -> Option<&str> {
    let day = name.split_once('.')?.1.get(..8)?;
    day.bytes().all(|b| b.is_ascii_digit()).then_some(day)
}

/// Kind and day of `.flowsuite-KIND.YYYYMMDD.no-pcap`.
pub(crate) fn parse_day_file(name: &str) -> Option<(&str, &str)> {
    let (kind, day) = name.strip_prefix(PREFIX)?.strip_suffix(MARK)?.split_once('.')?;
    let is_day = day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit());
    (is_day && !kind.is_empty()).then_some((kind, day))
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Files.
    pub files: u64,
    /// Octets they took on disk.
    pub bytes: u64,
}

/// Removes the side files of all days before `first_kept` (`YYYYMMDD`): that of the oldest flow
/// file that is left, or today where none is. What belongs to single files stays.
///
/// # Errors
/// If the directory cannot be read or a file not removed. Files that are gone already are no error,
/// and neither is a collector without side files.
pub fn expire_days(base: &Path, first_kept: &str) -> Result<Expired, StoreError> {
    use std::os::unix::fs::MetadataExt;
    let mut expired = Expired::default();
    for path in of_days_before(base, first_kept)? {
        let bytes = path.symlink_metadata().map_or(0, |m| 512 * m.blocks());
        match fs::remove_file(&path) {
            Ok(()) => {
                expired.files += 1;
                expired.bytes += bytes;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::io("remove", &path)(e)),
        }
    }
    Ok(expired)
}

/// The side files of all days before `first_kept` (`YYYYMMDD`).
pub(crate) fn of_days_before(base: &Path, first_kept: &str) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(base).map_err(StoreError::io("read", base))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read", base))?;
        let name = entry.file_name();
        let day = name.to_str().and_then(parse_day_file).map(|(_, day)| day);
        if day.is_some_and(|day| day < first_kept) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

/// The side file of `file` with this suffix, whether it exists or not.
///
/// ```
/// let path = store::side::path("flows/nfcapd.202611181105".as_ref(), "damaged");
/// assert_eq!(path, std::path::Path::new("flows/.flowsuite-nfcapd.202611181105.damaged.no-pcap"));
/// ```
pub fn path(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(PREFIX);
    name.push(file.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    name.push(MARK);
    file.with_file_name(name)
}

/// The side file of this name that belongs to a whole directory, whether it exists or not.
///
/// ```
/// let path = store::side::of_directory("flows".as_ref(), "state");
/// assert_eq!(path, std::path::Path::new("flows/.flowsuite-state.no-pcap"));
/// ```
pub fn of_directory(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{PREFIX}{name}{MARK}"))
}

/// The side file of this kind and day (`YYYYMMDD`), in the directory of its collector.
pub(crate) fn of_day(base: &Path, kind: &str, day: &str) -> PathBuf {
    of_directory(base, &format!("{kind}.{day}"))
}

/// The side files in a directory of flow files, all of them, in order. A directory that cannot be
/// read has none.
pub fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_side = |name: &str| name.starts_with(PREFIX) && name.ends_with(MARK);
    let is_ours = |entry: &fs::DirEntry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file && entry.file_name().to_str().is_some_and(is_side)
    };
    let mut all: Vec<PathBuf> = entries.filter(is_ours).map(|entry| entry.path()).collect();
    // As octets, not part by part as paths are compared.
    all.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    all
}

/// Those of a [`list`] that belong to the flow file of this name.
pub fn of_file<'a>(list: &'a [PathBuf], directory: &Path, name: &str) -> &'a [PathBuf] {
    let first = directory.join(format!("{PREFIX}{name}."));
    let start = list.partition_point(|path| path.as_os_str() < first.as_os_str());
    let rest = list.get(start..).unwrap_or_default();
    let count = rest.iter().take_while(|path| belongs_to(path, name)).count();
    rest.get(..count).unwrap_or_default()
}

/// Whether a side file belongs to the flow file of this name.
pub(crate) fn belongs_to(side_file: &Path, name: &str) -> bool {
    let of = side_file.file_name().and_then(|n| n.to_str());
    let rest = of.and_then(|n| n.strip_prefix(PREFIX)?.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_gone_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(expire_days(dir.path(), "20260411").unwrap(), Expired::default());
        let side = dir.path();
        let gone = [
            ".flowsuite-loss.20260409.no-pcap",
            ".flowsuite-counters.20260410.no-pcap",
            ".flowsuite-later.20251231.no-pcap",
        ];
        let kept = [
            ".flowsuite-loss.20260411.no-pcap",
            ".flowsuite-counters.20260412.no-pcap",
            ".flowsuite-loss.unknown.no-pcap",
            ".flowsuite-nfcapd.202604091200.damaged.no-pcap",
            ".flowsuite-loss.20260409",
            ".flowsuite-.20260409.no-pcap",
            "loss.20260409.no-pcap",
        ];
        for name in gone.iter().chain(&kept) {
            fs::write(side.join(name), "x").unwrap();
        }
        let expired = expire_days(dir.path(), "20260411").unwrap();
        assert_eq!((expired.files, expired.bytes > 0), (3, true));
        for (names, is_there) in [(&gone[..], false), (&kept[..], true)] {
            names.iter().for_each(|n| assert_eq!(side.join(n).exists(), is_there, "{n}"));
        }
        assert_eq!(expire_days(dir.path(), "20260411").unwrap(), Expired::default());
    }

    #[test]
    fn names_say_which_flow_file_they_belong_to() {
        for (name, want) in [
            ("nfcapd.202611181105.damaged.no-pcap", true),
            ("nfcapd.20261118110500.damaged.no-pcap", false),
            ("nfcapd.202611181105", false),
            ("loss.20261118.no-pcap", false),
        ] {
            let path = Path::new("x").join(format!("{PREFIX}{name}"));
            assert_eq!(belongs_to(&path, "nfcapd.202611181105"), want, "{name}");
        }
    }
}
