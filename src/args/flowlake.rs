//! Options of `flowlake`, whose program is a package of its own: what it needs takes long to build,
//! and nothing else of the suite does.

pub mod stream;
pub mod write;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

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
  flowlake stream -R /var/flows --to ndjson:-     flows as lines; see flowlake stream --help
  flowlake sql -R /data/flows -s dstip/bytes -n 10   flowdump's answer, by DuckDB"
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
        args: Vec<OsString>,
    },
    #[allow(missing_docs, reason = "said of the type")]
    Stream(Box<stream::Stream>),
    #[allow(missing_docs, reason = "said of the type")]
    Sql(Box<Sql>),
}

/// Answers a command line of flowdump by the SQL of another engine, or prints that SQL
#[derive(Debug, Group)]
#[command(after_help = "\
What is not an option of this page, and all that follows, is flowdump's: -R DATASET or -r FILE.parquet,
a filter, -s, -A, -a, -O, -t, -n, -c, -o and so on: see flowdump --help.

DuckDB is its command line, if that is installed, or Python's package duckdb; Spark is Python's package
pyspark; ClickHouse is its command line, a server (--url), or Python's package chdb.

Exit status: 0 done, 1 wrong options or what the engine cannot be asked, 254 wrong filter,
130 interrupted.

Examples:
  flowlake sql -R /data/flows -s dstip/bytes -n 10 'proto tcp'
  flowlake sql --print --engine clickhouse --table net.flows -A srcip4/24,dstport -O bytes -n 20
  flowlake sql --engine clickhouse --url http://db:8123 --table flows -o json 'host 192.0.2.7'
  flowlake sql --engine spark --url spark://master:7077 -R /data/flows -s srcip/packets")]
pub struct Sql {
    /// Whose SQL it is
    #[arg(long, value_name = "ENGINE", value_enum, default_value = "duckdb")]
    pub engine: Engine,

    /// Print the SQL and ask nobody
    #[arg(long)]
    pub print: bool,

    /// Table or view with the columns of the dataset, in the place of -R: flowlake schema makes one
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,

    /// Where the engine is: http://HOST:PORT or https://HOST:PORT of ClickHouse, spark://HOST:PORT or
    /// local[N] of Spark
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Authorities to believe over https, certificates in PEM [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,

    /// User of ClickHouse; the password is in the environment, CLICKHOUSE_PASSWORD
    #[arg(long, value_name = "NAME", requires = "url")]
    pub user: Option<String>,

    /// Command that answers: a statement on standard input, its rows on standard output, values
    /// between tabs or commas. It is run by a shell, once for each statement
    #[arg(long, value_name = "COMMAND", conflicts_with = "url")]
    pub runner: Option<String>,

    /// Python that has the package of the engine
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: String,

    /// Options and filter of flowdump
    #[arg(value_name = "FLOWDUMP", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// DuckDB
    #[value(name = "duckdb")]
    DuckDb,
    /// Apache Spark
    Spark,
    /// ClickHouse
    #[value(name = "clickhouse")]
    ClickHouse,
}
