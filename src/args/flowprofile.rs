//! Options of `flowprofile`. Those of nfprofile are in [`nfprofile`](super::nfprofile).

use clap::{ArgAction, Args as Group, Parser, Subcommand, ValueEnum};
use query::BinWidth;
use std::path::PathBuf;

/// Applies named filters to the files of each slot: sub-archives, counters, tables of ports.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    after_help = "\
PROFILE: its name, or GROUP/NAME. Profiles are defined in a file: docs/profiles.md.

Exit status: 0 done, 1 wrong options or definitions, or input that could not be read in full, 130
interrupted, 254 a filter is wrong. Each command has its own --help.

Examples:
  flowprofile check -C profiles.toml
  flowcapd -w /var/flows -x 'flowprofile run -C profiles.toml %f'
  flowprofile build web -C profiles.toml
  flowprofile graph web -C profiles.toml --bin 1h
  flowprofile ports web -C profiles.toml -n 20"
)]
pub struct Args {
    /// What is to be done
    #[command(subcommand)]
    pub command: Command,

    /// Definitions of profiles
    #[arg(
        short = 'C',
        long,
        value_name = "FILE",
        global = true,
        default_value = "/etc/flowsuite/profiles.toml"
    )]
    pub config: PathBuf,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    pub version: (),
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Work on the slots of these files, in all profiles: for flowcapd -x
    Run(Run),
    /// Work on all files there are, in one profile: slots that are done are left alone
    Build(Build),
    /// Say which channels there are, and from when to when
    List(List),
    /// Say whether the definitions are right
    Check,
    /// Draw or print the counters of a profile
    Graph(Graph),
    /// Print the ports with the most flows, packets and octets: of a slot, and of a day until then
    Ports(Ports),
    /// Print the last slot of each channel as metrics for Prometheus
    Metrics,
}

/// How slots are worked on.
#[derive(Debug, Group)]
pub struct Work {
    /// Also slots that are done
    #[arg(long)]
    pub again: bool,

    /// Say what was done
    #[arg(short = 'v', long)]
    pub verbose: bool,

    /// Threads that pack what is written [default: as many as there are cores]
    #[arg(short = 'W', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// Passphrase of encrypted files, or @FILE
    #[arg(short = 'K', long, value_name = "KEY")]
    pub key: Option<String>,

    /// Keep flows of encrypted files in sub-archives, which are not encrypted
    #[arg(long)]
    pub plain: bool,
}

/// `run`.
#[derive(Debug, Group)]
pub struct Run {
    /// Finished files; with [sources], one of any source stands for all of its slot
    #[arg(required = true)]
    pub file: Vec<PathBuf>,

    /// How
    #[command(flatten)]
    pub work: Work,
}

/// `build`.
#[derive(Debug, Group)]
pub struct Build {
    /// The profile
    #[arg(value_name = "PROFILE")]
    pub profile: String,

    /// Files, as -R of flowdump has them [default: all in the directories of [sources]]
    #[arg(short = 'R', long, value_name = "DIR")]
    pub range: Option<String>,

    /// Slots of this time: YYYY/MM/dd.hh:mm:ss[-YYYY/MM/dd.hh:mm:ss], each as short as YYYY
    #[arg(short = 't', long, value_name = "WINDOW")]
    pub time: Option<String>,

    /// How
    #[command(flatten)]
    pub work: Work,
}

/// `list`.
#[derive(Debug, Group)]
pub struct List {
    /// Format
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    pub output: TableFormat,
}

/// `graph`.
#[derive(Debug, Group)]
pub struct Graph {
    /// The profile
    #[arg(value_name = "PROFILE")]
    pub profile: String,

    /// Channels [default: all]
    #[arg(value_name = "CHANNEL")]
    pub channel: Vec<String>,

    /// Time, as for build [default: the last day that is there]
    #[arg(short = 't', long, value_name = "WINDOW")]
    pub time: Option<String>,

    /// Width of bins: 5m, 1h, 1d [default: a slot; drawn, what fits]
    #[arg(long, value_name = "WIDTH", value_parser = BinWidth::parse)]
    pub bin: Option<BinWidth>,

    /// What is drawn
    #[arg(long, value_name = "WHAT", default_value = "bits")]
    pub by: Measure,

    /// Draw tcp, udp, icmp and others, too
    #[arg(long)]
    pub protocols: bool,

    /// Format
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "plot")]
    pub output: GraphFormat,
}

/// `ports`.
#[derive(Debug, Group)]
pub struct Ports {
    /// The profile
    #[arg(value_name = "PROFILE")]
    pub profile: String,

    /// A moment of the slot: 2026-11-21T10:15, or seconds since 1970 [default: the last one]
    #[arg(short = 't', long, value_name = "TIME")]
    pub time: Option<String>,

    /// So many ports; 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// By which numbers: flows, packets, bytes, separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "flows,packets,bytes")]
    pub by: Vec<Order>,

    /// Hours of the longer list
    #[arg(long, value_name = "HOURS", default_value_t = 24,
          value_parser = clap::value_parser!(u64).range(1..=744))]
    pub hours: u64,

    /// Format
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    pub output: TableFormat,
}

/// Formats of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Columns for people.
    Text,
    /// Comma-separated values with a header line.
    Csv,
    /// An array of objects.
    Json,
    /// An object a line.
    Ndjson,
}

/// Formats of graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Drawn in the terminal.
    Plot,
    /// Columns for people.
    Text,
    /// Comma-separated values with a header line.
    Csv,
    /// An array of objects.
    Json,
    /// An object a line.
    Ndjson,
    /// Commands for `rrdtool -` that fill the databases of NfSen.
    Rrd,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Bits a second.
    Bits,
    /// Octets.
    Bytes,
    /// Packets.
    Packets,
    /// Flows.
    Flows,
}

/// Orders of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Flows.
    Flows,
    /// Packets.
    Packets,
    /// Octets.
    Bytes,
}
