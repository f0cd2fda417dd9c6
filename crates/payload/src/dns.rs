//! DNS messages (RFC 1035, section 4).

use crate::cursor::Cursor;
use crate::{TCP, UDP};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// Octets of a name on the wire at most (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;

/// Characters of a name as text at most: each octet as `\DDD`, without that of the root.
const MAX_TEXT: usize = 4 * MAX_NAME;

/// Pointers that are followed in one name. A name has at most 127 labels.
const MAX_POINTERS: usize = 127;

/// A DNS message, or as much of one as there is. Borrowed from a payload.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    octets: &'a [u8],
    /// Questions, answers, authorities, additionals, as the header counts them.
    counts: [u16; 4],
    is_complete: bool,
}

/// A question of a message.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked about.
    pub name: Name<'a>,
    /// The type of records asked for: 1 is A, 28 is AAAA.
    pub kind: u16,
    /// The class: 1 is the Internet. With multicast DNS the top bit is a flag.
    pub class: u16,
}

/// A name in a message.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

/// Why reading stopped.
enum Stop {
    /// There is no more.
    CutOff,
    /// No DNS message has this.
    Wrong,
}

impl<'a> Message<'a> {
    /// Reads the payload of a flow of this IP protocol: [`parse`](Self::parse) for UDP,
    /// [`parse_tcp`](Self::parse_tcp) for TCP. Others carry none.
    pub fn of_flow(protocol: u8, payload: &'a [u8]) -> Option<Self> {
        match protocol {
            TCP => Self::parse_tcp(payload),
            UDP => Self::parse(payload),
            _ => None,
        }
    }

    /// Reads the payload of a datagram. `None` if it is no DNS message.
    ///
    /// There is no mark to know one by, so the header, all names and all lengths have to be right,
    /// and the first question has to be complete. What comes after it may be cut off.
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(octets);
        let _id = rest.u16()?;
        let flags = rest.u16()?;
        let counts = [rest.u16()?, rest.u16()?, rest.u16()?, rest.u16()?];
        let (is_answer, opcode, code) = (flags >> 15 == 1, flags >> 11 & 0xf, flags & 0xf);
        // Opcodes in use are 0 to 6 without 3; only answers have a code; bit 6 is reserved.
        let is_sound = opcode <= 6
            && opcode != 3
            && (is_answer || code == 0)
            && flags & 0x40 == 0
            && counts.iter().any(|n| *n > 0);
        if !is_sound {
            return None;
        }
        let mut message = Self { octets, counts, is_complete: true };
        let mut records = message.records();
        let mut seen = 0u32;
        let wanted: u32 = counts.iter().map(|n| u32::from(*n)).sum();
        while seen < wanted {
            match records.next_or_stop() {
                Ok(_) => seen += 1,
                Err(Stop::CutOff) if seen > 0 => {
                    message.is_complete = false;
                    break;
                }
                Err(_) => return None,
            }
        }
        Some(message)
    }

    /// Reads the payload of a TCP connection: the length of the message in two octets comes before
    /// it (RFC 1035, section 4.2.2). Only the first message is read.
    pub fn parse_tcp(payload: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(payload);
        let len = usize::from(rest.u16()?);
        let mut message = Self::parse(rest.0.get(..len).unwrap_or(rest.0))?;
        message.is_complete &= rest.0.len() >= len;
        Some(message)
    }

    /// Whether nothing was cut off.
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether it is an answer.
    pub fn is_answer(&self) -> bool {
        self.octets.get(2).is_some_and(|flags| flags & 0x80 != 0)
    }

    /// Questions that are complete, in their order.
    pub fn questions(&self) -> impl Iterator<Item = Question<'a>> {
        let questions = self.records().take(usize::from(self.counts[0]));
        questions.map(|r| Question { name: r.name, kind: r.kind, class: r.class })
    }

    /// Addresses of the answers and the additional records that are complete, in their order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let is_wanted = |r: &Record<'_>| matches!(r.section, Section::Answer | Section::Additional);
        self.records().filter(is_wanted).filter_map(|r| r.address())
    }

    fn records(&self) -> Records<'a> {
        let left = self.counts;
        Records { message: self.octets, at: HEADER, left }
    }
}

const HEADER: usize = 12;

/// The parts of a message, in the order of [`Message::counts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Question,
    Answer,
    Authority,
    Additional,
}

const SECTIONS: [Section; 4] =
    [Section::Question, Section::Answer, Section::Authority, Section::Additional];

/// A question or a record.
#[derive(Clone, Copy)]
struct Record<'a> {
    section: Section,
    name: Name<'a>,
    kind: u16,
    class: u16,
    data: &'a [u8],
}

impl Record<'_> {
    fn address(&self) -> Option<IpAddr> {
        // Multicast DNS has a flag in the top bit of the class (RFC 6762, section 10.2).
        if self.class & 0x7fff != CLASS_IN {
            return None;
        }
        match self.kind {
            TYPE_A => <[u8; 4]>::try_from(self.data).ok().map(|a| Ipv4Addr::from(a).into()),
            TYPE_AAAA => <[u8; 16]>::try_from(self.data).ok().map(|a| Ipv6Addr::from(a).into()),
            _ => None,
        }
    }
}

/// Questions and records one after the other.
#[derive(Clone, Copy)]
struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: [u16; 4],
}

impl<'a> Records<'a> {
    /// The next one; at the end of all of them the message counts as cut off.
    fn next_or_stop(&mut self) -> Result<Record<'a>, Stop> {
        let mut sections = SECTIONS.into_iter().zip(&mut self.left);
        let (section, left) = sections.find(|(_, left)| **left > 0).ok_or(Stop::CutOff)?;
        let name = Name { message: self.message, at: self.at };
        let end = name.end()?;
        let mut rest = Cursor(self.message.get(end..).ok_or(Stop::CutOff)?);
        let fields = |rest: &mut Cursor<'a>| {
            let (kind, class) = (rest.u16()?, rest.u16()?);
            if section == Section::Question {
                return Some((kind, class, &[][..]));
            }
            let _ttl = (rest.u16()?, rest.u16()?);
            Some((kind, class, rest.list16()?))
        };
        let (kind, class, data) = fields(&mut rest).ok_or(Stop::CutOff)?;
        if section == Section::Question && !is_class(class) {
            return Err(Stop::Wrong);
        }
        *left -= 1;
        self.at = self.message.len() - rest.0.len();
        Ok(Record { section, name, kind, class, data })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.next_or_stop().ok()
    }
}

/// Classes that are asked for: IN, CH, HS, NONE, ANY, and those with the flag of multicast DNS.
const fn is_class(class: u16) -> bool {
    matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255)
}

impl<'a> Name<'a> {
    /// Whether the name as text, with a dot at its end, has this part; upper and lower case differ.
    pub fn contains(&self, part: &str) -> bool {
        let mut text = Text { octets: [0; MAX_TEXT], len: 0 };
        // The buffer has room for any name.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{self}"));
        let text = text.octets.get(..text.len).unwrap_or(&[]);
        part.is_empty() || text.windows(part.len()).any(|w| w == part.as_bytes())
    }

    /// Labels from the left to the right.
    pub fn labels(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut at = self.at;
        let message = self.message;
        let (mut pointers, mut len) = (0, 0);
        std::iter::from_fn(move || {
            loop {
                match step(message, at).ok()? {
                    Step::Label(label) => {
                        at += 1 + label.len();
                        len += 1 + label.len();
                        return (len < MAX_NAME).then_some(label);
                    }
                    Step::Pointer(target) if target < at && pointers < MAX_POINTERS => {
                        at = target;
                        pointers += 1;
                    }
                    Step::Pointer(_) | Step::Root => return None,
                }
            }
        })
    }

    /// Where the next field is. Checks the whole name, also behind pointers.
    fn end(&self) -> Result<usize, Stop> {
        let (mut at, mut end) = (self.at, None);
        let (mut pointers, mut len) = (0, 0);
        loop {
            match step(self.message, at)? {
                Step::Root => return Ok(end.unwrap_or(at + 1)),
                Step::Label(label) => {
                    at += 1 + label.len();
                    len += 1 + label.len();
                }
                // Only to what came before (RFC 1035, section 4.1.4), so that there is an end.
                Step::Pointer(target) if target < at => {
                    end = end.or(Some(at + 2));
                    at = target;
                    pointers += 1;
                }
                Step::Pointer(_) => return Err(Stop::Wrong),
            }
            if len >= MAX_NAME || pointers > MAX_POINTERS {
                return Err(Stop::Wrong);
            }
        }
    }
}

impl fmt::Display for Name<'_> {
    /// `www.example.org.`, with `\.` for a dot in a label and `\032` for octets that are no visible
    /// character (RFC 4343, section 2.1). The root is `.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_root = true;
        for label in self.labels() {
            is_root = false;
            for octet in label {
                match octet {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*octet))?,
                    0x21..=0x7e => write!(f, "{}", char::from(*octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        if is_root { f.write_str(".") } else { Ok(()) }
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One element of a name.
enum Step<'a> {
    Label(&'a [u8]),
    Pointer(usize),
    Root,
}

/// The two top bits tell a label from a pointer; the other two values are not in use.
fn step(message: &[u8], at: usize) -> Result<Step<'_>, Stop> {
    let mut rest = Cursor(message.get(at..).ok_or(Stop::CutOff)?);
    let first = rest.u8().ok_or(Stop::CutOff)?;
    match first >> 6 {
        0 if first == 0 => Ok(Step::Root),
        0 => rest.take(usize::from(first)).map(Step::Label).ok_or(Stop::CutOff),
        3 => {
            let low = rest.u8().ok_or(Stop::CutOff)?;
            Ok(Step::Pointer(usize::from(first & 0x3f) << 8 | usize::from(low)))
        }
        _ => Err(Stop::Wrong),
    }
}

/// Text without a heap.
struct Text {
    octets: [u8; MAX_TEXT],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self.octets.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Vec<u8> {
        let labels = text.split('.').filter(|l| !l.is_empty());
        let mut out: Vec<u8> =
            labels.flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).collect();
        out.push(0);
        out
    }

    fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
        [0x1234, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect()
    }

    fn question(name: &[u8], kind: u16) -> Vec<u8> {
        [name, &kind.to_be_bytes(), &[0, 1]].concat()
    }

    fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let len = (data.len() as u16).to_be_bytes();
        [name, &kind.to_be_bytes(), &[0, 1, 0, 0, 14, 16], &len, data].concat()
    }

    /// A question, a CNAME, two addresses, an authority with an address, an additional address.
    fn answer() -> Vec<u8> {
        let v6 = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
        [
            header(0x8180, [1, 3, 1, 1]),
            question(&name("www.example.org"), 1),
            record(&[0xc0, 12], 5, &[3, b'w', b'e', b'b', 0xc0, 16]),
            record(&[0xc0, 45], 1, &[192, 0, 2, 7]),
            record(&[0xc0, 45], 28, &v6),
            record(&[0xc0, 16], 1, &[192, 0, 2, 9]),
            record(&name("ns.example.org"), 1, &[192, 0, 2, 53]),
        ]
        .concat()
    }

    fn texts(message: &Message<'_>) -> (Vec<String>, Vec<String>) {
        let names = message.questions().map(|q| q.name.to_string()).collect();
        (names, message.addresses().map(|a| a.to_string()).collect())
    }

    #[test]
    fn questions_and_addresses_are_found() {
        let octets = answer();
        let message = Message::parse(&octets).unwrap();
        assert!(message.is_complete() && message.is_answer());
        let (names, addresses) = texts(&message);
        assert_eq!(names, ["www.example.org."]);
        assert_eq!(addresses, ["192.0.2.7", "2001:db8::7", "192.0.2.53"]);
        let question = message.questions().next().unwrap();
        assert_eq!((question.kind, question.class), (1, 1));
        let names: Vec<_> = message.records().map(|r| r.name.to_string()).collect();
        assert_eq!(names[2], "web.example.org.");
        for (part, want) in [
            ("example.org", true),
            ("", true),
            ("org.", true),
            ("Example", false),
            ("x", true),
            ("xx", false),
        ] {
            assert_eq!(question.name.contains(part), want, "{part}");
        }
    }

    #[test]
    fn what_is_cut_off_is_not_given() {
        let octets = answer();
        let (names, addresses) = texts(&Message::parse(&octets).unwrap());
        let first = 12 + 17 + 4;
        for len in 0..octets.len() {
            let Some(message) = Message::parse(&octets[..len]) else {
                assert!(len < first, "nothing from {len} octets");
                continue;
            };
            assert!(len >= first && !message.is_complete(), "{len} octets");
            assert_eq!(texts(&message).0, names);
            let found = texts(&message).1;
            assert!(found.len() < addresses.len() && addresses.starts_with(&found));
        }
    }

    #[test]
    fn tcp_has_a_length_first() {
        let message = answer();
        let octets = [&(message.len() as u16).to_be_bytes()[..], &message, b"more"].concat();
        let read = Message::parse_tcp(&octets).unwrap();
        assert!(read.is_complete());
        assert_eq!(texts(&read).1.len(), 3);
        let read = Message::parse_tcp(&octets[..40]).unwrap();
        assert!(!read.is_complete());
        assert!(Message::parse_tcp(&octets[..2]).is_none());
    }

    #[test]
    fn the_protocol_tells_the_layout() {
        let message = answer();
        let stream = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        for (protocol, octets, want) in [
            (17, &message, true),
            (17, &stream, false),
            (6, &stream, true),
            (6, &message, false),
            (1, &message, false),
            (0, &message, false),
        ] {
            assert_eq!(Message::of_flow(protocol, octets).is_some(), want, "{protocol}");
        }
    }

    #[test]
    fn damaged_octets_never_panic() {
        let octets = answer();
        for at in 0..octets.len() {
            for value in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                let mut damaged = octets.clone();
                damaged[at] = value;
                if let Some(message) = Message::parse(&damaged) {
                    texts(&message);
                }
            }
        }
    }

    #[test]
    fn pointers_lead_back_only() {
        for pointer in [[0xc0, 12], [0xc0, 13], [0xc0, 200], [0xff, 0xff]] {
            let octets = [header(0x0100, [1, 0, 0, 0]), question(&pointer, 1)].concat();
            assert!(Message::parse(&octets).is_none(), "{pointer:x?}");
        }
        // Two that lead to each other.
        let octets = [
            header(0x0100, [2, 0, 0, 0]),
            question(&[1, b'a', 0xc0, 20], 1),
            question(&[1, b'b', 0xc0, 12], 1),
        ]
        .concat();
        assert!(Message::parse(&octets).is_none());
    }

    #[test]
    fn names_have_a_limit_and_are_escaped() {
        let long = |labels: usize| {
            [vec![[&[63][..], &[b'x'; 63]].concat(); labels].concat(), vec![0]].concat()
        };
        for (labels, want) in [(3, true), (4, false)] {
            let octets = [header(0x0100, [1, 0, 0, 0]), question(&long(labels), 1)].concat();
            assert_eq!(Message::parse(&octets).is_some(), want, "{labels} labels");
        }
        for (wire, want) in [
            (&[0][..], "."),
            (&[3, b'a', b'.', b'\\', 0], "a\\.\\\\."),
            (&[3, b' ', 0, 0xff, 0], "\\032\\000\\255."),
        ] {
            let octets = [header(0x0100, [1, 0, 0, 0]), question(wire, 1)].concat();
            let message = Message::parse(&octets).unwrap();
            let name = message.questions().next().unwrap().name;
            assert_eq!(name.to_string(), want);
            assert!(name.contains(want));
        }
        // One octet more than fits.
        let wire = [[&[63][..], &[b'x'; 63]].concat().repeat(3), vec![62], vec![b'x'; 62], vec![0]];
        let octets = [header(0x0100, [1, 0, 0, 0]), question(&wire.concat(), 1)].concat();
        assert!(Message::parse(&octets).is_none());
        // The longest text: nothing but escapes.
        let wire =
            [[vec![63], vec![0; 63]].concat().repeat(3), vec![61], vec![0; 61], vec![0]].concat();
        assert_eq!(wire.len(), MAX_NAME);
        let octets = [header(0x0100, [1, 0, 0, 0]), question(&wire, 1)].concat();
        let message = Message::parse(&octets).unwrap();
        assert!(message.questions().next().unwrap().name.contains("\\000."));
    }

    #[test]
    fn other_protocols_are_no_message() {
        let no_records = header(0x0100, [0; 4]);
        let code_in_a_question = [header(0x0103, [1, 0, 0, 0]), question(&[0], 1)].concat();
        let no_class = [header(0x0100, [1, 0, 0, 0]), vec![0, 0, 1, 0, 77]].concat();
        let opcode = [header(0x1900, [1, 0, 0, 0]), question(&[0], 1)].concat();
        for octets in [
            &b""[..],
            b"GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xec\xb2\x69\x1a\xdd\xb2\xbf\x6c\x59\x9c",
            &[0; 64],
            &[0xff; 64],
            &no_records,
            &code_in_a_question,
            &no_class,
            &opcode,
        ] {
            assert!(Message::parse(octets).is_none(), "{octets:x?}");
        }
    }
}
