//! Locks on files as other programs take them: records of fcntl, not flock.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::io;

/// Waits until no other process, and no other file opened in this one, has a lock on any part of
/// `file`, and takes one on all of it for writing. Closing the file gives it back.
///
/// The lock excludes those of `F_SETLK`, but unlike them is not given back when the process closes
/// some other descriptor of the same file.
///
/// # Errors
/// If the file is not open for writing, or its file system has no locks.
pub fn lock_whole(file: &File) -> io::Result<()> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLKW(&whole)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_waits_for_the_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().write(true).open(file.path()).unwrap();
        let first = open();
        lock_whole(&first).unwrap();
        let second = open();
        let free = libc::flock {
            l_type: libc::F_WRLCK as _,
            l_whence: libc::SEEK_SET as _,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        assert_eq!(fcntl(&second, FcntlArg::F_OFD_SETLK(&free)), Err(Errno::EAGAIN));
        let waiter = std::thread::spawn(move || lock_whole(&second));
        drop(first);
        waiter.join().unwrap().unwrap();
        let read_only = File::open(file.path()).unwrap();
        assert!(lock_whole(&read_only).is_err());
    }
}
