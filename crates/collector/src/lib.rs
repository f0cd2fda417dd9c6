//! Datagrams to flow files: exporter state, rotation, loss accounting.
//!
//! ```text
//! sys::udp → inbox → Collector → Source: wire::Decoder → Spool: store::Writer → file of the slot
//! (a thread for each socket)        (the caller's thread)            (closed and named by a thread)
//! ```
//!
//! * [`Collector`] is all logic: datagrams and times go in, files come out. It owns no socket and
//!   asks no clock, so tests run hours in milliseconds.
//! * [`run`] joins it to sockets and signals.
//! * [`repeat`] sends what was received on to other collectors.
//! * [`stream`] brings messages of exporters that speak TCP or TLS.
//! * [`status`] is the board where the decoding thread shows itself to operators' tools; [`http`],
//!   [`metrics`] and [`nfmetrics`] tell them.
//! * [`Account`] says where every datagram and every flow went; nothing is lost without a count.
//!
//! It writes to the [`log`] and leaves it to the program where that goes. It knows no filters, no
//! command lines and no field of a flow.
#![forbid(unsafe_code)]

mod collector;
mod config;
mod desk;
mod error;
mod finish;
pub mod http;
mod inbox;
pub mod launch;
mod ledger;
mod loss;
mod marks;
pub mod metrics;
mod network;
pub mod nfmetrics;
pub mod offline;
mod pulse;
pub mod repeat;
mod report;
pub mod run;
mod source;
mod spool;
mod state;
mod statements;
pub mod status;
pub mod stream;
mod talk;
pub mod tls;
mod unknown;

pub use collector::{Arrival, Collector, Keep, Via};
pub use config::{Config, Listed, Sources};
pub use error::Error;
pub use launch::FinishedFile;
pub use loss::Account;
pub use marks::last_marks;
pub use network::Network;
