//! Keys of JSON objects, with what stands around them.

use crate::column::bits;
use Field as F;
use record::Field;

/// A key with all that stands before its value, in both forms.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub(super) pretty: &'static [u8],
    pub(super) compact: &'static [u8],
}

macro_rules! key {
    ($name:literal) => {
        Key {
            pretty: concat!(",\n  \"", $name, "\" : ").as_bytes(),
            compact: concat!(",\"", $name, "\":").as_bytes(),
        }
    };
}

pub(super) use key;

/// An extension whose keys are plain numbers.
pub(super) struct Numbers {
    pub(super) keys: &'static [(Key, Field)],
    /// Presence bits of its fields.
    pub(super) bits: u128,
}

impl Numbers {
    const fn new(keys: &'static [(Key, Field)]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < keys.len() {
            bits |= 1 << keys[i].1 as u32;
            i += 1;
        }
        Self { keys, bits }
    }
}

/// Presence bits of extension 19.
pub(super) const FIREWALL: u128 = bits(&[F::FwEventTime, F::ConnId, F::FwXEvent, F::FwEvent]);

pub(super) static COUNTERS: Numbers = Numbers::new(&[
    (key!("out_packets"), F::OutPackets),
    (key!("out_bytes"), F::OutBytes),
    (key!("aggr_flows"), F::Flows),
]);
pub(super) static VLAN: Numbers =
    Numbers::new(&[(key!("src_vlan"), F::SrcVlan), (key!("dst_vlan"), F::DstVlan)]);
pub(super) static AS: Numbers =
    Numbers::new(&[(key!("src_as"), F::SrcAs), (key!("dst_as"), F::DstAs)]);
pub(super) static ADJACENT_AS: Numbers =
    Numbers::new(&[(key!("next_as"), F::NextAs), (key!("prev_as"), F::PrevAs)]);
pub(super) static PORT_BLOCK: Numbers = Numbers::new(&[
    (key!("pblock_start"), F::PblockStart),
    (key!("pblock_end"), F::PblockEnd),
    (key!("pblock_step"), F::PblockStep),
    (key!("pblock_size"), F::PblockSize),
]);
pub(super) static OBSERVATION: Numbers = Numbers::new(&[
    (key!("observationDomainID"), F::ObservationDomain),
    (key!("observationPointID"), F::ObservationPoint),
]);
pub(super) static VRF: Numbers =
    Numbers::new(&[(key!("ingress_vrf"), F::IngressVrf), (key!("egress_vrf"), F::EgressVrf)]);
pub(super) static LAYER2: Numbers = Numbers::new(&[
    (key!("vlanID"), F::VlanId),
    (key!("post_vlanID"), F::PostVlanId),
    (key!("cust_vlanID"), F::CustomerVlanId),
    (key!("post_cust_vlanID"), F::PostCustomerVlanId),
    (key!("phys_ingress"), F::PhysIngress),
    (key!("phys_egress"), F::PhysEgress),
    (key!("ethertype"), F::EtherType),
    (key!("ip_version"), F::IpVersion),
]);
pub(super) static FLOW_ID: Numbers = Numbers::new(&[(key!("flowID"), F::FlowId)]);
pub(super) static SERVICES: Numbers =
    Numbers::new(&[(key!("inServiceID"), F::InService), (key!("outServiceID"), F::OutService)]);
pub(super) static TTL: Numbers =
    Numbers::new(&[(key!("ip_minttl"), F::MinTtl), (key!("ip_maxttl"), F::MaxTtl)]);
