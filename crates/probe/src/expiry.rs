//! How conversations leave the cache: by time, for room, and all at once.

use crate::entry::{FLOW, Slab, state};
use crate::index::Index;
use crate::wheel::Wheel;
use crate::{Cache, Ended, Pending, Reason};

/// Entries that are looked at for the one to go.
const LOOKED_AT: usize = 16;
/// Entries that are brought from memory while those before them end.
const AHEAD: usize = 16;

/// How far a cache has been swept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweep {
    at: u32,
    /// Number of the last conversation that is meant.
    last: u64,
}

impl Cache {
    /// Hands over what is due at `now_ns`, nanoseconds since 1970 by the clock that packets are
    /// stamped with. For the times between packets; packets that are still on their way to the
    /// cache should be given to it first, or `now_ns` be as old as they may be.
    pub fn expire(&mut self, now_ns: u64, out: &mut dyn FnMut(&Ended)) {
        let (_, tick) = self.clock.set(Some(now_ns));
        self.advance(tick, out);
        self.note_sizes();
    }

    /// Hands over everything, in the order in which it would have ended. Returns how many.
    pub fn expire_all(&mut self, reason: Reason, out: &mut dyn FnMut(&Ended)) -> u64 {
        let before = self.stats.expired;
        let order = self.in_order();
        for (n, (_, slot)) in order.iter().enumerate() {
            if let Some((_, later)) = order.get(n + AHEAD) {
                self.slab.prefetch_all(*later);
            }
            self.hand_over_last(*slot, reason, out);
        }
        self.clear();
        self.note_sizes();
        self.stats.expired - before
    }

    /// Lets go of all entries at once: with none left, nobody has to be found or put in order.
    fn clear(&mut self) {
        self.slab = Slab::new(self.config.max_flows);
        self.index = Index::new();
        self.wheel.clear();
        self.hand = 0;
    }

    /// Begins to hand over everything a piece at a time: see [`sweep`](Self::sweep).
    pub(crate) const fn begin_sweep(&self) -> Sweep {
        Sweep { at: 0, last: self.stats.begun }
    }

    /// Hands over the next conversations of a sweep, as they lie in memory, `most` places further at
    /// most. Those that began after the sweep stay. Returns whether there may be more.
    pub(crate) fn sweep(
        &mut self,
        sweep: &mut Sweep,
        most: u32,
        reason: Reason,
        out: &mut dyn FnMut(&Ended),
    ) -> bool {
        let end = sweep.at.saturating_add(most).min(self.slab.high());
        for slot in sweep.at..end {
            if self.slab.is_used(slot) && self.number(slot) <= sweep.last {
                self.end(slot, reason, out);
            }
        }
        sweep.at = end;
        self.note_sizes();
        end < self.slab.high()
    }

    /// Throws everything away. Returns how many conversations.
    pub fn delete_all(&mut self) -> u64 {
        let count = self.slab.len() as u64;
        self.clear();
        self.stats.deleted += count;
        self.note_sizes();
        count
    }

    /// When [`expire`](Self::expire) is needed next at the earliest, in nanoseconds since 1970.
    /// `None` if the cache is empty.
    pub fn next_due(&self) -> Option<u64> {
        self.wheel.next_tick().map(|tick| self.clock.time_of(tick))
    }

    /// The conversations, in the order in which they will end.
    pub fn flows(&self) -> impl Iterator<Item = Pending> + '_ {
        self.in_order().into_iter().map(|(_, slot)| self.pending(slot))
    }

    /// A conversation that goes on.
    pub(crate) fn pending(&self, slot: u32) -> Pending {
        let (due, reason) = self.due(slot);
        Pending { flow: self.ended(slot, reason), due_ns: self.clock.time_of(due) }
    }

    /// All entries, by when they are due and then by number: ticks from now, and the entry.
    pub(crate) fn in_order(&self) -> Vec<(u32, u32)> {
        let now = self.wheel.now();
        let due = |slot| self.due(slot).0.saturating_sub(now) as u32;
        let id = |slot: u32| self.slab.cold(slot).id;
        let mut all = Vec::with_capacity(self.slab.len());
        let (mut last, mut is_sorted) = (0, true);
        for slot in self.slab.slots() {
            is_sorted &= last <= id(slot);
            last = id(slot);
            all.push((due(slot), slot));
        }
        // As long as no place was used again, places are in the order of numbers. Many are due at
        // the same time, which a sort that keeps their order makes use of.
        if !is_sorted {
            all.sort_unstable_by_key(|(_, slot)| id(*slot));
        }
        all.sort_by_key(|(due, _)| *due);
        all
    }

    /// When a conversation is due if no more packets come, and why.
    pub(crate) fn due(&self, slot: u32) -> (u64, Reason) {
        let (hot, cold) = (self.slab.hot(slot), self.slab.cold(slot));
        let [seen, begun, since] =
            [hot.seen, cold.begun, cold.since].map(|low| self.wheel.full(low));
        let rules = &self.rules;
        let (idle, reason) = rules.idle(&hot.key, hot.state);
        let mut due = (rules.round(seen + idle + 1), reason);
        // Rounding makes it no earlier: most need not be rounded.
        let life = rules.max_life.map(|life| begun + life + 1).filter(|life| *life < due.0);
        if let Some(life) = life.map(|life| rules.round(life)).filter(|life| *life < due.0) {
            due = (life, Reason::MaxLife);
        }
        if let Some(active) = rules.active
            && hot.state & state::PAUSED == 0
            && since + active + 1 < due.0
        {
            due = (since + active + 1, Reason::Active);
        }
        due
    }

    /// Goes on to a tick, and hands over what is due until then.
    #[inline(never)]
    pub(crate) fn advance(&mut self, to: u64, out: &mut dyn FnMut(&Ended)) {
        while let Some(first) = self.wheel.advance(to) {
            let mut next = Some(first);
            while next.is_some() {
                let (mut some, mut count) = ([0; AHEAD], 0);
                while let (Some(slot), Some(place)) = (next, some.get_mut(count)) {
                    self.slab.prefetch_all(slot);
                    next = Wheel::unchain(&mut self.slab, slot);
                    *place = slot;
                    count += 1;
                }
                let some = some.get(..count).unwrap_or_default();
                for slot in some {
                    self.index.prefetch(self.keyer.hash(&self.slab.hot(*slot).key));
                }
                some.iter().for_each(|slot| self.look_at(*slot, out));
            }
        }
    }

    /// An entry that was taken out of the wheel is due, or goes back to where it is due by now.
    fn look_at(&mut self, slot: u32, out: &mut dyn FnMut(&Ended)) {
        let (mut due, reason) = self.due(slot);
        if due <= self.wheel.now() {
            if reason != Reason::Active {
                return self.end(slot, reason, out);
            }
            self.pause(slot, out);
            due = self.due(slot).0;
        }
        self.wheel.insert(&mut self.slab, slot, due);
    }

    /// The active timeout: what was counted is handed over, and counted anew from the next packet on.
    fn pause(&mut self, slot: u32, out: &mut dyn FnMut(&Ended)) {
        self.hand_over(slot, Reason::Active, out);
        let hot = self.slab.hot_mut(slot);
        (hot.packets, hot.octets, hot.flags) = ([0; 2], [0; 2], [0; 2]);
        (hot.min_ttl, hot.max_ttl) = ([u8::MAX; 2], [0; 2]);
        hot.state = hot.state & state::KEPT | state::PAUSED;
        if self.slab.rare(slot).is_some() {
            let rare = self.slab.rare_mut(slot);
            (rare.packets, rare.octets) = ([0; 2], [0; 2]);
        }
    }

    /// The first packet after the active timeout.
    pub(crate) fn resume(&mut self, slot: u32, time_ns: u64, tick: u64) {
        let hot = self.slab.hot_mut(slot);
        hot.state &= !state::PAUSED;
        hot.last_ns = time_ns;
        let cold = self.slab.cold_mut(slot);
        cold.first_ns = time_ns;
        cold.since = tick as u32;
    }

    /// Moves an entry to where it is due: needed if that is earlier than before.
    pub(crate) fn rearm(&mut self, slot: u32) {
        let due = self.due(slot).0;
        self.wheel.remove(&mut self.slab, slot);
        self.wheel.insert(&mut self.slab, slot, due);
    }

    /// Lets one go if there is no room for another one.
    pub(crate) fn make_room(&mut self, out: &mut dyn FnMut(&Ended)) {
        while self.slab.len() >= self.config.max_flows || self.is_over_memory() {
            let Some(slot) = self.most_idle() else { return };
            self.end(slot, Reason::MaxFlows, out);
        }
    }

    fn is_over_memory(&self) -> bool {
        self.config.max_memory.is_some_and(|most| (self.slab.in_use() + FLOW) as u64 > most)
    }

    /// Of those next in turn, the one without a packet for the longest time.
    fn most_idle(&mut self) -> Option<u32> {
        let mut found: Option<(u64, u32)> = None;
        for _ in 0..LOOKED_AT.min(self.slab.len()) {
            self.hand = self.slab.next_used(self.hand)?;
            let this = (self.wheel.full(self.slab.hot(self.hand).seen), self.hand);
            found = Some(found.map_or(this, |found| found.min(this)));
        }
        found.map(|(_, slot)| slot)
    }

    /// Ends a conversation.
    pub(crate) fn end(&mut self, slot: u32, reason: Reason, out: &mut dyn FnMut(&Ended)) {
        self.hand_over_last(slot, reason, out);
        self.take(slot);
    }

    /// Hands over a conversation that ends, unless there is nothing new to say.
    fn hand_over_last(&mut self, slot: u32, reason: Reason, out: &mut dyn FnMut(&Ended)) {
        if self.slab.hot(slot).state & state::PAUSED != 0 {
            self.stats.quiet += 1;
        } else {
            self.hand_over(slot, reason, out);
        }
    }

    fn hand_over(&mut self, slot: u32, reason: Reason, out: &mut dyn FnMut(&Ended)) {
        let ended = self.ended(slot, reason);
        self.stats.hand_over(&ended);
        out(&ended);
    }

    /// Takes an entry out.
    pub(crate) fn take(&mut self, slot: u32) {
        let tag = self.keyer.hash(&self.slab.hot(slot).key);
        self.index.remove(tag, slot);
        self.wheel.remove(&mut self.slab, slot);
        self.slab.free(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CacheConfig;
    use capture::{Direction, Packet};
    use wire::packet::frames;

    fn observe(cache: &mut Cache, numbers: std::ops::Range<u32>) {
        for n in numbers {
            let [a, b, c, d] = n.to_be_bytes();
            let ends = [10 + a, b, c, d, 10, 0, 1, 1];
            let ip = frames::ipv4_with(&ends, 17, 0, &[], &frames::udp(53, b"x"));
            let bytes = frames::ethernet(0x0800, &ip);
            let packet = Packet {
                time_ns: Some(1_700_000_000_000_000_000 + u64::from(n)),
                link: 1,
                wire_len: bytes.len() as u32,
                interface: 1,
                direction: Direction::Unknown,
                bytes: &bytes,
            };
            cache.observe(&[packet], &mut |_| {});
        }
    }

    #[test]
    fn a_sweep_takes_what_there_was_and_nothing_that_came_meanwhile() {
        for (most, pieces) in [(1, 1000), (64, 16), (1000, 1), (u32::MAX, 1)] {
            let mut cache = Cache::new(CacheConfig::default());
            observe(&mut cache, 0..1000);
            let (mut sweep, mut ids, mut count) = (cache.begin_sweep(), Vec::new(), 0);
            let mut next = 1000;
            loop {
                let is_more =
                    cache.sweep(&mut sweep, most, Reason::Flushed, &mut |e| ids.push(e.id));
                count += 1;
                if count <= pieces {
                    // In places that were swept, and behind all others.
                    observe(&mut cache, next..next + 2);
                    next += 2;
                }
                if !is_more {
                    break;
                }
            }
            ids.sort_unstable();
            assert!(ids.iter().copied().eq(1..=1000), "{most} at a time: {}", ids.len());
            assert!(count >= pieces, "{most} at a time: {count}");
            assert_eq!(cache.stats().active, u64::from(next - 1000));
            assert_eq!(cache.stats().by_reason(Reason::Flushed), 1000);
        }
    }
}
