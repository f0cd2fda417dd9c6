//! `flownatd`: who had which public address and port, from the connection table of Linux.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flownatd::main)
}
