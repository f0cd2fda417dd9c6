//! Templates of one exporter: what they say, and how many it may have.

use crate::element::PEN_REVERSE;
use crate::plan::Plan;
use crate::{Counters, Limits, Protocol};
use std::collections::BTreeMap;

/// Length of a field that says its own length in each record (RFC 7011, 7).
pub(crate) const VARIABLE: u16 = 0xffff;

/// Stands in for the enterprise number of v9 scope fields, whose types are numbers of their own:
/// 1 system, 2 interface, 3 line card, 4 cache, 5 template (RFC 3954, 6.1).
pub(crate) const PEN_V9_SCOPE: u32 = u32::MAX;

/// One field of a template as the exporter sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// Private enterprise number, 0 for elements of the IANA registry and all of v9.
    pub pen: u32,
    /// Element number; for a v9 scope field, the scope type.
    pub id: u16,
    /// Octets, 65535 where each record says.
    pub len: u16,
}

impl FieldSpec {
    /// Whether this is a scope field of a v9 options template.
    pub const fn is_v9_scope(&self) -> bool {
        self.pen == PEN_V9_SCOPE
    }

    /// Whether this is the reverse direction of an IANA element (RFC 5103).
    pub const fn is_reverse(&self) -> bool {
        self.pen == PEN_REVERSE
    }
}

/// A template as it came from the wire.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) id: u16,
    pub(crate) is_options: bool,
    pub(crate) fields: Vec<FieldSpec>,
}

/// A template that was accepted.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) fields: Box<[FieldSpec]>,
    /// `None` for options templates: their rare records are read field by field.
    pub(crate) plan: Option<Plan>,
    /// Octets of the shortest record.
    pub(crate) min_len: usize,
    pub(crate) seen_ms: u64,
    pub(crate) records: u64,
}

impl Template {
    /// What it counts towards [`Limits::template_bytes`].
    fn cost(&self) -> usize {
        let plan = self.plan.as_ref().map_or(0, Plan::cost);
        size_of::<Self>() + size_of_val(&*self.fields) + plan
    }
}

/// A template to look at: for listings and logs.
#[derive(Clone, Copy, Debug)]
pub struct TemplateView<'a> {
    /// [`Exporter::sysid`](record::Exporter::sysid) it belongs to.
    pub exporter: u32,
    /// Template id, from 256.
    pub id: u16,
    /// Whether its records describe the exporter rather than flows.
    pub is_options: bool,
    /// Its fields in order.
    pub fields: &'a [FieldSpec],
    /// When it was last received, milliseconds since 1970.
    pub seen_ms: u64,
    /// Records read with it.
    pub records: u64,
}

/// Octets taken of a limit that all exporters share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    used: usize,
    limit: usize,
}

impl Budget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    /// Takes so many octets, if they are left.
    pub(crate) const fn take(&mut self, octets: usize) -> bool {
        if octets > self.limit.saturating_sub(self.used) {
            return false;
        }
        self.used += octets;
        true
    }

    /// The reverse of [`take`](Self::take).
    pub(crate) const fn give_back(&mut self, octets: usize) {
        self.used = self.used.saturating_sub(octets);
    }
}

/// What is left to one exporter: of its sender's share, and of what all have together.
pub(crate) struct Purse<'a> {
    own: &'a mut Budget,
    all: &'a mut Budget,
}

impl Purse<'_> {
    /// Takes so many octets, if both have them.
    pub(crate) const fn take(&mut self, octets: usize) -> bool {
        if !self.own.take(octets) {
            return false;
        }
        let is_taken = self.all.take(octets);
        if !is_taken {
            self.own.give_back(octets);
        }
        is_taken
    }

    /// The reverse of [`take`](Self::take).
    pub(crate) const fn give_back(&mut self, octets: usize) {
        self.own.give_back(octets);
        self.all.give_back(octets);
    }
}

/// What all exporters may make the decoder remember, by kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    templates: Budget,
    samplers: Budget,
    names: Budget,
}

impl Budgets {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            templates: Budget::new(limits.template_bytes),
            samplers: Budget::new(limits.sampler_bytes),
            names: Budget::new(limits.name_bytes),
        }
    }
}

/// The budgets that hold for one exporter.
pub(crate) struct Memory<'a> {
    /// Its sender's.
    pub(crate) own: &'a mut Budget,
    /// Everybody's.
    pub(crate) all: &'a mut Budgets,
}

impl Memory<'_> {
    pub(crate) const fn templates(&mut self) -> Purse<'_> {
        Purse { own: self.own, all: &mut self.all.templates }
    }

    pub(crate) const fn samplers(&mut self) -> Purse<'_> {
        Purse { own: self.own, all: &mut self.all.samplers }
    }

    pub(crate) const fn names(&mut self) -> Purse<'_> {
        Purse { own: self.own, all: &mut self.all.names }
    }
}

/// Octets of the shortest record these fields can make. A field of variable length takes at least
/// the octet that says its length.
fn shortest_record(fields: &[FieldSpec]) -> usize {
    fields.iter().map(|f| if f.len == VARIABLE { 1 } else { usize::from(f.len) }).sum()
}

/// What became of a definition.
pub(crate) enum Learned<'a> {
    /// Known already, or refused.
    Nothing,
    /// New or changed: the fields, for taking note of unknown elements.
    Fields(&'a [FieldSpec]),
}

/// All templates of one exporter and domain.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    by_id: BTreeMap<u16, Template>,
    /// How many of them are options templates.
    options: usize,
}

impl Templates {
    #[inline]
    pub(crate) fn get_mut(&mut self, id: u16) -> Option<&mut Template> {
        self.by_id.get_mut(&id)
    }

    #[inline]
    pub(crate) fn get(&self, id: u16) -> Option<&Template> {
        self.by_id.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &Template)> {
        self.by_id.iter().map(|(id, t)| (*id, t))
    }

    /// All of them to look at, as those of an exporter with this number.
    pub(crate) fn views(&self, exporter: u32) -> impl Iterator<Item = TemplateView<'_>> {
        self.iter().map(move |(id, t)| TemplateView {
            exporter,
            id,
            is_options: t.plan.is_none(),
            fields: &t.fields,
            seen_ms: t.seen_ms,
            records: t.records,
        })
    }

    /// Takes a definition in, or counts why not. A new one replaces an old one of the same id
    /// (RFC 3954, 7; RFC 7011, 8.1).
    pub(crate) fn learn(
        &mut self,
        protocol: Protocol,
        definition: Definition,
        now_ms: u64,
        limits: &Limits,
        budget: &mut Purse<'_>,
        counters: &mut Counters,
    ) -> Learned<'_> {
        let Definition { id, is_options, fields } = definition;
        if let Some(old) = self.by_id.get_mut(&id)
            && *old.fields == *fields
            && old.plan.is_none() == is_options
        {
            old.seen_ms = now_ms;
            counters.templates_refreshed += 1;
            return Learned::Nothing;
        }
        // From here on the old definition no longer holds, whether the new one is taken or not.
        let had_one = self.by_id.contains_key(&id);
        let is_full = !had_one && self.by_id.len() >= limits.templates_per_exporter;
        let refusal = if id < 256 {
            Some(&mut counters.templates_bad_id)
        } else if fields.len() > limits.fields_per_template {
            Some(&mut counters.templates_many_fields)
        } else if is_full {
            Some(&mut counters.templates_over_limit)
        } else {
            match shortest_record(&fields) {
                0 => Some(&mut counters.templates_empty),
                n if n > usize::from(u16::MAX) => Some(&mut counters.templates_too_wide),
                _ => None,
            }
        };
        if let Some(counter) = refusal {
            *counter += 1;
            self.forget(id, budget);
            return Learned::Nothing;
        }
        let template = Template {
            plan: (!is_options).then(|| Plan::compile(protocol, &fields, counters)),
            min_len: shortest_record(&fields),
            fields: fields.into_boxed_slice(),
            seen_ms: now_ms,
            records: 0,
        };
        self.forget(id, budget);
        if !budget.take(template.cost()) {
            counters.templates_over_memory += 1;
            return Learned::Nothing;
        }
        let counter =
            if had_one { &mut counters.templates_changed } else { &mut counters.templates_learned };
        *counter += 1;
        self.options += usize::from(is_options);
        Learned::Fields(&self.by_id.entry(id).or_insert(template).fields)
    }

    fn forget(&mut self, id: u16, budget: &mut Purse<'_>) -> bool {
        let Some(old) = self.by_id.remove(&id) else { return false };
        budget.give_back(old.cost());
        self.options -= usize::from(old.plan.is_none());
        true
    }

    /// Forgets one template (RFC 7011, 8.1).
    pub(crate) fn withdraw(&mut self, id: u16, budget: &mut Purse<'_>, counters: &mut Counters) {
        counters.templates_withdrawn += u64::from(self.forget(id, budget));
    }

    /// Forgets all of them: their session is over (RFC 7011, 8.1).
    pub(crate) fn clear(&mut self, budget: &mut Purse<'_>) {
        for template in std::mem::take(self).by_id.into_values() {
            budget.give_back(template.cost());
        }
    }

    /// Whether there is one of this id.
    pub(crate) fn has(&self, id: u16) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Forgets all templates of one kind (RFC 7011, 8.1).
    pub(crate) fn withdraw_all(
        &mut self,
        is_options: bool,
        budget: &mut Purse<'_>,
        counters: &mut Counters,
    ) {
        let left = if is_options { self.by_id.len() - self.options } else { self.options };
        if left == self.by_id.len() {
            // A message has room for many such, and there may be many of the other kind.
            return;
        }
        self.by_id.retain(|_, t| {
            #[cfg(test)]
            LOOKED_AT.set(LOOKED_AT.get() + 1);
            let keep = t.plan.is_none() != is_options;
            if !keep {
                budget.give_back(t.cost());
                counters.templates_withdrawn += 1;
            }
            keep
        });
        self.options = if is_options { 0 } else { self.options };
    }
}

#[cfg(test)]
thread_local! {
    /// How many templates withdrawals of all have gone through.
    pub(crate) static LOOKED_AT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
