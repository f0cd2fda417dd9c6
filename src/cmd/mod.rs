//! What the options mean: library objects made from arguments, and the work done.

pub mod flowcapd;
pub mod flowdump;
pub mod flowexpire;
pub mod flownatd;
pub mod flowprobe;
pub mod flowprobectl;
mod moment;
mod nat_who;
mod outside;
mod units;
mod verdict;
mod window;
