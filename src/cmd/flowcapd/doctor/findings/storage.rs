//! From the decoder to the reader: room, rights, files that grow and can be read.

use super::super::observed::{Directory, Observed, Told, Watch};
use super::{Step, count, span};

/// Step 8: can files be written at all?
pub(super) fn disk(seen: &Observed, step: &mut Step<'_>) {
    const FULL: u64 = 1 << 20;
    const LITTLE: u64 = 1 << 30;
    const FEW: u64 = 1000;
    for directory in &seen.directories {
        let path = directory.path.display();
        if let Some(trouble) = directory.trouble.as_ref().filter(|_| directory.is_hidden) {
            step.unclear(
                format!("directory {path} cannot be looked at: {trouble}"),
                "run as root, or as a user who may read it",
            );
            continue;
        }
        if let Some(trouble) = &directory.trouble {
            step.bad(
                format!("directory {path} cannot be looked at: {trouble}"),
                "see that it exists, is mounted, and may be entered",
            );
            continue;
        }
        if let Some(refusal) = &directory.refusal {
            step.bad(
                format!("the collector may not write to {path}: {refusal}"),
                &format!("give its user the right: chown USER {path}"),
            );
        }
        match directory.space {
            None => step.unclear(format!("the system does not tell the room at {path}"), ""),
            Some(space) if space.free < FULL => step.bad(
                format!("the disk of {path} is full: {} KiB are free", space.free >> 10),
                &format!("make room: flowexpire -s SIZE -u {path}, or -e for the collector"),
            ),
            Some(space) if space.free_files == 0 => step.bad(
                format!("the disk of {path} takes no more files: it is out of inodes"),
                "make fewer files: longer slots (-t), or expire old ones with flowexpire",
            ),
            Some(space) => {
                let mebibytes = space.free >> 20;
                let percent = space.free / (space.size / 100).max(1);
                let found = format!("{mebibytes} MiB ({percent} %) are free at {path}");
                match space.free < LITTLE || space.free_files < FEW {
                    true => {
                        step.poor(found, "let files expire: flowexpire, or -e for the collector")
                    }
                    false => step.good(found),
                }
            }
        }
    }
    if let Told::Status(status) = &seen.told {
        for complaint in &status.complaints {
            step.bad(format!("the collector complains: {complaint}"), "see its log");
        }
        if status.flows_lost > 0 && status.complaints.is_empty() {
            step.poor(
                format!(
                    "{} could not be written since it started",
                    count(status.flows_lost, "flow")
                ),
                "flowdump --where-lost on the directory says when",
            );
        }
    }
}

/// Step 8: do files come and grow?
pub(super) fn files(seen: &Observed, step: &mut Step<'_>) {
    let is_running = !seen.sockets.is_empty();
    let kept: u64 = match &seen.watch {
        Watch::Seen(watch) => {
            let taken = watch.senders.iter().filter(|s| s.is_for_us && s.is_allowed && s.is_listed);
            taken.map(|s| s.kept).sum()
        }
        _ => 0,
    };
    let late = 2 * u64::from(seen.plan.interval) + 60;
    for directory in seen.directories.iter().filter(|d| d.trouble.is_none()) {
        let Directory { newest, open, has_grown, is_cut_short, .. } = directory;
        let path = directory.path.display();
        let records: u64 = open.iter().map(|o| o.2).sum();
        let newest = newest.as_ref().map_or_else(
            || "no finished file yet".to_owned(),
            |(path, len, age)| {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
                let name = name.unwrap_or_default();
                format!("newest file {name}, {len} octets, written {} ago", span(*age))
            },
        );
        let open_now = match open.len() {
            0 => "none is being written".to_owned(),
            n => format!("{} being written, {}", count(n as u64, "file"), count(records, "record")),
        };
        let found = format!("{path}: {newest}; {open_now}");
        let age = open.iter().map(|o| o.3).chain(directory.newest.iter().map(|n| n.2)).min();
        if is_running && open.is_empty() && kept > 0 {
            step.poor(
                format!("{found}, though flows arrive"),
                "see whether the collector that runs writes to this directory, and its log",
            );
        } else if is_running && age.is_some_and(|age| age > late) {
            step.poor(
                format!("{found}: nothing was written for {}", span(age.unwrap_or(0))),
                "see whether exporters went silent then, and the collector's log",
            );
        } else if kept > 0 && is_running && !has_grown {
            step.poor(
                format!("{found}; it has not grown, though flows arrive"),
                "watch longer; see /healthz and the collector's log",
            );
        } else {
            step.good(found);
        }
        if *is_cut_short {
            step.poor(
                format!("{path} has more entries than the doctor looks at"),
                "sub directories by day (-S 1) keep directories small",
            );
        }
    }
}

/// Step 9: can flowdump read them?
pub(super) fn reading(seen: &Observed, step: &mut Step<'_>) {
    for directory in &seen.directories {
        let (Some((path, ..)), Some(result)) = (&directory.newest, &directory.readable) else {
            continue;
        };
        let path = path.display();
        match result {
            Ok(flows) => step.good(format!("{path} is sound: {}", count(*flows, "flow"))),
            Err(why) => step.bad(
                format!("{path} is damaged: {why}"),
                "flowdump --verify FILE says where, flowdump --repair FILE saves what is whole",
            ),
        }
    }
    if seen.directories.iter().all(|d| d.newest.is_none()) && !seen.directories.is_empty() {
        step.unclear(
            "there is no finished file to read",
            "the first has its name at the end of the slot; until then: flowdump -r nfcapd.current.*",
        );
    }
}
