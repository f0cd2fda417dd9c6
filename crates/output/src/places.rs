//! Where addresses are: what an address book says, remembered for the next record.
//!
//! A list asks for the same few hosts again and again, and a database answers by walking a tree.
//! Each printer therefore remembers the last answers in a table that an address always finds at
//! the same place.

use record::{Addr, AddressBook, Country};

/// Answers of one book.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Address in memory of the book that answered, to forget all when another one is asked.
    book: usize,
    /// Empty until something is asked.
    slots: Vec<Slot>,
}

/// What is known of one address.
#[derive(Clone, Copy, Debug)]
struct Slot {
    addr: Addr,
    country: Option<Country>,
    asn: Option<u32>,
}

/// A power of two; some hundred talkers make most of a list.
const SLOTS: usize = 512;

impl Places {
    /// The country of an address, unknown without a book.
    #[inline]
    pub(crate) fn country(&mut self, book: Option<&dyn AddressBook>, addr: Addr) -> Country {
        let Some(book) = book else { return Country::default() };
        let slot = self.slot(book, addr);
        *slot.country.get_or_insert_with(|| book.country(addr))
    }

    /// The autonomous system that announces an address, 0 without a book.
    #[inline]
    pub(crate) fn asn(&mut self, book: Option<&dyn AddressBook>, addr: Addr) -> u32 {
        let Some(book) = book else { return 0 };
        let slot = self.slot(book, addr);
        *slot.asn.get_or_insert_with(|| book.asn(addr))
    }

    fn slot(&mut self, book: &dyn AddressBook, addr: Addr) -> &mut Slot {
        let empty = Slot { addr, country: None, asn: None };
        let identity = std::ptr::from_ref(book).cast::<u8>().addr();
        if self.slots.is_empty() || self.book != identity {
            self.book = identity;
            self.slots.clear();
            self.slots.resize(SLOTS, empty);
        }
        let slot = &mut self.slots[place(addr)];
        if slot.addr != addr {
            *slot = empty;
        }
        slot
    }
}

/// Where the answers about an address are kept: the high bits of a product, which all bits of the
/// address reach.
fn place(addr: Addr) -> usize {
    let n = match addr {
        Addr::V4(n) => u64::from(n),
        Addr::V6(n) => (n >> 64) as u64 ^ (n as u64).rotate_left(32),
    };
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Atlas, addr};

    #[test]
    fn remembered_answers_are_those_of_the_book() {
        let (atlas, mut places) = (Atlas::default(), Places::default());
        // More hosts than slots, each twice in a row and again much later.
        let hosts =
            (0..3 * SLOTS as u32).map(|n| Addr::V4(0x0a00_0000 | n.wrapping_mul(2_654_435)));
        let hosts: Vec<Addr> =
            hosts.chain([addr("2001:db8::1"), addr("::"), addr("0.0.0.0")]).collect();
        for host in hosts.iter().flat_map(|h| [h, h]).chain(&hosts) {
            assert_eq!(places.country(Some(&atlas), *host), atlas.country(*host), "{host}");
            assert_eq!(places.asn(Some(&atlas), *host), atlas.asn(*host), "{host}");
        }
    }

    #[test]
    fn another_book_is_asked_anew() {
        let (atlas, blank, mut places) =
            (Atlas::default(), Atlas { is_blank: true }, Places::default());
        let host = addr("10.0.0.1");
        let known = places.country(Some(&atlas), host);
        assert_ne!(known, Country::default());
        assert_eq!(places.country(Some(&blank), host), Country::default());
        assert_eq!(places.country(None, host), Country::default());
        assert_eq!(places.asn(None, host), 0);
    }
}
