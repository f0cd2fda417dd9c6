//! Removing files after privileges were given up.
//!
//! Pid files and control sockets lie in directories of root's. Whoever has become somebody else can
//! no longer remove them, so a child is left behind that can, and does nothing else: it is told the
//! files while the process is still trusted, waits for its end, however it comes, and removes those
//! that are still the same.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

use crate::Error;
use crate::process::threads;

/// The line to the child. While it is open, nothing is removed.
#[derive(Debug)]
pub struct Caretaker {
    line: io::PipeWriter,
}

/// What ends the list of files: no path has it.
const END: u8 = 0;

impl Caretaker {
    /// Starts the child. To be called before any thread is started, and before anything is opened
    /// that must not stay open for as long as the child lives.
    ///
    /// # Errors
    /// If threads run already, or the system refuses a step.
    pub fn start() -> Result<Self, Error> {
        let threads = threads();
        if threads > 1 {
            return Err(Error::DaemonThreads { threads });
        }
        let failed = |step| move |source| Error::Daemon { step, source };
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        let null = null.map_err(failed("open /dev/null"))?;
        let (reads, line) = io::pipe().map_err(failed("pipe"))?;
        // SAFETY: this is the only thread (checked above), so no lock can be held by a thread that
        // the child lacks.
        match unsafe { fork() }.map_err(|e: Errno| failed("fork")(e.into()))? {
            ForkResult::Parent { .. } => Ok(Self { line }),
            ForkResult::Child => {
                drop(line);
                wait_and_remove(reads, &null);
                // SAFETY: `_exit` ends the process at once and runs no handlers, which belong to
                // the parent.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Names the files, which have to be there, and nothing more: whatever this process says from
    /// now on is not heard. To be called before privileges are given up.
    ///
    /// # Errors
    /// If the child does not hear it.
    pub fn entrust<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) -> io::Result<()> {
        let mut text = Vec::new();
        for file in files {
            let whole = std::path::absolute(file)?;
            let Identity(device, number) = identity(&whole)?;
            write!(text, "{device} {number} ")?;
            text.extend_from_slice(whole.as_os_str().as_bytes());
            text.push(b'\n');
        }
        text.push(END);
        self.line.write_all(&text)
    }
}

/// The life of the child.
fn wait_and_remove(line: io::PipeReader, null: &File) {
    // Signals for the group of processes mean the parent, which says itself when it is over.
    for each in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: ignoring a signal runs no handler.
        let _ = unsafe { signal(each, SigHandler::SigIgn) };
    }
    let _ = setsid();
    // Nobody shall wait for the end of our output.
    let _ = dup2_stdin(null).and_then(|()| dup2_stdout(null)).and_then(|()| dup2_stderr(null));
    let _ = std::env::set_current_dir("/");
    close_all_but(line.as_raw_fd());
    let mut line = BufReader::new(line);
    let mut list = Vec::new();
    if line.read_until(END, &mut list).is_err() || list.pop() != Some(END) {
        return; // ended before anything was entrusted
    }
    // Whatever comes now is not for us: only the end is.
    let _ = io::copy(&mut line, &mut io::sink());
    for (entrusted, path) in list.split(|b| *b == b'\n').filter_map(entry) {
        if identity(&path).is_ok_and(|found| found == entrusted) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Device and number of a file.
#[derive(PartialEq, Eq)]
struct Identity(u64, u64);

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|m| Identity(m.dev(), m.ino()))
}

/// Reads `DEVICE NUMBER PATH`.
fn entry(text: &[u8]) -> Option<(Identity, PathBuf)> {
    let mut parts = text.splitn(3, |b| *b == b' ');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse().ok();
    let identity = Identity(number()?, number()?);
    Some((identity, OsString::from_vec(parts.next()?.to_vec()).into()))
}

/// Closes what was inherited: sockets that are open here would go on receiving, locks would last.
fn close_all_but(keep: i32) {
    let Ok(list) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> =
        list.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && *fd != keep) {
        // SAFETY: this process uses no descriptor but 0 to 2 and `keep`; whatever owns the others
        // here is never dropped, because the process ends by `_exit`. The one that listed them is
        // closed already, so closing it again only fails.
        unsafe { libc::close(fd) };
    }
}
