//! What is asked, what is counted for it, and the answer at a moment.

use crate::follow::FilesRead;
use crate::label;
use crate::window::{Length, Measure, Seen, Sums, Window};
use filter::{Context, Evaluator, Filter};
use query::{By, KeyText, Keyer};
use record::{AddressBook, Field, Row, Rows, Selection};

/// What is counted, and how it is ordered.
#[derive(Clone, Debug)]
pub struct Question {
    /// What flows are counted by.
    pub by: By,
    /// What rows are ordered by.
    pub measure: Measure,
    /// The smallest first.
    pub ascending: bool,
    /// Rows of an answer.
    pub rows: usize,
    /// How long the window is.
    pub length: Length,
    /// Keys that are kept at most.
    pub max_keys: usize,
    /// Where the window ends.
    pub end: End,
}

/// Where the window ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Now.
    #[default]
    Now,
    /// With the flow that arrived last: for files of another day.
    LastFlow,
}

/// Counts the flows of blocks.
#[derive(Debug)]
pub struct Counter<'q> {
    by: &'q By,
    end: End,
    is_all: bool,
    evaluator: Evaluator<'q>,
    keyer: Keyer<'q>,
    window: Window,
    selected: Selection,
    /// Records that were looked at.
    scanned: u64,
    /// Of these, records that passed the filter.
    passed: u64,
    /// When the newest of all arrived, passed or not.
    newest_ms: u64,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The key.
    pub parts: Vec<KeyText>,
    /// The filter that passes what is counted here, if the language has one.
    pub filter: Option<String>,
    /// What flowed.
    pub sums: Sums,
    /// Octets in each bin, the oldest first.
    pub history: Vec<u64>,
}

/// What is lost of the flows of the window, as far as collectors say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where, in a word.
    pub place: &'static str,
    /// What is counted.
    pub unit: String,
    /// How much.
    pub count: u64,
}

/// The answer at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Which question it answers: a number that the one who asks has given it.
    pub question: u64,
    /// When, milliseconds since 1970.
    pub now_ms: u64,
    /// Milliseconds that rates refer to.
    pub span_ms: u64,
    /// Milliseconds of a bin.
    pub bin_ms: u64,
    /// The first rows.
    pub lines: Vec<Line>,
    /// Keys that there are.
    pub keys: usize,
    /// All flows of the window that passed the filter.
    pub total: Sums,
    /// Octets of all of them in each bin.
    pub history: Vec<u64>,
    /// What belongs to keys that there was no room for.
    pub other: Sums,
    /// Flows in what was read that arrived before the window began.
    pub too_old: u64,
    /// When the newest flow arrived, whether it passed the filter or not; 0 for none.
    pub newest_ms: u64,
    /// Records read.
    pub scanned: u64,
    /// Whether all that is there has been read.
    pub is_complete: bool,
    /// Files read.
    pub files: FilesRead,
    /// What is lost.
    pub lost: Vec<Lost>,
}

impl<'q> Counter<'q> {
    /// Nothing counted yet, in a window that ends at `now_ms`.
    pub fn new(
        question: &'q Question,
        filter: &'q Filter,
        book: Option<&'q dyn AddressBook>,
        now_ms: u64,
    ) -> Self {
        let mut window = Window::new(question.length, question.max_keys, question.measure);
        if question.end == End::Now {
            window.advance(now_ms);
        }
        Self {
            by: &question.by,
            end: question.end,
            is_all: filter.is_any(),
            evaluator: filter.evaluator(),
            keyer: Keyer::new(&question.by, book),
            window,
            selected: Selection::default(),
            scanned: 0,
            passed: 0,
            newest_ms: 0,
        }
    }

    /// Moves the end of the window to now, if that is where it ends.
    pub fn advance(&mut self, now_ms: u64) {
        if self.end == End::Now {
            self.window.advance(now_ms);
        }
    }

    /// Where the window begins, milliseconds since 1970.
    pub const fn from_ms(&self) -> u64 {
        self.window.from_ms()
    }

    /// Counts the rows of a block; `ident` is that of its file.
    pub fn take(&mut self, rows: &Rows<'_>, ident: &str) {
        let ctx = Context { ident, first_count: self.scanned + 1 };
        match self.is_all {
            true => self.selected.reset(rows.len(), true),
            false => self.evaluator.select(rows, &ctx, &mut self.selected),
        }
        self.scanned += rows.len() as u64;
        // Also flows that do not pass tell how late it is.
        let newest = rows.iter().map(|row| arrived_ms(row)).max().unwrap_or(0);
        self.newest_ms = self.newest_ms.max(newest);
        if self.end == End::LastFlow {
            self.window.advance(self.newest_ms);
        }
        let selected = std::mem::take(&mut self.selected);
        for i in selected.iter() {
            let Some(row) = rows.row(i) else { break };
            let seen = seen(row);
            self.passed += 1;
            if self.window.add(&seen) {
                let window = &mut self.window;
                self.keyer.keys(rows, i, |key| window.count(key, &seen));
            }
        }
        self.selected = selected;
    }

    /// The answer: the first `rows` keys by a measure. What is not counted here, the caller adds.
    pub fn answer(&self, measure: Measure, ascending: bool, rows: usize, now_ms: u64) -> Answer {
        let now_ms = match self.end {
            End::Now => now_ms,
            End::LastFlow => self.newest_ms,
        };
        let line = |talker: crate::window::Talker| {
            let parts = self.keyer.texts(&talker.key);
            let filter = label::filter(self.by, &parts);
            Line { parts, filter, sums: talker.sums, history: talker.history }
        };
        let ranked = self.window.ranked(measure, ascending, rows);
        Answer {
            now_ms,
            span_ms: self.window.span_ms(now_ms),
            bin_ms: self.window.length().bin_ms(),
            lines: ranked.into_iter().map(line).collect(),
            keys: self.window.keys(),
            total: self.window.total(),
            history: self.window.history(),
            other: self.window.other(),
            too_old: self.window.too_old(),
            newest_ms: self.newest_ms,
            scanned: self.scanned,
            ..Answer::default()
        }
    }
}

impl Answer {
    /// A count over the time of the window, each second.
    pub fn per_second(&self, count: u64) -> u64 {
        let rate = u128::from(count) * 1000 / u128::from(self.span_ms.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    /// Bits each second, from octets.
    pub fn bits_per_second(&self, bytes: u64) -> u64 {
        self.per_second(bytes.saturating_mul(8))
    }

    /// What of a hundred `sums` are of all flows.
    pub fn percent(&self, measure: Measure, sums: &Sums) -> f64 {
        match measure.of(&self.total) {
            0 => 0.0,
            all => measure.of(sums) as f64 * 100.0 / all as f64,
        }
    }
}

/// One flow. Where a record does not say when it arrived, that is when the flow ended.
fn seen(row: Row<'_>) -> Seen {
    let both = |a, b| row.number(a).saturating_add(row.number(b));
    Seen {
        at_ms: arrived_ms(row),
        lasted_ms: row.duration_ms(),
        sums: Sums {
            flows: row.flows(),
            packets: both(Field::Packets, Field::OutPackets),
            bytes: both(Field::Bytes, Field::OutBytes),
        },
    }
}

fn arrived_ms(row: Row<'_>) -> u64 {
    match row.number(Field::Received) {
        0 => row.number(Field::Last),
        ms => ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use query::{Element, Grouping};
    use record::{Addr, Flow, RowRef, ShapeTable};

    const NOW: u64 = 1_800_000_000_000;

    fn question(by: By, end: End) -> Question {
        Question {
            by,
            measure: Measure::Bytes,
            ascending: false,
            rows: 10,
            length: Length::of_secs(60),
            max_keys: 1000,
            end,
        }
    }

    fn element(name: &str) -> By {
        By::Element { element: Element::named(name).unwrap(), by_proto: false }
    }

    /// Flows between ten hosts, each a second later than the one before.
    fn flows() -> Vec<Flow> {
        let flow = |n: u64| {
            let mut f = Flow::new();
            f.set_addr(Field::SrcAddr, Addr::V4(0x0a00_0000 + (n % 3) as u32));
            f.set_addr(Field::DstAddr, Addr::V4(0x0a00_0000 + (n % 7) as u32));
            f.set(Field::SrcPort, 1000 + n % 2);
            f.set(Field::DstPort, 53 + n % 2);
            f.set(Field::Proto, [6, 17][n as usize % 2]);
            f.set(Field::Packets, 1);
            f.set(Field::Bytes, 100 + n);
            f.set(Field::OutBytes, 10);
            f.set(Field::First, NOW - 40_000 + n * 1000);
            f.set(Field::Last, NOW - 40_000 + n * 1000);
            f.set(Field::Received, NOW - 39_000 + n * 1000);
            f
        };
        (0..40).map(flow).collect()
    }

    fn with_rows(flows: &[Flow], f: impl FnOnce(&Rows<'_>)) {
        let (mut bytes, mut index, mut table) = (Vec::new(), Vec::new(), ShapeTable::new());
        for flow in flows {
            let row = flow.as_row();
            let at = bytes.len() as u32;
            bytes.extend_from_slice(row.as_bytes());
            let shape = table.push(row.shape().clone()).unwrap();
            index.push(RowRef { at, len: row.as_bytes().len() as u16, shape });
        }
        f(&Rows { bytes: &bytes, index: &index, table: &table });
    }

    fn count(question: &Question, text: &str, now: u64) -> Answer {
        let filter = Filter::parse(text).unwrap();
        let mut counter = Counter::new(question, &filter, None, now);
        with_rows(&flows(), |rows| counter.take(rows, "none"));
        counter.answer(question.measure, question.ascending, question.rows, now)
    }

    #[test]
    fn what_passes_is_counted_for_both_directions() {
        let answer = count(&question(element("any"), End::Now), "proto tcp", NOW);
        let bytes = (0..40).step_by(2).map(|n| 110 + n).sum();
        let want = Sums { flows: 20, packets: 20, bytes };
        assert_eq!((answer.total, answer.lines[0].sums), (want, want));
        assert_eq!((answer.scanned, answer.newest_ms), (40, NOW));
        assert_eq!(answer.span_ms, 60_000);
        assert_eq!(answer.bits_per_second(bytes), bytes * 8 / 60);
        assert_eq!(answer.percent(Measure::Flows, &Sums { flows: 5, ..want }), 25.0);
    }

    #[test]
    fn the_filter_of_a_line_passes_exactly_what_it_counts() {
        let all = flows();
        for by in [
            element("srcip"),
            element("ip"),
            element("dstport"),
            element("port"),
            element("proto"),
            By::Element { element: Element::named("srcip").unwrap(), by_proto: true },
            By::Flows(Grouping::five_tuple()),
            By::Flows(Grouping::bidirectional(false)),
        ] {
            let question = Question { rows: 100, ..question(by, End::Now) };
            let answer = count(&question, "any", NOW);
            assert!(answer.lines.len() > 1);
            for line in &answer.lines {
                let text = line.filter.clone().unwrap();
                let filter = Filter::parse(&text).unwrap();
                let pass: Vec<_> = all
                    .iter()
                    .filter(|f| filter.matches(f.as_row(), &Context::default()))
                    .collect();
                // A flow from a host to itself counts twice.
                let twice = pass
                    .iter()
                    .filter(|f| {
                        let row = f.as_row();
                        matches!(&question.by, By::Element { element, .. } if element.name == "ip")
                            && row.addr(Field::SrcAddr) == row.addr(Field::DstAddr)
                    })
                    .count();
                assert_eq!(line.sums.flows, (pass.len() + twice) as u64, "{text}");
            }
        }
    }

    #[test]
    fn a_window_may_end_with_the_last_flow() {
        let much_later = NOW + 86_400_000;
        let answer = count(&question(element("any"), End::Now), "any", much_later);
        assert_eq!((answer.total.flows, answer.too_old, answer.lines.len()), (0, 40, 0));
        let answer = count(&question(element("any"), End::LastFlow), "any", much_later);
        assert_eq!((answer.total.flows, answer.now_ms), (40, NOW));
        // Also when none of the last flows passes.
        let answer = count(&question(element("any"), End::LastFlow), "bytes < 105", much_later);
        assert_eq!((answer.total.flows, answer.now_ms), (5, NOW));
    }
}
