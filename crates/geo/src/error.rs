//! Why a file cannot be used.

use std::io;
use std::path::PathBuf;

/// A database or an exit list cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeoError {
    /// The operating system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason given.
        source: io::Error,
    },
    /// A directory, a pipe or a device where a file was expected.
    #[error("{0} is not a regular file; name the .mmdb file or the exit list itself")]
    NotAFile(PathBuf),
    /// Larger than any database in use.
    #[error(
        "{path} has {len} octets, more than the {} that are read; is it the right file?",
        crate::MAX_FILE
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// A database or list in the format of the tool it was converted for.
    #[error("{path} was made by {tool}; use {original} it was made from")]
    Converted {
        /// The file.
        path: PathBuf,
        /// What writes such files.
        tool: &'static str,
        /// What to use.
        original: &'static str,
    },
    /// Packed by a compressor.
    #[error("{path} is compressed ({method}); unpack it first")]
    Compressed {
        /// The file.
        path: PathBuf,
        /// With what.
        method: &'static str,
    },
    /// Neither of the formats that are read.
    #[error("{path} is not a MaxMind database: {source}; give a .mmdb file (country, city or ASN)")]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<maxminddb::MaxMindDbError>,
    },
    /// A database of something else.
    #[error(
        "{path} ({kind}) has neither countries nor autonomous systems in it; \
         give a country, city or ASN database"
    )]
    NothingOfUse {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        kind: String,
    },
    /// A line that no exit list has.
    #[error(
        "{path}, line {line}: neither an address nor a line of an exit list; \
         give the Tor bulk exit list or exit-addresses"
    )]
    NotAnExitList {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}
