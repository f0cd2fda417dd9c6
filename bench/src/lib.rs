//! What benchmarks, demos and end-to-end tests share: a model of traffic, and captures.
//!
//! * [`Traffic`]: flows with the distributions of a real border router;
//! * [`capture`]: export datagrams in and out of pcap files;
//! * [`export`]: flows as NetFlow v9 datagrams;
//! * [`packets`]: packets of a busy link, as captures;
//! * [`lab`]: two network namespaces and frames on the wire between them;
//! * [`load`]: exporters that send at a rate;
//! * [`Rng`]: numbers that are the same for the same seed, everywhere.

pub mod capture;
pub mod export;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod load;
pub mod packets;
mod rng;
mod traffic;

pub use rng::Rng;
pub use traffic::{Model, Traffic};
