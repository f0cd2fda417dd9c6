//! How long a conversation lasts without a packet, and at most.

use std::fmt;

use crate::Reason;
use crate::entry::state;
use crate::key::Key;
use crate::wheel::TICKS;
use thiserror::Error;

/// Timeouts in seconds, with the names and defaults of softflowd; 0 switches a rule off, so that the
/// next one applies: see [`Timeouts::idle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `tcp`: TCP, neither reset nor closed by both sides.
    pub tcp: u32,
    /// `tcp.rst`: TCP after a RST.
    pub tcp_rst: u32,
    /// `tcp.fin`: TCP after a FIN of each side.
    pub tcp_fin: u32,
    /// `udp`: UDP.
    pub udp: u32,
    /// `icmp`: ICMP over IPv4, ICMPv6 over IPv6.
    pub icmp: u32,
    /// `general`: whatever no other rule is for. Never 0.
    pub general: u32,
    /// `maxlife`: how old a conversation gets.
    pub max_life: u32,
    /// `expint`: no timeout. Conversations end at multiples of this, in seconds of the clock; 0 and 1
    /// as soon as their time is over.
    pub interval: u32,
    /// `active`: how often a conversation that lasts is reported, 0 only at its end. softflowd has
    /// none.
    pub active: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp: 3600,
            tcp_rst: 120,
            tcp_fin: 300,
            udp: 300,
            icmp: 300,
            general: 3600,
            max_life: 604_800,
            interval: 60,
            active: 0,
        }
    }
}

/// How a timeout was misspelt.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimeoutsError {
    /// No `=`.
    #[error("`{0}` is no timeout: write NAME=TIME, as in tcp.fin=2m")]
    Form(String),
    /// A name that no timeout has.
    #[error("there is no timeout `{0}`: use one of {list}", list = Names)]
    Name(String),
    /// A time that cannot be read.
    #[error("`{0}` is no time: write numbers with s, m, h, d or w, as in 1h30m, up to 4 years")]
    Time(String),
    /// `general=0`.
    #[error("the timeout `general` must not be 0: it is for what no other rule is for")]
    General,
}

/// All names, for the message.
struct Names;

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in Timeouts::NAMES.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Timeouts {
    /// What [`set`](Self::set) knows, in softflowd's order.
    pub const NAMES: [&'static str; 9] =
        ["tcp", "tcp.rst", "tcp.fin", "udp", "icmp", "general", "maxlife", "expint", "active"];
    /// The longest time there is: 4 years of 365 days, in seconds.
    pub const MAX: u32 = 4 * 365 * 86_400;

    /// Takes a setting as softflowd's `-t` has it: `tcp.fin=2m`.
    pub fn set(&mut self, text: &str) -> Result<(), TimeoutsError> {
        let (name, time) = text.split_once('=').ok_or_else(|| TimeoutsError::Form(text.into()))?;
        let place = self.place(name).ok_or_else(|| TimeoutsError::Name(name.into()))?;
        let seconds = parse_time(time).ok_or_else(|| TimeoutsError::Time(time.into()))?;
        if name == "general" && seconds == 0 {
            return Err(TimeoutsError::General);
        }
        *place = seconds;
        Ok(())
    }

    /// The timeout of this name, in seconds.
    pub fn get(&self, name: &str) -> Option<u32> {
        let mut copy = *self;
        copy.place(name).map(|place| *place)
    }

    fn place(&mut self, name: &str) -> Option<&mut u32> {
        Some(match name {
            "tcp" => &mut self.tcp,
            "tcp.rst" => &mut self.tcp_rst,
            "tcp.fin" => &mut self.tcp_fin,
            "udp" => &mut self.udp,
            "icmp" => &mut self.icmp,
            "general" => &mut self.general,
            "maxlife" => &mut self.max_life,
            "expint" => &mut self.interval,
            "active" => &mut self.active,
            _ => return None,
        })
    }

    /// How long such a conversation may be idle, in seconds, and what its end is then called.
    pub fn idle(&self, class: Class) -> (u32, Reason) {
        let tcp = class.is_tcp;
        let rules = [
            (tcp && class.reset, self.tcp_rst, Reason::TcpRst),
            (tcp && class.closed, self.tcp_fin, Reason::TcpFin),
            (tcp, self.tcp, Reason::Tcp),
            (class.is_udp, self.udp, Reason::Udp),
            (class.is_icmp, self.icmp, Reason::Icmp),
        ];
        let rule = rules.iter().find(|(applies, seconds, _)| *applies && *seconds > 0);
        rule.map_or((self.general, Reason::General), |(_, seconds, reason)| (*seconds, *reason))
    }
}

/// What the idle timeout depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// TCP.
    pub is_tcp: bool,
    /// UDP.
    pub is_udp: bool,
    /// ICMP over IPv4 or ICMPv6 over IPv6.
    pub is_icmp: bool,
    /// TCP: a RST was seen.
    pub reset: bool,
    /// TCP: a FIN of each side was seen.
    pub closed: bool,
}

/// Timeouts in ticks, as the cache asks for them.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// By class, in the order of [`idle`](Self::idle).
    idle: [(u64, Reason); 7],
    pub(crate) max_life: Option<u64>,
    pub(crate) active: Option<u64>,
    interval: u64,
}

impl Rules {
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        let ticks = |seconds: u32| u64::from(seconds.min(Timeouts::MAX)) * TICKS;
        let tcp = Class { is_tcp: true, ..Class::default() };
        let classes = [
            Class::default(),
            Class { is_udp: true, ..Class::default() },
            Class { is_icmp: true, ..Class::default() },
            tcp,
            Class { closed: true, ..tcp },
            Class { reset: true, ..tcp },
            Class { reset: true, closed: true, ..tcp },
        ];
        let idle = classes.map(|class| timeouts.idle(class)).map(|(s, reason)| (ticks(s), reason));
        let on = |seconds| Some(ticks(seconds)).filter(|ticks| *ticks > 0);
        Self {
            idle,
            max_life: on(timeouts.max_life),
            active: on(timeouts.active),
            interval: if timeouts.interval > 1 { ticks(timeouts.interval) } else { 1 },
        }
    }

    /// How long such a conversation may be idle, and what its end is then called.
    #[inline]
    pub(crate) const fn idle(&self, key: &Key, bits: u16) -> (u64, Reason) {
        let closed = bits & state::FINS == state::FINS;
        let class = match (key.proto(), key.is_v6()) {
            (6, _) if bits & state::RESET != 0 => 5 + closed as usize,
            (6, _) => 3 + closed as usize,
            (1, false) | (58, true) => 2,
            (17, _) => 1,
            _ => 0,
        };
        self.idle[class]
    }

    /// A tick rounded up to where conversations end.
    #[inline]
    pub(crate) const fn round(&self, tick: u64) -> u64 {
        if self.interval == 1 { tick } else { tick.div_ceil(self.interval) * self.interval }
    }
}

/// Seconds of a time as softflowd reads it: numbers, each with `s`, `m`, `h`, `d`, `w` or nothing
/// (seconds) behind it, summed. `None` if it is something else or longer than [`Timeouts::MAX`].
pub fn parse_time(text: &str) -> Option<u32> {
    let mut rest = text;
    let mut sum = 0u32;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = rest.split_at_checked(digits)?;
        let number: u32 = number.parse().ok()?;
        let mut unit = unit.chars();
        let factor = match unit.next() {
            None | Some('s' | 'S') => 1,
            Some('m' | 'M') => 60,
            Some('h' | 'H') => 3600,
            Some('d' | 'D') => 86_400,
            Some('w' | 'W') => 604_800,
            Some(_) => return None,
        };
        rest = unit.as_str();
        sum = sum.checked_add(number.checked_mul(factor)?)?;
    }
    (sum <= Timeouts::MAX).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sums() {
        for (text, want) in [
            ("0", Some(0)),
            ("60", Some(60)),
            ("1h30m", Some(5400)),
            ("1w2d3h4m5s", Some(604_800 + 172_800 + 10_800 + 245)),
            ("1m5", Some(65)),
            ("1M5S", Some(65)),
            ("126144000", Some(Timeouts::MAX)),
            ("126144001", None),
            ("99999999999", None),
            ("7102w", None),
            ("", None),
            ("m", None),
            ("1x", None),
            ("1.5m", None),
            ("-1", None),
            ("1 m", None),
            ("1ü", None),
            ("ü", None),
        ] {
            assert_eq!(parse_time(text), want, "{text}");
        }
    }

    #[test]
    fn every_name_sets_what_it_gets() {
        for (i, name) in Timeouts::NAMES.iter().enumerate() {
            let mut timeouts = Timeouts::default();
            assert_eq!(timeouts.set(&format!("{name}={}m", i + 200)), Ok(()));
            for other in Timeouts::NAMES {
                let mut want = Timeouts::default().get(other);
                if other == *name {
                    want = Some((i as u32 + 200) * 60);
                }
                assert_eq!(timeouts.get(other), want, "{name} and {other}");
            }
        }
        let defaults: Vec<_> =
            Timeouts::NAMES.iter().filter_map(|n| Timeouts::default().get(n)).collect();
        assert_eq!(defaults, [3600, 120, 300, 300, 300, 3600, 604_800, 60, 0]);
    }

    #[test]
    fn what_is_no_setting_says_why_and_changes_nothing() {
        for (text, want) in [
            ("tcp", "write NAME=TIME"),
            ("tcp.syn=5", "use one of tcp, tcp.rst, tcp.fin, udp, icmp, general, maxlife, expint"),
            ("tcp=5y", "`5y` is no time"),
            ("general=0", "must not be 0"),
        ] {
            let mut timeouts = Timeouts::default();
            let error = timeouts.set(text).map_err(|e| e.to_string()).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
            assert_eq!(timeouts, Timeouts::default());
        }
    }

    #[test]
    fn the_first_rule_that_is_on_applies() {
        let all = Timeouts::default();
        let tcp = Class { is_tcp: true, ..Class::default() };
        let closed = Class { closed: true, ..tcp };
        let both = Class { reset: true, ..closed };
        let udp = Class { is_udp: true, ..Class::default() };
        let icmp = Class { is_icmp: true, ..Class::default() };
        for (timeouts, class, want) in [
            (all, both, (120, Reason::TcpRst)),
            (all, closed, (300, Reason::TcpFin)),
            (all, tcp, (3600, Reason::Tcp)),
            (all, udp, (300, Reason::Udp)),
            (all, icmp, (300, Reason::Icmp)),
            (all, Class::default(), (3600, Reason::General)),
            (Timeouts { tcp_rst: 0, ..all }, both, (300, Reason::TcpFin)),
            (Timeouts { tcp_rst: 0, tcp_fin: 0, ..all }, both, (3600, Reason::Tcp)),
            (Timeouts { tcp: 0, general: 7, ..all }, tcp, (7, Reason::General)),
            (Timeouts { tcp: 0, ..all }, closed, (300, Reason::TcpFin)),
            (Timeouts { udp: 0, general: 8, ..all }, udp, (8, Reason::General)),
            (Timeouts { icmp: 0, general: 9, ..all }, icmp, (9, Reason::General)),
        ] {
            assert_eq!(timeouts.idle(class), want, "{class:?}");
        }
    }
}
