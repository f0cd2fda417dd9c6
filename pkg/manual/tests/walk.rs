//! Every option of every program is in its page and in its completions, and what reads those has
//! nothing to say against them.

use clap::{Arg, Command};
use flowsuite::args::programs::{PROGRAMS, Program};
use manual::complete::{Shell, script};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

/// Options, those of sub commands too, with the words that lead there.
fn walk(command: &Command, words: &[String], see: &mut dyn FnMut(&[String], &Arg)) {
    command.get_arguments().for_each(|argument| see(words, argument));
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        walk(sub, &[words, &[sub.get_name().to_owned()]].concat(), see);
    }
}

/// A command with the options that clap adds.
fn built(program: &Program, name: &str) -> Command {
    let mut command = program.command(name);
    command.build();
    command
}

/// All names that an argument is given by, hidden ones too, or those that are shown.
fn names(argument: &Arg, with_hidden: bool) -> Vec<String> {
    let (short, long) = match with_hidden {
        true => (argument.get_all_short_aliases(), argument.get_all_aliases()),
        false => (argument.get_visible_short_aliases(), argument.get_visible_aliases()),
    };
    let shorts = argument.get_short().into_iter().chain(short.unwrap_or_default());
    let longs = argument.get_long().into_iter().chain(long.unwrap_or_default());
    shorts.map(|c| format!("-{c}")).chain(longs.map(|long| format!("--{long}"))).collect()
}

/// Lines that name options in a page: those after `.TP`.
fn tags(page: &str) -> Vec<&str> {
    page.lines().zip(page.lines().skip(1)).filter(|l| l.0 == ".TP").map(|l| l.1).collect()
}

#[test]
fn every_option_is_in_the_page() {
    let (_kept, dir) = written();
    for program in PROGRAMS {
        for name in program.names() {
            has_every_option(program, name, &page_of(&dir, program, name));
        }
    }
}

/// What `man NAME` shows: the page of this name, or the one that it leads to.
fn page_of(dir: &Path, program: &Program, name: &str) -> String {
    let read = |path: &str| std::fs::read_to_string(dir.join("man").join(path)).expect("a page");
    let page = read(&format!("{name}.{}", program.section as u8));
    match page.strip_prefix(".so ").and_then(|path| path.trim().rsplit_once('/')) {
        Some((_, target)) => read(target),
        None => page,
    }
}

fn has_every_option(program: &Program, name: &str, page: &str) {
    let tags = tags(page);
    let mut seen = 0;
    walk(&built(program, name), &[], &mut |words, argument| {
        for option in names(argument, true) {
            let tag = format!("\\fB{}\\fR", manual::roff::escape(&option));
            let count = tags.iter().filter(|t| t.contains(&tag)).count();
            assert!(count > 0, "{name} {words:?}: {option} is not in the page");
            seen += 1;
        }
        for value in argument.get_value_names().unwrap_or_default() {
            let value = format!("\\fI{}\\fR", manual::roff::escape(value));
            let is_flag = !argument.get_action().takes_values();
            assert!(is_flag || page.contains(&value), "{name}: {value}");
        }
    });
    assert!(seen >= 4, "{name}: {seen} options");
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"] {
        let heading = format!(".SH \"{section}\"\n");
        assert_eq!(page.matches(&heading).count(), 1, "{name}: {section}");
    }
    let is_of_flows =
        ["flowcapd", "flowdump", "flowprofile", "flowreplay", "flowtop"].contains(&program.name);
    assert!(!is_of_flows || page.contains("\\fBflowsuite\\-filter\\fR(5)"), "{name}");
    // Where the page says which names it is for, this is one of them.
    let says = page.lines().skip_while(|l| *l != ".SH \"NAME\"").nth(1).expect("a line");
    let (named, _) = says.split_once(" \\- ").expect("names and what they are");
    assert!(named.split(", ").any(|n| n == name), "{name}: {says}");
}

/// Whether a completion knows an option.
fn knows(text: &str, shell: Shell, option: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '-');
    let (needle, before): (String, &[char]) = match shell {
        Shell::Bash => (option.to_owned(), &[' ', '"']),
        Shell::Zsh => (option.to_owned(), &['\'', '"', '*', ')']),
        Shell::Fish => {
            let letters = option.trim_start_matches('-');
            let kind = if option.starts_with("--") { "-l" } else { "-s" };
            (format!("{kind} {letters}"), &[' '])
        }
    };
    text.match_indices(&needle).any(|(at, _)| {
        let rest = text.get(at + needle.len()..).unwrap_or_default();
        text.get(..at).is_some_and(|t| t.ends_with(before))
            // zsh: -z and its value are one word.
            && (is_end(rest.chars().next()) || shell == Shell::Zsh && !option.starts_with("--"))
    })
}

#[test]
fn every_option_is_in_the_completions() {
    for program in PROGRAMS {
        for name in program.names() {
            for shell in Shell::ALL {
                let text = String::from_utf8(script(program, name, shell)).expect("text");
                walk(&built(program, name), &[], &mut |words, argument| {
                    // What is taken for the sake of old command lines only is not offered.
                    for option in names(argument, false).iter().filter(|_| !argument.is_hide_set())
                    {
                        assert!(
                            knows(&text, shell, option),
                            "{name} {words:?} {shell:?}: {option}"
                        );
                    }
                });
            }
        }
    }
    assert!(!knows("opts=\"--all-flows -a\"", Shell::Bash, "--all"));
    assert!(!knows("complete -c x -l all-flows", Shell::Fish, "--all"));
    assert!(!knows("'--all-flows=[x]'", Shell::Zsh, "--all"));
}

/// What a program that reads standard input or files printed, if there is such a program.
fn ask(program: &str, args: &[&str]) -> Option<String> {
    let mut process = Process::new(program);
    process.args(args).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100");
    let Ok(answer) = process.output() else {
        println!("skipped: {program} is not installed");
        return None;
    };
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success() && said.is_empty(), "{program} {args:?}: {said}");
    Some(String::from_utf8_lossy(&answer.stdout).into_owned())
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn written() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    manual::write(dir.path()).expect("written");
    let path = dir.path().to_owned();
    (dir, path)
}

#[test]
fn shells_offer_every_option() {
    let (_kept, dir) = written();
    for program in PROGRAMS {
        for name in program.names() {
            let [bash, zsh, fish] = Shell::ALL.map(|shell| dir.join(shell.path(name)));
            let (bash, fish) = (text_of(&bash), text_of(&fish));
            ask("bash", &["-n", bash]);
            ask("zsh", &["-n", text_of(&zsh)]);
            ask("fish", &["--no-config", "-n", fish]);
            // What bash offers after a dash.
            let offer = format!(
                "source '{bash}'; COMP_WORDS=({name} -); COMP_CWORD=1; \
                 $(complete -p {name} | sed 's/.*-F \\([^ ]*\\).*/\\1/') {name} - {name}; \
                 printf '%s\\n' \"${{COMPREPLY[@]}}\""
            );
            let offered = ask("bash", &["--norc", "-c", &offer]).expect("bash");
            let offered: Vec<_> = offered.lines().collect();
            let by_fish =
                format!("source '{fish}'; complete -C '{name} -'; complete -C '{name} --'");
            let by_fish = ask("fish", &["--no-config", "-c", &by_fish]);
            walk(&built(program, name), &[], &mut |words, argument| {
                if argument.is_hide_set() || !words.is_empty() {
                    return;
                }
                for option in names(argument, false) {
                    assert!(offered.contains(&option.as_str()), "{name}: {option} in {offered:?}");
                    if let Some(by_fish) = &by_fish {
                        // fish takes the second of two names for the same, where it is short.
                        let mut words = by_fish.lines().filter_map(|l| l.split('\t').next());
                        assert!(words.any(|w| w == option), "{name}: {option} in fish: {by_fish}");
                    }
                }
            });
        }
    }
}

#[test]
fn pages_are_set_without_a_warning() {
    let (_kept, dir) = written();
    let man = dir.join("man");
    let mut pages: Vec<_> =
        std::fs::read_dir(&man).expect("pages").map(|e| e.expect("entry").path()).collect();
    pages.sort();
    let names: usize = PROGRAMS.iter().map(|p| p.names().count()).sum();
    assert_eq!(pages.len(), names + manual::formats().len());
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        if text.starts_with(".so ") {
            let target = man.join(text.trim().rsplit('/').next().expect("a name"));
            assert!(target.is_file(), "{} leads nowhere: {text}", page.display());
            continue;
        }
        assert!(text.is_ascii(), "{}", page.display());
        let Some(shown) = ask("man", &["--warnings", "-l", text_of(&page)]) else { return };
        let stem = page.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(shown.contains("SEE ALSO") && shown.contains(&stem), "{stem}: {shown}");
    }
}

#[test]
fn pages_of_configuration_have_every_key() {
    for (program, page) in
        [("flowcapd", manual::keys::flowcapd()), ("flownatd", manual::keys::flownatd())]
    {
        let program = PROGRAMS.iter().find(|p| p.name == program).expect("a program");
        let tags = tags(&page);
        for argument in program.command(program.name).get_arguments() {
            let Some(long) = argument.get_long() else { continue };
            let tag = format!("\\fB{}\\fR = ", manual::roff::escape(long));
            let is_there = tags.iter().any(|t| t.starts_with(&tag));
            assert_eq!(
                is_there,
                !["config", "version"].contains(&long),
                "{}: {long}",
                program.name
            );
        }
    }
    // Words of the program that reads it.
    let page = manual::keys::flowdump();
    for key in ["fmt.NAME", "csv.NAME", "geodb.path", "tordb.path", "maxworkers", "memory"] {
        assert!(tags(&page).contains(&format!("\\fB{key}\\fR").as_str()), "{key}");
    }
}
