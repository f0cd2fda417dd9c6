//! A builder of sFlow datagrams, for tests, fuzz corpora and load generators.
//!
//! It writes whatever it is told, right or wrong; it is no agent.

use super::{COUNTER_SAMPLE, EXPANDED_FLOW_SAMPLE, FLOW_SAMPLE, Header};
use crate::testing::Record;
use record::{Addr, InterfaceCounters, InterfaceSample};

/// The head of a flow sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SflowSample {
    /// Counts the samples of its source.
    pub sequence: u32,
    /// Class and index of its data source.
    pub source: (u32, u32),
    /// One packet of so many.
    pub rate: u32,
    /// Packets dropped for lack of resources so far.
    pub drops: u32,
    /// Format and value of the input: 0 and an ifIndex.
    pub input: (u32, u32),
    /// Format and value of the output: 0 and an ifIndex, 1 and why the packet was dropped, 2 and a
    /// number of interfaces.
    pub output: (u32, u32),
}

impl Default for SflowSample {
    fn default() -> Self {
        Self { sequence: 0, source: (0, 1), rate: 1, drops: 0, input: (0, 1), output: (0, 2) }
    }
}

/// A record of a sample of version 5: its format and its octets. See [`Record`] for those that have
/// no function here.
pub type SflowRecord = (u32, Vec<u8>);

/// An sFlow datagram. The number of samples in its header is filled in.
#[derive(Clone, Debug, Default)]
pub struct SflowBuilder {
    header: Header,
    samples: Vec<u8>,
    count: u32,
    claim: Option<u32>,
}

impl SflowBuilder {
    /// A datagram with this header.
    pub fn new(header: Header) -> Self {
        Self { header, ..Self::default() }
    }

    /// Adds a flow sample of version 5.
    #[must_use]
    pub fn flow(self, head: SflowSample, records: &[SflowRecord]) -> Self {
        let compact = |(format, value): (u32, u32)| format << 30 | value;
        let words = [
            head.sequence,
            head.source.0 << 24 | head.source.1,
            head.rate,
            0,
            head.drops,
            compact(head.input),
            compact(head.output),
            records.len() as u32,
        ];
        self.sample(FLOW_SAMPLE, &[words.map(u32::to_be_bytes).concat(), tagged(records)].concat())
    }

    /// Adds an expanded flow sample.
    #[must_use]
    pub fn expanded_flow(self, head: SflowSample, records: &[SflowRecord]) -> Self {
        let words = [
            head.sequence,
            head.source.0,
            head.source.1,
            head.rate,
            0,
            head.drops,
            head.input.0,
            head.input.1,
            head.output.0,
            head.output.1,
            records.len() as u32,
        ];
        let body = [words.map(u32::to_be_bytes).concat(), tagged(records)].concat();
        self.sample(EXPANDED_FLOW_SAMPLE, &body)
    }

    /// Adds a counter sample of interface `index`.
    #[must_use]
    pub fn counters(self, sequence: u32, index: u32, records: &[SflowRecord]) -> Self {
        let words = [sequence, index, records.len() as u32];
        let body = [words.map(u32::to_be_bytes).concat(), tagged(records)].concat();
        self.sample(COUNTER_SAMPLE, &body)
    }

    /// Adds any sample of version 5.
    #[must_use]
    pub fn sample(self, tag: u32, body: &[u8]) -> Self {
        let words = [tag, body.len() as u32];
        self.raw(&[&words.map(u32::to_be_bytes).concat()[..], body].concat())
    }

    /// Adds a flow sample of version 2 or 4: its packet and what else is known of it, each behind
    /// its type, none behind a length.
    #[must_use]
    pub fn flow_v4(self, head: SflowSample, packet: SflowRecord, extended: &[SflowRecord]) -> Self {
        let many = if head.output.0 == 2 { 1 << 31 } else { 0 };
        let words = [
            FLOW_SAMPLE,
            head.sequence,
            head.source.0 << 24 | head.source.1,
            head.rate,
            0,
            head.drops,
            head.input.1,
            head.output.1 | many,
        ];
        let untagged = |(tag, body): &SflowRecord| [&tag.to_be_bytes()[..], body].concat();
        let mut body = words.map(u32::to_be_bytes).concat();
        body.extend(untagged(&packet));
        body.extend((extended.len() as u32).to_be_bytes());
        body.extend(extended.iter().flat_map(untagged));
        self.raw(&body)
    }

    /// Adds a counter sample of version 2 or 4: kind 1 has the counters of an interface.
    #[must_use]
    pub fn counters_v4(self, sequence: u32, index: u32, kind: u32, counters: &[u8]) -> Self {
        let words = [COUNTER_SAMPLE, sequence, index, 20, kind];
        self.raw(&[&words.map(u32::to_be_bytes).concat()[..], counters].concat())
    }

    /// Adds octets that count as a sample.
    #[must_use]
    pub fn raw(mut self, octets: &[u8]) -> Self {
        self.samples.extend_from_slice(octets);
        self.count += 1;
        self
    }

    /// Claims so many samples, whatever there are.
    #[must_use]
    pub const fn claim(mut self, samples: u32) -> Self {
        self.claim = Some(samples);
        self
    }

    /// The datagram.
    pub fn build(&self) -> Vec<u8> {
        let h = &self.header;
        let mut out = Record::new().number(h.version.into(), 4).sflow_addr(h.agent);
        if h.version >= 5 {
            out = out.number(h.sub_agent.into(), 4);
        }
        for word in [h.sequence, h.uptime_ms, self.claim.unwrap_or(self.count)] {
            out = out.number(word.into(), 4);
        }
        out.octets(&self.samples).build()
    }
}

/// Records behind their format and length, filled up to a multiple of four.
fn tagged(records: &[SflowRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, body) in records {
        out.extend(tag.to_be_bytes());
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

impl Record {
    /// Adds an address behind its type, as sFlow has it.
    #[must_use]
    pub fn sflow_addr(self, addr: Option<Addr>) -> Self {
        match addr {
            None => self.number(0, 4),
            Some(addr @ Addr::V4(_)) => self.number(1, 4).addr(addr),
            Some(addr @ Addr::V6(_)) => self.number(2, 4).addr(addr),
        }
    }

    /// Adds octets behind their length and fills them up to a multiple of four, as sFlow does.
    #[must_use]
    pub fn opaque(self, octets: &[u8]) -> Self {
        let padding = octets.len().next_multiple_of(4) - octets.len();
        self.number(octets.len() as u64, 4).octets(octets).octets(&[0; 3][..padding])
    }
}

/// The start of a packet: version 5. Protocol 1 is Ethernet, 11 IPv4, 12 IPv6.
pub fn sampled_header(
    protocol: u32,
    frame_length: u32,
    stripped: u32,
    octets: &[u8],
) -> SflowRecord {
    let words = [protocol, frame_length, stripped];
    let record = words.iter().fold(Record::new(), |r, word| r.number((*word).into(), 4));
    (1, record.opaque(octets).build())
}

/// The start of a packet: versions 2 and 4.
pub fn sampled_header_v4(protocol: u32, frame_length: u32, octets: &[u8]) -> SflowRecord {
    let record = Record::new().number(protocol.into(), 4).number(frame_length.into(), 4);
    (1, record.opaque(octets).build())
}

/// VLANs on entry and exit, without priorities.
pub fn extended_switch(src_vlan: u32, dst_vlan: u32) -> SflowRecord {
    (1001, [src_vlan, 0, dst_vlan, 0].map(u32::to_be_bytes).concat())
}

/// Next hop and prefix lengths.
pub fn extended_router(next_hop: Option<Addr>, src_mask: u32, dst_mask: u32) -> SflowRecord {
    let record = Record::new().sflow_addr(next_hop);
    (1002, record.number(src_mask.into(), 4).number(dst_mask.into(), 4).build())
}

/// BGP next hop, autonomous systems and the path to the destination in one sequence.
pub fn extended_gateway(
    next_hop: Option<Addr>,
    (src_as, src_peer_as): (u32, u32),
    path: &[u32],
) -> SflowRecord {
    let mut record = Record::new().sflow_addr(next_hop);
    for word in [64_496, src_as, src_peer_as, 1, 2, path.len() as u32] {
        record = record.number(word.into(), 4);
    }
    record = path.iter().fold(record, |r, asn| r.number((*asn).into(), 4));
    // No communities, and the local preference.
    (1003, record.number(0, 4).number(100, 4).build())
}

/// Counters of an interface. Time, exporter and agent are no part of them.
pub fn if_counters(s: &InterfaceSample) -> SflowRecord {
    let counters = |record: Record, c: &InterfaceCounters| {
        let packets = [c.unicast, c.multicast, c.broadcast, c.discards, c.errors];
        packets.iter().fold(record.number(c.octets, 8), |r, n| r.number((*n).into(), 4))
    };
    let mut record = Record::new().number(s.index.into(), 4).number(s.kind.into(), 4);
    record = record.number(s.speed, 8).number(s.direction.into(), 4).number(s.status.into(), 4);
    record = counters(record, &s.input).number(s.unknown_protos.into(), 4);
    let promiscuous = if s.is_promiscuous { 1 } else { 2 };
    (1, counters(record, &s.output).number(promiscuous, 4).build())
}
