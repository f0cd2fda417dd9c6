//! `flowdump`, also `nfdump`: reads flow files and answers questions about them.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowdump::main)
}
