//! Options of `flowdump`, those of nfdump 1.7.

use clap::Parser;
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

Exit status: 0 done, 1 wrong options or input not read in full, 254 wrong filter,
255 filter file not readable."
)]
pub struct Args {
    /// Read one file (or all files below a directory)
    #[arg(short = 'r', value_name = "FILE", conflicts_with = "range")]
    pub read: Option<String>,

    /// Read many files: DIR, DIR/FIRST (from there on) or DIR/FIRST:LAST
    #[arg(short = 'R', value_name = "DIR[/FIRST[:LAST]]")]
    pub range: Option<String>,

    /// Read the same names below several directories: BASE/DIR1:DIR2:..., or PATH@ for all
    #[arg(short = 'M', value_name = "BASE/DIR1:DIR2")]
    pub multi: Option<String>,

    /// Read the filter from a file; a filter on the command line comes first
    #[arg(short = 'f', value_name = "FILE")]
    pub filter_file: Option<PathBuf>,

    /// Check the filter and exit: silent if it is right
    #[arg(short = 'Z')]
    pub check_filter: bool,

    /// Output: line, long, extended, csv, json, ndjson, null, fmt:SPEC, csv:SPEC, ...
    #[arg(short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,

    /// Stop after this many matching records
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// No header and no summary
    #[arg(short = 'q')]
    pub quiet: bool,

    /// Plain numbers: no scaling, protocols and flags as numbers
    #[arg(short = 'N')]
    pub plain_numbers: bool,

    /// Print IPv6 addresses in full
    #[arg(short = '6')]
    pub wide: bool,

    /// Statistic: ELEMENT[:p][/ORDER[:a|:d]]..., several allowed
    #[arg(short = 's', value_name = "ELEMENT[:p][/ORDER]", action = clap::ArgAction::Append)]
    pub statistics: Vec<String>,

    /// Lines of a statistic or a sorted list; 0 for all [default: 10 for statistics]
    #[arg(short = 'n', value_name = "N")]
    pub top: Option<usize>,

    /// Join records with equal protocol, addresses and ports
    #[arg(short = 'a')]
    pub aggregate: bool,

    /// Join records by these fields: srcip4/24,dstport,...
    #[arg(short = 'A', value_name = "FIELDS")]
    pub group_by: Vec<String>,

    /// Sort by flows, packets, bytes, pps, bps, bpp, tstart, tend, duration [:a or :d];
    /// also the default order of statistics
    #[arg(short = 'O', value_name = "ORDER[:a|:d]")]
    pub order: Option<String>,

    /// Sort by start time (old form of -O tstart)
    #[arg(short = 'm', hide = true)]
    pub by_start: bool,

    /// Only flows between two local times: YYYY/MM/dd.hh:mm:ss[-YYYY/MM/dd.hh:mm:ss]
    #[arg(short = 't', value_name = "WINDOW")]
    pub window: Option<String>,

    /// Write the flows to a file instead of printing them
    #[arg(short = 'w', value_name = "FILE")]
    pub write: Option<PathBuf>,

    /// How what is written is compressed
    #[command(flatten)]
    pub compress: super::Compress,

    /// Print the statistics stored in the files, summed
    #[arg(short = 'I')]
    pub info: bool,

    /// Check a file block by block and describe it
    #[arg(short = 'v', value_name = "FILE")]
    pub verify: Option<PathBuf>,

    /// Threads that read and count [default: all cores]
    #[arg(short = 'W', value_name = "N")]
    pub workers: Option<usize>,

    /// Accepted for compatibility, without effect
    #[arg(short = 'D', hide = true)]
    pub obsolete_dns: bool,

    /// Accepted for compatibility, without effect
    #[arg(short = 'T', hide = true)]
    pub obsolete_tags: bool,

    /// Print the version
    #[arg(short = 'V', action = clap::ArgAction::Version)]
    pub version: (),

    /// The filter: all words together, as in: proto tcp and dst port 443
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
}
