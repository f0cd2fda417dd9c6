//! Lists of prefixes: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`.

use record::Addr;
use std::net::IpAddr;

/// A set of addresses, given by prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixSet {
    /// First and last address of each, in order, none touching another.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Why a word is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// What stands before the slash is no address.
    #[error("`{0}` is no address: a prefix is an address and, after a slash, how many bits of it")]
    Address(String),
    /// What stands behind the slash is no number, or too large.
    #[error("`{0}`: behind the slash stands 0 to 32, with IPv6 to 128")]
    Length(String),
    /// There are bits behind the prefix: a typing error, or somebody's own address.
    #[error("`{0}` has bits behind its prefix: write {1}")]
    Bits(String, String),
}

impl PrefixSet {
    /// Reads prefixes with commas, blanks or line ends between them; what follows a `#` up to the
    /// end of its line is a comment.
    ///
    /// # Errors
    /// If a word is no prefix.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let mut all = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let between = |c: char| c == ',' || c.is_whitespace();
            for word in line.split(between).filter(|w| !w.is_empty()) {
                all.add(word)?;
            }
        }
        all.v4 = merged(all.v4, |last| last.checked_add(1));
        all.v6 = merged(all.v6, |last| last.checked_add(1));
        Ok(all)
    }

    fn add(&mut self, word: &str) -> Result<(), PrefixError> {
        let (addr, len) = match word.split_once('/') {
            Some((addr, len)) => (addr, Some(len)),
            None => (word, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| PrefixError::Address(shown(word)))?;
        let addr = Addr::from(addr);
        let width = 8 * addr.width() as u8;
        let len = match len.map(str::parse::<u8>) {
            None => width,
            Some(Ok(len)) if len <= width => len,
            Some(_) => return Err(PrefixError::Length(shown(word))),
        };
        let first = addr.masked(len);
        if first != addr {
            return Err(PrefixError::Bits(shown(word), format!("{first}/{len}")));
        }
        match first {
            Addr::V4(n) => self.v4.push((n, n | u32::MAX.checked_shr(len.into()).unwrap_or(0))),
            Addr::V6(n) => self.v6.push((n, n | u128::MAX.checked_shr(len.into()).unwrap_or(0))),
        }
        Ok(())
    }

    /// Whether there are no addresses in it.
    pub const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether an IPv4 address is in it.
    pub fn has_v4(&self, addr: u32) -> bool {
        contains(&self.v4, addr)
    }

    /// Whether an IPv6 address is in it.
    pub fn has_v6(&self, addr: u128) -> bool {
        contains(&self.v6, addr)
    }
}

/// As much of a word as a message needs, without what a terminal would take for orders.
fn shown(word: &str) -> String {
    const MOST: usize = 64;
    let rest = if word.chars().nth(MOST).is_some() { "..." } else { "" };
    word.chars().take(MOST).flat_map(char::escape_debug).chain(rest.chars()).collect()
}

fn contains<T: Ord + Copy>(ranges: &[(T, T)], addr: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= addr);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| addr <= *last)
}

fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut all: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match all.last_mut() {
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => all.push((first, last)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(set: &PrefixSet, addr: &str) -> bool {
        match Addr::from(addr.parse::<IpAddr>().unwrap()) {
            Addr::V4(n) => set.has_v4(n),
            Addr::V6(n) => set.has_v6(n),
        }
    }

    #[test]
    fn addresses_are_in_the_set_or_not() {
        let text = "10.0.0.0/8, 192.0.2.1 # ours\n\n2001:db8::/32\t10.1.0.0/16,10.0.0.0/9\n#none";
        let set = PrefixSet::parse(text).unwrap();
        assert_eq!((set.v4.len(), set.v6.len()), (2, 1));
        for (addr, want) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("192.0.2.0", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", false),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(has(&set, addr), want, "{addr}");
        }
        for addr in ["0.0.0.0", "255.255.255.255"] {
            assert!(has(&PrefixSet::parse("0.0.0.0/0").unwrap(), addr));
            assert!(has(&PrefixSet::parse("0.0.0.0/1,128.0.0.0/1").unwrap(), addr));
        }
        assert!(has(&PrefixSet::parse("::/0").unwrap(), "ffff::1"));
        assert!(PrefixSet::parse(" ,\n# 10.0.0.0/8").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_prefix_is_told() {
        use PrefixError::{Address, Bits, Length};
        let own = str::to_owned;
        for (text, want) in [
            ("10/8", Address(own("10/8"))),
            ("host", Address(own("host"))),
            ("10.0.0.0/33", Length(own("10.0.0.0/33"))),
            ("::/129", Length(own("::/129"))),
            ("10.0.0.0/", Length(own("10.0.0.0/"))),
            ("10.0.0.0/8/8", Length(own("10.0.0.0/8/8"))),
            ("10.0.0.1/8", Bits(own("10.0.0.1/8"), own("10.0.0.0/8"))),
        ] {
            assert_eq!(PrefixSet::parse(&format!("192.0.2.1,{text}")), Err(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_is_told_in_a_line() {
        let text = "\0\u{1b}".repeat(1 << 16);
        let error = PrefixSet::parse(&text).unwrap_err().to_string();
        assert!(error.starts_with(r"`\0\u{1b}\0") && error.len() < 600, "{}", error.len());
        assert!(error.contains("...` is no address"), "{error}");
    }
}
