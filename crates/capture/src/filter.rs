//! Filter expressions of tcpdump: compiled by libpcap, run by the kernel or here.
//!
//! libpcap's language is large and has no other complete compiler, so it is asked; the program that
//! it makes is small and simple, so it is run here, without a call into C and without trust: each
//! load is checked against the packet, each jump against the program.

use std::fmt;

use sys::bpf::Instruction;

use crate::{Error, Packet};

/// One expression, compiled for one link type.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    link: u32,
    program: Vec<Instruction>,
}

impl Filter {
    /// Compiles `expression` (pcap-filter(7)) for packets that begin as LINKTYPE_ number `link`
    /// says. An empty one lets all packets through.
    ///
    /// Names of hosts, networks and services are looked up by libpcap as the system is set up, which
    /// may take as long as name services take.
    ///
    /// # Errors
    /// If libpcap does not understand it or cannot say it for this link, with its text.
    pub fn compile(expression: &str, link: u32) -> Result<Self, Error> {
        compiler::compile(expression, link).map(|program| Self { link, program })
    }

    /// Whether the expression holds for a packet of `wire_len` octets on the wire that begins with
    /// `bytes`. What it asks of octets that were not captured does not hold, as with libpcap.
    pub fn matches(&self, bytes: &[u8], wire_len: u32) -> bool {
        run(&self.program, bytes, wire_len) != 0
    }

    /// Link type it was compiled for (LINKTYPE_ number).
    pub fn link(&self) -> u32 {
        self.link
    }

    /// The program, for the kernel ([`sys::bpf::attach`]).
    pub fn instructions(&self) -> &[Instruction] {
        &self.program
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, program } = self;
        f.debug_struct("Filter").field("link", link).field("instructions", &program.len()).finish()
    }
}

/// One expression for packets of any link types: compiled for each of them when its first packet
/// comes.
#[derive(Clone, Debug)]
pub struct Filters {
    expression: String,
    compiled: Vec<Compiled>,
    /// Place of the link type of the packet before, which most often is that of the next.
    last: usize,
    /// [`Filter::compile`], by address: so only programs that make filters need libpcap, and not all
    /// that read captures.
    compile: fn(&str, u32) -> Result<Filter, Error>,
}

/// An expression for one link type.
#[derive(Clone, Debug)]
struct Compiled {
    link: u32,
    /// `None` if it cannot be said for the link: then no packet of it matches.
    filter: Option<Filter>,
}

/// Link types whose programs are kept. There are fewer than 300.
const MOST_LINKS: usize = 512;

impl Filters {
    /// Takes an expression, and compiles it for link type `link` to see whether it is one.
    ///
    /// # Errors
    /// As [`Filter::compile`].
    pub fn new(expression: &str, link: u32) -> Result<Self, Error> {
        let filter = Some(Filter::compile(expression, link)?);
        let compiled = vec![Compiled { link, filter }];
        let (expression, compile) = (expression.to_owned(), Filter::compile);
        Ok(Self { expression, compiled, last: 0, compile })
    }

    /// Takes an expression for link types that are not known yet: it has to be one for some.
    ///
    /// # Errors
    /// What libpcap says about it for Ethernet, if it is none.
    pub fn for_any(expression: &str) -> Result<Self, Error> {
        // Ethernet, raw IP, cooked packets, and those of a packet filter and of a WLAN, for which
        // there are words of their own.
        let others = [101, 113, 276, 117, 105, 127];
        Self::new(expression, 1).or_else(|e| {
            others.into_iter().find_map(|link| Self::new(expression, link).ok()).ok_or(e)
        })
    }

    /// Whether the expression holds for `packet`. It does not for packets of a link type that it
    /// cannot be said for: `ether host` asks for what a packet without Ethernet does not have.
    pub fn matches(&mut self, packet: &Packet<'_>) -> bool {
        let filter = self.filter_of(packet.link);
        filter.is_some_and(|filter| filter.matches(packet.bytes, packet.wire_len))
    }

    /// The expression.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Link types that came and that the expression cannot be said for.
    pub fn unfit(&self) -> impl Iterator<Item = u32> + '_ {
        self.compiled.iter().filter(|c| c.filter.is_none()).map(|c| c.link)
    }

    /// The program for a link type.
    #[inline]
    fn filter_of(&mut self, link: u32) -> Option<&Filter> {
        if self.compiled.get(self.last).is_none_or(|compiled| compiled.link != link) {
            self.turn_to(link);
        }
        self.compiled.get(self.last)?.filter.as_ref()
    }

    #[cold]
    fn turn_to(&mut self, link: u32) {
        if let Some(place) = self.compiled.iter().position(|compiled| compiled.link == link) {
            self.last = place;
            return;
        }
        if self.compiled.len() >= MOST_LINKS {
            self.compiled.truncate(MOST_LINKS / 2);
        }
        self.last = self.compiled.len();
        let filter = (self.compile)(&self.expression, link).ok();
        self.compiled.push(Compiled { link, filter });
    }
}

/// What the program returns: octets to keep, 0 to drop the packet. A load beyond the packet, a
/// division by zero, and what no program of libpcap does, drop it.
///
/// Ends, because all jumps go forward.
fn run(program: &[Instruction], bytes: &[u8], wire_len: u32) -> u32 {
    let mut machine = Machine { a: 0, x: 0, memory: [0; MEMORY], bytes, wire_len };
    let mut at = 0usize;
    while let Some(instruction) = program.get(at) {
        at += 1;
        let Instruction { code, jt, jf, k } = *instruction;
        match code & 0x07 {
            RET => return if code & 0x18 == 0x10 { machine.a } else { k },
            JMP => {
                let skip = match code & 0xf0 {
                    JA => k as usize,
                    _ => usize::from(if machine.holds(code, k) { jt } else { jf }),
                };
                at = at.saturating_add(skip);
            }
            _ if machine.step(code, k).is_none() => return 0,
            _ => {}
        }
    }
    0
}

// Classes, the lowest three bits of a code.
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
/// A jump that always is made.
const JA: u16 = 0x00;
/// The bit that says that the operand is the index register, not a constant.
const FROM_X: u16 = 0x08;

/// Words of scratch memory.
const MEMORY: usize = 16;

/// Registers and memory of a program that looks at a packet.
struct Machine<'a> {
    a: u32,
    x: u32,
    memory: [u32; MEMORY],
    bytes: &'a [u8],
    wire_len: u32,
}

impl Machine<'_> {
    fn operand(&self, code: u16, k: u32) -> u32 {
        if code & FROM_X != 0 { self.x } else { k }
    }

    /// Whether a conditional jump is made.
    #[inline]
    fn holds(&self, code: u16, k: u32) -> bool {
        let operand = self.operand(code, k);
        match code & 0xf0 {
            0x10 => self.a == operand,
            0x20 => self.a > operand,
            0x30 => self.a >= operand,
            _ => self.a & operand != 0,
        }
    }

    /// Everything but jumps and the end; `None` if it cannot be done.
    #[inline]
    fn step(&mut self, code: u16, k: u32) -> Option<()> {
        match code & 0x07 {
            LD => self.a = self.load(code, k)?,
            LDX => {
                // Four times the low half of an octet: the length of an IPv4 header.
                let is_length = code & 0xe0 == 0xa0;
                self.x =
                    if is_length { self.load_octets(k, 1)? % 16 * 4 } else { self.load(code, k)? };
            }
            ST => *self.memory.get_mut(k as usize)? = self.a,
            STX => *self.memory.get_mut(k as usize)? = self.x,
            ALU => self.a = self.calculate(code, k)?,
            _ if code & 0x80 == 0 => self.x = self.a,
            _ => self.a = self.x,
        }
        Some(())
    }

    #[inline]
    fn load(&self, code: u16, k: u32) -> Option<u32> {
        let size = match code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            _ => 1,
        };
        match code & 0xe0 {
            0x00 => Some(k),
            0x20 => self.load_octets(k, size),
            0x40 => self.load_octets(k.checked_add(self.x)?, size),
            0x60 => self.memory.get(k as usize).copied(),
            0x80 => Some(self.wire_len),
            _ => None,
        }
    }

    /// The number of `size` octets at `at` of the packet.
    #[inline]
    fn load_octets(&self, at: u32, size: usize) -> Option<u32> {
        let rest = self.bytes.get(at as usize..)?;
        match size {
            4 => rest.first_chunk().map(|octets| u32::from_be_bytes(*octets)),
            2 => rest.first_chunk().map(|octets| u16::from_be_bytes(*octets).into()),
            _ => rest.first().map(|octet| u32::from(*octet)),
        }
    }

    fn calculate(&self, code: u16, k: u32) -> Option<u32> {
        let (a, b) = (self.a, self.operand(code, k));
        Some(match code & 0xf0 {
            0x00 => a.wrapping_add(b),
            0x10 => a.wrapping_sub(b),
            0x20 => a.wrapping_mul(b),
            0x30 => a.checked_div(b)?,
            0x40 => a | b,
            0x50 => a & b,
            0x60 => a.checked_shl(b).unwrap_or(0),
            0x70 => a.checked_shr(b).unwrap_or(0),
            0x80 => a.wrapping_neg(),
            0x90 => a.checked_rem(b)?,
            0xa0 => a ^ b,
            _ => return None,
        })
    }
}

#[cfg(not(feature = "libpcap"))]
mod compiler {
    use super::{Error, Instruction};

    pub(super) fn compile(_: &str, _: u32) -> Result<Vec<Instruction>, Error> {
        Err(Error::NoLibpcap { what: "a filter expression" })
    }
}

#[cfg(feature = "libpcap")]
mod compiler {
    use super::{Error, Instruction};

    pub(super) fn compile(expression: &str, link: u32) -> Result<Vec<Instruction>, Error> {
        let failed =
            |reason: String| Error::Filter { expression: expression.to_owned(), link, reason };
        let dead =
            pcap::Capture::dead(pcap::Linktype(dlt(link))).map_err(|e| failed(e.to_string()))?;
        let program = dead.compile(expression, true).map_err(|e| failed(e.to_string()))?;
        let read = |instruction: &pcap::BpfInstruction| read(&instruction.to_string());
        let program: Option<Vec<_>> = program.get_instructions().iter().map(read).collect();
        program.ok_or_else(|| failed("libpcap made a program that cannot be read".to_owned()))
    }

    /// An instruction in the form of `tcpdump -ddd`, the one form in which the binding gives it.
    fn read(text: &str) -> Option<Instruction> {
        let mut numbers = text.split(' ');
        let instruction = Instruction {
            code: numbers.next()?.parse().ok()?,
            jt: numbers.next()?.parse().ok()?,
            jf: numbers.next()?.parse().ok()?,
            k: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(instruction)
    }

    /// The number that libpcap has for a link type in memory (DLT_), where it is not that of the
    /// registry.
    fn dlt(link: u32) -> i32 {
        match link {
            14 | 101 => 12, // raw IP
            100 => 11,      // ATM with LLC
            102 => 15,      // SLIP of BSD/OS
            103 => 16,      // PPP of BSD/OS
            link => i32::try_from(link).unwrap_or(-1),
        }
    }
}

#[cfg(all(test, feature = "libpcap"))]
mod tests {
    use super::*;
    use crate::testing::{frame_of, ipv4_packet, ipv6_packet, udp_datagram};

    fn frames() -> Vec<(&'static str, Vec<u8>)> {
        let dns = frame_of(&ipv4_packet(&udp_datagram(4000, 53, b"question"), 1, 0));
        let mut tcp = frame_of(&ipv4_packet(&[0; 20], 1, 0));
        (tcp[23], tcp[34], tcp[35], tcp[36], tcp[37], tcp[47]) = (6, 0x1f, 0x90, 0, 80, 0x02);
        let mut options = dns.clone();
        options[14] = 0x46;
        options.splice(34..34, [1, 1, 1, 0]);
        let six = frame_of(&ipv6_packet(17, &udp_datagram(53, 4000, b"answer")));
        let mut vlan = dns.clone();
        vlan.splice(12..12, [0x81, 0, 0x20, 7]);
        let mut arp = vec![0xff; 60];
        (arp[12], arp[13]) = (8, 6);
        let fragment = frame_of(&ipv4_packet(&udp_datagram(4000, 53, b"part"), 1, 100));
        let long = frame_of(&ipv4_packet(&udp_datagram(4000, 9, &[0; 1200]), 1, 0));
        vec![
            ("dns", dns),
            ("tcp", tcp),
            ("options", options),
            ("six", six),
            ("vlan", vlan),
            ("arp", arp),
            ("fragment", fragment),
            ("long", long),
        ]
    }

    /// What each expression means, by the names of the frames.
    const MEANINGS: &[(&str, &[&str])] = &[
        ("", &["dns", "tcp", "options", "six", "vlan", "arp", "fragment", "long"]),
        ("ip", &["dns", "tcp", "options", "fragment", "long"]),
        ("ip6", &["six"]),
        ("arp", &["arp"]),
        ("not ip and not ip6", &["vlan", "arp"]),
        ("udp", &["dns", "options", "six", "fragment", "long"]),
        ("port 53", &["dns", "options", "six"]),
        ("dst port 53", &["dns", "options"]),
        ("tcp port 80 or arp", &["tcp", "arp"]),
        ("tcp[tcpflags] & tcp-syn != 0", &["tcp"]),
        ("host 192.0.2.9", &["dns", "tcp", "options", "fragment", "long"]),
        ("src net 192.0.2.8/29", &[]),
        ("ip6 host 2001:db8::1", &["six"]),
        ("vlan", &["vlan"]),
        ("vlan 7 and port 53", &["vlan"]),
        ("vlan 8", &[]),
        ("greater 1000", &["long"]),
        ("less 100", &["dns", "tcp", "options", "six", "vlan", "arp", "fragment"]),
        ("len = 60", &["arp"]),
        ("ether broadcast", &["arp"]),
        ("ether[6] * 3 + 1 = 7 and ip[8] % 10 = 4", &["dns", "tcp", "options", "fragment", "long"]),
        ("(ip[2:2] - ((ip[0]&0xf)<<2)) >> 3 = 2", &["dns", "tcp"]),
        ("ip[6:2] & 0x1fff != 0", &["fragment"]),
        ("portrange 50-60", &["dns", "options", "six"]),
    ];

    #[test]
    fn expressions_mean_what_they_say() {
        for (expression, want) in MEANINGS {
            let filter = Filter::compile(expression, 1).unwrap();
            assert_eq!(filter.link(), 1);
            let matching = |(name, bytes): (&'static str, Vec<u8>)| {
                filter.matches(&bytes, bytes.len() as u32).then_some(name)
            };
            let have: Vec<_> = frames().into_iter().filter_map(matching).collect();
            assert_eq!(have, *want, "{expression}");
        }
    }

    #[test]
    fn libpcap_finds_the_same_in_every_frame_cut_anywhere() {
        for (expression, _) in MEANINGS {
            let filter = Filter::compile(expression, 1).unwrap();
            let dead = pcap::Capture::dead(pcap::Linktype::ETHERNET).unwrap();
            let theirs = dead.compile(expression, true).unwrap();
            for (name, bytes) in frames() {
                for len in (0..bytes.len()).filter(|len| *len < 100).chain([bytes.len()]) {
                    let ours = filter.matches(&bytes[..len], len as u32);
                    assert_eq!(ours, theirs.filter(&bytes[..len]), "{expression}: {name} {len}");
                }
            }
        }
    }

    #[test]
    fn the_length_is_that_on_the_wire() {
        let (_, long) = frames().pop().unwrap();
        let filter = Filter::compile("greater 1000 and udp", 1).unwrap();
        assert!(filter.matches(&long[..40], long.len() as u32));
        assert!(!filter.matches(&long[..40], 40));
    }

    #[test]
    fn link_types_have_programs_of_their_own() {
        let ip = ipv4_packet(&udp_datagram(4000, 53, b"x"), 1, 0);
        let mut cooked = vec![0; 16];
        (cooked[14], cooked[15]) = (8, 0);
        cooked.extend(&ip);
        let mut null = vec![2, 0, 0, 0];
        null.extend(&ip);
        let mut filters = Filters::new("dst port 53", 1).unwrap();
        for _ in 0..2 {
            for (link, bytes) in
                [(1, &frame_of(&ip)), (101, &ip), (12, &ip), (113, &cooked), (0, &null), (228, &ip)]
            {
                let wire_len = bytes.len() as u32;
                let packet = Packet { link, wire_len, bytes, ..Packet::NONE };
                assert!(filters.matches(&packet), "{link}");
                assert!(!filters.matches(&Packet { bytes: &[], ..packet }), "{link}");
            }
        }
        let packet = Packet { link: 60_000, bytes: &ip, wire_len: 29, ..Packet::NONE };
        assert!(!filters.matches(&packet));
        assert_eq!(filters.unfit().collect::<Vec<_>>(), [60_000]);
        assert_eq!(filters.expression(), "dst port 53");
        let ether = Filters::new("ether host 02:02:02:02:02:02", 101).unwrap_err().to_string();
        assert!(ether.contains("link type 101: "), "{ether}");
        assert!(Filters::for_any("ether host 02:02:02:02:02:02").is_ok());
        assert!(Filters::for_any("wlan type mgt").is_ok(), "of wireless links only");
        assert!(Filters::for_any("nonsense?").unwrap_err().to_string().contains("link type 1: "));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_libpcap() {
        for (expression, said) in [
            ("host", "syntax error"),
            ("port 99999", "illegal port number"),
            ("prot tcp", "syntax error"),
            ("net 1.2.3.4/33", "mask length must be <= 32"),
            ("ip and (udp", "syntax error"),
        ] {
            let e = Filter::compile(expression, 1).unwrap_err().to_string();
            assert!(e.contains(said) && e.contains(&format!("`{expression}`")), "{e}");
        }
        let unknown = Filter::compile("ip", 60_000).unwrap_err().to_string();
        assert!(unknown.contains("60000"), "{unknown}");
        assert!(Filter::compile("ip\0", 1).is_err());
    }

    #[test]
    fn no_program_panics_or_runs_for_ever() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let bytes = [0xff; 64];
        let mut kept = 0;
        for _ in 0..20_000 {
            let program: Vec<_> = (0..random() % 40)
                .map(|_| {
                    let n = random();
                    let k = if n & 1 == 0 { (n >> 32) as u32 % 80 } else { (n >> 32) as u32 };
                    let [code, jt, jf] = [n >> 1, n >> 10, n >> 14].map(|n| n as u8);
                    Instruction { code: code.into(), jt: jt % 16, jf: jf % 16, k }
                })
                .collect();
            kept += u32::from(run(&program, &bytes, 64) != 0);
        }
        assert!(kept > 1000, "{kept}");
    }

    #[test]
    fn calculations() {
        let alu = |op: u16, a: u32, k: u32| {
            let program = [
                Instruction { code: LD, jt: 0, jf: 0, k: a },
                Instruction { code: ALU | op, jt: 0, jf: 0, k },
                Instruction { code: RET | 0x10, jt: 0, jf: 0, k: 0 },
            ];
            run(&program, &[], 0)
        };
        for (op, a, k, want) in [
            (0x00, u32::MAX, 2, 1),
            (0x10, 1, 2, u32::MAX),
            (0x20, 1 << 31, 2, 0),
            (0x30, 7, 2, 3),
            (0x30, 7, 0, 0),
            (0x40, 5, 2, 7),
            (0x50, 7, 2, 2),
            (0x60, 1, 31, 1 << 31),
            (0x60, 1, 32, 0),
            (0x70, 8, 3, 1),
            (0x80, 1, 0, u32::MAX),
            (0x90, 7, 4, 3),
            (0x90, 7, 0, 0),
            (0xa0, 7, 2, 5),
        ] {
            assert_eq!(alu(op, a, k), want, "{op:#x} {a} {k}");
        }
    }
}
