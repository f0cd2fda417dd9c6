//! `flowdump`: from options to answers.

mod inputs;
mod print;
mod progress;

use crate::app::WithExit;
use crate::args::flowdump::Args;
use crate::exit::Exit;
use anyhow::{Context as _, bail};
use clap::CommandFactory as _;
use filter::Filter;
use output::{Format, FormatOptions};
use query::{By, Grouping, Query, Request, Sorting};
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};

/// Runs `flowdump` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    sys::memory::give_back_large_areas();
    match crate::args::parse(name, args)? {
        Ok(args) => run(name, &args),
        Err(exit) => Ok(exit),
    }
}

fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let start = sys::clock::monotonic();
    let filter = read_filter(name, args)?;
    if args.check_filter {
        return Ok(Exit::Success);
    }
    if let Some(path) = &args.verify {
        return print::verify(path);
    }
    let Some(files) = inputs::files(args)? else {
        Args::command().name(name.to_owned()).print_help().context("print help")?;
        return Ok(Exit::Success);
    };
    if args.info {
        return print::file_statistics(name, &files);
    }
    let plan = Plan::new(args)?;
    let window = args.window.as_deref().map(super::window::Window::parse).transpose()?;
    let mut filters = vec![filter];
    if let Some(w) = &window {
        filters.push(Filter::parse(&w.as_filter()).context("time window")?);
    }
    let query = Query {
        files,
        filters,
        window: window.map(|w| (w.from_ms, w.until_ms.unwrap_or(u64::MAX))),
        limit: args.limit,
        threads: args.workers.unwrap_or_else(sys::clock::cores).clamp(1, 256),
        progress: progress::watch(matches!(plan.what, What::List) && args.write.is_none()),
        ..Query::default()
    };
    let report = match &args.write {
        Some(path) => {
            let report = print::write(&query, &plan, args, path);
            progress::clear();
            report?
        }
        None => {
            let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
            let report = answer(&query, &plan, &mut out);
            progress::clear();
            let report = report?;
            print::summary(&plan, args, window, &report, start, &mut out)?;
            out.flush()?;
            report
        }
    };
    Ok(print::damage(name, &report))
}

/// The filter of the command line, or of `-f`, or the one that lets everything pass.
fn read_filter(name: &str, args: &Args) -> anyhow::Result<Filter> {
    let mut source = None;
    let text = match (&args.filter_file, args.filter.is_empty()) {
        (Some(path), true) => {
            source = Some(path.display().to_string());
            let text = if path.as_os_str() == "-" {
                io::read_to_string(io::stdin())
            } else {
                std::fs::read_to_string(path)
            };
            text.map_err(|e| WithExit {
                exit: Exit::FilterFile,
                message: format!("filter file {}: {e}", path.display()),
            })?
        }
        _ => args.filter.join(" "),
    };
    let options =
        filter::ParseOptions { source: source.as_deref(), ..filter::ParseOptions::default() };
    let filter = Filter::parse_with(&text, &options).map_err(|e| {
        // Scripts look for this line where nfdump prints it.
        if name.starts_with("nfdump") {
            println!("{}", e.nfdump_line());
        }
        WithExit { exit: Exit::Filter, message: e.to_string() }
    })?;
    Ok(filter)
}

/// What is to be printed, worked out from the options before any file is read.
#[derive(Debug)]
struct Plan {
    what: What,
    format: Format,
    sorting: Option<Sorting>,
    /// Lines of a table or a sorted list, 0 for all.
    top: usize,
}

#[derive(Debug)]
enum What {
    List,
    Sorted(Sorting),
    Joined(Grouping),
    Statistics(Vec<Request>),
}

impl Plan {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let order = if args.by_start { Some("tstart") } else { args.order.as_deref() };
        let sorting = order.map(Sorting::parse).transpose()?;
        let grouping = match args.group_by.as_slice() {
            [] => None,
            [list] => Some(Grouping::parse(list)?),
            _ => bail!("Multiple aggregation masks not allowed: name all fields in one -A"),
        };
        let what = Self::what(args, sorting, grouping.as_ref())?;
        let options = FormatOptions {
            ipv6_wide: args.wide,
            plain_numbers: args.plain_numbers,
            quiet: args.quiet,
            ..FormatOptions::default()
        };
        let key = match &what {
            What::Joined(g) if !args.group_by.is_empty() => Some(g),
            What::Statistics(requests) => requests.iter().find_map(|r| match &r.by {
                By::Flows(g) if !args.group_by.is_empty() => Some(g),
                _ => None,
            }),
            _ => None,
        };
        let format = format(args.output.as_deref(), key, &options)?;
        let default_top = if matches!(what, What::Statistics(_)) { 10 } else { 0 };
        Ok(Self { what, format, sorting, top: args.top.unwrap_or(default_top) })
    }

    fn what(
        args: &Args,
        sorting: Option<Sorting>,
        grouping: Option<&Grouping>,
    ) -> anyhow::Result<What> {
        if args.statistics.is_empty() {
            return Ok(match (grouping, sorting) {
                (Some(grouping), _) => What::Joined(grouping.clone()),
                (None, _) if args.aggregate => What::Joined(Grouping::five_tuple()),
                (None, Some(sorting)) => What::Sorted(sorting),
                (None, None) => What::List,
            });
        }
        if args.write.is_some() {
            bail!("-s prints tables and -w writes flows: use one of them");
        }
        let five_tuple = Grouping::five_tuple();
        let key = grouping.unwrap_or(&five_tuple);
        let parse = |s: &String| Request::parse(s, key, sorting);
        let mut requests: Vec<Request> =
            args.statistics.iter().map(parse).collect::<Result<_, _>>()?;
        // Tables of flows come first, as nfdump prints them.
        requests.sort_by_key(|r| !matches!(r.by, By::Flows(_)));
        if grouping.is_some() && !matches!(requests.first(), Some(Request { by: By::Flows(_), .. }))
        {
            eprintln!("Warning: Aggregation ignored for element statistics");
        }
        Ok(What::Statistics(requests))
    }
}

/// The format of `-o`; the columns of `-A` where nothing else is asked for.
fn format(
    name: Option<&str>,
    key: Option<&Grouping>,
    options: &FormatOptions,
) -> anyhow::Result<Format> {
    let format = match (name, key) {
        (None, Some(key)) => Format::for_aggregation(&key.tokens, false, options),
        (Some(csv), Some(key)) if csv.eq_ignore_ascii_case("csv") => {
            Format::for_aggregation(&key.tokens, true, options)
        }
        (name, _) => Format::parse(name.unwrap_or("line"), options),
    };
    format.map_err(|e| {
        let known = e.known();
        let message = if known.is_empty() { e.to_string() } else { format!("{e}\n{known}") };
        WithExit { exit: Exit::Failure, message: message.trim_end().to_owned() }.into()
    })
}

/// Answers on `out`.
fn answer(
    query: &Query,
    plan: &Plan,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<query::Report> {
    Ok(match &plan.what {
        What::List => query.list(&plan.format, out)?,
        What::Sorted(sorting) => query.sorted(*sorting, plan.top, &plan.format, out)?,
        What::Joined(grouping) => {
            let (flows, mut report) = query.join_flows(grouping, plan.sorting, plan.top)?;
            flows.print(plan.sorting, plan.top, &plan.format, out, &mut report)?;
            report
        }
        What::Statistics(requests) => print::statistics(query, plan, requests, out)?,
    })
}
