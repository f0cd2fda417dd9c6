//! The command-line layer of flowsuite: the only place that knows options, `anyhow` and exit
//! statuses. Everything else is in the libraries under `crates/`.
//!
//! * [`app`]: from `main` to exit status: error line, broken pipe;
//! * [`exit`]: exit statuses;
//! * [`args`]: what the user typed, one file a program;
//! * [`cmd`]: what it means and does, one file a program;
//! * [`config`]: what configuration files say;
//! * [`logger`]: log lines on stderr.

pub mod app;
pub mod args;
pub mod cmd;
pub mod config;
pub mod exit;
pub mod logger;
