//! What was sent, and what was left out by cause.

/// What an encoder did so far. `rows` = rows that became records + `rows_left_out()`; what waits in
/// an unfinished datagram is in `records` and not yet in `datagrams`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportCounts {
    /// Rows given.
    pub rows: u64,
    /// Flow records written. A row whose counters do not fit v1 or v5 becomes several.
    pub records: u64,
    /// Records beyond the first of a row, whose counters did not fit one (v1, v5).
    pub records_split: u64,
    /// Datagrams handed to the sink.
    pub datagrams: u64,
    /// Octets of these datagrams, without IP and UDP headers.
    pub octets: u64,
    /// Templates written, options templates among them; repetitions count.
    pub templates: u64,
    /// Options records written.
    pub options: u64,
    /// Times that templates and options were sent again.
    pub refreshes: u64,
    /// Templates that made room for another one.
    pub templates_evicted: u64,
    /// Rows left out: a version without IPv6.
    pub rows_ipv6: u64,
    /// Rows left out: an event, and a version that knows flows only.
    pub rows_events: u64,
    /// Rows left out: start or end unknown or more than 24 days and 20 hours from the export, where times
    /// are uptimes (half of what 32 bits hold, so that receivers read them with or without sign).
    pub rows_undated: u64,
    /// Rows left out: a record or its template does not fit a datagram.
    pub rows_too_large: u64,
    /// Rows left out: nothing in them has a place in the protocol.
    pub rows_empty: u64,
    /// Rows left out: counters that v1 or v5 cannot say in 4096 records.
    pub rows_uncountable: u64,
    /// Octets or packets of the other direction that the version has no place for: rows.
    pub reverse_left_out: u64,
    /// Other fields that the version has no place for: one a row and field.
    pub fields_left_out: u64,
    /// Interface indices above 65 535, over v1 and v5: sent as 0, unknown.
    pub wide_interfaces: u64,
    /// AS numbers above 65 535, over v5: sent as 23 456 (RFC 6793, 4.2.3).
    pub wide_as_numbers: u64,
    /// Other values that are wider than their element: sent as 0, text cut.
    pub wide_values: u64,
}

impl ExportCounts {
    /// Adds those of another encoder.
    pub fn add(&mut self, other: &Self) {
        for (sum, n) in [
            (&mut self.rows, other.rows),
            (&mut self.records, other.records),
            (&mut self.records_split, other.records_split),
            (&mut self.datagrams, other.datagrams),
            (&mut self.octets, other.octets),
            (&mut self.templates, other.templates),
            (&mut self.options, other.options),
            (&mut self.refreshes, other.refreshes),
            (&mut self.templates_evicted, other.templates_evicted),
            (&mut self.rows_ipv6, other.rows_ipv6),
            (&mut self.rows_events, other.rows_events),
            (&mut self.rows_undated, other.rows_undated),
            (&mut self.rows_too_large, other.rows_too_large),
            (&mut self.rows_empty, other.rows_empty),
            (&mut self.rows_uncountable, other.rows_uncountable),
            (&mut self.reverse_left_out, other.reverse_left_out),
            (&mut self.fields_left_out, other.fields_left_out),
            (&mut self.wide_interfaces, other.wide_interfaces),
            (&mut self.wide_as_numbers, other.wide_as_numbers),
            (&mut self.wide_values, other.wide_values),
        ] {
            *sum = sum.saturating_add(n);
        }
    }

    /// Rows that became no record.
    pub const fn rows_left_out(&self) -> u64 {
        self.rows_ipv6
            + self.rows_events
            + self.rows_undated
            + self.rows_too_large
            + self.rows_empty
            + self.rows_uncountable
    }
}

/// What one datagram carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carries {
    /// Templates and options templates, withdrawals among them.
    pub templates: u32,
    /// Options records.
    pub options: u32,
    /// Flow records.
    pub records: u32,
}

impl Carries {
    /// Whether a collector needs it to read other datagrams.
    pub const fn has_templates(&self) -> bool {
        self.templates != 0
    }

    /// Whether it has flows.
    pub const fn has_flows(&self) -> bool {
        self.records != 0
    }

    /// Records of all kinds: what v9 headers count.
    pub const fn total(&self) -> u32 {
        self.templates + self.options + self.records
    }
}

/// Takes finished datagrams: a socket, a queue or a test's vector. It never fails: what cannot be
/// sent is counted by the sink that knows why.
pub trait DatagramSink {
    /// One datagram, or one message of a stream.
    fn datagram(&mut self, bytes: &[u8], what: Carries);
}

impl<F: FnMut(&[u8], Carries)> DatagramSink for F {
    fn datagram(&mut self, bytes: &[u8], what: Carries) {
        self(bytes, what);
    }
}
