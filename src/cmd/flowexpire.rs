//! `flowexpire`: directories of flow files within limits. What is printed are nfexpire's lines.

use super::{complain, units};
use crate::app::{WithExit, is_old_name};
use crate::args;
use crate::args::flowexpire::Args;
use crate::exit::Exit;
use anyhow::Context as _;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use store::expire::{self, ExpireOptions, Expired, Going, NewLimits, Room};
use store::nfstat::{self, NfStat};

/// Watermark of profiles where none is given.
const PROFILE_WATERMARK: u64 = 98;

/// Runs `flowexpire` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    match args::parse::<Args>(name, args)? {
        Ok(read) => run(name, &read.args).map_err(refused),
        Err(Exit::Failure) => Ok(Exit::Refused),
        Err(exit) => Ok(exit),
    }
}

/// nfexpire has a status of its own for whatever goes wrong.
fn refused(e: anyhow::Error) -> anyhow::Error {
    let is_reader_gone = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    match e.downcast_ref::<io::Error>().is_some_and(is_reader_gone) {
        true => e,
        false => WithExit { exit: Exit::Refused, message: format!("{e:#}") }.into(),
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    List,
    Expire,
    Rescan,
    Update,
}

fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let (what, dir) = action(args)?;
    let base = dir.canonicalize().with_context(|| format!("Data directory {}", dir.display()))?;
    anyhow::ensure!(base.is_dir(), "No such directory: {}", base.display());
    if !args.action.books.is_empty() {
        let _ = writeln!(
            io::stderr(),
            "{name}: what a running nfcapd keeps in memory is not read: the files are counted"
        );
    }
    let job = Job { name, args, what, now_secs: sys::clock::now_ms() / 1000 };
    if args.profile {
        return job.together(&base);
    }
    if !args.tree {
        return job.alone(&base);
    }
    let all = expire::directories(&base)?;
    let (mut exit, mut is_first) = (Exit::Success, true);
    for base in &all {
        if !std::mem::take(&mut is_first) {
            println(format_args!(""))?;
        }
        println(format_args!("{}", base.display()))?;
        match job.alone(base)? {
            Exit::Success => {}
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => exit = other,
        }
    }
    if all.is_empty() {
        let _ = writeln!(io::stderr(), "{name}: no flow files below {}", base.display());
    }
    Ok(exit)
}

/// What is done and where: exactly one.
fn action(args: &Args) -> anyhow::Result<(What, &Path)> {
    let action = &args.action;
    let named = [
        (What::List, &action.list),
        (What::List, &action.books),
        (What::Expire, &action.expire),
        (What::Rescan, &action.rescan),
        (What::Update, &action.update),
    ];
    let mut all = named.into_iter().flat_map(|(what, dirs)| dirs.iter().map(move |d| (what, d)));
    let (what, dir) = all.next().context("which directory? name it with -l, -e, -r or -u")?;
    anyhow::ensure!(all.next().is_none(), "Only one option allowed out of -l -e -r -u or -p");
    Ok((what, dir))
}

/// One run of the program.
struct Job<'a> {
    name: &'a str,
    args: &'a Args,
    what: What,
    now_secs: u64,
}

impl Job<'_> {
    /// One directory by its own books.
    fn alone(&self, base: &Path) -> anyhow::Result<Exit> {
        self.say_scanning(base)?;
        let args = self.args;
        let limits =
            NewLimits { max_size: args.size, max_life: args.life, watermark: args.watermark };
        let watermark = NewLimits { watermark: args.watermark, ..NewLimits::default() };
        let (stat, exit) = match self.what {
            What::Expire => {
                let options = self.options(limits, base)?;
                let expire =
                    |options: &ExpireOptions, go_on: &mut dyn FnMut(&Going<'_>) -> bool| {
                        expire::expire(base, self.now_secs, options, go_on)
                    };
                self.expire(base, &options, expire)?
            }
            What::List => (self.counted(base, NewLimits::default())?, Exit::Success),
            What::Rescan => (self.counted(base, watermark)?, Exit::Success),
            What::Update => (self.counted(base, limits)?, Exit::Success),
        };
        self.say(&stat)?;
        Ok(exit)
    }

    /// All directories in one by limits that hold for their sum.
    fn together(&self, profile: &Path) -> anyhow::Result<Exit> {
        let bases = channels(profile)?;
        for base in &bases {
            self.say_scanning(base)?;
        }
        let args = self.args;
        let limits = NewLimits {
            max_size: args.size,
            max_life: args.life,
            watermark: Some(args.watermark.unwrap_or(PROFILE_WATERMARK)),
        };
        let (stat, exit) = if self.what == What::Expire {
            let options = self.options(limits, profile)?;
            let expire = |options: &ExpireOptions, go_on: &mut dyn FnMut(&Going<'_>) -> bool| {
                expire::expire_profile(&bases, self.now_secs, options, go_on)
            };
            self.expire(profile, &options, expire)?
        } else {
            let counted = bases.iter().map(|base| self.counted(base, NewLimits::default()));
            let all = counted.collect::<Result<Vec<_>, _>>()?;
            (sum(&all, limits, self.now_secs), Exit::Success)
        };
        // nfexpire sets limits of single directories only, and then says nothing.
        if self.what != What::Update {
            self.say(&stat)?;
        }
        Ok(exit)
    }

    fn options(&self, limits: NewLimits, base: &Path) -> anyhow::Result<ExpireOptions> {
        let room = |free: args::flowexpire::Free| {
            let space = sys::disk::space(base)
                .with_context(|| format!("--min-free: room on the disk of {}", base.display()))?;
            anyhow::Ok(Room { wanted: free.octets(space.size), free: space.free })
        };
        Ok(ExpireOptions {
            limits,
            max_files: self.args.max_files,
            room: self.args.min_free.map(room).transpose()?,
            dry_run: self.args.dry_run,
        })
    }

    /// The files counted, and the books brought up to date unless that is not to be, or may not:
    /// whoever may read only is told what is there, too.
    fn counted(&self, base: &Path, limits: NewLimits) -> anyhow::Result<NfStat> {
        let is_look = self.what == What::List && sys::disk::may_write(base).is_err();
        if self.args.dry_run || is_look {
            let mut stat = expire::look(base, self.now_secs)?;
            stat.max_size = limits.max_size.unwrap_or(stat.max_size);
            stat.max_life = limits.max_life.unwrap_or(stat.max_life);
            stat.watermark = limits.watermark.unwrap_or(stat.watermark);
            return Ok(stat);
        }
        Ok(expire::rescan(base, self.now_secs, limits)?)
    }

    /// Removes, and tells what came of it.
    fn expire(
        &self,
        base: &Path,
        options: &ExpireOptions,
        expire: impl Fn(
            &ExpireOptions,
            &mut dyn FnMut(&Going<'_>) -> bool,
        ) -> Result<Expired, store::StoreError>,
    ) -> anyhow::Result<(NfStat, Exit)> {
        let stop = sys::signal::interrupt()?;
        if !options.dry_run && io::stdin().is_terminal() {
            let all = expire(&ExpireOptions { dry_run: true, ..*options }, &mut |_| true)?;
            if all.after.files == 0 && all.files > 0 && !is_confirmed(base, &all.before)? {
                println(format_args!("Expire canceled!"))?;
                return Ok((all.before, Exit::Success));
            }
        }
        let run_time = self.args.run_time.filter(|secs| *secs > 0).map(Duration::from_secs);
        let start = sys::clock::monotonic();
        let is_over = || run_time.is_some_and(|most| start.elapsed() >= most);
        let is_told = self.args.verbose || options.dry_run;
        let mut failed = None;
        let done = expire(options, &mut |going| {
            if is_told && let Err(e) = self.say_going(going) {
                failed.get_or_insert(e);
            }
            failed.is_none() && !stop.load(Relaxed) && !is_over()
        })?;
        if let Some(e) = failed {
            return Err(e.into());
        }
        say_done(self.name, &done)?;
        Ok((
            done.after,
            match (done.is_stopped, done.failed) {
                (true, _) if stop.load(Relaxed) => Exit::Interrupted,
                (true, _) => {
                    complain(self.name, "Maximum execution time reached! Interrupt expire.");
                    Exit::Incomplete
                }
                (false, 1..) => Exit::Incomplete,
                (false, 0) => Exit::Success,
            },
        ))
    }

    /// nfexpire counts anew where there are no books, or none to rely upon. Here it is always done.
    fn say_scanning(&self, base: &Path) -> anyhow::Result<()> {
        let why = match NfStat::read(base)? {
            None => "Force rebuild to create stat record in",
            Some(stat) if stat.status == nfstat::REBUILD => {
                "Force rebuild requested by stat record in"
            }
            Some(_) if self.what == What::Rescan => "",
            Some(_) => return Ok(()),
        };
        let base = base.display();
        let is_asked = self.what == What::Rescan && why.contains("create");
        if !why.is_empty() && !is_asked {
            println(format_args!("{why} {base}"))?;
        }
        Ok(println(format_args!("Scanning files in {base} .. done."))?)
    }

    fn say_going(&self, going: &Going<'_>) -> io::Result<()> {
        let what = if self.args.dry_run { "Would remove" } else { "Remove" };
        println(format_args!("{what} {}", going.path.display()))
    }

    fn say(&self, stat: &NfStat) -> io::Result<()> {
        if self.args.nfsen {
            return println(format_args!("Stat|{}|{}|{}", stat.size, stat.first, stat.last));
        }
        let limit = |limit, text: fn(u64) -> String| match limit {
            0 => "<none>".to_owned(),
            n => text(n),
        };
        let status = match stat.status {
            nfstat::OK => "OK",
            _ => "Force rebuild",
        };
        println(format_args!(
            "First:     {}\nLast:      {}\nLifetime:  {}\nNumfiles:  {}\nFilesize:  {}\n\
             Max Size:  {}\nMax Life:  {}\nWatermark: {}%\nStatus:    {status}",
            time(stat.first),
            time(stat.last),
            units::span(stat.last.saturating_sub(stat.first)),
            stat.files,
            units::octets(stat.size),
            limit(stat.max_size, units::octets),
            limit(stat.max_life, units::span),
            stat.watermark,
        ))
    }
}

/// What went, and what could not.
fn say_done(name: &str, done: &Expired) -> io::Result<()> {
    println(format_args!(
        "Expired files:      {}\nExpired file size:  {}\nExpired time range: {}\n",
        done.files,
        units::octets(done.size),
        units::span(done.time_secs()),
    ))?;
    for (path, kind) in &done.failures {
        complain(name, &format!("{}: cannot be removed or read: {kind}", path.display()));
    }
    if done.failed > done.failures.len() as u64 {
        complain(name, &format!("{} files in all cannot be removed or read", done.failed));
    }
    if !is_old_name(name) && done.side_files > 0 {
        complain(name, &format!("{} files beside them", done.side_files));
    }
    Ok(())
}

/// Directories in a profile. Links are left out: what they lead to is somebody else's.
fn channels(profile: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let failed = || format!("Can't read profiledir '{}'", profile.display());
    let mut all = Vec::new();
    for entry in profile.read_dir().with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.push(entry.path());
        }
    }
    all.sort();
    anyhow::ensure!(!all.is_empty(), "{}: no directories in it", profile.display());
    Ok(all)
}

/// Several directories as one.
fn sum(all: &[NfStat], limits: NewLimits, now_secs: u64) -> NfStat {
    let with_files = || all.iter().filter(|stat| stat.files > 0);
    NfStat {
        first: with_files().map(|stat| stat.first).min().unwrap_or(now_secs),
        last: with_files().map(|stat| stat.last).max().unwrap_or(now_secs),
        size: all.iter().map(|stat| stat.size).sum(),
        max_size: limits.max_size.unwrap_or(0),
        files: all.iter().map(|stat| stat.files).sum(),
        max_life: limits.max_life.unwrap_or(0),
        watermark: limits.watermark.unwrap_or(PROFILE_WATERMARK),
        status: nfstat::OK,
    }
}

/// Asks whoever sits there, because nothing would be left.
fn is_confirmed(base: &Path, stat: &NfStat) -> io::Result<bool> {
    println(format_args!(
        "Your latest files are dated {}. This means all files in {} will be deleted!\n\
         Are you sure? yes/[no] ",
        time(stat.last),
        base.display(),
    ))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

fn time(secs: u64) -> String {
    use chrono::TimeZone as _;
    let time =
        i64::try_from(secs).ok().and_then(|secs| chrono::Local.timestamp_opt(secs, 0).earliest());
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

fn println(what: std::fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{what}")
}
