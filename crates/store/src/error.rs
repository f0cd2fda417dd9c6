//! What can go wrong with a file as a whole, and with one of its blocks.

use crate::Compression;
use crate::rewrite::NotKept;
use std::io;
use std::path::{Path, PathBuf};

/// A file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
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
    /// A directory, a pipe or a device where a file was expected.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// Too short for a file header.
    #[error("{path} is not a flow file: {len} octets are less than a file header")]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// The first two octets are not those of a flow file.
    #[error("{path} is not a flow file: it starts with {magic:#06x}{}", hint(*magic))]
    BadMagic {
        /// The file.
        path: PathBuf,
        /// What it starts with.
        magic: u16,
    },
    /// Written on a machine of the other byte order.
    #[error("{0} was written on a big-endian machine; convert it there, with nfdump -o csv")]
    BigEndian(PathBuf),
    /// A layout this program does not know.
    #[error(
        "{path} has layout {version}; layouts 1 to 3 can be read; is it damaged, or from a newer version?"
    )]
    UnknownLayout {
        /// The file.
        path: PathBuf,
        /// Its layout version.
        version: u16,
    },
    /// A compression method this program does not know.
    #[error(
        "{path} uses unknown compression method {method}; is it damaged, or from a newer version?"
    )]
    UnknownCompression {
        /// The file.
        path: PathBuf,
        /// The number in its header.
        method: u8,
    },
    /// The file is encrypted in a way that this program does not know.
    #[error("{path} is encrypted (method {method}); decrypt it first")]
    Encrypted {
        /// The file.
        path: PathBuf,
        /// The number in its header.
        method: u8,
    },
    /// The file is encrypted, and no passphrase was given.
    #[error("{0} is encrypted; give its passphrase with -K=@FILE")]
    KeyNeeded(PathBuf),
    /// The file is encrypted with another passphrase.
    #[error(
        "{0} is encrypted with another passphrase than the one given, or its second block is damaged"
    )]
    WrongKey(PathBuf),
    /// The name of a source does not fit the format.
    #[error("ident of {len} octets: at most {max} without NUL fit")]
    Ident {
        /// Octets of the ident.
        len: usize,
        /// Octets allowed.
        max: usize,
    },
    /// The name of a source cannot be set to this.
    #[error("ident `{ident}`: {why}")]
    BadIdent {
        /// What was asked for.
        ident: String,
        /// Why not.
        why: &'static str,
    },
    /// The file cannot be changed as it is.
    #[error("{path} is left as it is: {why}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The file cannot become one of layout 2 as a whole.
    #[error(
        "{path} is left as it is: layout 2 has no place for {what}; write the rest with -w if that will do"
    )]
    NotKept {
        /// The file.
        path: PathBuf,
        /// What would be lost.
        what: NotKept,
    },
    /// A block of another file could not be copied.
    #[error("{path}: {source}")]
    Block {
        /// The file.
        path: PathBuf,
        /// What is wrong with the block.
        source: BlockError,
    },
    /// The system gives no more threads.
    #[error("cannot start a thread that writes: {0}")]
    Thread(#[source] io::Error),
    /// A range of files whose ends do not belong together.
    #[error("{what}: {text}")]
    Selection {
        /// What is wrong.
        what: &'static str,
        /// The argument.
        text: String,
    },
}

impl StoreError {
    /// Adds what was attempted, and where, to an error of the operating system.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// Whether the disk is full or a quota is used up.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// What a file is that begins so, and what to do about it.
const fn hint(magic: u16) -> &'static str {
    match magic {
        0x10cf => ", as files of flow-tools do: import it with flowimport",
        _ => "",
    }
}

/// One block cannot be read; the others can.
#[derive(Debug, thiserror::Error)]
#[error("block {block} at offset {offset}: {cause}")]
pub struct BlockError {
    /// Offset of the block's header in the file.
    pub offset: u64,
    /// Number of the block in the file, from 0.
    pub block: usize,
    /// What is wrong.
    pub cause: BlockCause,
}

/// What is wrong with a block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockCause {
    /// There is no block of this number.
    #[error("the file has {0} blocks")]
    NoSuchBlock(usize),
    /// The operating system refused.
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    /// The file ends inside the block.
    #[error("needs {need} octets, {have} are there")]
    Truncated {
        /// Octets of the payload.
        need: usize,
        /// Octets that are left.
        have: usize,
    },
    /// The block's header does not agree with the directory, or has impossible sizes.
    #[error("its header is damaged")]
    Header,
    /// The payload does not have the sum that its header says.
    #[error("{size} octets do not have the checksum they were written with")]
    Checksum {
        /// Octets on disk.
        size: usize,
    },
    /// The payload is encrypted and not what was written there, or the method is not known; or it is
    /// not encrypted in a file that is.
    #[error("{size} octets do not decrypt: changed since they were written")]
    Decrypt {
        /// Octets on disk.
        size: usize,
    },
    /// The payload does not unpack, or unpacks to another size than it should, or more than 5 MiB.
    #[error("{size} octets do not unpack as {method}")]
    Unpack {
        /// Compression method of the block.
        method: Compression,
        /// Octets on disk.
        size: usize,
    },
    /// A type of block that holds no flows this program knows.
    #[error("block type {0} is not known")]
    UnknownType(u32),
}
