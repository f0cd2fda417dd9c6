//! Flows for engines of analysis: what DuckDB, Spark, ClickHouse and Trino read as it is.
//!
//! * [`schema`]: the published columns, one line each; everything else follows from them;
//! * [`dataset`]: where their files lie, and what the dataset knows of its sources;
//! * [`mod@write`]: flow files into a dataset;
//! * [`read`]: its files as rows, for the questions of `flowdump`;
//! * [`engine`]: statements that make a table of it;
//! * [`stream`]: flows to Kafka, to ClickHouse, to OpenTelemetry, as lines;
//! * [`http`]: how servers are asked, with TLS and without;
//! * [`sql`]: questions of flowdump in the SQL of those engines.
//!
//! Dependencies that take long to build stay here and in the program `flowlake`: no other part of
//! the suite builds or links them.

#![forbid(unsafe_code)]

pub mod dataset;
pub mod engine;
mod error;
pub mod http;
pub mod read;
pub mod schema;
pub mod sql;
pub mod stream;
pub mod write;

pub use error::LakeError;
