//! Who answers: a program, Python with the package of an engine, or a server.
//!
//! Whoever it is gets a statement and gives lines of values between tabs or commas.

use anyhow::{Context as _, anyhow, bail, ensure};
use flowsuite::args::flowlake::Sql;
use lake::http::Authorities;
use lake::sql::Engine;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Who answers.
#[derive(Debug)]
pub(crate) enum Runner {
    /// A program that is run for each statement.
    Program(Vec<String>),
    /// Python, run once for all statements.
    Python { program: String, engine: Engine, master: Option<String> },
    /// ClickHouse, or somebody who answers as it does.
    Server { url: String, ca: Option<PathBuf>, user: Option<String>, password: Option<String> },
}

/// Takes a line of the answer to the statement of this number.
type Take<'t> = &'t mut dyn FnMut(usize, &str) -> anyhow::Result<()>;

/// What Python runs: statements behind one another on standard input, each ended by a record
/// separator; so are the answers.
const SCRIPT: &str = include_str!("engine.py");

/// Between statements, and between answers.
const END: &str = "\u{1e}";

impl Runner {
    /// Who is named, or else who is installed.
    pub(crate) fn new(engine: Engine, args: &Sql) -> anyhow::Result<Self> {
        if let Some(command) = &args.runner {
            return Ok(Self::Program(vec!["sh".into(), "-c".into(), command.clone()]));
        }
        let python = |master| Self::Python { program: args.python.clone(), engine, master };
        match (&args.url, engine) {
            (Some(url), _) if url.starts_with("http://") || url.starts_with("https://") => {
                let password = std::env::var("CLICKHOUSE_PASSWORD").ok();
                let (url, ca, user) = (url.clone(), args.ca.clone(), args.user.clone());
                Ok(Self::Server { url, ca, user, password })
            }
            (Some(url), Engine::Spark) => Ok(python(Some(url.clone()))),
            (Some(url), _) => bail!("--url {url}: write http://HOST:PORT or https://HOST:PORT"),
            (None, Engine::DuckDb) => Ok(match in_path("duckdb") {
                true => program(&["duckdb", "-csv", "-nullvalue", r"\N"]),
                false => python(None),
            }),
            (None, Engine::ClickHouse) => Ok(match in_path("clickhouse") {
                true => program(&["clickhouse", "local", "--format", "TabSeparated"]),
                false => python(None),
            }),
            (None, Engine::Spark) => Ok(python(None)),
        }
    }

    /// Has all statements answered, one after the other.
    pub(crate) fn run(&self, statements: &[&str], take: Take<'_>) -> anyhow::Result<()> {
        match self {
            Self::Program(words) => {
                for (n, statement) in statements.iter().enumerate() {
                    let text = format!("{statement};\n");
                    Running::new(words, &[], &text)?.read(None, &mut |_, line| take(n, line))?;
                }
                Ok(())
            }
            Self::Python { program, engine, master } => {
                let master = master.clone().unwrap_or_default();
                let words = [program, "-c", SCRIPT, engine.name(), &master].map(str::to_owned);
                let text: String = statements.iter().map(|s| format!("{s}{END}")).collect();
                Running::new(&words, &[("PYTHONUNBUFFERED", "")], &text)?
                    .read(Some(statements.len()), take)
            }
            Self::Server { url, ca, user, password } => {
                let authorities = Authorities::for_url(url, ca.as_deref())?;
                let agent = lake::http::agent(None, authorities);
                let (user, password) = (user.as_deref(), password.as_deref());
                let server = Server { agent, url, user, password };
                for (n, statement) in statements.iter().enumerate() {
                    server.ask(statement, &mut |line| take(n, line))?;
                }
                Ok(())
            }
        }
    }
}

fn program(words: &[&str]) -> Runner {
    Runner::Program(words.iter().map(|w| (*w).to_owned()).collect())
}

fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).any(|p: PathBuf| p.is_file())
}

/// A program at work. It is ended if its answer is not read to the end.
struct Running {
    child: Child,
    name: String,
    writer: Option<std::thread::JoinHandle<()>>,
    talk: Option<std::thread::JoinHandle<String>>,
}

impl Running {
    fn new(words: &[String], env: &[(&str, &str)], text: &str) -> anyhow::Result<Self> {
        let (first, rest) = words.split_first().context("no program")?;
        let mut child = Command::new(first)
            .args(rest)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{first} cannot be started: is it installed?"))?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let text = text.to_owned();
        // One that does not read its question says so in its answer or its status.
        let writer = std::thread::spawn(move || {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(text.as_bytes());
            }
        });
        let talk = std::thread::spawn(move || stderr.map(last_words).unwrap_or_default());
        let (writer, talk) = (Some(writer), Some(talk));
        Ok(Self { child, name: first.clone(), writer, talk })
    }

    /// Reads the answers. If [`END`] stands behind each, so many have to be there.
    fn read(mut self, wanted: Option<usize>, take: Take<'_>) -> anyhow::Result<()> {
        let stdout = self.child.stdout.take().context("no standard output")?;
        let mut n = 0;
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(|e| anyhow!("the answer of {}: {e}", self.name))?;
            match line.as_str() {
                END => n += 1,
                "" => {}
                line => take(n, line)?,
            }
        }
        let status = self.child.wait()?;
        let talk = self.talk.take().and_then(|t| t.join().ok()).unwrap_or_default();
        ensure!(status.success(), "{} ended with {status}: {}", self.name, last_line(&talk));
        let is_whole = wanted.is_none_or(|wanted| n == wanted);
        ensure!(is_whole, "{}: the answer is cut: {}", self.name, last_line(&talk));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(thread) = self.writer.take() {
            let _ = thread.join();
        }
    }
}

/// The end of what a program says on standard error.
fn last_words(mut from: impl std::io::Read) -> String {
    const KEPT: usize = 16 << 10;
    let (mut kept, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = from.read(&mut piece) {
        kept.extend_from_slice(piece.get(..n).unwrap_or(&[]));
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The line that says most: the last one of an error, without what follows.
fn last_line(talk: &str) -> String {
    let lines: Vec<&str> = talk.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let says = |l: &&&str| l.contains("flowlake:") || l.contains("Error") || l.contains("rror:");
    let line = lines.iter().rev().find(says).or_else(|| lines.last());
    line.map_or_else(
        || "it said nothing".to_owned(),
        |l| l.trim_start_matches("flowlake: ").to_owned(),
    )
}

/// ClickHouse over HTTP.
struct Server<'a> {
    agent: ureq::Agent,
    url: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
}

impl Server<'_> {
    fn ask(
        &self,
        statement: &str,
        take: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // An error behind the first rows would come in the place of rows: it answers once it is done.
        let mut request = self
            .agent
            .post(self.url)
            .query("wait_end_of_query", "1")
            .header("X-ClickHouse-Format", "TabSeparated");
        for (header, value) in
            [("X-ClickHouse-User", self.user), ("X-ClickHouse-Key", self.password)]
        {
            if let Some(value) = value {
                request = request.header(header, value);
            }
        }
        // Whoever goes away here is the engine: that is no reader of ours, which may.
        let mut answer = request
            .send(statement)
            .map_err(|e| anyhow!("{}: {e}: does the engine listen there?", self.url))?;
        let status = answer.status();
        let body = answer.body_mut().as_reader();
        if !status.is_success() {
            let mut said = String::new();
            let _ = body.take(4096).read_to_string(&mut said);
            let said = said.lines().next().unwrap_or_default();
            bail!("{}: {status}: {said}", self.url);
        }
        for line in BufReader::new(body).lines() {
            let line = line.map_err(|e| anyhow!("the answer of {}: {e}", self.url))?;
            if !line.is_empty() {
                take(&line)?;
            }
        }
        Ok(())
    }
}
