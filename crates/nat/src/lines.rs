//! Outcomes as lines of text: nfflowd's 18 columns, and JSON. Lines are appended to a buffer, so
//! that a file, syslog or a pipe may take them.

use crate::entry::Status;
use crate::outcome::{Cause, Outcome, Session};
use crate::translate::{Endpoint, Translation};
use record::Addr;
use record::code::Proto;
use std::io::Write;

/// The names of nfflowd's columns as `flow-export -f2 -m0xFF31EF` writes them.
pub const CSV_HEADER: &str = "#:unix_secs,unix_nsecs,sysuptime,exaddr,dpkts,doctets,first,last,\
srcaddr,dstaddr,nexthop,input,output,srcport,dstport,prot,tos,tcp_flags";

/// What all lines of nfflowd's columns share.
#[derive(Clone, Copy, Debug)]
pub struct CsvConfig {
    /// Address of the exporter.
    pub exporter: Addr,
    /// When the exporter booted, milliseconds since 1970: `first` and `last` count from there and
    /// are 0 for what came before.
    pub boot_ms: u64,
    /// The second flow has no packets and octets.
    pub zero_second: bool,
}

/// Appends the flows of an end or interim outcome in nfflowd's 18 columns: before translation,
/// after it (if translated), the answers. Other outcomes append nothing. Returns the lines.
///
/// `unix_secs` and `unix_nsecs` are `now_ns`, `sysuptime` is `last`. nfflowd knew IPv4 only; for
/// IPv6 the columns have IPv6 addresses.
pub fn csv(outcome: &Outcome, now_ns: u64, config: &CsvConfig, out: &mut Vec<u8>) -> u32 {
    let (Outcome::Interim(session) | Outcome::End(session)) = outcome else { return 0 };
    let Translation { src, dst, xlate_src, xlate_dst, .. } = session.translation;
    let [sent, answered] = session.counters;
    let seen = if config.zero_second { Default::default() } else { sent };
    let uptime = |ns: u64| (ns / 1_000_000).saturating_sub(config.boot_ms);
    let (first, last) = (uptime(session.from_ns), uptime(session.until_ns));
    let is_icmp = Proto(session.proto).is_icmp();
    let answer =
        Endpoint { port: if is_icmp { session.reply_icmp } else { xlate_src.port }, ..xlate_src };
    let ways = [(src, dst, sent), (xlate_src, xlate_dst, seen), (xlate_dst, answer, answered)];
    let mut lines = 0;
    for (n, (from, to, counter)) in ways.into_iter().enumerate() {
        if n == 1 && !session.translation.is_some() {
            continue;
        }
        // Writing to a Vec cannot fail.
        let _ = writeln!(
            out,
            "{},{},{last},{},{},{},{first},{last},{},{},{},0,0,{},{},{},0,0",
            now_ns / 1_000_000_000,
            now_ns % 1_000_000_000,
            config.exporter,
            counter.packets,
            counter.octets,
            from.addr,
            to.addr,
            if matches!(from.addr, Addr::V4(_)) { "0.0.0.0" } else { "::" },
            if is_icmp { 0 } else { from.port },
            to.port,
            session.proto,
        );
        lines += 1;
    }
    lines
}

/// Appends an outcome as one line of JSON. Times are milliseconds since 1970 with a fraction.
pub fn json(outcome: &Outcome, out: &mut Vec<u8>) {
    let _ = match outcome {
        Outcome::Begin(session) => json_session("begin", session, out),
        Outcome::Interim(session) => json_session("interim", session, out),
        Outcome::End(session) => json_session("end", session, out),
        Outcome::Degraded(gap) => writeln!(
            out,
            "{{\"type\":\"degraded\",\"from\":{},\"to\":{},\"overruns\":{}}}",
            Millis(gap.from_ns),
            Millis(gap.to_ns),
            gap.overruns
        ),
    };
}

/// All values are numbers, addresses or names from tables: nothing needs escaping.
fn json_session(kind: &str, session: &Session, out: &mut Vec<u8>) -> std::io::Result<()> {
    let Translation { src, dst, xlate_src, xlate_dst, .. } = session.translation;
    write!(
        out,
        "{{\"type\":\"{kind}\",\"nat\":\"{}\",\"sure\":\"{}\",\"cause\":\"{}\",\"start\":{}",
        session.translation.kind().name(),
        session.sure.name(),
        session.cause.name(),
        Millis(session.start_ns),
    )?;
    if session.cause != Cause::Begun {
        write!(
            out,
            ",\"from\":{},\"last\":{},\"held\":{},\"estimated\":{}",
            Millis(session.from_ns),
            Millis(session.until_ns),
            Millis(session.held_ns),
            session.is_estimated,
        )?;
    }
    write!(out, ",\"proto\":{}", session.proto)?;
    let ends = [("src", src), ("dst", dst), ("xlate_src", xlate_src), ("xlate_dst", xlate_dst)];
    for (name, end) in ends {
        write!(out, ",\"{name}\":\"{}\",\"{name}_port\":{}", end.addr, end.port)?;
    }
    if session.has_counters && session.cause != Cause::Begun {
        let [sent, answered] = session.counters;
        write!(
            out,
            ",\"packets\":{},\"bytes\":{},\"out_packets\":{},\"out_bytes\":{}",
            sent.packets, sent.octets, answered.packets, answered.octets,
        )?;
    }
    let Session { id, zone, mark, labels, status, .. } = session;
    write!(out, ",\"id\":{id},\"zone\":{zone},\"mark\":{mark},\"status\":{}", status.0)?;
    for (name, bit) in [("expected", Status::EXPECTED), ("offloaded", Status::OFFLOAD)] {
        if status.has(bit) {
            write!(out, ",\"{name}\":true")?;
        }
    }
    if *labels != 0 {
        write!(out, ",\"labels\":\"{labels:#x}\"")?;
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Nanoseconds as milliseconds with microseconds.
struct Millis(u64);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}
