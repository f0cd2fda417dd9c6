//! What engines write differently: literals, and a few functions.

use super::SqlError;
use crate::schema::{COLUMNS, Type};

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// DuckDB.
    DuckDb,
    /// Apache Spark.
    Spark,
    /// ClickHouse, its server or embedded.
    ClickHouse,
}

/// Where the flows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The directory of a dataset, or one Parquet file.
    Dataset {
        /// Its path, for the engine.
        path: String,
        /// Whether files lie below it, by date, hour and exporter.
        is_tree: bool,
    },
    /// A table or view with the columns of the dataset. [`Engine::table`] has checked its name.
    Table(String),
}

/// Times that flows are wanted of, milliseconds since 1970: they start after the first and end
/// before the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Exclusive.
    pub from_ms: Option<u64>,
    /// Exclusive.
    pub until_ms: Option<u64>,
}

impl Engine {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DuckDb => "duckdb",
            Self::Spark => "spark",
            Self::ClickHouse => "clickhouse",
        }
    }

    /// A table by its name.
    ///
    /// # Errors
    ///
    /// [`SqlError::Table`] for all but letters, digits, `_`, and dots between parts.
    pub fn table(name: &str) -> Result<Source, SqlError> {
        let is_word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match !name.is_empty() && name.len() <= 256 && name.split('.').all(is_word) {
            true => Ok(Source::Table(name.to_owned())),
            false => Err(SqlError::Table(name.to_owned())),
        }
    }

    /// Text between quotes.
    ///
    /// # Errors
    ///
    /// [`SqlError::Control`] for characters that no path and no name has.
    pub(super) fn text(self, text: &str, what: &'static str) -> Result<String, SqlError> {
        if text.chars().any(char::is_control) {
            return Err(SqlError::Control { what });
        }
        Ok(match self {
            // The standard's quotes: nothing but the quote itself is special.
            Self::DuckDb => format!("'{}'", text.replace('\'', "''")),
            Self::Spark | Self::ClickHouse => {
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
            }
        })
    }

    /// What stands behind FROM.
    pub(super) fn from(self, source: &Source) -> Result<String, SqlError> {
        let (path, is_tree) = match source {
            Source::Table(name) if self == Self::Spark => return Ok(with_numbers(name)),
            Source::Table(name) => return Ok(name.clone()),
            Source::Dataset { path, is_tree } => (path.trim_end_matches('/'), *is_tree),
        };
        let files = if is_tree { format!("{path}/**/*.parquet") } else { path.to_owned() };
        Ok(match self {
            Self::DuckDb => {
                let files = self.text(&files, "the path")?;
                let hive = if is_tree { ", hive_partitioning = true" } else { "" };
                format!("read_parquet({files}{hive})")
            }
            Self::ClickHouse => format!("file({}, Parquet)", self.text(&files, "the path")?),
            Self::Spark => {
                self.text(path, "the path")?;
                format!("parquet.`{}`", path.replace('`', "``"))
            }
        })
    }

    /// A column of times in milliseconds since 1970.
    pub(super) fn millis(self, column: &str) -> String {
        match self {
            // Of times with a zone and without one.
            Self::DuckDb => format!("epoch_ns({column}) // 1000000"),
            Self::ClickHouse => format!("toUnixTimestamp64Milli({column})"),
            // Spark has no nanoseconds and reads them as a number.
            Self::Spark => format!("{column} DIV 1000000"),
        }
    }

    /// A time, to be compared to a column of times.
    pub(super) fn time(self, ms: u64) -> String {
        // Filters end with the year 2038; what is beyond 2262 has no nanoseconds.
        let ms = ms.min(i64::MAX as u64 / 1_000_000);
        match self {
            // Text becomes what it is compared to: times are of either kind.
            Self::DuckDb => {
                let (y, m, d) = civil(ms / 86_400_000);
                let (secs, ms) = (ms / 1000 % 86_400, ms % 1000);
                let (h, min, s) = (secs / 3600, secs / 60 % 60, secs % 60);
                format!("'{y:04}-{m:02}-{d:02} {h:02}:{min:02}:{s:02}.{ms:03}+00'")
            }
            Self::ClickHouse => format!("fromUnixTimestamp64Milli(toInt64({ms}), 'UTC')"),
            Self::Spark => format!("{ms}000000"),
        }
    }

    /// A day of the calendar, in UTC, as partitions have it.
    pub(super) fn day(ms: u64) -> String {
        let (y, m, d) = civil(ms / 86_400_000);
        format!("'{y:04}-{m:02}-{d:02}'")
    }

    /// Octets.
    pub(super) fn octets(self, octets: &[u8]) -> String {
        let hex: String = octets.iter().map(|b| format!("{b:02X}")).collect();
        match self {
            Self::Spark => format!("X'{hex}'"),
            Self::DuckDb | Self::ClickHouse => format!("unhex('{hex}')"),
        }
    }

    /// A quotient, rounded down.
    pub(super) fn quotient(self, a: &str, b: &str) -> String {
        match self {
            Self::DuckDb => format!("{a} // {b}"),
            Self::Spark => format!("{a} DIV {b}"),
            Self::ClickHouse => format!("intDiv({a}, {b})"),
        }
    }

    /// A product that may need more than 64 bits.
    pub(super) fn product(self, factor: u64, value: &str) -> String {
        match self {
            Self::DuckDb => format!("{factor} * CAST({value} AS HUGEINT)"),
            Self::Spark => format!("{factor} * CAST({value} AS DECIMAL(30, 0))"),
            Self::ClickHouse => format!("{factor} * toInt128({value})"),
        }
    }

    /// Bits that two numbers have in common.
    pub(super) fn common_bits(self, a: &str, b: u64) -> String {
        match self {
            Self::DuckDb | Self::Spark => format!("({a} & {b})"),
            Self::ClickHouse => format!("bitAnd({a}, {b})"),
        }
    }

    /// The bits of all values of a column.
    pub(super) fn any_bits(self, column: &str) -> String {
        match self {
            Self::DuckDb | Self::Spark => format!("bit_or({column})"),
            Self::ClickHouse => format!("groupBitOr({column})"),
        }
    }

    /// The value of a column where another one is smallest.
    pub(super) fn where_least(self, column: &str, other: &str) -> String {
        match self {
            Self::DuckDb => format!("arg_min({column}, {other})"),
            Self::Spark => format!("min_by({column}, {other})"),
            Self::ClickHouse => format!("argMin({column}, {other})"),
        }
    }

    /// Text filled up with zeros at the right.
    pub(super) fn fill(self, text: &str, len: usize) -> String {
        match self {
            Self::DuckDb | Self::Spark => format!("rpad({text}, {len}, '0')"),
            Self::ClickHouse => format!("rightPad({text}, {len}, '0')"),
        }
    }

    /// `2^power`, the power being an expression of at most 62.
    pub(super) fn power_of_two(self, power: &str) -> String {
        match self {
            Self::DuckDb => format!("(1::BIGINT << ({power})::INTEGER)"),
            Self::Spark => format!("shiftleft(1L, {power})"),
            Self::ClickHouse => format!("bitShiftLeft(toInt64(1), {power})"),
        }
    }

    /// A sum of a column of numbers.
    pub(super) fn sum(self, column: &str) -> String {
        match self {
            // Both widen by themselves, or say that it is too much.
            Self::DuckDb | Self::Spark => format!("SUM({column})"),
            Self::ClickHouse => format!("SUM(toInt128({column}))"),
        }
    }
}

/// A view of Spark with its times as numbers, as files have them.
fn with_numbers(view: &str) -> String {
    let times = COLUMNS.iter().filter(|c| c.kind == Type::Timestamp).map(|c| c.name);
    let made: Vec<String> =
        times.clone().map(|name| format!("unix_micros({name}) * 1000 AS {name}")).collect();
    let names: Vec<&str> = times.collect();
    format!("(SELECT * EXCEPT ({}), {} FROM {view})", names.join(", "), made.join(", "))
}

/// Year, month and day of a day since 1970: the calendar of Gregory, in eras of 400 years that begin
/// with March.
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day) = (z / 146_097, z % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + (month <= 2) as u64, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (ms, want) in [
            (0, "'1970-01-01'"),
            (951_782_400_000, "'2000-02-29'"),
            (951_868_800_000, "'2000-03-01'"),
            (1_795_168_800_000, "'2026-11-20'"),
            (1_798_761_599_999, "'2026-12-31'"),
            (1_798_761_600_000, "'2027-01-01'"),
        ] {
            assert_eq!(Engine::day(ms), want, "{ms}");
        }
    }

    #[test]
    fn text_stays_between_its_quotes() {
        for (engine, text, want) in [
            (Engine::DuckDb, "it's", "'it''s'"),
            (Engine::DuckDb, r"a\' OR 1=1 --", r"'a\'' OR 1=1 --'"),
            (Engine::Spark, r"a\' OR 1=1 --", r"'a\\\' OR 1=1 --'"),
            (Engine::ClickHouse, r"a\' OR 1=1 --", r"'a\\\' OR 1=1 --'"),
        ] {
            assert_eq!(engine.text(text, "text").as_deref(), Ok(want), "{engine:?}");
        }
        let control = Err(SqlError::Control { what: "text" });
        assert_eq!(Engine::DuckDb.text("a\nb", "text"), control);
        assert_eq!(Engine::DuckDb.text("a\0b", "text"), control);
    }

    #[test]
    fn names_of_tables_are_words() {
        for name in ["flows", "net.flows", "a._b.c9"] {
            assert_eq!(Engine::table(name), Ok(Source::Table(name.to_owned())), "{name}");
        }
        for name in ["", "9a", "a.", ".a", "a b", "a;b", "a--", "a'", "`a`", "a..b", "é"] {
            assert_eq!(Engine::table(name), Err(SqlError::Table(name.to_owned())), "{name}");
        }
    }

    #[test]
    fn paths_cannot_leave_their_quotes() {
        let dataset = |is_tree| Source::Dataset { path: "/a'b`c/".to_owned(), is_tree };
        for (engine, want) in [
            (Engine::DuckDb, "read_parquet('/a''b`c/**/*.parquet', hive_partitioning = true)"),
            (Engine::Spark, "parquet.`/a'b``c`"),
            (Engine::ClickHouse, r"file('/a\'b`c/**/*.parquet', Parquet)"),
        ] {
            assert_eq!(engine.from(&dataset(true)).as_deref(), Ok(want));
        }
        assert_eq!(Engine::DuckDb.from(&dataset(false)).as_deref(), Ok("read_parquet('/a''b`c')"));
    }
}
