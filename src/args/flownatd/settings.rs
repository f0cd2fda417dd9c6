//! What the options of `flownatd` come to: everything read and checked, nothing opened.

use super::super::Rotation;
use super::Args;
use anyhow::{Context as _, bail, ensure};
use export::{Destination, Transport};
use nat::records::{RecordConfig, RecordKind, RecordKinds};
use nat::run::ListenConfig;
use nat::{Filter, TrackerConfig};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use store::Extensions;
use wire::export::{ExportConfig, Version};

/// What a daemon is told to do.
#[derive(Debug)]
pub struct Settings {
    /// Name that the program goes by.
    pub program: String,
    /// What to do.
    pub command: Command,
    /// Which connections, and how they are followed. Kernel timeouts and own addresses are for
    /// whoever knows them.
    pub tracker: TrackerConfig,
    /// Connections of this host itself are left out.
    pub leaves_own: bool,
    /// How the kernel is listened to.
    pub listen: ListenConfig,
    /// Sysctls that are missing are set.
    pub sets_sysctls: bool,
    /// Recorded events in place of the kernel's.
    pub replay: Option<PathBuf>,
    /// Where records are sent to.
    pub exports: Vec<Export>,
    /// Where records are written to.
    pub files: Option<Files>,
    /// Where lines go.
    pub lines: Lines,
    /// The second flow of triplets has no counters.
    pub zero_second: bool,
    /// Address of the exporter, and that datagrams leave from.
    pub from: Option<IpAddr>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// How the process behaves.
    pub process: Process,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run in the foreground.
    Run,
    /// Run in the background.
    Start,
    /// End what runs in the background.
    Stop,
    /// Both.
    Restart,
    /// Have what runs look at everything anew.
    Reload,
    /// Say whether it could work.
    Check,
    /// Say how it becomes a service.
    Install,
    /// Look who had an address.
    Who(Who),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Address, port, time.
    pub words: [String; 3],
    /// Where files are.
    pub dir: PathBuf,
    /// The answer is JSON.
    pub json: bool,
    /// How far clocks may be apart, seconds.
    pub slack: u64,
}

/// Where and what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Destinations, one at least.
    pub to: Vec<Destination>,
    /// Transport.
    pub transport: Transport,
    /// Which records.
    pub kinds: RecordKinds,
    /// What datagrams are like; the start is for whoever knows it.
    pub encoder: ExportConfig,
}

/// Where files are written.
#[derive(Clone, Debug)]
pub struct Files {
    /// Directory.
    pub dir: PathBuf,
    /// Which records.
    pub kinds: RecordKinds,
    /// How they are written.
    pub rotation: Rotation,
    /// What records keep.
    pub extensions: Extensions,
}

/// Where lines go; `-` is standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// nfflowd's columns.
    pub csv: Option<PathBuf>,
    /// JSON.
    pub ndjson: Option<PathBuf>,
    /// The socket of syslog.
    pub syslog: Option<PathBuf>,
}

/// How the process behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Goes to the background.
    pub in_background: bool,
    /// File for its number.
    pub pid_file: PathBuf,
    /// Whether one was named, so that it is written in the foreground, too.
    pub has_pid_file: bool,
    /// User to become.
    pub user: Option<String>,
    /// Group to become.
    pub group: Option<String>,
    /// As for the logger: 1 normal, 3 everything.
    pub verbosity: u8,
}

/// Where the process id is unless somebody says.
const PID_FILE: &str = "/run/flownatd.pid";
/// Where files are looked for unless somebody says.
const FLOWS: &str = "/var/lib/flowsuite";

impl Settings {
    /// Reads the options of the program called `name`.
    ///
    /// # Errors
    /// If an option has a value that makes no sense, or options do not go together.
    pub fn new(name: &str, args: Args) -> anyhow::Result<Self> {
        let command = command(&args)?;
        let starts = matches!(command, Command::Start | Command::Restart);
        let exports = exports(&args)?;
        if starts && !args.foreground {
            let is_stdout = |p: &Option<PathBuf>| p.as_ref().is_some_and(|p| p.as_os_str() == "-");
            ensure!(
                !is_stdout(&args.csv) && !is_stdout(&args.ndjson),
                "standard output is gone in the background: give --csv and --ndjson a file"
            );
        }
        Ok(Self {
            program: name.to_owned(),
            tracker: tracker(&args)?,
            leaves_own: !args.all,
            listen: ListenConfig {
                buffer: args.buffer,
                max_buffer: args.max_buffer,
                updates: args.update,
                reliable: args.reliable,
            },
            sets_sysctls: args.set_sysctls,
            exports,
            files: files(&args)?,
            zero_second: args.zero_second,
            from: args.from,
            metrics: args.metrics,
            process: Process {
                in_background: starts && !args.foreground,
                has_pid_file: args.pid_file.is_some(),
                pid_file: args.pid_file.unwrap_or_else(|| PID_FILE.into()),
                user: args.user,
                group: args.group,
                verbosity: args.verbose.saturating_add(1),
            },
            replay: args.replay,
            lines: Lines { csv: args.csv, ndjson: args.ndjson, syslog: args.syslog },
            command,
        })
    }

    /// Whether anybody gets what is found.
    pub fn has_output(&self) -> bool {
        !self.exports.is_empty() || self.files.is_some() || self.lines != Lines::default()
    }

    /// How records of these kinds are made.
    pub fn records(&self, kinds: RecordKinds) -> RecordConfig {
        RecordConfig {
            kinds,
            zero_second: self.zero_second,
            // Without a flow beside it, an event is all there is to count.
            event_counters: !kinds.has(RecordKind::Biflow) && !kinds.has(RecordKind::Triplet),
            ..RecordConfig::default()
        }
    }
}

fn command(args: &Args) -> anyhow::Result<Command> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let command = match words.as_slice() {
        [] => Command::Run,
        ["start"] => Command::Start,
        ["stop"] => Command::Stop,
        ["restart"] => Command::Restart,
        ["reload"] => Command::Reload,
        ["check"] => Command::Check,
        ["install"] => Command::Install,
        ["who", addr, port, time, rest @ ..] if rest.len() <= 1 => {
            let dir = rest.first().map(PathBuf::from).or_else(|| args.write.clone());
            Command::Who(Who {
                words: [addr, port, time].map(|w| (*w).to_owned()),
                dir: dir.unwrap_or_else(|| FLOWS.into()),
                json: args.json,
                slack: args.slack,
            })
        }
        ["who", ..] => bail!("who: write who IP PORT TIME [DIR]; PORT may be any"),
        ["start" | "stop" | "restart" | "reload" | "check" | "install", odd, ..] => {
            bail!("'{odd}': nothing follows this word")
        }
        [odd, ..] => bail!(
            "no word '{odd}'; there are start, stop, restart, reload, check, install, who, help, \
             version"
        ),
    };
    Ok(command)
}

fn tracker(args: &Args) -> anyhow::Result<TrackerConfig> {
    const SECOND: u64 = 1_000_000_000;
    let ns = |secs: u64| secs.saturating_mul(SECOND);
    let protocols: anyhow::Result<_> = args.protocol.iter().map(|t| protocol(t)).collect();
    let networks: Result<_, _> = args
        .network
        .iter()
        .map(|text| text.parse().with_context(|| format!("--network {text}: write 192.0.2.0/24")))
        .collect();
    let marks: anyhow::Result<_> = args.mark.iter().map(|t| mark(t)).collect();
    ensure!(args.max_connections > 0, "--max-connections: 1 at least");
    Ok(TrackerConfig {
        filter: Filter {
            nat_only: args.nat_only,
            protocols: protocols?,
            networks: networks?,
            zones: args.zone.clone(),
            marks: marks?,
            own: None,
        },
        max_connections: args.max_connections,
        active_ns: ns(args.active),
        ttl_ns: ns(args.ttl),
        dump_every_ns: ns(args.dump_every),
        ..TrackerConfig::default()
    })
}

fn protocol(text: &str) -> anyhow::Result<u8> {
    let named = match text.to_ascii_lowercase().as_str() {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "dccp" => Some(33),
        "gre" => Some(47),
        "esp" => Some(50),
        "icmpv6" | "icmp6" | "ipv6-icmp" => Some(58),
        "sctp" => Some(132),
        "udplite" | "udp-lite" => Some(136),
        number => number.parse().ok(),
    };
    named.with_context(|| {
        format!(
            "--protocol {text}: a number, or tcp, udp, icmp, icmpv6, sctp, dccp, gre, esp, udplite"
        )
    })
}

/// Reads `VALUE[/MASK]`.
fn mark(text: &str) -> anyhow::Result<(u32, u32)> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    let pair = number(value).zip(number(mask));
    let (value, mask) = pair.with_context(|| format!("--mark {text}: write 0x17 or 0x10/0xf0"))?;
    ensure!(value & !mask == 0, "--mark {text}: the value has bits that the mask leaves out");
    Ok((value, mask))
}

fn exports(args: &Args) -> anyhow::Result<Vec<Export>> {
    let mut all = Vec::new();
    if !args.to.is_empty() {
        let to = Destination::parse_list(&args.to.join(",")).context("-n")?;
        let records = args.records.as_deref();
        all.push(export(args, to, &args.export, records, &args.transport)?);
    }
    for text in &args.output {
        let output = || format!("--output {text}");
        let mut parts = text.split(',');
        let to = Destination::parse(parts.next().unwrap_or_default()).with_context(output)?;
        let (mut version, mut records, mut transport) = ("10", None, "udp");
        for part in parts {
            match part.split_once('=') {
                Some(("version", value)) => version = value,
                Some(("records", value)) => records = Some(value.replace('+', ",")),
                Some(("transport", value)) => transport = value,
                _ => bail!("--output {text}: '{part}': there are version=, records=, transport="),
            }
        }
        let export = export(args, vec![to], version, records.as_deref(), transport);
        all.push(export.with_context(output)?);
    }
    Ok(all)
}

fn export(
    args: &Args,
    to: Vec<Destination>,
    version: &str,
    records: Option<&str>,
    transport: &str,
) -> anyhow::Result<Export> {
    let version = version.parse().ok().and_then(Version::from_number).filter(|v| *v != Version::V1);
    let version = version.context("there are versions 5, 9 and 10, which is IPFIX")?;
    let default = match version {
        Version::V9 => "nel,biflow",
        Version::Ipfix => "events,biflow",
        _ => "triplet",
    };
    let kinds: RecordKinds = records.unwrap_or(default).parse()?;
    let can_not: &[RecordKind] = match version {
        Version::V9 => &[],
        Version::Ipfix => &[RecordKind::Nel, RecordKind::Nsel],
        _ => &[RecordKind::Nel, RecordKind::Nsel, RecordKind::Event, RecordKind::Biflow],
    };
    if can_not.iter().any(|kind| kinds.has(*kind)) {
        bail!("these records need another version: v5 has triplet, nel and nsel are of v9");
    }
    let transport: Transport = transport.to_ascii_lowercase().parse()?;
    let encoder = ExportConfig {
        domain: args.domain,
        mtu: usize::from(args.mtu),
        transport: match transport {
            Transport::Udp => wire::export::Transport::Datagrams,
            Transport::Tcp => wire::export::Transport::Stream,
        },
        ..ExportConfig::new(version)
    };
    encoder.check()?;
    Ok(Export { to, transport, kinds, encoder })
}

fn files(args: &Args) -> anyhow::Result<Option<Files>> {
    let Some(dir) = &args.write else { return Ok(None) };
    Ok(Some(Files {
        dir: dir.clone(),
        kinds: args.file_records.parse().context("--file-records")?,
        rotation: args.rotate.rotation()?,
        extensions: args.extensions.unwrap_or(Extensions::ALL),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn read(words: &[&str]) -> anyhow::Result<Settings> {
        let words = ["flownatd"].iter().chain(words);
        Settings::new("flownatd", Args::try_parse_from(words)?)
    }

    #[test]
    fn outputs_have_records_of_their_own() {
        let settings = read(&[
            "-n",
            "a:1,b:2",
            "--output",
            "c:3,version=9,records=nel+nsel",
            "--output",
            "d:4,version=5",
        ])
        .unwrap();
        let kinds: Vec<_> = settings.exports.iter().map(|e| (e.to.len(), e.kinds)).collect();
        let kinds_of = |text: &str| text.parse::<RecordKinds>().unwrap();
        let want =
            [(2, kinds_of("events,biflow")), (1, kinds_of("nel,nsel")), (1, kinds_of("triplet"))];
        assert_eq!(kinds, want);
        assert!(settings.records(kinds_of("nel")).event_counters);
        assert!(!settings.records(kinds_of("events,biflow")).event_counters);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (words, said) in [
            (&["-n", "a:1", "-v", "7"][..], "versions 5, 9 and 10"),
            (&["-n", "a:1", "--records", "nel"], "need another version"),
            (&["-n", "a:1", "-v", "5", "--records", "biflow"], "need another version"),
            (&["--output", "a:1,records=x"], "no kind of record is called 'x'"),
            (&["--output", "a:1,colour=x"], "'colour=x'"),
            (&["--protocol", "tpc"], "--protocol tpc"),
            (&["--network", "10/8"], "--network 10/8"),
            (&["--mark", "0x17/0x7"], "bits that the mask leaves out"),
            (&["begin"], "no word 'begin'"),
            (&["stop", "now"], "'now'"),
            (&["who", "192.0.2.1"], "who IP PORT TIME"),
            (&["start", "--csv", "-"], "background"),
            (&["-w", "/x", "--ident", "a b"], "--ident"),
        ] {
            let e = format!("{:#}", read(words).expect_err(said));
            assert!(e.contains(said), "{words:?}: {e}");
        }
    }

    #[test]
    fn filters_are_read() {
        let words = [
            "--nat-only",
            "--protocol",
            "tcp,17",
            "--network",
            "10.0.0.0/8,fd00::/8",
            "--zone",
            "7",
        ];
        let settings =
            read(&[&words[..], &["--mark", "0x10/0xf0", "--mark", "5"]].concat()).unwrap();
        let filter = &settings.tracker.filter;
        assert_eq!((filter.nat_only, filter.protocols.as_slice()), (true, &[6, 17][..]));
        assert_eq!((filter.networks.len(), filter.zones.as_slice()), (2, &[7][..]));
        assert_eq!(filter.marks, [(0x10, 0xf0), (5, u32::MAX)]);
        assert!(settings.leaves_own && !read(&["--all"]).unwrap().leaves_own);
    }
}
