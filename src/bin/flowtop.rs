//! `flowtop`: who talks most, in the last minutes.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowtop::main)
}
