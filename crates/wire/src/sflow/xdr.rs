//! The data types of XDR (RFC 4506) that sFlow is made of. All are multiples of four octets.

use crate::cursor::Parsed;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u32, be_u128};
use record::{Addr, Mac};

/// An address behind its type: 0 none, 1 IPv4, 2 IPv6 (sFlow version 5, section 5.1, "address").
pub(super) fn address(input: &[u8]) -> Parsed<'_, Option<Addr>> {
    let (input, kind) = be_u32(input)?;
    match kind {
        0 => Ok((input, None)),
        1 => be_u32.map(|n| Some(Addr::V4(n))).parse(input),
        2 => be_u128.map(|n| Some(Addr::V6(n))).parse(input),
        // How long it is, nobody knows.
        _ => Err(nom::Err::Failure(())),
    }
}

/// Octets behind their length, with what fills them up to a multiple of four.
pub(super) fn opaque(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, len) = be_u32(input)?;
    let (_, value) = take(len)(input)?;
    Ok((skip(input, value.len()), value))
}

/// Numbers behind their count, as octets.
pub(super) fn numbers(input: &[u8]) -> Parsed<'_, &[[u8; 4]]> {
    let (input, count) = be_u32(input)?;
    let len = usize::try_from(count).ok().and_then(|n| n.checked_mul(4));
    let (rest, octets) = take(len.ok_or(nom::Err::Failure(()))?)(input)?;
    Ok((rest, octets.as_chunks().0))
}

/// A MAC address with the two octets that fill it up.
pub(super) fn mac(input: &[u8]) -> Parsed<'_, Mac> {
    let (input, octets) = take(8usize)(input)?;
    let number = octets.iter().take(6).fold(0, |n, octet| n << 8 | u64::from(*octet));
    Ok((input, Mac(number)))
}

/// What follows the first `len` octets and those that fill them up to a multiple of four. What is
/// missing at the end is not missed.
pub(super) fn skip(octets: &[u8], len: usize) -> &[u8] {
    let padded = len.checked_next_multiple_of(4).unwrap_or(usize::MAX);
    octets.get(padded..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_refused() {
        for len in [5u32, 0x7fff_ffff, u32::MAX] {
            let data = [&len.to_be_bytes()[..], &[1; 4]].concat();
            assert!(opaque(&data).is_err(), "{len}");
            assert!(numbers(&data).is_err(), "{len}");
        }
        assert_eq!(opaque(&[0, 0, 0, 3, 7, 8, 9, 0, 5]), Ok((&[5][..], &[7, 8, 9][..])));
        assert_eq!(opaque(&[0, 0, 0, 3, 7, 8, 9]), Ok((&[][..], &[7, 8, 9][..])));
        assert_eq!(numbers(&[0, 0, 0, 1, 7, 8, 9, 1]), Ok((&[][..], &[[7, 8, 9, 1]][..])));
        assert_eq!(opaque(&[0; 4]), Ok((&[][..], &[][..])));
    }

    #[test]
    fn addresses_of_all_types() {
        assert_eq!(address(&[0, 0, 0, 0, 9]), Ok((&[9][..], None)));
        assert_eq!(address(&[0, 0, 0, 1, 10, 0, 0, 1]), Ok((&[][..], Some(Addr::V4(0x0a00_0001)))));
        let v6 = [&[0, 0, 0, 2][..], &[0; 15], &[1]].concat();
        assert_eq!(address(&v6), Ok((&[][..], Some(Addr::V6(1)))));
        assert!(address(&v6[..19]).is_err());
        assert!(address(&[0, 0, 0, 3, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn macs_have_two_octets_of_padding() {
        assert_eq!(
            mac(&[2, 0x11, 0x22, 0x33, 0x44, 0x55, 9, 9, 1]),
            Ok((&[1][..], Mac(0x0211_2233_4455)))
        );
    }
}
