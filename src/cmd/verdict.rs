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
    /// It cannot be told.
    Unclear,
}

impl Verdict {
    /// The word that begins its line.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Poor => "warn",
            Self::Bad => "FAIL",
            Self::Unclear => "?",
        }
    }
}

/// What was found, line by line.
pub(super) struct Report<W> {
    out: W,
    worst_is_bad: bool,
    said: Vec<(Verdict, String)>,
}

impl<W: Write> Report<W> {
    /// Nothing yet.
    pub(super) const fn new(out: W) -> Self {
        Self { out, worst_is_bad: false, said: Vec::new() }
    }

    pub(super) fn say(&mut self, verdict: Verdict, what: impl Display) -> anyhow::Result<()> {
        self.worst_is_bad |= verdict == Verdict::Bad;
        let what = what.to_string();
        writeln!(self.out, "{:<5} {what}", verdict.word())?;
        self.said.push((verdict, what));
        Ok(())
    }

    /// All that was said.
    pub(super) fn into_said(self) -> Vec<(Verdict, String)> {
        self.said
    }

    /// A failure if anything is bad.
    pub(super) const fn exit(&self) -> Exit {
        if self.worst_is_bad { Exit::Failure } else { Exit::Success }
    }
}
