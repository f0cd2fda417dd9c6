//! `flowimport`: flows of flow-tools, of CSV and of captures into nfcapd files.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowimport::main)
}
