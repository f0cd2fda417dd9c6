//! Tests: what is written against what the decoder reads, and against the text of the RFCs.

mod fields;
mod plain;
mod random;
mod rules;
mod streams;

use super::*;
use crate::testing::Collect;
use crate::{Config, Decoder};
use record::{Addr, Field, Flow};

const PEER: Addr = Addr::V4(0xc000_0201);
const NOW: u64 = 1_795_000_000_123;
const SRC: Addr = Addr::V4(0x0a01_0203);
const DST: Addr = Addr::V4(0xc000_0207);
const SRC6: Addr = Addr::V6(0x2001_0db8_0001_0000_0000_0000_0000_0042);
const DST6: Addr = Addr::V6(0x2001_0db8_0002_0000_0000_0000_0000_0080);

/// A sink that keeps everything.
#[derive(Debug, Default)]
struct Sent(Vec<(Vec<u8>, Carries)>);

impl DatagramSink for Sent {
    fn datagram(&mut self, bytes: &[u8], what: Carries) {
        self.0.push((bytes.to_vec(), what));
    }
}

impl Sent {
    /// What a decoder makes of it, which must have no complaint.
    fn decode(&self) -> (Decoder, Collect) {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for (datagram, _) in &self.0 {
            let outcome = decoder.decode(PEER, NOW, datagram, &mut sink);
            assert_eq!(outcome.error, None);
        }
        let c = decoder.counters();
        let faults = [
            c.bad_sets,
            c.bad_messages,
            c.odd_lengths,
            c.odd_uptimes,
            c.sequence_gaps,
            c.duplicates,
            c.reordered,
            c.sets_parked,
            c.sets_deferred,
            c.templates_truncated,
            c.truncated_records,
            c.trailing_bytes,
            c.wide_values,
        ];
        assert_eq!(faults, [0; 13], "{c:?}");
        (decoder, sink)
    }
}

/// What an encoder sends of these flows, given at the same moment.
fn send(config: ExportConfig, flows: &[Flow]) -> (Encoder, Sent) {
    let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
    for flow in flows {
        encoder.flow(NOW, flow.as_row(), None, &mut sent);
    }
    encoder.flush(NOW, &mut sent);
    (encoder, sent)
}

/// A TCP flow over IPv4.
fn plain() -> Flow {
    let mut flow = Flow::new();
    flow.set_addr(Field::SrcAddr, SRC);
    flow.set_addr(Field::DstAddr, DST);
    for (field, value) in [
        (Field::First, NOW - 70_001),
        (Field::Last, NOW - 10_002),
        (Field::Packets, 11),
        (Field::Bytes, 1234),
        (Field::SrcPort, 50_000),
        (Field::DstPort, 443),
        (Field::Proto, 6),
        (Field::TcpFlags, 0x1b),
        (Field::SrcTos, 8),
    ] {
        assert!(flow.set(field, value));
    }
    flow
}

/// As [`plain`], over IPv6.
fn plain6() -> Flow {
    let mut flow = plain();
    flow.set_addr(Field::SrcAddr, SRC6);
    flow.set_addr(Field::DstAddr, DST6);
    flow
}

fn with(mut flow: Flow, values: &[(Field, u64)]) -> Flow {
    for (field, value) in values {
        assert!(flow.set(*field, *value), "{field:?}");
    }
    flow
}

/// A set of a datagram: id and what lies behind its header.
fn sets(datagram: &[u8], header_len: usize) -> Vec<(u16, &[u8])> {
    let (mut rest, mut all) = (&datagram[header_len..], Vec::new());
    while !rest.is_empty() {
        let number = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        let (id, len) = (number(0), usize::from(number(2)));
        assert_eq!(len % 4, 0, "sets are padded");
        all.push((id, &rest[4..len]));
        rest = &rest[len..];
    }
    all
}

fn u32_at(datagram: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(datagram[at..at + 4].try_into().unwrap())
}

fn u16_at(datagram: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(datagram[at..at + 2].try_into().unwrap())
}
