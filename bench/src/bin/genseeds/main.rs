//! Writes the seeds of the fuzz targets: one small input for each thing a format can say.

mod conntrack;
mod datagrams;
mod files;
mod filters;
mod flow_tools;
mod packets;

use anyhow::{Context as _, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A seed: its name and its octets.
type Seed = (String, Vec<u8>);

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [dir] = &words[..] else {
        eprintln!("usage: genseeds DIRECTORY");
        return ExitCode::FAILURE;
    };
    match write_all(&PathBuf::from(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("genseeds: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(dir: &Path) -> anyhow::Result<()> {
    for (target, seeds) in [
        ("datagram", datagrams::seeds()),
        ("nfcapd_file", files::seeds()?),
        ("filter", filters::seeds()),
        ("packet", packets::seeds()),
        ("conntrack", conntrack::seeds()),
        ("flow_tools", flow_tools::seeds()),
    ] {
        let dir = dir.join(target);
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let mut octets = 0;
        for (name, seed) in &seeds {
            ensure!(seed.len() <= 16 << 10, "{name}: {} octets, seeds are small", seed.len());
            let path = dir.join(name);
            std::fs::write(&path, seed).with_context(|| format!("write {}", path.display()))?;
            octets += seed.len();
        }
        eprintln!("{}: {} seeds, {octets} octets", dir.display(), seeds.len());
    }
    Ok(())
}
