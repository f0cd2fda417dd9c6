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
//! files, nor where rows come from, nor command lines. It looks nothing up: no host names, no
//! countries.
//!
//! Where it differs from nfdump on purpose:
//!
//! * the operand of `net` is masked, so `net 10.1.2.3/8` is `net 10.0.0.0/8`; `::/0` is all of
//!   IPv6; short IPv4 prefixes (`net 10/8`) are read; address lists are sets without exceptions;
//! * `port=80` needs no blanks, `flags AS` no quotes, and an ident may be any text;
//! * numbers that need more than 64 bits are errors;
//! * MPLS labels count from 1, and labels outside of 1 to 10 are errors;
//! * a text without any term asks for everything, even if it has a comment;
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
mod error;
mod eval;
mod names;
#[cfg(test)]
mod oracle;
mod parse;
mod primitive;
mod program;
mod ratio;
mod select;
mod sets;
mod suggest;
mod time;
mod token;

pub use ast::{Expr, Span};
pub use error::{Error, ErrorKind};
pub use select::Evaluator;
pub use time::Zone;

use program::Program;
use record::{Field, Row};

/// Octets a filter text may have.
pub const MAX_TEXT: usize = 8 << 20;
/// Levels that parentheses and `not` may be nested.
pub const MAX_DEPTH: usize = 256;
/// Items one list may have.
pub const MAX_LIST: usize = 1 << 20;

/// A filter, parsed and compiled.
#[derive(Debug)]
pub struct Filter {
    tree: Expr,
    program: Program,
}

/// What the reading of a text depends on besides the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParseOptions<'a> {
    /// Name of the file the text came from, for messages.
    pub source: Option<&'a str>,
    /// Zone of the times of `first seen` and `last seen`.
    pub zone: Zone,
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
        if text.len() > MAX_TEXT {
            let kind = ErrorKind::TextTooLong(text.len());
            return Err(Error::new(kind, Span::default(), "", options.source));
        }
        match parse::parse(text, options.zone) {
            Ok(tree) => Ok(Self::compile(tree)),
            Err((kind, span)) => Err(Error::new(kind, span, text, options.source)),
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

    /// Whether one row passes: walks the tree, reads each field by its name.
    pub fn matches(&self, row: Row<'_>, ctx: &Context<'_>) -> bool {
        eval::matches(&self.tree, row, ctx)
    }

    /// What runs the filter over batches of rows. One for each worker.
    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self)
    }
}
