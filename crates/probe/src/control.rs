//! Commands for a running probe, through a UNIX socket: those of softflowctl, and JSON.
//!
//! One connection carries one command, a line of text, and its answer. Clients are served by
//! threads of their own, which give what has to be asked of the probe to its loop as [`Request`]s;
//! the loop looks for them when it has time, and never waits for a client. A client that says
//! nothing, or that does not read, holds one of a few places for some seconds.
//!
//! * [`Server`] has the socket, [`Requests`] is the loop's end of it;
//! * [`Desk`] answers requests on behalf of a probe, which is [`Controlled`];
//! * [`Dump`] lists the flows of a cache piece by piece.

mod desk;
mod dump;
mod server;

pub use desk::{Controlled, Desk, Outline};
pub use dump::Dump;
pub(crate) use server::UNKNOWN;
pub use server::{ControlError, Options, Requests, Running, Server};

use crossbeam_channel::{Sender, TrySendError};

/// What a probe can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// What was counted.
    Statistics,
    /// All conversations in the cache.
    DumpFlows,
    /// The timeouts.
    Timeouts,
    /// Export all conversations now.
    ExpireAll,
    /// Forget all conversations.
    DeleteAll,
    /// Templates with the next flows.
    SendTemplate,
    /// Export everything, then end.
    Shutdown,
    /// End at once, export nothing.
    Exit,
    /// Take no packets.
    StopGather,
    /// Take packets again.
    StartGather,
    /// Log more.
    DebugUp,
    /// Log less.
    DebugDown,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 12] = [
        Self::Statistics,
        Self::DumpFlows,
        Self::Timeouts,
        Self::ExpireAll,
        Self::DeleteAll,
        Self::SendTemplate,
        Self::Shutdown,
        Self::Exit,
        Self::StopGather,
        Self::StartGather,
        Self::DebugUp,
        Self::DebugDown,
    ];

    /// softflowctl's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Statistics => "statistics",
            Self::DumpFlows => "dump-flows",
            Self::Timeouts => "timeouts",
            Self::ExpireAll => "expire-all",
            Self::DeleteAll => "delete-all",
            Self::SendTemplate => "send-template",
            Self::Shutdown => "shutdown",
            Self::Exit => "exit",
            Self::StopGather => "stop-gather",
            Self::StartGather => "start-gather",
            Self::DebugUp => "debug+",
            Self::DebugDown => "debug-",
        }
    }

    /// The command of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.word() == word)
    }

    /// Whether its answer can be JSON.
    pub const fn has_json(self) -> bool {
        matches!(self, Self::Statistics | Self::DumpFlows | Self::Timeouts)
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As softflowd does.
    #[default]
    Text,
    /// JSON; of conversations one object a line.
    Json,
}

/// A command that the probe has to answer.
#[derive(Debug)]
pub struct Request {
    /// What is wanted.
    pub command: Command,
    /// How the answer is written.
    pub format: Format,
    /// Where it goes. The answer is complete when this is dropped.
    pub reply: Reply,
}

/// The way back to a client.
#[derive(Clone, Debug)]
pub struct Reply(Sender<Vec<u8>>);

/// Why a piece of an answer was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The client has not read what it got before: later.
    Full(Vec<u8>),
    /// The client is gone.
    Gone,
}

impl Reply {
    /// Pieces that may wait for a client.
    pub const PIECES: usize = 4;

    /// Hands over a piece, without waiting. The first [`PIECES`](Self::PIECES) of an answer are
    /// always taken unless the client is gone.
    ///
    /// # Errors
    /// If the client has to read first, or is gone.
    pub fn send(&self, piece: impl Into<Vec<u8>>) -> Result<(), Refused> {
        self.0.try_send(piece.into()).map_err(|e| match e {
            TrySendError::Full(piece) => Refused::Full(piece),
            TrySendError::Disconnected(_) => Refused::Gone,
        })
    }
}

#[cfg(test)]
mod tests;
