//! Keys that are fingerprints of TLS clients.
//!
//! A fingerprint takes 16 octets, whatever its text: the sum of a JA3, and of a JA4 all it says.

use crate::counters::u64_at;
use crate::key::octets;
use payload::tls::ClientHello;
use payload::{Ja3, Ja4, Transport};
use record::Slot;

/// How a TLS client is told by what it offers. Both take 16 octets of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// JA3: its MD5 sum.
    Ja3,
    /// JA4, [packed](Ja4::packed).
    Ja4,
}

impl Fingerprint {
    /// What the payload of a flow of this IP protocol tells.
    pub(crate) fn of(self, protocol: u8, payload: &[u8]) -> Option<[u8; 16]> {
        let hello = ClientHello::of_flow(protocol, payload)?;
        match self {
            Self::Ja3 => hello.ja3().map(|ja3| ja3.0),
            Self::Ja4 => hello.ja4(Transport::Tcp)?.packed(),
        }
    }

    /// The fingerprint as text.
    pub(crate) fn text(self, key: [u8; 16]) -> String {
        match self {
            Self::Ja3 => Ja3(key).to_string(),
            Self::Ja4 => Ja4::from_packed(key).map(|ja4| ja4.to_string()).unwrap_or_default(),
        }
    }
}

/// A part that is the fingerprint of a TLS client, and the two words it fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello {
    pub(crate) kind: Fingerprint,
    pub(crate) payload: Slot,
    pub(crate) protocol: Slot,
    pub(crate) words: [u8; 2],
}

impl Hello {
    /// Writes it into a key. Returns whether there is one.
    pub(crate) fn write(&self, bytes: &[u8], key: &mut [u64]) -> bool {
        let protocol = octets(bytes, self.protocol).first().copied().unwrap_or(0);
        let Some(found) = self.kind.of(protocol, octets(bytes, self.payload)) else { return false };
        for (n, word) in self.words.into_iter().enumerate() {
            if let Some(word) = key.get_mut(usize::from(word)) {
                *word = u64_at(&found, 8 * n);
            }
        }
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A client that offers TLS 1.2 and 1.3 to www.example.org.
    pub(crate) const HELLO: &[u8] = include_bytes!("../tests/data/hello");

    #[test]
    fn fingerprints_read_as_texts() {
        for (kind, want) in [
            (Fingerprint::Ja3, "3736761f91e3f9597a641ce4c92f256c"),
            (Fingerprint::Ja4, "t13d0306h2_5559582ccdc4_fb71836bce29"),
        ] {
            assert_eq!(kind.of(6, HELLO).map(|key| kind.text(key)).as_deref(), Some(want));
            assert_eq!((kind.of(17, HELLO), kind.of(6, &HELLO[..136])), (None, None));
        }
    }
}
