//! Numbers from octets, and to octets where they are as short as they can be.

/// What is left to be read.
#[derive(Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// So many octets.
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[octet]: [u8; 1]| octet)
    }

    /// A number that [`put`] wrote.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let octet = u64::from(self.u8()?);
            let bits = (octet & 0x7f) << shift;
            if bits >> shift != octet & 0x7f {
                return None;
            }
            number |= bits;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number that [`put`] wrote, of 32 bits.
    pub(crate) fn short(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }
}

/// Appends a number: seven bits an octet, the lowest first, the top bit set in all but the last
/// (LEB128).
pub(crate) fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_come_back() {
        for shift in 0..64 {
            for number in [0, 1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put(number, &mut out);
                assert_eq!(Input(&out).number(), Some(number));
                assert!((0..out.len()).all(|len| Input(&out[..len]).number().is_none()));
                assert_eq!(Input(&out).short(), u32::try_from(number).ok());
            }
        }
    }

    #[test]
    fn numbers_of_more_than_64_bits_are_none() {
        for last in [2, 0x7f, 0x80, 0xff] {
            let octets = [&[0xff; 9][..], &[last, 0]].concat();
            assert_eq!(Input(&octets).number(), None, "{last}");
        }
    }
}
