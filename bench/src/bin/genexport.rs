//! Writes a capture of NetFlow exports: the traffic model seen by a few routers.

use bench::{Model, Traffic, capture, export, load};
use clap::{Parser, ValueEnum};
use record::{Field, Flow};
use std::fs::File;
use std::io::BufWriter;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Writes a capture of NetFlow export datagrams.
#[derive(Parser)]
struct Args {
    /// The capture to write
    out: PathBuf,
    /// What routers speak
    #[arg(long, default_value = "v9")]
    protocol: Protocol,
    /// Flows in all; of v5, whole datagrams
    #[arg(long, default_value_t = 5000)]
    flows: usize,
    /// Routers that export
    #[arg(long, default_value_t = 2)]
    exporters: u32,
    /// First export, milliseconds since 1970
    #[arg(long, default_value_t = 1_795_000_000_000)]
    start_ms: u64,
    /// Seconds of traffic
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Hosts inside
    #[arg(long, default_value_t = 400)]
    inside: u64,
    /// Hosts outside
    #[arg(long, default_value_t = 5000)]
    outside: u64,
    /// The same seed makes the same capture
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    V5,
    V9,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let v6_percent = if args.protocol == Protocol::V5 { 0 } else { Model::default().v6_percent };
    let (inside, outside, seed) = (args.inside, args.outside, args.seed);
    let traffic = Traffic::new(Model { inside, outside, v6_percent, seed });
    match args.protocol {
        Protocol::V5 => write_v5(&args, traffic),
        Protocol::V9 => write_v9(&args, traffic),
    }
}

fn write_v5(args: &Args, mut traffic: Traffic) -> anyhow::Result<()> {
    let mut out = capture::Writer::new(BufWriter::new(File::create(&args.out)?))?;
    let datagrams = args.flows.div_ceil(load::FLOWS_V5);
    let routers = args.exporters.max(1) as usize;
    for n in 0..datagrams {
        let at = args.start_ms + args.seconds * 1000 * n as u64 / datagrams as u64;
        let mut datagram = load::v5_datagram(at, &mut traffic);
        let sequence = (n / routers * load::FLOWS_V5) as u32;
        datagram[load::SEQUENCE_V5..][..4].copy_from_slice(&sequence.to_be_bytes());
        let address = Ipv4Addr::new(192, 0, 2, 1 + (n % routers) as u8);
        out.write(at * 1000, (address, 50_000), 9995, &datagram)?;
    }
    out.finish()?;
    eprintln!("{} flows in {datagrams} datagrams", datagrams * load::FLOWS_V5);
    Ok(())
}

fn write_v9(args: &Args, mut traffic: Traffic) -> anyhow::Result<()> {
    let booted = args.start_ms - 90 * 86_400_000;
    let mut routers: Vec<_> =
        (1..=args.exporters).map(|id| export::Exporter::new(id, booted)).collect();
    let mut out = capture::Writer::new(BufWriter::new(File::create(&args.out)?))?;
    let datagrams = args.flows.div_ceil(export::FLOWS_PER_DATAGRAM);
    let mut flows = vec![Flow::new(); export::FLOWS_PER_DATAGRAM];
    for n in 0..datagrams {
        let at = args.start_ms + args.seconds * 1000 * n as u64 / datagrams as u64;
        let left = (args.flows - n * export::FLOWS_PER_DATAGRAM).min(export::FLOWS_PER_DATAGRAM);
        flows.iter_mut().take(left).for_each(|f| {
            traffic.fill(at, f);
            end_by(at, f);
        });
        let count = routers.len();
        let Some(router) = routers.get_mut(n % count) else { break };
        let announce = n / count % 20 == 0;
        let datagram = router.datagram(at, &flows[..left], announce);
        let address = Ipv4Addr::new(192, 0, 2, 1 + (n % count) as u8);
        out.write(at * 1000, (address, 50_000), 9995, &datagram)?;
    }
    out.finish()?;
    eprintln!("{} flows in {datagrams} datagrams", args.flows);
    Ok(())
}

/// Moves a flow that would end after `at_ms` back in time: a router exports what has ended.
fn end_by(at_ms: u64, flow: &mut Flow) {
    let late = flow.number(Field::Last).saturating_sub(at_ms);
    for field in [Field::First, Field::Last] {
        flow.set(field, flow.number(field) - late);
    }
}
