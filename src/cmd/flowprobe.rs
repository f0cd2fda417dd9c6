//! `flowprobe`: from options to a running probe.

mod file;
mod live;
mod outlet;

use crate::args;
use crate::args::flowprobe::settings::{Settings, Source};
use crate::exit::Exit;
use crate::logger::{self, Target};
use probe::statistics::Report;
use std::ffi::OsString;
use std::io::Write as _;
use wire::export::ExportCounts;

/// Runs `flowprobe` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let settings = match args::flowprobe::read(name, args)? {
        Ok(settings) => settings,
        Err(exit) => return Ok(exit),
    };
    let process = &settings.process;
    let target = match process.in_background {
        true => Target::Syslog { program: name.to_owned() },
        false => Target::Stderr,
    };
    if let Err(e) = logger::install(target, process.verbosity) {
        // Perhaps nobody reads that either.
        let _ = writeln!(
            std::io::stderr(),
            "{name}: no syslog to write to ({e}): log lines of the daemon are lost"
        );
    }
    // Conversations come and go: their memory goes back to the system.
    sys::memory::give_back_large_areas();
    settings.notes.iter().for_each(|note| log::warn!("{note}"));
    let result = match &settings.source {
        Source::File { path, at_packet_time } => file::read(path, *at_packet_time, &settings),
        Source::Live(interfaces) => live::run(interfaces, &settings),
    };
    if let (Err(e), true) = (&result, process.in_background) {
        log::error!("{e:#}"); // perhaps nobody reads stderr any more
    }
    if process.prints_cpu_time {
        let _ = writeln!(std::io::stderr(), "{}", cpu_time());
    }
    result
}

/// Statistics as they were asked for.
fn statistics(settings: &Settings, report: &Report) -> String {
    if settings.json { report.to_json() } else { report.to_text() }
}

/// What the format of exports had no place for, and what to do about it.
fn left_out(counts: &ExportCounts) -> Vec<String> {
    let other = counts.rows_left_out() - counts.rows_ipv6 - counts.rows_undated;
    [
        (counts.rows_ipv6, "of IPv6 were not exported: choose -v 9 or -v 10, which can say them"),
        (
            counts.rows_undated,
            "were not exported: their times are weeks from that of the export; choose -A milli with \
             -v 9 or -v 10",
        ),
        (other, "were not exported: they do not fit what the format can say; choose -v 10"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} flow records {what}"))
    .collect()
}

fn cpu_time() -> String {
    let sys::clock::Used { user, system, .. } = sys::clock::used();
    let seconds = (user + system).as_secs_f64();
    format!("CPU time: {seconds:.3} s")
}
