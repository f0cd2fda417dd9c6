//! Where datagrams go: the argument of `-n`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port, not 0.
    pub port: u16,
}

/// What carries datagrams to destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP.
    #[default]
    Udp,
    /// TCP: the messages of IPFIX follow each other as they are (RFC 7011, 10.4); those of NetFlow
    /// likewise, as softflowd sends them.
    Tcp,
}

/// Why a text names no destinations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// More than can be.
    #[error("{0} destinations: at most {max} can be given", max = Destination::MAX)]
    TooMany(usize),
    /// There is nothing before the port.
    #[error("destination `{0}` has no host: use HOST:PORT, or [ADDRESS]:PORT for IPv6")]
    NoHost(String),
    /// There is no port.
    #[error("destination `{0}` has no port: use HOST:PORT, for example {0}:2055")]
    NoPort(String),
    /// Not a port.
    #[error("destination `{destination}`: `{port}` is no port: use 1 to 65535")]
    Port {
        /// The text.
        destination: String,
        /// What stands where the port is.
        port: String,
    },
    /// Neither a name nor an address.
    #[error("destination `{destination}`: `{host}` is neither a name nor an address")]
    Host {
        /// The text.
        destination: String,
        /// What stands where the host is.
        host: String,
    },
    /// A transport that is not there.
    #[error("no transport `{0}`: use udp or tcp")]
    Transport(String),
    /// A transport that others have.
    #[error("export over SCTP is not available: use tcp, which loses nothing either, or udp")]
    Sctp,
}

impl Destination {
    /// As many as softflowd takes.
    pub const MAX: usize = 16;

    /// Reads `HOST:PORT[,HOST:PORT...]`. The last colon separates the port, so an IPv6 address
    /// needs no brackets; with them it is easier to read.
    ///
    /// # Errors
    /// At the first part that is something else, and for more than [`MAX`](Self::MAX).
    pub fn parse_list(text: &str) -> Result<Vec<Self>, DestinationError> {
        let count = text.split(',').count();
        if count > Self::MAX {
            return Err(DestinationError::TooMany(count));
        }
        text.split(',').map(|part| Self::parse(part.trim())).collect()
    }

    /// Reads `HOST:PORT`.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let has_no_port = text.ends_with(']') || text.parse::<Ipv6Addr>().is_ok_and(no_port);
        let split = if has_no_port { None } else { text.rsplit_once(':') };
        let Some((host, port)) = split else {
            let text = text.to_owned();
            return Err(match text.is_empty() {
                true => DestinationError::NoHost(text),
                false => DestinationError::NoPort(text),
            });
        };
        let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let name = inner.unwrap_or(host);
        if name.is_empty() {
            return Err(DestinationError::NoHost(text.to_owned()));
        }
        // A zone, as in fe80::1%eth0, is the resolver's.
        let (address, _) = name.split_once('%').unwrap_or((name, ""));
        let is_v6 = address.parse::<Ipv6Addr>().is_ok();
        let odd = |c: char| c.is_whitespace() || c.is_control() || "[]/:".contains(c);
        if !is_v6 && (inner.is_some() || name.contains(odd)) {
            let (destination, host) = (text.to_owned(), host.to_owned());
            return Err(DestinationError::Host { destination, host });
        }
        let number = port.parse().ok().filter(|n| *n > 0 && !port.starts_with('+'));
        let port = number.ok_or_else(|| DestinationError::Port {
            destination: text.to_owned(),
            port: port.to_owned(),
        })?;
        Ok(Self { host: name.to_owned(), port })
    }

    /// The address, if it is not a name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Whether an IPv6 address can only be meant without a port. `2001:db8::1:2055` is an address and
/// also one with a port, and has been read as the latter for ever.
fn no_port(address: Ipv6Addr) -> bool {
    address.is_unspecified() || address.is_loopback()
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        Self::parse(text)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Transport {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        match text.to_ascii_lowercase().as_str() {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            "sctp" => Err(DestinationError::Sctp),
            _ => Err(DestinationError::Transport(text.to_owned())),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_written() {
        for (text, host, port, shown) in [
            ("127.0.0.1:9995", "127.0.0.1", 9995, "127.0.0.1:9995"),
            ("collector.example:2055", "collector.example", 2055, "collector.example:2055"),
            ("[2001:db8::1]:2055", "2001:db8::1", 2055, "[2001:db8::1]:2055"),
            ("2001:db8::1:2055", "2001:db8::1", 2055, "[2001:db8::1]:2055"),
            ("::1:2055", "::1", 2055, "[::1]:2055"),
            ("[fe80::1%eth0]:1", "fe80::1%eth0", 1, "[fe80::1%eth0]:1"),
            ("239.1.2.3:65535", "239.1.2.3", 65_535, "239.1.2.3:65535"),
        ] {
            let got = Destination::parse(text).unwrap();
            assert_eq!((got.host.as_str(), got.port), (host, port), "{text}");
            assert_eq!(got.to_string(), shown);
            assert_eq!(Destination::parse(shown), Ok(got));
        }
        let all = Destination::parse_list("a:1, [::1]:2,10.0.0.1:3").unwrap();
        let shown: Vec<String> = all.iter().map(Destination::to_string).collect();
        assert_eq!(shown, ["a:1", "[::1]:2", "10.0.0.1:3"]);
        assert_eq!(Destination::parse_list(&vec!["a:1"; 16].join(",")).unwrap().len(), 16);
    }

    #[test]
    fn what_is_no_destination_is_refused_by_its_part() {
        for (text, want) in [
            ("", "destination `` has no host"),
            ("a:1,,b:2", "destination `` has no host"),
            (":2055", "destination `:2055` has no host"),
            ("[]:2055", "destination `[]:2055` has no host"),
            ("a:1,host", "destination `host` has no port: use HOST:PORT, for example host:2055"),
            ("[::1]", "destination `[::1]` has no port"),
            ("::1", "destination `::1` has no port"),
            ("host:", "destination `host:`: `` is no port"),
            ("host:0", "`0` is no port"),
            ("host:65536", "`65536` is no port"),
            ("host:+1", "`+1` is no port"),
            ("host:http", "`http` is no port"),
            ("[host]:1", "`[host]` is neither a name nor an address"),
            ("a b:1", "`a b` is neither"),
            ("a:b:1", "`a:b` is neither"),
            ("[::1:1", "`[::1` is neither"),
            ("udp://a:1", "`udp://a` is neither"),
        ] {
            let e = Destination::parse_list(text).expect_err(text).to_string();
            assert!(e.contains(want), "{text}: {e}");
        }
        let e = Destination::parse_list(&vec!["a:1"; 17].join(",")).unwrap_err().to_string();
        assert_eq!(e, "17 destinations: at most 16 can be given");
    }

    #[test]
    fn transports_are_named() {
        for (text, want) in [("udp", Transport::Udp), ("TCP", Transport::Tcp)] {
            assert_eq!(text.parse(), Ok(want));
            assert_eq!(want.to_string(), text.to_lowercase());
        }
        let e = |text: &str| text.parse::<Transport>().unwrap_err().to_string();
        assert!(e("sctp").contains("use tcp"));
        assert_eq!(e("dccp"), "no transport `dccp`: use udp or tcp");
    }
}
