//! What look-ups cost: the tables of a `Book` against one descent and one decode for a question.
//!
//! `cargo run --release -p flowsuite-geo --features testing --example lookup_speed [NETWORKS]`

use geo::Book;
use geo::testing::{Database, Value, asn, city, country};
use maxminddb::{PathElement, Reader};
use record::{Addr, AddressBook};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

type Make = fn(u64) -> Value;

const LOOKUPS: usize = 4_000_000;

/// Random enough, and the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[expect(clippy::disallowed_methods, reason = "measures")]
fn main() {
    let networks: usize =
        std::env::args().nth(1).map_or(500_000, |n| n.parse().expect("a number of networks"));
    let dir = tempfile::tempdir().expect("a directory");
    let kinds: [(&str, Make); 3] = [
        ("country", |n| country(&letters(n))),
        ("city", |n| city("EU", &letters(n / 1000), &format!("City {n}"), 47.0, n as f64)),
        ("asn", |n| asn(n as u32 % 80_000 + 1, &format!("Organisation {n}"))),
    ];
    let none: [&str; 0] = [];
    for (name, value) in kinds {
        let path = dir.path().join(name);
        database(networks, value).write(&path).expect("write the database");
        let size = std::fs::metadata(&path).expect("size").len() >> 20;
        let begun = Instant::now();
        let book = Book::open(&[&path], &none).expect("a database");
        let opened = begun.elapsed();
        let ask = |addr| match name {
            "asn" => u64::from(book.asn(addr)),
            _ => u64::from(book.country(addr).0),
        };
        match name {
            "asn" => book.networks_of_systems(&|_| false),
            _ => book.networks_of_countries(&|_| false),
        };
        let built = begun.elapsed() - opened;
        println!(
            "{name}: {networks} networks, {size} MiB: open {opened:.0?}, table {built:.0?}, {} KiB",
            book.memory() >> 10
        );
        for family in [4, 6] {
            println!("  IPv{family} table {:5.1} ns", measure(family, |addr| black_box(ask(addr))));
        }
        let reader = Reader::open_readfile(&path).expect("a database");
        let slow = |addr| {
            let found = reader.lookup(IpAddr::from(addr)).expect("a look-up");
            if name == "asn" {
                let keys = [PathElement::Key("autonomous_system_number")];
                return u64::from(found.decode_path::<u32>(&keys).expect("asn").unwrap_or(0));
            }
            let keys = [PathElement::Key("country"), PathElement::Key("iso_code")];
            found.decode_path::<&str>(&keys).expect("country").map_or(0, |text| text.len() as u64)
        };
        for family in [4, 6] {
            println!(
                "  IPv{family} tree  {:5.1} ns",
                measure(family, |addr| black_box(slow(addr)))
            );
        }
    }
}

/// Networks as they are spread in practice: most are IPv4 of /18 to /24.
fn database(networks: usize, value: Make) -> Database {
    let mut random = Random(7);
    (0..networks).fold(Database::new().aliases(), |database, n| {
        let r = random.next();
        let value = value(r % 100_000);
        if n % 4 == 3 {
            let addr = v6(r);
            database.network(&format!("{}/{}", IpAddr::from(Addr::V6(addr)), 32 + r % 17), value)
        } else {
            let addr = Addr::V4((r >> 16) as u32).masked(24);
            database.network(&format!("{addr}/{}", 18 + r % 7), value)
        }
    })
}

fn v6(random: u64) -> u128 {
    let regions = [0x2001u16, 0x2400, 0x2600, 0x2804, 0x2a00, 0x2a02, 0x2c0f];
    u128::from(regions[random as usize % 7]) << 112 | u128::from(random >> 8) << 56
}

fn letters(n: u64) -> String {
    let letter = |n: u64| char::from(b'A' + (n % 26) as u8);
    [letter(n), letter(n / 26)].iter().collect()
}

/// Nanoseconds for one question.
#[expect(clippy::disallowed_methods, reason = "measures")]
fn measure(family: u8, ask: impl Fn(Addr) -> u64) -> f64 {
    let mut random = Random(11);
    let addresses: Vec<_> = (0..1 << 16)
        .map(|_| match family {
            4 => Addr::V4((random.next() >> 16) as u32),
            _ => Addr::V6(v6(random.next())),
        })
        .collect();
    let begun = Instant::now();
    let sum = (0..LOOKUPS).fold(0u64, |sum, n| sum.wrapping_add(ask(addresses[n & 0xffff])));
    black_box(sum);
    begun.elapsed().as_nanos() as f64 / LOOKUPS as f64
}
