//! Asks flowdump and other nfdumps the same questions in turn.

use anyhow::{Context as _, ensure};
use bench::measure::{self, Output, Plan, Used};
use bench::results::{self, Cache, Run};
use clap::Parser;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Compares flowdump with nfdump: wall time, CPU, peak memory. Appends to a file of results.
#[derive(Parser)]
struct Args {
    /// Directory of flow files, LZ4
    #[arg(long)]
    data: PathBuf,
    /// Directory of the same flows, not packed
    #[arg(long)]
    plain: PathBuf,
    /// The flowdump to measure
    #[arg(long)]
    flowdump: PathBuf,
    /// An nfdump to compare with; may be repeated
    #[arg(long, default_value = "nfdump")]
    nfdump: Vec<PathBuf>,
    /// Results are appended here
    #[arg(long)]
    results: PathBuf,
    /// Runs of each; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only questions whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Not with cold files
    #[arg(long)]
    warm: bool,
}

/// One question, the same words for all.
struct Work {
    name: &'static str,
    args: &'static [&'static str],
    files: Files,
    output: Output,
    /// Whether it is asked of files that are not in the page cache, too.
    cold: bool,
    /// How many times the best rival; below 1 nobody may be.
    floor: f64,
    /// Seconds and MiB for ten files of a million flows.
    goal: Option<f64>,
    goal_mib: Option<f64>,
}

/// Which files are asked.
#[derive(Clone, Copy)]
enum Files {
    /// All, LZ4.
    Packed,
    /// All, not packed.
    Plain,
    /// The first, LZ4.
    First,
}

const WORK: Work = Work {
    name: "",
    args: &[],
    files: Files::Packed,
    output: Output::Null,
    cold: false,
    floor: 1.0,
    goal: None,
    goal_mib: None,
};

const WORKS: &[Work] = &[
    Work {
        name: "-s dstip/bytes -n 10",
        args: &["-s", "dstip/bytes", "-n", "10"],
        cold: true,
        floor: 4.0,
        goal: Some(0.40),
        goal_mib: Some(150.0),
        ..WORK
    },
    Work {
        name: "-s record/bytes -n 10",
        args: &["-s", "record/bytes", "-n", "10"],
        floor: 5.0,
        goal: Some(1.2),
        goal_mib: Some(1024.0),
        ..WORK
    },
    Work {
        name: "-A srcip,dstport -O bytes -n 10",
        args: &["-A", "srcip,dstport", "-O", "bytes", "-n", "10"],
        floor: 5.0,
        goal: Some(0.9),
        ..WORK
    },
    // All of them, sorted: what that takes is memory.
    Work { name: "-a -O bytes, all groups", args: &["-a", "-O", "bytes", "-o", "null"], ..WORK },
    Work { name: "-O tstart, all flows", args: &["-O", "tstart", "-o", "null"], ..WORK },
    Work {
        name: "filter that matches nothing",
        args: &["proto 200"],
        cold: true,
        floor: 1.5,
        goal: Some(0.36),
        ..WORK
    },
    Work {
        name: "the same, not packed",
        args: &["proto 200"],
        files: Files::Plain,
        goal: Some(0.30),
        ..WORK
    },
    Work { name: "host 10.7.121.177", args: &["host 10.7.121.177"], cold: true, ..WORK },
    Work { output: Output::File, ..CSV },
    Work { name: "-o csv to a pipe, 1 M flows", output: Output::Pipe, ..CSV },
    Work { output: Output::File, ..JSON },
    Work { name: "-o json to a pipe, 1 M flows", output: Output::Pipe, ..JSON },
];

const CSV: Work = Work {
    name: "-o csv to a file, 1 M flows",
    args: &["-o", "csv"],
    files: Files::First,
    floor: 4.0,
    goal: Some(0.25),
    ..WORK
};
const JSON: Work =
    Work { name: "-o json to a file, 1 M flows", args: &["-o", "json"], goal: Some(0.5), ..CSV };

fn main() -> ExitCode {
    measure::main("compare", || compare(&Args::parse()))
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let first = first_file(&args.data)?;
    let ours = sums(&args.flowdump, &args.data)?;
    let mut tools = Vec::new();
    for tool in &args.nfdump {
        let theirs = sums(tool, &args.data)?;
        ensure!(theirs == ours, "the tools disagree about the files: {theirs:?} and {ours:?}");
        tools.push((tool.clone(), measure::name_of(tool)?, false));
    }
    tools.push((args.flowdump.clone(), measure::name_of(&args.flowdump)?, true));
    let is_cold_possible = !args.warm && measure::can_be_cold();
    for work in WORKS.iter().filter(|w| w.name.contains(&args.only)) {
        let files: [OsString; 2] = match work.files {
            Files::Packed => ["-R".into(), args.data.clone().into()],
            Files::Plain => ["-R".into(), args.plain.clone().into()],
            Files::First => ["-r".into(), first.clone().into()],
        };
        one(args, work, &tools, &files, Cache::Warm)?;
        if work.cold && is_cold_possible {
            one(args, work, &tools, &files, Cache::Cold)?;
        }
    }
    Ok(())
}

/// A program, its name, and whether it is ours.
type Tool = (PathBuf, String, bool);

/// Asks one after the other, each round after round: the host of a virtual machine takes back what a
/// program has freed, and whoever comes next, after a while, pays for its return. From its second
/// round on a program finds as much memory as it needs.
fn one(
    args: &Args,
    work: &Work,
    tools: &[Tool],
    files: &[OsString],
    cache: Cache,
) -> anyhow::Result<()> {
    let mut best: Vec<Option<Used>> = vec![None; tools.len()];
    if cache == Cache::Warm {
        measure::make_warm(Path::new(&files[1]))?;
    }
    for ((program, ..), best) in tools.iter().zip(&mut best) {
        for _ in 0..args.rounds.max(1) {
            if cache == Cache::Cold {
                measure::make_cold()?;
            }
            let mut words: Vec<OsString> = vec![program.clone().into()];
            words.extend(files.iter().cloned());
            words.extend(work.args.iter().map(OsString::from));
            let plan = Plan { output: work.output, ..Plan::default() };
            let new = measure::run(plan, &words)?;
            if best.is_none_or(|best| new.wall < best.wall) {
                *best = Some(new);
            }
        }
    }
    for ((_, name, is_ours), used) in tools.iter().zip(best) {
        let used = used.context("no rounds")?;
        let is_judged = *is_ours && cache == Cache::Warm;
        let run = Run {
            area: "queries".into(),
            what: work.name.into(),
            cache,
            program: name.clone(),
            is_ours: *is_ours,
            goal: work.goal.filter(|_| is_judged),
            goal_mib: work.goal_mib.filter(|_| is_judged),
            floor: is_judged.then_some(work.floor),
            ..Run::from(used)
        };
        results::append(&args.results, &run)?;
    }
    Ok(())
}

fn first_file(dir: &Path) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.into_iter().min().with_context(|| format!("{}: no files", dir.display()))
}

/// Flows, packets and bytes of the files as a tool sums them up: all are to read the same.
fn sums(tool: &Path, data: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new(tool).arg("-R").arg(data).arg("-I").output();
    let output = output.with_context(|| format!("{}: cannot run", tool.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let is_sum = |line: &&str| ["Flows:", "Packets:", "Bytes:"].iter().any(|w| line.starts_with(w));
    let sums: Vec<_> = text
        .lines()
        .filter(is_sum)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    ensure!(sums.len() == 3, "{}: -I says '{}'", tool.display(), text.trim());
    Ok(sums)
}
