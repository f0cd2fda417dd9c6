//! Packets of network interfaces, in memory shared with the kernel: AF_PACKET rings of version
//! TPACKET_V3 (packet(7); kernel documentation, networking/packet_mmap).
//!
//! The ring is a row of blocks. The kernel fills one with frames, and hands it over when it is full
//! or old enough; whoever has read it gives it back. So no frame is copied again, and a quiet link
//! delivers as soon as the time of a block is over. Nothing here knows what is in a frame, but for
//! the tag of a VLAN, which the kernel takes out and which is put back.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use socket2::SockRef;

use crate::Error;
use crate::bpf::{self, Instruction};

/// How to capture.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Number of the interface (ifIndex); 0 is all of them, also those that come later.
    pub interface: u32,
    /// Whether the interface shall take frames that are for others. Has no meaning for all of them.
    pub promiscuous: bool,
    /// Octets taken of each frame, at most.
    pub snap_len: u32,
    /// Octets of the ring.
    pub buffer: usize,
    /// How long a frame may wait in a block that is not full. Rounded up to milliseconds.
    pub block_timeout: Duration,
    /// Whether frames are divided among several rings.
    pub fanout: Fanout,
    /// What the kernel asks of a frame before it takes it; empty takes all. Of those that it keeps
    /// any octets of, `snap_len` are taken.
    pub filter: &'a [Instruction],
}

/// Dividing frames among rings on the same interface by a hash of addresses and ports, the same for
/// both ways of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fanout {
    /// This ring takes all frames.
    #[default]
    Alone,
    /// A new group, of this ring so far.
    New,
    /// The group of another ring ([`Ring::group`]).
    Join(u16),
}

/// A frame in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When the kernel took it, nanoseconds since 1970.
    pub time_ns: u64,
    /// Octets on the wire, the tag of a VLAN included.
    pub wire_len: u32,
    /// Number of the interface (ifIndex).
    pub interface: u32,
    /// Kind of hardware (ARPHRD_ number): 1 is Ethernet, 772 the loopback.
    pub hardware: u16,
    /// Ethernet type of what follows the link header, as the kernel sees it.
    pub protocol: u16,
    /// Whether it went out.
    pub is_outgoing: bool,
    /// Whether a tag was put back into it: the kernel's filter has seen it without.
    pub is_retagged: bool,
    /// Where in `bytes` the network header begins, as the kernel sees it; the end of `bytes` if
    /// that was not captured.
    pub network: usize,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

/// What the kernel has counted since the ring was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that passed the filter, dropped ones among them.
    pub received: u64,
    /// Frames that found no room.
    pub dropped: u64,
    /// Times that no block was free.
    pub freezes: u64,
}

/// A ring. Closed when dropped.
#[derive(Debug)]
pub struct Ring {
    socket: OwnedFd,
    memory: Memory,
    /// Number of the block that is read, or comes next.
    current: usize,
    /// What is left of it; `None` if it is not ours.
    left: Option<Left>,
    snap_len: u32,
    group: Option<u16>,
    /// Frames that were read.
    seen: u64,
    stats: Stats,
}

/// Frames of a block that were not read.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// Where in the block the next one begins.
    at: usize,
    frames: u32,
}

impl Ring {
    /// Opens a ring. Frames are captured from the moment this returns. Needs CAP_NET_RAW.
    ///
    /// An interface that is down is no error: [`take_error`](Self::take_error) tells it.
    ///
    /// # Errors
    /// If privileges or memory lack, the interface does not exist or the filter is refused.
    pub fn open(options: &Options<'_>) -> Result<Self, Error> {
        let failed = |step| move |source| Error::Ring { step, source };
        // Protocol 0: nothing is captured before everything is set up.
        // SAFETY: a call with plain numbers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(failed("socket")(io::Error::last_os_error()));
        }
        // SAFETY: the descriptor was opened just now, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let set = |name, value: libc::c_int| set_option(&socket, libc::SOL_PACKET, name, &value);
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        set(libc::PACKET_VERSION, version).map_err(failed("TPACKET_V3"))?;
        set(libc::PACKET_RESERVE, TAG as libc::c_int).map_err(failed("PACKET_RESERVE"))?;
        let memory = Memory::new(&socket, options).map_err(failed("memory for the ring"))?;

        let filter = limited(options.filter, options.snap_len);
        // Until a group is joined, its other members take everything.
        let none = [Instruction::keep(0)];
        let first = if options.fanout == Fanout::Alone { &filter[..] } else { &none };
        bpf::attach(socket.as_fd(), first).map_err(failed("filter"))?;
        bind(&socket, options.interface).map_err(failed("bind"))?;
        if options.promiscuous && options.interface != 0 {
            promiscuous(&socket, options.interface).map_err(failed("promiscuous mode"))?;
        }
        let group = match options.fanout {
            Fanout::Alone => None,
            Fanout::New => Some(fanout(&socket, 0, UNIQUE).map_err(failed("PACKET_FANOUT"))?),
            Fanout::Join(group) => {
                Some(fanout(&socket, group, 0).map_err(failed("PACKET_FANOUT"))?)
            }
        };
        if group.is_some() {
            bpf::attach(socket.as_fd(), &filter).map_err(failed("filter"))?;
        }
        let (snap_len, stats) = (options.snap_len, Stats::default());
        Ok(Self { socket, memory, current: 0, left: None, snap_len, group, seen: 0, stats })
    }

    /// The frames of one block that have not been read. None if the kernel has not handed over
    /// another one: then [wait](crate::poll::wait) until the ring is readable.
    ///
    /// A block goes back to the kernel when this is called again, or [`release`](Self::release).
    pub fn frames(&mut self) -> Frames<'_> {
        self.release();
        if self.left.is_none() && self.memory.is_ours(self.current) {
            let header = self.memory.block(self.current);
            let frames = u32_at(header, BLOCK_FRAMES);
            self.left = Some(Left { at: u32_at(header, BLOCK_FIRST) as usize, frames });
        }
        let Self { memory, current, left, snap_len, seen, .. } = self;
        let rest = match left {
            Some(left) => memory.block(*current).get_mut(left.at..).unwrap_or_default(),
            None => &mut [],
        };
        Frames { rest, left, snap_len: *snap_len, seen }
    }

    /// Gives the block back to the kernel, if all of its frames have been read.
    pub fn release(&mut self) {
        if self.left.is_some_and(|left| left.frames == 0) {
            self.left = None;
            self.memory.give_back(self.current);
            self.current = (self.current + 1) % self.memory.blocks;
        }
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    /// If it does not say.
    pub fn stats(&mut self) -> io::Result<Stats> {
        // SAFETY: all-zero octets are a valid tpacket_stats_v3, which is plain numbers.
        let mut new: libc::tpacket_stats_v3 = unsafe { std::mem::zeroed() };
        get_option(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut new)?;
        // Reading sets them to zero.
        self.stats.received += u64::from(new.tp_packets);
        self.stats.dropped += u64::from(new.tp_drops);
        self.stats.freezes += u64::from(new.tp_freeze_q_cnt);
        Ok(self.stats)
    }

    /// Frames that were read so far. When that is what was received and not dropped, the ring is
    /// empty, the block that the kernel is filling included.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes no more frames. Those in the ring stay to be read; the last of them are handed over
    /// when the time of their block is over.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn stop(&mut self) -> io::Result<()> {
        bpf::attach(self.socket.as_fd(), &[Instruction::keep(0)])
    }

    /// What happened to the socket since this was asked last: `NetworkDown` if its interface is
    /// down or gone. One that comes up again is captured again; one that is gone is not.
    pub fn take_error(&self) -> Option<io::Error> {
        SockRef::from(&self.socket).take_error().unwrap_or_else(Some)
    }

    /// Number of the group it divides frames with.
    pub fn group(&self) -> Option<u16> {
        self.group
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Frames of one block, one after the other.
#[derive(Debug)]
pub struct Frames<'a> {
    /// From the next frame on.
    rest: &'a mut [u8],
    left: &'a mut Option<Left>,
    snap_len: u32,
    seen: &'a mut u64,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        let left = self.left.as_mut()?;
        left.frames = left.frames.checked_sub(1)?;
        *self.seen += 1;
        let rest = std::mem::take(&mut self.rest);
        let next = u32_at(rest, FRAME_NEXT) as usize;
        let bytes = match next {
            1.. if next <= rest.len() => {
                let (bytes, rest) = rest.split_at_mut(next);
                self.rest = rest;
                left.at += next;
                bytes
            }
            _ => rest, // the last one
        };
        Some(frame(bytes, self.snap_len))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let frames = self.left.map_or(0, |left| left.frames as usize);
        (frames, Some(frames))
    }
}

/// Octets of the tag of a VLAN: Ethernet type and tag control information.
const TAG: usize = 4;
/// Octets of the two addresses before it.
const ADDRESSES: usize = 12;
/// Ethernet type of a tag, where the kernel says no other.
const TAG_8021Q: u16 = 0x8100;

// Places in the header of a block: struct tpacket_block_desc with tpacket_hdr_v1.
const BLOCK_STATUS: usize = 8;
const BLOCK_FRAMES: usize = 12;
const BLOCK_FIRST: usize = 16;
// Places in the header of a frame: struct tpacket3_hdr, then struct sockaddr_ll.
const FRAME_NEXT: usize = 0;
const FRAME_SECS: usize = 4;
const FRAME_NANOS: usize = 8;
const FRAME_CAPTURED: usize = 12;
const FRAME_LEN: usize = 16;
const FRAME_STATUS: usize = 20;
const FRAME_MAC: usize = 24;
const FRAME_NETWORK: usize = 26;
const FRAME_TCI: usize = 32;
const FRAME_TPID: usize = 36;
const FRAME_ADDRESS: usize = 48;

/// Reads the header of a frame, and puts the tag back.
#[inline]
fn frame(bytes: &mut [u8], snap_len: u32) -> Frame<'_> {
    let status = u32_at(bytes, FRAME_STATUS);
    let time_ns = u64::from(u32_at(bytes, FRAME_SECS)) * 1_000_000_000
        + u64::from(u32_at(bytes, FRAME_NANOS));
    let mut wire_len = u32_at(bytes, FRAME_LEN);
    let mut start = usize::from(u16_at(bytes, FRAME_MAC));
    let network = usize::from(u16_at(bytes, FRAME_NETWORK));
    let end = start + u32_at(bytes, FRAME_CAPTURED) as usize;
    let protocol = u16::from_be(u16_at(bytes, FRAME_ADDRESS + 2));
    let interface = u32_at(bytes, FRAME_ADDRESS + 4);
    let hardware = u16_at(bytes, FRAME_ADDRESS + 8);
    let is_outgoing = bytes.get(FRAME_ADDRESS + 10) == Some(&libc::PACKET_OUTGOING);
    let mut is_retagged = false;
    if status & libc::TP_STATUS_VLAN_VALID != 0 && is_ethernet(hardware) {
        is_retagged = true;
        wire_len = wire_len.saturating_add(TAG as u32);
        let tci = u32_at(bytes, FRAME_TCI) as u16;
        let says_type = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let kind = if says_type { u16_at(bytes, FRAME_TPID) } else { TAG_8021Q };
        if put_tag(bytes, start, end, kind, tci) {
            start -= TAG;
        }
    }
    let end = end.min(start + snap_len as usize);
    let bytes = bytes.get(start..end).unwrap_or_default();
    let network = network.saturating_sub(start).min(bytes.len());
    Frame {
        time_ns,
        wire_len,
        interface,
        hardware,
        protocol,
        is_outgoing,
        is_retagged,
        network,
        bytes,
    }
}

/// Puts a tag behind the addresses of the frame in `start..end`, which then begins [`TAG`] octets
/// earlier: the ring was asked to keep that room. `false` if there is none, or no whole addresses.
fn put_tag(bytes: &mut [u8], start: usize, end: usize, kind: u16, tci: u16) -> bool {
    let (from, to) = (start..start + ADDRESSES, start.checked_sub(TAG));
    let Some(to) = to.filter(|to| *to >= FRAME_ADDRESS && from.end <= end && end <= bytes.len())
    else {
        return false;
    };
    bytes.copy_within(from, to);
    let tag = [kind.to_be_bytes(), tci.to_be_bytes()];
    if let Some(place) = bytes.get_mut(to + ADDRESSES..to + ADDRESSES + TAG) {
        place.copy_from_slice(tag.as_flattened());
    }
    true
}

/// Number of the interface with this name (ifIndex).
///
/// # Errors
/// If there is none.
pub fn interface_index(name: &str) -> Result<u32, Error> {
    nix::net::if_::if_nametoindex(name)
        .map_err(|e| Error::Interface { name: name.to_owned(), source: e.into() })
}

/// Whether frames of this kind of hardware begin with an Ethernet header.
pub const fn is_ethernet(hardware: u16) -> bool {
    matches!(hardware, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK)
}

/// The number of four octets at `at`, in the order of this machine; 0 beyond the end.
#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let number = bytes.get(at..).and_then(|rest| rest.first_chunk());
    number.map_or(0, |number| u32::from_ne_bytes(*number))
}

/// As [`u32_at`], of two octets.
#[inline]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let number = bytes.get(at..).and_then(|rest| rest.first_chunk());
    number.map_or(0, |number| u16::from_ne_bytes(*number))
}

/// `program`, or one that takes all, so that it keeps `snap_len` octets.
fn limited(program: &[Instruction], snap_len: u32) -> Vec<Instruction> {
    let mut program = program.to_vec();
    if program.is_empty() {
        program.push(Instruction::keep(u32::MAX));
    }
    let keep = Instruction::keep(0).code;
    for instruction in program.iter_mut().filter(|i| i.code == keep && i.k != 0) {
        instruction.k = snap_len.max(1);
    }
    program
}

/// The blocks, mapped into this process.
#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    len: usize,
    block: usize,
    blocks: usize,
}

// SAFETY: the mapping belongs to this struct alone and may be read from any thread.
unsafe impl Send for Memory {}

/// Octets of a block: the longest frame that is taken whole has to find room in one, and there should
/// be many of them, because each that is handed over by time is lost for as long as it takes to be read.
const BLOCK: std::ops::RangeInclusive<usize> = 16 << 10..=1 << 20;
const BLOCKS: usize = 128;
/// Octets of a ring, at most: the kernel counts in 32 bits.
const LARGEST: usize = 2 << 30;

/// Octets of a block and number of blocks for a ring of `buffer` octets.
fn division(buffer: usize) -> (usize, usize) {
    let buffer = buffer.clamp(2 * BLOCK.start(), LARGEST);
    let block = (buffer / BLOCKS).next_power_of_two().clamp(*BLOCK.start(), *BLOCK.end());
    (block, buffer / block)
}

impl Memory {
    fn new(socket: &OwnedFd, options: &Options<'_>) -> io::Result<Self> {
        let (block, blocks) = division(options.buffer);
        // One frame for each block: the kernel does not divide blocks of this version.
        let request = libc::tpacket_req3 {
            tp_block_size: block as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: block as u32,
            tp_frame_nr: blocks as u32,
            tp_retire_blk_tov: options.block_timeout.as_micros().div_ceil(1000).clamp(1, 1000)
                as u32,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let len = block * blocks;
        // SAFETY: a new mapping of the ring, anywhere; the kernel checks that `len` is all of it.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(Self { start, len, block, blocks })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Whose a block is: the word by which the kernel and this process hand it to each other.
    fn status(&self, block: usize) -> &AtomicU32 {
        debug_assert!(block < self.blocks);
        let at = (block % self.blocks) * self.block + BLOCK_STATUS;
        // SAFETY: within the mapping, since a block is longer than its header; aligned, since blocks
        // are. No slice of a block lives meanwhile, as those borrow the whole struct mutably.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// A block, which has to be ours ([`is_ours`](Self::is_ours)).
    fn block(&mut self, block: usize) -> &mut [u8] {
        debug_assert!(block < self.blocks);
        let at = (block % self.blocks) * self.block;
        // SAFETY: within the mapping. The kernel writes to no block that it has handed over, until
        // it is given back, which needs the borrow to have ended.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(at), self.block) }
    }

    fn is_ours(&self, block: usize) -> bool {
        self.status(block).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    fn give_back(&self, block: usize) {
        self.status(block).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no borrow of it outlives this struct.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Starts capturing on an interface; 0 is all of them.
fn bind(socket: &OwnedFd, interface: u32) -> io::Result<()> {
    // SAFETY: all-zero octets are a valid sockaddr_ll, which is plain numbers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = interface as i32;
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer is to a sockaddr_ll of this length, which lives during the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the interface take all frames for as long as the socket lives.
fn promiscuous(socket: &OwnedFd, interface: u32) -> io::Result<()> {
    let member = libc::packet_mreq {
        mr_ifindex: interface as i32,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)
}

/// The kernel looks for a number that is free.
const UNIQUE: u32 = libc::PACKET_FANOUT_FLAG_UNIQUEID;

/// Joins a group, and returns its number.
fn fanout(socket: &OwnedFd, group: u16, flags: u32) -> io::Result<u16> {
    let value = u32::from(group) | (libc::PACKET_FANOUT_HASH | flags) << 16;
    set_option(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &value)?;
    let mut value = 0u32;
    get_option(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &mut value)?;
    Ok(value as u16)
}

/// Sets a socket option that is plain numbers.
pub(crate) fn set_option<T: Copy>(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let (fd, len) = (socket.as_fd().as_raw_fd(), size_of::<T>() as libc::socklen_t);
    let value: *const T = value;
    // SAFETY: the kernel reads as many octets as `value` has, which lives during the call.
    let result = unsafe { libc::setsockopt(fd, level, name, value.cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for a socket option that is plain numbers, of which any octets are valid ones.
fn get_option<T: Copy>(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let (fd, mut len) = (socket.as_raw_fd(), size_of::<T>() as libc::socklen_t);
    let value: *mut T = value;
    // SAFETY: the kernel writes at most as many octets as `value` has, which lives during the call;
    // callers use types that any octets are valid for.
    let result = unsafe { libc::getsockopt(fd, level, name, value.cast(), &raw mut len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::{self, Ready};
    use std::io::Write;
    use std::process::Command;

    /// What the kernel writes for a frame with a tag: header, address, room, frame.
    fn written(frame: &[u8], captured: usize, status: u32, tpid: u16, tci: u16) -> Vec<u8> {
        const START: usize = 96;
        let mut out = vec![0xee; START];
        let mut put = |at: usize, octets: &[u8]| out[at..at + octets.len()].copy_from_slice(octets);
        put(FRAME_SECS, &7u32.to_ne_bytes());
        put(FRAME_NANOS, &9u32.to_ne_bytes());
        put(FRAME_CAPTURED, &(captured as u32).to_ne_bytes());
        put(FRAME_LEN, &(frame.len() as u32).to_ne_bytes());
        put(FRAME_STATUS, &status.to_ne_bytes());
        put(FRAME_MAC, &(START as u16).to_ne_bytes());
        put(FRAME_NETWORK, &(START as u16 + 14).to_ne_bytes());
        put(FRAME_TCI, &u32::from(tci).to_ne_bytes());
        put(FRAME_TPID, &tpid.to_ne_bytes());
        put(FRAME_ADDRESS + 2, &0x0800u16.to_be_bytes());
        put(FRAME_ADDRESS + 4, &3u32.to_ne_bytes());
        put(FRAME_ADDRESS + 8, &libc::ARPHRD_ETHER.to_ne_bytes());
        put(FRAME_ADDRESS + 10, &[libc::PACKET_OUTGOING]);
        out.extend(&frame[..captured]);
        out
    }

    const TAGGED: u32 = libc::TP_STATUS_USER | libc::TP_STATUS_VLAN_VALID;
    const TYPED: u32 = TAGGED | libc::TP_STATUS_VLAN_TPID_VALID;

    #[test]
    fn tags_are_put_back_as_far_as_there_is_room() {
        let plain: Vec<u8> = (0..60).collect();
        let with = |kind: [u8; 2], tci: [u8; 2]| [&plain[..12], &kind, &tci, &plain[12..]].concat();
        for (name, status, captured, snap, want) in [
            ("none", libc::TP_STATUS_USER, 60, 100, plain.clone()),
            ("tag", TAGGED, 60, 100, with([0x81, 0], [0x20, 7])),
            ("other type", TYPED, 60, 100, with([0x88, 0xa8], [0x20, 7])),
            ("cut", TAGGED, 30, 30, with([0x81, 0], [0x20, 7])[..30].to_vec()),
            ("addresses only", TAGGED, 12, 12, plain[..12].to_vec()),
            ("less", TAGGED, 11, 100, plain[..11].to_vec()),
        ] {
            let mut bytes = written(&plain, captured, status, 0x88a8, 0x2007);
            let frame = frame(&mut bytes, snap);
            assert_eq!(frame.bytes, want, "{name}");
            let is_tagged = status != libc::TP_STATUS_USER;
            assert_eq!(frame.wire_len, 60 + 4 * u32::from(is_tagged), "{name}");
            assert_eq!(frame.is_retagged, is_tagged, "{name}");
            assert_eq!((frame.time_ns, frame.interface), (7_000_000_009, 3));
            assert_eq!((frame.protocol, frame.is_outgoing), (0x0800, true));
        }
        let mut bytes = written(&plain, 60, TAGGED, 0, 1);
        bytes[FRAME_MAC..FRAME_MAC + 2].copy_from_slice(&50u16.to_ne_bytes());
        let before = bytes[50..54].to_vec();
        assert_eq!(frame(&mut bytes, 100).bytes[..4], before, "no room behind the header");
    }

    #[test]
    fn no_frame_header_panics() {
        let plain: Vec<u8> = (0..60).collect();
        let whole = written(&plain, 60, TYPED, 0x8100, 1);
        for len in 0..whole.len() {
            let _ = frame(&mut whole[..len].to_vec(), u32::MAX);
        }
        for at in 0..FRAME_ADDRESS + 20 {
            for value in [0, 1, 47, 0x7f, 0xff] {
                let mut bad = whole.clone();
                bad[at] = value;
                let frame = frame(&mut bad, u32::MAX);
                assert!(frame.network <= frame.bytes.len());
            }
        }
    }

    #[test]
    fn rings_of_any_size() {
        for (buffer, blocks, block) in [
            (0, 2, 16 << 10),
            (1 << 20, 64, 16 << 10),
            (16 << 20, 128, 128 << 10),
            (1 << 30, 1024, 1 << 20),
        ] {
            assert_eq!(division(buffer), (block, blocks), "{buffer}");
        }
        let (block, blocks) = division(usize::MAX);
        assert!(block * blocks <= LARGEST);
    }

    /// A tunnel to this process, on a network of this thread's own.
    fn tunnel() -> Option<std::fs::File> {
        // SAFETY: the flag moves this thread alone to a new network namespace.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return None;
        }
        let file = std::fs::File::options().read(true).write(true).open("/dev/net/tun").ok()?;
        // SAFETY: all-zero octets are a valid ifreq, which is plain numbers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (place, octet) in request.ifr_name.iter_mut().zip(b"tun7") {
            *place = *octet as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        // SAFETY: the call reads and writes the ifreq, which lives meanwhile.
        if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0 {
            return None;
        }
        let up = Command::new("ip").args(["link", "set", "tun7", "up"]).status().ok()?;
        up.success().then_some(file)
    }

    #[test]
    fn links_without_ethernet_say_where_the_network_header_is() {
        let run = || {
            let Some(mut tunnel) = tunnel() else {
                println!(
                    "skipped: no tunnel of one's own without CAP_SYS_ADMIN, /dev/net/tun and `ip`"
                );
                return;
            };
            let interface = interface_index("tun7").unwrap();
            let mut ring = Ring::open(&Options {
                interface,
                promiscuous: true,
                snap_len: 1000,
                buffer: 1 << 20,
                block_timeout: Duration::from_millis(1),
                fanout: Fanout::Alone,
                filter: &[],
            })
            .unwrap();
            let mut packet = [0; 28];
            packet[..4].copy_from_slice(&[0x45, 0, 0, 28]);
            packet[9] = 17;
            tunnel.write_all(&packet).unwrap();
            loop {
                let found = ring.frames().find(|frame| frame.protocol == 0x0800).map(|frame| {
                    assert_eq!((frame.hardware, frame.is_outgoing), (libc::ARPHRD_NONE, false));
                    assert_eq!((frame.interface, frame.wire_len), (interface, 28));
                    assert_eq!(frame.bytes[frame.network..], packet);
                });
                if found.is_some() {
                    break;
                }
                poll::wait(&[(ring.as_fd(), Ready::READ)], None).unwrap();
            }
            assert!(ring.seen() >= 1 && ring.stats().unwrap().received >= ring.seen());
            drop(tunnel);
            let gone = loop {
                poll::wait(&[(ring.as_fd(), Ready::READ)], None).unwrap();
                let _ = ring.frames().count();
                if let Some(e) = ring.take_error() {
                    break e;
                }
            };
            assert_eq!(gone.kind(), io::ErrorKind::NetworkDown);
        };
        std::thread::spawn(run).join().unwrap();
    }

    #[test]
    fn interfaces_by_name() {
        assert!(interface_index("lo").is_ok_and(|index| index > 0));
        assert!(matches!(interface_index("no-such-if"), Err(Error::Interface { .. })));
    }
}
