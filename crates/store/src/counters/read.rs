//! Reading samples of interfaces, and finding the files they are in.

use super::{BLOCK_HEADER, BLOCK_MAGIC, BLOCK_SAMPLES, FILE_HEADER, FILE_MAGIC, PACKED_MAX};
use super::{SAMPLE_MAX, checksum, path_of, sample};
use crate::error::StoreError;
use crate::layout::{u16_at, u32_at, u64_at};
use crate::rotate::time_in_name;
use crate::side;
use record::InterfaceSample;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Times from the first to before the second, milliseconds since 1970.
pub type Span = (u64, u64);

/// What was found in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Samples in the span.
    pub samples: u64,
    /// Blocks that are damaged: their samples are missing.
    pub damaged_blocks: u64,
    /// Octets at the end that are no block: a crash, or a block that is being written.
    pub torn: u64,
}

/// Calls `each` with all samples of a file whose time lies in `span`, in the order they were
/// written: for each interface that of time, unless the clock was set.
///
/// # Errors
/// If the file cannot be read, or is none of counters.
pub fn read(
    path: &Path,
    span: Span,
    mut each: impl FnMut(&InterfaceSample),
) -> Result<Found, StoreError> {
    let open = || {
        let file = File::open(path)?;
        let sample_len = check_header(&file)?;
        let len = file.metadata()?.len();
        Ok((file, sample_len, len))
    };
    let (file, sample_len, len) = open().map_err(StoreError::io("read", path))?;
    let (mut found, mut buffers) = (Found::default(), Buffers::default());
    let mut at = FILE_HEADER as u64;
    while let Some(head) = Head::at(&file, at, len).map_err(StoreError::io("read", path))? {
        let end = head.end(at);
        if head.times.1 >= span.0 && head.times.0 < span.1 {
            let samples = buffers.load(&file, at, &head, sample_len);
            match samples.map_err(StoreError::io("read", path))? {
                Some(samples) => {
                    let all = samples.chunks_exact(sample_len).filter_map(sample::decode);
                    for sample in all.filter(|s| (span.0..span.1).contains(&s.time_ms)) {
                        found.samples += 1;
                        each(&sample);
                    }
                }
                None => found.damaged_blocks += 1,
            }
        }
        at = end;
    }
    found.torn = len.saturating_sub(at);
    Ok(found)
}

/// What the header of a block says.
#[derive(Debug)]
struct Head {
    octets: [u8; BLOCK_HEADER],
    size: usize,
    samples: usize,
    times: Span,
}

impl Head {
    /// The header at `at` in a file of `len` octets. `None` if there is none, or the block does not
    /// end in the file.
    fn at(file: &File, at: u64, len: u64) -> io::Result<Option<Self>> {
        let mut octets = [0; BLOCK_HEADER];
        if len.saturating_sub(at) < octets.len() as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut octets, at)?;
        Ok(Self::decode(octets).filter(|head| head.end(at) <= len))
    }

    fn decode(octets: [u8; BLOCK_HEADER]) -> Option<Self> {
        let size = u32_at(&octets, 4)? as usize;
        let samples = u32_at(&octets, 8)? as usize;
        let is_sound = u32_at(&octets, 0)? == BLOCK_MAGIC
            && size <= PACKED_MAX
            && (1..=BLOCK_SAMPLES).contains(&samples);
        let times = (u64_at(&octets, 16)?, u64_at(&octets, 24)?);
        is_sound.then_some(Self { octets, size, samples, times })
    }

    const fn end(&self, at: u64) -> u64 {
        at + (BLOCK_HEADER + self.size) as u64
    }
}

#[derive(Default)]
struct Buffers {
    packed: Vec<u8>,
    samples: Vec<u8>,
}

impl Buffers {
    /// The samples of a block, `None` if it is damaged.
    fn load(
        &mut self,
        file: &File,
        at: u64,
        head: &Head,
        sample_len: usize,
    ) -> io::Result<Option<&[u8]>> {
        self.packed.resize(head.size, 0);
        file.read_exact_at(&mut self.packed, at + BLOCK_HEADER as u64)?;
        if !is_whole(head, &self.packed) {
            return Ok(None);
        }
        self.samples.resize(head.samples * sample_len, 0);
        let unpacked = lz4_flex::block::decompress_into(&self.packed, &mut self.samples);
        Ok(unpacked.is_ok_and(|n| n == self.samples.len()).then_some(&self.samples))
    }
}

fn is_whole(head: &Head, payload: &[u8]) -> bool {
    let (front, sum) = head.octets.split_at(BLOCK_HEADER - 8);
    u64_at(sum, 0) == Some(checksum(front, payload))
}

/// Octets of a sample, as the header of a file says.
pub(super) fn check_header(file: &File) -> io::Result<usize> {
    let mut head = [0; FILE_HEADER];
    file.read_exact_at(&mut head, 0)?;
    let len = u16_at(&head, 10).map_or(0, usize::from);
    if head.starts_with(FILE_MAGIC) && (sample::LEN..=SAMPLE_MAX).contains(&len) {
        return Ok(len);
    }
    let message = "no file of counters, or of a later version; move it away";
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// Where the last whole block ends, looked for from `at`, where one begins or the file ends.
pub(super) fn end_of_blocks(file: &File, mut at: u64, len: u64) -> io::Result<u64> {
    if at > len {
        at = FILE_HEADER as u64; // somebody has cut it
    }
    let (mut last, mut payload) = (at, Vec::new());
    while let Some(head) = Head::at(file, at, len)? {
        at = head.end(at);
        payload.resize(head.size, 0);
        file.read_exact_at(&mut payload, at - head.size as u64)?;
        // One that is damaged stays if a whole one follows: it is no trace of a crash.
        if is_whole(&head, &payload) {
            last = at;
        }
    }
    Ok(last)
}

/// The files of counters that belong to flow files: those of their days, in the directories of
/// their collectors. In order of days.
pub fn beside(flow_files: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut all = BTreeSet::new();
    for file in flow_files {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(day) = side::day_in_name(name) else { continue };
        let directory = file.parent().unwrap_or_else(|| Path::new(""));
        if !seen.insert((day.to_owned(), directory.to_owned())) {
            continue;
        }
        let Ok(directory) = directory_of(directory).canonicalize() else { continue };
        for base in directory.ancestors().take(side::MAX_LEVELS) {
            let path = path_of(base, day);
            if path.is_file() {
                all.insert((day.to_owned(), path));
            }
        }
    }
    all.into_iter().map(|(_, path)| path).collect()
}

fn directory_of(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// All files of counters of a collector's directory, in order of days: also those of a day that has
/// no flow file yet.
pub fn within(base: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    let name = |e: io::Result<fs::DirEntry>| e.ok()?.file_name().into_string().ok();
    let is_day = |n: &String| side::parse_day_file(n).is_some_and(|(kind, _)| kind == "counters");
    let mut names: Vec<String> = entries.filter_map(name).filter(is_day).collect();
    names.sort();
    names.into_iter().map(|n| base.join(n)).collect()
}

/// The span of flow files by their names, in milliseconds: from the start of the first slot to the
/// end of the last, which is as long as the shortest between two of them, or 5 minutes.
pub fn span_of(flow_files: &[PathBuf]) -> Option<Span> {
    let start = |path: &PathBuf| {
        let time = time_in_name(path.file_name()?.to_str()?)?;
        let local = time.and_local_timezone(chrono::Local).earliest()?;
        u64::try_from(local.timestamp_millis()).ok()
    };
    let starts: BTreeSet<u64> = flow_files.iter().filter_map(start).collect();
    let (first, last) = (*starts.first()?, *starts.last()?);
    let gaps = starts.iter().zip(starts.iter().skip(1)).map(|(a, b)| b - a);
    Some((first, last.saturating_add(gaps.min().unwrap_or(300_000))))
}
