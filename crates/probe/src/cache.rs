//! The conversations that are going on.

use std::time::Duration;

use capture::Packet;
use wire::packet::Depth;

use crate::{CacheStats, Ended, Level, Reason, Sampling, Timeouts};

/// The rules of a cache.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheConfig {
    /// What tells conversations apart.
    pub level: Level,
    /// When they end.
    pub timeouts: Timeouts,
    /// The most conversations at once. When there are as many, the one that is idle for the longest
    /// time of some has to go for a new one. At least 1.
    pub max_flows: usize,
    /// The most octets of memory for conversations. `None` leaves it to `max_flows`, at about 200
    /// octets for each.
    pub max_memory: Option<u64>,
    /// Which packets are looked at.
    pub sampling: Sampling,
    /// How far into tunnels.
    pub depth: Depth,
    /// Whether copies of a packet are passed over.
    pub dedup: Option<Dedup>,
    /// Whether IPv6 is counted; otherwise it is "non-IP", as softflowd has it for exports that cannot
    /// carry it.
    pub ipv6: bool,
    /// Whether a conversation ends with more than 2^31 octets in one direction, as in softflowd.
    /// Needed where counters of 32 bits are exported.
    pub over_2_gib: bool,
    /// What is known of interfaces.
    pub interfaces: InterfaceIndex,
    /// Makes hashes and random samples unlike those of others. Whoever does not know it cannot make
    /// conversations collide, so it should be random; equal seeds make equal results.
    pub seed: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            level: Level::default(),
            timeouts: Timeouts::default(),
            max_flows: Self::MAX_FLOWS,
            max_memory: None,
            sampling: Sampling::Off,
            depth: Depth::Outer,
            dedup: None,
            ipv6: true,
            over_2_gib: false,
            interfaces: InterfaceIndex::Unknown,
            seed: 0,
        }
    }
}

impl CacheConfig {
    /// Conversations at once, if nothing else is asked for.
    pub const MAX_FLOWS: usize = 1 << 20;
    /// As many as softflowd has by default.
    pub const SOFTFLOWD_MAX_FLOWS: usize = 8192;
}

/// What the number of a packet's interface means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterfaceIndex {
    /// Nothing, as in files.
    #[default]
    Unknown,
    /// All packets come in and go out by this one (softflowd's `-i IDX:IF`).
    Fixed(u32),
    /// It is the index of the interface. Packets of the initiator come in by the one where they were
    /// seen first, and go out by the one where the answers were seen first, if it is another one.
    OfPacket,
}

/// When a packet is the copy of one before: if all octets from the IP header on are the same but
/// time to live and header checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// How many packets are remembered, at most 65536. nfpcapd has 8.
    pub packets: u32,
    /// How long one is remembered.
    pub within: Duration,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { packets: 64, within: Duration::from_millis(100) }
    }
}

/// A conversation in the cache, and when it will end if no more packets come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pending {
    /// What there is to say of it. Its reason is the one it will end for.
    pub flow: Ended,
    /// When, in nanoseconds since 1970.
    pub due_ns: u64,
}

/// The flow cache.
#[derive(Debug)]
pub struct Cache {
    config: CacheConfig,
    stats: CacheStats,
}

impl Cache {
    /// An empty cache.
    pub fn new(config: CacheConfig) -> Self {
        Self { config, stats: CacheStats::default() }
    }

    /// The rules.
    pub const fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Counts packets. Their times are the clock of the cache: what is due by then is handed to
    /// `out` before the packet is counted, so that results depend on packets alone and not on how
    /// many of them come at once.
    pub fn observe(&mut self, packets: &[Packet<'_>], out: &mut dyn FnMut(&Ended)) {
        self.stats.processed += packets.len() as u64;
        let _ = out;
    }

    /// Hands over what is due at `now_ns`, nanoseconds since 1970 by the clock that packets are
    /// stamped with. For the times between packets; packets that are still on their way to the
    /// cache should be given to it first, or `now_ns` be as old as they may be.
    pub fn expire(&mut self, now_ns: u64, out: &mut dyn FnMut(&Ended)) {
        let _ = (now_ns, out);
    }

    /// Hands over everything, in the order in which it would have ended. Returns how many.
    pub fn expire_all(&mut self, reason: Reason, out: &mut dyn FnMut(&Ended)) -> u64 {
        let _ = (reason, out);
        0
    }

    /// Throws everything away. Returns how many conversations.
    pub fn delete_all(&mut self) -> u64 {
        0
    }

    /// When [`expire`](Self::expire) is needed next at the earliest, in nanoseconds since 1970.
    /// `None` if the cache is empty.
    pub fn next_due(&self) -> Option<u64> {
        None
    }

    /// What was counted.
    pub const fn stats(&self) -> &CacheStats {
        &self.stats
    }

    /// The conversations, in the order in which they will end.
    pub fn flows(&self) -> impl Iterator<Item = Pending> + '_ {
        std::iter::empty()
    }
}
