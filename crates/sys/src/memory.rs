//! Memory: how much may be taken, and advice to the kernel about large areas of it.

use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;

/// Areas smaller than this gain nothing from huge pages.
const WORTH_IT: usize = (2 << 20) - 8192;

/// Asks for huge pages behind an area that is about to be filled: tables of hundreds of megabytes
/// otherwise spend more time in page faults than in being filled. Small areas, and systems
/// without huge pages, are left as they are.
pub fn prefer_huge_pages<T>(area: &mut [MaybeUninit<T>]) {
    const PAGE: usize = 4096;
    let bytes = size_of_val(area);
    if bytes < WORTH_IT {
        return;
    }
    let place = area.as_mut_ptr().cast::<u8>();
    // From the begin of its first page: an area that fills a huge page but for what the allocator
    // keeps beside it gets one.
    let before = place.addr() % PAGE;
    let len = (before + bytes).next_multiple_of(PAGE);
    // SAFETY: each page of the range holds a part of `area`, so all of them are mapped.
    // MADV_HUGEPAGE changes what backs them, never what they contain, so that others may own the
    // rest of the first and the last one. An error means that nothing happened.
    let _ = unsafe { libc::madvise(place.wrapping_sub(before).cast(), len, libc::MADV_HUGEPAGE) };
}

/// Asks the processor to bring the cache line where `place` begins, so that it is there when it is
/// needed. Worth it for tables larger than the caches of the processor, some tens of nanoseconds
/// ahead; does nothing where the processor has no such instruction.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    prefetch_at(place);
}

/// The same for any address, whether there is something or not.
#[inline(always)]
pub(crate) fn prefetch_at<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is part of every x86-64 processor, reads nothing that the program
        // can see and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above, for every AArch64 processor.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}

/// Octets that this process may still take without driving the system, or the control group it
/// runs in, out of memory. `None` where the system does not say.
pub fn available() -> Option<u64> {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|t| mem_available(&t));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|t| group_available(&t));
    [system, group].into_iter().flatten().min()
}

/// `MemAvailable` of `/proc/meminfo`, which is in KiB.
fn mem_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What the limits of the control group (version 2) and of the groups around it leave; `None`
/// without one.
fn group_available(text: &str) -> Option<u64> {
    let path = text.lines().find_map(|l| l.strip_prefix("0::"))?;
    let groups = Path::new(path).ancestors().take(32);
    groups.filter_map(|group| left_in(&Path::new("/sys/fs/cgroup").join(relative(group)))).min()
}

fn relative(group: &Path) -> &Path {
    group.strip_prefix("/").unwrap_or(group)
}

/// What one group may still take. Pages of files that nobody uses count as used there, but are
/// given back before anything else has to go.
fn left_in(group: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let number = |file: &str| -> Option<u64> { read(file)?.trim().parse().ok() };
    let used = number("memory.current")?;
    let given_back = read("memory.stat").and_then(|t| inactive_file(&t)).unwrap_or(0);
    Some(number("memory.max")?.saturating_sub(used.saturating_sub(given_back)))
}

/// `inactive_file` of a group's `memory.stat`.
fn inactive_file(text: &str) -> Option<u64> {
    text.lines().find_map(|l| l.strip_prefix("inactive_file "))?.trim().parse().ok()
}

/// Asks the allocator to give areas of 256 KiB and more back to the system as soon as they are
/// free. Otherwise it keeps them for later, and a program that frees one large table while it
/// fills another one holds both. For programs, once, at their start: the whole process is meant.
pub fn give_back_large_areas() {
    /// Smaller areas are too many to have the system look after each.
    #[cfg(target_env = "gnu")]
    const LARGE: libc::c_int = 256 << 10;
    // SAFETY: mallopt changes a parameter of the allocator under its lock, and no area.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets of memory that the process holds.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn resident() -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn what_is_freed_is_given_back() {
        give_back_large_areas();
        let areas: Vec<Vec<u8>> = (0..100).map(|n| vec![n; 2 << 20]).collect();
        let full = resident();
        let last = areas.into_iter().last(); // frees all those below it
        let left = resident();
        assert!(left + (150 << 20) < full, "{left} of {full} octets are still held");
        assert_eq!(last.map(|l| l.len()), Some(2 << 20));
    }

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:       24 kB\nMemAvailable:   20 kB\n";
        assert_eq!(mem_available(text), Some(20 << 10));
        for text in
            ["", "MemAvailable:", "MemAvailable: x kB", "MemAvailable: 99999999999999999999 kB"]
        {
            assert_eq!(mem_available(text), None, "{text}");
        }
        assert_eq!(inactive_file("anon 7\ninactive_file 4096\nfile 9\n"), Some(4096));
        assert_eq!(inactive_file("active_file 4096\n"), None);
        let group = tempfile::tempdir().unwrap();
        assert_eq!(left_in(group.path()), None, "no limit is known");
        for (file, text) in [
            ("memory.max", "1000\n"),
            ("memory.current", "900\n"),
            ("memory.stat", "inactive_file 700\n"),
        ] {
            fs::write(group.path().join(file), text).unwrap();
        }
        assert_eq!(left_in(group.path()), Some(800));
        fs::write(group.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(left_in(group.path()), None);
        assert!(available().is_none_or(|n| n > 1 << 20), "a test runs in more than that");
    }

    #[test]
    fn what_is_asked_for_early_stays_as_it_is() {
        let table: Vec<u64> = (0..10_000).collect();
        table.iter().step_by(7).for_each(prefetch);
        prefetch(&());
        assert!(table.iter().zip(0..).all(|(a, b)| *a == b));
    }

    #[test]
    fn contents_stay() {
        for bytes in [0, 1, 4096, WORTH_IT - 1, WORTH_IT, 3 * WORTH_IT + 5] {
            let mut area: Vec<u8> = Vec::with_capacity(bytes + 64);
            prefer_huge_pages(&mut area.spare_capacity_mut()[..bytes]);
            area.resize(bytes, 7);
            assert!(area.iter().all(|b| *b == 7));
            area.reserve(bytes);
            prefer_huge_pages(area.spare_capacity_mut());
            assert!(area.iter().all(|b| *b == 7), "{bytes} octets beside an advised area");
        }
    }
}
