//! One block of layout 3: from where it lies to the octets that were packed into it.

use crate::compress::{Compression, Unpacker};
use crate::crypt::FileKey;
use crate::error::BlockCause;
use crate::layout3::{BlockHead, block_type};
use crate::source::Source;

/// What loading blocks needs, kept from block to block.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) raw: Vec<u8>,
    plain: Vec<u8>,
    pub(crate) unpacker: Unpacker,
}

/// The payload of the block at `offset` that has `size` octets with its header, as the directory
/// says: checked, decrypted, unpacked.
pub(crate) fn load<'a>(
    source: &'a Source,
    key: Option<&FileKey>,
    offset: u64,
    size: usize,
    buffers: &'a mut Buffers,
) -> Result<&'a [u8], BlockCause> {
    let Buffers { raw, plain, unpacker } = buffers;
    let block = source.read(offset, size, raw)?;
    if block.len() < size {
        return Err(BlockCause::Truncated { need: size, have: block.len() });
    }
    let head = BlockHead::decode(block)
        .filter(|h| h.size as usize == size && h.has_sound_sizes())
        .ok_or(BlockCause::Header)?;
    let payload = block.get(BlockHead::LEN..).unwrap_or_default();
    let size = payload.len();
    let payload = head.checked(payload).ok_or(BlockCause::Checksum { size })?;
    let payload = match (head.encryption, key) {
        (BlockHead::NOT_ENCRYPTED, None) => payload,
        // Somebody may have put a block of his own into the file: the key did not write this one.
        (BlockHead::NOT_ENCRYPTED, Some(_)) if !may_be_plain(head.kind) => {
            return Err(BlockCause::Decrypt { size });
        }
        (BlockHead::NOT_ENCRYPTED, Some(_)) => payload,
        (BlockHead::CHACHA20_POLY1305, Some(key)) => {
            plain.clear();
            plain.extend_from_slice(payload);
            key.open(&head, offset, plain).ok_or(BlockCause::Decrypt { size })?
        }
        _ => return Err(BlockCause::Decrypt { size }),
    };
    match head.method().ok_or(BlockCause::Header)? {
        Compression::None if payload.len() == head.raw_payload() => Ok(payload),
        Compression::None => Err(BlockCause::Header),
        method => unpacker
            .unpack_to(method, payload, head.raw_payload())
            .ok_or(BlockCause::Unpack { method, size }),
    }
}

/// Whether an encrypted file may have blocks of this type that are not: what is said of the file as
/// a whole, and no data.
const fn may_be_plain(kind: u32) -> bool {
    matches!(kind, block_type::STATISTICS | block_type::IDENT)
}
