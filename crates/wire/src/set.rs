//! Sets: what v9 and IPFIX have in common. Templates go to the exporter's table; data sets run
//! through the plan of their template; data that comes before its template waits until the rest
//! of its datagram is read, then in the parking place.

use crate::biflow::{self, Directions};
use crate::cursor::{self, SET_HEADER_LEN, set_header};
use crate::derive::{self, Clock, Origin};
use crate::exporter::State;
use crate::options::Facts;
use crate::packet::Depth;
use crate::plan::{Kept, Plan};
use crate::section;
use crate::sequence::Read;
use crate::structured;
use crate::template::{Definition, Learned, Memory, Template, Templates};
use crate::{Counters, DecodeError, Decoder, Protocol};
use record::{Addr, Flow, FlowSink};

/// One message being read.
#[derive(Debug)]
pub(crate) struct Message {
    /// Which exporter it is of.
    pub(crate) exporter: usize,
    /// What its records share.
    pub(crate) origin: Origin,
    /// Data records so far.
    pub(crate) read: Read,
    /// Data sets whose records cannot be counted.
    pub(crate) unknown: u32,
}

impl Message {
    /// A message of which nothing was read yet.
    pub(crate) const fn new(exporter: usize, origin: Origin) -> Self {
        Self { exporter, origin, read: Read { records: 0, flows: 0 }, unknown: 0 }
    }
}

/// A data set that waits for its template: id, and where its records lie in the datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deferred {
    id: u16,
    at: usize,
    end: usize,
}

/// What the protocols number differently.
pub(crate) struct SetIds {
    /// Set id of templates.
    pub(crate) templates: u16,
    /// Set id of options templates.
    pub(crate) options: u16,
    /// Takes in the templates of either kind of set.
    pub(crate) definitions: fn(&mut Decoder, &Message, u16, &[u8]),
}

impl Decoder {
    /// Walks the sets of a message that ends where `bytes` ends. A set that reaches beyond it is
    /// read as far as it goes.
    pub(crate) fn sets<S: FlowSink + ?Sized>(
        &mut self,
        ids: &SetIds,
        message: &mut Message,
        bytes: &[u8],
        from: usize,
        sink: &mut S,
    ) -> Result<(), DecodeError> {
        let (mut at, mut fault) = (from, Ok(()));
        while bytes.len().saturating_sub(at) >= SET_HEADER_LEN {
            let (id, len) = cursor::take(bytes, at, ("set", SET_HEADER_LEN), set_header)?;
            let (len, have) = (usize::from(len), bytes.len() - at);
            if len < SET_HEADER_LEN {
                self.counters.bad_sets += 1;
                return fault.and(Err(DecodeError::BadLength { what: "set", at, len }));
            }
            if len > have {
                self.counters.truncated_sets += 1;
                fault = fault.and(Err(DecodeError::Truncated { what: "set", at, need: len, have }));
            }
            let (start, end) = (at + SET_HEADER_LEN, at + len.min(have));
            if id == ids.templates || id == ids.options {
                let body = bytes.get(start..end).unwrap_or_default();
                (ids.definitions)(self, message, id, body);
            } else if id >= 256 {
                self.data_set(message, id, bytes, (start, end), sink);
            } else {
                self.counters.bad_sets += 1;
                fault = fault.and(Err(DecodeError::ReservedSet { at, id }));
            }
            at = end;
        }
        self.counters.trailing_bytes += bytes.len().saturating_sub(at) as u64;
        fault
    }

    /// Takes a template in.
    pub(crate) fn learn(&mut self, message: &Message, definition: Definition) {
        let Some((state, own)) = self.exporters.parts(message.exporter) else { return };
        let (id, is_options) = (definition.id, definition.is_options);
        let (exporter, now_ms) = (state.exporter, message.origin.received_ms);
        let learned = state.templates.learn(
            state.protocol,
            definition,
            now_ms,
            &self.config.limits,
            &mut Memory { own, all: &mut self.budgets }.templates(),
            &mut self.counters,
        );
        let Learned::Fields(fields) = learned else { return };
        if !is_options {
            self.counters.unknown_elements += self.unknown.note(fields, (exporter, id, now_ms));
        }
        state.parked.expect(id);
    }

    /// Forgets one template of a transport session, where no data waits.
    pub(crate) fn withdraw(&mut self, message: &Message, id: u16) {
        if let Some((state, own)) = self.exporters.parts(message.exporter) {
            let mut memory = Memory { own, all: &mut self.budgets };
            state.templates.withdraw(id, &mut memory.templates(), &mut self.counters);
        }
    }

    /// Forgets all templates of one kind of a transport session.
    pub(crate) fn withdraw_all(&mut self, message: &Message, is_options: bool) {
        if let Some((state, own)) = self.exporters.parts(message.exporter) {
            let mut memory = Memory { own, all: &mut self.budgets };
            let (purse, counters) = (&mut memory.templates(), &mut self.counters);
            state.templates.withdraw_all(is_options, purse, counters);
        }
    }

    /// Reads the data set `id` whose records lie in `datagram[at..end]`, or puts it off if its
    /// template is not known yet.
    fn data_set<S: FlowSink + ?Sized>(
        &mut self,
        message: &mut Message,
        id: u16,
        datagram: &[u8],
        (at, end): (usize, usize),
        sink: &mut S,
    ) {
        let Some(records) = datagram.get(at..end) else { return };
        if !self.read_records(message, id, records, sink) {
            self.deferred.push(Deferred { id, at, end });
        }
    }

    /// Reads the data sets that were put off, now that the whole message is known.
    pub(crate) fn read_deferred<S: FlowSink + ?Sized>(
        &mut self,
        message: &mut Message,
        datagram: &[u8],
        sink: &mut S,
    ) {
        let mut deferred = std::mem::take(&mut self.deferred);
        for Deferred { id, at, end } in deferred.drain(..) {
            let records = datagram.get(at..end).unwrap_or_default();
            if self.read_records(message, id, records, sink) {
                self.counters.sets_deferred += 1;
            } else {
                message.unknown += 1;
                self.park(message, id, records);
            }
        }
        self.deferred = deferred;
    }

    /// Reads the records of one data set. Returns whether its template is known.
    pub(crate) fn read_records<S: FlowSink + ?Sized>(
        &mut self,
        message: &mut Message,
        id: u16,
        records: &[u8],
        sink: &mut S,
    ) -> bool {
        let Some(state) = self.exporters.get_mut(message.exporter) else { return false };
        let Some(template) = state.templates.get_mut(id) else { return false };
        if template.plan.is_none() {
            self.read_options(message, id, records, sink);
            return true;
        }
        self.set_clock(message, id, records);
        let (read, is_cut) = self.read_flows(message, id, records, sink);
        self.counters.truncated_records += u64::from(is_cut);
        message.read.records = message.read.records.wrapping_add(read as u32);
        message.read.flows = message.read.flows.wrapping_add(read as u32);
        true
    }

    /// The hot loop: records of one flow template. Counts the flows; returns how many records there
    /// were and whether the last one was cut short.
    fn read_flows<S: FlowSink + ?Sized>(
        &mut self,
        message: &Message,
        id: u16,
        records: &[u8],
        sink: &mut S,
    ) -> (u64, bool) {
        let Some(state) = self.exporters.get_mut(message.exporter) else { return (0, false) };
        let State { templates, samplers, .. } = state;
        let Some(Template { plan: Some(plan), min_len, .. }) = templates.get(id) else {
            return (0, false);
        };
        let (flow, back, kept) = (&mut self.flow, &mut self.back, &mut self.kept);
        let (batch, origin) = (&mut self.batch, &message.origin);
        let mut head = std::mem::take(&mut batch.heads[0]);
        let is_v6 = matches!(origin.router, Addr::V6(_));
        let can_be = samplers.is_empty() && sink.takes_records();
        let ready = if can_be { plan.ready(is_v6) } else { None };
        let ready = ready.filter(|ready| ready.begin(origin, &mut head));
        let depth = self.config.depth();
        let (mut rest, mut read, mut doubled) = (records, 0, 0);
        // What is left at the end and shorter than any record is padding (RFC 7011, 3.3.1).
        while rest.len() >= *min_len {
            if let Some(ready) = ready {
                let records = (rest, ready.len(), usize::MAX);
                let (count, odd) = ready.write(records, |_| true, origin, &head, batch);
                if count > 0 {
                    self.counters.odd_uptimes += odd;
                    read += count as u64;
                    rest = rest.get(count * ready.len()..).unwrap_or_default();
                    if batch.is_full() {
                        batch.deliver(origin.sysid, sink);
                    }
                    continue;
                }
                batch.deliver(origin.sysid, sink); // before this one
            }
            flow.clear();
            kept.clear();
            let Some(used) = plan.read(rest, flow, kept, &mut self.counters) else { break };
            let is_sane = derive::finish(flow, kept, plan.nature, origin);
            self.counters.odd_uptimes += u64::from(!is_sane);
            let directions = if plan.nature.is_compound() {
                let counters = &mut self.counters;
                let around = (&*templates, origin, depth);
                complete(plan, rest, (flow, back), kept, around, counters)
            } else {
                Directions::FORWARD
            };
            if directions.forward {
                derive::sample(flow, samplers);
                sink.flow(flow);
            }
            if directions.reverse {
                derive::sample(back, samplers);
                sink.flow(back);
                doubled += u64::from(directions.forward);
            }
            read += 1;
            rest = rest.get(used..).unwrap_or_default();
        }
        batch.deliver(origin.sysid, sink);
        batch.heads[0] = head;
        let is_cut = rest.len() >= *min_len;
        if let Some(template) = templates.get_mut(id) {
            template.records += read;
        }
        self.counters.flows += read + doubled;
        self.counters.biflows += doubled;
        (read, is_cut)
    }

    fn read_options<S: FlowSink + ?Sized>(
        &mut self,
        message: &mut Message,
        id: u16,
        records: &[u8],
        sink: &mut S,
    ) {
        let Some((state, own)) = self.exporters.parts(message.exporter) else { return };
        let mut memory = Memory { own, all: &mut self.budgets };
        let mut rest = records;
        loop {
            let Some(template) = state.templates.get_mut(id) else { return };
            if rest.len() < template.min_len {
                return;
            }
            let Some((facts, used)) = Facts::read(&template.fields, rest) else {
                self.counters.truncated_records += 1;
                return;
            };
            template.records += 1;
            facts.apply(state, &self.config.limits, &mut memory, &mut self.counters, sink);
            self.counters.options_records += 1;
            message.read.records = message.read.records.wrapping_add(1);
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// Dates the uptimes of a set, if its exporter told when it booted or a guess can be made.
    fn set_clock(&mut self, message: &mut Message, id: u16, records: &[u8]) {
        let Some(state) = self.exporters.get_mut(message.exporter) else { return };
        if state.protocol != Protocol::Ipfix {
            return;
        }
        if let Some(boot) = state.boot_ms {
            message.origin.clock = Clock::Boot(boot);
        } else if let Some(latest) = self.latest_uptime(message.exporter, id, records) {
            self.guess_boot(message, latest);
        }
    }

    /// The latest uptime among the records of a set, if uptimes are all they have.
    pub(crate) fn latest_uptime(
        &mut self,
        exporter: usize,
        id: u16,
        records: &[u8],
    ) -> Option<u32> {
        let state = self.exporters.get_mut(exporter).filter(|s| s.boot_ms.is_none())?;
        let template = state.templates.get_mut(id)?;
        let plan = template.plan.as_ref().filter(|p| p.nature.needs_boot)?;
        let (mut rest, mut latest) = (records, None);
        while rest.len() >= template.min_len {
            let Some((uptime, used)) = plan.uptime(rest, &mut self.kept) else { break };
            latest = latest.max(uptime);
            rest = rest.get(used..).unwrap_or_default();
        }
        latest
    }

    /// Guesses when an exporter booted from the latest uptime in a message.
    ///
    /// Without element 160 the latest flow of a message is taken to have ended at its export.
    /// That is never too early, so the earliest guess is the best one; a guess half an hour later
    /// than it means that the exporter has booted again.
    pub(crate) fn guess_boot(&mut self, message: &mut Message, latest: u32) {
        const PATIENCE_MS: u64 = 30 * 60 * 1000;
        let Some(state) = self.exporters.get_mut(message.exporter) else { return };
        let guess = message.origin.export_ms.saturating_sub(u64::from(latest));
        let boot = match state.boot_guess_ms {
            Some(old) if guess >= old && guess - old < PATIENCE_MS => old,
            _ => guess,
        };
        state.boot_guess_ms = Some(boot);
        message.origin.clock = Clock::Boot(boot);
    }
}

/// Reads what a record has beside the elements of one flow: a piece of a packet, lists, another
/// direction. Says which directions are to be delivered.
#[inline(never)]
fn complete(
    plan: &Plan,
    record: &[u8],
    (flow, back): (&mut Flow, &mut Flow),
    kept: &mut Kept,
    (templates, origin, depth): (&Templates, &Origin, Depth),
    counters: &mut Counters,
) -> Directions {
    if plan.nature.is_section {
        section::fill(plan, record, flow, kept, depth, counters);
    }
    if plan.nature.has_lists {
        structured::fill(plan, record, flow, back, templates, counters);
    }
    match &plan.reverse {
        None => Directions::FORWARD,
        Some(reverse) => biflow::turn(reverse, record, flow, back, kept, origin, counters),
    }
}
