//! Keys as nfanon reads them.

use std::fmt;

/// A key: 16 octets for the cipher, 16 for the pad.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// Why a text is no key. The text itself is not repeated: it may be one with a typing error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither 32 octets nor 66 characters.
    #[error("has {0} octets: a key is 32 characters, or 0x and 64 hexadecimal digits")]
    Length(usize),
    /// 66 characters, but not `0x` and digits.
    #[error("is not 0x and 64 hexadecimal digits")]
    Hex,
}

impl Key {
    /// The key of these octets.
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// Reads a key: 32 octets as they are, or `0x` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        if let Ok(octets) = text.try_into() {
            return Ok(Self(octets));
        }
        if text.len() != 66 {
            return Err(KeyError::Length(text.len()));
        }
        let (b'0', b'x' | b'X', digits) = (match text {
            [zero, x, digits @ ..] => (*zero, *x, digits),
            _ => return Err(KeyError::Hex),
        }) else {
            return Err(KeyError::Hex);
        };
        let mut octets = [0; 32];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: &u8| char::from(*c).to_digit(16).ok_or(KeyError::Hex);
            let [high, low] = pair else { return Err(KeyError::Hex) };
            *octet = (digit(high)? << 4 | digit(low)?) as u8;
        }
        Ok(Self(octets))
    }

    /// The octets for the cipher.
    pub(crate) fn cipher(&self) -> [u8; 16] {
        std::array::from_fn(|i| self.0[i])
    }

    /// The octets that the pad is made of.
    pub(crate) fn pad(&self) -> [u8; 16] {
        std::array::from_fn(|i| self.0[i + 16])
    }
}

/// Says nothing of the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_or_hexadecimal() {
        let text = b"0123456789abcdef0123456789ABCDEF";
        assert_eq!(Key::parse(text), Ok(Key::new(*text)));
        let hex: String = text.iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(Key::parse(format!("0x{hex}").as_bytes()), Ok(Key::new(*text)));
        assert_eq!(Key::parse(format!("0X{hex}").as_bytes()), Ok(Key::new(*text)));
        // To nfanon a key that begins with a zero is none.
        let zeros = format!("0x{}", "0".repeat(64));
        assert_eq!(Key::parse(zeros.as_bytes()), Ok(Key::new([0; 32])));
        for (text, want) in [
            ("", KeyError::Length(0)),
            ("0123456789abcdef0123456789ABCDE", KeyError::Length(31)),
            ("0123456789abcdef0123456789ABCDEF0", KeyError::Length(33)),
            (&hex, KeyError::Length(64)),
            (&format!("1x{hex}"), KeyError::Hex),
            (&format!("0y{hex}"), KeyError::Hex),
            (&format!("0x{}g", &hex[1..]), KeyError::Hex),
            (&format!("0x+{}", &hex[1..]), KeyError::Hex),
        ] {
            assert_eq!(Key::parse(text.as_bytes()), Err(want), "{text}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::new([b'k'; 32])), "Key(..)");
    }
}
