//! Options of `flowcapd`: those of nfcapd and sfcapd 1.7, and more under long names. The long names
//! are also the keys of the configuration file.

use crate::config::flowcapd as config;
use crate::config::options::Entry;
use crate::exit::Exit;
use clap::{ArgAction, Parser};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::Extensions;

/// Collects NetFlow, IPFIX and sFlow and writes nfcapd files.
///
/// NetFlow v1, v5, v7, v9, IPFIX, sFlow v2, v4, v5 and nfdump's own version 250 are understood on
/// each port.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "\
Signals: TERM and INT write everything out and end; HUP closes the slot early and goes on.
Exit status: 0 ended in order, 1 could not start or had to give up; check and doctor: 1 if something
is wrong.

Examples:
  flowcapd -w /var/flows -S 1 -z=lz4
  flowcapd -n core,192.0.2.1,/var/flows/core -n edge,192.0.2.2;192.0.2.3,/var/flows/edge,sampling=1000
  flowcapd check -C /etc/flowsuite/flowcapd.toml
  flowcapd doctor
  flowcapd doctor -w /var/flows -p 2055 --wait 60s -o json
  flowcapd --templates"
)]
pub struct Args {
    /// check: say whether a collector with these options could work, and end; doctor: say why no
    /// flows arrive, or wrong ones, whether a collector runs or not, and end
    #[arg(value_name = "COMMAND", value_parser = ["check", "doctor"])]
    pub command: Option<String>,

    /// Read options from FILE: TOML, with long names as keys; none: from nowhere [default:
    /// /etc/flowsuite/flowcapd.toml where there is one, for flowcapd]
    #[arg(short = 'C', long, value_name = "FILE", help_heading = "General")]
    pub config: Option<PathBuf>,

    /// One directory for the flows of all exporters; must exist
    #[arg(short = 'w', short_alias = 'l', long, value_name = "DIR", help_heading = "Sources")]
    pub dir: Option<PathBuf>,

    /// A source with a directory of its own: IDENT,IP[;IP|CIDR...],DIR[,sampling=RATE][,port=PORT];
    /// several allowed. Datagrams of other senders are ignored and counted
    #[arg(short = 'n', long, value_name = "IDENT,IPS,DIR", conflicts_with_all = ["dir", "dynamic"],
          action = ArgAction::Append, help_heading = "Sources")]
    pub source: Vec<String>,

    /// A source for each sender, in DIR/<address with dashes>, made when it first sends
    #[arg(short = 'M', long, value_name = "DIR", conflicts_with = "dir", help_heading = "Sources")]
    pub dynamic: Option<PathBuf>,

    /// Sources that senders may make with -M
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = "Sources")]
    pub max_sources: usize,

    /// Take datagrams of these senders only, IP or CIDR; several allowed. Others are counted
    #[arg(long, value_name = "CIDR", action = ArgAction::Append, help_heading = "Sources")]
    pub allow: Vec<String>,

    /// Ident stored in the files: printable, no blanks, at most 121 characters
    #[arg(
        short = 'I',
        long,
        value_name = "IDENT",
        default_value = "none",
        help_heading = "Sources"
    )]
    pub ident: String,

    /// Sampling 1:RATE where an exporter announces none; -RATE overrides what it announces
    #[arg(
        short = 's',
        long,
        value_name = "RATE",
        allow_negative_numbers = true,
        help_heading = "Sources"
    )]
    pub sampling: Option<i64>,

    /// Store only what matches this filter of flowdump; the rest is counted
    #[arg(short = 'F', long, value_name = "FILTER", help_heading = "Sources")]
    pub filter: Option<String>,

    /// Take the innermost packet of tunnels in packets that sFlow and IPFIX export: tun; how doctor
    /// writes: text, json
    #[arg(short = 'o', long, value_name = "OPTION", value_parser = ["tun", "text", "json"],
          help_heading = "Sources")]
    pub option: Option<String>,

    /// Store what the network has doubled, too: datagrams that equal one of the exporter's last 64
    /// and come within a second of it
    #[arg(long, help_heading = "Sources")]
    pub keep_duplicates: bool,

    /// UDP port; several allowed [default: 9995, sfcapd 6343]
    #[arg(short = 'p', long, value_name = "PORT", action = ArgAction::Append,
          help_heading = "Network")]
    pub port: Vec<u16>,

    /// Address or host to listen on; several allowed [default: all, IPv4 and IPv6]
    #[arg(short = 'b', long, value_name = "ADDR", action = ArgAction::Append,
          help_heading = "Network")]
    pub bind: Vec<String>,

    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Network")]
    pub ipv4: bool,

    /// IPv6 only
    #[arg(short = '6', long, help_heading = "Network")]
    pub ipv6: bool,

    /// Join a multicast group
    #[arg(
        short = 'J',
        long,
        value_name = "GROUP",
        conflicts_with = "bind",
        help_heading = "Network"
    )]
    pub multicast: Option<String>,

    /// Socket receive buffer in bytes
    #[arg(short = 'B', long, value_name = "BYTES", default_value_t = 16 << 20,
          help_heading = "Network")]
    pub buffer: usize,

    /// Sockets, each with a thread, that share a port's datagrams, those of one exporter too
    /// [default: 1, and 4 where the kernel grants less than 1 MiB of -B]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64),
          help_heading = "Network")]
    pub receivers: Option<u16>,

    /// IPFIX over TCP, too, on this port [default: 4739]; several allowed
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true,
          default_missing_value = "4739", action = ArgAction::Append, help_heading = "Network")]
    pub tcp: Vec<u16>,

    /// IPFIX over TLS on this port [default: 4740]
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true,
          default_missing_value = "4740", action = ArgAction::Append,
          requires = "tls_cert", requires = "tls_key", help_heading = "Network")]
    pub tls: Vec<u16>,

    /// Certificate and those above it, PEM
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub tls_cert: Option<PathBuf>,

    /// Private key, PEM
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub tls_key: Option<PathBuf>,

    /// Authorities of exporters: those must then present a certificate of theirs
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    pub tls_ca: Option<PathBuf>,

    /// Repeat datagrams unchanged to HOST[/PORT][,from=CIDR][,version=N][,sample=N][,spoof];
    /// several allowed
    #[arg(short = 'R', long, value_name = "TARGET", action = ArgAction::Append,
          help_heading = "Network")]
    pub repeat: Vec<String>,

    /// Repeat under the address of the sender; needs CAP_NET_RAW
    #[arg(short = 'A', long, requires = "repeat", help_heading = "Network")]
    pub spoof: bool,

    /// Read export packets of a capture (pcap, pcapng) in place of the network; - for stdin
    #[arg(
        short = 'f',
        long,
        value_name = "FILE",
        conflicts_with = "messages",
        help_heading = "Network"
    )]
    pub read: Option<PathBuf>,

    /// Read a file of IPFIX messages (RFC 5655), as YAF writes, in place of the network
    #[arg(short = 'Y', long, value_name = "FILE", help_heading = "Network")]
    pub messages: Option<PathBuf>,

    /// Seconds a file covers
    #[arg(short = 't', long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Files")]
    pub interval: u32,

    /// Sub directories: 0 none, 1 %Y/%m/%d, 2 %Y/%m/%d/%H, 3 %Y/%W/%u, 4 %Y/%W/%u/%H, 5 %Y/%j,
    /// 6 %Y/%j/%H, 7 %F, 8 %F/%H
    #[arg(short = 'S', long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=8), help_heading = "Files")]
    pub subdirs: u8,

    /// End file names with the offset from UTC
    #[arg(short = 'Z', long, conflicts_with = "expire", help_heading = "Files")]
    pub zone: bool,

    /// How what is written is compressed
    #[command(flatten)]
    pub compress: super::Compress,

    /// Threads that compress and write [default: as many as there are cores]
    #[arg(short = 'W', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256),
          help_heading = "Files")]
    pub workers: Option<u16>,

    /// Store only the extensions with these numbers, separated by commas
    #[arg(short = 'X', long, value_name = "LIST", help_heading = "Files")]
    pub extensions: Option<Extensions>,

    /// Write no index beside the files: searches then read them, until flowdump --index build
    #[arg(long, help_heading = "Files")]
    pub no_index: bool,

    /// After each file remove the oldest, down to the limits that nfexpire -u has set
    #[arg(short = 'e', long, help_heading = "Files")]
    pub expire: bool,

    /// Run a command for each finished file: %f file, %d directory, %t slot, %u slot in Unix time,
    /// %i ident
    #[arg(short = 'x', long, value_name = "COMMAND", help_heading = "Files")]
    pub launch: Option<String>,

    /// Give the command of -x to sh; what tokens bring is quoted for it
    #[arg(long, requires = "launch", help_heading = "Files")]
    pub shell: bool,

    /// Exporters that are told apart
    #[arg(long, value_name = "N", default_value_t = 100_000, help_heading = "Limits")]
    pub max_exporters: usize,

    /// Templates of one exporter
    #[arg(long, value_name = "N", default_value_t = 4096, help_heading = "Limits")]
    pub max_templates: usize,

    /// Fields of one template
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = "Limits")]
    pub max_fields: usize,

    /// MiB of memory that templates, and again sampling and names, of all exporters may take
    #[arg(long, value_name = "MIB", default_value_t = 64, help_heading = "Limits")]
    pub max_memory: usize,

    /// MiB of received datagrams that may wait for decoding
    #[arg(long, value_name = "MIB", default_value_t = 16, help_heading = "Limits")]
    pub queue: usize,

    /// Seconds that data may wait for its template; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, help_heading = "Limits")]
    pub park: u64,

    /// Serve /metrics, /healthz, /status and /templates over HTTP [default: 127.0.0.1:9396]
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, require_equals = true,
          default_missing_value = HTTP, help_heading = "General")]
    pub http: Option<String>,

    /// Print the templates of the running collector that serves HTTP there, and end
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, require_equals = true,
          default_missing_value = HTTP, help_heading = "General")]
    pub templates: Option<String>,

    /// Send nfcapd's metrics to this unix socket
    #[arg(short = 'm', long, value_name = "SOCKET", help_heading = "General")]
    pub metrics_socket: Option<PathBuf>,

    /// Seconds between them, at least 10
    #[arg(short = 'i', long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u16).range(10..), help_heading = "General")]
    pub metrics_interval: u16,

    /// How long doctor watches for packets, as 10s or 2m; it takes no longer in all
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = wait,
          help_heading = "General")]
    pub wait: Duration,

    /// Write the process id to a file, removed at exit
    #[arg(short = 'P', long, value_name = "FILE", help_heading = "General")]
    pub pid_file: Option<PathBuf>,

    /// Run in the background, log to syslog
    #[arg(short = 'D', long, help_heading = "General")]
    pub daemon: bool,

    /// Change to this user after the socket is open
    #[arg(short = 'u', long, value_name = "USER", help_heading = "General")]
    pub user: Option<String>,

    /// Change to this group after the socket is open
    #[arg(short = 'g', long, value_name = "GROUP", help_heading = "General")]
    pub group: Option<String>,

    /// Log level: 0 errors, 1 normal, 2 more, 3 and 4 all
    #[arg(short = 'v', long, value_name = "LEVEL", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(0..=4), help_heading = "General")]
    pub verbose: u8,

    /// As -v 3
    #[arg(short = 'E', hide = true)]
    pub extended: bool,

    /// Listen on a device: nfcapd can where it was built so
    #[arg(short = 'd', value_name = "DEVICE", hide = true)]
    pub device: Option<String>,

    /// Extensions, of old: ignored
    #[arg(short = 'T', value_name = "LIST", hide = true)]
    pub tags: Option<String>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "General")]
    pub version: (),
}

/// A time of 1 second to 1 hour: `10s`, `2m`, `10`.
fn wait(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}': write 1s to 3600s, or 1m to 60m");
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let secs = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    secs.filter(|s| (1..=3600).contains(s)).map(Duration::from_secs).ok_or_else(wrong)
}

/// Where HTTP is served and asked when nobody says.
const HTTP: &str = "127.0.0.1:9396";

/// Options that stand for one another: where the command line has one of them, none of them is
/// taken from the file.
const ALTERNATIVES: &[&[&str]] = &[
    &["dir", "source", "dynamic"],
    &["bind", "multicast"],
    &["ipv4", "ipv6"],
    &["read", "messages"],
    &["method", "bz2", "lz4"],
];

/// Reads the command line of the program called `name`, and the configuration file under it: an
/// option on the command line takes the place of all that the file says of it.
pub(crate) fn read(name: &str, args: Vec<OsString>) -> anyhow::Result<Result<Args, Exit>> {
    let args = if name == "flowcapd" { args } else { without_bare_w(args) };
    let typed = match super::parse::<Args>(name, args.clone())? {
        Ok(read) => read,
        Err(exit) => return Ok(Err(exit)),
    };
    let path = match typed.args.config.as_deref() {
        Some(path) if path == Path::new("none") => None,
        Some(path) => Some(path),
        None => Some(Path::new(config::SYSTEM)).filter(|p| name == "flowcapd" && p.exists()),
    };
    let Some(path) = path else { return Ok(Ok(typed.args)) };
    let entries = config::read(path, name)?;
    // The ports of the network say nothing of a file that is read in its place.
    let is_offline = super::is_typed::<Args>(&typed.matches, "read", ALTERNATIVES);
    let is_idle = |entry: &Entry| is_offline && entry.name == "port";
    let file = super::FromFile { path, entries: &entries, alternatives: ALTERNATIVES };
    super::merge::<Args>(name, args, &typed.matches, &file, &is_idle)
        .map(|read| read.map(|r| r.args))
}

/// Leaves out `-w` where an option stands behind it. Until nfdump 1.6 it had no directory, which `-l`
/// named, and asked for files that begin at full slots, as all do now.
fn without_bare_w(args: Vec<OsString>) -> Vec<OsString> {
    let is_option = |next: Option<&OsString>| {
        next.is_some_and(|w| w.len() > 1 && w.as_encoded_bytes().starts_with(b"-"))
    };
    let is_kept = |n: &usize| args[*n] != "-w" || !is_option(args.get(n + 1));
    (0..args.len()).filter(is_kept).map(|n| args[n].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn w_was_an_option_without_a_directory() {
        for (words, want) in [
            ("nfcapd -w -D -l /d -p 9995", "nfcapd -D -l /d -p 9995"),
            ("nfcapd -D -w -l /d", "nfcapd -D -l /d"),
            ("nfcapd -D -w /d -t 60", "nfcapd -D -w /d -t 60"),
            ("nfcapd -D -w", "nfcapd -D -w"),
            ("nfcapd -w - -D", "nfcapd -w - -D"),
        ] {
            let args = words.split(' ').map(OsString::from).collect();
            let got: Vec<_> =
                without_bare_w(args).into_iter().map(|w| w.into_string().unwrap()).collect();
            assert_eq!(got.join(" "), want, "{words}");
        }
    }

    #[test]
    fn times_to_wait() {
        for (text, want) in [
            ("10s", Some(10)),
            ("2m", Some(120)),
            ("7", Some(7)),
            ("3600", Some(3600)),
            ("0", None),
            ("61m", None),
            ("1h", None),
            ("", None),
            ("307445734561825861m", None),
        ] {
            assert_eq!(wait(text).ok().map(|d| d.as_secs()), want, "{text}");
        }
    }

    fn merged(file: &str, typed: &[&str]) -> anyhow::Result<Args> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf");
        std::fs::write(&path, file).unwrap();
        let args = ["flowcapd", "-C", path.to_str().unwrap()];
        let args = args.iter().chain(typed).map(Into::into).collect();
        read("flowcapd", args).map(|read| read.expect("options"))
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = "dir = \"/a\"\nport = [1, 2]\ninterval = 60\ncompress = \"zstd\"\n";
        let args = merged(file, &[]).unwrap();
        assert_eq!((args.port, args.interval), (vec![1, 2], 60));
        let args = merged(file, &["-p", "3", "-M", "/m", "-y"]).unwrap();
        assert_eq!((args.port, args.interval), (vec![3], 60));
        assert_eq!((args.dir, args.dynamic), (None, Some("/m".into())));
        assert_eq!((args.compress.method, args.compress.lz4), (None, true));
    }

    #[test]
    fn mistakes_in_the_file_are_told_of_the_file() {
        for (file, said) in [
            ("prot = 1", "--prot"),
            ("port = 99999", "99999"),
            ("dir = \"/a\"\ndynamic = \"/b\"", "cannot be used with"),
        ] {
            let e = merged(file, &["-w", "/x"]).unwrap_err().to_string();
            assert!(e.starts_with("configuration file /") && e.contains(said), "{file}: {e}");
        }
    }

    #[test]
    fn all_options_but_old_ones_have_long_names() {
        let short_only = ["device", "extended", "tags", "bz2", "lz4", "command"];
        for arg in Args::command().get_arguments() {
            let id = arg.get_id().as_str();
            assert_eq!(arg.get_long().is_none(), short_only.contains(&id), "{id}");
        }
    }
}
