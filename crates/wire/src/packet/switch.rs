//! Ethernet between a switch and the processor that runs it, as captured on the port of the
//! processor: a tag says at which port of the switch a frame came in or goes out.

use super::ether::mac;
use super::link::Next;
use super::reader::{Reader, be16};
use super::{Cause, Layer, Link, Stop, VlanTag};

/// Tags of switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// Marvell: four octets behind the addresses, in the place of a VLAN tag.
    Dsa,
    /// Marvell: the same behind an Ethernet type and two octets of nothing.
    Edsa,
    /// Broadcom: four octets behind the addresses.
    Broadcom,
    /// Broadcom: four octets before them.
    BroadcomFirst,
}

/// A frame with such a tag (Linux, `net/dsa`).
pub(super) fn frame(link: &mut Link, reader: &mut Reader<'_>, tag: Switch) -> Result<Next, Stop> {
    if tag == Switch::BroadcomFirst {
        reader.skip(4, Layer::Link)?;
        return Ok(Next::Ethernet);
    }
    link.dst_mac = Some(mac(*reader.take(Layer::Link)?));
    link.src_mac = Some(mac(*reader.take(Layer::Link)?));
    match tag {
        Switch::Edsa => {
            reader.skip(4, Layer::Vlan)?;
            marvell(link, reader)?;
        }
        Switch::Dsa => marvell(link, reader)?,
        Switch::Broadcom | Switch::BroadcomFirst => reader.skip(4, Layer::Vlan)?,
    }
    let [high, low] = *reader.take(Layer::Link)?;
    Ok(Next::EtherType(be16(high, low)))
}

/// The tag: device and port, and the VLAN tag that it replaces if the frame had one.
fn marvell(link: &mut Link, reader: &mut Reader<'_>) -> Result<(), Stop> {
    const TAGGED: u8 = 0x20;
    const PRIORITY_AND_ID: u16 = 0xefff;
    let [device, _, high, low] = *reader.peek::<4>(Layer::Vlan)?;
    let is_tagged = device & TAGGED != 0;
    if is_tagged && !link.push_vlan(VlanTag(be16(high, low) & PRIORITY_AND_ID)) {
        return Err(reader.stop(Cause::TooDeep, Layer::Vlan));
    }
    reader.skip(4, Layer::Vlan)
}
