//! `flowreplay`, also `nfreplay`: sends flows of files, or captured export packets, to a collector.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowsuite::app::run(flowsuite::cmd::flowreplay::main)
}
