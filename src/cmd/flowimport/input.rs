//! What is imported: which files, and what they are.

use crate::args::flowimport::{Args, Format};
use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use flowtools::FileName;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use sys::poll::Ready;
use sys::signal::Stop;

/// The files that the options mean, and what is said of directories.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) files: Vec<PathBuf>,
    pub(super) notes: Vec<String>,
}

impl Inputs {
    /// Files in the order in which they are given, those of directories in the order of time.
    pub(super) fn find(args: &Args) -> anyhow::Result<Self> {
        let mut inputs = Self::default();
        for path in args.inputs.iter().chain(&args.read) {
            match path.is_dir() {
                true => inputs.directory(path, args.all, |_| true)?,
                false => inputs.files.push(path.clone()),
            }
        }
        for path in &args.range {
            match path.is_dir() {
                true => inputs.directory(path, args.all, |_| true)?,
                false => inputs.range(path, args.all)?,
            }
        }
        ensure!(
            !inputs.files.is_empty(),
            "nothing to import: name files, directories, or - for standard input"
        );
        Ok(inputs)
    }

    /// `DIR/FIRST` or `DIR/FIRST:LAST`.
    fn range(&mut self, path: &Path, with_open: bool) -> anyhow::Result<()> {
        let wrong = || format!("-R {}: write DIR, DIR/FIRST or DIR/FIRST:LAST", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).with_context(wrong)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let (first, last) = match name.split_once(':') {
            Some((first, last)) => (first, Some(FileName::parse(last).with_context(wrong)?)),
            None => (name, None),
        };
        let first = FileName::parse(first).with_context(wrong)?;
        self.directory(dir.unwrap_or_else(|| Path::new(".")), with_open, |file| {
            let Some(name) = FileName::of(file) else { return false };
            name.start >= first.start && last.is_none_or(|last| name.start <= last.start)
        })
    }

    fn directory(
        &mut self,
        dir: &Path,
        with_open: bool,
        is_wanted: impl Fn(&Path) -> bool,
    ) -> anyhow::Result<()> {
        let found = flowtools::find(dir, with_open)
            .with_context(|| format!("cannot read {}", dir.display()))?;
        let before = self.files.len();
        self.files.extend(found.files.into_iter().filter(|file| is_wanted(file)));
        let shown = dir.display();
        if self.files.len() == before {
            bail!(
                "{shown} has no files of flow-tools that are wanted: name other files one by one"
            );
        }
        if found.open > 0 {
            self.notes.push(format!(
                "{shown}: {} files are being written and left out: take them by -a",
                found.open
            ));
        }
        if found.others > 0 {
            self.notes.push(format!(
                "{shown}: {} files or directories are not named as flow-capture does, left out",
                found.others
            ));
        }
        Ok(())
    }
}

/// Octets from a file or a pipe.
pub(super) type Octets = Box<dyn Read + Send>;

/// Standard input, which ends when a stop is requested: nobody waits for a pipe that is silent.
struct Stdin {
    input: File,
    stop: Stop,
}

impl Read for Stdin {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while !self.stop.is_requested() {
            let fds = [(self.input.as_fd(), Ready::READ), (self.stop.as_fd(), Ready::READ)];
            if sys::poll::wait(&fds, None)?.first().is_some_and(|input| input.readable) {
                return self.input.read(room);
            }
        }
        Ok(0)
    }
}

/// Opens an input and says what it is. Octets of gzip are unpacked.
pub(super) fn open(path: &Path, format: Format, stop: &Stop) -> anyhow::Result<(Format, Octets)> {
    let octets: Octets = match path.as_os_str() == "-" {
        true => {
            let input = io::stdin().as_fd().try_clone_to_owned()?;
            Box::new(Stdin { input: input.into(), stop: stop.clone() })
        }
        false => {
            let file = File::open(path).context("cannot be opened")?;
            ensure!(!file.metadata()?.is_dir(), "is a directory");
            Box::new(file)
        }
    };
    let (mut head, mut octets) = peek(octets)?;
    if head.starts_with(&[0x1f, 0x8b]) {
        (head, octets) = peek(Box::new(MultiGzDecoder::new(octets)))?;
    }
    let format = match format {
        Format::Auto => recognise(&head)?,
        told => told,
    };
    Ok((format, octets))
}

/// The first four octets, and all of them.
fn peek(mut octets: Octets) -> io::Result<(Vec<u8>, Octets)> {
    let mut head = Vec::new();
    (&mut octets).take(4).read_to_end(&mut head)?;
    let again = Cursor::new(head.clone());
    Ok((head, Box::new(again.chain(octets))))
}

fn recognise(head: &[u8]) -> anyhow::Result<Format> {
    const CAPTURES: [[u8; 4]; 7] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
        *b"snoo",
        [0x28, 0xb5, 0x2f, 0xfd], // packed by zstd
    ];
    let is_text = |b: &u8| b.is_ascii_digit() || matches!(b, b'#' | b' ' | b'\n' | b'\r');
    match head {
        [] => bail!("is empty"),
        [0xcf, ..] => Ok(Format::FlowTools),
        [0x0c, 0xa5, ..] | [0xa5, 0x0c, ..] => {
            bail!("is a file of nfcapd already: join such files by flowdump -R DIR -w FILE")
        }
        _ if CAPTURES.iter().any(|magic| magic == head) => Ok(Format::Pcap),
        [first, ..] if is_text(first) => Ok(Format::Csv),
        _ => bail!(
            "is neither of flow-tools nor CSV nor a capture (it starts with {head:02x?}): say what it \
             is by --format"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_octets_say_what_it_is() {
        for (head, want) in [
            (&[0xcf, 0x10, 1, 3][..], Some(Format::FlowTools)),
            (&[0xcf], Some(Format::FlowTools)),
            (b"#:un", Some(Format::Csv)),
            (b"1324", Some(Format::Csv)),
            (&[0xd4, 0xc3, 0xb2, 0xa1], Some(Format::Pcap)),
            (&[0x0a, 0x0d, 0x0d, 0x0a], Some(Format::Pcap)),
            (b"\n#:u", Some(Format::Csv)),
            (&[0x0c, 0xa5, 2, 0], None),
            (&[0x7f, b'E', b'L', b'F'], None),
            (&[], None),
        ] {
            assert_eq!(recognise(head).ok(), want, "{head:?}");
        }
    }
}
