//! nfcapd-compatible flow files of flowsuite: blocks, rows, rotation.
