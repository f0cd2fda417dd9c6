//! One JSON object a line: what flowdump prints for `-o ndjson`.

use super::{Batch, Delivered, Encode, Encoded, Origin, Sink, SinkError};
use output::{Format, FormatError, FormatOptions, Printer, RecordContext};
use record::Row;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::fd::AsFd as _;
use std::path::Path;

/// Prints lines.
#[derive(Debug)]
pub struct Lines {
    printer: Printer,
}

impl Lines {
    /// Times are in this zone.
    ///
    /// # Errors
    /// None that can happen: the format is known.
    pub fn new(options: &FormatOptions) -> Result<Self, FormatError> {
        Ok(Self { printer: Format::parse("ndjson", options)?.printer() })
    }
}

impl Encode for Lines {
    fn row(&mut self, row: Row<'_>, of: &Origin<'_>, out: &mut Encoded) {
        let context = RecordContext::new(of.ident, of.count);
        self.printer.record(row, &context, &mut out.octets);
    }
}

/// Where lines go.
#[derive(Debug)]
pub enum Target {
    /// A file that is known up to where it is right: each line is there once, whatever happened.
    File {
        /// Which.
        file: File,
        /// Its name.
        name: String,
        /// What is right of it.
        len: u64,
    },
    /// Standard output, or a pipe: what was written is gone.
    Pipe {
        /// Which.
        file: File,
        /// Its name.
        name: String,
    },
}

impl Target {
    /// Standard output: written as it is, also where it is a file.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn standard_output() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self::Pipe { file, name: "standard output".to_owned() })
    }

    /// Opens a file, and cuts off what an earlier run wrote and did not finish; or a pipe, which is
    /// written as it is. `reached` is what the state says.
    ///
    /// # Errors
    /// If it cannot be written, or is shorter than it was.
    pub fn open(path: &Path, reached: u64) -> io::Result<Self> {
        let name = path.display().to_string();
        // A pipe that nobody reads yet is waited for.
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Self::Pipe { file, name });
        }
        if metadata.len() < reached {
            let what = format!("has {} octets, but {reached} were written to it", metadata.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        file.set_len(reached)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self::File { file, name, len: reached })
    }
}

impl Sink for Target {
    fn deliver(&mut self, batch: &Batch, _in_doubt: bool) -> Result<Delivered, SinkError> {
        let octets = &batch.encoded.octets;
        let mut delivered = Delivered::default();
        let (written, name) = match self {
            // What was in doubt has been cut off.
            Self::File { file, name, len } => {
                let written = file.write_all(octets).and_then(|()| file.sync_data());
                if written.is_ok() {
                    *len += octets.len() as u64;
                }
                delivered.reached = *len;
                (written, name)
            }
            Self::Pipe { file, name } => (file.write_all(octets), name),
        };
        written.map_err(|source| SinkError::Io { target: name.clone(), source })?;
        Ok(delivered)
    }
}
