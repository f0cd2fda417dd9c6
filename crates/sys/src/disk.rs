//! How much room there is on disk, and who may take it.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
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

/// Gives a file another name on the same file system, in one step, and never that of a file that is
/// there.
///
/// # Errors
/// `AlreadyExists` if something has the name; `InvalidInput` or `Unsupported` where the file system
/// or the kernel cannot do it in one step.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let [from, to] = [from, to].map(|path| CString::new(path.as_os_str().as_bytes()));
    let (from, to) = (from?, to?);
    // SAFETY: both are strings that end with NUL and live until the call returns; the kernel only
    // reads them.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

    #[test]
    fn a_new_name_is_never_that_of_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
        std::fs::write(&a, b"1").unwrap();
        std::fs::write(&b, b"2").unwrap();
        match rename_new(&a, &b) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => return eprintln!("skipped: not in one step here: {other:?}"),
        }
        assert_eq!(std::fs::read(&b).unwrap(), b"2");
        rename_new(&a, &c).unwrap();
        assert!(!a.exists() && c.exists());
        assert!(rename_new(&a, &c).is_err());
    }
}
