//! `flownatd check`: whether it could work here, and what to mend. Nothing is changed.

use super::kernel;
use super::live::explain;
use crate::args::flownatd::settings::Settings;
use crate::cmd::verdict::{Report, Verdict};
use crate::exit::Exit;
use nat::run::Listener;
use nat::sysctl::SETTINGS;
use std::io::Write;
use std::net::ToSocketAddrs as _;
use sys::process::{self, Capability};

/// Checks everything and says what it finds, on standard output.
pub(super) fn run(settings: &Settings) -> anyhow::Result<Exit> {
    let mut report = Report::new(std::io::stdout().lock());
    report.say(Verdict::Good, "options: understood")?;
    if !settings.has_output() {
        let said = "output: none; give -n, --output, -w, --csv, --ndjson or --syslog";
        report.say(Verdict::Bad, said)?;
    }
    privileges(&mut report)?;
    conntrack(&mut report)?;
    sysctls(&mut report)?;
    destinations(&mut report, settings)?;
    if let Some(files) = &settings.files {
        let shown = files.dir.display();
        match sys::disk::may_write(&files.dir) {
            Ok(()) => {
                report.say(Verdict::Good, format_args!("directory {shown}: may be written to"))?;
            }
            Err(e) => report.say(Verdict::Bad, format_args!("directory {shown}: {e}"))?,
        }
    }
    let process = &settings.process;
    match process::find_account(process.user.as_deref(), process.group.as_deref()) {
        Ok(()) => {}
        Err(e) => report.say(Verdict::Bad, e)?,
    }
    match process::running_in(&process.pid_file) {
        Ok(Some(pid)) => report.say(Verdict::Good, format_args!("daemon: process {pid}"))?,
        Ok(None) => report.say(Verdict::Good, "daemon: not in the background now")?,
        Err(e) => {
            let shown = process.pid_file.display();
            report.say(Verdict::Bad, format_args!("pid file {shown}: {e}"))?;
        }
    }
    Ok(report.exit())
}

fn privileges(report: &mut Report<impl Write>) -> anyhow::Result<()> {
    match process::has(Capability::NetAdmin) {
        Ok(true) => report.say(Verdict::Good, "privileges: CAP_NET_ADMIN"),
        Ok(false) => report.say(
            Verdict::Bad,
            "privileges: CAP_NET_ADMIN is missing: start as root, or by the unit",
        ),
        Err(e) => report.say(Verdict::Poor, format_args!("privileges: {e}")),
    }
}

fn conntrack(report: &mut Report<impl Write>) -> anyhow::Result<()> {
    match Listener::probe() {
        Ok(()) => report.say(Verdict::Good, "conntrack: the kernel tells its connections"),
        Err(e) => report.say(Verdict::Bad, format_args!("conntrack: {:#}", explain(e))),
    }
}

fn sysctls(report: &mut Report<impl Write>) -> anyhow::Result<()> {
    let findings = kernel::findings();
    for finding in &findings {
        report.say(Verdict::Poor, format_args!("sysctl: {finding}"))?;
    }
    if findings.is_empty() {
        let names: Vec<_> = SETTINGS.iter().map(|s| s.name).collect();
        report.say(Verdict::Good, format_args!("sysctl: {} are 1", names.join(", ")))?;
    }
    Ok(())
}

fn destinations(report: &mut Report<impl Write>, settings: &Settings) -> anyhow::Result<()> {
    for to in settings.exports.iter().flat_map(|export| &export.to) {
        match (to.host.as_str(), to.port).to_socket_addrs().map(|mut all| all.next()) {
            Ok(Some(addr)) => {
                report.say(Verdict::Good, format_args!("destination {to}: {}", addr.ip()))?;
            }
            Ok(None) => report.say(Verdict::Bad, format_args!("destination {to}: no address"))?,
            Err(e) => report.say(Verdict::Bad, format_args!("destination {to}: {e}"))?,
        }
    }
    Ok(())
}
