//! The connections that are open: a slab in pieces, so that growing copies nothing, and an index
//! of slots by the hash of their key, linear probing.

use crate::entry::{Counter, Entry, Status, Tuple};
use record::Addr;

/// An address as the table keeps it.
pub(crate) trait Width: Copy + Eq + Default {
    fn of(addr: Addr) -> Self;
    fn addr(self, is_v4: bool) -> Addr;
    fn fold(self) -> u64;
}

/// Connections with IPv4 on both sides.
impl Width for u32 {
    fn of(addr: Addr) -> Self {
        match addr {
            Addr::V4(a) => a,
            Addr::V6(a) => a as Self,
        }
    }

    fn addr(self, _: bool) -> Addr {
        Addr::V4(self)
    }

    fn fold(self) -> u64 {
        u64::from(self)
    }
}

/// All others.
impl Width for u128 {
    fn of(addr: Addr) -> Self {
        match addr {
            Addr::V4(a) => Self::from(a),
            Addr::V6(a) => a,
        }
    }

    fn addr(self, is_v4: bool) -> Addr {
        if is_v4 { Addr::V4(self as u32) } else { Addr::V6(self) }
    }

    fn fold(self) -> u64 {
        (self >> 64) as u64 ^ (self as u64).rotate_left(32)
    }
}

/// What is kept of a connection: 128 octets for IPv4, 176 for IPv6.
#[derive(Clone, Copy, Default)]
pub(crate) struct Conn<A> {
    /// Source and destination of the original tuple, then of the reply.
    addrs: [A; 4],
    ports: [u16; 4],
    /// As the kernel last told them.
    pub(crate) known: [Counter; 2],
    /// What records have told already.
    pub(crate) told: [Counter; 2],
    pub(crate) start_ns: u64,
    /// Until when records have told it.
    pub(crate) told_ns: u64,
    pub(crate) id: u32,
    pub(crate) mark: u32,
    pub(crate) status: Status,
    /// The last dump it was in, or that was running or over when it began.
    pub(crate) dump: u32,
    pub(crate) zone: u16,
    proto: u8,
    pub(crate) state: u8,
    pub(crate) flags: Flags,
}

/// What is known of a connection, one bit each.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// The slot is in use.
    const LIVE: u8 = 1;
    const ORIG_V4: u8 = 2;
    const REPLY_V4: u8 = 4;
    /// The kernel told when it began.
    pub(crate) const HAS_START: u8 = 8;
    /// It was first seen in a dump.
    pub(crate) const FROM_DUMP: u8 = 16;
    /// The last dump did not have it.
    pub(crate) const SUSPECT: u8 = 32;
    /// The kernel counts its packets.
    pub(crate) const COUNTED: u8 = 64;

    pub(crate) const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    pub(crate) const fn set(&mut self, bit: u8, on: bool) {
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }
}

impl<A: Width> Conn<A> {
    /// A connection as `entry` describes it, without times.
    pub(crate) fn new(entry: &Entry) -> Self {
        let (o, r) = (&entry.orig, &entry.reply);
        let mut flags = Flags(Flags::LIVE);
        flags.set(Flags::ORIG_V4, matches!(o.src, Addr::V4(_)));
        flags.set(Flags::REPLY_V4, matches!(r.src, Addr::V4(_)));
        let mut conn = Self {
            addrs: [o.src, o.dst, r.src, r.dst].map(A::of),
            ports: [o.src_port, o.dst_port, r.src_port, r.dst_port],
            id: entry.id,
            zone: entry.zone,
            proto: o.proto,
            flags,
            ..Self::default()
        };
        conn.learn(entry);
        conn
    }

    /// Takes what changes over a connection's life.
    pub(crate) fn learn(&mut self, entry: &Entry) {
        self.mark = entry.mark;
        self.status = entry.status;
        self.state = entry.state;
        if let Some(counters) = entry.counters {
            self.known = counters;
            self.flags.set(Flags::COUNTED, true);
        }
    }

    /// The connection as an entry of the kernel's table.
    pub(crate) fn entry(&self) -> Entry {
        let [a, b, c, d] = self.addrs;
        let [p, q, r, s] = self.ports;
        let (orig, reply) = (self.flags.has(Flags::ORIG_V4), self.flags.has(Flags::REPLY_V4));
        let tuple = |src: A, dst: A, src_port, dst_port, is_v4| Tuple {
            src: src.addr(is_v4),
            dst: dst.addr(is_v4),
            src_port,
            dst_port,
            proto: self.proto,
            zone: 0,
        };
        Entry {
            orig: tuple(a, b, p, q, orig),
            reply: tuple(c, d, r, s, reply),
            id: self.id,
            zone: self.zone,
            status: self.status,
            mark: self.mark,
            state: self.state,
            ..Entry::default()
        }
    }

    /// Whether it is the connection `entry` speaks of: same id, zone and original tuple.
    fn is_of(&self, entry: &Entry) -> bool {
        let o = &entry.orig;
        self.id == entry.id
            && self.zone == entry.zone
            && self.proto == o.proto
            && self.ports[..2] == [o.src_port, o.dst_port]
            && self.addrs[..2] == [o.src, o.dst].map(A::of)
    }

    fn hash(&self) -> u64 {
        let [a, b, ..] = self.addrs;
        let [p, q, ..] = self.ports;
        mix(self.id, self.zone, self.proto, [a.fold(), b.fold()], [p, q])
    }
}

/// Hash of what tells connections apart: id, zone, original tuple.
pub(crate) fn key_hash<A: Width>(entry: &Entry) -> u64 {
    let o = &entry.orig;
    let addrs = [o.src, o.dst].map(|a| A::of(a).fold());
    mix(entry.id, entry.zone, o.proto, addrs, [o.src_port, o.dst_port])
}

fn mix(id: u32, zone: u16, proto: u8, [a, b]: [u64; 2], [p, q]: [u16; 2]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let first = u64::from(id) << 32 | u64::from(p) << 16 | u64::from(q);
    let words = [a, b, u64::from(zone) << 8 | u64::from(proto)];
    words.iter().fold(first.wrapping_mul(ODD), |h, w| {
        let h = (h ^ h >> 29 ^ w).wrapping_mul(ODD);
        h ^ h >> 32
    })
}

/// Connections in a piece of the slab.
const PIECE: usize = 1 << 12;
const EMPTY: u32 = u32::MAX;

/// The table of one width.
pub(crate) struct Table<A> {
    pieces: Vec<Vec<Conn<A>>>,
    /// Slots that are free again.
    free: Vec<u32>,
    /// Slots by hash; a power of two of them, at most 7/8 used.
    index: Vec<u32>,
    used: usize,
}

impl<A: Width> Table<A> {
    pub(crate) fn new() -> Self {
        Self { pieces: Vec::new(), free: Vec::new(), index: vec![EMPTY; 16], used: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// Octets of memory in use.
    pub(crate) fn memory(&self) -> usize {
        self.pieces.len() * PIECE * size_of::<Conn<A>>()
            + (self.index.capacity() + self.free.capacity()) * size_of::<u32>()
    }

    /// The connection of `entry`, by its slot.
    #[inline]
    pub(crate) fn find(&self, entry: &Entry) -> Option<u32> {
        let mask = self.index.len() - 1;
        let mut at = key_hash::<A>(entry) as usize & mask;
        loop {
            let slot = *self.index.get(at)?;
            let conn = self.get(slot)?;
            if conn.is_of(entry) {
                return Some(slot);
            }
            at = (at + 1) & mask;
        }
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&Conn<A>> {
        let slot = slot as usize;
        self.pieces.get(slot / PIECE)?.get(slot % PIECE)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Conn<A>> {
        let slot = slot as usize;
        self.pieces.get_mut(slot / PIECE)?.get_mut(slot % PIECE)
    }

    /// Adds a connection that is not there yet.
    pub(crate) fn insert(&mut self, conn: Conn<A>) {
        if (self.used + 1) * 8 > self.index.len() * 7 {
            self.grow();
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                if self.pieces.last().is_none_or(|p| p.len() == PIECE) {
                    self.pieces.push(Vec::with_capacity(PIECE));
                }
                let last = self.pieces.len() - 1;
                let piece = &mut self.pieces[last];
                piece.push(Conn::default());
                (last * PIECE + piece.len() - 1) as u32
            }
        };
        if let Some(place) = self.get_mut(slot) {
            *place = conn;
        }
        self.link(slot, conn.hash());
        self.used += 1;
    }

    /// Takes a connection out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Conn<A>> {
        let conn = *self.get(slot)?;
        if !conn.flags.has(Flags::LIVE) {
            return None;
        }
        self.unlink(slot, conn.hash());
        if let Some(place) = self.get_mut(slot) {
            place.flags = Flags::default();
        }
        self.free.push(slot);
        self.used -= 1;
        Some(conn)
    }

    /// Slots that there are, in use or not.
    pub(crate) fn slots(&self) -> u32 {
        let full = self.pieces.len().saturating_sub(1) * PIECE;
        (full + self.pieces.last().map_or(0, Vec::len)) as u32
    }

    /// The connection in `slot`, if it is in use.
    #[inline]
    pub(crate) fn live(&self, slot: u32) -> Option<&Conn<A>> {
        self.get(slot).filter(|c| c.flags.has(Flags::LIVE))
    }

    fn link(&mut self, slot: u32, hash: u64) {
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(place) = self.index.get_mut(at) {
            if *place == EMPTY {
                *place = slot;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Removes `slot` from the index and moves those behind it back, so that no gap hides them.
    fn unlink(&mut self, slot: u32, hash: u64) {
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        while self.index.get(at).is_some_and(|s| *s != slot) {
            if self.index[at] == EMPTY {
                return;
            }
            at = (at + 1) & mask;
        }
        let mut hole = at;
        loop {
            at = (at + 1) & mask;
            let moved = self.index[at];
            if moved == EMPTY {
                break;
            }
            let home = self.get(moved).map_or(0, Conn::hash) as usize & mask;
            // It may move if its home is not between the hole and where it is.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.index[hole] = moved;
                hole = at;
            }
        }
        self.index[hole] = EMPTY;
    }

    fn grow(&mut self) {
        self.index = vec![EMPTY; self.index.len() * 2];
        for slot in 0..self.slots() {
            if let Some(hash) = self.live(slot).map(Conn::hash) {
                self.link(slot, hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn entry(n: u32, is_v6: bool) -> Entry {
        let addr = |a: u32| if is_v6 { Addr::V6(u128::from(a) << 70) } else { Addr::V4(a) };
        let orig =
            Tuple { src: addr(n % 7), dst: addr(n % 3), src_port: n as u16, ..Tuple::default() };
        Entry { orig, reply: orig, id: n / 4, zone: (n % 2) as u16, ..Entry::default() }
    }

    /// The table against a map, with keys that collide often.
    fn agrees_with_a_map<A: Width>(is_v6: bool) {
        let mut table = Table::<A>::new();
        let mut map = HashMap::new();
        let mut random = 12345u64;
        for step in 0..60_000u64 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let n = (random >> 33) as u32 % 3000;
            let e = entry(n, is_v6);
            let found = table.find(&e);
            assert_eq!(found.is_some(), map.contains_key(&n), "step {step}");
            // Grows at first, shrinks later.
            if random >> 60 < if step < 30_000 { 10 } else { 6 } {
                if found.is_none() {
                    let mut conn = Conn::new(&e);
                    conn.start_ns = step;
                    table.insert(conn);
                    map.insert(n, step);
                }
            } else if let Some(slot) = found {
                let conn = table.remove(slot).unwrap();
                assert_eq!(Some(conn.start_ns), map.remove(&n));
                assert_eq!(conn.entry(), e);
            }
            assert_eq!(table.len(), map.len());
        }
        let live = (0..table.slots()).filter(|s| table.live(*s).is_some()).count();
        assert_eq!(live, map.len());
        for (n, step) in &map {
            let slot = table.find(&entry(*n, is_v6)).unwrap();
            assert_eq!(table.get(slot).unwrap().start_ns, *step);
        }
    }

    #[test]
    fn narrow_table_agrees_with_a_map() {
        agrees_with_a_map::<u32>(false);
    }

    #[test]
    fn wide_table_agrees_with_a_map() {
        agrees_with_a_map::<u128>(true);
    }

    #[test]
    fn a_connection_is_as_small_as_promised() {
        assert_eq!(size_of::<Conn<u32>>(), 128);
        assert_eq!(size_of::<Conn<u128>>(), 176);
    }
}
