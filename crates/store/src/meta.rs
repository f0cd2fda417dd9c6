//! Records about exporters rather than flows: identity, samplers, statistics, names (9).

use crate::layout::{record_type, u16_at, u32_at, u64_at, until_nul};
use record::{Addr, Exporter, ExporterStats, NameTable, Sampler};

/// What a block says about exporters.
///
/// Numbers of exporters mean something within one file only, and in a file that two processes
/// wrote to the same number may mean two exporters (9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaRecord {
    /// An exporter. May come after the flows that refer to it.
    Exporter(Exporter),
    /// How an exporter samples; the last one of an id counts.
    Sampler(Sampler),
    /// What each exporter sent during the file's interval.
    Stats(Vec<ExporterStats>),
    /// An interface or a VRF has a name.
    Name {
        /// What `id` numbers.
        table: NameTable,
        /// Interface index or VRF id.
        id: u32,
        /// Text without padding.
        name: Vec<u8>,
    },
    /// An application has a name.
    Application {
        /// As in [`Field::AppId`](record::Field::AppId).
        id: Vec<u8>,
        /// Text without padding.
        name: Vec<u8>,
        /// Text without padding.
        description: Vec<u8>,
    },
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const EXPORTER_LEN: u16 = 32;
const SAMPLER_LEN: u16 = 24;
const SAMPLER_OLD_LEN: usize = 16;
const STATS_HEADER_LEN: usize = 8;
const STATS_ENTRY_LEN: usize = 24;
/// Longest name or description that is written.
const NAME_MAX: usize = 4096;

/// Reads a record of `kind` and appends what it says. `None` if it is damaged; types that say
/// nothing about exporters are the caller's to know.
pub(crate) fn decode(kind: u16, record: &[u8], out: &mut Vec<MetaRecord>) -> Option<()> {
    match kind {
        record_type::EXPORTER => out.push(MetaRecord::Exporter(exporter(record)?)),
        record_type::SAMPLER => out.push(MetaRecord::Sampler(sampler(record)?)),
        record_type::SAMPLER_OLD => out.push(MetaRecord::Sampler(old_sampler(record)?)),
        record_type::EXPORTER_STATS => out.push(MetaRecord::Stats(stats(record)?)),
        record_type::INTERFACE_NAMES => names(NameTable::Interface, record, out)?,
        record_type::VRF_NAMES => names(NameTable::Vrf, record, out)?,
        record_type::APPLICATION_NAMES => applications(record, out)?,
        _ => return None,
    }
    Some(())
}

/// Whether [`decode`] knows records of this type.
pub(crate) const fn is_known(kind: u16) -> bool {
    matches!(
        kind,
        record_type::EXPORTER
            | record_type::SAMPLER
            | record_type::SAMPLER_OLD
            | record_type::EXPORTER_STATS
            | record_type::INTERFACE_NAMES
            | record_type::VRF_NAMES
            | record_type::APPLICATION_NAMES
    )
}

/// An exporter; `family` tells the two forms of its address apart (9.1).
fn exporter(r: &[u8]) -> Option<Exporter> {
    if r.len() != usize::from(EXPORTER_LEN) {
        return None;
    }
    let ip = r.get(8..24)?;
    let addr = match u16_at(r, 24)? {
        AF_INET => Addr::V4(u32::try_from(u64_at(ip, 8)?).ok()?),
        AF_INET6 => Addr::from_row(ip)?,
        _ => {
            let octets: [u8; 16] = ip.try_into().ok()?;
            Addr::from(std::net::Ipv6Addr::from(octets).to_canonical())
        }
    };
    let sysid = u32::from(u16_at(r, 26)?);
    Some(Exporter { sysid, version: u32_at(r, 4)?, addr, id: u32_at(r, 28)? })
}

fn sampler(r: &[u8]) -> Option<Sampler> {
    Some(Sampler {
        exporter: u32::from(u16_at(r, 4)?),
        algorithm: u16_at(r, 6)?,
        id: u64_at(r, 8)?.cast_signed(),
        packet_interval: u32_at(r, 16)?,
        space_interval: u32_at(r, 20)?,
    })
}

/// The form of 1.6 and 1.7.0 (9.2).
fn old_sampler(r: &[u8]) -> Option<Sampler> {
    if r.len() != SAMPLER_OLD_LEN {
        return None;
    }
    Some(Sampler {
        exporter: u32::from(u16_at(r, 14)?),
        algorithm: u16_at(r, 12)?,
        id: i64::from(u32_at(r, 4)?.cast_signed()),
        packet_interval: 1,
        space_interval: u32_at(r, 8)?.saturating_sub(1),
    })
}

fn stats(r: &[u8]) -> Option<Vec<ExporterStats>> {
    let count = u32_at(r, 4)? as usize;
    let entries = r.get(STATS_HEADER_LEN..)?;
    if entries.len() != count.checked_mul(STATS_ENTRY_LEN)? {
        return None;
    }
    let entry = |e: &[u8]| {
        Some(ExporterStats {
            sysid: u32_at(e, 0)?,
            sequence_failures: u32_at(e, 4)?,
            packets: u64_at(e, 8)?,
            flows: u64_at(e, 16)?,
        })
    };
    entries.chunks_exact(STATS_ENTRY_LEN).map(entry).collect()
}

/// Interface or VRF names (9.5).
fn names(table: NameTable, r: &[u8], out: &mut Vec<MetaRecord>) -> Option<()> {
    let (count, size) = (usize::from(u16_at(r, 4)?), usize::from(u16_at(r, 6)?));
    let name_len = u32_at(r, 8)? as usize;
    let entries = r.get(12..)?;
    if size < 4 || entries.len() < count * size {
        return None;
    }
    for e in entries.chunks_exact(size).take(count) {
        let name = e.get(4..)?;
        let name = until_nul(name.get(..name_len).unwrap_or(name)).to_vec();
        out.push(MetaRecord::Name { table, id: u32_at(e, 0)?, name });
    }
    Some(())
}

/// Application names (9.4), in the usual form and in the defective one with element headers.
fn applications(r: &[u8], out: &mut Vec<MetaRecord>) -> Option<()> {
    let (count, size) = (usize::from(u16_at(r, 4)?), usize::from(u16_at(r, 6)?));
    if size == 0 {
        return old_applications(r.get(8..)?, count, out);
    }
    let lens = lengths(r.get(8..)?)?;
    let entries = r.get(14..)?;
    if entries.len() < count * size {
        return None;
    }
    for e in entries.chunks_exact(size).take(count) {
        out.push(application(e, lens)?);
    }
    Some(())
}

/// Elements of their own, each with type, length and the three lengths. Where the first one begins
/// differs between versions of the description: with or without the lengths of the record.
fn old_applications(mut b: &[u8], count: usize, out: &mut Vec<MetaRecord>) -> Option<()> {
    if u16_at(b, 0)? != 1 {
        b = b.get(6..)?;
    }
    for _ in 0..count {
        let (element, rest) = b.split_at_checked(usize::from(u16_at(b, 2)?))?;
        out.push(application(element.get(10..)?, lengths(element.get(4..)?)?)?);
        b = rest;
    }
    Some(())
}

fn lengths(b: &[u8]) -> Option<[usize; 3]> {
    Some([usize::from(u16_at(b, 0)?), usize::from(u16_at(b, 2)?), usize::from(u16_at(b, 4)?)])
}

fn application(b: &[u8], [id, name, description]: [usize; 3]) -> Option<MetaRecord> {
    let (id, b) = b.split_at_checked(id)?;
    let (name, b) = b.split_at_checked(name)?;
    Some(MetaRecord::Application {
        id: id.to_vec(),
        name: until_nul(name).to_vec(),
        description: until_nul(b.get(..description)?).to_vec(),
    })
}

/// Appends an exporter, in the form of the address that every version reads (9.1). `false` if its
/// number does not fit.
pub(crate) fn encode_exporter(e: &Exporter, out: &mut Vec<u8>) -> bool {
    let Ok(sysid) = u16::try_from(e.sysid) else { return false };
    let (family, high, low) = match e.addr {
        Addr::V4(n) => (AF_INET, 0, u64::from(n)),
        Addr::V6(n) => (AF_INET6, (n >> 64) as u64, n as u64),
    };
    put_header(record_type::EXPORTER, EXPORTER_LEN, out);
    out.extend_from_slice(&e.version.to_le_bytes());
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
    out.extend_from_slice(&family.to_le_bytes());
    out.extend_from_slice(&sysid.to_le_bytes());
    out.extend_from_slice(&e.id.to_le_bytes());
    true
}

/// Appends a sampler. `false` if its exporter's number does not fit.
pub(crate) fn encode_sampler(s: &Sampler, out: &mut Vec<u8>) -> bool {
    let Ok(exporter) = u16::try_from(s.exporter) else { return false };
    put_header(record_type::SAMPLER, SAMPLER_LEN, out);
    out.extend_from_slice(&exporter.to_le_bytes());
    out.extend_from_slice(&s.algorithm.to_le_bytes());
    out.extend_from_slice(&s.id.to_le_bytes());
    out.extend_from_slice(&s.packet_interval.to_le_bytes());
    out.extend_from_slice(&s.space_interval.to_le_bytes());
    true
}

/// Exporters whose statistics fit into one record.
pub(crate) const STATS_MAX: usize = (u16::MAX as usize - STATS_HEADER_LEN) / STATS_ENTRY_LEN;

/// Appends the statistics of at most [`STATS_MAX`] exporters.
pub(crate) fn encode_stats(stats: &[ExporterStats], out: &mut Vec<u8>) {
    let stats = stats.get(..STATS_MAX).unwrap_or(stats);
    let size = STATS_HEADER_LEN + STATS_ENTRY_LEN * stats.len();
    put_header(record_type::EXPORTER_STATS, size as u16, out);
    out.extend_from_slice(&(stats.len() as u32).to_le_bytes());
    for s in stats {
        out.extend_from_slice(&s.sysid.to_le_bytes());
        out.extend_from_slice(&s.sequence_failures.to_le_bytes());
        out.extend_from_slice(&s.packets.to_le_bytes());
        out.extend_from_slice(&s.flows.to_le_bytes());
    }
}

/// Appends one name. Returns whether all of it fitted.
pub(crate) fn encode_name(table: NameTable, id: u32, name: &[u8], out: &mut Vec<u8>) -> bool {
    let kind = match table {
        NameTable::Interface => record_type::INTERFACE_NAMES,
        NameTable::Vrf => record_type::VRF_NAMES,
    };
    let cut = name.get(..NAME_MAX).unwrap_or(name);
    let name_len = cut.len() + 1; // with NUL
    let element = (4 + name_len).next_multiple_of(4);
    put_header(kind, (12 + element) as u16, out);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&(element as u16).to_le_bytes());
    out.extend_from_slice(&(name_len as u32).to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    put_padded(cut, element - 4, out);
    cut.len() == name.len()
}

/// Appends the name of an application. Returns whether all of it fitted.
pub(crate) fn encode_application(
    id: &[u8],
    name: &[u8],
    description: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let cut = |b: &'_ [u8]| b.len().min(NAME_MAX);
    let lens = [cut(id), cut(name) + 1, cut(description) + 1];
    let all: usize = lens.iter().sum();
    let element = all.next_multiple_of(4);
    put_header(record_type::APPLICATION_NAMES, (14 + element) as u16, out);
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&(element as u16).to_le_bytes());
    for len in lens {
        out.extend_from_slice(&(len as u16).to_le_bytes());
    }
    for (value, len) in [id, name, description].into_iter().zip(lens) {
        put_padded(value.get(..cut(value)).unwrap_or_default(), len, out);
    }
    out.resize(out.len() + element - all, 0);
    [id, name, description].iter().all(|b| b.len() <= NAME_MAX)
}

fn put_header(kind: u16, size: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
}

/// `value` and zeros, `len` octets together.
fn put_padded(value: &[u8], len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(value);
    out.resize(out.len() + len.saturating_sub(value.len()), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::split_record;

    fn decode_all(mut bytes: &[u8]) -> Vec<MetaRecord> {
        let mut out = Vec::new();
        while let Some((kind, record, rest)) = split_record(bytes) {
            decode(kind, record, &mut out).unwrap();
            bytes = rest;
        }
        assert!(bytes.is_empty());
        out
    }

    #[test]
    fn everything_written_is_read_back() {
        let exporters = ["10.1.2.3", "2001:db8::5", "::ffff:10.1.2.3"].map(|ip| Exporter {
            sysid: 7,
            version: 9,
            addr: ip.parse::<std::net::IpAddr>().unwrap().into(),
            id: 0xDEAD_BEEF,
        });
        let sampler = |id| Sampler {
            exporter: 65_535,
            algorithm: 2,
            id,
            packet_interval: 3,
            space_interval: 997,
        };
        let stats =
            |n| ExporterStats { sysid: n, sequence_failures: 1, packets: 2, flows: 1 << 40 };
        let mut out = Vec::new();
        let mut want = Vec::new();
        for e in exporters {
            assert!(encode_exporter(&e, &mut out));
            want.push(MetaRecord::Exporter(e));
        }
        for id in [-3, -1, 0, 5, i64::from(u32::MAX) + 9] {
            assert!(encode_sampler(&sampler(id), &mut out));
            want.push(MetaRecord::Sampler(sampler(id)));
        }
        for n in [1, 2, STATS_MAX] {
            let all: Vec<_> = (0..n as u32).map(stats).collect();
            encode_stats(&all, &mut out);
            want.push(MetaRecord::Stats(all));
        }
        for (table, name) in
            [(NameTable::Interface, "eth0"), (NameTable::Vrf, ""), (NameTable::Vrf, "abc")]
        {
            assert!(encode_name(table, 77, name.as_bytes(), &mut out));
            want.push(MetaRecord::Name { table, id: 77, name: name.into() });
        }
        for (id, name, description) in
            [("\u{1}\0\0\u{5}", "dns", "names"), ("", "", ""), ("12", "a", "b")]
        {
            let [id, name, description] = [id, name, description].map(|s| s.as_bytes().to_vec());
            assert!(encode_application(&id, &name, &description, &mut out));
            want.push(MetaRecord::Application { id, name, description });
        }
        assert_eq!(decode_all(&out), want);
    }

    #[test]
    fn both_forms_of_exporter_addresses_are_read() {
        // File format, section 13: the new form, from nfcapd 1.7.8.
        let new = [
            0x07, 0, 0x20, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0x7F, 0, 0, 1,
            0, 0, 1, 0, 7, 3, 0, 0,
        ];
        let want = Exporter { sysid: 1, version: 5, addr: Addr::V4(0x7F00_0001), id: 0x307 };
        assert_eq!(decode_all(&new), [MetaRecord::Exporter(want)]);
        let mut old = Vec::new();
        encode_exporter(&want, &mut old);
        assert_eq!(old[8..28], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x7F, 0, 0, 0, 0, 2, 0, 1, 0]);
    }

    #[test]
    fn the_old_sampler_is_one_of_its_interval() {
        let old = [9, 0, 16, 0, 0xFF, 0xFF, 0xFF, 0xFF, 100, 0, 0, 0, 1, 0, 4, 0];
        let want =
            Sampler { exporter: 4, algorithm: 1, id: -1, packet_interval: 1, space_interval: 99 };
        assert_eq!(decode_all(&old), [MetaRecord::Sampler(want)]);
    }

    #[test]
    fn numbers_beyond_16_bits_are_refused() {
        let e = Exporter { sysid: 65_536, version: 9, addr: Addr::V4(1), id: 0 };
        let mut out = Vec::new();
        assert!(!encode_exporter(&e, &mut out));
        assert!(out.is_empty());
        assert!(!encode_name(NameTable::Vrf, 1, &[b'x'; NAME_MAX + 1], &mut out));
    }

    #[test]
    fn cut_records_are_damaged_not_fatal() {
        let mut whole = Vec::new();
        encode_exporter(&Exporter { sysid: 1, version: 9, addr: Addr::V4(1), id: 0 }, &mut whole);
        encode_stats(&[ExporterStats::default(); 3], &mut whole);
        encode_name(NameTable::Vrf, 1, b"name", &mut whole);
        encode_application(b"123", b"name", b"text", &mut whole);
        let mut rest = &*whole;
        while let Some((kind, record, next)) = split_record(rest) {
            for len in 0..record.len() {
                assert_eq!(decode(kind, &record[..len], &mut Vec::new()), None, "{kind} {len}");
            }
            rest = next;
        }
    }
}
