//! `list`, `check` and `metrics`: what there is.

use super::{Tables, kind_of, print, tell_damaged};
use crate::args::flowprofile::TableFormat;
use crate::cmd::complain;
use crate::exit::Exit;
use output::{Column, ColumnKind, Table, Value};
use profile::{CounterStore, Counters, Counts, Profile, Profiles};
use std::path::Path;
use web::{Format, Kind, Text};

pub(super) fn list(name: &str, profiles: &Profiles, format: TableFormat) -> anyhow::Result<Exit> {
    let text = |name: &'static str, title: &'static str, width| {
        Column::new(name, title, "", ColumnKind::Text).wide(width)
    };
    let time =
        |name: &'static str, title: &'static str| Column::new(name, title, "", ColumnKind::Time);
    let table = Table {
        title: String::new(),
        columns: vec![
            text("profile", "Profile", 20),
            text("channel", "Channel", 14),
            text("type", "Type", 10),
            text("keeps", "Keeps", 14),
            time("first", "First slot"),
            time("last", "Last slot"),
            text("filter", "Filter", 0).for_programs(),
        ],
    };
    let mut tables = Tables::new(kind_of(format));
    tables.table(&table);
    let _ = name;
    for profile in &profiles.profiles {
        let store = CounterStore::new(profiles.stats_dir(profile), profiles.interval);
        let name = profile.to_string();
        let keeps = keeps(profile);
        for channel in &profile.channels {
            let (first, last) = store.window(&channel.name)?.unzip();
            let time = |t: Option<u64>| t.map_or(Value::Nothing, |t| Value::Time(t * 1000));
            let values = [
                Value::Text(&name),
                Value::Text(&channel.name),
                Value::Text(profile.span.kind()),
                Value::Text(&keeps),
                time(first),
                time(last),
                Value::Text(&channel.text),
            ];
            tables.row(&table, &values);
        }
    }
    tables.print()?;
    Ok(Exit::Success)
}

fn keeps(profile: &Profile) -> String {
    let all =
        [(profile.archive, "flows"), (profile.counters, "sums"), (profile.ports > 0, "ports")];
    all.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| *what).collect::<Vec<_>>().join("+")
}

pub(super) fn check(name: &str, profiles: &Profiles, path: &Path) -> anyhow::Result<Exit> {
    let mut exit = Exit::Success;
    for source in profiles.sources.iter().filter(|s| !s.dir.is_dir()) {
        let what = format!("source '{}': {} is no directory", source.name, source.dir.display());
        complain(name, &what);
        exit = Exit::Failure;
    }
    if profiles.profiles.is_empty() {
        complain(name, &format!("{}: no profile is defined: add [[profile]]", path.display()));
        exit = Exit::Failure;
    }
    let mut text = String::new();
    for profile in &profiles.profiles {
        for channel in &profile.channels {
            text.push_str(&format!("{profile} {}: {}\n", channel.name, channel.text));
        }
    }
    print(text.as_bytes())?;
    Ok(exit)
}

/// The last slot of each channel.
pub(super) fn metrics(name: &str, profiles: &Profiles) -> anyhow::Result<Exit> {
    let (mut last, mut damaged) = (Vec::new(), Vec::new());
    for profile in &profiles.profiles {
        let store = CounterStore::new(profiles.stats_dir(profile), profiles.interval);
        for channel in &profile.channels {
            let Some((_, slot)) = store.window(&channel.name)? else { continue };
            damaged.extend(store.read(&channel.name, slot, slot + 1, |sums| {
                last.push((profile.to_string(), channel.name.as_str(), sums));
            })?);
        }
    }
    let mut text = Text::new(Format::Prometheus);
    type Of = fn(&Counts) -> u64;
    let families: [(&str, &str, Of); 3] = [
        ("flowprofile_flows", "Flows of the last slot.", |c| c.flows),
        ("flowprofile_packets", "Packets of the last slot.", |c| c.packets),
        ("flowprofile_bytes", "Octets of the last slot.", |c| c.bytes),
    ];
    for (family, help, value) in families {
        text.begin(family, Kind::Gauge, help);
        for (profile, channel, sums) in &last {
            for (protocol, counts) in Counters::PROTOCOLS.iter().zip(sums.counters.each()) {
                let labels =
                    [("profile", profile.as_str()), ("channel", channel), ("proto", protocol)];
                text.sample(family, Kind::Gauge, &labels, value(&counts) as f64);
            }
        }
    }
    text.family(
        ("flowprofile_slot_timestamp_seconds", Kind::Gauge, "Begin of the last slot."),
        last.iter().map(|(profile, channel, sums)| {
            ([("profile", profile.as_str()), ("channel", *channel)], sums.start as f64)
        }),
    );
    print(text.finish().as_bytes())?;
    Ok(tell_damaged(name, &damaged))
}
