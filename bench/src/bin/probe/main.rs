//! Runs flowprobe, softflowd and nfpcapd in turn on the same packets, from files and from a wire.

mod live;
mod read;
mod sink;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares flowprobe with softflowd and nfpcapd: time, memory, and whether they agree. Appends to a file of results.
#[derive(Parser)]
struct Args {
    /// Directory for captures and flow files; what is in it is removed
    #[arg(long)]
    data: PathBuf,
    /// The flowprobe to measure
    #[arg(long)]
    flowprobe: PathBuf,
    /// The softflowd to compare with
    #[arg(long, default_value = "softflowd")]
    softflowd: PathBuf,
    /// The nfpcapd to compare with
    #[arg(long, default_value = "nfpcapd")]
    nfpcapd: PathBuf,
    /// Results are appended here
    #[arg(long)]
    results: PathBuf,
    /// Packets of a capture
    #[arg(long, default_value_t = 5_000_000)]
    packets: u64,
    /// Conversations of a capture
    #[arg(long, default_value_t = 300_000)]
    flows: u32,
    /// Runs of each; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only works whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Few packets: fail only if some are lost
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    bench::measure::main("probe", || {
        let args = Args::parse();
        read::compare(&args).and_then(|()| live::compare(&args))
    })
}
