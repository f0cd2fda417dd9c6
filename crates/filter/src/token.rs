//! Text to tokens. Tokens are made one at a time, so a list file of megabytes costs no more memory
//! than its tree.
//!
//! Unlike nfdump, `=` is no letter: `port=80` is three tokens. Whether `=` touches the word behind
//! it (`flags =S`) can still be told from the spans.

use crate::ast::{Cmp, Span};
use crate::source::Reference;

/// What the next piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'t> {
    /// Letters, digits and `_ : . -`: a keyword, a number, an address.
    Word(&'t str),
    /// Text between quotes, without them.
    Quoted(&'t str),
    /// `( ) [ ] , / !`
    Sign(char),
    /// A comparator of one or two characters.
    Cmp(Cmp),
    /// A quote that is not closed on its line.
    OpenQuote,
    /// Any other character.
    Other(char),
    /// The end of the text.
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(crate) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token and where it stands.
    pub(crate) fn next(&mut self) -> (Token<'t>, Span) {
        self.skip_blanks();
        let start = self.at;
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return (Token::End, self.span_from(start)) };
        let token = match c {
            '(' | ')' | '[' | ']' | ',' | '/' | '!' => self.take(1, Token::Sign(c)),
            '"' | '\'' => self.quoted(c),
            '<' | '>' | '=' => {
                let (cmp, len) = comparator(rest);
                self.take(len, Token::Cmp(cmp))
            }
            _ => match rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()) {
                0 => self.take(c.len_utf8(), Token::Other(c)),
                len => self.take(len, Token::Word(&rest[..len])),
            },
        };
        (token, self.span_from(start))
    }

    /// Reads the word that began at `start` once more, this time with `=` as a letter: names that
    /// exporters and operators chose freely may have one.
    pub(crate) fn widen(&mut self, start: u32) -> (&'t str, Span) {
        self.at = start as usize;
        let rest = self.rest();
        let len = rest.find(|c: char| c != '=' && !is_word(c)).unwrap_or(rest.len());
        self.at += len;
        (&rest[..len], self.span_from(start as usize))
    }

    /// The name of a file behind the `@` at `start`: `include NAME`, or with `or_list` also `NAME`
    /// alone. Names with blanks stand in quotes. `None` if there is no name.
    pub(crate) fn reference(&mut self, start: u32, or_list: bool) -> Option<Reference<'t>> {
        let rest = self.rest();
        let keyword = rest.get(..7).is_some_and(|w| w.eq_ignore_ascii_case("include"));
        let is_list = !(keyword && rest[7..].starts_with([' ', '\t']));
        let blanks = match is_list {
            true => 0,
            false => rest.len() - rest[7..].trim_start_matches([' ', '\t']).len(),
        };
        let before = self.at;
        self.at += blanks;
        let rest = self.rest();
        let name = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => match self.quoted(quote) {
                Token::Quoted(name) => name,
                _ => "",
            },
            _ => {
                // Parentheses end the short form only: `(ip in @list)`.
                let end = |c: char| c.is_ascii_whitespace() || is_list && c == ')';
                let name = &rest[..rest.find(end).unwrap_or(rest.len())];
                self.at += name.len();
                name
            }
        };
        if name.is_empty() || is_list && !or_list {
            self.at = before;
            return None;
        }
        Some(Reference { name, is_list, span: self.span_from(start as usize) })
    }

    fn quoted(&mut self, quote: char) -> Token<'t> {
        let inner = &self.rest()[1..];
        match inner.find([quote, '\n', '\r']) {
            Some(len) if inner[len..].starts_with(quote) => {
                self.take(len + 2, Token::Quoted(&inner[..len]))
            }
            other => self.take(1 + other.unwrap_or(inner.len()), Token::OpenQuote),
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn take(&mut self, len: usize, token: Token<'t>) -> Token<'t> {
        self.at += len;
        token
    }

    /// `at` only ever moves by whole characters, so this is the rest of the text.
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The text is at most [`MAX_TEXT`](crate::MAX_TEXT) octets long.
    const fn span_from(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.at as u32 }
    }
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-')
}

/// The comparator that `rest` begins with, which is one of `< > =`, and its length.
fn comparator(rest: &str) -> (Cmp, usize) {
    match rest.as_bytes() {
        [b'<', b'=', ..] => (Cmp::Le, 2),
        [b'>', b'=', ..] => (Cmp::Ge, 2),
        [b'=', b'=', ..] => (Cmp::Eq, 2),
        [b'<', ..] => (Cmp::Lt, 1),
        [b'>', ..] => (Cmp::Gt, 1),
        _ => (Cmp::Eq, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| match lexer.next().0 {
            Token::End => None,
            token => Some(token),
        })
        .collect()
    }

    #[test]
    fn splits() {
        use Token::{OpenQuote, Other, Quoted, Sign, Word};
        let cases: [(&str, &[Token<'_>]); 12] = [
            ("", &[]),
            (" # only a comment", &[]),
            ("a#b\n c", &[Word("a"), Word("c")]),
            ("port=80", &[Word("port"), Token::Cmp(Cmp::Eq), Word("80")]),
            ("a>=b", &[Word("a"), Token::Cmp(Cmp::Ge), Word("b")]),
            ("a=>b", &[Word("a"), Token::Cmp(Cmp::Eq), Token::Cmp(Cmp::Gt), Word("b")]),
            ("!(x)", &[Sign('!'), Sign('('), Word("x"), Sign(')')]),
            ("10.0.0.0/8,", &[Word("10.0.0.0"), Sign('/'), Word("8"), Sign(',')]),
            ("'a # \"b' \"c'd\"", &[Quoted("a # \"b"), Quoted("c'd")]),
            ("'open\nnext", &[OpenQuote, Word("next")]),
            ("port ü", &[Word("port"), Other('ü')]),
            ("fe80::1 engine-type", &[Word("fe80::1"), Word("engine-type")]),
        ];
        for (text, want) in cases {
            assert_eq!(tokens(text), want, "{text:?}");
        }
    }

    #[test]
    fn spans_cut_the_tokens_out_of_the_text() {
        let text = "  src  port>=1k # x\n or 'a b'";
        let mut lexer = Lexer::new(text);
        let mut cut = Vec::new();
        loop {
            let (token, span) = lexer.next();
            if token == Token::End {
                break;
            }
            cut.push(&text[span.start as usize..span.end as usize]);
        }
        assert_eq!(cut, ["src", "port", ">=", "1k", "or", "'a b'"]);
    }
}
