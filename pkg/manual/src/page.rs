//! The page of a program, from what `--help` says.

use crate::roff::{Page, bold, italic};
use clap::{Arg, ArgAction, Command};
use flowsuite::args::programs::{PROGRAMS, Program};

/// Names and what they are.
type Named = (&'static str, &'static [(&'static str, &'static str)]);

/// Files that a program reads or writes without being told where, and what they are.
const FILES: [Named; 4] = [
    (
        "flowcapd",
        &[
            ("/etc/flowsuite/flowcapd.toml", "Options: flowcapd.toml(5)."),
            ("/var/lib/flowsuite/flows", "Flows, as the service is installed: flowsuite-files(5)."),
        ],
    ),
    (
        "flowdump",
        &[
            ("/etc/flowsuite/flowdump.toml", "Formats and databases: flowdump.toml(5)."),
            ("/etc/nfdump/nfdump.conf", "The same, where that one is not there."),
        ],
    ),
    (
        "flownatd",
        &[
            ("/etc/flowsuite/flownatd.toml", "Options: flownatd.toml(5)."),
            ("/run/flownatd.pid", "The process in the background."),
        ],
    ),
    (
        "flowprobe",
        &[
            (
                "/etc/flowsuite/flowprobe-NAME.env",
                "interface= and options= of the service flowprobe@NAME.",
            ),
            ("/run/flowprobe/NAME.ctl", "Its control socket: flowprobectl -c."),
            ("/run/flowprobe.ctl", "Control socket of a probe that is started by hand."),
        ],
    ),
];

/// What a program looks at in the environment.
const ENVIRONMENT: [Named; 1] = [(
    "flowdump",
    &[
        ("NFCONF", "Configuration file, where -C names none."),
        ("NFGEODB", "Databases of countries and autonomous systems, where -G names none."),
        ("NFTORDB", "List of Tor exits, where no option names one."),
        ("NO_COLOR", "Colours are off if it is not empty."),
        ("TZ", "Zone of times."),
    ],
)];

/// Pages of section 5 that belong to a program; flowsuite-files(5) belongs to all.
const FORMATS: [(&str, &str); 8] = [
    ("flowcapd", "flowcapd.toml"),
    ("flowdump", "flowdump.toml"),
    ("flownatd", "flownatd.toml"),
    // Filters of flows; those of flowprobe are libpcap's.
    ("flowcapd", "flowsuite-filter"),
    ("flowdump", "flowsuite-filter"),
    ("flowprofile", "flowsuite-filter"),
    ("flowreplay", "flowsuite-filter"),
    ("flowtop", "flowsuite-filter"),
];

/// The page of a program, for its own name and all that it has the same options under; or for a name
/// that it has options of its own under.
pub fn page(program: &Program, name: &'static str) -> String {
    let mut command = program.command(name);
    command.build();
    let names: Vec<_> = match program.has_own_options(name) {
        true => vec![name],
        false => program.names().filter(|n| !program.has_own_options(n)).collect(),
    };
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let about = about.trim_end_matches('.');
    let mut page = Page::new(name, program.section as u8, &names, about);
    page.section("Synopsis");
    for name in names {
        page.raw(&usage(&program.command(name), name));
    }
    page.section("Description");
    let long = command.get_long_about().or_else(|| command.get_about());
    page.text(&long.map(ToString::to_string).unwrap_or_default());
    page.section("Options");
    options(&mut page, &command);
    subcommands(&mut page, &command, name);
    notes(&mut page, &command, None);
    list(&mut page, "Environment", &ENVIRONMENT, program.name);
    list(&mut page, "Files", &FILES, program.name);
    see_also(&mut page, program, name);
    page.finish()
}

/// The line of usage, with the program in bold.
fn usage(command: &Command, name: &str) -> String {
    let text = command.clone().render_usage().to_string();
    let text = text.trim_start_matches("Usage:").trim();
    let rest = text.strip_prefix(name).unwrap_or(text).split_whitespace().collect::<Vec<_>>();
    format!("{} {}", bold(name), italic(&rest.join(" ")))
}

/// Options under their headings, what is taken without one first, and those of old last.
fn options(page: &mut Page, command: &Command) {
    let all: Vec<_> = command.get_arguments().collect();
    let shown = || all.iter().filter(|a| !a.is_hide_set());
    let mut headings: Vec<Option<&str>> = Vec::new();
    for argument in shown() {
        let heading = heading(&all, argument);
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    headings.sort_by_key(Option::is_some);
    for heading_of in headings {
        if let Some(title) = heading_of {
            page.part(title);
        }
        for argument in shown().filter(|a| heading(&all, a) == heading_of) {
            page.entry(&tag(argument), &told(argument));
        }
    }
    let old: Vec<_> = all.iter().filter(|a| a.is_hide_set()).collect();
    if !old.is_empty() {
        page.part("Of old");
        page.text("Taken so that command lines of before go on working.");
        for argument in old {
            page.entry(&tag(argument), &told(argument));
        }
    }
}

/// What an argument stands under: help goes with the version.
fn heading<'a>(all: &[&'a Arg], argument: &'a Arg) -> Option<&'a str> {
    let version = || all.iter().find(|a| a.get_id() == "version");
    match argument.get_id() == "help" {
        true => version()?.get_help_heading(),
        false => argument.get_help_heading(),
    }
}

/// All names of an argument, and its value.
fn tag(argument: &Arg) -> String {
    let shorts = argument.get_short().into_iter();
    let shorts = shorts.chain(argument.get_all_short_aliases().unwrap_or_default());
    let longs = argument.get_long().into_iter();
    let longs = longs.chain(argument.get_all_aliases().unwrap_or_default());
    let mut names: Vec<_> = shorts.map(|c| bold(&format!("-{c}"))).collect();
    names.extend(longs.map(|long| bold(&format!("--{long}"))));
    let mut text = names.join(", ");
    let range = argument.get_num_args().unwrap_or_default();
    let value = argument.get_value_names().unwrap_or_default();
    let value: Vec<_> = value.iter().map(|name| italic(name)).collect();
    let value = value.join(" ");
    if names.is_empty() {
        let many = if range.max_values() > 1 { " ..." } else { "" };
        return format!("{value}{many}");
    }
    if matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
        text.push_str(&match (range.min_values(), argument.is_require_equals_set()) {
            (0, true) => format!("[={value}]"),
            (0, false) => format!(" [{value}]"),
            (_, true) => format!("={value}"),
            (_, false) => format!(" {value}"),
        });
    }
    text
}

/// What help says of an argument, with the values there are and what it is when nobody says.
pub(crate) fn told(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default();
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let values = argument.get_possible_values();
    let values: Vec<_> = values.iter().filter(|v| !v.is_hide_set()).map(|v| v.get_name()).collect();
    if takes_value && !argument.is_hide_possible_values_set() && !values.is_empty() {
        text.push_str(&format!(" [possible values: {}]", values.join(", ")));
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if takes_value && !argument.is_hide_default_value_set() && !defaults.is_empty() {
        text.push_str(&format!(" [default: {}]", defaults.join(" ")));
    }
    text
}

fn subcommands(page: &mut Page, command: &Command, above: &str) {
    // clap's own `help` takes nothing but names of the others.
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        let name = format!("{above} {}", sub.get_name());
        page.section(&name);
        let long = sub.get_long_about().or_else(|| sub.get_about());
        page.text(&long.map(ToString::to_string).unwrap_or_default());
        options(page, sub);
        notes(page, sub, Some(&name));
        subcommands(page, sub, &name);
    }
}

/// What stands after the options: lines that begin so have sections of their own. Those of a command
/// of the program bear its name.
fn notes(page: &mut Page, command: &Command, name: Option<&str>) {
    const OWN: [&str; 5] = ["Exit status", "Signals", "Examples", "Commands", "Keys"];
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string).unwrap_or_default();
    let mut sections: Vec<(&str, String)> = Vec::new();
    for line in after.lines() {
        let own = OWN.iter().find_map(|title| Some((*title, line.strip_prefix(title)?)));
        match own.and_then(|(title, rest)| Some((title, rest.strip_prefix(':')?))) {
            Some((title, rest)) => sections.push((title, rest.trim().to_owned())),
            None => {
                if sections.is_empty() {
                    sections.push(("Notes", String::new()));
                }
                if let Some((_, text)) = sections.last_mut() {
                    text.push('\n');
                    text.push_str(line);
                }
            }
        }
    }
    // Examples last, as readers look for them there.
    sections.sort_by_key(|(title, _)| *title == "Examples");
    for (title, text) in sections.iter().filter(|(_, text)| !text.trim().is_empty()) {
        match name {
            None => page.section(title),
            Some(name) => page.section(&format!("{name}: {title}")),
        }
        page.text(text);
    }
}

fn list(page: &mut Page, title: &str, all: &[Named], program: &str) {
    for (_, entries) in all.iter().filter(|(name, _)| *name == program) {
        page.section(title);
        for (name, what) in *entries {
            page.entry(&italic(name), what);
        }
    }
}

fn see_also(page: &mut Page, program: &Program, name: &str) {
    let others = PROGRAMS.iter().filter(|p| p.name != name);
    let mut all: Vec<_> = others.map(|p| (p.section as u8, p.name)).collect();
    all.extend(FORMATS.iter().filter(|(name, _)| *name == program.name).map(|(_, f)| (5, *f)));
    all.push((5, "flowsuite-files"));
    all.sort();
    page.section("See also");
    let all: Vec<_> = all.iter().map(|(s, name)| format!("{}({s})", bold(name))).collect();
    page.raw(&all.join(",\n"));
}
