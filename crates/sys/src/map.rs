//! Read-only mapping of files.
//!
//! A mapping shows the file as it is, not as it was: whoever maps a file relies on nobody changing
//! it meanwhile. Flow files are finished once and then replaced by renaming, never rewritten, so
//! `store` maps closed ones ([`Map`]) and reads growing ones through system calls. Other people's
//! files may be cut short at any time: a [`Guarded`] map survives that.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The octets of a file, mapped for reading. Unmapped when dropped.
#[derive(Debug)]
pub struct Map(memmap2::Mmap);

impl Map {
    /// Maps all of `file`, which has to be finished: a regular file that no one writes to or cuts
    /// short while the mapping lives. Should someone do so all the same, octets may change between
    /// two looks, and touching pages beyond the new end ends the process with SIGBUS.
    ///
    /// # Errors
    /// The kernel's, for example for a directory or a pipe.
    pub fn open(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is private to this struct and read-only, so nothing in this process
        // writes to it. That no other process does is the contract above, which callers keep by
        // mapping only files whose header says they were closed. Readers of the octets take them
        // as untrusted input: every length in them is checked at each use.
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(map))
    }

    /// Tells the kernel that the octets will be read in order, so that it reads ahead. Where it
    /// does not care, nothing is lost.
    pub fn read_ahead(&self) {
        let _ = self.0.advise(memmap2::Advice::Sequential);
    }

    /// Lets go of the memory of the octets from `start` to `end`, as far as they are whole pages.
    /// Whoever looks at them again gets them from the file. Otherwise all that was read of a file
    /// counts as memory of this process.
    pub fn let_go(&self, start: usize, end: usize) {
        let page = page_size();
        let (start, end) = (start.next_multiple_of(page), end / page * page);
        if start < end && end <= self.0.len() {
            // SAFETY: the map is of a file and never written to, so pages that are let go of come
            // back with the octets of the file, which is all that anybody was promised of them.
            let _ = unsafe {
                self.0.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    start,
                    end - start,
                )
            };
        }
    }
}

fn page_size() -> usize {
    /// Of all systems that we know, none has larger ones.
    const LARGEST: usize = 64 << 10;
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0).unwrap_or(LARGEST)
}

impl Deref for Map {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The octets of a file that others may cut short while it is read: those that are gone are then
/// zero, and [`is_cut`](Self::is_cut) says so. Octets that are added are not seen.
#[derive(Debug)]
pub struct Guarded {
    map: Map,
    area: &'static Area,
}

impl Guarded {
    /// Maps all that `file` has now. `None` if as many files are mapped as can be guarded at a time.
    ///
    /// The first call installs a handler for SIGBUS, which leaves all faults that are not ours to
    /// the handler before it.
    ///
    /// # Errors
    /// As [`Map::open`].
    pub fn open(file: &File) -> io::Result<Option<Self>> {
        if !watch() {
            return Ok(None);
        }
        let map = Map::open(file)?;
        let start = map.as_ptr() as usize;
        let area = AREAS.iter().find(|area| area.take(start, start + map.len()));
        Ok(area.map(|area| Self { map, area }))
    }

    /// Whether octets were asked for that are gone.
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.area.is_cut.load(Ordering::Relaxed)
    }
}

impl Deref for Guarded {
    type Target = Map;

    #[inline]
    fn deref(&self) -> &Map {
        &self.map
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Before the map goes: its addresses may soon be somebody else's.
        self.area.end.store(0, Ordering::Release);
        self.area.start.store(0, Ordering::Release);
    }
}

/// Addresses of a map. Free if `start` is 0; without effect while `end` is.
#[derive(Debug)]
struct Area {
    start: AtomicUsize,
    end: AtomicUsize,
    is_cut: AtomicBool,
}

/// What the handler looks at, which can wait for no lock.
static AREAS: [Area; 64] = [const {
    Area { start: AtomicUsize::new(0), end: AtomicUsize::new(0), is_cut: AtomicBool::new(false) }
}; 64];

impl Area {
    /// Takes a free one.
    fn take(&self, start: usize, end: usize) -> bool {
        let taken = self.start.compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_ok() {
            self.is_cut.store(false, Ordering::Relaxed);
            self.end.store(end, Ordering::Release);
        }
        taken.is_ok()
    }
}

/// What was there for SIGBUS before.
static BEFORE: OnceLock<Option<libc::sigaction>> = OnceLock::new();

/// Whether the handler is installed.
fn watch() -> bool {
    let install = || {
        // SAFETY: all-zero octets are a valid sigaction: no flags, nothing blocked.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
        action.sa_sigaction = handler as usize;
        // A fault in the handler of another fault is still to be handled.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        // SAFETY: as above.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are valid during the call, and the handler does only what a
        // handler may: atomic operations and system calls.
        let result = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before) };
        (result == 0).then_some(before)
    };
    BEFORE.get_or_init(install).is_some()
}

/// Puts zeros where a file has ended, so that the access that failed succeeds when it is tried again.
extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo_t; for SIGBUS it holds an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let is_within = |area: &&Area| {
        let end = area.end.load(Ordering::Acquire);
        (area.start.load(Ordering::Acquire)..end).contains(&address)
    };
    let Some(area) = AREAS.iter().find(is_within) else {
        return pass_on(signal, info, context);
    };
    area.is_cut.store(true, Ordering::Relaxed);
    // A page has 4 KiB at least, and where it has more the kernel rounds the end up; a start within
    // a page is refused, and the fault is then left to the handler before.
    // SAFETY: a plain question.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let start = address - address % page.max(1);
    let len = area.end.load(Ordering::Acquire).saturating_sub(start);
    // SAFETY: these pages are of a map that lives, since somebody touches it; they are replaced by
    // others that can be read as well. What the file does not have any more, it does not have
    // behind it either.
    let zeros = unsafe {
        libc::mmap(
            start as *mut libc::c_void,
            len,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    if zeros == libc::MAP_FAILED {
        pass_on(signal, info, context);
    }
}

/// A fault that is not ours: to the handler before, or as if there was none.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(Some(before)) = BEFORE.get() else { return reset(signal) };
    match before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => reset(signal),
        handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: the flag says that this is the address of such a function.
            let handler: Handler = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without the flag it is the address of a function of this kind.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

/// Has the next fault, which is the same once more, end the process.
fn reset(signal: libc::c_int) {
    // SAFETY: sets the action that every process begins with.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    #[test]
    fn shows_what_the_file_holds() {
        for len in [0, 1, 4095, 4096, 4097, 100_000] {
            let want: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&want).unwrap();
            let map = Map::open(&file).unwrap();
            map.read_ahead();
            assert_eq!(&*map, want, "length {len}");
        }
    }

    #[test]
    fn outlives_the_file_handle_and_the_name() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"flows").unwrap();
        let map = Map::open(file.as_file()).unwrap();
        drop(file);
        assert_eq!(&*map, b"flows");
    }

    #[test]
    fn a_directory_cannot_be_mapped() {
        assert!(Map::open(&File::open("/").unwrap()).is_err());
    }

    /// Held while all areas are taken, or some have to be free.
    static AREAS_IN_USE: Mutex<()> = Mutex::new(());

    #[test]
    fn a_file_that_is_cut_short_ends_in_zeros() {
        let _alone = AREAS_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 100_000]).unwrap();
        let whole = Guarded::open(&file).unwrap().unwrap();
        let other = Guarded::open(&file).unwrap().unwrap();
        assert!(whole.iter().all(|octet| *octet == 7) && !whole.is_cut());
        file.set_len(50_000).unwrap();
        assert_eq!(whole[10], 7);
        assert!(!whole.is_cut(), "nobody has asked for what is gone");
        assert_eq!(whole[90_000], 0);
        assert!(whole.is_cut() && !other.is_cut());
        assert_eq!((whole[49_999], whole[99_999], whole.len()), (7, 0, 100_000));
        drop(whole);
        file.set_len(100_000).unwrap();
        let again = Guarded::open(&file).unwrap().unwrap();
        assert!(!again.is_cut() && again[90_000] == 0);
        assert_eq!(other[60_000], 0, "of the longer file");
        assert!(!other.is_cut());
    }

    #[test]
    fn no_more_files_than_can_be_guarded() {
        let _alone = AREAS_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"x").unwrap();
        let mut all = Vec::new();
        while let Some(map) = Guarded::open(&file).unwrap() {
            all.push(map);
            assert!(all.len() <= AREAS.len());
        }
        assert_eq!(all.len(), AREAS.len());
        all.clear();
        assert!(Guarded::open(&file).unwrap().is_some());
    }

    /// How a process ends that runs the ignored test `name` alone.
    fn end_of(name: &str) -> std::process::ExitStatus {
        let exe = std::env::current_exe().unwrap();
        let mut alone = std::process::Command::new(exe);
        alone.args(["--exact", "--ignored", "--test-threads=1", name]);
        alone.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        alone.status().unwrap()
    }

    #[test]
    fn faults_of_others_end_the_process_as_ever() {
        use std::os::unix::process::ExitStatusExt;
        let end = end_of("map::tests::alone_faults_outside");
        assert_eq!(end.signal(), Some(libc::SIGBUS), "{end}");
    }

    #[test]
    #[ignore = "run by faults_of_others_end_the_process_as_ever, in a process of its own"]
    fn alone_faults_outside() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 100_000]).unwrap();
        let guarded = Guarded::open(&file).unwrap().unwrap();
        let bare = Map::open(&file).unwrap();
        file.set_len(0).unwrap();
        assert_eq!(guarded[0], 0);
        assert_eq!(bare[0], 0, "never comes so far");
    }
}
