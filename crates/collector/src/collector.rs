//! The collector without sockets and clocks: datagrams and times in, files out.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{Addr, Flow};
use store::Pool;
use store::recover;
use store::rotate::{Place, Slot, slot_of};
use sys::udp::DropMark;
use wire::DefaultSampling;

use crate::finish::{Finisher, Job};
use crate::loss::TotalLine;
use crate::marks::Marks;
use crate::pulse::Pulse;
use crate::source::Source;
use crate::status::{Details, SourceStatus, Status};
use crate::{Account, Config, Error, FinishedFile, Listed, Sources};

/// Decodes datagrams and stores their flows in files by slot of arrival.
///
/// Time comes with each call and decides which slot a datagram belongs to. It may stand still and
/// even go back a little, as arrival times of several sockets do; a clock that is set back by more
/// than a slot is followed.
pub struct Collector {
    config: Config,
    /// Who packs and writes blocks, if not the thread that decodes.
    pool: Option<Arc<Pool>>,
    pulse: Arc<Pulse>,
    sources: Vec<Source>,
    /// Who they are that send to a port.
    by_peer: HashMap<(Addr, u16), Sender>,
    /// New senders whose source could not be made, and when.
    failed: HashMap<Addr, u64>,
    /// Sources of the streams that are open.
    streams: HashMap<u32, usize>,
    /// What is stored; `None`: everything.
    keep: Option<Keep>,
    /// What no source has counted.
    outside: Account,
    at_slot_start: Account,
    marks: Marks,
    slot: Slot,
    started_ms: u64,
    /// When something is to be done, at the latest: flush or rotate.
    due_ms: u64,
    finisher: Finisher,
}

/// Says of a flow of the source with this ident whether it is stored.
pub type Keep = Box<dyn FnMut(&str, &Flow) -> bool + Send>;

/// Who somebody is that sends.
#[derive(Clone, Copy, Debug)]
enum Sender {
    /// Of the source with this number.
    Of(usize),
    /// Of no source.
    Unknown,
    /// On no list of those allowed.
    Forbidden,
}

/// How something arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub peer: IpAddr,
    /// Local port it was sent to.
    pub port: u16,
    /// By which transport.
    pub via: Via,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// By which transport something arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// UDP, or a capture of it.
    Datagram,
    /// A message of a stream, whose templates end with it: TCP, TLS. The number is that of the
    /// connection, unique in the life of the process, from 1.
    Stream(u32),
    /// Nothing: the end of that stream.
    StreamEnd(u32),
}

/// How long flows may wait in memory. A crash loses no more, and readers of the open file see all
/// that is older.
const FLUSH_MS: u64 = 950;

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
        let pool = match config.workers {
            0 => None,
            threads => Some(Arc::new(Pool::new(threads)?)),
        };
        let mut collector = Self {
            slot: slot_of(now_ms / 1000, config.interval_secs),
            config,
            pulse: Arc::new(Pulse::new(pool.clone())),
            pool,
            sources: Vec::new(),
            by_peer: HashMap::new(),
            failed: HashMap::new(),
            streams: HashMap::new(),
            keep: None,
            outside: Account::default(),
            at_slot_start: Account::default(),
            marks: Marks::default(),
            started_ms: now_ms,
            due_ms: 0,
            finisher: Finisher::new(),
        };
        collector.finisher.index(collector.config.index.clone());
        collector.add_configured()?;
        collector.schedule(now_ms);
        Ok(collector)
    }

    fn add_configured(&mut self) -> Result<(), Error> {
        match self.config.sources.clone() {
            Sources::One { ident, dir } => {
                self.claim(&ident, &dir);
                self.add(ident, &dir, "<any IP>", None)?;
            }
            Sources::Listed(list) => {
                for Listed { ident, senders, sampling, dir, .. } in list {
                    let senders: Vec<_> = senders.iter().map(ToString::to_string).collect();
                    self.claim(&ident, &dir);
                    self.add(ident, &dir, &senders.join(", "), sampling)?;
                }
            }
            Sources::PerExporter { dir, .. } => {
                // Also of senders that do not come back. All that is there is there now.
                let dir = check_directory(&dir)?;
                for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                    if let (true, Ok(ident)) =
                        (entry.path().is_dir(), entry.file_name().into_string())
                    {
                        self.claim(&ident, &entry.path());
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes in what collectors that are gone have left in the directory of a source, as soon as
    /// there is time for it.
    fn claim(&mut self, ident: &str, dir: &Path) {
        let claimed = recover::claim(dir, ident, self.config.interval_secs);
        for path in &claimed.stored {
            log::info!("{}: left by a crash, its flows are stored already", path.display());
        }
        for (path, e) in &claimed.trouble {
            log::error!("{}: left by a crash: {e}", path.display());
        }
        for left in claimed.files {
            let place = self.place(dir.to_owned());
            self.finisher.put_first(Job::TakeIn(Box::new((place, left))));
        }
    }

    const fn place(&self, dir: PathBuf) -> Place {
        Place { dir, sub_dirs: self.config.sub_dirs, has_zone: self.config.has_zone }
    }

    fn add(
        &mut self,
        ident: String,
        dir: &Path,
        from: &str,
        sampling: Option<DefaultSampling>,
    ) -> Result<(), Error> {
        let _disk = self.pulse.at_disk();
        let dir = check_directory(dir)?;
        log::info!("Add flow source: ident: {ident}, IP: {from}, flowdir: {}", dir.display());
        let place = self.place(dir);
        let pool = self.pool.as_ref();
        let source = Source::start(&self.config, pool, ident, place, sampling, self.slot)?;
        self.sources.push(source);
        Ok(())
    }

    /// Calls `f` with each file once it has its name. To be set before
    /// [`finish_in_background`](Self::finish_in_background), whose thread then calls it.
    pub fn on_file(&mut self, f: impl FnMut(&FinishedFile) + Send + 'static) {
        self.finisher.on_file(Box::new(f));
    }

    /// Calls `f` with the directory of each source after each slot, whatever became of its file. To
    /// be set as [`on_file`](Self::on_file).
    pub fn on_slot(&mut self, f: impl FnMut(&Path) + Send + 'static) {
        self.finisher.on_slot(Box::new(f));
    }

    /// From now on a thread closes, names and merges files, so that a slow disk does not hold up
    /// decoding. Otherwise calls that end a slot do it themselves.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn finish_in_background(&mut self) -> Result<(), Error> {
        self.finisher.detach(self.config.sources_max())
    }

    /// Whether decoding goes on, for others to see.
    pub(crate) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// What it was set up with.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Stores only flows of which `keep` says so; the others are counted.
    pub fn keep(&mut self, keep: Keep) {
        self.keep = Some(keep);
    }

    /// Takes one datagram that arrived from `peer` at `now_ms`, at whatever port.
    pub fn datagram(&mut self, peer: IpAddr, now_ms: u64, bytes: &[u8]) {
        self.receive(&Arrival { peer, port: 0, via: Via::Datagram, at_ms: now_ms }, bytes);
    }

    /// As [`receive`](Self::receive), if nothing is due and nothing can wait for the disk: otherwise
    /// `None`, and nothing is done. Returns whether there is something to be
    /// [written down](Self::save_news).
    ///
    /// That there is [room](Self::has_room) is for the caller to ask.
    pub(crate) fn receive_at_once(&mut self, arrival: &Arrival, bytes: &[u8]) -> Option<bool> {
        let peer = Addr::from(arrival.peer.to_canonical());
        let at = match (&self.config.sources, self.config.allow.is_empty()) {
            (Sources::One { .. }, true) => 0,
            _ => match self.by_peer.get(&(peer, arrival.port)) {
                Some(Sender::Of(at)) => *at,
                _ => return None,
            },
        };
        // Counters of interfaces, which sFlow brings, go to a file of their own.
        let is_flows = !matches!(bytes, [] | [_] | [0, 0, ..]);
        if !is_flows || arrival.via != Via::Datagram || self.is_due(arrival.at_ms) {
            return None;
        }
        let source = self.sources.get_mut(at).filter(|s| !s.wants_save(arrival.at_ms))?;
        self.pulse.beat();
        source.receive(peer, arrival, bytes, self.keep.as_mut());
        source.pack_ahead();
        Some(source.wants_save(arrival.at_ms))
    }

    /// Whether blocks can be handed over without waiting for those before them.
    pub(crate) fn has_room(&self) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.has_room())
    }

    /// Writes down what has been learned of exporters.
    pub(crate) fn save_news(&mut self, now_ms: u64) {
        let _disk = self.pulse.at_disk();
        self.save(now_ms, false);
    }

    /// Takes what arrived: a datagram, a message of a stream, or the end of one.
    pub fn receive(&mut self, arrival: &Arrival, bytes: &[u8]) {
        self.pulse.beat();
        self.tick(arrival.at_ms);
        if let Via::StreamEnd(stream) = arrival.via {
            if let Some(source) = self.streams.remove(&stream) {
                self.sources.get_mut(source).into_iter().for_each(|s| s.end_stream(stream));
            }
            return;
        }
        if bytes.is_empty() {
            return self.skip(|outside| &mut outside.empty);
        }
        let peer = Addr::from(arrival.peer.to_canonical());
        let is_open = self.config.allow.is_empty();
        let at = match (&self.config.sources, is_open) {
            (Sources::One { .. }, true) => Some(0),
            _ => self.source_of(peer, arrival),
        };
        let Some(at) = at else { return };
        if let Via::Stream(stream) = arrival.via {
            self.streams.insert(stream, at);
        }
        if let Some(source) = self.sources.get_mut(at) {
            source.receive(peer, arrival, bytes, self.keep.as_mut());
            // At once, because nobody knows how long this process lives.
            if source.wants_save(arrival.at_ms) {
                let _disk = self.pulse.at_disk();
                source
                    .save(arrival.at_ms, false)
                    .into_iter()
                    .for_each(|job| self.finisher.put(job));
            }
        }
    }

    /// Counts what sockets said of datagrams since the last call: those the kernel dropped, and
    /// those cut short.
    pub const fn note_drops(&mut self, dropped: u64, truncated: u64) {
        self.outside.socket_drops += dropped;
        self.outside.truncated += truncated;
    }

    /// Takes note how far the drops of a socket have been counted, for the collector that gets it
    /// next.
    pub fn note_mark(&mut self, mark: DropMark) {
        self.marks.note(mark);
    }

    /// Whether the thread that finishes files is gone before its time, so that there is no use in
    /// going on: files stay under their temporary names, for the next start to take in.
    pub fn has_failed(&self) -> bool {
        self.finisher.has_failed()
    }

    /// Does what is due: begins a new slot, writes out what has waited.
    pub fn tick(&mut self, now_ms: u64) {
        self.pulse.beat();
        if !self.is_due(now_ms) {
            return;
        }
        let now_secs = now_ms / 1000;
        let _disk = self.pulse.at_disk();
        if now_secs >= self.slot.end() || self.is_back(now_ms) {
            self.finish();
            self.slot = slot_of(now_secs, self.slot.len);
            self.begin();
        } else {
            self.sources.iter_mut().for_each(|source| source.flush(now_ms, self.slot));
            self.save(now_ms, false);
        }
        self.schedule(now_ms);
    }

    /// Whether the clock was set back: arrival times may be a little behind the slot, not far.
    const fn is_back(&self, now_ms: u64) -> bool {
        now_ms / 1000 + (self.slot.len as u64) < self.slot.start
    }

    /// Whether something is to be done at this time.
    const fn is_due(&self, now_ms: u64) -> bool {
        // A clock that was set back by less than a slot waits no longer than usual.
        let is_early = now_ms < self.due_ms && self.due_ms - now_ms <= FLUSH_MS;
        !is_early || self.is_back(now_ms)
    }

    /// Finishes the files of the current slot before its end. What still arrives during the slot
    /// is added to them when it ends.
    pub fn rotate(&mut self, now_ms: u64) {
        self.tick(now_ms);
        let _disk = self.pulse.at_disk();
        self.finish();
        self.begin();
        self.schedule(now_ms);
    }

    /// Finishes all files and keeps what the next collector wants to know. Nothing may follow but
    /// another look at the [`account`](Self::account), or whether it [`has_failed`](Self::has_failed).
    pub fn close(&mut self, now_ms: u64) {
        self.tick(now_ms);
        let _disk = self.pulse.at_disk();
        self.sources.iter_mut().for_each(Source::give_up_waiting);
        self.finish();
        self.save(now_ms, true);
        self.finisher.join();
    }

    /// Writes down what is known of the exporters, where it has changed or this is the end.
    fn save(&mut self, now_ms: u64, is_final: bool) {
        for source in &mut self.sources {
            source.save(now_ms, is_final).into_iter().for_each(|job| self.finisher.put(job));
        }
    }

    /// Describes itself and its sources; what is around it is left as it is.
    pub fn describe(&self, status: &mut Status, now_ms: u64) {
        status.started_ms = self.started_ms;
        status.now_ms = now_ms;
        status.slot_start_secs = self.slot.start;
        status.slot_secs = self.slot.len;
        status.account = self.account();
        status.sources.resize_with(self.sources.len(), SourceStatus::default);
        for (source, status) in self.sources.iter().zip(&mut status.sources) {
            source.describe(status);
        }
    }

    /// All that its decoders know of templates and elements.
    pub fn details(&self, now_ms: u64) -> Details {
        Details { at_ms: now_ms, sources: self.sources.iter().map(Source::details).collect() }
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
        // Behind the statements of the drops.
        self.marks
            .take_new(&self.config)
            .into_iter()
            .for_each(|m| self.finisher.put(Job::Marks(m)));
        self.at_slot_start = account;
    }

    fn begin(&mut self) {
        self.sources.iter_mut().for_each(|source| source.open(self.slot));
    }

    fn schedule(&mut self, now_ms: u64) {
        self.due_ms = (self.slot.end() * 1000).min(now_ms + FLUSH_MS);
    }

    /// The source that a sender to `port` belongs to, which may be made now. Without one the
    /// datagram is counted.
    fn source_of(&mut self, peer: Addr, arrival: &Arrival) -> Option<usize> {
        let Arrival { port, at_ms, .. } = *arrival;
        let sender = match self.by_peer.get(&(peer, port)) {
            Some(known) => *known,
            None => self.meet(peer, port, at_ms)?,
        };
        match sender {
            Sender::Of(at) => return Some(at),
            Sender::Unknown => self.skip(|outside| &mut outside.unknown_sender),
            Sender::Forbidden => self.skip(|outside| &mut outside.not_allowed),
        }
        None
    }

    /// Finds out who a new sender is. `None` if it could have a source, and cannot get one now.
    fn meet(&mut self, peer: Addr, port: u16, now_ms: u64) -> Option<Sender> {
        let allow = &self.config.allow;
        let is_allowed = allow.is_empty() || allow.iter().any(|network| network.contains(peer));
        let is_of = |s: &Listed| {
            s.port.is_none_or(|p| p == port) && s.senders.iter().any(|n| n.contains(peer))
        };
        let sender = match &self.config.sources {
            _ if !is_allowed => Sender::Forbidden,
            Sources::One { .. } => Sender::Of(0),
            Sources::Listed(list) => {
                list.iter().position(is_of).map_or(Sender::Unknown, Sender::Of)
            }
            Sources::PerExporter { dir, limit } => {
                let (dir, limit) = (dir.clone(), *limit);
                match self.sources.iter().position(|s| s.is_of_sender(peer)) {
                    Some(at) => Sender::Of(at),
                    None => Sender::Of(self.add_sender(peer, &dir, limit, now_ms)?),
                }
            }
        };
        match sender {
            Sender::Of(_) => {}
            Sender::Unknown => log::warn!("Skip UDP packets from: {peer}: belongs to no source"),
            Sender::Forbidden => log::warn!("Skip UDP packets from: {peer}: not allowed"),
        }
        if self.by_peer.len() >= PEERS_MAX {
            self.by_peer.clear(); // found again as they send
        }
        self.by_peer.insert((peer, port), sender);
        Some(sender)
    }

    /// Counts a datagram that goes to no source.
    fn skip(&mut self, why: impl FnOnce(&mut Account) -> &mut u64) {
        self.outside.received += 1;
        *why(&mut self.outside) += 1;
    }

    /// A source of its own for a sender that has none.
    fn add_sender(&mut self, peer: Addr, dir: &Path, limit: usize, now_ms: u64) -> Option<usize> {
        /// After that it is tried again.
        const PAUSE_MS: u64 = 1000;
        if self.failed.get(&peer).is_some_and(|at| now_ms.abs_diff(*at) < PAUSE_MS) {
            self.skip(|outside| &mut outside.refused);
            return None;
        }
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
            .and_then(|()| self.add(ident, &dir, &peer.to_string(), None));
        if let Err(e) = added {
            if self.outside.refused == 0 {
                log::error!("no source for {peer}: {e}");
            }
            if self.failed.len() >= PEERS_MAX {
                self.failed.clear();
            }
            self.failed.insert(peer, now_ms);
            self.skip(|outside| &mut outside.refused);
            return None;
        }
        self.failed.remove(&peer);
        self.sources.last_mut()?.set_sender(peer);
        Some(self.sources.len() - 1)
    }
}

fn check_directory(dir: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::Directory { path: dir.to_owned(), source };
    if fs::metadata(dir).map_err(failed)?.is_dir() {
        return Ok(dir.to_owned());
    }
    Err(failed(std::io::ErrorKind::NotADirectory.into()))
}
