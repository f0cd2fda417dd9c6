//! Filter text with the files it names put in their places, and which file each part came from.
//!
//! `@include FILE` stands for the text of the file, `in @FILE` for a list of what the file has:
//! items with blanks, commas or line ends between, and comments. Files are read by the caller.

use crate::ast::Span;
use crate::error::{Error, ErrorKind};
use crate::token::{Lexer, Token};
use crate::{MAX_FILES, MAX_INCLUDE_DEPTH, MAX_TEXT, ParseOptions};
use std::rc::Rc;

/// The whole text of a filter.
#[derive(Debug)]
pub(crate) struct Source {
    /// The text given, then each file as often as it was read.
    files: Vec<File>,
    /// Where the parts of `text` came from, in its order.
    parts: Vec<Part>,
    text: String,
}

#[derive(Debug)]
struct File {
    name: Option<Rc<str>>,
    text: Rc<str>,
}

/// From `at` on the text is that of `file` from `from` on.
#[derive(Clone, Copy, Debug)]
struct Part {
    at: usize,
    file: usize,
    from: usize,
    /// What stands around an included file is not in any file: it belongs to the name of the file,
    /// which has so many octets.
    name: Option<usize>,
}

/// A file that is named in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference<'t> {
    pub(crate) name: &'t str,
    /// The name stands without `include`: the file is a list.
    pub(crate) is_list: bool,
    pub(crate) span: Span,
}

impl Source {
    /// Puts the files in.
    pub(crate) fn read(text: &str, options: &ParseOptions<'_>) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            let kind = ErrorKind::TextTooLong(text.len());
            return Err(Error::new(kind, Span::default(), "", options.source));
        }
        let top = File { name: options.source.map(Rc::from), text: text.into() };
        let mut source = Self { files: vec![top], parts: Vec::new(), text: String::new() };
        source.add(0, &[], options)?;
        Ok(source)
    }

    /// All of it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// An error at `span` of the whole text, told of the file the place came from.
    pub(crate) fn error(&self, kind: ErrorKind, span: Span) -> Error {
        let start = span.start as usize;
        let i = self.parts.partition_point(|p| p.at <= start).saturating_sub(1);
        let Some(part) = self.parts.get(i) else { return Error::new(kind, span, "", None) };
        let end = self.parts.get(i + 1).map_or(self.text.len(), |next| next.at);
        let local = |at: u32| ((at as usize).clamp(part.at, end) - part.at + part.from) as u32;
        let span = match part.name {
            Some(len) => Span { start: part.from as u32, end: (part.from + len) as u32 },
            None => Span { start: local(span.start), end: local(span.end) },
        };
        self.error_in(part.file, kind, span)
    }

    fn error_in(&self, file: usize, kind: ErrorKind, span: Span) -> Error {
        match self.files.get(file) {
            Some(file) => Error::new(kind, span, &file.text, file.name.as_deref()),
            None => Error::new(kind, span, "", None),
        }
    }

    /// Adds the text of `file`, which the files of `path` led to; `true` for lists.
    fn add(&mut self, file: usize, path: &[bool], options: &ParseOptions<'_>) -> Result<(), Error> {
        let Some(text) = self.files.get(file).map(|f| Rc::clone(&f.text)) else { return Ok(()) };
        let is_list = path.contains(&true);
        let mut copied = 0;
        // Most texts name no file and most lists have no brackets: they are taken as they are.
        let is_special = text.contains('@') || is_list && text.contains(['[', ']']);
        let mut lexer = Lexer::new(if is_special { &text } else { "" });
        let mut after_in = false;
        loop {
            let (token, span) = lexer.next();
            match token {
                Token::End => break,
                Token::Sign('[' | ']') if is_list => {
                    return Err(self.error_in(file, ErrorKind::Bracket, span));
                }
                Token::Other('@') => {
                    if let Some(found) = lexer.reference(span.start, after_in) {
                        self.push(&text, file, copied, found.span.start as usize, is_list)?;
                        self.follow(file, found, path, options)?;
                        copied = found.span.end as usize;
                    }
                }
                _ => {}
            }
            after_in = matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("in"));
        }
        self.push(&text, file, copied, text.len(), is_list)
    }

    /// Reads a file that is named in `file` and adds it.
    fn follow(
        &mut self,
        file: usize,
        found: Reference<'_>,
        path: &[bool],
        options: &ParseOptions<'_>,
    ) -> Result<(), Error> {
        let fault = |why: String| ErrorKind::Include { file: found.name.to_owned(), why };
        let text = match options.include {
            None => Err("no files are read here".to_owned()),
            Some(_) if path.len() == MAX_INCLUDE_DEPTH => {
                Err(format!("files include each other more than {MAX_INCLUDE_DEPTH} deep"))
            }
            Some(_) if self.files.len() > MAX_FILES => {
                Err(format!("a filter includes at most {MAX_FILES} files"))
            }
            Some(include) => include(found.name),
        };
        let text = text.map_err(|why| self.error_in(file, fault(why), found.span))?;
        if self.text.len() + text.len() + 4 > MAX_TEXT {
            let kind = ErrorKind::TextTooLong(self.text.len() + text.len());
            return Err(self.error_in(file, kind, found.span));
        }
        let name = Some(Rc::from(found.name));
        self.files.push(File { name, text: text.into() });
        let path = [path, &[found.is_list]].concat();
        let (open, close) = if found.is_list { ("\n[", "\n]") } else { ("\n", "\n") };
        let (from, end) = (found.span.start as usize, found.span.end as usize);
        let place = Part { at: 0, file, from, name: Some(end - from) };
        self.parts.push(Part { at: self.text.len(), ..place });
        self.text.push_str(open);
        self.add(self.files.len() - 1, &path, options)?;
        self.parts.push(Part { at: self.text.len(), ..place });
        self.text.push_str(close);
        Ok(())
    }

    /// Adds a piece of a file. Commas of a list file become blanks: they need not separate.
    fn push(
        &mut self,
        text: &str,
        file: usize,
        from: usize,
        to: usize,
        is_list: bool,
    ) -> Result<(), Error> {
        let piece = text.get(from..to).unwrap_or("");
        if self.text.len() + piece.len() > MAX_TEXT {
            let kind = ErrorKind::TextTooLong(self.text.len() + piece.len());
            return Err(self.error_in(file, kind, Span::default()));
        }
        self.parts.push(Part { at: self.text.len(), file, from, name: None });
        if is_list && piece.contains(',') {
            self.text.push_str(&piece.replace(',', " "));
        } else {
            self.text.push_str(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;

    /// Files by name; `deep` includes itself, `wide` itself twice.
    fn file(name: &str) -> Result<String, String> {
        Ok(match name {
            "web" => "port 80 # http\n or port 443".to_owned(),
            "nets" => "10.0.0.0/8, # ours, all\n192.0.2.1,,\n2001:db8::/32\r\n".to_owned(),
            "ports" => "80,443\t8080".to_owned(),
            "both" => "(@include web ) or src ip in @nets".to_owned(),
            "list of lists" => "@include ports\n 53".to_owned(),
            "bad" => "port 80 or\n  foo 5".to_owned(),
            "bad list" => "10.0.0.1\n10.0.0.300\n".to_owned(),
            "tricky" => "1 ] or src port in [ 2".to_owned(),
            "empty" => "# nothing\n".to_owned(),
            "deep" => "any or @include deep".to_owned(),
            "wide" => "@include empty\n".repeat(MAX_FILES + 1),
            "long" => format!("any #{}", "x".repeat(MAX_TEXT / 2)),
            _ => return Err("no such file".to_owned()),
        })
    }

    fn parse(text: &str) -> Result<Filter, Error> {
        Filter::parse_with(text, &ParseOptions { include: Some(&file), ..Default::default() })
    }

    #[test]
    fn files_stand_where_they_are_named() {
        for (text, want) in [
            ("@include web", "port 80 or port 443"),
            ("proto tcp and (@INCLUDE web )", "proto tcp and (port 80 or port 443)"),
            ("ip in @nets or any", "ip in [10.0.0.0/8, 192.0.2.1, 2001:db8::/32] or any"),
            ("(src ip in @nets)", "src ip in [10.0.0.0/8, 192.0.2.1, 2001:db8::/32]"),
            ("port in @\"ports\"", "port in [80, 443, 8080]"),
            ("port in [ 1 @include ports ]", "port in [1, 80, 443, 8080]"),
            ("as in @'list of lists'", "as in [80, 443, 8080, 53]"),
            (
                "@include both",
                "(port 80 or port 443) or src ip in [10.0.0.0/8, 192.0.2.1, 2001:db8::/32]",
            ),
            ("any # @include bad", "any"),
            ("asa user '@include bad'", "asa user \"@include bad\""),
            ("@include empty", "any"),
        ] {
            let filter = parse(text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(filter.tree().to_string(), want, "{text}");
        }
    }

    #[test]
    fn errors_tell_the_file_and_its_line() {
        for (text, line, is_include) in [
            ("any and\n@include bad", "File 'bad' line 2: syntax error at 'foo'", false),
            ("@include web\n foo", "Line 2: syntax error at 'foo'", false),
            ("@include web @include bad", "File 'bad' line 1: syntax error at 'port'", false),
            ("ip in @'bad list'", "Can not parse/lookup 10.0.0.300 to an IP address", false),
            ("port in @tricky", "File 'tricky' line 1: syntax error at ']'", false),
            ("port in @empty", "Line 1: syntax error at '@empty'", false),
            ("any or @include none", "Failed to open include file 'none': no such file", true),
            ("@include", "Line 1: syntax error at '@'", false),
            ("port @ports", "Line 1: syntax error at '@'", false),
            ("@include deep", "Failed to open include file 'deep': files include each", true),
            ("@include wide", "Failed to open include file 'empty': a filter includes", true),
            ("@include long\n or @include long", "Line 2: a filter has at most", false),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.nfdump_line().contains(line), "{text}: {}", error.nfdump_line());
            assert_eq!(error.is_include(), is_include, "{text}");
            assert!(error.to_string().contains('^'), "{text}");
        }
        let error = parse("ip in @'bad list'").unwrap_err();
        assert_eq!((error.line(), error.column()), (2, 1));
        assert!(error.to_string().contains("--> bad list:2:1"), "{error}");
    }

    #[test]
    fn without_a_reader_files_are_errors() {
        let error = Filter::parse("@include web").unwrap_err();
        assert!(error.is_include() && error.to_string().contains("no files are read here"));
    }

    #[test]
    fn files_nest_as_deep_as_allowed() {
        let chain = |depth: usize| {
            let file = move |name: &str| {
                let n: usize = name.parse().map_err(|_| "not a number".to_owned())?;
                Ok(if n == depth { "any".to_owned() } else { format!("@include {}", n + 1) })
            };
            Filter::parse_with(
                "@include 1",
                &ParseOptions { include: Some(&file), ..Default::default() },
            )
        };
        assert!(chain(MAX_INCLUDE_DEPTH).is_ok());
        assert!(chain(MAX_INCLUDE_DEPTH + 1).is_err_and(|e| e.is_include()));
    }
}
