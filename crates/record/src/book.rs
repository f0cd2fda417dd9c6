//! What databases know about addresses. Filters, statistics and columns ask an [`AddressBook`];
//! crate `geo` reads one from files.

use crate::Addr;
use std::fmt;

/// A country: two upper-case ASCII letters (ISO 3166-1 alpha-2), `0` where it is not known.
///
/// As a number, which is what a key or a [`Field::SrcCountry`](crate::Field::SrcCountry) holds, it
/// is the first letter times 256 plus the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country(pub u16);

impl Country {
    /// Reads two letters, upper or lower case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let &[a, b] = text.as_bytes() else { return None };
        let is_word = a.is_ascii_alphabetic() && b.is_ascii_alphabetic();
        let letters = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
        is_word.then(|| Self(u16::from_be_bytes(letters)))
    }

    /// The two letters; `None` where the country is not known.
    pub fn letters(self) -> Option<[u8; 2]> {
        let letters = self.0.to_be_bytes();
        letters.iter().all(u8::is_ascii_uppercase).then_some(letters)
    }
}

impl fmt::Display for Country {
    /// `CH`, or `..` where the country is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.letters().unwrap_or(*b"..");
        write!(f, "{}{}", char::from(a), char::from(b))
    }
}

/// What is known about addresses. Look-ups are made while flows are read, so they should be quick;
/// workers share one book.
pub trait AddressBook: fmt::Debug + Send + Sync {
    /// The country of an address.
    fn country(&self, addr: Addr) -> Country;

    /// Number of the autonomous system that announces an address, 0 if it is not known.
    fn asn(&self, addr: Addr) -> u32;

    /// Who runs an autonomous system.
    fn organisation(&self, asn: u32) -> Option<&str>;

    /// Country, region, city and coordinates of an address as one text.
    fn location(&self, addr: Addr) -> Option<String>;

    /// Whether an address was an exit of the Tor network at some time between `first_ms` and
    /// `last_ms` (milliseconds since 1970, both included).
    fn is_tor_exit(&self, addr: Addr, first_ms: u64, last_ms: u64) -> bool {
        self.tor_exits().iter().any(|e| e.addr == addr && e.covers(first_ms, last_ms))
    }

    /// Networks of the countries that `wanted` holds for.
    fn networks_of_countries(&self, wanted: &dyn Fn(Country) -> bool) -> Networks;

    /// Networks of the autonomous systems that `wanted` holds for.
    fn networks_of_systems(&self, wanted: &dyn Fn(u32) -> bool) -> Networks;

    /// All exits of the Tor network that are known; one line for each stretch of time.
    fn tor_exits(&self) -> &[TorExit];

    /// Whether countries are known at all, so that a question for one makes sense.
    fn has_countries(&self) -> bool;

    /// Whether autonomous systems are known at all.
    fn has_systems(&self) -> bool;
}

/// Ranges of addresses, both ends included, in any order; they may touch and overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// IPv4.
    pub v4: Vec<(u32, u32)>,
    /// IPv6.
    pub v6: Vec<(u128, u128)>,
}

/// An address that was an exit of the Tor network for a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TorExit {
    /// The address.
    pub addr: Addr,
    /// Since when, milliseconds since 1970; 0 where it is not known.
    pub since_ms: u64,
    /// Until when; `u64::MAX` where it is not known.
    pub until_ms: u64,
}

impl TorExit {
    /// Whether a flow from `first_ms` to `last_ms` falls into the stretch, at least in part.
    pub const fn covers(&self, first_ms: u64, last_ms: u64) -> bool {
        first_ms <= self.until_ms && last_ms >= self.since_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_two_letters() {
        assert_eq!(Country::parse("ch"), Some(Country(0x4348)));
        assert_eq!(Country::parse("CH").map(|c| c.to_string()).as_deref(), Some("CH"));
        assert_eq!(Country::default().to_string(), "..");
        for text in ["", "C", "CHE", "C1", "\u{fc}"] {
            assert_eq!(Country::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_exit_covers_flows_that_reach_into_its_time() {
        let exit = TorExit { addr: Addr::V4(1), since_ms: 100, until_ms: 200 };
        for (first, last, want) in
            [(0, 99, false), (0, 100, true), (120, 130, true), (200, 300, true), (201, 300, false)]
        {
            assert_eq!(exit.covers(first, last), want, "{first} to {last}");
        }
    }
}
