//! Completions for shells.

use clap::builder::PossibleValuesParser;
use clap_complete::shells;
use flowsuite::args::programs::Program;

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// Where the completion of a program is written.
    pub fn path(self, name: &str) -> String {
        match self {
            Self::Bash => format!("bash/{name}"),
            Self::Zsh => format!("zsh/_{name}"),
            Self::Fish => format!("fish/{name}.fish"),
        }
    }
}

/// Words that a program takes without an option, and reads itself: program, argument, words.
const WORDS: [(&str, &str, &[&str]); 2] = [
    (
        "flowprobectl",
        "command",
        &[
            "statistics",
            "dump-flows",
            "timeouts",
            "expire-all",
            "delete-all",
            "send-template",
            "stop-gather",
            "start-gather",
            "debug+",
            "debug-",
            "shutdown",
            "exit",
            "help",
        ],
    ),
    (
        "flownatd",
        "words",
        &["start", "stop", "restart", "reload", "check", "install", "who", "help", "version"],
    ),
];

/// The completion of a program under one of its names.
pub fn script(program: &Program, name: &str, shell: Shell) -> Vec<u8> {
    let mut command = program.command(name);
    for (_, argument, words) in WORDS.iter().filter(|w| w.0 == program.name) {
        command = command.mut_arg(argument, |a| a.value_parser(PossibleValuesParser::new(*words)));
    }
    let mut out = Vec::new();
    match shell {
        Shell::Bash => clap_complete::generate(shells::Bash, &mut command, name, &mut out),
        Shell::Zsh => clap_complete::generate(shells::Zsh, &mut command, name, &mut out),
        Shell::Fish => clap_complete::generate(shells::Fish, &mut command, name, &mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowsuite::args::programs::PROGRAMS;

    #[test]
    fn words_are_those_of_the_help() {
        for (name, _, words) in WORDS {
            let program = PROGRAMS.iter().find(|p| p.name == name).expect("a program");
            let help = program.command(name).render_long_help().to_string();
            for word in words {
                assert!(help.split([' ', ',', '\n']).any(|w| w == *word), "{name}: {word}");
            }
        }
    }
}
