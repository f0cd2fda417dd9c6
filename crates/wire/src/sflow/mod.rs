//! sFlow version 5 (sflow.org, July 2004), version 4 (its memo of 2003) and version 2 (RFC 3176).
//!
//! A datagram has samples of two kinds: packets that were chosen by chance, each with what the
//! agent knows of it, and counters. All is big-endian and in multiples of four octets. Version 5
//! gives the length of each sample and record, so what is not known can be skipped; older versions
//! do not, so what is not known ends the datagram.
//!
//! Each sampled packet makes a flow of as many packets as it stands for. There are no templates and
//! nothing to remember but sequence numbers and sampling rates.
//!
//! In reading order: this file walks datagrams and samples; `sample` and `record` say what is in
//! them; `assemble` makes flows; `counter` reads counters; `source` keeps what is known of each
//! place where packets are chosen; `structure` has the names of everything.

mod assemble;
mod body;
mod counter;
mod record;
mod sample;
mod source;
mod structure;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod v4;
mod xdr;

pub use source::SourceId;
pub use structure::{Place, Structure};

pub(crate) use source::Sources;
pub(crate) use structure::Structures;

use crate::cursor::Parsed;
use crate::derive::{self, Clock, Origin};
use crate::exporter::SAMPLER_COST;
use crate::options::{learn_sampler, tell_name};
use crate::sequence::{Step, Unit, Uptime};
use crate::template::Memory;
use crate::{Datagram, DecodeError, Decoder, Protocol};
use ::record::code::record_flags;
use ::record::{Addr, Field, FlowSink, InterfaceSample, Meta, NameTable, Sampler};
use body::{Body, TAG_LEN, tag_and_length};
use nom::Parser;
use nom::number::complete::be_u32;
use record::Parts;
use sample::FlowSample;
use structure::Known;

/// Format of a flow sample.
pub const FLOW_SAMPLE: u32 = 1;
/// Format of a counter sample.
pub const COUNTER_SAMPLE: u32 = 2;
/// Format of a flow sample with 32 bits for each number.
pub const EXPANDED_FLOW_SAMPLE: u32 = 3;
/// Format of a counter sample with 32 bits for each number.
pub const EXPANDED_COUNTER_SAMPLE: u32 = 4;

/// What begins a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 2, 4 or 5.
    pub version: u32,
    /// The agent as it names itself; `None` if it does not.
    pub agent: Option<Addr>,
    /// Which process of the agent sent it, 0 before version 5.
    pub sub_agent: u32,
    /// Counts the datagrams of this process.
    pub sequence: u32,
    /// Milliseconds since the device booted.
    pub uptime_ms: u32,
    /// Samples in the datagram.
    pub samples: u32,
}

impl Default for Header {
    fn default() -> Self {
        let agent = Some(Addr::V4(0));
        Self { version: 5, agent, sub_agent: 0, sequence: 0, uptime_ms: 0, samples: 0 }
    }
}

impl Header {
    /// Octets of the longest header, that of an agent with an IPv6 address.
    const MAX_LEN: usize = 40;

    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, (version, agent)) = (be_u32, xdr::address).parse(input)?;
        let (input, sub_agent) = if version < 5 { (input, 0) } else { be_u32(input)? };
        let (input, (sequence, uptime_ms, samples)) = (be_u32, be_u32, be_u32).parse(input)?;
        Ok((input, Self { version, agent, sub_agent, sequence, uptime_ms, samples }))
    }
}

/// Whether a datagram begins with a version of sFlow.
pub(crate) fn is_version(datagram: &[u8]) -> bool {
    matches!(datagram, [0, 0, 0, 2 | 4 | 5, ..])
}

/// Reads one datagram.
pub(crate) fn decode<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    datagram: &Datagram<'_>,
    sink: &mut S,
) -> Result<(), DecodeError> {
    let bytes = datagram.bytes;
    let Ok((body, header)) = Header::parse(bytes) else {
        decoder.counters.truncated_headers += 1;
        let (need, have) = (Header::MAX_LEN, bytes.len());
        return Err(DecodeError::Truncated { what: "sFlow header", at: 0, need, have });
    };
    let agent = crate::unmapped(header.agent.unwrap_or(datagram.peer));
    let at = decoder.agent(datagram, Protocol::Sflow, header.sub_agent, agent, sink)?;
    if decoder.is_dropped(at, header.sequence, bytes, datagram.now_ms) {
        return Ok(());
    }
    let Some(state) = decoder.exporters.get_mut(at) else { return Ok(()) };
    let (restarts, duplicates) = (decoder.counters.restarts, decoder.counters.duplicates);
    let uptime = Some(Uptime { ms: header.uptime_ms, export_ms: 0, arrival_ms: datagram.now_ms });
    let step = Step { number: header.sequence, units: Some(1), flows: None, uptime };
    state.observe(step, Unit::Datagrams, &mut decoder.counters);
    if decoder.counters.restarts != restarts {
        state.sources.restart();
    }
    let origin = Origin {
        export_ms: datagram.now_ms,
        clock: Clock::Unknown,
        received_ms: datagram.now_ms,
        router: datagram.peer,
        sysid: state.exporter.sysid,
        source: 0x80 | header.version as u8,
        engine: (0, 0),
        domain: 0,
    };
    let is_new = decoder.counters.duplicates == duplicates;
    let mut walk = Walk { decoder, sink, datagram: bytes, exporter: at, agent, origin, is_new };
    if header.version < 5 {
        walk.samples_v4(header.version, body, header.samples)
    } else {
        walk.samples(body, header.samples)
    }
}

/// One datagram being read.
struct Walk<'a, 'd, S: ?Sized> {
    decoder: &'d mut Decoder,
    sink: &'d mut S,
    datagram: &'a [u8],
    exporter: usize,
    agent: Addr,
    origin: Origin,
    /// Whether its sequence number was not seen before.
    is_new: bool,
}

impl<'a, S: FlowSink + ?Sized> Walk<'a, '_, S> {
    /// Reads the samples of a datagram of version 5.
    fn samples(&mut self, body: &'a [u8], count: u32) -> Result<(), DecodeError> {
        let (mut rest, mut fault) = (body, Ok(()));
        // Each takes eight octets, so this ends with the datagram however many are announced.
        for left in (0..count).rev() {
            let Ok((octets, (tag, len))) = tag_and_length(rest) else {
                let missing = self.missing(rest, left);
                return fault.and(Err(missing));
            };
            self.decoder.structures.note(Place::Sample, tag);
            let mut body = Body::new(octets, len, left == 0);
            match tag {
                FLOW_SAMPLE => self.flow_sample(&mut body, FlowSample::parse),
                EXPANDED_FLOW_SAMPLE => self.flow_sample(&mut body, FlowSample::parse_expanded),
                COUNTER_SAMPLE => self.counter_sample(&mut body, counter::head),
                EXPANDED_COUNTER_SAMPLE => self.counter_sample(&mut body, counter::expanded_head),
                _ => self.decoder.counters.sflow_other_samples += 1,
            }
            if body.is_cut() || len > octets.len() {
                self.decoder.counters.sflow_truncated_samples += 1;
                let cut = self.cut(octets, len);
                fault = fault.and(Err(cut));
            } else if (1..=4).contains(&tag) {
                self.decoder.counters.sflow_odd_lengths += u64::from(body.used() != len);
            }
            rest = xdr::skip(octets, len.max(body.used()));
        }
        self.decoder.counters.trailing_bytes += rest.len() as u64;
        fault
    }

    /// The datagram ends where `left` samples and another one should be.
    fn missing(&mut self, rest: &[u8], left: u32) -> DecodeError {
        self.decoder.counters.truncated_messages += 1;
        let least = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1);
        DecodeError::Truncated {
            what: "sFlow samples",
            at: self.datagram.len() - rest.len(),
            need: least.saturating_mul(TAG_LEN),
            have: rest.len(),
        }
    }

    /// A sample of `len` octets, of which these are there, is not whole.
    fn cut(&self, octets: &[u8], len: usize) -> DecodeError {
        let (at, have) = (self.datagram.len() - octets.len(), octets.len());
        if len > have {
            return DecodeError::Truncated { what: "sFlow sample", at, need: len, have };
        }
        DecodeError::BadLength { what: "sFlow sample", at, len }
    }

    fn flow_sample(
        &mut self,
        body: &mut Body<'a>,
        head: impl Fn(&'a [u8]) -> Parsed<'a, (FlowSample, u32)>,
    ) {
        let Some(sample) = body.head(head) else { return };
        let mut parts = Parts::default();
        let mut is_empty = true;
        for (tag, data) in body.by_ref() {
            is_empty = false;
            self.note(Place::Flow, tag);
            self.decoder.counters.sflow_bad_records += u64::from(!parts.take(tag, data));
        }
        // A sample that is cut before its first record tells of no packet.
        if !(is_empty && body.is_cut()) {
            self.deliver(&sample, &parts);
        }
    }

    /// Counts a record.
    fn note(&mut self, place: Place, tag: u32) -> Known {
        let known = self.decoder.structures.note(place, tag);
        match known {
            Known::Used => {}
            Known::Skipped => self.decoder.counters.sflow_records_skipped += 1,
            Known::Unknown => self.decoder.counters.sflow_records_unknown += 1,
        }
        known
    }

    /// Makes a flow of a sample.
    fn deliver(&mut self, sample: &FlowSample, parts: &Parts<'_>) {
        self.account(sample);
        let Decoder { config, counters, exporters, flow, .. } = &mut *self.decoder;
        let Some(state) = exporters.get_mut(self.exporter) else { return };
        counters.sflow_flow_samples += 1;
        flow.clear();
        assemble::assemble(flow, sample, parts, config.depth(), counters);
        flow.set(Field::First, self.origin.received_ms);
        flow.set(Field::Last, self.origin.received_ms);
        derive::stamp(flow, &self.origin, record_flags::SAMPLED);
        let told =
            (sample.rate > 0).then(|| sampler(self.origin.sysid, Sampler::GENERIC, sample.rate));
        let given = |id| state.samplers.get(id).copied();
        let applies = given(Sampler::OVERRIDE).or(told).or_else(|| given(Sampler::DEFAULT));
        if let Some(sampler) = applies {
            derive::scale(flow, &sampler);
        }
        self.sink.flow(flow);
        counters.flows += 1;
    }

    /// Keeps the counts and the sampling rate of the source of a sample.
    fn account(&mut self, sample: &FlowSample) {
        let Decoder { config, counters, exporters, budgets, .. } = &mut *self.decoder;
        let Some((state, own)) = exporters.parts(self.exporter) else { return };
        let mut memory = Memory { own, all: budgets };
        let purse = &mut memory.samplers();
        let limit = config.limits.samplers_per_exporter;
        let has_room = |sources| sources < limit && purse.take(SAMPLER_COST);
        let Some(source) = state.sources.find_or_add(sample.source, has_room) else {
            counters.sflow_sources_untracked += 1;
            return;
        };
        if self.is_new {
            let counts = &mut state.ledger.totals;
            source.observe((sample.sequence, sample.drops), counts, counters);
        }
        if source.rate == sample.rate {
            return;
        }
        source.rate = sample.rate;
        // One sampler stands for all sources that have the same rate as the first.
        let own = sample.source.sampler_id();
        let id = match state.samplers.get(Sampler::GENERIC) {
            Some(all) if all.space_interval != sample.rate.saturating_sub(1) => own,
            Some(_) if state.samplers.get(own).is_none() => return,
            Some(_) => own,
            None => Sampler::GENERIC,
        };
        let sampler = sampler(self.origin.sysid, id, sample.rate);
        learn_sampler(state, sampler, &config.limits, purse, counters, self.sink);
    }

    fn counter_sample(
        &mut self,
        body: &mut Body<'a>,
        head: impl Fn(&'a [u8]) -> Parsed<'a, (SourceId, u32)>,
    ) {
        let Some(source) = body.head(head) else { return };
        self.decoder.counters.sflow_counter_samples += 1;
        let origin = self.counter_origin();
        for (tag, data) in body.by_ref() {
            self.note(Place::Counter, tag);
            let is_whole = match tag {
                1 => counter::interface(origin, data).map(|(_, s)| self.interface(&s)).is_ok(),
                1005 => counter::port_name(data).map(|(_, n)| self.port_name(source, n)).is_ok(),
                _ => true,
            };
            self.decoder.counters.sflow_bad_records += u64::from(!is_whole);
        }
    }

    const fn counter_origin(&self) -> counter::Origin {
        counter::Origin {
            time_ms: self.origin.received_ms,
            exporter: self.origin.sysid,
            agent: self.agent,
        }
    }

    fn interface(&mut self, sample: &InterfaceSample) {
        self.decoder.counters.sflow_interfaces += 1;
        self.sink.interface(sample);
    }

    /// The name of the interface that a counter sample is about.
    fn port_name(&mut self, source: SourceId, name: &[u8]) {
        let Decoder { counters, exporters, budgets, .. } = &mut *self.decoder;
        let Some((state, own)) = exporters.parts(self.exporter) else { return };
        if source.class != 0 || name.is_empty() {
            return;
        }
        let (exporter, table, id) = (self.origin.sysid, NameTable::Interface, source.index);
        let mut memory = Memory { own, all: budgets };
        let learned = state.names.learn(table, id, name, &mut memory.names());
        let meta = Meta::Name { exporter, table, id, name };
        tell_name(learned, meta, exporter, counters, self.sink);
    }
}

/// One packet of `rate`.
const fn sampler(exporter: u32, id: i64, rate: u32) -> Sampler {
    let space_interval = rate.saturating_sub(1);
    Sampler { exporter, algorithm: 0, id, packet_interval: 1, space_interval }
}
