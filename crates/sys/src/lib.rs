//! Everything of flowsuite that needs unsafe code: sockets, mapping, process, signals.
