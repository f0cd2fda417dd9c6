//! An address block, as senders of a source are listed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use record::Addr;

use crate::Error;

/// Addresses that share their first bits: `10.0.0.0/8`, `2001:db8::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: Addr,
    len: u8,
}

impl Network {
    /// Whether `addr` lies inside.
    pub fn contains(&self, addr: Addr) -> bool {
        addr.width() == self.base.width() && addr.masked(self.len) == self.base
    }
}

impl FromStr for Network {
    type Err = Error;

    /// An address, or an address and the number of bits that count. Bits beyond them are ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Network(text.to_owned());
        let (ip, len) = text.split_once('/').map_or((text, None), |(ip, len)| (ip, Some(len)));
        let addr = Addr::from(ip.trim().parse::<IpAddr>().map_err(|_| wrong())?);
        let widest = 8 * addr.width() as u8;
        let len = match len {
            None => widest,
            Some(len) => len.trim().parse().ok().filter(|n| *n <= widest).ok_or_else(wrong)?,
        };
        Ok(Self { base: addr.masked(len), len })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        Addr::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn blocks_contain_what_shares_their_bits() {
        for (block, ip, inside) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::", false),
            ("::/0", "0.0.0.0", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let network: Network = block.parse().unwrap();
            assert_eq!(network.contains(addr(ip)), inside, "{ip} in {block}");
        }
        assert_eq!("10.1.2.3/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_is_no_block_is_refused_by_name() {
        for text in ["", "10.1", "host", "10.0.0.0/33", "::/129", "::1/", "1.2.3.4/-1"] {
            let e = text.parse::<Network>().unwrap_err();
            assert!(e.to_string().contains(&format!("`{text}`")), "{e}");
        }
    }
}
