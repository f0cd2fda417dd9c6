//! How keys are shown, and the filters that ask for them.

use query::{By, KeyText, Prefix};
use record::Field;
use record::code::Proto;
use std::net::IpAddr;

/// Names for values: of hosts, and of ports.
pub trait Names {
    /// Name of the host with this address, if it is known.
    fn host(&self, address: &str) -> Option<&str>;
    /// Name of a port.
    fn port(&self, port: &str) -> Option<&str>;
}

/// No names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Names for Plain {
    fn host(&self, _: &str) -> Option<&str> {
        None
    }
    fn port(&self, _: &str) -> Option<&str> {
        None
    }
}

/// A key in one line: `10.1.2.3`, `TCP 10.1.2.3:51234 -> 192.0.2.7:443`. Ports stand behind their
/// addresses.
pub fn label(parts: &[KeyText], names: &dyn Names) -> String {
    let find = |field| parts.iter().find(|p| p.field == Some(field));
    let has_ends = find(Field::SrcAddr).is_some() && find(Field::DstAddr).is_some();
    let mut words: Vec<String> = Vec::new();
    for part in parts {
        let port = match part.field {
            Some(Field::SrcPort) if find(Field::SrcAddr).is_some() => continue,
            Some(Field::DstPort) if find(Field::DstAddr).is_some() => continue,
            Some(Field::SrcAddr) => find(Field::SrcPort),
            Some(Field::DstAddr) => find(Field::DstPort),
            _ => None,
        };
        if part.field == Some(Field::DstAddr) && has_ends {
            words.push("->".to_owned());
        }
        let text = value(part, names);
        words.push(match port {
            Some(port) if part.text.contains(':') => format!("[{text}]:{}", value(port, names)),
            Some(port) => format!("{text}:{}", value(port, names)),
            None => text,
        });
    }
    words.join(" ")
}

/// One value, by its name where it has one.
fn value(part: &KeyText, names: &dyn Names) -> String {
    let text = part.text.as_str();
    let name = match part.field {
        Some(Field::Proto) => text.parse().ok().and_then(|n| Proto(n).name()),
        Some(f) if is_address(f) => names.host(text),
        Some(Field::SrcPort | Field::DstPort) => names.port(text),
        _ => None,
    };
    name.unwrap_or(text).to_owned()
}

/// Whether the values of a field are addresses of hosts.
pub const fn is_address(field: Field) -> bool {
    use Field as F;
    matches!(field, F::SrcAddr | F::DstAddr | F::NextHop | F::BgpNextHop | F::Router)
}

/// The filter that passes what was counted under a key; `None` where the language has no word for
/// a part of it.
pub fn filter(by: &By, parts: &[KeyText]) -> Option<String> {
    // An element of several fields counts a flow under the value of each.
    let is_either = matches!(by, By::Element { element, .. } if element.fields.len() > 1);
    let joins = matches!(by, By::Flows(grouping) if grouping.merges_directions());
    let asked = |(n, part): (usize, &KeyText)| {
        let prefix = match by {
            // 0 is also for records that do not say, which no filter of masks passes.
            By::Flows(_) if is_mask(part.field) && part.text == "0" => return None,
            By::Flows(grouping) => grouping.key.parts().get(n)?.prefix,
            By::Element { .. } => Prefix::Full,
        };
        Some((part.field?, is_either && n == 0, Asked::new(part, prefix, parts)?))
    };
    let all: Option<Vec<_>> = parts.iter().enumerate().map(asked).collect();
    let all = all?;
    let terms = |turn: fn(Field) -> Field| {
        let term =
            |(field, is_either, asked): &(Field, bool, Asked)| asked.term(turn(*field), *is_either);
        Some(all.iter().map(term).collect::<Option<Vec<_>>>()?.join(" and "))
    };
    let there = terms(|field| field)?;
    if !joins {
        return Some(there);
    }
    Some(format!("(({there}) or ({}))", terms(opposite)?))
}

fn is_mask(field: Option<Field>) -> bool {
    matches!(field, Some(Field::SrcMask | Field::DstMask))
}

/// What is asked of a field.
struct Asked {
    value: String,
    /// The value is a network, with the length of its prefix.
    is_net: bool,
}

impl Asked {
    /// What the part of a key that has this prefix asks; `None` if the prefix leaves nothing of it.
    fn new(part: &KeyText, prefix: Prefix, parts: &[KeyText]) -> Option<Self> {
        let len = match (prefix, part.text.parse::<IpAddr>()) {
            (Prefix::Full, _) => {
                return Some(Self { value: part.text.clone(), is_net: false });
            }
            // Addresses of a family without a length are all the unspecified one: no filter tells
            // them from that.
            (Prefix::Leading { v4, v6 }, Ok(address))
                if address.is_unspecified() && (v4.is_none() || v6.is_none()) =>
            {
                return None;
            }
            (Prefix::Leading { v4, .. }, Ok(IpAddr::V4(_))) => v4?,
            (Prefix::Leading { v6, .. }, Ok(IpAddr::V6(_))) => v6?,
            (Prefix::OwnMask(mask), Ok(_)) => {
                // The mask is a part of the key, too.
                parts.iter().find(|p| p.field == Some(mask))?.text.parse().ok()?
            }
            _ => return None,
        };
        Some(Self { value: format!("{}/{len}", part.text), is_net: true })
    }

    fn term(&self, field: Field, is_either: bool) -> Option<String> {
        let words = match (self.is_net, field) {
            (false, _) => words(field, is_either)?,
            (true, Field::SrcAddr) => "src net",
            (true, Field::DstAddr) => "dst net",
            (true, _) => return None,
        };
        Some(format!("{words} {}", self.value))
    }
}

const fn opposite(field: Field) -> Field {
    match field {
        Field::SrcAddr => Field::DstAddr,
        Field::DstAddr => Field::SrcAddr,
        Field::SrcPort => Field::DstPort,
        Field::DstPort => Field::SrcPort,
        other => other,
    }
}

/// The words of the filter language that ask for a field, or for it and its counterpart.
const fn words(field: Field, is_either: bool) -> Option<&'static str> {
    use Field as F;
    Some(match (field, is_either) {
        (F::SrcAddr, false) => "src host",
        (F::DstAddr, false) => "dst host",
        (F::SrcAddr | F::DstAddr, true) => "host",
        (F::SrcPort, false) => "src port",
        (F::DstPort, false) => "dst port",
        (F::SrcPort | F::DstPort, true) => "port",
        (F::SrcAs, false) => "src as",
        (F::DstAs, false) => "dst as",
        (F::SrcAs | F::DstAs, true) => "as",
        (F::Input, false) => "in if",
        (F::Output, false) => "out if",
        (F::Input | F::Output, true) => "if",
        (F::SrcMask, false) => "src mask",
        (F::DstMask, false) => "dst mask",
        (F::SrcMask | F::DstMask, true) => "mask",
        (F::SrcTos, false) => "src tos",
        (F::DstTos, false) => "dst tos",
        (F::SrcTos | F::DstTos, true) => "tos",
        (F::Proto, _) => "proto",
        (F::NextHop, _) => "next ip",
        (F::BgpNextHop, _) => "bgp next ip",
        (F::Router, _) => "router ip",
        _ => return None,
    })
}

/// What is looked at next, once one key has been singled out.
pub const fn next_element(field: Option<Field>, is_either: bool) -> &'static str {
    use Field as F;
    match field {
        Some(F::SrcAddr) if !is_either => "dstip",
        Some(F::DstAddr) if !is_either => "srcip",
        Some(F::SrcAddr | F::DstAddr) => "record",
        Some(F::Proto) => "port",
        _ => "ip",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use query::{Element, Grouping};

    fn part(field: Field, text: &str) -> KeyText {
        KeyText { field: Some(field), text: text.to_owned() }
    }

    struct Some1;
    impl Names for Some1 {
        fn host(&self, address: &str) -> Option<&str> {
            (address == "192.0.2.7").then_some("www.example.net")
        }
        fn port(&self, port: &str) -> Option<&str> {
            (port == "443").then_some("https")
        }
    }

    fn five(src: &str, dst: &str) -> Vec<KeyText> {
        vec![
            part(Field::Proto, "6"),
            part(Field::SrcAddr, src),
            part(Field::DstAddr, dst),
            part(Field::SrcPort, "51234"),
            part(Field::DstPort, "443"),
        ]
    }

    #[test]
    fn keys_in_a_line() {
        for (parts, plain, named) in [
            (vec![part(Field::SrcAddr, "192.0.2.7")], "192.0.2.7", "www.example.net"),
            (
                five("10.1.2.3", "192.0.2.7"),
                "TCP 10.1.2.3:51234 -> 192.0.2.7:443",
                "TCP 10.1.2.3:51234 -> www.example.net:https",
            ),
            (
                five("2001:db8::1", "::1"),
                "TCP [2001:db8::1]:51234 -> [::1]:443",
                "TCP [2001:db8::1]:51234 -> [::1]:https",
            ),
            (vec![part(Field::DstPort, "443")], "443", "https"),
            (
                vec![part(Field::SrcAddr, "10.0.0.0"), part(Field::DstPort, "443")],
                "10.0.0.0 443",
                "10.0.0.0 https",
            ),
            (vec![part(Field::Proto, "251")], "251", "251"),
            (vec![KeyText { field: None, text: "any".to_owned() }], "any", "any"),
        ] {
            assert_eq!(label(&parts, &Plain), plain);
            assert_eq!(label(&parts, &Some1), named);
        }
    }

    #[test]
    fn filters_of_keys() {
        let element =
            |name| By::Element { element: Element::named(name).unwrap(), by_proto: false };
        let groups = |fields| By::Flows(Grouping::parse(fields).unwrap());
        let joined = |fields| {
            let grouping = Grouping::parse(fields).unwrap();
            By::Flows(Grouping { direction: query::Direction::Merged, ..grouping })
        };
        let ten = || vec![part(Field::SrcAddr, "10.1.2.3")];
        for (by, parts, want) in [
            (element("ip"), ten(), Some("host 10.1.2.3")),
            (element("srcip"), ten(), Some("src host 10.1.2.3")),
            (element("port"), vec![part(Field::SrcPort, "53")], Some("port 53")),
            (element("if"), vec![part(Field::Input, "3")], Some("if 3")),
            (element("any"), vec![KeyText { field: None, text: "any".to_owned() }], None),
            (element("ja3"), vec![part(Field::InPayload, "x")], None),
            (
                By::Flows(Grouping::five_tuple()),
                five("10.1.2.3", "::1"),
                Some(
                    "proto 6 and src host 10.1.2.3 and dst host ::1 and src port 51234 and dst port 443",
                ),
            ),
            (
                By::Flows(Grouping::bidirectional(false)),
                vec![part(Field::SrcAddr, "10.1.2.3"), part(Field::DstPort, "1")],
                Some("((src host 10.1.2.3 and dst port 1) or (dst host 10.1.2.3 and src port 1))"),
            ),
            // Networks, of one family or by the mask in the record.
            (
                groups("srcip4/24,dstport"),
                vec![part(Field::SrcAddr, "10.1.2.0"), part(Field::DstPort, "53")],
                Some("src net 10.1.2.0/24 and dst port 53"),
            ),
            (
                groups("dstip4/24,dstip6/48"),
                vec![part(Field::DstAddr, "2001:db8:1::")],
                Some("dst net 2001:db8:1::/48"),
            ),
            (groups("srcip4"), ten(), Some("src net 10.1.2.3/32")),
            // Addresses of the other family are all one value, which no filter asks for.
            (groups("srcip4/24"), vec![part(Field::SrcAddr, "0.0.0.0")], None),
            (groups("srcip6/64"), vec![part(Field::SrcAddr, "0.0.0.0")], None),
            (
                groups("srcip4/24,srcip6/64"),
                vec![part(Field::SrcAddr, "0.0.0.0")],
                Some("src net 0.0.0.0/24"),
            ),
            (
                groups("srcnet"),
                vec![part(Field::SrcMask, "22"), part(Field::SrcAddr, "10.1.0.0")],
                Some("src mask 22 and src net 10.1.0.0/22"),
            ),
            (
                groups("srcnet"),
                vec![part(Field::SrcMask, "0"), part(Field::SrcAddr, "10.1.0.7")],
                None,
            ),
            (
                joined("srcip4/24,dstip4/16"),
                vec![part(Field::SrcAddr, "10.1.2.0"), part(Field::DstAddr, "10.9.0.0")],
                Some(
                    "((src net 10.1.2.0/24 and dst net 10.9.0.0/16) or (dst net 10.1.2.0/24 and src net 10.9.0.0/16))",
                ),
            ),
            (
                By::Flows(Grouping::bidirectional(false)),
                vec![part(Field::Proto, "6"), part(Field::SrcAddr, "10.1.2.3")],
                Some("((proto 6 and src host 10.1.2.3) or (proto 6 and dst host 10.1.2.3))"),
            ),
        ] {
            let got = filter(&by, &parts);
            assert_eq!(got.as_deref(), want);
            if let Some(got) = got {
                ::filter::Filter::parse(&got).unwrap();
            }
        }
    }
}
