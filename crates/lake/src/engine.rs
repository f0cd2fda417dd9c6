//! Statements that make a table of the dataset, for the engines that people have.
//!
//! Each makes a view (Trino: a table) with the columns as they are, the partition columns `date`,
//! `hour` and `exporter`, and for each address one column more, `..._ip`: its text, made of its
//! octets where the dataset was written without texts. Whoever searches for an address had better
//! ask the stored columns: engines prune by them.

use crate::schema::{COLUMNS, Column, Type};
use std::fmt::Write as _;

/// What reads the dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// DuckDB.
    DuckDb,
    /// Apache Spark.
    Spark,
    /// ClickHouse.
    ClickHouse,
    /// Trino, by its Hive connector.
    Trino,
}

/// Statements that make `table` of the dataset at `dataset`, as the engine sees it. Without one, for
/// ClickHouse a table to insert into, for others `DATASET` stands in its place.
pub fn statements(engine: Engine, table: &str, dataset: Option<&str>) -> String {
    let path = literal(dataset.unwrap_or("DATASET").trim_end_matches('/'));
    match (engine, dataset) {
        (Engine::DuckDb, _) => duckdb(table, &path),
        (Engine::Spark, _) => spark(table, &path),
        (Engine::ClickHouse, Some(_)) => clickhouse_view(table, &path),
        (Engine::ClickHouse, None) => clickhouse_table(table),
        (Engine::Trino, _) => trino(table, &path),
    }
}

/// The columns, aligned: name, type, meaning.
pub fn listing() -> String {
    let width = COLUMNS.iter().map(|c| c.name.len()).max().unwrap_or(0);
    lines(|out, c| writeln!(out, "{:width$}  {:18}  {}", c.name, type_name(c.kind), about(c)))
}

/// The columns as a table of Markdown.
pub fn markdown() -> String {
    let rows =
        lines(|out, c| writeln!(out, "| `{}` | {} | {} |", c.name, type_name(c.kind), about(c)));
    format!("| Column | Type | What it is |\n|---|---|---|\n{rows}")
}

/// What Parquet calls a type, in the words of its schemas.
const fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Int32 => "int32",
        Type::Int64 | Type::Addr4 => "int64",
        Type::Timestamp => "timestamp(ns, UTC)",
        Type::Addr16 => "fixed(16)",
        Type::Mac => "fixed(6)",
        Type::Acl => "fixed(12)",
        Type::AddrText | Type::Text => "string",
        Type::Bytes => "binary",
    }
}

fn about(column: &Column) -> String {
    match column.kind {
        Type::Addr16 => format!("{}: 16 octets, IPv4 as `::ffff:a.b.c.d`", column.about),
        Type::Addr4 => "the same, a number where it is IPv4, else NULL".to_owned(),
        Type::AddrText => "the same as text; NULL without texts".to_owned(),
        _ => column.about.to_owned(),
    }
}

/// One line for each column.
fn lines(line: impl Fn(&mut String, &Column) -> std::fmt::Result) -> String {
    let mut out = String::new();
    for column in COLUMNS {
        let _ = line(&mut out, column); // a string takes all
    }
    out
}

/// Text in quotes of SQL.
fn literal(text: &str) -> String {
    text.replace('\'', "''")
}

/// `src_ip` of `src_addr`, `next_hop_ip` of `next_hop`.
fn ip_name(column: &str) -> String {
    format!("{}_ip", column.strip_suffix("_addr").unwrap_or(column))
}

/// A column `..._ip` for each address: stored text, or what `v4` and `v6` make of the octets.
fn texts(v4: impl Fn(&str) -> String, v6: impl Fn(&str) -> String) -> String {
    let addresses = COLUMNS.iter().filter(|c| c.kind == Type::Addr16);
    addresses.fold(String::new(), |mut out, c| {
        let (name, ip) = (c.name, ip_name(c.name));
        let (v4, v6) = (v4(&format!("{name}4")), v6(name));
        let _ = write!(
            out,
            ",\n  coalesce({name}_text, CASE WHEN {name}4 IS NOT NULL THEN {v4} ELSE {v6} END) AS {ip}"
        );
        out
    })
}

fn duckdb(table: &str, path: &str) -> String {
    let ips = texts(
        |n| format!("concat({n} >> 24, '.', {n} >> 16 & 255, '.', {n} >> 8 & 255, '.', {n} & 255)"),
        |n| format!("rtrim(regexp_replace(lower(hex({n})), '(....)', '\\1:', 'g'), ':')"),
    );
    format!(
        "CREATE OR REPLACE VIEW {table} AS SELECT *{ips}\n\
         FROM read_parquet('{path}/date=*/hour=*/exporter=*/*.parquet', hive_partitioning = true,\n  \
         hive_types = {{'date': DATE, 'hour': INTEGER, 'exporter': VARCHAR}});\n"
    )
}

fn spark(table: &str, path: &str) -> String {
    let part = |n: &str, shift: u32| format!("string(shiftright({n}, {shift}) & 255)");
    let ips = texts(
        |n| {
            let parts = [24, 16, 8, 0].map(|shift| part(n, shift)).join(", ");
            format!("concat_ws('.', {parts})")
        },
        |n| format!("trim(TRAILING ':' FROM regexp_replace(lower(hex({n})), '(....)', '$1:'))"),
    );
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|c| match c.kind {
            // Spark has no nanoseconds; flow files have milliseconds.
            Type::Timestamp => format!("timestamp_micros({0} DIV 1000) AS {0}", c.name),
            _ => c.name.to_owned(),
        })
        .collect();
    let columns = columns.join(",\n  ");
    format!(
        "SET spark.sql.legacy.parquet.nanosAsLong = true;\n\
         SET spark.sql.sources.partitionColumnTypeInference.enabled = true;\n\
         CREATE OR REPLACE TEMPORARY VIEW {table}_parquet USING parquet OPTIONS (path '{path}');\n\
         CREATE OR REPLACE TEMPORARY VIEW {table} AS SELECT\n  {columns},\n  \
         date, hour, exporter{ips}\nFROM {table}_parquet;\n"
    )
}

fn clickhouse_view(table: &str, path: &str) -> String {
    let ips = texts(
        |n| format!("IPv4NumToString(toUInt32(assumeNotNull({n})))"),
        |n| format!("IPv6NumToString({n})"),
    );
    format!(
        "CREATE OR REPLACE VIEW {table} AS SELECT * REPLACE (decodeURLComponent(toString(exporter)) AS exporter){ips}\n\
         FROM file('{path}/date=*/hour=*/exporter=*/*.parquet', 'Parquet')\n\
         SETTINGS use_hive_partitioning = 1;\n"
    )
}

fn clickhouse_table(table: &str) -> String {
    let columns = lines(|out, c| {
        let kind = match c.kind {
            Type::Int32 => "Int32",
            Type::Int64 | Type::Addr4 => "Int64",
            Type::Timestamp => "DateTime64(9, 'UTC')",
            Type::Addr16 => "FixedString(16)",
            Type::Mac => "FixedString(6)",
            Type::Acl => "FixedString(12)",
            Type::AddrText | Type::Text | Type::Bytes => "String",
        };
        // What rows are sorted by has a value.
        match c.name {
            "flow_start" => writeln!(out, "  {} {kind},", c.name),
            name => writeln!(out, "  {name} Nullable({kind}),"),
        }
    });
    format!(
        "CREATE TABLE {table} (\n{columns}  exporter String\n)\n\
         ENGINE = MergeTree PARTITION BY toDate(flow_start) ORDER BY flow_start;\n"
    )
}

fn trino(table: &str, path: &str) -> String {
    let columns = lines(|out, c| {
        let kind = match c.kind {
            Type::Int32 => "integer",
            Type::Int64 | Type::Addr4 => "bigint",
            Type::Timestamp => "timestamp(9)",
            Type::AddrText | Type::Text => "varchar",
            Type::Addr16 | Type::Mac | Type::Acl | Type::Bytes => "varbinary",
        };
        writeln!(out, "  {} {kind},", c.name)
    });
    format!(
        "CREATE TABLE {table} (\n{columns}  \"date\" date,\n  hour integer,\n  exporter varchar\n)\n\
         WITH (format = 'PARQUET', external_location = '{path}',\n  \
         partitioned_by = ARRAY['date', 'hour', 'exporter']);\n\
         CALL system.sync_partition_metadata(schema_name => 'default', table_name => '{table}', mode => 'FULL');\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINES: [Engine; 4] = [Engine::DuckDb, Engine::Spark, Engine::ClickHouse, Engine::Trino];

    #[test]
    fn names_of_places_are_quoted() {
        for engine in ENGINES {
            let text = statements(engine, "t", Some("/a'b/"));
            assert!(text.contains("'/a''b"), "{engine:?}: {text}");
            assert!(!text.contains("/a'b") && !text.contains("b//"), "{engine:?}: {text}");
        }
    }

    #[test]
    fn tables_have_all_columns() {
        for (engine, dataset) in
            [(Engine::ClickHouse, None), (Engine::Trino, None), (Engine::Spark, Some("/x"))]
        {
            let text = statements(engine, "t", dataset);
            for column in COLUMNS {
                assert!(text.contains(column.name), "{engine:?}: {}", column.name);
            }
        }
        assert_eq!(listing().lines().count(), COLUMNS.len());
        assert_eq!(markdown().lines().count(), COLUMNS.len() + 2);
    }

    /// The page says what the code says; `flowlake schema --markdown` prints the table.
    #[test]
    fn the_manual_has_the_columns() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lake.md");
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains(&markdown()), "flowlake schema --markdown makes the table");
        let version = format!("Columns of version {}", crate::schema::VERSION);
        assert!(page.contains(&version), "{version}");
    }
}
