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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn programs_decide_what_a_socket_receives() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let to = socket.local_addr().unwrap();
        let receives = |payload: &[u8]| {
            socket.send_to(payload, to).unwrap();
            let mut buffer = [0; 64];
            let len = socket.recv(&mut buffer).unwrap();
            buffer[..len].to_vec()
        };
        assert_eq!(receives(b"all of it"), b"all of it");
        // Programs of UDP sockets see the header, which has 8 octets.
        attach(socket.as_fd(), &[Instruction::keep(8 + 3)]).unwrap();
        assert_eq!(receives(b"all of it"), b"all");
        attach(socket.as_fd(), &[Instruction::keep(0)]).unwrap();
        socket.send_to(b"dropped", to).unwrap();
        attach(socket.as_fd(), &[Instruction::keep(u32::MAX)]).unwrap();
        assert_eq!(receives(b"next"), b"next");
    }

    #[test]
    fn programs_that_are_none_are_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let jump = Instruction { code: 0x05, jt: 0, jf: 0, k: 7 };
        for program in [vec![], vec![jump], vec![Instruction::keep(1); LONGEST + 1]] {
            let e = attach(socket.as_fd(), &program).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::InvalidInput, "{} instructions", program.len());
        }
    }
}
