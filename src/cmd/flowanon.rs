//! `flowanon`: flow files with other addresses. What is printed under the name `nfanon` is nfanon's.

mod beside;
mod inputs;
mod rules;
mod work;

use super::{complain, complain_of};
use crate::app::is_old_name;
use crate::args;
use crate::args::flowanon::{Args, Keep};
use crate::exit::Exit;
use inputs::Job;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use work::{Done, Sums, Work};

/// Runs `flowanon` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    match args::parse::<Args>(name, args)? {
        Ok(read) => run(name, &read.args),
        Err(exit) => Ok(exit),
    }
}

fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let work = Work::new(name, args)?;
    let jobs = inputs::jobs(name, args)?;
    let stop = sys::signal::interrupt()?;
    let is_quiet = args.quiet || args.verbose == 0;
    let is_in_place = jobs.iter().all(|job| job.to.is_none());
    if is_in_place {
        beside::drop_indexes(name, &jobs, is_quiet)?;
    }
    let teller = Teller { name, is_quiet, told: Mutex::new(Told { number: 0, error: None }), args };
    let goes_on = || !stop.load(Relaxed);
    let threads = args.threads.or(args.old_threads).filter(|n| *n > 0);
    let threads = threads.unwrap_or_else(sys::clock::cores).clamp(1, 256);
    // Many files keep all threads busy by themselves; of a few, the blocks do.
    let (lanes, each) = if jobs.len() >= 2 * threads { (threads, 1) } else { (1, threads) };
    let next = AtomicUsize::new(0);
    let lane = || {
        let (mut workers, mut sums) = (work.workers(each), Sums::default());
        while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)).filter(|_| goes_on()) {
            teller.begin(job);
            let done = work.file(job, &mut workers, &goes_on);
            teller.end(job, &done);
            sums.add(job, done);
        }
        sums
    };
    let mut sums = Sums::default();
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        for lane in lanes {
            match lane.join() {
                Ok(done) => sums.merge(done),
                Err(_) => sums.failed += 1,
            }
        }
    });
    let is_clean = match is_in_place && !args.keep.contains(&Keep::SideFiles) {
        true => beside::clean(name, args, &sums.clean, work.ident(), is_quiet)?,
        false => true,
    };
    teller.sums(&sums)?;
    Ok(match stop.load(Relaxed) {
        true => Exit::Interrupted,
        false if sums.failed > 0 || sums.left_out > 0 || !is_clean => Exit::Incomplete,
        false => Exit::Success,
    })
}

/// Says what is going on.
struct Teller<'a> {
    name: &'a str,
    is_quiet: bool,
    told: Mutex<Told>,
    args: &'a Args,
}

struct Told {
    number: usize,
    /// The first failure to say it, which must not keep files back.
    error: Option<io::Error>,
}

impl Teller<'_> {
    fn begin(&self, job: &Job) {
        if self.is_quiet || !is_old_name(self.name) {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.number += 1;
        let mut out = io::stdout().lock();
        let said = write!(out, "  {} Processing {}\r", told.number, job.from.display());
        if let Err(e) = said.and_then(|()| out.flush()) {
            told.error.get_or_insert(e);
        }
    }

    fn end(&self, job: &Job, done: &Result<Done, store::StoreError>) {
        let said = match done {
            Err(e) => return complain_of(self.name, &job.from, &e.to_string()),
            Ok(Done::Partly) => {
                "some of its flows are anonymised already and some are not: left alone; --again \
                 anonymises all of them"
            }
            Ok(Done::Already) if self.args.write.is_some() => {
                "is anonymised already: not copied; --again anonymises it once more"
            }
            Ok(Done::Already) if self.args.verbose < 2 || self.is_quiet => return,
            Ok(Done::Already) => "is anonymised already",
            Ok(Done::Made { rows, .. }) => {
                if self.args.verbose > 1 && !self.is_quiet {
                    complain_of(self.name, &job.from, &format!("{rows} flows"));
                }
                return;
            }
        };
        complain_of(self.name, &job.from, said);
    }

    fn sums(self, sums: &Sums) -> anyhow::Result<()> {
        let told = self.told.into_inner().unwrap_or_else(PoisonError::into_inner);
        if is_old_name(self.name) {
            writeln!(io::stdout(), "\nDone")?;
        }
        if let Some(e) = told.error {
            return Err(e.into());
        }
        if self.is_quiet {
            return Ok(());
        }
        match is_old_name(self.name) {
            true => {
                let _ = writeln!(io::stderr(), "Processed {} files", told.number);
            }
            false => complain(self.name, &sums.to_string()),
        }
        if let Some(left_out) = sums.left_out_text() {
            complain(self.name, &left_out);
        }
        if !sums.not_kept.is_empty() {
            complain(self.name, &format!("not kept: {}", sums.not_kept));
        }
        Ok(())
    }
}
