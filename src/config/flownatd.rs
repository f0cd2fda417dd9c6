//! The configuration file of `flownatd`: its long options as keys.
//!
//! ```toml
//! [flownatd]                       # or without a section
//! to = ["192.0.2.10:4739"]
//! write = "/var/flows/nat"
//! [[flownatd.output]]              # further collectors, each with its own records
//! to = "192.0.2.20:2055"
//! version = 9
//! records = ["nel"]
//! ```

use super::nfflowd;
use super::options::{self, Entry};
use anyhow::{Context as _, bail};
use std::path::Path;
use toml::{Table, Value};

/// Where a configuration is looked for when nobody says.
pub const SYSTEM: &str = "/etc/flowsuite/flownatd.toml";

/// Where it is for the program of this name; `None` if there is none.
pub(crate) fn of_system(program: &str) -> Option<&'static Path> {
    let nfflowds = Some(nfflowd::SYSTEM).filter(|_| program == "nfflowd");
    nfflowds.into_iter().chain([SYSTEM]).map(Path::new).find(|p| p.exists())
}

/// Reads the options of a file, which may be one of nfflowd's.
///
/// # Errors
/// If the file cannot be read or understood, or a value is of no kind that an option can have.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let shown = || format!("configuration file {}", path.display());
    let text = std::fs::read_to_string(path).with_context(shown)?;
    if nfflowd::is_one(&text) {
        let mut entries = nfflowd::entries(&text).with_context(shown)?;
        // nfflowd works without syslog, too: that is a copy which nobody asked for.
        entries.retain(|e| e.name != "syslog" || Path::new(nfflowd::SYSLOG).exists());
        return Ok(entries);
    }
    let table = options::load(path)?;
    entries(&table).with_context(shown)
}

fn entries(table: &Table) -> anyhow::Result<Vec<Entry>> {
    match table.get("flownatd") {
        Some(Value::Table(ours)) => options::options(ours, of_table),
        _ if options::is_of_others(table) => Ok(Vec::new()),
        _ => options::options(table, of_table),
    }
}

/// An output as `--output` has it.
fn of_table(key: &str, fields: &Table) -> anyhow::Result<Option<String>> {
    if key != "output" {
        return Ok(None);
    }
    let to = fields.get("to").and_then(Value::as_str);
    let mut text = to.context("output: to is missing, or no text")?.to_owned();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "to") {
        let value = match (name.as_str(), value) {
            ("version", Value::Integer(n)) => n.to_string(),
            ("records", Value::Array(all)) => {
                let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
                all.context("output: records: names are texts")?.join("+")
            }
            ("records" | "transport", Value::String(text)) => text.replace(',', "+"),
            ("version" | "records" | "transport", _) => bail!("output: {name}: no value for it"),
            _ => bail!("output: unknown key {name}; there are to, version, records, transport"),
        };
        text.push_str(&format!(",{name}={value}"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> anyhow::Result<Vec<String>> {
        let all = entries(&toml::from_str::<Table>(text).unwrap())?;
        Ok(all.into_iter().map(|e| e.word.into_string().unwrap()).collect())
    }

    #[test]
    fn keys_are_options_and_outputs_are_tables_or_texts() {
        let text = "[flownatd]\nto = [\"a:1\", \"b:2\"]\nnat-only = true\nreliable = false\n\
                    [[flownatd.output]]\nto = \"c:3\"\nversion = 9\nrecords = [\"nel\", \"biflow\"]\n";
        // Keys of a table come in their own order.
        let mut got = words(text).unwrap();
        got.sort();
        let want =
            ["--nat-only", "--output=c:3,records=nel+biflow,version=9", "--to=a:1", "--to=b:2"];
        assert_eq!(got, want);
        assert_eq!(words("output = \"c:3,version=5\"").unwrap(), ["--output=c:3,version=5"]);
        assert!(words("[flowdump]\nmaxworkers = 1\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_output_is_named() {
        for (text, said) in [
            ("[[output]]\nversion = 9\n", "to is missing"),
            ("[[output]]\nto = \"a:1\"\nversions = 9\n", "unknown key versions"),
            ("[[output]]\nto = \"a:1\"\nversion = \"9\"\n", "version: no value"),
            ("[write]\ndir = 1\n[x]\n", ""),
            ("x = 1\n[write]\ndir = 1\n", "write: table"),
        ] {
            match words(text) {
                Ok(all) => assert!(said.is_empty() && all.is_empty(), "{text}: {all:?}"),
                Err(e) => assert!(!said.is_empty() && e.to_string().contains(said), "{text}: {e}"),
            }
        }
    }
}
