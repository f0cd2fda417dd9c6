//! Which ports occur: exactly, as a list while they are few, as a bit each when they are many.

use crate::input::Input;
use twox_hash::XxHash3_64;

/// Ports of a list; from there on a bit each takes less.
const FEW: usize = 4096;
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
        self.room();
        self.all_of_them().add(port);
    }

    /// To add many.
    pub(crate) fn all_of_them(&mut self) -> Words<'_> {
        self.room();
        Words(self.0.first_chunk_mut())
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
        (0..=u16::MAX).filter(|port| self.has(*port))
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

    /// Appends them, with their sum.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        out.extend(count.to_le_bytes());
        match count as usize <= FEW {
            true => self.all().for_each(|port| out.extend(port.to_le_bytes())),
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
        let count = input.u32()? as usize;
        let mut ports = Self::default();
        match count <= FEW {
            true => (0..count).try_for_each(|_| input.u16().map(|port| ports.add(port)))?,
            false => {
                ports.room();
                for word in &mut ports.0 {
                    *word = input.u64()?;
                }
            }
        }
        input.0.is_empty().then_some(ports)
    }
}

/// Room for all ports.
pub(crate) struct Words<'w>(Option<&'w mut [u64; WORDS]>);

impl Words<'_> {
    #[inline]
    pub(crate) fn add(&mut self, port: u16) {
        if let Some(words) = &mut self.0 {
            words[usize::from(port / 64)] |= 1 << (port % 64);
        }
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
            for len in 0..out.len().min(300) {
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
