//! What a probe tells over HTTP: metrics, health and counts.
//!
//! The loop of a probe shows its [`Status`] on a [`Board`] about once a second; whoever asks gets
//! what was shown last, and never holds up the loop. Names of metrics are stable; counts are since
//! the start, and a name that ends in `_total` never goes down while the probe lives.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sys::clock::{self, Used};
use web::{Answer, Format, JSON, Kind, Request, Server, Text};
use wire::export::ExportCounts;
use wire::packet::Cause;

use crate::interfaces::LookupCounts;
use crate::statistics::{Captured, Report};
use crate::{CacheStats, OutletCounts, Reason};
use export::FilesCounts;

/// Where it listens unless told otherwise.
pub const DEFAULT_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9397);

/// What a probe looks like at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// When this was, milliseconds since 1970. 0 if it never was.
    pub now_ms: u64,
    /// What was counted.
    pub report: Report,
    /// What became of flows.
    pub outlet: OutletCounts,
    /// Packets that came while none were to be taken.
    pub paused: u64,
    /// What became of questions for interfaces.
    pub lookups: LookupCounts,
}

/// Where a probe shows its status.
#[derive(Clone, Debug)]
pub struct Board(Arc<Mutex<Shown>>);

#[derive(Debug)]
struct Shown {
    status: Arc<Status>,
    at: Instant,
}

impl Default for Board {
    fn default() -> Self {
        let shown = Shown { status: Arc::default(), at: clock::monotonic() };
        Self(Arc::new(Mutex::new(shown)))
    }
}

impl Board {
    /// A board that shows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows a status in place of the one before.
    pub fn publish(&self, status: Status) {
        let status = Arc::new(status);
        let at = clock::monotonic();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Shown { status, at };
    }

    /// What was shown last, and how long ago.
    pub fn look(&self) -> (Arc<Status>, Duration) {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&shown.status), shown.at.elapsed())
    }
}

/// What is not in the status, because it is looked up when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host {
    /// How old the status is.
    pub age: Duration,
    /// What the process has used.
    pub used: Used,
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
            let text = render(&status, &Host { age, used: clock::used() }, request.format);
            Answer::ok(request.format.content_type(), text)
        }
        "/healthz" => match complaints(&status, age).as_slice() {
            [] => Answer::text("200 OK", "ok\n"),
            all => Answer::text("503 Service Unavailable", all.join("\n") + "\n"),
        },
        "/status" => Answer::ok(JSON, format!("{}\n", to_json(&status, age))),
        "/" => Answer::text("200 OK", PAGES),
        _ => Answer::text("404 Not Found", PAGES),
    }
}

/// What is wrong; nothing if all is well.
pub fn complaints(status: &Status, age: Duration) -> Vec<String> {
    /// A loop that is well shows its status each second.
    const STUCK: Duration = Duration::from_secs(10);
    let mut all = Vec::new();
    if age > STUCK {
        all.push(format!("the probe has shown nothing for {} s", age.as_secs()));
    } else if status.now_ms == 0 {
        all.push("the probe has not started to capture".to_owned());
    }
    if status.outlet.files.unfinished > 0 {
        let n = status.outlet.files.unfinished;
        all.push(format!("{n} files could not be finished and are tried again: see the log"));
    }
    all
}

/// All metrics of a status.
pub fn render(status: &Status, host: &Host, format: Format) -> String {
    let mut text = Text::new(format);
    process(&mut text, status, host);
    packets(&mut text, status);
    conversations(&mut text, &status.report.cache);
    export(&mut text, &status.outlet.export);
    destinations(&mut text, &status.outlet);
    files(&mut text, &status.outlet.files);
    let LookupCounts { asked, skipped, failed } = status.lookups;
    counter(&mut text, "interface_questions", "questions to the kernel for interfaces", asked);
    let causes = [("too_many", skipped), ("no_answer", failed)];
    by(&mut text, "interfaces_unknown", "interfaces that stay unknown", "cause", causes);
    text.finish()
}

/// All names begin alike.
const PREFIX: &str = "flowprobe_";

fn gauge(text: &mut Text, name: &str, help: &str, value: f64) {
    text.single(&format!("{PREFIX}{name}"), Kind::Gauge, help, value);
}

fn counter(text: &mut Text, name: &str, help: &str, value: u64) {
    text.single(&format!("{PREFIX}{name}"), Kind::Counter, help, value as f64);
}

/// A counter with a label.
fn by<'a>(
    text: &mut Text,
    name: &str,
    help: &str,
    label: &'a str,
    values: impl IntoIterator<Item = (&'a str, u64)>,
) {
    let samples = values.into_iter().map(|(value, n)| ([(label, value)], n as f64));
    text.family((&format!("{PREFIX}{name}"), Kind::Counter, help), samples);
}

fn process(text: &mut Text, status: &Status, host: &Host) {
    let info = [([("version", env!("CARGO_PKG_VERSION"))], 1.0)];
    text.family(("flowprobe_build_info", Kind::Gauge, "which version runs"), info);
    let is_healthy = complaints(status, host.age).is_empty();
    let cache = &status.report.cache;
    for (name, help, value) in [
        (
            "start_time_seconds",
            "start of the probe, Unix time",
            status.report.since_ms as f64 / 1000.0,
        ),
        ("healthy", "whether /healthz has nothing to complain of", is_healthy.into()),
        ("status_age_seconds", "age of what is told here", host.age.as_secs_f64()),
        ("memory_peak_bytes", "largest resident set so far", host.used.peak_memory as f64),
        ("cache_bytes", "memory of the flow cache", cache.memory as f64),
        ("active_flows", "conversations in the flow cache", cache.active as f64),
        ("most_active_flows", "the most there were at once", cache.most_active as f64),
    ] {
        gauge(text, name, help, value);
    }
    let cpu = (host.used.user + host.used.system).as_secs_f64();
    text.single("flowprobe_cpu_seconds", Kind::Counter, "CPU time used, all threads", cpu);
}

fn packets(text: &mut Text, status: &Status) {
    let cache = &status.report.cache;
    let Captured { received, dropped, dropped_by_interface } =
        status.report.captured.unwrap_or_default();
    counter(text, "captured_packets", "packets that passed the filter", received);
    let lost = [("ring_full", dropped), ("interface", dropped_by_interface)];
    by(text, "dropped_packets", "packets lost before the probe saw them", "cause", lost);
    let fates = [
        ("counted", cache.counted()),
        ("not_sampled", cache.non_sampled),
        ("duplicate", cache.duplicates),
        ("not_ip", cache.non_ip),
        ("too_short", cache.too_short),
        ("paused", status.paused),
    ];
    by(text, "packets", "packets that the probe saw, by what became of them", "fate", fates);
    counter(text, "octets", "IP octets of the packets that were counted", cache.octets);
    counter(text, "fragments", "fragments of IP packets", cache.fragments);
    let help = "fragments counted without ports";
    counter(text, "fragments_without_ports", help, cache.fragments_without_ports);
    let stops = Cause::ALL.iter().map(|cause| cause.name()).zip(cache.stops);
    by(text, "undecoded_packets", "packets not decoded to their end", "cause", stops);
    let help = "times that the clock of packets was set back";
    counter(text, "clock_steps", help, cache.clock_steps);
}

fn conversations(text: &mut Text, cache: &CacheStats) {
    counter(text, "flows_begun", "conversations that began", cache.begun);
    let reasons = Reason::ALL.map(|reason| (reason.name(), cache.by_reason(reason)));
    by(text, "flows_ended", "conversations that ended, and reports of others", "reason", reasons);
    counter(text, "flows_quiet", "conversations that ended with nothing to say", cache.quiet);
    counter(text, "flows_deleted", "conversations forgotten on command", cache.deleted);
}

fn export(text: &mut Text, counts: &ExportCounts) {
    // All fields by name: one that is added has to find its place here.
    let ExportCounts {
        rows,
        records,
        records_split,
        datagrams,
        octets,
        templates,
        options,
        refreshes,
        templates_evicted,
        rows_ipv6,
        rows_events,
        rows_undated,
        rows_too_large,
        rows_empty,
        rows_uncountable,
        reverse_left_out,
        fields_left_out,
        wide_interfaces,
        wide_as_numbers,
        wide_values,
    } = *counts;
    for (name, help, n) in [
        ("export_flows", "flows given to encoders", rows),
        ("export_records", "flow records encoded", records),
        ("export_records_split", "of those, further records of large counters", records_split),
        ("export_datagrams", "datagrams made", datagrams),
        ("export_bytes", "octets of these", octets),
        ("export_templates", "templates encoded", templates),
        ("export_options", "options records encoded", options),
        ("export_refreshes", "times that templates were sent again", refreshes),
        ("export_templates_evicted", "templates that made room for others", templates_evicted),
        ("export_fields_left_out", "fields that the version has no place for", fields_left_out),
        ("export_reverse_left_out", "other directions that it has no place for", reverse_left_out),
    ] {
        counter(text, name, help, n);
    }
    let left_out = [
        ("ipv6", rows_ipv6),
        ("event", rows_events),
        ("time", rows_undated),
        ("too_large", rows_too_large),
        ("empty", rows_empty),
        ("counter", rows_uncountable),
    ];
    by(text, "export_flows_left_out", "flows that became no record", "cause", left_out);
    let wide =
        [("interface", wide_interfaces), ("as_number", wide_as_numbers), ("other", wide_values)];
    by(text, "export_wide_values", "values wider than their element", "element", wide);
}

fn destinations(text: &mut Text, outlet: &OutletCounts) {
    let first = outlet.destinations.first().map(|d| d.1).unwrap_or_default();
    for (at, (name, help, _)) in first.iter().enumerate() {
        let of = |counts: &export::DestinationCounts| counts.iter().nth(at).map_or(0, |c| c.2);
        let all = outlet.destinations.iter().map(|(to, counts)| (to.as_str(), of(counts)));
        by(text, &format!("destination_{name}"), help, "destination", all);
    }
    let waiting = outlet.destinations.iter();
    let waiting = waiting.map(|(to, c)| ([("destination", to.as_str())], c.waiting() as f64));
    let help = "datagrams that are not sent yet";
    text.family(("flowprobe_destination_waiting", Kind::Gauge, help), waiting);
}

fn files(text: &mut Text, counts: &FilesCounts) {
    let FilesCounts { flows, stored, lost, files, unfinished, recovered } = *counts;
    for (name, help, n) in [
        ("file_flows", "flows given to files", flows),
        ("file_flows_stored", "flows in finished files", stored),
        ("file_flows_lost", "flows that could not be written", lost),
        ("file_flows_recovered", "flows of a crash that are in files now", recovered),
        ("files", "files that have their name", files),
    ] {
        counter(text, name, help, n);
    }
    let help = "files that could not be finished and are tried again";
    gauge(text, "files_unfinished", help, unfinished as f64);
}

/// The status as JSON: statistics, and what is not in them.
fn to_json(status: &Status, age: Duration) -> Value {
    let destinations = status.outlet.destinations.iter().map(|(to, counts)| {
        let counts = counts.iter().map(|(name, _, n)| (name.to_owned(), n.into()));
        json!({"to": to, "counts": counts.collect::<serde_json::Map<_, _>>()})
    });
    let FilesCounts { flows, stored, lost, files, unfinished, recovered } = status.outlet.files;
    json!({
        "now_ms": status.now_ms,
        "complaints": complaints(status, age),
        "statistics": status.report.to_value(),
        "paused_packets": status.paused,
        "destinations": destinations.collect::<Vec<_>>(),
        "files": {
            "flows": flows, "stored": stored, "lost": lost, "files": files,
            "unfinished": unfinished, "recovered": recovered,
        },
        "interface_questions": {
            "asked": status.lookups.asked, "skipped": status.lookups.skipped,
            "failed": status.lookups.failed,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use web::testing::parse;

    /// A status with something of everything.
    fn full() -> Status {
        let mut status = Status { now_ms: 2000, paused: 6, ..Status::default() };
        status.report.since_ms = 1500;
        status.report.captured =
            Some(Captured { received: 101, dropped: 102, dropped_by_interface: 103 });
        let cache = &mut status.report.cache;
        (cache.processed, cache.non_ip, cache.too_short, cache.duplicates) = (100, 1, 2, 3);
        (cache.active, cache.stops[1], cache.reasons[Reason::TcpFin as usize]) = (7, 8, 9);
        status.outlet.export.rows_ipv6 = 11;
        status.outlet.export.records = 12;
        let counts =
            export::DestinationCounts { offered: 5, sent: 3, queue_full: 1, ..Default::default() };
        status.outlet.destinations =
            vec![("a:1".to_owned(), counts), ("b:2".to_owned(), Default::default())];
        status.outlet.files.stored = 13;
        status.lookups.skipped = 14;
        status
    }

    #[test]
    fn every_count_is_there() {
        let host = Host { age: Duration::from_millis(500), used: Used::default() };
        let families = parse(&render(&full(), &host, Format::Prometheus));
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels: Vec<_> =
                labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            families[&format!("flowprobe_{name}")].samples[&labels]
        };
        for (name, labels, want) in [
            ("start_time_seconds", &[][..], 1.5),
            ("healthy", &[], 1.0),
            ("status_age_seconds", &[], 0.5),
            ("active_flows", &[], 7.0),
            ("captured_packets_total", &[], 101.0),
            ("dropped_packets_total", &[("cause", "ring_full")], 102.0),
            ("dropped_packets_total", &[("cause", "interface")], 103.0),
            ("packets_total", &[("fate", "counted")], 94.0),
            ("packets_total", &[("fate", "paused")], 6.0),
            ("flows_ended_total", &[("reason", "tcp.fin")], 9.0),
            ("undecoded_packets_total", &[("cause", Cause::ALL[1].name())], 8.0),
            ("export_records_total", &[], 12.0),
            ("export_flows_left_out_total", &[("cause", "ipv6")], 11.0),
            ("destination_offered_total", &[("destination", "a:1")], 5.0),
            ("destination_queue_full_total", &[("destination", "a:1")], 1.0),
            ("destination_waiting", &[("destination", "a:1")], 1.0),
            ("destination_waiting", &[("destination", "b:2")], 0.0),
            ("file_flows_stored_total", &[], 13.0),
            ("interfaces_unknown_total", &[("cause", "too_many")], 14.0),
        ] {
            assert_eq!(value(name, labels), want, "{name} {labels:?}");
        }
        // The same families whatever there is, so that a dashboard finds them.
        let empty = parse(&render(&Status::default(), &host, Format::Prometheus));
        let names = |of: &std::collections::BTreeMap<_, _>| {
            of.keys().cloned().collect::<BTreeSet<String>>()
        };
        assert_eq!(names(&empty), names(&families));
        parse(&render(&full(), &host, Format::OpenMetrics));
    }

    #[test]
    fn pages_are_answered() {
        let board = Board::new();
        let ask = |path: &str| {
            let request = Request { path, query: "", is_head: false, format: Format::Prometheus };
            let answer = answer(&board, &request);
            (answer.status, String::from_utf8(answer.body).unwrap())
        };
        let (status, said) = ask("/healthz");
        assert_eq!(
            (status, said.as_str()),
            ("503 Service Unavailable", "the probe has not started to capture\n")
        );
        board.publish(full());
        assert_eq!(ask("/healthz"), ("200 OK", "ok\n".to_owned()));
        assert!(parse(&ask("/metrics").1).len() > 40);
        let json: Value = serde_json::from_str(&ask("/status").1).unwrap();
        for (pointer, want) in [
            ("/now_ms", json!(2000)),
            ("/complaints", json!([])),
            ("/statistics/active_flows", json!(7)),
            ("/destinations/0/to", json!("a:1")),
            ("/destinations/0/counts/queue_full", json!(1)),
            ("/files/stored", json!(13)),
            ("/interface_questions/skipped", json!(14)),
        ] {
            assert_eq!(json.pointer(pointer), Some(&want), "{pointer}");
        }
        assert_eq!(ask("/"), ("200 OK", PAGES.to_owned()));
        assert_eq!(ask("/nothing").0, "404 Not Found");
    }

    #[test]
    fn a_loop_that_is_stuck_and_files_that_fail_are_complained_of() {
        let mut status = full();
        assert!(complaints(&status, Duration::from_secs(10)).is_empty());
        assert_eq!(complaints(&status, Duration::from_secs(11)).len(), 1);
        status.outlet.files.unfinished = 2;
        let told = complaints(&status, Duration::ZERO);
        assert!(told.len() == 1 && told[0].starts_with("2 files"), "{told:?}");
    }
}
