//! Profiles: named filters that are applied to the flow files of each slot.
//!
//! A [`Profile`] has channels, and a channel has sources and a filter. Of each slot, a [`Runner`]
//! reads the files once and gives every channel the flows that pass: into a file of its own
//! (`DATA/GROUP/PROFILE/CHANNEL/nfcapd.YYYYMMDDhhmm`), into a record of sums
//! ([`CounterStore`]), and, where a profile asks for it, into a table of ports ([`PortStore`]).
//!
//! A slot may be worked on again at any time: what is there is replaced, and nothing is counted
//! twice. Whoever is killed in between leaves the state before.
//!
//! This crate never asks what time it is, and prints nothing.
#![forbid(unsafe_code)]

mod config;
mod counters;
mod definition;
mod error;
mod outlet;
mod ports;
mod run;
mod slot;
mod varint;

pub use config::Reading;
pub use counters::{Bin, CounterStore, Counters, Counts, Damaged, SlotCounters, roll_up};
pub use definition::{
    Channel, DEFAULT_INTERVAL, MAX_CHANNELS, Profile, Profiles, Source, Span, check_name, term,
};
pub use error::ProfileError;
pub use ports::{PortCount, PortStore, PortTable, PortsRead, Transport};
pub use run::{ChannelDone, Outcome, RunOptions, Runner};
pub use slot::{InputFile, Inputs, slot_start};
