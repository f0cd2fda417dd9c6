//! Sets of keys that answer "certainly not" or "maybe": Bloom filters, cut into pages so that a
//! question reads one page, whose sum is checked, and into words of 64 bits so that a key is set by
//! two writes.
//!
//! An address belongs to one page by its network. Within it, the network sets a few bits of one
//! word and the address a few of another one, so that one look tells of both. A set has [`PAGE`]
//! octets a page, and one page that is shorter if it needs no whole one. That all bits of a half are
//! in one word makes wrong answers a little more frequent than bits anywhere in the page would: of
//! a file, 20 in ten thousand where those would have 14.

use crate::key::Key;
use twox_hash::XxHash3_64;

/// Octets of a page at most, with its sum at the end.
pub(crate) const PAGE: usize = 4096;
/// Octets of the sum: XXH3 (seed 0) of the octets before it.
const SUM: usize = 8;
/// Words of a whole page, without its sum.
const WORDS: usize = (PAGE - SUM) / 8;
/// Octets that a set may have: what says more is damage.
pub(crate) const MOST: usize = 1 << 28;
/// Bits that a half may set.
const PROBES: u8 = 5;

/// How much room keys get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Density {
    /// Bits an address.
    pub(crate) bits: usize,
    /// Bits that each network sets, and each address besides.
    pub(crate) net: u8,
    pub(crate) own: u8,
}

/// Where a set lies, and what it takes to ask it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Octets of all pages.
    pub(crate) len: u32,
    /// Bits that each network sets; 0 if nothing is known, and the answer is always maybe.
    pub(crate) net: u8,
    /// Bits that each address sets besides.
    pub(crate) own: u8,
}

impl Shape {
    /// That of a set for about so many addresses.
    pub(crate) fn of(keys: usize, density: Density) -> Self {
        let octets = keys.saturating_mul(density.bits).div_ceil(8).max(1);
        let room = PAGE - SUM;
        let len = match octets <= room {
            true => octets.next_multiple_of(8) + SUM,
            false => octets.div_ceil(room) * PAGE,
        };
        match len <= MOST {
            true => Self { len: len as u32, net: density.net, own: density.own },
            false => Self::default(),
        }
    }

    /// That of a set of so many pages.
    pub(crate) const fn of_pages(pages: usize, density: Density) -> Self {
        Self { len: (pages * PAGE) as u32, net: density.net, own: density.own }
    }

    /// Octets of each page.
    pub(crate) const fn page_len(self) -> usize {
        if (self.len as usize) < PAGE { self.len as usize } else { PAGE }
    }

    /// Whether octets can be laid out so.
    pub(crate) const fn is_sound(self) -> bool {
        let len = self.len as usize;
        match self.net {
            0 => len == 0 && self.own == 0,
            _ => {
                self.net <= PROBES
                    && self.own <= PROBES
                    && len >= 2 * SUM
                    && len <= MOST
                    && len.is_multiple_of(if len < PAGE { SUM } else { PAGE })
            }
        }
    }

    /// Whole pages.
    pub(crate) const fn pages(self) -> usize {
        self.len as usize / PAGE
    }

    /// Where the page of a network begins.
    pub(crate) const fn page_of(self, net: u32) -> usize {
        page_of(net, self.pages()) * PAGE
    }

    /// Words of a page.
    const fn words(self) -> usize {
        self.page_len().saturating_sub(SUM) / 8
    }
}

/// The page of a network, of so many.
#[inline(always)]
const fn page_of(net: u32, pages: usize) -> usize {
    ((net as u64 * pages as u64) >> 32) as usize
}

/// The word of a half of a key, of so many, and the bits that it sets there.
#[inline(always)]
const fn bits_of(half: u32, words: usize, probes: u8) -> (usize, u64) {
    let spread = (half as u64).wrapping_mul(SPREAD);
    let (mut mask, mut n) = (0, 0);
    while n < probes {
        mask |= 1 << ((spread >> (6 * n as u32)) & 63);
        n += 1;
    }
    ((((spread >> 32) * words as u64) >> 32) as usize, mask)
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Appends a set of these keys.
pub(crate) fn build(keys: &[Key], shape: Shape, out: &mut Vec<u8>) {
    match (shape.net, shape.own) {
        (0, _) => {}
        // Known numbers of bits make straight code.
        (3, 2) => build_of::<3, 2>(keys, shape, out),
        (4, 3) => build_of::<4, 3>(keys, shape, out),
        _ => build_slowly(keys, shape, out),
    }
}

fn build_of<const NET: u8, const OWN: u8>(keys: &[Key], shape: Shape, out: &mut Vec<u8>) {
    if shape.pages() == 0 {
        return build_slowly(keys, shape, out);
    }
    let mut pages = Pages::<NET, OWN>::new(shape.pages());
    pages.add(keys);
    pages.encode(1, out);
}

/// As it is written down: the oracle of [`Pages`], and fast enough for what is short.
fn build_slowly(keys: &[Key], shape: Shape, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + shape.len as usize, 0);
    let set = out.get_mut(at..).unwrap_or_default();
    for key in keys {
        let page = set.get_mut(shape.page_of(key.net())..).unwrap_or_default();
        let (words, _) = page.as_chunks_mut::<8>();
        for (half, probes) in [(key.net(), shape.net), (key.own(), shape.own)] {
            let (word, mask) = bits_of(half, shape.words(), probes);
            if let Some(word) = words.get_mut(word) {
                *word = (u64::from_le_bytes(*word) | mask).to_le_bytes();
            }
        }
    }
    for page in set.chunks_exact_mut(shape.page_len()) {
        let (bits, sum) = page.split_at_mut(page.len() - SUM);
        sum.copy_from_slice(&XxHash3_64::oneshot(bits).to_le_bytes());
    }
}

/// Whole pages on their way, of sets whose networks and addresses set so many bits.
#[derive(Debug, Default)]
pub(crate) struct Pages<const NET: u8, const OWN: u8>(Vec<Page>);

type Page = [u64; WORDS];

impl<const NET: u8, const OWN: u8> Pages<NET, OWN> {
    /// So many.
    pub(crate) fn new(pages: usize) -> Self {
        Self(vec![[0; WORDS]; pages])
    }

    /// Octets that they take.
    pub(crate) const fn octets(&self) -> usize {
        self.0.capacity() * PAGE
    }

    /// Adds keys.
    pub(crate) fn add(&mut self, keys: &[Key]) {
        let count = self.0.len();
        for key in keys {
            let Some(page) = self.0.get_mut(page_of(key.net(), count)) else { continue };
            for (half, probes) in [(key.net(), NET), (key.own(), OWN)] {
                let (word, mask) = bits_of(half, WORDS, probes);
                if let Some(word) = page.get_mut(word) {
                    *word |= mask;
                }
            }
        }
    }

    /// Appends them, with so many folded into one: the set that as many fewer pages would have
    /// been, if there are so many times as many.
    pub(crate) fn encode(&self, folded: usize, out: &mut Vec<u8>) {
        for pages in self.0.chunks(folded.max(1)) {
            let at = out.len();
            let Some((first, others)) = pages.split_first() else { continue };
            let mut page = *first;
            for other in others {
                page.iter_mut().zip(other).for_each(|(word, more)| *word |= more);
            }
            out.resize(at + PAGE, 0);
            let Some((bits, sum)) = out.get_mut(at..).and_then(<[u8]>::split_last_chunk_mut) else {
                continue;
            };
            let (words, _) = bits.as_chunks_mut::<8>();
            words.iter_mut().zip(page).for_each(|(room, word)| *room = word.to_le_bytes());
            *sum = XxHash3_64::oneshot(bits).to_le_bytes();
        }
    }
}

/// Whether a page has the bits of a half.
fn has(page: &[u8], shape: Shape, half: u32, probes: u8) -> bool {
    let (word, mask) = bits_of(half, shape.words(), probes);
    let (words, _) = page.as_chunks::<8>();
    words.get(word).is_some_and(|word| u64::from_le_bytes(*word) & mask == mask)
}

/// Whether a page may hold a network, and an address in it if one is given; `None` if the page is
/// damaged.
pub(crate) fn may_hold(page: &[u8], shape: Shape, net: u32, own: Option<u32>) -> Option<bool> {
    let (bits, sum) = page.split_last_chunk::<SUM>()?;
    if page.len() != shape.page_len() || XxHash3_64::oneshot(bits).to_le_bytes() != *sum {
        return None;
    }
    let has_own = |own| has(bits, shape, own, shape.own);
    Some(has(bits, shape, net, shape.net) && own.is_none_or(has_own))
}

/// Whether a set is whole and has all these keys.
pub(crate) fn hold(pages: &[u8], shape: Shape, keys: &[Key]) -> bool {
    if shape.net == 0 {
        return pages.is_empty();
    }
    let is_whole = pages.chunks(shape.page_len()).all(|page| {
        let sum = page.split_last_chunk::<SUM>();
        sum.is_some_and(|(bits, sum)| XxHash3_64::oneshot(bits).to_le_bytes() == *sum)
    });
    is_whole
        && keys.iter().all(|key| {
            let page = pages.get(shape.page_of(key.net())..).unwrap_or_default();
            has(page, shape, key.net(), shape.net) && has(page, shape, key.own(), shape.own)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Role;
    use record::Addr;

    const DENSITY: Density = Density { bits: 13, net: 4, own: 3 };

    fn keys(from: u32, count: u32) -> impl Iterator<Item = Key> {
        (from..from + count).map(|n| Role::End.host(Addr::V4(n)))
    }

    fn ask(pages: &[u8], shape: Shape, key: Key) -> Option<bool> {
        let at = shape.page_of(key.net());
        let page = &pages[at..at + shape.page_len()];
        let (net, own) = (may_hold(page, shape, key.net(), None), Some(key.own()));
        let all = may_hold(page, shape, key.net(), own);
        assert!(net != Some(false) || all == Some(false), "an address without its network");
        all
    }

    #[test]
    fn what_is_in_is_found_and_little_else() {
        for count in [0, 1, 7, 100, 4087, 4088, 5000, 100_000] {
            let shape = Shape::of(count as usize, DENSITY);
            let mut pages = vec![1, 2, 3];
            build(&keys(0, count).collect::<Vec<_>>(), shape, &mut pages);
            let pages = &pages[3..];
            assert!(shape.is_sound() && pages.len() == shape.len as usize, "{count}");
            assert!(keys(0, count).all(|key| ask(pages, shape, key) == Some(true)), "{count}");
            let wrong = keys(1 << 24, 20_000).filter(|key| ask(pages, shape, *key) == Some(true));
            let wrong = wrong.count();
            assert!(wrong < 900, "{count}: {wrong} of 20000");
            assert!(
                count < 4088 || pages.len() <= count as usize * 13 / 8 * 103 / 100 + PAGE,
                "{count}"
            );
        }
    }

    #[test]
    fn the_quick_way_sets_the_same_bits() {
        for (count, density) in [
            (1, DENSITY),
            (90, DENSITY),
            (2515, Density { net: 1, own: 0, ..DENSITY }),
            (2516, DENSITY),
            (50_000, Density { bits: 9, net: 3, own: 2 }),
        ] {
            let shape = Shape::of(count as usize, density);
            let (mut quick, mut slow) = (vec![9], vec![9]);
            let keys: Vec<Key> = keys(77, count).collect();
            build(&keys, shape, &mut quick);
            build_slowly(&keys, shape, &mut slow);
            assert!(quick == slow, "{count} {density:?}");
            assert!(hold(&quick[1..], shape, &keys));
        }
    }

    #[test]
    fn folded_pages_are_those_of_a_smaller_set() {
        let keys: Vec<Key> = keys(5, 70_000).collect();
        let mut many = Pages::<4, 3>::new(60);
        many.add(&keys);
        for folded in [1, 2, 3, 4, 5, 12, 60] {
            let (mut out, mut want) = (Vec::new(), Vec::new());
            many.encode(folded, &mut out);
            let shape = Shape { len: (60 / folded * PAGE) as u32, net: 4, own: 3 };
            build_slowly(&keys, shape, &mut want);
            assert!(out == want, "{folded}");
        }
    }

    #[test]
    fn a_damaged_page_says_nothing() {
        let shape = Shape::of(300, DENSITY);
        let mut pages = Vec::new();
        build(&keys(0, 300).collect::<Vec<_>>(), shape, &mut pages);
        let key = keys(0, 1).next().unwrap();
        for at in 0..pages.len() {
            pages[at] ^= 0x10;
            assert_eq!(ask(&pages, shape, key), None, "octet {at}");
            pages[at] ^= 0x10;
            assert_eq!(may_hold(&pages[..at], shape, key.net(), None), None);
        }
    }

    #[test]
    fn more_keys_than_there_may_be_are_not_kept() {
        let shape = Shape::of(usize::MAX, DENSITY);
        assert_eq!(shape, Shape::default());
        let mut pages = Vec::new();
        build(&keys(0, 10).collect::<Vec<_>>(), shape, &mut pages);
        assert!(pages.is_empty() && shape.is_sound());
    }

    #[test]
    fn shapes_that_make_no_sense_are_told() {
        for (len, probes, sound) in [
            (0, 0, true),
            (0, 5, false),
            (8, 5, false),
            (9, 5, false),
            (16, 5, true),
            (16, 6, false),
            (5000, 5, false),
            (8192, 5, true),
            (16, 0, false),
        ] {
            assert_eq!(Shape { len, net: probes, own: probes }.is_sound(), sound, "{len} {probes}");
        }
    }
}
