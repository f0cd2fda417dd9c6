//! A stack of MPLS labels, and the guess at what it carries.

use super::ether::kind;
use super::link::{Next, Version};
use super::reader::{Reader, be16};
use super::{Cause, Layer, Link, MplsLabel, Stop};

/// Labels of one stack that are read.
const MAX_DEPTH: usize = 16;

/// A stack down to its bottom (RFC 3032, 2.1).
pub(super) fn stack(link: &mut Link, reader: &mut Reader<'_>) -> Result<Next, Stop> {
    for _ in 0..MAX_DEPTH {
        let label = MplsLabel(u32::from_be_bytes(*reader.take::<4>(Layer::Mpls)?));
        link.push_label(label);
        if label.is_bottom() {
            return inside(reader);
        }
    }
    Err(reader.stop(Cause::TooDeep, Layer::Mpls))
}

/// Labels do not say what they carry. IP shows by its version (RFC 4928, 3); a pseudowire has a
/// control word that begins with 0 (RFC 4385, 3) or an Ethernet frame right away.
fn inside(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [first] = *reader.peek::<1>(Layer::Mpls)?;
    match first >> 4 {
        4 => return Ok(Next::Ip(Version::V4)),
        6 => return Ok(Next::Ip(Version::V6)),
        0 if leads_on(reader.rest(), 4) => {
            reader.skip(4, Layer::Mpls)?;
            return Ok(Next::Ethernet);
        }
        _ if leads_on(reader.rest(), 0) => return Ok(Next::Ethernet),
        _ => {}
    }
    // As much as is needed to tell.
    reader.peek::<18>(Layer::Mpls)?;
    Err(reader.stop(Cause::NotIp, Layer::Mpls))
}

/// Whether an Ethernet header `skip` octets from here has a type that leads to IP.
fn leads_on(rest: &[u8], skip: usize) -> bool {
    let Some([.., high, low]) = rest.get(skip..).and_then(|r| r.first_chunk::<14>()) else {
        return false;
    };
    matches!(
        be16(*high, *low),
        kind::IPV4
            | kind::IPV6
            | kind::VLAN
            | kind::SERVICE_VLAN
            | kind::MPLS
            | kind::PPPOE_SESSION
    )
}
