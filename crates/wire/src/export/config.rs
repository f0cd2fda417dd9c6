//! How an encoder is set up.

use std::fmt;

/// Export protocols that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// NetFlow v1: IPv4 flows, at most 24 in a datagram, and no sequence numbers.
    V1,
    /// NetFlow v5: IPv4 flows, at most 30 in a datagram.
    V5,
    /// NetFlow v9 (RFC 3954).
    V9,
    /// IPFIX (RFC 7011).
    Ipfix,
}

impl Version {
    /// The version in headers: 1, 5, 9 or 10.
    pub const fn number(self) -> u16 {
        match self {
            Self::V1 => 1,
            Self::V5 => 5,
            Self::V9 => 9,
            Self::Ipfix => 10,
        }
    }

    /// The version with this number in its headers.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            5 => Some(Self::V5),
            9 => Some(Self::V9),
            10 => Some(Self::Ipfix),
            _ => None,
        }
    }

    /// Whether its records are described by templates.
    pub const fn has_templates(self) -> bool {
        matches!(self, Self::V9 | Self::Ipfix)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V1 => "NetFlow v1",
            Self::V5 => "NetFlow v5",
            Self::V9 => "NetFlow v9",
            Self::Ipfix => "IPFIX",
        })
    }
}

/// How start and end of a flow are written over v9 and IPFIX. v1 and v5 have uptimes only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeFormat {
    /// Milliseconds since the exporter booted, elements 22 and 21.
    UptimeMs,
    /// Seconds since 1970, elements 150 and 151.
    Seconds,
    /// Milliseconds since 1970, elements 152 and 153: what every collector reads.
    #[default]
    Millis,
    /// Microseconds in NTP format, elements 154 and 155. Few collectors read them.
    Micros,
    /// Nanoseconds in NTP format, elements 156 and 157.
    Nanos,
}

impl TimeFormat {
    /// The format with this name: `sec`, `milli`, `micro` or `nano`, as softflowd's option `-A`
    /// has them, or `uptime`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "uptime" => Some(Self::UptimeMs),
            "sec" => Some(Self::Seconds),
            "milli" => Some(Self::Millis),
            "micro" => Some(Self::Micros),
            "nano" => Some(Self::Nanos),
            _ => None,
        }
    }
}

/// How packets were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SamplingKind {
    /// Every n-th packet.
    Systematic,
    /// One packet out of n, by chance.
    Random,
}

/// What is announced of sampling: one packet of `one_of` was counted. Collectors multiply counters
/// by it, so rows carry what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// One packet of so many; 0 and 1 announce nothing.
    pub one_of: u32,
    /// How it was chosen.
    pub kind: SamplingKind,
    /// Id of the sampler, if rows name it ([`record::Field::SelectorId`]); otherwise the rate is
    /// that of everything this encoder sends.
    pub selector: Option<u32>,
}

/// Name of an interface, for collectors that print names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName {
    /// ifIndex, as [`record::Field::Input`] has it.
    pub index: u32,
    /// ifName, such as `eth0`; at most 32 octets are sent.
    pub name: String,
    /// ifAlias or ifDescr; at most 64 octets are sent.
    pub description: String,
}

/// What carries the datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams that may get lost: templates are sent again and again.
    #[default]
    Datagrams,
    /// A TCP connection (IPFIX, RFC 7011, 10.4): templates are sent once a connection, and
    /// withdrawn before their id gets another meaning.
    Stream,
}

/// How an encoder is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportConfig {
    /// Protocol.
    pub version: Version,
    /// Observation domain (IPFIX), source id (v9), or engine type * 256 + engine id (v5). 0 unless
    /// told.
    pub domain: u32,
    /// When the exporter started, milliseconds since 1970: what uptimes count from, until they no
    /// longer fit 32 bits. 0, which is unless told, means a moment before the first flow.
    pub boot_ms: u64,
    /// IPFIX: whether octets and packets of the other direction
    /// ([`record::Field::OutBytes`], [`record::Field::OutPackets`]) are reverse elements (RFC 5103)
    /// rather than elements 23 and 24, as which v9 always sends them. On unless told.
    pub biflow: bool,
    /// How times are written over v9 and IPFIX.
    pub time: TimeFormat,
    /// Octets of the largest datagram, without IP and UDP headers. 1400 unless told; at least
    /// [`MTU_MIN`](Self::MTU_MIN) and at most [`MTU_MAX`](Self::MTU_MAX) take effect.
    pub mtu: usize,
    /// How long the first record of a datagram may wait for more, milliseconds. 1000 unless told; 0
    /// sends each record at once.
    pub max_delay_ms: u64,
    /// Templates and options are sent again after so many datagrams. 20 unless told; 0 is never.
    pub template_every_packets: u32,
    /// Templates and options are sent again after so many seconds, whether there is data or not. 60
    /// unless told; 0 is never.
    pub template_every_secs: u32,
    /// Templates and options are sent with the first data after so many seconds without any. 15
    /// unless told; 0 is never.
    pub template_after_idle_secs: u32,
    /// Templates that are kept at a time, 128 unless told. Beyond it the one not used for longest
    /// makes room.
    pub max_templates: usize,
    /// Sampling to announce. Over v5 in each header, over v9 and IPFIX with the templates; v1
    /// cannot.
    pub sampling: Option<Sampling>,
    /// Interfaces to announce over v9 and IPFIX. More than eight are announced with the first
    /// datagram, on request and by `template_every_secs` only, as they take a datagram for each dozen.
    pub interfaces: Vec<InterfaceName>,
    /// What carries the datagrams.
    pub transport: Transport,
}

impl ExportConfig {
    /// Octets of a datagram that can always be used: what every IPv4 host takes (RFC 791, 3.1),
    /// without the largest IP header and the UDP header.
    pub const MTU_MIN: usize = 508;
    /// Octets of the largest UDP datagram over IPv4.
    pub const MTU_MAX: usize = 65_507;
    /// One packet of so many is the rarest sampling that a v5 header can announce.
    pub const V5_SAMPLING_MAX: u32 = 0x3fff;

    /// The defaults for a protocol.
    pub const fn new(version: Version) -> Self {
        Self {
            version,
            domain: 0,
            boot_ms: 0,
            biflow: true,
            time: TimeFormat::Millis,
            mtu: 1400,
            max_delay_ms: 1000,
            template_every_packets: 20,
            template_every_secs: 60,
            template_after_idle_secs: 15,
            max_templates: 128,
            sampling: None,
            interfaces: Vec::new(),
            transport: Transport::Datagrams,
        }
    }

    /// Octets of the largest datagram that is made.
    pub(super) fn mtu_in_effect(&self) -> usize {
        self.mtu.clamp(Self::MTU_MIN, Self::MTU_MAX)
    }

    /// Says what of this set-up the protocol cannot do. An encoder does the rest of it.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be done.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rate = self.sampling.map_or(1, |s| s.one_of);
        match self.version {
            Version::V1 if rate > 1 => return Err(ConfigError::V1Sampling),
            Version::V5 if rate > Self::V5_SAMPLING_MAX => {
                return Err(ConfigError::V5Sampling { one_of: rate });
            }
            _ => {}
        }
        if self.transport == Transport::Stream && self.version != Version::Ipfix {
            return Err(ConfigError::Stream { version: self.version });
        }
        if !(Self::MTU_MIN..=Self::MTU_MAX).contains(&self.mtu) {
            return Err(ConfigError::Mtu { mtu: self.mtu });
        }
        Ok(())
    }
}

/// What of a set-up a protocol cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// v1 has no place for sampling.
    #[error("NetFlow v1 cannot announce sampling; choose v5, v9 or IPFIX")]
    V1Sampling,
    /// v5 has 14 bits for sampling.
    #[error(
        "NetFlow v5 cannot announce sampling of 1 packet in {one_of}: at most 1 in {max}; choose v9 or IPFIX",
        max = ExportConfig::V5_SAMPLING_MAX
    )]
    V5Sampling {
        /// What was asked for.
        one_of: u32,
    },
    /// Only IPFIX is defined for connections.
    #[error("{version} goes over UDP only; choose IPFIX for TCP")]
    Stream {
        /// What was asked for.
        version: Version,
    },
    /// A datagram size that cannot be.
    #[error(
        "datagrams of {mtu} octets cannot be: choose {min} to {max}",
        min = ExportConfig::MTU_MIN,
        max = ExportConfig::MTU_MAX
    )]
    Mtu {
        /// What was asked for.
        mtu: usize,
    },
}
