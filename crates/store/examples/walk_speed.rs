//! How fast flow files are opened, unpacked, and walked: `walk_speed DIR`, with one thread and with
//! two, and what each costs a row.

use record::Field;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::{BlockReader, FlowFile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: walk_speed DIR")?;
    let input = store::select::Input { read: Some(&directory), ..Default::default() };
    let paths = store::select::files(&input)?;
    let start = sys::clock::monotonic();
    let files: Vec<FlowFile> = paths.iter().map(FlowFile::open).collect::<Result<_, _>>()?;
    println!("{} files opened in {:?}", files.len(), start.elapsed());
    for threads in [1, 2, 1, 2] {
        report("walk", threads, run(&files, threads, |_| 0));
        report("walk, sum bytes", threads, run(&files, threads, sum_bytes));
    }
    encode(&paths)?;
    Ok(())
}

fn sum_bytes(block: &store::Block<'_>) -> u64 {
    block.rows.iter().map(|r| r.number(Field::Bytes)).sum()
}

/// All blocks of all files, each taken by whoever is free.
fn run(
    files: &[FlowFile],
    threads: usize,
    each: impl Fn(&store::Block<'_>) -> u64 + Sync,
) -> (u64, Duration) {
    let blocks: Vec<(&FlowFile, usize)> =
        files.iter().flat_map(|f| (0..f.blocks().len()).map(move |n| (f, n))).collect();
    let next = AtomicUsize::new(0);
    let start = sys::clock::monotonic();
    let work = || {
        let mut reader = BlockReader::new();
        let mut rows = 0;
        while let Some((file, n)) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Ok(block) = reader.load(file, *n) {
                rows += block.rows.len() as u64;
                black_box(each(&block));
            }
        }
        rows
    };
    let rows = std::thread::scope(|s| {
        let all: Vec<_> = (0..threads).map(|_| s.spawn(work)).collect();
        all.into_iter().map(|t| t.join().unwrap_or(0)).sum()
    });
    (rows, start.elapsed())
}

/// Flows of the first file, encoded again and packed: what a collector does.
fn encode(paths: &[PathBuf]) -> Result<(), Box<dyn std::error::Error>> {
    use record::FlowSink;
    let Some(path) = paths.first() else { return Ok(()) };
    let file = FlowFile::open(path)?;
    let mut reader = BlockReader::new();
    let mut flows = Vec::new();
    for n in 0..file.blocks().len().min(100) {
        for row in reader.load(&file, n)?.rows.iter().take(2000) {
            let mut flow = record::Flow::new();
            flow.assign(row);
            flows.push(flow);
        }
    }
    for name in ["none", "lz4", "zstd", "lzo"] {
        let options = store::WriterOptions { compression: name.parse()?, ..Default::default() };
        let mut writer = store::Writer::create(Path::new("/dev/null"), &options)?;
        let start = sys::clock::monotonic();
        let rounds = 20;
        for _ in 0..rounds {
            flows.iter().for_each(|f| writer.flow(f));
        }
        report(&format!("write {name}"), 1, (flows.len() as u64 * rounds, start.elapsed()));
    }
    Ok(())
}

fn report(what: &str, threads: usize, (rows, time): (u64, Duration)) {
    let secs = time.as_secs_f64();
    println!(
        "{what:16} {threads} threads {rows:9} rows {:7.1} M rows/s {:6.1} ns/row",
        rows as f64 / secs / 1e6,
        secs * 1e9 / rows as f64
    );
}
