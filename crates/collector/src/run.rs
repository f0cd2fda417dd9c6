//! The loop of the daemon: sockets, threads, signals. The only part that looks at a clock.
//!
//! A thread for each socket receives; the caller's thread decodes; the threads of a pool compress
//! and write. One thread decodes at a time because decoding is not the bottleneck, and because
//! templates are then there for all that follows, whichever socket brought them.
//!
//! Where there is but one socket, its thread decodes what it has just read, as long as nothing can
//! hold it up: what waits for the disk, or comes faster than that, is copied into an inbox and left
//! to the caller's thread. So the socket is read whatever else happens, and mostly no datagram is
//! copied and nobody woken.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use sys::clock;
use sys::service::{Inherited, Notify, PassedUdp};
use sys::signal::{Signals, Stop};
use sys::udp::{DropMark, Listen, Receiver};

use crate::desk::{Desk, Seat};
use crate::inbox::{Batch, Due, Inbox, Taken, in_order};
use crate::pulse::{Found, Pulse};
use crate::repeat::{Outgoing, Repeater};
use crate::status::{Board, QueueStatus, RepeaterStatus, SocketStatus, Status};
use crate::stream::{self, Listener, Message, Monitor};
use crate::{Arrival, Collector, Error, Via};

/// How often the collector looks at the clock when nothing arrives.
const TICK: Duration = Duration::from_millis(250);

/// How often a receiver asks for drops when nothing arrives.
const DROP_POLL: Duration = Duration::from_secs(1);

/// How long a receiver that has emptied its socket leaves it alone, at most: waking up for each
/// datagram costs more than decoding it. Where somebody waits for what is sent on, half as long.
const REST: Duration = Duration::from_millis(20);

/// What may arrive meanwhile, in octets a second: a quarter of a buffer at this speed is no risk, of
/// a small one an eighth.
const FASTEST: u64 = 125_000_000;

/// Octets of buffer from which on a socket may be left alone for long.
const LARGE: u64 = 1 << 20;

/// Datagrams of one call after which a small buffer is looked at again at once: more are likely to
/// be there already.
const MANY: usize = 32;

/// Full system calls in a row after which datagrams are no longer decoded by the thread that reads
/// them: two threads are faster than one.
const BUSY: u32 = 32;

/// Where several sockets share the datagrams of an exporter, how long one datagram waits for older
/// ones of other sockets at most. Their threads say how far they have read, mostly much sooner.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long after its time of arrival a datagram may turn up on a socket, nanoseconds.
const UNDER_WAY_NS: u64 = 1_000_000;

/// How often the collector looks whether what waits may go on.
const WAIT: Duration = Duration::from_millis(5);

/// How often the board is written.
const SHOW_MS: u64 = 1000;

/// How often the service manager is told that decoding goes on, or more often if it wants so.
const WATCH: Duration = Duration::from_secs(1);

/// What the names of our sockets in the store of the service manager begin with.
const STORED: &str = "flowcapd-udp-";

/// How long the service manager may take to let go of sockets that are not wanted any more.
const LET_GO: Duration = Duration::from_secs(5);

/// What runs beside the collector and looks at it or is told by it.
#[derive(Debug)]
pub struct Beside {
    /// When to end, when to begin a new file.
    pub signals: Signals,
    /// Where the collector shows itself.
    pub board: Board,
    /// The service manager, if there is one.
    pub notify: Notify,
    /// Who sends on what comes in.
    pub repeater: Option<Repeater>,
}

impl Beside {
    /// Nobody but signals.
    pub fn alone(signals: Signals) -> Self {
        Self { signals, board: Board::new(), notify: Notify::default(), repeater: None }
    }
}

/// A socket that is open.
pub struct Bound {
    /// The socket.
    pub receiver: Receiver,
    /// Its name in the store of the service manager, if it is to be left there: one that a socket
    /// unit opened is passed with the next start anyway.
    pub stored_as: Option<String>,
}

/// Opens all sockets, or goes on with those that were passed, and says so in the log. `marks` tell
/// how far their drops have been counted. To be called before privileges are given up.
///
/// Sockets that a collector before this one left with the service manager, and that nobody listens
/// to any more, are given up: what waits in them is not wanted.
///
/// # Errors
/// If there is none, or one cannot be had.
pub fn bind(
    listen: &[Listen],
    receivers: usize,
    inherited: &mut Inherited,
    notify: &Notify,
    marks: &[DropMark],
) -> Result<Vec<Bound>, Error> {
    if listen.is_empty() {
        return Err(Error::NoListener);
    }
    let names: Vec<_> = listen.iter().map(stored_name).collect();
    let is_unwanted = |name: &str| is_stored(name) && !names.iter().any(|wanted| wanted == name);
    forget(&inherited.discard(is_unwanted), notify);
    let mut all = Vec::new();
    for (listen, name) in listen.iter().zip(&names) {
        let passed = inherited.take_udp(listen, |given| given == name || !is_stored(given));
        all.extend(open(listen, name, passed, receivers, notify, marks)?);
    }
    Ok(all)
}

/// How many sockets hold what comes while receivers wait for a core: several, each with its
/// buffer, where the kernel grants little. A socket that is let go of again tells what it grants.
fn sockets_enough(listen: &Listen) -> usize {
    let Some(want) = listen.receive_buffer else { return 1 };
    let trial = Listen { port: 0, group: None, ..listen.clone() };
    let granted = Receiver::bind(&trial).ok().and_then(|r| r.receive_buffer().ok());
    granted.map_or(1, |have| sockets_for(have, want))
}

/// How many sockets are enough where a buffer of `want` octets was asked for and `have` granted.
fn sockets_for(have: usize, want: usize) -> usize {
    /// Some 30 ms of 500 000 flows a second.
    const LITTLE: usize = 1 << 20;
    const SEVERAL: usize = 4;
    if have < want.min(LITTLE) { SEVERAL } else { 1 }
}

/// The sockets for one address and port: those that were passed, and more until there are enough.
fn open(
    listen: &Listen,
    name: &str,
    passed: Vec<PassedUdp>,
    receivers: usize,
    notify: &Notify,
    marks: &[DropMark],
) -> Result<Vec<Bound>, Error> {
    let count = passed.len();
    if count > 0 {
        log::info!("Go on with {count} sockets that were handed over");
    }
    let receivers = match receivers {
        0 if count > 0 => count,
        0 => sockets_enough(listen),
        told => told,
    };
    if passed.iter().any(|p| p.other_names.iter().any(|other| is_stored(other))) {
        // That of the socket unit is in the store, too; what else is there is stored again.
        forget(&[name.to_owned()], notify);
    }
    let (sockets, is_ours): (Vec<_>, Vec<_>) =
        passed.into_iter().map(|p| (p.socket, is_stored(&p.name))).unzip();
    let (group, refused) = Receiver::adopt(listen, sockets, receivers, marks)?;
    if let Some(e) = refused {
        log::warn!(
            "Port {}: {} sockets instead of {receivers}: {e}: only the user who opened the first \
             one may add to it; in a socket unit use ReusePort=yes and a ListenDatagram= for each",
            listen.port,
            group.len()
        );
    }
    group.first().into_iter().for_each(|receiver| say_bound(listen, receiver));
    // Those we have opened ourselves come after those that were passed.
    let is_ours = is_ours.into_iter().chain(std::iter::repeat(true));
    let bound = group.into_iter().zip(is_ours).map(|(receiver, is_ours)| Bound {
        receiver,
        // With a port of the kernel's choice nobody asks for it again.
        stored_as: (is_ours && listen.port != 0).then(|| name.to_owned()),
    });
    Ok(bound.collect())
}

/// What sockets for `listen` are called in the store: all that makes one of no use for others.
fn stored_name(listen: &Listen) -> String {
    let Listen { bind, port, family, group, interface, .. } = listen;
    let bind = bind.map_or_else(|| format!("{family:?}"), |ip| ip.to_string());
    let group = group.map_or_else(String::new, |ip| format!("-{ip}"));
    let interface = interface.as_ref().map_or_else(String::new, |name| format!("-{name}"));
    format!("{STORED}{port}-{bind}{group}{interface}").replace(':', ".")
}

/// Whether this is the name of a socket that a collector left in the store.
fn is_stored(name: &str) -> bool {
    name.starts_with(STORED)
}

/// Takes sockets out of the manager's store, and waits until it has closed them: others cannot be
/// bound to the same port before.
fn forget(names: &[String], notify: &Notify) {
    for name in names {
        log::info!("Sockets called {name} are not kept any longer");
        if let Err(e) = notify.forget(name) {
            log::warn!("service manager: {name} stays in its store: {e}");
        }
    }
    if !names.is_empty()
        && let Err(e) = notify.barrier(LET_GO)
    {
        log::warn!("service manager: {e}");
    }
}

fn say_bound(listen: &Listen, receiver: &Receiver) {
    let local = local_addr(receiver);
    let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
    let host = listen.bind.map_or_else(|| "any".to_owned(), |ip| ip.to_string());
    log::info!("Bound to {family} host: {host}, port: {}", local.port());
    if let Some(group) = listen.group {
        log::info!("Joined multicast group: {group}");
    }
    match (receiver.receive_buffer(), listen.receive_buffer) {
        (Ok(have), Some(want)) if have < want => log::warn!(
            "Receive buffer: {have} bytes, {want} were asked for: raise net.core.rmem_max, or \
             start with CAP_NET_ADMIN"
        ),
        (Ok(have), _) => log::info!("Receive buffer: {have} bytes"),
        (Err(e), _) => log::warn!("Receive buffer: unknown: {e}"),
    }
}

fn local_addr(receiver: &Receiver) -> SocketAddr {
    receiver.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// Where things come from.
#[derive(Default)]
pub struct Inputs {
    /// Sockets for datagrams.
    pub receivers: Vec<Bound>,
    /// Listeners for streams.
    pub listeners: Vec<Listener>,
}

/// Collects until TERM or INT, then writes everything out that had arrived by then, and closes all
/// files. HUP finishes the files early; the rest of the slot is added to them at its end.
///
/// Sockets are left with the service manager, if there is one that keeps them: what arrives between
/// this process and the next waits there.
///
/// # Errors
/// If a thread cannot be started or a socket fails for good. Files are closed in any case.
pub fn run(collector: &mut Collector, inputs: Inputs, beside: &Beside) -> Result<(), Error> {
    collector.finish_in_background()?;
    let Inputs { receivers, listeners } = inputs;
    store_sockets(&receivers, &beside.notify);
    let receivers: Vec<_> = receivers.into_iter().map(|bound| bound.receiver).collect();
    let (collecting, ended) = crossbeam_channel::bounded(0);
    let pulse = collector.pulse();
    thread::scope(|scope| {
        let watcher = thread::Builder::new().name("watch".to_owned());
        let watch = || watch(&pulse, beside, &ended);
        watcher.spawn_scoped(scope, watch).map_err(Error::Thread)?;
        // Dropped at the end, which is when the watcher ends.
        let _collecting = collecting;
        collect(collector, receivers, listeners, beside)
    })
}

/// Tells the service manager and the board whether decoding goes on, until `ended` is closed.
fn watch(pulse: &Pulse, beside: &Beside, ended: &crossbeam_channel::Receiver<Infallible>) {
    let Beside { board, notify, .. } = beside;
    let pause = notify.watchdog().map_or(WATCH, |time| WATCH.min(time / 4));
    let mut seen = 0;
    loop {
        let found = pulse.look(&mut seen);
        board.set_waiting_for_disk(found == Found::AtDisk);
        if notify.watchdog().is_some()
            && found != Found::Stuck
            && let Err(e) = notify.alive()
        {
            log::warn!("service manager: {e}");
        }
        if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Collects until it is told to end.
fn collect(
    collector: &mut Collector,
    receivers: Vec<Receiver>,
    listeners: Vec<Listener>,
    beside: &Beside,
) -> Result<(), Error> {
    let limit_bytes = collector.config().queue_bytes;
    let inbox = Inbox::new(limit_bytes, receivers.len() + listeners.len());
    let signals = &beside.signals;
    receivers.iter().filter_map(Receiver::mark).for_each(|mark| collector.note_mark(mark));
    let desk = Desk::new(collector);
    let gauges: Vec<_> = receivers.iter().map(Gauge::new).collect();
    let monitors: Vec<_> = listeners.iter().map(Listener::monitor).collect();
    let ended = thread::scope(|scope| {
        // Whatever happens below, no receiver is left waiting for a decoder.
        let _guard = OnDrop(|| {
            signals.stop.request();
            inbox.abandon();
        });
        let mut threads = Vec::with_capacity(receivers.len());
        let is_only = receivers.len() == 1;
        for (number, (mut receiver, gauge)) in receivers.into_iter().zip(&gauges).enumerate() {
            let (inbox, stop, repeater) = (&inbox, &signals.stop, beside.repeater.as_ref());
            let desk = &desk;
            let work = move || {
                let _guard = last_words(inbox, stop);
                let way = Way { number, gauge, inbox, repeater, desk, is_only };
                receive(&mut receiver, &way, stop)
                    .map_err(|source| Error::Receive { local: local_addr(&receiver), source })
            };
            let thread = thread::Builder::new().name(format!("receive {number}"));
            threads.push(thread.spawn_scoped(scope, work).map_err(Error::Thread)?);
        }
        for listener in listeners {
            let (inbox, stop) = (&inbox, &signals.stop);
            let work = move || serve(listener, inbox, stop);
            let thread = thread::Builder::new().name("streams".to_owned());
            threads.push(thread.spawn_scoped(scope, work).map_err(Error::Thread)?);
        }
        let (gauges, monitors) = (&gauges, &monitors);
        let (desk, inbox) = (&desk, &inbox);
        let (shown_ms, at_once) = (0, 0);
        Pump { desk, inbox, limit_bytes, beside, gauges, monitors, shown_ms, at_once }.run();
        join(threads)
    });
    if let Err(e) = beside.notify.stopping() {
        log::warn!("service manager: {e}");
    }
    collector.close(clock::now_ms());
    match ended {
        Ok(()) if collector.has_failed() => Err(Error::Panicked("finish".to_owned())),
        ended => ended,
    }
}

/// Waits for all threads. Returns the first error; a panic is one.
fn join(threads: Vec<ScopedJoinHandle<'_, Result<(), Error>>>) -> Result<(), Error> {
    let end = |thread: ScopedJoinHandle<'_, Result<(), Error>>| {
        let name = thread.thread().name().unwrap_or_default().to_owned();
        thread.join().unwrap_or(Err(Error::Panicked(name)))
    };
    // All of them, whatever the first one says.
    let ends: Vec<_> = threads.into_iter().map(end).collect();
    ends.into_iter().collect()
}

/// What a thread that brings things does at its end, whatever the end is: a collector that lacks
/// one of them ends, too.
fn last_words<'a>(inbox: &'a Inbox, stop: &'a Stop) -> OnDrop<impl FnMut() + 'a> {
    OnDrop(|| {
        stop.request();
        inbox.finish();
    })
}

fn store_sockets(bound: &[Bound], notify: &Notify) {
    for Bound { receiver, stored_as } in bound {
        let Some(name) = stored_as else { continue };
        if let Err(e) = notify.store(name, &[receiver.as_fd()]) {
            log::warn!("service manager: sockets cannot be left with it: {e}");
        }
    }
}

/// What a receiver has done, for others to see.
#[derive(Debug)]
struct Gauge {
    local: SocketAddr,
    buffer_bytes: u64,
    received: AtomicU64,
    dropped: AtomicU64,
    /// All that arrived until then has been read, nanoseconds since 1970.
    read_ns: AtomicU64,
}

impl Gauge {
    fn new(receiver: &Receiver) -> Self {
        Self {
            local: local_addr(receiver),
            buffer_bytes: receiver.receive_buffer().map_or(0, |n| n as u64),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            read_ns: AtomicU64::new(0),
        }
    }

    fn status(&self) -> SocketStatus {
        SocketStatus {
            local: self.local,
            buffer_bytes: self.buffer_bytes,
            received: self.received.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// Where datagrams of a socket go.
struct Way<'a, 'c> {
    /// Which of all sockets it is.
    number: usize,
    gauge: &'a Gauge,
    inbox: &'a Inbox,
    repeater: Option<&'a Repeater>,
    desk: &'a Desk<'c>,
    /// Whether there is no other socket, whose datagrams may have come between.
    is_only: bool,
}

impl<'a, 'c> Way<'a, 'c> {
    fn put(&self, batch: &mut Batch) {
        if !batch.is_empty() {
            self.put_even_if_empty(batch);
        }
    }

    fn put_even_if_empty(&self, batch: &mut Batch) {
        (batch.socket, batch.port) = (Some(self.number), self.gauge.local.port());
        self.desk.put();
        self.inbox.put(batch);
    }

    /// A place at the desk after so many full calls.
    fn seat(&self, full_calls: u32) -> Seat<'a, 'c> {
        Seat::at((self.is_only && full_calls < BUSY).then_some(self.desk))
    }
}

/// Decodes datagrams from a socket, or copies them into the inbox, until asked to stop, and then on
/// until the socket is empty or what it brings is younger than the request.
fn receive(receiver: &mut Receiver, way: &Way<'_, '_>, stop: &Stop) -> io::Result<()> {
    // Where it is not permitted everything goes on, only a little less safely.
    let _ = sys::process::raise_priority();
    let Way { gauge, repeater, .. } = *way;
    let (mut batch, mut outgoing) = (Batch::default(), Outgoing::default());
    let longest = if repeater.is_some() { REST / 2 } else { REST };
    let rest = rest_between_calls(gauge.buffer_bytes).min(longest);
    let enough = if gauge.buffer_bytes < LARGE { MANY } else { sys::udp::BATCH };
    let port = gauge.local.port();
    let (mut dropped, mut full_calls) = (0, 0);
    let mut stopped_ns = None;
    loop {
        if stopped_ns.is_none() && stop.is_requested() {
            stopped_ns = Some(now_ns() + GRACE_NS);
        }
        let timeout = if stopped_ns.is_none() { DROP_POLL } else { Duration::ZERO };
        let (mut newest_ns, asked_ns) = (0, now_ns());
        let mut seat = way.seat(full_calls);
        let got = receiver.recv(Some(stop.as_fd()), Some(timeout), |datagram| {
            newest_ns = datagram.arrived_ns.unwrap_or_else(now_ns);
            let (peer, via) = (datagram.peer.ip(), Via::Datagram);
            let arrival = Arrival { peer, port, via, at_ms: newest_ns / 1_000_000 };
            if !seat.receive(&arrival, datagram.bytes) {
                batch.push(peer, via, newest_ns, datagram.bytes);
            }
            batch.truncated += u64::from(datagram.truncated);
            if repeater.is_some() {
                outgoing.push(datagram.peer, datagram.bytes);
            }
        });
        if seat.leave() {
            way.put_even_if_empty(&mut Batch::default()); // it has to be written down
        }
        let got = got.inspect_err(|_| way.put(&mut batch))?;
        repeater.into_iter().for_each(|r| r.repeat(&mut outgoing));
        let is_last = stopped_ns.is_some_and(|at| got.count == 0 || newest_ns > at);
        let total = if got.count == 0 || is_last { receiver.dropped() } else { got.dropped_total };
        if total > dropped {
            batch.dropped += total - dropped;
            batch.mark = receiver.mark();
        }
        dropped = total;
        gauge.received.fetch_add(got.count as u64, Ordering::Relaxed);
        gauge.dropped.store(total, Ordering::Relaxed);
        let is_emptied = got.count < sys::udp::BATCH;
        full_calls = if is_emptied { 0 } else { full_calls.saturating_add(1) };
        way.put(&mut batch);
        let read_ns = if is_emptied { asked_ns.saturating_sub(UNDER_WAY_NS) } else { newest_ns };
        gauge.read_ns.store(read_ns, Ordering::Release);
        if is_last {
            return Ok(());
        }
        if (1..enough).contains(&got.count) && stopped_ns.is_none() {
            thread::sleep(rest);
        }
    }
}

/// What seems this much younger than the request to stop may still be older: our clock shows whole
/// milliseconds, and what came just after a socket was opened has the time when it was read.
const GRACE_NS: u64 = 100_000_000;

/// How long a socket with this buffer may be left alone.
fn rest_between_calls(buffer_bytes: u64) -> Duration {
    let part = if buffer_bytes < LARGE { 8 } else { 4 };
    REST.min(Duration::from_nanos(buffer_bytes.saturating_mul(1_000_000_000 / part) / FASTEST))
}

/// Passes on messages of streams until asked to stop.
fn serve(listener: Listener, inbox: &Inbox, stop: &Stop) -> Result<(), Error> {
    let local = listener.local_addr();
    let _guard = last_words(inbox, stop);
    let mut sink = IntoInbox { inbox, batch: Batch::default(), port: local.port() };
    listener.run(&mut sink, stop).map_err(|source| Error::Receive { local, source })
}

/// Gathers messages and puts them into the inbox.
struct IntoInbox<'a> {
    inbox: &'a Inbox,
    batch: Batch,
    port: u16,
}

impl stream::Sink for IntoInbox<'_> {
    fn put(&mut self, message: Message<'_>) {
        /// Octets that are gathered before they go on.
        const ENOUGH: usize = 128 << 10;
        match message {
            Message::Data { session, peer, arrived_ms, bytes } => {
                let arrived_ns = arrived_ms.saturating_mul(1_000_000);
                // Four thousand million connections later nobody has this one open.
                let via = Via::Stream(session as u32);
                self.batch.push(peer.ip(), via, arrived_ns, bytes);
            }
            Message::End { session, peer } => {
                self.batch.push(peer.ip(), Via::StreamEnd(session as u32), now_ns(), &[]);
            }
        }
        if self.batch.len() >= ENOUGH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.batch.port = self.port;
            self.inbox.put(&mut self.batch);
        }
    }
}

fn now_ns() -> u64 {
    clock::now_ms().saturating_mul(1_000_000)
}

/// Takes things out of the inbox and sees to what is due.
struct Pump<'a, 'c> {
    desk: &'a Desk<'c>,
    inbox: &'a Inbox,
    /// How much the inbox holds.
    limit_bytes: usize,
    beside: &'a Beside,
    gauges: &'a [Gauge],
    monitors: &'a [Arc<Monitor>],
    shown_ms: u64,
    /// Datagrams that had been decoded elsewhere when it was looked last.
    at_once: u64,
}

impl Pump<'_, '_> {
    /// Decodes what the inbox brings until all receivers have ended.
    fn run(&mut self) {
        let (mut batches, mut waiting) = (VecDeque::new(), Waiting::default());
        loop {
            // Before anything is taken: what was read until then is in the inbox.
            let due = self.due();
            let timeout = if waiting.batches.is_empty() { TICK } else { WAIT };
            let taken = self.inbox.take(&mut batches, timeout);
            let due = if taken == Taken::Closed { Due::All } else { due };
            self.deliver(&mut batches, &mut waiting, due);
            match taken {
                Taken::Closed => return,
                // Only now: while datagrams come, time is theirs.
                Taken::Nothing if waiting.batches.is_empty() && self.is_quiet() => {
                    self.desk.collector().tick(clock::now_ms());
                }
                Taken::Nothing | Taken::Batches => {}
            }
            if self.desk.take_news() {
                self.desk.collector().save_news(clock::now_ms());
            }
            if self.beside.signals.take_hangup() {
                log::info!("HUP: finishing the files of this slot early");
                self.desk.collector().rotate(clock::now_ms());
            }
            if self.desk.collector().has_failed() {
                self.beside.signals.stop.request(); // what is there is decoded, and that was it
            }
            self.show(clock::now_ms());
        }
    }

    /// Whether no receiver has decoded anything since this was asked last.
    fn is_quiet(&mut self) -> bool {
        let now = self.desk.at_once();
        std::mem::replace(&mut self.at_once, now) == now
    }

    /// Which datagrams no socket will bring older ones of.
    fn due(&self) -> Due {
        if self.gauges.len() < 2 {
            return Due::All;
        }
        let now_ns = now_ns();
        let patience = PATIENCE.as_nanos() as u64;
        let read = self.gauges.iter().map(|gauge| gauge.read_ns.load(Ordering::Acquire));
        let until = read.min().unwrap_or(0).max(now_ns.saturating_sub(patience));
        Due::Until(until, now_ns.saturating_add(TICK.as_nanos() as u64 + patience))
    }

    fn deliver(&self, batches: &mut VecDeque<Batch>, waiting: &mut Waiting, due: Due) {
        if batches.is_empty() && waiting.batches.is_empty() {
            return;
        }
        let mut collector = self.desk.collector();
        for batch in batches.iter() {
            collector.note_drops(batch.dropped, batch.truncated);
            batch.mark.into_iter().for_each(|mark| collector.note_mark(mark));
        }
        waiting.batches.append(batches);
        in_order(&mut waiting.batches, due, &mut waiting.order, batches, |parcel| {
            collector.receive(&parcel.arrival, parcel.bytes);
        });
        drop(collector);
        self.desk.decoded(batches.iter().filter(|batch| batch.socket.is_some()).count());
    }

    /// Shows others how things are, about once a second.
    fn show(&mut self, now_ms: u64) {
        let board = &self.beside.board;
        if now_ms.abs_diff(self.shown_ms) >= SHOW_MS {
            self.shown_ms = now_ms;
            board.publish(|status| self.describe(status, now_ms));
        }
        if let Some(request) = board.request() {
            board.answer(request, self.desk.collector().details(now_ms));
        }
    }

    fn describe(&self, status: &mut Status, now_ms: u64) {
        self.desk.collector().describe(status, now_ms);
        let (bytes, waits) = self.inbox.fill();
        let limit_bytes = self.limit_bytes as u64;
        status.queue = QueueStatus { bytes, limit_bytes, waits };
        status.sockets.clear();
        status.sockets.extend(self.gauges.iter().map(Gauge::status));
        status.repeaters.clear();
        let targets = self.beside.repeater.iter().flat_map(Repeater::counts);
        status.repeaters.extend(targets.map(|(target, counts)| RepeaterStatus {
            target: target.to_owned(),
            sent: counts.sent,
            skipped: counts.other_sender + counts.other_version + counts.sampled_out,
            failed: counts.failures(),
        }));
        status.streams.clear();
        status.streams.extend(self.monitors.iter().map(|monitor| monitor.status()));
    }
}

/// Batches of which something waits for its turn.
#[derive(Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    order: Vec<(u64, usize, usize)>,
}

/// Runs a function at the end of its scope, panic or not.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_buffers_are_several() {
        for (have, want, sockets) in [
            (16 << 20, 16 << 20, 1),
            (4 << 20, 16 << 20, 1),
            (212_992, 16 << 20, 4),
            (212_992, 212_992, 1), // as the operator wants it
            (100_000, 212_992, 4),
        ] {
            assert_eq!(sockets_for(have, want), sockets, "{have} of {want}");
        }
    }

    #[test]
    fn a_receiver_that_panics_ends_the_collector_with_an_error() {
        let (inbox, stop) = (Inbox::new(0, 2), Stop::new().unwrap());
        let ended = thread::scope(|scope| {
            let bug = || -> Result<(), Error> {
                let _guard = last_words(&inbox, &stop);
                panic!("a bug");
            };
            let good = || {
                let _guard = last_words(&inbox, &stop);
                Ok(())
            };
            let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
            join(vec![
                spawn("receive 0").spawn_scoped(scope, good).unwrap(),
                spawn("receive 1").spawn_scoped(scope, bug).unwrap(),
            ])
        });
        assert!(matches!(ended, Err(Error::Panicked(name)) if name == "receive 1"));
        assert!(stop.is_requested());
        assert_eq!(inbox.take(&mut VecDeque::new(), Duration::ZERO), Taken::Closed);
    }

    #[test]
    fn small_buffers_are_not_left_alone_for_long() {
        for (bytes, micros) in [(0, 0), (212_992, 212), (4 << 20, 8388), (16 << 20, 20_000)] {
            assert_eq!(rest_between_calls(bytes).as_micros(), micros, "{bytes} octets");
        }
        assert_eq!(rest_between_calls(u64::MAX), REST);
    }
}
