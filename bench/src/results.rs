//! What was measured: a line of JSON for each program and question, appended to a file by the
//! programs that measure and read by the one that prints.

use crate::measure::Used;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

/// What one program used for one question: the best of its runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Questions that belong together: `queries`, `probe`.
    pub area: String,
    /// The question, the same words for all who were asked.
    pub what: String,
    /// Where the files were.
    pub cache: Cache,
    /// Name and version.
    pub program: String,
    /// One of ours; all others are rivals.
    pub is_ours: bool,
    /// What is compared, in `unit`; less is better.
    pub value: f64,
    /// Of `value`.
    pub unit: String,
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of CPU, user and system.
    pub cpu: f64,
    /// Largest resident set, MiB.
    pub peak_mib: f64,
    /// MiB that came from disk; nothing if all was in the page cache.
    pub read_mib: f64,
    /// Flows of the question, where questions differ in that.
    pub flows: Option<u64>,
    /// Cores it could use, where questions differ in that.
    pub cores: Option<u32>,
    /// Of ours: the largest `value` that is good.
    pub goal: Option<f64>,
    /// Of ours: the largest `peak_mib` that is good.
    pub goal_mib: Option<f64>,
    /// Of ours: how many times the best rival's `value` at least.
    pub floor: Option<f64>,
    /// What else is to be known: losses, disagreement.
    pub note: Option<String>,
}

impl From<Used> for Run {
    /// What a question took; seconds are compared.
    fn from(used: Used) -> Self {
        Self {
            value: used.wall,
            unit: "s".into(),
            wall: used.wall,
            cpu: used.cpu,
            peak_mib: used.peak_mib,
            read_mib: used.read_mib,
            ..Self::default()
        }
    }
}

/// Where the files of a question were when it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// In the page cache.
    #[default]
    Warm,
    /// On disk only.
    Cold,
}

impl Run {
    /// Whether both are answers to the same question.
    fn is_same_question(&self, other: &Self) -> bool {
        let key = |r: &Self| (r.cache, r.flows, r.cores);
        self.area == other.area && self.what == other.what && key(self) == key(other)
    }
}

/// Appends to the results file `path`.
///
/// # Errors
/// If the file cannot be written.
pub fn append(path: &Path, run: &Run) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(run)?;
    line.push(b'\n');
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(&line)).with_context(|| path.display().to_string())
}

/// All of these results files, of repeated measurements the last.
///
/// # Errors
/// If a file cannot be read, or a line is none of ours.
pub fn read(paths: &[impl AsRef<Path>]) -> anyhow::Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        for (n, line) in (1..).zip(text.lines()) {
            let run: Run = serde_json::from_str(line)
                .with_context(|| format!("{}: line {n} is no result", path.display()))?;
            let is_again =
                |old: &&mut Run| old.program == run.program && old.is_same_question(&run);
            match runs.iter_mut().find(is_again) {
                Some(old) => *old = run,
                None => runs.push(run),
            }
        }
    }
    Ok(runs)
}

/// One question with the answers of all.
#[derive(Clone, Copy, Debug)]
pub struct Question<'r> {
    /// Ours.
    pub ours: &'r Run,
    /// Of the rivals of the area, in its order, who was measured.
    pub rivals: [Option<&'r Run>; RIVALS],
}

/// Rivals of an area: Debian's, and another.
pub const RIVALS: usize = 2;

/// Questions that belong together.
#[derive(Clone, Debug)]
pub struct Area<'r> {
    /// The word for it.
    pub name: &'r str,
    /// Who was asked beside ours.
    pub rivals: Vec<&'r str>,
    /// In the order of measuring.
    pub questions: Vec<Question<'r>>,
}

impl Question<'_> {
    /// The rival that needed least.
    pub fn best_rival(&self) -> Option<&Run> {
        let known = self.rivals.iter().flatten();
        known.copied().min_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// How many times ours is better than the best rival.
    pub fn ratio(&self) -> Option<f64> {
        self.best_rival().map(|rival| rival.value / self.ours.value.max(1e-9))
    }

    /// What was promised and does not hold; empty if all does.
    pub fn misses(&self) -> Vec<&'static str> {
        let ours = self.ours;
        let above = |value: f64, goal: Option<f64>| goal.is_some_and(|goal| value > goal);
        let is_below =
            ours.floor.is_some_and(|floor| self.ratio().is_some_and(|ratio| ratio < floor));
        let checks = [
            (is_below, "below floor"),
            (above(ours.value, ours.goal), "above goal"),
            (above(ours.peak_mib, ours.goal_mib), "too much memory"),
        ];
        checks.into_iter().filter_map(|(is_so, word)| is_so.then_some(word)).collect()
    }
}

/// Puts answers together, in the order in which areas and questions came first.
pub fn areas(runs: &[Run]) -> Vec<Area<'_>> {
    let mut areas: Vec<Area<'_>> = Vec::new();
    for run in runs {
        if !areas.iter().any(|a| a.name == run.area) {
            areas.push(Area { name: &run.area, rivals: Vec::new(), questions: Vec::new() });
        }
        let Some(area) = areas.iter_mut().find(|a| a.name == run.area) else { continue };
        let is_known = area.rivals.iter().any(|name| *name == run.program);
        if !run.is_ours && !is_known && area.rivals.len() < RIVALS {
            area.rivals.push(&run.program);
        }
    }
    for area in &mut areas {
        let ours = runs.iter().filter(|run| run.is_ours && run.area == area.name);
        area.questions = ours.map(|ours| question(runs, &area.rivals, ours)).collect();
    }
    areas
}

fn question<'r>(runs: &'r [Run], rivals: &[&str], ours: &'r Run) -> Question<'r> {
    let mut found = [None; RIVALS];
    for (place, name) in found.iter_mut().zip(rivals) {
        *place = runs.iter().find(|r| !r.is_ours && r.program == *name && r.is_same_question(ours));
    }
    Question { ours, rivals: found }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A line of a program that needed `value` seconds and as many MiB.
    pub(crate) fn run(area: &str, what: &str, program: &str, value: f64) -> Run {
        Run {
            area: area.into(),
            what: what.into(),
            program: program.into(),
            is_ours: program.starts_with("flow"),
            value,
            unit: "s".into(),
            wall: value,
            cpu: 2.0 * value,
            peak_mib: value,
            ..Run::default()
        }
    }

    #[test]
    fn lines_are_read_as_they_were_written_and_the_last_one_counts() {
        let dir = std::env::temp_dir().join(format!("bench-results-{}", std::process::id()));
        let _ = fs::remove_file(&dir);
        let first = run("queries", "-s dstip", "nfdump 1", 3.0);
        let cold = Run { cache: Cache::Cold, ..first.clone() };
        let again = Run { value: 2.0, goal: Some(1.0), ..first.clone() };
        for run in [&first, &cold, &again] {
            append(&dir, run).unwrap();
        }
        assert_eq!(read(&[&dir]).unwrap(), [again, cold]);
        fs::write(&dir, "{}\nno\n").unwrap();
        assert!(read(&[&dir]).unwrap_err().to_string().contains("line 2"));
        fs::remove_file(&dir).unwrap();
    }

    #[test]
    fn the_best_rival_counts_and_promises_are_looked_at() {
        let mut runs = vec![
            run("queries", "a", "nfdump 1", 8.0),
            run("queries", "a", "nfdump 2", 6.0),
            run("queries", "a", "flowdump", 2.0),
            run("probe", "small", "softflowd", 3.0),
            run("probe", "small", "flowprobe", 1.0),
            run("queries", "b", "nfdump 2", 1.0),
            run("queries", "b", "flowdump", 2.0),
        ];
        runs[2].floor = Some(3.0);
        runs[6] = Run { floor: Some(1.0), goal: Some(1.5), goal_mib: Some(1.9), ..runs[6].clone() };
        let areas = areas(&runs);
        let names: Vec<_> = areas.iter().map(|a| (a.name, a.rivals.clone())).collect();
        assert_eq!(
            names,
            [("queries", vec!["nfdump 1", "nfdump 2"]), ("probe", vec!["softflowd"])]
        );
        let [a, b] = areas[0].questions[..] else { panic!("{areas:?}") };
        assert_eq!((a.ratio(), a.misses().len()), (Some(3.0), 0));
        assert!(b.rivals[0].is_none());
        assert_eq!(b.ratio(), Some(0.5));
        assert_eq!(b.misses(), ["below floor", "above goal", "too much memory"]);
    }
}
