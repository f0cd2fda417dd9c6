//! How long the kernel keeps a connection after its last packet, by protocol and state: what to
//! take from the moment an entry timed out to get the time of its last packet.

use crate::entry::{Entry, Status};

macro_rules! timeouts {
    ($($name:ident $sysctl:literal $default:literal;)*) => {
        /// Timeouts in seconds, each by the name its sysctl has behind `net.netfilter.`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Timeouts {
            $(#[doc = concat!("`", $sysctl, "`")] pub $name: u32,)*
        }

        impl Default for Timeouts {
            /// Those of the kernel.
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Timeouts {
            /// The sysctls to read, as files of `/proc/sys/net/netfilter`.
            pub const NAMES: &'static [&'static str] = &[$($sysctl),*];

            /// Sets one by its name from the text of its file. Returns whether both were understood.
            pub fn set(&mut self, name: &str, text: &str) -> bool {
                let Ok(seconds) = text.trim().parse() else { return false };
                match name {
                    $($sysctl => self.$name = seconds,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

timeouts! {
    generic "nf_conntrack_generic_timeout" 600;
    icmp "nf_conntrack_icmp_timeout" 30;
    icmpv6 "nf_conntrack_icmpv6_timeout" 30;
    udp "nf_conntrack_udp_timeout" 30;
    udp_stream "nf_conntrack_udp_timeout_stream" 120;
    gre "nf_conntrack_gre_timeout" 30;
    gre_stream "nf_conntrack_gre_timeout_stream" 180;
    tcp_syn_sent "nf_conntrack_tcp_timeout_syn_sent" 120;
    tcp_syn_recv "nf_conntrack_tcp_timeout_syn_recv" 60;
    tcp_established "nf_conntrack_tcp_timeout_established" 432_000;
    tcp_fin_wait "nf_conntrack_tcp_timeout_fin_wait" 120;
    tcp_close_wait "nf_conntrack_tcp_timeout_close_wait" 60;
    tcp_last_ack "nf_conntrack_tcp_timeout_last_ack" 30;
    tcp_time_wait "nf_conntrack_tcp_timeout_time_wait" 120;
    tcp_close "nf_conntrack_tcp_timeout_close" 10;
    sctp_closed "nf_conntrack_sctp_timeout_closed" 10;
    sctp_cookie_wait "nf_conntrack_sctp_timeout_cookie_wait" 3;
    sctp_cookie_echoed "nf_conntrack_sctp_timeout_cookie_echoed" 3;
    sctp_established "nf_conntrack_sctp_timeout_established" 210;
    sctp_shutdown_sent "nf_conntrack_sctp_timeout_shutdown_sent" 3;
    sctp_shutdown_recd "nf_conntrack_sctp_timeout_shutdown_recd" 3;
    sctp_shutdown_ack_sent "nf_conntrack_sctp_timeout_shutdown_ack_sent" 3;
    sctp_heartbeat_sent "nf_conntrack_sctp_timeout_heartbeat_sent" 30;
    dccp_request "nf_conntrack_dccp_timeout_request" 240;
    dccp_respond "nf_conntrack_dccp_timeout_respond" 480;
    dccp_partopen "nf_conntrack_dccp_timeout_partopen" 480;
    dccp_open "nf_conntrack_dccp_timeout_open" 43_200;
    dccp_closereq "nf_conntrack_dccp_timeout_closereq" 64;
    dccp_closing "nf_conntrack_dccp_timeout_closing" 64;
    dccp_timewait "nf_conntrack_dccp_timeout_timewait" 240;
}

impl Timeouts {
    /// Seconds that the kernel waited after the last packet of `entry`, by its protocol and last
    /// state.
    pub fn of(&self, entry: &Entry) -> u32 {
        let is_stream = entry.status.has(Status::ASSURED);
        match (entry.orig.proto, entry.state) {
            (1, _) => self.icmp,
            (58, _) => self.icmpv6,
            (17 | 136, _) => [self.udp, self.udp_stream][usize::from(is_stream)],
            (47, _) => [self.gre, self.gre_stream][usize::from(is_stream)],
            (6, state) => self.of_tcp(state),
            (132, state) => self.of_sctp(state),
            (33, state) => self.of_dccp(state),
            _ => self.generic,
        }
    }

    /// States of `enum tcp_conntrack`.
    const fn of_tcp(&self, state: u8) -> u32 {
        match state {
            2 => self.tcp_syn_recv,
            3 => self.tcp_established,
            4 => self.tcp_fin_wait,
            5 => self.tcp_close_wait,
            6 => self.tcp_last_ack,
            7 => self.tcp_time_wait,
            8 => self.tcp_close,
            _ => self.tcp_syn_sent,
        }
    }

    /// States of `enum sctp_conntrack`.
    const fn of_sctp(&self, state: u8) -> u32 {
        match state {
            2 => self.sctp_cookie_wait,
            3 => self.sctp_cookie_echoed,
            4 => self.sctp_established,
            5 => self.sctp_shutdown_sent,
            6 => self.sctp_shutdown_recd,
            7 => self.sctp_shutdown_ack_sent,
            8 => self.sctp_heartbeat_sent,
            _ => self.sctp_closed,
        }
    }

    /// States of `enum ct_dccp_states`.
    const fn of_dccp(&self, state: u8) -> u32 {
        match state {
            2 => self.dccp_respond,
            3 => self.dccp_partopen,
            4 => self.dccp_open,
            5 => self.dccp_closereq,
            6 => self.dccp_closing,
            7 => self.dccp_timewait,
            _ => self.dccp_request,
        }
    }
}
