//! What the collector tells over HTTP: metrics, health, status, templates.
//!
//! A server of five pages for scrapers and operators on the same host, and a client for
//! `flowcapd --templates`. It answers GET and HEAD, one request a connection, and knows nothing
//! else of HTTP. Whoever asks gets what the [`Board`] shows; nothing can be changed from here, and
//! nobody is asked who they are: give it no address that strangers reach.
//!
//! Slow and hostile clients cost little: each connection has a deadline, requests are short, and
//! there are only so many connections; others are closed at once.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sys::clock;
use sys::poll::{Ready, Timed, wait};
use sys::signal::Stop;

use crate::Error;
use crate::metrics::{self, Format, Host};
use crate::report;
use crate::status::{Board, Status};

/// Where it listens unless told otherwise.
pub const DEFAULT_ADDR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9396);

/// How much clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections at a time. 16 unless told.
    pub connections: usize,
    /// How long a client may take for its request. 3 s unless told.
    pub request: Duration,
    /// How long the decoding thread may take for details. 5 s unless told.
    pub details: Duration,
    /// How long a client may take to read the answer. 10 s unless told.
    pub answer: Duration,
    /// How many sources and exporters have metrics of their own.
    pub limits: metrics::Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 16,
            request: Duration::from_secs(3),
            details: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            limits: metrics::Limits::default(),
        }
    }
}

/// A socket that answers.
#[derive(Debug)]
pub struct Server {
    socket: TcpListener,
    local: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    board: Board,
    options: Options,
    open: AtomicUsize,
}

impl Server {
    /// Opens the socket. To be called before privileges are given up.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn bind(addr: SocketAddr, board: Board, options: Options) -> Result<Self, Error> {
        let failed = |source| Error::Listen { addr, source };
        let socket = TcpListener::bind(addr).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        if !local.ip().is_loopback() {
            log::warn!(
                "HTTP on {local} answers anybody who reaches it: use 127.0.0.1 or a packet filter"
            );
        }
        let shared = Arc::new(Shared { board, options, open: AtomicUsize::new(0) });
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
struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, body: body.into().into_bytes() }
    }

    fn ok(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: "200 OK", content_type, body }
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        let mut client = Timed::new(stream, self.options.request);
        let (answer, with_body) = match read_head(&mut client) {
            Ok(head) => match Request::parse(&head) {
                Ok(request) => (self.answer(&request), !request.is_head),
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

    fn answer(&self, request: &Request<'_>) -> Answer {
        let (status, age) = (self.board.status(), self.board.age());
        let at_disk = self.board.waits_for_disk();
        let as_text = request.query == "format=text";
        match (request.path, as_text) {
            ("/metrics", _) => {
                let format = request.format;
                let is_healthy = report::complaints(&status, age, at_disk).is_empty();
                let (used, disks) = (clock::used(), disks(&status, self.options.limits.sources));
                let host = Host { age, is_healthy, used, disks };
                let text = metrics::render(&status, &host, self.options.limits, format);
                Answer::ok(format.content_type(), text.into_bytes())
            }
            ("/healthz", _) => match report::complaints(&status, age, at_disk).as_slice() {
                [] => Answer::text("200 OK", "ok\n"),
                all => Answer::text("503 Service Unavailable", all.join("\n") + "\n"),
            },
            ("/status", _) => Answer::ok(JSON, report::status_json(&status, age, at_disk)),
            ("/templates" | "/unknown", _) => match self.board.details(self.options.details) {
                None => Answer::text(
                    "503 Service Unavailable",
                    format!("no answer within {} s\n", self.options.details.as_secs()),
                ),
                Some(details) => match (request.path, as_text) {
                    ("/templates", false) => Answer::ok(JSON, report::templates_json(&details)),
                    ("/templates", true) => {
                        Answer::ok(TEXT, report::templates_text(&details).into())
                    }
                    (_, false) => Answer::ok(JSON, report::unknown_json(&details)),
                    (_, true) => Answer::ok(TEXT, report::unknown_text(&details).into()),
                },
            },
            ("/", _) => Answer::text("200 OK", PAGES),
            _ => Answer::text("404 Not Found", PAGES),
        }
    }
}

const PAGES: &str = "\
/metrics                 for Prometheus
/healthz                 200 if all is well, 503 and reasons otherwise
/status                  counts as JSON
/templates               templates as JSON; ?format=text for a table
/unknown                 elements that are not stored, as JSON; ?format=text for a table
";

/// Room on the file systems of the sources, each once.
fn disks(status: &Status, limit: usize) -> Vec<(PathBuf, sys::disk::Space)> {
    let mut found = HashMap::new();
    for source in status.sources.iter().take(limit) {
        if let Ok(meta) = fs::metadata(&source.dir) {
            found.entry(meta.dev()).or_insert(&source.dir);
        }
    }
    let mut disks: Vec<_> = found
        .into_values()
        .filter_map(|dir| Some((dir.clone(), sys::disk::space(dir).ok()?)))
        .collect();
    disks.sort_by(|a, b| a.0.cmp(&b.0));
    disks
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    path: &'a str,
    query: &'a str,
    is_head: bool,
    format: Format,
}

impl<'a> Request<'a> {
    fn parse(head: &'a [u8]) -> Result<Self, Answer> {
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

/// Why [`fetch`] has no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody answers, or not to the end.
    #[error("{addr}: {source}: is the collector running, and does it listen there?")]
    Io {
        /// Whom was asked.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Whoever answers is no collector.
    #[error("{addr}: the answer is no HTTP: another program listens there")]
    NotHttp {
        /// Whom was asked.
        addr: SocketAddr,
    },
    /// The collector has no such page now.
    #[error("{addr}: {status}: {reason}")]
    Refused {
        /// Whom was asked.
        addr: SocketAddr,
        /// Its status line.
        status: String,
        /// What it said.
        reason: String,
    },
}

/// Asks a collector for a page, such as `/templates?format=text`, and returns its body. Takes
/// half a minute at most.
///
/// # Errors
/// If there is no collector, or no such page.
pub fn fetch(addr: SocketAddr, path: &str) -> Result<Vec<u8>, FetchError> {
    const LIMIT: Duration = Duration::from_secs(30);
    /// Octets of the largest answer: templates of some ten thousand exporters.
    const LARGEST: u64 = 1 << 30;
    let failed = |source| FetchError::Io { addr, source };
    let stream = TcpStream::connect_timeout(&addr, LIMIT).map_err(failed)?;
    let mut server = Timed::new(&stream, LIMIT);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    server.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    server.take(LARGEST).read_to_end(&mut answer).map_err(failed)?;
    let parsed = parse_answer(&answer).ok_or(FetchError::NotHttp { addr })?;
    if parsed.body.len() as u64 != parsed.length {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    if parsed.status.split(' ').next() != Some("200") {
        let reason = String::from_utf8_lossy(parsed.body).trim_end().replace('\n', "; ");
        return Err(FetchError::Refused { addr, status: parsed.status.to_owned(), reason });
    }
    Ok(parsed.body.to_vec())
}

struct Parsed<'a> {
    status: &'a str,
    length: u64,
    body: &'a [u8],
}

fn parse_answer(answer: &[u8]) -> Option<Parsed<'_>> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = str::from_utf8(answer.get(..end)?).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split_once(' ')?.1;
    let length =
        lines.filter_map(|line| line.split_once(": ")).find(|h| h.0 == "Content-Length")?;
    Some(Parsed { status, length: length.1.parse().ok()?, body: answer.get(end + 4..)? })
}

#[cfg(test)]
mod tests;
