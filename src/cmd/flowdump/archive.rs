//! Files that are no flow files: Parquet, which `flowlake` reads, a program of its own. `flowdump`
//! recognises them and hands its command line over; `flowlake dump` is `flowdump` with an
//! [`Archive`].

use crate::args::flowdump::Args;
use crate::exit::Exit;
use anyhow::{Context as _, bail, ensure};
use filter::Filter;
use query::{Opener, Wanted};
use record::Field;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// What a program that reads files of another form knows of them.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Opens them.
    pub opener: Arc<dyn Opener>,
    /// Files of a dataset, in order.
    pub list: fn(&Path) -> io::Result<Vec<PathBuf>>,
    /// Whether flows that began after a moment and ended before another (milliseconds since 1970)
    /// may be in a file, by its path.
    pub may_hold: fn(&Path, (u64, u64)) -> bool,
}

/// What `-r` or `-R` name, if it is Parquet.
pub(super) fn named(args: &Args) -> Option<&Path> {
    let paths = [&args.input.read, &args.input.many.range].into_iter().flatten().map(Path::new);
    paths.into_iter().find(|path| query::is_dataset(path) || query::is_parquet(path))
}

/// Runs `flowlake dump` in the place of this program, with the same arguments and under the same
/// name: that beside this program, or that of the search path. Returns only if there is none.
pub(super) fn hand_over(path: &Path, args: Vec<OsString>) -> anyhow::Result<Exit> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("flowlake")));
    let program = beside.filter(|path| path.is_file()).unwrap_or_else(|| "flowlake".into());
    let mut args = args.into_iter();
    let mut command = Command::new(&program);
    command.arg0(args.next().unwrap_or_default()).arg("dump").args(args);
    let error = command.exec();
    match error.kind() {
        io::ErrorKind::NotFound => bail!(
            "{} is Parquet, which flowlake reads, and there is none: install the package \
             flowsuite-lake, or put flowlake beside this program",
            path.display()
        ),
        _ => Err(error).with_context(|| format!("{}: run {}", path.display(), program.display())),
    }
}

/// Refuses what is about flow files as such.
pub(super) fn check(args: &Args) -> anyhow::Result<()> {
    let files = &args.files;
    let asked = [
        (files.verify.is_some(), "-v"),
        (files.exporters.is_some(), "-E"),
        (files.info, "-I"),
        (files.gnuplot, "-g"),
        (files.repair, "--repair"),
        (files.recompress.is_some(), "-J"),
        (files.set_ident.is_some(), "--set-ident"),
        (files.index.is_some(), "--index"),
        (files.where_lost.is_some(), "--where-lost"),
        (files.counters.is_some(), "--counters"),
        (files.nat_who.is_some(), "--nat-who"),
        (args.input.many.multi.is_some(), "-M"),
    ];
    if let Some((_, option)) = asked.iter().find(|(is_asked, _)| *is_asked) {
        bail!("{option} is for flow files, and this is Parquet: name the files it was made from");
    }
    Ok(())
}

impl Archive {
    /// The files that are named. A name that begins with a dot or an underscore is no file of a
    /// dataset.
    pub(super) fn files(&self, args: &Args) -> anyhow::Result<Vec<PathBuf>> {
        let Some(path) = named(args) else { return Ok(Vec::new()) };
        if !path.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let mut files = (self.list)(path).with_context(|| format!("read {}", path.display()))?;
        ensure!(!files.is_empty(), "{}: no Parquet files in there", path.display());
        if let Some(window) = args.input.window.as_deref() {
            let window = crate::cmd::window::Window::parse(window)?;
            let times = (window.from_ms, window.until_ms.unwrap_or(u64::MAX));
            files.retain(|file| (self.may_hold)(file, times));
        }
        Ok(files)
    }

    /// What need not be read of files, a line as those of the filter's explanation.
    pub(super) fn explain(&self, filter: Filter, files: &[PathBuf], fields: u128) -> String {
        let filters = [filter];
        let (mut left_out, mut blocks, mut blocks_read) = (0, 0, 0);
        for file in files.iter().filter_map(|path| self.opener.open(path)?.ok()) {
            let wanted = match file.wanted(&filters, false) {
                Wanted::Some { blocks, .. } => blocks.len(),
                Wanted::Nothing => 0,
                Wanted::All => file.blocks(),
            };
            left_out += usize::from(wanted == 0);
            blocks_read += wanted;
            blocks += file.blocks();
        }
        let stored = || Field::ALL.iter().filter(|f| !f.is_derived());
        let read = stored().filter(|f| fields >> **f as u32 & 1 == 1).count();
        format!(
            "parquet {} files: {left_out} of these have nothing that passes, and {blocks_read} of \
             {blocks} blocks are read, {read} of {} fields at most",
            files.len(),
            stored().count()
        )
    }
}
