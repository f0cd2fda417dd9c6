//! Who talks most, in the last minutes.
#![forbid(unsafe_code)]
mod counter;
mod follow;
pub mod label;
pub mod model;
mod prompt;
mod window;
pub use counter::{Answer, Counter, End, Line, Lost, Question};
pub use follow::{FilesRead, Follower, Look};
pub use prompt::Prompt;
pub use window::{Length, Measure, Seen, Sums, Talker, Window};
