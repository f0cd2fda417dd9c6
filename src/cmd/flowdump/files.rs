//! What is said about files without looking at their flows one by one.

use super::print::complain;
use crate::exit::Exit;
use record::{Addr, Exporter, Sampler, Totals};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use store::{BlockReader, ExporterInfo, FlowFile, ReadOptions, Statistics};

/// `-I`: the statistics stored in the files, summed.
pub(super) fn file_statistics(
    name: &str,
    files: &[PathBuf],
    read: &ReadOptions,
) -> anyhow::Result<Exit> {
    let (mut sum, mut ident) = (Statistics::default(), None);
    let exit = each(name, files, read, |file| {
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
pub(super) fn gnuplot(name: &str, files: &[PathBuf], read: &ReadOptions) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    writeln!(out, "# yyyy-mm-dd HH:MM:SS,flows,packets,bytes")?;
    each(name, files, read, |file| {
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
    read: &ReadOptions,
    mut look: impl FnMut(&FlowFile) -> io::Result<()>,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Success;
    for path in files {
        match FlowFile::open_with(path, read) {
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

/// `-E`: the exporters of a file.
pub(super) fn exporters(path: &Path, read: &ReadOptions) -> anyhow::Result<Exit> {
    let all = store::list_exporters_with(path, read)?;
    let mut out = io::stdout().lock();
    writeln!(out, "Exporters:")?;
    if all.is_empty() {
        writeln!(out, "No Exporter records found")?;
    }
    for info in &all {
        exporter(info, &mut out)?;
        for sampler in &info.samplers {
            self::sampler(sampler, &mut out)?;
        }
    }
    Ok(Exit::Success)
}

fn exporter(info: &ExporterInfo, out: &mut dyn Write) -> io::Result<()> {
    let Exporter { sysid, version, addr, id } = info.exporter;
    let width = if matches!(addr, Addr::V4(_)) { 16 } else { 40 };
    let version = protocol_name(version);
    let addr = addr.to_string();
    write!(out, "SysID: {sysid}, IP: {addr:>width$}, version: {version}, ID: {id:2}")?;
    let s = info.stats;
    match s.flows {
        0 => writeln!(out, " - no flows sent"),
        flows => writeln!(
            out,
            ", Sequence failures: {}, packets: {}, flows: {flows}",
            s.sequence_failures, s.packets
        ),
    }
}

/// What nfdump calls the version of an exporter.
pub(super) fn protocol_name(version: u32) -> String {
    match version {
        1 | 5 | 7 | 9 => format!("netflow v{version}"),
        10 => "ipfix v10".to_owned(),
        9999 => "sflow".to_owned(),
        250 => "nfd v250".to_owned(),
        _ => "Unknown version".to_owned(),
    }
}

fn sampler(sampler: &Sampler, out: &mut dyn Write) -> io::Result<()> {
    let which = match sampler.id {
        Sampler::GENERIC => "Generic Sampler:".to_owned(),
        Sampler::DEFAULT => "Static default Sampler:".to_owned(),
        Sampler::OVERRIDE => "Static overwrite Sampler:".to_owned(),
        id => format!("Assigned Sampler: id: {id},"),
    };
    let Sampler { algorithm, packet_interval, space_interval, .. } = sampler;
    writeln!(
        out,
        "    Sampler: {which} algorithm: {algorithm}, packet interval: {packet_interval}, \
         packet space: {space_interval}"
    )
}
