//! The command-line layer of flowsuite.
