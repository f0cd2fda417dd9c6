//! Status, health, templates and unknown elements as JSON and as tables to read.

use std::fmt::Write as _;
use std::time::Duration;

use record::Exporter;
use serde::ser::{Serialize, SerializeSeq as _, Serializer};
use serde_json::{Value, json};
use wire::{FieldSpec, UnknownElement, enterprise_name};

use crate::Account;
use crate::metrics::protocol;
use crate::status::{
    Details, ExporterStatus, SourceDetails, SourceStatus, Status, StreamStatus, TemplateStatus,
};

/// After so long without a new status the decoding thread is taken to be stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(10);

/// What an operator has to look at, `age` after the status was published, with the decoding thread
/// waiting for the disk since then (`at_disk`) or not; nothing if all is well.
/// That nothing arrives is no fault.
pub(crate) fn complaints(status: &Status, age: Duration, at_disk: bool) -> Vec<String> {
    /// The rest is counted.
    const SHOWN: usize = 20;
    let mut all = Vec::new();
    if age > STUCK {
        let secs = age.as_secs();
        all.push(match at_disk {
            true => format!("the disk has taken nothing for {secs} s, and decoding waits for it"),
            false => format!("the decoding thread has not shown itself for {secs} s"),
        });
    }
    for source in &status.sources {
        let SourceStatus { ident, dir, trouble, has_file, .. } = source;
        match (trouble, has_file) {
            (Some(trouble), true) => all.push(format!("source {ident}: {trouble}")),
            (Some(trouble), false) => all.push(format!("source {ident}: no file: {trouble}")),
            (None, true) => {}
            (None, false) => {
                all.push(format!("source {ident}: no file is open in {}", dir.display()));
            }
        }
    }
    if let Some(more @ 1..) = all.len().checked_sub(SHOWN) {
        all.truncate(SHOWN);
        all.push(format!("and {more} more"));
    }
    all
}

/// A status as JSON. Written as it is walked through: there may be many exporters.
pub(crate) fn status_json(status: &Status, age: Duration, at_disk: bool) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        version: &'static str,
        started_ms: u64,
        now_ms: u64,
        age_ms: u64,
        waits_for_disk: bool,
        complaints: Vec<String>,
        slot: Value,
        queue: Value,
        account: Value,
        sources: Each<'a, SourceStatus>,
        sockets: Vec<Value>,
        streams: Vec<Value>,
        repeaters: Vec<Value>,
    }
    let Status { started_ms, now_ms, slot_start_secs, slot_secs, queue, .. } = status;
    let sockets = status.sockets.iter().map(|s| {
        json!({"local": s.local.to_string(), "buffer_bytes": s.buffer_bytes,
               "received": s.received, "dropped": s.dropped})
    });
    let repeaters = status.repeaters.iter().map(
        |r| json!({"target": r.target, "sent": r.sent, "skipped": r.skipped, "failed": r.failed}),
    );
    let document = Document {
        version: env!("CARGO_PKG_VERSION"),
        started_ms: *started_ms,
        now_ms: *now_ms,
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        waits_for_disk: at_disk,
        complaints: complaints(status, age, at_disk),
        slot: json!({"start": slot_start_secs, "seconds": slot_secs}),
        queue: json!({"bytes": queue.bytes, "limit_bytes": queue.limit_bytes, "waits": queue.waits}),
        account: account_json(&status.account),
        sources: Each(&status.sources, source_json),
        sockets: sockets.collect(),
        streams: status.streams.iter().map(stream_json).collect(),
        repeaters: repeaters.collect(),
    };
    written(&document)
}

/// A list of which one entry at a time is a value.
struct Each<'a, T>(&'a [T], fn(&T) -> Value);

impl<T> Serialize for Each<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|entry| list.serialize_element(&self.1(entry)))?;
        list.end()
    }
}

fn written(document: &impl Serialize) -> Vec<u8> {
    // Neither maps with odd keys nor failing writers: there is nothing that could go wrong.
    let mut out = serde_json::to_vec(document).unwrap_or_default();
    out.push(b'\n');
    out
}

fn counts(all: impl Iterator<Item = (&'static str, &'static str, u64)>) -> Value {
    Value::Object(all.map(|(name, _, n)| (name.to_owned(), n.into())).collect())
}

fn account_json(account: &Account) -> Value {
    #[rustfmt::skip]
    let Account {
        received, decoded, bad, empty, unknown_sender, not_allowed, refused, panicked,
        socket_drops, truncated, flows, filtered, flows_lost,
    } = account;
    json!({
        "received": received, "decoded": decoded, "bad": bad, "empty": empty,
        "unknown_sender": unknown_sender, "not_allowed": not_allowed, "refused": refused,
        "panicked": panicked, "socket_drops": socket_drops, "truncated": truncated,
        "flows": flows, "filtered": filtered, "flows_lost": flows_lost,
    })
}

fn source_json(source: &SourceStatus) -> Value {
    let SourceStatus { ident, dir, account, decoder, totals, has_file, trouble, exporters } =
        source;
    let by_group = |[tcp, udp, icmp, other]: [u64; 4]| json!({"tcp": tcp, "udp": udp, "icmp": icmp, "other": other});
    json!({
        "ident": ident,
        "dir": dir.display().to_string(),
        "has_file": has_file,
        "trouble": trouble,
        "account": account_json(account),
        "decoder": counts(decoder.iter()),
        "stored": {"flows": by_group(totals.flows), "packets": by_group(totals.packets),
                   "bytes": by_group(totals.bytes)},
        "exporters": exporters.iter().map(exporter_status_json).collect::<Vec<_>>(),
    })
}

fn exporter_status_json(status: &ExporterStatus) -> Value {
    let mut value = exporter_json(&status.exporter);
    value["counts"] = counts(status.counts.iter());
    value["templates"] = status.templates.into();
    value["samplers"] = status.samplers.into();
    value["seen_ms"] = status.seen_ms.into();
    value
}

fn exporter_json(exporter: &Exporter) -> Value {
    let Exporter { sysid, version, addr, id } = exporter;
    json!({"number": sysid, "address": addr.to_string(), "protocol": protocol(*version), "domain": id})
}

fn stream_json(stream: &StreamStatus) -> Value {
    let c = stream.counts;
    json!({
        "local": stream.local.to_string(), "is_tls": stream.is_tls, "open": c.open,
        "accepted": c.accepted, "refused": c.refused, "timed_out": c.timed_out,
        "broken": c.broken, "messages": c.messages, "bytes": c.bytes,
    })
}

/// Templates of all sources as JSON.
pub(crate) fn templates_json(details: &Details) -> Vec<u8> {
    sources_json(details, |source| {
        let samplers = source.samplers.iter().map(|s| {
            json!({"exporter": s.exporter, "id": s.id, "algorithm": s.algorithm,
                   "packet_interval": s.packet_interval, "space_interval": s.space_interval})
        });
        json!({
            "ident": source.ident,
            "exporters": source.exporters.iter().map(exporter_json).collect::<Vec<_>>(),
            "samplers": samplers.collect::<Vec<_>>(),
            "templates": source.templates.iter().map(template_json).collect::<Vec<_>>(),
        })
    })
}

/// Elements that are not stored, of all sources, as JSON.
pub(crate) fn unknown_json(details: &Details) -> Vec<u8> {
    sources_json(details, |source| {
        let unknown = source.unknown.iter().map(|e| {
            json!({
                "enterprise": e.pen, "id": e.id, "name": e.name, "owner": e.enterprise,
                "has_odd_length": e.has_odd_length,
                "templates": e.templates,
                "first": {"exporter": exporter_json(&e.first.exporter),
                          "template": e.first.template, "length": length(e.first.len),
                          "at_ms": e.first.at_ms},
            })
        });
        json!({"ident": source.ident, "elements": unknown.collect::<Vec<_>>()})
    })
}

fn sources_json(details: &Details, source: fn(&SourceDetails) -> Value) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        at_ms: u64,
        sources: Each<'a, SourceDetails>,
    }
    written(&Document { at_ms: details.at_ms, sources: Each(&details.sources, source) })
}

fn template_json(template: &TemplateStatus) -> Value {
    let fields = template.fields.iter().map(|f| {
        json!({"enterprise": enterprise(&f.spec), "id": f.spec.id, "length": length(f.spec.len),
               "name": f.name, "is_stored": f.is_stored})
    });
    json!({
        "exporter": exporter_json(&template.exporter),
        "id": template.id,
        "is_options": template.is_options,
        "seen_ms": template.seen_ms,
        "records": template.records,
        "fields": fields.collect::<Vec<_>>(),
    })
}

/// Scope fields of v9 belong to no enterprise.
fn enterprise(spec: &FieldSpec) -> u32 {
    if spec.is_v9_scope() { 0 } else { spec.pen }
}

/// A length of a field: a number, or that each record says.
fn length(len: u16) -> Value {
    if len == VARIABLE { "variable".into() } else { len.into() }
}

/// Length of a field that says its own length in each record (RFC 7011, section 7).
const VARIABLE: u16 = 65_535;

/// Templates of all sources as a table, a line for each field.
///
/// ```text
/// source core
///   ipfix 192.0.2.1 domain 7, template 256: 3 fields, 12 records, last seen 4 s ago
///     sourceIPv4Address            8          4
///     -                            4711/12    4         not stored
/// ```
pub(crate) fn templates_text(details: &Details) -> String {
    let mut out = String::new();
    for source in &details.sources {
        let _ = writeln!(out, "source {}", source.ident);
        if source.templates.is_empty() {
            out.push_str("  no templates\n");
        }
        for template in &source.templates {
            template_text(template, details.at_ms, &mut out);
        }
    }
    out
}

fn template_text(template: &TemplateStatus, now_ms: u64, out: &mut String) {
    let TemplateStatus { exporter, id, is_options, fields, seen_ms, records } = template;
    let kind = if *is_options { "options template" } else { "template" };
    let _ = writeln!(
        out,
        "  {}, {kind} {id}: {} fields, {records} records, last seen {}",
        exporter_text(exporter),
        fields.len(),
        ago(now_ms, *seen_ms)
    );
    for field in fields {
        let number = number_text(enterprise(&field.spec), field.spec.id);
        let len = match field.spec.len {
            VARIABLE => "variable".to_owned(),
            n => n.to_string(),
        };
        let left = if field.is_stored { "" } else { "not stored" };
        let line = format!("    {:<34} {number:<12} {len:<9} {left}", field.name.unwrap_or("-"));
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// Elements that are not stored, of all sources, as a table.
pub(crate) fn unknown_text(details: &Details) -> String {
    let mut out = String::new();
    for source in &details.sources {
        let _ = writeln!(out, "source {}", source.ident);
        if source.unknown.is_empty() {
            out.push_str("  every element of every template is stored\n");
        }
        for element in &source.unknown {
            unknown_line(element, details.at_ms, &mut out);
        }
    }
    out
}

fn unknown_line(element: &UnknownElement, now_ms: u64, out: &mut String) {
    let UnknownElement { pen, id, name, enterprise, has_odd_length, templates, first } = element;
    let owner = enterprise.or_else(|| enterprise_name(*pen)).unwrap_or("-");
    let odd = if *has_odd_length { format!("{} octets, ", first.len) } else { String::new() };
    let _ = writeln!(
        out,
        "  {:<34} {:<12} {owner:<20} {odd}{templates} templates, first of {} in {}, {}",
        name.unwrap_or("-"),
        number_text(*pen, *id),
        exporter_text(&first.exporter),
        first.template,
        ago(now_ms, first.at_ms)
    );
}

fn number_text(pen: u32, id: u16) -> String {
    if pen == 0 { id.to_string() } else { format!("{pen}/{id}") }
}

fn exporter_text(exporter: &Exporter) -> String {
    let Exporter { version, addr, id, .. } = exporter;
    format!("{} {addr} domain {id}", protocol(*version))
}

/// How long ago, in the unit that has two digits.
fn ago(now_ms: u64, then_ms: u64) -> String {
    let secs = now_ms.saturating_sub(then_ms) / 1000;
    match secs {
        0..120 => format!("{secs} s ago"),
        120..7200 => format!("{} min ago", secs / 60),
        7200..172_800 => format!("{} h ago", secs / 3600),
        _ => format!("{} days ago", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::full;
    use record::Addr;
    use wire::testing::{Collect, IpfixBuilder, Record, V9Builder};

    fn details() -> Details {
        let mut decoder = wire::Decoder::new(wire::Config::default());
        let ipfix = IpfixBuilder::new(wire::ipfix::Header { domain: 7, ..Default::default() })
            .template(256, &[(0, 8, 4), (4711, 12, 65_535), (0, 1, 8)])
            .data(256, &[Record::new().octets(&[1; 4]).variable(b"x").octets(&[0; 8]).build()])
            .build();
        let v9 = V9Builder::new(wire::v9::Header::default())
            .options_template(257, &[(1, 4)], &[(34, 4)])
            .build();
        for datagram in [ipfix, v9] {
            decoder.decode(Addr::V4(0xc000_0201), 5000, &datagram, &mut Collect::default());
        }
        let sources = vec![SourceDetails::of("core", &decoder), SourceDetails::default()];
        Details { at_ms: 9000, sources }
    }

    #[test]
    fn templates_are_tables_to_read() {
        let text = templates_text(&details());
        let want = "\
source core
  ipfix 192.0.2.1 domain 7, template 256: 3 fields, 1 records, last seen 4 s ago
    sourceIPv4Address                  8            4
    -                                  4711/12      variable  not stored
    octetDeltaCount                    1            8
  netflow_v9 192.0.2.1 domain 0, options template 257: 2 fields, 0 records, last seen 4 s ago
    scope system                       1            4
    samplingInterval                   34           4
source 
  no templates
";
        assert_eq!(text, want);
    }

    #[test]
    fn unknown_elements_are_a_table_to_read() {
        let text = unknown_text(&details());
        assert!(text.starts_with("source core\n  -  "), "{text}");
        assert!(text.contains(" 4711/12 "), "{text}");
        let first = "1 templates, first of ipfix 192.0.2.1 domain 7 in 256, 4 s ago\n";
        assert!(text.contains(first), "{text}");
        assert!(text.ends_with("source \n  every element of every template is stored\n"), "{text}");
    }

    #[test]
    fn documents_are_json_with_the_same_in_it() {
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
        let templates = read(&templates_json(&details()));
        let core = &templates["sources"][0];
        assert_eq!(core["templates"][0]["fields"][1]["length"], "variable");
        assert_eq!(core["templates"][0]["fields"][1]["is_stored"], false);
        assert_eq!(core["templates"][0]["fields"][0]["name"], "sourceIPv4Address");
        assert_eq!(core["templates"][1]["is_options"], true);
        assert_eq!(core["templates"][1]["fields"][0]["enterprise"], 0);
        assert_eq!(core["exporters"][1]["protocol"], "netflow_v9");
        let unknown = read(&unknown_json(&details()));
        let element = &unknown["sources"][0]["elements"][0];
        assert_eq!((&element["enterprise"], &element["id"]), (&json!(4711), &json!(12)));
        assert_eq!(element["first"]["exporter"]["address"], "192.0.2.1");
    }

    #[test]
    fn a_status_is_json_with_every_count() {
        let status = full();
        let bytes = status_json(&status, Duration::from_millis(1500), false);
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(value["age_ms"], 1500);
        assert_eq!(value["account"]["received"], 202);
        assert_eq!(value["sources"][0]["account"]["flows_lost"], 111);
        assert_eq!(value["sources"][0]["ident"], status.sources[0].ident.as_str());
        for (name, _, n) in status.sources[0].decoder.iter() {
            assert_eq!(value["sources"][0]["decoder"][name], n, "{name}");
        }
        for (name, _, n) in status.sources[0].exporters[2].counts.iter() {
            assert_eq!(value["sources"][0]["exporters"][2]["counts"][name], n, "{name}");
        }
        assert_eq!(value["sources"][0]["exporters"][2]["seen_ms"], 6000);
        assert_eq!(value["streams"][0]["timed_out"], 304);
        assert_eq!(value["sockets"][1]["dropped"], 403);
        assert_eq!(value["repeaters"][0]["failed"], 603);
    }

    #[test]
    fn complaints_are_about_disks_and_a_stuck_decoder_only() {
        let fine = full();
        let long = STUCK + Duration::from_secs(1);
        assert!(complaints(&fine, STUCK, false).is_empty());
        assert!(complaints(&Status::default(), Duration::ZERO, false).is_empty());
        let told = complaints(&fine, long, true);
        assert_eq!(told, ["the disk has taken nothing for 11 s, and decoding waits for it"]);
        let told = complaints(&fine, long, false);
        assert_eq!(told, ["the decoding thread has not shown itself for 11 s"]);
        let with = |has_file, trouble: Option<&str>| {
            let mut status = full();
            status.sources[0].ident = "core".into();
            status.sources[0].has_file = has_file;
            status.sources[0].trouble = trouble.map(str::to_owned);
            complaints(&status, Duration::ZERO, false)
        };
        assert_eq!(with(true, Some("disk full")), ["source core: disk full"]);
        assert_eq!(with(false, Some("disk full")), ["source core: no file: disk full"]);
        assert_eq!(with(false, None), ["source core: no file is open in /flows"]);
        let mut many = full();
        many.sources[0].has_file = false;
        many.sources = vec![many.sources[0].clone(); 500];
        let told = complaints(&many, Duration::ZERO, false);
        assert_eq!((told.len(), told[20].as_str()), (21, "and 480 more"));
    }

    #[test]
    fn times_are_told_in_units_to_read() {
        for (secs, want) in [
            (0, "0 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7200, "2 h ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(ago(1_000_000_000, 1_000_000_000 - 1000 * secs), want);
        }
        assert_eq!(ago(0, 5), "0 s ago");
    }
}
