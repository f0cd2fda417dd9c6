//! Captured packets: pcap and pcapng files, and the UDP datagrams in them.
//!
//! ```text
//! file or stdin → gunzip / unzstd → Capture (pcap, pcapng) → Packet ─┬→ a packet decoder
//!                                                                    └→ udp::Extractor → Datagram
//! ```
//!
//! * [`Capture`] hands out one packet after the other, borrowed, without an allocation for each.
//! * [`udp::Extractor`] finds the UDP payload in a frame and puts IP fragments together, so that
//!   export datagrams in a capture can be decoded as if they had just arrived.
//!
//! Readers of our own: together they are smaller than what it takes to fit somebody else's in, they
//! share one buffer and one set of bounds, and every error says at which octet. Nothing here knows
//! a flow or looks at a clock.
#![forbid(unsafe_code)]

mod batch;
mod capture;
mod classic;
mod error;
mod filter;
mod fragments;
pub mod live;
mod mapped;
mod ng;
#[cfg(test)]
mod testing;
pub mod udp;
mod window;

pub use batch::{BATCH, Direction, Progress, Source};
pub use capture::{Capture, Counts, Cut, Packet};
pub use error::Error;
pub use filter::{Filter, Filters};
