//! A capture of either format, from a file or a stream, compressed or not.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::batch::{BATCH, Direction, Progress, Source};
use crate::classic::Classic;
use crate::ng::Ng;
use crate::snoop::Snoop;
use crate::window::Window;
use crate::{Error, Filters};

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
    /// Packets that the filter did not want.
    pub unwanted: u64,
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
    filters: Option<Filters>,
}

enum Format {
    Classic(Classic),
    Ng(Ng),
    Snoop(Snoop),
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
        let file = opened.map_err(|source| Error::Open { path: path.to_owned(), source })?;
        Self::new(file)
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
        } else if Snoop::is_begun_by(magic) {
            Format::Snoop(Snoop::open(&mut window, magic)?)
        } else {
            Format::Classic(Classic::open(&mut window, magic)?)
        };
        Ok(Self { window, format, state: State::Open, counts: Counts::default(), filters: None })
    }

    /// Delivers only packets that `expression` (pcap-filter(7)) holds for, from here on. It is
    /// compiled for each link type that the capture has; where it cannot be said for one, no packet
    /// of that matches.
    ///
    /// # Errors
    /// As [`Filter::compile`](crate::Filter::compile).
    pub fn set_filter(&mut self, expression: &str) -> Result<(), Error> {
        let filters = match &self.format {
            Format::Classic(classic) => Filters::new(expression, classic.link()),
            Format::Snoop(snoop) => Filters::new(expression, snoop.link()),
            // Which link types there are is known when their first packets come.
            Format::Ng(_) => Filters::for_any(expression),
        };
        self.filters = Some(filters?);
        Ok(())
    }

    /// The filter, if there is one: it knows the link types that it cannot be said for.
    pub fn filters(&self) -> Option<&Filters> {
        self.filters.as_ref()
    }

    /// The next packet; `None` at the end. After an error there is nothing more.
    ///
    /// # Errors
    /// Where the capture is damaged or cannot be read on.
    #[expect(clippy::should_implement_trait, reason = "packets are borrowed from the capture")]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, Error> {
        let Some(head) = self.find()? else { return Ok(None) };
        self.counts.packets += 1;
        self.counts.octets += head.len as u64;
        let bytes = self.window.take(head.before, head.len, head.after);
        Ok(Some(head.packet(bytes)))
    }

    /// Hands over 1 to [`BATCH`] packets that lie in memory together, once at most.
    ///
    /// # Errors
    /// As [`next`](Self::next). Packets before the fault were handed over.
    pub fn batch(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error> {
        if !matches!(self.state, State::Open) {
            return Ok(Progress::End);
        }
        let mut batch = [Packet::NONE; BATCH];
        let rest = self.window.rest();
        let (found, octets) = match &self.format {
            Format::Classic(classic) => classic.packets(rest, &mut batch),
            Format::Ng(ng) => ng.packets(rest, &mut batch),
            Format::Snoop(_) => (0, 0), // rare enough to be read one by one
        };
        let Some(packets) = batch.get_mut(..found).filter(|packets| !packets.is_empty()) else {
            return self.one(visit);
        };
        let wanted = match &mut self.filters {
            Some(filters) => wanted(packets, filters),
            None => found,
        };
        let packets = packets.get(..wanted).unwrap_or_default();
        self.counts.packets += wanted as u64;
        self.counts.octets += packets.iter().map(|packet| packet.bytes.len() as u64).sum::<u64>();
        self.counts.unwanted += (found - wanted) as u64;
        if wanted > 0 {
            visit(packets);
        }
        self.window.consume(octets);
        Ok(Progress::More)
    }

    /// A batch of one: the packet that needs more to be read, or does not lie behind another one.
    fn one(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error> {
        Ok(match self.next()? {
            None => Progress::End,
            Some(packet) => {
                visit(&[packet]);
                Progress::More
            }
        })
    }

    /// Finds the next packet that is wanted, and has its octets in the window; `None` at the end.
    fn find(&mut self) -> Result<Option<Head>, Error> {
        while matches!(self.state, State::Open) {
            let found = match &mut self.format {
                Format::Classic(classic) => classic.next(&mut self.window),
                Format::Ng(ng) => ng.next(&mut self.window, &mut self.counts),
                Format::Snoop(snoop) => snoop.next(&mut self.window),
            };
            match found {
                Ok(Found::Packet(head)) => {
                    let end = head.before + head.len;
                    let bytes = self.window.rest().get(head.before..end).unwrap_or_default();
                    let filters = self.filters.as_mut();
                    if filters.is_none_or(|filters| filters.matches(&head.packet(bytes))) {
                        return Ok(Some(head));
                    }
                    self.window.consume(end + head.after);
                    self.counts.unwanted += 1;
                }
                Ok(Found::End) => self.state = State::Ended,
                Ok(Found::Cut(cut)) => self.state = State::Cut(cut),
                Err(e) => {
                    self.state = State::Ended;
                    return Err(e);
                }
            }
        }
        Ok(None)
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

    /// `pcap`, `pcapng` or `snoop`.
    pub fn format(&self) -> &'static str {
        match self.format {
            Format::Classic(_) => "pcap",
            Format::Ng(_) => "pcapng",
            Format::Snoop(_) => "snoop",
        }
    }
}

/// Moves the packets that are wanted to the front. How many they are.
fn wanted(packets: &mut [Packet<'_>], filters: &mut Filters) -> usize {
    let mut count = 0;
    for n in 0..packets.len() {
        if packets.get(n).is_some_and(|packet| filters.matches(packet)) {
            packets.swap(count, n);
            count += 1;
        }
    }
    count
}

impl Head {
    /// The packet with these octets.
    fn packet<'a>(&self, bytes: &'a [u8]) -> Packet<'a> {
        let Self { time_ns, link, wire_len, interface, .. } = *self;
        Packet { time_ns, link, wire_len, interface, direction: Direction::Unknown, bytes }
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
