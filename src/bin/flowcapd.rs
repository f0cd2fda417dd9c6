//! `flowcapd`, also `nfcapd`: collects flow exports and writes flow files.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowcapd::main)
}
