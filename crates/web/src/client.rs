//! A client for the pages of another process of the suite.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sys::poll::Timed;

/// Why [`fetch`] has no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody answers, or not to the end.
    #[error("{addr}: {source}: is the program running, and does it listen there?")]
    Io {
        /// Whom was asked.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Whoever answers speaks something else.
    #[error("{addr}: the answer is no HTTP: another program listens there")]
    NotHttp {
        /// Whom was asked.
        addr: SocketAddr,
    },
    /// There is no such page now.
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

/// Asks for a page, such as `/templates?format=text`, and returns its body. Takes
/// half a minute at most.
///
/// # Errors
/// If nobody answers, or there is no such page.
pub fn fetch(addr: SocketAddr, path: &str) -> Result<Vec<u8>, FetchError> {
    fetch_within(addr, path, Duration::from_secs(30))
}

/// As [`fetch`], for those in a hurry: connecting may take as long as `limit`, and so may asking and
/// being answered.
///
/// # Errors
/// As there.
pub fn fetch_within(addr: SocketAddr, path: &str, limit: Duration) -> Result<Vec<u8>, FetchError> {
    /// Octets of the largest answer: templates of some ten thousand exporters.
    const LARGEST: u64 = 1 << 30;
    let failed = |source| FetchError::Io { addr, source };
    let stream = TcpStream::connect_timeout(&addr, limit).map_err(failed)?;
    let mut server = Timed::new(&stream, limit);
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
