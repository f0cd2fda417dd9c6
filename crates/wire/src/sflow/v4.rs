//! Samples of versions 2 and 4 (RFC 3176, 4). They have no lengths, so whatever is not known ends
//! the datagram.

use super::record::Parts;
use super::sample::FlowSample;
use super::{COUNTER_SAMPLE, FLOW_SAMPLE, Place, TAG_LEN, Walk, counter};
use crate::DecodeError;
use crate::cursor::Parsed;
use nom::number::complete::be_u32;
use record::FlowSink;

impl<'a, S: FlowSink + ?Sized> Walk<'a, '_, S> {
    /// Reads the samples of a datagram.
    pub(super) fn samples_v4(
        &mut self,
        version: u32,
        body: &'a [u8],
        count: u32,
    ) -> Result<(), DecodeError> {
        let mut rest = body;
        // Each takes sixteen octets, so this ends with the datagram however many are announced.
        for left in (0..count).rev() {
            let Ok((octets, kind)) = be_u32::<_, ()>(rest) else {
                return Err(self.missing(rest, left));
            };
            self.decoder.structures.note(Place::Sample, kind);
            let read = match kind {
                FLOW_SAMPLE => self.flow_sample_v4(version, octets),
                COUNTER_SAMPLE => self.counter_sample_v4(octets),
                _ => {
                    self.decoder.counters.sflow_other_samples += 1;
                    Err(nom::Err::Failure(()))
                }
            };
            let Ok((next, ())) = read else {
                self.decoder.counters.sflow_truncated_samples += 1;
                let (at, have) = (self.datagram.len() - rest.len(), rest.len());
                let need = have.saturating_add(TAG_LEN);
                return Err(DecodeError::Truncated { what: "sFlow sample", at, need, have });
            };
            rest = next;
        }
        self.decoder.counters.trailing_bytes += rest.len() as u64;
        Ok(())
    }

    /// Reads a flow sample and returns what follows it. One that is cut behind its packet is
    /// delivered all the same.
    fn flow_sample_v4(&mut self, version: u32, octets: &'a [u8]) -> Parsed<'a, ()> {
        let (octets, (sample, kind)) = FlowSample::parse_v4(octets)?;
        let mut parts = Parts::default();
        let (octets, ()) = parts.take_packet_v4(kind, octets)?;
        // Kinds of packets have other numbers than in version 5: no Ethernet.
        self.note(Place::Flow, if kind == 1 { 1 } else { kind + 1 });
        let rest = self.extended_v4(version, &mut parts, octets);
        self.deliver(&sample, &parts);
        rest
    }

    fn extended_v4(
        &mut self,
        version: u32,
        parts: &mut Parts<'a>,
        octets: &'a [u8],
    ) -> Parsed<'a, ()> {
        let (mut octets, count) = be_u32(octets)?;
        // Each takes four octets, so this ends with the datagram however many are announced.
        for _ in 0..count {
            let (data, tag) = be_u32(octets)?;
            if (1..=5).contains(&tag) {
                // What it is in version 5.
                self.note(Place::Flow, 1000 + tag);
            } else {
                self.decoder.counters.sflow_records_unknown += 1;
            }
            (octets, ()) = parts.take_extended_v4(version, tag, data)?;
        }
        Ok((octets, ()))
    }

    /// Reads a counter sample and returns what follows it.
    fn counter_sample_v4(&mut self, octets: &'a [u8]) -> Parsed<'a, ()> {
        let (octets, (_, kind)) = counter::head_v4(octets)?;
        self.decoder.counters.sflow_counter_samples += 1;
        let (rest, sample) = counter::counters_v4(self.counter_origin(), kind, octets)?;
        match &sample {
            Some(sample) => {
                self.note(Place::Counter, 1);
                self.interface(sample);
            }
            None => {
                self.note(Place::Counter, 5);
            }
        }
        Ok((rest, ()))
    }
}
