//! Who had a public address and port, from stored files: `flownatd who`, `flowdump --nat-who`.

use super::moment;
use crate::exit::Exit;
use anyhow::{Context as _, ensure};
use chrono::{Local, SecondsFormat, TimeZone as _};
use filter::Filter;
use nat::who::{Answer, Evidence, Holder, Question, Search};
use query::{Query, Report};
use std::io::Write;
use std::net::IpAddr;

/// Reads address, port (`any` for any) and time.
pub(super) fn question(words: &[&str; 3], slack_secs: u64) -> anyhow::Result<Question> {
    let [addr, port, time] = words;
    let addr: IpAddr = addr.parse().with_context(|| format!("'{addr}' is no address"))?;
    let port = match *port {
        "any" | "*" => None,
        port => Some(port.parse().with_context(|| format!("'{port}' is no port, and not any"))?),
    };
    let slack_ms = slack_secs.checked_mul(1000).context("--slack is too much")?;
    Ok(Question { addr: addr.into(), port, proto: None, at_ms: moment::parse(time)?, slack_ms })
}

/// Files that lie further from the moment are looked at only if the others do not tell who had it:
/// as long as a tracker remembers a connection of which it hears nothing.
const NEAR_MS: u64 = 7 * 86_400_000;

/// Looks through the files of `query` and prints the answer. Found is a success.
pub(super) fn answer(
    question: Question,
    mut query: Query,
    is_json: bool,
    complain: impl FnOnce(&Report) -> Exit,
) -> anyhow::Result<Exit> {
    ensure!(!query.files.is_empty(), "no flow files to look through");
    let at_ms = question.at_ms;
    let window = (at_ms.saturating_sub(NEAR_MS), at_ms.saturating_add(NEAR_MS));
    let asked = query.window.unwrap_or((0, u64::MAX));
    query.window = Some((asked.0.max(window.0), asked.1.min(window.1)));
    let (mut answer, mut report) = find(question, &mut query)?;
    let is_whole = |h: &Holder| is_known(h) && h.from_ms.is_some();
    if report.blocks_outside > 0 && !answer.holders.iter().any(is_whole) {
        // It may have begun long before.
        query.window = Some(asked);
        let (all, again) = find(question, &mut query)?;
        if all.holders.len() >= answer.holders.len() {
            (answer, report) = (all, again);
        }
    }
    let mut out = std::io::stdout().lock();
    out.write_all(&if is_json { json(&question, &answer) } else { text(&question, &answer) })?;
    out.flush()?;
    let exit = complain(&report);
    Ok(if answer.holders.is_empty() { Exit::Failure } else { exit })
}

/// Whether a translation is known, and not only that the address was in use.
fn is_known(holder: &Holder) -> bool {
    holder.evidence != Evidence::Direct
}

/// Looks through the files within the window: at records with the address, and at all of them if
/// those tell nothing.
fn find(question: Question, query: &mut Query) -> anyhow::Result<(Answer, Report)> {
    query.filters.push(Filter::parse(&Search::filter(&question)).context("the question")?);
    let found = search(question, query);
    query.filters.pop();
    if found.0.holders.iter().any(is_known) {
        return Ok(found);
    }
    // Where only triplets were stored, flows before translation do not name the address.
    let all = search(question, query);
    Ok(if all.0.holders.iter().any(is_known) { all } else { found })
}

fn search(question: Question, query: &Query) -> (Answer, Report) {
    let mut search = Search::new(question);
    let report = query.each(&mut |row| search.row(row));
    (search.finish(), report)
}

fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Local.timestamp_millis_opt(ms).earliest());
    time.map_or_else(|| ms.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Millis, false))
}

const fn evidence(of: Evidence) -> &'static str {
    match of {
        Evidence::Event => "event",
        Evidence::Flow => "flow",
        Evidence::Triplet => "triplet",
        Evidence::Block => "block",
        Evidence::Direct => "direct",
    }
}

/// An address with its port, where there is one.
fn end(of: nat::Endpoint) -> String {
    match (of.port, IpAddr::from(of.addr)) {
        (0, addr) => addr.to_string(),
        (port, addr) => std::net::SocketAddr::new(addr, port).to_string(),
    }
}

fn text(question: &Question, answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    let port = question.port.map_or_else(|| "any port".to_owned(), |p| format!("port {p}"));
    let addr = IpAddr::from(question.addr);
    // Writing to a Vec cannot fail.
    let _ = match answer.holders.as_slice() {
        [] => writeln!(out, "{addr} {port} at {}: nobody known", time(question.at_ms)),
        _ => writeln!(out, "{addr} {port} at {}: {}", time(question.at_ms), answer.sure().name()),
    };
    for holder in &answer.holders {
        let or = |ms: Option<u64>, none: &str| ms.map_or_else(|| none.to_owned(), time);
        let proto = match holder.proto {
            0 => String::new(),
            n => format!(" proto {n}"),
        };
        let way = if holder.is_forward { "behind" } else { "as" };
        let _ = write!(out, "  {}{proto} {way} {}", end(holder.inside), end(holder.public));
        if let Some(peer) = holder.peer {
            let _ = write!(out, " with {}", end(peer));
        }
        let (from, to) = (or(holder.from_ms, "before"), or(holder.to_ms, "open or later"));
        let _ = write!(out, ", {from} to {to}");
        if let Some([sent, answered]) = holder.octets {
            let _ = write!(out, ", {sent} bytes out {answered} in");
        }
        let _ = write!(out, " [{}, {}", holder.sure.name(), evidence(holder.evidence));
        if holder.off_ms > 0 {
            let _ = write!(out, ", off by {} ms", holder.off_ms);
        }
        let _ = writeln!(out, "]");
    }
    for (from, to) in &answer.gaps {
        let (from, to) = (time(*from), time(*to));
        let _ = writeln!(out, "  events were lost from {from} to {to}: others may have had it");
    }
    if answer.dropped > 0 {
        let _ = writeln!(out, "  {} records were too many to look at", answer.dropped);
    }
    out
}

/// One object; all values are numbers, addresses or names of ours.
fn json(question: &Question, answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    let number = |n: Option<u64>| n.map_or_else(|| "null".to_owned(), |n| n.to_string());
    let _ = write!(
        out,
        "{{\"address\":\"{}\",\"port\":{},\"at\":{},\"sure\":\"{}\",\"holders\":[",
        IpAddr::from(question.addr),
        number(question.port.map(u64::from)),
        question.at_ms,
        answer.sure().name()
    );
    for (n, h) in answer.holders.iter().enumerate() {
        let addr = |e: nat::Endpoint| IpAddr::from(e.addr);
        let _ = write!(
            out,
            "{}{{\"inside\":\"{}\",\"inside_port\":{},\"public\":\"{}\",\"public_port\":{},",
            if n == 0 { "" } else { "," },
            addr(h.inside),
            h.inside.port,
            addr(h.public),
            h.public.port,
        );
        if let Some(peer) = h.peer {
            let _ = write!(out, "\"peer\":\"{}\",\"peer_port\":{},", addr(peer), peer.port);
        }
        let [sent, answered] = h.octets.map_or([None, None], |o| o.map(Some));
        let _ = write!(
            out,
            "\"proto\":{},\"forward\":{},\"from\":{},\"to\":{},\"bytes\":{},\"out_bytes\":{},\
             \"sure\":\"{}\",\"evidence\":\"{}\",\"off_ms\":{}}}",
            h.proto,
            h.is_forward,
            number(h.from_ms),
            number(h.to_ms),
            number(sent),
            number(answered),
            h.sure.name(),
            evidence(h.evidence),
            h.off_ms,
        );
    }
    let _ = write!(out, "],\"degraded\":[");
    for (n, (from, to)) in answer.gaps.iter().enumerate() {
        let _ = write!(out, "{}[{from},{to}]", if n == 0 { "" } else { "," });
    }
    let _ = writeln!(out, "],\"records\":{},\"dropped\":{}}}", answer.matched, answer.dropped);
    out
}
