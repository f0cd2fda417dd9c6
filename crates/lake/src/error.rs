//! What can go wrong with a dataset.

use crate::schema::metadata::MetadataError;
use parquet::errors::ParquetError;
use std::io;
use std::path::{Path, PathBuf};
use store::StoreError;

/// A dataset, or a file for it, cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason given.
        source: io::Error,
    },
    /// A flow file cannot be read at all.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A Parquet file cannot be written or read.
    #[error("{path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// What a Parquet file says of itself is not what this program writes.
    #[error("{path} {source}")]
    Metadata {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MetadataError,
    },
    /// There is something in the directory, and it is no dataset of `flowlake`.
    #[error("{0} is not empty and no dataset of flowlake: name an empty or a new directory")]
    NotADataset(PathBuf),
    /// The dataset has the columns of a later version.
    #[error("{path} is a dataset of version {version}, this program knows {known}: update it", known = crate::schema::VERSION)]
    LaterVersion {
        /// The dataset.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// What the dataset knows of a source cannot be read.
    #[error(
        "{path} cannot be read: {source}; move it away, and the parquet files of its source with it"
    )]
    Manifest {
        /// The file that says it.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Two sources would have the same names in the dataset.
    #[error("{one} would have the name of {other} in the dataset: write it under another --origin")]
    SameName {
        /// One source.
        one: String,
        /// The other.
        other: String,
    },
    /// Flows of one file began in so many different hours, or came from so many exporters, that it
    /// would become too many files.
    #[error(
        "{path}: flows of more than {max} different hours and exporters; are its times damaged?"
    )]
    TooManyParts {
        /// The flow file.
        path: PathBuf,
        /// How many there may be.
        max: usize,
    },
    /// The source was changed while it was read.
    #[error("{0} was changed while it was read: it is written the next time")]
    Changed(PathBuf),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

impl LakeError {
    /// Whether it concerns the whole dataset, and so whatever else would be written to it.
    pub(crate) fn is_of_dataset(&self) -> bool {
        match self {
            Self::Io { what, .. } => *what != "find",
            Self::Parquet { .. } | Self::NotADataset(_) | Self::LaterVersion { .. } => true,
            _ => false,
        }
    }

    /// For `map_err`: what was attempted with which file.
    pub(crate) fn io<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// For `map_err`: with which Parquet file.
    pub(crate) fn parquet<'a>(path: &'a Path) -> impl Fn(ParquetError) -> Self + 'a {
        move |source| match source {
            // Written files fail by what the system says, which is hidden in there.
            ParquetError::External(e) => match e.downcast::<io::Error>() {
                Ok(source) => Self::Io { what: "write", path: path.to_owned(), source: *source },
                Err(e) => {
                    Self::Parquet { path: path.to_owned(), source: ParquetError::External(e) }
                }
            },
            source => Self::Parquet { path: path.to_owned(), source },
        }
    }
}
