//! Which file answers what, and when tables are built.

use crate::database::{self, Database};
use crate::ranges::Table;
use crate::{GeoError, tor};
use record::{Addr, AddressBook, Country, Networks, TorExit};
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Questions that are answered from the files before a table is built: it costs as much as some
/// hundred thousand of them, and a short listing asks less.
const SINGLE: u32 = 20_000;

/// Octets of all names of organisations together.
const NAMES_LIMIT: usize = 64 << 20;

/// Databases of addresses and lists of Tor exits, as read from files.
///
/// Where two databases know about an address, the one that was named first answers. Opening reads
/// the files. The first questions are answered from them one by one; after that a table is built,
/// by whoever asks for it first while others go on as before, and answers several times as fast.
#[derive(Debug)]
pub struct Book {
    databases: Vec<Database>,
    exits: Vec<TorExit>,
    countries: OnceLock<Table<Country>>,
    systems: OnceLock<Table<u32>>,
    organisations: OnceLock<Organisations>,
    /// Questions for a country that found no table.
    single_countries: AtomicU32,
    /// Questions for a system that found no table.
    single_systems: AtomicU32,
    unreadable: AtomicU64,
}

impl Book {
    /// Reads databases (`.mmdb`: country, city, ASN, or several of them in one, of any publisher)
    /// and lists of Tor exits (the bulk list or `exit-addresses`). Either may be empty.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is something else, or has nothing of use.
    pub fn open<P: AsRef<Path>, Q: AsRef<Path>>(
        databases: &[P],
        tor_lists: &[Q],
    ) -> Result<Self, GeoError> {
        let open = |path: &P| Database::open(path.as_ref());
        let databases = databases.iter().map(open).collect::<Result<_, _>>()?;
        let mut exits = Vec::new();
        for path in tor_lists.iter().map(AsRef::as_ref) {
            exits.append(&mut tor::parse(&database::read(path)?, path)?);
        }
        Ok(Self::new(databases, exits))
    }

    /// How much of the databases could not be read: records, stretches of addresses whose place
    /// in the file is damaged, names beyond the limit. Such addresses are unknown. It grows while
    /// tables are built; ask when the work is done.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Octets of memory that tables built so far take, without the files themselves.
    pub fn memory(&self) -> usize {
        self.countries.get().map_or(0, Table::memory)
            + self.systems.get().map_or(0, Table::memory)
            + self.organisations.get().map_or(0, Organisations::memory)
            + self.exits.capacity() * size_of::<TorExit>()
    }

    pub(crate) fn new(databases: Vec<Database>, exits: Vec<TorExit>) -> Self {
        Self {
            databases,
            exits: tor::join(exits),
            countries: OnceLock::new(),
            systems: OnceLock::new(),
            organisations: OnceLock::new(),
            single_countries: AtomicU32::new(0),
            single_systems: AtomicU32::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    fn countries(&self) -> &Table<Country> {
        let sources = || self.databases.iter().filter(|d| d.has_countries());
        self.countries.get_or_init(|| self.build(sources().map(Database::countries)))
    }

    fn systems(&self) -> &Table<u32> {
        let sources = || self.databases.iter().filter(|d| d.has_systems());
        self.systems.get_or_init(|| self.build(sources().map(Database::systems)))
    }

    /// One table of several, the first before the others.
    fn build<V: Copy + Default + PartialEq>(
        &self,
        mut tables: impl Iterator<Item = (Table<V>, u64)>,
    ) -> Table<V> {
        let mut count = |(table, unreadable): (Table<V>, u64)| {
            self.unreadable.fetch_add(unreadable, Ordering::Relaxed);
            table
        };
        let first = tables.next().map_or_else(Table::new, &mut count);
        tables.fold(first, |table, other| table.filled_from(&count(other))).indexed()
    }

    /// Without a table: asks one database after the other.
    #[cold]
    fn single_country(&self, addr: Addr) -> Country {
        if is_worth_a_table(&self.single_countries) {
            return self.countries().get(addr);
        }
        self.databases.iter().find_map(|d| d.country_of(addr)).unwrap_or_default()
    }

    #[cold]
    fn single_system(&self, addr: Addr) -> u32 {
        if is_worth_a_table(&self.single_systems) {
            return self.systems().get(addr);
        }
        self.databases.iter().find_map(|d| d.system_of(addr)).unwrap_or_default()
    }

    fn organisations(&self) -> &Organisations {
        self.organisations.get_or_init(|| {
            let mut names = Organisations::default();
            for database in &self.databases {
                database.organisations(|asn, name| names.add(asn, name));
            }
            self.unreadable.fetch_add(names.dropped, Ordering::Relaxed);
            names
        })
    }
}

impl AddressBook for Book {
    #[inline]
    fn country(&self, addr: Addr) -> Country {
        match self.countries.get() {
            Some(table) => table.get(addr),
            None => self.single_country(addr),
        }
    }

    #[inline]
    fn asn(&self, addr: Addr) -> u32 {
        match self.systems.get() {
            Some(table) => table.get(addr),
            None => self.single_system(addr),
        }
    }

    fn organisation(&self, asn: u32) -> Option<&str> {
        self.organisations().get(asn)
    }

    /// The layout is `EU/CH/Zurich long/lat: 8.5671/47.1449`: the code of the continent, that of
    /// the country, the city (or region, or country, whichever is known), and the coordinates if
    /// the database has them. Of several databases the first with coordinates answers.
    fn location(&self, addr: Addr) -> Option<String> {
        let mut best = None;
        for database in &self.databases {
            match database.location(addr) {
                Some((text, true)) => return Some(text),
                Some((text, false)) if best.is_none() => best = Some(text),
                _ => {}
            }
        }
        best
    }

    fn is_tor_exit(&self, addr: Addr, first_ms: u64, last_ms: u64) -> bool {
        let from = self.exits.partition_point(|exit| exit.addr < addr);
        let stretches = self.exits.get(from..).unwrap_or(&[]);
        let mut stretches = stretches.iter().take_while(|exit| exit.addr == addr);
        stretches.any(|exit| exit.covers(first_ms, last_ms))
    }

    fn networks_of_countries(&self, wanted: &dyn Fn(Country) -> bool) -> Networks {
        self.countries().networks(wanted)
    }

    fn networks_of_systems(&self, wanted: &dyn Fn(u32) -> bool) -> Networks {
        self.systems().networks(wanted)
    }

    fn tor_exits(&self) -> &[TorExit] {
        &self.exits
    }

    fn has_countries(&self) -> bool {
        self.databases.iter().any(Database::has_countries)
    }

    fn has_systems(&self) -> bool {
        self.databases.iter().any(Database::has_systems)
    }
}

/// Counts a question; true for the one that is to build the table.
fn is_worth_a_table(asked: &AtomicU32) -> bool {
    asked.fetch_add(1, Ordering::Relaxed) == SINGLE
}

/// Names by system, all in one text.
#[derive(Debug, Default)]
struct Organisations {
    /// Where the name of a system is in the text.
    places: HashMap<u32, (u32, u32)>,
    text: String,
    dropped: u64,
}

impl Organisations {
    /// The first name of a system stays.
    fn add(&mut self, asn: u32, name: &str) {
        if self.places.contains_key(&asn) {
            return;
        }
        if self.text.len() + name.len() > NAMES_LIMIT {
            self.dropped += 1;
            return;
        }
        let start = self.text.len() as u32;
        self.text.push_str(name);
        self.places.insert(asn, (start, self.text.len() as u32));
    }

    fn get(&self, asn: u32) -> Option<&str> {
        let (start, end) = *self.places.get(&asn)?;
        self.text.get(start as usize..end as usize)
    }

    fn memory(&self) -> usize {
        self.text.capacity() + self.places.capacity() * size_of::<(u32, (u32, u32))>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Value, asn, city, country, map};
    use std::net::IpAddr;

    fn addr(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn book(databases: &[testing::Database]) -> Book {
        let open =
            |d: &testing::Database| Database::from_octets(d.octets(), Path::new("test")).unwrap();
        Book::new(databases.iter().map(open).collect(), Vec::new())
    }

    fn countries_of(book: &Book, addresses: &[&str]) -> String {
        let letters = addresses.iter().map(|a| book.country(addr(a)).to_string());
        letters.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_most_specific_network_answers() {
        for bits in [24, 28, 32] {
            let book = book(&[testing::Database::new()
                .record_bits(bits)
                .network("192.0.2.0/25", country("CH"))
                .network("192.0.0.0/16", country("FR"))
                .network("192.0.2.9/32", country("IT"))
                .network("2001:db8::/32", country("DE"))]);
            let asked = [
                "191.255.255.255",
                "192.0.0.0",
                "192.0.2.0",
                "192.0.2.9",
                "192.0.2.10",
                "192.0.2.128",
                "192.1.0.0",
                "2001:db8::1",
                "2001:db9::",
                "::",
            ];
            assert_eq!(countries_of(&book, &asked), ".. FR CH IT CH FR .. DE .. ..", "{bits} bits");
            assert_eq!(book.unreadable(), 0);
        }
    }

    #[test]
    fn spellings_of_all_publishers_are_read() {
        let system =
            |key: &str, value: Value, name: &str| map([(key, value), (name, "Org".into())]);
        for record in [
            system("autonomous_system_number", Value::U32(13030), "autonomous_system_organization"),
            system("asn", Value::U64(13030), "as_name"),
            system("asn", "AS13030".into(), "name"),
            system("asn", "13030".into(), "as_name"),
            map([("traits", system("autonomous_system_number", Value::U16(13030), "x"))]),
        ] {
            let is_named = !matches!(&record, Value::Map(entries) if entries.len() == 1);
            let book = book(&[testing::Database::new().network("192.0.2.0/24", record.clone())]);
            assert_eq!(book.asn(addr("192.0.2.1")), 13030, "{record:?}");
            assert_eq!(book.organisation(13030).is_some(), is_named, "{record:?}");
            assert!(book.has_systems() && !book.has_countries());
            assert_eq!(book.organisation(1), None);
        }
        for record in [
            country("ch"),
            map([("country_code", "CH".into()), ("country", "Switzerland".into())]),
            map([("country", "CH".into()), ("asn", "".into())]),
        ] {
            let book = book(&[testing::Database::new().network("192.0.2.0/24", record.clone())]);
            assert_eq!(countries_of(&book, &["192.0.2.1"]), "CH", "{record:?}");
            assert!(book.has_countries() && !book.has_systems());
            assert_eq!(book.asn(addr("192.0.2.1")), 0);
        }
    }

    #[test]
    fn one_file_may_have_it_all() {
        let record =
            map([("asn", "AS1".into()), ("as_name", "One".into()), ("country_code", "CH".into())]);
        let book = book(&[testing::Database::new().ipv4_only().network("192.0.2.0/24", record)]);
        assert_eq!((book.asn(addr("192.0.2.1")), book.organisation(1)), (1, Some("One")));
        assert_eq!(countries_of(&book, &["192.0.2.1", "2001:db8::1"]), "CH ..");
        assert!(book.memory() > 0);
    }

    #[test]
    fn the_first_database_answers_and_the_others_fill_its_gaps() {
        let first = testing::Database::new().network("192.0.2.0/24", country("CH"));
        let second = testing::Database::new()
            .network("192.0.0.0/16", country("FR"))
            .network("2001:db8::/32", country("DE"));
        let systems = testing::Database::new().network("192.0.2.0/24", asn(64500, "Example"));
        let book = book(&[first, systems, second]);
        let asked = ["192.0.1.255", "192.0.2.0", "192.0.3.0", "2001:db8::"];
        assert_eq!(countries_of(&book, &asked), "FR CH FR DE");
        assert_eq!(book.organisation(book.asn(addr("192.0.2.77"))), Some("Example"));
    }

    #[test]
    fn aliases_of_ipv4_do_not_count() {
        let database = testing::Database::new()
            .aliases()
            .network("192.0.2.0/24", country("CH"))
            .network("2001:db8::/32", country("CH"));
        let book = book(&[database]);
        let asked = [
            "192.0.2.1",
            "::ffff:192.0.2.1",
            "2002:c000:201::",
            "2001:0:c000:201::",
            "::192.0.2.1",
        ];
        assert_eq!(countries_of(&book, &asked), "CH .. .. .. ..");
        let located = asked.map(|a| book.location(addr(a)).is_some());
        assert_eq!(located, [true, false, false, false, false]);
        let v6 = 0x2001_0db8_u128 << 96;
        let want =
            Networks { v4: vec![(0xc000_0200, 0xc000_02ff)], v6: vec![(v6, v6 | u128::MAX >> 32)] };
        assert_eq!(book.networks_of_countries(&|c| c.to_string() == "CH"), want);
        assert_eq!(book.networks_of_countries(&|c| c.to_string() == "FR"), Networks::default());
        assert_eq!(book.networks_of_systems(&|_| true), Networks::default());
    }

    #[test]
    fn locations_name_the_most_exact_place() {
        let region = map([("names", map([("en", "Zug".into())]))]);
        let text = |lat: &str, lng: &str| {
            map([
                ("city", "Baar".into()),
                ("continent_code", "EU".into()),
                ("country_code", "CH".into()),
                ("lat", lat.into()),
                ("lng", lng.into()),
            ])
        };
        let country_only = map([
            ("continent", map([("code", "EU".into())])),
            (
                "country",
                map([("iso_code", "CH".into()), ("names", map([("en", "Switzerland".into())]))]),
            ),
        ]);
        let with_region = map([
            ("country", map([("iso_code", "CH".into())])),
            ("subdivisions", Value::Array(vec![region])),
        ]);
        for (record, want) in [
            (
                city("EU", "CH", "Z\u{fc}rich", 47.1449, 8.15),
                "EU/CH/Z\u{fc}rich long/lat: 8.1500/47.1449",
            ),
            (city("SA", "BR", "", -23.5, -46.0), "SA/BR/unknown long/lat: -46.0000/-23.5000"),
            (text("47.19", "8.5"), "EU/CH/Baar long/lat: 8.5000/47.1900"),
            (text("north", "8.5"), "EU/CH/Baar"),
            (country_only, "EU/CH/Switzerland"),
            (with_region, "/CH/Zug"),
            (country("CH"), "/CH/unknown"),
        ] {
            let book = book(&[testing::Database::new().network("192.0.2.0/24", record)]);
            assert_eq!(book.location(addr("192.0.2.1")).as_deref(), Some(want));
            assert_eq!(book.location(addr("192.0.3.1")), None);
        }
    }

    #[test]
    fn the_database_with_coordinates_says_where() {
        let book = book(&[
            testing::Database::new().network("192.0.2.0/24", country("CH")),
            testing::Database::new().network("192.0.2.0/25", city("EU", "CH", "Baar", 47.0, 8.0)),
        ]);
        let asked = ["192.0.2.1", "192.0.2.129"].map(|a| book.location(addr(a)));
        let want = ["EU/CH/Baar long/lat: 8.0000/47.0000", "/CH/unknown"];
        assert_eq!(asked, want.map(|text| Some(text.to_owned())));
    }

    #[test]
    fn tor_exits_are_found_by_address_and_time() {
        let exit = |a: &str, since_ms, until_ms| TorExit { addr: addr(a), since_ms, until_ms };
        let exits = vec![
            exit("192.0.2.2", 500, 600),
            exit("2001:db8::2", 0, u64::MAX),
            exit("192.0.2.2", 100, 200),
            exit("192.0.2.1", 100, 200),
        ];
        let book = Book::new(Vec::new(), exits.clone());
        for (a, first, last) in [
            ("192.0.2.1", 0, 99),
            ("192.0.2.1", 150, 160),
            ("192.0.2.1", 550, 560),
            ("192.0.2.2", 150, 160),
            ("192.0.2.2", 201, 499),
            ("192.0.2.2", 201, 500),
            ("192.0.2.3", 0, u64::MAX),
            ("2001:db8::2", 5, 6),
            ("2001:db8::3", 5, 6),
        ] {
            let want = exits.iter().any(|e| e.addr == addr(a) && e.covers(first, last));
            assert_eq!(book.is_tor_exit(addr(a), first, last), want, "{a} {first} {last}");
        }
        assert_eq!(book.tor_exits().len(), 4);
        assert!(!book.has_countries() && !book.has_systems());
    }

    #[test]
    fn names_have_a_limit() {
        let mut names = Organisations::default();
        names.add(1, "One");
        names.add(1, "Uno");
        for n in 2..=300_000 {
            names.add(n, &"n".repeat(256));
        }
        assert_eq!(names.get(1), Some("One"));
        assert!(names.text.len() <= NAMES_LIMIT);
        assert_eq!(names.dropped + names.places.len() as u64, 300_000);
        assert!(names.dropped > 0);
    }

    #[test]
    fn workers_share_a_book() {
        let book = book(&[testing::Database::new().network("192.0.2.0/24", country("CH"))]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(countries_of(&book, &["192.0.2.1"]), "CH"));
            }
        });
    }
}
