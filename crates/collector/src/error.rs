//! Why a collector does not start, or ends.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Failures at start-up and of the loop. Trouble with single datagrams or files ends nothing: it
/// is logged and counted in [`Account`](crate::Account).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No socket to receive from was configured.
    #[error("nothing to listen to: give at least one port")]
    NoListener,
    /// No place to write to was configured.
    #[error("no directory to write to")]
    NoSource,
    /// The rotation interval cannot be used.
    #[error("rotation interval of {0} s: use 1 s to 1 day")]
    Interval(u32),
    /// The directory of a source is missing or is no directory.
    #[error("{path}: {source}: flow files go to an existing directory")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Two sources would mix their flows in the same files.
    #[error("{0}: two sources write to this directory; give each its own")]
    SharedDirectory(PathBuf),
    /// A file cannot be created.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// Not an address block.
    #[error("`{0}` is neither an IP address nor a block like 10.0.0.0/8")]
    Network(String),
    /// A command to run after each file is empty, or has a token nobody knows.
    #[error("command after each file: {0}")]
    Command(&'static str),
    /// The system refused something at start-up.
    #[error(transparent)]
    System(#[from] sys::Error),
    /// A socket failed for good.
    #[error("cannot receive on {local}: {source}")]
    Receive {
        /// Local address of the socket.
        local: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A listener for streams or for HTTP cannot be had.
    #[error("cannot listen on TCP {addr}: {source}")]
    Listen {
        /// Address asked for.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A file with a certificate or a key does not work.
    #[error("TLS: {path}: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A capture that is read in place of the network cannot be read.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// A capture ends in the middle of a packet; what was before has been read.
    #[error("{0}")]
    Cut(capture::Cut),
    /// A file of IPFIX messages cannot be read.
    #[error("cannot read messages: {0}")]
    Messages(io::Error),
    /// A file of IPFIX messages ends in the middle of one; those before have been read.
    #[error("the file is cut: of its last message {pending} octets are there")]
    MessageCut {
        /// Octets of it that are there.
        pending: u64,
    },
    /// What should be IPFIX messages is something else.
    #[error(transparent)]
    Decode(#[from] wire::DecodeError),
    /// A thread ended by a panic.
    #[error("bug, please report: the thread `{0}` panicked")]
    Panicked(String),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}
