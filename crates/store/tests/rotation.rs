//! Files get their names, meet others that have them already, and are found again.

use record::{Addr, Exporter, ExporterStats, Field, Flow, FlowSink, Meta, Sampler};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use store::rotate::{Published, publish};
use store::select::{Input, files};
use store::{BlockReader, Compression, FileState, FlowFile, MetaRecord, Writer, WriterOptions};

fn exporter(sysid: u32, ip: u32) -> Exporter {
    Exporter { sysid, version: 9, addr: Addr::V4(ip), id: 0 }
}

/// A file with one flow from each exporter, whose bytes are the exporter's address.
fn write(path: &Path, ident: &str, method: Compression, exporters: &[Exporter]) {
    let options = WriterOptions {
        compression: method.into(),
        ident: ident.into(),
        created_secs: 1_795_000_000,
        ..WriterOptions::default()
    };
    let mut writer = Writer::create(path, &options).unwrap();
    let mut stats = Vec::new();
    for e in exporters {
        writer.meta(Meta::Exporter(*e));
        writer.meta(Meta::Sampler(Sampler {
            exporter: e.sysid,
            algorithm: 1,
            id: -1,
            packet_interval: 1,
            space_interval: 9,
        }));
        let mut flow = Flow::new();
        let Addr::V4(ip) = e.addr else { unreachable!() };
        for (field, value) in [
            (Field::ExporterId, u64::from(e.sysid)),
            (Field::SelectorId, 5),
            (Field::Bytes, u64::from(ip)),
            (Field::First, 1000 + u64::from(ip)),
            (Field::Last, 2000 + u64::from(ip)),
        ] {
            flow.set(field, value);
        }
        writer.flow(&flow);
        stats.push(ExporterStats { sysid: e.sysid, sequence_failures: 1, packets: 2, flows: 3 });
    }
    writer.close(&stats).unwrap();
}

#[test]
fn a_second_file_of_a_slot_is_merged_and_exporters_stay_apart() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = dir.path().join("nfcapd.current.1");
    let target = dir.path().join("2026/nfcapd.202611181105");
    let put = |ident, method, exporters: &[Exporter]| {
        write(&temporary, ident, method, exporters);
        publish(&temporary, dir.path(), Path::new("2026"), "nfcapd.202611181105").unwrap()
    };
    let first = put("first", Compression::Lz4, &[exporter(1, 11), exporter(2, 22)]);
    assert_eq!(first, Published::Renamed(target.clone()));
    // After a restart 1 is somebody else, 2 is who was 1, and 7 is new.
    let again = [exporter(1, 33), exporter(2, 11), exporter(7, 77)];
    let second = put("second", Compression::None, &again);
    assert_eq!(second, Published::Merged(target.clone()));

    let file = FlowFile::open(&target).unwrap();
    assert_eq!(*file.state(), FileState::Closed);
    assert_eq!((file.ident(), file.header().compression), ("first", Compression::Lz4));
    let totals = file.totals().unwrap();
    assert_eq!((totals.all_flows(), totals.all_bytes()), (5, 11 + 22 + 33 + 11 + 77));
    assert_eq!((totals.window(), totals.sequence_failures), (Some((1011, 2077)), 5));
    let (mut who, mut samplers, mut stats) = (BTreeMap::new(), 0, Vec::new());
    let mut flows = Vec::new();
    let mut reader = BlockReader::new();
    for n in 0..file.blocks().len() {
        let block = reader.load(&file, n).unwrap();
        for m in block.meta {
            match m {
                MetaRecord::Exporter(e) => {
                    let Addr::V4(ip) = e.addr else { unreachable!() };
                    assert!(
                        who.insert(u64::from(e.sysid), u64::from(ip))
                            .is_none_or(|o| o == u64::from(ip))
                    );
                }
                MetaRecord::Sampler(_) => samplers += 1,
                MetaRecord::Stats(all) => stats.extend_from_slice(all),
                _ => {}
            }
        }
        for row in block.rows.iter() {
            let raw = row.as_bytes();
            // Extension 18 repeats the number.
            let at = raw.windows(4).position(|w| w == [18, 0, 20, 0]).unwrap() + 12;
            assert_eq!(u64::from(raw[at]), row.number(Field::ExporterId));
            flows.push((row.number(Field::ExporterId), row.number(Field::Bytes)));
        }
    }
    assert_eq!(flows.len(), 5);
    assert!(flows.iter().all(|(sysid, ip)| who[sysid] == *ip), "{flows:?} {who:?}");
    assert_eq!(who.len(), 4);
    assert_eq!(samplers, 5);
    // Exporter 11 was there both times.
    let of_11 = stats.iter().find(|s| who[&u64::from(s.sysid)] == 11).unwrap();
    assert_eq!((stats.len(), of_11.packets, of_11.flows), (4, 4, 6));
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["2026"], "temporary files are left over");
}

#[test]
fn files_that_want_one_name_at_once_are_all_kept() {
    const COLLECTORS: u32 = 8;
    let dir = tempfile::tempdir().unwrap();
    let together = Barrier::new(COLLECTORS as usize);
    let publish_one = &|n: u32| {
        let temporary = dir.path().join(format!("nfcapd.current.{n}"));
        write(&temporary, "x", Compression::None, &[exporter(1, n)]);
        together.wait();
        publish(&temporary, dir.path(), Path::new("sub"), "name").unwrap()
    };
    let published: Vec<_> = thread::scope(|s| {
        let threads: Vec<_> = (1..=COLLECTORS).map(|n| s.spawn(move || publish_one(n))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let first = published.iter().filter(|p| matches!(p, Published::Renamed(_))).count();
    assert_eq!(first, 1, "{published:?}");
    let file = FlowFile::open(dir.path().join("sub/name")).unwrap();
    let totals = file.totals().unwrap();
    let want = (u64::from(COLLECTORS), (1..=u64::from(COLLECTORS)).sum());
    assert_eq!((totals.all_flows(), totals.all_bytes()), want);
}

#[test]
fn a_file_that_has_its_name_already_is_not_merged_with_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (temporary, target) = (dir.path().join("nfcapd.current.1"), dir.path().join("name"));
    write(&temporary, "x", Compression::None, &[exporter(1, 11)]);
    // What a crash leaves between the new name and the end of the old one.
    fs::hard_link(&temporary, &target).unwrap();
    let published = publish(&temporary, dir.path(), Path::new(""), "name").unwrap();
    assert_eq!(published, Published::Renamed(target.clone()));
    assert!(!temporary.exists());
    assert_eq!(FlowFile::open(&target).unwrap().totals().unwrap().all_flows(), 1);
}

#[test]
fn what_cannot_be_merged_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = dir.path().join("nfcapd.current.1");
    fs::write(dir.path().join("name"), b"not a flow file").unwrap();
    write(&temporary, "x", Compression::None, &[exporter(1, 1)]);
    assert!(publish(&temporary, dir.path(), Path::new(""), "name").is_err());
    assert!(temporary.exists());
    assert_eq!(fs::read(dir.path().join("name")).unwrap(), b"not a flow file");
}

/// Five-minute files of three hours around midnight in a tree of layout `-S 2`, and what does not
/// belong to them.
fn tree() -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (day, hour) in [(18, 22), (18, 23), (19, 0)] {
        for minute in [0, 5, 55] {
            all.push(format!("2026/11/{day}/{hour:02}/nfcapd.202611{day}{hour:02}{minute:02}"));
        }
    }
    let others =
        [".nfstat", "nfcapd.current.77", "2026/11/18/22/.hidden", "2026/nfpcapd.x", ".git/x"];
    for name in all.iter().map(String::as_str).chain(others) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    (dir, all)
}

fn relative(dir: &Path, found: Vec<PathBuf>) -> Vec<String> {
    found.iter().map(|p| p.strip_prefix(dir).unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn ranges_run_across_directories() {
    let (dir, all) = tree();
    let base = dir.path().to_str().unwrap();
    let at = |n: usize| format!("{base}/{}", all[n]);
    let name = |n: usize| all[n].rsplit('/').next().unwrap();
    for (what, argument, want) in [
        ("all", base.to_owned(), 0..9),
        ("a day", format!("{base}/2026/11/18"), 0..6),
        ("from on, this directory", at(4), 4..6),
        ("in one directory", format!("{}:{}", at(3), name(4)), 3..5),
        ("bare name elsewhere", format!("{}:{}", at(1), name(7)), 1..8),
        ("path elsewhere", format!("{}:2026/11/19/00/{}", at(2), name(6)), 2..7),
        ("some directories", format!("{}:19/00/{}", at(2), name(6)), 2..7),
        ("end not there", format!("{}:nfcapd.202611182330", at(1)), 1..5),
        ("end before start", format!("{}:{}", at(5), name(1)), 5..5),
    ] {
        let input = Input { range: Some(&argument), ..Input::default() };
        let got = relative(dir.path(), files(&input).unwrap());
        assert_eq!(got, all[want], "{what}: -R {argument}");
    }
    let input = Input { read: Some(base), ..Input::default() };
    assert_eq!(relative(dir.path(), files(&input).unwrap()), all);
    let input = Input { read: Some(&at(3)), ..Input::default() };
    assert_eq!(relative(dir.path(), files(&input).unwrap()), all[3..4]);
    // By name, a file that is being written may be read.
    let current = format!("{base}/nfcapd.current.77");
    let input = Input { read: Some(&current), ..Input::default() };
    assert_eq!(files(&input).unwrap().len(), 1);
}

#[test]
fn several_sources_give_the_same_names() {
    let dir = tempfile::tempdir().unwrap();
    let files_there = [
        "a/nfcapd.202611181105",
        "a/nfcapd.202611181110",
        "b/2026/11/18/nfcapd.202611181105",
        "b/2026/11/18/nfcapd.202611181110",
        "c/nfcapd.202611181110",
    ];
    for name in files_there {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    let base = dir.path().to_str().unwrap();
    let (list, every) = (format!("{base}/a:b:c"), format!("{base}@"));
    let one = "nfcapd.202611181105";
    let range = "nfcapd.202611181105:nfcapd.202611181110";
    for (sources, read, by_range, want) in [
        (&list, Some(one), None, &[0, 2][..]),
        (&every, Some(one), None, &[0, 2]),
        (&list, None, Some("."), &[0, 1, 2, 3, 4]),
        (&every, None, Some(range), &[0, 1, 2, 3]),
    ] {
        let input = Input { sources: Some(sources), read, range: by_range };
        let got: Vec<PathBuf> =
            files(&input).unwrap().iter().map(|p| p.components().collect()).collect();
        let want: Vec<PathBuf> =
            want.iter().map(|n: &usize| dir.path().join(files_there[*n])).collect();
        assert_eq!(got, want, "{input:?}");
    }
}

#[test]
fn contradictions_and_missing_files_are_errors() {
    let (dir, all) = tree();
    let base = dir.path().to_str().unwrap();
    let missing = format!("{base}/none");
    let (first, absolute) = (format!("{base}/{}", all[0]), format!("{base}/{}:/x", all[0]));
    let (both, list) = (format!("{base}/a:b@"), format!("{base}/2026"));
    let from_dir = format!("{base}:x");
    let none = Input::default();
    for (input, what) in [
        (Input { read: Some(&missing), ..none }, "cannot read"),
        (Input { range: Some(&missing), ..none }, "cannot read"),
        (Input { read: Some(&first), range: Some(&first), ..none }, "exclude each other"),
        (Input { sources: Some(&list), ..none }, "-M needs"),
        (Input { sources: Some(&list), read: Some("/x"), ..none }, "relative"),
        (Input { sources: Some(&list), read: Some("x"), ..none }, "cannot read"),
        (Input { sources: Some(&both), read: Some("x"), ..none }, "not both"),
        (Input { range: Some(&absolute), ..none }, "relative"),
        (Input { range: Some(&from_dir), ..none }, "has to be a file"),
    ] {
        let text = files(&input).unwrap_err().to_string();
        assert!(text.contains(what), "{input:?}: {text}");
    }
    assert!(files(&none).unwrap().is_empty());
}

#[test]
fn links_that_lead_back_end_the_walk() {
    let (dir, all) = tree();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("2026/11/loop")).unwrap();
    let base = dir.path().to_str().unwrap();
    let input = Input { range: Some(base), ..Input::default() };
    assert_eq!(relative(dir.path(), files(&input).unwrap()), all);
}
