//! What the collector tells over HTTP: metrics, health, status, templates.
//!
//! Five pages for scrapers and operators on the same host. Whoever asks gets what the [`Board`]
//! shows.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use sys::clock;
use web::{Answer, JSON, Request, Server, TEXT};

use crate::Error;
use crate::metrics::{self, Host};
use crate::report;
use crate::status::{Board, Status};

/// Where it listens unless told otherwise.
pub const DEFAULT_ADDR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9396);

/// How much clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Of the server.
    pub server: web::Options,
    /// How long the decoding thread may take for details. 5 s unless told.
    pub details: Duration,
    /// How many sources and exporters have metrics of their own.
    pub limits: metrics::Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            server: web::Options::default(),
            details: Duration::from_secs(5),
            limits: metrics::Limits::default(),
        }
    }
}

/// Opens the socket of a server of these pages. To be called before privileges are given up.
///
/// # Errors
/// If the address cannot be had.
pub fn bind(addr: SocketAddr, board: Board, options: Options) -> Result<Server, Error> {
    let Options { server, details, limits } = options;
    let pages = Pages { board, details, limits };
    Server::bind(addr, server, Box::new(move |request| pages.answer(request)))
        .map_err(|source| Error::Listen { addr, source })
}

struct Pages {
    board: Board,
    details: Duration,
    limits: metrics::Limits,
}

impl Pages {
    fn answer(&self, request: &Request<'_>) -> Answer {
        let (status, age) = (self.board.status(), self.board.age());
        let at_disk = self.board.waits_for_disk();
        let as_text = request.query == "format=text";
        match (request.path, as_text) {
            ("/metrics", _) => {
                let format = request.format;
                let is_healthy = report::complaints(&status, age, at_disk).is_empty();
                let (used, disks) = (clock::used(), disks(&status, self.limits.sources));
                let host = Host { age, is_healthy, used, disks };
                let text = metrics::render(&status, &host, self.limits, format);
                Answer::ok(format.content_type(), text)
            }
            ("/healthz", _) => match report::complaints(&status, age, at_disk).as_slice() {
                [] => Answer::text("200 OK", "ok\n"),
                all => Answer::text("503 Service Unavailable", all.join("\n") + "\n"),
            },
            ("/status", _) => Answer::ok(JSON, report::status_json(&status, age, at_disk)),
            ("/templates" | "/unknown", _) => match self.board.details(self.details) {
                None => Answer::text(
                    "503 Service Unavailable",
                    format!("no answer within {} s\n", self.details.as_secs()),
                ),
                Some(details) => match (request.path, as_text) {
                    ("/templates", false) => Answer::ok(JSON, report::templates_json(&details)),
                    ("/templates", true) => Answer::ok(TEXT, report::templates_text(&details)),
                    (_, false) => Answer::ok(JSON, report::unknown_json(&details)),
                    (_, true) => Answer::ok(TEXT, report::unknown_text(&details)),
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

#[cfg(test)]
mod tests;
