//! A command for each finished file.
//!
//! Commands are started and not waited for: a slow one delays nothing, several may run at once.
//! Their end is looked at later, so that none stays behind as a zombie.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Error;

/// A finished file, as a command or a callback sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedFile {
    /// Where the file is.
    pub path: PathBuf,
    /// Directory of the source, above sub directories.
    pub dir: PathBuf,
    /// Name of the source.
    pub ident: String,
    /// Start of the slot, seconds since 1970.
    pub slot_secs: u64,
    /// The slot as it stands in the file name, local time.
    pub slot_text: String,
}

/// A command line with tokens: `%f` the file, `%d` its source's directory, `%t` the slot as in the
/// file name, `%u` the slot in seconds since 1970, `%i` the source's name, `%%` a percent sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    words: Vec<String>,
}

impl Launch {
    /// Takes a command line apart at blanks. No shell is involved, so quotes mean nothing.
    ///
    /// # Errors
    /// If it is empty or has an unknown token.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(Error::Command("is empty"));
        }
        for word in &words {
            let mut chars = word.chars();
            while let Some(c) = chars.next() {
                if c == '%' && !chars.next().is_some_and(|t| "fdtui%".contains(t)) {
                    return Err(Error::Command("only %f, %d, %t, %u, %i and %% are known"));
                }
            }
        }
        Ok(Self { words })
    }

    /// The words with every token replaced. What a token brings is not looked at again, and never
    /// makes two words of one.
    fn expand(&self, file: &FinishedFile) -> Vec<String> {
        let lossy = |path: &Path| path.to_string_lossy().into_owned();
        let expand = |word: &String| {
            let (mut out, mut chars) = (String::with_capacity(word.len()), word.chars());
            while let Some(c) = chars.next() {
                match (c, if c == '%' { chars.next() } else { None }) {
                    ('%', Some('f')) => out.push_str(&lossy(&file.path)),
                    ('%', Some('d')) => out.push_str(&lossy(&file.dir)),
                    ('%', Some('t')) => out.push_str(&file.slot_text),
                    ('%', Some('u')) => out.push_str(&file.slot_secs.to_string()),
                    ('%', Some('i')) => out.push_str(&file.ident),
                    (c, _) => out.push(c),
                }
            }
            out
        };
        self.words.iter().map(expand).collect()
    }
}

/// Starts commands and collects their ends.
#[derive(Debug)]
pub struct Launcher {
    launch: Launch,
    running: Vec<Child>,
}

impl Launcher {
    /// Commands that may run at once; a further one is not started, which is logged.
    pub const RUNNING_MAX: usize = 64;

    /// Nothing runs yet.
    pub const fn new(launch: Launch) -> Self {
        Self { launch, running: Vec::new() }
    }

    /// Starts the command for `file`.
    pub fn start(&mut self, file: &FinishedFile) {
        self.reap();
        let words = self.launch.expand(file);
        let Some((program, args)) = words.split_first() else { return };
        if self.running.len() >= Self::RUNNING_MAX {
            log::error!("{} commands still run, not started: {program}", self.running.len());
            return;
        }
        match Command::new(program).args(args).stdin(Stdio::null()).spawn() {
            Ok(child) => self.running.push(child),
            Err(e) => log::error!("cannot start {program}: {e}"),
        }
    }

    /// Forgets the commands that have ended, and logs failures.
    pub fn reap(&mut self) {
        self.running.retain_mut(|child| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                if !status.success() {
                    log::warn!("command {} ended with {status}", child.id());
                }
                false
            }
            Err(_) => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> FinishedFile {
        FinishedFile {
            path: "/data/a b/nfcapd.202611211005".into(),
            dir: "/data/a b".into(),
            ident: "%f".to_owned(),
            slot_secs: 1_795_255_500,
            slot_text: "202611211005".to_owned(),
        }
    }

    #[test]
    fn tokens_are_replaced_once_and_words_stay_words() {
        let launch = Launch::parse("  post %f --dir=%d/x %t:%u\t%i 100%%  ").unwrap();
        let want = [
            "post",
            "/data/a b/nfcapd.202611211005",
            "--dir=/data/a b/x",
            "202611211005:1795255500",
            "%f",
            "100%",
        ];
        assert_eq!(launch.expand(&file()), want);
    }

    #[test]
    fn lines_that_cannot_run_are_refused() {
        for line in ["", "   ", "post %", "post %x", "post %f%"] {
            assert!(matches!(Launch::parse(line), Err(Error::Command(_))), "{line:?}");
        }
    }

    #[test]
    fn commands_run_and_are_collected() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        let line = format!("touch {}", made.display());
        let mut launcher = Launcher::new(Launch::parse(&line).unwrap());
        launcher.start(&file());
        while !launcher.running.is_empty() {
            launcher.reap();
            std::thread::yield_now();
        }
        assert!(made.exists());
        let mut missing = Launcher::new(Launch::parse("/no/such/program").unwrap());
        missing.start(&file());
        assert!(missing.running.is_empty());
    }
}
