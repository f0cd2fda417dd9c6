//! Flow files through the dataset and back, beside what the reader of flow files says.

use lake::LakeError;
use lake::dataset::{Dataset, Partition};
use lake::schema::metadata::About;
use lake::schema::{COLUMNS, Type, text};
use lake::write::{Event, Naming, Summary, WriteOptions, write_all};
use parquet::data_type::ByteArray;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field as Cell;
use record::{Addr, Exporter, Field, Flow, FlowSink as _, Kind, Meta, Row, Sampler};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use store::{BlockReader, FlowFile, Writer, WriterOptions};

const HOUR: u64 = 3_600_000;
/// 2026-04-10 12:00 UTC.
const NOON: u64 = 1_775_822_400_000;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn number(&mut self, width: u16) -> u64 {
        let all = self.roll(1 << 31) << 33 ^ self.roll(1 << 31) << 11 ^ self.roll(1 << 31);
        if width == 8 { all } else { all & ((1 << (8 * width)) - 1) }
    }
}

/// A flow of random fields, all kinds of values.
fn random(dice: &mut Dice, flow: &mut Flow) {
    flow.clear();
    let density = 1 + dice.roll(8);
    for field in Field::ALL.iter().copied().filter(|f| !f.is_derived()) {
        if dice.roll(8) >= density {
            continue;
        }
        match field.kind() {
            Kind::Addr if dice.roll(2) == 0 => {
                flow.set_addr(field, Addr::V4(dice.number(4) as u32))
            }
            Kind::Addr => {
                let n = u128::from(dice.number(8)) << 64 | u128::from(dice.number(8));
                flow.set_addr(field, Addr::V6(n));
            }
            Kind::Acl => {
                let octets: Vec<u8> = (0..12).map(|_| dice.number(1) as u8).collect();
                flow.set_bytes(field, &octets);
            }
            Kind::Text(_) | Kind::Bytes => {
                let len = dice.roll(20);
                let octets: Vec<u8> = (0..len).map(|_| dice.number(1) as u8).collect();
                flow.set_bytes(field, &octets);
            }
            Kind::Time => {
                flow.set(field, NOON + dice.roll(3 * HOUR));
            }
            kind => {
                flow.set(field, dice.number(kind.width().unwrap_or(1)));
            }
        }
    }
    flow.set(Field::ExporterId, dice.roll(4));
}

fn exporter(sysid: u32) -> Exporter {
    let addr = if sysid == 2 { Addr::V6(0x2001_0db8 << 96 | 7) } else { Addr::V4(0xC000_0201) };
    Exporter { sysid, version: 9, addr, id: 100 + sysid }
}

/// A flow file of `count` flows that `make` fills.
fn flow_file(path: &Path, count: u64, mut make: impl FnMut(u64, &mut Flow)) {
    let options =
        WriterOptions { ident: "border".into(), block_size: 1 << 16, ..Default::default() };
    let mut writer = Writer::create(path, &options).unwrap();
    let mut flow = Flow::new();
    for n in 0..count {
        make(n, &mut flow);
        writer.flow(&flow);
        // Told behind the first flows, as files may have it. 1 and 3 are one router.
        if n == 5.min(count - 1) {
            (1..=3).for_each(|sysid| writer.meta(Meta::Exporter(exporter(sysid))));
            writer.meta(Meta::Sampler(Sampler {
                exporter: 2,
                algorithm: 1,
                id: 5,
                packet_interval: 1,
                space_interval: 99,
            }));
        }
    }
    writer.close(&[]).unwrap();
}

/// Starts within minutes from noon, of one exporter.
fn plain(n: u64, flow: &mut Flow) {
    flow.clear();
    flow.set(Field::First, NOON + n * 7919 % 600_000);
    flow.set(Field::Last, NOON + 600_000);
    flow.set(Field::Packets, n);
    flow.set(Field::Bytes, 100 * n);
    flow.set(Field::Proto, 6);
    flow.set_addr(Field::SrcAddr, Addr::V4(n as u32));
    flow.set_addr(Field::DstAddr, Addr::V4(7));
    flow.set(Field::ExporterId, 1);
}

/// What a column has to say of a row: slow and obvious.
fn cell(row: Row<'_>, kind: Type, field: Option<Field>, ident: &str) -> Cell {
    let Some(field) = field else { return Cell::Str(ident.to_owned()) };
    let bytes = |b: &[u8]| Cell::Bytes(ByteArray::from(b.to_vec()));
    let value = match kind {
        Type::Int32 => row.u64(field).map(|n| Cell::Int(n as i32)),
        Type::Int64 => row.u64(field).map(|n| Cell::Long(n as i64)),
        Type::Timestamp => row.u64(field).map(|n| Cell::Long(n as i64 * 1_000_000)),
        Type::Addr16 => row.addr(field).map(|a| match a {
            Addr::V4(n) => bytes(&std::net::Ipv4Addr::from(n).to_ipv6_mapped().octets()),
            Addr::V6(n) => bytes(&n.to_be_bytes()),
        }),
        Type::Addr4 => row.addr(field).and_then(|a| match a {
            Addr::V4(n) => Some(Cell::Long(i64::from(n))),
            Addr::V6(_) => None,
        }),
        Type::AddrText => row.addr(field).map(|a| Cell::Str(a.to_string())),
        Type::Mac => row.u64(field).map(|n| bytes(&n.to_be_bytes()[2..])),
        Type::Acl | Type::Bytes => row.bytes(field).map(bytes),
        Type::Text => row.text(field).map(|t| Cell::Str(text::encode(t).into_owned())),
    };
    value.unwrap_or(Cell::Null)
}

/// A row as text, to be compared.
fn shown(cells: impl Iterator<Item = Cell>) -> String {
    let named = COLUMNS.iter().zip(cells).filter(|(_, c)| *c != Cell::Null);
    named.map(|(column, cell)| format!("{}={cell:?} ", column.name)).collect()
}

/// All rows of a flow file by partition, sorted.
fn wanted(path: &Path) -> BTreeMap<Partition, Vec<String>> {
    let (file, mut reader) = (FlowFile::open(path).unwrap(), BlockReader::new());
    let mut all = BTreeMap::new();
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(&file, n) else { continue };
        for row in block.rows.iter() {
            let sysid = row.number(Field::ExporterId) as u32;
            let exporter = (1..=3).contains(&sysid).then(|| exporter(sysid).addr);
            let partition = Partition::of(row.number(Field::First), exporter);
            let cells = COLUMNS.iter().map(|c| cell(row, c.kind, c.field, file.ident()));
            all.entry(partition).or_insert_with(Vec::new).push(shown(cells));
        }
    }
    all.values_mut().for_each(|rows| rows.sort());
    all
}

/// Parquet files below a directory.
fn parquet_files(root: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "parquet") {
                all.push(path);
            }
        }
    }
    all.sort();
    all
}

/// All rows of a dataset by partition, sorted. Their order in row groups is looked at.
fn found(root: &Path) -> BTreeMap<Partition, Vec<String>> {
    let mut all = BTreeMap::new();
    for path in parquet_files(root) {
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let partition = Partition::parse(&path).unwrap();
        let about = about(&path);
        let rows = all.entry(partition).or_insert_with(Vec::new);
        let mut count = 0;
        let start = COLUMNS.iter().position(|c| c.name == "flow_start").unwrap();
        for group in 0..reader.num_row_groups() {
            let mut last = i64::MIN;
            for row in reader.get_row_group(group).unwrap().get_row_iter(None).unwrap() {
                let row = row.unwrap();
                let cells: Vec<Cell> = row.get_column_iter().map(|(_, c)| c.clone()).collect();
                let at = if let Cell::Long(ns) = cells[start] { ns } else { i64::MIN };
                assert!(at >= last, "{}: out of order", path.display());
                last = at;
                rows.push(shown(cells.into_iter()));
                count += 1;
            }
        }
        assert_eq!(about.totals.rows, count);
    }
    all.values_mut().for_each(|rows| rows.sort());
    all
}

fn about(path: &Path) -> About {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let pairs = pairs.iter().map(|kv| (&*kv.key, kv.value.as_deref().unwrap()));
    About::from_pairs(pairs).unwrap()
}

fn write(root: &Path, files: &[PathBuf], options: &WriteOptions) -> (Summary, Vec<String>) {
    let dataset = Dataset::create(root).unwrap();
    let said = Mutex::new(Vec::new());
    let each = |_: &Path, event: &Event| match event {
        Event::Written { notes, .. } => said.lock().unwrap().extend(notes.iter().cloned()),
        Event::Failed(e) => said.lock().unwrap().push(e.to_string()),
        _ => {}
    };
    let stop = AtomicBool::new(false);
    let naming = Naming::default();
    let done = write_all(&dataset, files, (options, &naming), (2, &stop), &each).unwrap();
    let said = said.into_inner().unwrap();
    (done, said)
}

fn small() -> WriteOptions {
    WriteOptions { row_group: 2000, ..WriteOptions::default() }
}

#[test]
fn every_field_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("nfcapd.202604101200"), dir.path().join("lake"));
    let mut dice = Dice(7);
    flow_file(&source, 2000, |_, flow| random(&mut dice, flow));
    let options = WriteOptions { row_group: 100, ..small() };
    let (done, said) = write(&root, std::slice::from_ref(&source), &options);
    assert_eq!((done.written, done.rows, done.damaged), (1, 2000, 0));
    assert!(said.iter().any(|s| s.contains("no UTF-8")), "{said:?}");
    let (got, want) = (found(&root), wanted(&source));
    let counts = |all: &BTreeMap<Partition, Vec<String>>| -> Vec<(Partition, usize)> {
        all.iter().map(|(p, rows)| (*p, rows.len())).collect()
    };
    assert_eq!(counts(&got), counts(&want));
    assert!(want.len() >= 9, "hours and exporters: {}", want.len());
    for (partition, rows) in &want {
        for (got, want) in got[partition].iter().zip(rows) {
            assert_eq!(got, want, "{partition:?}");
        }
    }
}

#[test]
fn files_say_whose_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("nfcapd.202604101200"), dir.path().join("lake"));
    flow_file(&source, 100, |n, flow| {
        plain(n, flow);
        flow.set(Field::ExporterId, n % 4);
    });
    write(&root, std::slice::from_ref(&source), &small());
    let files = parquet_files(&root);
    assert_eq!(files.len(), 3);
    for path in files {
        let about = about(&path);
        assert_eq!(about.ident, "border");
        assert_eq!(about.source.name, source.canonicalize().unwrap().to_str().unwrap());
        let numbers: Vec<u32> = about.exporters.iter().map(|e| e.number).collect();
        let (want, rows): (&[u32], _) = match Partition::parse(&path).unwrap().exporter {
            Some(Addr::V4(_)) => (&[1, 3], 50),
            Some(Addr::V6(_)) => (&[2], 25),
            None => (&[], 25),
        };
        assert_eq!(numbers, want);
        assert_eq!(about.totals.rows, rows);
        assert_eq!(about.totals.flows.iter().sum::<u64>(), rows);
        assert_eq!(about.source_totals.unwrap().flows.iter().sum::<u64>(), 100);
        let samplers = about.exporters.iter().flat_map(|e| &e.samplers).count();
        assert_eq!(samplers, usize::from(want == [2]));
    }
}

#[test]
fn a_second_run_writes_what_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("nfcapd.202604101200"), dir.path().join("nfcapd.202604101205"));
    let root = dir.path().join("lake");
    flow_file(&a, 500, |n, flow| {
        plain(n, flow);
        flow.set(Field::First, NOON + n % 3 * HOUR);
    });
    flow_file(&b, 300, plain);
    let files = [a.clone(), b.clone()];
    assert_eq!(write(&root, &files, &small()).0.written, 2);
    assert_eq!(parquet_files(&root).len(), 4);
    let again = write(&root, &files, &small()).0;
    assert_eq!((again.written, again.current), (0, 2));
    // Fewer hours than before: what no longer arises goes.
    flow_file(&a, 400, plain);
    let again = write(&root, &files, &small()).0;
    assert_eq!((again.written, again.current), (1, 1));
    assert_eq!(parquet_files(&root).len(), 2);
    // A file that is gone, and one that was cut.
    fs::remove_file(&parquet_files(&root)[0]).unwrap();
    assert_eq!(write(&root, &files, &small()).0.written, 1);
    let cut = &parquet_files(&root)[1];
    File::options().write(true).open(cut).unwrap().set_len(100).unwrap();
    assert_eq!(write(&root, &files, &small()).0.written, 1);
    // Another form.
    let options = WriteOptions { has_text: false, ..small() };
    assert_eq!(write(&root, &files, &options).0.written, 2);
    assert!(found(&root).values().flatten().all(|row| !row.contains("_text=")));
    // Flow files that expire are not missed.
    fs::remove_file(&a).unwrap();
    write(&root, &[b], &options);
    assert_eq!(found(&root).values().map(Vec::len).sum::<usize>(), 700);
}

#[test]
fn what_a_crash_left_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("nfcapd.202604101200");
    let root = dir.path().join("lake");
    flow_file(&source, 500, |n, flow| {
        plain(n, flow);
        flow.set(Field::First, NOON + n % 3 * HOUR);
    });
    write(&root, std::slice::from_ref(&source), &small());
    let manifest = || {
        let sources = root.join("_flowlake/sources");
        let sub = fs::read_dir(sources).unwrap().next().unwrap().unwrap().path();
        fs::read_dir(sub).unwrap().next().unwrap().unwrap().path()
    };
    // Announced, and some files have their names already.
    let text = fs::read_to_string(manifest()).unwrap();
    fs::write(manifest(), text.replace("\"is_done\":true", "\"is_done\":false")).unwrap();
    let left = root.join("_flowlake/tmp").join(manifest().file_stem().unwrap());
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("0"), "half").unwrap();
    flow_file(&source, 400, plain);
    assert_eq!(write(&root, std::slice::from_ref(&source), &small()).0.written, 1);
    assert_eq!(found(&root), wanted(&source));
    assert!(!left.exists());
    // Of one whose source is gone.
    fs::create_dir_all(&left).unwrap();
    write(&root, &[], &small());
    assert!(!left.exists());
    // What is known of a source is damaged: that is told, and nothing is written twice.
    fs::write(manifest(), "{").unwrap();
    let (done, said) = write(&root, &[source], &small());
    assert_eq!((done.written, done.failed), (0, 1));
    assert!(said[0].contains("move it away"), "{said:?}");
}

#[test]
fn many_hours_take_several_readings() {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("nfcapd.202604101200"), dir.path().join("lake"));
    flow_file(&source, 3000, |n, flow| {
        plain(n, flow);
        flow.set(Field::First, NOON + n % 300 * HOUR);
    });
    // Memory for few rows at a time.
    let options = WriteOptions { memory: 100_000, ..small() };
    let (done, _) = write(&root, std::slice::from_ref(&source), &options);
    assert_eq!(done.rows, 3000);
    assert_eq!(parquet_files(&root).len(), 300);
    assert_eq!(found(&root), wanted(&source));
}

#[test]
fn two_writers_write_each_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    let files: Vec<PathBuf> = (0..6)
        .map(|n| {
            let path = dir.path().join(format!("nfcapd.20260410120{n}"));
            flow_file(&path, 200, plain);
            path
        })
        .collect();
    let sums: Vec<Summary> = std::thread::scope(|scope| {
        let work = || write(&root, &files, &small()).0;
        let threads = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(sums.iter().map(|s| s.written).sum::<u64>(), 6);
    assert_eq!(sums.iter().map(|s| s.current).sum::<u64>(), 12);
    assert_eq!(found(&root).values().map(Vec::len).sum::<usize>(), 1200);
}

#[test]
fn of_a_damaged_file_what_can_be_read_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("nfcapd.202604101200"), dir.path().join("lake"));
    flow_file(&source, 5000, plain);
    let len = source.metadata().unwrap().len();
    File::options().write(true).open(&source).unwrap().set_len(len * 2 / 3).unwrap();
    let (done, said) = write(&root, std::slice::from_ref(&source), &small());
    assert_eq!((done.written, done.damaged), (1, 1));
    assert!(!said.is_empty());
    let (got, want) = (found(&root), wanted(&source));
    assert_eq!(got, want);
    let rows: usize = want.values().map(Vec::len).sum();
    assert!(0 < rows && rows < 5000, "{rows}");
    let damage = about(&parquet_files(&root)[0]).damage.unwrap();
    assert!(damage.state.is_some());
    // Nothing of it at all: others are written all the same.
    File::options().write(true).open(&source).unwrap().set_len(10).unwrap();
    let other = dir.path().join("nfcapd.202604101205");
    flow_file(&other, 10, plain);
    let (done, said) = write(&root, &[source, other], &small());
    assert_eq!((done.written, done.failed), (1, 1));
    assert!(said[0].contains("not a flow file"), "{said:?}");
}

#[test]
fn directories_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("part-0.parquet"), "PAR1").unwrap();
    let refused = Dataset::create(dir.path());
    assert!(matches!(refused, Err(LakeError::NotADataset(_))), "{refused:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let later = tempfile::tempdir().unwrap();
    Dataset::create(later.path()).unwrap();
    let marker = later.path().join("_flowlake/dataset.json");
    fs::write(&marker, r#"{"format":"flowlake","schema":99}"#).unwrap();
    let refused = Dataset::create(later.path());
    assert!(matches!(refused, Err(LakeError::LaterVersion { version: 99, .. })), "{refused:?}");
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Dataset::open(empty.path()), Err(LakeError::NotADataset(_))));
    // Below a file there can be none.
    let below = dir.path().join("part-0.parquet/lake");
    assert!(matches!(Dataset::create(&below), Err(LakeError::Io { .. })));
}

#[test]
fn an_interrupted_run_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("nfcapd.202604101200"), dir.path().join("lake"));
    flow_file(&source, 500, plain);
    let dataset = Dataset::create(&root).unwrap();
    let stop = AtomicBool::new(true);
    let options = (&small(), &Naming::default());
    let done = write_all(&dataset, &[source], options, (1, &stop), &|_, _| {}).unwrap();
    assert!(done.interrupted);
    assert_eq!(done.written, 0);
    assert!(parquet_files(&root).is_empty());
}
