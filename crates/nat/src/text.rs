//! Recorded events: lines of `conntrack -E` and `conntrack -L`, and netlink messages in hex.
//!
//! Lines as `conntrack` prints them with any of `-o timestamp,extended,id,ktimestamp,labels`;
//! without `-o id`, connections are told apart by their addresses alone. Hex lines are a word
//! (`NEW`, `UPDATE`, `DESTROY`, `DUMP`, `DONE`) and the octets of whole messages, numbers of their
//! headers in this machine's byte order. Empty lines and those with `#` are skipped.

use crate::ctnetlink::{DecodeError, Message, Messages};
use crate::entry::{Counter, Entry, Helper, Kind, Status, Tuple, is_icmp};
use crate::outcome::Outcome;
use crate::tracker::Tracker;
use record::Addr;
use std::net::IpAddr;

/// Why a line is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The line is not UTF-8.
    #[error("not text")]
    NotText,
    /// It neither begins like a line of `conntrack` nor like one of hex.
    #[error("no line of conntrack -E or -L, and no netlink message in hex")]
    Unknown,
    /// A value cannot be read; the text is its name.
    #[error("the value of '{0}' cannot be read")]
    Value(&'static str),
    /// Two tuples with addresses are needed.
    #[error("a connection without addresses in both directions")]
    NoTuple,
    /// Hex with an odd length or other characters.
    #[error("no hex")]
    Hex,
    /// Hex of octets that are no message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A connection, and when the message was received (nanoseconds since 1970).
    Entry(Kind, Option<u64>),
    /// A dump is over.
    Done,
    /// Nothing: empty, a comment, another message.
    Nothing,
}

/// Reads recorded lines one after the other.
#[derive(Debug, Default)]
pub struct Replay {
    entry: Entry,
    octets: Vec<u8>,
    now_ns: u64,
    is_dumping: bool,
}

impl Replay {
    /// A reader that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection of the last line that had one.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Time of the recording so far: of receipt, or else of the event; nanoseconds since 1970.
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Reads one line; what it says of a connection is in [`entry`](Self::entry) then. Of a hex
    /// line with several messages, the last one counts.
    ///
    /// # Errors
    /// The line is something else.
    pub fn read(&mut self, line: &[u8]) -> Result<Line, TextError> {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(Line::Nothing);
        }
        let word = line.split(|b| *b == b' ').next().unwrap_or(&[]);
        if [&b"NEW"[..], b"UPDATE", b"DESTROY", b"DUMP", b"DONE"].contains(&word) {
            return self.read_hex(line.get(word.len()..).unwrap_or(&[]).trim_ascii());
        }
        let line = std::str::from_utf8(line).map_err(|_| TextError::NotText)?;
        let (kind, at) = parse(line, &mut self.entry)?;
        Ok(Line::Entry(kind, at))
    }

    fn read_hex(&mut self, hex: &[u8]) -> Result<Line, TextError> {
        self.octets.clear();
        for pair in hex.chunks(2) {
            let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
            let (Some(high), Some(low)) = (digit(pair.first()), digit(pair.get(1))) else {
                return Err(TextError::Hex);
            };
            self.octets.push((high << 4 | low) as u8);
        }
        let mut messages = Messages::new(&self.octets);
        let mut line = Line::Nothing;
        while let Some(message) = messages.next() {
            match message? {
                Message::Entry(kind, entry) => {
                    self.entry = *entry;
                    line = Line::Entry(kind, None);
                }
                Message::Done(_) => line = Line::Done,
                _ => {}
            }
        }
        Ok(line)
    }

    /// Reads one line into `tracker`. Lines of a dump in a row are a dump; it is over with the
    /// next line of another kind.
    ///
    /// # Errors
    /// The line is something else; the tracker is as it was.
    pub fn line(
        &mut self,
        line: &[u8],
        tracker: &mut Tracker,
        out: &mut dyn FnMut(&Outcome),
    ) -> Result<(), TextError> {
        let what = self.read(line)?;
        let Line::Entry(kind, at) = what else {
            if what == Line::Done {
                self.finish(tracker, out);
            }
            return Ok(());
        };
        let at = at.or(self.entry.event_ns).or(self.entry.stop_ns);
        self.now_ns = self.now_ns.max(at.unwrap_or(0));
        match (kind == Kind::Dump, self.is_dumping) {
            (true, false) => {
                tracker.dump_begin(self.now_ns);
                self.is_dumping = true;
            }
            (false, true) => self.finish(tracker, out),
            _ => {}
        }
        tracker.event(self.now_ns, kind, &self.entry, out);
        Ok(())
    }

    /// The recording is over: ends the dump at its end.
    pub fn finish(&mut self, tracker: &mut Tracker, out: &mut dyn FnMut(&Outcome)) {
        if std::mem::take(&mut self.is_dumping) {
            tracker.dump_end(self.now_ns, out);
        }
    }
}

/// Reads a line of `conntrack`.
fn parse(line: &str, entry: &mut Entry) -> Result<(Kind, Option<u64>), TextError> {
    let (at, rest) = receipt(line);
    let mut words = Words(rest);
    let mut word = words.next().ok_or(TextError::Unknown)?;
    let kind = match word {
        "[NEW]" => Kind::New,
        "[UPDATE]" => Kind::Update,
        "[DESTROY]" => Kind::Destroy,
        _ => Kind::Dump,
    };
    if kind != Kind::Dump {
        word = words.next().ok_or(TextError::Unknown)?;
    }
    if ["ipv4", "ipv6"].contains(&word) {
        // -o extended: the family with its number, then as without.
        words.next().zip(words.next()).ok_or(TextError::Unknown)?;
    }
    let proto = words.next().and_then(|w| w.parse().ok()).ok_or(TextError::Unknown)?;
    *entry = Entry { status: Status::CONFIRMED.or(Status::SEEN_REPLY), ..Entry::default() };
    let mut fields = Fields { entry, proto, tuple: 0, has_echo_id: [false; 2], is_started: false };
    while let Some(word) = words.next() {
        fields.word(word)?;
    }
    let (tuples, is_started) = (fields.tuple, fields.is_started);
    if tuples != 2 || !is_started {
        return Err(TextError::NoTuple);
    }
    entry.status = Status(entry.status.0 | nat_bits(entry));
    Ok((kind, at))
}

/// The time in brackets in front of an event, in seconds.
fn receipt(line: &str) -> (Option<u64>, &str) {
    let Some((time, rest)) = line.strip_prefix('[').and_then(|l| l.split_once(']')) else {
        return (None, line);
    };
    let Some((secs, micros)) = time.trim().split_once('.') else { return (None, line) };
    let (Ok(secs), Ok(micros)) = (secs.parse::<u64>(), micros.parse::<u64>()) else {
        return (None, line);
    };
    (secs.checked_mul(1_000_000_000).and_then(|s| s.checked_add(micros.saturating_mul(1000))), rest)
}

/// Text says what was translated by the tuples only.
fn nat_bits(entry: &Entry) -> u32 {
    let translation = crate::Translation::of(entry);
    let bit = |change, bit: Status| if change == crate::Change::None { 0 } else { bit.0 };
    bit(translation.source, Status::SRC_NAT) | bit(translation.destination, Status::DST_NAT)
}

/// Words with spaces between them; what stands in brackets is one word.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let end = match text.strip_prefix('[') {
            Some(inner) => inner.find(']').map_or(text.len(), |n| n + 2),
            None => text.find(' ').unwrap_or(text.len()),
        };
        let (word, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// Fills an entry word by word.
struct Fields<'e> {
    entry: &'e mut Entry,
    proto: u8,
    /// Tuples begun.
    tuple: usize,
    has_echo_id: [bool; 2],
    /// Whether a tuple had both addresses.
    is_started: bool,
}

impl Fields<'_> {
    fn word(&mut self, word: &str) -> Result<(), TextError> {
        let Some((name, value)) = word.trim_matches(['[', ']']).split_once('=') else {
            self.flag(word);
            return Ok(());
        };
        let entry = &mut *self.entry;
        match name {
            "src" => {
                self.tuple += 1;
                let addr = address(value).ok_or(TextError::Value("src"))?;
                let proto = self.proto;
                let tuple = self.current()?;
                (tuple.src, tuple.proto) = (addr, proto);
            }
            "dst" => {
                self.current()?.dst = address(value).ok_or(TextError::Value("dst"))?;
                self.is_started = true;
            }
            "sport" | "srckey" => self.current()?.src_port = number("sport", value)?,
            "dport" | "dstkey" => self.current()?.dst_port = number("dport", value)?,
            "type" => self.icmp(number("type", value)?, 8)?,
            "code" => self.icmp(number("code", value)?, 0)?,
            "id" => self.id(value)?,
            "packets" => self.counter()?.packets = number("packets", value)?,
            "bytes" => self.counter()?.octets = number("bytes", value)?,
            "mark" => entry.mark = number("mark", value)?,
            "use" => entry.uses = number("use", value)?,
            "zone" => entry.zone = number("zone", value)?,
            "zone-orig" => entry.orig.zone = number("zone-orig", value)?,
            "zone-reply" => entry.reply.zone = number("zone-reply", value)?,
            "portid" => entry.portid = number("portid", value)?,
            "helper" => entry.helper = Some(Helper::new(value.as_bytes())),
            "start" => entry.start_ns = date(value),
            "stop" => entry.stop_ns = date(value),
            _ => {}
        }
        Ok(())
    }

    /// Timeout, state, and what stands in brackets without a value.
    fn flag(&mut self, word: &str) {
        let entry = &mut *self.entry;
        let (add, remove) = match word {
            "[UNREPLIED]" => (Status(0), Status::SEEN_REPLY),
            "[ASSURED]" => (Status::ASSURED, Status(0)),
            "[OFFLOAD]" => (Status::OFFLOAD, Status(0)),
            "[HW_OFFLOAD]" => (Status::HW_OFFLOAD, Status(0)),
            _ if self.tuple > 0 => return,
            _ => {
                match word.parse() {
                    Ok(seconds) => entry.timeout = Some(seconds),
                    Err(_) => entry.state = state(self.proto, word),
                }
                return;
            }
        };
        entry.status = Status((entry.status.0 | add.0) & !remove.0);
    }

    fn current(&mut self) -> Result<&mut Tuple, TextError> {
        match self.tuple {
            1 => Ok(&mut self.entry.orig),
            2 => Ok(&mut self.entry.reply),
            _ => Err(TextError::NoTuple),
        }
    }

    fn counter(&mut self) -> Result<&mut Counter, TextError> {
        let at = self.tuple.wrapping_sub(1);
        self.entry.counters.get_or_insert_default().get_mut(at).ok_or(TextError::NoTuple)
    }

    fn icmp(&mut self, value: u8, shift: u32) -> Result<(), TextError> {
        self.current()?.dst_port |= u16::from(value) << shift;
        Ok(())
    }

    /// The echo id of each ICMP tuple, then that of the connection.
    fn id(&mut self, value: &str) -> Result<(), TextError> {
        let at = self.tuple.wrapping_sub(1);
        match self.has_echo_id.get_mut(at) {
            Some(has) if is_icmp(self.proto) && !*has => {
                *has = true;
                self.current()?.src_port = number("id", value)?;
            }
            _ => self.entry.id = number("id", value)?,
        }
        Ok(())
    }
}

fn address(text: &str) -> Option<Addr> {
    text.parse::<IpAddr>().ok().map(Addr::from)
}

fn number<T: TryFrom<u64>>(name: &'static str, text: &str) -> Result<T, TextError> {
    let value: Result<u64, _> = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    value.ok().and_then(|n| T::try_from(n).ok()).ok_or(TextError::Value(name))
}

/// Numbers of states by the names `conntrack` prints; 0 for none.
fn state(proto: u8, name: &str) -> u8 {
    const TCP: &[&str] = &[
        "NONE",
        "SYN_SENT",
        "SYN_RECV",
        "ESTABLISHED",
        "FIN_WAIT",
        "CLOSE_WAIT",
        "LAST_ACK",
        "TIME_WAIT",
        "CLOSE",
        "SYN_SENT2",
    ];
    const SCTP: &[&str] = &[
        "NONE",
        "CLOSED",
        "COOKIE_WAIT",
        "COOKIE_ECHOED",
        "ESTABLISHED",
        "SHUTDOWN_SENT",
        "SHUTDOWN_RECD",
        "SHUTDOWN_ACK_SENT",
        "HEARTBEAT_SENT",
    ];
    const DCCP: &[&str] =
        &["NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT"];
    let names = match proto {
        6 => TCP,
        132 => SCTP,
        33 => DCCP,
        _ => return 0,
    };
    names.iter().position(|n| *n == name).unwrap_or(0) as u8
}

/// `Sat Nov 21 07:19:41 2026`, taken as UTC, in nanoseconds since 1970.
fn date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_ascii_whitespace().skip(1);
    let month = MONTHS.find(words.next()?)? as u64 / 3 + 1;
    let day = words.next()?.parse::<u64>().ok().filter(|d| (1..=31).contains(d))?;
    let mut clock = words.next()?.split(':').map(|n| n.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let year: u64 = words.next()?.parse().ok().filter(|y| (1970..=2400).contains(y))?;
    // Days of a calendar that begins in March, so that leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000)
}
