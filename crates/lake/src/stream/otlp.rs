//! OpenTelemetry: flows as log records, over HTTP with the JSON encoding (OTLP 1.x, "OTLP/HTTP" and
//! "JSON Protobuf Encoding").
//!
//! Names of attributes are those of the semantic conventions where these have one (`source.address`,
//! `network.transport`), of the collector's own receiver of flows (`flow.io.bytes`), and else `flow.`
//! and the name of the column. Nothing in the protocol recognises what is sent twice: a batch that
//! was on its way in a crash is sent again.

use super::exporters::Exporters;
use super::row_binary::nanos;
use super::{Batch, Delivered, Encode, Encoded, Message, Origin, Patience, Sink, SinkError};
use crate::http::{self, Authorities};
use crate::schema::{COLUMNS, Type, text};
use record::code::Proto;
use record::{Addr, Field, Row};
use std::io::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use ureq::Agent;

/// Octets of a request at most, unless one record has more: collectors take 20 MiB.
const REQUEST: usize = 4 << 20;
/// Octets of the largest answer.
const LARGEST: u64 = 1 << 20;
/// A request may take as long as this.
const LIMIT: Duration = Duration::from_secs(60);

/// What stands before the records of a request, and behind them.
const HEAD: &str = concat!(
    r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"flowlake"}}]},"#,
    r#""scopeLogs":[{"scope":{"name":"flowsuite.flow","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""},"logRecords":["#
);
const TAIL: &str = "]}]}]}";

/// Encodes flows as log records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Records;

impl Encode for Records {
    fn row(&mut self, row: Row<'_>, of: &Origin<'_>, out: &mut Encoded) {
        record(row, of.exporters, of.ident, &mut out.octets);
        out.messages.push(Message { end: out.octets.len(), key: None });
    }
}

/// Appends one log record: it happened when the flow began, and was observed when its export came.
fn record(row: Row<'_>, exporters: &Exporters, ident: &str, out: &mut Vec<u8>) {
    let put = |name: &str, field: Field, out: &mut Vec<u8>| {
        let time = nanos(row.number(field));
        let _ = write!(out, r#""{name}":"{time}","#); // a vector takes all
    };
    out.push(b'{');
    put("timeUnixNano", Field::First, out);
    let seen = if row.has(Field::Received) { Field::Received } else { Field::Last };
    put("observedTimeUnixNano", seen, out);
    out.extend_from_slice(br#""severityNumber":9,"severityText":"INFO","body":{"stringValue":""#);
    body(row, out);
    out.extend_from_slice(br#""},"attributes":["#);
    let first = out.len();
    for column in COLUMNS.iter().filter(|c| !matches!(c.kind, Type::Addr4 | Type::AddrText)) {
        let Some(field) = column.field else { continue };
        let addr = || match field {
            Field::Router => exporters.of(row),
            field => row.addr(field),
        };
        if !(row.has(field) || (field == Field::Router && addr().is_some())) {
            continue;
        }
        key(name(field).ok_or(column.name), out);
        value(row, field, column.kind, addr(), out);
    }
    if let Some(addr) = row.addr(Field::SrcAddr) {
        key(Ok("network.type"), out);
        string(if matches!(addr, Addr::V4(_)) { "ipv4" } else { "ipv6" }, out);
    }
    if !ident.is_empty() {
        key(Err("ident"), out);
        string(ident, out);
    }
    // The comma before the first.
    if out.get(first) == Some(&b',') {
        out.remove(first);
    }
    out.extend_from_slice(b"]}");
}

/// What people read first: protocol, ends and counters.
fn body(row: Row<'_>, out: &mut Vec<u8>) {
    let end = |addr: Option<Addr>, port: Field, out: &mut Vec<u8>| {
        let port = row.number(port);
        let _ = match addr {
            Some(addr @ Addr::V4(_)) => write!(out, "{addr}:{port}"),
            Some(addr) => write!(out, "[{addr}]:{port}"),
            None => write!(out, "-:{port}"),
        };
    };
    transport(row, out);
    out.push(b' ');
    end(row.addr(Field::SrcAddr), Field::SrcPort, out);
    out.extend_from_slice(b" -> ");
    end(row.addr(Field::DstAddr), Field::DstPort, out);
    let (packets, bytes) = (row.number(Field::Packets), row.number(Field::Bytes));
    let _ = write!(out, " {packets} packets {bytes} bytes");
}

/// The protocol in small letters, or its number.
fn transport(row: Row<'_>, out: &mut Vec<u8>) {
    let number = row.number(Field::Proto) as u8;
    match Proto(number).name() {
        Some(name) => out.extend(name.trim().bytes().map(|b| b.to_ascii_lowercase())),
        None => drop(write!(out, "{number}")),
    }
}

/// Attributes that have a name elsewhere.
const fn name(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::SrcAddr => "source.address",
        Field::SrcPort => "source.port",
        Field::DstAddr => "destination.address",
        Field::DstPort => "destination.port",
        Field::Proto => "network.transport",
        Field::Packets => "flow.io.packets",
        Field::Bytes => "flow.io.bytes",
        Field::First => "flow.start",
        Field::Last => "flow.end",
        Field::Received => "flow.time_received",
        Field::Router => "flow.sampler_address",
        _ => return None,
    })
}

/// The beginning of an attribute: its name, or that of a column.
fn key(name: Result<&str, &str>, out: &mut Vec<u8>) {
    let (before, name) = match name {
        Ok(name) => ("", name),
        Err(column) => ("flow.", column),
    };
    let _ = write!(out, r#",{{"key":"{before}{name}","value":"#);
}

/// The value of an attribute, and its end. Numbers of 64 bits are strings (proto3, JSON mapping);
/// octets are in base64.
fn value(row: Row<'_>, field: Field, kind: Type, addr: Option<Addr>, out: &mut Vec<u8>) {
    let _ = match kind {
        Type::Int32 if field == Field::Proto => {
            out.extend_from_slice(br#"{"stringValue":""#);
            transport(row, out);
            write!(out, r#""}}}}"#)
        }
        Type::Timestamp => write!(out, r#"{{"intValue":"{}"}}}}"#, nanos(row.number(field))),
        Type::Int32 | Type::Int64 => {
            // They are signed: those of 2^63 and above keep their bits, as in columns.
            let n = row.number(field).cast_signed();
            write!(out, r#"{{"intValue":"{n}"}}}}"#)
        }
        Type::Addr16 | Type::Addr4 | Type::AddrText => match addr {
            Some(addr) => write!(out, r#"{{"stringValue":"{addr}"}}}}"#),
            None => write!(out, r#"{{"stringValue":""}}}}"#),
        },
        Type::Mac => {
            let [_, _, a, b, c, d, e, f] = row.number(field).to_be_bytes();
            let mac = format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            write!(out, r#"{{"stringValue":"{mac}"}}}}"#)
        }
        Type::Text => {
            string(&text::encode(row.text(field).unwrap_or_default()), out);
            Ok(())
        }
        Type::Acl | Type::Bytes => {
            out.extend_from_slice(br#"{"bytesValue":""#);
            base64(row.bytes(field).unwrap_or_default(), out);
            write!(out, r#""}}}}"#)
        }
    };
}

/// A value that is text, and the end of its attribute.
fn string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"stringValue":"#);
    let _ = serde_json::to_writer(&mut *out, text); // a vector takes all
    out.extend_from_slice(b"}}");
}

/// RFC 4648, section 4.
fn base64(octets: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in octets.chunks(3) {
        let octet = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for n in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * n) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if n <= group.len() { digit } else { b'=' });
        }
    }
}

/// An address that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}': a receiver of OTLP is named as otlp+http://HOST[:PORT][/PATH]")]
pub struct BadUrl(String);

/// Where log records go: a receiver of OTLP over HTTP.
#[derive(Debug)]
pub struct Receiver<'o> {
    agent: Agent,
    url: String,
    /// Names and values of headers, such as what proves who asks.
    headers: Vec<(String, String)>,
    stop: &'o AtomicBool,
    patience: Option<Duration>,
    /// The request that is made of a batch.
    body: Vec<u8>,
}

/// Why a request was not taken.
enum Failed {
    Later(String),
    Refused(String),
}

/// Completes `HOST[:PORT][/PATH]` to a URL: port 4318 and `/v1/logs` by default.
///
/// # Errors
/// If it is none.
pub fn url(text: &str, scheme: &str) -> Result<String, BadUrl> {
    let bad = || BadUrl(text.to_owned());
    let (host, path) = text.split_once('/').map_or((text, None), |(h, p)| (h, Some(p)));
    if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@') {
        return Err(bad());
    }
    // Colons of IPv6 stand in brackets.
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    let port = match behind.split_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => "",
        Some(_) => return Err(bad()),
        None => ":4318",
    };
    let path = path.filter(|path| !path.is_empty()).unwrap_or("v1/logs");
    Ok(format!("{scheme}://{host}{port}/{path}"))
}

impl<'o> Receiver<'o> {
    /// A receiver by its [`url`]. One that cannot be reached is waited for, `patience` long or for
    /// ever; setting `stop` ends the waiting.
    pub fn new(
        url: String,
        headers: Vec<(String, String)>,
        stop: &'o AtomicBool,
        patience: Option<Duration>,
    ) -> Self {
        let agent = http::agent(Some(LIMIT), None);
        Self { agent, url, headers, stop, patience, body: Vec::new() }
    }

    /// The same, over TLS if there are authorities to believe.
    #[must_use]
    pub fn believing(self, authorities: Option<Authorities>) -> Self {
        Self { agent: http::agent(Some(LIMIT), authorities), ..self }
    }

    /// One request. Returns how many of its records the receiver does not want.
    fn post(&self) -> Result<u64, Failed> {
        let mut request = self.agent.post(&self.url).header("Content-Type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let later = |e: ureq::Error| match e {
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => Failed::Refused(e.to_string()),
            e => Failed::Later(e.to_string()),
        };
        let mut answer = request.send(&self.body).map_err(later)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(LARGEST).read_to_string();
        let text = text.unwrap_or_default();
        match status {
            200..=299 => Ok(rejected(&text)),
            // OTLP/HTTP, "Retryable Response Codes".
            429 | 502..=504 => Err(Failed::Later(line(status, &text))),
            _ => Err(Failed::Refused(line(status, &text))),
        }
    }

    /// Sends these records until they are taken.
    fn send(&mut self, records: &[&[u8]]) -> Result<u64, SinkError> {
        self.body.clear();
        self.body.extend_from_slice(HEAD.as_bytes());
        for (n, record) in records.iter().enumerate() {
            if n > 0 {
                self.body.push(b',');
            }
            self.body.extend_from_slice(record);
        }
        self.body.extend_from_slice(TAIL.as_bytes());
        let mut patience = Patience::new(self.stop, self.patience);
        loop {
            match self.post() {
                Ok(rejected) => return Ok(rejected),
                Err(Failed::Later(reason)) => patience.wait(&self.url, &reason)?,
                Err(Failed::Refused(reason)) => {
                    return Err(SinkError::Refused { target: self.url.clone(), reason });
                }
            }
        }
    }
}

impl Sink for Receiver<'_> {
    fn deliver(&mut self, batch: &Batch, _in_doubt: bool) -> Result<Delivered, SinkError> {
        let (mut start, mut octets, mut dropped) = (0, 0, 0);
        let mut records = Vec::new();
        for message in &batch.encoded.messages {
            let record = batch.encoded.octets.get(start..message.end).unwrap_or_default();
            start = message.end;
            if octets + record.len() > REQUEST && !records.is_empty() {
                dropped += self.send(&records)?;
                records.clear();
                octets = 0;
            }
            octets += record.len() + 1;
            records.push(record);
        }
        if !records.is_empty() {
            dropped += self.send(&records)?;
        }
        let dropped = dropped.min(batch.encoded.rows);
        Ok(Delivered { dropped, ..Delivered::default() })
    }
}

/// Records that the receiver refused and will refuse again (OTLP/HTTP, "Partial Success").
fn rejected(text: &str) -> u64 {
    let answer: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let rejected = answer.get("partialSuccess").and_then(|p| p.get("rejectedLogRecords"));
    let number = |v: &serde_json::Value| v.as_u64().or_else(|| v.as_str()?.parse().ok());
    rejected.and_then(number).unwrap_or(0)
}

/// What a receiver says, in one line.
fn line(status: u16, text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    format!("{status}: {}", text.chars().take(300).collect::<String>())
}

#[cfg(test)]
mod tests;
