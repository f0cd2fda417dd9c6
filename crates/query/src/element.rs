//! What flows can be counted by (`-s`) and grouped by (`-A`): one line each.

use crate::direction::Direction;
use crate::fingerprint::Fingerprint;
use crate::key::{KeyPart, KeySpec, Prefix};
use record::{Field, Kind};
use std::sync::LazyLock;

/// One element of `-s`: a flow counts once for each of `fields`.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Name on the command line and key in JSON.
    pub name: &'static str,
    /// Heading of its column.
    pub title: &'static str,
    /// Fields whose values are counted. None: everything is one group.
    pub fields: &'static [Field],
    /// Whether autonomous systems are shown with the names of those who run them.
    pub shows_organisation: bool,
    /// What of TLS clients is counted: their fingerprints, in payloads.
    pub fingerprint: Option<Fingerprint>,
}

use Field as F;

#[rustfmt::skip]
const ELEMENTS: &[Element] = &[
    // name, title, fields
    e("any", "Any", &[]),
    e("srcip", "Src IP Addr", &[F::SrcAddr]),
    e("dstip", "Dst IP Addr", &[F::DstAddr]),
    e("ip", "    IP Addr", &[F::SrcAddr, F::DstAddr]),
    e("srcgeo", "Src Geo", &[F::SrcCountry]),
    e("dstgeo", "Dst Geo", &[F::DstCountry]),
    e("geo", " Geo", &[F::SrcCountry, F::DstCountry]),
    e("nhip", "Nexthop IP", &[F::NextHop]),
    e("nhbip", "Nexthop BGP IP", &[F::BgpNextHop]),
    e("router", "Router IP", &[F::Router]),
    e("srcport", "Src Port", &[F::SrcPort]),
    e("dstport", "Dst Port", &[F::DstPort]),
    e("port", "Port", &[F::SrcPort, F::DstPort]),
    e("proto", "Protocol", &[F::Proto]),
    e("flags", "TCPflags", &[F::TcpFlags]),
    e("srctos", "Src Tos", &[F::SrcTos]),
    e("dsttos", "Dst Tos", &[F::DstTos]),
    e("tos", "Tos", &[F::SrcTos, F::DstTos]),
    e("dir", "Dir", &[F::Direction]),
    e("srcas", "Src AS", &[F::SrcAs]),
    e("dstas", "Dst AS", &[F::DstAs]),
    e("as", "AS", &[F::SrcAs, F::DstAs]),
    o("srcasn", &[F::SrcAs]),
    o("dstasn", &[F::DstAs]),
    o("asn", &[F::SrcAs, F::DstAs]),
    e("prevas", "Prev AS", &[F::PrevAs]),
    e("nextas", "Next AS", &[F::NextAs]),
    e("inif", "Input If", &[F::Input]),
    e("outif", "Output If", &[F::Output]),
    e("if", "Interface", &[F::Input, F::Output]),
    e("srcmask", "Src Mask", &[F::SrcMask]),
    e("dstmask", "Dst Mask", &[F::DstMask]),
    e("mask", "Mask", &[F::SrcMask, F::DstMask]),
    e("tunproto", "Tun proto", &[F::TunProto]),
    e("srcvlan", "Src Vlan", &[F::SrcVlan]),
    e("dstvlan", "Dst Vlan", &[F::DstVlan]),
    e("vlan", "Vlan", &[F::SrcVlan, F::DstVlan]),
    e("insrcmac", "In Src Mac", &[F::InSrcMac]),
    e("outdstmac", "Out Dst Mac", &[F::OutDstMac]),
    e("indstmac", "In Dst Mac", &[F::InDstMac]),
    e("outsrcmac", "Out Src Mac", &[F::OutSrcMac]),
    e("srcmac", "Src Mac", &[F::InSrcMac, F::OutSrcMac]),
    e("dstmac", "Dst Mac", &[F::InDstMac, F::OutDstMac]),
    e("inmac", "In Mac", &[F::InSrcMac, F::InDstMac]),
    e("outmac", "Out Mac", &[F::OutDstMac, F::OutSrcMac]),
    e("mac", "Mac Addr", &[F::InSrcMac, F::OutDstMac, F::InDstMac, F::OutSrcMac]),
    e("ethertype", "Ethertype", &[F::EtherType]),
    e("mpls1", "MPLS label 1", &[F::Mpls1]),
    e("mpls2", "MPLS label 2", &[F::Mpls2]),
    e("mpls3", "MPLS label 3", &[F::Mpls3]),
    e("mpls4", "MPLS label 4", &[F::Mpls4]),
    e("mpls5", "MPLS label 5", &[F::Mpls5]),
    e("mpls6", "MPLS label 6", &[F::Mpls6]),
    e("mpls7", "MPLS label 7", &[F::Mpls7]),
    e("mpls8", "MPLS label 8", &[F::Mpls8]),
    e("mpls9", "MPLS label 9", &[F::Mpls9]),
    e("mpls10", "MPLS label 10", &[F::Mpls10]),
    e("cl", "Client Latency", &[F::ClientLatency]),
    e("sl", "Server Latency", &[F::ServerLatency]),
    e("al", "Application Latency", &[F::AppLatency]),
    e("nbar", "Nbar", &[F::AppId]),
    f("ja3", "ja3                             ", Fingerprint::Ja3, &[F::InPayload, F::OutPayload]),
    f("ja4", "ja4                                ", Fingerprint::Ja4, &[F::InPayload]),
    e("odid", "Obs DomainID", &[F::ObservationDomain]),
    e("opid", "Obs PointID", &[F::ObservationPoint]),
    e("event", " Event", &[F::FwEvent]),
    e("xevent", " Event", &[F::FwXEvent]),
    e("nat", "NAT Event", &[F::NatEvent]),
    e("natsrcip", "X-Src IP Addr", &[F::XlateSrcAddr]),
    e("natdstip", "X-Dst IP Addr", &[F::XlateDstAddr]),
    e("natip", "X-IP Addr", &[F::XlateSrcAddr, F::XlateDstAddr]),
    e("natsrcport", "X-Src Port", &[F::XlateSrcPort]),
    e("natdstport", "X-Dst Port", &[F::XlateDstPort]),
    e("natport", "X-Port", &[F::XlateSrcPort, F::XlateDstPort]),
    e("iacl", "Ingress ACL", &[F::IngressAcl]),
    e("eacl", "Egress ACL", &[F::EgressAcl]),
    e("ivrf", "I-vrf ID", &[F::IngressVrf]),
    e("evrf", "E-vrf ID", &[F::EgressVrf]),
    e("minttl", "minTTL", &[F::MinTtl]),
    e("maxttl", "maxTTL", &[F::MaxTtl]),
];

const fn e(name: &'static str, title: &'static str, fields: &'static [Field]) -> Element {
    Element { name, title, fields, shows_organisation: false, fingerprint: None }
}

/// Autonomous systems and who runs them. The title is as wide as the values.
const fn o(name: &'static str, fields: &'static [Field]) -> Element {
    let title = "                                 Organisation AS num  ";
    Element { shows_organisation: true, ..e(name, title, fields) }
}

/// Fingerprints of TLS clients, as wide as nfdump has them.
const fn f(
    name: &'static str,
    title: &'static str,
    kind: Fingerprint,
    fields: &'static [Field],
) -> Element {
    Element { fingerprint: Some(kind), ..e(name, title, fields) }
}

impl Element {
    /// All of them, in the order help lists them.
    pub const fn all() -> &'static [Self] {
        ELEMENTS
    }

    /// The element of this name, upper and lower case alike.
    pub fn named(name: &str) -> Option<&'static Self> {
        ELEMENTS.iter().find(|e| e.name.eq_ignore_ascii_case(name))
    }

    /// The name of an element that is spelt much like `name`.
    pub(crate) fn similar(name: &str) -> Option<&'static str> {
        ELEMENTS.iter().map(|e| e.name).chain(["record"]).find(|e| is_similar(e, name))
    }

    /// The same of its first field alone: for sums over all of its fields that were made elsewhere.
    pub fn of_first_field(&self) -> &'static Self {
        static ALL: LazyLock<Vec<Element>> = LazyLock::new(|| {
            let first = |e: &Element| Element { fields: e.fields.get(..1).unwrap_or(&[]), ..*e };
            ELEMENTS.iter().map(first).collect()
        });
        ALL.iter().find(|e| e.name == self.name).unwrap_or(&ELEMENTS[0])
    }

    /// Whether its values are looked up in a database of countries.
    pub fn needs_countries(&self) -> bool {
        self.fields.iter().any(|f| is_country(*f))
    }

    /// Whether its values are looked up in a database of autonomous systems. Those that name
    /// systems by number do without one, as far as the exporter says them.
    pub const fn needs_systems(&self) -> bool {
        self.shows_organisation
    }

    /// One key for each field; `by_proto` splits every value by protocol.
    ///
    /// Numbers that a record lacks count as 0, as nfdump has it; other values leave the record
    /// out.
    pub fn keys(&self, by_proto: bool) -> Vec<KeySpec> {
        let proto = || by_proto.then_some(KeyPart::whole(F::Proto));
        if self.fields.is_empty() {
            return vec![KeySpec::new(proto().into_iter().collect())];
        }
        let key = |field: &Field| {
            let prefix = self.fingerprint.map_or(Prefix::Full, Prefix::Fingerprint);
            let value = KeyPart { field: *field, prefix };
            let parts = [Some(value), proto()].into_iter().flatten().collect();
            if counts_missing_as_zero(*field) {
                KeySpec::new(parts)
            } else {
                KeySpec::present(parts)
            }
        };
        self.fields.iter().map(key).collect()
    }
}

const fn is_country(field: Field) -> bool {
    matches!(field, F::SrcCountry | F::DstCountry)
}

fn counts_missing_as_zero(field: Field) -> bool {
    let is_label = (F::Mpls1..=F::Mpls10).contains(&field);
    let is_optional =
        matches!(field, F::FwEvent | F::NatEvent | F::ObservationDomain | F::ObservationPoint);
    matches!(field.kind(), Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64)
        && !is_label
        && !is_optional
}

/// One field of `-A`.
#[derive(Clone, Copy, Debug)]
pub struct GroupField {
    /// Name on the command line.
    pub name: &'static str,
    /// The field of the key.
    pub field: Field,
    /// Token of the column that shows it.
    pub token: &'static str,
    masks: Masks,
}

/// What a `-A` field may carry after a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Masks {
    No,
    V4,
    V6,
    Own(Field),
}

#[rustfmt::skip]
const GROUP_FIELDS: &[GroupField] = &[
    // name, field, token
    g("proto", F::Proto, "pr"),
    g("srcport", F::SrcPort, "sp"),
    g("dstport", F::DstPort, "dp"),
    g("tos", F::SrcTos, "tos"),
    g("srctos", F::SrcTos, "stos"),
    g("dsttos", F::DstTos, "dtos"),
    g("flags", F::TcpFlags, "flg"),
    g("srcip", F::SrcAddr, "sa"),
    g("dstip", F::DstAddr, "da"),
    m("srcip4", F::SrcAddr, "sa", Masks::V4),
    m("dstip4", F::DstAddr, "da", Masks::V4),
    m("srcip6", F::SrcAddr, "sa", Masks::V6),
    m("dstip6", F::DstAddr, "da", Masks::V6),
    m("srcnet", F::SrcAddr, "sn", Masks::Own(F::SrcMask)),
    m("dstnet", F::DstAddr, "dn", Masks::Own(F::DstMask)),
    g("xsrcip", F::XlateSrcAddr, "xsa"),
    g("xdstip", F::XlateDstAddr, "xda"),
    g("xsrcport", F::XlateSrcPort, "xsp"),
    g("xdstport", F::XlateDstPort, "xdp"),
    g("next", F::NextHop, "nh"),
    g("bgpnext", F::BgpNextHop, "nhb"),
    g("router", F::Router, "ra"),
    g("insrcmac", F::InSrcMac, "ismc"),
    g("outdstmac", F::OutDstMac, "odmc"),
    g("indstmac", F::InDstMac, "idmc"),
    g("outsrcmac", F::OutSrcMac, "osmc"),
    g("srcas", F::SrcAs, "sas"),
    g("dstas", F::DstAs, "das"),
    g("srcasn", F::SrcAs, "sasn"),
    g("dstasn", F::DstAs, "dasn"),
    g("prevas", F::PrevAs, "pas"),
    g("nextas", F::NextAs, "nas"),
    g("inif", F::Input, "in"),
    g("outif", F::Output, "out"),
    g("srcmask", F::SrcMask, "smk"),
    g("dstmask", F::DstMask, "dmk"),
    g("srcvlan", F::SrcVlan, "svln"),
    g("dstvlan", F::DstVlan, "dvln"),
    g("ethertype", F::EtherType, "eth"),
    g("mpls1", F::Mpls1, "mpls1"),
    g("mpls2", F::Mpls2, "mpls2"),
    g("mpls3", F::Mpls3, "mpls3"),
    g("mpls4", F::Mpls4, "mpls4"),
    g("mpls5", F::Mpls5, "mpls5"),
    g("mpls6", F::Mpls6, "mpls6"),
    g("mpls7", F::Mpls7, "mpls7"),
    g("mpls8", F::Mpls8, "mpls8"),
    g("mpls9", F::Mpls9, "mpls9"),
    g("mpls10", F::Mpls10, "mpls10"),
    g("odid", F::ObservationDomain, "odid"),
    g("opid", F::ObservationPoint, "opid"),
    g("exp", F::ExporterId, "exp"),
    g("srcgeo", F::SrcCountry, "sc"),
    g("dstgeo", F::DstCountry, "dc"),
    g("minttl", F::MinTtl, "minttl"),
    g("maxttl", F::MaxTtl, "maxttl"),
];

const fn g(name: &'static str, field: Field, token: &'static str) -> GroupField {
    m(name, field, token, Masks::No)
}

const fn m(name: &'static str, field: Field, token: &'static str, masks: Masks) -> GroupField {
    GroupField { name, field, token, masks }
}

/// Fields one `-A` may name: a network takes two of the 32 parts of a key.
const MAX_FIELDS: usize = 30;

/// What is wrong with a `-A` list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// No field at all.
    #[error("No aggregation specified! Name fields as in: -A srcip,dstport")]
    Empty,
    /// Not a field.
    #[error("Unknown aggregation field '{name}'{}", .similar.map(|s| format!(", did you mean '{s}'?")).unwrap_or_default())]
    Unknown {
        /// The word.
        name: String,
        /// A field that is spelt much alike.
        similar: Option<&'static str>,
    },
    /// Named twice.
    #[error("Duplicate aggregation element: {0}")]
    Duplicate(&'static str),
    /// More fields than a key can have.
    #[error("More than {MAX_FIELDS} aggregation fields")]
    TooMany,
    /// A prefix length on a field that has none.
    #[error(
        "Need src4/dst4 or src6/dst6 for IPv4 or IPv6 to aggregate with explicit netmask: '{0}'; write srcip4/24 or srcip6/64"
    )]
    NeedsFamily(String),
    /// A prefix length that the family does not have.
    #[error("Subnet mask length '{len}' out of range for {family}: 1 to {max}")]
    MaskRange {
        /// As typed.
        len: String,
        /// IPv4 or IPv6.
        family: &'static str,
        /// Largest length.
        max: u8,
    },
}

/// The fields and prefix lengths of `-A`, as typed.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// Key of the groups.
    pub key: KeySpec,
    /// Tokens of the columns that show the key, in the order typed.
    pub tokens: Vec<&'static str>,
    /// Whether the user chose the fields.
    pub is_custom: bool,
    /// Which flows are two sides of one conversation.
    pub direction: Direction,
}

impl Grouping {
    /// Bits (`field as usize`) of the fields that are read to join flows: those of the key, those
    /// that tell directions, and flags.
    pub fn fields(&self) -> u128 {
        let other = self.key.reversed().fields();
        self.key.fields()
            | other
            | crate::input::bits([F::Proto, F::SrcPort, F::DstPort, F::TcpFlags])
    }

    /// The key of `-a`: protocol, addresses and ports.
    pub fn five_tuple() -> Self {
        let fields = [F::Proto, F::SrcAddr, F::DstAddr, F::SrcPort, F::DstPort];
        Self {
            key: KeySpec::new(fields.map(KeyPart::whole).to_vec()),
            tokens: vec!["pr", "sa", "da", "sp", "dp"],
            is_custom: false,
            direction: Direction::Kept,
        }
    }

    /// The key of `-b`, and with `guess` of `-B`: as [`five_tuple`](Self::five_tuple), and both
    /// directions of a conversation in one flow.
    pub fn bidirectional(guess: bool) -> Self {
        let direction = if guess { Direction::Guessed } else { Direction::Merged };
        Self { direction, ..Self::five_tuple() }
    }

    /// Reads `srcip4/24,dstport`.
    pub fn parse(text: &str) -> Result<Self, GroupError> {
        let mut seen: Vec<&'static str> = Vec::new();
        let mut parts: Vec<KeyPart> = Vec::new();
        let mut tokens = Vec::new();
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let (field, prefix) = parse_field(word)?;
            if seen.contains(&field.name) {
                return Err(GroupError::Duplicate(field.name));
            }
            if seen.len() == MAX_FIELDS {
                return Err(GroupError::TooMany);
            }
            seen.push(field.name);
            if !tokens.contains(&field.token) {
                tokens.push(field.token);
            }
            add_part(&mut parts, field.field, prefix);
        }
        if parts.is_empty() {
            return Err(GroupError::Empty);
        }
        Ok(Self { key: KeySpec::new(parts), tokens, is_custom: true, direction: Direction::Kept })
    }

    /// Whether a part of the key is looked up in a database of countries.
    pub fn needs_countries(&self) -> bool {
        self.key.parts().iter().any(|p| is_country(p.field))
    }

    /// Whether a column shows who runs an autonomous system.
    pub fn needs_systems(&self) -> bool {
        self.tokens.iter().any(|t| matches!(*t, "sasn" | "dasn"))
    }
}

/// Adds a part, joining `srcip4/24` and `srcip6/64` into one that knows both families.
fn add_part(parts: &mut Vec<KeyPart>, field: Field, prefix: Prefix) {
    if let (Prefix::Leading { v4, v6 }, Some(other)) =
        (prefix, parts.iter_mut().find(|p| p.field == field))
        && let Prefix::Leading { v4: a, v6: b } = other.prefix
    {
        other.prefix = Prefix::Leading { v4: a.or(v4), v6: b.or(v6) };
        return;
    }
    // One field under two names is one part.
    if prefix == Prefix::Full && parts.contains(&KeyPart::whole(field)) {
        return;
    }
    // A network is an address and its length: 10.0.0.0/8 is not 10.0.0.0/16.
    if let Prefix::OwnMask(mask) = prefix
        && !parts.iter().any(|p| p.field == mask)
    {
        parts.push(KeyPart::whole(mask));
    }
    parts.push(KeyPart { field, prefix });
}

/// The field that `name` stands for in `distinct:NAME`: an element of one field, or a field of `-A`
/// that needs no prefix length. Its key leaves out the rows that the element leaves out.
pub(crate) fn single_field(name: &str) -> Option<(&'static str, &'static str, KeySpec)> {
    if let Some(element) = Element::named(name) {
        let [key] = <[KeySpec; 1]>::try_from(element.keys(false)).ok()?;
        return (!key.parts().is_empty()).then_some((element.name, element.title.trim(), key));
    }
    let is_named = |f: &&GroupField| f.masks == Masks::No && f.name.eq_ignore_ascii_case(name);
    let field = GROUP_FIELDS.iter().find(is_named)?;
    let parts = vec![KeyPart::whole(field.field)];
    let key = if counts_missing_as_zero(field.field) {
        KeySpec::new(parts)
    } else {
        KeySpec::present(parts)
    };
    Some((field.name, field.name, key))
}

fn parse_field(word: &str) -> Result<(&'static GroupField, Prefix), GroupError> {
    let (name, len) = match word.split_once('/') {
        Some((name, len)) => (name.trim(), Some(len.trim())),
        None => (word, None),
    };
    let Some(field) = GROUP_FIELDS.iter().find(|f| f.name.eq_ignore_ascii_case(name)) else {
        let similar = GROUP_FIELDS.iter().map(|f| f.name).find(|f| is_similar(f, name));
        return Err(GroupError::Unknown { name: name.to_owned(), similar });
    };
    let prefix = match (field.masks, len) {
        (Masks::No, None) => Prefix::Full,
        (Masks::Own(mask), None) => Prefix::OwnMask(mask),
        (Masks::V4, len) => Prefix::Leading { v4: Some(mask_len(len, "IPv4", 32)?), v6: None },
        (Masks::V6, len) => Prefix::Leading { v4: None, v6: Some(mask_len(len, "IPv6", 128)?) },
        _ => return Err(GroupError::NeedsFamily(word.to_owned())),
    };
    Ok((field, prefix))
}

fn mask_len(text: Option<&str>, family: &'static str, max: u8) -> Result<u8, GroupError> {
    let Some(text) = text else { return Ok(max) };
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(GroupError::MaskRange { len: text.to_owned(), family, max }),
    }
}

/// Whether one letter added, lost or changed makes one word of the other.
fn is_similar(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let same_start = a.iter().zip(b).take_while(|(x, y)| x.eq_ignore_ascii_case(y)).count();
    let (a, b) = (&a[same_start..], &b[same_start..]);
    let same_end =
        a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x.eq_ignore_ascii_case(y)).count();
    a.len() - same_end <= 1 && b.len() - same_end <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_keys_have_fixed_widths() {
        let mut seen = HashSet::new();
        for e in ELEMENTS {
            assert!(seen.insert(e.name), "{}", e.name);
            let is_fixed =
                |f: &Field| f.kind().width().is_some() || *f == F::AppId || e.fingerprint.is_some();
            assert!(e.fields.iter().all(is_fixed), "{}", e.name);
            let kinds: HashSet<_> = e.fields.iter().map(|f| f.kind().width()).collect();
            assert!(kinds.len() <= 1, "{}: keys of one element share a layout", e.name);
        }
        seen.clear();
        for g in GROUP_FIELDS {
            assert!(seen.insert(g.name), "{}", g.name);
            assert!(g.field.kind().width().is_some(), "{}", g.name);
        }
    }

    #[test]
    fn elements_of_their_first_field_keep_name_and_title() {
        for e in ELEMENTS {
            let first = e.of_first_field();
            assert_eq!((first.name, first.title), (e.name, e.title));
            assert_eq!(first.fields, &e.fields[..e.fields.len().min(1)], "{}", e.name);
        }
    }

    #[test]
    fn lists_are_read_or_explained() {
        let ok = |text| Grouping::parse(text).map(|g| (g.key.parts().len(), g.tokens));
        assert_eq!(ok("srcip,dstport"), Ok((2, vec!["sa", "dp"])));
        assert_eq!(ok("SrcIP4/24 , dstport"), Ok((2, vec!["sa", "dp"])));
        assert_eq!(ok("srcas,srcasn"), Ok((1, vec!["sas", "sasn"])), "one field, two columns");
        assert_eq!(ok("srcip4/24,srcip6/64"), Ok((1, vec!["sa"])), "both families in one part");
        for (text, message) in [
            ("", "No aggregation specified!"),
            ("srcip,srcip", "Duplicate aggregation element: srcip"),
            ("srcip/24", "Need src4/dst4 or src6/dst6"),
            ("srcip4/33", "Subnet mask length '33' out of range for IPv4"),
            ("srcip4/0", "Subnet mask length '0' out of range"),
            ("srcip6/x", "Subnet mask length 'x' out of range for IPv6"),
            ("srcprt", "Unknown aggregation field 'srcprt', did you mean 'srcport'?"),
            ("zebra", "Unknown aggregation field 'zebra'"),
        ] {
            let error = Grouping::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }
}
