//! Statements: what is asked, and the columns of the answer.

use super::order::{Terms, ranked};
use super::predicate::{address, column, duration, of as predicate};
use super::{Engine, Source, SqlError, Window};
use crate::schema::{self, Type};
use filter::Expr;
use query::{By, Direction, Grouping, KeyPart, KeySpec, Sorting, opposite};
use record::Field;
use std::fmt::Write as _;

/// Which flows are asked for, of whom.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Whose SQL it is.
    pub engine: Engine,
    /// Where the flows are.
    pub source: &'a Source,
    /// A flow is asked for if all of these let it through.
    pub filters: Vec<&'a Expr>,
    /// Times that the filters ask for: partitions of other days are left out. Half a day is allowed
    /// for flows that end before they start.
    pub window: Window,
}

/// What is asked about them.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// The flows themselves.
    List {
        /// Fields that are to be known; `None`: all.
        fields: Option<&'a [Field]>,
        /// Their order; by their start if there is none.
        sorting: Option<Sorting>,
    },
    /// Flows joined by a key.
    Joined {
        /// The key.
        grouping: &'a Grouping,
        /// Fields that are to be known; `None`: all. Those that are neither in the key nor sums are
        /// of the first flow of each group.
        fields: Option<&'a [Field]>,
        /// Their order.
        sorting: Option<Sorting>,
    },
    /// Values of an element with their sums.
    Values {
        /// What is counted.
        by: &'a By,
        /// Their order.
        sorting: Sorting,
    },
    /// The sums over all flows.
    Totals,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its text, without an end.
    pub sql: String,
    /// The columns of its rows.
    pub columns: Vec<Column>,
}

/// One column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The field whose value it has; `None` for the number of records, which is no field.
    pub field: Option<Field>,
    /// How the value is written.
    pub shape: Shape,
}

/// How a value of an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number.
    Number,
    /// An address of IPv4 as a number.
    Addr4,
    /// An address of IPv6 in hexadecimal.
    Addr6,
    /// A MAC address in hexadecimal.
    Mac,
    /// Octets or text in hexadecimal.
    Octets,
}

/// A column of a statement: its expression, and what comes of it.
pub(super) struct Selected {
    pub(super) expression: String,
    pub(super) column: Column,
}

impl Selected {
    pub(super) fn new(
        expression: String,
        name: impl Into<String>,
        field: Field,
        shape: Shape,
    ) -> Self {
        Self { expression, column: Column { name: name.into(), field: Some(field), shape } }
    }

    fn text(&self) -> String {
        match self.expression == self.column.name {
            true => self.expression.clone(),
            false => format!("{} AS {}", self.expression, self.column.name),
        }
    }
}

/// Counters: name in rows, expression of a row, name of the sum, field.
const COUNTERS: [(&str, &str, &str, Field); 5] = [
    ("flow_count", "GREATEST(COALESCE(flows, 1), 1)", "n_flows", Field::Flows),
    ("packet_count", "packets", "n_packets", Field::Packets),
    ("octet_count", "bytes", "n_bytes", Field::Bytes),
    ("out_packet_count", "out_packets", "n_out_packets", Field::OutPackets),
    ("out_octet_count", "out_bytes", "n_out_bytes", Field::OutBytes),
];

impl Question<'_> {
    /// The statement for the first `n` rows (0: all).
    ///
    /// # Errors
    ///
    /// [`SqlError`] names what engines cannot be asked.
    pub fn statement(&self, asked: &Asked<'_>, n: usize) -> Result<Statement, SqlError> {
        let mut statement = match asked {
            Asked::List { fields, sorting } => self.list(*fields, *sorting)?,
            Asked::Joined { grouping, fields, sorting } => {
                self.joined(grouping, *fields, *sorting)?
            }
            Asked::Values { by, sorting } => self.values(by, *sorting)?,
            Asked::Totals => return self.totals(),
        };
        if n > 0 {
            let _ = write!(statement.sql, "\nLIMIT {n}"); // text takes all
        }
        Ok(statement)
    }

    /// FROM and WHERE, and what else has to be true.
    fn of_flows(&self, also: Option<&str>) -> Result<String, SqlError> {
        let mut all = self.pruned();
        for filter in &self.filters {
            match predicate(self.engine, filter)? {
                text if text == "TRUE" => {}
                text => all.push(text),
            }
        }
        all.extend(also.map(str::to_owned));
        let from = self.engine.from(self.source)?;
        Ok(match all.is_empty() {
            true => format!("FROM {from}"),
            false => format!("FROM {from}\nWHERE {}", all.join("\n  AND ")),
        })
    }

    /// Days outside of which no flow is asked for.
    fn pruned(&self) -> Vec<String> {
        const HALF_DAY_MS: u64 = 43_200_000;
        if !matches!(self.source, Source::Dataset { is_tree: true, .. }) {
            return Vec::new();
        }
        let from = self.window.from_ms.map(|ms| format!("date >= {}", Engine::day(ms)));
        let until = self.window.until_ms.map(|ms| ms.saturating_add(HALF_DAY_MS));
        let until = until.map(|ms| format!("date <= {}", Engine::day(ms)));
        from.into_iter().chain(until).collect()
    }

    fn list(
        &self,
        fields: Option<&[Field]>,
        sorting: Option<Sorting>,
    ) -> Result<Statement, SqlError> {
        let engine = self.engine;
        let columns: Vec<Selected> =
            known(fields).into_iter().flat_map(|f| as_stored(engine, f)).collect();
        let mut order = Vec::new();
        if let Some(sorting) = sorting {
            let names = COUNTERS.map(|(_, row, ..)| format!("COALESCE({row}, 0)"));
            let (first, last) = (engine.millis("flow_start"), engine.millis("flow_end"));
            let span = duration(engine, "flow_start", "flow_end");
            order.push(ranked(engine, sorting, &Terms { counters: names, first, last, span }));
        }
        order.extend(
            ["flow_start", "flow_end", "src_addr", "dst_addr", "src_port", "dst_port"]
                .map(str::to_owned),
        );
        let sql = format!(
            "SELECT {}\n{}\nORDER BY {}",
            listed(&columns),
            self.of_flows(None)?,
            order.join(", ")
        );
        Ok(Statement { sql, columns: columns.into_iter().map(|c| c.column).collect() })
    }

    fn totals(&self) -> Result<Statement, SqlError> {
        let engine = self.engine;
        let mut columns = vec![Selected {
            expression: "COUNT(*)".to_owned(),
            column: Column { name: "n_records".to_owned(), field: None, shape: Shape::Number },
        }];
        columns.extend(
            COUNTERS.map(|(_, row, sum, field)| {
                Selected::new(engine.sum(row), sum, field, Shape::Number)
            }),
        );
        columns.extend(times(&engine.millis("flow_start"), &engine.millis("flow_end")));
        let sql = format!("SELECT {}\n{}", listed(&columns), self.of_flows(None)?);
        Ok(Statement { sql, columns: columns.into_iter().map(|c| c.column).collect() })
    }

    fn values(&self, by: &By, sorting: Sorting) -> Result<Statement, SqlError> {
        let specs = by.keys();
        let parts = specs.iter().map(|spec| self.keys(spec)).collect::<Result<Vec<_>, _>>()?;
        let mut selects = Vec::new();
        for (spec, keys) in specs.iter().zip(&parts) {
            let missing = spec.parts().first().filter(|_| spec.needs_field());
            let is_there =
                missing.and_then(|p| column(p.field)).map(|c| format!("{c} IS NOT NULL"));
            selects.push(self.rows(keys, counters_of_rows(), &[], is_there.as_deref())?);
        }
        let keys = parts.into_iter().next().unwrap_or_default();
        Ok(self.summed(keys, Vec::new(), &selects.join("\nUNION ALL\n"), Some(sorting)))
    }

    fn joined(
        &self,
        grouping: &Grouping,
        fields: Option<&[Field]>,
        sorting: Option<Sorting>,
    ) -> Result<Statement, SqlError> {
        if grouping.merges_directions() {
            return self.conversations(grouping, fields, sorting);
        }
        let keys = self.keys(&grouping.key)?;
        let is_in_key = |f: Field| grouping.key.parts().iter().any(|p| p.field == f);
        let mut others = known(fields);
        others.retain(|f| !is_in_key(*f) && !is_sum(*f) && !grouping.is_custom);
        let mut beside = self.flags(&mut others);
        if !others.is_empty() {
            return self.first_rows(keys, beside, &others, sorting, Ways::One);
        }
        let mut of_row = Vec::new();
        if !beside.is_empty() {
            of_row.push("tcp_flags AS flags_of_row");
        }
        // The destination port of ICMP is shown as type and code: its printer has to know.
        if is_in_key(Field::DstPort) && !is_in_key(Field::Proto) {
            let of_first = self.engine.where_least("proto_of_row", "received_at");
            beside.push(Selected::new(of_first, "its_proto", Field::Proto, Shape::Number));
            of_row.extend(["proto AS proto_of_row", "received AS received_at"]);
        }
        let rows = self.rows(&keys, counters_of_rows(), &of_row, None)?;
        Ok(self.summed(keys, beside, &rows, sorting))
    }

    /// Both directions of a conversation in one: keys are those of the end that compares less, and
    /// the first row says which way the sums run.
    fn conversations(
        &self,
        grouping: &Grouping,
        fields: Option<&[Field]>,
        sorting: Option<Sorting>,
    ) -> Result<Statement, SqlError> {
        let parts = grouping.key.parts();
        let turned = parts.iter().map(|p| KeyPart::whole(opposite(p.field))).collect();
        let (own, other) = (self.keys(&grouping.key)?, self.keys(&KeySpec::new(turned))?);
        let is_turned = is_turned(self.engine);
        let either = |(mut own, other): (Selected, Selected)| {
            own.expression = either(&is_turned, &own.expression, &other.expression);
            own
        };
        let keys = own.into_iter().zip(other).map(either).collect();
        let mut others = known(fields);
        others.extend(parts.iter().map(|p| p.field));
        if grouping.direction == Direction::Guessed {
            // Whoever turns a flow round has to know both ends.
            others.extend(others.clone().into_iter().map(opposite));
        }
        others.retain(|f| !is_sum(*f));
        others.sort_unstable();
        others.dedup();
        let flags = self.flags(&mut others);
        self.first_rows(keys, flags, &others, sorting, Ways::Both)
    }

    /// Takes TCP flags out of the fields: those of a group are all that were seen.
    fn flags(&self, fields: &mut Vec<Field>) -> Vec<Selected> {
        let has_flags = fields.contains(&Field::TcpFlags);
        fields.retain(|f| *f != Field::TcpFlags);
        let all = self.engine.any_bits("flags_of_row");
        let flags = Selected::new(all, "tcp_flags", Field::TcpFlags, Shape::Number);
        has_flags.then_some(flags).into_iter().collect()
    }

    /// Rows with keys and counters.
    fn rows(
        &self,
        keys: &[Selected],
        counters: [String; 5],
        beside: &[&str],
        also: Option<&str>,
    ) -> Result<String, SqlError> {
        let mut columns: Vec<String> = keys.iter().map(Selected::text).collect();
        columns.extend(counters);
        columns.push(format!("{} AS start_ms", self.engine.millis("flow_start")));
        columns.push(format!("{} AS end_ms", self.engine.millis("flow_end")));
        columns.extend(beside.iter().map(|b| (*b).to_owned()));
        Ok(format!("SELECT {}\n{}", columns.join(", "), self.of_flows(also)?))
    }

    /// Rows summed up by their keys.
    fn summed(
        &self,
        keys: Vec<Selected>,
        beside: Vec<Selected>,
        rows: &str,
        sorting: Option<Sorting>,
    ) -> Statement {
        let names: Vec<&str> = keys.iter().map(|k| k.column.name.as_str()).collect();
        let mut columns: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let sums = self.sums("");
        columns.extend(sums.iter().chain(&beside).map(Selected::text));
        let by = match names.is_empty() {
            // Nothing is summed where there is nothing.
            true => "HAVING COUNT(*) > 0".to_owned(),
            false => format!("GROUP BY {}", names.join(", ")),
        };
        let order = self.order_of_sums(sorting, &names);
        let sql = format!(
            "SELECT * FROM (\nSELECT {}\nFROM (\n{rows}\n) AS flow_rows\n{by}\n) AS sums\nORDER BY {order}",
            columns.join(", "),
        );
        let columns = keys.into_iter().chain(sums).chain(beside).map(|c| c.column);
        Statement { sql, columns: columns.collect() }
    }

    /// The first row of each key, with the sums of all.
    fn first_rows(
        &self,
        keys: Vec<Selected>,
        flags: Vec<Selected>,
        others: &[Field],
        sorting: Option<Sorting>,
        ways: Ways,
    ) -> Result<Statement, SqlError> {
        let engine = self.engine;
        let others: Vec<Selected> =
            others.iter().flat_map(|f| as_stored(engine, *f)).map(beside_sums).collect();
        let beside: Vec<String> = others.iter().map(Selected::text).collect();
        let mut beside: Vec<&str> = beside.iter().map(String::as_str).collect();
        beside.extend(["received AS received_at", "tcp_flags AS flags_of_row"]);
        let is_turned = format!("{} AS is_turned", either(&is_turned(engine), "0", "1"));
        let counters = match ways {
            Ways::One => counters_of_rows(),
            Ways::Both => {
                beside.push(&is_turned);
                counters_either_way(engine)
            }
        };
        let rows = self.rows(&keys, counters, &beside, None)?;
        let names: Vec<String> = keys.iter().map(|k| k.column.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let over = format!(" OVER (PARTITION BY {})", names.join(", "));
        let mut sums = match ways {
            Ways::One => self.sums(&over),
            Ways::Both => self.sums_as_first(&over),
        };
        sums.extend(
            flags.into_iter().map(|f| Selected {
                expression: format!("{}{over}", f.expression),
                column: f.column,
            }),
        );
        let all = keys.iter().chain(&others).map(|c| c.column.name.clone());
        let columns: Vec<String> = all.chain(sums.iter().map(Selected::text)).collect();
        // Which end of a conversation is the source, its first row says, not its key.
        let keys = if ways == Ways::Both { Vec::new() } else { keys };
        let shown: Vec<&str> =
            keys.iter().chain(&others).chain(&sums).map(|c| c.column.name.as_str()).collect();
        let order = self.order_of_sums(sorting, &names);
        let sql = format!(
            "SELECT {}\nFROM (\nSELECT {}, ROW_NUMBER() OVER (PARTITION BY {} ORDER BY received_at, \
             start_ms, end_ms) AS nth\nFROM (\n{rows}\n) AS flow_rows\n) AS sums\nWHERE nth = 1\n\
             ORDER BY {order}",
            shown.join(", "),
            columns.join(", "),
            names.join(", "),
        );
        let columns = keys.into_iter().chain(others).chain(sums).map(|c| c.column);
        Ok(Statement { sql, columns: columns.collect() })
    }

    /// Sums over rows, each with `over` behind it.
    fn sums(&self, over: &str) -> Vec<Selected> {
        let counters = COUNTERS.iter().map(|(row, _, name, field)| {
            Selected::new(format!("{}{over}", self.engine.sum(row)), *name, *field, Shape::Number)
        });
        let times = times("start_ms", "end_ms").map(|mut t| {
            t.expression.push_str(over);
            t
        });
        counters.chain(times).collect()
    }

    /// The same, of rows that count both ways: as the row at hand runs.
    fn sums_as_first(&self, over: &str) -> Vec<Selected> {
        let sum = |column: &str| format!("{}{over}", self.engine.sum(column));
        let mut sums = self.sums(over);
        for (selected, (row, ..)) in sums.iter_mut().zip(COUNTERS) {
            selected.expression = either("is_turned = 1", &sum(row), &sum(other_way(row)));
        }
        sums
    }

    fn order_of_sums(&self, sorting: Option<Sorting>, keys: &[&str]) -> String {
        let terms = Terms {
            counters: COUNTERS.map(|(_, _, name, _)| format!("COALESCE({name}, 0)")),
            first: "first_ms".to_owned(),
            last: "last_ms".to_owned(),
            span: "COALESCE(GREATEST(last_ms - first_ms, 0), 0)".to_owned(),
        };
        let rank = sorting.map(|s| ranked(self.engine, s, &terms));
        let ties = std::iter::once("first_ms").chain(keys.iter().copied()).map(str::to_owned);
        rank.into_iter().chain(ties).collect::<Vec<_>>().join(", ")
    }
}

/// Which rows have one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ways {
    One,
    /// Those of the other direction, too.
    Both,
}

/// The counter of the other direction, by its name in rows.
fn other_way(counter: &str) -> &str {
    match counter {
        "packet_count" => "out_packet_count",
        "out_packet_count" => "packet_count",
        "octet_count" => "out_octet_count",
        "out_octet_count" => "octet_count",
        counter => counter,
    }
}

/// Whether a row runs against the key of its conversation. Only TCP and UDP have conversations; an
/// address that is missing counts as 0.0.0.0.
fn is_turned(engine: Engine) -> String {
    let zero = engine.octets(&0xffff_0000_0000_u128.to_be_bytes());
    let [src, dst] = ["src_addr", "dst_addr"].map(|addr| format!("COALESCE({addr}, {zero})"));
    let ports = "COALESCE(src_port, 0) > COALESCE(dst_port, 0)";
    format!("COALESCE(proto IN (6, 17) AND ({src} > {dst} OR ({src} = {dst} AND {ports})), FALSE)")
}

/// One of two expressions.
fn either(condition: &str, otherwise: &str, then: &str) -> String {
    match otherwise == then {
        true => then.to_owned(),
        false => format!("CASE WHEN {condition} THEN {then} ELSE {otherwise} END"),
    }
}

/// Counters of a row, under their names.
fn counters_of_rows() -> [String; 5] {
    COUNTERS.map(|(name, row, ..)| format!("{row} AS {name}"))
}

/// The same, as they run from the end that compares less.
fn counters_either_way(engine: Engine) -> [String; 5] {
    let of = |name: &str| COUNTERS.iter().find(|c| c.0 == name).map_or("NULL", |c| c.1);
    let is_turned = is_turned(engine);
    COUNTERS.map(|(name, row, ..)| {
        format!("{} AS {name}", either(&is_turned, row, of(other_way(name))))
    })
}

/// Counters and times, which are made of all rows of a group.
fn is_sum(field: Field) -> bool {
    COUNTERS.iter().any(|c| c.3 == field) || matches!(field, Field::First | Field::Last)
}

/// Fields that are wanted, as far as they are stored.
fn known(fields: Option<&[Field]>) -> Vec<Field> {
    let all = fields.unwrap_or(Field::ALL).iter().copied();
    // Parts of the destination port come with it.
    let mut stored: Vec<Field> = all
        .map(|f| if f.is_part() { Field::DstPort } else { f })
        .filter(|f| !f.is_derived())
        .collect();
    // Counters are summed up, and times tell events apart.
    stored.extend([Field::First, Field::Last, Field::Packets, Field::Bytes, Field::Proto]);
    stored.extend([Field::Flows, Field::OutPackets, Field::OutBytes]);
    stored.sort_unstable();
    stored.dedup();
    stored
}

/// The columns of a field, as they are to be answered. Text of addresses is not asked for: datasets
/// may be without it.
fn as_stored(engine: Engine, field: Field) -> Vec<Selected> {
    let Some(column) = schema::of(field).next() else { return Vec::new() };
    let name = column.name;
    if let Some(v4) = address(field, Type::Addr4) {
        let v6 = format!("CASE WHEN {v4} IS NULL THEN hex({name}) END");
        return vec![
            Selected::new(v4.to_owned(), v4, field, Shape::Addr4),
            Selected::new(v6, format!("{name}_hex"), field, Shape::Addr6),
        ];
    }
    let (expression, name, shape) = match column.kind {
        Type::Int32 | Type::Int64 => (name.to_owned(), name.to_owned(), Shape::Number),
        Type::Timestamp => (engine.millis(name), format!("{name}_ms"), Shape::Number),
        Type::Mac => (format!("hex({name})"), format!("{name}_hex"), Shape::Mac),
        _ => (format!("hex({name})"), format!("{name}_hex"), Shape::Octets),
    };
    vec![Selected::new(expression, name, field, shape)]
}

/// The same under a name that no column of the dataset has.
fn beside_sums(mut selected: Selected) -> Selected {
    selected.column.name = format!("its_{}", selected.column.name);
    selected
}

fn times(first: &str, last: &str) -> [Selected; 2] {
    [
        Selected::new(format!("MIN({first})"), "first_ms", Field::First, Shape::Number),
        Selected::new(format!("MAX({last})"), "last_ms", Field::Last, Shape::Number),
    ]
}

fn listed(columns: &[Selected]) -> String {
    columns.iter().map(Selected::text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use output::Order;
    use query::Request;

    fn ask(asked: &Asked<'_>, source: &Source, window: Window, n: usize) -> String {
        let question = Question { engine: Engine::DuckDb, source, filters: Vec::new(), window };
        question.statement(asked, n).unwrap().sql
    }

    #[test]
    fn windows_leave_out_partitions_of_other_days() {
        let tree = Source::Dataset { path: "/d".to_owned(), is_tree: true };
        let window = Window { from_ms: Some(1_795_168_800_000), until_ms: Some(1_795_212_000_001) };
        let sql = ask(&Asked::Totals, &tree, window, 0);
        assert!(sql.ends_with("\nWHERE date >= '2026-11-20'\n  AND date <= '2026-11-21'"), "{sql}");
        let table = Source::Table("flows".to_owned());
        let sql = ask(&Asked::Totals, &table, window, 0);
        assert!(sql.ends_with("\nFROM flows"), "tables need not have partitions: {sql}");
    }

    #[test]
    fn both_sides_feed_one_table() {
        let source = Source::Table("flows".to_owned());
        let grouping = Grouping::five_tuple();
        let request = Request::parse("ip/bytes", &grouping, None).unwrap();
        let asked = Asked::Values { by: &request.by, sorting: request.sortings[0] };
        let sql = ask(&asked, &source, Window::default(), 7);
        assert_eq!(sql.matches("UNION ALL").count(), 1, "{sql}");
        assert!(sql.contains("WHERE src_addr IS NOT NULL"), "{sql}");
        assert!(sql.contains("WHERE dst_addr IS NOT NULL"), "{sql}");
        assert!(sql.ends_with("\nLIMIT 7"), "{sql}");
    }

    #[test]
    fn both_directions_have_one_key() {
        let source = Source::Table("flows".to_owned());
        let grouping = Grouping::bidirectional(false);
        let fields = [Field::SrcAddr, Field::DstAddr, Field::TcpFlags];
        let sorting = None;
        let asked = Asked::Joined { grouping: &grouping, fields: Some(&fields), sorting };
        let question = Question {
            engine: Engine::ClickHouse,
            source: &source,
            filters: Vec::new(),
            window: Window::default(),
        };
        let statement = question.statement(&asked, 0).unwrap();
        let sql = &statement.sql;
        assert!(
            sql.contains(
                "THEN COALESCE(dst_port, 0) ELSE COALESCE(src_port, 0) END AS by_src_port"
            ),
            "{sql}"
        );
        assert!(sql.contains("THEN out_bytes ELSE bytes END AS octet_count"), "{sql}");
        assert!(sql.contains("CASE WHEN is_turned = 1 THEN SUM(toInt128(out_octet_count)) OVER"));
        let names: Vec<_> = statement.columns.iter().map(|c| c.name.as_str()).collect();
        for name in ["its_src_addr4", "its_dst_port", "its_proto", "n_out_bytes", "tcp_flags"] {
            assert_eq!(names.iter().filter(|n| **n == name).count(), 1, "{name}: {names:?}");
        }
        assert!(!names.iter().any(|n| n.starts_with("by_")), "{names:?}");
    }

    #[test]
    fn every_element_and_order_has_a_statement_or_a_reason() {
        let source = Source::Table("flows".to_owned());
        let grouping = Grouping::five_tuple();
        let mut refused = Vec::new();
        for element in query::Element::all() {
            for order in Order::of_statistics() {
                let text = format!("{}:p/{}", element.name, order.statistic_name());
                let request = Request::parse(&text, &grouping, None).unwrap();
                let asked = Asked::Values { by: &request.by, sorting: request.sortings[0] };
                let question = Question {
                    engine: Engine::Spark,
                    source: &source,
                    filters: Vec::new(),
                    window: Window::default(),
                };
                match question.statement(&asked, 1) {
                    Ok(s) => assert_eq!(s.sql.matches('(').count(), s.sql.matches(')').count()),
                    Err(_) => refused.push(element.name),
                }
            }
        }
        refused.dedup();
        assert_eq!(refused, ["srcgeo", "dstgeo", "geo", "ja3", "ja4"]);
    }
}
