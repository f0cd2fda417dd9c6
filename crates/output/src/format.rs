//! The format language: what `-o` names, and what a `fmt:` or `csv:` text means.
//!
//! A format is parsed once into a list of columns and literals. Each worker then takes a
//! [`Printer`](crate::Printer) of it.

use crate::clock::TimeZone;
use crate::column::{self, Cell, TOKENS, Token, bits};
use crate::names::{PORT_ROOM, Services};
use flowtools::{Columns, UnknownColumn};
use record::Field;
use std::sync::Arc;

/// How values are shown, whatever the format.
#[derive(Clone, Copy, Debug, Default)]
pub struct FormatOptions {
    /// `-6`: IPv6 addresses in full, in columns of 39.
    pub ipv6_wide: bool,
    /// `-N`: plain numbers instead of scaled ones, protocol and event numbers, durations in
    /// seconds.
    pub plain_numbers: bool,
    /// `-q`: no header line over text. CSV keeps its header: it belongs to the data.
    pub quiet: bool,
    /// Zone of all times that are not said to be universal.
    pub time_zone: TimeZone,
    /// Names where machines are otherwise told numbers: protocols in CSV and JSON, and ports
    /// everywhere if the format knows their names ([`Format::with_services`]). A column of JSON that
    /// shows names is text for every value.
    pub names: bool,
    /// Text with colours (SGR escapes of ECMA-48) around headers, and in tables around the column
    /// they are ordered by. Never in CSV and JSON.
    pub colour: bool,
}

/// What kind of output a format makes. It decides about the summary and the form of statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Columns for people.
    Text,
    /// Comma-separated values with a header line.
    Csv,
    /// Comma-separated values of fixed columns, times in milliseconds.
    CsvFast,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// One block of lines a record.
    Raw,
    /// Lines of `flow-export -f 2` with these columns, below a line of their names that begins with
    /// `#:`.
    FlowTools(Columns),
    /// Lines of `flowdumper -s`.
    Flowdumper,
    /// No records; the summary only.
    Null,
}

impl Kind {
    /// What the kind is called, in schemas for one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Csv => "csv",
            Self::CsvFast => "csv-fast",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Raw => "raw",
            Self::FlowTools(_) => "flow-tools",
            Self::Flowdumper => "flowdumper",
            Self::Null => "null",
        }
    }

    /// Whether the summary lines follow the records.
    pub const fn has_summary(self) -> bool {
        matches!(self, Self::Text | Self::Null)
    }

    /// Whether `No matching flows` is said where there are none. Never where a program reads.
    pub const fn says_no_match(self) -> bool {
        matches!(self, Self::Text | Self::Raw | Self::Null)
    }

    /// Opens the document: the bracket of a JSON array, else nothing.
    pub fn open(self, out: &mut Vec<u8>) {
        if self == Self::Json {
            out.push(b'[');
        }
    }

    /// What stands between two records, or two lines of statistics: the comma of JSON, else
    /// nothing.
    #[inline]
    pub fn separator(self, out: &mut Vec<u8>) {
        if self == Self::Json {
            out.push(b',');
        }
    }

    /// Closes what [`open`](Self::open) opened. `[` and `]` around nothing is an empty array.
    pub fn close(self, out: &mut Vec<u8>) {
        if self == Self::Json {
            out.extend_from_slice(b"\n]\n");
        }
    }
}

/// A format that the configuration defines.
#[derive(Clone, Debug)]
pub struct UserFormat {
    /// Name after `-o`. Goes before a built-in format of the same name.
    pub name: String,
    /// Whether it is a list for `csv:` rather than one for `fmt:`.
    pub csv: bool,
    /// Text of the format.
    pub spec: String,
}

/// A parsed format.
#[derive(Clone, Debug)]
pub struct Format {
    pub(crate) kind: Kind,
    pub(crate) options: FormatOptions,
    pub(crate) ops: Arc<[Op]>,
    /// Whether the user wrote the columns out, rather than naming a format.
    pub(crate) is_spelt_out: bool,
    services: Option<Arc<Services>>,
}

/// One step of a line.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Literal(Box<[u8]>),
    Column(&'static Token),
}

/// Why a format is refused. [`known`](Self::known) lists what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// `-o` names no format.
    #[error("Unknown output mode '{name}'")]
    UnknownFormat {
        /// What was given.
        name: String,
    },
    /// A `%` is followed by no token, or by one that CSV does not have.
    #[error("Output format parse error at: {rest}")]
    UnknownToken {
        /// The text from the `%` on.
        rest: String,
        /// Offset of the `%` in the text of the format, in octets.
        at: usize,
        /// Whether the text is that of a `csv:` format.
        csv: bool,
    },
    /// Something other than a comma follows a token of a `csv:` format.
    #[error("Expected ',' separator, but found {found}")]
    ExpectedComma {
        /// What follows.
        found: char,
        /// Its offset in the text of the format, in octets.
        at: usize,
    },
    /// A comma of a `csv:` format is not followed by a token.
    #[error("Expected '%' token, but found {found}")]
    ExpectedToken {
        /// What follows the comma, or `<end of string>`.
        found: String,
        /// Its offset in the text of the format, in octets.
        at: usize,
    },
    /// `flow-tools:` is followed by neither a mask nor names of columns.
    #[error(transparent)]
    Columns(#[from] UnknownColumn),
    /// A `csv:` format without tokens.
    #[error("Empty csv token string")]
    Empty,
    /// A token that says nothing about a row of a table of sums.
    #[error("%{token} has no meaning in a table of {element}; its columns are {known}")]
    NotInTable {
        /// The token without its `%`.
        token: &'static str,
        /// Name of the statistic.
        element: String,
        /// Tokens that would do.
        known: String,
    },
    /// Formats of the configuration that use each other in a circle, or expand to too much.
    #[error(
        "Output format is too large at '%{name}': formats that use each other in a circle, or more than {MAX_OPS} columns"
    )]
    TooLarge {
        /// The format or token that was one too many.
        name: String,
    },
}

/// Columns and literals that a format may have. More than all tokens tenfold.
const MAX_OPS: usize = 2000;
/// How deep formats of the configuration may name one another.
const MAX_DEPTH: usize = 8;

/// Built-in formats: name, kind, text.
const FORMATS: &[(&str, Kind, &str)] = &[
    ("raw", Kind::Raw, ""),
    ("line", Kind::Text, "%ts %td %pr %sap -> %dap %pkt %byt %fl"),
    ("gline", Kind::Text, "%ts %td %pr %gsap -> %gdap %pkt %byt %fl"),
    ("long", Kind::Text, "%ts %td %pr %sap -> %dap %flg %tos %pkt %byt %fl"),
    ("glong", Kind::Text, "%ts %td %pr %gsap -> %gdap %flg %tos %pkt %byt %fl"),
    ("extended", Kind::Text, "%ts %td %pr %sap -> %dap %flg %tos %pkt %byt %pps %bps %bpp %fl"),
    ("biline", Kind::Text, "%ts %td %pr %sap <-> %dap %opkt %ipkt %obyt %ibyt %fl"),
    ("bilong", Kind::Text, "%ts %td %pr %sap <-> %dap %flg %tos %opkt %ipkt %obyt %ibyt %fl"),
    ("nsel", Kind::Text, "%ts %evt %xevt %pr %sap -> %dap %xsap -> %xdap %ibyt %obyt"),
    ("nat", Kind::Text, "%ts %evt %pr %sap -> %dap %nsap -> %ndap"),
    ("json", Kind::Json, ""),
    ("ndjson", Kind::Ndjson, ""),
    ("csv", Kind::Csv, "%ts,%td,%pr,%sa,%sp,%da,%dp,%pkt,%byt,%fl"),
    ("csv-fast", Kind::CsvFast, ""),
    ("flow-tools", Kind::FlowTools(Columns::V5), ""),
    ("flowdumper", Kind::Flowdumper, ""),
    ("null", Kind::Null, ""),
];

impl Format {
    /// Parses the argument of `-o`: the name of a format, with `6` behind it for wide addresses,
    /// or `fmt:` or `csv:` and a text, or a text that begins with `%`, or `flow-tools:` and a mask or
    /// names of columns.
    pub fn parse(spec: &str, options: &FormatOptions) -> Result<Self, FormatError> {
        Self::parse_with(spec, &[], options)
    }

    /// As [`parse`](Self::parse), with the formats of the configuration.
    pub fn parse_with(
        spec: &str,
        user: &[UserFormat],
        options: &FormatOptions,
    ) -> Result<Self, FormatError> {
        if let Some(text) = strip_prefix_ignore_case(spec, "fmt:") {
            return Ok(Self::text(text, user, options)?.spelt_out());
        }
        if let Some(text) = strip_prefix_ignore_case(spec, "csv:") {
            return Ok(Self::csv(text, user, options)?.spelt_out());
        }
        if let Some(text) = strip_prefix_ignore_case(spec, "flow-tools:") {
            return Ok(Self::new(Kind::FlowTools(text.parse()?), Vec::new(), options));
        }
        if spec.starts_with('%') {
            return Ok(Self::text(spec, user, options)?.spelt_out());
        }
        let wide = || {
            let name = spec.strip_suffix('6')?;
            Some((lookup(name, user)?, FormatOptions { ipv6_wide: true, ..*options }))
        };
        let found = lookup(spec, user).map(|found| (found, *options)).or_else(wide);
        let Some(((kind, text), options)) = found else {
            return Err(FormatError::UnknownFormat { name: spec.to_string() });
        };
        match kind {
            Kind::Text => Self::text(text, user, &options),
            Kind::Csv => Self::csv(text, user, &options),
            _ => Ok(Self::new(kind, Vec::new(), &options)),
        }
    }

    fn new(kind: Kind, ops: Vec<Op>, options: &FormatOptions) -> Self {
        Self { kind, options: *options, ops: ops.into(), is_spelt_out: false, services: None }
    }

    fn spelt_out(self) -> Self {
        Self { is_spelt_out: true, ..self }
    }

    /// The format that is meant where none is named: one with countries if they are known
    /// ([`AddressBook::has_countries`](record::AddressBook::has_countries)).
    pub const fn default_name(has_countries: bool) -> &'static str {
        if has_countries { "gline" } else { "line" }
    }

    /// The same format with names for ports. They are shown if [`FormatOptions::names`] is set.
    #[must_use]
    pub fn with_services(self, services: Arc<Services>) -> Self {
        Self { services: Some(services), ..self }
    }

    /// Names for ports, if they are to be shown.
    #[inline]
    pub(crate) fn services(&self) -> Option<&Services> {
        self.services.as_deref().filter(|_| self.options.names)
    }

    /// The format that lists use after an aggregation: times, the tokens of the key (without their
    /// `%`), counters. In text two blanks set the key apart.
    pub fn for_aggregation(
        key: &[&str],
        csv: bool,
        options: &FormatOptions,
    ) -> Result<Self, FormatError> {
        let (between, spec) = if csv { (",", "%ts,%td") } else { (" ", "%ts %td ") };
        let mut spec = spec.to_string();
        for token in key {
            spec.extend([between, "%", token]);
        }
        if !csv {
            spec.push(' ');
        }
        for token in ["pkt", "byt", "bps", "bpp", "fl"] {
            spec.extend([between, "%", token]);
        }
        if csv { Self::csv(&spec, &[], options) } else { Self::text(&spec, &[], options) }
    }

    /// What kind of output it makes.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// How it shows values. A `6` behind the name of the format has set
    /// [`ipv6_wide`](FormatOptions::ipv6_wide).
    pub const fn options(&self) -> &FormatOptions {
        &self.options
    }

    /// Bits (`field as usize`) of the fields that it may read of a record: all of them where it
    /// prints what there is.
    pub fn fields(&self) -> u128 {
        match self.kind {
            Kind::Text | Kind::Csv => {}
            Kind::Null => return 0,
            _ => return u128::MAX,
        }
        // Columns look at more than they show: at the protocol for ports, at what an event is.
        let usual = (1u128 << (Field::DstAddr as u32 + 1)) - 1;
        let events = [Field::FwEvent, Field::NatEvent, Field::SrcMask, Field::DstMask];
        self.ops.iter().fold(usual | bits(&events), |all, op| match op {
            Op::Column(token) => all | token.cell.bits(),
            Op::Literal(_) => all,
        })
    }

    /// Names of the tokens it prints, in order; none for fixed formats.
    pub fn tokens(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.ops.iter().filter_map(|op| match op {
            Op::Column(token) => Some(token.name),
            Op::Literal(_) => None,
        })
    }

    /// The fields of a record that it shows, each once, with those that its rates and durations
    /// are made of. `None` if it shows whatever a record has.
    pub fn shown_fields(&self) -> Option<Vec<Field>> {
        use Field::{Bytes, DstMask, First, Flows, Last, Packets, Proto, SrcMask};
        if !matches!(self.kind, Kind::Text | Kind::Csv) {
            return None;
        }
        let of = |op: &Op| match op {
            // What a cell reads besides what it is about.
            Op::Column(token) => {
                token.cell.bits()
                    | match token.cell {
                        Cell::Flows => bits(&[Flows]),
                        Cell::BitRate | Cell::PacketRate => bits(&[Packets, Bytes, First, Last]),
                        Cell::DstPort | Cell::AddrPort(..) | Cell::GeoAddrPort(..) => {
                            bits(&[Proto])
                        }
                        Cell::Net(..) => bits(&[SrcMask, DstMask]),
                        _ => 0,
                    }
            }
            Op::Literal(_) => 0,
        };
        let shown = self.ops.iter().fold(0, |all, op| all | of(op));
        let is_shown = |f: &Field| shown >> *f as u32 & 1 == 1;
        Some(Field::ALL.iter().copied().filter(is_shown).collect())
    }

    fn text(spec: &str, user: &[UserFormat], options: &FormatOptions) -> Result<Self, FormatError> {
        let mut ops = Vec::new();
        parse_text(spec, user, 0, &mut ops)?;
        Ok(Self::new(Kind::Text, ops, options))
    }

    fn csv(spec: &str, user: &[UserFormat], options: &FormatOptions) -> Result<Self, FormatError> {
        let mut ops = Vec::new();
        parse_csv(spec, user, 0, &mut ops)?;
        Ok(Self::new(Kind::Csv, ops, options))
    }
}

impl FormatError {
    /// What would have been right, one line after the other: the formats or the tokens.
    pub fn known(&self) -> String {
        match self {
            Self::UnknownFormat { .. } => known_formats(&[]),
            Self::UnknownToken { csv, .. } => known_tokens(*csv),
            _ => String::new(),
        }
    }
}

/// A list of the formats that [`Format::parse_with`] knows, one a line.
pub fn known_formats(user: &[UserFormat]) -> String {
    let mut text = "Available output formats:\n".to_string();
    let mut line = |name: &str, kind: &str, spec: &str| {
        text.push_str(format!("{name:>10} : {kind} {spec}").trim_end());
        text.push('\n');
    };
    for (name, kind, spec) in FORMATS {
        let kind = match kind {
            Kind::Text => "fmt",
            Kind::Csv => "csv",
            Kind::CsvFast => "csv, fixed columns, quick to print",
            Kind::Json => "json, one array",
            Kind::Ndjson => "json, one object a line",
            Kind::Raw => "all of a record, one value a line",
            Kind::FlowTools(_) => "lines of flow-export -f2; flow-tools:MASK or names of columns",
            Kind::Flowdumper => "lines of flowdumper -s",
            Kind::Null => "no records, summary only",
        };
        line(name, kind, spec);
    }
    for format in user {
        line(&format.name, if format.csv { "csv" } else { "fmt" }, &format.spec);
    }
    text
}

fn known_tokens(csv: bool) -> String {
    let kind = if csv { "csv" } else { "fmt" };
    let mut text = format!("Available {kind} format elements:");
    let known = TOKENS.iter().filter(|t| !csv || !t.csv.is_empty());
    for (i, token) in known.enumerate() {
        text.push_str(if i % 16 == 0 { "\n%" } else { " %" });
        text.push_str(token.name);
    }
    text.push('\n');
    text
}

fn lookup<'a>(name: &str, user: &'a [UserFormat]) -> Option<(Kind, &'a str)> {
    let kind = |csv| if csv { Kind::Csv } else { Kind::Text };
    user.iter()
        .find(|u| u.name.eq_ignore_ascii_case(name))
        .map(|u| (kind(u.csv), u.spec.as_str()))
        .or_else(|| FORMATS.iter().find(|f| f.0.eq_ignore_ascii_case(name)).map(|f| (f.1, f.2)))
}

fn parse_text(
    spec: &str,
    user: &[UserFormat],
    depth: usize,
    ops: &mut Vec<Op>,
) -> Result<(), FormatError> {
    let mut at = 0;
    while at < spec.len() {
        let rest = &spec[at..];
        let Some(after) = rest.strip_prefix('%') else {
            let len = rest.find('%').unwrap_or(rest.len());
            ops.push(Op::Literal(rest.as_bytes()[..len].into()));
            at += len;
            continue;
        };
        let word = leading_word(after);
        if let Some(token) = column::find(word) {
            ops.push(Op::Column(token));
        } else if let Some((Kind::Text | Kind::Csv, inner)) = lookup(word, user) {
            check_room(word, depth, ops)?;
            parse_text(inner, user, depth + 1, ops)?;
        } else {
            return Err(FormatError::UnknownToken { rest: rest.to_string(), at, csv: false });
        }
        check_room(word, 0, ops)?;
        at += 1 + word.len();
    }
    Ok(())
}

fn parse_csv(
    spec: &str,
    user: &[UserFormat],
    depth: usize,
    ops: &mut Vec<Op>,
) -> Result<(), FormatError> {
    let mut at = spec.len() - spec.trim_start_matches(' ').len();
    if at == spec.len() {
        return Err(FormatError::Empty);
    }
    while at < spec.len() {
        let rest = &spec[at..];
        let Some(after) = rest.strip_prefix('%') else {
            at = csv_separator(spec, at)?;
            continue;
        };
        let word = leading_word(after);
        if let Some(token) = column::find(word).filter(|t| !t.csv.is_empty()) {
            ops.push(Op::Column(token));
        } else if let Some((Kind::Csv, inner)) = lookup(word, user) {
            check_room(word, depth, ops)?;
            parse_csv(inner, user, depth + 1, ops)?;
        } else {
            return Err(FormatError::UnknownToken { rest: rest.to_string(), at, csv: true });
        }
        check_room(word, 0, ops)?;
        at += 1 + word.len();
    }
    Ok(())
}

/// Skips blanks, a comma and blanks at `at`. Returns where the next token begins, or the end if
/// only blanks were left.
fn csv_separator(spec: &str, at: usize) -> Result<usize, FormatError> {
    let skip_blanks = |at: usize| {
        let rest = spec.get(at..).unwrap_or("");
        at + rest.len() - rest.trim_start_matches(' ').len()
    };
    let at = skip_blanks(at);
    match spec.get(at..).and_then(|rest| rest.chars().next()) {
        None => return Ok(at),
        Some(',') => {}
        Some(found) => return Err(FormatError::ExpectedComma { found, at }),
    }
    let at = skip_blanks(at + 1);
    let rest = spec.get(at..).unwrap_or("");
    if rest.starts_with('%') {
        return Ok(at);
    }
    let found = if rest.is_empty() { "<end of string>" } else { rest };
    Err(FormatError::ExpectedToken { found: found.to_string(), at })
}

/// The letters and digits that a text begins with: a token must be all of them.
fn leading_word(text: &str) -> &str {
    let len = text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    &text[..len]
}

fn check_room(name: &str, depth: usize, ops: &[Op]) -> Result<(), FormatError> {
    if depth >= MAX_DEPTH || ops.len() > MAX_OPS {
        return Err(FormatError::TooLarge { name: name.to_string() });
    }
    Ok(())
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// The header line over the columns, without its line end.
pub(crate) fn header(format: &Format, out: &mut Vec<u8>) {
    for (i, op) in format.ops.iter().enumerate() {
        match (op, format.kind) {
            (Op::Column(token), Kind::Csv) => {
                if i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(token.csv.as_bytes());
            }
            (Op::Column(token), _) => {
                if token.wide && format.options.ipv6_wide {
                    crate::digits::pad(out, 23);
                }
                let has_services = format.services().is_some();
                let (before, behind) = match token.cell {
                    Cell::NewLine => continue,
                    Cell::Port(_) | Cell::DstPort if has_services => (PORT_ROOM - 6, 0),
                    Cell::AddrPort(..) | Cell::GeoAddrPort(..) if has_services => {
                        (0, PORT_ROOM - 5)
                    }
                    _ => (0, 0),
                };
                crate::digits::pad(out, before);
                out.extend_from_slice(token.header.as_bytes());
                crate::digits::pad(out, behind);
            }
            // A literal has nothing to say in the header but keeps its room.
            (Op::Literal(text), _) => {
                let columns = String::from_utf8_lossy(text).chars().count();
                crate::digits::pad(out, columns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> FormatOptions {
        FormatOptions { time_zone: TimeZone::Utc, ..FormatOptions::default() }
    }

    fn header_of(format: &Format) -> String {
        let mut out = Vec::new();
        header(format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_suffixes_and_prefixes() {
        for (spec, kind, wide, columns) in [
            ("line", Kind::Text, false, 8),
            ("LINE6", Kind::Text, true, 8),
            ("extended6", Kind::Text, true, 13),
            ("nat", Kind::Text, false, 7),
            ("csv", Kind::Csv, false, 10),
            ("CSV-fast", Kind::CsvFast, false, 0),
            ("json", Kind::Json, false, 0),
            ("ndjson", Kind::Ndjson, false, 0),
            ("raw", Kind::Raw, false, 0),
            ("null", Kind::Null, false, 0),
            ("Flow-Tools", Kind::FlowTools(Columns::V5), false, 0),
            ("flow-tools:0xFF31EF", Kind::FlowTools(Columns::V1), false, 0),
            ("flowdumper", Kind::Flowdumper, false, 0),
            ("fmt:%sa", Kind::Text, false, 1),
            ("FMT:%sa->%da", Kind::Text, false, 2),
            ("%sa,%da", Kind::Text, false, 2),
            ("csv:%sa, %da ", Kind::Csv, false, 2),
            ("fmt:%line %flg", Kind::Text, false, 9),
            ("csv:%csv,%flg", Kind::Csv, false, 11),
            ("fmt:", Kind::Text, false, 0),
        ] {
            let format = Format::parse(spec, &options()).unwrap();
            assert_eq!(format.kind(), kind, "{spec}");
            assert_eq!(format.options().ipv6_wide, wide, "{spec}");
            assert_eq!(format.tokens().count(), columns, "{spec}");
        }
    }

    #[test]
    fn every_token_can_be_asked_for() {
        for token in TOKENS {
            let format = Format::parse(&format!("fmt:%{}", token.name), &options()).unwrap();
            assert_eq!(header_of(&format), token.header, "%{}", token.name);
            let csv = Format::parse(&format!("csv:%{}", token.name), &options());
            assert_eq!(csv.is_ok(), !token.csv.is_empty(), "%{}", token.name);
        }
    }

    #[test]
    fn countries_change_the_default() {
        for (has_countries, want) in [(true, "gline"), (false, "line")] {
            assert_eq!(Format::default_name(has_countries), want);
            assert!(Format::parse(want, &options()).is_ok());
        }
    }

    #[test]
    fn errors_say_where_and_what_instead() {
        for (spec, message, known) in [
            ("lin", "Unknown output mode 'lin'", "  extended : fmt %ts"),
            ("6", "Unknown output mode '6'", "ndjson"),
            ("", "Unknown output mode ''", "ndjson"),
            ("fmt:%ts %tsx %td", "Output format parse error at: %tsx %td", "%ts %tsr"),
            ("fmt:100%%", "Output format parse error at: %%", "%frag"),
            ("csv:%ts,%sap", "Output format parse error at: %sap", "csv format elements"),
            ("csv:%ts;%td", "Expected ',' separator, but found ;", ""),
            ("csv:%ts,x", "Expected '%' token, but found x", ""),
            ("csv:%ts, ", "Expected '%' token, but found <end of string>", ""),
            ("csv:  ", "Empty csv token string", ""),
            (
                "flow-tools:unix_secs,nosuch",
                "'nosuch' is no column of flow-export: a mask as 0xFF31EF, or names out of \
                 unix_secs, unix_nsecs, sysuptime, exaddr, dflows, dpkts, doctets, first, last, \
                 engine_type, engine_id, srcaddr, dstaddr, nexthop, input, output, srcport, \
                 dstport, prot, tos, tcp_flags, src_mask, dst_mask, src_as, dst_as, in_encaps, \
                 out_encaps, peer_nexthop, router_sc, extra_pkts, marked_tos, src_tag, dst_tag",
                "",
            ),
        ] {
            let error = Format::parse(spec, &options()).unwrap_err();
            assert_eq!(error.to_string(), message, "{spec}");
            assert!(error.known().contains(known), "{spec}: {}", error.known());
        }
        let error = Format::parse("fmt:%ts %tsx", &options()).unwrap_err();
        assert!(matches!(error, FormatError::UnknownToken { at: 4, .. }), "{error:?}");
    }

    #[test]
    fn formats_of_the_configuration() {
        let user = |name: &str, csv, spec: &str| UserFormat {
            name: name.to_string(),
            csv,
            spec: spec.to_string(),
        };
        let table = [
            user("mine", false, "%ts %peers"),
            user("peers", false, "%sa %da"),
            user("line", false, "%pkt"),
            user("loop", false, "%loop %ts"),
            user("double", false, "%double1 %double1"),
            user("bare", true, "%sa,%da"),
            user("v6", false, "%sa"),
        ];
        let tokens = |spec: &str| {
            let format = Format::parse_with(spec, &table, &options())?;
            Ok::<_, FormatError>(format.tokens().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(tokens("mine").unwrap(), "ts sa da");
        assert_eq!(tokens("line").unwrap(), "pkt");
        assert_eq!(tokens("mine6").unwrap(), "ts sa da");
        assert_eq!(tokens("v6").unwrap(), "sa");
        assert_eq!(tokens("csv:%bare,%pkt").unwrap(), "sa da pkt");
        assert!(matches!(tokens("loop"), Err(FormatError::TooLarge { .. })));
        assert!(matches!(tokens("double"), Err(FormatError::UnknownToken { .. })));
        let bomb: Vec<_> = (0..7)
            .map(|n| user(&format!("b{n}"), false, &format!("%b{} ", n + 1).repeat(9)))
            .chain([user("b7", false, "%ts")])
            .collect();
        let error = Format::parse_with("b0", &bomb, &options()).unwrap_err();
        assert!(matches!(error, FormatError::TooLarge { .. }));
    }

    #[test]
    fn headers_of_lists() {
        for (spec, want) in [
            (
                "line",
                "Date first seen         Duration         Proto      Src IP Addr:Port          Dst IP Addr:Port   Packets    Bytes Flows",
            ),
            (
                "long",
                "Date first seen         Duration         Proto      Src IP Addr:Port          Dst IP Addr:Port     Flags  Tos  Packets    Bytes Flows",
            ),
            (
                "extended",
                "Date first seen         Duration         Proto      Src IP Addr:Port          Dst IP Addr:Port     Flags  Tos  Packets    Bytes      pps      bps    Bpp Flows",
            ),
            (
                "biline",
                "Date first seen         Duration         Proto      Src IP Addr:Port           Dst IP Addr:Port   Out Pkt   In Pkt Out Byte  In Byte Flows",
            ),
            (
                "bilong",
                "Date first seen         Duration         Proto      Src IP Addr:Port           Dst IP Addr:Port     Flags  Tos  Out Pkt   In Pkt Out Byte  In Byte Flows",
            ),
            (
                "nsel",
                "Date first seen            Event  XEvent Proto      Src IP Addr:Port          Dst IP Addr:Port     X-Src IP Addr:Port        X-Dst IP Addr:Port   In Byte Out Byte",
            ),
            ("csv", "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows"),
            ("fmt:%sa|%n<%xsa", "     Src IP Addr     X-late Src IP"),
        ] {
            let format = Format::parse(spec, &options()).unwrap();
            assert_eq!(header_of(&format).trim_end(), want.trim_end(), "{spec}");
        }
    }

    #[test]
    fn wide_headers_keep_their_columns_under_the_values() {
        for token in TOKENS.iter().filter(|t| t.wide) {
            let wide = FormatOptions { ipv6_wide: true, ..options() };
            let format = Format::parse(&format!("fmt:%{}", token.name), &wide).unwrap();
            assert_eq!(header_of(&format), format!("{:23}{}", "", token.header));
        }
    }

    #[test]
    fn formats_say_which_fields_they_show() {
        let fields =
            |spec: &str| Format::parse(spec, &FormatOptions::default()).unwrap().shown_fields();
        assert_eq!(fields("fmt:%sa %sp"), Some(vec![Field::SrcPort, Field::SrcAddr]));
        let rate = [Field::First, Field::Last, Field::Packets, Field::Bytes];
        assert_eq!(fields("fmt:%bps"), Some(rate.to_vec()));
        let line = fields("line").unwrap();
        assert!(line.contains(&Field::Proto) && !line.contains(&Field::SrcAs));
        assert_eq!(fields("json"), None, "all that there is");
    }

    #[test]
    fn aggregation_lists() {
        let format = Format::for_aggregation(&["sa", "dp"], false, &options()).unwrap();
        assert_eq!(
            header_of(&format),
            "Date first seen         Duration               Src IP Addr Dst Pt   Packets    Bytes      bps    Bpp Flows"
        );
        let format = Format::for_aggregation(&["sa", "dp"], true, &options()).unwrap();
        assert_eq!(
            header_of(&format),
            "firstSeen,duration,srcAddr,dstPort,packets,bytes,bps,bpp,flows"
        );
        assert!(Format::for_aggregation(&["zz"], false, &options()).is_err());
    }
}
