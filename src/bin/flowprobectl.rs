//! `flowprobectl`, also `softflowctl`: asks a running probe, or tells it what to do.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowprobectl::main)
}
