//! Plays the UDP datagrams of a capture to a collector.

use anyhow::Context as _;
use bench::capture;
use clap::Parser;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

/// Plays the UDP datagrams of a capture to a collector on loopback.
#[derive(Parser)]
struct Args {
    /// The capture: pcap, Ethernet
    capture: PathBuf,
    /// Where to send
    #[arg(default_value = "127.0.0.1:9995")]
    to: SocketAddr,
    /// Datagrams a second
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Only datagrams that the capture sent to this port
    #[arg(long)]
    port: Option<u16>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let name = args.capture.display();
    let file = std::fs::read(&args.capture).with_context(|| format!("{name}"))?;
    let datagrams =
        capture::datagrams(&file).with_context(|| format!("{name}: not a pcap file"))?;
    let local: SocketAddr =
        if args.to.is_ipv4() { "127.0.0.1:0".parse()? } else { "[::1]:0".parse()? };
    let socket = UdpSocket::bind(local).context("bind")?;
    let start = sys::clock::monotonic();
    let mut sent = 0u32;
    for d in datagrams.iter().filter(|d| args.port.is_none_or(|p| p == d.to_port)) {
        socket.send_to(d.payload, args.to).with_context(|| format!("send to {}", args.to))?;
        sent += 1;
        let due = Duration::from_secs_f64(f64::from(sent) / f64::from(args.rate.max(1)));
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    eprintln!("{sent} datagrams sent to {}", args.to);
    Ok(())
}
