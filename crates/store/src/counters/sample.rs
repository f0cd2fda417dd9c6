//! One sample in a file: 112 octets, little-endian.

use crate::layout::{u32_at, u64_at};
use record::{Addr, InterfaceCounters, InterfaceSample};

/// Octets of a sample.
pub(super) const LEN: usize = 112;

/// Flag: the interface takes all packets.
const PROMISCUOUS: u8 = 1;

pub(super) fn encode(s: &InterfaceSample) -> [u8; LEN] {
    let (family, high, low) = match s.agent {
        Addr::V4(n) => (4, 0, u64::from(n)),
        Addr::V6(n) => (6, (n >> 64) as u64, n as u64),
    };
    let (i, o) = (&s.input, &s.output);
    let wide = |n: u64| n.to_le_bytes();
    let narrow = |n: u32| n.to_le_bytes();
    let of = |c: &InterfaceCounters| [c.unicast, c.multicast, c.broadcast, c.discards, c.errors];
    let mut out = [0; LEN];
    let octets = [s.time_ms, high, low]
        .into_iter()
        .flat_map(wide)
        .chain([s.exporter, s.index, s.kind, s.status].into_iter().flat_map(narrow))
        .chain([s.speed, i.octets, o.octets].into_iter().flat_map(wide))
        .chain(of(i).into_iter().chain(of(o)).chain([s.unknown_protos]).flat_map(narrow))
        .chain([s.direction.min(255) as u8, family, u8::from(s.is_promiscuous), 0]);
    for (room, octet) in out.iter_mut().zip(octets) {
        *room = octet;
    }
    out
}

/// Reads a sample; what follows it in a longer record is of a later version. `None` if there is
/// less, or no address.
pub(super) fn decode(b: &[u8]) -> Option<InterfaceSample> {
    let (wide, narrow) = (|at| u64_at(b, at), |at| u32_at(b, at));
    let [direction, family, flags, _] = *b.get(108..)?.first_chunk()?;
    let agent = match family {
        4 => Addr::V4(wide(16)? as u32),
        6 => Addr::V6(u128::from(wide(8)?) << 64 | u128::from(wide(16)?)),
        _ => return None,
    };
    let counters = |octets: usize, rest: usize| {
        Some(InterfaceCounters {
            octets: wide(octets)?,
            unicast: narrow(rest)?,
            multicast: narrow(rest + 4)?,
            broadcast: narrow(rest + 8)?,
            discards: narrow(rest + 12)?,
            errors: narrow(rest + 16)?,
        })
    };
    Some(InterfaceSample {
        time_ms: wide(0)?,
        exporter: narrow(24)?,
        agent,
        index: narrow(28)?,
        kind: narrow(32)?,
        status: narrow(36)?,
        speed: wide(40)?,
        input: counters(48, 64)?,
        output: counters(56, 84)?,
        unknown_protos: narrow(104)?,
        direction: u32::from(direction),
        is_promiscuous: flags & PROMISCUOUS != 0,
    })
}
