//! Datagrams to send and files to look into.

use std::fs;
use std::path::{Path, PathBuf};

use collector::{Collector, Config, Sources};
use record::{Addr, Exporter};
use store::{BlockReader, FlowFile, MetaRecord};
use wire::testing::{Record, V9Builder};
use wire::v9;

/// 2026-11-21 10:00:00 UTC, the start of a slot of 300 s.
pub(crate) const START: u64 = 1_795_255_200;
pub(crate) const START_MS: u64 = START * 1000;

/// A v9 datagram with its template and `flows` flows of 10 packets and 1000 bytes.
pub(crate) fn v9(sequence: u32, flows: usize) -> Vec<u8> {
    let header = v9::Header {
        uptime_ms: 60_000,
        unix_secs: START as u32,
        sequence,
        source_id: 9,
        ..v9::Header::default()
    };
    let flow = |n: usize| {
        Record::new()
            .addr(Addr::V4(0x0a00_0000 + n as u32))
            .addr(Addr::V4(0xc0a8_0001))
            .number(6, 1)
            .number(10, 4)
            .number(1000, 4)
            .build()
    };
    let records: Vec<Vec<u8>> = (0..flows).map(flow).collect();
    V9Builder::new(header)
        .template(300, &[(8, 4), (12, 4), (4, 1), (2, 4), (1, 4)])
        .data(300, &records)
        .build()
}

/// Settings for tests: no socket, slots of 300 s.
pub(crate) fn config(dir: &Path) -> Config {
    Config::new(sys::udp::Listen::default(), dir.to_owned())
}

pub(crate) fn config_with(sources: Sources) -> Config {
    Config { sources, ..config(Path::new("unused")) }
}

pub(crate) fn start(dir: &Path, now_ms: u64) -> Collector {
    Collector::new(config(dir), now_ms).unwrap()
}

/// Name of the file of the slot of 300 s that a second belongs to.
pub(crate) fn slot_name(secs: u64) -> String {
    store::rotate::slot_of(secs, 300).file_name()
}

/// Everything in a directory, sorted by name.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".flowsuite-")) // statements of loss
        .collect();
    names.sort();
    names
}

/// The one file that is being written.
pub(crate) fn open_file(dir: &Path) -> PathBuf {
    let mut open = names(dir).into_iter().filter(|n| n.starts_with("nfcapd.current."));
    let name = open.next().expect("a file is open");
    assert_eq!(open.next(), None);
    dir.join(name)
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) flows: u64,
    pub(crate) exporters: Vec<Exporter>,
    /// Export packets and sequence gaps, by the statistics of exporters.
    pub(crate) packets: u64,
    pub(crate) gaps: u32,
    pub(crate) ident: String,
    pub(crate) is_closed: bool,
}

pub(crate) fn read(path: &Path) -> Content {
    let file = FlowFile::open(path).unwrap_or_else(|e| panic!("{e}"));
    let mut content = Content {
        ident: file.ident().to_owned(),
        is_closed: *file.state() == store::FileState::Closed,
        ..Content::default()
    };
    let mut reader = BlockReader::new();
    for n in 0..file.blocks().len() {
        let block = reader.load(&file, n).unwrap();
        assert_eq!(block.damage(), None);
        content.flows += block.rows.len() as u64;
        for record in block.meta {
            match record {
                MetaRecord::Exporter(e) => content.exporters.push(*e),
                MetaRecord::Stats(all) => {
                    content.packets += all.iter().map(|s| s.packets).sum::<u64>();
                    content.gaps += all.iter().map(|s| s.sequence_failures).sum::<u32>();
                }
                _ => {}
            }
        }
    }
    if let Some(totals) = file.totals() {
        assert_eq!(totals.all_flows(), content.flows, "appendix of {}", path.display());
    }
    content
}
