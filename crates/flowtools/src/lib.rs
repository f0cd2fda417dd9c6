//! What flow-tools leaves behind: its files, their names, and the lines of `flow-export -f 2`.
//!
//! flow-tools keeps each flow as the router's record and the clock of the datagram it came in, and
//! so does a [`Record`] here. From there it becomes a flow (`Flow` of crate `record`) with times of its own, and
//! back.
//!
//! * [`Reader`]: records of a file or a stream, of either byte order, compressed or not;
//! * [`Header`]: what stands before them, and the lines that flow-header prints of it;
//! * [`Record`], [`Column`], [`Columns`]: one flow, its columns, and sets of columns as masks or names;
//! * [`CsvReader`], [`Record::push_csv`]: lines of columns;
//! * [`FileName`], [`find`]: which files of a directory tree are whose, in order of time.
//!
//! Formats aggregated by the router (export version 8) are refused: their records are sums without
//! the addresses and ports of flows.
//!
//! This crate knows neither nfcapd files nor options, and never looks at a clock.
#![forbid(unsafe_code)]

mod column;
mod csv;
mod error;
mod header;
mod layout;
mod name;
mod reader;
mod record;
#[cfg(test)]
mod testing;
mod tree;

pub use self::column::{Column, Columns, UnknownColumn};
pub use self::csv::CsvReader;
pub use self::error::Error;
pub use self::header::{ByteOrder, Header};
pub use self::name::FileName;
pub use self::reader::{Ending, MAGIC, Reader};
pub use self::record::Record;
pub use self::tree::{Found, find};
