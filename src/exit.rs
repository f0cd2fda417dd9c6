//! Exit statuses. They are nfdump's, so that scripts go on working, except that input which
//! could not be read in full is no success.

use std::process::ExitCode;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done; also when no flow matched.
    Success,
    /// Wrong options or formats, or input that could not be read in full.
    Failure,
    /// The filter is wrong.
    Filter,
    /// The file that holds the filter cannot be read.
    FilterFile,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Filter => 254,
            Exit::FilterFile => 255,
        })
    }
}
