//! The loop of a daemon: messages of the kernel to a [`Tracker`], its outcomes to an [`Outlet`].
//!
//! This opens sockets and looks at the clock. There is one thread; whoever takes records has
//! threads of their own and never holds it up.

use crate::outlet::Outlet;
use crate::tracker::{DumpState, Tracker};
use crate::{Outcome, ctnetlink};
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;
use sys::clock;
use sys::netlink::{NetfilterSocket, Received};
use sys::poll::{self, Ready};
use sys::service::Notify;
use sys::signal::Signals;

/// How a [`Listener`] listens.
#[derive(Clone, Copy, Debug)]
pub struct ListenConfig {
    /// Octets of the queue of events at the start.
    pub buffer: usize,
    /// Octets that it may grow to when it was too small; not above `buffer`: it stays.
    pub max_buffer: usize,
    /// Also hear of changes.
    pub updates: bool,
    /// Have the kernel keep ended connections until it could tell of them.
    pub reliable: bool,
}

impl ListenConfig {
    /// 16 MiB, at most 256.
    pub const DEFAULT: Self =
        Self { buffer: 16 << 20, max_buffer: 256 << 20, updates: false, reliable: false };
}

/// The sockets: events by one, dumps by the other.
#[derive(Debug)]
pub struct Listener {
    events: NetfilterSocket,
    dumps: NetfilterSocket,
    config: ListenConfig,
    buffer: Vec<u8>,
    counts: ListenCounts,
    /// Whether events were read to their end since the last dump.
    is_drained: bool,
}

/// What a [`Listener`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenCounts {
    /// Reads that brought messages.
    pub reads: u64,
    /// Octets of messages.
    pub octets: u64,
    /// Times that the queue was full.
    pub overruns: u64,
    /// Times that the queue was made larger.
    pub grown: u64,
    /// Octets that the queue has now.
    pub buffer: u64,
    /// Dumps that the kernel refused or that took too long.
    pub dumps_refused: u64,
}

/// What runs beside the loop.
pub struct Beside<'a> {
    /// When to end; HUP looks at everything anew.
    pub signals: Signals,
    /// The service manager.
    pub notify: Notify,
    /// Is called once a second.
    pub show: &'a mut dyn FnMut(&Tracker, &Outlet, &ListenCounts),
    /// Addresses of this host, asked for now and then, where its own connections are not wanted.
    pub own: Option<&'a mut dyn FnMut() -> Vec<record::Addr>>,
}

/// Listening ended.
#[derive(Debug, thiserror::Error)]
#[error("listening to conntrack ended: {0}")]
pub struct Failed(#[from] io::Error);

/// Octets of a read: the kernel fills up to 32 KiB of a dump.
const ROOM: usize = 64 << 10;
/// Octets for answers to dumps that wait.
const DUMP_BUFFER: usize = 1 << 20;
/// Reads of one socket before the other has its turn.
const TURN: usize = 256;
const DUMP_TURN: usize = 8;
/// How long events are left to gather, where their queue has room for many.
const GATHER: Duration = Duration::from_millis(4);
const ROOMY: usize = 4 << 20;
/// How often everything else is looked after.
const TICK: Duration = Duration::from_millis(100);
/// How often the service manager is told that all is well, and metrics are renewed.
const SHOW_MS: u64 = 1000;
/// How often the addresses of this host are asked for.
const OWN_MS: u64 = 30_000;
/// A dump that takes longer is given up.
const DUMP_NS: u64 = 60_000_000_000;
/// How long destinations may take for the rest at the end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Listener {
    /// Subscribes. Needs CAP_NET_ADMIN, which is needed later for dumps, too.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn open(config: ListenConfig) -> Result<Self, sys::Error> {
        let mut groups = vec![ctnetlink::GROUP_NEW, ctnetlink::GROUP_DESTROY];
        if config.updates {
            groups.push(ctnetlink::GROUP_UPDATE);
        }
        let mut events = NetfilterSocket::open(&groups, config.buffer)?;
        if config.reliable {
            let failed = |source| sys::Error::Netlink { step: "NETLINK_BROADCAST_ERROR", source };
            events.be_reliable().map_err(failed)?;
        }
        let granted = events.granted();
        if granted < config.buffer {
            log::warn!(
                "the kernel grants {granted} octets of {} for events: raise net.core.rmem_max, or \
                 give CAP_NET_ADMIN of the first user namespace",
                config.buffer
            );
        }
        let counts = ListenCounts { buffer: granted as u64, ..ListenCounts::default() };
        let dumps = NetfilterSocket::open(&[], DUMP_BUFFER)?;
        let buffer = vec![0; ROOM];
        Ok(Self { events, dumps, config, buffer, counts, is_drained: false })
    }

    /// Whether the kernel answers: asks for the table, and takes the first answer. Says what
    /// privileges or kernels lack.
    ///
    /// # Errors
    /// If it refuses.
    pub fn probe() -> Result<(), sys::Error> {
        let failed = |source| sys::Error::Netlink { step: "dump", source };
        let mut socket = NetfilterSocket::open(&[ctnetlink::GROUP_NEW], DUMP_BUFFER)?;
        socket.request_dump().map_err(failed)?;
        let mut buffer = vec![0; ROOM];
        match socket.receive(&mut buffer, Some(Duration::from_secs(5))).map_err(failed)? {
            Received::Refused(refusal) => Err(failed(refusal.into())),
            Received::Idle => Err(failed(io::ErrorKind::TimedOut.into())),
            Received::Messages(_) | Received::Overrun => Ok(()),
        }
    }

    /// Octets that the kernel granted for events that wait.
    pub fn granted(&self) -> usize {
        self.events.granted()
    }

    /// Reads events until there are none, or the other socket has its turn. Returns whether there
    /// are none.
    fn events(
        &mut self,
        tracker: &mut Tracker,
        outlet: &mut Outlet,
        most: usize,
    ) -> io::Result<bool> {
        for _ in 0..most {
            let received = self.events.receive_now(&mut self.buffer)?;
            let now_ns = now_ns();
            match received {
                Received::Messages(len) => {
                    self.counts.reads += 1;
                    self.counts.octets += len as u64;
                    let octets = self.buffer.get(..len).unwrap_or_default();
                    tracker.events(now_ns, octets, &mut |o| outlet.outcome(now_ns, o));
                }
                Received::Overrun => self.overrun(tracker, now_ns),
                Received::Idle => {
                    tracker.drained(now_ns);
                    self.is_drained = true;
                    return Ok(true);
                }
                Received::Refused(refusal) => log::debug!("events: {refusal}"),
            }
        }
        Ok(false)
    }

    /// The kernel dropped events: says so, and asks for more room.
    fn overrun(&mut self, tracker: &mut Tracker, now_ns: u64) {
        let is_first = tracker.gap().is_none();
        tracker.overrun(now_ns);
        self.is_drained = false;
        self.counts.overruns += 1;
        if is_first {
            log::warn!(
                "the queue of {} octets was full and the kernel dropped events: records are \
                 degraded until the table was looked at",
                self.events.granted()
            );
        }
        let wanted = self.events.granted().saturating_mul(2).min(self.config.max_buffer);
        if wanted <= self.events.granted() {
            return;
        }
        match self.events.set_buffer(wanted) {
            Ok(granted) if granted as u64 > self.counts.buffer => {
                self.counts.buffer = granted as u64;
                self.counts.grown += 1;
                log::info!("the queue has {granted} octets now");
            }
            Ok(_) => {}
            Err(e) => log::debug!("a larger queue: {e}"),
        }
    }

    /// Asks for the table if it is time, and reads what there is of it.
    fn dumps(&mut self, tracker: &mut Tracker, outlet: &mut Outlet) -> io::Result<()> {
        let now = now_ns();
        if self.is_drained && tracker.wants_dump(now) {
            self.is_drained = false;
            tracker.dump_begin(now);
            if let Err(e) = self.dumps.request_dump() {
                self.give_up(tracker, now, &e.to_string())?;
            }
        }
        let Some(since) = tracker.dumping_since_ns() else { return Ok(()) };
        if now.saturating_sub(since) > DUMP_NS {
            return self.give_up(tracker, now, "it takes too long");
        }
        for _ in 0..DUMP_TURN {
            let received = self.dumps.receive_now(&mut self.buffer)?;
            let now_ns = now_ns();
            match received {
                Received::Messages(len) => {
                    let octets = self.buffer.get(..len).unwrap_or_default();
                    let state = tracker.dump(now_ns, octets, &mut |o| outlet.outcome(now_ns, o));
                    match state {
                        DumpState::More => {}
                        DumpState::Done => return Ok(()),
                        DumpState::Failed(errno) => {
                            let why = io::Error::from_raw_os_error(errno).to_string();
                            return self.give_up(tracker, now_ns, &why);
                        }
                    }
                }
                Received::Refused(refusal) => {
                    return self.give_up(tracker, now_ns, &refusal.to_string());
                }
                Received::Overrun => return self.give_up(tracker, now_ns, "its queue was full"),
                Received::Idle => return Ok(()),
            }
        }
        Ok(())
    }

    /// Breaks a dump off. What of its answer is still to come must not be taken for the next one's.
    fn give_up(&mut self, tracker: &mut Tracker, now_ns: u64, why: &str) -> io::Result<()> {
        tracker.dump_abandon(now_ns);
        self.counts.dumps_refused += 1;
        log::error!("the table of connections cannot be read: {why}: tried again");
        self.dumps = NetfilterSocket::open(&[], DUMP_BUFFER).map_err(io::Error::other)?;
        Ok(())
    }
}

/// Listens until it is told to end; then everything is sent and written.
///
/// # Errors
/// If a socket fails. Everything is sent all the same.
pub fn run(
    mut listener: Listener,
    tracker: &mut Tracker,
    outlet: &mut Outlet,
    mut beside: Beside<'_>,
) -> Result<(), Failed> {
    let result = listen(&mut listener, tracker, outlet, &mut beside);
    if let Err(e) = beside.notify.stopping() {
        log::debug!("service manager: {e}");
    }
    // What the kernel has told already is still taken, but not for ever.
    let rest = listener.events(tracker, outlet, 1 << 16).map(drop);
    if let Some(gap) = tracker.gap() {
        outlet.outcome(now_ns(), &Outcome::Degraded(gap));
    }
    outlet.finish(clock::now_ms(), PATIENCE);
    (beside.show)(tracker, outlet, &listener.counts);
    Ok(result.and(rest)?)
}

fn listen(
    listener: &mut Listener,
    tracker: &mut Tracker,
    outlet: &mut Outlet,
    beside: &mut Beside<'_>,
) -> io::Result<()> {
    let (mut shown_ms, mut own_ms, mut ticked_ms) = (0, 0, 0);
    let stop = beside.signals.stop.clone();
    while !stop.is_requested() {
        let now_ms = clock::now_ms();
        if own_ms == 0 || now_ms.abs_diff(own_ms) >= OWN_MS {
            own_ms = now_ms;
            if let Some(own) = &mut beside.own {
                tracker.set_own(own());
            }
        }
        if now_ms.abs_diff(ticked_ms) >= TICK.as_millis() as u64 {
            ticked_ms = now_ms;
            tracker.tick(now_ns(), &mut |o| outlet.outcome(now_ms * 1_000_000, o));
            outlet.tick(now_ms);
        }
        if now_ms.abs_diff(shown_ms) >= SHOW_MS {
            shown_ms = now_ms;
            (beside.show)(tracker, outlet, &listener.counts);
            if let Err(e) = beside.notify.alive() {
                log::debug!("service manager: {e}");
            }
        }
        if beside.signals.take_hangup() {
            log::info!("HUP: templates are sent again, and files of lines opened anew");
            outlet.reload(now_ms);
        }
        let is_drained = listener.events(tracker, outlet, TURN)?;
        listener.dumps(tracker, outlet)?;
        let fds = [
            (stop.as_fd(), Ready::READ),
            (listener.events.as_fd(), Ready::READ),
            (listener.dumps.as_fd(), Ready::READ),
        ];
        let has_events = poll::wait(&fds, Some(TICK))?.get(1).is_some_and(|r| r.readable);
        let has_time = is_drained && tracker.dumping_since_ns().is_none();
        if has_events && has_time && listener.events.granted() >= ROOMY {
            // Woken for each event, one would do little else.
            poll::wait(&[(stop.as_fd(), Ready::READ)], Some(GATHER))?;
        }
    }
    Ok(())
}

fn now_ns() -> u64 {
    clock::now_ms() * 1_000_000
}
