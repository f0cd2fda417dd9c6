//! The configuration file of nfflowd, `/etc/nfflowd.conf`, as options of `flownatd`.
//!
//! ```text
//! <flow_send>
//!     args 172.16.1.1      # the address that datagrams leave from
//!     args 192.168.0.1     # the collector
//!     args 65001           # its port
//! </flow_send>
//! ```
//!
//! What it says of the programs that nfflowd starts has no effect: none are started. It is the
//! format of Perl's `Config::General`, of which nfflowd's manual uses blocks and lines of a name and
//! a value.

use super::options::Entry;
use anyhow::{Context as _, bail, ensure};
use std::net::IpAddr;

/// Where nfflowd has it.
pub const SYSTEM: &str = "/etc/nfflowd.conf";

/// Where copies of its lines go.
pub(crate) const SYSLOG: &str = "/dev/log";

/// How nfflowd works where its file has no word for it: NetFlow v5 at the end of a connection, of
/// translated connections of these protocols. Its lines have counters, so the kernel has to count.
const ALWAYS: [(&str, &str); 6] = [
    ("export", "5"),
    ("protocol", "tcp,udp,icmp"),
    ("active", "0"),
    ("pid-file", "/run/nfflowd.pid"),
    ("nat-only", ""),
    ("set-sysctls", ""),
];

/// Whether a text is such a file: its first line that says something opens a block.
pub(crate) fn is_one(text: &str) -> bool {
    text.lines().map(str::trim).find(|l| !is_remark(l)).is_some_and(|l| l.starts_with('<'))
}

/// The options that a file stands for.
///
/// # Errors
/// If a line makes no sense, or the collector is missing.
pub(crate) fn entries(text: &str) -> anyhow::Result<Vec<Entry>> {
    let said = Said::read(text)?;
    let [from, host, port] = said.send.as_slice() else {
        bail!(
            "<flow_send> has {} lines args; there are three: the address to send from, the \
             collector's address and its port",
            said.send.len()
        );
    };
    let from: IpAddr = from.parse().with_context(|| format!("args {from}: no address"))?;
    let port: u16 = port.parse().with_context(|| format!("args {port}: no port"))?;
    let to = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut all: Vec<Entry> = ALWAYS.iter().map(|(name, value)| entry(name, value)).collect();
    all.push(entry("from", &from.to_string()));
    all.push(entry("to", &to));
    if let Some(ttl) = said.ttl {
        all.push(entry("ttl", &ttl));
    }
    if said.has_syslog {
        all.push(entry("syslog", SYSLOG));
    }
    Ok(all)
}

fn entry(name: &str, value: &str) -> Entry {
    let word = if value.is_empty() { format!("--{name}") } else { format!("--{name}={value}") };
    Entry { name: name.to_owned(), word: word.into() }
}

/// What is of use in a file.
struct Said {
    send: Vec<String>,
    ttl: Option<String>,
    has_syslog: bool,
}

impl Said {
    fn read(text: &str) -> anyhow::Result<Self> {
        let (mut send, mut ttl, mut dispatchers) = (Vec::new(), None, Vec::new());
        let mut blocks: Vec<&str> = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if is_remark(line) {
                continue;
            }
            if let Some(name) = line.strip_prefix('<').and_then(|l| l.strip_suffix('>')) {
                turn(&mut blocks, name).with_context(|| format!("line {}: {line}", n + 1))?;
                continue;
            }
            let (key, value) = pair(line);
            match (blocks.as_slice(), key) {
                (["flow_send"], "args") => send.push(value.to_owned()),
                (["ct2ft"], "ttl") => ttl = Some(value.to_owned()),
                (["ptee", "conf"], "dispatchers") => dispatchers.push(value.to_owned()),
                (["ptee", "conf", "syslog"], "facility") if value != "local6" => {
                    bail!("line {}: facility {value}: lines go to local6", n + 1);
                }
                (["ptee", ..], _)
                | (
                    ["conntrack" | "flow_import" | "flow_send" | "ct2ft"],
                    "progname" | "init_format" | "format",
                ) => {}
                _ => bail!("line {}: nfflowd has no '{key}' here", n + 1),
            }
        }
        ensure!(blocks.is_empty(), "<{}> is not closed", blocks.join("> <"));
        let has_syslog = dispatchers.is_empty() || dispatchers.iter().any(|d| d == "syslog");
        Ok(Self { send, ttl, has_syslog })
    }
}

/// Into a block, or out of it.
fn turn<'a>(blocks: &mut Vec<&'a str>, name: &'a str) -> anyhow::Result<()> {
    const DEEPEST: usize = 4;
    match name.strip_prefix('/') {
        Some(closed) => {
            ensure!(blocks.pop() == Some(closed), "closes what was not opened last");
        }
        None => {
            ensure!(blocks.len() < DEEPEST, "blocks in blocks in blocks");
            blocks.push(name);
        }
    }
    Ok(())
}

fn is_remark(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

/// A name and its value, with blanks or `=` between them, without the remark behind them.
fn pair(line: &str) -> (&str, &str) {
    let line = line.split_once(" #").map_or(line, |(before, _)| before);
    let (key, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
    (key, value.trim_start_matches([' ', '\t', '=']).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: &str = "
        <flow_send>
            # source interface on this server
            args 172.16.1.1
            args 192.168.0.1   # netflow collector address
            args = 65001
        </flow_send>";

    fn words(text: &str) -> anyhow::Result<Vec<String>> {
        assert!(is_one(text), "{text}");
        Ok(entries(text)?.into_iter().map(|e| e.word.into_string().unwrap()).collect())
    }

    #[test]
    fn the_file_of_the_manual_is_understood() {
        let want = [
            "--export=5",
            "--protocol=tcp,udp,icmp",
            "--active=0",
            "--pid-file=/run/nfflowd.pid",
            "--nat-only",
            "--set-sysctls",
            "--from=172.16.1.1",
            "--to=192.168.0.1:65001",
            "--syslog=/dev/log",
        ];
        assert_eq!(words(MANUAL).unwrap(), want);
        assert!(!is_one("to = \"a:1\"\n") && !is_one("# <flow_send>\n[flownatd]\n"));
    }

    #[test]
    fn other_blocks_say_how_long_and_to_whom() {
        let own = "<ct2ft>\nttl 3600\n</ct2ft>\n\
                   <conntrack>\nprogname conntrack\nformat -E -e NEW,DESTROY -o timestamp -n\n\
                   </conntrack>\n<ptee>\n<conf>\ndispatchers screen\n<screen>\nstderr 0\n</screen>\n\
                   </conf>\n</ptee>\n";
        let got = words(&format!("{own}{MANUAL}")).unwrap();
        assert!(got.contains(&"--ttl=3600".to_owned()), "{got:?}");
        assert!(!got.iter().any(|w| w.starts_with("--syslog")), "{got:?}");
        let v6 = MANUAL.replace("172.16.1.1", "2001:db8::1").replace("192.168.0.1", "2001:db8::2");
        assert!(words(&v6).unwrap().contains(&"--to=[2001:db8::2]:65001".to_owned()));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let args = |all: &[&str]| {
            let lines: String = all.iter().map(|a| format!("args {a}\n")).collect();
            format!("<flow_send>\n{lines}</flow_send>\n")
        };
        let syslog = "<ptee>\n<conf>\n<syslog>\nfacility daemon\n</syslog>\n</conf>\n</ptee>\n";
        for (text, said) in [
            (args(&["192.0.2.1", "192.0.2.2"]), "has 2 lines args"),
            (args(&["eth0", "192.0.2.2", "1"]), "args eth0: no address"),
            (args(&["192.0.2.1", "192.0.2.2", "x"]), "args x: no port"),
            ("<flow_send>\n".into(), "<flow_send> is not closed"),
            ("<a>\n</b>\n".into(), "line 2"),
            ("<flow_send>\nport 1\n</flow_send>\n".into(), "line 2: nfflowd has no 'port' here"),
            (format!("{syslog}{MANUAL}"), "line 4: facility daemon"),
            ("<a>\n".repeat(9), "line 5"),
        ] {
            let e = words(&text).unwrap_err();
            assert!(format!("{e:#}").contains(said), "{text}: {e:#}");
        }
    }
}
