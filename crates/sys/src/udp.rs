//! Receiving and sending datagrams in batches.
//!
//! A [`Receiver`] reads up to [`BATCH`] datagrams with one system call and knows how many the
//! kernel threw away because its buffer was full. Several receivers can share one address and
//! port, and then even one busy sender is split among them. It says nothing about what is in the
//! datagrams.
//!
//! Receive offload (`UDP_GRO`) is left off on purpose: a merged datagram that finds the buffer
//! full counts as one drop, however many it was made of, and then what was received and what was
//! dropped no longer add up to what was sent.

mod control;
mod listen;
mod receive;
mod send;
mod steer;
#[cfg(test)]
mod tests;

pub use listen::{Family, Listen, listen_tcp, receive_buffer_limit};
pub use receive::{Datagram, DropMark, Received, Receiver};
pub use send::{MANY, Sender, is_too_long, is_without_room};
pub use steer::Steering;

/// Datagrams that one system call takes at most.
pub const BATCH: usize = 64;

/// Octets of the largest UDP payload, and room for each datagram: none is ever cut short.
pub const LARGEST: usize = 65_535;
