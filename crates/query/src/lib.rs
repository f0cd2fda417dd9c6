//! Questions about flows in files: list, write, count, group, sort.
//!
//! ```text
//! files ─ scan ─▶ Batch ─▶ list (formatted, in order)
//!                   ├────▶ write (a new file)
//!                   └────▶ Aggregator, one a worker ─▶ Gathering ─▶ Groups ─ top ─▶ fetch ─▶ print
//!                          (in passes, where memory is scarce)
//! ```
//!
//! A [`Query`] names files and filters and runs on all cores. Whatever the number of threads, the
//! same input gives the same output. Files and blocks that cannot be read are told in the
//! [`Report`], never a reason to stop.
//!
//! This crate knows neither the wire nor options; what a user types for an order, a statistic or a
//! group is read by [`Sorting`], [`Request`] and [`Grouping`].

#![forbid(unsafe_code)]

mod aggregate;
mod analysis;
mod bins;
mod budget;
mod counters;
mod direction;
mod distinct;
mod document;
mod each;
mod element;
mod error;
mod fetch;
mod fingerprint;
mod flows;
mod gather;
mod group;
mod input;
mod key;
mod keyed;
mod keyer;
mod list;
mod log;
mod lookup;
mod names;
mod ordered;
mod page;
mod parallel;
mod partition;
mod percentile;
mod post;
mod report;
mod request;
mod scan;
mod series;
mod sketch;
mod slots;
mod statistics;
mod top;
mod value;
mod write;

pub use analysis::{AnalysisError, MAX_BINS};
pub use bins::BinWidth;
pub use direction::{Direction, opposite};
pub use distinct::DistinctTable;
pub use element::{Element, GroupError, GroupField, Grouping};
pub use error::QueryError;
pub use fingerprint::Fingerprint;
pub use flows::JoinedFlows;
pub use index::Wanted;
pub use input::{Buffers, Fields, Foreign, Opener, is_dataset, is_parquet};
pub use key::{KeyPart, KeySpec, Prefix};
pub use keyer::{KeyText, Keyer};
pub use percentile::{Percentile, PercentileRequest, Percentiles, Usage, Usages};
pub use report::{Damage, Passed, Report};
pub use request::{By, Distinct, Request, RequestError, Sorting};
pub use scan::Query;
pub use series::{Cell, Measure, Ranking, Series, SeriesRequest};
pub use statistics::{Answer, ElementTable, Tables};
