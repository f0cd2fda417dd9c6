//! Records as nfdump prints them in JSON, compared with flows.

use record::{Field, Flow, Kind, code::record_flags};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// One way in which a record and a flow disagree.
pub(crate) struct Difference<'a> {
    /// Key in JSON.
    pub(crate) key: String,
    /// What JSON has, empty if nothing.
    pub(crate) stored: String,
    /// What the flow has.
    pub(crate) ours: String,
    /// The whole flow.
    pub(crate) flow: &'a Flow,
    /// The whole record.
    pub(crate) record: &'a Map<String, Value>,
}

/// All records of a file.
pub(crate) fn records(text: &str) -> Vec<Map<String, Value>> {
    let Value::Array(all) = serde_json::from_str(text).unwrap() else { panic!("no array") };
    all.into_iter()
        .map(|v| if let Value::Object(o) = v { o } else { panic!("no object") })
        .collect()
}

/// The directions of a record that has counters of both, as records: nfcapd keeps them in one, and
/// puts reverse elements over forward ones, so that flags and type of service are those of the
/// other direction.
pub(crate) fn split(record: &Map<String, Value>) -> Vec<Map<String, Value>> {
    let has = |key: &str| record.get(key).is_some_and(|n| n.as_u64() != Some(0));
    let mut forward = record.clone();
    let counters = ["out_packets", "out_bytes"].map(|key| forward.remove(key));
    let mut back = forward.clone();
    for (key, counter) in ["in_packets", "in_bytes"].into_iter().zip(counters) {
        back.insert(key.to_owned(), counter.unwrap_or_default());
    }
    for (key, value) in &forward {
        let turned = if key.contains("src") {
            key.replace("src", "dst")
        } else if key.contains("dst") {
            key.replace("dst", "src")
        } else if key.starts_with("input") {
            key.replace("input", "output")
        } else {
            key.replace("output", "input")
        };
        if turned != *key && !key.ends_with("_tos") {
            back.insert(turned, value.clone());
        }
    }
    let mut out = Vec::new();
    out.extend(has("in_packets").then_some(forward));
    out.extend(has("out_packets").then_some(back));
    out
}

/// Everything in which the two disagree. A number that is missing on one side and 0 on the other
/// agrees: files have whole extensions or none.
pub(crate) fn compare<'a>(record: &'a Map<String, Value>, flow: &'a Flow) -> Vec<Difference<'a>> {
    let mut out = Vec::new();
    let mut covered = vec![];
    for (key, value) in record {
        let stored = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (ours, fields) = ours(key, flow, record);
        covered.extend(fields);
        if !same(&stored, &ours) {
            out.push(Difference { key: key.clone(), stored, ours, flow, record });
        }
    }
    for field in flow.as_row().shape().fields() {
        let key = field.def().json.replace("{}", "");
        if !covered.contains(&field) && !IMPLIED.contains(&field) {
            let ours = text(flow, field);
            if !same("", &ours) {
                out.push(Difference { key, stored: String::new(), ours, flow, record });
            }
        }
    }
    out
}

/// Fields that JSON lacks, or has in another form.
const IMPLIED: &[Field] = &[
    Field::EngineType,
    Field::EngineId,
    Field::RecordFlags,
    Field::Source,
    Field::Received,
    Field::SelectorId,
];

fn same(a: &str, b: &str) -> bool {
    const NOTHING: &[&str] = &[
        "",
        "0",
        "0.0.0.0",
        "::",
        "00:00:00:00:00:00",
        "0x0/0x0/0x0",
        "0-0-0",
        "........",
        "<empty>",
    ];
    a == b || NOTHING.contains(&a) && NOTHING.contains(&b)
}

/// What the flow has for a key of JSON, and which fields that covers.
fn ours(key: &str, flow: &Flow, record: &Map<String, Value>) -> (String, Vec<Field>) {
    let flags = flow.number(Field::RecordFlags) as u8;
    match key {
        "type" => {
            let kind = if flags & record_flags::EVENT == 0 { "FLOW" } else { "EVENT" };
            return (kind.into(), vec![]);
        }
        "sampled" => return (u8::from(flags & record_flags::SAMPLED != 0).to_string(), vec![]),
        // The name of event_id.
        "src_net" | "dst_net" => {
            return (record[key].as_str().unwrap_or_default().to_owned(), vec![]);
        }
        "event" => return (record["event"].as_str().unwrap_or_default().to_owned(), vec![]),
        "t_event" => {
            let field =
                if flow.has(Field::FwEventTime) { Field::FwEventTime } else { Field::NatEventTime };
            return (text(flow, field), vec![field]);
        }
        "icmp_type" => {
            return (
                text(flow, Field::IcmpType),
                vec![Field::IcmpType, Field::IcmpCode, Field::DstPort],
            );
        }
        "src_port" if !record.contains_key("icmp_type") => {
            return (
                text(flow, Field::SrcPort),
                vec![Field::SrcPort, Field::IcmpCode, Field::IcmpType],
            );
        }
        _ => {}
    }
    let plain: String = key.replacen(['4', '6'], "{}", 1);
    let found = Field::ALL.iter().find(|f| f.def().json == key || f.def().json == plain);
    let Some(field) = found else { panic!("no field for key {key}") };
    let mut value = text(flow, *field);
    if field.kind() == Kind::Addr && !value.is_empty() && key.contains('4') == value.contains(':') {
        value = format!("other family: {value}");
    }
    (value, vec![*field])
}

/// A field as JSON prints it.
pub(crate) fn text(flow: &Flow, field: Field) -> String {
    let row = flow.as_row();
    let number = row.u64(field);
    match (field, field.kind()) {
        _ if !row.has(field) => String::new(),
        (Field::TcpFlags, _) => record::code::TcpFlags(number.unwrap() as u8).to_string(),
        (_, Kind::Time) => time(number.unwrap()),
        (_, Kind::Addr) => IpAddr::from(row.addr(field).unwrap()).to_string(),
        (_, Kind::Mac) => row.mac(field).unwrap().to_string(),
        (_, Kind::Acl) => {
            let ids = row
                .bytes(field)
                .unwrap()
                .chunks(4)
                .map(|c| u32::from_be_bytes(c.try_into().unwrap()));
            ids.map(|n| format!("0x{n:x}")).collect::<Vec<_>>().join("/")
        }
        (_, Kind::Text(_)) => String::from_utf8_lossy(row.text(field).unwrap()).into_owned(),
        (_, Kind::Bytes) => format!("{:x?}", row.bytes(field).unwrap()),
        (f, _) if (Field::Mpls1..=Field::Mpls10).contains(&f) => {
            let n = number.unwrap();
            format!("{}-{}-{}", n >> 4, n >> 1 & 7, n & 1)
        }
        _ => number.unwrap().to_string(),
    }
}

/// UTC without a calendar crate: days to civil date by Howard Hinnant's algorithm.
pub(crate) fn time(ms: u64) -> String {
    let (days, rest) = ((ms / 86_400_000) as i64, ms % 86_400_000);
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}", rest % 1000)
}
