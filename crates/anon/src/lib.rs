//! Anonymisation of flow records: which values of a record say who somebody is, and what takes
//! their place.
//!
//! Addresses are replaced by [`CryptoPan`], which keeps what prefixes have in common, or cut by
//! [`Truncation`]; a [`Rule`] says which of them and how. A [`Policy`] says what happens to
//! everything else of a record, and an [`Anonymiser`] does both, row by row. Under one key an
//! address always becomes the same one, in all fields of all files.
//!
//! Rows of layout 2 that have only elements known here, in full length, are patched where they lie;
//! all others are taken apart and made anew from the fields that are known, so that nothing else
//! gets through: neither unknown elements, nor fillers, nor elements that readers pass over.
//!
//! This crate knows no files and no options.
#![forbid(unsafe_code)]

mod anonymiser;
mod cache;
mod cryptopan;
mod key;
mod policy;
mod prefixes;
mod rule;

pub use anonymiser::{Anonymiser, Counts, Made};
pub use cryptopan::CryptoPan;
pub use key::{Key, KeyError};
pub use policy::{Act, Macs, Policy};
pub use prefixes::{PrefixError, PrefixSet};
pub use rule::{Replacer, Rule, Truncation};
