//! `-w`: flows into a new file.

use super::plan::{Plan, What};
use crate::app::WithExit;
use crate::args::flowdump::Args;
use crate::exit::Exit;
use anyhow::{Context as _, bail};
use query::{Query, Report};
use std::path::{Path, PathBuf};
use store::{Creator, Writer, WriterOptions};

/// `-w`: the flows that pass, written to a file.
pub(super) fn write(
    query: &Query,
    plan: &Plan,
    args: &Args,
    path: &Path,
) -> anyhow::Result<Report> {
    let packing = args.files.compress.packing()?;
    let target = Target::new(path);
    let options = WriterOptions {
        compression: packing,
        ident: ident(query),
        creator: Creator::NFDUMP,
        created_secs: sys::clock::now_ms() / 1000,
        ..WriterOptions::default()
    };
    // nfdump calls this success.
    let mut writer = Writer::create(&target.written, &options)
        .map_err(|e| WithExit { exit: Exit::Incomplete, message: e.to_string() })?;
    let result = write_flows(query, plan, &mut writer).and_then(|report| {
        if report.interrupted {
            let message = format!("interrupted: {} is left as it was", path.display());
            return Err(WithExit { exit: Exit::Interrupted, message }.into());
        }
        if let Some(e) = writer.take_error().or_else(|| writer.flush().err()) {
            bail!("{e}; make room or write elsewhere: what was there before is kept");
        }
        let closed = writer.close(&[])?;
        let lost = closed.dropped;
        if lost.all() > 0 {
            bail!(
                "not everything fits into a flow file ({} records not written, {} too long, {} cut, \
                 {} exporters, samplers or names left out); what was there before is kept",
                lost.unwritten,
                lost.too_long,
                lost.cut,
                lost.meta
            );
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
pub(in crate::cmd) struct Target {
    pub(in crate::cmd) written: PathBuf,
    wanted: PathBuf,
}

impl Target {
    pub(in crate::cmd) fn new(path: &Path) -> Self {
        let wanted = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if wanted.metadata().is_ok_and(|m| !m.is_file()) {
            return Self { written: wanted.clone(), wanted };
        }
        let mut temporary = wanted.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        Self { written: temporary.into(), wanted }
    }

    pub(in crate::cmd) fn publish(&self) -> anyhow::Result<()> {
        if self.written != self.wanted {
            std::fs::rename(&self.written, &self.wanted)
                .with_context(|| self.wanted.display().to_string())?;
        }
        Ok(())
    }

    /// What is there is only half of what was asked for; the error says why.
    pub(in crate::cmd) fn discard(&self) {
        if self.written != self.wanted {
            let _ = std::fs::remove_file(&self.written);
        }
    }
}

/// The ident of the first file that can be read.
fn ident(query: &Query) -> String {
    let ident_of = |path: &PathBuf| match query.opener.as_ref().and_then(|o| o.open(path)) {
        Some(opened) => Some(opened.ok()?.ident().to_owned()),
        None => Some(store::FlowFile::open_with(path, &query.read).ok()?.ident().to_owned()),
    };
    query.files.iter().find_map(ident_of).unwrap_or_else(|| "none".to_owned())
}

fn write_flows(query: &Query, plan: &Plan, writer: &mut Writer) -> anyhow::Result<Report> {
    Ok(match &plan.what {
        What::Joined(grouping) => {
            let (flows, mut report) = query.join_flows(grouping, plan.sorting, plan.top)?;
            flows.write(plan.sorting, plan.top, writer, &mut report)?;
            report
        }
        What::Sorted(sorting) => query.write_sorted(*sorting, plan.top, writer)?,
        _ => query.write(writer)?,
    })
}
