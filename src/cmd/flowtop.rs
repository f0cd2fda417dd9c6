//! `flowtop`: who talks most, in the last minutes.

mod once;
mod reader;
#[cfg(feature = "tui")]
mod screen;

use super::outside;
use crate::app::WithExit;
use crate::args;
use crate::args::flowtop::{Args, End};
use crate::exit::Exit;
use anyhow::Context as _;
use filter::{Filter, ParseOptions};
use geo::Book;
use query::Grouping;
use record::AddressBook;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use store::ReadOptions;
use top::model::Ask;

/// Runs `flowtop`.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(name, args)? {
        Ok(read) => read.args,
        Err(exit) => return Ok(exit),
    };
    let setup = Setup::new(&args)?;
    let ask = setup.ask(&args)?;
    let rows = args.count.top.unwrap_or(if args.show.once { 10 } else { 200 });
    let rows = if rows == 0 { usize::MAX } else { rows };
    match args.show.once {
        true => once::print(name, &args, &setup, &ask, rows),
        false => screen(&args, setup, ask, rows),
    }
}

#[cfg(feature = "tui")]
fn screen(args: &Args, setup: Setup, ask: Ask, rows: usize) -> anyhow::Result<Exit> {
    screen::show(args, setup, ask, rows)
}

#[cfg(not(feature = "tui"))]
fn screen(_: &Args, _: Setup, _: Ask, _: usize) -> anyhow::Result<Exit> {
    anyhow::bail!("this flowtop was built without its screen: use --once")
}

/// What all questions of a run have in common.
#[derive(Clone, Debug)]
struct Setup {
    roots: Vec<std::path::PathBuf>,
    read: ReadOptions,
    book: Option<Arc<dyn AddressBook>>,
    grouping: Grouping,
    max_keys: usize,
    end: top::End,
}

impl Setup {
    fn new(args: &Args) -> anyhow::Result<Self> {
        const NO_LISTS: &[&str] = &[];
        for root in &args.input.read {
            root.metadata().with_context(|| {
                format!("{}: name the directory that flows are written to with -r", root.display())
            })?;
        }
        let databases: Vec<String> =
            args.input.geo.iter().flat_map(|g| g.split(',')).map(str::to_owned).collect();
        let book = match databases.is_empty() {
            true => None,
            false => Some(Arc::new(Book::open(&databases, NO_LISTS)?) as Arc<dyn AddressBook>),
        };
        let grouping = match &args.count.group_by {
            Some(fields) => Grouping::parse(fields)?,
            None => Grouping::five_tuple(),
        };
        Ok(Self {
            roots: args.input.read.clone(),
            read: ReadOptions {
                key: args.input.key.as_deref().map(outside::passphrase).transpose()?,
            },
            book,
            grouping,
            max_keys: args.count.max_keys as usize,
            end: match args.input.end {
                End::Now => top::End::Now,
                End::Last => top::End::LastFlow,
            },
        })
    }

    /// The first question.
    fn ask(&self, args: &Args) -> anyhow::Result<Ask> {
        let mut ask = Ask {
            joins: args.count.bidirectional,
            filter: args.filter.join(" "),
            window_secs: args.input.window,
            interval_secs: args.show.interval,
            ..Ask::default()
        };
        ask.set_statistic(&args.count.statistic, &self.grouping).map_err(anyhow::Error::msg)?;
        self.filter(&ask.filter).map_err(|message| WithExit { exit: Exit::Filter, message })?;
        Ok(ask)
    }

    /// Reads a filter.
    fn filter(&self, text: &str) -> Result<Filter, String> {
        let options = ParseOptions {
            book: self.book.as_deref(),
            include: Some(&|path| outside::read_text(Path::new(path)).map_err(|e| e.to_string())),
            ..ParseOptions::default()
        };
        Filter::parse_with(text, &options).map_err(|e| e.to_string())
    }
}
