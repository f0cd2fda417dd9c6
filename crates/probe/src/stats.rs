//! What became of every packet, and what the conversations that ended were like.

use crate::{Ended, Reason};
use wire::packet::Cause;

/// Counters of a cache. What has no unit in its name counts packets or conversations.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheStats {
    /// Packets given to the cache, but for those that were not sampled. Each of them is counted, a
    /// duplicate or ignored: see [`counted`](Self::counted).
    pub processed: u64,
    /// IP octets of the packets that were counted.
    pub octets: u64,
    /// Packets passed over by sampling.
    pub non_sampled: u64,
    /// Fragments of IP packets.
    pub fragments: u64,
    /// Fragments other than the first whose ports were not known: counted in a conversation without
    /// ports.
    pub fragments_without_ports: u64,
    /// Packets that were not IP.
    pub non_ip: u64,
    /// Packets too short for, or damaged before or within, an IP header.
    pub too_short: u64,
    /// Copies of a packet that had just been seen.
    pub duplicates: u64,
    /// Packets that decoding did not get to the end of, whether they were counted or not: by
    /// [`Cause`] as in [`Cause::ALL`].
    pub stops: [u64; Cause::ALL.len()],
    /// Times that the clock of the packets was set back by a minute or more.
    pub clock_steps: u64,
    /// Conversations that began.
    pub begun: u64,
    /// Conversations in the cache.
    pub active: u64,
    /// The most there were at once.
    pub most_active: u64,
    /// Conversations and parts of them that were handed over: the sum of `reasons`.
    pub expired: u64,
    /// Those that ended to make room for others.
    pub forced: u64,
    /// Conversations that ended with nothing to say since the last time they were reported.
    pub quiet: u64,
    /// Conversations thrown away by [`Cache::delete_all`](crate::Cache::delete_all).
    pub deleted: u64,
    /// What was handed over by [`Reason`], as in [`Reason::ALL`].
    pub reasons: [u64; Reason::ALL.len()],
    /// Octets of both directions of what was handed over.
    pub flow_octets: Spread,
    /// Packets of both directions of what was handed over.
    pub flow_packets: Spread,
    /// Milliseconds from the first to the last packet of what was handed over.
    pub flow_ms: Spread,
    /// By IP protocol, what was handed over.
    pub protocols: Box<[ProtoStats; 256]>,
    /// Octets of memory the cache holds.
    pub memory: u64,
}

/// Smallest, sum and largest of values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// How many values there were.
    pub count: u64,
    /// The smallest, 0 without any.
    pub min: u64,
    /// The largest, 0 without any.
    pub max: u64,
    /// Their sum.
    pub sum: u128,
}

impl Spread {
    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.sum += u128::from(value);
        self.count += 1;
    }

    /// The average, 0 without any value.
    pub fn average(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// Adds what another one counted.
    pub fn join(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// What was handed over of a protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProtoStats {
    /// Octets of both directions.
    pub octets: u64,
    /// Packets of both directions.
    pub packets: u64,
    /// How many, and how long they lasted in milliseconds.
    pub life_ms: Spread,
}

impl Default for CacheStats {
    fn default() -> Self {
        Self {
            processed: 0,
            octets: 0,
            non_sampled: 0,
            fragments: 0,
            fragments_without_ports: 0,
            non_ip: 0,
            too_short: 0,
            duplicates: 0,
            stops: [0; Cause::ALL.len()],
            clock_steps: 0,
            begun: 0,
            active: 0,
            most_active: 0,
            expired: 0,
            forced: 0,
            quiet: 0,
            deleted: 0,
            reasons: [0; Reason::ALL.len()],
            flow_octets: Spread::default(),
            flow_packets: Spread::default(),
            flow_ms: Spread::default(),
            protocols: Box::new([ProtoStats::default(); 256]),
            memory: 0,
        }
    }
}

impl CacheStats {
    /// Counts what is handed over.
    pub(crate) fn hand_over(&mut self, ended: &Ended) {
        self.expired += 1;
        self.forced += u64::from(ended.reason == Reason::MaxFlows);
        self.reasons[ended.reason as usize] += 1;
        let octets = ended.forward.octets + ended.backward.octets;
        let packets = ended.forward.packets + ended.backward.packets;
        let ms = ended.last_ns.saturating_sub(ended.first_ns) / 1_000_000;
        self.flow_octets.add(octets);
        self.flow_packets.add(packets);
        self.flow_ms.add(ms);
        let proto = &mut self.protocols[usize::from(ended.proto)];
        proto.octets += octets;
        proto.packets += packets;
        proto.life_ms.add(ms);
    }

    /// Packets that were counted in a conversation.
    pub const fn counted(&self) -> u64 {
        self.processed - self.ignored() - self.duplicates
    }

    /// Packets that could not be counted in a conversation.
    pub const fn ignored(&self) -> u64 {
        self.non_ip + self.too_short
    }

    /// What was handed over for this reason.
    pub fn by_reason(&self, reason: Reason) -> u64 {
        self.reasons.get(reason as usize).copied().unwrap_or(0)
    }

    /// Adds what another cache counted. The most conversations at once become the sum of both.
    pub fn join(&mut self, other: &Self) {
        for (sum, n) in [
            (&mut self.processed, other.processed),
            (&mut self.octets, other.octets),
            (&mut self.non_sampled, other.non_sampled),
            (&mut self.fragments, other.fragments),
            (&mut self.fragments_without_ports, other.fragments_without_ports),
            (&mut self.non_ip, other.non_ip),
            (&mut self.too_short, other.too_short),
            (&mut self.duplicates, other.duplicates),
            (&mut self.clock_steps, other.clock_steps),
            (&mut self.begun, other.begun),
            (&mut self.active, other.active),
            (&mut self.most_active, other.most_active),
            (&mut self.expired, other.expired),
            (&mut self.forced, other.forced),
            (&mut self.quiet, other.quiet),
            (&mut self.deleted, other.deleted),
            (&mut self.memory, other.memory),
        ] {
            *sum += n;
        }
        let counts = self.stops.iter_mut().zip(other.stops);
        counts.chain(self.reasons.iter_mut().zip(other.reasons)).for_each(|(sum, n)| *sum += n);
        self.flow_octets.join(&other.flow_octets);
        self.flow_packets.join(&other.flow_packets);
        self.flow_ms.join(&other.flow_ms);
        for (sum, one) in self.protocols.iter_mut().zip(other.protocols.iter()) {
            sum.octets += one.octets;
            sum.packets += one.packets;
            sum.life_ms.join(&one.life_ms);
        }
    }
}
