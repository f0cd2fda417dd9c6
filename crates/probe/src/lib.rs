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
//! * [`Outlet`] takes what ended: [`Dispatch`] exports it through encoders and a [`Sender`] to
//!   [`Destination`]s, [`Files`] writes it to nfcapd files. Neither ever holds up who captures.
//! * [`CacheStats`] counts what became of every packet.
//! * [`control`] lets softflowctl and [`client`] ask and steer a running probe; [`statistics`] is what
//!   it answers.
#![forbid(unsafe_code)]

mod cache;
pub mod client;
mod clock;
pub mod control;
mod dedup;
mod destination;
mod dispatch;
mod ended;
mod entry;
mod expiry;
mod files;
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
mod sender;
pub mod statistics;
mod stats;
mod stream;
mod timeouts;
mod wheel;

pub use cache::{Cache, CacheConfig, InterfaceIndex, Pending};
pub use dedup::Dedup;
pub use destination::{Destination, DestinationError, Transport};
pub use dispatch::Dispatch;
pub use ended::{Ended, Labels, Reason, Side, Way};
pub use files::{Files, FilesConfig, FilesCounts, FilesError};
pub use key::Level;
pub use outlet::{Outlet, OutletCounts};
pub use sampling::Sampling;
pub use sender::{DestinationCounts, SendConfig, SendError, Sender};
pub use stats::{CacheStats, ProtoStats, Spread};
pub use timeouts::{Class, Timeouts, TimeoutsError, parse_time};
