//! What the first octets of a connection say.
//!
//! Exporters may send the beginning of a connection along with its flow. [`dns::Message`] reads
//! the questions and addresses of a DNS message from it, [`tls::ClientHello`] what a TLS client
//! offers, with its fingerprints JA3 and JA4.
//!
//! All of it borrows from the octets, and nothing in them makes it panic or loop. Such octets are
//! cut off somewhere more often than not: what is complete is given, and what was cut off is
//! told apart from what is wrong.

#![forbid(unsafe_code)]

mod cursor;
pub mod dns;
mod fingerprint;
pub mod tls;

pub use fingerprint::{Ja3, Ja4, Transport};

/// IP protocols that are told apart here.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
