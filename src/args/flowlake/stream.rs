//! Options of `flowlake stream`.

use crate::args::many::Many;
use clap::{Args as Group, Parser, ValueEnum};
use std::path::PathBuf;
use top::model::parse_span;

/// Streams flows to Kafka, to ClickHouse, to OpenTelemetry or as lines of JSON: stored ones, or each
/// file that a collector finishes.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 1 wrong options, what cannot be done, or flows that could not be read,
130 interrupted (0 with --follow), 254 wrong filter.

Examples:
  flowlake stream -R /var/flows --to ndjson:- 'proto tcp and dst port 443'
  flowlake stream --follow /var/flows --to kafka:broker:9092/flows --state /var/lib/flowlake/kafka
  flowlake stream -R /var/flows --to clickhouse:db:8123/flows --create --state ch.state
  flowlake stream -R /var/flows --to otlp+http://localhost:4318 --state otlp.state
  flowlake stream --to clickhouse:db/flows --print-create new")]
pub struct Stream {
    /// Which flows
    #[command(flatten)]
    pub input: Input,
    /// Where to
    #[command(flatten)]
    pub target: Target,
    /// Kafka
    #[command(flatten)]
    pub kafka: Kafka,
    /// ClickHouse
    #[command(flatten)]
    pub clickhouse: ClickHouse,
    /// HTTP
    #[command(flatten)]
    pub http: Http,

    /// The filter: all words together, as in: proto tcp and dst port 443
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// Which flows.
#[derive(Debug, Group)]
#[command(next_help_heading = "Input")]
pub struct Input {
    /// Read one file (or all files below a directory)
    #[arg(short = 'r', long = "read", value_name = "FILE", conflicts_with = "range")]
    pub read: Option<String>,

    /// Many files
    #[command(flatten)]
    pub many: Many,

    /// Read what is below this directory, and each file that is finished there, until stopped
    #[arg(long, value_name = "DIR", conflicts_with_all = ["read", "range", "multi"])]
    pub follow: Vec<PathBuf>,

    /// How often to look for finished files: 2s, 1m
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "5s",
          requires = "follow")]
    pub interval: u64,

    /// Passphrase of encrypted files, in the first line of a file; or without @, for all to see
    #[arg(short = 'K', long, value_name = "@FILE", require_equals = true)]
    pub passphrase: Option<String>,
}

/// Where to.
#[derive(Debug, Group)]
#[command(next_help_heading = "Target")]
pub struct Target {
    /// kafka:HOST:PORT[,HOST:PORT]/TOPIC, clickhouse:[https://]HOST[:PORT]/[DATABASE.]TABLE,
    /// otlp+http://HOST[:PORT][/PATH], otlp+https://..., ndjson:FILE or ndjson:-
    #[arg(long, value_name = "TARGET")]
    pub to: String,

    /// Keep in this file what has arrived: the next run with it goes on there
    #[arg(long, value_name = "FILE", conflicts_with = "no_state")]
    pub state: Option<PathBuf>,

    /// Keep nothing: another run sends all again
    #[arg(long)]
    pub no_state: bool,

    /// Flows that are sent and acknowledged at once
    #[arg(long, value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub batch: u64,

    /// Give up when the target cannot be reached for so long: 10s, 5m [default: 1m; with --follow,
    /// never]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub patience: Option<u64>,

    /// With --follow, say what was done every so often: 1m, 1h
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "1m",
          requires = "follow")]
    pub report: u64,
}

/// Kafka.
#[derive(Debug, Group)]
#[command(next_help_heading = "Kafka")]
pub struct Kafka {
    /// What flows of the same partition have in common
    #[arg(long, value_enum, default_value = "none")]
    pub key: Key,

    /// Leave out the length before each message (goflow2 has it, and so have its consumers)
    #[arg(long)]
    pub plain_messages: bool,

    /// Send each batch as a transaction of this id: consumers that read committed messages see each
    /// flow once, also after a crash
    #[arg(long, value_name = "ID", requires = "state")]
    pub transactional_id: Option<String>,

    /// Drop flows, and count them, when brokers are slower than the files; otherwise reading waits
    #[arg(long, requires = "follow", conflicts_with = "transactional_id")]
    pub drop_when_full: bool,

    /// A property of librdkafka: linger.ms=100, ...; several allowed. @FILE: one in each line, for
    /// passwords
    #[arg(long, value_name = "NAME=VALUE")]
    pub kafka_option: Vec<String>,
}

/// What flows of the same partition have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Key {
    /// Nothing: partitions get the same share
    None,
    /// The source address
    Src,
    /// The destination address
    Dst,
    /// Both addresses, either way
    Pair,
    /// The exporter
    Exporter,
}

/// ClickHouse.
#[derive(Debug, Group)]
#[command(next_help_heading = "ClickHouse")]
pub struct ClickHouse {
    /// Columns of the table: names between commas, or all [default: those most asked for]
    #[arg(long, value_name = "NAMES")]
    pub columns: Option<String>,

    /// Make the table, unless it is there
    #[arg(long)]
    pub create: bool,

    /// Print the statement that makes the table, for a server since 20.1 or one before, and end
    #[arg(long, value_name = "SERVER", value_enum)]
    pub print_create: Option<Server>,

    /// Whose rights are used
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// Password, in the first line of a file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// HTTP.
#[derive(Debug, Group)]
#[command(next_help_heading = "HTTP")]
pub struct Http {
    /// Authorities to believe over https, certificates in PEM [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// OTLP: a header of each request, such as Authorization: Bearer ...; several allowed. @FILE: one
    /// in each line, for secrets
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
}

/// Age of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// Since 20.1
    New,
    /// Before
    Old,
}
