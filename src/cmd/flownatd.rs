//! `flownatd`: from options to a running daemon.

mod check;
mod kernel;
mod live;
mod outlet;
mod replay;
mod service;

use super::nat_who;
use crate::args;
use crate::args::flownatd::settings::{Command, Settings, Who};
use crate::exit::Exit;
use crate::logger::{self, Target};
use anyhow::{Context as _, bail};
use query::Query;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Runs `flownatd` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let settings = match args::flownatd::read(name, args)? {
        Ok(settings) => settings,
        Err(exit) => return Ok(exit),
    };
    match &settings.command {
        Command::Run | Command::Start => run(&settings),
        Command::Stop => service::stop(&settings.process),
        Command::Restart => {
            service::stop(&settings.process)?;
            run(&settings)
        }
        Command::Reload => service::reload(&settings.process),
        Command::Check => check::run(&settings),
        Command::Install => service::install(name),
        Command::Who(who) => look(name, who),
    }
}

fn run(settings: &Settings) -> anyhow::Result<Exit> {
    let process = &settings.process;
    let target = match process.in_background {
        true => Target::Syslog { program: settings.program.clone() },
        false => Target::Stderr,
    };
    if let Err(e) = logger::install(target, process.verbosity) {
        // Perhaps nobody reads that either.
        let _ = writeln!(
            std::io::stderr(),
            "{}: no syslog to write to ({e}): log lines of the daemon are lost",
            settings.program
        );
    }
    if !settings.has_output() {
        bail!("nobody gets what is found: give -n, --output, -w, --csv, --ndjson or --syslog");
    }
    let result = match &settings.replay {
        Some(path) => replay::run(path, settings),
        None => live::run(settings),
    };
    if let (Err(e), true) = (&result, process.in_background) {
        log::error!("{e:#}"); // perhaps nobody reads stderr any more
    }
    result
}

/// Looks who had an address.
fn look(name: &str, who: &Who) -> anyhow::Result<Exit> {
    let words = who.words.each_ref().map(String::as_str);
    let question = nat_who::question(&words, who.slack)?;
    let dir = who.dir.to_str().context("the directory's name is no text")?;
    // Listed first: what is closed meanwhile is among the others.
    let open = being_written(&who.dir);
    let input = store::select::Input { range: Some(dir), ..Default::default() };
    let mut selected = store::select::select(&input)?;
    selected.files.extend(open);
    if let Some(warning) = selected.warning() {
        eprintln!("{name}: {warning}");
    }
    let query = Query { files: selected.files, use_index: true, ..Query::default() };
    nat_who::answer(question, query, who.json, |report| {
        // That a file is being written is no damage to it.
        let is_fine = |d: &query::Damage| !d.is_loss && is_being_written(&d.file);
        match !report.damage.is_empty() && report.damage.iter().all(is_fine) {
            true => Exit::Success,
            false => super::flowdump::damage(name, report),
        }
    })
}

/// Files in `dir` that are not closed yet: questions are often about what was just now.
fn being_written(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|e| e.path()).filter(|p| is_being_written(p)).collect();
    files.sort();
    files
}

fn is_being_written(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"nfcapd.current"))
}
