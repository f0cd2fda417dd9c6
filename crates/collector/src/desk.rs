//! The collector, and who may use it now: the thread that waits for what is to be decoded, or that
//! of the only socket, which decodes what it has just read where it lies.
//!
//! The latter must never be held up, or datagrams are lost. So it takes only what cannot wait for
//! the disk, and only when all that it has put into the inbox before is decoded: datagrams of a
//! socket are decoded in their order, whichever thread does it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::{Arrival, Collector};

/// A collector that two threads use in turn.
pub(crate) struct Desk<'a> {
    collector: Mutex<&'a mut Collector>,
    /// Batches of sockets that are in the inbox or being decoded.
    waiting: AtomicU64,
    /// Datagrams that a receiver has decoded itself.
    at_once: AtomicU64,
    /// Whether one of them left something to be written down.
    has_news: AtomicBool,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(collector: &'a mut Collector) -> Self {
        Self {
            collector: Mutex::new(collector),
            waiting: AtomicU64::new(0),
            at_once: AtomicU64::new(0),
            has_news: AtomicBool::new(false),
        }
    }

    /// The collector, once nobody else has it. A panic of the other thread ends the collector, which
    /// still closes its files.
    pub(crate) fn collector(&self) -> MutexGuard<'_, &'a mut Collector> {
        self.collector.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before a batch of a socket is put into the inbox.
    pub(crate) fn put(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    /// So many batches of sockets have been decoded.
    pub(crate) fn decoded(&self, batches: usize) {
        self.waiting.fetch_sub(batches as u64, Ordering::AcqRel);
    }

    /// Datagrams that a receiver has decoded itself so far.
    pub(crate) fn at_once(&self) -> u64 {
        self.at_once.load(Ordering::Relaxed)
    }

    /// Whether something is to be written down that a receiver has left, once.
    pub(crate) fn take_news(&self) -> bool {
        self.has_news.swap(false, Ordering::AcqRel)
    }

    /// The collector, if nobody has it, no batch waits and its disk keeps up.
    fn try_collector(&self) -> Option<MutexGuard<'_, &'a mut Collector>> {
        if self.waiting.load(Ordering::Acquire) > 0 {
            return None;
        }
        match self.collector.try_lock() {
            Ok(collector) => Some(collector).filter(|c| c.has_room()),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => None,
        }
    }
}

/// The place of a receiver at the desk for what one system call brings.
pub(crate) struct Seat<'d, 'a> {
    desk: Option<&'d Desk<'a>>,
    /// Whether something could not be decoded: what follows waits behind it.
    is_over: bool,
    collector: Option<MutexGuard<'d, &'a mut Collector>>,
    count: u64,
    has_news: bool,
}

impl<'d, 'a> Seat<'d, 'a> {
    /// A place, or with `None` none.
    pub(crate) const fn at(desk: Option<&'d Desk<'a>>) -> Self {
        Self { desk, is_over: false, collector: None, count: 0, has_news: false }
    }

    /// Decodes a datagram. `false` if it has to wait in the inbox, as all that follow have to.
    pub(crate) fn receive(&mut self, arrival: &Arrival, bytes: &[u8]) -> bool {
        let Some(desk) = self.desk.filter(|_| !self.is_over) else { return false };
        if self.collector.is_none() {
            self.collector = desk.try_collector();
        }
        let taken = self.collector.as_mut().and_then(|c| c.receive_at_once(arrival, bytes));
        match taken {
            Some(has_news) => {
                self.count += 1;
                self.has_news |= has_news;
                true
            }
            None => {
                self.collector = None;
                self.is_over = true;
                false
            }
        }
    }

    /// Lets others have the collector. Returns whether they have to be told that there is something
    /// to be written down.
    pub(crate) fn leave(&mut self) -> bool {
        self.collector = None;
        let Some(desk) = self.desk else { return false };
        desk.at_once.fetch_add(std::mem::take(&mut self.count), Ordering::Relaxed);
        let has_news = std::mem::take(&mut self.has_news);
        if has_news {
            desk.has_news.store(true, Ordering::Release);
        }
        has_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, Config, Via};
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::path::Path;
    use wire::testing::{Record, V5Builder, V9Builder};

    const START_MS: u64 = 1_795_000_000_000;

    fn collector(dir: &Path) -> Collector {
        let config = Config::new(sys::udp::Listen::default(), dir.to_owned());
        let config = Config { workers: 1, interval_secs: 2, index: None, ..config };
        Collector::new(config, START_MS).unwrap()
    }

    fn arrival(from: u8, at_ms: u64) -> Arrival {
        let peer = IpAddr::from([192, 0, 2, from]);
        Arrival { peer, port: 9995, via: Via::Datagram, at_ms }
    }

    fn v5(sequence: u32) -> Vec<u8> {
        let header = wire::v5::Header {
            unix_secs: (START_MS / 1000) as u32,
            sequence,
            ..wire::v5::Header::default()
        };
        (0..30).fold(V5Builder::new(header), |d, n| d.record([sequence as u8 ^ n; 48])).build()
    }

    fn v9(sequence: u32, is_told: bool) -> Vec<u8> {
        let header = wire::v9::Header {
            sequence,
            unix_secs: (START_MS / 1000) as u32,
            ..wire::v9::Header::default()
        };
        let record = Record::new().number(sequence.into(), 4).number(7, 4).build();
        let datagram = V9Builder::new(header);
        let datagram = if is_told { datagram.template(256, &[(1, 4), (2, 4)]) } else { datagram };
        datagram.data(256, &[record]).build()
    }

    /// What four exporters send in some slots: two protocols, templates now and then, something of
    /// sFlow, and what is nothing.
    fn load() -> Vec<(Arrival, Vec<u8>)> {
        let each = (0..6000u32).map(|n| {
            let arrival = arrival(n as u8 % 4, START_MS + u64::from(n));
            let datagram = match n % 8 {
                6 => v9(n / 8, n % 800 == 6),
                7 if n % 64 == 7 => vec![0, 0, 0, 5, 0, 0, 0, 1],
                7 if n % 64 == 15 => Vec::new(),
                _ => v5(30 * (n / 4)),
            };
            (arrival, datagram)
        });
        each.collect()
    }

    fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let files = std::fs::read_dir(dir).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let octets = std::fs::read(entry.path()).unwrap_or_default();
            (entry.file_name().into_string().unwrap(), octets)
        });
        files.filter(|(name, _)| name.starts_with("nfcapd.20")).collect()
    }

    /// Files and account of a collector that got the load, and how much of it at once.
    fn collect(is_at_once: bool) -> (BTreeMap<String, Vec<u8>>, Account, u64) {
        let dir = tempfile::tempdir().unwrap();
        let mut collector = collector(dir.path());
        let desk = Desk::new(&mut collector);
        for (arrival, datagram) in load() {
            let mut seat = Seat::at(is_at_once.then_some(&desk));
            if !seat.receive(&arrival, &datagram) {
                desk.collector().receive(&arrival, &datagram);
            }
            if seat.leave() && desk.take_news() {
                desk.collector().save_news(arrival.at_ms);
            }
        }
        let at_once = desk.at_once();
        collector.close(START_MS + 6000);
        (files(dir.path()), collector.account(), at_once)
    }

    #[test]
    fn what_is_decoded_at_once_comes_to_the_same() {
        let (want, account, none) = collect(false);
        let (files, at_once_account, some) = collect(true);
        assert_eq!(none, 0);
        // What is due about once a second takes the other way, and what is of no flows.
        assert!((5000..6000).contains(&some), "{some}");
        assert_eq!(at_once_account, account);
        assert!(want.len() >= 3, "{:?}", want.keys());
        assert!(files.keys().eq(want.keys()));
        for (name, octets) in &files {
            assert!(octets == &want[name], "{name}");
        }
    }

    #[test]
    fn nothing_is_overtaken_and_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let mut collector = collector(dir.path());
        let desk = Desk::new(&mut collector);
        let now = arrival(1, START_MS + 1);
        desk.collector().receive(&now, &v5(0)); // who is new is written down
        let taken = || Seat::at(Some(&desk)).receive(&now, &v5(0));
        assert!(taken());
        desk.put();
        assert!(!taken(), "a batch waits");
        desk.decoded(1);
        assert!(taken());
        let held = desk.collector();
        assert!(!taken(), "somebody has the collector");
        drop(held);
        let mut seat = Seat::at(Some(&desk));
        let later = arrival(1, START_MS + 5000);
        assert!(!seat.receive(&later, &v5(0)), "something is due");
        assert!(!seat.receive(&now, &v5(0)), "what follows waits behind it");
        for other in [&[][..], &[9], &[0, 0, 0, 5]] {
            assert!(!Seat::at(Some(&desk)).receive(&now, other), "{other:?}");
        }
        assert!(!Seat::at(None).receive(&now, &v5(0)), "no place");
        assert!(taken());
    }

    #[test]
    fn templates_are_written_down_soon() {
        let dir = tempfile::tempdir().unwrap();
        let mut collector = collector(dir.path());
        let desk = Desk::new(&mut collector);
        desk.collector().receive(&arrival(1, START_MS + 1), &v9(0, false));
        desk.collector().save_news(START_MS + 1);
        desk.collector().tick(START_MS + 960);
        let mut seat = Seat::at(Some(&desk));
        assert!(seat.receive(&arrival(1, START_MS + 1500), &v9(1, false)));
        assert!(!seat.leave() && !desk.take_news(), "nothing new");
        assert!(seat.receive(&arrival(1, START_MS + 1501), &v9(2, true)));
        assert!(!seat.receive(&arrival(1, START_MS + 1502), &v9(3, false)), "first things first");
        assert!(seat.leave() && desk.take_news() && !desk.take_news());
        desk.collector().save_news(START_MS + 1503);
        assert!(Seat::at(Some(&desk)).receive(&arrival(1, START_MS + 1504), &v9(4, false)));
    }
}
