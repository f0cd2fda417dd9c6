//! How fast the cache is: packets of conversations in random order, from memory.
//!
//! ```text
//! cargo run --release -p flowsuite-probe --example cache_speed -- [CONVERSATIONS [PACKETS [v6]]]
//! ```
//! One line for each round: nanoseconds of processor time a packet, packets a second, octets of memory a conversation.

use capture::{Direction, Packet};
use probe::{Cache, CacheConfig, Reason};
use std::env;
use std::fs;

/// Headers of a packet of conversation `n`, in either direction.
fn frame(n: u32, is_back: bool, is_v6: bool) -> Vec<u8> {
    let client = (n.wrapping_mul(0x9e37_79b9) >> 8) | (10 << 24);
    let server = (n.wrapping_mul(0x85eb_ca6b) % 5000) | (192 << 24);
    let port = (n % 60_000 + 1024) as u16;
    let (src, dst, from, to) =
        if is_back { (server, client, 443, port) } else { (client, server, port, 443) };
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let proto = if n.is_multiple_of(4) { 17 } else { 6 };
    if is_v6 {
        out.extend([0x86, 0xdd, 0x60, 0, 0, 0, 3, 0xe8, proto, 64, 0x20, 1, 0xd, 0xb8]);
        out.extend([0; 8]);
        out.extend(src.to_be_bytes());
        out.extend([0x20, 1, 0xd, 0xb8]);
        out.extend([0; 8]);
        out.extend(dst.to_be_bytes());
    } else {
        out.extend([8, 0, 0x45, 0, 3, 0xe8, 0, 0, 0x40, 0, 64, proto, 0, 0]);
        out.extend(src.to_be_bytes());
        out.extend(dst.to_be_bytes());
    }
    out.extend(u16::to_be_bytes(from));
    out.extend(u16::to_be_bytes(to));
    out.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    out
}

/// Nanoseconds of processor time: others may be at work beside us.
fn nanos() -> f64 {
    let used = sys::clock::used();
    (used.user + used.system).as_nanos() as f64
}

/// Resident octets.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn main() {
    let mut args = env::args().skip(1);
    let mut number = |or| args.next().and_then(|n| n.parse().ok()).unwrap_or(or);
    let (conversations, packets) = (number(300_000u32), number(5_000_000));
    let is_v6 = env::args().any(|arg| arg == "v6");
    let frame_len = frame(0, false, is_v6).len();
    let mut order = 1u64;
    let mut bytes = Vec::with_capacity(frame_len * packets as usize);
    for i in 0..packets {
        order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // All of them once, then by lot.
        let n = if i < conversations { i } else { (order >> 33) as u32 % conversations };
        let is_back = i >= conversations && order >> 62 == 0;
        bytes.extend(frame(n, is_back, is_v6));
    }
    let before = resident();
    for round in 0..3 {
        let config = CacheConfig { max_flows: 4 << 20, ..CacheConfig::default() };
        let mut cache = Cache::new(config);
        let begin = nanos();
        let mut time = 1_700_000_000_000_000_000;
        let mut ended = 0u64;
        for frames in bytes.chunks(64 * frame_len) {
            let mut batch = [Packet {
                time_ns: None,
                link: 1,
                wire_len: 1014,
                interface: 0,
                direction: Direction::Unknown,
                bytes: &[],
            }; 64];
            let mut len = 0;
            for (place, frame) in batch.iter_mut().zip(frames.chunks(frame_len)) {
                time += 1000;
                (place.time_ns, place.bytes) = (Some(time), frame);
                len += 1;
            }
            cache.observe(&batch[..len], &mut |_| ended += 1);
        }
        let spent = nanos() - begin;
        let stats = cache.stats();
        assert_eq!(stats.counted(), u64::from(packets));
        println!(
            "round {round}: {:.1} ns a packet, {:.2} M packets/s, {} conversations, {:.0} octets each ({:.0} resident)",
            spent / f64::from(packets),
            f64::from(packets) / spent * 1000.0,
            stats.active,
            stats.memory as f64 / stats.active as f64,
            resident().saturating_sub(before) as f64 / stats.active as f64,
        );
        let begin = nanos();
        let active = stats.active;
        cache.expire_all(Reason::Flushed, &mut |_| ended += 1);
        let spent = nanos() - begin;
        println!("         {:.1} ns a conversation that ends", spent / active as f64);
    }
}
