//! An LZ4 encoder for records: greedy, one look at every fourth octet.
//!
//! Fields of records begin at multiples of four octets almost always. Looking for repetition only
//! there takes less time than looking everywhere, and finds nearly as much: a repetition that
//! began a little earlier is extended to its start. Any LZ4 decoder reads what it writes.
//!
//! A block is a chain of sequences: a token with two lengths, literals, the distance of a match
//! (LZ4 block format, "Compressed block format").

/// Hash table of places, kept from block to block.
pub(crate) struct Lz4Encoder {
    /// Where octets of this hash were seen last.
    places: Box<[u32; 1 << HASH_BITS]>,
}

/// Small enough to stay in the first cache.
const HASH_BITS: u32 = 12;
/// Octets that are hashed. A match of four would save one octet, and take as long as a long one.
const HASHED: u32 = 5;
/// Where matches are looked for: at multiples of it.
const STEP: usize = 4;
/// Octets of literals after which steps grow: what has not repeated for long hardly will.
const PATIENCE: usize = 128;
/// Largest distance of a match.
pub(crate) const FAR: usize = 0xFFFF;
/// The last octets of a block are literals, and no match begins close to them (LZ4 block format,
/// "End of block conditions").
const LAST_LITERALS: usize = 5;
pub(crate) const LAST_MATCH: usize = 12;
/// What a match has at least; lengths are told without it.
pub(crate) const LEAST_MATCH: usize = 4;

impl Default for Lz4Encoder {
    fn default() -> Self {
        Self { places: Box::new([0; 1 << HASH_BITS]) }
    }
}

impl Lz4Encoder {
    /// Octets that no packed `input` of this length exceeds.
    pub(crate) const fn bound(len: usize) -> usize {
        len + len / 255 + 16
    }

    /// Packs `input`, of less than 4 GiB, into the front of `out`, and returns how many octets
    /// count. `None` if it does not fit, which cannot be with [`bound`](Self::bound) octets.
    pub(crate) fn encode(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
        self.places.fill(0);
        let mut out = Out { bytes: out, len: 0 };
        let repeatable = input.get(..input.len().saturating_sub(LAST_LITERALS))?;
        let last = input.len().saturating_sub(LAST_MATCH);
        let (mut at, mut literals_from) = (STEP, 0);
        while at < last {
            let here = eight(input, at)?;
            let from = self.replace(here, at)?;
            let same = eight(input, from)? ^ here;
            if same << (64 - 8 * HASHED) != 0 || at - from > FAR {
                at += STEP * (1 + (at - literals_from) / PATIENCE);
                continue;
            }
            let back = same_before(input, from, at).min(at - literals_from).min(from);
            let end = at + match_len(repeatable, from, at, same);
            out.sequence(input, literals_from..at - back, at - from, end - at + back)?;
            literals_from = end;
            at = end.next_multiple_of(STEP);
        }
        out.last(input.get(literals_from..)?)?;
        Some(out.len)
    }

    /// Notes that `here` is at `at`, and returns where something of the same hash was seen last: 0
    /// if nowhere, which is a place like others.
    fn replace(&mut self, here: u64, at: usize) -> Option<usize> {
        let hash = (here << (64 - 8 * HASHED)).wrapping_mul(0x9E37_79B1_85EB_CA87);
        let place = self.places.get_mut((hash >> (64 - HASH_BITS)) as usize)?;
        Some(std::mem::replace(place, at as u32) as usize)
    }
}

fn eight(input: &[u8], at: usize) -> Option<u64> {
    input.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Octets that are the same before two places, four at most: further ones would have been found
/// already.
fn same_before(input: &[u8], from: usize, at: usize) -> usize {
    let before = |at: usize| {
        let four = input.get(at.checked_sub(STEP)?..)?.first_chunk().copied();
        four.map(u32::from_le_bytes)
    };
    match (before(from), before(at)) {
        (Some(a), Some(b)) => (a ^ b).leading_zeros() as usize / 8,
        _ => 0,
    }
}

/// Octets that are the same from two places on; `same` is what the first eight differ by.
fn match_len(input: &[u8], from: usize, at: usize, same: u64) -> usize {
    let most = input.len().saturating_sub(at);
    let (mut len, mut difference) = (0, same);
    while difference == 0 {
        len += 8;
        match (eight(input, from + len), eight(input, at + len)) {
            (Some(a), Some(b)) => difference = a ^ b,
            _ => return len.min(most) + same_at_end(input, from + len, at + len),
        }
    }
    most.min(len + difference.trailing_zeros() as usize / 8)
}

/// As [`match_len`], where fewer than eight octets are left.
#[cold]
fn same_at_end(input: &[u8], from: usize, at: usize) -> usize {
    let (a, b) = (input.get(from..).unwrap_or_default(), input.get(at..).unwrap_or_default());
    b.iter().zip(a).take_while(|(a, b)| a == b).count()
}

/// Where packed octets go.
pub(crate) struct Out<'a> {
    pub(crate) bytes: &'a mut [u8],
    /// How many of them count.
    pub(crate) len: usize,
}

impl Out<'_> {
    /// Literals, and a match of `len` octets.
    fn sequence(
        &mut self,
        input: &[u8],
        literals: std::ops::Range<usize>,
        distance: usize,
        len: usize,
    ) -> Option<()> {
        let more = len - LEAST_MATCH;
        self.short(input, &literals, distance, more)
            .or_else(|| self.long(input.get(literals)?, distance, more))
    }

    /// The usual case: lengths that fit the token, literals copied as one chunk, whatever is behind
    /// them. `None` if it is another one, or the end of either side is near.
    fn short(
        &mut self,
        input: &[u8],
        literals: &std::ops::Range<usize>,
        distance: usize,
        more: usize,
    ) -> Option<()> {
        let count = literals.len();
        if count >= 15 || more >= 15 + 255 {
            return None;
        }
        let chunk: &[u8; 16] = input.get(literals.start..)?.first_chunk()?;
        let room: &mut [u8; 20] = self.bytes.get_mut(self.len..)?.first_chunk_mut()?;
        room[0] = (count as u8) << 4 | more.min(15) as u8;
        room[1..17].copy_from_slice(chunk);
        let [low, high] = (distance as u16).to_le_bytes();
        room[count + 1] = low;
        room[count + 2] = high;
        room[count + 3] = more.saturating_sub(15) as u8; // written over where it is not needed
        self.len += count + 3 + usize::from(more >= 15);
        Some(())
    }

    /// As [`sequence`](Self::sequence), whatever the lengths; `more` is what the match has beyond
    /// [`LEAST_MATCH`].
    pub(crate) fn long(&mut self, literals: &[u8], distance: usize, more: usize) -> Option<()> {
        self.put(&[(literals.len().min(15) as u8) << 4 | more.min(15) as u8])?;
        self.put_rest(literals.len())?;
        self.put(literals)?;
        self.put(&(distance as u16).to_le_bytes())?;
        self.put_rest(more)
    }

    /// The last sequence, which has no match.
    pub(crate) fn last(&mut self, literals: &[u8]) -> Option<()> {
        self.put(&[(literals.len().min(15) as u8) << 4])?;
        self.put_rest(literals.len())?;
        self.put(literals)
    }

    /// What of a length does not fit the token.
    fn put_rest(&mut self, len: usize) -> Option<()> {
        let Some(mut rest) = len.checked_sub(15) else { return Some(()) };
        while rest >= 255 {
            self.put(&[255])?;
            rest -= 255;
        }
        self.put(&[rest as u8])
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.bytes.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(name: &str, input: &[u8]) -> usize {
        let mut packed = vec![0; Lz4Encoder::bound(input.len())];
        let len = Lz4Encoder::default().encode(input, &mut packed).unwrap();
        let mut out = vec![0; input.len()];
        let unpacked = lz4_flex::block::decompress_into(&packed[..len], &mut out);
        assert_eq!(unpacked.ok(), Some(input.len()), "{name}");
        assert!(out == input, "{name}");
        len
    }

    fn noise(len: u32) -> Vec<u8> {
        (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    fn random() -> impl FnMut() -> u64 {
        let mut x = 1u64;
        move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        }
    }

    #[test]
    fn every_length_of_literals_and_matches() {
        let noise = noise(3000);
        for n in 0..600 {
            round_trip("literals", &noise[..n]);
            round_trip("run", &vec![9; n]);
            for lead in 0..5 {
                let mut input = noise[..n.max(4)].to_vec();
                input.extend_from_slice(&noise[2000..2000 + lead]);
                input.extend_from_slice(&noise[..n]);
                round_trip("match", &input);
                input.extend_from_slice(&noise[..40]);
                round_trip("match, and more behind it", &input);
            }
        }
    }

    #[test]
    fn every_distance_near_the_limit() {
        for distance in FAR - 9..FAR + 10 {
            let mut input = b"abcdefghijklmnop".to_vec();
            input.extend((16..distance).map(|n| (n >> 3) as u8 | 0x80));
            input.extend_from_slice(b"abcdefghijklmnopq");
            input.extend_from_slice(&[7; 20]);
            round_trip("distance", &input);
        }
    }

    #[test]
    fn random_data_of_many_kinds() {
        let mut next = random();
        for round in 0..400 {
            let alphabet = 1 + next() % 256;
            let mut input = Vec::new();
            let len = (next() % 20_000) as usize;
            while input.len() < len {
                if next().is_multiple_of(3) && !input.is_empty() {
                    let from = next() as usize % input.len();
                    for i in 0..next() as usize % 400 {
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
    fn what_has_too_little_room_is_refused() {
        let input = [noise(300), vec![0; 300], noise(300)].concat();
        let needed = round_trip("whole", &input);
        for room in 0..needed {
            assert_eq!(Lz4Encoder::default().encode(&input, &mut vec![0; room]), None, "{room}");
        }
        let mut exact = vec![0; needed];
        assert_eq!(Lz4Encoder::default().encode(&input, &mut exact), Some(needed));
    }

    #[test]
    fn records_pack_nearly_as_well_as_with_a_look_everywhere() {
        let (mut next, mut input) = (random(), Vec::new());
        for _ in 0..5000 {
            let random = next().to_le_bytes();
            input.extend_from_slice(&[11, 0, 48, 0, 5, 0, 0, 0, 1, 0, 52, 0]);
            input.extend_from_slice(&random[..4]);
            input.extend_from_slice(&[0, 0, 1, 161, 0, 0, 0, 0, 10, 0, 0, 0]);
            input.extend_from_slice(&[random[4] % 4, 10, 1, 2, random[5] % 8, 0, 168, 192]);
            input.extend_from_slice(&[2, 0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0]);
        }
        let theirs = lz4_flex::block::compress(&input).len();
        let ours = round_trip("records", &input);
        assert!(ours <= theirs + theirs / 10, "{ours} octets, {theirs} by the other encoder");
    }
}
