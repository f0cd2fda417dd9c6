//! What is known about stretches of flow files, so that searches need not read them.
//!
//! ```text
//! blocks ─Rows─▶ make, Survey ─▶ entry of the file ─▶ index of the day
//! filter ─▶ Index::of(file) ─▶ Entry::wanted ─▶ no block, some blocks, or all
//! ```
//!
//! Of each stretch of some 32 768 rows an entry keeps which fields there are, the ranges of times,
//! counters, interfaces and systems, the protocols, exporters and ports, and a set of addresses and
//! their networks that answers "certainly not" or "maybe" ([`filter::Digest`]); and the same of
//! the whole file. A question reads one page of 4 KiB of it for each address. What cannot be read,
//! is damaged, or belongs to an earlier state of the file says nothing, and the flows are read.
//!
//! Answers never depend on an index. This crate knows neither options nor what questions are about.
#![forbid(unsafe_code)]

mod build;
mod day;
mod digest;
mod entry;
mod error;
mod group;
mod input;
mod key;
mod keys;
mod known;
mod make;
mod pages;
mod ports;
mod recent;
mod search;
#[cfg(test)]
mod slow;
mod survey;

pub use error::IndexError;
pub use make::{State, check, drop_of, make};
pub use search::{Entry, Index, Wanted};
pub use survey::{Survey, Surveys};
