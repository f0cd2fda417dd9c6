//! What nftables would drop on the way in, asked by netlink: base chains whose policy is drop, and
//! rules that drop or reject, with their counters where they have one (kernel:
//! `linux/netfilter/nf_tables.h`). Nothing is changed, and nothing is loaded into the kernel. Rules
//! of iptables are among them where iptables is made of nftables, as on all current distributions.
//!
//! What a rule asks for is not read: whether it meets a packet is for people to see, with
//! `nft list ruleset`.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::Error;
use crate::netlink::{Message, NetfilterSocket, Received, attributes, messages, text_of};

/// What drops or rejects packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// `inet`, `ip`, `ip6`, `netdev`, `bridge`, `arp`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// A rule, by its handle; `None`: the policy of the chain.
    pub rule: Option<u64>,
    /// Packets that a rule has counted, where it counts.
    pub packets: Option<u64>,
    /// Of a policy: whether it is that of a chain where packets come in (prerouting, input).
    pub is_way_in: bool,
}

/// All that drops or rejects, at most some thousand; `None` where there is no nftables in the kernel.
/// Needs CAP_NET_ADMIN.
///
/// # Errors
/// If privileges lack, or the kernel does not answer.
pub fn barriers() -> Result<Option<Vec<Barrier>>, Error> {
    if !is_there() {
        return Ok(None);
    }
    let failed = |source| Error::Netlink { step: "nftables", source };
    let mut socket = NetfilterSocket::open(&[], 1 << 20)?;
    let mut all = Vec::new();
    for (kind, read) in [(GET_CHAIN, policy as fn(&[u8]) -> Option<Barrier>), (GET_RULE, rule)] {
        dump(&mut socket, kind, read, &mut all).map_err(failed)?;
    }
    Ok(Some(all))
}

/// Whether asking loads nothing: the module is in the kernel already.
fn is_there() -> bool {
    let modules = fs::read_to_string("/proc/modules");
    let is_loaded = |text: &str| text.lines().any(|line| line.starts_with("nf_tables "));
    // A kernel without modules loads none.
    if modules.as_deref().map_or(true, is_loaded) || Path::new("/sys/module/nf_tables").exists() {
        return true;
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let builtin = format!("/lib/modules/{}/modules.builtin", release.trim());
    fs::read_to_string(builtin).is_ok_and(|text| text.contains("/nf_tables.ko"))
}

fn dump(
    socket: &mut NetfilterSocket,
    kind: u16,
    read: fn(&[u8]) -> Option<Barrier>,
    all: &mut Vec<Barrier>,
) -> io::Result<()> {
    const MOST: usize = 4096;
    const LIMIT: Duration = Duration::from_secs(1);
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    // struct nfgenmsg: any family, version 0, no resource.
    let sequence =
        socket.request((libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | kind, flags, &[0; 4])?;
    let mut buffer = vec![0; 64 << 10];
    // A ruleset of some ten thousand rules has fewer datagrams.
    for _ in 0..MOST {
        match socket.receive(&mut buffer, Some(LIMIT))? {
            Received::Idle => return Err(io::ErrorKind::TimedOut.into()),
            Received::Refused(refusal) => return Err(refusal.into()),
            Received::Overrun => {}
            Received::Messages(len) => {
                let bytes = buffer.get(..len).unwrap_or_default();
                let ours = |m: &Message<'_>| m.sequence == sequence;
                for message in messages(bytes).filter(ours) {
                    if i32::from(message.kind) == libc::NLMSG_DONE {
                        return Ok(());
                    }
                    all.extend(read(message.body).filter(|_| all.len() < MOST));
                }
            }
        }
    }
    Ok(())
}

const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;

// Attributes of chains (NFTA_CHAIN_*) and of their hooks.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const HOOK_NUMBER: u16 = 1;
// Of rules and their expressions.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const COUNTER_PACKETS: u16 = 2;

/// A base chain whose policy is drop.
fn policy(body: &[u8]) -> Option<Barrier> {
    let (family, body) = family(body)?;
    let hook = nested(body, CHAIN_HOOK)?;
    let number = number32(nested(hook, HOOK_NUMBER)?)?;
    (number32(nested(body, CHAIN_POLICY)?)? == libc::NF_DROP as u32).then(|| Barrier {
        family,
        table: text_of(nested(body, CHAIN_TABLE).unwrap_or_default()),
        chain: text_of(nested(body, CHAIN_NAME).unwrap_or_default()),
        rule: None,
        packets: None,
        // Chains of netdev have one hook on the way in, which is 0, too.
        is_way_in: [libc::NF_INET_PRE_ROUTING, libc::NF_INET_LOCAL_IN].contains(&(number as i32)),
    })
}

/// A rule that drops or rejects.
fn rule(body: &[u8]) -> Option<Barrier> {
    let (family, body) = family(body)?;
    let (mut is_barrier, mut packets) = (false, None);
    for (_, expression) in attributes(nested(body, RULE_EXPRESSIONS)?) {
        let data = nested(expression, EXPRESSION_DATA).unwrap_or_default();
        match text_of(nested(expression, EXPRESSION_NAME).unwrap_or_default()).as_str() {
            "reject" => is_barrier = true,
            "immediate" => {
                let verdict = nested(data, IMMEDIATE_DATA).and_then(|d| nested(d, DATA_VERDICT));
                let code = verdict.and_then(|v| nested(v, VERDICT_CODE)).and_then(number32);
                is_barrier |= code == Some(libc::NF_DROP as u32);
            }
            "counter" => packets = nested(data, COUNTER_PACKETS).and_then(number64),
            _ => {}
        }
    }
    let handle = number64(nested(body, RULE_HANDLE)?)?;
    is_barrier.then(|| Barrier {
        family,
        table: text_of(nested(body, RULE_TABLE).unwrap_or_default()),
        chain: text_of(nested(body, RULE_CHAIN).unwrap_or_default()),
        rule: Some(handle),
        packets,
        is_way_in: false,
    })
}

/// The family in struct nfgenmsg, and the attributes behind it.
fn family(body: &[u8]) -> Option<(&'static str, &[u8])> {
    let (head, rest) = body.split_first_chunk::<4>()?;
    let name = match head[0] {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "other",
    };
    Some((name, rest))
}

fn nested(body: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(body).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// Numbers of nftables are in network order.
fn number32(octets: &[u8]) -> Option<u32> {
    octets.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

fn number64(octets: &[u8]) -> Option<u64> {
    octets.first_chunk().map(|octets| u64::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut out = [4 + value.len() as u16, kind].map(u16::to_ne_bytes).as_flattened().to_vec();
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn chain(hook: u32, policy: u32) -> Vec<u8> {
        [
            vec![1, 0, 0, 0],
            attribute(CHAIN_TABLE, b"filter\0"),
            attribute(CHAIN_NAME, b"input\0"),
            attribute(CHAIN_HOOK | 0x8000, &attribute(HOOK_NUMBER, &hook.to_be_bytes())),
            attribute(CHAIN_POLICY, &policy.to_be_bytes()),
        ]
        .concat()
    }

    fn dropping() -> Vec<u8> {
        let expression = |name: &[u8], data: &[u8]| {
            let name = attribute(EXPRESSION_NAME, name);
            attribute(1, &[name, attribute(EXPRESSION_DATA, data)].concat())
        };
        let verdict = attribute(VERDICT_CODE, &0u32.to_be_bytes());
        let verdict = attribute(IMMEDIATE_DATA, &attribute(DATA_VERDICT, &verdict));
        let all = [
            expression(b"payload\0", b""),
            expression(b"counter\0", &attribute(COUNTER_PACKETS, &7u64.to_be_bytes())),
            expression(b"immediate\0", &verdict),
        ];
        [
            vec![2, 0, 0, 0],
            attribute(RULE_TABLE, b"t\0"),
            attribute(RULE_CHAIN, b"c\0"),
            attribute(RULE_HANDLE, &5u64.to_be_bytes()),
            attribute(RULE_EXPRESSIONS, &all.concat()),
        ]
        .concat()
    }

    #[test]
    fn policies_and_rules_are_read() {
        let input = policy(&chain(1, 0)).unwrap();
        assert_eq!(
            (input.family, input.table.as_str(), input.chain.as_str()),
            ("inet", "filter", "input")
        );
        assert!(input.is_way_in && input.rule.is_none());
        assert!(!policy(&chain(3, 0)).unwrap().is_way_in);
        assert_eq!(policy(&chain(1, 1)), None, "accepts");
        let rule = rule(&dropping()).unwrap();
        assert_eq!((rule.family, rule.rule, rule.packets), ("ip", Some(5), Some(7)));
    }

    #[test]
    fn nothing_cut_or_changed_panics() {
        for (whole, read) in
            [(chain(1, 0), policy as fn(&[u8]) -> Option<Barrier>), (dropping(), rule)]
        {
            for len in 0..whole.len() {
                let _ = read(&whole[..len]);
            }
            for at in 0..whole.len() {
                for value in [0, 1, 3, 0x7f, 0xff] {
                    let mut bad = whole.clone();
                    bad[at] = value;
                    let _ = read(&bad);
                }
            }
        }
    }

    #[test]
    fn the_kernel_tells_of_rules_that_nft_has_made() {
        let run = || {
            // Of this thread alone: a new network namespace, empty.
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
                return println!("skipped: no namespace without CAP_SYS_ADMIN");
            }
            let nft = |line: &str| Command::new("nft").args(line.split(' ')).status();
            let rule = "add rule inet f in udp dport 9 counter drop";
            let policy = "add chain inet f in { type filter hook input priority 0; policy drop; }";
            let all = ["add table inet f", policy, rule, "add rule inet f in udp dport 8 accept"];
            if !all.iter().all(|line| nft(line).is_ok_and(|s| s.success())) {
                return println!("skipped: nft does not work here");
            }
            let found = barriers().unwrap().expect("nftables");
            let kinds: Vec<_> = found.iter().map(|b| (b.rule.is_some(), b.packets)).collect();
            assert_eq!(kinds, [(false, None), (true, Some(0))], "{found:?}");
            assert!(found.iter().all(|b| b.family == "inet" && b.table == "f" && b.chain == "in"));
        };
        std::thread::spawn(run).join().unwrap();
    }
}
