//! Builders of export datagrams, for tests, fuzz corpora and load generators.
//!
//! They write whatever they are told, right or wrong; they are no exporter.

pub mod nat;

pub use crate::sflow::testing::{
    SflowBuilder, SflowRecord, SflowSample, extended_gateway, extended_router, extended_switch,
    if_counters, sampled_header, sampled_header_v4,
};

use crate::{ipfix, nfd, v1, v5, v7, v9};
use record::{Addr, Exporter, Flow, FlowSink, InterfaceSample, Meta, NameTable, Sampler, v3};

/// A sink that keeps everything.
#[derive(Clone, Debug, Default)]
pub struct Collect {
    /// Flows in order.
    pub flows: Vec<Flow>,
    /// Exporters as they were told.
    pub exporters: Vec<Exporter>,
    /// Samplers as they were told.
    pub samplers: Vec<Sampler>,
    /// Names as they were told: exporter, table, id, name.
    pub names: Vec<(u32, NameTable, u32, String)>,
    /// Applications as they were told: exporter, id, name, description.
    pub applications: Vec<(u32, Vec<u8>, String, String)>,
    /// Counters of interfaces in order.
    pub interfaces: Vec<InterfaceSample>,
}

impl FlowSink for Collect {
    fn flow(&mut self, flow: &Flow) {
        self.flows.push(flow.clone());
    }

    fn meta(&mut self, meta: Meta<'_>) {
        let text = |octets| String::from_utf8_lossy(octets).into_owned();
        match meta {
            Meta::Exporter(e) => self.exporters.push(e),
            Meta::Sampler(s) => self.samplers.push(s),
            Meta::Name { exporter, table, id, name } => {
                self.names.push((exporter, table, id, text(name)));
            }
            Meta::Application { exporter, id, name, description } => {
                self.applications.push((exporter, id.to_vec(), text(name), text(description)));
            }
        }
    }

    fn interface(&mut self, sample: &InterfaceSample) {
        self.interfaces.push(*sample);
    }
}

/// Octets of one data record, written field by field.
#[derive(Clone, Debug, Default)]
pub struct Record(Vec<u8>);

impl Record {
    /// An empty record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the low `len` octets of a number, big-endian.
    #[must_use]
    pub fn number(mut self, value: u64, len: usize) -> Self {
        let octets = u128::from(value).to_be_bytes();
        self.0.extend_from_slice(&octets[octets.len().saturating_sub(len)..]);
        self
    }

    /// Adds the 4 or 16 octets of an address.
    #[must_use]
    pub fn addr(mut self, addr: Addr) -> Self {
        match addr {
            Addr::V4(n) => self.0.extend_from_slice(&n.to_be_bytes()),
            Addr::V6(n) => self.0.extend_from_slice(&n.to_be_bytes()),
        }
        self
    }

    /// Adds octets as they are.
    #[must_use]
    pub fn octets(mut self, octets: &[u8]) -> Self {
        self.0.extend_from_slice(octets);
        self
    }

    /// Adds octets of variable length with their length (RFC 7011, 7).
    #[must_use]
    pub fn variable(mut self, octets: &[u8]) -> Self {
        match u8::try_from(octets.len()) {
            Ok(len) if len < 255 => self.0.push(len),
            _ => {
                self.0.push(255);
                self.0.extend_from_slice(&(octets.len() as u16).to_be_bytes());
            }
        }
        self.octets(octets)
    }

    /// What was written.
    pub fn build(self) -> Vec<u8> {
        self.0
    }
}

/// Records of one length, and how many the header says there are: v1, v5 and v7.
#[derive(Clone, Debug, Default)]
struct Records {
    octets: Vec<u8>,
    len: u16,
    claimed: Option<u16>,
}

impl Records {
    fn push(&mut self, record: &[u8]) {
        self.octets.extend_from_slice(record);
        self.len += 1;
    }

    /// A datagram of these records.
    fn behind(&self, version: u16, words: &[u32]) -> Vec<u8> {
        let mut out = self::words([version, self.claimed.unwrap_or(self.len)].into_iter());
        out.extend(words.iter().flat_map(|w| w.to_be_bytes()));
        out.extend_from_slice(&self.octets);
        out
    }
}

/// A v1 datagram.
#[derive(Clone, Debug, Default)]
pub struct V1Builder {
    header: v1::Header,
    records: Records,
}

impl V1Builder {
    /// A datagram with this header; its record count is filled in.
    pub fn new(header: v1::Header) -> Self {
        Self { header, ..Self::default() }
    }

    /// Adds a record: 48 octets, or 52.
    #[must_use]
    pub fn record<const LEN: usize>(mut self, record: [u8; LEN]) -> Self {
        self.records.push(&record);
        self
    }

    /// Claims so many records, whatever there are.
    #[must_use]
    pub const fn claim(mut self, count: u16) -> Self {
        self.records.claimed = Some(count);
        self
    }

    /// The datagram.
    pub fn build(&self) -> Vec<u8> {
        let h = &self.header;
        self.records.behind(1, &[h.uptime_ms, h.unix_secs, h.unix_nsecs])
    }
}

/// A v5 datagram.
#[derive(Clone, Debug, Default)]
pub struct V5Builder {
    header: v5::Header,
    records: Records,
}

impl V5Builder {
    /// A datagram with this header; its record count is filled in.
    pub fn new(header: v5::Header) -> Self {
        Self { header, ..Self::default() }
    }

    /// Adds a record: 48 octets.
    #[must_use]
    pub fn record(mut self, record: [u8; v5::RECORD_LEN]) -> Self {
        self.records.push(&record);
        self
    }

    /// Claims so many records, whatever there are.
    #[must_use]
    pub const fn claim(mut self, count: u16) -> Self {
        self.records.claimed = Some(count);
        self
    }

    /// The datagram.
    pub fn build(&self) -> Vec<u8> {
        let h = &self.header;
        let engine = u32::from(h.engine_type) << 24 | u32::from(h.engine_id) << 16;
        let last = engine | u32::from(h.sampling);
        self.records.behind(5, &[h.uptime_ms, h.unix_secs, h.unix_nsecs, h.sequence, last])
    }
}

/// A v7 datagram.
#[derive(Clone, Debug, Default)]
pub struct V7Builder {
    header: v7::Header,
    records: Records,
}

impl V7Builder {
    /// A datagram with this header; its record count is filled in.
    pub fn new(header: v7::Header) -> Self {
        Self { header, ..Self::default() }
    }

    /// Adds a record: 52 octets.
    #[must_use]
    pub fn record(mut self, record: [u8; v7::RECORD_LEN]) -> Self {
        self.records.push(&record);
        self
    }

    /// Claims so many records, whatever there are.
    #[must_use]
    pub const fn claim(mut self, count: u16) -> Self {
        self.records.claimed = Some(count);
        self
    }

    /// The datagram.
    pub fn build(&self) -> Vec<u8> {
        let h = &self.header;
        let words = [h.uptime_ms, h.unix_secs, h.unix_nsecs, h.sequence, h.reserved];
        self.records.behind(7, &words)
    }
}

/// A datagram of nfdump's own transport, version 250.
#[derive(Clone, Debug, Default)]
pub struct NfdBuilder {
    header: nfd::Header,
    records: Vec<u8>,
    count: u32,
    length: Option<u16>,
    claimed: Option<u32>,
}

impl NfdBuilder {
    /// A datagram with this header; its length and record count are filled in.
    pub fn new(header: nfd::Header) -> Self {
        Self { header, ..Self::default() }
    }

    /// Adds a record: see [`V3Record`].
    #[must_use]
    pub fn record(mut self, record: &[u8]) -> Self {
        self.records.extend_from_slice(record);
        self.count += 1;
        self
    }

    /// Claims so many records, whatever there are.
    #[must_use]
    pub const fn claim(mut self, count: u32) -> Self {
        self.claimed = Some(count);
        self
    }

    /// Claims so many octets, whatever there are.
    #[must_use]
    pub const fn claim_length(mut self, length: u16) -> Self {
        self.length = Some(length);
        self
    }

    /// The datagram.
    pub fn build(&self) -> Vec<u8> {
        let h = &self.header;
        let length = (nfd::HEADER_LEN + self.records.len()) as u16;
        let mut out = words([250, self.length.unwrap_or(length)].into_iter());
        for word in [h.export_secs, h.sequence, self.claimed.unwrap_or(self.count)] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.records);
        out
    }
}

/// A V3 record, element by element (file format, 6). Its octets are little-endian.
#[derive(Clone, Debug)]
pub struct V3Record {
    octets: Vec<u8>,
    elements: u16,
}

impl V3Record {
    /// A record without elements: engine type and id, number of the exporter, flags, source.
    pub fn new((engine_type, engine_id): (u8, u8), exporter: u16, flags: u8, source: u8) -> Self {
        let mut octets = v3::TYPE.to_le_bytes().to_vec();
        octets.extend_from_slice(&[0; 4]);
        octets.extend_from_slice(&[engine_type, engine_id]);
        octets.extend_from_slice(&exporter.to_le_bytes());
        octets.extend_from_slice(&[flags, source]);
        Self { octets, elements: 0 }
    }

    /// Adds an element with this data.
    #[must_use]
    pub fn element(mut self, id: u16, data: &[u8]) -> Self {
        let len = (data.len() + v3::ELEMENT_HEADER) as u16;
        self.octets.extend([id, len].into_iter().flat_map(u16::to_le_bytes));
        self.octets.extend_from_slice(data);
        self.elements += 1;
        self
    }

    /// Claims so many elements, whatever there are.
    #[must_use]
    pub const fn claim(mut self, elements: u16) -> Self {
        self.elements = elements;
        self
    }

    /// The record.
    pub fn build(mut self) -> Vec<u8> {
        let len = self.octets.len() as u16;
        self.octets.splice(2..6, [len, self.elements].into_iter().flat_map(u16::to_le_bytes));
        self.octets
    }
}

/// A v9 datagram. The header's count is what RFC 3954 wants: records of all kinds.
#[derive(Clone, Debug, Default)]
pub struct V9Builder {
    header: v9::Header,
    sets: Vec<u8>,
    count: u16,
}

impl V9Builder {
    /// A datagram with this header; its record count is filled in.
    pub fn new(header: v9::Header) -> Self {
        Self { header, ..Self::default() }
    }

    /// Adds a template of (element, length).
    #[must_use]
    pub fn template(mut self, id: u16, fields: &[(u16, u16)]) -> Self {
        let body = words([id, fields.len() as u16].into_iter().chain(pairs(fields)));
        self.count += 1;
        self.set(v9::TEMPLATES, &body)
    }

    /// Adds an options template: (scope type, length) and (element, length).
    #[must_use]
    pub fn options_template(
        mut self,
        id: u16,
        scopes: &[(u16, u16)],
        options: &[(u16, u16)],
    ) -> Self {
        let head = [id, scopes.len() as u16 * 4, options.len() as u16 * 4];
        let body = words(head.into_iter().chain(pairs(scopes)).chain(pairs(options)));
        self.count += 1;
        self.set(v9::OPTIONS_TEMPLATES, &body)
    }

    /// Adds a data set of whole records.
    #[must_use]
    pub fn data(mut self, template: u16, records: &[Vec<u8>]) -> Self {
        self.count += records.len() as u16;
        self.set(template, &records.concat())
    }

    /// Adds any set, padded to a multiple of 4 octets.
    #[must_use]
    pub fn set(mut self, id: u16, body: &[u8]) -> Self {
        push_set(&mut self.sets, id, body, true);
        self
    }

    /// The datagram.
    pub fn build(&self) -> Vec<u8> {
        let h = &self.header;
        let mut out = words([9, self.count].into_iter());
        for word in [h.uptime_ms, h.unix_secs, h.sequence, h.source_id] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.sets);
        out
    }
}

/// An IPFIX message.
#[derive(Clone, Debug, Default)]
pub struct IpfixBuilder {
    header: ipfix::Header,
    sets: Vec<u8>,
    length: Option<u16>,
}

impl IpfixBuilder {
    /// A message with this header; its length is filled in.
    pub fn new(header: ipfix::Header) -> Self {
        Self { header, ..Self::default() }
    }

    /// Adds a template of (enterprise, element, length), enterprise 0 for IANA; length 65535
    /// where each record says.
    #[must_use]
    pub fn template(self, id: u16, fields: &[(u32, u16, u16)]) -> Self {
        let mut body = words([id, fields.len() as u16].into_iter());
        push_fields(&mut body, fields);
        self.set(ipfix::TEMPLATES, &body)
    }

    /// Adds an options template whose first `scopes` fields are its scope.
    #[must_use]
    pub fn options_template(self, id: u16, scopes: u16, fields: &[(u32, u16, u16)]) -> Self {
        let mut body = words([id, fields.len() as u16, scopes].into_iter());
        push_fields(&mut body, fields);
        self.set(ipfix::OPTIONS_TEMPLATES, &body)
    }

    /// Withdraws a template; id 2 withdraws all.
    #[must_use]
    pub fn withdraw(self, id: u16) -> Self {
        self.set(ipfix::TEMPLATES, &words([id, 0].into_iter()))
    }

    /// Withdraws an options template; id 3 withdraws all.
    #[must_use]
    pub fn withdraw_options(self, id: u16) -> Self {
        self.set(ipfix::OPTIONS_TEMPLATES, &words([id, 0].into_iter()))
    }

    /// Adds a data set of whole records.
    #[must_use]
    pub fn data(self, template: u16, records: &[Vec<u8>]) -> Self {
        self.set(template, &records.concat())
    }

    /// Adds any set.
    #[must_use]
    pub fn set(mut self, id: u16, body: &[u8]) -> Self {
        push_set(&mut self.sets, id, body, false);
        self
    }

    /// Claims this length, whatever it is.
    #[must_use]
    pub const fn claim(mut self, length: u16) -> Self {
        self.length = Some(length);
        self
    }

    /// The message.
    pub fn build(&self) -> Vec<u8> {
        let h = &self.header;
        let length = (ipfix::HEADER_LEN + self.sets.len()) as u16;
        let mut out = words([10, self.length.unwrap_or(length)].into_iter());
        for word in [h.export_secs, h.sequence, h.domain] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.sets);
        out
    }
}

fn push_set(out: &mut Vec<u8>, id: u16, body: &[u8], is_padded: bool) {
    let padding = if is_padded { body.len().next_multiple_of(4) - body.len() } else { 0 };
    out.extend(words([id, (4 + body.len() + padding) as u16].into_iter()));
    out.extend_from_slice(body);
    out.resize(out.len() + padding, 0);
}

fn push_fields(out: &mut Vec<u8>, fields: &[(u32, u16, u16)]) {
    for &(pen, id, len) in fields {
        let flag = if pen == 0 { 0 } else { 0x8000 };
        out.extend(words([id | flag, len].into_iter()));
        if pen != 0 {
            out.extend_from_slice(&pen.to_be_bytes());
        }
    }
}

fn pairs(fields: &[(u16, u16)]) -> impl Iterator<Item = u16> + '_ {
    fields.iter().flat_map(|&(id, len)| [id, len])
}

fn words(words: impl Iterator<Item = u16>) -> Vec<u8> {
    words.flat_map(u16::to_be_bytes).collect()
}
