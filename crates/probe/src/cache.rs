//! The conversations that are going on: how packets find theirs and are counted there. How
//! conversations leave is in `expiry`.

#[cfg(test)]
mod tests;

use capture::{Direction, Packet};
use record::Addr;
use wire::packet::{self, Cause, Depth, Ip, LinkType, Transport};

use crate::clock::{BACK_NS, Clock};
use crate::dedup::{Dedup, Recent};
use crate::entry::{Cold, ColdSide, Hot, Slab, state};
use crate::fragments::Fragments;
use crate::index::{Index, SLOTS};
use crate::key::{Around, Ends, HIGH, Key, Keyer, LOW, Ports, Sides};
use crate::quick::{self, Family, Plain};
use crate::sampling::{Lots, Sampler};
use crate::timeouts::Rules;
use crate::wheel::{NIL, Wheel};
use crate::{CacheStats, Ended, Labels, Level, Reason, Sampling, Side, Timeouts};

/// The rules of a cache.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheConfig {
    /// What tells conversations apart.
    pub level: Level,
    /// When they end.
    pub timeouts: Timeouts,
    /// The most conversations at once, at least 1. When there are as many, one has to go for a new
    /// one: of some that are looked at in turn, the one that is idle for the longest time.
    pub max_flows: usize,
    /// The most octets of memory for conversations. `None` leaves it to `max_flows`: less than 200
    /// octets for each, and as many again for those with MPLS labels or in a tunnel.
    pub max_memory: Option<u64>,
    /// Which packets are looked at.
    pub sampling: Sampling,
    /// How far into tunnels.
    pub depth: Depth,
    /// Whether copies of a packet are passed over.
    pub dedup: Option<Dedup>,
    /// Whether IPv6 is counted; otherwise it is "non-IP", as softflowd has it for exports that cannot
    /// carry it.
    pub ipv6: bool,
    /// Whether a conversation ends with 2^31 octets in one direction, as in softflowd. Needed where
    /// counters of 32 bits are exported.
    pub over_2_gib: bool,
    /// What is known of interfaces.
    pub interfaces: InterfaceIndex,
    /// Makes hashes and random samples unlike those of others. Whoever does not know it cannot make
    /// conversations collide, so it should be random; equal seeds make equal results.
    pub seed: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            level: Level::default(),
            timeouts: Timeouts::default(),
            max_flows: Self::MAX_FLOWS,
            max_memory: None,
            sampling: Sampling::Off,
            depth: Depth::Outer,
            dedup: None,
            ipv6: true,
            over_2_gib: false,
            interfaces: InterfaceIndex::Unknown,
            seed: 0,
        }
    }
}

impl CacheConfig {
    /// Conversations at once, if nothing else is asked for.
    pub const MAX_FLOWS: usize = 1 << 20;
    /// As many as softflowd has by default.
    pub const SOFTFLOWD_MAX_FLOWS: usize = 8192;
}

/// What the number of a packet's interface means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterfaceIndex {
    /// Nothing, as in files.
    #[default]
    Unknown,
    /// All packets come in and go out by this one (softflowd's `-i IDX:IF`).
    Fixed(u32),
    /// It is the index of the interface. Packets come in by the one where they were seen first
    /// inbound, and go out by the one where they were seen first outbound, or their answers inbound.
    /// Where captures do not tell directions, all packets count as inbound.
    OfPacket,
}

/// A conversation in the cache, and when it will end if no more packets come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pending {
    /// What there is to say of it. Its reason is the one it will be handed over for.
    pub flow: Ended,
    /// When, in nanoseconds since 1970.
    pub due_ns: u64,
}

/// The flow cache: see the crate.
#[derive(Debug)]
pub struct Cache {
    pub(crate) config: CacheConfig,
    pub(crate) stats: CacheStats,
    pub(crate) slab: Slab,
    pub(crate) index: Index,
    pub(crate) wheel: Wheel,
    pub(crate) clock: Clock,
    pub(crate) rules: Rules,
    pub(crate) keyer: Keyer,
    /// Whether frames may be read the short way.
    is_quick: bool,
    sampler: Sampler,
    fragments: Fragments,
    recent: Option<Recent>,
    /// Where the search for the one to go begins.
    pub(crate) hand: u32,
    seen: Vec<Seen>,
    /// Of those in `seen`, where the conversation has ends beside its key.
    ends: Vec<Ends>,
}

/// Packets that are worked on together: what is needed for the last of them is on its way from memory
/// while the first is counted.
const BATCH: usize = 64;

/// What counting needs to know of a packet.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Seen {
    key: Key,
    time_ns: u64,
    tick: u64,
    tag: u32,
    /// Where its conversation may be, or [`NIL`].
    slot: u32,
    octets: u32,
    /// Bits of the state, of the first side.
    fragment: u16,
    /// Which of the batch it is.
    at: u8,
    tos: u8,
    ttl: u8,
    tcp_flags: u8,
    sides: Sides,
    /// The short way has read it.
    is_plain: bool,
}

const _: () = assert!(size_of::<Seen>() == 64);

impl Seen {
    const NONE: Self = Self {
        key: Key::NONE,
        time_ns: 0,
        tick: 0,
        tag: 0,
        slot: NIL,
        octets: 0,
        fragment: 0,
        at: 0,
        tos: 0,
        ttl: 0,
        tcp_flags: 0,
        sides: Sides { sender: 0, initiator: 0 },
        is_plain: false,
    };
}

impl Cache {
    /// An empty cache.
    pub fn new(config: CacheConfig) -> Self {
        let mut lots = Lots(config.seed);
        let max_flows = config.max_flows.clamp(1, SLOTS as usize);
        Self {
            stats: CacheStats::default(),
            slab: Slab::new(max_flows),
            index: Index::new(),
            wheel: Wheel::new(),
            clock: Clock::default(),
            rules: Rules::new(&config.timeouts),
            keyer: Keyer::new(config.level, lots.next()),
            is_quick: config.depth == Depth::Outer && config.level < Level::Ether,
            sampler: Sampler::new(config.sampling, lots.next()),
            fragments: Fragments::new(lots.next()),
            recent: config.dedup.map(|dedup| Recent::new(dedup, lots.next())),
            hand: 0,
            seen: vec![Seen::NONE; BATCH],
            ends: vec![Ends::default(); BATCH],
            config: CacheConfig { max_flows, ..config },
        }
    }

    /// The rules.
    pub const fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// What was counted.
    pub const fn stats(&self) -> &CacheStats {
        &self.stats
    }

    /// Counts packets. Their times are the clock of the cache: what is due by then is handed to
    /// `out` before the packet is counted, so that results depend on packets alone and not on how
    /// many of them come at once.
    pub fn observe(&mut self, packets: &[Packet<'_>], out: &mut dyn FnMut(&Ended)) {
        let mut seen = std::mem::take(&mut self.seen);
        for batch in packets.chunks(BATCH) {
            let mut count = 0;
            for (at, packet) in (0..).zip(batch) {
                let Some(place) = seen.get_mut(count) else { break };
                if self.read(at, packet, place) {
                    self.index.prefetch(place.tag);
                    count += 1;
                }
            }
            let Some(seen) = seen.get_mut(..count) else { break };
            self.look_up(seen);
            for seen in &*seen {
                if let Some(packet) = batch.get(usize::from(seen.at)) {
                    self.count(seen, packet, out);
                }
            }
        }
        self.seen = seen;
        self.note_sizes();
    }

    /// Finds the entries that packets may be of, and has them brought.
    #[inline]
    fn look_up(&self, seen: &mut [Seen]) {
        let mut are_wide = false;
        for seen in &mut *seen {
            seen.slot = self.index.first(seen.tag).unwrap_or(NIL);
            if seen.slot != NIL {
                self.slab.prefetch(seen.slot);
                are_wide |= seen.key.is_v6();
            }
        }
        if are_wide {
            let wide = seen.iter().filter(|seen| seen.slot != NIL && seen.key.is_v6());
            wide.for_each(|seen| self.slab.prefetch_wide(seen.slot));
        }
    }

    /// Reads a packet into `seen`. `false` if it is not to be counted in a conversation, for a reason
    /// that was counted instead.
    #[inline]
    fn read(&mut self, at: u8, frame: &Packet<'_>, seen: &mut Seen) -> bool {
        if !self.sampler.takes() {
            self.stats.non_sampled += 1;
            return false;
        }
        self.stats.processed += 1;
        seen.at = at;
        (seen.time_ns, seen.tick) = self.clock.set(frame.time_ns);
        if self.is_quick && frame.link == ETHERNET {
            match quick::family(frame.bytes) {
                Family::V4 => {
                    if let Some(plain) = quick::v4(frame.bytes, frame.wire_len) {
                        (seen.key, seen.sides) = self.keyer.plain_v4(&plain);
                        return self.read_plain(&plain, frame, seen);
                    }
                }
                Family::V6 => {
                    if let Some(plain) = quick::v6(frame.bytes, frame.wire_len) {
                        let (key, sides, wide) = self.keyer.plain_v6(&plain);
                        (seen.key, seen.sides) = (key, sides);
                        self.set_ends(at, Ends { wide, ..Ends::default() });
                        return self.read_plain(&plain, frame, seen);
                    }
                }
                Family::Other => {}
            }
        }
        self.read_any(frame, seen)
    }

    /// The rest of a plain packet.
    #[inline]
    fn read_plain<A>(&mut self, plain: &Plain<A>, frame: &Packet<'_>, seen: &mut Seen) -> bool {
        if self.is_unwanted(seen.key.is_v6(), (quick::AT, plain.octets), frame, seen.time_ns) {
            return false;
        }
        self.stats.octets += u64::from(plain.octets);
        seen.tag = self.keyer.hash(&seen.key);
        seen.octets = plain.octets;
        seen.fragment = if plain.dont_fragment { state::DONT_FRAGMENT } else { 0 };
        (seen.tos, seen.ttl) = (plain.tos, plain.ttl);
        seen.tcp_flags = self.keyer.flags(plain.tcp_flags);
        seen.is_plain = true;
        true
    }

    /// Whether a packet is not to be counted though it can be, which is counted. `place` is where its
    /// IP header begins, and the octets from there.
    #[inline]
    fn is_unwanted(
        &mut self,
        is_v6: bool,
        place: (u32, u32),
        frame: &Packet<'_>,
        time_ns: u64,
    ) -> bool {
        if is_v6 && !self.config.ipv6 {
            self.stats.non_ip += 1;
            return true;
        }
        if let Some(recent) = &mut self.recent
            && recent.is_copy(place, frame.bytes, time_ns)
        {
            self.stats.duplicates += 1;
            return true;
        }
        false
    }

    /// A packet of any kind: what is read of plain ones is what is read here.
    #[inline(never)]
    fn read_any(&mut self, frame: &Packet<'_>, seen: &mut Seen) -> bool {
        let Some((ip, transport, around)) = self.decode(frame) else { return false };
        let is_v6 = matches!(ip.src, Addr::V6(_));
        if self.is_unwanted(is_v6, (ip.at, ip.octets), frame, seen.time_ns) {
            return false;
        }
        self.stats.octets += u64::from(ip.octets);
        let (ports, proto) = self.ports(&ip, transport, seen.time_ns);
        let ip = Ip { proto, ..ip };
        let keyed = self.keyer.key(&around, &ip, transport, ports);
        self.set_ends(seen.at, keyed.ends);
        (seen.key, seen.sides) = (keyed.key, keyed.sides);
        seen.tag = self.keyer.hash(&keyed.key);
        seen.octets = ip.octets;
        seen.fragment = fragment_bits(&ip);
        (seen.tos, seen.ttl) = (ip.tos, ip.ttl);
        seen.tcp_flags = match transport {
            Transport::Tcp { flags: Some(flags), .. } if keyed.key.proto() == TCP => flags,
            _ => 0,
        };
        seen.is_plain = false;
        true
    }

    #[inline]
    fn set_ends(&mut self, at: u8, ends: Ends) {
        if let Some(place) = self.ends.get_mut(usize::from(at)) {
            *place = ends;
        }
    }

    /// The long way, for packets of all kinds. `None` if there is no IP header, which is counted.
    #[inline(never)]
    fn decode(&mut self, frame: &Packet<'_>) -> Option<(Ip, Transport, Around)> {
        let packet = decode(frame, self.config.depth);
        if let Some(stop) = packet.stop {
            self.stats.stops[stop.cause as usize] += 1;
        }
        let Some(ip) = packet.ip else {
            let cause = packet.stop.map(|stop| stop.cause);
            let is_cut = matches!(cause, Some(Cause::Truncated | Cause::Malformed));
            let count = if is_cut { &mut self.stats.too_short } else { &mut self.stats.non_ip };
            *count += 1;
            return None;
        };
        Some((ip, packet.transport, self.keyer.around(&packet)))
    }

    /// Ports and protocol: a fragment's are those of the packet it is of.
    #[inline]
    fn ports(&mut self, ip: &Ip, transport: Transport, time_ns: u64) -> (Ports, u8) {
        let has = Ports::new(ip.proto, transport);
        if ip.fragment.is_none() { (has, ip.proto) } else { self.fragment(ip, has, time_ns) }
    }

    #[cold]
    fn fragment(&mut self, ip: &Ip, has: Ports, time_ns: u64) -> (Ports, u8) {
        self.stats.fragments += 1;
        let found = self.fragments.ports(ip, has, time_ns);
        self.stats.fragments_without_ports += u64::from(found.is_none());
        found.unwrap_or((has, ip.proto))
    }

    #[inline]
    fn count(&mut self, seen: &Seen, frame: &Packet<'_>, out: &mut dyn FnMut(&Ended)) {
        if seen.tick > self.wheel.now() {
            self.advance(seen.tick, out);
        }
        let Some(ends) = self.ends.get(usize::from(seen.at)) else { return };
        let (slab, macs) = (&self.slab, self.config.level == Level::Ether);
        let is = |slot: u32| slab.is(slot, &seen.key, ends, macs);
        let slot = if seen.slot != NIL && is(seen.slot) {
            seen.slot
        } else {
            match self.index.find(seen.tag, is) {
                Some(slot) => slot,
                None => self.begin(seen, out),
            }
        };
        self.update(slot, seen, frame, out);
    }

    /// Adds a packet to its conversation.
    #[inline]
    fn update(&mut self, slot: u32, seen: &Seen, frame: &Packet<'_>, out: &mut dyn FnMut(&Ended)) {
        let side = usize::from(seen.sides.sender) & 1;
        let hot = self.slab.hot_mut(slot);
        let (before, last_ns) = (hot.state, hot.last_ns);
        let is_first = hot.packets[side] == 0;
        hot.seen = seen.tick as u32;
        hot.last_ns = last_ns.max(seen.time_ns);
        hot.packets[side] += 1;
        let (octets, is_over) = hot.octets[side].overflowing_add(seen.octets);
        hot.octets[side] = octets;
        hot.flags[side] |= seen.tcp_flags;
        hot.min_ttl[side] = hot.min_ttl[side].min(seen.ttl);
        hot.max_ttl[side] = hot.max_ttl[side].max(seen.ttl);
        hot.state |= seen.fragment << (2 * side) | closing(seen.tcp_flags, side);
        let is_closing = (hot.state ^ before) & state::CLOSING != 0;
        let is_late = seen.time_ns < last_ns;
        let is_full = is_over || (hot.octets[side] | hot.packets[side]) >> 31 != 0;
        if is_first || is_closing || is_late || is_full {
            self.unusual(slot, seen, frame, is_over);
            // RST and FIN may bring the end closer, the active timeout begins anew.
            if is_closing || before & state::PAUSED != 0 {
                self.rearm(slot);
            }
            if is_full && self.config.over_2_gib {
                self.end(slot, Reason::Over2Gib, out);
            }
        }
    }

    /// What only few packets of a conversation ask for.
    #[inline(never)]
    fn unusual(&mut self, slot: u32, seen: &Seen, frame: &Packet<'_>, is_over: bool) {
        let side = usize::from(seen.sides.sender) & 1;
        let before = self.slab.hot(slot).state;
        if before & state::PAUSED != 0 {
            self.resume(slot, seen.time_ns, seen.tick);
        }
        if self.slab.hot(slot).packets[side] == 1 {
            self.note_side(slot, side, seen, frame);
        }
        let cold = self.slab.cold_mut(slot);
        if seen.time_ns < cold.first_ns && cold.first_ns - seen.time_ns < BACK_NS {
            cold.first_ns = seen.time_ns;
        }
        let hot = self.slab.hot_mut(slot);
        if is_over || (hot.octets[side] | hot.packets[side]) >> 31 != 0 {
            // One stays, for there were packets.
            let packets = u64::from(std::mem::replace(&mut hot.packets[side], 1)) - 1;
            let octets = u64::from(std::mem::take(&mut hot.octets[side]));
            let rare = self.slab.rare_mut(slot);
            rare.packets[side] += packets;
            rare.octets[side] += octets + (u64::from(is_over) << 32);
        }
    }

    /// Keeps what is kept of the first packet of a direction.
    fn note_side(&mut self, slot: u32, side: usize, seen: &Seen, frame: &Packet<'_>) {
        let hot = self.slab.hot_mut(slot);
        hot.state &= !((state::INBOUND | state::OUTBOUND) << (2 * side));
        hot.state |= direction_bits(frame.direction) << (2 * side);
        if seen.is_plain
            && let is_v6 = seen.key.is_v6()
            && let Some(new) = ColdSide::plain(frame.bytes, is_v6, seen.tos, frame.interface)
        {
            self.slab.cold_mut(slot).sides[side] = new;
            return;
        }
        let packet = decode(frame, self.config.depth);
        self.slab.cold_mut(slot).sides[side] = ColdSide::new(&packet, seen.tos, frame.interface);
        let labels = packet.link.labels();
        if !labels.is_empty() {
            self.slab.rare_mut(slot).labels[side] = Labels::new(labels);
        }
        if let Some(mut tunnel) = packet.tunnel
            && self.slab.rare(slot).is_none_or(|rare| rare.tunnel.is_none())
        {
            if side == HIGH {
                (tunnel.src, tunnel.dst) = (tunnel.dst, tunnel.src);
            }
            self.slab.rare_mut(slot).tunnel = Some(tunnel);
        }
    }

    /// A conversation begins with this packet, which is not counted yet.
    #[inline(never)]
    fn begin(&mut self, seen: &Seen, out: &mut dyn FnMut(&Ended)) -> u32 {
        self.make_room(out);
        self.stats.begun += 1;
        let is_high = usize::from(seen.sides.initiator) == HIGH;
        let state = if is_high { state::INITIATOR_HIGH } else { 0 };
        let hot = Hot::new(seen.key, seen.time_ns, seen.tick, state);
        let mut cold = Cold::new(seen.time_ns, self.stats.begun, seen.tick);
        let ends = self.ends.get(usize::from(seen.at)).copied().unwrap_or_default();
        if self.config.level == Level::Ether {
            cold.set_macs(ends.macs);
        }
        let slot = self.slab.add(hot, cold, &ends);
        self.index.insert(seen.tag, slot);
        self.stats.most_active = self.stats.most_active.max(self.slab.len() as u64);
        let due = self.due(slot).0;
        self.wheel.insert(&mut self.slab, slot, due);
        slot
    }

    /// The number of a conversation.
    pub(crate) fn number(&self, slot: u32) -> u64 {
        full_number(self.stats.begun, self.slab.cold(slot).id)
    }

    /// The conversation in an entry.
    pub(crate) fn ended(&self, slot: u32, reason: Reason) -> Ended {
        let (hot, cold) = (self.slab.hot(slot), self.slab.cold(slot));
        let initiator = if hot.state & state::INITIATOR_HIGH != 0 { HIGH } else { LOW };
        let responder = HIGH - initiator;
        let (from, to) = if hot.key.is_v6() {
            let addrs = self.slab.wide(slot);
            (Addr::V6(addrs[initiator]), Addr::V6(addrs[responder]))
        } else {
            let addrs = hot.key.v4();
            (Addr::V4(addrs[initiator]), Addr::V4(addrs[responder]))
        };
        let ports = hot.key.ports();
        let icmp = hot.key.icmp();
        let forward = self.side(slot, initiator, icmp.map(|icmp| icmp[0]));
        let backward = self.side(slot, responder, icmp.map(|icmp| icmp[1]));
        let (input, output) = self.interfaces(&forward, &backward);
        let mut tunnel = self.slab.rare(slot).and_then(|rare| rare.tunnel);
        if let Some(tunnel) = &mut tunnel
            && initiator == HIGH
        {
            (tunnel.src, tunnel.dst) = (tunnel.dst, tunnel.src);
        }
        Ended {
            id: self.number(slot),
            initiator: from,
            responder: to,
            src_port: ports[initiator],
            dst_port: ports[responder],
            proto: hot.key.proto(),
            forward,
            backward,
            first_ns: cold.first_ns,
            last_ns: hot.last_ns,
            reason,
            input,
            output,
            tunnel,
        }
    }

    #[inline]
    fn side(&self, slot: u32, side: usize, icmp: Option<(u8, u8)>) -> Side {
        let (hot, cold) = (self.slab.hot(slot), self.slab.cold(slot).sides[side]);
        let rare = self.slab.rare(slot);
        let packets = u64::from(hot.packets[side]) + rare.map_or(0, |rare| rare.packets[side]);
        if packets == 0 {
            return Side { icmp, ..Side::default() };
        }
        let octets = u64::from(hot.octets[side]) + rare.map_or(0, |rare| rare.octets[side]);
        let [src_mac, dst_mac] = cold.macs();
        Side {
            packets,
            octets,
            tos: cold.tos(),
            tcp_flags: hot.flags[side],
            min_ttl: hot.min_ttl[side],
            max_ttl: hot.max_ttl[side],
            fragment_flags: fragment_flags(hot.state, side),
            icmp,
            src_mac,
            dst_mac,
            vlan: cold.vlan,
            inner_vlan: cold.inner_vlan,
            flow_label: cold.flow_label(),
            interface: cold.interface,
            direction: direction(hot.state, side),
            labels: rare.map_or_else(Labels::default, |rare| rare.labels[side]),
        }
    }

    /// Interfaces by which packets of the initiator come in and go out. Answers go the other way.
    fn interfaces(&self, forward: &Side, backward: &Side) -> (u32, u32) {
        match self.config.interfaces {
            InterfaceIndex::Unknown => (0, 0),
            InterfaceIndex::Fixed(index) => (index, index),
            InterfaceIndex::OfPacket => {
                let (mut input, mut output) = (0, 0);
                let is_out = |side: &Side| side.direction == Direction::Outbound;
                for (side, is_output) in [(backward, !is_out(backward)), (forward, is_out(forward))]
                {
                    let place = if is_output { &mut output } else { &mut input };
                    *place = if side.interface == 0 { *place } else { side.interface };
                }
                // One link where nothing says which way a packet goes.
                let is_same = input == output && forward.direction == Direction::Unknown;
                (input, if is_same { 0 } else { output })
            }
        }
    }

    /// Octets of memory the cache holds.
    fn memory(&self) -> usize {
        self.slab.memory()
            + self.index.memory()
            + self.fragments.memory()
            + self.recent.as_ref().map_or(0, Recent::memory)
    }

    pub(crate) fn note_sizes(&mut self) {
        self.stats.active = self.slab.len() as u64;
        self.stats.memory = self.memory() as u64;
        self.stats.clock_steps = self.clock.steps();
    }
}

/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;
const TCP: u8 = 6;

#[inline]
fn decode<'a>(frame: &Packet<'a>, depth: Depth) -> packet::Packet<'a> {
    packet::decode(LinkType::from_dlt(frame.link), frame.bytes, frame.wire_len, depth)
}

/// What TCP flags say of how a conversation ends.
#[inline]
const fn closing(flags: u8, side: usize) -> u16 {
    const FIN: u8 = 1;
    const RST: u8 = 4;
    let reset = if flags & RST != 0 { state::RESET } else { 0 };
    let fin = if flags & FIN != 0 { state::FIN << side } else { 0 };
    reset | fin
}

#[inline]
fn fragment_bits(ip: &Ip) -> u16 {
    let dont = if ip.dont_fragment { state::DONT_FRAGMENT } else { 0 };
    let more = ip.fragment.is_some_and(|fragment| fragment.more);
    dont | if more { state::MORE_FRAGMENTS } else { 0 }
}

const fn direction_bits(direction: Direction) -> u16 {
    match direction {
        Direction::Unknown => 0,
        Direction::Inbound => state::INBOUND,
        Direction::Outbound => state::OUTBOUND,
    }
}

const fn direction(bits: u16, side: usize) -> Direction {
    match bits >> (2 * side) & (state::INBOUND | state::OUTBOUND) {
        state::INBOUND => Direction::Inbound,
        state::OUTBOUND => Direction::Outbound,
        _ => Direction::Unknown,
    }
}

/// Element 197, fragmentFlags.
const fn fragment_flags(bits: u16, side: usize) -> u8 {
    let bits = bits >> (2 * side);
    let dont = if bits & state::DONT_FRAGMENT != 0 { 0x40 } else { 0 };
    dont | if bits & state::MORE_FRAGMENTS != 0 { 0x20 } else { 0 }
}

/// The number of which the low bits are known, if it is not greater than `most`.
const fn full_number(most: u64, low: u32) -> u64 {
    most.wrapping_sub((most as u32).wrapping_sub(low) as u64)
}
