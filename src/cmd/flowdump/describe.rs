//! Answers that need no files: what a filter means, which columns a format has.

use crate::args::flowdump::Args;
use anyhow::{Context as _, anyhow, bail};
use filter::Filter;
use output::{Format, FormatOptions, Order, Schema};
use query::{By, PercentileRequest, Ranking, Request, SeriesRequest};
use std::io::{self, Write as _};

use super::analysis::rankings;
use super::plan::{Plan, What};
use super::setup::Setup;

/// `--explain`: the filter in other words.
pub(super) fn filter(filter: &Filter) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", filter.explain()).context("print the explanation")
}

/// `--schema`: the columns of what would be printed in a format, those of the first table if there
/// are several; as JSON with `-o json`.
pub(super) fn schema(name: &str, args: &Args, setup: &Setup) -> anyhow::Result<()> {
    let options = FormatOptions { names: args.show.names, ..FormatOptions::default() };
    Format::parse_with(name, &setup.user_formats, &options)
        .map_err(|e| anyhow!("--schema: {e}; write csv, json, ndjson or another name of -o"))?;
    let other = [
        ("--where-lost", args.files.where_lost.is_some()),
        ("--counters", args.files.counters.is_some()),
        ("--nat-who", args.files.nat_who.is_some()),
    ];
    if let Some((other, _)) = other.iter().find(|(_, is_given)| *is_given) {
        bail!("--schema does not know the columns of {other}: they are in its first line of CSV");
    }
    let plan = Plan::new(args, Some(name), setup, &options)?;
    let schema = of_plan(&plan);
    let is_json = |o: &String| ["json", "ndjson"].iter().any(|j| o.eq_ignore_ascii_case(j));
    let mut text = match args.show.output.as_ref().is_some_and(is_json) {
        true => schema.to_json(),
        false => schema.to_text().into_bytes(),
    };
    if text.last() != Some(&b'\n') {
        text.push(b'\n');
    }
    io::stdout().write_all(&text).context("print the schema")
}

fn of_plan(plan: &Plan) -> Schema {
    let (format, options) = (&plan.format, plan.format.options());
    let time_zone = options.time_zone;
    match &plan.what {
        What::List | What::Sorted(_) | What::Joined(_) => Schema::of_flows(format),
        What::Statistics(of) => match of.first() {
            Some(r) if !r.distinct.is_empty() => {
                Schema::of_table("different values", &r.distinct_table(options), format)
            }
            Some(Request { by: By::Element { .. }, sortings, .. }) => {
                let order = sortings.first().map_or(Order::FLOWS, |s| s.order);
                Schema::of_statistics(format, order)
            }
            _ => Schema::of_flows(format),
        },
        What::Series { bin, of, .. } => {
            let request = SeriesRequest { bin: *bin, top: first(of, plan.top), time_zone };
            Schema::of_table("series", &request.table(options), format)
        }
        What::Percentiles { percentile, bin, of } => match first(of, plan.top) {
            Some(top) => {
                let (percentile, bin) = (*percentile, *bin);
                let request = PercentileRequest { percentile, bin, top, time_zone };
                Schema::of_table("percentiles", &request.table(options), format)
            }
            None => Schema::of_flows(format),
        },
    }
}

/// The first table of several.
fn first(of: &[Request], n: usize) -> Option<Ranking<'_>> {
    of.first().and_then(|r| rankings(r, n).next())
}
