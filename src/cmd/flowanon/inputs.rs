//! Which files are read, and where each is written.

use super::super::complain;
use crate::args::flowanon::Args;
use anyhow::{Context as _, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use store::select::{Input, select};

/// One file.
pub(super) struct Job {
    /// What is read.
    pub(super) from: PathBuf,
    /// What is written; `None` is in its place.
    pub(super) to: Option<PathBuf>,
}

/// The files of `-r` with those of `-w`.
pub(super) fn jobs(name: &str, args: &Args) -> anyhow::Result<Vec<Job>> {
    let read =
        args.read.as_deref().context("Need an input source: name a file or directory with -r")?;
    let root = Path::new(read);
    let meta = root.metadata();
    ensure!(
        meta.as_ref().is_ok_and(|m| m.is_file() || m.is_dir()),
        "{read} is not a file or directory"
    );
    if meta.is_ok_and(|m| m.is_file()) {
        if let Some(to) = args.write.as_ref().filter(|to| !to.is_dir()) {
            let is_dir = to.as_os_str().as_encoded_bytes().ends_with(b"/");
            ensure!(!is_dir, "-w {}: is no directory: create it, or name a file", to.display());
        }
        let to = args.write.as_ref().map(|to| match (to.is_dir(), root.file_name()) {
            (true, Some(name)) => to.join(name),
            _ => to.clone(),
        });
        // What lies beside it counts, too, if it is named twice.
        let is_itself = |to: &PathBuf| to.canonicalize().ok() == root.canonicalize().ok();
        let to = to.filter(|to| !is_itself(to));
        return Ok(vec![Job { from: root.to_owned(), to }]);
    }
    let selected = select(&Input { read: Some(read), ..Input::default() })?;
    if let Some(warning) = selected.warning() {
        complain(name, &warning);
    }
    let base = root.canonicalize().with_context(|| format!("directory {read}"))?;
    if let Some(to) = &args.write {
        check_target(&base, to)?;
    }
    let (mut jobs, mut outside) = (Vec::new(), 0);
    for from in selected.files {
        // What a link leads to elsewhere is somebody else's.
        let is_inside = from.canonicalize().is_ok_and(|path| path.starts_with(&base));
        outside += u64::from(!is_inside);
        if is_inside {
            let below = from.strip_prefix(root).unwrap_or(&from);
            let to = args.write.as_ref().map(|to| to.join(below));
            jobs.push(Job { from, to });
        }
    }
    if outside > 0 {
        complain(name, &format!("{read}: {outside} links to files elsewhere left out"));
    }
    ensure!(!jobs.is_empty(), "{read}: no flow files in it");
    for to in jobs.iter().filter_map(|job| job.to.as_deref()?.parent()) {
        fs::create_dir_all(to).with_context(|| format!("-w {}", to.display()))?;
    }
    Ok(jobs)
}

/// Files below the directory that is read would be read by the next run.
fn check_target(base: &Path, to: &Path) -> anyhow::Result<()> {
    let shown = to.display();
    ensure!(
        !to.exists() || to.is_dir(),
        "-w {shown} is a file, and -r a directory: name a directory for its files"
    );
    // The part of it that is there says where it is.
    let there = to.ancestors().find_map(|part| match part.as_os_str().is_empty() {
        true => Path::new(".").canonicalize().ok(),
        false => part.canonicalize().ok(),
    });
    ensure!(
        there.is_none_or(|there| !there.starts_with(base)),
        "-w {shown} is in the directory of -r: name one elsewhere, or leave -w out to replace the files"
    );
    Ok(())
}
