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
//! # What a daemon does
//!
//! 1. Reads the files of [`sysctl::SETTINGS`] and [`Timeouts::NAMES`], says what [`sysctl::check`]
//!    finds.
//! 2. Opens a socket that subscribes to [`ctnetlink::GROUP_NEW`] and [`ctnetlink::GROUP_DESTROY`]
//!    (changes are more than half of all messages and tell a tracker little), and another one for
//!    dumps. First the one, then the first dump.
//! 3. Gives each read of the first to [`Tracker::events`]; calls [`Tracker::overrun`] when it fails
//!    with ENOBUFS, and [`Tracker::drained`] when it has nothing more.
//! 4. When [`Tracker::wants_dump`] says so, and events were drained since the last dump: calls
//!    [`Tracker::dump_begin`], asks, and gives each read to [`Tracker::dump`]. Events go on being
//!    read meanwhile, so that their queue does not fill. A dump that takes too long
//!    ([`Tracker::dumping_since_ns`]) is abandoned.
//! 5. Calls [`Tracker::tick`] now and then.
//! 6. Gives each outcome to [`records::Records`] or [`lines`], and what they make to encoders and
//!    files by its kind. A gap ([`Outcome::Degraded`]) also belongs into the log.
//!
//! After a restart, connections that are open are found in the first dump and begin once more, with
//! the same start; [`who`] takes both for one.
//!
//! ```
//! use nat::records::{RecordConfig, Records};
//! use nat::{Tracker, TrackerConfig, text::Replay};
//!
//! let (mut tracker, mut replay) = (Tracker::new(TrackerConfig::default()), Replay::new());
//! let mut records = Records::new(RecordConfig::default());
//! let mut kinds = Vec::new();
//! for line in [
//!     "[NEW] udp 17 30 src=10.0.0.1 dst=192.0.2.1 sport=5000 dport=53 [UNREPLIED] \
//!      src=192.0.2.1 dst=203.0.113.1 sport=53 dport=2000 id=1",
//!     "[DESTROY] udp 17 src=10.0.0.1 dst=192.0.2.1 sport=5000 dport=53 packets=1 bytes=60 \
//!      src=192.0.2.1 dst=203.0.113.1 sport=53 dport=2000 packets=1 bytes=90 id=1",
//! ] {
//!     replay.line(line.as_bytes(), &mut tracker, &mut |outcome| {
//!         records.outcome(outcome, &mut |made| kinds.push(format!("{:?}", made.kind)));
//!     })?;
//! }
//! assert_eq!(kinds, ["Event", "Biflow", "Event"]);
//! # Ok::<(), nat::text::TextError>(())
//! ```
//!
//! [`run`] does all that for a daemon: it alone opens sockets and asks what time it is. [`outlet`],
//! [`copies`] and [`metrics`] are where outcomes go to, and what is told of them. Everything else
//! here opens nothing, reads nothing and never looks at a clock.
#![forbid(unsafe_code)]

pub mod copies;
pub mod ctnetlink;
mod entry;
mod life;
pub mod lines;
pub mod metrics;
mod outcome;
pub mod outlet;
pub mod records;
pub mod run;
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
