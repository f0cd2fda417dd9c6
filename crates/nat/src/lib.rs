//! NAT logging from the Linux connection table (conntrack): who had which public address and port,
//! and when.
//!
//! In the order data flows:
//!
//! * [`ctnetlink`] decodes messages of the kernel to [`Entry`]s, [`text`] recorded ones;
//! * [`Tracker`] follows connections: begins and ends, each exactly once, even where the kernel
//!   lost messages ([`Outcome`], [`Sure`]);
//! * [`Translation`] says what was translated, [`Filter`] which connections are wanted;
//! * [`records`] turns outcomes into flow records, [`lines`] into lines of text;
//! * [`who`] finds who had an address and port in stored records;
//! * [`sysctl`] and [`Timeouts`] know the kernel's settings.
//!
//! This crate opens no sockets, reads no files and never asks what time it is.
#![forbid(unsafe_code)]

pub mod ctnetlink;
mod entry;
mod life;
pub mod lines;
mod outcome;
pub mod records;
pub mod sysctl;
mod table;
pub mod text;
mod timeouts;
mod tracker;
mod translate;
pub mod who;

pub use entry::{Counter, Entry, Helper, Kind, Status, Tuple};
pub use outcome::{Cause, Gap, Outcome, Session, Sure};
pub use timeouts::Timeouts;
pub use tracker::{Counts, DumpState, Tracker, TrackerConfig};
pub use translate::{Change, Endpoint, Filter, NatKind, Network, Translation, Unwanted};
