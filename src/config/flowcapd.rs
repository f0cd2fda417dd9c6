//! The configuration file of `flowcapd`: its long options as keys.
//!
//! ```toml
//! [flowcapd]                       # or without a section
//! port = [9995, 2055]
//! http = "127.0.0.1:9396"
//! [[flowcapd.source]]
//! ident = "core"
//! from = ["192.0.2.1", "2001:db8::/64"]
//! dir = "/var/flows/core"
//! sampling = 1000                  # may be left out, as may port
//! ```
//!
//! There is no second list of options: a key is the option of that name, and what is wrong with it
//! is told as for the option. Of a file for nfcapd (`[nfcapd]`, `[sfcapd]`) the exporters are taken.

use super::options::{self, Entry};
use anyhow::{Context as _, bail, ensure};
use std::path::Path;
use toml::{Table, Value};

/// Where a configuration is looked for when nobody says.
pub const SYSTEM: &str = "/etc/flowsuite/flowcapd.toml";

/// Reads the options of a file; `program` is the section to look for first.
///
/// # Errors
/// If the file cannot be read or understood, or a value is of no kind that an option can have.
pub(crate) fn read(path: &Path, program: &str) -> anyhow::Result<Vec<Entry>> {
    let table = options::load(path)?;
    entries(&table, program).with_context(|| format!("configuration file {}", path.display()))
}

fn entries(table: &Table, program: &str) -> anyhow::Result<Vec<Entry>> {
    if let Some(Value::Table(ours)) = table.get("flowcapd") {
        return options::options(ours, of_table);
    }
    let theirs = [program, "nfcapd", "sfcapd"].into_iter().find_map(|name| table.get(name));
    if let Some(Value::Table(theirs)) = theirs {
        return nfcapd(theirs);
    }
    // A file for several programs says nothing of this one.
    if options::is_of_others(table) {
        return Ok(Vec::new());
    }
    options::options(table, of_table)
}

fn of_table(key: &str, fields: &Table) -> anyhow::Result<Option<String>> {
    (key == "source").then(|| source(fields)).transpose()
}

/// A source as `-n` has it.
fn source(fields: &Table) -> anyhow::Result<String> {
    let known = ["ident", "from", "dir", "sampling", "port"];
    if let Some(key) = fields.keys().find(|k| !known.contains(&k.as_str())) {
        bail!("source: unknown key {key}; there are {}", known.join(", "));
    }
    let text = |key: &str| {
        let value = fields.get(key).and_then(Value::as_str);
        value.with_context(|| format!("source: {key} is missing, or no text"))
    };
    let from = match fields.get("from") {
        Some(Value::Array(all)) => {
            let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            all.context("source: from: addresses are texts")?.join(";")
        }
        _ => text("from")?.to_owned(),
    };
    let mut line = format!("{},{from},{}", text("ident")?, text("dir")?);
    for key in ["sampling", "port"] {
        match fields.get(key) {
            None => {}
            Some(Value::Integer(n)) => line.push_str(&format!(",{key}={n}")),
            Some(_) => bail!("source: {key} is a number"),
        }
    }
    Ok(line)
}

/// A section of nfcapd's or sfcapd's: `exporter.NAME = ["IP", "DIR"]` and `opt.tun`.
fn nfcapd(table: &Table) -> anyhow::Result<Vec<Entry>> {
    let mut all = Vec::new();
    if let Some(Value::Table(exporters)) = table.get("exporter") {
        for (ident, value) in exporters {
            let parts: Option<Vec<&str>> =
                value.as_array().and_then(|a| a.iter().map(Value::as_str).collect());
            let parts = parts.filter(|p| p.len() == 2);
            ensure!(parts.is_some(), "exporter.{ident}: write [\"IP\", \"DIR\"]");
            let word = format!("--source={ident},{}", parts.unwrap_or_default().join(","));
            all.push(Entry { name: "source".to_owned(), word: word.into() });
        }
    }
    let tunnels = table.get("opt").and_then(|opt| opt.get("tun")).and_then(Value::as_integer);
    if tunnels.is_some_and(|n| n != 0) {
        all.push(Entry { name: "option".to_owned(), word: "--option=tun".into() });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let table = toml::from_str::<Table>(text).unwrap();
        let all = entries(&table, "flowcapd").unwrap();
        all.into_iter().map(|e| e.word.into_string().unwrap()).collect()
    }

    #[test]
    fn keys_are_options() {
        let text = r#"
dir = "/var/flows"
port = [9995, 2055]
zone = true
daemon = false
sampling = -10
"#;
        let want = ["--dir=/var/flows", "--port=9995", "--port=2055", "--sampling=-10", "--zone"];
        assert_eq!(words(text), want);
        assert_eq!(words(&format!("[flowcapd]\n{text}[flowdump]\nmaxworkers = 2\n")), want);
        assert!(words("[flowdump]\nmaxworkers = 2\n").is_empty());
    }

    #[test]
    fn sources_are_tables_or_texts() {
        let text = r#"
source = ["a,192.0.2.1,/a"]
"#;
        assert_eq!(words(text), ["--source=a,192.0.2.1,/a"]);
        let text = r#"
[[source]]
ident = "b"
from = ["192.0.2.1", "2001:db8::/64"]
dir = "/b"
sampling = 10
port = 2055
"#;
        assert_eq!(words(text), ["--source=b,192.0.2.1;2001:db8::/64,/b,sampling=10,port=2055"]);
    }

    #[test]
    fn files_of_nfcapd_are_understood() {
        let text = "[nfcapd]\nexporter.up = [\"192.0.2.1\", \"/up\"]\n[sfcapd]\nopt.tun = 1\n";
        assert_eq!(words(text), ["--source=up,192.0.2.1,/up"]);
        assert_eq!(words("[sfcapd]\nopt.tun = 1\n"), ["--option=tun"]);
    }

    #[test]
    fn what_is_no_option_is_named() {
        for (text, said) in [
            ("port = 1.5", "port: float"),
            ("[[source]]\nident = \"b\"\nfrom = \"::1\"", "dir is missing"),
            ("[[source]]\nidentity = \"b\"", "unknown key identity"),
            ("[nfcapd]\nexporter.up = \"192.0.2.1\"", "exporter.up"),
        ] {
            let table = toml::from_str::<Table>(text).unwrap();
            let e = entries(&table, "flowcapd").unwrap_err().to_string();
            assert!(e.contains(said), "{text}: {e}");
        }
    }
}
