//! Options of `flowlake`, whose program is a package of its own: what it needs takes long to build,
//! and nothing else of the suite does.

pub mod stream;
pub mod write;

use clap::{Parser, Subcommand};

/// Flow files for engines of analysis: a Parquet dataset, streams, and the same questions in SQL
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Exit status: 0 done, 1 wrong options or what cannot be done, 130 interrupted.

Examples:
  flowlake schema                                 the columns of the dataset
  flowlake write -R /var/flows -w /data/lake      flow files into a dataset; see flowlake write --help
  flowlake dump -R /data/lake -s dstip/bytes      as flowdump, which runs this by itself
  flowlake stream -R /var/flows --to ndjson:-     flows as lines; see flowlake stream --help"
)]
pub struct Args {
    /// What is done
    #[command(subcommand)]
    pub action: Action,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub enum Action {
    #[allow(missing_docs, reason = "said of the type")]
    Schema(write::Schema),
    #[allow(missing_docs, reason = "said of the type")]
    Write(Box<write::Write>),
    /// Answers as flowdump does, with its options, of Parquet files and datasets
    #[command(disable_help_flag = true)]
    Dump {
        /// Options of flowdump: see flowdump --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    #[allow(missing_docs, reason = "said of the type")]
    Stream(Box<stream::Stream>),
}
