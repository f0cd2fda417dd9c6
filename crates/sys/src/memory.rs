//! Advice to the kernel about large areas of memory.

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

#[cfg(test)]
mod tests {
    use super::*;

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
