//! Frames made by hand, for tests, fuzz corpora and load generators.

/// Ethernet, IPv4 and TCP: a segment with SYN and ACK, no payload, padded to the shortest frame.
pub fn plain_tcp() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([
        0x45, 0x28, 0, 40, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2,
    ]);
    frame.extend([0xc3, 0x50, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x12, 4, 0, 0, 0, 0, 0]);
    frame.resize(60, 0xee);
    frame
}
