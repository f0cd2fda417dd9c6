//! `flowprobe`, also `softflowd`: watches packets and exports flows.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowprobe::main)
}
