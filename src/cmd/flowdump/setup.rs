//! What a run knows and may use besides its question: configuration, databases, filters, colours,
//! memory.

use super::archive::Archive;
use super::plan::What;
use crate::app::{WithExit, is_old_name};
use crate::args::flowdump::{Args, Color};
use crate::cmd::outside;
use crate::config;
use crate::exit::Exit;
use anyhow::Context as _;
use filter::{Filter, ParseOptions};
use geo::Book;
use output::{Services, UserFormat};
use record::AddressBook;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use store::ReadOptions;

/// What was set up.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) user_formats: Vec<UserFormat>,
    pub(super) threads: usize,
    /// Octets that groups may take.
    pub(super) memory: Option<usize>,
    pub(super) colour: bool,
    /// Countries, autonomous systems, exits of the Tor network.
    pub(super) book: Option<Arc<dyn AddressBook>>,
    /// What reading files needs beside their names.
    pub(super) read: ReadOptions,
    /// Who opens files of other forms.
    pub(super) opener: Option<Arc<dyn query::Opener>>,
    /// Names of ports, if they are to be shown.
    pub(super) services: Option<Arc<Services>>,
}

impl Setup {
    /// Says which databases the question needs that are not there.
    pub(super) fn check(&self, name: &str, what: &What) {
        let (mut countries, mut systems) = (false, false);
        for by in what.counted() {
            countries |= by.needs_countries();
            systems |= by.needs_systems();
        }
        if let What::Joined(grouping) = what {
            countries |= grouping.needs_countries();
            systems |= grouping.needs_systems();
        }
        let book = self.book.as_deref();
        for (needed, is_there, of) in [
            (countries, book.is_some_and(AddressBook::has_countries), "countries"),
            (systems, book.is_some_and(AddressBook::has_systems), "autonomous systems"),
        ] {
            if needed && !is_there {
                eprintln!("{name}: no database of {of} is given: use -G FILE.mmdb");
            }
        }
    }

    /// To be called before there are threads: the time zone belongs to the process.
    pub(super) fn new(name: &str, args: &Args, archive: Option<&Archive>) -> anyhow::Result<Self> {
        if let Some(zone) = &args.show.tz {
            sys::clock::set_zone(zone)?;
        }
        let config = config::flowdump(args.setup.config.as_deref())?;
        let book = open_book(name, args, &config)?;
        let threads = args.setup.threads.map(usize::from).or(config.maxworkers);
        let memory = args.setup.memory.as_ref().or(config.memory.as_ref());
        let memory = memory.map(|m| config::size(m)).transpose()?;
        let formats = |formats: std::collections::BTreeMap<String, String>, csv| {
            formats.into_iter().map(move |(name, spec)| UserFormat { name, csv, spec })
        };
        Ok(Self {
            user_formats: formats(config.fmt, false).chain(formats(config.csv, true)).collect(),
            threads: threads.unwrap_or_else(sys::clock::cores).clamp(1, 256),
            memory: memory.or_else(usable_memory),
            colour: has_colour(args.show.color),
            book: book.map(|b| Arc::new(b) as Arc<dyn AddressBook>),
            read: ReadOptions {
                key: args.input.key.as_deref().map(outside::passphrase).transpose()?,
            },
            opener: archive.map(|a| Arc::clone(&a.opener)),
            services: args.show.names.then(services).transpose()?,
        })
    }
}

/// The databases of `-G` and `-H`; else those of the environment or the configuration, which are
/// no reason to fail: the answer may not need them.
fn open_book(name: &str, args: &Args, config: &config::Flowdump) -> anyhow::Result<Option<Book>> {
    let named = |option: &Option<String>, variable: &str, configured: &Option<config::Database>| {
        let usual = || {
            let set = std::env::var(variable).ok().filter(|v| !v.is_empty());
            set.or_else(|| configured.as_ref().map(|d| d.path.clone()))
        };
        let text = option.clone().or_else(usual).filter(|t| t != "none").unwrap_or_default();
        text.split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let databases = named(&args.setup.geo, "NFGEODB", &config.geodb);
    let tor_lists = named(&args.setup.tor, "NFTORDB", &config.tordb);
    if databases.is_empty() && tor_lists.is_empty() {
        return Ok(None);
    }
    let e = match Book::open(&databases, &tor_lists) {
        Ok(book) => return Ok(Some(book)),
        Err(e) => e,
    };
    let keep = |is_named, paths| if is_named { paths } else { Vec::new() };
    let databases = keep(args.setup.geo.is_some(), databases);
    let tor_lists = keep(args.setup.tor.is_some(), tor_lists);
    // What was named in this run has to do; if that is sound, it was the other that is not.
    let book = Book::open(&databases, &tor_lists)?;
    eprintln!("{name}: {e}; going on without it");
    Ok((!databases.is_empty() || !tor_lists.is_empty()).then_some(book))
}

fn services() -> anyhow::Result<Arc<Services>> {
    const FILE: &str = "/etc/services";
    let text =
        std::fs::read_to_string(FILE).with_context(|| format!("names of services: {FILE}"))?;
    Ok(Arc::new(Services::parse(&text)))
}

/// Three quarters of what is free, so that the machine goes on working.
fn usable_memory() -> Option<usize> {
    let free = sys::memory::available()?;
    usize::try_from(free / 4 * 3).ok()
}

fn has_colour(when: Color) -> bool {
    let wanted = || std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stdout().is_terminal() && wanted(),
    }
}

/// The filter of the command line, or of `-f`, or the one that lets everything pass.
pub(super) fn filter(name: &str, args: &Args, setup: &Setup) -> anyhow::Result<Filter> {
    let path = args.select.filter_file.as_ref().filter(|_| args.filter.is_empty());
    let Some(path) = path else { return parse(name, &args.filter.join(" "), None, setup) };
    let is_input = path.as_os_str() == "-";
    let text = if is_input { outside::read_all(io::stdin()) } else { outside::read_text(path) };
    let source = path.display().to_string();
    let text = text.map_err(|e| WithExit {
        exit: Exit::FilterFile,
        message: format!("filter file {source}: {e}"),
    })?;
    parse(name, &text, Some(&source), setup)
}

/// Reads the text of a filter, which stands in the file `source` if anywhere.
pub(super) fn parse(
    name: &str,
    text: &str,
    source: Option<&str>,
    setup: &Setup,
) -> anyhow::Result<Filter> {
    let options = ParseOptions {
        source,
        book: setup.book.as_deref(),
        resolve: Some(&outside::resolve),
        include: Some(&|path| outside::read_text(Path::new(path)).map_err(|e| e.to_string())),
        ..ParseOptions::default()
    };
    let filter = Filter::parse_with(text, &options).map_err(|e| {
        // Scripts look for this line where nfdump prints it.
        if is_old_name(name) && !e.is_include() {
            println!("{}", e.nfdump_line());
        }
        let exit = if e.is_include() { Exit::FilterFile } else { Exit::Filter };
        WithExit { exit, message: e.to_string() }
    })?;
    let book = setup.book.as_deref();
    let (has_countries, has_exits) = (
        book.is_some_and(AddressBook::has_countries),
        book.is_some_and(|b| !b.tor_exits().is_empty()),
    );
    for (missing, what, option) in [
        (filter.needs_countries() && !has_countries, "countries", "-G FILE.mmdb"),
        (filter.needs_tor() && !has_exits, "exits of the Tor network", "-H FILE"),
    ] {
        if missing {
            eprintln!("{name}: the filter asks for {what}, but no database is given: use {option}");
        }
    }
    Ok(filter)
}
