//! Pages of configuration files, whose keys are the long options of a program.

use crate::roff::{Page, bold, italic};
use crate::{markdown, page};
use clap::{Arg, ArgAction, Command};
use flowsuite::args::programs::PROGRAMS;

/// `flowcapd.toml(5)`.
pub fn flowcapd() -> String {
    let text = include_str!("../pages/flowcapd.toml.md");
    options("flowcapd", text, include_str!("../../flowcapd.toml"))
}

/// `flownatd.toml(5)`.
pub fn flownatd() -> String {
    let text = include_str!("../pages/flownatd.toml.md");
    options("flownatd", text, include_str!("../../flownatd.toml"))
}

/// `flowdump.toml(5)`, which has keys of its own.
pub fn flowdump() -> String {
    let about = "configuration of flowdump";
    let mut page = Page::new("flowdump.toml", 5, &["flowdump.toml"], about);
    markdown::write(&mut page, include_str!("../pages/flowdump.toml.md"));
    see_also(&mut page, "\\fBflowdump\\fR(1)");
    page.finish()
}

/// A page of options, with what stands above them and the file that is installed.
fn options(program: &str, text: &str, example: &str) -> String {
    let name = format!("{program}.toml");
    let mut page = Page::new(&name, 5, &[&name], &format!("configuration of {program}"));
    markdown::write(&mut page, text);
    page.section("Keys");
    for argument in arguments(&command(program)) {
        let value = if takes_value(argument) { value(argument) } else { "true".to_owned() };
        let long = argument.get_long().unwrap_or_default();
        page.entry(&format!("{} = {value}", bold(long)), &page::told(argument));
    }
    page.section("Example");
    page.text("As it is installed:");
    page.literal(example.lines());
    see_also(&mut page, &format!("{}(8), \\fBflowsuite\\-files\\fR(5)", bold(program)));
    page.finish()
}

fn command(program: &str) -> Command {
    let program = PROGRAMS.iter().find(|p| p.name == program);
    program.map(|p| p.command(p.name)).unwrap_or_default()
}

/// Options that can stand in a file: not those that say which file, or that end the program.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| {
        let is_of_the_line = ["config", "version", "help"];
        argument.get_long().is_some_and(|long| !is_of_the_line.contains(&long))
    })
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

fn value(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.iter().map(|name| italic(name)).collect::<Vec<_>>().join(" ");
    match argument.get_action() {
        ArgAction::Append => format!("[{value}, ...]"),
        _ => value,
    }
}

fn see_also(page: &mut Page, line: &str) {
    page.section("See also");
    page.raw(line);
}
