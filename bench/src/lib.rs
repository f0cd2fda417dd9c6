//! What benchmarks, demos and end-to-end tests share: a model of traffic, and captures.
//!
//! * [`Traffic`]: flows with the distributions of a real border router;
//! * [`capture`]: export datagrams in and out of pcap files;
//! * [`export`]: flows as NetFlow v9 datagrams;
//! * [`packets`]: packets of a busy link, as captures;
//! * [`lab`]: two network namespaces and frames on the wire between them;
//! * [`load`]: exporters that send at a rate;
//! * [`measure`]: what a program uses for one run;
//! * [`results`]: what was measured, as lines of a file;
//! * [`table`], [`chart`]: the same to look at;
//! * [`Rng`]: numbers that are the same for the same seed, everywhere.

pub mod capture;
pub mod chart;
pub mod export;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod load;
pub mod measure;
pub mod packets;
pub mod results;
mod rng;
mod svg;
pub mod table;
mod traffic;

pub use rng::Rng;
pub use traffic::{Model, Traffic};
