//! Frames of every kind, behind what the target takes: link, length on the wire, place of a cut.

use crate::Seed;
use wire::packet::LinkType;
use wire::packet::frames::samples;

pub(super) fn seeds() -> Vec<Seed> {
    let seed = |(name, link, frame): (&str, LinkType, Vec<u8>)| {
        let [high, low] = (frame.len() as u16).to_be_bytes();
        let mut out = vec![number(link), high, low, 64];
        out.extend(frame);
        (name.to_owned(), out)
    };
    samples().into_iter().map(seed).collect()
}

/// How the target numbers links.
const fn number(link: LinkType) -> u8 {
    match link {
        LinkType::Raw => 1,
        LinkType::Ipv4 => 2,
        LinkType::Ipv6 => 3,
        LinkType::Null => 4,
        LinkType::Cooked1 => 5,
        LinkType::Cooked2 => 6,
        LinkType::Ppp => 7,
        LinkType::Pppoe => 8,
        LinkType::CiscoHdlc => 9,
        LinkType::FrameRelay => 10,
        LinkType::Mpls => 11,
        LinkType::Pflog => 12,
        LinkType::Nflog => 13,
        LinkType::Other(_) => 15,
        LinkType::Llc => 16,
        LinkType::Wlan => 17,
        LinkType::Radiotap => 18,
        _ => 0,
    }
}
