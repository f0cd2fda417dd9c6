//! The same command lines in nfdump and in `flowdump` under the name `nfdump`.
//!
//! The tables in `*.txt` hold one command line a line, with the way it is compared: against what
//! nfdump 1.7.8 printed, kept in `stored/`, and against the installed nfdump 1.7.1. Where the
//! answers differ, the table names a reason of `reasons.txt`; an entry that differs without one
//! fails, and so does one that no longer differs. `docs/features.md` explains the reasons.
//!
//! After a change of the tables, `FLOWSUITE_NFDUMP=path/of/nfdump-1.7.8 cargo test --test compat
//! -- --ignored` writes `stored/` again.

#[path = "../common/mod.rs"]
mod common;
mod data;
mod stored;
mod table;

use common::{FLOWDUMP, Scene, has};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use table::{Entry, How, Rule, entries, reasons};

/// What a command line led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Exit status.
    pub(crate) status: i32,
    /// Standard output, with what can never be equal taken out.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// A program and a directory with the files of the comparison.
struct Bench {
    program: PathBuf,
    dir: PathBuf,
}

impl Bench {
    /// `flowdump` under the name scripts call.
    fn ours(scene: &Scene) -> Self {
        let program = scene.path("nfdump");
        if std::fs::hard_link(FLOWDUMP, &program).is_err() {
            common::copy_program(FLOWDUMP, &program);
        }
        Self::new(scene, program, "ours")
    }

    fn new(scene: &Scene, program: PathBuf, dir: &str) -> Self {
        let dir = scene.dir(dir);
        data::write(&dir);
        Self { program, dir }
    }

    /// Runs the steps of an entry one after the other, up to the first that fails.
    fn answer(&self, entry: &Entry, number: usize) -> Answer {
        let mut answer = Answer::default();
        for step in entry.steps() {
            let zone = step.iter().find_map(|word| word.strip_prefix("TZ=")).unwrap_or("UTC");
            let args = step.iter().filter(|word| !word.starts_with("TZ="));
            let args = args.map(|word| word.replace("OUT", &format!("out{number}")));
            let output = Command::new(&self.program)
                .args(args)
                .current_dir(&self.dir)
                .env("TZ", zone)
                .env_remove("NFCONF")
                .stdin(Stdio::null())
                .output()
                .unwrap_or_else(|e| panic!("{}: {e}", self.program.display()));
            answer.status = output.status.code().unwrap_or(-1);
            answer.stdout.push_str(&masked(&String::from_utf8_lossy(&output.stdout)));
            answer.stderr.push_str(&String::from_utf8_lossy(&output.stderr));
            if answer.status != 0 {
                break;
            }
        }
        answer
    }

    /// Answers to all entries that `is_wanted`, two at a time.
    fn answers(&self, is_wanted: impl Fn(&Entry) -> bool + Sync) -> BTreeMap<usize, Answer> {
        let (entries, next) = (entries(), AtomicUsize::new(0));
        let work = || {
            let mut out = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(entry) = entries.get(number) else { break out };
                if is_wanted(entry) {
                    out.push((number, self.answer(entry, number)));
                }
            }
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(work);
            let mut all: BTreeMap<_, _> = work().into_iter().collect();
            all.extend(other.join().expect("thread"));
            all
        })
    }
}

/// Takes out what no two runs have in common: times spent, octets read, when and by what a file
/// was made.
fn masked(text: &str) -> String {
    let line = |line: &str| match line {
        l if l.starts_with("Sys: ") => "Sys:".to_owned(),
        l if l.starts_with("Created    : ") => "Created    :".to_owned(),
        l if l.starts_with("nfdump     : ") => "nfdump     :".to_owned(),
        l => l.split_once("Bytes read: ").map_or(l, |(before, _)| before).to_owned(),
    };
    text.lines().map(|l| line(l) + "\n").collect()
}

/// Whether two answers are the same in this way.
fn is_same(how: How, ours: &Answer, theirs: &Answer) -> bool {
    if ours.status != theirs.status || (ours.status != 0 && ours.stderr.is_empty()) {
        return false;
    }
    let (a, b) = (&ours.stdout, &theirs.stdout);
    match how {
        // Messages are worded freely.
        _ if ours.status != 0 => true,
        How::Status => true,
        How::Bytes => a == b,
        How::Lines => sorted(a) == sorted(b),
        How::Words => words(a) == words(b),
        How::Json => match (objects(a), objects(b)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        },
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// The set of lines as both versions write them: 1.7.1 pads otherwise, parts tables by empty
/// lines, has the time window in seconds, and counts "flows" where later ones count "records".
fn words(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with("Time window: "));
    let lines = lines.map(|l| l.replace("Total flows processed", "Total records processed"));
    let mut lines: Vec<_> =
        lines.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

/// Objects of a JSON array or of JSON lines as a set, all values as text, without their running
/// number, which depends on the order.
fn objects(text: &str) -> Option<Vec<BTreeMap<String, String>>> {
    let object = |v: &serde_json::Value| -> Option<BTreeMap<_, _>> {
        let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let members = v.as_object()?.iter().filter(|(k, _)| *k != "cnt");
        Some(members.map(|(k, v)| (k.clone(), text(v))).collect())
    };
    let values: Vec<serde_json::Value> = match serde_json::from_str(text) {
        Ok(serde_json::Value::Array(all)) => all,
        _ => text.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?,
    };
    let mut all: Vec<_> = values.iter().map(object).collect::<Option<_>>()?;
    all.sort();
    Some(all)
}

/// Compares all entries that have a rule. Prints the share, and fails where the tables are wrong.
fn compare(
    version: &str,
    rule: fn(&Entry) -> Option<&Rule>,
    ours: &BTreeMap<usize, Answer>,
    theirs: &BTreeMap<usize, Answer>,
) {
    let entries = entries();
    let (mut same, mut reasons, mut wrong) = (0, BTreeMap::<_, usize>::new(), Vec::new());
    for (number, entry) in entries.iter().enumerate() {
        let Some(rule) = rule(entry) else { continue };
        let (Some(a), Some(b)) = (ours.get(&number), theirs.get(&number)) else {
            wrong.push(format!("{entry}: no answer of {version}"));
            continue;
        };
        match (is_same(rule.how, a, b), &rule.reason) {
            (true, None) => same += 1,
            (false, Some(reason)) => *reasons.entry(reason.as_str()).or_default() += 1,
            (true, Some(reason)) => wrong.push(format!("{entry}: no longer differs by {reason}")),
            (false, None) => wrong.push(format!("{entry}\n--- here\n{a}--- {version}\n{b}")),
        }
    }
    let all = same + reasons.values().sum::<usize>() + wrong.len();
    let list: Vec<_> = reasons.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
    println!("nfdump {version}: {same} of {all} identical; differing by {}", list.join(", "));
    assert!(wrong.is_empty(), "{}\n{} entries", wrong.join("\n"), wrong.len());
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let says = self.stderr.lines().next().unwrap_or_default();
        writeln!(f, "{}[status {}, {says:?} on stderr]", self.stdout, self.status)
    }
}

#[test]
fn answers_are_those_of_the_installed_nfdump() {
    if !has("nfdump") {
        return;
    }
    let version = common::run("nfdump", ["-V"]);
    if !String::from_utf8_lossy(&version.stdout).contains("1.7.1") {
        return eprintln!("skipped: the tables are for nfdump 1.7.1");
    }
    let scene = Scene::new();
    let is_wanted = |e: &Entry| e.installed.is_some();
    let theirs = Bench::new(&scene, "nfdump".into(), "theirs").answers(is_wanted);
    let ours = Bench::ours(&scene).answers(is_wanted);
    compare("1.7.1", |e| e.installed.as_ref(), &ours, &theirs);
}

#[test]
fn answers_are_those_kept_of_nfdump() {
    let scene = Scene::new();
    let ours = Bench::ours(&scene).answers(|e| e.kept.is_some());
    compare("1.7.8", |e| e.kept.as_ref(), &ours, &stored::read());
}

#[test]
fn tables_are_complete() {
    let entries = entries();
    assert!(entries.len() >= 400, "{} command lines", entries.len());
    let mut seen = BTreeSet::new();
    for entry in &entries {
        assert!(seen.insert(&entry.words), "{entry}: twice");
    }
    let rules = entries.iter().flat_map(|e| e.kept.iter().chain(&e.installed));
    let used: BTreeSet<_> = rules.filter_map(|r| r.reason.clone()).collect();
    let known: BTreeSet<_> = reasons().into_keys().collect();
    assert_eq!(used, known, "reasons of the tables, reasons.txt");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/features.md");
    let page = std::fs::read_to_string(page).expect("docs/features.md");
    for (id, sentence) in reasons() {
        let line = format!("| {id} | {sentence} |");
        assert!(page.contains(&line), "docs/features.md lacks: {line}");
    }
}

/// Not a test: keeps what the nfdump that the environment names answers.
#[test]
#[ignore = "writes the expectations of another test"]
fn keep() {
    let program =
        std::env::var_os("FLOWSUITE_NFDUMP").expect("FLOWSUITE_NFDUMP: path of nfdump 1.7.8");
    let scene = Scene::new();
    let answers = Bench::new(&scene, program.into(), "theirs").answers(|e| e.kept.is_some());
    stored::write(&answers);
}
