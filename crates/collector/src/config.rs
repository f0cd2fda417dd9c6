//! What a collector is told at start-up.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use store::rotate::SubDirs;
use store::{Extensions, Packing};
use wire::DefaultSampling;

use crate::{Error, Network};

/// Everything a collector needs to know. Nothing in it changes while it runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses and ports to receive datagrams on.
    pub listen: Vec<sys::udp::Listen>,
    /// Sockets for each of them, every one with a thread; they share what arrives. 0: as many as
    /// the buffers that the kernel grants make necessary.
    pub receivers: usize,
    /// Who sends, and where their flows go.
    pub sources: Sources,
    /// Senders whose datagrams are taken; those of others are ignored and counted. Empty: all.
    pub allow: Vec<Network>,
    /// Length of a slot in seconds: how often a file is finished. Slots are aligned to multiples
    /// of it in Unix time.
    pub interval_secs: u32,
    /// Sub directories by date (file format, section 12.2).
    pub sub_dirs: SubDirs,
    /// Whether file names end with the offset from UTC, which nfexpire does not understand.
    pub has_zone: bool,
    /// How blocks are compressed.
    pub compression: Packing,
    /// Threads that compress and write blocks; with none the decoding thread does.
    pub workers: usize,
    /// Extensions that are stored (file format, section 7).
    pub extensions: Extensions,
    /// Makes the indexes of the files that are written; with `None` they get none.
    pub index: Option<Arc<index::Surveys>>,
    /// Limits and sampling of the decoders.
    pub decoder: wire::Config,
    /// Octets of received datagrams that wait for the decoder before the kernel has to drop some.
    /// As much again may be in its hands.
    pub queue_bytes: usize,
    /// Whether what is known of exporters outlives the collector. Those that read captures leave
    /// alone what a collector of the same directory keeps.
    pub keeps_state: bool,
}

impl Config {
    /// nfcapd's defaults for one directory and one socket.
    pub fn new(listen: sys::udp::Listen, dir: PathBuf) -> Self {
        Self {
            listen: vec![listen],
            receivers: 1,
            sources: Sources::One { ident: "none".to_owned(), dir },
            allow: Vec::new(),
            interval_secs: 300,
            sub_dirs: SubDirs::NONE,
            has_zone: false,
            compression: Packing::default(),
            workers: 0,
            extensions: Extensions::ALL,
            index: Some(index::Surveys::new()),
            decoder: wire::Config::default(),
            queue_bytes: QUEUE_BYTES,
            keeps_state: true,
        }
    }

    /// Sources that there can be.
    pub(crate) fn sources_max(&self) -> usize {
        match &self.sources {
            Sources::One { .. } => 1,
            Sources::Listed(list) => list.len(),
            Sources::PerExporter { limit, .. } => *limit,
        }
    }

    /// Checks what does not depend on the time.
    pub(crate) fn check(&self) -> Result<(), Error> {
        const DAY: u32 = 86_400;
        if !(1..=DAY).contains(&self.interval_secs) {
            return Err(Error::Interval(self.interval_secs));
        }
        let Sources::Listed(list) = &self.sources else { return Ok(()) };
        if list.is_empty() {
            return Err(Error::NoSource);
        }
        let mut taken = HashSet::new();
        for source in list {
            // One directory under two names is one directory.
            let dir = source.dir.canonicalize().unwrap_or_else(|_| source.dir.clone());
            if !taken.insert(dir) {
                return Err(Error::SharedDirectory(source.dir.clone()));
            }
        }
        Ok(())
    }
}

/// Default of [`Config::queue_bytes`]: a second of 200 000 flows.
const QUEUE_BYTES: usize = 16 << 20;

/// Whose flows go where.
#[derive(Clone, Debug)]
pub enum Sources {
    /// All exporters together.
    One {
        /// Name of the source, kept in its files.
        ident: String,
        /// Existing directory.
        dir: PathBuf,
    },
    /// Named exporters; datagrams of others are ignored and counted.
    Listed(Vec<Listed>),
    /// Each sender address its own source: its directory is made when it first sends, and named
    /// by the address with dashes in place of dots and colons.
    PerExporter {
        /// Existing directory for the directories of the sources.
        dir: PathBuf,
        /// Sources at most; datagrams of further senders are ignored and counted.
        limit: usize,
    },
}

/// One source of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Name of the source, kept in its files.
    pub ident: String,
    /// Senders that belong to it. The first source of the list that contains one gets it.
    pub senders: Vec<Network>,
    /// Datagrams to this local port alone belong to it, where one is given.
    pub port: Option<u16>,
    /// Sampling of this source, in place of what all have.
    pub sampling: Option<DefaultSampling>,
    /// Existing directory, of this source alone.
    pub dir: PathBuf,
}
