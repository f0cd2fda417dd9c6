//! The kernel's events, until somebody says that it is enough.

use super::kernel;
use super::outlet::{self, Manner};
use crate::args::flownatd::settings::Settings;
use crate::exit::Exit;
use anyhow::Context as _;
use nat::metrics::{self, Board, Status};
use nat::outlet::Outlet;
use nat::run::{self, Beside, ListenCounts, Listener};
use nat::{Tracker, TrackerConfig};
use record::Addr;
use std::thread;
use sys::caretaker::Caretaker;
use sys::clock;
use sys::process::{self, Background, Capability, PidFile};
use sys::signal::Signals;

/// Listens, and gives outcomes away.
pub(super) fn run(settings: &Settings) -> anyhow::Result<Exit> {
    let (inherited, notify) = sys::service::take()?;
    for passed in inherited.rest() {
        log::warn!("a socket called {} was handed over, and none is needed", passed.name);
    }
    let process = &settings.process;
    let has_pid_file = process.in_background || process.has_pid_file;
    let changes_user = process.user.is_some() || process.group.is_some();
    let mut caretaker = (has_pid_file && changes_user).then(Caretaker::start).transpose()?;
    if settings.sets_sysctls {
        kernel::set()?;
    }
    // What needs privileges, and what is likely to fail, comes first.
    Listener::probe().map_err(explain)?;
    let listener = Listener::open(settings.listen).map_err(explain)?;
    kernel::findings().iter().for_each(|finding| log::warn!("{finding}, or give --set-sysctls"));
    let board = Board::new();
    let pages = settings.metrics.map(|addr| {
        metrics::bind(addr, board.clone()).with_context(|| format!("--metrics={addr}"))
    });
    let pages = pages.transpose()?;
    let mut pid_file = has_pid_file.then(|| PidFile::create(&process.pid_file)).transpose()?;
    let background = process.in_background.then(process::daemonize).transpose()?;
    if background.is_some() {
        pid_file.as_mut().map_or(Ok(()), PidFile::renew)?;
    }
    let files = has_pid_file.then_some(process.pid_file.as_path());
    caretaker.as_mut().map_or(Ok(()), |caretaker| caretaker.entrust(files))?;
    // The table can only be looked at again with this one.
    let (user, group) = (process.user.as_deref(), process.group.as_deref());
    process::drop_privileges_but(&[Capability::NetAdmin], user, group)?;
    // Threads from here on.
    let now_ms = clock::now_ms();
    let manner = Manner { boot_ms: kernel::boot_ms(now_ms), is_replay: false };
    let mut outlet = outlet::open(settings, manner)?;
    let config = TrackerConfig { timeouts: kernel::timeouts(), ..settings.tracker.clone() };
    let mut tracker = Tracker::new(config);
    let signals = Signals::install()?;
    if let Some(pages) = pages {
        serve(pages, &signals)?;
    }
    let mut show = |tracker: &Tracker, outlet: &Outlet, counts: &ListenCounts| {
        board.publish(status(tracker, outlet, counts));
    };
    let mut own = own;
    let own: Option<&mut dyn FnMut() -> Vec<Addr>> =
        if settings.leaves_own { Some(&mut own) } else { None };
    log::info!("Startup {}: {} octets for events.", settings.program, listener.granted());
    background.map_or(Ok(()), Background::ready)?;
    if let Err(e) = notify.ready() {
        log::warn!("service manager: {e}");
    }
    let beside = Beside { signals, notify, show: &mut show, own };
    let result = run::run(listener, &mut tracker, &mut outlet, beside);
    tell(&tracker, &outlet);
    log::info!("Terminating {}.", settings.program);
    result?;
    Ok(Exit::Success)
}

/// What the kernel's refusal means.
pub(super) fn explain(e: sys::Error) -> anyhow::Error {
    let errno = match &e {
        sys::Error::Netlink { source, .. } => source.raw_os_error().or_else(|| {
            let refusal = source.get_ref()?.downcast_ref::<sys::netlink::Refusal>()?;
            refusal.raw_os_error()
        }),
        _ => None,
    };
    let is_permitted = process::has(Capability::NetAdmin).unwrap_or(true);
    match errno.map(std::io::Error::from_raw_os_error).map(|e| e.kind()) {
        Some(std::io::ErrorKind::PermissionDenied) if !is_permitted => anyhow::Error::new(e)
            .context(
                "the kernel tells its connections only with CAP_NET_ADMIN: start as root, or \
                      by the unit, or in a container that has it",
            ),
        Some(std::io::ErrorKind::PermissionDenied) => anyhow::Error::new(e).context(
            "the kernel refuses although CAP_NET_ADMIN is there: it is that of another user \
             namespace; start where the network namespace was made",
        ),
        _ => anyhow::Error::new(e).context(
            "the kernel does not tell its connections: load nf_conntrack_netlink, or a kernel \
             with NF_CT_NETLINK",
        ),
    }
}

/// Addresses of this host as records have them.
fn own() -> Vec<Addr> {
    match sys::netlink::own_addresses() {
        Ok(all) => all.into_iter().map(Addr::from).collect(),
        Err(e) => {
            log::warn!("addresses of this host: {e}: its own connections are not left out");
            Vec::new()
        }
    }
}

fn status(tracker: &Tracker, outlet: &Outlet, counts: &ListenCounts) -> Status {
    Status {
        tracker: *tracker.counts(),
        open: tracker.len() as u64,
        memory: tracker.memory() as u64,
        is_degraded: tracker.gap().is_some(),
        listener: *counts,
        outlet: outlet.counts(),
    }
}

/// Says what became of everything.
fn tell(tracker: &Tracker, outlet: &Outlet) {
    let (counts, told) = (tracker.counts(), outlet.counts());
    log::info!(
        "{} connections began ({} found in the table), {} ended ({} missing from it), {} are open",
        counts.begins,
        counts.resync_begins,
        counts.ends,
        counts.resync_ends,
        tracker.len()
    );
    if counts.overruns > 0 {
        log::warn!(
            "the kernel dropped events {} times; records are degraded for {} ms in all",
            counts.overruns,
            told.outcomes.gap_ns / 1_000_000
        );
    }
    if told.lost() > 0 {
        log::warn!("{} records or lines did not arrive", told.lost());
    }
}

/// Answers whoever asks for pages; listening goes on whatever becomes of it.
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
