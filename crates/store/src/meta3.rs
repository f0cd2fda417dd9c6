//! What blocks of layout 3 say about exporters: a record for each with its samplers and
//! statistics, and arrays of names.

use crate::layout::record_type;
use crate::layout::{split_record, u16_at, u32_at, u64_at, until_nul};
use crate::layout3::{ARRAY_HEAD_LEN, record_type as record_type3};
use crate::meta::MetaRecord;
use crate::row::Skipped;
use record::{Addr, Exporter, ExporterStats, NameTable, Sampler};
use std::net::Ipv6Addr;

/// Octets of an exporter before its samplers, and of a sampler.
const EXPORTER_LEN: usize = 56;
const SAMPLER_LEN: usize = 24;

/// Names of a block that are delivered. In memory a name is many times as long as on disk.
const MAX_NAMES: usize = 1 << 16;

/// Reads a payload of exporters; returns how many records there are, twice: what it says it has is
/// no measure of damage, see below.
pub(crate) fn exporters(
    payload: &[u8],
    out: &mut Vec<MetaRecord>,
    skipped: &mut Skipped,
) -> (u32, u32) {
    let declared = u32_at(payload, 0).unwrap_or(0);
    let mut rest = payload.get(ARRAY_HEAD_LEN..).unwrap_or_default();
    let mut records = 0;
    while let Some((record_type3::EXPORTER, record, next)) = split_record(rest) {
        if exporter(record, out).is_none() {
            skipped.malformed += 1;
        }
        records += 1;
        rest = next;
    }
    // Some writers put all records in one place and leave whatever was there in the room for the
    // others: those records never were in the file.
    skipped.unknown_records += u64::from(declared.saturating_sub(records));
    (records, records)
}

fn exporter(r: &[u8], out: &mut Vec<MetaRecord>) -> Option<()> {
    let octets: [u8; 16] = *r.get(4..)?.first_chunk()?;
    let sysid = u32_at(r, 28)?;
    let stats = ExporterStats {
        sysid,
        sequence_failures: u32_at(r, 48)?,
        packets: u64_at(r, 32)?,
        flows: u64_at(r, 40)?,
    };
    let count = usize::from(u16_at(r, 54)?);
    let samplers = r.get(EXPORTER_LEN..)?.get(..count * SAMPLER_LEN)?;
    out.push(MetaRecord::Exporter(Exporter {
        sysid,
        version: u32_at(r, 20)?,
        addr: Addr::from(Ipv6Addr::from(octets).to_canonical()),
        id: u32_at(r, 24)?,
    }));
    let sampler = |s: &[u8]| {
        Some(Sampler {
            exporter: sysid,
            algorithm: u32_at(s, 16)? as u16,
            id: u64_at(s, 0)?.cast_signed(),
            packet_interval: u32_at(s, 8)?,
            space_interval: u32_at(s, 12)?,
        })
    };
    let samplers = samplers.chunks_exact(SAMPLER_LEN).filter_map(sampler);
    out.extend(samplers.map(MetaRecord::Sampler));
    if stats.packets != 0 || stats.flows != 0 || stats.sequence_failures != 0 {
        out.push(MetaRecord::Stats(vec![stats]));
    }
    Some(())
}

/// Reads a payload of entries of one size; returns how many it says it has and how many of them
/// there are, delivered or not. Tables that are no names say nothing about exporters.
pub(crate) fn array(
    payload: &[u8],
    out: &mut Vec<MetaRecord>,
    skipped: &mut Skipped,
) -> (u32, u32) {
    let declared = u32_at(payload, 0).unwrap_or(0);
    let size = usize::from(u16_at(payload, 4).unwrap_or(0));
    let entries = payload.get(ARRAY_HEAD_LEN..).unwrap_or_default();
    let entries = entries.chunks_exact(size.max(1)).take(declared as usize);
    let kind = u16_at(payload, 6).unwrap_or(0);
    let records = entries.len();
    if is_names(kind) {
        skipped.too_many_names += records.saturating_sub(MAX_NAMES) as u64;
    }
    for e in entries.take(MAX_NAMES) {
        let is_read = match kind {
            record_type::INTERFACE_NAMES => name(NameTable::Interface, e, out),
            record_type::VRF_NAMES => name(NameTable::Vrf, e, out),
            record_type::APPLICATION_NAMES => application(e, out),
            _ => Some(()),
        };
        skipped.malformed += u64::from(is_read.is_none());
    }
    // No more than are declared.
    (declared, records as u32)
}

const fn is_names(kind: u16) -> bool {
    matches!(
        kind,
        record_type::INTERFACE_NAMES | record_type::VRF_NAMES | record_type::APPLICATION_NAMES
    )
}

fn name(table: NameTable, e: &[u8], out: &mut Vec<MetaRecord>) -> Option<()> {
    let name = until_nul(e.get(4..)?).to_vec();
    out.push(MetaRecord::Name { table, id: u32_at(e, 0)?, name });
    Some(())
}

/// Three lengths of an octet each, then id, name, description.
fn application(e: &[u8], out: &mut Vec<MetaRecord>) -> Option<()> {
    let ([id, name, description], rest) = e.split_first_chunk()?;
    let (id, rest) = rest.split_at_checked(usize::from(*id))?;
    let (name, rest) = rest.split_at_checked(usize::from(*name))?;
    out.push(MetaRecord::Application {
        id: id.to_vec(),
        name: until_nul(name).to_vec(),
        description: until_nul(rest.get(..usize::from(*description))?).to_vec(),
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_counted() {
        let entries = MAX_NAMES as u32 + 7;
        let head = |kind: u16| {
            let mut out = entries.to_le_bytes().to_vec();
            out.extend([4, 0]);
            out.extend(kind.to_le_bytes());
            out.resize(out.len() + 4 * entries as usize, 0);
            out
        };
        for (kind, delivered, beyond) in [
            (record_type::INTERFACE_NAMES, MAX_NAMES, 7),
            (record_type::VRF_NAMES, MAX_NAMES, 7),
            (1, 0, 0),
        ] {
            let (mut out, mut skipped) = (Vec::new(), Skipped::default());
            assert_eq!(array(&head(kind), &mut out, &mut skipped), (entries, entries));
            assert_eq!(out.len(), delivered);
            assert_eq!(skipped, Skipped { too_many_names: beyond, ..Skipped::default() });
        }
    }
}
