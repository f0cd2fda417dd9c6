//! `flowprofile`, also `nfprofile`: named filters applied to the files of each slot.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowprofile::main)
}
