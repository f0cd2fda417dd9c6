//! Options of `flowcapd`, those of nfcapd 1.7.

use clap::Parser;
use std::path::PathBuf;

/// Collects NetFlow v5, v9 and IPFIX and writes nfcapd files.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "\
Signals: TERM and INT write everything out and end; HUP closes the slot early and goes on.

Example: flowcapd -w /var/flows -p 9995 -S 1 -z=lz4 -I border"
)]
pub struct Args {
    /// One directory for the flows of all exporters; must exist
    #[arg(short = 'w', short_alias = 'l', value_name = "DIR", required_unless_present_any = ["source", "dynamic"])]
    pub dir: Option<PathBuf>,

    /// A source with a directory of its own: IDENT,IP[;IP|CIDR...],DIR; several allowed. Datagrams
    /// of other senders are ignored and counted
    #[arg(short = 'n', value_name = "IDENT,IPS,DIR", conflicts_with_all = ["dir", "dynamic"],
          action = clap::ArgAction::Append)]
    pub source: Vec<String>,

    /// A source for each sender, in DIR/<address with dashes>, made when it first sends
    #[arg(short = 'M', value_name = "DIR", conflicts_with = "dir")]
    pub dynamic: Option<PathBuf>,

    /// UDP port
    #[arg(short = 'p', value_name = "PORT", default_value_t = 9995)]
    pub port: u16,

    /// Address or host to listen on [default: all, IPv4 and IPv6]
    #[arg(short = 'b', value_name = "ADDR")]
    pub bind: Option<String>,

    /// IPv4 only
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// IPv6 only
    #[arg(short = '6')]
    pub ipv6: bool,

    /// Seconds a file covers
    #[arg(short = 't', value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub interval: u32,

    /// Ident stored in the files: printable, no blanks, at most 121 characters
    #[arg(short = 'I', value_name = "IDENT", default_value = "none")]
    pub ident: String,

    /// Sub directories: 0 none, 1 %Y/%m/%d, 2 %Y/%m/%d/%H, 3 %Y/%W/%u, 4 %Y/%W/%u/%H, 5 %Y/%j,
    /// 6 %Y/%j/%H, 7 %F, 8 %F/%H
    #[arg(short = 'S', value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=8))]
    pub subdirs: u8,

    /// How what is written is compressed
    #[command(flatten)]
    pub compress: super::Compress,

    /// Socket receive buffer in bytes
    #[arg(short = 'B', value_name = "BYTES", default_value_t = 16 << 20)]
    pub buffer: usize,

    /// Sampling 1:RATE where an exporter announces none; -RATE overrides what it announces
    #[arg(short = 's', value_name = "RATE", allow_negative_numbers = true)]
    pub sampling: Option<i64>,

    /// Run a command for each finished file: %f file, %d directory, %t slot, %u slot in Unix time,
    /// %i ident
    #[arg(short = 'x', value_name = "COMMAND")]
    pub launch: Option<String>,

    /// Write the process id to a file, removed at exit
    #[arg(short = 'P', value_name = "FILE")]
    pub pid_file: Option<PathBuf>,

    /// Run in the background, log to syslog
    #[arg(short = 'D')]
    pub daemon: bool,

    /// Change to this user after the socket is open
    #[arg(short = 'u', value_name = "USER")]
    pub user: Option<String>,

    /// Change to this group after the socket is open
    #[arg(short = 'g', value_name = "GROUP")]
    pub group: Option<String>,

    /// Log level: 0 errors, 1 normal, 2 more, 3 debug
    #[arg(short = 'v', value_name = "LEVEL", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(0..=4))]
    pub verbose: u8,

    /// Print the version
    #[arg(short = 'V', action = clap::ArgAction::Version)]
    pub version: (),
}
