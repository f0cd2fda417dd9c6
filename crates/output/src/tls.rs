//! What a TLS client offers in the payload of a flow, as columns and lines show it.

use crate::escape::{push_csv, push_text};
use crate::summary::push_fmt;
use payload::Transport;
use payload::tls::{ClientHello, Version};
use record::{Field, Row};

/// What of a client hello a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Ja3,
    Ja4,
    ServerName,
    Version,
}

impl Part {
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Ja3 => "JA3 fingerprint of the TLS client",
            Self::Ja4 => "JA4 fingerprint of the TLS client",
            Self::ServerName => "server that the TLS client asks for",
            Self::Version => "highest version of TLS that the client offers",
        }
    }
}

/// The client hello that a payload begins with.
pub(crate) fn hello(row: Row<'_>, field: Field) -> Option<ClientHello<'_>> {
    ClientHello::of_flow(row.number(Field::Proto) as u8, row.bytes(field)?)
}

/// A column of a list. As wide as nfdump has it: a JA4 takes more room than its header.
pub(crate) fn push_column(out: &mut Vec<u8>, row: Row<'_>, part: Part) {
    let hello = hello(row, Field::InPayload);
    let start = out.len();
    match part {
        Part::Ja3 => match hello.and_then(|h| h.ja3()) {
            Some(ja3) => push_fmt(out, format_args!("ja3 : {ja3}")),
            None => push_fmt(out, format_args!("{:>38}", "no ja3")),
        },
        Part::Ja4 => match hello.and_then(|h| h.ja4(Transport::Tcp)) {
            Some(ja4) => push_fmt(out, format_args!("ja4 : {ja4}")),
            None => push_fmt(out, format_args!("{:>38}", "no ja4")),
        },
        Part::ServerName => match hello {
            Some(hello) => {
                let columns = push_text(out, hello.server_name().unwrap_or(b""));
                let short = 6usize.saturating_sub(columns);
                out.resize(out.len() + short, b' ');
                out[start..].rotate_right(short);
            }
            None => out.extend_from_slice(b"   0"),
        },
        Part::Version => match hello.map(|h| h.version()) {
            Some(version) => push_fmt(out, format_args!("{:7}", spaced(version))),
            None => out.extend_from_slice(b"   0"),
        },
    }
}

/// A field of CSV.
pub(crate) fn push_field(out: &mut Vec<u8>, row: Row<'_>, part: Part) {
    let hello = hello(row, Field::InPayload);
    match part {
        Part::Ja3 => match hello.and_then(|h| h.ja3()) {
            Some(ja3) => push_fmt(out, ja3),
            None => out.extend_from_slice(b"no-ja3"),
        },
        Part::Ja4 => match hello.and_then(|h| h.ja4(Transport::Tcp)) {
            Some(ja4) => push_fmt(out, ja4),
            None => out.extend_from_slice(b"no-ja4"),
        },
        Part::ServerName => match hello {
            Some(hello) => push_csv(out, hello.server_name().unwrap_or(b"")),
            None => out.push(b'0'),
        },
        Part::Version => match hello.map(|h| h.version()) {
            Some(version) => push_fmt(out, format_args!("{}", spaced(version).replace(' ', "-"))),
            None => out.push(b'0'),
        },
    }
}

/// `TLS 1.2` or `SSL 3`, as lists have it.
pub(crate) fn spaced(version: Version) -> String {
    let text = version.to_string();
    match text.split_at_checked(3) {
        Some(("SSL", number)) => format!("SSL {}", number.trim_end_matches(".0")),
        Some(("TLS", number)) => format!("TLS {number}"),
        _ => text,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sample::{flow, printed};
    use record::Flow;
    use serde_json::Value;

    /// A client that offers TLS 1.2 and 1.3 to www.example.org.
    #[rustfmt::skip]
    pub(crate) const HELLO: [u8; 137] = *b"\x16\x03\x01\x00\x84\x01\x00\x00\x80\x03\x03\
        \x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\
        \x00\x00\x08\x1a\x1a\x13\x01\x13\x02\xc0\x2b\x01\x00\x00\x4f\
        \x00\x00\x00\x14\x00\x12\x00\x00\x0fwww.example.org\
        \x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1\
        \x00\x0a\x00\x08\x00\x06\x2a\x2a\x00\x1d\x00\x17\x00\x0b\x00\x02\x01\x00\
        \x00\x0d\x00\x06\x00\x04\x04\x03\x08\x04\x00\x2b\x00\x05\x04\x03\x04\x03\x03";

    /// A flow with the beginning of a hello on the way in and a whole one on the way out.
    fn tls(protocol: u64, len: usize) -> Flow {
        let mut flow = flow(&[(Field::First, 1), (Field::Proto, protocol)], &[]);
        assert!(flow.set_bytes(Field::InPayload, &HELLO[..len]));
        assert!(flow.set_bytes(Field::OutPayload, &HELLO));
        flow
    }

    #[test]
    fn columns_of_lists_and_csv() {
        let none = ("no ja3", "no ja4", "   0", "   0", "no-ja3,no-ja4,0,0");
        let ja3 = "3736761f91e3f9597a641ce4c92f256c";
        let ja4 = "t13d0306h2_5559582ccdc4_fb71836bce29";
        let (long3, long4) = (format!("ja3 : {ja3}"), format!("ja4 : {ja4}"));
        let all = format!("{ja3},{ja4},www.example.org,TLS-1.3");
        for (protocol, len, (a, b, c, d, csv)) in [
            (6, 137, (long3.as_str(), long4.as_str(), "www.example.org", "TLS 1.3", all.as_str())),
            // The extension for versions is cut off.
            (
                6,
                130,
                (
                    "no ja3",
                    "no ja4",
                    "www.example.org",
                    "TLS 1.2",
                    "no-ja3,no-ja4,www.example.org,TLS-1.2",
                ),
            ),
            // The name is cut off, too.
            (6, 70, ("no ja3", "no ja4", "      ", "TLS 1.2", "no-ja3,no-ja4,,TLS-1.2")),
            (6, 20, none),
            (17, 137, none),
        ] {
            let flow = [tls(protocol, len)];
            let text = printed("fmt:%ja3|%ja4|%sni|%tls", &flow);
            let record = text.lines().nth(1).unwrap();
            assert_eq!(record, format!("{a:>38}|{b:>38}|{c}|{d}"), "{len} over {protocol}");
            let text = printed("csv:%ja3,%ja4,%sni,%tls", &flow);
            assert_eq!(text, format!("ja3,ja4,sniName,tlsVersion\n{csv}\n"));
        }
        for (version, want) in
            [(2, "SSL 2"), (0x300, "SSL 3"), (0x301, "TLS 1.0"), (0x7f17, "0x7f17")]
        {
            assert_eq!(spaced(Version(version)), want);
        }
    }

    #[test]
    fn keys_of_both_directions() {
        let flow = [tls(6, 130)];
        let ndjson: Value = serde_json::from_str(&printed("ndjson", &flow)).unwrap();
        let json: Value = serde_json::from_str(&printed("json", &flow)).unwrap();
        assert_eq!(ndjson, json[0]);
        for (key, want) in [
            ("in_tls", Some("TLS1.2")),
            ("in_sni", Some("www.example.org")),
            ("in_ja3", None),
            ("in_ja4", None),
            ("out_tls", Some("TLS1.3")),
            ("out_sni", Some("www.example.org")),
            ("out_ja3", Some("3736761f91e3f9597a641ce4c92f256c")),
            ("out_ja4", Some("t13d0306h2_5559582ccdc4_fb71836bce29")),
        ] {
            assert_eq!(ndjson.get(key).and_then(Value::as_str), want, "{key}");
        }
        let udp = printed("ndjson", &[tls(17, 137)]);
        assert!(!udp.contains("tls") && !udp.contains("ja"), "{udp}");
    }

    #[test]
    fn lines_of_raw() {
        let text = printed("raw", &[tls(6, 137)]);
        let want = "  in payload   =                137
  TLS vers     =            TLS 1.3
  sni name     =        www.example.org
  ja3 hash     =        3736761f91e3f9597a641ce4c92f256c
  ja4 hash     =        t13d0306h2_5559582ccdc4_fb71836bce29
00000000 16 03 01 00";
        assert!(text.contains(want), "{text}");
        assert_eq!(text.matches("TLS vers").count(), 2);
        let text = printed("raw", &[tls(6, 20)]);
        assert_eq!(text.matches("TLS vers").count(), 1, "the way out alone: {text}");
    }

    #[test]
    fn names_from_outside_are_escaped() {
        let mut octets = HELLO;
        let at = octets.windows(3).position(|w| w == b"www").unwrap();
        octets[at] = b'\n';
        octets[at + 1] = b'"';
        octets[at + 2] = b',';
        let mut flow = tls(6, 1);
        flow.set_bytes(Field::InPayload, &octets);
        let text = printed("fmt:%sni", &[flow.clone()]);
        assert!(text.ends_with("\n\\x0a\",.example.org\n"), "{text}");
        let text = printed("csv:%sni", &[flow.clone()]);
        assert!(text.ends_with("\n\"\\x0a\"\",.example.org\"\n"), "{text}");
        let json: Value = serde_json::from_str(&printed("ndjson", &[flow])).unwrap();
        assert_eq!(json["in_sni"], "\n\",.example.org");
    }
}
