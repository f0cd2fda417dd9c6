//! Datagrams to flow files: exporter state, rotation, loss accounting.
