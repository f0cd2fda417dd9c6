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

use super::{Message, Monitor, Options, Sink, count};
use crate::tls;

/// Octets of the largest message: its length has 16 bits.
const LARGEST: usize = 65_535;

/// Octets that one reading takes at most.
const READ: usize = 64 << 10;

/// Room for the begin of a message and what one reading adds to it.
pub(super) const SCRATCH: usize = LARGEST + READ;

/// One exporter's end of a stream.
pub(super) struct Connection {
    transport: Transport,
    peer: SocketAddr,
    session: u64,
    /// The begin of a message whose end has not come yet.
    partial: Vec<u8>,
    /// Octets of whole messages before it.
    offset: u64,
    /// When it was last heard.
    heard: Instant,
    /// When the partial message began, or the handshake.
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
    /// Where a message should begin is a number other than 10.
    Version(u16),
    /// A message that would be shorter than its header.
    Length(u16),
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
            Self::Version(n) => {
                write!(f, "version {n} where an IPFIX message should begin: is it an exporter?")
            }
            Self::Length(n) => write!(f, "a message of {n} octets, shorter than its header"),
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
        Ok(Self {
            transport,
            peer,
            session,
            partial: Vec::new(),
            offset: 0,
            heard: now,
            begun: now,
        })
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) const fn session(&self) -> u64 {
        self.session
    }

    /// Octets of whole messages so far: where a fault is.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
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
        is_handshaking || !self.partial.is_empty()
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
    /// whole now. `scratch` has room for [`SCRATCH`] octets.
    pub(super) fn serve(
        &mut self,
        scratch: &mut [u8],
        monitor: &Monitor,
        sink: &mut dyn Sink,
    ) -> Result<State, Fault> {
        let filled = self.transport.fill();
        loop {
            let held = self.partial.len();
            let Some((begin, room)) = scratch.split_at_mut_checked(held) else {
                return Err(Fault::Length(u16::MAX)); // cannot be: a message is shorter
            };
            begin.copy_from_slice(&self.partial);
            let len = match self.transport.read(room)? {
                // What came before a fault of TLS has been handed on by now.
                None => return filled.map(|()| State::Open),
                Some(0) if held == 0 => return filled.map(|()| State::Ended),
                Some(0) => return filled.and(Err(Fault::Cut { have: held })),
                Some(n) => held + n,
            };
            self.heard = clock::monotonic();
            if held == 0 {
                self.begun = self.heard;
            }
            self.frame(scratch.get(..len).unwrap_or_default(), monitor, sink)?;
            if matches!(self.transport, Transport::Plain(_)) {
                return Ok(State::Open); // one reading a turn; the poll brings it back
            }
        }
    }

    /// Hands on the messages at the begin of `input`, and keeps the rest for later.
    fn frame(
        &mut self,
        mut input: &[u8],
        monitor: &Monitor,
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        let (session, peer, arrived_ms) = (self.session, self.peer, clock::now_ms());
        let before = self.offset;
        let result = loop {
            let bytes = match message(input) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            };
            sink.put(Message::Data { session, peer, arrived_ms, bytes });
            count(&monitor.messages, 1);
            count(&monitor.bytes, bytes.len() as u64);
            self.offset += bytes.len() as u64;
            input = input.get(bytes.len()..).unwrap_or_default();
        };
        if self.offset > before {
            self.begun = self.heard; // what is left is another message
        }
        self.partial.clear();
        if input.is_empty() {
            self.partial.shrink_to(0); // the many that are idle hold nothing
        } else {
            self.partial.extend_from_slice(input);
        }
        result
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.transport {
            Transport::Plain(stream) | Transport::Tls(_, stream) => stream.as_fd(),
        }
    }
}

/// The message at the begin of `input`: two octets of version, two of length, and the rest
/// (RFC 7011, section 3.1). `None` while it is not whole.
fn message(input: &[u8]) -> Result<Option<&[u8]>, Fault> {
    const VERSION: u16 = 10;
    const HEADER: u16 = 16;
    let Some((version, rest)) = input.split_first_chunk::<2>() else { return Ok(None) };
    match u16::from_be_bytes(*version) {
        VERSION => {}
        other => return Err(Fault::Version(other)),
    }
    let Some(length) = rest.first_chunk::<2>() else { return Ok(None) };
    match u16::from_be_bytes(*length) {
        short @ ..HEADER => Err(Fault::Length(short)),
        length => Ok(input.get(..usize::from(length))),
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
            Self::Plain(stream) => {
                let room = into.len().min(READ);
                stream.read(into.get_mut(..room).unwrap_or_default())
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_out_by_their_length() {
        let mut input = vec![0, 10, 0, 18];
        input.extend([7; 14]);
        for len in 0..18 {
            assert!(matches!(message(&input[..len]), Ok(None)), "{len} octets");
        }
        input.extend([0, 11]);
        assert_eq!(message(&input).unwrap(), Some(&input[..18]));
        assert!(matches!(message(&input[18..]), Err(Fault::Version(11))));
        for length in 0..=u16::MAX {
            let header = [[0, 10], length.to_be_bytes()].concat();
            match message(&header) {
                Err(Fault::Length(n)) => assert!(n == length && n < 16),
                other => assert!(other.unwrap().is_none() && length >= 16),
            }
        }
    }
}
