//! `flowdump`: from options to answers.

mod analysis;
mod archive;
mod counters;
mod describe;
mod elsewhere;
mod exporter_loss;
mod fields;
mod files;
mod index;
mod inputs;
mod loss;
mod maintain;
mod plan;
mod print;
mod progress;
mod setup;
mod verify;
mod write;

use super::nat_who;
use crate::app::WithExit;
use crate::args::Read;
use crate::args::flowdump::Args;
use crate::exit::Exit;
use anyhow::{Context as _, bail};
pub use archive::Archive;
use clap::{ArgMatches, CommandFactory as _};
pub use elsewhere::{Asked, Elsewhere, Rows};
use filter::Filter;
use output::{Format, FormatOptions};
use plan::{Plan, What};
pub(super) use print::damage;
use query::{Fields, Query};
use setup::Setup;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
pub(super) use write::Target;

/// Runs `flowdump` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    with(name, args, None)
}

/// As [`main`], for a program that reads files of other forms, too. Without an archive such files
/// are handed over to `flowlake`.
pub fn with(name: &str, args: Vec<OsString>, archive: Option<&Archive>) -> anyhow::Result<Exit> {
    sys::memory::give_back_large_areas();
    sys::process::enlarge_output();
    // Where that is refused, the usual number does for all but the widest questions.
    let _ = sys::process::raise_file_limit();
    match crate::args::parse(name, args.clone())? {
        Ok(read) => match archive::named(&read.args) {
            Some(path) if archive.is_none() => archive::hand_over(path, args),
            named => run(name, &read, archive.filter(|_| named.is_some())),
        },
        Err(exit) => Ok(exit),
    }
}

fn run(name: &str, read: &Read<Args>, archive: Option<&Archive>) -> anyhow::Result<Exit> {
    let args = &read.args;
    if archive.is_some() {
        archive::check(args)?;
    }
    let setup = Setup::new(name, args, archive)?;
    let filter = setup::filter(name, args, &setup)?;
    let post = args.select.post_filter.as_deref();
    let post = post.map(|p| setup::parse(name, p, None, &setup)).transpose()?;
    if args.select.check_filter {
        return Ok(Exit::Success);
    }
    if args.select.explain {
        describe::filter(&filter)?;
        if let Some(inputs) = inputs::files(name, args, archive)? {
            let said = match archive {
                Some(archive) => {
                    let read = plan(read, &setup)?.fields().scanned | fields::of(&filter);
                    archive.explain(filter, &inputs.files, read)
                }
                None => index::explain(filter, &inputs.files),
            };
            writeln!(io::stdout(), "{said}")?;
        }
        return Ok(Exit::Success);
    }
    if let Some(format) = &args.show.schema {
        describe::schema(format, args, &setup)?;
        return Ok(Exit::Success);
    }
    if let Some(path) = &args.files.verify {
        return verify::verify(path, &setup.read);
    }
    if let Some(path) = &args.files.exporters {
        return files::exporters(path, &setup.read);
    }
    if args.setup.extension_maps.is_some() {
        bail!("-x shows the extension maps of nfdump 1.6, which this program does not keep");
    }
    let Some(inputs) = inputs::files(name, args, archive)? else {
        let work = &args.files;
        if work.repair
            || work.recompress.is_some()
            || work.set_ident.is_some()
            || work.index.is_some()
        {
            let message = "which files? name them with -r or -R".to_owned();
            return Err(WithExit { exit: Exit::Incomplete, message }.into());
        }
        Args::command().name(name.to_owned()).print_help().context("print help")?;
        return Ok(Exit::Success);
    };
    if let Some(text) = &args.files.nat_who {
        return who(name, args, &setup, filter, (text, inputs.files));
    }
    match about_files(name, args, &setup, &inputs.files)? {
        Some(exit) => {
            if !filter.is_any() {
                eprintln!("{name}: the filter has no effect here: this is about whole files");
            }
            Ok(exit)
        }
        None => ask(name, read, &setup, (filter, post), inputs.files.clone()),
    }
}

/// What is said about files or done with them, if that is all that is asked for.
fn about_files(
    name: &str,
    args: &Args,
    setup: &Setup,
    files: &[PathBuf],
) -> anyhow::Result<Option<Exit>> {
    let asked = &args.files;
    Ok(Some(if asked.info {
        files::file_statistics(name, files, &setup.read)?
    } else if asked.gnuplot {
        files::gnuplot(name, files, &setup.read)?
    } else if asked.repair {
        maintain::repair(name, files, &setup.read)?
    } else if let Some(method) = &asked.recompress {
        maintain::recompress(name, files, method, setup.threads)?
    } else if let Some(ident) = &asked.set_ident {
        maintain::set_ident(files, ident)?
    } else if let Some(work) = asked.index {
        let stop = sys::signal::interrupt()?;
        let (read, threads) = (&setup.read, setup.threads);
        index::Job { name, args, files, read, threads, stop }.run(work)?
    } else if let Some(view) = asked.where_lost {
        let format = table_format(args, setup)?;
        let top = args.count.top.unwrap_or(10);
        loss::print(name, files, (format.kind(), format.options()), view, top)?
    } else if let Some(view) = asked.counters {
        let format = table_format(args, setup)?;
        counters::print(name, args, files, &setup.read, (format.kind(), format.options()), view)?
    } else {
        return Ok(None);
    }))
}

/// Who had a public address and port.
fn who(
    name: &str,
    args: &Args,
    setup: &Setup,
    filter: Filter,
    (text, files): (&str, Vec<PathBuf>),
) -> anyhow::Result<Exit> {
    /// Clocks of askers have seconds.
    const SLACK_SECS: u64 = 1;
    let mut words = text.splitn(3, ',');
    let (Some(addr), Some(port), Some(time)) = (words.next(), words.next(), words.next()) else {
        bail!("--nat-who {text}: write IP,PORT,TIME");
    };
    let question = nat_who::question(&[addr, port, time], SLACK_SECS).context("--nat-who")?;
    let query = Query {
        files,
        filters: vec![filter],
        stop: Some(sys::signal::interrupt()?),
        read: setup.read.clone(),
        use_index: !args.files.no_index,
        ..Query::default()
    };
    let is_json = matches!(args.show.output.as_deref(), Some("json" | "ndjson"));
    nat_who::answer(question, query, is_json, |report| damage(name, report))
}

/// What `-o` says about tables that are not made of flows.
fn table_format(args: &Args, setup: &Setup) -> anyhow::Result<Format> {
    let format = args.show.output.as_deref().unwrap_or("line");
    Ok(Format::parse_with(format, &setup.user_formats, &format_options(args, setup))?)
}

/// Asks the files and prints or writes the answer.
fn ask(
    name: &str,
    read: &Read<Args>,
    setup: &Setup,
    (filter, post): (Filter, Option<Filter>),
    files: Vec<PathBuf>,
) -> anyhow::Result<Exit> {
    let (args, start) = (&read.args, sys::clock::monotonic());
    let plan = plan(read, setup)?;
    setup.check(name, &plan.what);
    if post.is_some() && (args.files.write.is_some() || !plan.what.is_filtered_again()) {
        eprintln!("{name}: -P has no effect here: it is for what -a, -A, -O and -s record print");
    }
    let window = args.input.window.as_deref().map(super::window::Window::parse).transpose()?;
    let mut filters = vec![filter];
    if let Some(w) = &window {
        filters.push(Filter::parse(&w.as_filter()).context("time window")?);
    }
    let query = Query {
        files,
        filters,
        window: window.map(|w| (w.from_ms, w.until_ms.unwrap_or(u64::MAX))),
        limit: args.select.limit,
        threads: setup.threads,
        progress: progress::watch(matches!(plan.what, What::List) && args.files.write.is_none()),
        book: setup.book.clone(),
        post,
        memory: setup.memory,
        stop: Some(sys::signal::interrupt()?),
        read: setup.read.clone(),
        use_index: !args.files.no_index,
        copies_exporters: args.files.write.is_some(),
        fields: if args.files.write.is_some() { Fields::ALL } else { plan.fields() },
        opener: setup.opener.clone(),
    };
    let report = match &args.files.write {
        Some(path) => {
            let report = write::write(&query, &plan, args, path);
            progress::clear();
            report?
        }
        None => {
            // Not through the buffer for lines of the standard library, which cuts what it gets in two.
            let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            let mut out = BufWriter::with_capacity(1 << 16, progress::Cleared(output));
            let report = answer(&query, &plan, &mut out);
            progress::clear();
            let report = report?;
            print::summary(&plan, args, window, &report, start, &mut out)?;
            out.flush()?;
            report
        }
    };
    Ok(damage(name, &report))
}

fn plan(read: &Read<Args>, setup: &Setup) -> anyhow::Result<Plan> {
    let options = format_options(&read.args, setup);
    Plan::new(&read.args, format_name(read), setup, &options)
}

fn format_options(args: &Args, setup: &Setup) -> FormatOptions {
    let show = &args.show;
    FormatOptions {
        ipv6_wide: show.wide,
        plain_numbers: show.plain_numbers,
        quiet: show.quiet,
        names: show.names,
        colour: setup.colour,
        ..FormatOptions::default()
    }
}

/// What `-o` says, or `-b` and `-B`, which stand for `-o biline`: the last one counts.
fn format_name(read: &Read<Args>) -> Option<&str> {
    let last = |matches: &ArgMatches, id: &str| matches.indices_of(id)?.next_back();
    let named = read.args.show.output.as_deref();
    let place = named.and_then(|_| last(&read.matches, "output"));
    let both = [
        (read.args.count.bidirectional, "bidirectional"),
        (read.args.count.guess_direction, "guess_direction"),
    ];
    let is_last = |(given, id): (bool, &str)| given && last(&read.matches, id) > place;
    if both.into_iter().any(is_last) { Some("biline") } else { named }
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
        What::Series { bin, of, is_plot } => {
            analysis::series(query, plan, *bin, of, *is_plot, out)?
        }
        What::Percentiles { percentile, bin, of } => {
            analysis::percentiles(query, plan, *percentile, *bin, of, out)?
        }
    })
}
