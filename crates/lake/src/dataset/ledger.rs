//! What a dataset knows of its sources, so that each flow file is in it once, whatever happens.
//!
//! `DATASET/_flowlake` has
//!
//! * `dataset.json`: that this is a dataset of `flowlake`, and the version of its columns;
//! * `sources/XX/KEY.json`: of one flow file, the state in which it was read and the files made of it;
//! * `locks/XX`: held while a source is written, so that two writers do not write the same one;
//! * `tmp/KEY/N`: files that are being written. Their names end in nothing that an engine reads.
//!
//! A source is written like this: its files in `tmp`; then what will be there is announced together
//! with what was there before; then files get their names, and those that no longer arise go; then
//! it is said to be done. Names follow from the name of the source alone. Whatever is killed on the
//! way is done again from the beginning, and overwrites or removes what was announced.

use crate::error::LakeError;
use crate::schema::VERSION;
use crate::schema::metadata::Source;
use crate::write::{Converted, Part, WriteOptions};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A dataset on disk.
#[derive(Clone, Debug)]
pub struct Dataset {
    root: PathBuf,
}

/// That a directory is a dataset.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: String,
    schema: u32,
}

const FORMAT: &str = "flowlake";
/// The directory of what is not for engines: they leave out names with `_` in front.
const OWN: &str = "_flowlake";

/// What is known of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) source: Source,
    /// Number of the flow file, so that one put in its place at the same moment is another.
    inode: u64,
    schema: u32,
    has_text: bool,
    /// Whether all of `files` have their names, and nothing else of this source is there.
    is_done: bool,
    pub(crate) rows: u64,
    /// Below the dataset, with their sizes.
    pub(crate) files: BTreeMap<String, u64>,
    /// What could not be read of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    damage: Vec<String>,
}

/// The right to write one source.
pub(crate) struct Held {
    _lock: Option<File>,
}

impl Dataset {
    /// Opens a dataset, or makes one of a directory that is empty or not there.
    ///
    /// # Errors
    /// If there is something else in the directory, the dataset has later columns, or the system
    /// refuses.
    pub fn create(root: &Path) -> Result<Self, LakeError> {
        let all = Self { root: root.to_owned() };
        if all.marker()?.is_none() {
            fs::create_dir_all(root).map_err(LakeError::io("make", root))?;
            let has_others = all.has_others()?;
            // Another writer may have begun it meanwhile.
            if has_others && all.marker()?.is_none() {
                return Err(LakeError::NotADataset(root.to_owned()));
            }
            let marker = Marker { format: FORMAT.to_owned(), schema: VERSION };
            for directory in ["", "sources", "locks", "tmp"] {
                let path = root.join(OWN).join(directory);
                fs::create_dir_all(&path).map_err(LakeError::io("make", &path))?;
            }
            all.put(&all.marker_path(), &marker)?;
        }
        Ok(all)
    }

    /// Opens a dataset.
    ///
    /// # Errors
    /// As with [`create`](Self::create), and if there is none.
    pub fn open(root: &Path) -> Result<Self, LakeError> {
        let all = Self { root: root.to_owned() };
        match all.marker()? {
            Some(_) => Ok(all),
            None => Err(LakeError::NotADataset(root.to_owned())),
        }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn marker_path(&self) -> PathBuf {
        self.root.join(OWN).join("dataset.json")
    }

    fn marker(&self) -> Result<Option<Marker>, LakeError> {
        let path = self.marker_path();
        let marker: Option<Marker> = get(&path)?;
        match &marker {
            Some(m) if m.format != FORMAT => Err(LakeError::NotADataset(self.root.clone())),
            Some(m) if m.schema > VERSION => {
                Err(LakeError::LaterVersion { path: self.root.clone(), version: m.schema })
            }
            _ => Ok(marker),
        }
    }

    /// Whether there is anything in the directory that a new dataset would not have.
    fn has_others(&self) -> Result<bool, LakeError> {
        let fail = LakeError::io("list", &self.root);
        for entry in fs::read_dir(&self.root).map_err(&fail)? {
            let name = entry.map_err(&fail)?.file_name();
            if name != OWN && name != "lost+found" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes files of writers that were killed. Those of writers at work stay.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn clean(&self) -> Result<(), LakeError> {
        let directory = self.root.join(OWN).join("tmp");
        let entries = match fs::read_dir(&directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(LakeError::io("list", &directory))?,
        };
        for entry in entries {
            let path = entry.map_err(LakeError::io("list", &directory))?.path();
            let key = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if self.try_hold(key)?.is_some() {
                remove_all(&path)?;
            }
        }
        Ok(())
    }

    /// What the dataset has of a source. `None` if nothing.
    pub(crate) fn manifest(&self, name: &str) -> Result<Option<Manifest>, LakeError> {
        let manifest: Option<Manifest> = get(&self.manifest_path(&key(name)))?;
        match manifest {
            Some(m) if m.source.name != name => {
                Err(LakeError::SameName { one: name.to_owned(), other: m.source.name })
            }
            manifest => Ok(manifest),
        }
    }

    fn manifest_path(&self, key: &str) -> PathBuf {
        let directory = key.get(..2).unwrap_or("00");
        self.root.join(OWN).join("sources").join(directory).join(format!("{key}.json"))
    }

    /// Waits for the right to write a source.
    pub(crate) fn hold(&self, name: &str, stop: &AtomicBool) -> Result<Held, LakeError> {
        /// Files take some tenths of a second.
        const PAUSE: Duration = Duration::from_millis(50);
        let key = key(name);
        loop {
            if let Some(held) = self.try_hold(&key)? {
                return Ok(held);
            }
            if stop.load(Ordering::Relaxed) {
                return Err(LakeError::Interrupted);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn try_hold(&self, key: &str) -> Result<Option<Held>, LakeError> {
        let path = self.root.join(OWN).join("locks").join(key.get(..2).unwrap_or("00"));
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(LakeError::io("make", directory))?;
        }
        let file = File::options().append(true).create(true).open(&path);
        let file = file.map_err(LakeError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Held { _lock: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            // Where there are no locks, two should not write to one dataset.
            Err(TryLockError::Error(_)) => Ok(Some(Held { _lock: None })),
        }
    }

    /// A new directory for the files of a source.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, LakeError> {
        let path = self.root.join(OWN).join("tmp").join(key(name));
        remove_all(&path)?;
        fs::create_dir_all(&path).map_err(LakeError::io("make", &path))?;
        Ok(path)
    }

    /// Gives files their names and makes them all there is of the source.
    pub(crate) fn commit(
        &self,
        source: &Source,
        inode: u64,
        options: &WriteOptions,
        done: &Converted,
    ) -> Result<(), LakeError> {
        let key = key(&source.name);
        let name = file_name(&source.name, &key);
        let named = |p: &Part| p.partition.path().join(&name).to_string_lossy().into_owned();
        let files: BTreeMap<String, u64> = done.parts.iter().map(|p| (named(p), p.size)).collect();
        let before = self.manifest(&source.name)?.map(|m| m.files).unwrap_or_default();
        let manifest = Manifest {
            source: source.clone(),
            inode,
            schema: VERSION,
            has_text: options.has_text,
            is_done: true,
            rows: done.parts.iter().map(|p| p.rows).sum(),
            files,
            damage: done.damage.clone(),
        };
        let mut announced = Manifest { is_done: false, ..manifest.clone() };
        announced.files.extend(before.clone());
        let path = self.manifest_path(&key);
        self.put(&path, &announced)?;

        let mut changed = BTreeSet::new();
        for part in &done.parts {
            let path = self.root.join(part.partition.path());
            fs::create_dir_all(&path).map_err(LakeError::io("make", &path))?;
            let target = path.join(&name);
            fs::rename(&part.path, &target).map_err(LakeError::io("name", &target))?;
            changed.insert(path);
        }
        for old in before.keys().filter(|old| !manifest.files.contains_key(*old)) {
            let path = self.root.join(old);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(LakeError::io("remove", &path)(e));
                }
                _ => {}
            }
        }
        for directory in &changed {
            sync(directory)?;
        }
        self.put(&path, &manifest)
    }

    /// Writes JSON in one step.
    fn put(&self, path: &Path, value: &impl Serialize) -> Result<(), LakeError> {
        let directory = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory).map_err(LakeError::io("make", directory))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Several threads of several processes may make the same file.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let temporary = directory.join(format!(".{name}.{process}.{number}"));
        let write = || {
            let mut file = File::create(&temporary)?;
            let mut text = serde_json::to_vec(value)?;
            text.push(b'\n');
            io::Write::write_all(&mut file, &text)?;
            file.sync_data()?;
            fs::rename(&temporary, path)
        };
        write()
            .inspect_err(|_| drop(fs::remove_file(&temporary)))
            .map_err(LakeError::io("write", path))?;
        sync(directory)
    }
}

impl Manifest {
    /// Whether the dataset has the source as it is now, in the form that is asked for.
    pub(crate) fn is_current(
        &self,
        dataset: &Dataset,
        (source, inode): (&Source, u64),
        options: &WriteOptions,
    ) -> bool {
        let size = |name: &String| dataset.root.join(name).metadata().map(|m| m.len());
        self.is_done
            && self.source == *source
            && self.inode == inode
            && self.schema == VERSION
            && self.has_text == options.has_text
            && self.files.iter().all(|(name, len)| size(name).is_ok_and(|l| l == *len))
    }
}

/// What the system says of a file, as the dataset keeps it: with the number of the file.
pub(crate) fn identity(name: &str, metadata: &fs::Metadata) -> (Source, u64) {
    let ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    let source = Source { name: name.to_owned(), size: metadata.len(), modified_ns: ns };
    (source, metadata.ino())
}

/// What a source goes by in names of files: its name is too long and has slashes.
fn key(name: &str) -> String {
    format!("{:016x}", twox_hash::XxHash3_64::oneshot(name.as_bytes()))
}

/// `nfcapd.202604101200-0123456789abcdef.parquet`. Names with `.` or `_` in front are invisible to
/// engines.
fn file_name(source: &str, key: &str) -> String {
    /// With what is added, a name has less than 255 octets.
    const MAX: usize = 100;
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let name = source.rsplit('/').next().unwrap_or_default();
    let name: String = name.chars().map(|c| if is_plain(&c) { c } else { '-' }).take(MAX).collect();
    let name = name.trim_start_matches(['.', '_']);
    format!("{}-{key}.parquet", if name.is_empty() { "flows" } else { name })
}

/// Reads JSON; `None` where there is no file.
fn get<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, LakeError> {
    let text = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(LakeError::io("read", path))?,
    };
    let value = serde_json::from_slice(&text);
    value.map(Some).map_err(|source| LakeError::Manifest { path: path.to_owned(), source })
}

pub(crate) fn remove_all(path: &Path) -> Result<(), LakeError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(LakeError::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Makes the names in a directory last.
fn sync(directory: &Path) -> Result<(), LakeError> {
    let synced = File::open(directory).and_then(|d| d.sync_all());
    synced.map_err(LakeError::io("sync", directory))
}
