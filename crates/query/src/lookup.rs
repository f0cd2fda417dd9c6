//! What an address book says of the addresses in rows, remembered for those met last.
//!
//! Flows of one address come in bursts, and few addresses carry most flows. A small cache that
//! maps an address to one line saves most look-ups, and takes the same memory whatever the number
//! of addresses.

use record::{Addr, AddressBook};

/// Lines of the cache: 128 KiB a worker.
const LINES: usize = 4096;

/// One worker's look-ups.
#[derive(Debug, Default)]
pub(crate) struct Lookups<'b> {
    book: Option<&'b dyn AddressBook>,
    /// Made with the first look-up.
    lines: Vec<Line>,
}

/// What is known of the address that was there last.
#[derive(Clone, Copy, Debug)]
struct Line {
    addr: Addr,
    country: Option<u16>,
    system: Option<u32>,
}

impl<'b> Lookups<'b> {
    /// Look-ups in `book`; without one nothing is known of any address.
    pub(crate) const fn new(book: Option<&'b dyn AddressBook>) -> Self {
        Self { book, lines: Vec::new() }
    }

    /// Whether autonomous systems are known by address.
    pub(crate) fn has_systems(&self) -> bool {
        self.book.is_some_and(AddressBook::has_systems)
    }

    /// The country of an address, 0 if it is not known.
    pub(crate) fn country(&mut self, addr: Addr) -> u16 {
        let Some(book) = self.book else { return 0 };
        let Some(line) = self.line(addr) else { return 0 };
        *line.country.get_or_insert_with(|| book.country(addr).0)
    }

    /// The autonomous system of an address, 0 if it is not known.
    pub(crate) fn system(&mut self, addr: Addr) -> u32 {
        let Some(book) = self.book else { return 0 };
        let Some(line) = self.line(addr) else { return 0 };
        *line.system.get_or_insert_with(|| book.asn(addr))
    }

    /// The line of `addr`, emptied if another address was there.
    fn line(&mut self, addr: Addr) -> Option<&mut Line> {
        let empty = |addr| Line { addr, country: None, system: None };
        if self.lines.is_empty() {
            self.lines.resize(LINES, empty(Addr::V4(0)));
        }
        let number = match addr {
            Addr::V4(n) => u64::from(n),
            Addr::V6(n) => (n >> 64) as u64 ^ (n as u64).rotate_left(23),
        };
        let at = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % LINES;
        let line = self.lines.get_mut(at)?;
        if line.addr != addr {
            *line = empty(addr);
        }
        Some(line)
    }
}

/// A book for tests: countries and systems are made of the address.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use record::{Country, Networks, TorExit};

    #[derive(Debug)]
    pub(crate) struct Made;

    fn mix(addr: Addr) -> u128 {
        match addr {
            Addr::V4(n) => u128::from(n),
            Addr::V6(n) => n ^ n >> 64,
        }
    }

    impl AddressBook for Made {
        fn country(&self, addr: Addr) -> Country {
            let names = ["CH", "DE", "FR", ""];
            Country::parse(names[mix(addr) as usize / 3 % 4]).unwrap_or_default()
        }
        fn asn(&self, addr: Addr) -> u32 {
            (mix(addr) % 5) as u32 * 100
        }
        fn organisation(&self, asn: u32) -> Option<&str> {
            (asn == 100).then_some("Example")
        }
        fn location(&self, _: Addr) -> Option<String> {
            None
        }
        fn networks_of_countries(&self, _: &dyn Fn(Country) -> bool) -> Networks {
            Networks::default()
        }
        fn networks_of_systems(&self, _: &dyn Fn(u32) -> bool) -> Networks {
            Networks::default()
        }
        fn tor_exits(&self) -> &[TorExit] {
            &[]
        }
        fn has_countries(&self) -> bool {
            true
        }
        fn has_systems(&self) -> bool {
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Made;
    use super::*;

    #[test]
    fn cached_answers_are_those_of_the_book() {
        let mut lookups = Lookups::new(Some(&Made));
        let mut x = 9u64;
        for _ in 0..60_000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = x >> 49; // more addresses than lines, each several times
            let addr = match x & 1 << 40 {
                0 => Addr::V4(n as u32),
                _ => Addr::V6(u128::from(n) << 64 | u128::from(n % 3)),
            };
            if x & 1 << 41 == 0 {
                assert_eq!(lookups.country(addr), Made.country(addr).0, "{addr}");
            }
            assert_eq!(lookups.system(addr), Made.asn(addr), "{addr}");
        }
        assert_eq!(lookups.lines.len(), LINES);
    }

    #[test]
    fn without_a_book_nothing_is_known_and_nothing_is_kept() {
        let mut lookups = Lookups::default();
        assert_eq!((lookups.country(Addr::V4(7)), lookups.system(Addr::V4(7))), (0, 0));
        assert!(!lookups.has_systems() && lookups.lines.is_empty());
    }
}
