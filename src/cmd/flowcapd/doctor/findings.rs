//! What follows from what was seen: verdicts, and what to do next. Nothing here looks at anything.
//!
//! Steps go from the exporter to the file. The first thing that is broken is the diagnosis, since what
//! comes behind it suffers from it.

mod arrival;
mod content;
mod storage;
#[cfg(test)]
mod tests;

use super::observed::{Observed, Plan};
use crate::cmd::verdict::Verdict;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Which step of the tree.
    pub(super) step: &'static str,
    pub(super) verdict: Verdict,
    /// What is so.
    pub(super) found: String,
    /// What to do, or to type; empty if nothing.
    pub(super) next: String,
    /// What is wrong in one line, where it explains that flows are missing or wrong.
    pub(super) diagnosis: String,
}

/// What is found of one step, in order.
struct Step<'a> {
    name: &'static str,
    all: &'a mut Vec<Finding>,
}

impl Step<'_> {
    fn say(&mut self, verdict: Verdict, found: impl Into<String>, next: &str, diagnosis: &str) {
        self.all.push(Finding {
            step: self.name,
            verdict,
            found: found.into(),
            next: next.to_owned(),
            diagnosis: diagnosis.to_owned(),
        });
    }

    fn good(&mut self, found: impl Into<String>) {
        self.say(Verdict::Good, found, "", "");
    }

    fn unclear(&mut self, found: impl Into<String>, next: &str) {
        self.say(Verdict::Unclear, found, next, "");
    }

    /// It works, but.
    fn poor(&mut self, found: impl Into<String>, next: &str) {
        self.say(Verdict::Poor, found, next, "");
    }

    /// It is broken. The diagnosis is what was found and what to do.
    fn bad(&mut self, found: impl Into<String>, next: &str) {
        let found = found.into();
        let diagnosis = format!("{}: {next}", capitalised(&found));
        self.say(Verdict::Bad, found, next, &diagnosis);
    }
}

/// Walks the tree.
pub(super) fn of(seen: &Observed) -> Vec<Finding> {
    let mut all = Vec::new();
    type Walk = fn(&Observed, &mut Step<'_>);
    let walk: [(&str, Walk); 14] = [
        ("options", options),
        ("check", checks),
        ("collector", arrival::collector),
        ("disk", storage::disk),
        ("packets", arrival::packets),
        ("firewall", arrival::firewall),
        ("exporters", content::exporters),
        ("templates", content::templates),
        ("filter", content::filter),
        ("sampling", content::sampling),
        ("losses", content::losses),
        ("clock", content::clock),
        ("files", storage::files),
        ("reading", storage::reading),
    ];
    for (name, step) in walk {
        step(seen, &mut Step { name, all: &mut all });
    }
    all
}

/// One line that says what is wrong, or that all is well.
pub(super) fn diagnosis(findings: &[Finding]) -> String {
    if let Some(broken) = findings.iter().find(|f| f.verdict == Verdict::Bad) {
        return broken.diagnosis.clone();
    }
    let poor: Vec<_> = findings.iter().filter(|f| f.verdict == Verdict::Poor).collect();
    match poor.as_slice() {
        [] if findings.iter().any(|f| f.verdict == Verdict::Unclear) => {
            "Nothing wrong was found, but not everything could be seen".to_owned()
        }
        [] => "All is well: packets arrive, and their flows are stored".to_owned(),
        [one] => format!("Nothing is broken, but look at this: {}: {}", one.step, one.found),
        [first, more @ ..] => {
            let n = more.len();
            format!(
                "Nothing is broken, but look at this: {}: {} (and {n} more)",
                first.step, first.found
            )
        }
    }
}

/// Whether something is broken.
pub(super) fn is_bad(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.verdict == Verdict::Bad)
}

/// Step 1: what the collector was told.
fn options(seen: &Observed, step: &mut Step<'_>) {
    let Plan { origin, mistake, has_directory, .. } = &seen.plan;
    let whose = if origin.is_empty() { "understood" } else { origin };
    match mistake {
        Some(mistake) => step.bad(
            format!("the options are wrong: {mistake}"),
            "mend the command line or the file of -C; flowcapd check tells more",
        ),
        None if !has_directory => step.poor(
            "no directory of flows is named, so files are not looked at",
            "give the collector's options: -C FILE, or -w DIR -p PORT",
        ),
        None => step.good(whose),
    }
}

/// Step 1: what `flowcapd check` says of it.
fn checks(seen: &Observed, step: &mut Step<'_>) {
    let mut good = 0;
    for (verdict, said) in &seen.plan.checks {
        match verdict {
            Verdict::Good => good += 1,
            Verdict::Bad => step.bad(said.clone(), "flowcapd check tells more"),
            _ => step.say(*verdict, said.clone(), "", ""),
        }
    }
    if good > 0 {
        step.good(format!("{} well that flowcapd check looks at", things(good)));
    }
}

/// `10 s`.
fn secs(seen: &Observed) -> String {
    format!("{} s", seen.waited.as_secs_f64().round())
}

/// `UDP 9995`.
fn udp(seen: &Observed) -> String {
    super::udp(&seen.plan.ports)
}

/// The first few of a list, and how many more there are.
fn few(all: impl IntoIterator<Item = String>) -> String {
    const FEW: usize = 5;
    let mut all: Vec<String> = all.into_iter().collect();
    all.dedup();
    match all.len().checked_sub(FEW) {
        Some(more @ 1..) => {
            all.truncate(FEW);
            format!("{} and {more} more", all.join(", "))
        }
        _ => all.join(", "),
    }
}

/// A number and its noun.
fn count(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

fn things(n: u64) -> String {
    match n {
        1 => "1 thing is".to_owned(),
        _ => format!("{n} things are"),
    }
}

/// A span of time in the unit that people would use.
fn span(secs: u64) -> String {
    match secs {
        0..120 => count(secs, "second"),
        120..7200 => count(secs / 60, "minute"),
        7200..172_800 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => count(secs / 86_400, "day"),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + chars.as_str()
}
