//! Tests with whole files: look-ups against the slow way, damaged files, files of other kinds.

use crate::database::Database;
use crate::testing::{self, Value, asn, city, map};
use crate::{Book, GeoError};
use proptest::prelude::*;
use record::{Addr, AddressBook, Country, Networks};
use std::fs;
use std::path::Path;

const NONE: [&str; 0] = [];

/// Networks near each other, so that they nest and touch, in both families.
fn networks() -> impl Strategy<Value = Vec<(Addr, u8, u8)>> {
    let v4 = (0xc000_0000..0xc000_0400u32, 20..=32u8)
        .prop_map(|(n, len)| (Addr::V4(n).masked(len), len));
    let v6 = (0..0x400u128, 40..=64u8)
        .prop_map(|(n, len)| (Addr::V6(0x2001_0db8 << 96 | n << 64).masked(len), len));
    let value = 0..4u8;
    proptest::collection::vec(
        (prop_oneof![v4, v6], value).prop_map(|((addr, len), value)| (addr, len, value)),
        1..40,
    )
}

fn letters(value: u8) -> Country {
    Country(u16::from_be_bytes([b'A', b'A' + value]))
}

fn database(networks: &[(Addr, u8, u8)]) -> testing::Database {
    // A network far away makes it a database of countries and systems whatever the others are.
    let mut out = testing::Database::new().aliases().network("198.51.100.0/24", record(0));
    for (addr, len, value) in networks {
        out = out.network(&format!("{addr}/{len}"), record(*value));
    }
    out
}

fn record(value: u8) -> Value {
    map([
        ("asn", Value::U32(u32::from(value) + 1)),
        ("country_code", letters(value).to_string().as_str().into()),
    ])
}

/// Looks through all networks; the longest wins, of equal ones the last.
fn scan(networks: &[(Addr, u8, u8)], addr: Addr) -> Option<u8> {
    let holds =
        |(net, len, _): &&(Addr, u8, u8)| addr.masked(*len) == *net && net.width() == addr.width();
    networks.iter().filter(holds).max_by_key(|(_, len, _)| *len).map(|(_, _, value)| *value)
}

fn is_in(networks: &Networks, addr: Addr) -> bool {
    match addr {
        Addr::V4(n) => networks.v4.iter().any(|(a, b)| (*a..=*b).contains(&n)),
        Addr::V6(n) => networks.v6.iter().any(|(a, b)| (*a..=*b).contains(&n)),
    }
}

/// Addresses at and around the ends of networks.
fn edges(networks: &[(Addr, u8, u8)]) -> impl Iterator<Item = Addr> {
    networks.iter().flat_map(|(addr, len, _)| match *addr {
        Addr::V4(n) => {
            let end = n | u32::MAX.checked_shr(u32::from(*len)).unwrap_or(0);
            [n - 1, n, end, end + 1].map(Addr::V4)
        }
        Addr::V6(n) => {
            let end = n | u128::MAX >> len;
            [n - 1, n, end, end + 1].map(Addr::V6)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn look_ups_agree_with_a_scan_and_with_single_descents(networks in networks()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.mmdb");
        database(&networks).write(&path).unwrap();
        let book = Book::open(&[&path], &NONE).unwrap();
        let singly: Vec<_> =
            edges(&networks).map(|addr| (addr, book.country(addr), book.asn(addr))).collect();
        prop_assert_eq!(book.memory(), 0, "no table is built for a few questions");
        let all = (0..4).map(|v| book.networks_of_countries(&|c| c == letters(v)));
        let all: Vec<_> = all.collect();
        let systems = book.networks_of_systems(&|n| n == 2);
        for addr in edges(&networks) {
            let value = scan(&networks, addr);
            prop_assert_eq!(book.country(addr), value.map(letters).unwrap_or_default(), "{}", addr);
            prop_assert_eq!(book.asn(addr), value.map_or(0, |v| u32::from(v) + 1), "{}", addr);
            prop_assert!(singly.contains(&(addr, book.country(addr), book.asn(addr))), "{}", addr);
            prop_assert_eq!(is_in(&systems, addr), value == Some(1), "{}", addr);
            for (v, found) in (0..).zip(&all) {
                prop_assert_eq!(is_in(found, addr), value == Some(v), "{} {}", addr, v);
            }
        }
        prop_assert_eq!(book.unreadable(), 0);
    }

    #[test]
    fn damaged_octets_never_panic(seed in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut octets = sample();
        for (at, value) in seed {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        use_all(octets);
    }
}

/// One of everything, small enough to damage each octet.
fn sample() -> Vec<u8> {
    let both = map([
        ("autonomous_system_number", Value::U32(7)),
        ("country", map([("iso_code", "CH".into())])),
        ("autonomous_system_organization", "Seven".into()),
    ]);
    testing::Database::new()
        .record_bits(24)
        .aliases()
        .network("192.0.2.0/24", both)
        .network("198.51.0.0/16", city("EU", "DE", "Bonn", 50.7, 7.1))
        .network("2001:db8::/32", asn(9, "Nine"))
        .octets()
}

/// Opens and asks everything, if it can be opened.
fn use_all(octets: Vec<u8>) -> bool {
    let Ok(database) = Database::from_octets(octets, Path::new("test")) else { return false };
    let book = Book::new(vec![database], Vec::new());
    for addr in [Addr::V4(0xc000_0201), Addr::V4(0xc633_0001), Addr::V6(0x2001_0db8 << 96)] {
        let (country, asn) = (book.country(addr), book.asn(addr));
        book.organisation(asn);
        book.location(addr);
        let countries = book.networks_of_countries(&|c| c == country);
        let systems = book.networks_of_systems(&|n| n == asn);
        if book.unreadable() == 0 {
            assert_eq!(is_in(&countries, addr), country != Country::default());
            assert_eq!(is_in(&systems, addr), asn != 0);
        }
    }
    true
}

#[test]
fn truncated_files_are_refused_or_read() {
    let whole = sample();
    assert!(use_all(whole.clone()));
    let opened = (0..whole.len()).filter(|len| use_all(whole[..*len].to_vec())).count();
    // What is behind the last field of the description that matters may be missing.
    assert!(opened < 8, "{opened} of {} truncated files were accepted", whole.len());
}

#[test]
fn each_octet_may_be_damaged() {
    let whole = sample();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut octets = whole.clone();
            octets[at] ^= flip;
            use_all(octets);
        }
    }
}

/// 120 nodes, both records of each lead to the next: 2^120 ways through the tree.
#[test]
fn a_tree_that_is_none_ends() {
    let mut octets = Vec::new();
    for node in 0..120u32 {
        let next = (node + 1) % 120;
        octets.extend_from_slice(&next.to_be_bytes()[1..]);
        octets.extend_from_slice(&next.to_be_bytes()[1..]);
    }
    let whole = testing::Database::new().record_bits(24);
    let mut description = whole.octets();
    let marker = description.windows(3).position(|w| w == b"\xab\xcd\xef").unwrap();
    description.drain(..marker);
    // The number of nodes: 120 instead of 1.
    let count = description.windows(10).position(|w| w == b"node_count").unwrap();
    assert_eq!(description[count + 10..count + 12], [0xc1, 1]);
    description[count + 11] = 120;
    octets.extend_from_slice(&[0; 16]);
    octets.extend_from_slice(&description);
    let error = Database::from_octets(octets, Path::new("test")).unwrap_err();
    assert!(matches!(error, GeoError::NothingOfUse { .. }), "{error}");
}

#[test]
fn files_of_other_kinds_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut header = vec![0x0c, 0xa5, 2, 0];
    header.resize(40, 0);
    let made_by = |creator: u8| {
        let mut header = header.clone();
        header[20] = creator;
        header
    };
    for (octets, want) in [
        (made_by(7), "was made by geolookup"),
        (made_by(9), "was made by torlookup"),
        (made_by(1), "was made by nfdump"),
        (vec![0x0c, 0xa5], "was made by nfdump"),
        (vec![0x1f, 0x8b, 8, 0], "is compressed (gzip)"),
        (b"PK\x03\x04".to_vec(), "is compressed (zip)"),
        (b"network,geoname_id\n".to_vec(), "is not a MaxMind database"),
        (Vec::new(), "is not a MaxMind database"),
        (
            testing::Database::new().kind("GeoIP2-Anonymous-IP").octets(),
            "(GeoIP2-Anonymous-IP) has neither countries nor autonomous systems",
        ),
        (
            testing::Database::new()
                .network("192.0.2.0/24", map([("is_vpn", Value::U16(1))]))
                .octets(),
            "has neither countries nor autonomous systems",
        ),
    ] {
        fs::write(&path, octets).unwrap();
        let error = Book::open(&[&path], &NONE).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    }
    let error = Book::open(&[dir.path()], &NONE).unwrap_err();
    assert!(matches!(error, GeoError::NotAFile(_)), "{error}");
    let error = Book::open(&NONE, &[dir.path().join("missing")]).unwrap_err();
    assert!(matches!(error, GeoError::Io { .. }), "{error}");
}

#[test]
fn an_exit_list_is_opened_beside_databases() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exits");
    fs::write(&path, "192.0.2.1\n").unwrap();
    let book = Book::open(&NONE, &[&path]).unwrap();
    assert!(book.is_tor_exit(Addr::V4(0xc000_0201), 0, 0));
    assert!(!book.is_tor_exit(Addr::V4(0xc000_0202), 0, 0));
    let error = Book::open(&[&path], &NONE).unwrap_err().to_string();
    assert!(error.contains("is not a MaxMind database"), "{error}");
}
