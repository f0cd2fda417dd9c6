//! The drawings of the manual: how many times better than the best rival each question is, and how
//! time and memory grow with the data.

use crate::results::{Area, Question, Run};
use crate::svg::{Anchor, GREY, INKS, Log, Svg};
use crate::table;
use std::collections::BTreeSet;

/// Who stands for earlier counts of our own.
pub const BASELINE: &str = "baseline";

/// A bar for each question that a rival was asked too: how many times better ours is, on a
/// logarithmic scale; the rival is 1. A mark shows the ratio that was to be reached.
pub fn ratios(areas: &[Area<'_>]) -> String {
    const ROW: f64 = 20.0;
    const LEFT: f64 = 330.0;
    const RIGHT: f64 = 760.0;
    const TOP: f64 = 64.0;
    let with_ratio = |q: &&Question<'_>| q.ratio().is_some_and(f64::is_finite);
    // Earlier counts of our own are no rival.
    let is_rival = |area: &&Area<'_>| !area.rivals.contains(&BASELINE);
    let areas: Vec<_> = areas
        .iter()
        .filter(is_rival)
        .map(|area| (area, area.questions.iter().filter(with_ratio).collect::<Vec<_>>()))
        .filter(|(_, questions)| !questions.is_empty())
        .collect();
    let rows: usize = areas.iter().map(|(_, questions)| questions.len() + 2).sum();
    let bottom = TOP + ROW * rows as f64;
    let all = || areas.iter().flat_map(|(_, questions)| questions.iter());
    let bounds = all()
        .filter_map(|q| q.ratio())
        .fold((1.0f64, 10.0f64), |(low, high), r| (low.min(r), high.max(r)));
    let scale = Log::new(bounds, (LEFT, RIGHT));
    let mut svg = Svg::new(RIGHT + 90.0, bottom + 20.0);
    svg.title((20.0, 26.0), "Times faster than the best rival");
    svg.text((20.0, 44.0), Anchor::Start, "logarithmic; the rival is 1; |  the floor set for it");
    for tick in scale.ticks(true) {
        let x = scale.at(tick);
        svg.grid((x, TOP), (x, bottom - ROW));
        svg.text((x, TOP - 6.0), Anchor::Middle, format!("{tick}x"));
    }
    let mut y = TOP;
    for ((area, questions), ink) in areas.iter().zip(INKS.iter().cycle()) {
        y += ROW;
        svg.title((20.0, y), format!("{} beside {}", area.name, area.rivals.join(", ")));
        for question in questions {
            y += ROW;
            bar(&mut svg, &scale, y, ink, question);
        }
        y += ROW;
    }
    let x = scale.at(1.0);
    svg.path(&[(x, TOP), (x, bottom - ROW)], GREY, 1.5, "");
    svg.file("How many times faster than the best rival each question is answered")
}

fn bar(svg: &mut Svg, scale: &Log, y: f64, ink: &str, question: &Question<'_>) {
    let ratio = question.ratio().unwrap_or(1.0);
    let (one, end) = (scale.at(1.0), scale.at(ratio));
    svg.text((one.min(end).min(scale.at(0.0)) - 8.0, y), Anchor::End, table::title(question.ours));
    svg.rect(one.min(end), y - 11.0, (end - one).abs().max(1.0), 14.0, ink);
    if let Some(floor) = question.ours.floor.filter(|floor| *floor > 1.0) {
        let x = scale.at(floor);
        svg.path(&[(x, y - 13.0), (x, y + 5.0)], "#1f2328", 2.0, "");
    }
    let digits = usize::from(ratio < 9.95);
    let floor = question.ours.floor.map_or(end, |floor| scale.at(floor));
    svg.text((one.max(end).max(floor) + 6.0, y), Anchor::Start, format!("{ratio:.digits$}x"));
}

/// Two panels, time and memory over the number of flows, on logarithmic scales: a colour for each
/// question, dashed on one core.
pub fn growth(runs: &[&Run]) -> String {
    const WIDTH: f64 = 890.0;
    const HEIGHT: f64 = 400.0;
    let mut svg = Svg::new(WIDTH, HEIGHT + 28.0 + 18.0 * INKS.len() as f64);
    let panels = [
        ("Seconds", 60.0, (|run| run.value) as fn(&Run) -> f64),
        ("Peak memory, MB", 490.0, |run| run.peak_mib),
    ];
    for (name, left, of) in panels {
        panel(&mut svg, runs, name, (left, left + 350.0), (HEIGHT - 40.0, 50.0), of);
    }
    let mut y = HEIGHT + 10.0;
    for (what, ink) in questions(runs).iter().zip(INKS) {
        svg.path(&[(60.0, y - 4.0), (90.0, y - 4.0)], ink, 2.5, "");
        svg.text((98.0, y), Anchor::Start, what);
        y += 18.0;
    }
    svg.path(&[(490.0, HEIGHT + 6.0), (530.0, HEIGHT + 6.0)], GREY, 2.5, "");
    svg.text((538.0, HEIGHT + 10.0), Anchor::Start, "two cores");
    svg.path(&[(490.0, HEIGHT + 24.0), (530.0, HEIGHT + 24.0)], GREY, 2.0, DASH);
    svg.text((538.0, HEIGHT + 28.0), Anchor::Start, "one core");
    svg.file("Time and peak memory over the number of flows, on one and on two cores")
}

const DASH: &str = "6 4";

/// Questions in their order.
fn questions<'r>(runs: &[&'r Run]) -> Vec<&'r str> {
    let mut seen = BTreeSet::new();
    runs.iter().map(|run| run.what.as_str()).filter(|what| seen.insert(*what)).collect()
}

fn panel(
    svg: &mut Svg,
    runs: &[&Run],
    name: &str,
    across: (f64, f64),
    up: (f64, f64),
    of: fn(&Run) -> f64,
) {
    let flows = |run: &Run| run.flows.unwrap_or(1) as f64;
    let range = |of: &dyn Fn(&Run) -> f64| {
        runs.iter()
            .fold((f64::MAX, 0.0f64), |(low, high), run| (low.min(of(run)), high.max(of(run))))
    };
    let x = Log::new(range(&flows), across);
    let (low, high) = range(&of);
    let decade = |v: f64, up: fn(f64) -> f64| 10f64.powf(up(v.max(1e-3).log10()));
    let y = Log::new((decade(low, f64::floor), decade(high, f64::ceil)), up);
    svg.title((across.0, 26.0), name);
    for tick in y.ticks(false) {
        svg.grid((across.0, y.at(tick)), (across.1, y.at(tick)));
        svg.text((across.0 - 8.0, y.at(tick) + 4.0), Anchor::End, tick);
    }
    let counts: BTreeSet<u64> = runs.iter().filter_map(|run| run.flows).collect();
    for count in counts {
        let at = x.at(count as f64);
        svg.grid((at, up.0), (at, up.1));
        svg.text((at, up.0 + 20.0), Anchor::Middle, format!("{} M flows", count as f64 / 1e6));
    }
    for (what, ink) in questions(runs).into_iter().zip(INKS) {
        let cores: BTreeSet<u32> = runs.iter().filter_map(|run| run.cores).collect();
        for cores in cores {
            let of_line = |run: &&&Run| run.what == what && run.cores == Some(cores);
            let line = runs.iter().filter(of_line);
            let points: Vec<_> = line.map(|run| (x.at(flows(run)), y.at(of(run)))).collect();
            let (width, dash) = if cores == 1 { (2.0, DASH) } else { (2.5, "") };
            svg.path(&points, ink, width, dash);
            points.iter().for_each(|point| svg.dot(*point, ink));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{areas, tests::run};

    #[test]
    fn each_question_with_a_rival_has_a_bar() {
        let runs = [
            run("queries", "slow", "nfdump 1.7.1", 1.0),
            run("queries", "slow", "flowdump", 2.0),
            run("queries", "fast", "nfdump 1.7.1", 40.0),
            run("queries", "fast", "flowdump", 1.0),
            run("growth", "alone", "flowdump", 1.0),
        ];
        let svg = ratios(&areas(&runs));
        // The paper, and two bars.
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert!(svg.contains(">0.5x<") && svg.contains(">40x<"), "{svg}");
        assert!(!svg.contains("alone") && svg.contains("queries beside nfdump 1.7.1"), "{svg}");
    }

    #[test]
    fn each_question_has_a_curve_for_each_number_of_cores_in_both_panels() {
        let point = |what: &str, flows: u64, cores: u32| Run {
            flows: Some(flows),
            cores: Some(cores),
            ..run("growth", what, "flowdump", flows as f64 / 1e6 / f64::from(cores))
        };
        let mut runs = Vec::new();
        for what in ["-s dstip/bytes", "no match"] {
            for cores in [1, 2] {
                runs.extend([1, 10, 100].map(|m| point(what, m * 1_000_000, cores)));
            }
        }
        let svg = growth(&runs.iter().collect::<Vec<_>>());
        assert_eq!(svg.matches("<circle").count(), 2 * runs.len());
        assert_eq!(svg.matches("stroke-dasharray").count(), 2 * 2 + 1);
        assert!(svg.contains("100 M flows") && svg.contains(">no match<"), "{svg}");
    }
}
