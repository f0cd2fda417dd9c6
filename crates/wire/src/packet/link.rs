//! What a frame begins with, and the way from there to its IP header.

use super::reader::Reader;
use super::switch::Switch;
use super::{Cause, Layer, Link, Stop};
use super::{capture, ether, mpls, switch, wlan};

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// Ethernet, from the destination address on.
    Ethernet,
    /// An IP header of either version.
    Raw,
    /// An IPv4 header.
    Ipv4,
    /// An IPv6 header.
    Ipv6,
    /// BSD loopback: the address family in four octets, in either byte order.
    Null,
    /// Linux cooked capture, version 1: 16 octets.
    Cooked1,
    /// Linux cooked capture, version 2: 20 octets.
    Cooked2,
    /// PPP, with or without address and control octets (RFC 1661, RFC 1662).
    Ppp,
    /// A PPPoE header (RFC 2516, 4).
    Pppoe,
    /// Cisco HDLC.
    CiscoHdlc,
    /// Frame Relay (RFC 2427).
    FrameRelay,
    /// A stack of MPLS labels.
    Mpls,
    /// IEEE 802.2 LLC, as in AAL5 (RFC 2684).
    Llc,
    /// IEEE 802.11, from the frame control field on.
    Wlan,
    /// IEEE 802.11 behind a radiotap header.
    Radiotap,
    /// OpenBSD's packet filter log.
    Pflog,
    /// Linux netfilter log.
    Nflog,
    /// Ethernet with a tag of a Marvell switch behind the addresses (DSA).
    Dsa,
    /// The same behind an Ethernet type (EDSA).
    Edsa,
    /// Ethernet with a tag of a Broadcom switch behind the addresses.
    BroadcomTag,
    /// The same before the addresses.
    BroadcomTagFirst,
    /// IP over InfiniBand (RFC 4391, 6), behind 40 octets of addresses.
    Infiniband,
    /// Solaris ipnet.
    Ipnet,
    /// macOS pktap: any other link type behind a header that says which.
    Pktap,
    /// Another one, by its number in capture files.
    Other(u32),
}

impl LinkType {
    /// The link type with this number in capture files (LINKTYPE_ values; also the DLT_ values that
    /// differ between systems, where they cannot be mistaken).
    pub const fn from_dlt(number: u32) -> Self {
        match number {
            0 | 108 => Self::Null,
            1 => Self::Ethernet,
            9 | 50 | 166 => Self::Ppp,
            51 => Self::Pppoe,
            12 | 14 | 101 => Self::Raw,
            104 => Self::CiscoHdlc,
            105 => Self::Wlan,
            107 => Self::FrameRelay,
            113 => Self::Cooked1,
            117 => Self::Pflog,
            127 => Self::Radiotap,
            // The second is for private use; macOS uses it.
            258 | 149 => Self::Pktap,
            219 => Self::Mpls,
            226 => Self::Ipnet,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            239 => Self::Nflog,
            242 => Self::Infiniband,
            276 => Self::Cooked2,
            281 => Self::BroadcomTag,
            282 => Self::BroadcomTagFirst,
            284 => Self::Dsa,
            285 => Self::Edsa,
            other => Self::Other(other),
        }
    }

    /// The link type with this number in raw packet headers of sFlow (sFlow version 5, 5.3,
    /// `header_protocol`). Those without a decoder become [`Other`](Self::Other), with the number
    /// that capture files have for them or `u32::MAX`.
    pub const fn from_sflow(header_protocol: u32) -> Self {
        match header_protocol {
            // The subframes of 802.11 aggregates have addresses, length and LLC as IEEE 802.3 has.
            1 | 17 => Self::Ethernet,
            3 => Self::Other(6),
            4 => Self::Other(10),
            5 => Self::FrameRelay,
            7 | 14 => Self::Ppp,
            9 => Self::Llc,
            10 => Self::Raw,
            11 => Self::Ipv4,
            12 => Self::Ipv6,
            13 => Self::Mpls,
            15 => Self::Wlan,
            _ => Self::Other(u32::MAX),
        }
    }

    /// The link type with this number in element 408, dataLinkFrameType (RFC 7133, 3.4), which is
    /// none of capture files: bit 0 is Ethernet, bit 1 IEEE 802.11. Exporters that leave it 0 mean
    /// Ethernet.
    pub const fn from_ipfix(data_link_frame_type: u64) -> Self {
        const ETHERNET: u64 = 1;
        const WLAN: u64 = 2;
        match data_link_frame_type {
            0 => Self::Ethernet,
            n if n & WLAN != 0 => Self::Wlan,
            n if n & ETHERNET != 0 => Self::Ethernet,
            _ => Self::Other(u32::MAX),
        }
    }

    /// The first header of such a frame, `None` if that is not known.
    #[inline]
    pub(super) const fn first(self) -> Option<Next> {
        Some(match self {
            Self::Ethernet => Next::Ethernet,
            Self::Raw => Next::Ip(Version::Either),
            Self::Ipv4 => Next::Ip(Version::V4),
            Self::Ipv6 => Next::Ip(Version::V6),
            Self::Null => Next::Null,
            Self::Cooked1 => Next::Cooked1,
            Self::Cooked2 => Next::Cooked2,
            Self::Ppp => Next::Ppp,
            Self::Pppoe => Next::Pppoe,
            Self::CiscoHdlc => Next::CiscoHdlc,
            Self::FrameRelay => Next::FrameRelay,
            Self::Mpls => Next::Mpls,
            Self::Llc => Next::Llc,
            Self::Wlan => Next::Wlan,
            Self::Radiotap => Next::Radiotap,
            Self::Pflog => Next::Pflog,
            Self::Nflog => Next::Nflog,
            Self::Dsa => Next::Switch(Switch::Dsa),
            Self::Edsa => Next::Switch(Switch::Edsa),
            Self::BroadcomTag => Next::Switch(Switch::Broadcom),
            Self::BroadcomTagFirst => Next::Switch(Switch::BroadcomFirst),
            Self::Infiniband => Next::Infiniband,
            Self::Ipnet => Next::Ipnet,
            Self::Pktap => Next::Pktap,
            Self::Other(_) => return None,
        })
    }
}

/// Which version an IP header has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
    Either,
}

/// The header that comes next on the way to the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Ethernet,
    EtherType(u16),
    Llc,
    Ppp,
    Pppoe,
    ServiceChain,
    Mpls,
    Null,
    Cooked1,
    Cooked2,
    CiscoHdlc,
    FrameRelay,
    Wlan,
    Radiotap,
    Pflog,
    Nflog,
    Switch(Switch),
    Infiniband,
    Ipnet,
    Pktap,
    Ip(Version),
}

/// Headers before an IP header, labels of one stack counting as one.
const MAX_HEADERS: usize = 16;

/// Goes from header to header up to the IP header.
#[inline]
pub(super) fn open(link: &mut Link, reader: &mut Reader<'_>, first: Next) -> Result<Version, Stop> {
    let mut next = first;
    for _ in 0..MAX_HEADERS {
        next = match next {
            Next::Ip(version) => return Ok(version),
            Next::Ethernet => ether::ethernet(link, reader)?,
            Next::EtherType(kind) => ether::by_type(link, reader, kind)?,
            Next::Llc => ether::llc(reader)?,
            Next::Ppp => ether::ppp(reader)?,
            Next::Pppoe => ether::pppoe(reader)?,
            Next::ServiceChain => ether::service_chain(reader)?,
            Next::Mpls => mpls::stack(link, reader)?,
            Next::Null => capture::null(reader)?,
            Next::Cooked1 => capture::cooked1(link, reader)?,
            Next::Cooked2 => capture::cooked2(link, reader)?,
            Next::CiscoHdlc => capture::cisco_hdlc(reader)?,
            Next::FrameRelay => capture::frame_relay(reader)?,
            Next::Wlan => wlan::frame(link, reader)?,
            Next::Radiotap => wlan::radiotap(reader)?,
            Next::Pflog => capture::pflog(reader)?,
            Next::Nflog => capture::nflog(reader)?,
            Next::Switch(tag) => switch::frame(link, reader, tag)?,
            Next::Infiniband => capture::infiniband(reader)?,
            Next::Ipnet => capture::ipnet(reader)?,
            Next::Pktap => capture::pktap(reader)?,
        };
    }
    Err(reader.stop(Cause::TooDeep, Layer::Link))
}
