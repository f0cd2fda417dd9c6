//! What no element carries by itself: times on one clock, ICMP type and code, events, the identity
//! of the exporter, and counters scaled by the sampling rate.

use crate::Counters;
use crate::element::Slot;
use crate::exporter::Samplers;
use crate::plan::{Kept, Nature};
use record::code::{Proto, record_flags};
use record::time::from_uptime;
use record::{Addr, Field, Flow, Sampler};

/// What all records of one message share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Export time, milliseconds since 1970.
    pub(crate) export_ms: u64,
    /// How uptimes in the records are dated.
    pub(crate) clock: Clock,
    /// When the datagram arrived.
    pub(crate) received_ms: u64,
    /// Who sent it.
    pub(crate) router: Addr,
    /// Number of the exporter.
    pub(crate) sysid: u32,
    /// What [`Field::Source`] says.
    pub(crate) source: u8,
    /// Engine type and id as the header has them.
    pub(crate) engine: (u8, u8),
    /// Observation domain of the header.
    pub(crate) domain: u32,
}

/// The uptime clock of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// It showed this at export time.
    Uptime(u32),
    /// It was 0 at this time, milliseconds since 1970.
    Boot(u64),
    /// Nothing is known of it.
    Unknown,
}

/// The export time of a message; its arrival if the header says 1970, as one does of a device
/// without a clock, which counts from there or not at all.
pub(crate) const fn export_or_arrival(export_ms: u64, now_ms: u64, counters: &mut Counters) -> u64 {
    const DAYS_1970: u64 = 365;
    if export_ms >= DAYS_1970 * 24 * 60 * 60 * 1000 {
        return export_ms;
    }
    counters.undated += 1;
    now_ms
}

impl Clock {
    /// Whether its times are known but for a multiple of 49.7 days.
    #[inline]
    const fn may_wrap(self, export_ms: u64) -> bool {
        match self {
            Self::Uptime(_) => true,
            Self::Boot(boot) => export_ms.saturating_sub(boot) > u32::MAX as u64,
            Self::Unknown => false,
        }
    }

    fn date(self, at: u64, export_ms: u64) -> Option<u64> {
        let at = u32::try_from(at).ok()?;
        match self {
            Self::Uptime(uptime) => Some(from_uptime(export_ms, uptime, at)),
            Self::Boot(boot) => {
                // Within 49.7 days of the boot the clock has not wrapped, so the sum is exact.
                Some(if self.may_wrap(export_ms) {
                    from_uptime(export_ms, export_ms.wrapping_sub(boot) as u32, at)
                } else {
                    boot.saturating_add(u64::from(at))
                })
            }
            Self::Unknown => None,
        }
    }
}

/// Completes a flow that a plan has filled. Returns whether its uptimes were plausible.
#[inline]
pub(crate) fn finish(flow: &mut Flow, kept: &Kept, nature: Nature, origin: &Origin) -> bool {
    let (first, last, is_sane) = plausible(kept, times(kept, nature, origin), origin);
    flow.set(Field::First, first);
    flow.set(Field::Last, last);
    if nature.is_mixed {
        settle_families(flow, kept);
    }
    icmp(flow, kept, nature);
    let mut flags = 0;
    if nature.is_firewall || nature.is_nat {
        flags |= record_flags::EVENT;
        let event = event_time(kept, origin.export_ms).unwrap_or(first);
        let field = if nature.is_firewall { Field::FwEventTime } else { Field::NatEventTime };
        flow.set(field, event);
    }
    if nature.has_observation && flow.number(Field::ObservationDomain) == 0 {
        flow.set(Field::ObservationDomain, u64::from(origin.domain));
    }
    stamp(flow, origin, flags);
    is_sane
}

/// Start, end, and whether they were fine: see [`not_in_future`]. Absolute times are as they are.
#[inline]
fn plausible(kept: &Kept, (first, last): (u64, u64), origin: &Origin) -> (u64, u64, bool) {
    let has_uptime = kept.seen(Slot::FirstUptime.bit() | Slot::LastUptime.bit()) != 0;
    if has_uptime && origin.clock.may_wrap(origin.export_ms) {
        not_in_future(first, last, origin.export_ms)
    } else {
        (first, last, true)
    }
}

/// Keeps a flow dated by an uptime clock from ending after its export: start, end, and whether
/// they were fine.
///
/// A second or so is the slack between two clocks of a device. An hour means that the header and
/// the records have different uptimes, and the export is the better date.
#[inline]
pub(crate) const fn not_in_future(first: u64, last: u64, export_ms: u64) -> (u64, u64, bool) {
    const SLACK_MS: u64 = 60 * 60 * 1000;
    if last <= export_ms.saturating_add(SLACK_MS) {
        return (first, last, true);
    }
    (export_ms.saturating_sub(last.saturating_sub(first)), export_ms, false)
}

/// The identity of the exporter, and when its datagram came.
#[inline]
pub(crate) fn stamp(flow: &mut Flow, origin: &Origin, flags: u8) {
    flow.set(Field::RecordFlags, u64::from(flags));
    flow.set(Field::Source, u64::from(origin.source));
    flow.set(Field::ExporterId, u64::from(origin.sysid));
    flow.set(Field::Received, origin.received_ms);
    flow.set_addr(Field::Router, origin.router);
    for (field, value) in [(Field::EngineType, origin.engine.0), (Field::EngineId, origin.engine.1)]
    {
        if flow.number(field) == 0 {
            flow.set(field, u64::from(value));
        }
    }
}

/// Multiplies the counters by the rate of the sampler that applies, if there is one.
#[inline]
pub(crate) fn sample(flow: &mut Flow, samplers: &Samplers) {
    let id = flow.as_row().u64(Field::SelectorId);
    if let Some(sampler) = samplers.find(id) {
        scale(flow, &sampler);
    }
}

/// Multiplies the counters by the rate of `sampler` and says so in the record's flags.
pub(crate) fn scale(flow: &mut Flow, sampler: &Sampler) {
    for field in [Field::Packets, Field::Bytes, Field::OutPackets, Field::OutBytes] {
        if let Some(count) = flow.as_row().u64(field) {
            flow.set(field, sampler.scale(count));
        }
    }
    let flags = flow.number(Field::RecordFlags) | u64::from(record_flags::SAMPLED);
    flow.set(Field::RecordFlags, flags);
}

/// Start and end of the flow.
///
/// The most exact clock wins; an absolute time of 0 means that the exporter had none. A record
/// with one end only gets the other from its duration, one without any time that of its
/// observation or of its export.
#[inline]
fn times(kept: &Kept, nature: Nature, origin: &Origin) -> (u64, u64) {
    const UPTIMES: u64 = Slot::FirstUptime.bit() | Slot::LastUptime.bit();
    let export = origin.export_ms;
    if kept.seen(TIMES) == UPTIMES
        && let (Some(first), Some(last), Clock::Uptime(up)) =
            (kept.get(Slot::FirstUptime), kept.get(Slot::LastUptime), origin.clock)
        && let (Ok(first), Ok(last)) = (u32::try_from(first), u32::try_from(last))
    {
        return (from_uptime(export, up, first), from_uptime(export, up, last));
    }
    let clock = match kept.get(Slot::BootMs) {
        Some(boot) if boot != 0 && !matches!(origin.clock, Clock::Uptime(_)) => Clock::Boot(boot),
        _ => origin.clock,
    };
    let first = end_of_flow(kept, &FIRST, clock, export);
    let last = end_of_flow(kept, &LAST, clock, export);
    let is_event = nature.is_firewall || nature.is_nat;
    match (first, last) {
        (Some(first), Some(last)) => (first, last),
        (Some(first), None) => {
            let event = event_time(kept, export).filter(|t| is_event && *t > first);
            let last = duration(kept).map(|d| first.saturating_add(d));
            (first, last.or(event).unwrap_or(first))
        }
        (None, Some(last)) => (last.saturating_sub(duration(kept).unwrap_or(0)), last),
        (None, None) => {
            let collected = || kept.get(Slot::CollectedMs).filter(|t| *t != 0);
            let at = event_time(kept, export).or_else(collected).unwrap_or(export);
            (at, at)
        }
    }
}

/// Start and end of the other direction of a biflow: what its own elements say, else that the
/// first packet came `delay` after that of the first direction, else the times of that. Also
/// whether its uptimes were plausible.
pub(crate) fn reverse_times(
    kept: &Kept,
    (first, last): (u64, u64),
    delay: Option<u64>,
    origin: &Origin,
) -> (u64, u64, bool) {
    let export = origin.export_ms;
    let delayed = delay.map_or(first, |d| first.saturating_add(d).min(last));
    let first = end_of_flow(kept, &FIRST, origin.clock, export).unwrap_or(delayed);
    let last = end_of_flow(kept, &LAST, origin.clock, export)
        .or_else(|| duration(kept).map(|d| first.saturating_add(d)))
        .unwrap_or(last);
    plausible(kept, (first, last.max(first)), origin)
}

/// All slots that date a flow.
const TIMES: u64 = Slot::BootMs.bit() * 2 - 1;

/// The elements that tell one end of a flow, most exact first.
struct End {
    milli: Slot,
    micro: Slot,
    nano: Slot,
    uptime: Slot,
    sec: Slot,
    age: Slot,
}

const FIRST: End = End {
    milli: Slot::FirstMs,
    micro: Slot::FirstMicro,
    nano: Slot::FirstNano,
    uptime: Slot::FirstUptime,
    sec: Slot::FirstSec,
    age: Slot::FirstAge,
};

const LAST: End = End {
    milli: Slot::LastMs,
    micro: Slot::LastMicro,
    nano: Slot::LastNano,
    uptime: Slot::LastUptime,
    sec: Slot::LastSec,
    age: Slot::LastAge,
};

fn end_of_flow(kept: &Kept, end: &End, clock: Clock, export_ms: u64) -> Option<u64> {
    let absolute = |slot| kept.get(slot).filter(|t| *t != 0);
    absolute(end.milli)
        .or_else(|| absolute(end.micro).map(|t| ntp_ms(t, export_ms)))
        .or_else(|| absolute(end.nano).map(|t| ntp_ms(t, export_ms)))
        .or_else(|| kept.get(end.uptime).and_then(|at| clock.date(at, export_ms)))
        .or_else(|| absolute(end.sec).map(|t| t.saturating_mul(1000)))
        .or_else(|| kept.get(end.age).map(|age| export_ms.saturating_sub(age / 1000)))
}

fn duration(kept: &Kept) -> Option<u64> {
    kept.get(Slot::DurationMs).or_else(|| kept.get(Slot::DurationMicro).map(|us| us / 1000))
}

fn event_time(kept: &Kept, export_ms: u64) -> Option<u64> {
    let absolute = |slot| kept.get(slot).filter(|t| *t != 0);
    absolute(Slot::EventMs)
        .or_else(|| absolute(Slot::EventMicro).map(|t| ntp_ms(t, export_ms)))
        .or_else(|| absolute(Slot::EventNano).map(|t| ntp_ms(t, export_ms)))
        .or_else(|| absolute(Slot::EventSec).map(|t| t.saturating_mul(1000)))
}

/// Seconds from the epoch of NTP to that of Unix.
const NTP_TO_UNIX_SECS: u64 = 2_208_988_800;

/// A time in NTP format: seconds since 1900 and a binary fraction (RFC 7011, 6.1.9 and 6.1.10).
/// Seconds wrap in 2036: of the two eras, the one nearer to the export is meant.
fn ntp_ms(ntp: u64, export_ms: u64) -> u64 {
    let fraction_ms = ((ntp & 0xffff_ffff) * 1000) >> 32;
    let date = |era: u64| {
        let secs = (era << 32 | ntp >> 32).saturating_sub(NTP_TO_UNIX_SECS);
        secs * 1000 + fraction_ms
    };
    let (this, next) = (date(0), date(1));
    if this.abs_diff(export_ms) <= next.abs_diff(export_ms) { this } else { next }
}

/// Makes both addresses and the masks those of one family, where a record has both.
fn settle_families(flow: &mut Flow, kept: &Kept) {
    let row = flow.as_row();
    let (src, dst) = (row.addr(Field::SrcAddr), row.addr(Field::DstAddr));
    match (src, dst) {
        (Some(Addr::V4(0)), Some(Addr::V6(_))) => flow.set_addr(Field::SrcAddr, Addr::V6(0)),
        (Some(Addr::V6(0)), Some(Addr::V4(_))) => flow.set_addr(Field::SrcAddr, Addr::V4(0)),
        (Some(Addr::V4(_)), Some(Addr::V6(0))) => flow.set_addr(Field::DstAddr, Addr::V4(0)),
        (Some(Addr::V6(_)), Some(Addr::V4(0))) => flow.set_addr(Field::DstAddr, Addr::V6(0)),
        _ => {}
    }
    let is_v6 = matches!(flow.as_row().addr(Field::SrcAddr), Some(Addr::V6(_)));
    for (field, v4, v6) in [
        (Field::SrcMask, Slot::SrcMask4, Slot::SrcMask6),
        (Field::DstMask, Slot::DstMask4, Slot::DstMask6),
    ] {
        if let Some(len) = kept.get(if is_v6 { v6 } else { v4 }) {
            flow.set(field, len);
        }
    }
}

/// Type and code into the destination port, and nothing into the source port.
///
/// Elements that say type and code outright come first, even if both are 0 (echo reply). Element
/// 32 or 139 counts unless it is 0, which lazy exporters send beside a good port. Then comes
/// Cisco's habit of a source port with the code in its first octet and the type in its second.
fn icmp(flow: &mut Flow, kept: &Kept, nature: Nature) {
    if let Some(implied) = nature.implied_proto {
        let is_v6 = matches!(flow.as_row().addr(Field::SrcAddr), Some(Addr::V6(_)));
        let proto = if nature.is_mixed && is_v6 { 58 } else { implied };
        flow.set(Field::Proto, u64::from(proto));
    }
    let proto = Proto(flow.number(Field::Proto) as u8);
    if !proto.is_icmp() {
        return;
    }
    let explicit = if nature.has_icmp { explicit_icmp(kept, proto == Proto::ICMP6) } else { None };
    let (src, dst) = (flow.number(Field::SrcPort), flow.number(Field::DstPort));
    let type_and_code = match explicit {
        Some(value) => value,
        None if src != 0 => (src & 0xff) << 8 | src >> 8,
        None => dst,
    };
    flow.set(Field::SrcPort, 0);
    flow.set(Field::DstPort, type_and_code);
}

/// Cisco's habit for flows without elements of their own: v5.
pub(crate) fn icmp_ports(flow: &mut Flow) {
    icmp(flow, &Kept::default(), Nature::default());
}

pub(crate) fn explicit_icmp(kept: &Kept, is_v6: bool) -> Option<u64> {
    let v4 = (Slot::Icmp4Type, Slot::Icmp4Code, Slot::Icmp4);
    let v6 = (Slot::Icmp6Type, Slot::Icmp6Code, Slot::Icmp6);
    // Some exporters put one family's elements into templates of the other.
    for (of_type, of_code, of_both) in if is_v6 { [v6, v4] } else { [v4, v6] } {
        if let Some(kind) = kept.get(of_type) {
            return Some((kind & 0xff) << 8 | kept.get(of_code).unwrap_or(0) & 0xff);
        }
        if let Some(both) = kept.get(of_both).filter(|n| *n != 0) {
            return Some(both & 0xffff);
        }
    }
    None
}
