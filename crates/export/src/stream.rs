//! The thread of a destination over TCP: connecting again and again, and losing nothing on the way.
//!
//! What is written is kept until the other host acknowledges it; when a connection ends, the rest is
//! written to the next one. What a process has not read when it dies is lost with it: its host had
//! acknowledged it.
//!
//! A connection begins with the templates of its own (RFC 7011, 10.4), which are asked for when it is
//! there ([`Line::open`]). IPFIX numbers its data records for each connection from 0 (10.3.2): the
//! numbers are written here, with a gap where datagrams were dropped, so that collectors count the
//! loss.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use sys::poll::{Ready, wait};
use sys::{Leave, clock, tcp};
use wire::export::Version;

use crate::sender::{Cause, Item, Line, Lookup, News, Told};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long the other side may leave what is written unacknowledged.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a write waits before the thread looks up from it.
const WRITE: Duration = Duration::from_millis(200);
/// Between two attempts to connect, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];
/// A connection that lasted so long was a good one: the next attempt is soon.
const GOOD: Duration = Duration::from_secs(10);

/// Owned by the thread.
#[derive(Debug)]
pub(crate) struct Streams {
    name: String,
    leave: Leave,
    version: Version,
    lookup: Lookup,
    told: Told,
    link: Link,
    /// To be written before anything else.
    backlog: VecDeque<Item>,
    /// Between the last attempt to connect and the next one.
    pause: Duration,
    /// Attempts that failed since the last that did not.
    failed: u64,
}

#[derive(Debug)]
enum Link {
    /// The next attempt is then.
    Down {
        next: Instant,
    },
    Up(Connection),
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    since: Instant,
    /// Whether what it begins with is still to come.
    is_opening: bool,
    /// What is being written, and how far.
    current: Option<Item>,
    octets: Vec<u8>,
    at: usize,
    /// Octets written so far.
    written: u64,
    /// What is written and not acknowledged, with the count of octets at its end.
    in_flight: VecDeque<(Item, u64)>,
    /// Number of the next data record.
    sequence: u32,
}

impl Streams {
    pub(crate) fn new(name: String, leave: Leave, version: Version, lookup: Lookup) -> Self {
        Self {
            name,
            leave,
            version,
            lookup,
            told: Told::default(),
            link: Link::Down { next: clock::monotonic() },
            backlog: VecDeque::new(),
            pause: PAUSE[0],
            failed: 0,
        }
    }

    /// Sends until the end has come and everything is acknowledged.
    pub(crate) fn run(mut self, line: &Line) {
        /// Items taken from the queue at once.
        const SOME: usize = 64;
        let mut failed_before_end = None;
        loop {
            self.connect(line);
            let is_writable = matches!(&self.link, Link::Up(c) if !c.is_opening);
            let max = if is_writable && self.backlog.is_empty() { SOME } else { 0 };
            let nap = self.nap();
            line.take(&mut self.backlog, max, nap);
            self.serve(line);
            let Some(deadline) = line.deadline() else { continue };
            let failed = *failed_before_end.get_or_insert(self.failed);
            // Somebody who waited for a connection before the end gets one more attempt.
            let is_hopeless = matches!(self.link, Link::Down { .. }) && self.failed > failed;
            if is_hopeless || self.is_done(line) || clock::monotonic() >= deadline {
                break;
            }
            // Nobody wakes the thread when something is acknowledged or connected.
            std::thread::sleep(Duration::from_millis(1));
        }
        self.end(line);
    }

    /// How long there is nothing to do but wait for the queue.
    fn nap(&self) -> Duration {
        const ACKNOWLEDGED_SOON: Duration = Duration::from_millis(5);
        const IDLE: Duration = Duration::from_millis(250);
        match &self.link {
            Link::Up(c) if !self.backlog.is_empty() && !c.is_opening => Duration::ZERO,
            Link::Up(c) if c.current.is_some() => Duration::ZERO,
            Link::Up(c) if c.is_opening || !c.in_flight.is_empty() => ACKNOWLEDGED_SOON,
            Link::Up(_) => IDLE,
            Link::Down { next } => next.saturating_duration_since(clock::monotonic()).min(IDLE),
        }
    }

    fn is_done(&self, line: &Line) -> bool {
        let is_idle = match &self.link {
            Link::Up(c) => c.in_flight.is_empty() && c.current.is_none(),
            Link::Down { .. } => true,
        };
        is_idle && self.backlog.is_empty() && line.is_empty()
    }

    /// Connects if there is no connection and it is time to try.
    fn connect(&mut self, line: &Line) {
        let Link::Down { next } = self.link else { return };
        let now = clock::monotonic();
        if let News::Failed(problem) = self.lookup.look(now, true)
            && self.lookup.address().is_none()
        {
            self.failed += 1;
            line.set_down(Some(Cause::Unresolved));
            self.tell(line, Cause::Unresolved, &problem);
        }
        let Some(to) = self.lookup.address() else {
            let next = now + Duration::from_millis(20);
            self.link = Link::Down { next };
            return;
        };
        if now < next {
            return;
        }
        let connected = tcp::connect(to, &self.leave, CONNECT, PATIENCE);
        let connected = connected.map_err(|e| e.to_string()).and_then(|stream| {
            let set = stream.set_write_timeout(Some(WRITE));
            set.map(|()| stream).map_err(|e| e.to_string())
        });
        match connected {
            Ok(stream) => self.connected(stream, line),
            Err(problem) => {
                self.failed += 1;
                line.set_down(Some(Cause::Unconnected));
                self.tell(line, Cause::Unconnected, &problem);
                self.lookup.next();
                self.rest();
            }
        }
    }

    /// Leaves the destination alone for a while, and for longer the next time.
    fn rest(&mut self) {
        self.link = Link::Down { next: clock::monotonic() + self.pause };
        self.pause = (self.pause * 2).min(PAUSE[1]);
    }

    fn connected(&mut self, stream: TcpStream, line: &Line) {
        self.failed = 0;
        let is_opening = self.version.has_templates();
        line.want_opening(is_opening);
        line.set_down(None);
        line.count(|counts| counts.connections += 1);
        self.told.over(&self.name, line.counts().failures());
        log::debug!("Exporting to {}: connected", self.name);
        self.link = Link::Up(Connection {
            stream,
            since: clock::monotonic(),
            is_opening,
            current: None,
            octets: Vec::new(),
            at: 0,
            written: 0,
            in_flight: VecDeque::new(),
            sequence: 0,
        });
    }

    /// Does what the connection is ready for.
    fn serve(&mut self, line: &Line) {
        let Link::Up(connection) = &mut self.link else { return };
        if connection.is_opening
            && let Some(mut opening) = line.take_opening()
        {
            connection.is_opening = false;
            opening.append(&mut self.backlog);
            self.backlog = opening;
        }
        let served = connection.listen().and_then(|()| {
            if connection.is_opening {
                return Ok(());
            }
            connection.write(&mut self.backlog, self.version, line)
        });
        connection.acknowledge(line);
        if let Err(e) = served {
            self.disconnected(&e, line);
        }
    }

    /// The connection has ended: what it did not take goes to the next one.
    fn disconnected(&mut self, e: &io::Error, line: &Line) {
        let now = clock::monotonic();
        let Link::Up(connection) = std::mem::replace(&mut self.link, Link::Down { next: now })
        else {
            return;
        };
        line.want_opening(false);
        line.set_down(Some(Cause::Unconnected));
        if now.duration_since(connection.since) >= GOOD {
            self.pause = PAUSE[0];
        }
        let begun = connection.in_flight.into_iter().map(|(item, _)| item);
        let begun: Vec<Item> = begun.chain(connection.current).collect();
        let (stale, again): (Vec<_>, Vec<_>) = begun.into_iter().partition(|i| i.is_opening);
        line.count(|counts| counts.resent += again.len() as u64);
        line.lost(Cause::Superseded, &stale);
        let waiting: Vec<Item> = self.backlog.drain(..).collect();
        let (stale, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|i| i.is_opening);
        line.lost(Cause::Superseded, &stale);
        self.backlog = again.into_iter().chain(waiting).collect();
        self.tell(line, Cause::Unconnected, &format!("the connection has ended: {e}"));
        self.rest();
    }

    fn tell(&mut self, line: &Line, cause: Cause, problem: &str) {
        let failures = line.counts().failures();
        self.told.trouble(clock::monotonic(), &self.name, cause, &problem, failures);
    }

    /// Counts what did not get there.
    fn end(mut self, line: &Line) {
        let mut cause = Cause::LeftOver;
        match self.link {
            Link::Up(c) => {
                let begun = c.in_flight.iter().map(|(item, _)| item).chain(&c.current);
                line.lost(Cause::Unacknowledged, begun);
            }
            Link::Down { .. } if self.lookup.address().is_none() => cause = Cause::Unresolved,
            Link::Down { .. } => cause = Cause::Unconnected,
        }
        line.lost(cause, &self.backlog);
        self.backlog.clear();
        line.end(cause);
    }
}

impl Connection {
    /// Sees whether the other side has ended the connection. What it says is thrown away: collectors
    /// have nothing to say.
    ///
    /// # Errors
    /// If it has.
    fn listen(&mut self) -> io::Result<()> {
        const ENOUGH: usize = 16;
        let mut octets = [0; 512];
        for _ in 0..ENOUGH {
            let ready = wait(&[(self.stream.as_fd(), Ready::READ)], Some(Duration::ZERO))?;
            if !ready.first().is_some_and(|ready| ready.readable) {
                break;
            }
            match self.stream.read(&mut octets) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes as much of `backlog` as goes without waiting for long.
    fn write(
        &mut self,
        backlog: &mut VecDeque<Item>,
        version: Version,
        line: &Line,
    ) -> io::Result<()> {
        loop {
            if self.current.is_none() {
                let Some(item) = backlog.pop_front() else { return Ok(()) };
                self.begin(item, version);
            }
            match self.stream.write(self.octets.get(self.at..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.at += count;
                    self.written += count as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // There is no room for now. It is looked at other things first.
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock) => return Ok(()),
                Err(e) => return Err(e),
            }
            if self.at >= self.octets.len()
                && let Some(item) = self.current.take()
            {
                self.in_flight.push_back((item, self.written));
            }
            if self.in_flight.len().is_multiple_of(64) {
                self.acknowledge(line);
            }
        }
    }

    /// Makes an item the one that is written, with numbers of this connection.
    fn begin(&mut self, item: Item, version: Version) {
        self.octets.clear();
        self.octets.extend_from_slice(&item.bytes);
        self.at = 0;
        if version == Version::Ipfix
            && let Some(place) = self.octets.get_mut(8..12)
        {
            // RFC 7011, 3.1.
            let is_first = self.written == 0 && self.in_flight.is_empty();
            let missing = if is_first { 0 } else { item.missing };
            self.sequence = self.sequence.wrapping_add(missing);
            place.copy_from_slice(&self.sequence.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(item.data_records());
        }
        self.current = Some(item);
    }

    /// Lets go of what the other side has got.
    fn acknowledge(&mut self, line: &Line) {
        if self.in_flight.is_empty() {
            return;
        }
        let Ok(rest) = tcp::unacknowledged(&self.stream) else { return };
        let got = self.written.saturating_sub(rest);
        let count = self.in_flight.partition_point(|(_, end)| *end <= got);
        let items: Vec<Item> = self.in_flight.drain(..count).map(|(item, _)| item).collect();
        line.sent(&items);
    }
}
