//! A status as metrics: the text format of Prometheus, version 0.0.4, or OpenMetrics 1.0.
//!
//! Names are stable; `docs/collector.md` lists them. All counts are since the start of the
//! collector, and a name that ends in `_total` never goes down while it lives. Names with
//! `decoder` and `exporter` are made from [`wire::Counters`] and [`wire::ExporterCounts`], so a
//! count that is added there is here, too.
//!
//! How many lines there are is bounded: beyond [`Limits`], sources and exporters are summed under
//! the label `other`. Those that were there first keep a line of their own, because a line that
//! comes and goes is of no use to whoever draws it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use record::Exporter;
use sys::clock::Used;
use sys::disk::Space;
use wire::{Counters, ExporterCounts};

use crate::Account;
use crate::status::{SourceStatus, Status};

pub use web::Format;
use web::{Kind, Text};

/// How many have lines of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sources. 200 unless told.
    pub sources: usize,
    /// Exporters of all sources together. 500 unless told.
    pub exporters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sources: 200, exporters: 500 }
    }
}

/// What is not in the status, because it is looked up when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// How old the status is.
    pub age: Duration,
    /// Whether nothing is wrong.
    pub is_healthy: bool,
    /// What the process has used.
    pub used: Used,
    /// Room for the files of sources.
    pub disks: Vec<(PathBuf, Space)>,
}

/// All metrics of a status.
pub fn render(status: &Status, host: &Host, limits: Limits, format: Format) -> String {
    let mut text = Text::new(format);
    process(&mut text, status, host);
    let sources = Sources::new(status, limits.sources);
    accounts(&mut text, status, &sources);
    decoders(&mut text, &sources);
    files(&mut text, &sources, host);
    exporters(&mut text, status, &sources, limits.exporters);
    sockets(&mut text, status);
    streams(&mut text, status);
    repeaters(&mut text, status);
    text.finish()
}

fn process(text: &mut Text, status: &Status, host: &Host) {
    let info = [([("version", env!("CARGO_PKG_VERSION"))], 1.0)];
    text.family(("flowcapd_build_info", Kind::Gauge, "which version runs"), info);
    let secs = |ms: u64| ms as f64 / 1000.0;
    let Status { started_ms, slot_start_secs, slot_secs, queue, .. } = status;
    for (name, help, value) in [
        ("flowcapd_start_time_seconds", "start of the collector, Unix time", secs(*started_ms)),
        ("flowcapd_healthy", "whether /healthz has nothing to complain of", host.is_healthy.into()),
        ("flowcapd_status_age_seconds", "age of what is told here", host.age.as_secs_f64()),
        ("flowcapd_slot_start_seconds", "start of the slot, Unix time", *slot_start_secs as f64),
        ("flowcapd_slot_length_seconds", "length of a slot", f64::from(*slot_secs)),
        ("flowcapd_queue_bytes", "octets that wait for the decoder", queue.bytes as f64),
        ("flowcapd_queue_limit_bytes", "octets that may wait", queue.limit_bytes as f64),
        ("flowcapd_memory_peak_bytes", "largest resident set so far", host.used.peak_memory as f64),
        ("flowcapd_sources", "sources", status.sources.len() as f64),
    ] {
        text.single(name, Kind::Gauge, help, value);
    }
    let cpu = host.used.user + host.used.system;
    for (name, help, value) in [
        ("flowcapd_cpu_seconds", "CPU time used, all threads", cpu.as_secs_f64()),
        ("flowcapd_queue_waits", "times a receiver waited for the decoder", queue.waits as f64),
    ] {
        text.single(name, Kind::Counter, help, value);
    }
}

/// A source, or all that have no line of their own.
struct SourceLine<'a> {
    label: String,
    account: Account,
    decoder: Vec<u64>,
    status: Option<&'a SourceStatus>,
}

/// Sources with their labels.
struct Sources<'a>(Vec<SourceLine<'a>>);

/// Label of what is summed.
const OTHER: &str = "other";

impl<'a> Sources<'a> {
    fn new(status: &'a Status, limit: usize) -> Self {
        let mut taken = HashSet::from([OTHER.to_owned(), String::new()]);
        let (shown, rest) = status.sources.split_at(limit.min(status.sources.len()));
        let line = |source: &'a SourceStatus| SourceLine {
            label: label(source, &mut taken),
            account: source.account,
            decoder: source.decoder.iter().map(|c| c.2).collect(),
            status: Some(source),
        };
        let mut lines: Vec<_> = shown.iter().map(line).collect();
        if !rest.is_empty() {
            let mut other = SourceLine {
                label: OTHER.to_owned(),
                account: Account::default(),
                decoder: vec![0; Counters::default().iter().count()],
                status: None,
            };
            for source in rest {
                other.account.add(&source.account);
                add(&mut other.decoder, source.decoder.iter().map(|c| c.2));
            }
            lines.push(other);
        }
        Self(lines)
    }

    fn samples(
        &self,
        value: impl Fn(&SourceLine<'a>) -> f64,
    ) -> impl Iterator<Item = ([(&str, &str); 1], f64)> {
        self.0.iter().map(move |line| ([("source", line.label.as_str())], value(line)))
    }

    /// Of those that have lines of their own.
    fn own(&self) -> impl Iterator<Item = ([(&str, &str); 1], &'a SourceStatus)> {
        let with = |line: &'_ SourceLine<'a>| line.status;
        self.0.iter().filter_map(move |l| Some(([("source", l.label.as_str())], with(l)?)))
    }
}

/// The name of a source; with its directory if another one has the same.
fn label(source: &SourceStatus, taken: &mut HashSet<String>) -> String {
    let mut label = source.ident.clone();
    if taken.contains(&label) {
        let _ = write!(label, " {}", source.dir.display());
    }
    let plain = label.len();
    let mut n = 2;
    while !taken.insert(label.clone()) {
        label.truncate(plain);
        let _ = write!(label, " {n}");
        n += 1;
    }
    label
}

fn add(sums: &mut [u64], values: impl Iterator<Item = u64>) {
    sums.iter_mut().zip(values).for_each(|(sum, n)| *sum = sum.saturating_add(n));
}

/// One count of an account: name of the metric, cause, meaning.
type Entry = (&'static str, Option<&'static str>, &'static str, u64);

/// All counts of an account; those of a metric stand together.
fn entries(account: &Account) -> [Entry; 13] {
    const DROPPED: &str = "flowcapd_datagrams_dropped";
    const DROPPED_HELP: &str =
        "datagrams received and not decoded, by cause; their flows are not stored";
    // All fields by name: one that is added has to find its place here.
    let Account {
        received,
        decoded,
        bad,
        empty,
        unknown_sender,
        not_allowed,
        refused,
        panicked,
        socket_drops,
        truncated,
        flows,
        filtered,
        flows_lost,
    } = *account;
    let dropped = |cause, n| (DROPPED, Some(cause), DROPPED_HELP, n);
    [
        ("flowcapd_datagrams_received", None, "datagrams and messages received", received),
        ("flowcapd_datagrams_decoded", None, "of those, read to the end or to a fault", decoded),
        dropped("bad", bad),
        dropped("empty", empty),
        dropped("unknown_sender", unknown_sender),
        dropped("not_allowed", not_allowed),
        dropped("refused", refused),
        dropped("panicked", panicked),
        ("flowcapd_socket_drops", None, "datagrams the kernel dropped: no room", socket_drops),
        ("flowcapd_datagrams_truncated", None, "datagrams cut short for lack of room", truncated),
        ("flowcapd_flows_received", None, "flows decoded, each as many as it stands for", flows),
        ("flowcapd_flows_filtered", None, "of those, flows that the filter left out", filtered),
        ("flowcapd_flows_lost", None, "of all, flows that could not be written", flows_lost),
    ]
}

/// Of each source, and of what belongs to none with an empty label.
fn accounts(text: &mut Text, status: &Status, sources: &Sources<'_>) {
    let mut known = Account::default();
    sources.0.iter().for_each(|line| known.add(&line.account));
    let outside = entries(&status.account.since(&known));
    let lines: Vec<_> = sources.0.iter().map(|l| (l.label.as_str(), entries(&l.account))).collect();
    let mut last = "";
    for (at, (name, cause, help, outside)) in outside.into_iter().enumerate() {
        if name != last {
            text.begin(name, Kind::Counter, help);
            last = name;
        }
        let of = |entries: &[Entry; 13]| entries.get(at).map_or(0, |e| e.3);
        for (source, n) in lines.iter().map(|l| (l.0, of(&l.1))).chain([("", outside)]) {
            let labels = [("source", source), ("cause", cause.unwrap_or_default())];
            let used = if cause.is_some() { 2 } else { 1 };
            text.sample(name, Kind::Counter, labels.get(..used).unwrap_or_default(), n as f64);
        }
    }
}

/// Counters of a decoder that go down when a datagram comes late.
const RETRACTABLE: [&str; 4] =
    ["sequence_gaps", "lost_datagrams", "lost_records", "sflow_lost_samples"];

fn decoders(text: &mut Text, sources: &Sources<'_>) {
    for (at, (name, help, _)) in Counters::default().iter().enumerate() {
        let kind = if RETRACTABLE.contains(&name) { Kind::Gauge } else { Kind::Counter };
        let name = format!("flowcapd_decoder_{name}");
        let of = |line: &SourceLine<'_>| line.decoder.get(at).copied().unwrap_or(0) as f64;
        text.family((&name, kind, help), sources.samples(of));
    }
}

fn files(text: &mut Text, sources: &Sources<'_>, host: &Host) {
    let protocols = ["tcp", "udp", "icmp", "other"];
    type Groups = fn(&SourceStatus) -> &[u64; 4];
    let stored: [(&str, &str, Groups); 3] = [
        ("flowcapd_stored_flows", "flows stored, by protocol of the flow", |s| &s.totals.flows),
        ("flowcapd_stored_packets", "packets of those flows", |s| &s.totals.packets),
        ("flowcapd_stored_bytes", "octets of those flows", |s| &s.totals.bytes),
    ];
    for (name, help, groups) in stored {
        text.begin(name, Kind::Counter, help);
        for ([source], status) in sources.own() {
            for (protocol, n) in protocols.into_iter().zip(groups(status)) {
                text.sample(name, Kind::Counter, &[source, ("protocol", protocol)], *n as f64);
            }
        }
    }
    let own = |value: fn(&SourceStatus) -> f64| sources.own().map(move |(l, s)| (l, value(s)));
    let help = "whether there is a file that flows go to";
    text.family(("flowcapd_file_open", Kind::Gauge, help), own(|s| s.has_file.into()));
    let help = "whether files of the source make trouble";
    text.family(("flowcapd_file_trouble", Kind::Gauge, help), own(|s| s.trouble.is_some().into()));
    let help = "exporters of the source";
    text.family(("flowcapd_exporters", Kind::Gauge, help), own(|s| s.exporters.len() as f64));
    type Part = fn(&Space) -> u64;
    let parts: [(&str, &str, Part); 2] = [
        ("flowcapd_disk_size_bytes", "size of the file system", |s| s.size),
        ("flowcapd_disk_free_bytes", "room that is left on it", |s| s.free),
    ];
    let dirs: Vec<_> = host.disks.iter().map(|(d, s)| (d.display().to_string(), s)).collect();
    for (name, help, part) in parts {
        let samples = dirs.iter().map(|(d, s)| ([("dir", d.as_str())], part(s) as f64));
        text.family((name, Kind::Gauge, help), samples);
    }
}

/// An exporter, or all that have no line of their own.
struct ExporterLine<'a> {
    source: &'a str,
    exporter: String,
    protocol: String,
    domain: String,
    counts: Vec<u64>,
    gauges: [f64; 4],
}

const EXPORTER_GAUGES: [(&str, &str); 4] = [
    ("flowcapd_exporter_last_seen_seconds", "when the exporter was last heard, Unix time"),
    ("flowcapd_exporter_templates", "templates of the exporter"),
    ("flowcapd_exporter_samplers", "samplers of the exporter"),
    ("flowcapd_exporter_sets_waiting", "data sets that wait for their template"),
];

fn exporters(text: &mut Text, status: &Status, sources: &Sources<'_>, limit: usize) {
    let lines = exporter_lines(status, sources, limit);
    for (at, (name, help, _)) in ExporterCounts::default().iter().enumerate() {
        let name = format!("flowcapd_exporter_{name}");
        let of = |l: &ExporterLine<'_>| l.counts.get(at).copied().unwrap_or(0) as f64;
        text.family((&name, Kind::Counter, help), lines.iter().map(|l| (l.labels(), of(l))));
    }
    for (at, (name, help)) in EXPORTER_GAUGES.into_iter().enumerate() {
        let of = |l: &ExporterLine<'_>| l.gauges.get(at).copied().unwrap_or(0.0);
        text.family((name, Kind::Gauge, help), lines.iter().map(|l| (l.labels(), of(l))));
    }
}

impl ExporterLine<'_> {
    fn labels(&self) -> [(&str, &str); 4] {
        let Self { source, exporter, protocol, domain, .. } = self;
        [("source", source), ("exporter", exporter), ("protocol", protocol), ("domain", domain)]
    }
}

fn exporter_lines<'a>(
    status: &Status,
    sources: &'a Sources<'_>,
    limit: usize,
) -> Vec<ExporterLine<'a>> {
    let mut lines: Vec<ExporterLine<'a>> = Vec::new();
    let mut other = ExporterLine {
        source: OTHER,
        exporter: OTHER.to_owned(),
        protocol: String::new(),
        domain: String::new(),
        counts: vec![0; ExporterCounts::default().iter().count()],
        gauges: [0.0; 4],
    };
    let mut is_complete = true;
    for (at, source) in status.sources.iter().enumerate() {
        let label = sources.0.get(at).filter(|l| l.status.is_some()).map(|l| l.label.as_str());
        for exporter in &source.exporters {
            let counts = exporter.counts.iter().map(|c| c.2);
            let seen = exporter.seen_ms as f64 / 1000.0;
            let waiting = exporter.counts.sets_waiting() as f64;
            let sums = [exporter.templates as f64, exporter.samplers as f64, waiting];
            if let Some(source) = label
                && lines.len() < limit
            {
                let Exporter { addr, version, id, .. } = exporter.exporter;
                lines.push(ExporterLine {
                    source,
                    exporter: addr.to_string(),
                    protocol: protocol(version),
                    domain: id.to_string(),
                    counts: counts.collect(),
                    gauges: [seen, sums[0], sums[1], sums[2]],
                });
                continue;
            }
            is_complete = false;
            add(&mut other.counts, counts);
            let [latest, rest @ ..] = &mut other.gauges;
            *latest = latest.max(seen);
            rest.iter_mut().zip(sums).for_each(|(sum, n)| *sum += n);
        }
    }
    lines.extend((!is_complete).then_some(other));
    lines
}

/// A protocol by the version that exporters have ([`Exporter::version`]).
pub(crate) fn protocol(version: u32) -> String {
    match version {
        1 | 5 | 7 | 9 => format!("netflow_v{version}"),
        10 => "ipfix".to_owned(),
        250 => "nfdump".to_owned(),
        9999 => "sflow".to_owned(),
        n => n.to_string(),
    }
}

fn sockets(text: &mut Text, status: &Status) {
    let locals: Vec<_> = numbered(status.sockets.iter().map(|s| s.local.to_string()));
    let samples = |value: fn(&crate::status::SocketStatus) -> u64| {
        let values = status.sockets.iter().map(move |s| value(s) as f64);
        locals.iter().zip(values).map(|(l, n)| ([("socket", l.as_str())], n))
    };
    let (name, help) = ("flowcapd_socket_buffer_bytes", "octets its receive buffer takes");
    text.family((name, Kind::Gauge, help), samples(|s| s.buffer_bytes));
    let (name, help) = ("flowcapd_socket_received", "datagrams the socket brought");
    text.family((name, Kind::Counter, help), samples(|s| s.received));
    let (name, help) = ("flowcapd_socket_dropped", "datagrams its buffer had no room for");
    text.family((name, Kind::Counter, help), samples(|s| s.dropped));
}

fn streams(text: &mut Text, status: &Status) {
    let locals: Vec<_> = numbered(status.streams.iter().map(|s| s.local.to_string()));
    type Part = fn(&crate::status::StreamCounts) -> u64;
    let parts: [(&str, Kind, &str, Part); 7] = [
        ("flowcapd_stream_connections", Kind::Gauge, "connections that are open", |c| c.open),
        ("flowcapd_stream_accepted", Kind::Counter, "connections taken in", |c| c.accepted),
        ("flowcapd_stream_refused", Kind::Counter, "connections over a limit", |c| c.refused),
        ("flowcapd_stream_timed_out", Kind::Counter, "connections given up", |c| c.timed_out),
        ("flowcapd_stream_broken", Kind::Counter, "connections that broke", |c| c.broken),
        ("flowcapd_stream_messages", Kind::Counter, "messages they brought", |c| c.messages),
        ("flowcapd_stream_bytes", Kind::Counter, "octets of those messages", |c| c.bytes),
    ];
    for (name, kind, help, part) in parts {
        let samples = locals.iter().zip(&status.streams).map(|(local, stream)| {
            let protocol = if stream.is_tls { "tls" } else { "tcp" };
            ([("socket", local.as_str()), ("protocol", protocol)], part(&stream.counts) as f64)
        });
        text.family((name, kind, help), samples);
    }
}

fn repeaters(text: &mut Text, status: &Status) {
    let targets: Vec<_> = numbered(status.repeaters.iter().map(|r| r.target.clone()));
    type Part = fn(&crate::status::RepeaterStatus) -> u64;
    let parts: [(&str, &str, Part); 3] = [
        ("flowcapd_repeater_sent", "datagrams sent on", |r| r.sent),
        ("flowcapd_repeater_skipped", "datagrams left out by filter or sampling", |r| r.skipped),
        ("flowcapd_repeater_failed", "datagrams that could not be sent on", |r| r.failed),
    ];
    for (name, help, part) in parts {
        let values = status.repeaters.iter().map(|r| part(r) as f64);
        let samples = targets.iter().zip(values).map(|(t, n)| ([("target", t.as_str())], n));
        text.family((name, Kind::Counter, help), samples);
    }
}

/// Names that each occur once: sockets may share an address, and targets are the operator's.
fn numbered(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = HashSet::new();
    let unique = |name: String| {
        let (mut with, mut n) = (name.clone(), 2);
        while !taken.insert(with.clone()) {
            with = format!("{name} #{n}");
            n += 1;
        }
        with
    };
    names.map(unique).collect()
}

#[cfg(test)]
pub(crate) mod tests;
