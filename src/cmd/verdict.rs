//! What `check` says, line by line: whether a thing is well, and what to do if it is not.

use crate::exit::Exit;
use std::fmt::Display;
use std::io::Write;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// It works, but not as well as it could.
    Poor,
    Bad,
}

/// What was found, line by line.
pub(super) struct Report<W> {
    out: W,
    worst_is_bad: bool,
}

impl<W: Write> Report<W> {
    /// Nothing yet.
    pub(super) const fn new(out: W) -> Self {
        Self { out, worst_is_bad: false }
    }

    pub(super) fn say(&mut self, verdict: Verdict, what: impl Display) -> anyhow::Result<()> {
        self.worst_is_bad |= verdict == Verdict::Bad;
        let word = match verdict {
            Verdict::Good => "ok",
            Verdict::Poor => "warn",
            Verdict::Bad => "FAIL",
        };
        Ok(writeln!(self.out, "{word:<5} {what}")?)
    }

    /// A failure if anything is bad.
    pub(super) const fn exit(&self) -> Exit {
        if self.worst_is_bad { Exit::Failure } else { Exit::Success }
    }
}
