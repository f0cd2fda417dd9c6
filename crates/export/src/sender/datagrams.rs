//! The thread of a destination over UDP.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sys::udp::{self, BATCH};
use sys::{Leave, clock};

use super::line::{Cause, Item, Line};
use super::lookup::{Lookup, News};
use super::told::Told;

/// Reports that nobody listens, which come back instead of a result of sending, in a row: more
/// cannot be about earlier datagrams.
const REPORTS: usize = 4;

/// Fewer datagrams than this wait a moment for others.
const FEW: usize = 8;

/// How long they wait.
const LINGER: Duration = Duration::from_millis(1);

/// Nobody listens: templates are sent again so often, for whoever begins to.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Owned by the thread.
#[derive(Debug)]
pub(super) struct Datagrams {
    name: String,
    leave: Leave,
    lookup: Lookup,
    told: Told,
    way: Option<udp::Sender>,
    /// Whether another address may do better.
    is_in_doubt: bool,
    /// Whether another socket may do better: its interface or its source address may be gone.
    has_failed: bool,
    /// When a socket was tried last.
    tried: Option<Instant>,
    /// When templates were asked for because nobody had listened.
    asked: Option<Instant>,
    batch: VecDeque<Item>,
}

impl Datagrams {
    pub(super) fn new(name: String, leave: Leave, lookup: Lookup) -> Self {
        Self {
            name,
            leave,
            lookup,
            told: Told::default(),
            way: None,
            is_in_doubt: false,
            has_failed: false,
            tried: None,
            asked: None,
            batch: VecDeque::new(),
        }
    }

    /// Sends until the end has come and nothing waits.
    pub(super) fn run(mut self, line: &Line) {
        /// How often it is looked whether an address is there, or has changed.
        const SOON: Duration = Duration::from_millis(20);
        const LATER: Duration = Duration::from_secs(1);
        loop {
            self.find_way(line);
            let (max, timeout) = match (&self.way, self.lookup.is_under_way()) {
                (Some(_), _) => (BATCH, LATER),
                (None, true) => (0, SOON),
                (None, false) => (0, LATER),
            };
            line.take(&mut self.batch, max, timeout);
            if (1..FEW).contains(&self.batch.len()) && line.deadline().is_none() {
                // More are likely to come at once: waking up for each costs more than sending it.
                std::thread::sleep(LINGER);
                let room = max.saturating_sub(self.batch.len());
                line.take(&mut self.batch, room, Duration::ZERO);
            }
            if let Some(way) = self.way.take() {
                self.send(&way, line);
                self.way = Some(way);
            }
            let Some(deadline) = line.deadline() else { continue };
            let is_hopeless = self.way.is_none() && !self.lookup.is_under_way();
            if line.is_empty() || is_hopeless || clock::monotonic() >= deadline {
                break;
            }
            if self.way.is_none() {
                std::thread::sleep(SOON);
            }
        }
        line.end(match (self.way, self.lookup.address()) {
            (Some(_), _) => Cause::LeftOver,
            (None, Some(_)) => Cause::Unreachable,
            (None, None) => Cause::Unresolved,
        });
    }

    /// Looks for a new address, and opens a socket to it.
    fn find_way(&mut self, line: &Line) {
        let now = clock::monotonic();
        match self.lookup.look(now, self.is_in_doubt) {
            News::Nothing => {}
            News::Changed => (self.way, self.tried) = (None, None),
            News::Failed(problem) if self.lookup.address().is_none() => {
                line.set_down(Some(Cause::Unresolved));
                self.tell(now, Cause::Unresolved, &problem, line);
            }
            News::Failed(problem) => log::debug!("Exporting to {}: {problem}", self.name),
        }
        if let Some(to) = self.lookup.address() {
            self.open_way(to, now, line);
        }
    }

    /// Opens a socket if there is none. One that is there is replaced after a failure, and when the
    /// source address has changed: it keeps the one it had, which may no longer be ours.
    fn open_way(&mut self, to: SocketAddr, now: Instant, line: &Line) {
        /// How long a socket that does not work, or could not be had, is left alone.
        const RETRY: Duration = Duration::from_secs(1);
        /// How often the source address is looked at.
        const LOOK: Duration = Duration::from_secs(10);
        let is_bad = self.way.is_none() || self.has_failed;
        let pause = if is_bad { RETRY } else { LOOK };
        if self.tried.is_some_and(|at| now.duration_since(at) < pause) {
            return;
        }
        self.tried = Some(now);
        let source = |way: &udp::Sender| way.local_addr().map(|at| at.ip()).ok();
        match udp::Sender::open(to, &self.leave).map(udp::Sender::joining) {
            Ok(way) => {
                if is_bad || self.way.as_ref().and_then(source) != source(&way) {
                    log::debug!("Exporting to {} at {to} from {:?}", self.name, source(&way));
                    (self.way, self.has_failed, self.is_in_doubt) = (Some(way), false, false);
                }
                line.set_down(None);
            }
            // What is there may still do.
            Err(_) if self.way.is_some() => {}
            Err(e) => {
                line.set_down(Some(Cause::Unreachable));
                self.tell(now, Cause::Unreachable, &e.to_string(), line);
                self.lookup.next();
            }
        }
    }

    /// Sends the batch, and counts each of it once.
    fn send(&mut self, way: &udp::Sender, line: &Line) {
        let mut batch = std::mem::take(&mut self.batch);
        let (mut rest, mut reports) = (&*batch.make_contiguous(), 0);
        while let Some((first, others)) = rest.split_first() {
            match way.send_batch(rest) {
                Ok(count) => {
                    let (sent, left) = rest.split_at(count.clamp(1, rest.len()));
                    line.sent(sent);
                    (rest, reports) = (left, 0);
                    self.told.fine(clock::monotonic(), &self.name, line.counts().failures());
                }
                // About an earlier datagram: this one was not tried.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused && reports < REPORTS => {
                    reports += 1;
                    self.unheard(line);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let cause = cause_of(&e);
                    line.lost(cause, [first]);
                    rest = others;
                    self.has_failed = matches!(cause, Cause::Unreachable | Cause::Failed);
                    self.is_in_doubt |= self.has_failed;
                    self.tell(clock::monotonic(), cause, &e.to_string(), line);
                }
            }
        }
        batch.clear();
        self.batch = batch;
    }

    fn unheard(&mut self, line: &Line) {
        let now = clock::monotonic();
        line.count(|counts| counts.unheard += 1);
        if self.asked.is_none_or(|asked| now.duration_since(asked) >= ASK_AGAIN) {
            self.asked = Some(now);
            line.want_templates();
        }
        self.is_in_doubt = true;
        self.tell(now, Cause::Refused, "nobody listens there", line);
    }

    fn tell(&mut self, now: Instant, cause: Cause, problem: &str, line: &Line) {
        self.told.trouble(now, &self.name, cause, &problem, line.counts().failures());
    }
}

/// What an error of sending is counted as.
fn cause_of(e: &io::Error) -> Cause {
    use io::ErrorKind as Kind;
    match e.kind() {
        Kind::ConnectionRefused
        | Kind::NetworkUnreachable
        | Kind::HostUnreachable
        | Kind::NetworkDown
        | Kind::AddrNotAvailable => Cause::Unreachable,
        Kind::PermissionDenied => Cause::Forbidden,
        _ if udp::is_too_long(e) => Cause::TooLong,
        _ if udp::is_without_room(e) => Cause::NoRoom,
        _ => Cause::Failed,
    }
}
