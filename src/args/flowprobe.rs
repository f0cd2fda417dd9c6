//! Options of `flowprobe`: those of softflowd 1.1 letter by letter, and more under long names.
//!
//! A letter means what it means to softflowd, whatever name the program goes by; only defaults
//! differ between the names (see [`settings`]). Long names are ours.

pub mod settings;

use crate::exit::Exit;
use clap::{ArgAction, Parser};
use settings::Settings;
use std::ffi::OsString;
use std::path::PathBuf;

/// Watches packets and exports flows.
///
/// Packets come from interfaces or from a capture file (pcap, pcapng, also compressed); flows go to
/// collectors (NetFlow v1, v5, v9, IPFIX), into nfcapd files, or are only counted. EXPRESSION is a
/// filter as tcpdump has it; what does not match is not seen at all.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "\
Timeouts of -t and what they are, in seconds; 1h30m and the like may be written, too:
  tcp 3600    tcp.rst 120   tcp.fin 300   udp 300     icmp 300
  general 3600              maxlife 604800            active 300 (softflowd: off)
  expint 1 (softflowd: 60): ends of flows are rounded up to a multiple of it

Signals: TERM and INT export everything and end; HUP does nothing.
Exit status: 0 ended in order, 1 wrong options, or could not start or go on.

Examples:
  flowprobe -i eth0 -n 192.0.2.10:9995
  flowprobe -d -i any -n 192.0.2.10:4739,[2001:db8::10]:4739 -s 100 not port 9995
  flowprobe -r capture.pcapng.gz -w /var/flows -z=lz4
  flowprobectl statistics"
)]
pub struct Args {
    /// Capture on this interface, or on any; several allowed. IDX:IF: IF with index IDX in records
    #[arg(short, long, value_name = "[IDX:]IF", action = ArgAction::Append, help_heading = "Packets")]
    pub interface: Vec<String>,

    /// Read a capture file, - for stdin: packet times are the clock, statistics are printed at
    /// the end
    #[arg(short, long, value_name = "FILE", help_heading = "Packets")]
    pub read: Option<PathBuf>,

    /// Receive PSAMP datagrams: softflowd can
    #[arg(short = 'R', value_name = "PORT", hide = true)]
    pub psamp_port: Option<u16>,

    /// With -r: export as if it were the time of the packets [always so for flowprobe, and where
    /// times are relative]
    #[arg(short, long, help_heading = "Packets")]
    pub adjust: bool,

    /// Octets of each packet to look at [default: 512]
    #[arg(short = 'C', long, value_name = "OCTETS", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Packets")]
    pub snap_length: Option<u32>,

    /// Octets that the kernel may hold for us [default: 32 MiB for each thread]
    #[arg(short = 'B', long, value_name = "OCTETS", help_heading = "Packets")]
    pub buffer: Option<u32>,

    /// Take only what is meant for this host: no promiscuous mode
    #[arg(short = 'N', long, help_heading = "Packets")]
    pub no_promiscuous: bool,

    /// Take the first of each N packets
    #[arg(short, long, value_name = "N", help_heading = "Packets")]
    pub sample: Option<u32>,

    /// Take each packet with a chance of 1 in N, N of -s
    #[arg(long, requires = "sample", help_heading = "Packets")]
    pub random_sampling: bool,

    /// Count a packet once that several interfaces show
    #[arg(long, help_heading = "Packets")]
    pub dedup: bool,

    /// Capture through libpcap
    #[arg(long, help_heading = "Packets")]
    pub libpcap: bool,

    /// Threads that share the packets of each interface
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Packets")]
    pub threads: u16,

    /// Flows to have in memory at most [default: 1048576, softflowd 8192]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Flows")]
    pub max_flows: Option<u32>,

    /// Memory that flows may take, such as 500M: the lower of both limits counts
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Flows")]
    pub max_memory: Option<usize>,

    /// A timeout; several allowed, see below
    #[arg(short, long, value_name = "NAME=TIME", action = ArgAction::Append, help_heading = "Flows")]
    pub timeout: Vec<String>,

    /// Tell of a flow that goes on each TIME, as -t active=TIME; 0: only when it ends
    #[arg(long, value_name = "TIME", help_heading = "Flows")]
    pub active_timeout: Option<String>,

    /// What makes a flow: full, port, proto, ip, vlan, ether
    #[arg(short = 'T', long, value_name = "LEVEL", default_value = "full", help_heading = "Flows")]
    pub track: String,

    /// Track IPv6 also for v1 and v5, which cannot carry it [always so for flowprobe]
    #[arg(short = '6', long, help_heading = "Flows")]
    pub ipv6: bool,

    /// Take flows out of tunnels: GRE, IPIP, 6in4, VXLAN, GENEVE, GTP-U, ERSPAN
    #[arg(long, help_heading = "Flows")]
    pub tunnels: bool,

    /// Do not ask the system which interfaces packets come from and go to
    #[arg(long, help_heading = "Flows")]
    pub no_lookup: bool,

    /// MAC addresses in records [always so with -T ether]; in files, times to live and fragment
    /// flags, too, which nfdump before 1.7.5 does not know
    #[arg(long, help_heading = "Flows")]
    pub fat: bool,

    /// MAC address of the probe, for the direction of flows; with -T ether
    #[arg(short = 'H', long, value_name = "MAC", help_heading = "Flows")]
    pub mac: Option<String>,

    /// Export to these collectors, all of them
    #[arg(short = 'n', long, value_name = "HOST:PORT[,...]", action = ArgAction::Append,
          help_heading = "Export")]
    pub to: Vec<String>,

    /// Export to one of the collectors in turn
    #[arg(short = 'l', long, help_heading = "Export")]
    pub balance: bool,

    /// Export format: 1, 5, 9, 10 (IPFIX) [default: 10, softflowd 5]
    #[arg(short = 'v', long, value_name = "VERSION", help_heading = "Export")]
    pub export: Option<String>,

    /// Transport: udp, tcp
    #[arg(short = 'P', long, value_name = "NAME", default_value = "udp", help_heading = "Export")]
    pub transport: String,

    /// Absolute times of v9 and IPFIX: sec, milli, micro, nano; uptime: none, relative to the start
    /// [default: milli, softflowd uptime]
    #[arg(short = 'A', long, value_name = "UNIT", help_heading = "Export")]
    pub times: Option<String>,

    /// Both directions in one record: IPFIX only
    #[arg(short, long, help_heading = "Export")]
    pub biflow: bool,

    /// Export N MPLS labels at most, 0 to 10: v9 and IPFIX only [default: 10, softflowd 0]
    #[arg(short = 'x', long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=10),
          help_heading = "Export")]
    pub mpls_labels: Option<u8>,

    /// Hops that datagrams may take [default: the system's; 1 to a multicast group]
    #[arg(short = 'L', long, value_name = "N", help_heading = "Export")]
    pub hop_limit: Option<u8>,

    /// Send through this interface
    #[arg(short = 'S', long, value_name = "IF", help_heading = "Export")]
    pub send_interface: Option<String>,

    /// Send from this address
    #[arg(short = 'e', long, value_name = "ADDR", help_heading = "Export")]
    pub from: Option<std::net::IpAddr>,

    /// Observation domain, source id
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Export")]
    pub domain: u32,

    /// Octets of a datagram at most, without its IP header
    #[arg(long, value_name = "OCTETS", default_value_t = 1400,
          value_parser = clap::value_parser!(u16).range(512..=8972), help_heading = "Export")]
    pub mtu: u16,

    /// Repeat templates after so many seconds, or datagrams with --template-packets
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Export")]
    pub template_refresh: u32,

    /// Repeat templates after so many datagrams
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Export")]
    pub template_packets: u32,

    /// Start uptime anew each TIME: of softflowd 1.1.1, and not needed
    #[arg(short = 'I', value_name = "TIME", hide = true)]
    pub restart: Option<String>,

    /// Write nfcapd files into this directory
    #[arg(short = 'w', long, value_name = "DIR", help_heading = "Files")]
    pub write: Option<PathBuf>,

    /// How files are written
    #[command(flatten)]
    pub rotate: super::Rotate,

    /// Stay in the foreground
    #[arg(short = 'd', long, help_heading = "General")]
    pub foreground: bool,

    /// Stay in the foreground, log everything, track IPv6
    #[arg(short = 'D', long, help_heading = "General")]
    pub debug: bool,

    /// Where the process id is written to in the background [default: /run/flowprobe.pid,
    /// softflowd /var/run/softflowd.pid]
    #[arg(short, long, value_name = "FILE", help_heading = "General")]
    pub pid_file: Option<PathBuf>,

    /// Socket for flowprobectl; none: without [default: /run/flowprobe.ctl, softflowd
    /// /var/run/softflowd.ctl]
    #[arg(short, long, value_name = "SOCKET", help_heading = "General")]
    pub control: Option<PathBuf>,

    /// Serve /metrics, /healthz and /status over HTTP [default: 127.0.0.1:9397]
    #[arg(long, visible_alias = "http", value_name = "ADDR:PORT", num_args = 0..=1,
          require_equals = true, default_missing_value = METRICS, help_heading = "General")]
    pub metrics: Option<std::net::SocketAddr>,

    /// Change to this user once packets can be had [default: none, softflowd in the background
    /// nobody]
    #[arg(long, value_name = "USER", help_heading = "General")]
    pub user: Option<String>,

    /// Change to this group once packets can be had
    #[arg(long, value_name = "GROUP", help_heading = "General")]
    pub group: Option<String>,

    /// Print statistics as JSON
    #[arg(long, help_heading = "General")]
    pub json: bool,

    /// Print the CPU time used at the end
    #[arg(short = 'g', long, help_heading = "General")]
    pub cpu_time: bool,

    /// Threads: of softflowd, where it was built so
    #[arg(short = 'M', hide = true)]
    pub multithreaded: bool,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "General")]
    pub version: (),

    /// Words of a packet filter
    #[arg(value_name = "EXPRESSION")]
    pub filter: Vec<String>,
}

/// Where HTTP is served when nobody says.
const METRICS: &str = "127.0.0.1:9397";

/// A size such as 500M, in octets.
fn size(text: &str) -> Result<usize, String> {
    crate::config::size(text).map_err(|e| e.to_string())
}

/// Reads the command line of the program called `name`. Help and version are printed here, and so
/// is what is wrong; the exit status says which it was.
///
/// # Errors
/// If an option has a value that makes no sense, or options do not go together.
pub fn read(name: &str, args: Vec<OsString>) -> anyhow::Result<Result<Settings, Exit>> {
    match super::parse::<Args>(name, args)? {
        Ok(read) => Ok(Ok(Settings::new(name, read.args)?)),
        Err(exit) => Ok(Err(exit)),
    }
}
