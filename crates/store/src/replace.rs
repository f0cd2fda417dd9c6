//! Putting a new file in the place of another: whoever opens the name finds the old one or the new
//! one, whole, at any moment, also after a crash.

use crate::error::StoreError;
use crate::reader::{FileState, FlowFile, SalvageReason};
use crate::rotate::sync_directory;
use std::ffi::OsString;
use std::fs::{self, File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// A file that is going to take the place of another. Dropped before
/// [`finish`](Self::finish), it is gone.
pub(crate) struct Replacement {
    target: PathBuf,
    temporary: PathBuf,
    meta: Metadata,
    is_done: bool,
}

impl Replacement {
    /// Prepares to replace `path`; of a link, the file that it names.
    pub(crate) fn of(path: &Path) -> Result<Self, StoreError> {
        let target = fs::canonicalize(path).map_err(StoreError::io("find", path))?;
        let meta = fs::metadata(&target).map_err(StoreError::io("look at", path))?;
        let name = target.file_name().unwrap_or_default();
        // A dot in front: no reader of directories takes it for a file of flows.
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".new.{}", std::process::id()));
        let temporary = target.with_file_name(hidden);
        Ok(Self { target, temporary, meta, is_done: false })
    }

    /// Where the new file is to be written.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// The file that is replaced, links resolved.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// When the file that is replaced was last written.
    pub(crate) fn modified_secs(&self) -> u64 {
        u64::try_from(self.meta.mtime()).unwrap_or(0)
    }

    /// Gives the new file mode, times and, where allowed, owner of the old one, and its name.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        let fail = |what| StoreError::io(what, &self.temporary);
        let file = File::options().write(true).open(&self.temporary).map_err(fail("open"))?;
        // Whoever may not give files away keeps them: it is his own file then.
        let _ = fchown(&file, Some(self.meta.uid()), Some(self.meta.gid()));
        file.set_permissions(self.meta.permissions()).map_err(fail("set the mode of"))?;
        let modified = self.meta.modified().map_err(fail("read the time of"))?;
        let times = FileTimes::new().set_modified(modified);
        file.set_times(times).map_err(fail("set the time of"))?;
        file.sync_all().map_err(fail("sync"))?;
        fs::rename(&self.temporary, &self.target).map_err(fail("rename"))?;
        self.is_done = true;
        let directory = self.target.parent().unwrap_or_else(|| Path::new("/"));
        sync_directory(directory).map_err(StoreError::io("sync", directory))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Refuses files that someone may be writing, and damaged ones: a change would lose what is there.
pub(crate) fn check_settled(file: &FlowFile) -> Result<(), StoreError> {
    let name = file.path().file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let refused = |why| Err(StoreError::Refused { path: file.path().to_owned(), why });
    match file.state() {
        _ if name.starts_with("nfcapd.current") => {
            refused("a collector is writing it; wait for its end")
        }
        FileState::Closed => Ok(()),
        FileState::Salvaged { reason: SalvageReason::NotClosed, .. } => {
            refused("it is being written, or its writer died; repair it in the latter case")
        }
        FileState::Salvaged { .. } => refused("it is damaged; repair it first"),
    }
}

/// An error of the kernel about the file at `path`.
pub(crate) fn read_error(path: &Path) -> impl Fn(io::Error) -> StoreError + '_ {
    move |e| StoreError::io("read", path)(e)
}
