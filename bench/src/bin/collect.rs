//! Sends the same exports to flowcapd and to nfcapds in turn.

use anyhow::{Context as _, bail, ensure};
use bench::load::{Load, Protocol};
use bench::measure;
use bench::results::{self, Run};
use clap::{Parser, ValueEnum};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use std::{fs, thread};
use sys::clock;

/// Compares flowcapd with nfcapd: CPU time, peak memory, drops. Appends to a file of results.
#[derive(Parser)]
struct Args {
    /// Directory for flow files; what is in it is removed
    #[arg(long)]
    data: PathBuf,
    /// The flowcapd to measure
    #[arg(long)]
    flowcapd: PathBuf,
    /// An nfcapd to compare with; may be repeated
    #[arg(long, default_value = "nfcapd")]
    nfcapd: Vec<PathBuf>,
    /// Results are appended here
    #[arg(long)]
    results: PathBuf,
    /// Flows of each run
    #[arg(long, default_value_t = 5_000_000)]
    flows: u64,
    /// Flows a second
    #[arg(long, default_value_t = 150_000)]
    rate: u64,
    /// Exporters that send them
    #[arg(long, default_value_t = 8)]
    exporters: u16,
    /// Runs of each; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// UDP port on loopback
    #[arg(long, default_value_t = 29_995)]
    port: u16,
    /// Fail if flowcapd loses a flow
    #[arg(long)]
    check: bool,
    /// One run: measure this collector with this protocol, and print the numbers
    #[arg(long, hide = true, requires = "protocol")]
    measure: Option<PathBuf>,
    /// For that run
    #[arg(long, hide = true)]
    protocol: Option<Word>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Word {
    V5,
    V9,
}

/// CPU time of nfcapd over that of flowcapd, which takes 40 % of it at most.
const FLOOR: f64 = 2.5;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match (&args.measure, args.protocol) {
        // A process of its own for each run, so that the collector is the only child.
        (Some(tool), Some(protocol)) => measure(&args, tool, protocol),
        _ => compare(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("collect: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> anyhow::Result<()> {
    for protocol in [Word::V5, Word::V9] {
        for tool in args.nfcapd.iter().chain([&args.flowcapd]) {
            let used = best(args, tool, protocol)?;
            let is_ours = *tool == args.flowcapd;
            let lost = used.dropped + used.missing;
            ensure!(
                !args.check || !is_ours || lost == 0,
                "flowcapd lost flows at {} a second",
                args.rate
            );
            results::append(&args.results, &result(args, tool, protocol, &used)?)?;
        }
    }
    Ok(())
}

fn result(args: &Args, tool: &Path, protocol: Word, used: &Used) -> anyhow::Result<Run> {
    let is_ours = *tool == args.flowcapd;
    let program = measure::name_of(tool)?;
    let lost =
        format!("{program}: {} datagrams dropped, {} flows missing", used.dropped, used.missing);
    Ok(Run {
        area: "collector".into(),
        what: format!("{}, {} k flows/s", name(protocol), args.rate / 1000),
        program,
        is_ours,
        value: used.cpu(),
        unit: "CPU s/M flows".into(),
        peak_mib: used.mib,
        floor: is_ours.then_some(FLOOR),
        note: (used.dropped + used.missing > 0).then_some(lost),
        ..Run::default()
    })
}

const fn name(protocol: Word) -> &'static str {
    match protocol {
        Word::V5 => "NetFlow v5",
        Word::V9 => "NetFlow v9",
    }
}

/// What one run used, and what it did not store.
#[derive(Clone, Copy, Debug)]
struct Used {
    flows: f64,
    user: f64,
    system: f64,
    mib: f64,
    /// Datagrams the kernel dropped at the socket.
    dropped: u64,
    /// Flows sent that are not in the files.
    missing: u64,
}

impl Used {
    /// Seconds of CPU for a million flows.
    fn cpu(&self) -> f64 {
        (self.user + self.system) / (self.flows / 1e6)
    }
}

fn best(args: &Args, tool: &Path, protocol: Word) -> anyhow::Result<Used> {
    let mut best: Option<Used> = None;
    for _ in 0..args.rounds.max(1) {
        let new = run(tool, protocol)?;
        if best.is_none_or(|b| new.cpu() < b.cpu()) {
            best = Some(new);
        }
    }
    best.context("no rounds")
}

fn run(tool: &Path, protocol: Word) -> anyhow::Result<Used> {
    let output = Command::new(std::env::current_exe().context("own path")?)
        .args(std::env::args_os().skip(1))
        .arg("--measure")
        .arg(tool)
        .args(["--protocol", &word(protocol)])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run a measurement")?;
    let what = || format!("{} with {}", tool.display(), name(protocol));
    ensure!(output.status.success(), "{}: failed", what());
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[flows, user, system, mib, dropped, missing]) => {
            let (dropped, missing) = (dropped as u64, missing as u64);
            Ok(Used { flows, user, system, mib, dropped, missing })
        }
        _ => bail!("a measurement answered '{}'", text.trim()),
    }
}

fn measure(args: &Args, tool: &Path, protocol: Word) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(&args.data);
    fs::create_dir_all(&args.data).with_context(|| args.data.display().to_string())?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let kind = if protocol == Word::V5 { Protocol::V5 } else { Protocol::V9 };
    let mut load = Load::new(kind, args.exporters, to)?;
    let mut collector = start(args, tool)?;
    let sent = wait_for_port(&mut collector, args.port)
        .and_then(|()| load.send(args.flows, args.rate).context("sending"));
    let dropped = wait_until_read(args.port);
    let peak = peak_memory(&collector);
    kill(Pid::from_raw(collector.id() as i32), Signal::SIGTERM).context("kill")?;
    let status = collector.wait()?;
    let sent = sent?;
    ensure!(status.success(), "{} ended with {status}", tool.display());
    let stored = stored(&args.data)?;
    let used = clock::used_by_children();
    println!(
        "{} {} {} {} {} {}",
        sent.flows,
        used.user.as_secs_f64(),
        used.system.as_secs_f64(),
        peak?,
        dropped?,
        sent.flows.saturating_sub(stored)
    );
    Ok(())
}

/// Starts a collector the way an operator would: one directory, LZ4. nfcapd is given the largest
/// buffer it can have; flowcapd asks for it by itself.
fn start(args: &Args, tool: &Path) -> anyhow::Result<Child> {
    let words: &[&str] = if *tool == args.flowcapd {
        &["-z=lz4", "-C", "none"]
    } else if measure::name_of(tool)?.contains(" 1.7.1") {
        &["-y", "-B", "4194304"]
    } else {
        &["-z=lz4", "-B", "4194304"]
    };
    Command::new(tool)
        .arg("-w")
        .arg(&args.data)
        .args(["-b", "127.0.0.1", "-t", "3600", "-p", &args.port.to_string()])
        .args(words)
        .env("TZ", "UTC")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{}: cannot run", tool.display()))
}

/// Waits until the collector listens.
fn wait_for_port(collector: &mut Child, port: u16) -> anyhow::Result<()> {
    for _ in 0..1000 {
        if socket(port)?.is_some() {
            return Ok(());
        }
        if let Some(status) = collector.try_wait()? {
            bail!("the collector ended with {status}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("the collector does not listen on UDP port {port}");
}

/// Waits until nothing is left in the buffer of the collector's socket. Returns what was dropped.
fn wait_until_read(port: u16) -> anyhow::Result<u64> {
    for _ in 0..1000 {
        let Some(state) = socket(port)? else { bail!("the collector has closed its socket") };
        if state.waiting == 0 {
            // What was read last may be on its way to the file.
            thread::sleep(Duration::from_millis(500));
            return Ok(state.dropped);
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("the collector does not read its socket");
}

/// What the kernel says of a UDP socket.
struct SocketState {
    /// Octets that wait.
    waiting: u64,
    /// Datagrams dropped.
    dropped: u64,
}

/// The state of the IPv4 socket of `port`, if there is one.
fn socket(port: u16) -> anyhow::Result<Option<SocketState>> {
    let table = fs::read_to_string("/proc/net/udp").context("/proc/net/udp")?;
    let local = format!(":{port:04X}");
    let found = table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (at, queues) = (words.get(1)?, words.get(4)?);
        at.ends_with(&local).then_some(())?;
        let waiting = u64::from_str_radix(queues.split(':').nth(1)?, 16).ok()?;
        Some(SocketState { waiting, dropped: words.last()?.parse().ok()? })
    });
    Ok(found)
}

/// Largest resident set of a process so far, MiB. What the system says at its end has that of its
/// parent in it.
fn peak_memory(process: &Child) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

/// Flows in the files of a directory.
fn stored(dir: &Path) -> anyhow::Result<u64> {
    let mut flows = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && name.starts_with("nfcapd.") {
            let file = store::FlowFile::open(&path).with_context(|| name.clone())?;
            flows += file.totals().map_or(0, record::Totals::all_flows);
        }
    }
    Ok(flows)
}

/// The word for a value on the command line.
fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
