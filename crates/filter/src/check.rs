//! Words to values: what an operand must look like, one function a kind.

use crate::ast::Net;
use crate::error::ErrorKind;
use crate::names::Names;
use crate::primitive::Phrase;
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A number: decimal, decimal with `k m g t` for powers of 1000, or `0x` and hex digits. `None` if
/// the word is no number at all.
pub(crate) fn number(word: &str) -> Option<Result<u64, ErrorKind>> {
    if let Some(hex) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        let digits = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        return digits.then(|| u64::from_str_radix(hex, 16).map_err(|_| ErrorKind::TooLarge));
    }
    let (digits, factor) = match word.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&word[..word.len() - 1], 1_000),
        b'm' => (&word[..word.len() - 1], 1_000_000),
        b'g' => (&word[..word.len() - 1], 1_000_000_000),
        b't' => (&word[..word.len() - 1], 1_000_000_000_000),
        _ => (word, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    Some(number.ok_or(ErrorKind::TooLarge))
}

/// A number no larger than what the field can be.
pub(crate) fn in_range(n: u64, max: u64, phrase: &Phrase) -> Result<u64, ErrorKind> {
    if n <= max { Ok(n) } else { Err(ErrorKind::OutOfRange { what: phrase.text, max }) }
}

/// A name's number.
pub(crate) fn name(word: &str, names: Names) -> Result<u64, ErrorKind> {
    names.number(word).ok_or_else(|| {
        let all = names.all();
        let near = crate::suggest::nearest(word, all.iter().copied());
        ErrorKind::UnknownName { what: names.what(), names: all, near }
    })
}

/// Flag letters, upper case, each at most once; `X` stands for the six below ECE.
pub(crate) fn flags(word: &str) -> Result<u8, ErrorKind> {
    let mut bits = 0;
    let mut seen = 0u16;
    for letter in word.chars() {
        let (bit, once) = match "FSRPAUECX".find(letter) {
            Some(8) => (63, 1 << 8),
            Some(n) => (1 << n, 1 << n),
            None => return Err(ErrorKind::Flags),
        };
        if seen & once != 0 {
            return Err(ErrorKind::Flags);
        }
        seen |= once;
        bits |= bit;
    }
    if bits == 0 { Err(ErrorKind::Flags) } else { Ok(bits) }
}

/// A complete address.
pub(crate) fn address(word: &str) -> Result<Net, ErrorKind> {
    if word.contains(':') {
        let addr: Ipv6Addr = word.parse().map_err(|_| ErrorKind::Address)?;
        return Ok(Net::V6 { addr: addr.to_bits(), mask: u128::MAX });
    }
    if word.bytes().any(|b| b.is_ascii_alphabetic()) {
        return Err(ErrorKind::HostName);
    }
    let addr: Ipv4Addr = word.parse().map_err(|_| ErrorKind::Address)?;
    Ok(Net::V4 { addr: addr.to_bits(), mask: u32::MAX })
}

/// `word/len`. An IPv4 address may stop after its first octets: `10/8`. Bits beyond the length are
/// cleared.
pub(crate) fn prefix(word: &str, len: u64) -> Result<Net, ErrorKind> {
    let len = u8::try_from(len).unwrap_or(u8::MAX);
    if word.contains(':') {
        let addr = word.parse().map_err(|_| ErrorKind::Address)?;
        let net = Ipv6Net::new(addr, len)
            .map_err(|_| ErrorKind::Prefix("an IPv6 prefix has at most 128 bits"))?;
        let mask = net.netmask().to_bits();
        return Ok(Net::V6 { addr: addr.to_bits() & mask, mask });
    }
    let net = Ipv4Net::new(short_v4(word)?, len)
        .map_err(|_| ErrorKind::Prefix("an IPv4 prefix has at most 32 bits"))?;
    let mask = net.netmask().to_bits();
    Ok(Net::V4 { addr: net.addr().to_bits() & mask, mask })
}

/// `word mask`, IPv4 only. The mask may have any bits.
pub(crate) fn masked(word: &str, mask: &str) -> Result<Net, ErrorKind> {
    if word.contains(':') {
        return Err(ErrorKind::Prefix("write an IPv6 net with a length: 2001:db8::/32"));
    }
    let (Net::V4 { addr, .. }, Ok(mask)) = (address(word)?, mask.parse::<Ipv4Addr>()) else {
        return Err(ErrorKind::Prefix("not an IPv4 mask such as 255.0.0.0"));
    };
    let mask = mask.to_bits();
    Ok(Net::V4 { addr: addr & mask, mask })
}

/// One to four octets; those that are missing are 0.
fn short_v4(word: &str) -> Result<Ipv4Addr, ErrorKind> {
    let missing = 3usize.saturating_sub(word.bytes().filter(|b| *b == b'.').count());
    let full = match missing {
        0 => word.parse().ok(),
        _ if word.len() > 15 => None,
        _ => format!("{word}{}", ".0".repeat(missing)).parse().ok(),
    };
    full.ok_or_else(|| match address(word) {
        Err(kind) => kind,
        Ok(_) => ErrorKind::Address,
    })
}

/// Six groups of one or two hex digits with colons, not all 0.
pub(crate) fn mac(word: &str) -> Result<u64, ErrorKind> {
    const FORM: ErrorKind = ErrorKind::Mac("a MAC address looks like 00:11:22:33:44:55");
    let mut value = 0;
    let mut groups = 0;
    for group in word.split(':') {
        groups += 1;
        if groups > 6 || !(1..=2).contains(&group.len()) {
            return Err(FORM);
        }
        if !group.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(FORM);
        }
        value = value << 8 | u64::from_str_radix(group, 16).map_err(|_| FORM)?;
    }
    match (groups, value) {
        (6, 0) => Err(ErrorKind::Mac("a MAC address of zeros matches nothing")),
        (6, _) => Ok(value),
        _ => Err(FORM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (word, want) in [
            ("80", Some(Some(80))),
            ("080", Some(Some(80))),
            ("1k", Some(Some(1_000))),
            ("2M", Some(Some(2_000_000))),
            ("3g", Some(Some(3_000_000_000))),
            ("4T", Some(Some(4_000_000_000_000))),
            ("0x50", Some(Some(80))),
            ("18446744073709551615", Some(Some(u64::MAX))),
            ("18446744073709551616", Some(None)),
            ("18446744073709551615k", Some(None)),
            ("0x10000000000000000", Some(None)),
            ("0x", None),
            ("0xZZ", None),
            ("0x+1", None),
            ("0x10k", None),
            ("10kk", None),
            ("1.5", None),
            ("-1", None),
            ("k", None),
            ("", None),
        ] {
            assert_eq!(number(word).map(Result::ok), want, "{word}");
        }
    }

    #[test]
    fn nets() {
        let show = |net: Result<Net, _>| net.map(|n| n.to_string()).map_err(|_: ErrorKind| ());
        for (word, len, want) in [
            ("10.0.0.0", 8, Ok("10.0.0.0/8")),
            ("10.9.1.1", 16, Ok("10.9.0.0/16")),
            ("10", 8, Ok("10.0.0.0/8")),
            ("172.16", 12, Ok("172.16.0.0/12")),
            ("192.168.1", 24, Ok("192.168.1.0/24")),
            ("0.0.0.0", 0, Ok("0.0.0.0/0")),
            ("::", 0, Ok("::/0")),
            ("2001:db8::1", 32, Ok("2001:db8::/32")),
            ("10.0.0.0", 33, Err(())),
            ("2001:db8::", 129, Err(())),
            ("10.0.0.0", 300, Err(())),
            ("10.", 8, Err(())),
            ("10.0.0.0.0", 8, Err(())),
            ("300", 8, Err(())),
            ("", 8, Err(())),
            ("lab", 8, Err(())),
        ] {
            assert_eq!(show(prefix(word, len)), want.map(str::to_owned), "{word}/{len}");
        }
        for (word, mask, want) in [
            ("10.1.2.3", "255.0.0.0", Ok("10.0.0.0/8")),
            ("10.1.2.3", "255.0.255.0", Ok("10.0.2.0 255.0.255.0")),
            ("10.1.2.3", "0.0.0.0", Ok("0.0.0.0/0")),
            ("10.1.2.3", "255.0.0", Err(())),
            ("10", "255.0.0.0", Err(())),
            ("::1", "ffff::", Err(())),
        ] {
            assert_eq!(show(masked(word, mask)), want.map(str::to_owned), "{word} {mask}");
        }
    }

    #[test]
    fn flag_letters() {
        for (word, want) in [
            ("S", Some(2)),
            ("SA", Some(18)),
            ("AS", Some(18)),
            ("X", Some(63)),
            ("XC", Some(191)),
            ("FSRPAUEC", Some(255)),
            ("s", None),
            ("AA", None),
            ("", None),
            ("ACK", None),
        ] {
            assert_eq!(flags(word).ok(), want, "{word}");
        }
    }

    #[test]
    fn macs() {
        for (word, want) in [
            ("00:11:22:33:44:55", Some(0x0011_2233_4455)),
            ("0:1:2:3:4:5", Some(0x0001_0203_0405)),
            ("AA:bb:cc:dd:ee:ff", Some(0xaabb_ccdd_eeff)),
            ("00:00:00:00:00:00", None),
            ("1:2:3:4:5", None),
            ("1:2:3:4:5:6:7", None),
            ("1:2:3:4:5:", None),
            ("1:2:3:4:5:006", None),
            ("1:2:3:4:5:+6", None),
        ] {
            assert_eq!(mac(word).ok(), want, "{word}");
        }
    }
}
