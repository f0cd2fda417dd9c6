//! TLS client hellos.
//!
//! The layout is that of RFC 8446, section 4.1.2, which all versions from SSL 3.0 on share, and
//! the one of SSL 2.0 (RFC 6101, appendix E), which old clients send to offer more than 2.0.

use crate::TCP;
use crate::cursor::{Cursor, numbers};
use std::fmt;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// A version of TLS or SSL as on the wire: 0x0303 is TLS 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u16);

impl Version {
    /// SSL 2.0.
    pub const SSL20: Self = Self(0x0002);
    /// SSL 3.0.
    pub const SSL30: Self = Self(0x0300);
    /// TLS 1.0.
    pub const TLS10: Self = Self(0x0301);
    /// TLS 1.1.
    pub const TLS11: Self = Self(0x0302);
    /// TLS 1.2.
    pub const TLS12: Self = Self(0x0303);
    /// TLS 1.3.
    pub const TLS13: Self = Self(0x0304);
}

impl fmt::Display for Version {
    /// `TLS1.2`, `SSL3.0`, or the number of what is unknown: `0x7f17`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SSL20 => f.write_str("SSL2.0"),
            Self::SSL30 => f.write_str("SSL3.0"),
            Self(n @ 0x0301..=0x0304) => write!(f, "TLS1.{}", n - 0x0301),
            Self(n) => write!(f, "{n:#06x}"),
        }
    }
}

/// What a client offers. Borrowed from a payload.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    record_version: Version,
    legacy_version: Version,
    is_ssl2: bool,
    ciphers: &'a [u8],
    /// As many octets of the extensions as there are.
    extensions: &'a [u8],
    is_complete: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads the payload of a flow of this IP protocol: of TCP, for of datagrams TLS has another
    /// layout (DTLS, QUIC). `None` as for [`parse`](Self::parse).
    pub fn of_flow(protocol: u8, payload: &'a [u8]) -> Option<Self> {
        if protocol == TCP { Self::parse(payload) } else { None }
    }

    /// Reads the start of what a client sends. `None` if it is no client hello, or is cut off
    /// before the extensions; if it is cut off within them, those that are complete are given.
    ///
    /// A hello that is spread over several records ends with the first one.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        if payload.first() != Some(&HANDSHAKE) {
            return Self::parse_ssl2(payload);
        }
        let mut rest = Cursor(payload.get(1..)?);
        let record_version = known(rest.u16()?)?;
        let len = usize::from(rest.u16()?);
        let mut rest = Cursor(rest.0.get(..len).unwrap_or(rest.0));
        if rest.u8()? != CLIENT_HELLO {
            return None;
        }
        let len = rest.u24()?;
        let (mut rest, mut is_complete) = match rest.0.get(..len) {
            Some(body) => (Cursor(body), true),
            None => (rest, false),
        };
        let legacy_version = known(rest.u16()?)?;
        let _random = rest.take(32)?;
        let _session = rest.list8()?;
        let ciphers = rest.list16()?;
        let _compression = rest.list8()?;
        // SSL 3.0 and TLS 1.0 have no list of extensions if there are none.
        let extensions = match rest.u16() {
            Some(len) => {
                let len = usize::from(len);
                is_complete &= rest.0.len() >= len;
                rest.0.get(..len).unwrap_or(rest.0)
            }
            None => &[],
        };
        let is_ssl2 = false;
        let mut hello =
            Self { record_version, legacy_version, is_ssl2, ciphers, extensions, is_complete };
        let whole: usize = hello.extensions().map(|(_, data)| 4 + data.len()).sum();
        hello.is_complete &= whole == extensions.len();
        Some(hello)
    }

    /// A client hello in the layout of SSL 2.0. The lengths must fit each other, for there is
    /// little else to recognise it by.
    fn parse_ssl2(payload: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(payload);
        let len = usize::from(rest.u16()?.checked_sub(0x8000)?);
        if rest.u8()? != CLIENT_HELLO {
            return None;
        }
        let version = known(rest.u16()?)?;
        let [ciphers, session, challenge] =
            [rest.u16()?, rest.u16()?, rest.u16()?].map(usize::from);
        let is_sound = ciphers % 3 == 0
            && ciphers > 0
            && matches!(session, 0 | 16)
            && (16..=32).contains(&challenge)
            && len == 9 + ciphers + session + challenge;
        let ciphers = rest.take(ciphers)?;
        is_sound.then_some(Self {
            record_version: version,
            legacy_version: version,
            is_ssl2: true,
            ciphers,
            extensions: &[],
            is_complete: rest.0.len() >= session + challenge,
        })
    }

    /// Whether nothing was cut off.
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether it has the layout of SSL 2.0, whatever version it offers.
    pub const fn is_ssl2(&self) -> bool {
        self.is_ssl2
    }

    /// The version of the record layer, which says little: most clients send TLS 1.0.
    pub const fn record_version(&self) -> Version {
        self.record_version
    }

    /// The version in the hello itself; TLS 1.2 from clients that offer TLS 1.3.
    pub const fn legacy_version(&self) -> Version {
        self.legacy_version
    }

    /// The highest version that is offered: of the extension for it (RFC 8446, section 4.2.1), or
    /// that of the hello.
    pub fn version(&self) -> Version {
        let list = self.extension(SUPPORTED_VERSIONS).and_then(|data| Cursor(data).list8());
        let versions = numbers(list.unwrap_or(&[])).filter(|n| !is_grease(*n));
        versions.max().map_or(self.legacy_version, Version)
    }

    /// The name of the server that the client wants (RFC 6066, section 3).
    pub fn server_name(&self) -> Option<&'a [u8]> {
        let mut names = Cursor(Cursor(self.extension(SERVER_NAME)?).list16()?);
        // Each has a kind; there is one kind, and a client gives one name of it.
        while let Some(kind) = names.u8() {
            let name = names.list16()?;
            if kind == 0 {
                return Some(name);
            }
        }
        None
    }

    /// Cipher suites in the order of preference, with the values of GREASE among them. Empty for a
    /// hello in the layout of SSL 2.0, which numbers ciphers with three octets.
    pub fn cipher_suites(&self) -> impl Iterator<Item = u16> + 'a {
        numbers(if self.is_ssl2 { &[] } else { self.ciphers })
    }

    /// Extensions that are complete, in their order: number and data.
    pub fn extensions(&self) -> impl Iterator<Item = (u16, &'a [u8])> + 'a {
        let mut rest = Cursor(self.extensions);
        std::iter::from_fn(move || Some((rest.u16()?, rest.list16()?)))
    }

    /// The data of an extension.
    pub fn extension(&self, number: u16) -> Option<&'a [u8]> {
        self.extensions().find(|(n, _)| *n == number).map(|(_, data)| data)
    }

    /// Groups for the key exchange, formerly elliptic curves (RFC 8446, section 4.2.7).
    pub fn groups(&self) -> impl Iterator<Item = u16> + 'a {
        self.numbers_of(SUPPORTED_GROUPS)
    }

    /// Formats of points on elliptic curves (RFC 8422, section 5.1.2).
    pub fn point_formats(&self) -> &'a [u8] {
        let list = self.extension(EC_POINT_FORMATS).and_then(|data| Cursor(data).list8());
        list.unwrap_or(&[])
    }

    /// Signature algorithms (RFC 8446, section 4.2.3).
    pub fn signature_algorithms(&self) -> impl Iterator<Item = u16> + 'a {
        self.numbers_of(SIGNATURE_ALGORITHMS)
    }

    /// Application protocols in the order of preference: `h2`, `http/1.1` (RFC 7301).
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + 'a {
        let list = self.extension(ALPN).and_then(|data| Cursor(data).list16());
        let mut rest = Cursor(list.unwrap_or(&[]));
        std::iter::from_fn(move || rest.list8())
    }

    fn numbers_of(&self, extension: u16) -> impl Iterator<Item = u16> + 'a {
        let list = self.extension(extension).and_then(|data| Cursor(data).list16());
        numbers(list.unwrap_or(&[]))
    }
}

/// Values that clients mix in so that servers stay tolerant: 0x0a0a, 0x1a1a, to 0xfafa (RFC 8701).
pub const fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// A version that there is, or that there was as a draft.
fn known(number: u16) -> Option<Version> {
    matches!(number, 0x0002 | 0x0300..=0x0304).then_some(Version(number))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Lists as in the texts of fingerprints.
    #[derive(Clone, Default)]
    pub(crate) struct Hello {
        pub(crate) version: u16,
        pub(crate) ciphers: Vec<u16>,
        pub(crate) extensions: Vec<u16>,
        pub(crate) groups: Vec<u16>,
        pub(crate) points: Vec<u8>,
        pub(crate) signatures: Vec<u16>,
        pub(crate) versions: Vec<u16>,
        pub(crate) name: &'static str,
        pub(crate) alpn: Vec<&'static [u8]>,
    }

    #[test]
    fn hellos_come_over_tcp() {
        let octets = Hello { version: 0x0303, name: "a", ..Hello::default() }.octets();
        for (protocol, want) in [(6, true), (17, false), (132, false), (0, false)] {
            assert_eq!(ClientHello::of_flow(protocol, &octets).is_some(), want, "{protocol}");
        }
    }

    fn octets(numbers: &[u16]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn list8(data: &[u8]) -> Vec<u8> {
        [&[data.len() as u8], data].concat()
    }

    fn list16(data: &[u8]) -> Vec<u8> {
        [&(data.len() as u16).to_be_bytes()[..], data].concat()
    }

    impl Hello {
        pub(crate) fn octets(&self) -> Vec<u8> {
            let mut extensions = Vec::new();
            for number in &self.extensions {
                let data = match *number {
                    SERVER_NAME => list16(&[&[0], &list16(self.name.as_bytes())[..]].concat()),
                    SUPPORTED_GROUPS => list16(&octets(&self.groups)),
                    EC_POINT_FORMATS => list8(&self.points),
                    SIGNATURE_ALGORITHMS => list16(&octets(&self.signatures)),
                    ALPN => list16(&self.alpn.iter().flat_map(|p| list8(p)).collect::<Vec<_>>()),
                    SUPPORTED_VERSIONS => list8(&octets(&self.versions)),
                    _ => vec![7; 3],
                };
                extensions.extend([number.to_be_bytes().to_vec(), list16(&data)].concat());
            }
            let mut body = [&self.version.to_be_bytes()[..], &[9; 32], &list8(&[5; 32])].concat();
            body.extend(list16(&octets(&self.ciphers)));
            body.extend(list8(&[0]));
            if !self.extensions.is_empty() {
                body.extend(list16(&extensions));
            }
            let len = (body.len() as u32).to_be_bytes();
            let message = [&[CLIENT_HELLO], &len[1..], &body].concat();
            [&[HANDSHAKE, 3, 1], &list16(&message)[..]].concat()
        }
    }

    fn sample() -> Hello {
        Hello {
            version: 0x0303,
            ciphers: vec![0x1a1a, 0x1301, 0xc02b],
            extensions: vec![0x2a2a, 0, 10, 11, 13, 16, 43, 0xff01],
            groups: vec![0x3a3a, 29, 23],
            points: vec![0, 1],
            signatures: vec![0x0403, 0x0804],
            versions: vec![0x4a4a, 0x0303, 0x0304],
            name: "www.example.org",
            alpn: vec![b"h2", b"http/1.1"],
        }
    }

    #[test]
    fn a_hello_says_what_a_client_offers() {
        let octets = sample().octets();
        let hello = ClientHello::parse(&octets).unwrap();
        assert!(hello.is_complete() && !hello.is_ssl2());
        assert_eq!(hello.record_version(), Version::TLS10);
        assert_eq!(hello.legacy_version(), Version::TLS12);
        assert_eq!(hello.version(), Version::TLS13);
        assert_eq!(hello.server_name(), Some(&b"www.example.org"[..]));
        assert!(hello.cipher_suites().eq([0x1a1a, 0x1301, 0xc02b]));
        assert!(hello.extensions().map(|e| e.0).eq(sample().extensions));
        assert!(hello.groups().eq([0x3a3a, 29, 23]));
        assert_eq!(hello.point_formats(), [0, 1]);
        assert!(hello.signature_algorithms().eq([0x0403, 0x0804]));
        assert!(hello.alpn().eq([&b"h2"[..], b"http/1.1"]));
    }

    #[test]
    fn a_hello_may_have_no_extensions() {
        for (version, want) in [
            (0x0300, "SSL3.0"),
            (0x0301, "TLS1.0"),
            (0x0302, "TLS1.1"),
            (0x0303, "TLS1.2"),
            (0x0304, "TLS1.3"),
        ] {
            let octets = Hello { version, ciphers: vec![5], ..Hello::default() }.octets();
            let hello = ClientHello::parse(&octets).unwrap();
            assert_eq!(hello.version().to_string(), want);
            assert!(hello.is_complete());
            assert_eq!(hello.server_name(), None);
            assert_eq!(
                hello.extensions().count() + hello.groups().count() + hello.alpn().count(),
                0
            );
        }
        assert_eq!(Version(0x7f17).to_string(), "0x7f17");
    }

    #[test]
    fn what_is_cut_off_is_not_given() {
        let octets = sample().octets();
        let whole = ClientHello::parse(&octets).unwrap();
        // Five octets of record, four of message, version, random, session, ciphers, compression.
        let head = 5 + 4 + 2 + 32 + 33 + 8 + 2;
        for len in 0..octets.len() {
            let Some(hello) = ClientHello::parse(&octets[..len]) else {
                assert!(len < head, "nothing from {len} octets");
                continue;
            };
            assert!(len >= head && !hello.is_complete(), "{len} octets");
            let count = hello.extensions().count();
            assert!(count < sample().extensions.len());
            assert!(whole.extensions().take(count).eq(hello.extensions()));
            assert!(hello.server_name().is_none_or(|name| name == b"www.example.org"));
        }
    }

    /// The lengths around it are right, but an extension says that it is longer than there is.
    #[test]
    fn an_extension_that_goes_beyond_the_list_is_not_complete() {
        let mut octets = sample().octets();
        let at = octets.len() - 4;
        octets[at] += 1;
        let hello = ClientHello::parse(&octets).unwrap();
        assert!(!hello.is_complete());
        assert_eq!(hello.extensions().count(), sample().extensions.len() - 1);
    }

    #[test]
    fn damaged_octets_never_panic() {
        let octets = sample().octets();
        for at in 0..octets.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = octets.clone();
                damaged[at] ^= flip;
                let Some(hello) = ClientHello::parse(&damaged) else { continue };
                let _ = (hello.version(), hello.server_name(), hello.alpn().count());
                let _ = (hello.groups().count(), hello.point_formats(), hello.is_complete());
            }
        }
    }

    #[test]
    fn the_layout_of_ssl_2_is_read() {
        let hello = |version: u16, ciphers: &[u8]| {
            let mut body = vec![CLIENT_HELLO];
            for n in [version, ciphers.len() as u16, 0, 16] {
                body.extend(n.to_be_bytes());
            }
            body.extend([ciphers, &[9; 16]].concat());
            [&(0x8000 | body.len() as u16).to_be_bytes()[..], &body].concat()
        };
        for (version, want) in
            [(2, Version::SSL20), (0x0300, Version::SSL30), (0x0301, Version::TLS10)]
        {
            let octets = hello(version, &[1, 0, 0x80, 0, 0, 5]);
            let read = ClientHello::parse(&octets).unwrap();
            assert!(read.is_ssl2() && read.is_complete());
            assert_eq!(read.version(), want);
            assert_eq!(read.cipher_suites().count(), 0);
            let complete = (0..octets.len())
                .filter(|len| ClientHello::parse(&octets[..*len]).is_some_and(|h| h.is_complete()));
            assert_eq!(complete.count(), 0);
        }
        assert!(ClientHello::parse(&hello(2, &[1, 0])).is_none(), "ciphers have three octets");
        assert!(ClientHello::parse(&hello(0x0666, &[1, 0, 0x80])).is_none());
    }

    #[test]
    fn other_protocols_are_no_hello() {
        let mut server = sample().octets();
        server[5] = 2;
        for octets in [
            &b"GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n"[..],
            b"SSH-2.0-x\r\n",
            b"",
            b"\x16",
            &server,
        ] {
            assert!(ClientHello::parse(octets).is_none());
        }
    }

    #[test]
    fn grease_is_sixteen_values() {
        let all: Vec<_> = (0..=u16::MAX).filter(|n| is_grease(*n)).collect();
        assert_eq!(all.len(), 16);
        assert_eq!((all[0], all[15]), (0x0a0a, 0xfafa));
    }
}
