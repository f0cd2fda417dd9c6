//! Who sent a flow: exporters, their samplers and their statistics.

use crate::Addr;

/// One exporter: a process on a router that numbers its own export packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exporter {
    /// Number that flow records use for it ([`Field::ExporterId`](crate::Field::ExporterId)),
    /// from 1; 0 is none.
    pub sysid: u32,
    /// Protocol: 1, 5, 7, 9, 10 (IPFIX), 9999 (sFlow), 250 (nfdump's own transport).
    pub version: u32,
    /// Address the export packets come from.
    pub addr: Addr,
    /// v5, v7: engine type * 256 + engine id; v9: source id; IPFIX: observation domain; sFlow:
    /// sub-agent.
    pub id: u32,
}

/// How an exporter samples packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sampler {
    /// [`Exporter::sysid`] it belongs to.
    pub exporter: u32,
    /// Element 304, 35 or 49; v5: the top two bits of the header field.
    pub algorithm: u16,
    /// Id the device gave it, or one of the constants below.
    pub id: i64,
    /// Packets taken of every `packet_interval + space_interval`.
    pub packet_interval: u32,
    /// Packets skipped.
    pub space_interval: u32,
}

impl Sampler {
    /// Id of a sampler announced without an id: v5 header, elements 34 and 35.
    pub const GENERIC: i64 = -1;
    /// Id of the default that the operator gave, used where the exporter announces nothing.
    pub const DEFAULT: i64 = -2;
    /// Id of the rate that the operator gave to override what exporters announce.
    pub const OVERRIDE: i64 = -3;

    /// A count multiplied by the sampling rate, rounded down; saturates at the largest number.
    #[inline]
    pub fn scale(&self, count: u64) -> u64 {
        if self.space_interval == 0 || self.packet_interval == 0 {
            return count;
        }
        let taken = u128::from(self.packet_interval);
        let all = taken + u128::from(self.space_interval);
        u64::try_from(u128::from(count) * all / taken).unwrap_or(u64::MAX)
    }
}

/// What an exporter sent during one file's interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExporterStats {
    /// [`Exporter::sysid`].
    pub sysid: u32,
    /// Gaps in the sequence numbers.
    pub sequence_failures: u32,
    /// Export packets received.
    pub packets: u64,
    /// Flow records received.
    pub flows: u64,
}

/// What numbers an exporter has names for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameTable {
    /// Interface index to name.
    Interface,
    /// VRF id to name.
    Vrf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_follows_packets_taken_and_skipped() {
        let s = |packet_interval, space_interval| Sampler {
            exporter: 1,
            algorithm: 0,
            id: Sampler::GENERIC,
            packet_interval,
            space_interval,
        };
        for (sampler, count, scaled) in [
            (s(1, 0), 7, 7),
            (s(1, 1), 7, 14),
            (s(1, 999), 7, 7000),
            (s(2, 3), 3, 7),
            (s(0, 3), 3, 3),
            (s(1, 9), u64::MAX / 2, u64::MAX),
        ] {
            assert_eq!(sampler.scale(count), scaled, "{sampler:?}");
        }
    }
}
