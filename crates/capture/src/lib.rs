//! Packets: captured ones from pcap, pcapng and snoop files, and live ones from interfaces; filters
//! on them, and the UDP datagrams in them.
//!
//! ```text
//! file or stdin → gunzip / unzstd → Capture ─┐
//!                                           ├─[Packet]s─┬→ a packet decoder
//! interfaces → ring or libpcap ──→ Live ────┘           └→ udp::Extractor → Datagram
//! ```
//!
//! * [`Source::batch`] hands over packets where they lie: in a window over a file,
//!   in a ring of the kernel. Nothing is copied and nothing allocated for a packet.
//! * [`Capture`] reads files, [`live::Live`] interfaces.
//! * [`Filter`] is an expression of tcpdump, compiled by libpcap and run by the kernel or here.
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
mod ng;
mod snoop;
#[cfg(test)]
mod testing;
pub mod udp;
mod window;

pub use batch::{BATCH, Direction, Progress, Source};
pub use capture::{Capture, Counts, Cut, Packet};
pub use error::Error;
pub use filter::{Filter, Filters};
