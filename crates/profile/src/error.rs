//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};
use store::StoreError;

/// Why profiles cannot be read, or a slot not be worked on. Damage of single files and records is
/// no error: it is told in what a run returns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The definitions are wrong.
    #[error("{}: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// A filter is wrong.
    #[error("{}: filter of {whose}: {source}", path.display())]
    Filter {
        /// The file.
        path: PathBuf,
        /// Profile and channel.
        whose: String,
        /// What is wrong with it.
        source: filter::Error,
    },
    /// A file that is none of a slot, or of another one.
    #[error("{}: {why}", path.display())]
    NoSlot {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// A file or directory of ours.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not everything fits into a file of flows.
    #[error(
        "{}: not everything fits ({unwritten} records not written, {too_long} too long, \
         {other} cut or left out); what was there before is kept",
        path.display()
    )]
    Dropped {
        /// The file.
        path: PathBuf,
        /// Records of blocks that could not be written.
        unwritten: u64,
        /// Flows that are longer than records may be.
        too_long: u64,
        /// Flows that were cut, exporters and names that have no room.
        other: u64,
    },
    /// Flows would be kept that are encrypted now, and not be encrypted then.
    #[error(
        "{} is encrypted, and the sub-archives of profile {profile} would not be: \
         allow it with --plain, or keep sums only (archive = false)",
        path.display()
    )]
    Encrypted {
        /// The first encrypted file.
        path: PathBuf,
        /// The profile.
        profile: String,
    },
    /// A file of flows.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProfileError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
