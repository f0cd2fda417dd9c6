//! Whom to repeat to, and what.

use std::fmt;
use std::str::FromStr;

use crate::Network;

/// Port of a target that names none.
const PORT: u16 = 9995;

/// A collector to repeat to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// Senders whose datagrams it wants; all if there is none.
    pub from: Vec<Network>,
    /// Protocol versions that it wants; all if there is none.
    pub versions: Vec<Version>,
    /// One datagram of so many goes out, beginning with the first: counted over those it wants. The
    /// target sees gaps in sequence numbers.
    pub sample: u32,
    /// Whether it sees the sender's address and port, rather than ours. Needs CAP_NET_RAW.
    pub spoof: bool,
}

/// What an export datagram says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// NetFlow or IPFIX: the number in its first two octets.
    Number(u16),
    /// sFlow, of whatever version: two octets of zero come first.
    Sflow,
}

impl Version {
    /// The version of a datagram; `None` if it is too short to say.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        match datagram.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))? {
            0 => (datagram.len() >= 4).then_some(Self::Sflow),
            number => Some(Self::Number(number)),
        }
    }
}

/// Why a text names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// There is nothing before the port.
    #[error("target `{0}` has no host: use HOST[/PORT][,OPTION...]")]
    Host(String),
    /// Not a port.
    #[error("target `{target}`: `{port}` is no port: use 1 to 65535")]
    Port {
        /// The text.
        target: String,
        /// What stands where the port is.
        port: String,
    },
    /// Not an option.
    #[error(
        "target `{target}`: unknown option `{option}`: use from=NET, version=N, sample=N or spoof"
    )]
    Option {
        /// The text.
        target: String,
        /// The option.
        option: String,
    },
    /// An option with a value that it cannot have.
    #[error("target `{target}`: `{option}`: {want}")]
    Value {
        /// The text.
        target: String,
        /// The option with its value.
        option: String,
        /// What it can have.
        want: &'static str,
    },
}

impl Target {
    /// Reads `HOST[/PORT][,OPTION...]`. Options are `from=NET` and `version=N`, each as often as
    /// wanted, `sample=N` and `spoof`. A host is a name or an address, an IPv6 address also in
    /// brackets. The port is 9995 unless given.
    ///
    /// # Errors
    /// Where the text is something else.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let mut parts = text.split(',').map(str::trim);
        let place = parts.next().unwrap_or_default();
        let (host, port) = match place.split_once('/') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(TargetError::Host(text.to_owned()));
        }
        let port = match port {
            None => PORT,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                TargetError::Port { target: text.to_owned(), port: port.to_owned() }
            })?,
        };
        let mut target = Self {
            host: host.to_owned(),
            port,
            from: Vec::new(),
            versions: Vec::new(),
            sample: 1,
            spoof: false,
        };
        parts.try_for_each(|option| target.set(option, text))?;
        Ok(target)
    }

    fn set(&mut self, option: &str, text: &str) -> Result<(), TargetError> {
        let wrong =
            |want| TargetError::Value { target: text.to_owned(), option: option.to_owned(), want };
        match option.split_once('=') {
            Some(("from", net)) => {
                let net = net.parse().map_err(|_| wrong("use an address or 10.0.0.0/8"))?;
                self.from.push(net);
            }
            Some(("version", "sflow")) => self.versions.push(Version::Sflow),
            Some(("version", number)) => {
                let number = number.parse().ok().filter(|number| *number > 0);
                let number = number.ok_or_else(|| wrong("use 5, 9, 10 for IPFIX, or sflow"))?;
                self.versions.push(Version::Number(number));
            }
            Some(("sample", number)) => {
                let number = number.parse().ok().filter(|number| *number > 0);
                self.sample = number.ok_or_else(|| wrong("use a whole number from 1"))?;
            }
            None if option == "spoof" => self.spoof = true,
            _ => {
                let (target, option) = (text.to_owned(), option.to_owned());
                return Err(TargetError::Option { target, option });
            }
        }
        Ok(())
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text)
    }
}

impl fmt::Display for Target {
    /// Host and port, as they are given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_named() {
        for (text, host, port) in [
            ("collector", "collector", 9995),
            ("192.0.2.1/2055", "192.0.2.1", 2055),
            ("::1/4739", "::1", 4739),
            ("[2001:db8::1]", "2001:db8::1", 9995),
            ("239.1.2.3/1,spoof", "239.1.2.3", 1),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{text}");
            assert_eq!(target.to_string(), format!("{host}/{port}"));
            assert_eq!(target.spoof, text.ends_with("spoof"));
            assert_eq!(target.sample, 1);
        }
        let all = "h/9,from=10.0.0.0/8, from=::1,version=9,version=sflow,sample=10,spoof";
        let target: Target = all.parse().unwrap();
        let from: Vec<String> = target.from.iter().map(Network::to_string).collect();
        assert_eq!(from, ["10.0.0.0/8", "::1/128"]);
        assert_eq!(target.versions, [Version::Number(9), Version::Sflow]);
        assert_eq!((target.sample, target.spoof), (10, true));
    }

    #[test]
    fn what_is_no_target_is_refused_by_name() {
        for (text, want) in [
            ("", "no host"),
            ("/9995", "no host"),
            ("a b/1", "no host"),
            ("h/0", "`0` is no port"),
            ("h/65536", "`65536` is no port"),
            ("h/", "`` is no port"),
            ("h,", "unknown option ``"),
            ("h,spooof", "unknown option `spooof`"),
            ("h,spoof=1", "unknown option `spoof=1`"),
            ("h,from=here", "`from=here`: use an address"),
            ("h,version=0", "`version=0`: use 5"),
            ("h,version=v9", "`version=v9`: use 5"),
            ("h,sample=0", "`sample=0`: use a whole number"),
            ("h,sample=-1", "`sample=-1`: use a whole number"),
        ] {
            let e = Target::parse(text).expect_err(text).to_string();
            assert!(e.contains(want) && e.contains(&format!("`{text}`")), "{text}: {e}");
        }
    }

    #[test]
    fn versions_of_datagrams() {
        for (bytes, version) in [
            (&[][..], None),
            (&[9], None),
            (&[0, 9], Some(Version::Number(9))),
            (&[0, 5, 0, 0], Some(Version::Number(5))),
            (&[0, 250], Some(Version::Number(250))),
            (&[0, 0, 0], None),
            (&[0, 0, 0, 5], Some(Version::Sflow)),
        ] {
            assert_eq!(Version::of(bytes), version, "{bytes:?}");
        }
    }
}
