//! Metrics as text: the format of Prometheus, version 0.0.4, or OpenMetrics 1.0.

use std::fmt::Write as _;

/// Which dialect is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text format 0.0.4, which everything reads.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What the answer says it is.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Never goes down; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Names and values of a sample's labels.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// The text as it grows. Labels are escaped; names are taken as they are.
#[derive(Clone, Debug)]
pub struct Text {
    out: String,
    format: Format,
}

impl Text {
    /// Nothing yet.
    pub const fn new(format: Format) -> Self {
        Self { out: String::new(), format }
    }

    /// All of it.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    /// Begins a metric; its samples follow. A counter is named without its `_total`.
    pub fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let (kind, suffix) = match (kind, self.format) {
            (Kind::Counter, Format::Prometheus) => ("counter", "_total"),
            (Kind::Counter, Format::OpenMetrics) => ("counter", ""),
            (Kind::Gauge, _) => ("gauge", ""),
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(self.out, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
    }

    /// Adds a sample of the metric that was begun last.
    pub fn sample(&mut self, name: &str, kind: Kind, labels: Labels<'_>, value: f64) {
        self.out.push_str(name);
        if kind == Kind::Counter {
            self.out.push_str("_total");
        }
        for (n, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.out, "{}{label}=\"", if n == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }

    /// A metric with all its samples.
    pub fn family<'a, const N: usize>(
        &mut self,
        (name, kind, help): (&str, Kind, &str),
        samples: impl IntoIterator<Item = ([(&'a str, &'a str); N], f64)>,
    ) {
        self.begin(name, kind, help);
        for (labels, value) in samples {
            self.sample(name, kind, &labels, value);
        }
    }

    /// A metric with one sample and no labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family((name, kind, help), [([], value)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    #[test]
    fn both_dialects_are_read_back() {
        let write = |format| {
            let mut text = Text::new(format);
            text.single("x_up", Kind::Gauge, "whether \\ it\nruns", 1.5);
            let odd = "a \"b\" \\ c\nd";
            text.family(
                ("x_seen", Kind::Counter, "all"),
                [([("who", odd)], 7.0), ([("who", "")], 0.0)],
            );
            text.finish()
        };
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let written = write(format);
            let families = parse(&written);
            let name = if format == Format::Prometheus { "x_seen_total" } else { "x_seen" };
            let odd = vec![("who".to_owned(), "a \"b\" \\ c\nd".to_owned())];
            assert_eq!(families[name].samples[&odd], 7.0);
            assert_eq!(families["x_up"].samples[&vec![]], 1.5);
            assert_eq!(families["x_up"].help, "whether \\\\ it\\nruns");
            assert_eq!(written.ends_with("# EOF\n"), format == Format::OpenMetrics);
        }
    }
}
