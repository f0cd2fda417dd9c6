//! The ports of fragments: only the first one of a packet has them, the others are known by its
//! identification.

use record::Addr;
use wire::packet::Ip;

use crate::key::Ports;

/// First fragments that are remembered at once.
const ROOM: usize = 4096;
/// Those that share a place, of which the oldest goes.
const WAYS: usize = 4;
/// How long one is remembered: as long as hosts wait for the rest (RFC 8200, 4.5: 60 s; RFC 791, 3.2:
/// 15 s).
const AGE_NS: u64 = 30_000_000_000;

#[derive(Clone, Copy, Debug)]
struct First {
    src: Addr,
    dst: Addr,
    id: u32,
    /// Protocol, as the fragment says it. IPv6 has none that all fragments agree on.
    proto: Option<u8>,
    /// What the packet is, and its protocol.
    is: (Ports, u8),
    seen_ns: u64,
}

impl First {
    fn is_of(&self, ip: &Ip, id: u32) -> bool {
        self.id == id && self.src == ip.src && self.dst == ip.dst && self.proto == proto(ip)
    }
}

/// First fragments of late. Takes no memory before the first.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    firsts: Vec<Option<First>>,
    seed: u64,
}

impl Fragments {
    pub(crate) fn new(seed: u64) -> Self {
        Self { firsts: Vec::new(), seed: seed | 1 }
    }

    pub(crate) fn memory(&self) -> usize {
        self.firsts.capacity() * size_of::<Option<First>>()
    }

    /// Ports and protocol of a fragment, at this time. `has` are those it has itself. `None` if the
    /// first fragment did not come yet or is forgotten.
    pub(crate) fn ports(&mut self, ip: &Ip, has: Ports, now_ns: u64) -> Option<(Ports, u8)> {
        let fragment = ip.fragment?;
        if fragment.offset == 0 && !fragment.more {
            return Some((has, ip.proto));
        }
        if fragment.offset == 0 {
            self.note(ip, fragment.id, (has, ip.proto), now_ns);
            return Some((has, ip.proto));
        }
        let is_young = |first: &&First| now_ns.abs_diff(first.seen_ns) <= AGE_NS;
        let mut places = self.places(ip, fragment.id)?.iter().flatten();
        places.find(|first| first.is_of(ip, fragment.id)).filter(is_young).map(|first| first.is)
    }

    #[cold]
    fn note(&mut self, ip: &Ip, id: u32, is: (Ports, u8), seen_ns: u64) {
        if self.firsts.is_empty() {
            self.firsts = vec![None; ROOM];
        }
        let Some(places) = self.places(ip, id) else { return };
        // The same packet, else a free place, else the oldest.
        let age = |place: &Option<First>| match place {
            Some(first) if first.is_of(ip, id) => (0, 0),
            None => (1, 0),
            Some(first) => (2, first.seen_ns),
        };
        if let Some(place) = places.iter_mut().min_by_key(|place| age(place)) {
            let (src, dst) = (ip.src, ip.dst);
            *place = Some(First { src, dst, id, proto: proto(ip), is, seen_ns });
        }
    }

    fn places(&mut self, ip: &Ip, id: u32) -> Option<&mut [Option<First>]> {
        let mix = |sum: u64, n: u64| (sum ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let halves = |addr| match addr {
            Addr::V4(n) => [u64::from(n), 0],
            Addr::V6(n) => [n as u64, (n >> 64) as u64],
        };
        let parts = halves(ip.src).into_iter().chain(halves(ip.dst)).chain([u64::from(id)]);
        let hash = parts.fold(self.seed, mix);
        let at = hash as usize % (ROOM / WAYS) * WAYS;
        self.firsts.get_mut(at..at + WAYS)
    }
}

fn proto(ip: &Ip) -> Option<u8> {
    matches!(ip.src, Addr::V4(_)).then_some(ip.proto)
}
