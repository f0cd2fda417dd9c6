//! `ports`: which ports are used most, in a slot and in the hours until its end.

use super::{Tables, find, kind_of, shown};
use crate::args::flowprofile::{Order, Ports};
use crate::cmd::{complain, complain_of, moment};
use crate::exit::Exit;
use anyhow::{bail, ensure};
use output::{Column, ColumnKind, Table, Value};
use profile::{PortStore, PortTable, Profiles, Transport};

pub(super) fn ports(name: &str, profiles: &Profiles, ports: &Ports) -> anyhow::Result<Exit> {
    let Some(profile) = profiles.profiles.get(find(profiles, &ports.profile)?) else {
        return Ok(Exit::Failure);
    };
    ensure!(profile.ports > 0, "profile {profile} keeps no ports: define `ports = DAYS`");
    let interval = u64::from(profiles.interval);
    let store = PortStore::new(&profiles.stats_dir(profile), profiles.interval);
    let slots = store.slots()?;
    let slot = match &ports.time {
        Some(text) => {
            let secs = moment::parse(text)? / 1000;
            let found = slots.iter().find(|s| (**s..**s + interval).contains(&secs));
            match found {
                Some(slot) => *slot,
                None => bail!("no ports are kept of {}", shown(secs)),
            }
        }
        None => match slots.last() {
            Some(slot) => *slot,
            None => {
                complain(name, &format!("no ports of profile {profile} have been counted"));
                return Ok(Exit::Success);
            }
        },
    };
    let end = slot + interval;
    let mut tables = Tables::new(kind_of(ports.output));
    let mut exit = Exit::Success;
    let mut table = PortTable::default();
    let windows = [
        ("slot".to_owned(), slot),
        (format!("{}h", ports.hours), end.saturating_sub(ports.hours * 3600)),
    ];
    for (window, from) in windows {
        table.clear();
        let read = store.read(from, end, &mut table)?;
        for path in &read.damaged {
            complain_of(
                name,
                path,
                "it is damaged and left out: flowprofile build --again makes it anew",
            );
            exit = Exit::Incomplete;
        }
        let when = format!("{} to {}, {} slots", shown(from), shown(end), read.slots.len());
        for order in &ports.by {
            for of in Transport::ALL {
                add(&mut tables, &table, &window, &when, of, *order, ports.top);
            }
        }
    }
    tables.print()?;
    Ok(exit)
}

fn add(
    tables: &mut Tables,
    ports: &PortTable,
    window: &str,
    when: &str,
    of: Transport,
    order: Order,
    top: usize,
) {
    let (by, order) = match order {
        Order::Flows => (0, "flows"),
        Order::Packets => (1, "packets"),
        Order::Bytes => (2, "bytes"),
    };
    let found = ports.top(of, by, if top == 0 { usize::MAX } else { top });
    let text = |name: &'static str| Column::new(name, "", "", ColumnKind::Text).for_programs();
    let number = |name: &'static str, title: &'static str, unit| {
        Column::new(name, title, unit, ColumnKind::Number)
    };
    let table = Table {
        title: format!("Top {} {} ports by {order}, {when}:", found.len(), of.name()),
        columns: vec![
            text("window"),
            text("proto"),
            text("order"),
            number("rank", "", "").for_programs(),
            Column::new("port", "Port", "", ColumnKind::Text).wide(6),
            number("flows", "Flows", ""),
            number("packets", "Packets", ""),
            number("bytes", "Bytes", "B"),
        ],
    };
    // One header line does for programs.
    if !tables.printer.has_rows() || tables.is_text() {
        tables.table(&table);
    }
    for (rank, port) in found.iter().enumerate() {
        let number = port.port.to_string();
        let [flows, packets, bytes] = port.counts.map(Value::Number);
        let values = [
            Value::Text(window),
            Value::Text(of.name()),
            Value::Text(order),
            Value::Number(rank as u64 + 1),
            Value::Text(&number),
            flows,
            packets,
            bytes,
        ];
        tables.row(&table, &values);
    }
}
