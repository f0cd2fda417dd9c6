//! Writes a large capture of packets: what the comparisons of probes read.

use anyhow::{Context as _, ensure};
use bench::packets::{self, Link, Packets, Stored};
use clap::Parser;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

/// Writes a capture: classic pcap, Ethernet, nanoseconds, from 2026-04-10 12:00 UTC on.
#[derive(Parser)]
struct Args {
    /// File to write
    file: PathBuf,
    /// Packets
    #[arg(long, default_value_t = Link::default().packets)]
    packets: u64,
    /// Conversations, of which each has one packet at least
    #[arg(long, default_value_t = Link::default().conversations)]
    flows: u32,
    /// Share of IPv6 conversations in percent
    #[arg(long = "v6", default_value_t = Link::default().v6_percent)]
    v6_percent: u64,
    /// Seconds from the first packet to the last
    #[arg(long, default_value_t = Link::default().seconds)]
    seconds: u32,
    /// The same seed makes the same octets
    #[arg(long, default_value_t = Link::default().seed)]
    seed: u64,
    /// No packet is longer than its headers
    #[arg(long)]
    small: bool,
    /// Store whole packets, not their headers only
    #[arg(long)]
    whole: bool,
}

/// 2026-04-10 12:00 UTC.
const START_SECS: u32 = 1_775_822_400;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!(
        args.flows > 0 && u64::from(args.flows) <= args.packets,
        "--flows {} --packets {}: each conversation has one packet at least",
        args.flows,
        args.packets
    );
    let link = Link {
        packets: args.packets,
        conversations: args.flows,
        v6_percent: args.v6_percent,
        seconds: args.seconds,
        is_small: args.small,
        seed: args.seed,
    };
    let stored = if args.whole { Stored::Whole } else { Stored::Headers };
    let path = args.file.display();
    let file = File::create(&args.file).with_context(|| format!("{path}: cannot create"))?;
    let out = BufWriter::with_capacity(1 << 20, file);
    let totals = packets::write(Packets::new(link), START_SECS, stored, out)
        .with_context(|| format!("{path}: cannot write"))?;
    println!("{} packets, {} octets, {} conversations", totals.packets, totals.octets, args.flows);
    Ok(())
}
