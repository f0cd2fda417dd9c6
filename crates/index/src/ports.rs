//! Which ports occur: exactly, as gaps between them while they are few, as a bit each when they are
//! many.

use crate::input::{Input, put};
use twox_hash::XxHash3_64;

/// Ports of which gaps are kept; from there on a bit each takes less.
const FEW: usize = 16_384;
/// Words of 64 bits for all ports.
const WORDS: usize = 1024;

/// Octets of the longest set, with its number and sum.
pub(crate) const MOST: u32 = 4 + 8 * WORDS as u32 + 8;

/// A set of ports. No words while there is none: heads of entries have many of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports(Vec<u64>);

impl Ports {
    fn room(&mut self) {
        if self.0.is_empty() {
            self.0.resize(WORDS, 0);
        }
    }

    pub(crate) fn add(&mut self, port: u16) {
        if let Some(mut all) = self.all_of_them() {
            all.add(port);
        }
    }

    /// To add many.
    pub(crate) fn all_of_them(&mut self) -> Option<Words<'_>> {
        self.room();
        self.0.first_chunk_mut().map(Words)
    }

    /// None again. Room is kept.
    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        if other.0.is_empty() {
            return;
        }
        self.room();
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    fn all(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().zip((0..).step_by(64)).flat_map(|(word, first)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.checked_sub(1)?;
                Some(first + bit as u16)
            })
        })
    }

    fn has(&self, port: u16) -> bool {
        self.0.get(usize::from(port) / 64).is_some_and(|word| word >> (port % 64) & 1 == 1)
    }

    /// Whether one of these is in.
    pub(crate) fn has_any(&self, from: u16, to: u16) -> bool {
        match from == to {
            true => self.has(from),
            false => (from..=to).any(|port| self.has(port)),
        }
    }

    /// Appends them: how many, gaps or bits, and the sum.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        let count = self.0.iter().map(|word| word.count_ones() as usize).sum();
        put(count as u64, out);
        match count <= FEW {
            true => put_gaps(self.all(), low_bits(count), out),
            false => self.0.iter().for_each(|word| out.extend(word.to_le_bytes())),
        }
        let sum = XxHash3_64::oneshot(out.get(at..).unwrap_or_default());
        out.extend(sum.to_le_bytes());
    }

    /// Reads what [`encode`](Self::encode) wrote, to the last octet.
    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        let (body, sum) = octets.split_last_chunk::<8>()?;
        if XxHash3_64::oneshot(body).to_le_bytes() != *sum {
            return None;
        }
        let mut input = Input(body);
        let count = input.number()? as usize;
        let mut ports = Self::default();
        if count <= FEW {
            let mut bits = Bits { octets: input.0, at: 0 };
            let mut next = 0;
            for _ in 0..count {
                let port = bits.gap(low_bits(count))?.checked_add(next)?;
                ports.add(u16::try_from(port).ok()?);
                next = port + 1;
            }
            return (bits.at.div_ceil(8) == input.0.len()).then_some(ports);
        }
        ports.room();
        for word in &mut ports.0 {
            *word = input.u64()?;
        }
        input.0.is_empty().then_some(ports)
    }
}

/// Bits of a gap that are kept as they are, of so many ports: about as many as the usual gap has.
const fn low_bits(count: usize) -> u32 {
    let gap = (1 << 16) / if count == 0 { 1 } else { count };
    gap.ilog2()
}

/// Appends what is between ports: the upper bits as so many ones and a zero, then the lower bits
/// (Rice's code), from the lowest bit of each octet on.
fn put_gaps(ports: impl Iterator<Item = u16>, low: u32, out: &mut Vec<u8>) {
    let (mut word, mut len, mut next) = (0_u64, 0_u32, 0);
    let mut put = |bits: u64, count: u32| {
        word |= bits << len;
        len += count;
        while len >= 8 {
            out.push(word as u8);
            word >>= 8;
            len -= 8;
        }
    };
    for port in ports.map(u32::from) {
        let gap = port - next;
        next = port + 1;
        (0..gap >> low).for_each(|_| put(1, 1));
        put(0, 1);
        put((gap & ((1 << low) - 1)).into(), low);
    }
    if len > 0 {
        out.push(word as u8);
    }
}

/// Bits to be read.
struct Bits<'b> {
    octets: &'b [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let octet = self.octets.get(self.at / 8)?;
        let bit = octet >> (self.at % 8) & 1;
        self.at += 1;
        Some(bit.into())
    }

    fn gap(&mut self, low: u32) -> Option<u32> {
        let mut gap = 0;
        while self.bit()? == 1 {
            gap += 1 << low;
            if gap > u32::from(u16::MAX) {
                return None;
            }
        }
        (0..low).try_fold(gap, |gap, n| Some(gap + (self.bit()? << n)))
    }
}

/// Room for all ports.
pub(crate) struct Words<'w>(&'w mut [u64; WORDS]);

impl Words<'_> {
    #[inline(always)]
    pub(crate) const fn add(&mut self, port: u16) {
        self.0[(port / 64) as usize] |= 1 << (port % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_take_no_room_and_come_back() {
        let (mut none, mut out) = (Ports::default(), Vec::new());
        none.encode(&mut out);
        assert_eq!(Ports::decode(&out).as_ref(), Some(&none));
        assert!(none.0.capacity() == 0 && !none.has_any(0, u16::MAX));
        let mut one = Ports::default();
        one.add(53);
        one.absorb(&none);
        none.absorb(&one);
        assert!(one == none && none.has_any(53, 53) && !none.has_any(54, u16::MAX));
    }

    #[test]
    fn few_and_many_come_back() {
        for step in [1_u16, 7, 15, 16, 17, 5000] {
            let mut ports = Ports::default();
            (0..=u16::MAX).filter(|n| n.is_multiple_of(step)).for_each(|n| ports.add(n));
            let mut out = Vec::new();
            ports.encode(&mut out);
            assert!(out.len() <= MOST as usize);
            assert_eq!(Ports::decode(&out).as_ref(), Some(&ports), "{step}");
            for len in (0..out.len()).step_by(1 + out.len() / 300) {
                assert_eq!(Ports::decode(&out[..len]), None);
            }
            for at in 0..out.len() {
                let mut damaged = out.clone();
                damaged[at] ^= 1;
                assert_eq!(Ports::decode(&damaged), None, "{step}, octet {at}");
            }
            assert!(ports.has_any(0, 0) && ports.has_any(1, u16::MAX) == (step != 0));
            assert_eq!(ports.has_any(1, 1), step == 1);
            assert_eq!(ports.has_any(1, 4999), step < 5000);
        }
    }
}
