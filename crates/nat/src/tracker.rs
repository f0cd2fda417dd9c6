//! Connections over their lives: messages of the kernel in, begins and ends out, each exactly once.
//!
//! Messages can be lost: the kernel drops them when its queue is full, says only that it did, and
//! tells nothing at all of connections that are older than their listener. So the tracker keeps
//! the connections that are open, and compares them with the kernel's table:
//!
//! * in the table and unknown: it has begun;
//! * known, and in two tables one after the other no longer there: it has ended. Two, because its
//!   last message may still wait in the queue when the first one is read, and because the kernel
//!   may skip an entry while its hash table changes size.
//!
//! What the kernel tells later all the same is told once only.
//!
//! The tracker has neither sockets nor a clock. Its owner subscribes first, then asks for a dump
//! whenever [`Tracker::wants_dump`] says so, and reads events between any two dumps (they may be
//! read during a dump too, in any order).
//!
//! ```
//! use nat::{Outcome, Tracker, TrackerConfig};
//!
//! let mut tracker = Tracker::new(TrackerConfig::default());
//! let mut out = |outcome: &Outcome| println!("{outcome:?}");
//! # let (octets, now_ns) = ([0u8; 0], 0);
//! tracker.events(now_ns, &octets, &mut out); // each read of the socket with the events
//! if tracker.wants_dump(now_ns) {
//!     tracker.dump_begin(now_ns); // and send `ctnetlink::dump_request`
//!     tracker.dump(now_ns, &octets, &mut out); // each read of the socket that asked
//! }
//! ```

use crate::ctnetlink::{Message, Messages};
use crate::entry::{Entry, Kind};
use crate::life::{Core, Out};
use crate::outcome::{Gap, Session};
use crate::table::Table;
use crate::timeouts::Timeouts;
use crate::translate::Filter;
use record::Addr;

const SECOND: u64 = 1_000_000_000;

/// How a [`Tracker`] behaves. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct TrackerConfig {
    /// Which connections are wanted.
    pub filter: Filter,
    /// The kernel's timeouts, to work out when the last packet came.
    pub timeouts: Timeouts,
    /// Connections to keep at most; further ones are told but not kept
    /// ([`Counts::untracked`]): 128 octets each for IPv4, 176 for IPv6, and 8 for their index.
    pub max_connections: usize,
    /// Interim records of connections that are open for longer; 0 for none. They need dumps.
    pub active_ns: u64,
    /// Forget connections of which nothing was heard for so long while the table could not be
    /// looked at; 0 for never.
    pub ttl_ns: u64,
    /// Look at the table so often; 0 for only at the start and after a loss.
    pub dump_every_ns: u64,
    /// Let so much time pass between two dumps, whatever happens.
    pub dump_pause_ns: u64,
}

impl Default for TrackerConfig {
    /// All connections, a million at most; interim records every 5 minutes, a dump every 60
    /// seconds, time to live 7 days.
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            timeouts: Timeouts::default(),
            max_connections: 1_000_000,
            active_ns: 300 * SECOND,
            ttl_ns: 604_800 * SECOND,
            dump_every_ns: 60 * SECOND,
            dump_pause_ns: SECOND,
        }
    }
}

/// What a [`Tracker`] counts. Everything it was given is in here by what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Events of new connections.
    pub events_new: u64,
    /// Events of changes.
    pub events_update: u64,
    /// Events of ended connections.
    pub events_destroy: u64,
    /// Entries of dumps.
    pub dump_entries: u64,
    /// Messages that could not be decoded.
    pub undecodable: u64,
    /// Messages of another kind, and errors on the socket with the events.
    pub other_messages: u64,
    /// Begins told, of all kinds.
    pub begins: u64,
    /// Ends told, of all kinds.
    pub ends: u64,
    /// Interim records told.
    pub interims: u64,
    /// Of `begins`: found in the table.
    pub resync_begins: u64,
    /// Of `begins`: told together with the end, because the begin was never heard of.
    pub late_begins: u64,
    /// Of `ends`: no longer in the table.
    pub resync_ends: u64,
    /// Of `ends`: replaced by a later connection.
    pub replaced: u64,
    /// Of `ends`: time to live.
    pub forgotten: u64,
    /// Messages of connections whose outcome was told already.
    pub duplicates: u64,
    /// Dump entries that were no longer, or not yet, those of the known connection.
    pub stale: u64,
    /// Times the kernel said that its queue was full.
    pub overruns: u64,
    /// Times in which messages were lost, each until a whole dump after the last overrun.
    pub gaps: u64,
    /// Dumps begun.
    pub dumps: u64,
    /// Dumps that ended early.
    pub dumps_failed: u64,
    /// Connections told but not kept, because the table of the tracker was full.
    pub untracked: u64,
    /// Notes of ended connections dropped early for lack of room: an end could be told twice.
    pub notes_dropped: u64,
    /// Not wanted: not translated.
    pub not_translated: u64,
    /// Not wanted: protocol.
    pub other_protocol: u64,
    /// Not wanted: addresses.
    pub other_network: u64,
    /// Not wanted: zone.
    pub other_zone: u64,
    /// Not wanted: mark.
    pub other_mark: u64,
    /// Not wanted: begins or ends at this host.
    pub local: u64,
}

/// What a read of the socket that asked for a dump has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpState {
    /// More is to come.
    More,
    /// The dump is over; events first, then perhaps another one.
    Done,
    /// The kernel refused, by errno (1 is EPERM: CAP_NET_ADMIN is missing). The dump is off.
    Failed(i32),
}

/// Follows connections from message to message.
pub struct Tracker {
    /// IPv4 on both sides.
    narrow: Table<u32>,
    /// All others.
    wide: Table<u128>,
    core: Core,
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker").field("len", &self.len()).field("core", &self.core).finish()
    }
}

impl Tracker {
    /// A tracker that knows of no connection and wants a dump.
    pub fn new(config: TrackerConfig) -> Self {
        Self { narrow: Table::new(), wide: Table::new(), core: Core::new(config) }
    }

    /// Takes the octets of one read of the socket that subscribed to events. `now_ns` is when they
    /// were read, nanoseconds since 1970. The answer to a request for a dump may come among them,
    /// if the same socket asked; its end or failure is taken as in [`dump`](Self::dump).
    pub fn events(&mut self, now_ns: u64, octets: &[u8], out: &mut Out<'_>) {
        let mut messages = Messages::new(octets);
        while let Some(message) = messages.next() {
            match message {
                Ok(Message::Entry(kind, entry)) => self.event(now_ns, kind, entry, out),
                Ok(Message::Overrun) => self.overrun(now_ns),
                Ok(Message::Done(0)) if self.core.is_dumping => self.dump_end(now_ns, out),
                Ok(Message::Done(_) | Message::Error(_)) if self.core.is_dumping => {
                    self.dump_abandon(now_ns);
                }
                Ok(_) => self.core.counts.other_messages += 1,
                Err(_) => self.core.counts.undecodable += 1,
            }
        }
    }

    /// Takes one event that is decoded already. An entry of a dump counts as such.
    pub fn event(&mut self, now_ns: u64, kind: Kind, entry: &Entry, out: &mut Out<'_>) {
        let core = &mut self.core;
        if is_narrow(entry) {
            core.message(&mut self.narrow, now_ns, kind, entry, out);
        } else {
            core.message(&mut self.wide, now_ns, kind, entry, out);
        }
    }

    /// The socket with the events has nothing more: everything until `now_ns` is known.
    pub const fn drained(&mut self, now_ns: u64) {
        self.core.heard_ns = now_ns;
    }

    /// The kernel dropped events (ENOBUFS). What follows is [`Sure::Degraded`](crate::Sure) until a dump that
    /// begins from now on is over; [`wants_dump`](Self::wants_dump) asks for it.
    pub fn overrun(&mut self, now_ns: u64) {
        self.core.overrun(now_ns);
    }

    /// Whether the table should be looked at: at the start, after a loss, to confirm what the last
    /// look found missing, and from time to time.
    pub fn wants_dump(&self, now_ns: u64) -> bool {
        !self.core.is_dumping && self.next_dump_ns().is_some_and(|due| due <= now_ns)
    }

    /// When the table should be looked at next: 0 for at once, `None` for never as far as is known
    /// now, or while a dump runs.
    pub fn next_dump_ns(&self) -> Option<u64> {
        self.core.next_dump_ns()
    }

    /// A dump is asked for: to be called before the request is sent.
    pub const fn dump_begin(&mut self, now_ns: u64) {
        self.core.dump_begin(now_ns);
    }

    /// When the dump began that is not over yet: one that takes too long is to be abandoned.
    pub fn dumping_since_ns(&self) -> Option<u64> {
        self.core.is_dumping.then_some(self.core.dump_began_ns)
    }

    /// Takes the octets of one read of the socket that asked for the dump.
    pub fn dump(&mut self, now_ns: u64, octets: &[u8], out: &mut Out<'_>) -> DumpState {
        let mut messages = Messages::new(octets);
        while let Some(message) = messages.next() {
            match message {
                Ok(Message::Entry(_, entry)) => self.event(now_ns, Kind::Dump, entry, out),
                Ok(Message::Done(0)) => {
                    self.dump_end(now_ns, out);
                    return DumpState::Done;
                }
                Ok(Message::Done(errno) | Message::Error(errno)) => {
                    self.dump_abandon(now_ns);
                    return DumpState::Failed(errno.saturating_neg());
                }
                Ok(_) => self.core.counts.other_messages += 1,
                Err(_) => self.core.counts.undecodable += 1,
            }
        }
        DumpState::More
    }

    /// The dump is whole: what it lacks has ended, once a second dump lacks it too.
    pub fn dump_end(&mut self, now_ns: u64, out: &mut Out<'_>) {
        let core = &mut self.core;
        if !core.is_dumping {
            return;
        }
        core.notes.rotate();
        core.suspects = 0;
        core.sweep_missing(&mut self.narrow, out);
        core.sweep_missing(&mut self.wide, out);
        core.dump_end(now_ns, out);
    }

    /// The dump broke off. Nothing is concluded from it; another one is wanted.
    pub const fn dump_abandon(&mut self, now_ns: u64) {
        self.core.dump_abandon(now_ns);
    }

    /// From now on these are the addresses of this host (see
    /// [`Filter::own`](crate::Filter::own)).
    pub fn set_own(&mut self, own: Vec<Addr>) {
        self.core.config.filter.own = Some(own);
    }

    /// Forgets connections beyond the time to live. To be called now and then.
    pub fn tick(&mut self, now_ns: u64, out: &mut Out<'_>) {
        if self.core.forgetting_is_due(now_ns) {
            self.core.sweep_old(&mut self.narrow, now_ns, out);
            self.core.sweep_old(&mut self.wide, now_ns, out);
        }
    }

    /// Open connections that are kept.
    pub const fn len(&self) -> usize {
        self.narrow.len() + self.wide.len()
    }

    /// Whether no connection is kept.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets of memory that the open connections take.
    pub fn memory(&self) -> usize {
        self.narrow.memory() + self.wide.memory()
    }

    /// What was counted.
    pub const fn counts(&self) -> &Counts {
        &self.core.counts
    }

    /// The loss that is not made up for yet; `to_ns` is when the kernel last told of it.
    pub const fn gap(&self) -> Option<Gap> {
        self.core.gap
    }

    /// Calls `each` for the open connections, as interim outcomes until `now_ns` that count as not
    /// told.
    pub fn open(&self, now_ns: u64, each: &mut dyn FnMut(&Session)) {
        self.core.open(&self.narrow, now_ns, each);
        self.core.open(&self.wide, now_ns, each);
    }
}

/// Whether the narrow table has room for the addresses.
fn is_narrow(entry: &Entry) -> bool {
    let (o, r) = (&entry.orig, &entry.reply);
    [o.src, o.dst, r.src, r.dst].iter().all(|a| matches!(a, Addr::V4(_)))
}
