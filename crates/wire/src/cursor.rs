//! Reading with nom where structure matters, and two readers for values inside records.

use crate::DecodeError;
use nom::number::complete::be_u16;
use nom::{IResult, Parser};

/// What nom parsers here return: they fail for one reason only, too few octets.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// Runs a parser on the octets from `at` on and says where it stopped.
///
/// # Errors
///
/// [`DecodeError::Truncated`] naming `what`, which takes `need` octets.
pub(crate) fn take<'a, T>(
    datagram: &'a [u8],
    at: usize,
    (what, need): (&'static str, usize),
    mut parser: impl FnMut(&'a [u8]) -> Parsed<'a, T>,
) -> Result<T, DecodeError> {
    let here = datagram.get(at..).unwrap_or_default();
    match parser(here) {
        Ok((_, value)) => Ok(value),
        Err(_) => Err(DecodeError::Truncated { what, at, need, have: here.len() }),
    }
}

/// Id and length that begin each set (RFC 3954, 5.2; RFC 7011, 3.3.2).
pub(crate) fn set_header(input: &[u8]) -> Parsed<'_, (u16, u16)> {
    (be_u16, be_u16).parse(input)
}

/// Octets of a set header.
pub(crate) const SET_HEADER_LEN: usize = 4;

/// The value of an element of variable length at `at`, and where it ends (RFC 7011, 7).
#[inline]
pub(crate) fn variable(data: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (len, start) = match *data.get(at)? {
        255 => {
            let (len, _) = data.get(at + 1..)?.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), at + 3)
        }
        len => (usize::from(len), at + 1),
    };
    let end = start + len;
    data.get(start..end).map(|value| (value, end))
}

/// Text without its padding.
pub(crate) fn text(value: &[u8]) -> &[u8] {
    value.split(|c| *c == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_lengths() {
        let long: Vec<u8> = [255, 1, 0].into_iter().chain([7; 256]).collect();
        for (name, data, want) in [
            ("short form", &[3, 1, 2, 3, 9][..], Some((3, 4))),
            ("empty", &[0], Some((0, 1))),
            ("long form", &long, Some((256, 259))),
            ("long form for few", &[255, 0, 1, 5], Some((1, 4))),
            ("nothing", &[], None),
            ("value cut", &[3, 1, 2], None),
            ("length cut", &[255, 1], None),
            ("long value cut", &long[..258], None),
        ] {
            assert_eq!(variable(data, 0).map(|(v, end)| (v.len(), end)), want, "{name}");
        }
    }

    #[test]
    fn text_ends_at_its_padding() {
        assert_eq!(text(b"Gi0/1\0\0\0"), b"Gi0/1");
        assert_eq!(text(b"plain"), b"plain");
        assert_eq!(text(b""), b"");
    }
}
