//! What the doctor has seen: plain data, so that what follows from it can be tested without a host
//! that has the fault.

use crate::cmd::verdict::Verdict;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use sys::disk::Space;
use sys::proc_net::UdpCounts;

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// How long was watched.
    pub(super) waited: Duration,
    pub(super) plan: Plan,
    /// Sockets of UDP at the ports of the plan.
    pub(super) sockets: Vec<Listening>,
    /// Why the kernel does not list sockets, if it does not.
    pub(super) unlisted: Option<String>,
    pub(super) watch: Watch,
    pub(super) kernel: Option<Kernel>,
    pub(super) firewall: Firewall,
    pub(super) told: Told,
    pub(super) directories: Vec<Directory>,
    /// The offset of local time from UTC, by which files are named.
    pub(super) zone: String,
}

/// What the collector is to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Where the options come from.
    pub(super) origin: String,
    /// What is wrong with them.
    pub(super) mistake: Option<String>,
    /// Whether they name a directory.
    pub(super) has_directory: bool,
    /// What `check` says of them.
    pub(super) checks: Vec<(Verdict, String)>,
    pub(super) ports: Vec<u16>,
    pub(super) filter: Option<String>,
    pub(super) allow: Vec<String>,
    /// As `-s` has it: a default, or below 0 an override.
    pub(super) sampling: Option<i64>,
    /// Seconds of a file.
    pub(super) interval: u32,
    /// Octets of buffer asked for.
    pub(super) buffer: u64,
    /// Octets that `net.core.rmem_max` allows.
    pub(super) buffer_limit: Option<u64>,
}

/// A socket at a port of the plan.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) local: SocketAddr,
    pub(super) user: u32,
    /// Who has it; empty if that may not be seen.
    pub(super) holders: Vec<Holder>,
    /// Octets that wait to be read at the end of the watch.
    pub(super) waiting: u64,
    /// Whether the same or more waited at its beginning, too.
    pub(super) waited_before: bool,
    /// Datagrams dropped since it was made.
    pub(super) dropped: u64,
    /// Of those, during the watch.
    pub(super) dropped_now: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// What passed.
#[derive(Debug, Default)]
pub(super) enum Watch {
    /// Nothing was watched, and why.
    Blind(String),
    Seen(Seen),
    #[default]
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// UDP datagrams of any kind that came in.
    pub(super) datagrams: u64,
    /// Frames that the ring had no room for.
    pub(super) missed: u64,
    /// Who sends to the ports of the plan.
    pub(super) senders: Vec<Sender>,
    /// Who sends exports to other ports.
    pub(super) elsewhere: Vec<Elsewhere>,
    /// Senders and places beyond those that are told apart.
    pub(super) others: u64,
}

/// Who sends to a port of the plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Sender {
    pub(super) address: Option<IpAddr>,
    /// To which address and port.
    pub(super) to: Option<SocketAddr>,
    /// Whether that is an address of this host, or one for many.
    pub(super) is_for_us: bool,
    pub(super) datagrams: u64,
    /// Of those, no export of any protocol.
    pub(super) garbage: u64,
    /// Protocols, in words.
    pub(super) protocols: Vec<&'static str>,
    /// Whether `--allow` and `-n` take it.
    pub(super) is_allowed: bool,
    pub(super) is_listed: bool,
    /// Flows that could be decoded, and those of them that `-F` keeps.
    pub(super) flows: u64,
    pub(super) kept: u64,
    /// Data sets whose template is not known, neither of this watch nor from the collector's state.
    pub(super) waiting_sets: u64,
    /// Datagrams with a fault.
    pub(super) bad: u64,
    /// Datagrams and records missing by sequence numbers.
    pub(super) missing: u64,
    pub(super) templates: usize,
    pub(super) samplers: usize,
    /// Its clock less ours, milliseconds, where its protocol tells the time.
    pub(super) skew_ms: Option<i64>,
    /// Its uptime at last, milliseconds of 32 bits, where its protocol tells.
    pub(super) uptime_ms: Option<u32>,
    /// Flows that would end an hour after their export.
    pub(super) odd_uptimes: u64,
}

/// Exports to a port that is not the collector's.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) protocol: &'static str,
    pub(super) datagrams: u64,
    /// Name of the process that listens there, if any; empty if it cannot be seen.
    pub(super) listener: Option<String>,
}

/// What the kernel counted during the watch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kernel {
    pub(super) udp: UdpCounts,
    pub(super) reverse_path: u64,
    /// Octets that came to wait in the sockets of the plan.
    pub(super) came_to_wait: bool,
}

/// What may drop packets on the way in.
#[derive(Debug, Default)]
pub(super) enum Firewall {
    #[default]
    Unknown,
    /// No nftables in the kernel.
    None,
    /// Policies and rules in words, each with the packets it dropped during the watch, where counted.
    Barriers(Vec<(String, Option<u64>)>),
}

/// What the collector says of itself.
#[derive(Debug, Default)]
pub(super) enum Told {
    /// It has no pages, and why.
    #[default]
    NotServed,
    /// It does not answer, and why.
    Silent(String),
    Status(Box<Status>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) address: String,
    pub(super) now_ms: u64,
    pub(super) complaints: Vec<String>,
    pub(super) not_allowed: u64,
    pub(super) unknown_sender: u64,
    pub(super) refused: u64,
    pub(super) received: u64,
    /// Of those, during the watch.
    pub(super) received_now: u64,
    pub(super) flows: u64,
    pub(super) filtered: u64,
    pub(super) flows_lost: u64,
    pub(super) bad: u64,
    pub(super) socket_drops: u64,
    /// Smallest receive buffer of its sockets.
    pub(super) buffer: Option<u64>,
    pub(super) streams_open: u64,
    pub(super) exporters: Vec<Exporter>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exporter {
    pub(super) address: String,
    pub(super) protocol: String,
    pub(super) domain: u64,
    pub(super) seen_ms: u64,
    pub(super) datagrams: u64,
    pub(super) flows: u64,
    pub(super) templates: u64,
    pub(super) samplers: u64,
    pub(super) waiting_sets: u64,
    pub(super) dropped_sets: u64,
    pub(super) missing: u64,
}

/// A directory of flows.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// It could not be looked at, and why.
    pub(super) trouble: Option<String>,
    /// Whether that is for want of rights of the doctor, whose user is not the collector's.
    pub(super) is_hidden: bool,
    pub(super) space: Option<Space>,
    /// Why the collector's user may not make files there.
    pub(super) refusal: Option<String>,
    /// The newest finished file: path, octets, age in seconds.
    pub(super) newest: Option<(PathBuf, u64, u64)>,
    /// Files that are being written: path, octets, records, seconds since they were last written to.
    pub(super) open: Vec<(PathBuf, u64, u64, u64)>,
    /// Whether open files have grown, or another one has begun, during the watch.
    pub(super) has_grown: bool,
    /// What reading the newest file came to: flows, or what is wrong.
    pub(super) readable: Option<Result<u64, String>>,
    /// Whether there are more files than were looked at.
    pub(super) is_cut_short: bool,
}
