//! Sets of keys that answer "certainly not" or "maybe": Bloom filters, cut into pages so that a
//! question reads one page, whose sum is checked.
//!
//! An address belongs to one page by the upper half of its network's key. Within it, a few bits are
//! set by the key of the network and a few more by its own, so that one look tells of both. A
//! set has [`PAGE`] octets a page, and one page that is shorter if it needs no whole one.

use crate::key::Key;
use twox_hash::XxHash3_64;

/// Octets of a page at most, with its sum at the end.
pub(crate) const PAGE: usize = 4096;
/// Octets of the sum: XXH3 (seed 0) of the octets before it.
const SUM: usize = 8;
/// Octets that a set may have: what says more is damage.
pub(crate) const MOST: usize = 1 << 28;

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

    /// Octets of each page.
    pub(crate) const fn page_len(self) -> usize {
        if (self.len as usize) < PAGE { self.len as usize } else { PAGE }
    }

    /// Whether octets can be laid out so.
    pub(crate) const fn is_sound(self) -> bool {
        let len = self.len as usize;
        match self.net {
            0 => len == 0 && self.own == 0,
            _ => len > SUM && len <= MOST && (len < PAGE || len.is_multiple_of(PAGE)),
        }
    }

    /// Where the page of a network begins.
    pub(crate) const fn page_of(self, net: u64) -> usize {
        let pages = self.len as usize / self.page_len();
        (((net >> 32) * pages as u64) >> 32) as usize * self.page_len()
    }

    /// Bits of a page.
    const fn count(self) -> u64 {
        (self.page_len().saturating_sub(SUM) * 8) as u64
    }

    /// The bits of a key within its page.
    #[inline]
    fn bits(self, key: u64, probes: u8) -> impl Iterator<Item = usize> {
        let count = self.count();
        // The lower half, and an odd step from it, as far as 32 bits go.
        let (start, step) = (key & 0xffff_ffff, (key.wrapping_mul(STEP) >> 32) | 1);
        (0..u64::from(probes)).map(move |n| {
            let spread = start.wrapping_add(n.wrapping_mul(step)) & 0xffff_ffff;
            ((spread * count) >> 32) as usize
        })
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Appends a set of these keys.
pub(crate) fn build(keys: &[Key], shape: Shape, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + shape.len as usize, 0);
    if shape.net == 0 {
        return;
    }
    let Some(pages) = out.get_mut(at..) else { return };
    let count = shape.count();
    for key in keys {
        let at = shape.page_of(key.net);
        let Some(page) = pages.get_mut(at..) else { continue };
        match page.first_chunk_mut::<PAGE>() {
            // The most by far. That all bits are within it is known here.
            Some(page) => {
                set(page, ((PAGE - SUM) * 8) as u64, key.net, shape.net);
                set(page, ((PAGE - SUM) * 8) as u64, key.own, shape.own);
            }
            None => {
                set(page, count, key.net, shape.net);
                set(page, count, key.own, shape.own);
            }
        }
    }
    for page in pages.chunks_exact_mut(shape.page_len()) {
        let (bits, sum) = page.split_at_mut(page.len() - SUM);
        sum.copy_from_slice(&XxHash3_64::oneshot(bits).to_le_bytes());
    }
}

/// Sets the [bits](Shape::bits) of a key in a page that has so many.
#[inline(always)]
fn set(page: &mut [u8], count: u64, key: u64, probes: u8) {
    let (mut spread, step) = (key as u32, (key.wrapping_mul(STEP) >> 32) as u32 | 1);
    for _ in 0..probes {
        let bit = ((u64::from(spread) * count) >> 32) as usize;
        if let Some(octet) = page.get_mut(bit / 8) {
            *octet |= 1 << (bit % 8);
        }
        spread = spread.wrapping_add(step);
    }
}

/// Whether a page may hold a network, and an address in it if one is given; `None` if the page is
/// damaged.
pub(crate) fn may_hold(page: &[u8], shape: Shape, net: u64, own: Option<u64>) -> Option<bool> {
    let (bits, sum) = page.split_last_chunk::<SUM>()?;
    if page.len() != shape.page_len() || XxHash3_64::oneshot(bits).to_le_bytes() != *sum {
        return None;
    }
    let is_set = |bit: usize| bits.get(bit / 8).is_some_and(|octet| octet >> (bit % 8) & 1 == 1);
    let all = |key, probes| shape.bits(key, probes).all(is_set);
    Some(all(net, shape.net) && own.is_none_or(|own| all(own, shape.own)))
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
    let is_set =
        |page: &[u8], bit: usize| page.get(bit / 8).is_some_and(|o| o >> (bit % 8) & 1 == 1);
    is_whole
        && keys.iter().all(|key| {
            let page = pages.get(shape.page_of(key.net)..).unwrap_or_default();
            let mut bits = shape.bits(key.net, shape.net).chain(shape.bits(key.own, shape.own));
            bits.all(|bit| is_set(page, bit))
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
        let at = shape.page_of(key.net);
        let page = &pages[at..at + shape.page_len()];
        let (net, own) = (may_hold(page, shape, key.net, None), Some(key.own));
        let all = may_hold(page, shape, key.net, own);
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
    fn bits_are_set_where_they_are_looked_for_and_nowhere_else() {
        for (count, density) in [
            (1, DENSITY),
            (90, DENSITY),
            (2515, Density { net: 1, own: 0, ..DENSITY }),
            (2516, DENSITY),
            (50_000, Density { bits: 9, net: 3, own: 2 }),
        ] {
            let shape = Shape::of(count as usize, density);
            let (mut quick, mut slow) = (Vec::new(), vec![0_u8; shape.len as usize]);
            build(&keys(77, count).collect::<Vec<_>>(), shape, &mut quick);
            for key in keys(77, count) {
                let bits = shape.bits(key.net, shape.net).chain(shape.bits(key.own, shape.own));
                bits.for_each(|bit| slow[shape.page_of(key.net) + bit / 8] |= 1 << (bit % 8));
            }
            let pages = quick.chunks(shape.page_len()).zip(slow.chunks(shape.page_len()));
            let len = shape.page_len() - SUM;
            assert!(pages.clone().all(|(q, s)| q[..len] == s[..len]), "{count} {density:?}");
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
            assert_eq!(may_hold(&pages[..at], shape, key.net, None), None);
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
            (9, 5, true),
            (5000, 5, false),
            (8192, 5, true),
            (16, 0, false),
        ] {
            assert_eq!(Shape { len, net: probes, own: probes }.is_sound(), sound, "{len} {probes}");
        }
    }
}
