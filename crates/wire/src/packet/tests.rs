//! Frames of every kind: whole, cut at each octet, and damaged.

use super::*;

#[test]
fn a_plain_segment() {
    let frame = frames::plain_tcp();
    let packet = decode(LinkType::Ethernet, &frame, 60, Depth::Outer);
    let ip = packet.ip.unwrap();
    assert_eq!(ip.src, Addr::V4(0xc000_0201));
    assert_eq!((ip.octets, ip.proto, ip.tos, ip.at), (40, 6, 0x28, 14));
    assert_eq!(packet.transport, Transport::Tcp { src: 50_000, dst: 443, flags: Some(0x12) });
    assert_eq!((packet.payload, packet.stop), (&[][..], None));
}
