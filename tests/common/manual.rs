//! Pages of the manual whose commands tests run.

use super::{FLOWCAPD, FLOWDUMP, FLOWPROBE, Scene};
use std::path::{Path, PathBuf};

/// The folder of the source.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The commands below a heading of a page, in their order, without remarks.
pub fn commands(page: &str, heading: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join(page)).expect("page");
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).expect("heading");
    let section = rest.split("\n## ").next().expect("section");
    let typed = section.lines().filter_map(|line| line.strip_prefix("    "));
    typed.map(|line| line.split(" # ").next().expect("text").trim_end().to_owned()).collect()
}

/// A directory with our programs.
pub fn programs(scene: &Scene) -> PathBuf {
    let bin = scene.dir("bin");
    for (name, program) in [
        ("flowcapd", FLOWCAPD),
        ("flowdump", FLOWDUMP),
        ("flowprobe", FLOWPROBE),
        ("flowprobectl", env!("CARGO_BIN_EXE_flowprobectl")),
        ("flowexpire", env!("CARGO_BIN_EXE_flowexpire")),
    ] {
        let _ = std::os::unix::fs::symlink(program, bin.join(name)); // there from the second on
    }
    bin
}
