//! Options of a program in a file: TOML, with long names as keys. There is no second list of
//! options: a key is the option of that name, and what is wrong with it is told as for the option.

use anyhow::{Context as _, bail};
use std::ffi::OsString;
use std::path::Path;
use toml::{Table, Value};

/// An option from a file: its long name, and the word of the command line that it stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) word: OsString,
}

/// What an option is whose value is a table; `None` where it cannot be one.
pub(crate) type OfTable = fn(&str, &Table) -> anyhow::Result<Option<String>>;

/// Reads a file.
///
/// # Errors
/// If it cannot be read, or is no TOML.
pub(crate) fn load(path: &Path) -> anyhow::Result<Table> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).with_context(|| format!("configuration file {shown}"))?;
    match toml::from_str::<Table>(&text) {
        Ok(table) => Ok(table),
        Err(e) => bail!("configuration file {shown}: {}", e.to_string().trim_end()),
    }
}

/// The options of a section, or of a file without sections.
///
/// # Errors
/// If a value is of no kind that an option can have.
pub(crate) fn options(table: &Table, of_table: OfTable) -> anyhow::Result<Vec<Entry>> {
    let mut all = Vec::new();
    for (key, value) in table {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            if let Some(text) = word(key, value, of_table)? {
                all.push(Entry { name: key.clone(), word: text.into() });
            }
        }
    }
    Ok(all)
}

/// Whether a file has sections only, none of which is of this program: it says nothing of it.
pub(crate) fn is_of_others(table: &Table) -> bool {
    !table.is_empty() && table.values().all(Value::is_table)
}

/// The word for one value, `None` for what is switched off.
fn word(key: &str, value: &Value, of_table: OfTable) -> anyhow::Result<Option<String>> {
    Ok(Some(match value {
        Value::Boolean(true) => format!("--{key}"),
        Value::Boolean(false) => return Ok(None),
        Value::String(text) => format!("--{key}={text}"),
        Value::Integer(n) => format!("--{key}={n}"),
        Value::Table(fields) => match of_table(key, fields)? {
            Some(text) => format!("--{key}={text}"),
            None => bail!("{key}: table is no value for it"),
        },
        other => bail!("{key}: {} is no value for it", other.type_str()),
    }))
}
