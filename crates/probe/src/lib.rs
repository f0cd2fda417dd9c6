//! The probe: packets become conversations, and conversations become flows that are exported or
//! written to files.
//!
//! ```text
//! capture ──[Packet]s──▶ Cache ──Ended──▶ what exports or writes it
//! ```
//!
//! * [`Cache`] decodes packets and keeps one entry for each conversation, in bounded memory. It has
//!   no clock and no thread of its own: time is that of the packets and what [`Cache::expire`] is
//!   told.
//! * [`Ended`] is what the cache says of a conversation, when it ends and from time to time;
//!   [`Ended::fill`] makes a [`record::Flow`] of it.
//! * [`Timeouts`], [`Level`] and [`Sampling`] are the rules of the cache, with softflowd's names.
//! * [`Outlet`] takes what ended: [`export::Dispatch`] sends it to collectors, [`export::Files`] writes
//!   it to nfcapd files. Neither ever holds up who captures.
//! * [`probe::Probe`] is all of it at work on interfaces ([`live`]); [`offline`] reads files.
//! * [`CacheStats`] counts what became of every packet.
//! * [`control`] lets softflowctl and [`client`] ask and steer a running probe; [`statistics`] is what
//!   it answers.
#![forbid(unsafe_code)]

mod cache;
pub mod client;
mod clock;
pub mod control;
mod dedup;
mod ended;
mod entry;
mod expiry;
mod fragments;
mod index;
pub mod interfaces;
mod key;
pub mod live;
pub mod metrics;
pub mod offline;
mod outlet;
mod outline;
pub mod probe;
mod quick;
mod sampling;
pub mod statistics;
mod stats;
mod timeouts;
mod wheel;

pub use cache::{Cache, CacheConfig, InterfaceIndex, Pending};
pub use dedup::Dedup;
pub use ended::{Ended, Labels, Reason, Side, Way};
pub use key::Level;
pub use outlet::{Macs, Outlet, OutletCounts};
pub use sampling::Sampling;
pub use stats::{CacheStats, ProtoStats, Spread};
pub use timeouts::{Class, Timeouts, TimeoutsError, parse_time};
