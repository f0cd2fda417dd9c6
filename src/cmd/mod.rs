//! What the options mean: library objects made from arguments, and the work done.

pub mod flowanon;
pub mod flowcapd;
pub mod flowdump;
pub mod flowexpire;
pub mod flowimport;
pub mod flownatd;
pub mod flowprobe;
pub mod flowprobectl;
pub mod flowprofile;
pub mod flowreplay;
pub mod flowtop;
mod moment;
mod nat_who;
pub mod outside;
mod terminal;
mod units;
mod verdict;
mod window;

use std::io::Write as _;
use std::path::Path;

/// Says it on standard error, which may be full or gone.
fn complain(name: &str, what: &str) {
    let _ = writeln!(std::io::stderr(), "{name}: {what}");
}

/// Says it of a file, which `what` may name already.
fn complain_of(name: &str, file: &Path, what: &str) {
    let file = file.display().to_string();
    match what.contains(&file) {
        true => complain(name, what),
        false => complain(name, &format!("{file}: {what}")),
    }
}
