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
    let input = store::select::Input { range: Some(dir), ..Default::default() };
    let selected = store::select::select(&input)?;
    if let Some(warning) = selected.warning() {
        eprintln!("{name}: {warning}");
    }
    let query = Query { files: selected.files, ..Query::default() };
    nat_who::answer(question, query, who.json, |report| super::flowdump::damage(name, report))
}
