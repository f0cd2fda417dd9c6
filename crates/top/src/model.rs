//! What the screen is about: state, and what keys and answers do to it. It knows no terminal, no
//! files and no clock: [`Model::update`] takes an [`Event`] and says by [`Effect`]s what is to be
//! done.

use crate::counter::{Answer, Line};
use crate::label::{self, Names};
use crate::prompt::Prompt;
use crate::window::{Length, Measure};
use query::{By, Grouping, KeyText, Request};
use std::collections::HashMap;

/// What rows are ordered by. All rates are over the same time, so they order as the sums do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Octets.
    #[default]
    Bytes,
    /// Packets.
    Packets,
    /// Flows.
    Flows,
    /// Bits each second.
    BitRate,
    /// Packets each second.
    PacketRate,
}

impl Order {
    /// All of them, as keys go through them.
    pub const ALL: [Self; 5] =
        [Self::Bytes, Self::Packets, Self::Flows, Self::BitRate, Self::PacketRate];

    /// Its name, as in `-s ip/bytes`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Flows => "flows",
            Self::BitRate => "bps",
            Self::PacketRate => "pps",
        }
    }

    /// The sum that decides.
    pub const fn measure(self) -> Measure {
        match self {
            Self::Bytes | Self::BitRate => Measure::Bytes,
            Self::Packets | Self::PacketRate => Measure::Packets,
            Self::Flows => Measure::Flows,
        }
    }
}

/// What is asked: as a user says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Number of the question. Answers carry it, so that late ones are known.
    pub number: u64,
    /// Element of `-s`, such as `ip`, `srcip:p` or `record`.
    pub element: String,
    /// Both directions of a conversation are one row; for `record`.
    pub joins: bool,
    /// What rows are ordered by.
    pub order: Order,
    /// The smallest first.
    pub ascending: bool,
    /// Filter; empty for all.
    pub filter: String,
    /// Length of the window, seconds.
    pub window_secs: u64,
    /// How often there is an answer, seconds.
    pub interval_secs: u64,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            number: 0,
            element: "ip".to_owned(),
            joins: false,
            order: Order::Bytes,
            ascending: false,
            filter: String::new(),
            window_secs: 300,
            interval_secs: 2,
        }
    }
}

impl Ask {
    /// Whether flows have to be counted anew to answer this instead of `other`.
    pub fn counts_otherwise(&self, other: &Self) -> bool {
        let what = |a: &Self| (a.element.clone(), a.joins, a.filter.clone(), a.window_secs);
        what(self) != what(other)
    }

    /// Reads `ELEMENT[:p][/ORDER[:a|:d]]`, and takes it over.
    ///
    /// # Errors
    /// What is wrong, in a line.
    pub fn set_statistic(&mut self, text: &str, grouping: &Grouping) -> Result<(), String> {
        let (element, order) = match text.trim().split_once('/') {
            Some((element, order)) => (element, Some(order)),
            None => (text.trim(), None),
        };
        by(element, grouping, self.joins)?;
        if let Some(order) = order {
            self.set_order(order)?;
        }
        element.clone_into(&mut self.element);
        Ok(())
    }

    /// Reads `ORDER[:a|:d]`, and takes it over.
    ///
    /// # Errors
    /// What is wrong, in a line.
    pub fn set_order(&mut self, text: &str) -> Result<(), String> {
        let (name, direction) = match text.split_once(':') {
            Some((name, direction)) => (name, Some(direction)),
            None => (text, None),
        };
        let ascending = match direction {
            None | Some("d") => false,
            Some("a") => true,
            Some(other) => {
                return Err(format!("direction '{other}': a is ascending, d descending"));
            }
        };
        let found = Order::ALL.into_iter().find(|o| o.name() == name);
        let names = Order::ALL.map(Order::name).join(", ");
        let order = found.ok_or_else(|| format!("unknown order '{name}'; known are: {names}"))?;
        (self.order, self.ascending) = (order, ascending);
        Ok(())
    }

    /// What flows are counted by.
    ///
    /// # Errors
    /// If there is no such element, in a line.
    pub fn by(&self, grouping: &Grouping) -> Result<By, String> {
        by(&self.element, grouping, self.joins)
    }
}

fn by(element: &str, grouping: &Grouping, joins: bool) -> Result<By, String> {
    let mut grouping = grouping.clone();
    if joins {
        grouping.direction = query::Direction::Merged;
    }
    let request = Request::parse(element, &grouping, None).map_err(|e| e.to_string())?;
    match request.distinct.is_empty() {
        true => Ok(request.by),
        false => Err("different values are not counted live: see flowdump".to_owned()),
    }
}

/// A key of the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called what is on them")]
pub enum Key {
    Char(char),
    Control(char),
    Enter,
    Escape,
    Backspace,
    Delete,
    Tab,
    BackTab,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// There is an answer.
    Answer(Box<Answer>),
    /// Names of addresses were found, or not.
    Named(Vec<(String, Option<String>)>),
    /// What is followed cannot be read.
    Failed(String),
    /// This many rows of the table are on the screen.
    Rows(usize),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answer this from now on.
    Ask(Ask),
    /// Look up the names of these addresses.
    Resolve(Vec<String>),
    /// Draw everything anew.
    Redraw,
    /// Stop the process, as Ctrl-Z does.
    Suspend,
    /// End.
    Quit,
}

/// What is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typing {
    /// A filter.
    Filter(Prompt),
    /// An element.
    Element(Prompt),
}

/// Says what is wrong with a filter.
pub type Check = Box<dyn Fn(&str) -> Result<(), String>>;

/// The state of the screen.
pub struct Model {
    ask: Ask,
    grouping: Grouping,
    check: Check,
    answer: Option<Answer>,
    /// What the rows of the answer are values of.
    trouble: Option<String>,
    /// Why the last key did nothing; until the next one.
    note: Option<String>,
    selected: usize,
    /// The line that the cursor was put on, so that it stays there.
    follows: Option<Vec<KeyText>>,
    rows: usize,
    typing: Option<Typing>,
    history: Vec<String>,
    above: Vec<Above>,
    is_paused: bool,
    shows_help: bool,
    shows_names: bool,
    names: HashMap<String, Option<String>>,
    ports: Box<dyn Fn(u16) -> Option<String>>,
}

/// Where a drill-down came from.
#[derive(Clone, Debug)]
struct Above {
    element: String,
    filter: String,
    follows: Option<Vec<KeyText>>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("ask", &self.ask).finish_non_exhaustive()
    }
}

/// Elements that a key goes through; any other can be typed.
pub const ELEMENTS: [&str; 12] = [
    "ip", "srcip", "dstip", "record", "port", "srcport", "dstport", "proto", "as", "if", "router",
    "any",
];
/// Lengths of the window that a key goes through, seconds.
pub const WINDOWS: [u64; 8] = [10, 30, 60, 300, 900, 3600, 21_600, 86_400];
/// Intervals that a key goes through, seconds.
pub const INTERVALS: [u64; 6] = [1, 2, 5, 10, 30, 60];
/// Names that are remembered.
const MAX_NAMES: usize = 10_000;
/// Filters that are remembered.
const MAX_HISTORY: usize = 100;

impl Model {
    /// A screen that asks `ask`. `grouping` is the key of `record`.
    pub fn new(ask: Ask, grouping: Grouping, check: Check) -> Self {
        let history = Some(ask.filter.clone()).filter(|f| !f.is_empty());
        Self {
            ask,
            grouping,
            check,
            answer: None,
            trouble: None,
            note: None,
            selected: 0,
            follows: None,
            rows: 10,
            typing: None,
            history: history.into_iter().collect(),
            above: Vec::new(),
            is_paused: false,
            shows_help: false,
            shows_names: false,
            names: HashMap::new(),
            ports: Box::new(|_| None),
        }
    }

    /// The same, with names of ports for when names are shown.
    #[must_use]
    pub fn with_ports(self, ports: Box<dyn Fn(u16) -> Option<String>>) -> Self {
        Self { ports, ..self }
    }

    /// Shows names from the start.
    #[must_use]
    pub fn with_names(self) -> Self {
        Self { shows_names: true, ..self }
    }

    /// What happened changes the state; what is to be done is returned.
    pub fn update(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Key(Key::Control('c')) => vec![Effect::Quit],
            Event::Key(Key::Control('z')) => vec![Effect::Suspend],
            Event::Key(Key::Control('l')) => vec![Effect::Redraw],
            Event::Key(key) if self.typing.is_some() => self.typed(key),
            Event::Key(key) => self.pressed(key),
            Event::Paste(text) => {
                if let Some(Typing::Filter(p) | Typing::Element(p)) = &mut self.typing {
                    text.chars().for_each(|c| p.insert(c));
                }
                Vec::new()
            }
            Event::Answer(answer) => self.answered(*answer),
            Event::Named(names) => {
                if self.names.len() + names.len() > MAX_NAMES {
                    self.names.clear();
                }
                self.names.extend(names);
                Vec::new()
            }
            Event::Failed(why) => {
                self.trouble = Some(why);
                Vec::new()
            }
            Event::Rows(rows) => {
                self.rows = rows;
                Vec::new()
            }
        }
    }

    /// What is asked.
    pub const fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The last answer to it.
    pub const fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// What is wrong, in a line.
    pub fn trouble(&self) -> Option<&str> {
        self.note.as_deref().or(self.trouble.as_deref())
    }

    /// The row that the cursor is on.
    pub const fn selected(&self) -> usize {
        self.selected
    }

    /// What is being typed.
    pub const fn typing(&self) -> Option<&Typing> {
        self.typing.as_ref()
    }

    /// How many drill-downs deep this is.
    pub fn depth(&self) -> usize {
        self.above.len()
    }

    /// Whether the answer stands still.
    pub const fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether the keys are explained.
    pub const fn shows_help(&self) -> bool {
        self.shows_help
    }

    /// Whether names are shown for numbers.
    pub const fn shows_names(&self) -> bool {
        self.shows_names
    }

    /// Text of a row.
    pub fn label(&self, line: &Line) -> String {
        match self.shows_names {
            false => label::label(&line.parts, &label::Plain),
            true => {
                let ports = line.parts.iter().filter_map(|p| {
                    let name = (self.ports)(p.text.parse().ok()?)?;
                    Some((p.text.clone(), name))
                });
                label::label(&line.parts, &Known { hosts: &self.names, ports: ports.collect() })
            }
        }
    }

    fn pressed(&mut self, key: Key) -> Vec<Effect> {
        self.note = None;
        if self.shows_help {
            self.shows_help = false;
            return if key == Key::Char('q') { vec![Effect::Quit] } else { Vec::new() };
        }
        match key {
            Key::Char('q') => return vec![Effect::Quit],
            Key::Char('?' | 'h') => self.shows_help = true,
            Key::Char(' ' | 'p') => return self.pause(),
            Key::Char('n') => {
                self.shows_names = !self.shows_names;
                return self.unknown_names();
            }
            Key::Up | Key::Char('k') => self.select(self.selected.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.select(self.selected + 1),
            Key::PageUp => self.select(self.selected.saturating_sub(self.rows.max(1))),
            Key::PageDown => self.select(self.selected + self.rows.max(1)),
            Key::Home => self.select(0),
            Key::End => self.select(usize::MAX),
            Key::Escape => {
                self.follows = None;
                self.selected = 0;
                self.trouble = None;
            }
            Key::Char('/' | 'f') => {
                let prompt = Prompt::new(&self.ask.filter, self.history.clone());
                self.typing = Some(Typing::Filter(prompt));
            }
            Key::Char('s') => self.typing = Some(Typing::Element(Prompt::new("", Vec::new()))),
            Key::Enter | Key::Right => return self.drill_down(),
            Key::Backspace | Key::Left => return self.go_back(),
            key => return self.change(key),
        }
        Vec::new()
    }

    /// Keys that change the question.
    fn change(&mut self, key: Key) -> Vec<Effect> {
        let ask = &mut self.ask;
        match key {
            Key::Char('e') | Key::Tab => step_text(&mut ask.element, &ELEMENTS, true),
            Key::Char('E') | Key::BackTab => step_text(&mut ask.element, &ELEMENTS, false),
            Key::Char('o' | '>') => step(&mut ask.order, &Order::ALL, true),
            Key::Char('O' | '<') => step(&mut ask.order, &Order::ALL, false),
            Key::Char('r') => ask.ascending = !ask.ascending,
            Key::Char('b') => {
                ask.joins = !ask.joins;
                "record".clone_into(&mut ask.element);
            }
            Key::Char('w' | '+') => ask.window_secs = larger(ask.window_secs, &WINDOWS),
            Key::Char('W' | '-') => ask.window_secs = smaller(ask.window_secs, &WINDOWS),
            Key::Char('i') => ask.interval_secs = larger(ask.interval_secs, &INTERVALS),
            Key::Char('I') => ask.interval_secs = smaller(ask.interval_secs, &INTERVALS),
            _ => return Vec::new(),
        }
        self.asked()
    }

    /// The question has changed.
    fn asked(&mut self) -> Vec<Effect> {
        self.ask.number += 1;
        self.trouble = None;
        // Another question is not answered by what stands still.
        self.is_paused = false;
        vec![Effect::Ask(self.ask.clone())]
    }

    fn typed(&mut self, key: Key) -> Vec<Effect> {
        let Some(Typing::Filter(prompt) | Typing::Element(prompt)) = &mut self.typing else {
            return Vec::new();
        };
        match key {
            Key::Escape => self.typing = None,
            Key::Enter => return self.entered(),
            key => prompt.key(key),
        }
        Vec::new()
    }

    /// What was typed is taken, or said to be wrong while typing goes on.
    fn entered(&mut self) -> Vec<Effect> {
        match &mut self.typing {
            Some(Typing::Filter(prompt)) => {
                let text = prompt.text().trim().to_owned();
                if let Err(why) = (self.check)(&text) {
                    prompt.complain(why);
                    return Vec::new();
                }
                if !text.is_empty() {
                    self.history.retain(|h| *h != text);
                    self.history.push(text.clone());
                    let extra = self.history.len().saturating_sub(MAX_HISTORY);
                    self.history.drain(..extra);
                }
                self.ask.filter = text;
            }
            Some(Typing::Element(prompt)) => {
                let text = prompt.text();
                if let Err(why) = self.ask.set_statistic(&text, &self.grouping) {
                    prompt.complain(why);
                    return Vec::new();
                }
            }
            None => return Vec::new(),
        }
        self.typing = None;
        // What was typed is no drill-down: there is no way back from it.
        self.above.clear();
        self.go_to_top();
        self.asked()
    }

    fn pause(&mut self) -> Vec<Effect> {
        self.is_paused = !self.is_paused;
        Vec::new()
    }

    fn go_to_top(&mut self) {
        self.selected = 0;
        self.follows = None;
    }

    fn select(&mut self, row: usize) {
        let lines = self.answer.as_ref().map_or(&[][..], |a| &a.lines);
        self.selected = row.min(lines.len().saturating_sub(1));
        self.follows = lines.get(self.selected).map(|line| line.parts.clone());
    }

    /// Looks into the row of the cursor: its filter is added, and what is counted changes.
    fn drill_down(&mut self) -> Vec<Effect> {
        let line = self.answer.as_ref().and_then(|a| a.lines.get(self.selected));
        let Some(line) = line else { return Vec::new() };
        let (Some(filter), Ok(by)) = (&line.filter, self.ask.by(&self.grouping)) else {
            self.note = Some(nothing_below(&self.ask.element));
            return Vec::new();
        };
        let added = match self.ask.filter.as_str() {
            "" => filter.clone(),
            before if is_simple(before) => format!("{before} and {filter}"),
            before => format!("({before}) and {filter}"),
        };
        let is_either = matches!(&by, By::Element { element, .. } if element.fields.len() > 1);
        let next = match (&by, line.parts.first()) {
            (By::Flows(_), _) => "any",
            (_, part) => label::next_element(part.and_then(|p| p.field), is_either),
        };
        self.above.push(Above {
            element: std::mem::replace(&mut self.ask.element, next.to_owned()),
            filter: std::mem::replace(&mut self.ask.filter, added),
            follows: Some(line.parts.clone()),
        });
        self.go_to_top();
        self.asked()
    }

    /// Back to where the last drill-down came from.
    fn go_back(&mut self) -> Vec<Effect> {
        let Some(above) = self.above.pop() else { return Vec::new() };
        self.ask.element = above.element;
        self.ask.filter = above.filter;
        self.selected = 0;
        self.follows = above.follows;
        self.asked()
    }

    fn answered(&mut self, answer: Answer) -> Vec<Effect> {
        if answer.question != self.ask.number || self.is_paused {
            return Vec::new();
        }
        self.trouble = None;
        let place =
            |parts: &Vec<KeyText>| answer.lines.iter().position(|line| line.parts == *parts);
        let last = answer.lines.len().saturating_sub(1);
        self.selected = match self.follows.as_ref().and_then(place) {
            Some(row) => row,
            None => self.selected.min(last),
        };
        self.answer = Some(answer);
        self.unknown_names()
    }

    /// Addresses on the screen whose names nobody has looked up yet.
    fn unknown_names(&mut self) -> Vec<Effect> {
        let Some(answer) = self.answer.as_ref().filter(|_| self.shows_names) else {
            return Vec::new();
        };
        let parts = answer.lines.iter().flat_map(|line| &line.parts);
        let addresses = parts.filter(|p| p.field.is_some_and(label::is_address));
        let mut unknown: Vec<String> = addresses
            .filter(|p| !self.names.contains_key(&p.text))
            .map(|p| p.text.clone())
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Vec::new();
        }
        // Asked once.
        self.names.extend(unknown.iter().map(|a| (a.clone(), None)));
        vec![Effect::Resolve(unknown)]
    }
}

/// Names for one row.
struct Known<'a> {
    hosts: &'a HashMap<String, Option<String>>,
    ports: HashMap<String, String>,
}

impl Names for Known<'_> {
    fn host(&self, address: &str) -> Option<&str> {
        self.hosts.get(address)?.as_deref()
    }
    fn port(&self, port: &str) -> Option<&str> {
        self.ports.get(port).map(String::as_str)
    }
}

/// Why there is no way into a row of this element.
fn nothing_below(element: &str) -> String {
    match element.eq_ignore_ascii_case("any") {
        true => "this row is all flows: e or s counts them by something else".to_owned(),
        false => format!("no filter can ask for this value of {element}: / types another"),
    }
}

/// Whether a filter can stand before an `and` without parentheses.
fn is_simple(filter: &str) -> bool {
    let is_or = |word: &str| matches!(word.to_ascii_lowercase().as_str(), "or" | "||");
    !filter.split_whitespace().any(is_or) && !filter.contains(['|', '#', '\n'])
}

fn step<T: Copy + PartialEq>(value: &mut T, all: &[T], forward: bool) {
    let here = all.iter().position(|v| v == value);
    let next = match (here, forward) {
        (None, _) => 0,
        (Some(here), true) => (here + 1) % all.len().max(1),
        (Some(here), false) => here.checked_sub(1).unwrap_or_else(|| all.len().saturating_sub(1)),
    };
    if let Some(next) = all.get(next) {
        *value = *next;
    }
}

fn step_text(value: &mut String, all: &[&str], forward: bool) {
    let mut here = value.as_str();
    step(&mut here, all, forward);
    let here = here.to_owned();
    *value = here;
}

fn larger(value: u64, all: &[u64]) -> u64 {
    all.iter().copied().find(|v| *v > value).or_else(|| all.first().copied()).unwrap_or(value)
}

fn smaller(value: u64, all: &[u64]) -> u64 {
    all.iter().rev().copied().find(|v| *v < value).or_else(|| all.last().copied()).unwrap_or(value)
}

/// Reads a span of time: `10s`, `5m`, `2h`, or seconds.
///
/// # Errors
/// If it is none, or none that a window can have.
pub fn parse_span(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("'{text}': write 30s, 5m, 1h or 1d")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("'{text}': write 30s, 5m, 1h or 1d"))?;
    match number.checked_mul(unit) {
        Some(secs @ 1..=Length::MAX_SECS) => Ok(secs),
        _ => Err(format!("'{text}': 1s to 1d")),
    }
}

/// A span of time, as [`parse_span`] reads it.
pub fn span(secs: u64) -> String {
    match secs {
        s if s > 0 && s.is_multiple_of(86_400) => format!("{}d", s / 86_400),
        s if s > 0 && s.is_multiple_of(3600) => format!("{}h", s / 3600),
        s if s > 0 && s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests;
