//! Export protocols of flowsuite: NetFlow v5, v9 and IPFIX datagrams to flows.
