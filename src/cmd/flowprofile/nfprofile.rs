//! nfprofile: channels on standard input, one slot, as NfSen calls it.

use super::graph::rrd_command;
use super::{print, reading, work};
use crate::args;
use crate::args::nfprofile::Args;
use crate::cmd::{complain, outside};
use crate::exit::Exit;
use anyhow::{Context as _, ensure};
use profile::{
    DEFAULT_INTERVAL, InputFile, Inputs, Outcome, ProfileError, Profiles, RunOptions, Runner,
    SlotCounters, slot_start,
};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use store::rotate::SubDirs;
use store::select::{Input, select};

pub(super) fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(name, args)? {
        Ok(read) => read.args,
        // Wrong options are no failure to nfprofile: it prints its help.
        Err(_) => return Ok(Exit::Success),
    };
    let data = args.data.as_ref().context("Profile data directory required!")?;
    ensure!(data.is_dir(), "'{}' not a directory", data.display());
    let mut profiles = Profiles {
        data: data.clone(),
        stats: args.stats.as_ref().unwrap_or(data).clone(),
        interval: DEFAULT_INTERVAL,
        sub_dirs: SubDirs::new(args.subdirs).context("-S takes 0 to 8")?,
        sources: Vec::new(),
        profiles: Vec::new(),
    };
    if args.channels {
        add_channels(name, &args, &mut profiles)?;
    }
    if args.check {
        return say_checked(&profiles);
    }
    let read = args.read.as_ref().context("-r filename required!")?;
    let inputs = inputs(&args, read)?;
    if profiles.profiles.iter().all(|p| p.channels.is_empty()) {
        complain(name, "No channels to process");
        return Ok(Exit::Success);
    }
    for profile in &mut profiles.profiles {
        profile.counters &= args.time.is_some();
    }
    let options = RunOptions {
        threads: sys::clock::cores(),
        again: true,
        stop: Some(sys::signal::interrupt()?),
        ..RunOptions::default()
    };
    let outcome =
        Runner::new(&profiles, (0..profiles.profiles.len()).collect(), options)?.slot(&inputs)?;
    if outcome.interrupted {
        return Ok(work::interrupted(name));
    }
    work::tell(name, &outcome);
    if args.time.is_some() {
        update_databases(name, &profiles, &inputs, &outcome);
    }
    Ok(Exit::Success)
}

/// Reads lines; one that is wrong costs its channel, as with nfprofile.
fn add_channels(name: &str, args: &Args, profiles: &mut Profiles) -> anyhow::Result<()> {
    let text = outside::read_all(io::stdin().lock()).context("channels on standard input")?;
    let packing = args.compress.packing()?;
    for line in text.lines() {
        let added = reading(|reading| profiles.add_line(line, &args.filter, packing, reading));
        let Err(e) = added else { continue };
        match e {
            ProfileError::Config { what, .. } => complain(name, &what),
            e => complain(name, &e.to_string()),
        }
    }
    profiles.profiles.retain(|p| !p.channels.is_empty());
    ensure!(!text.is_empty(), "no channels on standard input");
    Ok(())
}

fn say_checked(profiles: &Profiles) -> anyhow::Result<Exit> {
    let mut text = String::new();
    for p in &profiles.profiles {
        for c in &p.channels {
            text.push_str(&format!(
                "Check filter for channel {} in profile '{}' in group '{}': ok.\n",
                c.name, p.name, p.group
            ));
        }
    }
    if !text.is_empty() {
        text.push_str("Syntax check done.\n");
    }
    print(text.as_bytes())?;
    Ok(Exit::Success)
}

/// The files of `-M` and `-r`.
fn inputs(args: &Args, read: &str) -> anyhow::Result<Inputs> {
    let selected =
        select(&Input { read: Some(read), sources: args.sources.as_deref(), range: None })?;
    let name = Path::new(read).file_name().context("Filename error: zero length filename")?;
    let named = slot_start(Path::new(read), 1).ok();
    let interval = u64::from(DEFAULT_INTERVAL);
    let slot = args.time.map(|t| t - t % interval).or(named).unwrap_or(0);
    let file = |path| InputFile { path, source: None };
    Ok(Inputs {
        name: name.to_string_lossy().into_owned(),
        slot,
        files: selected.files.into_iter().map(file).collect(),
    })
}

/// Gives the sums to the databases of NfSen, where there are any, through rrdtool.
fn update_databases(name: &str, profiles: &Profiles, inputs: &Inputs, outcome: &Outcome) {
    let mut commands = String::new();
    for done in &outcome.done {
        let Some(profile) = profiles.profiles.get(done.profile).filter(|p| p.counters) else {
            continue;
        };
        let Some(channel) = profile.channels.get(done.channel) else { continue };
        let base = profiles.stats_dir(profile).join(&channel.name).to_string_lossy().into_owned();
        if Path::new(&format!("{base}.rrd")).is_file() {
            let slot = SlotCounters {
                start: inputs.slot,
                interval: profiles.interval,
                inputs: 0,
                counters: done.counters,
            };
            commands.push_str(&rrd_command(&base, &slot));
        }
    }
    if commands.is_empty() {
        return;
    }
    if let Err(e) = rrdtool(&commands) {
        complain(name, &format!("rrdtool, which fills the databases of NfSen: {e}"));
    }
}

fn rrdtool(commands: &str) -> io::Result<()> {
    let mut child =
        Command::new("rrdtool").arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(commands.as_bytes())?;
    }
    match child.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("it ended with an error")),
    }
}
