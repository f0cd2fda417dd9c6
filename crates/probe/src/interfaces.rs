//! Interfaces that a packet does not tell: it was seen on one, and came from or went to another.
//!
//! The kernel is asked for the way to both sides of a conversation. Where the one that packets were
//! seen on leads to neither, as on a mirror port, nothing is made up: packets came in by it, and
//! where they went is not known.

use std::collections::HashMap;

use record::Addr;
use sys::netlink::{Link, RouteSocket};
use wire::export::InterfaceName;

use crate::Ended;

/// Who leads where, as far as it was asked for.
#[derive(Debug)]
pub struct Interfaces<R = RouteSocket> {
    routes: R,
    known: HashMap<Addr, Known>,
    /// Questions that may still be asked in the second `second`.
    left: u32,
    second: u64,
    links: Vec<Link>,
    counts: LookupCounts,
}

/// What became of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupCounts {
    /// Questions to the kernel.
    pub asked: u64,
    /// Questions that were not asked, because there had been too many in that second: the flow has
    /// the interface it was seen on, and nothing else.
    pub skipped: u64,
    /// Questions that the kernel did not answer.
    pub failed: u64,
}

/// Who can be asked.
pub trait Routes {
    /// Interfaces, by number; `None` if there is no answer.
    fn links(&mut self) -> Option<Vec<Link>>;
    /// Where packets to an address go. `Err` if there is no answer.
    fn way(&mut self, to: Addr) -> Result<Way, NoAnswer>;
}

/// The kernel did not answer.
#[derive(Clone, Copy, Debug)]
pub struct NoAnswer;

/// Where packets to an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nowhere.
    Unknown,
    /// To the host itself.
    Local,
    /// Out by this interface (ifIndex).
    Out(u32),
}

#[derive(Clone, Copy, Debug)]
struct Known {
    way: Way,
    until_ms: u64,
}

/// How long an answer holds: routes change.
const HOLDS_MS: u64 = 30_000;
/// Addresses that are remembered; when there are as many, all are forgotten.
const MOST: usize = 1 << 16;
/// Questions in a second, at some microseconds each.
const PER_SECOND: u32 = 5000;

impl Routes for RouteSocket {
    fn links(&mut self) -> Option<Vec<Link>> {
        Self::links(self).ok()
    }

    fn way(&mut self, to: Addr) -> Result<Way, NoAnswer> {
        Ok(match self.route(to.into()).map_err(|_| NoAnswer)? {
            None => Way::Unknown,
            Some(route) if route.is_local => Way::Local,
            Some(route) => Way::Out(route.output),
        })
    }
}

impl Interfaces {
    /// Opens the line to the kernel. Needs no privileges.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn open() -> Result<Self, sys::Error> {
        RouteSocket::open().map(Self::new)
    }
}

impl<R: Routes> Interfaces<R> {
    /// Asks `routes`.
    pub fn new(routes: R) -> Self {
        Self {
            routes,
            known: HashMap::new(),
            left: PER_SECOND,
            second: 0,
            links: Vec::new(),
            counts: LookupCounts::default(),
        }
    }

    /// What became of questions.
    pub const fn counts(&self) -> LookupCounts {
        self.counts
    }

    /// Adds the interface that is not known: packets of `ended` were seen on its `input` or its
    /// `output`. Both are the same where captures do not tell directions, and on a mirror port.
    pub fn complete(&mut self, ended: &mut Ended, now_ms: u64) {
        let (input, output) = (ended.input, ended.output);
        if input == output && input == 0 || input != 0 && output != 0 && input != output {
            return;
        }
        let from = self.way(ended.initiator, now_ms);
        let to = self.way(ended.responder, now_ms);
        let index = |way| if let Way::Out(index) = way { index } else { 0 };
        let (comes_in, goes_out) = (from == Way::Out(input), to == Way::Out(output));
        (ended.input, ended.output) = match (input, output) {
            // Back out by where it came in: a router on a stick, a hairpin.
            (a, b) if a == b && comes_in && goes_out => (a, b),
            (a, b) if a == b && goes_out => (index(from), b),
            (a, b) if a == b && comes_in => (a, index(to)),
            (a, b) if a == b => (a, 0),
            (a, 0) if comes_in => (a, index(to)),
            (0, b) if goes_out => (index(from), b),
            other => other,
        };
    }

    fn way(&mut self, to: Addr, now_ms: u64) -> Way {
        if let Some(known) = self.known.get(&to).filter(|known| now_ms < known.until_ms) {
            return known.way;
        }
        let second = now_ms / 1000;
        if self.second != second {
            (self.second, self.left) = (second, PER_SECOND);
        }
        if self.left == 0 {
            self.counts.skipped += 1;
            return Way::Unknown;
        }
        self.left -= 1;
        self.counts.asked += 1;
        let Ok(way) = self.routes.way(to) else {
            self.counts.failed += 1;
            return Way::Unknown;
        };
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(to, Known { way, until_ms: now_ms + HOLDS_MS });
        way
    }

    /// Names of all interfaces, if they are not what they were when this was called last.
    pub fn changed_names(&mut self) -> Option<Vec<InterfaceName>> {
        let links = self.routes.links()?;
        let same = |a: &Link, b: &Link| a.index == b.index && a.name == b.name;
        let is_same = links.len() == self.links.len()
            && links.iter().zip(&self.links).all(|(a, b)| same(a, b));
        if is_same {
            return None;
        }
        self.links = links;
        let name = |link: &Link| InterfaceName {
            index: link.index,
            name: link.name.clone(),
            description: link.name.clone(),
        };
        Some(self.links.iter().map(name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reason, Side};

    /// 10.0.0.0/8 is behind 2, 192.168.0.0/16 behind 3, 127.0.0.1 here, the rest nowhere.
    #[derive(Default)]
    struct Table {
        questions: u32,
        names: Vec<&'static str>,
    }

    impl Routes for Table {
        fn links(&mut self) -> Option<Vec<Link>> {
            let link = |(i, name): (usize, &&str)| Link {
                index: i as u32 + 1,
                name: (*name).to_owned(),
                ..Link::default()
            };
            Some(self.names.iter().enumerate().map(link).collect())
        }

        fn way(&mut self, to: Addr) -> Result<Way, NoAnswer> {
            self.questions += 1;
            match to {
                Addr::V4(a) if a >> 24 == 10 => Ok(Way::Out(2)),
                Addr::V4(a) if a >> 16 == 0xc0a8 => Ok(Way::Out(3)),
                Addr::V4(0x7f00_0001) => Ok(Way::Local),
                Addr::V4(0) => Err(NoAnswer),
                _ => Ok(Way::Unknown),
            }
        }
    }

    fn ended(initiator: u32, responder: u32, input: u32, output: u32) -> Ended {
        Ended {
            id: 1,
            initiator: Addr::V4(initiator),
            responder: Addr::V4(responder),
            src_port: 1,
            dst_port: 2,
            proto: 17,
            forward: Side::default(),
            backward: Side::default(),
            first_ns: 0,
            last_ns: 0,
            reason: Reason::Udp,
            input,
            output,
            tunnel: None,
        }
    }

    #[test]
    fn the_other_interface_is_looked_up() {
        const A: u32 = 0x0a00_0001;
        const B: u32 = 0xc0a8_0001;
        const HERE: u32 = 0x7f00_0001;
        const FAR: u32 = 0x0808_0808;
        for (what, from, to, seen, want) in [
            ("through, seen where it comes in", A, B, (2, 0), (2, 3)),
            ("through, seen where it goes out", A, B, (0, 3), (2, 3)),
            ("through, comes in, no direction", A, B, (2, 2), (2, 3)),
            ("through, goes out, no direction", A, B, (3, 3), (2, 3)),
            ("both are known", A, B, (2, 9), (2, 9)),
            ("to the host itself", A, HERE, (2, 0), (2, 0)),
            ("from the host itself", HERE, B, (0, 3), (0, 3)),
            ("back out by the same", A, A + 1, (2, 2), (2, 2)),
            ("a mirror port", A, B, (7, 7), (7, 0)),
            ("a mirror port, one way", A, B, (7, 0), (7, 0)),
            ("another way in than back", A, B, (9, 0), (9, 0)),
            ("nobody knows the way", FAR, FAR + 1, (2, 0), (2, 0)),
            ("no interface is known", A, B, (0, 0), (0, 0)),
            ("the kernel is silent", 0, B, (2, 0), (2, 0)),
        ] {
            let mut interfaces = Interfaces::new(Table::default());
            let mut flow = ended(from, to, seen.0, seen.1);
            interfaces.complete(&mut flow, 1000);
            assert_eq!((flow.input, flow.output), want, "{what}");
        }
    }

    #[test]
    fn answers_are_remembered_for_a_while() {
        let mut interfaces = Interfaces::new(Table::default());
        for (now_ms, asked) in [(0, 2), (HOLDS_MS - 1, 2), (HOLDS_MS, 4)] {
            interfaces.complete(&mut ended(0x0a00_0001, 0xc0a8_0001, 2, 0), now_ms);
            assert_eq!(interfaces.routes.questions, asked, "{now_ms}");
        }
    }

    #[test]
    fn a_flood_of_addresses_asks_only_so_much() {
        let mut interfaces = Interfaces::new(Table::default());
        for i in 0..100_000 {
            interfaces.complete(&mut ended(0x0a00_0000 + i, 0xc0a8_0001, 2, 0), u64::from(i / 50));
        }
        let counts = interfaces.counts();
        assert_eq!(interfaces.routes.questions, 2 * PER_SECOND);
        assert_eq!(counts.asked, 2 * u64::from(PER_SECOND));
        assert!(counts.skipped > 80_000 && interfaces.known.len() <= MOST);
    }

    #[test]
    fn names_are_told_when_they_change() {
        let mut interfaces =
            Interfaces::new(Table { names: vec!["lo", "eth0"], ..Table::default() });
        let names = interfaces.changed_names().unwrap();
        assert_eq!((names.len(), names[1].index, names[1].name.as_str()), (2, 2, "eth0"));
        assert!(interfaces.changed_names().is_none());
        interfaces.routes.names.push("tun0");
        assert_eq!(interfaces.changed_names().unwrap().len(), 3);
    }
}
