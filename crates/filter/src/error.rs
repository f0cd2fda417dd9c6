//! Why a text is no filter: where, what, and what to write instead.

use crate::ast::Span;
use std::fmt;

/// Why a text is no filter.
///
/// [`Display`](fmt::Display) prints several lines: what is wrong, the line of the text with the
/// place marked, and a hint. [`nfdump_line`](Self::nfdump_line) is the one line that nfdump prints.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    span: Span,
    source: Option<String>,
    line: usize,
    column: usize,
    /// What the span covers, shortened.
    token: String,
    excerpt: Excerpt,
}

/// What is wrong with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something else should stand here.
    #[error("expected {wanted}, found {found}")]
    Syntax {
        /// What may stand here.
        wanted: String,
        /// What does.
        found: String,
        /// What to write instead, if that can be guessed.
        hint: Option<String>,
    },
    /// A number is larger than what it is compared to can be.
    #[error("`{what}` takes a number up to {max}")]
    OutOfRange {
        /// The primitive.
        what: &'static str,
        /// The largest number it takes.
        max: u64,
    },
    /// A number that needs more than 64 bits.
    #[error("this number needs more than 64 bits")]
    TooLarge,
    /// A word where a protocol, an event or a status belongs.
    #[error("unknown {what}")]
    UnknownName {
        /// What the names name.
        what: &'static str,
        /// The names that exist.
        names: Vec<&'static str>,
        /// The name that looks most like it.
        near: Option<&'static str>,
    },
    /// Letters that are no TCP flags.
    #[error("TCP flags are the letters F S R P A U E C, each once, or X for the first six")]
    Flags,
    /// Not an IPv4 or IPv6 address.
    #[error("not an IP address")]
    Address,
    /// A name where an address belongs, and nobody to look it up.
    #[error("host names are not looked up: use an address")]
    HostName,
    /// A name where only an address may stand.
    #[error("`{0}` takes an address, no host name")]
    AddressOnly(&'static str),
    /// A host name that has no address.
    #[error("cannot look up {name}: {why}")]
    LookUp {
        /// The name.
        name: String,
        /// Why not.
        why: String,
    },
    /// A file that the text names and that cannot be read.
    #[error("cannot include {file}: {why}")]
    Include {
        /// The file, as the text names it.
        file: String,
        /// Why not.
        why: String,
    },
    /// A bracket in a file that is a list.
    #[error("a file for `in @FILE` has the items of a list and no brackets")]
    Bracket,
    /// Not a country.
    #[error("a country is two letters, such as CH")]
    Country,
    /// Not a regular expression.
    #[error("not a regular expression: {0}")]
    Regex(String),
    /// Letters that are no flags of a regular expression.
    #[error("flags of a regular expression are i, m and s")]
    RegexFlags,
    /// A prefix length or mask that does not suit its address.
    #[error("{0}")]
    Prefix(&'static str),
    /// Not a MAC address.
    #[error("{0}")]
    Mac(&'static str),
    /// Not a JA3 fingerprint.
    #[error("a JA3 fingerprint is 32 hexadecimal digits")]
    Ja3,
    /// Not a JA4 fingerprint.
    #[error("a JA4 fingerprint looks like t13d1516h2_8daaf6152771_e5627efa2ab1")]
    Ja4,
    /// Not a time.
    #[error("not a time: {0}")]
    Time(&'static str),
    /// A part of the language that this version lacks.
    #[error("{0} is not supported by this version")]
    Unsupported(&'static str),
    /// A quote without its counterpart on the same line.
    #[error("the quote is not closed on this line")]
    OpenQuote,
    /// The text is longer than [`MAX_TEXT`](crate::MAX_TEXT).
    #[error("a filter has at most {max} octets, this one has {0}", max = crate::MAX_TEXT)]
    TextTooLong(usize),
    /// An operand is longer than its field.
    #[error("`{what}` takes at most {max} characters")]
    OperandTooLong {
        /// The primitive.
        what: &'static str,
        /// Octets it takes.
        max: u32,
    },
    /// Parentheses and `not` are nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("nested deeper than {} levels", crate::MAX_DEPTH)]
    TooDeep,
    /// A list has more than [`MAX_LIST`](crate::MAX_LIST) items.
    #[error("a list has at most {} items", crate::MAX_LIST)]
    ListTooLong,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, span: Span, text: &str, source: Option<&str>) -> Self {
        let start = floor(text, span.start as usize);
        let end = floor(text, span.end as usize).max(start);
        let before = text.get(..start).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let inner = Inner {
            kind,
            span,
            source: source.map(str::to_owned),
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            token: shorten(text.get(start..end).unwrap_or("")),
            excerpt: Excerpt::new(&text[line_start..], start - line_start, end - start),
        };
        Self(Box::new(inner))
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether a file that the text names could not be read, for which nfdump ends with status 255
    /// instead of 254.
    pub fn is_include(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Include { .. })
    }

    /// Where, in octets of the text or of the file it came from.
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// The line it begins on, from 1.
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The character of the line it begins at, from 1.
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// The one line that nfdump prints: `Line 1: syntax error at 'eq'`, or
    /// `File 'NAME' line 3: ...` if the text has a source or stands in an included file.
    pub fn nfdump_line(&self) -> String {
        let Inner { kind, source, line, token, .. } = &*self.0;
        let place = match source {
            Some(name) => format!("File '{name}' line {line}"),
            None => format!("Line {line}"),
        };
        match kind {
            ErrorKind::Syntax { .. } | ErrorKind::Bracket => {
                format!("{place}: syntax error at '{token}'")
            }
            ErrorKind::Address
            | ErrorKind::HostName
            | ErrorKind::AddressOnly(_)
            | ErrorKind::LookUp { .. } => {
                format!("{place}: Can not parse/lookup {token} to an IP address at '{token}'")
            }
            ErrorKind::Include { file, why } => {
                format!(
                    "Failed to open include file '{}': {}",
                    shorten(file),
                    why.replace(char::is_control, " ")
                )
            }
            other => format!("{place}: {other} at '{token}'"),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, source, line, column, excerpt, .. } = &*self.0;
        let number = line.to_string();
        let margin = number.len();
        writeln!(f, "filter: {kind}")?;
        match source {
            Some(name) => writeln!(f, "{:margin$}--> {name}:{line}:{column}", "")?,
            None => writeln!(f, "{:margin$}--> line {line}, column {column}", "")?,
        }
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{number} | {}", excerpt.text)?;
        let marks = "^".repeat(excerpt.width);
        write!(f, "{:margin$} | {:indent$}{marks}", "", "", indent = excerpt.indent)?;
        match kind {
            ErrorKind::Syntax { hint: Some(hint), .. } => write!(f, "\n{:margin$} = {hint}", ""),
            ErrorKind::UnknownName { names, near, .. } => {
                if let Some(near) = near {
                    let quote = if is_word(near) { "" } else { "\"" };
                    write!(f, "\n{:margin$} = did you mean `{quote}{near}{quote}`?", "")?;
                }
                write_names(f, names, margin)
            }
            _ => Ok(()),
        }
    }
}

/// Whether a name can stand in a filter without quotes.
pub(crate) fn is_word(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:.-".contains(&b))
}

/// Names in lines of less than 100 columns.
fn write_names(f: &mut fmt::Formatter<'_>, names: &[&str], margin: usize) -> fmt::Result {
    let mut column = usize::MAX;
    for (i, name) in names.iter().enumerate() {
        if column.saturating_add(name.len()) > 90 {
            let head = if i == 0 { "= known:" } else { "        " };
            write!(f, "\n{:margin$} {head}", "")?;
            column = margin + head.len();
        }
        write!(f, " {name}")?;
        column += name.len() + 1;
    }
    Ok(())
}

/// The part of a line around a span, fit to be printed on a terminal.
#[derive(Clone, Debug)]
struct Excerpt {
    text: String,
    /// Characters before the marks.
    indent: usize,
    /// How many marks.
    width: usize,
}

impl Excerpt {
    /// Characters shown before the span, and all in all.
    const BEFORE: usize = 60;
    const MAX: usize = 100;

    /// `rest` begins with the line; the span is `len` octets at `at`.
    fn new(rest: &str, at: usize, len: usize) -> Self {
        let line = rest.split(['\n', '\r']).next().unwrap_or("");
        let at = at.min(line.len());
        let from = line[..at].char_indices().rev().nth(Self::BEFORE - 1).map_or(0, |(i, _)| i);
        let indent = line[from..at].chars().count();
        let marked = line[at..floor(line, at + len)].chars().count();
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let text = line[from..].chars().take(Self::MAX).map(printable).collect();
        Self { text, indent, width: marked.clamp(1, Self::MAX - indent) }
    }
}

/// The beginning of a token that may be megabytes long, without control characters.
pub(crate) fn shorten(token: &str) -> String {
    let mut out: String = token.chars().filter(|c| !c.is_control()).take(40).collect();
    if out.len() < token.len() && token.chars().nth(40).is_some() {
        out.push_str("...");
    }
    out
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str, start: u32, end: u32, source: Option<&str>) -> Error {
        let hint = Some("did you mean `src port`?".to_owned());
        let kind =
            ErrorKind::Syntax { wanted: "a primitive".into(), found: "`sport`".into(), hint };
        Error::new(kind, Span { start, end }, text, source)
    }

    #[test]
    fn points_at_the_place() {
        let e = error("any and\n  sport 80", 10, 15, None);
        assert_eq!((e.line(), e.column()), (2, 3));
        let want = "\
filter: expected a primitive, found `sport`
 --> line 2, column 3
  |
2 |   sport 80
  |   ^^^^^
  = did you mean `src port`?";
        assert_eq!(e.to_string(), want);
        assert_eq!(e.nfdump_line(), "Line 2: syntax error at 'sport'");
        let e = error("sport", 5, 5, Some("list"));
        assert_eq!(e.nfdump_line(), "File 'list' line 1: syntax error at ''");
        assert!(e.to_string().contains("\n --> list:1:6\n"), "{e}");
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}here{}", "ü ".repeat(500), " x".repeat(500));
        let at = text.find("here").unwrap() as u32;
        let e = error(&text, at, at + 4, None);
        let shown = e.to_string();
        let lines: Vec<_> = shown.lines().collect();
        let marks = lines[4].find('^').unwrap();
        assert_eq!(lines[3].chars().skip(marks).take(4).collect::<String>(), "here");
        assert!(lines[3].chars().count() < 110);
        let e = error(&text, 0, text.len() as u32, None);
        assert!(e.nfdump_line().len() < 100);
    }

    #[test]
    fn any_span_can_be_shown() {
        let text = "ä\tb\n\nü";
        for start in 0..12 {
            for end in 0..12 {
                assert!(error(text, start, end, None).to_string().contains('^'));
            }
        }
    }
}
