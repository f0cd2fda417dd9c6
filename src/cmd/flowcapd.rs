//! `flowcapd`: from options to a running collector.

mod check;
mod doctor;
mod expire;
mod offline;
mod services;
mod setup;

use super::outside;
use crate::args;
use crate::args::flowcapd::Args;
use crate::exit::Exit;
use crate::logger::{self, Target};
use anyhow::{Context as _, bail, ensure};
use collector::launch::{Launch, Launcher};
use collector::repeat::Repeater;
use collector::run::{self, Beside, Inputs};
use collector::status::Board;
use collector::{Collector, Config, Keep};
use filter::{Filter, ParseOptions};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use sys::process::{self, Background, PidFile};
use sys::signal::Signals;

/// Runs `flowcapd` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::flowcapd::read(name, args)? {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    match args.command.as_deref() {
        Some("doctor") => return doctor::run(name, args),
        Some(_) => return check::run(name, &args),
        None => {}
    }
    if let Some(how) = args.option.as_deref().filter(|option| *option != "tun") {
        bail!("-o {how} is for flowcapd doctor; a collector knows -o tun");
    }
    if let Some(addr) = &args.templates {
        return services::print_templates(addr);
    }
    if let Some(device) = &args.device {
        bail!("-d {device}: capturing is the probe's part: see flowprobe; or listen with -b");
    }
    let config = setup::config(name, &args)?;
    let target = match args.daemon {
        true => Target::Syslog { program: name.to_owned() },
        false => Target::Stderr,
    };
    let verbosity = if args.extended { 3 } else { args.verbose };
    if let Err(e) = logger::install(target, verbosity) {
        // Perhaps nobody reads that either.
        let _ = writeln!(
            std::io::stderr(),
            "{name}: no syslog to write to ({e}): log lines of the daemon are lost"
        );
    }
    if args.tags.is_some() {
        log::info!("-T is of old and does nothing: all extensions are stored");
    }
    let result = match (&args.read, &args.messages) {
        (Some(path), _) => offline::capture(path, &args, config),
        (_, Some(path)) => offline::messages(path, &args, config),
        (None, None) => collect(name, &args, config),
    };
    if let (Err(e), true) = (&result, args.daemon) {
        log::error!("{e:#}"); // perhaps nobody reads stderr any more
    }
    result
}

/// What `-F` keeps.
fn keep(text: &str) -> anyhow::Result<Keep> {
    let options = ParseOptions {
        resolve: Some(&outside::resolve),
        include: Some(&|path| outside::read_text(Path::new(path)).map_err(|e| e.to_string())),
        ..ParseOptions::default()
    };
    let filter = Filter::parse_with(text, &options)?;
    ensure!(
        !filter.uses_count() && !filter.needs_countries() && !filter.needs_tor(),
        "a collector has no numbers of flows, no countries and no exits of Tor to ask for"
    );
    Ok(Box::new(move |ident, flow| {
        filter.matches(flow.as_row(), &filter::Context { ident, ..filter::Context::default() })
    }))
}

/// Collects from the network until it is told to end.
fn collect(name: &str, args: &Args, config: Config) -> anyhow::Result<Exit> {
    let equipment = Equipment::read(args)?;
    let (mut inherited, notify) = sys::service::take()?;
    // What needs privileges comes first; what is created later belongs to the user asked for.
    let marks = collector::last_marks(&config);
    let inputs = Inputs {
        receivers: run::bind(&config.listen, config.receivers, &mut inherited, &notify, &marks)?,
        listeners: setup::listeners(args, &mut inherited)?,
    };
    for passed in inherited.rest() {
        log::warn!("a socket called {} was handed over, and no option is for it", passed.name);
    }
    let board = Board::new();
    let server = setup::server(args, &board)?;
    let targets = setup::targets(args)?;
    let mut pid_file = args.pid_file.as_deref().map(PidFile::create).transpose()?;
    // Whoever starts a daemon waits until it runs, and is told on the terminal if it cannot.
    let background = args.daemon.then(process::daemonize).transpose()?;
    if background.is_some() {
        pid_file.as_mut().map_or(Ok(()), PidFile::renew)?;
    }
    let repeater = (!targets.is_empty()).then(|| Repeater::start(targets)).transpose()?;
    // Where it is not permitted everything goes on, only a little less safely.
    let _ = process::permit_priority();
    drop_privileges(args)?;
    if let Err(e) = process::raise_file_limit() {
        log::debug!("number of open files: {e}"); // told again where it is too small
    }
    let beside = Beside { board, notify, repeater, ..Beside::alone(Signals::install()?) };
    let mut collector = Collector::new(config, sys::clock::now_ms())?;
    equipment.give_to(&mut collector);
    services::start(server, args, &beside)?;
    log::info!("Startup {name}.");
    background.map_or(Ok(()), Background::ready)?;
    if let Err(e) = beside.notify.ready() {
        log::warn!("service manager: {e}");
    }
    run::run(&mut collector, inputs, &beside)?;
    log::info!("Terminating {name}.");
    Ok(Exit::Success)
}

/// What a collector does with flows and files besides storing them, read from the options.
struct Equipment {
    keep: Option<Keep>,
    launcher: Option<Launcher>,
    is_expiring: bool,
}

impl Equipment {
    /// Reads the options, so that what is wrong with them is told before anything is opened.
    fn read(args: &Args) -> anyhow::Result<Self> {
        let parse = |line: &String| Launch::parse(line, args.shell);
        Ok(Self {
            keep: args.filter.as_deref().map(keep).transpose().context("-F")?,
            launcher: args.launch.as_ref().map(parse).transpose()?.map(Launcher::new),
            is_expiring: args.expire,
        })
    }

    fn give_to(self, collector: &mut Collector) {
        let Self { keep, launcher, is_expiring } = self;
        if let Some(keep) = keep {
            collector.keep(keep);
        }
        if let Some(mut launcher) = launcher {
            collector.on_file(move |file| launcher.start(file));
        }
        if is_expiring {
            // Also after a slot without a file: it may be the full disk that is in its way.
            collector.on_slot(expire::run);
        }
    }
}

/// Becomes the user asked for.
fn drop_privileges(args: &Args) -> anyhow::Result<()> {
    if args.user.is_some() || args.group.is_some() {
        process::drop_privileges(args.user.as_deref(), args.group.as_deref())?;
    }
    Ok(())
}
