//! Counter samples: what an agent counts for its interfaces, its processors and much else (sFlow
//! version 5, section 5.3, "Counter Data Types"). Of these the counters of interfaces are kept.

use super::source::SourceId;
use super::xdr::opaque;
use crate::cursor::Parsed;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u32, be_u64};
use record::{Addr, InterfaceCounters, InterfaceSample};

/// The head of a counter sample: its source, and how many records follow.
pub(super) fn head(input: &[u8]) -> Parsed<'_, (SourceId, u32)> {
    (be_u32, be_u32, be_u32)
        .map(|(_sequence, source, records)| (SourceId::compact(source), records))
        .parse(input)
}

/// The head of an expanded counter sample.
pub(super) fn expanded_head(input: &[u8]) -> Parsed<'_, (SourceId, u32)> {
    (be_u32, be_u32, be_u32, be_u32)
        .map(|(_sequence, class, index, records)| (SourceId { class, index }, records))
        .parse(input)
}

/// The head of a counter sample of version 2 or 4: its source, and what kind of counters follow.
pub(super) fn head_v4(input: &[u8]) -> Parsed<'_, (SourceId, u32)> {
    (be_u32, be_u32, be_u32, be_u32)
        .map(|(_sequence, source, _interval, kind)| (SourceId::compact(source), kind))
        .parse(input)
}

/// Who counted, and when it became known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) time_ms: u64,
    pub(super) exporter: u32,
    pub(super) agent: Addr,
}

/// Counters of an interface: "`if_counters`", 88 octets in all versions.
pub(super) fn interface(origin: Origin, input: &[u8]) -> Parsed<'_, InterfaceSample> {
    let (input, (index, kind, speed, direction, status)) =
        (be_u32, be_u32, be_u64, be_u32, be_u32).parse(input)?;
    let (input, (received, unknown_protos, sent, is_promiscuous)) =
        (counters, be_u32, counters, be_u32).parse(input)?;
    let sample = InterfaceSample {
        time_ms: origin.time_ms,
        exporter: origin.exporter,
        agent: origin.agent,
        index,
        kind,
        speed,
        direction,
        status,
        input: received,
        output: sent,
        unknown_protos,
        // A truth value (RFC 2579): 1 is true, 2 false. Agents that have C's habits send 0.
        is_promiscuous: is_promiscuous == 1,
    };
    Ok((input, sample))
}

fn counters(input: &[u8]) -> Parsed<'_, InterfaceCounters> {
    (be_u64, be_u32, be_u32, be_u32, be_u32, be_u32)
        .map(|(octets, unicast, multicast, broadcast, discards, errors)| InterfaceCounters {
            octets,
            unicast,
            multicast,
            broadcast,
            discards,
            errors,
        })
        .parse(input)
}

/// Name of a port: "`port_name`" of the OpenFlow structures.
pub(super) fn port_name(input: &[u8]) -> Parsed<'_, &[u8]> {
    opaque(input)
}

/// Counters of version 2 or 4, which say nothing of their length (RFC 3176, 4, "`counters_type`"):
/// those of the interface, unless they are of a VLAN.
pub(super) fn counters_v4(
    origin: Origin,
    kind: u32,
    input: &[u8],
) -> Parsed<'_, Option<InterfaceSample>> {
    const ETHERNET: usize = 13 * 4;
    const TOKEN_RING: usize = 18 * 4;
    const VG: usize = 4 * 14 + 4 * 6;
    const VLAN: usize = 28;
    let rest = match kind {
        1 | 4 | 6 => 0,
        2 => ETHERNET,
        3 => TOKEN_RING,
        5 => VG,
        7 => return take(VLAN).map(|_| None).parse(input),
        _ => return Err(nom::Err::Failure(())),
    };
    let (input, sample) = interface(origin, input)?;
    // What is missing behind the counters of the interface takes nothing away from them.
    let (_, input) = input.split_at(rest.min(input.len()));
    Ok((input, Some(sample)))
}
