//! A server of pages for scrapers and operators.
//!
//! It answers GET and HEAD, one request a connection, and knows nothing else of HTTP. Nothing can be
//! changed from here, and nobody is asked who they are: give it no address that strangers reach.
//!
//! Slow and hostile clients cost little: each connection has a deadline, requests are short, and
//! there are only so many connections; others are closed at once.

use std::fmt;
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sys::poll::{Ready, Timed, wait};
use sys::signal::Stop;

use crate::Format;

/// How much clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections at a time. 16 unless told.
    pub connections: usize,
    /// How long a client may take for its request. 3 s unless told.
    pub request: Duration,
    /// How long a client may take to read the answer. 10 s unless told.
    pub answer: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 16, request: Duration::from_secs(3), answer: Duration::from_secs(10) }
    }
}

/// A socket that answers.
#[derive(Debug)]
pub struct Server {
    socket: TcpListener,
    local: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    pages: Box<Pages>,
    options: Options,
    open: AtomicUsize,
}

/// What makes the answer to a request. It may be asked by several threads at a time, and may take
/// as long as the client is patient.
pub type Pages = dyn Fn(&Request<'_>) -> Answer + Send + Sync;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the socket. To be called before privileges are given up.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind(addr: SocketAddr, options: Options, pages: Box<Pages>) -> io::Result<Self> {
        let socket = TcpListener::bind(addr)?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        if !local.ip().is_loopback() {
            log::warn!(
                "HTTP on {local} answers anybody who reaches it: use 127.0.0.1 or a packet filter"
            );
        }
        let shared = Arc::new(Shared { pages, options, open: AtomicUsize::new(0) });
        Ok(Self { socket, local, shared })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Answers until asked to stop. Answers that are under way then are left to their threads.
    ///
    /// # Errors
    /// If polling fails for good.
    pub fn run(self, stop: &Stop) -> io::Result<()> {
        log::info!("HTTP: listening on {}", self.local);
        let mut pause = None;
        while !stop.is_requested() {
            let mut fds = vec![(stop.as_fd(), Ready::READ)];
            if pause.is_none() {
                fds.push((self.socket.as_fd(), Ready::READ));
            }
            let ready = wait(&fds, pause.take())?;
            if ready.get(1).is_some_and(|r| r.any()) {
                match self.socket.accept() {
                    Ok((stream, _)) => self.admit(stream),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    // Out of descriptors, most likely; the collector needs them more.
                    Err(_) => pause = Some(Duration::from_millis(200)),
                }
            }
        }
        Ok(())
    }

    /// Gives the connection a thread, or closes it.
    fn admit(&self, stream: TcpStream) {
        let shared = Arc::clone(&self.shared);
        let place = Place::take(&shared);
        let Some(place) = place else { return };
        let serve = move || {
            let _place = place;
            // Whoever hangs up has lost interest.
            let _ = shared.serve(&stream);
        };
        // Without a thread the connection is closed, which says enough.
        let _ = thread::Builder::new().name("http".to_owned()).spawn(serve);
    }
}

/// One of the connections that may be open.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.open.fetch_add(1, Ordering::SeqCst);
        let place = Self(Arc::clone(shared));
        (before < shared.options.connections).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An answer to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Number and reason, such as `200 OK`.
    pub status: &'static str,
    /// What the body is.
    pub content_type: &'static str,
    /// The page.
    pub body: Vec<u8>,
}

/// Content type of plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// Content type of JSON.
pub const JSON: &str = "application/json";

impl Answer {
    /// Plain text under any status.
    pub fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, body: body.into().into_bytes() }
    }

    /// What was asked for.
    pub fn ok(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: "200 OK", content_type, body: body.into() }
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        let mut client = Timed::new(stream, self.options.request);
        let (answer, with_body) = match read_head(&mut client) {
            Ok(head) => match Request::parse(&head) {
                Ok(request) => ((self.pages)(&request), !request.is_head),
                Err(refused) => (refused, true),
            },
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                let status = "431 Request Header Fields Too Large";
                (Answer::text(status, "the request is too long\n"), true)
            }
            Err(e) => return Err(e),
        };
        let mut client = Timed::new(stream, self.options.answer);
        let Answer { status, content_type, body } = &answer;
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            body.len()
        );
        client.write_all(head.as_bytes())?;
        if with_body {
            client.write_all(body)?;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        // What the client still says is read, or the answer could be lost to a reset.
        let mut client = Timed::new(stream, self.options.request);
        io::copy(&mut (&mut client).take(LARGEST_HEAD as u64), &mut io::sink()).map(drop)
    }
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Path, such as `/metrics`.
    pub path: &'a str,
    /// What follows its question mark; empty without.
    pub query: &'a str,
    /// Whether the body is of no interest. The server leaves it out.
    pub is_head: bool,
    /// The dialect of metrics that the client prefers.
    pub format: Format,
}

impl<'a> Request<'a> {
    pub(crate) fn parse(head: &'a [u8]) -> Result<Self, Answer> {
        let bad = || Answer::text("400 Bad Request", "this is no HTTP request\n");
        let head = str::from_utf8(head).map_err(|_| bad())?;
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad());
        };
        if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
            return Err(bad());
        }
        let is_head = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(Answer::text("405 Method Not Allowed", "only GET and HEAD\n")),
        };
        let accepts_open = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
            name.eq_ignore_ascii_case("accept") && value.contains("application/openmetrics-text")
        });
        let format = if accepts_open { Format::OpenMetrics } else { Format::Prometheus };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self { path, query, is_head, format })
    }
}

/// Octets of the largest request.
const LARGEST_HEAD: usize = 8192;

/// Reads a request up to its empty line.
fn read_head(client: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let len = match client.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => n,
        };
        // The end may lie across two pieces.
        let from = head.len().saturating_sub(3);
        head.extend_from_slice(piece.get(..len).unwrap_or_default());
        let fresh = head.get(from..).unwrap_or_default();
        if let Some(at) = fresh.windows(4).position(|w| w == b"\r\n\r\n") {
            head.truncate(from + at);
            return Ok(head);
        }
        if head.len() > LARGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests;
