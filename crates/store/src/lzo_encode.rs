//! A small LZO1X encoder: greedy, one look at the most recent place of the same four octets.
//!
//! Written from the table of the stream in section 3.2. Any LZO1X decoder reads what it writes; it
//! does not try to pack as tightly as others do, because new files are better kept in LZ4 or zstd.
//!
//! A stream is a chain of instructions. Matches reach back up to 49 151 octets; one to three
//! literals after a match ride in the low two bits of its instruction, more of them get an
//! instruction of their own.

/// Hash table of places, kept from block to block.
pub(crate) struct LzoEncoder {
    /// Place + 1 of the last four octets with this hash; 0 for none.
    places: Vec<u32>,
}

const HASH_BITS: u32 = 14;
/// Largest distance of the short form, 20..3F.
const NEAR: usize = 0x4000;
/// Largest distance of the far form, 10..1F.
const FAR: usize = 0xBFFF;
const END: [u8; 3] = [0x11, 0, 0];

impl Default for LzoEncoder {
    fn default() -> Self {
        Self { places: vec![0; 1 << HASH_BITS] }
    }
}

impl LzoEncoder {
    /// Appends the stream of `input` to `out`.
    pub(crate) fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.places.fill(0);
        let (mut at, mut literals_from) = (0, 0);
        while let Some(here) = four(input, at) {
            let Some(from) = self.replace(here, at) else { break };
            let distance = at.wrapping_sub(from);
            if from >= at || distance > FAR || four(input, from) != Some(here) {
                // Data that do not repeat are passed over faster the longer that lasts.
                at += 1 + (at - literals_from) / 64;
                continue;
            }
            let len = 4 + same(&input[from + 4..], &input[at + 4..]);
            put_literals(&input[literals_from..at], out);
            put_match(distance, len, out);
            at += len;
            literals_from = at;
        }
        put_literals(&input[literals_from..], out);
        out.extend_from_slice(&END);
    }

    /// Notes that `here` is at `at`, and returns where it or something of the same hash was seen
    /// last; `at` itself if nowhere.
    fn replace(&mut self, here: u32, at: usize) -> Option<usize> {
        let hash = here.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS);
        let place = self.places.get_mut(hash as usize)?;
        let before = std::mem::replace(place, u32::try_from(at + 1).ok()?);
        Some(if before == 0 { at } else { before as usize - 1 })
    }
}

fn four(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// Octets that both begin with.
fn same(a: &[u8], b: &[u8]) -> usize {
    let whole = a.chunks_exact(8).zip(b.chunks_exact(8)).take_while(|(a, b)| a == b).count() * 8;
    whole + a[whole..].iter().zip(&b[whole..]).take_while(|(a, b)| a == b).count()
}

/// Literals since the last match, or since the start of the stream.
fn put_literals(literals: &[u8], out: &mut Vec<u8>) {
    let n = literals.len();
    match n {
        0 => return,
        // At the start of a stream there is no match to ride with: its first octet has a form of
        // its own.
        1..=3 if out_is_start(out) => out.push(17 + n as u8),
        1..=3 => {
            // The low bits of the last match's instruction lie two octets back in every form used
            // here.
            if let Some(i) = out.len().checked_sub(2).and_then(|i| out.get_mut(i)) {
                *i |= n as u8;
            }
        }
        4..=18 => out.push(n as u8 - 3),
        _ => put_long(0, n - 3, 15, out),
    }
    out.extend_from_slice(literals);
}

const fn out_is_start(out: &[u8]) -> bool {
    out.is_empty()
}

/// A match of at least 4 octets. The two distance octets come last, and the low two bits of the
/// first of them count the literals that follow.
fn put_match(distance: usize, len: usize, out: &mut Vec<u8>) {
    let low = if distance <= NEAR {
        put_length(0x20, len - 2, 31, out);
        distance - 1
    } else {
        let rest = distance - NEAR;
        put_length(0x10 | (rest >> 11) as u8 & 8, len - 2, 7, out);
        rest
    };
    out.extend_from_slice(&((low << 2 & 0xFFFF) as u16).to_le_bytes());
}

/// An instruction with its length in the low bits, extended if it is above `max`.
fn put_length(code: u8, len: usize, max: usize, out: &mut Vec<u8>) {
    if len <= max {
        out.push(code | len as u8);
    } else {
        put_long(code, len, max, out);
    }
}

/// The extended form: length field 0, a zero octet for every 255, then the rest, which is not 0.
fn put_long(code: u8, len: usize, max: usize, out: &mut Vec<u8>) {
    let beyond = len - max;
    let zeros = (beyond - 1) / 255;
    out.push(code);
    out.resize(out.len() + zeros, 0);
    out.push((beyond - 255 * zeros) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(name: &str, input: &[u8]) -> usize {
        let mut packed = Vec::new();
        LzoEncoder::default().encode(input, &mut packed);
        let mut out = vec![0; input.len()];
        let len = lzo::decompress_into(&packed, &mut out).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(&out[..len], input, "{name}");
        packed.len()
    }

    #[test]
    fn every_length_of_literals_and_matches() {
        let noise: Vec<u8> =
            (0..3000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for n in 0..600 {
            round_trip("literals", &noise[..n]);
            round_trip("run", &vec![9; n]);
            // A match of length n after 0..5 literals, from near and from far.
            for lead in 0..5 {
                let mut input = noise[..n.max(4)].to_vec();
                input.extend_from_slice(&noise[2000..2000 + lead]);
                input.extend_from_slice(&noise[..n]);
                round_trip("match", &input);
            }
        }
    }

    #[test]
    fn every_distance_near_the_limits_of_the_forms() {
        for limit in [NEAR, 0x8000, FAR] {
            for distance in limit - 3..limit + 4 {
                let mut input = b"abcdefghijkl".to_vec();
                input.extend((12..distance).map(|n| (n >> 3) as u8 | 0x80));
                input.extend_from_slice(b"abcdefghijklm");
                round_trip("distance", &input);
            }
        }
    }

    #[test]
    fn random_data_of_many_kinds() {
        let mut x = 1u64;
        let mut next = move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        for round in 0..400 {
            let alphabet = 1 + next() % 256;
            let mut input = Vec::new();
            while input.len() < (next() % 20_000) as usize {
                if next() % 3 == 0 && !input.is_empty() {
                    let from = next() as usize % input.len();
                    for i in 0..next() as usize % 100 {
                        input.push(input[from + i]);
                    }
                } else {
                    input.push((next() % alphabet) as u8);
                }
            }
            round_trip(&format!("round {round}"), &input);
        }
    }

    #[test]
    fn repetition_packs_well() {
        assert!(round_trip("zeros", &[0; 100_000]) < 500);
    }
}
