//! Text in columns is UTF-8, what routers send need not be: other octets are kept as characters
//! that no text has, U+10F780 to U+10F7FF (private use), one for each octet from 0x80 to 0xFF.

use std::borrow::Cow;

/// The character of an octet is this much above it.
const BASE: u32 = 0x10_F700;

/// Octets as text. Those that are UTF-8 stay as they are, unless they are one of the characters
/// that stand for an octet: then they count as octets that are not.
pub fn encode(octets: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(octets)
        && !text.chars().any(is_octet)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(octets.len() * 4);
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            match is_octet(c) {
                true => c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| push(b, &mut out)),
                false => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| push(*b, &mut out));
    }
    Cow::Owned(out)
}

/// The octets that [`encode`] was given.
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.chars().any(is_octet) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match is_octet(c) {
            true => out.push((u32::from(c) - BASE) as u8),
            false => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(out)
}

fn is_octet(c: char) -> bool {
    (BASE + 0x80..=BASE + 0xFF).contains(&u32::from(c))
}

fn push(octet: u8, out: &mut String) {
    // Octets below 0x80 are never part of what is no UTF-8.
    out.push(char::from_u32(BASE + u32::from(octet)).unwrap_or(char::REPLACEMENT_CHARACTER));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_come_back() {
        let mut all: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"plain".to_vec(),
            "\u{e9}\u{4e2d}\u{1F980}".into(),
            "\u{10F780}\u{10F7FF}".into(),
            "\u{10F700}\u{10F77F}\u{10F800}".into(),
            (0..=255).collect(),
            vec![0xE9, b'a', 0xF4, 0x8F, 0x9E, 0x80, 0xF4, 0x8F, 0x9E],
        ];
        all.extend((0..=255u8).flat_map(|a| (0..=255u8).map(move |b| vec![a, b, b'x'])));
        for octets in all {
            let text = encode(&octets);
            assert_eq!(*decode(&text), octets, "{octets:?}");
            let is_kept = std::str::from_utf8(&octets).is_ok() && !text.chars().any(is_octet);
            assert_eq!(matches!(text, Cow::Borrowed(_)), is_kept, "{octets:?}");
        }
        assert_eq!(encode(b"caf\xE9"), "caf\u{10F7E9}");
    }
}
