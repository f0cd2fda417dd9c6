//! Why there is no answer.

use std::fmt;
use std::io;
use store::StoreError;

/// Why a question could not be answered. What cannot be read is no error but told in the
/// [`Report`](crate::Report).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The answer needs more memory than [`Query::memory`](crate::Query::memory) allows.
    #[error(
        "{what} need more than the {} of memory allowed: {count} were there when it \
         was used up; narrow the filter or the time window, {less}, or allow more with --memory",
        Octets(*limit)
    )]
    Memory {
        /// What takes the memory: groups, or records to be sorted.
        what: &'static str,
        /// What else takes less.
        less: &'static str,
        /// Octets allowed.
        limit: usize,
        /// How many there were.
        count: u64,
    },
    /// The answer could not be written to where it goes.
    #[error("write the answer")]
    Output(#[from] io::Error),
    /// A flow file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// So much memory, as it is given on the command line.
struct Octets(usize);

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 >> 20 {
            0 => write!(f, "{} KiB", self.0 >> 10),
            mib => write!(f, "{mib} MiB"),
        }
    }
}

impl QueryError {
    /// Too many groups.
    pub(crate) const fn groups(limit: usize, count: usize) -> Self {
        Self::Memory {
            what: "groups",
            less: "group by fewer fields, ask for the first ones only (-n)",
            limit,
            count: count as u64,
        }
    }

    /// Too many records to be sorted.
    pub(crate) const fn records(limit: usize, count: usize) -> Self {
        let less = "ask for the first ones only (-n)";
        Self::Memory { what: "records to be sorted", less, limit, count: count as u64 }
    }
}
