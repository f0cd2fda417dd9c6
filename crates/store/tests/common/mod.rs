//! What nfdump prints, made from rows: the common ground on which files are compared.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test uses a part of it")]

use record::{Addr, Field, Kind, Row};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use store::Statistics;

/// A record as sorted `key=value` texts: what both sides are brought to.
pub type Record = BTreeSet<String>;

/// What JSON has of a row, by the rules of nfdump's output (command line description, 2.8).
pub fn of_row(row: Row<'_>) -> Record {
    let mut out = Record::new();
    let is_icmp = matches!(row.number(Field::Proto), 1 | 58);
    for field in row.shape().fields() {
        let key = field.def().json;
        let is_skipped = match field {
            // Both extensions with an event time: the parser keeps the last of equal keys.
            Field::FwEventTime => row.has(Field::NatEventTime),
            Field::IcmpType | Field::IcmpCode => !is_icmp,
            Field::SrcPort | Field::DstPort | Field::TcpFlags | Field::FwdStatus => is_icmp,
            _ => NOT_IN_JSON.contains(&field),
        };
        if is_skipped || key.is_empty() {
            continue;
        }
        let n = row.number(field);
        let (key, value) = match field.kind() {
            Kind::Addr => {
                let addr = row.addr(field).unwrap();
                let family = if matches!(addr, Addr::V4(_)) { "4" } else { "6" };
                (key.replace("{}", family), addr.to_string())
            }
            Kind::Mac => (key.into(), row.mac(field).unwrap().to_string()),
            Kind::Time if key == "t_event" => (key.into(), unpadded_time(n)),
            Kind::Time => (key.into(), time(n)),
            Kind::Micros => (key.into(), format!("{:.6}", n as f64 / 1000.0)),
            Kind::Text(_) => {
                (key.into(), String::from_utf8(row.text(field).unwrap().to_vec()).unwrap())
            }
            Kind::Acl => {
                let id = |i: usize| {
                    let b = &row.bytes(field).unwrap()[4 * i..4 * i + 4];
                    format!("{:#x}", u32::from_le_bytes(b.try_into().unwrap()))
                };
                (key.into(), format!("{}/{}/{}", id(0), id(1), id(2)))
            }
            _ if key.starts_with("mpls_") => {
                (key.into(), format!("{}-{}-{}", n >> 4, n >> 1 & 7, n & 1))
            }
            // 1.7.8 prints 32 bits of it.
            _ if field == Field::ObservationPoint => (key.into(), (n as u32).to_string()),
            _ if field == Field::TcpFlags => {
                (key.into(), record::code::TcpFlags(n as u8).to_string())
            }
            _ => (key.into(), n.to_string()),
        };
        out.insert(format!("{key}={value}"));
    }
    let flags = row.number(Field::RecordFlags);
    out.insert(format!("type={}", if flags & 1 != 0 { "EVENT" } else { "FLOW" }));
    out.insert(format!("sampled={}", flags >> 1 & 1));
    out
}

/// Fields that JSON does not show: of the record header, of extensions 18, 27 to 30, 34, 35 and 37,
/// and single ones of extensions 4 and 38.
const NOT_IN_JSON: &[Field] = &[
    Field::EngineType,
    Field::EngineId,
    Field::RecordFlags,
    Field::Source,
    Field::BiflowDir,
    Field::EndReason,
    Field::SelectorId,
    Field::AppId,
    Field::InPayload,
    Field::OutPayload,
    Field::FrameSize,
    Field::LinkType,
    Field::Frame,
    Field::VxLan,
    Field::FragmentFlags,
];

/// What is printed of a record but derived from elsewhere: numbering, look-ups, texts for numbers.
const NOT_IN_ROW: &[&str] = &[
    "cnt",
    "ident",
    "src4_geo",
    "dst4_geo",
    "src6_geo",
    "dst6_geo",
    "src_net",
    "dst_net",
    "event",
    "nat_event",
    "ip_fragment",
    "in_tls",
    "in_sni",
    "in_ja3 hash",
    "in_ja4 hash",
];

pub fn of_json(object: &Map<String, Value>) -> Record {
    object
        .iter()
        .filter(|(k, _)| !NOT_IN_ROW.contains(&k.as_str()))
        .map(|(k, v)| match v {
            Value::String(s) => format!("{k}={s}"),
            // Latencies are numbers with six decimals.
            Value::Number(n) if k.ends_with("_latency") => {
                format!("{k}={:.6}", n.as_f64().unwrap())
            }
            v => format!("{k}={v}"),
        })
        .collect()
}

fn time(ms: u64) -> String {
    let t = chrono::DateTime::from_timestamp_millis(ms as i64).unwrap();
    t.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

/// nfdump prints the milliseconds of events without zeros in front.
fn unpadded_time(ms: u64) -> String {
    if ms == 0 {
        return "<unknown>.0".into();
    }
    let t = chrono::DateTime::from_timestamp_millis(ms as i64).unwrap();
    format!("{}.{}", t.format("%Y-%m-%dT%H:%M:%S"), ms % 1000)
}

/// What `nfdump -I` prints.
pub fn statistics(ident: &str, s: &Statistics) -> String {
    let t = &s.totals;
    let mut want = format!("Ident: {}\n", ident);
    for (what, all, groups) in [
        ("Flows", s.flows, t.flows),
        ("Packets", s.packets, t.packets),
        ("Bytes", s.bytes, t.bytes),
    ] {
        want += &format!("{what}: {all}\n");
        for (group, n) in ["tcp", "udp", "icmp", "other"].iter().zip(groups) {
            want += &format!("{what}_{group}: {n}\n");
        }
    }
    want += &format!(
        "First: {}\nLast: {}\nmsec_first: {}\nmsec_last: {}\nSequence failures: {}\n",
        t.first_ms / 1000,
        t.last_ms / 1000,
        t.first_ms % 1000,
        t.last_ms % 1000,
        t.sequence_failures
    );
    want
}
