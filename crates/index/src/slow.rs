//! What an entry has to say, found by looking each field of each row up: the oracle of the quick way,
//! octet by octet.

use crate::build::{OF_FILE, OF_STRETCH, STRETCH};
use crate::digest::{Digest, Digester, add_addresses};
use crate::entry::{About, Section, encode};
use crate::key::Key;
use crate::keys::Distinct;
use crate::known::Known;
use crate::pages::{self, Shape};
use record::{Addr, Field, Flow, FlowSink as _, Row, RowRef, Rows, ShapeTable};
use std::collections::BTreeSet;
use store::{BlockReader, FlowFile, MetaRecord, Writer, WriterOptions};

fn count(keys: &BTreeSet<Key>) -> usize {
    let mut distinct = Distinct::default();
    keys.iter().for_each(|key| distinct.add(&[*key]));
    distinct.count()
}

fn section(blocks: std::ops::Range<u32>, part: Part, all: bool, data: &mut Vec<u8>) -> Section {
    let shape = Shape::of(count(&part.keys), if all { OF_FILE } else { OF_STRETCH });
    let keys: Vec<Key> = part.keys.into_iter().collect();
    Section::put(blocks, part.known, data, |data| {
        pages::build(&keys, shape, data);
        shape
    })
}

#[derive(Default)]
struct Part {
    known: Known,
    keys: BTreeSet<Key>,
}

impl Part {
    fn add(&mut self, row: Row<'_>) {
        let mut digest = Digest::default();
        digest.known.add(row);
        add_addresses(row, &mut digest);
        self.known.absorb(&digest.known);
        self.keys.extend(digest.keys);
    }
}

/// The entry of a file.
pub(crate) fn entry(file: &FlowFile, about: &About) -> Vec<u8> {
    let (mut whole, mut part) = (Part::default(), Part::default());
    let (mut sections, mut data, mut meta, mut first) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut reader = BlockReader::new();
    let blocks = file.blocks().len() as u32;
    for n in 0..blocks {
        let block = reader.load(file, n as usize).expect("block");
        if block.meta.iter().any(|m| !matches!(m, MetaRecord::Stats(_))) {
            meta.push(n);
        }
        for row in block.rows.iter() {
            part.add(row);
            whole.add(row);
        }
        if part.known.rows >= STRETCH || n + 1 == blocks {
            sections.push(section(first..n + 1, std::mem::take(&mut part), false, &mut data));
            first = n + 1;
        }
    }
    let whole = match sections.as_slice() {
        [only] => only.clone(),
        _ => section(0..blocks, whole, true, &mut data),
    };
    encode(about, &meta, &whole, &sections, &data).expect("entry")
}

/// Flows of every kind of address, with numbers in all ranges.
pub(crate) fn flow(n: u64) -> Flow {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let v4 = |shift: u64| Addr::V4((mixed >> shift) as u32 & 0x000f_ff3f | 10 << 24);
    let v6 =
        |shift: u64| Addr::V6(0x2001_0db8 << 96 | u128::from(mixed >> shift & 0xffff) << 60 | 7);
    let mut flow = Flow::new();
    for (part, fields) in [
        [Field::SrcAddr, Field::DstAddr],
        [Field::NextHop, Field::Router],
        [Field::XlateSrcAddr, Field::XlateDstAddr],
        [Field::TunSrcAddr, Field::TunDstAddr],
    ]
    .into_iter()
    .enumerate()
    {
        let kind = mixed >> (3 * part) & 7;
        for (shift, field) in [20, 27].into_iter().zip(fields) {
            match kind {
                0..5 => flow.set_addr(field, v4(shift + part as u64)),
                5 | 6 => flow.set_addr(field, v6(shift + part as u64)),
                _ => {}
            }
        }
        if part == 0 && kind == 7 {
            flow.set_addr(Field::BgpNextHop, v6(9));
        }
    }
    for (shift, field) in (7..).zip([
        Field::First,
        Field::Last,
        Field::Packets,
        Field::Bytes,
        Field::SrcPort,
        Field::DstPort,
        Field::Proto,
        Field::Input,
        Field::Output,
        Field::SrcAs,
        Field::DstAs,
        Field::OutPackets,
        Field::OutBytes,
        Field::XlateSrcPort,
        Field::XlateDstPort,
    ]) {
        if shift < 14 || mixed >> shift & 3 != 0 {
            flow.set(field, mixed >> (shift + 8) & 0xff_ffff);
        }
    }
    flow.set(Field::ExporterId, mixed >> 40 & if n < 40_000 { 31 } else { 127 });
    flow
}

fn about() -> About {
    let (name, ident) = ("nfcapd.202611201000".to_owned(), "x".to_owned());
    About { name, size: 1, modified_ns: 2, ident, window: None }
}

#[test]
fn the_quick_way_says_the_same_octet_by_octet() {
    let dir = tempfile::tempdir().expect("directory");
    for rows in [0, 1, 500, 41_000_u64] {
        let path = dir.path().join("f");
        let mut writer = Writer::create(&path, &WriterOptions::default()).expect("create");
        for n in 0..rows {
            writer.flow(&flow(n));
            if n % 5003 == 0 {
                writer.flush().expect("write");
            }
        }
        writer.close(&[]).expect("close");
        let file = FlowFile::open(&path).expect("open");
        let (mut reader, mut digester) = (BlockReader::new(), Digester::default());
        let mut builder = crate::build::Builder::new();
        for n in 0..file.blocks().len() {
            let block = reader.load(&file, n).expect("block");
            let says_who = block.meta.iter().any(|m| !matches!(m, MetaRecord::Stats(_)));
            builder.block(&mut digester, &block.rows, says_who);
        }
        let quick = builder.finish(&about()).expect("entry");
        assert!(quick.octets == entry(&file, &about()), "{rows} rows");
    }
}

/// Rows that end before what their shape has, of shapes with fields of odd widths.
#[test]
fn rows_that_are_cut_say_what_is_there() {
    let mut table = ShapeTable::new();
    let whole = flow(77);
    table.push(whole.as_row().shape().clone());
    let mut odd = whole.as_row().shape().clone();
    odd.set(Field::SrcAddr, 3, 7);
    odd.set(Field::Proto, 5, 3);
    odd.set(Field::Bytes, 9, 16);
    table.push(odd);
    let bytes = whole.as_row().as_bytes();
    let all = |len: u16| [0, 1].map(|shape| RowRef { at: 0, len, shape });
    let index: Vec<RowRef> = (0..=bytes.len() as u16).flat_map(all).collect();
    let rows = Rows { bytes, index: &index, table: &table };
    let (mut digest, mut digester) = (Digest::default(), Digester::default());
    digester.digest(&rows, 1, &mut digest);
    let mut slow = Part::default();
    rows.iter().for_each(|row| slow.add(row));
    assert_eq!(digest.known, slow.known);
    assert_eq!(digest.keys.into_iter().collect::<BTreeSet<_>>(), slow.keys);
}
