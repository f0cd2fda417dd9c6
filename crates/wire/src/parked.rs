//! The parking place: data sets whose template is not known yet, kept until it comes.
//!
//! After a start of the collector an exporter may take half an hour to repeat its templates. Its
//! data sets wait here, each with what dates and attributes its records: export time and uptime
//! of its message, when it was received, domain. When the template comes they are read in order
//! of arrival.
//!
//! What waits is bounded in octets by exporter and in all, and by age. Where there is no room the
//! oldest set goes: of the exporter itself while it is over its own bound, else of the sender
//! that has parked most. So nobody can drive out the sets of others by parking more than they do.

use crate::derive::Origin;
use crate::set::Message;
use crate::{Decoder, Limits, Protocol};
use record::FlowSink;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A data set that waits for its template.
#[derive(Debug)]
struct ParkedSet {
    /// Its template.
    id: u16,
    /// The message it came in, as the sequence tracker calls it; `None` where numbers do not
    /// count records.
    message: Option<u64>,
    origin: Origin,
    octets: Box<[u8]>,
}

impl ParkedSet {
    /// What it counts towards limits.
    const fn cost(&self) -> usize {
        size_of::<Self>() + self.octets.len()
    }
}

/// Sets of one exporter that wait, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    sets: VecDeque<ParkedSet>,
    bytes: usize,
    /// How many of them, from the front, came before a restart of the exporter.
    stale: usize,
    /// Whether a template has come that one of them may need.
    is_due: bool,
}

impl Parked {
    /// Sets that wait.
    pub(crate) fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Octets that they take.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many sets of this message wait.
    pub(crate) fn of_message(&self, message: u64) -> u32 {
        self.sets.iter().rev().take_while(|s| s.message == Some(message)).count() as u32
    }

    /// A template came.
    pub(crate) fn expect(&mut self, id: u16) {
        self.is_due |= self.sets.iter().any(|s| s.id == id);
    }

    /// Whatever waits may be due.
    pub(crate) fn expect_all(&mut self) {
        self.is_due = !self.sets.is_empty();
    }

    /// The exporter began anew: what it sent before has templates of its own. Sets of the message
    /// being read are new.
    pub(crate) fn outdate(&mut self, message: u64) {
        let is_old = |s: &&ParkedSet| s.message != Some(message);
        self.stale = self.sets.iter().take_while(is_old).count();
    }

    const fn needs_care(&self) -> bool {
        self.is_due || self.stale > 0
    }

    fn push(&mut self, set: ParkedSet) {
        self.bytes += set.cost();
        self.sets.push_back(set);
    }

    fn pop(&mut self) -> Option<ParkedSet> {
        let set = self.sets.pop_front()?;
        self.bytes -= set.cost();
        self.stale = self.stale.saturating_sub(1);
        Some(set)
    }
}

/// Why a set was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It waited longer than the limit.
    Age,
    /// There was no room.
    Room,
    /// Its template was withdrawn, or its exporter began anew: a template that comes now is not
    /// the one it was made with.
    Replaced,
}

/// Who has parked how much: the most last.
#[derive(Debug, Default)]
pub(crate) struct ParkingLot {
    bytes: usize,
    sets: u64,
    /// Octets of each sender that has parked any.
    of_sender: BTreeMap<usize, usize>,
    /// The same, by octets.
    senders: BTreeSet<(usize, usize)>,
    /// Sender, octets and number of each exporter that has parked any.
    exporters: BTreeSet<(usize, usize, usize)>,
}

impl ParkingLot {
    /// Notes that an exporter has parked so many octets.
    fn note(&mut self, (sender, exporter): (usize, usize), before: usize, after: usize) {
        let old = self.of_sender.remove(&sender).unwrap_or(0);
        let new = (old + after).saturating_sub(before);
        self.senders.remove(&(old, sender));
        self.exporters.remove(&(sender, before, exporter));
        if new > 0 {
            self.of_sender.insert(sender, new);
            self.senders.insert((new, sender));
        }
        if after > 0 {
            self.exporters.insert((sender, after, exporter));
        }
        self.bytes = (self.bytes + after).saturating_sub(before);
    }

    /// The exporter that has parked most of the sender that has.
    fn largest(&self) -> Option<usize> {
        let (_, sender) = *self.senders.last()?;
        self.exporters.range((sender, 0, 0)..(sender + 1, 0, 0)).next_back().map(|e| e.2)
    }
}

/// How much waits for templates now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Data sets.
    pub sets: u64,
    /// Octets that they take, with what is kept of their messages.
    pub bytes: u64,
}

impl Decoder {
    /// How much waits for templates now, of all exporters.
    pub const fn waiting(&self) -> Waiting {
        Waiting { sets: self.parking.sets, bytes: self.parking.bytes as u64 }
    }

    /// Drops sets that have waited for their template longer than
    /// [`Limits::parked_ms`]. To be called about once a second. `u64::MAX` drops all: what still
    /// waits when a collector stops is lost, and counted as such.
    pub fn expire_parked(&mut self, now_ms: u64) {
        let holders: Vec<_> = self.parking.exporters.iter().map(|e| e.2).collect();
        for at in holders {
            self.expire_parked_of(at, now_ms);
        }
    }

    fn expire_parked_of(&mut self, at: usize, now_ms: u64) {
        let limit = self.config.limits.parked_ms;
        while let Some(state) = self.exporters.get_mut(at)
            && let Some(oldest) = state.parked.sets.front()
            && now_ms.saturating_sub(oldest.origin.received_ms) > limit
        {
            self.drop_oldest(at, Dropped::Age);
        }
    }

    /// Keeps a data set until its template comes, if there is room.
    ///
    /// Sets of a transport session are not kept: what comes in order and without loss has its
    /// template first, or never (RFC 7011, 8).
    pub(crate) fn park(&mut self, message: &Message, id: u16, octets: &[u8]) {
        let at = message.exporter;
        let Limits { parked_bytes_per_exporter, parked_bytes, parked_ms, .. } = self.config.limits;
        let own_limit = parked_bytes_per_exporter.min(parked_bytes);
        let cost = size_of::<ParkedSet>() + octets.len();
        if cost > own_limit || parked_ms == 0 || self.session.is_some() {
            self.count_dropped(at, Dropped::Room);
            return;
        }
        self.expire_parked_of(at, message.origin.received_ms);
        while self.exporters.get_mut(at).is_some_and(|s| s.parked.bytes + cost > own_limit) {
            self.drop_oldest(at, Dropped::Room);
        }
        let Some(state) = self.exporters.get_mut(at) else { return };
        let before = state.parked.bytes;
        let of = (state.protocol == Protocol::Ipfix).then(|| state.sequence.message());
        let (origin, octets) = (message.origin, octets.into());
        state.parked.push(ParkedSet { id, message: of, origin, octets });
        state.ledger.totals.sets_parked += 1;
        self.counters.sets_parked += 1;
        self.parking.sets += 1;
        self.parking.note((state.sender, at), before, state.parked.bytes);
        while self.parking.bytes > parked_bytes
            && let Some(largest) = self.parking.largest()
        {
            self.drop_oldest(largest, Dropped::Room);
        }
    }

    /// Drops the set that came first of those an exporter has parked.
    fn drop_oldest(&mut self, at: usize, why: Dropped) {
        let Some(state) = self.exporters.get_mut(at) else { return };
        let before = state.parked.bytes;
        let Some(set) = state.parked.pop() else { return };
        self.parking.note((state.sender, at), before, state.parked.bytes);
        self.parking.sets = self.parking.sets.saturating_sub(1);
        if let Some(message) = set.message {
            state.resolve(message, None, false, &mut self.counters);
        }
        self.count_dropped(at, why);
    }

    fn count_dropped(&mut self, at: usize, why: Dropped) {
        self.counters.sets_without_template += 1;
        match why {
            Dropped::Age => self.counters.sets_parked_too_long += 1,
            Dropped::Room => self.counters.sets_parked_no_room += 1,
            Dropped::Replaced => self.counters.sets_parked_replaced += 1,
        }
        if let Some(state) = self.exporters.get_mut(at) {
            state.ledger.totals.sets_without_template += 1;
        }
    }

    /// Drops what waits for a template that was withdrawn: all of them without an id.
    pub(crate) fn drop_withdrawn(&mut self, at: usize, id: Option<u16>) {
        self.take_parked(at, |set| {
            if id.is_none_or(|id| set.id == id) { Fate::Drop } else { Fate::Stay }
        });
    }

    /// Reads what waits for templates that are there by now, in order of arrival. Called when a
    /// message was read.
    pub(crate) fn unpark<S: FlowSink + ?Sized>(&mut self, at: usize, now_ms: u64, sink: &mut S) {
        let Some(state) = self.exporters.get_mut(at).filter(|s| s.parked.needs_care()) else {
            return;
        };
        for _ in 0..std::mem::take(&mut state.parked.stale) {
            self.drop_oldest(at, Dropped::Replaced);
        }
        self.expire_parked_of(at, now_ms);
        let Some(state) = self.exporters.get_mut(at) else { return };
        state.parked.is_due = false;
        let known: BTreeSet<u16> = state.templates.iter().map(|(id, _)| id).collect();
        let due = self
            .take_parked(at, |set| if known.contains(&set.id) { Fate::Read } else { Fate::Stay });
        for set in due {
            self.read_parked(at, &set, sink);
        }
    }

    fn read_parked<S: FlowSink + ?Sized>(&mut self, at: usize, set: &ParkedSet, sink: &mut S) {
        let mut message = Message::new(at, set.origin);
        let cut_before = self.counters.truncated_records;
        let is_read = self.read_records(&mut message, set.id, &set.octets, sink);
        let is_whole = self.counters.truncated_records == cut_before;
        let read = is_read.then_some(message.read);
        let Some(state) = self.exporters.get_mut(at) else { return };
        if let Some(of) = set.message {
            state.resolve(of, read, is_whole, &mut self.counters);
        }
        if is_read {
            state.ledger.totals.sets_unparked += 1;
            self.counters.sets_unparked += 1;
        } else {
            self.count_dropped(at, Dropped::Replaced);
        }
    }

    /// Goes through all that an exporter has parked. Returns what is to be read.
    fn take_parked(&mut self, at: usize, fate: impl Fn(&ParkedSet) -> Fate) -> Vec<ParkedSet> {
        let Some(state) = self.exporters.get_mut(at) else { return Vec::new() };
        let (before, sender) = (state.parked.bytes, state.sender);
        let (mut due, mut dropped) = (Vec::new(), Vec::new());
        for set in std::mem::take(&mut state.parked).sets {
            match fate(&set) {
                Fate::Read => due.push(set),
                Fate::Drop => dropped.push(set),
                Fate::Stay => state.parked.push(set),
            }
        }
        self.parking.note((sender, at), before, state.parked.bytes);
        self.parking.sets = self.parking.sets.saturating_sub((due.len() + dropped.len()) as u64);
        for message in dropped.iter().filter_map(|set| set.message) {
            state.resolve(message, None, false, &mut self.counters);
        }
        for _ in dropped {
            self.count_dropped(at, Dropped::Replaced);
        }
        due
    }
}

/// What becomes of a parked set.
enum Fate {
    Read,
    Drop,
    Stay,
}
