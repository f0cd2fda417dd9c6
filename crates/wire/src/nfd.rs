//! nfdump's own transport, version 250: a header of 16 octets, big-endian, and V3 records as files
//! of layout 2 have them (file format, 6 and 7), little-endian. nfpcapd with `-H` and nfreplay with
//! `-v 250` send it.
//!
//! The sequence number counts datagrams, whatever the name of its field says, and the export time
//! is 0: records have their own times. Counters are scaled already. Records keep what they say of
//! the device that measured them: engine, flags, protocol, and the address of the exporter, which
//! is that of the sender if there is none. The number of the exporter and the time of arrival are
//! ours: the sender's own mean nothing here.

use crate::cursor::{self, Parsed};
use crate::sequence::{Step, Unit};
use crate::{Datagram, DecodeError, Decoder, Protocol};
use nom::Parser;
use nom::number::complete::{be_u16, be_u32};
use record::v3::{self, Choice, Element, Values};
use record::{Field, Flow, FlowSink, Row};

/// Octets of the header.
pub const HEADER_LEN: usize = 16;

/// Octets of the smallest record: a header without elements.
pub const RECORD_LEN: usize = v3::LEN;

/// Elements that a record may have: more than there are extensions.
const MAX_ELEMENTS: usize = 128;

/// What the header of a datagram says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Octets of the datagram, this header included.
    pub length: u16,
    /// Seconds since 1970; those who send it leave it 0.
    pub export_secs: u32,
    /// Number of the datagram.
    pub sequence: u32,
    /// Records in the datagram.
    pub count: u32,
}

impl Header {
    /// Reads the 16 octets of a header.
    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, (_version, length, export_secs, sequence, count)) =
            (be_u16, be_u16, be_u32, be_u32, be_u32).parse(input)?;
        Ok((input, Self { length, export_secs, sequence, count }))
    }
}

/// Reads one datagram.
pub(crate) fn decode<S: FlowSink + ?Sized>(
    decoder: &mut Decoder,
    datagram: &Datagram<'_>,
    sink: &mut S,
) -> Result<(), DecodeError> {
    let bytes = datagram.bytes;
    let header = cursor::take(bytes, 0, ("nfd header", HEADER_LEN), Header::parse)
        .inspect_err(|_| decoder.counters.truncated_headers += 1)?;
    let at = decoder.exporter(datagram, Protocol::Nfd, 0, sink)?;
    if decoder.is_dropped(at, header.sequence, bytes, datagram.now_ms) {
        return Ok(());
    }
    let (len, have) = (usize::from(header.length), bytes.len());
    if len < HEADER_LEN {
        decoder.counters.bad_messages += 1;
        return Err(DecodeError::BadLength { what: "nfd message", at: 0, len });
    }
    // A count beyond what the octets can hold is damage: no measure of what is missing.
    let room = (len - HEADER_LEN) / RECORD_LEN;
    decoder.announce_flows(header.count.min(room as u32));
    let Some(state) = decoder.exporters.get_mut(at) else { return Ok(()) };
    let step = Step { number: header.sequence, units: Some(1), flows: None, uptime: None };
    state.observe(step, Unit::Datagrams, &mut decoder.counters);
    let sysid = state.exporter.sysid;

    let end = len.min(have);
    decoder.counters.trailing_bytes += (have - end) as u64;
    let mut fault = (len > have).then_some(DecodeError::Truncated {
        what: "nfd message",
        at: 0,
        need: len,
        have,
    });
    let mut reader = Reader { datagram, end, at: HEADER_LEN, read: 0, sysid };
    while let Err(e) = reader.read_all(decoder, sink) {
        fault.get_or_insert(e);
    }
    let (need, have) = (header.count, reader.read);
    if need > have {
        let (need, have) = (need as usize, have as usize);
        let what = "number of nfd records";
        fault.get_or_insert(DecodeError::Truncated { what, at: COUNT_AT, need, have });
    }
    let is_short = matches!(fault, Some(DecodeError::Truncated { .. }));
    decoder.counters.truncated_messages += u64::from(is_short);
    fault.map_or(Ok(()), Err)
}

/// Where the header has the number of records.
const COUNT_AT: usize = 12;

/// A way through the records of a datagram.
struct Reader<'a> {
    datagram: &'a Datagram<'a>,
    /// Where the message ends.
    end: usize,
    /// Where the next record begins.
    at: usize,
    /// Records met, of any kind.
    read: u32,
    /// Number of the exporter.
    sysid: u32,
}

impl<'a> Reader<'a> {
    /// Reads records to the end, or to the first that has a fault. Goes on behind it when called
    /// again.
    fn read_all<S: FlowSink + ?Sized>(
        &mut self,
        decoder: &mut Decoder,
        sink: &mut S,
    ) -> Result<(), DecodeError> {
        loop {
            let at = self.at;
            let (kind, record) = match self.next() {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(()),
                Err(e) => {
                    // Where the next record begins is not known.
                    self.at = self.end;
                    let is_short = matches!(e, DecodeError::Truncated { .. });
                    decoder.counters.truncated_records += u64::from(is_short);
                    decoder.counters.bad_records += u64::from(!is_short);
                    return Err(e);
                }
            };
            if kind != v3::TYPE {
                decoder.counters.foreign_records += 1;
                continue;
            }
            let Some(misfits) = read_record(record, &mut decoder.flow) else {
                decoder.counters.bad_records += 1;
                let (what, len) = ("element of nfd record", record.len());
                return Err(DecodeError::BadLength { what, at, len });
            };
            decoder.counters.wide_values += u64::from(misfits);
            stamp(&mut decoder.flow, self.datagram, self.sysid);
            sink.flow(&decoder.flow);
            decoder.counters.flows += 1;
        }
    }

    /// Type and octets of the next record.
    fn next(&mut self) -> Result<Option<(u16, &'a [u8])>, DecodeError> {
        let at = self.at;
        let rest = self.datagram.bytes.get(at..self.end).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let short =
            |need| DecodeError::Truncated { what: "nfd record", at, need, have: rest.len() };
        let [t0, t1, s0, s1] = *rest.first_chunk().ok_or_else(|| short(RECORD_LEN))?;
        let len = usize::from(u16::from_le_bytes([s0, s1]));
        if len < RECORD_LEN {
            return Err(DecodeError::BadLength { what: "nfd record", at, len });
        }
        let record = rest.get(..len).ok_or_else(|| short(len))?;
        self.at += len;
        self.read += 1;
        Ok(Some((u16::from_le_bytes([t0, t1]), record)))
    }
}

/// Fills the flow with what a record has. Returns how many values did not fit, `None` if its elements
/// are not those of a record of its size.
fn read_record(record: &[u8], flow: &mut Flow) -> Option<u32> {
    let mut elements = [Element::default(); MAX_ELEMENTS];
    let (mut count, mut end) = (0, v3::LEN);
    for element in v3::elements(record) {
        let element = element?;
        *elements.get_mut(count)? = element;
        count += 1;
        end = usize::from(element.at) + usize::from(element.len);
    }
    if end != record.len() {
        return None;
    }
    let elements = elements.get(..count)?;
    let mut shape = v3::shape(elements, Choice::default());
    let choice = Values::of(elements, &shape).choose(record);
    if choice != Choice::default() {
        shape = v3::shape(elements, choice);
    }
    Some(flow.assign(Row::new(record, &shape)))
}

/// What the receiver knows better than the record.
fn stamp(flow: &mut Flow, datagram: &Datagram<'_>, sysid: u32) {
    let flags = flow.number(Field::RecordFlags) & !u64::from(v3::SCRATCH_FLAG);
    flow.set(Field::RecordFlags, flags);
    flow.set(Field::ExporterId, u64::from(sysid));
    flow.set(Field::Received, datagram.now_ms);
    if !flow.has(Field::Router) {
        flow.set_addr(Field::Router, datagram.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::testing::{Collect, NfdBuilder, V3Record};
    use record::v3::EXTENSIONS;
    use record::{Addr, Kind};

    const NOW_MS: u64 = 1_795_000_000_123;
    const PEER: Addr = Addr::V4(0xc000_0201);

    /// Octets that are alike nowhere.
    fn octets(seed: u16, len: u16) -> Vec<u8> {
        (0..len).map(|n| (seed * 37 + n * 11 + 1) as u8).collect()
    }

    /// A flow from address 10.0.0.`n`, that says nothing of its exporter.
    fn record(n: u8) -> V3Record {
        V3Record::new((0x11, 1), 77, 0, 0x41)
            .element(1, &[vec![0; 24], octets(0, 24)].concat())
            .element(2, &[n, 0, 0, 10, 1, 2, 3, 4])
    }

    fn decode(datagrams: &[Vec<u8>]) -> (Decoder, Collect) {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for datagram in datagrams {
            decoder.decode(PEER, NOW_MS, datagram, &mut sink);
        }
        (decoder, sink)
    }

    /// A datagram of these records.
    fn datagram(records: &[Vec<u8>]) -> Vec<u8> {
        records.iter().fold(NfdBuilder::new(Header::default()), |b, r| b.record(r)).build()
    }

    #[test]
    fn every_field_of_every_extension_arrives() {
        for e in &EXTENSIONS {
            let tail = if e.tail.is_some() { 12 } else { 0 };
            let data = octets(e.id, e.len + tail);
            let record = V3Record::new((0x11, 1), 77, 2, 0x41).element(e.id, &data).build();
            let (decoder, sink) = decode(&[datagram(&[record])]);
            let row = sink.flows[0].as_row();
            for (field, at) in e.fields.iter().filter(|f| f.0 != Field::Received) {
                let at = usize::from(*at);
                let want = &data[at..at + usize::from(e.width(*field))];
                // A name is as long as its field, padding included.
                let len = if matches!(field.kind(), Kind::Text(_)) { 65 } else { want.len() };
                assert_eq!(row.bytes(*field), Some(&want[..len]), "ext {} {field:?}", e.id);
            }
            if let Some(tail) = e.tail {
                let want = &data[usize::from(e.len)..];
                assert_eq!(row.bytes(tail.field), Some(want), "ext {}", e.id);
            }
            assert_eq!(decoder.counters().bad_records, 0, "ext {}", e.id);
        }
    }

    #[test]
    fn the_receiver_knows_who_and_when() {
        let with_router = record(2).element(12, &[9, 0, 0, 10]);
        let scratched = V3Record::new((3, 4), 77, 0x82, 5).element(2, &[3; 8]);
        let records = [record(1), with_router, scratched].map(V3Record::build);
        let (_, sink) = decode(&[datagram(&records)]);
        let seen: Vec<_> = sink.flows.iter().map(|f| f.as_row()).collect();
        for row in &seen {
            assert_eq!(row.number(Field::ExporterId), 1);
            assert_eq!(row.number(Field::Received), NOW_MS);
        }
        let routers: Vec<_> = seen.iter().map(|r| r.addr(Field::Router).unwrap()).collect();
        assert_eq!(routers, [PEER, Addr::V4(0x0a00_0009), PEER]);
        let heads: Vec<_> = seen
            .iter()
            .map(|r| {
                [Field::EngineType, Field::EngineId, Field::RecordFlags, Field::Source]
                    .map(|f| r.number(f))
            })
            .collect();
        assert_eq!(heads, [[0x11, 1, 0, 0x41], [0x11, 1, 0, 0x41], [3, 4, 2, 5]]);
        assert_eq!((sink.exporters[0].version, sink.exporters[0].id), (250, 0));
    }

    #[test]
    fn of_two_families_the_values_choose_one() {
        let (v4, v6) = ([1, 0, 0, 10, 2, 0, 0, 10], octets(6, 32));
        for (name, v4, width) in [("both", v4, 4), ("IPv4 all 0", [0; 8], 16)] {
            let record = V3Record::new((0, 0), 0, 0, 10).element(2, &v4).element(3, &v6).build();
            let (_, sink) = decode(&[datagram(&[record])]);
            assert_eq!(sink.flows[0].slot(Field::SrcAddr).len, width, "{name}");
        }
    }

    #[test]
    fn the_sequence_counts_datagrams() {
        let number = |sequence| {
            let header = Header { sequence, ..Header::default() };
            let records = [record(1), record(2)].map(V3Record::build);
            records.iter().fold(NfdBuilder::new(header), |b, r| b.record(r)).build()
        };
        let (mut decoder, sink) = decode(&[0, 1, 2, 5, 6, 4].map(number));
        assert_eq!(sink.flows.len(), 12);
        let c = decoder.counters();
        assert_eq!((c.lost_datagrams, c.reordered, c.lost_records), (1, 1, 0));
        let counts = decoder.take_slots()[0].counts;
        assert_eq!((counts.missing_datagrams, counts.recovered_datagrams), (2, 1));
        assert_eq!(counts.sent_datagrams(), 7);
    }

    #[test]
    fn cut_at_each_octet_delivers_whole_records() {
        let records = [record(1), record(2), record(3)].map(V3Record::build);
        let full = datagram(&records);
        let len_of_one = records[0].len();
        for len in 0..full.len() {
            let (decoder, sink) = decode(&[full[..len].to_vec()]);
            let whole = len.saturating_sub(HEADER_LEN) / len_of_one;
            assert_eq!(sink.flows.len(), whole, "length {len}");
            let c = decoder.counters();
            assert_eq!(c.bad_datagrams, 1, "length {len}");
            let causes = [c.short_datagrams, c.truncated_headers, c.truncated_messages];
            assert_eq!(causes.iter().sum::<u64>(), 1, "length {len}");
        }
    }

    /// Counters that are of no interest here.
    const GOOD: [&str; 4] = ["datagrams", "bytes", "flows", "bad_datagrams"];

    #[test]
    fn damage_is_counted_by_cause() {
        let ok = || record(1).build();
        let odd = |at: usize, value: u16| {
            let mut record = record(2).build();
            record[at..at + 2].copy_from_slice(&value.to_le_bytes());
            record
        };
        let first = v3::LEN;
        let many = (0..129).fold(record(2), |r, _| r.element(7, &[0; 8])).build();
        let new = || NfdBuilder::new(Header::default());
        let around = |bad: Vec<u8>| datagram(&[ok(), bad, ok()]);
        for (name, datagram, flows, moved) in [
            ("size 0", around(odd(2, 0)), 1, &["bad_records"][..]),
            ("size 4", around(odd(2, 4)), 1, &["bad_records"]),
            ("size 11", around(odd(2, 11)), 1, &["bad_records"]),
            ("size beyond", around(odd(2, 999)), 1, &["truncated_messages", "truncated_records"]),
            ("another kind", around(odd(0, 7)), 2, &["foreign_records"]),
            ("the other byte order", around(odd(0, 0x0b00)), 2, &["foreign_records"]),
            ("too many elements", around(odd(4, 3)), 2, &["bad_records"]),
            ("65 535 elements", around(odd(4, 65_535)), 2, &["bad_records"]),
            ("too few elements", around(odd(4, 1)), 2, &["bad_records"]),
            ("more elements than kept", around(many), 2, &["bad_records"]),
            ("element of length 0", around(odd(first + 2, 0)), 2, &["bad_records"]),
            ("element of length 3", around(odd(first + 2, 3)), 2, &["bad_records"]),
            ("element beyond", around(odd(first + 2, 500)), 2, &["bad_records"]),
            ("unknown element", around(odd(first, 4000)), 3, &[]),
            ("count too high", new().record(&ok()).claim(2).build(), 1, &["truncated_messages"]),
            ("any count", new().record(&ok()).claim(u32::MAX).build(), 1, &["truncated_messages"]),
            ("count too low", new().record(&ok()).record(&ok()).claim(1).build(), 2, &[]),
            ("length 0", new().record(&ok()).claim_length(0).build(), 0, &["bad_messages"]),
            ("length 15", new().record(&ok()).claim_length(15).build(), 0, &["bad_messages"]),
            (
                "length high",
                new().record(&ok()).claim_length(999).build(),
                1,
                &["truncated_messages"],
            ),
            ("padded", [datagram(&[ok()]), vec![0; 9]].concat(), 1, &["trailing_bytes"]),
            ("nothing in it", new().build(), 0, &[]),
        ] {
            let (mut decoder, sink) = decode(&[datagram]);
            assert_eq!(sink.flows.len(), flows, "{name}");
            let c = *decoder.counters();
            let causes: Vec<_> = c
                .iter()
                .filter(|(name, _, n)| *n > 0 && !GOOD.contains(name))
                .map(|(name, _, _)| name)
                .collect();
            assert_eq!(causes, moved, "{name}");
            let is_bad = moved.iter().any(|m| !["foreign_records", "trailing_bytes"].contains(m));
            assert_eq!(c.bad_datagrams == 1, is_bad, "{name}");
            assert_eq!(decoder.take_slots()[0].counts.bad_datagrams, u64::from(is_bad), "{name}");
        }
    }
}
