//! Addresses as text, fast: as `Display` of the standard library, which is the oracle in tests.

use std::io::Write as _;
use std::net::Ipv6Addr;

/// Decimal text of each octet, and its length.
static OCTETS: [([u8; 3], u8); 256] = octets();

const fn octets() -> [([u8; 3], u8); 256] {
    let mut all = [([0; 3], 0); 256];
    let mut n = 0;
    while n < 256 {
        let (a, b, c) = (b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8);
        all[n] = match n {
            0..10 => ([c, 0, 0], 1),
            10..100 => ([b, c, 0], 2),
            _ => ([a, b, c], 3),
        };
        n += 1;
    }
    all
}

/// Appends an address of 16 octets, of which IPv4 has the last four.
pub(super) fn push(addr: [u8; 16], is_v4: bool, out: &mut Vec<u8>) {
    if !is_v4 {
        let _ = write!(out, "{}", Ipv6Addr::from(addr)); // a vector takes all
        return;
    }
    let [.., a, b, c, d] = addr;
    for (i, octet) in [a, b, c, d].into_iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        let (text, len) = OCTETS[usize::from(octet)];
        out.extend_from_slice(&text[..usize::from(len)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_that_of_the_standard_library() {
        let mut out = Vec::new();
        let v4 = (0..=255u8).flat_map(|n| {
            [[n, 0, 0, 0], [1, n, 2, 3], [0, 9, n, 255], [10, 99, 100, n]]
                .map(|b| std::net::Ipv4Addr::from(b).to_ipv6_mapped())
        });
        let v6 = ["::", "::1", "2001:db8::1", "fe80::1:0:0:1", "::fffe:1.2.3.4", "1:2:3:4:5:6:7:8"];
        let all = v4.chain(v6.iter().map(|a| a.parse().unwrap()));
        for (addr, is_v4) in all.flat_map(|a| [(a, true), (a, false)]) {
            out.clear();
            push(addr.octets(), is_v4, &mut out);
            let want = match addr.to_ipv4_mapped().filter(|_| is_v4) {
                Some(v4) => v4.to_string(),
                None if is_v4 => continue,
                None => addr.to_string(),
            };
            assert_eq!(std::str::from_utf8(&out).unwrap(), want);
        }
    }
}
