//! Which files `-r`, `-R` and `-M` name.

use crate::app::WithExit;
use crate::args::flowdump::Args;
use crate::exit::Exit;
use std::path::PathBuf;
use store::StoreError;
use store::select::{Input, select};

/// The files in order; `None` if no option names any. What lies beside them and is no flow file is
/// told in one line.
pub(super) fn files(name: &str, args: &Args) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let input = Input {
        read: args.input.read.as_deref(),
        range: args.input.range.as_deref(),
        sources: args.input.multi.as_deref(),
    };
    if input == Input::default() {
        return Ok(None);
    }
    let named_range = args.input.range.is_some();
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
    Ok(Some(selected.files))
}
