//! What can be wrong with a file.

use std::io;

/// Why there are no records, or no more of them. Those before it are good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input cannot be read.
    #[error("cannot be read after {records} flows: {source}")]
    Read {
        /// Records that came before.
        records: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// The first two octets are not `CF 10`.
    #[error("is not a flow-tools file: it starts with {0:02x?}")]
    Magic([u8; 2]),
    /// The third octet is neither 1 nor 2.
    #[error("has byte order {0}: 1 (little) and 2 (big) are known; is it damaged?")]
    ByteOrder(u8),
    /// A version of the stream that is not known.
    #[error("has stream version {0}: 1 and 3 are known; is it damaged?")]
    StreamVersion(u8),
    /// The header ends before its end.
    #[error("ends within its header: {have} octets of {need}")]
    HeaderCut {
        /// Octets that are there.
        have: u64,
        /// Octets that it has.
        need: u64,
    },
    /// Records cannot begin there.
    #[error("has its data at octet {0}: cannot be; is it damaged?")]
    DataOffset(u32),
    /// A value of the header does not fit into it.
    #[error("is damaged at octet {at}: a field of the header has {len} octets, {have} are left")]
    Field {
        /// Offset of the field's type.
        at: usize,
        /// Octets it says it has.
        len: usize,
        /// Octets that are left.
        have: usize,
    },
    /// Records of this version are not known.
    #[error("has records of export version {0}: 1, 5, 6, 7 and 1005 can be read")]
    ExportVersion(u16),
    /// Records that the router has summed.
    #[error(
        "has records of version 8, summed by the router (method {0}): there are no flows in it to import"
    )]
    Aggregated(u8),
    /// The compressed data is not what was written.
    #[error("is damaged: its compressed data breaks after {records} flows: {source}")]
    Compressed {
        /// Records that came before.
        records: u64,
        /// What the decompressor says.
        source: io::Error,
    },
    /// A line of CSV cannot be read.
    #[error("line {line}: {what}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        what: LineFault,
    },
}

/// What is wrong with a line of CSV.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// Too few or too many values.
    #[error("{have} values for {need} columns; name the columns in a line that begins with #:")]
    Count {
        /// Values that are there.
        have: usize,
        /// Columns.
        need: usize,
    },
    /// No value of its column.
    #[error("{0} has no such value")]
    Value(&'static str),
    /// Longer than any line can be.
    #[error("more than {0} octets")]
    Long(usize),
    /// The line of names has one that is not known.
    #[error("there is no column '{0}'")]
    Name(String),
    /// Without it no flow has a time.
    #[error("there is no column unix_secs: without it flows have no time")]
    Undated,
}

impl Error {
    /// Whether records may have come before it.
    pub const fn is_of_header(&self) -> bool {
        !matches!(self, Self::Read { .. } | Self::Compressed { .. } | Self::Line { .. })
    }
}
