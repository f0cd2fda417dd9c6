//! Runs flowprobe, softflowd and nfpcapd in turn on the same packets, from files and from a wire, and
//! prints what they make of them and what they use for it.

mod live;
mod read;
mod sink;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares flowprobe with softflowd and nfpcapd: packets a second, memory, and whether they agree.
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
    /// No goals: there are too few packets for the numbers to mean anything
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    // The second form: run one command and say what it used. A process of its own for each run, so
    // that the command is its only child.
    let mut words = std::env::args_os().skip(1).peekable();
    let result = if words.peek().is_some_and(|w| w == "measure") {
        read::measure(words.skip(1).collect())
    } else {
        compare(&Args::parse())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("probe: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let missed = read::compare(args)? + live::compare(args)?;
    if args.check {
        println!("Too few packets to compare: this only shows that the comparison runs.");
    } else {
        println!("{missed} below their goal");
    }
    Ok(())
}
