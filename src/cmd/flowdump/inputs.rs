//! Which files `-r`, `-R` and `-M` name.

use crate::args::flowdump::Args;
use std::path::PathBuf;
use store::select::{Input, files as select};

/// The files in order; `None` if no option names any.
pub(super) fn files(args: &Args) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let input = Input {
        read: args.read.as_deref(),
        range: args.range.as_deref(),
        sources: args.multi.as_deref(),
    };
    if input == Input::default() {
        return Ok(None);
    }
    Ok(Some(select(&input)?))
}
