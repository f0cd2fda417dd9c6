//! `--where-lost`: what collectors could not store, from the statements they left beside the files.

use super::exporter_loss::Exporters;
use super::print::complain;
use crate::args::flowdump::LossView;
use crate::exit::Exit;
use output::{Column, ColumnKind, FormatOptions, Kind, Table, TablePrinter, Value};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use store::loss::{Loss, Place, Statement, Statements};

/// Prints a line for each file and cause, and for people the sums and the exporters that lost most;
/// or the exporters alone.
pub(super) fn print(
    name: &str,
    files: &[PathBuf],
    (kind, options): (Kind, &FormatOptions),
    view: LossView,
    top: usize,
) -> anyhow::Result<Exit> {
    let (mut statements, mut sums, mut exit) = (Statements::new(), Sums::default(), Exit::Success);
    let (table, mut printer, mut text) = (table(), TablePrinter::new(kind, options), Vec::new());
    let (has_files, mut exporters) = (view != LossView::Exporters, Exporters::default());
    printer.open(&mut text);
    if has_files {
        printer.table(&table, &mut text);
    }
    for file in files {
        match statements.of(file) {
            Ok(all) if all.is_empty() => sums.silent += 1,
            Ok(all) => {
                sums.told += 1;
                all.iter().for_each(|statement| exporters.add(statement));
                for (statement, loss) in of_file(&all) {
                    sums.add((statement.from, statement.collector), &loss);
                    if has_files {
                        printer.row(&table, &row(statement, &loss, file), &mut text);
                    }
                }
            }
            Err(e) => {
                complain(name, file, &e.to_string());
                exit = Exit::Incomplete;
            }
        }
    }
    let for_people = kind == Kind::Text && !options.quiet;
    if view == LossView::Exporters {
        exporters.print(top, &mut printer, &mut text);
    }
    printer.close(&mut text);
    if for_people {
        text.extend_from_slice(sums.to_string().as_bytes());
        if view == LossView::Both && exporters.with_losses() > 0 {
            text.extend_from_slice(b"\n");
            exporters.print(top, &mut TablePrinter::new(kind, options), &mut text);
        }
    }
    io::stdout().write_all(&text)?;
    if statements.unreadable() > 0 {
        let n = statements.unreadable();
        eprintln!(
            "{name}: {n} statements of loss cannot be read: lines cut short, or too long a day"
        );
    }
    Ok(exit)
}

fn table() -> Table {
    use ColumnKind::{Number, Text, Time};
    Table {
        title: String::new(),
        columns: vec![
            Column::new("slot", "Slot", "", Time),
            Column::new("file", "File", "", Text).wide(24),
            Column::new("ident", "Ident", "", Text).wide(12),
            Column::new("place", "Place", "", Text).wide(9),
            Column::new("cause", "Cause", "", Text).wide(26),
            Column::new("lost", "Lost", "", Number),
            Column::new("unit", "Unit", "", Text).wide(9),
            Column::new("all_sources", "", "", ColumnKind::Flag),
        ],
    }
}

fn row<'a>(statement: &'a Statement, loss: &'a Loss, file: &'a Path) -> [Value<'a>; 8] {
    let file = file.file_name().and_then(|n| n.to_str()).unwrap_or(&statement.file);
    [
        Value::Time(statement.from.saturating_mul(1000)),
        Value::Text(file),
        Value::Text(&statement.ident),
        Value::Text(loss.place.name()),
        Value::Text(&loss.what),
        Value::Number(loss.count),
        Value::Text(&loss.unit),
        Value::Flag(loss.shared),
    ]
}

/// The losses of all parts of a file, each cause once.
fn of_file<'a>(parts: &[&'a Statement]) -> Vec<(&'a Statement, Loss)> {
    let mut all: Vec<(&Statement, Loss)> = Vec::new();
    for part in parts {
        for loss in &part.losses {
            let same = |l: &&mut (&Statement, Loss)| {
                l.1.place == loss.place && l.1.what == loss.what && l.1.unit == loss.unit
            };
            match all.iter_mut().find(same) {
                Some((_, sum)) => sum.count = sum.count.saturating_add(loss.count),
                None => all.push((part, loss.clone())),
            }
        }
    }
    all
}

/// Start of a slot, and whose it is.
type Slot = (u64, u32);

/// What all files together miss.
#[derive(Default)]
struct Sums {
    by_cause: BTreeMap<(&'static str, String, String), u64>,
    /// Shared losses are in the statements of all sources of a slot.
    shared: HashSet<(Slot, Place, String)>,
    told: u64,
    silent: u64,
}

impl Sums {
    fn add(&mut self, slot: Slot, loss: &Loss) {
        if loss.shared && !self.shared.insert((slot, loss.place, loss.what.clone())) {
            return;
        }
        let cause = (loss.place.name(), loss.what.clone(), loss.unit.clone());
        let sum = self.by_cause.entry(cause).or_default();
        *sum = sum.saturating_add(loss.count);
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.told > 0 && self.by_cause.is_empty() {
            writeln!(f, "Nothing is missing.")?;
        }
        for ((place, cause, unit), n) in &self.by_cause {
            writeln!(f, "Lost in all: {n} {unit}, {place}: {cause}")?;
        }
        let mut files = format!("Files with a statement of their collector: {}", self.told);
        if self.silent > 0 {
            write!(files, ", without: {}", self.silent)?;
        }
        writeln!(f, "{files}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(place: Place, what: &str, count: u64, shared: bool) -> Loss {
        Loss { place, what: what.to_owned(), unit: "datagrams".to_owned(), count, shared }
    }

    #[test]
    fn parts_of_a_file_add_up_and_shared_losses_count_once() {
        let part = |losses| Statement { from: 300, losses, ..Statement::default() };
        let a = part(vec![loss(Place::Kernel, "drops", 4, true), loss(Place::Disk, "x", 1, false)]);
        let b = part(vec![loss(Place::Disk, "x", 2, false)]);
        let told: Vec<u64> = of_file(&[&a, &b]).iter().map(|(_, l)| l.count).collect();
        assert_eq!(told, [4, 3]);
        let mut sums = Sums { told: 2, ..Sums::default() };
        for source in [&a, &b, &a] {
            source.losses.iter().for_each(|l| sums.add((source.from, 1), l));
        }
        let want = "Lost in all: 4 datagrams, disk: x\nLost in all: 4 datagrams, kernel: drops\n";
        assert!(sums.to_string().starts_with(want), "{sums}");
    }
}
