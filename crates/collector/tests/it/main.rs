//! The collector as a program uses it.

mod common;
mod loopback;
mod slots;
mod trouble;
