//! What the options of `flowprobe` come to: everything read and checked, nothing opened.
//!
//! Under the name `softflowd` the defaults are softflowd's: NetFlow v5 with times relative to the
//! start, 8192 flows, no active timeout, ends of flows rounded to minutes, `/var/run/softflowd.*`,
//! and the user nobody in the background. Under any other name they are ours.

use super::super::Rotation;
use super::Args;
use anyhow::{Context as _, bail, ensure};
use export::{Destination, Transport};
use probe::{CacheConfig, Dedup, InterfaceIndex, Level, Sampling, Timeouts};
use record::Mac;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use wire::export::{ExportConfig, SamplingKind, TimeFormat, Version};
use wire::packet::Depth;

/// What a probe is told to do.
#[derive(Debug)]
pub struct Settings {
    /// Name that the program goes by, for replies: `softflowd[123]: `.
    pub program: String,
    /// Where packets come from.
    pub source: Source,
    /// Filter expression as tcpdump has it.
    pub filter: Option<String>,
    /// How packets are taken.
    pub capture: Capture,
    /// How packets become flows; the seed is for whoever has one.
    pub cache: CacheConfig,
    /// What is known of interfaces.
    pub lookup: Lookup,
    /// Records have MAC addresses.
    pub has_macs: bool,
    /// Where flows are sent to.
    pub export: Option<Export>,
    /// Where flows are written to.
    pub files: Option<Files>,
    /// Socket that commands come through.
    pub control: Option<PathBuf>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// How the process behaves.
    pub process: Process,
    /// Statistics at the end are JSON.
    pub json: bool,
    /// What to tell the log about options that do nothing here.
    pub notes: Vec<String>,
}

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Interfaces, one at least.
    Live(Vec<Interface>),
    /// A capture file.
    File {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// Export as if it were the time of the packets; otherwise at the time it is.
        at_packet_time: bool,
    },
}

/// An interface to capture on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name; `any` is all of them.
    pub name: String,
    /// Index that records carry for input and output; looked up where there is none.
    pub index: Option<u16>,
}

/// How packets are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Also packets for others.
    pub is_promiscuous: bool,
    /// Octets of each packet.
    pub snap_length: u32,
    /// Octets of the kernel's buffer, for each thread.
    pub buffer: u32,
    /// Through libpcap where there is another way, too.
    pub by_libpcap: bool,
    /// Threads that share an interface.
    pub threads: u16,
}

/// What is known of interfaces besides packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The system is asked which interfaces packets come from and go to.
    pub asks_system: bool,
    /// MAC address of the probe, for the direction of flows.
    pub mac: Option<Mac>,
}

/// Where and how flows are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Destinations, one at least.
    pub to: Vec<Destination>,
    /// One destination in turn; otherwise all of them.
    pub is_balanced: bool,
    /// Transport.
    pub transport: Transport,
    /// Labels in records.
    pub mpls_labels: u8,
    /// Time to live, hop limit.
    pub hop_limit: Option<u8>,
    /// Interface that is sent through.
    pub interface: Option<String>,
    /// Address that is sent from.
    pub from: Option<IpAddr>,
    /// What datagrams are like; start and names of interfaces are for whoever knows them.
    pub encoder: ExportConfig,
}

/// Where flow files are written.
#[derive(Clone, Debug)]
pub struct Files {
    /// Directory.
    pub dir: PathBuf,
    /// How they are written.
    pub rotation: Rotation,
    /// Both directions in one flow.
    pub is_biflow: bool,
    /// With what only few ask for.
    pub is_fat: bool,
}

/// How the process behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Goes to the background.
    pub in_background: bool,
    /// File for its number; only in the background, or where one was named.
    pub pid_file: Option<PathBuf>,
    /// User to become.
    pub user: Option<String>,
    /// Group to become.
    pub group: Option<String>,
    /// User to become nevertheless if it is root who started the program.
    pub user_if_root: Option<&'static str>,
    /// As for the logger: 1 normal, 3 everything.
    pub verbosity: u8,
    /// CPU time is printed at the end.
    pub prints_cpu_time: bool,
}

/// What differs between the names of the program.
struct Defaults {
    version: Version,
    times: TimeFormat,
    max_flows: usize,
    timeouts: &'static [&'static str],
    pid_file: &'static str,
    control: &'static str,
    user: Option<&'static str>,
    labels: u8,
}

const OURS: Defaults = Defaults {
    version: Version::Ipfix,
    times: TimeFormat::Millis,
    max_flows: CacheConfig::MAX_FLOWS,
    timeouts: &["active=300", "expint=1"],
    pid_file: "/run/flowprobe.pid",
    control: "/run/flowprobe.ctl",
    user: None,
    labels: 10,
};

const SOFTFLOWD: Defaults = Defaults {
    version: Version::V5,
    times: TimeFormat::UptimeMs,
    max_flows: CacheConfig::SOFTFLOWD_MAX_FLOWS,
    timeouts: &["active=0", "expint=60"],
    pid_file: "/var/run/softflowd.pid",
    control: "/var/run/softflowd.ctl",
    user: Some("nobody"),
    labels: 0,
};

/// Where the socket of commands is unless somebody says: of the program, or of the program that
/// controls it.
pub fn control_path(name: &str) -> &'static Path {
    Path::new(defaults(name).control)
}

fn defaults(name: &str) -> &'static Defaults {
    if name.starts_with("softflow") { &SOFTFLOWD } else { &OURS }
}

impl Settings {
    /// Reads the options of the program called `name`.
    ///
    /// # Errors
    /// If an option has a value that makes no sense, or options do not go together.
    pub fn new(name: &str, args: Args) -> anyhow::Result<Self> {
        let defaults = defaults(name);
        let mut notes = Vec::new();
        let source = source(name, &args, defaults)?;
        let is_file = matches!(source, Source::File { .. });
        let export = export(&args, defaults, &mut notes)?;
        let process = process(&args, defaults, is_file);
        let control = match args.control.as_deref() {
            Some(path) if path == Path::new("none") => None,
            Some(path) => Some(path.to_owned()),
            None => Some(defaults.control.into()),
        };
        for (option, is_given) in [
            ("--metrics", args.metrics.is_some()),
            ("--threads", args.threads > 1),
            ("--libpcap", args.libpcap),
        ] {
            if is_given && is_file {
                notes.push(format!("{option} does nothing with -r"));
            }
        }
        if args.restart.is_some() {
            notes.push("-I does nothing: times stay right however long a probe runs".to_owned());
        }
        Ok(Self {
            program: name.to_owned(),
            filter: (!args.filter.is_empty()).then(|| args.filter.join(" ")),
            capture: Capture {
                is_promiscuous: !args.no_promiscuous,
                snap_length: args.snap_length.unwrap_or(512),
                buffer: args.buffer.unwrap_or(32 << 20),
                by_libpcap: args.libpcap,
                threads: args.threads,
            },
            cache: cache(name, &args, defaults, &source)?,
            lookup: lookup(&args)?,
            has_macs: args.fat || level(&args.track)? == Level::Ether,
            files: files(&args)?,
            control: control.filter(|_| !is_file),
            metrics: args.metrics,
            json: args.json,
            source,
            export,
            process,
            notes,
        })
    }
}

fn source(name: &str, args: &Args, defaults: &Defaults) -> anyhow::Result<Source> {
    if let Some(port) = args.psamp_port {
        bail!("-R {port}: receiving PSAMP is not among what {name} does: give -i or -r");
    }
    match (&args.read, args.interface.as_slice()) {
        (Some(path), []) => {
            // Uptimes reach some weeks back: at the time it is, they cannot say when an older
            // packet was. softflowd writes them nevertheless, and they say something else.
            let has_uptimes = !version(args, defaults)?.has_templates()
                || times(args, defaults)? == TimeFormat::UptimeMs;
            Ok(Source::File {
                path: path.clone(),
                at_packet_time: args.adjust || name != "softflowd" || has_uptimes,
            })
        }
        (Some(_), _) => bail!("-i and -r: packets come from interfaces or from a file, not both"),
        (None, []) => bail!("no packets to look at: give -i INTERFACE or -r FILE"),
        (None, all) => {
            all.iter().map(|text| interface(text)).collect::<Result<_, _>>().map(Source::Live)
        }
    }
}

/// Reads `[IDX:]IF`. Only a decimal number in front of the colon is an index: `eth0:1` is a name.
fn interface(text: &str) -> anyhow::Result<Interface> {
    let (index, name) = match text.split_once(':') {
        Some((digits, name))
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            let index =
                digits.parse().with_context(|| format!("-i {text}: an index is 0 to 65535"))?;
            (Some(index), name)
        }
        _ => (None, text),
    };
    ensure!(!name.is_empty(), "-i {text}: names no interface");
    Ok(Interface { name: name.to_owned(), index })
}

fn cache(
    name: &str,
    args: &Args,
    defaults: &Defaults,
    source: &Source,
) -> anyhow::Result<CacheConfig> {
    let mut timeouts = Timeouts::default();
    defaults.timeouts.iter().try_for_each(|text| timeouts.set(text))?;
    for text in &args.timeout {
        timeouts.set(text).with_context(|| format!("-t {text}"))?;
    }
    if let Some(time) = &args.active_timeout {
        timeouts.set(&format!("active={time}")).context("--active-timeout")?;
    }
    let version = version(args, defaults)?;
    let level = level(&args.track)?;
    ensure!(
        args.mac.is_none() || level == Level::Ether,
        "-H: MAC addresses tell the direction only with -T ether"
    );
    let is_old = name == "softflowd";
    Ok(CacheConfig {
        level,
        timeouts,
        max_flows: args.max_flows.map_or(defaults.max_flows, |n| n as usize),
        max_memory: args.max_memory.map(|n| n as u64),
        sampling: match args.sample.filter(|n| *n > 1) {
            None => Sampling::Off,
            Some(n) if args.random_sampling => Sampling::Random(n),
            Some(n) => Sampling::Systematic(n),
        },
        depth: if args.tunnels { Depth::Innermost } else { Depth::Outer },
        dedup: args.dedup.then(Dedup::default),
        ipv6: !is_old || args.ipv6 || args.debug || version.has_templates(),
        over_2_gib: is_old || !version.has_templates(),
        interfaces: interfaces(source, !args.no_lookup),
        seed: 0,
    })
}

/// What the number of a packet's interface is good for.
fn interfaces(source: &Source, asks_system: bool) -> InterfaceIndex {
    match source {
        Source::File { .. } => InterfaceIndex::Unknown,
        Source::Live(all) => match all.as_slice() {
            [Interface { index: Some(index), .. }] => InterfaceIndex::Fixed(u32::from(*index)),
            _ if asks_system => InterfaceIndex::OfPacket,
            _ => InterfaceIndex::Unknown,
        },
    }
}

fn lookup(args: &Args) -> anyhow::Result<Lookup> {
    let mac = args.mac.as_deref().map(mac).transpose()?;
    Ok(Lookup { asks_system: !args.no_lookup, mac })
}

fn level(text: &str) -> anyhow::Result<Level> {
    let level = Level::from_name(&text.to_ascii_lowercase());
    level.with_context(|| format!("-T {text}: there are full, port, proto, ip, vlan, ether"))
}

/// Reads six octets in hex, with colons or dashes between.
fn mac(text: &str) -> anyhow::Result<Mac> {
    let octet = |part: &str| match part.len() {
        1 | 2 => u8::from_str_radix(part, 16).ok(),
        _ => None,
    };
    let octets: Option<Vec<u8>> = text.split([':', '-']).map(octet).collect();
    let mac = octets.and_then(|all| <[u8; 6]>::try_from(all).ok());
    let number = |m: [u8; 6]| m.iter().fold(0, |n, o| n << 8 | u64::from(*o));
    mac.map(|m| Mac(number(m)))
        .with_context(|| format!("-H {text}: write a MAC address as 02:00:5e:10:00:01"))
}

fn export(
    args: &Args,
    defaults: &Defaults,
    notes: &mut Vec<String>,
) -> anyhow::Result<Option<Export>> {
    let version = version(args, defaults)?;
    let time = times(args, defaults)?;
    let transport = args.transport.to_ascii_lowercase().parse().context("-P")?;
    if args.to.is_empty() {
        return Ok(None);
    }
    let labels = args.mpls_labels.unwrap_or(defaults.labels);
    let has_templates = version.has_templates();
    for (option, is_idle, needs) in [
        ("-b", args.biflow && version != Version::Ipfix && args.write.is_none(), "-v 10"),
        ("-x", args.mpls_labels.is_some_and(|n| n > 0) && !has_templates, "-v 9 or -v 10"),
        ("-A", args.times.is_some() && !has_templates, "-v 9 or -v 10"),
    ] {
        if is_idle {
            notes.push(format!("{option} does nothing without {needs}"));
        }
    }
    let encoder = ExportConfig {
        domain: args.domain,
        biflow: args.biflow && version == Version::Ipfix,
        time,
        mtu: usize::from(args.mtu),
        template_every_packets: args.template_packets,
        template_every_secs: args.template_refresh,
        sampling: args.sample.filter(|n| *n > 1).map(|one_of| wire::export::Sampling {
            one_of,
            kind: match args.random_sampling {
                true => SamplingKind::Random,
                false => SamplingKind::Systematic,
            },
            selector: None,
        }),
        // How they are sent is for whoever sends them.
        ..ExportConfig::new(version)
    };
    encoder.check()?;
    Ok(Some(Export {
        to: Destination::parse_list(&args.to.join(",")).context("-n")?,
        is_balanced: args.balance,
        transport,
        mpls_labels: if has_templates { labels } else { 0 },
        hop_limit: args.hop_limit,
        interface: args.send_interface.clone(),
        from: args.from,
        encoder,
    }))
}

/// `-v`, read as softflowd reads it: 05 is 5.
fn version(args: &Args, defaults: &Defaults) -> anyhow::Result<Version> {
    let Some(text) = &args.export else { return Ok(defaults.version) };
    if text == "psamp" {
        bail!("-v psamp: it is flows that are exported: there are 1, 5, 9 and 10, which is IPFIX");
    }
    let version = text.parse().ok().and_then(Version::from_number);
    version.with_context(|| format!("-v {text}: there are 1, 5, 9 and 10, which is IPFIX"))
}

fn times(args: &Args, defaults: &Defaults) -> anyhow::Result<TimeFormat> {
    let Some(text) = &args.times else { return Ok(defaults.times) };
    let format = TimeFormat::from_word(&text.to_ascii_lowercase());
    format.with_context(|| format!("-A {text}: there are sec, milli, micro, nano, uptime"))
}

fn files(args: &Args) -> anyhow::Result<Option<Files>> {
    let Some(dir) = &args.write else { return Ok(None) };
    Ok(Some(Files {
        dir: dir.clone(),
        rotation: args.rotate.rotation()?,
        is_biflow: args.biflow,
        is_fat: args.fat,
    }))
}

fn process(args: &Args, defaults: &Defaults, is_file: bool) -> Process {
    let in_background = !(args.foreground || args.debug || is_file);
    let is_asked = args.user.is_some() || args.group.is_some();
    Process {
        in_background,
        pid_file: args.pid_file.clone().or_else(|| in_background.then(|| defaults.pid_file.into())),
        user: args.user.clone(),
        group: args.group.clone(),
        user_if_root: defaults.user.filter(|_| in_background && !is_asked),
        verbosity: if args.debug { 3 } else { 1 },
        prints_cpu_time: args.cpu_time,
    }
}

#[cfg(test)]
mod tests;
