//! What is known of each exporter: number, templates, samplers, names, sequence and statistics.

use crate::ledger::{ExporterCounts, ExporterSlot, Ledger, Tally};
use crate::parked::Parked;
use crate::recent::Recent;
use crate::sequence::{Read, Sequence, Step, Unit, Unread};
use crate::sflow::Sources;
use crate::template::{Budget, Purse, Templates};
use crate::{Config, Counters, Protocol};
use record::{Addr, Exporter, FlowSink, Meta, NameTable, Sampler};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The largest number an exporter can have: flow records keep it in 16 bits.
const MAX_SYSID: u32 = 65_535;

/// An exporter to look at: for listings and logs.
#[derive(Clone, Copy, Debug)]
pub struct ExporterView<'a> {
    /// Who it is. [`Exporter::sysid`] is 0 for those beyond the 65 535th.
    pub exporter: Exporter,
    /// What became of everything it sent since it was first seen.
    pub totals: ExporterCounts,
    /// When it was last heard, milliseconds since 1970.
    pub seen_ms: u64,
    /// Templates it has.
    pub templates: usize,
    /// Data sets of it that wait for their template.
    pub parked_sets: usize,
    /// Octets that they take, with what is kept of their messages.
    pub parked_bytes: usize,
    /// What it said of its own exports, where it did.
    pub reported: Reported,
    state: &'a State,
}

impl<'a> ExporterView<'a> {
    /// Its samplers, those given by the operator included.
    pub fn samplers(&self) -> impl Iterator<Item = Sampler> + 'a {
        self.state.samplers.iter()
    }
}

/// What an exporter's own statistics say (elements 40, 41 and 42).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Octets exported.
    pub octets: Option<u64>,
    /// Messages exported.
    pub messages: Option<u64>,
    /// Flow records exported.
    pub flows: Option<u64>,
}

/// Address, protocol, id, and the address by which the exporter names itself, which is the same
/// but for sFlow: who an exporter is.
pub(crate) type Key = (Addr, Protocol, u32, Addr);

/// All exporters of one decoder.
#[derive(Debug, Default)]
pub(crate) struct Exporters {
    index: HashMap<Key, usize>,
    states: Vec<State>,
    /// Addresses: an exporter can have as many ids as it likes, so what it may take is bounded by
    /// address.
    senders: Vec<Sender>,
    sender_index: HashMap<Addr, usize>,
    /// The largest number given so far.
    last_sysid: u32,
}

/// An address that datagrams come from.
#[derive(Debug)]
struct Sender {
    exporters: usize,
    /// What its templates, samplers and names take.
    memory: Budget,
}

/// Everything known of one exporter.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) exporter: Exporter,
    pub(crate) protocol: Protocol,
    pub(crate) templates: Templates,
    pub(crate) samplers: Samplers,
    pub(crate) names: Names,
    /// Boot time it told in options data.
    pub(crate) boot_ms: Option<u64>,
    /// Boot time guessed from its flows.
    pub(crate) boot_guess_ms: Option<u64>,
    pub(crate) reported: Reported,
    pub(crate) ledger: Ledger,
    /// Data sources of an sFlow agent.
    pub(crate) sources: Sources,
    pub(crate) sequence: Sequence,
    pub(crate) parked: Parked,
    pub(crate) recent: Recent,
    /// The address it shares with others.
    pub(crate) sender: usize,
    /// The address by which it names itself.
    pub(crate) agent: Addr,
    pub(crate) seen_ms: u64,
}

impl Exporters {
    /// The exporter with this key, made known to the sink if it is new. `None` if there are as
    /// many as the limit.
    pub(crate) fn find_or_add<S: FlowSink + ?Sized>(
        &mut self,
        key: Key,
        config: &Config,
        counters: &mut Counters,
        sink: &mut S,
    ) -> Option<usize> {
        if let Some(at) = self.index.get(&key) {
            return Some(*at);
        }
        let sysid = self.next_sysid();
        let at = self.add(key, sysid, config);
        let Some(at) = at else {
            counters.exporters_refused += 1;
            return None;
        };
        counters.exporters_unnumbered += u64::from(sysid == 0);
        if let Some(state) = self.states.get(at) {
            state.announce(sink);
        }
        Some(at)
    }

    fn next_sysid(&self) -> u32 {
        if self.last_sysid < MAX_SYSID { self.last_sysid + 1 } else { 0 }
    }

    /// The number an exporter had, if it can have it and nobody else does, or a new one.
    pub(crate) fn free_sysid(&self, wanted: u32, taken: &HashSet<u32>) -> u32 {
        if wanted <= MAX_SYSID && !taken.contains(&wanted) { wanted } else { self.next_sysid() }
    }

    /// The exporter with this key, if it is known.
    pub(crate) fn find(&self, key: Key) -> Option<usize> {
        self.index.get(&key).copied()
    }

    /// Adds an exporter that is not known yet, unless there are too many.
    pub(crate) fn add(&mut self, key: Key, sysid: u32, config: &Config) -> Option<usize> {
        let limits = &config.limits;
        let (addr, protocol, id, agent) = key;
        let at = self.states.len();
        let known = self.sender_index.get(&addr).copied();
        let of_sender = known.and_then(|n| self.senders.get(n)).map_or(0, |s| s.exporters);
        if at >= limits.exporters || of_sender >= limits.exporters_per_sender {
            return None;
        }
        let sender = known.unwrap_or(self.senders.len());
        if known.is_none() {
            let memory = Budget::new(limits.bytes_per_sender);
            self.senders.push(Sender { exporters: 0, memory });
            self.sender_index.insert(addr, sender);
        }
        self.senders.get_mut(sender)?.exporters += 1;
        self.last_sysid = self.last_sysid.max(sysid);
        let exporter = Exporter { sysid, version: protocol.version().into(), addr, id };
        self.states.push(State::new(exporter, protocol, (sender, agent), config));
        self.index.insert(key, at);
        Some(at)
    }

    /// An exporter, and what its sender's templates, samplers and names may take.
    #[inline]
    pub(crate) fn parts(&mut self, at: usize) -> Option<(&mut State, &mut Budget)> {
        let state = self.states.get_mut(at)?;
        let sender = self.senders.get_mut(state.sender)?;
        Some((state, &mut sender.memory))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut State> {
        self.states.get_mut(at)
    }

    pub(crate) fn get(&self, at: usize) -> Option<&State> {
        self.states.get(at)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, State> {
        self.states.iter()
    }

    /// What each exporter did since the last call.
    pub(crate) fn take_slots(&mut self) -> Vec<ExporterSlot> {
        self.states.iter_mut().map(State::take_slot).collect()
    }
}

impl State {
    fn new(
        exporter: Exporter,
        protocol: Protocol,
        (sender, agent): (usize, Addr),
        config: &Config,
    ) -> Self {
        Self {
            exporter,
            protocol,
            templates: Templates::default(),
            samplers: Samplers::new(exporter.sysid, config),
            names: Names::default(),
            boot_ms: None,
            boot_guess_ms: None,
            reported: Reported::default(),
            ledger: Ledger::default(),
            sources: Sources::default(),
            sequence: Sequence::default(),
            parked: Parked::default(),
            recent: Recent::default(),
            sender,
            agent,
            seen_ms: 0,
        }
    }

    pub(crate) fn view(&self) -> ExporterView<'_> {
        ExporterView {
            exporter: self.exporter,
            totals: self.ledger.totals,
            seen_ms: self.seen_ms,
            templates: self.templates.iter().count(),
            parked_sets: self.parked.sets(),
            parked_bytes: self.parked.bytes(),
            reported: self.reported,
            state: self,
        }
    }

    /// Counts one message.
    pub(crate) const fn hear(&mut self, now_ms: u64) {
        self.ledger.totals.datagrams += 1;
        self.seen_ms = now_ms;
    }

    /// Judges a message's sequence number.
    pub(crate) fn observe(&mut self, step: Step, unit: Unit, counters: &mut Counters) {
        let restarts = self.ledger.totals.restarts;
        let tally = Tally { counts: &mut self.ledger.totals, all: counters, unit };
        self.sequence.observe(step, tally);
        self.note_restart(restarts, self.sequence.message());
    }

    /// Judges the sequence number of a message with more records than could be read so far.
    pub(crate) fn observe_unread(&mut self, number: u32, unread: Unread, counters: &mut Counters) {
        let (restarts, message) = (self.ledger.totals.restarts, self.sequence.message());
        let tally = Tally { counts: &mut self.ledger.totals, all: counters, unit: Unit::Records };
        self.sequence.observe_unread(number, unread, tally);
        self.note_restart(restarts, message);
    }

    fn note_restart(&mut self, restarts: u64, message: u64) {
        if self.ledger.totals.restarts != restarts {
            self.parked.outdate(message);
        }
    }

    /// Tells the sequence that a parked set was read, or given up.
    pub(crate) fn resolve(
        &mut self,
        message: u64,
        read: Option<Read>,
        is_whole: bool,
        counters: &mut Counters,
    ) {
        let counts = &mut self.ledger.totals;
        let tally = Tally { counts, all: counters, unit: Unit::Records };
        self.sequence.resolve(message, read, is_whole, tally);
    }

    const fn take_slot(&mut self) -> ExporterSlot {
        ExporterSlot { exporter: self.exporter, counts: self.ledger.take_slot() }
    }

    /// Tells a sink everything a reader of the flows needs to know of this exporter.
    pub(crate) fn announce<S: FlowSink + ?Sized>(&self, sink: &mut S) {
        if self.exporter.sysid == 0 {
            return;
        }
        sink.meta(Meta::Exporter(self.exporter));
        for sampler in self.samplers.iter() {
            sink.meta(Meta::Sampler(sampler));
        }
        self.names.announce(self.exporter.sysid, sink);
    }
}

/// What a sampler takes, roughly: with its key, in nodes that are half full.
pub(crate) const SAMPLER_COST: usize = 96;

/// Samplers of one exporter, and which of them applies to a record.
#[derive(Debug, Default)]
pub(crate) struct Samplers {
    /// By id; the operator's own have negative ids.
    by_id: BTreeMap<i64, Sampler>,
}

impl Samplers {
    fn new(exporter: u32, config: &Config) -> Self {
        let given = config.default_sampling.map(|s| s.sampler(exporter));
        Self { by_id: given.into_iter().map(|s| (s.id, s)).collect() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Sampler> + '_ {
        self.by_id.values().copied()
    }

    /// Takes a sampler in. Returns whether it is new or changed, `None` if there is no room.
    pub(crate) fn learn(
        &mut self,
        sampler: Sampler,
        limit: usize,
        budget: &mut Purse<'_>,
    ) -> Option<bool> {
        let known = self.by_id.get(&sampler.id);
        if known == Some(&sampler) {
            return Some(false);
        }
        if known.is_none() && (self.by_id.len() >= limit || !budget.take(SAMPLER_COST)) {
            return None;
        }
        self.by_id.insert(sampler.id, sampler);
        Some(true)
    }

    /// The sampler announced under this id.
    pub(crate) fn get(&self, id: i64) -> Option<&Sampler> {
        self.by_id.get(&id)
    }

    /// The sampler of a record that names sampler `id`, or none: what the operator forces, what
    /// the record names, what the exporter announced without an id, what the operator gave as a
    /// default.
    #[inline]
    pub(crate) fn find(&self, id: Option<u64>) -> Option<Sampler> {
        if self.by_id.is_empty() {
            return None;
        }
        let named = || self.by_id.get(&i64::try_from(id?).ok()?);
        let found = self.by_id.get(&Sampler::OVERRIDE).or_else(named);
        let found = found.or_else(|| self.by_id.get(&Sampler::GENERIC));
        found.or_else(|| self.by_id.get(&Sampler::DEFAULT)).copied()
    }
}

/// Names an exporter gave to its interfaces, VRFs and applications.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) numbered: BTreeMap<(NameTable, u32), Text>,
    pub(crate) applications: BTreeMap<Text, (Text, Text)>,
}

type Text = Box<[u8]>;

/// What an entry takes beside its text, roughly.
const NAME_COST: usize = 96;

impl Names {
    /// Takes a name in. Returns whether it is new or changed, `None` if there is no room.
    pub(crate) fn learn(
        &mut self,
        table: NameTable,
        id: u32,
        name: &[u8],
        budget: &mut Purse<'_>,
    ) -> Option<bool> {
        let known = self.numbered.get(&(table, id));
        if known.is_some_and(|k| **k == *name) {
            return Some(false);
        }
        budget.give_back(known.map_or(0, |k| k.len() + NAME_COST));
        if !budget.take(name.len() + NAME_COST) {
            self.numbered.remove(&(table, id));
            return None;
        }
        self.numbered.insert((table, id), name.into());
        Some(true)
    }

    /// Takes the name of an application in. Returns as [`learn`](Self::learn).
    pub(crate) fn learn_application(
        &mut self,
        id: &[u8],
        name: &[u8],
        about: &[u8],
        budget: &mut Purse<'_>,
    ) -> Option<bool> {
        let known = self.applications.get(id);
        if known.is_some_and(|(n, a)| **n == *name && **a == *about) {
            return Some(false);
        }
        budget.give_back(known.map_or(0, |(n, a)| id.len() + n.len() + a.len() + NAME_COST));
        if !budget.take(id.len() + name.len() + about.len() + NAME_COST) {
            self.applications.remove(id);
            return None;
        }
        self.applications.insert(id.into(), (name.into(), about.into()));
        Some(true)
    }

    fn announce<S: FlowSink + ?Sized>(&self, exporter: u32, sink: &mut S) {
        for (&(table, id), name) in &self.numbered {
            sink.meta(Meta::Name { exporter, table, id, name });
        }
        for (id, (name, description)) in &self.applications {
            sink.meta(Meta::Application { exporter, id, name, description });
        }
    }
}
