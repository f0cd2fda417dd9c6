//! IPFIX over TCP and TLS (RFC 7011, sections 10.4 and 11): connections to whole messages.
//!
//! One thread polls the listener and all connections. A connection holds no more than the message
//! that is not complete yet, there are only so many of them, and each address may have only a
//! share. Messages go to a [`Sink`] in the order they came; where that waits because the queue is
//! full, nobody is read, TCP slows the exporters down, and nothing is lost.
//!
//! Unlike datagrams, a stream has a beginning and an end, and what an exporter said of its
//! templates is valid between them (RFC 7011, section 8.1). So each connection is a session with
//! a number of its own, and the sink is told when it ends. A fault in the framing ends it, because
//! nobody knows where the next message begins.

mod connection;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sys::clock;
use sys::poll::{Ready, keep_alive, wait};
use sys::signal::Stop;
use sys::udp::{Family, listen_tcp};

use crate::Error;
use crate::status::{StreamCounts, StreamStatus};
use crate::tls;

use connection::{Connection, Fault, READ, State};

/// TCP port of IPFIX (RFC 7011, section 10.4.2).
pub const PORT: u16 = 4739;

/// TCP port of IPFIX over TLS (RFC 7011, section 10.4.2).
pub const TLS_PORT: u16 = 4740;

/// How a listener is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections at most. 256 unless told.
    pub connections: usize,
    /// Connections of one address at most. 64 unless told.
    pub connections_per_address: usize,
    /// After so long without an octet a connection is closed. Half an hour unless told: in a quiet
    /// network an exporter may have nothing to say for long.
    pub idle: Duration,
    /// So long a handshake, or the rest of a message that has begun, may take. 30 s unless told.
    pub patience: Duration,
    /// With it, exporters have to speak TLS.
    pub tls: Option<tls::Server>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_address: 64,
            idle: Duration::from_secs(1800),
            patience: Duration::from_secs(30),
            tls: None,
        }
    }
}

/// What a listener tells its [`Sink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A whole message.
    Data {
        /// Number of the connection, of which no other has the same while the process lives.
        session: u64,
        /// Other end of it.
        peer: SocketAddr,
        /// When its last octets were read, milliseconds since 1970.
        arrived_ms: u64,
        /// The message, header included.
        bytes: &'a [u8],
    },
    /// The connection is gone, and with it what it said of templates.
    End {
        /// Number of the connection.
        session: u64,
        /// Other end of it.
        peer: SocketAddr,
    },
}

/// Where messages go.
pub trait Sink {
    /// Takes one message. It may wait for room: meanwhile no connection is read.
    fn put(&mut self, message: Message<'_>);

    /// Says that nothing more is at hand for the moment.
    fn flush(&mut self) {}
}

/// What a listener counts, for others to look at while it runs.
#[derive(Debug)]
pub struct Monitor {
    local: SocketAddr,
    is_tls: bool,
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    broken: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Monitor {
    /// The counts of this moment.
    pub fn status(&self) -> StreamStatus {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        StreamStatus {
            local: self.local,
            is_tls: self.is_tls,
            counts: StreamCounts {
                open: read(&self.open),
                accepted: read(&self.accepted),
                refused: read(&self.refused),
                timed_out: read(&self.timed_out),
                broken: read(&self.broken),
                messages: read(&self.messages),
                bytes: read(&self.bytes),
            },
        }
    }
}

fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// A socket that exporters connect to.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    options: Options,
    monitor: Arc<Monitor>,
}

impl Listener {
    /// Opens the socket: on an address, or on all of a family. To be called before privileges are
    /// given up.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind(
        bind: Option<IpAddr>,
        port: u16,
        family: Family,
        options: Options,
    ) -> Result<Self, Error> {
        Self::from_socket(listen_tcp(bind, port, family)?, options)
    }

    /// Takes a socket that listens already, as systemd hands them over.
    ///
    /// # Errors
    /// If the socket is none that listens.
    pub fn from_socket(socket: TcpListener, options: Options) -> Result<Self, Error> {
        let local = socket.local_addr();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let addr = *local.as_ref().unwrap_or(&nowhere);
        local
            .and_then(|_| socket.set_nonblocking(true))
            .map_err(|source| Error::Listen { addr, source })?;
        let monitor = Arc::new(Monitor {
            local: addr,
            is_tls: options.tls.is_some(),
            open: AtomicU64::default(),
            accepted: AtomicU64::default(),
            refused: AtomicU64::default(),
            timed_out: AtomicU64::default(),
            broken: AtomicU64::default(),
            messages: AtomicU64::default(),
            bytes: AtomicU64::default(),
        });
        Ok(Self { socket, options, monitor })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.monitor.local
    }

    /// What it counts.
    pub fn monitor(&self) -> Arc<Monitor> {
        Arc::clone(&self.monitor)
    }

    /// Serves connections until asked to stop, and then reads what has arrived by then.
    ///
    /// # Errors
    /// If polling fails for good. Connections are closed in any case.
    pub fn run(self, sink: &mut dyn Sink, stop: &Stop) -> io::Result<()> {
        let name = if self.options.tls.is_some() { "IPFIX over TLS" } else { "IPFIX over TCP" };
        log::info!("{name}: listening on {}", self.local_addr());
        let mut server = Server {
            listener: self,
            connections: Vec::new(),
            scratch: vec![0; READ],
            accepts_from: None,
            talk: Talk { name, window: None, said: 0, held: 0 },
        };
        let ended = server.serve(sink, stop);
        for connection in std::mem::take(&mut server.connections) {
            server.close(connection, sink);
        }
        sink.flush();
        ended
    }
}

/// A listener at work.
struct Server {
    listener: Listener,
    connections: Vec<Connection>,
    /// What is being read: one for all connections.
    scratch: Vec<u8>,
    /// Set while accepting makes no sense, because the process is out of descriptors.
    accepts_from: Option<Instant>,
    talk: Talk,
}

/// Rounds of reading after the request to stop: what is in the sockets is read, and an exporter
/// that goes on sending does not keep the collector from ending.
const LAST_ROUNDS: usize = 64;

/// How long accepting is left alone after it failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Server {
    fn serve(&mut self, sink: &mut dyn Sink, stop: &Stop) -> io::Result<()> {
        while !stop.is_requested() {
            self.round(sink, Some(stop))?;
        }
        for _ in 0..LAST_ROUNDS {
            if !self.round(sink, None)? {
                break;
            }
        }
        Ok(())
    }

    /// Waits and serves who is ready. Without `stop` it does not wait, accepts nobody, and tells
    /// whether anybody was ready.
    fn round(&mut self, sink: &mut dyn Sink, stop: Option<&Stop>) -> io::Result<bool> {
        let now = clock::monotonic();
        let is_accepting = stop.is_some() && self.accepts_from.is_none_or(|at| at <= now);
        let (is_new, ready) = {
            let stop_fd = stop.map_or_else(|| self.listener.socket.as_fd(), Stop::as_fd);
            let wanted = |on| if on { Ready::READ } else { Ready::default() };
            let mut fds: Vec<(BorrowedFd<'_>, Ready)> = vec![
                (stop_fd, wanted(stop.is_some())),
                (self.listener.socket.as_fd(), wanted(is_accepting)),
            ];
            fds.extend(self.connections.iter().map(|c| (c.as_fd(), c.wanted())));
            let timeout = if stop.is_some() { self.timeout(now) } else { Some(Duration::ZERO) };
            let mut ready = wait(&fds, timeout)?.into_iter().skip(1);
            (ready.next().is_some_and(Ready::any), ready.collect::<Vec<_>>())
        };
        let was_ready = self.read(&ready, sink);
        if is_new && is_accepting {
            self.accept();
        }
        sink.flush();
        Ok(was_ready)
    }

    /// How long nothing is to be done if nobody sends.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let ends = self.connections.iter().map(|c| c.deadline(&self.listener.options));
        let next = ends.chain(self.accepts_from.filter(|at| *at > now)).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Reads all connections that are ready, and ends those that are over. Whether any was ready.
    fn read(&mut self, ready: &[Ready], sink: &mut dyn Sink) -> bool {
        let (mut kept, mut was_ready) = (Vec::with_capacity(self.connections.len()), false);
        for (at, mut connection) in std::mem::take(&mut self.connections).into_iter().enumerate() {
            let is_ready = ready.get(at).is_some_and(|r| r.any());
            was_ready |= is_ready;
            let state = if is_ready {
                // Time is looked at anew: the sink may have waited long.
                connection.serve(&mut self.scratch, &self.listener.monitor, sink)
            } else {
                connection.wait(clock::monotonic(), &self.listener.options)
            };
            match state {
                Ok(State::Open) => kept.push(connection),
                Ok(State::Ended) => {
                    log::debug!("{}: {}: ended", self.talk.name, connection.peer());
                    self.close(connection, sink);
                }
                Err(fault) => {
                    let monitor = &self.listener.monitor;
                    let is_late = matches!(fault, Fault::Idle(_) | Fault::Slow(_));
                    count(if is_late { &monitor.timed_out } else { &monitor.broken }, 1);
                    let (peer, offset) = (connection.peer(), connection.offset());
                    self.talk.say(format_args!("{peer}: closed after {offset} octets: {fault}"));
                    self.close(connection, sink);
                }
            }
        }
        self.connections = kept;
        was_ready
    }

    fn close(&self, connection: Connection, sink: &mut dyn Sink) {
        self.listener.monitor.open.fetch_sub(1, Ordering::Relaxed);
        let (session, peer) = (connection.session(), connection.peer());
        drop(connection);
        sink.put(Message::End { session, peer });
    }

    /// Takes in who has connected, a few at a time.
    fn accept(&mut self) {
        const AT_ONCE: usize = 64;
        self.accepts_from = None;
        for _ in 0..AT_ONCE {
            match self.listener.socket.accept() {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if is_of_the_peer(&e) => {}
                Err(e) => {
                    self.talk.say(format_args!(
                        "cannot accept connections: {e}: raise the limit of open files"
                    ));
                    self.accepts_from = Some(clock::monotonic() + PAUSE);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Options { connections, connections_per_address, tls, .. } = &self.listener.options;
        let monitor = &self.listener.monitor;
        let of_peer = self.connections.iter().filter(|c| c.peer().ip() == peer.ip()).count();
        let full = self.connections.len() >= *connections;
        if full || of_peer >= *connections_per_address {
            count(&monitor.refused, 1);
            let (n, whose) = if full {
                (self.connections.len(), "there are")
            } else {
                (of_peer, "this address has")
            };
            return self.talk.say(format_args!(
                "{peer}: refused: {whose} {n} connections already: raise the limit if they are yours"
            ));
        }
        // Ends connections whose exporter has vanished without a word.
        let prepared = stream
            .set_nonblocking(true)
            .and_then(|()| keep_alive(&stream, KEEP_ALIVE))
            .and_then(|()| Connection::new(stream, peer, tls.as_ref(), clock::monotonic()));
        match prepared {
            Ok(connection) => {
                count(&monitor.accepted, 1);
                count(&monitor.open, 1);
                log::debug!("{}: {peer}: connected", self.talk.name);
                self.connections.push(connection);
            }
            Err(e) => {
                count(&monitor.broken, 1);
                self.talk.say(format_args!("{peer}: {e}"));
            }
        }
    }
}

/// Silence after which the kernel asks whether the exporter is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Whether accepting failed because of who connected, and the next one may be fine.
fn is_of_the_peer(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied};
    matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied)
}

/// Warnings that anybody who connects can cause: so many a minute, the rest is counted.
struct Talk {
    name: &'static str,
    window: Option<Instant>,
    said: u32,
    held: u32,
}

impl Talk {
    const A_MINUTE: u32 = 10;

    fn say(&mut self, what: fmt::Arguments<'_>) {
        let now = clock::monotonic();
        let is_over = |since| now.saturating_duration_since(since) >= Duration::from_secs(60);
        if self.window.is_none_or(is_over) {
            if self.held > 0 {
                log::warn!("{}: {} more warnings were held back", self.name, self.held);
            }
            (self.window, self.said, self.held) = (Some(now), 0, 0);
        }
        if self.said < Self::A_MINUTE {
            log::warn!("{}: {what}", self.name);
            self.said += 1;
        } else {
            self.held += 1;
        }
    }
}

#[cfg(test)]
mod tests;
