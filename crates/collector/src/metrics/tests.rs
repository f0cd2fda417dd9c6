use super::*;
use crate::status::{
    ExporterStatus, QueueStatus, RepeaterStatus, SocketStatus, StreamCounts, StreamStatus,
};
use record::{Addr, Totals};
use std::collections::BTreeMap;
use web::testing::Family;
pub(crate) use web::testing::parse;

pub(crate) fn exporter(addr: u32, seen_ms: u64) -> ExporterStatus {
    let exporter = Exporter { sysid: addr, version: 10, addr: Addr::V4(addr), id: 7 };
    let counts = ExporterCounts {
        datagrams: 100 + u64::from(addr),
        missing_records: 3,
        sets_parked: 5,
        sets_unparked: 1,
        ..ExporterCounts::default()
    };
    ExporterStatus { exporter, counts, templates: 4, samplers: 2, seen_ms }
}

/// A status with something of everything, and no number twice.
pub(crate) fn full() -> Status {
    let account = Account {
        received: 101,
        decoded: 102,
        bad: 103,
        empty: 104,
        unknown_sender: 105,
        refused: 106,
        panicked: 107,
        socket_drops: 108,
        truncated: 109,
        flows: 110,
        flows_lost: 111,
        not_allowed: 112,
        filtered: 113,
    };
    let mut whole = account;
    whole.add(&account);
    let source = SourceStatus {
        ident: "core \"a\\b\"\n".to_owned(),
        dir: "/flows".into(),
        account,
        decoder: Counters { bad_sets: 201, lost_records: 202, ..Counters::default() },
        totals: Totals { flows: [1, 2, 3, 4], ..Totals::default() },
        has_file: true,
        trouble: None,
        exporters: vec![exporter(1, 5000), exporter(2, 7000), exporter(3, 6000)],
    };
    let counts = StreamCounts {
        open: 301,
        accepted: 302,
        refused: 303,
        timed_out: 304,
        broken: 305,
        messages: 306,
        bytes: 307,
    };
    let local = "127.0.0.1:9995".parse().unwrap();
    let socket = SocketStatus { local, buffer_bytes: 401, received: 402, dropped: 403 };
    let target = "192.0.2.1/9995".to_owned();
    Status {
        started_ms: 1_500,
        now_ms: 2_500,
        slot_start_secs: 300,
        slot_secs: 300,
        account: whole,
        queue: QueueStatus { bytes: 501, limit_bytes: 502, waits: 503 },
        sources: vec![source],
        sockets: vec![socket, socket],
        streams: vec![StreamStatus { local, is_tls: true, counts }],
        repeaters: vec![RepeaterStatus { target, sent: 601, skipped: 602, failed: 603 }],
    }
}

fn host() -> Host {
    let space = Space { size: 1 << 40, free: 1 << 30, free_files: 5 };
    Host { is_healthy: true, disks: vec![("/flows".into(), space)], ..Host::default() }
}

fn rendered(status: &Status, limits: Limits) -> BTreeMap<String, Family> {
    let text = render(status, &host(), limits, Format::Prometheus);
    let families = parse(&text);
    let open = parse(&render(status, &host(), limits, Format::OpenMetrics));
    let plain = families.keys().map(|n| n.strip_suffix("_total").unwrap_or(n));
    let (mut plain, mut open): (Vec<_>, Vec<_>) = (plain.collect(), open.keys().collect());
    plain.sort_unstable();
    open.sort_unstable();
    assert!(plain.iter().eq(&open), "the same in both dialects");
    families
}

/// The value of the sample with these labels, whatever others it has.
fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = families.get(name).unwrap_or_else(|| panic!("no {name}"));
    let has = |set: &[(String, String)], (k, v): (&str, &str)| {
        set.iter().any(|(label, text)| label == k && text == v)
    };
    let mut found = family.samples.iter().filter(|(set, _)| labels.iter().all(|l| has(set, *l)));
    let first = found.next().unwrap_or_else(|| panic!("no {name} {labels:?}: {family:?}"));
    assert!(found.next().is_none(), "several {name} {labels:?}");
    *first.1
}

const CORE: (&str, &str) = ("source", "core \"a\\b\"\n");

#[test]
fn every_count_is_there() {
    let status = full();
    let families = rendered(&status, Limits::default());
    let dropped = "flowcapd_datagrams_dropped_total";
    for (name, cause, want) in [
        ("flowcapd_datagrams_received_total", None, 101.0),
        ("flowcapd_datagrams_decoded_total", None, 102.0),
        (dropped, Some("bad"), 103.0),
        (dropped, Some("empty"), 104.0),
        (dropped, Some("unknown_sender"), 105.0),
        (dropped, Some("not_allowed"), 112.0),
        (dropped, Some("refused"), 106.0),
        (dropped, Some("panicked"), 107.0),
        ("flowcapd_socket_drops_total", None, 108.0),
        ("flowcapd_datagrams_truncated_total", None, 109.0),
        ("flowcapd_flows_received_total", None, 110.0),
        ("flowcapd_flows_filtered_total", None, 113.0),
        ("flowcapd_flows_lost_total", None, 111.0),
    ] {
        for source in [CORE, ("source", "")] {
            let labels: Vec<_> = [source].into_iter().chain(cause.map(|c| ("cause", c))).collect();
            assert_eq!(value(&families, name, &labels), want, "{name} {labels:?}");
        }
    }
    for (name, about, want) in status.sources[0].decoder.iter() {
        let suffix = if RETRACTABLE.contains(&name) { "" } else { "_total" };
        let name = format!("flowcapd_decoder_{name}{suffix}");
        assert_eq!(value(&families, &name, &[CORE]), want as f64, "{name}");
        assert_eq!(families[&name].help, about);
    }
    for (name, about, want) in status.sources[0].exporters[1].counts.iter() {
        let name = format!("flowcapd_exporter_{name}_total");
        let labels = [CORE, ("exporter", "0.0.0.2"), ("protocol", "ipfix"), ("domain", "7")];
        assert_eq!(value(&families, &name, &labels), want as f64, "{name}");
        assert_eq!(families[&name].help, about);
    }
}

#[test]
fn everything_else_is_there_too() {
    let families = rendered(&full(), Limits::default());
    let second = ("socket", "127.0.0.1:9995 #2");
    let local = ("socket", "127.0.0.1:9995");
    let target = ("target", "192.0.2.1/9995");
    for (name, labels, want) in [
        ("flowcapd_build_info", &[("version", env!("CARGO_PKG_VERSION"))][..], 1.0),
        ("flowcapd_start_time_seconds", &[], 1.5),
        ("flowcapd_healthy", &[], 1.0),
        ("flowcapd_slot_start_seconds", &[], 300.0),
        ("flowcapd_queue_bytes", &[], 501.0),
        ("flowcapd_queue_limit_bytes", &[], 502.0),
        ("flowcapd_queue_waits_total", &[], 503.0),
        ("flowcapd_stored_flows_total", &[CORE, ("protocol", "icmp")], 3.0),
        ("flowcapd_file_open", &[CORE], 1.0),
        ("flowcapd_file_trouble", &[CORE], 0.0),
        ("flowcapd_exporters", &[CORE], 3.0),
        ("flowcapd_disk_free_bytes", &[("dir", "/flows")], 1_073_741_824.0),
        ("flowcapd_exporter_last_seen_seconds", &[("exporter", "0.0.0.2")], 7.0),
        ("flowcapd_exporter_templates", &[("exporter", "0.0.0.2")], 4.0),
        ("flowcapd_exporter_sets_waiting", &[("exporter", "0.0.0.2")], 4.0),
        ("flowcapd_socket_buffer_bytes", &[local], 401.0),
        ("flowcapd_socket_received_total", &[second], 402.0),
        ("flowcapd_socket_dropped_total", &[second], 403.0),
        ("flowcapd_stream_connections", &[local, ("protocol", "tls")], 301.0),
        ("flowcapd_stream_accepted_total", &[local], 302.0),
        ("flowcapd_stream_refused_total", &[local], 303.0),
        ("flowcapd_stream_timed_out_total", &[local], 304.0),
        ("flowcapd_stream_broken_total", &[local], 305.0),
        ("flowcapd_stream_messages_total", &[local], 306.0),
        ("flowcapd_stream_bytes_total", &[local], 307.0),
        ("flowcapd_repeater_sent_total", &[target], 601.0),
        ("flowcapd_repeater_skipped_total", &[target], 602.0),
        ("flowcapd_repeater_failed_total", &[target], 603.0),
    ] {
        assert_eq!(value(&families, name, labels), want, "{name}");
    }
    for name in families.keys() {
        assert!(name.starts_with("flowcapd_"), "{name}");
    }
    rendered(&Status::default(), Limits::default());
}

#[test]
fn lines_are_bounded_and_sums_stay_right() {
    let mut status = full();
    let source = status.sources[0].clone();
    for n in 0..5 {
        let ident = format!("edge-{n}");
        status.sources.push(SourceStatus { ident, ..source.clone() });
    }
    for (sources, exporters) in [(200, 500), (2, 500), (2, 4), (0, 0), (6, 18), (6, 17)] {
        let families = rendered(&status, Limits { sources, exporters });
        let sum = |name: &str| families[name].samples.values().sum::<f64>();
        let lines = |name: &str| families[name].samples.len();
        let case = format!("{sources} sources, {exporters} exporters");
        assert_eq!(sum("flowcapd_decoder_bad_sets_total"), 6.0 * 201.0, "{case}");
        assert_eq!(sum("flowcapd_exporter_datagrams_total"), 6.0 * 306.0, "{case}");
        assert_eq!(sum("flowcapd_exporter_templates"), 72.0, "{case}");
        assert_eq!(lines("flowcapd_decoder_bad_sets_total"), 6.min(sources + 1), "{case}");
        assert_eq!(
            lines("flowcapd_exporter_datagrams_total"),
            18.min((3 * sources.min(6)).min(exporters) + 1),
            "{case}"
        );
        if exporters == 4 {
            let other = [("exporter", "other"), ("source", "other")];
            assert_eq!(value(&families, "flowcapd_exporter_last_seen_seconds", &other), 7.0);
        }
    }
}

#[test]
fn sources_of_one_name_are_told_apart() {
    let mut status = full();
    let source = status.sources[0].clone();
    let named = |ident: &str, dir: &str| SourceStatus {
        ident: ident.to_owned(),
        dir: dir.into(),
        exporters: Vec::new(),
        ..source.clone()
    };
    status.sources = ["a", "a", "a", "other", "", "b", "b", "b"]
        .into_iter()
        .zip(["/1", "/2", "/2", "/3", "/4", "/5", "/6", "/7"])
        .map(|(ident, dir)| named(ident, dir))
        .collect();
    let families = rendered(&status, Limits { sources: 6, exporters: 1 });
    let mut labels: Vec<_> =
        families["flowcapd_decoder_flows_total"].samples.keys().map(|l| l[0].1.as_str()).collect();
    labels.sort_unstable();
    assert_eq!(labels, [" /4", "a", "a /2", "a /2 2", "b", "other", "other /3"]);
}

#[test]
fn protocols_have_names() {
    for (version, name) in [
        (1, "netflow_v1"),
        (5, "netflow_v5"),
        (9, "netflow_v9"),
        (10, "ipfix"),
        (250, "nfdump"),
        (9999, "sflow"),
        (77, "77"),
    ] {
        assert_eq!(protocol(version), name);
    }
}

/// The text of a counter says whether late datagrams lower it.
#[test]
fn counters_that_go_down_are_gauges() {
    for (name, help, _) in Counters::default().iter() {
        let goes_down = help.contains(", less ");
        assert_eq!(RETRACTABLE.contains(&name), goes_down, "{name}: {help}");
    }
}
