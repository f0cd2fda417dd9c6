//! Numbers and addresses as text, appended to a buffer without going through `std::fmt`.

use crate::escape::HEX;
use record::{Addr, Mac};

/// Appends `n` in decimal.
#[inline]
pub(crate) fn push_u64(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Appends `n` in decimal, right-aligned in at least `width`.
#[inline]
pub(crate) fn push_right(out: &mut Vec<u8>, n: u64, width: usize) {
    push_right_text(out, itoa::Buffer::new().format(n).as_bytes(), width);
}

/// Appends `n` in decimal, left-aligned in at least `width`.
#[inline]
pub(crate) fn push_left(out: &mut Vec<u8>, n: u64, width: usize) {
    push_left_text(out, itoa::Buffer::new().format(n).as_bytes(), width);
}

/// Appends `text`, right-aligned in at least `width`.
#[inline]
pub(crate) fn push_right_text(out: &mut Vec<u8>, text: &[u8], width: usize) {
    pad(out, width.saturating_sub(text.len()));
    out.extend_from_slice(text);
}

/// Appends `text`, left-aligned in at least `width`.
#[inline]
pub(crate) fn push_left_text(out: &mut Vec<u8>, text: &[u8], width: usize) {
    out.extend_from_slice(text);
    pad(out, width.saturating_sub(text.len()));
}

/// Appends `n` blanks.
#[inline]
pub(crate) fn pad(out: &mut Vec<u8>, n: usize) {
    out.resize(out.len() + n, b' ');
}

/// Appends `n` in lower-case hexadecimal, at least `digits` long.
pub(crate) fn push_hex(out: &mut Vec<u8>, n: u64, digits: usize) {
    let needed = ((64 - n.leading_zeros()).div_ceil(4) as usize).max(digits).max(1);
    for i in (0..needed).rev() {
        let nibble = if i < 16 { n >> (4 * i) & 15 } else { 0 };
        out.push(HEX[nibble as usize]);
    }
}

/// Appends `n / 1000` and three decimals, right-aligned in at least `width`.
pub(crate) fn push_thousandths(out: &mut Vec<u8>, n: u64, width: usize) {
    push_right(out, n / 1000, width.saturating_sub(4));
    out.push(b'.');
    out.extend_from_slice(&three(n % 1000));
}

/// Three digits of `n`, which is below 1000.
#[inline]
pub(crate) const fn three(n: u64) -> [u8; 3] {
    [b'0' + (n / 100 % 10) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]
}

/// Two digits of `n`, which is below 100.
#[inline]
pub(crate) const fn two(n: u64) -> [u8; 2] {
    [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]
}

/// Appends a MAC address, six groups of two hexadecimal digits.
pub(crate) fn push_mac(out: &mut Vec<u8>, mac: Mac) {
    let mut text = *b"00:00:00:00:00:00";
    for (group, octet) in text.chunks_mut(3).zip(&mac.0.to_be_bytes()[2..]) {
        group[0] = HEX[usize::from(octet >> 4)];
        group[1] = HEX[usize::from(octet & 15)];
    }
    out.extend_from_slice(&text);
}

/// Appends an address in full.
#[inline]
pub(crate) fn push_addr(out: &mut Vec<u8>, addr: Addr) {
    out.extend_from_slice(AddrText::new(addr).as_bytes());
}

/// The text of an address on the stack: at most 39 octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddrText {
    text: [u8; Self::ROOM],
    len: usize,
}

impl AddrText {
    /// 39 for eight full groups, rounded up so that three octets can always be written at once.
    const ROOM: usize = 48;

    /// IPv4 dotted, IPv6 as RFC 5952 has it, IPv4-mapped addresses as `::ffff:192.0.2.1`.
    #[inline]
    pub(crate) fn new(addr: Addr) -> Self {
        let mut t = Self { text: [0; Self::ROOM], len: 0 };
        match addr {
            Addr::V4(n) => t.push_v4(n),
            Addr::V6(n) => t.push_v6(n),
        }
        t
    }

    /// IPv6 text longer than 16 characters cut to its first and last seven with `..` between.
    pub(crate) fn condensed(addr: Addr) -> Self {
        let mut t = Self::new(addr);
        if t.len > 16 {
            let mut short = [0; Self::ROOM];
            short[..7].copy_from_slice(&t.text[..7]);
            short[7..9].copy_from_slice(b"..");
            short[9..16].copy_from_slice(&t.text[t.len - 7..t.len]);
            t = Self { text: short, len: 16 };
        }
        t
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    #[inline]
    fn push_v4(&mut self, n: u32) {
        for octet in n.to_be_bytes() {
            let [a, b, c, len] = OCTETS[usize::from(octet)];
            self.text[self.len..self.len + 4].copy_from_slice(&[a, b, c, 0]);
            self.text[self.len + usize::from(len)] = b'.';
            self.len += usize::from(len) + 1;
        }
        self.len -= 1;
    }

    fn push_v6(&mut self, n: u128) {
        if n >> 32 == 0xffff {
            self.push(b"::ffff:");
            self.push_v4(n as u32);
            return;
        }
        let groups: [u16; 8] = std::array::from_fn(|i| (n >> (112 - 16 * i)) as u16);
        let (gap, gap_len) = longest_gap(&groups);
        let mut i = 0;
        while i < 8 {
            if gap_len > 0 && i == gap {
                self.push(b"::");
                i += gap_len;
                continue;
            }
            if i > 0 && (gap_len == 0 || i != gap + gap_len) {
                self.push(b":");
            }
            self.push_group(groups[i]);
            i += 1;
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.text[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn push_group(&mut self, n: u16) {
        let digits = [12, 8, 4, 0].map(|shift| HEX[usize::from(n >> shift & 15)]);
        let skip = (n.leading_zeros() / 4).min(3) as usize;
        self.push(&digits[skip..]);
    }
}

/// Start and length of the first longest run of zero groups; a single one is no run (RFC 5952,
/// 4.2.2 and 4.2.3).
fn longest_gap(groups: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut best_len, mut run) = (0, 0, 0);
    for (i, g) in groups.iter().enumerate() {
        run = if *g == 0 { run + 1 } else { 0 };
        if run > best_len {
            (best, best_len) = (i + 1 - run, run);
        }
    }
    if best_len < 2 { (0, 0) } else { (best, best_len) }
}

/// Each octet as two hexadecimal digits.
pub(crate) static HEX_PAIRS: [[u8; 2]; 256] = {
    let mut table = [[0; 2]; 256];
    let mut n = 0;
    while n < 256 {
        table[n] = [HEX[n >> 4], HEX[n & 15]];
        n += 1;
    }
    table
};

/// Each octet in decimal: up to three digits, and how many.
static OCTETS: [[u8; 4]; 256] = {
    let mut table = [[0; 4]; 256];
    let mut n = 0;
    while n < 256 {
        let [a, b, c] = three(n as u64);
        table[n] = match n {
            0..10 => [c, 0, 0, 1],
            10..100 => [b, c, 0, 2],
            _ => [a, b, c, 3],
        };
        n += 1;
    }
    table
};

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// A small generator (xorshift): same numbers in every run.
    pub(crate) fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        let mut x = seed;
        std::iter::repeat_with(move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        })
    }

    fn text(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"#".to_vec();
        f(&mut out);
        String::from_utf8(out).unwrap()[1..].to_string()
    }

    #[test]
    fn numbers_as_std_has_them() {
        let edges = (0..20).map(|e| 10u64.pow(e)).flat_map(|n| [n - 1, n, n + 1]);
        for n in edges.chain([u64::MAX]).chain(numbers(7).take(2000)) {
            assert_eq!(text(|o| push_u64(o, n)), n.to_string());
            for width in [0, 1, 5, 8, 25] {
                assert_eq!(text(|o| push_right(o, n, width)), format!("{n:width$}"));
                assert_eq!(text(|o| push_left(o, n, width)), format!("{n:<width$}"));
                assert_eq!(text(|o| push_hex(o, n, width)), format!("{n:0width$x}"));
            }
            let want = format!("{}.{:03}", n / 1000, n % 1000);
            assert_eq!(text(|o| push_thousandths(o, n, 16)), format!("{want:>16}"));
        }
    }

    #[test]
    fn addresses_as_std_has_them() {
        let v4 = (0..=255u32).map(|n| n << 24 | n << 16 | (255 - n) << 8 | n);
        for n in v4.chain(numbers(3).take(2000).map(|n| n as u32)) {
            assert_eq!(text(|o| push_addr(o, Addr::V4(n))), Ipv4Addr::from_bits(n).to_string());
        }
        // Every pattern of zero groups, with short and long groups between.
        let fill = numbers(11).take(2000).collect::<Vec<_>>();
        for pattern in 0..=255u32 {
            for k in 0..8 {
                let groups: [u16; 8] = std::array::from_fn(|i| {
                    let n = fill[(pattern as usize * 7 + k * 8 + i) % fill.len()] as u16;
                    if pattern >> i & 1 == 1 { 0 } else { (n >> (4 * (k % 4))).max(1) }
                });
                let ip = Ipv6Addr::from(groups);
                assert_eq!(text(|o| push_addr(o, ip_addr(ip))), ip.to_string());
            }
        }
        for s in ["::", "::1", "::ffff:1.2.3.4", "::ffff:0:0", "::fffe:1.2.3.4", "64:ff9b::1.2.3.4"]
        {
            let ip: Ipv6Addr = s.parse().unwrap();
            assert_eq!(text(|o| push_addr(o, ip_addr(ip))), ip.to_string());
        }
    }

    fn ip_addr(ip: Ipv6Addr) -> Addr {
        Addr::from(IpAddr::V6(ip))
    }

    #[test]
    fn long_addresses_are_condensed() {
        for (full, want) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db..3:4:5:6"),
            ("2001:620:1000:cafe:20e:35ff:fec0:fed5", "2001:62..c0:fed5"),
            ("2001:db8::53", "2001:db8::53"),
            ("2001:db8:1:2:3::", "2001:db8:1:2:3::"),
            ("255.255.255.255", "255.255.255.255"),
        ] {
            let addr = Addr::from(full.parse::<IpAddr>().unwrap());
            assert_eq!(AddrText::condensed(addr).as_bytes(), want.as_bytes(), "{full}");
        }
    }

    #[test]
    fn mac_as_display_has_it() {
        for n in numbers(5).take(200).map(|n| n & 0xffff_ffff_ffff).chain([0, 0xffff_ffff_ffff]) {
            assert_eq!(text(|o| push_mac(o, Mac(n))), Mac(n).to_string());
        }
    }
}
