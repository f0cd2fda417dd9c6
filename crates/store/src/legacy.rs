//! Records of nfdump 1.6, converted block by block into records of layout 2 (15).
//!
//! A flow record of 1.6 is a fixed head, addresses and counters of one of two widths, and
//! extensions whose order another record, the extension map, gives.

use crate::encode::Encoder;
use crate::layout::{record_type, split_record, u16_at, u32_at, u64_at};
use crate::row::Skipped;
use record::{Addr, Field, Flow, code::Proto, code::record_flags};
use std::collections::HashMap;

/// The extension maps of a file. A map is valid from its place on until its number is given to
/// another.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    by_id: HashMap<u16, Vec<Map>>,
    count: usize,
}

/// One extension map: where in the file it begins to be valid, and the extensions it lists.
#[derive(Debug)]
struct Map {
    place: u64,
    extensions: Box<[u16]>,
}

impl Maps {
    /// Maps that a file may have; 1.6 collectors write some tens.
    const MAX: usize = 1 << 16;

    /// Takes the maps of block `number`. Blocks come in file order.
    pub(crate) fn collect(&mut self, number: usize, payload: &[u8]) {
        let mut rest = payload;
        while let Some((kind, record, next)) = split_record(rest) {
            if kind == record_type::EXTENSION_MAP
                && self.count < Self::MAX
                && let Some(id) = u16_at(record, 4)
            {
                let place = place(number, payload, rest);
                let ids = record.get(8..).unwrap_or_default().chunks_exact(2);
                let ids = ids.map(|b| u16_at(b, 0).unwrap_or(0)).take_while(|id| *id != 0);
                let map = Map { place, extensions: ids.collect() };
                self.by_id.entry(id).or_default().push(map);
                self.count += 1;
            }
            rest = next;
        }
    }

    fn get(&self, id: u16, place: u64) -> Option<&[u16]> {
        let all = self.by_id.get(&id)?;
        let after = all.partition_point(|m| m.place < place);
        all.get(after.checked_sub(1)?).map(|m| &*m.extensions)
    }
}

/// Block and offset in it, in the order of the file.
const fn place(block: usize, payload: &[u8], rest: &[u8]) -> u64 {
    (block as u64) << 32 | (payload.len() - rest.len()) as u64
}

/// Converts payloads into a buffer that it keeps.
#[derive(Default)]
pub(crate) struct Converter {
    flow: Flow,
    encoder: Encoder,
    out: Vec<u8>,
}

impl Converter {
    /// Converts the payload of block `number` and returns how many records it has.
    pub(crate) fn convert(
        &mut self,
        maps: &Maps,
        number: usize,
        payload: &[u8],
        skipped: &mut Skipped,
    ) -> u32 {
        self.out.clear();
        let (mut records, mut rest) = (0, payload);
        while let Some((kind, record, next)) = split_record(rest) {
            match kind {
                record_type::V16_FLOW => {
                    let ids =
                        u16_at(record, 6).and_then(|id| maps.get(id, place(number, payload, rest)));
                    let flow = &mut self.flow;
                    let fits = ids.and_then(|ids| fill(flow, ids, record, skipped)).is_some();
                    if !fits || !self.encoder.encode(flow, &mut self.out) {
                        skipped.malformed += 1;
                    }
                }
                record_type::EXTENSION_MAP => {}
                // As they are in layout 2; the walk that follows takes them apart and counts what
                // it does not know.
                _ => self.out.extend_from_slice(record),
            }
            records += 1;
            rest = next;
        }
        skipped.tail += rest.len() as u64;
        records
    }

    /// The records of the last block.
    pub(crate) fn converted(&self) -> &[u8] {
        &self.out
    }
}

mod flag {
    pub(super) const IPV6: u16 = 1;
    pub(super) const PACKETS_64: u16 = 2;
    pub(super) const BYTES_64: u16 = 4;
    pub(super) const EVENT: u16 = 64;
    pub(super) const SAMPLED: u16 = 128;
}

/// Offset of what follows the fixed head of a flow record.
const HEAD_LEN: usize = 32;

/// Fills `flow` from a record. `None` if the record is too short for what it should have.
fn fill(flow: &mut Flow, ids: &[u16], r: &[u8], skipped: &mut Skipped) -> Option<()> {
    flow.clear();
    let mut rest = Rest(r.get(HEAD_LEN..)?);
    let flags = u16_at(r, 4)?;
    let has = |bit| flags & bit != 0;
    let time = |secs, ms| Some(1000 * u64::from(u32_at(r, secs)?) + u64::from(u16_at(r, ms)?));
    flow.set(Field::First, time(12, 8)?);
    flow.set(Field::Last, time(16, 10)?);
    for (at, field) in [
        (20, Field::FwdStatus),
        (21, Field::TcpFlags),
        (22, Field::Proto),
        (23, Field::SrcTos),
        (30, Field::BiflowDir),
        (31, Field::EndReason),
    ] {
        let value = *r.get(at)?;
        // The last two would otherwise make an extension of their own in every record.
        if value != 0 || at < 30 {
            flow.set(field, u64::from(value));
        }
    }
    for (at, field) in [(24, Field::SrcPort), (26, Field::DstPort), (28, Field::ExporterId)] {
        flow.set(field, u64::from(u16_at(r, at)?));
    }
    let event = u64::from(record_flags::EVENT) * u64::from(has(flag::EVENT));
    let sampled = u64::from(record_flags::SAMPLED) * u64::from(has(flag::SAMPLED));
    flow.set(Field::RecordFlags, event | sampled);
    for field in [Field::SrcAddr, Field::DstAddr] {
        rest.addr(flow, field, if has(flag::IPV6) { 16 } else { 4 })?;
    }
    rest.number(flow, Field::Packets, if has(flag::PACKETS_64) { 8 } else { 4 })?;
    rest.number(flow, Field::Bytes, if has(flag::BYTES_64) { 8 } else { 4 })?;
    for id in ids {
        rest.extension(flow, *id, skipped)?;
    }
    Some(())
}

/// What is left of a record.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn u64(&mut self, width: usize) -> Option<u64> {
        let mut out = [0; 8];
        out.get_mut(..width)?.copy_from_slice(self.take(width)?);
        Some(u64::from_le_bytes(out))
    }

    fn number(&mut self, flow: &mut Flow, field: Field, width: usize) -> Option<()> {
        let value = self.u64(width)?;
        flow.set(field, value).then_some(())
    }

    fn numbers(&mut self, flow: &mut Flow, width: usize, fields: &[Field]) -> Option<()> {
        fields.iter().try_for_each(|f| self.number(flow, *f, width))
    }

    fn addr(&mut self, flow: &mut Flow, field: Field, width: usize) -> Option<()> {
        flow.set_addr(field, Addr::from_row(self.take(width)?)?);
        Some(())
    }

    /// One extension (15.2). Numbers without data are passed over, unknown ones end the record:
    /// nobody knows how long they are.
    fn extension(&mut self, flow: &mut Flow, id: u16, skipped: &mut Skipped) -> Option<()> {
        use Field as F;
        match id {
            4 => self.numbers(flow, 2, &[F::Input, F::Output]),
            5 => self.numbers(flow, 4, &[F::Input, F::Output]),
            6 => self.numbers(flow, 2, &[F::SrcAs, F::DstAs]),
            7 => self.numbers(flow, 4, &[F::SrcAs, F::DstAs]),
            8 => self.numbers(flow, 1, &[F::DstTos, F::Direction, F::SrcMask, F::DstMask]),
            9 => self.addr(flow, F::NextHop, 4),
            10 => self.addr(flow, F::NextHop, 16),
            11 => self.addr(flow, F::BgpNextHop, 4),
            12 => self.addr(flow, F::BgpNextHop, 16),
            13 => self.numbers(flow, 2, &[F::SrcVlan, F::DstVlan]),
            14 => self.number(flow, F::OutPackets, 4),
            15 => self.number(flow, F::OutPackets, 8),
            16 => self.number(flow, F::OutBytes, 4),
            17 => self.number(flow, F::OutBytes, 8),
            18 => self.number(flow, F::Flows, 4),
            19 => self.number(flow, F::Flows, 8),
            20 => self.numbers(flow, 8, &[F::InSrcMac, F::OutDstMac]),
            21 => self.numbers(flow, 8, &[F::InDstMac, F::OutSrcMac]),
            22 => self.numbers(flow, 4, &MPLS),
            23 => self.addr(flow, F::Router, 4),
            24 => self.addr(flow, F::Router, 16),
            25 => self.take(2).and_then(|_| self.numbers(flow, 1, &[F::EngineType, F::EngineId])),
            26 => self.numbers(flow, 4, &[F::NextAs, F::PrevAs]),
            27 => self.number(flow, F::Received, 8),
            37 => self.firewall(flow),
            38 => self.numbers(flow, 2, &[F::XlateSrcPort, F::XlateDstPort]),
            39 => self.addrs(flow, 4),
            40 => self.addrs(flow, 16),
            41 => {
                flow.set_bytes(F::IngressAcl, &self.acl()?);
                flow.set_bytes(F::EgressAcl, &self.acl()?);
                Some(())
            }
            42 | 43 => {
                let name = self.take(if id == 42 { 24 } else { 72 })?;
                flow.set_bytes(F::Username, crate::layout::until_nul(name));
                Some(())
            }
            45 => self.numbers(flow, 8, &[F::ClientLatency, F::ServerLatency, F::AppLatency]),
            46 => {
                self.number(flow, F::NatEvent, 1)?;
                self.take(3)?;
                self.numbers(flow, 4, &[F::EgressVrf, F::IngressVrf])
            }
            47 => {
                // Obsolete inside and outside addresses have no place in layout 2.
                skipped.unknown_elements += 1;
                self.take(8).map(|_| ())
            }
            48 => {
                self.numbers(flow, 2, &[F::PblockStart, F::PblockEnd, F::PblockStep, F::PblockSize])
            }
            28..=36 | 44 | 49 => Some(()),
            _ => {
                skipped.unknown_elements += 1;
                self.0 = &[];
                Some(())
            }
        }
    }

    /// Three ids of an access list: numbers here, octets as sent in layout 2.
    fn acl(&mut self) -> Option<[u8; 12]> {
        let mut ids: [u8; 12] = self.take(12)?.try_into().ok()?;
        ids.as_chunks_mut::<4>().0.iter_mut().for_each(|id| id.reverse());
        Some(ids)
    }

    fn addrs(&mut self, flow: &mut Flow, width: usize) -> Option<()> {
        self.addr(flow, Field::XlateSrcAddr, width)?;
        self.addr(flow, Field::XlateDstAddr, width)
    }

    /// NSEL: ICMP code and type stand in for the destination port of ICMP flows only.
    fn firewall(&mut self, flow: &mut Flow) -> Option<()> {
        let b = self.take(20)?;
        flow.set(Field::FwEventTime, u64_at(b, 0)?);
        flow.set(Field::ConnId, u64::from(u32_at(b, 8)?));
        let icmp = u64::from(u16_at(b, 12)?);
        if icmp != 0 && Proto(flow.number(Field::Proto) as u8).is_icmp() {
            flow.set(Field::DstPort, icmp);
        }
        flow.set(Field::FwEvent, u64::from(*b.get(14)?));
        flow.set(Field::FwXEvent, u64::from(u16_at(b, 16)?));
        Some(())
    }
}

const MPLS: [Field; 10] = [
    Field::Mpls1,
    Field::Mpls2,
    Field::Mpls3,
    Field::Mpls4,
    Field::Mpls5,
    Field::Mpls6,
    Field::Mpls7,
    Field::Mpls8,
    Field::Mpls9,
    Field::Mpls10,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_lists_get_their_octets_as_sent() {
        let ids: Vec<u8> = [0x0102_0304, 5, 6, 7, 8, 0xff00_0000u32]
            .iter()
            .flat_map(|id| id.to_le_bytes())
            .collect();
        let mut flow = Flow::new();
        let done = Rest(&ids).extension(&mut flow, 41, &mut Skipped::default());
        assert_eq!(done, Some(()));
        let row = flow.as_row();
        assert_eq!(row.bytes(Field::IngressAcl).unwrap(), [1, 2, 3, 4, 0, 0, 0, 5, 0, 0, 0, 6]);
        assert_eq!(row.bytes(Field::EgressAcl).unwrap(), [0, 0, 0, 7, 0, 0, 0, 8, 255, 0, 0, 0]);
        for short in 0..ids.len() {
            let mut rest = Rest(&ids[..short]);
            assert_eq!(rest.extension(&mut flow, 41, &mut Skipped::default()), None);
        }
    }
}
