//! Why a capture is not read to its end.

use std::io;

/// The fault that ended a capture. Packets before it were delivered.
///
/// Offsets count from the start of the capture, after decompression.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    #[error("{path}: {source}")]
    Open {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("an empty file is no capture")]
    Empty,
    /// Not a format that is known here.
    #[error("not pcap, pcapng or snoop (it begins with {magic:02x?}): convert it, as with editcap")]
    Unknown {
        /// The first octets.
        magic: [u8; 4],
    },
    /// A version of the format that is not read.
    #[error(
        "{format} version {major}.{minor} at octet {at}: 2.x of pcap and 1.x of pcapng are read"
    )]
    Version {
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// Where the header begins.
        at: u64,
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The file ends within its first header.
    #[error("the capture ends after {have} octets, within its first header of {need}")]
    Header {
        /// Octets that are there.
        have: u64,
        /// Octets of the header.
        need: u64,
    },
    /// A packet longer than any that is captured.
    #[error(
        "packet at octet {at} has {len} octets: more than {} are not believed",
        crate::capture::MOST
    )]
    PacketLength {
        /// Where its header begins.
        at: u64,
        /// Captured octets it claims.
        len: u64,
    },
    /// A block whose length cannot be.
    #[error("block of type {kind:#x} at octet {at} has impossible length {len}")]
    BlockLength {
        /// Where it begins.
        at: u64,
        /// What kind of block it is (pcapng, section 4).
        kind: u32,
        /// What its length field says.
        len: u32,
    },
    /// The two lengths of a block differ.
    #[error("block at octet {at} says it has {first} octets, and {last} at its end")]
    BlockEnd {
        /// Where it begins.
        at: u64,
        /// Length at its beginning.
        first: u32,
        /// Length at its end.
        last: u32,
    },
    /// A section header with neither byte order.
    #[error("section at octet {at} has the unknown byte order mark {mark:02x?}")]
    ByteOrder {
        /// Where the section begins.
        at: u64,
        /// The mark.
        mark: [u8; 4],
    },
    /// A packet of an interface that has not been described.
    #[error("packet at octet {at} names interface {interface}, but there are {described}")]
    Interface {
        /// Where its block begins.
        at: u64,
        /// Number of the interface.
        interface: u32,
        /// Interfaces of the section so far.
        described: usize,
    },
    /// More interfaces than a section can want.
    #[error("section describes more than {} interfaces, at octet {at}", crate::ng::MOST_INTERFACES)]
    Interfaces {
        /// Where the block of the first that is too many begins.
        at: u64,
    },
    /// The file, the network or the compressed stream failed.
    #[error("cannot read on after octet {at}: {source}")]
    Read {
        /// Octets read so far.
        at: u64,
        /// The reason.
        source: io::Error,
    },
    /// libpcap does not understand a filter expression, or cannot say it for this link type.
    #[error("filter `{expression}` for link type {link}: {reason}")]
    Filter {
        /// The expression.
        expression: String,
        /// Link type it was compiled for (LINKTYPE_ number).
        link: u32,
        /// What libpcap says.
        reason: String,
    },
    /// What was asked for is libpcap's, and this program was built without it.
    #[error(
        "{what} needs libpcap, which this program was built without: build it with feature `libpcap`"
    )]
    NoLibpcap {
        /// What needs it.
        what: &'static str,
    },
    /// A live capture cannot be opened.
    #[error("cannot capture on {interface}: {source}")]
    Live {
        /// Name of the interface.
        interface: String,
        /// The system's reason.
        source: sys::Error,
    },
    /// libpcap cannot open or go on with an interface.
    #[error("libpcap on {interface}: {reason}")]
    Libpcap {
        /// Name of the interface.
        interface: String,
        /// What libpcap says.
        reason: String,
    },
    /// Waiting for packets failed.
    #[error("cannot wait for packets: {source}")]
    Wait {
        /// The system's reason.
        source: io::Error,
    },
}
