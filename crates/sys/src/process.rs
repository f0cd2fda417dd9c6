//! What a daemon does to itself: detach from the terminal, write a pid file, give up privileges.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::kill;
use nix::unistd::{
    ForkResult, Gid, Group, Pid, Uid, User, dup2_stderr, dup2_stdin, dup2_stdout, fork, getresgid,
    getresuid, setgid, setgroups, setsid, setuid,
};

use crate::Error;

/// Goes to the background: a child without terminal returns from here, and the caller's process
/// waits until the child is [ready](Background::ready). Then it ends with status 0, so whoever
/// started it finds everything in place: pid file, sockets, open files. Should the child end
/// before, its process ends with status 1; until it is ready the child's messages still reach
/// standard error. The working directory stays, so that relative paths keep their meaning.
///
/// To be called before any thread is started.
///
/// # Errors
/// If threads run already, or the system refuses a step.
pub fn daemonize() -> Result<Background, Error> {
    let threads = threads();
    if threads > 1 {
        return Err(Error::DaemonThreads { threads });
    }
    let failed = |step| move |e: Errno| Error::Daemon { step, source: e.into() };
    let io_failed = |step| move |source| Error::Daemon { step, source };
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(io_failed("open /dev/null"))?;
    let (mut waits, tells) = io::pipe().map_err(io_failed("pipe"))?;
    // SAFETY: this is the only thread (checked above), so no lock can be held by a thread that
    // the child lacks.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Parent { .. } => {
            drop(tells);
            let is_ready = waits.read_exact(&mut [0]).is_ok();
            // SAFETY: `_exit` ends the process at once and runs no handlers, which belong to the
            // child now.
            unsafe { libc::_exit(i32::from(!is_ready)) }
        }
        ForkResult::Child => {}
    }
    setsid().map_err(failed("setsid"))?;
    Ok(Background { null, tells })
}

/// A process in the background that somebody still waits for.
#[derive(Debug)]
#[must_use = "somebody waits until it is ready"]
pub struct Background {
    null: File,
    tells: io::PipeWriter,
}

impl Background {
    /// Lets go of standard input, output and error, and lets the process in the foreground end.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn ready(mut self) -> Result<(), Error> {
        let failed = |e: Errno| Error::Daemon { step: "dup2", source: e.into() };
        dup2_stdin(&self.null).map_err(failed)?;
        dup2_stdout(&self.null).map_err(failed)?;
        dup2_stderr(&self.null).map_err(failed)?;
        // Whoever waited may have been ended meanwhile: nobody is left to be told.
        let _ = self.tells.write_all(&[1]);
        Ok(())
    }
}

/// Threads of this process; more than any where the system does not say, because what depends on
/// being alone is then not safe.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(usize::MAX, Iterator::count)
}

/// Raises the number of files this process may have open to the most that it may ask for, which is
/// often many times the usual 1024. Returns how many that is.
///
/// For programs that do not use `select`: its sets end at 1024 descriptors.
///
/// # Errors
/// If the system refuses it. Everything goes on with the limit as it was.
pub fn raise_file_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Asks for a pipe behind standard output that holds a megabyte, in place of 64 KiB: who writes much
/// text waits for the reader less often, and wakes it less often. What is no pipe, or too much for
/// what the user may have, stays as it is.
pub fn enlarge_output() {
    enlarge_pipe(io::stdout().as_fd());
}

fn enlarge_pipe(pipe: BorrowedFd<'_>) {
    const ROOM: i32 = 1 << 20;
    if fcntl(pipe, FcntlArg::F_GETPIPE_SZ).is_ok_and(|room| room < ROOM) {
        let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(ROOM));
    }
}

/// Keeps a descriptor from programs that this one starts.
///
/// # Errors
/// If the system refuses it.
pub fn close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Lets the calling thread go before others of the machine, if that is permitted (root,
/// CAP_SYS_NICE or a limit of `LimitNICE=`): a thread that empties a socket's buffer must not wait
/// behind those that compress. Threads it starts later inherit it.
///
/// # Errors
/// If it is not permitted. Everything goes on as it was.
pub fn raise_priority() -> io::Result<()> {
    // SAFETY: plain numbers. On Linux 0 is the calling thread, not its process.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, RECEIVER_NICE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets threads of this process [raise their priority](raise_priority) also once it has given up
/// its privileges.
///
/// # Errors
/// If it is not permitted. Everything goes on as it was.
pub fn permit_priority() -> io::Result<()> {
    // The limit counts down from 20, so that it is never negative: setrlimit(2).
    let limit = (20 - RECEIVER_NICE) as u64;
    let (_, hard) = getrlimit(Resource::RLIMIT_NICE)?;
    Ok(setrlimit(Resource::RLIMIT_NICE, limit, hard.max(limit))?)
}

/// Before all that ordinary programs do, but after what the kernel runs at -20.
const RECEIVER_NICE: i32 = -10;

/// A file with our process number, removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    // Locked while we live: a second process that races us, or finds our number reused, is told
    // apart from a stale file.
    file: Flock<File>,
}

impl PidFile {
    /// Writes the process number, in decimal and with a newline, to `path`. A file whose process
    /// is gone is taken over.
    ///
    /// # Errors
    /// If the process that the file names is alive, or the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::PidFile { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let holder = read_pid(&mut file).map_err(failed)?;
        let running = |pid| Error::AlreadyRunning { path: path.to_owned(), pid: pid_or_zero(pid) };
        let mut file =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| match e {
                Errno::EWOULDBLOCK => running(holder),
                e => failed(e.into()),
            })?;
        if holder.is_some_and(|pid| is_running(pid.as_raw())) {
            return Err(running(holder));
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes the process number anew: after [`daemonize`] it is another one. The lock has come
    /// along.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn renew(&mut self) -> Result<(), Error> {
        let failed = |source| Error::PidFile { path: self.path.clone(), source };
        write_pid(&mut self.file).map_err(failed)
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::remove_file(&self.path).is_err() {
            // After giving up privileges the directory may be out of reach; an empty file names
            // nobody.
            let _ = self.file.set_len(0);
        }
    }
}

/// The number in a pid file, `None` where there is no sensible one.
fn read_pid(file: &mut File) -> io::Result<Option<Pid>> {
    let mut text = String::new();
    match file.take(32).read_to_string(&mut text) {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(None),
        other => other?,
    };
    Ok(text.trim().parse().ok().filter(|pid| *pid > 0).map(Pid::from_raw))
}

/// Whether another process has this number. Our own does not count: in a container every start
/// gets the same one, so a file that names it was left by somebody before us.
pub fn is_running(pid: i32) -> bool {
    let pid = Pid::from_raw(pid);
    pid.as_raw() > 0 && pid != Pid::this() && kill(pid, None) != Err(Errno::ESRCH)
}

/// The process that `path` names as a pid file, if it is running.
///
/// # Errors
/// If there is a file that cannot be read.
pub fn running_in(path: &Path) -> io::Result<Option<i32>> {
    let pid = match File::open(path) {
        Ok(mut file) => read_pid(&mut file)?.map(Pid::as_raw),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    Ok(pid.filter(|pid| is_running(*pid)))
}

/// What another process can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// TERM: to end in order.
    End,
    /// HUP: to look at everything anew.
    Reload,
}

/// Tells a process something.
///
/// # Errors
/// If it is not there any more, or belongs to somebody else.
pub fn tell(pid: i32, order: Order) -> io::Result<()> {
    let signal = match order {
        Order::End => nix::sys::signal::Signal::SIGTERM,
        Order::Reload => nix::sys::signal::Signal::SIGHUP,
    };
    // 0 and below are groups of processes.
    let pid = Some(pid).filter(|pid| *pid > 0).ok_or(Errno::ESRCH)?;
    Ok(kill(Pid::from_raw(pid), signal)?)
}

/// Whether this process has a privilege.
///
/// # Errors
/// If the system does not say.
pub fn has(capability: Capability) -> io::Result<bool> {
    Ok(capabilities()? & 1 << capability as u32 != 0)
}

fn pid_or_zero(pid: Option<Pid>) -> i32 {
    pid.map_or(0, Pid::as_raw)
}

/// Whether this process may become another user: it is root's.
pub fn may_change_user() -> bool {
    Uid::effective().is_root()
}

/// Becomes `user` and `group`, each a name or a number, for good. Without `group` the user's
/// primary group is taken; other groups are left. With neither, nothing changes.
///
/// # Errors
/// If a name is unknown, the system refuses, or the change could be undone.
pub fn drop_privileges(user: Option<&str>, group: Option<&str>) -> Result<(), Error> {
    let account = user.map(find_user).transpose()?;
    let uid = account.as_ref().map_or_else(nix::unistd::getuid, |(uid, _)| *uid);
    let gid = match (group, &account) {
        (Some(name), _) => find_group(name)?,
        (None, Some((_, Some(gid)))) => *gid,
        (None, _) => nix::unistd::getgid(),
    };
    if user.is_none() && group.is_none() || is_already(uid, gid) {
        return Ok(());
    }
    let failed = |step| {
        move |e: Errno| Error::Privileges {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            step,
            source: e.into(),
        }
    };
    setgroups(&[gid]).map_err(failed("setgroups"))?;
    setgid(gid).map_err(failed("setgid"))?;
    setuid(uid).map_err(failed("setuid"))?;
    let is_final = is_already(uid, gid) && (uid.is_root() || setuid(Uid::from_raw(0)).is_err());
    if is_final { Ok(()) } else { Err(Error::StillPrivileged { uid: uid.as_raw() }) }
}

/// A single privilege (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// CAP_NET_ADMIN: asking the firewall for its connections.
    NetAdmin = 12,
    /// CAP_NET_RAW: capturing packets.
    NetRaw = 13,
}

/// As [`drop_privileges`], but keeps those of `keep` that the process has, and no others: a probe can
/// then open an interface again that was away. With neither user nor group nothing changes, and
/// neither does it for a process that stays root.
///
/// To be called before any thread is started: the kernel keeps capabilities for each of them.
///
/// # Errors
/// As [`drop_privileges`]; if threads run already.
pub fn drop_privileges_but(
    keep: &[Capability],
    user: Option<&str>,
    group: Option<&str>,
) -> Result<(), Error> {
    if keep.is_empty() || user.is_none() && group.is_none() {
        return drop_privileges(user, group);
    }
    let failed = |step| move |source| Error::Capabilities { step, source };
    let threads = threads();
    if threads > 1 {
        return Err(failed("start")(io::Error::other(format!("{threads} threads run already"))));
    }
    let wanted = keep.iter().fold(0, |mask, capability| mask | 1 << *capability as u32);
    let has = capabilities().map_err(failed("capget"))?;
    keep_capabilities(true).map_err(failed("PR_SET_KEEPCAPS"))?;
    let dropped = drop_privileges(user, group);
    keep_capabilities(false).map_err(failed("PR_SET_KEEPCAPS"))?;
    dropped?;
    if !nix::unistd::geteuid().is_root() {
        set_capabilities(has & wanted).map_err(failed("capset"))?;
    }
    Ok(())
}

/// Whether permitted capabilities outlive a change of the user, until the next program is run.
fn keep_capabilities(keep: bool) -> io::Result<()> {
    // SAFETY: plain numbers.
    let result = unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(keep), 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The header of capget(2) and capset(2), for the calling thread.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// Half of the capabilities, as bits; the second half has those from 32 on.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityHalf {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

impl CapabilityHeader {
    /// _LINUX_CAPABILITY_VERSION_3.
    const OWN: Self = Self { version: 0x2008_0522, pid: 0 };
}

/// Permitted capabilities below 32, as bits.
fn capabilities() -> io::Result<u32> {
    let mut header = CapabilityHeader::OWN;
    let mut halves = [CapabilityHalf::default(); 2];
    let (to, into) = (&raw mut header, halves.as_mut_ptr());
    // SAFETY: the kernel reads a header and writes two halves, which live during the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, to, into) };
    if result == 0 { Ok(halves[0].permitted) } else { Err(io::Error::last_os_error()) }
}

/// Has these capabilities and no others.
fn set_capabilities(mask: u32) -> io::Result<()> {
    let mut header = CapabilityHeader::OWN;
    let only = CapabilityHalf { effective: mask, permitted: mask, inheritable: 0 };
    let halves = [only, CapabilityHalf::default()];
    let (to, from) = (&raw mut header, halves.as_ptr());
    // SAFETY: the kernel reads a header and two halves, which live during the call; where it does
    // not know the version it writes the one it knows into the header.
    let result = unsafe { libc::syscall(libc::SYS_capset, to, from) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether real, effective and saved ids are these.
fn is_already(uid: Uid, gid: Gid) -> bool {
    let users = getresuid().is_ok_and(|r| [r.real, r.effective, r.saved] == [uid; 3]);
    users && getresgid().is_ok_and(|r| [r.real, r.effective, r.saved] == [gid; 3])
}

/// Whether `user` and `group` are known, as far as they are given.
///
/// # Errors
/// If one is not.
pub fn find_account(user: Option<&str>, group: Option<&str>) -> Result<(), Error> {
    user.map(find_user).transpose()?;
    group.map(find_group).transpose()?;
    Ok(())
}

/// Numbers of the user and the group that [`drop_privileges`] would make of this process.
///
/// # Errors
/// If a name is unknown.
pub fn account(user: Option<&str>, group: Option<&str>) -> Result<(u32, u32), Error> {
    let found = user.map(find_user).transpose()?;
    let uid = found.map_or_else(Uid::effective, |(uid, _)| uid);
    let gid = match (group, found.and_then(|(_, gid)| gid)) {
        (Some(name), _) => find_group(name)?,
        (None, Some(gid)) => gid,
        (None, None) => Gid::effective(),
    };
    Ok((uid.as_raw(), gid.as_raw()))
}

/// Number and primary group; a bare number need not have an account.
fn find_user(name: &str) -> Result<(Uid, Option<Gid>), Error> {
    let unknown = || Error::UnknownUser(name.to_owned());
    if let Ok(number) = name.parse().map(Uid::from_raw) {
        let account = User::from_uid(number).ok().flatten();
        return Ok((number, account.map(|u| u.gid)));
    }
    let account = User::from_name(name).ok().flatten().ok_or_else(unknown)?;
    Ok((account.uid, Some(account.gid)))
}

fn find_group(name: &str) -> Result<Gid, Error> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    let group = Group::from_name(name).ok().flatten();
    Ok(group.ok_or_else(|| Error::UnknownGroup(name.to_owned()))?.gid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// Runs the ignored test `name` in a process of its own, since it changes the process.
    fn run_alone(name: &str, dir: &Path) -> std::process::Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "--test-threads=1", name])
            .env("FLOWSUITE_TEST_DIR", dir)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn test_dir() -> PathBuf {
        std::env::var_os("FLOWSUITE_TEST_DIR").expect("run by its parent test").into()
    }

    #[test]
    fn pipes_get_larger_and_nothing_else_changes() {
        let (reader, writer) = io::pipe().unwrap();
        let room = |fd: BorrowedFd<'_>| fcntl(fd, FcntlArg::F_GETPIPE_SZ);
        let before = room(writer.as_fd()).unwrap();
        enlarge_pipe(writer.as_fd());
        let after = room(reader.as_fd()).unwrap();
        assert!(after >= before, "{before} became {after}");
        // Who may have no larger ones keeps what there was.
        assert!(after == 1 << 20 || !nix::unistd::geteuid().is_root(), "{before} became {after}");
        fcntl(writer.as_fd(), FcntlArg::F_SETPIPE_SZ(4 << 20)).ok();
        let large = room(writer.as_fd()).unwrap();
        enlarge_pipe(writer.as_fd());
        assert_eq!(room(writer.as_fd()), Ok(large), "a larger one stays");
        let file = tempfile::tempfile().unwrap();
        enlarge_pipe(file.as_fd());
        assert_eq!(file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn the_limit_of_files_is_raised_as_far_as_it_goes() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(512), hard).unwrap();
        assert_eq!(raise_file_limit().unwrap(), hard);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert_eq!(raise_file_limit().unwrap(), hard, "again");
    }

    #[test]
    fn descriptors_that_are_kept() {
        let file = tempfile::tempfile().unwrap();
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        close_on_exec(file.as_fd()).unwrap();
        let flags = fcntl(&file, FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, FdFlag::FD_CLOEXEC.bits());
    }

    #[test]
    fn priority_is_the_threads_own() {
        // SAFETY: plain numbers.
        let nice = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = nice();
        let raised = std::thread::spawn(move || raise_priority().map(|()| nice())).join().unwrap();
        match raised {
            Ok(nice) => assert_eq!(nice, RECEIVER_NICE),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::PermissionDenied),
        }
        assert_eq!(nice(), before, "other threads stay as they were");
    }

    #[test]
    fn pid_file_lives_as_long_as_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let mut held = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(matches!(PidFile::create(&path), Err(Error::AlreadyRunning { .. })), "locked");
        fs::write(&path, "4194304999999\n").unwrap();
        held.renew().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn pid_files_of_the_dead_are_taken_over_and_of_the_living_respected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, format!("{}\n", child.id())).unwrap();
        let e = PidFile::create(&path).unwrap_err();
        assert!(e.to_string().contains(&format!("process {} is running", child.id())), "{e}");
        child.kill().unwrap();
        child.wait().unwrap();
        for stale in [child.id().to_string(), String::new(), "garbage".into(), "-1".into()] {
            fs::write(&path, &stale).unwrap();
            drop(PidFile::create(&path).unwrap_or_else(|e| panic!("{stale:?}: {e}")));
        }
        fs::write(&path, std::process::id().to_string()).unwrap();
        drop(PidFile::create(&path).expect("our own number is a stale one"));
        fs::write(&path, [0xff; 10]).unwrap();
        drop(PidFile::create(&path).expect("not text"));
        let nowhere = dir.path().join("no/such/dir/pid");
        assert!(matches!(PidFile::create(&nowhere), Err(Error::PidFile { .. })));
    }

    #[test]
    fn names_and_numbers_of_accounts() {
        assert_eq!(find_user("root").unwrap().0.as_raw(), 0);
        assert_eq!(find_user("4294000000").unwrap(), (Uid::from_raw(4_294_000_000), None));
        assert_eq!(find_group("0").unwrap().as_raw(), 0);
        assert!(matches!(find_user("no-such-user"), Err(Error::UnknownUser(_))));
        assert!(matches!(find_group("no-such-group"), Err(Error::UnknownGroup(_))));
        assert!(drop_privileges(None, None).is_ok());
    }

    #[test]
    fn privileges_are_dropped_for_good() {
        if !nix::unistd::getuid().is_root() {
            return; // nothing to drop
        }
        let dir = tempfile::tempdir().unwrap();
        let out = run_alone("process::tests::alone_drop_privileges", dir.path());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    }

    #[test]
    #[ignore = "run by privileges_are_dropped_for_good, in a process of its own"]
    fn alone_drop_privileges() {
        let _ = test_dir();
        let may_raise = permit_priority().is_ok();
        drop_privileges(Some("65534"), Some("65534")).unwrap();
        assert_eq!(raise_priority().is_ok(), may_raise);
        assert!(is_already(Uid::from_raw(65534), Gid::from_raw(65534)));
        assert_eq!(nix::unistd::getgroups().unwrap(), [Gid::from_raw(65534)]);
        assert!(setuid(Uid::from_raw(0)).is_err());
        assert!(setgid(Gid::from_raw(0)).is_err());
        drop_privileges(Some("65534"), Some("65534")).expect("already there");
        assert!(matches!(drop_privileges(Some("root"), None), Err(Error::Privileges { .. })));
    }

    #[test]
    fn single_capabilities_are_kept() {
        if !nix::unistd::getuid().is_root() {
            return; // nothing to keep
        }
        // Threads of the test harness are in the way, so a process of its own forks once more.
        let dir = tempfile::tempdir().unwrap();
        let out = run_alone("process::tests::alone_keep_capabilities", dir.path());
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        let threads = drop_privileges_but(&[Capability::NetRaw], Some("65534"), None);
        assert!(matches!(threads, Err(Error::Capabilities { step: "start", .. })));
    }

    #[test]
    #[ignore = "run by single_capabilities_are_kept, in a process of its own"]
    fn alone_keep_capabilities() {
        let _ = test_dir();
        // SAFETY: the child calls only what needs no lock that another thread may hold: system
        // calls, and the allocator, which is made for forks.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => {
                let end = nix::sys::wait::waitpid(child, None).unwrap();
                assert_eq!(end, nix::sys::wait::WaitStatus::Exited(child, 0));
            }
            ForkResult::Child => {
                let keep = [Capability::NetRaw];
                let has = capabilities().unwrap_or(0);
                let dropped = drop_privileges_but(&keep, Some("65534"), Some("65534"));
                let is_right = dropped.is_ok()
                    && is_already(Uid::from_raw(65534), Gid::from_raw(65534))
                    && capabilities().is_ok_and(|kept| kept == has & 1 << 13)
                    && setuid(Uid::from_raw(0)).is_err()
                    && fs::read_to_string("/proc/self/status")
                        .is_ok_and(|status| status.contains("CapEff:\t0000000000002000\n"));
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!is_right)) }
            }
        }
    }

    #[test]
    fn a_process_with_threads_does_not_fork() {
        // The test harness runs tests in threads, so there are at least two here.
        assert!(matches!(daemonize(), Err(Error::DaemonThreads { threads: 2.. })));
    }
}
