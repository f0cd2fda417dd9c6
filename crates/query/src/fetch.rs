//! Goes back for the records that an answer shows.
//!
//! Groups remember where their first record is instead of keeping a copy, so ten million groups
//! cost no more than their sums. The few that are printed are read again here, each block once.

use crate::scan::{Damage, Place, Query};
use crate::table::Origin;
use record::{Row, ShapeTable};
use std::path::PathBuf;
use store::{BlockReader, FlowFile};

/// Records read again, in the order they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    arenas: Vec<Arena>,
    /// For each record: arena, and index in it. `None` where the block cannot be read any more.
    found: Vec<Option<(u32, u32)>>,
    pub(crate) damage: Vec<Damage>,
}

/// Rows copied by one job, with shapes of their own.
#[derive(Debug)]
struct Arena {
    bytes: Vec<u8>,
    rows: Vec<ArenaRow>,
    table: ShapeTable,
    ident: String,
}

#[derive(Clone, Copy, Debug)]
struct ArenaRow {
    at: usize,
    len: u16,
    shape: u16,
}

impl Fetched {
    /// Record `i` of those asked for, and the ident of its file.
    pub(crate) fn row(&self, i: usize) -> Option<(Row<'_>, &str)> {
        let (arena, n) = (*self.found.get(i)?)?;
        let arena = self.arenas.get(arena as usize)?;
        let r = arena.rows.get(n as usize)?;
        let bytes = arena.bytes.get(r.at..r.at + usize::from(r.len))?;
        let shape = arena.table.shapes().get(usize::from(r.shape))?;
        Some((Row::new(bytes, shape), &arena.ident))
    }
}

impl Query {
    /// Reads the records at `origins` again. `places` is what the scan left behind.
    pub(crate) fn fetch(&self, origins: &[Origin], places: &[Place]) -> Fetched {
        let mut wanted: Vec<(u64, u32)> =
            origins.iter().enumerate().map(|(i, o)| (o.position(), i as u32)).collect();
        wanted.sort_unstable();
        let jobs = self.jobs(wanted, places, origins);
        let results =
            crate::parallel::map(jobs, self.threads, |job| (job.read(origins), job.wanted));
        let mut out = Fetched { found: vec![None; origins.len()], ..Fetched::default() };
        for ((arena, damage), wanted) in results {
            out.damage.extend(damage);
            let Some(arena) = arena else { continue };
            for (n, (_, i)) in wanted.iter().enumerate().take(arena.rows.len()) {
                if let Some(place) = out.found.get_mut(*i as usize) {
                    *place = Some((out.arenas.len() as u32, n as u32));
                }
            }
            out.arenas.push(arena);
        }
        out
    }

    /// One job a file: its wanted records in reading order.
    fn jobs(&self, wanted: Vec<(u64, u32)>, places: &[Place], origins: &[Origin]) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        for (position, i) in wanted {
            let Some(origin) = origins.get(i as usize) else { continue };
            let Some(place) = places.get(origin.block() as usize) else { continue };
            let Some(path) = self.files.get(place.file as usize) else { continue };
            if jobs.last().is_none_or(|j| j.file != place.file) {
                jobs.push(Job {
                    file: place.file,
                    path: path.clone(),
                    wanted: Vec::new(),
                    blocks: Vec::new(),
                });
            }
            if let Some(job) = jobs.last_mut() {
                job.wanted.push((position, i));
                job.blocks.push(place.block);
            }
        }
        jobs
    }
}

struct Job {
    file: u32,
    path: PathBuf,
    /// Position and index into the origins.
    wanted: Vec<(u64, u32)>,
    /// Block in the file, one a wanted record.
    blocks: Vec<u32>,
}

impl Job {
    fn read(&self, origins: &[Origin]) -> (Option<Arena>, Option<Damage>) {
        match self.try_read(origins) {
            Ok(arena) => (Some(arena), None),
            Err(what) => (None, Some(Damage::loss(&self.path, what))),
        }
    }

    fn try_read(&self, origins: &[Origin]) -> Result<Arena, String> {
        let again =
            |e: &dyn std::fmt::Display| format!("changed while it was read: {e}; ask again");
        let file = FlowFile::open(&self.path).map_err(|e| again(&e))?;
        let mut reader = BlockReader::new();
        let mut out = Arena {
            bytes: Vec::new(),
            rows: Vec::with_capacity(self.wanted.len()),
            table: ShapeTable::new(),
            ident: file.ident().to_owned(),
        };
        let mut shapes = ShapeCopies::default();
        let mut at = 0;
        while let Some(number) = self.blocks.get(at) {
            let end = at + self.blocks[at..].iter().take_while(|b| *b == number).count();
            let block = reader.load(&file, *number as usize).map_err(|e| again(&e))?;
            for (_, i) in &self.wanted[at..end] {
                let row = origins.get(*i as usize).map_or(0, |o| o.row() as usize);
                let r = block.rows.index.get(row).ok_or_else(|| again(&"a record is gone"))?;
                let shape = shapes.copy(block.rows.table, r.shape, &mut out.table);
                let shape = shape.ok_or_else(|| again(&"too many shapes of records"))?;
                out.rows.push(ArenaRow { at: out.bytes.len(), len: r.len, shape });
                out.bytes.extend_from_slice(block.rows.row_bytes(row));
            }
            at = end;
        }
        Ok(out)
    }
}

/// Which shapes of a reader's table have a copy in an arena. Readers start new tables now and then.
#[derive(Default)]
struct ShapeCopies {
    table: u64,
    copies: Vec<Option<u16>>,
}

impl ShapeCopies {
    fn copy(&mut self, from: &ShapeTable, shape: u16, to: &mut ShapeTable) -> Option<u16> {
        if self.table != from.id() {
            self.table = from.id();
            self.copies.clear();
        }
        self.copies.resize(from.shapes().len(), None);
        let copy = self.copies.get_mut(usize::from(shape))?;
        if copy.is_none() {
            *copy = to.push(from.shapes().get(usize::from(shape))?.clone());
        }
        *copy
    }
}
