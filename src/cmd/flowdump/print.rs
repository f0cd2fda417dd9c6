//! Tables, summaries, file statistics and damage reports.

use super::{Plan, What};
use crate::args::flowdump::Args;
use crate::cmd::window::Window;
use crate::exit::Exit;
use anyhow::{Context as _, bail};
use chrono::{Local, TimeZone as _};
use output::{SummaryInput, Timings};
use query::{Answer, Query, Report, Request, Tables};
use record::Totals;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use store::{Compression, Creator, Statistics, Writer, WriterOptions};

/// All tables of `-s`.
pub(super) fn statistics(
    query: &Query,
    plan: &Plan,
    requests: &[Request],
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Report> {
    let (answers, mut report) = query.statistics(requests, plan.top)?;
    if report.records_passed == 0 {
        let mut text = Vec::new();
        output::no_matching_flows(plan.format.kind(), &mut text);
        out.write_all(&text)?;
    }
    let mut tables = Tables::new(&plan.format, &report, out);
    for (answer, request) in answers.iter().zip(requests) {
        for sorting in &request.sortings {
            match answer {
                Answer::Element(table) => tables.add(table, *sorting, plan.top),
                Answer::Flows(flows) => tables.add_flows(flows, *sorting, plan.top, &mut report),
            }
        }
    }
    tables.finish()?;
    Ok(report)
}

/// What stands below an answer for people: that nothing matched, and the summary.
pub(super) fn summary(
    plan: &Plan,
    args: &Args,
    window: Option<Window>,
    report: &Report,
    start: Instant,
    out: &mut dyn Write,
) -> io::Result<()> {
    let kind = plan.format.kind();
    let mut text = Vec::new();
    if report.records_passed == 0 && !matches!(plan.what, What::Statistics(_)) {
        output::no_matching_flows(kind, &mut text);
    }
    if kind.has_summary() && !args.quiet {
        let used = sys::clock::used();
        let wall = start.elapsed().as_secs_f64();
        let timings = Timings {
            system: used.system.as_secs_f64(),
            user: used.user.as_secs_f64(),
            wall,
            runtime: wall,
        };
        let cut = |(first, last): (u64, u64)| match window {
            Some(w) => (first.max(w.from_ms), last.min(w.until_ms.unwrap_or(last))),
            None => (first, last),
        };
        let input = SummaryInput {
            totals: totals(report),
            window: report.window.map(cut),
            processed: report.records_passed,
            passed: report.records_passed,
            blocks_skipped: report.blocks_skipped,
            bytes_read: report.bytes_read,
            timings: Some(timings),
            plain_numbers: args.plain_numbers,
            time_zone: plan.format.options().time_zone,
        };
        output::summary(&mut text, &input);
    }
    out.write_all(&text)
}

/// The sums of a report, not told apart by protocol.
fn totals(report: &Report) -> Totals {
    let c = report.passed.counts;
    let mut totals = Totals { first_ms: c.first_ms, last_ms: c.last_ms, ..Totals::default() };
    totals.flows[0] = c.flows;
    totals.packets[0] = c.in_packets.saturating_add(c.out_packets);
    totals.bytes[0] = c.in_bytes.saturating_add(c.out_bytes);
    totals
}

/// `-I`: the statistics stored in the files, summed.
pub(super) fn file_statistics(name: &str, files: &[PathBuf]) -> anyhow::Result<Exit> {
    let (mut sum, mut ident, mut exit) = (Statistics::default(), None, Exit::Success);
    for path in files {
        match store::FlowFile::open(path) {
            Ok(file) => {
                if let Some(what) = file.state().damage() {
                    complain(name, path, &what);
                    if file.state().is_loss() {
                        exit = Exit::Failure;
                    }
                }
                match file.statistics() {
                    Some(statistics) => sum.merge(statistics),
                    None => sum.merge(&counted(&file)),
                }
                ident.get_or_insert_with(|| file.ident().to_owned());
            }
            Err(e) => {
                complain(name, path, &e.to_string());
                exit = Exit::Failure;
            }
        }
    }
    let overall = [sum.flows, sum.packets, sum.bytes];
    let mut text = Vec::new();
    output::file_statistics(&mut text, ident.as_deref().unwrap_or("none"), overall, &sum.totals);
    io::stdout().write_all(&text)?;
    Ok(exit)
}

/// The sums of a file that has none of its own because it was not closed.
fn counted(file: &store::FlowFile) -> Statistics {
    let (mut totals, mut reader) = (Totals::default(), store::BlockReader::new());
    for n in 0..file.blocks().len() {
        // What cannot be read is told where its flows are asked for.
        let Ok(block) = reader.load(file, n) else { continue };
        block.rows.iter().for_each(|row| totals.add(row));
    }
    totals.into()
}

/// `-w`: the flows that pass, written to a file.
pub(super) fn write(
    query: &Query,
    plan: &Plan,
    args: &Args,
    path: &Path,
) -> anyhow::Result<Report> {
    let packing = args.compress.packing()?;
    let target = Target::new(path);
    let options = WriterOptions {
        compression: packing,
        ident: ident(query),
        creator: Creator::NFDUMP,
        created_secs: sys::clock::now_ms() / 1000,
        ..WriterOptions::default()
    };
    let mut writer = Writer::create(&target.written, &options)?;
    let result = write_flows(query, plan, &mut writer).and_then(|report| {
        let closed = writer.close(&[])?;
        if closed.dropped.all() > 0 {
            bail!("{} records could not be written", closed.dropped.all());
        }
        target.publish()?;
        Ok(report)
    });
    if result.is_err() {
        target.discard();
    }
    result
}

/// Where `-w` writes to, and the name that the result gets.
///
/// A file has a temporary name until it is whole, because it may be one of those that are read. A
/// link goes on pointing at what it points at, and what is no file, such as `/dev/null`, is
/// written to as it is.
struct Target {
    written: PathBuf,
    wanted: PathBuf,
}

impl Target {
    fn new(path: &Path) -> Self {
        let wanted = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if wanted.metadata().is_ok_and(|m| !m.is_file()) {
            return Self { written: wanted.clone(), wanted };
        }
        let mut temporary = wanted.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        Self { written: temporary.into(), wanted }
    }

    fn publish(&self) -> anyhow::Result<()> {
        if self.written != self.wanted {
            std::fs::rename(&self.written, &self.wanted)
                .with_context(|| self.wanted.display().to_string())?;
        }
        Ok(())
    }

    /// What is there is only half of what was asked for; the error says why.
    fn discard(&self) {
        if self.written != self.wanted {
            let _ = std::fs::remove_file(&self.written);
        }
    }
}

/// The ident of the first file that can be read.
fn ident(query: &Query) -> String {
    let first = query.files.iter().find_map(|f| store::FlowFile::open(f).ok());
    first.map_or_else(|| "none".to_owned(), |f| f.ident().to_owned())
}

fn write_flows(query: &Query, plan: &Plan, writer: &mut Writer) -> anyhow::Result<Report> {
    Ok(match &plan.what {
        What::Joined(grouping) => {
            let (flows, mut report) = query.join_flows(grouping, plan.sorting, plan.top)?;
            flows.write(plan.sorting, plan.top, writer, &mut report)?;
            report
        }
        What::Sorted(sorting) => query.write_sorted(*sorting, plan.top, writer)?,
        What::List | What::Statistics(_) => query.write(writer)?,
    })
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

/// Says what could not be read and what that means for the exit status.
pub(super) fn damage(name: &str, report: &Report) -> Exit {
    for d in &report.damage {
        complain(name, &d.file, &d.what);
    }
    if report.damage.iter().any(|d| d.is_loss) { Exit::Failure } else { Exit::Success }
}

/// One line about a file, which names the file once.
fn complain(name: &str, file: &Path, what: &str) {
    let file = file.display().to_string();
    if what.contains(&file) {
        eprintln!("{name}: {what}");
    } else {
        eprintln!("{name}: {file}: {what}");
    }
}
