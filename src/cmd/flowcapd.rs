//! `flowcapd`: from options to a running collector.

use crate::exit::Exit;
use std::ffi::OsString;

/// Runs `flowcapd` under the name it was started by.
pub fn main(_name: &str, _args: Vec<OsString>) -> anyhow::Result<Exit> {
    anyhow::bail!("not yet")
}
