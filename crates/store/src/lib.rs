//! nfcapd-compatible flow files of flowsuite: blocks, rows, rotation.
//!
//! A flow file is a header, blocks of records, and an appendix with the name of its source and
//! sums. Section numbers in this crate refer to the description of that format. Files of layout 2
//! are read and written, those of layout 1 (nfcapd 1.6) and layout 3 (nfcapd 1.8) are read.
//!
//! Reading: a [`FlowFile`] knows where its blocks are and may be shared by threads; each thread
//! has a [`BlockReader`] that turns one block after the other into [`record::Rows`].
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = store::FlowFile::open("nfcapd.202611181105")?;
//! let mut reader = store::BlockReader::new();
//! for n in 0..file.blocks().len() {
//!     let block = reader.load(&file, n)?;
//!     println!("{} rows", block.rows.len());
//! }
//! # Ok(()) }
//! ```
//!
//! Writing: a [`Writer`] takes flows as a [`record::FlowSink`]; with a [`Pool`], other threads pack
//! and write its blocks. [`rotate`] says which file a moment
//! belongs to and gives finished files their name; [`recover`] does so for those of a crash; [`select`] turns file arguments of the command
//! line into a list; [`verify`] looks at every block of a file; [`loss`] keeps what collectors
//! could not store; [`counters`] keeps samples of interfaces; [`expire`] keeps a directory within
//! its limits, which stand in [`nfstat`]. [`repair`](fn@repair), [`recompress`](fn@recompress),
//! [`set_ident`](fn@set_ident) and [`transform`](fn@transform) put another file in the place of one; [`side`] says where what
//! belongs to a file lies beside it.
//!
//! This crate knows neither export protocols nor filters, and never asks what time it is.
#![forbid(unsafe_code)]

mod appendix;
mod block;
mod compress;
pub mod counters;
mod crypt;
mod directory;
mod encode;
mod error;
pub mod expire;
mod exporters;
mod extension_set;
mod header;
mod layout;
mod layout3;
mod legacy;
pub mod loss;
mod lz4_encode;
mod lz4_rows;
mod lzo_encode;
mod merge;
mod meta;
mod meta3;
pub mod nfstat;
mod outlet;
mod payload3;
mod pool;
mod reader;
mod recompress;
pub mod recover;
mod renumber;
mod repair;
mod replace;
mod resume;
mod rewrite;
pub mod rotate;
mod row;
mod scan;
pub mod select;
mod set_ident;
pub mod side;
mod source;
mod survey;
mod tally;
mod transform;
mod v4;
pub mod verify;
mod writer;

pub use appendix::{Statistics, check_ident};
pub use block::{BlockKind, BlockRef};
pub use compress::{Compression, Packing, UnknownPacking};
pub use crypt::Passphrase;
pub use error::{BlockCause, BlockError, StoreError};
pub use exporters::{ExporterInfo, list_exporters, list_exporters_with};
pub use extension_set::{Extensions, UnknownExtension};
pub use header::{Creator, FileHeader};
pub use meta::MetaRecord;
pub use pool::{Pool, PoolCounts};
pub use reader::{Block, BlockReader, Damage, FileState, FlowFile, ReadOptions, SalvageReason};
pub use recompress::{Recompressed, recompress};
pub use renumber::{Renumber, exporters};
pub use repair::{RepairOptions, Repaired, repair, repair_with};
pub use resume::{Resumed, resume};
pub use rewrite::NotKept;
pub use row::Skipped;
pub use set_ident::set_ident;
pub use survey::Survey;
pub use transform::{Made, Transform, TransformOptions, Transformed, transform};
pub use writer::{Closed, Dropped, Writer, WriterOptions};
