//! Packet filters that the kernel runs on each packet of a socket: classic BPF.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// One instruction of a filter program (McCanne and Jacobson, "The BSD Packet Filter", 1993; Linux:
/// `struct sock_filter`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// A number to do it with.
    pub k: u32,
}

impl Instruction {
    /// Returns: the packet is kept as far as `octets`, and dropped if that is 0.
    pub const fn keep(octets: u32) -> Self {
        Self { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: octets }
    }
}

/// Instructions of a program, at most (Linux: BPF_MAXINSNS).
pub const LONGEST: usize = 4096;

/// Has the kernel run `program` on each packet that reaches `socket`, in place of the one it ran
/// before. No packet passes between the two.
///
/// # Errors
/// `InvalidInput` if the program is empty, longer than [`LONGEST`] or not one that the kernel
/// believes to end; `OutOfMemory` if it is longer than `net.core.optmem_max` has room for.
pub fn attach(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    if program.is_empty() || program.len() > LONGEST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut code: Vec<libc::sock_filter> = program
        .iter()
        .map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
        .collect();
    let whole = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    // SAFETY: the kernel reads a sock_fprog, whose pointer and length are those of `code`; both
    // live until the call has returned, and the kernel keeps a copy of its own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const whole).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
