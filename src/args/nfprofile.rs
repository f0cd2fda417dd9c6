//! Options of nfprofile, which NfSen calls once a slot.

use clap::{ArgAction, Parser};
use std::path::PathBuf;

/// Works on a slot for NfSen: channels on standard input, filters beside the counters.
///
/// A line of standard input is GROUP#PROFILE#TYPE#CHANNEL#SOURCE|SOURCE...; the filter of a channel
/// is in STATDIR/GROUP/PROFILE/CHANNEL-filter.txt. flowprofile is the same without NfSen.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "\
Exit status: 0 done, also after wrong options, for which it prints its help, 1 nothing could be done,
as without a directory or a file to read, 130 interrupted."
)]
pub struct Args {
    /// Read channels from standard input
    #[arg(short = 'I')]
    pub channels: bool,

    /// Directory of profiles
    #[arg(short = 'p', value_name = "DATADIR")]
    pub data: Option<PathBuf>,

    /// Directory of filters and counters [default: that of -p]
    #[arg(short = 'P', value_name = "STATDIR")]
    pub stats: Option<PathBuf>,

    /// Read the file of -r from several directories: DIR1:DIR2
    #[arg(short = 'M', value_name = "DIRS")]
    pub sources: Option<String>,

    /// The file of the slot
    #[arg(short = 'r', value_name = "FILE")]
    pub read: Option<String>,

    /// What names of filters end with
    #[arg(short = 'f', value_name = "NAME", default_value = "filter.txt")]
    pub filter: String,

    /// Sub directories: 0 to 8, as those of nfcapd
    #[arg(short = 'S', value_name = "N", default_value_t = 0)]
    pub subdirs: u8,

    /// Slot of the counters in Unix time; without it nothing is counted
    #[arg(short = 't', value_name = "TIME")]
    pub time: Option<u64>,

    /// How sub-archives are compressed
    #[command(flatten)]
    pub compress: super::Compress,

    /// Check filters, and end
    #[arg(short = 'Z')]
    pub check: bool,

    /// Facility of the log: accepted, messages go to standard error
    #[arg(short = 'L', value_name = "FACILITY")]
    pub log: Option<String>,

    /// Name server: accepted
    #[arg(short = 'D', value_name = "DNS", hide = true)]
    pub dns: Option<String>,

    /// InfluxDB: accepted, nothing is sent
    #[arg(short = 'i', value_name = "URL", hide = true)]
    pub influx: Option<String>,

    /// Print the version
    #[arg(short = 'V', action = ArgAction::Version)]
    pub version: (),
}
