//! Files that are repaired, compressed again, or given another ident; and the side files of files.

#[path = "common/layout3.rs"]
mod make;

use make::{METHODS, Style};
use record::{Addr, Exporter, ExporterStats, Field, Flow, FlowSink, Meta, Sampler};
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};
use store::{
    BlockReader, Compression, FlowFile, MetaRecord, Packing, Recompressed, Repaired, StoreError,
    Writer, WriterOptions,
};

const PLAIN: Style = Style { method: Compression::None, sums: true };

fn flow(n: u64) -> Flow {
    let mut flow = Flow::new();
    flow.set(Field::First, 1_795_000_000_000 + n);
    flow.set(Field::Last, 1_795_000_000_500 + n);
    flow.set(Field::Bytes, n);
    flow.set(Field::ExporterId, 1);
    flow.set_addr(Field::SrcAddr, Addr::V4(n as u32));
    flow.set_addr(Field::DstAddr, Addr::V4(7));
    flow
}

/// A closed file of layout 2 with 5 blocks of 10 flows, an exporter, a sampler and statistics.
fn write(path: &Path, method: Compression) {
    let options = WriterOptions {
        compression: method.into(),
        ident: "lab".into(),
        created_secs: 1_795_000_000,
        ..WriterOptions::default()
    };
    let mut w = Writer::create(path, &options).unwrap();
    w.meta(Meta::Exporter(Exporter { sysid: 1, version: 9, addr: Addr::V4(5), id: 3 }));
    w.meta(Meta::Sampler(Sampler {
        exporter: 1,
        algorithm: 1,
        id: 4,
        packet_interval: 1,
        space_interval: 9,
    }));
    for n in 0..50 {
        if n % 10 == 0 && n > 0 {
            w.flush().unwrap();
        }
        w.flow(&flow(n));
    }
    w.close(&[ExporterStats { sysid: 1, sequence_failures: 2, packets: 3, flows: 50 }]).unwrap();
}

#[derive(Debug, PartialEq)]
struct Content {
    blocks: Vec<(Vec<u64>, Vec<MetaRecord>)>,
    ident: String,
    flows: u64,
    failures: u64,
    created: u64,
}

fn content(path: &Path) -> Content {
    let file = FlowFile::open(path).unwrap();
    let mut reader = BlockReader::new();
    let block = |n| {
        let b = reader.load(&file, n).unwrap();
        assert_eq!(b.damage(), None);
        (b.rows.iter().map(|r| r.number(Field::Bytes)).collect(), b.meta.to_vec())
    };
    let s = file.statistics().unwrap();
    Content {
        blocks: (0..file.blocks().len()).map(block).collect(),
        ident: file.ident().to_owned(),
        flows: s.flows,
        failures: s.totals.sequence_failures,
        created: file.header().created_secs,
    }
}

fn numbers(path: &Path) -> Vec<u64> {
    content(path).blocks.into_iter().flat_map(|b| b.0).collect()
}

/// What is left in a directory beside one file.
fn others(path: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p != path).collect()
}

/// The side files of a file.
fn side_files(path: &Path) -> Vec<PathBuf> {
    let name = format!("{}{}", store::side::PREFIX, path.file_name().unwrap().to_str().unwrap());
    let all = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(&name)).collect()
}

#[test]
fn recompressing_changes_nothing_but_the_compression() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nfcapd.202611181105");
    let when = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for from in METHODS {
        for to in METHODS {
            write(&path, from);
            let before = content(&path);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_times(FileTimes::new().set_modified(when))
                .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let inode = path.metadata().unwrap().ino();
            let done = store::recompress(&path, Packing::from(to), 3).unwrap();
            let meta = path.metadata().unwrap();
            // Another state of the file, for an index.
            let later = when + Duration::from_nanos(u64::from(from != to));
            match done {
                Recompressed::Already => assert_eq!((from, inode), (to, meta.ino())),
                Recompressed::Done { after, .. } => {
                    assert_ne!((from, inode), (to, meta.ino()));
                    assert_eq!(after, meta.len());
                }
            }
            assert_eq!(content(&path), before, "{from} to {to}");
            assert_eq!(FlowFile::open(&path).unwrap().header().compression, to);
            assert_eq!((meta.mode() & 0o777, meta.modified().unwrap()), (0o640, later));
            assert!(store::verify::verify(&path).unwrap().is_sound());
            assert!(others(&path).is_empty());
        }
    }
}

#[test]
fn other_layouts_are_converted_and_unsettled_files_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nfcapd.202611181105");
    fs::write(&path, make::plain(PLAIN, 3)).unwrap();
    store::recompress(&path, Packing::from(Compression::Zstd), 1).unwrap();
    let got = content(&path);
    assert_eq!(FlowFile::open(&path).unwrap().layout(), 2);
    assert_eq!(numbers(&path), (0..30).collect::<Vec<_>>());
    assert_eq!((&*got.ident, got.flows, got.created), ("source", 30, 1_795_000_000));
    assert_eq!(store::list_exporters(&path).unwrap()[0].stats.packets, 5);

    let is_refused =
        |r: Result<Recompressed, StoreError>| matches!(r, Err(StoreError::Refused { .. }));
    let current = dir.path().join("nfcapd.current.5");
    fs::copy(&path, &current).unwrap();
    assert!(is_refused(store::recompress(&current, Packing::default(), 1)));
    let mut octets = fs::read(&path).unwrap();
    octets[18..40].fill(0); // never closed
    fs::write(&path, &octets).unwrap();
    assert!(is_refused(store::recompress(&path, Packing::default(), 1)));
    assert_eq!(fs::read(&path).unwrap(), octets);
    assert!(matches!(store::set_ident(&path, "x"), Err(StoreError::Refused { .. })));
}

#[test]
fn a_damaged_block_stops_recompressing_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write(&path, Compression::Zstd);
    let mut octets = fs::read(&path).unwrap();
    let second = FlowFile::open(&path).unwrap().blocks()[1].payload() as usize;
    octets[second..second + 8].fill(0xFF);
    fs::write(&path, &octets).unwrap();
    let e = store::recompress(&path, Packing::from(Compression::Lz4), 2).unwrap_err();
    assert!(e.to_string().contains("block 1"), "{e}");
    assert_eq!(fs::read(&path).unwrap(), octets);
    assert!(others(&path).is_empty());
}

#[test]
fn idents_of_all_lengths_are_set() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    for layout in [2, 3] {
        for method in METHODS {
            match layout {
                2 => write(&path, method),
                _ => fs::write(&path, make::plain(Style { method, sums: true }, 5)).unwrap(),
            }
            let before = content(&path);
            for ident in ["a".repeat(121), "b".into(), "router-1".into()] {
                store::set_ident(&path, &ident).unwrap();
                assert_eq!(content(&path), Content { ident: ident.clone(), ..content(&path) });
                assert_eq!(content(&path).ident, ident);
                assert_eq!(content(&path).blocks, before.blocks, "layout {layout} {method}");
                assert_eq!(content(&path).flows, 50);
                assert!(store::verify::verify(&path).unwrap().is_sound());
            }
        }
    }
    for (ident, why) in
        [("", "empty"), ("a b", "blanks"), ("a\tb", "blanks"), (&*"x".repeat(122), "121 octets")]
    {
        let e = store::set_ident(&path, ident).unwrap_err();
        assert!(e.to_string().contains(why), "{e}");
    }
    assert_eq!(content(&path).ident, "router-1");
}

#[test]
fn repaired_files_are_sound_and_have_all_that_can_be_saved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nfcapd.202611181105");
    for method in METHODS {
        write(&path, method);
        assert_eq!(store::repair(&path).unwrap(), Repaired::Sound);
        let whole = fs::read(&path).unwrap();
        let third = FlowFile::open(&path).unwrap().blocks()[2];
        // Cut in the third block; and the header says that it was never closed.
        for is_closed in [true, false] {
            let mut octets = whole[..third.end() as usize - 1].to_vec();
            if !is_closed {
                octets[18..40].fill(0);
                octets[20] = 1;
            }
            fs::write(&path, &octets).unwrap();
            let Repaired::Rewritten { original, blocks_saved, flows_saved, .. } =
                store::repair(&path).unwrap()
            else {
                panic!("{method}: damage was not seen");
            };
            assert_eq!((blocks_saved, flows_saved), (2, 20), "{method}");
            assert_eq!(numbers(&path), (0..20).collect::<Vec<_>>());
            assert_eq!(fs::read(original.unwrap()).unwrap(), octets);
            assert!(store::verify::verify(&path).unwrap().is_sound());
            assert_eq!(store::repair(&path).unwrap(), Repaired::Sound);
        }
    }
    assert_eq!(side_files(&path).len(), 2 * METHODS.len());
}

#[test]
fn a_damaged_block_of_layout_3_costs_itself_and_no_original_is_kept_if_not_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut octets = make::plain(PLAIN, 3);
    fs::write(&path, &octets).unwrap();
    let second = FlowFile::open(&path).unwrap().blocks()[1].payload() as usize;
    octets[second + 40] ^= 1;
    fs::write(&path, &octets).unwrap();
    let options = store::RepairOptions { keeps_original: false, ..Default::default() };
    let Repaired::Rewritten { original, blocks_saved, blocks_lost, flows_lost, .. } =
        store::repair_with(&path, &options).unwrap()
    else {
        panic!("damage was not seen");
    };
    assert_eq!((original, blocks_saved, blocks_lost, flows_lost), (None, 3, 1, Some(10)));
    assert_eq!(numbers(&path), (0..10).chain(20..30).collect::<Vec<_>>());
    assert!(others(&path).is_empty());
}

#[test]
fn a_file_is_not_repaired_while_its_collector_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nfcapd.202611181105");
    write(&path, Compression::None);
    let mut octets = fs::read(&path).unwrap();
    octets[18..40].fill(0);
    octets[20] = 1;
    fs::remove_file(&path).unwrap();
    // No system has as many processes as the last number says.
    for (pid, is_refused) in [(std::process::id(), true), (2_000_000_000, false)] {
        let path = dir.path().join(format!("nfcapd.current.{pid}.1795000200.0"));
        fs::write(&path, &octets).unwrap();
        let link = dir.path().join(format!("link{pid}"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for name in [&link, &path] {
            match store::repair(name) {
                Err(StoreError::Refused { why, .. }) => {
                    assert!(is_refused && why.contains("a collector is writing it"), "{why}");
                    assert_eq!(fs::read(&path).unwrap(), octets);
                }
                done => assert!(!is_refused, "{done:?}"),
            }
        }
    }
}

#[test]
fn read_only_files_are_changed_by_their_owner_and_stay_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write(&path, Compression::None);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    store::set_ident(&path, "other").unwrap();
    store::recompress(&path, Packing::from(Compression::Lz4), 1).unwrap();
    assert_eq!(content(&path).ident, "other");
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o444);
}

#[test]
fn a_file_without_an_appendix_stays_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write(&path, Compression::None);
    let mut octets = fs::read(&path).unwrap();
    let end = u64::from_le_bytes(octets[24..32].try_into().unwrap()) as usize;
    octets[18..20].fill(0);
    octets[24..32].fill(0);
    octets.truncate(end);
    fs::write(&path, octets).unwrap();
    store::recompress(&path, Packing::from(Compression::Lz4), 1).unwrap();
    let file = FlowFile::open(&path).unwrap();
    assert_eq!(*file.state(), store::FileState::Closed);
    assert_eq!((file.header().appendix, file.header().appendix_blocks), (0, 0));
    assert_eq!(store::verify::verify(&path).unwrap().flows, 50);
}

#[test]
fn what_layout_2_has_no_place_for_keeps_files_from_being_converted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let flows = |extensions: &[(u32, Vec<u8>)], exporter| {
        (1, make::flows(&[make::record(exporter, 0, extensions), make::record(1, 0, extensions)]))
    };
    let plain = [make::generic(1), make::v4(1)];
    let strange = [make::generic(1), (55, vec![1; 8])];
    let array = |kind: u8| (2, vec![2, 0, 0, 0, 4, 0, kind, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (blocks, want) in [
        (vec![flows(&plain, 70_000)], "1 flows with a value"),
        (vec![flows(&strange, 1)], "2 elements"),
        (vec![make::exporters(70_000)], "2 exporters"),
        (vec![(6, b"a message".to_vec())], "1 blocks"),
        (vec![array(1)], "2 records"),
        (vec![make::ident(&"i".repeat(125))], "1 ident"),
        (vec![make::exporters(3), array(13), (5, vec![1; 8])], ""),
    ] {
        let all = [vec![flows(&plain, 1)], blocks].concat();
        let whole = make::file(PLAIN, &all);
        fs::write(&path, &whole).unwrap();
        let done = store::recompress(&path, Packing::default(), 1);
        if want.is_empty() {
            done.unwrap();
            assert_eq!(FlowFile::open(&path).unwrap().layout(), 2);
            continue;
        }
        let e = done.unwrap_err();
        assert!(matches!(e, StoreError::NotKept { .. }), "{want}: {e}");
        assert!(e.to_string().contains(want), "{want}: {e}");
        assert_eq!(fs::read(&path).unwrap(), whole, "{want}");
        assert!(others(&path).is_empty());
        // Repaired, the file is one of layout 2 all the same, and what is missing is told.
        fs::write(&path, &whole[..whole.len() - 56]).unwrap();
        let options = store::RepairOptions { keeps_original: false, ..Default::default() };
        let Repaired::Rewritten { not_kept, .. } = store::repair_with(&path, &options).unwrap()
        else {
            panic!("{want}: damage was not seen");
        };
        assert!(not_kept.to_string().contains(want), "{want}: {not_kept}");
    }
}

#[test]
fn a_block_that_grows_beyond_the_limit_is_not_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut x = 1u64;
    let mut random = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    let size = 5u32 << 20;
    let mut octets = vec![0; 40];
    octets[..4].copy_from_slice(&[0x0C, 0xA5, 2, 0]);
    octets[36] = 1;
    octets.extend(1u32.to_le_bytes());
    octets.extend(size.to_le_bytes());
    octets.extend([3, 0, 0, 0]);
    octets.extend((0..size).map(|_| random()));
    fs::write(&path, &octets).unwrap();
    let e = store::recompress(&path, Packing::from(Compression::Lz4), 1).unwrap_err();
    assert!(e.to_string().contains("longer than 5 MiB"), "{e}");
    assert_eq!(fs::read(&path).unwrap(), octets);
}

fn run(program: &str, args: &[&str]) -> Option<String> {
    let out = match Command::new(program).args(args).env("TZ", "UTC").output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {program} is not installed");
            return None;
        }
        out => out.unwrap(),
    };
    let text = [out.stdout, out.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// What other programs that walk directories of flow files make of the one with side files.
#[test]
fn others_do_not_trip_over_side_files() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    fs::create_dir(&base).unwrap();
    let root = base.to_str().unwrap();
    let files = ["202611181105", "202611181110"].map(|n| base.join(format!("nfcapd.{n}")));
    files.iter().for_each(|f| write(f, Compression::Lz4));
    let ask = || {
        Some([
            run("nfdump", &["-R", root, "-I"])?,
            run("nfdump", &["-M", root, "-R", ".", "-q", "-o", "csv"])?,
            run("nfdump", &["-R", root, "-q", "-o", "csv", "-A", "srcip"])?,
            run("nfexpire", &["-r", root])?,
            run("nfexpire", &["-l", root])?,
        ])
    };
    let Some(before) = ask() else { return };
    assert!(before[0].contains("Flows: 100"), "{}", before[0]);
    for f in &files {
        fs::write(store::side::path(f, "damaged"), [7; 100_000]).unwrap();
        fs::write(store::side::path(f, "damaged.1"), b"").unwrap();
    }
    let after = ask().unwrap();
    for (a, b) in before.iter().zip(&after) {
        assert_eq!(a, b);
    }
    // All files are too old, and go; side files do not, nor does anything fail over them.
    run("nfexpire", &["-e", root, "-t", "1H"]).unwrap();
    run("nfexpire", &["-u", root]).unwrap();
    for f in &files {
        assert_eq!(side_files(f).len(), 2);
    }
    assert!(fs::read_dir(&base).unwrap().count() >= 1);
}
