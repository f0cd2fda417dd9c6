//! Why a datagram was not read to its end.

/// The first fault met in a datagram. Flows before it were delivered.
///
/// All offsets count from the start of the datagram. Lost sequence numbers, data without a template
/// and unknown elements are no errors: [`Counters`](crate::Counters) has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer octets than the exporter announced.
    #[error("{what} at octet {at} needs {need} octets, {have} are left")]
    Truncated {
        /// The structure that is short.
        what: &'static str,
        /// Where it begins.
        at: usize,
        /// Octets it needs.
        need: usize,
        /// Octets that are there.
        have: usize,
    },
    /// A length field that cannot be.
    #[error("{what} at octet {at} has impossible length {len}")]
    BadLength {
        /// The structure with the length field.
        what: &'static str,
        /// Where it begins.
        at: usize,
        /// What it says.
        len: usize,
    },
    /// A set id that no protocol version defines.
    #[error("set at octet {at} has reserved id {id}")]
    ReservedSet {
        /// Where the set begins.
        at: usize,
        /// Its id.
        id: u16,
    },
    /// A stream that has lost its framing (RFC 7011, 10.4).
    #[error(
        "octet {at} of the stream begins no IPFIX message (version {version}, length {len}): \
         where the next one begins cannot be known; close the connection"
    )]
    LostFraming {
        /// Octets of the stream before it.
        at: u64,
        /// What stands where the version is.
        version: u16,
        /// What stands where the length is.
        len: u16,
    },
    /// Not an export protocol that is understood here.
    #[error("export version {0} is not understood")]
    UnknownVersion(u16),
    /// The table of exporters is full.
    #[error("{limit} exporters are known already: raise the limit if they are real")]
    TooManyExporters {
        /// [`Limits::exporters`](crate::Limits::exporters).
        limit: usize,
    },
}

impl DecodeError {
    /// Whether nothing at all could be read because this is no export datagram: what nfcapd counts
    /// as a bad packet.
    pub const fn is_foreign(&self) -> bool {
        matches!(self, Self::UnknownVersion(_) | Self::Truncated { at: 0, need: 2, .. })
    }
}
