//! Options of `flowimport`.

use super::Compress;
use clap::{ArgAction, Parser, ValueEnum};
use flowtools::Columns;
use std::path::PathBuf;

/// Brings flows of flow-tools, lines of flow-export, and packets of captures into nfcapd files.
///
/// INPUT is a file of flow-tools (ft-v05.*, also one that is being written, also packed by gzip),
/// CSV as flow-export -f 2 writes it, a capture of packets (pcap, pcapng), a directory of
/// flow-capture, however nested, or - for standard input. What a file is, its first octets say.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    after_help = "\
Into a directory, flows go into the files of their slots by the time at which they were exported,
as flowcapd would have written them. A file that is there already is added to: do not import twice.
Files get their names when everything was read; an import that fails or is interrupted leaves
nothing. Flows of a capture are those that flowprobe makes of its packets.

Exit status: 0 done, 1 wrong options, or input not read in full: what could be read is imported
then; 130 interrupted, and nothing imported.

Examples:
  flowimport -w /var/flows /var/netflow/ft                  all that flow-capture has collected
  flowimport -w /var/flows -S 1 -z=zstd -R /var/netflow/ft  by day, packed
  flowimport -w flows.nf ft-v05.2026-11-20.101500+0100      into one file
  flow-cat ft-v05.2026-11-20.* | flowimport -w flows.nf -
  flowimport -w flows.nf -m 0xFF31EF lines.csv              CSV of these columns
  flowimport --header ft-v05.2026-11-20.101500+0100         what flow-header prints"
)]
pub struct Args {
    /// What is imported
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,

    /// The same
    #[arg(short = 'r', long, value_name = "FILE", action = ArgAction::Append, help_heading = "Input")]
    pub read: Vec<PathBuf>,

    /// Import a directory of flow-capture, or its files from FIRST on, up to LAST
    #[arg(short = 'R', long, value_name = "DIR[/FIRST[:LAST]]", help_heading = "Input")]
    pub range: Vec<PathBuf>,

    /// Import files of directories, too, that are being written: tmp-*
    #[arg(short = 'a', long, help_heading = "Input")]
    pub all: bool,

    /// What the input is
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Auto, help_heading = "Input")]
    pub format: Format,

    /// Columns of CSV without a line of names: a mask, or names with commas [default: by their number
    /// those of v5, 0xFFF37EF, or v1, 0xFF31EF]
    #[arg(short = 'm', long, value_name = "MASK", help_heading = "Input")]
    pub columns: Option<Columns>,

    /// Write to this file, or to the files of this directory
    #[arg(
        short = 'w',
        long,
        value_name = "FILE|DIR",
        required_unless_present = "header",
        help_heading = "Output"
    )]
    pub write: Option<PathBuf>,

    /// Seconds a file of the directory covers
    #[arg(short = 't', long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Output")]
    pub interval: u32,

    /// Sub directories: 0 none, 1 %Y/%m/%d, 2 %Y/%m/%d/%H, 3 %Y/%W/%u, 4 %Y/%W/%u/%H, 5 %Y/%j,
    /// 6 %Y/%j/%H, 7 %F, 8 %F/%H
    #[arg(short = 'S', long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=8), help_heading = "Output")]
    pub subdirs: u8,

    /// Ident stored in the files
    #[arg(
        short = 'I',
        long,
        value_name = "IDENT",
        default_value = "none",
        help_heading = "Output"
    )]
    pub ident: String,

    /// How what is written is compressed
    #[command(flatten, next_help_heading = "Output")]
    pub compress: Compress,

    /// Print what stands before the flows of each file, as flow-header does, and import nothing
    #[arg(long, conflicts_with = "write", help_heading = "General")]
    pub header: bool,

    /// Print nothing when all is well
    #[arg(short = 'q', long, help_heading = "General")]
    pub quiet: bool,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "General")]
    pub version: (),
}

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// What its first octets say
    Auto,
    /// A file of flow-tools
    FlowTools,
    /// Lines of flow-export -f 2
    Csv,
    /// A capture of packets
    Pcap,
}
