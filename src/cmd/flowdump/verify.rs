//! `-v`: a file, described and checked block by block.

use crate::exit::Exit;
use chrono::{Local, TimeZone as _};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use store::verify::Verification;
use store::{BlockKind, Compression, ReadOptions};

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
    if v.has_appendix() {
        writeln!(out, "Checking appendix blocks")?;
    }
    writeln!(out, "\nTotal")?;
    types(&v, &mut out)?;
    writeln!(out, "Records       : {}", v.records + u64::from(v.appendix_records))?;
    // What follows nfdump does not say.
    writeln!(out, "Flows         : {}", v.flows)?;
    writeln!(out, "Ident         : {}", v.ident.escape_debug())?;
    let verdict = if v.is_sound() { "sound" } else { "damaged" };
    writeln!(out, "Result        : {verdict}")?;
    Ok(if v.is_sound() { Exit::Success } else { Exit::Failure })
}

/// How many blocks there are of each type of layouts 1 and 2, with the appendix, as nfdump counts
/// them.
fn types(v: &Verification, out: &mut dyn Write) -> io::Result<()> {
    let mut all: BTreeMap<u32, usize> = BTreeMap::new();
    for check in &v.blocks {
        let number = match check.block.kind {
            BlockKind::Legacy => 2,
            BlockKind::Records => RECORDS,
            BlockKind::Array if v.header.layout < 3 => 4,
            BlockKind::Unknown(number) => number,
            _ => continue,
        };
        *all.entry(number).or_default() += 1;
    }
    if v.has_appendix() {
        *all.entry(RECORDS).or_default() += usize::from(v.header.appendix_blocks);
    }
    all.iter().try_for_each(|(number, n)| writeln!(out, "Type {number} blocks : {n}"))
}

/// The type of blocks that hold records of layout 2.
const RECORDS: u32 = 3;
