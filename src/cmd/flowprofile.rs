//! `flowprofile`: what its commands do.

mod graph;
mod list;
mod nfprofile;
mod ports;
mod work;

use super::outside;
use crate::app::WithExit;
use crate::args;
use crate::args::flowprofile::{Args, Command, TableFormat};
use crate::exit::Exit;
use anyhow::Context as _;
use filter::ParseOptions;
use output::{FormatOptions, Kind, Table, TablePrinter, Value};
use profile::{Damaged, ProfileError, Profiles, Reading};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;

/// Runs `flowprofile` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    if name == "nfprofile" {
        return nfprofile::main(name, args);
    }
    let args = match args::parse::<Args>(name, args)? {
        Ok(read) => read.args,
        Err(exit) => return Ok(exit),
    };
    let profiles = load(&args.config)?;
    match &args.command {
        Command::Run(run) => work::run(name, &profiles, run),
        Command::Build(build) => work::build(name, &profiles, build),
        Command::List(list) => list::list(name, &profiles, list.output),
        Command::Check => list::check(name, &profiles, &args.config),
        Command::Graph(graph) => graph::graph(name, &profiles, graph),
        Command::Ports(ports) => ports::ports(name, &profiles, ports),
        Command::Metrics => list::metrics(name, &profiles),
    }
}

/// Reads the definitions.
fn load(path: &Path) -> anyhow::Result<Profiles> {
    let text = outside::read_text(path)
        .with_context(|| format!("{}; name the definitions with -C", path.display()))?;
    reading(|reading| Profiles::parse(&text, path, reading)).map_err(refused)
}

/// Gives what filters may ask.
fn reading<T>(read: impl FnOnce(&Reading<'_>) -> T) -> T {
    let include = |name: &str| outside::read_text(name.as_ref()).map_err(|e| e.to_string());
    let filters = ParseOptions {
        resolve: Some(&outside::resolve),
        include: Some(&include),
        ..ParseOptions::default()
    };
    read(&Reading { filters: &filters, read: &outside::read_text })
}

/// A wrong filter has a status of its own, as everywhere.
fn refused(e: ProfileError) -> anyhow::Error {
    match e {
        ProfileError::Filter { .. } => {
            WithExit { exit: Exit::Filter, message: e.to_string() }.into()
        }
        e => e.into(),
    }
}

/// The profile that is asked for.
fn find(profiles: &Profiles, name: &str) -> anyhow::Result<usize> {
    profiles.find(name).with_context(|| {
        let known: Vec<String> = profiles.profiles.iter().map(ToString::to_string).collect();
        format!("there is no profile '{name}'; there are: {}", known.join(", "))
    })
}

/// Says what is damaged; returns how the program is to end.
fn tell_damaged(name: &str, damaged: &[Damaged]) -> Exit {
    for d in damaged {
        let when = shown(d.slot);
        let what =
            format!("the counters of {when} are damaged: flowprofile build counts them anew");
        super::complain_of(name, &d.path, &what);
    }
    if damaged.is_empty() { Exit::Success } else { Exit::Incomplete }
}

/// A moment in local time.
fn shown(secs: u64) -> String {
    let time = i64::try_from(secs).ok().and_then(|s| chrono::DateTime::from_timestamp(s, 0));
    time.map(|t| t.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default()
}

fn kind_of(format: TableFormat) -> Kind {
    match format {
        TableFormat::Text => Kind::Text,
        TableFormat::Csv => Kind::Csv,
        TableFormat::Json => Kind::Json,
        TableFormat::Ndjson => Kind::Ndjson,
    }
}

/// A document of tables.
struct Tables {
    printer: TablePrinter,
    kind: Kind,
    out: Vec<u8>,
}

impl Tables {
    fn new(kind: Kind) -> Self {
        let printer = TablePrinter::new(kind, &FormatOptions::default());
        let mut out = Vec::new();
        printer.open(&mut out);
        Self { printer, kind, out }
    }

    fn is_text(&self) -> bool {
        self.kind == Kind::Text
    }

    fn table(&mut self, table: &Table) {
        self.printer.table(table, &mut self.out);
    }

    fn row(&mut self, table: &Table, values: &[Value<'_>]) {
        self.printer.row(table, values, &mut self.out);
    }

    fn print(mut self) -> anyhow::Result<()> {
        self.printer.close(&mut self.out);
        print(&self.out)
    }
}

fn print(octets: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(octets)?;
    out.flush()?;
    Ok(())
}
