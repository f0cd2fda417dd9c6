//! `--where-lost`, by exporter: what each one sent, what of it is missing, and why.

use super::files::protocol_name;
use output::{Column, ColumnKind, Table, TablePrinter, Value};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use store::loss::{Account, ExporterStatement, Statement};

/// Sums over all statements, by exporter. Numbers of exporters begin anew with each run of a
/// collector, so they do not tell exporters apart.
#[derive(Debug, Default)]
pub(super) struct Exporters {
    all: BTreeMap<(IpAddr, u16, u32), ExporterStatement>,
}

/// A line: a cause, what of the unit came, and what was kept.
struct Line<'a> {
    place: &'a str,
    cause: &'a str,
    lost: u64,
    account: &'a Account,
}

impl Exporters {
    pub(super) fn add(&mut self, statement: &Statement) {
        for e in &statement.exporters {
            match self.all.get_mut(&(e.address, e.version, e.id)) {
                Some(sum) => sum.merge(e),
                None => {
                    self.all.insert((e.address, e.version, e.id), e.clone());
                }
            }
        }
    }

    /// How many lost something.
    pub(super) fn with_losses(&self) -> usize {
        self.all.values().filter(|e| lost_by(e) > 0).count()
    }

    /// A line for each cause, those who lost most first; of `top` exporters, 0 for all.
    pub(super) fn print(&self, top: usize, printer: &mut TablePrinter, text: &mut Vec<u8>) {
        let table = table();
        printer.table(&table, text);
        let mut all: Vec<_> = self.all.values().filter(|e| lost_by(e) > 0).collect();
        // Those who lost as much as others stay in the order of their addresses.
        all.sort_by_key(|e| Reverse(lost_by(e)));
        all.truncate(if top == 0 { usize::MAX } else { top });
        for e in all {
            let (address, protocol) = (e.address.to_string(), protocol_name(e.version.into()));
            for line in lines(e) {
                let sent = line.account.received.saturating_add_signed(line.account.missing.max(0));
                let share = 100.0 * line.lost as f64 / sent.max(1) as f64;
                let row = [
                    Value::Text(&address),
                    Value::Text(&protocol),
                    Value::Number(e.id.into()),
                    Value::Text(line.place),
                    Value::Text(line.cause),
                    Value::Number(line.lost),
                    Value::Percent(share),
                    Value::Text(&line.account.unit),
                    Value::Number(line.account.received),
                    Value::Number(line.account.kept),
                ];
                printer.row(&table, &row, text);
            }
        }
    }
}

fn table() -> Table {
    use ColumnKind::{Number, Percent, Text};
    Table {
        title: String::new(),
        columns: vec![
            Column::new("exporter", "Exporter", "", Text).wide(16),
            Column::new("protocol", "Protocol", "", Text).wide(10),
            Column::new("id", "Id", "", Number).wide(5),
            Column::new("place", "Place", "", Text).wide(9),
            Column::new("cause", "Cause", "", Text).wide(26),
            Column::new("lost", "Lost", "", Number),
            Column::new("share", "%", "%", Percent),
            Column::new("unit", "Unit", "", Text).wide(9),
            Column::new("received", "Received", "", Number),
            Column::new("kept", "Kept", "", Number),
        ],
    }
}

/// What is missing, each cause of a loss, and what the account has no cause for.
fn lines(e: &ExporterStatement) -> Vec<Line<'_>> {
    let mut all = Vec::new();
    for account in &e.accounts {
        let mut add = |place, cause, lost| {
            if lost > 0 {
                all.push(Line { place, cause, lost, account });
            }
        };
        add("network", "Missing by sequence", u64::try_from(account.missing).unwrap_or(0));
        for cause in account.causes.iter().filter(|c| !c.wanted) {
            add(cause.place.name(), &cause.what, cause.count);
        }
        add("collector", "Not accounted for", unexplained(account));
    }
    all
}

fn unexplained(account: &Account) -> u64 {
    u64::try_from(account.balance().max(0)).unwrap_or(u64::MAX)
}

/// Of all units together: only for the order.
fn lost_by(e: &ExporterStatement) -> u64 {
    let all = e.accounts.iter().map(|a| a.all_lost().saturating_add(unexplained(a)));
    all.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use output::{FormatOptions, Kind};
    use store::loss::Place;

    fn exporter(address: &str, number: u32, lost: u64) -> ExporterStatement {
        let datagrams =
            Account { received: 90, missing: 10, kept: 89, ..Account::new("datagrams") }.left(
                Place::Network,
                "Duplicates",
                1,
            );
        let flows = Account { received: 1000, kept: 1000 - lost, ..Account::new("flows") }.lost(
            Place::Disk,
            "Not written",
            lost,
        );
        let address = address.parse().unwrap();
        ExporterStatement { number, address, version: 9, id: 7, accounts: vec![datagrams, flows] }
    }

    fn print(exporters: &Exporters, top: usize) -> String {
        let mut printer = TablePrinter::new(Kind::Csv, &FormatOptions::default());
        let mut text = Vec::new();
        exporters.print(top, &mut printer, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn exporters_add_up_over_runs_and_those_who_lost_most_come_first() {
        let mut all = Exporters::default();
        let mut quiet = exporter("192.0.2.9", 3, 0);
        quiet.accounts.remove(0);
        for list in [
            vec![exporter("192.0.2.1", 1, 2), exporter("192.0.2.2", 2, 500)],
            vec![exporter("192.0.2.1", 2, 3), quiet],
        ] {
            all.add(&Statement { exporters: list, ..Statement::default() });
        }
        let header = "exporter,protocol,id,place,cause,lost,share,unit,received,kept\n";
        let second = "192.0.2.2,netflow v9,7,network,Missing by sequence,10,10.0,datagrams,90,89\n\
                      192.0.2.2,netflow v9,7,disk,Not written,500,50.0,flows,1000,500\n";
        let first = "192.0.2.1,netflow v9,7,network,Missing by sequence,20,10.0,datagrams,180,178\n\
                     192.0.2.1,netflow v9,7,disk,Not written,5,0.2,flows,2000,1995\n";
        assert_eq!(all.with_losses(), 2);
        assert_eq!(print(&all, 0), [header, second, first].concat());
        assert_eq!(print(&all, 1), [header, second].concat());
    }

    #[test]
    fn what_has_no_cause_is_told() {
        let mut odd = exporter("2001:db8::1", 1, 0);
        odd.accounts[1].kept -= 4;
        let mut all = Exporters::default();
        all.add(&Statement { exporters: vec![odd], ..Statement::default() });
        let text = print(&all, 10);
        assert!(text.contains(",collector,Not accounted for,4,0.4,flows,1000,996\n"), "{text}");
    }
}
