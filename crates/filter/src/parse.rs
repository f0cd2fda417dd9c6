//! Tokens to a typed tree: recursive descent with one token of look-ahead.

use crate::ast::{Cmp, Expr, Kind, Net, Span, Term, Value};
use crate::check;
use crate::error::{ErrorKind, shorten};
use crate::names::Names;
use crate::primitive::{ASA_DENIED, Operand, Phrase, Phrases};
use crate::suggest;
use crate::time::{Stamp, Zone};
use crate::token::{Lexer, Token};
use crate::{MAX_DEPTH, MAX_LIST};

/// What is wrong and where.
pub(crate) type Fault = (ErrorKind, Span);

/// Reads a whole text. Without any term it asks for everything.
pub(crate) fn parse(text: &str, zone: Zone) -> Result<Expr, Fault> {
    let mut lexer = Lexer::new(text);
    let (token, span) = lexer.next();
    let mut parser = Parser { lexer, token, span, end: 0, zone, depth: 0 };
    if parser.token == Token::End {
        return Ok(any());
    }
    let expr = parser.or()?;
    match parser.token {
        Token::End => Ok(expr),
        _ => Err(parser.syntax("`and`, `or` or the end", None)),
    }
}

/// The filter that asks for everything.
pub(crate) fn any() -> Expr {
    let phrase =
        Phrases::all().find("any").unwrap_or_else(|| unreachable!("`any` is in the table"));
    let term = Term { phrase, value: Value::None };
    Expr { kind: Kind::Term(term), span: Span::default() }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// The next token, not used yet.
    token: Token<'t>,
    span: Span,
    /// Where the last token that was used ends.
    end: u32,
    zone: Zone,
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
        Ok(Expr { kind: Kind::Term(Term { phrase, value }), span: self.since(start) })
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

    fn no_phrase(&self, path: &str) -> Fault {
        let hint = match self.token {
            Token::Word(word) => suggest::phrase(path, word),
            Token::Quoted(_) => Some("keywords stand without quotes".to_owned()),
            Token::Other('&') => Some("write `and`".to_owned()),
            Token::Other('|') => Some("write `or`".to_owned()),
            Token::Other('@') => {
                return (ErrorKind::Unsupported("`@include` is"), self.span);
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
            Operand::Unsupported(what) => {
                let what = match what {
                    "geo" => "`geo`, which needs a database of countries, is",
                    "pf" => "`pf` is",
                    _ => "`payload` is",
                };
                return Err((ErrorKind::Unsupported(what), start));
            }
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
        Ok(Value::Net(check::address(word).map_err(|kind| (kind, span))?))
    }

    fn net(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
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

    fn time(&mut self, phrase: &Phrase) -> Result<Value, Fault> {
        let cmp = self.comparator().unwrap_or(Cmp::Eq);
        let (word, span) = self.text_token(phrase)?;
        let stamp = Stamp::parse(word, self.zone).map_err(|why| (ErrorKind::Time(why), span))?;
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
