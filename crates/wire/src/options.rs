//! Options data: what exporters say of themselves. Samplers, boot time, statistics, and names of
//! interfaces, VRFs and applications (RFC 3954, 6; RFC 7011, 3.4.2).
//!
//! These records are few, so they are read field by field.

use crate::exporter::{Reported, State};
use crate::plan::number;
use crate::template::{FieldSpec, Memory, Purse, VARIABLE};
use crate::{Counters, Limits, cursor};
use record::{FlowSink, Meta, NameTable, Sampler};

/// What one options record says that is of use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    /// Elements 48, 302.
    sampler: Option<u64>,
    /// Elements 35, 49, 304.
    algorithm: Option<u64>,
    /// Elements 34, 50: one packet of so many.
    one_of: Option<u64>,
    /// Elements 305 and 306: packets taken and skipped in turn.
    taken: Option<u64>,
    skipped: Option<u64>,
    /// Elements 309 and 310: so many packets of so many.
    size: Option<u64>,
    population: Option<u64>,
    /// Element 311, a floating point number.
    probability: Option<f64>,
    interface: Option<u32>,
    vrf: Option<u32>,
    interface_name: &'a [u8],
    interface_about: &'a [u8],
    vrf_name: &'a [u8],
    application: &'a [u8],
    application_name: &'a [u8],
    application_about: &'a [u8],
    boot_ms: Option<u64>,
    reported: Reported,
}

impl<'a> Facts<'a> {
    /// Reads the record at the start of `data`; also its length. `None` if it is cut short.
    pub(crate) fn read(fields: &[FieldSpec], data: &'a [u8]) -> Option<(Self, usize)> {
        let (mut facts, mut at) = (Self::default(), 0);
        for field in fields {
            let (value, end) = if field.len == VARIABLE {
                cursor::variable(data, at)?
            } else {
                let end = at + usize::from(field.len);
                (data.get(at..end)?, end)
            };
            at = end;
            facts.note(field, value);
        }
        Some((facts, at))
    }

    fn note(&mut self, field: &FieldSpec, value: &'a [u8]) {
        if value.is_empty() {
            return;
        }
        if field.is_v9_scope() {
            const INTERFACE: u16 = 2;
            if field.id == INTERFACE {
                self.interface = narrow(value);
            }
            return;
        }
        if field.pen != 0 {
            return;
        }
        match field.id {
            10 | 14 if self.interface.is_none() => self.interface = narrow(value),
            34 | 50 => self.one_of = number(value),
            35 | 49 | 304 => self.algorithm = number(value),
            40 => self.reported.octets = number(value),
            41 => self.reported.messages = number(value),
            42 => self.reported.flows = number(value),
            48 | 302 => self.sampler = number(value),
            82 => self.interface_name = cursor::text(value),
            83 => self.interface_about = cursor::text(value),
            94 => self.application_about = cursor::text(value),
            95 => self.application = value,
            96 => self.application_name = cursor::text(value),
            160 => self.boot_ms = number(value).filter(|t| *t != 0),
            234 | 235 if self.vrf.is_none() => self.vrf = narrow(value),
            236 => self.vrf_name = cursor::text(value),
            305 => self.taken = number(value),
            306 => self.skipped = number(value),
            309 => self.size = number(value),
            310 => self.population = number(value),
            311 => self.probability = float(value),
            _ => {}
        }
    }

    /// The sampler it describes.
    ///
    /// A rate of nothing is no rate: 0 packets taken, or one of 0.
    fn sampler(&self, exporter: u32) -> Option<Result<Sampler, TooLarge>> {
        let (taken, skipped) = if let (Some(taken), Some(skipped)) = (self.taken, self.skipped) {
            (taken, skipped)
        } else if let (Some(size), Some(population)) = (self.size, self.population) {
            (size, population.saturating_sub(size))
        } else if let Some(taken) = self.taken {
            (taken, 0)
        } else if let Some(one_of) = self.one_of {
            (1, one_of.checked_sub(1)?)
        } else {
            let p = self.probability.filter(|p| *p > 0.0 && *p <= 1.0)?;
            (1, (1.0 / p).round() as u64 - 1)
        };
        if taken == 0 {
            return None;
        }
        let id = match self.sampler {
            None => Ok(Sampler::GENERIC),
            Some(id) => i64::try_from(id).map_err(|_| TooLarge),
        };
        let whole = |n| u32::try_from(n).map_err(|_| TooLarge);
        let make = || {
            Ok(Sampler {
                exporter,
                algorithm: u16::try_from(self.algorithm.unwrap_or(0)).unwrap_or(0),
                id: id?,
                packet_interval: whole(taken)?,
                space_interval: whole(skipped)?,
            })
        };
        Some(make())
    }

    /// Puts what it says where it belongs, and tells the sink what is new.
    pub(crate) fn apply<S: FlowSink + ?Sized>(
        &self,
        state: &mut State,
        limits: &Limits,
        memory: &mut Memory<'_>,
        counters: &mut Counters,
        sink: &mut S,
    ) {
        let exporter = state.exporter.sysid;
        match self.sampler(exporter) {
            Some(Ok(sampler)) => {
                let purse = &mut memory.samplers();
                learn_sampler(state, sampler, limits, purse, counters, sink);
            }
            Some(Err(TooLarge)) => counters.samplers_refused += 1,
            None => {}
        }
        if self.boot_ms.is_some() && self.boot_ms != state.boot_ms {
            state.boot_ms = self.boot_ms;
            counters.boots_learned += 1;
        }
        let (old, new) = (&mut state.reported, &self.reported);
        old.octets = new.octets.or(old.octets);
        old.messages = new.messages.or(old.messages);
        old.flows = new.flows.or(old.flows);
        let interface =
            if self.interface_name.is_empty() { self.interface_about } else { self.interface_name };
        for (table, id, name) in [
            (NameTable::Interface, self.interface, interface),
            (NameTable::Vrf, self.vrf, self.vrf_name),
        ] {
            let Some(id) = id.filter(|_| !name.is_empty()) else { continue };
            let learned = state.names.learn(table, id, name, &mut memory.names());
            tell_name(learned, Meta::Name { exporter, table, id, name }, exporter, counters, sink);
        }
        self.apply_application(state, &mut memory.names(), counters, sink);
    }

    fn apply_application<S: FlowSink + ?Sized>(
        &self,
        state: &mut State,
        names: &mut Purse<'_>,
        counters: &mut Counters,
        sink: &mut S,
    ) {
        let (id, name, description) =
            (self.application, self.application_name, self.application_about);
        if id.is_empty() || name.is_empty() && description.is_empty() {
            return;
        }
        let exporter = state.exporter.sysid;
        let learned = state.names.learn_application(id, name, description, names);
        let meta = Meta::Application { exporter, id, name, description };
        tell_name(learned, meta, exporter, counters, sink);
    }
}

/// A number of a sampler does not fit.
#[derive(Clone, Copy, Debug)]
struct TooLarge;

/// Takes a sampler in and tells the sink if it is new or changed.
pub(crate) fn learn_sampler<S: FlowSink + ?Sized>(
    state: &mut State,
    sampler: Sampler,
    limits: &Limits,
    budget: &mut Purse<'_>,
    counters: &mut Counters,
    sink: &mut S,
) {
    match state.samplers.learn(sampler, limits.samplers_per_exporter, budget) {
        Some(true) => {
            counters.samplers_learned += 1;
            if state.exporter.sysid != 0 {
                sink.meta(Meta::Sampler(sampler));
            }
        }
        Some(false) => {}
        None => counters.samplers_refused += 1,
    }
}

/// Counts a name that was taken in, or was not, and tells the sink if it is new or changed.
pub(crate) fn tell_name<S: FlowSink + ?Sized>(
    learned: Option<bool>,
    name: Meta<'_>,
    exporter: u32,
    counters: &mut Counters,
    sink: &mut S,
) {
    match learned {
        Some(true) => {
            counters.names_learned += 1;
            if exporter != 0 {
                sink.meta(name);
            }
        }
        Some(false) => {}
        None => counters.names_refused += 1,
    }
}

fn narrow(value: &[u8]) -> Option<u32> {
    u32::try_from(number(value)?).ok()
}

/// A float64, or a float32 as its reduced size (RFC 7011, 6.2).
fn float(value: &[u8]) -> Option<f64> {
    if let Ok(octets) = <[u8; 8]>::try_from(value) {
        return Some(f64::from_be_bytes(octets));
    }
    <[u8; 4]>::try_from(value).ok().map(|o| f64::from(f32::from_be_bytes(o)))
}
