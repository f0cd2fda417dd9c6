//! Packets by the batch, and what every source of them has in common.

use crate::{Error, Packet};

/// Packets that are handed over at once, at most. As many as a decoder can look ahead in: their
/// octets are near each other, and what is done for each of them stays in the first-level cache.
pub const BATCH: usize = 64;

/// Which way a packet went, seen from the host that captured it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The capture does not say.
    #[default]
    Unknown,
    /// It came in, for this host or for another one that shares the link.
    Inbound,
    /// It went out.
    Outbound,
}

/// What a call for a batch leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a source that has ended brings nothing more"]
pub enum Progress {
    /// Packets were handed over, and there may be more at once. Of those read, a filter may have
    /// wanted none.
    More,
    /// Nothing came in the time that was to be waited. Live sources only.
    Idle,
    /// There is nothing more, and will not be.
    End,
}

/// Where packets come from: files, rings of the kernel, libpcap.
pub trait Source {
    /// Hands over 1 to [`BATCH`] packets in the order of their capture, once at most. Their octets
    /// are where they were captured or read, and are gone after the call.
    ///
    /// # Errors
    /// Where the source is damaged or fails. Packets before the fault were handed over, by this
    /// call or by one before it.
    fn batch(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error>;
}
