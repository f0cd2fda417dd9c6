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
            9 => self.addr(flow, F::NextHop, 4),
            10 => self.addr(flow, F::NextHop, 16),
            11 => self.addr(flow, F::BgpNextHop, 4),
            12 => self.addr(flow, F::BgpNextHop, 16),
            23 => self.addr(flow, F::Router, 4),
            24 => self.addr(flow, F::Router, 16),
            25 => self.take(2).and_then(|_| self.numbers(flow, 1, &[F::EngineType, F::EngineId])),
            37 => self.firewall(flow),
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
            28..=36 | 44 | 49 => Some(()),
            _ => match numbers_of(id) {
                Some((width, fields)) => self.numbers(flow, width, fields),
                None => {
                    skipped.unknown_elements += 1;
                    self.0 = &[];
                    Some(())
                }
            },
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

/// Extensions that are numbers of one width (15.2): the width and the fields in their order.
fn numbers_of(id: u16) -> Option<(usize, &'static [Field])> {
    use Field as F;
    Some(match id {
        4 => (2, &[F::Input, F::Output]),
        5 => (4, &[F::Input, F::Output]),
        6 => (2, &[F::SrcAs, F::DstAs]),
        7 => (4, &[F::SrcAs, F::DstAs]),
        8 => (1, &[F::DstTos, F::Direction, F::SrcMask, F::DstMask]),
        13 => (2, &[F::SrcVlan, F::DstVlan]),
        14 => (4, &[F::OutPackets]),
        15 => (8, &[F::OutPackets]),
        16 => (4, &[F::OutBytes]),
        17 => (8, &[F::OutBytes]),
        18 => (4, &[F::Flows]),
        19 => (8, &[F::Flows]),
        20 => (8, &[F::InSrcMac, F::OutDstMac]),
        21 => (8, &[F::InDstMac, F::OutSrcMac]),
        22 => (4, &MPLS),
        26 => (4, &[F::NextAs, F::PrevAs]),
        27 => (8, &[F::Received]),
        38 => (2, &[F::XlateSrcPort, F::XlateDstPort]),
        45 => (8, &[F::ClientLatency, F::ServerLatency, F::AppLatency]),
        48 => (2, &[F::PblockStart, F::PblockEnd, F::PblockStep, F::PblockSize]),
        _ => return None,
    })
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
    use crate::meta::MetaRecord;
    use crate::row::{Found, Walker};
    use record::{RowRef, Rows};

    fn map(id: u16, extensions: &[u16]) -> Vec<u8> {
        let mut words = vec![record_type::EXTENSION_MAP, 0, id, 0];
        words.extend_from_slice(extensions);
        words.push(0);
        if words.len() % 2 == 1 {
            words.push(0);
        }
        words[1] = 2 * words.len() as u16;
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    fn flow(map: u16, flags: u16, proto: u8, rest: &[u8]) -> Vec<u8> {
        let mut out = vec![0; HEAD_LEN];
        out[..2].copy_from_slice(&record_type::V16_FLOW.to_le_bytes());
        out[4..6].copy_from_slice(&flags.to_le_bytes());
        out[6..8].copy_from_slice(&map.to_le_bytes());
        out[8] = 7; // 7 ms
        out[12] = 3; // 3 s
        out[16] = 4;
        out[22] = proto;
        out[26..28].copy_from_slice(&443u16.to_le_bytes());
        out.extend_from_slice(rest);
        let size = out.len() as u16;
        out[2..4].copy_from_slice(&size.to_le_bytes());
        out
    }

    struct Converted {
        walker: Walker,
        index: Vec<RowRef>,
        bytes: Vec<u8>,
        skipped: Skipped,
        records: u32,
    }

    impl Converted {
        fn rows(&self) -> Rows<'_> {
            Rows { bytes: &self.bytes, index: &self.index, table: self.walker.table() }
        }
    }

    /// Converts the last of several blocks.
    fn convert(blocks: &[Vec<Vec<u8>>]) -> Converted {
        let mut maps = Maps::default();
        let blocks: Vec<Vec<u8>> = blocks.iter().map(|b| b.concat()).collect();
        for (n, b) in blocks.iter().enumerate() {
            maps.collect(n, b);
        }
        let mut skipped = Skipped::default();
        let mut converter = Converter::default();
        let last = blocks.len() - 1;
        let records = converter.convert(&maps, last, &blocks[last], &mut skipped);
        let (mut walker, mut index, mut meta) =
            (Walker::new(), Vec::new(), Vec::<MetaRecord>::new());
        let mut found = Found { index: &mut index, meta: &mut meta, skipped: &mut skipped };
        walker.walk(converter.converted(), &mut found);
        Converted { walker, index, bytes: converter.converted().to_vec(), skipped, records }
    }

    const NUMBERS: [u8; 16] = [1, 0, 0, 10, 2, 0, 0, 10, 100, 0, 0, 0, 200, 0, 0, 0];

    #[test]
    fn widths_follow_the_flags() {
        let wide = [&[1u8; 32][..], &5u64.to_le_bytes(), &6u64.to_le_bytes()].concat();
        let c = convert(&[vec![map(1, &[]), flow(1, 0, 6, &NUMBERS), flow(1, 7, 6, &wide)]]);
        assert_eq!((c.records, c.skipped), (3, Skipped::default()));
        let rows = c.rows();
        let (a, b) = (rows.row(0).unwrap(), rows.row(1).unwrap());
        assert_eq!(a.number(Field::First), 3007);
        assert_eq!(a.addr(Field::SrcAddr).unwrap().to_string(), "10.0.0.1");
        assert_eq!((a.number(Field::Packets), a.number(Field::Bytes)), (100, 200));
        assert_eq!(b.bytes(Field::DstAddr).unwrap().len(), 16);
        assert_eq!((b.number(Field::Packets), b.number(Field::Bytes)), (5, 6));
    }

    #[test]
    fn a_map_is_valid_from_its_place_to_the_next_of_its_number() {
        let with = |ext: &[u8]| [&NUMBERS[..], ext].concat();
        let c = convert(&[
            vec![map(1, &[6]), map(2, &[13])],
            vec![
                flow(1, 0, 6, &with(&[9, 0, 8, 0])),
                flow(2, 0, 6, &with(&[3, 0, 4, 0])),
                map(1, &[4]),
                flow(1, 0, 6, &with(&[5, 0, 6, 0])),
                flow(3, 0, 6, &NUMBERS),
            ],
        ]);
        let rows = c.rows();
        assert_eq!(rows.row(0).unwrap().u64(Field::SrcAs), Some(9));
        assert_eq!(rows.row(1).unwrap().u64(Field::DstVlan), Some(4));
        assert_eq!(rows.row(2).unwrap().u64(Field::Output), Some(6));
        assert_eq!(rows.row(2).unwrap().u64(Field::SrcAs), None);
        assert_eq!(c.skipped.malformed, 1, "no map 3");
        // A map that comes later does not reach back.
        let c = convert(&[vec![flow(1, 0, 6, &NUMBERS), map(1, &[])]]);
        assert_eq!((c.rows().len(), c.skipped.malformed), (0, 1));
    }

    #[test]
    fn icmp_of_nsel_replaces_the_port_of_icmp_only() {
        let mut nsel = [0; 20];
        nsel[..8].copy_from_slice(&99u64.to_le_bytes());
        nsel[12..14].copy_from_slice(&[1, 3]); // code, type
        let rest = [&NUMBERS[..], &nsel].concat();
        for (proto, port) in [(1, 3 * 256 + 1), (58, 3 * 256 + 1), (6, 443), (17, 443)] {
            let c = convert(&[vec![map(1, &[37]), flow(1, 64 | 128, proto, &rest)]]);
            let rows = c.rows();
            let row = rows.row(0).unwrap();
            assert_eq!(row.number(Field::DstPort), port, "protocol {proto}");
            assert_eq!(row.number(Field::FwEventTime), 99);
            assert_eq!(row.number(Field::RecordFlags), 3);
        }
    }

    #[test]
    fn every_extension_takes_its_size() {
        for (id, size, field, value) in sizes() {
            let data: Vec<u8> = (1..=size).collect();
            // Two octets of another extension behind it tell if its size was right.
            let rest = [&NUMBERS[..], &data, &[0xAA, 0xBB, 0xCC, 0xDD]].concat();
            let probe = if id == 7 || id == 6 { (13, Field::SrcVlan) } else { (6, Field::SrcAs) };
            let c = convert(&[vec![map(1, &[id, 30, probe.0]), flow(1, 0, 6, &rest)]]);
            let rows = c.rows();
            let row = rows.row(0).unwrap_or_else(|| panic!("extension {id}"));
            assert_eq!(row.u64(probe.1), Some(0xBBAA), "extension {id}");
            assert!(row.has(field), "extension {id}");
            if value != 0 {
                assert_eq!(row.u64(field), Some(value), "extension {id}");
            }
            // Cut anywhere, the record is refused as a whole.
            for cut in 0..rest.len() {
                let c = convert(&[vec![map(1, &[id, 30, probe.0]), flow(1, 0, 6, &rest[..cut])]]);
                assert_eq!(
                    (c.rows().len(), c.skipped.malformed),
                    (0, 1),
                    "extension {id} cut {cut}"
                );
            }
        }
    }

    /// Each extension of 15.2 with its size, the last field in it and that field's value if
    /// octet `i` of the data is `i + 1`.
    fn sizes() -> impl Iterator<Item = (u16, u8, Field, u64)> {
        let le = |from: u64, n: u64| (0..n).map(|i| (from + i) << (8 * i)).sum::<u64>();
        [
            (4, 4, Field::Output, le(3, 2)),
            (5, 8, Field::Output, le(5, 4)),
            (6, 4, Field::DstAs, le(3, 2)),
            (7, 8, Field::DstAs, le(5, 4)),
            (8, 4, Field::DstMask, 4),
            (9, 4, Field::NextHop, le(1, 4)),
            (10, 16, Field::NextHop, 0),
            (11, 4, Field::BgpNextHop, le(1, 4)),
            (12, 16, Field::BgpNextHop, 0),
            (13, 4, Field::DstVlan, le(3, 2)),
            (14, 4, Field::OutPackets, le(1, 4)),
            (15, 8, Field::OutPackets, le(1, 8)),
            (16, 4, Field::OutBytes, le(1, 4)),
            (17, 8, Field::OutBytes, le(1, 8)),
            (18, 4, Field::Flows, le(1, 4)),
            (19, 8, Field::Flows, le(1, 8)),
            (20, 16, Field::OutDstMac, le(9, 8)),
            (21, 16, Field::OutSrcMac, le(9, 8)),
            (22, 40, Field::Mpls10, le(37, 4)),
            (23, 4, Field::Router, le(1, 4)),
            (24, 16, Field::Router, 0),
            (25, 4, Field::EngineId, 4),
            (26, 8, Field::PrevAs, le(5, 4)),
            (27, 8, Field::Received, le(1, 8)),
            (37, 20, Field::FwXEvent, le(17, 2)),
            (38, 4, Field::XlateDstPort, le(3, 2)),
            (39, 8, Field::XlateDstAddr, le(5, 4)),
            (40, 32, Field::XlateDstAddr, 0),
            (41, 24, Field::EgressAcl, 0),
            (42, 24, Field::Username, 0),
            (43, 72, Field::Username, 0),
            (45, 24, Field::AppLatency, le(17, 8)),
            (46, 12, Field::IngressVrf, le(9, 4)),
            (48, 8, Field::PblockSize, le(7, 2)),
        ]
        .into_iter()
    }

    #[test]
    fn unknown_and_obsolete_extensions_are_counted() {
        let rest = [&NUMBERS[..], &[1; 8]].concat();
        for id in [47, 200] {
            let c = convert(&[vec![map(1, &[id]), flow(1, 0, 6, &rest)]]);
            assert_eq!((c.rows().len(), c.skipped.unknown_elements), (1, 1), "extension {id}");
        }
    }

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
