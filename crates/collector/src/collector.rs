//! The collector without sockets and clocks: datagrams and times in, files out.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use record::Addr;
use store::rotate::{Slot, slot_of};

use crate::finish::{Finisher, Job, Place};
use crate::loss::TotalLine;
use crate::source::Source;
use crate::{Account, Config, Error, FinishedFile, Sources};

/// Decodes datagrams and stores their flows in files by slot of arrival.
///
/// Time comes with each call and decides which slot a datagram belongs to. It may stand still and
/// even go back a little, as arrival times of several sockets do; a clock that is set back by more
/// than a slot is followed.
pub struct Collector {
    config: Config,
    sources: Vec<Source>,
    /// Which source an address belongs to, `None` if to none.
    by_peer: HashMap<Addr, Option<usize>>,
    /// What no source has counted.
    outside: Account,
    at_slot_start: Account,
    slot: Slot,
    /// When something is to be done, at the latest: flush or rotate.
    due_ms: u64,
    finisher: Finisher,
}

/// How long flows may wait in memory. A crash loses no more, and readers of the open file see all
/// that is older.
const FLUSH_MS: u64 = 1000;

/// Addresses whose source is remembered.
const PEERS_MAX: usize = 65_536;

impl Collector {
    /// A collector with the files of the slot of `now_ms` open.
    ///
    /// # Errors
    /// If the configuration cannot work, a directory is missing or a file cannot be created there.
    /// Later, trouble with files ends nothing: it is logged, flows lost are counted, and the file
    /// is tried again every second.
    pub fn new(config: Config, now_ms: u64) -> Result<Self, Error> {
        config.check()?;
        let mut collector = Self {
            slot: slot_of(now_ms / 1000, config.interval_secs),
            config,
            sources: Vec::new(),
            by_peer: HashMap::new(),
            outside: Account::default(),
            at_slot_start: Account::default(),
            due_ms: 0,
            finisher: Finisher::new(),
        };
        collector.add_configured()?;
        collector.schedule(now_ms);
        Ok(collector)
    }

    fn add_configured(&mut self) -> Result<(), Error> {
        match self.config.sources.clone() {
            Sources::One { ident, dir } => self.add(ident, &dir, "<any IP>")?,
            Sources::Listed(list) => {
                for source in list {
                    let senders: Vec<_> = source.senders.iter().map(ToString::to_string).collect();
                    self.add(source.ident, &source.dir, &senders.join(", "))?;
                }
            }
            Sources::PerExporter { dir, .. } => {
                check_directory(&dir)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, ident: String, dir: &Path, from: &str) -> Result<(), Error> {
        let dir = check_directory(dir)?;
        log::info!("Add flow source: ident: {ident}, IP: {from}, flowdir: {}", dir.display());
        let (sub_dirs, has_zone) = (self.config.sub_dirs, self.config.has_zone);
        let place = Place { dir, sub_dirs, has_zone };
        self.sources.push(Source::start(&self.config, ident, place, self.slot)?);
        Ok(())
    }

    /// Calls `f` with each file once it has its name. To be set before
    /// [`finish_in_background`](Self::finish_in_background), whose thread then calls it.
    pub fn on_file(&mut self, f: impl FnMut(&FinishedFile) + Send + 'static) {
        self.finisher.on_file(Box::new(f));
    }

    /// From now on a thread closes, names and merges files, so that a slow disk does not hold up
    /// decoding. Otherwise calls that end a slot do it themselves.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn finish_in_background(&mut self) -> Result<(), Error> {
        self.finisher.detach()
    }

    /// What it was set up with.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Takes one datagram that arrived from `peer` at `now_ms`.
    pub fn datagram(&mut self, peer: IpAddr, now_ms: u64, bytes: &[u8]) {
        self.tick(now_ms);
        if bytes.is_empty() {
            return self.skip(|outside| &mut outside.empty);
        }
        let peer = Addr::from(peer.to_canonical());
        let at = match self.sources.as_slice() {
            [_] if matches!(self.config.sources, Sources::One { .. }) => Some(0),
            _ => self.source_of(peer),
        };
        if let Some(source) = at.and_then(|at| self.sources.get_mut(at)) {
            source.datagram(peer, now_ms, bytes);
        }
    }

    /// Counts what sockets said of datagrams since the last call: those the kernel dropped, and
    /// those cut short.
    pub const fn note_drops(&mut self, dropped: u64, truncated: u64) {
        self.outside.socket_drops += dropped;
        self.outside.truncated += truncated;
    }

    /// Does what is due: begins a new slot, writes out what has waited.
    pub fn tick(&mut self, now_ms: u64) {
        let now_secs = now_ms / 1000;
        // Arrival times may be a little behind the slot; a clock that was set back is far behind.
        let is_back = now_secs + u64::from(self.slot.len) < self.slot.start;
        if now_ms < self.due_ms && !is_back {
            return;
        }
        if now_secs >= self.slot.end() || is_back {
            self.finish();
            self.slot = slot_of(now_secs, self.slot.len);
            self.begin();
        } else {
            self.sources.iter_mut().for_each(|source| source.flush(self.slot));
        }
        self.schedule(now_ms);
    }

    /// Finishes the files of the current slot before its end. What still arrives during the slot
    /// is added to them when it ends.
    pub fn rotate(&mut self, now_ms: u64) {
        self.tick(now_ms);
        self.finish();
        self.begin();
        self.schedule(now_ms);
    }

    /// Finishes all files. Nothing may follow but another look at the [`account`](Self::account).
    pub fn close(&mut self, now_ms: u64) {
        self.tick(now_ms);
        self.finish();
        self.finisher.join();
    }

    /// Where everything went since the start.
    pub fn account(&self) -> Account {
        let mut all = self.outside;
        for source in &self.sources {
            all.add(&source.account());
        }
        all
    }

    /// Ends all files of the slot, and says in the log what is in them.
    fn finish(&mut self) {
        let is_alone = matches!(self.config.sources, Sources::One { .. });
        let outside = self.outside.since(&self.at_slot_start);
        let losses = if is_alone { outside.outside_losses() } else { outside.shared_losses() };
        for source in &mut self.sources {
            let drops = is_alone.then_some(outside.socket_drops);
            self.finisher.put(source.finish(drops, losses.clone()));
        }
        let account = self.account();
        let line = TotalLine {
            slot: &account.since(&self.at_slot_start),
            interval_secs: self.slot.len,
            has_drops: !is_alone,
        };
        self.finisher.put(Job::Say(line.to_string()));
        self.at_slot_start = account;
    }

    fn begin(&mut self) {
        self.sources.iter_mut().for_each(|source| source.open(self.slot));
    }

    fn schedule(&mut self, now_ms: u64) {
        self.due_ms = (self.slot.end() * 1000).min(now_ms + FLUSH_MS);
    }

    /// The source that `peer` belongs to, which may be made now. Without one the datagram is
    /// counted.
    fn source_of(&mut self, peer: Addr) -> Option<usize> {
        if let Some(known) = self.by_peer.get(&peer).copied() {
            if known.is_none() {
                self.skip(|outside| &mut outside.unknown_sender);
            }
            return known;
        }
        let found = match &self.config.sources {
            Sources::One { .. } => Some(0),
            Sources::Listed(list) => {
                list.iter().position(|s| s.senders.iter().any(|n| n.contains(peer)))
            }
            Sources::PerExporter { dir, limit } => {
                let (dir, limit) = (dir.clone(), *limit);
                return self.add_sender(peer, &dir, limit);
            }
        };
        if self.by_peer.len() >= PEERS_MAX {
            self.by_peer.clear(); // found again as they send
        }
        self.by_peer.insert(peer, found);
        if found.is_none() {
            self.skip(|outside| &mut outside.unknown_sender);
            log::warn!("Skip UDP packets from: {peer}: belongs to no source");
        }
        found
    }

    /// Counts a datagram that goes to no source.
    fn skip(&mut self, why: impl FnOnce(&mut Account) -> &mut u64) {
        self.outside.received += 1;
        *why(&mut self.outside) += 1;
    }

    /// A source of its own for a sender that has none. Senders are not forgotten here, so the
    /// table holds as many as there are sources.
    fn add_sender(&mut self, peer: Addr, dir: &Path, limit: usize) -> Option<usize> {
        if self.sources.len() >= limit {
            if self.outside.refused == 0 {
                log::error!("{limit} sources exist: new ones, like {peer}, are ignored");
            }
            self.skip(|outside| &mut outside.refused);
            return None;
        }
        let ident: String = peer
            .to_string()
            .chars()
            .map(|c| if matches!(c, '.' | ':') { '-' } else { c })
            .collect();
        let dir = dir.join(&ident);
        let added = fs::create_dir_all(&dir)
            .map_err(|source| Error::Directory { path: dir.clone(), source })
            .and_then(|()| self.add(ident, &dir, &peer.to_string()));
        if let Err(e) = added {
            if self.outside.refused == 0 {
                log::error!("no source for {peer}: {e}");
            }
            self.skip(|outside| &mut outside.refused);
            return None;
        }
        let at = self.sources.len() - 1;
        self.by_peer.insert(peer, Some(at));
        Some(at)
    }
}

fn check_directory(dir: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::Directory { path: dir.to_owned(), source };
    if fs::metadata(dir).map_err(failed)?.is_dir() {
        return Ok(dir.to_owned());
    }
    Err(failed(std::io::ErrorKind::NotADirectory.into()))
}
