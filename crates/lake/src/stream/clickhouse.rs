//! ClickHouse over HTTP: a batch is one `INSERT` in `RowBinary`.
//!
//! An answer may be lost after the rows are there, and a server may die with some of them there. So
//! before a batch is sent another time it is looked for: by the column [`BATCH`], within the times it
//! covers. If all of it is there, it has arrived; if nothing is, it is sent. An insert that is still
//! at work is waited for: it has the batch as its query's id. Servers that know
//! `insert_deduplication_token` get it besides. That needs no more than a `MergeTree` table, of any
//! age.
//!
//! What a server writes at once is what of an insert goes into one partition, so one that was killed
//! between two partitions has some hours of a batch and others not at all: those are sent. Where
//! partitions are made by something else, what is there is removed first. That may take long: a
//! server of 2018 that was killed while it merged leaves removals alone until what it left behind is
//! a day old (`temporary_directories_lifetime`).

use super::row_binary::{self, BATCH};
use super::{Batch, Delivered, Encode, Encoded, Hour, Origin, Patience, Sink, SinkError};
use crate::http::{self, Authorities};
use crate::schema::Column;
use record::Row;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use ureq::Agent;

/// Encodes rows for a table.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<&'static Column>,
}

impl Rows {
    /// Of these columns.
    pub const fn new(columns: Vec<&'static Column>) -> Self {
        Self { columns }
    }
}

impl Encode for Rows {
    fn row(&mut self, row: Row<'_>, of: &Origin<'_>, out: &mut Encoded) {
        row_binary::push(row, of.batch, &self.columns, of.exporters, &mut out.octets);
    }
}

/// Where a server is, and which table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `http://HOST:PORT`, or `https://HOST:PORT`.
    pub url: String,
    /// `TABLE` or `DATABASE.TABLE`.
    pub table: String,
    /// Whose rights are used; empty for the server's default.
    pub user: String,
    /// What proves it.
    pub password: String,
}

/// An address that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}': a server is named as HOST[:PORT]/[DATABASE.]TABLE")]
pub struct BadAddress(String);

impl Address {
    /// Reads `[http://|https://]HOST[:PORT]/[DATABASE.]TABLE`. Ports are 8123, and 8443 of TLS, by
    /// default.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        let (scheme, port, rest) = match text.strip_prefix("https://") {
            Some(rest) => ("https", ":8443", rest),
            None => ("http", ":8123", text.strip_prefix("http://").unwrap_or(text)),
        };
        let (host, table) = rest.split_once('/').ok_or_else(bad)?;
        let is_name = |part: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !part.is_empty() && part.chars().all(is_plain)
        };
        if host.is_empty()
            || host.contains(['@', '?', '#', ' '])
            || table.split('.').count() > 2
            || !table.split('.').all(is_name)
        {
            return Err(bad());
        }
        // Without a port, or an address of IPv6 without one.
        let has_port = match host.rsplit_once(':') {
            Some((before, port)) => {
                port.parse::<u16>().is_ok() && (before.ends_with(']') || !before.contains(':'))
            }
            None => false,
        };
        let url = format!("{scheme}://{host}{}", if has_port { "" } else { port });
        Ok(Self { url, table: table.to_owned(), user: String::new(), password: String::new() })
    }
}

/// A table that batches go to.
#[derive(Debug)]
pub struct Table<'o> {
    agent: Agent,
    address: Address,
    insert: String,
    stop: &'o AtomicBool,
    patience: Option<Duration>,
    /// Major version and minor; known once the server has answered.
    version: Option<(u32, u32)>,
}

/// Why a request has no answer.
enum Failed {
    /// It may have one later. What was sent may have arrived.
    Later(String),
    /// Never.
    Refused(String),
}

/// What is there of a batch.
enum There {
    Nothing,
    All,
    Part(u64),
}

/// An insert may take as long as this.
const LIMIT: Duration = Duration::from_secs(300);
/// A removal waits for those before it, and for merges.
const LONGEST_REMOVAL: Duration = Duration::from_secs(3600);
/// Octets of the largest answer to a question.
const LARGEST: u64 = 1 << 20;

impl<'o> Table<'o> {
    /// A table with these columns. Servers that cannot be reached are waited for, `patience` long or
    /// for ever; setting `stop` ends the waiting.
    pub fn new(
        address: Address,
        columns: &[&Column],
        stop: &'o AtomicBool,
        patience: Option<Duration>,
    ) -> Self {
        let names: Vec<_> = columns.iter().map(|column| column.name).collect();
        let (table, names) = (&address.table, names.join(", "));
        let insert = format!("INSERT INTO {table} ({BATCH}, {names}) FORMAT RowBinary");
        let agent = http::agent(Some(LIMIT), None);
        Self { agent, address, insert, stop, patience, version: None }
    }

    /// The same, over TLS if there are authorities to believe.
    #[must_use]
    pub fn believing(self, authorities: Option<Authorities>) -> Self {
        Self { agent: http::agent(Some(LIMIT), authorities), ..self }
    }

    /// Makes the table, unless it is there.
    ///
    /// # Errors
    /// If the server cannot be reached or does not want it.
    pub fn create(&mut self, columns: &[&Column]) -> Result<(), SinkError> {
        let dialect = match self.version()? {
            (year, _) if year >= 20 => row_binary::Dialect::Modern,
            _ => row_binary::Dialect::Plain,
        };
        let statement = row_binary::create(&self.address.table, columns, dialect);
        self.answer(&statement).map(drop)
    }

    /// Asks who the server is, if that is not known.
    fn version(&mut self) -> Result<(u32, u32), SinkError> {
        if let Some(version) = self.version {
            return Ok(version);
        }
        let text = self.answer("SELECT version()")?;
        let mut parts = text.trim().split('.').map_while(|part| part.parse().ok());
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        self.version = Some(version);
        Ok(version)
    }

    /// The answer to a question, which is asked until there is one.
    fn answer(&self, sql: &str) -> Result<String, SinkError> {
        let mut patience = Patience::new(self.stop, self.patience);
        loop {
            match self.post(&[], sql.as_bytes()) {
                Ok(text) => return Ok(text),
                Err(Failed::Refused(reason)) => return Err(self.refused(reason)),
                Err(Failed::Later(reason)) => patience.wait(&self.address.url, &reason)?,
            }
        }
    }

    /// One request. The statement is the body, or stands in `parameters` before it.
    fn post(&self, parameters: &[(&str, &str)], body: &[u8]) -> Result<String, Failed> {
        let mut request = self.agent.post(&self.address.url);
        for (name, value) in parameters {
            request = request.query(*name, *value);
        }
        if !self.address.user.is_empty() {
            request = request.header("X-ClickHouse-User", &self.address.user);
        }
        if !self.address.password.is_empty() {
            request = request.header("X-ClickHouse-Key", &self.address.password);
        }
        let later = |e: ureq::Error| Failed::Later(e.to_string());
        let mut answer = request.send(body).map_err(later)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(LARGEST).read_to_string();
        match status {
            200 => text.map_err(later),
            _ => Err(refusal(status, text.unwrap_or_default().trim())),
        }
    }

    fn refused(&self, reason: String) -> SinkError {
        SinkError::Refused { target: self.target(), reason }
    }

    fn target(&self) -> String {
        format!("{}/{}", self.address.url, self.address.table)
    }

    /// Sends rows of a batch once.
    fn insert(&self, batch: &Batch, rows: &[u8], version: (u32, u32)) -> Result<(), Failed> {
        let name = query_id(batch);
        let mut parameters = vec![("query", self.insert.as_str()), ("query_id", name.as_str())];
        if version >= (22, 3) {
            parameters.push(("insert_deduplication_token", &name));
            parameters.push(("async_insert", "0"));
        }
        self.post(&parameters, rows).map(drop)
    }

    /// What is there of a batch that may have been sent, once the server is at rest with it. What
    /// was sent by who is dead now may only begin to work: less than all is believed if it was the
    /// same a moment before, with no such insert in between.
    fn look(&self, batch: &Batch) -> Result<There, SinkError> {
        let mut patience = Patience::new(self.stop, self.patience);
        let name = query_id(batch);
        let running = format!("SELECT count() FROM system.processes WHERE query_id = '{name}'");
        let count = format!("SELECT count() FROM {}", self.rows(batch));
        let mut before = None;
        loop {
            let is_at_work = self.number(&running)? > 0;
            let there = self.number(&count)?;
            match there {
                n if n >= batch.encoded.rows => return Ok(There::All),
                _ if is_at_work || before != Some(there) => before = Some(there),
                0 => return Ok(There::Nothing),
                n => return Ok(There::Part(n)),
            }
            patience.wait(&self.target(), "the last insert is still at work")?;
        }
    }

    /// Whether times are a `DateTime64`, and no numbers.
    fn is_modern(&self) -> bool {
        self.version.is_some_and(|(year, _)| year >= 20)
    }

    /// The hours of a batch that are there, each with how many rows.
    fn hours(&self, batch: &Batch) -> Result<HashMap<i64, u64>, SinkError> {
        let nanos =
            if self.is_modern() { "toUnixTimestamp64Nano(flow_start)" } else { "flow_start" };
        let (hour, rows) = (Hour::NANOS, self.rows(batch));
        let sql = format!("SELECT intDiv({nanos}, {hour}) AS h, count() FROM {rows} GROUP BY h");
        let text = self.answer(&sql)?;
        let pair = |line: &str| {
            let (hour, rows) = line.split_once('\t')?;
            Some((hour.parse().ok()?, rows.parse().ok()?))
        };
        let hours = text.trim().lines().map(pair).collect::<Option<_>>();
        hours.ok_or_else(|| self.refused(format!("'{}' are no hours: {sql}", text.trim())))
    }

    /// The rows of a batch. The times say where to look.
    fn rows(&self, batch: &Batch) -> String {
        let (first, last) = batch.encoded.starts.unwrap_or_default();
        let (table, id) = (&self.address.table, batch.id);
        // Both a DateTime64 and a number: seconds of either.
        let times = match self.is_modern() {
            true => format!(
                "flow_start >= fromUnixTimestamp64Nano(toInt64({first})) AND \
                 flow_start <= fromUnixTimestamp64Nano(toInt64({last}))"
            ),
            false => format!("flow_start >= {first} AND flow_start <= {last}"),
        };
        format!("{table} WHERE {BATCH} = {id} AND {times}")
    }

    fn number(&self, sql: &str) -> Result<u64, SinkError> {
        let text = self.answer(sql)?;
        let number = text.trim().parse();
        number.map_err(|_| self.refused(format!("'{}' is no number: {sql}", text.trim())))
    }

    /// Removes what is there of a batch, and waits until that is done. Says what is there then: all
    /// of it, if it arrived after all.
    fn remove(&self, batch: &Batch, there: u64) -> Result<There, SinkError> {
        let partial = |reason: String| SinkError::Partial {
            target: self.target(),
            batch: batch.id,
            there,
            rows: batch.encoded.rows,
            reason,
        };
        let rows = self.rows(batch).replacen(" WHERE", " DELETE WHERE", 1);
        let (database, table) = match self.address.table.split_once('.') {
            Some((database, table)) => (format!("'{database}'"), table),
            None => ("currentDatabase()".to_owned(), self.address.table.as_str()),
        };
        let at_work = format!(
            "SELECT count() FROM system.mutations WHERE database = {database} AND \
             table = '{table}' AND is_done = 0 AND position(command, '{}') > 0",
            batch.id
        );
        let mut patience = Patience::new(self.stop, Some(LONGEST_REMOVAL));
        loop {
            // Rows that came after it stay.
            self.answer(&format!("ALTER TABLE {rows}")).map_err(|e| partial(e.to_string()))?;
            while self.number(&at_work)? > 0 {
                patience.wait(&self.target(), "a removal is at work, see system.mutations")?;
            }
            match self.look(batch)? {
                There::Part(_) => {
                    patience.wait(&self.target(), "rows come while they are removed")?
                }
                there => return Ok(there),
            }
        }
    }
}

impl Sink for Table<'_> {
    fn deliver(&mut self, batch: &Batch, in_doubt: bool) -> Result<Delivered, SinkError> {
        let mut patience = Patience::new(self.stop, self.patience);
        let version = self.version()?;
        let mut is_in_doubt = in_doubt;
        loop {
            let mut rest = None;
            if is_in_doubt {
                let there = match self.look(batch)? {
                    There::Part(n) => {
                        rest = batch.encoded.without(&self.hours(batch)?);
                        if rest.is_some() { There::Part(n) } else { self.remove(batch, n)? }
                    }
                    there => there,
                };
                if matches!(there, There::All) {
                    return Ok(Delivered { was_there: in_doubt, ..Delivered::default() });
                }
            }
            let rows = rest.as_ref().unwrap_or(&batch.encoded.octets);
            match self.insert(batch, rows, version) {
                Ok(()) => return Ok(Delivered::default()),
                Err(Failed::Refused(reason)) => return Err(self.refused(reason)),
                Err(Failed::Later(reason)) => patience.wait(&self.target(), &reason)?,
            }
            is_in_doubt = true;
        }
    }
}

fn query_id(batch: &Batch) -> String {
    format!("flowlake-{:016x}", batch.id)
}

/// Servers answer 4xx to what is wrong and 5xx to what may be right later; old ones answer 500 to all,
/// and only their own number of the error tells.
fn refusal(status: u16, text: &str) -> Failed {
    /// Unknown columns, tables, types, settings, databases; wrong values, syntax; no rights.
    const WRONG: &[u32] = &[
        6, 10, 16, 20, 27, 33, 36, 38, 41, 43, 44, 47, 48, 50, 53, 60, 62, 70, 72, 81, 115, 164,
        192, 193, 194, 291, 492, 497, 516,
    ];
    let line = text.lines().next().unwrap_or_default();
    let reason = format!("{status}: {}", line.chars().take(300).collect::<String>());
    let code = line.strip_prefix("Code: ").and_then(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        rest.get(..end)?.parse::<u32>().ok()
    });
    // 252, too many parts, passes; so do those of time and memory.
    let is_wrong = match (status, code) {
        (_, Some(252)) | (408 | 429, _) => false,
        (_, Some(code)) => WRONG.contains(&code),
        (status, None) => (400..500).contains(&status),
    };
    if is_wrong { Failed::Refused(reason) } else { Failed::Later(reason) }
}

#[cfg(test)]
mod tests;
