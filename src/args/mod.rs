//! What the user typed. Nothing here touches files or the network, so that help and version
//! always work.

// Options are documented in the words of `--help`, where brackets are brackets.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

pub mod flowanon;
pub mod flowcapd;
pub mod flowdump;
pub mod flowexpire;
pub mod flowimport;
pub mod flowlake;
pub mod flownatd;
pub mod flowprobe;
pub mod flowprobectl;
pub mod flowprofile;
pub mod flowreplay;
pub mod flowtop;
pub mod many;
pub mod nfprofile;
pub mod programs;

use crate::config::options::Entry;
use crate::exit::Exit;
use anyhow::{Context as _, bail, ensure};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Parser};
use programs::is_old_name;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use store::rotate::SubDirs;
use store::{Compression, Packing};

/// Options as read, and where each of them stood.
#[derive(Debug)]
pub struct Read<A> {
    /// The options.
    pub args: A,
    pub(crate) matches: ArgMatches,
}

/// Reads the arguments of the program called `name`. Help and version are printed here, and so is
/// what is wrong; the exit status says which it was.
///
/// # Errors
///
/// Only where standard output or standard error cannot be written.
pub fn parse<A: Parser>(name: &str, args: Vec<OsString>) -> anyhow::Result<Result<Read<A>, Exit>> {
    let mut command = A::command().name(name.to_owned());
    let read = command
        .try_get_matches_from_mut(args)
        .and_then(|matches| Ok(Read { args: A::from_arg_matches(&matches)?, matches }));
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(e) if e.kind() == ErrorKind::DisplayVersion && is_of_nfdump(name) => {
            print_version(name).map(Err)
        }
        Err(e) => refuse(name, command, &e).map(Err),
    }
}

/// Whether a program goes by the name of one of nfdump's.
fn is_of_nfdump(name: &str) -> bool {
    is_old_name(name) && !["softflowd", "softflowctl", "nfflowd"].contains(&name)
}

/// The version in nfdump's words, which NfSen reads: that of nfdump whose options these are, and
/// ours.
fn print_version(name: &str) -> anyhow::Result<Exit> {
    let line = format!("{name}: Version: 1.7.8 (flowsuite {})\n", env!("CARGO_PKG_VERSION"));
    std::io::stdout().write_all(line.as_bytes()).context("print the version")?;
    Ok(Exit::Success)
}

/// Says what clap has to say instead of options: help, the version, or what is wrong.
fn refuse(name: &str, mut command: clap::Command, e: &clap::Error) -> anyhow::Result<Exit> {
    if !e.use_stderr() {
        e.print().context("print help")?;
        return Ok(Exit::Success);
    }
    eprintln!("{name}: {}; see {name} --help", one_line(&e.to_string()));
    // What the old tools do about it, scripts may rely on: nfdump and nfanon end well.
    if e.kind() == ErrorKind::UnknownArgument && is_old_name(name) {
        command.print_help().context("print help")?;
        return Ok(if matches!(name, "nfdump" | "nfanon") {
            Exit::Incomplete
        } else {
            Exit::Failure
        });
    }
    Ok(Exit::Failure)
}

/// What clap says over several lines, down to the usage, in one.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let said = lines.take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more"));
    let said: Vec<&str> = said.map(|l| l.strip_prefix("error: ").unwrap_or(l)).collect();
    said.join("; ").replace(":; ", ": ")
}

/// What a configuration file says.
pub(crate) struct FromFile<'a> {
    pub(crate) path: &'a Path,
    pub(crate) entries: &'a [Entry],
    /// Options that stand for one another: where the command line has one of them, none of them is
    /// taken from the file.
    pub(crate) alternatives: &'a [&'a [&'a str]],
}

/// Reads the command line once more, with a configuration file under it: an option on the command
/// line takes the place of all that the file says of it. What `is_idle` is left out, too.
pub(crate) fn merge<A: Parser>(
    name: &str,
    args: Vec<OsString>,
    typed: &ArgMatches,
    file: &FromFile<'_>,
    is_idle: &dyn Fn(&Entry) -> bool,
) -> anyhow::Result<Result<Read<A>, Exit>> {
    let program = args.first().cloned().unwrap_or_default();
    let words = |keep: &dyn Fn(&Entry) -> bool| -> Vec<OsString> {
        let kept = file.entries.iter().filter(|e| keep(e)).map(|e| e.word.clone());
        std::iter::once(program.clone()).chain(kept).collect()
    };
    if let Err(e) = A::try_parse_from(words(&|_| true)) {
        bail!("configuration file {}: {}", file.path.display(), one_line(&e.to_string()));
    }
    let is_typed = |entry: &Entry| is_typed::<A>(typed, &entry.name, file.alternatives);
    let mut all = words(&|entry| !is_typed(entry) && !is_idle(entry));
    all.extend(args.into_iter().skip(1));
    parse(name, all)
}

/// Whether the command line has the option of this long name, or one that stands for it.
pub(crate) fn is_typed<A: Parser>(
    matches: &ArgMatches,
    long: &str,
    alternatives: &[&[&str]],
) -> bool {
    let command = A::command();
    let Some(arg) = command.get_arguments().find(|a| a.get_long() == Some(long)) else {
        return false;
    };
    let id = arg.get_id().as_str();
    let group = alternatives.iter().find(|group| group.contains(&id));
    let is_there = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    group.map_or_else(|| is_there(id), |group| group.iter().any(|id| is_there(id)))
}

/// How files are compressed; nothing said is not at all.
#[derive(Debug, clap::Args)]
pub struct Compress {
    /// Compress: lz4 (also for a bare -z), zstd, bz2, lzo; lz4:LEVEL, zstd:LEVEL
    #[arg(
        short = 'z', long = "compress", value_name = "METHOD", num_args = 0..=1, require_equals = true,
        default_missing_value = "lz4", conflicts_with_all = ["bz2", "lz4"]
    )]
    pub method: Option<String>,

    /// Compress with bzip2
    #[arg(short = 'j', conflicts_with = "lz4")]
    pub bz2: bool,

    /// Compress with LZ4
    #[arg(short = 'y')]
    pub lz4: bool,
}

impl Compress {
    /// What `-z`, `-j` and `-y` say together.
    pub(crate) fn packing(&self) -> anyhow::Result<Packing> {
        Ok(match (&self.method, self.bz2, self.lz4) {
            (Some(method), _, _) => method.parse()?,
            (None, true, _) => Packing::from(Compression::Bz2),
            (None, _, true) => Packing::from(Compression::Lz4),
            (None, false, false) => Packing::from(Compression::None),
        })
    }
}

/// How a program that makes flows writes files of them.
#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// Seconds a file covers
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Files")]
    pub interval: u32,

    /// Sub directories: 0 none, 1 %Y/%m/%d, 2 %Y/%m/%d/%H, 3 %Y/%W/%u, 4 %Y/%W/%u/%H, 5 %Y/%j,
    /// 6 %Y/%j/%H, 7 %F, 8 %F/%H
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=8), help_heading = "Files")]
    pub subdirs: u8,

    /// Ident stored in the files: printable, no blanks, at most 121 characters
    #[arg(long, value_name = "IDENT", default_value = "none", help_heading = "Files")]
    pub ident: String,

    /// How what is written is compressed
    #[command(flatten)]
    pub compress: Compress,

    /// Write no index beside the files: searches then read them, until flowdump --index build
    #[arg(long, help_heading = "Files")]
    pub no_index: bool,
}

/// How files are written, read and checked.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Seconds of a file.
    pub interval: u32,
    /// Directories below the one that is written to.
    pub subdirs: SubDirs,
    /// Ident in the files.
    pub ident: String,
    /// Compression.
    pub packing: Packing,
    /// Whether files get an index.
    pub has_index: bool,
}

impl Rotate {
    /// What the options say together.
    pub(crate) fn rotation(&self) -> anyhow::Result<Rotation> {
        let printable = |c: char| ('!'..='~').contains(&c);
        let ident = &self.ident;
        ensure!(
            (1..=121).contains(&ident.len()) && ident.chars().all(printable),
            "--ident '{}': 1 to 121 printable characters without blanks",
            ident.escape_debug()
        );
        Ok(Rotation {
            has_index: !self.no_index,
            interval: self.interval,
            subdirs: SubDirs::new(self.subdirs).context("--subdirs takes 0 to 8")?,
            ident: ident.clone(),
            packing: self.compress.packing()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_told_in_one_line() {
        let said = |args: &[&str]| {
            let args = [&["flowdump"], args].concat();
            one_line(&flowdump::Args::try_parse_from(args).unwrap_err().to_string())
        };
        assert_eq!(
            said(&["--colour"]),
            "unexpected argument '--colour' found; tip: a similar argument exists: '--color'"
        );
        assert_eq!(
            said(&["--color", "zebra"]),
            "invalid value 'zebra' for '--color <WHEN>'; [possible values: auto, always, never]"
        );
        assert_eq!(
            one_line(
                &flowprobectl::Args::try_parse_from(["flowprobectl"]).unwrap_err().to_string()
            ),
            "the following required arguments were not provided: <COMMAND>"
        );
        assert!(said(&["-W", "x"]).starts_with("invalid value 'x' for '--threads <N>': "));
    }
}
