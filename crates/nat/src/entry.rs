//! One connection as the kernel's table has it: what both the decoder of netlink messages and the
//! parser of recorded text fill.

use record::Addr;

/// One direction of a connection: the packets that arrive with these addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Source port (TCP, UDP, UDP-Lite, SCTP, DCCP), GRE key, or ICMP echo id; else 0.
    pub src_port: u16,
    /// Destination port, GRE key, or for ICMP `256 * type + code`; else 0.
    pub dst_port: u16,
    /// IP protocol.
    pub proto: u8,
    /// Conntrack zone of this direction alone; 0 where the zone holds for both.
    pub zone: u16,
}

impl Default for Tuple {
    fn default() -> Self {
        Self { src: Addr::V4(0), dst: Addr::V4(0), src_port: 0, dst_port: 0, proto: 0, zone: 0 }
    }
}

/// Packets and octets of one direction. Octets are those of IP packets, headers included;
/// fragments are put together before they are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub octets: u64,
}

impl Counter {
    /// What was added since `before`; 0 where the counter went back (`conntrack -L -z` resets it).
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            octets: self.octets.saturating_sub(before.octets),
        }
    }
}

/// Bits of the connection's status (`IPS_*` of `linux/netfilter/nf_conntrack_common.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    /// Expected by a helper: a related connection, such as the data channel of FTP.
    pub const EXPECTED: Self = Self(0x1);
    /// Packets were seen in both directions.
    pub const SEEN_REPLY: Self = Self(0x2);
    /// Not evicted when the table is full.
    pub const ASSURED: Self = Self(0x4);
    /// Its first packet has left the host.
    pub const CONFIRMED: Self = Self(0x8);
    /// Its source is translated.
    pub const SRC_NAT: Self = Self(0x10);
    /// Its destination is translated.
    pub const DST_NAT: Self = Self(0x20);
    /// It is being deleted.
    pub const DYING: Self = Self(0x200);
    /// Its timeout does not move.
    pub const FIXED_TIMEOUT: Self = Self(0x400);
    /// A helper was assigned to it.
    pub const HELPER: Self = Self(0x2000);
    /// Its packets take the flow table past conntrack: counters may lag.
    pub const OFFLOAD: Self = Self(0x4000);
    /// Its packets are forwarded in hardware.
    pub const HW_OFFLOAD: Self = Self(0x8000);

    /// The bits of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Name of a helper (`ftp`, `sip`), at most 16 octets as in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Helper([u8; 16]);

impl Helper {
    /// A name; NUL and what follows is left out, as is what is longer than 16 octets.
    pub fn new(name: &[u8]) -> Self {
        let mut out = [0; 16];
        for (to, from) in out.iter_mut().zip(name.iter().take_while(|b| **b != 0)) {
            *to = *from;
        }
        Self(out)
    }

    /// The octets of the name.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|b| *b == 0).next().unwrap_or(&[])
    }
}

/// What a message says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It has begun: `IPCTNL_MSG_CT_NEW` with flag `NLM_F_CREATE`.
    New,
    /// Something of it has changed.
    Update,
    /// It has ended.
    Destroy,
    /// It is in the table: part of the answer to a request.
    Dump,
}

/// One connection as one message describes it. What the message lacks is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Packets of the initiator before translation.
    pub orig: Tuple,
    /// The answers before they are translated back: their destination is what the initiator became.
    pub reply: Tuple,
    /// Connection of which this one is a part (of a helper's).
    pub master: Option<Tuple>,
    /// A hash that the kernel keeps for the life of the entry; used again later.
    pub id: u32,
    /// Conntrack zone of both directions; 0 is the default one.
    pub zone: u16,
    /// Status bits.
    pub status: Status,
    /// Mark of the packet filter.
    pub mark: u32,
    /// Labels, bit n is label n.
    pub labels: u128,
    /// State of the protocol's tracker: TCP 1 `SYN_SENT` to 9 `SYN_SENT2`; SCTP and DCCP alike,
    /// each with their own numbers. 0 for others.
    pub state: u8,
    /// Seconds until it times out.
    pub timeout: Option<u32>,
    /// Initiator to responder, responder to initiator; `DESTROY` and dumps with
    /// `nf_conntrack_acct` only.
    pub counters: Option<[Counter; 2]>,
    /// When it began, nanoseconds since 1970; `DESTROY` and dumps with `nf_conntrack_timestamp`.
    pub start_ns: Option<u64>,
    /// When it ended or became overdue, nanoseconds since 1970.
    pub stop_ns: Option<u64>,
    /// When the kernel made the event, nanoseconds since 1970; recent kernels.
    pub event_ns: Option<u64>,
    /// Helper.
    pub helper: Option<Helper>,
    /// References of the kernel to the entry.
    pub uses: u32,
    /// Port id of the process whose request caused the message; 0 where the kernel did it itself.
    /// In a dump, that of the asker.
    pub portid: u32,
}

/// Whether tuples of this protocol hold echo id, type and code.
pub(crate) const fn is_icmp(proto: u8) -> bool {
    record::code::Proto(proto).is_icmp()
}
