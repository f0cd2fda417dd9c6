//! How the value of a key is shown, whatever table it is in.

use crate::counters::u64_at;
use crate::key::{KeyPart, Prefix};
use output::StatKey;
use record::{Addr, AddressBook, Country, Field, Kind, Mac};

/// A value that keeps its own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Key(StatKey<'static>),
    Text(String),
    /// From outside: escaped by whoever prints it.
    Outside(Vec<u8>),
}

/// What values are shown with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style<'b> {
    /// Systems with the names of those who run them.
    pub(crate) organisations: bool,
    /// Text for people: parts of a value stand below each other.
    pub(crate) aligned: bool,
    pub(crate) book: Option<&'b dyn AddressBook>,
}

impl Shown {
    /// The value of a part in the octets of a key; without a part the one value of `any`.
    pub(crate) fn new(
        part: Option<KeyPart>,
        is_v6: bool,
        octets: &[u8; 16],
        style: Style<'_>,
    ) -> Self {
        let number = u64_at(octets, 0);
        let Some(KeyPart { field, prefix }) = part else { return Self::Text("any".to_owned()) };
        if let Prefix::Fingerprint(kind) = prefix {
            return Self::Text(kind.text(*octets));
        }
        Self::Key(match (field, field.kind()) {
            (_, Kind::Addr) => {
                let octets = octets.get(..if is_v6 { 16 } else { 4 });
                StatKey::Addr(octets.and_then(Addr::from_row).unwrap_or(Addr::V4(0)))
            }
            (_, Kind::Mac) => StatKey::Mac(Mac(number)),
            (_, Kind::Micros) => StatKey::Latency(number),
            (_, Kind::Acl) => return Self::Text(acl_text(octets)),
            (Field::SrcAs | Field::DstAs, _) if style.organisations => {
                return Self::Outside(organisation(number as u32, style));
            }
            (Field::SrcCountry | Field::DstCountry, _) => {
                return Self::Text(country(number, style));
            }
            (Field::AppId, _) => return Self::Text(application(number)),
            (Field::SrcPort | Field::DstPort | Field::XlateSrcPort | Field::XlateDstPort, _) => {
                StatKey::Port(number as u16)
            }
            (Field::Proto, _) => StatKey::Proto(number as u8),
            (Field::TcpFlags, _) => StatKey::TcpFlags(number as u8),
            (Field::FwEvent, _) => StatKey::FwEvent(number as u8),
            (Field::NatEvent, _) => StatKey::NatEvent(number as u8),
            (Field::ObservationDomain | Field::ObservationPoint, _) => StatKey::Hex(number),
            (f, _) if (Field::Mpls1..=Field::Mpls10).contains(&f) => StatKey::Mpls(number as u32),
            _ => StatKey::Number(number),
        })
    }

    /// The value as tables take it.
    pub(crate) fn key(&self) -> StatKey<'_> {
        match self {
            Self::Key(key) => *key,
            Self::Text(text) => StatKey::Text(text.as_bytes()),
            Self::Outside(text) => StatKey::Text(text),
        }
    }
}

/// Three ids in network byte order, as JSON shows them.
fn acl_text(octets: &[u8; 16]) -> String {
    let mut ids = octets
        .chunks_exact(4)
        .map(|c| u32::from_be_bytes(<[u8; 4]>::try_from(c).unwrap_or_default()));
    let mut id = || ids.next().unwrap_or(0);
    format!("0x{:x}/0x{:x}/0x{:x}", id(), id(), id())
}

/// Two letters; nothing where no countries are known at all.
fn country(number: u64, style: Style<'_>) -> String {
    match style.book {
        Some(book) if book.has_countries() => Country(number as u16).to_string(),
        _ => String::new(),
    }
}

/// Who runs a system, and its number.
fn organisation(asn: u32, style: Style<'_>) -> Vec<u8> {
    let name = style.book.and_then(|b| b.organisation(asn)).unwrap_or("unknown");
    let text =
        if style.aligned { format!("{name:>45} ({asn:6})") } else { format!("{name} ({asn})") };
    text.into_bytes()
}

/// Engine and selector of an application, with the enterprise number of engine 20 (RFC 6759, 4.1)
/// between them, as lists show it. The engine is the highest octet of `number`.
fn application(number: u64) -> String {
    let (engine, selector) = (number >> 56, number & ((1 << 56) - 1));
    match engine {
        20 if selector >> 16 != 0 => format!("20..{}..{}", selector >> 16, selector & 0xffff),
        _ => format!("{engine}..{selector}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::testing::Made;

    #[test]
    fn looked_up_values() {
        let octets = |n: u64| {
            let mut out = [0; 16];
            out[..8].copy_from_slice(&n.to_le_bytes());
            out
        };
        let book: Option<&dyn AddressBook> = Some(&Made);
        let plain = Style { book, ..Style::default() };
        let organisations = Style { organisations: true, ..plain };
        let aligned = Style { aligned: true, ..organisations };
        let wide = format!("{:>45} ({:>6})", "Example", 100);
        for (field, number, style, want) in [
            (Field::SrcCountry, 0x4348, plain, "CH"),
            (Field::DstCountry, 0, plain, ".."),
            (Field::DstCountry, 0, Style::default(), ""),
            (Field::SrcAs, 100, organisations, "Example (100)"),
            (Field::SrcAs, 200, organisations, "unknown (200)"),
            (Field::DstAs, 100, aligned, wide.as_str()),
            (Field::AppId, 3 << 56 | 80, plain, "3..80"),
            (Field::AppId, 20 << 56 | 1 << 16 | 256, plain, "20..1..256"),
            (Field::AppId, 20 << 56 | 9, plain, "20..9"),
        ] {
            let shown = Shown::new(Some(KeyPart::whole(field)), false, &octets(number), style);
            assert_eq!(shown.key(), StatKey::Text(want.as_bytes()), "{field:?} {number}");
        }
        let number = Shown::new(Some(KeyPart::whole(Field::SrcAs)), false, &octets(100), plain);
        assert_eq!(number.key(), StatKey::Number(100));
    }
}
