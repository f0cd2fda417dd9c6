//! Elements that exporters send and no field takes, or not as they are sent: counted, and listed so
//! that an operator sees what is left behind.

use crate::element::element;
use crate::plan::is_odd;
use crate::registry::{element_name, enterprise_name};
use crate::template::FieldSpec;
use record::Exporter;
use std::collections::BTreeMap;

/// An element that no flow field takes, or that has a length it cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownElement {
    /// Private enterprise number, 0 for the IANA registry and v9.
    pub pen: u32,
    /// Element number.
    pub id: u16,
    /// What it is called, where that is known.
    pub name: Option<&'static str>,
    /// Who its enterprise is, where that is known.
    pub enterprise: Option<&'static str>,
    /// Whether a field takes it, but not with the length it has: an address of 6 octets.
    pub has_odd_length: bool,
    /// New or changed templates that had it.
    pub templates: u64,
    /// Who sent it first.
    pub first: Sighting,
}

/// In which template an element was seen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The exporter. Its number is 0 where it has none.
    pub exporter: Exporter,
    /// The template's id.
    pub template: u16,
    /// Octets the template gives it, 65535 where each record says.
    pub len: u16,
    /// When the template came, milliseconds since 1970.
    pub at_ms: u64,
}

/// The list, bounded.
#[derive(Debug)]
pub(crate) struct UnknownElements {
    seen: BTreeMap<(u32, u16, bool), (u64, Sighting)>,
    limit: usize,
}

impl UnknownElements {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { seen: BTreeMap::new(), limit }
    }

    /// Looks through the fields of a new template and returns how many no field takes.
    pub(crate) fn note(
        &mut self,
        fields: &[FieldSpec],
        (exporter, template, at_ms): (Exporter, u16, u64),
    ) -> u64 {
        let mut found = 0;
        for field in fields {
            let is_unknown = element(field.pen, field.id).is_none();
            let has_odd_length = is_odd(field);
            if !is_unknown && !has_odd_length {
                continue;
            }
            found += u64::from(is_unknown);
            let key = (field.pen, field.id, has_odd_length);
            if let Some((templates, _)) = self.seen.get_mut(&key) {
                *templates += 1;
            } else if self.seen.len() < self.limit {
                let first = Sighting { exporter, template, len: field.len, at_ms };
                self.seen.insert(key, (1, first));
            }
        }
        found
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = UnknownElement> + '_ {
        self.seen.iter().map(|(&(pen, id, has_odd_length), &(templates, first))| UnknownElement {
            pen,
            id,
            name: element_name(pen, id),
            enterprise: enterprise_name(pen),
            has_odd_length,
            templates,
            first,
        })
    }
}
