//! What NetFlow v1, v5 and v7 have in common: a header, then records of one length whose first 36
//! octets are the same in all three. What differs is in the file of each version.

use crate::derive::{self, Clock, Origin};
use crate::exporter::State;
use crate::options::learn_sampler;
use crate::ready::{Batch, Ready, Source, Times};
use crate::sequence::{Step, Unit, Uptime};
use crate::template::Memory;
use crate::{Counters, Datagram, DecodeError, Decoder, Protocol, v5};
use record::time::from_uptime;
use record::{Addr, Field, Flow, FlowSink, Sampler};
use std::cell::OnceCell;

/// One of the versions, with records of `LEN` octets.
pub(crate) trait Format<const LEN: usize> {
    /// What faults in its records are called.
    const RECORDS: &'static str;

    /// Whether the 10 octets behind the first [`COMMON_LEN`] are as [`read_routing`] has them, and
    /// those at the end are padding.
    const IS_V5: bool = false;

    /// Sets what lies behind the first [`COMMON_LEN`] octets of a record.
    fn read_rest(record: &[u8; LEN], flow: &mut Flow);
}

/// What the header of a message says, whatever its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) protocol: Protocol,
    /// Where the message begins, counted from the start of the datagram.
    pub(crate) starts_at: usize,
    /// Where its records begin, counted likewise.
    pub(crate) records_at: usize,
    /// Records in the message.
    pub(crate) count: u16,
    /// Milliseconds since the device booted.
    pub(crate) uptime_ms: u32,
    /// Export time, milliseconds since 1970; of that year if the device has no clock.
    pub(crate) export_ms: u64,
    /// Flows exported before this message; v1 does not say.
    pub(crate) sequence: Option<u32>,
    /// Type and slot of the flow switching engine.
    pub(crate) engine: (u8, u8),
    /// Two bits of mode, 14 bits of interval: one packet of so many. Only v5 says.
    pub(crate) sampling: Option<u16>,
}

impl Head {
    /// Engine type * 256 + engine id: which exporter of its address this is.
    fn id(&self) -> u32 {
        u32::from(self.engine.0) << 8 | u32::from(self.engine.1)
    }

    fn uptime(&self, datagram: &Datagram<'_>) -> Uptime {
        Uptime { ms: self.uptime_ms, export_ms: self.export_ms, arrival_ms: datagram.now_ms }
    }

    /// The sampler it announces, none for an interval of 0 or 1.
    fn sampler(&self, exporter: u32) -> Option<Sampler> {
        let sampling = self.sampling?;
        let interval = u32::from(sampling & 0x3fff);
        (interval > 1).then(|| Sampler {
            exporter,
            algorithm: sampling >> 14,
            id: Sampler::GENERIC,
            packet_interval: 1,
            space_interval: interval - 1,
        })
    }
}

/// Export time in milliseconds since 1970 of a header's seconds and nanoseconds.
pub(crate) const fn export_ms(secs: u32, nsecs: u32) -> u64 {
    secs as u64 * 1000 + (nsecs / 1_000_000) as u64
}

/// Reads the messages of one version that are in a datagram, one behind the other. nfcapd reads all
/// of them, too; what follows the last one is padding.
pub(crate) fn messages(
    datagram: &Datagram<'_>,
    decoder: &mut Decoder,
    mut read: impl FnMut(&mut Decoder, usize) -> Result<usize, DecodeError>,
) -> Result<(), DecodeError> {
    let version = datagram.bytes.get(..2);
    let mut at = 0;
    loop {
        // Each message takes a header at least, so the loop ends.
        at = read(decoder, at)?;
        let rest = datagram.bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let is_message = rest.get(..2) == version && rest.get(2..4) != Some(&[0, 0]);
        if !is_message {
            decoder.counters.trailing_bytes += rest.len() as u64;
            return Ok(());
        }
    }
}

/// Reads the records of a message. Returns where it ends.
pub(crate) fn records<F: Format<LEN>, const LEN: usize, S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    datagram: &Datagram<'_>,
    head: &Head,
    sink: &mut S,
) -> Result<usize, DecodeError> {
    let at = decoder.exporter(datagram, head.protocol, head.id(), sink)?;
    let end = head.records_at + usize::from(head.count) * LEN;
    if let Some(number) = head.sequence {
        let octets = datagram.bytes.get(head.starts_at..).unwrap_or_default();
        let octets = octets.get(..end - head.starts_at).unwrap_or(octets);
        if decoder.is_dropped(at, number, octets, datagram.now_ms) {
            return Ok(end.min(datagram.bytes.len()));
        }
    }
    decoder.announce_flows(head.count.into());
    let Some(state) = decoder.exporters.get_mut(at) else { return Ok(datagram.bytes.len()) };
    match head.sequence {
        Some(number) => {
            let units = Some(u32::from(head.count));
            let step = Step { number, units, flows: None, uptime: Some(head.uptime(datagram)) };
            state.observe(step, Unit::Records, &mut decoder.counters);
        }
        None => decoder.counters.sequence_unchecked += 1,
    }
    let origin = origin(head, datagram, state.exporter.sysid, &mut decoder.counters);
    let sampler = sampler(decoder, at, head, sink);

    let body = datagram.bytes.get(head.records_at..).unwrap_or_default();
    let (records, rest) = body.as_chunks::<LEN>();
    let wanted = usize::from(head.count);
    let is_short = F::IS_V5 && sampler.is_none() && sink.takes_records();
    let Decoder { batch, flow, counters, ready_v5, .. } = &mut *decoder;
    let mut short = is_short.then(|| Short::new(batch, ready_v5, &origin));
    let read = wanted.min(records.len());
    let mut next = 0;
    while let Some(record) = records.get(next).filter(|_| next < read) {
        if let Some(short) = &mut short {
            let body = body.get(next * LEN..).unwrap_or_default();
            let (count, odd) = short.write(body, read - next, &origin, batch);
            counters.odd_uptimes += odd;
            next += count;
            if count == 0 || batch.is_full() {
                batch.deliver(origin.sysid, sink); // before the next one
            }
            if count > 0 {
                continue;
            }
        }
        let is_sane = read_record::<F, LEN>(record, &origin, flow);
        counters.odd_uptimes += u64::from(!is_sane);
        if let Some(sampler) = &sampler {
            derive::scale(flow, sampler);
        }
        sink.flow(flow);
        next += 1;
    }
    batch.deliver(origin.sysid, sink);
    if let Some(short) = short {
        batch.heads = short.heads;
    }
    decoder.counters.flows += read as u64;
    if read < wanted {
        decoder.counters.truncated_messages += 1;
        decoder.counters.truncated_records += u64::from(!rest.is_empty());
        let (need, have) = (wanted * LEN, body.len());
        return Err(DecodeError::Truncated { what: F::RECORDS, at: head.records_at, need, have });
    }
    Ok(head.records_at + read * LEN)
}

/// The short way for records of v5: see [`ready`](crate::ready).
struct Short<'a> {
    /// How to write those of each layout, as soon as there was one.
    ready: [Option<&'a Ready>; LAYOUTS],
    cells: &'a [OnceCell<Option<Ready>>],
    /// What the records of the message share, for each layout.
    heads: [Vec<u8>; LAYOUTS],
}

/// Layouts of v5 records: with and without a next hop, with and without autonomous systems.
const LAYOUTS: usize = 4;

impl<'a> Short<'a> {
    /// The layouts are different ones for exporters of IPv6.
    fn new(
        batch: &mut Batch,
        cells: &'a [OnceCell<Option<Ready>>; 2 * LAYOUTS],
        origin: &Origin,
    ) -> Self {
        let (v4, v6) = cells.split_at(LAYOUTS);
        let cells = if matches!(origin.router, Addr::V6(_)) { v6 } else { v4 };
        Self { ready: [None; LAYOUTS], cells, heads: std::mem::take(&mut batch.heads) }
    }

    /// Appends the records that `records` begins with, `most` of them at most, as long as they are
    /// plain and of one layout. Returns how many these are, and how many of them had uptimes that are
    /// not plausible.
    #[inline]
    fn write(
        &mut self,
        records: &[u8],
        most: usize,
        origin: &Origin,
        batch: &mut Batch,
    ) -> (usize, u64) {
        let layout = layout_of(records);
        let (Some(ready), Some(head), Some(cell)) =
            (self.ready.get_mut(layout), self.heads.get_mut(layout), self.cells.get(layout))
        else {
            return (0, 0);
        };
        if ready.is_none() {
            *ready = begin(cell, layout, origin, head);
        }
        let Some(ready) = *ready else { return (0, 0) };
        let is_one = |records: &[u8]| layout_of(records) == layout;
        ready.write((records, v5::RECORD_LEN, most), is_one, origin, head, batch)
    }
}

/// The layout of a record of v5; of what is shorter none.
#[inline(always)]
fn layout_of(records: &[u8]) -> usize {
    let Some(record) = records.first_chunk::<{ v5::RECORD_LEN }>() else { return LAYOUTS };
    let has = |at: usize| record.get(at..at + 4) != Some(&[0; 4]);
    usize::from(has(at::NEXT_HOP)) + 2 * usize::from(has(at::SRC_AS))
}

/// How to write records of a layout, with the head of the message in place. `None` if they are not
/// plain.
#[inline(never)]
fn begin<'a>(
    cell: &'a OnceCell<Option<Ready>>,
    layout: usize,
    origin: &Origin,
    head: &mut Vec<u8>,
) -> Option<&'a Ready> {
    let has_router_v6 = matches!(origin.router, Addr::V6(_));
    let ready = cell.get_or_init(|| layout_v5(layout, has_router_v6)).as_ref()?;
    ready.begin(origin, head).then_some(ready)
}

/// How records of v5 become records of files.
fn layout_v5(layout: usize, has_router_v6: bool) -> Option<Ready> {
    let source = |field, at: usize, len| Source { field, at: at as u16, len };
    let mut sources = vec![
        source(Field::SrcAddr, at::SRC_ADDR, 4),
        source(Field::DstAddr, at::DST_ADDR, 4),
        source(Field::Input, at::INPUT, 2),
        source(Field::Output, at::OUTPUT, 2),
        source(Field::Packets, at::PACKETS, 4),
        source(Field::Bytes, at::OCTETS, 4),
        source(Field::SrcPort, at::SRC_PORT, 2),
        source(Field::DstPort, at::DST_PORT, 2),
        source(Field::TcpFlags, at::TCP_FLAGS, 1),
        source(Field::Proto, at::PROTO, 1),
        source(Field::SrcTos, at::TOS, 1),
        source(Field::SrcMask, at::SRC_MASK, 1),
        source(Field::DstMask, at::DST_MASK, 1),
    ];
    if layout & 1 != 0 {
        sources.push(source(Field::NextHop, at::NEXT_HOP, 4));
    }
    if layout & 2 != 0 {
        sources.push(source(Field::SrcAs, at::SRC_AS, 2));
        sources.push(source(Field::DstAs, at::DST_AS, 2));
    }
    let times = Times::Uptime(at::FIRST as u16, at::LAST as u16);
    Ready::new(&sources, times, at::END, (has_router_v6, true))
}

/// What all records of a message share.
fn origin(head: &Head, datagram: &Datagram<'_>, sysid: u32, counters: &mut Counters) -> Origin {
    Origin {
        export_ms: derive::export_or_arrival(head.export_ms, datagram.now_ms, counters),
        clock: Clock::Uptime(head.uptime_ms),
        received_ms: datagram.now_ms,
        router: datagram.peer,
        sysid,
        source: head.protocol.source(),
        engine: head.engine,
        domain: head.id(),
    }
}

/// The sampler that applies to a message, after taking in what its header announces.
fn sampler<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    at: usize,
    head: &Head,
    sink: &mut S,
) -> Option<Sampler> {
    let (state, own) = decoder.exporters.parts(at)?;
    // A device that stops sampling says so by an interval of 0 or 1.
    let stopped = |state: &State| {
        let old = state.samplers.get(Sampler::GENERIC)?;
        Some(Sampler { space_interval: 0, ..*old })
    };
    if let Some(sampler) = head.sampler(state.exporter.sysid).or_else(|| stopped(state)) {
        learn_sampler(
            state,
            sampler,
            &decoder.config.limits,
            &mut Memory { own, all: &mut decoder.budgets }.samplers(),
            &mut decoder.counters,
            sink,
        );
    }
    state.samplers.find(None).filter(|s| s.id != Sampler::GENERIC || s.space_interval > 0)
}

/// Octets that are the same in the records of all versions.
pub(crate) const COMMON_LEN: usize = 36;

/// Offsets in them, in wire order.
mod at {
    pub(super) const SRC_ADDR: usize = 0;
    pub(super) const DST_ADDR: usize = 4;
    pub(super) const NEXT_HOP: usize = 8;
    pub(super) const INPUT: usize = 12;
    pub(super) const OUTPUT: usize = 14;
    pub(super) const PACKETS: usize = 16;
    pub(super) const OCTETS: usize = 20;
    pub(super) const FIRST: usize = 24;
    pub(super) const LAST: usize = 28;
    pub(super) const SRC_PORT: usize = 32;
    pub(super) const DST_PORT: usize = 34;
    // In v5 only.
    pub(super) const TCP_FLAGS: usize = 37;
    pub(super) const PROTO: usize = 38;
    pub(super) const TOS: usize = 39;
    pub(super) const SRC_AS: usize = 40;
    pub(super) const DST_AS: usize = 42;
    pub(super) const SRC_MASK: usize = 44;
    pub(super) const DST_MASK: usize = 45;
    pub(super) const END: usize = 46;
}

/// Fills the flow. Returns whether its uptimes were plausible.
#[inline]
#[expect(
    clippy::indexing_slicing,
    reason = "offsets of module `at` plus their widths lie within the 36 octets of the array"
)]
fn read_record<F: Format<LEN>, const LEN: usize>(
    record: &[u8; LEN],
    origin: &Origin,
    flow: &mut Flow,
) -> bool {
    const { assert!(LEN >= COMMON_LEN) };
    let Some(common) = record.first_chunk::<COMMON_LEN>() else { return true };
    let u16_at = |i: usize| u64::from(u16::from_be_bytes([common[i], common[i + 1]]));
    let u32_at =
        |i: usize| u32::from_be_bytes([common[i], common[i + 1], common[i + 2], common[i + 3]]);
    let uptime = if let Clock::Uptime(uptime) = origin.clock { uptime } else { 0 };
    let time_at = |i: usize| from_uptime(origin.export_ms, uptime, u32_at(i));

    let (first, last) = (time_at(at::FIRST), time_at(at::LAST));
    let (first, last, is_sane) = derive::not_in_future(first, last, origin.export_ms);
    flow.clear();
    flow.set(Field::First, first);
    flow.set(Field::Last, last);
    flow.set(Field::Packets, u64::from(u32_at(at::PACKETS)));
    flow.set(Field::Bytes, u64::from(u32_at(at::OCTETS)));
    flow.set(Field::SrcPort, u16_at(at::SRC_PORT));
    flow.set(Field::DstPort, u16_at(at::DST_PORT));
    flow.set_addr(Field::SrcAddr, Addr::V4(u32_at(at::SRC_ADDR)));
    flow.set_addr(Field::DstAddr, Addr::V4(u32_at(at::DST_ADDR)));
    flow.set(Field::Input, u16_at(at::INPUT));
    flow.set(Field::Output, u16_at(at::OUTPUT));
    let next_hop = u32_at(at::NEXT_HOP);
    if next_hop != 0 {
        flow.set_addr(Field::NextHop, Addr::V4(next_hop));
    }
    F::read_rest(record, flow);
    derive::icmp_ports(flow);
    derive::stamp(flow, origin, 0);
    is_sane
}

/// What v5 and v7 records have behind the common octets: flags, protocol, type of service,
/// autonomous systems and prefix lengths.
#[inline]
pub(crate) fn read_routing(rest: &[u8; 10], flow: &mut Flow) {
    let [_, flags, proto, tos, src_as @ .., src_mask, dst_mask] = *rest;
    let [s0, s1, d0, d1] = src_as;
    flow.set(Field::TcpFlags, u64::from(flags));
    flow.set(Field::Proto, u64::from(proto));
    flow.set(Field::SrcTos, u64::from(tos));
    flow.set(Field::SrcMask, u64::from(src_mask));
    flow.set(Field::DstMask, u64::from(dst_mask));
    let (src_as, dst_as) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    if src_as != 0 || dst_as != 0 {
        flow.set(Field::SrcAs, u64::from(src_as));
        flow.set(Field::DstAs, u64::from(dst_as));
    }
}
