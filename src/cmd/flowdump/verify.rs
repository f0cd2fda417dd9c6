//! `-v`: a file, described and checked block by block.

use crate::exit::Exit;
use chrono::{Local, TimeZone as _};
use std::io::{self, Write as _};
use std::path::Path;
use store::{Compression, ReadOptions};

/// `-v`: one file, described and checked.
pub(super) fn verify(path: &Path, read: &ReadOptions) -> anyhow::Result<Exit> {
    let v = store::verify::verify_with(path, read)?;
    let h = &v.header;
    let packed = match h.compression {
        Compression::None => "not compressed".to_owned(),
        method => format!("{} compressed", method.name()),
    };
    let created =
        i64::try_from(h.created_secs).ok().and_then(|s| Local.timestamp_opt(s, 0).single());
    let created = created.map_or_else(|| "unknown".to_owned(), |t| t.format("%F %T").to_string());
    let mut out = io::stdout().lock();
    writeln!(out, "File       : {}", path.display())?;
    writeln!(out, "Size       : {}", v.len)?;
    writeln!(out, "Version    : {} - {packed}", h.layout)?;
    writeln!(out, "Created    : {created}")?;
    writeln!(out, "Created by : {}", h.creator.name().unwrap_or("unknown"))?;
    writeln!(out, "nfdump     : {:x}", h.nfdversion)?;
    writeln!(out, "encryption : {}", if h.encrypted { "yes" } else { "no" })?;
    writeln!(out, "Appdx blks : {}", h.appendix_blocks)?;
    writeln!(out, "Data blks  : {}", h.blocks)?;
    writeln!(out, "Ident      : {}", v.ident.escape_debug())?;
    writeln!(out, "Checking data blocks")?;
    if let Some(what) = v.state.damage() {
        writeln!(out, "State      : {what}")?;
    }
    for (n, block) in v.blocks.iter().enumerate() {
        match &block.result {
            Err(e) => writeln!(out, "Block {n}: {e}")?,
            Ok(c) if !c.is_sound => writeln!(
                out,
                "Block {n} at offset {}: {} of {} records found, {} malformed",
                block.block.offset, c.records, block.block.records, c.skipped.malformed
            )?,
            Ok(_) => {}
        }
    }
    writeln!(out, "\nTotal")?;
    writeln!(out, "Records       : {}", v.records)?;
    writeln!(out, "Flows         : {}", v.flows)?;
    let verdict = if v.is_sound() { "sound" } else { "damaged" };
    writeln!(out, "Result        : {verdict}")?;
    Ok(if v.is_sound() { Exit::Success } else { Exit::Failure })
}
