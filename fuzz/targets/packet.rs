//! Any octets as a captured frame of any link: no panic; lengths stay within what was on the wire;
//! a cut takes knowledge away and changes none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use record::{Addr, Flow};
use wire::packet::{Depth, LinkType, Packet, decode, fill, fill_from_section};

/// Numbers of capture files, one for each link that is read, and one for another.
const LINKS: [u32; 16] = [1, 101, 228, 229, 0, 113, 276, 9, 51, 104, 107, 219, 117, 239, 166, 147];

fn addresses(packet: &Packet<'_>) -> Option<(Addr, Addr, u32)> {
    packet.ip.map(|ip| (ip.src, ip.dst, ip.at))
}

// Input: the link, what the frame measured in two octets, where it is cut, the frame.
fuzz_target!(|data: &[u8]| {
    let Some(([link, w0, w1, cut], frame)) = data.split_first_chunk() else { return };
    let link = match usize::from(*link) {
        16 => LinkType::Llc,
        17 => LinkType::Wlan,
        18 => LinkType::Radiotap,
        n => LinkType::from_dlt(LINKS.get(n).copied().unwrap_or(1)),
    };
    let wire = u32::from(u16::from_be_bytes([*w0, *w1]));
    let outer = decode(link, frame, wire, Depth::Outer);
    let inner = decode(link, frame, wire, Depth::Innermost);
    let room = wire.max(frame.len() as u32);
    for packet in [&outer, &inner] {
        // A length field says no more, and a first fragment is longer than what is here of it.
        let most = room.max(0xffff + 40);
        assert!(packet.ip.is_none_or(|ip| ip.octets <= most));
        assert!(packet.ip.is_none_or(|ip| (ip.at as usize) < frame.len()));
        assert!(packet.stop.is_none_or(|stop| stop.at as usize <= frame.len()));
        assert!(packet.payload.len() <= frame.len());
        let mut flow = Flow::new();
        fill(packet, &mut flow);
    }
    match inner.tunnel {
        None => assert_eq!(Packet { stop: None, ..inner }, Packet { stop: None, ..outer }),
        Some(tunnel) => {
            assert_eq!(addresses(&outer).map(|a| (a.0, a.1)), Some((tunnel.src, tunnel.dst)));
        }
    }
    let section = &frame[..frame.len().min(usize::from(*cut))];
    let part = decode(link, section, room, Depth::Outer);
    if part.ip.is_some() {
        assert_eq!(addresses(&part), addresses(&outer));
    }
    if let Some(ports) = part.transport.ports() {
        assert_eq!(Some(ports), outer.transport.ports());
    }
    for depth in [Depth::Outer, Depth::Innermost] {
        let mut flow = Flow::new();
        let _ = fill_from_section(link, section, None, depth, &mut flow);
    }
});
