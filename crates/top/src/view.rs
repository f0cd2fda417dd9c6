//! The screen as lines of text: which columns there is room for, numbers for people, sparklines.

use crate::counter::{Answer, Line};
use crate::model::{Ask, Model, Order, span};
use crate::window::Measure;

/// How things are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Colours may be used.
    pub colour: bool,
    /// Characters beyond ASCII may be used.
    pub unicode: bool,
    /// The time of day of a moment, milliseconds since 1970.
    pub clock: fn(u64) -> String,
}

/// What a column of the table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Flows,
    Packets,
    Bytes,
    BitRate,
    PacketRate,
    Share,
    History,
}

impl Column {
    /// From left to right.
    const ALL: [Self; 7] = [
        Self::Flows,
        Self::Packets,
        Self::Bytes,
        Self::BitRate,
        Self::PacketRate,
        Self::Share,
        Self::History,
    ];
    /// The one that goes first where room is short.
    const EXPENDABLE: [Self; 6] =
        [Self::PacketRate, Self::Flows, Self::Packets, Self::History, Self::BitRate, Self::Share];

    const fn title(self) -> &'static str {
        match self {
            Self::Flows => "Flows",
            Self::Packets => "Packets",
            Self::Bytes => "Bytes",
            Self::BitRate => "bps",
            Self::PacketRate => "pps",
            Self::Share => "Share",
            Self::History => "History",
        }
    }

    /// Columns of the terminal, a blank before it among them.
    const fn width(self) -> usize {
        match self {
            Self::Share => 7,
            Self::History => 13,
            _ => 9,
        }
    }

    /// Whether rows are ordered by it.
    fn is_order(self, order: Order) -> bool {
        self.title().eq_ignore_ascii_case(order.name())
    }
}

/// The table: a heading, and a row of text for each line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The heading.
    pub heading: String,
    /// The rows.
    pub rows: Vec<String>,
}

/// The rows of the answer in so many columns of the terminal.
pub fn rows(model: &Model, look: &Look, width: usize) -> Rows {
    let Some(answer) = model.answer() else {
        return Rows { heading: String::new(), rows: vec!["reading ...".to_owned()] };
    };
    let labels: Vec<String> = answer.lines.iter().map(|line| model.label(line)).collect();
    let longest = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let columns = fitting(width, longest.max(model.ask().element.len()), model.ask().order);
    let taken: usize = columns.iter().map(|c| c.width()).sum();
    let room = width.saturating_sub(taken).max(1);
    let ask = model.ask();
    let mut heading = fit(&ask.element, room);
    for column in &columns {
        let mark = match (column.is_order(ask.order), ask.ascending, look.unicode) {
            (false, ..) => "",
            (true, false, true) => "↓",
            (true, true, true) => "↑",
            (true, false, false) => "v",
            (true, true, false) => "^",
        };
        let title = format!("{}{mark}", column.title());
        heading.push_str(&format!("{title:>width$}", width = column.width()));
    }
    let row = |(line, label): (&Line, &String)| {
        let mut text = fit(label, room);
        for column in &columns {
            let value = cell(*column, answer, line, ask, look);
            text.push_str(&format!("{value:>width$}", width = column.width()));
        }
        text
    };
    Rows { heading, rows: answer.lines.iter().zip(&labels).map(row).collect() }
}

fn cell(column: Column, answer: &Answer, line: &Line, ask: &Ask, look: &Look) -> String {
    let sums = &line.sums;
    match column {
        Column::Flows => scaled(sums.flows),
        Column::Packets => scaled(sums.packets),
        Column::Bytes => scaled(sums.bytes),
        Column::BitRate => scaled(answer.bits_per_second(sums.bytes)),
        Column::PacketRate => scaled(answer.per_second(sums.packets)),
        Column::Share => format!("{:.1}%", answer.percent(ask.order.measure(), sums)),
        Column::History => sparkline(&line.history, Column::History.width() - 1, look.unicode),
    }
}

/// The columns that there is room for beside labels of this length.
fn fitting(width: usize, label: usize, order: Order) -> Vec<Column> {
    /// Labels are cut before numbers go below this.
    const LONGEST: usize = 46;
    let label = label.clamp(12, LONGEST);
    let mut columns = Column::ALL.to_vec();
    for gone in Column::EXPENDABLE {
        let taken: usize = columns.iter().map(|c| c.width()).sum();
        if taken + label <= width {
            break;
        }
        if !gone.is_order(order) {
            columns.retain(|c| *c != gone);
        }
    }
    columns
}

/// What stands above the table, line by line.
pub fn header(model: &Model, look: &Look, width: usize) -> Vec<String> {
    let ask = model.ask();
    let order = if ask.ascending { "the smallest first" } else { "the largest first" };
    let joins = if ask.joins && ask.element == "record" { ", both directions" } else { "" };
    let paused = if model.is_paused() { "  PAUSED" } else { "" };
    let time = model.answer().map_or_else(String::new, |a| (look.clock)(a.now_ms));
    let left = format!(
        "flowtop  {}{joins} by {}  last {}  every {}{paused}",
        ask.element,
        ask.order.name(),
        span(ask.window_secs),
        span(ask.interval_secs),
    );
    let left = if ask.ascending { format!("{left}  {order}") } else { left };
    let filter = if ask.filter.is_empty() { "any" } else { &ask.filter };
    let depth = match model.depth() {
        0 => String::new(),
        n => format!("  ({n} deep, Backspace goes back)"),
    };
    let mut out = vec![ends(&left, &time, width)];
    match model.answer() {
        Some(answer) => {
            out.push(totals(answer, look, width));
            out.push(fit(&sources(answer), width));
        }
        None => out.extend([String::new(), String::new()]),
    }
    out.push(fit(&format!("Filter: {filter}{depth}"), width));
    out
}

/// Sums over all flows, and their history as far as there is room.
fn totals(answer: &Answer, look: &Look, width: usize) -> String {
    let t = &answer.total;
    let text = format!(
        "{} flows  {} packets  {}B  {}bit/s  {} pkt/s  ",
        scaled(t.flows),
        scaled(t.packets),
        unit(t.bytes),
        unit(answer.bits_per_second(t.bytes)),
        scaled(answer.per_second(t.packets)),
    );
    let room = width.saturating_sub(text.chars().count()).min(answer.history.len());
    fit(&format!("{text}{}", sparkline(&answer.history, room, look.unicode)), width)
}

/// What was read, how late it is, and what is missing.
pub fn sources(answer: &Answer) -> String {
    let files = &answer.files;
    let open = if files.open > 0 { format!(" ({} open)", files.open) } else { String::new() };
    let mut out = format!("{} files{open}", files.files);
    out.push_str(&match answer.newest_ms {
        0 => "  no flows".to_owned(),
        newest => format!("  newest {} ago", ago(answer.now_ms.saturating_sub(newest))),
    });
    out.push_str(&format!("  {} keys", scaled(answer.keys as u64)));
    if !answer.is_complete {
        out.push_str("  reading ...");
    }
    if answer.other.flows > 0 {
        let share = answer.percent(Measure::Bytes, &answer.other);
        out.push_str(&format!("  other {share:.1}%"));
    }
    let counts = |n: u64, what: &str| match n {
        0 => String::new(),
        n => format!("  {n} {what}"),
    };
    out.push_str(&counts(files.unreadable_files, "files unreadable"));
    out.push_str(&counts(files.damaged_blocks, "blocks damaged"));
    for lost in &answer.lost {
        out.push_str(&format!("  LOST {} {} ({})", scaled(lost.count), lost.unit, lost.place));
    }
    out
}

/// The keys, for the line at the bottom.
pub const HINTS: &str =
    "?:help e:element o:order /:filter w:window Enter:into Backspace:back q:quit";

/// What each key does.
pub const HELP: [(&str, &str); 17] = [
    ("e E, Tab", "next, previous element: ip srcip dstip record port ..."),
    ("s", "type an element, as for flowdump -s"),
    ("b", "conversations, both directions in one row"),
    ("o O, > <", "next, previous order: bytes packets flows bps pps"),
    ("r", "the smallest first, or the largest"),
    ("/ f", "type a filter; Up and Down go through earlier ones"),
    ("w W, + -", "longer, shorter window"),
    ("i I", "answer less, more often"),
    ("Up Down, k j", "go to a row; the cursor stays with it"),
    ("PgUp PgDn", "a page up, down; Home, End: first, last row"),
    ("Enter, Right", "look into the row: its filter is added"),
    ("Backspace, Left", "back again"),
    ("Esc", "cursor to the top"),
    ("space p", "pause"),
    ("n", "names of hosts and ports"),
    ("Ctrl-L, Ctrl-Z", "draw anew, stop until fg"),
    ("q, Ctrl-C", "quit"),
];

/// A text of exactly so many characters, cut or padded.
fn fit(text: &str, width: usize) -> String {
    let n = text.chars().count();
    match n > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['~']).take(width).collect(),
        false => format!("{text}{}", " ".repeat(width - n)),
    }
}

/// Two texts at both ends of a line; the right one goes where there is no room.
fn ends(left: &str, right: &str, width: usize) -> String {
    let (l, r) = (left.chars().count(), right.chars().count());
    match (l + 2 + r).checked_sub(width) {
        None | Some(0) => format!("{left}{}{right}", " ".repeat(width - l - r)),
        Some(_) => fit(left, width),
    }
}

/// A count in at most seven characters: plain up to 99 999, then with a unit of powers of 1000.
pub fn scaled(n: u64) -> String {
    match n {
        0..=99_999 => n.to_string(),
        n => unit(n).trim_end().to_owned(),
    }
}

/// A count with a blank and its unit behind it: `1.5 M`, `820 `.
fn unit(n: u64) -> String {
    const UNITS: [(u64, char); 6] = [
        (1_000_000_000_000_000_000, 'E'),
        (1_000_000_000_000_000, 'P'),
        (1_000_000_000_000, 'T'),
        (1_000_000_000, 'G'),
        (1_000_000, 'M'),
        (1000, 'k'),
    ];
    match UNITS.iter().find(|(unit, _)| n >= *unit) {
        None => format!("{n} "),
        Some((unit, name)) => {
            let tenths = n / (unit / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

/// How long ago, roughly.
fn ago(ms: u64) -> String {
    match ms / 1000 {
        0..=9 => format!("{:.1} s", ms as f64 / 1000.0),
        secs @ ..=119 => format!("{secs} s"),
        secs @ ..=7199 => format!("{} min", secs / 60),
        secs @ ..=172_799 => format!("{} h", secs / 3600),
        secs => format!("{} d", secs / 86_400),
    }
}

/// Values as a line of bars, the last at the right end, each line with a scale of its own. Where
/// there are more values than columns, a column shows the mean of its values.
pub fn sparkline(values: &[u64], width: usize, unicode: bool) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 9] = [' ', '.', ':', '-', '=', '+', '*', '#', '@'];
    let bars = if unicode { BARS } else { ASCII };
    let columns = width.min(values.len());
    let mean = |n: usize| {
        let from = n * values.len() / columns.max(1);
        let to = ((n + 1) * values.len() / columns.max(1)).max(from + 1);
        let cells = values.get(from..to).unwrap_or_default();
        let sum: u128 = cells.iter().map(|v| u128::from(*v)).sum();
        (sum / cells.len().max(1) as u128) as u64
    };
    let all: Vec<u64> = (0..columns).map(mean).collect();
    let largest = all.iter().copied().max().unwrap_or(0);
    let bar = |v: &u64| match (*v, largest) {
        (0, _) | (_, 0) => ' ',
        // What is not nothing shows.
        (v, largest) => bars[(u128::from(v) * 8).div_ceil(u128::from(largest)).min(8) as usize],
    };
    let pad = " ".repeat(width - columns);
    pad + &all.iter().map(bar).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (n, want) in [
            (0, "0"),
            (99_999, "99999"),
            (100_000, "100.0 k"),
            (1_549_999, "1.5 M"),
            (999_999_999, "999.9 M"),
            (u64::MAX, "18.4 E"),
        ] {
            assert_eq!(scaled(n), want);
            assert!(scaled(n).len() <= 8);
        }
        for (ms, want) in [
            (0, "0.0 s"),
            (1240, "1.2 s"),
            (10_000, "10 s"),
            (125_000, "2 min"),
            (7_300_000, "2 h"),
            (u64::MAX, "213503982334 d"),
        ] {
            assert_eq!(ago(ms), want);
        }
    }

    #[test]
    fn sparklines() {
        for (values, width, want) in [
            (&[][..], 3, "   "),
            (&[0, 0], 3, "   "),
            (&[0, 1, 8], 3, " ▁█"),
            (&[1, 2, 3, 4, 5, 6, 7, 8], 8, "▁▂▃▄▅▆▇█"),
            (&[4, 4, 8, 8], 2, "▄█"),
            (&[1, 1000], 2, "▁█"),
            (&[u64::MAX, u64::MAX], 1, "█"),
            (&[5], 0, ""),
            (&[0, 0, 9], 2, " █"),
        ] {
            assert_eq!(sparkline(values, width, true), want, "{values:?}");
        }
        assert_eq!(sparkline(&[0, 1, 4, 8], 4, false), " .=@");
    }

    #[test]
    fn columns_go_where_room_is_short_but_never_that_of_the_order() {
        use Column as C;
        for (width, label, order, want) in [
            (80, 15, Order::Bytes, &C::ALL[..]),
            (80, 39, Order::Bytes, &[C::Bytes, C::BitRate, C::Share, C::History]),
            (80, 39, Order::PacketRate, &[C::Bytes, C::BitRate, C::PacketRate, C::Share]),
            (40, 15, Order::Bytes, &[C::Bytes, C::BitRate, C::Share]),
            (30, 15, Order::Flows, &[C::Flows, C::Bytes]),
            (10, 15, Order::Bytes, &[C::Bytes]),
        ] {
            assert_eq!(fitting(width, label, order), want, "{width} {label}");
        }
    }

    #[test]
    fn lines_are_as_wide_as_the_terminal() {
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 5), "abcd~");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(ends("left", "right", 12), "left   right");
        assert_eq!(ends("left", "right", 10), "left      ");
        assert_eq!(ends("left", "right", 2), "l~");
    }
}
