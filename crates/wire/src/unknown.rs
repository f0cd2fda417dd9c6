//! Elements that exporters send and no field takes: counted, and listed so that an operator sees
//! what is left behind.

use crate::element::element;
use crate::template::FieldSpec;
use std::collections::BTreeMap;

/// An element that no flow field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownElement {
    /// Private enterprise number, 0 for the IANA registry and v9.
    pub pen: u32,
    /// Element number.
    pub id: u16,
    /// New or changed templates that had it.
    pub templates: u64,
}

/// The list, bounded.
#[derive(Debug)]
pub(crate) struct UnknownElements {
    seen: BTreeMap<(u32, u16), u64>,
    limit: usize,
}

impl UnknownElements {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { seen: BTreeMap::new(), limit }
    }

    /// Looks through the fields of a new template and returns how many are unknown.
    pub(crate) fn note(&mut self, fields: &[FieldSpec]) -> u64 {
        let mut found = 0;
        for field in fields.iter().filter(|f| element(f.pen, f.id).is_none()) {
            found += 1;
            let key = (field.pen, field.id);
            if let Some(templates) = self.seen.get_mut(&key) {
                *templates += 1;
            } else if self.seen.len() < self.limit {
                self.seen.insert(key, 1);
            }
        }
        found
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = UnknownElement> + '_ {
        self.seen.iter().map(|(&(pen, id), &templates)| UnknownElement { pen, id, templates })
    }
}
