//! What the tracker says: connections that begin, go on and end, and when it may have missed some.

use crate::entry::{Counter, Status};
use crate::translate::Translation;

/// How an outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sure {
    /// The kernel told it in a message of its own.
    Exact,
    /// The kernel told it, at a time when other messages were lost.
    Degraded,
    /// It was seen by comparing with the kernel's table: its time is that of the look, at most one
    /// look too late, and counters are those of the look before.
    Resync,
}

impl Sure {
    /// Its name in text and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Degraded => "degraded",
            Self::Resync => "resync",
        }
    }
}

/// Why a connection ended, or why there is a record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It has begun.
    Begun,
    /// It is open for longer than the active timeout.
    Active,
    /// No packet came for as long as its state allows.
    Idle,
    /// The kernel removed it by itself: a reset, or a full table.
    Closed,
    /// A process asked for it: `conntrack -D`, a daemon of a cluster.
    Deleted,
    /// It was no longer in the table.
    Missing,
    /// Its place in the table was taken by a later connection with the same addresses and id.
    Replaced,
    /// Nothing was heard of it for the time to live, and the table could not be looked at.
    Forgotten,
}

impl Cause {
    /// Its name in text and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Closed => "closed",
            Self::Deleted => "deleted",
            Self::Missing => "missing",
            Self::Replaced => "replaced",
            Self::Forgotten => "forgotten",
        }
    }
}

/// One connection at one moment of its life. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Addresses and ports before and after translation.
    pub translation: Translation,
    /// IP protocol.
    pub proto: u8,
    /// ICMP: `256 * type + code` of the answers; else 0.
    pub reply_icmp: u16,
    /// The kernel's id.
    pub id: u32,
    /// Conntrack zone.
    pub zone: u16,
    /// Mark, the last one known.
    pub mark: u32,
    /// Labels of the message, 0 where it has none.
    pub labels: u128,
    /// Status bits, the last ones known.
    pub status: Status,
    /// State of the protocol's tracker, the last one known.
    pub state: u8,
    /// When it began. The same in all outcomes of one connection, unless the begin was told
    /// without a time of the kernel and a better one came.
    pub start_ns: u64,
    /// Whether the kernel told `start_ns`; else it is when the connection was first heard of.
    pub has_start: bool,
    /// From when on `counters` count: the start, or the last interim record.
    pub from_ns: u64,
    /// Last packet, as far as known; the time of the look for interim outcomes, the start at the
    /// begin.
    pub until_ns: u64,
    /// Until when the translation held: the entry was gone or overdue from then on. The start at
    /// the begin, the look for interim outcomes.
    pub held_ns: u64,
    /// Whether `until_ns` is worked out: `held_ns` minus the timeout of the last state.
    pub is_estimated: bool,
    /// What was counted since `from_ns`: initiator to responder, responder to initiator.
    pub counters: [Counter; 2],
    /// What was counted since the start.
    pub totals: [Counter; 2],
    /// Whether the kernel counted at all.
    pub has_counters: bool,
    /// How it is known.
    pub sure: Sure,
    /// Why.
    pub cause: Cause,
}

/// A time in which messages were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Up to then all messages are known, nanoseconds since 1970.
    pub from_ns: u64,
    /// From then on the table is known again.
    pub to_ns: u64,
    /// How many times the kernel said that its queue was full.
    pub overruns: u64,
}

/// What the tracker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A connection has begun.
    Begin(Session),
    /// A connection goes on: what was counted since the last record of it.
    Interim(Session),
    /// A connection has ended: what was counted since the last record of it.
    End(Session),
    /// Messages were lost. Connections that both began and ended in this time may be missing.
    Degraded(Gap),
}

impl Outcome {
    /// When it was, nanoseconds since 1970: the begin, the look, until when the translation held,
    /// or when the table was known again.
    pub const fn at_ns(&self) -> u64 {
        match self {
            Self::Begin(session) | Self::Interim(session) | Self::End(session) => session.held_ns,
            Self::Degraded(gap) => gap.to_ns,
        }
    }
}
