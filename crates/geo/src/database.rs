//! One MaxMind database: what it has, where, and under which names.
//!
//! Publishers spell fields differently: `country.iso_code` (MaxMind, DB-IP), `country_code` or a
//! bare `country` (IPinfo and others); `autonomous_system_number` or `asn`, as a number or as
//! `AS13030`. A database has one spelling, found once from its first records.

use crate::ranges::Table;
use crate::tree::{Leaf, Tree};
use crate::{GeoError, MAX_FILE};
use maxminddb::{MaxMindDbError, PathElement, Reader};
use record::{Addr, Country};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Keys = &'static [PathElement<'static>];
type Lookup<'a> = maxminddb::LookupResult<'a, Octets>;

/// A path of map keys in a record.
macro_rules! keys {
    ($($key:literal),+) => { &[$(PathElement::Key($key)),+] };
}

/// Where publishers put the two letters of a country.
const COUNTRY: [Keys; 3] = [keys!["country", "iso_code"], keys!["country_code"], keys!["country"]];

/// Where they put the number of an autonomous system.
const SYSTEM: [Keys; 4] = [
    keys!["autonomous_system_number"],
    keys!["asn"],
    keys!["as_number"],
    keys!["traits", "autonomous_system_number"],
];

/// Where they put the name of its operator.
const ORGANISATION: [Keys; 5] = [
    keys!["autonomous_system_organization"],
    keys!["as_name"],
    keys!["as_organization"],
    keys!["traits", "autonomous_system_organization"],
    keys!["name"],
];

const CONTINENT: [Keys; 2] = [keys!["continent", "code"], keys!["continent_code"]];

/// The most exact name of a place that a record has: its city, else its region, else its country.
const PLACE: [Keys; 8] = [
    keys!["city", "names", "en"],
    keys!["city"],
    &[
        PathElement::Key("subdivisions"),
        PathElement::Index(0),
        PathElement::Key("names"),
        PathElement::Key("en"),
    ],
    keys!["region"],
    keys!["state1"],
    keys!["country", "names", "en"],
    keys!["country_name"],
    keys!["country"],
];

const LATITUDE: [Keys; 3] = [keys!["location", "latitude"], keys!["latitude"], keys!["lat"]];
const LONGITUDE: [Keys; 4] =
    [keys!["location", "longitude"], keys!["longitude"], keys!["lng"], keys!["lon"]];

/// Stretches of addresses that are looked at to find out the spelling.
const SAMPLE_LEAVES: u32 = 20_000;

/// Records of them that are decoded.
const SAMPLE_RECORDS: u32 = 500;

/// Octets of a name that are kept.
const NAME_LIMIT: usize = 256;

/// A database file in memory.
#[derive(Debug)]
pub(crate) struct Database {
    octets: Octets,
    reader: Reader<Octets>,
    country: Option<Keys>,
    system: Option<Keys>,
}

/// The file, shared by the reader of records and the walk over the tree.
#[derive(Clone)]
struct Octets(Arc<Vec<u8>>);

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, GeoError> {
        Self::from_octets(read(path)?, path)
    }

    /// Reads a database from memory; `path` is for messages.
    pub(crate) fn from_octets(octets: Vec<u8>, path: &Path) -> Result<Self, GeoError> {
        let octets = Octets(Arc::new(octets));
        let reader = Reader::from_source(octets.clone()).map_err(|source| {
            GeoError::NotADatabase { path: path.to_owned(), source: Box::new(source) }
        })?;
        let mut database = Self { octets, reader, country: None, system: None };
        database.find_spelling();
        if !database.has_countries() && !database.has_systems() {
            let kind = cut(&database.reader.metadata().database_type).to_owned();
            return Err(GeoError::NothingOfUse { path: path.to_owned(), kind });
        }
        Ok(database)
    }

    pub(crate) const fn has_countries(&self) -> bool {
        self.country.is_some()
    }

    pub(crate) const fn has_systems(&self) -> bool {
        self.system.is_some()
    }

    /// The country of every address, and how much of the file could not be read.
    pub(crate) fn countries(&self) -> (Table<Country>, u64) {
        self.table(|found| country(found, self.country?))
    }

    /// The autonomous system of every address, and how much of the file could not be read.
    pub(crate) fn systems(&self) -> (Table<u32>, u64) {
        self.table(|found| system(found, self.system?))
    }

    /// The country of one address, from the file.
    pub(crate) fn country_of(&self, addr: Addr) -> Option<Country> {
        country(&self.lookup(addr)?, self.country?)
    }

    /// The autonomous system of one address, from the file.
    pub(crate) fn system_of(&self, addr: Addr) -> Option<u32> {
        system(&self.lookup(addr)?, self.system?)
    }

    /// Calls `name` with each system and its operator, one or more times a system.
    pub(crate) fn organisations(&self, mut name: impl FnMut(u32, &str)) {
        let Some(keys) = self.system else { return };
        let mut seen = HashMap::<usize, (), Quick>::default();
        self.tree().walk(|leaf| {
            let Some(offset) = leaf.data else { return true };
            if seen.insert(offset, ()).is_none()
                && let Some(found) = self.record(leaf)
                && let Some(asn) = system(&found, keys)
                && let Some(text) = text(&found, &ORGANISATION)
            {
                name(asn, text);
            }
            true
        });
    }

    /// `EU/CH/Zurich long/lat: 8.5671/47.1449`: continent, country, the most exact name, and
    /// coordinates where the record has them; whether it has.
    pub(crate) fn location(&self, addr: Addr) -> Option<(String, bool)> {
        let found = self.lookup(addr)?;
        let country = country(&found, self.country?)?;
        let continent = text(&found, &CONTINENT).unwrap_or("");
        let place = text(&found, &PLACE).unwrap_or("unknown");
        let mut out = format!("{continent}/{country}/{place}");
        let coordinates = number(&found, &LONGITUDE).zip(number(&found, &LATITUDE));
        if let Some((longitude, latitude)) = coordinates {
            out.push_str(&format!(" long/lat: {longitude:.4}/{latitude:.4}"));
        }
        Some((out, coordinates.is_some()))
    }

    /// One value for each address. A record is decoded once, however many networks share it.
    fn table<V: Copy + Default + PartialEq>(
        &self,
        decode: impl Fn(&Lookup<'_>) -> Option<V>,
    ) -> (Table<V>, u64) {
        let mut table = Table::new();
        let mut known = HashMap::<usize, V, Quick>::default();
        let mut unreadable = 0;
        let walked = self.tree().walk(|leaf| {
            let value = leaf.data.map_or_else(V::default, |offset| match known.entry(offset) {
                Entry::Occupied(value) => *value.get(),
                Entry::Vacant(free) => {
                    let found = self.record(leaf);
                    unreadable += u64::from(!found.as_ref().is_some_and(is_whole));
                    *free.insert(found.and_then(|f| decode(&f)).unwrap_or_default())
                }
            });
            table.push(leaf.first, value);
            true
        });
        (table, unreadable + walked.damaged)
    }

    /// The record of an address, but not of an IPv6 address that embeds an IPv4 one.
    fn lookup(&self, addr: Addr) -> Option<Lookup<'_>> {
        let is_own = matches!(addr, Addr::V4(_)) || self.tree().has_data(addr);
        is_own.then(|| self.reader.lookup(IpAddr::from(addr)).ok()).flatten()
    }

    fn tree(&self) -> Tree<'_> {
        Tree::new(&self.octets.0, self.reader.metadata())
    }

    /// The record of a leaf, `None` if its place is damaged.
    fn record(&self, leaf: Leaf) -> Option<Lookup<'_>> {
        self.reader.lookup(IpAddr::from(leaf.first)).ok()
    }

    /// Looks which spellings the first records have.
    fn find_spelling(&mut self) {
        let (mut country_keys, mut system_keys) = (None, None);
        let (mut leaves, mut records, mut last) = (0, 0, None);
        self.tree().walk(|leaf| {
            leaves += 1;
            if leaf.data.is_some() && leaf.data != last {
                last = leaf.data;
                records += 1;
                if let Some(found) = self.record(leaf) {
                    let first = |has: &dyn Fn(Keys) -> bool, of: &[Keys]| {
                        of.iter().copied().find(|keys| has(keys))
                    };
                    country_keys =
                        country_keys.or_else(|| first(&|k| country(&found, k).is_some(), &COUNTRY));
                    system_keys =
                        system_keys.or_else(|| first(&|k| system(&found, k).is_some(), &SYSTEM));
                }
            }
            let is_done = country_keys.is_some() && system_keys.is_some();
            !is_done && leaves < SAMPLE_LEAVES && records < SAMPLE_RECORDS
        });
        (self.country, self.system) = (country_keys, system_keys);
    }
}

/// Whether a record is a map that can be read to its end: looks for a key that none has.
fn is_whole(found: &Lookup<'_>) -> bool {
    found.decode_path::<&str>(keys![""]).is_ok()
}

fn country(found: &Lookup<'_>, keys: Keys) -> Option<Country> {
    Country::parse(value(found.decode_path::<&str>(keys))?)
}

/// A number, or text with or without `AS` before it.
fn system(found: &Lookup<'_>, keys: Keys) -> Option<u32> {
    // Asked for an i64, `maxminddb` takes integers of any width.
    if let Some(number) = value(found.decode_path::<i64>(keys)) {
        return u32::try_from(number).ok().filter(|n| *n != 0);
    }
    let text = value(found.decode_path::<&str>(keys))?;
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    digits.parse().ok().filter(|n| *n != 0)
}

/// The first of the texts that the record has and that is not empty.
fn text<'a>(found: &Lookup<'a>, places: &[Keys]) -> Option<&'a str> {
    let texts = places.iter().filter_map(|keys| value(found.decode_path::<&'a str>(keys)));
    texts.map(cut).find(|text| !text.is_empty())
}

/// The first of the numbers that the record has, as a number or as text.
fn number(found: &Lookup<'_>, places: &[Keys]) -> Option<f64> {
    let number = |keys: &Keys| {
        value(found.decode_path::<f64>(keys))
            .or_else(|| value(found.decode_path::<f32>(keys)).map(f64::from))
            .or_else(|| value(found.decode_path::<&str>(keys))?.parse().ok())
    };
    places.iter().find_map(number).filter(|n| n.is_finite())
}

/// Another type at a place is another spelling, not damage.
fn value<T>(decoded: Result<Option<T>, MaxMindDbError>) -> Option<T> {
    decoded.ok().flatten()
}

fn cut(text: &str) -> &str {
    let end = (0..=NAME_LIMIT.min(text.len())).rev().find(|n| text.is_char_boundary(*n));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

/// Reads a file as a whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, GeoError> {
    let io = |source| GeoError::Io { path: path.to_owned(), source };
    let meta = fs::metadata(path).map_err(io)?;
    if !meta.is_file() {
        return Err(GeoError::NotAFile(path.to_owned()));
    }
    if meta.len() > MAX_FILE {
        return Err(GeoError::TooLarge { path: path.to_owned(), len: meta.len() });
    }
    let octets = fs::read(path).map_err(io)?;
    refuse_foreign(path, &octets)?;
    Ok(octets)
}

/// Formats that are easily taken for the right one, by their first octets.
fn refuse_foreign(path: &Path, octets: &[u8]) -> Result<(), GeoError> {
    let path = || PathBuf::from(path);
    let compressed = |method| GeoError::Compressed { path: path(), method };
    Err(match octets {
        [0x1f, 0x8b, ..] => compressed("gzip"),
        [b'B', b'Z', b'h', ..] => compressed("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => compressed("xz"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => compressed("zstd"),
        [b'P', b'K', 3, 4, ..] => compressed("zip"),
        // The header of a flow file in little-endian; who made it is a number in it (file format,
        // section 2).
        [0x0c, 0xa5, ..] => {
            let creator = octets.get(CREATOR_AT..).and_then(<[u8]>::first_chunk);
            let (tool, original) = match creator.map(|c| u32::from_le_bytes(*c)) {
                Some(CREATOR_TORLOOKUP) => ("torlookup", "the exit list"),
                Some(CREATOR_GEOLOOKUP) => ("geolookup", "the .mmdb of the CSV files"),
                _ => ("nfdump", "the .mmdb file or the exit list"),
            };
            GeoError::Converted { path: path(), tool, original }
        }
        _ => return Ok(()),
    })
}

const CREATOR_AT: usize = 20;
const CREATOR_GEOLOOKUP: u32 = 7;
const CREATOR_TORLOOKUP: u32 = 9;

/// Offsets are spread well enough by one multiplication.
#[derive(Default)]
struct OffsetHasher(u64);

type Quick = BuildHasherDefault<OffsetHasher>;

impl Hasher for OffsetHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.write_usize(usize::from(*octet));
        }
    }

    fn write_usize(&mut self, n: usize) {
        let mixed = (self.0 ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}
