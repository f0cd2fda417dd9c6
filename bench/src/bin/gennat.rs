//! Writes a capture of one record of each kind that address translators and firewalls export.

use bench::capture;
use clap::Parser;
use std::fs::File;
use std::io::BufWriter;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use wire::testing::nat;

/// Writes a capture of NAT and firewall events: NetFlow v9, then IPFIX.
#[derive(Parser)]
struct Args {
    /// The capture to write
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut out = capture::Writer::new(BufWriter::new(File::create(args.out)?))?;
    let first_us = u64::from(nat::EXPORT_SECS) * 1_000_000;
    for (n, (_, _, datagram)) in (0..).zip(nat::datagrams()) {
        let from = (Ipv4Addr::new(192, 0, 2, 1), 50_000);
        out.write(first_us + n * 1000, from, 9995, &datagram)?;
    }
    out.finish()?;
    Ok(())
}
