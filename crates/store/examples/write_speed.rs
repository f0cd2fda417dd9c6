//! What a flow costs the thread that hands it to a writer, with and without a pool, and what memory
//! many idle writers take: `write_speed DIR [METHOD]`.

use record::{Addr, Field, Flow, FlowSink};
use std::path::Path;
use std::sync::Arc;
use store::{Pool, Writer, WriterOptions};

const FLOWS: u64 = 8_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: write_speed DIR [METHOD]")?;
    let method = args.next().unwrap_or_else(|| "lz4".to_owned());
    let options = WriterOptions { compression: method.parse()?, ..WriterOptions::default() };
    let dir = Path::new(&dir);
    let flows: Vec<Flow> = (0..10_000).map(flow).collect();
    for threads in [0, 1, 2] {
        let pool = if threads > 0 { Some(Arc::new(Pool::new(threads)?)) } else { None };
        run(&dir.join("write_speed"), &options, pool.as_ref(), &flows)?;
    }
    idle(dir, &options, &flows)
}

fn flow(n: u64) -> Flow {
    let mut flow = Flow::new();
    let random = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for (field, value) in [
        (Field::First, 1_795_000_000_000 + n),
        (Field::Last, 1_795_000_000_000 + n + (random >> 50)),
        (Field::Received, 1_795_000_020_000 + n),
        (Field::Packets, 1 + (random >> 58)),
        (Field::Bytes, 40 + (random >> 48)),
        (Field::SrcPort, random >> 40 & 0xFFFF),
        (Field::DstPort, [443, 53, 80, 22][(random >> 20 & 3) as usize]),
        (Field::Proto, 6),
        (Field::Input, random >> 10 & 7),
        (Field::Output, random >> 13 & 7),
        (Field::SrcAs, random >> 16 & 0xFF),
        (Field::DstAs, random >> 24 & 0xFF),
        (Field::ExporterId, 1 + n / 30 % 3),
    ] {
        flow.set(field, value);
    }
    flow.set_addr(Field::SrcAddr, Addr::V4(0x0A00_0000 | (random >> 44) as u32 & 0xFFFF));
    flow.set_addr(Field::DstAddr, Addr::V4((random >> 12) as u32));
    flow
}

fn create(
    path: &Path,
    options: &WriterOptions,
    pool: Option<&Arc<Pool>>,
) -> Result<Writer, store::StoreError> {
    match pool {
        Some(pool) => Writer::create_in(pool, path, options),
        None => Writer::create(path, options),
    }
}

fn run(
    path: &Path,
    options: &WriterOptions,
    pool: Option<&Arc<Pool>>,
    flows: &[Flow],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut writer = create(path, options, pool)?;
    let (before, start) = (sys::clock::used(), sys::clock::monotonic());
    for _ in 0..FLOWS / flows.len() as u64 {
        flows.iter().for_each(|f| writer.flow(f));
    }
    let taken = start.elapsed();
    let counts = pool.map(|p| p.counts()).unwrap_or_default();
    writer.settle()?;
    let (all, after) = (start.elapsed(), sys::clock::used());
    let cpu = after.user + after.system - before.user - before.system;
    let each = |t: std::time::Duration| t.as_secs_f64() * 1e9 / FLOWS as f64;
    println!(
        "{} blocks handed over: {:.0} ns a flow in the thread, {:.0} of them waiting; {:.0} until written, {:.0} CPU",
        counts.blocks,
        each(taken),
        each(counts.waited),
        each(all),
        each(cpu)
    );
    writer.close(&[])?;
    Ok(std::fs::remove_file(path)?)
}

/// 1000 writers, each with a few flows a second.
fn idle(
    dir: &Path,
    options: &WriterOptions,
    flows: &[Flow],
) -> Result<(), Box<dyn std::error::Error>> {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 4
    };
    let pool = Arc::new(Pool::new(2)?);
    let before = resident();
    let path = |n: usize| dir.join(format!("idle.{n}"));
    let all: Result<Vec<_>, _> =
        (0..1000).map(|n| create(&path(n), options, Some(&pool))).collect();
    let mut writers = all?;
    for _ in 0..20 {
        for writer in &mut writers {
            flows.iter().take(10).for_each(|f| writer.flow(f));
        }
        writers.iter_mut().try_for_each(Writer::flush)?;
    }
    println!("1000 idle writers: {} KiB more; {:?}", resident() - before, pool.counts());
    drop(writers);
    (0..1000).try_for_each(|n| std::fs::remove_file(path(n)))?;
    Ok(())
}
