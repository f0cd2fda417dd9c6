//! Writes a capture of NetFlow v9 exports: the traffic model seen by a few routers.

use bench::{Model, Traffic, capture, export};
use clap::Parser;
use record::{Field, Flow};
use std::fs::File;
use std::io::BufWriter;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Writes a capture of NetFlow v9 export datagrams.
#[derive(Parser)]
struct Args {
    /// The capture to write
    out: PathBuf,
    /// Flows in all
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

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let model =
        Model { inside: args.inside, outside: args.outside, seed: args.seed, ..Model::default() };
    let mut traffic = Traffic::new(model);
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
