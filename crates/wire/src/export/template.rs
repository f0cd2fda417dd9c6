//! The templates of one stream: a bounded number, found by what rows need.

use super::Version;
use super::plan::{Key, Plan};
use crate::template::{FieldSpec, PEN_V9_SCOPE};
use std::collections::VecDeque;

/// First id of a template of flows; those of options come before it.
pub(super) const FIRST_ID: u16 = 260;

/// How long the id of a template that made room means nothing else, in milliseconds: some
/// collectors keep templates for half an hour (RFC 3954, 7; RFC 7011, 8.4).
const REST_MS: u64 = 30 * 60 * 1000;

/// Places that are looked at first: a power of two.
const PLACES: usize = 256;

#[derive(Debug)]
pub(super) struct Template {
    key: Key,
    pub(super) id: u16,
    pub(super) plan: Plan,
    /// No two have the same.
    pub(super) made: u64,
    /// In which epoch it was sent last, 0 for never.
    sent: u32,
    /// In which period it was used last.
    used: u32,
    /// How many templates had been looked up when it was used last.
    age: u64,
}

/// A template that made room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evicted {
    pub(super) id: u16,
    /// Whether its receiver knew it.
    pub(super) was_known: bool,
}

#[derive(Debug)]
pub(super) struct Templates {
    all: Vec<Template>,
    places: Box<[u16; PLACES]>,
    max: usize,
    next_id: u16,
    /// Ids that are out of use, and since when.
    resting: VecDeque<(u16, u64)>,
    /// Counts how often all had to be sent anew; from 1.
    epoch: u32,
    /// Counts those of them between which flows came.
    period: u32,
    /// Whether any came in this one.
    is_busy: bool,
    clock: u64,
}

impl Templates {
    pub(super) fn new(max: usize) -> Self {
        Self {
            all: Vec::new(),
            places: Box::new([0; PLACES]),
            max: max.clamp(1, usize::from(u16::MAX - FIRST_ID)),
            next_id: FIRST_ID,
            resting: VecDeque::new(),
            epoch: 1,
            period: 1,
            is_busy: false,
            clock: 0,
        }
    }

    /// Where the template for `key` is.
    #[inline]
    pub(super) fn find(&mut self, key: &Key) -> Option<usize> {
        let place = self.places.get_mut((key.hash() >> 56) as usize % PLACES)?;
        let at = usize::from(*place);
        let at = match self.all.get(at) {
            Some(template) if template.key == *key => at,
            _ => {
                let at = self.all.iter().position(|t| t.key == *key)?;
                *place = at as u16;
                at
            }
        };
        self.touch(at);
        Some(at)
    }

    /// Notes that it is used, without looking for it.
    #[inline]
    pub(super) fn touch(&mut self, at: usize) {
        if let Some(template) = self.all.get_mut(at) {
            self.clock += 1;
            template.age = self.clock;
            template.used = self.period;
        }
        self.is_busy = true;
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&Template> {
        self.all.get(at)
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.all.len() >= self.max
    }

    /// Adds a template, in place of the one not used for longest if there are too many. Returns
    /// where it is, and which one made room. `is_withdrawn` says that the receiver is told so.
    pub(super) fn add(
        &mut self,
        key: Key,
        plan: Plan,
        is_withdrawn: bool,
        now: u64,
    ) -> (usize, Option<Evicted>) {
        self.clock += 1;
        self.is_busy = true;
        let (used, age) = (self.period, self.clock);
        let template = |id| Template { key, id, plan, made: age, sent: 0, used, age };
        let oldest = self.all.iter().enumerate().min_by_key(|(_, t)| t.age).map(|(at, _)| at);
        let Some(at) = oldest.filter(|_| self.is_full()) else {
            let id = self.new_id(now);
            self.all.push(template(id));
            return (self.all.len() - 1, None);
        };
        let was_known = self.is_known(at);
        let old = self.all.get(at).map_or(0, |t| t.id);
        // A withdrawn id is free at once (RFC 7011, 8.1).
        let id = if is_withdrawn { old } else { self.other_id(old, now) };
        if let Some(place) = self.all.get_mut(at) {
            *place = template(id);
        }
        (at, Some(Evicted { id: old, was_known }))
    }

    /// An id to use in place of `old`, which rests.
    fn other_id(&mut self, old: u16, now: u64) -> u16 {
        let id = self.new_id(now);
        self.resting.push_back((old, now));
        id
    }

    /// An id that has rested, one never used, or if all are in use or resting, the one that has
    /// rested longest.
    fn new_id(&mut self, now: u64) -> u16 {
        let has_rested = |since: u64| now.saturating_sub(since) >= REST_MS;
        let first = self.resting.front().copied();
        match first {
            Some((id, since)) if has_rested(since) || self.next_id == u16::MAX => {
                self.resting.pop_front();
                id
            }
            _ => {
                let id = self.next_id;
                self.next_id = self.next_id.saturating_add(1);
                id
            }
        }
    }

    /// Whether the receiver knows it.
    #[inline]
    pub(super) fn is_known(&self, at: usize) -> bool {
        self.all.get(at).is_some_and(|t| t.sent == self.epoch)
    }

    pub(super) fn set_known(&mut self, at: usize) {
        if let Some(template) = self.all.get_mut(at) {
            template.sent = self.epoch;
        }
    }

    /// From now on the receiver knows none. Returns how many there are.
    pub(super) const fn forget(&mut self) -> usize {
        self.epoch += 1;
        self.period += self.is_busy as u32;
        self.is_busy = false;
        self.all.len()
    }

    /// Whether it was in use lately, when flows came at all. Others are sent when they are used
    /// again.
    pub(super) fn is_in_use(&self, at: usize) -> bool {
        self.all.get(at).is_some_and(|t| self.period - t.used <= 2)
    }
}

/// A template record (RFC 3954, 5.2; RFC 7011, 3.4.1).
pub(super) fn record(id: u16, fields: &[FieldSpec]) -> Vec<u8> {
    let mut out = numbers(&[id, fields.len() as u16]);
    specify(fields, &mut out);
    out
}

/// A withdrawal (RFC 7011, 8.1).
pub(super) fn withdrawal(id: u16) -> Vec<u8> {
    numbers(&[id, 0])
}

/// An options template record, of which the first `scopes` fields are the scope. v9 says lengths
/// in octets (RFC 3954, 6.1), IPFIX says how many (RFC 7011, 3.4.2.2).
pub(super) fn options_record(
    version: Version,
    id: u16,
    scopes: usize,
    fields: &[FieldSpec],
) -> Vec<u8> {
    let (all, scopes) = (fields.len() as u16, scopes as u16);
    let mut out = match version {
        Version::Ipfix => numbers(&[id, all, scopes]),
        _ => numbers(&[id, scopes * 4, (all - scopes) * 4]),
    };
    specify(fields, &mut out);
    out
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn specify(fields: &[FieldSpec], out: &mut Vec<u8>) {
    const ENTERPRISE: u16 = 0x8000;
    for FieldSpec { pen, id, len } in fields {
        let is_plain = [0, PEN_V9_SCOPE].contains(pen);
        let id = if is_plain { *id } else { *id | ENTERPRISE };
        out.extend(id.to_be_bytes());
        out.extend(len.to_be_bytes());
        if !is_plain {
            out.extend(pen.to_be_bytes());
        }
    }
}
