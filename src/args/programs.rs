//! All programs of the suite. Manual pages, completions, packages and links of old names are made
//! from this list, so a program that stands here has all of them.

use super::{
    flowanon, flowcapd, flowdump, flowexpire, flowimport, flowlake, flownatd, flowprobe,
    flowprobectl, flowprofile, flowreplay, flowtop, nfprofile,
};
use clap::{Command, CommandFactory};

/// A program and its names.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name that it is installed under.
    pub name: &'static str,
    /// Names of the tools that it replaces: links to it in the package `flowsuite-compat`.
    pub old_names: &'static [&'static str],
    /// Section of the manual: 1 for what anybody runs, 8 for daemons and administration.
    pub section: Section,
    /// What it is installed with.
    pub package: Package,
    /// Its options.
    pub command: fn() -> Command,
}

/// Section of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Section 1: what anybody runs.
    Users = 1,
    /// Section 8: daemons, and what those run who look after them.
    Administration = 8,
}

use Section::{Administration, Users};

/// What is installed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// `flowsuite`: the programs of the root package.
    Suite,
    /// `flowsuite-lake`: a program whose libraries are as large as all others together.
    Lake,
}

impl Package {
    /// The word for it in the list that installation goes by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Suite => "suite",
            Self::Lake => "lake",
        }
    }
}

/// All programs, by name.
pub const PROGRAMS: &[Program] = &[
    program::<flowanon::Args>("flowanon", &["nfanon"], Users),
    program::<flowcapd::Args>("flowcapd", &["nfcapd", "sfcapd"], Administration),
    program::<flowdump::Args>("flowdump", &["nfdump"], Users),
    program::<flowexpire::Args>("flowexpire", &["nfexpire"], Administration),
    program::<flowimport::Args>("flowimport", &[], Users),
    Program { package: Package::Lake, ..program::<flowlake::Args>("flowlake", &[], Users) },
    program::<flownatd::Args>("flownatd", &["nfflowd"], Administration),
    program::<flowprobe::Args>("flowprobe", &["softflowd"], Administration),
    program::<flowprobectl::Args>("flowprobectl", &["softflowctl"], Administration),
    program::<flowprofile::Args>("flowprofile", &["nfprofile"], Administration),
    program::<flowreplay::Args>("flowreplay", &["nfreplay"], Users),
    program::<flowtop::Args>("flowtop", &[], Users),
];

const fn program<A: CommandFactory>(
    name: &'static str,
    old_names: &'static [&'static str],
    section: Section,
) -> Program {
    Program { name, old_names, section, package: Package::Suite, command: A::command }
}

impl Program {
    /// Its options, under its own name or an old one.
    pub fn command(&self, name: &str) -> Command {
        let command = match self.has_own_options(name) {
            true => nfprofile::Args::command(),
            false => (self.command)(),
        };
        command.name(name.to_owned()).bin_name(name.to_owned())
    }

    /// Whether it has other options under this old name than under all others, and so a page of the
    /// manual for it alone.
    pub fn has_own_options(&self, name: &str) -> bool {
        // NfSen's tool has another form than ours: no commands.
        name == "nfprofile"
    }

    /// Its own name and the old ones.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.old_names.iter().copied())
    }
}

/// Whether this is the name of a tool that one of the programs replaces.
pub fn is_old_name(name: &str) -> bool {
    PROGRAMS.iter().any(|program| program.old_names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn nfprofile_has_options_of_its_own() {
        let program = PROGRAMS.iter().find(|p| p.name == "flowprofile").unwrap();
        let has_commands = |name| program.command(name).get_subcommands().next().is_some();
        assert!(has_commands("flowprofile") && !has_commands("nfprofile"));
    }

    #[test]
    fn every_program_is_listed_once() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
        let mut files: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        let of_suite = PROGRAMS.iter().filter(|p| p.package == Package::Suite);
        let names: Vec<_> = of_suite.map(|p| p.name).collect();
        assert_eq!(names, files, "src/bin and PROGRAMS, by name");
        let all: Vec<_> = PROGRAMS.iter().flat_map(Program::names).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    }

    #[test]
    fn old_names_are_known() {
        for (name, is_old) in
            [("nfdump", true), ("nfflowd", true), ("flowdump", false), ("", false)]
        {
            assert_eq!(is_old_name(name), is_old, "{name}");
        }
    }

    #[test]
    fn commands_are_sound() {
        for program in PROGRAMS {
            for name in program.names() {
                program.command(name).debug_assert();
            }
        }
    }
}
