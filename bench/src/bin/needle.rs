//! Searches for what is rare or not there at all: with an index, beside nfdumps that read everything.

use anyhow::Context as _;
use bench::measure::{self, Plan, Used};
use bench::results::{self, Cache, Run};
use clap::Parser;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Searches flow files for rare addresses, with and without an index. Appends to a file of results.
#[derive(Parser)]
struct Args {
    /// Directory of flow files without an index, in which the address is planted
    #[arg(long)]
    data: PathBuf,
    /// Directory of the same files, of which an index is made
    #[arg(long)]
    indexed: PathBuf,
    /// Directory of many small files, of which an index is made
    #[arg(long)]
    month: PathBuf,
    /// The address
    #[arg(long)]
    planted: String,
    /// The flowdump to measure
    #[arg(long)]
    flowdump: PathBuf,
    /// An nfdump to compare with; may be repeated
    #[arg(long, default_value = "nfdump")]
    nfdump: Vec<PathBuf>,
    /// Results are appended here
    #[arg(long)]
    results: PathBuf,
    /// Runs of ours; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Not with cold files
    #[arg(long)]
    warm: bool,
}

/// What is asked.
struct Work {
    name: &'static str,
    words: Vec<String>,
    /// The same in the language of nfdump 1.7.1, where that is another one.
    older: Option<String>,
    /// Whether nfdump has it.
    is_shared: bool,
    is_month: bool,
    warm_goal: f64,
    cold_goal: Option<f64>,
}

/// Nobody's.
const NOWHERE: &str = "203.0.113.99";

fn works(planted: &str) -> [Work; 4] {
    let filter = |name, text: String| Work {
        name,
        words: vec![text],
        older: None,
        is_shared: true,
        is_month: false,
        warm_goal: 0.1,
        cold_goal: Some(1.0),
    };
    let who = vec!["--nat-who".into(), format!("{planted},any,2026-04-10T12:02:30")];
    [
        filter("an address in 10 flows", format!("src ip {planted}")),
        Work {
            older: Some(format!("xip {planted}")),
            ..filter("a translated address in 10 flows", format!("nat ip {planted}"))
        },
        Work { words: who, is_shared: false, ..filter("who had that address", String::new()) },
        Work {
            is_month: true,
            warm_goal: 0.2,
            cold_goal: None,
            ..filter("an address that is not there, small files", format!("host {NOWHERE}"))
        },
    ]
}

fn main() -> ExitCode {
    measure::main("needle", || search(&Args::parse()))
}

fn search(args: &Args) -> anyhow::Result<()> {
    let ours = measure::name_of(&args.flowdump)?;
    build(args, &ours)?;
    let is_cold_possible = !args.warm && measure::can_be_cold();
    for work in works(&args.planted) {
        let (plain, indexed) =
            if work.is_month { (&args.month, &args.month) } else { (&args.data, &args.indexed) };
        let states = [(Cache::Warm, true), (Cache::Cold, is_cold_possible)];
        for (cache, _) in states.into_iter().filter(|(_, is_possible)| *is_possible) {
            let rivals = args.nfdump.iter().filter(|_| work.is_shared);
            for nfdump in rivals {
                let name = measure::name_of(nfdump)?;
                let older = work.older.as_ref().filter(|_| name.ends_with(" 1.7.1"));
                let words = older.map_or(&work.words[..], std::slice::from_ref);
                let used = asked(nfdump, plain, words, cache, 1)?;
                append(args, &work, cache, &name, used, None)?;
            }
            let used = asked(&args.flowdump, indexed, &work.words, cache, args.rounds)?;
            let share = used.read_mib / size_mib(plain, "nfcapd.")? * 100.0;
            let note = (cache == Cache::Cold).then(|| format!("{share:.2} % of the octets read"));
            append(args, &work, cache, &ours, used, note)?;
        }
    }
    Ok(())
}

/// Makes indexes, and says what that takes.
fn build(args: &Args, ours: &str) -> anyhow::Result<()> {
    for (dir, what) in [(&args.indexed, "index build"), (&args.month, "index build, small files")] {
        measure::make_warm(dir)?;
        let words: [OsString; 5] = [
            args.flowdump.clone().into(),
            "-R".into(),
            dir.clone().into(),
            "--index".into(),
            "build".into(),
        ];
        let used = measure::run(Plan::default(), &words)?;
        let share = size_mib(dir, ".flowsuite-index")? / size_mib(dir, "nfcapd.")? * 100.0;
        let run = Run {
            area: "search".into(),
            what: what.into(),
            program: ours.into(),
            is_ours: true,
            note: Some(format!("{share:.1} % of the files")),
            ..Run::from(used)
        };
        results::append(&args.results, &run)?;
    }
    Ok(())
}

fn asked(
    program: &Path,
    dir: &Path,
    question: &[String],
    cache: Cache,
    rounds: usize,
) -> anyhow::Result<Used> {
    let mut words: Vec<OsString> = vec![program.into(), "-R".into(), dir.into()];
    words.extend(question.iter().map(OsString::from));
    if cache == Cache::Warm {
        measure::make_warm(dir)?;
        return measure::best(rounds, Plan::default(), &words);
    }
    measure::make_cold()?;
    measure::run(Plan::default(), &words)
}

fn append(
    args: &Args,
    work: &Work,
    cache: Cache,
    program: &str,
    used: Used,
    note: Option<String>,
) -> anyhow::Result<()> {
    let is_ours = program.starts_with("flowdump");
    let goal = if cache == Cache::Warm { Some(work.warm_goal) } else { work.cold_goal };
    let run = Run {
        area: "search".into(),
        what: work.name.into(),
        cache,
        program: program.into(),
        is_ours,
        goal: goal.filter(|_| is_ours),
        note,
        ..Run::from(used)
    };
    results::append(&args.results, &run)
}

/// MiB of the files of a directory whose names begin so.
fn size_mib(dir: &Path, prefix: &str) -> anyhow::Result<f64> {
    let mut octets = 0;
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            octets += entry.metadata()?.len();
        }
    }
    Ok(octets as f64 / f64::from(1 << 20))
}
