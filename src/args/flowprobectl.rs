//! Options of `flowprobectl`: those of softflowctl 1.1.

use clap::{ArgAction, Parser};
use std::path::PathBuf;

/// Asks a running probe, or tells it what to do.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "\
Commands:
  statistics     what has been counted         expire-all     export all flows now
  dump-flows     all flows in memory           delete-all     forget all flows
  timeouts       when flows end                send-template  templates with the next flows
  stop-gather    take no packets               shutdown       export everything and end
  start-gather   take packets again            exit           end at once, export nothing
  debug+ debug-  more, less into the log       help           what the probe knows

Exit status: 0 the probe has answered; 1 it does not run, or does not know the command (softflowctl:
0 then)."
)]
pub struct Args {
    /// Socket of the probe [default: /run/flowprobe.ctl, softflowctl /var/run/softflowd.ctl]
    #[arg(short = 'c', long, value_name = "SOCKET")]
    pub control: Option<PathBuf>,

    /// JSON, of statistics, dump-flows and timeouts
    #[arg(long)]
    pub json: bool,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    pub version: (),

    /// What is asked for
    #[arg(value_name = "COMMAND")]
    pub command: String,
}
