//! Writing with a pool: the same files as without, in order, bounded, and whole after a kill.

use record::{Addr, Exporter, Field, Flow, FlowSink, Meta};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use store::{
    BlockReader, Closed, Compression, Extensions, FileHeader, FileState, FlowFile, Pool, Writer,
    WriterOptions,
};

const METHODS: [Compression; 5] =
    [Compression::None, Compression::Lzo, Compression::Bz2, Compression::Lz4, Compression::Zstd];

/// A flow that tells its number by its bytes, of one of three exporters.
fn flow(n: u64) -> Flow {
    let mut flow = Flow::new();
    flow.set(Field::First, 1_795_000_000_000 + n);
    flow.set(Field::Last, 1_795_000_000_500 + n);
    flow.set(Field::Bytes, n);
    flow.set(Field::Proto, 6);
    flow.set(Field::ExporterId, exporter(n).into());
    flow.set_addr(Field::SrcAddr, Addr::V4((n as u32).wrapping_mul(2_654_435_761)));
    flow.set_addr(Field::DstAddr, Addr::V4(7));
    flow.set(Field::SrcAs, n % 3);
    flow
}

fn exporter(n: u64) -> u16 {
    [1, 2, 700][n as usize / 7 % 3]
}

fn options(method: Compression) -> WriterOptions {
    WriterOptions { compression: method.into(), block_size: 1 << 16, ..WriterOptions::default() }
}

fn begin(pool: Option<&Arc<Pool>>, path: &Path, options: &WriterOptions) -> Writer {
    match pool {
        Some(pool) => Writer::create_in(pool, path, options).unwrap(),
        None => Writer::create(path, options).unwrap(),
    }
}

/// Flows in full blocks and in small ones.
fn fill(writer: &mut Writer, flows: u64) {
    writer.meta(Meta::Exporter(Exporter { sysid: 1, version: 9, addr: Addr::V4(1), id: 1 }));
    for n in 0..flows {
        writer.flow(&flow(n));
        if n % 3000 == 2999 || n % 3000 == 10 {
            writer.flush().unwrap();
        }
    }
}

fn write(pool: Option<&Arc<Pool>>, path: &Path, method: Compression, flows: u64) -> Closed {
    let mut writer = begin(pool, path, &options(method));
    fill(&mut writer, flows);
    writer.close(&[]).unwrap()
}

/// Numbers of all flows in blocks that are whole.
fn read(path: &Path) -> Vec<u64> {
    let file = FlowFile::open(path).unwrap();
    let mut reader = BlockReader::new();
    let mut all = Vec::new();
    for n in 0..file.blocks().len() {
        let block = reader.load(&file, n).unwrap();
        assert_eq!(block.damage(), None);
        all.extend(block.rows.iter().map(|row| row.number(Field::Bytes)));
    }
    all
}

#[test]
fn with_a_pool_files_are_the_same_octet_for_octet() {
    let dir = tempfile::tempdir().unwrap();
    for method in METHODS {
        for threads in [1, 4] {
            let pool = Arc::new(Pool::new(threads).unwrap());
            let (a, b) = (dir.path().join("direct"), dir.path().join("pooled"));
            let direct = write(None, &a, method, 10_000);
            let pooled = write(Some(&pool), &b, method, 10_000);
            assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap(), "{method} {threads}");
            assert_eq!(pooled, Closed { path: b.clone(), ..direct });
            assert_eq!(read(&b), (0..10_000).collect::<Vec<_>>());
            assert_eq!(pool.counts().under_way, 0);
        }
    }
}

#[test]
fn what_is_packed_ahead_comes_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for method in METHODS {
        let pool = Arc::new(Pool::new(2).unwrap());
        let write = |name: &str, ahead: u64| {
            let mut writer = begin(Some(&pool), &dir.path().join(name), &options(method));
            for n in 0..20_000 {
                writer.flow(&flow(n));
                // Also what is handed over before it is full.
                if n % 7000 == 6999 {
                    writer.flush().unwrap();
                }
                if ahead > 0 && n % ahead == 0 {
                    writer.pack_ahead();
                }
            }
            writer.close(&[]).unwrap();
            fs::read(dir.path().join(name)).unwrap()
        };
        let want = write("want", 0);
        for ahead in [1, 30, 400] {
            assert!(write("ahead", ahead) == want, "{method}, every {ahead} flows");
        }
    }
}

#[test]
fn flows_are_counted_by_exporter() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::new(2).unwrap());
    let of = |e| (0..1000).filter(|n| exporter(*n) == e).count() as u64;
    let all = [(1, of(1)), (2, of(2)), (700, of(700))];
    for pool in [None, Some(&pool)] {
        let closed = write(pool, &dir.path().join("f"), Compression::Lz4, 1000);
        assert_eq!((closed.stored, closed.lost), (all.to_vec(), vec![]));
    }
}

#[test]
fn flows_are_lost_by_exporter_where_nothing_can_be_written() {
    let Some(disk) = SmallDisk::new("flows_are_lost_by_exporter_where_nothing_can_be_written")
    else {
        return;
    };
    for pool in [None, Some(&Arc::new(Pool::new(2).unwrap()))] {
        let path = disk.path("f");
        let mut writer = begin(pool, &path, &options(Compression::None));
        // Room for a few blocks.
        let ballast = disk.path("ballast");
        for n in 0..2000 {
            writer.flow(&flow(n));
        }
        writer.settle().unwrap();
        disk.fill(&ballast);
        for n in 2000..4000 {
            writer.flow(&flow(n));
        }
        assert!(writer.settle().unwrap_err().is_disk_full());
        assert!(writer.take_error().is_none(), "told once");
        let lost: u64 = writer.lost().iter().map(|l| l.1).sum();
        // What fits into the last page may have been written.
        assert!(lost > 1000 && lost == writer.dropped().unwritten, "{lost}");
        assert_eq!(writer.totals().all_flows(), 4000 - lost);
        let whole = read(&path).len() as u64;
        assert_eq!(whole, 4000 - lost, "what is there can be read meanwhile");
        let end = FlowFile::open(&path).unwrap().blocks().last().unwrap().end();
        assert_eq!(fs::metadata(&path).unwrap().len(), end, "nothing is left of the others");
        fs::remove_file(&ballast).unwrap();
        for n in 4000..6000 {
            writer.flow(&flow(n));
        }
        let closed = writer.close(&[]).unwrap();
        let sum = |list: &[(u16, u64)]| list.iter().map(|l| l.1).sum::<u64>();
        assert_eq!((sum(&closed.lost), sum(&closed.stored)), (lost, 6000 - lost));
        let got = read(&path);
        for (e, n) in &closed.stored {
            assert_eq!(got.iter().filter(|g| exporter(**g) == *e).count() as u64, *n);
        }
        assert!(got.is_sorted() && got.ends_with(&(4000..6000).collect::<Vec<_>>()));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_is_under_way_is_bounded_and_whoever_waits_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::with_limit(1, 1).unwrap());
    let closed = write(Some(&pool), &dir.path().join("f"), Compression::Bz2, 20_000);
    let counts = pool.counts();
    assert_eq!(counts.blocks, u64::from(closed.blocks));
    assert!(counts.peak <= 1 << 16, "one block at a time: {counts:?}");
    assert!(counts.waits > 0 && !counts.waited.is_zero(), "{counts:?}");
    assert_eq!(counts.under_way, 0);
}

#[test]
fn buffers_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    for method in METHODS {
        // One block at a time, so that it is known how many buffers there are.
        let pool = Arc::new(Pool::with_limit(1, 4 << 20).unwrap());
        let mut writer = begin(Some(&pool), &dir.path().join("f"), &options(method));
        let mut made = 0;
        for second in 0..50 {
            for n in 0..1000 {
                writer.flow(&flow(n)); // two blocks and a rest
            }
            writer.settle().unwrap();
            if second == 10 {
                made = pool.counts().buffers;
            }
        }
        let counts = pool.counts();
        assert_eq!(counts.buffers, made, "{method} {counts:?}");
        assert!((1..10).contains(&made), "{method} {counts:?}");
    }
}

#[test]
fn many_writers_share_a_pool() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::with_limit(3, 1 << 20).unwrap());
    let path = |n: u64| dir.path().join(n.to_string());
    let mut writers: Vec<Writer> = (0..50)
        .map(|n| begin(Some(&pool), &path(n), &options(METHODS[n as usize % METHODS.len()])))
        .collect();
    for n in 0..5000 {
        for (at, writer) in writers.iter_mut().enumerate() {
            if n % (1 + at as u64) == 0 {
                writer.flow(&flow(n));
            }
            if n % 1000 == 999 {
                writer.flush().unwrap();
            }
        }
    }
    for (at, writer) in writers.into_iter().enumerate() {
        writer.close(&[]).unwrap();
        let at = at as u64;
        let want: Vec<u64> = (0..5000).filter(|n| n % (1 + at) == 0).collect();
        assert_eq!(read(&path(at)), want, "writer {at}");
        assert_eq!(*FlowFile::open(path(at)).unwrap().state(), FileState::Closed);
    }
}

#[test]
fn what_was_handed_over_is_written_though_writer_and_pool_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let pool = Arc::new(Pool::new(2).unwrap());
    let mut writer = begin(Some(&pool), &path, &options(Compression::Zstd));
    for n in 0..5000 {
        writer.flow(&flow(n));
    }
    writer.flush().unwrap();
    writer.flow(&flow(5000)); // at hand: gone
    drop(pool);
    drop(writer);
    assert_eq!(read(&path), (0..5000).collect::<Vec<_>>());
}

#[test]
fn cut_at_every_octet_an_open_file_gives_its_whole_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let pool = Arc::new(Pool::new(2).unwrap());
    for method in METHODS {
        let mut writer = begin(Some(&pool), &path, &options(method));
        for n in 0..40 {
            writer.flow(&flow(n));
            if n % 10 == 9 {
                writer.flush().unwrap();
            }
        }
        writer.settle().unwrap();
        let open = fs::read(&path).unwrap();
        let ends: Vec<_> =
            FlowFile::open(&path).unwrap().blocks().iter().map(|b| b.end() as usize).collect();
        assert_eq!(ends.len(), 4);
        drop(writer);
        for len in FileHeader::LEN..=open.len() {
            let whole = ends.iter().filter(|e| **e <= len).count();
            let want: Vec<u64> = (0..10 * whole as u64).collect();
            fs::write(&path, &open[..len]).unwrap();
            assert_eq!(read(&path), want, "{method} cut at {len}");
            // The payload goes first: until its header is there, zeros stand before it.
            let mut torn = open[..len].to_vec();
            let start = ends[..whole].last().copied().unwrap_or(FileHeader::LEN);
            torn[start..(start + 12).min(len)].fill(0);
            fs::write(&path, &torn).unwrap();
            assert_eq!(read(&path), want, "{method} without header, cut at {len}");
        }
    }
}

/// Names the file that the child is to write.
const CHILD: &str = "FLOWSUITE_TEST_WRITE_UNTIL_KILLED";

#[test]
fn killed_at_any_moment_a_file_has_all_blocks_up_to_some_block() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_until_killed(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    for round in 0..24u64 {
        let path = dir.path().join(round.to_string());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_at_any_moment_a_file_has_all_blocks_up_to_some_block"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let len = || fs::metadata(&path).map_or(0, |m| m.len());
        while len() < 1 + round * 20_000 {
            assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if len() < FileHeader::LEN as u64 {
            continue;
        }
        let file = FlowFile::open(&path).unwrap();
        assert!(!matches!(file.state(), FileState::Closed));
        let got = read(&path);
        assert_eq!(got, (0..got.len() as u64).collect::<Vec<_>>(), "round {round}");
        // No more is missing than what was not complete.
        let end = file.blocks().last().map_or(FileHeader::LEN as u64, store::BlockRef::end);
        assert!(len() - end < 1 << 17, "round {round}: {} octets behind {end}", len() - end);
        fs::remove_file(&path).unwrap();
    }
}

fn write_until_killed(path: &Path) {
    let pool = Arc::new(Pool::new(3).unwrap());
    let mut writer = begin(Some(&pool), path, &options(Compression::Lz4));
    for n in 0..50_000_000 {
        writer.flow(&flow(n));
        if n % 700 == 0 {
            writer.flush().unwrap();
        }
    }
}

#[test]
fn extensions_that_are_not_to_be_kept_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut full = flow(1);
    full.set(Field::Input, 3);
    full.set_addr(Field::NextHop, Addr::V4(9));
    full.set_bytes(Field::Username, b"somebody");
    full.set_bytes(Field::Label, b"blue");
    let of_file = |extensions: &str, as_row: bool| {
        let whole = dir.path().join("whole");
        let mut writer = Writer::create(&whole, &WriterOptions::default()).unwrap();
        writer.flow(&full);
        writer.close(&[]).unwrap();
        let extensions: Extensions = extensions.parse().unwrap();
        let options = WriterOptions { extensions, ..WriterOptions::default() };
        let mut writer = Writer::create(&path, &options).unwrap();
        if as_row {
            let file = FlowFile::open(&whole).unwrap();
            let mut reader = BlockReader::new();
            reader.load(&file, 0).unwrap().rows.iter().for_each(|row| writer.row(row));
        } else {
            writer.flow(&full);
        }
        assert_eq!(writer.close(&[]).unwrap().dropped.all(), 0);
        let file = FlowFile::open(&path).unwrap();
        let mut reader = BlockReader::new();
        let block = reader.load(&file, 0).unwrap();
        let row = block.rows.iter().next().unwrap();
        let has = |f| row.bytes(f).is_some();
        assert!(has(Field::Bytes) && has(Field::SrcAddr) && has(Field::DstAddr));
        [Field::Input, Field::NextHop, Field::Username, Field::Label, Field::SrcAs].map(has)
    };
    for (list, want) in [
        ("1", [false; 5]),
        ("4,7", [true, false, false, false, true]),
        ("10,24", [false, true, true, false, false]),
        ("28", [false, false, false, true, false]),
    ] {
        assert_eq!(of_file(list, false), want, "{list}");
        assert_eq!(of_file(list, true), want, "{list}, rows");
    }
}

/// A file system with little room, which only this process sees.
struct SmallDisk(PathBuf);

const SMALL_DISK: &str = "FLOWSUITE_TEST_SMALL_DISK";

impl SmallDisk {
    /// Runs the test of this name again with a small disk, and gives the disk to that run. `None`
    /// in this one, and where there is no way to have such a disk.
    fn new(test: &str) -> Option<Self> {
        if let Some(dir) = std::env::var_os(SMALL_DISK) {
            return Some(Self(dir.into()));
        }
        let dir = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=1m none \"$0\" && touch \"$0/mounted\" && exec \"$@\"";
        let run = |what: &Path, args: &[&str]| {
            Command::new("unshare")
                .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
                .arg(dir.path())
                .arg(what)
                .args(args)
                .env(SMALL_DISK, dir.path())
                .output()
        };
        if !run(Path::new("true"), &[]).is_ok_and(|o| o.status.success()) {
            println!("skipped: no mount namespaces here");
            return None;
        }
        let exe = std::env::current_exe().unwrap();
        let ran = run(&exe, &["--exact", test, "--nocapture"]).unwrap();
        let text = String::from_utf8_lossy(&ran.stdout);
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && text.contains("1 passed"), "{text}\n{errors}");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        assert!(self.0.join("mounted").exists());
        self.0.join(name)
    }

    /// Takes all the room there is.
    fn fill(&self, path: &Path) {
        let mut file = fs::File::create(path).unwrap();
        while std::io::Write::write(&mut file, &[1; 4096]).is_ok() {}
    }
}
