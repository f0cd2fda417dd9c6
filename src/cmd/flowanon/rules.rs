//! What is replaced, and by what: the options in terms of the library.

use super::super::complain;
use crate::app::WithExit;
use crate::args::flowanon::{Args, Keep, MacHow};
use crate::exit::Exit;
use anon::{CryptoPan, Key, Macs, Policy, PrefixSet, Rule, Truncation};
use anyhow::{Context as _, ensure};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Bits that stay without a key where only the other family's are given.
const USUAL: Truncation = Truncation { v4: 24, v6: 48 };
/// All bits.
const WHOLE: Truncation = Truncation { v4: 32, v6: 128 };
/// The longest first line of a key file: longer than a key is.
const LINE_MAX: u64 = 1024;
/// The longest list of prefixes.
const LIST_MAX: u64 = 64 << 20;

/// Which addresses are replaced, and by what.
pub(super) fn rule(name: &str, args: &Args) -> anyhow::Result<Rule> {
    if args.keep_source && args.keep_destination {
        let message = "-s and -d together leave nothing to anonymise: give one of them";
        return Err(wrong(message.to_owned()));
    }
    let crypt = key(name, args)?.map(|key| CryptoPan::new(&key));
    let is_cut = args.truncate4.is_some() || args.truncate6.is_some();
    if crypt.is_none() && !is_cut {
        let message = "Expect -K <key>, --key-file FILE, or --truncate4 and --truncate6";
        return Err(wrong(message.to_owned()));
    }
    let usual = if crypt.is_some() { WHOLE } else { USUAL };
    let truncation = is_cut.then(|| Truncation {
        v4: args.truncate4.unwrap_or(usual.v4),
        v6: args.truncate6.unwrap_or(usual.v6),
    });
    let only = prefixes("--only", args.only.as_deref())?;
    // An empty list of what to replace would be all.
    ensure!(
        args.only.is_none() || !only.is_empty(),
        "--only: there are no prefixes in it; leave it out to replace all addresses"
    );
    let except = prefixes("--except", args.except.as_deref())?;
    Ok(Rule { crypt, truncation, only, except })
}

/// What stays of a record.
pub(super) fn policy(args: &Args) -> Policy {
    let keeps = |what| args.keep.contains(&what);
    Policy {
        keeps_source: args.keep_source,
        keeps_destination: args.keep_destination,
        keeps_as: args.keep_as,
        macs: match args.macs {
            MacHow::Replace => Macs::Replace,
            MacHow::Zero => Macs::Zero,
            MacHow::Keep => Macs::Keep,
        },
        keeps_payload: keeps(Keep::Payload),
        keeps_users: keeps(Keep::Users),
        keeps_labels: keeps(Keep::Labels),
        keeps_names: keeps(Keep::Names),
    }
}

fn wrong(message: String) -> anyhow::Error {
    WithExit { exit: Exit::Key, message }.into()
}

fn key(name: &str, args: &Args) -> anyhow::Result<Option<Key>> {
    let file = args.key.as_deref().and_then(|k| k.strip_prefix('@')).map(Path::new);
    let key = match (args.key_file.as_deref().or(file), args.key.as_deref()) {
        // A key of 32 characters may well begin with @.
        (Some(_), Some(text)) if text.len() == 32 => Key::parse(text.as_bytes()),
        (Some(path), _) => Key::parse(&first_line(name, path)?),
        (None, Some(text)) => Key::parse(text.as_bytes()),
        (None, None) => return Ok(None),
    };
    key.map(Some).map_err(|e| wrong(format!("Invalid key for CryptoPAn: it {e}")))
}

/// The first line of a key file; says so if everybody may read it.
fn first_line(name: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("key file {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let meta = file.metadata().with_context(failed)?;
    if meta.is_file() && meta.permissions().mode() & 0o007 != 0 {
        let what =
            format!("key file {}: others may read it; chmod o= makes it yours", path.display());
        complain(name, &what);
    }
    let mut line = Vec::new();
    BufReader::new(file.take(LINE_MAX)).read_until(b'\n', &mut line).with_context(failed)?;
    while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

fn prefixes(option: &str, text: Option<&str>) -> anyhow::Result<PrefixSet> {
    let Some(text) = text else { return Ok(PrefixSet::default()) };
    let Some(path) = text.strip_prefix('@') else {
        return PrefixSet::parse(text).with_context(|| option.to_owned());
    };
    let failed = || format!("{option} {path}");
    let len = fs::metadata(path).with_context(failed)?.len();
    ensure!(len <= LIST_MAX, "{option} {path}: longer than 64 MiB; join prefixes to shorter ones");
    let mut list = String::new();
    File::open(path)
        .and_then(|file| file.take(LIST_MAX).read_to_string(&mut list))
        .with_context(failed)?;
    PrefixSet::parse(&list).with_context(failed)
}
