//! Settings of the kernel that decide how much its connection table can tell, and what is lost
//! without each. They belong to a network namespace. Nothing here reads or writes a file.

/// A setting that has to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name, as `sysctl` has it.
    pub name: &'static str,
    /// The file.
    pub path: &'static str,
    /// What it should be.
    pub want: &'static str,
    /// What it costs if it is not.
    pub cost: &'static str,
}

/// The settings to check at start, in this order.
pub const SETTINGS: [Setting; 3] = [
    Setting {
        name: "net.netfilter.nf_conntrack_acct",
        path: "/proc/sys/net/netfilter/nf_conntrack_acct",
        want: "1",
        cost: "records have no packets and octets",
    },
    Setting {
        name: "net.netfilter.nf_conntrack_timestamp",
        path: "/proc/sys/net/netfilter/nf_conntrack_timestamp",
        want: "1",
        cost: "start and end are those of the messages, and connections found in the table have no start",
    },
    Setting {
        name: "net.netfilter.nf_conntrack_events",
        path: "/proc/sys/net/netfilter/nf_conntrack_events",
        want: "1",
        cost: "connections older than this program never tell their end; it is found by periodic dumps",
    },
];

/// A setting that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding<'a> {
    /// Which.
    pub setting: Setting,
    /// What it is; `None` where the file cannot be read: conntrack is not in use there.
    pub found: Option<&'a str>,
}

impl std::fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Setting { name, want, cost, .. } = self.setting;
        match self.found {
            Some("0") if name.ends_with("_events") => write!(
                f,
                "{name} is 0: the kernel tells nothing, connections are only found by periodic \
                 dumps; set it to {want}"
            ),
            Some(found) => write!(f, "{name} is {found}: {cost}; set it to {want}"),
            None => write!(
                f,
                "{name} cannot be read: connection tracking is not loaded or not used in this \
                 network namespace; load nf_conntrack"
            ),
        }
    }
}

/// What of [`SETTINGS`] is not as it should be. `values` are the contents of the files in the same
/// order, `None` for one that cannot be read.
pub fn check<'a>(values: &[Option<&'a str>; 3]) -> impl Iterator<Item = Finding<'a>> {
    let pairs = SETTINGS.into_iter().zip(*values);
    pairs.filter_map(|(setting, value)| {
        let found = value.map(str::trim);
        (found != Some(setting.want)).then_some(Finding { setting, found })
    })
}
