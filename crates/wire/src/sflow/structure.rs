//! What structures sFlow has, and how many of each were seen: samples and records are tagged with
//! an enterprise and a format, so those that nobody here reads can be skipped and still be named.

use std::collections::BTreeMap;
use std::fmt;

/// Where a structure occurs; numbers mean something else in each place (sFlow version 5, section
/// 5.1, "Data Format").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A sample in a datagram.
    Sample,
    /// A record in a flow sample.
    Flow,
    /// A record in a counter sample.
    Counter,
}

/// One kind of sample or record that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Where it occurs.
    pub place: Place,
    /// Private enterprise number of who defined it, 0 for sflow.org.
    pub enterprise: u32,
    /// Its number there.
    pub format: u16,
    /// Its name, `None` if it is not known here.
    pub name: Option<&'static str>,
    /// Whether flows or counters of interfaces take something from it.
    pub is_used: bool,
    /// How many were seen.
    pub seen: u64,
}

impl fmt::Display for Structure {
    /// `sFlow 0:1001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sFlow {}:{}", self.enterprise, self.format)
    }
}

/// What is known of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Something is taken from it.
    Used,
    /// It has a name, and is skipped.
    Skipped,
    /// It has not even a name.
    Unknown,
}

/// Enterprise and format as one number, as it lies in datagrams: 20 bits and 12 bits.
type Tag = u32;

/// Counts of all structures; bounded, because anybody may invent formats.
#[derive(Debug)]
pub(crate) struct Structures {
    named: Vec<u64>,
    unknown: BTreeMap<(Place, Tag), u64>,
    limit: usize,
}

impl Structures {
    /// Lists at most `limit` formats that are not known; all are counted elsewhere.
    pub(crate) fn new(limit: usize) -> Self {
        Self { named: vec![0; NAMES.len()], unknown: BTreeMap::new(), limit }
    }

    /// Counts one and says what is known of it.
    pub(super) fn note(&mut self, place: Place, tag: Tag) -> Known {
        if let Ok(at) = NAMES.binary_search_by_key(&(place, tag), |n| (n.0, n.1)) {
            if let Some(seen) = self.named.get_mut(at) {
                *seen += 1;
            }
            let is_used = NAMES.get(at).is_some_and(|n| n.3);
            return if is_used { Known::Used } else { Known::Skipped };
        }
        if let Some(seen) = self.unknown.get_mut(&(place, tag)) {
            *seen += 1;
        } else if self.unknown.len() < self.limit {
            self.unknown.insert((place, tag), 1);
        }
        Known::Unknown
    }

    /// Everything that was seen.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Structure> + '_ {
        let structure = |place, tag: Tag, name, is_used, seen| Structure {
            place,
            enterprise: tag >> 12,
            format: (tag & 0xfff) as u16,
            name,
            is_used,
            seen,
        };
        let named = NAMES.iter().zip(&self.named).filter(|(_, seen)| **seen > 0);
        let named = named.map(move |(n, seen)| structure(n.0, n.1, Some(n.2), n.3, *seen));
        let unknown = self.unknown.iter();
        named.chain(
            unknown.map(move |(&(place, tag), seen)| structure(place, tag, None, false, *seen)),
        )
    }
}

const fn tag(enterprise: u32, format: u32) -> Tag {
    enterprise << 12 | format
}

/// Place, tag, name as in the registry of sflow.org, and whether it is used here. In order.
#[rustfmt::skip]
const NAMES: &[(Place, Tag, &str, bool)] = {
    use Place::{Counter, Flow, Sample};
    &[
        (Sample, super::FLOW_SAMPLE, "flow_sample", true),
        (Sample, super::COUNTER_SAMPLE, "counter_sample", true),
        (Sample, super::EXPANDED_FLOW_SAMPLE, "flow_sample_expanded", true),
        (Sample, super::EXPANDED_COUNTER_SAMPLE, "counter_sample_expanded", true),
        (Sample, 5, "discarded_packet", false),
        (Sample, tag(4300, 1002), "rtmetric", false),
        (Sample, tag(4300, 1003), "rtflow", false),
        (Flow, 1, "sampled_header", true),
        (Flow, 2, "sampled_ethernet", true),
        (Flow, 3, "sampled_ipv4", true),
        (Flow, 4, "sampled_ipv6", true),
        (Flow, 1001, "extended_switch", true),
        (Flow, 1002, "extended_router", true),
        (Flow, 1003, "extended_gateway", true),
        (Flow, 1004, "extended_user", false),
        (Flow, 1005, "extended_url", false),
        (Flow, 1006, "extended_mpls", true),
        (Flow, 1007, "extended_nat", true),
        (Flow, 1008, "extended_mpls_tunnel", false),
        (Flow, 1009, "extended_mpls_vc", false),
        (Flow, 1010, "extended_mpls_FTN", false),
        (Flow, 1011, "extended_mpls_LDP_FEC", false),
        (Flow, 1012, "extended_vlantunnel", true),
        (Flow, 1013, "extended_80211_payload", false),
        (Flow, 1014, "extended_80211_rx", false),
        (Flow, 1015, "extended_80211_tx", false),
        (Flow, 1016, "extended_80211_aggregation", false),
        (Flow, 1017, "extended_openflow_v1", false),
        (Flow, 1018, "extended_fc", false),
        (Flow, 1019, "extended_queue_length", false),
        (Flow, 1020, "extended_nat_port", true),
        (Flow, 1021, "extended_L2_tunnel_egress", false),
        (Flow, 1022, "extended_L2_tunnel_ingress", false),
        (Flow, 1023, "extended_ipv4_tunnel_egress", true),
        (Flow, 1024, "extended_ipv4_tunnel_ingress", true),
        (Flow, 1025, "extended_ipv6_tunnel_egress", true),
        (Flow, 1026, "extended_ipv6_tunnel_ingress", true),
        (Flow, 1027, "extended_decapsulate_egress", false),
        (Flow, 1028, "extended_decapsulate_ingress", false),
        (Flow, 1029, "extended_vni_egress", true),
        (Flow, 1030, "extended_vni_ingress", true),
        (Flow, 1031, "extended_ib_lrh", false),
        (Flow, 1032, "extended_ib_grh", false),
        (Flow, 1033, "extended_ib_bth", false),
        (Flow, 1034, "extended_vlanin", false),
        (Flow, 1035, "extended_vlanout", false),
        (Flow, 1036, "extended_egress_queue", false),
        (Flow, 1037, "extended_acl", false),
        (Flow, 1038, "extended_function", false),
        (Flow, 1039, "extended_transit", false),
        (Flow, 1040, "extended_queue", false),
        (Flow, 1041, "extended_hw_trap", false),
        (Flow, 1042, "extended_linux_drop_reason", false),
        (Flow, 2000, "transaction", false),
        (Flow, 2001, "extended_nfs_storage_transaction", false),
        (Flow, 2002, "extended_scsi_storage_transaction", false),
        (Flow, 2003, "extended_http_transaction", false),
        (Flow, 2100, "extended_socket_ipv4", false),
        (Flow, 2101, "extended_socket_ipv6", false),
        (Flow, 2102, "extended_proxy_socket_ipv4", false),
        (Flow, 2103, "extended_proxy_socket_ipv6", false),
        (Flow, 2200, "memcache_operation", false),
        (Flow, 2201, "http_request (deprecated)", false),
        (Flow, 2202, "app_operation", false),
        (Flow, 2203, "app_parent_context", false),
        (Flow, 2204, "app_initiator", false),
        (Flow, 2205, "app_target", false),
        (Flow, 2206, "http_request", false),
        (Flow, 2207, "extended_proxy_request", false),
        (Flow, 2208, "extended_nav_timing", false),
        (Flow, 2209, "extended_tcp_info", false),
        (Flow, 2210, "extended_entities", false),
        (Flow, tag(4413, 1), "bst_egress_queue", false),
        (Counter, 1, "if_counters", true),
        (Counter, 2, "ethernet_counters", false),
        (Counter, 3, "tokenring_counters", false),
        (Counter, 4, "vg_counters", false),
        (Counter, 5, "vlan_counters", false),
        (Counter, 6, "ieee80211_counters", false),
        (Counter, 7, "lag_port_stats", false),
        (Counter, 8, "slow_path_counts", false),
        (Counter, 9, "ib_counters", false),
        (Counter, 10, "sfp", false),
        (Counter, 1001, "processor", false),
        (Counter, 1002, "radio_utilization", false),
        (Counter, 1003, "queue_length", false),
        (Counter, 1004, "of_port", false),
        (Counter, 1005, "port_name", true),
        (Counter, 2000, "host_descr", false),
        (Counter, 2001, "host_adapters", false),
        (Counter, 2002, "host_parent", false),
        (Counter, 2003, "host_cpu", false),
        (Counter, 2004, "host_memory", false),
        (Counter, 2005, "host_disk_io", false),
        (Counter, 2006, "host_net_io", false),
        (Counter, 2007, "mib2_ip_group", false),
        (Counter, 2008, "mib2_icmp_group", false),
        (Counter, 2009, "mib2_tcp_group", false),
        (Counter, 2010, "mib2_udp_group", false),
        (Counter, 2100, "virt_node", false),
        (Counter, 2101, "virt_cpu", false),
        (Counter, 2102, "virt_memory", false),
        (Counter, 2103, "virt_disk_io", false),
        (Counter, 2104, "virt_net_io", false),
        (Counter, 2105, "jmx_runtime", false),
        (Counter, 2106, "jmx_statistics", false),
        (Counter, 2200, "memcached_counters (deprecated)", false),
        (Counter, 2201, "http_counters", false),
        (Counter, 2202, "app_operations", false),
        (Counter, 2203, "app_resources", false),
        (Counter, 2204, "memcache_counters", false),
        (Counter, 2206, "app_workers", false),
        (Counter, 2207, "ovs_dp_stats", false),
        (Counter, 3000, "energy", false),
        (Counter, 3001, "temperature", false),
        (Counter, 3002, "humidity", false),
        (Counter, 3003, "fans", false),
        (Counter, tag(4413, 1), "bst_device_buffers", false),
        (Counter, tag(4413, 2), "bst_port_buffers", false),
        (Counter, tag(4413, 3), "hw_tables", false),
        (Counter, tag(5703, 1), "nvidia_gpu", false),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        assert!(NAMES.is_sorted_by_key(|n| (n.0, n.1)));
    }

    #[test]
    fn structures_are_counted_and_the_list_of_unknown_ones_is_bounded() {
        let mut structures = Structures::new(2);
        assert_eq!(structures.note(Place::Flow, 1001), Known::Used);
        assert_eq!(structures.note(Place::Flow, 1004), Known::Skipped);
        for format in [9, 9, 10, 11] {
            assert_eq!(structures.note(Place::Counter, tag(4300, format)), Known::Unknown);
        }
        let seen: Vec<_> = structures.iter().map(|s| (s.to_string(), s.name, s.seen)).collect();
        let want = [
            ("sFlow 0:1001", Some("extended_switch"), 1),
            ("sFlow 0:1004", Some("extended_user"), 1),
            ("sFlow 4300:9", None, 2),
            ("sFlow 4300:10", None, 1),
        ];
        assert_eq!(seen, want.map(|(tag, name, n)| (tag.to_owned(), name, n)));
    }
}
