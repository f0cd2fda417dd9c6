//! From `main` to exit status.

use crate::exit::Exit;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

// A program that goes by the name of the tool it replaces has to behave like it where scripts look:
// exit statuses, and where a wrong filter is told.
pub(crate) use crate::args::programs::is_old_name;

/// Runs a program: calls `main` with the arguments, prints the error if there is one, and turns
/// both into an exit status. A reader that went away (`flowdump | head`) is no error.
pub fn run(main: impl FnOnce(&str, Vec<OsString>) -> anyhow::Result<Exit>) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    run_as(&program_name(&args), args, main)
}

/// As [`run`], under another name than that of the program.
pub fn run_as(
    name: &str,
    args: Vec<OsString>,
    main: impl FnOnce(&str, Vec<OsString>) -> anyhow::Result<Exit>,
) -> ExitCode {
    if let Err(e) = sys::signal::survive_size_limit() {
        complain(name, &e.to_string()); // a limit ends the program then, as it did before
    }
    let exit = match main(name, args) {
        Ok(exit) => exit,
        Err(e) if is_broken_pipe(&e) => Exit::Success,
        Err(e) => {
            complain(name, &message(&e));
            e.downcast_ref::<WithExit>().map_or(Exit::Failure, |w| w.exit)
        }
    };
    // nfflowd has none of nfdump's.
    exit.code(is_old_name(name) && name != "nfflowd")
}

/// Says it on standard error, which may be full or gone: then the exit status says enough.
fn complain(name: &str, what: &str) {
    let _ = writeln!(io::stderr(), "{name}: {what}");
}

/// The name that the program was started under: `nfdump` is the same program as `flowdump`.
pub fn program_name(args: &[OsString]) -> String {
    let path = args.first().map(std::path::Path::new);
    let name = path.and_then(|p| p.file_stem()).map(|n| n.to_string_lossy().into_owned());
    name.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned())
}

/// The error and its causes in one line. Errors of libraries may quote their cause, which is then
/// not said again.
fn message(e: &anyhow::Error) -> String {
    e.chain().map(ToString::to_string).fold(String::new(), |said, cause| {
        match said.contains(&cause) {
            true => said,
            false if said.is_empty() => cause,
            false => format!("{said}: {cause}"),
        }
    })
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    e.chain().any(|c| c.downcast_ref::<io::Error>().is_some_and(broken))
}

/// An error with an exit status of its own.
#[derive(Debug)]
pub struct WithExit {
    /// The status.
    pub exit: Exit,
    /// The message.
    pub message: String,
}

impl std::fmt::Display for WithExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WithExit {}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_cause_is_said_once() {
        let io = || io::Error::from(io::ErrorKind::NotFound);
        let plain = anyhow::Error::from(io()).context("reading x");
        assert_eq!(message(&plain), format!("reading x: {}", io()));
        let quoting = Err::<(), _>(io()).with_context(|| format!("cannot read x: {}", io()));
        assert_eq!(message(&quoting.unwrap_err()), format!("cannot read x: {}", io()));
    }
}
