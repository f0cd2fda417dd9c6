//! Series drawn on a terminal: one small area plot each, with a scale and an axis of time.
//!
//! ```text
//! 10.1.0.5: peak 12.3 M, mean 4.1 M bit/s
//!    12.3 M ┤    ▂▇▄
//!           │  ▃▇███▆▁
//!           │▂█████████▅▁ ▁▁▂
//!         0 ┼┬───────────┬────
//!            10:00       11:00
//! ```
//!
//! No line is wider than asked for. Where there are more bins than columns, a column shows the
//! largest of its bins: a peak does not vanish because the terminal is narrow.

use crate::clock::{Clock, TimeZone};
use crate::digits::pad;
use crate::escape::push_text;
use crate::human::{push_scaled, push_scaled_right};
use crate::summary::push_fmt;

/// One series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlotSeries<'a> {
    /// What stands above it; may come from outside.
    pub name: &'a [u8],
    /// A value for each bin.
    pub values: &'a [u64],
}

/// How to draw series that share their bins.
#[derive(Clone, Copy, Debug)]
pub struct Plot<'a> {
    /// What the values count, as in `bit/s`.
    pub unit: &'a str,
    /// Start of the first bin, milliseconds since 1970.
    pub start_ms: u64,
    /// Width of a bin in milliseconds.
    pub bin_ms: u64,
    /// Columns of the terminal. Taken as 40 where it is less.
    pub width: usize,
    /// Lines of each area, 1 to 64.
    pub height: usize,
    /// Nothing but ASCII.
    pub ascii: bool,
    /// Zone of the times.
    pub time_zone: TimeZone,
}

/// Columns left of the area: a scaled number, a blank, the axis.
const MARGIN: usize = 10;
/// Columns of the largest scaled number that is shown, and a blank.
const SCALE: usize = 9;
/// Narrowest plot.
const NARROWEST: usize = 40;

/// What areas are drawn with.
struct Charset {
    /// From the lowest part of a cell to a full one.
    levels: &'static [&'static str],
    top: &'static str,
    side: &'static str,
    corner: &'static str,
    axis: &'static str,
    tick: &'static str,
}

const BLOCKS: Charset = Charset {
    levels: &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    top: "┤",
    side: "│",
    corner: "┼",
    axis: "─",
    tick: "┬",
};

const ASCII: Charset =
    Charset { levels: &[".", ":", "#"], top: "+", side: "|", corner: "+", axis: "-", tick: "+" };

impl Plot<'_> {
    /// Appends the plots of all series, one below the other.
    pub fn print(&self, series: &[PlotSeries<'_>], out: &mut Vec<u8>) {
        for (i, one) in series.iter().enumerate() {
            if i > 0 {
                out.push(b'\n');
            }
            self.one(one, out);
        }
    }

    fn width(&self) -> usize {
        self.width.max(NARROWEST)
    }

    fn one(&self, series: &PlotSeries<'_>, out: &mut Vec<u8>) {
        let chars = if self.ascii { &ASCII } else { &BLOCKS };
        let peak = series.values.iter().copied().max().unwrap_or(0);
        self.heading(series, peak, out);
        let grid = Grid::new(series.values.len(), self.width() - MARGIN - 1);
        let columns = grid.columns(series.values);
        let height = self.height.clamp(1, 64);
        for line in (0..height).rev() {
            let edge = if line + 1 == height { chars.top } else { chars.side };
            let at = out.len();
            if line + 1 == height {
                push_scaled_right(out, peak, false);
            }
            let short = SCALE.saturating_sub(out.len() - at);
            pad(out, short);
            if let Some(scale) = out.get_mut(at..) {
                scale.rotate_right(short.saturating_sub(1));
            }
            out.extend_from_slice(edge.as_bytes());
            area_line(&columns, peak, line, height, chars, out);
            out.push(b'\n');
        }
        self.time_axis(&grid, columns.len(), chars, out);
    }

    fn heading(&self, series: &PlotSeries<'_>, peak: u64, out: &mut Vec<u8>) {
        let sum: u128 = series.values.iter().map(|v| u128::from(*v)).sum();
        let mean = u64::try_from(sum / (series.values.len().max(1) as u128)).unwrap_or(u64::MAX);
        let mut line = Vec::new();
        push_text(&mut line, series.name);
        line.extend_from_slice(b": peak ");
        push_scaled(&mut line, peak, false);
        line.extend_from_slice(b", mean ");
        push_scaled(&mut line, mean, false);
        push_fmt(&mut line, format_args!(" {}", self.unit));
        let text = String::from_utf8_lossy(&line);
        let shown: String = text
            .chars()
            .map(|c| if self.ascii && !c.is_ascii() { '?' } else { c })
            .take(self.width())
            .collect();
        out.extend_from_slice(shown.as_bytes());
        out.push(b'\n');
    }

    /// The axis with its ticks, and the line of times below it.
    fn time_axis(&self, grid: &Grid, columns: usize, chars: &Charset, out: &mut Vec<u8>) {
        let mut clock = Clock::new(self.time_zone);
        let span = self.bin_ms.saturating_mul(grid.bins as u64);
        let mut label = |column: usize| {
            let bin = grid.bin_of(column) as u64;
            let ms = self.start_ms.saturating_add(self.bin_ms.saturating_mul(bin));
            let mut text = Vec::new();
            clock.push_seconds(&mut text, ms / 1000, b' ');
            let text = String::from_utf8_lossy(&text).into_owned();
            let part = match (self.bin_ms, span) {
                (86_400_000.., _) => text.get(..10),
                (_, 86_400_001..) => text.get(5..16),
                (..60_000, _) => text.get(11..19),
                _ => text.get(11..16),
            };
            part.map_or_else(|| text.clone(), str::to_owned)
        };
        // Ticks stand where a bin begins, far enough from each other for their times.
        let apart = (label(0).len() + 4).max(12).div_ceil(grid.repeat) * grid.repeat;
        let ticks: Vec<usize> = (0..columns).step_by(apart).collect();
        pad(out, SCALE - 2);
        out.extend_from_slice(b"0 ");
        out.extend_from_slice(chars.corner.as_bytes());
        for column in 0..columns {
            let mark = if ticks.binary_search(&column).is_ok() { chars.tick } else { chars.axis };
            out.extend_from_slice(mark.as_bytes());
        }
        out.push(b'\n');
        let mut line = String::new();
        for column in ticks {
            let text = label(column);
            if MARGIN + column + text.len() <= self.width() {
                let short = (MARGIN + column).saturating_sub(line.len());
                line.extend(std::iter::repeat_n(' ', short));
                line.push_str(&text);
            }
        }
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

/// Which bins a column stands for.
#[derive(Clone, Copy, Debug)]
struct Grid {
    bins: usize,
    /// Columns a bin takes, if there are more columns than bins.
    repeat: usize,
    /// Bins a column takes, if there are more bins than columns.
    group: usize,
}

impl Grid {
    fn new(bins: usize, room: usize) -> Self {
        let repeat = room.checked_div(bins).unwrap_or(1).clamp(1, 8);
        Self { bins, repeat, group: bins.div_ceil(room.max(1)).max(1) }
    }

    fn columns(&self, values: &[u64]) -> Vec<u64> {
        let largest = |group: &[u64]| group.iter().copied().max().unwrap_or(0);
        values
            .chunks(self.group)
            .flat_map(|group| std::iter::repeat_n(largest(group), self.repeat))
            .collect()
    }

    const fn bin_of(&self, column: usize) -> usize {
        column / self.repeat * self.group
    }
}

/// Line `line` of an area, 0 at the bottom. A value that is not 0 shows at least its lowest part.
fn area_line(
    columns: &[u64],
    peak: u64,
    line: usize,
    height: usize,
    chars: &Charset,
    out: &mut Vec<u8>,
) {
    let steps = chars.levels.len();
    let filled = columns.iter().rposition(|v| *v > 0).map_or(0, |last| last + 1);
    let mut blanks = 0;
    for value in columns.iter().take(filled) {
        let full = (height * steps) as u128;
        let level = u128::from(*value) * full;
        let level = level.div_ceil(u128::from(peak.max(1))) as usize;
        match level.saturating_sub(line * steps).min(steps).checked_sub(1) {
            None => blanks += 1,
            Some(n) => {
                pad(out, blanks);
                blanks = 0;
                out.extend_from_slice(chars.levels.get(n).unwrap_or(&"#").as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::TEN;

    fn plot(width: usize, ascii: bool) -> Plot<'static> {
        Plot {
            unit: "bit/s",
            start_ms: TEN,
            bin_ms: 300_000,
            width,
            height: 3,
            ascii,
            time_zone: TimeZone::Utc,
        }
    }

    fn text(plot: &Plot<'_>, values: &[u64], name: &[u8]) -> String {
        let mut out = Vec::new();
        plot.print(&[PlotSeries { name, values }], &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_area_with_scale_and_times() {
        let values = [0, 1, 500_000, 1_000_000, 3_000_000, 1_500_000];
        assert_eq!(
            text(&plot(40, true), &values, b"10.1.0.5"),
            "\
10.1.0.5: peak 3.0 M, mean 1.0 M bit/s
   3.0 M +                ####
         |                ####::::
         |    ....::::############
       0 ++-----------+-----------
          10:00       10:15
"
        );
        assert_eq!(
            text(&plot(40, false), &values, b"10.1.0.5"),
            "\
10.1.0.5: peak 3.0 M, mean 1.0 M bit/s
   3.0 M ┤                ████
         │                ████▄▄▄▄
         │    ▁▁▁▁▄▄▄▄████████████
       0 ┼┬───────────┬───────────
          10:00       10:15
"
        );
    }

    #[test]
    fn no_line_is_wider_than_asked_for() {
        for bins in [1usize, 2, 7, 68, 69, 70, 71, 288, 1000, 99_999] {
            let values: Vec<u64> = (0..bins as u64).map(|n| n * n % 977 * 100_000).collect();
            for (width, ascii) in [(40, true), (80, false), (80, true), (200, false)] {
                let plot = plot(width, ascii);
                let text = text(&plot, &values, "a long name \u{fc} ".repeat(20).as_bytes());
                assert_eq!(text.is_ascii(), ascii, "{bins} bins");
                for line in text.lines() {
                    assert!(line.chars().count() <= width, "{bins} bins in {width}: {line}");
                }
                assert_eq!(text.lines().count(), 1 + 3 + 2, "{text}");
            }
        }
    }

    #[test]
    fn peaks_do_not_vanish() {
        let mut values = vec![1; 5000];
        values[1234] = 1_000_000;
        let text = text(&plot(80, false), &values, b"x");
        assert_eq!(text.lines().nth(1).unwrap().matches('█').count(), 1, "{text}");
        assert_eq!(text.lines().nth(3).unwrap().matches('▁').count() + 1, 5000usize.div_ceil(73));
    }

    #[test]
    fn nothing_and_the_largest_numbers_are_drawn() {
        for values in [&[][..], &[0, 0], &[u64::MAX, u64::MAX, 0]] {
            let text = text(&plot(80, false), values, b"x\x1b[2J");
            assert!(text.starts_with("x\\x1b[2J: peak "), "{text}");
        }
    }
}
