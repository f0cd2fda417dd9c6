//! Which files `-r`, `-R` and `-M` name, and standard input as a file.

use super::archive::Archive;
use crate::app::WithExit;
use crate::args::flowdump::Args;
use crate::cmd::outside;
use crate::exit::Exit;
use anyhow::ensure;
use std::path::PathBuf;
use store::StoreError;
use store::select::{Input, select};
use tempfile::NamedTempFile;

/// Files to read, in order.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) files: Vec<PathBuf>,
    /// What came on standard input: blocks are read where they lie, and some twice, so it needs a
    /// file, which goes when this does.
    _copy: Option<NamedTempFile>,
}

/// The files in order; `None` if no option names any. What lies beside them and is no flow file is
/// told in one line.
pub(super) fn files(
    name: &str,
    args: &Args,
    archive: Option<&Archive>,
) -> anyhow::Result<Option<Inputs>> {
    if let Some(archive) = archive {
        return Ok(Some(Inputs { files: archive.files(args)?, _copy: None }));
    }
    let input = Input {
        read: args.input.read.as_deref(),
        range: args.input.many.range.as_deref(),
        sources: args.input.many.multi.as_deref(),
    };
    if input == Input::default() {
        return Ok(None);
    }
    if input.read == Some("-") && input.sources.is_none() {
        return standard_input(args).map(Some);
    }
    let named_range = args.input.many.range.is_some();
    let selected = select(&input).map_err(|e| match &e {
        // nfdump says so and goes on with nothing.
        StoreError::Io { .. } if named_range => {
            WithExit { exit: Exit::Incomplete, message: e.to_string() }.into()
        }
        _ => anyhow::Error::from(e),
    })?;
    if let Some(warning) = selected.warning() {
        eprintln!("{name}: {warning}");
    }
    Ok(Some(Inputs { files: selected.files, _copy: None }))
}

/// Flows from a pipe: `zcat nfcapd.gz | flowdump -r -`.
fn standard_input(args: &Args) -> anyhow::Result<Inputs> {
    let has_filter = args.select.filter_file.as_ref().is_some_and(|f| f.as_os_str() == "-");
    ensure!(
        !has_filter || !args.filter.is_empty(),
        "-r - and -f - both want standard input: put one of them into a file"
    );
    let copy = outside::standard_input()?;
    Ok(Inputs { files: vec![copy.path().to_owned()], _copy: Some(copy) })
}
