//! Rows read of files that are written column by column, value by value, beside the flows they are
//! made of; and files that are damaged.

use super::*;
use crate::schema::metadata::{ExporterOf, Source, Sums};
use crate::schema::{VERSION, message, text};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use record::{Addr, Exporter, Flow, Kind, Rows};
use std::net::IpAddr;

/// Fields that flows have by turns: a bit of the number of the flow each.
const SOME: [Field; 9] = [
    Field::SrcVlan,
    Field::InSrcMac,
    Field::IngressAcl,
    Field::Username,
    Field::AppId,
    Field::InPayload,
    Field::NatEvent,
    Field::NextHop,
    Field::ClientLatency,
];

fn flow(n: u64) -> Flow {
    let mut f = Flow::new();
    for field in [Field::First, Field::Last] {
        f.set(field, 1_775_822_400_000 + n * 100);
    }
    f.set(Field::Packets, n);
    f.set(Field::Bytes, u64::MAX - n);
    f.set(Field::SrcPort, 60_000 + n % 7);
    f.set(Field::DstPort, (3 << 8) | (n % 5));
    f.set(Field::Proto, [1, 6, 17][n as usize % 3]);
    for (field, wide) in [(Field::SrcAddr, 5), (Field::DstAddr, 4)] {
        f.set_addr(
            field,
            match n % wide {
                0 => Addr::V6(0x2001_0db8 << 96 | u128::from(n)),
                1 if wide == 4 => continue,
                _ => Addr::V4(0xC000_0200 | (n as u32 % 50)),
            },
        );
    }
    for (bit, field) in SOME.iter().enumerate().filter(|(bit, _)| n >> bit & 1 == 1) {
        let value = [b'x', b'y', 0xFF, b'z'].repeat(1 + n as usize % 5);
        match field.kind() {
            Kind::Addr => f.set_addr(*field, Addr::V4(n as u32)),
            Kind::Acl => drop(f.set_bytes(*field, &[bit as u8 + 1; 12])),
            Kind::Text(_) | Kind::Bytes => drop(f.set_bytes(*field, &value)),
            _ => drop(f.set(*field, 1 + n % 200)),
        }
    }
    f
}

fn flows() -> Vec<Flow> {
    (0..1500).map(flow).collect()
}

fn about(ident: &str) -> About {
    let exporter = Exporter { sysid: 3, version: 10, addr: Addr::V4(0x0A00_0001), id: 7 };
    let stats = record::ExporterStats { sysid: 3, sequence_failures: 0, packets: 2, flows: 9 };
    About {
        schema: VERSION,
        writer: "test".to_owned(),
        source: Source { name: "/a".to_owned(), size: 5, modified_ns: 0 },
        ident: ident.to_owned(),
        totals: Sums { rows: 1500, ..Sums::default() },
        exporters: vec![ExporterOf::new(&exporter, &stats, &[])],
        ..About::default()
    }
}

/// A file with row groups of so many flows.
fn write(path: &Path, flows: &[Flow], group: usize, pairs: Vec<(&'static str, String)>) {
    let pairs = pairs.into_iter().map(|(k, v)| KeyValue::new(k.to_owned(), v)).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .set_bloom_filter_enabled(true)
        .set_key_value_metadata(Some(pairs))
        .build();
    let file = std::fs::File::create(path).unwrap();
    let mut out =
        SerializedFileWriter::new(file, message().unwrap(), Arc::new(properties)).unwrap();
    for flows in flows.chunks(group) {
        let mut group = out.next_row_group().unwrap();
        for column in COLUMNS {
            let mut writer = group.next_column().unwrap().unwrap();
            write_column(column, flows, writer.untyped());
            writer.close().unwrap();
        }
        group.close().unwrap();
    }
    out.close().unwrap();
}

fn write_column(column: &Column, flows: &[Flow], writer: &mut ColumnWriter<'_>) {
    let rows = flows.iter().map(|flow| flow.as_row());
    let has = |row: &record::Row<'_>| match (column.field, column.kind) {
        (None, _) => false,
        (Some(f), Type::Addr4) => matches!(row.addr(f), Some(Addr::V4(_))),
        (Some(f), _) => row.has(f),
    };
    let field = column.field.unwrap_or(Field::First);
    let levels: Vec<i16> = rows.clone().map(|row| i16::from(has(&row))).collect();
    let rows = rows.filter(|row| has(row));
    let number = |row: record::Row<'_>| match (column.kind, row.addr(field)) {
        (Type::Addr4, Some(Addr::V4(n))) => i64::from(n),
        (Type::Timestamp, _) => row.number(field) as i64 * 1_000_000,
        _ => row.number(field) as i64,
    };
    let octets = |row: record::Row<'_>| match (column.kind, row.addr(field)) {
        (Type::Addr16, Some(Addr::V4(n))) => {
            std::net::Ipv4Addr::from_bits(n).to_ipv6_mapped().octets().to_vec()
        }
        (Type::Addr16, Some(Addr::V6(n))) => n.to_be_bytes().to_vec(),
        (Type::AddrText, Some(addr)) => IpAddr::from(addr).to_string().into_bytes(),
        (Type::Mac, _) => row.number(field).to_be_bytes()[2..].to_vec(),
        (Type::Text, _) => text::encode(row.text(field).unwrap()).as_bytes().to_vec(),
        _ => row.bytes(field).unwrap().to_vec(),
    };
    let levels = Some(&*levels);
    match writer {
        ColumnWriter::Int32ColumnWriter(w) => {
            let all: Vec<i32> = rows.map(|row| number(row) as i32).collect();
            w.write_batch(&all, levels, None)
        }
        ColumnWriter::Int64ColumnWriter(w) => {
            w.write_batch(&rows.map(number).collect::<Vec<_>>(), levels, None)
        }
        ColumnWriter::FixedLenByteArrayColumnWriter(w) => {
            let all: Vec<FixedLenByteArray> =
                rows.map(|row| FixedLenByteArray::from(octets(row))).collect();
            w.write_batch(&all, levels, None)
        }
        ColumnWriter::ByteArrayColumnWriter(w) => {
            let all: Vec<ByteArray> = rows.map(|row| ByteArray::from(octets(row))).collect();
            w.write_batch(&all, levels, None)
        }
        _ => unreachable!("no such type"),
    }
    .unwrap();
}

fn sample(dir: &Path, group: usize) -> PathBuf {
    let path = dir.join(format!("{group}.parquet"));
    write(&path, &flows(), group, about("border").to_pairs().unwrap());
    path
}

/// All rows of a file, block by block, of some fields.
fn read(file: &LakeFile, fields: u128, mut each: impl FnMut(&Rows<'_>)) -> Result<(), String> {
    let mut buffers = Buffers::default();
    for block in 0..file.blocks() {
        file.load(block, fields, &mut buffers)?;
        let Buffers { bytes, index, table, .. } = &buffers;
        each(&Rows { bytes, index, table });
    }
    Ok(())
}

fn check(file: &LakeFile, fields: u128) {
    let (want, mut n) = (flows(), 0);
    read(file, fields, |rows| {
        for row in rows.iter() {
            let want = want[n].as_row();
            for field in Field::ALL.iter().filter(|f| fields >> **f as u32 & 1 == 1) {
                let (got, want) = match field.kind() {
                    Kind::Text(_) => (row.text(*field), want.text(*field)),
                    _ => (row.bytes(*field), want.bytes(*field)),
                };
                assert_eq!(got, want, "{field:?} of row {n}");
            }
            assert_ne!(row.as_bytes().first(), Some(&10), "no record of a flow file");
            n += 1;
        }
    })
    .unwrap();
    assert_eq!(n, want.len());
}

#[test]
fn rows_are_those_that_were_written() {
    let dir = tempfile::tempdir().unwrap();
    for group in [70, 400, 2000] {
        let file = LakeFile::open(&sample(dir.path(), group)).unwrap();
        assert_eq!((file.rows(), file.ident()), (1500, "border"));
        assert!(matches!(file.meta(), [MetaRecord::Exporter(e)] if e.id == 7));
        check(&file, u128::MAX);
        for field in Field::ALL.iter().filter(|_| group == 2000) {
            check(&file, 1 << *field as u32);
        }
        check(&file, 1 << Field::Bytes as u32 | 1 << Field::SrcAddr as u32);
    }
}

/// Parts of a row group, in any order, by one thread: as the whole.
#[test]
fn parts_of_a_row_group_go_on_where_others_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = LakeFile::open(&sample(dir.path(), 2000)).unwrap();
    let part = |from| Part { group: 0, from, rows: 250 };
    file.parts = (0..6).map(|n| part(n * 250)).collect();
    check(&file, u128::MAX);
    let (flows, mut buffers) = (flows(), Buffers::default());
    for block in [1, 3, 3, 0, 5, 2] {
        for fields in [1 << Field::Packets as u32, u128::MAX] {
            file.load(block, fields, &mut buffers).unwrap();
            let Buffers { bytes, index, table, .. } = &buffers;
            let row = Rows { bytes, index, table }.row(249).unwrap();
            let want = flows[block * 250 + 249].as_row();
            assert_eq!(row.number(Field::Packets), want.number(Field::Packets), "block {block}");
        }
    }
}

/// What is left out has no row that passes, and something is left out.
#[test]
fn blocks_are_left_out_by_what_is_known_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = LakeFile::open(&sample(dir.path(), 25)).unwrap();
    let flows = flows();
    for (text, leaves_out) in [
        ("any", false),
        ("host 192.0.2.3", true),
        ("host 203.0.113.1", true),
        ("net 192.0.2.0/24", false),
        ("net 10.0.0.0/8", true),
        ("host 2001:db8::5", true),
        ("src ip 2001:db8::5 or dst ip 192.0.2.7", true),
        ("packets > 1400", true),
        ("bytes < 10", false),
        ("not proto tcp", false),
        ("proto 47", true),
        ("icmp-type 3", false),
        ("src port 60006 and packets < 30", true),
        ("ipv6", false),
        ("nat event add", true),
        ("first seen > 2026-04-10T12:02:00", true),
    ] {
        let filters = [Filter::parse(text).unwrap()];
        let wanted = file.wanted(&filters, false);
        let blocks: Vec<u32> = match &wanted {
            Wanted::All => (0..file.blocks() as u32).collect(),
            Wanted::Some { blocks, rows_left_out } => {
                assert_eq!(*rows_left_out, 1500 - 25 * blocks.len() as u64, "{text}");
                blocks.clone()
            }
            Wanted::Nothing => panic!("{text}: some, or all"),
        };
        assert_eq!(blocks.len() < file.blocks(), leaves_out, "{text}: {} read", blocks.len());
        for (n, flows) in
            flows.chunks(25).enumerate().filter(|(n, _)| !blocks.contains(&(*n as u32)))
        {
            for flow in flows {
                let context = filter::Context { ident: "", first_count: 0 };
                let passes = filters[0].matches(flow.as_row(), &context);
                assert!(!passes, "{text}: block {n} has a row that passes");
            }
        }
    }
    let none = [Filter::parse("host 203.0.113.1").unwrap()];
    let is_first = |wanted| matches!(wanted, Wanted::Some { blocks, .. } if blocks == [0]);
    assert!(is_first(file.wanted(&none, true)) && !is_first(file.wanted(&none, false)));
}

#[test]
fn other_files_are_refused_by_what_they_lack() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let refused = |pairs: Vec<(&'static str, String)>| {
        write(&path, &flows()[..5], 5, pairs);
        LakeFile::open(&path).unwrap_err()
    };
    assert!(refused(vec![]).contains("x.parquet: not written by flowlake"));
    let later = refused(vec![("flowsuite.schema", "99".to_owned())]);
    assert!(later.contains("version 99") && later.contains("update"), "{later}");
    std::fs::write(&path, b"PAR1 and no more").unwrap();
    assert!(LakeFile::open(&path).unwrap_err().contains("cut short or damaged"));
    assert!(LakeFile::open(&dir.path().join("none")).unwrap_err().contains("none: "));
}

/// Threads at the same row group share what one of them has read of it, and it is gone with them.
#[test]
fn columns_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = LakeFile::open(&sample(dir.path(), 2000)).unwrap();
    file.parts = (0..2).map(|n| Part { group: 0, from: n * 750, rows: 750 }).collect();
    let mut threads = [Buffers::default(), Buffers::default()];
    for (block, buffers) in threads.iter_mut().enumerate() {
        file.load(block, u128::MAX, buffers).unwrap();
        assert_eq!(buffers.index.len(), 750);
    }
    assert!(threads[0].bytes_read > 0);
    assert_eq!(threads[1].bytes_read, 0);
    drop(threads);
    let mut later = Buffers::default();
    file.load(1, u128::MAX, &mut later).unwrap();
    assert!(later.bytes_read > 0);
}

/// A footer whose list of row groups claims to have two thousand million.
#[test]
fn lists_that_claim_too_much_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let footer = [0x15, 4, 0x39, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0];
    let size = (footer.len() as u32).to_le_bytes();
    let file = [b"PAR1", &footer[..], &size, b"PAR1"].concat();
    std::fs::write(&path, file).unwrap();
    let said = LakeFile::open(&path).unwrap_err();
    assert!(said.contains("damaged: its footer"), "{said}");
}

/// Cut anywhere, or with octets that were changed: an error, or rows; never more than there were.
#[test]
fn damaged_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    write(&path, &flows()[..20], 20, about("x").to_pairs().unwrap());
    let whole = std::fs::read(&path).unwrap();
    let cut = std::fs::File::options().write(true).open(&path).unwrap();
    for len in (0..whole.len()).rev() {
        cut.set_len(len as u64).unwrap();
        assert!(LakeFile::open(&path).is_err(), "cut at {len}");
    }
    let mut refused = 0;
    for at in (4..whole.len()).step_by(61) {
        let mut octets = whole.clone();
        octets[at] ^= 0x15;
        std::fs::write(&path, &octets).unwrap();
        let Ok(file) = LakeFile::open(&path) else {
            refused += 1;
            continue;
        };
        let mut rows = 0;
        match read(&file, u128::MAX, |block| rows += block.len()) {
            Ok(()) => assert!(rows <= 1 << 20),
            Err(e) => {
                refused += 1;
                assert!(e.starts_with("block "), "{e}");
            }
        }
    }
    assert!(refused > 0);
}
