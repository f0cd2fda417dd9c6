//! Pseudo-random numbers and the distributions that traffic follows.

/// SplitMix64: small, fast, the same numbers for the same seed on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator with this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number in `0..n`; 0 if `n` is 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        ((self.bits() as u128 * n as u128) >> 64) as u64
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Normal with the given mean and deviation (Box-Muller).
    pub fn normal(&mut self, mu: f64, sigma: f64) -> f64 {
        let (u, v) = (1.0 - self.unit(), self.unit());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        mu + sigma * normal
    }

    /// Log-normal with the given mean and deviation of the logarithm.
    pub fn log_normal(&mut self, mu: f64, sigma: f64) -> f64 {
        self.normal(mu, sigma).exp()
    }

    /// A rank in `0..n` by Zipf's law with exponent `s` (inverse transform; `s` is not 1).
    pub fn zipf(&mut self, n: u64, s: f64) -> u64 {
        let h = ((n as f64).powf(1.0 - s) - 1.0) * self.unit() + 1.0;
        ((h.powf(1.0 / (1.0 - s)) - 1.0) as u64).min(n.saturating_sub(1))
    }

    /// One of several values, each with a weight.
    pub fn choose<T: Copy>(&mut self, weighted: &[(T, u32)]) -> Option<T> {
        let total = weighted.iter().map(|w| u64::from(w.1)).sum();
        let mut at = self.below(total);
        for (value, weight) in weighted {
            if at < u64::from(*weight) {
                return Some(*value);
            }
            at -= u64::from(*weight);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let mut rng = Rng::new(1);
        assert_eq!([rng.bits(), rng.bits()], [0x910a_2dec_8902_5cc1, 0xbeeb_8da1_658e_ec67]);
    }

    #[test]
    fn distributions_stay_in_range_and_lean_where_they_should() {
        let mut rng = Rng::new(7);
        let ranks: Vec<u64> = (0..20_000).map(|_| rng.zipf(1000, 1.07)).collect();
        assert!(ranks.iter().all(|r| *r < 1000));
        let top = ranks.iter().filter(|r| **r < 10).count();
        assert!(top > 5_000, "the ten most frequent of a thousand: {top} of 20000");
        for _ in 0..1000 {
            assert!(rng.below(3) < 3);
            assert!((0.0..1.0).contains(&rng.unit()));
            assert!(rng.log_normal(1.3, 1.6) > 0.0);
        }
        assert_eq!(rng.below(0), 0);
    }
}
