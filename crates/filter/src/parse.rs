//! Tokens to a typed tree: recursive descent with one token of look-ahead.

use crate::ast::{Cmp, Expr, Kind, Known, Net, Pattern, Span, Term, Value};
use crate::check;
use crate::error::{ErrorKind, shorten};
use crate::names::Names;
use crate::primitive::{ASA_DENIED, Operand, Phrase, Phrases, Test};
use crate::suggest;
use crate::time::Stamp;
use crate::token::{Lexer, Token};
use crate::{MAX_DEPTH, MAX_HOST_ADDRESSES, MAX_LIST, ParseOptions, program};
use record::{Addr, AddressBook, Country};
use regex::bytes::RegexBuilder;

/// What is wrong and where.
pub(crate) type Fault = (ErrorKind, Span);

/// Reads a whole text. Without any term it asks for everything.
pub(crate) fn parse(text: &str, options: &ParseOptions<'_>) -> Result<Expr, Fault> {
    let mut lexer = Lexer::new(text);
    let (token, span) = lexer.next();
    let mut parser = Parser { lexer, token, span, end: 0, options, depth: 0 };
    if parser.token == Token::End {
        return Ok(any());
    }
    let expr = parser.or()?;
    match parser.token {
        Token::End => Ok(expr),
        _ => Err(parser.syntax("`and`, `or` or the end", parser.no_end())),
    }
}

/// The filter that asks for everything.
pub(crate) fn any() -> Expr {
    let phrase =
        Phrases::all().find("any").unwrap_or_else(|| unreachable!("`any` is in the table"));
    let term = Term { phrase, value: Value::None, known: Known::Nothing };
    Expr { kind: Kind::Term(term), span: Span::default() }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The next token, not used yet.
    token: Token<'t>,
    span: Span,
    /// Where the last token that was used ends.
    end: u32,
    options: &'t ParseOptions<'t>,
    depth: usize,
}

/// Expressions.
impl Parser<'_> {
    fn or(&mut self) -> Result<Expr, Fault> {
        self.chain("or", Self::and, Kind::Or)
    }

    fn and(&mut self) -> Result<Expr, Fault> {
        self.chain("and", Self::unary, Kind::And)
    }

    /// One or more parts with `word` between them.
    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Expr, Fault>,
        join: fn(Vec<Expr>) -> Kind,
    ) -> Result<Expr, Fault> {
        let start = self.span;
        let first = part(self)?;
        if !self.at_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.at_word(word) {
            self.bump();
            parts.push(part(self)?);
        }
        Ok(Expr { kind: join(parts), span: self.since(start) })
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        let start = self.span;
        let is_not = self.at_word("not") || self.token == Token::Sign('!');
        if !is_not && self.token != Token::Sign('(') {
            return self.term();
        }
        if self.depth == MAX_DEPTH {
            return Err((ErrorKind::TooDeep, start));
        }
        self.depth += 1;
        self.bump();
        let kind = if is_not {
            Kind::Not(Box::new(self.unary()?))
        } else {
            let inner = self.or()?;
            self.expect_sign(')', "`)`, `and` or `or`")?;
            inner.kind
        };
        self.depth -= 1;
        Ok(Expr { kind, span: self.since(start) })
    }

    fn term(&mut self) -> Result<Expr, Fault> {
        let start = self.span;
        let phrase = self.phrase()?;
        let (phrase, value) = self.operand(phrase, start)?;
        let known = self.options.book.map_or(Known::Nothing, |book| known(book, phrase, &value));
        Ok(Expr { kind: Kind::Term(Term { phrase, value, known }), span: self.since(start) })
    }

    /// The words of a primitive: as many as lead on.
    fn phrase(&mut self) -> Result<&'static Phrase, Fault> {
        let phrases = Phrases::all();
        let mut path = String::new();
        while let Token::Word(word) = self.token
            && let Some(longer) = phrases.extend(&path, word)
        {
            path = longer;
            self.bump();
        }
        match phrases.find(&path) {
            Some(phrase) => Ok(phrase),
            None => Err(self.no_phrase(&path)),
        }
    }

    /// What to write instead of a token behind a whole term.
    fn no_end(&self) -> Option<String> {
        let hint = match self.token {
            Token::Other('&') => "write `and`",
            Token::Other('|') => "write `or`",
            Token::Word(_) => "write `and` or `or` between two terms",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn no_phrase(&self, path: &str) -> Fault {
        let hint = match self.token {
            Token::Word(word) => suggest::phrase(path, word),
            Token::Quoted(_) => Some("keywords stand without quotes".to_owned()),
            Token::Other('&' | '|') => self.no_end(),
            Token::Other('@') => {
                Some("write `@include FILE`, or `ip in @FILE` for a list of items".to_owned())
            }
            _ => None,
        };
        if path.is_empty() {
            let number = matches!(self.token, Token::Word(w) if check::number(w).is_some());
            let hint = if number {
                Some("repeat the primitive: `port 80 or port 443`".to_owned())
            } else {
                hint
            };
            return self.syntax("a primitive such as `port` or `src ip`", hint);
        }
        let skip = path.len() + 1;
        let mut next: Vec<_> = Phrases::all()
            .under(path)
            .filter_map(|p| p.text.get(skip..)?.split(' ').next())
            .map(|w| format!("`{w}`"))
            .collect();
        next.dedup();
        self.syntax(&format!("{} after `{path}`", next.join(", ")), hint)
    }
}

/// Operands.
impl<'t> Parser<'t> {
    /// The operand of `phrase`, whose words begin at `start`. One spelling of an operand makes
    /// another primitive of it.
    fn operand(
        &mut self,
        phrase: &'static Phrase,
        start: Span,
    ) -> Result<(&'static Phrase, Value), Fault> {
        let line = phrase.line();
        if line.list && self.at_word("in") {
            self.bump();
            return Ok((phrase, self.list(phrase)?));
        }
        let value = match line.operand {
            Operand::Nothing => Value::None,
            Operand::Number(max) => self.compared(phrase, max)?,
            Operand::Port => self.compared(phrase, u16::MAX.into())?,
            Operand::Proto => self.proto(phrase)?,
            Operand::Flags => self.flags(phrase)?,
            Operand::Named(Names::FwEvent) => return self.asa_event(phrase),
            Operand::Named(names) => self.named(phrase, names)?,
            Operand::Name(names) => {
                let (word, span) = self.text_token(phrase)?;
                Value::Number(Cmp::Eq, check::name(word, names).map_err(|k| (k, span))?)
            }
            Operand::FlowDir => self.flow_dir(phrase)?,
            Operand::Address => self.address(phrase)?,
            Operand::Net => self.net(phrase)?,
            Operand::Mac => {
                let (word, span) = self.text_token(phrase)?;
                Value::Number(Cmp::Eq, check::mac(word).map_err(|k| (k, span))?)
            }
            Operand::Text(max, numbers) => self.text(phrase, max, numbers)?,
            Operand::Time => self.time(phrase)?,
            Operand::Country => self.country(phrase)?,
            Operand::Regex => self.regex(phrase)?,
            Operand::Ja3 => {
                let (word, span) = self.text_token(phrase)?;
                Value::Ja3(word.parse().map_err(|_| (ErrorKind::Ja3, span))?)
            }
            Operand::Ja4 => {
                let (word, span) = self.text_token(phrase)?;
                Value::Ja4(word.parse().map_err(|_| (ErrorKind::Ja4, span))?)
            }
            Operand::Unsupported(what) => return Err((ErrorKind::Unsupported(what), start)),
        };
        Ok((phrase, value))
    }

    /// `[ cmp ] NUMBER`.
    fn compared(&mut self, phrase: &Phrase, max: u64) -> Result<Value, Fault> {
        let cmp = if phrase.line().cmp { self.comparator() } else { None };
        Ok(Value::Number(cmp.unwrap_or(Cmp::Eq), self.number(phrase, max)?))
    }

    fn comparator(&mut self) -> Option<Cmp> {
        let cmp = match self.token {
            Token::Cmp(cmp) => cmp,
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "eq" => Cmp::Eq,
                "lt" => Cmp::Lt,
                "gt" => Cmp::Gt,
                "le" => Cmp::Le,
                "ge" => Cmp::Ge,
                _ => return None,
            },
            _ => return None,
        };
        self.bump();
        Some(cmp)
    }

    fn number(&mut self, phrase: &Phrase, max: u64) -> Result<u64, Fault> {
        let Token::Word(word) = self.token else { return Err(self.no_number(phrase)) };
        let Some(number) = check::number(word) else { return Err(self.no_number(phrase)) };
        let number = number.and_then(|n| check::in_range(n, max, phrase));
        let number = number.map_err(|kind| (kind, self.span))?;
        self.bump();
        Ok(number)
    }

    fn no_number(&self, phrase: &Phrase) -> Fault {
        let text = phrase.text;
        let hint = match self.token {
            Token::Cmp(_) if !phrase.line().cmp => Some(format!("`{text}` takes no comparator")),
            Token::Sign('!') => Some(format!("write `not {text} ...` for `!=`")),
            Token::Word(word) if word.contains('-') => {
                Some(format!("write a range as `{text} >= ... and {text} <= ...`"))
            }
            Token::Word(word) if word.eq_ignore_ascii_case("in") => {
                Some(format!("`{text}` takes no list"))
            }
            _ => None,
        };
        self.syntax(&format!("a number after `{text}`"), hint)
    }

    /// What follows `in`.
    fn list(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        if phrase.line().operand == Operand::Port && (self.at_word("nat") || self.at_word("xlate"))
        {
            self.bump();
            if !self.at_word("pblock") {
                return Err(self.syntax("`pblock`", None));
            }
            self.bump();
            return Ok(Value::Block);
        }
        self.expect_sign('[', "`[`")?;
        match phrase.line().operand {
            Operand::Address => Ok(Value::Nets(self.items(|p| p.item(phrase))?)),
            Operand::Number(max) => Ok(Value::Numbers(self.items(|p| p.number(phrase, max))?)),
            _ => Ok(Value::Numbers(self.items(|p| p.number(phrase, u16::MAX.into()))?)),
        }
    }

    /// Items up to the closing bracket, with commas or blanks between.
    fn items<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        if self.token == Token::Sign(']') {
            return Err(self.syntax("at least one item", None));
        }
        let mut list = vec![item(self)?];
        while self.token != Token::Sign(']') {
            if list.len() == MAX_LIST {
                return Err((ErrorKind::ListTooLong, self.span));
            }
            if self.token == Token::Sign(',') {
                self.bump();
            }
            list.push(item(self)?);
        }
        self.bump();
        Ok(list)
    }

    /// An address or a prefix in a list.
    fn item(&mut self, phrase: &Phrase) -> Result<Net, Fault> {
        let (word, span) = self.text_token(phrase)?;
        if self.token != Token::Sign('/') {
            return check::address(word).map_err(|kind| (kind, span));
        }
        self.bump();
        let len = self.number(phrase, u64::MAX)?;
        check::prefix(word, len).map_err(|kind| (kind, span))
    }

    fn address(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        if self.at_word("in") {
            let hint = format!("`{}` takes no list", phrase.text);
            return Err(self.syntax("an IP address", Some(hint)));
        }
        let (word, span) = self.text_token(phrase)?;
        if self.token == Token::Sign('/') {
            let name = phrase.text.trim_end_matches("ip");
            return Err(
                self.syntax("an address without a length", Some(format!("write `{name}net`")))
            );
        }
        // Only the flow's own addresses are compared to names.
        let named = matches!(phrase.text, "ip" | "src ip" | "dst ip");
        if named && word.eq_ignore_ascii_case("tor") {
            return Ok(Value::Tor);
        }
        match check::address(word) {
            Ok(net) => Ok(Value::Net(net)),
            Err(ErrorKind::HostName) if !named => Err((ErrorKind::AddressOnly(phrase.text), span)),
            Err(ErrorKind::HostName) => self.look_up(word).map_err(|kind| (kind, span)),
            Err(kind) => Err((kind, span)),
        }
    }

    /// The addresses of a host.
    fn look_up(&self, name: &str) -> Result<Value, ErrorKind> {
        let Some(resolve) = self.options.resolve else { return Err(ErrorKind::HostName) };
        let fault = |why: String| ErrorKind::LookUp { name: shorten(name), why };
        let mut addresses = resolve(name).map_err(fault)?;
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.len() > MAX_HOST_ADDRESSES {
            return Err(fault(format!(
                "{} addresses, of which {MAX_HOST_ADDRESSES} are the most a filter takes",
                addresses.len()
            )));
        }
        let mut nets = addresses.into_iter().map(|a| Net::host(Addr::from(a)));
        match (nets.next(), nets.len()) {
            (None, _) => Err(fault("it has no address".to_owned())),
            (Some(net), 0) => Ok(Value::Net(net)),
            (Some(net), _) => Ok(Value::Nets(std::iter::once(net).chain(nets).collect())),
        }
    }

    fn net(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        if self.at_word("in") {
            let ip = format!("{}ip", phrase.text.trim_end_matches("net"));
            let hint = format!("write `{ip} in [ ... ]`, which takes networks, too");
            return Err(self.syntax("an IP network", Some(hint)));
        }
        let (word, span) = self.text_token(phrase)?;
        let net = match self.token {
            Token::Sign('/') => {
                self.bump();
                check::prefix(word, self.number(phrase, u64::MAX)?)
            }
            Token::Word(mask) | Token::Quoted(mask)
                if mask.contains(['.', ':']) && check::address(word).is_ok() =>
            {
                let mask_span = self.span;
                self.bump();
                return match check::masked(word, mask) {
                    Ok(net) => Ok(Value::Net(net)),
                    Err(kind) => Err((kind, mask_span)),
                };
            }
            _ => {
                // Something is wrong with the address, or the length is missing.
                check::address(word).map_err(|kind| (kind, span))?;
                return Err(self.syntax("`/` and a prefix length, or a mask", None));
            }
        };
        Ok(Value::Net(net.map_err(|kind| (kind, span))?))
    }

    fn proto(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        if let Token::Word(word) = self.token
            && check::number(word).is_some()
        {
            return Ok(Value::Number(Cmp::Eq, self.number(phrase, u8::MAX.into())?));
        }
        let (word, span) = self.text_token(phrase)?;
        Ok(Value::Number(Cmp::Eq, check::name(word, Names::Proto).map_err(|k| (k, span))?))
    }

    /// `[ cmp ] NUMBER`, `LETTERS` or `=LETTERS`.
    fn flags(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        let before = self.span;
        let cmp = self.comparator();
        let letters = match self.token {
            Token::Word(word) if check::number(word).is_none() => word,
            Token::Quoted(word) => word,
            _ => {
                return Ok(Value::Number(
                    cmp.unwrap_or(Cmp::Eq),
                    self.number(phrase, u8::MAX.into())?,
                ));
            }
        };
        let touches = before.end == self.span.start && before.end - before.start == 1;
        let exact = match cmp {
            None => false,
            Some(Cmp::Eq) if touches => true,
            Some(_) => {
                let hint = "`flags =S`, without a blank, asks for exactly these flags".to_owned();
                return Err(self.syntax("a number after the comparator", Some(hint)));
            }
        };
        let bits = check::flags(letters).map_err(|kind| (kind, self.span))?;
        self.bump();
        Ok(Value::Flags { bits, exact })
    }

    /// `[ cmp ] NUMBER` or a name.
    fn named(&mut self, phrase: &Phrase, names: Names) -> Result<Value, Fault> {
        if let Token::Word(word) | Token::Quoted(word) = self.token
            && check::number(word).is_none()
            && !is_comparator(word)
        {
            let number = check::name(word, names).map_err(|kind| (kind, self.span))?;
            self.bump();
            return Ok(Value::Number(Cmp::Eq, number));
        }
        let max = match names {
            Names::NatEvent => 19,
            Names::FwEvent => 5,
            _ => u8::MAX.into(),
        };
        self.compared(phrase, max)
    }

    /// Also reads what the manual has: `asa event denied ingress` for `asa denied ingress`.
    fn asa_event(&mut self, phrase: &'static Phrase) -> Result<(&'static Phrase, Value), Fault> {
        let by_name = matches!(self.token, Token::Word(w) if check::number(w).is_none());
        let value = self.named(phrase, Names::FwEvent)?;
        let denied = Value::Number(Cmp::Eq, 3);
        if let Token::Word(word) = self.token
            && by_name
            && value == denied
            && let Some(reason) = Names::Denied.number(word)
            && let Some(asa_denied) = Phrases::all().find(ASA_DENIED)
        {
            self.bump();
            return Ok((asa_denied, Value::Number(Cmp::Eq, reason)));
        }
        Ok((phrase, value))
    }

    fn flow_dir(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        if let Token::Word(word) = self.token
            && check::number(word).is_some()
        {
            return Ok(Value::Number(Cmp::Eq, self.number(phrase, 1)?));
        }
        let (word, span) = self.text_token(phrase)?;
        Ok(Value::Number(Cmp::Eq, check::name(word, Names::FlowDir).map_err(|k| (k, span))?))
    }

    /// Free text: quoted, or one word in which `=` is a letter.
    fn text(&mut self, phrase: &Phrase, max: u32, numbers: bool) -> Result<Value, Fault> {
        let text = match self.token {
            Token::Quoted(text) => text,
            Token::Word(word) if !numbers && check::number(word).is_some() => {
                let hint = format!("write `{} \"{word}\"`", phrase.text);
                return Err(self.syntax("a name", Some(hint)));
            }
            Token::Word(_) => {
                let (text, span) = self.lexer.widen(self.span.start);
                self.span = span;
                text
            }
            _ => return Err(self.syntax(&format!("text after `{}`", phrase.text), None)),
        };
        if text.len() > max as usize {
            return Err((ErrorKind::OperandTooLong { what: phrase.text, max }, self.span));
        }
        self.bump();
        Ok(Value::Text(text.into()))
    }

    /// `XX` after exactly one blank, or in quotes.
    fn country(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        if matches!(self.token, Token::Word(_)) && self.span.start != self.end + 1 {
            return Err(self.syntax("one blank and two letters", None));
        }
        let (word, span) = self.text_token(phrase)?;
        Country::parse(word).map(Value::Country).ok_or((ErrorKind::Country, span))
    }

    /// A pattern, and flags in a second word.
    fn regex(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        let span = self.span;
        let Value::Text(text) = self.text(phrase, 255, false)? else {
            return Err(self.syntax("a regular expression", None));
        };
        let mut given = "";
        if let Token::Word(word) | Token::Quoted(word) = self.token
            && !self.at_word("and")
            && !self.at_word("or")
        {
            if !word.bytes().all(|b| b"ims".contains(&b)) {
                return Err((ErrorKind::RegexFlags, self.span));
            }
            given = word;
            self.bump();
        }
        let has = |flag| given.contains(flag);
        let regex = RegexBuilder::new(&text)
            .unicode(false)
            .case_insensitive(has('i'))
            .multi_line(has('m'))
            .dot_matches_new_line(has('s'))
            .size_limit(REGEX_OCTETS)
            .build();
        let regex = regex.map_err(|e| (ErrorKind::Regex(reason(&e)), span))?;
        let flags = "ims".chars().filter(|c| has(*c)).collect();
        Ok(Value::Regex(Pattern { text, flags, regex }))
    }

    fn time(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        let cmp = self.comparator().unwrap_or(Cmp::Eq);
        let (word, span) = self.text_token(phrase)?;
        let stamp =
            Stamp::parse(word, self.options.zone).map_err(|why| (ErrorKind::Time(why), span))?;
        Ok(Value::Time(cmp, stamp))
    }

    /// A word or quoted text, whatever it says.
    fn text_token(&mut self, phrase: &Phrase) -> Result<(&'t str, Span), Fault> {
        let (Token::Word(text) | Token::Quoted(text)) = self.token else {
            let hint = match self.token {
                Token::Cmp(_) => Some(format!("`{}` takes no comparator", phrase.text)),
                _ => None,
            };
            return Err(self.syntax(&format!("an operand after `{}`", phrase.text), hint));
        };
        let span = self.span;
        self.bump();
        Ok((text, span))
    }
}

/// Octets that a compiled regular expression may take.
const REGEX_OCTETS: usize = 1 << 20;

/// Why a regular expression is none, in one line.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or("");
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// What the book says of the operand.
fn known(book: &dyn AddressBook, phrase: &Phrase, value: &Value) -> Known {
    match (phrase.line().test, value) {
        (Test::Country, Value::Country(country)) if book.has_countries() => {
            Known::Within(book.networks_of_countries(&|c| c == *country).into())
        }
        (Test::Addr, Value::Tor) => {
            let mut exits = book.tor_exits().to_vec();
            exits.sort_unstable();
            Known::Exits(exits.into())
        }
        (Test::System, _) if book.has_systems() => {
            let set = program::set(value);
            // An address of no system counts as 0. If 0 suits the operand, the networks are those
            // that do not.
            let unknown_suits = set.contains(0);
            let wanted = |n: u32| n != 0 && set.contains(n.into()) != unknown_suits;
            let networks = book.networks_of_systems(&wanted).into();
            if unknown_suits { Known::Outside(networks) } else { Known::Within(networks) }
        }
        _ => Known::Nothing,
    }
}

/// Tokens.
impl Parser<'_> {
    fn bump(&mut self) {
        self.end = self.span.end;
        (self.token, self.span) = self.lexer.next();
    }

    /// From `start` to the last token that was used.
    const fn since(&self, start: Span) -> Span {
        Span { start: start.start, end: self.end }
    }

    fn at_word(&self, keyword: &str) -> bool {
        matches!(self.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn expect_sign(&mut self, sign: char, wanted: &str) -> Result<(), Fault> {
        if self.token != Token::Sign(sign) {
            return Err(self.syntax(wanted, None));
        }
        self.bump();
        Ok(())
    }

    /// The next token is not what it should be.
    fn syntax(&self, wanted: &str, hint: Option<String>) -> Fault {
        let found = match self.token {
            Token::End => "the end".to_owned(),
            Token::OpenQuote => return (ErrorKind::OpenQuote, self.span),
            Token::Word(word) => format!("`{}`", shorten(word)),
            Token::Quoted(text) => format!("\"{}\"", shorten(text)),
            Token::Sign(c) | Token::Other(c) => format!("`{}`", c.escape_debug()),
            Token::Cmp(cmp) => format!("`{cmp}`"),
        };
        (ErrorKind::Syntax { wanted: wanted.to_owned(), found, hint }, self.span)
    }
}

fn is_comparator(word: &str) -> bool {
    ["eq", "lt", "gt", "le", "ge"].iter().any(|c| word.eq_ignore_ascii_case(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Filter, MAX_TEXT, ParseOptions, Zone};

    fn error(text: &str) -> Error {
        Filter::parse(text).expect_err(text)
    }

    #[test]
    fn trees_print_in_one_spelling() {
        for (text, want) in [
            ("PORT=80", "port 80"),
            ("src HOST 10.1.2.3 AND not(any)", "src ip 10.1.2.3 and not any"),
            ("xlate port gt 0x50", "nat port > 80"),
            ("a", ""),
            ("proto 6 or proto TC", "proto tcp or proto tcp"),
            ("proto 35 or proto 38", "proto idpr or proto 38"),
            ("flags \"AS\" or flags =X", "flags SA or flags =FSRPAU"),
            ("net 10/8", "net 10.0.0.0/8"),
            ("net 10.1.2.3/32 or ip in [::1/128]", "net 10.1.2.3/32 or ip in [::1]"),
            ("ident a=b or asa user 'a \"b'", "ident \"a=b\" or asa user 'a \"b'"),
            ("asa event deny ingress", "asa denied ingress"),
            ("(any or any) and (any and (any))", "(any or any) and (any and any)"),
            ("! ! any", "not not any"),
            ("port in xlate pblock", "port in nat pblock"),
            ("first seen 2026", "first seen 2026-01-01T00:00:00.000"),
        ] {
            match Filter::parse(text) {
                Ok(filter) => assert_eq!(filter.tree().to_string(), want, "{text}"),
                Err(_) => assert_eq!(want, "", "{text}"),
            }
        }
    }

    #[test]
    fn spans_cover_what_was_read() {
        let text = "  src port 80 or ( not  any )  ";
        let options = ParseOptions { zone: Zone::Utc, ..Default::default() };
        let tree = parse(text, &options).unwrap();
        let cut = |span: Span| &text[span.start as usize..span.end as usize];
        assert_eq!(cut(tree.span), "src port 80 or ( not  any )");
        let Kind::Or(parts) = &tree.kind else { unreachable!() };
        assert_eq!(cut(parts[0].span), "src port 80");
        assert_eq!(cut(parts[1].span), "( not  any )");
    }

    #[test]
    fn errors_are_nfdumps_where_it_has_them() {
        for (text, line) in [
            ("port eq eq", "Line 1: syntax error at 'eq'"),
            ("any\nand foo bar", "Line 2: syntax error at 'foo'"),
            ("port 80 443", "Line 1: syntax error at '443'"),
            ("(port 80", "Line 1: syntax error at ''"),
            ("port 65536", "Line 1: `port` takes a number up to 65535 at '65536'"),
            ("proto foo", "Line 1: unknown protocol at 'foo'"),
        ] {
            assert_eq!(error(text).nfdump_line(), line, "{text}");
        }
        let options = ParseOptions { source: Some("list"), ..Default::default() };
        let e = Filter::parse_with("\n\nfoo", &options).unwrap_err();
        assert_eq!(e.nfdump_line(), "File 'list' line 3: syntax error at 'foo'");
    }

    /// What is wrong, and what to write instead, as far as it can be said.
    #[test]
    fn errors_help() {
        for (text, says) in [
            ("sport 80", "did you mean `src port`?"),
            ("tcp", "did you mean `proto tcp`?"),
            ("src prot 80", "did you mean `src port`?"),
            ("acl 5", "did you mean `egress acl`?"),
            ("port 80 or 443", "repeat the primitive"),
            ("port 80 && port 443", "expected `and`, `or` or the end, found `&`"),
            ("port 80 && port 443", "write `and`"),
            ("port 80 || port 443", "write `or`"),
            ("ip 10.1.2.3 port 80", "write `and` or `or` between two terms"),
            ("src net in [10.0.0.0/8]", "write `src ip in [ ... ]`, which takes networks, too"),
            ("nip 10.1.2.3", "did you mean `nat ip`?"),
            ("src xip 10.1.2.3", "did you mean `src nat ip`?"),
            ("port != 80", "write `not port ...` for `!=`"),
            ("port 80-90", "write a range as"),
            ("vlan > 5", "`vlan` takes no comparator"),
            ("if in [1 2]", "`if` takes no list"),
            ("router ip in [::1]", "takes no list"),
            ("ip = 10.1.2.3", "`ip` takes no comparator"),
            ("src ip 10.0.0.0/8", "write `src net`"),
            ("ip foo.example", "host names are not looked up: use an address"),
            ("nat ip foo.example", "`nat ip` takes an address, no host name"),
            ("next ip tor", "`next ip` takes an address, no host name"),
            ("geo CHE", "a country is two letters"),
            ("geo  CH", "expected one blank and two letters"),
            ("payload regex '['", "not a regular expression: unclosed character class"),
            ("payload regex 'a' x", "flags of a regular expression are i, m and s"),
            ("pf action foo", "known: pass block scrub"),
            ("pf reason memory", "did you mean `\"memory)\"`?"),
            ("@list", "`ip in @FILE` for a list"),
            ("payload ja4s defined", "`payload ja4s` is not supported by this version"),
            (
                "payload dns foo",
                "expected `addr`, `address`, `defined`, `name` after `payload dns`",
            ),
            ("payload tls version 1.4", "known: 1.0 1.1 1.2 1.3"),
            ("payload tls version", "expected an operand after `payload tls version`"),
            ("payload ja3 xyz", "a JA3 fingerprint is 32 hexadecimal digits"),
            ("payload ja4 t13d", "a JA4 fingerprint looks like t13d1516h2_"),
            ("src payload dns defined", "expected `content`, `regex` after `src payload`"),
            ("port in []", "expected at least one item"),
            ("flags = S", "`flags =S`, without a blank"),
            ("asa user 1234", "write `asa user \"1234\"`"),
            ("\"port\" 80", "keywords stand without quotes"),
            ("ident 'open", "the quote is not closed"),
            ("nat event ad44", "did you mean `ADD44`?"),
            ("fwdstat bogus", "known: Ukwn Forw Frag"),
            ("packets > 99999999999999999999", "more than 64 bits"),
            ("net 10.0.0.0/33", "at most 32 bits"),
            ("net 10.0.0.0", "`/` and a prefix length"),
            ("mac 00:00:00:00:00:00", "zeros"),
            ("first seen > 2026-13", "the month has two digits, 01 to 12"),
            ("mpls label0 5", "`label1`"),
            ("src", "expected `as`"),
            ("engine foo 1", "expected `id`, `type` after `engine`"),
        ] {
            let shown = error(text).to_string();
            assert!(shown.contains(says), "{text}:\n{shown}");
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |n: usize| format!("{}any{}", "(".repeat(n), ")".repeat(n));
        assert!(Filter::parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(*error(&nested(MAX_DEPTH + 1)).kind(), ErrorKind::TooDeep);
        assert_eq!(*error(&"not ".repeat(1 << 20)).kind(), ErrorKind::TooDeep);

        let list = |n: usize| format!("port in [{}]", "1 ".repeat(n));
        assert!(Filter::parse(&list(MAX_LIST)).is_ok());
        assert_eq!(*error(&list(MAX_LIST + 1)).kind(), ErrorKind::ListTooLong);

        let long = " ".repeat(MAX_TEXT);
        assert!(Filter::parse(&long).unwrap().is_any());
        let e = Filter::parse(&format!("{long} ")).unwrap_err();
        assert_eq!(*e.kind(), ErrorKind::TextTooLong(MAX_TEXT + 1));
        assert!(e.to_string().contains("at most 8388608 octets"));

        let user = |n: usize| format!("asa user {}", "x".repeat(n));
        assert!(Filter::parse(&user(65)).is_ok() && Filter::parse(&user(66)).is_err());
        // Chains are not nested.
        assert!(Filter::parse(&vec!["any"; 100_000].join(" or ")).is_ok());
    }
}
