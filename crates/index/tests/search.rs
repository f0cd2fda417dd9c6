//! Whatever is asked, no row that passes is in a block that an index leaves out; and what is in no
//! row is not read for.

use filter::{Context, Filter};
use index::{Index, State, Surveys, Wanted, check, make};
use record::{Addr, Field, Flow, FlowSink, Meta, Selection};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::rotate::Published;
use store::{BlockReader, Closed, FlowFile, Pool, ReadOptions, Survey as _, Writer, WriterOptions};

/// Deterministic, and as random as it has to be.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 29)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

const T0: u64 = 1_795_168_800_000; // 2026-11-20T10:00:00Z
const NAME: &str = "nfcapd.202611201000";

/// Hosts of a block: each block has its own, so that some can be told from others.
fn host(block: u64, n: u64) -> Addr {
    match n % 4 {
        0 => Addr::V6(u128::from(0x2001_0db8_0000_0000 + (block << 16)) << 64 | u128::from(n)),
        _ => Addr::V4((10 << 24 | block << 12 | n) as u32),
    }
}

fn flow(r: &mut Random, block: u64, n: u64) -> Flow {
    let mut flow = Flow::new();
    let first = T0 + block * 10_000 + r.below(5_000);
    let (source, destination) = (host(block, r.below(300)), host(block, r.below(300)));
    flow.set_addr(Field::SrcAddr, source);
    flow.set_addr(
        Field::DstAddr,
        match source.width() == destination.width() {
            true => destination,
            false => source,
        },
    );
    for (field, n) in [
        (Field::First, first),
        (Field::Last, first + r.below(3000)),
        (Field::Packets, 1 + r.below(100)),
        (Field::Bytes, 40 + r.below(1000 * (1 + block))),
        (Field::SrcPort, 1024 + r.below(5000) + 100 * block),
        (Field::DstPort, [53, 80, 443][r.below(3) as usize]),
        (Field::Proto, [6, 17, 1][r.below(3) as usize]),
        (Field::Input, block),
        (Field::SrcAs, 64_500 + block),
        (Field::DstAs, 0),
    ] {
        flow.set(field, n);
    }
    if block == 3 && n.is_multiple_of(5) {
        flow.set_addr(Field::XlateSrcAddr, Addr::V4(0xcb00_7100 + (n % 3) as u32));
        flow.set_addr(Field::XlateDstAddr, Addr::V4(0xc633_6401));
        flow.set(Field::XlateSrcPort, 2000 + n);
        flow.set(Field::XlateDstPort, 443);
    }
    if block == 5 {
        flow.set_addr(Field::NextHop, Addr::V4(0xc000_0201));
    }
    flow
}

/// A file of so many blocks. Each has more rows than a stretch needs, or only together.
fn write(dir: &Path, blocks: u64, rows: u64) -> PathBuf {
    let path = dir.join(NAME);
    let options = WriterOptions { created_secs: T0 / 1000, ..WriterOptions::default() };
    let mut writer = Writer::create(&path, &options).expect("create");
    let r = &mut Random(blocks * 1000 + rows);
    let addr = Addr::V4(0x7f00_0001);
    writer.meta(Meta::Exporter(record::Exporter { sysid: 1, version: 9, id: 0, addr }));
    for block in 0..blocks {
        for n in 0..rows {
            writer.flow(&flow(r, block, n));
        }
        writer.flush().expect("write");
    }
    writer.close(&[]).expect("close");
    path
}

/// Numbers of blocks with rows that pass.
fn passing(path: &Path, filter: &Filter) -> BTreeSet<u32> {
    let file = FlowFile::open(path).expect("open");
    let (mut reader, mut evaluator) = (BlockReader::new(), filter.evaluator());
    let mut selected = Selection::default();
    let has = |n: &usize| {
        let block = reader.load(&file, *n).expect("block");
        evaluator.select(&block.rows, &Context::default(), &mut selected);
        selected.count() > 0
    };
    (0..file.blocks().len()).filter(has).map(|n| n as u32).collect()
}

/// Rows of all blocks but these.
fn rows_of(path: &Path, but: &[u32]) -> u64 {
    let (file, mut reader) = (FlowFile::open(path).expect("open"), BlockReader::new());
    let others = (0..file.blocks().len()).filter(|n| !but.contains(&(*n as u32)));
    others.map(|n| reader.load(&file, n).expect("block").rows.len() as u64).sum()
}

fn index(base: &Path, path: &Path) {
    make(base, path, &ReadOptions::default(), &mut BlockReader::new()).expect("index");
}

fn wanted(path: &Path, filter: &Filter) -> Option<Wanted> {
    let entry = Index::new().of(path)?;
    Some(entry.wanted(std::slice::from_ref(filter)))
}

fn parse(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// What may be asked, about hosts that are there and others.
fn question(r: &mut Random) -> String {
    let host = |r: &mut Random| match r.below(4) {
        0 => "203.0.113.1".to_owned(),
        1 => "192.0.2.1".to_owned(),
        _ => std::net::IpAddr::from(host(r.below(9), r.below(400))).to_string(),
    };
    let role =
        |r: &mut Random| ["", "src ", "dst ", "nat ", "src nat ", "next "][r.below(6) as usize];
    match r.below(14) {
        0..4 => format!("{}ip {}", role(r), host(r)),
        4 => format!("net 10.{}.{}.0/24", r.below(2), r.below(256)),
        5 => format!("src net 2001:db8:{}::/48", r.below(3)),
        6 => format!("port {}", r.below(7000)),
        7 => format!("src port > {} and proto {}", r.below(7000), r.below(20)),
        8 => format!("bytes > {} or in if {}", r.below(12_000), r.below(12)),
        9 => format!("src as {} and packets < {}", 64_490 + r.below(20), r.below(20)),
        10 => {
            format!("src nat ip 203.0.113.{} and src nat port {}", r.below(4), 1995 + r.below(60))
        }
        11 => format!("not (ip {})", host(r)),
        12 => format!("ip in [{}, {}] and ipv4", host(r), host(r)),
        _ => format!("last seen < '2026-11-20T10:00:{:02}'", r.below(60)),
    }
}

#[test]
fn no_row_that_passes_is_left_out() {
    // Stretches of one block each, of several, and one of all.
    for (blocks, rows) in [(6, 33_000), (9, 9000), (8, 400)] {
        let dir = tempfile::tempdir().expect("scratch");
        let path = write(dir.path(), blocks, rows);
        assert_eq!(Index::new().of(&path).map(|_| ()), None);
        index(dir.path(), &path);
        let entry = Index::new().of(&path).expect("entry");
        let all = FlowFile::open(&path).expect("open").blocks().len() as u32;
        assert_eq!((entry.rows(), entry.blocks()), (blocks * rows, all));
        let r = &mut Random(rows);
        let (mut nothing, mut some, mut needless) = (0, 0, 0);
        for _ in 0..if rows > 10_000 { 60 } else { 300 } {
            let text = question(r);
            let filter = parse(&text);
            let with_rows = passing(&path, &filter);
            let read: BTreeSet<u32> = match wanted(&path, &filter).expect("entry") {
                Wanted::Nothing => BTreeSet::new(),
                Wanted::Some { blocks, rows_left_out } => {
                    assert_eq!(rows_left_out, rows_of(&path, &blocks), "{text}");
                    blocks.into_iter().collect()
                }
                Wanted::All => (0..all).collect(),
            };
            assert!(read.is_superset(&with_rows), "{text}: {read:?} of {with_rows:?}");
            assert!(read.is_empty() || read.contains(&0), "{text}: exporters are not read");
            nothing += usize::from(read.is_empty());
            some += usize::from(!read.is_empty() && read.len() < all as usize);
            needless += usize::from(with_rows.is_empty() && !read.is_empty());
        }
        assert!(nothing > 10 && needless < 40, "{blocks}x{rows}: {nothing} {some} {needless}");
        assert!(some > 5 || rows == 400, "{blocks}x{rows}: {some}");
    }
}

#[test]
fn an_index_of_another_state_of_the_file_says_nothing() {
    let dir = tempfile::tempdir().expect("scratch");
    let path = write(dir.path(), 2, 300);
    index(dir.path(), &path);
    let filter = parse("ip 203.0.113.77");
    assert_eq!(wanted(&path, &filter), Some(Wanted::Nothing));
    // The same octets, written later.
    let octets = fs::read(&path).expect("read");
    fs::write(&path, &octets).expect("write");
    assert_eq!(wanted(&path, &filter), None);
    index(dir.path(), &path);
    assert_eq!(wanted(&path, &filter), Some(Wanted::Nothing));
    // Another length, the same time.
    let modified = path.metadata().and_then(|m| m.modified()).expect("time");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("open");
    file.set_len(octets.len() as u64 + 1).expect("length");
    file.set_modified(modified).expect("time");
    assert_eq!(wanted(&path, &filter), None);
}

#[test]
fn files_below_the_directory_of_the_index_are_found() {
    let dir = tempfile::tempdir().expect("scratch");
    let below = dir.path().join("2026/11/20/10");
    fs::create_dir_all(&below).expect("directory");
    let path = write(&below, 2, 300);
    index(dir.path(), &path);
    assert_eq!(wanted(&path, &parse("ip 203.0.113.77")), Some(Wanted::Nothing));
    assert_eq!(fs::read_dir(&below).expect("list").count(), 1);
}

#[test]
fn what_cannot_be_known_is_refused() {
    let dir = tempfile::tempdir().expect("scratch");
    let path = write(dir.path(), 2, 300);
    let other = dir.path().join("flows");
    fs::copy(&path, &other).expect("copy");
    let made = |path: &Path| {
        let made = make(dir.path(), path, &ReadOptions::default(), &mut BlockReader::new());
        made.map_err(|e| e.to_string())
    };
    assert!(made(&other).is_err_and(|e| e.contains("nfcapd.YYYYMMDDhhmm")));
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..whole.len() - 100]).expect("write");
    assert!(made(&path).is_err_and(|e| e.contains("not indexed")));
    assert!(made(&dir.path().join("nfcapd.202611201005")).is_err());
    assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 2, "nothing was written");
}

/// The only side file of a directory.
fn side_file(dir: &Path) -> PathBuf {
    dir.join(".flowsuite-index.20261120.no-pcap")
}

#[test]
fn damage_and_cuts_never_hide_a_row() {
    let dir = tempfile::tempdir().expect("scratch");
    let path = write(dir.path(), 4, 150);
    index(dir.path(), &path);
    let side = side_file(dir.path());
    let whole = fs::read(&side).expect("read");
    let questions = ["ip 203.0.113.77", "port 53", "src nat ip 203.0.113.1", "bytes > 3000"];
    let filters: Vec<Filter> = questions.iter().map(|text| parse(text)).collect();
    let passes: Vec<bool> = filters.iter().map(|f| !passing(&path, f).is_empty()).collect();
    let check = |what: &str| {
        for (filter, passes) in filters.iter().zip(&passes) {
            let nothing = wanted(&path, filter) == Some(Wanted::Nothing);
            assert!(!(nothing && *passes), "{what}: {}", filter.tree());
        }
    };
    check("whole");
    let file = fs::OpenOptions::new().write(true).open(&side).expect("open");
    for at in 0..whole.len() {
        for flip in [1, 0x80] {
            file.write_all_at(&[whole[at] ^ flip], at as u64).expect("write");
            check(&format!("octet {at}"));
        }
        file.write_all_at(&whole[at..=at], at as u64).expect("write");
    }
    for len in (0..whole.len()).rev() {
        file.set_len(len as u64).expect("length");
        check(&format!("{len} octets"));
    }
    // The next writer begins where the last whole entry ends.
    for len in [0, 5, 24, 30, whole.len() - 1] {
        fs::write(&side, &whole[..len]).expect("write");
        index(dir.path(), &path);
        assert_eq!(wanted(&path, &filters[0]), Some(Wanted::Nothing), "{len}");
        assert_eq!(fs::read(&side).expect("read"), whole, "{len}");
    }
    index(dir.path(), &path);
    assert_eq!(wanted(&path, &filters[0]), Some(Wanted::Nothing));
}

#[test]
fn what_is_no_file_is_neither_waited_for_nor_written_to() {
    let dir = tempfile::tempdir().expect("scratch");
    let path = write(dir.path(), 1, 50);
    let side = side_file(dir.path());
    let made = || make(dir.path(), &path, &ReadOptions::default(), &mut BlockReader::new());
    // Whoever opens a pipe waits for the other end.
    let mkfifo = std::process::Command::new("mkfifo").arg(&side).status().expect("mkfifo");
    assert!(mkfifo.success());
    assert!(Index::new().of(&path).is_none());
    assert!(made().is_err_and(|e| e.to_string().contains("it is no file; remove it")));
    fs::remove_file(&side).expect("remove");
    fs::create_dir(&side).expect("directory");
    assert!(Index::new().of(&path).is_none());
    assert!(made().is_err());
    fs::remove_dir(&side).expect("remove");
    let other = dir.path().join("other");
    fs::write(&other, "mine").expect("write");
    std::os::unix::fs::symlink(&other, &side).expect("link");
    assert!(Index::new().of(&path).is_none());
    assert!(made().is_err());
    assert_eq!(fs::read(&other).expect("read"), b"mine");
}

#[test]
fn an_index_of_another_version_is_replaced_and_not_written_over() {
    let dir = tempfile::tempdir().expect("scratch");
    let path = write(dir.path(), 1, 50);
    let side = side_file(dir.path());
    index(dir.path(), &path);
    let ours = fs::read(&side).expect("read");
    let mut theirs = ours.clone();
    theirs[8] ^= 1;
    fs::write(&side, &theirs).expect("write");
    let open = fs::File::open(&side).expect("open");
    index(dir.path(), &path);
    assert_eq!(fs::read(&side).expect("read"), ours);
    // Who has it open reads on in the old one.
    let mut seen = vec![0; theirs.len()];
    open.read_exact_at(&mut seen, 0).expect("read");
    assert_eq!(seen, theirs);
}

#[test]
fn what_files_say_of_exporters_is_read_for_who_copies_it() {
    let dir = tempfile::tempdir().expect("scratch");
    let path = write(dir.path(), 3, 33_000);
    index(dir.path(), &path);
    let entry = Index::new().of(&path).expect("entry");
    let filter = [parse("ip 203.0.113.77")];
    assert_eq!(entry.wanted(&filter), Wanted::Nothing);
    let Wanted::Some { blocks, rows_left_out } = entry.wanted_with_exporters(&filter) else {
        panic!("some blocks")
    };
    assert!(blocks.contains(&0) && rows_left_out == rows_of(&path, &blocks), "{blocks:?}");
    assert!(rows_left_out > 0);
}

/// An entry whose head was changed at one place, with the right sum.
fn forged(whole: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    const HEADER: usize = 24;
    let mut side = whole.to_vec();
    let len = u32::from_le_bytes(side[HEADER + 4..HEADER + 8].try_into().expect("four")) as usize;
    side[HEADER + at..HEADER + at + octets.len()].copy_from_slice(octets);
    let sum = twox_hash::XxHash3_64::oneshot(&side[HEADER..HEADER + len - 8]);
    side[HEADER + len - 8..HEADER + len].copy_from_slice(&sum.to_le_bytes());
    side
}

#[test]
fn counts_that_cannot_be_are_refused_whatever_the_sum_says() {
    let dir = tempfile::tempdir().expect("scratch");
    let path = write(dir.path(), 1, 50);
    index(dir.path(), &path);
    let side = side_file(dir.path());
    let whole = fs::read(&side).expect("read");
    let has = |octets: &[u8]| {
        fs::write(&side, octets).expect("write");
        Index::new().of(&path).is_some()
    };
    assert!(has(&forged(&whole, 64, b"n")), "nothing is changed");
    let blocks = u32::from_le_bytes(whole[24 + 48..24 + 52].try_into().expect("four"));
    assert!(blocks >= 1);
    // Blocks, sections, blocks with exporters; all of them more than the head has.
    for at in [48, 52, 56] {
        assert!(!has(&forged(&whole, at, &[0xff; 4])), "{at}");
    }
}

/// Writes as collectors do and notes what was seen.
fn write_seen(
    dir: &Path,
    surveys: &Arc<Surveys>,
    pool: Option<&Arc<Pool>>,
    rows: u64,
) -> (PathBuf, Closed, bool) {
    let path = dir.join(NAME);
    let options = WriterOptions { created_secs: T0 / 1000, ..WriterOptions::default() };
    let mut writer = match pool {
        Some(pool) => Writer::create_in(pool, &path, &options).expect("create"),
        None => Writer::create(&path, &options).expect("create"),
    };
    let survey = surveys.begin();
    writer.survey(Arc::clone(&survey) as Arc<dyn store::Survey>);
    let r = &mut Random(rows);
    let addr = Addr::V4(0x7f00_0001);
    writer.meta(Meta::Exporter(record::Exporter { sysid: 1, version: 9, id: 0, addr }));
    for n in 0..rows {
        writer.flow(&flow(r, n / 9000 % 8, n));
        if n % 3000 == 7 {
            writer.flush().expect("write");
        }
    }
    let stats = record::ExporterStats { sysid: 1, ..Default::default() };
    let closed = writer.close(&[stats]).expect("close");
    let published = Published::Renamed(path.clone());
    let is_known = surveys.note(dir, &published, "none", Some((&survey, &closed))).expect("note");
    (path, closed, is_known)
}

fn state_of(path: &Path) -> State {
    check(path, &ReadOptions::default(), &mut BlockReader::new()).expect("check")
}

#[test]
fn what_is_seen_while_writing_is_what_reading_finds() {
    let surveys = Surveys::new();
    let pool = Arc::new(Pool::new(3).expect("pool"));
    for rows in [0, 1, 40_000] {
        for pool in [None, Some(&pool)] {
            let dir = tempfile::tempdir().expect("directory");
            let (path, _, is_known) = write_seen(dir.path(), &surveys, pool, rows);
            assert!(is_known);
            assert_eq!(state_of(&path), State::Right, "{rows} rows");
        }
    }
}

#[test]
fn files_of_which_not_all_was_seen_get_no_index() {
    let dir = tempfile::tempdir().expect("directory");
    // Too much at once.
    let (path, closed, is_known) = write_seen(dir.path(), &Surveys::with_limit(1000), None, 9000);
    assert!(!is_known);
    assert_eq!(state_of(&path), State::Missing);
    // A file that has more than was seen.
    let survey = Surveys::new().begin();
    let published = Published::Renamed(path.clone());
    assert!(
        !Surveys::new()
            .note(dir.path(), &published, "none", Some((&survey, &closed)))
            .expect("note")
    );
    // A block whose digest is missing.
    survey.booked(0, true);
    assert!(
        !Surveys::new()
            .note(dir.path(), &published, "none", Some((&survey, &closed)))
            .expect("note")
    );
    assert_eq!(state_of(&path), State::Missing);
    // Where nobody looked, or what was seen is a part only, the file is read.
    assert!(Surveys::new().note(dir.path(), &published, "none", None).expect("note"));
    assert_eq!(state_of(&path), State::Right);
    fs::remove_file(side_file(dir.path())).expect("remove");
    let merged = Published::Merged(path.clone());
    assert!(
        Surveys::new().note(dir.path(), &merged, "none", Some((&survey, &closed))).expect("note")
    );
    assert_eq!(state_of(&path), State::Right);
    // What was closed at one length and is another now.
    fs::remove_file(side_file(dir.path())).expect("remove");
    let (path, closed, _) = write_seen(dir.path(), &Surveys::new(), None, 500);
    fs::remove_file(side_file(dir.path())).expect("remove");
    let other = Closed { bytes: closed.bytes + 1, ..closed };
    let survey = Surveys::new().begin();
    assert!(
        !Surveys::new()
            .note(dir.path(), &published, "none", Some((&survey, &other)))
            .expect("note")
    );
    assert_eq!(state_of(&path), State::Missing);
}

/// Files of a slot each, of one day or two, indexed in one go.
fn write_days(dir: &Path, surveys: &Surveys) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for n in 0..6_u64 {
        let whole = write(dir, 1, 300 + n);
        let path = dir.join(format!("nfcapd.2026112{}10{:02}", n / 4, 5 * n + 5));
        fs::rename(whole, &path).expect("rename");
        let (options, mut reader) = (ReadOptions::default(), BlockReader::new());
        surveys.make(dir, &path, &options, &mut reader).expect("index");
        paths.push(path);
    }
    surveys.end().expect("groups");
    paths
}

#[test]
fn days_are_known_as_a_whole_and_never_hide_a_row() {
    let dir = tempfile::tempdir().expect("directory");
    let paths = write_days(dir.path(), &Surveys::new());
    let r = &mut Random(5);
    let (mut spared, mut asked) = (0, 0);
    let questions: Vec<Filter> = (0..60).map(|_| parse(&question(r))).collect();
    let check = |paths: &[PathBuf], spared: &mut u32, asked: &mut u32| {
        let mut index = Index::new();
        for path in paths {
            let Some(entry) = index.of(path) else { continue };
            for filter in &questions {
                let passing = passing(path, filter);
                let wanted = entry.wanted(std::slice::from_ref(filter));
                assert!(wanted != Wanted::Nothing || passing.is_empty(), "{filter:?}");
                *spared += u32::from(wanted == Wanted::Nothing);
                *asked += 1;
            }
        }
    };
    check(&paths, &mut spared, &mut asked);
    assert!(asked == 360 && spared > 100, "{spared} of {asked}");
    // Entries behind a group, of a new file and of one that has changed.
    let more = write(dir.path(), 2, 400);
    let changed = dir.path().join("nfcapd.202611201005");
    fs::copy(&more, &changed).expect("copy");
    assert!(Index::new().of(&changed).is_none(), "its group knows another state of it");
    index(dir.path(), &more);
    index(dir.path(), &changed);
    let paths = [&paths[..], &[more]].concat();
    (spared, asked) = (0, 0);
    check(&paths, &mut spared, &mut asked);
    assert_eq!(asked, 420);
    assert_eq!(Index::new().of(&changed).map(|entry| entry.rows()), Some(800));
}

/// A day as it is found when its groups or anything else of it is damaged or cut.
#[test]
fn damage_and_cuts_of_groups_never_hide_a_row() {
    let dir = tempfile::tempdir().expect("directory");
    let paths = write_days(dir.path(), &Surveys::new());
    let day = side_file(dir.path());
    let whole = fs::read(&day).expect("index");
    let group = whole.windows(4).rposition(|w| w == b"FDAY").expect("a group");
    let filters = [parse("ip 203.0.113.1"), parse("src as 64500 or port 443"), parse("proto 99")];
    let right: Vec<Vec<bool>> = paths[..4]
        .iter()
        .map(|path| filters.iter().map(|f| passing(path, f).is_empty()).collect())
        .collect();
    let ask = |octets: &[u8], what: usize| {
        fs::write(&day, octets).expect("write");
        let mut index = Index::new();
        for (path, right) in paths[..4].iter().zip(&right) {
            let Some(entry) = index.of(path) else { continue };
            for (filter, is_empty) in filters.iter().zip(right) {
                let wanted = entry.wanted(std::slice::from_ref(filter));
                assert!(wanted != Wanted::Nothing || *is_empty, "octet {what}: {filter:?}");
            }
        }
    };
    // The head and tail octet by octet, what is between now and then.
    let places = (group..whole.len())
        .filter(|at| at - group < 1500 || whole.len() - at < 40 || at % 97 == 0);
    for at in places {
        let mut octets = whole.clone();
        octets[at] ^= 0x41;
        ask(&octets, at);
        ask(&whole[..at], at);
    }
}

#[test]
fn a_group_that_is_damaged_or_lacks_something_is_wrong() {
    let dir = tempfile::tempdir().expect("directory");
    let paths = write_days(dir.path(), &Surveys::new());
    let (day, files) = (side_file(dir.path()), &paths[..4]);
    let whole = fs::read(&day).expect("index");
    let group = whole.windows(4).rposition(|w| w == b"FDAY").expect("a group");
    let head = u32::from_le_bytes(whole[group + 4..group + 8].try_into().expect("four")) as usize;
    let states = |octets: &[u8]| {
        fs::write(&day, octets).expect("write");
        files.iter().map(|path| state_of(path)).collect::<Vec<_>>()
    };
    assert_eq!(states(&whole), [State::Right; 4]);
    // Ports and sets.
    let data = group + head..whole.len() - 16;
    for at in data.clone().step_by(211).chain([data.start, data.end - 1]) {
        let mut octets = whole.clone();
        octets[at] ^= 0x10;
        assert_eq!(states(&octets), [State::Wrong; 4], "octet {at} of {data:?}");
    }
    // A set without addresses, whose sum is right: the last page.
    let mut octets = whole.clone();
    let page = &mut octets[data.end - 4096.min(data.len())..data.end];
    let (bits, sum) = page.split_at_mut(page.len() - 8);
    let end = bits.len();
    bits[end - 200..].fill(0);
    sum.copy_from_slice(&twox_hash::XxHash3_64::oneshot(bits).to_le_bytes());
    assert_eq!(states(&octets), [State::Wrong; 4]);
    // Rows of a file, in the head, whose sum is right.
    let mut octets = whole;
    // Behind the place, lengths of head and entry, size and times.
    let mut at = group + 28;
    for _ in 0..7 {
        at += 1 + octets[at..].iter().take_while(|octet| **octet >= 0x80).count();
    }
    octets[at] ^= 1;
    let (body, sum) = octets[group..group + head].split_at_mut(head - 8);
    sum.copy_from_slice(&twox_hash::XxHash3_64::oneshot(body).to_le_bytes());
    let wrong = states(&octets);
    assert_eq!((wrong[0], &wrong[1..]), (State::Wrong, &[State::Right; 3][..]));
}
