//! `flowreplay`: from options to flows on the wire.

mod captured;
mod files;
mod outlet;
mod pace;

use super::window::Window;
use super::{complain, outside};
use crate::app::{WithExit, is_old_name};
use crate::args;
use crate::args::flowreplay::Args;
use crate::exit::Exit;
use crate::logger::{self, Target};
use anyhow::{Context as _, ensure};
use captured::Way;
use export::{Destination, SendConfig};
use files::{Replay, Times, Wanted};
use filter::{Filter, ParseOptions};
use outlet::{Outcome, Outlet};
use pace::{Pace, SystemClock};
use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use store::ReadOptions;
use store::select::{Input, select};
use sys::Leave;
use tempfile::NamedTempFile;
use wire::export::{ExportConfig, Version};

/// Runs `flowreplay` under the name it was started by.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(name, args)? {
        Ok(read) => read.args,
        Err(exit) => return Ok(exit),
    };
    let target = match args.log {
        Some(_) => Target::Syslog { program: name.to_owned() },
        None => Target::Stderr,
    };
    logger::install(target, u8::from(args.verbose)).context("-L: no syslog to write to")?;
    let stop = sys::signal::interrupt()?;
    let to = destination(&args)?;
    match &args.capture {
        Some(path) => captured(name, &args, path, to, stop),
        None => flows(name, &args, to, stop),
    }
}

/// Where to send, of the family that is asked for.
fn destination(args: &Args) -> anyhow::Result<SocketAddr> {
    let host = args.group.as_deref().or(args.host.as_deref());
    let host = host.unwrap_or(if args.ipv6 { "::1" } else { "127.0.0.1" });
    let all =
        (host, args.port).to_socket_addrs().with_context(|| format!("destination '{host}'"))?;
    let is_wanted = |to: &SocketAddr| match (args.ipv4, args.ipv6) {
        (true, _) => to.is_ipv4(),
        (_, true) => to.is_ipv6(),
        _ => args.from.is_none_or(|from| from.is_ipv4() == to.is_ipv4()),
    };
    let to = all.into_iter().find(is_wanted);
    let to = to.with_context(|| format!("destination '{host}' has no address of that family"))?;
    if args.group.is_some() {
        ensure!(to.ip().is_multicast(), "-j: {} is no multicast group: use -H", to.ip());
    }
    Ok(to)
}

fn leave(args: &Args) -> Leave {
    Leave {
        from: args.from,
        hops: args.hop_limit,
        multicast_hops: args.hop_limit,
        send_buffer: args.buffer.map(|octets| octets as usize),
        ..Leave::default()
    }
}

/// Flows of files.
fn flows(name: &str, args: &Args, to: SocketAddr, stop: &AtomicBool) -> anyhow::Result<Exit> {
    let wanted = wanted(name, args)?;
    let inputs = inputs(name, args)?;
    let export = ExportConfig {
        domain: args.domain,
        mtu: args.mtu.into(),
        // Collectors make two flows of reverse elements; the file has one.
        biflow: false,
        ..ExportConfig::new(args.export)
    };
    export.check()?;
    ensure!(!args.tcp || args.export == Version::Ipfix, "--tcp is for IPFIX: add -v 10");
    let out = match args.spoof {
        true => Outlet::by_exporter(export, to)?,
        false => {
            let send = SendConfig {
                transport: outlet::transport(args.tcp),
                leave: leave(args),
                waits: true,
                ..SendConfig::new(vec![named(to)], args.export)
            };
            Outlet::together(export, send)?
        }
    };
    let times = match args.export {
        _ if args.now => Times::Now,
        Version::V1 | Version::V5 => Times::Recorded,
        Version::V9 | Version::Ipfix => Times::Kept,
    };
    let pace = Pace::new(args.pace(), SystemClock::new());
    let mut replay = Replay::new(name, &wanted, times, pace, out, stop);
    replay.files(&inputs.files);
    let (flows, is_whole) = (replay.flows, replay.is_whole);
    let (outcome, error) = replay.finish();
    if let Some(e) = error {
        complain(name, &format!("sending to {to}: {e}"));
    }
    say(name, flows, &outcome, to);
    let is_sent = outcome.lost + outcome.unheard + outcome.homeless == 0;
    Ok(match is_whole && is_sent {
        _ if stop.load(Relaxed) => Exit::Interrupted,
        true => Exit::Success,
        false => Exit::Incomplete,
    })
}

/// An address as destinations are written.
fn named(to: SocketAddr) -> Destination {
    let zone = |to: &std::net::SocketAddrV6| match to.scope_id() {
        0 => to.ip().to_string(),
        zone => format!("{}%{zone}", to.ip()),
    };
    let host = match &to {
        SocketAddr::V4(to) => to.ip().to_string(),
        SocketAddr::V6(to) => zone(to),
    };
    Destination { host, port: to.port() }
}

/// Which flows are to be sent.
fn wanted(name: &str, args: &Args) -> anyhow::Result<Wanted> {
    let mut filters = vec![filter(name, args)?];
    if let Some(window) = &args.window {
        let window = Window::parse(window)?.as_filter();
        filters.push(Filter::parse(&window).context("time window")?);
    }
    let key = args.key.as_deref().map(outside::passphrase).transpose()?;
    Ok(Wanted { filters, limit: args.count, read: ReadOptions { key } })
}

/// The filter of the command line, or of `-f`, or the one that lets everything pass.
fn filter(name: &str, args: &Args) -> anyhow::Result<Filter> {
    let path = args.filter_file.as_ref().filter(|_| args.filter.is_empty());
    let source = path.map(|p| p.display().to_string());
    let text = match path {
        None => args.filter.join(" "),
        Some(path) => outside::read_text(path).map_err(|e| WithExit {
            exit: Exit::FilterFile,
            message: format!("filter file {}: {e}", path.display()),
        })?,
    };
    let options = ParseOptions {
        source: source.as_deref(),
        resolve: Some(&outside::resolve),
        include: Some(&|path| outside::read_text(Path::new(path)).map_err(|e| e.to_string())),
        ..ParseOptions::default()
    };
    Filter::parse_with(&text, &options).map_err(|e| {
        // Scripts look for this line where nfdump's programs print it.
        if is_old_name(name) && !e.is_include() {
            println!("{}", e.nfdump_line());
        }
        let exit = if e.is_include() { Exit::FilterFile } else { Exit::Filter };
        WithExit { exit, message: e.to_string() }.into()
    })
}

/// Files in order, and what came on standard input as one of them.
struct Inputs {
    files: Vec<PathBuf>,
    _copy: Option<NamedTempFile>,
}

fn inputs(name: &str, args: &Args) -> anyhow::Result<Inputs> {
    let input = Input {
        read: args.read.as_deref(),
        range: args.range.as_deref(),
        sources: args.multi.as_deref(),
    };
    if input == Input::default() || (input.read == Some("-") && input.sources.is_none()) {
        let copy = outside::standard_input()?;
        return Ok(Inputs { files: vec![copy.path().to_owned()], _copy: Some(copy) });
    }
    let selected = select(&input)?;
    if let Some(warning) = selected.warning() {
        complain(name, &warning);
    }
    Ok(Inputs { files: selected.files, _copy: None })
}

/// What was sent, and what was not and why. nfreplay says nothing of the former.
fn say(name: &str, flows: u64, outcome: &Outcome, to: SocketAddr) {
    let Outcome { counts, sent, octets, lost, unheard, homeless } = outcome;
    if !is_old_name(name) {
        complain(name, &format!("{flows} flows in {sent} datagrams, {octets} octets, to {to}"));
    }
    for (count, what) in [
        (*lost, "datagrams could not be sent"),
        (*unheard, "reports that nobody listens there"),
        (*homeless, "flows left out: their exporter has no address of this family"),
        (counts.rows_ipv6, "flows left out: NetFlow v5 has no IPv6; use -v 9 or -v 10"),
        (counts.rows_events, "events left out: NetFlow v5 has flows only; use -v 9 or -v 10"),
        (counts.rows_undated, "flows left out: too far from others in time for NetFlow v5"),
        (counts.rows_uncountable, "flows left out: counters too large for NetFlow v5"),
        (counts.rows_too_large, "flows left out: larger than a datagram; raise --mtu"),
        (counts.rows_empty, "records left out: nothing in them can be exported"),
        (counts.wide_as_numbers, "AS numbers sent as 23456: NetFlow v5 has 16 bits for them"),
        (counts.wide_interfaces, "interfaces sent as 0: NetFlow v5 has 16 bits for them"),
        (counts.records_split, "records more, because counters did not fit into one"),
    ] {
        if count > 0 {
            complain(name, &format!("{count} {what}"));
        }
    }
}

/// Export packets of a capture.
fn captured(
    name: &str,
    args: &Args,
    path: &Path,
    to: SocketAddr,
    stop: &AtomicBool,
) -> anyhow::Result<Exit> {
    let mut way = match args.spoof {
        true => Way::spoofed(to)?,
        false => Way::own(to, &leave(args))?,
    };
    let pace = Pace::new(args.pace(), SystemClock::new());
    let wanted = captured::Wanted { port: args.captured_port, limit: args.count };
    let done = captured::replay(path, wanted, pace, &mut way, stop)
        .with_context(|| path.display().to_string())?;
    let captured::Outcome { sent, octets, refused, truncated, .. } = done;
    complain(name, &format!("{sent} datagrams, {octets} octets, to {to}"));
    if let Some(e) = &done.error {
        complain(name, &format!("{refused} datagrams could not be sent, the last one: {e}"));
    }
    if truncated > 0 {
        complain(name, &format!("{truncated} datagrams left out: the capture has only a part"));
    }
    if done.other_ports > 0 {
        complain(name, &format!("{} datagrams left out: to other ports", done.other_ports));
    }
    if let Some(what) = &done.damage {
        complain(name, &format!("{}: {what}", path.display()));
    }
    Ok(match done.damage.is_none() && refused + truncated == 0 {
        _ if done.is_stopped => Exit::Interrupted,
        true => Exit::Success,
        false => Exit::Incomplete,
    })
}
