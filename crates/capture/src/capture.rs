//! A capture of either format, from a file or a stream, compressed or not.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::Error;
use crate::batch::{Direction, Progress, Source};
use crate::classic::Classic;
use crate::ng::Ng;
use crate::window::Window;

/// Captured octets of a packet that are believed at most: four times what capturing programs take
/// by default.
pub(crate) const MOST: usize = 1 << 20;

/// One packet, borrowed until the next is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured, nanoseconds since 1970. `None` where the capture does not say (simple
    /// packet blocks of pcapng), or says a time that has no such number.
    pub time_ns: Option<u64>,
    /// What it begins with: LINKTYPE_ number of the tcpdump registry; 1 is Ethernet.
    pub link: u32,
    /// Octets it had on the wire, of which `bytes` may be the first ones only.
    pub wire_len: u32,
    /// Number of the interface: within its section (pcapng), of the system (live: ifIndex), else 0.
    pub interface: u32,
    /// Which way it went.
    pub direction: Direction,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

impl Packet<'_> {
    /// What fills a batch before there are packets.
    pub const NONE: Self = Self {
        time_ns: None,
        link: 0,
        wire_len: 0,
        interface: 0,
        direction: Direction::Unknown,
        bytes: &[],
    };
}

/// What a capture has brought so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets delivered.
    pub packets: u64,
    /// Captured octets of them.
    pub octets: u64,
    /// Blocks of pcapng that hold no packet (names, statistics, secrets, comments), passed over.
    pub other_blocks: u64,
}

/// The capture ends within a packet or block, as when its writer was ended or a copy was cut; or its
/// compressed stream does, at the end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the incomplete packet or block begins.
    pub at: u64,
    /// Octets of it that are there. What they hold is not delivered. 0 if a compressed stream is cut
    /// where a packet may begin: whether one did, nobody knows.
    pub have: u64,
    /// Octets that are missing at least: 0 if `have` is.
    pub missing: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, have, missing } = self;
        if *have == 0 {
            return write!(f, "the capture is cut: its compressed stream breaks off at octet {at}");
        }
        write!(
            f,
            "the capture is cut: what begins at octet {at} has {have} octets and lacks {missing}"
        )
    }
}

/// A capture that is read from its beginning to its end.
///
/// Memory is bounded: a window that grows to the longest packet that is there, of at most 1 MiB,
/// and up to 65 536 interfaces. Longer packets are an error.
pub struct Capture {
    window: Window,
    format: Format,
    state: State,
    counts: Counts,
}

enum Format {
    Classic(Classic),
    Ng(Ng),
}

#[derive(Clone, Copy)]
enum State {
    Open,
    Ended,
    Cut(Cut),
}

/// What the reader of a format found next.
pub(crate) enum Found {
    /// A packet: what is known of it, and where in the next octets of the window it lies.
    Packet(Head),
    /// The end of the capture, at the end of a packet.
    End,
    /// The end of the capture, somewhere else.
    Cut(Cut),
}

/// What is known of a packet whose octets are in the window.
pub(crate) struct Head {
    pub(crate) time_ns: Option<u64>,
    pub(crate) link: u32,
    pub(crate) wire_len: u32,
    pub(crate) interface: u32,
    /// Octets before the captured ones.
    pub(crate) before: usize,
    /// Captured octets.
    pub(crate) len: usize,
    /// Octets after them: padding and options.
    pub(crate) after: usize,
}

impl Capture {
    /// Opens a file, or standard input for the path `-`.
    ///
    /// # Errors
    /// If it cannot be opened or does not begin like a capture.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.as_os_str() == "-" {
            return Self::new(io::stdin());
        }
        let opened = File::open(path);
        Self::new(opened.map_err(|source| Error::Open { path: path.to_owned(), source })?)
    }

    /// Reads a capture from `input`, which may be compressed by gzip or zstd and needs no buffer.
    ///
    /// # Errors
    /// If it does not begin like a capture.
    pub fn new(input: impl Read + Send + 'static) -> Result<Self, Error> {
        let mut window = Window::new(Box::new(input));
        match window.peek(4)? {
            Some([0x1f, 0x8b, ..]) => {
                // Members one after the other are one stream (RFC 1952, section 2.2).
                window = Window::new(Box::new(flate2::read::MultiGzDecoder::new(Rest(window))));
            }
            Some([0x28, 0xb5, 0x2f, 0xfd]) => {
                // The decoder refuses windows of more than 128 MiB.
                let decoder = zstd::Decoder::new(Rest(window))
                    .map_err(|source| Error::Read { at: 0, source })?;
                window = Window::new(Box::new(decoder));
            }
            _ => {}
        }
        let Some(magic) = window.peek(4)? else {
            return Err(match window.rest().len() {
                0 if !window.is_cut() => Error::Empty,
                have => Error::Header { have: have as u64, need: 24 },
            });
        };
        let magic = crate::window::array(magic, 0);
        let format = if magic == crate::ng::SECTION.to_be_bytes() {
            Format::Ng(Ng::open(&mut window)?)
        } else {
            Format::Classic(Classic::open(&mut window, magic)?)
        };
        Ok(Self { window, format, state: State::Open, counts: Counts::default() })
    }

    /// The next packet; `None` at the end. After an error there is nothing more.
    ///
    /// # Errors
    /// Where the capture is damaged or cannot be read on.
    #[expect(clippy::should_implement_trait, reason = "packets are borrowed from the capture")]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, Error> {
        if !matches!(self.state, State::Open) {
            return Ok(None);
        }
        let found = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.window),
            Format::Ng(ng) => ng.next(&mut self.window, &mut self.counts),
        };
        let head = match found {
            Ok(Found::Packet(head)) => head,
            Ok(Found::End) => {
                self.state = State::Ended;
                return Ok(None);
            }
            Ok(Found::Cut(cut)) => {
                self.state = State::Cut(cut);
                return Ok(None);
            }
            Err(e) => {
                self.state = State::Ended;
                return Err(e);
            }
        };
        self.counts.packets += 1;
        self.counts.octets += head.len as u64;
        let bytes = self.window.take(head.before, head.len, head.after);
        let Head { time_ns, link, wire_len, interface, .. } = head;
        let direction = Direction::Unknown;
        Ok(Some(Packet { time_ns, link, wire_len, interface, direction, bytes }))
    }

    /// Hands over 1 to [`BATCH`](crate::BATCH) packets that lie in memory together, once at most.
    ///
    /// # Errors
    /// As [`next`](Self::next). Packets before the fault were handed over.
    pub fn batch(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error> {
        match self.next()? {
            None => Ok(Progress::End),
            Some(packet) => {
                visit(&[packet]);
                Ok(Progress::More)
            }
        }
    }

    /// What has been read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the capture ended in the middle of something. Known once [`next`](Self::next) has
    /// brought `None`.
    pub fn cut(&self) -> Option<Cut> {
        match self.state {
            State::Cut(cut) => Some(cut),
            State::Open | State::Ended => None,
        }
    }

    /// `pcap` or `pcapng`.
    pub fn format(&self) -> &'static str {
        match self.format {
            Format::Classic(_) => "pcap",
            Format::Ng(_) => "pcapng",
        }
    }
}

impl Source for Capture {
    fn batch(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error> {
        Self::batch(self, visit)
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("format", &self.format())
            .field("counts", &self.counts)
            .finish()
    }
}

/// What a window has not consumed, as a stream.
struct Rest(Window);

impl Read for Rest {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.rest().is_empty() {
            self.0.peek(1).map_err(|e| match e {
                Error::Read { source, .. } => source,
                other => io::Error::other(other),
            })?;
        }
        let n = self.0.rest().read(into)?;
        self.0.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Out;
    use crate::window::Order;

    const ORDERS: [Order; 2] = [Order::Big, Order::Little];

    type Owned = (Option<u64>, u32, u32, u32, Vec<u8>);

    /// All packets, what the capture counted, where it was cut, and its error.
    fn read(bytes: &[u8]) -> (Vec<Owned>, Option<Cut>, Option<Error>) {
        let mut capture = match Capture::new(io::Cursor::new(bytes.to_vec())) {
            Ok(capture) => capture,
            Err(e) => return (Vec::new(), None, Some(e)),
        };
        let mut all = Vec::new();
        let error = loop {
            match capture.next() {
                Ok(Some(p)) => {
                    all.push((p.time_ns, p.link, p.wire_len, p.interface, p.bytes.to_vec()));
                }
                Ok(None) => break None,
                Err(e) => break Some(e),
            }
        };
        assert!(matches!(capture.next(), Ok(None)), "nothing after the end");
        assert_eq!(capture.counts().packets, all.len() as u64);
        (all, capture.cut(), error)
    }

    fn packet(n: u8) -> Vec<u8> {
        vec![n; usize::from(n)]
    }

    #[test]
    fn classic_captures_of_every_kind() {
        for order in ORDERS {
            for (magic, unit) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
                let mut out = Out::new(order);
                out.classic(magic, 4).packet(1, 2, &packet(5)).packet(
                    u32::MAX,
                    999_999,
                    &packet(0),
                );
                let (all, cut, error) = read(&out.bytes);
                assert!(cut.is_none() && error.is_none(), "{error:?}");
                let last = u64::from(u32::MAX) * 1_000_000_000 + 999_999 * unit;
                assert_eq!(
                    all,
                    [
                        (Some(1_000_000_000 + 2 * unit), 1, 7, 0, packet(5)),
                        (Some(last), 1, 2, 0, packet(0)),
                    ]
                );
            }
        }
    }

    #[test]
    fn old_classic_captures() {
        let mut out = Out::new(Order::Little);
        out.classic(0xa1b2_c3d4, 2).u32(1).u32(2).u32(9).u32(5).put(&packet(5));
        assert_eq!(read(&out.bytes).0, [(Some(1_000_002_000), 1, 9, 0, packet(5))], "swapped");
        let mut out = Out::new(Order::Big);
        out.classic(0xa1b2_cd34, 4).u32(1).u32(2).u32(5).u32(9).put(&[0; 8]).put(&packet(5));
        assert_eq!(read(&out.bytes).0, [(Some(1_000_002_000), 1, 9, 0, packet(5))], "24 octets");
        let mut out = Out::new(Order::Big);
        out.classic(0xa1b2_c3d4, 4);
        out.bytes[20] = 0x54; // four octets of check sequence
        out.packet(0, 0, &packet(1));
        assert_eq!(read(&out.bytes).0, [(Some(0), 1, 3, 0, packet(1))]);
    }

    /// Two sections in different byte orders, interfaces of their own, all kinds of blocks.
    fn ng() -> Vec<u8> {
        let mut out = Out::new(Order::Little);
        // Options: a name, passed over, and nanoseconds.
        let options = [&[2, 0, 3, 0][..], b"eth\0", &[9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]].concat();
        out.section().interface(1, 0, &[]).interface(113, 64, &options);
        out.enhanced(0, 7, &packet(5)).enhanced(1, 1 << 40, &packet(6));
        out.block(4, b"names").block(0x0bad, &[0; 300_000]);
        let mut simple = Out::new(Order::Little);
        simple.u32(3).put(&packet(3));
        out.block(3, &simple.bytes);
        let mut big = Out::new(Order::Big);
        // Halves of seconds, an hour later.
        let options =
            [&[0, 9, 0, 1, 0x81, 0, 0, 0, 0, 14, 0, 8][..], &3600i64.to_be_bytes()].concat();
        big.section().interface(101, 4, &options).enhanced(0, 3, &packet(4));
        let mut simple = Out::new(Order::Big);
        simple.u32(100).put(&packet(8)[..4]);
        big.block(3, &simple.bytes);
        let mut old = Out::new(Order::Big);
        old.u16(0).u16(9).u32(0).u32(4).u32(7).u32(70).put(&packet(7));
        big.block(2, &old.bytes);
        out.bytes.extend(big.bytes);
        out.bytes
    }

    fn ng_packets() -> Vec<Owned> {
        let hour = 3_600_000_000_000;
        vec![
            (Some(7000), 1, 7, 0, packet(5)),
            (Some(1 << 40), 113, 8, 1, packet(6)),
            (None, 1, 3, 0, packet(3)),
            (Some(hour + 1_500_000_000), 101, 6, 0, packet(4)),
            (None, 101, 100, 0, vec![8; 4]),
            (Some(hour + 2_000_000_000), 101, 70, 0, packet(7)),
        ]
    }

    #[test]
    fn sections_interfaces_and_blocks_of_pcapng() {
        let bytes = ng();
        let (all, cut, error) = read(&bytes);
        assert!(cut.is_none() && error.is_none(), "{error:?}");
        assert_eq!(all, ng_packets());
        let mut capture = Capture::new(io::Cursor::new(bytes)).unwrap();
        while capture.next().unwrap().is_some() {}
        assert_eq!(capture.counts(), Counts { packets: 6, octets: 29, other_blocks: 2 });
    }

    #[test]
    fn times_that_cannot_be_are_none() {
        let resolution = |exponent: u8| {
            let mut out = Out::new(Order::Big);
            out.section().interface(1, 0, &[0, 9, 0, 1, exponent, 0, 0, 0]);
            out.enhanced(0, u64::MAX, &[]);
            read(&out.bytes).0[0].0
        };
        assert_eq!(resolution(0), None, "seconds: beyond what there is a number for");
        assert_eq!(resolution(9), Some(u64::MAX));
        assert_eq!(resolution(12), Some(u64::MAX / 1000));
        assert_eq!(resolution(38), Some(0));
        assert_eq!(resolution(127), None);
        assert_eq!(resolution(0x80 | 32), Some(((u64::MAX as u128 * 1_000_000_000) >> 32) as u64));
        assert_eq!(resolution(0xff), Some(0));
        let mut out = Out::new(Order::Big);
        out.section().interface(1, 0, &[&[0, 14, 0, 8][..], &(-5i64).to_be_bytes()].concat());
        out.enhanced(0, 4_000_000, &[]).enhanced(0, 6_000_000, &[]);
        let times: Vec<_> = read(&out.bytes).0.iter().map(|p| p.0).collect();
        assert_eq!(times, [None, Some(1_000_000_000)], "before 1970, and after");
    }

    fn classic() -> Vec<u8> {
        let mut out = Out::new(Order::Little);
        out.classic(0xa1b2_c3d4, 4).packet(1, 2, &packet(5)).packet(3, 4, &packet(9));
        out.bytes
    }

    #[test]
    fn what_is_whole_of_a_cut_capture_is_delivered_and_the_cut_is_told() {
        let ng_bytes = ng();
        let (ng_full, _, _) = read(&ng_bytes);
        for (name, bytes, full, header) in
            [("pcap", classic(), read(&classic()).0, 24), ("pcapng", ng_bytes, ng_full, 28)]
        {
            let mut most = 0;
            for len in (0..bytes.len()).filter(|len| *len < 600 || *len > bytes.len() - 600) {
                let (all, cut, error) = read(&bytes[..len]);
                if len < header {
                    let expected = matches!(error, Some(Error::Header { .. } | Error::Empty));
                    assert!(expected && all.is_empty(), "{name} {len}: {error:?}");
                    continue;
                }
                assert!(error.is_none(), "{name} {len}: {error:?}");
                assert!(full.starts_with(&all) && all.len() >= most, "{name} {len}");
                most = all.len();
                if let Some(cut) = cut {
                    assert_eq!(cut.at + cut.have, len as u64, "{name}: {cut}");
                    assert!(cut.missing > 0 && len as u64 + cut.missing <= bytes.len() as u64);
                }
            }
            assert_eq!(most, full.len() - 1, "{name}");
        }
    }

    #[test]
    fn compressed_captures_are_read_and_those_that_are_cut_as_far_as_they_go() {
        use std::io::Write;
        let bytes = classic();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes[..45]).unwrap();
        let mut members = gzip.finish().unwrap();
        let member = members.len();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        gzip.write_all(&bytes[45..]).unwrap();
        members.extend(gzip.finish().unwrap());
        let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
        zstd.write_all(&bytes).unwrap();
        for (name, packed) in [("gzip", members), ("zstd", zstd.finish().unwrap())] {
            let (all, cut, error) = read(&packed);
            assert!(cut.is_none() && error.is_none(), "{name}: {error:?}");
            assert_eq!(all, read(&bytes).0, "{name}");
            for len in 1..packed.len() {
                // Between two members nobody can tell.
                let is_whole = name == "gzip" && len == member;
                let (part, cut, error) = read(&packed[..len]);
                assert!(all.starts_with(&part), "{name} {len}: {error:?}");
                assert_eq!(cut.is_some() || error.is_some(), !is_whole, "{name} {len}");
            }
        }
        // All packets are there, and the check sum behind them is not.
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        gzip.write_all(&bytes).unwrap();
        let mut packed = gzip.finish().unwrap();
        packed.truncate(packed.len() - 8);
        let (part, cut, error) = read(&packed);
        assert_eq!(part, read(&bytes).0, "{error:?}");
        let at = bytes.len() as u64;
        assert_eq!(cut, Some(Cut { at, have: 0, missing: 0 }));
        let said = cut.map(|cut| cut.to_string()).unwrap_or_default();
        assert!(said.ends_with("its compressed stream breaks off at octet 70"), "{said}");
        let (_, _, error) = read(&[0x1f, 0x8b, 8, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert!(error.is_some());
    }

    #[test]
    fn damage_is_said_with_its_place() {
        let ng = |change: &dyn Fn(&mut Out)| {
            let mut out = Out::new(Order::Little);
            out.section();
            change(&mut out);
            out.bytes
        };
        let mut long = Out::new(Order::Little);
        long.classic(0xa1b2_c3d4, 4).u32(0).u32(0).u32(1 << 20 | 1).u32(1 << 20 | 1);
        let mut version = Out::new(Order::Little);
        version.u32(0xa1b2_c3d4).u16(3).u16(4).put(&[0; 16]);
        for (want, bytes) in [
            ("empty", Vec::new()),
            ("neither pcap nor pcapng", b"snoop\0\0\0".to_vec()),
            ("version 3.4 at octet 0", version.bytes),
            ("octet 24 has 1048577 octets", long.bytes),
            (
                "type 0x5 at octet 28 has impossible length 11",
                ng(&|out| {
                    out.u32(5).u32(11);
                }),
            ),
            (
                "type 0x6 at octet 28 has impossible length 16",
                ng(&|out| {
                    out.block(6, &[0; 4]);
                }),
            ),
            (
                "type 0x1 at octet 28 has impossible length 4294967292",
                ng(&|out| {
                    out.u32(1).u32(u32::MAX - 3);
                }),
            ),
            (
                "octet 28 says it has 12 octets, and 16 at its end",
                ng(&|out| {
                    out.u32(5).u32(12).u32(16);
                }),
            ),
            (
                "octet 28 has the unknown byte order mark",
                ng(&|out| {
                    out.u32(0x0a0d_0d0a).u32(28).put(&[0; 20]);
                }),
            ),
            (
                "octet 28 names interface 0, but there are 0",
                ng(&|out| {
                    out.enhanced(0, 0, &[1]);
                }),
            ),
            (
                "octet 48 names interface 7, but there are 1",
                ng(&|out| {
                    out.interface(1, 0, &[]).enhanced(7, 0, &[1]);
                }),
            ),
        ] {
            let (all, _, error) = read(&bytes);
            let error = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(want) && all.is_empty(), "{want}: {error}");
        }
        let nowhere = Capture::open(Path::new("no/such/file")).unwrap_err().to_string();
        assert!(nowhere.contains("no/such/file"), "{nowhere}");
    }

    #[test]
    fn packets_before_damage_are_delivered() {
        let mut bytes = ng();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        let (all, _, error) = read(&bytes);
        assert_eq!(all, &ng_packets()[..5]);
        assert!(matches!(error, Some(Error::BlockEnd { .. })));
    }

    #[test]
    fn no_changed_octet_panics() {
        for bytes in [classic(), ng()] {
            for at in (0..bytes.len()).filter(|at| *at < 400 || *at > bytes.len() - 400) {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bad = bytes.clone();
                    bad[at] = value;
                    let (all, _, _) = read(&bad);
                    assert!(all.len() <= bytes.len() / 16);
                }
            }
        }
    }

    /// Gives one octet at a time.
    struct Drip(io::Cursor<Vec<u8>>);

    impl Read for Drip {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = into.len().min(1);
            self.0.read(&mut into[..n])
        }
    }

    #[test]
    fn packets_across_reads_and_beyond_the_first_window_are_whole() {
        let mut out = Out::new(Order::Little);
        out.classic(0xa1b2_c3d4, 4);
        let sizes = [1, 200_000, 70_000, 1 << 20, 3, 262_144, 0, 250_000];
        for (n, size) in sizes.iter().enumerate() {
            out.packet(0, n as u32, &vec![n as u8; *size]);
        }
        let (all, cut, error) = read(&out.bytes);
        assert!(cut.is_none() && error.is_none());
        for (n, (packet, size)) in all.iter().zip(sizes).enumerate() {
            assert!(packet.4.len() == size && packet.4.iter().all(|b| *b == n as u8), "{n}");
        }
        assert_eq!(all.len(), sizes.len());
        let mut drip = Capture::new(Drip(io::Cursor::new(ng()))).unwrap();
        let mut count = 0;
        while drip.next().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 6);
    }
}
