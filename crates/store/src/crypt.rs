//! Encrypted files of layout 3: from a passphrase to the octets of a block.
//!
//! A file has a salt of its own, from which and the passphrase Argon2id makes its key. Each block is
//! sealed with ChaCha20-Poly1305 (RFC 8439) together with its type, sizes and place, so that blocks
//! can be neither changed nor exchanged; a keyed BLAKE2b sum in the footer covers the directory.

use crate::layout::{u16_at, u32_at};
use crate::layout3::BlockHead;
use argon2::{Algorithm, Argon2, Params, Version};
use blake2::Blake2bMac;
use blake2::digest::{FixedOutput, Update, consts::U32};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use std::fmt;

/// The passphrase of encrypted files. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Vec<u8>);

impl Passphrase {
    /// Longest passphrase that the program that writes such files takes.
    pub const MAX: usize = 1023;

    /// `None` if it is empty or longer than [`MAX`](Self::MAX) octets.
    pub fn new(text: impl Into<Vec<u8>>) -> Option<Self> {
        let text = text.into();
        (1..=Self::MAX).contains(&text.len()).then_some(Self(text))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

const CRYPTO_LEN: usize = 72;

/// The first block of an encrypted file: what makes a key out of a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CryptoHeader<'a> {
    /// The payload as it is in the file: the sum in the footer covers all of it.
    payload: &'a [u8; CRYPTO_LEN],
}

impl<'a> CryptoHeader<'a> {
    /// Octets of the payload.
    pub(crate) const LEN: usize = CRYPTO_LEN;
    const VERSION: u32 = 1;
    const CHACHA20_POLY1305: u16 = 1;
    const ARGON2ID: u16 = 1;

    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let known = u32_at(payload, 0)? == Self::VERSION
            && u16_at(payload, 4)? == Self::CHACHA20_POLY1305
            && u16_at(payload, 6)? == Self::ARGON2ID;
        Some(Self { payload: payload.first_chunk()? }).filter(|_| known)
    }

    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        self.payload.get(at..).and_then(|b| b.first_chunk()).copied().unwrap_or([0; N])
    }

    /// The first half of 32 octets: libsodium's Argon2id takes 16.
    fn salt(&self) -> [u8; 16] {
        self.part(12)
    }

    fn nonce(&self) -> [u8; 12] {
        self.part(44)
    }

    /// What tells a wrong passphrase: the tag of 16 zeros.
    fn check(&self) -> [u8; 16] {
        self.part(56)
    }
}

/// The key of one file.
#[derive(Clone)]
pub(crate) struct FileKey {
    cipher: ChaCha20Poly1305,
    key: [u8; 32],
    nonce: [u8; 12],
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(..)")
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The passphrase is not the file's.
    Wrong,
    /// There is no memory to compute it.
    Memory,
}

impl FileKey {
    /// "Moderate" of libsodium in passes, and the memory that the writers of such files ask for.
    const PASSES: u32 = 3;
    const MEMORY_KIB: u32 = 64 << 10;
    const TAG_LEN: usize = 16;

    /// Takes about a tenth of a second and 64 MiB: that is what it is for.
    pub(crate) fn derive(header: &CryptoHeader<'_>, pass: &Passphrase) -> Result<Self, NoKey> {
        let params = Params::new(Self::MEMORY_KIB, Self::PASSES, 1, Some(32));
        let argon =
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| NoKey::Memory)?);
        let mut key = [0; 32];
        argon.hash_password_into(&pass.0, &header.salt(), &mut key).map_err(|_| NoKey::Memory)?;
        let all =
            Self { cipher: ChaCha20Poly1305::new(&Key::from(key)), key, nonce: header.nonce() };
        let mut zeros = [0; 16];
        let tag = all
            .cipher
            .encrypt_inout_detached(&Nonce::from(all.nonce), &[], zeros.as_mut_slice().into())
            .map_err(|_| NoKey::Wrong)?;
        if tag.as_slice() != header.check() {
            return Err(NoKey::Wrong);
        }
        Ok(all)
    }

    /// Decrypts the payload of a block in place and returns it without its tag; `None` if it is not
    /// what was written there.
    pub(crate) fn open<'a>(
        &self,
        head: &BlockHead,
        offset: u64,
        sealed: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let split = sealed.len().checked_sub(Self::TAG_LEN)?;
        let (text, tag) = sealed.split_at_mut_checked(split)?;
        let tag: [u8; Self::TAG_LEN] = (&*tag).try_into().ok()?;
        let nonce = Nonce::from(self.nonce_at(offset));
        let bound = associated(head, offset);
        self.cipher
            .decrypt_inout_detached(&nonce, &bound, (&mut *text).into(), &Tag::from(tag))
            .ok()?;
        Some(text)
    }

    fn nonce_at(&self, offset: u64) -> [u8; 12] {
        let mut nonce = self.nonce;
        for (n, o) in nonce.iter_mut().zip(offset.to_le_bytes()) {
            *n ^= o;
        }
        nonce
    }

    /// The sum of a file's structure: parts of its header, of the crypto header, and its directory.
    pub(crate) fn structure_sum(
        &self,
        file_header: &[u8],
        crypto: &CryptoHeader<'_>,
        entries: &[u8],
    ) -> Option<[u8; 32]> {
        let [mut id, mut purpose] = [[0; 16]; 2];
        id[0] = 1;
        purpose[..8].copy_from_slice(b"nfdmpMAC");
        let sub = Blake2bMac::<U32>::new_with_salt_and_personal(Some(&self.key), &id, &purpose);
        let key: [u8; 32] = sub.ok()?.finalize_fixed().into();
        let mut sum = Blake2bMac::<U32>::new_with_salt_and_personal(Some(&key), &[], &[]).ok()?;
        // Version of the program, time and program; not the compression; flags and block size.
        sum.update(file_header.get(4..18)?);
        sum.update(file_header.get(20..28)?);
        sum.update(crypto.payload);
        sum.update(entries);
        Some(sum.finalize_fixed().into())
    }
}

/// What is sealed beside the payload.
fn associated(head: &BlockHead, offset: u64) -> [u8; 24] {
    let mut out = [0; 24];
    let (numbers, place) = out.split_at_mut(16);
    let words = [head.kind, head.raw_size, u32::from(head.compression), 0];
    for (room, word) in numbers.as_chunks_mut().0.iter_mut().zip(words) {
        *room = word.to_le_bytes();
    }
    place.copy_from_slice(&offset.to_le_bytes());
    out
}
