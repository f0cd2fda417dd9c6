//! The sub-archive of a channel while a slot is read.

use crate::error::ProfileError;
use record::{Field, Row, Sampler};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::nfstat::{self, LockedStat};
use store::{
    Closed, Creator, FlowFile, MetaRecord, Packing, Pool, Renumber, Writer, WriterOptions,
};

/// Name of a file on its way. Only one run at a time is at work, so what a killed one has left is
/// replaced. Readers of directories leave it alone, as the open file of a collector.
const TEMPORARY: &str = "nfcapd.current.flowprofile";

/// A file that is written, and how exporters of the files read are called in it.
pub(crate) struct Outlet {
    writer: Option<Writer>,
    numbers: Renumber,
    dir: PathBuf,
    target: PathBuf,
}

/// How sub-archives are written.
pub(crate) struct Form<'a> {
    pub(crate) ident: &'a str,
    pub(crate) packing: Packing,
    pub(crate) slot: u64,
    pub(crate) block_size: usize,
}

impl Outlet {
    /// Begins `dir/sub/name`, which shows only when it is whole.
    pub(crate) fn create(
        dir: PathBuf,
        sub: &Path,
        name: &str,
        form: &Form<'_>,
        pool: &Arc<Pool>,
    ) -> Result<Self, ProfileError> {
        let target = dir.join(sub);
        fs::create_dir_all(&target).map_err(ProfileError::io("create", &target))?;
        let options = WriterOptions {
            compression: form.packing,
            ident: form.ident.to_owned(),
            creator: Creator(6),
            created_secs: form.slot,
            block_size: form.block_size,
            ..WriterOptions::default()
        };
        let writer = Writer::create_in(pool, dir.join(TEMPORARY), &options)?;
        let numbers = Renumber::default();
        Ok(Self { writer: Some(writer), numbers, dir, target: target.join(name) })
    }

    /// What a block of file number `file` says about exporters.
    pub(crate) fn meta(&mut self, file: usize, record: &MetaRecord, input: &FlowFile) {
        let Some(writer) = &mut self.writer else { return };
        match record {
            MetaRecord::Exporter(e) => {
                if let Some(e) = self.numbers.add(file, e) {
                    writer.meta_record(&MetaRecord::Exporter(e));
                }
            }
            MetaRecord::Sampler(s) => {
                let exporter = number(&mut self.numbers, writer, file, s.exporter, input);
                writer.meta_record(&MetaRecord::Sampler(Sampler { exporter, ..*s }));
            }
            other => writer.meta_record(other),
        }
    }

    /// A flow of file number `file`, as it is but for the number of its exporter.
    #[inline]
    pub(crate) fn row(&mut self, file: usize, row: Row<'_>, input: &FlowFile) {
        let Some(writer) = &mut self.writer else { return };
        let there = row.number(Field::ExporterId) as u32;
        let here = match self.numbers.known(file, there) {
            Some(here) => here,
            None => number(&mut self.numbers, writer, file, there, input),
        };
        // Numbers beyond 16 bits cannot be written; their exporter is counted as dropped.
        let other = (here != there).then(|| u16::try_from(here).unwrap_or(0));
        writer.row_of(row, other);
    }

    /// Tells of a block that could not be written.
    pub(crate) fn check(&mut self) -> Result<(), ProfileError> {
        let error = self.writer.as_mut().and_then(Writer::take_error);
        error.map_or(Ok(()), |e| Err(e.into()))
    }

    /// Finishes the file, which is on disk then, and still under its temporary name.
    pub(crate) fn close(&mut self) -> Result<Option<Closed>, ProfileError> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        writer.settle()?;
        let closed = writer.close(&[])?;
        let lost = closed.dropped;
        if lost.all() > 0 {
            return Err(ProfileError::Dropped {
                path: self.target.clone(),
                unwritten: lost.unwritten,
                too_long: lost.too_long,
                other: lost.cut + lost.meta,
            });
        }
        Ok(Some(closed))
    }

    /// Gives the file its name, in the place of the one that has it, and books that in `.nfstat`
    /// where there is one.
    pub(crate) fn publish(&self, slot: u64) -> Result<(), ProfileError> {
        let temporary = self.dir.join(TEMPORARY);
        let size = |p: &Path| p.symlink_metadata().map(|m| 512 * m.blocks());
        let new = size(&temporary).map_err(ProfileError::io("look at", &temporary))?;
        let is_booked = self.dir.join(nfstat::NAME).is_file();
        let mut books = is_booked.then(|| LockedStat::open(&self.dir)).transpose()?;
        let old = size(&self.target).ok();
        fs::rename(&temporary, &self.target).map_err(ProfileError::io("rename", &temporary))?;
        let into = self.target.parent().unwrap_or(&self.dir);
        let synced = File::open(into).and_then(|d| d.sync_all());
        synced.map_err(ProfileError::io("sync", into))?;
        if let Some(books) = &mut books {
            let stat = &mut books.stat;
            stat.size = stat.size.saturating_sub(old.unwrap_or(0)).saturating_add(new);
            stat.files += u64::from(old.is_none());
            stat.last = stat.last.max(slot);
            stat.first = if stat.first == 0 { slot } else { stat.first.min(slot) };
            books.write()?;
        }
        Ok(())
    }
}

impl Drop for Outlet {
    /// What did not get its name is gone.
    fn drop(&mut self) {
        drop(self.writer.take());
        let _ = fs::remove_file(self.dir.join(TEMPORARY));
    }
}

/// What an exporter is called here; its record is written if it comes later in the file.
#[cold]
fn number(
    numbers: &mut Renumber,
    writer: &mut Writer,
    file: usize,
    there: u32,
    input: &FlowFile,
) -> u32 {
    let (here, exporter) = numbers.number(file, there, || store::exporters(input, 0));
    if let Some(e) = exporter {
        writer.meta_record(&MetaRecord::Exporter(e));
    }
    here
}
