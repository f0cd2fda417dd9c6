//! IP and MAC addresses as numbers, and how they lie in a row.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address as a number of its family's width.
///
/// IPv4 sorts before IPv6, and an IPv4-mapped IPv6 address stays IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addr {
    /// 10.1.2.3 is 0x0A010203.
    V4(u32),
    /// 2001:db8::1 is 0x2001_0db8_..._0001.
    V6(u128),
}

impl Addr {
    /// Octets of [`to_row`](Self::to_row) that are in use: 4 or 16.
    #[inline]
    pub const fn width(self) -> usize {
        match self {
            Self::V4(_) => 4,
            Self::V6(_) => 16,
        }
    }

    /// The octets as they lie in a row: IPv4 a little-endian number, IPv6 two little-endian u64,
    /// the high half first.
    pub fn to_row(self) -> [u8; 16] {
        let mut out = [0; 16];
        match self {
            Self::V4(n) => out[..4].copy_from_slice(&n.to_le_bytes()),
            Self::V6(n) => {
                out[..8].copy_from_slice(&((n >> 64) as u64).to_le_bytes());
                out[8..].copy_from_slice(&(n as u64).to_le_bytes());
            }
        }
        out
    }

    /// The reverse of [`to_row`](Self::to_row); `None` if the slice is neither 4 nor 16 octets.
    #[inline]
    pub fn from_row(bytes: &[u8]) -> Option<Self> {
        if let Ok(b) = <[u8; 4]>::try_from(bytes) {
            return Some(Self::V4(u32::from_le_bytes(b)));
        }
        let (hi, lo) = bytes.split_first_chunk::<8>()?;
        let lo = <[u8; 8]>::try_from(lo).ok()?;
        let hi = u128::from(u64::from_le_bytes(*hi));
        Some(Self::V6(hi << 64 | u128::from(u64::from_le_bytes(lo))))
    }

    /// Whether all bits are 0.
    pub const fn is_unspecified(self) -> bool {
        matches!(self, Self::V4(0) | Self::V6(0))
    }

    /// The address with all but its first `len` bits cleared; `len` beyond the width keeps all.
    #[must_use]
    pub const fn masked(self, len: u8) -> Self {
        match self {
            Self::V4(n) if len < 32 => Self::V4(n & !(u32::MAX >> len)),
            Self::V6(n) if len < 128 => Self::V6(n & !(u128::MAX >> len)),
            full => full,
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(a) => Self::V4(a.to_bits()),
            IpAddr::V6(a) => Self::V6(a.to_bits()),
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(a: Addr) -> Self {
        match a {
            Addr::V4(n) => Self::V4(Ipv4Addr::from_bits(n)),
            Addr::V6(n) => Self::V6(Ipv6Addr::from_bits(n)),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

/// A 48-bit MAC address in the low bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub u64);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_form_round_trips() {
        for text in
            ["0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "2001:db8::1", "::ffff:1.2.3.4"]
        {
            let a = Addr::from(text.parse::<IpAddr>().unwrap());
            assert_eq!(Addr::from_row(&a.to_row()[..a.width()]), Some(a), "{text}");
            assert_eq!(a.to_string(), text);
        }
        for len in (0..20).filter(|n| ![4, 16].contains(n)) {
            assert_eq!(Addr::from_row(&[0; 20][..len]), None, "length {len}");
        }
    }

    #[test]
    fn row_form_is_that_of_the_file_format() {
        let a = Addr::from("10.1.2.3".parse::<IpAddr>().unwrap());
        assert_eq!(a.to_row()[..4], [3, 2, 1, 10]);
        let a = Addr::from("2001:db8::1".parse::<IpAddr>().unwrap());
        assert_eq!(a.to_row(), [0, 0, 0, 0, 0xb8, 0x0d, 1, 0x20, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn masks_at_every_length() {
        let (v4, v6) = (Addr::V4(u32::MAX), Addr::V6(u128::MAX));
        for len in 0..=32u8 {
            let Addr::V4(n) = v4.masked(len) else { unreachable!() };
            assert_eq!(n.leading_ones(), u32::from(len));
        }
        for len in 0..=128u8 {
            let Addr::V6(n) = v6.masked(len) else { unreachable!() };
            assert_eq!(n.leading_ones(), u32::from(len));
        }
        assert_eq!(v4.masked(200), v4);
    }

    #[test]
    fn mac_text() {
        assert_eq!(Mac(0x0211_2233_4455).to_string(), "02:11:22:33:44:55");
    }
}
