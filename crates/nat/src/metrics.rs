//! What a daemon tells over HTTP: metrics, health and counts.
//!
//! The loop shows its [`Status`] on a [`Board`] once a second; whoever asks gets what was shown
//! last, and never holds up the loop. Names of metrics are stable; counts are since the start.

use crate::outlet::OutletCounts;
use crate::run::ListenCounts;
use crate::tracker::Counts;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use sys::clock::{self, Used};
use web::{Answer, Format, JSON, Kind, Request, Server, Text};

/// What a daemon looks like at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What the tracker counted.
    pub tracker: Counts,
    /// Connections that are open.
    pub open: u64,
    /// Octets of memory that they take.
    pub memory: u64,
    /// Whether events were lost and the table was not looked at since.
    pub is_degraded: bool,
    /// What the sockets brought.
    pub listener: ListenCounts,
    /// What became of outcomes.
    pub outlet: OutletCounts,
}

/// Where a daemon shows its status.
#[derive(Clone, Debug)]
pub struct Board(Arc<Mutex<(Arc<Status>, Instant)>>);

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Arc::default(), clock::monotonic()))))
    }
}

impl Board {
    /// A board that shows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows a status in place of the one before.
    pub fn publish(&self, status: Status) {
        let shown = (Arc::new(status), clock::monotonic());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// What was shown last, and how long ago.
    pub fn look(&self) -> (Arc<Status>, Duration) {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&shown.0), shown.1.elapsed())
    }
}

/// Opens the socket of a server of these pages. To be called before privileges are given up.
///
/// # Errors
/// If the address cannot be had.
pub fn bind(addr: SocketAddr, board: Board) -> std::io::Result<Server> {
    let pages = move |request: &Request<'_>| answer(&board, request);
    Server::bind(addr, web::Options::default(), Box::new(pages))
}

const PAGES: &str = "\
/metrics                 for Prometheus
/healthz                 200 if all is well, 503 and reasons otherwise
/status                  counts as JSON
";

fn answer(board: &Board, request: &Request<'_>) -> Answer {
    let (status, age) = board.look();
    match request.path {
        "/metrics" => {
            let text = render(&status, age, &clock::used(), request.format);
            Answer::ok(request.format.content_type(), text)
        }
        "/healthz" => match complaints(&status, age).as_slice() {
            [] => Answer::text("200 OK", "ok\n"),
            all => Answer::text("503 Service Unavailable", all.join("\n") + "\n"),
        },
        "/status" => Answer::ok(JSON, to_json(&status)),
        "/" => Answer::text("200 OK", PAGES),
        _ => Answer::text("404 Not Found", PAGES),
    }
}

/// What is wrong; nothing if all is well.
pub fn complaints(status: &Status, age: Duration) -> Vec<String> {
    /// A loop that is well shows its status each second.
    const STALE: Duration = Duration::from_secs(10);
    let mut all = Vec::new();
    if age > STALE {
        all.push(format!("the loop has shown nothing for {} s", age.as_secs()));
    }
    if status.is_degraded {
        all.push("events were lost, and the table was not looked at since".to_owned());
    }
    if status.tracker.untracked > 0 {
        all.push(format!(
            "{} connections were told and not kept: raise --max-connections",
            status.tracker.untracked
        ));
    }
    all
}

/// Name, kind, help and value of everything that has no labels.
fn singles(status: &Status) -> Vec<(&'static str, Kind, &'static str, u64)> {
    use Kind::{Counter, Gauge};
    let (t, l, o) = (&status.tracker, &status.listener, &status.outlet.outcomes);
    vec![
        ("connections", Gauge, "Connections that are open", status.open),
        ("connections_memory_bytes", Gauge, "Memory of open connections", status.memory),
        (
            "degraded",
            Gauge,
            "Whether events were lost and not made up for",
            status.is_degraded.into(),
        ),
        ("netlink_buffer_bytes", Gauge, "Room for events that wait", l.buffer),
        ("netlink_reads", Counter, "Reads that brought events", l.reads),
        ("netlink_bytes", Counter, "Octets of events", l.octets),
        ("netlink_buffer_grown", Counter, "Times that room was made", l.grown),
        ("overruns", Counter, "Times that the kernel dropped events", t.overruns),
        ("gaps", Counter, "Times of loss that are over", t.gaps),
        ("gap_milliseconds", Counter, "Time in which events may be missing", o.gap_ns / 1_000_000),
        ("dumps", Counter, "Looks at the table", t.dumps),
        ("dumps_failed", Counter, "Looks at the table that ended early", t.dumps_failed),
        ("dump_entries", Counter, "Connections seen in the table", t.dump_entries),
        ("undecodable", Counter, "Messages that could not be decoded", t.undecodable),
        ("other_messages", Counter, "Messages of other kinds", t.other_messages),
        ("interim_records", Counter, "Interim records", t.interims),
        ("duplicates", Counter, "Messages of what was told already", t.duplicates),
        ("stale", Counter, "Entries of dumps of another moment", t.stale),
        ("untracked", Counter, "Connections told and not kept", t.untracked),
        ("notes_dropped", Counter, "Ends that could be told twice", t.notes_dropped),
        ("lost", Counter, "Records and lines that did not arrive", status.outlet.lost()),
    ]
}

/// The metrics as text. `age` is how old the status is.
pub fn render(status: &Status, age: Duration, used: &Used, format: Format) -> String {
    let mut text = Text::new(format);
    for (name, kind, help, value) in singles(status) {
        text.single(&format!("flownatd_{name}"), kind, help, value as f64);
    }
    let t = &status.tracker;
    let plain = |of: &[(&'static str, u64)]| -> Vec<([(&'static str, &'static str); 1], f64)> {
        of.iter().map(|(what, n)| ([("kind", *what)], *n as f64)).collect()
    };
    let events =
        [("new", t.events_new), ("update", t.events_update), ("destroy", t.events_destroy)];
    text.family(("flownatd_events", Kind::Counter, "Events of the kernel"), plain(&events));
    let exact = t.begins.saturating_sub(t.resync_begins).saturating_sub(t.late_begins);
    let begins = [("exact", exact), ("resync", t.resync_begins), ("late", t.late_begins)];
    text.family(("flownatd_begins", Kind::Counter, "Begins told"), plain(&begins));
    let odd = [t.resync_ends, t.replaced, t.forgotten];
    let exact = odd.iter().fold(t.ends, |n, odd| n.saturating_sub(*odd));
    let ends = [
        ("exact", exact),
        ("resync", t.resync_ends),
        ("replaced", t.replaced),
        ("forgotten", t.forgotten),
    ];
    text.family(("flownatd_ends", Kind::Counter, "Ends told"), plain(&ends));
    let unwanted = [
        ("not_translated", t.not_translated),
        ("protocol", t.other_protocol),
        ("network", t.other_network),
        ("zone", t.other_zone),
        ("mark", t.other_mark),
        ("local", t.local),
    ];
    text.family(("flownatd_unwanted", Kind::Counter, "Messages not wanted"), plain(&unwanted));
    outlets(&mut text, &status.outlet);
    let cpu = (used.user + used.system).as_secs_f64();
    text.single("flownatd_cpu_seconds", Kind::Counter, "CPU time used", cpu);
    let (peak, help) = (used.peak_memory as f64, "Most memory that was used");
    text.single("flownatd_peak_memory_bytes", Kind::Gauge, help, peak);
    text.single("flownatd_status_age_seconds", Kind::Gauge, "Age of all this", age.as_secs_f64());
    text.finish()
}

/// What became of records.
fn outlets(text: &mut Text, outlet: &OutletCounts) {
    let numbers: Vec<String> = (0..outlet.exports.len()).map(|n| n.to_string()).collect();
    let exports = || numbers.iter().zip(&outlet.exports);
    text.family(
        ("flownatd_export_records", Kind::Counter, "Records exported"),
        exports().map(|(n, e)| ([("export", n.as_str())], e.encoder.records as f64)),
    );
    text.family(
        ("flownatd_export_left_out", Kind::Counter, "Records that the protocol cannot carry"),
        exports().map(|(n, e)| {
            let left_out = e.encoder.rows_left_out() + e.made.triplet_v6;
            ([("export", n.as_str())], left_out as f64)
        }),
    );
    let all = || exports().flat_map(|(n, e)| e.destinations.iter().map(move |to| (n, to)));
    text.family(
        ("flownatd_destination_failures", Kind::Counter, "Datagrams that did not arrive"),
        all().map(|(n, (to, counts))| {
            ([("export", n.as_str()), ("destination", to.as_str())], counts.failures() as f64)
        }),
    );
    if let Some((_, files)) = &outlet.files {
        let what =
            [("written", files.flows), ("stored", files.stored), ("lost", files.lost)].into_iter();
        text.family(
            ("flownatd_file_records", Kind::Counter, "Records for files"),
            what.map(|(what, n)| ([("state", what)], n as f64)),
        );
    }
    let lines = outlet.copies.iter().flat_map(|(name, c)| {
        [("written", c.written), ("lost", c.lost)]
            .map(|(state, n)| ([("target", *name), ("state", state)], n as f64))
    });
    text.family(("flownatd_lines", Kind::Counter, "Lines of text"), lines);
}

/// Counts as one object; names and values need no escaping.
fn to_json(status: &Status) -> String {
    let all = singles(status);
    let parts: Vec<String> =
        all.iter().map(|(name, _, _, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}\n", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::testing::parse;

    #[test]
    fn metrics_say_what_was_counted() {
        let mut status = Status { open: 7, ..Status::default() };
        status.tracker.begins = 10;
        status.tracker.resync_begins = 3;
        status.tracker.overruns = 2;
        status
            .outlet
            .copies
            .push(("csv", crate::copies::CopyCounts { made: 5, written: 4, lost: 1 }));
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let text = render(&status, Duration::from_secs(1), &Used::default(), format);
            let families = parse(&text);
            let total = if format == Format::Prometheus { "_total" } else { "" };
            let value = |name: &str, labels: &[(&str, &str)]| {
                let labels: Vec<_> =
                    labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
                families[name].samples[&labels]
            };
            assert_eq!(value("flownatd_connections", &[]), 7.0);
            assert_eq!(value(&format!("flownatd_overruns{total}"), &[]), 2.0);
            assert_eq!(value(&format!("flownatd_begins{total}"), &[("kind", "exact")]), 7.0);
            let lost = [("target", "csv"), ("state", "lost")];
            assert_eq!(value(&format!("flownatd_lines{total}"), &lost), 1.0);
        }
        let json = to_json(&status);
        assert!(json.contains("\"connections\":7,") && json.contains("\"lost\":1}"), "{json}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut status = Status::default();
        assert!(complaints(&status, Duration::ZERO).is_empty());
        assert_eq!(complaints(&status, Duration::from_secs(11)).len(), 1);
        status.is_degraded = true;
        status.tracker.untracked = 1;
        assert_eq!(complaints(&status, Duration::ZERO).len(), 2);
    }
}
