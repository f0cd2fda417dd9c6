//! The nouns of the suite: what a flow is, which fields it has, and who exported it.
//!
//! This crate sits at the bottom. It knows neither bytes on the wire nor files nor text: `wire`
//! fills a [`Flow`], `store` turns flows into blocks and blocks into [`Rows`], and `filter`,
//! `query` and `output` read [`Row`]s without knowing where they came from.
//!
//! In reading order:
//!
//! * [`Field`] and the field table: one line for each thing a flow can say;
//! * [`Shape`] and [`Row`]: borrowed read access, one table look-up a field;
//! * [`Flow`]: the owned flow that decoders fill and reuse;
//! * [`Rows`] and [`Selection`]: many rows at once, and which of them are wanted;
//! * [`Exporter`], [`Sampler`], [`ExporterStats`]: identities that flows refer to;
//! * [`InterfaceSample`]: counters of an interface at one moment;
//! * [`FlowSink`]: where decoded flows go;
//! * [`AddressBook`]: what databases know about addresses;
//! * [`Totals`]: flows, packets and bytes by protocol group;
//! * [`v3`]: the one octet form that two others share, files and nfdump's own transport.

mod addr;
mod book;
pub mod code;
mod exporter;
mod field;
mod flow;
mod interface;
mod rows;
mod shape;
mod sink;
pub mod time;
mod totals;
pub mod v3;

pub use addr::{Addr, Mac};
pub use book::{AddressBook, Country, Networks, TorExit};
pub use exporter::{Exporter, ExporterStats, NameTable, Sampler};
pub use field::{Field, FieldDef, Kind};
pub use flow::Flow;
pub use interface::{InterfaceCounters, InterfaceSample};
pub use rows::{RowRef, Rows, Selection, ShapeTable};
pub use shape::{Row, Shape, Slot};
pub use sink::{FlowSink, Meta, Ready};
pub use totals::{Group, Totals};
