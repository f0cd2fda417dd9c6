//! One source: the exporters that share a directory, and all that is known of them.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use record::{Addr, Field, Flow, FlowSink, InterfaceSample, Meta, Ready};
use store::loss::Loss;
use store::rotate::{Place, Slot};
use store::{Pool, StoreError};
use wire::{Counters, Decoder, DefaultSampling, Outcome, Restored};

use crate::collector::Keep;
use crate::finish::{Job, SaveJob};
use crate::ledger::{Exporters, Tally};
use crate::loss::SourceLine;
use crate::spool::Spool;
use crate::state::{Saving, State};
use crate::status::{ExporterStatus, SourceDetails, SourceStatus};
use crate::talk::Talk;
use crate::unknown::Told;
use crate::{Account, Arrival, Config, Sources, Via};

/// Exporter state, the file of the slot, and the account of both.
pub(crate) struct Source {
    decoder: Decoder,
    spool: Spool,
    account: Account,
    at_slot_start: (Account, Counters),
    talk: Talk,
    /// Whose source it is, where each sender has its own.
    sender: Option<Addr>,
    /// What came of each exporter in this slot.
    tally: Tally,
    /// What the decoder knew when it was last written down, and when that was.
    saved: Option<(u64, u64)>,
    /// What came of that.
    saving: Arc<Saving>,
    keeps_state: bool,
    told: Told,
}

impl Source {
    /// A source with the file of `slot` open.
    pub(crate) fn start(
        config: &Config,
        pool: Option<&Arc<Pool>>,
        ident: String,
        place: Place,
        sampling: Option<DefaultSampling>,
        slot: Slot,
    ) -> Result<Self, StoreError> {
        let mut decoder = decoder_config(config);
        decoder.default_sampling = sampling.or(decoder.default_sampling);
        let mut source = Self {
            decoder: Decoder::new(decoder),
            spool: Spool::new(config, pool, ident, place, slot),
            account: Account::default(),
            at_slot_start: Default::default(),
            talk: Talk::default(),
            sender: None,
            tally: Tally::default(),
            saved: None,
            saving: Arc::default(),
            keeps_state: config.keeps_state,
            told: Told::default(),
        };
        if config.keeps_state {
            source.told = Told::read(source.spool.dir());
            source.restore(slot.start * 1000);
        }
        source.open_first(slot)?;
        Ok(source)
    }

    /// The first file: that it cannot be created is an error, later it is trouble.
    fn open_first(&mut self, slot: Slot) -> Result<(), StoreError> {
        self.spool.open(slot)?;
        self.decoder.announce(&mut self.spool);
        Ok(())
    }

    /// Takes over what the collector before this one knew. Trouble with it ends nothing: exporters
    /// repeat their templates.
    fn restore(&mut self, now_ms: u64) {
        let dir = self.spool.dir();
        match State::load(dir) {
            Ok(None) => {}
            Ok(Some(state)) => {
                let continuity = state.continuity();
                let is_final = state.is_final;
                match self.decoder.restore(state.decoder, now_ms, continuity) {
                    Ok(Restored { exporters, templates, .. }) => log::info!(
                        "Ident: '{}': {exporters} exporters with {templates} templates are known \
                         from before",
                        self.spool.ident()
                    ),
                    Err(e) => log::warn!("{}: {e}", dir.display()),
                }
                // Should this collector crash before it writes its own, the end of the one before
                // must not count as its end.
                let decoder = self.decoder.snapshot();
                let state = State { is_final: false, saved_ms: now_ms, decoder };
                if let (true, Err(e)) = (is_final, state.save(dir)) {
                    log::warn!(
                        "{}: after a crash, what is missing may be wrong: {e}",
                        dir.display()
                    );
                }
            }
            Err(e) => log::warn!(
                "{}: templates of the collector before are not known: {e}; they are learned anew",
                dir.display()
            ),
        }
        // What is there was the end of somebody else; from now on it is not.
        self.saved = None;
    }

    /// Whether there is something new to be written down, and it was not done a moment ago.
    pub(crate) fn wants_save(&self, now_ms: u64) -> bool {
        /// Exporters that change their templates all the time do not keep the disk busy.
        const PAUSE_MS: u64 = 1000;
        if !self.keeps_state || self.saving.is_under_way() {
            return false;
        }
        self.saved.is_none_or(|(changes, at_ms)| {
            let is_new = changes != self.decoder.changes() || self.told.is_due();
            (is_new || self.saving.has_failed()) && now_ms.abs_diff(at_ms) >= PAUSE_MS
        })
    }

    /// What there is to be written down, if it has changed or this is the end.
    pub(crate) fn save(&mut self, now_ms: u64, is_final: bool) -> Option<Job> {
        if !self.keeps_state || (!is_final && !self.wants_save(now_ms)) {
            return None;
        }
        self.told.look(self.spool.ident(), &self.decoder);
        // At the end nobody asks any more what became of the one before.
        if self.saving.has_failed() || self.saving.is_under_way() {
            self.told.not_written();
        }
        self.saving.begin();
        self.saved = Some((self.decoder.changes(), now_ms));
        Some(Job::Save(Box::new(SaveJob {
            dir: self.spool.dir().to_owned(),
            unknown: self.told.take_due(&self.decoder),
            saving: Arc::clone(&self.saving),
            state: State { is_final, saved_ms: now_ms, decoder: self.decoder.snapshot() },
        })))
    }

    /// What it counted since the start.
    pub(crate) fn account(&self) -> Account {
        self.account_with(self.spool.flows())
    }

    fn account_with(&self, (flows, flows_lost): (u64, u64)) -> Account {
        Account { flows: flows.saturating_add(self.account.filtered), flows_lost, ..self.account }
    }

    /// Begins the file of a slot with all that readers must know of the exporters.
    pub(crate) fn open(&mut self, slot: Slot) {
        match self.spool.open(slot) {
            Ok(()) => self.decoder.announce(&mut self.spool),
            Err(e) => self.spool.complain(&e),
        }
    }

    /// Writes out what has waited in memory, and gives up on data that has waited too long for its
    /// template. A file that could not be created is tried again.
    pub(crate) fn flush(&mut self, now_ms: u64, slot: Slot) {
        self.decoder.expire_parked(now_ms);
        if self.spool.is_open() {
            self.spool.flush();
        } else {
            self.open(slot);
        }
    }

    /// Whose source it is from now on.
    pub(crate) const fn set_sender(&mut self, sender: Addr) {
        self.sender = Some(sender);
    }

    /// Whether it is the source of this sender alone.
    pub(crate) fn is_of_sender(&self, sender: Addr) -> bool {
        self.sender == Some(sender)
    }

    /// Decodes a datagram or message into the open file, as far as `keep` wants its flows. A panic
    /// of the decoder costs that datagram only.
    pub(crate) fn receive(
        &mut self,
        peer: Addr,
        arrival: &Arrival,
        bytes: &[u8],
        keep: Option<&mut Keep>,
    ) {
        self.account.received += 1;
        let mut tap = Tap {
            spool: &mut self.spool,
            talk: &mut self.talk,
            keep,
            filtered: &mut self.account.filtered,
            tally: &mut self.tally,
        };
        let (decoder, now_ms) = (&mut self.decoder, arrival.at_ms);
        let outcome = catch_unwind(AssertUnwindSafe(|| match arrival.via {
            Via::Stream(stream) => decoder.decode_stream(stream, peer, now_ms, bytes, &mut tap),
            _ => decoder.decode(peer, now_ms, bytes, &mut tap),
        }));
        // Looked at where it lies: moved by wider octets than were written, it would have to wait for
        // all stores before it, and these are rows on their way to memory.
        match &outcome {
            Ok(outcome) if outcome.error.is_none() => self.account.decoded += 1,
            outcome => self.fault(peer, bytes, outcome),
        }
    }

    /// Packs what has come lately, while it is in the cache of this core.
    #[inline]
    pub(crate) fn pack_ahead(&mut self) {
        self.spool.pack_ahead();
    }

    #[cold]
    fn fault(&mut self, peer: Addr, bytes: &[u8], outcome: &thread::Result<Outcome>) {
        match outcome.as_ref().map(|o| o.error) {
            Ok(None) => self.account.decoded += 1,
            Ok(Some(e)) => {
                let is_foreign = e.is_foreign();
                self.account.bad += u64::from(is_foreign);
                self.account.decoded += u64::from(!is_foreign);
                self.talk.fault(self.spool.ident(), peer, e);
            }
            Err(panic) => {
                self.account.panicked += 1;
                report(peer, bytes, panic.as_ref());
            }
        }
    }

    /// Forgets the templates of a stream that has ended.
    pub(crate) fn end_stream(&mut self, stream: u32) {
        self.decoder.end_session(stream);
    }

    /// Gives up on all data that still waits for its template: it is lost, and counted.
    pub(crate) fn give_up_waiting(&mut self) {
        self.decoder.expire_parked(u64::MAX);
    }

    /// Shows what it has done since the start.
    pub(crate) fn describe(&self, status: &mut SourceStatus) {
        self.spool.describe(status);
        status.account = self.account();
        status.decoder = *self.decoder.counters();
        status.exporters.clear();
        status.exporters.extend(self.decoder.exporters().map(|view| ExporterStatus::from(&view)));
    }

    /// Templates, samplers and unknown elements.
    pub(crate) fn details(&self) -> SourceDetails {
        SourceDetails::of(self.spool.ident(), &self.decoder)
    }

    /// Ends the file of the slot. Name and log line are left to the job that is returned.
    /// Drops are those of its own, `outside` what else was lost before it got here.
    pub(crate) fn finish(&mut self, socket_drops: Option<u64>, outside: Vec<Loss>) -> Job {
        self.spool.end_slot();
        let exporters = self.decoder.take_slots();
        // Flows that are lost late belong to the slot they came in.
        let account = self.account_with(self.spool.flows_so_far());
        let (account_before, counters_before) = &self.at_slot_start;
        let line = SourceLine {
            ident: self.spool.ident().to_owned(),
            sequence_errors: exporters.iter().map(|e| u64::from(e.stats().sequence_failures)).sum(),
            socket_drops,
            samples_lost: self.spool.take_samples_lost(),
            while_stopped: exporters.iter().map(|e| e.counts.missing_while_stopped).sum(),
            slot: account.since(account_before),
            decoder: self.decoder.counters().since(counters_before),
            outside,
            ..SourceLine::default()
        };
        self.at_slot_start = (account, *self.decoder.counters());
        self.told.look(self.spool.ident(), &self.decoder);
        self.talk.end_slot(self.spool.ident());
        let waiting = self.decoder.exporters().map(|e| (e.exporter, e.totals.sets_waiting()));
        let (waiting, tally) = (waiting.collect(), std::mem::take(&mut self.tally));
        let exporters = Exporters { slots: exporters, tally, waiting };
        exporters.say_faults(self.spool.ident());
        Job::File(Box::new(self.spool.finish(exporters, line)))
    }
}

/// What each source may make us remember is a share of the whole.
fn decoder_config(config: &Config) -> wire::Config {
    const SMALLEST: usize = 1 << 20;
    let mut decoder = config.decoder;
    let sources = match &config.sources {
        Sources::One { .. } => return decoder,
        Sources::Listed(list) => list.len(),
        Sources::PerExporter { limit, .. } => *limit,
    };
    let limits = &mut decoder.limits;
    for whole in [
        &mut limits.template_bytes,
        &mut limits.sampler_bytes,
        &mut limits.name_bytes,
        &mut limits.parked_bytes,
    ] {
        *whole = (*whole / sources.max(1)).max(SMALLEST.min(*whole));
    }
    decoder
}

/// Logs whom flows come from, on their way to the file.
struct Tap<'a> {
    spool: &'a mut Spool,
    talk: &'a mut Talk,
    keep: Option<&'a mut Keep>,
    filtered: &'a mut u64,
    tally: &'a mut Tally,
}

impl FlowSink for Tap<'_> {
    #[inline]
    fn flow(&mut self, flow: &Flow) {
        #[cfg(test)]
        tests::maybe_panic();
        let (exporter, flows) = (flow.number(Field::ExporterId) as u16, flow.as_row().flows());
        let ident = self.spool.ident();
        let is_kept = self.keep.as_mut().is_none_or(|keep| keep(ident, flow));
        self.tally.count(exporter, flows, is_kept);
        if is_kept {
            self.spool.flow(flow);
        } else {
            *self.filtered = self.filtered.saturating_add(flows);
        }
    }

    fn takes_records(&self) -> bool {
        self.keep.is_none() && self.spool.takes_records()
    }

    fn records(&mut self, ready: &Ready<'_>) {
        #[cfg(test)]
        (0..ready.count).for_each(|_| tests::maybe_panic());
        self.tally.count(ready.exporter, u64::from(ready.count), true);
        self.spool.records(ready);
    }

    fn interface(&mut self, sample: &InterfaceSample) {
        self.spool.interface(sample);
    }

    fn meta(&mut self, meta: Meta<'_>) {
        match meta {
            Meta::Exporter(exporter) => self.talk.exporter(&exporter),
            Meta::Sampler(sampler) => self.talk.sampler(&sampler),
            _ => {}
        }
        self.spool.meta(meta);
    }
}

/// What a developer needs to repeat a panic.
fn report(peer: Addr, bytes: &[u8], panic: &(dyn Any + Send)) {
    const SHOWN: usize = 1500;
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let mut hex = String::with_capacity(2 * bytes.len().min(SHOWN));
    for b in bytes.iter().take(SHOWN) {
        let _ = write!(hex, "{b:02x}"); // writing to a String cannot fail
    }
    let len = bytes.len();
    log::error!(
        "bug, please report: decoder panicked ({message}) on {len} bytes from {peer}: {hex}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::Finisher;
    use std::cell::{Cell, RefCell};
    use std::path::Path;
    use store::rotate::{SubDirs, slot_of};
    use wire::testing::{Record, V5Builder, V9Builder};

    thread_local!(static FLOWS_UNTIL_PANIC: Cell<usize> = const { Cell::new(usize::MAX) });

    thread_local!(static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) });

    /// Keeps what each thread logs.
    struct Lines;

    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
        }

        fn flush(&self) {}
    }

    /// Stands for a bug in a decoder.
    pub(super) fn maybe_panic() {
        let left = FLOWS_UNTIL_PANIC.get();
        FLOWS_UNTIL_PANIC.set(left.wrapping_sub(1));
        assert!(left > 0, "a bug for testing");
    }

    fn source(dir: &Path) -> Source {
        let config = Config::new(sys::udp::Listen::default(), dir.to_owned());
        let place = Place { dir: dir.to_owned(), sub_dirs: SubDirs::NONE, has_zone: false };
        Source::start(&config, None, "test".to_owned(), place, None, slot_of(0, 300)).unwrap()
    }

    fn receive(source: &mut Source, bytes: &[u8]) {
        let peer = std::net::IpAddr::from([0, 0, 0, 1]);
        let arrival = Arrival { peer, port: 0, via: Via::Datagram, at_ms: 1000 };
        source.receive(Addr::V4(1), &arrival, bytes, None);
    }

    #[test]
    fn a_panic_costs_one_datagram_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = source(dir.path());
        let datagram = (0..10)
            .fold(V5Builder::new(wire::v5::Header::default()), |b, n| b.record([n; 48]))
            .build();
        // The ten come together.
        for (until_panic, flows, panicked) in
            [(usize::MAX, 10, 0), (4, 10, 1), (0, 10, 2), (usize::MAX, 20, 2)]
        {
            FLOWS_UNTIL_PANIC.set(until_panic);
            receive(&mut source, &datagram);
            let account = source.account();
            assert_eq!((account.flows, account.panicked), (flows, panicked));
            assert!(account.is_balanced() && account.flows_lost == 0);
        }
        Finisher::new().put(source.finish(None, Vec::new()));
        let name = slot_of(0, 300).file_name();
        let file = store::FlowFile::open(dir.path().join(name)).unwrap();
        assert_eq!(file.totals().unwrap().all_flows(), 20);
    }

    /// The rows of the file that a source writes of these datagrams.
    fn rows(datagrams: &[Vec<u8>], mut keep: Option<Keep>) -> (Vec<Vec<u8>>, record::Totals) {
        let dir = tempfile::tempdir().unwrap();
        let mut source = source(dir.path());
        let peer = std::net::Ipv4Addr::from(1).into();
        let arrival = Arrival { peer, port: 0, via: Via::Datagram, at_ms: 1_795_000_000_000 };
        for datagram in datagrams {
            source.receive(Addr::V4(1), &arrival, datagram, keep.as_mut());
        }
        let account = source.account();
        assert!(account.is_balanced() && account.flows_lost == 0);
        Finisher::new().put(source.finish(None, Vec::new()));
        let file = store::FlowFile::open(dir.path().join(slot_of(0, 300).file_name())).unwrap();
        let (mut reader, mut all) = (store::BlockReader::new(), Vec::new());
        for number in 0..file.blocks().len() {
            let block = reader.load(&file, number).unwrap();
            all.extend(block.rows.iter().map(|row| row.as_bytes().to_vec()));
        }
        assert_eq!(all.len() as u64, account.flows);
        (all, *file.totals().unwrap())
    }

    #[test]
    fn files_are_the_same_whichever_way_flows_go() {
        let mut n = 7u64;
        let mut octets = |len: usize| -> Vec<u8> {
            let next = |_| {
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (n >> 40) as u8 % 60
            };
            (0..len).map(next).collect()
        };
        let fields = |src, dst, len| {
            [(22, 4), (21, 4), (src, len), (dst, len), (4, 1), (6, 1), (2, 4), (1, 4), (10, 2)]
        };
        let unix_secs = 1_795_000_000;
        let datagrams: Vec<_> = (0..800)
            .map(|round| {
                if round % 2 == 0 {
                    let header = wire::v5::Header { unix_secs, ..Default::default() };
                    let datagram = V5Builder::new(header);
                    (0..30).fold(datagram, |d, _| d.record(octets(48).try_into().unwrap())).build()
                } else {
                    let header = wire::v9::Header { unix_secs, ..Default::default() };
                    let (v4, v6): (Vec<_>, Vec<_>) =
                        (0..10).map(|_| (octets(28), octets(52))).unzip();
                    V9Builder::new(header)
                        .template(256, &fields(8, 12, 4))
                        .template(257, &fields(27, 28, 16))
                        .data(256, &v4)
                        .data(257, &v6)
                        .build()
                }
            })
            .collect();
        let short = rows(&datagrams, None);
        // Whoever is asked about each flow gets each flow.
        assert!(short == rows(&datagrams, Some(Box::new(|_, _| true))));
        assert_eq!(short.0.len(), 400 * 50);
    }

    #[test]
    fn samplers_that_change_with_every_packet_do_not_fill_the_log() {
        let _ = log::set_logger(&Lines);
        log::set_max_level(log::LevelFilter::Info);
        let dir = tempfile::tempdir().unwrap();
        let mut source = source(dir.path());
        for (packets, logged, more) in [(120, 100, Some(20)), (100, 100, None)] {
            LINES.take();
            for n in 0..packets {
                let header = wire::v5::Header { sampling: 2 + n, ..Default::default() };
                receive(&mut source, &V5Builder::new(header).build());
            }
            drop(source.finish(None, Vec::new()));
            let lines = LINES.take();
            let added = lines.iter().filter(|l| l.starts_with("Add new sampler")).count();
            let rest: Vec<_> = lines.iter().filter(|l| l.contains("more samplers")).collect();
            let want = more.map(|n| format!("Ident: test: {n} more samplers, new or changed"));
            assert_eq!((added, rest), (logged, want.iter().collect()));
        }
    }

    #[test]
    fn account_and_log_count_the_flows_that_records_stand_for() {
        let _ = log::set_logger(&Lines);
        log::set_max_level(log::LevelFilter::Info);
        let dir = tempfile::tempdir().unwrap();
        let mut source = source(dir.path());
        let record = |flows| Record::new().number(flows, 4).number(100, 4).build();
        let datagram = V9Builder::new(wire::v9::Header::default())
            .template(256, &[(3, 4), (1, 4)])
            .data(256, &[record(7), record(0)])
            .template(257, &[(1, 4)])
            .data(257, &[Record::new().number(100, 4).build()])
            .build();
        receive(&mut source, &datagram);
        assert_eq!(source.account().flows, 7 + 1 + 1);
        LINES.take();
        Finisher::new().put(source.finish(None, Vec::new()));
        let lines = LINES.take();
        assert!(lines.iter().any(|l| l.starts_with("Ident: 'test' Flows: 9, ")), "{lines:?}");
    }

    #[test]
    fn one_save_waits_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = source(dir.path());
        let learn = |source: &mut Source, id| {
            let header = wire::v9::Header::default();
            receive(source, &V9Builder::new(header).template(id, &[(1, 4)]).build());
        };
        learn(&mut source, 256);
        let first = source.save(1000, false).expect("a save");
        learn(&mut source, 257);
        assert!(source.save(5000, false).is_none(), "the first is not done");
        Finisher::new().put(first);
        let second = source.save(5000, false).expect("what has changed since");
        Finisher::new().put(second);
        assert!(source.save(9000, false).is_none(), "nothing has changed");
        assert!(source.save(9000, true).is_some());
    }

    #[test]
    fn sources_made_by_senders_share_what_decoders_may_remember() {
        let dir = Path::new("dir");
        let mut config = Config::new(sys::udp::Listen::default(), dir.to_owned());
        let whole = config.decoder.limits.template_bytes;
        let shared = |config: &Config| {
            let limits = decoder_config(config).limits;
            [limits.template_bytes, limits.sampler_bytes, limits.name_bytes]
        };
        assert_eq!(shared(&config), [whole; 3]);
        for (limit, want) in [(1, whole), (4, whole / 4), (1_000_000, 1 << 20), (0, whole)] {
            config.sources = Sources::PerExporter { dir: dir.to_owned(), limit };
            assert_eq!(shared(&config), [want; 3], "limit {limit}");
        }
    }
}
