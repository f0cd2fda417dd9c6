//! Runs flowdump and the installed nfdump in turn on the same files and prints the ratios.

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use sys::clock;

/// Compares flowdump with nfdump: wall time, CPU, peak memory.
#[derive(Parser)]
struct Args {
    /// Directory of flow files
    #[arg(long)]
    data: PathBuf,
    /// The flowdump to measure
    #[arg(long)]
    flowdump: PathBuf,
    /// The nfdump to compare with
    #[arg(long, default_value = "nfdump")]
    nfdump: PathBuf,
    /// Runs of each; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only works whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// No goals: the files are too small for the numbers to mean anything
    #[arg(long)]
    check: bool,
}

/// One question, the same words for both tools.
struct Work {
    name: &'static str,
    args: &'static [&'static str],
    /// Ratio to reach; below 1 nobody may be.
    goal: f64,
}

const WORKS: &[Work] = &[
    Work { name: "-s dstip/bytes -n 10", args: &["-s", "dstip/bytes", "-n", "10"], goal: 3.0 },
    Work { name: "-s record/bytes -n 10", args: &["-s", "record/bytes", "-n", "10"], goal: 3.0 },
    Work {
        name: "-A srcip,dstport -O bytes -n 10",
        args: &["-A", "srcip,dstport", "-O", "bytes", "-n", "10"],
        goal: 3.0,
    },
    // All of them, sorted: what that takes is memory.
    Work { name: "-a -O bytes -o null", args: &["-a", "-O", "bytes", "-o", "null"], goal: 1.0 },
    Work { name: "-O tstart -o null", args: &["-O", "tstart", "-o", "null"], goal: 1.0 },
    Work { name: "filter that matches nothing", args: &["proto 200"], goal: 1.0 },
    Work { name: "host 10.7.121.177", args: &["host 10.7.121.177"], goal: 1.0 },
    Work { name: "list -o csv", args: &["-o", "csv"], goal: 1.0 },
    Work { name: "list -o json", args: &["-o", "json"], goal: 1.0 },
];

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    // The second form: run one command and say what it used. A process of its own for each run,
    // so that the largest child is the only child.
    let result = if words.peek().is_some_and(|w| w == "measure") {
        measure(words.skip(1).collect())
    } else {
        compare(&Args::parse())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("compare: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let (theirs, ours) = (sums(&args.nfdump, &args.data)?, sums(&args.flowdump, &args.data)?);
    ensure!(theirs == ours, "the tools disagree about the files: {theirs:?} and {ours:?}");
    println!(
        "{:<34} {:>8} {:>8} {:>6} {:>5}   {:>5} {:>5}   {:>8} {:>8}",
        "", "nfdump", "flowdump", "ratio", "goal", "cores", "cores", "nfdump", "flowdump"
    );
    let mut missed = 0;
    for work in WORKS.iter().filter(|w| w.name.contains(&args.only)) {
        let (mut theirs, mut ours): (Option<Used>, Option<Used>) = (None, None);
        for _ in 0..args.rounds.max(1) {
            keep_best(&mut theirs, run(&args.nfdump, work, &args.data)?);
            keep_best(&mut ours, run(&args.flowdump, work, &args.data)?);
        }
        let (Some(theirs), Some(ours)) = (theirs, ours) else { bail!("no rounds") };
        let ratio = theirs.wall / ours.wall.max(0.001);
        missed += u32::from(ratio < work.goal || ours.mib > theirs.mib.max(64.0));
        println!(
            "{:<34} {:>7.2}s {:>7.2}s {:>5.1}x {:>4.0}x   {:>5.1} {:>5.1}   {:>5.0} MB {:>5.0} MB",
            work.name,
            theirs.wall,
            ours.wall,
            ratio,
            work.goal,
            theirs.cpu / theirs.wall.max(0.001),
            ours.cpu / ours.wall.max(0.001),
            theirs.mib,
            ours.mib,
        );
    }
    if args.check {
        println!("Too few flows to compare: this only shows that the comparison runs.");
    } else {
        println!("{missed} below their goal, or above nfdump's memory");
    }
    Ok(())
}

/// Flows, packets and bytes of the files as a tool sums them up: both are to read the same.
fn sums(tool: &Path, data: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new(tool).arg("-R").arg(data).arg("-I").output();
    let output = output.with_context(|| format!("{}: cannot run", tool.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let is_sum = |line: &&str| ["Flows:", "Packets:", "Bytes:"].iter().any(|w| line.starts_with(w));
    let sums: Vec<_> = text.lines().filter(is_sum).map(str::to_owned).collect();
    ensure!(sums.len() == 3, "{}: -I says '{}'", tool.display(), text.trim());
    Ok(sums)
}

/// What one run used.
#[derive(Clone, Copy)]
struct Used {
    wall: f64,
    cpu: f64,
    mib: f64,
}

fn keep_best(best: &mut Option<Used>, new: Used) {
    if best.is_none_or(|b| new.wall < b.wall) {
        *best = Some(new);
    }
}

fn run(tool: &Path, work: &Work, data: &Path) -> anyhow::Result<Used> {
    let me = std::env::current_exe().context("own path")?;
    let output = Command::new(me)
        .arg("measure")
        .arg(tool)
        .arg("-R")
        .arg(data)
        .args(work.args)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{}: cannot run", tool.display()))?;
    ensure!(output.status.success(), "{}: {} failed", tool.display(), work.name);
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[wall, cpu, mib]) => Ok(Used { wall, cpu, mib }),
        _ => bail!("a measurement answered '{}'", text.trim()),
    }
}

fn measure(words: Vec<std::ffi::OsString>) -> anyhow::Result<()> {
    let (tool, args) = words.split_first().context("measure: name a command")?;
    let start = clock::monotonic();
    let status = Command::new(tool)
        .args(args)
        .env("TZ", "UTC")
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", tool.to_string_lossy()))?;
    let wall = start.elapsed();
    ensure!(status.success(), "{} ended with {status}", tool.to_string_lossy());
    let used = clock::used_by_children();
    let secs = |d: Duration| d.as_secs_f64();
    let mib = used.peak_memory as f64 / f64::from(1 << 20);
    println!("{} {} {}", secs(wall), secs(used.user) + secs(used.system), mib);
    Ok(())
}
