//! A command for each finished file.
//!
//! Commands are started and not waited for: a slow one delays nothing, several may run at once.
//! Their end is looked at later, so that none stays behind as a zombie.

use std::path::PathBuf;
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
    /// Whether a shell reads it, so that what tokens bring has to be quoted.
    is_for_shell: bool,
}

impl Launch {
    /// Takes a command line apart at blanks, where quotes mean nothing; or leaves that to `sh`.
    ///
    /// # Errors
    /// If it is empty or has an unknown token.
    pub fn parse(line: &str, is_for_shell: bool) -> Result<Self, Error> {
        if line.trim().is_empty() {
            return Err(Error::Command("is empty"));
        }
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            if c == '%' && !chars.next().is_some_and(|t| "fdtui%".contains(t)) {
                return Err(Error::Command("only %f, %d, %t, %u, %i and %% are known"));
            }
        }
        let words: Vec<&str> = match is_for_shell {
            true => vec!["sh", "-c", line],
            false => line.split_whitespace().collect(),
        };
        let words = words.into_iter().map(str::to_owned).collect();
        Ok(Self { words, is_for_shell })
    }

    /// The words with every token replaced. What a token brings is not looked at again, and never
    /// makes two words of one.
    fn expand(&self, file: &FinishedFile) -> Vec<String> {
        let value = |token| {
            let text = match token {
                'f' => file.path.to_string_lossy().into_owned(),
                'd' => file.dir.to_string_lossy().into_owned(),
                't' => file.slot_text.clone(),
                'u' => file.slot_secs.to_string(),
                'i' => file.ident.clone(),
                other => return other.to_string(),
            };
            if self.is_for_shell { format!("'{}'", text.replace('\'', "'\\''")) } else { text }
        };
        let expand = |word: &String| {
            let (mut out, mut chars) = (String::with_capacity(word.len()), word.chars());
            while let Some(c) = chars.next() {
                match (c, if c == '%' { chars.next() } else { None }) {
                    // Until nfdump 1.7.1 %f was the path below %d.
                    ('%', Some('d')) if chars.as_str().starts_with("/%f") => _ = chars.next(),
                    ('%', Some(token)) => out.push_str(&value(token)),
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
        let launch = Launch::parse("  post %f --dir=%d/x %t:%u\t%i 100%%  ", false).unwrap();
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
    fn paths_of_older_hooks_lead_to_the_file() {
        for (line, is_for_shell, want) in [
            ("post %d/%f", false, "/data/a b/nfcapd.202611211005"),
            ("post --in=%d/%f:%d", false, "--in=/data/a b/nfcapd.202611211005:/data/a b"),
            ("post %%d/%f", false, "%d//data/a b/nfcapd.202611211005"),
            ("post %d/%f", true, "post '/data/a b/nfcapd.202611211005'"),
        ] {
            let launch = Launch::parse(line, is_for_shell).unwrap();
            assert_eq!(launch.expand(&file()).last().unwrap(), want, "{line}");
        }
    }

    #[test]
    fn a_shell_gets_what_tokens_bring_in_quotes() {
        let launch = Launch::parse("echo \"$HOME\" %f | tee %i 5%%", true).unwrap();
        let file = FinishedFile { ident: "it's; rm -r *".to_owned(), ..file() };
        let want = "echo \"$HOME\" '/data/a b/nfcapd.202611211005' | tee 'it'\\''s; rm -r *' 5%";
        assert_eq!(launch.expand(&file), ["sh", "-c", want]);
    }

    #[test]
    fn lines_that_cannot_run_are_refused() {
        for line in ["", "   ", "post %", "post %x", "post %f%"] {
            assert!(matches!(Launch::parse(line, false), Err(Error::Command(_))), "{line:?}");
        }
    }

    #[test]
    fn commands_run_and_are_collected() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        let line = format!("touch {}", made.display());
        let mut launcher = Launcher::new(Launch::parse(&line, false).unwrap());
        launcher.start(&file());
        while !launcher.running.is_empty() {
            launcher.reap();
            std::thread::yield_now();
        }
        assert!(made.exists());
        let mut missing = Launcher::new(Launch::parse("/no/such/program", false).unwrap());
        missing.start(&file());
        assert!(missing.running.is_empty());
    }
}
