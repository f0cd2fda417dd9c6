//! Two network namespaces and a wire between them, and frames that are put on it as they are.
//!
//! What goes over the wire is what a test or a benchmark puts there and nothing else: both ends have
//! neither addresses nor IPv6 until somebody gives them some.

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockProtocol, SockType, bind, recv,
    sendmmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use sys::clock;

/// The two namespaces; they are gone, and all that is in them, when this is dropped.
#[derive(Debug)]
pub struct Lab {
    names: [String; 2],
}

/// An end of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where frames are made.
    Near,
    /// Where they arrive.
    Far,
}

/// The wire's name at either end.
pub const WIRE: &str = "wire";

impl Lab {
    /// Makes both namespaces, named after `name` and this process, and the wire.
    ///
    /// # Errors
    /// If it cannot be done here, in the words of `ip`; not every host lets us.
    pub fn new(name: &str) -> io::Result<Self> {
        let names = ["n", "f"].map(|end| format!("{name}{}{end}", std::process::id()));
        let lab = Self { names };
        let [near, far] = &lab.names;
        for name in &lab.names {
            ip(&format!("netns add {name}"))?;
            let quiet = "net.ipv6.conf.default.disable_ipv6=1";
            said(lab.command_in(name, "sysctl").args(["-q", "-w", quiet]))?;
        }
        ip(&format!("link add {WIRE} netns {near} type veth peer name {WIRE} netns {far}"))?;
        for name in &lab.names {
            for link in ["lo", WIRE] {
                ip(&format!("-n {name} link set {link} up"))?;
            }
        }
        Ok(lab)
    }

    /// The name of the namespace at this end.
    pub fn name(&self, end: End) -> &str {
        let [near, far] = &self.names;
        if end == End::Near { near } else { far }
    }

    /// A command that will run at this end.
    pub fn command(&self, end: End, program: impl AsRef<OsStr>) -> Command {
        self.command_in(self.name(end), program)
    }

    fn command_in(&self, name: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", name]).arg(program).stdin(Stdio::null());
        command
    }

    /// Does `work` at this end, in a thread of its own; sockets stay where they were made.
    ///
    /// # Errors
    /// If the namespace cannot be entered, or `work` panics.
    pub fn enter<T: Send>(&self, end: End, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let namespace = File::open(format!("/run/netns/{}", self.name(end)))?;
        let inside = || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|_| Err(io::Error::other("a panic in a namespace")))
    }

    /// Sees what arrives at this end, from now on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn tap(&self, end: End) -> io::Result<Tap> {
        self.enter(end, || Tap::open(WIRE))?
    }

    /// What puts frames on the wire at this end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn injector(&self, end: End) -> io::Result<Injector> {
        self.enter(end, || Injector::open(WIRE))?
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn ip(words: &str) -> io::Result<()> {
    said(Command::new("ip").args(words.split(' ')).stdin(Stdio::null()))
}

/// Runs a command to its end; what it complains about is the error.
fn said(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}", complaint.trim())))
}

/// A packet socket that sends whole frames on one interface and receives nothing.
#[derive(Debug)]
pub struct Injector {
    socket: OwnedFd,
}

/// What was sent, and how long it took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Seconds.
    pub secs: f64,
}

/// Frames that one system call sends.
const BATCH: usize = 64;

/// A packet socket that receives all frames of one interface.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
}

impl Tap {
    fn open(interface: &str) -> io::Result<Self> {
        let socket = packet_socket(interface, Some(SockProtocol::EthAll))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
        Ok(Self { socket })
    }

    /// The next frame, of at most 64 KiB.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` if none comes for a long time.
    pub fn next(&self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; 1 << 16];
        let len = recv(self.socket.as_raw_fd(), &mut frame, MsgFlags::empty())?;
        frame.truncate(len);
        Ok(frame)
    }
}

/// Seconds that a tap waits: far more than a frame needs on a busy machine.
const PATIENCE: i64 = 60;

fn packet_socket(interface: &str, protocol: Option<SockProtocol>) -> io::Result<OwnedFd> {
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let mut links = nix::ifaddrs::getifaddrs()?;
    let address = links.find_map(|link| {
        let address: LinkAddr = *link.address?.as_link_addr()?;
        (link.interface_name == interface).then_some(address)
    });
    bind(fd.as_raw_fd(), &address.ok_or(io::ErrorKind::NotFound)?)?;
    Ok(fd)
}

impl Injector {
    fn open(interface: &str) -> io::Result<Self> {
        Ok(Self { socket: packet_socket(interface, None)? })
    }

    /// Sends these frames, all of them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn send(&self, frames: &[impl AsRef<[u8]>]) -> io::Result<()> {
        for batch in frames.chunks(BATCH) {
            let mut rest = batch;
            while !rest.is_empty() {
                let sent = self.send_batch(rest)?;
                rest = rest.get(sent..).unwrap_or_default();
            }
        }
        Ok(())
    }

    fn send_batch(&self, frames: &[impl AsRef<[u8]>]) -> io::Result<usize> {
        let slices: Vec<_> = frames.iter().map(|f| [IoSlice::new(f.as_ref())]).collect();
        let to = vec![None::<LinkAddr>; slices.len()];
        let mut headers = MultiHeaders::preallocate(slices.len(), None);
        let fd = self.socket.as_raw_fd();
        let sent = sendmmsg(fd, &mut headers, slices.iter(), to, [], MsgFlags::empty())?;
        Ok(sent.count())
    }

    /// Sends `frames` again and again, at `rate` frames a second for `time`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn play(&self, frames: &[impl AsRef<[u8]>], rate: u64, time: Duration) -> io::Result<Sent> {
        const TICK: Duration = Duration::from_micros(100);
        let start = clock::monotonic();
        let all = (rate as f64 * time.as_secs_f64()) as u64;
        let (mut sent, mut next) = (0, 0);
        while sent < all && !frames.is_empty() {
            let due = ((start.elapsed().as_secs_f64() * rate as f64) as u64).min(all);
            if due == sent {
                thread::sleep(TICK);
            }
            while sent < due {
                let rest = frames.get(next..).unwrap_or_default();
                let count = rest.len().min(BATCH).min((due - sent) as usize);
                let count = self.send_batch(&rest[..count])?;
                sent += count as u64;
                next = (next + count) % frames.len().max(1);
            }
        }
        Ok(Sent { frames: sent, secs: start.elapsed().as_secs_f64() })
    }
}
