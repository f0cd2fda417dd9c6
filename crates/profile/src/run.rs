//! One slot through all channels: its files are read once.
//!
//! Blocks are read and filtered one after the other; the threads of a [`Pool`] pack and write what
//! passes. Only one run at a time works below a directory of profiles: others wait.
//!
//! In the end files get their names first, then sums are written, each with a fingerprint of what it
//! was made from. So a slot whose sums have the fingerprint is done, and whoever is killed before
//! leaves a slot that is done again, whole.

use crate::counters::{CounterStore, Counters, SlotCounters};
use crate::definition::{Channel, Profile, Profiles, takes};
use crate::error::ProfileError;
use crate::outlet::{Form, Outlet};
use crate::ports::{PortStore, PortTable};
use crate::slot::{InputFile, Inputs};
use filter::{Context, Evaluator};
use record::{Rows, Selection, Totals};
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use store::rotate::Slot;
use store::{Block, BlockReader, FlowFile, Packing, Pool, ReadOptions};
use twox_hash::XxHash3_64;

/// Octets that the blocks at hand of all channels may take.
const BLOCKS: usize = 64 << 20;
/// Fingerprint of a slot that lacks a file: that of no slot, but by a rare chance.
const UNFINISHED: u64 = 0;

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Threads that pack what is written.
    pub threads: usize,
    /// Also slots that are done.
    pub again: bool,
    /// Looked at between blocks: once it is set, the slot is left as it was.
    pub stop: Option<&'static AtomicBool>,
    /// Whether flows of encrypted files may get into sub-archives, which are not encrypted.
    pub plain: bool,
    /// What reading files needs beside their names.
    pub read: ReadOptions,
}

/// What became of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelDone {
    /// Index into [`Profiles::profiles`].
    pub profile: usize,
    /// Index into [`Profile::channels`].
    pub channel: usize,
    /// What passed.
    pub counters: Counters,
}

/// What became of a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Channels that were worked on.
    pub done: Vec<ChannelDone>,
    /// Profiles that had the slot already, from the same files and filters.
    pub up_to_date: usize,
    /// Profiles of whose span the slot is not.
    pub outside: usize,
    /// One line for each file or block that could not be read in full.
    pub damage: Vec<String>,
    /// It was stopped, and nothing was changed.
    pub interrupted: bool,
}

/// Works on slots, one after the other.
pub struct Runner<'p> {
    profiles: &'p Profiles,
    which: Vec<usize>,
    options: RunOptions,
    pool: Arc<Pool>,
    reader: BlockReader,
    /// Of each channel of each profile.
    evaluators: Vec<Vec<Evaluator<'p>>>,
}

/// A profile that is worked on.
struct Job<'p> {
    index: usize,
    profile: &'p Profile,
    inputs: u64,
    channels: Vec<Open>,
    /// Ports, and which rows of a block passed any channel.
    ports: Option<(PortTable, Selection)>,
}

/// A channel that is worked on.
#[derive(Default)]
struct Open {
    totals: Totals,
    outlet: Option<Outlet>,
}

impl<'p> Runner<'p> {
    /// For these profiles, by index; the others are left alone.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub fn new(
        profiles: &'p Profiles,
        which: Vec<usize>,
        options: RunOptions,
    ) -> Result<Self, ProfileError> {
        let evaluators = |p: &'p Profile| p.channels.iter().map(|c| c.filter.evaluator()).collect();
        Ok(Self {
            profiles,
            which,
            pool: Arc::new(Pool::new(options.threads.max(1))?),
            options,
            reader: BlockReader::new(),
            evaluators: profiles.profiles.iter().map(evaluators).collect(),
        })
    }

    /// Works on a slot. Files of it that cannot be read are told in what is returned; the slot is
    /// then that of the others.
    ///
    /// A slot with a file that cannot be opened is not done: it is worked on again each time.
    ///
    /// # Errors
    /// If anything cannot be written. Then the slot is as it was, or a part of its channels is done;
    /// running it again is right in any case. If a file is encrypted and its flows would get into
    /// sub-archives without [`RunOptions::plain`]; then nothing has changed.
    pub fn slot(&mut self, inputs: &Inputs) -> Result<Outcome, ProfileError> {
        let stopped = || Outcome { interrupted: true, ..Outcome::default() };
        let Some(_lock) = lock(&self.profiles.data, self.options.stop)? else {
            return Ok(stopped());
        };
        let mut outcome = Outcome::default();
        let mut jobs = self.jobs(inputs, &mut outcome)?;
        if jobs.is_empty() {
            return Ok(outcome);
        }
        let mut files = Vec::new();
        for input in &inputs.files {
            match FlowFile::open_with(&input.path, &self.options.read) {
                Ok(file) => files.push((input, file)),
                Err(e) => outcome.damage.push(e.to_string()),
            }
        }
        if files.len() < inputs.files.len() {
            jobs.iter_mut().for_each(|job| job.inputs = UNFINISHED);
        }
        self.refuse_to_decrypt(&jobs, &files)?;
        let packing =
            files.first().map_or_else(Packing::default, |(_, f)| f.header().compression.into());
        self.open(&mut jobs, inputs, packing)?;
        for (n, (input, file)) in files.iter().enumerate() {
            self.file(n, input, file, &mut jobs, &mut outcome)?;
            if outcome.interrupted {
                return Ok(stopped());
            }
        }
        self.finish(jobs, inputs, &mut outcome)?;
        Ok(outcome)
    }

    /// The profiles that have something to do.
    fn jobs(&self, inputs: &Inputs, outcome: &mut Outcome) -> Result<Vec<Job<'p>>, ProfileError> {
        let mut jobs = Vec::new();
        for &index in &self.which {
            let Some(profile) = self.profiles.profiles.get(index) else { continue };
            if !profile.span.contains(inputs.slot) {
                outcome.outside += 1;
                continue;
            }
            let fingerprint = fingerprint(profile, self.profiles, &inputs.files);
            if !self.options.again && self.is_done(profile, inputs.slot, fingerprint)? {
                outcome.up_to_date += 1;
                continue;
            }
            jobs.push(Job {
                index,
                profile,
                inputs: fingerprint,
                channels: Vec::new(),
                ports: (profile.ports > 0).then(Default::default),
            });
        }
        Ok(jobs)
    }

    /// What is kept encrypted is not to lie beside it as plain flows because of an option for reading.
    fn refuse_to_decrypt(
        &self,
        jobs: &[Job<'_>],
        files: &[(&InputFile, FlowFile)],
    ) -> Result<(), ProfileError> {
        let encrypted = files.iter().find(|(_, file)| file.header().encrypted);
        let kept = jobs.iter().find(|job| job.profile.archive);
        match (encrypted, kept) {
            (Some((input, _)), Some(job)) if !self.options.plain => Err(ProfileError::Encrypted {
                path: input.path.clone(),
                profile: job.profile.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn is_done(
        &self,
        profile: &Profile,
        slot: u64,
        fingerprint: u64,
    ) -> Result<bool, ProfileError> {
        let (counters, ports) = self.stores(profile);
        for channel in &profile.channels {
            let there = counters.get(&channel.name, slot)?;
            if there.is_none_or(|s| s.inputs != fingerprint) {
                return Ok(false);
            }
        }
        Ok(profile.counters
            && (profile.ports == 0 || ports.inputs(slot).is_none_or(|i| i == fingerprint)))
    }

    fn stores(&self, profile: &Profile) -> (CounterStore, PortStore) {
        let (dir, interval) = (self.profiles.stats_dir(profile), self.profiles.interval);
        let ports = PortStore::new(&dir, interval);
        (CounterStore::new(dir, interval), ports)
    }

    /// Opens the sub-archives.
    fn open(
        &self,
        jobs: &mut [Job<'_>],
        inputs: &Inputs,
        usual: Packing,
    ) -> Result<(), ProfileError> {
        let count: usize = jobs.iter().map(|j| j.profile.channels.len()).sum();
        let slot = Slot { start: inputs.slot, len: self.profiles.interval };
        let sub = slot.sub_directory(self.profiles.sub_dirs);
        for job in jobs {
            let dir = self.profiles.data_dir(job.profile);
            for channel in &job.profile.channels {
                let mut open = Open::default();
                if job.profile.archive {
                    let form = Form {
                        ident: &channel.name,
                        packing: job.profile.packing.unwrap_or(usual),
                        slot: inputs.slot,
                        block_size: (BLOCKS / count.max(1)).clamp(1 << 16, 1 << 20),
                    };
                    let dir = dir.join(&channel.name);
                    let outlet = Outlet::create(dir, &sub, &inputs.name, &form, &self.pool)?;
                    open.outlet = Some(outlet);
                }
                job.channels.push(open);
            }
        }
        Ok(())
    }

    /// Reads a file.
    fn file(
        &mut self,
        n: usize,
        input: &InputFile,
        file: &FlowFile,
        jobs: &mut [Job<'_>],
        outcome: &mut Outcome,
    ) -> Result<(), ProfileError> {
        let path = input.path.display();
        if let Some(damage) = file.state().damage() {
            outcome.damage.push(format!("{path}: {damage}"));
        }
        let mut selection = Selection::default();
        let mut count = 1;
        for number in 0..file.blocks().len() {
            if self.options.stop.is_some_and(|stop| stop.load(Relaxed)) {
                outcome.interrupted = true;
                return Ok(());
            }
            let block = match self.reader.load(file, number) {
                Ok(block) => block,
                Err(e) => {
                    outcome.damage.push(format!("{path}: {e}"));
                    continue;
                }
            };
            outcome.damage.extend(block.damage().map(|damage| format!("{path}: {damage}")));
            let context = Context { ident: file.ident(), first_count: count };
            count += block.rows.len() as u64;
            for job in &mut *jobs {
                let Some(evaluators) = self.evaluators.get_mut(job.index) else { continue };
                if let Some((_, any)) = &mut job.ports {
                    any.reset(block.rows.len(), false);
                }
                let channels = job.channels.iter_mut().zip(&job.profile.channels).zip(evaluators);
                for ((open, channel), evaluator) in channels {
                    if !takes(channel, input.source) {
                        continue;
                    }
                    evaluator.select(&block.rows, &context, &mut selection);
                    open.block(n, &block, &selection, file)?;
                    if let Some((_, any)) = &mut job.ports {
                        let words = any.words_mut().iter_mut().zip(selection.words());
                        words.for_each(|(all, one)| *all |= one);
                    }
                }
                job.count_ports(&block.rows);
            }
        }
        Ok(())
    }

    /// Gives files their names and writes sums.
    fn finish(
        &self,
        mut jobs: Vec<Job<'_>>,
        inputs: &Inputs,
        outcome: &mut Outcome,
    ) -> Result<(), ProfileError> {
        // All of them are whole before the first one shows.
        for open in jobs.iter_mut().flat_map(|j| &mut j.channels) {
            if let Some(outlet) = &mut open.outlet {
                outlet.close()?;
            }
        }
        let (slot, interval) = (inputs.slot, self.profiles.interval);
        for job in &jobs {
            let (counters, ports) = self.stores(job.profile);
            for (open, channel) in job.channels.iter().zip(&job.profile.channels) {
                if let Some(outlet) = &open.outlet {
                    outlet.publish(slot)?;
                }
                let sums = Counters::from(&open.totals);
                let channel_index =
                    job.profile.channels.iter().position(|c| std::ptr::eq(c, channel));
                outcome.done.push(ChannelDone {
                    profile: job.index,
                    channel: channel_index.unwrap_or_default(),
                    counters: sums,
                });
            }
            if let Some((table, _)) = &job.ports {
                // One slot more, so that a whole day is there while the next one is counted.
                let keep = u64::from(job.profile.ports) * 86_400 + u64::from(interval);
                let newest = ports.slots()?.last().map_or(slot, |s| slot.max(*s));
                ports.put(table, slot, job.inputs, newest.saturating_sub(keep))?;
            }
            if job.profile.counters {
                for (open, channel) in job.channels.iter().zip(&job.profile.channels) {
                    let sums = Counters::from(&open.totals);
                    let record =
                        SlotCounters { start: slot, interval, inputs: job.inputs, counters: sums };
                    counters.put(&channel.name, &record)?;
                }
            }
        }
        Ok(())
    }
}

impl Open {
    /// What passed of a block.
    fn block(
        &mut self,
        n: usize,
        block: &Block<'_>,
        selection: &Selection,
        file: &FlowFile,
    ) -> Result<(), ProfileError> {
        if let Some(outlet) = &mut self.outlet {
            block.meta.iter().for_each(|m| outlet.meta(n, m, file));
        }
        for i in selection.iter() {
            let Some(row) = block.rows.row(i) else { break };
            self.totals.add(row);
            if let Some(outlet) = &mut self.outlet {
                outlet.row(n, row, file);
            }
        }
        self.outlet.as_mut().map_or(Ok(()), Outlet::check)
    }
}

impl Job<'_> {
    fn count_ports(&mut self, rows: &Rows<'_>) {
        let Some((table, any)) = &mut self.ports else { return };
        any.iter().filter_map(|i| rows.row(i)).for_each(|row| table.add(row));
    }
}

/// Waits until nobody else works below a directory of profiles. `None` if it was stopped before.
fn lock(data: &Path, stop: Option<&AtomicBool>) -> Result<Option<File>, ProfileError> {
    const STEP: Duration = Duration::from_millis(50);
    fs::create_dir_all(data).map_err(ProfileError::io("create", data))?;
    let file = File::open(data).map_err(ProfileError::io("open", data))?;
    match file.try_lock() {
        Ok(()) => return Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(e)) => return Err(ProfileError::io("lock", data)(e)),
    }
    // No signal ends the waiting for a lock, so another thread waits.
    let theirs = file.try_clone().map_err(ProfileError::io("open", data))?;
    let (tell, told) = mpsc::channel();
    let waiting = thread::Builder::new().spawn(move || tell.send(theirs.lock()));
    waiting.map_err(ProfileError::io("wait for", data))?;
    loop {
        match told.recv_timeout(STEP) {
            Ok(Ok(())) => return Ok(Some(file)),
            Ok(Err(e)) => return Err(ProfileError::io("lock", data)(e)),
            Err(_) if stop.is_some_and(|stop| stop.load(Relaxed)) => return Ok(None),
            Err(_) => {}
        }
    }
}

/// Of what a profile makes of files: filters, sources, and names, sizes and times of the files that
/// its channels take.
fn fingerprint(profile: &Profile, profiles: &Profiles, files: &[InputFile]) -> u64 {
    let mut text = format!("{} {} {:?}\n", profile.archive, profile.ports > 0, profile.packing);
    let source = |i: usize| profiles.sources.get(i).map(|s| s.name.as_str());
    for Channel { name, sources, text: filter, .. } in &profile.channels {
        let sources: Vec<_> = sources.iter().map(|i| source(*i)).collect();
        text.push_str(&format!("{name} {sources:?} {filter:?}\n"));
    }
    let is_taken = |f: &&InputFile| profile.channels.iter().any(|c| takes(c, f.source));
    for file in files.iter().filter(is_taken) {
        let about = file.path.metadata();
        let about = about.map(|m| (m.len(), m.mtime(), m.mtime_nsec())).unwrap_or_default();
        // Under another name for the same directory it is the same file.
        let path = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
        text.push_str(&format!("{path:?} {about:?}\n"));
    }
    XxHash3_64::oneshot(text.as_bytes())
}
