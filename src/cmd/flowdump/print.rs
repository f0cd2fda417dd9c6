//! Tables, summaries and damage reports.

use super::plan::{Plan, What};
use crate::args::flowdump::Args;
pub(super) use crate::cmd::complain_of as complain;
use crate::cmd::window::Window;
use crate::exit::Exit;
use output::{SummaryInput, Timings};
use query::{Answer, Query, Report, Request, Tables};
use record::Totals;
use std::io::{self, Write};
use std::time::Instant;

/// All tables of `-s`.
pub(super) fn statistics(
    query: &Query,
    plan: &Plan,
    requests: &[Request],
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Report> {
    // Different values are counted in sets, which need a pass of their own.
    let is_set = |r: &&Request| !r.distinct.is_empty();
    let (sets, sums): (Vec<&Request>, Vec<&Request>) = requests.iter().partition(is_set);
    let sums: Vec<Request> = sums.into_iter().cloned().collect();
    let (mut answers, mut reports) = (Vec::new(), Vec::new());
    if !sums.is_empty() {
        let (all, read) = query.statistics(&sums, plan.top)?;
        answers = all;
        reports.push(read);
    }
    let mut tables_of_sets = Vec::new();
    for request in sets {
        let (table, read) = query.distinct(request)?;
        tables_of_sets.push(table);
        reports.push(read);
    }
    let mut report = super::analysis::joined(reports);
    if report.records_passed == 0 {
        let mut text = Vec::new();
        output::no_matching_flows(plan.format.kind(), &mut text);
        out.write_all(&text)?;
    }
    let mut tables = Tables::new(&plan.format, &report, out);
    for (answer, request) in answers.iter().zip(&sums) {
        for sorting in &request.sortings {
            match answer {
                Answer::Element(table) => tables.add(table, *sorting, plan.top),
                Answer::Flows(flows) => tables.add_flows(flows, *sorting, plan.top, &mut report),
            }
        }
    }
    tables_of_sets.iter().for_each(|table| table.add_to(plan.top, &mut tables));
    tables.finish()?;
    Ok(report)
}

/// What stands below an answer for people: that nothing matched, and the summary.
pub(super) fn summary(
    plan: &Plan,
    args: &Args,
    window: Option<Window>,
    report: &Report,
    start: Instant,
    out: &mut dyn Write,
) -> io::Result<()> {
    let kind = plan.format.kind();
    let mut text = Vec::new();
    if report.records_passed == 0 && !matches!(plan.what, What::Statistics(_)) {
        output::no_matching_flows(kind, &mut text);
    }
    if kind.has_summary() && !args.show.quiet {
        let used = sys::clock::used();
        let wall = start.elapsed().as_secs_f64();
        let timings = Timings {
            system: used.system.as_secs_f64(),
            user: used.user.as_secs_f64(),
            wall,
            runtime: wall,
        };
        let cut = |(first, last): (u64, u64)| match window {
            Some(w) => (first.max(w.from_ms), last.min(w.until_ms.unwrap_or(last))),
            None => (first, last),
        };
        let input = SummaryInput {
            totals: totals(report),
            window: report.window.map(cut),
            processed: report.records_passed,
            passed: report.records_passed,
            blocks_skipped: report.blocks_skipped,
            bytes_read: report.bytes_read,
            timings: Some(timings),
            plain_numbers: args.show.plain_numbers,
            time_zone: plan.format.options().time_zone,
        };
        let start = text.len();
        output::summary(&mut text, &input);
        if plan.format.options().colour {
            output::dim_lines(&mut text, start);
        }
    }
    out.write_all(&text)
}

/// The sums of a report, not told apart by protocol.
fn totals(report: &Report) -> Totals {
    let c = report.passed.counts;
    let mut totals = Totals { first_ms: c.first_ms, last_ms: c.last_ms, ..Totals::default() };
    totals.flows[0] = c.flows;
    totals.packets[0] = c.in_packets.saturating_add(c.out_packets);
    totals.bytes[0] = c.in_bytes.saturating_add(c.out_bytes);
    totals
}

/// Says what could not be read and what that means for the exit status.
pub(in crate::cmd) fn damage(name: &str, report: &Report) -> Exit {
    if report.interrupted {
        eprintln!("{name}: interrupted: this is what was read until then");
    }
    if report.is_partial {
        eprintln!(
            "{name}: only a part of the values was counted, and others may be larger: allow more \
             with --memory, or ask again"
        );
    }
    for d in &report.damage {
        complain(name, &d.file, &d.what);
    }
    let has_lost = report.damage.iter().any(|d| d.is_loss);
    match (report.interrupted, has_lost) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Incomplete,
        (false, false) => Exit::Success,
    }
}
