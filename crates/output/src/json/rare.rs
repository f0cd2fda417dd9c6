//! What few records have: labels, hardware addresses, latencies, access lists, texts, tunnels.

use super::keys::{Key, key};
use super::{F, Rare, V4, V6};
use crate::column::MPLS;
use crate::digits::{push_hex, push_mac, push_thousandths};
use crate::draft::Word;
use crate::escape::push_json;
use crate::summary::push_fmt;
use crate::tls;
use crate::value::{acl_ids, push_mpls};
use payload::Transport;
use record::{Addr, Field, Mac};
use std::fmt::Display;

impl<const PRETTY: bool, const SUM: bool> Rare<'_, PRETTY, SUM> {
    /// Extension 14.
    #[inline(never)]
    pub(super) fn labels(&mut self) {
        const LABELS: [&Key; 10] = [
            key!("mpls_1"),
            key!("mpls_2"),
            key!("mpls_3"),
            key!("mpls_4"),
            key!("mpls_5"),
            key!("mpls_6"),
            key!("mpls_7"),
            key!("mpls_8"),
            key!("mpls_9"),
            key!("mpls_10"),
        ];
        for (key, field) in LABELS.into_iter().zip(MPLS) {
            if !self.has(field) {
                continue;
            }
            self.key(key);
            self.ink.push(b'"');
            push_mpls(self.ink, self.row.number(field), 0);
            self.ink.push(b'"');
        }
    }

    /// Extension 15.
    #[inline(never)]
    pub(super) fn macs(&mut self) {
        for (key, field) in [
            (key!("in_src_mac"), F::InSrcMac),
            (key!("out_dst_mac"), F::OutDstMac),
            (key!("in_dst_mac"), F::InDstMac),
            (key!("out_src_mac"), F::OutSrcMac),
        ] {
            if !self.has(field) {
                continue;
            }
            self.key(key);
            self.ink.push(b'"');
            push_mac(self.ink, self.row.mac(field).unwrap_or(Mac(0)));
            self.ink.push(b'"');
        }
    }

    /// Extension 17, milliseconds with six decimals.
    #[inline(never)]
    pub(super) fn latency(&mut self) {
        for (key, field) in [
            (key!("cli_latency"), F::ClientLatency),
            (key!("srv_latency"), F::ServerLatency),
            (key!("app_latency"), F::AppLatency),
        ] {
            if !self.has(field) {
                continue;
            }
            self.key(key);
            push_thousandths(self.ink, self.row.number(field), 0);
            self.ink.extend_from_slice(b"000");
        }
    }

    /// Extension 23.
    #[inline(never)]
    pub(super) fn acls(&mut self) {
        for (key, field) in
            [(key!("ingress_acl"), F::IngressAcl), (key!("egress_acl"), F::EgressAcl)]
        {
            if !self.has(field) {
                continue;
            }
            self.key(key);
            for (i, id) in acl_ids(self.row, field).into_iter().enumerate() {
                self.ink.extend_from_slice(if i == 0 { b"\"0x" } else { b"/0x" });
                push_hex(self.ink, id, 1);
            }
            self.ink.push(b'"');
        }
    }

    /// Extension 24.
    #[inline(never)]
    pub(super) fn user(&mut self) {
        if let Some(user) = self.row.text(F::Username) {
            self.text(key!("user_name"), if user.is_empty() { b"<empty>" } else { user });
        }
    }

    /// Extensions 29 and 30: what TLS clients offer.
    #[inline(never)]
    pub(super) fn payloads(&mut self) {
        let keys = [key!("in_tls"), key!("in_sni"), key!("in_ja3"), key!("in_ja4")];
        self.client_hello(keys, F::InPayload);
        let keys = [key!("out_tls"), key!("out_sni"), key!("out_ja3"), key!("out_ja4")];
        self.client_hello(keys, F::OutPayload);
    }

    fn client_hello(&mut self, [tls, sni, ja3, ja4]: [&Key; 4], field: Field) {
        if self.present >> field as u32 & 1 == 0 {
            return;
        }
        let Some(hello) = tls::hello(self.row, field) else { return };
        self.shown(tls, hello.version());
        if let Some(name) = hello.server_name() {
            self.text(sni, name);
        }
        if let Some(fingerprint) = hello.ja3() {
            self.shown(ja3, fingerprint);
        }
        if let Some(fingerprint) = hello.ja4(Transport::Tcp) {
            self.shown(ja4, fingerprint);
        }
    }

    /// Extensions 31 and 32.
    #[inline(never)]
    pub(super) fn tunnel(&mut self) {
        self.number(key!("tun_proto"), F::TunProto);
        let fields = [F::TunSrcAddr, F::TunDstAddr];
        match self.family(fields[0], fields[1]) {
            Some(Addr::V4(_)) => {
                self.pair([key!("src4_tun_ip"), key!("dst4_tun_ip")], fields, V4);
            }
            Some(Addr::V6(_)) => {
                self.pair([key!("src6_tun_ip"), key!("dst6_tun_ip")], fields, V6);
            }
            None => {}
        }
    }

    /// Extension 41.
    #[inline(never)]
    pub(super) fn nat_string(&mut self) {
        if let Some(text) = self.row.text(F::NatString) {
            self.text(key!("natString"), text);
        }
    }

    /// Text from outside.
    fn text(&mut self, key: &Key, text: &[u8]) {
        self.key(key);
        push_json(self.ink, text);
    }

    /// Something of ours that prints without escapes.
    fn shown(&mut self, key: &Key, value: impl Display) {
        self.key(key);
        push_fmt(self.ink, format_args!("\"{value}\""));
    }
}
