//! What the user typed. Nothing here touches files or the network, so that help and version
//! always work.

pub mod flowcapd;
pub mod flowdump;

use store::{Compression, Packing};

/// What `-z`, `-j` and `-y` say together; nothing said is no compression.
pub(crate) fn packing(method: Option<&str>, bz2: bool, lz4: bool) -> anyhow::Result<Packing> {
    Ok(match (method, bz2, lz4) {
        (Some(method), _, _) => method.parse()?,
        (None, true, _) => Packing::from(Compression::Bz2),
        (None, _, true) => Packing::from(Compression::Lz4),
        (None, false, false) => Packing::from(Compression::None),
    })
}
