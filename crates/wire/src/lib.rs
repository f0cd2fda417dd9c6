//! Export protocols of flowsuite: NetFlow v1, v5, v7, v9, IPFIX, sFlow and nfdump's own version
//! 250. Datagrams become flows.
//!
//! A [`Decoder`] is all state of one collector. It takes datagrams with the address they came from
//! and the time, and pushes each flow into a [`FlowSink`]; what exporters say of themselves
//! (samplers, names) goes there too. It knows no files, no sockets and no clock, and nothing in a
//! datagram makes it panic, stall or take memory beyond [`Limits`].
//!
//! In reading order:
//!
//! * `v1`, `v5`, `v7`, `v9`, `ipfix`, `nfd`: one file for each protocol, with its header and what is
//!   its own;
//! * `fixed`: what v1, v5 and v7 have in common; `frames`: IPFIX messages in a stream;
//! * `sflow`: versions 2, 4 and 5 of a protocol that has packets and counters, and no templates;
//! * `set`: what v9 and IPFIX have in common;
//! * `template`, `plan`, `element`: a template is compiled once into copy steps; the element table
//!   says which information element goes where;
//! * `ready`: plain records straight into the form of files;
//! * `registry`: what elements and enterprises are called;
//! * `biflow`: records of two directions;
//! * `section`: pieces of packets instead of flows;
//! * `structured`: lists inside records;
//! * `derive`: times, ICMP, events, sampling: what no element carries by itself;
//! * [`packet`]: captured frames, as sampled headers and sections have them;
//! * `options`, `exporter`, `sequence`: what is known of each exporter;
//! * `parked`: data before its template; `recent`: datagrams that come twice; `session`: TCP;
//! * [`export`]: the other way round, flows become datagrams;
//! * [`Snapshot`]: what outlasts a restart of the collector;
//! * [`Counters`]: everything that was dropped, by cause; [`ExporterCounts`]: by exporter.
//!
//! Counts and causes, not logs: the caller compares [`Counters`] and says what it finds.

mod biflow;
mod counters;
mod cursor;
mod derive;
mod element;
mod error;
pub mod export;
mod exporter;
mod fixed;
mod frames;
pub mod ipfix;
mod ledger;
#[cfg(test)]
mod lengths;
pub mod nfd;
mod options;
pub mod packet;
mod parked;
mod plan;
mod ready;
mod recent;
mod registry;
mod section;
mod sequence;
mod session;
mod set;
pub mod sflow;
mod snapshot;
mod structured;
mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod unknown;
pub mod v1;
pub mod v5;
pub mod v7;
pub mod v9;

pub use counters::Counters;
pub use error::DecodeError;
pub use exporter::{ExporterView, Reported};
pub use ledger::{ExporterCounts, ExporterSlot};
pub use parked::Waiting;
pub use registry::{element_is_stored, element_name, enterprise_name};
pub use snapshot::{Continuity, Restored, Snapshot, SnapshotVersion};
pub use template::{FieldSpec, TemplateView};
pub use unknown::{Sighting, UnknownElement};

use exporter::Exporters;
use ledger::Open;
use parked::ParkingLot;
use plan::Kept;
use record::{Addr, ExporterStats, Flow, FlowSink, Sampler};
use session::Transport;
use set::Deferred;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use template::Budgets;
use unknown::UnknownElements;

/// How a decoder is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// A sampling rate given by the operator.
    pub default_sampling: Option<DefaultSampling>,
    /// Whether a sampled packet (sFlow, packet sections) that is a tunnel becomes the flow inside it, and the tunnel's ends
    /// go to fields of their own. Otherwise the outer packet is the flow.
    pub decode_tunnels: bool,
    /// How much exporters may make the decoder remember.
    pub limits: Limits,
    /// Whether a datagram is dropped that equals one of its exporter's last 64 octet for octet,
    /// has no new sequence number, and comes within a second of it: the network has doubled it.
    /// Off unless told.
    pub drop_duplicates: bool,
}

impl Config {
    /// How far sampled packets are followed.
    const fn depth(&self) -> packet::Depth {
        if self.decode_tunnels { packet::Depth::Innermost } else { packet::Depth::Outer }
    }
}

/// A sampling rate given by the operator: one packet of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultSampling {
    /// For records whose exporter announces no rate.
    Otherwise(u32),
    /// In place of whatever exporters announce.
    Override(u32),
}

impl DefaultSampling {
    fn sampler(self, exporter: u32) -> Sampler {
        let (id, rate) = match self {
            Self::Otherwise(rate) => (Sampler::DEFAULT, rate),
            Self::Override(rate) => (Sampler::OVERRIDE, rate),
        };
        let space_interval = rate.saturating_sub(1);
        Sampler { exporter, algorithm: 0, id, packet_interval: 1, space_interval }
    }
}

/// How much exporters may make the decoder remember. Whatever does not fit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Exporters: address, protocol and id. 100 000 unless told; those beyond the 65 535th have
    /// no number.
    pub exporters: usize,
    /// Exporters of one address: an exporter may have as many ids as it likes. 4096 unless told.
    pub exporters_per_sender: usize,
    /// Octets that templates, samplers and names of one address take together. 8 MiB unless told.
    pub bytes_per_sender: usize,
    /// Templates of one exporter and domain. 4096 unless told.
    pub templates_per_exporter: usize,
    /// Fields of one template. 1024 unless told.
    pub fields_per_template: usize,
    /// Octets that all templates of all exporters take together. 64 MiB unless told.
    pub template_bytes: usize,
    /// Samplers of one exporter, and data sources of one sFlow agent. 4096 unless told.
    pub samplers_per_exporter: usize,
    /// Octets that samplers of all exporters take together. 64 MiB, some 700 000 samplers, unless
    /// told. What the operator gave is not counted.
    pub sampler_bytes: usize,
    /// Octets that names of interfaces, VRFs and applications of all exporters take together.
    /// 64 MiB unless told.
    pub name_bytes: usize,
    /// Unknown elements that are listed. 1000 unless told.
    pub unknown_elements: usize,
    /// Octets of data sets of one exporter that wait for their templates, with some 200 for each
    /// set. 1 MiB unless told; 0 keeps none.
    pub parked_bytes_per_exporter: usize,
    /// Octets of data sets of all exporters that wait for their templates. 64 MiB unless told; 0
    /// keeps none.
    pub parked_bytes: usize,
    /// How long data sets wait for their templates, in milliseconds. Half an hour unless told; 0
    /// keeps none.
    pub parked_ms: u64,
    /// Age at which a template is left out when a snapshot is restored, in milliseconds. 24 hours
    /// unless told.
    pub restored_age_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            exporters: 100_000,
            exporters_per_sender: 4096,
            bytes_per_sender: 8 << 20,
            templates_per_exporter: 4096,
            fields_per_template: 1024,
            template_bytes: 64 << 20,
            samplers_per_exporter: 4096,
            sampler_bytes: 64 << 20,
            name_bytes: 64 << 20,
            unknown_elements: 1000,
            parked_bytes_per_exporter: 1 << 20,
            parked_bytes: 64 << 20,
            parked_ms: 30 * 60 * 1000,
            restored_age_ms: 24 * 60 * 60 * 1000,
        }
    }
}

/// Export protocols that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    V1,
    V5,
    V7,
    V9,
    Ipfix,
    Nfd,
    /// All versions: which one is in each datagram.
    Sflow,
}

impl Protocol {
    /// The version in its headers, and in [`record::Exporter::version`], where sFlow is 9999.
    const fn version(self) -> u16 {
        match self {
            Self::V1 => 1,
            Self::V5 => 5,
            Self::V7 => 7,
            Self::V9 => 9,
            Self::Ipfix => 10,
            Self::Nfd => 250,
            Self::Sflow => 9999,
        }
    }

    /// The protocol of exporters of this version.
    fn with_version(version: u32) -> Option<Self> {
        const ALL: [Protocol; 7] = {
            use Protocol::*;
            [V1, V5, V7, V9, Ipfix, Nfd, Sflow]
        };
        ALL.into_iter().find(|p| u32::from(p.version()) == version)
    }

    /// The protocol of a datagram that begins with these octets. sFlow has 32 bits of version where
    /// the others have 16, so its first two octets are 0.
    fn of(version: u16, datagram: &[u8]) -> Option<Self> {
        match version {
            1 => Some(Self::V1),
            0 if sflow::is_version(datagram) => Some(Self::Sflow),
            5 => Some(Self::V5),
            7 => Some(Self::V7),
            9 => Some(Self::V9),
            10 => Some(Self::Ipfix),
            250 => Some(Self::Nfd),
            _ => None,
        }
    }

    /// What [`record::Field::Source`] says: files know no v7, its records are those of v5 (file
    /// format, 6.1).
    const fn source(self) -> u8 {
        match self {
            Self::V7 => Self::V5.source(),
            other => other.version() as u8,
        }
    }
}

/// What one datagram came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Flows delivered.
    pub flows: u64,
    /// The first fault; flows that were whole were delivered all the same.
    pub error: Option<DecodeError>,
}

impl Outcome {
    /// Whether the datagram had a fault.
    pub const fn is_bad(&self) -> bool {
        self.error.is_some()
    }
}

/// One datagram and its circumstances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) peer: Addr,
    pub(crate) now_ms: u64,
    pub(crate) bytes: &'a [u8],
}

/// All state of one collector.
///
/// ```
/// use record::{Addr, Flow, FlowSink, Meta};
///
/// struct Count(u64);
/// impl FlowSink for Count {
///     fn flow(&mut self, _: &Flow) {
///         self.0 += 1;
///     }
///     fn meta(&mut self, _: Meta<'_>) {}
/// }
///
/// let mut decoder = wire::Decoder::new(wire::Config::default());
/// let mut sink = Count(0);
/// let outcome = decoder.decode(Addr::V4(0xc000_0201), 1_795_000_000_000, b"\0\x08junk", &mut sink);
/// assert_eq!(outcome.error, Some(wire::DecodeError::UnknownVersion(8)));
/// assert_eq!(decoder.counters().unknown_version, 1);
/// ```
#[derive(Debug)]
pub struct Decoder {
    pub(crate) config: Config,
    pub(crate) counters: Counters,
    pub(crate) exporters: Exporters,
    pub(crate) unknown: UnknownElements,
    pub(crate) structures: sflow::Structures,
    pub(crate) budgets: Budgets,
    /// Reused for every flow.
    pub(crate) flow: Flow,
    /// The other direction of a biflow.
    pub(crate) back: Flow,
    pub(crate) kept: Kept,
    /// Records that are complete as they are.
    pub(crate) batch: ready::Batch,
    /// How to write those of v5: four layouts, for exporters of either family.
    pub(crate) ready_v5: [OnceCell<Option<ready::Ready>>; 8],
    pub(crate) deferred: Vec<Deferred>,
    /// The message being read.
    pub(crate) open: Option<Open>,
    pub(crate) parking: ParkingLot,
    /// The transport session of the message being read, if it has one.
    pub(crate) session: Option<u32>,
    /// By session and exporter.
    pub(crate) sessions: BTreeMap<(u32, usize), Transport>,
    /// When the latest datagram came.
    pub(crate) now_ms: u64,
}

impl Decoder {
    /// A decoder that knows no exporter yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            counters: Counters::default(),
            exporters: Exporters::default(),
            unknown: UnknownElements::new(config.limits.unknown_elements),
            structures: sflow::Structures::new(config.limits.unknown_elements),
            budgets: Budgets::new(&config.limits),
            flow: Flow::new(),
            back: Flow::new(),
            kept: Kept::default(),
            batch: ready::Batch::default(),
            ready_v5: Default::default(),
            deferred: Vec::new(),
            open: None,
            parking: ParkingLot::default(),
            session: None,
            sessions: BTreeMap::new(),
            now_ms: 0,
        }
    }

    /// Reads one datagram that came from `peer` at `now_ms`, milliseconds since 1970, and pushes
    /// its flows into `sink`.
    ///
    /// An IPv4-mapped IPv6 peer is taken for the IPv4 address it is. Flows before a fault are
    /// delivered.
    pub fn decode<S: FlowSink + ?Sized>(
        &mut self,
        peer: Addr,
        now_ms: u64,
        datagram: &[u8],
        sink: &mut S,
    ) -> Outcome {
        self.session = None;
        self.read(peer, now_ms, datagram, sink)
    }

    fn read<S: FlowSink + ?Sized>(
        &mut self,
        peer: Addr,
        now_ms: u64,
        datagram: &[u8],
        sink: &mut S,
    ) -> Outcome {
        self.now_ms = now_ms;
        // Of a datagram whose sink has panicked these may be left.
        self.close_message();
        self.deferred.clear();
        self.batch.clear();
        let before = self.counters.flows;
        self.counters.datagrams += 1;
        self.counters.bytes += datagram.len() as u64;
        let datagram = Datagram { peer: unmapped(peer), now_ms, bytes: datagram };
        let result = self.dispatch(&datagram, sink);
        self.close_message();
        self.counters.bad_datagrams += u64::from(result.is_err());
        Outcome { flows: self.counters.flows - before, error: result.err() }
    }

    fn dispatch<S: FlowSink + ?Sized>(
        &mut self,
        datagram: &Datagram<'_>,
        sink: &mut S,
    ) -> Result<(), DecodeError> {
        let Some((version, _)) = datagram.bytes.split_first_chunk::<2>() else {
            self.counters.short_datagrams += 1;
            let (need, have) = (2, datagram.bytes.len());
            return Err(DecodeError::Truncated { what: "datagram", at: 0, need, have });
        };
        let version = u16::from_be_bytes(*version);
        match Protocol::of(version, datagram.bytes) {
            Some(Protocol::Sflow) => sflow::decode(self, datagram, sink),
            Some(Protocol::V1) => v1::decode(self, datagram, sink),
            Some(Protocol::V5) => v5::decode(self, datagram, sink),
            Some(Protocol::V7) => v7::decode(self, datagram, sink),
            Some(Protocol::V9) => v9::decode(self, datagram, sink),
            Some(Protocol::Ipfix) => ipfix::decode(self, datagram, sink),
            Some(Protocol::Nfd) => nfd::decode(self, datagram, sink),
            None => {
                self.counters.unknown_version += 1;
                Err(DecodeError::UnknownVersion(version))
            }
        }
    }

    /// The exporter a message is of. All that is counted from here on, to the next call or the end
    /// of the datagram, is put down to it.
    pub(crate) fn exporter<S: FlowSink + ?Sized>(
        &mut self,
        datagram: &Datagram<'_>,
        protocol: Protocol,
        id: u32,
        sink: &mut S,
    ) -> Result<usize, DecodeError> {
        self.agent(datagram, protocol, id, datagram.peer, sink)
    }

    /// The exporter a message is of that names itself: several agents may be behind one sender.
    pub(crate) fn agent<S: FlowSink + ?Sized>(
        &mut self,
        datagram: &Datagram<'_>,
        protocol: Protocol,
        id: u32,
        agent: Addr,
        sink: &mut S,
    ) -> Result<usize, DecodeError> {
        self.close_message();
        let key = (datagram.peer, protocol, id, agent);
        let at = match self.exporters.find(key) {
            Some(at) => at,
            None => self.new_exporter(key, datagram.now_ms, sink)?,
        };
        if let Some(state) = self.exporters.get_mut(at) {
            state.hear(datagram.now_ms);
        }
        let session = self.session;
        self.swap_transport(session, at);
        self.open = Some(Open::new(at, session, &self.counters));
        Ok(at)
    }

    #[cold]
    fn new_exporter<S: FlowSink + ?Sized>(
        &mut self,
        key: exporter::Key,
        now_ms: u64,
        sink: &mut S,
    ) -> Result<usize, DecodeError> {
        let limits = &self.config.limits;
        if self.exporters.is_full(key.0, limits) {
            let in_use = self.sessions.keys().map(|(_, at)| *at).collect();
            let forgotten = self.exporters.forget_silent(now_ms, &in_use, &mut self.budgets);
            self.counters.exporters_forgotten += forgotten;
        }
        let added = self.exporters.add_new(key, &self.config, &mut self.counters, sink);
        added.ok_or(DecodeError::TooManyExporters { limit: self.config.limits.exporters })
    }

    /// Says that the header of the message being read announces so many flows.
    pub(crate) const fn announce_flows(&mut self, flows: u32) {
        if let Some(open) = &mut self.open {
            open.announced = Some(flows);
        }
    }

    /// Puts the message that was read down to its exporter.
    fn close_message(&mut self) {
        let Some(Open { exporter, session, .. }) = self.open else { return };
        self.swap_transport(session, exporter);
        // Where it lies: taken out by wide moves it would have to wait for all stores before it, and
        // these are rows on their way to memory.
        if let (Some(open), Some(state)) = (&self.open, self.exporters.get_mut(exporter)) {
            state.ledger.close(open, &self.counters);
        }
        self.open = None;
    }

    /// Tells a sink all exporters with their samplers and names: what begins each new file.
    pub fn announce<S: FlowSink + ?Sized>(&self, sink: &mut S) {
        for state in self.exporters.iter() {
            state.announce(sink);
        }
    }

    /// What each exporter did since the last call, in order of appearance: all of them, those too
    /// that were silent.
    pub fn take_slots(&mut self) -> Vec<ExporterSlot> {
        self.exporters.take_slots()
    }

    /// What flow files keep of [`take_slots`](Self::take_slots), in place of which it is called.
    /// Exporters that have no number are left out.
    pub fn take_stats(&mut self) -> Vec<ExporterStats> {
        let slots = self.take_slots();
        slots.iter().filter(|s| s.exporter.sysid != 0).map(ExporterSlot::stats).collect()
    }

    /// What was received, delivered and dropped so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All exporters in order of appearance.
    pub fn exporters(&self) -> impl Iterator<Item = ExporterView<'_>> {
        self.exporters.iter().map(exporter::State::view)
    }

    /// All templates, by exporter and id; those of transport sessions come last.
    pub fn templates(&self) -> impl Iterator<Item = TemplateView<'_>> {
        let states = self.exporters.iter().map(|s| (s.exporter.sysid, &s.templates));
        let sessions = self.sessions.iter().filter_map(|((_, at), transport)| {
            Some((self.exporters.get(*at)?.exporter.sysid, &transport.templates))
        });
        states.chain(sessions).flat_map(|(exporter, templates)| templates.views(exporter))
    }

    /// Elements in templates that no flow field takes, or not with their length, by enterprise and
    /// number.
    pub fn unknown_elements(&self) -> impl Iterator<Item = UnknownElement> + '_ {
        self.unknown.iter()
    }

    /// Samples and records of sFlow that were seen, by kind and format: those that no flow field
    /// takes and those that nobody here knows among them.
    pub fn sflow_structures(&self) -> impl Iterator<Item = sflow::Structure> + '_ {
        self.structures.iter()
    }
}

/// The IPv4 address of an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2).
fn unmapped(peer: Addr) -> Addr {
    match peer {
        Addr::V6(n) if n >> 32 == 0xffff => Addr::V4(n as u32),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        Collect, IpfixBuilder, NfdBuilder, Record, V1Builder, V3Record, V5Builder, V7Builder,
        V9Builder,
    };
    use record::Field;

    const PEER: Addr = Addr::V4(0xc000_0201);
    const NOW_MS: u64 = 1_795_000_000_000;

    /// A datagram of each protocol, with every kind of set.
    fn samples() -> Vec<Vec<u8>> {
        let flow = Record::new().number(0x0a00_0001, 4).number(100, 8).number(22, 2).number(1, 1);
        let option = Record::new().number(1, 4).number(7, 4).number(100, 4).octets(b"Gi0/1   ");
        let v9 = V9Builder::new(v9::Header { uptime_ms: 9000, ..v9::Header::default() })
            .options_template(257, &[(1, 4)], &[(48, 4), (50, 4), (82, 8)])
            .data(257, &[option.build()])
            .template(256, &[(8, 4), (1, 8), (7, 2), (4, 1), (27, 16), (32, 2), (22, 4), (95, 5)])
            .data(256, &[flow.octets(&[1; 27]).build()])
            .data(300, &[vec![1; 20]]);
        let fields =
            [(0, 8, 4), (0, 1, 8), (0, 82, 65535), (29305, 1, 4), (637, 93, 65535), (0, 21, 4)];
        let ipfix = IpfixBuilder::new(ipfix::Header::default())
            .options_template(257, 1, &[(0, 149, 4), (0, 302, 4), (0, 305, 4), (0, 84, 65535)])
            .data(257, &[Record::new().octets(&[0; 12]).variable(b"map").build()])
            .template(256, &fields)
            .data(256, &[Record::new().octets(&[3; 12]).variable(b"a").octets(&[4; 4]).build()])
            .withdraw(256);
        let v5 = V5Builder::new(v5::Header::default()).record([5; v5::RECORD_LEN]);
        let v1 = V1Builder::new(v1::Header::default()).record([1; v1::RECORD_LEN]);
        let v7 = V7Builder::new(v7::Header::default()).record([7; v7::RECORD_LEN]);
        let record = V3Record::new((1, 2), 3, 0, 10).element(1, &[9; 48]).element(2, &[8; 8]);
        let record = record.element(27, b"application").element(24, &[b'u'; 68]).build();
        let nfd = NfdBuilder::new(nfd::Header::default()).record(&record).record(&record);
        vec![v1.build(), v5.build(), v7.build(), v9.build(), ipfix.build(), nfd.build()]
    }

    #[test]
    fn damaged_datagrams_are_survived() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) as usize
        };
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for sample in samples() {
            for _ in 0..20_000 {
                let mut damaged = sample.clone();
                for _ in 0..1 + next() % 4 {
                    let at = 2 + next() % (damaged.len() - 2);
                    damaged[at] = [0, 1, 255, next() as u8][next() % 4];
                }
                damaged.truncate(1 + next() % (damaged.len() * 2));
                let outcome = decoder.decode(PEER, NOW_MS, &damaged, &mut sink);
                assert_eq!(outcome.flows as usize, sink.flows.len());
                sink.flows.clear();
            }
        }
        assert!(decoder.counters().flows > 10_000);
    }

    /// A sink that panics at its first flow.
    struct Panics;

    impl FlowSink for Panics {
        fn flow(&mut self, _: &Flow) {
            panic!("a sink that fails");
        }

        fn meta(&mut self, _: record::Meta<'_>) {}
    }

    #[test]
    fn a_datagram_whose_sink_panics_leaves_nothing_to_the_next() {
        use std::panic::{AssertUnwindSafe, catch_unwind};
        let mut decoder = Decoder::new(Config::default());
        // A set that is put off, then a flow.
        let data = [Record::new().number(7, 4).build()];
        let datagram = V9Builder::new(v9::Header::default())
            .template(300, &[(1, 4)])
            .data(301, &[vec![9; 16]])
            .data(300, &data)
            .build();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            decoder.decode_stream(1, PEER, NOW_MS, &datagram, &mut Panics)
        }));
        assert!(outcome.is_err());
        let mut sink = Collect::default();
        let next = V9Builder::new(v9::Header::default()).template(301, &[(1, 4)]).build();
        decoder.decode(Addr::V4(9), NOW_MS, &next, &mut sink);
        assert_eq!((sink.flows.len(), decoder.counters().sets_deferred), (0, 0));
        assert_eq!(decoder.exporters().map(|e| e.templates).collect::<Vec<_>>(), [0, 1]);
        decoder.end_session(1);
        assert_eq!(decoder.templates().count(), 1);
    }

    #[test]
    fn versions_not_understood_are_counted() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for version in 0..=300u16 {
            let datagram = [&version.to_be_bytes()[..], &[0; 2]].concat();
            let outcome = decoder.decode(PEER, NOW_MS, &datagram, &mut sink);
            let is_known = [1, 5, 7, 9, 10, 250].contains(&version);
            let error = outcome.error.unwrap();
            assert_eq!(error == DecodeError::UnknownVersion(version), !is_known, "{version}");
            assert_eq!(error.is_foreign(), !is_known, "{version}");
        }
        assert_eq!(decoder.counters().unknown_version, 295);
        assert_eq!(decoder.counters().truncated_headers, 6);
        assert!(decoder.decode(PEER, NOW_MS, &[9], &mut sink).error.unwrap().is_foreign());
        assert!(sink.exporters.is_empty());
    }

    #[test]
    fn exporters_beyond_the_last_number_have_none() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let datagram = V5Builder::new(v5::Header::default()).record([5; v5::RECORD_LEN]).build();
        for peer in 1..=65_537 {
            decoder.decode(Addr::V4(peer), NOW_MS, &datagram, &mut sink);
        }
        let numbers: Vec<_> = sink.flows.iter().map(|f| f.number(Field::ExporterId)).collect();
        assert_eq!(numbers[65_533..], [65_534, 65_535, 0, 0]);
        assert_eq!(sink.exporters.len(), 65_535);
        assert_eq!(decoder.counters().exporters_unnumbered, 2);
        assert_eq!(decoder.take_stats().len(), 65_535);
        // A snapshot has as many, and says so again.
        let mut restored = Decoder::new(Config::default());
        restored.restore(decoder.snapshot(), NOW_MS, Continuity::Clean).unwrap();
        assert_eq!(restored.counters().exporters_unnumbered, 2);
    }

    #[test]
    fn when_numbers_are_used_up_the_lowest_free_one_is_given() {
        let mut decoder = Decoder::new(Config::default());
        let exporter = |address: u32, number: u32| {
            format!(
                r#"{{"address":"10.0.0.{address}","version":5,"id":0,"number":{number},"seen_ms":{NOW_MS}}}"#
            )
        };
        let saved = [exporter(1, 1), exporter(2, 3), exporter(3, 65_535)].join(",");
        let text = format!(r#"{{"version":1,"exporters":[{saved}]}}"#);
        let snapshot = serde_json::from_str(&text).unwrap();
        decoder.restore(snapshot, NOW_MS, Continuity::Clean).unwrap();
        let datagram = V5Builder::new(v5::Header::default()).record([5; v5::RECORD_LEN]).build();
        let mut sink = Collect::default();
        for peer in 1..=100 {
            decoder.decode(Addr::V4(peer), NOW_MS, &datagram, &mut sink);
        }
        let numbers: Vec<_> = sink.flows.iter().map(|f| f.number(Field::ExporterId)).collect();
        let want: Vec<_> = (2..=102).filter(|n| *n != 3).collect();
        assert_eq!(numbers, want);
        assert_eq!(decoder.counters().exporters_unnumbered, 0);
    }
}
