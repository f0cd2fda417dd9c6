//! Sends exports to a collector on loopback at a rate.

use anyhow::Context as _;
use bench::load::{Load, Protocol};
use clap::{Parser, ValueEnum};
use std::net::SocketAddr;

/// Sends NetFlow of the traffic model to a collector on loopback.
#[derive(Parser)]
struct Args {
    /// Where to send
    #[arg(default_value = "127.0.0.1:9995")]
    to: SocketAddr,
    /// What to speak
    #[arg(long, default_value = "v9")]
    protocol: Word,
    /// Flows in all
    #[arg(long, default_value_t = 1_000_000)]
    flows: u64,
    /// Flows a second
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Exporters, 127.1.0.1 and on
    #[arg(long, default_value_t = 8)]
    exporters: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Word {
    V5,
    V9,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let protocol = match args.protocol {
        Word::V5 => Protocol::V5,
        Word::V9 => Protocol::V9,
    };
    let mut load = Load::new(protocol, args.exporters, args.to)?;
    let sent = load.send(args.flows, args.rate).with_context(|| format!("send to {}", args.to))?;
    println!("sent: {} datagrams, {} flows", sent.datagrams, sent.flows);
    eprintln!("{:.1} s, {:.0} flows/s", sent.secs, sent.flows as f64 / sent.secs);
    Ok(())
}
