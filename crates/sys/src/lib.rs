//! Everything of flowsuite that needs unsafe code or asks the operating system: sockets, mapping,
//! signals, process, clock.
//!
//! All other crates forbid unsafe code; here each block says why it is sound. Nothing in this
//! crate knows what a flow is.
//!
//! * [`udp`]: batched receiving and sending, with the kernel's drop counter;
//! * [`Leave`]: from where, through what and how far what is sent goes; [`tcp`]: sending streams;
//! * [`raw`]: sending with the addresses of others;
//! * [`bpf`]: packet filters that the kernel runs;
//! * [`ring`]: packets of interfaces, in memory shared with the kernel;
//! * [`netlink`]: interfaces, routes, and what the firewall tells;
//! * [`proc_net`], [`holder`]: what the kernel counts and lists of UDP sockets, and whose they are;
//! * [`nftables`]: what the firewall drops;
//! * [`lanes`]: comparing many octets at once;
//! * [`map`]: read-only mapping of finished files;
//! * [`names`]: names of hosts;
//! * [`memory`]: how much is left, and advice about large areas; [`piece`]: such areas, cut;
//! * [`signal`]: TERM, INT and HUP as flags and as something to poll;
//! * [`process`]: daemon, pid file, privileges;
//! * [`disk`]: room and rights in a directory;
//! * [`lock`]: locks that other programs respect;
//! * [`service`]: sockets and messages from and to the service manager;
//! * [`poll`]: waiting for many descriptors at once;
//! * [`clock`]: time, CPU time, memory, cores.

#![expect(unsafe_code, reason = "the one crate for it; each block says why it is sound")]

pub mod bpf;
pub mod caretaker;
pub mod clock;
pub mod disk;
mod error;
pub mod holder;
pub mod lanes;
mod leave;
pub mod lock;
pub mod map;
pub mod memory;
pub mod names;
pub mod netlink;
pub mod nftables;
pub mod piece;
pub mod poll;
pub mod proc_net;
pub mod process;
pub mod raw;
pub mod ring;
pub mod service;
pub mod signal;
pub mod tcp;
pub mod udp;

pub use error::Error;
pub use leave::Leave;
