//! The socket that commands come through, and the threads that talk to clients.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sys::clock;
use sys::poll::{Ready, Timed, connect_local, listen_local, wait};
use sys::signal::Stop;
use thiserror::Error;

use super::{Command, Format, Reply, Request};

/// How much clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Permissions of the socket: who may write to it may give commands. 0o600 unless told, the
    /// user of the probe and root; 0o660 lets its group in.
    pub mode: u32,
    /// Clients at a time. 8 unless told; others wait until there is a place.
    pub clients: usize,
    /// How long a client may take for its command. 3 s unless told.
    pub request: Duration,
    /// How long the probe may take for the next piece of an answer. 30 s unless told.
    pub answer: Duration,
    /// How long a client may take to read a piece of the answer. 10 s unless told.
    pub read: Duration,
    /// How long all of this may take together. 10 min unless told.
    pub total: Duration,
    /// How long answers that are under way may take when the probe ends. 2 s unless told.
    pub end: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: 0o600,
            clients: 8,
            request: Duration::from_secs(3),
            answer: Duration::from_secs(30),
            read: Duration::from_secs(10),
            total: Duration::from_secs(600),
            end: Duration::from_secs(2),
        }
    }
}

/// Why there is no control socket.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Another probe has it.
    #[error(
        "control socket {path}: a probe answers there already: end it, or name another socket (-c)"
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is in its place.
    #[error(
        "control socket {path}: is there already, and no socket: remove it, or name another (-c)"
    )]
    NoSocket {
        /// What is there.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("control socket {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// A control socket that nobody answers yet.
#[derive(Debug)]
pub struct Server {
    socket: UnixListener,
    file: SocketFile,
    options: Options,
}

impl Server {
    /// Makes the socket. One that was left behind is replaced; one that somebody answers is not. To
    /// be called before privileges are given up.
    ///
    /// # Errors
    /// If a probe answers there, something else is there, or the system refuses.
    pub fn bind(path: &Path, options: Options) -> Result<Self, ControlError> {
        let failed = |source| ControlError::Io { path: path.to_owned(), source };
        let mut bound = listen_local(path, options.mode);
        if bound.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse) {
            make_room(path)?;
            bound = listen_local(path, options.mode);
        }
        let socket = bound.map_err(failed)?;
        let file = SocketFile::new(path).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self { socket, file, options })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Starts to answer. To be called after the process went to the background. The socket goes
    /// when [`Running`] does.
    ///
    /// # Errors
    /// If the system has no thread or descriptor left.
    pub fn start(self) -> io::Result<(Requests, Running)> {
        let Self { socket, file, options } = self;
        // Each client waits for the answer before it is gone: there are never more.
        let (sender, receiver) = bounded(options.clients);
        let stop = Stop::new().map_err(io::Error::other)?;
        let open = Arc::new(AtomicUsize::new(0));
        let host = Host { requests: sender, options, open: Arc::clone(&open) };
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || host.run(&socket, &stopped))?;
        let running = Running { stop, thread: Some(thread), open, end: options.end, _file: file };
        Ok((Requests(receiver), running))
    }
}

/// Removes what a probe left behind that is gone.
fn make_room(path: &Path) -> Result<(), ControlError> {
    let failed = |source| ControlError::Io { path: path.to_owned(), source };
    if !fs::symlink_metadata(path).map_err(failed)?.file_type().is_socket() {
        return Err(ControlError::NoSocket { path: path.to_owned() });
    }
    match connect_local(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        // One that has more clients waiting than it can hold lives, too.
        Ok(_) => Err(ControlError::InUse { path: path.to_owned() }),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            Err(ControlError::InUse { path: path.to_owned() })
        }
        Err(e) => Err(failed(e)),
    }
}

/// The file of a socket, removed when dropped unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Out of reach, perhaps, after giving up privileges: the next probe replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The loop's end of a control socket.
#[derive(Debug)]
pub struct Requests(Receiver<Request>);

impl Requests {
    /// The next request, if there is one. Never waits.
    pub fn take(&self) -> Option<Request> {
        self.0.try_recv().ok()
    }
}

/// A control socket that is answered, until this is dropped: then answers that are under way get a
/// moment to leave, and the socket is removed.
#[derive(Debug)]
pub struct Running {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
    open: Arc<AtomicUsize>,
    end: Duration,
    _file: SocketFile,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let until = clock::monotonic() + self.end;
        while self.open.load(Ordering::SeqCst) > 0 && clock::monotonic() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Lets clients in.
struct Host {
    requests: Sender<Request>,
    options: Options,
    open: Arc<AtomicUsize>,
}

impl Host {
    fn run(&self, socket: &UnixListener, stop: &Stop) {
        /// Until a place is free, or a descriptor.
        const PAUSE: Duration = Duration::from_millis(10);
        while !stop.is_requested() {
            let is_full = self.open.load(Ordering::SeqCst) >= self.options.clients;
            let mut fds = vec![(stop.as_fd(), Ready::READ)];
            if !is_full {
                fds.push((socket.as_fd(), Ready::READ));
            }
            let Ok(ready) = wait(&fds, is_full.then_some(PAUSE)) else { return };
            if ready.get(1).is_some_and(|r| r.any()) {
                match socket.accept() {
                    Ok((stream, _)) => self.admit(stream),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        }
    }

    /// Gives the client a thread; without one it is hung up on, which says enough.
    fn admit(&self, stream: UnixStream) {
        let place = Place::take(&self.open);
        let client = Client { requests: self.requests.clone(), options: self.options };
        let serve = move || {
            let _place = place;
            // Whoever hangs up has lost interest.
            let _ = client.serve(&stream);
        };
        let _ = thread::Builder::new().name("control client".to_owned()).spawn(serve);
    }
}

/// One of the clients that are served.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a thread needs to serve a client.
struct Client {
    requests: Sender<Request>,
    options: Options,
}

impl Client {
    fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        self.converse(stream)?;
        stream.shutdown(Shutdown::Write)?;
        // What the client still says is read, or it would be told of a connection that broke.
        let mut rest = Timed::new(stream, self.options.request).take(LONGEST as u64);
        io::copy(&mut rest, &mut io::sink()).map(drop)
    }

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        let until = clock::monotonic() + self.options.total;
        let line = read_line(&mut Timed::new(stream, self.options.request))?;
        let (command, format) = match parse(&line) {
            Ok(found) => found,
            Err(answer) => return self.write(stream, answer.as_bytes()),
        };
        let (pieces, answer) = bounded(Reply::PIECES);
        let request = Request { command, format, reply: Reply(pieces) };
        if self.requests.try_send(request).is_err() {
            return self.write(stream, b"The probe takes no commands any more\n");
        }
        while clock::monotonic() < until {
            match answer.recv_timeout(self.options.answer) {
                Ok(piece) => self.write(stream, &piece)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    let answer = format!("No answer in {} s\n", self.options.answer.as_secs());
                    return self.write(stream, answer.as_bytes());
                }
            }
        }
        Ok(())
    }

    fn write(&self, stream: &UnixStream, piece: &[u8]) -> io::Result<()> {
        Timed::new(stream, self.options.read).write_all(piece)
    }
}

/// Octets of the longest line. softflowd reads 63.
const LONGEST: usize = 255;

/// Reads up to the end of the line or of what the client has to say.
fn read_line(client: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(64);
    let mut piece = [0; 64];
    while line.len() <= LONGEST {
        let len = client.read(&mut piece)?;
        let read = piece.get(..len).unwrap_or_default();
        let end = read.iter().position(|b| *b == b'\n');
        line.extend_from_slice(read.get(..end.unwrap_or(len)).unwrap_or_default());
        if end.is_some() || len == 0 {
            break;
        }
    }
    line.truncate(LONGEST);
    Ok(line)
}

/// A line as a command; otherwise what is to be said about it.
fn parse(line: &[u8]) -> Result<(Command, Format), String> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    let (word, format) = match text.split_once(char::is_whitespace) {
        Some((word, rest)) if matches!(rest.trim(), "json" | "--json") => (word, Format::Json),
        _ => (text, Format::Text),
    };
    match Command::from_word(word) {
        Some(command) if format == Format::Text || command.has_json() => Ok((command, format)),
        _ if text == "help" => Err(HELP.to_owned()),
        _ => Err(format!("{UNKNOWN} \"{}\"\n", text.escape_debug())),
    }
}

/// How an answer begins that is none.
pub(crate) const UNKNOWN: &str = "Unknown control command";

const HELP: &str = "\
Valid control words are:
\tdebug+ debug- delete-all dump-flows exit expire-all
\tshutdown start-gather statistics stop-gather timeouts
\tsend-template
";
