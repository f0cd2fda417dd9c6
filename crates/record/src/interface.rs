//! Counters of interfaces, as sFlow agents send them beside their flow samples.

use crate::Addr;

/// The counters of one interface at one moment: those of the interfaces group (RFC 2863, 6), which
/// sFlow sends as its generic interface counters (sFlow version 5, section 5.3). Counters only
/// grow, until the device starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceSample {
    /// When it arrived, milliseconds since 1970.
    pub time_ms: u64,
    /// [`Exporter::sysid`](crate::Exporter::sysid) that sent it.
    pub exporter: u32,
    /// The agent as it names itself, which may differ from where its datagrams come from.
    pub agent: Addr,
    /// ifIndex.
    pub index: u32,
    /// ifType: 6 is Ethernet.
    pub kind: u32,
    /// ifSpeed in bits a second.
    pub speed: u64,
    /// 0 unknown, 1 full duplex, 2 half duplex, 3 in, 4 out.
    pub direction: u32,
    /// Bit 0: administratively up; bit 1: operationally up.
    pub status: u32,
    /// Received.
    pub input: InterfaceCounters,
    /// Sent.
    pub output: InterfaceCounters,
    /// Packets received of a protocol that nobody here speaks.
    pub unknown_protos: u32,
    /// Whether the interface takes all packets.
    pub is_promiscuous: bool,
}

/// One direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Octets, framing included.
    pub octets: u64,
    /// Packets to one receiver.
    pub unicast: u32,
    /// Packets to a group.
    pub multicast: u32,
    /// Packets to all.
    pub broadcast: u32,
    /// Packets dropped without a fault.
    pub discards: u32,
    /// Packets with a fault.
    pub errors: u32,
}
