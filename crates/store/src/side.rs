//! Where what belongs to flow files lies beside them: damaged originals, statements of loss.
//!
//! Side files of `DIR/NAME` are `DIR/.flowsuite/NAME.SUFFIX.no-pcap`. nfdump walks into every
//! directory, also into one whose name begins with a dot, and one file there that is none of flows
//! ends its run; only names with `pcap` in them and those of temporary files are left out.

use crate::error::StoreError;
use crate::rotate::sync_directory;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the directory.
pub const DIRECTORY: &str = ".flowsuite";
/// What all names of side files end with: for nfdump, which looks for `pcap` in names.
pub(crate) const MARK: &str = ".no-pcap";

/// The side file of `file` with this suffix, whether it exists or not.
///
/// ```
/// let path = store::side::path("flows/nfcapd.202611181105".as_ref(), "damaged");
/// assert_eq!(path, std::path::Path::new("flows/.flowsuite/nfcapd.202611181105.damaged.no-pcap"));
/// ```
pub fn path(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    name.push(MARK);
    directory(file).join(name)
}

/// The side file of this name that belongs to a whole directory, whether it exists or not.
///
/// ```
/// let path = store::side::of_directory("flows".as_ref(), "state");
/// assert_eq!(path, std::path::Path::new("flows/.flowsuite/state.no-pcap"));
/// ```
pub fn of_directory(directory: &Path, name: &str) -> PathBuf {
    directory.join(DIRECTORY).join(format!("{name}{MARK}"))
}

fn directory(file: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(DIRECTORY)
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

/// Puts the names in the directory of a file's side files, and its own, on disk.
pub(crate) fn sync(file: &Path) -> Result<(), StoreError> {
    let directory = directory(file);
    let above =
        file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    for d in [&*directory, above] {
        sync_directory(d).map_err(StoreError::io("sync", d))?;
    }
    Ok(())
}
