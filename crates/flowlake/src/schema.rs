//! `flowlake schema`: the columns of the dataset.

use flowsuite::exit::Exit;
use std::io::{self, Write as _};

/// Prints a line for each column: name, type, what it is.
pub(crate) fn print() -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    for column in lake::schema::COLUMNS {
        writeln!(out, "{}\t{:?}\t{}", column.name, column.kind, column.about)?;
    }
    Ok(Exit::Success)
}
