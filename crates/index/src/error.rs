//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};
use store::{BlockError, StoreError};

/// Why an index could not be made or written. Reading one never fails: what cannot be read says
/// nothing, and the flows themselves are read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A file could not be worked on.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The flow file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block of the flow file cannot be read.
    #[error("{}: {source}", path.display())]
    Block {
        /// The file.
        path: PathBuf,
        /// The block, and what is wrong with it.
        source: BlockError,
    },
    /// Something in the flow file is damaged, or it is still being written.
    #[error("{}: {what}: not indexed", path.display())]
    NotSound {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The name of the flow file has no day, so there is no index that it belongs to.
    #[error("{}: not called nfcapd.YYYYMMDDhhmm: not indexed", path.display())]
    NoDay {
        /// The file.
        path: PathBuf,
    },
    /// The flow file has more than an index can say.
    #[error("{}: too large to be indexed", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl IndexError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
