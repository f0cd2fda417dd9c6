//! IEEE 802.11 data frames.

use super::ether::mac;
use super::link::Next;
use super::reader::Reader;
use super::{Cause, Layer, Link, Stop};

/// A data frame up to what it carries (IEEE 802.11, 9.2 and 9.3.2): LLC, or Ethernet-like subframes
/// of an aggregate, of which the first is read. Encrypted frames and later fragments show nothing.
pub(super) fn frame(link: &mut Link, reader: &mut Reader<'_>) -> Result<Next, Stop> {
    const DATA: u8 = 2;
    const NULL: u8 = 4;
    const QOS: u8 = 8;
    const TO_DS: u8 = 1;
    const FROM_DS: u8 = 2;
    const PROTECTED: u8 = 0x40;
    const ORDER: u8 = 0x80;
    const AGGREGATE: u8 = 0x80;
    let [control, flags] = *reader.peek(Layer::Link)?;
    let subtype = control >> 4;
    if control & 3 != 0 || control >> 2 & 3 != DATA {
        return Err(reader.stop(Cause::NotIp, Layer::Link));
    }
    reader.skip(4, Layer::Link)?;
    let [first, second, third] = addresses(reader)?;
    let [sequence, _] = *reader.take(Layer::Link)?;
    link.dst_mac = Some(mac(if flags & TO_DS == 0 { first } else { third }));
    link.src_mac = Some(mac(match flags & (TO_DS | FROM_DS) {
        FROM_DS => third,
        0 | TO_DS => second,
        _ => *reader.take(Layer::Link)?,
    }));
    let is_later_fragment = sequence & 0xf != 0;
    if flags & PROTECTED != 0 || subtype & NULL != 0 || is_later_fragment {
        return Err(reader.stop(Cause::NotIp, Layer::Link));
    }
    if subtype & QOS == 0 {
        return Ok(Next::Llc);
    }
    let [qos, _] = *reader.take(Layer::Link)?;
    if flags & ORDER != 0 {
        // HT control.
        reader.skip(4, Layer::Link)?;
    }
    Ok(if qos & AGGREGATE == 0 { Next::Llc } else { Next::Ethernet })
}

fn addresses(reader: &mut Reader<'_>) -> Result<[[u8; 6]; 3], Stop> {
    Ok([*reader.take(Layer::Link)?, *reader.take(Layer::Link)?, *reader.take(Layer::Link)?])
}

/// Version, padding, and the length of all there is before the frame, little-endian.
pub(super) fn radiotap(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [version, _, low, high] = *reader.peek(Layer::Link)?;
    let len = usize::from(u16::from_le_bytes([low, high]));
    if version != 0 || len < 8 {
        return Err(reader.stop(Cause::Malformed, Layer::Link));
    }
    reader.skip(len, Layer::Link)?;
    Ok(Next::Wlan)
}
