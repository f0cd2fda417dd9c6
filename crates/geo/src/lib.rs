//! What databases know about addresses: countries, autonomous systems, places, Tor exits.
//!
//! [`Book`] reads MaxMind databases (`.mmdb`, of any publisher) and lists of Tor exits, and
//! answers as a [`record::AddressBook`]. It looks nothing up on the network and keeps no clock.
//!
//! In reading order:
//!
//! * `book`: which file answers what, and when tables are built;
//! * `database`: one `.mmdb` file and the spellings of its fields;
//! * `tree`: its search tree, walked once and within bounds;
//! * `ranges`: the table that look-ups bisect;
//! * `tor`: both kinds of exit lists.
//!
//! # Addresses that embed an IPv4 address
//!
//! Databases repeat the IPv4 tree below `::ffff:0:0/96`, `2001::/32` and `2002::/16`. The copies
//! are left out: networks are told as IPv4 only, and an IPv6 address from one of these ranges is
//! unknown. So a look-up and a list of networks never disagree.
//!
//! # Memory
//!
//! A file is read as a whole, at most [`MAX_FILE`] octets. Questions are answered from it until
//! there have been many; then countries become a table, and systems likewise. A table has 6 to 20
//! octets for each stretch of addresses with one answer (a few MB for the databases in use), and a
//! damaged file cannot give it more stretches than four for each node of its tree. The names of
//! organisations are collected when the first is asked for; they are cut to 256 octets and take
//! 64 MiB at most. What cannot be read or does not fit is counted in [`Book::unreadable`].

#![forbid(unsafe_code)]

mod book;
#[cfg(test)]
mod damage;
mod database;
mod error;
mod ranges;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tor;
mod tree;

pub use book::Book;
pub use error::GeoError;

/// Largest file that is read: 2 GiB.
pub const MAX_FILE: u64 = 2 << 30;
