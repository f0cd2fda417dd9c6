//! Any octets as a capture: no panic, bounded packets, and every frame is accounted for.
#![no_main]

use std::io::Cursor;

use capture::Capture;
use capture::udp::Extractor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut capture) = Capture::new(Cursor::new(data.to_vec())) else { return };
    let mut extractor = Extractor::new();
    let (mut packets, mut octets) = (0, 0);
    // A compressed capture can hold far more than its size says.
    while packets < 100_000 {
        let Ok(Some(packet)) = capture.next() else { break };
        packets += 1;
        octets += packet.bytes.len() as u64;
        if let Some(datagram) = extractor.extract(&packet) {
            assert!(datagram.bytes.len() <= packet.bytes.len().max(65_535));
        }
    }
    extractor.finish();
    assert_eq!((capture.counts().packets, capture.counts().octets), (packets, octets));
    let c = extractor.counts();
    assert_eq!(c.frames, packets);
    assert_eq!(c.frames, c.whole + c.fragments + c.other + c.unknown_link + c.malformed);
    assert!(c.incomplete + 2 * c.reassembled <= c.fragments);
});
