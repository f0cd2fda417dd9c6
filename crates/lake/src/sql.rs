//! Questions of flowdump in the SQL of other engines.
//!
//! ```text
//! filter::Expr ─ predicate ─▶ WHERE ┐
//! query::By, Sorting, fields ───────┴─ statement ─▶ Statement ─ an engine ─▶ lines ─ answer ─▶ Flow
//! ```
//!
//! Trees are translated, never text: whatever a user typed becomes a number, a quoted string or
//! octets in hexadecimal, by the functions of [`Engine`]. What an engine cannot be asked is a
//! [`SqlError`] that names it. This module neither runs engines nor prints answers.

mod answer;
mod engine;
mod key;
mod order;
mod predicate;
mod statement;

pub use answer::{AnswerError, Lines, Sums};
pub use engine::{Engine, Source, Window};
pub use statement::{Asked, Column, Question, Shape, Statement};

/// Why a question has no SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// A part of a filter that engines cannot be asked.
    #[error("the filter asks for `{term}`: {why}; leave it out, or ask flowdump")]
    Filter {
        /// The part, as text.
        term: String,
        /// Why it cannot be asked.
        why: &'static str,
    },
    /// A statistic or a group that engines cannot be asked.
    #[error("{what}: {why}; ask flowdump")]
    Counted {
        /// Its name.
        what: String,
        /// Why it cannot be asked.
        why: &'static str,
    },
    /// Text that is not to be put into a statement.
    #[error("{what} has control characters: it cannot be put into a statement")]
    Control {
        /// What it is.
        what: &'static str,
    },
    /// Not the name of a table.
    #[error(
        "table name '{0}': write letters, digits and _, with dots between parts, as in net.flows"
    )]
    Table(String),
}
