//! The table of primitives: one line for each thing a filter can ask of a record.
//!
//! A line says which words ask it, which fields each wording reads, what operand follows, and how
//! value and operand are compared. Parser, checks, suggestions, interpreter and program all work
//! from these lines: a new primitive that reads a field is a line here and nothing else.

use crate::names::Names;
use Operand::{
    Address, Country, Flags, Name, Named, Net, Nothing, Number, Proto, Regex, Text, Time,
    Unsupported,
};
use record::Field::{self, *};
use std::sync::OnceLock;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Primitive {
    /// What value of the record is tested.
    pub(crate) test: Test,
    /// What follows the words.
    pub(crate) operand: Operand,
    /// Whether a comparator may stand before the operand.
    pub(crate) cmp: bool,
    /// Whether `in [ ... ]` may stand for the operand.
    pub(crate) list: bool,
    /// The wordings: direction and name as one phrase, and the fields it reads. Several fields are
    /// joined with OR.
    pub(crate) wordings: &'static [(&'static str, &'static [Field])],
}

/// What of a record is compared to the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Nothing: always true.
    Always,
    /// The address is there and has this many octets.
    Width(u16),
    /// The ident of the file.
    Ident,
    /// The running number of the record.
    Count,
    /// The field itself. A record without it never matches.
    Value,
    /// The number of an autonomous system. Where the record has none it is that of the address, if
    /// a book knows it, else 0.
    System,
    /// The country of an address.
    Country,
    /// 1 is inbound, everything else outbound.
    PfDir,
    /// Octets somewhere in the field.
    Content,
    /// The field matches a regular expression.
    Regex,
    /// Something of the message that the field begins with, in records of protocols that carry
    /// such messages.
    Message(Part),
    /// The field of a record of protocol 1 or 58.
    Icmp,
    /// The field of a record of protocol 6.
    Tcp,
    /// An address.
    Addr,
    /// Text up to its first NUL.
    Text,
    /// Any of three 32-bit ids in network byte order.
    Acl,
    /// The label in the upper 20 of 24 bits.
    Label,
    /// The label of a stack entry that is in use, which is one that is not all 0.
    UsedLabel,
    /// The label of the entry that has the bottom-of-stack bit.
    BottomLabel,
    /// The three bits between label and bottom-of-stack bit.
    Exp,
    /// Smallest and largest TTL are the same.
    TtlEqual,
    /// Computed from the counters and times of the record.
    Rate(Rate),
}

/// What is asked of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// That it is a DNS message.
    Dns,
    /// Text in the name of a question.
    DnsName,
    /// Text in an address of an answer or additional record.
    DnsAddress,
    /// That it is a TLS client hello.
    Hello,
    /// The highest version that is offered.
    Version,
    /// Text in the name of the server.
    ServerName,
    /// Its JA3, or that it has one.
    Ja3,
    /// Its JA4, or that it has one.
    Ja4,
}

impl Part {
    /// Protocols that carry such messages.
    pub(crate) const fn protocols(self) -> &'static [u64] {
        match self {
            Self::Dns | Self::DnsName | Self::DnsAddress => &[6, 17],
            Self::Hello | Self::Version | Self::ServerName | Self::Ja3 | Self::Ja4 => &[6],
        }
    }
}

/// Values that are computed. A part that the record lacks counts as 0, and so does a quotient
/// whose divisor is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Milliseconds from first to last.
    Duration,
    /// 1000 * packets / duration.
    Pps,
    /// 8000 * bytes / duration.
    Bps,
    /// bytes / packets.
    Bpp,
}

/// What follows the words of a primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Nothing,
    /// A number up to this one.
    Number(u64),
    /// A port up to 65535, or `in nat pblock`.
    Port,
    /// A protocol number or the beginning of a protocol's name.
    Proto,
    /// Flag letters or a number up to 255.
    Flags,
    /// A number up to 255 or a name.
    Named(Names),
    /// A name, no number.
    Name(Names),
    /// `ingress`, `egress`, 0 or 1.
    FlowDir,
    Address,
    Net,
    Mac,
    /// Text of at most so many octets; a bare number only where `true`.
    Text(u32, bool),
    Time,
    /// Two letters, one blank before them, or in quotes.
    Country,
    /// A regular expression, and its flags as a second word.
    Regex,
    /// The sum of a JA3 fingerprint.
    Ja3,
    /// A JA4 fingerprint.
    Ja4,
    /// Known to the language, but not to this version.
    Unsupported(&'static str),
}

/// One wording of one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// Words with one blank between them.
    pub(crate) text: &'static str,
    /// Fields it reads.
    pub(crate) fields: &'static [Field],
    line: usize,
}

impl Phrase {
    /// The line of the table it belongs to.
    pub(crate) fn line(&self) -> &'static Primitive {
        &PRIMITIVES[self.line]
    }
}

impl Primitive {
    const fn cmp(self) -> Self {
        Self { cmp: true, ..self }
    }

    const fn list(self) -> Self {
        Self { list: true, ..self }
    }
}

type Wordings = &'static [(&'static str, &'static [Field])];

const fn line(test: Test, operand: Operand, wordings: Wordings) -> Primitive {
    Primitive { test, operand, cmp: false, list: false, wordings }
}

/// A number in a field, with comparators: the common case.
const fn number(max: u64, wordings: Wordings) -> Primitive {
    line(Test::Value, Number(max), wordings).cmp()
}

const MAX8: u64 = u8::MAX as u64;
const MAX16: u64 = u16::MAX as u64;
const MAX32: u64 = u32::MAX as u64;
const MAX64: u64 = u64::MAX;
const PAYLOADS: &[Field] = &[InPayload, OutPayload];
const IN: &[Field] = &[InPayload];
const OUT: &[Field] = &[OutPayload];
const FLAGS: &[Field] = &[TcpFlags];
const LABELS: &[Field] = &[Mpls1, Mpls2, Mpls3, Mpls4, Mpls5, Mpls6, Mpls7, Mpls8, Mpls9, Mpls10];

#[rustfmt::skip]
static PRIMITIVES: &[Primitive] = &[
    line(Test::Always, Nothing, &[("any", &[])]),
    line(Test::Width(4), Nothing, &[("ipv4", &[SrcAddr])]),
    line(Test::Width(16), Nothing, &[("ipv6", &[SrcAddr])]),
    line(Test::Ident, Text(255, true), &[("ident", &[])]),
    line(Test::Count, Number(MAX64), &[("count", &[])]).cmp(),
    // Exporter.
    number(MAX8, &[("engine-type", &[EngineType]), ("engine type", &[EngineType])]),
    number(MAX8, &[("engine-id", &[EngineId]), ("engine id", &[EngineId])]),
    number(MAX16, &[("exporter id", &[ExporterId]), ("exporter sysid", &[ExporterId])]),
    number(MAX32, &[("observation domain id", &[ObservationDomain])]),
    number(MAX64, &[("observation point id", &[ObservationPoint])]),
    // Flow.
    line(Test::Value, Proto, &[("proto", &[Field::Proto]), ("tun proto", &[TunProto])]),
    line(Test::Value, Operand::Port, &[
        ("port", &[SrcPort, DstPort]), ("src port", &[SrcPort]), ("dst port", &[DstPort]),
    ]).cmp().list(),
    line(Test::Icmp, Number(MAX8), &[("icmp-type", &[IcmpType]), ("icmp type", &[IcmpType])]).cmp(),
    line(Test::Icmp, Number(MAX8), &[("icmp-code", &[IcmpCode]), ("icmp code", &[IcmpCode])]).cmp(),
    // Flags have no direction, but the language allows each of them.
    line(Test::Tcp, Flags, &[
        ("flags", FLAGS), ("src flags", FLAGS), ("src nat flags", FLAGS), ("src tun flags", FLAGS),
        ("dst flags", FLAGS), ("dst nat flags", FLAGS), ("dst tun flags", FLAGS),
        ("nat flags", FLAGS), ("tun flags", FLAGS), ("in flags", FLAGS), ("in src flags", FLAGS),
        ("in dst flags", FLAGS), ("out flags", FLAGS), ("out src flags", FLAGS),
        ("out dst flags", FLAGS), ("ingress flags", FLAGS), ("egress flags", FLAGS),
        ("client flags", FLAGS), ("server flags", FLAGS), ("prev flags", FLAGS),
        ("next flags", FLAGS), ("bgp next flags", FLAGS), ("router flags", FLAGS),
        ("exporter flags", FLAGS),
    ]).cmp(),
    number(MAX8, &[("tos", &[SrcTos]), ("src tos", &[SrcTos]), ("dst tos", &[DstTos])]),
    number(MAX8, &[("ttl", &[MinTtl, MaxTtl]), ("min ttl", &[MinTtl]), ("max ttl", &[MaxTtl])]),
    line(Test::TtlEqual, Nothing, &[
        ("ttl equal", &[MinTtl, MaxTtl]), ("min ttl equal", &[MinTtl, MaxTtl]),
        ("max ttl equal", &[MinTtl, MaxTtl]),
    ]),
    line(Test::Value, Named(Names::FwdStatus), &[("fwdstat", &[FwdStatus])]).cmp(),
    line(Test::Value, Operand::FlowDir, &[("flowdir", &[Direction])]),
    number(MAX64, &[("packets", &[Packets]), ("in packets", &[Packets]), ("out packets", &[OutPackets])]),
    number(MAX64, &[("bytes", &[Bytes]), ("in bytes", &[Bytes]), ("out bytes", &[OutBytes])]),
    number(MAX64, &[("flows", &[Flows])]),
    line(Test::Rate(Rate::Duration), Number(MAX64), &[("duration", &[First, Last])]).cmp(),
    line(Test::Rate(Rate::Pps), Number(MAX64), &[("pps", &[Packets, First, Last])]).cmp(),
    line(Test::Rate(Rate::Bps), Number(MAX64), &[("bps", &[Bytes, First, Last])]).cmp(),
    line(Test::Rate(Rate::Bpp), Number(MAX64), &[("bpp", &[Bytes, Packets])]).cmp(),
    line(Test::Value, Time, &[("first seen", &[First]), ("last seen", &[Last])]).cmp(),
    // Addresses.
    line(Test::Addr, Address, &[
        ("ip", &[SrcAddr, DstAddr]), ("src ip", &[SrcAddr]), ("dst ip", &[DstAddr]),
        ("nat ip", &[XlateSrcAddr, XlateDstAddr]), ("src nat ip", &[XlateSrcAddr]),
        ("dst nat ip", &[XlateDstAddr]), ("tun ip", &[TunSrcAddr, TunDstAddr]),
        ("src tun ip", &[TunSrcAddr]), ("dst tun ip", &[TunDstAddr]), ("next ip", &[NextHop]),
    ]).list(),
    line(Test::Addr, Address, &[
        ("bgp next ip", &[BgpNextHop]), ("router ip", &[Router]), ("exporter ip", &[Router]),
    ]),
    line(Test::Addr, Net, &[
        ("net", &[SrcAddr, DstAddr]), ("src net", &[SrcAddr]), ("dst net", &[DstAddr]),
        ("nat net", &[XlateSrcAddr, XlateDstAddr]), ("src nat net", &[XlateSrcAddr]),
        ("dst nat net", &[XlateDstAddr]), ("tun net", &[TunSrcAddr, TunDstAddr]),
        ("src tun net", &[TunSrcAddr]), ("dst tun net", &[TunDstAddr]), ("next net", &[NextHop]),
        ("bgp next net", &[BgpNextHop]), ("router net", &[Router]), ("exporter net", &[Router]),
    ]),
    // Routing and link.
    line(Test::System, Number(MAX32), &[
        ("as", &[SrcAs, DstAs]), ("src as", &[SrcAs]), ("dst as", &[DstAs]),
    ]).cmp().list(),
    number(MAX32, &[("prev as", &[PrevAs]), ("next as", &[NextAs])]).list(),
    line(Test::Value, Number(MAX32), &[
        ("if", &[Input, Output]), ("in if", &[Input]), ("out if", &[Output]),
    ]),
    line(Test::Value, Number(MAX32), &[
        ("vlan", &[SrcVlan, DstVlan, VlanId, PostVlanId]), ("src vlan", &[SrcVlan, VlanId]),
        ("dst vlan", &[DstVlan, PostVlanId]),
    ]),
    line(Test::Value, Number(MAX8), &[
        ("mask", &[SrcMask, DstMask]), ("src mask", &[SrcMask]), ("dst mask", &[DstMask]),
    ]),
    line(Test::Value, Number(MAX16), &[("ethertype", &[EtherType])]),
    line(Test::Value, Operand::Mac, &[
        ("mac", &[InSrcMac, InDstMac, OutSrcMac, OutDstMac]), ("in mac", &[InSrcMac, InDstMac]),
        ("out mac", &[OutSrcMac, OutDstMac]), ("src mac", &[InSrcMac, OutSrcMac]),
        ("dst mac", &[InDstMac, OutDstMac]), ("in src mac", &[InSrcMac]),
        ("in dst mac", &[InDstMac]), ("out src mac", &[OutSrcMac]), ("out dst mac", &[OutDstMac]),
    ]),
    line(Test::Label, Number(MAX64), &[
        ("mpls label1", &[Mpls1]), ("mpls label2", &[Mpls2]), ("mpls label3", &[Mpls3]),
        ("mpls label4", &[Mpls4]), ("mpls label5", &[Mpls5]), ("mpls label6", &[Mpls6]),
        ("mpls label7", &[Mpls7]), ("mpls label8", &[Mpls8]), ("mpls label9", &[Mpls9]),
        ("mpls label10", &[Mpls10]),
    ]).cmp(),
    line(Test::Exp, Number(MAX64), &[
        ("mpls exp1", &[Mpls1]), ("mpls exp2", &[Mpls2]), ("mpls exp3", &[Mpls3]),
        ("mpls exp4", &[Mpls4]), ("mpls exp5", &[Mpls5]), ("mpls exp6", &[Mpls6]),
        ("mpls exp7", &[Mpls7]), ("mpls exp8", &[Mpls8]), ("mpls exp9", &[Mpls9]),
        ("mpls exp10", &[Mpls10]),
    ]).cmp(),
    line(Test::BottomLabel, Number(MAX64), &[("mpls eos", LABELS)]).cmp(),
    line(Test::UsedLabel, Number(MAX64), &[("mpls any", LABELS)]).cmp(),
    number(MAX64, &[("client latency", &[ClientLatency]), ("server latency", &[ServerLatency])]),
    number(MAX32, &[("ingress vrf", &[IngressVrf]), ("egress vrf", &[EgressVrf])]),
    // NAT and firewall.
    number(MAX16, &[
        ("nat port", &[XlateSrcPort, XlateDstPort]), ("src nat port", &[XlateSrcPort]),
        ("dst nat port", &[XlateDstPort]),
    ]).list(),
    line(Test::Value, Named(Names::NatEvent), &[("nat event", &[NatEvent])]).cmp(),
    number(MAX16, &[
        ("nat pblock start", &[PblockStart]), ("nat pblock end", &[PblockEnd]),
        ("nat pblock step", &[PblockStep]), ("nat pblock size", &[PblockSize]),
    ]),
    line(Test::Value, Named(Names::FwEvent), &[("asa event", &[FwEvent])]).cmp(),
    number(MAX16, &[("asa xevent", &[FwXEvent])]),
    line(Test::Value, Name(Names::Denied), &[(ASA_DENIED, &[FwXEvent])]),
    line(Test::Text, Text(65, false), &[("asa user", &[Username])]),
    line(Test::Acl, Number(MAX32), &[("ingress acl", &[IngressAcl]), ("egress acl", &[EgressAcl])]).cmp(),
    number(MAX32, &[("pf rule", &[PfRule])]),
    line(Test::Value, Named(Names::PfAction), &[("pf action", &[PfAction])]),
    line(Test::Value, Named(Names::PfReason), &[("pf reason", &[PfReason])]),
    line(Test::PfDir, Name(Names::PfDir), &[("pf dir", &[PfDir])]),
    line(Test::Text, Text(255, false), &[("pf interface", &[PfInterface])]),
    // What a book of addresses knows.
    line(Test::Country, Country, &[
        ("geo", &[SrcAddr, DstAddr]), ("src geo", &[SrcAddr]), ("dst geo", &[DstAddr]),
        ("nat geo", &[XlateSrcAddr, XlateDstAddr]), ("src nat geo", &[XlateSrcAddr]),
        ("dst nat geo", &[XlateDstAddr]), ("tun geo", &[TunSrcAddr, TunDstAddr]),
        ("src tun geo", &[TunSrcAddr]), ("dst tun geo", &[TunDstAddr]),
    ]),
    // Payload. The first two look at both directions, whichever is named.
    line(Test::Content, Text(255, false), &[
        ("payload content", PAYLOADS), ("in payload content", PAYLOADS),
        ("out payload content", PAYLOADS), ("src payload content", PAYLOADS),
        ("dst payload content", PAYLOADS),
    ]),
    line(Test::Regex, Regex, &[
        ("payload regex", PAYLOADS), ("in payload regex", PAYLOADS),
        ("out payload regex", PAYLOADS), ("src payload regex", PAYLOADS),
        ("dst payload regex", PAYLOADS),
    ]),
    // The others look at one direction: without a word for it, at that of the way in.
    line(Test::Message(Part::Dns), Nothing, &[
        ("payload dns defined", IN), ("in payload dns defined", IN), ("out payload dns defined", OUT),
    ]),
    line(Test::Message(Part::DnsName), Text(255, false), &[
        ("payload dns name", IN), ("in payload dns name", IN), ("out payload dns name", OUT),
    ]),
    line(Test::Message(Part::DnsAddress), Text(255, false), &[
        ("payload dns address", IN), ("in payload dns address", IN),
        ("out payload dns address", OUT), ("payload dns addr", IN), ("in payload dns addr", IN),
        ("out payload dns addr", OUT),
    ]),
    line(Test::Message(Part::Hello), Nothing, &[
        ("payload tls defined", IN), ("in payload tls defined", IN), ("out payload tls defined", OUT),
        ("payload ssl defined", IN), ("in payload ssl defined", IN), ("out payload ssl defined", OUT),
    ]),
    line(Test::Message(Part::Version), Name(Names::TlsVersion), &[
        ("payload tls version", IN), ("in payload tls version", IN), ("out payload tls version", OUT),
    ]),
    line(Test::Message(Part::Version), Name(Names::SslVersion), &[
        ("payload ssl version", IN), ("in payload ssl version", IN), ("out payload ssl version", OUT),
    ]),
    line(Test::Message(Part::ServerName), Text(64, false), &[
        ("payload tls sni", IN), ("in payload tls sni", IN), ("out payload tls sni", OUT),
        ("payload ssl sni", IN), ("in payload ssl sni", IN), ("out payload ssl sni", OUT),
    ]),
    line(Test::Message(Part::Ja3), Nothing, &[
        ("payload ja3 defined", IN), ("in payload ja3 defined", IN), ("out payload ja3 defined", OUT),
    ]),
    line(Test::Message(Part::Ja3), Operand::Ja3, &[
        ("payload ja3", IN), ("in payload ja3", IN), ("out payload ja3", OUT),
    ]),
    line(Test::Message(Part::Ja4), Nothing, &[
        ("payload ja4 defined", IN), ("in payload ja4 defined", IN), ("out payload ja4 defined", OUT),
    ]),
    line(Test::Message(Part::Ja4), Operand::Ja4, &[
        ("payload ja4", IN), ("in payload ja4", IN), ("out payload ja4", OUT),
    ]),
    // Known words that this version answers with an error that says so.
    line(Test::Always, Unsupported("`payload ja4s`"), &[("payload ja4s", &[])]),
];

/// The wording that `asa event denied ingress` is read as.
pub(crate) const ASA_DENIED: &str = "asa denied";

/// Words that mean another one wherever they are no word of their own.
const SYNONYMS: &[(&str, &str)] = &[("host", "ip"), ("xlate", "nat"), ("cnt", "count")];

/// All phrases of the table, in the order of their texts. A blank sorts before every letter, so
/// the phrases that go on from one stand behind it.
#[derive(Debug)]
pub(crate) struct Phrases(Vec<Phrase>);

impl Phrases {
    /// The phrases of the table.
    pub(crate) fn all() -> &'static Self {
        static ALL: OnceLock<Phrases> = OnceLock::new();
        ALL.get_or_init(|| {
            let lines = PRIMITIVES.iter().enumerate();
            let phrases = lines.flat_map(|(line, p)| {
                p.wordings.iter().map(move |&(text, fields)| Phrase { text, fields, line })
            });
            let mut all: Vec<_> = phrases.collect();
            all.sort_by_key(|p| p.text);
            Self(all)
        })
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Phrase> {
        self.0.iter()
    }

    /// The phrase of exactly these words.
    pub(crate) fn find(&self, text: &str) -> Option<&Phrase> {
        self.0.binary_search_by_key(&text, |p| p.text).ok().and_then(|i| self.0.get(i))
    }

    /// `path` with `word` behind it, if some phrase begins so.
    pub(crate) fn extend(&self, path: &str, word: &str) -> Option<String> {
        // No word of the table is longer; the text may have words of megabytes.
        if word.len() > 16 {
            return None;
        }
        let word = word.to_ascii_lowercase();
        let synonym = SYNONYMS.iter().find(|s| s.0 == word).map(|s| s.1);
        [Some(word.as_str()), synonym].into_iter().flatten().find_map(|word| {
            let longer = if path.is_empty() { word.to_owned() } else { format!("{path} {word}") };
            let leads_on = self.under(&longer).next().is_some();
            leads_on.then_some(longer)
        })
    }

    /// Phrases that are `path` or go on from it.
    pub(crate) fn under(&self, path: &str) -> impl Iterator<Item = &Phrase> {
        let from = self.0.partition_point(|p| p.text < path);
        self.0[from..].iter().take_while(move |p| {
            let rest = p.text.strip_prefix(path);
            rest.is_some_and(|r| path.is_empty() || r.is_empty() || r.starts_with(' '))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Kind;
    use std::collections::HashSet;

    #[test]
    fn no_wording_is_there_twice() {
        let mut seen = HashSet::new();
        for p in Phrases::all().iter() {
            assert!(seen.insert(p.text), "{} twice", p.text);
            assert_eq!(Phrases::all().find(p.text), Some(p));
        }
    }

    #[test]
    fn every_word_of_the_field_table_reads_its_field() {
        for def in Field::ALL.iter().map(|f| f.def()).filter(|d| !d.words.is_empty()) {
            let phrase = Phrases::all().find(def.words);
            let phrase = phrase.unwrap_or_else(|| panic!("`{}` is no phrase", def.words));
            assert!(phrase.fields.contains(&def.field), "{}", def.words);
        }
    }

    #[test]
    fn fields_suit_the_test() {
        for p in Phrases::all().iter() {
            for field in p.fields {
                let kind = field.kind();
                let suits = match p.line().test {
                    Test::Width(_) | Test::Addr | Test::Country => kind == Kind::Addr,
                    Test::Text => matches!(kind, Kind::Text(_)),
                    Test::Acl => kind == Kind::Acl,
                    Test::Content | Test::Regex | Test::Message(_) => kind == Kind::Bytes,
                    _ => kind.is_number(),
                };
                assert!(suits, "{} reads {field:?}", p.text);
            }
        }
    }

    #[test]
    fn words_lead_through_phrases() {
        let all = Phrases::all();
        let walk = |words: &str| {
            words.split(' ').try_fold(String::new(), |path, word| all.extend(&path, word))
        };
        for (words, want) in [
            ("SRC Host", Some("src ip")),
            ("src xlate port", Some("src nat port")),
            ("exporter ip", Some("exporter ip")),
            ("exporter id", Some("exporter id")),
            ("bgp", Some("bgp")),
            ("bgp ip", None),
            ("src src", None),
            ("po", None),
            ("icmp", Some("icmp")),
        ] {
            assert_eq!(walk(words).as_deref(), want, "{words}");
        }
    }
}
