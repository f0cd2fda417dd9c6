//! `flowanon`, also `nfanon`: other addresses in flow files.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowanon::main)
}
