//! Who talks most, in the last minutes: flow files are followed as they grow, summed up over a
//! window that moves, and shown on a terminal.
//!
//! ```text
//! files ─ Follower ─▶ Rows ─▶ Counter (filter, keys, Window) ─▶ Answer
//!                                                                 │
//!            keys ─▶ Model::update(Event) ─▶ Effects              ▼
//!                         └──────── view, tui ◀──── Model ◀── Event::Answer
//! ```
//!
//! * [`Follower`]: what is new in files and directories since the last look;
//! * [`Window`]: sums by key over a window of time;
//! * [`Counter`]: a question, counted; [`Answer`]: what it says at a moment;
//! * [`model`]: the state of the screen, without a terminal;
//! * [`view`]: the screen as text; `tui` (by feature): drawn, and the keys of the terminal.
//!
//! This crate starts no threads and looks at no clock: `now` is passed in.

#![forbid(unsafe_code)]

mod counter;
mod follow;
pub mod label;
pub mod model;
mod prompt;
#[cfg(feature = "tui")]
pub mod tui;
pub mod view;
mod window;

pub use counter::{Answer, Counter, End, Line, Lost, Question};
pub use follow::{FilesRead, Follower, Look};
pub use prompt::Prompt;
pub use window::{Length, Measure, Seen, Sums, Talker, Window};
