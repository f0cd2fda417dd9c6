//! From `main` to exit status.

use crate::exit::Exit;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

/// Runs a program: calls `main` with the arguments, prints the error if there is one, and turns
/// both into an exit status. A reader that went away (`flowdump | head`) is no error.
pub fn run(main: impl FnOnce(&str, Vec<OsString>) -> anyhow::Result<Exit>) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let name = program_name(&args);
    match main(&name, args) {
        Ok(exit) => exit.into(),
        Err(e) if is_broken_pipe(&e) => Exit::Success.into(),
        Err(e) => {
            eprintln!("{name}: {e:#}");
            let exit = e.downcast_ref::<WithExit>().map_or(Exit::Failure, |w| w.exit);
            exit.into()
        }
    }
}

/// The name that the program was started under: `nfdump` is the same program as `flowdump`.
fn program_name(args: &[OsString]) -> String {
    let path = args.first().map(std::path::Path::new);
    let name = path.and_then(|p| p.file_stem()).map(|n| n.to_string_lossy().into_owned());
    name.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned())
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
