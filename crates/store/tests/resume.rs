//! Files that their writers left open get their end where they are.

use record::{Addr, Exporter, Field, Flow, FlowSink, Meta};
use std::fs;
use std::path::Path;
use store::{BlockReader, Compression, FileState, FlowFile, Writer, WriterOptions, resume};

const EXPORTER: Exporter = Exporter { sysid: 1, version: 9, addr: Addr::V4(1), id: 0 };

/// An open file of some blocks, each flow with 7 octets.
fn write(path: &Path, compression: Compression, is_closed: bool) {
    let options = WriterOptions {
        compression: compression.into(),
        ident: "core".into(),
        created_secs: 1_795_000_000,
        ..WriterOptions::default()
    };
    let mut writer = Writer::create(path, &options).unwrap();
    for block in 0..3 {
        writer.meta(Meta::Exporter(EXPORTER));
        for n in 0..=block {
            let mut flow = Flow::new();
            flow.set(Field::Bytes, 7);
            flow.set(Field::First, 1000 + n);
            flow.set(Field::Last, 2000 + n);
            flow.set(Field::ExporterId, 1);
            writer.flow(&flow);
        }
        writer.flush().unwrap();
    }
    if is_closed {
        writer.close(&[]).unwrap();
    }
}

fn flows(file: &FlowFile) -> u64 {
    let mut reader = BlockReader::new();
    let rows = |n| reader.load(file, n).map_or(0, |b| b.rows.len() as u64);
    (0..file.blocks().len()).map(rows).sum()
}

#[test]
fn a_file_cut_anywhere_keeps_its_whole_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cut) = (dir.path().join("open"), dir.path().join("cut"));
    for compression in [Compression::None, Compression::Lz4] {
        write(&path, compression, false);
        let whole = fs::read(&path).unwrap();
        for len in 40..=whole.len() {
            fs::write(&cut, &whole[..len]).unwrap();
            let before = flows(&FlowFile::open(&cut).unwrap());
            let resumed = resume(&cut, "core").unwrap();
            assert!(resumed.was_open && resumed.unreadable_blocks == 0, "cut at {len}");
            let file = FlowFile::open(&cut).unwrap();
            assert_eq!(*file.state(), FileState::Closed, "cut at {len}");
            assert_eq!((flows(&file), file.ident()), (before, "core"), "cut at {len}");
            let totals = file.totals().unwrap();
            assert_eq!((totals.all_flows(), totals.all_bytes()), (before, 7 * before));
            assert_eq!(resumed.closed.totals.all_flows(), before);
            let stored: Vec<_> = (before > 0).then_some((1, before)).into_iter().collect();
            assert_eq!(resumed.closed.stored, stored);
            let again = resume(&cut, "core").unwrap();
            assert_eq!((again.was_open, again.closed.totals), (false, *totals));
        }
    }
}

#[test]
fn an_appendix_without_its_header_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (open, path) = (dir.path().join("open"), dir.path().join("closed"));
    write(&open, Compression::Lz4, false);
    write(&path, Compression::Lz4, true);
    let want = fs::read(&path).unwrap();
    // All on disk but the header: its writer died at that moment.
    let mut bytes = want.clone();
    bytes[..40].copy_from_slice(&fs::read(&open).unwrap()[..40]);
    bytes.extend_from_slice(b"what was there before");
    fs::write(&path, bytes).unwrap();
    assert_eq!(resume(&path, "core").unwrap().closed.blocks, 3);
    assert_eq!(fs::read(&path).unwrap(), want);
}

#[test]
fn a_damaged_block_costs_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("open");
    write(&path, Compression::Lz4, false);
    let at = FlowFile::open(&path).unwrap().blocks()[1].payload() as usize;
    let mut bytes = fs::read(&path).unwrap();
    bytes[at..at + 8].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let resumed = resume(&path, "core").unwrap();
    assert_eq!((resumed.unreadable_blocks, resumed.closed.totals.all_flows()), (1, 1 + 3));
    assert_eq!(*FlowFile::open(&path).unwrap().state(), FileState::Closed);
}
