//! Recorded events in place of the kernel's: from the first line to the last, no privileges needed.

use super::outlet::{self, Manner};
use crate::args::flownatd::settings::Settings;
use crate::exit::Exit;
use anyhow::Context as _;
use nat::text::Replay;
use nat::{Tracker, TrackerConfig};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

/// Octets of the longest line: a message of netlink in hex.
const LINE: u64 = 256 << 10;
/// How long destinations may take for the rest at the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lines that cannot be read and are told one by one.
const TOLD: u64 = 10;

/// Reads the recording and gives its outcomes away. What is open at its end stays open.
pub(super) fn run(path: &Path, settings: &Settings) -> anyhow::Result<Exit> {
    let shown = path.display();
    let input: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).with_context(|| format!("--replay {shown}"))?),
    };
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut outlet = outlet::open(settings, Manner { boot_ms: 0, is_replay: true })?;
    // A recording has its own idea of what is local, and says nothing between its lines.
    let mut tracker = Tracker::new(TrackerConfig { ttl_ns: 0, ..settings.tracker.clone() });
    let mut replay = Replay::new();
    let (mut line, mut number, mut wrong, mut ticked_ms) = (Vec::new(), 0u64, 0u64, 0);
    loop {
        line.clear();
        number += 1;
        let len = (&mut input).take(LINE).read_until(b'\n', &mut line);
        if len.with_context(|| format!("--replay {shown}, line {number}"))? == 0 {
            break;
        }
        let before_ns = replay.now_ns();
        let result =
            replay.line(&line, &mut tracker, &mut |o| outlet.outcome(before_ns.max(o.at_ns()), o));
        if let Err(e) = result {
            wrong += 1;
            if wrong <= TOLD {
                log::warn!("{shown}, line {number}: {e}");
            }
        }
        let now_ms = replay.now_ns() / 1_000_000;
        if now_ms.abs_diff(ticked_ms) >= 100 {
            ticked_ms = now_ms;
            outlet.tick(now_ms);
        }
    }
    let now_ns = replay.now_ns();
    replay.finish(&mut tracker, &mut |o| outlet.outcome(now_ns, o));
    outlet.finish(now_ns / 1_000_000, PATIENCE);
    let (counts, lost) = (tracker.counts(), outlet.counts().lost());
    log::info!(
        "{shown}: {} connections began, {} ended, {} are open",
        counts.begins,
        counts.ends,
        tracker.len()
    );
    if wrong > 0 {
        log::warn!("{shown}: {wrong} lines could not be read");
    }
    if lost > 0 {
        log::warn!("{lost} records or lines did not arrive");
    }
    Ok(if wrong > 0 || lost > 0 { Exit::Incomplete } else { Exit::Success })
}
