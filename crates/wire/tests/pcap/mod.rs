//! UDP payloads out of a classic capture file of Ethernet frames: no fragments, no tunnels.

use record::Addr;
use std::net::IpAddr;

/// Sender, capture time in milliseconds, payload.
pub(crate) type Datagram = (Addr, u64, Vec<u8>);

/// All UDP datagrams of a capture, in order.
pub(crate) fn datagrams(file: &[u8]) -> Vec<Datagram> {
    let magic: [u8; 4] = file[..4].try_into().unwrap();
    let (is_big, is_nano) = match magic {
        [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
        [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
        [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
        [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
        other => panic!("no classic capture: {other:x?}"),
    };
    let word = |at: usize| {
        let octets: [u8; 4] = file[at..at + 4].try_into().unwrap();
        if is_big { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) }
    };
    let link = word(20);
    let mut out = Vec::new();
    let mut at = 24;
    while at + 16 <= file.len() {
        let (secs, part, len) = (word(at), word(at + 4), word(at + 8) as usize);
        let ms = u64::from(secs) * 1000 + u64::from(part) / if is_nano { 1_000_000 } else { 1000 };
        let frame = &file[at + 16..at + 16 + len];
        if let Some((src, payload)) = udp(frame, link) {
            out.push((src, ms, payload.to_vec()));
        }
        at += 16 + len;
    }
    out
}

fn udp(frame: &[u8], link: u32) -> Option<(Addr, &[u8])> {
    let mut at = match link {
        1 => 12,
        113 => 14,
        276 => 0,
        other => panic!("link type {other}"),
    };
    let half = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    while [0x8100, 0x88a8].contains(&half(at)?) {
        at += 4;
    }
    let ip = if link == 276 { 20 } else { at + 2 };
    let (src, start, end, proto): (IpAddr, usize, usize, u8) = match frame.get(ip)? >> 4 {
        4 => {
            let src: [u8; 4] = frame.get(ip + 12..ip + 16)?.try_into().ok()?;
            let header = usize::from(frame[ip] & 15) * 4;
            (src.into(), ip + header, ip + usize::from(half(ip + 2)?), frame[ip + 9])
        }
        6 => {
            let src: [u8; 16] = frame.get(ip + 8..ip + 24)?.try_into().ok()?;
            (src.into(), ip + 40, ip + 40 + usize::from(half(ip + 4)?), frame[ip + 6])
        }
        _ => return None,
    };
    (proto == 17).then(|| (src.into(), &frame[start + 8..end.min(frame.len())]))
}
