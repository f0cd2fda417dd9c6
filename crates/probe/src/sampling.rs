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
