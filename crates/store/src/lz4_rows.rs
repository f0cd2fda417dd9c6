//! An LZ4 encoder for rows: what a row repeats, it repeats of another row, at the same place.
//!
//! Rows of one form (as long, with as many elements) are compared with each other as they lie, 64
//! octets by one comparison; what is the same for four octets or more becomes a match. The front
//! of a row, with its times and counters, is like that of the row before. The rest is like that of
//! a row of the same address or the same interfaces: the last such row is looked up for the source,
//! the destination and the interfaces, and the one that has most in common is taken. So a row costs
//! some comparisons and a few look-ups, where a general encoder looks at each of its places. What
//! comes out is about an eighth longer. Any LZ4 decoder reads it.
//!
//! Payloads that are something else, or rows that hardly repeat a form, are left to
//! [`Lz4Encoder`](crate::lz4_encode::Lz4Encoder).

use crate::layout::u16_at;
use crate::lz4_encode::{FAR, LAST_MATCH, LEAST_MATCH, Out};
use record::v3;
use std::hint::select_unpredictable as select;
use sys::lanes::{Lanes, Work, widest};

/// Where rows of a block were. Nothing is remembered from block to block but the room.
pub(crate) struct RowEncoder {
    /// Where a row with this value of a probe was seen last; 0, which is a row like others, if
    /// nowhere.
    places: Box<[u32; 1 << HASH_BITS]>,
    /// By length and elements; of those that fall together, the latest is first.
    forms: Box<[[Form; 2]; SETS]>,
}

/// What rows of one length, with so many elements, have where.
#[derive(Clone, Copy, Debug, Default)]
struct Form {
    /// The length, and in the lower half the number of elements.
    key: u32,
    /// The last of these rows; 0 if there was none in this block.
    last: u32,
    probes: [Probe; 3],
}

/// A value by which rows are found that have much in common: eight octets of a row, or some of
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Probe {
    at: u16,
    mask: u64,
}

const HASH_BITS: u32 = 12;
/// Sets of two forms that are known at once.
const SETS: usize = 1 << SET_BITS;
const SET_BITS: u32 = 6;
/// Where the two parts of a row meet: behind the counters of the first element, which is extension
/// 1 in what exporters send (file format, 7). Anywhere else would do.
const SPLIT: usize = 56;
/// Octets that are compared at once.
const WIDTH: usize = 64;
/// Shorter rows are not looked at.
const SHORTEST: usize = SPLIT + 8;
/// Payloads below this size are not worth forms of their own.
const SMALLEST: usize = 4096;
/// The part of a payload that may be something else than rows of known forms: one in so many
/// octets.
const STRANGE: usize = 8;

impl Default for RowEncoder {
    fn default() -> Self {
        Self {
            places: Box::new([0; 1 << HASH_BITS]),
            forms: Box::new([[Form::default(); 2]; SETS]),
        }
    }
}

impl RowEncoder {
    /// Packs `input`, of less than 4 GiB, into the front of `out`, and returns how many octets
    /// count. `None` if it does not fit, or is not made of rows that repeat a form.
    pub(crate) fn encode(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
        widest(Encode { encoder: self, input, out })
    }
}

struct Encode<'a> {
    encoder: &'a mut RowEncoder,
    input: &'a [u8],
    out: &'a mut [u8],
}

impl Work for Encode<'_> {
    type Out = Option<usize>;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Option<usize> {
        let Self { encoder, input, out } = self;
        if input.len() < SMALLEST {
            return None;
        }
        encoder.places.fill(0);
        *encoder.forms = [[Form::default(); 2]; SETS];
        let out = Out { bytes: out, len: 0 };
        let mut pass = Pass { lanes, encoder, input, out, done: 0, packed: 0, strange: 0 };
        let mut row = 0;
        // The last row is left out: nothing is compared beyond the end.
        while let Some(size) = size_at(input, row)
            && row + size + WIDTH + LAST_MATCH <= input.len()
        {
            pass.row(row, size)?;
            row += size;
        }
        if (pass.strange + input.len() - row).saturating_sub(SMALLEST / 2) > input.len() / STRANGE {
            return None;
        }
        pass.out.last(input.get(pass.packed..)?)?;
        Some(pass.out.len)
    }
}

/// Length of the record at a place, if it is one.
#[inline(always)]
fn size_at(input: &[u8], at: usize) -> Option<usize> {
    let size = usize::from(u16_at(input, at + 2)?);
    (size >= 4).then_some(size)
}

/// A payload on its way.
struct Pass<'a, L> {
    lanes: L,
    encoder: &'a mut RowEncoder,
    input: &'a [u8],
    out: Out<'a>,
    /// What is before this has been looked at.
    done: usize,
    /// What is before this is in `out`.
    packed: usize,
    /// Octets that were not looked at.
    strange: usize,
}

/// What a stretch has in common with another one.
#[derive(Clone, Copy)]
struct Common {
    /// Which octets are the same, four in a row at least.
    same: u64,
    /// How far back the other one is.
    distance: usize,
    /// Octets that this saves, about, beyond what is no loss.
    gain: u32,
}

impl<L: Lanes> Pass<'_, L> {
    /// Packs the record at `row`.
    #[inline(always)]
    fn row(&mut self, row: usize, size: usize) -> Option<()> {
        let (probes, before) = self.encoder.form(self.input, row, size)?;
        let distance = row - before;
        if before == 0 || distance > FAR || size < SHORTEST {
            self.strange += size;
            self.done = row + size;
            return Some(());
        }
        let split = row + SPLIT;
        // What the last row left over, a few octets, goes with this one.
        let from = self.done.max(split - WIDTH);
        let front = self.compare(from, split - from, distance)?;
        self.put(from, front)?;
        let len = (size - SPLIT).min(WIDTH);
        let rest = self.best(row, len, distance, probes)?;
        self.put(split, rest)?;
        self.done = split + len;
        while row + size - self.done > WIDTH - SPLIT {
            let len = (row + size - self.done).min(WIDTH);
            let more = self.compare(self.done, len, rest.distance)?;
            self.put(self.done, more)?;
            self.done += len;
        }
        Some(())
    }

    /// What the `len` octets at `at` have in common with those `distance` before; 64 at most.
    #[inline(always)]
    fn compare(&self, at: usize, len: usize, distance: usize) -> Option<Common> {
        let here = self.input.get(at..)?.first_chunk()?;
        let there = self.input.get(at.wrapping_sub(distance)..)?.first_chunk()?;
        let same = fours(self.lanes.equal(here, there) & u64::MAX >> (WIDTH - len));
        let begins = same & !(same << 1);
        let gain = WIDTH as u32 + same.count_ones() - 3 * begins.count_ones();
        Some(Common { same, distance, gain })
    }

    /// The row that has most in common with the second part of this one: the one before, or one
    /// that a probe finds.
    #[inline(always)]
    fn best(
        &mut self,
        row: usize,
        len: usize,
        before: usize,
        probes: [Probe; 3],
    ) -> Option<Common> {
        let split = row + SPLIT;
        let mut best = self.compare(split, len, before)?;
        for (n, probe) in probes.into_iter().enumerate() {
            let at = row + usize::from(probe.at);
            let value = u64::from_le_bytes(*self.input.get(at..)?.first_chunk()?) & probe.mask;
            let hash = value.wrapping_add(n as u64).wrapping_mul(0x9E37_79B1_85EB_CA87);
            let place = self.encoder.places.get_mut((hash >> (64 - HASH_BITS)) as usize)?;
            let distance = row - std::mem::replace(place, row as u32) as usize;
            let is_near = distance.wrapping_sub(1) < FAR;
            let other = self.compare(split, len, select(is_near, distance, before))?;
            // Which is better cannot be foreseen, so nothing branches.
            let is_better = other.gain > best.gain;
            best = Common {
                same: select(is_better, other.same, best.same),
                distance: select(is_better, other.distance, best.distance),
                gain: select(is_better, other.gain, best.gain),
            };
        }
        Some(best)
    }

    /// Writes what a stretch at `at` has in common as matches, and what is before each as literals.
    #[inline(always)]
    fn put(&mut self, at: usize, common: Common) -> Option<()> {
        let Common { mut same, distance, .. } = common;
        while same != 0 {
            let begin = same.trailing_zeros() as usize;
            // Adding to the lowest run of bits clears it and sets the one behind it.
            let behind = same.wrapping_add(same & same.wrapping_neg());
            let end = behind.trailing_zeros() as usize;
            same &= behind;
            self.sequence(at + begin, distance, end - begin - LEAST_MATCH)?;
            self.packed = at + end;
        }
        Some(())
    }

    /// Writes the literals up to `to`, and a match of `more` octets beyond the least, 64 at most.
    #[inline(always)]
    fn sequence(&mut self, to: usize, distance: usize, more: usize) -> Option<()> {
        let count = to - self.packed;
        if count >= 15 {
            return self.out.long(self.input.get(self.packed..to)?, distance, more);
        }
        let chunk: &[u8; 16] = self.input.get(self.packed..)?.first_chunk()?;
        let room: &mut [u8; 20] = self.out.bytes.get_mut(self.out.len..)?.first_chunk_mut()?;
        room[0] = (count as u8) << 4 | more.min(15) as u8;
        room[1..17].copy_from_slice(chunk);
        // The distance, and what does not fit the token: written over where it is not needed.
        let tail = distance as u32 | (more.wrapping_sub(15) as u32) << 16;
        room[count + 1..count + 5].copy_from_slice(&tail.to_le_bytes());
        self.out.len += count + 3 + usize::from(more >= 15);
        Some(())
    }
}

/// Of these bits, those that have three neighbours in a row.
#[inline(always)]
const fn fours(bits: u64) -> u64 {
    let twos = bits & bits >> 1;
    let first = twos & twos >> 2;
    let twos = first | first << 1;
    twos | twos << 2
}

impl RowEncoder {
    /// Where to look in a row, and where the last row of its form is; 0 if there is none.
    #[inline(always)]
    fn form(&mut self, input: &[u8], row: usize, size: usize) -> Option<([Probe; 3], usize)> {
        let elements = u16_at(input, row + v3::ELEMENTS)?;
        let key = (size as u32) << 16 | u32::from(elements);
        let set = (key.wrapping_mul(0x9E37_79B1) >> (u32::BITS - SET_BITS)) as usize;
        let [form, other] = self.forms.get_mut(set)?;
        if form.key != key {
            std::mem::swap(form, other);
            if form.key != key {
                *form = Form::new(key, input.get(row..row + size)?);
            }
        }
        let before = std::mem::replace(&mut form.last, row as u32);
        Some((form.probes, before as usize))
    }
}

impl Form {
    /// The form of this record.
    #[cold]
    fn new(key: u32, record: &[u8]) -> Self {
        // Without an element nothing is looked up: a mask of 0 finds the last row with such.
        let mut probes = [Probe::default(); 3];
        for e in v3::elements(record).flatten() {
            let whole = |offset| Probe { at: e.at + offset, mask: u64::MAX };
            let half = |offset| Probe { at: e.at + offset, mask: u32::MAX.into() };
            match e.id {
                // Addresses of IPv4, of IPv6 (the lower halves), interfaces.
                2 => (probes[0], probes[1]) = (half(0), half(4)),
                3 => (probes[0], probes[1]) = (whole(8), whole(24)),
                4 => probes[2] = whole(0),
                _ => {}
            }
        }
        Self { key, last: 0, probes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lz4_encode::Lz4Encoder;
    use record::{Addr, Field, Flow};
    use sys::lanes::Plain;

    fn random(mut x: u64) -> impl FnMut() -> u64 {
        move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        }
    }

    fn unpack(packed: &[u8], len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        assert_eq!(lz4_flex::block::decompress_into(packed, &mut out).ok(), Some(len));
        out
    }

    /// Packs with all lanes; what comes out is the same, and what went in comes back.
    fn pack(what: &str, input: &[u8]) -> Option<Vec<u8>> {
        let mut packed = vec![0; Lz4Encoder::bound(input.len())];
        let len = RowEncoder::default().encode(input, &mut packed);
        let mut plain = vec![0; packed.len()];
        let mut encoder = RowEncoder::default();
        let twin = Encode { encoder: &mut encoder, input, out: &mut plain }.run(Plain);
        assert_eq!(len, twin, "{what}");
        packed.truncate(len?);
        assert!(packed == plain[..packed.len()], "{what}");
        assert!(unpack(&packed, input.len()) == input, "{what}");
        Some(packed)
    }

    /// Rows as exporters make them, of several forms.
    fn rows(count: u32, seed: u64) -> Vec<u8> {
        let (mut next, mut out, mut flow) = (random(seed), Vec::new(), Flow::new());
        let mut encoder = crate::encode::Encoder::default();
        for n in 0..count {
            flow.clear();
            let (kind, host) = (next() % 8, next() % 200);
            let address = |n: u64| match kind {
                0 => Addr::V6(0x2001_0db8 << 96 | u128::from(n * 77)),
                _ => Addr::V4(0x0a00_0000 + n as u32 * 77),
            };
            flow.set_addr(Field::SrcAddr, address(host));
            flow.set_addr(Field::DstAddr, address(next() % 3000));
            for (field, value) in [
                (Field::First, 1_795_000_000_000 + u64::from(n) * 3 + next() % 2000),
                (Field::Last, 1_795_000_000_000 + u64::from(n) * 3 + next() % 9000),
                (Field::Packets, 1 + next() % 9),
                (Field::Bytes, 40 + next() % 90_000),
                (Field::SrcPort, 443),
                (Field::DstPort, next() % 65_536),
                (Field::Proto, 6),
                (Field::Input, host % 24),
                (Field::Output, 100 + host % 4),
                (Field::SrcAs, 64_500),
                (Field::DstAs, host * 1000),
            ] {
                flow.set(field, value);
            }
            if kind == 1 {
                flow.set_addr(Field::NextHop, Addr::V4(next() as u32 % 8));
            }
            assert!(encoder.encode(&flow, &mut out));
        }
        out
    }

    #[test]
    fn rows_come_back_whatever_their_number() {
        for count in [0, 1, 2, 30, 40, 41, 60, 100, 1000, 9000] {
            let input = rows(count, 5);
            let packed = pack(&format!("{count} rows"), &input);
            assert_eq!(packed.is_some(), count >= 40, "{count} rows, {} octets", input.len());
        }
    }

    #[test]
    fn rows_pack_nearly_as_well_as_with_a_look_everywhere() {
        let input = rows(5000, 9);
        let theirs = lz4_flex::block::compress(&input).len();
        let ours = pack("rows", &input).unwrap().len();
        assert!(ours < input.len() / 2, "{ours} octets of {}", input.len());
        assert!(ours <= theirs + theirs / 5, "{ours} octets, {theirs} by the other encoder");
    }

    #[test]
    fn long_rows_and_short_ones_come_back() {
        let mut next = random(3);
        for size in [4, 12, 60, 63, 64, 65, 119, 120, 121, 128, 129, 183, 184, 185, 248, 1000, 9000]
        {
            let mut input = Vec::new();
            while input.len() < 60_000 {
                let begin = input.len();
                input.extend_from_slice(&11u16.to_le_bytes());
                input.extend_from_slice(&(size as u16).to_le_bytes());
                input.resize(begin + size, 7);
                for _ in 0..4 {
                    let at = next() as usize % size;
                    if at >= 6 {
                        input[begin + at] = next() as u8;
                    }
                }
            }
            let packed = pack(&format!("rows of {size}"), &input);
            assert_eq!(packed.is_some(), (SHORTEST..=1000).contains(&size), "rows of {size}");
        }
    }

    #[test]
    fn any_two_forms_are_known_at_once() {
        let forms: Vec<(u16, u8)> =
            (64..=200).step_by(8).flat_map(|size| [(size, 5), (size, 6), (size, 7)]).collect();
        for one in &forms {
            for other in &forms {
                let mut input = Vec::new();
                while input.len() < 2 * SMALLEST {
                    for (size, elements) in [one, other] {
                        let begin = input.len();
                        input.extend_from_slice(&[11, 0, *size as u8, 0, *elements]);
                        input.resize(begin + usize::from(*size), 5);
                    }
                }
                let mut out = vec![0; Lz4Encoder::bound(input.len())];
                let len = RowEncoder::default().encode(&input, &mut out);
                assert!(len.is_some(), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn what_is_not_rows_is_left_to_others() {
        let mut next = random(7);
        let noise: Vec<u8> = (0..20_000).map(|_| next() as u8).collect();
        for (what, input) in
            [("noise", noise), ("zeros", vec![0; 20_000]), ("ones", vec![1; 20_000])]
        {
            let packed = pack(what, &input);
            assert!(what == "ones" || packed.is_none(), "{what}");
        }
        // A row whose form does not come back within the distance of a match.
        let mut rare = Vec::new();
        for size in 0..600u16 {
            rare.extend_from_slice(&[11, 0]);
            rare.extend_from_slice(&(100 + size).to_le_bytes());
            rare.resize(rare.len() + usize::from(size) + 96, 5);
        }
        assert_eq!(pack("each of its own length", &rare), None);
    }

    #[test]
    fn damaged_rows_come_back_or_are_refused() {
        let (mut next, good) = (random(11), rows(200, 2));
        for round in 0..500 {
            let mut input = good.clone();
            for _ in 0..1 + next() % 20 {
                let at = next() as usize % input.len();
                input[at] = [0, 1, 4, 0xFF, next() as u8][next() as usize % 5];
            }
            input.truncate(input.len() - next() as usize % 300);
            pack(&format!("round {round}"), &input);
        }
        for len in SMALLEST - 10..SMALLEST + 400 {
            pack("cut", &good[..len]);
        }
    }

    #[test]
    fn distances_near_the_limit_come_back() {
        // Between the rows lie others, and one of them moves the next ones on, little by little.
        let row = |len: u16| {
            let mut row = vec![11, 0];
            row.extend_from_slice(&len.to_le_bytes());
            row.resize(usize::from(len), 1);
            row
        };
        for extra in (600..1600).step_by(13) {
            let mut input = Vec::new();
            for _ in 0..3 {
                input.extend(rows(4, 100));
                (0..64).for_each(|_| input.extend(row(1000)));
                input.extend(row(extra));
            }
            assert!(pack(&format!("{extra} more"), &input).is_some(), "{extra} more");
        }
    }

    #[test]
    fn what_has_too_little_room_is_refused() {
        let input = rows(300, 4);
        let needed = pack("whole", &input).unwrap().len();
        for room in (0..needed).step_by(7).chain([needed - 1]) {
            assert_eq!(RowEncoder::default().encode(&input, &mut vec![0; room]), None, "{room}");
        }
    }

    #[test]
    fn a_block_does_not_depend_on_the_one_before() {
        let mut encoder = RowEncoder::default();
        for seed in [21, 22, 23] {
            let input = rows(700, seed);
            let mut out = vec![0; Lz4Encoder::bound(input.len())];
            let len = encoder.encode(&input, &mut out).unwrap();
            assert_eq!(Some(&out[..len]), pack("alone", &input).as_deref());
        }
    }
}
