//! What is in what arrives: whose it is, whether it can be decoded, whether it is wanted, and when it
//! is from.

use super::super::observed::{Exporter, Observed, Sender, Status, Told, Watch};
use super::{Step, count, few, span};

fn senders(seen: &Observed) -> impl Iterator<Item = &Sender> + Clone {
    let all = match &seen.watch {
        Watch::Seen(watch) => watch.senders.as_slice(),
        _ => &[],
    };
    all.iter().filter(|s| s.is_for_us && s.datagrams > s.garbage)
}

fn status(seen: &Observed) -> Option<&Status> {
    match &seen.told {
        Told::Status(status) => Some(status),
        _ => None,
    }
}

fn address(sender: &Sender) -> String {
    sender.address.map_or_else(|| "somebody".to_owned(), |a| a.to_string())
}

/// Step 5: does the collector take them?
pub(super) fn exporters(seen: &Observed, step: &mut Step<'_>) {
    match &seen.told {
        Told::NotServed => step.unclear(
            "the collector does not serve its status",
            "start it with --http to have its counts by cause",
        ),
        Told::Silent(why) => step.poor(
            format!("the collector does not tell its status: {why}"),
            "see whether it hangs, and whether --http is the same here and there",
        ),
        Told::Status(status) => step.good(format!(
            "the collector at {} knows {}, has received {} and decoded {}",
            status.address,
            count(status.exporters.len() as u64, "exporter"),
            count(status.received, "datagram"),
            count(status.flows, "flow"),
        )),
    }
    let refused: Vec<&Sender> = senders(seen).filter(|s| !s.is_allowed).collect();
    let unlisted: Vec<&Sender> = senders(seen).filter(|s| s.is_allowed && !s.is_listed).collect();
    let others = senders(seen).count() - refused.len() - unlisted.len();
    let allow = seen.plan.allow.join(", ");
    for (which, option, found) in [
        (refused, "--allow", format!("the allow-list (--allow {allow}) does not have them")),
        (unlisted, "-n", "no source (-n) is for them".to_owned()),
    ] {
        if which.is_empty() {
            continue;
        }
        let found =
            format!("exports of {} are refused: {found}", few(which.iter().map(|s| address(s))));
        let next = format!("add the address to {option}, or ignore them if they are not wanted");
        match others {
            0 => step.bad(found, &next),
            _ => step.poor(found, &next),
        }
    }
    let Some(status) = status(seen) else { return };
    let is_told = senders(seen).any(|s| !s.is_allowed || !s.is_listed);
    for (n, option, what) in [
        (status.not_allowed, "--allow", "not on the allow-list"),
        (status.unknown_sender, "-n", "for whom there is no source"),
    ] {
        if n == 0 || is_told {
            continue;
        }
        let found = format!("{} came from senders {what}", count(n, "datagram"));
        let next = format!("see the collector's log for their addresses, and {option}");
        match n >= status.received {
            true => step.bad(found, &next),
            false => step.poor(found, &next),
        }
    }
    if status.refused > 0 {
        step.poor(
            format!(
                "{} refused: as many exporters as the limit",
                count(status.refused, "datagram")
            ),
            "see --max-exporters, and whether addresses are forged",
        );
    }
    if status.bad > 0 {
        step.poor(
            format!("{} could not be read", count(status.bad, "datagram")),
            "flowdump --where-lost=exporters on the directory says whose and why",
        );
    }
}

/// Step 5: can it be decoded?
pub(super) fn templates(seen: &Observed, step: &mut Step<'_>) {
    const NEXT: &str = "have the exporter send templates each minute (Cisco: template data timeout \
                        60); until then its data wait";
    if let Some(status) = status(seen) {
        let waiting = |e: &&Exporter| e.waiting_sets + e.dropped_sets > 0;
        let name = |e: &Exporter| format!("{} ({})", e.address, e.protocol);
        let blind: Vec<_> =
            status.exporters.iter().filter(waiting).filter(|e| e.flows == 0).collect();
        if !blind.is_empty() {
            return step.bad(
                format!(
                    "data of {} arrive without a template, so nothing of them can be decoded",
                    few(blind.iter().map(|e| name(e)))
                ),
                NEXT,
            );
        }
        let partly: Vec<_> = status.exporters.iter().filter(waiting).collect();
        if !partly.is_empty() {
            return step.poor(
                format!("some data of {} have no template", few(partly.iter().map(|e| name(e)))),
                NEXT,
            );
        }
        return step.good("no data wait for a template");
    }
    let blind: Vec<_> = senders(seen).filter(|s| s.waiting_sets > 0).collect();
    if blind.is_empty() {
        match senders(seen).next() {
            Some(_) => step.good("what was watched can be decoded"),
            None => step.unclear("nothing was seen to be decoded", ""),
        }
        return;
    }
    let who = few(blind.iter().map(|s| address(s)));
    let is_all = blind.iter().all(|s| s.flows == 0);
    if is_all && seen.plan.has_directory {
        step.bad(
            format!(
                "data of {who} arrive without a template, which the collector does not know from \
                 before, so nothing of them can be decoded"
            ),
            NEXT,
        );
    } else {
        step.poor(format!("some data of {who} have no template that was seen"), NEXT);
    }
}

/// Step 5: is it wanted?
pub(super) fn filter(seen: &Observed, step: &mut Step<'_>) {
    let Some(text) = &seen.plan.filter else {
        if let Some(Status { flows, filtered: n @ 1.., .. }) = status(seen) {
            step.poor(
                format!("the collector's filter left out {n} of {flows} flows"),
                "see its -F",
            );
        }
        return;
    };
    let (flows, kept) = match status(seen) {
        Some(s) if s.flows > 0 => (s.flows, s.flows.saturating_sub(s.filtered)),
        _ => senders(seen).fold((0, 0), |sum, s| (sum.0 + s.flows, sum.1 + s.kept)),
    };
    match (flows, kept) {
        (0, _) => step.unclear(format!("-F '{text}': no flow came to try it with"), ""),
        (_, 0) => step.bad(
            format!("the filter -F '{text}' keeps none of {}", count(flows, "flow")),
            "try it on a file that has everything: flowdump -r FILE 'FILTER', or leave out -F",
        ),
        _ => step.good(format!("-F '{text}' keeps {kept} of {}", count(flows, "flow"))),
    }
}

/// Step 5: are numbers scaled as they should be?
pub(super) fn sampling(seen: &Observed, step: &mut Step<'_>) {
    let announced: Vec<String> = match status(seen) {
        Some(status) => {
            let told = status.exporters.iter().filter(|e| e.samplers > 0);
            told.map(|e| e.address.clone()).collect()
        }
        None => senders(seen).filter(|s| s.samplers > 0).map(address).collect(),
    };
    let n = announced.len() as u64;
    let who = few(announced);
    match (seen.plan.sampling, n) {
        (Some(rate), 1..) if rate < 0 => step.poor(
            format!("-s {rate} takes the place of what {who} announce"),
            &format!("-s {} would leave that alone", rate.unsigned_abs()),
        ),
        (Some(rate), _) => {
            let rate = rate.unsigned_abs();
            step.good(format!("1:{rate} by -s; {} a rate", announce(n, &who)));
        }
        (None, 1..) => step.good(format!("{} a rate", announce(n, &who))),
        (None, _) => step.good(
            "no exporter announces sampling; of one that samples all the same, numbers are too small \
             until -s RATE says so",
        ),
    }
}

fn announce(n: u64, who: &str) -> String {
    match n {
        0 => "no exporter announces".to_owned(),
        1 => format!("{who} announces"),
        _ => format!("{who} announce"),
    }
}

/// Step 6: is something lost on the way in?
pub(super) fn losses(seen: &Observed, step: &mut Step<'_>) {
    let now: u64 = seen.sockets.iter().map(|s| s.dropped_now).sum();
    let all: u64 = seen.sockets.iter().map(|s| s.dropped).sum();
    let limit = seen.plan.buffer_limit.map_or_else(String::new, |n| format!(" (now {n})"));
    let asked = seen.plan.buffer;
    let next = format!(
        "raise net.core.rmem_max{limit} and -B (now {asked}), or give --receivers 2; see operations.md"
    );
    match (now, all) {
        (1.., _) => step.bad(
            format!(
                "the kernel dropped {} in {} because the receive buffer was full",
                count(now, "datagram"),
                super::secs(seen)
            ),
            &next,
        ),
        (0, 1..) => step.poor(
            format!(
                "the kernel has dropped {} since the socket was opened, none while watched",
                count(all, "datagram")
            ),
            &next,
        ),
        _ if seen.sockets.is_empty() => {}
        _ => step.good("the kernel has dropped nothing at the collector's sockets"),
    }
    let missing: Vec<String> = match status(seen) {
        Some(status) => status
            .exporters
            .iter()
            .filter(|e| e.missing > 0)
            .map(|e| format!("{} ({} of {})", e.address, e.missing, e.protocol))
            .collect(),
        None => senders(seen)
            .filter(|s| s.missing > 0)
            .map(|s| format!("{} ({})", address(s), s.missing))
            .collect(),
    };
    if !missing.is_empty() {
        step.poor(
            format!("sequence numbers say that exports are missing: {}", few(missing)),
            "if the kernel dropped none, they are lost in the network or in the exporter: flowdump \
             --where-lost on the directory",
        );
    }
}

/// Step 7: do the clocks agree?
pub(super) fn clock(seen: &Observed, step: &mut Step<'_>) {
    const POOR_MS: u64 = 60_000;
    const BAD_MS: u64 = 10 * 60_000;
    let told = senders(seen).filter_map(|s| Some((s, s.skew_ms?)));
    let worst = told.clone().max_by_key(|(_, skew)| skew.unsigned_abs());
    let is_ours = told.clone().count() > 1
        && told.clone().all(|(_, skew)| skew.unsigned_abs() > POOR_MS)
        && (told.clone().all(|t| t.1 > 0) || told.clone().all(|t| t.1 < 0));
    match worst {
        None => {}
        Some((sender, skew)) => {
            let (who, by) = (address(sender), span(skew.unsigned_abs() / 1000));
            let way = if skew < 0 { "behind" } else { "ahead of" };
            let whose = if is_ours {
                "; as all exporters differ, it may be ours that is wrong"
            } else {
                ""
            };
            let found = format!("the clock of {who} is {by} {way} that of this machine{whose}");
            let next = "set both by NTP: flows have the times of the exporter, so queries by time \
                        miss them";
            match skew.unsigned_abs() {
                BAD_MS.. => step.bad(found, next),
                POOR_MS.. => step.poor(found, next),
                _ => step.good(format!("exporters' clocks agree with ours to {by}")),
            }
        }
    }
    if !seen.zone.is_empty() {
        step.good(format!("files are named in local time, which is UTC{}", seen.zone));
    }
    let odd: Vec<_> = senders(seen).filter(|s| s.odd_uptimes > 0).map(address).collect();
    if !odd.is_empty() {
        step.poor(
            format!("flows of {} have uptimes that do not fit their export", few(odd)),
            "they are dated by their export; update or restart the exporter",
        );
    }
}
