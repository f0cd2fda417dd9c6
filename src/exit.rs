//! Exit statuses. They are nfdump's, so that scripts go on working, except that input which could
//! not be read in full, or output that could not be written, is no success. Programs that are
//! started under the old names keep the old statuses there, too.

use std::process::ExitCode;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done; also when no flow matched.
    Success,
    /// Wrong options or formats, or something that was asked for could not be done.
    Failure,
    /// Input could not be read in full, or an option is unknown: nfdump calls this success.
    Incomplete,
    /// No file to tell anything about.
    NoFile,
    /// What is to be worked on, or the options, cannot be: nfexpire has a status of its own for it.
    Refused,
    /// The key is missing or wrong, or nothing would be anonymised: nfanon has a status of its own.
    Key,
    /// The filter is wrong.
    Filter,
    /// The file that holds the filter, or one it includes, cannot be read.
    FilterFile,
    /// Stopped by the user; what was printed is what was read until then.
    Interrupted,
}

impl Exit {
    /// The status; `as_before` if the program goes by its old name.
    pub fn code(self, as_before: bool) -> ExitCode {
        ExitCode::from(match (self, as_before) {
            (Self::Success, _) | (Self::Incomplete, true) => 0,
            (Self::Failure | Self::Incomplete, _)
            | (Self::NoFile | Self::Refused | Self::Key, false) => 1,
            (Self::NoFile | Self::Refused, true) => 250,
            (Self::Filter, _) => 254,
            (Self::FilterFile, _) | (Self::Key, true) => 255,
            (Self::Interrupted, _) => 130,
        })
    }
}
