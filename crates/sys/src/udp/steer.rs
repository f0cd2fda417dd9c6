//! Which socket of a group a datagram goes to.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// How datagrams are split among sockets that share an address and port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// At random, so that a single busy sender keeps all sockets equally busy. Datagrams of one
    /// sender then lie on several sockets: who needs their order merges by
    /// [`arrived_ns`](super::Datagram::arrived_ns).
    #[default]
    Random,
    /// By the CPU that took the datagram from the network: for interfaces whose queues are spread
    /// over the CPUs, where it saves cache misses.
    Cpu,
    /// By sender: what the kernel does by itself. A sender stays with one socket.
    Sender,
}

/// Attaches the program that splits datagrams among the `sockets` of the group that `socket`
/// belongs to (classic BPF, `SO_ATTACH_REUSEPORT_CBPF`, Linux 4.5).
pub(super) fn attach(socket: BorrowedFd<'_>, steering: Steering, sockets: u32) -> io::Result<()> {
    let ancillary = match steering {
        Steering::Random => libc::SKF_AD_RANDOM,
        Steering::Cpu => libc::SKF_AD_CPU,
        Steering::Sender => return Ok(()),
    };
    let step = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = [
        // Negative offsets read what the kernel knows beside the octets of the packet.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, (libc::SKF_AD_OFF + ancillary) as u32),
        step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, sockets.max(1)),
        step(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let header = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the descriptor is open; the option takes a sock_fprog, whose pointer and length
    // describe `program`. The kernel copies both before it returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const header).cast(),
            size_of_val(&header) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
