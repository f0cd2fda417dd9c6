//! Flows that leave a program that made them: as datagrams to collectors, and as files.
//!
//! ```text
//! Row  ──▶ Dispatch ──▶ wire::export::Encoder ──datagram──▶ Sender ──▶ a queue and a thread for each Destination
//! Flow ──▶ Files    ──▶ store::Writer         ──slot over──▶ a thread that finishes and names files
//! ```
//!
//! Neither ever holds up whoever makes flows: what a destination does not take in time is counted by
//! cause, and disks are waited for by threads of their own. Where flows come from is not known here.
#![forbid(unsafe_code)]

mod destination;
mod dispatch;
mod files;
mod sender;
mod stream;

pub use destination::{Destination, DestinationError, Transport};
pub use dispatch::Dispatch;
pub use files::{Files, FilesConfig, FilesCounts, FilesError};
pub use sender::{DestinationCounts, SendConfig, SendError, Sender};
