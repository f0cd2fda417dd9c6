//! Captures, from file to flows, on one core.

use crate::Args;
use crate::sink::{self, Flows};
use anyhow::{Context as _, bail, ensure};
use bench::packets::{self, Link, Packets, Stored, Totals};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use sys::clock;

/// A capture that is read.
struct Work {
    name: &'static str,
    /// Packets and conversations, of a million of those that are asked for.
    packets: u64,
    flows: u64,
    is_small: bool,
    stored: Stored,
    /// Who reads it.
    tools: &'static [Tool],
    /// Packets a second over those of softflowd; 0 for none.
    goal: f64,
    /// Flows that may be in memory.
    limit: u32,
    /// MiB that flowprobe may have for itself.
    most: f64,
}

/// Who is measured, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    /// softflowd, exporting NetFlow v9.
    Softflowd,
    /// flowprobe, with the same options.
    Flowprobe,
    /// nfpcapd, writing files.
    Nfpcapd,
    /// flowprobe, writing files.
    FlowprobeFiles,
}

const ALL: &[Tool] = &[Tool::Softflowd, Tool::Flowprobe, Tool::Nfpcapd, Tool::FlowprobeFiles];
const MILLION: u64 = 1_000_000;
/// Room for all flows, so that none ends for want of it.
const ROOM: u32 = 4_000_000;

const WORKS: &[Work] = &[
    Work {
        name: "headers of packets",
        packets: MILLION,
        flows: MILLION,
        is_small: false,
        stored: Stored::Headers,
        // nfpcapd passes over packets that are not whole.
        tools: &[Tool::Softflowd, Tool::Flowprobe, Tool::FlowprobeFiles],
        goal: 5.0,
        limit: ROOM,
        most: f64::MAX,
    },
    Work {
        name: "small packets",
        packets: MILLION,
        flows: MILLION,
        is_small: true,
        stored: Stored::Whole,
        tools: ALL,
        goal: 5.0,
        limit: ROOM,
        most: f64::MAX,
    },
    Work {
        name: "whole packets",
        packets: MILLION / 2,
        flows: MILLION / 2,
        is_small: false,
        stored: Stored::Whole,
        tools: ALL,
        goal: 0.0,
        limit: ROOM,
        most: f64::MAX,
    },
    Work {
        name: "many flows",
        packets: MILLION / 4,
        flows: 10 * MILLION / 3,
        is_small: true,
        stored: Stored::Whole,
        tools: ALL,
        goal: 0.0,
        limit: ROOM,
        most: 200.0,
    },
    // Each packet has addresses of its own.
    Work {
        name: "flood",
        packets: MILLION / 4,
        flows: 25 * MILLION / 6,
        is_small: true,
        stored: Stored::Whole,
        tools: &[Tool::Softflowd, Tool::Flowprobe],
        goal: 0.0,
        limit: 100_000,
        most: 50.0,
    },
];

/// Compares all; returns how many are below their goal.
pub(crate) fn compare(args: &Args) -> anyhow::Result<u32> {
    println!(
        "{:<19} {:<15} {:>9} {:>6} {:>7} {:>7} {:>9} {:>10} {:>12}",
        "", "", "packets/s", "CPU s", "own", "peak", "flows", "packets", "octets"
    );
    let mut missed = 0;
    for work in WORKS.iter().filter(|w| w.name.contains(&args.only)) {
        missed += one(args, work)?;
    }
    Ok(missed)
}

fn one(args: &Args, work: &Work) -> anyhow::Result<u32> {
    let link = Link {
        packets: args.packets * work.packets / MILLION,
        conversations: (u64::from(args.flows) * work.flows / MILLION) as u32,
        is_small: work.is_small,
        ..Link::default()
    };
    let capture = args.data.join("capture");
    let truth = generate(&capture, link, work.stored)?;
    println!(
        "{:<19} {:<15} {:>50} {:>10} {:>12}",
        work.name, "", link.conversations, truth.packets, truth.octets
    );
    let mut missed = 0;
    let mut softflowd: Option<Run> = None;
    for tool in work.tools {
        let run = best(args, *tool, work.limit, &capture)?;
        let rate = truth.packets as f64 / run.used.wall.max(1e-9);
        print_run(*tool, rate, &run);
        let is_ours = matches!(tool, Tool::Flowprobe | Tool::FlowprobeFiles);
        let sums = Totals { packets: run.flows.packets, octets: run.flows.octets };
        ensure!(!is_ours || sums == truth, "{} says {sums:?} of {truth:?}", tool.name());
        match tool {
            Tool::Softflowd => softflowd = Some(run),
            Tool::Flowprobe => {
                let theirs = softflowd.as_ref().context("softflowd comes first")?.used;
                let ratio = theirs.wall / run.used.wall.max(1e-9);
                let cpu = theirs.cpu / run.used.cpu.max(1e-9);
                missed += u32::from(ratio < work.goal) + u32::from(run.used.own > work.most);
                println!("{}", goals(work, ratio, cpu));
            }
            Tool::Nfpcapd | Tool::FlowprobeFiles => {}
        }
    }
    fs::remove_file(&capture).context("capture")?;
    Ok(missed)
}

fn goals(work: &Work, ratio: f64, cpu: f64) -> String {
    let mut line = format!("{:<35} {ratio:>8.1}x {cpu:>5.1}x", "");
    if work.goal > 0.0 {
        line += &format!("; goal {:.0}x", work.goal);
    }
    if work.most < f64::MAX {
        line += &format!("; goal {:.0} MB", work.most);
    }
    line
}

fn print_run(tool: Tool, rate: f64, run: &Run) {
    let Run { used, flows } = run;
    println!(
        "{:<19} {:<15} {rate:>9.0} {:>6.2} {:>4.0} MB {:>4.0} MB {:>9} {:>10} {:>12}{}",
        "",
        tool.name(),
        used.cpu,
        used.own,
        used.peak,
        flows.flows,
        flows.packets,
        flows.octets,
        if flows.lost > 0 {
            format!(" ({} datagrams lost here)", flows.lost)
        } else {
            String::new()
        }
    );
}

fn generate(path: &Path, link: Link, stored: Stored) -> anyhow::Result<Totals> {
    const START_SECS: u32 = 1_775_822_400;
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let out = BufWriter::with_capacity(1 << 20, file);
    packets::write(Packets::new(link), START_SECS, stored, out).context("writing the capture")
}

/// What a tool used and what came out.
struct Run {
    used: Used,
    flows: Flows,
}

#[derive(Clone, Copy)]
struct Used {
    wall: f64,
    cpu: f64,
    /// MiB: largest set of its own, and with what it maps of files.
    own: f64,
    peak: f64,
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Self::Softflowd => "softflowd v9",
            Self::Flowprobe => "flowprobe v9",
            Self::Nfpcapd => "nfpcapd files",
            Self::FlowprobeFiles => "flowprobe files",
        }
    }
}

fn best(args: &Args, tool: Tool, limit: u32, capture: &Path) -> anyhow::Result<Run> {
    let mut best: Option<Run> = None;
    for _ in 0..args.rounds.max(1) {
        let new = run(args, tool, limit, capture)?;
        if best.as_ref().is_none_or(|best| new.used.wall < best.used.wall) {
            best = Some(new);
        }
    }
    best.context("no rounds")
}

fn run(args: &Args, tool: Tool, limit: u32, capture: &Path) -> anyhow::Result<Run> {
    let dir = args.data.join("flows");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let (used, flows) = match tool {
        Tool::Softflowd | Tool::Flowprobe => {
            let program = if tool == Tool::Softflowd { &args.softflowd } else { &args.flowprobe };
            let (used, flows) = sink::collect(|to| {
                let mut words: Vec<OsString> = vec![program.into(), "-r".into(), capture.into()];
                let rest = format!("-n {to} -v 9 -m {limit} -c none -d");
                words.extend(rest.split(' ').map(OsString::from));
                in_process(&words)
            })?;
            (used?, flows)
        }
        Tool::Nfpcapd | Tool::FlowprobeFiles => {
            let limit = limit.to_string();
            let ours: &[&str] = &["-m", &limit, "-c", "none", "-d", "-z=lz4"];
            let (program, words) = match tool {
                Tool::Nfpcapd => (&args.nfpcapd, &["-y", "-t", "86400"][..]),
                _ => (&args.flowprobe, ours),
            };
            let mut all: Vec<OsString> = vec![program.into(), "-r".into(), capture.into()];
            all.extend([OsString::from("-w"), dir.clone().into()]);
            all.extend(words.iter().map(OsString::from));
            (in_process(&all)?, stored(&dir)?)
        }
    };
    let _ = fs::remove_dir_all(&dir);
    Ok(Run { used, flows })
}

/// Flows in the files of a directory.
fn stored(dir: &Path) -> anyhow::Result<Flows> {
    let mut flows = Flows::default();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() && !path.to_string_lossy().contains("/.") {
            let file = store::FlowFile::open(&path).with_context(|| path.display().to_string())?;
            if let Some(totals) = file.totals() {
                flows.flows += totals.all_flows();
                flows.packets += totals.all_packets();
                flows.octets += totals.all_bytes();
            }
        }
    }
    Ok(flows)
}

/// Measures a command in a process of its own.
fn in_process(words: &[OsString]) -> anyhow::Result<Used> {
    let me = std::env::current_exe().context("own path")?;
    let output = Command::new(me).arg("measure").args(words).stderr(Stdio::inherit()).output();
    let output = output.context("cannot run a measurement")?;
    ensure!(output.status.success(), "a measurement failed: {words:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[wall, cpu, own, peak]) => Ok(Used { wall, cpu, own, peak }),
        _ => bail!("a measurement answered '{}'", text.trim()),
    }
}

/// Runs a command on the first core, and prints its wall and CPU time and its memory.
pub(crate) fn measure(words: Vec<OsString>) -> anyhow::Result<()> {
    const STEP: Duration = Duration::from_millis(5);
    let tool = words.first().context("measure: name a command")?.to_string_lossy();
    let start = clock::monotonic();
    let mut child = Command::new("taskset")
        .args(["-c", "0"])
        .args(&words)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run taskset")?;
    let mut own = 0.0f64;
    let status = loop {
        own = own.max(own_memory(child.id()));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(STEP);
    };
    let wall = start.elapsed().as_secs_f64();
    ensure!(status.success(), "{tool} ended with {status}");
    let used = clock::used_by_children();
    let cpu = (used.user + used.system).as_secs_f64();
    println!("{wall} {cpu} {own} {}", used.peak_memory as f64 / f64::from(1 << 20));
    Ok(())
}

/// Resident memory of a process that is no file's, MiB; 0 if it is gone.
fn own_memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
