//! What is said about files, and done with them, without looking at their flows one by one.

use super::print::complain;
use crate::exit::Exit;
use chrono::{Local, TimeZone as _};
use record::Totals;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use store::{BlockReader, Compression, FlowFile, Statistics};

/// `-I`: the statistics stored in the files, summed.
pub(super) fn file_statistics(name: &str, files: &[PathBuf]) -> anyhow::Result<Exit> {
    let (mut sum, mut ident) = (Statistics::default(), None);
    let exit = each(name, files, |file| {
        sum.merge(&statistics(file));
        ident.get_or_insert_with(|| file.ident().to_owned());
        Ok(())
    })?;
    if ident.is_none() {
        return Ok(Exit::NoFile);
    }
    let overall = [sum.flows, sum.packets, sum.bytes];
    let mut text = Vec::new();
    output::file_statistics(&mut text, ident.as_deref().unwrap_or("none"), overall, &sum.totals);
    io::stdout().write_all(&text)?;
    Ok(exit)
}

/// `-g`: a line for each file, with the time in its name.
pub(super) fn gnuplot(name: &str, files: &[PathBuf]) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    writeln!(out, "# yyyy-mm-dd HH:MM:SS,flows,packets,bytes")?;
    each(name, files, |file| {
        let file_name = file.path().file_name().map(|n| n.to_string_lossy());
        let Some(time) = file_name.and_then(|n| store::rotate::time_in_name(&n)) else {
            return writeln!(out, "No datestring");
        };
        let s = statistics(file);
        writeln!(out, "{},{},{},{}", time.format("%F %T"), s.flows, s.packets, s.bytes)
    })
}

/// Opens files one after the other and says what is wrong with them.
fn each(
    name: &str,
    files: &[PathBuf],
    mut look: impl FnMut(&FlowFile) -> io::Result<()>,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Success;
    for path in files {
        match FlowFile::open(path) {
            Ok(file) => {
                if let Some(what) = file.state().damage() {
                    complain(name, path, &what);
                    if file.state().is_loss() {
                        exit = Exit::Incomplete;
                    }
                }
                look(&file)?;
            }
            Err(e) => {
                complain(name, path, &e.to_string());
                exit = Exit::Incomplete;
            }
        }
    }
    Ok(exit)
}

/// The sums of a file: its own, or counted if it was not closed and has none.
fn statistics(file: &FlowFile) -> Statistics {
    if let Some(statistics) = file.statistics() {
        return *statistics;
    }
    let (mut totals, mut reader) = (Totals::default(), BlockReader::new());
    for n in 0..file.blocks().len() {
        // What cannot be read is told where its flows are asked for.
        let Ok(block) = reader.load(file, n) else { continue };
        block.rows.iter().for_each(|row| totals.add(row));
    }
    totals.into()
}

/// `-v`: one file, described and checked.
pub(super) fn verify(path: &Path) -> anyhow::Result<Exit> {
    let v = store::verify::verify(path)?;
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
    writeln!(out, "encryption : no")?;
    writeln!(out, "Appdx blks : {}", h.appendix_blocks)?;
    writeln!(out, "Data blks  : {}", h.blocks)?;
    writeln!(out, "Ident      : {}", v.ident.escape_debug())?;
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
