//! A capture file from its first packet to its last.

use super::outlet::{self, Manner};
use crate::args::flowprobe::settings::{Process, Settings};
use crate::exit::Exit;
use anyhow::{Context as _, bail, ensure};
use capture::{Capture, Filters};
use export::Transport;
use probe::Cache;
use probe::offline::{self, Now};
use probe::statistics::Report;
use std::io::Write as _;
use std::path::Path;
use sys::clock;
use sys::process;
use sys::signal::Signals;

/// Reads the file, exports its flows and prints statistics.
pub(super) fn read(path: &Path, at_packet_time: bool, settings: &Settings) -> anyhow::Result<Exit> {
    let mut capture = open(path)?;
    if let Some(expression) = &settings.filter {
        capture.set_filter(expression)?;
    }
    // Before any thread; what is read may be from anybody.
    if let Process { user, group, .. } = &settings.process
        && (user.is_some() || group.is_some())
    {
        process::drop_privileges_but(&[], user.as_deref(), group.as_deref())?;
    }
    let now = match at_packet_time {
        true => Now::OfPackets,
        false => Now::Fixed(clock::now_ms()),
    };
    let mut outlet = outlet::open(settings, Manner { boot_ms: 0, is_file: true })?;
    let mut cache = Cache::new(settings.cache.clone());
    let signals = Signals::install()?;
    let since_ms = clock::now_ms();
    let read = offline::read(&mut capture, &mut cache, &mut outlet, now, &signals.stop);
    let report = Report {
        since_ms,
        is_sampled: settings.cache.sampling.rate() > 1,
        cache: cache.stats().clone(),
        exported: probe::probe::exported(&outlet.counts()),
        captured: None,
    };
    let printed = std::io::stdout().write_all(super::statistics(settings, &report).as_bytes());
    tell(path, &capture, &read);
    let counts = outlet.counts();
    super::left_out(&counts.export).iter().for_each(|line| log::warn!("{line}"));
    let failures = counts.failures();
    if failures > 0 {
        log::warn!("{failures} datagrams were not sent, or nobody listened for them");
    }
    // Nobody reading the statistics is no reason to hide that there is more to say.
    if let Some(error) = read.error {
        bail!("{}: {error}: what came before it was exported", path.display());
    }
    let lost = counts.files.lost;
    ensure!(lost == 0, "{lost} flows were not written: make room, and read the capture again");
    // Over UDP nobody can know; a connection is expected to be there, by softflowd, too.
    let is_tcp = settings.export.as_ref().is_some_and(|e| e.transport == Transport::Tcp);
    ensure!(!is_tcp || failures == 0, "not everything was exported: see that the collector runs");
    printed.context("print statistics")?;
    Ok(Exit::Success)
}

/// Opens the file; whatever is wrong with it is said with its name.
fn open(path: &Path) -> anyhow::Result<Capture> {
    Capture::open(path).map_err(|e| match e {
        capture::Error::Open { .. } => e.into(),
        _ => anyhow::Error::new(e).context(path.display().to_string()),
    })
}

/// Says what is not in the statistics.
fn tell(path: &Path, capture: &Capture, read: &offline::Read) {
    let path = path.display();
    if let Some(cut) = capture.cut() {
        log::warn!("{path}: {cut}");
    }
    if !read.is_whole && read.error.is_none() {
        log::warn!("{path}: ended before its end: the rest was not read");
    }
    let unwanted = capture.counts().unwanted;
    if unwanted > 0 {
        log::info!("{path}: {unwanted} packets did not match the filter");
    }
    for link in capture.filters().into_iter().flat_map(Filters::unfit) {
        log::warn!(
            "{path}: the filter cannot be said for packets of link type {link}: none of them matches"
        );
    }
}
