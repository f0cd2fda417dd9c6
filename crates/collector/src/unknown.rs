//! The log of unknown elements: what exporters send and no field of a flow takes. Kinds of sFlow
//! records are among it.
//!
//! It lies in `DIR/.flowsuite-unknown.no-pcap`, a line of JSON for each element, and is written anew
//! when there are new ones. An operator finds there what a device has to say beyond what is stored,
//! and a developer what to add next.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;
use store::side;
use wire::sflow::Structure;
use wire::{Decoder, UnknownElement};

/// What was told in the log of the program already.
#[derive(Debug, Default)]
pub(crate) struct Told {
    elements: HashSet<(u32, u16, bool)>,
    structures: HashSet<String>,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Element(ElementLine),
    Sflow(SflowLine),
}

/// One kind of sample or record of sFlow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SflowLine {
    /// Where it occurs, enterprise and format: `sFlow 0:1001`.
    sflow: String,
    name: Option<&'static str>,
    seen: u64,
}

impl From<Structure> for SflowLine {
    fn from(s: Structure) -> Self {
        Self { sflow: s.to_string(), name: s.name, seen: s.seen }
    }
}

/// One element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ElementLine {
    /// Private enterprise number, 0 for the IANA registry and v9.
    enterprise: u32,
    enterprise_name: Option<&'static str>,
    element: u16,
    element_name: Option<&'static str>,
    /// Whether it would be stored if it had a length that it can have.
    has_odd_length: bool,
    /// Octets the first template gave it, 65535 where each record says.
    octets: u16,
    /// Templates that had it.
    templates: u64,
    /// Who sent it first, in which template and when.
    exporter: IpAddr,
    domain: u32,
    template: u16,
    first_ms: u64,
}

impl From<UnknownElement> for ElementLine {
    fn from(e: UnknownElement) -> Self {
        Self {
            enterprise: e.pen,
            enterprise_name: e.enterprise,
            element: e.id,
            element_name: e.name,
            has_odd_length: e.has_odd_length,
            octets: e.first.len,
            templates: e.templates,
            exporter: e.first.exporter.addr.into(),
            domain: e.first.exporter.id,
            template: e.first.template,
            first_ms: e.first.at_ms,
        }
    }
}

impl Told {
    /// All elements, if there are some that were not told before: those are told in the log now.
    pub(crate) fn tell_new(&mut self, ident: &str, decoder: &Decoder) -> Option<Vec<Line>> {
        let mut has_new = false;
        for e in decoder.unknown_elements() {
            if !self.elements.insert((e.pen, e.id, e.has_odd_length)) {
                continue;
            }
            has_new = true;
            let UnknownElement { pen, id, first, .. } = e;
            let (name, why) = (
                e.name.unwrap_or("unknown"),
                if e.has_odd_length { "has a length it cannot have" } else { "is not stored" },
            );
            log::info!(
                "Ident: '{ident}': element {id} of enterprise {pen} ({name}) {why}: {} octets in \
                 template {} of {}, domain {}",
                first.len,
                first.template,
                first.exporter.addr,
                first.exporter.id
            );
        }
        let unused = || decoder.sflow_structures().filter(|s| !s.is_used);
        for s in unused() {
            if self.structures.insert(s.to_string()) {
                has_new = true;
                let name = s.name.unwrap_or("unknown");
                log::info!("Ident: '{ident}': {s} ({name}) is not stored");
            }
        }
        let elements = || decoder.unknown_elements().map(|e| Line::Element(e.into()));
        let structures = || unused().map(|s| Line::Sflow(s.into()));
        has_new.then(|| elements().chain(structures()).collect())
    }
}

/// Writes the list of a source in place of the one before.
///
/// # Errors
/// If the disk does not take it. What is there stays.
pub(crate) fn write(dir: &Path, lines: &[Line]) -> io::Result<()> {
    let path = side::of_directory(dir, "unknown");
    let draft = side::of_directory(dir, "unknown.draft");
    let mut out = BufWriter::new(File::create(&draft)?);
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    fs::rename(&draft, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Addr;
    use wire::testing::{Collect, IpfixBuilder};

    #[test]
    fn new_elements_are_told_once_and_listed_each_time() {
        let mut decoder = Decoder::new(wire::Config::default());
        let mut told = Told::default();
        assert_eq!(told.tell_new("x", &decoder), None);
        let learn = |decoder: &mut Decoder, fields: &[(u32, u16, u16)]| {
            let message = IpfixBuilder::new(wire::ipfix::Header::default()).template(256, fields);
            decoder.decode(Addr::V4(0x0a00_0001), 5000, &message.build(), &mut Collect::default());
        };
        learn(&mut decoder, &[(0, 8, 4), (4711, 12, 4)]);
        let lines = told.tell_new("x", &decoder).expect("a new one");
        assert_eq!(told.tell_new("x", &decoder), None);
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &lines).unwrap();
        let text = fs::read_to_string(dir.path().join(".flowsuite-unknown.no-pcap")).unwrap();
        for part in ["\"enterprise\":4711", "\"element\":12", "\"exporter\":\"10.0.0.1\""] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert_eq!(text.lines().count(), 1);
        learn(&mut decoder, &[(0, 8, 4), (4711, 12, 4), (4711, 13, 2)]);
        assert_eq!(told.tell_new("x", &decoder).map(|lines| lines.len()), Some(2));
    }
}
