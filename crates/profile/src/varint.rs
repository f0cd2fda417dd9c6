//! Numbers of 7 bits an octet, the lowest first; all octets but the last have the top bit.

/// Appends a number.
pub(crate) fn put(mut n: u64, out: &mut Vec<u8>) {
    while n > 0x7f {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Takes a number off the front. `None` if there is none, or one of more than 64 bits.
pub(crate) fn take(octets: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = octets.split_first()?;
        *octets = rest;
        let bits = u64::from(first & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        n |= bits << shift;
        if first & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for n in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            let mut octets = Vec::new();
            put(n, &mut octets);
            assert_eq!(take(&mut octets.as_slice()), Some(n));
            for short in 0..octets.len() {
                assert_eq!(take(&mut &octets[..short]), None, "{n} cut to {short}");
            }
        }
        assert_eq!(take(&mut [0xff; 10].as_slice()), None);
        assert_eq!(take(&mut [&[0xff; 9][..], &[2]].concat().as_slice()), None);
    }
}
