//! What the user typed. Nothing here touches files or the network, so that help and version
//! always work.

// Options are documented in the words of `--help`, where brackets are brackets.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

pub mod flowcapd;
pub mod flowdump;

use crate::exit::Exit;
use anyhow::Context as _;
use clap::Parser;
use std::ffi::OsString;
use store::{Compression, Packing};

/// Reads the arguments of the program called `name`. Help and version are printed here, and so is
/// what is wrong; the exit status says which it was.
pub(crate) fn parse<A: Parser>(name: &str, args: Vec<OsString>) -> anyhow::Result<Result<A, Exit>> {
    let command = A::command().name(name.to_owned());
    match command.try_get_matches_from(args).and_then(|m| A::from_arg_matches(&m)) {
        Ok(args) => Ok(Ok(args)),
        Err(e) => {
            e.print().context("print help")?;
            Ok(Err(if e.use_stderr() { Exit::Failure } else { Exit::Success }))
        }
    }
}

/// What `-z`, `-j` and `-y` say together; nothing said is no compression.
pub(crate) fn packing(method: Option<&str>, bz2: bool, lz4: bool) -> anyhow::Result<Packing> {
    Ok(match (method, bz2, lz4) {
        (Some(method), _, _) => method.parse()?,
        (None, true, _) => Packing::from(Compression::Bz2),
        (None, _, true) => Packing::from(Compression::Lz4),
        (None, false, false) => Packing::from(Compression::None),
    })
}
