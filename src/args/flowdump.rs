//! Options of `flowdump`, those of nfdump 1.7 and our own. Every letter has a long name.

use crate::args::many::Many;
use clap::{Args as Group, Parser};
use std::path::PathBuf;

/// Reads nfcapd files: lists flows, counts top talkers, groups, filters, writes.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "\
Examples:
  flowdump -R /var/flows -s dstip/bytes -n 10          top 10 destinations by bytes
  flowdump -R /var/flows -o long 'proto tcp and port 443'
  flowdump -r nfcapd.202604101200 -A srcip4/24,dstport -O bytes
  flowdump -R /var/flows -o csv 'host 192.0.2.7' > flows.csv
  flowdump -R /var/flows --bin 5m --plot -s proto/bytes -n 4
  flowdump -R /var/flows -s inif --percentile 95       what a link is billed by
  flowdump -R /var/flows -s srcip/distinct:dstport     who scans
  flowdump --explain 'src net 10/8 and port in [80 443]'

Exit status: 0 done, 1 wrong options or input not read in full, 254 wrong filter,
255 filter file not readable, 130 interrupted. Under the name nfdump they are
nfdump's: 0 also for input that cannot be read."
)]
pub struct Args {
    /// Which files
    #[command(flatten)]
    pub input: Input,
    /// Which flows
    #[command(flatten)]
    pub select: Select,
    /// What is made of them
    #[command(flatten)]
    pub count: Count,
    /// How it looks
    #[command(flatten)]
    pub show: Show,
    /// What is done with files
    #[command(flatten)]
    pub files: Files,
    /// What else is known, and what may be used
    #[command(flatten)]
    pub setup: Setup,

    /// The filter: all words together, as in: proto tcp and dst port 443
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// Which files.
#[derive(Debug, Group)]
#[command(next_help_heading = "Input")]
pub struct Input {
    /// Read one file (or all files below a directory), also Parquet of flowlake; - is standard input
    #[arg(short = 'r', long = "read", value_name = "FILE", conflicts_with = "range")]
    pub read: Option<String>,

    /// Many files
    #[command(flatten)]
    pub many: Many,

    /// Only flows between two local times: YYYY/MM/dd.hh:mm:ss[-YYYY/MM/dd.hh:mm:ss]
    #[arg(short = 't', long, value_name = "WINDOW")]
    pub window: Option<String>,

    /// Passphrase of encrypted files, in the first line of a file; or without @, for all to see
    #[arg(short = 'K', long, value_name = "@FILE", require_equals = true)]
    pub key: Option<String>,
}

/// Which flows.
#[derive(Debug, Group)]
#[command(next_help_heading = "Filter")]
pub struct Select {
    /// Read the filter from a file; a filter on the command line comes first
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filter_file: Option<PathBuf>,

    /// Filter on what -a, -A, -O and -s record print
    #[arg(short = 'P', long, value_name = "FILTER")]
    pub post_filter: Option<String>,

    /// Stop after this many matching records
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// Check the filter and exit: silent if it is right
    #[arg(short = 'Z', long)]
    pub check_filter: bool,

    /// Say what the filter means, which fields it reads and how it is tested
    #[arg(short = 'X', long)]
    pub explain: bool,
}

/// What is made of the flows.
#[derive(Debug, Group)]
#[command(next_help_heading = "Statistics and groups")]
pub struct Count {
    /// Statistic: ELEMENT[:p][/ORDER[:a|:d]]..., several allowed; ORDER may be distinct:FIELD
    #[arg(short = 's', long = "stat", value_name = "ELEMENT[:p][/ORDER]",
          action = clap::ArgAction::Append)]
    pub statistics: Vec<String>,

    /// Lines of a statistic or a sorted list; 0 for all [default: 10 for statistics]
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub top: Option<usize>,

    /// Sort by flows, packets, bytes, pps, bps, bpp, tstart, tend, duration
    #[arg(short = 'O', long, value_name = "ORDER[:a|:d]")]
    pub order: Option<String>,

    /// Sort by start time (old form of -O tstart)
    #[arg(short = 'm', hide = true)]
    pub by_start: bool,

    /// Join records with equal protocol, addresses and ports
    #[arg(short = 'a', long)]
    pub aggregate: bool,

    /// Join records by these fields: srcip4/24,dstport,...
    #[arg(short = 'A', long, value_name = "FIELDS")]
    pub group_by: Vec<String>,

    /// As -a, and join both directions of a connection
    #[arg(short = 'b', long)]
    pub bidirectional: bool,

    /// As -b, and turn connections round whose source looks like the server
    #[arg(short = 'B', long)]
    pub guess_direction: bool,

    /// Time series: counters per 30s, 5m, 1h, 1d; with -s for each of the top N
    #[arg(long, value_name = "WIDTH")]
    pub bin: Option<String>,

    /// Draw the series of --bin
    #[arg(long, requires = "bin")]
    pub plot: bool,

    /// Percentile of the rate per --bin [default: 5m] of each value of -s or -A
    #[arg(long, value_name = "P")]
    pub percentile: Option<String>,
}

/// How it looks.
#[derive(Debug, Group)]
#[command(next_help_heading = "Output")]
pub struct Show {
    /// Format: line, long, extended, csv, json, ndjson, null, fmt:SPEC, csv:SPEC, ...
    #[arg(short = 'o', long, value_name = "FORMAT")]
    pub output: Option<String>,

    /// No header and no summary
    #[arg(short = 'q', long)]
    pub quiet: bool,

    /// Plain numbers: no scaling, protocols and flags as numbers
    #[arg(short = 'N', long)]
    pub plain_numbers: bool,

    /// Names of services and protocols instead of numbers
    #[arg(long, conflicts_with = "plain_numbers")]
    pub names: bool,

    /// Print IPv6 addresses in full
    #[arg(short = '6', long)]
    pub wide: bool,

    /// Time zone of all times, read and printed: Europe/Zurich, UTC, +02:00 [default: TZ]
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub tz: Option<String>,

    /// Colours
    #[arg(long, value_name = "WHEN", default_value = "auto", value_enum)]
    pub color: Color,

    /// Columns of a format with types and units, and the version of this contract
    #[arg(long, value_name = "csv|json|ndjson|...")]
    pub schema: Option<String>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Also in files and pipes
    Always,
    /// Not at all
    Never,
}

/// What is done with indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IndexWork {
    /// Of files that have none, or changed since
    Build,
    /// Compare them with the files
    Check,
    /// Remove those of the days of the files
    Drop,
}

/// Whose losses are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LossView {
    /// Files and, where people read, exporters
    Both,
    /// A line for each file and cause
    Files,
    /// A line for each exporter and cause
    Exporters,
}

/// What is shown of interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CounterView {
    /// A line for each interface, the busiest first
    Sums,
    /// A line for each two samples that follow each other
    Rates,
    /// A line for each sample
    Samples,
}

/// What is done with files.
#[derive(Debug, Group)]
#[command(next_help_heading = "Files")]
pub struct Files {
    /// Write the flows to a file instead of printing them
    #[arg(short = 'w', long, value_name = "FILE")]
    pub write: Option<PathBuf>,

    /// How what is written is compressed
    #[command(flatten)]
    pub compress: super::Compress,

    /// Print the statistics stored in the files, summed
    #[arg(short = 'I', long)]
    pub info: bool,

    /// Print a line for each file: time, flows, packets, bytes
    #[arg(short = 'g', long)]
    pub gnuplot: bool,

    /// Print who had a public address and port at a moment, from NAT events and translated flows:
    /// IP,PORT,TIME, PORT may be any, TIME as 2026-11-21T10:15:30; JSON with -o json. Exit status 1
    /// if nobody is found
    #[arg(long, value_name = "IP,PORT,TIME")]
    pub nat_who: Option<String>,

    /// Print what the collector lost while it wrote the files, and where; of each file, or of the
    /// -n exporters that lost most [default: both, for programs files]
    #[arg(long, value_name = "VIEW", value_enum, num_args = 0..=1, require_equals = true,
          default_missing_value = "both")]
    pub where_lost: Option<LossView>,

    /// Print what interfaces counted, from samples that the collector kept beside the files: sums
    /// of each interface (with --bin, in each bin), rates between samples, or the samples
    #[arg(long, value_name = "VIEW", value_enum, num_args = 0..=1, require_equals = true,
          default_missing_value = "sums")]
    pub counters: Option<CounterView>,

    /// Print the exporters of a file
    #[arg(short = 'E', long, value_name = "FILE")]
    pub exporters: Option<PathBuf>,

    /// Check a file block by block and describe it
    #[arg(short = 'v', long, value_name = "FILE")]
    pub verify: Option<PathBuf>,

    /// Rewrite damaged files with all that can be read; the originals are kept as
    /// .flowsuite-NAME.damaged.no-pcap
    #[arg(long, conflicts_with_all = ["write", "recompress", "set_ident"])]
    pub repair: bool,

    /// Compress files again in place: none, lzo, bz2, lz4, zstd, or nfdump's number 0 to 4
    #[arg(short = 'J', long, value_name = "METHOD", conflicts_with_all = ["write", "set_ident"])]
    pub recompress: Option<String>,

    /// Indexes of the files, by which later searches leave out what cannot match: build those that
    /// are missing or of an earlier state of their file, check them against the files, drop them
    #[arg(long, value_name = "WHAT", value_enum,
          conflicts_with_all = ["write", "repair", "recompress", "set_ident"])]
    pub index: Option<IndexWork>,

    /// Read all files, whatever their indexes say
    #[arg(long)]
    pub no_index: bool,

    /// Change the ident of the file of -r
    #[arg(short = 'i', long, value_name = "IDENT", conflicts_with = "write")]
    pub set_ident: Option<String>,
}

/// What else is known, and what may be used.
#[derive(Debug, Group)]
#[command(next_help_heading = "Configuration")]
pub struct Setup {
    /// Configuration file; none reads none [default: NFCONF, or the system's]
    #[arg(short = 'C', long, value_name = "FILE")]
    pub config: Option<String>,

    /// Databases of countries and autonomous systems (.mmdb), separated by commas; none uses none
    #[arg(short = 'G', long, value_name = "FILE")]
    pub geo: Option<String>,

    /// List of the exits of the Tor network; none uses none
    #[arg(short = 'H', long, value_name = "FILE")]
    pub tor: Option<String>,

    /// Memory that groups may take: 500M, 4G [default: three quarters of what is free]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,

    /// Threads that read and count [default: all cores]
    #[arg(short = 'W', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// Extension maps of files of 1.6: our files have none
    #[arg(short = 'x', value_name = "FILE", hide = true)]
    pub extension_maps: Option<PathBuf>,

    /// Accepted for compatibility, without effect
    #[arg(short = 'D', value_name = "DNS", hide = true)]
    pub obsolete_dns: Option<String>,

    /// Accepted for compatibility, without effect
    #[arg(short = 'T', hide = true)]
    pub obsolete_tags: bool,

    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    pub version: (),
}
