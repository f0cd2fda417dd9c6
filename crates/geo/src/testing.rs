//! A writer of MaxMind databases, for tests and load generators.
//!
//! ```
//! use geo::testing::{Database, asn, country};
//!
//! let file = Database::new()
//!     .network("192.0.2.0/24", country("CH"))
//!     .network("2001:db8::/32", country("DE"))
//!     .octets();
//! # let _ = (file, asn(64500, "Example"));
//! ```
//!
//! It writes format 2.0 (<https://maxmind.github.io/MaxMind-DB/>). More specific networks win over
//! less specific ones, in whatever order they are given. It panics on a network that is none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::{fs, io};

/// A value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An array.
    Array(Vec<Self>),
    /// A floating-point number.
    Double(f64),
    /// A map; keys stay in order.
    Map(Vec<(String, Self)>),
    /// Text.
    Text(String),
    /// An unsigned number of 16 bits.
    U16(u16),
    /// An unsigned number of 32 bits.
    U32(u32),
    /// An unsigned number of 64 bits.
    U64(u64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A map of these keys and values.
pub fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A record as in a country database of MaxMind.
pub fn country(letters: &str) -> Value {
    map([("country", map([("iso_code", letters.into())]))])
}

/// A record as in a city database of MaxMind.
pub fn city(continent: &str, letters: &str, name: &str, latitude: f64, longitude: f64) -> Value {
    map([
        ("city", map([("names", map([("de", "?".into()), ("en", name.into())]))])),
        ("continent", map([("code", continent.into())])),
        ("country", map([("iso_code", letters.into())])),
        (
            "location",
            map([("latitude", Value::Double(latitude)), ("longitude", Value::Double(longitude))]),
        ),
    ])
}

/// A record as in an ASN database of MaxMind.
pub fn asn(number: u32, organisation: &str) -> Value {
    map([
        ("autonomous_system_number", Value::U32(number)),
        ("autonomous_system_organization", organisation.into()),
    ])
}

/// A database to be written.
#[derive(Clone, Debug)]
pub struct Database {
    kind: String,
    ip_version: u16,
    record_bits: u16,
    has_aliases: bool,
    networks: Vec<(u128, u8, Value)>,
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// An empty database for both families, with records of 28 bits and no aliases.
    pub fn new() -> Self {
        Self {
            kind: "Test".to_owned(),
            ip_version: 6,
            record_bits: 28,
            has_aliases: false,
            networks: Vec::new(),
        }
    }

    /// Adds a network: `192.0.2.0/24`, `2001:db8::/32`, or an address.
    ///
    /// # Panics
    ///
    /// If it is no network, or an IPv6 one in a database of IPv4.
    #[must_use]
    pub fn network(mut self, network: &str, value: Value) -> Self {
        let (addr, len) = network.split_once('/').unwrap_or((network, ""));
        let addr: IpAddr = addr.parse().expect("an address before the slash");
        let len = || len.parse().ok();
        let (addr, len) = match addr {
            IpAddr::V4(a) => (u128::from(a.to_bits()), len().unwrap_or(32) + 96),
            IpAddr::V6(a) => {
                assert_eq!(self.ip_version, 6, "{network} in a database of IPv4");
                (a.to_bits(), len().unwrap_or(128))
            }
        };
        self.networks.push((addr, len, value));
        self
    }

    /// What the database says it is, `GeoLite2-Country` for instance.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    /// Leaves IPv6 out.
    #[must_use]
    pub const fn ipv4_only(mut self) -> Self {
        self.ip_version = 4;
        self
    }

    /// Bits of a record of the tree: 24, 28 or 32.
    #[must_use]
    pub const fn record_bits(mut self, bits: u16) -> Self {
        self.record_bits = bits;
        self
    }

    /// Lets `::ffff:0:0/96`, `2001::/32` and `2002::/16` lead to the IPv4 networks, as the
    /// databases of MaxMind do.
    #[must_use]
    pub const fn aliases(mut self) -> Self {
        self.has_aliases = true;
        self
    }

    /// Writes the database to a file.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        fs::write(path, self.octets())
    }

    /// The database as the octets of a file.
    pub fn octets(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let mut offsets = HashMap::new();
        let mut networks: Vec<_> = self.networks.iter().collect();
        networks.sort_by_key(|(_, len, _)| *len);
        let root_depth = if self.ip_version == 4 { 96 } else { 0 };
        let mut tree = Nodes { nodes: vec![[Slot::Nothing; 2]], root_depth };
        for (addr, len, value) in networks {
            let mut record = Vec::new();
            encode(value, &mut record);
            let offset = *offsets.entry(record).or_insert_with_key(|record| {
                data.extend_from_slice(record);
                data.len() - record.len()
            });
            tree.insert(*addr, *len, Slot::Data(offset));
        }
        if self.has_aliases {
            tree.alias();
        }
        let mut out = tree.octets(self.record_bits);
        out.extend_from_slice(&[0; 16]);
        out.append(&mut data);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        encode(&self.metadata(tree.nodes.len()), &mut out);
        out
    }

    fn metadata(&self, nodes: usize) -> Value {
        map([
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(1_700_000_000)),
            ("database_type", self.kind.as_str().into()),
            ("description", map([("en", "made for tests".into())])),
            ("ip_version", Value::U16(self.ip_version)),
            ("languages", Value::Array(vec!["en".into()])),
            ("node_count", Value::U32(nodes as u32)),
            ("record_size", Value::U16(self.record_bits)),
        ])
    }
}

/// What a record of a node leads to.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Nothing,
    Node(usize),
    Data(usize),
}

struct Nodes {
    nodes: Vec<[Slot; 2]>,
    /// Bits of an address that the root is below of: 96 in a database of IPv4.
    root_depth: u8,
}

impl Nodes {
    fn insert(&mut self, addr: u128, len: u8, slot: Slot) {
        assert!(len > self.root_depth, "a network of all addresses has no place in a tree");
        let bit = |depth: u8| (addr >> (127 - depth) & 1) as usize;
        let mut node = 0;
        for depth in self.root_depth..len - 1 {
            node = match self.nodes[node][bit(depth)] {
                Slot::Node(next) => next,
                // What was known of the whole stays known of both halves.
                whole => {
                    self.nodes.push([whole; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][bit(depth)] = Slot::Node(next);
                    next
                }
            };
        }
        self.nodes[node][bit(len - 1)] = slot;
    }

    fn alias(&mut self) {
        let mut start = Slot::Node(0);
        for _ in 0..96 {
            let Slot::Node(node) = start else { return };
            start = self.nodes[node][0];
        }
        for (addr, len) in [(0xffff << 32, 96), (0x2001 << 112, 32), (0x2002 << 112, 16)] {
            self.insert(addr, len, start);
        }
    }

    fn octets(&self, record_bits: u16) -> Vec<u8> {
        let number = |slot| match slot {
            Slot::Nothing => self.nodes.len(),
            Slot::Node(n) => n,
            Slot::Data(offset) => self.nodes.len() + 16 + offset,
        };
        let mut out = Vec::new();
        for node in &self.nodes {
            let [left, right] = node.map(|slot| number(slot) as u32);
            assert!(u64::from(left.max(right)) < 1 << record_bits, "records are too narrow");
            let ([l0, l @ ..], [r0, r @ ..]) = (left.to_be_bytes(), right.to_be_bytes());
            match record_bits {
                24 => out.extend([l, r].concat()),
                28 => {
                    out.extend(l);
                    out.push(l0 << 4 | r0);
                    out.extend(r);
                }
                _ => out.extend([left.to_be_bytes(), right.to_be_bytes()].concat()),
            }
        }
        out
    }
}

/// Writes a value with its control octets ("Output Data Section").
fn encode(value: &Value, out: &mut Vec<u8>) {
    fn minimal(out: &mut Vec<u8>, kind: u8, octets: &[u8]) {
        let zeros = octets.iter().take_while(|o| **o == 0).count();
        control(out, kind, octets.len() - zeros);
        out.extend_from_slice(&octets[zeros..]);
    }
    match value {
        Value::Text(text) => {
            control(out, 2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Double(n) => {
            control(out, 3, 8);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::U16(n) => minimal(out, 5, &n.to_be_bytes()),
        Value::U32(n) => minimal(out, 6, &n.to_be_bytes()),
        Value::Map(entries) => {
            control(out, 7, entries.len());
            for (key, value) in entries {
                encode(&key.as_str().into(), out);
                encode(value, out);
            }
        }
        Value::U64(n) => minimal(out, 9, &n.to_be_bytes()),
        Value::Array(values) => {
            control(out, 11, values.len());
            values.iter().for_each(|value| encode(value, out));
        }
    }
}

/// Type and size; types from 8 on have an octet of their own.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (bits, more): (u8, &[u8]) = match size {
        0..=28 => (size as u8, &[]),
        29..=284 => (29, &[(size - 29) as u8]),
        _ => (30, &((size - 285) as u16).to_be_bytes()),
    };
    match kind {
        1..=7 => out.push(kind << 5 | bits),
        _ => out.extend([bits, kind - 7]),
    }
    out.extend_from_slice(more);
}
