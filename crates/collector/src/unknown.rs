//! The log of unknown elements: what exporters send and no field of a flow takes. Kinds of sFlow
//! records are among it.
//!
//! It lies in `DIR/.flowsuite-unknown.no-pcap`, a line of JSON for each element, and is written anew
//! when there are new ones. An operator finds there what a device has to say beyond what is stored,
//! and a developer what to add next.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use store::side;
use wire::sflow::Structure;
use wire::{Decoder, UnknownElement};

/// What was told in the log of the program already, and what is to be written down.
#[derive(Debug, Default)]
pub(crate) struct Told {
    elements: HashSet<(u32, u16, bool)>,
    structures: HashSet<String>,
    /// What earlier collectors found.
    before: BTreeMap<Key, Line>,
    /// Whether there is something that is not in the file.
    is_due: bool,
}

/// What makes two lines one: enterprise, element and whether its length is odd, or a kind of sFlow.
type Key = (u32, u16, bool, String);

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Element(ElementLine),
    Sflow(SflowLine),
}

impl Line {
    fn key(&self) -> Key {
        match self {
            Self::Element(e) => (e.enterprise, e.element, e.has_odd_length, String::new()),
            Self::Sflow(s) => (0, 0, false, s.sflow.clone()),
        }
    }

    /// Adds what was found before: it was first.
    fn add(&mut self, before: &Self) {
        match (self, before) {
            (Self::Element(new), Self::Element(old)) => {
                let templates = old.templates.saturating_add(new.templates);
                *new = ElementLine { templates, ..old.clone() };
            }
            (Self::Sflow(new), Self::Sflow(old)) => new.seen = new.seen.saturating_add(old.seen),
            _ => {}
        }
    }
}

/// One kind of sample or record of sFlow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SflowLine {
    /// Where it occurs, enterprise and format: `sFlow 0:1001`.
    sflow: String,
    name: Option<Cow<'static, str>>,
    seen: u64,
}

impl From<Structure> for SflowLine {
    fn from(s: Structure) -> Self {
        Self { sflow: s.to_string(), name: s.name.map(Cow::Borrowed), seen: s.seen }
    }
}

/// One element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ElementLine {
    /// Private enterprise number, 0 for the IANA registry and v9.
    enterprise: u32,
    enterprise_name: Option<Cow<'static, str>>,
    element: u16,
    element_name: Option<Cow<'static, str>>,
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
            enterprise_name: e.enterprise.map(Cow::Borrowed),
            element: e.id,
            element_name: e.name.map(Cow::Borrowed),
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
    /// Goes on with what is in the file of a source.
    pub(crate) fn read(dir: &Path) -> Self {
        /// Elements that a decoder lists, and then some: what is more is not ours.
        const LINES: usize = 1 << 16;
        const OCTETS: u64 = 64 << 20;
        let mut told = Self::default();
        let Ok(file) = File::open(side::of_directory(dir, "unknown")) else { return told };
        let lines = BufReader::new(file.take(OCTETS)).lines().map_while(Result::ok);
        let lines = lines.filter_map(|text| serde_json::from_str::<Line>(&text).ok());
        told.before.extend(lines.take(LINES).map(|line| (line.key(), line)));
        told
    }

    /// Whether there is something to be written down.
    pub(crate) const fn is_due(&self) -> bool {
        self.is_due
    }

    /// What was to be written is not.
    pub(crate) const fn not_written(&mut self) {
        self.is_due = true;
    }

    /// All elements, those of earlier collectors among them, if there is one that is not in the file.
    pub(crate) fn take_due(&mut self, decoder: &Decoder) -> Option<Vec<Line>> {
        if !std::mem::take(&mut self.is_due) {
            return None;
        }
        let elements = decoder.unknown_elements().map(|e| Line::Element(e.into()));
        let unused = decoder.sflow_structures().filter(|s| !s.is_used);
        let mut all = self.before.clone();
        for mut line in elements.chain(unused.map(|s| Line::Sflow(s.into()))) {
            let key = line.key();
            self.before.get(&key).into_iter().for_each(|before| line.add(before));
            all.insert(key, line);
        }
        Some(all.into_values().collect())
    }

    /// Tells in the log which elements are new.
    pub(crate) fn look(&mut self, ident: &str, decoder: &Decoder) {
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
        for s in decoder.sflow_structures().filter(|s| !s.is_used) {
            if self.structures.insert(s.to_string()) {
                has_new = true;
                let name = s.name.unwrap_or("unknown");
                log::info!("Ident: '{ident}': {s} ({name}) is not stored");
            }
        }
        self.is_due |= has_new;
    }
}

/// Writes the list of a source in place of the one before.
///
/// # Errors
/// If the disk does not take it. What is there stays.
pub(crate) fn write(dir: &Path, lines: &[Line]) -> io::Result<()> {
    let path = side::of_directory(dir, "unknown");
    let draft = crate::state::draft(dir, "unknown");
    let written = write_lines(&draft, lines).and_then(|()| fs::rename(&draft, &path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&draft); // the next start removes it otherwise
    })
}

fn write_lines(path: &Path, lines: &[Line]) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
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
        let tell = |told: &mut Told, decoder: &Decoder| {
            told.look("x", decoder);
            told.take_due(decoder)
        };
        assert_eq!(tell(&mut told, &decoder), None);
        let learn = |decoder: &mut Decoder, fields: &[(u32, u16, u16)]| {
            let message = IpfixBuilder::new(wire::ipfix::Header::default()).template(256, fields);
            decoder.decode(Addr::V4(0x0a00_0001), 5000, &message.build(), &mut Collect::default());
        };
        learn(&mut decoder, &[(0, 8, 4), (4711, 12, 4)]);
        let lines = tell(&mut told, &decoder).expect("a new one");
        assert_eq!(tell(&mut told, &decoder), None);
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &lines).unwrap();
        let text = fs::read_to_string(dir.path().join(".flowsuite-unknown.no-pcap")).unwrap();
        for part in ["\"enterprise\":4711", "\"element\":12", "\"exporter\":\"10.0.0.1\""] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert_eq!(text.lines().count(), 1);
        learn(&mut decoder, &[(0, 8, 4), (4711, 12, 4), (4711, 13, 2)]);
        assert_eq!(tell(&mut told, &decoder).map(|lines| lines.len()), Some(2));
        // The next collector adds to what this one found.
        write(dir.path(), &lines).unwrap();
        let mut decoder = Decoder::new(wire::Config::default());
        let mut told = Told::read(dir.path());
        assert_eq!(tell(&mut told, &decoder), None, "what is there is written");
        learn(&mut decoder, &[(0, 8, 4), (4711, 12, 4), (4711, 99, 4)]);
        let lines = tell(&mut told, &decoder).expect("a new one");
        told.not_written();
        assert_eq!(told.take_due(&decoder).as_ref(), Some(&lines), "tried again");
        let told: Vec<_> = lines
            .iter()
            .map(|line| match line {
                Line::Element(e) => (e.element, e.templates),
                Line::Sflow(s) => panic!("{s:?}"),
            })
            .collect();
        assert_eq!(told, [(12, 2), (99, 1)]);
    }
}
