//! `flowcapd check`: whether a collector with these options could work here, and what to mend.

use super::setup;
use crate::args::flowcapd::Args;
use crate::cmd::verdict::{Report, Verdict};
use crate::exit::Exit;
use collector::launch::Launch;
use collector::status::Board;
use collector::{Config, Sources};
use std::io::Write;
use std::path::{Path, PathBuf};
use sys::service::Inherited;

/// Checks everything and says what it finds, on standard output. Nothing is created or changed.
pub(super) fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let mut report = Report::new(std::io::stdout().lock());
    match setup::config(name, args) {
        Err(e) => report.say(Verdict::Bad, format_args!("options: {e:#}"))?,
        Ok(config) => {
            report.say(Verdict::Good, "options: understood")?;
            directories(&mut report, &config, args)?;
            sockets(&mut report, &config)?;
            receive_buffer(&mut report, args.buffer)?;
            files(&mut report, &config)?;
            services(&mut report, args)?;
        }
    }
    command(&mut report, args)?;
    filter(&mut report, args)?;
    user(&mut report, args)?;
    clock(&mut report)?;
    Ok(report.exit())
}

/// What there is to say of these options beside directories and sockets, which `doctor` looks at
/// itself; nor beside a collector that runs of the other ports, which it has.
pub(super) fn besides(
    name: &str,
    args: &Args,
    is_running: bool,
) -> anyhow::Result<Vec<(Verdict, String)>> {
    let mut report = Report::new(std::io::sink());
    if let Ok(config) = setup::config(name, args) {
        if !is_running {
            services(&mut report, args)?;
        }
        receive_buffer(&mut report, args.buffer)?;
        files(&mut report, &config)?;
    }
    command(&mut report, args)?;
    filter(&mut report, args)?;
    user(&mut report, args)?;
    clock(&mut report)?;
    Ok(report.into_said())
}

/// Directories that flow files go to.
pub(super) fn directories_of(config: &Config) -> Vec<PathBuf> {
    match &config.sources {
        Sources::One { dir, .. } | Sources::PerExporter { dir, .. } => vec![dir.clone()],
        Sources::Listed(list) => list.iter().map(|source| source.dir.clone()).collect(),
    }
}

fn directories(
    report: &mut Report<impl Write>,
    config: &Config,
    args: &Args,
) -> anyhow::Result<()> {
    for dir in directories_of(config) {
        let shown = dir.display();
        if args.user.is_some() {
            let said = "whether the user of -u may write there is seen when it starts";
            report.say(Verdict::Good, format_args!("directory {shown}: {said}"))?;
        } else if let Err(e) = sys::disk::may_write(&dir) {
            let said = "give the collector's user the right to make files there";
            report.say(Verdict::Bad, format_args!("directory {shown}: {e}; {said}"))?;
        } else {
            report.say(Verdict::Good, format_args!("directory {shown}: may be written to"))?;
        }
        room(report, &dir)?;
    }
    Ok(())
}

/// Room on the disk: for a slot of an average collector at least.
fn room(report: &mut Report<impl Write>, dir: &Path) -> anyhow::Result<()> {
    const LITTLE: u64 = 1 << 30;
    const FEW: u64 = 10_000;
    let shown = dir.display();
    let space = match sys::disk::space(dir) {
        Ok(space) => space,
        Err(e) => return report.say(Verdict::Bad, format_args!("disk of {shown}: {e}")),
    };
    let verdict = match space {
        s if s.free == 0 || s.free_files == 0 => Verdict::Bad,
        s if s.free < LITTLE || s.free_files < FEW => Verdict::Poor,
        _ => Verdict::Good,
    };
    let (mebibytes, percent) = (space.free >> 20, space.free / (space.size / 100).max(1));
    let files = match space.free_files {
        u64::MAX => String::new(),
        n => format!(", room for {n} files"),
    };
    let advice = if verdict == Verdict::Good { "" } else { "; see flowexpire, or -e" };
    report.say(
        verdict,
        format_args!("disk of {shown}: {mebibytes} MiB free ({percent} %){files}{advice}"),
    )
}

/// Whether the ports can be had. They are let go of again.
fn sockets(report: &mut Report<impl Write>, config: &Config) -> anyhow::Result<()> {
    for listen in &config.listen {
        let port = listen.port;
        match sys::udp::Receiver::bind(listen) {
            Ok(_) => report.say(Verdict::Good, format_args!("port {port}: free"))?,
            Err(e) => report.say(
                Verdict::Bad,
                format_args!("port {port}: {e}; a collector that runs has it, too"),
            )?,
        }
    }
    Ok(())
}

/// Whether what serves and sends besides could start. What is opened is let go of again.
fn services(report: &mut Report<impl Write>, args: &Args) -> anyhow::Result<()> {
    let socket = args.metrics_socket.as_deref();
    let is_missing =
        |path: &Path| !path.parent().is_none_or(|dir| dir.as_os_str().is_empty() || dir.is_dir());
    let results = [
        ("--tcp and --tls", setup::listeners(args, &mut Inherited::default()).map(|all| all.len())),
        ("--http", setup::server(args, &Board::new()).map(|server| server.iter().count())),
        ("-R", setup::targets(args).map(|all| all.len())),
        (
            "-m",
            match socket.filter(|path| is_missing(path)) {
                Some(path) => {
                    Err(anyhow::anyhow!("{}: there is no such directory", path.display()))
                }
                None => Ok(socket.iter().count()),
            },
        ),
    ];
    for (option, result) in results {
        match result {
            Ok(0) => {}
            Ok(_) => report.say(Verdict::Good, format_args!("{option}: can be had"))?,
            Err(e) => report.say(Verdict::Bad, format_args!("{option}: {e:#}"))?,
        }
    }
    Ok(())
}

/// Whether the kernel gives the buffer that is asked for.
fn receive_buffer(report: &mut Report<impl Write>, want: usize) -> anyhow::Result<()> {
    let listen = sys::udp::Listen { receive_buffer: Some(want), ..Default::default() };
    match sys::udp::Receiver::bind(&listen).map(|r| r.receive_buffer()) {
        Ok(Ok(have)) if have >= want => {
            report.say(Verdict::Good, format_args!("receive buffer: {have} bytes"))
        }
        Ok(Ok(have)) => report.say(
            Verdict::Poor,
            format_args!(
                "receive buffer: {have} bytes, {want} are asked for: raise net.core.rmem_max, or \
                 start with CAP_NET_ADMIN"
            ),
        ),
        Ok(Err(e)) => report.say(Verdict::Poor, format_args!("receive buffer: unknown: {e}")),
        Err(e) => report.say(Verdict::Bad, format_args!("receive buffer: {e}")),
    }
}

/// Whether there are enough descriptors: one for the file of each source, and as many while the
/// files of the slot before are finished.
fn files(report: &mut Report<impl Write>, config: &Config) -> anyhow::Result<()> {
    const BESIDES: u64 = 64;
    let sources = match &config.sources {
        Sources::One { .. } => 1,
        Sources::Listed(list) => list.len(),
        Sources::PerExporter { limit, .. } => *limit,
    };
    let need = 2 * sources as u64 + BESIDES;
    match sys::process::raise_file_limit() {
        Ok(have) if have >= need => report.say(Verdict::Good, format_args!("open files: {have}")),
        Ok(have) => report.say(
            Verdict::Poor,
            format_args!("open files: {have}, {sources} sources may need {need}: see ulimit -n"),
        ),
        Err(e) => report.say(Verdict::Poor, format_args!("open files: {e}")),
    }
}

/// Whether the command of `-x` could run.
fn command(report: &mut Report<impl Write>, args: &Args) -> anyhow::Result<()> {
    let Some(line) = &args.launch else { return Ok(()) };
    if let Err(e) = Launch::parse(line, args.shell) {
        return report.say(Verdict::Bad, format_args!("-x: {e}"));
    }
    let program = line.split_whitespace().next().unwrap_or_default();
    if args.shell || is_program(program) {
        return report.say(Verdict::Good, format_args!("-x: {line}"));
    }
    report.say(Verdict::Bad, format_args!("-x: {program} is no program, here or on the PATH"))
}

fn is_program(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn filter(report: &mut Report<impl Write>, args: &Args) -> anyhow::Result<()> {
    let Some(text) = &args.filter else { return Ok(()) };
    match super::keep(text) {
        Ok(_) => report.say(Verdict::Good, format_args!("-F: {text}")),
        Err(e) => report.say(Verdict::Bad, format_args!("-F: {e:#}")),
    }
}

fn user(report: &mut Report<impl Write>, args: &Args) -> anyhow::Result<()> {
    if args.user.is_none() && args.group.is_none() {
        return Ok(());
    }
    match sys::process::find_account(args.user.as_deref(), args.group.as_deref()) {
        Ok(()) => report.say(Verdict::Good, "user and group: known"),
        Err(e) => report.say(Verdict::Bad, format_args!("user and group: {e}")),
    }
}

/// Whether times will be right: flows are filed by them.
fn clock(report: &mut Report<impl Write>) -> anyhow::Result<()> {
    /// 2026-01-01: before it the clock was never set.
    const RELEASED_MS: u64 = 1_767_225_600_000;
    if sys::clock::now_ms() < RELEASED_MS {
        return report.say(Verdict::Bad, "clock: it shows a time long past: set it");
    }
    match sys::clock::is_synchronised() {
        Some(true) => report.say(Verdict::Good, "clock: set by a time service"),
        Some(false) => report.say(Verdict::Poor, "clock: no time service sets it: see chrony, ntp"),
        None => report.say(Verdict::Poor, "clock: the system does not say who sets it"),
    }
}
