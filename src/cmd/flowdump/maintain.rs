//! What changes files: `--repair`, `-J`, `-i`. Every change is made beside the file, which then gets
//! its name, so that whoever reads it meanwhile finds the old file or the new one.

use super::print::complain;
use crate::exit::Exit;
use anyhow::{Context as _, ensure};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use store::{Packing, ReadOptions, Recompressed, RepairOptions, Repaired, StoreError};

/// `--repair`: makes sound files of damaged ones.
pub(super) fn repair(name: &str, files: &[PathBuf], read: &ReadOptions) -> anyhow::Result<Exit> {
    let options = RepairOptions { read: read.clone(), ..RepairOptions::default() };
    each(name, files, |path| {
        let shown = path.display();
        Ok(match store::repair_with(path, &options)? {
            Repaired::Sound => format!("{shown} is sound"),
            Repaired::Rewritten {
                original,
                blocks_saved,
                blocks_lost,
                flows_saved,
                flows_lost,
                not_kept,
                ..
            } => {
                let lost = match flows_lost {
                    Some(n) => format!("{n} flows lost"),
                    None => "how many are lost is not known".to_owned(),
                };
                let kept = original.map(|o| format!("; the damaged file is {}", o.display()));
                let not_kept = match not_kept.is_empty() {
                    true => String::new(),
                    false => format!("; left out: {not_kept}"),
                };
                format!(
                    "{shown}: {flows_saved} flows saved, {lost} ({blocks_saved} blocks whole, \
                     {blocks_lost} not){not_kept}{}",
                    kept.unwrap_or_default()
                )
            }
        })
    })
}

/// `-J`: compresses files again in place.
pub(super) fn recompress(
    name: &str,
    files: &[PathBuf],
    method: &str,
    threads: usize,
) -> anyhow::Result<Exit> {
    let packing: Packing = method.parse()?;
    each(name, files, |path| {
        let shown = path.display();
        Ok(match store::recompress(path, packing, threads)? {
            Recompressed::Already => format!("File {shown} is already same compression method"),
            Recompressed::Done { before, after } => {
                format!("File {shown} compression changed: {before} to {after} octets")
            }
        })
    })
}

/// `-i`: gives the file of `-r` another ident.
pub(super) fn set_ident(files: &[PathBuf], ident: &str) -> anyhow::Result<Exit> {
    ensure!(files.len() == 1, "-i changes one file: name it with -r");
    let path = files.first().context("-i needs a file: name it with -r")?;
    let before = store::FlowFile::open(path)?.ident().to_owned();
    store::set_ident(path, ident)?;
    let shown = path.display();
    writeln!(io::stdout(), "{shown} ident: {} -> {ident}", before.escape_debug())?;
    Ok(Exit::Success)
}

/// Works on files one after the other; one that cannot be changed does not keep the others back,
/// and neither does a reader that went away.
fn each(
    name: &str,
    files: &[PathBuf],
    work: impl Fn(&Path) -> Result<String, StoreError>,
) -> anyhow::Result<Exit> {
    let (mut exit, mut told) = (Exit::Success, Ok(()));
    for path in files {
        match work(path) {
            Ok(said) => told = told.and_then(|()| writeln!(io::stdout(), "{said}")),
            Err(e) => {
                complain(name, path, &e.to_string());
                exit = Exit::Failure;
            }
        }
    }
    told.context("all files are done, but this could not be said")?;
    Ok(exit)
}
