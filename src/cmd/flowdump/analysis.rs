//! `--bin` and `--percentile`: tables and plots of time.

use super::plan::Plan;
use crate::cmd::terminal;
use query::{
    BinWidth, Measure, Percentile, PercentileRequest, Query, Ranking, Report, Request,
    SeriesRequest, Sorting, Tables,
};
use std::io::Write;

/// Counters of each bin: of all flows, or of the top values of each request.
pub(super) fn series(
    query: &Query,
    plan: &Plan,
    bin: BinWidth,
    of: &[Request],
    is_plot: bool,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Report> {
    let time_zone = plan.format.options().time_zone;
    let mut tops: Vec<_> = of.iter().flat_map(|r| rankings(r, plan.top)).map(Some).collect();
    if of.is_empty() {
        tops.push(None);
    }
    let mut answers = Vec::new();
    for top in tops {
        let (series, report) = query.series(&SeriesRequest { bin, top, time_zone })?;
        say_without_time(series.without_time());
        answers.push((series, top, report));
    }
    if is_plot {
        let mut text = Vec::new();
        for (series, top, _) in &answers {
            let measure = top.map_or(Measure::Bits, |t| Measure::of(t.sorting));
            series.plot(measure, terminal::width(), !terminal::is_unicode(), time_zone, &mut text);
        }
        out.write_all(&text)?;
    } else if let Some((_, _, report)) = answers.first() {
        let mut tables = Tables::new(&plan.format, report, out);
        answers.iter().for_each(|(series, ..)| series.add_to(&mut tables));
        tables.finish()?;
    }
    Ok(joined(answers.into_iter().map(|(.., report)| report)))
}

/// Percentiles of the rates of each value.
pub(super) fn percentiles(
    query: &Query,
    plan: &Plan,
    percentile: Percentile,
    bin: BinWidth,
    of: &[Request],
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Report> {
    let time_zone = plan.format.options().time_zone;
    let mut answers = Vec::new();
    for top in of.iter().flat_map(|r| rankings(r, plan.top)) {
        let request = PercentileRequest { percentile, bin, top, time_zone };
        let (percentiles, report) = query.percentiles(&request)?;
        say_without_time(percentiles.without_time());
        answers.push((percentiles, report));
    }
    if let Some((_, report)) = answers.first() {
        let mut tables = Tables::new(&plan.format, report, out);
        answers.iter().for_each(|(percentiles, _)| percentiles.add_to(&mut tables));
        tables.finish()?;
    }
    Ok(joined(answers.into_iter().map(|(_, report)| report)))
}

/// The report of several readings of the same files: sums of the first, and whatever went wrong in
/// any of them.
pub(super) fn joined(reports: impl IntoIterator<Item = Report>) -> Report {
    let mut reports = reports.into_iter();
    let mut all = reports.next().unwrap_or_default();
    for later in reports {
        all.tell_again(later);
    }
    all
}

/// One table for each order of a request.
pub(super) fn rankings(request: &Request, n: usize) -> impl Iterator<Item = Ranking<'_>> {
    request.sortings.iter().map(move |sorting: &Sorting| Ranking {
        by: &request.by,
        sorting: *sorting,
        n,
    })
}

fn say_without_time(flows: u64) {
    if flows > 0 {
        eprintln!("{flows} flows say no time and are in no bin");
    }
}
