//! How time and memory of flowdump grow with the data, on one core and on two.

use anyhow::{Context as _, ensure};
use bench::measure::{self, Plan};
use bench::results::{self, Run};
use clap::Parser;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Asks flowdump the same of 1, 10 and 100 files. Appends to a file of results.
#[derive(Parser)]
struct Args {
    /// Directory of flow files, as many in each
    #[arg(long)]
    data: PathBuf,
    /// Flows in each file
    #[arg(long)]
    flows: u64,
    /// The flowdump to measure
    #[arg(long)]
    flowdump: PathBuf,
    /// Results are appended here
    #[arg(long)]
    results: PathBuf,
    /// Runs of each; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only questions whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

const WORKS: [(&str, &[&str]); 4] = [
    ("-s dstip/bytes", &["-s", "dstip/bytes", "-n", "10"]),
    ("-s record/bytes", &["-s", "record/bytes", "-n", "10"]),
    ("-A srcip,dstport", &["-A", "srcip,dstport", "-O", "bytes", "-n", "10"]),
    ("no match", &["proto 200"]),
];

fn main() -> ExitCode {
    measure::main("growth", || grow(&Args::parse()))
}

fn grow(args: &Args) -> anyhow::Result<()> {
    let entries = fs::read_dir(&args.data).with_context(|| args.data.display().to_string())?;
    let mut files = entries.map(|e| Ok(e?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{}: no files", args.data.display());
    let program = measure::name_of(&args.flowdump)?;
    let counts = [1, 10, 100].into_iter().filter(|count| *count <= files.len());
    for count in counts {
        let used = &files[..count];
        used.iter().try_for_each(|file| measure::make_warm(file))?;
        let mut range = used[0].clone().into_os_string();
        range.push(":");
        range.push(used[count - 1].file_name().context("name")?);
        for cores in [1, 2] {
            for (what, words) in WORKS.into_iter().filter(|(what, _)| what.contains(&args.only)) {
                let mut all: Vec<OsString> = vec![args.flowdump.clone().into(), "-R".into()];
                all.push(range.clone());
                all.push("--no-index".into());
                all.extend(words.iter().map(OsString::from));
                // What takes long is disturbed less.
                let rounds = if count > 10 { 1 } else { args.rounds };
                let best = measure::best(rounds, Plan { cores, ..Plan::default() }, &all)?;
                let run = Run {
                    area: "growth".into(),
                    what: what.into(),
                    program: program.clone(),
                    is_ours: true,
                    flows: Some(args.flows * count as u64),
                    cores: Some(cores),
                    ..Run::from(best)
                };
                results::append(&args.results, &run)?;
            }
        }
    }
    Ok(())
}
