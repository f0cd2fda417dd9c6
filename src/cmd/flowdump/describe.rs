//! Answers that need no files: what a filter means, which columns a format has.

use crate::args::flowdump::Args;
use anyhow::{Context as _, anyhow, ensure};
use filter::Filter;
use output::{Format, FormatOptions, Order, Schema};
use std::io::{self, Write as _};

use super::setup::Setup;

/// `--explain`: the filter in other words.
pub(super) fn filter(filter: &Filter) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", filter.explain()).context("print the explanation")
}

/// `--schema`: the columns of a format, those of tables with `-s`; as JSON with `-o json`.
pub(super) fn schema(name: &str, args: &Args, setup: &Setup) -> anyhow::Result<()> {
    let count = &args.count;
    let is_other = |s: &String| s.contains("/distinct:");
    ensure!(
        count.bin.is_none()
            && count.percentile.is_none()
            && count.group_by.is_empty()
            && !count.statistics.iter().any(is_other),
        "--schema knows lists and the usual tables of -s; answers of -A, --bin, --percentile and \
         distinct name their columns in the first line of -o csv"
    );
    let options = FormatOptions { names: args.show.names, ..FormatOptions::default() };
    let format = Format::parse_with(name, &setup.user_formats, &options)
        .map_err(|e| anyhow!("--schema: {e}; write csv, json, ndjson or another name of -o"))?;
    let schema = match args.count.statistics.is_empty() {
        true => Schema::of_flows(&format),
        false => Schema::of_statistics(&format, order(&args.count.statistics)),
    };
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

/// The order of the first table: names of CSV say whose packets are counted.
fn order(statistics: &[String]) -> Order {
    let word = statistics.first().and_then(|s| s.split('/').nth(1)).unwrap_or_default();
    let name = word.split(':').next().unwrap_or_default();
    let found = Order::from_statistic_name(name).or_else(|| Order::from_flow_name(name));
    found.unwrap_or(Order::FLOWS)
}
