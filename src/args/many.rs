//! Options that name many flow files, for all that read them as flowdump does.

use clap::Args as Group;

/// Many files.
#[derive(Debug, Default, Group)]
pub struct Many {
    /// Read many files: DIR, DIR/FIRST (from there on) or DIR/FIRST:LAST
    #[arg(short = 'R', long, value_name = "DIR[/FIRST[:LAST]]", help_heading = "Input")]
    pub range: Option<String>,

    /// Read the same names below several directories: BASE/DIR1:DIR2:..., or PATH@ for all
    #[arg(short = 'M', long = "sources", value_name = "BASE/DIR1:DIR2", help_heading = "Input")]
    pub multi: Option<String>,
}
