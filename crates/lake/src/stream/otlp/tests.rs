//! Against a receiver that says what it is told to.

use super::*;
use crate::stream::journal::Stretch;
use record::Flow;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver as Inbox, channel};

static NEVER: AtomicBool = AtomicBool::new(false);

/// Answers one request a connection, with these in turn; hands over what it was sent.
fn receiver(answers: Vec<(u16, &'static str)>) -> (String, Inbox<(Vec<String>, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url(&listener.local_addr().unwrap().to_string(), "http").unwrap();
    let (to, inbox) = channel();
    std::thread::spawn(move || {
        for (status, text) in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_ascii_lowercase()),
                }
            }
            let length = lines.iter().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            to.send((lines, serde_json::from_slice(&body).unwrap())).unwrap();
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: ");
            write!(&stream, "{head}{}\r\n\r\n{text}", text.len()).unwrap();
        }
    });
    (url, inbox)
}

fn batch(flows: &[Flow]) -> Batch {
    let mut encoded = Encoded::default();
    let exporters = Exporters::default();
    for flow in flows {
        let of = Origin { exporters: &exporters, ident: "lab \"1\"", batch: 1, count: 1 };
        Records.row(flow.as_row(), &of, &mut encoded);
        encoded.note(flow.as_row());
    }
    let stretch = Stretch { number: 1, path: "/f".into(), from: 0, until: 1 };
    Batch { stretch, id: 77, encoded }
}

fn flow() -> Flow {
    let mut flow = Flow::new();
    for (field, value) in [
        (Field::First, 1_795_168_800_123),
        (Field::Last, 1_795_168_801_000),
        (Field::Received, 1_795_168_802_000),
        (Field::Proto, 6),
        (Field::SrcPort, 40_000),
        (Field::DstPort, 443),
        (Field::Packets, 7),
        (Field::Bytes, u64::MAX),
        (Field::InSrcMac, 0x0002_0304_05ff),
        (Field::SrcAs, 64_500),
    ] {
        assert!(flow.set(field, value), "{field:?}");
    }
    flow.set_addr(Field::SrcAddr, Addr::V4(0xC000_0201));
    flow.set_addr(Field::DstAddr, Addr::V6(0x2001_0db8 << 96 | 1));
    flow.set_addr(Field::Router, Addr::V4(0x0A00_0001));
    assert!(flow.set_bytes(Field::Username, b"a\"b\\\x07\xff"));
    assert!(flow.set_bytes(Field::InPayload, b"GET /"));
    flow
}

/// OTLP's `logs.proto` in the JSON mapping of proto3, as far as it goes; written down by hand.
#[test]
fn a_request_has_the_shape_of_the_specification() {
    let (url, inbox) = receiver(vec![(200, "{}")]);
    let headers = vec![("Authorization".to_owned(), "Bearer x".to_owned())];
    let mut receiver = Receiver::new(url, headers, &NEVER, None);
    assert_eq!(receiver.deliver(&batch(&[flow()]), false).unwrap(), Delivered::default());
    let (lines, body) = inbox.recv().unwrap();
    assert!(lines[0].starts_with("post /v1/logs "), "{lines:?}");
    assert!(lines.contains(&"content-type: application/json".to_owned()), "{lines:?}");
    assert!(lines.contains(&"authorization: bearer x".to_owned()), "{lines:?}");
    let string = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let int = |key: &str, value: &str| json!({"key": key, "value": {"intValue": value}});
    let resource = &body["resourceLogs"][0];
    assert_eq!(resource["resource"]["attributes"], json!([string("service.name", "flowlake")]));
    let scope = &resource["scopeLogs"][0];
    assert_eq!(scope["scope"]["name"], "flowsuite.flow");
    assert_eq!(scope["logRecords"].as_array().map(Vec::len), Some(1));
    let record = &scope["logRecords"][0];
    assert_eq!(record["timeUnixNano"], "1795168800123000000");
    assert_eq!(record["observedTimeUnixNano"], "1795168802000000000");
    assert_eq!((&record["severityNumber"], &record["severityText"]), (&json!(9), &json!("INFO")));
    let text = "tcp 192.0.2.1:40000 -> [2001:db8::1]:443 7 packets 18446744073709551615 bytes";
    assert_eq!(record["body"], json!({"stringValue": text}));
    let attributes = record["attributes"].as_array().unwrap();
    for wanted in [
        string("source.address", "192.0.2.1"),
        int("source.port", "40000"),
        string("destination.address", "2001:db8::1"),
        int("destination.port", "443"),
        string("network.transport", "tcp"),
        string("network.type", "ipv4"),
        string("flow.sampler_address", "10.0.0.1"),
        int("flow.io.packets", "7"),
        int("flow.io.bytes", "-1"),
        int("flow.start", "1795168800123000000"),
        int("flow.end", "1795168801000000000"),
        int("flow.src_as", "64500"),
        string("flow.in_src_mac", "00:02:03:04:05:ff"),
        string("flow.username", "a\"b\\\u{7}\u{10F7FF}"),
        json!({"key": "flow.in_payload", "value": {"bytesValue": "R0VUIC8="}}),
        string("flow.ident", "lab \"1\""),
    ] {
        assert_eq!(attributes.iter().filter(|a| **a == wanted).count(), 1, "{wanted}: {body}");
    }
    let keys: Vec<_> = attributes.iter().filter_map(|a| a["key"].as_str()).collect();
    let unique: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(unique.len(), attributes.len(), "each once: {keys:?}");
}

#[test]
fn a_flow_without_anything_is_a_record() {
    let (url, inbox) = receiver(vec![(200, "")]);
    let mut receiver = Receiver::new(url, Vec::new(), &NEVER, None);
    receiver.deliver(&batch(&[Flow::new()]), false).unwrap();
    let (_, body) = inbox.recv().unwrap();
    let record = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["timeUnixNano"], "0");
    assert_eq!(record["attributes"].as_array().map(Vec::len), Some(1), "{record}");
}

#[test]
fn what_passes_is_sent_again_and_what_does_not_is_told() {
    let partial = r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"old"}}"#;
    for (name, answers, want) in [
        ("taken", vec![(200, "{}")], Ok(0)),
        ("busy", vec![(429, "slow"), (503, "x"), (502, "x"), (504, "x"), (200, "{}")], Ok(0)),
        ("in part", vec![(200, partial)], Ok(1)),
        ("wrong", vec![(400, "no logs\nhere")], Err("400: no logs")),
        ("rights", vec![(401, "who?")], Err("401: who?")),
        ("its mistake", vec![(500, "oh")], Err("500: oh")),
    ] {
        let requests = answers.len();
        let (url, inbox) = receiver(answers);
        let mut receiver = Receiver::new(url.clone(), Vec::new(), &NEVER, None);
        let found = receiver.deliver(&batch(&[flow(), flow()]), false);
        match (found, want) {
            (Ok(found), Ok(dropped)) => assert_eq!(found.dropped, dropped, "{name}"),
            (Err(e), Err(want)) => assert_eq!(e.to_string(), format!("{url}: {want}"), "{name}"),
            (found, _) => panic!("{name}: {found:?}"),
        }
        let bodies: Vec<Value> = inbox.iter().map(|(_, body)| body).collect();
        assert_eq!(bodies.len(), requests, "{name}");
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{name}");
    }
}

#[test]
fn large_batches_are_several_requests() {
    let mut long = flow();
    assert!(long.set_bytes(Field::InPayload, &[7; 50_000]));
    let flows = vec![long; 130];
    let batch = batch(&flows);
    assert!(batch.encoded.octets.len() > 2 * REQUEST && batch.encoded.octets.len() < 3 * REQUEST);
    let (url, inbox) = receiver(vec![(200, "{}"); 3]);
    let mut receiver = Receiver::new(url, Vec::new(), &NEVER, None);
    receiver.deliver(&batch, false).unwrap();
    let counts: Vec<_> = inbox
        .iter()
        .map(|(_, b)| b["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().len())
        .collect();
    assert_eq!((counts.len(), counts.iter().sum::<usize>()), (3, 130), "{counts:?}");
}

#[test]
fn nobody_there_is_told_after_a_while() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = url(&format!("127.0.0.1:{port}"), "http").unwrap();
    let patience = Some(Duration::from_millis(100));
    let mut receiver = Receiver::new(url, Vec::new(), &NEVER, patience);
    let found = receiver.deliver(&batch(&[flow()]), false);
    assert!(matches!(found, Err(SinkError::Unreachable { tries: 2, .. })), "{found:?}");
}

#[test]
fn addresses_are_completed() {
    for (text, want) in [
        ("h", Some("http://h:4318/v1/logs")),
        ("h:99", Some("http://h:99/v1/logs")),
        ("h:99/", Some("http://h:99/v1/logs")),
        ("h/otlp/v1/logs", Some("http://h:4318/otlp/v1/logs")),
        ("[::1]", Some("http://[::1]:4318/v1/logs")),
        ("[::1]:99/x", Some("http://[::1]:99/x")),
        ("", None),
        ("/v1/logs", None),
        ("h:x", None),
        ("h:99999", None),
        ("a@h", None),
        ("h /x", None),
    ] {
        assert_eq!(url(text, "http").ok().as_deref(), want, "{text}");
    }
}

#[test]
fn base64_is_that_of_the_rfc() {
    for (text, want) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
        ("\u{7f}\u{7ff}", "f9+/"),
    ] {
        let mut out = Vec::new();
        base64(text.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want, "{text}");
    }
}
