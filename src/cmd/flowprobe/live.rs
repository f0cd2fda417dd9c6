//! Interfaces, until somebody says that it is enough.

use super::outlet::{self, Manner};
use crate::args::flowprobe::settings::{Capture, Interface, Process, Settings};
use crate::exit::Exit;
use anyhow::Context as _;
use capture::live::{Backend, Live, LiveOptions};
use probe::control::{Desk, Server};
use probe::interfaces::Interfaces;
use probe::live::{self, Beside};
use probe::metrics::{self, Board};
use probe::probe::Probe;
use probe::statistics::Speaker;
use probe::{Cache, CacheConfig, InterfaceIndex};
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::thread;
use sys::caretaker::Caretaker;
use sys::clock;
use sys::process::{self, Background, Capability, PidFile};
use sys::signal::Signals;

/// Captures, exports, and prints statistics at the end.
pub(super) fn run(interfaces: &[Interface], settings: &Settings) -> anyhow::Result<Exit> {
    let (inherited, notify) = sys::service::take()?;
    for passed in inherited.rest() {
        log::warn!("a socket called {} was handed over, and a probe needs none", passed.name);
    }
    let process = &settings.process;
    let user = user(process);
    let mut caretaker =
        (user.is_some() && files(settings).next().is_some()).then(Caretaker::start).transpose()?;
    // What needs privileges, and what is likely to fail, comes first.
    let lanes = lanes(interfaces, settings)?;
    let server = settings.control.as_deref().map(|path| Server::bind(path, control_options()));
    let server = server.transpose()?;
    let board = Board::new();
    let pages = settings.metrics.map(|addr| {
        metrics::bind(addr, board.clone()).with_context(|| format!("--metrics={addr}"))
    });
    let pages = pages.transpose()?;
    let mut pid_file = process.pid_file.as_deref().map(PidFile::create).transpose()?;
    let background = process.in_background.then(process::daemonize).transpose()?;
    if background.is_some() {
        pid_file.as_mut().map_or(Ok(()), PidFile::renew)?;
    }
    caretaker.as_mut().map_or(Ok(()), |caretaker| caretaker.entrust(files(settings)))?;
    if user.is_some() || process.group.is_some() {
        // To open an interface again that was away.
        let keep = [Capability::NetRaw];
        process::drop_privileges_but(&keep, user, process.group.as_deref())?;
    }
    // Threads from here on.
    let now_ms = clock::now_ms();
    let outlet = outlet::open(settings, Manner { boot_ms: now_ms, is_file: false })?;
    let (captures, caches): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
    let probe = Probe::new(caches, outlet, lookups(settings), now_ms);
    let (desk, _running) = match server.map(Server::start).transpose()? {
        None => (None, None),
        Some((requests, running)) => {
            let speaker = Speaker::new(settings.program.clone(), std::process::id());
            (Some(Desk::new(requests, speaker)), Some(running))
        }
    };
    let signals = Signals::install()?;
    if let Some(pages) = pages {
        serve(pages, &signals)?;
    }
    let mut show = |probe: &Probe| board.publish(probe.status(clock::now_ms()));
    let beside = Beside { signals, notify, desk, show: &mut show };
    log::info!("Startup {}.", settings.program);
    background.map_or(Ok(()), Background::ready)?;
    if let Err(e) = beside.notify.ready() {
        log::warn!("service manager: {e}");
    }
    let result = live::run(&probe, captures, beside);
    sum_up(&probe, settings);
    log::info!("Terminating {}.", settings.program);
    result?;
    Ok(Exit::Success)
}

/// Tells the log what was counted, and what was not exported.
fn sum_up(probe: &Probe, settings: &Settings) {
    for line in super::statistics(settings, &probe.report()).lines().filter(|l| !l.is_empty()) {
        log::info!("{line}");
    }
    super::left_out(&probe.exported()).iter().for_each(|line| log::warn!("{line}"));
}

/// Answers whoever asks for pages; capturing goes on whatever becomes of it.
fn serve(pages: web::Server, signals: &Signals) -> anyhow::Result<()> {
    let stop = signals.stop.clone();
    let work = move || {
        if let Err(e) = pages.run(&stop) {
            log::error!("HTTP: {e}: not served any more");
        }
    };
    thread::Builder::new().name("http".to_owned()).spawn(work).context("start a thread")?;
    Ok(())
}

fn control_options() -> probe::control::Options {
    probe::control::Options::default()
}

/// What captures, and the cache of each.
///
/// Interfaces whose index was given have a cache of their own, because the number of a packet's
/// interface is not the one that is wanted. All others share one: so the other direction of a
/// conversation may come by another interface.
fn lanes(interfaces: &[Interface], settings: &Settings) -> anyhow::Result<Vec<(Live, Cache)>> {
    let config = CacheConfig { seed: random(), ..settings.cache.clone() };
    let (given, shared): (Vec<_>, Vec<_>) = interfaces.iter().partition(|i| i.index.is_some());
    let mut groups: Vec<(Vec<String>, InterfaceIndex)> = given
        .iter()
        .map(|i| (vec![i.name.clone()], InterfaceIndex::Fixed(i.index.map_or(0, u32::from))))
        .collect();
    if !shared.is_empty() {
        let index = match settings.lookup.asks_system {
            true => InterfaceIndex::OfPacket,
            false => InterfaceIndex::Unknown,
        };
        groups.push((shared.iter().map(|i| i.name.clone()).collect(), index));
    }
    let threads = usize::from(settings.capture.threads);
    let count = groups.len() * threads;
    let mut lanes = Vec::new();
    for (names, index) in groups {
        let options = capture_options(names, &settings.capture, settings.filter.clone());
        for live in Live::open_group(&options, threads)? {
            let config = CacheConfig {
                interfaces: index,
                // Together they have what one would have.
                max_flows: config.max_flows.div_ceil(count),
                max_memory: config.max_memory.map(|octets| octets / count as u64),
                ..config.clone()
            };
            lanes.push((live, Cache::new(config)));
        }
    }
    Ok(lanes)
}

fn capture_options(
    interfaces: Vec<String>,
    capture: &Capture,
    filter: Option<String>,
) -> LiveOptions {
    LiveOptions {
        interfaces,
        promiscuous: capture.is_promiscuous,
        snap_len: capture.snap_length,
        buffer: capture.buffer as usize,
        filter,
        backend: if capture.by_libpcap { Backend::Libpcap } else { Backend::Ring },
        ..LiveOptions::default()
    }
}

/// Who is asked for the other interface of a flow.
fn lookups(settings: &Settings) -> Option<Interfaces> {
    if !settings.lookup.asks_system {
        return None;
    }
    match Interfaces::open() {
        Ok(interfaces) => Some(interfaces),
        Err(e) => {
            log::warn!("{e}: flows have the interface they were seen on only");
            None
        }
    }
}

/// A number that nobody knows beforehand: the keys of the standard library's hash tables are.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// Who the process becomes.
fn user(process: &Process) -> Option<&str> {
    let default = process.user_if_root.filter(|_| process::may_change_user());
    process.user.as_deref().or(default)
}

/// Files that are to be gone at the end.
fn files(settings: &Settings) -> impl Iterator<Item = &Path> {
    [&settings.process.pid_file, &settings.control].into_iter().flatten().map(PathBuf::as_path)
}
