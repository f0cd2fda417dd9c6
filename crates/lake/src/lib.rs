//! Flows for engines of analysis: what DuckDB, Spark, ClickHouse and Trino read as it is.
//!
//! * [`schema`]: the published columns, one line each; everything else follows from them;
//! * [`dataset`]: where their files lie.
//!
//! Dependencies that take long to build stay here and in the program `flowlake`: no other part of
//! the suite builds or links them.

#![forbid(unsafe_code)]

pub mod dataset;
pub mod schema;
