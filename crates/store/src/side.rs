//! Where what belongs to a flow file lies beside it: statements of loss, indexes.
//!
//! Side files of `DIR/NAME` are `DIR/.flowsuite/NAME.SUFFIX.no-pcap`. nfdump walks into every
//! directory, also into one whose name begins with a dot, and one file there that is none of flows
//! ends its run; only names with `pcap` in them and those of temporary files are left out.

use crate::error::StoreError;
use crate::rotate::sync_directory;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the directory.
pub const DIRECTORY: &str = ".flowsuite";
/// What all names of side files end with: for nfdump, which looks for `pcap` in names.
pub(crate) const MARK: &str = ".no-pcap";

/// The side file of `file` with this suffix, whether it exists or not.
///
/// ```
/// let path = store::side::path("flows/nfcapd.202611181105".as_ref(), "loss");
/// assert_eq!(path, std::path::Path::new("flows/.flowsuite/nfcapd.202611181105.loss.no-pcap"));
/// ```
pub fn path(file: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix(file);
    name.push(suffix);
    name.push(MARK);
    directory(file).join(name)
}

fn directory(file: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(DIRECTORY)
}

fn prefix(file: &Path) -> OsString {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name
}

pub(crate) fn create_directory(file: &Path) -> Result<(), StoreError> {
    let directory = directory(file);
    match fs::create_dir(&directory) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists || !directory.is_dir() => {
            Err(StoreError::io("create", &directory)(e))
        }
        _ => Ok(()),
    }
}

/// Writes a side file: whoever reads it finds the old content or the new one, whole. Makes the
/// directory if there is none.
///
/// # Errors
/// If it cannot be written; one that was there before stays.
pub fn write_atomically(file: &Path, suffix: &str, content: &[u8]) -> Result<PathBuf, StoreError> {
    create_directory(file)?;
    let target = path(file, suffix);
    let mut temporary = target.clone().into_os_string();
    temporary.push(format!(".new.{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let write = || {
        let mut out = File::create(&temporary)?;
        out.write_all(content)?;
        out.sync_all()?;
        fs::rename(&temporary, &target)?;
        sync_directory(&directory(file))
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        StoreError::io("write", &target)(e)
    })?;
    Ok(target)
}

/// All side files of a file, in order of their names; none if there is no directory.
///
/// # Errors
/// If the directory cannot be read.
pub fn list(file: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let directory = directory(file);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::io("list", &directory)(e)),
    };
    let prefix = prefix(file);
    let mut all = Vec::new();
    for entry in entries {
        let name = entry.map_err(StoreError::io("list", &directory))?.file_name();
        if begins_with(&name, &prefix) {
            all.push(directory.join(name));
        }
    }
    all.sort();
    Ok(all)
}

fn begins_with(name: &OsStr, prefix: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes())
}

/// Removes a flow file and all its side files, and the directory when it is empty then. The flow
/// file goes first: side files of a file that is gone mislead no one.
///
/// # Errors
/// If one of them cannot be removed. A flow file that is gone already is no error.
pub fn remove_with(file: &Path) -> Result<(), StoreError> {
    let gone = |path: &Path| match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(e)),
        _ => Ok(()),
    };
    gone(file)?;
    for side in list(file)? {
        gone(&side)?;
    }
    // Fails as long as other files have something in it.
    let _ = fs::remove_dir(directory(file));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_files_are_written_listed_and_removed_with_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("nfcapd.1"), dir.path().join("nfcapd.11"));
        for f in [&a, &b] {
            fs::write(f, b"x").unwrap();
            assert_eq!(list(f).unwrap(), [] as [PathBuf; 0]);
        }
        let loss = write_atomically(&a, "loss", b"old").unwrap();
        assert_eq!(write_atomically(&a, "loss", b"new").unwrap(), loss);
        assert_eq!(fs::read(&loss).unwrap(), b"new");
        let index = write_atomically(&a, "index", b"").unwrap();
        let other = write_atomically(&b, "loss", b"").unwrap();
        assert_eq!(list(&a).unwrap(), [index, loss]);
        assert_eq!(list(&b).unwrap(), std::slice::from_ref(&other));
        remove_with(&a).unwrap();
        assert!(!a.exists() && list(&a).unwrap().is_empty() && other.exists());
        remove_with(&a).unwrap();
        remove_with(&b).unwrap();
        assert!(!dir.path().join(DIRECTORY).exists());
    }

    #[test]
    fn a_name_that_cannot_be_written_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::create_dir_all(path(&file, "loss")).unwrap();
        assert!(write_atomically(&file, "loss", b"x").is_err());
        assert_eq!(list(&file).unwrap(), [path(&file, "loss")]);
    }
}
