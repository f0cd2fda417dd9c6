//! Which packets are looked at.

/// Sampling of packets. Counters are never scaled: exports say the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Every packet.
    #[default]
    Off,
    /// The first of each N packets, as softflowd's `-s` (RFC 5475, 5.1: systematic, count-based).
    Systematic(u32),
    /// One of each N packets, by lot (RFC 5475, 5.2.1: n-out-of-N).
    Random(u32),
}

impl Sampling {
    /// N, 1 if every packet is looked at.
    pub const fn rate(self) -> u32 {
        match self {
            Self::Off | Self::Systematic(0) | Self::Random(0) => 1,
            Self::Systematic(n) | Self::Random(n) => n,
        }
    }
}

/// Counts packets and picks one of each N.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    rate: u32,
    is_random: bool,
    lots: Lots,
    /// Which of the packets of this round is picked, and how many of them went by.
    pick: u32,
    at: u32,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling, seed: u64) -> Self {
        let is_random = matches!(sampling, Sampling::Random(_));
        let mut new = Self { rate: sampling.rate(), is_random, lots: Lots(seed), pick: 0, at: 0 };
        new.round();
        new
    }

    /// Whether the next packet is looked at.
    #[inline]
    pub(crate) fn takes(&mut self) -> bool {
        if self.rate == 1 {
            return true;
        }
        let takes = self.at == self.pick;
        self.at += 1;
        if self.at == self.rate {
            self.round();
        }
        takes
    }

    fn round(&mut self) {
        self.at = 0;
        if self.is_random {
            self.pick = (((self.lots.next() >> 32) * u64::from(self.rate)) >> 32) as u32;
        }
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Lots(pub(crate) u64);

impl Lots {
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(sampling: Sampling, seed: u64, packets: usize) -> Vec<bool> {
        let mut sampler = Sampler::new(sampling, seed);
        (0..packets).map(|_| sampler.takes()).collect()
    }

    #[test]
    fn the_first_of_each_round_or_all() {
        let all = |sampling| taken(sampling, 1, 100).iter().all(|t| *t);
        assert!(all(Sampling::Off) && all(Sampling::Systematic(0)) && all(Sampling::Systematic(1)));
        assert!(all(Sampling::Random(0)) && all(Sampling::Random(1)));
        for n in [2, 3, 7, 100] {
            let taken = taken(Sampling::Systematic(n), 5, 1000);
            for (i, takes) in taken.iter().enumerate() {
                assert_eq!(*takes, i % n as usize == 0, "packet {i} of 1 in {n}");
            }
        }
    }

    #[test]
    fn one_of_each_round_by_lot() {
        for n in [2, 3, 10, 64] {
            let taken = taken(Sampling::Random(n), 9, 64_000 / n as usize * n as usize);
            let mut places = vec![0; n as usize];
            for round in taken.chunks(n as usize) {
                assert_eq!(round.iter().filter(|t| **t).count(), 1);
                places[round.iter().position(|t| *t).unwrap()] += 1;
            }
            let mean = taken.len() / (n * n) as usize;
            let is_even = places.iter().all(|c| *c > mean / 3 && *c < mean * 3);
            assert!(is_even, "1 in {n}: {places:?}");
        }
        assert_eq!(taken(Sampling::Random(9), 3, 999), taken(Sampling::Random(9), 3, 999));
        assert_ne!(taken(Sampling::Random(9), 3, 999), taken(Sampling::Random(9), 4, 999));
    }
}
