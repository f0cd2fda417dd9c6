//! What is known of each exporter: number, templates, samplers, names, sequence and statistics.

use crate::ledger::{ExporterCounts, ExporterSlot, Ledger, Tally};
use crate::parked::Parked;
use crate::recent::Recent;
use crate::sequence::{Read, Sequence, Step, Unit, Unread};
use crate::sflow::Sources;
use crate::template::{Budget, Budgets, Memory, Purse, Templates};
use crate::{Config, Counters, Limits, Protocol};
use record::{Addr, Exporter, FlowSink, Meta, NameTable, Sampler};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The largest number an exporter can have: flow records keep it in 16 bits.
const MAX_SYSID: u32 = 65_535;

/// Exporters of which no record was ever read have to be heard this often, or their place is for
/// others: a day. Whoever forges addresses makes such exporters.
pub(crate) const SILENCE_MS: u64 = 24 * 60 * 60 * 1000;

/// How often it is looked for places that can be had: a minute. It takes a look at all exporters.
const SWEEP_MS: u64 = 60 * 1000;

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
    /// Where those are that were heard last, by a few bits of their keys.
    latest: Latest,
    /// `None` in places whose exporter was forgotten.
    states: Vec<Option<State>>,
    /// Addresses: an exporter can have as many ids as it likes, so what it may take is bounded by
    /// address.
    senders: Vec<Sender>,
    sender_index: HashMap<Addr, usize>,
    numbers: Numbers,
    /// Places in `states` and `senders` that nobody has any more.
    free_states: Vec<usize>,
    free_senders: Vec<usize>,
    /// When it was last looked for exporters to forget.
    swept_ms: Option<u64>,
}

/// Places of exporters. What is found here may be somebody else's, which whoever asks has to see:
/// so nothing has to be undone when one is forgotten, and senders who want to be found here in
/// place of others cost them a look into the index and no more.
#[derive(Debug)]
struct Latest([u32; 256]);

impl Default for Latest {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl Latest {
    fn get(&self, key: Key) -> usize {
        self.0.get(Self::slot(key)).map_or(0, |at| *at as usize)
    }

    fn set(&mut self, key: Key, at: usize) {
        if let (Some(place), Ok(at)) = (self.0.get_mut(Self::slot(key)), u32::try_from(at)) {
            *place = at;
        }
    }

    fn slot((addr, _, id, agent): Key) -> usize {
        let low = |addr| match addr {
            Addr::V4(n) => u64::from(n),
            Addr::V6(n) => n as u64 ^ (n >> 64) as u64,
        };
        let mixed = low(addr).wrapping_add(u64::from(id) << 32) ^ low(agent).rotate_left(17);
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize
    }
}

/// The numbers that exporters have.
#[derive(Debug, Default)]
struct Numbers {
    /// A bit for each, as far as any was given.
    given: Vec<u64>,
    /// The largest one given so far.
    last: u32,
}

impl Numbers {
    /// The one behind the last one given; when they are used up, the lowest that nobody has, or 0
    /// for none.
    fn next(&self) -> u32 {
        if self.last < MAX_SYSID {
            return self.last + 1;
        }
        let words = (0..).zip(&self.given);
        let bits =
            words.map(|(at, word)| at * u64::BITS + (word | u64::from(at == 0)).trailing_ones());
        let mut free = (0..).zip(bits).filter(|(at, bit)| *bit < (at + 1) * u64::BITS);
        free.next().map_or(0, |(_, bit)| bit)
    }

    fn is_given(&self, number: u32) -> bool {
        let word = self.given.get((number / u64::BITS) as usize);
        word.is_some_and(|w| w >> (number % u64::BITS) & 1 == 1)
    }

    /// Notes whether somebody has a number. Anybody can have 0, which is none.
    fn set(&mut self, number: u32, is_given: bool) {
        let at = (number / u64::BITS) as usize;
        if number == 0 || number > MAX_SYSID {
            return;
        }
        if at >= self.given.len() {
            self.given.resize(at + 1, 0);
        }
        let bit = 1 << (number % u64::BITS);
        if let Some(word) = self.given.get_mut(at) {
            *word = if is_given { *word | bit } else { *word & !bit };
        }
        self.last = self.last.max(number);
    }
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
    /// Whether a record of it was read before the snapshot that it was restored from.
    pub(crate) has_delivered: bool,
}

impl Exporters {
    /// Adds an exporter that is not known yet and makes it known to the sink. `None` if there are
    /// as many as the limit.
    pub(crate) fn add_new<S: FlowSink + ?Sized>(
        &mut self,
        key: Key,
        config: &Config,
        counters: &mut Counters,
        sink: &mut S,
    ) -> Option<usize> {
        let sysid = self.numbers.next();
        let at = self.add(key, sysid, config);
        let Some(at) = at else {
            counters.exporters_refused += 1;
            return None;
        };
        counters.exporters_unnumbered += u64::from(sysid == 0);
        if let Some(state) = self.get(at) {
            state.announce(sink);
        }
        Some(at)
    }

    /// The number an exporter had, if it can have it and nobody else does, or a new one.
    pub(crate) fn free_sysid(&self, wanted: u32) -> u32 {
        let can_be = (1..=MAX_SYSID).contains(&wanted) && !self.numbers.is_given(wanted);
        if can_be { wanted } else { self.numbers.next() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The exporter with this key, if it is known.
    #[inline]
    pub(crate) fn find(&mut self, key: Key) -> Option<usize> {
        let at = self.latest.get(key);
        if self.get(at).is_some_and(|state| state.key() == key) {
            return Some(at);
        }
        let at = self.index.get(&key).copied()?;
        self.latest.set(key, at);
        Some(at)
    }

    /// Whether there is no room for another exporter of this address.
    pub(crate) fn is_full(&self, addr: Addr, limits: &Limits) -> bool {
        let known = self.sender_index.get(&addr).and_then(|n| self.senders.get(*n));
        let of_sender = known.map_or(0, |s| s.exporters);
        self.len() >= limits.exporters || of_sender >= limits.exporters_per_sender
    }

    /// Adds an exporter that is not known yet, unless there are too many.
    pub(crate) fn add(&mut self, key: Key, sysid: u32, config: &Config) -> Option<usize> {
        let limits = &config.limits;
        let (addr, protocol, id, agent) = key;
        if self.is_full(addr, limits) {
            return None;
        }
        let sender = self.sender_index.get(&addr).copied().unwrap_or_else(|| {
            let memory = Budget::new(limits.bytes_per_sender);
            let new = Sender { exporters: 0, memory };
            let at = put(&mut self.senders, &mut self.free_senders, new);
            self.sender_index.insert(addr, at);
            at
        });
        self.senders.get_mut(sender)?.exporters += 1;
        self.numbers.set(sysid, true);
        let exporter = Exporter { sysid, version: protocol.version().into(), addr, id };
        let state = State::new(exporter, protocol, (sender, agent), config);
        let at = put(&mut self.states, &mut self.free_states, Some(state));
        self.index.insert(key, at);
        Some(at)
    }

    /// Forgets exporters of which no record was ever read and that were silent for a day, but
    /// for those `in_use`. Returns how many.
    pub(crate) fn forget_silent(
        &mut self,
        now_ms: u64,
        in_use: &HashSet<usize>,
        budgets: &mut Budgets,
    ) -> u64 {
        if self.swept_ms.is_some_and(|ms| now_ms.abs_diff(ms) < SWEEP_MS) {
            return 0;
        }
        self.swept_ms = Some(now_ms);
        let before = self.len();
        for at in 0..self.states.len() {
            let is_silent = self.get(at).is_some_and(|s| s.is_silent(now_ms));
            if is_silent && !in_use.contains(&at) {
                self.forget(at, budgets);
            }
        }
        (before - self.len()) as u64
    }

    /// Makes the place of an exporter free.
    fn forget(&mut self, at: usize, budgets: &mut Budgets) {
        let Some(mut state) = self.states.get_mut(at).and_then(Option::take) else { return };
        let Exporter { sysid, addr, .. } = state.exporter;
        self.index.remove(&state.key());
        self.free_states.push(at);
        self.numbers.set(sysid, false);
        let Some(sender) = self.senders.get_mut(state.sender) else { return };
        state.give_back(&mut Memory { own: &mut sender.memory, all: budgets });
        sender.exporters -= 1;
        if sender.exporters == 0 {
            self.sender_index.remove(&addr);
            self.free_senders.push(state.sender);
        }
    }

    /// An exporter, and what its sender's templates, samplers and names may take.
    #[inline]
    pub(crate) fn parts(&mut self, at: usize) -> Option<(&mut State, &mut Budget)> {
        let state = self.states.get_mut(at)?.as_mut()?;
        let sender = self.senders.get_mut(state.sender)?;
        Some((state, &mut sender.memory))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut State> {
        self.states.get_mut(at)?.as_mut()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&State> {
        self.states.get(at)?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &State> {
        self.states.iter().flatten()
    }

    /// What each exporter did since the last call.
    pub(crate) fn take_slots(&mut self) -> Vec<ExporterSlot> {
        self.states.iter_mut().flatten().map(State::take_slot).collect()
    }
}

/// Puts something into a place that is free, or a new one. Returns the place.
fn put<T>(places: &mut Vec<T>, free: &mut Vec<usize>, what: T) -> usize {
    let at = free.pop().unwrap_or(places.len());
    match places.get_mut(at) {
        Some(place) => *place = what,
        None => places.push(what),
    }
    at
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
            has_delivered: false,
        }
    }

    /// By what it is known.
    #[inline]
    const fn key(&self) -> Key {
        (self.exporter.addr, self.protocol, self.exporter.id, self.agent)
    }

    /// Whether a record of it was ever read.
    pub(crate) const fn delivers(&self) -> bool {
        self.has_delivered || self.ledger.totals.records() > 0
    }

    fn is_silent(&self, now_ms: u64) -> bool {
        let is_old = now_ms.saturating_sub(self.seen_ms) > SILENCE_MS;
        is_old && !self.delivers() && self.parked.sets() == 0
    }

    /// Gives back what its limits are charged for.
    fn give_back(&mut self, memory: &mut Memory<'_>) {
        self.templates.clear(&mut memory.templates());
        let own = self.samplers.iter().filter(|s| s.id >= Sampler::GENERIC).count();
        memory.samplers().give_back((own + self.sources.len()) * SAMPLER_COST);
        memory.names().give_back(self.names.cost());
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

    /// Whether none was announced or given.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
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

    /// What all of them take.
    fn cost(&self) -> usize {
        let numbered = self.numbered.values().map(|name| name.len() + NAME_COST);
        let applications = self.applications.iter();
        let applications =
            applications.map(|(id, (n, a))| id.len() + n.len() + a.len() + NAME_COST);
        numbered.chain(applications).sum()
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
