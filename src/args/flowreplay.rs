//! Options of `flowreplay`: those of nfreplay letter by letter, and more under long names.

use clap::{ArgAction, Parser};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Sends the flows of nfcapd files to a collector, or the export packets of a capture.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "\
Pace: one of -d, -z, --rate; -d 1 unless told. Flows go in the order of the files.

Exit status: 0 done, 1 wrong options, input not read in full, or datagrams not sent, 254 wrong
filter, 255 filter file not readable, 130 interrupted. Under the name nfreplay input that cannot be
read is 0.

Examples:
  flowreplay -r nfcapd.202604101200 -H 192.0.2.10 -p 9995
  flowreplay -R /var/flows -v 10 -z 1 --now                  in real time, as if it happened now
  flowreplay -R /var/flows -d 0                              as fast as possible
  flowreplay -R /var/flows --spoof --rate 20k 'proto udp'    from the addresses of the exporters
  flowreplay --capture export.pcap --spoof -z 10             the packets of a capture, 10 times faster"
)]
pub struct Args {
    /// Read one file, or all files below a directory; - is standard input [default: -]
    #[arg(
        short = 'r',
        long = "read",
        value_name = "FILE",
        conflicts_with = "range",
        help_heading = "Input"
    )]
    pub read: Option<String>,

    /// Read many files: DIR, DIR/FIRST (from there on) or DIR/FIRST:LAST
    #[arg(short = 'R', long, value_name = "DIR[/FIRST[:LAST]]", help_heading = "Input")]
    pub range: Option<String>,

    /// Read the same names below several directories: BASE/DIR1:DIR2:..., or PATH@ for all
    #[arg(short = 'M', long = "sources", value_name = "BASE/DIR1:DIR2", help_heading = "Input")]
    pub multi: Option<String>,

    /// Passphrase of encrypted files, in the first line of a file; or without @, for all to see
    #[arg(short = 'K', long, value_name = "@FILE", require_equals = true, help_heading = "Input")]
    pub key: Option<String>,

    /// Send the UDP datagrams of a capture (pcap, pcapng, also compressed) as they are
    #[arg(long, value_name = "FILE", conflicts_with_all = ["read", "range", "multi", "now", "window",
          "filter", "filter_file", "tcp"], help_heading = "Input")]
    pub capture: Option<PathBuf>,

    /// Of a capture only what went to this port
    #[arg(long, value_name = "PORT", requires = "capture", help_heading = "Input")]
    pub captured_port: Option<u16>,

    /// Only flows between two local times: YYYY/MM/dd.hh:mm:ss[-YYYY/MM/dd.hh:mm:ss]
    #[arg(short = 't', long, value_name = "WINDOW", help_heading = "Which flows")]
    pub window: Option<String>,

    /// Read the filter from a file; a filter on the command line comes first
    #[arg(short = 'f', long, value_name = "FILE", help_heading = "Which flows")]
    pub filter_file: Option<PathBuf>,

    /// Stop after so many flows, or datagrams of a capture; 0 is never
    #[arg(
        short = 'c',
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Which flows"
    )]
    pub count: u64,

    /// Send to this host [default: 127.0.0.1]
    #[arg(
        short = 'H',
        long,
        visible_short_alias = 'i',
        value_name = "HOST",
        help_heading = "Export"
    )]
    pub host: Option<String>,

    /// Send to this multicast group
    #[arg(
        short = 'j',
        long,
        value_name = "GROUP",
        conflicts_with = "host",
        help_heading = "Export"
    )]
    pub group: Option<String>,

    /// Send to this port
    #[arg(short = 'p', long, value_name = "PORT", default_value_t = 9995,
          value_parser = clap::value_parser!(u16).range(1..), help_heading = "Export")]
    pub port: u16,

    /// Send over IPv4
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Export")]
    pub ipv4: bool,

    /// Send over IPv6
    #[arg(short = '6', long, help_heading = "Export")]
    pub ipv6: bool,

    /// Send from this address
    #[arg(
        short = 'S',
        long,
        value_name = "ADDR",
        conflicts_with = "spoof",
        help_heading = "Export"
    )]
    pub from: Option<IpAddr>,

    /// Send from the address of each exporter, so that collectors see them all; needs CAP_NET_RAW
    #[arg(long, conflicts_with = "tcp", help_heading = "Export")]
    pub spoof: bool,

    /// Export format: 5, 9, 10 (IPFIX)
    #[arg(short = 'v', long, value_name = "VERSION", default_value = "9", value_parser = version,
          help_heading = "Export")]
    pub export: wire::export::Version,

    /// Send over TCP: IPFIX
    #[arg(long, help_heading = "Export")]
    pub tcp: bool,

    /// Observation domain, source id; with --spoof that of the exporter
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        conflicts_with = "spoof",
        help_heading = "Export"
    )]
    pub domain: u32,

    /// Octets of a datagram at most, without its IP header
    #[arg(long, value_name = "OCTETS", default_value_t = 1400,
          value_parser = clap::value_parser!(u16).range(512..=8972), help_heading = "Export")]
    pub mtu: u16,

    /// Hops that datagrams may take [default: the system's; 1 to a multicast group]
    #[arg(long, value_name = "N", help_heading = "Export")]
    pub hop_limit: Option<u8>,

    /// Octets that the system may hold for us
    #[arg(short = 'b', long, value_name = "OCTETS", value_parser = clap::value_parser!(u32),
          help_heading = "Export")]
    pub buffer: Option<u32>,

    /// Wait so many microseconds after each datagram, at least what the system's clock can; 0 sends
    /// as fast as possible [default: 1]
    #[arg(short = 'd', long, value_name = "USEC", conflicts_with_all = ["rate", "speed"],
          help_heading = "Pace")]
    pub delay: Option<u64>,

    /// Send as it was recorded: 1 in real time, 10 ten times faster; 0 does not look at times
    #[arg(short = 'z', long, value_name = "FACTOR", value_parser = factor, conflicts_with = "rate",
          help_heading = "Pace")]
    pub speed: Option<f64>,

    /// Send so many flows a second, 20k or 1.5m, or datagrams of a capture
    #[arg(long, value_name = "N", value_parser = rate, help_heading = "Pace")]
    pub rate: Option<f64>,

    /// Wait for the Enter key after each datagram
    #[arg(short = 'Y', long, conflicts_with_all = ["rate", "speed", "delay"], help_heading = "Pace")]
    pub confirm: bool,

    /// Let each flow end when it is sent, instead of when it was recorded
    #[arg(long, help_heading = "Pace")]
    pub now: bool,

    /// Say what is done
    #[arg(short = 'E', long, help_heading = "General")]
    pub verbose: bool,

    /// Write log lines to syslog
    #[arg(short = 'L', long, value_name = "FACILITY", help_heading = "General")]
    pub log: Option<String>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "General")]
    pub version: (),

    /// The filter: all words together, as in: proto tcp and dst port 443
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
}

/// How fast things go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as possible.
    Full,
    /// With a pause after each datagram.
    Pause(Duration),
    /// After each datagram somebody says when to go on.
    Confirmed,
    /// So many times faster than it was recorded.
    Recorded(f64),
    /// So many a second.
    Rate(f64),
}

impl Args {
    /// What the options say about the pace.
    pub fn pace(&self) -> Speed {
        match (self.speed, self.rate, self.delay) {
            _ if self.confirm => Speed::Confirmed,
            (Some(factor), _, _) if factor > 0.0 => Speed::Recorded(factor),
            (_, Some(rate), _) => Speed::Rate(rate),
            (_, _, Some(0)) => Speed::Full,
            (_, _, delay) => Speed::Pause(Duration::from_micros(delay.unwrap_or(1))),
        }
    }
}

fn version(text: &str) -> Result<wire::export::Version, String> {
    use wire::export::Version;
    match text {
        "5" => Ok(Version::V5),
        "9" => Ok(Version::V9),
        "10" | "ipfix" => Ok(Version::Ipfix),
        "250" => Err("250 is understood by nfcapd only: use 10, which says as much".to_owned()),
        _ => Err(format!("Invalid netflow version: {text}. Accept only 5 or 9 or 10")),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|f: &f64| f.is_finite() && *f >= 0.0);
    factor.ok_or_else(|| format!("'{text}' is no factor: 1 is real time, 10 ten times faster"))
}

fn rate(text: &str) -> Result<f64, String> {
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M']);
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1.0,
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        _ => 0.0,
    };
    let rate = digits.parse().map_or(0.0, |n: f64| n * unit);
    let is_rate = rate.is_finite() && rate > 0.0;
    is_rate.then_some(rate).ok_or_else(|| format!("'{text}' is no rate: write 500, 20k or 1.5m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_one_of_them() {
        let pause = |us| Speed::Pause(Duration::from_micros(us));
        for (args, want) in [
            (&[][..], Some(pause(1))),
            (&["-d", "250"], Some(pause(250))),
            (&["-d", "0"], Some(Speed::Full)),
            (&["-z", "2"], Some(Speed::Recorded(2.0))),
            (&["-z", "0"], Some(pause(1))),
            (&["--speed", "0.5"], Some(Speed::Recorded(0.5))),
            (&["--rate", "20k"], Some(Speed::Rate(20_000.0))),
            (&["--rate", "1.5m"], Some(Speed::Rate(1_500_000.0))),
            (&["-Y"], Some(Speed::Confirmed)),
            (&["--rate", "0"], None),
            (&["--rate", "20kk"], None),
            (&["--rate", "nan"], None),
            (&["-z", "-1"], None),
            (&["-z", "inf"], None),
            (&["-z", "1", "--rate", "1"], None),
            (&["-d", "1", "--rate", "1"], None),
            (&["-v", "250"], None),
            (&["-v", "7"], None),
            (&["-p", "0"], None),
            (&["-4", "-6"], None),
            (&["-H", "a", "-j", "239.1.1.1"], None),
        ] {
            let read = Args::try_parse_from([&["flowreplay"], args].concat());
            assert_eq!(read.ok().map(|a| a.pace()), want, "{args:?}");
        }
    }
}
