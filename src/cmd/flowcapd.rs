//! `flowcapd`: from options to a running collector.

use crate::args;
use crate::args::flowcapd::Args;
use crate::exit::Exit;
use crate::logger::{self, Target};
use anyhow::{Context as _, bail, ensure};
use collector::launch::{Launch, Launcher};
use collector::{Collector, Config, Listed, Network, Sources};
use std::ffi::OsString;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use store::rotate::SubDirs;
use sys::process::{self, Background, PidFile};
use sys::signal::Signals;
use sys::udp::{Family, Listen};
use wire::DefaultSampling;

/// Runs `flowcapd` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(name, args)? {
        Ok(read) => read.args,
        Err(exit) => return Ok(exit),
    };
    let config = config(&args)?;
    let target = match args.daemon {
        true => Target::Syslog { program: name.to_owned() },
        false => Target::Stderr,
    };
    if let Err(e) = logger::install(target, args.verbose) {
        eprintln!("{name}: no syslog to write to ({e}): log lines of the daemon are lost");
    }
    let result = run(name, &args, config);
    if let (Err(e), true) = (&result, args.daemon) {
        log::error!("{e:#}"); // perhaps nobody reads stderr any more
    }
    result
}

fn run(name: &str, args: &Args, config: Config) -> anyhow::Result<Exit> {
    // What needs privileges comes first; what is created later belongs to the user asked for.
    let receivers = collector::run::bind(&config.listen)?;
    let mut pid_file = args.pid_file.as_deref().map(PidFile::create).transpose()?;
    if args.user.is_some() || args.group.is_some() {
        process::drop_privileges(args.user.as_deref(), args.group.as_deref())?;
    }
    let launch = args.launch.as_deref().map(Launch::parse).transpose()?;
    // Whoever starts a daemon waits until it runs, and is told on the terminal if it cannot.
    let background = args.daemon.then(process::daemonize).transpose()?;
    if background.is_some() {
        pid_file.as_mut().map_or(Ok(()), PidFile::renew)?;
    }
    let signals = Signals::install()?;
    let mut collector = Collector::new(config, sys::clock::now_ms())?;
    if let Some(launch) = launch {
        let mut launcher = Launcher::new(launch);
        collector.on_file(move |file| launcher.start(file));
    }
    log::info!("Startup {name}.");
    background.map_or(Ok(()), Background::ready)?;
    collector::run::run(&mut collector, receivers, &signals)?;
    log::info!("Terminating {name}.");
    Ok(Exit::Success)
}

fn config(args: &Args) -> anyhow::Result<Config> {
    let family = match (args.ipv4, args.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Dual,
    };
    let listen = Listen {
        bind: args.bind.as_deref().map(|host| address(host, family)).transpose()?,
        port: args.port,
        family,
        receive_buffer: Some(args.buffer),
        ..Listen::default()
    };
    let mut config = Config::new(listen, PathBuf::new());
    config.sources = sources(args)?;
    config.interval_secs = args.interval;
    config.sub_dirs = SubDirs::new(args.subdirs).context("-S takes 0 to 8")?;
    config.compression = args.compress.packing()?;
    config.decoder.default_sampling = args.sampling.map(sampling).transpose()?;
    Ok(config)
}

/// Whose flows go where: `-w`, `-n` or `-M`.
fn sources(args: &Args) -> anyhow::Result<Sources> {
    if let Some(dir) = &args.dynamic {
        /// nfcapd's default.
        const SOURCES_MAX: usize = 1024;
        return Ok(Sources::PerExporter { dir: directory(dir)?, limit: SOURCES_MAX });
    }
    if let Some(dir) = &args.dir {
        return Ok(Sources::One { ident: ident(&args.ident)?, dir: directory(dir)? });
    }
    args.source.iter().map(|text| listed(text)).collect::<Result<_, _>>().map(Sources::Listed)
}

/// Reads `-n IDENT,IP[;IP|CIDR...],DIR`.
fn listed(text: &str) -> anyhow::Result<Listed> {
    let mut parts = text.splitn(3, ',');
    let (Some(name), Some(senders), Some(dir)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("-n {text}: write IDENT,IP,DIR, as in border,192.0.2.1,/var/flows/border");
    };
    let network = |s: &str| s.trim().parse::<Network>().with_context(|| format!("-n {text}"));
    Ok(Listed {
        ident: ident(name)?,
        senders: senders.split(';').map(network).collect::<Result<_, _>>()?,
        dir: directory(Path::new(dir))?,
    })
}

fn directory(path: &Path) -> anyhow::Result<PathBuf> {
    let dir = path.canonicalize().with_context(|| {
        format!("directory {}: create it first, then start again", path.display())
    })?;
    ensure!(dir.is_dir(), "{} is not a directory", dir.display());
    Ok(dir)
}

fn ident(name: &str) -> anyhow::Result<String> {
    let printable = |c: char| ('!'..='~').contains(&c);
    ensure!(
        (1..=121).contains(&name.len()) && name.chars().all(printable),
        "ident '{}': 1 to 121 printable characters without blanks",
        name.escape_debug()
    );
    Ok(name.to_owned())
}

/// `-s RATE`: a default, or with a minus sign an override.
fn sampling(rate: i64) -> anyhow::Result<DefaultSampling> {
    const MAX: u64 = 10_000_000;
    let size = rate.unsigned_abs();
    ensure!((1..=MAX).contains(&size), "sampling rate {rate}: 1 to {MAX}, or negative");
    let size = u32::try_from(size)?;
    Ok(if rate < 0 { DefaultSampling::Override(size) } else { DefaultSampling::Otherwise(size) })
}

/// The address of `-b`: itself, or what the host name resolves to in the family asked for.
fn address(host: &str, family: Family) -> anyhow::Result<IpAddr> {
    if let Ok(ip) = host.parse() {
        return Ok(ip);
    }
    let found = (host, 0).to_socket_addrs().with_context(|| format!("address {host}"))?;
    let fits = |ip: &IpAddr| match family {
        Family::Dual => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    let ip = found.map(|a| a.ip()).find(fits);
    ip.with_context(|| format!("address {host}: no address of the family asked for"))
}
