//! The other end of a control socket: gives a probe one command and passes on the answer.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::poll::{Timed, connect_local};
use thiserror::Error;

use crate::control::{Format, UNKNOWN};

/// What a probe made of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has answered.
    Answered,
    /// It does not know the command, and has said so.
    Unknown,
}

/// Why there is no answer, or not all of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no socket, or nobody answers it.
    #[error("no probe answers at {path} ({source}): start it, or name its socket with -c")]
    NoProbe {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Whoever asks may not.
    #[error("{path}: {source}: ask as the user of the probe, or as root")]
    Forbidden {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others are asking.
    #[error("the probe at {path} has too many questions already: ask again later")]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// The answer ends early, or takes too long.
    #[error("the answer of the probe at {path}: {source}")]
    Answer {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The answer could not be passed on.
    #[error("write the answer")]
    Output(#[source] io::Error),
}

/// Gives the probe that has the socket `path` a command, and writes its answer to `out` as it comes.
///
/// # Errors
/// If there is no probe, it says nothing for a minute, or `out` fails.
pub fn ask(
    path: &Path,
    command: &str,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, ClientError> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let at = || path.to_owned();
    let failed = |source| ClientError::Answer { path: at(), source };
    let stream = connect_local(path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => ClientError::Busy { path: at() },
        io::ErrorKind::PermissionDenied => ClientError::Forbidden { path: at(), source },
        _ => ClientError::NoProbe { path: at(), source },
    })?;
    // One line, whatever was typed.
    let command = command.replace(['\n', '\r'], " ");
    let json = if format == Format::Json { " json" } else { "" };
    let line = format!("{command}{json}\n");
    Timed::new(&stream, PATIENCE).write_all(line.as_bytes()).map_err(failed)?;
    let mut start: Vec<u8> = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let len = Timed::new(&stream, PATIENCE).read(&mut piece).map_err(failed)?;
        let read = piece.get(..len).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        let missing = UNKNOWN.len().saturating_sub(start.len());
        start.extend(read.iter().take(missing));
        out.write_all(read).map_err(ClientError::Output)?;
    }
    out.flush().map_err(ClientError::Output)?;
    Ok(if start == UNKNOWN.as_bytes() { Outcome::Unknown } else { Outcome::Answered })
}
