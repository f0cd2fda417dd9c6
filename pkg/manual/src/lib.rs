//! Manual pages and completions of all programs, made from their options; a list of the programs
//! for what installs them.
//!
//! Builds packages, and is in none: the programs do not link it.
//!
//! * [`page`]
//!   a page for each program, sections 1 and 8;
//! * [`keys`]
//!   pages of configuration files, section 5;
//! * [`files`]
//!   the pages of flow files and what lies beside them, and of filters, section 5;
//! * [`complete`]
//!   completions;
//! * [`markdown`]
//!   the text of pages of section 5;
//! * [`roff`]
//!   what all pages are written with.

pub mod complete;
pub mod files;
pub mod keys;
pub mod markdown;
pub mod page;
pub mod roff;

use anyhow::Context as _;
use flowsuite::args::programs::PROGRAMS;
use std::fs;
use std::path::Path;

/// Version that pages and packages bear.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Pages of section 5 by name, as roff.
pub fn formats() -> Vec<(&'static str, String)> {
    vec![
        ("flowcapd.toml", keys::flowcapd()),
        ("flowdump.toml", keys::flowdump()),
        ("flownatd.toml", keys::flownatd()),
        ("flowsuite-files", files::page()),
        ("flowsuite-filter", files::filter()),
    ]
}

/// Writes `man/NAME.SECTION`, `bash/NAME`, `zsh/_NAME`, `fish/NAME.fish` for all names, old ones
/// too, and `programs`: a line for each program with its name, section and old names.
///
/// # Errors
/// If something cannot be written.
pub fn write(dir: &Path) -> anyhow::Result<()> {
    let put = |path: String, text: &[u8]| {
        let path = dir.join(path);
        let parent = path.parent().context("a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    let mut list = String::new();
    for program in PROGRAMS {
        let section = program.section as u8;
        list.push_str(&format!("{} {} {section}", program.package.word(), program.name));
        put(
            format!("man/{}.{section}", program.name),
            page::page(program, program.name).as_bytes(),
        )?;
        for old in program.old_names {
            list.push_str(&format!(" {old}"));
            let text = match program.has_own_options(old) {
                true => page::page(program, old),
                false => format!(".so man{section}/{}.{section}\n", program.name),
            };
            put(format!("man/{old}.{section}"), text.as_bytes())?;
        }
        list.push('\n');
        for name in program.names() {
            for shell in complete::Shell::ALL {
                put(shell.path(name), &complete::script(program, name, shell))?;
            }
        }
    }
    for (name, page) in formats() {
        put(format!("man/{name}.5"), page.as_bytes())?;
    }
    put("programs".to_owned(), list.as_bytes())
}
