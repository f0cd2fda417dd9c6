//! `flowprobectl`: one command for a running probe, and its answer.

use crate::app::is_old_name;
use crate::args;
use crate::args::flowprobe::settings::control_path;
use crate::args::flowprobectl::Args;
use crate::exit::Exit;
use probe::client::{Outcome, ask};
use probe::control::Format;
use std::ffi::OsString;

/// Runs `flowprobectl` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(name, args)? {
        Ok(read) => read.args,
        Err(exit) => return Ok(exit),
    };
    let path = args.control.as_deref().unwrap_or_else(|| control_path(name));
    let format = if args.json { Format::Json } else { Format::Text };
    Ok(match ask(path, &args.command, format, &mut std::io::stdout().lock())? {
        // To softflowctl an answer is an answer.
        Outcome::Unknown if !is_old_name(name) => Exit::Failure,
        Outcome::Unknown | Outcome::Answered => Exit::Success,
    })
}
