//! Results as one table of text.

use crate::results::{Area, Cache, Question, RIVALS, Run};
use std::fmt::Write as _;

/// The table: a heading for each area, a line for each question.
pub fn text(areas: &[Area<'_>]) -> String {
    let mut out = String::new();
    let (mut lines, mut missed) = (0, 0);
    for area in areas {
        let _ = writeln!(out, "{}", heading(area).trim_end());
        for question in &area.questions {
            let _ = writeln!(out, "{}", line(question));
            lines += 1;
            missed += u32::from(!question.misses().is_empty());
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "{lines} lines, {missed} that miss a floor or a goal. ratio: the best rival's number over \
         ours; floor: the ratio to reach;\ngoal: the number and MB to stay below; cores: CPU time \
         over wall time, of the best rival and ours"
    );
    out
}

fn heading(area: &Area<'_>) -> String {
    let ours = area.questions.first().map_or("", |q| q.ours.program.as_str());
    let mut names = area.rivals.iter();
    let mut name = || names.next().copied().unwrap_or("");
    format!(
        "{:<44} {:>14} {:>14} {:>16} {:>7} {:>6} {:>9}  {:>22} {:>7}  {:<9}",
        area.name.to_uppercase(),
        name(),
        name(),
        ours,
        "ratio",
        "floor",
        "goal",
        "peak MB: rivals, ours",
        "goal",
        "cores"
    )
}

fn line(question: &Question<'_>) -> String {
    let Question { ours, rivals } = question;
    let mut out = format!("  {:<42}", title(ours));
    for rival in rivals {
        let text = rival.map(|run| number(run.value)).unwrap_or_default();
        let _ = write!(out, " {text:>14}");
    }
    let ratio = question.ratio().map(|r| format!("{r:.1}x"));
    let floor = ours.floor.map(|f| format!("{f}x"));
    let _ = write!(
        out,
        " {:>16} {:>7} {:>6} {:>9} ",
        format!("{} {}", number(ours.value), ours.unit),
        ratio.unwrap_or_default(),
        floor.unwrap_or_default(),
        ours.goal.map(number).unwrap_or_default(),
    );
    let peaks = rivals.iter().take(RIVALS).map(|rival| rival.map(|run| run.peak_mib));
    for peak in peaks.chain([Some(ours.peak_mib)]) {
        let text = peak.filter(|mib| *mib > 0.0).map(|mib| format!("{mib:.0}"));
        let _ = write!(out, " {:>7}", text.unwrap_or_default());
    }
    let cores = |run: &Run| format!("{:.1}", run.cpu / run.wall.max(1e-3));
    let known = [question.best_rival(), Some(*ours)].into_iter().flatten().filter(|r| r.wall > 0.0);
    let cores: Vec<_> = known.map(cores).collect();
    let goal = ours.goal_mib.map(|mib| format!("{mib:.0}")).unwrap_or_default();
    let _ = write!(out, " {goal:>6}  {:<9} {}", cores.join(" "), remarks(question));
    out.trim_end().to_owned()
}

/// The question, and what distinguishes it from others with the same words.
pub(crate) fn title(run: &Run) -> String {
    let mut title = run.what.clone();
    if let Some(flows) = run.flows {
        let _ = write!(title, ", {} M flows", flows as f64 / 1e6);
    }
    if let Some(cores) = run.cores {
        let _ = write!(title, ", {cores} {}", if cores == 1 { "core" } else { "cores" });
    }
    if run.cache == Cache::Cold {
        title.push_str(", cold");
    }
    title
}

/// What is missed, what was read from disk, and notes of all.
fn remarks(question: &Question<'_>) -> String {
    let mut remarks: Vec<String> = question.misses().into_iter().map(str::to_owned).collect();
    let all = question.rivals.iter().flatten().copied().chain([question.ours]);
    for run in all {
        if run.cache == Cache::Cold {
            remarks.push(format!("{} read {:.0} MB", run.program, run.read_mib));
        }
        remarks.extend(run.note.clone());
    }
    remarks.join("; ")
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.0995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{areas, tests::run};

    #[test]
    fn a_line_says_who_was_asked_what_it_took_and_what_is_missed() {
        let mut runs = vec![
            run("queries", "-s dstip/bytes", "nfdump 1.7.1", 1.5),
            run("queries", "-s dstip/bytes", "nfdump 1.7.8", 1.2),
            run("queries", "-s dstip/bytes", "flowdump 0.1.0", 0.5),
            run("growth", "-a", "flowdump 0.1.0", 12.5),
        ];
        runs[2] = Run { floor: Some(4.0), goal: Some(0.4), ..runs[2].clone() };
        runs[3] = Run {
            flows: Some(10_000_000),
            cores: Some(1),
            cache: Cache::Cold,
            read_mib: 500.4,
            ..runs[3].clone()
        };
        let text = text(&areas(&runs));
        let words = |line: usize| text.lines().nth(line).unwrap().split_whitespace();
        let line = |n: usize| words(n).collect::<Vec<_>>().join(" ");
        assert_eq!(
            line(0),
            "QUERIES nfdump 1.7.1 nfdump 1.7.8 flowdump 0.1.0 ratio floor goal \
             peak MB: rivals, ours goal cores"
        );
        assert_eq!(
            line(1),
            "-s dstip/bytes 1.50 1.20 0.50 s 2.4x 4x 0.40 2 1 0 2.0 2.0 below floor; above goal"
        );
        assert_eq!(
            line(4),
            "-a, 10 M flows, 1 core, cold 12.5 s 12 2.0 flowdump 0.1.0 read 500 MB"
        );
        assert!(text.contains("2 lines, 1 that miss"), "{text}");
    }
}
