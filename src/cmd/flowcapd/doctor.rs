//! `flowcapd doctor`: why no flows arrive, or wrong ones. It walks the tree of docs/troubleshooting.md
//! from the exporter to the file: looks first ([`observed`], for as long as `--wait` says), and then
//! says what follows from it ([`findings`]). Nothing is changed.

mod files;
mod findings;
mod kernel;
mod observed;
mod report;
mod told;
mod watch;

use super::{check, setup};
use crate::args;
use crate::args::flowcapd::Args;
use crate::exit::Exit;
use chrono::TimeZone as _;
use collector::Config;
use files::User;
use kernel::Reading;
use observed::{Directory, Observed, Plan, Told, Watch};
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use sys::clock;
use sys::holder::{self, Process};
use watch::Eye;

/// Looks, thinks and says. Fails if something is wrong.
pub(super) fn run(name: &str, typed: Args) -> anyhow::Result<Exit> {
    let (wait, how) = (typed.wait, typed.option.clone());
    let case = Case::take(name, typed);
    let observed = case.observe(wait);
    let findings = findings::of(&observed);
    let mut out = std::io::stdout().lock();
    match how.as_deref() {
        Some("json") => report::json(&findings, observed.waited, &mut out)?,
        _ => report::text(&findings, &mut out)?,
    }
    out.flush()?;
    Ok(if findings::is_bad(&findings) { Exit::Failure } else { Exit::Success })
}

/// Whom it is about.
struct Case {
    name: String,
    /// The options in question.
    args: Arc<Args>,
    /// Where they come from.
    origin: String,
    /// The collector that runs, if there is one that may be looked at.
    running: Option<Process>,
    /// Where it serves HTTP.
    http: Option<String>,
    ports: Vec<u16>,
}

impl Case {
    /// Who names no directory means the collector that runs.
    fn take(name: &str, typed: Args) -> Self {
        let running = kernel::collector(&typed.port);
        let here = std::env::current_dir();
        let of_running = running.as_ref().and_then(options_of);
        let has_directory = has_directory(&typed);
        let mut http = typed.http.clone();
        let (args, origin) = match (of_running, &running) {
            (Some(theirs), Some(process)) => {
                http = http.or_else(|| theirs.http.clone());
                match has_directory {
                    true => (typed, String::new()),
                    false => (theirs, format!("those of process {}, which runs", process.pid)),
                }
            }
            _ => (typed, String::new()),
        };
        if let (Ok(here), true) = (here, origin.is_empty()) {
            // Names that were typed are relative to where that was.
            let _ = std::env::set_current_dir(here);
        }
        let standard = if name == "sfcapd" { 6343 } else { 9995 };
        let mut ports: Vec<u16> = args.port.iter().copied().filter(|p| *p != 0).collect();
        if ports.is_empty() {
            ports.push(standard);
        }
        Self { name: name.to_owned(), args: Arc::new(args), origin, running, http, ports }
    }

    fn observe(&self, wait: Duration) -> Observed {
        let start = clock::monotonic();
        let deadline = start + wait;
        // What is asked after the watch has to fit in, too.
        let watched_until = deadline - (wait / 4).min(Duration::from_millis(1500));
        if std::io::stderr().is_terminal() {
            let secs = wait.as_secs();
            let _ = writeln!(std::io::stderr(), "watching {} for {secs} s ...", udp(&self.ports));
        }
        let (mut plan, config) = self.plan();
        let user = self.user();
        let dirs = config.as_ref().map(check::directories_of).unwrap_or_default();
        let dirs: Vec<PathBuf> =
            dirs.into_iter().map(|dir| std::path::absolute(&dir).unwrap_or(dir)).collect();
        let (first, now_ms) = (dirs.clone(), clock::now_ms());
        let look = begin(move || first.iter().map(|d| files::look(d, user, now_ms)).collect());
        let checks = self.checks();
        let keep = self.keep();
        let told_before = self.ask(deadline);
        let before = Reading::now();
        let watch = self.watch(&dirs, config, keep, watched_until);
        let after = Reading::now();
        let ended = clock::monotonic();
        let directories = files_of(dirs, look, user, deadline);
        plan.checks = checks.recv_timeout(left(deadline)).unwrap_or_default();
        Observed {
            waited: ended - start,
            plan,
            sockets: after.listening(&before, &self.ports),
            kernel: after.since(&before, &self.ports),
            firewall: after.firewall(&before),
            told: self.ask_again(&told_before, &watch, deadline),
            unlisted: after.unlisted.clone(),
            watch: named(watch, &after),
            directories,
            zone: zone(),
        }
    }

    /// What the options ask for, and what is wrong with them.
    fn plan(&self) -> (Plan, Option<Config>) {
        let args = &self.args;
        let has_directory = has_directory(args);
        let config = setup::config(&self.name, args);
        let plan = Plan {
            origin: self.origin.clone(),
            mistake: config.as_ref().err().filter(|_| has_directory).map(|e| format!("{e:#}")),
            has_directory,
            checks: Vec::new(),
            ports: self.ports.clone(),
            filter: args.filter.clone(),
            allow: args.allow.clone(),
            sampling: args.sampling,
            interval: args.interval,
            buffer: args.buffer as u64,
            buffer_limit: sys::udp::receive_buffer_limit().ok().map(|n| n as u64),
        };
        (plan, config.ok())
    }

    /// As whom the collector makes files.
    fn user(&self) -> User {
        if let Some((uid, gid)) = self.running.as_ref().and_then(|p| p.user.zip(p.group)) {
            return User { uid, gid };
        }
        let (user, group) = (self.args.user.as_deref(), self.args.group.as_deref());
        let account = sys::process::account(user, group);
        let account = account.or_else(|_| sys::process::account(None, None));
        account.map_or(User { uid: 0, gid: 0 }, |(uid, gid)| User { uid, gid })
    }

    fn checks(&self) -> mpsc::Receiver<Vec<(crate::cmd::verdict::Verdict, String)>> {
        let (name, args) = (self.name.clone(), Arc::clone(&self.args));
        let is_running = self.running.is_some();
        begin(move || check::besides(&name, &args, is_running).unwrap_or_default())
    }

    /// What `-F` keeps. Names of hosts in it may take long to be found, and are then done without.
    fn keep(&self) -> Option<collector::Keep> {
        const LIMIT: Duration = Duration::from_millis(500);
        let text = self.args.filter.clone()?;
        begin(move || super::keep(&text).ok()).recv_timeout(LIMIT).ok().flatten()
    }

    fn watch(
        &self,
        dirs: &[PathBuf],
        config: Option<Config>,
        keep: Option<collector::Keep>,
        until: Instant,
    ) -> Watch {
        let mut eye = match Eye::open(&self.ports, config, keep) {
            Ok(eye) => eye,
            Err(e) => {
                thread::sleep(left(until));
                return Watch::Blind(e.to_string());
            }
        };
        let now_ms = clock::now_ms();
        for dir in dirs {
            eye.learn(dir, now_ms);
            if self.args.dynamic.is_some() {
                files::below(dir).iter().for_each(|dir| eye.learn(dir, now_ms));
            }
        }
        match eye.watch(until) {
            Ok(()) => Watch::Seen(eye.finish()),
            Err(e) => Watch::Blind(e.to_string()),
        }
    }

    fn ask(&self, deadline: Instant) -> Told {
        const LIMIT: Duration = Duration::from_millis(500);
        match &self.http {
            Some(address) => told::ask(address, LIMIT.min(left(deadline))),
            None => Told::NotServed,
        }
    }

    /// What it says after the watch. It says something new once a second, so if it has not seen what
    /// we saw, it is asked again.
    fn ask_again(&self, before: &Told, watch: &Watch, deadline: Instant) -> Told {
        const PAUSE: Duration = Duration::from_millis(200);
        let expects = matches!(watch, Watch::Seen(seen) if !seen.senders.is_empty());
        loop {
            let told = told::since(self.ask(deadline), before);
            let has_seen = matches!(&told, Told::Status(s) if s.received_now > 0);
            let may_ask = matches!(told, Told::Status(_)) && left(deadline) > 2 * PAUSE;
            if has_seen || !expects || !may_ask {
                return told;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// The options that a process was started with; `None` if they are not understood.
///
/// Names of files in them, and in the file of `-C`, are relative to where it was started: this goes
/// there, as long as there are no other threads.
fn options_of(process: &Process) -> Option<Args> {
    let name = holder::program(&process.arguments)?;
    if let Some(directory) = &process.directory {
        // Where that is not allowed, names that are absolute are still right.
        let _ = std::env::set_current_dir(directory);
    }
    let mut args = args::flowcapd::read(&name, process.arguments.clone()).ok()?.ok()?;
    for path in [&mut args.dir, &mut args.dynamic].into_iter().flatten() {
        *path = kernel::absolute(process, path);
    }
    Some(args)
}

fn has_directory(args: &Args) -> bool {
    args.dir.is_some() || args.dynamic.is_some() || !args.source.is_empty()
}

/// What the directories are like now, and whether they have changed since `look` began.
fn files_of(
    dirs: Vec<PathBuf>,
    look: mpsc::Receiver<Vec<Directory>>,
    user: User,
    deadline: Instant,
) -> Vec<Directory> {
    let now_ms = clock::now_ms();
    let again = look.recv_timeout(left(deadline)).ok().map(|first| {
        begin(move || {
            first.into_iter().map(|d| files::look_again(d, user, now_ms)).collect::<Vec<_>>()
        })
    });
    again.and_then(|again| again.recv_timeout(left(deadline)).ok()).unwrap_or_else(|| {
        let slow = |path| Directory {
            path,
            trouble: Some("its file system does not answer in time".to_owned()),
            ..Directory::default()
        };
        dirs.into_iter().map(slow).collect()
    })
}

fn named(mut watch: Watch, reading: &Reading) -> Watch {
    if let Watch::Seen(seen) = &mut watch {
        reading.name_listeners(&mut seen.elsewhere);
    }
    watch
}

/// The offset of local time from UTC.
fn zone() -> String {
    let now = i64::try_from(clock::now_ms()).ok();
    let now = now.and_then(|ms| chrono::Local.timestamp_millis_opt(ms).single());
    now.map_or_else(String::new, |now| now.format("%:z").to_string())
}

/// Begins something that may hang, in a thread that is then left behind.
fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    // Without threads there is no answer, as if it hung.
    let _ = thread::Builder::new().name("look".to_owned()).spawn(move || {
        let _ = sender.send(work());
    });
    receiver
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(clock::monotonic())
}

/// `UDP 9995`, `UDP 9995 and 2055`.
fn udp(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("UDP {}", ports.join(" and "))
}
