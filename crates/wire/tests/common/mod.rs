//! What the tests against the collection of captures share: reading it, and comparing records.

#[allow(dead_code, reason = "each of the tests has use for a part of it")]
pub(crate) mod stored;

use record::{Addr, Field, Flow, FlowSink, InterfaceSample, Meta};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use stored::Difference;
use wire::{Config, Decoder};

/// What a decoder delivered.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) flows: Vec<Flow>,
    pub(crate) interfaces: Vec<InterfaceSample>,
    known: BTreeSet<u32>,
}

impl FlowSink for Collected {
    fn flow(&mut self, flow: &Flow) {
        let exporter = flow.number(Field::ExporterId) as u32;
        assert!(self.known.contains(&exporter), "flow of exporter {exporter} before its name");
        self.flows.push(flow.clone());
    }

    fn meta(&mut self, meta: Meta<'_>) {
        match meta {
            Meta::Exporter(e) => assert!(self.known.insert(e.sysid), "exporter {} twice", e.sysid),
            Meta::Sampler(s) => assert!(self.known.contains(&s.exporter), "{s:?}"),
            Meta::Name { exporter, .. } | Meta::Application { exporter, .. } => {
                assert!(self.known.contains(&exporter));
            }
        }
    }

    fn interface(&mut self, sample: &InterfaceSample) {
        assert!(self.known.contains(&sample.exporter));
        self.interfaces.push(*sample);
    }
}

/// The folder of the collection, if there is one.
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("FLOWSUITE_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: FLOWSUITE_CORPUS not set");
    }
    folder
}

/// Sender, capture time in milliseconds, payload.
pub(crate) type Datagram = (Addr, u64, Vec<u8>);

/// All datagrams of a set that are exports: some captures hold other traffic too.
pub(crate) fn datagrams(path: &Path) -> Vec<Datagram> {
    let file = std::fs::read(path).unwrap();
    let mut all = bench::capture::datagrams(&file).unwrap();
    all.retain(|d| {
        matches!(d.payload.get(..4), Some([0, 1 | 5 | 9 | 10 | 250, ..] | [0, 0, 0, 2 | 4 | 5]))
    });
    all.iter().map(|d| (Addr::from(d.from.ip()), d.at_us / 1000, d.payload.to_vec())).collect()
}

pub(crate) fn decode(datagrams: &[Datagram]) -> (Decoder, Collected) {
    let (mut decoder, mut collected) = (Decoder::new(Config::default()), Collected::default());
    for (peer, at_ms, payload) in datagrams {
        let before = collected.flows.len();
        let outcome = decoder.decode(*peer, *at_ms, payload, &mut collected);
        assert_eq!(outcome.flows as usize, collected.flows.len() - before);
    }
    (decoder, collected)
}

/// One line of the summary of all sets.
pub(crate) struct Line {
    pub(crate) set: String,
    columns: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn number(&self, column: &str) -> u64 {
        self.columns[column].parse().unwrap_or(0)
    }

    pub(crate) fn path(&self, corpus: &Path) -> PathBuf {
        corpus.join(format!("{}.pcap", self.set))
    }
}

/// The sets whose names begin with one of `prefixes`.
pub(crate) fn summary(corpus: &Path, prefixes: &[&str]) -> Vec<Line> {
    let text = std::fs::read_to_string(corpus.join("expected/SUMMARY.tsv")).unwrap();
    let mut lines = text.lines().map(|l| l.split('\t').map(String::from).collect::<Vec<_>>());
    let names = lines.next().unwrap();
    lines
        .map(|cells| Line {
            set: cells[0].clone(),
            columns: names.iter().cloned().zip(cells).collect(),
        })
        .filter(|l| prefixes.iter().any(|p| l.set.starts_with(p)))
        .collect()
}

pub(crate) fn counts(flows: &[Flow]) -> [u64; 3] {
    let sum = |field| flows.iter().map(|f| f.number(field)).sum();
    [flows.len() as u64, sum(Field::Bytes), sum(Field::Packets)]
}

/// A kind of difference between what a decoder delivers and what another collector stored.
pub(crate) struct Rule {
    /// Sets it is about: parts of their names.
    pub(crate) sets: &'static [&'static str],
    /// Keys it is about.
    pub(crate) keys: &'static [&'static str],
    /// What else has to hold.
    pub(crate) when: fn(&Difference<'_>) -> bool,
    /// Why we are right.
    pub(crate) why: &'static str,
}

/// The rule that explains a difference.
pub(crate) fn explain(rules: &[Rule], set: &str, d: &Difference<'_>) -> Option<usize> {
    rules.iter().position(|rule| {
        let is_about = rule.sets.iter().any(|s| set.contains(s)) && rule.keys.contains(&&*d.key);
        is_about && (rule.when)(d)
    })
}
