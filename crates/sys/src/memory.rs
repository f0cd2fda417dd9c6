//! Memory: how much may be taken, and advice to the kernel about large areas of it.

use std::fs;
use std::mem::MaybeUninit;

/// Areas smaller than this gain nothing from huge pages.
const WORTH_IT: usize = 2 << 20;

/// Asks for huge pages behind an area that is about to be filled: tables of hundreds of megabytes
/// otherwise spend more time in page faults than in being filled. Small areas, and systems
/// without huge pages, are left as they are.
pub fn prefer_huge_pages<T>(area: &mut [MaybeUninit<T>]) {
    const PAGE: usize = 4096;
    let bytes = size_of_val(area);
    if bytes < WORTH_IT {
        return;
    }
    let start = area.as_mut_ptr().addr();
    let skip = start.next_multiple_of(PAGE) - start;
    let len = (bytes - skip) / PAGE * PAGE;
    // SAFETY: the range lies inside of `area`, which is borrowed for writing, and MADV_HUGEPAGE
    // changes what pages back it, never what it contains. An error means that nothing happened.
    let _ =
        unsafe { libc::madvise(area.as_mut_ptr().byte_add(skip).cast(), len, libc::MADV_HUGEPAGE) };
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

/// What the limit of the control group (version 2) leaves; `None` without one.
fn group_available(text: &str) -> Option<u64> {
    let path = text.lines().find_map(|l| l.strip_prefix("0::"))?;
    let read = |file: &str| -> Option<u64> {
        let text = fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok()?;
        text.trim().parse().ok()
    };
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:       24 kB\nMemAvailable:   20 kB\n";
        assert_eq!(mem_available(text), Some(20 << 10));
        for text in
            ["", "MemAvailable:", "MemAvailable: x kB", "MemAvailable: 99999999999999999999 kB"]
        {
            assert_eq!(mem_available(text), None, "{text}");
        }
        assert!(available().is_none_or(|n| n > 1 << 20), "a test runs in more than that");
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
