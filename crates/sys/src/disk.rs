//! How much room there is on disk, and who may take it.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

/// Room on the file system of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Octets in all.
    pub size: u64,
    /// Octets that a process without privileges may still take.
    pub free: u64,
    /// Files that may still be made; `u64::MAX` where the file system sets no limit.
    pub free_files: u64,
}

/// Room on the file system that `path` lies on. May wait long where that is across a network.
///
/// # Errors
/// If there is no such path, or the system does not say.
#[allow(clippy::useless_conversion, reason = "the numbers are narrower on 32-bit systems")]
pub fn space(path: &Path) -> io::Result<Space> {
    let stat = statvfs(path)?;
    let unit = u64::from(stat.fragment_size()).max(1);
    let free_files = match u64::from(stat.files()) {
        0 => u64::MAX,
        _ => stat.files_available().into(),
    };
    Ok(Space {
        size: u64::from(stat.blocks()).saturating_mul(unit),
        free: u64::from(stat.blocks_available()).saturating_mul(unit),
        free_files,
    })
}

/// Whether this process may make files in `directory`.
///
/// # Errors
/// The system's reason why not.
pub fn may_write(directory: &Path) -> io::Result<()> {
    Ok(access(directory, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_lies_on_something_of_a_size() {
        let dir = tempfile::tempdir().unwrap();
        let space = space(dir.path()).unwrap();
        assert!(space.size > 0 && space.free <= space.size && space.free_files > 0, "{space:?}");
        let gone = super::space(&dir.path().join("gone")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        may_write(dir.path()).unwrap();
        assert_eq!(may_write(&dir.path().join("gone")).unwrap_err().kind(), gone.kind());
    }
}
