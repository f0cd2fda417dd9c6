//! Work on many octets at once, by the widest instructions that the processor has.
//!
//! What is to be done is a [`Work`]: written once, compiled once for each kind of processor, and
//! run by [`widest`]. [`Plain`] does the same anywhere; it is the oracle of the others.

/// What a processor can do with 64 octets at once.
pub trait Lanes: Copy {
    /// Whether [`spread`](Self::spread) takes a few instructions for all octets together.
    const SPREADS: bool = false;

    /// Compares octet by octet: bit `n` is set if both have the same at `n`.
    fn equal(self, a: &[u8; 64], b: &[u8; 64]) -> u64;

    /// Writes `octets` to where `by` wants them, and `ground`, which has to be 0 there, elsewhere.
    #[inline(always)]
    fn spread(self, octets: &[u8; 64], by: &Spread, ground: &[u8; 128], room: &mut [u8; 128]) {
        for (n, (to, ground)) in room.iter_mut().zip(ground).enumerate() {
            *to = by.from(n).and_then(|from| octets.get(from)).unwrap_or(ground) | ground;
        }
    }
}

/// Which of 64 octets goes to which of 128 places. An octet may go to several.
#[derive(Clone, Debug)]
pub struct Spread {
    /// By quarters of the places and of the octets.
    shuffles: [[Shuffle; 4]; 4],
}

/// For 32 places, which of 16 octets: with the highest bit set, none of them.
#[derive(Clone, Copy, Debug)]
struct Shuffle([u8; 32]);

impl Shuffle {
    const NONE: u8 = 0x80;
}

impl Spread {
    /// One that moves nothing.
    pub const fn new() -> Self {
        Self { shuffles: [[Shuffle([Shuffle::NONE; 32]); 4]; 4] }
    }

    /// Lets the octet at `from` go to `to`. `None` if there is no such octet or place, or something
    /// goes there already.
    pub fn add(&mut self, from: usize, to: usize) -> Option<()> {
        if self.from(to).is_some() {
            return None;
        }
        let shuffle = self.shuffles.get_mut(to / 32)?.get_mut(from / 16)?;
        *shuffle.0.get_mut(to % 32)? = (from % 16) as u8;
        Some(())
    }

    /// Which octet goes to a place.
    fn from(&self, to: usize) -> Option<usize> {
        let shuffles = self.shuffles.get(to / 32)?.iter().enumerate();
        let mut octets = shuffles.filter_map(|(n, shuffle)| {
            let octet = shuffle.0.get(to % 32).filter(|octet| **octet != Shuffle::NONE)?;
            Some(16 * n + usize::from(*octet))
        });
        octets.next()
    }
}

impl Default for Spread {
    fn default() -> Self {
        Self::new()
    }
}

/// Something to be done by [`Lanes`].
pub trait Work {
    /// What comes of it.
    type Out;

    /// Does it. To be marked `#[inline(always)]`, with all it calls in its inner loops: only then
    /// is it compiled for the processor at hand.
    fn run<L: Lanes>(self, lanes: L) -> Self::Out;
}

/// Does `work` by the widest lanes of this processor.
#[inline]
pub fn widest<W: Work>(work: W) -> W::Out {
    #[cfg(target_arch = "x86_64")]
    {
        x86::widest(work)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        work.run(Plain)
    }
}

/// Eight octets at once, on any processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Lanes for Plain {
    #[inline(always)]
    fn equal(self, a: &[u8; 64], b: &[u8; 64]) -> u64 {
        let (a, _) = a.as_chunks::<8>();
        let (b, _) = b.as_chunks::<8>();
        let pairs = a.iter().zip(b).map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
        pairs.enumerate().fold(0, |mask, (n, difference)| mask | zeros(difference) << (8 * n))
    }
}

/// Which octets are 0: a bit for each.
#[inline(always)]
const fn zeros(n: u64) -> u64 {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    // The high bit of each octet is set if the octet is 0; no carry leaves an octet.
    let high = !(((n & LOW) + LOW) | n | LOW);
    // Moves the high bits next to each other.
    (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Shuffle, Spread, Work};
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8,
        _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_shuffle_epi8, _mm256_storeu_si256,
    };

    pub(super) fn widest<W: Work>(work: W) -> W::Out {
        if Avx2::is_here() {
            // SAFETY: the processor has all that `with_avx2` is compiled for.
            unsafe { with_avx2(work) }
        } else {
            work.run(Sse2)
        }
    }

    /// # Safety
    /// [`Avx2::is_here`] has said yes.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn with_avx2<W: Work>(work: W) -> W::Out {
        work.run(Avx2(()))
    }

    /// 16 octets at once: every processor of this architecture.
    #[derive(Clone, Copy)]
    pub(super) struct Sse2;

    impl Lanes for Sse2 {
        #[inline(always)]
        fn equal(self, a: &[u8; 64], b: &[u8; 64]) -> u64 {
            let (a, _) = a.as_chunks::<16>();
            let (b, _) = b.as_chunks::<16>();
            a.iter().zip(b).enumerate().fold(0, |mask, (n, (a, b))| {
                let (a, b): (*const __m128i, *const __m128i) =
                    (a.as_ptr().cast(), b.as_ptr().cast());
                // SAFETY: both point to 16 octets, which need not be aligned; SSE2 is part of the
                // architecture.
                let bits = unsafe {
                    _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(a), _mm_loadu_si128(b)))
                };
                mask | u64::from(bits.cast_unsigned()) << (16 * n)
            })
        }
    }

    /// 32 octets at once. Made only where the processor has them.
    #[derive(Clone, Copy)]
    pub(super) struct Avx2(());

    impl Avx2 {
        pub(super) fn is_here() -> bool {
            is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt")
        }
    }

    impl Lanes for Avx2 {
        const SPREADS: bool = true;

        #[inline(always)]
        fn spread(self, octets: &[u8; 64], by: &Spread, ground: &[u8; 128], room: &mut [u8; 128]) {
            let (octets, _) = octets.as_chunks();
            let (ground, _) = ground.as_chunks();
            let (room, _) = room.as_chunks_mut();
            // Spelled out: iterators are not always inlined into what is compiled for one processor.
            if let ([a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]) =
                (octets, ground, &by.shuffles, room)
            {
                let octets = [self.twice(a), self.twice(b), self.twice(c), self.twice(d)];
                self.shuffle(octets, i, e, m);
                self.shuffle(octets, j, f, n);
                self.shuffle(octets, k, g, o);
                self.shuffle(octets, l, h, p);
            }
        }

        #[inline(always)]
        fn equal(self, a: &[u8; 64], b: &[u8; 64]) -> u64 {
            let (a, _) = a.as_chunks::<32>();
            let (b, _) = b.as_chunks::<32>();
            a.iter().zip(b).enumerate().fold(0, |mask, (n, (a, b))| {
                let (a, b): (*const __m256i, *const __m256i) =
                    (a.as_ptr().cast(), b.as_ptr().cast());
                // SAFETY: both point to 32 octets, which need not be aligned; that there is one of
                // this type means that the processor has AVX2.
                let bits = unsafe {
                    _mm256_movemask_epi8(_mm256_cmpeq_epi8(
                        _mm256_loadu_si256(a),
                        _mm256_loadu_si256(b),
                    ))
                };
                mask | u64::from(bits.cast_unsigned()) << (32 * n)
            })
        }
    }

    impl Avx2 {
        #[inline(always)]
        fn twice(self, octets: &[u8; 16]) -> __m256i {
            // SAFETY: 16 octets are read, which need not be aligned; that there is one of this type
            // means that the processor has AVX2.
            unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(octets.as_ptr().cast())) }
        }

        /// Writes to 32 places.
        #[inline(always)]
        fn shuffle(
            self,
            [a, b, c, d]: [__m256i; 4],
            by: &[Shuffle; 4],
            ground: &[u8; 32],
            room: &mut [u8; 32],
        ) {
            let [e, f, g, h] = by;
            // SAFETY: each pointer is to 32 octets, which need not be aligned; that there is one of
            // this type means that the processor has AVX2.
            unsafe {
                let ground = _mm256_loadu_si256(ground.as_ptr().cast());
                let a = _mm256_shuffle_epi8(a, _mm256_loadu_si256(e.0.as_ptr().cast()));
                let b = _mm256_shuffle_epi8(b, _mm256_loadu_si256(f.0.as_ptr().cast()));
                let c = _mm256_shuffle_epi8(c, _mm256_loadu_si256(g.0.as_ptr().cast()));
                let d = _mm256_shuffle_epi8(d, _mm256_loadu_si256(h.0.as_ptr().cast()));
                let halves = (_mm256_or_si256(a, b), _mm256_or_si256(c, d));
                let all = _mm256_or_si256(_mm256_or_si256(halves.0, halves.1), ground);
                _mm256_storeu_si256(room.as_mut_ptr().cast(), all);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn all(a: &[u8; 64], b: &[u8; 64]) -> Vec<(&'static str, u64)> {
        let mut all = vec![("SSE2", Sse2.equal(a, b))];
        if Avx2::is_here() {
            all.push(("AVX2", Avx2(()).equal(a, b)));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octet by octet.
    fn obvious(a: &[u8; 64], b: &[u8; 64]) -> u64 {
        a.iter().zip(b).rev().fold(0, |mask, (a, b)| mask << 1 | u64::from(a == b))
    }

    struct Spreading<'a>(&'a [u8; 64], &'a Spread, &'a [u8; 128]);

    impl Work for Spreading<'_> {
        type Out = [u8; 128];

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> [u8; 128] {
            let mut room = [0xEE; 128];
            lanes.spread(self.0, self.1, self.2, &mut room);
            room
        }
    }

    #[test]
    fn octets_go_where_they_should_by_all_lanes() {
        let mut x = 88_172_645_463_325_252u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as usize
        };
        for round in 0..500 {
            let octets: [u8; 64] = std::array::from_fn(|_| next() as u8);
            let mut ground: [u8; 128] = std::array::from_fn(|_| next() as u8);
            let (mut spread, mut want) = (Spread::new(), ground);
            for _ in 0..next() % 200 {
                let (from, to) = (next() % 66, next() % 130);
                let is_free = from < 64 && to < 128 && spread.from(to).is_none();
                assert_eq!(spread.add(from, to).is_some(), is_free, "{from} to {to}");
                if is_free {
                    (ground[to], want[to]) = (0, octets[from]);
                }
            }
            let plain = Spreading(&octets, &spread, &ground).run(Plain);
            assert_eq!(plain, want, "round {round}");
            assert_eq!(widest(Spreading(&octets, &spread, &ground)), want, "round {round}");
        }
    }

    struct Compare<'a>(&'a [u8; 64], &'a [u8; 64]);

    impl Work for Compare<'_> {
        type Out = u64;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> u64 {
            lanes.equal(self.0, self.1)
        }
    }

    fn check(what: &str, a: &[u8; 64], b: &[u8; 64]) {
        let want = obvious(a, b);
        assert_eq!(Plain.equal(a, b), want, "{what}");
        assert_eq!(widest(Compare(a, b)), want, "{what}");
        #[cfg(target_arch = "x86_64")]
        for (lanes, got) in x86::all(a, b) {
            assert_eq!(got, want, "{what} by {lanes}");
        }
    }

    #[test]
    fn all_lanes_say_what_a_look_at_each_octet_says() {
        let mut x = 88_172_645_463_325_252u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        for round in 0..2000 {
            let mut a = [0; 64];
            a.iter_mut().for_each(|octet| *octet = next() as u8);
            let mut b = a;
            for _ in 0..next() % 70 {
                // The differences that are easily taken for none: one bit, and 0x80.
                let at = next() as usize % 64;
                b[at] ^= [1, 0x80, 0x7F, 0xFF, next() as u8][next() as usize % 5];
            }
            check(&format!("round {round}"), &a, &b);
        }
        for at in 0..64 {
            for difference in 1..=255 {
                let (a, mut b) = ([0x80; 64], [0x80; 64]);
                b[at] ^= difference;
                check(&format!("{difference} at {at}"), &a, &b);
            }
        }
    }
}
