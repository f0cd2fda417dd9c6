//! Writes manual pages, completions and the list of programs into a directory.

use anyhow::Context as _;
use std::path::Path;

fn main() -> anyhow::Result<()> {
    let dir = std::env::args_os().nth(1).context("usage: flowsuite-manual DIR")?;
    manual::write(Path::new(&dir))
}
