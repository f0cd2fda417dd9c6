//! Which files a slot has.

use crate::config::local_secs;
use crate::definition::Profiles;
use crate::error::ProfileError;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use store::StoreError;
use store::rotate::{slot_of, time_in_name};
use store::select::{Input, files};

/// A flow file of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// The file.
    pub path: PathBuf,
    /// Index into [`Profiles::sources`], if it is in one.
    pub source: Option<usize>,
}

/// The flow files of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// What all of them are called: `nfcapd.YYYYMMDDhhmm`.
    pub name: String,
    /// Begin of the slot, seconds since 1970.
    pub slot: u64,
    /// The files; those of the sources in their order.
    pub files: Vec<InputFile>,
}

/// Begin of the slot of a file, by its name.
///
/// # Errors
/// If the name is none of a slot, or the slot does not begin where slots of this length do.
pub fn slot_start(path: &Path, interval: u32) -> Result<u64, ProfileError> {
    let no_slot = |why: String| ProfileError::NoSlot { path: path.to_owned(), why };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let start = time_in_name(name)
        .and_then(local_secs)
        .ok_or_else(|| no_slot("it is not called nfcapd.YYYYMMDDhhmm".into()))?;
    if slot_of(start, interval).start != start {
        let why = format!(
            "no slot of {interval} seconds begins then: set `interval` to the collector's -t"
        );
        return Err(no_slot(why));
    }
    Ok(start)
}

impl Inputs {
    /// All files of the slot that `path` is of: itself, and those of the other sources.
    ///
    /// # Errors
    /// If it is no file of a slot, or there are sources and it is in none of them.
    pub fn of(path: &Path, profiles: &Profiles) -> Result<Self, ProfileError> {
        let slot = slot_start(path, profiles.interval)?;
        if !path.is_file() {
            let e = io::ErrorKind::NotFound.into();
            return Err(ProfileError::io("read", path)(e));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if profiles.sources.is_empty() {
            let file = InputFile { path: path.to_owned(), source: None };
            return Ok(Self { name, slot, files: vec![file] });
        }
        if source_of(path, profiles).is_none() {
            let why = "it is in none of the directories of [sources]".to_owned();
            return Err(ProfileError::NoSlot { path: path.to_owned(), why });
        }
        let mut found = Vec::new();
        for (i, source) in profiles.sources.iter().enumerate() {
            let dir = source.dir.to_string_lossy();
            let input = Input { read: Some(&name), sources: Some(&dir), ..Input::default() };
            let paths = match files(&input) {
                Ok(paths) => paths,
                // This source was silent, or is not there yet.
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            found.extend(paths.into_iter().map(|path| InputFile { path, source: Some(i) }));
        }
        Ok(Self { name, slot, files: found })
    }

    /// The slots of many files, in order. Returns also those that are none of a slot.
    ///
    /// # Errors
    /// If slots do not begin where slots of this length do.
    pub fn group(
        paths: Vec<PathBuf>,
        profiles: &Profiles,
    ) -> Result<(Vec<Self>, Vec<PathBuf>), ProfileError> {
        let mut slots: BTreeMap<u64, Self> = BTreeMap::new();
        let mut none = Vec::new();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if time_in_name(&name).is_none() {
                none.push(path);
                continue;
            }
            let slot = slot_start(&path, profiles.interval)?;
            let source = source_of(&path, profiles);
            let inputs =
                slots.entry(slot).or_insert_with(|| Self { name, slot, files: Vec::new() });
            inputs.files.push(InputFile { path, source });
        }
        for inputs in slots.values_mut() {
            inputs.files.sort_by(|a, b| (a.source, &a.path).cmp(&(b.source, &b.path)));
        }
        Ok((slots.into_values().collect(), none))
    }
}

/// The source that a file is in: that with the longest path, if one lies in another.
fn source_of(path: &Path, profiles: &Profiles) -> Option<usize> {
    let real = |p: &Path| p.canonicalize().unwrap_or_else(|_| p.to_owned());
    let path = real(path);
    let all = profiles.sources.iter().enumerate().map(|(i, s)| (i, real(&s.dir)));
    let holds = all.filter(|(_, dir)| path.starts_with(dir));
    holds.max_by_key(|(_, dir)| dir.components().count()).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_begin_at_their_interval() {
        let start = |name: &str, interval| slot_start(Path::new(name), interval).ok();
        let five = start("a/nfcapd.202611211105", 300);
        assert!(five.is_some_and(|t| t % 300 == 0));
        assert_eq!(start("nfcapd.202611211105", 60), five);
        assert_eq!(start("nfcapd.20261121110510", 10), five.map(|t| t + 10));
        for name in ["nfcapd.202611211106", "nfcapd.current.7", "flows", "nfcapd.202613211105", ""]
        {
            assert_eq!(start(name, 300), None, "{name}");
        }
    }
}
