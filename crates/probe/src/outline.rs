//! Conversations by place, for those who list them piece by piece.

use crate::control::Outline;
use crate::{Cache, Pending};

impl Cache {
    /// All conversations, in any order: where they are and when they end.
    pub fn outline(&self) -> impl Iterator<Item = Outline> + '_ {
        self.slab.slots().map(|slot| {
            let due_ns = self.clock.time_of(self.due(slot).0);
            Outline { due_ns, id: self.number(slot), slot, lane: 0 }
        })
    }

    /// A conversation of an outline as it is now, unless it has ended since.
    pub fn conversation(&self, at: &Outline) -> Option<Pending> {
        let is_there = self.slab.is_used(at.slot) && self.number(at.slot) == at.id;
        is_there.then(|| self.pending(at.slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CacheConfig, Reason};
    use capture::{Direction, Packet};
    use wire::packet::frames;

    #[test]
    fn an_outline_finds_what_is_still_there() {
        let mut cache = Cache::new(CacheConfig::default());
        for i in 0..100u64 {
            let ends = [10, 0, 0, i as u8, 10, 0, 1, 1];
            let ip = frames::ipv4_with(&ends, 17, 0, &[], &frames::udp(53, b"x"));
            let bytes = frames::ethernet(0x0800, &ip);
            let packet = Packet {
                time_ns: Some((1_000_000 + i) * 1_000_000_000),
                link: 1,
                wire_len: bytes.len() as u32,
                interface: 1,
                direction: Direction::Unknown,
                bytes: &bytes,
            };
            cache.observe(&[packet], &mut |_| {});
        }
        let outline: Vec<_> = cache.outline().collect();
        let by_place: Vec<_> = outline.iter().filter_map(|at| cache.conversation(at)).collect();
        let mut listed: Vec<_> = cache.flows().collect();
        assert_eq!(listed.len(), 100);
        listed.sort_by_key(|pending| pending.flow.id);
        let mut found = by_place.clone();
        found.sort_by_key(|pending| pending.flow.id);
        assert_eq!(found, listed);
        assert!(
            outline
                .iter()
                .zip(&by_place)
                .all(|(at, p)| (at.id, at.due_ns) == (p.flow.id, p.due_ns))
        );

        cache.expire_all(Reason::Flushed, &mut |_| {});
        assert!(outline.iter().all(|at| cache.conversation(at).is_none()));
        let nowhere = Outline { slot: u32::MAX, ..outline[0] };
        assert!(cache.conversation(&nowhere).is_none());
    }
}
