//! Scan, aggregate, sort and report flows.
