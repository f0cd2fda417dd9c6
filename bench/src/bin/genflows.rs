//! Writes flow files of the traffic model: what the comparisons read.

use anyhow::{Context as _, anyhow, ensure};
use bench::{Model, Traffic};
use chrono::DateTime;
use clap::Parser;
use record::{Addr, Exporter, ExporterStats, Field, Flow, FlowSink as _, Meta};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use store::{Packing, Writer, WriterOptions};

/// Writes flow files, one for each five minutes from 2026-04-10 12:00 UTC on.
#[derive(Parser)]
struct Args {
    /// Directory to write to; must exist
    dir: PathBuf,
    /// Files
    #[arg(long, default_value_t = 10)]
    files: u64,
    /// Flows in each
    #[arg(long, default_value_t = 1_000_000)]
    flows: u64,
    /// Share of IPv6 flows in percent
    #[arg(long = "v6", default_value_t = 15)]
    v6_percent: u64,
    /// The same seed makes the same files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// none, lzo, bz2, lz4 or zstd
    #[arg(long, default_value = "lz4")]
    compress: Packing,
    /// An address that occurs in no other flow: source of one flow, translated in one more, in each
    /// tenth file
    #[arg(long)]
    plant: Option<std::net::IpAddr>,
    /// Share of flows that carry a translation in percent
    #[arg(long = "nat", default_value_t = 0)]
    nat_percent: u64,
}

/// 2026-04-10 12:00 UTC.
const START_SECS: u64 = 1_775_822_400;
const SLOT_SECS: u64 = 300;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let next = AtomicU64::new(0);
    let workers = sys::clock::cores();
    // A file is a thread's: what is in it depends on the seed and its place only.
    let work = || -> anyhow::Result<u64> {
        let mut bytes = 0;
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= args.files {
                return Ok(bytes);
            }
            bytes += write_file(&args, n)?;
        }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut bytes = 0;
    for result in results {
        bytes += result.map_err(|_| anyhow!("a thread panicked"))??;
    }
    let (files, mib) = (args.files, bytes >> 20);
    eprintln!("{files} files of {} flows, {mib} MiB in {}", args.flows, args.dir.display());
    Ok(())
}

/// Writes file `n` and returns its length.
fn write_file(args: &Args, n: u64) -> anyhow::Result<u64> {
    let start = START_SECS + n * SLOT_SECS;
    let time = DateTime::from_timestamp(i64::try_from(start)?, 0).context("too many files")?;
    let path = args.dir.join(time.format("nfcapd.%Y%m%d%H%M").to_string());
    let options = WriterOptions {
        compression: args.compress,
        ident: "bench".into(),
        created_secs: start,
        ..WriterOptions::default()
    };
    let mut writer = Writer::create(path, &options)?;
    let exporter = Exporter { sysid: 1, version: 9, addr: Addr::V4(0xc000_0201), id: 1 };
    writer.meta(Meta::Exporter(exporter));
    let mut traffic = Traffic::new(Model {
        v6_percent: args.v6_percent,
        seed: args.seed.wrapping_mul(1_000_003).wrapping_add(n),
        ..Model::default()
    });
    let mut flow = Flow::new();
    for i in 0..args.flows {
        let at_ms = start * 1000 + i * SLOT_SECS * 1000 / args.flows;
        traffic.fill(at_ms, &mut flow);
        if args.nat_percent > i % 100 {
            translate(&mut flow, i);
        }
        writer.flow(&flow);
        if let Some(addr) = args.plant.filter(|_| n.is_multiple_of(10) && i == args.flows / 2) {
            let mut planted = flow.clone();
            planted.set_addr(Field::SrcAddr, addr.into());
            writer.flow(&planted);
            translate(&mut flow, i);
            flow.set_addr(Field::XlateSrcAddr, addr.into());
            writer.flow(&flow);
        }
    }
    let stats = ExporterStats {
        sysid: 1,
        sequence_failures: 0,
        packets: args.flows / 20,
        flows: args.flows,
    };
    let closed = writer.close(&[stats])?;
    let path = closed.path.display();
    ensure!(closed.dropped.all() == 0, "{path}: not all flows written");
    Ok(closed.bytes)
}

/// As behind a translator with 4096 addresses of its own.
fn translate(flow: &mut Flow, i: u64) {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    flow.set_addr(Field::XlateSrcAddr, Addr::V4(0x6440_0000 | (mixed >> 52) as u32));
    flow.set(Field::XlateSrcPort, 1024 + (mixed >> 16) % 64_512);
    flow.set(Field::NatEvent, 1);
}
