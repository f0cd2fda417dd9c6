//! Entries of the cache: how one conversation lies in memory, and where all of them are.
//!
//! A packet of a known conversation changes the hot part only, one cache line. What is written once
//! a direction, and what expiry needs, is in the cold part beside it. IPv6 addresses have a third
//! place, which only conversations over IPv6 take; what few conversations have at all is in a fourth.
//! Entries lie in chunks that never move, so that memory grows without a second copy.
//!
//! Of each pair, the first is of the side with the lower endpoint: see [`Key`].

use record::Mac;
use sys::memory::{prefer_huge_pages, prefetch};
use wire::packet::{Packet, Tunnel};

use crate::Labels;
use crate::index::SLOTS;
use crate::key::{Ends, HIGH, Key, LOW, vlans};
use crate::quick::{self, Family};
use crate::wheel::{Links, NIL};

/// What every packet changes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Hot {
    pub(crate) key: Key,
    /// Latest time of a packet, nanoseconds since 1970.
    pub(crate) last_ns: u64,
    /// Of each side, since they were carried over to [`Rare`].
    pub(crate) packets: [u32; 2],
    pub(crate) octets: [u32; 2],
    /// Low bits of the tick of the last packet.
    pub(crate) seen: u32,
    /// Where the IPv6 addresses are, if it has some.
    wide: u32,
    pub(crate) state: u16,
    pub(crate) flags: [u8; 2],
    pub(crate) min_ttl: [u8; 2],
    pub(crate) max_ttl: [u8; 2],
}

impl Hot {
    /// An entry in use without a packet.
    pub(crate) const fn new(key: Key, time_ns: u64, tick: u64, state: u16) -> Self {
        Self {
            key,
            last_ns: time_ns,
            packets: [0; 2],
            octets: [0; 2],
            seen: tick as u32,
            wide: NIL,
            state: state | state::USED,
            flags: [0; 2],
            min_ttl: [u8::MAX; 2],
            max_ttl: [0; 2],
        }
    }
}

const _: () = assert!(size_of::<Hot>() == 64);
const _: () = assert!(size_of::<Cold>() <= 80);

/// Bits of [`Hot::state`].
pub(crate) mod state {
    /// The entry is in use.
    pub(crate) const USED: u16 = 1;
    /// The initiator is the side with the higher endpoint.
    pub(crate) const INITIATOR_HIGH: u16 = 1 << 1;
    /// A RST was seen.
    pub(crate) const RESET: u16 = 1 << 2;
    /// A FIN was seen of a side: this bit, shifted by the side.
    pub(crate) const FIN: u16 = 1 << 3;
    pub(crate) const FINS: u16 = FIN | FIN << 1;
    /// Counters are at 0 since the active timeout.
    pub(crate) const PAUSED: u16 = 1 << 5;
    /// Fragment flags of a side: this, shifted by twice the side.
    pub(crate) const DONT_FRAGMENT: u16 = 1 << 6;
    pub(crate) const MORE_FRAGMENTS: u16 = 1 << 7;
    /// Direction of the first packet of a side: these, shifted by twice the side.
    pub(crate) const INBOUND: u16 = 1 << 10;
    pub(crate) const OUTBOUND: u16 = 1 << 11;
    /// What the active timeout leaves as it is.
    pub(crate) const KEPT: u16 = USED | INITIATOR_HIGH | CLOSING;
    /// A bit of what changes how long a conversation may be idle.
    pub(crate) const CLOSING: u16 = RESET | FINS;
}

/// What is needed when a conversation begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cold {
    /// Earliest time of a packet, nanoseconds since 1970.
    pub(crate) first_ns: u64,
    /// Low bits of its number.
    pub(crate) id: u32,
    pub(crate) links: Links,
    /// Low bits of the tick of the first packet.
    pub(crate) begun: u32,
    /// Low bits of the tick of the first packet after the active timeout.
    pub(crate) since: u32,
    /// Where its [`Rare`] is.
    rare: u32,
    pub(crate) sides: [ColdSide; 2],
}

/// The first packet of a direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ColdSide {
    src_mac: [u8; 6],
    dst_mac: [u8; 6],
    pub(crate) vlan: u16,
    pub(crate) inner_vlan: u16,
    /// Type of service in the upper 8 bits, flow label in the lower 20.
    tos_and_label: u32,
    pub(crate) interface: u32,
}

impl ColdSide {
    pub(crate) fn new(packet: &Packet<'_>, tos: u8, interface: u32) -> Self {
        let (vlan, inner_vlan) = vlans(&packet.link);
        let flow_label = packet.ip.map_or(0, |ip| ip.flow_label);
        Self {
            src_mac: octets(packet.link.src_mac.map_or(0, |mac| mac.0)),
            dst_mac: octets(packet.link.dst_mac.map_or(0, |mac| mac.0)),
            vlan,
            inner_vlan,
            tos_and_label: u32::from(tos) << 24 | flow_label,
            interface,
        }
    }

    /// That of a plain frame: see [`quick`].
    pub(crate) fn plain(frame: &[u8], is_v6: bool, tos: u8, interface: u32) -> Option<Self> {
        let family = if is_v6 { Family::V6 } else { Family::V4 };
        let (dst_mac, src_mac, flow_label) = quick::rest(frame, family)?;
        let tos_and_label = u32::from(tos) << 24 | flow_label;
        Some(Self { src_mac, dst_mac, vlan: 0, inner_vlan: 0, tos_and_label, interface })
    }

    pub(crate) const fn tos(&self) -> u8 {
        (self.tos_and_label >> 24) as u8
    }

    pub(crate) const fn flow_label(&self) -> u32 {
        self.tos_and_label & 0xf_ffff
    }

    /// Source and destination; a MAC address of zeros is none.
    pub(crate) fn macs(&self) -> [Option<Mac>; 2] {
        let mac = |octets| match number(octets) {
            0 => None,
            number => Some(Mac(number)),
        };
        [mac(&self.src_mac), mac(&self.dst_mac)]
    }
}

const fn octets(mac: u64) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = mac.to_be_bytes();
    [a, b, c, d, e, f]
}

const fn number(mac: &[u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = *mac;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// What few conversations have: labels, a tunnel, more octets than the hot part has room for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rare {
    pub(crate) packets: [u64; 2],
    pub(crate) octets: [u64; 2],
    pub(crate) labels: [Labels; 2],
    /// As seen from the lower side.
    pub(crate) tunnel: Option<Tunnel>,
}

#[derive(Debug)]
struct Chunk {
    hot: Vec<Hot>,
    cold: Vec<Cold>,
}

/// IPv6 addresses. Of a free place, the first number is the free place before it.
#[derive(Debug)]
struct Wides {
    chunks: Vec<Vec<[u128; 2]>>,
    /// Places of a full chunk, as a power of two.
    shift: u32,
    /// Places that were ever in use.
    high: u32,
    free: u32,
}

impl Wides {
    const fn new(shift: u32) -> Self {
        Self { chunks: Vec::new(), shift, high: 0, free: NIL }
    }

    #[inline]
    fn get(&self, at: u32) -> Option<&[u128; 2]> {
        self.chunks.get((at >> self.shift) as usize)?.get((at & ((1 << self.shift) - 1)) as usize)
    }

    fn get_mut(&mut self, at: u32) -> Option<&mut [u128; 2]> {
        let place = (at & ((1 << self.shift) - 1)) as usize;
        self.chunks.get_mut((at >> self.shift) as usize)?.get_mut(place)
    }

    fn add(&mut self, wide: [u128; 2]) -> u32 {
        let free = self.free;
        if let Some(place) = self.get_mut(free) {
            let [before, _] = std::mem::replace(place, wide);
            self.free = before as u32;
            return free;
        }
        let at = self.high;
        if at & ((1 << self.shift) - 1) == 0 {
            let mut chunk = Vec::with_capacity(1 << self.shift);
            prefer_huge_pages::<[u128; 2]>(chunk.spare_capacity_mut());
            self.chunks.push(chunk);
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(wide);
        }
        self.high += 1;
        at
    }

    /// Frees a place; nothing if there is none.
    fn free(&mut self, at: u32) {
        let before = u128::from(self.free);
        if let Some(place) = self.get_mut(at) {
            *place = [before, 0];
            self.free = at;
        }
    }
}

/// All entries.
#[derive(Debug)]
pub(crate) struct Slab {
    chunks: Vec<Chunk>,
    wides: Wides,
    /// Entries of a full chunk, as a power of two.
    shift: u32,
    len: usize,
    /// Entries that were ever in use.
    high: u32,
    /// Freed entries, linked by their `seen`.
    free: u32,
    rare: Vec<Rare>,
    free_rare: Vec<u32>,
}

/// Entries of a chunk at most, as a power of two: 16 MiB of hot parts.
const LARGEST: u32 = 18;
const SMALLEST: u32 = 6;
/// Octets of a conversation over IPv6, with at most three words of the index.
pub(crate) const FLOW: usize = size_of::<Hot>() + size_of::<Cold>() + 32 + 3 * 8;
const _: () = assert!(FLOW <= 200);

impl Slab {
    /// For about `entries` of them.
    pub(crate) fn new(entries: usize) -> Self {
        let shift = entries.next_power_of_two().ilog2().clamp(SMALLEST, LARGEST);
        Self {
            chunks: Vec::new(),
            wides: Wides::new(shift),
            shift,
            len: 0,
            high: 0,
            free: NIL,
            rare: Vec::new(),
            free_rare: Vec::new(),
        }
    }

    /// Entries in use.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Where no entry ever was: all places lie below.
    pub(crate) const fn high(&self) -> u32 {
        self.high
    }

    /// Octets that entries take: those that were ever in use, with what few have.
    pub(crate) fn memory(&self) -> usize {
        self.high as usize * (size_of::<Hot>() + size_of::<Cold>())
            + self.wides.high as usize * size_of::<[u128; 2]>()
            + self.rare.capacity() * size_of::<Rare>()
            + self.free_rare.capacity() * 4
    }

    /// Octets that entries in use may take, with their share of the index.
    pub(crate) const fn in_use(&self) -> usize {
        self.len * FLOW + (self.rare.len() - self.free_rare.len()) * size_of::<Rare>()
    }

    #[inline]
    const fn place(&self, slot: u32) -> (usize, usize) {
        ((slot >> self.shift) as usize, (slot & ((1 << self.shift) - 1)) as usize)
    }

    #[inline]
    pub(crate) fn hot(&self, slot: u32) -> &Hot {
        let (chunk, at) = self.place(slot);
        &self.chunks[chunk].hot[at]
    }

    #[inline]
    pub(crate) fn hot_mut(&mut self, slot: u32) -> &mut Hot {
        let (chunk, at) = self.place(slot);
        &mut self.chunks[chunk].hot[at]
    }

    #[inline]
    pub(crate) fn cold(&self, slot: u32) -> &Cold {
        let (chunk, at) = self.place(slot);
        &self.chunks[chunk].cold[at]
    }

    #[inline]
    pub(crate) fn cold_mut(&mut self, slot: u32) -> &mut Cold {
        let (chunk, at) = self.place(slot);
        &mut self.chunks[chunk].cold[at]
    }

    /// IPv6 addresses, the lower first.
    pub(crate) fn wide(&self, slot: u32) -> [u128; 2] {
        self.wides.get(self.hot(slot).wide).copied().unwrap_or_default()
    }

    pub(crate) fn rare(&self, slot: u32) -> Option<&Rare> {
        self.rare.get(self.cold(slot).rare as usize)
    }

    /// The rare part, made if there is none.
    pub(crate) fn rare_mut(&mut self, slot: u32) -> &mut Rare {
        let mut at = self.cold(slot).rare;
        if at == NIL {
            at = self.free_rare.pop().unwrap_or_else(|| {
                self.rare.push(Rare::default());
                (self.rare.len() - 1) as u32
            });
            self.cold_mut(slot).rare = at;
        }
        &mut self.rare[at as usize]
    }

    /// Brings what a packet of this entry will need.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        let (chunk, at) = self.place(slot);
        if let Some(hot) = self.chunks.get(chunk).and_then(|chunk| chunk.hot.get(at)) {
            prefetch(hot);
        }
    }

    /// Brings the IPv6 addresses of an entry that is there already.
    #[inline]
    pub(crate) fn prefetch_wide(&self, slot: u32) {
        if let Some(wide) = self.wides.get(self.hot(slot).wide) {
            prefetch(wide);
        }
    }

    /// Brings what the end of this entry will need.
    #[inline]
    pub(crate) fn prefetch_all(&self, slot: u32) {
        self.prefetch(slot);
        let (chunk, at) = self.place(slot);
        if let Some(cold) = self.chunks.get(chunk).and_then(|chunk| chunk.cold.get(at)) {
            prefetch(&cold.first_ns);
            prefetch(&cold.sides[HIGH].interface);
        }
    }

    /// Whether an entry is the conversation of this key.
    #[inline]
    pub(crate) fn is(&self, slot: u32, key: &Key, ends: &Ends, macs: bool) -> bool {
        let hot = self.hot(slot);
        if hot.key != *key {
            return false;
        }
        if key.is_v6() && self.wides.get(hot.wide) != Some(&ends.wide) {
            return false;
        }
        !macs || {
            let low = &self.cold(slot).sides[LOW];
            [number(&low.src_mac), number(&low.dst_mac)] == ends.macs
        }
    }

    /// Puts an entry in a free place. The caller has made sure that there are fewer than [`SLOTS`].
    pub(crate) fn add(&mut self, hot: Hot, cold: Cold, ends: &Ends) -> u32 {
        let wide = if hot.key.is_v6() { self.wides.add(ends.wide) } else { NIL };
        let hot = Hot { wide, ..hot };
        let slot = if self.free == NIL { self.push(hot, cold) } else { self.reuse(hot, cold) };
        self.len += 1;
        slot
    }

    fn reuse(&mut self, hot: Hot, cold: Cold) -> u32 {
        let slot = self.free;
        self.free = self.hot(slot).seen;
        *self.hot_mut(slot) = hot;
        *self.cold_mut(slot) = cold;
        slot
    }

    fn push(&mut self, hot: Hot, cold: Cold) -> u32 {
        let slot = self.high;
        debug_assert!(slot < SLOTS, "the limit of entries is below that");
        let (chunk, at) = self.place(slot);
        if at == 0 {
            let len = 1 << self.shift;
            let (mut hot, mut cold) = (Vec::with_capacity(len), Vec::with_capacity(len));
            prefer_huge_pages::<Hot>(hot.spare_capacity_mut());
            prefer_huge_pages::<Cold>(cold.spare_capacity_mut());
            self.chunks.push(Chunk { hot, cold });
        }
        let chunk = &mut self.chunks[chunk];
        chunk.hot.push(hot);
        chunk.cold.push(cold);
        self.high += 1;
        slot
    }

    /// Frees an entry.
    pub(crate) fn free(&mut self, slot: u32) {
        let rare = self.cold(slot).rare;
        if rare != NIL {
            self.rare[rare as usize] = Rare::default();
            self.free_rare.push(rare);
        }
        self.wides.free(self.hot(slot).wide);
        let free = self.free;
        let hot = self.hot_mut(slot);
        // Nobody finds it any more, whoever still knows the slot.
        hot.key = Key::NONE;
        hot.wide = NIL;
        hot.state = 0;
        hot.seen = free;
        self.free = slot;
        self.len -= 1;
    }

    /// The entry in use after a place, where the first follows the last; `None` without any.
    pub(crate) fn next_used(&self, after: u32) -> Option<u32> {
        let mut slot = after;
        for _ in 0..self.high {
            slot = if slot.wrapping_add(1) >= self.high { 0 } else { slot + 1 };
            if self.hot(slot).state & state::USED != 0 {
                return Some(slot);
            }
        }
        None
    }

    /// Whether there is an entry in this place.
    pub(crate) fn is_used(&self, slot: u32) -> bool {
        slot < self.high && self.hot(slot).state & state::USED != 0
    }

    /// All entries in use.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.high).filter(|slot| self.hot(*slot).state & state::USED != 0)
    }
}

impl Cold {
    pub(crate) fn new(first_ns: u64, id: u64, tick: u64) -> Self {
        Self {
            first_ns,
            id: id as u32,
            links: Links::default(),
            begun: tick as u32,
            since: tick as u32,
            rare: NIL,
            sides: Default::default(),
        }
    }

    /// Notes the addresses that the key has, for both sides.
    pub(crate) fn set_macs(&mut self, [low, high]: [u64; 2]) {
        for (side, src, dst) in [(LOW, low, high), (HIGH, high, low)] {
            self.sides[side].src_mac = octets(src);
            self.sides[side].dst_mac = octets(dst);
        }
    }
}
