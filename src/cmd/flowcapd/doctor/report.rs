//! How the doctor says what it found: the diagnosis first, then the evidence.

use super::findings::{Finding, diagnosis};
use crate::cmd::verdict::Verdict;
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;

/// Lines to read.
///
/// ```text
/// No packets reach this machine on UDP 9995 (watched for 10 s): ...
///
/// ok    options: ...
/// FAIL  packets: ...
///       next: ...
/// ```
pub(super) fn text(findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}\n", diagnosis(findings))?;
    for Finding { step, verdict, found, next, .. } in findings {
        writeln!(out, "{:<5} {step}: {found}", verdict.word())?;
        if !next.is_empty() {
            writeln!(out, "      next: {next}")?;
        }
    }
    Ok(())
}

/// The same as one document.
pub(super) fn json(findings: &[Finding], waited: Duration, out: &mut impl Write) -> io::Result<()> {
    let steps = findings.iter().map(|f| {
        json!({"step": f.step, "verdict": word(f.verdict), "found": f.found,
               "next": Some(&f.next).filter(|n| !n.is_empty())})
    });
    let worst = [Verdict::Bad, Verdict::Poor, Verdict::Unclear]
        .into_iter()
        .find(|verdict| findings.iter().any(|f| f.verdict == *verdict));
    let document = json!({
        "diagnosis": diagnosis(findings),
        "verdict": word(worst.unwrap_or(Verdict::Good)),
        "waited_seconds": waited.as_secs_f64(),
        "steps": steps.collect::<Vec<_>>(),
    });
    writeln!(out, "{document:#}")
}

/// In JSON, where scripts look: words that say what they mean.
const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Poor => "warn",
        Verdict::Bad => "fail",
        Verdict::Unclear => "cannot tell",
    }
}
