//! `flowlake`: flow files for engines of analysis. One file an action.

mod dump;
mod schema;
mod sql;
mod stream;
mod write;

use flowsuite::args::flowlake::{Action, Args};
use flowsuite::args::parse;
use flowsuite::exit::Exit;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    match dump::asked(std::env::args_os()) {
        Some((name, args)) => flowsuite::app::run_as(&name, args, dump::run),
        None => flowsuite::app::run(run),
    }
}

fn run(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let read = match parse::<Args>(name, args)? {
        Ok(read) => read,
        Err(exit) => return Ok(exit),
    };
    match read.args.action {
        Action::Schema(args) => schema::run(&args),
        Action::Write(args) => write::run(name, &args),
        Action::Dump { args } => dump::again(args),
        Action::Stream(args) => stream::run(name, &args),
        Action::Sql(asked) => sql::run(name, *asked),
    }
}
