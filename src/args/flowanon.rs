//! Options of `flowanon`: those of nfanon letter by letter, and more under long names.

use clap::{ArgAction, Parser, ValueEnum};
use std::path::PathBuf;

/// Puts other addresses in the place of those in flow files, so that they can be passed on.
///
/// Addresses become others that share as many first bits as before (CryptoPAn), the same under one
/// key in all files; or they lose their last bits. AS numbers become 0. Payload, names of users and
/// interfaces, labels and the ident are left out.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_override_self = true,
    after_help = "\
PREFIXES: 10.0.0.0/8,2001:db8::/32; or @FILE with one a line, # begins a comment.
KEY: 32 characters, or 0x and 64 hexadecimal digits. Whoever has it can undo everything. On the
command line others can see it: -K @FILE or --key-file FILE reads the first line of a file.

Without -w each file is replaced when the new one is whole. Files that are anonymised already,
damaged or being written are left alone. Output is always of the layout nfdump 1.7 reads, and never
encrypted.

Exit status: 0 done, 1 wrong options or key, or files that were left alone, 130 interrupted. Under
the name nfanon a wrong key is 255, files that cannot be read are 0.

Examples:
  flowanon --key-file secret -r nfcapd.202604101200 -w shared/       a copy
  flowanon --key-file secret -r /var/flows                           all files below, in place
  flowanon --key-file secret -r in -w out --only 10.0.0.0/8          our addresses alone
  flowanon --key-file secret -r in -w out --except 0.0.0.0/32,224.0.0.0/4
  flowanon --truncate4 24 --truncate6 48 -r in -w out                no key: networks stay"
)]
pub struct Args {
    /// Read one file, or all files in a directory and below
    #[arg(short = 'r', long = "read", value_name = "PATH", help_heading = "Files")]
    pub read: Option<String>,

    /// Write to a file; of a directory, to files of the same names below a directory [default: the
    /// files that are read]
    #[arg(short = 'w', long = "write", value_name = "PATH", help_heading = "Files")]
    pub write: Option<PathBuf>,

    /// Passphrase of encrypted files, in the first line of a file; or without @, for all to see
    #[arg(long, value_name = "@FILE", help_heading = "Files")]
    pub passphrase: Option<String>,

    /// Anonymise files that are anonymised already once more
    #[arg(long, help_heading = "Files")]
    pub again: bool,

    /// Key of the addresses
    #[arg(short = 'K', long, value_name = "KEY", allow_hyphen_values = true, help_heading = "How")]
    pub key: Option<String>,

    /// Key of the addresses, in the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "key", help_heading = "How")]
    pub key_file: Option<PathBuf>,

    /// Keep only the first N bits of IPv4 addresses, with a key of those that it makes
    /// [default: 32; without a key 24]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=32),
          help_heading = "How")]
    pub truncate4: Option<u8>,

    /// Keep only the first N bits of IPv6 addresses, likewise [default: 128; without a key 48]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=128),
          help_heading = "How")]
    pub truncate6: Option<u8>,

    /// What becomes of MAC addresses; without a key replaced ones are zero
    #[arg(long, value_name = "HOW", value_enum, default_value_t = MacHow::Replace,
          help_heading = "How")]
    pub macs: MacHow,

    /// Leave source addresses, translated or not, and source AS numbers as they are
    #[arg(short = 's', long, help_heading = "What stays")]
    pub keep_source: bool,

    /// Leave destination addresses, translated or not, and destination AS numbers as they are
    #[arg(short = 'd', long, help_heading = "What stays")]
    pub keep_destination: bool,

    /// Replace only addresses in these prefixes
    #[arg(long, value_name = "PREFIXES", help_heading = "What stays")]
    pub only: Option<String>,

    /// Leave addresses in these prefixes as they are
    #[arg(long, value_name = "PREFIXES", help_heading = "What stays")]
    pub except: Option<String>,

    /// Leave AS numbers as they are
    #[arg(long, help_heading = "What stays")]
    pub keep_as: bool,

    /// Keep what is left out otherwise, although it may hold addresses
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        help_heading = "What stays"
    )]
    pub keep: Vec<Keep>,

    /// Threads [default: one for each core]
    #[arg(short = 'W', long, value_name = "N", help_heading = "General")]
    pub threads: Option<usize>,

    /// How much is told: 0 errors, 1 sums, 2 each file
    #[arg(short = 'v', long, value_name = "LEVEL", default_value_t = 1, hide_default_value = true,
          num_args = 0..=1, default_missing_value = "2", help_heading = "General")]
    pub verbose: u8,

    /// As -v 0
    #[arg(short = 'q', long, help_heading = "General")]
    pub quiet: bool,

    /// Configuration of nfanon: there is nothing in it that this program needs
    #[arg(short = 'C', value_name = "FILE", hide = true)]
    pub config: Option<PathBuf>,

    /// As -W, in older scripts
    #[arg(short = 't', value_name = "N", hide = true)]
    pub old_threads: Option<usize>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "General")]
    pub version: (),
}

/// What becomes of MAC addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MacHow {
    /// Others take their place
    Replace,
    /// They become 0
    Zero,
    /// They stay
    Keep,
}

/// What is left out unless it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    /// First octets of connections, sections of frames
    Payload,
    /// Names of users and subscribers
    Users,
    /// Labels
    Labels,
    /// Names of interfaces, VRFs and applications
    Names,
    /// The ident of the file
    Ident,
    /// Side files in a directory that is anonymised in place, indexes excepted
    SideFiles,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn options_are_those_of_nfanon() {
        Args::command().debug_assert();
        let read = |args: &[&str]| Args::try_parse_from([&["nfanon"], args].concat());
        let all = read(&["-K", "k", "-r", "in", "-w", "out", "-s", "-d", "-W", "3", "-v", "0"]);
        let all = all.unwrap();
        assert_eq!((all.key.as_deref(), all.read.as_deref()), (Some("k"), Some("in")));
        assert_eq!(all.write, Some("out".into()));
        assert!(all.keep_source && all.keep_destination && !all.quiet);
        assert_eq!((all.threads, all.verbose), (Some(3), 0));
        assert!(read(&["-q", "-t", "2", "-C", "none"]).unwrap().quiet);
        assert_eq!(read(&["-v"]).unwrap().verbose, 2);
        assert_eq!(read(&[]).unwrap().verbose, 1);
        let keep = read(&["--keep", "payload,side-files"]).unwrap().keep;
        assert_eq!(keep, [Keep::Payload, Keep::SideFiles]);
    }
}
