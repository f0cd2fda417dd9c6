//! What daemons tell over HTTP: a small [`Server`] of pages, [`fetch`] to read them, and metrics as
//! [`Text`] for Prometheus. What the pages say is for those who have something to say.
#![forbid(unsafe_code)]

mod client;
mod exposition;
mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use client::{FetchError, fetch, fetch_within};
pub use exposition::{Format, Kind, Labels, Text};
pub use server::{Answer, JSON, Options, Pages, Request, Server, TEXT};
