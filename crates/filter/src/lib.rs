//! The filter language of flowsuite, which is that of nfdump 1.7.
//!
//! ```text
//! text -> tokens -> tree -> program -> one plan a shape -> Selection
//!         token.rs  parse.rs program.rs select.rs
//! ```
//!
//! A [`Filter`] is parsed once and shared by all workers; each worker has an [`Evaluator`] that
//! resolves the filter's fields to offsets once for every [`Shape`](record::Shape) it meets and
//! then runs over whole batches. [`Filter::matches`] asks the same of one row by walking the tree:
//! slow and obvious, and what the batches are tested against.
//!
//! `primitive.rs` is the table of everything a filter can ask. This crate knows records only: not
//! files, nor where rows come from, nor command lines. What has to be looked up or read comes
//! through [`ParseOptions`]: host names, files that the text includes, and a book of addresses,
//! from which `geo XX` and `as N` become sets of networks and `ip tor` a set of addresses with
//! times before the first row is asked. [`Filter::explain`] says in words what a filter does.
//!
//! Where it differs from nfdump on purpose:
//!
//! * the operand of `net` is masked, so `net 10.1.2.3/8` is `net 10.0.0.0/8`; `::/0` is all of
//!   IPv6; short IPv4 prefixes (`net 10/8`) are read; address lists are sets without exceptions;
//! * `port=80` needs no blanks, `flags AS` no quotes, and an ident may be any text;
//! * numbers that need more than 64 bits are errors;
//! * MPLS labels count from 1, and labels outside of 1 to 10 are errors;
//! * a text without any term asks for everything, even if it has a comment;
//! * `geo` takes its country also in quotes, `pf action` and `pf reason` also numbers;
//! * `pf dir out` is every direction but 1, as listings print it;
//! * `in @FILE` is the list of what a file has: `src ip in @blocked`;
//! * `payload content` finds every occurrence, also behind a partial one;
//! * `payload dns` looks at flows of any port, `payload tls` also at hellos that are cut off;
//!   with `out` they look at the other direction;
//! * the manual's `asa event deny`, `term` and `denied ingress` are read.
//!
//! ```
//! let filter = filter::Filter::parse("src net 10.0.0.0/8 and dst port in [80, 443]")?;
//! assert_eq!(filter.tree().to_string(), "src net 10.0.0.0/8 and dst port in [80, 443]");
//!
//! let error = filter::Filter::parse("sport 80").unwrap_err();
//! assert_eq!(error.nfdump_line(), "Line 1: syntax error at 'sport'");
//! assert!(error.to_string().ends_with("did you mean `src port`?"));
//! # Ok::<(), filter::Error>(())
//! ```

#![forbid(unsafe_code)]

mod ast;
mod check;
mod digest;
mod error;
mod eval;
mod explain;
mod index;
mod message;
mod names;
#[cfg(test)]
mod oracle;
mod parse;
mod primitive;
mod program;
mod ratio;
mod select;
mod sets;
mod sieve;
mod source;
mod suggest;
mod time;
mod token;

pub use ast::{Expr, Span};
pub use digest::Digest;
pub use error::{Error, ErrorKind};
pub use explain::{Explanation, NeverTrue};
pub use select::Evaluator;
pub use time::Zone;

/// What a tree is made of, for whoever asks the same of records that are no rows. What each test
/// means for a row is what [`Filter::matches`] does.
pub mod tree {
    pub use crate::ast::{Cmp, Kind, Net, Pattern, Term, Value};
    pub use crate::primitive::{Part, Rate, Test};
    pub use crate::time::Stamp;
}

use primitive::Test;
use program::Program;
use record::{AddressBook, Field, Row};
use source::Source;
use std::fmt;
use std::net::IpAddr;

/// Octets a filter text may have.
pub const MAX_TEXT: usize = 8 << 20;
/// Levels that parentheses and `not` may be nested.
pub const MAX_DEPTH: usize = 256;
/// Items one list may have.
pub const MAX_LIST: usize = 1 << 20;
/// Levels of files that include each other.
pub const MAX_INCLUDE_DEPTH: usize = 10;
/// Files a text may include, each time counted.
pub const MAX_FILES: usize = 1000;
/// Addresses a host name may have.
pub const MAX_HOST_ADDRESSES: usize = 1024;

/// A filter, parsed and compiled.
#[derive(Debug)]
pub struct Filter {
    tree: Expr,
    program: Program,
}

/// What the reading of a text depends on besides the text. The filter itself neither reads files
/// nor looks anything up: the caller lends what does.
#[derive(Clone, Copy, Default)]
pub struct ParseOptions<'a> {
    /// Name of the file the text came from, for messages.
    pub source: Option<&'a str>,
    /// Zone of the times of `first seen` and `last seen`.
    pub zone: Zone,
    /// What is known of addresses: for `geo`, for `ip tor`, and for `as` where a record has no
    /// number. It is asked while the text is read and not kept. Without it `geo` and `tor` match
    /// nothing but what a record says itself.
    pub book: Option<&'a dyn AddressBook>,
    /// All addresses of a host, or why there are none. Without it host names are errors.
    pub resolve: Option<Resolver<'a>>,
    /// The text of a file, as `@include` and `in @` name it, or why it cannot be read. Without it
    /// such names are errors.
    pub include: Option<Includer<'a>>,
}

/// Looks up the addresses of a host.
pub type Resolver<'a> = &'a dyn Fn(&str) -> Result<Vec<IpAddr>, String>;
/// Reads a file.
pub type Includer<'a> = &'a dyn Fn(&str) -> Result<String, String>;

impl fmt::Debug for ParseOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParseOptions")
            .field("source", &self.source)
            .field("zone", &self.zone)
            .field("book", &self.book)
            .finish_non_exhaustive()
    }
}

/// What a filter may ask of a row that the row does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The ident of the file.
    pub ident: &'a str,
    /// Running number of the row, or of the first row of a batch. The first flow of all input is
    /// number 1.
    pub first_count: u64,
}

// Workers share one filter; each has an evaluator of its own.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Filter>();
    is_shared::<Error>();
};

impl Filter {
    /// Reads a filter whose times are in the zone of the process.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_with(text, &ParseOptions::default())
    }

    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn parse_with(text: &str, options: &ParseOptions<'_>) -> Result<Self, Error> {
        let source = Source::read(text, options)?;
        match parse::parse(source.text(), options) {
            Ok(tree) => Ok(Self::compile(tree)),
            Err((kind, span)) => Err(source.error(kind, span)),
        }
    }

    /// The filter that every row passes.
    pub fn any() -> Self {
        Self::compile(parse::any())
    }

    fn compile(tree: Expr) -> Self {
        let program = Program::new(&tree);
        Self { tree, program }
    }

    /// Whether every row passes, whatever it is.
    pub const fn is_any(&self) -> bool {
        self.program.is_any()
    }

    /// The tree, which prints as canonical text.
    pub const fn tree(&self) -> &Expr {
        &self.tree
    }

    /// The fields it reads, each once.
    pub fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        self.program.fields().iter().copied()
    }

    /// Whether it asks for the running number of records, which then have to be counted in order.
    pub fn uses_count(&self) -> bool {
        self.program.uses_count()
    }

    /// What it asks, reads and can never find, in words.
    pub fn explain(&self) -> Explanation {
        Explanation::new(self)
    }

    /// Whether it asks for the country of an address, which only an [`AddressBook`] knows.
    pub fn needs_countries(&self) -> bool {
        self.asks(|term| term.phrase.line().test == Test::Country)
    }

    /// Whether it asks for exits of the Tor network, which only an [`AddressBook`] knows.
    pub fn needs_tor(&self) -> bool {
        self.asks(|term| term.value == ast::Value::Tor)
    }

    fn asks(&self, of: impl Fn(&ast::Term) -> bool) -> bool {
        let mut found = false;
        self.tree.each_term(&mut |term| found |= of(term));
        found
    }

    /// Whether one row passes: walks the tree, reads each field by its name.
    pub fn matches(&self, row: Row<'_>, ctx: &Context<'_>) -> bool {
        eval::matches(&self.tree, row, ctx)
    }

    /// What runs the filter over batches of rows. One for each worker.
    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self)
    }
}
