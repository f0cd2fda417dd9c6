//! The commands of five tutorials, typed as they stand, with our programs under the names of the old
//! ones. Who exports is real: softflowd and our probe on a wire, a router's stream from the
//! router's address, the connection table of a NAT firewall.
//!
//! Each runs on hosts of its own: network namespaces where `/etc`, `/run`, `/opt`, `/var/cache` and
//! `/var/log` are the test's, so that most paths and all ports are those of the tutorials.
//! `docs/articles.md` has a table of every command. Without root there are no hosts, and a line
//! says so.

mod cisco;
#[path = "../common/mod.rs"]
mod common;
mod flow_tools;
mod host;
mod nfflowd;
mod nfsen;
mod shape;
mod softflowd;
