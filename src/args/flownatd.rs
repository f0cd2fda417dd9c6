//! Options of `flownatd`. The words are those of nfflowd; long names are also the keys of the
//! configuration file.

pub mod settings;

use crate::config::flownatd as config;
use crate::exit::Exit;
use clap::{ArgAction, Parser};
use settings::Settings;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Logs translations of addresses, from the connection table of Linux (conntrack).
///
/// Without a word it runs in the foreground until it is told to end. It needs CAP_NET_ADMIN, and
/// nothing else.
///
/// Words:
///   start              go to the background; the pid file says where
///   stop               end the one in the background, and wait for it
///   restart            stop, then start
///   reload             send templates again, open files of lines anew (HUP)
///   check              say whether it could work here, and what to mend
///   install            say how it becomes a service
///   who IP PORT TIME [DIR]
///                      who had a public address and port, from stored files
///   help, version
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    verbatim_doc_comment,
    after_help = "\
Kinds of records:
  triplet  nfflowd's three flows of NetFlow v5     nel   NAT events of NetFlow v9 (Cisco NEL)
  events   NAT events of RFC 8158, IPFIX           nsel  firewall events of NetFlow v9 (ASA)
  biflow   a flow with both directions and translated addresses, IPFIX or v9

Signals: TERM and INT write everything out and end; HUP as reload.
Exit status: 0 ended in order, 1 wrong options, or could not start or go on.
  start, restart: 0 once it runs. stop, reload: 0 done, also if there is nothing to stop; 1 if not.
  check: 0 all is well, 1 something is missing. who: 0 found, 1 nobody found, or files not read.

Examples:
  flownatd -n 192.0.2.10:4739 --nat-only
  flownatd -w /var/flows/nat -z=lz4 --output 192.0.2.20:2055,version=9,records=nel
  flownatd who 203.0.113.1 40211 2026-11-21T10:15:30 /var/flows/nat"
)]
pub struct Args {
    /// What to do, and what it needs
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,

    /// Read options from FILE: TOML, with long names as keys, or nfflowd's own format; none: from
    /// nowhere [default: /etc/flowsuite/flownatd.toml where there is one, in place of nfflowd
    /// /etc/nfflowd.conf]
    #[arg(short = 'c', long, value_name = "FILE", help_heading = "General")]
    pub config: Option<PathBuf>,

    /// Octets for events that wait in the kernel
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = size,
          help_heading = "Events")]
    pub buffer: usize,

    /// Octets that --buffer grows to after a loss
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size,
          help_heading = "Events")]
    pub max_buffer: usize,

    /// Look at the whole table so often, in seconds; 0: only at the start and after a loss
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "Events")]
    pub dump_every: u64,

    /// Hear of changes, too: marks and labels that are set later
    #[arg(long, help_heading = "Events")]
    pub update: bool,

    /// Have the kernel keep ended connections until it could tell of them: loses no end, and fills
    /// the table if this program is too slow
    #[arg(long, help_heading = "Events")]
    pub reliable: bool,

    /// Set the sysctls that are missing; needs root
    #[arg(long, help_heading = "Events")]
    pub set_sysctls: bool,

    /// Connections to follow at most
    #[arg(long, value_name = "N", default_value_t = 4_000_000, help_heading = "Events")]
    pub max_connections: usize,

    /// Interim records of connections that are open for longer, in seconds; 0: none
    #[arg(long, value_name = "SECONDS", default_value_t = 300, help_heading = "Events")]
    pub active: u64,

    /// Forget connections of which nothing was heard for so many seconds; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 604_800, help_heading = "Events")]
    pub ttl: u64,

    /// Read recorded events, - for stdin, in place of the kernel's: lines of conntrack -E or -L, or
    /// netlink messages in hex. Needs no privileges
    #[arg(long, value_name = "FILE", help_heading = "Events")]
    pub replay: Option<PathBuf>,

    /// Only translated connections
    #[arg(long, help_heading = "Connections")]
    pub nat_only: bool,

    /// Only these protocols, by name or number; several allowed, also with commas
    #[arg(long, value_name = "PROTO", action = ArgAction::Append, value_delimiter = ',',
          help_heading = "Connections")]
    pub protocol: Vec<String>,

    /// Only connections with an address in one of these networks; several allowed
    #[arg(long, value_name = "CIDR", action = ArgAction::Append, value_delimiter = ',',
          help_heading = "Connections")]
    pub network: Vec<String>,

    /// Only these zones; several allowed
    #[arg(long, value_name = "N", action = ArgAction::Append, value_delimiter = ',',
          help_heading = "Connections")]
    pub zone: Vec<u16>,

    /// Only these marks, as VALUE or VALUE/MASK, also 0x17; several allowed
    #[arg(long, value_name = "MARK", action = ArgAction::Append, value_delimiter = ',',
          help_heading = "Connections")]
    pub mark: Vec<String>,

    /// Also connections that begin or end at this host itself
    #[arg(long, help_heading = "Connections")]
    pub all: bool,

    /// Export to these collectors
    #[arg(short = 'n', long, value_name = "HOST:PORT[,...]", action = ArgAction::Append,
          help_heading = "Export")]
    pub to: Vec<String>,

    /// Export format of -n: 5, 9, 10 (IPFIX)
    #[arg(
        short = 'v',
        long,
        value_name = "VERSION",
        default_value = "10",
        help_heading = "Export"
    )]
    pub export: String,

    /// Kinds of records for -n [default: v5 triplet; v9 nel,biflow; IPFIX events,biflow]
    #[arg(long, value_name = "KIND[,...]", help_heading = "Export")]
    pub records: Option<String>,

    /// Transport of -n: udp, tcp
    #[arg(short = 'P', long, value_name = "NAME", default_value = "udp", help_heading = "Export")]
    pub transport: String,

    /// A collector with its own records: HOST:PORT[,version=N][,records=KIND[+KIND]]
    /// [,transport=NAME]; several allowed
    #[arg(long, value_name = "OUTPUT", action = ArgAction::Append, help_heading = "Export")]
    pub output: Vec<String>,

    /// The second flow of triplets has no packets and octets, so that totals are right
    #[arg(long, help_heading = "Export")]
    pub zero_second: bool,

    /// Address of this exporter in lines of --csv, and that datagrams leave from
    #[arg(short = 'e', long, value_name = "ADDR", help_heading = "Export")]
    pub from: Option<std::net::IpAddr>,

    /// Observation domain, source id
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Export")]
    pub domain: u32,

    /// Octets of a datagram at most, without its IP header
    #[arg(long, value_name = "OCTETS", default_value_t = 1400,
          value_parser = clap::value_parser!(u16).range(512..=8972), help_heading = "Export")]
    pub mtu: u16,

    /// Write nfcapd files into this directory
    #[arg(short = 'w', long, value_name = "DIR", help_heading = "Files")]
    pub write: Option<PathBuf>,

    /// Kinds of records in the files
    #[arg(
        long,
        value_name = "KIND[,...]",
        default_value = "events,biflow",
        help_heading = "Files"
    )]
    pub file_records: String,

    /// How files are written
    #[command(flatten)]
    pub rotate: super::Rotate,

    /// Store only the extensions with these numbers, separated by commas
    #[arg(short = 'X', long, value_name = "LIST", help_heading = "Files")]
    pub extensions: Option<store::Extensions>,

    /// Append lines in nfflowd's 18 columns to a file, - for stdout
    #[arg(long, value_name = "FILE", help_heading = "Lines")]
    pub csv: Option<PathBuf>,

    /// Append lines of JSON to a file, - for stdout
    #[arg(long, value_name = "FILE", help_heading = "Lines")]
    pub ndjson: Option<PathBuf>,

    /// Send nfflowd's lines to syslog, as local6.info [default: /dev/log]
    #[arg(long, value_name = "SOCKET", num_args = 0..=1, require_equals = true,
          default_missing_value = "/dev/log", help_heading = "Lines")]
    pub syslog: Option<PathBuf>,

    /// With start or restart: stay in the foreground
    #[arg(short = 'f', long, help_heading = "General")]
    pub foreground: bool,

    /// Where the process id is written to [default: /run/flownatd.pid, in the background]
    #[arg(short, long, value_name = "FILE", help_heading = "General")]
    pub pid_file: Option<PathBuf>,

    /// Serve /metrics, /healthz and /status over HTTP [default: 127.0.0.1:9398]
    #[arg(long, visible_alias = "http", value_name = "ADDR:PORT", num_args = 0..=1,
          require_equals = true, default_missing_value = METRICS, help_heading = "General")]
    pub metrics: Option<SocketAddr>,

    /// Change to this user once sockets are open; CAP_NET_ADMIN stays
    #[arg(long, value_name = "USER", help_heading = "General")]
    pub user: Option<String>,

    /// Change to this group
    #[arg(long, value_name = "GROUP", help_heading = "General")]
    pub group: Option<String>,

    /// Log more; twice: everything
    #[arg(long, action = ArgAction::Count, help_heading = "General")]
    pub verbose: u8,

    /// who: answer in JSON
    #[arg(long, help_heading = "Who")]
    pub json: bool,

    /// who: how far clocks may be apart, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, help_heading = "Who")]
    pub slack: u64,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "General")]
    pub version: (),
}

/// Where HTTP is served when nobody says.
const METRICS: &str = "127.0.0.1:9398";

/// A size such as 500M, in octets.
fn size(text: &str) -> Result<usize, String> {
    crate::config::size(text).map_err(|e| e.to_string())
}

/// Options of which the command line's take the place of the file's.
const ALTERNATIVES: &[&[&str]] = &[&["method", "bz2", "lz4"]];

/// Reads the command line of the program called `name`, and the configuration file under it. Help
/// and version are printed here, and so is what is wrong; the exit status says which it was.
///
/// # Errors
/// If an option has a value that makes no sense, or options do not go together.
pub fn read(name: &str, args: Vec<OsString>) -> anyhow::Result<Result<Settings, Exit>> {
    let typed = match super::parse::<Args>(name, args.clone())? {
        Ok(read) => read,
        Err(exit) => return Ok(Err(exit)),
    };
    // nfflowd has words for what are options elsewhere.
    let word = typed.args.words.first().map(String::as_str);
    if let Some(option) = word.and_then(|w| {
        Some(match w {
            "help" => "--help",
            "version" => "--version",
            _ => return None,
        })
    }) {
        let again = vec![args.first().cloned().unwrap_or_default(), option.into()];
        return super::parse::<Args>(name, again)
            .map(|read| Err(read.err().unwrap_or(Exit::Success)));
    }
    let path = match typed.args.config.as_deref() {
        Some(path) if path == Path::new("none") => None,
        Some(path) => Some(path),
        None => config::of_system(name),
    };
    let Some(path) = path else { return Ok(Ok(Settings::new(name, typed.args)?)) };
    let entries = config::read(path)?;
    let file = super::FromFile { path, entries: &entries, alternatives: ALTERNATIVES };
    match super::merge::<Args>(name, args, &typed.matches, &file, &|_| false)? {
        Ok(read) => Ok(Ok(Settings::new(name, read.args)?)),
        Err(exit) => Ok(Err(exit)),
    }
}
