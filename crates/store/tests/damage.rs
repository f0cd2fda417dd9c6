//! Files that were cut, flipped or left behind: nothing panics, and what is whole is delivered.

use record::{ExporterStats, Field, Flow, FlowSink, Meta};
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use store::{
    BlockReader, Compression, FileHeader, FileState, FlowFile, SalvageReason, StoreError, Writer,
    WriterOptions,
};

/// A flow that tells its number by its bytes.
fn flow(n: u64) -> Flow {
    let mut flow = Flow::new();
    flow.set(Field::First, 1_795_000_000_000 + n);
    flow.set(Field::Last, 1_795_000_000_500 + n);
    flow.set(Field::Bytes, n);
    flow.set(Field::Proto, 6);
    flow.set_addr(Field::SrcAddr, record::Addr::V4(n as u32));
    flow.set_addr(Field::DstAddr, record::Addr::V4(7));
    if n.is_multiple_of(3) {
        flow.set(Field::SrcAs, n);
    }
    flow
}

/// A file of `blocks` blocks with 10 flows each.
fn write(path: &Path, compression: Compression, blocks: u64) -> Vec<u8> {
    let mut writer = begin(path, compression, blocks);
    writer.flush().unwrap();
    writer
        .close(&[ExporterStats { sysid: 1, sequence_failures: 4, packets: 2, flows: 9 }])
        .unwrap();
    fs::read(path).unwrap()
}

fn begin(path: &Path, compression: Compression, blocks: u64) -> Writer {
    let options = WriterOptions { compression: compression.into(), ..WriterOptions::default() };
    let mut writer = Writer::create(path, &options).unwrap();
    writer.meta(Meta::Exporter(record::Exporter {
        sysid: 1,
        version: 9,
        addr: record::Addr::V4(1),
        id: 1,
    }));
    for n in 0..blocks * 10 {
        if n > 0 && n % 10 == 0 {
            writer.flush().unwrap();
        }
        writer.flow(&flow(n));
    }
    writer
}

/// Reads all there is. Returns the numbers of the flows, and whether anything was wrong.
fn read(path: &Path) -> Result<(Vec<u64>, bool), StoreError> {
    // One reader for all: what a damaged file leaves in its buffers must not show in the next.
    thread_local!(static READER: RefCell<BlockReader> = RefCell::new(BlockReader::new()));
    READER.with_borrow_mut(|reader| read_with(reader, path))
}

fn read_with(reader: &mut BlockReader, path: &Path) -> Result<(Vec<u64>, bool), StoreError> {
    let file = FlowFile::open(path)?;
    let mut all = Vec::new();
    let mut damaged = *file.state() != FileState::Closed;
    for n in 0..file.blocks().len() {
        match reader.load(&file, n) {
            Ok(block) => {
                damaged |= block.damage().is_some();
                for row in block.rows.iter() {
                    all.push(row.number(Field::Bytes));
                    // Every slot of every row is looked at.
                    for f in row.shape().fields() {
                        assert!(row.bytes(f).is_some(), "{f:?} lies outside of its row");
                    }
                }
            }
            Err(e) => {
                damaged = true;
                assert!(e.to_string().contains(&format!("block {n}")));
            }
        }
    }
    let seen = file.damage();
    assert!(damaged || seen.unreadable_blocks + seen.damaged_blocks == 0);
    Ok((all, damaged))
}

const METHODS: [Compression; 5] =
    [Compression::None, Compression::Lzo, Compression::Bz2, Compression::Lz4, Compression::Zstd];

#[test]
fn a_cut_file_gives_every_block_that_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    for method in METHODS {
        let whole = write(&path, method, 4);
        let ends: Vec<u64> =
            FlowFile::open(&path).unwrap().blocks().iter().map(|b| b.end()).collect();
        // The last block holds the exporter's statistics only.
        assert_eq!(ends.len(), 5);
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            if len < FileHeader::LEN {
                assert!(matches!(read(&path), Err(StoreError::TooShort { .. })), "length {len}");
                continue;
            }
            let (flows, damaged) = read(&path).unwrap();
            assert!(damaged, "{method} length {len}");
            let blocks = ends[..4].iter().filter(|e| **e <= len as u64).count();
            assert_eq!(flows, (0..10 * blocks as u64).collect::<Vec<_>>(), "{method} length {len}");
        }
    }
}

#[test]
fn no_flipped_bit_panics_or_costs_more_than_its_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    for method in METHODS {
        let whole = write(&path, method, 3);
        let blocks: Vec<(u64, u64)> =
            FlowFile::open(&path).unwrap().blocks().iter().map(|b| (b.offset, b.end())).collect();
        // All bits where it is quick, one of each octet elsewhere.
        let step = if matches!(method, Compression::None | Compression::Lz4) { 1 } else { 9 };
        for bit in (0..whole.len() * 8).step_by(step) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let place = (bit / 8) as u64;
            // The header may make it another kind of file.
            let Ok((flows, _)) = read(&path) else {
                assert!(place < FileHeader::LEN as u64, "{method} bit {bit}");
                continue;
            };
            if place < 36 {
                continue;
            }
            for (i, _) in
                blocks.iter().enumerate().filter(|(_, (from, to))| !(*from..*to).contains(&place))
            {
                let want: Vec<u64> =
                    (10 * i as u64..10 * i as u64 + 10).take(if i < 3 { 10 } else { 0 }).collect();
                assert!(
                    want.iter().all(|n| flows.contains(n)),
                    "{method} octet {place}: block {i} is whole and gave {flows:?}"
                );
            }
        }
    }
}

#[test]
fn every_length_and_size_of_records_and_elements_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let whole = write(&path, Compression::None, 1);
    for at in FileHeader::LEN..whole.len() {
        for value in [0u16, 1, 3, 4, 5, 11, 12, 13, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF] {
            let mut odd = whole.clone();
            if let Some(room) = odd.get_mut(at..at + 2) {
                room.copy_from_slice(&value.to_le_bytes());
            }
            fs::write(&path, &odd).unwrap();
            read(&path).unwrap();
        }
    }
}

#[test]
fn what_is_no_flow_file_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, b"").unwrap();
    assert!(matches!(read(&path), Err(StoreError::TooShort { len: 0, .. })));
    fs::write(&path, [0u8; 100]).unwrap();
    assert!(matches!(read(&path), Err(StoreError::BadMagic { magic: 0, .. })));
    assert!(matches!(read(dir.path()), Err(StoreError::NotAFile(_))));
    assert!(matches!(read(&dir.path().join("none")), Err(StoreError::Io { .. })));
}

#[test]
fn a_writer_that_dies_leaves_its_complete_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nfcapd.current.1");
    for method in METHODS {
        let mut writer = begin(&path, method, 3);
        // Still at work: what is on disk can be read, the block at hand cannot.
        assert_eq!(read(&path).unwrap().0, (0..20).collect::<Vec<_>>());
        writer.flush().unwrap();
        assert_eq!(read(&path).unwrap().0, (0..30).collect::<Vec<_>>());
        writer.flow(&flow(99));
        drop(writer);
        assert_eq!(read(&path).unwrap().0, (0..30).collect::<Vec<_>>());
        // A torn block and blocks of zeros, as a crash of the system leaves them.
        let whole = fs::read(&path).unwrap();
        for tail in [&[1, 0, 0, 0, 200, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3][..], &[0; 5000]] {
            let bytes = [&whole, tail].concat();
            fs::write(&path, &bytes).unwrap();
            let file = FlowFile::open(&path).unwrap();
            assert!(matches!(
                *file.state(),
                FileState::Salvaged { complete_blocks: 3, bytes_lost, reason: SalvageReason::NotClosed }
                    if bytes_lost >= tail.len() as u64
            ));
            assert_eq!(read(&path).unwrap().0, (0..30).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_wrong_offset_of_the_appendix_does_not_hide_the_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let whole = write(&path, Compression::Lz4, 3);
    for offset in [1u64, 40, 60, whole.len() as u64 - 1, whole.len() as u64, u64::MAX - 5] {
        let mut odd = whole.clone();
        odd[24..32].copy_from_slice(&offset.to_le_bytes());
        fs::write(&path, &odd).unwrap();
        let file = FlowFile::open(&path).unwrap();
        assert!(matches!(
            *file.state(),
            FileState::Salvaged { reason: SalvageReason::Appendix { offset: o }, .. } if o == offset
        ));
        assert_eq!(file.totals(), None);
        assert_eq!(read(&path).unwrap().0, (0..30).collect::<Vec<_>>(), "offset {offset}");
    }
}

#[test]
fn garbage_behind_the_appendix_is_nobodys_business() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut whole = write(&path, Compression::Lz4, 2);
    whole.extend([7; 100]);
    fs::write(&path, &whole).unwrap();
    assert_eq!(read(&path).unwrap(), ((0..20).collect(), false));
}

#[test]
fn truncated_and_flipped_examples_do_not_panic() {
    let Some(corpus) = std::env::var_os("FLOWSUITE_CORPUS") else {
        println!("skipped: FLOWSUITE_CORPUS not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    for name in ["1625-v9-none", "1625-v9-lz4", "178-v9-none", "178-ipfix-none", "hand-zstd"] {
        let source = Path::new(&corpus).join("nfcapd-files").join(name).with_extension("nfcapd");
        let whole = fs::read(source).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let _ = read(&path);
        }
        // Layout 1 in full, for its converter; of the others every seventh bit.
        let step = if name.starts_with("1625") { 1 } else { 7 };
        for bit in (0..whole.len() * 8).step_by(step) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let _ = read(&path);
        }
    }
}
