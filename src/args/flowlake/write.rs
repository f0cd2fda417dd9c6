//! Options of `flowlake write` and `flowlake schema`.

use clap::{ArgAction, Args as Group, ValueEnum};
use std::path::PathBuf;

/// Writes flow files into a Parquet dataset, by date, hour and exporter; what it has already is left
/// out
#[derive(Debug, Group)]
#[command(after_help = "\
Files of any age and origin that flowdump reads. The dataset remembers what it was made of: a second
run writes what is new or has changed, also after a crash. Flow files may expire, their flows stay.

Exit status: 0 done, 1 wrong options, or input not read in full: what could be read is written then;
130 interrupted: run it again to go on.

Examples:
  flowlake write -R /var/flows -w /data/lake                       all of a tree, or what is new in it
  flowlake write -R /var/flows/nfcapd.202611180000:nfcapd.202611182355 -w /data/lake   a day
  flowlake write -R /var/flows -w /data/lake --watch               and whatever comes, until Ctrl-C
  flowcapd -w /var/flows -x 'flowlake write -q -r %d/%f -w /data/lake'   each file as it is closed")]
pub struct Write {
    /// Read this file, or all files below a directory
    #[arg(short = 'r', long, value_name = "FILE|DIR", help_heading = "Input")]
    pub read: Option<String>,

    /// Read a tree, or a range of its files: DIR, DIR/FIRST, DIR/FIRST:LAST
    #[arg(
        short = 'R',
        long,
        value_name = "RANGE",
        help_heading = "Input",
        required_unless_present = "read"
    )]
    pub range: Option<String>,

    /// Read the same names below several directories: BASE/DIR1:DIR2, BASE@
    #[arg(short = 'M', long, value_name = "DIRS", help_heading = "Input")]
    pub multi: Option<String>,

    /// Passphrase of encrypted files; @FILE reads it from the first line of a file
    #[arg(short = 'K', long, value_name = "KEY|@FILE", help_heading = "Input")]
    pub key: Option<String>,

    /// Go on looking for new files, every so many seconds [default: 10]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "10", value_parser = clap::value_parser!(u64).range(1..=86_400),
          help_heading = "Input")]
    pub watch: Option<u64>,

    /// The dataset: a directory that is empty, new, or has one
    #[arg(short = 'w', long, value_name = "DATASET", help_heading = "Output")]
    pub write: PathBuf,

    /// Leave the text columns of addresses empty: a quarter less octets
    #[arg(long, help_heading = "Output")]
    pub no_text: bool,

    /// Name flow files by their paths below this directory, so that the tree may move [default: by
    /// full paths]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub base: Option<PathBuf>,

    /// What comes in front of those names: which machine, where several write into one dataset
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    pub origin: Option<String>,

    /// Threads, each with a file [default: all cores]
    #[arg(short = 'W', long, value_name = "N", help_heading = "General",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// Print nothing when all is well
    #[arg(short = 'q', long, help_heading = "General", action = ArgAction::SetTrue)]
    pub quiet: bool,
}

/// Prints the columns of the dataset, or statements that make a table of it
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  flowlake schema                                            the columns
  flowlake schema --for duckdb --dataset /data/lake | duckdb flows.db
  flowlake schema --for clickhouse --table net.flows         a table to insert into")]
pub struct Schema {
    /// Whose statements
    #[arg(long = "for", value_name = "ENGINE", value_enum)]
    pub engine: Option<Engine>,

    /// Where the dataset is, as the engine sees it: a path, or a URL such as s3://bucket/lake
    #[arg(long, value_name = "PATH", requires = "engine")]
    pub dataset: Option<String>,

    /// Name of the view or table
    #[arg(long, value_name = "NAME", default_value = "flows", requires = "engine")]
    pub table: String,

    /// Columns as a table of Markdown
    #[arg(long, conflicts_with = "engine")]
    pub markdown: bool,
}

/// What reads the dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// DuckDB: a view
    Duckdb,
    /// Apache Spark: a view
    Spark,
    /// ClickHouse: a view; a table without --dataset
    Clickhouse,
    /// Trino with its Hive connector: an external table
    Trino,
}
