//! Any octets as a capture: no panic, bounded packets, every frame is accounted for, and batches are
//! the packets that are read one by one.
#![no_main]

use std::io::Cursor;

use capture::udp::Extractor;
use capture::{Capture, Packet, Progress};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut capture) = Capture::new(Cursor::new(data.to_vec())) else { return };
    let mut batches = Capture::new(Cursor::new(data.to_vec())).expect("it has opened just now");
    let mut extractor = Extractor::new();
    let (mut packets, mut octets, mut sum) = (0, 0, 0);
    // A compressed capture can hold far more than its size says.
    while packets < 100_000 {
        let Ok(Some(packet)) = capture.next() else { break };
        packets += 1;
        octets += packet.bytes.len() as u64;
        sum += digest(&packet);
        if let Some(datagram) = extractor.extract(&packet) {
            assert!(datagram.bytes.len() <= packet.bytes.len().max(65_535));
        }
    }
    let mut in_batches = 0;
    while packets < 100_000 {
        let step = batches.batch(&mut |all| in_batches += all.iter().map(digest).sum::<u128>());
        if !matches!(step, Ok(Progress::More)) {
            assert_eq!((in_batches, batches.counts()), (sum, capture.counts()));
            break;
        }
    }
    extractor.finish();
    assert_eq!((capture.counts().packets, capture.counts().octets), (packets, octets));
    let c = extractor.counts();
    assert_eq!(c.frames, packets);
    assert_eq!(c.frames, c.whole + c.fragments + c.other + c.unknown_link + c.malformed);
    assert!(c.incomplete + 2 * c.reassembled <= c.fragments);
});

/// A number for a packet.
fn digest(packet: &Packet<'_>) -> u128 {
    let numbers = [packet.link, packet.wire_len, packet.interface, packet.bytes.len() as u32];
    let first = packet.bytes.first().copied().unwrap_or_default();
    let sum: u128 = numbers.into_iter().map(u128::from).sum();
    sum * 256 + u128::from(first) + u128::from(packet.time_ns.unwrap_or(1))
}
