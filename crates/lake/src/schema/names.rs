//! What exporters call their interfaces, VRFs and applications, as files of the dataset keep it: in
//! JSON, numbers and ids as keys.

use super::text;
use record::NameTable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::MetaRecord;

/// Names of one flow file. It does not say whose they are: they count for all its exporters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// By index.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub interfaces: BTreeMap<u32, String>,
    /// By number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vrfs: BTreeMap<u32, String>,
    /// By id in hexadecimal, as in column `app_id`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub applications: BTreeMap<String, Application>,
    /// Names that there was no room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

/// An application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
}

/// Names that are kept: they stand at the end of each file.
const MOST: usize = 1 << 16;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Names {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.left_out == 0
    }

    fn count(&self) -> usize {
        self.interfaces.len() + self.vrfs.len() + self.applications.len()
    }

    /// Takes the name that a record says, if it says one. The last one of a number counts.
    pub fn add(&mut self, record: &MetaRecord) {
        let is_name = matches!(record, MetaRecord::Name { .. } | MetaRecord::Application { .. });
        if is_name && self.count() >= MOST {
            self.left_out += 1;
            return;
        }
        let owned = |octets: &[u8]| text::encode(octets).into_owned();
        match record {
            MetaRecord::Name { table, id, name } => {
                let names = match table {
                    NameTable::Interface => &mut self.interfaces,
                    NameTable::Vrf => &mut self.vrfs,
                };
                names.insert(*id, owned(name));
            }
            MetaRecord::Application { id, name, description } => {
                let id = id.iter().map(|b| format!("{b:02x}")).collect();
                let (name, description) = (owned(name), owned(description));
                self.applications.insert(id, Application { name, description });
            }
            _ => {}
        }
    }

    /// What [`add`](Self::add) was given.
    pub fn records(&self) -> impl Iterator<Item = MetaRecord> + '_ {
        let octets = |text: &str| text::decode(text).into_owned();
        let tables = [(NameTable::Interface, &self.interfaces), (NameTable::Vrf, &self.vrfs)];
        let names = tables.into_iter().flat_map(move |(table, names)| {
            names.iter().map(move |(id, name)| MetaRecord::Name {
                table,
                id: *id,
                name: octets(name),
            })
        });
        let applications = self.applications.iter().filter_map(move |(id, of)| {
            Some(MetaRecord::Application {
                id: unhex(id)?,
                name: octets(&of.name),
                description: octets(&of.description),
            })
        });
        names.chain(applications)
    }
}

/// Octets of hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let octet = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    };
    text.as_bytes().chunks(2).map(octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(table: NameTable, id: u32, name: &[u8]) -> MetaRecord {
        MetaRecord::Name { table, id, name: name.to_vec() }
    }

    #[test]
    fn names_come_back() {
        let application = MetaRecord::Application {
            id: vec![3, 0, 0xFF],
            name: b"ssh".to_vec(),
            description: b"Secure \"Shell\"".to_vec(),
        };
        let all = [
            name(NameTable::Interface, 1, b"xe-0/0/1"),
            name(NameTable::Interface, u32::MAX, b"\xff\xfe"),
            name(NameTable::Vrf, 1, b"red"),
            application,
        ];
        let mut names = Names::default();
        assert!(names.is_empty());
        names.add(&name(NameTable::Vrf, 1, b"blue"));
        all.iter().for_each(|record| names.add(record));
        let text = serde_json::to_string(&names).unwrap();
        let again: Names = serde_json::from_str(&text).unwrap();
        assert_eq!(again, names);
        assert_eq!(again.records().collect::<Vec<_>>(), all);
        assert!(text.starts_with(r#"{"interfaces":{"1":"xe-0/0/1","#), "{text}");
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut names = Names::default();
        (0..70_000).for_each(|id| names.add(&name(NameTable::Interface, id, b"x")));
        assert_eq!((names.interfaces.len(), names.left_out), (MOST, 70_000 - MOST as u64));
    }

    #[test]
    fn ids_that_are_none_are_left_out() {
        for id in ["0", "0g", "\u{e9}"] {
            let applications = [(id.to_owned(), Application::default())].into();
            let names = Names { applications, ..Names::default() };
            assert_eq!(names.records().count(), 0, "{id}");
        }
    }
}
