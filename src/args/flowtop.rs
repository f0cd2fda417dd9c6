//! Options of `flowtop`.

use super::flowdump::Color;
use clap::{ArgAction, Args as Group, Parser};
use std::path::PathBuf;
use top::model::parse_span;

/// Shows who talks most, in the last minutes: on the terminal, as flows come in.
///
/// Reads what a collector is writing, and the files before it. A flow counts when its report
/// arrived, so the window should not be shorter than the active timeout of the exporters.
#[derive(Debug, Parser)]
#[command(
    args_override_self = true,
    version,
    disable_version_flag = true,
    after_help = format!("{}{NOTES}", keys())
)]
pub struct Args {
    /// Which flows
    #[command(flatten)]
    pub input: Input,
    /// What is counted
    #[command(flatten)]
    pub count: Count,
    /// How it is shown
    #[command(flatten)]
    pub show: Show,

    /// The filter: all words together, as in: proto tcp and dst port 443
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// Which flows.
#[derive(Debug, Group)]
#[command(next_help_heading = "Input")]
pub struct Input {
    /// Follow this directory with all below it, or a file; several allowed
    #[arg(short = 'r', long = "read", value_name = "DIR", action = ArgAction::Append,
          default_value = "/var/lib/flowsuite/flows")]
    pub read: Vec<PathBuf>,

    /// Flows of the last 10s, 5m, 1h, ... up to 1d
    #[arg(short = 't', long, value_name = "SPAN", value_parser = parse_span, default_value = "5m")]
    pub window: u64,

    /// Where the window ends: now, or with the last flow there is
    #[arg(long, value_name = "WHEN", value_enum, default_value = "now")]
    pub end: End,

    /// Passphrase of encrypted files, in the first line of a file; or without @, for all to see
    #[arg(short = 'K', long, value_name = "@FILE", require_equals = true)]
    pub key: Option<String>,

    /// Databases of countries and autonomous systems, for elements and filters: FILE[,FILE...]
    #[arg(short = 'G', long, value_name = "FILE")]
    pub geo: Option<String>,
}

/// Where the window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum End {
    /// Now
    Now,
    /// With the flow that arrived last
    Last,
}

/// What is counted.
#[derive(Debug, Group)]
#[command(next_help_heading = "Statistics and groups")]
pub struct Count {
    /// What flows are counted by, as in flowdump: ELEMENT[:p][/ORDER[:a|:d]]; orders are bytes,
    /// packets, flows, bps, pps
    #[arg(short = 's', long = "stat", value_name = "ELEMENT[/ORDER]", default_value = "ip/bytes")]
    pub statistic: String,

    /// What record is: conversations by these fields: srcip4/24,dstport,...
    #[arg(short = 'A', long, value_name = "FIELDS")]
    pub group_by: Option<String>,

    /// Join both directions of conversations, for -s record
    #[arg(short = 'b', long)]
    pub bidirectional: bool,

    /// Rows; 0 for all there are (--once) [default: 10 with --once, else 200]
    #[arg(short = 'n', long, value_name = "N")]
    pub top: Option<usize>,

    /// Keep sums of so many values at most; smaller ones are counted as other
    #[arg(long, value_name = "N", default_value_t = 32_768,
          value_parser = clap::value_parser!(u32).range(100..=4_000_000))]
    pub max_keys: u32,
}

/// How it is shown.
#[derive(Debug, Group)]
#[command(next_help_heading = "Output")]
pub struct Show {
    /// Print once, and end
    #[arg(long)]
    pub once: bool,

    /// Format of --once: text, csv, json, ndjson, raw
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text", requires = "once")]
    pub output: String,

    /// Plain numbers, not scaled (--once)
    #[arg(short = 'N', long, requires = "once")]
    pub plain_numbers: bool,

    /// Nothing but the table (--once)
    #[arg(short = 'q', long, requires = "once")]
    pub quiet: bool,

    /// Seconds between two answers: 2s, 1m
    #[arg(short = 'i', long, value_name = "SPAN", value_parser = parse_span, default_value = "2s")]
    pub interval: u64,

    /// Show names of hosts and ports
    #[arg(long)]
    pub names: bool,

    /// Colours
    #[arg(long, value_name = "WHEN", default_value = "auto", value_enum)]
    pub color: Color,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    pub version: (),
}

/// The keys of the screen, as `?` explains them there.
fn keys() -> String {
    let line = |(keys, what): &(&str, &str)| format!("  {keys:<15}  {what}\n");
    format!("Keys:\n{}", top::view::HELP.iter().map(line).collect::<String>())
}

const NOTES: &str = "
Exit status: 0 done, 1 wrong options, no such directory, no terminal, or files that could not be
read in full (--once), 254 wrong filter.

Examples:
  flowtop                                          what flowcapd is writing
  flowtop -r /var/flows -s dstip/packets -t 1m 'proto udp'
  flowtop -r /var/flows -s record -b               conversations, both directions together
  flowtop --once -n 5 -o csv -s port -t 15m        for scripts
  flowtop --once --end last -r nfcapd.202604101200 files of another day";
