//! One connection: octets to whole messages.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::ServerConnection;
use sys::clock;
use sys::poll::Ready;
use wire::DecodeError;
use wire::ipfix::Frames;

use super::{Message, Monitor, Options, Sink, count};
use crate::tls;

/// Octets that one reading takes at most.
pub(super) const READ: usize = 64 << 10;

/// One exporter's end of a stream.
pub(super) struct Connection {
    transport: Transport,
    peer: SocketAddr,
    session: u64,
    frames: Frames,
    /// When it was last heard.
    heard: Instant,
    /// When the message began that is not whole yet, or the handshake.
    begun: Instant,
}

/// What is left to do for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// The exporter has said all.
    Ended,
}

/// Why a connection is closed before the exporter does.
#[derive(Debug)]
pub(super) enum Fault {
    /// What comes is no message.
    Framing(DecodeError),
    /// The stream ended in a message.
    Cut {
        have: usize,
    },
    Idle(Duration),
    Slow(Duration),
    Io(io::Error),
    Tls(rustls::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framing(e) => write!(f, "{e}"),
            Self::Cut { have } => {
                write!(f, "the exporter ended it after {have} octets of a message, which are lost")
            }
            Self::Idle(after) => write!(f, "nothing came for {} s", after.as_secs()),
            Self::Slow(after) => {
                write!(f, "handshake or message not complete after {} s", after.as_secs())
            }
            Self::Io(e) => write!(f, "{e}"),
            Self::Tls(e) => write!(f, "TLS: {e}"),
        }
    }
}

/// Sessions so far, of all listeners.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&tls::Server>,
        now: Instant,
    ) -> io::Result<Self> {
        let transport = match tls {
            None => Transport::Plain(stream),
            Some(server) => {
                let tls = ServerConnection::new(Arc::clone(&server.0)).map_err(io::Error::other)?;
                Transport::Tls(Box::new(tls), stream)
            }
        };
        let session = SESSIONS.fetch_add(1, Ordering::Relaxed) + 1;
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Ok(Self { transport, peer, session, frames: Frames::new(), heard: now, begun: now })
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) const fn session(&self) -> u64 {
        self.session
    }

    /// Octets of whole messages so far: where a fault is.
    pub(super) const fn offset(&self) -> u64 {
        self.frames.position()
    }

    pub(super) fn wanted(&self) -> Ready {
        match &self.transport {
            Transport::Tls(tls, _) if tls.wants_write() => Ready::BOTH,
            _ => Ready::READ,
        }
    }

    fn is_unfinished(&self) -> bool {
        let is_handshaking = match &self.transport {
            Transport::Plain(_) => false,
            Transport::Tls(tls, _) => tls.is_handshaking(),
        };
        is_handshaking || self.frames.pending() > 0
    }

    /// When it is closed if nothing comes.
    pub(super) fn deadline(&self, options: &Options) -> Instant {
        let idle = self.heard + options.idle;
        if self.is_unfinished() { idle.min(self.begun + options.patience) } else { idle }
    }

    /// Looks at the time of a connection that has nothing to read.
    pub(super) fn wait(&self, now: Instant, options: &Options) -> Result<State, Fault> {
        if now < self.deadline(options) {
            Ok(State::Open)
        } else if now < self.heard + options.idle {
            Err(Fault::Slow(options.patience))
        } else {
            Err(Fault::Idle(options.idle))
        }
    }

    /// Reads what has come, up to a limit that keeps it fair, and hands on the messages that are
    /// whole now. `scratch` is where octets go in between.
    pub(super) fn serve(
        &mut self,
        scratch: &mut [u8],
        monitor: &Monitor,
        sink: &mut dyn Sink,
    ) -> Result<State, Fault> {
        let filled = self.transport.fill();
        loop {
            let piece = match self.transport.read(scratch)? {
                // What came before a fault of TLS has been handed on by now.
                None => return filled.map(|()| State::Open),
                Some(0) => return filled.and_then(|()| self.end()),
                Some(n) => scratch.get(..n).unwrap_or_default(),
            };
            self.heard = clock::monotonic();
            if self.frames.pending() == 0 {
                self.begun = self.heard;
            }
            self.cut(piece, monitor, sink)?;
            if matches!(self.transport, Transport::Plain(_)) {
                return Ok(State::Open); // one reading a turn; the poll brings it back
            }
        }
    }

    const fn end(&self) -> Result<State, Fault> {
        match self.frames.pending() {
            0 => Ok(State::Ended),
            have => Err(Fault::Cut { have }),
        }
    }

    /// Hands on the messages that are whole with `piece`.
    fn cut(
        &mut self,
        mut piece: &[u8],
        monitor: &Monitor,
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        let (session, peer, arrived_ms) = (self.session, self.peer, clock::now_ms());
        while let Some(bytes) = self.frames.next(&mut piece).map_err(Fault::Framing)? {
            sink.put(Message::Data { session, peer, arrived_ms, bytes });
            count(&monitor.messages, 1);
            count(&monitor.bytes, bytes.len() as u64);
            self.begun = self.heard; // what is left is another message
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.transport {
            Transport::Plain(stream) | Transport::Tls(_, stream) => stream.as_fd(),
        }
    }
}

/// What octets come through.
enum Transport {
    Plain(TcpStream),
    Tls(Box<ServerConnection>, TcpStream),
}

impl Transport {
    /// Has TLS take one reading from the socket, and send what it has to say.
    fn fill(&mut self) -> Result<(), Fault> {
        let Self::Tls(tls, stream) = self else { return Ok(()) };
        let filled = match quiet(tls.read_tls(stream)) {
            Ok(_) => tls.process_new_packets().map(drop).map_err(Fault::Tls),
            Err(e) => Err(Fault::Io(e)),
        };
        // Also after a fault: the peer is told why.
        while tls.wants_write() {
            match quiet(tls.write_tls(stream)) {
                Ok(Some(1..)) => {}
                Ok(_) => break,
                Err(e) => return filled.and(Err(Fault::Io(e))),
            }
        }
        filled
    }

    /// Octets that are there; 0 at the end, `None` if there are none now.
    fn read(&mut self, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        let result = match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(tls, _) => match tls.reader().read(into) {
                // Without the farewell of TLS. What is whole is whole: messages have lengths.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        };
        quiet(result).map_err(Fault::Io)
    }
}

/// A result in which "not now" is no error.
fn quiet<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(t) => Ok(Some(t)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}
