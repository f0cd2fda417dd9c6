//! `run` and `build`: slots through channels.

use super::{find, shown};
use crate::args::flowprofile::{Build, Run, Work};
use crate::cmd::window::Window;
use crate::cmd::{complain, outside};
use crate::exit::Exit;
use profile::{Inputs, Outcome, Profiles, RunOptions, Runner};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;
use store::ReadOptions;
use store::select::{Input, select};

pub(super) fn run(name: &str, profiles: &Profiles, run: &Run) -> anyhow::Result<Exit> {
    let mut runner =
        Runner::new(profiles, (0..profiles.profiles.len()).collect(), options(&run.work)?)?;
    let mut exit = Exit::Success;
    for file in &run.file {
        let inputs = Inputs::of(file, profiles)?;
        let outcome = runner.slot(&inputs)?;
        if outcome.interrupted {
            return Ok(interrupted(name));
        }
        if run.work.verbose {
            say(name, profiles, &inputs, &outcome);
        }
        if tell(name, &outcome) {
            exit = Exit::Incomplete;
        }
    }
    Ok(exit)
}

pub(super) fn build(name: &str, profiles: &Profiles, build: &Build) -> anyhow::Result<Exit> {
    let which = find(profiles, &build.profile)?;
    let window = build.time.as_deref().map(Window::parse).transpose()?;
    let (slots, strangers) =
        Inputs::group(files(name, profiles, build.range.as_deref())?, profiles)?;
    if let Some(first) = strangers.first() {
        let n = strangers.len();
        let what = format!(
            "{n} files are not called nfcapd.YYYYMMDDhhmm and left out; the first is {}",
            first.display()
        );
        complain(name, &what);
    }
    let is_in = |i: &&Inputs| {
        window.is_none_or(|w| {
            let ms = i.slot * 1000;
            w.from_ms <= ms && w.until_ms.is_none_or(|until| ms < until)
        })
    };
    let slots: Vec<&Inputs> = slots.iter().filter(is_in).collect();
    let mut runner = Runner::new(profiles, vec![which], options(&build.work)?)?;
    let (mut done, mut there, mut outside, mut exit) = (0, 0, 0, Exit::Success);
    let is_shown = io::stderr().is_terminal();
    for (n, inputs) in slots.iter().enumerate() {
        if is_shown {
            let _ = write!(io::stderr(), "\r{} of {} slots ", n + 1, slots.len());
        }
        let outcome = runner.slot(inputs)?;
        if outcome.interrupted {
            return Ok(interrupted(name));
        }
        done += usize::from(!outcome.done.is_empty());
        there += outcome.up_to_date;
        outside += outcome.outside;
        if build.work.verbose {
            say(name, profiles, inputs, &outcome);
        }
        if tell(name, &outcome) {
            exit = Exit::Incomplete;
        }
        if !outcome.done.is_empty() {
            // Between two slots a run that waits gets its turn: that of the collector is not to wait
            // until years are built.
            std::thread::sleep(TURN);
        }
    }
    if is_shown {
        let _ = write!(io::stderr(), "\r");
    }
    let what = format!(
        "{}: {done} slots done, {there} were, {outside} lie outside of its time",
        build.profile
    );
    complain(name, &what);
    Ok(exit)
}

/// Long enough for who waits for a lock to be woken.
const TURN: Duration = Duration::from_millis(5);

/// The files of `-R`, or of all sources.
fn files(name: &str, profiles: &Profiles, range: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let mut add = |range: &str| -> anyhow::Result<()> {
        let selected = select(&Input { range: Some(range), ..Input::default() })?;
        if let Some(warning) = selected.warning() {
            complain(name, &warning);
        }
        all.extend(selected.files);
        Ok(())
    };
    match range {
        Some(range) => add(range)?,
        None if profiles.sources.is_empty() => {
            anyhow::bail!("which files? name them with -R, or their directories in [sources]")
        }
        None => {
            for source in &profiles.sources {
                match source.dir.is_dir() {
                    true => add(&source.dir.to_string_lossy())?,
                    false => complain(
                        name,
                        &format!("{}: there is no such directory", source.dir.display()),
                    ),
                }
            }
        }
    }
    Ok(all)
}

pub(super) fn options(work: &Work) -> anyhow::Result<RunOptions> {
    // Each channel has a file open; where that may not be, creating them says so.
    let _ = sys::process::raise_file_limit();
    Ok(RunOptions {
        threads: work.threads.map_or_else(sys::clock::cores, usize::from),
        again: work.again,
        stop: Some(sys::signal::interrupt()?),
        plain: work.plain,
        read: ReadOptions { key: work.key.as_deref().map(outside::passphrase).transpose()? },
    })
}

pub(super) fn interrupted(name: &str) -> Exit {
    complain(name, "interrupted: this slot is left as it was");
    Exit::Interrupted
}

/// Says what could not be read; returns whether there was anything.
pub(super) fn tell(name: &str, outcome: &Outcome) -> bool {
    outcome.damage.iter().for_each(|what| complain(name, what));
    !outcome.damage.is_empty()
}

fn say(name: &str, profiles: &Profiles, inputs: &Inputs, outcome: &Outcome) {
    let when = shown(inputs.slot);
    for done in &outcome.done {
        let Some(profile) = profiles.profiles.get(done.profile) else { continue };
        let channel = profile.channels.get(done.channel).map_or("", |c| &c.name);
        let n = done.counters.all();
        let what = format!(
            "{when} {profile} {channel}: {} flows, {} packets, {} octets",
            n.flows, n.packets, n.bytes
        );
        complain(name, &what);
    }
    if outcome.up_to_date > 0 {
        complain(name, &format!("{when}: {} profiles had it already", outcome.up_to_date));
    }
}
