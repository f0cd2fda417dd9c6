//! Prints what was measured as one table, and draws it.

use anyhow::Context as _;
use bench::{chart, results, table};
use clap::Parser;
use std::fs;
use std::path::PathBuf;

/// Prints results as one table, and draws them.
#[derive(Parser)]
struct Args {
    /// Files of results; of what is in several, the last counts
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// Draw how many times better than the best rival each question is
    #[arg(long, value_name = "FILE")]
    ratios: Option<PathBuf>,
    /// Draw how time and memory grow with the data
    #[arg(long, value_name = "FILE")]
    growth: Option<PathBuf>,
    /// No judgement: what was measured is too small for that
    #[arg(long)]
    check: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut runs = results::read(&args.results)?;
    if args.check {
        for run in &mut runs {
            (run.goal, run.goal_mib, run.floor) = (None, None, None);
        }
    }
    let areas = results::areas(&runs);
    print!("{}", table::text(&areas));
    if args.check {
        println!("Too little to compare: this only shows that the comparison runs.");
    }
    if let Some(path) = args.ratios {
        fs::write(&path, chart::ratios(&areas)).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = args.growth {
        let runs: Vec<_> = runs.iter().filter(|run| run.area == "growth").collect();
        fs::write(&path, chart::growth(&runs)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
