//! The appendix: ident and statistics, in a block of their own behind the data (4).

use crate::StoreError;
use crate::layout::{record_type, split_record, u64_at, until_nul};
use record::Totals;

/// Sums over all flows of a file, as the file has them.
///
/// [`Totals`] has flows, packets and bytes by protocol group. The three overall sums are stored
/// beside them, and in files of nfcapd they may be larger than the groups together: it counts the
/// reverse direction in the former only (4.2). Files of ours add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// All flows.
    pub flows: u64,
    /// All packets.
    pub packets: u64,
    /// All octets.
    pub bytes: u64,
    /// By protocol group, with times and sequence failures.
    pub totals: Totals,
}

impl From<Totals> for Statistics {
    fn from(totals: Totals) -> Self {
        Self {
            flows: totals.all_flows(),
            packets: totals.all_packets(),
            bytes: totals.all_bytes(),
            totals,
        }
    }
}

/// Octets of a statistics record, and of the numbers in it.
const STATISTICS_LEN: u16 = 148;

impl Statistics {
    /// Adds what another file counted.
    pub fn merge(&mut self, other: &Self) {
        self.flows = self.flows.saturating_add(other.flows);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.totals.merge(&other.totals);
    }

    /// Fifteen counters in the order of both layouts.
    fn decode_counters(b: &[u8]) -> Self {
        let n = |i: usize| u64_at(b, 8 * i).unwrap_or(0);
        let group = |i: usize| [n(i), n(i + 1), n(i + 2), n(i + 3)];
        Self {
            flows: n(0),
            bytes: n(1),
            packets: n(2),
            totals: Totals {
                flows: group(3),
                bytes: group(7),
                packets: group(11),
                ..Totals::default()
            },
        }
    }

    pub(crate) fn decode(b: &[u8]) -> Self {
        let mut all = Self::decode_counters(b);
        let n = |i: usize| u64_at(b, 8 * i).unwrap_or(0);
        all.totals.first_ms = n(15);
        all.totals.last_ms = n(16);
        all.totals.sequence_failures = n(17);
        all
    }

    /// Layout 1 has times in seconds and milliseconds (15.1).
    pub(crate) fn decode_legacy(b: &[u8]) -> Self {
        use crate::layout::{u16_at, u32_at};
        let mut all = Self::decode_counters(b);
        let time = |secs, ms| {
            1000 * u64::from(u32_at(b, secs).unwrap_or(0)) + u64::from(u16_at(b, ms).unwrap_or(0))
        };
        all.totals.first_ms = time(120, 128);
        all.totals.last_ms = time(124, 130);
        all.totals.sequence_failures = u64::from(u32_at(b, 132).unwrap_or(0));
        all
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let t = &self.totals;
        out.extend_from_slice(&record_type::STATISTICS.to_le_bytes());
        out.extend_from_slice(&STATISTICS_LEN.to_le_bytes());
        let numbers = [self.flows, self.bytes, self.packets]
            .into_iter()
            .chain(t.flows)
            .chain(t.bytes)
            .chain(t.packets)
            .chain([t.first_ms, t.last_ms, t.sequence_failures]);
        out.extend(numbers.flat_map(u64::to_le_bytes));
    }
}

/// What an appendix says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Appendix {
    pub(crate) ident: Option<Vec<u8>>,
    pub(crate) statistics: Option<Statistics>,
    /// Records of all kinds.
    pub(crate) records: u32,
}

impl Appendix {
    /// Longest ident that every reader takes: its record has to stay below 128 octets (4.1).
    pub(crate) const IDENT_MAX: usize = 122;
    /// Records that [`encode`](Self::encode) writes.
    pub(crate) const RECORDS: u32 = 2;

    /// Takes the records that it knows out of a payload, in whatever order they are.
    pub(crate) fn decode(mut payload: &[u8]) -> Self {
        let mut all = Self::default();
        while let Some((kind, record, rest)) = split_record(payload) {
            all.records = all.records.saturating_add(1);
            let data = record.get(4..).unwrap_or_default();
            match kind {
                record_type::IDENT => all.ident = Some(until_nul(data).to_vec()),
                record_type::STATISTICS if record.len() == usize::from(STATISTICS_LEN) => {
                    all.statistics = Some(Statistics::decode(data));
                }
                _ => {}
            }
            payload = rest;
        }
        all
    }

    /// Whether anything an appendix should have was found.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ident.is_none() && self.statistics.is_none()
    }

    /// Appends the payload of an appendix block.
    pub(crate) fn encode(ident: &[u8], statistics: &Statistics, out: &mut Vec<u8>) {
        out.extend_from_slice(&Self::ident_record(ident));
        statistics.encode(out);
    }

    /// The record with the ident.
    pub(crate) fn ident_record(ident: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // NUL at the end, and one more if that makes the size even and there is room for it.
        let size = 4 + ident.len() + 1;
        let size = if size + 1 < 128 { size.next_multiple_of(2) } else { size };
        out.extend_from_slice(&record_type::IDENT.to_le_bytes());
        out.extend_from_slice(&(size as u16).to_le_bytes());
        out.extend_from_slice(ident);
        out.resize(size, 0);
        out
    }
}

/// Checks that an ident can be stored: at most 122 octets, none of them 0.
///
/// # Errors
/// If it cannot.
pub fn check_ident(ident: &str) -> Result<(), StoreError> {
    let max = Appendix::IDENT_MAX;
    if ident.len() > max || ident.contains('\0') {
        return Err(StoreError::Ident { len: ident.len(), max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Statistics {
        let mut n = 0;
        let mut next = || {
            n += 1;
            [n, n + 100, n + 200, n + 300]
        };
        let (flows, packets, bytes) = (next(), next(), next());
        let totals =
            Totals { flows, packets, bytes, first_ms: 1000, last_ms: 2000, sequence_failures: 3 };
        Statistics { packets: 9999, ..totals.into() }
    }

    #[test]
    fn appendix_round_trips_for_idents_of_every_length() {
        for len in 0..=Appendix::IDENT_MAX {
            let ident = "i".repeat(len);
            check_ident(&ident).unwrap();
            let mut out = Vec::new();
            Appendix::encode(ident.as_bytes(), &some(), &mut out);
            let size = usize::from(u16::from_le_bytes([out[2], out[3]]));
            assert!(size < 128, "length {len}");
            assert!(size.is_multiple_of(2) || len == Appendix::IDENT_MAX, "length {len}");
            assert_eq!(out[size - 1], 0);
            let got = Appendix::decode(&out);
            assert_eq!(got.ident.as_deref(), Some(ident.as_bytes()));
            assert_eq!(got.statistics, Some(some()));
        }
        assert!(check_ident(&"i".repeat(Appendix::IDENT_MAX + 1)).is_err());
        assert!(check_ident("a\0b").is_err());
    }

    #[test]
    fn the_empty_file_of_the_description_is_written_alike() {
        let ms = 1_795_244_400_000;
        let totals = Totals { first_ms: ms, last_ms: ms, ..Totals::default() };
        let mut out = Vec::new();
        Appendix::encode(b"none", &totals.into(), &mut out);
        let mut want = vec![0x01, 0x80, 0x0A, 0, b'n', b'o', b'n', b'e', 0, 0, 0x02, 0x80, 0x94, 0];
        want.resize(want.len() + 15 * 8, 0);
        for _ in 0..2 {
            want.extend([0x80, 0x9D, 0xE7, 0xFC, 0xA1, 0x01, 0, 0]);
        }
        want.extend([0; 8]);
        assert_eq!(out, want);
    }

    #[test]
    fn unknown_and_odd_records_are_passed_over() {
        let mut out = vec![0x77, 0x77, 6, 0, 1, 2];
        out.extend([0x02, 0x80, 8, 0, 1, 1, 1, 1]); // statistics of another size
        Appendix::encode(b"x", &some(), &mut out);
        let whole = Appendix::decode(&out);
        assert_eq!(whole.statistics, Some(some()));
        assert_eq!(whole.records, 4, "the unknown and the odd one count");
        for len in 0..out.len() {
            let cut = Appendix::decode(&out[..len]);
            assert!(cut.statistics.is_none());
        }
        assert!(Appendix::decode(&[1, 0x80, 2, 0]).is_empty());
    }
}
