//! Drawings of results: a bar for each question, curves of growth. Plain SVG with a background of
//! its own, so that it can be read on a dark page and a light one.

use std::fmt::{Display, Write as _};

/// Colours of what stands for something, told apart also by those who see few colours.
pub(crate) const INKS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#8a4f9e"];
/// Of what is not met, or the rival's.
pub(crate) const GREY: &str = "#8c959f";
const TEXT: &str = "#1f2328";
const PAPER: &str = "#ffffff";
const GRID: &str = "#d8dee4";

/// A drawing that grows by elements; lengths are pixels.
pub(crate) struct Svg {
    body: String,
    width: f64,
    height: f64,
}

/// Where a text has its position.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(crate) const fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    pub(crate) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
        );
    }

    /// A line of the grid.
    pub(crate) fn grid(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.path(&[from, to], GRID, 1.0, "");
    }

    /// Straight lines from point to point; `dash` as SVG has it, empty for none.
    pub(crate) fn path(&mut self, points: &[(f64, f64)], stroke: &str, width: f64, dash: &str) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dash =
            if dash.is_empty() { String::new() } else { format!(r#" stroke-dasharray="{dash}""#) };
        let _ = writeln!(
            self.body,
            r#"<polyline points="{}" fill="none" stroke="{stroke}" stroke-width="{width}"{dash}/>"#,
            points.join(" ")
        );
    }

    pub(crate) fn dot(&mut self, (x, y): (f64, f64), fill: &str) {
        let _ = writeln!(self.body, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{fill}"/>"#);
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, text: impl Display) {
        self.styled((x, y), anchor, "", text);
    }

    pub(crate) fn title(&mut self, (x, y): (f64, f64), text: impl Display) {
        self.styled((x, y), Anchor::Start, r#" font-weight="bold""#, text);
    }

    fn styled(&mut self, (x, y): (f64, f64), anchor: Anchor, style: &str, text: impl Display) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(&text.to_string());
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}"{style}>{text}</text>"#
        );
    }

    /// The file. `about` is what is said to those who do not see it.
    pub(crate) fn file(self, about: &str) -> String {
        let Self { body, width, height } = self;
        let about = escaped(about);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="{TEXT}">
<title>{about}</title>
<rect width="{width}" height="{height}" rx="6" fill="{PAPER}"/>
{body}</svg>
"#
        )
    }
}

/// Text as XML has it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// A scale on which each factor has the same length.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Log {
    /// From `low` at the pixel `from` to `high` at `to`.
    pub(crate) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let low = low.max(1e-9);
        Self { low, high: high.max(low * 1.01), from, to }
    }

    /// The pixel of a value; values beyond an end are at that end.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.from + share.min(1.0) * (self.to - self.from)
    }

    /// Powers of ten within, and with `fine` also 2 and 5 times them.
    pub(crate) fn ticks(&self, fine: bool) -> Vec<f64> {
        let steps: &[f64] = if fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let all = (first..=last).flat_map(|e| steps.iter().map(move |s| s * 10f64.powi(e)));
        all.filter(|t| *t >= self.low * 0.999 && *t <= self.high * 1.001).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_have_the_same_length() {
        let scale = Log::new((0.5, 50.0), (100.0, 300.0));
        for (value, want) in [(0.5, 100.0), (5.0, 200.0), (50.0, 300.0), (0.0, 100.0), (1e9, 300.0)]
        {
            assert!((scale.at(value) - want).abs() < 1e-6, "{value}: {}", scale.at(value));
        }
        assert_eq!(scale.ticks(false), [1.0, 10.0]);
        assert_eq!(scale.ticks(true), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
    }

    #[test]
    fn what_xml_takes_for_its_own_is_escaped() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text((1.0, 2.0), Anchor::End, "a<b & \"c\"");
        let file = svg.file("x>y");
        assert!(file.contains(">a&lt;b &amp; &quot;c&quot;</text>"), "{file}");
        assert!(file.contains("<title>x&gt;y</title>"), "{file}");
    }
}
