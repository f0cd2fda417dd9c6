//! What a running collector says of itself: its page `/status`, read into what the doctor asks for.

use super::observed::{Exporter, Status, Told};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// Asks the collector that serves HTTP at `address`.
pub(super) fn ask(address: &str, limit: Duration) -> Told {
    let Ok(addr) = address.parse::<SocketAddr>() else {
        return Told::Silent(format!("{address}: no address and port"));
    };
    let page = match web::fetch_within(addr, "/status", limit) {
        Ok(page) => page,
        Err(e) => return Told::Silent(e.to_string()),
    };
    match serde_json::from_slice(&page) {
        Ok(value) => Told::Status(Box::new(Status { address: address.to_owned(), ..read(&value) })),
        Err(e) => Told::Silent(format!("{address}: /status is none of ours: {e}")),
    }
}

/// What has changed since an earlier answer.
pub(super) fn since(now: Told, before: &Told) -> Told {
    match (now, before) {
        (Told::Status(mut now), Told::Status(before)) => {
            now.received_now = now.received.saturating_sub(before.received);
            Told::Status(now)
        }
        (now, _) => now,
    }
}

/// What is not there is 0: a page of another version has other counts.
fn read(page: &Value) -> Status {
    let of_account = |name| number(&page["account"], name);
    let sources = list(&page["sources"]);
    Status {
        address: String::new(),
        now_ms: number(page, "now_ms"),
        complaints: list(&page["complaints"])
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        not_allowed: of_account("not_allowed"),
        unknown_sender: of_account("unknown_sender"),
        refused: of_account("refused"),
        received: of_account("received"),
        received_now: 0,
        flows: of_account("flows"),
        filtered: of_account("filtered"),
        flows_lost: of_account("flows_lost"),
        bad: of_account("bad"),
        socket_drops: list(&page["sockets"]).map(|s| number(s, "dropped")).sum(),
        buffer: list(&page["sockets"]).map(|s| number(s, "buffer_bytes")).min(),
        streams_open: list(&page["streams"]).map(|s| number(s, "open")).sum(),
        exporters: sources.flat_map(|s| list(&s["exporters"])).map(exporter).collect(),
    }
}

fn exporter(value: &Value) -> Exporter {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let count = |name| number(&value["counts"], name);
    let missing = count("missing_datagrams") + count("missing_records");
    let recovered = count("recovered_datagrams") + count("recovered_records");
    let done = count("sets_unparked").saturating_add(count("sets_without_template"));
    Exporter {
        address: text("address"),
        protocol: text("protocol"),
        domain: number(value, "domain"),
        seen_ms: number(value, "seen_ms"),
        datagrams: count("datagrams"),
        flows: count("flows"),
        templates: number(value, "templates"),
        samplers: number(value, "samplers"),
        waiting_sets: count("sets_parked").saturating_sub(done),
        dropped_sets: count("sets_without_template"),
        missing: missing.saturating_sub(recovered),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_what_is_missing_is_nothing() {
        let page = r#"{"now_ms": 5, "complaints": ["disk full"], "account": {"received": 9, "not_allowed": 2},
            "sockets": [{"buffer_bytes": 7, "dropped": 1}, {"buffer_bytes": 4, "dropped": 2}],
            "sources": [{"exporters": [{"address": "192.0.2.1", "protocol": "ipfix", "domain": 3,
                "counts": {"sets_parked": 5, "sets_unparked": 1, "sets_without_template": 1,
                           "missing_records": 8, "recovered_records": 3}}]}]}"#;
        let status = read(&serde_json::from_str(page).unwrap());
        assert_eq!((status.received, status.not_allowed, status.flows), (9, 2, 0));
        assert_eq!((status.buffer, status.socket_drops), (Some(4), 3));
        assert_eq!(status.complaints, ["disk full"]);
        let [exporter] = &status.exporters[..] else { panic!("{status:?}") };
        assert_eq!((exporter.waiting_sets, exporter.missing, exporter.domain), (3, 5, 3));
        for odd in ["{}", "[]", "null", "7", r#"{"sources": 7, "sockets": [null], "account": []}"#]
        {
            let status = read(&serde_json::from_str(odd).unwrap());
            assert_eq!((status.received, status.exporters.len()), (0, 0), "{odd}");
        }
    }
}
