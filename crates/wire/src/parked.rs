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
use std::collections::{BTreeMap, BTreeSet};

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
    /// What a set of so many octets counts towards limits.
    const fn cost_of(octets: usize) -> usize {
        /// Its places in the maps, in nodes that are half full.
        const PLACES: usize = 48;
        size_of::<Self>() + PLACES + octets
    }

    const fn cost(&self) -> usize {
        Self::cost_of(self.octets.len())
    }
}

/// Sets of one exporter that wait. Nothing here goes through all of them: what a datagram does
/// costs no more than the sets it adds, reads or drops.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    /// By the order of their arrival.
    sets: BTreeMap<u64, ParkedSet>,
    /// Template and order of arrival of each.
    by_template: BTreeSet<(u16, u64)>,
    /// The place of the next one to come.
    next: u64,
    bytes: usize,
    /// Those before this place came before a restart of the exporter.
    stale_before: u64,
    /// Templates that have come and that some of them may need.
    due: BTreeSet<u16>,
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
        self.sets.values().rev().take_while(|s| s.message == Some(message)).count() as u32
    }

    /// A template came.
    pub(crate) fn expect(&mut self, id: u16) {
        if self.first_of(id, 0).is_some() {
            self.due.insert(id);
        }
    }

    /// Whatever waits may be due.
    pub(crate) fn expect_all(&mut self) {
        self.due.extend(self.by_template.iter().map(|(id, _)| *id));
    }

    /// The exporter began anew: what it sent before has templates of its own. Sets of the message
    /// being read are new.
    pub(crate) fn outdate(&mut self, message: u64) {
        self.stale_before = self.next - u64::from(self.of_message(message));
    }

    fn needs_care(&self) -> bool {
        !self.due.is_empty() || self.has_stale()
    }

    /// Whether the oldest set came before a restart.
    fn has_stale(&self) -> bool {
        self.sets.first_key_value().is_some_and(|(place, _)| *place < self.stale_before)
    }

    /// When the oldest set was received.
    fn oldest_ms(&self) -> Option<u64> {
        self.sets.first_key_value().map(|(_, set)| set.origin.received_ms)
    }

    /// The first set of a template at this place or a later one.
    fn first_of(&self, id: u16, from: u64) -> Option<u64> {
        self.by_template.range((id, from)..=(id, u64::MAX)).next().map(|(_, place)| *place)
    }

    fn push(&mut self, set: ParkedSet) {
        self.bytes += set.cost();
        self.by_template.insert((set.id, self.next));
        self.sets.insert(self.next, set);
        self.next += 1;
    }

    fn pop(&mut self) -> Option<ParkedSet> {
        let (place, set) = self.sets.pop_first()?;
        self.forget(place, &set);
        Some(set)
    }

    /// Takes out the sets whose templates have come and are known, in order of arrival.
    fn take_due(&mut self, is_known: impl Fn(u16) -> bool) -> Vec<ParkedSet> {
        let mut places = Vec::new();
        for id in std::mem::take(&mut self.due).into_iter().filter(|id| is_known(*id)) {
            let of_template = self.by_template.range((id, 0)..=(id, u64::MAX));
            places.extend(of_template.map(|(_, place)| *place));
        }
        places.sort_unstable();
        let mut due = Vec::with_capacity(places.len());
        for place in places {
            let Some(set) = self.sets.remove(&place) else { continue };
            self.forget(place, &set);
            due.push(set);
        }
        due
    }

    /// A set has left.
    fn forget(&mut self, place: u64, set: &ParkedSet) {
        self.bytes -= set.cost();
        self.by_template.remove(&(set.id, place));
    }
}

/// Why a set was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It waited longer than the limit.
    Age,
    /// There was no room.
    Room,
    /// Its exporter began anew: a template that comes now is not the one it was made with.
    Replaced,
    /// It could not wait at all.
    NotParked,
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
            && let Some(oldest_ms) = state.parked.oldest_ms()
            && now_ms.saturating_sub(oldest_ms) > limit
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
        let cost = ParkedSet::cost_of(octets.len());
        self.count_parked(at);
        if cost > own_limit || parked_ms == 0 || self.session.is_some() {
            self.count_dropped(at, Dropped::NotParked);
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

    fn count_parked(&mut self, at: usize) {
        self.counters.sets_parked += 1;
        if let Some(state) = self.exporters.get_mut(at) {
            state.ledger.totals.sets_parked += 1;
        }
    }

    fn count_dropped(&mut self, at: usize, why: Dropped) {
        self.counters.sets_without_template += 1;
        match why {
            Dropped::Age => self.counters.sets_parked_too_long += 1,
            Dropped::Room => self.counters.sets_parked_no_room += 1,
            Dropped::Replaced => self.counters.sets_parked_replaced += 1,
            Dropped::NotParked => self.counters.sets_not_parked += 1,
        }
        if let Some(state) = self.exporters.get_mut(at) {
            state.ledger.totals.sets_without_template += 1;
        }
    }

    /// Reads what waits for templates that are there by now, in order of arrival. Called when a
    /// message was read.
    pub(crate) fn unpark<S: FlowSink + ?Sized>(&mut self, at: usize, now_ms: u64, sink: &mut S) {
        if !self.exporters.get_mut(at).is_some_and(|s| s.parked.needs_care()) {
            return;
        }
        while self.exporters.get_mut(at).is_some_and(|s| s.parked.has_stale()) {
            self.drop_oldest(at, Dropped::Replaced);
        }
        self.expire_parked_of(at, now_ms);
        let cut_before = self.counters.truncated_records;
        for set in self.take_due(at) {
            self.read_parked(at, &set, sink);
        }
        // The message that is being read is none the worse for what an earlier one had.
        let cut = self.counters.truncated_records - cut_before;
        if let Some(open) = &mut self.open {
            open.pardon(cut);
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

    /// Takes out what an exporter has parked and can be read now.
    fn take_due(&mut self, at: usize) -> Vec<ParkedSet> {
        let Some(state) = self.exporters.get_mut(at) else { return Vec::new() };
        let (before, sender) = (state.parked.bytes, state.sender);
        let due = state.parked.take_due(|id| state.templates.has(id));
        self.parking.note((sender, at), before, state.parked.bytes);
        self.parking.sets = self.parking.sets.saturating_sub(due.len() as u64);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::Clock;
    use record::Addr;

    fn set(id: u16, message: Option<u64>, received_ms: u64) -> ParkedSet {
        let origin = Origin {
            export_ms: 0,
            clock: Clock::Unknown,
            received_ms,
            router: Addr::V4(1),
            sysid: 1,
            source: 9,
            engine: (0, 0),
            domain: 0,
        };
        ParkedSet { id, message, origin, octets: Box::from([0; 10]) }
    }

    fn order(sets: &[ParkedSet]) -> Vec<u64> {
        sets.iter().map(|s| s.origin.received_ms).collect()
    }

    /// By every set there is, as it was before there were places.
    fn slow_due(parked: &Parked, came: &[u16], known: &[u16]) -> Vec<u64> {
        let is_due = |id: &u16| came.contains(id) && known.contains(id);
        parked.sets.values().filter(|s| is_due(&s.id)).map(|s| s.origin.received_ms).collect()
    }

    #[test]
    fn what_is_due_is_what_a_look_at_all_finds() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) % n
        };
        let (mut parked, mut now, mut read) = (Parked::default(), 0, 0);
        for _ in 0..2000 {
            for _ in 0..below(8) {
                now += 1;
                parked.push(set(300 + below(10) as u16, Some(now / 3), now));
            }
            if below(3) == 0 {
                parked.pop();
            }
            let came: Vec<u16> = (0..below(4)).map(|_| 300 + below(12) as u16).collect();
            let known: Vec<u16> = (0..below(9)).map(|_| 300 + below(12) as u16).collect();
            came.iter().for_each(|id| parked.expect(*id));
            let want = slow_due(&parked, &came, &known);
            let due = parked.take_due(|id| known.contains(&id));
            assert_eq!(order(&due), want);
            read += due.len();
            assert!(parked.due.is_empty());
            assert_eq!(parked.bytes, parked.sets.values().map(ParkedSet::cost).sum::<usize>());
            let places: BTreeSet<_> = parked.sets.iter().map(|(n, s)| (s.id, *n)).collect();
            assert_eq!(parked.by_template, places);
        }
        assert!(read > 1000, "{read}");
    }

    #[test]
    fn a_template_that_nothing_waits_for_is_not_even_noted() {
        let mut parked = Parked::default();
        (0..8192).for_each(|n| parked.push(set(300, None, n)));
        (256..u16::MAX).filter(|id| *id != 300).for_each(|id| parked.expect(id));
        assert!(!parked.needs_care());
        parked.push(set(301, None, 9000));
        parked.expect(301);
        assert_eq!(parked.due, BTreeSet::from([301]));
        assert_eq!(order(&parked.take_due(|_| true)), [9000]);
        assert_eq!((parked.sets(), parked.needs_care()), (8192, false));
    }

    #[test]
    fn a_restart_outdates_all_but_the_message_being_read() {
        for (message, stale) in [(7, 3), (8, 5), (6, 5)] {
            let mut parked = Parked::default();
            for (n, of) in [5, 5, 6, 7, 7].into_iter().enumerate() {
                parked.push(set(300, Some(of), n as u64));
            }
            parked.outdate(message);
            let mut dropped = 0;
            while parked.has_stale() {
                parked.pop();
                dropped += 1;
            }
            assert_eq!(dropped, stale, "{message}");
        }
    }
}
