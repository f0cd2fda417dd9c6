//! From options to what a collector is told.

use crate::args::flowcapd::Args;
use anyhow::{Context as _, bail, ensure};
use collector::repeat::Target;
use collector::status::Board;
use collector::stream::{Listener, Options};
use collector::{Config, Listed, Network, Sources, http, tls};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use store::rotate::SubDirs;
use sys::service::Inherited;
use sys::udp::{Family, Listen};
use wire::DefaultSampling;

/// What the options say, checked as far as it can be without opening anything.
pub(super) fn config(name: &str, args: &Args) -> anyhow::Result<Config> {
    let mut config = Config::new(Listen::default(), PathBuf::new());
    config.listen = listen(name, args)?;
    config.receivers = args.receivers.map_or(0, usize::from);
    config.sources = sources(args)?;
    config.allow = args.allow.iter().map(|text| network(text)).collect::<Result<_, _>>()?;
    config.interval_secs = args.interval;
    config.sub_dirs = SubDirs::new(args.subdirs).context("-S takes 0 to 8")?;
    config.has_zone = args.zone;
    config.compression = args.compress.packing()?;
    config.workers = args.workers.map_or_else(sys::clock::cores, usize::from);
    config.extensions = args.extensions.unwrap_or_default();
    if args.no_index {
        config.index = None;
    }
    config.queue_bytes = mebibytes(args.queue)?;
    let decoder = &mut config.decoder;
    decoder.default_sampling = args.sampling.map(sampling).transpose()?;
    decoder.decode_tunnels = args.option.as_deref() == Some("tun");
    decoder.drop_duplicates = !args.keep_duplicates;
    let limits = &mut decoder.limits;
    limits.exporters = args.max_exporters;
    limits.templates_per_exporter = args.max_templates;
    limits.fields_per_template = args.max_fields;
    let memory = mebibytes(args.max_memory)?;
    (limits.template_bytes, limits.sampler_bytes, limits.name_bytes) = (memory, memory, memory);
    limits.parked_ms = args.park.saturating_mul(1000);
    Ok(config)
}

fn mebibytes(n: usize) -> anyhow::Result<usize> {
    n.checked_mul(1 << 20).filter(|n| *n > 0).context("a size in MiB: 1 or more")
}

/// Each port on each address.
fn listen(name: &str, args: &Args) -> anyhow::Result<Vec<Listen>> {
    let family = family(args);
    let standard = if name == "sfcapd" { 6343 } else { 9995 };
    let ports = if args.port.is_empty() { vec![standard] } else { args.port.clone() };
    let binds = addresses(args)?;
    let group = args.multicast.as_deref().map(|host| address(host, family)).transpose()?;
    if let Some(group) = group {
        ensure!(group.is_multicast(), "-J {group}: is no multicast group");
    }
    let receive_buffer = Some(args.buffer);
    let one = |port: u16| {
        binds.iter().map(move |bind| Listen {
            bind: *bind,
            port,
            family,
            group,
            receive_buffer,
            ..Listen::default()
        })
    };
    Ok(ports.iter().flat_map(|port| one(*port)).collect())
}

/// Listeners of `--tcp` and `--tls`: each port on each address.
pub(super) fn listeners(args: &Args, inherited: &mut Inherited) -> anyhow::Result<Vec<Listener>> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(chain), Some(key)) => {
            let (chain, key, client_ca) = (chain.clone(), key.clone(), args.tls_ca.clone());
            Some(tls::Server::load(&tls::Files { chain, key, client_ca })?)
        }
        _ => None,
    };
    let mut all = Vec::new();
    let plain = args.tcp.iter().map(|port| (*port, None));
    let private = args.tls.iter().map(|port| (*port, tls.clone()));
    for (port, tls) in plain.chain(private) {
        for ip in addresses(args)? {
            let options = Options { tls: tls.clone(), ..Options::default() };
            all.push(match inherited.take_tcp(|local| local.port() == port && port != 0) {
                Some(socket) => Listener::from_socket(socket, options)?,
                None => Listener::bind(ip, port, family(args), options)?,
            });
        }
    }
    Ok(all)
}

/// The server of `--http`, bound.
pub(super) fn server(args: &Args, board: &Board) -> anyhow::Result<Option<web::Server>> {
    let Some(addr) = &args.http else { return Ok(None) };
    let addr = addr.parse().with_context(|| format!("--http {addr}: write ADDRESS:PORT"))?;
    Ok(Some(http::bind(addr, board.clone(), http::Options::default())?))
}

/// The targets of `-R`, which keep the address of senders with `-A`.
pub(super) fn targets(args: &Args) -> anyhow::Result<Vec<Target>> {
    let target = |text: &String| {
        let target = text.parse::<Target>().context("-R")?;
        Ok(Target { spoof: target.spoof || args.spoof, ..target })
    };
    args.repeat.iter().map(target).collect()
}

/// The addresses to listen on, `None` for all.
fn addresses(args: &Args) -> anyhow::Result<Vec<Option<IpAddr>>> {
    if args.bind.is_empty() {
        return Ok(vec![None]);
    }
    args.bind.iter().map(|host| address(host, family(args)).map(Some)).collect()
}

const fn family(args: &Args) -> Family {
    match (args.ipv4, args.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Dual,
    }
}

/// Whose flows go where: `-w`, `-n` or `-M`.
fn sources(args: &Args) -> anyhow::Result<Sources> {
    if let Some(dir) = &args.dynamic {
        return Ok(Sources::PerExporter { dir: directory(dir)?, limit: args.max_sources });
    }
    if let Some(dir) = &args.dir {
        return Ok(Sources::One { ident: ident(&args.ident)?, dir: directory(dir)? });
    }
    ensure!(!args.source.is_empty(), "no directory for the flows: give one of -w, -n, -M");
    args.source.iter().map(|text| listed(text)).collect::<Result<_, _>>().map(Sources::Listed)
}

/// Reads `-n IDENT,IP[;IP|CIDR...],DIR[,sampling=RATE][,port=PORT]`.
fn listed(text: &str) -> anyhow::Result<Listed> {
    let mut parts = text.splitn(3, ',');
    let (Some(name), Some(senders), Some(mut dir)) = (parts.next(), parts.next(), parts.next())
    else {
        bail!("-n {text}: write IDENT,IP,DIR, as in border,192.0.2.1,/var/flows/border");
    };
    let (mut port, mut rate) = (None, None);
    // From the end, because a directory may have commas.
    while let Some((before, option)) = dir.rsplit_once(',') {
        let wrong = || format!("-n {text}: {option}");
        match option.split_once('=') {
            Some(("sampling", n)) => {
                rate = Some(n.parse().map_err(anyhow::Error::from).and_then(sampling))
                    .transpose()
                    .with_context(wrong)?;
            }
            Some(("port", n)) => port = Some(n.parse().with_context(wrong)?),
            _ => break,
        }
        dir = before;
    }
    Ok(Listed {
        ident: ident(name)?,
        senders: senders
            .split(';')
            .map(|s| network(s.trim()).with_context(|| format!("-n {text}")))
            .collect::<Result<_, _>>()?,
        port,
        sampling: rate,
        dir: directory(Path::new(dir))?,
    })
}

fn network(text: &str) -> anyhow::Result<Network> {
    Ok(text.parse::<Network>()?)
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

/// An address: itself, or what the host name resolves to in the family asked for.
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
