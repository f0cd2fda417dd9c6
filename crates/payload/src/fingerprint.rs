//! Fingerprints of TLS clients: JA3 and JA4.
//!
//! JA3 (<https://github.com/salesforce/ja3>) is the MD5 sum of the numbers a client offers, in its
//! order. JA4 (<https://github.com/FoxIO-LLC/ja4>, technical details of JA4, the part for TLS
//! clients) is readable in part and sorts them, for clients shuffle their extensions. Both leave
//! the values of GREASE out.

use crate::tls::{ALPN, ClientHello, Version, is_grease};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::fmt::{self, Write};
use std::str::FromStr;

/// The MD5 sum of what a client offers, 32 hexadecimal digits as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ja3(pub [u8; 16]);

/// A JA4 fingerprint: 36 characters, `t13d1516h2_8daaf6152771_e5627efa2ab1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ja4([u8; 36]);

/// What carries the hello; the first letter of a JA4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP: `t`.
    Tcp,
    /// QUIC: `q`.
    Quic,
    /// DTLS: `d`.
    Dtls,
}

/// A text that is no fingerprint of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFingerprint;

impl fmt::Display for NotAFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a fingerprint: JA3 is 32 hexadecimal digits, \
             JA4 looks like t13d1516h2_8daaf6152771_e5627efa2ab1",
        )
    }
}

impl std::error::Error for NotAFingerprint {}

impl ClientHello<'_> {
    /// What JA3 is the sum of: `769,47-53-5,0-10-11,23-24-25,0`, the version of the hello, cipher
    /// suites, extensions, groups and point formats. `None` if the hello was cut off or has the
    /// layout of SSL 2.0.
    pub fn ja3_text(&self) -> Option<String> {
        if !self.is_complete() || self.is_ssl2() {
            return None;
        }
        let mut text = String::new();
        self.write_ja3(&mut text).ok()?;
        Some(text)
    }

    fn write_ja3(&self, out: &mut impl Write) -> fmt::Result {
        write!(out, "{}", self.legacy_version().0)?;
        decimal(out, self.cipher_suites())?;
        decimal(out, self.extensions().map(|(number, _)| number))?;
        decimal(out, self.groups())?;
        decimal(out, self.point_formats().iter().map(|n| u16::from(*n)))
    }

    /// The JA3 fingerprint; `None` as for [`ja3_text`](Self::ja3_text).
    pub fn ja3(&self) -> Option<Ja3> {
        if !self.is_complete() || self.is_ssl2() {
            return None;
        }
        let mut sum = Sum(Md5::new());
        self.write_ja3(&mut sum).ok()?;
        Some(Ja3(sum.0.finalize().into()))
    }

    /// The JA4 fingerprint; `None` if the hello was cut off or has the layout of SSL 2.0.
    pub fn ja4(&self, transport: Transport) -> Option<Ja4> {
        if !self.is_complete() || self.is_ssl2() {
            return None;
        }
        let mut ciphers: Vec<_> = self.cipher_suites().filter(|n| !is_grease(*n)).collect();
        let all = || self.extensions().map(|(number, _)| number).filter(|n| !is_grease(*n));
        let mut extensions: Vec<_> = all().filter(|n| !matches!(*n, 0 | ALPN)).collect();
        ciphers.sort_unstable();
        extensions.sort_unstable();
        let mut text = String::with_capacity(36);
        text.push(match transport {
            Transport::Tcp => 't',
            Transport::Quic => 'q',
            Transport::Dtls => 'd',
        });
        text.push_str(version_letters(self.version()));
        text.push(if self.extension(0).is_some() { 'd' } else { 'i' });
        let counts = (ciphers.len().min(99), all().count().min(99));
        write!(text, "{:02}{:02}", counts.0, counts.1).ok()?;
        text.extend(alpn_letters(self.alpn().next().unwrap_or(&[])));
        text.push('_');
        let mut sum = Sum(Sha256::new());
        hexadecimal(&mut sum, "", ciphers.iter().copied()).ok()?;
        sum.short(&mut text, ciphers.is_empty());
        text.push('_');
        let mut sum = Sum(Sha256::new());
        hexadecimal(&mut sum, "", extensions.iter().copied()).ok()?;
        let signatures = self.signature_algorithms().filter(|n| !is_grease(*n));
        hexadecimal(&mut sum, "_", signatures).ok()?;
        sum.short(&mut text, extensions.is_empty());
        text.as_bytes().try_into().ok().map(Ja4)
    }
}

impl Ja4 {
    /// The 36 characters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The same in 16 octets, for keys of tables: the readable part as a number, big-endian in four
    /// octets, then those of the two sums. `None` if the readable part is none that a hello has.
    pub fn packed(&self) -> Option<[u8; 16]> {
        let text = self.as_str();
        let place = |all: &[u8], c: u8| all.iter().position(|a| *a == c);
        let [transport, version @ .., kind] = self.0.first_chunk::<4>()?;
        let letters = [self.0.get(8)?, self.0.get(9)?];
        let digits = |n: usize| usize::from_str(text.get(n..n + 2)?).ok();
        let mut number = place(TRANSPORTS, *transport)?;
        number =
            number * VERSIONS.len() + VERSIONS.iter().position(|v| v.1.as_bytes() == version)?;
        number = number * 2 + place(b"id", *kind)?;
        number = (number * 100 + digits(4)?) * 100 + digits(6)?;
        for letter in letters {
            number = number * LETTERS.len() + place(LETTERS, *letter)?;
        }
        let sum = |from: usize| u64::from_str_radix(text.get(from..from + 12)?, 16).ok();
        let sums = u128::from(sum(11)?) << 48 | u128::from(sum(24)?);
        let number = u32::try_from(number).ok()?;
        Some((u128::from(number) << 96 | sums).to_be_bytes())
    }

    /// The fingerprint that was [`packed`](Self::packed) so.
    pub fn from_packed(packed: [u8; 16]) -> Option<Self> {
        let packed = u128::from_be_bytes(packed);
        let mut number = (packed >> 96) as usize;
        let mut digit = |base: usize| {
            let digit = number % base;
            number /= base;
            digit
        };
        let [last, first] = [digit(LETTERS.len()), digit(LETTERS.len())];
        let [extensions, ciphers] = [digit(100), digit(100)];
        let [kind, version] = [digit(2), digit(VERSIONS.len())];
        let letter = |all: &[u8], n: usize| all.get(n).copied().map(char::from);
        let (transport, kind) = (letter(TRANSPORTS, number)?, letter(b"id", kind)?);
        let (first, last) = (letter(LETTERS, first)?, letter(LETTERS, last)?);
        let version = VERSIONS.get(version)?.1;
        let sum = |shift: u32| packed >> shift & 0xffff_ffff_ffff;
        let (a, b) = (sum(48), sum(0));
        format!(
            "{transport}{version}{kind}{ciphers:02}{extensions:02}{first}{last}_{a:012x}_{b:012x}"
        )
        .parse()
        .ok()
    }
}

const TRANSPORTS: &[u8] = b"tqd";
const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

// All readable parts are less than 2^32.
const _: () = assert!(
    (TRANSPORTS.len() * VERSIONS.len() * 2 * 100 * 100 * LETTERS.len() * LETTERS.len()) as u64
        <= 1 << 32
);

impl fmt::Display for Ja3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl FromStr for Ja3 {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let is_hash = text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hash);
        number.map(|n| Self(n.to_be_bytes())).ok_or(NotAFingerprint)
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Ja4 {
    type Err = NotAFingerprint;

    /// Reads a fingerprint with the letters and digits where they belong.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let fits = |(at, c): (usize, u8)| match at {
            0 => matches!(c, b't' | b'q' | b'd'),
            3 => matches!(c, b'd' | b'i'),
            4..=7 => c.is_ascii_digit(),
            1 | 2 | 8 | 9 => c.is_ascii_alphanumeric(),
            10 | 23 => c == b'_',
            _ => matches!(c, b'0'..=b'9' | b'a'..=b'f'),
        };
        let octets: [u8; 36] = text.as_bytes().try_into().map_err(|_| NotAFingerprint)?;
        let is_valid = octets.into_iter().enumerate().all(fits);
        is_valid.then_some(Self(octets)).ok_or(NotAFingerprint)
    }
}

/// Adds a comma, and numbers with dashes between them.
fn decimal(out: &mut impl Write, numbers: impl Iterator<Item = u16>) -> fmt::Result {
    let mut before = ",";
    for number in numbers.filter(|n| !is_grease(*n)) {
        write!(out, "{before}{number}")?;
        before = "-";
    }
    // The comma is there without numbers, too.
    if before == "," { out.write_str(before) } else { Ok(()) }
}

/// Adds `before` and numbers with commas between them: `002f,0035`. Nothing without numbers.
fn hexadecimal(
    out: &mut impl Write,
    mut before: &str,
    numbers: impl Iterator<Item = u16>,
) -> fmt::Result {
    for number in numbers {
        write!(out, "{before}{number:04x}")?;
        before = ",";
    }
    Ok(())
}

/// The sum of a text that is never there as a whole.
struct Sum<D>(D);

impl<D: Digest> Write for Sum<D> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl Sum<Sha256> {
    /// Adds the first twelve digits of the sum, zeros for that of nothing.
    fn short(self, text: &mut String, is_nothing: bool) {
        let sum: [u8; 32] = if is_nothing { [0; 32] } else { self.0.finalize().into() };
        for octet in sum.iter().take(6) {
            // Writing to a string does not fail.
            let _ = write!(text, "{octet:02x}");
        }
    }
}

/// Versions and their two letters. The last one stands for all that are not known.
const VERSIONS: [(u16, &str); 10] = [
    (Version::SSL20.0, "s2"),
    (Version::SSL30.0, "s3"),
    (Version::TLS10.0, "10"),
    (Version::TLS11.0, "11"),
    (Version::TLS12.0, "12"),
    (Version::TLS13.0, "13"),
    (0xfeff, "d1"),
    (0xfefd, "d2"),
    (0xfefc, "d3"),
    (0, "00"),
];

fn version_letters(version: Version) -> &'static str {
    VERSIONS.iter().find(|v| v.0 == version.0).map_or("00", |v| v.1)
}

/// First and last character of the first protocol; if one of them is no letter or digit, first and
/// last hexadecimal digit of it.
fn alpn_letters(protocol: &[u8]) -> [char; 2] {
    let (Some(&first), Some(&last)) = (protocol.first(), protocol.last()) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last].map(char::from);
    }
    [first >> 4, last & 0xf].map(|n| char::from_digit(u32::from(n), 16).unwrap_or('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::Hello;

    /// The example of the description of JA4: a browser.
    fn chrome() -> Hello {
        Hello {
            version: 0x0303,
            ciphers: vec![
                0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x1a1a, 0x001b, 0, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023,
                0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
            ],
            groups: vec![29, 23, 24],
            points: vec![0],
            signatures: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            versions: vec![0x2a2a, 0x0304, 0x0303],
            name: "example.org",
            alpn: vec![b"h2", b"http/1.1"],
        }
    }

    /// A published fingerprint of another browser.
    fn firefox() -> Hello {
        Hello {
            version: 0x0303,
            ciphers: vec![
                4865, 4867, 4866, 49195, 49199, 52393, 52392, 49196, 49200, 49162, 49161, 49171,
                49172, 156, 157, 47, 53,
            ],
            extensions: vec![0, 23, 65281, 10, 11, 35, 16, 5, 34, 51, 43, 13, 45, 28, 21],
            groups: vec![29, 23, 24, 25, 256, 257],
            points: vec![0],
            signatures: vec![
                0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203,
                0x0201,
            ],
            versions: vec![0x0304, 0x0303],
            name: "contile.services.mozilla.com",
            alpn: vec![b"h2", b"http/1.1"],
        }
    }

    fn ja4(hello: &Hello) -> String {
        ClientHello::parse(&hello.octets()).unwrap().ja4(Transport::Tcp).unwrap().to_string()
    }

    #[test]
    fn ja4_is_as_published() {
        assert_eq!(ja4(&chrome()), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(ja4(&firefox()), "t13d1715h2_5b57614c22b0_3d5424432f57");
        let octets = chrome().octets();
        let hello = ClientHello::parse(&octets).unwrap();
        let quic = hello.ja4(Transport::Quic).unwrap();
        assert_eq!(quic.as_str(), "q13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(quic.as_str().parse(), Ok(quic));
    }

    #[test]
    fn packed_fingerprints_are_all_there() {
        for text in [
            "t13d1516h2_8daaf6152771_e5627efa2ab1",
            "ts2i000000_000000000000_000000000000",
            "d00d9999ZZ_ffffffffffff_ffffffffffff",
            "q13i9900h1_000000000001_800000000000",
        ] {
            let ja4: Ja4 = text.parse().unwrap();
            let packed = ja4.packed().unwrap();
            assert_eq!(Ja4::from_packed(packed), Some(ja4), "{text}");
        }
        let [chrome, firefox] = [chrome(), firefox()].map(|h| ja4(&h).parse::<Ja4>().unwrap());
        assert_ne!(chrome.packed(), firefox.packed());
        // Well-formed, but of no version that there is.
        let odd: Ja4 = "tzzd1516h2_8daaf6152771_e5627efa2ab1".parse().unwrap();
        assert_eq!(odd.packed(), None);
        assert_eq!(Ja4::from_packed([0xff; 16]), None);
    }

    #[test]
    fn ja3_is_as_published() {
        let numbers = |text: &str| text.split('-').filter_map(|n| n.parse().ok()).collect();
        let old = |ciphers: &str, extensions: &str, groups: &str, points: Vec<u8>| Hello {
            version: 769,
            ciphers: numbers(ciphers),
            extensions: numbers(extensions),
            groups: numbers(groups),
            points,
            name: "example.org",
            ..Hello::default()
        };
        let first =
            old("47-53-5-10-49161-49162-49171-49172-50-56-19-4", "0-10-11", "23-24-25", vec![0]);
        let second = old("4-5-10-9-100-98-3-6-19-18-99", "", "", Vec::new());
        for (hello, text, hash) in [
            (
                first,
                "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0",
                "ada70206e40642a3e4461f35503241d5",
            ),
            (second, "769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6"),
            (
                firefox(),
                "771,4865-4867-4866-49195-49199-52393-52392-49196-49200-49162-49161-49171-49172-156-\
                 157-47-53,0-23-65281-10-11-35-16-5-34-51-43-13-45-28-21,29-23-24-25-256-257,0",
                "579ccef312d18482fc42e2b822ca2430",
            ),
        ] {
            let octets = hello.octets();
            let hello = ClientHello::parse(&octets).unwrap();
            assert_eq!(hello.ja3_text().as_deref(), Some(text));
            let ja3 = hello.ja3().unwrap();
            assert_eq!(ja3.to_string(), hash);
            assert_eq!(hash.to_uppercase().parse(), Ok(ja3));
        }
    }

    #[test]
    fn a_hello_that_was_cut_off_has_no_fingerprint() {
        let octets = chrome().octets();
        for len in 0..octets.len() {
            let Some(hello) = ClientHello::parse(&octets[..len]) else { continue };
            assert_eq!((hello.ja3(), hello.ja4(Transport::Tcp)), (None, None), "{len} octets");
        }
    }

    #[test]
    fn lists_may_be_empty_or_long() {
        let bare = Hello { version: 0x0300, ..Hello::default() };
        assert_eq!(ja4(&bare), "ts3i000000_000000000000_000000000000");
        let named = Hello { extensions: vec![0], name: "a", ..bare.clone() };
        assert_eq!(ja4(&named), "ts3d000100_000000000000_000000000000");
        let many = Hello { version: 0x0301, ciphers: (1..=200).collect(), ..bare };
        assert!(ja4(&many).starts_with("t10i990000_"));
    }

    /// The examples of the description.
    #[test]
    fn protocols_are_two_letters() {
        for (protocol, want) in [
            (&b""[..], "00"),
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"h", "hh"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"\x30\xab", "3b"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ] {
            assert_eq!(String::from_iter(alpn_letters(protocol)), want, "{protocol:x?}");
        }
    }

    #[test]
    fn texts_are_checked() {
        for text in
            ["", "xyz", "ada70206e40642a3e4461f35503241d", "+da70206e40642a3e4461f35503241d5"]
        {
            assert!(text.parse::<Ja3>().is_err(), "{text}");
        }
        for text in [
            "",
            "t13d1516h2_8daaf6152771_e5627efa2ab",
            "x13d1516h2_8daaf6152771_e5627efa2ab1",
            "t13x1516h2_8daaf6152771_e5627efa2ab1",
            "t13d1516h2-8daaf6152771_e5627efa2ab1",
            "t13d15x6h2_8daaf6152771_e5627efa2ab1",
            "t13d1516h2_8daaf615277g_e5627efa2ab1",
        ] {
            assert!(text.parse::<Ja4>().is_err(), "{text}");
        }
    }
}
