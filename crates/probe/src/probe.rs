//! A probe at work, as all its threads see it: caches, and what becomes of flows.
//!
//! Each thread that captures has a lane with a cache of its own; all lanes share the way out. A
//! lock is held for a batch of packets or a few hundred flows, so whoever looks on waits, and
//! capturing hardly ever does. Locks are taken in one order: that of a cache, then that of the way
//! out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use capture::live::LiveStats;
use log::LevelFilter;
use store::loss::Place;
use wire::export::InterfaceName;

use crate::control::{Controlled, Outline};
use crate::interfaces::{Interfaces, LookupCounts};
use crate::metrics::Status;
use crate::statistics::{Captured, Exported, Report};
use crate::{
    Cache, CacheStats, Ended, InterfaceIndex, Outlet, OutletCounts, Pending, Reason, Timeouts,
};

/// What the threads of a probe share.
pub struct Probe {
    lanes: Vec<Lane>,
    exit: Mutex<Exit>,
    /// When it began, milliseconds since 1970.
    since_ms: u64,
    /// Packets that came while no packets were to be taken.
    paused: AtomicU64,
    takes_packets: AtomicBool,
    end: Mutex<Option<End>>,
}

/// A cache, and what captures for it.
#[derive(Debug)]
pub(crate) struct Lane {
    cache: Mutex<Cache>,
    captured: Mutex<LiveStats>,
    /// Whether interfaces of its flows are indices of the system.
    has_indices: bool,
}

/// The way out of the probe.
struct Exit {
    outlet: Outlet,
    interfaces: Option<Interfaces>,
    now_ms: u64,
    /// Drops that statements of files have, in rings and by interfaces.
    noted: (u64, u64),
}

/// How a probe ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything there is is exported.
    Graceful,
    /// Nothing is.
    AtOnce,
}

/// Conversations that are handed over in one go.
const HANDFUL: usize = 256;
/// Places of a cache that are looked at in one go while packets wait: about a millisecond.
const PIECE: u32 = 2048;
/// Time for those who wait for a cache: to wake up and take it.
const PAUSE: Duration = Duration::from_micros(300);
/// How long collectors may take for the last of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

impl Probe {
    /// A probe with these caches.
    pub fn new(
        caches: impl IntoIterator<Item = Cache>,
        outlet: Outlet,
        interfaces: Option<Interfaces>,
        now_ms: u64,
    ) -> Self {
        let lane = |cache: Cache| Lane {
            has_indices: cache.config().interfaces == InterfaceIndex::OfPacket,
            cache: Mutex::new(cache),
            captured: Mutex::default(),
        };
        Self {
            lanes: caches.into_iter().map(lane).collect(),
            exit: Mutex::new(Exit { outlet, interfaces, now_ms, noted: (0, 0) }),
            since_ms: now_ms,
            paused: AtomicU64::new(0),
            takes_packets: AtomicBool::new(true),
            end: Mutex::new(None),
        }
    }

    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Whether packets are to be taken; those that came nevertheless are to be told.
    pub(crate) fn takes(&self, packets: usize) -> bool {
        let takes = self.takes_packets.load(Ordering::Relaxed);
        if !takes {
            self.paused.fetch_add(packets as u64, Ordering::Relaxed);
        }
        takes
    }

    /// Hands flows of a lane to the way out, and forgets them.
    fn hand_over(&self, lane: &Lane, ended: &mut Vec<Ended>) {
        if ended.is_empty() {
            return;
        }
        let mut exit = lock(&self.exit);
        for mut one in ended.drain(..) {
            exit.take(&mut one, lane.has_indices);
        }
    }

    /// Everything in the caches is handed over: the probe ends, and packets do not wait any more.
    pub fn flush(&self) -> u64 {
        if let Some(dispatch) = lock(&self.exit).outlet.dispatch() {
            dispatch.be_patient(PATIENCE);
        }
        self.lanes.iter().map(|lane| lane.flush(self)).sum()
    }

    /// To be called some times a second: datagrams and files that are due.
    pub fn tick(&self, now_ms: u64) {
        let mut exit = lock(&self.exit);
        exit.now_ms = now_ms;
        exit.outlet.tick(now_ms);
    }

    /// To be called once a second: what the kernel dropped goes into the statement of the open file.
    pub fn note_losses(&self) {
        let sum = |of: fn(&LiveStats) -> u64| -> u64 {
            self.lanes.iter().map(|lane| of(&lock(&lane.captured))).sum()
        };
        let (ring, interface) = (sum(|s| s.dropped), sum(|s| s.interface_dropped));
        let mut exit = lock(&self.exit);
        let Exit { outlet, noted, .. } = &mut *exit;
        let Some(files) = outlet.files() else { return };
        for (what, now, before) in [
            ("Packets dropped by the kernel", ring, &mut noted.0),
            ("Packets dropped by interfaces", interface, &mut noted.1),
        ] {
            files.note_loss(Place::Kernel, what, "packets", now.saturating_sub(*before));
            *before = now;
        }
    }

    /// To be called now and then: names of interfaces that have changed are told to collectors.
    pub fn refresh_names(&self) {
        let mut exit = lock(&self.exit);
        let Exit { outlet, interfaces, .. } = &mut *exit;
        if let Some(names) = interfaces.as_mut().and_then(Interfaces::changed_names) {
            tell_names(outlet, &names);
        }
    }

    /// Sends what waits and closes files.
    pub fn finish(&self, now_ms: u64) {
        self.note_losses();
        lock(&self.exit).outlet.finish(now_ms, PATIENCE);
    }

    /// How somebody wants it to end, if so.
    pub fn end(&self) -> Option<End> {
        *lock(&self.end)
    }

    /// Asks for the end. What was asked for first counts, but for an end at once.
    pub fn ask_to_end(&self, end: End) {
        let mut asked = lock(&self.end);
        if asked.is_none() || end == End::AtOnce {
            *asked = Some(end);
        }
    }

    /// Packets that came while none were to be taken.
    pub fn paused(&self) -> u64 {
        self.paused.load(Ordering::Relaxed)
    }

    /// What became of questions for interfaces.
    pub fn lookups(&self) -> LookupCounts {
        lock(&self.exit).interfaces.as_ref().map(Interfaces::counts).unwrap_or_default()
    }

    /// What became of flows on their way into datagrams.
    pub fn exported(&self) -> wire::export::ExportCounts {
        lock(&self.exit).outlet.counts().export
    }

    /// Everything that can be shown of it.
    pub fn status(&self, now_ms: u64) -> Status {
        // One after the other: a lock that is taken within the expression is held to its end.
        let report = self.report();
        let outlet = lock(&self.exit).outlet.counts();
        Status { now_ms, report, outlet, paused: self.paused(), lookups: self.lookups() }
    }

    /// What was counted.
    pub fn report(&self) -> Report {
        let mut cache = CacheStats::default();
        let mut captured: Option<Captured> = None;
        for lane in &self.lanes {
            cache.join(lock(&lane.cache).stats());
            let live = *lock(&lane.captured);
            let sum = captured.get_or_insert_default();
            sum.received += live.received;
            sum.dropped += live.dropped;
            sum.dropped_by_interface += live.interface_dropped;
        }
        let is_sampled =
            self.lanes.first().is_some_and(|lane| lock(&lane.cache).config().sampling.rate() > 1);
        let exported = exported(&lock(&self.exit).outlet.counts());
        Report { since_ms: self.since_ms, is_sampled, cache, exported, captured }
    }
}

/// Whoever gives commands, in a thread of its own.
impl Controlled for &Probe {
    fn report(&mut self) -> Report {
        Probe::report(self)
    }

    fn timeouts(&self) -> Timeouts {
        let first = self.lanes.first().map(|lane| lock(&lane.cache).config().timeouts);
        first.unwrap_or_default()
    }

    fn outline(&mut self) -> Vec<Outline> {
        let mut all = Vec::new();
        for (number, lane) in (0..).zip(&self.lanes) {
            all.extend(lock(&lane.cache).outline().map(|o| Outline { lane: number, ..o }));
        }
        all
    }

    fn conversation(&self, at: &Outline) -> Option<Pending> {
        lock(&self.lanes.get(usize::from(at.lane))?.cache).conversation(at)
    }

    fn expire_all(&mut self) -> u64 {
        self.send_template();
        let count = self.lanes.iter().map(|lane| lane.sweep(self)).sum();
        let mut exit = lock(&self.exit);
        let now_ms = exit.now_ms;
        exit.outlet.flush(now_ms);
        count
    }

    fn delete_all(&mut self) -> u64 {
        self.lanes.iter().map(|lane| lock(&lane.cache).delete_all()).sum()
    }

    fn send_template(&mut self) {
        let mut exit = lock(&self.exit);
        let now_ms = exit.now_ms;
        if let Some(dispatch) = exit.outlet.dispatch() {
            dispatch.send_templates(now_ms);
        }
    }

    fn gather(&mut self, on: bool) {
        self.takes_packets.store(on, Ordering::Relaxed);
    }

    fn debug(&mut self, more: bool) {
        log::set_max_level(if more { LevelFilter::Trace } else { LevelFilter::Info });
    }

    fn end(&mut self, gracefully: bool) {
        self.ask_to_end(if gracefully { End::Graceful } else { End::AtOnce });
    }
}

impl Exit {
    fn take(&mut self, ended: &mut Ended, has_indices: bool) {
        if let Some(interfaces) = self.interfaces.as_mut().filter(|_| has_indices) {
            interfaces.complete(ended, self.now_ms);
        }
        self.outlet.ended(self.now_ms, ended);
    }
}

impl Lane {
    /// Counts packets; what ended meanwhile is added to `ended`.
    pub(crate) fn observe(
        &self,
        packets: &[capture::Packet<'_>],
        ended: &mut Vec<Ended>,
        probe: &Probe,
    ) {
        lock(&self.cache).observe(packets, &mut |one| self.gather(one, ended, probe));
    }

    /// Ends what is due.
    pub(crate) fn expire(&self, now_ns: u64, ended: &mut Vec<Ended>, probe: &Probe) {
        lock(&self.cache).expire(now_ns, &mut |one| self.gather(one, ended, probe));
    }

    /// Hands over everything that is in the cache.
    pub(crate) fn flush(&self, probe: &Probe) -> u64 {
        let mut ended = Vec::with_capacity(HANDFUL);
        let count = lock(&self.cache)
            .expire_all(Reason::Flushed, &mut |one| self.gather(one, &mut ended, probe));
        probe.hand_over(self, &mut ended);
        count
    }

    /// As [`flush`](Self::flush), while packets are captured: they do not wait for long.
    fn sweep(&self, probe: &Probe) -> u64 {
        let mut ended = Vec::with_capacity(HANDFUL);
        let mut sweep = lock(&self.cache).begin_sweep();
        let mut count = 0;
        loop {
            let is_more = lock(&self.cache).sweep(&mut sweep, PIECE, Reason::Flushed, &mut |one| {
                count += 1;
                self.gather(one, &mut ended, probe);
            });
            probe.hand_over(self, &mut ended);
            if !is_more {
                return count;
            }
            // Whoever has given a lock back gets it again before those who wait for it.
            thread::sleep(PAUSE);
        }
    }

    /// Keeps a flow until there are enough to hand over.
    fn gather(&self, one: &Ended, ended: &mut Vec<Ended>, probe: &Probe) {
        ended.push(*one);
        if ended.len() >= HANDFUL {
            probe.hand_over(self, ended);
        }
    }

    /// Hands over what was kept.
    pub(crate) fn hand_over(&self, ended: &mut Vec<Ended>, probe: &Probe) {
        probe.hand_over(self, ended);
    }

    /// Shows what was captured.
    pub(crate) fn show(&self, captured: LiveStats) {
        *lock(&self.captured) = captured;
    }
}

/// softflowd's four numbers.
pub fn exported(counts: &OutletCounts) -> Exported {
    Exported {
        flows: counts.exported,
        records: counts.export.records,
        datagrams: counts.export.datagrams,
        failures: counts.failures(),
    }
}

/// Names go with exports, and into files.
fn tell_names(outlet: &mut Outlet, names: &[InterfaceName]) {
    if let Some(dispatch) = outlet.dispatch() {
        dispatch.set_interfaces(names);
    }
    if let Some(files) = outlet.files() {
        names.iter().for_each(|name| files.name_interface(name.index, &name.name));
    }
}

/// Counters are whole after each step, so what a thread that panicked left is worth as much as what
/// another one left.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CacheConfig;

    #[test]
    fn a_status_is_of_the_moment() {
        let caches = [CacheConfig::default(), CacheConfig::default()].map(Cache::new);
        let mut probe = &Probe::new(caches, Outlet::new(), None, 5);
        assert!(probe.takes(3));
        probe.gather(false);
        assert!(!probe.takes(4));
        let status = probe.status(7);
        assert_eq!((status.now_ms, status.report.since_ms, status.paused), (7, 5, 4));
        assert_eq!(status.report.captured, Some(Captured::default()), "of interfaces");
    }
}
