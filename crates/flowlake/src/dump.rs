//! `flowlake dump`: `flowdump`, that reads Parquet. `flowdump` runs it under its own name.

use flowsuite::app::program_name;
use flowsuite::cmd::flowdump::{Archive, with};
use flowsuite::exit::Exit;
use lake::read::{Lake, list, may_hold};
use std::ffi::OsString;
use std::sync::Arc;

/// Name and arguments of `flowdump`, if this is asked for. The name is that of the program that
/// handed over, if another one did.
pub(crate) fn asked(args: impl Iterator<Item = OsString>) -> Option<(String, Vec<OsString>)> {
    let args: Vec<OsString> = args.collect();
    if args.get(1)? != "dump" {
        return None;
    }
    let name = match program_name(&args) {
        name if name == "flowlake" => "flowdump".to_owned(),
        name => name,
    };
    let words = args.into_iter().skip(2);
    let all = std::iter::once(OsString::from(&name)).chain(words).collect();
    Some((name, all))
}

/// Answers.
pub(crate) fn run(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    with(name, args, Some(&Archive { opener: Arc::new(Lake), list, may_hold }))
}

/// The same, where options of `flowlake` stood before.
pub(crate) fn again(args: Vec<OsString>) -> anyhow::Result<Exit> {
    let name = "flowdump";
    run(name, std::iter::once(name.into()).chain(args).collect())
}
