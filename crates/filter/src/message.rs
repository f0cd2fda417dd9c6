//! What a payload begins with: DNS messages and TLS client hellos.
//!
//! [`Wanted`] is what the batches ask: it borrows from the payload and allocates only for
//! fingerprints. [`has`] is its slow and obvious twin.

use crate::ast::Value;
use crate::primitive::Part;
use payload::dns::Message;
use payload::tls::{ClientHello, Version};
use payload::{Ja3, Ja4, Transport};
use record::{Field, Row};
use std::fmt::{self, Write};
use std::net::IpAddr;

/// What a message should have.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Dns,
    DnsName(Box<str>),
    DnsAddress(Box<str>),
    Hello,
    Version(Version),
    ServerName(Box<str>),
    /// This JA3, or any.
    Ja3(Option<Ja3>),
    /// This JA4, or any.
    Ja4(Option<Ja4>),
}

impl Wanted {
    /// `None` if the operand does not suit the part, and nothing has it.
    pub(crate) fn new(part: Part, value: &Value) -> Option<Self> {
        Some(match (part, value) {
            (Part::Dns, _) => Self::Dns,
            (Part::DnsName, Value::Text(text)) => Self::DnsName(text.clone()),
            (Part::DnsAddress, Value::Text(text)) => Self::DnsAddress(text.clone()),
            (Part::Hello, _) => Self::Hello,
            (Part::Version, Value::Number(_, n)) => Self::Version(Version(u16::try_from(*n).ok()?)),
            (Part::ServerName, Value::Text(text)) => Self::ServerName(text.clone()),
            (Part::Ja3, Value::None) => Self::Ja3(None),
            (Part::Ja3, Value::Ja3(ja3)) => Self::Ja3(Some(*ja3)),
            (Part::Ja4, Value::None) => Self::Ja4(None),
            (Part::Ja4, Value::Ja4(ja4)) => Self::Ja4(Some(*ja4)),
            _ => return None,
        })
    }

    /// Whether the payload of a flow of this protocol has it.
    pub(crate) fn is_in(&self, protocol: u8, payload: &[u8]) -> bool {
        let dns = || Message::of_flow(protocol, payload);
        let hello = || ClientHello::of_flow(protocol, payload);
        match self {
            Self::Dns => dns().is_some(),
            Self::DnsName(part) => {
                dns().is_some_and(|m| m.questions().any(|q| q.name.contains(part)))
            }
            Self::DnsAddress(part) => {
                dns().is_some_and(|m| m.addresses().any(|addr| reads_as(addr, part)))
            }
            Self::Hello => hello().is_some(),
            Self::Version(version) => hello().is_some_and(|h| h.version() == *version),
            Self::ServerName(part) => {
                let name = hello().and_then(|h| h.server_name());
                name.is_some_and(|name| contains(name, part.as_bytes()))
            }
            Self::Ja3(None) => hello().is_some_and(|h| h.is_complete() && !h.is_ssl2()),
            Self::Ja3(wanted) => hello().is_some_and(|h| h.ja3() == *wanted),
            Self::Ja4(None) => hello().is_some_and(|h| h.is_complete() && !h.is_ssl2()),
            Self::Ja4(wanted) => hello().is_some_and(|h| h.ja4(Transport::Tcp) == *wanted),
        }
    }

    /// What it takes, roughly in loads and compares.
    pub(crate) const fn cost(&self) -> u32 {
        match self {
            Self::Dns | Self::Hello | Self::Version(_) | Self::ServerName(_) => 300,
            Self::Ja3(None) | Self::Ja4(None) => 300,
            Self::DnsName(_) | Self::DnsAddress(_) => 1000,
            Self::Ja3(Some(_)) | Self::Ja4(Some(_)) => 3000,
        }
    }
}

/// In words, behind the name of a payload.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns => f.write_str("a DNS message"),
            Self::DnsName(part) => write!(f, "a DNS message that asks for a name with \"{part}\""),
            Self::DnsAddress(part) => write!(f, "a DNS message with an address with \"{part}\""),
            Self::Hello => f.write_str("a TLS client hello"),
            Self::Version(version) => write!(f, "a TLS client hello that offers up to {version}"),
            Self::ServerName(part) => write!(f, "a TLS client hello for a server with \"{part}\""),
            Self::Ja3(None) | Self::Ja4(None) => f.write_str("a whole TLS client hello"),
            Self::Ja3(Some(ja3)) => write!(f, "a TLS client hello of JA3 {ja3}"),
            Self::Ja4(Some(ja4)) => write!(f, "a TLS client hello of JA4 {ja4}"),
        }
    }
}

/// Whether the text of an address has this part.
fn reads_as(addr: IpAddr, part: &str) -> bool {
    let mut text = Text { octets: [0; 45], len: 0 };
    // The buffer has room for any address.
    let _ = write!(text, "{addr}");
    contains(text.octets.get(..text.len).unwrap_or(&[]), part.as_bytes())
}

/// Text without a heap.
struct Text {
    octets: [u8; 45],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self.octets.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    part.is_empty() || octets.windows(part.len()).any(|w| w == part)
}

/// Whether a row has it, by what listings show.
pub(crate) fn has(part: Part, value: &Value, row: Row<'_>, field: Field) -> bool {
    let (Some(octets), Some(protocol)) = (row.bytes(field), row.u64(Field::Proto)) else {
        return false;
    };
    let dns = Message::of_flow(protocol as u8, octets);
    let hello = ClientHello::of_flow(protocol as u8, octets);
    let texts: Vec<String> = match part {
        Part::Dns => return dns.is_some(),
        Part::DnsName => {
            dns.iter().flat_map(Message::questions).map(|q| q.name.to_string()).collect()
        }
        Part::DnsAddress => {
            dns.iter().flat_map(Message::addresses).map(|a| a.to_string()).collect()
        }
        Part::Hello => return hello.is_some(),
        Part::Version => {
            let Value::Number(_, n) = value else { return false };
            return hello.is_some_and(|h| u64::from(h.version().0) == *n);
        }
        Part::ServerName => {
            let name = hello.and_then(|h| h.server_name());
            name.map(|n| n.iter().map(|b| char::from(*b)).collect()).into_iter().collect()
        }
        Part::Ja3 => hello.and_then(|h| h.ja3()).map(|j| j.to_string()).into_iter().collect(),
        Part::Ja4 => {
            let ja4 = hello.and_then(|h| h.ja4(Transport::Tcp));
            ja4.map(|j| j.to_string()).into_iter().collect()
        }
    };
    let letters = |octets: &[u8]| octets.iter().map(|b| char::from(*b)).collect::<String>();
    texts.iter().any(|text| match value {
        Value::None => true,
        Value::Text(part) => text.contains(&letters(part.as_bytes())),
        Value::Ja3(ja3) => *text == ja3.to_string(),
        Value::Ja4(ja4) => *text == ja4.to_string(),
        _ => false,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Context, Filter};
    use record::{Flow, RowRef, Rows, Selection, ShapeTable};

    /// Octets of hexadecimal digits.
    fn octets(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |p: &[u8]| u8::from_str_radix(str::from_utf8(p).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// A client that offers TLS 1.2 and 1.3 to www.example.org.
    pub(crate) fn hello() -> Vec<u8> {
        octets(
            "1603010084010000800303000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00
             00081a1a13011302c02b0100004f00000014001200000f7777772e6578616d706c652e6f72670010000e000c
             02683208687474702f312e31000a000800062a2a001d0017000b00020100000d0006000404030804002b0005
             0403040303",
        )
    }

    /// Addresses of www.example.org: 192.0.2.7 and 2001:db8::7.
    pub(crate) fn dns() -> Vec<u8> {
        octets(
            "12348180000100020000000003777777076578616d706c65036f72670000010001c00c000100010000003c00
             04c0000207c00c001c00010000003c001020010db8000000000000000000000007",
        )
    }

    const JA3: &str = "3736761f91e3f9597a641ce4c92f256c";
    const JA4: &str = "t13d0306h2_5559582ccdc4_fb71836bce29";

    fn flow(protocol: u64, field: Field, payload: &[u8]) -> Flow {
        let mut flow = Flow::new();
        assert!(flow.set(Field::Proto, protocol) && flow.set_bytes(field, payload));
        flow
    }

    fn passes(text: &str, flow: &Flow) -> bool {
        asked(&Filter::parse(text).unwrap_or_else(|e| panic!("{e}")), flow)
    }

    /// Whether a flow passes, asked of the row and of a batch.
    fn asked(filter: &Filter, flow: &Flow) -> bool {
        let (row, ctx) = (flow.as_row(), Context::default());
        let mut table = ShapeTable::new();
        let shape = table.push(row.shape().clone()).unwrap();
        let index = [RowRef { at: 0, len: row.as_bytes().len() as u16, shape }];
        let rows = Rows { bytes: row.as_bytes(), index: &index, table: &table };
        let mut out = Selection::default();
        filter.evaluator().select(&rows, &ctx, &mut out);
        assert_eq!(out.contains(0), filter.matches(row, &ctx), "{}", filter.tree());
        out.contains(0)
    }

    #[test]
    fn hellos_are_told_by_what_they_offer() {
        let flow = flow(6, Field::InPayload, &hello());
        for (text, want) in [
            ("payload tls defined", true),
            ("in payload ssl defined", true),
            ("out payload tls defined", false),
            ("payload tls version 1.3", true),
            ("payload tls version \"1.2\"", false),
            ("payload ssl version 3.0", false),
            ("payload ssl version 1.0", false),
            ("payload tls sni example", true),
            ("payload tls sni www.example.org", true),
            ("payload tls sni Example", false),
            ("payload tls sni example.org.", false),
            ("payload ssl sni ''", true),
            ("payload ja3 defined", true),
            (&format!("payload ja3 {JA3}"), true),
            (&format!("payload ja3 {}", JA3.to_uppercase()), true),
            ("payload ja3 00000000000000000000000000000000", false),
            ("PAYLOAD JA4 DEFINED", true),
            (&format!("in payload ja4 {JA4}"), true),
            (&format!("out payload ja4 {JA4}"), false),
            ("payload ja4 t13d1516h2_8daaf6152771_e5627efa2ab1", false),
            ("payload dns defined", false),
            ("not payload dns name example", true),
        ] {
            assert_eq!(passes(text, &flow), want, "{text}");
        }
    }

    #[test]
    fn other_protocols_carry_no_hello_and_a_part_has_no_fingerprint() {
        for (protocol, len, text, want) in [
            (17, 137, "payload tls defined", false),
            (0, 137, "payload ja3 defined", false),
            (6, 136, "payload tls sni example", true),
            (6, 136, "payload ja3 defined or payload ja4 defined", false),
            (6, 40, "payload tls defined", false),
        ] {
            let flow = flow(protocol, Field::InPayload, &hello()[..len]);
            assert_eq!(passes(text, &flow), want, "{len} octets over {protocol}: {text}");
        }
    }

    #[test]
    fn messages_are_told_by_names_and_addresses() {
        let message = dns();
        let stream = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        for flow in [flow(17, Field::OutPayload, &message), flow(6, Field::OutPayload, &stream)] {
            for (text, want) in [
                ("out payload dns defined", true),
                ("payload dns defined", false),
                ("out payload dns name example.org", true),
                ("out payload dns name Example", false),
                ("out payload dns address 192.0.2.7", true),
                ("out payload dns addr 2001:db8::7", true),
                ("out payload dns addr 192.0.2.70", false),
                ("out payload dns addr '3.0.2'", false),
                ("out payload dns addr '.0.2.'", true),
                ("out payload tls defined", false),
            ] {
                assert_eq!(passes(text, &flow), want, "{text}");
            }
        }
        assert!(!passes("payload dns defined", &flow(17, Field::InPayload, &stream)));
    }

    /// The batches against the interpreter on payloads that are damaged in each octet.
    #[test]
    fn both_ways_agree_on_damaged_payloads() {
        let texts = [
            "payload dns name ex",
            "payload dns address 2.7",
            "payload dns defined",
            "payload tls version 1.3",
            "payload tls sni org",
            "payload ja3 defined",
            &format!("payload ja3 {JA3}"),
            &format!("payload ja4 {JA4}"),
            "payload ja4 defined",
        ];
        let filters: Vec<_> = texts.iter().map(|t| Filter::parse(t).unwrap()).collect();
        let mut passed = vec![0; texts.len()];
        for (protocol, whole) in [(6, hello()), (17, dns())] {
            for (at, value) in (0..whole.len()).flat_map(|at| [0, 3, 0xff].map(|v| (at, v))) {
                let mut payload = whole.clone();
                payload[at] = value;
                let flow = flow(protocol, Field::InPayload, &payload);
                for (filter, n) in filters.iter().zip(&mut passed) {
                    *n += usize::from(asked(filter, &flow));
                }
            }
        }
        assert!(passed.iter().all(|n| *n > 10), "{passed:?}");
    }
}
