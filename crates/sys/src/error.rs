//! What can go wrong when asking the operating system, said so that an operator knows what to do.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Failures at start-up. Sending and receiving return [`io::Error`] instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is taken, not ours, or needs privileges.
    #[error("cannot bind UDP {addr}: {source}")]
    Bind {
        /// Address asked for.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The address is taken, not ours, or needs privileges.
    #[error("cannot listen on TCP {addr}: {source}")]
    Listen {
        /// Address asked for.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The destination cannot be reached or is of a family the host lacks.
    #[error("cannot open a UDP socket to {addr}: {source}")]
    Connect {
        /// Address asked for.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Nobody listens there, nobody answered in time, or there is no way to it.
    #[error("cannot connect to TCP {addr}: {source}")]
    ConnectTcp {
        /// Address asked for.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A raw socket cannot be had, or has no way to its destination.
    #[error(
        "cannot send to {addr} with the addresses of others: {source}: it needs CAP_NET_RAW, and a \
         route"
    )]
    Spoof {
        /// Destination asked for.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// An address of one family was given together with the wish for the other.
    #[error("bind address {addr} is not of the address family asked for")]
    Family {
        /// Address asked for.
        addr: IpAddr,
    },
    /// The multicast group could not be joined.
    #[error("cannot join multicast group {group}: {source}")]
    Join {
        /// Group asked for.
        group: IpAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A step of opening a packet ring failed.
    #[error("cannot capture packets: {step}: {source}{}", privilege(source))]
    Ring {
        /// Step, or option of the socket.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A netlink socket cannot be had.
    #[error("cannot ask the kernel by netlink: {step}: {source}")]
    Netlink {
        /// Step, or option of the socket.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// There is no such interface.
    #[error("no network interface `{name}`: {source}")]
    Interface {
        /// Name asked for.
        name: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A socket option that the receiver cannot do without was refused.
    #[error("cannot set socket option {option}: {source}")]
    SocketOption {
        /// Name of the option.
        option: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The environment cannot be changed while threads may read it.
    #[error("{threads} threads run: take what the service manager passes before starting them")]
    ServiceThreads {
        /// Threads counted.
        threads: usize,
    },
    /// The number of passed descriptors is none.
    #[error("LISTEN_FDS={value}: not a number of descriptors from 0 to 4096")]
    ListenFds {
        /// What the variable says.
        value: String,
    },
    /// A passed descriptor is not open, or a socket that cannot be used.
    #[error("descriptor {fd} (`{name}`) from the service manager: {source}")]
    Passed {
        /// Number of the descriptor.
        fd: i32,
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The service manager's socket cannot be reached.
    #[error("NOTIFY_SOCKET={address}: {source}")]
    Notify {
        /// What the variable says.
        address: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A signal handler could not be installed.
    #[error("cannot install signal handlers: {source}")]
    Signal {
        /// The kernel's reason.
        source: io::Error,
    },
    /// Forking would lose the threads that run already.
    #[error("cannot become a daemon with {threads} threads running: detach before starting them")]
    DaemonThreads {
        /// Threads counted.
        threads: usize,
    },
    /// A step of detaching from the terminal failed.
    #[error("cannot become a daemon: {step}: {source}")]
    Daemon {
        /// System call that failed.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The process a pid file names is alive.
    #[error("pid file {path}: process {pid} is running; stop it, or use another pid file")]
    AlreadyRunning {
        /// The pid file.
        path: PathBuf,
        /// Process it names.
        pid: i32,
    },
    /// The pid file cannot be read or written.
    #[error("pid file {path}: {source}")]
    PidFile {
        /// The pid file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No such user.
    #[error("no user named `{0}`")]
    UnknownUser(String),
    /// No such group.
    #[error("no group named `{0}`")]
    UnknownGroup(String),
    /// A step of giving up privileges failed.
    #[error("cannot change to user {uid}, group {gid}: {step}: {source}")]
    Privileges {
        /// User to become.
        uid: u32,
        /// Group to become.
        gid: u32,
        /// System call that failed.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Single privileges cannot be kept while the others are given up.
    #[error("cannot keep single capabilities: {step}: {source}")]
    Capabilities {
        /// Step that failed.
        step: &'static str,
        /// What is wrong.
        source: io::Error,
    },
    /// After the change the process could still go back.
    #[error("privileges could be regained after changing to user {uid}: refusing to go on")]
    StillPrivileged {
        /// User that was to be final.
        uid: u32,
    },
}

/// What to do about a capture that is not permitted.
fn privilege(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => ": it needs CAP_NET_RAW",
        _ => "",
    }
}
