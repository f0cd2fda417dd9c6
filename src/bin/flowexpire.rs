//! `flowexpire`, also `nfexpire`: keeps directories of flow files within limits.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowexpire::main)
}
