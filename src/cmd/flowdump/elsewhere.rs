//! The same command line, answered by somebody else: what `flowlake sql` asks an engine, and how
//! what comes back is printed.
//!
//! What comes back is written to a file of flows, which is then listed, sorted or joined as any
//! other: flows that are sums stay what they are, so every format and summary is flowdump's own.

use super::plan::{Plan, What};
use super::setup::{self, Setup};
use super::{damage, print};
use crate::args::Read;
use crate::args::flowdump::Args;
use crate::cmd::window::Window;
use crate::exit::Exit;
use anyhow::{Context as _, bail, ensure};
use filter::Filter;
use output::Format;
use query::{Answer, By, Grouping, JoinedFlows, Passed, Query, Report, Request, Sorting, Tables};
use record::Flow;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::time::Instant;
use store::{Compression, Writer, WriterOptions};
use tempfile::TempDir;

/// A command line of flowdump for somebody else to answer.
#[derive(Debug)]
pub struct Elsewhere {
    name: String,
    read: Read<Args>,
    setup: Setup,
    plan: Plan,
    filters: Vec<Filter>,
    post: Option<Filter>,
    window: Option<Window>,
    start: Instant,
}

/// One table of the answer.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// Flows, sorted if there is a sorting.
    List(Option<Sorting>),
    /// Flows, joined by a key.
    Joined(&'a Grouping, Option<Sorting>),
    /// Values of an element.
    Values(&'a By, Sorting),
}

/// The rows of one table, in order.
pub struct Rows {
    writer: Writer,
    dir: TempDir,
}

impl Rows {
    /// No row yet.
    ///
    /// # Errors
    ///
    /// Where there is no room for a file.
    pub fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("flowlake").tempdir().context("make a file")?;
        let packing = Compression::None.into();
        let options = WriterOptions { compression: packing, ..WriterOptions::default() };
        let writer = Writer::create(dir.path().join("rows"), &options)?;
        Ok(Self { writer, dir })
    }

    /// Adds a flow.
    pub fn push(&mut self, flow: &Flow) {
        self.writer.row(flow.as_row());
    }

    /// The file, closed.
    fn close(self) -> anyhow::Result<(TempDir, std::path::PathBuf)> {
        let path = self.dir.path().join("rows");
        let closed = self.writer.close(&[]).context("write the answer to a file")?;
        let lost = closed.dropped.all();
        ensure!(lost == 0, "{lost} rows of the answer do not fit the form of a flow");
        Ok((self.dir, path))
    }
}

impl Elsewhere {
    /// Reads the options and the filter. Help is printed here, and so is what is wrong with
    /// options.
    ///
    /// # Errors
    ///
    /// What flowdump itself would refuse, and what only flowdump can do.
    pub fn new(name: &str, words: Vec<OsString>) -> anyhow::Result<Result<Self, Exit>> {
        let read = match crate::args::parse::<Args>(name, words)? {
            Ok(read) => read,
            Err(exit) => return Ok(Err(exit)),
        };
        refuse(&read.args)?;
        let start = sys::clock::monotonic();
        let mut setup = Setup::new(name, &read.args, None)?;
        setup.book = None;
        let filter = setup::filter(name, &read.args, &setup)?;
        let post = read.args.select.post_filter.as_deref();
        let post = post.map(|p| setup::parse(name, p, None, &setup)).transpose()?;
        let plan = super::plan(&read, &setup)?;
        match &plan.what {
            What::List | What::Sorted(_) | What::Joined(_) => {}
            What::Statistics(of) if of.iter().all(|r| r.distinct.is_empty()) => {}
            What::Statistics(_) => bail!("distinct counts are made by flowdump alone: ask it"),
            What::Series { .. } | What::Percentiles { .. } => {
                bail!("--bin and --percentile are answered by flowdump alone: ask it")
            }
        }
        let is_list = matches!(plan.what, What::List);
        ensure!(
            is_list || read.args.select.limit.is_none(),
            "-c counts records in the order of files, which tables do not have: use -n"
        );
        let window = read.args.input.window.as_deref().map(Window::parse).transpose()?;
        let mut filters = vec![filter];
        if let Some(w) = &window {
            filters.push(Filter::parse(&w.as_filter()).context("time window")?);
        }
        let name = name.to_owned();
        Ok(Ok(Self { name, read, setup, plan, filters, post, window, start }))
    }

    /// What `-R` or `-r` names.
    pub fn source(&self) -> Option<&str> {
        let input = &self.read.args.input;
        input.many.range.as_deref().or(input.read.as_deref())
    }

    /// A flow passes when all of these let it through.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// The times of `-t`, milliseconds since 1970, both exclusive.
    pub fn window(&self) -> (Option<u64>, Option<u64>) {
        (self.window.map(|w| w.from_ms), self.window.and_then(|w| w.until_ms))
    }

    /// How the answer looks.
    pub const fn format(&self) -> &Format {
        &self.plan.format
    }

    /// Rows of each table, 0 for all.
    pub fn top(&self) -> usize {
        let limit = self.read.args.select.limit.and_then(|n| usize::try_from(n).ok());
        match self.plan.what {
            What::List => limit.unwrap_or(0),
            _ => self.plan.top,
        }
    }

    /// The tables, in the order in which they are printed.
    pub fn tables(&self) -> Vec<Asked<'_>> {
        match &self.plan.what {
            What::Sorted(sorting) => vec![Asked::List(Some(*sorting))],
            What::Joined(grouping) => vec![Asked::Joined(grouping, self.plan.sorting)],
            What::Statistics(requests) => {
                let of = |r| tables_of(r).map(|(_, asked)| asked);
                requests.iter().flat_map(of).collect()
            }
            What::List | What::Series { .. } | What::Percentiles { .. } => vec![Asked::List(None)],
        }
    }

    /// Whether the sums over all flows are not those of the rows.
    pub const fn needs_sums(&self) -> bool {
        match self.plan.what {
            What::List => false,
            What::Sorted(_) => self.plan.top > 0,
            _ => true,
        }
    }

    /// Prints the answer: the rows of each table, in the order of [`tables`](Self::tables), and the
    /// sums over all flows, if they are [needed](Self::needs_sums).
    ///
    /// # Errors
    ///
    /// What writing the answer meets.
    pub fn print(&self, rows: Vec<Rows>, sums: Option<Passed>) -> anyhow::Result<Exit> {
        let mut kept = Vec::new();
        let mut queries = Vec::new();
        for rows in rows {
            let (dir, path) = rows.close()?;
            kept.push(dir);
            queries.push(self.query(path)?);
        }
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
        let report = match &self.plan.what {
            What::Statistics(requests) => {
                self.statistics(requests, &queries, sums.unwrap_or_default(), &mut out)?
            }
            _ => match queries.first() {
                Some(query) => {
                    let mut report = super::answer(query, &self.plan, &mut out)?;
                    if let Some(sums) = sums {
                        with_sums(&mut report, sums);
                    }
                    report
                }
                None => Report::default(),
            },
        };
        print::summary(&self.plan, &self.read.args, None, &report, self.start, &mut out)?;
        out.flush()?;
        Ok(damage(&self.name, &report))
    }

    fn query(&self, file: std::path::PathBuf) -> anyhow::Result<Query> {
        Ok(Query {
            files: vec![file],
            threads: self.setup.threads,
            post: match &self.post {
                Some(post) => Some(Filter::parse(&post.tree().to_string())?),
                None => None,
            },
            memory: self.setup.memory,
            stop: Some(sys::signal::interrupt()?),
            ..Query::default()
        })
    }

    /// All tables of `-s`, each of a file of its own.
    fn statistics(
        &self,
        requests: &[Request],
        queries: &[Query],
        sums: Passed,
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<Report> {
        let mut report = Report::default();
        with_sums(&mut report, sums);
        if report.records_passed == 0 {
            let mut text = Vec::new();
            output::no_matching_flows(self.plan.format.kind(), &mut text);
            out.write_all(&text)?;
        }
        let top = self.plan.top;
        let mut tables = Tables::new(&self.plan.format, &report, out);
        for ((sorting, asked), query) in requests.iter().flat_map(tables_of).zip(queries) {
            match asked {
                Asked::Values(By::Element { element, by_proto }, _) => {
                    let by = By::Element { element: element.of_first_field(), by_proto: *by_proto };
                    let request = Request { by, sortings: vec![sorting], distinct: Vec::new() };
                    let (answers, read) = query.statistics(&[request], top)?;
                    report.tell_again(read);
                    for answer in answers {
                        if let Answer::Element(table) = answer {
                            tables.add(&table.shown_as(element), sorting, top);
                        }
                    }
                }
                Asked::Joined(grouping, _) => {
                    let (flows, read): (JoinedFlows<'_>, _) =
                        query.join_flows(grouping, Some(sorting), top)?;
                    report.tell_again(read);
                    tables.add_flows(&flows, sorting, top, &mut report);
                }
                Asked::List(_) | Asked::Values(..) => {}
            }
        }
        tables.finish()?;
        Ok(report)
    }
}

/// The tables of a statistic.
fn tables_of(request: &Request) -> impl Iterator<Item = (Sorting, Asked<'_>)> {
    request.sortings.iter().map(|sorting| {
        let asked = match &request.by {
            By::Flows(grouping) => Asked::Joined(grouping, Some(*sorting)),
            by @ By::Element { .. } => Asked::Values(by, *sorting),
        };
        (*sorting, asked)
    })
}

/// Puts the sums over all flows into a report about some of them.
fn with_sums(report: &mut Report, sums: Passed) {
    report.passed = sums;
    report.records_passed = sums.records;
    report.records = sums.records;
    let (first, last) = (sums.counts.first_ms, sums.counts.last_ms);
    report.window = (sums.records > 0).then_some((first, last));
}

/// Refuses what is about files, or needs them.
fn refuse(args: &Args) -> anyhow::Result<()> {
    let (files, input) = (&args.files, &args.input);
    for (is_given, option) in [
        (files.write.is_some(), "-w"),
        (files.info, "-I"),
        (files.gnuplot, "-g"),
        (files.nat_who.is_some(), "--nat-who"),
        (files.where_lost.is_some(), "--where-lost"),
        (files.counters.is_some(), "--counters"),
        (files.exporters.is_some(), "-E"),
        (files.verify.is_some(), "-v"),
        (files.repair, "--repair"),
        (files.recompress.is_some(), "-J"),
        (files.index.is_some(), "--index"),
        (files.set_ident.is_some(), "-i"),
        (input.many.multi.is_some(), "-M"),
        (input.key.is_some(), "-K"),
        (args.select.check_filter, "-Z"),
        (args.select.explain, "-X"),
        (args.show.schema.is_some(), "--schema"),
    ] {
        ensure!(!is_given, "{option} is about files of flows: ask flowdump");
    }
    for (is_given, option) in [(args.setup.geo.is_some(), "-G"), (args.setup.tor.is_some(), "-H")] {
        ensure!(!is_given, "{option} is a database that engines cannot look into: ask flowdump");
    }
    Ok(())
}
