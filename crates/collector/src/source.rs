//! One source: the exporters that share a directory, and all that is known of them.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use record::{Addr, Exporter, Flow, FlowSink, Meta, Sampler};
use store::StoreError;
use store::loss::Loss;
use store::rotate::Slot;
use wire::{Counters, DecodeError, Decoder};

use crate::finish::{Job, Place};
use crate::loss::SourceLine;
use crate::recover::recover;
use crate::spool::Spool;
use crate::{Account, Config, Sources};

/// Exporter state, the file of the slot, and the account of both.
pub(crate) struct Source {
    decoder: Decoder,
    spool: Spool,
    account: Account,
    at_slot_start: (Account, Counters),
    complaints: u32,
    /// Samplers of this slot that are new or have changed.
    samplers: u64,
}

/// Faults of a slot that are logged; all are counted.
const COMPLAINTS: u32 = 10;

/// Samplers of a slot that are logged. An exporter may change one with every packet.
const SAMPLERS: u64 = 100;

impl Source {
    /// A source with the file of `slot` open. What an earlier collector left behind in its
    /// directory is taken in first.
    pub(crate) fn start(
        config: &Config,
        ident: String,
        place: Place,
        slot: Slot,
    ) -> Result<Self, StoreError> {
        recover(&place, &ident, config.interval_secs);
        let mut source = Self {
            decoder: Decoder::new(decoder_config(config)),
            spool: Spool::new(config, ident, place, slot),
            account: Account::default(),
            at_slot_start: Default::default(),
            complaints: 0,
            samplers: 0,
        };
        source.spool.open(slot)?;
        Ok(source)
    }

    /// What it counted since the start.
    pub(crate) fn account(&self) -> Account {
        let (flows, flows_lost) = self.spool.flows();
        Account { flows, flows_lost, ..self.account }
    }

    /// Begins the file of a slot with all that readers must know of the exporters.
    pub(crate) fn open(&mut self, slot: Slot) {
        match self.spool.open(slot) {
            Ok(()) => self.decoder.announce(&mut self.spool),
            Err(e) => self.spool.complain(&e),
        }
    }

    /// Writes out what has waited in memory. A file that could not be created is tried again.
    pub(crate) fn flush(&mut self, slot: Slot) {
        if self.spool.is_open() {
            self.spool.flush();
        } else {
            self.open(slot);
        }
    }

    /// Decodes one datagram into the open file. A panic of the decoder costs that datagram only.
    pub(crate) fn datagram(&mut self, peer: Addr, now_ms: u64, bytes: &[u8]) {
        self.account.received += 1;
        let mut tap = Tap { spool: &mut self.spool, samplers: &mut self.samplers };
        let decoder = &mut self.decoder;
        let outcome =
            catch_unwind(AssertUnwindSafe(|| decoder.decode(peer, now_ms, bytes, &mut tap)));
        match outcome.map(|o| o.error) {
            Ok(None) => self.account.decoded += 1,
            Ok(Some(e)) => {
                let is_foreign = e.is_foreign();
                self.account.bad += u64::from(is_foreign);
                self.account.decoded += u64::from(!is_foreign);
                self.complain(peer, e);
            }
            Err(panic) => {
                self.account.panicked += 1;
                report(peer, bytes, panic.as_ref());
            }
        }
    }

    fn complain(&mut self, peer: Addr, error: DecodeError) {
        self.complaints += 1;
        if self.complaints <= COMPLAINTS {
            log::warn!("Ident: {}, packet from {peer}: {error}", self.spool.ident());
        }
        if self.complaints == COMPLAINTS {
            log::warn!("Ident: {}: further faults of this slot are counted", self.spool.ident());
        }
    }

    /// Ends the file of the slot. Name and log line are left to the job that is returned.
    /// Drops are those of its own, `outside` what else was lost before it got here.
    pub(crate) fn finish(&mut self, socket_drops: Option<u64>, outside: Vec<Loss>) -> Job {
        self.spool.flush(); // what is lost now belongs to this slot
        let stats = self.decoder.take_stats();
        let account = self.account();
        let (account_before, counters_before) = &self.at_slot_start;
        let line = SourceLine {
            ident: self.spool.ident().to_owned(),
            sequence_errors: stats.iter().map(|s| u64::from(s.sequence_failures)).sum(),
            socket_drops,
            slot: account.since(account_before),
            decoder: self.decoder.counters().since(counters_before),
            outside,
            ..SourceLine::default()
        };
        self.at_slot_start = (account, *self.decoder.counters());
        self.complaints = 0;
        let samplers = std::mem::take(&mut self.samplers);
        if let Some(more @ 1..) = samplers.checked_sub(SAMPLERS) {
            log::info!("Ident: {}: {more} more samplers, new or changed", self.spool.ident());
        }
        Job::File(Box::new(self.spool.finish(stats, line)))
    }
}

/// Where sources are made by whoever sends, what each may remember is a share of the whole.
fn decoder_config(config: &Config) -> wire::Config {
    const SMALLEST: usize = 1 << 20;
    let mut decoder = config.decoder;
    if let Sources::PerExporter { limit, .. } = config.sources {
        let share = |whole: usize| (whole / limit.max(1)).max(SMALLEST.min(whole));
        decoder.limits.template_bytes = share(decoder.limits.template_bytes);
        decoder.limits.sampler_bytes = share(decoder.limits.sampler_bytes);
        decoder.limits.name_bytes = share(decoder.limits.name_bytes);
    }
    decoder
}

/// Logs whom flows come from, on their way to the file.
struct Tap<'a> {
    spool: &'a mut Spool,
    samplers: &'a mut u64,
}

impl FlowSink for Tap<'_> {
    #[inline]
    fn flow(&mut self, flow: &Flow) {
        #[cfg(test)]
        tests::maybe_panic();
        self.spool.flow(flow);
    }

    fn meta(&mut self, meta: Meta<'_>) {
        match meta {
            Meta::Exporter(exporter) => log_exporter(&exporter),
            Meta::Sampler(sampler) => self.log_sampler(&sampler),
            _ => {}
        }
        self.spool.meta(meta);
    }
}

impl Tap<'_> {
    fn log_sampler(&mut self, sampler: &Sampler) {
        *self.samplers += 1;
        if *self.samplers > SAMPLERS {
            return;
        }
        let Sampler { id, algorithm, packet_interval, space_interval, .. } = sampler;
        log::info!(
            "Add new sampler id: {id}, algorithm: {algorithm}, \
             packet interval: {packet_interval}, packet space: {space_interval}"
        );
    }
}

fn log_exporter(exporter: &Exporter) {
    let Exporter { sysid, version, addr, id } = *exporter;
    match version {
        9 => log::info!("Process_v9: New v9 exporter: SysID: {sysid}, Domain: {id}, IP: {addr}"),
        10 => log::info!(
            "Process_ipfix: New ipfix exporter: SysID: {sysid}, Observation domain {id} from: {addr}"
        ),
        _ => log::info!(
            "Process_v{version}: New exporter: SysID: {sysid}, engine id {}, type {}, IP: {addr}",
            id & 0xff,
            id >> 8 & 0xff
        ),
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
        Source::start(&config, "test".to_owned(), place, slot_of(0, 300)).unwrap()
    }

    #[test]
    fn a_panic_costs_one_datagram_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = source(dir.path());
        let datagram = (0..10)
            .fold(V5Builder::new(wire::v5::Header::default()), |b, n| b.record([n; 48]))
            .build();
        for (until_panic, flows, panicked) in
            [(usize::MAX, 10, 0), (4, 14, 1), (0, 14, 2), (usize::MAX, 24, 2)]
        {
            FLOWS_UNTIL_PANIC.set(until_panic);
            source.datagram(Addr::V4(1), 1000, &datagram);
            let account = source.account();
            assert_eq!((account.flows, account.panicked), (flows, panicked));
            assert!(account.is_balanced() && account.flows_lost == 0);
        }
        Finisher::new().put(source.finish(None, Vec::new()));
        let name = slot_of(0, 300).file_name();
        let file = store::FlowFile::open(dir.path().join(name)).unwrap();
        assert_eq!(file.totals().unwrap().all_flows(), 24);
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
                source.datagram(Addr::V4(1), 1000, &V5Builder::new(header).build());
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
        source.datagram(Addr::V4(1), 1000, &datagram);
        assert_eq!(source.account().flows, 7 + 1 + 1);
        LINES.take();
        Finisher::new().put(source.finish(None, Vec::new()));
        let lines = LINES.take();
        assert!(lines.iter().any(|l| l.starts_with("Ident: 'test' Flows: 9, ")), "{lines:?}");
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
